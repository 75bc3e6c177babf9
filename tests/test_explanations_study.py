"The notebook of explanations and fairness: shares, ranks and verdicts that agree, flags and rates that add up, and what it refuses."
import json

import numpy as np
import pandas as pd
import pytest

import cells
from cells import one_thread
from crimenb.lab import explaining, studies
from crimenb.core import InputError

# seconds on one core
TINY = dict(city_events=6000, city_days=126, epochs=3, evaluations=1, units=16, gat_units=8, heads=2, layers=2, explained=24, usual=20, draws=4, penalties="0,10")

DATASETS = {"city", "chicago_2018", "chicago_2016_2017", "nyc_2014_2015"}

def run_cells(given, out): return cells.run_cells("explanations", TINY | given, out)

@pytest.fixture(scope="module")
def space(tmp_path_factory): return run_cells({}, tmp_path_factory.mktemp("city"))

@pytest.fixture(scope="module")
def rows(space): return pd.DataFrame(json.loads(space["run"].path(".json").read_text())["rows"])

def shares(rows): return rows[rows["metric"].str.startswith("importance share")]

def test_shares_of_each_network_sum_to_one_and_lie_in_their_intervals(rows):
    found = shares(rows)
    for protocol in ("explanation, risk level", "explanation, counts"):
        kinds = found[found["protocol"] == protocol].groupby("method")["kind"].first().to_dict()
        assert kinds == {name + suffix: kind for name in ("DNN", "LSTMCrimeNet", "GAT+TCN") for suffix, kind in (("", "paper"), (", untrained", "trivial"))}
    assert np.allclose(found.groupby(["protocol", "method"])["value"].sum(), 1)
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all() and rows["printed"].isna().all() and (rows["split"] == "test").all()

def test_ranks_are_a_permutation_and_agree_with_shares_and_verdicts(rows):
    for (protocol, method), ranks in rows[rows["metric"].str.startswith("importance rank")].groupby(["protocol", "method"]):
        assert sorted(ranks["value"]) == list(range(1, len(ranks) + 1))
        share = shares(rows).query("protocol == @protocol and method == @method").set_index("metric")["value"]
        by_rank = ranks.sort_values("value")["metric"].str.replace("rank", "share")
        assert share[by_rank].is_monotonic_decreasing
        claim = rows[(rows["protocol"] == protocol.replace("explanation", "claim")) & (rows["method"] == method) & rows["metric"].str.contains("hour of day ranks first")]
        hour = ranks[ranks["metric"].str.endswith(": hour of day")].iloc[0]
        if method == "DNN": assert claim["value"].item() == (1 if hour["high"] == 1 else -1 if hour["low"] > 1 else 0)

def test_the_truth_is_explained_exactly_and_its_noise_stands_in_the_scores(space, rows):
    for task in ("level", "counts"):
        true = explaining.true_explanation(space["explainer"], explaining.true_numbers(space["known"], space["expected"]["recorded"], task))
        assert np.allclose(true.values.sum(1), true.output - true.base)
    counts = rows[(rows["protocol"] == "counts") & (rows["metric"] == "Poisson deviance")].set_index("method")
    assert {"noise", "trivial", "paper"} == set(counts["kind"]) and counts["value"].idxmin() == "expected by the truth"
    against = rows[rows["protocol"] == "explanation against the truth, counts"]
    assert set(against["method"]) == {"truth", "DNN, told apart", "DNN"}
    assert against[against["metric"].str.startswith("correlation")]["value"].between(-1, 1).all()

def test_differences_are_those_of_the_rates_and_every_table_has_trivial_rules(rows):
    fair = rows[rows["protocol"].str.contains("judged by")]
    value = fair.pivot(index=["protocol", "method"], columns="metric", values="value")
    halves = ["reported less", "reported more"]
    def gap(rate): return (value[f"{rate}, {halves[0]}"] - value[f"{rate}, {halves[1]}"]).abs()
    one_run = value[~value.index.get_level_values("method").isin(["DNN", "LSTMCrimeNet", "GAT+TCN", "same everywhere"])]
    for metric, rates in (("demographic parity difference", ["selection rate"]), ("equalised odds difference", ["true positive rate", "false positive rate"])):
        assert np.allclose(one_run[metric], pd.concat([gap(r) for r in rates], axis=1).max(axis=1)[one_run.index])
    assert all({"same everywhere", "historical mean"} <= set(part["method"]) for _, part in fair.groupby("protocol"))
    # what is judged doesn't depend on who is flagged, but on who judges
    base = value["base rate, reported less"].groupby(level="protocol")
    assert (base.nunique() == 1).all() and base.first()["fairness, judged by recorded crime"] != base.first()["fairness, judged by true crime"]

def test_the_penalty_is_paid_for_and_without_one_all_constraints_are_alike(rows):
    def of(constraint, weight, metric, view="recorded"):
        found = rows[(rows["protocol"] == f"fair training, {constraint}, judged by {view} crime") & (rows["method"] == f"DNN, penalty {weight}") & (rows["metric"] == metric)]
        assert (found["kind"] == "ours").all()
        return found["value"].item()
    for metric in ("Poisson deviance", "hit rate", "demographic parity difference"): assert of("demographic parity", 0, metric) == of("equalised odds", 0, metric)
    for constraint in ("demographic parity", "equalised odds"): assert of(constraint, 10, "Poisson deviance") != of(constraint, 0, "Poisson deviance")

def test_nothing_but_the_result_and_the_forecast_is_left(space):
    left = space["run"].path("").parent.iterdir()
    assert {p.name.split(".", 1)[1] for p in left} == {"json", "forecast.csv", "forecast.geojson", "forecast.png"}

def test_the_papers_settings_run_with_all_players(tmp_path):
    space = run_cells(dict(models="DNN", tasks="level", loss="MSE", cyclic=False, calendar=True, means=True, constraints="demographic parity"), tmp_path)
    assert {"hour of day", "calendar", "long-run mean", "past counts", "crime density", "location", "attributes"} == set(space["players"])
    assert space["labels"]["DNN"].count("hour of day") == 1
    rows = space["run"].table()
    assert "counts" not in set(rows["protocol"]) and {"DNN, penalty 0", "DNN, penalty 10"} <= set(rows["method"])

@pytest.mark.parametrize("wrong, word", [(dict(models="CNN"), "model"), (dict(tasks="risk"), "task"), (dict(constraints="parity"), "constraint"), (dict(repeats=1), "repeats"), (dict(slots=1), "slots"),
                                         (dict(penalties="1,2"), "begin with 0"), (dict(penalties="0,much"), "numbers"), (dict(penalties="0,-1"), "below 0"), (dict(flagged=1.2), "flagged")])
def test_what_cannot_be_run_is_refused_in_one_sentence(wrong, word, tmp_path):
    with pytest.raises(InputError, match=word): run_cells(wrong, tmp_path)

def test_every_profile_names_every_data_set_and_the_paper_profile_has_the_papers_settings():
    for profile in ("smoke", "cpu", "paper"):
        assert set(studies.profile("explanations", profile)[1]) == DATASETS | {"card"}
        for dataset in DATASETS: studies.resolve("explanations", {"profile": profile, "dataset": dataset})
    paper = studies.resolve("explanations", {"profile": "paper"})
    assert {k: paper[k] for k in ("loss", "lr", "layers", "units", "length", "cyclic", "dropout", "weight_decay", "means")} == dict(loss="MSE", lr=1e-3, layers=3, units=128, length=4, cyclic=False, dropout=0, weight_decay=0, means=False)
