"crimenb.baselines.area_panel: by hand, with a poisoned future, against the truth of the simulated city, and on the real files."
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import nbinom, poisson
from sklearn.metrics import f1_score

from crimenb.baselines.area_panel import (GRIDS, KINDS, RULES, SMALLEST, choose, f1_scores, forecast, historical_mean, last_week, level_probabilities,
                                          occurrences, poisson_regression, score, support_vectors)
from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.metrics import count_scores, level_scores
from crimenb.panels import SEVERITY, Features, Panel, category_groups, city_places, from_events, read_hagen, read_polygons, risk_levels, split
from crimenb.sources import load

# settings that keep the forests and the boosting small
FAST = {"random forest": {"trees": 10}, "gradient boosting": {"rounds": 10}}
TASKS = ("levels", "counts")

def with_counts(counts, slots=1, categories=("violent", "property", "other")):
    counts = np.asarray(counts, "int32")
    T, A, C = counts.shape
    starts = pd.date_range("2018-01-01", periods=T, freq="W-MON").as_unit("s")
    return Panel(counts, starts, [str(i) for i in range(A)], list(categories[:C]), np.arange(A, dtype=float), np.ones(A), np.ones(A),
                 np.empty((T, A, 0)), [], slots=slots)

def made_up(seed=0, T=40, A=6, C=3, slots=1, mean=6.):
    rng = np.random.default_rng(seed)
    return with_counts(rng.poisson(mean*rng.gamma(2, .5, (1, A, C)), (T, A, C)), slots)

def prepared(panel):
    parts = split(panel, .2, .2)
    return Features(panel, parts.train), parts

@cache
def small_city(seed, n_events=30_000, days=520):
    events, truth = simulate(n_events, days=days, seed=seed, start="2018-01-01", n_areas=16, n_premises=5)
    group = category_groups(events["category"].cat.categories)
    panel = from_events(events, group=group, places=city_places(truth))
    belongs = np.array([[group[c] == g for g in panel.categories] for c in truth.categories], dtype=float)
    return panel, (truth.expected_panel(168) @ belongs)[:len(panel)]


# --- the shape of all rules ---

@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_answers_in_one_shape_and_the_same_twice(name, task, slots):
    panel = made_up(slots=slots)
    features, parts = prepared(panel)
    before = panel.counts.copy(), features.x_flat.copy()
    first, again = (RULES[name](features, task, parts.train, parts.test, **FAST.get(name, {})) for _ in range(2))
    rows = features.rows(parts.test)
    assert first.shape == (rows.stop - rows.start, 5 if task == "levels" else 3) and np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(panel.counts, before[0]); np.testing.assert_array_equal(features.x_flat, before[1])
    if task == "levels":
        np.testing.assert_allclose(first.sum(1), 1, rtol=1e-9)
        assert first.min() >= 0
    else: assert first.min() >= SMALLEST

def test_every_rule_has_a_kind_and_a_grid_of_its_own_settings():
    assert list(RULES) == list(KINDS) == list(GRIDS) and set(KINDS.values()) == {"trivial", "baseline", "practitioner"}
    for name, grid in GRIDS.items():
        assert set(grid) <= set(RULES[name].__code__.co_varnames[:RULES[name].__code__.co_argcount]) - {"features", "task", "fit", "predict"}

@pytest.mark.parametrize("name", RULES)
def test_rules_are_sensible_where_there_is_nothing_to_learn(name):
    "Every area and week alike: counts are forecast as their mean, and some level has a good part of the probability."
    panel = with_counts(np.random.default_rng(0).poisson(20, (60, 8, 2)))
    features, parts = prepared(panel)
    counts = RULES[name](features, "counts", parts.train, parts.test, **FAST.get(name, {}))
    assert abs(counts.mean() - 20) < 1.5
    if name != "last week": assert score(counts, features, "counts", parts.test) < 1.5
    assert score(RULES[name](features, "levels", parts.train, parts.test, **FAST.get(name, {})), features, "levels", parts.test) < 1.9     # log 5 = 1.61

@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", RULES)
def test_categories_areas_and_levels_that_never_occur_are_no_trouble(name, task):
    counts = np.random.default_rng(1).poisson(3, (40, 5, 3))
    counts[:, 2] = 0
    counts[..., 2] = 0
    features, parts = prepared(with_counts(counts))
    found = RULES[name](features, task, parts.train, parts.test, **FAST.get(name, {}))
    assert np.isfinite(found).all()
    if task == "counts" and name not in ("SVM", "last week"): assert found[:, 2].max() < .02


# --- nothing looks ahead ---

@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", RULES)
def test_a_poisoned_future_changes_no_forecast_up_to_it(name, task):
    panel = made_up(seed=3, slots=2)
    parts = split(panel, .2, .2)
    moment = parts.test.start + 4
    counts = panel.counts.copy()
    counts[moment:] = 5000
    upto = slice(parts.test.start, moment + 2)          # the slots of the block whose own counts are poisoned, too
    clean, dirty = (RULES[name](Features(p, parts.train), task, parts.train, upto, **FAST.get(name, {})) for p in (panel, with_counts(counts, 2)))
    np.testing.assert_array_equal(clean, dirty)
    after = slice(moment + 2, moment + 4)
    later = [RULES[name](Features(p, parts.train), "counts", parts.train, after, **FAST.get(name, {})) for p in (panel, with_counts(counts, 2))]
    assert not np.array_equal(*later)

@pytest.mark.parametrize("task", TASKS)
def test_choosing_looks_at_validation_and_at_nothing_later(task):
    panel = made_up(seed=4)
    parts = split(panel, .2, .2)
    counts = panel.counts.copy()
    counts[parts.test] = 5000
    grid = {"window": [2, 5, None], "prior": [.1, 3.]}
    table, poisoned = (choose(historical_mean, Features(p, parts.train), task, parts, grid) for p in (panel, with_counts(counts)))
    pd.testing.assert_frame_equal(table, poisoned)
    assert list(table) == ["window", "prior", "score"] and len(table) == 6 and (table["score"].diff().dropna() >= 0).all()
    features = Features(panel, parts.train)
    answer, best = forecast("recent mean", features, task, parts, grid)
    found = score(historical_mean(features, task, parts.train, parts.valid, **best), features, task, parts.valid)
    assert found == table["score"].min()
    np.testing.assert_array_equal(answer, historical_mean(features, task, parts.train, parts.test, **best))

@pytest.mark.parametrize("call", [
    lambda f, p: historical_mean(f, "counts", p.train, slice(p.train.stop - 1, None)), lambda f, p: last_week(f, "counts", p.train, slice(90, 99)),
    lambda f, p: historical_mean(f, "counts", slice(0, 3), p.test), lambda f, p: historical_mean(f, "hours", p.train, p.test),
    lambda f, p: historical_mean(f, "counts", p.train, p.test, window=0), lambda f, p: historical_mean(f, "counts", p.train, p.test, prior=-1),
    lambda f, p: support_vectors(f, "counts", p.train, p.test, cap=3), lambda f, p: poisson_regression(f, "counts", p.train, p.test, alpha=-1),
    lambda f, p: forecast("oracle", f, "counts", p), lambda f, p: occurrences(f.panel, p.train, p.train), lambda f, p: occurrences(f.panel, p.train, p.test, cut="half"),
    lambda f, p: level_probabilities([[1., 2.]], [1.5, 1], [1, 2, 3, 4]), lambda f, p: level_probabilities([[1., 2.]], [2, 1], [1, 2, 3, 4], spread=-1),
])
def test_what_can_not_be_is_refused(call):
    with pytest.raises(InputError): call(*prepared(made_up()))


# --- by hand ---

@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("window, prior", [(None, 0), (3, 0), (5, 2.), (None, .5)])
def test_means_agree_with_a_loop(window, prior, slots):
    panel = made_up(slots=slots)
    features, parts = prepared(panel)
    level, _ = risk_levels(panel, parts.train)
    fitted = slice(features.first, parts.train.stop)
    for task, values in (("counts", panel.counts.astype(float)), ("levels", np.eye(5)[level])):
        found = historical_mean(features, task, parts.train, parts.test, window, prior)
        rows = features.rows(parts.test)
        average = values[fitted].reshape(-1, values.shape[2]).mean(0)
        for i, (t, a) in enumerate(zip(features.t[rows], features.a[rows])):
            past = values[t % slots:t:slots, a]
            past = past if window is None else past[-window:]
            want = (past.sum(0) + prior*average)/(len(past) + prior)
            np.testing.assert_allclose(found[i], np.maximum(want, SMALLEST) if task == "counts" else want)

def test_last_week_is_last_week():
    panel = made_up(slots=2)
    features, parts = prepared(panel)
    counts = last_week(features, "counts", parts.train, parts.test)
    np.testing.assert_array_equal(features.by_area(counts), np.maximum(panel.counts[parts.test.start - 2:parts.test.stop - 2], .05))
    levels = last_week(features, "levels", parts.train, parts.test)
    level, _ = risk_levels(panel, parts.train)
    assert (levels.argmax(1) == level[parts.test.start - 2:parts.test.stop - 2].ravel()).all()
    stays = (level[features.first:parts.train.stop] == level[features.first - 2:parts.train.stop - 2]).mean()
    np.testing.assert_allclose(levels.max(1), stays)

def test_other_severities_are_those_of_the_features():
    panel = made_up()
    parts = split(panel, .2, .2)
    features = Features(panel, parts.train, severity={"violent": 10., "property": 1., "other": 0.})
    level, _ = risk_levels(panel, parts.train, {"violent": 10., "property": 1., "other": 0.})
    assert (last_week(features, "levels", parts.train, parts.test).argmax(1) == level[parts.test.start - 1:parts.test.stop - 1].ravel()).all()

def test_a_poisson_regression_finds_the_effects_it_was_drawn_from():
    rng = np.random.default_rng(0)
    mean = rng.gamma(4, 5, (1, 10, 1))*np.exp(.5*np.sin(2*np.pi*np.arange(156)/52.18))[:, None, None]
    panel = with_counts(rng.poisson(mean), categories=("other",))
    features, parts = prepared(panel)
    mu = poisson_regression(features, "counts", parts.train, parts.test, alpha=1e-4)
    truth = mean[parts.test].reshape(-1, 1)
    assert abs(np.log(mu/truth)).mean() < .1
    flat = poisson_regression(features, "counts", parts.train, parts.test, alpha=1e-4, calendar=False)
    assert abs(np.log(flat/truth)).mean() > abs(np.log(mu/truth)).mean()

def test_support_vectors_use_no_more_rows_than_the_cap(monkeypatch):
    from sklearn.svm import SVR
    seen, fit = [], SVR.fit
    monkeypatch.setattr(SVR, "fit", lambda self, x, y, **more: (seen.append(len(x)), fit(self, x, y, **more))[1])
    features, parts = prepared(made_up(T=60))
    support_vectors(features, "counts", parts.train, parts.test, cap=60)
    assert seen == [60]*3


# --- from counts to levels ---

@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(.01, 8), min_size=3, max_size=3), st.lists(st.floats(0, 60), min_size=4, max_size=4))
def test_level_probabilities_agree_with_adding_up_all_counts(means, cuts):
    cuts = np.sort(cuts)
    one, two, three = np.meshgrid(*[np.arange(40)]*3, indexing="ij")
    chance = np.prod([poisson.pmf(n, m) for n, m in zip((one, two, three), means)], axis=0)
    want = np.bincount(np.searchsorted(cuts, 4*one + 2*two + three, side="left").ravel(), chance.ravel(), 5)
    np.testing.assert_allclose(level_probabilities([means], [4, 2, 1], cuts)[0], want, atol=1e-6)

def test_a_small_spread_is_poisson_and_a_large_one_is_less_sure():
    mean, cuts = np.array([[30., 20., 10.], [300., 200., 100.]]), [120, 150, 170, 200]
    plain, near, wide = (level_probabilities(mean, [4, 2, 1], cuts, spread) for spread in (0, 1e-6, 3.))
    np.testing.assert_allclose(near, plain, atol=1e-4)
    assert wide[0].max() < plain[0].max() and wide[0, 0] > plain[0, 0] and plain[1].argmax() == 4

def test_the_spread_is_that_of_negative_binomials():
    n = np.arange(400)
    want = nbinom.pmf(n, 50/.7, 1/1.7)          # mean 50, variance 85
    cuts = [40, 48, 52, 60]
    np.testing.assert_allclose(level_probabilities([[50.]], [1], cuts, .7)[0], np.bincount(np.searchsorted(cuts, n, side="left"), want, 5), atol=1e-9)

def test_categories_of_one_weight_are_one_count():
    together, apart = level_probabilities([[7., 2.]], [4, 1], [5, 10, 20, 40], .2), level_probabilities([[3., 4., 2.]], [4, 4, 1], [5, 10, 20, 40], .2)
    np.testing.assert_allclose(together, apart, atol=1e-12)

def test_many_rows_at_a_time_are_the_same_as_one():
    mean = np.random.default_rng(0).gamma(2, 50, (500, 3))
    many = level_probabilities(mean, [4, 2, 1], [200, 400, 600, 900], .1)
    np.testing.assert_allclose(many[[3, 400]], level_probabilities(mean[[3, 400]], [4, 2, 1], [200, 400, 600, 900], .1), atol=1e-9)


# --- the simulated city, where the truth is known ---

def spread_about(panel, expected, periods):
    y, mu = panel.counts[periods], expected[periods]
    return ((y - mu)**2 - mu).sum()/mu.sum()

@pytest.mark.parametrize("seed", [5, 6])
def test_nothing_beats_the_truth(seed):
    panel, expected = small_city(seed)
    parts = split(panel, .15, .25)
    features = Features(panel, parts.train)
    rows = features.rows(parts.test)
    best = score(expected[parts.test].reshape(-1, 3), features, "counts", parts.test)
    assert best == pytest.approx(1.4, abs=.15)              # 1 for Poisson counts; here a quarter of the events come of others
    weights = [SEVERITY[c] for c in panel.categories]
    levels = level_probabilities(expected[parts.test].reshape(-1, 3), weights, features.thresholds, spread_about(panel, expected, parts.train))
    best_level = score(levels, features, "levels", parts.test)
    found = {}
    for name, rule in RULES.items():
        found[name] = score(rule(features, "counts", parts.train, parts.test), features, "counts", parts.test)
        # by the luck of a few weeks a rule may come as near as a hundredth, as the regression does
        assert found[name] > best - .01, name
        if name in ("historical mean", "recent mean", "last week", "Poisson GLM"):
            assert score(rule(features, "levels", parts.train, parts.test), features, "levels", parts.test) > best_level - .02, name
    assert max(found, key=found.get) == "last week" and found["Poisson GLM"] < found["last week"] - .5

def test_the_truths_own_levels_are_calibrated():
    panel, expected = small_city(5)
    level, thresholds = risk_levels(panel, slice(0, len(panel)))
    kappa = spread_about(panel, expected, slice(None))
    assert kappa == pytest.approx(.5, abs=.15)          # 1/(1 - .25)² - 1 = .78 if all offspring were recorded, and fell in the area, week and group of their parents
    p = level_probabilities(expected.reshape(-1, 3), [SEVERITY[c] for c in panel.categories], thresholds, kappa)
    np.testing.assert_allclose(p.mean(0), np.bincount(level.ravel(), minlength=5)/level.size, atol=.03)
    assert level_scores(p, level.ravel()).set_index("metric").loc["calibration error", "value"] < .06


# --- occurrences ---

def test_occurrences_by_hand():
    counts = np.zeros((12, 2, 2), int)
    counts[:10, 0, 0], counts[:5, 1, 0], counts[:2, 0, 1], counts[:1, 1, 1] = 3, 1, 1, 1         # rates 1, .5, .2, .1
    panel = with_counts(counts)
    yes = occurrences(panel, slice(0, 10), slice(10, 12))
    # mean rate .45: the quantile at .55 lies between .2 and .5
    assert yes.shape == (2, 2, 2) and yes[0].tolist() == [[True, False], [True, False]]
    by_type = occurrences(panel, slice(0, 10), slice(10, 12), by="type")
    assert by_type[1].tolist() == [[True, True], [False, False]]        # the mean rates are .75 and .15, the cuts the quantiles at .25 and .85
    best = occurrences(panel, slice(0, 10), slice(10, 12), cut="best F1")
    rates = np.array([[1, .2], [.5, .1]])
    f1 = {cut: 2*rates[rates >= cut].sum()/((rates >= cut).sum() + rates.sum()) for cut in rates.ravel()}
    assert (best[0] == (rates >= max(f1, key=f1.get))).all()

def test_f1_agrees_with_scikit_learn():
    said, happened = np.random.default_rng(0).random((2, 9, 7, 4)) < .3
    said[..., 3] = happened[..., 3] = False
    flat = [x.reshape(-1, 4) for x in (happened, said)]
    want = {"macro-F1": f1_score(*flat, average="macro", zero_division=0), "micro-F1": f1_score(*flat, average="micro")}
    assert f1_scores(said, happened) == pytest.approx(want)

@pytest.mark.parametrize("name, one_cut, a_cut_each, best", [
    ("hagen_chicago", (.653, .713), (.673, .710), (.698, .728)), ("hagen_la", (.530, .625), (.555, .615), (.570, .620))])
def test_hagens_month_8(fetched, name, one_cut, a_cut_each, best):
    "The reading notes have .654 / .708 and .521 / .623, means of five months of which only this one is at hand."
    panel, parts = read_hagen(fetched(name))
    train = slice(0, parts.train.stop)
    for settings_, want in (({}, one_cut), ({"by": "type"}, a_cut_each), ({"by": "type", "cut": "best F1"}, best)):
        found = f1_scores(occurrences(panel, train, parts.test, **settings_), panel.counts[parts.test])
        assert (found["macro-F1"], found["micro-F1"]) == pytest.approx(want, abs=.0015)


# --- Chicago, week by week ---

def test_chicago_2018_the_recent_mean_is_hard_to_beat(fetched):
    events = load("chicago_2018").events
    panel = from_events(events, group=category_groups(events["category"].cat.categories), attributes=["premises"],
                        places=read_polygons(fetched("chicago_2018")["chicago-community-areas.geojson"]))
    parts = split(panel)
    features = Features(panel, parts.train)
    rows = features.rows(parts.test)
    known = {"historical mean": (1.991, 8.198, .718), "recent mean": (1.672, 7.045, .773), "last week": (2.872, 8.621, .753), "Poisson GLM": (1.684, 7.088, .756)}
    for name, (deviance, rmse, accuracy) in known.items():
        counts = count_scores(forecast(name, features, "counts", parts)[0], features.y_counts[rows], floor=.01).mean()
        levels = level_scores(forecast(name, features, "levels", parts)[0], features.y_level[rows]).set_index("metric")["value"]
        assert (counts["Poisson deviance"], counts["squared error"]**.5, levels["accuracy"]) == pytest.approx((deviance, rmse, accuracy), abs=.01), name
