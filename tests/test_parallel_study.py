"The comparative study's notebook: a small run with everything in it, a killed run that goes on, HAGEN's table, and what it refuses."
import json
import warnings

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from crimenb import studies
from crimenb.core import InputError

# one network of each kind in seconds
TINY = dict(rules="historical mean,Poisson GLM", city_events=3000, city_days=182, epochs=2, evaluations=1, units=16, gat_units=8, heads=2, search="none")

CODE = [c.source for c in nbformat.read(studies.folder_of("reproduce")/"parallel.ipynb", as_version=4).cells if c.cell_type == "code"]

@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Two threads that wait for each other cost more than such small networks gain."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

def run_cells(given, out):
    "The notebook's cells one after the other in this process, and its result. (The hygiene tests run it in a kernel.)"
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    space = {}
    with warnings.catch_warnings():
        exec(CODE[0], space)
        space |= TINY | given | {"out": str(out)}
        try:
            for source in CODE[1:]:
                warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
                exec(source, space)
        finally: plt.close("all")
    return json.loads(space["run"].path(".json").read_text())

@pytest.fixture(scope="module")
def city_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("city")
    return out, run_cells(dict(models="DNN,GAT+TCN", losses="likelihood,MSE", repeats=2, tasks="counts,level"), out)

def test_every_table_has_floor_rule_and_networks_with_intervals(city_run):
    _, result = city_run
    rows = result["rows"]
    for protocol in ("risk level", "counts", "counts, violent"):
        kinds = {r["method"]: r["kind"] for r in rows if r["protocol"] == protocol}
        assert {"expected by the truth": "floor", "historical mean": "trivial", "Poisson GLM": "practitioner", "DNN": "paper", "DNN, MSE": "paper", "GAT+TCN": "paper", "DNN, mean of 2": "ours"}.items() <= kinds.items()
    assert {r["metric"] for r in rows if r["protocol"] == "counts"} == {"RMSE", "MAE", "Poisson deviance"}
    assert {r["metric"] for r in rows if r["protocol"] == "risk level"} == {"accuracy", "macro-F1", "ordinal error", "log loss", "Brier", "calibration error"}
    assert all(r["low"] <= r["value"] <= r["high"] and r["printed"] is None and r["split"] == "test" for r in rows)
    # seconds change from run to run: the smoke profile has none
    assert not any("seconds" in r["metric"] for r in rows)
    # the mean of two networks is no worse than they are in the mean, as the Poisson loss is convex
    value = {(r["method"], r["metric"]): r["value"] for r in rows if r["protocol"] == "counts"}
    assert value["DNN, mean of 2", "Poisson deviance"] <= value["DNN", "Poisson deviance"] + 1e-6
    assert value["expected by the truth", "Poisson deviance"] < value["historical mean", "Poisson deviance"]

def test_nothing_but_the_result_is_left(city_run):
    out, result = city_run
    assert [p.suffix for p in out.iterdir()] == [".json"] and studies.validate(result)

def test_a_search_is_recorded_and_a_killed_run_goes_on_from_what_is_there(tmp_path):
    given = dict(models="DNN", tasks="level", search="random", trials=2, rules="historical mean")
    whole = run_cells(given, tmp_path/"whole")
    found = [r for r in whole["rows"] if r["protocol"] == "random search, level"]
    assert len(found) == 2 and all(r["split"] == "valid" and r["metric"] == "validation loss" for r in found)
    assert {"DNN", "DNN, searched"} <= {r["method"] for r in whole["rows"]}
    # a run that was killed in its second trial has left the first one: a loss that no training gives shows that it is used
    stem = studies.stem("parallel", studies.resolve("parallel", TINY | given))
    from crimenb.papers.parallel import random_search
    first = random_search("DNN", 2, 0)[0]
    (tmp_path/"again").mkdir()
    (tmp_path/"again"/f"{stem}-trials.json").write_text(json.dumps({json.dumps(["DNN", "level", first], sort_keys=True): 1.25}))
    again = run_cells(given, tmp_path/"again")
    values = lambda result, metric: [r["value"] for r in result["rows"] if r["metric"] == metric]
    assert values(again, "validation loss") == [1.25, values(whole, "validation loss")[1]]
    assert not list((tmp_path/"again").glob("*trials*"))

def test_what_cannot_be_run_is_refused_in_one_sentence(tmp_path):
    for wrong, word in ((dict(models="CNN"), "model"), (dict(tasks="risk"), "task"), (dict(losses="MAE"), "loss"), (dict(rules="oracle"), "rule"), (dict(search="all"), "search"), (dict(repeats=0), "repeats")):
        with pytest.raises(InputError, match=word): run_cells(wrong, tmp_path)
    with pytest.raises(InputError): studies.resolve("parallel", {"dataset": "chi18"})

def test_every_profile_names_every_data_set_and_the_paper_profile_has_the_papers_settings():
    known = {"city", "chicago_2018", "chicago_2016_2017", "nyc_2014_2015", "la_2020_2024", "hagen_chicago", "hagen_la"}
    for profile in ("smoke", "cpu", "paper"):
        for dataset in known: studies.resolve("parallel", {"profile": profile, "dataset": dataset})
    paper = studies.resolve("parallel", {"profile": "paper", "dataset": "chicago_2018"})
    assert {k: paper[k] for k in ("losses", "lr", "layers", "units", "length", "cyclic", "dropout", "weight_decay", "search")} == dict(
        losses="MSE", lr=1e-3, layers=3, units=128, length=4, cyclic=False, dropout=0, weight_decay=0, search="grid")

def cell_functions(*names):
    "Functions of the notebook's own cells."
    [cell] = [source for source in CODE if "def best_cut" in source]
    space = {"np": np}
    exec(cell[cell.index("def f1("):cell.index("CUTS =")], space)
    return [space[name] for name in names]

@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_the_best_cut_is_the_best_of_all_cuts(pairs):
    [best_cut] = cell_functions("best_cut")
    chance, was = np.array([p for p, _ in pairs], float), np.array([w for _, w in pairs])
    def score(cut):
        said = chance >= cut
        return 2*(said & was).sum()/max(said.sum() + was.sum(), 1)
    assert np.isclose(score(best_cut(chance, was)), max(score(c) for c in chance))
