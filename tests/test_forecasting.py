"Hours ahead, the catalogue without networks, the choice among several models, and how maps are coloured."
import subprocess
import sys

import numpy as np
import pytest

from crimenb import city, forecasts, models
from crimenb.core import InputError
from crimenb.grids import Grid, HourlyMaps
from crimenb.lab import forecasting
from crimenb.metrics import fit_spread
from crimenb.models import Forecasts, catalogue, choose, with_rules


@pytest.fixture(scope="module")
def hours():
    events, _ = city.simulate(6000, 40, seed=1)
    return HourlyMaps.from_events(events, Grid.around(events, 5, 4))

@pytest.mark.parametrize("name, settings", [("Poisson regression", {}), ("self-exciting", {"steps": 10})])
def test_hours_ahead_are_those_of_one_hour_after_the_other(hours, name, settings):
    model, origins = catalogue(hours)[name](**settings).fit(hours, slice(0, 800)), [300, 700, 731]
    slow = np.stack([Forecasts.ahead(model, hours.until(o), 30)[1] for o in origins])
    np.testing.assert_allclose(model.from_origins(hours, origins, 30), slow, rtol=1e-5)
    # what comes after an origin is not looked at
    dirty = hours._with(np.concatenate([hours.counts[:731], 50 + hours.counts[731:]]), 0)
    assert np.array_equal(model.from_origins(dirty, origins[2:], 30), model.from_origins(hours, origins[2:], 30))
    far = model.ahead(hours.until(700), 200)[1]
    np.testing.assert_allclose(far[:30], slow[1], rtol=1e-5)
    assert len(far) == 200 and np.isfinite(far).all()

def test_intervals_far_ahead_are_as_wide_as_forecasts_far_ahead_err(hours):
    parts, model = hours.split(6, 6), catalogue(hours)["persistence"]()
    chosen, values = model.fit(hours, parts.train, parts.valid).trial(hours, parts, 24)
    near = catalogue(hours)["persistence"]().fit(hours, parts.train, parts.valid)
    assert model.spread_ == fit_spread(np.maximum(chosen, model.least), hours.observed(parts.valid)) != near.spread_
    # the hour before each origin, for all of the day
    first = parts.test.start
    assert np.array_equal(values[:24], np.repeat(np.maximum(hours.counts[first - 1:first], 0), 24, 0))
    assert set(model.reported(values, hours, parts.test, 24)["protocol"]) == {"rolling, 24 hours ahead"}

@pytest.mark.parametrize("view", ["HourlyMaps", "Panel", "Sequences", "Terrain"])
def test_the_names_of_models_are_those_of_their_modules(view):
    known = catalogue(view)
    assert all(known[name].name == name and known[name].view in (view, "View") for name in known)
    there = {kind.name for kind in models.below(models.Model) if "name" in vars(kind) and kind.name and kind.view == view
             and kind.__module__ in {f"crimenb.{m}" for m in models.MODULES[view]}}
    assert there == {name for names in models.MODULES[view].values() for name in names}
    rules = {name for name, kind in known.items() if kind.role == "trivial"}
    assert {rule.name for rule in known.trivial()} == {rule.name for rule in with_rules([], view)} == rules

def test_rules_are_made_without_networks():
    code = "import sys; from crimenb import models; [models.with_rules([], v) for v in ('HourlyMaps', 'Panel', 'Sequences', 'Terrain')]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

@pytest.mark.parametrize("thing", [42, None, "Towns"])
def test_what_is_no_view_has_no_models(thing):
    with pytest.raises(InputError, match="view"): catalogue(thing)

def test_several_models_are_chosen_among(hours):
    some = [catalogue(hours)[name]() for name in ("persistence", "shrunken average")]
    best, table = choose(some, hours, {}, slice(0, 700), slice(700, 720))
    assert best.name == "shrunken average" == table["model"][0] and len(table) == 2
    again, one = choose(some, hours, {}, slice(0, 700), slice(700, 704), refit=2)
    fits = [again.fit(hours, slice(0, t)).predict(hours, slice(t, t + 2)) for t in (700, 702)]
    assert one["loss"][0] == pytest.approx(again.loss(np.concatenate(fits), hours, slice(700, 704)))

def test_a_model_is_saved_under_its_own_ending(hours, tmp_path):
    model = catalogue(hours)["persistence"]().fit(hours)
    with pytest.raises(InputError, match="does not end in .crimenb"): model.save(tmp_path/"m.pkl")
    assert not list(tmp_path.iterdir())

def test_empty_places_are_one_class_and_the_others_quantiles():
    values = np.r_[np.zeros(60), np.arange(1, 41)]
    code, edges = forecasts.classes(values)
    assert (code[:60] == 0).all() and len(edges) == 4 and [int((code == k).sum()) for k in range(1, 5)] == [10, 10, 10, 10]
    assert len(forecasts.classes(np.arange(100))[1]) == 4 and len(forecasts.classes(np.zeros(9))[1]) == 0 and forecasts.legend(forecasts.classes(np.full(9, .3))[1]) == ["all alike"]


@pytest.mark.parametrize("name, question, right", [("GAT + TCN", "week", "GAT+TCN"), ("gat+tcn", "week", "GAT+TCN"), ("LSTM", "week", "LSTMCrimeNet"), ("smoothedcounts", "next", "smoothed counts"), ("st-resnet", "hour", "ST-ResNet, sound"), ("crimealarm", "next", "CrimeAlarm")])
def test_a_model_is_named_with_or_without_blanks(name, question, right): assert forecasting.named(name, question) == right

def test_a_map_lies_beside_the_table(tmp_path):
    assert forecasting.targets(out=tmp_path/"week.csv")["map"] == tmp_path/"week.html" and forecasting.targets(out=tmp_path/"a.geojson", map=tmp_path/"b.png")["map"] == tmp_path/"b.png"
