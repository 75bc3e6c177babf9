"""What the cross-tests ask, on two tiny cities: who is fitted where, what a plan is, how history is cut, and street units as cells."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cells import one_thread  # noqa: F401
from crimenb.baselines import hourly_map
from crimenb.grids import Grid, HourlyMaps
from crimenb.lab import crosstests
from crimenb.metrics import poisson_deviance
from crimenb.sequences import Sequences

class Run(list):
    "The settings of a run that only remembers its rows."
    dataset, seed, n_boot, grid_rows, grid_columns, city_events, city_days, side = "city", 0, 20, 4, 4, 5000, 70, 16
    valid, hidden, epochs, filters, residual_units, map_epochs, passes, trees = .2, 4, 1, 2, 1, 1, 3, 3
    def add(self, rows, **shared): self.extend({**row, **shared} for row in pd.DataFrame(rows).to_dict("records"))
    def used(self, name, what): pass

HOURS = 70*24

@pytest.fixture(scope="module")
def places(): return [crosstests.read_place(name, Run()) for name in ("city", "another simulated city")]

@pytest.fixture(scope="module")
def fitted(places):
    here, there = places
    return crosstests.fit_travellers(Run(), here.maps, HOURS - 48), crosstests.fit_travellers(Run(), there.maps)

def test_the_other_city_is_another_one_on_a_like_grid(places):
    here, there = places
    assert here.maps.counts.shape == there.maps.counts.shape == (HOURS, 4, 4) and not np.array_equal(here.maps.counts, there.maps.counts)
    found = crosstests.size_of(here)
    assert (found["hours"], found["cells"]) == (HOURS, 16) and found["crimes"] == here.maps.counts.sum() == pytest.approx(5000, rel=.1)
    assert all(crosstests.OTHER[crosstests.OTHER[name]] == name for name in crosstests.PLACES)

def test_what_travels_keeps_its_coefficients_and_forecasts_from_the_past_of_where_it_is(places, fitted):
    here, _ = places
    own, foreign = fitted
    at = slice(HOURS - 48, HOURS)
    taken = foreign.taken_to(here.maps)
    assert list(taken) == ["Poisson regression, other city", "Poisson regression + graph, other city"] and list(own.at_home()) == ["Poisson regression", "Poisson regression + graph"]
    assert np.array_equal(taken["Poisson regression, other city"].estimator_.coef_, foreign.regression.estimator_.coef_)
    assert not np.allclose(own.regression.estimator_.coef_, foreign.regression.estimator_.coef_)
    said = taken["Poisson regression, other city"].predict(here.maps, at)
    assert .5 < said.mean()/here.maps.counts.mean() < 2 and not np.allclose(said, own.regression.predict(here.maps, at))

def test_the_last_whole_days_are_for_choosing():
    assert crosstests.last_hours(1000, .2) == slice(1000 - 192, 1000) and crosstests.last_hours(100, .01) == slice(76, 100)

def test_a_forecast_of_the_period_ahead_reads_nothing_of_it_and_the_last_hour_is_repeated(places, fitted):
    maps, train = places[0].maps, HOURS - 48
    last, moved = crosstests.period_ahead(hourly_map.Persistence().fit(maps, slice(0, train)), maps, train, 3)
    assert moved == 0 and (last == maps.counts[train - 1]).all() and last.shape == (48, 4, 4)
    other = HourlyMaps(np.concatenate([maps.counts[:train], np.full((48, 4, 4), 9, np.float32)]), maps.start, maps.grid)
    found = [crosstests.period_ahead(fitted[0].regression, m, train, 3) for m in (HourlyMaps(maps.counts, maps.start, maps.grid), other)]
    assert np.array_equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]
    # fed back long enough it agrees with itself
    assert crosstests.period_ahead(hourly_map.SelfExciting().fit(maps, slice(0, train)), maps, train, 60)[1] < 1e-3

def test_all_methods_are_fitted_here_or_elsewhere(places, fitted):
    methods = crosstests.map_methods(Run(), places[0].maps, HOURS - 48, *fitted)
    assert list(methods) == ["persistence", "KNN", "shrunken average", "KDE hot spots", "self-exciting", "boosted trees", "Poisson regression", "Poisson regression, other city",
                             "Poisson regression + graph", "Poisson regression + graph, other city", "ST-ResNet, small"]
    for name, model in methods.items(): assert model.predict(places[0].maps, slice(HOURS - 2, HOURS)).shape == (2, 4, 4), name

def test_plain_plans_count_and_the_true_plan_knows(places):
    here = places[0]
    plans = crosstests.plain_plans(here.maps, HOURS - 48)
    assert np.array_equal(plans["last fortnight's counts"][1], here.maps.counts[-96:-48].sum(0).ravel()) and np.ptp(plans["all cells alike"][1]) == 0
    true = crosstests.true_plan(here, Run(), np.arange(HOURS))
    assert np.corrcoef(true, here.maps.counts.sum(0).ravel())[0, 1] > .95 and true.sum() == pytest.approx(here.maps.counts.sum(), rel=.1)

def test_history_is_cut_from_behind(places):
    maps, train = places[0].maps, HOURS - 48
    less, kept = crosstests.cut(maps, .25, train)
    assert kept % 24 == 0 and abs(kept - .25*train) < 24 and np.array_equal(less.counts, maps.counts[train - kept:]) and less.starts[-1] == maps.starts[-1]
    assert crosstests.cut(maps, .01, train)[1] == 168
    seqs = Sequences(np.arange(13, dtype=np.int32), np.array([0, 10, 13]), 13)
    assert crosstests.last_of(seqs, .5).events.tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12] and crosstests.last_of(seqs, 1).events.tolist() == list(range(13))

def test_a_rule_has_the_floor_that_suits_its_last_hours(places):
    less, kept = crosstests.cut(places[0].maps, .5, HOURS - 48)
    valid = crosstests.last_hours(kept, .2)
    said, floor = crosstests.with_floor(hourly_map.HistoricalAverage(), less, kept, valid)
    before = hourly_map.HistoricalAverage().fit(less, slice(0, valid.start)).predict(less, valid)
    assert len(said) == 48 and floor == min(crosstests.stresnet.FLOORS, key=lambda f: poisson_deviance(before, less.counts[valid], f).mean())

def test_errors_and_differences_of_shortened_histories_are_rows(places, fitted):
    maps, run, train = places[0].maps, Run(), HOURS - 48
    less, kept = crosstests.cut(maps, 1., train)
    own, foreign = fitted
    found = crosstests.history_forecasts(run, less, kept, foreign, own)
    happened, days = maps.counts[train:].astype(float), np.arange(48)//24
    crosstests.history_rows(crosstests.CrossScores(run), "all", found, happened, days)
    value = {(r["method"], r["protocol"], r["metric"]): r["value"] for r in run}
    kind, said, floor = found["Poisson regression"]
    assert kind == own.regression.role and floor == 1e-4 and np.array_equal(said, own.regression.predict(less, slice(kept, len(less))))
    assert value["Poisson regression", "all", "Poisson deviance"] == pytest.approx(poisson_deviance(said, happened, floor).mean())
    for one, other in crosstests.MAP_PAIRS:
        assert value[f"{one} minus {other}", "all, paired", "Poisson deviance"] == pytest.approx(value[one, "all", "Poisson deviance"] - value[other, "all", "Poisson deviance"])
    assert all(r["low"] <= r["value"] <= r["high"] for r in run)

def test_a_plan_that_names_the_right_cell_has_all_crimes_and_ties_none():
    run, happened = Run(), np.zeros((4, 100))
    happened[:, 7] = 3
    plans = {"all cells alike": ("trivial", np.ones(100)), "knows": ("ours", happened.sum(0)), "errs": ("paper", -happened.sum(0))}
    crosstests.plan_rows(crosstests.CrossScores(run), "plan", plans, happened, ["all cells alike"], ["all cells alike"])
    value = {(r["method"], r["protocol"], r["metric"]): r["value"] for r in run}
    assert value["knows", "plan", "PAI@1%"] == 100 and value["errs", "plan", "PAI@10%"] == 0 and value["all cells alike", "plan", "PAI@5%"] == pytest.approx(1)
    assert value["knows minus all cells alike", "plan, paired", "PAI@10%"] == pytest.approx(9) and not any(r["method"].startswith("all cells alike minus") for r in run)

def test_areas_have_violent_and_property_crime_and_what_isnt_trivial_is_compared(places):
    here, there = (crosstests.panel_of(p) for p in places)
    assert here.categories == ["violent", "property"] and here.counts.shape == (10, 16, 2)
    run, learnt, asked = Run(), slice(0, 8), slice(8, 10)
    found = crosstests.area_forecasts(run, here, there, learnt, asked)
    assert found["last week"][1] == pytest.approx(here.counts[7:9].reshape(-1, 2), abs=.05)
    travels = [name for name in found if name.endswith(", other city")]
    assert len(travels) == 2 and all(name.removesuffix(", other city") in found for name in travels)
    crosstests.area_rows(crosstests.CrossScores(run), found, here.observed(asked).reshape(-1, 2), np.repeat([0, 1], 16))
    pairs = {r["method"] for r in run if r["protocol"].endswith("paired")}
    assert pairs == {f"{name} minus recent mean" for name, (kind, _, _) in found.items() if kind != "trivial"} | {f"{name} minus {name.removesuffix(', other city')}" for name in travels}

def test_the_next_event_is_asked_with_each_share():
    run = Run()
    rng = np.random.default_rng(0)
    # spots with classes from two to six, of 120 that there are
    seqs = Sequences(rng.integers(0, 6, 400).astype(np.int32), np.arange(0, 401, 10), 120)
    crosstests.event_rows(run, seqs, {"1/4": .25, "1": 1.})
    assert {r["protocol"] for r in run} == {f"{p}, {s} of the history" for p in ("popularity-100", "full") for s in ("1/4", "1")} and {r["metric"] for r in run} == {"HR@5", "NDCG@5"}
    hit = {r["value"] for r in run if r["metric"] == "HR@5" and r["protocol"] == "full, 1 of the history"}
    # five of six classes are named
    assert all(.6 < v <= 1 for v in hit)

@pytest.fixture(scope="module")
def streets():
    run = Run()
    run.city_days = 300
    return crosstests.read_streets(run)

def test_maps_and_street_units_count_the_same_events(streets):
    for size in (200, 700):
        cells = crosstests.cells_of(streets, size)
        assert np.array_equal(cells.summed(streets.later), crosstests.weekly_counts(streets, cells).sum(0)) and cells.maps.counts.sum() == len(streets.day)
        assert len(crosstests.weekly_counts(streets, cells)) == -(-(streets.days - streets.first_day)//7)
    # cells as wide as the city are one
    assert crosstests.cells_of(streets, 1e6).real.tolist() == [True]

def test_cells_without_a_street_unit_are_none():
    units = SimpleNamespace(x=np.array([0., 50, 250]), y=np.array([0., 0, 250]))
    few = crosstests.Streets(SimpleNamespace(units=units), (), np.array([0, 1, 2]), np.array([0, 1, 1]), "last", 1, 2, np.array([0, 1, 1]), 1)
    cells = crosstests.cells_of(few, 100)
    assert cells.of.tolist() == [0, 0, 8] and cells.real.sum() == 2 and cells.summed(np.array([1., 2, 5])).tolist() == [3, 5]
    assert crosstests.weekly_counts(few, cells).tolist() == [[1, 1]] and cells.maps.counts[0].sum() == 1

def test_plans_of_cells_are_units_added_up_and_rules_for_maps(streets):
    on_units = crosstests.unit_forecasts(Run(), streets, ["kernel density"], 2)
    assert list(on_units)[:3] == ["last counts", "mean counts", "kernel density"] and len(on_units) == 4
    year = [np.bincount(streets.unit[(streets.day >= 60*k) & (streets.day < 60*k + 60)], minlength=len(streets.later)) for k in (2, 3)]
    assert streets.years == 4 and np.array_equal(on_units["last counts"][1], year[1]) and np.allclose(on_units["mean counts"][1], (year[0] + year[1])/2)
    assert "mean counts" not in crosstests.unit_forecasts(Run(), streets, [], 1)
    cells = crosstests.cells_of(streets, 400)
    plans = crosstests.cell_plans(Run(), streets, cells, on_units)
    assert np.allclose(plans["last year's counts of cells"][1], cells.summed(on_units["last counts"][1])) and {"all cells alike", "mean counts of cells", "counts of as many days before", "self-exciting on maps"} <= set(plans)
    span = streets.days - streets.first_day
    assert plans["counts of as many days before"][1].sum() == ((streets.day >= streets.first_day - span) & (streets.day < streets.first_day)).sum()
    assert all(len(expected) == cells.real.sum() for _, expected in plans.values())
