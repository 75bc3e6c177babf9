"crimenb.metrics against brute force, scikit-learn, fairlearn, and simulation."
import math
from itertools import permutations

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import nbinom, norm, poisson, t as t_distribution
from sklearn.metrics import brier_score_loss, f1_score, log_loss, mean_poisson_deviance, mean_squared_error, ndcg_score

import crimenb.metrics
from crimenb.core import InputError
from crimenb.metrics import (COUNT_METRICS, SPREADS, USUAL, Convention, HOT_SPOT_METRICS, LEVEL_METRICS, RAISED, TIES, bootstrap_means, drawn_interval, capture_curve, count_interval, count_log_score, count_scores,
                             count_summary, coverage,
                             demographic_parity_difference, equalized_odds_difference, fairness_summary, fit_spread, group_rates, hot_spot_summary, hot_spots,
                             interval, level_scores, level_summary, limits, paired_count_interval, paired_hot_spot_interval, paired_interval, pei_star,
                             poisson_deviance, poisson_floor, rank_counts, ranking_scores, reliability, rri_ptools, summary, widened)

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


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_seen_first_is_the_rank_in_the_order_of_seen_and_score(data):
    n, n_classes = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 8))
    scores = data.draw(hnp.arrays("float32", (n, n_classes), elements=st.sampled_from([-1., 0., .5, np.inf])))
    seen = data.draw(hnp.arrays(bool, (n, n_classes)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    candidates = np.array([rng.permutation(n_classes)[:1 + n_classes//2] for _ in range(n)])
    for given in (None, candidates):
        above, tied = rank_counts(scores, candidates[:, 0], given, seen=seen)
        for i, y in enumerate(candidates[:, 0]):
            rivals = [(bool(seen[i, c]), scores[i, c]) for c in (range(n_classes) if given is None else candidates[i]) if c != y]
            own = bool(seen[i, y]), scores[i, y]
            assert above[i] == sum(r > own for r in rivals) and tied[i] == sum(r == own for r in rivals)
    for nothing in (np.zeros((n, n_classes), bool), np.ones((n, n_classes), bool)):
        assert [a.tolist() for a in rank_counts(scores, candidates[:, 0], candidates, nothing)] == [a.tolist() for a in rank_counts(scores, candidates[:, 0], candidates)]


def test_under_popularity_the_line_lifts_a_method_that_lacks_it_and_not_a_count():
    rng = np.random.default_rng(0)
    counts = rng.poisson(.3, (400, 60)); target = np.array([rng.choice(60, p=(c + .01)/(c + .01).sum()) for c in counts])
    noise = counts + rng.normal(0, 2, counts.shape)
    scores = lambda s, seen=None: ranking_scores(*rank_counts(s, target, seen=seen))["NDCG@5"].mean()
    assert scores(noise, torch.tensor(counts > 0)) > 1.5*scores(noise) and scores(counts, counts > 0) == scores(counts)


@pytest.mark.parametrize("seen", [np.ones((3, 4)), np.ones((3, 3), bool), np.ones(3, bool)])
def test_a_mask_of_seen_classes_that_does_not_fit_is_refused(seen):
    with pytest.raises(InputError, match="seen must be"): rank_counts(SCORES, TARGET, CANDIDATES, seen)


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


def ends_of(metrics, value, ends, blocks):
    "Naive percentile ends, moved to hold their value, widened, and kept in the metric's range."
    least, most = np.array([limits(m) for m in metrics]).T
    # of what noise makes larger only the length counts
    raised, half = np.isin(metrics, RAISED), (ends[1] - ends[0])/2
    ends = np.where(raised, value - half, ends[0]), np.where(raised, value + half, ends[1])
    return widened(value, np.minimum(ends[0], value), np.maximum(ends[1], value), blocks, .95, least, most)


def test_an_interval_over_few_blocks_is_widened_by_the_formula():
    for n in (2, 5, 14, 299):
        c = t_distribution.ppf(.975, n - 1)/norm.ppf(.975)*math.sqrt(n/(n - 1))*(1 + 1/(4*n))
        np.testing.assert_allclose(widened(1., .5, 1.5, n), [1 - .5*c, 1 + .5*c])
        z2 = norm.ppf(.975)**2
        # the longer side takes up the skewness, but no more than another half of the interval
        lean = min(((2*z2 + 1)/(z2 - 1) + 60/n)*.05, .45)
        np.testing.assert_allclose(widened(1., .6, 1.5, n), [1 - .4*c, 1 + (.45 + lean)*c])
        np.testing.assert_allclose(widened(-1., -1.5, -.6, n), [-1 - (.45 + lean)*c, -1 + .4*c])
        assert widened(.9, .5, 1., n, least=0, most=1)[1] == 1 and np.isnan(widened(1., 1., 1., n)).all()
    assert widened(1., .6, 1.5, 300) == (.6, 1.5) and widened(1., .6, 1.5, 10_000, most=1.2) == (.6, 1.5)
    # many at once, each with its blocks; at half the level the ends say nothing of skewness
    low, high = widened([1., 2.], [.6, 1.], [1.5, 4.], [5, 400])
    assert low.tolist() == [widened(1., .6, 1.5, 5)[0], 1.] and high[1] == 4.
    c = t_distribution.ppf(.75, 4)/norm.ppf(.75)*math.sqrt(5/4)*1.05
    np.testing.assert_allclose(widened(1., .6, 1.5, 5, level=.5), [1 - .4*c, 1 + .5*c])


def test_no_interval_leaves_the_range_of_its_metric_and_a_difference_has_none():
    assert [limits(m) for m in ("HR@5", "PAI@5%", "hit rate@1%", "RMSE", "Brier")] == [(0, 1), (0, 20), (0, 1), (0, np.inf), (0, 2)]
    for name in ("NDCG@5 less smoothed counts", "PAI@5% less rule", "RMSE, cumulative", "PAI, A less B", "share that picks bars"):
        assert limits(name) == (-np.inf, np.inf)
    table = level_summary(np.eye(3)[[0, 1, 2, 0, 0]], [0, 1, 2, 1, 0], np.arange(5)).set_index("metric")
    assert table.loc["accuracy", "high"] == 1 and table.loc["macro-F1", "low"] >= 0 and table.loc["log loss", "low"] == 0
    a, b, y = np.zeros((4, 6)), np.ones((4, 6)), (np.arange(24).reshape(4, 6) % 4 == 0)*1
    assert paired_count_interval(a, b, y, "MAE", np.arange(4))[1] < 0


BASE = np.random.default_rng(5).gamma(.5, .4, 64)

def day_sums(rng, shape, sd=.2):
    "What RMSE, MAE, deviance, a difference and PAI need, for days whose 2 hours x 64 cells share a factor: (*shape, 6)."
    y = rng.poisson(BASE*rng.gamma(1/sd**2, sd**2, (*shape, 1, 1))*np.ones((2, 1)))
    mu = np.broadcast_to(BASE, y.shape)
    each = (y - mu)**2, abs(y - mu), poisson_deviance(mu, y), poisson_deviance(1.3*mu, y), y*(BASE >= np.sort(BASE)[-3]), y
    return np.stack([v.sum((-2, -1)) for v in each], -1)


def day_values(s):
    return np.stack([np.sqrt(s[..., 0]), s[..., 1], s[..., 2], s[..., 2] - s[..., 3], s[..., 4]/s[..., 5]], -1)


@pytest.mark.parametrize("n, plain", [(5, .85), (14, .92), (30, .94)])
def test_intervals_over_few_days_cover_95_of_100(n, plain):
    "Over 1,500 cities of n days; the standard error of a share is .6 %. Percentile intervals cover less than `plain`."
    rng, runs = np.random.default_rng(n), 1500
    truth = day_values(day_sums(rng, (60_000,)).mean(0))
    sums = day_sums(rng, (runs, n))
    value = day_values(sums.mean(1))
    ends = np.stack([np.quantile(day_values(bootstrap_means(s, 500, seed=i)), [.025, .975], axis=0) for i, s in enumerate(sums)], 1)
    low, high = widened(value, np.minimum(ends[0], value), np.maximum(ends[1], value), n)
    covered = ((low <= truth) & (truth <= high)).mean(0)
    assert (covered > .93).all() and (covered < .97).all(), covered
    assert ((ends[0] <= truth) & (truth <= ends[1])).mean() < plain < covered.mean()


def test_pai_of_the_top_twenty_units_covers():
    rng, shares, covered = np.random.default_rng(1), (.01, .05), []
    def city(n):
        rate = .3*rng.gamma(.4, 2.5, n)
        return rng.poisson(rate), rng.poisson(rate)
    last, events = city(2_000_000)
    truth = hot_spots(last, events, shares)["PAI"].to_numpy()
    for i in range(150):
        table = hot_spot_summary(*city(2000), shares, n_boot=200, seed=i).set_index("metric").loc[["PAI@1%", "PAI@5%"]]
        covered.append((table["low"] <= truth) & (truth <= table["high"]))
    assert table["blocks"].tolist() == [20, 100]
    assert (np.mean(covered, 0) > .92).all()      # 1.7 standard errors below 95


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
    assert paired_interval(a, a)[0] == 0 and np.isnan(paired_interval(a, a)[1:]).all()
    hits = np.array([True, False, True])
    assert paired_interval(hits, ~hits)[0] == pytest.approx(1/3)


def test_summary_holds_what_interval_gives_for_each_column():
    rng = np.random.default_rng(4)
    frame = ranking_scores(rng.integers(0, 20, 300), rng.integers(0, 3, 300))
    table = summary(frame)
    assert list(table) == ["metric", "value", "low", "high", "n", "blocks"] and table["metric"].tolist() == COLUMNS and (table[["n", "blocks"]] == 300).all(axis=None)
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

# --- counts ---

def naive_deviance(mu, y):
    "From the definition, one case."
    return 2*((y*math.log(y/mu) if y else 0.) - y + mu)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays("float64", (7,), elements=st.floats(1e-6, 50)), hnp.arrays("int64", (7,), elements=st.integers(0, 40)))
def test_count_scores_are_their_definitions(mu, y):
    frame = count_scores(mu, y)
    assert list(frame) == ["squared error", "absolute error", "Poisson deviance"]
    np.testing.assert_allclose(frame["Poisson deviance"], [naive_deviance(m, c) for m, c in zip(mu, y)], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(frame["squared error"], [(m - c)**2 for m, c in zip(mu, y)])
    np.testing.assert_allclose(frame["absolute error"], [abs(m - c) for m, c in zip(mu, y)])


def test_counts_agree_with_scikit_learn_in_any_shape():
    rng = np.random.default_rng(0)
    mu = rng.gamma(1, 1, (5, 4, 3)) + 1e-3
    y = rng.poisson(mu)
    value = count_summary(mu, torch.tensor(y), n_boot=20).set_index("metric")["value"]
    assert value["Poisson deviance"] == pytest.approx(mean_poisson_deviance(y.ravel(), mu.ravel()))
    assert value["RMSE"] == pytest.approx(mean_squared_error(y.ravel(), mu.ravel())**.5)
    assert value["MAE"] == pytest.approx(abs(mu - y).mean())
    assert poisson_deviance(mu, y).shape == mu.shape


def test_nothing_expected_and_nothing_happened_is_perfect_and_a_floor_mends_the_rest():
    assert poisson_deviance([0., 0.], [0, 0]).tolist() == [0, 0]
    with pytest.raises(InputError, match="infinite"): poisson_deviance([0., 1.], [1, 1])
    np.testing.assert_allclose(poisson_deviance([0., -1.], [1, 0], floor=.1), [naive_deviance(.1, 1), naive_deviance(.1, 0)])
    scores = count_scores([0., -1.], [1, 0], floor=.1)
    assert scores["squared error"].tolist() == [1, 1]      # the floor is for the deviance alone


def test_block_bootstrap_of_counts_is_the_naive_one():
    "The same draws by hand: blocks with replacement, all their cases, the metric of what was drawn."
    rng = np.random.default_rng(1)
    mu = rng.gamma(1, 1, 60) + .01
    y, blocks = rng.poisson(mu), rng.integers(0, 9, 60)*100 - 7
    table = count_summary(mu, y, blocks, n_boot=300, seed=5).set_index("metric")
    names, drawn = pd.unique(blocks), np.random.default_rng(5).integers(0, 9, (300, 9))
    rmse = []
    for row in drawn:
        cases = np.concatenate([np.flatnonzero(blocks == names[i]) for i in row])
        rmse.append(np.sqrt(((mu - y)[cases]**2).mean()))
    np.testing.assert_allclose(table.loc["RMSE", ["low", "high"]].astype(float), widened(table.loc["RMSE", "value"], *np.quantile(rmse, [.025, .975]), 9), rtol=1e-9)
    assert (table["n"] == 60).all() and (table["blocks"] == 9).all()
    other = count_summary(mu, y, (mu > 1) + 2*blocks, n_boot=300, seed=5).set_index("metric")     # other blocks, another interval, the same value
    assert other.loc["RMSE", "value"] == pytest.approx(table.loc["RMSE", "value"]) and other.loc["RMSE", "low"] != table.loc["RMSE", "low"]


def test_a_label_a_row_is_a_label_for_each_of_its_cases():
    rng = np.random.default_rng(2)
    mu = rng.gamma(1, 1, (12, 5, 2)) + .01
    y, week = rng.poisson(mu), np.arange(12)//3
    pd.testing.assert_frame_equal(count_summary(mu, y, week, 50), count_summary(mu, y, np.broadcast_to(week[:, None, None], mu.shape), 50))
    pd.testing.assert_frame_equal(count_summary(mu, y, week, 50), count_summary(mu, y, pd.date_range("2024", periods=4)[week], 50))


def test_more_cases_than_blocks_give_the_interval_of_independent_cases():
    rng = np.random.default_rng(3)
    mu = np.full(50_000, .5)
    row = count_summary(mu, rng.poisson(mu)).set_index("metric").loc["MAE"]
    errors = abs(mu - np.random.default_rng(3).poisson(mu))
    assert (row.high - row.low)/2 == pytest.approx(1.96*errors.std()/np.sqrt(50_000), rel=.08) and row.n == 50_000


def test_paired_counts_are_the_difference_of_metrics_over_the_same_blocks():
    rng = np.random.default_rng(4)
    mu = rng.gamma(1, 1, 500) + .01
    y, noisy, blocks = rng.poisson(mu), mu*rng.lognormal(0, .4, 500), np.arange(500)//10
    for metric in COUNT_METRICS:
        a, b = (count_summary(x, y, blocks).set_index("metric").loc[metric] for x in (mu, noisy))
        difference, low, high = paired_count_interval(mu, noisy, y, metric, blocks)
        assert difference == pytest.approx(a.value - b.value) and low < difference < high
        assert high - low < (a.high - a.low) + (b.high - b.low)
        np.testing.assert_allclose(paired_count_interval(noisy, mu, y, metric, blocks), [-difference, -high, -low], rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(paired_count_interval(mu, mu, y, metric, blocks), [0, np.nan, np.nan])
    paired_count_interval(np.zeros(500), mu, y, "RMSE")        # no deviance is needed here, so none is refused


def draw_counts(rng, mean, spread, form):
    "Negative binomial counts as a Poisson draw around a gamma rate: another road than scipy's quantiles."
    size = mean/spread if form == "linear" else np.full_like(mean, 1/spread)
    return rng.poisson(rng.gamma(size, mean/size))


@pytest.mark.parametrize("form", SPREADS)
@pytest.mark.parametrize("level", [.5, .95])
def test_intervals_of_counts_hold_at_least_their_level_and_no_narrower_one_does(form, level):
    rng = np.random.default_rng(5)
    for mean, spread in ((.05, .5), (.7, 2.), (6., .3), (60., .1)):
        m = np.full(40_000, mean)
        low, high = count_interval(m, spread, level, form)
        y = draw_counts(rng, m, spread, form)
        assert coverage(low, high, y) > level - .007                          # three standard errors
        # one count less at either end leaves more than half of what may be outside, outside
        assert low[0] == 0 or (y <= low[0]).mean() > (1 - level)/2 - .007
        assert high[0] == 0 or (y >= high[0]).mean() > (1 - level)/2 - .007
        assert y.mean() == pytest.approx(mean, rel=.05)


def test_an_interval_of_counts_without_spread_is_poissons_and_shapes_are_kept():
    low, high = count_interval([[0., .02], [.3, 100.]])
    assert low.tolist() == [[0, 0], [0, 81]] and high.tolist() == [[0, 0], [2, 120]] and low.dtype == np.int64
    assert poisson.cdf(120, 100) - poisson.cdf(80, 100) >= .95
    for form in SPREADS: assert [e.tolist() for e in count_interval(100., 1e-9, form=form)] == [81, 120]
    each = count_interval([5., 5.], [0., 3.])
    assert each[1][1] > each[1][0] and [e[1] for e in each] == [e.item() for e in count_interval(5., 3.)]


def test_the_log_score_is_minus_the_log_of_the_probability_and_best_for_the_truth():
    mu, y = np.array([.4, 3., 3., 0.]), np.array([1, 0, 7, 0])
    np.testing.assert_allclose(count_log_score(mu, y), [.4 - np.log(.4), 3, -poisson.logpmf(7, 3), 0])
    np.testing.assert_allclose(count_log_score(mu[:3], y[:3], 1.), -nbinom.logpmf(y[:3], mu[:3], .5))
    np.testing.assert_allclose(count_log_score(mu[:3], y[:3], .5, "quadratic"), -nbinom.logpmf(y[:3], 2, 2/(2 + mu[:3])))
    assert count_log_score([0.], [2], floor=.01)[0] == pytest.approx(-poisson.logpmf(2, .01))
    rng = np.random.default_rng(0); m = rng.gamma(2, 2, 20_000); y = draw_counts(rng, m, .8, "linear")
    scores = {s: count_log_score(m, y, s).mean() for s in (0., .4, .8, 1.6)}
    assert min(scores, key=scores.get) == .8 and count_log_score(1.3*m, y, .8).mean() > scores[.8]


@pytest.mark.parametrize("form, spread", [("linear", .6), ("quadratic", .25)])
def test_the_fit_finds_the_form_and_the_spread(form, spread):
    rng = np.random.default_rng(1); m = rng.gamma(1, 4, 20_000)
    found = fit_spread(m, draw_counts(rng, m, spread, form))
    assert found[0] == form and found[1] == pytest.approx(spread, rel=.08)
    # no less spread than Poisson exists here
    assert fit_spread(m, np.round(m)) == ("linear", 0.) and fit_spread(m, rng.poisson(m))[1] < .02


@pytest.mark.parametrize("call, what", [
    (lambda: count_interval([-1.]), "at least 0"), (lambda: count_interval([1.], -.1), "spread"), (lambda: count_interval([1.], np.nan), "spread"),
    (lambda: count_interval([1.], form="nb2"), "linear, quadratic"), (lambda: count_interval([1.], level=95), "level"),
    (lambda: count_interval([1., 2.], [1., 2., 3.]), "fit the expected"), (lambda: count_log_score([1.], [.5]), "whole"),
    (lambda: count_log_score([0.], [1]), "floor"), (lambda: count_log_score([1.], [1, 2]), "same shape"),
    (lambda: coverage([0], [1], [1, 2]), "same shape"), (lambda: coverage([2], [1], [1]), "exchange"), (lambda: coverage([0.], [np.nan], [1]), "NaN"),
])
def test_distributions_that_are_none_are_refused(call, what):
    with pytest.raises(InputError, match=what) as error: call()
    assert "\n" not in str(error.value)


def test_the_poisson_floor_is_the_mean_error_of_the_truth():
    lam = np.array([.02, .5, 1., 1.7, 12., 0.])
    n = np.arange(200)
    pmf = poisson.pmf(n, lam[:, None])
    deviance = sum((pmf[i]*[naive_deviance(lam[i], k) for k in n]).sum() for i in range(5))/6
    floor = poisson_floor(lam).set_index("metric")["value"]
    assert floor["RMSE"] == pytest.approx(np.sqrt(lam.mean()))
    # of all whole numbers the median has the least absolute error; of others the error is linear between two of them
    errors = np.stack([(pmf*abs(n - m)).sum(1) for m in range(20)])
    assert floor["MAE"] == pytest.approx(errors.min(0).mean()) and (errors.argmin(0) == poisson.median(lam)).all()
    assert floor["Poisson deviance"] == pytest.approx(deviance, rel=1e-8)
    assert poisson_floor(np.full((2, 3), 3000.))["value"][2] == pytest.approx(1, abs=1e-3)     # chi-square with one degree of freedom
    assert poisson_floor([0., 0.])["value"].tolist() == [0, 0, 0]


def test_nothing_is_below_the_poisson_floor_not_even_a_map_of_zeros():
    rng = np.random.default_rng(0)
    lam = rng.gamma(.5, .6, 400_000)
    y, floor = rng.poisson(lam), poisson_floor(lam).set_index("metric")["value"]
    for forecast in (np.zeros_like(lam), lam, .8*lam, np.round(lam), poisson.median(lam), np.full_like(lam, lam.mean())):
        found = count_scores(forecast, y, floor=1e-4).mean()
        assert np.sqrt(found["squared error"]) > floor["RMSE"]*.995 and found["absolute error"] > floor["MAE"]*.99 and found["Poisson deviance"] > floor["Poisson deviance"]*.99
    assert count_scores(poisson.median(lam), y, floor=1)["absolute error"].mean() == pytest.approx(floor["MAE"], rel=.01)


MU, Y = np.ones((4, 2)), np.ones((4, 2), int)

@pytest.mark.parametrize("call, what", [
    (lambda: count_summary(MU, Y[:3]), "same shape"),
    (lambda: count_summary(MU*np.nan, Y), "expected counts contain NaN"),
    (lambda: count_summary(MU, Y*np.inf), "observed counts contain NaN or infinity"),
    (lambda: count_summary(MU, -Y), "observed counts must not be negative"),
    (lambda: count_summary(-MU, Y), "expected counts must not be negative"),
    (lambda: count_summary(MU, Y, blocks=[0, 1]), "each row"),
    (lambda: count_summary(MU, Y, blocks=[0, 0, 0, 0]), "two blocks"),
    (lambda: count_summary(MU, Y, blocks=[0, 1, np.nan, 2]), "missing label"),
    (lambda: count_summary(MU, Y, level=95), "level"),
    (lambda: count_summary(MU, Y, n_boot=0), "n_boot"),
    (lambda: count_summary([], []), "at least one case"),
    (lambda: count_summary([["a"]], [[1]]), "real numbers"),
    (lambda: poisson_deviance(MU, Y, floor=-1), "floor"),
    (lambda: paired_count_interval(MU, MU, Y, "MSE"), "RMSE, MAE, Poisson deviance"),
    (lambda: paired_count_interval(MU, MU[:2], Y), "same shape"),
    (lambda: poisson_floor([-1.]), "negative"),
])
def test_counts_that_can_not_be_scored_are_refused(call, what):
    with pytest.raises(InputError, match=what): call()


# --- hot spots ---

def naive_map(predicted, observed, size, share):
    "Fill the budget from the top, the last unit in part: events hit and training-like sums are dot products with this flag."
    left, flag = share*size.sum(), np.zeros(len(size))
    for i in predicted:
        flag[i] = min(max(left, 0)/size[i], 1)
        left -= size[i]
    return flag


def brute_hits(key, observed, size, share, extra):
    "Mean and worst over all orders of the equals: [hits, extra hits]."
    found = []
    for order in permutations(range(len(key))):
        ranked = sorted(order, key=lambda i: -key[i])
        flag = naive_map(ranked, observed, size, share)
        found.append((flag @ observed, flag @ extra))
    return np.array(found)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_hot_spots_by_units_are_the_mean_and_worst_over_all_orders(data):
    n, seed = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    predicted, observed, training = rng.integers(0, 3, n)/2, rng.integers(0, 4, n), rng.integers(0, 4, n)
    observed[0] += 1; training[-1] += 1
    share = data.draw(st.floats(.05, 1))
    brute = brute_hits(predicted, observed, np.ones(n), share, training)
    best = naive_map(np.argsort(-observed), observed, np.ones(n), share) @ observed
    row = hot_spots(predicted, observed, share, training=training).loc[0]
    hit, trained = brute.mean(0)
    assert row["hit rate"] == pytest.approx(hit/observed.sum()) and row["PAI"] == pytest.approx(hit/observed.sum()/share)
    assert row["PEI"] == pytest.approx(hit/best) and row["flagged units"] == pytest.approx(share*n)
    if trained > 1e-9: assert row["RRI"] == pytest.approx((hit/trained)/(observed.sum()/training.sum()))
    worst = hot_spots(predicted, observed, share, Convention(ties="pessimistic")).loc[0]
    assert worst["hit rate"] == pytest.approx(brute[:, 0].min()/observed.sum(), abs=1e-12)


@pytest.mark.parametrize("rank", ["count", "density"])
def test_a_share_of_area_is_a_share_of_units_once_every_unit_is_cut_into_square_metres(rank):
    rng = np.random.default_rng(1)
    area = rng.integers(1, 5, 30)
    predicted, observed, training = rng.integers(0, 4, 30)*1., rng.poisson(1., 30), rng.poisson(1., 30)
    key = predicted/area if rank == "density" else predicted
    piece = np.repeat(np.arange(30), area)
    cut = hot_spots(key[piece], (observed/area)[piece], (.03, .2, .77), training=(training/area)[piece])
    for ties in ("expected", "pessimistic"):
        whole = hot_spots(predicted, observed, (.03, .2, .77), Convention(area, "area", rank, ties), training)
        if ties == "expected": np.testing.assert_allclose(whole[HOT_SPOT_METRICS], cut[HOT_SPOT_METRICS])
        else: np.testing.assert_allclose(whole["hit rate"], hot_spots(key[piece], (observed/area)[piece], (.03, .2, .77), Convention(ties=ties))["hit rate"])
        assert (whole["by"] == "area").all() and (whole["rank"] == rank).all() and (whole["ties"] == ties).all()


def test_ranking_by_density_is_ranking_the_densities():
    rng = np.random.default_rng(2)
    area, predicted, observed = rng.lognormal(0, 1, 40), rng.random(40), rng.poisson(1., 40)
    pd.testing.assert_frame_equal(hot_spots(predicted, observed, how=Convention(area, rank="density")).drop(columns="rank"), hot_spots(predicted/area, observed).drop(columns="rank"))
    assert not np.allclose(hot_spots(predicted, observed, how=Convention(area, rank="density"))["PAI"], hot_spots(predicted, observed)["PAI"])


def test_maps_over_time_are_a_loop_over_maps():
    rng = np.random.default_rng(3)
    predicted, observed, training = rng.integers(0, 5, (30, 12)), rng.poisson(.3, (30, 12)), rng.poisson(2., 12)
    area = rng.lognormal(0, 1, 12)
    for how in (dict(), dict(by="area", rank="density"), dict(ties="pessimistic"), dict(by="area", ties="pessimistic")):
        both = hot_spots(predicted, observed, (.1, .5), Convention(area, **how), training)
        some = observed.sum(1) > 0
        loop = [hot_spots(p, y, (.1, .5), Convention(area, **how), training) for p, y in zip(predicted[some], observed[some])]
        hit = sum(one["hit rate"]*y.sum() for one, y in zip(loop, observed[some]))
        size = area if how.get("by") == "area" else np.ones(12)
        best = sum(np.array([naive_map(np.argsort(-y/size), y, size, share) @ y for share in (.1, .5)]) for y in observed)
        np.testing.assert_allclose(both["hit rate"], hit/observed.sum())
        np.testing.assert_allclose(both["PEI"], hit/best)
    one = hot_spots(predicted[:1], observed[:1] + 1, (.1, .5), Convention(area), training)
    pd.testing.assert_frame_equal(one, hot_spots(predicted[0], observed[0] + 1, (.1, .5), Convention(area), training))


def test_pei_star_is_the_contests_and_rri_that_of_ptools():
    rng = np.random.default_rng(0)
    observed = rng.poisson(1., 60)
    for k in (1, 7, 60):
        flagged = np.arange(60) < k
        assert pei_star(flagged, observed) == pytest.approx(observed[:k].sum()/np.sort(observed)[::-1][:k].sum())
    # at its own share it is the PEI of a ranking, cut units in part
    score = rng.random(60)
    top = np.zeros(60); top[np.argsort(-score)[:6]] = 1; top[np.argsort(-score)[6]] = .6
    assert pei_star(top, observed) == pytest.approx(hot_spots(score, observed, 6.6/60)["PEI"][0])
    assert pei_star([0, 1], [3, 3], [1., 3.]) == pytest.approx(3/(3 + 2))       # in 3 of 4 hectares: all of the small one, two thirds of the large
    # ptools: pai() sorts by the prediction, and divides cumulated predictions by cumulated counts
    assert rri_ptools([1., 5., 2.], [2, 4, 0]).tolist() == pytest.approx([5/4, 7/4, 8/6])
    assert np.isinf(rri_ptools([3., 1.], [0, 1])[0])
    for call in (lambda: pei_star([2, 0], [1, 1]), lambda: pei_star([0, 0], [1, 1]), lambda: rri_ptools(-np.ones(3), [1, 1, 1]), lambda: rri_ptools(np.ones((2, 3)), np.ones((2, 3)))):
        with pytest.raises(InputError): call()


def test_a_map_of_nothing_is_chance_by_any_expected_convention_and_a_perfect_map_has_pei_one():
    rng = np.random.default_rng(4)
    observed, area = rng.poisson(.5, 200), rng.lognormal(0, 1, 200)
    for by in ("units", "area"):
        blind = hot_spots(np.zeros(200), observed, (.01, .1, .5, 1), Convention(area, by))
        np.testing.assert_allclose(blind["PAI"], 1)
        perfect = hot_spots(observed if by == "units" else observed/area, observed, (.01, .1, .5, 1), Convention(area, by))
        np.testing.assert_allclose(perfect["PEI"], 1)
        curve = capture_curve(np.zeros(200), observed, how=Convention(area, by))
        np.testing.assert_allclose(curve["hit rate"], curve["share"])
    assert hot_spots(np.zeros(200), observed, .01, Convention(ties="pessimistic"))["PAI"][0] == 0
    assert hot_spots(observed, observed, (.05, .2), training=observed)["RRI"].tolist() == [1, 1]

def test_a_convention_says_itself_and_is_not_changed():
    how = Convention(np.ones(3), "area", "density", "pessimistic")
    assert str(how) == "share of area, ranked by density, ties pessimistic" and str(USUAL) == "share of units, ranked by count, ties expected"
    with pytest.raises(AttributeError): how.by = "units"


def test_the_curve_rises_to_one_below_the_best_and_holds_what_hot_spots_says():
    rng = np.random.default_rng(5)
    predicted, observed = rng.random((7, 50)), rng.poisson(.2, (7, 50))
    curve = capture_curve(predicted, observed)
    assert (np.diff(curve["hit rate"]) >= -1e-12).all() and (curve["hit rate"] <= curve["best"] + 1e-12).all()
    assert curve["hit rate"].iloc[0] == 0 and curve["hit rate"].iloc[-1] == pytest.approx(1)
    np.testing.assert_allclose(curve["hit rate"].iloc[[1, 5, 10]], hot_spots(predicted, observed)["hit rate"])
    np.testing.assert_allclose(capture_curve(predicted, observed, (.3, .6))["hit rate"][1:], hot_spots(predicted, observed, (.3, .6))["hit rate"])


@pytest.mark.parametrize("how", [dict(), dict(ties="pessimistic"), dict(by="area", rank="density"), dict(by="area")])
def test_bootstrap_of_one_map_ranks_the_resampled_units_anew(how):
    "The same draws by hand: units with replacement, a new map of them, its metrics."
    rng = np.random.default_rng(6)
    predicted, observed, training, area = rng.integers(0, 9, 40), rng.poisson(1.5, 40), rng.poisson(1.5, 40), rng.lognormal(0, 1, 40)
    table = hot_spot_summary(predicted, observed, (.1, .4), Convention(area, **how), training, n_boot=60, seed=3)
    drawn = np.random.default_rng(3).integers(0, 40, (60, 40))
    naive = np.array([hot_spots(predicted[i], observed[i], (.1, .4), Convention(area[i], **how), training[i])[HOT_SPOT_METRICS].to_numpy().ravel() for i in drawn])
    ends = np.nanquantile(naive, [.025, .975], axis=0)
    value = hot_spots(predicted, observed, (.1, .4), Convention(area, **how), training)[HOT_SPOT_METRICS].to_numpy().ravel()
    np.testing.assert_allclose(table["value"], value)
    low, high = ends_of(table["metric"], value, ends, table["blocks"])
    np.testing.assert_allclose(table["low"], low, rtol=1e-9)
    np.testing.assert_allclose(table["high"], high, rtol=1e-9)
    assert table["blocks"].tolist() == [4]*4 + [16]*4                # a tenth and four tenths of 40 units
    assert table["metric"].tolist() == [f"{m}@{s}%" for s in (10, 40) for m in HOT_SPOT_METRICS] and (table["n"] == 40).all()


def test_the_summary_does_not_depend_on_slices_and_blocks_stay_together():
    rng = np.random.default_rng(7)
    predicted, observed = rng.random(50), rng.poisson(1., 50)
    maps = crimenb.metrics._maps(predicted, observed, USUAL, None)[:3]
    a, b = (crimenb.metrics._map_draws(*maps, maps[1], USUAL.ties, np.array([.1]), None, 40, 0, entries=e)[0] for e in (1, 2**20))
    np.testing.assert_allclose(a, b)
    wide = hot_spot_summary(np.repeat(predicted, 4), np.repeat(observed, 4), (.1,), blocks=np.repeat(np.arange(50), 4))
    same = hot_spot_summary(predicted, observed, (.1,))
    np.testing.assert_allclose(wide[["value", "low", "high", "blocks"]], same[["value", "low", "high", "blocks"]])
    narrow = hot_spot_summary(np.repeat(predicted, 4), np.repeat(observed, 4), (.1,))
    assert (narrow["high"] - narrow["low"])[1] < .7*(wide["high"] - wide["low"])[1]


def test_bootstrap_over_times_is_the_naive_one_and_leaves_out_rri_without_training():
    rng = np.random.default_rng(8)
    predicted, observed, days = rng.random((24, 9)), rng.poisson(.7, (24, 9)), np.arange(24)//4
    table = hot_spot_summary(predicted, observed, (.2,), blocks=days, n_boot=80, seed=2)
    drawn = np.random.default_rng(2).integers(0, 6, (80, 6))
    naive = []
    for row in drawn:
        times = np.concatenate([np.flatnonzero(days == d) for d in row])
        naive.append(hot_spots(predicted[times], observed[times], (.2,))[HOT_SPOT_METRICS[:3]].to_numpy()[0])
    np.testing.assert_allclose(table[["low", "high"]].to_numpy().T, ends_of(table["metric"], table["value"], np.quantile(naive, [.025, .975], axis=0), 6), rtol=1e-9)
    assert (table["blocks"] == 6).all()
    assert table["metric"].tolist() == ["hit rate@20%", "PAI@20%", "PEI@20%"] and (table["n"] == 24).all()


@pytest.mark.parametrize("shape", [(300,), (60, 20)])
def test_paired_hot_spots_are_over_the_same_resamples(shape):
    rng = np.random.default_rng(9)
    rate = rng.gamma(.5, 1, shape)
    observed, noisy = rng.poisson(rate), rate*rng.lognormal(0, 1, shape)
    difference, low, high = paired_hot_spot_interval(rate, noisy, observed, .1)
    a, b = (hot_spots(x, observed, .1)["PAI"][0] for x in (rate, noisy))
    assert difference == pytest.approx(a - b) and 0 < low < difference < high
    np.testing.assert_allclose(paired_hot_spot_interval(noisy, rate, observed, .1), [-difference, -high, -low], rtol=1e-9)
    np.testing.assert_array_equal(paired_hot_spot_interval(rate, 2*rate, observed, .1), [0, np.nan, np.nan])
    assert paired_hot_spot_interval(rate, noisy, observed, .1, "hit rate")[0] == pytest.approx((a - b)/10)


def test_resamples_without_an_event_are_left_out():
    observed = np.zeros(30); observed[3] = 1
    table = hot_spot_summary(np.arange(30), observed, (.5,), n_boot=200)
    # the value is known, and of one event that every other resample holds no interval
    assert np.isfinite(table["value"]).all() and table[["low", "high"]].isna().all(axis=None)
    observed[20:23] = 1
    assert np.isfinite(hot_spot_summary(np.arange(30), observed, (.5,), n_boot=200)[["low", "high"]]).all(axis=None)


P, O = np.arange(6.), np.array([0, 1, 0, 2, 0, 1])

@pytest.mark.parametrize("call, what", [
    (lambda: hot_spots(P, O[:5]), "shape"),
    (lambda: hot_spots(P.reshape(1, 2, 3), O.reshape(1, 2, 3)), "shape"),
    (lambda: hot_spots(P*np.nan, O), "predicted contains NaN"),
    (lambda: hot_spots(P, -O), "at least 0"),
    (lambda: hot_spots(P, O*np.nan), "at least 0"),
    (lambda: hot_spots(P, 0*O), "no event"),
    (lambda: hot_spots(P, O, 5), "shares"),
    (lambda: hot_spots(P, O, 0), "shares"),
    (lambda: hot_spots(P, O, how=Convention(by="area")), "area="),
    (lambda: hot_spots(P, O, how=Convention(rank="density")), "area="),
    (lambda: hot_spots(P, O, how=Convention(area=np.zeros(6))), "positive"),
    (lambda: hot_spots(P, O, how=Convention(area=np.ones(5))), "positive"),
    (lambda: hot_spots(P, O, how=Convention(by="cells")), "units, area"),
    (lambda: hot_spots(P, O, how=Convention(rank="risk")), "count, density"),
    (lambda: hot_spots(P, O, how=Convention(ties="optimistic")), "expected, pessimistic"),
    (lambda: hot_spots(P, O, training=O[:3]), "training must have the shape"),
    (lambda: hot_spots(P, O, training=0*O), "no event in the training"),
    (lambda: hot_spot_summary(P, O, blocks=np.zeros(6)), "two blocks"),
    (lambda: hot_spot_summary(P, O, n_boot=0), "n_boot"),
    (lambda: paired_hot_spot_interval(P, P, O, .5, "RRI"), "training="),
    (lambda: paired_hot_spot_interval(P, P, O, .5, "pai"), "hit rate, PAI"),
])
def test_maps_that_can_not_be_scored_are_refused(call, what):
    with pytest.raises(InputError, match=what): call()


# --- levels ---

@pytest.mark.parametrize("k, n", [(5, 300), (3, 7), (2, 40)])
def test_levels_agree_with_scikit_learn_and_loops(k, n):
    rng = np.random.default_rng(k)
    p = rng.dirichlet(np.ones(k), n)
    true = rng.integers(0, max(2, k - 1), n)                   # the top level never happens, but may be called
    value = level_scores(p, true).set_index("metric")["value"]
    called = p.argmax(1)
    assert list(value.index) == LEVEL_METRICS
    assert value["accuracy"] == pytest.approx((called == true).mean())
    assert value["macro-F1"] == pytest.approx(f1_score(true, called, average="macro", zero_division=0))
    assert value["log loss"] == pytest.approx(log_loss(true, p, labels=range(k)))
    assert value["Brier"] == pytest.approx(brier_score_loss(true, p, labels=range(k), scale_by_half=False) if k > 2 else 2*brier_score_loss(true, p[:, 1]))
    assert value["ordinal error"] == pytest.approx(abs(called - true).mean())
    ece = 0
    for low in np.arange(10)/10:
        inside = (p.max(1) >= low) & (p.max(1) < low + .1)
        if inside.any(): ece += inside.mean()*abs((called == true)[inside].mean() - p.max(1)[inside].mean())
    assert value["calibration error"] == pytest.approx(ece)


def test_certain_and_right_certain_and_wrong_and_ties():
    right = level_scores(np.eye(3), [0, 1, 2]).set_index("metric")["value"]
    assert right.tolist() == [1, 1, 0, 0, 0, 0]
    wrong = level_scores(np.eye(3)[[2, 0]], [0, 2]).set_index("metric")["value"]
    assert wrong["log loss"] == pytest.approx(-np.log(1e-15)) and wrong["Brier"] == 2 and wrong["ordinal error"] == 2 and wrong["calibration error"] == 1
    assert level_scores(np.full((1, 4), .25), [0])["value"][0] == 1       # equals: the lowest level is called


def test_the_level_bootstrap_is_the_naive_one():
    rng = np.random.default_rng(3)
    p, true, blocks = rng.dirichlet(np.ones(4), 80), rng.integers(0, 4, 80), np.arange(80)//8
    table = level_summary(torch.tensor(p), torch.tensor(true), blocks, n_boot=50, seed=4)
    drawn = np.random.default_rng(4).integers(0, 10, (50, 10))
    naive = []
    for row in drawn:
        cases = np.concatenate([np.flatnonzero(blocks == b) for b in row])
        naive.append(level_scores(p[cases], true[cases])["value"])
    ends, value = np.quantile(naive, [.025, .975], axis=0), level_scores(p, true)["value"]
    np.testing.assert_allclose(table[["low", "high"]].to_numpy().T, ends_of(table["metric"], value, ends, 10))
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_reliability_of_a_calibrated_forecast_is_the_diagonal():
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.ones(3), 20_000)
    true = (p.cumsum(1) < rng.random((20_000, 1))).sum(1)
    line = reliability(p, true)
    assert line["n"].sum() == 20_000 and line["low"].min() == pytest.approx(.3)        # three levels: no confidence below a third
    assert (abs(line["confidence"] - line["accuracy"]) < 4*np.sqrt(.25/line["n"])).all()
    assert ((line["low"] <= line["confidence"]) & (line["confidence"] <= line["high"])).all()
    gap = (line["n"]*abs(line["confidence"] - line["accuracy"])).sum()/20_000
    assert gap == pytest.approx(level_scores(p, true).set_index("metric")["value"]["calibration error"])


@pytest.mark.parametrize("p, true, what", [
    (np.full((2, 3), .5), [0, 1], "softmax"),
    (np.array([[1.5, -.5]]), [0], "softmax"),
    (np.full((2, 2), np.nan), [0, 1], "softmax"),
    (np.full((2, 2), .5), [0, 2], "class ids from 0 to 2"),
    (np.full((2, 2), .5), [0., 1.], "integers"),
    (np.full((2, 2), .5), [0], "shape"),
    (np.full(2, .5), [0], "shape"),
])
def test_levels_that_do_not_fit_are_refused(p, true, what):
    for call in (level_scores, level_summary, reliability):
        with pytest.raises(InputError, match=what): call(p, true)


# --- fairness ---

def test_fairness_agrees_with_fairlearn():
    rng = np.random.default_rng(0)
    for groups in (2, 5):
        group = rng.integers(0, groups, 600)
        outcome = (rng.random(600) < .2 + .1*group).astype(int)
        flagged = (rng.random(600) < .2 + .3*outcome + .05*group).astype(int)
        table = group_rates(flagged, outcome, group)
        frame = fairlearn.metrics.MetricFrame(metrics={"selection rate": fairlearn.metrics.selection_rate, "true positive rate": fairlearn.metrics.true_positive_rate,
                    "false positive rate": fairlearn.metrics.false_positive_rate}, y_true=outcome, y_pred=flagged, sensitive_features=group).by_group
        np.testing.assert_allclose(table[list(frame)], frame)
        np.testing.assert_allclose(table["base rate"], pd.Series(outcome).groupby(group).mean())
        assert demographic_parity_difference(flagged, group) == pytest.approx(fairlearn.metrics.demographic_parity_difference(outcome, flagged, sensitive_features=group))
        assert equalized_odds_difference(flagged, outcome, group) == pytest.approx(fairlearn.metrics.equalized_odds_difference(outcome, flagged, sensitive_features=group))
        summary = fairness_summary(flagged, outcome, group).set_index("metric")
        assert summary["value"].tolist() == pytest.approx([demographic_parity_difference(flagged, group), equalized_odds_difference(flagged, outcome, group)])
        assert (summary["low"] <= summary["value"]).all() and (summary["value"] <= summary["high"]).all()


def test_a_group_in_which_nothing_happened_has_no_true_positive_rate():
    table = group_rates([1, 0, 1, 0], [0, 0, 1, 0], pd.Categorical(list("aabb")))
    assert np.isnan(table.loc["a", "true positive rate"]) and table.loc["b", "true positive rate"] == 1 and table["n"].tolist() == [2, 2]
    assert equalized_odds_difference([1, 0, 1, 0], [0, 0, 1, 0], list("aabb")) == .5      # of the false positive rates alone


@pytest.mark.parametrize("flagged, outcome, group, what", [
    ([.5, 1], [0, 1], [0, 1], "flagged must be 0 or 1"),
    ([0, 1], [0, 2], [0, 1], "outcome must be 0 or 1"),
    ([0, 1], [0, np.nan], [0, 1], "outcome must be 0 or 1"),
    ([0, 1], [0], [0, 1], "outcome must have the shape"),
    ([0, 1], [0, 1], [0], "group must have a label"),
    ([0, 1], [0, 1], [None, "a"], "missing label"),
    ([], [], [], "at least one case"),
])
def test_groups_that_can_not_be_compared_are_refused(flagged, outcome, group, what):
    with pytest.raises(InputError, match=what): group_rates(flagged, outcome, group)


@pytest.mark.parametrize("n", [5, 14, 30])
def test_two_groups_that_are_treated_alike_are_not_told_apart(n):
    "400 cities of n weeks in which both groups are flagged alike: the percentile interval of the difference nearly always leaves 0 out, ours hardly ever."
    rng, held, plain = np.random.default_rng(n), [], []
    for i in range(400):
        rate = (.3 + rng.normal(0, .05, (n, 1)) + rng.normal(0, .03, (n, 2))).clip(0, 1)
        flagged = rng.random((n, 2, 40)) < rate[..., None]
        group = np.broadcast_to(np.array(["a", "b"])[:, None], (2, 40))
        table = fairness_summary(flagged.ravel(), np.ones(flagged.size, bool), np.tile(group.ravel(), n), np.repeat(np.arange(n), 80), n_boot=200, seed=i)
        held.append(table["low"][0] <= 0)
        draws = abs(np.diff(bootstrap_means(flagged.mean(2), 200, i), axis=1))
        plain.append(np.quantile(draws, .025) <= 1e-3)
    assert np.mean(held) > .91 and np.mean(plain) < .7, (np.mean(held), np.mean(plain))


def test_what_noise_makes_larger_has_an_interval_as_far_down_as_up():
    rng = np.random.default_rng(0)
    draws = rng.normal(.2, .02, (4000, 1)) + [.02, .02, 0]
    low, high = drawn_interval(np.array([.2, .2, .2]), draws, 400, metrics=["calibration error", "accuracy", "accuracy"])
    assert high[0] - .2 == pytest.approx(.2 - low[0]) and high[0] - low[0] == pytest.approx(high[1] - low[1]) and high[1] - .2 > 1.5*(.2 - low[1])
    assert drawn_interval(np.array([.01]), draws[:, :1], 400, metrics=["calibration error"])[0] == 0


@pytest.mark.parametrize("n", [2, 5, 14, 400])
@pytest.mark.parametrize("x", [0., 1., .3, -2.7])
def test_blocks_that_are_equal_have_no_interval(n, x):
    mean, low, high = interval(np.full(n, x))
    assert np.isclose(mean, x) and np.isnan([low, high]).all()
    assert np.isnan(paired_interval(np.arange(n), np.arange(n))[1:]).all()
    # one that differs is enough
    assert np.isfinite(interval(np.r_[np.full(n, x), x + 1])).all()


def test_no_event_and_no_error_have_no_interval_and_the_others_keep_theirs():
    rows = summary(pd.DataFrame({"HR@5": np.ones(30), "MRR": np.linspace(.1, 1, 30)})).set_index("metric")
    assert rows.loc["HR@5", "value"] == 1 and rows.loc["HR@5", ["low", "high"]].isna().all() and rows.loc["MRR", "low"] < .55 < rows.loc["MRR", "high"]
    empty = count_summary(np.full((6, 4), .5), np.zeros((6, 4)), blocks=np.arange(6))
    assert empty["low"].isna().all() and empty.set_index("metric").loc["MAE", "value"] == .5
