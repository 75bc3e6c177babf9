"crimenb.views: cut, extended, compared, joined and written down, on a view of two streets whose numbers are known."
import numpy as np
import pandas as pd
import pytest

from crimenb.core import InputError
from crimenb.grids import HourlyMaps
from crimenb.panels import Panel
from crimenb.terrain import Terrain
from crimenb.views import View, differs, periods_of, quiet_days, split_in_time


class Streets(View):
    season, period = 7, "day"

    def __init__(self, counts, start="2024-01-01", names=("Mill Lane", "High Street")):
        self.counts, self.start, self.names = np.asarray(counts), pd.Timestamp(start), list(names)
    @property
    def starts(self): return pd.date_range(self.start, periods=len(self.counts), freq="D")
    @property
    def places(self): return self.names
    def schema(self): return {"streets": self.names}
    def _with(self, counts, first): return Streets(counts, self.start + pd.Timedelta(days=first), self.names)


@pytest.fixture
def streets(): return Streets(np.arange(20).reshape(10, 2))


# --- stretches of time ---

@pytest.mark.parametrize("whole, valid, test, block, right", [
    (100, .1, .2, 1, (slice(0, 70), slice(70, 80), slice(80, 100))), (100, 5, 10, 1, (slice(0, 85), slice(85, 90), slice(90, 100))),
    (72, 1, 1, 24, (slice(0, 24), slice(24, 48), slice(48, 72))), (75, 0, 1, 24, (slice(0, 48), slice(48, 48), slice(48, 75)))])
def test_a_split_is_three_stretches_one_after_the_other(whole, valid, test, block, right): assert split_in_time(whole, valid, test, block) == right

@pytest.mark.parametrize("valid, test, says", [(.5, .5, "leave none"), (10, 0, "leave none"), (-1, 2, "valid is -1"), (1, float("nan"), "test is nan")])
def test_a_split_that_leaves_nothing_is_refused(valid, test, says):
    with pytest.raises(InputError, match=says): split_in_time(10, valid, test)

@pytest.mark.parametrize("at, right", [(slice(-3, None), [7, 8, 9]), (4, [4]), ([0, 9], [0, 9]), (np.array([2, 3]), [2, 3])])
def test_periods_can_be_named_in_several_ways(at, right): assert periods_of(at, 10).tolist() == right

@pytest.mark.parametrize("at, says", [([], "no period"), ([10], "periods 0 to 9"), ([-1], "periods 0 to 9"), ([3, 3], "increasing"), ([5, 4], "increasing"), (slice(5, 5), "no period")])
def test_periods_that_are_not_there_are_refused(at, says):
    with pytest.raises(InputError, match=says): periods_of(at, 10)


# --- what is known, and what is ahead ---

def test_ahead_is_unknown_and_not_empty(streets):
    longer = streets.ahead(3)
    assert (len(longer), longer.known, streets.known) == (13, 10, 10)
    assert np.isnan(longer.counts[10:]).all() and np.array_equal(longer.counts[:10], streets.counts)
    assert longer.starts[-1] == pd.Timestamp("2024-01-13")
    with pytest.raises(InputError, match="has not happened"): longer.observed([9, 10])
    with pytest.raises(InputError, match="at least 1"): streets.ahead(0)

def test_filled_goes_on_from_a_forecast(streets):
    longer = streets.ahead(2).filled([10], [[.5, 1.5]])
    assert longer.counts[10].tolist() == [.5, 1.5] and np.isnan(longer.counts[11]).all() and longer.known == 11
    with pytest.raises(InputError, match="is known"): streets.ahead(2).filled([9], [[1, 1]])

def test_until_cuts_the_future_off(streets):
    assert streets.until(4).counts.tolist() == streets.counts[:4].tolist() and streets.until(4).starts[0] == streets.starts[0]
    for t in (0, 11):
        with pytest.raises(InputError, match="between 1 and 10"): streets.until(t)

def test_observed_has_the_counts_as_numbers(streets): assert streets.observed([3, 5]).tolist() == [[6., 7.], [10., 11.]]


# --- whether a model fits, and going on ---

@pytest.mark.parametrize("a, b, says", [
    ({"x": 1}, {"x": 1}, None), ({"x": 1}, {"x": 2}, "x: 1 there, 2 here"), ({"x": 1}, {}, "x is only in one"), ({}, {"y": 1}, "y is only in one"),
    ({"x": ["a", "b"]}, {"x": ["b", "a"]}, "number 0: 'a' there, 'b' here"), ({"x": ["a"]}, {"x": ["a", "b"]}, "1 there, 2 here"),
    ({"x": np.array([1., np.nan])}, {"x": np.array([1., np.nan])}, None), ({"x": np.zeros(2)}, {"x": np.zeros(3)}, "shape"), ({"x": np.zeros(2)}, {"x": np.ones(2)}, "x differs"),
    ({"x": ("a",)}, {"x": ["a"]}, None)])
def test_the_first_difference_of_two_schemas_is_named(a, b, says):
    found = differs(a, b)
    assert found is None if says is None else says in found

def test_a_view_with_swapped_places_is_refused(streets):
    with pytest.raises(InputError, match="'High Street'.*build the view as it was built there"): streets.check(Streets(streets.counts, names=("High Street", "Mill Lane")).schema())
    assert streets.check(streets.schema()) is streets

def test_later_events_make_a_view_longer(streets):
    joined = streets.joined(Streets([[7, 7]], "2024-01-11"))
    assert len(joined) == 11 and joined.counts[10].tolist() == [7, 7] and joined.starts[-1] == pd.Timestamp("2024-01-11")

@pytest.mark.parametrize("days", [1, 2, 3, 9, 40])
def test_a_gap_is_refused_or_left_unknown_and_never_zero(streets, days):
    later = Streets([[7, 7]], pd.Timestamp("2024-01-11") + pd.Timedelta(days=days))
    with pytest.raises(InputError, match=f"nothing is known of the {days} day"): streets.joined(later)
    joined = streets.joined(later, gap="unknown")
    assert len(joined) == 11 + days and np.isnan(joined.counts[10:-1]).all() and joined.counts[-1].tolist() == [7, 7] and joined.starts[-1] == later.start

def test_what_is_known_already_is_not_joined_again(streets):
    with pytest.raises(InputError, match="which is known already"): streets.joined(Streets([[7, 7]], "2024-01-10"))
    with pytest.raises(InputError, match="within a day"): streets.joined(Streets([[7, 7]], "2024-01-11 06:00"))
    with pytest.raises(InputError, match="streets"): streets.joined(Streets([[7, 7]], "2024-01-11", names=("A", "B")))


# --- periods of which nothing is known ---

def days_of(n_days, each=8, start="2018-01-01", lost=()):
    "An events table with so many events each day, in two areas, and none on the days in `lost`."
    at = pd.date_range(start, periods=n_days*each, freq=pd.Timedelta(hours=24/each))
    at = at[~np.isin(at.normalize(), pd.DatetimeIndex(lost))]
    where = np.arange(len(at)) % 2
    return pd.DataFrame({"time": at.as_unit("s"), "category": pd.Categorical(["theft"]*len(at)), "premises": pd.Categorical(["street"]*len(at)),
                         "area": pd.Categorical(np.where(where, "north", "south")), "lon": 13.4 + .01*where, "lat": 52.5 + .01*where, "x": np.nan, "y": np.nan})

def test_days_without_events_are_quiet_where_it_cannot_be_chance():
    lost = pd.date_range("2018-02-08", "2018-02-18")
    events = days_of(26*7, lost=lost)
    assert list(quiet_days(events)) == list(lost)
    # two days without 16 events can be chance, and so can 20 of a place of few
    assert not len(quiet_days(days_of(90, lost=lost[:2]))) and len(quiet_days(days_of(90, lost=lost[:3]))) == 3
    few = days_of(300)[::12]
    assert not len(quiet_days(few[~few.time.between("2018-03-01", "2018-03-20")]))
    # an office that writes down nothing on Saturdays and Sundays has no gap each week, but a lost Monday to Wednesday is one
    office = events[events.time.dt.day_of_week < 5]
    assert list(quiet_days(office)) == list(lost) and not len(quiet_days(office[office.time >= "2018-02-19"]))
    # times that are known to the month only, and no events
    assert not len(quiet_days(events.assign(time=events.time.dt.to_period("M").dt.start_time))) and not len(quiet_days(events[:0]))

@pytest.mark.parametrize("strays", [1, 3])
@pytest.mark.parametrize("late", [True, False])
def test_a_stray_event_beyond_a_gap_makes_no_whole_week_of_a_part(strays, late):
    "Sixteen weeks and three days, ten empty days, and a few events: the week of the three days is not one of 24 events."
    whole = days_of(16*7 + 3 if late else 17*7 + 10, start="2018-01-01" if late else "2018-01-05")
    end = whole.time.max().normalize() if late else whole.time.min().normalize()
    at = end + pd.Timedelta(days=11 if late else -11)
    some = whole[:strays].assign(time=pd.date_range(at + pd.Timedelta(hours=1), periods=strays, freq="h").as_unit("s"))
    events = pd.concat([whole, some]).sort_values("time", ignore_index=True)
    assert len(quiet_days(events)) == 10
    panel = Panel.from_events(events)
    many = panel.counts.sum((1, 2))
    assert np.nansum(many) + sum(panel.left_out.values()) == len(events) and panel.left_out["in a week with unknown days"] == 24 + strays
    assert set(many[~np.isnan(many)]) == {56} and np.isnan(many).any() and (~np.isnan(many)).sum() == (16 if late else 18)
    months = Terrain.from_events(events, 500, period="M").counts.sum(1)
    known = ~np.isnan(months)
    assert known.sum() >= 3 and set(months[known]) <= {8*28, 8*30, 8*31}

def test_gaps_are_stretches_of_periods_and_whole_views_have_none(streets):
    busy = Streets(np.full((10, 2), 12))
    assert busy.gaps() == [] and busy.whole() is busy
    assert busy.gaps(pd.DatetimeIndex(["2024-01-03", "2024-01-04", "2024-01-09"])) == [(2, 3), (8, 8)]
    found = busy.whole(pd.DatetimeIndex(["2024-01-03", "2024-01-04"]))
    assert np.isnan(found.counts[2:4]).all() and (np.delete(found.counts, [2, 3], 0) == 12).all() and found.gaps() == [(2, 3)]
    # a day without 24 events is none by chance; one without three may be
    counts = np.full((10, 2), 12)
    counts[4] = 0
    assert Streets(counts).gaps() == [(4, 4)] and Streets(np.minimum(counts, 1)).gaps() == []

@pytest.mark.parametrize("period, lost, whole", [("Y", 1, True), ("Y", 7, True), ("Y", 8, False), ("6M", 3, True), ("6M", 4, False), ("M", 1, False), ("W", 1, False)])
def test_a_period_is_unknown_where_more_than_a_fiftieth_of_its_days_is(period, lost, whole):
    "An export without the last days of 2018: 365 days of which 1 to 8 are lost, 184, 31 and 7."
    every = days_of(3*365, 24, start="2017-01-01")
    gone = pd.date_range(end="2018-12-31", periods=lost)
    events = every[~every.time.dt.normalize().isin(gone)].reset_index(drop=True)
    assert list(quiet_days(events)) == list(gone)
    view = Terrain.from_events(events, 500, period=period, start="2017-01-01" if period != "W" else "2018-01-01")
    at, full = view.starts.searchsorted(gone[-1], "right") - 1, Terrain.from_events(every, 500, period=period, start=view.start).counts.sum(1)
    counts = view.counts.sum(1)
    assert (counts[at] == full[at] - 24*lost) if whole else np.isnan(counts[at])
    assert (np.delete(counts, at) == np.delete(full, at)).all()
    assert view.notes == ((f"{lost} day(s) of which nothing is known lie in 1 {view.period}(s) that are counted all the same: too little to matter",) if whole else ())

def test_weekly_and_hourly_views_lose_each_period_with_a_quiet_day():
    every = days_of(70, 24, start="2018-01-01")
    events = every[every.time.dt.normalize() != "2018-01-17"].reset_index(drop=True)
    panel = Panel.from_events(events)
    assert np.flatnonzero(np.isnan(panel.counts[:, 0, 0])).tolist() == [2]
    holes, days = panel.holes(quiet_days(events))
    assert holes.tolist() == [0, 0, 1, *[0]*7] and set(days) == {7}
    slots = Panel.from_events(events, slots=4)
    # each slot of the week is of all its days
    assert np.flatnonzero(np.isnan(slots.counts[:, 0, 0])).tolist() == [8, 9, 10, 11]
    maps = HourlyMaps.from_events(events).whole(quiet_days(events))
    assert np.flatnonzero(np.isnan(maps.counts[:, 0, 0])).tolist() == [*range(16*24, 17*24)]


# --- as a table ---

def test_a_frame_has_a_line_a_period_and_place(streets):
    table = streets.frame(streets.observed([1, 2]), [1, 2])
    assert table.columns.tolist() == ["period", "place", "expected"] and table.expected.tolist() == [2, 3, 4, 5]
    assert table.place.tolist() == ["Mill Lane", "High Street"]*2 and table.period.tolist() == [pd.Timestamp("2024-01-02")]*2 + [pd.Timestamp("2024-01-03")]*2

def test_a_frame_of_several_numbers_and_categories(streets):
    class Kinds(Streets):
        categories = ("theft", "assault")
        def _with(self, counts, first): return Kinds(counts, self.start)
    view = Kinds(np.arange(12).reshape(3, 2, 2))
    table = view.frame([view.counts[[0]], -view.counts[[0]]], [0], ("a", "b"))
    assert table.category.tolist() == ["theft", "assault"]*2 and table.a.tolist() == [0, 1, 2, 3] and table.b.tolist() == [0, -1, -2, -3]
    with pytest.raises(InputError, match="a has 3 numbers for 4 lines"): view.frame([np.zeros(3), np.zeros(4)], [0], ("a", "b"))


# --- weeks without data at the end, and in the middle, of every view

@pytest.mark.parametrize("lost, known", [(("2018-05-01", "2018-06-05"), (40, 9)), (("2018-09-03", "2018-10-08"), (35, 8))])
def test_days_without_data_are_unknown_in_every_view(lost, known):
    from crimenb.city import simulate
    from crimenb.grids import Grid
    from crimenb.terrain import Terrain
    events, truth = simulate(20_000, days=280, seed=5, start="2018-01-01", n_areas=9, n_premises=5)
    first, stop = map(pd.Timestamp, lost)
    some, end = events[(events.time < first) | (events.time >= stop)], pd.Timestamp("2018-10-08")
    weeks, hours = Panel.from_events(some, end=end), HourlyMaps.from_events(some, Grid.of(truth, 3, 4), end=end)
    months = Terrain.from_events(some, 500., {}, None, "M", end=end)
    assert (weeks.known, hours.known, months.known) == (known[0], 24*7*known[0], known[1])
    for view in (weeks, hours):
        unknown = view.starts[np.isnan(view.counts.reshape(len(view), -1)[:, 0])]
        assert unknown[0] >= first - pd.Timedelta(days=7) and unknown[-1] < stop + pd.Timedelta(days=7) and len(unknown) >= .8*(stop - first)/(view.starts[1] - view.starts[0])
    # of all events nothing is unknown
    assert not any(np.isnan(v.counts).any() for v in (Panel.from_events(events, end=end), HourlyMaps.from_events(events, Grid.of(truth, 3, 4), end=end)))

def test_the_ends_of_a_stretch_are_looked_at_where_they_are_given():
    events = days_of(90)
    last = events.time.max().normalize()
    late = pd.Timedelta(days=30)
    assert not len(quiet_days(events)) and list(quiet_days(events, end=last + late)) == list(pd.date_range(last + pd.Timedelta(days=1), last + late - pd.Timedelta(days=1)))
    assert quiet_days(events, events.time.min().normalize() - late).size == 30
