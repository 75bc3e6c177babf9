"Every model of hourly maps: what all models must do."
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

import models_common as common
from crimenb.core import InputError
from crimenb.metrics import coverage
from crimenb.models import backtest, catalogue, clone, load

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NETWORK = dict(filters=2, residual_units=1, epochs=1, checks=1, device=DEVICE)
# small enough for seconds
FAST = {"ARIMA, hourly": dict(order=(2, 0, 0)), "ARIMA(25,0,26), cumulative": dict(order=(2, 0, 0)), "boosted trees": dict(trees=10), "self-exciting": dict(steps=10),
        "ST-ResNet, sound": dict(**NETWORK, extra_epochs=1), "ternary ST-ResNet, sound": dict(**NETWORK, extra_epochs=0, resolution="none"),
        "ST-ResNet, Poisson": dict(**NETWORK, extra_epochs=0), "Poisson regression + ST-ResNet": NETWORK,
        "Poisson regression + recurrent": dict(epochs=1, hidden=4, device=DEVICE), "Poisson regression + graph": dict(epochs=1, hidden=4, device=DEVICE)}
NAMES = [name for name, kind in catalogue("HourlyMaps").items() if kind.view == "HourlyMaps"]
BUILD = """
import pandas as pd
from crimenb.city import simulate
from crimenb.grids import Grid, HourlyMaps
events, truth = simulate(9000, days=42, seed=5)
view = HourlyMaps.from_events(events, Grid.of(truth, 3, 4), end=truth.start + pd.Timedelta(days=42), holidays="US")
"""

@cache
def made_up():
    space = {}
    exec(BUILD, space)
    return space

def small(): return made_up()["view"]

def made(name): return catalogue("HourlyMaps")[name](**FAST.get(name, {}))

@cache
def fitted(name):
    parts = small().split(valid=4, test=6)
    return made(name).fit(small(), parts.train, parts.valid)

def poisoned(view, t): return replace(view, counts=np.concatenate([view.counts[:t], 1000 + np.random.default_rng(0).random((len(view) - t, *view.counts.shape[1:]), np.float32)]))

each = pytest.mark.parametrize("name", NAMES)


def test_the_catalogue_has_all_of_them():
    assert {"all zero", "persistence", "reset + hourly mean", "shrunken average", "KNN, hourly", "KNN, cumulative", "KDE hot spots", "self-exciting", "Poisson regression", "boosted trees", "ARIMA, hourly", *FAST} <= set(NAMES)
    assert {kind.role for kind in map(catalogue("HourlyMaps").get, NAMES)} == {"trivial", "baseline", "practitioner", "paper", "ours"}

@each
def test_a_poisoned_future_changes_nothing(name):
    view, model = small(), fitted(name)
    for t in (900, 911): common.poisoned_alike(model, view, poisoned(view, t), [t])

@each
def test_nothing_is_learnt_from_later_hours(name):
    view = small()
    parts = view.split(valid=4, test=6)
    common.learns_nothing_later(made(name), view, poisoned(view, parts.test.start), parts.train, parts.valid, [parts.test.start])

@each
def test_forecasts_begin_after_the_last_hour(name):
    forecast = common.forecasts_ahead(fitted(name), small(), 3, name != "KNN, cumulative")
    assert forecast.about["further"] == "recursive" and forecast.about["unit"] == "hour" and len(forecast) == 3*12

@each
def test_settings_and_clones(name): common.holds_settings(made(name))

@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(catalogue("HourlyMaps")[name], "checkpoint")])
def test_a_checkpoint_of_one_city_is_not_for_another(name, tmp_path):
    view, parts = small(), small().split(valid=4, test=6)
    train = lambda view, valid=parts.valid: common.trained_from(made(name), tmp_path/"run.pt").fit(view, parts.train, valid)
    first = train(view)
    np.testing.assert_array_equal(train(view).predict(view, parts.test), first.predict(view, parts.test))
    other = replace(view, counts=view.counts[:, ::-1].copy())
    for change in (lambda: train(other), lambda: train(view, slice(parts.valid.start, parts.valid.stop - 2))):
        with pytest.raises(InputError, match="run.pt belongs to a run with another data"): change()
    assert {"ST-ResNet, sound", "ternary ST-ResNet, sound", "Poisson regression + recurrent", "Poisson regression + graph"} <= {
        name for name in NAMES if hasattr(catalogue("HourlyMaps")[name], "checkpoint")}

@each
def test_another_grid_is_refused(name):
    view = small()
    other = replace(view, grid=replace(view.grid, east=view.grid.east + .01))
    common.refuses(fitted(name), other, "grid")
    with pytest.raises(InputError, match="takes HourlyMaps"): fitted(name).predict(object(), [0])

def test_a_fresh_process_forecasts_the_same(tmp_path):
    common.saved_and_loaded_elsewhere({name: fitted(name) for name in NAMES}, small(), tmp_path, BUILD)

@pytest.mark.parametrize("name", ["self-exciting", "Poisson regression", "ternary ST-ResNet, sound", "Poisson regression + recurrent"])
def test_a_file_does_not_grow_with_the_history(name, tmp_path):
    view = small()
    common.does_not_grow(lambda: made(name), view.until(33*24), view, tmp_path/"m.crimenb")

def test_a_ternary_model_is_kept_packed(tmp_path):
    model = fitted("ternary ST-ResNet, sound")
    state = load(model.save(tmp_path/"m.crimenb")).network_.state_dict()
    packed = [v for name, v in state.items() if name.endswith("packed")]
    assert len(packed) == 3*4 + 2 and all(v.dtype == torch.uint8 for v in packed) and not any("original" in name for name in state)

@each
def test_a_gap_is_refused_and_later_hours_are_forecast_without_refitting(name):
    view, events = small(), made_up()["events"]
    begin = view.until(38*24)
    later = events[events.time >= view.starts[38*24]]
    with pytest.raises(InputError, match="nothing is known"): begin.update(later[later.time >= view.starts[40*24]])
    on = begin.update(later)
    t = len(on) - 1
    np.testing.assert_array_equal(fitted(name).predict(on, [t]), fitted(name).predict(view, [t]))

@pytest.mark.parametrize("name", ["shrunken average", "Poisson regression", "boosted trees", "Poisson regression + recurrent"])
def test_intervals_hold_what_they_promise(name):
    view = small()
    parts = view.split(valid=4, test=6)
    model = fitted(name)
    low, high = model.interval(model.predict(view, parts.test), .9)
    # counts are whole numbers: intervals of 90 % hold a little more
    assert .88 <= coverage(low, high, view.observed(parts.test)) <= .99

def test_backtest_has_the_trivial_rules():
    table = backtest([made("Poisson regression")], small(), test=4, valid=4)
    deviance = table[table.metric == "Poisson deviance"].set_index("method")["value"]
    assert {"Poisson regression", "all zero", "persistence", "reset + hourly mean", "shrunken average", "last period", "mean"} <= set(deviance.index)
    assert deviance["Poisson regression"] < deviance["persistence"]

def test_what_looks_back_says_how_far():
    view = small()
    for name in ("ST-ResNet, sound", "ST-ResNet, Poisson"):
        with pytest.raises(InputError, match="three weeks"): fitted(name).predict(view, [100])
    with pytest.raises(InputError, match="too few"): made("ST-ResNet, sound").fit(view.until(400))

def test_weather_and_holidays_reach_the_network():
    "The same counts under another sky give another forecast, and its scale is that of training."
    view, rng = small(), np.random.default_rng(0)
    sky = pd.DataFrame({"temperature": rng.normal(10, 5, len(view)), "wind": rng.random(len(view))}, index=view.starts)
    known = replace(view, weather=sky)
    model = made("ST-ResNet, Poisson").set_params(epochs=3, lr=.005).fit(known, slice(0, 800))
    assert model.ranges_["temperature"] == (sky.temperature[:799].min(), sky.temperature[:799].max())
    hot = sky.copy()
    hot.iloc[900] = [25, 1]
    assert not np.array_equal(model.predict(known, [900]), model.predict(replace(view, weather=hot), [900]))
    with pytest.raises(InputError, match="weather"): model.predict(view, [900])
    assert np.isfinite(model.forecast(known, 2).table.expected).all()


@each
def test_a_view_that_ends_before_what_was_learnt_is_no_ground_for_a_forecast(name):
    view = small()
    last = view.split(valid=4, test=6).valid.stop
    with pytest.raises(InputError, match="has learnt from hours up to .* and the view ends"): fitted(name).forecast(view.until(last - 1))
    assert fitted(name).forecast(view.until(last)).periods[0] == view.starts[last]

@each
def test_other_shapes_places_and_holidays_are_refused(name):
    view = small()
    grid = view.grid
    common.refuses(fitted(name), replace(view, grid=replace(grid, rows=4, columns=3), counts=view.counts.reshape(-1, 4, 3)), "grid")
    # the same shape elsewhere
    common.refuses(fitted(name), replace(view, grid=replace(grid, west=grid.west + 1, east=grid.east + 1)), "grid")
    common.refuses(fitted(name), replace(view, holidays=None), "holidays")
