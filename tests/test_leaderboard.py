"crimenb.lab.leaderboard: what is stale, what a line is seen beside, and the page in a real browser."
import json
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from browser import visit

from crimenb import sources
from crimenb.lab import leaderboard, studies
from crimenb.core import InputError

STUDY = "from crimenb import scores; from crimenb.lab import studies\nfrom crimenb.deep import far as near\nrun = studies.begin('one', globals())\nscores.mean([1])\nnear()"
FILES = {"crimenb/scores.py": "from .core import total\nWEIGHT = 1\nclass Box:\n    'A box.'\n    def open(self): return WEIGHT\ndef mean(x):\n    'The mean.'\n    return total(x)*Box().open()\ndef other(): return 0\n",
         "crimenb/core.py": "def total(x): return sum(x)\ndef unused(): return 1\n", "crimenb/deep/__init__.py": "", "crimenb/deep.py": "from crimenb import core\ndef far(): return core.total([])\n",
         "crimenb/lab/studies.py": "def begin(*a): return settings()\ndef settings(): return 1\n", "crimenb/alone.py": "def total(x): return 2\n"}
FILES["nbs/reproduce/one.ipynb"] = json.dumps({"cells": [{"cell_type": "markdown", "source": "# One"}, {"cell_type": "code", "source": STUDY}, {"cell_type": "code", "source": "%matplotlib inline\n1"}]})

def result(name="stresnet", **changes):
    row = dict(protocol="native", split="test", metric="RMSE", low=None, high=None, n=336, printed=None)
    rows = [row | dict(method="persistence", kind="trivial", value=.3), row | dict(method="average", kind="trivial", value=.28), row | dict(method="Poisson noise", kind="floor", value=.2),
            row | dict(method="net", kind="paper", value=.25, low=.24, high=.27, printed=.22)]
    rows += [r | dict(protocol="fine maps", value=r["value"] / 2, low=None, high=None) for r in rows]
    return dict(study=name, profile="cpu", dataset="city", data_sha256={}, seed=0, parameters={"seed": 0, "epochs": 5}, versions={}, commit=None, device="cpu, 1 threads",
                seconds=100., peak_memory_bytes=1, rows=rows) | changes

def read(folder, *results):
    for i, r in enumerate(results): (folder / f"{i}.json").write_text(json.dumps(r))
    return studies.read_results(folder)


# --- what a study reaches ---

def changed(path, old, new):
    assert old in FILES[path]
    a, b = (leaderboard.code_of("one", files) for files in (FILES, FILES | {path: FILES[path].replace(old, new)}))
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))

def test_a_study_reaches_what_its_names_lead_to_and_nothing_else():
    assert sorted(leaderboard.code_of("one", FILES)) == ["core.total", "deep.far", "one.ipynb", "scores.Box", "scores.WEIGHT", "scores.mean"]

@pytest.mark.parametrize("path, old, new, names", [
    ("crimenb/core.py", "sum(x)", "sum(x) + 1", ["core.total"]), ("crimenb/scores.py", "WEIGHT = 1", "WEIGHT = 2", ["scores.WEIGHT"]), ("crimenb/scores.py", "return WEIGHT", "return -WEIGHT", ["scores.Box"]),
    ("crimenb/deep.py", "total([])", "total([1])", ["deep.far"]), ("nbs/reproduce/one.ipynb", "mean([1])", "mean([2])", ["one.ipynb"]),
    ("crimenb/scores.py", "'The mean.'", "'A mean.'", []), ("crimenb/scores.py", "'A box.'", "'Box.'", []), ("crimenb/scores.py", "return total(x)*", "return total(x) * ", []),
    ("crimenb/scores.py", "return 0", "return 1", []), ("crimenb/core.py", "return 1", "return 2", []), ("crimenb/alone.py", "2", "3", []), ("crimenb/lab/studies.py", "return 1", "return 2", []),
    ("nbs/reproduce/one.ipynb", "# One", "# Two", [])])
def test_only_code_that_is_reached_counts(path, old, new, names): assert changed(path, old, new) == names

@pytest.mark.parametrize("text, names", [
    ("from crimenb import alone, core\nx.total\nalone.total(1)", ["alone.total"]),                    # the attribute of a variable is nobody's function
    ("def go():\n    from crimenb.alone import total as all_of\n    return all_of(1)", ["alone.total"]),  # an import inside a function
    ("import crimenb.core as c\nc.total([1])", ["core.total"]), ("import crimenb.alone\ncrimenb.alone.total(1)", ["alone.total"]),
    ("from crimenb import core\nwork(core)", ["core.total", "core.unused"]),                           # a module that is handed on
    ("from crimenb.scores import total\ntotal([])", ["core.total"]),                                   # through a module that only imports it
    ("launch('crimenb.alone:total')", ["alone.total"])])
def test_a_name_is_followed_as_python_would(text, names):
    path = "nbs/reproduce/one.ipynb"
    reached = leaderboard.code_of("one", FILES | {path: json.dumps({"cells": [{"cell_type": "code", "source": text}]})})
    assert sorted(reached.keys() - {"one.ipynb"}) == names

def test_a_definition_counts_though_a_function_imports_its_name():
    text = "def other():\n    from .alone import total\n    return total\n"
    a, b = (leaderboard.code_of("one", FILES | {"crimenb/core.py": text + f"def total(x): return {x}\n"}) for x in (1, 2))
    assert "core.total" in a and a != b

@pytest.mark.parametrize("more", ["total.names = {}", "TABLE[1] = 2", "TABLE.update(a=1)"])
def test_what_is_added_to_a_definition_later_belongs_to_it(more):
    bare = "TABLE = {}\ndef total(x): return TABLE\n"
    a, b = (leaderboard.code_of("one", FILES | {"crimenb/core.py": text}) for text in (bare, bare + more))
    assert a != b

@pytest.mark.parametrize("bare, other, same", [
    ("def total(x, *y, z=1, **w): return x", "def total(x: list, *y: int, z: int = 1, **w: 'Box') -> 'Box': return x", True), ("def total(x): return x", "def total(x: other) -> other: return x", True),
    ("def total(x: int) -> int: return x", "def total(x: str) -> str: return x + x", False), ("def total(x: int = 1): return x", "def total(x: int = 2): return x", False),
    ("def total(x):\n    y = x\n    return y", "def total(x):\n    y: list[int] = x\n    z: int\n    return y", True), ("total = 1", "total: float = 1", True), ("total: int = 1", "total: int = 2", False),
    ("class total:\n    size: int = 1", "class total:\n    size: float = 1", True), ("class total:\n    size: int = 1", "class total:\n    size: int = 2", False),
    ("class total:\n    size: int", "class total:\n    width: int", False), ("class total:\n    size: int = 1", "class total:\n    size = 1", False)])
def test_a_type_hint_measures_nothing(bare, other, same):
    a, b = (leaderboard.code_of("one", FILES | {"crimenb/core.py": text}) for text in (bare, other))
    assert "core.total" in a and (a == b) == same

def test_what_every_study_of_the_library_reaches_is_found():
    now = leaderboard._files(Path(leaderboard.__file__).parents[1])
    for study in studies.names():
        reached = leaderboard.code_of(study, now)
        assert len(reached) > 20 and {f"{study}.ipynb", "metrics.summary"} & reached.keys() and not any(name.startswith("studies.Run") for name in reached)

@pytest.fixture
def history(tmp_path):
    "A checkout with one commit, and how to write, commit and read there."
    root = tmp_path / "checkout"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if not path.endswith("__init__.py"): (root / path).write_text(text)
    git = lambda *words: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b@c", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    git("init"), git("add", "."), git("commit", "-m", "first")
    return root, git("rev-parse", "HEAD")

def test_a_result_is_stale_when_its_code_or_data_are_others_now(history, tmp_path, monkeypatch):
    root, commit = history
    monkeypatch.setattr(sources, "registry", lambda: {"set": {"files": {"a.txt": {"sha256": "00"}}}, "other": {"files": {"a.txt": {"sha256": "55"}}}})
    made = lambda **changes: leaderboard.stale(read(tmp_path, result("one", commit=commit, data_sha256={"a.txt": "00", "an array": "77"}) | changes), root)["0.json"]
    assert made() == ""
    (root / "crimenb/scores.py").write_text("# new\n" + FILES["crimenb/scores.py"] + "def newer(): return total\n")
    assert made() == "" and made(data_sha256={"a.txt": "11"}) == "data changed: a.txt" and made(data_sha256={"a.txt": "55"}) == ""
    (root / "crimenb/core.py").write_text("def total(x): return 0\n")
    (root / "crimenb/deep.py").unlink()
    assert made() == "code changed: core.total, deep.far"
    assert made(data_sha256={"a.txt": "11"}).endswith("; data changed: a.txt")
    for unknown in (None, "0" * 40, commit + "-dirty"): assert made(commit=unknown).startswith("code not compared")
    (root / "nbs/reproduce/one.ipynb").unlink()
    assert made() == "the study is gone"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert made().startswith("code not compared")


# --- lines ---

def test_a_line_stands_beside_the_best_rule_the_floor_and_the_printed_number(tmp_path):
    table = leaderboard.lines(read(tmp_path, result(seed=0), result(seed=1, seconds=200., parameters={"seed": 1, "epochs": 5})))
    net = table[(table["method"] == "net") & (table["protocol"] == "native")].to_dict("records")
    assert len(net) == 1 and net[0]["rule"] == "average" and net[0]["task"] == "Hourly map" and net[0]["seeds"] == "0 1" and net[0]["seconds"] == 150 and net[0]["files"] == "0.json 1.json"
    assert [round(net[0][k], 6) for k in ("measured", "trivial", "floor", "minus_trivial", "minus_printed")] == [.25, .28, .2, -.03, .03]
    assert len(table) == len(studies.leaderboard(studies.read_results(tmp_path)))

def test_where_more_is_better_the_largest_rule_is_the_best(tmp_path):
    rows = [r | {"metric": "PAI@5%"} for r in result()["rows"]]
    assert set(leaderboard.lines(read(tmp_path, result("rtm", rows=rows)))["rule"]) == {"persistence"}

def test_a_difference_has_no_yardstick_and_an_unknown_study_its_own_name(tmp_path):
    rows = [r | {"protocol": "native, paired"} for r in result()["rows"][:4]] + [r | {"metric": "RMSE less average"} for r in result()["rows"][:4]]
    table = leaderboard.lines(read(tmp_path, result("transfer", rows=rows)))
    assert table["trivial"].isna().all() and table["floor"].isna().all() and set(table["task"]) == {"transfer"}

def test_other_profiles_are_marked_and_settings_told_apart(tmp_path):
    runs = [result(), result(parameters={"seed": 0, "epochs": 9}, rows=result()["rows"][3:4]), result(profile="paper")]
    table = leaderboard.lines(read(tmp_path, *runs)).set_index(["protocol", "profile", "method"])
    assert table["note"].str.contains("profile paper").tolist() == [p == "paper" for _, p, _ in table.index]
    assert set(table.loc[("native", "cpu", "net"), "differs"]) == {"epochs 5", "epochs 9"}
    assert table.loc[("native", "cpu", "average"), "differs"] == "" == table.loc[("fine maps", "cpu", "net"), "differs"]

def test_what_was_not_measured_is_listed(tmp_path):
    absent = leaderboard.missing(read(tmp_path, result()))
    assert ("stresnet", "city") not in absent and ("crimealarm", "nyc16") in absent and ("stresnet", "city") in leaderboard.missing(studies.read_results(tmp_path), "paper")

def test_no_results_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="there are no results in .*: run a study with crimenb reproduce"): leaderboard.build(tmp_path / "out", tmp_path)


# --- the page ---

@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "The page and the table of some results, among them a method whose name is an attack."
    folder = tmp_path_factory.mktemp("page")
    evil = dict(method='</script><b onclick="x">&amp; net', kind="ours", protocol="native", split="test", metric="RMSE", value=.22, low=.21, high=.23, n=336, printed=None)
    runs = [result(rows=result()["rows"] + [evil]), result(dataset="nyc_2015h2", profile="paper"), result("rtm", rows=[r | {"metric": "PAI@5%", "protocol": {"native": "units, count", "fine maps": "area, density"}[r["protocol"]]} for r in result()["rows"]])]
    (folder / "results").mkdir()
    read(folder / "results", *runs)
    page, csv = leaderboard.build(folder / "out", folder / "results")
    return page.read_text(), pd.read_csv(csv), folder

TOOLS = """const at = id => document.getElementById(id), set = (id, v) => { at(id).value = v; at(id).dispatchEvent(new Event(id === 'search' ? 'input' : 'change')); };
const column = label => [...document.querySelectorAll(`#body td[data-label="${label}"]`)].map(td => td.textContent);
const methods = () => [...document.querySelectorAll('#body tr td:first-child span:first-child')].map(s => s.textContent);
const press = label => [...document.querySelectorAll('#head button')].find(b => b.textContent === label).click(); """

def test_the_page_is_whole_in_itself_and_made_the_same_again(built):
    page, csv, folder = built
    assert not re.search(r'(?:src|href)="(?!data:,|#)|@import|url\((?!#)', page)
    again, _ = leaderboard.build(folder / "again", folder / "results")
    assert again.read_text() == page
    assert len(csv) == 8 * 3 + 1 and page.count("<figure>") == 6 and "Next event at a spot: nyc16</li>" in page

def test_in_a_browser_it_opens_with_a_task_and_sorts_and_filters(built):
    page, csv, folder = built
    seen = visit(page, TOOLS + """const told = {};
        told.opening = [at('task').value, at('dataset').value, at('protocol').value, at('metric').value, at('split').value]; told.best = methods(); told.count = at('count').textContent;
        press('method'); told.up = methods(); told.aria = document.querySelector('th[aria-sort]').getAttribute('aria-sort');
        press('method'); told.down = methods(); told.focus = document.activeElement.textContent;
        press('− printed'); told.printed = column('− printed');
        set('sort', 'best'); set('search', 'paper'); told.none = methods(); set('search', 'NET'); told.net = methods(); set('search', '');
        set('dataset', ''); told.both = column('data set'); told.marks = column('marks').filter(m => m.includes('profile paper')).length;
        at('current').checked = true; at('current').dispatchEvent(new Event('input')); told.current = methods(); at('current').checked = false;
        set('kind', 'floor'); told.floor = methods(); set('kind', '');
        set('task', 'Next-year hot spots'); told.second = [at('dataset').value, at('protocol').value, at('metric').value]; told.pai = methods(); told.bars = document.querySelectorAll('#body svg.bar circle').length;
        set('protocol', 'area, density'); told.area = column('measured');
        return told;""", folder)
    evil = '</script><b onclick="x">&amp; net'
    assert seen["opening"] == ["Hourly map", "city", "fine maps", "RMSE", "test"] and seen["count"] == "4 lines · less is better"
    assert seen["best"] == ["Poisson noise", "net", "average", "persistence"] and seen["up"] == ["average", "net", "persistence", "Poisson noise"] and seen["down"] == seen["up"][::-1]
    assert seen["aria"] == "ascending" and seen["focus"] == "method" and seen["printed"] == ["−0.0950", "", "", ""]
    assert seen["none"] == [] and seen["net"] == ["net"] and seen["both"] == ["city"] * 4 + ["nyc_2015h2"] * 4 and seen["marks"] == 4 and seen["current"] == [] and seen["floor"] == ["Poisson noise"] * 2
    assert seen["second"] == ["city", "units, count", "PAI@5%"] and seen["pai"] == ["persistence", "average", "net", "Poisson noise"] and seen["bars"] == 4
    assert seen["area"] == ["0.1500", "0.1400", "0.1250", "0.1000"]
    text = visit(page, TOOLS + "set('protocol', 'native'); return [methods(), document.querySelectorAll('#body b').length]", folder)
    assert evil in text[0] and text[1] == 0

@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_window_and_a_phone_has_cards(built, width):
    page, _, folder = built
    seen = visit(page, TOOLS + """set('protocol', ''); set('metric', ''); const wide = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('svg')).map(e => e.outerHTML.slice(0, 80));
        return {width: innerWidth, wide, scroll: document.documentElement.scrollWidth, row: getComputedStyle(document.querySelector('#body tr')).display, head: getComputedStyle(document.querySelector('thead')).display}""", folder, width)
    assert seen["width"] == width and seen["wide"] == [] and seen["scroll"] <= width
    assert (seen["row"], seen["head"]) == (("grid", "none") if width == 375 else ("table-row", "table-header-group"))

def test_the_recorded_evidence_makes_a_page_that_opens_every_task(tmp_path):
    results = studies.read_results()
    page, csv = leaderboard.build(tmp_path / "out")
    assert len(pd.read_csv(csv)) == len(studies.leaderboard(results)) and csv.read_text().count("\n") == len(pd.read_csv(csv)) + 1
    seen = visit(page.read_text(), TOOLS + """return [...at('task').options].map(o => { set('task', o.value); return [o.value, methods().length, document.documentElement.scrollWidth <= innerWidth]; })""", tmp_path)
    assert {task for task, _, _ in seen} >= {task.title for task in leaderboard.TASKS.values()} and all(n > 0 and fits for _, n, fits in seen)
    assert len(seen) == results["study"].nunique()
