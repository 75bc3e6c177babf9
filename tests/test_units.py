"""The rows of the study of risk terrain: by hand, and with what was planted."""
from types import SimpleNamespace

import numpy as np
import pytest

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
