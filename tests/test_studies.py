"crimenb.lab.studies: settings that are refused or resolved, result files, runs that end well and badly."
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from nbformat.v4 import new_code_cell, new_notebook

from crimenb import core
from crimenb.lab import cli, studies
from crimenb.core import InputError

REAL = Path(__file__).parents[2] / "shared" / "data"
PROFILE = "throws: 100\nbonus: 0.0\nloud: false\ndatasets:\n  fair: {}\n  generous: {bonus: 0.5}\n"
DECLARED = ('dataset: str = "fair"   # which die\nprofile: str = "smoke"   # where values come from\nseed: int = 0   # seed\n'
            'throws: int = None   # how many\nbonus: float = None   # added\nloud: bool = None   # or not\nout: str = "runs"   # folder')
MEASURE = ('run.add([dict(method="throws", kind="ours", protocol="plain", split="test", metric="mean",\n'
           '              value=run.throws + run.bonus, low=None, high=None, n=run.throws)])')


@pytest.fixture
def folder(tmp_path):
    "A folder with one small study, `dice`."
    write_study(tmp_path)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "dice-smoke.yaml").write_text(PROFILE)
    return tmp_path

def write_study(folder, declared=DECLARED, measure=MEASURE, tags=("parameters",), end="run.save()"):
    setup = new_code_cell(declared, metadata={"tags": list(tags)})
    cells = [setup, new_code_cell(f'from crimenb.lab import studies\nrun = studies.begin("dice", globals(), {str(folder)!r})'),
             new_code_cell(measure), new_code_cell(end)]
    meta = {"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}}
    nbformat.write(new_notebook(cells=cells, metadata=meta), folder / "dice.ipynb")

def values_of(folder, **given): return studies.resolve("dice", given, folder)

def a_result(**changes):
    row = dict(method="m", kind="paper", protocol="full", split="test", metric="MRR", value=.5, low=.4, high=.6, n=10, blocks=10, printed=None)
    return dict(study="dice", profile="cpu", dataset="fair", data_sha256={"a.txt": "00"}, seed=0, parameters={"seed": 0}, versions={},
                commit=None, device="cpu", seconds=1., peak_memory_bytes=1, rows=[row]) | changes


# --- settings ---

def test_given_wins_over_the_data_set_and_that_over_the_profile(folder):
    assert values_of(folder)["bonus"] == 0.
    assert values_of(folder, dataset="generous")["bonus"] == .5
    assert values_of(folder, dataset="generous", bonus=0.)["bonus"] == 0.
    assert values_of(folder, bonus=None) == values_of(folder)
    assert list(values_of(folder)) == ["dataset", "profile", "seed", "throws", "bonus", "loud", "out"]

def test_a_whole_number_becomes_a_float_where_one_is_asked_for_and_nothing_else_is_bent(folder):
    assert type(values_of(folder, bonus=2)["bonus"]) is float
    for wrong in (dict(throws=1.), dict(throws=True), dict(throws="1"), dict(bonus="1"), dict(bonus=True), dict(bonus=math.inf),
                  dict(bonus=math.nan), dict(loud=1), dict(loud="true"), dict(seed=.5), dict(seed=[0])):
        with pytest.raises(InputError, match=f"parameter {[*wrong][0]} of dice must be"): values_of(folder, **wrong)

@pytest.mark.parametrize("wrong, says", [
    (dict(throw=1), "unknown parameter of dice 'throw': use one of dataset, profile, seed, throws"),
    (dict(dataset="loaded"), "unknown data set of dice 'loaded': use one of fair, generous"),
    (dict(profile="cpu"), "unknown profile of dice 'cpu': use one of smoke")])
def test_unknown_names_are_refused_with_the_known_ones(folder, wrong, says):
    with pytest.raises(InputError) as error: values_of(folder, **wrong)
    assert says in str(error.value)

def test_an_unknown_study_is_refused(folder):
    for call in (studies.parameters, studies.profiles, studies.resolve):
        with pytest.raises(InputError, match="unknown study 'cards': use one of dice"): call("cards", folder=folder)

@pytest.mark.parametrize("text, says", [
    (PROFILE.replace("throws: 100\n", ""), "parameter throws of dice has no value"),
    (PROFILE.replace("throws: 100", "throws: null"), "parameter throws of dice has no value"),
    (PROFILE.replace("throws: 100", "throws: many"), "parameter throws of dice must be of type int"),
    (PROFILE + "colour: red\n", "unknown parameter in dice-smoke.yaml 'colour'"),
    (PROFILE + "seed: 1\n", "unknown parameter in dice-smoke.yaml 'seed'"),
    (PROFILE.replace("fair: {}", "fair: {colour: red}"), "unknown parameter in dice-smoke.yaml 'colour'"),
    ("throws: 100\n", "must be a mapping of parameters with an entry `datasets`"),
    ("", "must be a mapping"), ("- 1\n", "must be a mapping"), ("throws: [1\n", "is not YAML")])
def test_a_broken_profile_is_refused(folder, text, says):
    (folder / "params" / "dice-smoke.yaml").write_text(text)
    with pytest.raises(InputError) as error: values_of(folder)
    assert says in str(error.value) and "\n" not in str(error.value)

def test_a_data_set_without_changes_may_be_left_empty(folder):
    (folder / "params" / "dice-smoke.yaml").write_text(PROFILE.replace("fair: {}", "fair:"))
    assert values_of(folder)["throws"] == 100

@pytest.mark.parametrize("declared, tags, says", [
    (DECLARED.replace('out: str = "runs"   # folder', ""), ["parameters"], "declares no parameter out"),
    (DECLARED, ["setup"], "declares no parameter dataset"),
    (DECLARED.replace("throws: int", "throws: complex"), ["parameters"], "unknown type for parameter throws of dice 'complex'"),
    (DECLARED.replace("throws: int", "throws"), ["parameters"], "unknown type for parameter throws of dice 'None'")])
def test_a_study_that_declares_its_parameters_badly_is_refused(folder, declared, tags, says):
    write_study(folder, declared, tags=tags)
    with pytest.raises(InputError, match=says): studies.parameters("dice", folder)

def test_text_is_read_as_the_declared_type(folder):
    assert studies.from_text("dice", ["throws=3", "bonus=1e-3", "loud=True", "dataset=a=b"], folder) == \
        {"throws": 3, "bonus": .001, "loud": True, "dataset": "a=b"}
    assert studies.from_text("dice", ["dataset="], folder) == {"dataset": ""}
    for wrong in (["throws=3.0"], ["throws="], ["bonus=x"], ["loud=1"], ["throws"], ["=3"], ["colour=red"], ["seed=1", "seed=1"]):
        with pytest.raises(InputError): studies.from_text("dice", wrong, folder)

@given(throws=st.integers(-2**63 + 1, 2**63 - 1), bonus=st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_as_text_is_what_is_resolved(shared_folder, throws, bonus):
    text = [f"throws={throws}", f"bonus={bonus!r}"]
    values = studies.resolve("dice", studies.from_text("dice", text, shared_folder), shared_folder)
    assert (values["throws"], values["bonus"]) == (throws, bonus)

@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dice")
    write_study(folder)
    (folder / "params").mkdir()
    (folder / "params" / "dice-smoke.yaml").write_text(PROFILE)
    return folder

@pytest.mark.parametrize("study", studies.names())
def test_every_profile_of_the_library_fits_its_study_on_every_data_set(study):
    assert studies.profiles(study) == ["cpu", "paper", "smoke"]
    for profile in studies.profiles(study):
        for dataset in studies.profile(study, profile)[1]:
            # the settings for a city's card, whose path would be the data set
            if dataset != "card": studies.resolve(study, {"profile": profile, "dataset": dataset})
    for p in studies.parameters(study).values(): assert p.help, f"{p.name} has no help"

def test_the_paper_profile_has_the_papers_weights():
    weights = {d: [studies.resolve("crimealarm", {"profile": "paper", "dataset": d})[k] for k in ("alpha", "gamma", "beta")]
               for d in ("nyc16", "chi18")}
    assert weights == {"nyc16": [5, 1, 1], "chi18": [3, 1, 3]}


# --- result files ---

def test_a_result_comes_back_as_it_was_written(folder):
    run = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    run.used("dice.ipynb", folder / "dice.ipynb")
    scores = pd.DataFrame({"HR@5": [0., 1., 1., 1.], "MRR": [.1, .2, .3, .4]})
    run.add(studies.score_rows(scores, "counts", "trivial", "full", printed={"MRR": .3}))
    run.add(pd.DataFrame([dict(method="best", kind="floor", protocol="full", split="test", metric="MRR", value=1, low=None, high=None, n=4)]))
    run.save()
    back = studies.read_results(folder / "runs")
    assert list(back["value"]) == [.75, .25, 1.] and back["printed"].isna().tolist() == [True, False, True]
    assert back["low"].isna().tolist() == [False, False, True]
    assert (back["seed"] == 0).all() and back["data_sha256"][0].keys() == {"dice.ipynb"}
    assert "out" not in back["parameters"][0] and back["parameters"][0]["throws"] == 100
    text = run.path(".json").read_text()
    assert str(folder) not in text
    run.path(".json").write_text(text.replace('"value": 0.75', '"value": 0.74'))
    with pytest.raises(InputError, match="changed after its run"): studies.read_results(folder / "runs")

def test_a_run_says_what_its_own_networks_used_and_not_those_of_an_earlier_run_in_the_process(folder):
    from crimenb import training
    said = []
    for seed, precision in ((0, "bfloat16"), (1, "float32"), (2, None)):
        run = studies.Run("dice", values_of(folder, out=str(folder / "runs"), seed=seed))
        if precision: training.note(device="cpu, 1 threads", precision=precision)
        run.add([dict(method="best", kind="floor", protocol="full", split="test", metric="MRR", value=1, low=None, high=None, n=4)])
        run.save()
        said.append(json.loads(run.path(".json").read_text()).get("computed"))
    assert said == [{"precision": ["bfloat16"]}, {"precision": ["float32"]}, None]

def test_a_row_says_on_how_many_blocks_its_interval_rests(folder):
    run = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    row = dict(method="net", kind="paper", protocol="full", split="test", metric="MRR", value=.5, low=.4, high=.6, n=30)
    for lacking in (row, row | {"blocks": None}, row | {"blocks": math.nan}):
        with pytest.raises(InputError, match="MRR, has an interval: say in blocks"): run.add([lacking])
    run.add([row | {"blocks": 5.}, row | {"metric": "HR@5", "low": None, "high": None}, row | {"metric": "HR@9", "low": None, "high": None, "blocks": 5}])
    run.save()
    assert [r.get("blocks") for r in run.rows] == [5, None, None] and type(run.rows[0]["blocks"]) is int
    assert studies.read_results(folder / "runs")["blocks"].fillna(0).tolist() == [5, 0, 0]
    given = a_result()["rows"][0]
    assert given["low"] is not None and studies.validate(a_result(rows=[given | {"blocks": 2}]))
    for wrong in (dict(blocks=1), dict(blocks=None), dict(blocks=2.5), dict(blocks=True), dict(blocks=5, low=None, high=None)):
        with pytest.raises(InputError): studies.validate(a_result(rows=[given | wrong]))

def test_every_recorded_interval_says_its_blocks():
    results = studies.read_results(studies.folder_of("results"))
    assert (results["blocks"].notna() == results["low"].notna()).all() and results["low"].notna().sum() > 15_000

def test_a_missing_or_extra_key_or_a_value_that_is_none_is_refused():
    assert studies.validate(a_result()) == a_result()
    row = a_result()["rows"][0]
    broken = [{k: v for k, v in a_result().items() if k != gone} for gone in studies.RESULT]
    broken += [a_result(rows=[{k: v for k, v in row.items() if k != gone}]) for gone in studies.ROW]
    broken += [a_result(extra=1), a_result(rows=[row | {"extra": 1}]), a_result(rows=[row, row]), a_result(rows=[None]), a_result(rows={}), []]
    broken += [a_result(rows=[row | {k: v}]) for k in ("value", "low", "high", "printed") for v in (math.nan, math.inf, 1.7e308, "1", True)]
    broken += [a_result(rows=[row | c]) for c in (dict(value=None), dict(n=1.5), dict(kind="best"), dict(low=None), dict(low=.55), dict(method=1))]
    broken += [a_result(**{k: None}) for k in studies.RESULT if k != "commit"] + [a_result(seconds=math.nan), a_result(seed=True)]
    broken += [a_result(**{k: -1}) for k in ("seconds", "seed", "peak_memory_bytes")] + [a_result(rows=[row | {"n": -5}]), a_result(computed={"gpu_peak_memory_bytes": -1})]
    for result in broken:
        with pytest.raises(InputError): studies.validate(result)
    with pytest.raises(InputError, match="row 0: n is -5: it must be at least 0"): studies.validate(a_result(rows=[row | {"n": -5}]))

@pytest.mark.parametrize("text", ["", "{", "[]", "null", json.dumps(a_result(extra=1)), json.dumps(a_result(seconds=math.nan)), "\x00",
                                  "[" * 100_000, json.dumps(a_result(seed="?")).replace('"?"', "1" * 5000), None], ids=range(10))
def test_a_file_that_is_no_result_is_named_and_not_left_out(tmp_path, text):
    (tmp_path / "good.json").write_text(json.dumps(a_result()))
    assert len(studies.read_results(tmp_path)) == 1
    if text is None: (tmp_path / "bad.json").mkdir()
    else: (tmp_path / "bad.json").write_text(text)
    with pytest.raises(InputError, match="bad.json is not a result file"): studies.read_results(tmp_path)

def test_no_folder_is_an_error_and_an_empty_one_an_empty_table(tmp_path):
    with pytest.raises(InputError, match="there is no folder"): studies.read_results(tmp_path / "none")
    assert studies.read_results(tmp_path).empty and "value" in studies.read_results(tmp_path)

def test_a_wheel_without_results_has_an_empty_table(monkeypatch, tmp_path):
    monkeypatch.setattr(studies, "folder_of", lambda what: tmp_path / what)
    assert studies.read_results().empty

def test_an_invalid_row_is_refused_when_it_is_added_and_nothing_is_written(folder):
    run = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    good = a_result()["rows"][0]
    for wrong in (good | {"value": math.nan}, good | {"colour": "red"}, {k: v for k, v in good.items() if k != "n"}):
        with pytest.raises(InputError): run.add([wrong])
    run.add([good])
    run.add([good])
    with pytest.raises(InputError, match="there twice"): run.save()
    assert not (folder / "runs").exists()

def test_the_files_name_changes_with_every_parameter_but_the_folder(folder):
    base = values_of(folder)
    assert studies.stem("dice", base).startswith("dice-smoke-fair-s0-")
    for changed in (dict(seed=1), dict(throws=1), dict(bonus=.1), dict(loud=True), dict(dataset="generous")):
        assert studies.stem("dice", values_of(folder, **changed)) != studies.stem("dice", base)
    assert studies.stem("dice", values_of(folder, out="elsewhere")) == studies.stem("dice", base)

def test_versions_and_commit_are_those_of_the_beginning(folder, monkeypatch):
    monkeypatch.setattr(studies, "commit", lambda: "b"*40)
    monkeypatch.setattr(studies, "versions", lambda: {"python": "then"})
    run = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    monkeypatch.setattr(studies, "commit", lambda: "e"*40)
    monkeypatch.setattr(studies, "versions", lambda: {"python": "now"})
    run.add(a_result()["rows"])
    run.save()
    [row] = studies.read_results(folder / "runs").to_dict("records")
    assert row["commit"] == "b"*40 and row["versions"] == {"python": "then"}

def test_the_commit_is_that_of_the_checkout_and_without_git_there_is_none(monkeypatch, tmp_path):
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(studies.crimenb, "__file__", str(tmp_path / "package" / "__init__.py"))
    git = lambda *words: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b@c", *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()
    git("init")
    assert studies.commit() is None
    (tmp_path / "settings.ini").write_text("1")
    git("add", "."), git("commit", "-m", "first")
    assert studies.commit() == git("rev-parse", "HEAD")
    (tmp_path / "settings.ini").write_text("2")
    assert studies.commit() == git("rev-parse", "HEAD") + "-dirty"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert studies.commit() is None

def test_seconds_of_earlier_starts_count(folder):
    run = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    run.spent(5000.)
    run.spent(2000)
    run.add(a_result()["rows"])
    run.save()
    assert 7000 <= studies.read_results(folder / "runs")["seconds"][0] < 7600
    for wrong in (-1, math.nan):
        with pytest.raises(InputError, match="seconds is"): run.spent(wrong)

def test_a_parameter_can_not_hide_what_a_run_has():
    with pytest.raises(InputError, match="save"): studies.Run("dice", {"save": 1})

def test_the_recorded_evidence_is_valid_and_without_smoke():
    profiles = set(studies.read_results()["profile"])
    assert profiles and "smoke" not in profiles
    # so that nobody changes a number unseen
    assert studies.read_results()["seal"].str.fullmatch("[0-9a-f]{64}").all()

def test_recording_copies_all_but_smoke(tmp_path):
    for profile in ("smoke", "cpu", "paper"): (tmp_path / f"{profile}.json").write_text(json.dumps(a_result(profile=profile)))
    kept = studies.record(tmp_path, tmp_path / "kept")
    assert sorted(p.name for p in kept) == ["cpu.json", "paper.json"]
    # of a file from before runs were sealed, which gets its seal, and of one that has it
    assert {**json.loads((tmp_path / "cpu.json").read_text()), "seal": studies.seal_of(a_result(profile="cpu"))} == json.loads(kept[0].read_text())
    assert studies.record(tmp_path / "kept", tmp_path / "again") and (tmp_path / "again/cpu.json").read_bytes() == kept[0].read_bytes()

@pytest.mark.parametrize("change", [{"seal": "0"*64}, {"seconds": 1e-3}, {"seal": None}, {"seal": ""}])
def test_a_result_that_was_changed_after_its_run_is_refused_by_all_who_read_it(tmp_path, capsys, change):
    path = tmp_path / "rtm-cpu-city-s0-00000000.json"
    path.write_text(json.dumps(a_result() | {"seal": studies.seal_of(a_result())} | change))
    for ask in (["leaderboard", "--results", tmp_path], ["leaderboard", "--results", tmp_path, "--html", tmp_path / "site"], ["reproduce", path], ["reproduce", "--confirm", path]):
        assert cli.main([str(word) for word in ask]) == 2
        said = capsys.readouterr().err
        assert str(path) in said and ("bring back the file that the run wrote, or make the run again" in said or "seal can not be None" in said) and said.count("\n") == 1
    for read in (studies.read_results, lambda folder: studies.record(folder, tmp_path / "into")):
        with pytest.raises(InputError, match="is not a result file"): read(tmp_path)
    assert not (tmp_path / "into").exists() and not (tmp_path / "site").exists()

def test_a_result_that_is_a_pipe_or_has_no_end_is_no_result(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for make in (lambda: None, lambda: (tmp_path / "a.json").unlink() or (tmp_path / "a.json").symlink_to("/dev/zero")):
        make()
        with pytest.raises(InputError, match="a.json is not a result file: it is no file, but a folder, a device or a pipe"): studies.read_results(tmp_path)

def test_the_leaderboard_joins_seeds_and_keeps_settings_and_printed_apart(tmp_path):
    row = a_result()["rows"][0] | {"kind": "paper"}
    runs = [(0, 5, row | {"value": .5, "low": .4, "high": .6, "printed": .7}), (1, 5, row | {"value": .6, "low": .5, "high": .8, "printed": .7}),
            (0, 9, row | {"value": .9, "low": .8, "high": .95})]
    for i, (seed, epochs, r) in enumerate(runs):
        (tmp_path / f"{i}.json").write_text(json.dumps(a_result(seed=seed, parameters={"seed": seed, "epochs": epochs}, rows=[r])))
    lines = studies.leaderboard(studies.read_results(tmp_path))
    assert lines["measured"].tolist() == [.9, .55] and lines["seeds"].tolist() == ["0", "0 1"]
    assert lines[["low", "high"]].values.tolist() == [[.8, .95], [.4, .8]]
    assert math.isnan(lines["printed"][0]) and lines["printed"][1] == .7
    assert lines["setting"].nunique() == 2

def test_the_leaderboard_has_one_line_for_a_rule_and_joins_runs_of_other_methods(tmp_path):
    rule, trained = a_result()["rows"][0] | {"kind": "trivial", "method": "a rule"}, a_result()["rows"][0] | {"kind": "paper"}
    for i, methods in enumerate(("A", "B")):
        (tmp_path / f"{i}.json").write_text(json.dumps(a_result(parameters={"seed": 0, "methods": methods, "epochs": i}, rows=[rule, trained | {"method": methods}])))
    assert sorted(studies.leaderboard(studies.read_results(tmp_path))["method"]) == ["A", "B", "a rule"]


def test_the_leaderboard_keeps_a_rule_apart_that_was_asked_another_question(tmp_path):
    rule = a_result()["rows"][0] | {"kind": "trivial", "method": "a rule"}
    for i, (years, epochs, value) in enumerate(((1, 5, .4), (1, 9, .4), (6, 5, .6))):
        (tmp_path / f"{i}.json").write_text(json.dumps(a_result(parameters={"seed": 0, "years": years, "epochs": epochs}, rows=[rule | {"value": value}])))
    assert studies.leaderboard(studies.read_results(tmp_path))["measured"].tolist() == [.6, .4]

def test_the_leaderboard_never_joins_different_data_under_one_name(tmp_path):
    rule, trained = a_result()["rows"][0] | {"kind": "trivial", "method": "a rule"}, a_result()["rows"][0] | {"kind": "paper"}
    for i, sha in enumerate(("00", "11", "11")):
        rows = [rule | {"value": .45 + .05 * i}, trained | {"value": .45 + .05 * i}]
        (tmp_path / f"{i}.json").write_text(json.dumps(a_result(data_sha256={"city": sha}, seed=i, parameters={"seed": i}, rows=rows)))
    lines = studies.leaderboard(studies.read_results(tmp_path)).set_index(["method", "seeds"])["measured"].round(3).to_dict()
    assert lines == {("a rule", "0"): .45, ("m", "0"): .45, ("a rule", "1 2"): .525, ("m", "1 2"): .525}


# --- beginning and running ---

def test_begin_refuses_what_papermill_was_given_by_mistake_and_what_was_misspelt(folder):
    namespace = dict(dataset="fair", profile="smoke", seed=0, throws=5, bonus=None, loud=None, out="runs")
    harmless = ["", "%matplotlib inline", "x = 1", "import os\nthrow = 3", "seed, other = 1, 2\nprint(seed)", "# Parameters\nthrows = 5\n"]
    assert studies.begin("dice", namespace | {"In": harmless}, folder).throws == 5
    for cell in ("# Parameters\nthrow = 5\n", "# Parameters\nthrows = 5\nthrow = float('nan')\n", "throws = 5\nthrow = 6", DECLARED + "\ncolour: str = None"):
        with pytest.raises(InputError, match="unknown parameter of dice"): studies.begin("dice", namespace | {"In": ["", cell]}, folder)

def test_begin_looks_at_the_cell_that_ran_last_so_that_a_mended_name_is_accepted(folder):
    namespace = dict(dataset="fair", profile="smoke", seed=0, throws=5, bonus=None, loud=None, out="runs")
    misspelt, given = DECLARED.replace("throws:", "throwz:"), "# Parameters\nthrow = 5\n"
    begin = lambda *cells: studies.begin("dice", namespace | {"In": ["", *cells]}, folder)
    assert begin(misspelt, "1 + 1", DECLARED).throws == begin(given, given.replace("throw ", "throws ")).throws == 5
    # one that is right does not excuse the other: papermill's cell follows the notebook's own
    for cells in ((DECLARED, misspelt), (misspelt, "# Parameters\nseed = 1\n"), (DECLARED, given), (given, DECLARED)):
        with pytest.raises(InputError, match="unknown parameter of dice 'throw"): begin(*cells)

def test_begin_says_where_each_value_comes_from(folder, capsys):
    run = studies.begin("dice", dict(dataset="generous", profile="smoke", seed=4, throws=None, bonus=None, loud=True, out="runs"), folder)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines[:4] == [["dataset", "generous", "given"], ["profile", "smoke", "default"], ["seed", "4", "given"], ["throws", "100", "smoke"]]
    assert lines[4] == ["bonus", "0.5", "smoke,", "generous"] and run.parameters["loud"] is True

def test_reproduce_leaves_notebook_result_and_page(folder, tmp_path):
    # papermill takes braces in a path for places of parameters
    paths = studies.reproduce("dice", {"throws": 7}, tmp_path / "{r}{0}", folder)
    assert sorted(p.name for p in (tmp_path / "{r}{0}").iterdir()) == sorted(p.name for p in paths[:3])
    assert len({p.stem for p in paths[:3]}) == 1
    result = studies.validate(json.loads(paths.result.read_text()))
    assert result["rows"][0]["value"] == 7 and result["parameters"]["throws"] == 7 and result["seconds"] >= 0
    assert {"python", "torch", "numpy", "crimenb"} <= result["versions"].keys() and result["peak_memory_bytes"] > 10**7
    assert "<summary>code</summary>" in paths.page.read_text()
    nbformat.validate(nbformat.read(paths.notebook, as_version=4))
    # the same run, from a notebook that forgets to save: the old result must not pass for its own
    write_study(folder, end="pass")
    with pytest.raises(studies.StudyFailed, match="ended without a result"): studies.reproduce("dice", {"throws": 7}, tmp_path / "{r}{0}", folder)
    assert json.loads(paths.result.read_text()) == result

def test_bad_input_is_refused_before_anything_is_written(folder, tmp_path):
    for wrong in (dict(throw=1), dict(throws="x"), dict(dataset="loaded"), dict(profile="cpu")):
        with pytest.raises(InputError): studies.reproduce("dice", wrong, tmp_path / "runs", folder)
    assert not (tmp_path / "runs").exists()
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", "/proc", "/" + "a" * 300):
        with pytest.raises(InputError, match="can not write to"): studies.reproduce("dice", {}, out, folder)

def test_a_folder_that_this_run_made_and_left_empty_is_removed_and_no_other(folder, tmp_path, monkeypatch):
    def stop(*_, **__): raise KeyboardInterrupt
    monkeypatch.setattr("papermill.execute_notebook", stop)
    (tmp_path / "old").mkdir()
    for out in ("new", "old"):
        with pytest.raises(KeyboardInterrupt): studies.reproduce("dice", {}, tmp_path / out, folder)
    assert not (tmp_path / "new").exists() and list((tmp_path / "old").iterdir()) == []

@pytest.mark.parametrize("measure, error, says, left", [
    ("1/0", studies.StudyFailed, "ZeroDivisionError: division by zero", [".failed", ".ipynb"]),
    ("from crimenb.core import InputError\nraise InputError('no such\\nfile')", InputError, "no such file", None),
    ("import os\nos._exit(1)", studies.StudyFailed, "died", [".failed", ".ipynb"])])
def test_a_study_that_breaks_says_why_in_one_line_and_leaves_no_half_result(folder, measure, error, says, left):
    write_study(folder, measure=measure)
    with pytest.raises((InputError, studies.StudyFailed)) as caught: studies.reproduce("dice", {}, folder / "runs", folder)
    assert type(caught.value) is error and "dice.ipynb" in str(caught.value) and says in str(caught.value) and "\n" not in str(caught.value)
    # what was wrong with the input is all in the sentence
    if left: assert [p.suffixes for p in (folder / "runs").iterdir()] == [left]
    else: assert not (folder / "runs").exists()

def test_without_a_terminal_a_line_says_again_and_again_what_the_run_is_at(folder, monkeypatch):
    monkeypatch.delenv("CRIMENB_PROGRESS", raising=False)
    monkeypatch.setattr(core, "EVERY", .3)
    write_study(folder, measure="import time\nfrom crimenb.core import progress\nfor _ in progress(range(20), 'throwing', unit='throw'): time.sleep(.1)\n" + MEASURE)
    notebook = nbformat.read(folder / "dice.ipynb", as_version=4)
    notebook.cells.insert(2, nbformat.v4.new_markdown_cell("## Many throws\n\nand a word on them"))
    nbformat.write(notebook, folder / "dice.ipynb")
    said = []
    paths = studies.reproduce("dice", {}, folder / "runs", folder, said.append)
    assert all(line.startswith("dice, 0:") for line in said) and len(said) >= 3
    assert any(re.search(r"cell \d of 6, Many throws; throwing: +\d+% +\d+/20 \[", line) for line in said), said
    # what a bar drew is not in the notebook, and nothing is said after the end
    assert "throwing:" not in paths.notebook.read_text() and os.environ.get("CRIMENB_PROGRESS") is None
    count = len(said)
    time.sleep(.7)
    assert len(said) == count
    studies.reproduce("dice", {}, folder / "runs", folder)
    assert len(said) == count

def test_two_equal_runs_into_one_folder_do_not_share_a_file_that_is_being_written(folder):
    write_study(folder, measure="import time\ntime.sleep(2)\n" + MEASURE)
    code = f"from crimenb.lab import studies; studies.reproduce('dice', {{}}, {str(folder / 'runs')!r}, {str(folder)!r})"
    runs = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    most = 0
    while any(run.poll() is None for run in runs):
        most = max(most, len(list((folder / "runs").glob(".dice-*.partial.ipynb"))))
        time.sleep(.05)
    assert [run.communicate()[1] for run in runs] == ["", ""] and [run.returncode for run in runs] == [0, 0] and most == 2
    assert sorted(p.suffix for p in (folder / "runs").iterdir()) == [".html", ".ipynb", ".json"]
    nbformat.validate(nbformat.read(next((folder / "runs").glob("*.ipynb")), as_version=4))

def test_without_papermill_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    with pytest.raises(InputError, match=r"pip install 'crimenb\[reproduce\]'"): studies.reproduce("crimealarm", {})

def papermill(folder, *given):
    "Plain papermill on the CrimeAlarm study, from an empty folder."
    env = dict(os.environ)
    if REAL.is_dir(): env.setdefault("CRIMENB_DATA", str(REAL))
    command = [sys.executable, "-m", "papermill", str(studies.folder_of("reproduce") / "crimealarm.ipynb"), "out.ipynb", *given]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

def test_plain_papermill_runs_the_study_on_real_data_and_the_rules_give_the_known_numbers(tmp_path):
    done = papermill(tmp_path, "-p", "dataset", "nyc16", "-p", "methods", "")
    assert done.returncode == 0, done.stderr[-2000:]
    lines = studies.read_results(tmp_path / "runs").set_index(["method", "protocol", "metric"])["value"]
    known = {("popularity-100", "NDCG@5"): .555, ("popularity-100", "HR@5"): .584, ("popularity-100", "HR@10"): .641,
             ("popularity-100", "MRR"): .566, ("full", "NDCG@5"): .177, ("full", "HR@5"): .273, ("full", "MRR"): .181}
    for (protocol, metric), value in known.items(): assert lines["spot counts", protocol, metric] == pytest.approx(value, abs=.005)

def test_plain_papermill_refuses_an_unknown_parameter(tmp_path):
    done = papermill(tmp_path, "-p", "epoch", "1")
    assert done.returncode != 0 and "unknown parameter of crimealarm 'epoch'" in done.stderr
    assert not (tmp_path / "runs").exists()

def test_the_paper_profile_takes_its_first_step(tmp_path):
    # a small city: one step is of the paper's size on any, and the rest is evaluation
    paths = studies.reproduce("crimealarm", {"profile": "paper", "dataset": "city", "city_events": 8000, "methods": "CrimeAlarm", "max_steps": 1}, tmp_path)
    result = json.loads(paths.result.read_text())
    assert result["parameters"]["batch"] == 256 and result["parameters"]["epochs"] == 100 and result["parameters"]["copies"] == 11
    trained = {(row["method"], row["protocol"]) for row in result["rows"] if row["kind"] == "paper"}
    assert trained == {(m, p) for m in ("CrimeAlarm", "CrimeAlarm, peer 2") for p in ("popularity-100", "popularity-100, seen first", "uniform-99", "uniform-99, seen first", "full")}
    # a run that was cut short leaves no checkpoint that a later one could take for a finished epoch
    assert not list(tmp_path.glob("*.pt"))

def test_where_less_is_better_the_smallest_comes_first(tmp_path):
    row = dict(kind="trivial", protocol="weekly", split="test", low=None, high=None, n=10, printed=None)
    result = dict(study="s", profile="cpu", dataset="d", data_sha256={}, seed=0, parameters={}, versions={"python": "3"}, commit=None, device="cpu", seconds=1., peak_memory_bytes=1,
                  rows=[{**row, "method": m, "metric": metric, "value": v} for m, v in (("a", 1.), ("b", 2.)) for metric in ("RMSE", "PAI@1%")])
    (tmp_path/"one.json").write_text(json.dumps(result))
    lines = studies.leaderboard(studies.read_results(tmp_path))
    assert lines.groupby("metric")["method"].first().to_dict() == {"PAI@1%": "b", "RMSE": "a"}


# --- the answer of a run ---

def test_the_answer_is_the_best_of_each_kind_under_the_tasks_protocol_and_metric():
    def row(method, kind, value, metric="RMSE", protocol="fine maps", low=None, high=None):
        return dict(method=method, kind=kind, value=value, metric=metric, protocol=protocol, low=low, high=high, split="test")
    rows = [row("last hour", "trivial", .3), row("mean", "trivial", .2, low=.19, high=.21), row("net", "paper", .25), row("net", "paper", .01, protocol="native"), row("net", "paper", .1, "MAE"),
            row("mean minus last hour", "trivial", -.1, protocol="fine maps, paired")]
    which, best = studies.headline(rows, "stresnet")
    assert which == "RMSE (less is better), fine maps" and best.values.tolist()[0][:3] == ["trivial", "mean", .2] and best.method.tolist() == ["mean", "net"]
    assert studies.in_lines(which, best)[1:] == ["  trivial      0.2 (0.19 to 0.21)  mean", "  paper        0.25  net"]
    # a study that no task knows opens with what it says first, and less is better only where the metric says so
    assert studies.headline([row("heads", "trivial", .5, "share"), row("tails", "ours", .6, "share")], "coin")[0] == "share (more is better), fine maps"
    assert studies.headline([row("mean", "trivial", 1.) | {"split": "train"}], "coin")[1].empty

def test_the_page_of_a_run_starts_with_table_pictures_and_account():
    rows = [dict(method=m, kind=k, value=v, metric="RMSE", protocol=p, low=v - .01, high=v + .01, split="test", n=336, blocks=14)
            for p in ("fine maps", "native") for m, k, v in (("mean", "trivial", .3), ("net", "paper", .25), ("net filters=8", "paper", .2), ("truth", "floor", .2))]
    result = a_result(study="stresnet", profile="smoke", rows=rows, parameters={"seed": 0, "epochs": 2, "lr": .01})
    page = studies.answer(result, ["/x/next.csv"], {"epochs": 2}, ["/x/run.json"])
    # both protocols of the task, and no variants in the pictures
    assert page.count("<figure>") == 2 and "fine maps</figcaption>" in page and "native</figcaption>" in page and ">net filters=8</text>" not in page and ">net</text>" in page
    places = [page.index(part) for part in ("Hourly map, ", "nothing about the methods", "Best of each kind", "<svg", "href='next.csv'", "The account", "<td>epochs</td><td>2</td><td>given</td>", "href='run.json'")]
    assert places == sorted(places) and "/x/" not in page
    # a run of another profile has no caution, one without a test no picture
    plain = studies.answer(result | {"profile": "cpu", "rows": [r | {"split": "train"} for r in rows]})
    assert "nothing about the methods" not in plain and "<figure>" not in plain and "nothing was measured on a test" in plain


def test_numbers_of_different_precisions_are_never_put_together(tmp_path):
    "`auto` is what the hardware made of it: float32 and bfloat16 are two settings, whatever was asked for."
    def run(asked, used, i, value):
        row = a_result()["rows"][0] | {"value": value}
        (tmp_path / f"{i}.json").write_text(json.dumps(a_result(seed=i, parameters={"seed": i, "precision": asked}, computed={"precision": [used]}, rows=[row])))
    for i, (asked, used, value) in enumerate([("auto", "float32", .5), ("float32", "float32", .52), ("auto", "bfloat16", .42), ("bfloat16", "bfloat16", .44)]): run(asked, used, i, value)
    lines = studies.leaderboard(studies.read_results(tmp_path))
    assert sorted(zip(lines["measured"].round(3), lines["seeds"])) == [(.43, "2 3"), (.51, "0 1")]
    # older files say nothing of it, and stand where they stood
    assert studies.setting(a_result()) == studies.setting(a_result(computed={"precision": ["float32"]}))


def test_what_a_run_needs_while_it_works_goes_when_its_result_is_there_and_earlier_time_counts(folder):
    import torch
    from crimenb import training
    run = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    assert not run.checkpoint("-net.pt").exists()
    path, trials = run.path("-net.pt"), run.scratch("-trials.pt")
    path.parent.mkdir()
    net = torch.nn.Linear(1, 1)
    training.train(net, lambda epoch, rng: [torch.zeros(2, 1)], lambda net, x, t: net(x).square().mean(), 3, seed=0, checkpoint=path)
    trials.write_text("{}")
    spent = sum(epoch["seconds"] for epoch in training.load_checkpoint(path)["log"])
    again = studies.Run("dice", values_of(folder, out=str(folder / "runs")))
    started = again._started
    assert again.checkpoint("-net.pt") == path and again._started == pytest.approx(started - spent) and spent > 0
    again.scratch("-trials.pt")
    again.save()
    assert again.path(".json").exists() and not path.exists() and not trials.exists()
