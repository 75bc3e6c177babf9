"crimenb.lab.provenance: which code a number rests on, and what is said when that code has changed."
import json

import pytest

from crimenb.core import InputError
from crimenb.lab import provenance, studies

FILES = {"core.py": "def total(x): return sum(x)\n", "scores.py": "from .core import total\nWEIGHT = 1\nclass Box:\n    'A box.'\n    def open(self): return WEIGHT\ndef mean(x):\n    'The mean.'\n    return total(x)*Box().open()\n",
         "deep/__init__.py": "", "deep/far.py": "def go():\n    from ..core import total\n    return total([])\n", "alone.py": "def nothing(): pass\n", "lab/studies.py": "def begin(*a): pass\n"}
STUDY = "from crimenb import scores\nfrom crimenb.deep.far import go as near\nfrom crimenb.lab import studies\nstudies.begin()\nscores.mean([1])\nnear()"


@pytest.fixture
def library(tmp_path):
    "A small library and a study; a function that changes a file and gives the code."
    def code(**changed):
        for name, text in {**FILES, "study.ipynb": STUDY, **{k.replace("__", "/"): v for k, v in changed.items()}}.items():
            path = tmp_path/name
            path.parent.mkdir(exist_ok=True)
            cells = [{"cell_type": "markdown", "source": "# One"}, {"cell_type": "code", "source": text}, {"cell_type": "code", "source": "%matplotlib inline\n1"}]
            path.write_text(json.dumps({"cells": cells}) if name.endswith("ipynb") else text)
        return provenance.code_of(tmp_path/"study.ipynb", tmp_path)
    return code


def test_a_study_reaches_what_is_imported_and_not_the_plumbing(library): assert set(library()) == {"notebook", "scores", "core", "deep.far"}

@pytest.mark.parametrize("name, old, new, says", [
    ("core.py", "sum(x)", "sum(x) + 1", ["core"]), ("scores.py", "WEIGHT = 1", "WEIGHT = 2", ["scores"]), ("deep/far.py", "total([])", "total([1])", ["deep.far"]), ("study.ipynb", "mean([1])", "mean([2])", ["notebook"]),
    ("scores.py", "'The mean.'", "'A mean.'", []), ("scores.py", "'A box.'", "'Box.'", []), ("scores.py", "def mean(x)", "def mean(x: list) -> float", []), ("scores.py", "return total(x)*", "return total(x) *   ", []),
    ("alone.py", "pass", "return 1", []), ("lab/studies.py", "pass", "return 1", [])])
def test_only_what_computes_counts(library, name, old, new, says):
    before = library()
    assert old in {**FILES, "study.ipynb": STUDY}[name]
    after = library(**{name: {**FILES, "study.ipynb": STUDY}[name].replace(old, new)})
    assert [k for k in before if before[k] != after[k]] == says

@pytest.mark.parametrize("one, other, same", [
    ("def f(x, *y, z=1, **w): return x", "def f(x: list, *y: int, z: int = 1, **w: 'Box') -> 'Box': return x", True), ("def f(x: int = 1): return x", "def f(x: int = 2): return x", False),
    ("class A:\n    size: int = 1", "class A:\n    size: float = 1", True), ("class A:\n    size: int = 1", "class A:\n    size: int = 2", False), ("class A:\n    size: int", "class A:\n    width: int", False),
    ("def f(): 'only words'", "def f(): pass", True), ("'of a module'\nx = 1", "x = 1", True), ("import os\nx = 1", "x = 1", True)])
def test_hints_and_words_compute_nothing(one, other, same): assert (provenance.hash_of(one) == provenance.hash_of(other)) == same

def test_every_study_of_the_library_has_code():
    folder = studies.folder_of("reproduce")
    for study in studies.names():
        code = provenance.code_of(folder/f"{study}.ipynb")
        assert {"notebook", "core", "metrics"} <= set(code) and len(code) > 5 and not any(name.startswith("lab") for name in code)

ROW = dict(method="a", protocol="p", split="test", metric="RMSE", value=2.)

@pytest.mark.parametrize("other, right", [
    ([ROW], (1, 0., [])), ([ROW | {"value": 2.2}], (1, pytest.approx(.2/2.2), [])), ([], (0, 0., [("a", "p", "test", "RMSE")])), ([ROW, ROW | {"metric": "MAE"}], (1, 0., []))])
def test_two_runs_are_compared_row_by_row(other, right): assert provenance.compared({"rows": [ROW]}, {"rows": other}) == right

def test_what_the_machine_decides_is_not_compared():
    timed = [ROW | {"metric": "seconds an epoch", "value": v} for v in (1., 5.)]
    assert provenance.compared({"rows": timed[:1]}, {"rows": timed[1:]}) == (0, 0., [])

@pytest.mark.parametrize("then, known, says", [
    ({"core": "1"}, {}, ""), ({"core": "2"}, {}, "code changed: core"), (None, {}, "made before code was fingerprinted"), ({}, {}, "made before"), ({"core": "1", "gone": "3"}, {}, "code changed: gone"),
    ({"core": "2"}, {"s": {"file": "s0.json", "code": {"core": "1"}, "far": 3e-7}}, "made with earlier code; s0.json, made again with today's, has the same numbers (to 3e-07)"),
    ({"core": "2"}, {"s": {"file": "s0.json", "code": {"core": "0"}, "far": 0}}, "code changed: core"), ({"core": "2"}, {"other": {"code": {"core": "1"}}}, "code changed: core")])
def test_what_is_said_of_an_older_run(then, known, says):
    found = provenance.stale({"study": "s", "code": then}, {"core": "1"}, known)
    assert found.startswith(says) if says else found == ""

def test_a_run_is_confirmed_only_where_every_number_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance.crimenb, "__file__", str(tmp_path/"__init__.py"))
    provenance.confirmed.cache_clear()
    old, new = ({"study": "s", "code": {"core": code}, "rows": [ROW | {"value": value}]} for code, value in (("1", 2.), ("2", 2.000001)))
    provenance.confirm("data/results/s0.json", old, new)
    provenance.confirmed.cache_clear()
    assert provenance.stale(old, {"core": "2"}).startswith("made with earlier code; s0.json, made again with today's, has the same numbers")
    for other in ({"rows": [ROW | {"value": 2.1}]}, {"rows": []}):
        with pytest.raises(InputError, match="s0.json is not confirmed"): provenance.confirm("s0.json", old, new | other)
    provenance.confirmed.cache_clear()
