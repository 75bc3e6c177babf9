"crimenb.feedback against hand-worked numbers, loops, fairlearn, and the limits that theory gives."
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import LogisticRegression

from crimenb.city import plan
from crimenb.core import InputError
from crimenb.feedback import (ALLOCATIONS, LOOP_MEASURES, LOOP_METHODS, allocate, between_groups, drift, fair_classifier, fair_loss, map_distance,
                              recent_mean, recording_chance, simulate_feedback)
from crimenb.metrics import demographic_parity_difference
from crimenb.training import seeded, train


# --- a penalty on differences ---

def naive_between(score, group):
    "Variance of group means, each case having its group's, over the variance of scores."
    mean = {g: np.mean([s for s, h in zip(score, group) if h == g]) for g in set(group)}
    return np.var([mean[g] for g in group])/np.var(score)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 4))
def test_between_groups_is_the_share_of_variance_by_definition_and_has_no_unit(seed, groups):
    rng = np.random.default_rng(seed)
    score, group, outcome = rng.normal(size=30), rng.integers(0, groups, 30)*7 - 3, rng.random(30) < .4
    outcome[0] = not outcome[1]
    found = float(between_groups(torch.tensor(score), torch.tensor(group)))
    assert found == pytest.approx(naive_between(score, group.tolist()), rel=1e-9)
    assert float(between_groups(torch.tensor(5 - 100*score), torch.tensor(group))) == pytest.approx(found, rel=1e-6)
    apart = sum(part.mean()*naive_between(score[part], group[part].tolist()) for part in (outcome, ~outcome) if part.sum() > 1)
    assert float(between_groups(torch.tensor(score), torch.tensor(group), torch.tensor(outcome))) == pytest.approx(apart, rel=1e-9, abs=1e-9)


def test_its_gradient_is_that_of_finite_differences_and_never_nan():
    score = torch.tensor([.2, .5, .9, .1, .4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: between_groups(s, torch.tensor([0, 1, 0, 1, 2])), score)
    equal = torch.full((4,), .3, requires_grad=True)
    between_groups(equal, torch.tensor([0, 0, 1, 1])).backward()
    assert (equal.grad == 0).all()


X, G = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)), np.arange(400) % 2
Y = (X[:, 0] + torch.tensor(G) + .5*torch.randn(400, generator=torch.Generator().manual_seed(1)) > .5).float()
X = torch.cat([X, torch.tensor(G)[:, None].float()], 1)
def loss(model, batch, t): return torch.nn.functional.binary_cross_entropy_with_logits(model(X[batch])[:, 0], Y[batch])
def score(model, batch): return torch.sigmoid(model(X[batch])[:, 0])
def batches(epoch, rng): return np.array_split(rng.permutation(400), 4)

def fitted(*args, **kwargs):
    with seeded(0): model = torch.nn.Linear(3, 1)
    log = train(model, batches, fair_loss(*args, **kwargs), epochs=15, lr=.2, device="cpu")
    with torch.no_grad(): return score(model, np.arange(400)), log


def test_a_penalty_brings_groups_together_and_costs_accuracy():
    plain, log = fitted(loss, score, G, 0)
    fair, fair_log = fitted(loss, score, G, 3)
    odds, _ = fitted(loss, score, G, 3, outcome=Y)
    gap = lambda s: float(between_groups(s, torch.tensor(G)))
    gap_odds = lambda s: float(between_groups(s, torch.tensor(G), Y > 0))
    assert gap(plain) > .2 > .02 > gap(fair)
    assert gap_odds(odds) < .5*gap_odds(plain) and gap_odds(odds) < .02
    logloss = lambda s: float(torch.nn.functional.binary_cross_entropy(s, Y))
    assert logloss(plain) < logloss(fair)


def test_without_weight_the_loss_is_the_loss_and_groups_may_have_any_label():
    with seeded(1): model = torch.nn.Linear(3, 1)
    batch = np.arange(50)
    assert fair_loss(loss, score, G, 0)(model, batch, 0) == loss(model, batch, 0)
    named = np.where(G == 1, "b", "a")
    value = fair_loss(loss, score, named, 2.)(model, batch, 0)
    assert value.item() == pytest.approx((loss(model, batch, 0) + 2*between_groups(score(model, batch), torch.tensor(G[:50]))).item())
    assert fair_loss(loss, score, named, 2.)(model, torch.as_tensor(batch), 0) == value


@pytest.mark.parametrize("constraint", ["demographic parity", "equalised odds"])
def test_fairlearn_s_reduction_closes_the_gap(constraint):
    x, y = X.numpy(), Y.numpy().astype(int)
    plain = LogisticRegression().fit(x, y).predict(x)
    model = fair_classifier(LogisticRegression(), constraint, slack=.02, rounds=15).fit(x, y, sensitive_features=G)
    # over the mixture of models, without its draws
    fair = model._pmf_predict(x)[:, 1]
    def gap(p): return max(abs(p[(G == 0) & part].mean() - p[(G == 1) & part].mean()) for part in ([np.full(400, True)] if constraint == "demographic parity" else [y == 0, y == 1]))
    assert gap(fair) < .06 and gap(fair) < .5*gap(plain)
    if constraint == "demographic parity": assert gap(plain) == pytest.approx(demographic_parity_difference(plain, G))


@pytest.mark.parametrize("call, what", [
    (lambda: between_groups(torch.ones(3, 1), torch.ones(3).long()), "same shape"),
    (lambda: between_groups(torch.ones(3), torch.ones(3).long(), torch.ones(2)), "same shape"),
    (lambda: fair_loss(loss, score, G, -1), "weight"),
    (lambda: fair_loss(loss, score, np.zeros(5), 1), "two groups"),
    (lambda: fair_loss(loss, score, G, 1, outcome=Y[:5]), "same cases"),
    (lambda: fair_classifier(LogisticRegression(), "equal pay"), "demographic parity, equalised odds"),
    (lambda: fair_classifier(LogisticRegression(), slack=2), "slack"),
])
def test_penalties_that_make_no_sense_are_refused(call, what):
    with pytest.raises(InputError, match=what): call()


# --- the pieces of the loop ---

def test_distance_is_the_share_to_be_moved():
    assert map_distance([1, 0], [0, 1]) == 1 and map_distance([.5, .5], [.5, .5]) == 0
    np.testing.assert_allclose(map_distance([[.5, .3, .2], [0, 0, 1]], [.2, .3, .5]), [.3, .5])


def test_recording_chance_by_hand():
    r = np.array([.5, 0., 1.])
    even = np.full(3, 1/3)
    np.testing.assert_allclose(recording_chance(even, r, .7), r + (1 - r)*(1 - np.exp(-.7)))
    np.testing.assert_allclose(recording_chance(np.array([1., 0, 0]), r, .7), [.5 + .5*(1 - np.exp(-2.1)), 0, 1])
    assert recording_chance(np.tile(even, (4, 1)), r, .7).shape == (4, 3)


def test_recent_mean_is_a_loop_over_weeks():
    rng = np.random.default_rng(0)
    records = rng.poisson(3., (2, 5, 4))
    weight = [.5**(age/3) for age in range(6)]                  # age 0 is last week; the prior is older than all
    naive = (sum(weight[4 - t]*records[:, t] for t in range(5)) + 2*weight[5])/sum(weight)
    np.testing.assert_allclose(recent_mean(records, 3, 2), naive)
    assert (recent_mean(np.zeros((3, 4))) > 0).all()


def test_allocation_sums_to_one_and_follows_its_rule():
    forecast = np.array([[1., 3., 4., 2.], [0., 0., 0., 5.]])
    np.testing.assert_allclose(allocate(forecast), [[.1, .3, .4, .2], [0, 0, 0, 1]])
    np.testing.assert_allclose(allocate(forecast, "top", .5), [[0, .5, .5, 0], [.5, 0, 0, .5]])
    np.testing.assert_allclose(allocate(forecast, "top", .01), [[0, 0, 1, 0], [0, 0, 0, 1]])
    assert (forecast == [[1, 3, 4, 2], [0, 0, 0, 5]]).all()


# --- the loop ---

SMALL = plan(6_000, 168, seed=1, n_areas=9, side=24, n_premises=4, n_categories=6)

@pytest.fixture(scope="module")
def hidden(): return simulate_feedback(SMALL, seeds=range(6), residents=.05)


def late(table): return drift(table, last=8).set_index(["method", "metric"])["value"].unstack()


def test_the_table_is_tidy_and_its_numbers_lie_where_they_must(hidden):
    assert list(hidden) == ["method", "seed", "week", *LOOP_MEASURES]
    assert len(hidden) == len(LOOP_METHODS)*6*(24 - 8) and not hidden.isna().any(axis=None)
    assert not hidden.duplicated(["method", "seed", "week"]).any() and hidden["week"].min() == 8 and hidden["week"].max() == 23
    for name in ("forecast", "records", "patrols", "largest", "recorded"): assert hidden[name].between(0, 1).all()
    assert (hidden["per event"] > 0).all()
    even = hidden[hidden["method"] == "even patrols"]
    np.testing.assert_allclose(even["largest"], 1/9)


def test_the_loop_drifts_and_the_corrections_rank_as_they_should(hidden):
    value = late(hidden)["forecast"]
    assert value["all events"] < value["weighted"] < value["random patrols"] < value["records"]
    assert value["records"] > 2*value["even patrols"]


def test_all_to_the_top_is_worse_than_in_proportion(hidden):
    top = simulate_feedback(SMALL, ("records", "all events"), seeds=range(6), residents=.05, allocation="top")
    assert late(top).loc["records", "forecast"] > 2*late(hidden).loc["records", "forecast"]
    assert late(top).loc["all events", "forecast"] == pytest.approx(late(hidden).loc["all events", "forecast"])     # what it sees doesn't depend on patrols
    assert set(top["largest"].round(6)) == {.5}                # two of nine areas


def test_a_seed_gives_the_same_whatever_else_is_asked_for(hidden):
    for methods, seeds in ((("records",), [4]), (("weighted", "records"), [5, 4])):
        some = simulate_feedback(SMALL, methods, seeds, residents=.05)
        both = some.merge(hidden, on=["method", "seed", "week"], suffixes=("", " all"))
        assert len(both) == len(some)
        np.testing.assert_allclose(both[list(LOOP_MEASURES)], both[[f"{m} all" for m in LOOP_MEASURES]], rtol=1e-12)
    with pytest.raises(AssertionError): np.testing.assert_allclose(hidden.query("seed == 0")["forecast"], hidden.query("seed == 1")["forecast"])


def test_where_residents_report_everything_there_is_no_loop():
    honest = dataclasses.replace(SMALL, reporting=np.ones_like(SMALL.reporting))
    table = simulate_feedback(honest, seeds=range(3), residents=1.)
    wide = {m: table[table["method"] == m][["forecast", "records", "recorded"]].to_numpy() for m in LOOP_METHODS}
    for method in LOOP_METHODS: np.testing.assert_allclose(wide[method], wide["all events"], atol=1e-12)
    assert (table["recorded"] == 1).all() and table["records"].max() < 1e-12 and table["per event"].isna().all()
    assert "per event" not in set(drift(table)["metric"])      # no area is under-recorded


def test_without_reach_patrols_find_nothing_and_only_reporting_is_left():
    table = simulate_feedback(SMALL, ("records", "reported only", "weighted"), seeds=range(3), reach=0.)
    a, b = (table[table["method"] == m].reset_index(drop=True) for m in ("records", "reported only"))
    np.testing.assert_allclose(a[list(LOOP_MEASURES)], b[list(LOOP_MEASURES)])
    share = SMALL.expected_by_area(recorded=False)[23]
    seen = share*SMALL.area_reporting
    np.testing.assert_allclose(a[a["week"] == 23]["records"], map_distance(seen/seen.sum(), share/share.sum()))
    assert late(table).loc["weighted", "forecast"] < late(table).loc["records", "forecast"]


def test_more_patrols_find_the_same_events_and_more():
    few, many = (simulate_feedback(SMALL, ("even patrols",), seeds=range(2), reach=r)["recorded"] for r in (.2, .8))
    assert (many > few).all()
    expected = [recording_chance(np.full(9, 1/9), .5*SMALL.area_reporting, r) for r in (.2, .8)]
    share = SMALL.expected_by_area(recorded=False)[:24].sum(0); share /= share.sum()
    for found, chance in zip((few, many), expected): assert found.mean() == pytest.approx(share @ chance, abs=.02)


def test_a_forecast_never_sees_its_own_week_or_a_later_one():
    seen = []
    def model(records):
        seen.append(records.copy())
        return recent_mean(records)
    simulate_feedback(SMALL, ("records",), seeds=range(2), model=model)
    assert [r.shape for r in seen] == [(2, t, 9) for t in range(8, 24)]
    for earlier, later in zip(seen, seen[1:]): np.testing.assert_array_equal(later[:, :earlier.shape[1]], earlier)
    ours = simulate_feedback(SMALL, ("records",), seeds=range(2))
    pd.testing.assert_frame_equal(ours, simulate_feedback(SMALL, ("records",), seeds=range(2), model=recent_mean))


def test_a_model_that_knows_the_truth_leaves_no_distance():
    share = SMALL.expected_by_area(recorded=False)[:24]
    table = simulate_feedback(SMALL, ("records",), seeds=range(2), model=lambda records: np.tile(share[records.shape[1]], (2, 1)))
    assert table[["forecast", "patrols"]].to_numpy().max() < 1e-12
    np.testing.assert_allclose(table["per event"], 1)


def test_drift_is_the_mean_of_the_last_weeks_over_seeds(hidden):
    rows = drift(hidden, last=5)
    assert list(rows) == ["method", "metric", "value", "low", "high", "n", "blocks"] and (rows[["n", "blocks"]] == 6).all(axis=None)
    one = rows.query("method == 'records' and metric == 'patrols'").iloc[0]
    assert one["value"] == pytest.approx(hidden[(hidden["method"] == "records") & (hidden["week"] >= 19)]["patrols"].mean())
    # patrols that are spread evenly are the same with every seed: no interval
    known = rows.dropna(subset=["low", "high"])
    assert set(rows["method"]) == set(known["method"]) and len(known) > len(rows)/2
    assert (known["low"] <= known["value"] + 1e-12).all() and (known["value"] <= known["high"] + 1e-12).all()


@pytest.mark.parametrize("how, what", [
    (dict(methods=("prayer",)), "all events, even patrols"),
    (dict(seeds=[]), "at least one seed"),
    (dict(residents=1.5), "residents"),
    (dict(reach=-1), "reach"),
    (dict(random_share=2), "random_share"),
    (dict(believed=-1), "believed"),
    (dict(warmup=24), "warmup"),
    (dict(warmup=0), "warmup"),
    (dict(allocation="lottery"), ", ".join(ALLOCATIONS)),
    (dict(model=lambda records: -np.ones((1, 9))), "forecasts of at least 0"),
    (dict(model=lambda records: np.ones(9)), "shape"),
    (dict(model=lambda records: np.full((1, 9), np.nan)), "at least 0"),
])
def test_worlds_that_make_no_sense_are_refused(how, what):
    with pytest.raises(InputError, match=what): simulate_feedback(SMALL, **{"seeds": [0], **how})
