"""Shares, claims and flags of the study of explanations, by hand."""
import numpy as np
import pytest

from crimenb.explain import Explanation
from crimenb.lab import explaining

WEEKS = np.repeat(np.arange(10), 4)

def explanation(sizes, seed=0):
    "Values of players a, b, … whose mean sizes are these."
    sign = np.random.default_rng(seed).choice([-1., 1.], (40, len(sizes)))
    return Explanation(sign*sizes, np.full((40, len(sizes)), .1), np.zeros(40), 0., list("abc")[:len(sizes)], np.zeros((40, len(sizes))))

def test_shares_are_those_of_the_mean_sizes_and_the_fewer_of_weeks_and_networks_are_the_blocks():
    rows = explaining.share_rows([explanation([6., 3., 1.]), explanation([6., 3., 1.], 1)], WEEKS)
    assert [r["metric"] for r in rows] == [f"importance share: {p}" for p in "abc"] and [r["value"] for r in rows] == pytest.approx([.6, .3, .1])
    assert all(r["blocks"] == 2 and r["n"] == 40 and r["low"] <= r["value"] <= r["high"] for r in rows)
    assert explaining.share_rows([explanation([1., 1.])], WEEKS)[0]["blocks"] == 10

def test_players_together_have_the_sum_of_their_values():
    alone = explanation([6., 3., 1.])
    both = explaining.regrouped(alone, {"ab": ["a", "b"], "c": ["c"]})
    assert both.players == ["ab", "c"] and np.allclose(both.values[:, 0], alone.values[:, :2].sum(1)) and np.allclose(both.error[:, 0], .1*2**.5)

def test_a_claim_is_supported_or_refuted():
    each = [explanation([6., 3., 1.])]
    assert [explaining.above_equal_share(each, p, WEEKS) for p in "ac"] == ["supported", "refuted"]
    alone = {p: [p] for p in "abc"}
    assert explaining.comes_first(each, "a", alone, WEEKS) == "supported" and explaining.comes_first(each, "c", alone, WEEKS) == "refuted"

def test_the_same_number_of_places_is_flagged_each_week_and_ties_are_broken_by_the_seed():
    flag = explaining.flags(np.r_[1, 2, 3, 4, 5, 5, 5, 5], 4, .5)
    assert flag[:4].tolist() == [False, False, True, True] and flag[4:].sum() == 2
    assert len({tuple(explaining.flags(np.zeros(4), 4, .25, seed)) for seed in range(20)}) == 4
    assert explaining.flags(np.arange(4), 4, .01).tolist() == [False, False, False, True]

def test_rates_are_ratios_of_sums_and_groups_are_told_apart():
    was = np.tile([True, False], 20)
    group = np.where(np.arange(40) % 4 < 2, "north", "south")
    flag = (group == "north")
    found = explaining.judged(flag, was, was*2., group, ("north", "south"), WEEKS).set_index("metric")["value"]
    assert found["hit rate"] == .5 and found["flags that are right"] == .5
    assert found["selection rate, north"] == 1 and found["selection rate, south"] == 0 and found["true positive rate, south"] == 0
    assert found["false positive rate, north"] == 1 and found["base rate, north"] == .5 and found["demographic parity difference"] == 1
    [row] = explaining.ratio_rows({"one": (was, np.ones(40))}, WEEKS).to_dict("records")
    assert (row["value"], row["low"], row["high"], row["blocks"]) == (.5, .5, .5, 10)
