"The study of parallel training: every way computes what one process does, what travels is what it must be, and predictions are marked."
import json

import numpy as np
import pandas as pd
import pytest
import torch

import cells
from cells import one_thread
from crimenb.lab import studies
from crimenb.core import InputError
from crimenb.panels import Features, Panel
from crimenb.papers import parallel
from crimenb.views import Split

A, T, L, C = 6, 12, 4, 2
AROUND = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])

@pytest.fixture(scope="module")
def path(tmp_path_factory):
    "A workload of six areas in twelve weeks, areas from east to west."
    counts = np.random.default_rng(0).poisson(2, (T + L, A, C)).astype(float)
    weeks = pd.date_range("2018-01-01", periods=T + L, freq="W-MON")
    panel = Panel(counts, weeks, list("abcdef"), ["violent", "property"], -np.arange(A)*.1, np.zeros(A), np.ones(A))
    parts, file = Split(slice(0, L + 9), slice(L + 9, L + 9), slice(L + 9, L + 12)), tmp_path_factory.mktemp("work")/"cases.pt"
    parallel.save_workload(file, Features(panel, parts.train), parts, AROUND, lon=panel.lon, regions=2)
    return file

def test_regions_go_from_west_to_east_and_every_case_has_one_site(path):
    for name in parallel.MODELS:
        work = parallel.Workload(name, path)
        assert work.site_of["regions"].tolist() == [1, 1, 1, 0, 0, 0] and work.site_of["areas"].tolist() == list(range(A))
        for of in work.site_of.values():
            sites = [work.site(of, k) for k in range(int(of.max()) + 1)]
            assert sum(site[1].numel() for site in sites) == work.y.numel()
            assert sorted(torch.cat([site[1].flatten() for site in sites]).tolist()) == sorted(work.y.flatten().tolist())

def test_a_site_of_the_graph_network_reads_no_other_site(path):
    work = parallel.Workload("GAT+TCN", path)
    of = work.site_of["regions"]
    def losses(): return [work.site_loss(work.model, work.site(of, k), 0).item() for k in (0, 1)]
    before = losses()
    work.x[:, :, 5] += 9.
    # area 5 lies in region 0 and has no edges: only its own site sees it
    after = losses()
    assert after[0] != before[0] and after[1] == before[1]
    # alone, an area hears nobody: the loss of single areas is that of a graph without edges
    alone = np.mean([work.site_loss(work.model, work.site(work.site_of["areas"], k), 0).item() for k in range(A)])
    z = work.model(work.x, torch.empty(2, 0, dtype=torch.int64))
    assert np.isclose(alone, work.mean_loss(z, work.y).item(), atol=1e-6)

def test_who_makes_the_batches_changes_nothing_and_times_are_those_of_each_epoch(path):
    rows = parallel.measure_training(path, ["single", "2 threads", "1 worker"], ["LSTMCrimeNet"], epochs=2, batch=16)
    assert len({row["loss"] for row in rows}) == 1 and all(len(row["seconds"]) == 2 and row["bytes"] == 0 and row["memory"] > 1e8 for row in rows)
    assert {s["metric"] for s in rows[0]["scores"]} == {"accuracy", "log loss"} and rows[0]["scores"] == rows[1]["scores"] == rows[2]["scores"]
    for wrong in ("data parallel", "by magic"):
        with pytest.raises(InputError, match="way to train"): parallel.measure_training(path, [wrong], ["DNN"], epochs=2)

@pytest.fixture(scope="module")
def study(tmp_path_factory):
    given = dict(models="DNN,GAT+TCN", ways="single,data parallel,pipeline,federated areas", city_events=2000, step_batches="16,64", step_widths="8,16", steps=2)
    space = cells.run_cells("parallel_training", given, tmp_path_factory.mktemp("study"))
    return space, json.loads(space["run"].path(".json").read_text())

def test_two_processes_compute_what_one_does_and_send_what_they_must(study):
    space, result = study
    value = {(r["method"], r["protocol"], r["metric"]): r["value"] for r in result["rows"]}
    for name in ("DNN", "GAT+TCN"):
        losses = [value[name, way, "log loss in training"] for way in ("single", "data parallel", "pipeline")]
        assert np.ptp(losses) < 1e-4 and value[name, "federated areas", "log loss in training"] != losses[0]
        work = space["work"][name]
        weights, steps = sum(p.numel() for p in work.model.parameters()), len(work.plan(np.random.default_rng(0)))
        assert 1 <= value[name, "data parallel", "bytes sent an epoch"]/(4*weights*steps) < 1.7
        assert 1 <= value[name, "federated areas", "bytes sent an epoch"]/(4*weights) < 2.5
        assert value[name, "single", "speed-up"] == value[name, "single", "efficiency"] == 1 and value[name, "single", "bytes sent an epoch"] == 0
        assert np.isclose(value[name, "pipeline", "efficiency"], value[name, "pipeline", "speed-up"]/2)
    assert any(r["kind"] == "trivial" and r["metric"] == "accuracy" for r in result["rows"])

def test_what_was_not_measured_is_called_a_prediction(study):
    _, result = study
    lines = [r for r in result["rows"] if " ranks, batch " in r["protocol"]]
    assert {int(r["protocol"].split()[1]) for r in lines} == {1, 2, 8, 64, 512} and {r["method"] for r in lines} == {"DNN", "GAT+TCN"}
    for r in lines:
        predicted = int(r["protocol"].split()[1]) > 2
        assert r["protocol"].startswith("PREDICTION" if predicted else "fitted") and r["split"] == ("prediction" if predicted else "train")
    assert studies.validate(result)

@pytest.mark.parametrize("wrong, word", [(dict(ways="data parallel"), "single"), (dict(ways="single,magic"), "way to train"), (dict(models="CNN"), "model"), (dict(epochs=1), "warm-up"), (dict(rounds=0), "warm-up")])
def test_what_can_not_be_measured_is_refused_in_one_sentence(wrong, word, tmp_path):
    with pytest.raises(InputError, match=word): cells.run_cells("parallel_training", wrong, tmp_path)

def test_every_profile_has_every_way_that_the_study_is_about():
    for profile in ("cpu", "paper"):
        ways = studies.resolve("parallel_training", {"profile": profile, "dataset": "nyc_2014_2015"})["ways"].split(",")
        assert ways == [way for ways_of in parallel.WAYS.values() for way in ways_of]
