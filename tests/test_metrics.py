"crimenb.metrics against brute force, scikit-learn, and simulation."
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import ndcg_score

from crimenb.core import InputError
from crimenb.metrics import TIES, bootstrap_means, interval, paired_interval, rank_counts, ranking_scores, summary

COLUMNS = ["HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR"]


def gains(rank, ks):
    "The metrics of one spot with the target at `rank`, straight from their definitions."
    return [float(rank <= k) for k in ks] + [1/np.log2(rank + 1) if rank <= k else 0. for k in ks] + [1/rank]


def all_orders(scores, target, ks):
    "Gains of the target in every order of the classes that sorts them by score."
    out = []
    for order in permutations(range(len(scores))):
        ordered = sorted(order, key=lambda c: -scores[c])   # sorted is stable: ties stay in this permutation's order
        out.append(gains(ordered.index(target) + 1, ks))
    return np.array(out)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_ties_are_exactly_the_mean_best_and_worst_over_all_orders(data):
    n_classes = data.draw(st.integers(1, 6))
    scores = data.draw(hnp.arrays("float64", (1, n_classes), elements=st.sampled_from([-np.inf, -1., 0., .5, 2., np.inf])))
    target, ks = data.draw(st.integers(0, n_classes - 1)), (1, 3)
    above, tied = rank_counts(scores, [target])
    orders = all_orders(scores[0], target, ks)
    for ties, brute in zip(TIES, (orders.mean(0), orders.min(0), orders.max(0))):
        np.testing.assert_allclose(ranking_scores(above, tied, ties, ks).to_numpy()[0], brute, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_candidates_are_the_same_as_a_loop_over_them(data):
    n, n_classes, m = data.draw(st.integers(0, 5)), data.draw(st.integers(2, 9)), data.draw(st.integers(0, 4))
    m = min(m, n_classes - 1)
    scores = data.draw(hnp.arrays("float32", (n, n_classes), elements=st.sampled_from([0., .25, 1.])))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    candidates = np.array([rng.permutation(n_classes)[:1 + m] for _ in range(n)], dtype="int64").reshape(n, 1 + m)
    above, tied = rank_counts(scores, candidates[:, 0], candidates)
    for s, row, a, t in zip(scores, candidates, above, tied):
        assert a == sum(s[c] > s[row[0]] for c in row[1:]) and t == sum(s[c] == s[row[0]] for c in row[1:])


def test_without_ties_the_rules_agree_and_match_the_definitions():
    rng = np.random.default_rng(0)
    scores, target = rng.permuted(np.tile(np.arange(30.), (200, 1)), axis=1), rng.integers(0, 30, 200)
    above, tied = rank_counts(scores, target)
    assert (tied == 0).all()
    brute = np.array([gains(sorted(s, reverse=True).index(s[y]) + 1, (5, 10)) for s, y in zip(scores, target)])
    for ties in TIES:
        frame = ranking_scores(above, tied, ties)
        assert list(frame) == COLUMNS
        np.testing.assert_allclose(frame, brute, atol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_ndcg_agrees_with_scikit_learn_ties_included(k):
    "scikit-learn averages the gain over tied groups, the same mean by another road."
    rng = np.random.default_rng(1)
    scores, target = rng.integers(0, 8, (100, 20)).astype("float64"), rng.integers(0, 20, 100)
    ours = ranking_scores(*rank_counts(scores, target), ks=(k,))[f"NDCG@{k}"]
    theirs = [ndcg_score(np.eye(20)[[y]], s[None], k=k) for s, y in zip(scores, target)]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_a_model_that_scores_everything_zero_is_a_blind_guess_not_perfect():
    candidates = np.tile(np.arange(101), (7, 1))
    above, tied = rank_counts(np.zeros((7, 101)), np.zeros(7, int), candidates)
    hr5 = {ties: ranking_scores(above, tied, ties)["HR@5"].mean() for ties in TIES}
    assert hr5["optimistic"] == 1 and hr5["pessimistic"] == 0
    assert hr5["expected"] == pytest.approx(5/101)
    assert ranking_scores(above, tied)["MRR"].mean() == pytest.approx((1/np.arange(1, 102)).mean())


def test_all_kinds_of_arrays_give_the_same_counts():
    scores = np.random.default_rng(2).integers(0, 9, (50, 12)).astype("float32")
    target = np.arange(50) % 12
    expected = [x.tolist() for x in rank_counts(scores, target)]
    kinds = [scores.astype("float64"), scores.astype(int), scores.tolist(), np.asfortranarray(scores), torch.tensor(scores, requires_grad=True),
             torch.tensor(scores).double(), torch.tensor(scores).half(), torch.tensor(scores).bfloat16()]
    for kind in kinds:
        assert [x.tolist() for x in rank_counts(kind, target)] == expected
    for ids in (torch.tensor(target).int(), target.astype("uint64"), target.astype("uint8"), target.tolist()):
        assert [x.tolist() for x in rank_counts(scores, ids)] == expected
        assert [x.tolist() for x in rank_counts(scores, ids, (target[:, None] + np.arange(12)).astype("uint64") % 12)] == expected
    above, tied = rank_counts(torch.tensor(scores), torch.tensor(target), torch.tensor((target[:, None] + np.arange(12)) % 12))
    assert [above.tolist(), tied.tolist()] == expected


def test_ranks_need_the_scores_own_precision_and_nothing_is_mutated():
    scores = np.array([[1., 1 + 1e-12]])
    assert rank_counts(scores, [0])[0].tolist() == [1]                       # float64 tells them apart
    assert rank_counts(scores.astype("float32"), [0])[1].tolist() == [1]     # float32 cannot: a tie, and counted as one
    above, tied = np.array([1]), np.array([2])
    for ties in TIES: ranking_scores(above, tied, ties)
    assert above.tolist() == [1] and tied.tolist() == [2] and scores.tolist() == [[1., 1 + 1e-12]]


def test_nothing_to_rank():
    above, tied = rank_counts(np.zeros((0, 4)), np.zeros(0, int))
    frame = ranking_scores(above, tied)
    assert above.shape == tied.shape == (0,) and frame.shape == (0, 5) and list(frame) == COLUMNS


SCORES, TARGET, CANDIDATES = np.arange(12.).reshape(3, 4), np.array([0, 1, 2]), np.array([[0, 1], [1, 2], [2, 3]])

@pytest.mark.parametrize("scores, target, candidates, what", [
    (np.where(SCORES == 5, np.nan, SCORES), TARGET, None, "NaN"),
    (np.where(SCORES == 7, np.nan, SCORES), TARGET, CANDIDATES, "NaN"),     # of a class that is no candidate: the model is still broken
    (torch.full((3, 4), torch.nan), TARGET, None, "NaN"),
    (SCORES[0], TARGET, None, "shape"),
    (SCORES[None], TARGET, None, "shape"),
    (SCORES.astype(str), TARGET, None, "real numbers"),
    (SCORES, TARGET[:2], None, "shape"),
    (SCORES, TARGET[:, None], None, "shape"),
    (SCORES, TARGET + 2, None, "from 2 to 4"),
    (SCORES, TARGET - 1, None, "from -1 to 1"),
    (SCORES, TARGET*1., None, "integers"),
    (SCORES, TARGET, CANDIDATES[:2], "shape"),
    (SCORES, TARGET, TARGET, "shape"),
    (SCORES, TARGET, CANDIDATES + 1, "from 1 to 4"),
    (SCORES, TARGET, CANDIDATES[:, ::-1], "column 0"),
    (SCORES, TARGET, CANDIDATES[:, [0, 1, 0]], "column 0"),
    (SCORES, TARGET, CANDIDATES[:, :0], "column 0"),
])
def test_scores_and_candidates_that_do_not_fit_are_refused(scores, target, candidates, what):
    with pytest.raises(InputError, match=what): rank_counts(scores, target, candidates)


@pytest.mark.parametrize("above, tied, how, what", [
    ([0], [0], dict(ties="random"), "expected, pessimistic, optimistic"),
    ([0], [0], dict(ks=(0,)), "ks"),
    ([0], [0], dict(ks=(2.5,)), "ks"),
    ([0, 1], [0], {}, "shape"),
    ([-1], [0], {}, "negative"),
    ([0.5], [0], {}, "integers"),
])
def test_counts_that_are_none_are_refused(above, tied, how, what):
    with pytest.raises(InputError, match=what): ranking_scores(np.array(above), np.array(tied), **how)


def test_bootstrap_does_not_depend_on_how_it_is_sliced_and_is_seeded():
    values = np.random.default_rng(0).random((37, 2))
    whole = bootstrap_means(values, 100, seed=3)
    for entries in (1, 37, 100, 1000): np.testing.assert_allclose(bootstrap_means(values, 100, seed=3, entries=entries), whole, rtol=1e-13)
    np.testing.assert_allclose(bootstrap_means(values[:, 1], 100, seed=3), whole[:, 1], rtol=1e-13)
    assert not np.allclose(bootstrap_means(values, 100, seed=4), whole)


def test_bootstrap_means_have_the_mean_and_spread_that_theory_gives():
    values = np.random.default_rng(1).exponential(size=400)
    means = bootstrap_means(values, 20_000)
    assert means.mean() == pytest.approx(values.mean(), abs=.002)
    assert means.std() == pytest.approx(values.std()/20, rel=.02)     # population spread over sqrt(n)


def test_intervals_cover_about_as_often_as_they_promise():
    p = 1/np.arange(1, 51); p /= p.sum()
    rng, truth = np.random.default_rng(2), (p/np.arange(1, 51)).sum()
    draws = [ranking_scores(rng.choice(50, 150, p=p), np.zeros(150, int))["MRR"].to_numpy() for _ in range(500)]
    for level, least, most in ((.95, .92, .975), (.5, .43, .57)):
        ends = [interval(d, n_boot=300, seed=i, level=level) for i, d in enumerate(draws)]
        assert least < np.mean([low <= truth <= high for _, low, high in ends]) < most


def test_interval_of_hits_is_near_the_formula():
    hits = np.arange(2000) < 700
    mean, low, high = interval(hits)
    assert mean == .35 and (high - low)/2 == pytest.approx(1.96*np.sqrt(.35*.65/2000), rel=.05)


def test_paired_interval_is_of_the_difference_and_narrower_where_models_agree():
    rng = np.random.default_rng(3)
    b = rng.random(800); a = b + .01 + rng.normal(0, .02, 800)
    mean, low, high = paired_interval(a, b)
    assert mean == pytest.approx((a - b).mean()) and 0 < low < mean < high
    assert high - low < .2*(interval(a)[2] - interval(a)[1])
    assert paired_interval(a, b) == interval(a - b)
    np.testing.assert_allclose(paired_interval(b, a), [-mean, -high, -low], atol=1e-3)
    assert paired_interval(a, a) == (0, 0, 0)
    hits = np.array([True, False, True])
    assert paired_interval(hits, ~hits)[0] == pytest.approx(1/3)


def test_summary_holds_what_interval_gives_for_each_column():
    rng = np.random.default_rng(4)
    frame = ranking_scores(rng.integers(0, 20, 300), rng.integers(0, 3, 300))
    table = summary(frame)
    assert list(table) == ["metric", "value", "low", "high", "n"] and table["metric"].tolist() == COLUMNS and (table["n"] == 300).all()
    for row in table.itertuples(): np.testing.assert_allclose((row.value, row.low, row.high), interval(frame[row.metric]), rtol=1e-12)


@pytest.mark.parametrize("call, what", [
    (lambda: interval([1.]), "at least two spots"),
    (lambda: interval([]), "at least two spots"),
    (lambda: interval([1., np.nan]), "NaN"),
    (lambda: interval([1., np.inf]), "infinity"),
    (lambda: interval(np.ones((4, 2))), "summary"),
    (lambda: interval([1., 2.], n_boot=0), "n_boot"),
    (lambda: interval([1., 2.], level=95), "level"),
    (lambda: paired_interval([1., 2.], [1., 2., 3.]), "same spots"),
    (lambda: summary(pd.DataFrame({"MRR": [1.]})), "at least two spots"),
])
def test_values_that_have_no_interval_are_refused(call, what):
    with pytest.raises(InputError, match=what): call()
