"""Networks of weekly areas as a study's parameters say: their settings, repeats, checkpoints and searches."""
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cells import one_thread  # noqa: F401
from crimenb import city, panels, training
from crimenb.core import InputError
from crimenb.lab import area_networks, studies, weekly
from crimenb.papers.parallel import AreaDNN, random_search

GIVEN = dict(epochs=2, batch=64, lr=.01, evaluations=1, units=8, layers=2, gat_units=6, heads=2, length=4, repeats=2, search="random", trials=2, search_patience=1, seed=3, profile="smoke")

class FakeRun(SimpleNamespace):
    "What the networks use of a run."
    def path(self, suffix): return self.folder/f"run{suffix}"
    scratch = path
    def checkpoint(self, suffix):
        self.asked.append(suffix)
        return self.path(suffix)

@pytest.fixture(scope="module")
def panel():
    events, truth = city.simulate(3000, 150, seed=2, n_areas=5)
    return panels.Panel.from_events(events, group=panels.category_groups(events.category.cat.categories), places=panels.city_places(truth))

@pytest.fixture
def networks(panel, tmp_path):
    run = FakeRun(parameters=GIVEN, folder=tmp_path, asked=[], rows=[], **GIVEN)
    run.add = lambda rows, **shared: run.rows.extend({**shared, **row} for row in pd.DataFrame(rows).to_dict("records"))
    return area_networks.AreaNetworks(run, panel, panel.split(4, 5), graph="nearest")

def test_a_network_is_set_as_the_parameters_say(networks):
    dnn, gat = (networks.unfitted(name, "level", "MSE", repeat=2) for name in ("DNN", "GAT+TCN"))
    assert (dnn.task, dnn.criterion, dnn.seed, dnn.units, dnn.layers, dnn.epochs, dnn.lr) == ("levels", "MSE", 2003, 8, 2, 2, .01)
    assert (gat.units, gat.heads, gat.graph, gat.layers) == (6, 2, "nearest", AreaDNN().layers)
    # what the run has no parameter for stays as the network has it, and a change wins
    assert dnn.dropout == AreaDNN().dropout and networks.unfitted("DNN", "counts", "MSE", lr=.5, units=3).get_params()["lr"] == .5
    class Other(AreaDNN): pass
    assert isinstance(networks.unfitted(Other, "counts", "likelihood"), Other)
    with pytest.raises(InputError, match="model"): networks.unfitted("CNN", "counts", "MSE")

def test_each_repeat_is_a_training_of_its_own_with_a_file_of_its_own(networks):
    one, other = networks.train_repeats("DNN", "counts", "likelihood")
    assert networks.run.asked == ["-DNN-counts-likelihood-0.pt", "-DNN-counts-likelihood-1.pt"] and all(networks.run.path(s).exists() for s in networks.run.asked)
    at = networks.parts.test
    assert not np.allclose(one.predict(networks.panel, at), other.predict(networks.panel, at))
    # from its file the same network comes back
    again = networks.trained("DNN", "counts", "likelihood")
    assert np.array_equal(again.predict(networks.panel, at), one.predict(networks.panel, at))
    blank = networks.untrained("DNN", "counts", "likelihood")
    assert not hasattr(blank, "log_") and not np.allclose(blank.predict(networks.panel, at), one.predict(networks.panel, at))

def test_the_rows_are_means_over_the_repeats_and_one_of_the_mean_forecast(networks):
    panel, parts = networks.panel, networks.parts
    scores = weekly.WeeklyScores(networks.run, panel, parts, panels.Features(panel, slice(0, parts.train.stop)))
    fitted = networks.train_repeats("DNN", "counts", "likelihood")
    area_networks.measure_networks(scores, "counts", "DNN", "paper", fitted)
    value = {(r["method"], r["metric"]): r["value"] for r in networks.run.rows if r["protocol"] == "counts"}
    mae = [abs(weekly.rows_of(f, panel, parts.test) - scores.counts).mean() for f in fitted]
    mean = np.mean([weekly.rows_of(f, panel, parts.test) for f in fitted], 0)
    assert value["DNN", "MAE"] == pytest.approx(np.mean(mae)) and value["DNN, mean of 2", "MAE"] == pytest.approx(abs(mean - scores.counts).mean())
    [row] = area_networks.training_rows(networks.run, fitted, 20)
    assert row["value"] == pytest.approx(np.mean([-f.log_["valid"].max() for f in fitted])) and row["n"] == 20
    _, seconds = area_networks.training_rows(SimpleNamespace(profile="cpu"), fitted, 20)
    assert seconds["value"] == np.median(np.concatenate([f.seconds_ for f in fitted])) and seconds["n"] == 4

def test_a_search_takes_the_setting_with_the_least_validation_loss_and_goes_on_where_it_was_killed(networks):
    search = area_networks.Search(networks, "likelihood")
    one, two = random_search("DNN", 2, 3)
    assert search.settings("DNN") == [one, two]
    training.save_checkpoint(networks.run.path("-trials.pt"), {json.dumps(["DNN", "counts", one], sort_keys=True): None})
    search = area_networks.Search(networks, "likelihood")
    found = area_networks.searched(search, "DNN", "counts")
    # the first trial is known to have gone off to infinity: it isn't made again
    assert found.diverged == 1 and found.best == {k: v for k, v in two.items() if k != "epochs"} and list(found.losses) == [area_networks.in_words(two)]
    alone = networks.unfitted("DNN", "counts", "likelihood", **found.best, patience=1).fit(networks.panel, networks.parts.train, networks.parts.valid)
    assert found.loss == alone.valid_loss
    kept = training.load_checkpoint(networks.run.path("-trials.pt"))
    assert sorted(kept.values(), key=str) == sorted([None, found.loss], key=str)
    search.done = {key: None for key in kept}
    with pytest.raises(InputError, match="smaller rates"): area_networks.searched(search, "DNN", "counts")
    search.done = {key: loss for key, loss in zip(kept, (.2, .1))}
    assert area_networks.searched(search, "DNN", "counts").loss == .1

def test_a_search_as_runs_has_a_setting_each_and_what_this_run_was_given(tmp_path):
    values = studies.resolve("parallel", {"profile": "smoke", "city_days": 200, "search": "grid", "losses": "MSE,likelihood", "search_patience": 4})
    run = FakeRun(study="parallel", parameters=values, folder=tmp_path, **values)
    search = area_networks.Search(area_networks.AreaNetworks(run, None, None), "MSE")
    runs = area_networks.as_runs(run, ["LSTMCrimeNet", "GAT+TCN"], ["level"], search)
    assert len(runs) == 4 + 6 and all(r["city_days"] == 200 and r["losses"] == "MSE" and r["patience"] == 4 and r["search"] == "none" and r["tasks"] == "level" for r in runs)
    assert {r["models"] for r in runs[:4]} == {"LSTMCrimeNet"} and "gat_units" in runs[4] and "units" not in runs[4]

def test_the_training_rate_is_the_share_of_occurrences_and_knows_no_time(networks):
    panel, parts = networks.panel, networks.parts
    panel = panels.Panel(np.minimum(panel.counts, 1), panel.starts, panel.areas, panel.categories, panel.lon, panel.lat, panel.km2)
    said, fitted = area_networks.occurrence_forecasts(area_networks.AreaNetworks(networks.run, panel, parts, graph="alike"), ["DNN"], ["historical mean"])
    assert list(said) == ["training rate", "historical mean", "DNN"] and list(fitted) == ["historical mean", "DNN"]
    kind, test, valid = said["training rate"]
    assert kind == "trivial" and np.allclose(test[0], panel.counts[:parts.train.stop].mean(0)) and (test == test[0]).all() and np.allclose(valid, test[0])
    assert said["DNN"][1].shape == test.shape and said["DNN"][2].shape == panel.counts[parts.valid].shape
