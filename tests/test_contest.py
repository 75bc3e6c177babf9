"crimenb.baselines.contest: the rules by hand, the maps that were handed in, methods that see no future, grids and intervals."
from functools import cache

import numpy as np
import pandas as pd
import pytest
import shapely
from sklearn.base import clone

from crimenb.baselines import contest as nij
from crimenb.core import InputError
from crimenb.sources import fetch

SQUARE = shapely.box(0, 0, 10_560, 10_560)      # four square miles
MEMORIES = ((0., 90, "count"), (0., 365, "fade"), (500., 365, "fade"))
METHODS = {"counting": nij.Counting(200), "density": nij.Counting(365, 600., "fade"), "self-exciting": nij.SelfExciting(400, 20),
           "features": nij.KernelFeatures(3, MEMORIES), "mixture": nij.Mixture(3, MEMORIES)}


@cache
def town(n=3000, seed=0, corners=12):
    "Crimes of three years, half of them at some corners."
    rng = np.random.default_rng(seed)
    corner = rng.uniform(500, 10_000, (corners, 2))
    place = np.where(rng.random((n, 1)) < .5, corner[rng.integers(0, corners, n)] + rng.normal(0, 80, (n, 2)), rng.uniform(0, 10_560, (n, 2)))
    place = np.clip(place, 1, 10_559)
    return nij.crimes_of(pd.Timestamp("2014-01-01") + pd.to_timedelta(rng.integers(0, 1096, n), "D"), *place.T)

@cache
def portland(): return nij.read_portland(fetch("portland_nij"))


# --- the rules ---

def test_the_counts_of_the_hidden_test():
    city, crimes, _ = portland()
    assert city.area/nij.MILE2 == pytest.approx(147.70, abs=.01)
    found = {kind: [int(of.within(nij.BEGIN, h).sum()) for h in nij.HORIZONS] for kind, of in crimes.items()}
    assert found == {"burglary": [20, 41, 93, 175, 268], "theft of auto": [71, 135, 273, 543, 805]}

@pytest.mark.parametrize("name, n, N, pai", [("Burg_2MO", 0, 175, 0.), ("TOA_1MO", 3, 273, 6.36), ("TOA_2MO", 17, 543, 7.28)])
def test_maps_that_were_handed_in(name, n, N, pai):
    city, crimes, maps = portland()
    kind, horizon = nij.HANDED_IN[name]
    found = nij.score(maps[name], city, crimes[kind], horizon=horizon)
    assert (found["n"], found["N"]) == (n, N) and found["PAI"] == pytest.approx(pai, abs=.01)
    assert nij.HOT[0]/147.71 < found["share"] < nij.HOT[1]/147.7

@pytest.mark.parametrize("size", [249, 601])
def test_cells_of_other_sizes_are_refused(size):
    with pytest.raises(InputError, match="62,500 to 360,000"): nij.grid(SQUARE, size)

@pytest.mark.parametrize("call, says", [(lambda: nij.hot_spots(np.ones(484), nij.grid(SQUARE, 500), .2), "the contest wants 0.25"), (lambda: nij.hot_spots(np.full(484, np.nan), nij.grid(SQUARE, 500)), "missing"),
                                        (lambda: nij.judge(np.ones(484), nij.grid(SQUARE, 500), town(), "2030-01-01", "1 week"), "no crime"), (lambda: town().within("2016-01-01", "4 months"), "horizon"),
                                        (lambda: nij.read_portland({}), "Portland_Police_Districts"), (lambda: nij.grid(SQUARE, 500, 1.5), "across")])
def test_refused(call, says):
    with pytest.raises(InputError, match=says): call()

@pytest.mark.parametrize("across, up, angle", [(0, 0, 0), (.4, .9, 0), (0, .5, .6), (.3, .3, -1.2)])
def test_a_grid_covers_the_city_once_and_puts_each_place_in_its_cell(across, up, angle):
    city = shapely.Polygon([(0, 0), (9000, 1000), (11_000, 9000), (3000, 12_000)], [[(3000, 3000), (5000, 3000), (4000, 5000)]])
    on = nij.grid(city, 400, across, up, angle)
    assert on.area.sum() == pytest.approx(city.area) and on.area.max() <= 400**2*(1 + 1e-9)
    x, y = np.random.default_rng(0).uniform(1000, 9000, (2, 500))
    cell = on.cell(x, y)
    offset = np.abs(np.column_stack(on.turned(x, y)) - on.middle[cell])
    assert (cell >= 0).all() and offset.max() <= 200 + 1e-6
    inside = shapely.contains_xy(city, x, y)
    assert (on.area[cell[inside]] > 0).all()

def test_ties_are_marked_in_equal_parts_and_scores_are_those_by_hand():
    on = nij.grid(SQUARE, 528)
    counts = np.zeros(len(on)); cells = np.flatnonzero(on.area > 1)
    counts[cells[:10]] = 5; counts[cells[10:60]] = 1
    marked = nij.hot_spots(counts, on)
    # .25 square miles are 25 cells: the ten with five, and 15 of the fifty with one
    assert np.allclose(marked[cells[:10]], 1) and np.allclose(marked[cells[10:60]], .3) and marked.sum() == pytest.approx(25)
    crimes = nij.crimes_of(["2017-03-02"]*3, *(on.middle[cells[[0, 20, 90]]].T))
    found = nij.judge(marked, on, crimes, nij.BEGIN, "1 week")
    assert found["n"] == pytest.approx(1.3) and found["PAI"] == pytest.approx(1.3/3/(.25/4)) and found["PEI*"] == pytest.approx(1.3/3)

def test_horizons_begin_on_their_day_and_end_before_the_next():
    crimes = nij.crimes_of(["2017-02-28", "2017-03-01", "2017-03-07", "2017-03-08", "2017-03-31", "2017-04-01", "2017-05-31", "2017-06-01"], np.arange(8), np.arange(8))
    assert [int(crimes.within(nij.BEGIN, h).sum()) for h in nij.HORIZONS] == [2, 3, 4, 5, 6]


# --- methods ---

@pytest.mark.parametrize("name", METHODS)
def test_no_method_sees_the_future(name):
    on, crimes, day = nij.grid(SQUARE, 400), town(), int(nij.days_of("2016-06-01"))
    later = crimes.day >= day
    poisoned = nij.Crimes(crimes.day, np.where(later, 5000., crimes.x), np.where(later, 5000., crimes.y))
    gone = nij.Crimes(crimes.day[~later], crimes.x[~later], crimes.y[~later])
    honest = METHODS[name].expect(nij.past(on, crimes), day, "1 month")
    assert honest.shape == (len(on),) and np.isfinite(honest).all() and (honest >= 0).all() and honest.std() > 0
    for other in (poisoned, gone): np.testing.assert_array_equal(clone(METHODS[name]).expect(nij.past(on, other), day, "1 month"), honest)

def test_the_choice_of_a_grid_sees_no_future_and_finds_the_better_one():
    crimes, day = town(9000, corners=60), int(nij.days_of("2016-06-01"))
    later = crimes.day >= day
    poisoned = nij.Crimes(crimes.day, np.where(later, 5000., crimes.x), np.where(later, 5000., crimes.y))
    grids = [nij.grid(SQUARE, 600), nij.grid(SQUARE, 260)]
    choice = nij.choose_grid([nij.past(on, crimes) for on in grids], nij.Counting(365), day, "1 month")
    # half of all crimes lie about sixty corners: small cells catch them with less area
    assert choice == 1 == nij.choose_grid([nij.past(on, poisoned) for on in grids], nij.Counting(365), day, "1 month")

@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_corners(name):
    on, crimes = nij.grid(SQUARE, 400), town()
    found = nij.rolling(crimes, [on], {name: METHODS[name]}, ["2016-03-01", "2016-06-01"], ("1 month",))
    assert found.PAI.min() > 3 and found["PEI*"].between(0, 1).all() and list(found.side) == [400, 400]

def test_memories_by_hand():
    on = nij.grid(SQUARE, 500)
    crimes = nij.crimes_of(["2016-01-01", "2016-01-10", "2016-01-20", "2016-02-01"], [750]*4, [750]*4)
    known = nij.past(on, crimes).memories(int(nij.days_of("2016-01-20")), ((0., 10, "count"), (0., 19, "count"), (0., 10, "fade"), (400., 1e9, "count")))
    here = on.cell([750], [750])[0]
    assert known[here, :2].tolist() == [1, 2] and known[here, 2] == pytest.approx(np.exp(-1) + np.exp(-1.9))
    assert known[:, 3].sum() == pytest.approx(2) and known[here, 3] == known[:, 3].max() < 1

def test_the_self_exciting_process_finds_what_was_drawn():
    rng, time, cell = np.random.default_rng(0), [], []
    for c in range(60):
        queue = list(np.flatnonzero(rng.random(3000) < .02))
        while queue:
            t = queue.pop()
            time.append(t); cell.append(c)
            queue += [t + 1 + int(wait) for wait in rng.exponential(20, rng.poisson(.5)) if t + 1 + wait < 3000]
    on = nij.grid(SQUARE, 600)
    where = np.flatnonzero(on.area == on.area.max())[cell]
    crimes = nij.crimes_of(pd.Timestamp("2000-01-01") + pd.to_timedelta(time, "D"), *on.middle[where].T)
    found = nij.SelfExciting(3000, 200).fit(nij.past(on, crimes), int(nij.days_of("2000-01-01")) + 3000)
    assert found.theta_ == pytest.approx(.5, abs=.08) and 1/found.omega_ == pytest.approx(20, rel=.3)
    assert found.mu_.sum() == pytest.approx(60*.02, rel=.15)

def test_the_mixture_is_at_its_most_likely_weights():
    on, crimes, day = nij.grid(SQUARE, 500), town(), int(nij.days_of("2016-06-01"))
    known = nij.past(on, crimes)
    model = nij.Mixture(4, MEMORIES).fit(known, day, "1 month")
    begins = model._begins(day, "1 month")
    x = np.concatenate([np.column_stack([known.memories(int(nij.days_of(at)), MEMORIES), on.area/on.area.sum()]) for at in begins])
    y = np.concatenate([known.counts(at, "1 month") for at in begins])
    np.testing.assert_allclose(known.mixed(day, MEMORIES, model.weights_[:-1]), known.memories(day, MEMORIES) @ model.weights_[:-1])
    slope = (x*(y/np.maximum(x @ model.weights_, 1e-300) - 1)[:, None]).sum(0)/x.sum(0)
    assert (np.abs(slope[model.weights_ > .02*model.weights_.max()]) < .05).all() and slope.max() < .05

def test_an_interval_of_rolling_origins_covers():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        rows = pd.DataFrame({"origin": range(36), "n": rng.poisson(3., 36), "N": 60, "share": .0025})
        _, low, high, blocks = nij.pooled(rows, n_boot=300)
        covered += low <= 3/60/.0025 <= high
    assert blocks == 12 and covered >= 180
