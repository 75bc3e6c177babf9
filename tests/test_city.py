"""The simulated city: the same table for a seed, truths that agree with loops, and events that obey them."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb import city
from crimenb.city import NYC16, PRESETS, City, describe, draw, plan, simulate, spots_and_classes
from crimenb.metrics import poisson_deviance
from crimenb.core import InputError
from crimenb.events import COLUMNS, project, validate
from crimenb.sequences import candidates, from_events, read_sequences


@pytest.fixture(scope="module")
def small(): return simulate()


@pytest.fixture(scope="module")
def honest(): return simulate(seed=2, reporting=1., bias=0.)


def tiny(**settings):
    return plan(**{**dict(n_events=200, days=4, seed=3, n_areas=3, n_premises=2, n_categories=3, side=8, delay=5.), **settings})


def close(count, expected, sigmas=4.5, inflation=1.):
    "A count within so many standard deviations of a Poisson mean, its variance inflated by clustering."
    return np.abs(count - expected) <= sigmas * np.sqrt(inflation * np.maximum(expected, 1))


# the table

def test_events_are_a_valid_table_in_time_order(small):
    events, truth = small
    validate(events)
    assert list(COLUMNS) == list(events.columns[:2]) + list(events.columns[2:len(COLUMNS)])
    assert events.time.is_monotonic_increasing and not events.isna().any().any()
    assert events.time.min() >= truth.start and events.time.max() < truth.start + pd.Timedelta(days=truth.days)
    assert events.record_id.is_unique and truth.full.record_id.is_unique
    assert events.victim_age.between(1, 99).all() and set(events.victim_sex) == {"F", "M"}
    kept = truth.full[truth.full.recorded].drop(columns=["recorded", "generation", "parent"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(events, kept)


def test_places_agree_with_areas_and_with_the_projection(small):
    events, truth = small
    column, row = (events[axis].to_numpy() // truth.cell_m for axis in ("x", "y"))
    cell = (row * truth.side + column).astype(int)
    assert (truth.areas[truth.area_of[cell]] == events.area.astype(str)).all()
    again = project(events, crs=truth.corner)
    assert np.allclose(again[["x", "y"]], events[["x", "y"]], atol=1e-6)


def test_a_seed_is_a_city():
    one, two, other = (simulate(3000, 30, seed=s)[0] for s in (5, 5, 6))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)
    truth = plan(3000, 30, seed=5)
    pd.testing.assert_frame_equal(draw(truth, 5)[0], one)
    year_two, same = truth.draw(7)
    assert not year_two.equals(one) and (same.base == truth.base).all() and truth.full is None


@settings(max_examples=20, deadline=None)
@given(n_events=st.integers(1, 300), days=st.integers(1, 20), seed=st.integers(0, 10**6), n_areas=st.integers(1, 4), n_premises=st.integers(1, 4),
       n_categories=st.integers(1, 5), side=st.integers(4, 9), branching=st.sampled_from([0., .3, .9]), delay=st.sampled_from([1., 2.5, 200.]),
       keep=st.sampled_from([0., .5, 1.]), spread=st.sampled_from([1., 90., 400.]), factors=st.sampled_from([(), city.FACTORS]))
def test_any_city_adds_up(**arguments):
    truth = plan(**arguments)
    assert np.isclose(truth.expected_by_area(24 * truth.days).sum(), arguments["n_events"])
    assert np.allclose(truth.kernel.sum(1), 1) and np.allclose(truth.profile.sum(1), 1) and np.allclose(truth.taste.sum((1, 2)), 1)
    by_hour = truth.expected_counts(truth.side, 1)
    assert np.isclose(by_hour.sum(), arguments["n_events"], rtol=1e-6)
    assert np.allclose(truth.expected_panel(24).sum(), arguments["n_events"])
    events, after = truth.draw(1)
    validate(events)
    full = after.full
    # hour by hour the past of a period is all that happened before the hour: the maps say the same
    assert np.allclose(truth.expected_panel(1, history=full).sum((1, 2)), truth.expected_counts(1, 1, history=full).sum((1, 2)))
    child = full[full.generation > 0]
    parent = full.iloc[child.parent]
    assert (full.parent[full.generation == 0] == -1).all() and (parent.generation.to_numpy() + 1 == child.generation).all()
    for same in ("area", "premises"): assert (parent[same].astype(str).to_numpy() == child[same].astype(str).to_numpy()).all()
    assert (child.time.dt.floor("h").to_numpy() > parent.time.dt.floor("h").to_numpy()).all()
    if arguments["keep"] == 1: assert (parent.category.astype(str).to_numpy() == child.category.astype(str).to_numpy()).all()


def test_a_panel_given_the_past_is_right_on_average_and_below_the_unconditional():
    truth = plan(9000, 60, seed=3, n_areas=4, n_premises=3, n_categories=3, branching=.6, delay=60., keep=.6, side=12)
    climate, given, seen = truth.expected_panel(48, recorded=False), [], []
    for seed in range(40):
        full = truth.draw(seed)[1].full
        given.append(truth.expected_panel(48, recorded=False, history=full))
        period = ((full.time - truth.start) // pd.Timedelta("48h")).to_numpy()
        counts = np.zeros_like(climate)
        np.add.at(counts, (period, full.area.cat.codes, full.category.cat.codes), 1)
        seen.append(counts)
    given, seen = np.stack(given), np.stack(seen)
    # over the draws it is the unconditional mean (summed over periods), and its errors have mean 0 whatever it says
    assert np.allclose(given.mean(0).sum(0), climate.sum(0), rtol=.03)
    high = given > climate
    for part in (high, ~high): assert abs((seen - given)[part].sum()) < 4*given[part].sum()**.5
    assert (seen - climate)[high].sum() > 10*climate.sum()**.5                  # what the climate can't know
    assert poisson_deviance(given, seen).mean() < .95*poisson_deviance(np.broadcast_to(climate, seen.shape), seen).mean()
    assert (truth.expected_panel(48, history=truth.draw(1)[1].full) <= given[1] + 1e-9).all()      # fewer are recorded


@pytest.mark.parametrize("wrong, name", [
    (dict(n_events=0), "n_events"), (dict(n_events=2.5), "n_events"), (dict(days="week"), "days"), (dict(seed=-1), "seed"), (dict(branching=1.), "branching"),
    (dict(delay=.5), "delay"), (dict(keep=1.1), "keep"), (dict(reporting=0), "reporting"), (dict(bias=-1), "bias"), (dict(cell_m=0), "cell_m"),
    (dict(spread=np.nan), "spread"), (dict(spot_taste=0), "spot_taste"), (dict(season=1), "season"), (dict(n_areas=70, side=8), "70 areas"),
    (dict(start="not a day"), "start"), (dict(factors=[("bar", 3, "smell", 100., 1.)]), "smell"), (dict(factors=[("bar", 3)]), "factor"),
    (dict(bars=7), "bars")])
def test_settings_that_make_no_city(wrong, name):
    with pytest.raises(InputError, match=name): simulate(**wrong)


# the truth against loops

def test_intensity_is_the_formula():
    truth = tiny()
    _, truth = truth.draw(0)
    history = truth.full
    when = truth.start + pd.Timedelta("3D07:30:00")
    cell = lambda table: ((table.y // 100) * 8 + table.x // 100).astype(int)
    kernel = truth.kernel.toarray()
    for c in (0, 19, 63):
        a = truth.area_of[c]
        background = sum(truth.background * truth.base[c] * truth.mix[a, p] * truth.taste[a * 2 + p, 7 // 3, k] * truth.hour[k, 7] * truth.day[k, 3]
                         for p in range(2) for k in range(3))
        x, y = (c % 8 + .3) * 100, (c // 8 + .9) * 100
        assert np.isclose(truth.background_intensity(x, y, when, recorded=False), 100 * background)
        rate = background
        for event, source in zip(history.itertuples(), cell(history)):
            hours = (when.floor("h") - event.time.floor("h")) / pd.Timedelta("1h")
            if hours > 0: rate += truth.branching / truth.delay * (1 - 1 / truth.delay)**(hours - 1) * kernel[source, c]
        assert np.isclose(truth.conditional_intensity(history, x, y, when, recorded=False), 100 * rate)
        assert np.isclose(truth.conditional_intensity(history, x, y, when), 100 * rate * truth.area_reporting[a])
        assert np.isclose(truth.expected_counts(8, 8, history=history, recorded=False)[3 * 24 + 7].ravel()[c], rate)


def test_kernel_is_a_cut_normal_that_stays_in_the_area():
    truth = tiny(n_areas=1, side=41, spread=150.)
    row = truth.kernel[[20 * 41 + 20]].toarray().reshape(41, 41)
    offset = (np.arange(41) - 20) * 100
    assert np.isclose(row.sum(), 1) and np.isclose(row.sum(0) @ offset**2, 150**2 + 100**2 / 12, rtol=.01) and np.allclose(row, row.T)
    many = tiny(n_areas=5)
    assert (many.area_of[many.kernel.tocoo().row] == many.area_of[many.kernel.tocoo().col])[many.kernel.tocoo().data > 0].all()


def test_unconditional_counts_solve_the_renewal_equation():
    truth = tiny(branching=.6)
    m, kernel = truth.expected_counts(8, 8, recorded=False).reshape(96, 64), truth.kernel.toarray()
    mu = truth.background * truth.base * truth.profile[truth.area_of].T
    pulled = np.zeros_like(m)
    for t in range(96):
        for s in range(t): pulled[t] += .2 * .8**(t - s - 1) * (m[s] @ kernel)
    assert np.allclose(m, mu + .6 * pulled, rtol=1e-6, atol=1e-9)
    assert np.allclose(truth.expected_counts(8, 8, first_day=1, last_day=3), truth.expected_counts(8, 8)[24:72])
    assert np.allclose(truth.expected_counts(2, 4).sum((1, 2)), truth.expected_by_area(1).sum(1), rtol=1e-6)


def direct_chances(truth, times, labels, spot, when):
    "Chances of (slot, category) after the last of a spot's events, hour by hour in plain loops; times in hours."
    nu, d, q, k_all = truth.branching, truth.decay, truth.keep, len(truth.categories)
    favourite, start = truth.taste[spot].sum(0), times[-1]
    rate = truth.area_reporting[spot // len(truth.premises)]
    result, alive = np.zeros((8, k_all)), 1.
    for h in range(int(start), truth.hours):
        lam = np.array([truth.spot_background[spot] * truth.taste[spot, h % 24 // 3, k] * truth.hour[k, h % 24] * truth.day[k, h // 24] for k in range(k_all)])
        for t, k in zip(times, labels):
            if int(t) < h: lam += nu * (1 - d) * d**(h - int(t) - 1) * (q * np.eye(k_all)[k] + (1 - q) * favourite)
        part = 1. if h > int(start) else int(start) + 1 - start
        total = rate * lam.sum() * part
        weight = np.exp(-nu * rate * (1 - d**(truth.hours - 1 - h))) * rate * lam * part if when == "last" else alive * (1 - np.exp(-total)) * lam / lam.sum()
        alive *= np.exp(-total)
        result[h % 24 // 3] += weight
    return result / result.sum()


@pytest.mark.parametrize("when", ["last", "next"])
@pytest.mark.parametrize("ahead", [1, 3])
def test_next_event_probabilities_are_the_direct_sums(when, ahead):
    truth = tiny(n_events=150, branching=.5)
    events, truth = truth.draw(0)
    spots = events.groupby(["area", "premises"], observed=True).size().loc[lambda n: n > ahead + 1].index.to_frame(index=False)
    classes = pd.DataFrame([(c, s) for s in range(8) for c in truth.categories], columns=["category", "slot"])
    shuffled = events.sample(frac=1, random_state=0)
    chances = truth.next_event_probabilities(shuffled, spots, classes, ahead=ahead, when=when, batch=2)
    assert np.allclose(chances.sum(1), 1) and len(spots) >= 4
    for i, label in enumerate(spots.itertuples()):
        mine = events[(events.area == label.area) & (events.premises == label.premises)].iloc[:-ahead]
        times = ((mine.time - truth.start) / pd.Timedelta("1h")).to_numpy()
        spot = truth.areas.get_loc(label.area) * 2 + truth.premises.get_loc(label.premises)
        direct = direct_chances(truth, times, mine.category.cat.codes.to_numpy(), spot, when)
        assert np.allclose(chances[i], direct.ravel(), rtol=1e-9)
    some = truth.next_event_probabilities(events, spots.iloc[[1]], classes.iloc[[5, 2]], ahead=ahead, when=when)
    assert np.allclose(some, chances[[1]][:, [5, 2]])


def test_questions_outside_the_city_are_refused(small):
    events, truth = small
    spots, classes = pd.DataFrame({"area": ["P001"], "premises": ["STREET"]}), pd.DataFrame({"category": ["ROBBERY"], "slot": [0]})
    for ask, words in [
            (lambda: truth.background_intensity(-1, 5, truth.start), "off the map"), (lambda: truth.background_intensity(5, np.nan, truth.start), "off the map"),
            (lambda: truth.intensity_map("2019-01-01"), "outside"), (lambda: truth.intensity_map("tomorrow?"), "cannot be read"),
            (lambda: truth.intensity_map(pd.NaT), "outside"), (lambda: truth.expected_counts(rows=10), "divisor of 64"),
            (lambda: truth.expected_counts(first_day=9, last_day=9), "days 9 to 9"), (lambda: truth.expected_by_area(0), "hours"),
            (lambda: truth.expected_panel(10**6), "hours"), (lambda: truth.draw(-1), "seed"),
            (lambda: truth.next_event_probabilities(events, spots, classes, when="soon"), "soon"),
            (lambda: truth.next_event_probabilities(events, spots.assign(area="X"), classes), "'X'"),
            (lambda: truth.next_event_probabilities(events, spots, classes.assign(category="X")), "'X'"),
            (lambda: truth.next_event_probabilities(events, spots, classes, ahead=10**6), "no history"),
            (lambda: spots_and_classes(events, 10**6), "no spot")]:
        with pytest.raises(InputError, match=words): ask()


# the events against the truth

def test_totals_areas_and_weeks(small):
    events, truth = small
    inflation = 1 / (1 - truth.branching)**2
    assert close(len(events), 25_000, inflation=inflation) and np.isclose(truth.expected_by_area(24 * 365).sum(), 25_000)
    expected = truth.expected_by_area().sum(0)
    seen = events[events.time < truth.start + pd.Timedelta(weeks=52)].area.value_counts().reindex(truth.areas)
    assert close(seen, expected, inflation=inflation).all()
    week = ((events.time - truth.start) // pd.Timedelta("7D")).value_counts().sort_index()[:52]
    assert close(week, truth.expected_by_area().sum(1), inflation=inflation).all()


def test_rhythms_and_categories(small):
    events, truth = small
    expected = truth.expected_counts(1, 1)[:, 0, 0].reshape(-1, 24)
    inflation = 1 / (1 - truth.branching)**2
    assert close(np.bincount(events.time.dt.hour, minlength=24), expected.sum(0), inflation=inflation).all()
    weekday = pd.date_range(truth.start, periods=365).day_of_week
    assert close(np.bincount(events.time.dt.day_of_week), np.bincount(weekday, expected.sum(1)), inflation=inflation).all()
    category = truth.expected_panel(24 * 365)[0].sum(0)
    assert np.isclose(category.sum(), 25_000)
    assert close(events.category.value_counts().reindex(truth.categories), category, inflation=2 * inflation).all()


def test_maps_given_the_past_have_poisson_errors(honest):
    events, truth = honest
    expected = truth.expected_counts(8, 8, history=events)
    seen = np.zeros_like(expected)
    np.add.at(seen, (((events.time - truth.start) // pd.Timedelta("1h")).to_numpy(), (events.y // 800).astype(int).to_numpy(), (events.x // 800).astype(int).to_numpy()), 1)
    assert close(seen.sum(), expected.sum()) and close(seen.sum(0), expected.sum(0)).all()
    chi2 = (seen - expected)**2 / expected
    assert abs(chi2.mean() - 1) < 5 * chi2.std() / chi2.size**.5
    late = truth.expected_counts(8, 8)
    assert ((seen - expected)**2).sum() < ((seen - late)**2).sum()


def test_family_tree_has_the_planted_numbers(honest):
    _, truth = honest
    full = truth.full
    child = full[full.generation > 0]
    parent = full.iloc[child.parent]
    early = full.time < truth.start + pd.Timedelta("350D")
    children = np.bincount(child.parent, minlength=len(full))[early.to_numpy()]
    assert close(children.sum(), truth.branching * early.sum()) and abs(children.var() / children.mean() - 1) < .05
    hours = (child.time.dt.floor("h").to_numpy() - parent.time.dt.floor("h").to_numpy()) / np.timedelta64(1, "h")
    assert hours.min() == 1 and abs(hours.mean() - truth.delay) < 4.5 * truth.delay / len(child)**.5 + .2
    same = (child.category.astype(str).to_numpy() == parent.category.astype(str).to_numpy()).mean()
    assert truth.keep < same < truth.keep + .12
    apart = np.hypot(child.x.to_numpy() - parent.x.to_numpy(), child.y.to_numpy() - parent.y.to_numpy())
    assert apart.max() <= 100 * 7 * 2**.5 and 100 < np.median(apart) < 250


def test_branching_ratio_zero_is_a_poisson_process():
    events, truth = simulate(5000, 50, seed=1, branching=0.)
    assert (truth.full.generation == 0).all() and close(len(events), 5000)
    assert np.allclose(truth.expected_counts(4, 4), truth.expected_counts(4, 4, history=truth.full))


def test_planted_factors_raise_the_background(honest):
    _, truth = honest
    background = truth.full[truth.full.generation == 0]
    seen = np.bincount(((background.y // 100) * 64 + background.x // 100).astype(int), minlength=64**2)
    assert close(seen, truth.background * truth.base, sigmas=5.5).all()
    for f, factor in enumerate(truth.factors.itertuples()):
        points = truth.generators[truth.generators.kind == factor.kind]
        middle = (np.column_stack([np.arange(64**2) % 64, np.arange(64**2) // 64]) + .5) * 100
        d = np.hypot(*(middle[:, None] - points[["x", "y"]].to_numpy()).transpose(2, 0, 1))
        if factor.effect == "distance": feature = d.min(1) <= factor.metres
        else:
            density = np.exp(-.5 * (d / factor.metres)**2).sum(1)
            feature = density > density.mean() + 2 * density.std()
        assert (feature == truth.features[f]).all() and 0 < feature.mean() < .9
    assert list(truth.factors.coefficient) == [.9, .7, .6, 0.]


def test_reporting_bias_is_the_planted_one(small):
    _, truth = small
    full = truth.full
    shape = truth.reporting.shape
    code = full.area.cat.codes.to_numpy(np.int64) * 4 + full.victim_descent.cat.codes.to_numpy()
    n, kept = np.bincount(code, minlength=shape[0] * 4), np.bincount(code, full.recorded, shape[0] * 4)
    p = truth.reporting.ravel()
    assert (np.abs(kept - n * p) <= 4.5 * np.sqrt(np.maximum(n * p * (1 - p), 1))).all()
    assert np.allclose(sorted(set(np.round(p, 6))), sorted({round(.9 * a * g, 6) for a in (1, .7) for g in (1, .85, .7)}))
    assert (truth.reporting[:, 0] < .7).sum() == 12
    even = plan(bias=0.)
    assert (even.reporting == .9).all() and np.isclose(even.expected_by_area(24 * 365).sum(), 25_000)
    half = replace(truth, reporting=truth.reporting / 2)
    assert np.isclose(half.expected_by_area(24 * 365).sum(), 12_500)


def hits_and_claims(chances, target):
    rows = np.arange(len(target))
    return (chances.argmax(1) == target).sum(), chances.max(1).sum(), np.log(chances[rows, target]).sum(), (chances * np.log(chances)).sum()


def test_truth_is_calibrated_and_beats_every_rule():
    hits = claims = score = entropy = 0.
    rules = {"truth": 0., "counts": 0.}
    for seed in range(4):
        events, truth = simulate(seed=seed, reporting=1., bias=0., branching=.4)
        whole = from_events(events)
        chances = np.maximum(truth.next_event_probabilities(events, whole.spots, whole.classes), 1e-300)
        one, two, three, four = hits_and_claims(chances, whole.observed(whole.lengths - 1))
        hits, claims, score, entropy = hits + one, claims + two, score + three, entropy + four
        counts = whole.drop_last(1).counts
        for name, scores in (("truth", chances), ("counts", counts)):
            above, tied = city.rank_counts(scores, whole.observed(whole.lengths - 1))
            rules[name] += city.ranking_scores(above, tied)["NDCG@5"].sum()
    assert abs(hits - claims) < 4 * claims**.5
    assert abs(score / entropy - 1) < .03
    assert rules["truth"] > 1.15 * rules["counts"]


@pytest.mark.parametrize("protocol", ["popularity-100", "uniform-99"])
def test_drawn_negatives_have_a_ceiling_of_their_own(honest, protocol):
    events, truth = honest
    whole = from_events(events)
    chances, counts = truth.next_event_probabilities(events, whole.spots, whole.classes), whole.drop_last(1).counts
    weights = np.maximum(np.bincount(whole.drop_last(2).events, minlength=whole.n_classes), 1e-9) if protocol == "popularity-100" else None
    best = city.among_unseen(chances, counts, weights, n=int(protocol.split("-")[1]))
    competing = candidates(whole, whole.observed(whole.lengths - 1), protocol)
    score = {name: city.ranking_scores(*city.rank_counts(s, whole.observed(whole.lengths - 1), competing))["NDCG@5"].mean() for name, s in [
        ("best", best), ("chances", chances), ("counts", counts), ("seen first", np.where(counts > 0, 2, 0) + chances)]}
    assert score["best"] >= score["seen first"] - .005 > max(score["chances"], score["counts"])


def test_posterior_among_candidates_is_that_of_the_draws():
    rng = np.random.default_rng(0)
    chances, weights, n = np.array([.1, .05, .02, .2, .03, .3, .1, .2]), np.array([9., 1, 3, 5, .5, 2, 1, 4]), 3
    counts = np.zeros(8)
    counts[5] = 4
    target = rng.choice(8, p=chances, size=400_000)
    arrival = rng.standard_exponential((len(target), 8)) / weights
    arrival[:, 5], arrival[np.arange(len(target)), target] = np.inf, np.inf
    picked = np.sort(np.column_stack([np.argsort(arrival, 1)[:, :n], target]), 1)
    score = city.among_unseen(chances[None], counts[None], weights, n)[0]
    assert score.argmax() == 5
    for these in ([0, 1, 2, 3], [1, 3, 6, 7], [0, 3, 4, 7]):
        match = (picked == these).all(1)
        share = np.bincount(target[match], minlength=8)[these] / match.sum()
        assert np.abs(score[these] / score[these].sum() - share).max() < .1
    for wrong in (dict(counts=counts[None, :3]), dict(weights=np.zeros(8)), dict(n=7)):
        with pytest.raises(InputError): city.among_unseen(**{**dict(chances=chances[None], counts=counts[None], weights=weights, n=n), **wrong})


def test_the_next_event_is_calibrated_too():
    events, truth = simulate(seed=4, reporting=1., bias=0., branching=.6, delay=40.)
    position = events.groupby(["area", "premises"], observed=True).cumcount()
    big = events.groupby(["area", "premises"], observed=True).time.transform("size") >= 60
    first = events[big & (position < 6)]
    whole = from_events(first)
    chances = np.maximum(truth.next_event_probabilities(first, whole.spots, whole.classes, when="next"), 1e-300)
    target = whole.observed(whole.lengths - 1)
    hits, claims, *_ = hits_and_claims(chances, target)
    assert abs(hits - claims) < 4 * claims**.5
    slots = whole.classes.slot.to_numpy()
    expected = np.array([chances[:, slots == s].sum() for s in range(8)])
    assert close(np.bincount(slots[target], minlength=8), expected).all()


# the shape

def test_spots_and_classes_are_those_of_the_sequences(small):
    events, _ = small
    spot, klass, spots, classes = spots_and_classes(events)
    seqs = from_events(events)
    assert (spot == seqs.spot_of).all() and (klass == seqs.events).all()
    assert (spots.to_numpy() == seqs.spots[spots.columns].to_numpy()).all() and (classes.to_numpy() == seqs.classes[classes.columns].to_numpy()).all()


@pytest.mark.parametrize("seed", range(4))
def test_small_city_serves_the_protocol_with_100_negatives(seed):
    seqs = from_events(simulate(seed=seed)[0])
    assert 300 < seqs.n_spots < 700 and ((seqs.counts > 0).sum(1) <= seqs.n_classes - 101).all()
    assert candidates(seqs, seqs.observed(seqs.lengths - 1), "popularity-100").shape == (seqs.n_spots, 101)


def test_describe_by_hand():
    spot, klass = [0, 0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 2, 2, 1]
    d = describe(spot, klass)
    assert d["events"] == 7 and d["spots"] == 2 and d["classes"] == 3 and d["events a spot: mean"] == 3.5 and d["events a spot: min"] == 3
    assert d["distinct classes a spot: max"] == 2 and np.isclose(d["share of the commonest class"], 3 / 7)
    assert np.isclose(d["event repeats the one before"], 2 / 5) and d["target occurred before in its spot"] == .5
    assert np.isnan(d["event repeats the tenth before"])


def test_nyc16_like_is_like_nyc16():
    events, truth = simulate(**PRESETS["nyc16_like"])
    mine = describe(*spots_and_classes(events)[:2])
    assert isinstance(truth, City) and close(len(events), NYC16["events"], inflation=2)
    for name, least, most in [("spots", .9, 1.1), ("classes", .9, 1.01), ("events a spot: mean", .9, 1.1), ("events a spot: sd", .85, 1.15),
                              ("events a spot: 90 %", .8, 1.2), ("events a spot: 99 %", .8, 1.2), ("share of the 50 commonest", .9, 1.1)]:
        assert least < mine[name] / NYC16[name] < most, name
    for name in ("target occurred before in its spot", "popularity, NDCG@5", "spot counts, NDCG@5"): assert abs(mine[name] - NYC16[name]) < .06, name


def test_stored_numbers_of_nyc16_are_those_of_the_file(nyc16):
    seqs = read_sequences(nyc16)
    measured = describe(seqs.spot_of, seqs.events)
    assert list(measured.index) == list(NYC16)
    for name, value in NYC16.items(): assert abs(measured[name] - value) <= 6e-5 * max(1, value if value < 1 else 1), name


@pytest.mark.parametrize("asked", [dict(n_events=10**30), dict(n_events=10**10), dict(days=10**12), dict(days=10**6), dict(side=20_000), dict(n_premises=10**7), dict(n_categories=10**8),
                                   dict(delay=1e300), dict(spread=1e300), dict(cell_sd=1e5), dict(category_sd=1e5), dict(factors=(("bars", 10**9, "distance", 100., 1.),))])
def test_a_city_that_no_machine_holds_is_refused(asked):
    with pytest.raises(InputError, match=f"^{'factor' if 'factors' in asked else next(iter(asked))} .*"): city.simulate(**asked)
