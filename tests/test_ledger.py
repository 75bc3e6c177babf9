"The ledger: is every printed number in it, does the rule judge rightly, and does every row that points at a result find it."
import json
import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from crimenb.lab import event_boards, ledger, studies
from crimenb.core import InputError
from crimenb.papers import stresnet
from crimenb.sequences import read_sequences, table1


@pytest.fixture(scope="module")
def rows(): return ledger.read()

@pytest.fixture(scope="module")
def table(): return ledger.ledger()

def a_result(value, **given):
    about = dict(study="stresnet", profile="cpu", dataset="city", data_sha256={}, seed=0, parameters={"epochs": 10}, device="cpu", seconds=1., file="a.json",
                 method="net", kind="paper", protocol="native", split="test", metric="RMSE", value=value, low=value - .02, high=value + .02, n=9, printed=math.nan)
    return about | given

def a_row(**given):
    return dict.fromkeys(ledger.COLUMNS, "") | dict(work="stresnet", place="Table 9", what="RMSE", printed="0.21", sense="=", how="result", study="stresnet", dataset="city",
                                                    method="net", protocol="native", split="test", metric="RMSE") | given

def look(results, **given): return ledger.look_up(ledger.prepared(pd.DataFrame(results)), a_row(**given))


# --- completeness ---

def test_every_cell_of_every_table_has_a_row_of_its_own(rows):
    cells = rows[rows["place"].str.startswith("Table") & (rows["printed"] != "")]
    assert cells.groupby(["work", "place"]).size().to_dict() == {("crimealarm", "Table 1"): 14, ("crimealarm", "Table 2"): 100, ("crimealarm", "Table 3"): 36,
                                                                 ("stresnet", "Table 1"): 72, ("stresnet", "Table 3"): 6}
    assert not rows.duplicated(["work", "place", "what", "printed"]).any()

def test_figures_and_the_table_without_a_body_have_rows_that_say_so(rows):
    pictures = rows[rows["printed"] == ""].groupby("work")["place"].agg(set)
    assert {f"Figure {k}" for k in range(1, 8)} <= pictures["crimealarm"] & pictures["stresnet"]
    assert "Table 2" in pictures["stresnet"] and len(rows[(rows["work"] == "rtm") & (rows["printed"] == "")]) == 4

def test_the_ledger_prints_what_the_modules_and_studies_print(rows):
    mine = rows[(rows["work"] == "stresnet") & (rows["place"] == "Table 1")]
    for (resolution, kernel, filters), line in stresnet.PRINTED.iterrows():
        here = mine[mine["settings"] == f"filters={filters};kernel={kernel};super_resolution={resolution}"]
        assert sorted(here["printed"].astype(float)) == sorted(line)
    counts = mine[mine["how"] == "exact"]
    assert counts["printed"].astype(int).value_counts().to_dict() == {n: 3 for n in stresnet.TABLE1.values()}
    # a result file has the work's own number beside ours
    results = studies.read_results()
    results = results[(results["study"] == "crimealarm") & results["printed"].notna()].drop_duplicates(["dataset", "method", "metric"])
    # where the mean of the peers is asked for, the first peer's rows hold the printed number
    known = rows[rows["work"] == "crimealarm"].assign(method=rows["method"].str.split(" + ", regex=False).str[0]).set_index(["dataset", "method", "metric"])["printed"]
    for run in results.itertuples(): assert run.printed in known.loc[[(run.dataset, run.method, run.metric)]].astype(float).tolist(), run

def test_what_is_told_of_the_sequences_is_what_the_files_hold(rows, nyc16, chi18):
    for name, path in (("nyc16", nyc16), ("chi18", chi18)):
        counted = table1(read_sequences(path))
        for row in rows[(rows["place"] == "Table 1") & (rows["dataset"] == name)].itertuples():
            column = row.what.partition(",")[0]
            basis = "less the last two" if column in ("max", "min") else "whole sequences"
            assert counted.loc[basis, column] == float(row.ours) == float(row.printed), row.what
        assert counted.loc["whole sequences", "min"] == 5


# --- selectors ---

def test_no_row_points_at_a_result_that_is_not_there(rows, table):
    selects = rows["how"] == "result"
    dead = rows[selects & table["ours"].isna().to_numpy() & (rows["pending"] != "yes")]
    assert dead[["work", "place", "what"]].to_dict("records") == []

def test_what_is_still_to_be_measured_can_be_measured(rows):
    "The words of a pending row are those of its study: a misspelt one would wait for ever."
    for study, some in rows[rows["pending"] == "yes"].groupby("study"):
        folder = studies.folder_of("reproduce")
        source = "\n".join(c.source for c in nbformat.read(folder / f"{study}.ipynb", 4).cells) + "".join(p.read_text() for p in (folder / "params").glob(f"{study}*"))
        # what a study's notebook is made of is in the library
        source += "".join(p.read_text() for p in Path(studies.__file__).parents[1].rglob("*.py"))
        known = set(studies.profile(study, "cpu")[1])
        for row in some.to_dict("records"):
            assert {*filter(None, [row["dataset"], *row["elsewhere"].split(";")])} <= known
            for words in (row["metric"].split("@")[0], *(word for word in re.split(r",? |=", row["method"]) if len(word) > 2), *(pair.split("=")[0] for pair in row["settings"].split(";") if pair)):
                assert words in source, (words, row["what"])

def test_every_named_fact_is_in_the_library(rows):
    for name in rows.loc[rows["how"].isin(("exact", "data", "setting")), "ours"]: assert math.isfinite(ledger.fact(name))

def test_the_longest_run_is_taken_and_not_the_best():
    runs = [a_result(.20), a_result(.25, parameters={"epochs": 30}, file="b"), a_result(.27, parameters={"epochs": 30}, seed=1, file="c"), a_result(.1, parameters={"epochs": 99}, profile="smoke", file="d")]
    found = look(runs)
    assert found["value"] == pytest.approx(.26) and found["seeds"] == [0, 1] and found["files"] == ["b", "c"]
    # two seeds .01 from their mean: t with one degree of freedom is 12.706
    assert (found["low"], found["high"]) == (pytest.approx(.26 - .12706, abs=1e-4), pytest.approx(.26 + .12706, abs=1e-4))
    # with seeds that agree the interval over cases is the wider one
    alike = [a_result(.25, seed=seed, file=str(seed)) for seed in range(5)]
    assert (look(alike)["low"], look(alike)["high"]) == (pytest.approx(.23), pytest.approx(.27))
    assert look(runs, settings="epochs=10")["value"] == .20
    assert look([*runs, a_result(.5, profile="paper", parameters={"epochs": 1}, file="e")])["value"] == .5

def test_other_data_are_looked_at_in_order_and_only_without_own():
    runs = [a_result(.3, dataset="x", file="x"), a_result(.4, dataset="y", file="y")]
    assert look(runs, dataset="own", elsewhere="y;x")["value"] == .4
    assert look([*runs, a_result(.5, dataset="own", file="own")], dataset="own", elsewhere="y;x")["value"] == .5
    assert look(runs, dataset="own") is None

def test_the_mean_of_two_methods_needs_both_in_one_setting():
    one, two = a_result(.2), a_result(.4, method="net, peer 2")
    assert look([one, two], method="net + net, peer 2")["value"] == pytest.approx(.3)
    assert look([one, two | dict(parameters={"epochs": 11}, file="b")], method="net + net, peer 2") is None


# --- verdicts ---

@pytest.mark.parametrize("printed, ours, low, high, sense, within, expected", [
    ("0.207", .2074, math.nan, math.nan, "=", "", True), ("0.207", .2076, math.nan, math.nan, "=", "", False), ("0.207", .3, .2, .4, "=", "", True), ("0.207", .3, .21, .4, "=", "", False),
    ("1350911", 1350911, math.nan, math.nan, "=", "", True), ("1350911", 1350912, math.nan, math.nan, "=", "", False), ("4.5", 4.45, math.nan, math.nan, "=", "", True),
    ("3", 3.5, math.nan, math.nan, "~", ".5", True), ("3", 3.6, math.nan, math.nan, "~", ".5", False), ("95", 95.1, math.nan, math.nan, ">", "", True), ("95", 95, 90, 99, ">", "", False), ("3", 2.9, 2, 4, "<", "", True)])
def test_the_rule(printed, ours, low, high, sense, within, expected):
    assert ledger.agrees(printed, ours, low, high, sense, within or 0) is expected

def test_every_verdict():
    def said(found=None, **given): return ledger.verdict(a_row(**given), found)
    own = look([a_result(.2)])
    assert said(own)[0] == "reproduced" and said(own, printed="0.5") == ("not reproduced", "ours is lower by 0.3; profile cpu, 10 epochs")
    assert said(own, dataset="la", lacks="no data") == ("cannot be measured", "no data") and said(None, lacks="no data")[0] == "cannot be measured"
    assert said(None)[0] == "not measured yet" and said(None, how="none", lacks="a picture") == ("cannot be measured", "a picture")
    setting = dict(value=.21, low=math.nan, high=math.nan, dataset="", profile="", epochs=0)
    assert said(setting, how="setting", dataset="")[0] == "taken over" and said(setting, how="setting", dataset="", printed="0.3")[0] == "set otherwise"
    assert said(None, how="example")[0] == "no claim"
    # an improvement whose interval holds 0 is none
    assert said(own | dict(value=4., low=-3., high=11.), how="derived", printed="4.00")[0] == "not reproduced"

def test_an_improvement_needs_all_methods_in_one_setting(rows):
    base = dict(study="crimealarm", dataset="chi18", protocol="popularity-100", metric="NDCG@5", parameters={"epochs": 5})
    runs = [a_result(.40 + .001*k, method=name, file=name, **base) for k, name in enumerate(ledger.OTHERS)]
    runs += [a_result(v, method=name, file=name, low=v - .001, high=v + .001, **base) for name, v in (("CrimeAlarm", .5), ("CrimeAlarm, peer 2", .49))]
    ask = lambda runs: ledger.DERIVED["improvement"](ledger.prepared(pd.DataFrame(runs)), a_row(study="crimealarm"), rows, "chi18", "NDCG@5")
    assert ask(runs)["value"] == pytest.approx(100*(.5/.406 - 1)) and ask(runs)["low"] == pytest.approx(100*(.499/.426 - 1))
    assert ask(runs[1:]) is None and ask([runs[0] | dict(parameters={"epochs": 6}), *runs[1:]]) is None

def test_each_row_of_the_table_has_a_verdict_and_a_reason(rows, table):
    assert len(table) == len(rows) and table["verdict"].isin(ledger.VERDICTS).all()
    assert ledger.summary(table)["rows"].tolist() == [len(rows[rows["work"] == work]) for work in ledger.WORKS]
    assert (table.loc[table["verdict"].isin(("not reproduced", "cannot be measured")), "why"] != "").all()
    # nothing is judged on other data
    assert not table.loc[table["data"].str.startswith("other"), "verdict"].isin(("reproduced", "not reproduced", "taken over")).any()
    counts = table[(table["work"] == "stresnet") & table["what"].str.startswith("parameters")]
    assert (counts["verdict"] == "reproduced").sum() == 14 and (counts["verdict"] == "not reproduced").sum() == 6

def test_without_results_the_exact_part_stands(table):
    bare = ledger.ledger(studies.read_results().iloc[:0])
    exact = bare["files"].eq("") & bare["ours"].notna()
    assert exact.sum() > 150 and bare.loc[exact, "verdict"].tolist() == table.loc[exact, "verdict"].tolist()
    assert (bare.loc[~exact, "verdict"].isin(("not measured yet", "cannot be measured", "no claim"))).all()


# --- bad input ---

@pytest.mark.parametrize("change, words", [
    (dict(work="nobody"), "work in line 2"), (dict(how="guess"), "how in line 2"), (dict(printed="1,000"), "plain number"), (dict(printed=""), "its how must be none"), (dict(sense="~"), "within"),
    (dict(method=""), "method in line 2"), (dict(how="none"), "lacks in line 2")])
def test_a_row_that_is_not_well_formed_is_named(tmp_path, change, words):
    pd.DataFrame([a_row(**change)]).to_csv(tmp_path / "l.csv", index=False)
    with pytest.raises(InputError, match=words): ledger.read(tmp_path / "l.csv")

def test_other_files_and_unknown_facts_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no ledger"): ledger.read(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has the columns a, b"): ledger.read(tmp_path / "x.csv")
    for name in ("magic:1", "constant:grids.NOTHING", "default:terrain.dummies:zz", "part:figure7:alpha=8"):
        with pytest.raises(InputError): ledger.fact(name)
    assert ledger.fact("profile:stresnet:valid*100") == 20 and ledger.fact("-118.7051") == -118.7051


# --- the README's tables ---

ROOT = Path(__file__).parents[1]

def of(study, *columns, **more): return [dict(study=study, split="test", **more) | column for column in columns]

HOUR = "last fortnight's counts", "last year's counts of cells"
# first words of a table -> what each column holds, and method(s) of each line
README = {
    "NDCG@5, test": (of("crimealarm", *(dict(dataset=d, protocol=p) for d in ("nyc16", "chi18") for p in ("popularity-100", "popularity-100, seen first", "full")), metric="NDCG@5"),
                     {"CrimeAlarm": "CrimeAlarm", "one Transformer": "Transformer", "one GRU": "GRU", "how often": "spot counts", "the same, smoothed": "smoothed counts", "thirty-odd": "count mixer"}),
    "RMSE, Chicago": (of("stresnet", dict(protocol="native"), dict(protocol="fine maps"), dataset="chicago_2018", metric="RMSE"),
                      {"the Poisson noise": "Poisson noise", "Poisson regression": "Poisson regression", "last cumulative": "reset + hourly mean", "the network with": "ST-ResNet, Poisson",
                       "forecasting nothing": "all zero", "ST-ResNet as": "ST-ResNet, sound", "the same with": "ST-ResNet, sound"}),
    "Chicago 2018, 77": (of("parallel", dict(protocol="counts", metric="Poisson deviance"), dict(protocol="risk level", metric="accuracy"), dict(protocol="risk level", metric="log loss"), dataset="chicago_2018"),
                         {"last week": "last week", "mean of the last": "recent mean", "Poisson": "Poisson GLM", "DNN": "DNN", "LSTM": "LSTMCrimeNet", "GAT": "GAT+TCN"}),
    "PAI on next": (of("rtm", *(dict(dataset=d, metric=m) for d in ("dc_rtm", "nyc_rtm") for m in ("PAI@1%", "PAI@5%")), protocol="units, count"),
                    {"the post's": "post's RTM", "classic": "classic RTM", "random": "random forest", "last year's": "last counts", "mean of": "mean counts", "past counts": "shrunk counts"}),
    "PAI, all monthly": (of("contest", *(dict(protocol=f"rolling, {kind}, {span}") for kind in ("burglary", "theft of auto") for span in ("1 month", "3 months")), metric="PAI"),
                         {"counts of the last": "counting, 730 days", "counts of all": "counting, all", "kernel density": "kernel density", "kernel features": "kernel features", "self-exciting": "self-exciting",
                          "counting, on": "counting, grid chosen", "a mixture": "mixture, grid chosen"}),
    "PAI at 5 %": (of("crosstests", *(dict(dataset=d) for d in ("chicago_2018", "nyc_2015h2", "dc_rtm")), metric="PAI@5%", protocol="period ahead"),
                   {"counts of": HOUR, "Poisson": "Poisson regression", "a small": "ST-ResNet, small", "the post's": "post's RTM on street units"})}

def readme_tables():
    "(header, lines) of each table with numbers, cells as text."
    text = (ROOT/"README.md").read_text().split("## What we found")[1].split("## From Python")[0]
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        cells = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()]
        yield cells[0], cells[2:]

def test_every_number_in_the_readmes_tables_is_a_recorded_one_rounded():
    results, checked = studies.read_results(studies.folder_of("results")), 0
    # a method of several peers is their mean
    results = results.assign(method=results["method"].str.replace(r", peer \d$", "", regex=True))
    tables = list(readme_tables())
    assert [next(start for start in README if header[0].startswith(start)) for header, _ in tables] == list(README)
    for header, lines in tables:
        columns, methods = next(README[start] for start in README if header[0].startswith(start))
        for label, *cells in lines:
            method = next(methods[start] for start in methods if label.startswith(start))
            for column, cell in zip(columns, cells, strict=True):
                # a dash: not measured, and the text below says why
                shown = cell.strip("*–")
                if not shown: continue
                found = results[np.logical_and.reduce([results[key] == value for key, value in column.items()]) & results["method"].isin([method] if isinstance(method, str) else method)]
                near = found["printed"].dropna() if "as printed" in label else found.groupby("file")["value"].mean()
                # of several seeds each has its number
                for one in shown.split(", "):
                    half = .5*10.**-len(one.partition(".")[2])
                    assert (abs(near - float(one)) <= half + 1e-9).any(), (label, column, shown, sorted(near))
                    checked += 1
    assert checked >= 80

def test_every_difference_with_its_interval_in_the_readmes_sentences_is_a_recorded_one():
    text = (ROOT/"README.md").read_text().split("## What we found")[1].split("## From Python")[0]
    number = r"([+−]?\d*\.?\d+)"
    found = re.findall(number + r"(?:,| \(| of its speed alone \() ?(?:from )?" + number + " to " + number, text)
    recorded = [studies.read_results(studies.folder_of("results"))[["value", "low", "high"]],
                event_boards.gains(event_boards.recorded())[["difference", "low", "high"]]]
    recorded = np.vstack([rows.to_numpy(float) for rows in recorded])
    for said in found:
        numbers = [float(part.replace("−", "-")) for part in said]
        half = [.5*10.**-len(part.partition(".")[2]) + 1e-9 for part in said]
        assert (abs(recorded - numbers) <= half).all(1).any(), said
    assert len(found) >= 15

def test_what_the_readme_says_of_the_grid_is_of_the_grid_and_not_of_the_mixture():
    text = (ROOT/"README.md").read_text().split("In NIJ's forecasting challenge")[1].split("**Cross-tests")[0]
    rows = studies.read_results(studies.folder_of("results")).query("study == 'contest' and metric == 'PAI'").set_index(["method", "protocol"])
    def said(method, kind):
        row = rows.loc[(method, f"rolling, {kind}, 3 months, paired")]
        return tuple(f"{v:+.1f}".replace("-", "−").replace("0.", ".") if abs(v) < .95 else f"{v:+.1f}".replace("-", "−") for v in (row["value"], row["low"], row["high"]))
    grid = "counting, grid chosen minus counting, "
    for start, method, kind in (("one:", grid + "730 days", "theft of auto"), ("for burglary", grid + "730 days", "burglary"), ("of all years", grid + "all", "burglary"),
                                ("clear of zero", "mixture, grid chosen minus counting, grid chosen", "burglary")):
        value, low, high = said(method, kind)
        assert re.search(re.escape(start) + r" \(?" + "[, (from]+".join(map(re.escape, (value, low))) + " to " + re.escape(high), text), (start, value, low, high)
    # and where plain counting is ahead of ours in the contest itself
    one = [rows.loc[(method, "contest, burglary, 2 months"), "value"] for method in ("counting, 730 days", "mixture, grid chosen", "handed in (Kernel Glitches)")]
    assert f"a PAI of {one[0]:.1f}" in text and one[1:] == [0, 0]

def test_the_readme_says_what_the_evidence_cost():
    files = studies.folder_of("results").glob("*.json")
    hours = sum(json.loads(path.read_text())["seconds"] for path in files)/3600
    said = re.search(r"took (\d+) hours on two cores", (ROOT/"README.md").read_text())
    assert said and abs(int(said[1]) - hours) <= .5
