"""What the studies of weekly areas measure, by hand."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crimenb import city, panels
from crimenb.lab import weekly
from crimenb.metrics import poisson_deviance

class Rows(list):
    def add(self, rows, **shared): self.extend({**shared, **row} for row in pd.DataFrame(rows).to_dict("records"))

def scored(occurrence=False):
    events, truth = city.simulate(4000, 150, seed=2, n_areas=6)
    panel = panels.Panel.from_events(events, group=panels.category_groups(events.category.cat.categories), places=panels.city_places(truth))
    parts = panel.split(4, 5)
    return weekly.WeeklyScores(Rows(), panel, parts, panels.Features(panel, slice(0, parts.train.stop)), occurrence)

@pytest.fixture(scope="module")
def scores(): return scored()

def value(scores, method, protocol, metric): return {(r["method"], r["protocol"], r["metric"]): r["value"] for r in scores.run}[method, protocol, metric]

def test_counts_are_scored_together_and_by_category_and_are_means_over_the_repeats(scores):
    truth, ones = scores.counts.astype(float), np.ones(scores.counts.shape)
    scores.measure("counts", "two", "ours", [truth, ones])
    assert value(scores, "two", "counts", "MAE") == pytest.approx(abs(truth - 1).mean()/2)
    for c, name in enumerate(scores.panel.categories):
        assert value(scores, "two", f"counts, {name}", "Poisson deviance") == pytest.approx((poisson_deviance(np.maximum(truth[:, c], .01), truth[:, c]).mean() + poisson_deviance(ones[:, c], truth[:, c]).mean())/2)
    assert scores.kinds["two"] == "ours" and {r["split"] for r in scores.run} == {"test"} and all(pd.isna(r["low"]) and pd.isna(r["high"]) or r["low"] <= r["value"] <= r["high"] for r in scores.run)

def test_levels_and_differences_are_those_by_week(scores):
    sure = np.eye(scores.known.y_level.max() + 1)[scores.level]
    wrong = np.roll(sure, 1, 1)
    scores.measure("level", "right", "paper", [sure])
    scores.measure("level", "wrong", "trivial", [wrong])
    scores.measure("level", "as wrong", "trivial", [wrong])
    assert value(scores, "right", "risk level", "accuracy") == 1 and value(scores, "wrong", "risk level", "accuracy") == 0
    # of weeks that all say the same no interval is known
    np.testing.assert_array_equal(weekly.difference(scores, "level", "right", "wrong"), [1, np.nan, np.nan])
    np.testing.assert_array_equal(weekly.difference(scores, "level", "wrong", "as wrong"), [0, np.nan, np.nan])
    scores.measure("counts", "mean", "trivial", [np.full(scores.counts.shape, scores.counts.mean())])
    scores.measure("counts", "truth", "floor", [scores.counts.astype(float)])
    middle, low, high = weekly.difference(scores, "counts", "truth", "mean")
    assert middle == pytest.approx(value(scores, "truth", "counts", "Poisson deviance") - value(scores, "mean", "counts", "Poisson deviance")) and low <= middle <= high < 0

def test_the_best_rule_is_the_least_loss_or_the_highest_accuracy():
    table = pd.DataFrame([("a", "trivial", "p", "accuracy", .6), ("b", "trivial", "p", "accuracy", .7), ("c", "paper", "p", "accuracy", .9), ("a", "trivial", "p", "log loss", .5), ("b", "trivial", "p", "log loss", .8),
                          ("d", "trivial", "other", "log loss", .1)], columns=["method", "kind", "protocol", "metric", "value"])
    assert weekly.best_trivial(table, "p", "accuracy") == "b" and weekly.best_trivial(table, "p", "log loss") == "a"

def test_occurrences_that_are_known_have_no_fault():
    scores = scored(occurrence=True)
    known = lambda part: (scores.known.y_counts[scores.known.rows(part)] > 0).astype(float)
    scores.measure("counts", "truth", "floor", [known(scores.parts.test)], [known(scores.parts.valid)])
    found = {r["protocol"]: r["value"] for r in scores.run if r["metric"] == "micro-F1"}
    assert set(found) == {f"occurrence, {how}" for how in weekly.CUTS} and max(found.values()) == 1

def test_categories_are_summed_into_their_groups():
    assert weekly.membership(["BURGLARY", "HOMICIDE", "ROBBERY"], ["violent", "property"]).tolist() == [[False, True], [True, False], [True, False]]
    counts = np.arange(6).reshape(1, 2, 3)
    panel = panels.Panel(counts, pd.date_range("2018-01-01", periods=1, freq="W-MON"), ["a", "b"], ["BURGLARY", "HOMICIDE", "ROBBERY"])
    found = weekly.by_group(panel)
    assert found.categories == ["violent", "property"] and found.counts.tolist() == [[[3, 0], [9, 3]]]

def test_days_and_weeks_of_the_city_expect_the_same_sum():
    events, truth = city.simulate(3000, 28, seed=1, n_areas=4, start="2018-01-01")
    group = panels.category_groups(events.category.cat.categories)
    of = {freq: panels.Panel.from_events(events, freq, group, start=truth.start, end=truth.start + pd.Timedelta(days=28)) for freq in ("D", "W-MON")}
    days, weeks = (weekly.expected_means(truth, of[freq]) for freq in ("D", "W-MON"))
    assert days.shape == (28, *weeks.shape[1:]) and np.allclose(days.reshape(4, 7, *weeks.shape[1:]).sum(1), weeks)
    assert np.allclose(weeks.sum(), truth.expected_panel(24).sum())

def test_the_spread_beyond_poisson_is_that_of_the_draws():
    rng, mean = np.random.default_rng(0), np.full((400, 50), 4.)
    assert weekly.extra_spread(rng.poisson(mean), mean) < .05
    # negative binomial with variance 3 times the mean
    assert weekly.extra_spread(rng.negative_binomial(2, 1/3, mean.shape), mean) == pytest.approx(2, abs=.1)
    assert weekly.extra_spread(mean, mean) == 0

def test_the_floor_says_what_was_expected_and_how_often_each_level_comes(scores):
    rows = np.arange(scores.known.rows(scores.parts.test).start, scores.known.rows(scores.parts.test).stop)
    means = np.full(scores.panel.counts.shape, .5)
    floor = weekly.true_forecasts(scores.known, means, rows)
    assert (floor["counts"] == .5).all() and floor["counts"].shape == scores.counts.shape
    # against draws: severity-weighted sums of Poisson counts, cut at the thresholds
    drawn = np.random.default_rng(0).poisson(.5, (200_000, scores.counts.shape[1])) @ weekly.severity_of(scores.panel)
    share = np.bincount(np.searchsorted(scores.known.thresholds, drawn), minlength=5)/len(drawn)
    assert floor["level"][0] == pytest.approx(share, abs=.005)

def test_methods_are_compared_with_the_best_of_the_rules():
    scores = scored()
    mean = np.full(scores.counts.shape, scores.counts.mean())
    for name, kind, said in (("truth", "ours", scores.counts.astype(float)), ("mean", "trivial", mean), ("twice", "trivial", 2*mean)): scores.measure("counts", name, kind, [said])
    scores.run.table = lambda: pd.DataFrame(scores.run)
    table = scores.run.table()
    assert weekly.best_method(table, "counts", "Poisson deviance", ["mean", "twice"]) == "mean" and weekly.best_method(table, "counts", "Poisson deviance", ["none"]) is None
    less = weekly.differences(scores, "counts", "mean").set_index("method")
    assert set(less.index) == {"truth", "twice"} and less.value["truth"] < 0 < less.value["twice"]
    found = weekly.less_best(scores, ["truth"], ["twice", "mean"])
    assert found.rule.tolist() == ["mean"] and found.value[0] == pytest.approx(less.value["truth"]) == scores.run[-1]["value"] and scores.run[-1]["protocol"] == "counts, less the best rule"
    assert weekly.less_best(scores, ["truth"], ["none"]).empty

def test_categories_are_left_out_where_nobody_asks_for_them(scores):
    few = weekly.WeeklyScores(Rows(), scores.panel, scores.parts, scores.known, by_category=False)
    few.measure("counts", "truth", "floor", [scores.counts.astype(float)])
    assert {r["protocol"] for r in few.run} == {"counts"}
