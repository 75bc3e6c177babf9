"Every model of weekly areas: what all models must do, for both tasks."
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from dataclasses import replace

import models_common as common
from cells import one_thread
from crimenb.areas import TASKS
from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.metrics import coverage
from crimenb.models import backtest, catalogue, choose, clone, load
from crimenb.panels import Panel, category_groups, city_places, scales

# small enough for seconds
FAST = {"random forest": dict(trees=10), "gradient boosting": dict(rounds=20)} | {name: dict(epochs=2, units=8, evaluations=2, device="cpu") for name in ("DNN", "LSTMCrimeNet", "GAT+TCN")}
NAMES = [name for name, kind in catalogue("Panel").items() if kind.view == "Panel"]

BUILD = """
from crimenb.city import simulate
from crimenb.panels import Panel, category_groups, city_places
events, truth = simulate({n}, days={days}, seed=5, start="2018-01-01", n_areas=9, n_premises=5)
view = Panel.from_events(events, group=category_groups(events["category"].cat.categories), places=city_places(truth), end="{end}")
"""
SMALL = BUILD.format(n=9000, days=280, end="2018-10-08")

@cache
def built(code):
    space = {}
    exec(code, space)
    return space["view"]

def small(): return built(SMALL)

@cache
def fitted(name, task):
    view = small()
    parts = view.split()
    return made(name, task).fit(view, parts.train, parts.valid)

def made(name, task): return catalogue("Panel")[name](task, **FAST.get(name, {}))

def poisoned(view, moment):
    counts = view.counts.copy()
    counts[moment:] = 5000
    return replace(view, counts=counts)

every = pytest.mark.parametrize("task", TASKS), pytest.mark.parametrize("name", NAMES)
def each(test): return every[0](every[1](test))


def test_the_catalogue_has_all_of_them():
    assert {"historical mean", "recent mean", "last week", "decision tree", "random forest", "SVM", "gradient boosting", "Poisson GLM", "DNN", "LSTMCrimeNet", "GAT+TCN"} <= set(NAMES)
    assert {kind.role for kind in map(catalogue("Panel").get, NAMES)} >= {"trivial", "baseline", "practitioner", "paper"}

@pytest.mark.parametrize("name", ["DNN", "LSTMCrimeNet", "GAT+TCN"])
def test_a_checkpoint_of_one_city_is_not_for_another(name, tmp_path):
    view, parts = small(), small().split()
    def train(view): return common.trained_from(made(name, "counts"), tmp_path/"run.pt").fit(view, parts.train, parts.valid)
    first = train(view)
    np.testing.assert_array_equal(train(view).predict(view, parts.test), first.predict(view, parts.test))
    other = replace(view, counts=view.counts[:, ::-1].copy())
    with pytest.raises(InputError, match="run.pt belongs to a run with another data"): train(other)

@each
def test_a_poisoned_future_changes_nothing(name, task):
    view = small()
    parts = view.split()
    for t in range(parts.test.start, view.known): common.poisoned_alike(fitted(name, task), view, poisoned(view, t), np.array([t]))
    common.learns_nothing_later(made(name, task), view, poisoned(view, parts.test.start), parts.train, parts.valid, np.array([parts.test.start]))

@each
def test_it_has_the_settings_that_it_was_given_and_a_name_among_the_settings_to_try(name, task):
    common.holds_settings(made(name, task))
    assert set(made(name, task).grid) <= set(made(name, task).get_params())

@each
def test_its_forecast_begins_after_the_last_known_week(name, task):
    forecast = common.forecasts_ahead(fitted(name, task), small())
    assert len(forecast) == 2*9*(3 if task == "counts" else 1)
    if task == "levels":
        p = forecast.table.filter(like="level ")
        assert np.allclose(p.sum(1), 1, atol=1e-5) and p.shape[1] == 5
        assert np.allclose(p @ np.arange(1, 6), forecast.table["expected"])
        assert (forecast.table[["low", "high"]] >= 1).all().all() and (forecast.table[["low", "high"]] <= 5).all().all()

@each
def test_loaded_it_says_the_same(name, task, tmp_path):
    view = small()
    common.same_after_loading(fitted(name, task), view, view.split().test, tmp_path/"m.crimenb")

def test_a_fresh_process_forecasts_the_same(tmp_path):
    common.saved_and_loaded_elsewhere({(name, task): fitted(name, task) for name in NAMES for task in TASKS}, small(), tmp_path, SMALL)

@pytest.mark.parametrize("name", NAMES)
def test_another_view_is_refused_in_one_sentence(name):
    view, model = small(), fitted(name, "counts")
    common.refuses(model, replace(view, areas=[f"x{a}" for a in view.areas]), "areas, number 0")
    common.refuses(model, replace(view, categories=["violent", "other", "property"]), "categories")
    common.refuses(model, replace(view, lon=view.lon + 1), "lon")
    common.refuses(clone(model), view, "is not fitted")
    with pytest.raises(InputError, match="use forecast"): model.predict(view.ahead(2), [view.known + 1])
    with pytest.raises(InputError, match="blocks behind it"): model.predict(view, [2])

@cache
def other_year(): return simulate(9000, days=280, seed=6, start="2018-01-01", n_areas=9, n_premises=5)[0]

def later_events(start, days=21):
    events = other_year()
    shift = pd.Timestamp(start) - events["time"].min().normalize()
    return events[events["time"] < events["time"].min() + pd.Timedelta(days=days)].assign(time=lambda e: (e["time"] + shift).astype("datetime64[s]"))

@pytest.mark.parametrize("name", ["Poisson GLM", "recent mean", "LSTMCrimeNet"])
def test_later_events_go_on_without_fitting_and_a_gap_is_refused_or_unknown(name):
    view, model = small(), fitted(name, "counts")
    end = view.ahead().starts[-1]
    longer = view.update(later_events(end))
    assert len(longer) == len(view) + 3 and longer.counts[-3:].sum() > 400 and (longer.counts[:len(view)] == view.counts).all()
    assert model.forecast(longer).table["period"].iloc[0] == end + pd.Timedelta(weeks=3)
    late = later_events(end + pd.Timedelta(weeks=4))
    with pytest.raises(InputError, match="nothing is known of the 4 week"): view.update(late)
    gap = view.update(late, "unknown")
    assert np.isnan(gap.counts[len(view):len(view) + 4]).all() and gap.known == len(view) + 7
    ahead = model.forecast(gap, 2).table
    usual = np.nanmean(view.counts.sum((1, 2)))
    # weeks without data are no quiet weeks
    assert not ahead.isna().any().any() and .6*usual < ahead["expected"].sum()/2 < 1.5*usual

@pytest.mark.parametrize("name", NAMES)
def test_it_learns_from_a_panel_with_a_hole(name):
    view = small()
    counts = view.counts.astype(np.float32)
    counts[10:13] = np.nan
    holed = replace(view, counts=counts)
    parts = view.split()
    for task in TASKS:
        model = made(name, task).fit(holed, parts.train, parts.valid)
        assert np.isfinite(model.predict(holed, parts.test)).all() and np.isfinite(model.loss(model.predict(holed, slice(6, 16)), holed, slice(6, 16)))

@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("random forest", "decision tree", "gradient boosting", "SVM")])
def test_its_file_does_not_grow_with_the_history_and_holds_no_event(name, tmp_path):
    common.does_not_grow(lambda: made(name, "counts"), small(), built(BUILD.format(n=27000, days=840, end="2020-04-20")), tmp_path/"m.crimenb")

@each
def test_a_backtest_has_the_trivial_rules_of_its_task(name, task):
    view = small()
    rows = backtest(made(name, task), view, test=3, valid=4, periods=2)
    assert {name, "historical mean", "recent mean", "last week"} <= set(rows["method"])
    metrics = set(rows["metric"])
    assert {"log loss", "accuracy"} <= metrics if task == "levels" else {"Poisson deviance", "RMSE", "coverage of 90%"} <= metrics
    assert (rows["kind"] == rows["method"].map(lambda m: catalogue("Panel")[m].role)).all() and rows["value"].notna().all()

@cache
def busy():
    events, truth = simulate(60_000, days=728, seed=3, start="2018-01-01", n_areas=16, n_premises=5)
    return Panel.from_events(events, group=category_groups(events["category"].cat.categories), places=city_places(truth))

@pytest.mark.parametrize("name", ["historical mean", "Poisson GLM", "gradient boosting", "DNN"])
def test_intervals_hold_what_they_promise_on_the_simulated_city(name):
    view = busy()
    parts = view.split(.25, .25)
    settings = {"epochs": 30, "device": "cpu", "units": 32} if name == "DNN" else {}
    model = catalogue("Panel")[name](**settings).fit(view, parts.train, parts.valid)
    held = coverage(*model.interval(model.predict(view, parts.test), .9), view.observed(parts.test))
    assert .86 < held < .96, held

def test_recursion_goes_on_from_what_was_expected():
    view = small()
    model = catalogue("Panel")["recent mean"](window=2, prior=0).fit(view)
    first, second = model.ahead(view, 2)[1]
    np.testing.assert_allclose(first, np.maximum(view.counts[-2:].mean(0), .001))
    np.testing.assert_allclose(second, np.maximum((view.counts[-1] + first)/2, .001), rtol=1e-6)

def test_thresholds_are_learnt_and_kept():
    view = small()
    parts = view.split()
    model = fitted("Poisson GLM", "levels")
    np.testing.assert_array_equal(model.scales_.thresholds, scales(view, parts.train).thresholds)
    doubled = replace(view, counts=view.counts*2)
    # levels of a busier city are judged by the thresholds of training
    assert model.levels(doubled, parts.test).mean() > model.levels(view, parts.test).mean() + .5

def test_choosing_is_by_validation_alone():
    view = small()
    parts = view.split()
    grid = {"window": [2, 5, 26], "prior": [.1, 3.]}
    for task in TASKS:
        tables = [choose(made("recent mean", task), v, grid, parts.train, parts.valid)[1] for v in (view, poisoned(view, parts.test.start))]
        pd.testing.assert_frame_equal(*tables)
        assert len(tables[0]) == 6 and (tables[0]["loss"].diff().dropna() >= 0).all()

def test_a_network_without_validation_keeps_the_last_fifth_for_its_epoch():
    view = small()
    alone, told = made("DNN", "counts").fit(view), made("DNN", "counts")
    cut = len(view) - (len(view) - 4)//5
    told.fit(view, slice(0, cut), slice(cut, len(view)))
    # the scales differ: those of `alone` are of all that is known
    assert len(alone.log_) == len(told.log_) and alone.forecast(view).table["expected"].gt(0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_view_that_ends_before_what_was_learnt_is_no_ground_for_a_forecast(name, tmp_path):
    view, model = small(), fitted(name, "counts")
    parts = view.split()
    model = load(model.save(tmp_path/"m.crimenb"))
    with pytest.raises(InputError, match="has learnt from weeks up to .* and the view ends") as error: model.forecast(view.until(parts.valid.stop - 1))
    assert "\n" not in str(error.value)
    # what was known then is enough from there on, and known periods can be predicted
    assert model.forecast(view.until(parts.valid.stop)).periods[0] == view.starts[parts.valid.stop]
    assert len(model.predict(view.until(parts.valid.stop - 1), [parts.valid.stop - 2])) == 1

@pytest.mark.parametrize("name", NAMES)
def test_other_orders_lengths_and_fewer_categories_are_refused(name):
    view, model = small(), fitted(name, "counts")
    turned = replace(view, areas=view.areas[::-1], lon=view.lon[::-1], lat=view.lat[::-1], km2=view.km2[::-1], counts=view.counts[:, ::-1], attributes=view.attributes[:, ::-1])
    common.refuses(model, turned, "areas, number 0")
    common.refuses(model, replace(view, counts=view.counts[..., ::-1], categories=view.categories[::-1]), "categories, number 0")
    common.refuses(model, replace(view, counts=view.counts[..., :-1], categories=view.categories[:-1]), "categories: 3 there, 2 here")
    # a city whose areas have the same names
    events, truth = simulate(9000, days=280, seed=6, start="2018-01-01", n_areas=9, n_premises=5)
    other = Panel.from_events(events, group=category_groups(events["category"].cat.categories), places=city_places(truth).assign(lon=lambda t: t.lon + 2), end="2018-10-08")
    assert other.areas == view.areas
    common.refuses(model, other, "lon")
    common.refuses(model, Panel.from_events(events, "W-SUN", group=category_groups(events["category"].cat.categories), places=city_places(truth), end="2018-10-08"), "freq")

@pytest.mark.parametrize("at, says", [(np.arange(10_000, 10_003), "the view has the periods 0 to"), ("x", "a slice or numbers of periods"), ([], "names no period"), (slice(0, 2), "give the view and the periods")])
def test_scores_of_periods_that_are_not_there_are_one_sentence(at, says):
    view = small()
    model = made("recent mean", "counts").fit(view)
    last = slice(view.known - 3, view.known)
    values = model.predict(view, last)
    assert model.loss(values, view, last) == model.loss(values, view, np.arange(view.known - 3, view.known)) > 0 and len(model.scores(values, view, last))
    for judge in (model.loss, model.scores):
        with pytest.raises(InputError, match=says): judge(values, view, at)
