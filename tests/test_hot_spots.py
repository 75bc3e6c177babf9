"crimenb.baselines.hot_spots: optima against other optimisers, known answers on small cases, the planted city, and the real one."
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm, poisson

from crimenb.baselines import hot_spots as hs
from crimenb.baselines.hot_spots import (ClassicRTM, HotSpots, KernelDensity, ShrunkCounts, bic_steps, decompose, deviance, fit_classic, fit_forest, fit_negative_binomial, lasso,
                                         penalised_poisson, thin, thinned)
from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.geo import Points, cells_in
from crimenb.metrics import hot_spots, paired_hot_spot_interval
from crimenb.models import catalogue, choose
from crimenb.sources import fetch
from crimenb.terrain import Design, Terrain, Units, dc, from_city

QUICK = {"random forest": {"trees": 10}, "shrunk counts": {"bandwidths": (100, 400)}, "classic RTM": {"penalty": .01}, "negative binomial": {"penalty": .01}, "group lasso": {"penalty": .01}}
RULES = {name: kind for name, kind in catalogue("Terrain").items() if issubclass(kind, HotSpots)}


@cache
def city(n_events=6_000, seed=3, side=40):
    events, truth = simulate(n_events=n_events, days=365, seed=seed, side=side)
    return from_city(events, truth, bandwidths=(100, 200, 300, 400))

def random_terrain(seed=0, n=400, sets=(3, 2), dummy=True):
    rng = np.random.default_rng(seed)
    units = Units(range(n), *rng.uniform(0, 3000, (2, n)), area=rng.uniform(1e3, 1e4, n))
    x = rng.normal(size=(n, sum(sets)))
    x = (x > .6).astype(float) if dummy else x
    ends = np.cumsum([0, *sets])
    return Design(units, x, [f"f{i}" for i in range(x.shape[1])], {f"s{g}": np.arange(a, b) for g, (a, b) in enumerate(zip(ends, ends[1:]))},
                  np.column_stack([np.ones(n), rng.normal(size=n)]), ["Const", "other"])

def random_view(counts, seed=0, n=400):
    "A view with factors here and there, and given counts (periods, units)."
    rng = np.random.default_rng(seed)
    units = Units(range(n), *rng.uniform(0, 3000, (2, n)), area=rng.uniform(1e3, 1e4, n))
    return Terrain(units, {name: Points(*rng.uniform(0, 3000, (2, 12))) for name in ("bar", "pub")}, np.atleast_2d(counts), "2010-01-01", bandwidths=(200, 400))

def expected(name, view, train=None, **settings):
    "What a rule that has learnt from `train` expects next."
    model = RULES[name](**{**QUICK.get(name, {}), **settings})
    train = slice(0, view.known) if train is None else train
    return model.fit(view, train).predict(view.ahead(), train.stop)[0]


# sum, and sum of squares
PINNED = {'uniform': (2830.0, 5005.5625), 'area': (2830.0, 5005.5625), 'last counts': (2830.0, 12234.0), 'mean counts': (2830.0, 12234.0), 'kernel density': (2830.0, 7663.2751), 'shrunk counts': (2827.85201, 8304.30307), 'random forest': (2798.26603, 7158.36577)}
# the trees of scikit-learn 1.7, the last for Python 3.10, part elsewhere than those of later releases
if sklearn.__version__.startswith("1.7."): PINNED["random forest"] = (2797.56579, 7162.28003)


# --- all rules ---

@pytest.mark.parametrize("name", RULES)
def test_every_rule_gives_finite_counts_leaves_its_input_alone_and_says_the_same_twice(name):
    view = city()
    before, x = view.counts.copy(), view.design().x.copy()
    found = expected(name, view, slice(0, 1))
    assert found.shape == (len(view.units),) and np.isfinite(found).all() and (found >= 0).all()
    np.testing.assert_array_equal(found, expected(name, view.until(1)))
    np.testing.assert_array_equal(view.counts, before); np.testing.assert_array_equal(view.design().x, x)
    assert found.sum() == pytest.approx(before[0].sum(), rel=.1)

@pytest.mark.parametrize("name", [n for n in RULES if n != "random forest"])
def test_the_order_of_the_units_makes_no_difference(name):
    view = random_view(np.random.default_rng(1).poisson(1., 400), 1)
    order, u = np.random.default_rng(2).permutation(400), view.units
    moved = replace(view, units=Units(u.ids[order], u.x[order], u.y[order], u.area[order]), counts=view.counts[:, order], made={})
    fixed = {"bandwidth": 200} if name == "kernel density" else {}
    np.testing.assert_allclose(expected(name, view, **fixed)[order], expected(name, moved, **fixed), rtol=2e-3, atol=1e-4)

@pytest.mark.parametrize("counts", [np.full(400, -1.), np.zeros(400), [np.ones(400), np.zeros(400)]])
def test_past_counts_that_make_no_sense_are_refused(counts):
    for name in RULES:
        with pytest.raises(InputError): expected(name, random_view(counts))

def test_counts_by_hand():
    view = random_view(np.array([[1, 0, 2], [3, 0, 6]]), n=3)
    assert expected("last counts", view).tolist() == [3, 0, 6] and expected("mean counts", view).tolist() == [2, 0, 4]
    assert expected("uniform", view).tolist() == [2]*3
    np.testing.assert_allclose(expected("area", view), view.units.area/view.units.area.sum()*6)
    # learnt from one period, it looks back one period
    assert RULES["mean counts"]().fit(view, slice(0, 1)).predict(view.ahead(), [1, 2]).tolist() == [[1, 0, 2], [3, 0, 6]]

def test_rules_give_what_their_functions_gave():
    "Sums and squares of the functions that these models were before; the same numbers, bit for bit, on another machine nearly."
    view = city()
    for name, (total, squares) in PINNED.items():
        found = expected(name, view, slice(0, 1), **({} if name in ("kernel density", "shrunk counts") else QUICK.get(name, {})), **({"bandwidths": (50, 100, 200, 400, 800, 1600)} if name == "shrunk counts" else {}))
        assert (found.sum(), (found**2).sum()) == pytest.approx((total, squares), rel=1e-6), name


# --- thinning ---

@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(.05, .95))
def test_thinning_loses_nothing(seed, share):
    counts = np.random.default_rng(seed).poisson(2., (50, 2))
    kept, held = thin(counts, share, seed)
    np.testing.assert_array_equal(kept + held, counts)
    assert (kept >= 0).all() and (held >= 0).all()

def test_piles_of_a_thinned_poisson_count_are_independent_and_poisson():
    kept, held = thin(np.random.default_rng(0).poisson(3., 300_000), .3, 1)
    assert abs(np.corrcoef(kept, held)[0, 1]) < .006
    for pile, mean in ((kept, .9), (held, 2.1)): assert pile.mean() == pytest.approx(mean, abs=.01) and pile.var() == pytest.approx(mean, abs=.02)

@pytest.mark.parametrize("counts, share", [([.5], .5), ([-1], .5), ([np.nan], .5), ([1], 0), ([1], 1)])
def test_what_cannot_be_thinned_is_refused(counts, share):
    with pytest.raises(InputError): thin(counts, share)

def test_deviance_is_scikit_learns():
    from sklearn.metrics import mean_poisson_deviance
    rng = np.random.default_rng(0)
    expected = rng.gamma(1., 1., 200) + .01
    observed = rng.poisson(expected)
    assert deviance(expected, observed) == pytest.approx(mean_poisson_deviance(observed, expected))
    assert np.isfinite(deviance([0, 1], [3, 0]))

def test_a_thinned_view_lives_the_last_year_twice():
    view = city()
    half = thinned(view, slice(0, 1), seed=4)
    assert half.counts.shape == (2, 1600) and (half.counts.sum(0) == view.counts[0]).all() and abs(half.counts[0].sum() - half.counts[1].sum()) < 200
    assert thinned(view).counts.shape == (3, 1600) and (thinned(view).counts[1:].sum(0) == view.counts[1]).all()

def test_choose_finds_the_bandwidth_of_a_smooth_city():
    units = Units.of(cells_in((0, 0, 4000, 4000), 100, None))
    rate = 2*np.exp(np.sin(units.x/300)*np.cos(units.y/300))
    past = np.random.default_rng(0).poisson(rate)
    view = Terrain(units, {}, past[None], "2010-01-01")
    best, table = choose(KernelDensity(), thinned(view), {"bandwidth": [20, 150, 3000]}, slice(0, 1), slice(1, 2))
    assert best.bandwidth == 150 and (np.diff(table.loss) >= 0).all() and list(table) == ["bandwidth", "loss"]
    chosen = expected("kernel density", view, bandwidths=(20, 150, 3000))
    np.testing.assert_array_equal(chosen, expected("kernel density", view, bandwidth=150))
    assert ((chosen - rate)**2).mean() < .3*((past - rate)**2).mean()

@pytest.mark.parametrize("per", ["unit", "area"])
def test_kernel_density_adds_up_and_ends_at_last_counts(per):
    past = np.random.default_rng(0).poisson(1., 400)
    view = random_view(past)
    for h in (5, 300): assert expected("kernel density", view, bandwidth=h, per=per).sum() == pytest.approx(past.sum())
    if per == "unit": np.testing.assert_allclose(expected("kernel density", view, bandwidth=.01, per=per), past, atol=1e-6)


# --- the lassos ---

@pytest.mark.parametrize("penalty", [0., .005, .05])
def test_the_positive_lasso_is_at_the_optimum_of_another_optimiser(penalty):
    terrain = random_terrain(3, n=600, sets=(5, 4))
    y = np.random.default_rng(3).poisson(np.exp(-.5 + .7*terrain.x[:, 0] - .5*terrain.x[:, 3] + .4*terrain.x[:, 6])).astype(float)
    x, group = hs._columns(terrain, "positive")
    b = penalised_poisson(x, y, penalty, group, tol=1e-12)
    def objective(b):
        eta = x @ b
        return (np.exp(eta) - y*eta).mean() + penalty*b[2:].sum(), x.T @ (np.exp(eta) - y)/len(y) + penalty*(group >= 0)
    other = minimize(objective, np.zeros(len(b)), jac=True, method="L-BFGS-B", bounds=[(None, None)]*2 + [(0, None)]*9, options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000})
    np.testing.assert_allclose(b, other.x, atol=2e-4); assert (b[2:] >= 0).all() and objective(b)[0] <= other.fun + 1e-9

@pytest.mark.parametrize("penalty", [.005, .02, .06, 1.])
def test_the_group_lasso_meets_the_conditions_of_a_minimum(penalty):
    terrain = random_terrain(4, n=600, sets=(5, 4, 1))
    y = np.random.default_rng(4).poisson(np.exp(-.5 + .7*terrain.x[:, 0] - .5*terrain.x[:, 3])).astype(float)
    x, group = hs._columns(terrain, "group")
    b = penalised_poisson(x, y, penalty, group, "group", tol=1e-12)
    pull = x.T @ (np.exp(x @ b) - y)/len(y)
    assert np.abs(pull[:2]).max() < 1e-5
    for g, size in enumerate((5, 4, 1)):
        mine, length = group == g, np.linalg.norm(b[group == g])
        if length: np.testing.assert_allclose(pull[mine], -penalty*np.sqrt(size)*b[mine]/length, atol=1e-4)
        else: assert np.linalg.norm(pull[mine]) <= penalty*np.sqrt(size) + 1e-6
    if penalty == 1: assert (b[2:] == 0).all()

def test_above_the_largest_penalty_only_constants_are_left():
    terrain = random_terrain(5)
    y = np.random.default_rng(5).poisson(np.exp(.5*terrain.x[:, 0]))
    for kind in ("positive", "group"):
        b, penalty = lasso(terrain, y, kind)
        assert (b[2:] != 0).any() and penalty > 0
        assert (lasso(terrain, y, kind, 100.)[0][2:] == 0).all()
    with pytest.raises(InputError): lasso(terrain, y, penalty=-1)


# --- classic RTM ---

def test_bic_steps_find_planted_columns_and_never_two_of_a_set():
    terrain = random_terrain(6, n=3000, sets=(4, 4, 4))
    y = np.random.default_rng(6).poisson(np.exp(-1 + .8*terrain.x[:, 1] + .5*terrain.x[:, 6] - .8*terrain.x[:, 9]))
    fit = bic_steps(terrain, y, range(12))
    assert fit.names == ["f1", "f6"] and np.abs(fit.coefficients[2:] - [.8, .5]).max() < .15
    assert [s[1] for s in fit.steps] == sorted((s[1] for s in fit.steps), reverse=True)
    # the BIC is the one of its definition
    mean = fit.expected(terrain)
    assert fit.bic == pytest.approx(4*np.log(3000) - 2*poisson.logpmf(y, mean).sum())

def test_a_better_column_of_the_set_takes_the_place_of_the_first():
    rng = np.random.default_rng(7)
    terrain = random_terrain(7, n=4000, sets=(2, 1))
    a, b = rng.random((2, 4000)) < .3
    x = np.column_stack([a | b, a, b]).astype(float)
    terrain = replace(terrain, x=x)
    y = rng.poisson(np.exp(-1 + .8*a + .8*b))
    fit = bic_steps(terrain, y, [0, 1, 2])
    assert fit.steps[1][0] == "add f0" and any("->" in s[0] for s in fit.steps) and fit.names == ["f1", "f2"]

def test_nothing_to_find_gives_the_constants():
    terrain = random_terrain(8, n=2000)
    y = np.random.default_rng(8).poisson(1., 2000)
    assert bic_steps(terrain, y, range(5)).names == [] and bic_steps(terrain, y, []).names == []

def test_the_planted_city_is_recovered():
    events, truth = simulate(n_events=12_000, days=365, seed=5, side=50)
    study = from_city(events, truth, bandwidths=(100, 200, 300, 400, 600))
    fit = ClassicRTM().fit(study, slice(0, 1)).fit_
    assert set(study.planted) <= set(fit.names) <= set(fit.survivors)
    for name, b in zip(fit.names, fit.coefficients[1:]):
        assert abs(b - study.planted.get(name, 0)) < .4

def test_the_negative_binomial_finds_its_spread():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(20_000), rng.random(20_000) < .3]).astype(float)
    y = rng.poisson(np.exp(x @ [-.5, .8])*rng.gamma(1/.7, .7, 20_000))
    result = fit_negative_binomial(x, y)
    np.testing.assert_allclose(result.params, [-.5, .8, .7], atol=.08)


# --- forest ---

def test_parts_of_a_forest_add_up_and_name_the_cause():
    rng = np.random.default_rng(0)
    terrain = random_terrain(9, n=800, sets=(3, 3), dummy=False)
    y = rng.poisson(np.where(terrain.x[:, 4] > .5, 4., .5))
    forest = fit_forest(terrain, y, trees=20)
    x = np.hstack([terrain.constants, terrain.x])
    parts = decompose(forest, terrain)
    np.testing.assert_allclose(parts.sum(axis=1), forest.predict(x))
    assert list(parts) == ["mean", "s0", "s1", "constants"] and np.ptp(parts["mean"]) < 1e-9
    top = np.argsort(-forest.predict(x))[:50]
    assert (parts["s1"].to_numpy()[top] > 5*np.abs(parts["s0"].to_numpy()[top])).mean() > .9
    some = decompose(forest, terrain, [3, 1])
    np.testing.assert_allclose(some, parts.loc[[3, 1]]); assert some.index.tolist() == [3, 1]

def test_one_tree_by_hand():
    units = Units(range(4), [0, 1000, 2000, 3000], [0]*4)
    terrain = Design(units, np.array([[0.], [0.], [1.], [1.]]), ["a"], {"a": np.array([0])}, np.ones((4, 1)))
    forest = fit_forest(terrain, [0, 0, 4, 4], trees=1, min_samples_leaf=1, max_features=1.)
    tree = forest.estimators_[0]
    parts = decompose(forest, terrain)
    assert parts["mean"].to_numpy() == pytest.approx(np.full(4, tree.tree_.value[0, 0, 0]))
    assert parts["a"].to_numpy() == pytest.approx(np.array([0, 0, 4, 4]) - tree.tree_.value[0, 0, 0]) and (parts["constants"] == 0).all()


# --- shrunk counts ---

@pytest.mark.parametrize("mixing", ["gamma", "lognormal"])
@pytest.mark.parametrize("spread", [.3, 1., 2.])
def test_the_posterior_is_the_integral(mixing, spread):
    y, mu = np.array([0., 1., 3., 20., 0., 150.]), np.array([.05, .05, 2., 1., 5., 40.])
    likelihood, mean = hs._posterior(np.log(mu), y, spread, mixing)
    u = np.exp(np.linspace(-80, 12, 800_001))
    if mixing == "lognormal": density = norm.pdf(np.log(u), -spread**2/2, spread)
    else:
        a = 1/spread**2
        density = np.exp(a*np.log(a) + a*np.log(u) - a*u - hs.gammaln(a))
    for i in range(len(y)):
        p = density*poisson.pmf(y[i], mu[i]*u)
        total = np.trapezoid(p, np.log(u))
        assert likelihood[i] == pytest.approx(np.log(total), abs=2e-3) and mean[i] == pytest.approx(np.trapezoid(p*mu[i]*u, np.log(u))/total, rel=5e-3)

def test_shrinking_lies_between_the_count_and_the_prior_mean():
    rng = np.random.default_rng(0)
    y, mu = rng.poisson(2., 300).astype(float), rng.gamma(2., 1., 300) + .01
    for mixing in ("gamma", "lognormal"):
        mean = hs._posterior(np.log(mu), y, .8, mixing)[1]
        if mixing == "gamma": assert ((mean >= np.minimum(y, mu) - 1e-9) & (mean <= np.maximum(y, mu) + 1e-9)).all()
        np.testing.assert_allclose(hs._posterior(np.log(mu), y, .051, mixing)[1], mu, rtol=.1)
        more = hs._posterior(np.log(mu), y + 1, .8, mixing)[1]
        assert (more > mean).all()

def test_a_units_own_count_is_not_its_neighbours():
    terrain = random_terrain(10, n=200)
    counts = np.random.default_rng(0).poisson(1., 200).astype(float)
    other = counts.copy(); other[7] += 50
    crimes = lambda c: hs._smooth(terrain.units, c, np.array([100., 400.]))[0]
    own = 1e6/(2*np.pi*np.array([100., 400.])**2)
    np.testing.assert_allclose((crimes(other) - other[:, None]*own)[7], (crimes(counts) - counts[:, None]*own)[7], rtol=1e-3, atol=1e-2)

def test_shrunk_counts_know_more_than_last_years_counts():
    view = city()
    model, future, past = ShrunkCounts().fit(view, slice(0, 1)), view.observed([1])[0], view.past(1)
    prior, _, found = model.posterior(view, past)
    pai = lambda f: hot_spots(f, future, (.1,))["PAI"][0]
    assert pai(found) > pai(past[:, 0]) and deviance(found, future) < deviance(prior, future)
    error = lambda guess: ((guess - view.expected)**2).mean()
    assert error(found) < error(prior) and error(found) < .5*error(past[:, 0])
    np.testing.assert_array_equal(model.predict(view, 1)[0], found)

def test_older_counts_help_and_nonsense_is_refused():
    view = city()
    older = replace(view, history={"another desk": np.random.default_rng(0).poisson(10*view.expected)})
    future, past = view.observed([1])[0], view.past(1)
    bare, helped = ShrunkCounts().fit(older, slice(0, 1)), ShrunkCounts(history=True).fit(older, slice(0, 1))
    assert helped.posterior(older, past)[1].mean() > bare.posterior(older, past)[1].mean()
    assert deviance(helped.predict(older, 1)[0], future) < deviance(bare.predict(older, 1)[0], future)
    for wrong in (-1., np.nan):
        with pytest.raises(InputError): ShrunkCounts(history=True).fit(replace(view, history={"x": np.full(1600, wrong)}))
    for settings in (dict(mixing="beta"), dict(bandwidths=(0,))):
        with pytest.raises(InputError): ShrunkCounts(**settings).fit(view)

def test_shrunk_counts_do_without_factors_and_with_an_empty_older_period():
    view = replace(city(), factors={}, made={})
    assert np.corrcoef(expected("shrunk counts", view, slice(0, 1)), view.expected)[0, 1] > .5
    with pytest.raises(InputError, match="no factors"): expected("classic RTM", view)
    empty = replace(view, counts=np.vstack([np.zeros((1, 1600)), view.counts]), labels=None)
    found = ShrunkCounts().fit(empty, slice(0, 2))
    assert np.isfinite(found.predict(empty, 2)).all()

def test_many_periods_lead_to_the_stable_rate():
    view = city()
    many = replace(view, counts=np.random.default_rng(1).poisson(np.repeat(view.expected[None], 6, 0)), labels=None)
    found = expected("shrunk counts", many)
    assert ((found - view.expected)**2).mean() < ((many.counts[-1] - view.expected)**2).mean()/3


# --- Washington ---

def test_washington_2011_to_2012():
    study = dc(fetch("dc_rtm"))
    past, future = study.past(1), study.observed([1])[0]
    classic = bic_steps(study.design(), past[:, 0], np.arange(36))
    assert {n.split("_")[0] for n in classic.names} == {"alc", "met", "c31"}
    shrunk = expected("shrunk counts", study, slice(0, 1), history=True, bandwidths=(50, 200, 800))
    pai = {name: hot_spots(f, future, (.01, .05))["PAI"].tolist() for name, f in (("last", past[:, 0]), ("shrunk", shrunk), ("classic", classic.expected(study.design())))}
    assert pai["last"] == pytest.approx([16.18, 7.36], abs=.01)
    assert pai["classic"][1] < 4.5 < pai["last"][1] < pai["shrunk"][1]
    gain, low, high = paired_hot_spot_interval(shrunk, past[:, 0], future, .05, n_boot=300)
    assert low > .1
