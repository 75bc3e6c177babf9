"""The rows of the study of risk terrain: by hand, and with what was planted."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crimenb import metrics
from crimenb.lab import units
from crimenb.papers import rtm

COUNTS = np.r_[np.tile([0, 1], 45), np.full(10, 5)]
EXPECTED = np.r_[np.zeros(95), np.ones(5)]

def test_the_share_that_is_flagged_and_what_lies_in_it():
    area = np.r_[np.full(95, 1.), np.full(5, 3.)]
    found = {(by, row["metric"].split(",")[0]): row for by, row in units.z_rows(EXPECTED, COUNTS, {"units": np.ones(100), "area": area}, rtm.bootstrap_weights(100, 500, 0))}
    assert found["units", "hit rate"]["value"] == pytest.approx(25/95) and found["units", "flagged share"]["value"] == .05
    assert found["units", "PAI"]["value"] == pytest.approx(25/95/.05)
    assert found["area", "flagged share"]["value"] == pytest.approx(15/110)
    for row in found.values(): assert 0 <= row["low"] < row["value"] < row["high"] and (row["n"], row["blocks"]) == (100, 5)

def test_where_nothing_is_flagged_there_is_no_row(): assert units.z_rows(np.ones(100), COUNTS, {"units": np.ones(100)}, rtm.bootstrap_weights(100, 50, 0)) == []

def test_one_forecast_against_another():
    known, [row] = COUNTS.astype(float), units.paired_rows(COUNTS.astype(float), -COUNTS.astype(float), COUNTS, [.1], 200)
    # all that the first ten hold, against ten of those without any
    assert row["metric"] == "PAI@10%" and row["value"] == pytest.approx(50/95/.1) and row["blocks"] == 10 and row["low"] > 0
    assert units.paired_rows(known, known, COUNTS, [.05, .1], 50)[1]["value"] == 0

def test_the_first_of_each_set():
    land = SimpleNamespace(names=["bar_100", "bar_200", "metro_100", "metro_200"], sets={"bar": [0, 1], "metro": [2, 3]})
    assert units.first_of(land, ["bar_200", "bar_100"]).to_dict() == {"bar": "bar_200", "metro": None}

def test_what_is_planted_is_found_and_each_set_is_asked_once():
    right = {"planted": ("ours", lambda land, y, k: units.first_of(land, [name for name in land.names if name.startswith("bar")])),
             "nothing": ("trivial", lambda land, y, k: units.first_of(land, []))}
    found = units.recovery([400], 2, 16, right)
    mean = found.groupby(["method", "metric"]).value.agg(["mean", "size"])
    assert (mean.loc["nothing", "mean"] == 0).all()
    # bars are one of three that matter, in each of two cities; schools do nothing
    assert mean.loc[("planted", "planted generators found")].tolist() == [pytest.approx(1/3), 6]
    assert mean.loc[("planted", "sets without effect picked")].tolist() == [0, 2]

def test_the_group_lasso_picks_one_of_each_set_at_most():
    from crimenb import city, terrain
    events, truth = city.simulate(3000, 730, 1, side=16, n_areas=9)
    small = terrain.from_city(events, truth, bandwidths=(100, 200, 400))
    land = small.design()
    picks = units.lasso_picks(land, small.past(1)[:, 0])
    assert set(picks.index) == set(land.sets) and picks.notna().any()
    assert all(v is None or v in np.array(land.names)[land.sets[name]] for name, v in picks.items())

def fitted():
    "A tiny simulated city: its design, counts of the first year, and fits to thirty draws of its units."
    from crimenb import city, terrain
    events, truth = city.simulate(3000, 730, 1, side=16, n_areas=9)
    small = terrain.from_city(events, truth, bandwidths=(100, 200, 400))
    land, y = small.design(), small.past(1)[:, 0].astype(int)
    return land, y, small.counts[1].astype(int), rtm.fit(land, y, rtm.bootstrap_weights(len(y), 30, 0))

def test_fits_that_pick_alike_stand_in_one_line_and_others_have_a_reach():
    land, y, later, drawn = fitted()
    words, alike = units.picks_in_words(drawn), units.picked_alike(land, y, drawn, later)
    assert alike.resamples.sum() == 30 and alike.resamples.is_monotonic_decreasing and alike.resamples.to_dict() == words.value_counts().to_dict()
    whole, maps = rtm.fit(land, y).expected(land), drawn.expected(land)
    same = (words == alike.index[1]).to_numpy()
    assert alike.correlation.iloc[1] == pytest.approx(np.mean([np.corrcoef(one, whole)[0, 1] for one in maps[same]]))
    assert alike["PAI@5%"].iloc[1] == pytest.approx(np.mean([metrics.hot_spots(one, later, (.05,)).PAI[0] for one in maps[same]]))
    mean, lowest, highest = units.reach_rows(alike)
    others = alike.iloc[1:]
    assert mean["value"] == pytest.approx((others.correlation*others.resamples).sum()/others.resamples.sum()) and mean["n"] == others.resamples.sum() == highest["n"]
    assert lowest["value"] == others.correlation.min() and highest["value"] == others.correlation.max() and lowest["metric"] == "correlation of maps with other picks, lowest"
    assert units.reach_rows(alike[:1]) == []

def test_shares_of_picks_and_rate_ratios_are_rows():
    table = pd.DataFrame({"variable": ["bar_100", "bar_200"], "set": ["bar", "bar"], "share": [.75, .25]})
    assert units.pick_rows(table, 20) == [dict(metric="share that picks bar_100 (bar)", value=.75, low=None, high=None, n=20), dict(metric="share that picks bar_200 (bar)", value=.25, low=None, high=None, n=20)]
    # a ratio lies in its interval, though all draws may lie on one side of it
    ratios = pd.DataFrame({"Variable": ["bar_100"], "IRR": [2.], "low": [2.1], "high": [3.], "low_any": [1.], "high_any": [1.9]})
    assert units.ratio_rows(ratios, 9) == [dict(metric="IRR bar_100", value=2., low=2., high=3., n=9, blocks=9)]
    assert units.ratio_rows(ratios, 9, "_any") == [dict(metric="IRR bar_100", value=2., low=1., high=2., n=9, blocks=9)]

def test_a_loop_beside_the_fast_fit_of_what_it_left_alive():
    land, y, _, _ = fitted()
    best = rtm.fit(land, y)
    # the fast fit as its own loop: everything is the same
    found = units.beside_loops(land, y, SimpleNamespace(picks=best.picks, burn_in=best.burn_in, effects=best.effects))
    assert found == {"share with all picks as the fast fit": 1, "share with all picks as the fast fit of the survivors": 1, "largest difference of a coefficient, same picks": pytest.approx(0, abs=1e-6)}
    # one that picks nothing is not the same, and its effects are 0
    none = SimpleNamespace(picks=best.picks.map(lambda _: None), burn_in=best.burn_in, effects=best.effects)
    assert units.beside_loops(land, y, none)["share with all picks as the fast fit"] == 0
