"""Rows of how long training takes, from times that are known."""
import numpy as np
import pandas as pd
import pytest

from crimenb.distributed import CostModel
from crimenb.lab import training_times

def table(**seconds):
    "A line a way and round: the first epoch of each warms up."
    return pd.DataFrame([{"model": name.partition("_")[0], "way": name.partition("_")[2].replace("_", " "), "round": k, "seconds": np.array([99., *s]), "cpu": 2.*k, "bytes": 4e6, "memory": 1e8 + k,
                          "added memory": 1e6, "loss": .5} for name, rounds in seconds.items() for k, s in enumerate(rounds)])

def test_seconds_are_medians_of_all_epochs_but_the_first_of_each_round():
    times = training_times.Times(table(DNN_single=[[4., 4, 6], [4., 6, 4]], DNN_data_parallel=[[2., 2, 3], [2., 2, 2]]))
    row = {r["metric"]: r for r in times.rows("DNN", "data parallel")}
    assert row["seconds an epoch"]["value"] == 2 and row["speed-up"]["value"] == 2 and row["efficiency"]["value"] == 1 and row["speed-up"]["n"] == row["speed-up"]["blocks"] == 6
    assert row["speed-up"]["low"] <= 2 <= row["speed-up"]["high"] and row["seconds of processors an epoch"]["value"] == 1. and row["bytes sent an epoch"]["value"] == 4e6
    assert row["peak memory"]["value"] == 1e8 + 1 and row["peak memory"]["low"] is None and row["log loss in training"]["value"] == .5
    alone = {r["metric"]: r for r in times.rows("DNN", "single")}
    assert alone["speed-up"]["value"] == alone["efficiency"]["value"] == 1 and alone["speed-up"]["low"] is None

def test_a_single_epoch_has_no_interval():
    assert training_times.time_row("speed-up", 2, np.ones(9), 1) == dict(metric="speed-up", value=2., low=None, high=None, n=1)
    assert training_times.time_row("speed-up", 2, np.linspace(-1, 3, 9), 9)["low"] == 0

def test_workers_count_and_threads_do_not():
    assert {way: training_times.workers(way) for way in ("single", "4 threads", "1 worker", "4 workers", "data parallel")} == {"single": 1, "4 threads": 1, "1 worker": 2, "4 workers": 5, "data parallel": 2}

def test_ways_that_compute_the_same_must_end_alike():
    of = lambda **loss: pd.DataFrame([dict(model="DNN", way=way.replace("_", " "), loss=v) for way, values in loss.items() for v in values])
    assert training_times.same_losses(of(single=[.5, .5], federated_areas=[.9]), ["single", "federated areas"]).loc["DNN"].tolist() == [.5, .9]
    with pytest.raises(RuntimeError, match="rounds"): training_times.same_losses(of(single=[.5, .51]), ["single"])
    with pytest.raises(RuntimeError, match="ways"): training_times.same_losses(of(single=[.5], pipeline=[.6]), ["single", "pipeline"])

def test_claims_follow_the_draws_and_need_their_ways():
    fast, slow = [[1., 1.01, .99, 1., 1.02]], [[2., 2.01, 1.99, 2., 2.02]]
    times = training_times.Times(table(DNN_single=slow, DNN_data_parallel=fast, LSTMCrimeNet_single=fast, LSTMCrimeNet_data_parallel=slow))
    assert [said for _, _, said in training_times.claims_of(times, ["DNN", "LSTMCrimeNet"])] == ["supported", "supported"]
    times = training_times.Times(table(DNN_single=fast, DNN_data_parallel=slow, LSTMCrimeNet_single=slow, LSTMCrimeNet_data_parallel=fast))
    assert [said for _, _, said in training_times.claims_of(times, ["DNN", "LSTMCrimeNet"])] == ["refuted", "refuted"]
    assert training_times.claims_of(times, ["LSTMCrimeNet"]) == [] and training_times.claims_of(training_times.Times(table(DNN_single=fast)), ["DNN"]) == []

def test_ranks_of_one_training_are_one_line():
    ranks = [dict(way="pipeline", cpu=1., bytes=8, memory=5, seconds=[1.], **{"added memory": 3}), dict(way="pipeline", cpu=2., bytes=4, memory=6, seconds=[9.], **{"added memory": 2})]
    assert training_times.joined(ranks) == dict(way="pipeline", cpu=3., bytes=8, memory=6, seconds=[1.], **{"added memory": 3})

def test_the_cost_model_finds_the_constants_that_made_its_steps():
    right = CostModel(2e-9, 3e-9, 1e-4, 1e-3, largest=2)
    steps = pd.DataFrame([dict(model="DNN", processes=p, cases=c, weights=w, work=float(c*w), bytes=4.*w) for p in (1, 2) for c in (32, 128, 512) for w in (1000, 40_000)])
    steps["seconds"] = right.seconds(steps["work"], steps["bytes"], steps["processes"])
    alone = steps.assign(model="GAT+TCN")[steps.processes == 1]
    fitted = training_times.fitted_costs(pd.concat([steps, alone]).to_dict("records"))
    assert list(fitted) == ["DNN"] and training_times.fitted_costs([]) == {}
    of, model = fitted["DNN"]
    assert training_times.largest_step(of)[["cases", "weights"]].tolist() == [512, 40_000]
    rows = training_times.cost_rows(of, model)
    value = {(r["protocol"], r["metric"]): r["value"] for r in rows}
    assert value["cost model, fitted", "seconds for a weight and case"] == pytest.approx(2e-9, rel=.05) and value["cost model, fitted", "median relative error"] < .02
    ahead = [r for r in rows if r["split"] == "prediction"]
    assert {int(r["protocol"].split()[1]) for r in ahead} == {8, 64, 512} and all(r["protocol"].startswith("PREDICTION") for r in ahead)
    # a batch that grows keeps the work of each process: 64 do nearly 64 times as much
    assert value["PREDICTION, 64 ranks, batch grows", "speed-up"] > value["PREDICTION, 64 ranks, batch fixed", "speed-up"]

def test_bytes_are_shown_in_megabytes():
    rows = pd.DataFrame([dict(method="DNN", protocol=way, metric=m, value=v) for way in ("single", "pipeline") for m, v in (("bytes sent an epoch", 2e6), ("speed-up", 1.5))])
    found = training_times.time_board(rows, ["DNN"], ["pipeline", "single"], ["speed-up", "bytes sent an epoch"])
    assert list(found.columns) == ["speed-up", "bytes sent an epoch, MB"] and found.index.tolist() == [("DNN", "pipeline"), ("DNN", "single")] and found.iloc[0].tolist() == [1.5, 2]
