"crimenb.lab.leaderboard: what is stale, what a line is seen beside, and the page in a real browser."
import json
import re

import numpy as np
import pandas as pd
import pytest
from browser import visit
from faults import tried

from crimenb import sources
from crimenb.lab import cli, leaderboard, provenance, studies
from crimenb.core import InputError

def result(name="stresnet", **changes):
    row = dict(protocol="native", split="test", metric="RMSE", low=None, high=None, n=336, printed=None)
    rows = [row | dict(method="persistence", kind="trivial", value=.3), row | dict(method="average", kind="trivial", value=.28), row | dict(method="Poisson noise", kind="noise", value=.2),
            row | dict(method="net", kind="paper", value=.25, low=.24, high=.27, printed=.22)]
    rows += [r | dict(protocol="fine maps", value=r["value"] / 2, low=None, high=None) for r in rows]
    return dict(study=name, profile="cpu", dataset="city", data_sha256={}, seed=0, parameters={"seed": 0, "epochs": 5}, versions={}, commit=None, device="cpu, 1 threads",
                seconds=100., peak_memory_bytes=1, rows=rows) | changes

def read(folder, *results):
    folder.mkdir(exist_ok=True)
    for i, r in enumerate(results): (folder / f"{i}.json").write_text(json.dumps(r))
    return studies.read_results(folder)


@pytest.fixture(autouse=True, scope="module")
def nothing_confirmed():
    "The results here are made up, and what was confirmed of real ones says nothing about them."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "confirmed", dict)
        yield


# --- what has changed since ---

def test_a_result_is_marked_when_its_code_or_data_are_others_now(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "registry", lambda: {"set": {"files": {"a.txt": {"sha256": "00"}}}, "other": {"files": {"a.txt": {"sha256": "55"}}}})
    now = provenance.code_of(studies.folder_of("reproduce")/"stresnet.ipynb")
    made = lambda **changes: leaderboard.stale(read(tmp_path, result(code=now, data_sha256={"a.txt": "00", "an array": "77"}) | changes))["0.json"]
    assert made() == "" and made(data_sha256={"a.txt": "11"}) == "data changed: a.txt" and made(data_sha256={"a.txt": "55"}) == ""
    assert made(code=now | {"core": "0"*12}) == "code changed: core" and made(code=now | {"core": "0"*12}, data_sha256={"a.txt": "11"}) == "code changed: core; data changed: a.txt"
    assert made(study="nothing", code=now) == "the study is gone"

def test_a_file_without_a_fingerprint_is_of_an_earlier_time(tmp_path):
    assert leaderboard.stale(read(tmp_path, result()))["0.json"].startswith(("made before code was fingerprinted", "made with earlier code"))

def test_a_commit_that_is_no_hash_is_refused(tmp_path):
    for evil in ("--output=/tmp/x", "--remote=a", "HEAD", "0"*39, "0"*40 + "\n"):
        with pytest.raises(InputError, match="commit can not be"): read(tmp_path, result(commit=evil))


EVIL = ("\ud800", "\x1b[2J", "x\u202etxt", "z"*100_000, 10**400, -2**63 - 1, 1e300, True, None, [], ["a"], {}, {"a": {}}, [[1]]*50, "", "seed", -1)

def mutant(whole, rng):
    "A result with one of its values, names or entries changed, at any depth."
    whole = json.loads(json.dumps(whole))
    places = []
    def walk(thing):
        for key in list(thing) if isinstance(thing, dict) else range(len(thing)):
            places.append((thing, key))
            if isinstance(thing[key], (dict, list)): walk(thing[key])
    walk(whole)
    thing, key = places[rng.integers(len(places))]
    way, evil = rng.integers(5), EVIL[rng.integers(len(EVIL))]
    if way == 0: thing.pop(key)
    elif way == 1 and isinstance(thing, dict): thing[str(evil)] = thing.pop(key)
    elif way == 2 and isinstance(thing, dict): thing[str(evil)] = evil
    else: thing[key] = evil
    return whole

def everything(path):
    "All that reads a result file."
    results = studies.read_results(path.parent)
    if len(results):
        studies.leaderboard(results).to_csv(path.with_suffix(".csv"))
        if cli.main(["leaderboard", "--results", str(path.parent), "--json"]): raise InputError("the command refuses what can be read")
        leaderboard.lines(results).to_json()
    study, given = studies.again(path)
    json.dumps([study, given], ensure_ascii=False).encode()

def test_a_result_file_is_data_whatever_is_in_it(tmp_path, capsys):
    rng = np.random.default_rng(18)
    good = result("stresnet", parameters={"seed": 0, "epochs": 5, "preparation": "authors", "methods": ""}, data_sha256={"a.txt": "00"}, versions={"numpy": "2"}, code={"core": "0"*12},
                  computed={"precision": ["float32"], "not repeatable": [], "gpu_peak_memory_bytes": 5}, commit="0"*40)
    path, refused, most = tmp_path / "a.json", 0, 0
    for number in range(300):
        path.write_text(json.dumps(mutant(good, rng)))
        try: everything(path)
        except InputError as error:
            refused, most = refused + 1, max(most, len(str(error)))
            assert str(error).isprintable() and "is not a result file: " in str(error), (number, str(error))
        except Exception as error: raise AssertionError(f"mutant {number}: {type(error).__name__}: {error}; {path.read_text()[:400]}") from error
    assert 200 < refused < 300 and most < 600
    capsys.readouterr()
    path.write_text(json.dumps(good))
    everything(path)
    assert 200 < tried(path, json.dumps(good).encode(), everything, 300, rng) < 300

@pytest.mark.parametrize("changes, says", [
    (dict(device="\ud800"), "device can not be"), (dict(device="\x1b[2J"), "device can not be"), (dict(data_sha256={"a.txt": []}), r"data_sha256: a.txt can not be \[\]"),
    (dict(parameters={"seed": [1]}), r"parameters: seed can not be \[1\]"), (dict(seed=10**400), "seed can not be"), (dict(computed={"precision": [1]}), "precision 0 can not be 1"),
    (dict(computed={"precision": 3}), "precision can not be 3"), (dict(code={"core": None}), "core can not be None"), (dict(study="z"*100_000), "study can not be 'zzz"), ({"y"*9_000: 1}, "unknown yyy")])
def test_what_a_result_file_can_not_hold_is_named_shortly(tmp_path, changes, says):
    with pytest.raises(InputError, match=says) as caught: read(tmp_path, result() | changes)
    assert len(str(caught.value)) < 600


# --- lines ---

def test_a_line_stands_beside_the_best_rule_the_noise_and_the_printed_number(tmp_path):
    table = leaderboard.lines(read(tmp_path, result(seed=0), result(seed=1, seconds=200., parameters={"seed": 1, "epochs": 5})))
    net = table[(table["method"] == "net") & (table["protocol"] == "native")].to_dict("records")
    assert len(net) == 1 and net[0]["rule"] == "average" and net[0]["task"] == "Hourly map" and net[0]["seeds"] == "0 1" and net[0]["seconds"] == 150 and net[0]["files"] == "0.json 1.json"
    assert [round(net[0][k], 6) for k in ("measured", "trivial", "noise", "minus_trivial", "minus_printed")] == [.25, .28, .2, -.03, .03]
    assert len(table) == len(studies.leaderboard(studies.read_results(tmp_path)))

def test_where_more_is_better_the_largest_rule_is_the_best(tmp_path):
    rows = [r | {"metric": "PAI@5%"} for r in result()["rows"]]
    assert set(leaderboard.lines(read(tmp_path, result("rtm", rows=rows)))["rule"]) == {"persistence"}

@pytest.mark.parametrize("metric, floored", [("RMSE", True), ("RMSE, cumulative", True), ("Poisson deviance", True), ("NDCG@5", True), ("PAI@5%", True), ("accuracy", True),
                                             ("MAE", False), ("macro-F1", False), ("calibration error", False), ("RRI@5%", False), ("demographic parity difference", False)])
def test_a_floor_stands_only_where_the_truth_is_best_in_the_mean(tmp_path, metric, floored):
    for kind, other in (("floor", "noise"), ("noise", "floor")):
        rows = [r | {"metric": metric} | ({"kind": kind, "method": "true rates"} if r["kind"] == "noise" else {}) for r in result()["rows"]]
        table = leaderboard.lines(read(tmp_path, result(rows=rows)))
        assert table[kind].notna().all() == floored and table[kind].notna().any() == floored and table["trivial"].notna().all() and table[other].isna().all()

def test_a_mark_that_others_can_lie_below_is_no_floor(tmp_path):
    "Older files call it one, and are read as what it is; what knows all that came before is still a floor."
    old = [r | ({"kind": "floor"} if r["kind"] == "noise" else {}) for r in result()["rows"]]
    found = read(tmp_path, result(rows=old), result(rows=[r | ({"method": "true rates"} if r["kind"] == "floor" else {}) for r in old]), result("rtm", rows=[r | ({"method": "true rates"} if r["kind"] == "floor" else {}) for r in old]))
    marks = found[found["kind"].isin(("floor", "noise"))].drop_duplicates("file").set_index("file")["kind"]
    assert marks.to_dict() == {"0.json": "noise", "1.json": "floor", "2.json": "noise"}
    # in the evidence too no method of the same run lies below what is called a floor, where a floor is one
    rows = leaderboard.lines(studies.read_results())
    assert not len(rows[rows["kind"].eq("floor") & rows["method"].str.startswith("Poisson noise")])

def test_a_difference_has_no_yardstick_and_an_unknown_study_its_own_name(tmp_path):
    rows = [r | {"protocol": "native, paired"} for r in result()["rows"][:4]] + [r | {"metric": "RMSE less average"} for r in result()["rows"][:4]]
    table = leaderboard.lines(read(tmp_path, result("transfer", rows=rows)))
    assert table["trivial"].isna().all() and table["floor"].isna().all() and table["noise"].isna().all() and set(table["task"]) == {"transfer"}

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
    assert len(csv) == 8 * 3 + 1 and page.count("<figure>") == 6 + 2 and page.index("One picture a task") < page.index("All numbers") and "Next event at a spot: nyc16</li>" in page

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
        set('kind', 'noise'); told.floor = methods(); set('kind', '');
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

def placed(results):
    "As `build` has them: with the place of each setting among those of its method."
    return leaderboard._beside(results).merge(leaderboard.lines(results)[[*leaderboard.LINE, "variant"]], on=leaderboard.LINE, how="left")

def test_one_line_a_method_and_its_other_settings_unfold(tmp_path):
    net = result()["rows"][3:4]
    runs = [result(parameters={"seed": 0, "epochs": 2}, rows=[net[0] | {"value": .21, "low": .2, "high": .22}]), *(result(seed=s, parameters={"seed": s, "epochs": 5}) for s in (0, 1)),
            result(profile="paper", parameters={"seed": 0, "epochs": 9, "note": ""}, rows=net)]
    results = read(tmp_path, *runs)
    table = leaderboard.lines(results).query("method == 'net' and protocol == 'native'").sort_values("variant")
    # two seeds say more than one, however good that one is; another profile comes last
    assert table["variant"].tolist() == [0, 1, 2] and table["seeds"].tolist() == ["0 1", "0", "0"] and table["profile"].tolist() == ["cpu", "cpu", "paper"]
    assert table["differs"].tolist()[:2] == ["epochs 5", "epochs 2"]
    page, _ = leaderboard.build(tmp_path / "out", tmp_path)
    seen = visit(page.read_text(), TOOLS + """set('protocol', 'native'); const told = {}; const button = () => document.querySelector('button.unfold');
        told.folded = methods(); told.count = at('count').textContent; told.label = button().textContent; told.spoken = [button().getAttribute('aria-label')]; button().click();
        told.spoken.push(button().getAttribute('aria-label'));
        told.open = methods(); told.expanded = button().getAttribute('aria-expanded'); told.seeds = column('seeds'); button().click(); told.again = methods(); return told;""", tmp_path)
    assert seen["folded"].count("net") == 1 == seen["again"].count("net") and seen["open"].count("net") == 3 and seen["label"] == "2 other settings" and "2 other settings folded" in seen["count"]
    assert seen["spoken"] == ["2 other settings of net", "fold the 2 other settings of net"]
    assert seen["expanded"] == "true" and sorted(seen["seeds"]) == ["1"]*2 + ["2"]*4

def test_trained_to_the_end_counts_for_more_than_seeds_and_the_number_for_nothing(tmp_path):
    net = lambda value: [result()["rows"][0] | dict(method="rule", kind="trivial", value=.5), result()["rows"][3] | {"value": value, "low": None, "high": None, "protocol": "native", "metric": "RMSE"}]
    runs = [*(result(seed=s, parameters={"seed": s, "epochs": 8, "extra_epochs": 2}, rows=net(.3)) for s in (0, 1)), result(parameters={"seed": 0, "epochs": 8, "extra_epochs": 42}, rows=net(.4)),
            *(result(parameters={"seed": 0, "epochs": 1, "lr": lr}, rows=net(value)) for lr, value in ((.1, .1), (.2, .2)))]
    results = read(tmp_path, *runs)
    table = leaderboard.lines(results).query("method == 'net'").sort_values("variant")
    assert table["passes"].tolist() == [50, 10, 1, 1] and table["measured"].tolist()[:2] == [.4, .3] and table["seeds"].tolist()[1] == "0 1"
    # with equal evidence the digits of the setting decide, not the number
    assert table["setting"].tolist()[2:] == sorted(table["setting"].tolist()[2:])
    turned = leaderboard.lines(read(tmp_path / "turned", *(run if run["parameters"].get("lr") is None else run | {"rows": net(.3 - run["rows"][1]["value"])} for run in runs)))
    assert turned.query("method == 'net'").sort_values("variant")["setting"].tolist() == table["setting"].tolist()
    # the picture shows the same setting as the table
    [wide] = leaderboard._one_setting(placed(results), "stresnet", ["native"]).values()
    assert wide["value"]["native"].to_dict() == {("net", "paper"): .4, ("rule", "trivial"): .5}

def test_a_setting_without_a_value_is_named_none(tmp_path):
    table = leaderboard.lines(read(tmp_path, *(result(parameters={"seed": 0, "lacks": lacks}, rows=result()["rows"][3:4]) for lacks in ("", "CTC"))))
    assert set(table["differs"]) == {"lacks none", "lacks CTC"}

def test_that_a_study_was_confirmed_is_a_remark_and_no_mark():
    same = provenance.SAME + "s0.json, made again with today's, has the same numbers (to 3e-07)"
    assert not leaderboard.marked("") and not leaderboard.marked(same) and leaderboard.marked("profile paper; " + same) and leaderboard.marked("code changed: core")

def test_a_view_stands_in_the_address_and_comes_back_from_it(built):
    page, _, folder = built
    seen = visit(page, TOOLS + """set('task', 'Next-year hot spots'); set('protocol', 'area, density'); set('search', 'net'); const kept = address(), rows = methods();
        set('search', ''); set('task', 'Hourly map'); restore('#' + kept); const back = [at('task').value, at('protocol').value, at('search').value, methods()];
        restore('#task=no+such'); return [kept, rows, back, at('task').value];""", folder)
    kept, rows, back, after = seen
    assert "search=net" in kept and back == ["Next-year hot spots", "area, density", "net", rows] and rows == ["net"] and after == "Next-year hot spots"

def luminance(colour):
    parts = [int(colour[i:i + 2], 16)/255 for i in (1, 3, 5)]
    return sum(w*(c/12.92 if c <= .03928 else ((c + .055)/1.055)**2.4) for w, c in zip((.2126, .7152, .0722), parts))

def contrast(one, other):
    a, b = sorted((luminance(one), luminance(other)))
    return (b + .05)/(a + .05)

def test_letters_stand_out_by_day_and_by_night_and_everything_has_a_name(built):
    for kind, colour in leaderboard.COLOURS.items(): assert contrast(colour, leaderboard.DARK_ON.get(kind, "#ffffff")) >= 4.5, kind
    for block in re.findall(r":root\{([^}]*)\}", leaderboard.STYLE):
        colours = {name: value if len(value) == 7 else "#" + "".join(2*c for c in value[1:]) for name, value in re.findall(r"--(\w+):(#\w+)", block)}
        for name in ("ink", "soft", "accent", "warn"):
            for back in ("back", "tint"): assert contrast(colours[name], colours[back]) >= 4.5, (name, back)
    page, _, folder = built
    seen = visit(page, """return [document.querySelectorAll('main').length, !!document.querySelector('main table caption'), [...document.querySelectorAll('main svg')].every(s => s.getAttribute('role') === 'img' && s.getAttribute('aria-label')),
        [...document.querySelectorAll('select, input')].every(e => e.labels.length === 1)];""", folder)
    assert seen == [1, True, True, True]

def test_a_method_of_another_run_stands_in_the_picture_where_its_rules_score_the_same(tmp_path):
    row = dict(protocol="native", split="test", metric="RMSE", low=None, high=None, n=336, printed=None)
    def run(epochs, method, rule):
        return result(parameters={"seed": 0, "epochs": epochs}, rows=[row | dict(method=m, kind=k, value=v) for m, k, v in (("rule", "trivial", rule), ("last", "trivial", .5), *method)])
    many = run(1, [("net", "paper", .25), ("net layers=2", "paper", .1), ("tree", "baseline", .26)], .3)
    results = read(tmp_path, many, run(2, [("mixer", "ours", .24)], .3), run(3, [("stranger", "ours", .01)], .31))
    [wide] = leaderboard._one_setting(placed(results), "stresnet", ["native"]).values()
    assert set(wide.index.get_level_values("method")) == {"rule", "last", "net", "tree", "mixer"}

@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_window_and_a_phone_has_cards(built, width):
    page, _, folder = built
    seen = visit(page, TOOLS + """set('protocol', ''); set('metric', ''); const wide = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('svg')).map(e => e.outerHTML.slice(0, 80));
        return {width: innerWidth, wide, scroll: document.documentElement.scrollWidth, caption: document.querySelector('caption').getBoundingClientRect().height, row: getComputedStyle(document.querySelector('#body tr')).display, head: getComputedStyle(document.querySelector('thead')).display}""", folder, width)
    assert seen["width"] == width and seen["wide"] == [] and seen["scroll"] <= width and 0 < seen["caption"] < 60
    assert (seen["row"], seen["head"]) == (("grid", "none") if width == 375 else ("table-row", "table-header-group"))

def test_the_recorded_evidence_makes_a_page_that_opens_every_task(tmp_path):
    results = studies.read_results()
    page, csv = leaderboard.build(tmp_path / "out")
    # a page that a phone can load: 100 bytes a line with all pictures
    assert page.stat().st_size < 100*len(pd.read_csv(csv))
    assert len(pd.read_csv(csv)) == len(studies.leaderboard(results)) and csv.read_text().count("\n") == len(pd.read_csv(csv)) + 1
    seen = visit(page.read_text(), TOOLS + """return [...at('task').options].map(o => { set('task', o.value); return [o.value, methods().length, document.documentElement.scrollWidth <= innerWidth]; })""", tmp_path)
    assert {task for task, _, _ in seen} >= {task.title for study, task in leaderboard.TASKS.items() if study in set(results["study"])} and all(n > 0 and fits for _, n, fits in seen)
    assert len(seen) == results["study"].nunique()
