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
    assert scores.kinds["two"] == "ours" and {r["split"] for r in scores.run} == {"test"} and all(r["low"] <= r["value"] <= r["high"] for r in scores.run)

def test_levels_and_differences_are_those_by_week(scores):
    sure = np.eye(scores.known.y_level.max() + 1)[scores.level]
    wrong = np.roll(sure, 1, 1)
    scores.measure("level", "right", "paper", [sure])
    scores.measure("level", "wrong", "trivial", [wrong])
    scores.measure("level", "as wrong", "trivial", [wrong])
    assert value(scores, "right", "risk level", "accuracy") == 1 and value(scores, "wrong", "risk level", "accuracy") == 0
    assert weekly.difference(scores, "level", "right", "wrong") == (1, 1, 1) and weekly.difference(scores, "level", "wrong", "as wrong") == (0, 0, 0)
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
