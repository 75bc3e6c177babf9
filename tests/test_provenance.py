"crimenb.lab.provenance: which code a number rests on, and what is said when that code has changed."
import json

import pytest

from crimenb.core import InputError
from crimenb.lab import cli, provenance, studies

FILES = {"core.py": "def total(x): return sum(x)\n", "scores.py": "from .core import total\nWEIGHT = 1\nclass Box:\n    'A box.'\n    def open(self): return WEIGHT\ndef mean(x):\n    'The mean.'\n    return total(x)*Box().open()\n",
         "deep/__init__.py": "", "deep/far.py": "def go():\n    from ..core import total\n    return total([])\n", "alone.py": "def nothing(): pass\n", "lab/studies.py": "def begin(*a): pass\n", "lab/weekly.py": "from ..deep.far import go\n"}
STUDY = "from crimenb import scores\nfrom crimenb.deep.far import go as near\nfrom crimenb.lab import studies, weekly\nstudies.begin()\nscores.mean([1])\nnear()"


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


def test_a_study_reaches_what_is_imported_and_not_the_plumbing(library): assert set(library()) == {"notebook", "scores", "core", "deep.far", "lab.weekly"}

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
        assert {"notebook", "core", "metrics"} <= set(code) and len(code) > 5 and not {"lab.studies", "lab.cli"} & set(code)
    assert "lab.weekly" in provenance.code_of(folder/"parallel.ipynb")

ROW = dict(method="a", kind="trivial", protocol="p", split="test", metric="RMSE", value=2.)

@pytest.mark.parametrize("other, rows, exact, far, lost", [
    ([ROW], 1, 0., 0, 0), ([ROW | {"value": 2.2}], 1, .2/2.2, 1, 0), ([ROW | {"value": 2 + 1e-8}], 1, 5e-9, 0, 0), ([], 0, 0., 0, 1), ([ROW, ROW | {"metric": "MAE"}], 1, 0., 0, 0)])
def test_two_runs_are_compared_row_by_row(other, rows, exact, far, lost):
    found = provenance.compared({"rows": [ROW]}, {"rows": other})
    assert (found.rows, len(found.far), len(found.lost)) == (rows, far, lost) and found.exact == pytest.approx(exact, rel=1e-6) and found.trained == 0

def test_what_is_trained_may_drift_and_a_difference_near_zero_is_measured_by_its_interval():
    trained, less = ROW | {"kind": "paper"}, ROW | {"kind": "ours", "value": 1e-4, "low": -.01, "high": .01}
    assert not provenance.compared({"rows": [trained, less | {"metric": "less"}]}, {"rows": [trained | {"value": 2.03}, less | {"metric": "less", "value": -1e-4}]}).far
    assert provenance.compared({"rows": [trained]}, {"rows": [trained | {"value": 2.1}]}).far
    assert provenance.compared({"rows": [less]}, {"rows": [less | {"value": .002}]}).far

def test_a_rule_whose_ties_were_the_processors_may_be_off_as_what_is_trained():
    tied = ROW | {"kind": "trivial", "method": "smoothed counts", "value": .6284}
    found = provenance.compared({"rows": [tied]}, {"rows": [tied | {"value": .6281}]})
    assert not found.far and found.exact == 0 and 4e-4 < found.trained < 5e-4
    assert provenance.compared({"rows": [tied]}, {"rows": [tied | {"value": .61}]}).far
    counts = tied | {"method": "spot counts"}
    assert provenance.compared({"rows": [counts]}, {"rows": [counts | {"value": .6281}]}).far

@pytest.mark.parametrize("row", [{"metric": "seconds an epoch"}, {"metric": "peak memory"}, {"protocol": "claim", "metric": "gains"}, {"protocol": "cost model, fitted", "metric": "median relative error"}, {"metric": "efficiency"}])
def test_what_the_machine_decides_is_not_compared(row):
    assert provenance.compared({"rows": [ROW | row]}, {"rows": [ROW | row | {"value": 5.}]}).rows == 0

def about(code, study="s", seal="1f"): return {"study": study, "code": {"core": code}, "rows": 3, "exact": 0., "trained": 3e-7, "seal": seal}

@pytest.mark.parametrize("then, known, says", [
    ({"core": "1"}, {}, ""), ({"core": "2"}, {}, "code changed: core"), (None, {}, "made before code was fingerprinted"), ({}, {}, "made before"), ({"core": "1", "gone": "3"}, {}, "code changed: gone"),
    ({"core": "2"}, {"s0.json": about("1")}, "made with earlier code: s0.json, made again with today's, has the same numbers (to 3e-07)"), (None, {"mine.json": about("1")}, ""), (None, {"mine.json": about("1", seal="2f")}, "made with earlier code: mine.json"),
    ({"core": "2"}, {"s0.json": about("0")}, "code changed: core"), ({"core": "2"}, {"o.json": about("1", "other")}, "code changed: core")])
def test_what_is_said_of_an_older_run(then, known, says):
    found = provenance.stale({"study": "s", "file": "mine.json", "code": then, "seal": "1f"}, {"core": "1"}, known)
    assert found.startswith(says) if says else found == ""

@pytest.fixture
def noted(tmp_path, monkeypatch):
    "A folder of its own for what is confirmed."
    monkeypatch.setattr(provenance, "_confirmed_at", lambda: tmp_path/"confirmed.json")
    provenance.confirmed.cache_clear()
    yield tmp_path/"confirmed.json"
    provenance.confirmed.cache_clear()

def test_a_run_is_confirmed_only_where_every_number_is_the_same(noted):
    old, new = ({"study": "s", "code": {"core": code}, "rows": [ROW | {"value": value}]} for code, value in (("1", 2.), ("2", 2.0000001)))
    provenance.confirm("data/results/s0.json", old, new)
    provenance.confirm("data/results/s1.json", old, new)
    assert set(json.loads(noted.read_text())) == {"s0.json", "s1.json"} and json.loads(noted.read_text())["s0.json"]["exact"] == pytest.approx(5e-8, rel=1e-3)
    assert provenance.stale(old | {"file": "s1.json", "seal": provenance.seal_of(old)}, {"core": "2"}) == ""
    # another file of this name was not made again
    assert provenance.stale(old | {"file": "s1.json", "seal": provenance.seal_of(old | {"seed": 1})}, {"core": "2"}).startswith("made with earlier code")
    assert provenance.stale(old | {"file": "s2.json"}, {"core": "2"}).startswith("made with earlier code: s0.json, made again with today's, has the same numbers")
    for other in ({"rows": [ROW | {"value": 2.1}]}, {"rows": []}):
        with pytest.raises(InputError, match="s0.json is not confirmed"): provenance.confirm("s0.json", old, new | other)

def test_many_files_are_confirmed_one_after_the_other(noted, tmp_path, monkeypatch, capsys):
    "One comes out the same, one differs, one breaks; the second time the first is left out."
    whole = dict(study="rtm", profile="cpu", dataset="city", data_sha256={}, seed=0, parameters={"seed": 0}, versions={}, commit=None, device="cpu", seconds=1., peak_memory_bytes=1,
                 rows=[ROW | dict(low=None, high=None, n=3, printed=None)])
    now = whole | {"code": provenance.code_of(studies.folder_of("reproduce")/"rtm.ipynb")}
    files = [tmp_path/f"{name}.json" for name in ("same", "off", "broken")]
    for seed, path in enumerate(files): path.write_text(json.dumps(whole | {"parameters": {"seed": seed}}))
    calls = []
    def reproduce(study, given, out, **_):
        calls.append(given["seed"])
        if given["seed"] == 2: raise studies.StudyFailed("rtm.ipynb stopped: it\nbroke")
        (tmp_path/"again.txt").write_text(json.dumps(now | {"rows": [whole["rows"][0] | {"value": 2. + given["seed"]}]}))
        return studies.Outputs(tmp_path/"a", tmp_path/"again.txt", tmp_path/"c")
    monkeypatch.setattr(studies, "reproduce", reproduce)
    for round_ in (1, 2):
        assert cli.main(["reproduce", *map(str, files), "--confirm"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "1 of 3 confirmed; not off.json, broken.json" and "off.json is not confirmed" in lines[1] and "broke" in lines[2]
        assert lines[0].startswith("1 of 3, same.json: ") and ("confirmed before" in lines[0]) == (round_ == 2)
    assert calls == [0, 1, 2, 1, 2] and list(json.loads(noted.read_text())) == ["same.json"]
    assert cli.main(["reproduce", str(files[0]), "--confirm"]) == 0
    # a number that was written into the file since: it is made again, and differs
    files[0].write_text(json.dumps(whole | {"rows": [whole["rows"][0] | {"value": 1.}]}))
    assert cli.main(["reproduce", str(files[0]), "--confirm"]) == 1 and calls[-1] == 0

@pytest.mark.parametrize("argv, word", [(["rtm", "--confirm"], "is none"), (["a.json", "--confirm", "-p", "seed=1"], "leave out parameters"), (["rtm", "stresnet"], "one study at a time")])
def test_what_cannot_be_confirmed_is_one_sentence(argv, word, capsys):
    assert cli.main(["reproduce", *argv]) == 2
    assert word in capsys.readouterr().err

def test_a_run_from_before_a_parameter_is_made_as_it_was_then(tmp_path):
    file = studies.folder_of("results")/"stresnet-cpu-chicago_2018-s0-4bdd0359.json"
    recorded = json.loads(file.read_text())
    assert "external_branch" not in recorded["parameters"] and studies.again(file)[1]["external_branch"] == "cell means"
    made = recorded | {"rows": [row | {"method": row["method"] + (", cell means" if row["kind"] == "paper" else "")} for row in recorded["rows"]]}
    found = studies.compare(recorded, made)
    assert found.rows > 100 and not found.lost and not found.far and found.exact == found.trained == 0
    assert studies.compare(recorded | {"study": "rtm"}, made).lost

@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a.json": 1}', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_damaged_list_of_confirmed_runs_is_one_sentence(tmp_path, monkeypatch, content):
    monkeypatch.setattr(provenance, "_confirmed_at", lambda: tmp_path/"confirmed.json")
    (tmp_path/"confirmed.json").write_bytes(content)
    with pytest.raises(InputError, match="confirmed.json is damaged: install crimenb again$"): provenance.confirmed.__wrapped__()
