"crimenb.views: cut, extended, compared, joined and written down, on a view of two streets whose numbers are known."
import inspect
import re

import numpy as np
import pandas as pd
import pytest

from crimenb.core import InputError
from crimenb.grids import HourlyMaps
from crimenb.panels import Panel
from crimenb.sequences import Sequences, from_events
from crimenb.terrain import Terrain
from crimenb.views import View, an, covered, differs, periods_of, quiet_days, some_of, split_in_time


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

@pytest.mark.parametrize("n, unit, right", [(1, "week", "1 week"), (2, "week", "2 weeks"), (0, "day", "0 days"), (1200, "slot of a week", "1,200 slots of a week")])
def test_a_number_of_things_is_said_in_words(n, unit, right): assert some_of(n, unit) == right

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

def test_later_periods_of_which_nothing_is_known_are_a_gap_wherever_they_lie(streets):
    later = lambda lost: Streets(np.where(np.isin(np.arange(3), lost)[:, None], np.nan, [[7, 7]]*3), "2024-01-11")
    for lost in ([0], [1], [2], [0, 1], [0, 1, 2]):
        with pytest.raises(InputError, match=f"nothing is known of {some_of(len(lost), 'day')} of the later events"): streets.joined(later(lost))
        joined = streets.joined(later(lost), gap="unknown")
        assert len(joined) == 13 and np.flatnonzero(np.isnan(joined.counts[:, 0])).tolist() == [10 + i for i in lost]

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

def test_two_later_weeks_with_a_hole_in_both_are_no_weeks():
    every = days_of(56)
    known = Panel.from_events(every[every.time < "2018-01-29"])
    later = every[every.time >= "2018-01-29"][lambda t: ~t.time.between("2018-01-30", "2018-02-09 23:59")]
    later = later[later.time < "2018-02-12"]
    with pytest.raises(InputError, match="nothing is known of 2 week"): known.update(later)
    assert known.update(later, gap="unknown").known == 4

# --- where the known part begins and ends ---

def test_what_is_plainly_cut_at_an_end_is_not_known():
    "48 events a day, every half hour: a rest of the day with more than five lacking is no chance."
    time = days_of(28, 48).time
    day = pd.Timedelta("1D")
    whole = time.iloc[0], time.iloc[0] + 28*day
    assert covered(time) == covered(time, "h") == whole
    for lacking in (0, 5, 6, 24, 47):
        late, early = covered(time[:len(time) - lacking]), covered(time[lacking:])
        assert late == (whole[0], whole[1] - day*int(lacking > 5)) and early == (whole[0] + day*int(lacking > 5), whole[1])
        assert covered(time[:len(time) - lacking], "h")[1] == time.iloc[-1 - lacking].floor("h") + pd.Timedelta("1h")
    # nothing is lacking of days that have no clock, nor where there is no other day to compare with
    assert covered(time.dt.normalize()) == whole and covered(time[30:40]) == (whole[0], whole[0] + day)

@pytest.mark.parametrize("last, weeks", [("2018-01-28 23:30", 4), ("2018-01-28 21:00", 4), ("2018-01-28 00:30", 3), ("2018-01-28 12:00", 3)])
def test_a_week_whose_sunday_is_cut_is_none_until_later_events_or_a_word_make_it_one(last, weeks):
    every = days_of(35, 48)
    events = every[every.time <= last]
    panel = Panel.from_events(events)
    assert len(panel) == weeks and (panel.counts.sum((1, 2)) >= 336 - 5).all() and panel.left_out["after the last whole period"] == (weeks == 3)*(events.time >= "2018-01-22").sum()
    assert len(Panel.from_events(events, end="2018-01-29")) == 4
    assert (Panel.from_events(events[events.time < "2018-01-22"]).update(every[every.time >= "2018-01-22"]).counts.sum((1, 2)) == 336).all()

def test_a_morning_before_the_first_later_event_is_a_gap_and_not_quiet():
    every = days_of(28, 48)
    known = HourlyMaps.from_events(every[every.time < "2018-01-22"])
    at_noon, at_two = every[every.time >= "2018-01-22 12:00"], every[every.time >= "2018-01-22 02:00"]
    with pytest.raises(InputError, match="nothing is known of the 12 hour"): known.update(at_noon)
    with pytest.raises(InputError, match="nothing is known of the 12 hour"): known.update(at_noon[:20])
    lost = known.update(at_noon, "unknown").counts[21*24:]
    assert np.isnan(lost[:12]).all() and (lost[12:].sum((1, 2)) == 2).all()
    # four events in two hours may be lacking by chance
    assert known.update(at_two).counts[21*24:].sum((1, 2)).tolist() == [0]*2 + [2]*(7*24 - 2)
    # within a day, too
    with pytest.raises(InputError, match="nothing is known of the 5 hour"): known.until(21*24 - 8).update(every[every.time >= "2018-01-21 21:00"])
    # a first day that begins at noon is left out, and said so, unless it is asked for
    found = HourlyMaps.from_events(every[24:])
    assert found.start == pd.Timestamp("2018-01-02") and "say start='2018-01-01 12:00:00' to have it" in found.notes[0]
    assert HourlyMaps.from_events(every[24:], start="2018-01-01 12:00:00").start == every.time[24]
    panel = Panel.from_events(every[every.time < "2018-01-22"])
    with pytest.raises(InputError, match="the later events cover no whole week from .* on: give more of them, up to 2018-02-05 00:00:00 at least$"): panel.update(at_noon)
    assert panel.update(at_two).counts[-1].sum() == len(at_two)

@pytest.mark.parametrize("make, lost, unit", [(Panel.from_events, 2, "week"), (lambda e: HourlyMaps.from_events(e, 500.), 120, "hour"), (lambda e: Terrain.from_events(e, 500, period="W", start="2018-01-01"), 2, "week")])
def test_a_hole_within_later_events_is_refused_or_unknown(make, lost, unit):
    every = days_of(70, 48)
    view, later = make(every[every.time < "2018-02-05"]), every[(every.time >= "2018-02-05") & ~every.time.between("2018-02-17", "2018-02-22")]
    with pytest.raises(InputError, match=f"nothing is known of {lost} {unit}.* of the later events between"): view.update(later)
    many = view.update(later, "unknown").counts.reshape(view.known*2, -1).sum(1)
    assert np.isnan(many).sum() == lost and np.nansum(many) > 0
    with pytest.raises(InputError, match="there is no event"): covered(every.time[:0])

def test_in_a_city_of_few_events_a_quiet_day_is_no_gap():
    every, cut = days_of(70, 24)[::23].reset_index(drop=True), pd.Timestamp("2018-02-05")
    before, later, much_later = every[every.time < cut], every[every.time >= "2018-02-08"], every[every.time >= "2018-02-12 12:00"]
    assert len(Panel.from_events(before).update(later)) == 10 and (HourlyMaps.from_events(before, 500.).update(later).counts[35*24:38*24] == 0).all()
    with pytest.raises(InputError, match="nothing is known of the 2 week"): Panel.from_events(before).update(much_later)

VIEWS = {"sequences": lambda events: Sequences.from_events(events, slot_hours=24), "hours": lambda events: HourlyMaps.from_events(events, 500.),
         "weeks": Panel.from_events, "terrain": lambda events: Terrain.from_events(events, 500, period="W", start="2018-01-01")}

def _numbers(view): return view.counts if view.period != "next event" else view.events

@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_every_view_goes_on_in_the_same_way(make):
    every, cut = days_of(70, 24), pd.Timestamp("2018-02-05")
    known, later = make(every[every.time < cut]), every[every.time >= cut]
    right = _numbers(known.update(later))
    assert right.shape[0] == (1680 if known.period in ("next event", "hour") else 10) and right.sum() == (1680 if known.period != "next event" else 0)
    # a file that reaches back into what is known: nothing is counted twice, and it is told of
    on = known.update(every[every.time >= cut - pd.Timedelta(days=10)])
    np.testing.assert_array_equal(_numbers(on), right)
    told = getattr(on, "notes", ()) or [f"{n} left out: {why}" for why, n in (getattr(on, "left_out", None) or on.dropped).items()]
    assert any("240 " in one and "known already" in one for one in told)
    # nothing new: one sentence, whether there is no event or only known ones; `end` says that there was none, which is a gap here
    for some in (every[:0], every[every.time < cut]):
        with pytest.raises(InputError, match="^no event comes from 2018-02-0[45] .*: give later ones") as refused: known.update(some)
        # a week without an event is none in this city, but an hour or two may be
        told = str(refused.value).endswith(", or say with end= up to when there were none")
        assert told == (known.period in ("hour", "next event"))
        if told: assert _numbers(known.update(some, end="2018-02-05 02:00")).sum() == _numbers(known).sum()
        with pytest.raises(InputError, match="nothing is known"): known.update(some, end="2018-03-05")
        assert np.nansum(_numbers(known.update(some, "unknown", "2018-03-05"))) == _numbers(known).sum()
    with pytest.raises(InputError, match="end is 2018-02-01 .* give a later one"): known.update(later, end="2018-02-01")
    with pytest.raises(InputError, match="end is 'soon': give a day"): known.update(later, end="soon")
    with pytest.raises(InputError, match="gap"): known.update(later, gap="zero")
    # what comes after `end` does not count
    part = known.update(later, end="2018-02-19")
    assert len(_numbers(part)) == len(right) - (504 if known.period in ("next event", "hour") else 3)

@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_in_a_city_of_few_events_nothing_up_to_a_day_is_none(make):
    every = days_of(63, 24)[::47].reset_index(drop=True)
    known = make(every)
    if known.period == "next event": return np.testing.assert_array_equal(known.update(every[:0], end="2018-03-06").events, known.events)
    on = known.update(every[:0], end="2018-03-12")
    assert on.known == len(on) and on.ahead().starts[-1] == pd.Timestamp("2018-03-12") and np.nansum(on.counts) == len(every)
    with pytest.raises(InputError, match="no whole|is known: give a later one"): on.update(every[:0], end="2018-03-12 00:30")
    if known.period == "week" and hasattr(known, "left_out"):
        with pytest.raises(InputError, match="3 events came after the last whole week: give them too"): make(every[:-1]).update(every[:0], end="2018-03-12")

@pytest.mark.parametrize("make", [VIEWS["weeks"], VIEWS["terrain"]], ids=["weeks", "terrain"])
def test_events_behind_the_last_whole_period_are_asked_for_again_with_their_number(make):
    "Up to half past midnight of a Thursday: three days of 24 events and one are in no whole week."
    every, cut = days_of(70, 24), pd.Timestamp("2018-02-08 00:30")
    known, late = make(every[every.time < cut]), every[every.time >= cut]
    assert known.beyond == 73 and known.known == 5
    with pytest.raises(InputError, match="nothing is known of the 1 week from 2018-02-05 .* to 2018-02-12 .*: 73 events came after the last whole week of the earlier file and were left out, so give them again with the later ones, or say gap='unknown'$"): known.update(late)
    assert np.isnan(known.update(late, "unknown").counts[5]).all()
    again = every[every.time >= "2018-02-05"]
    on = known.update(again)
    assert on.counts.sum() == 10*168 and on.beyond == 0
    with pytest.raises(InputError, match="^no event comes from 2018-02-05 .*: 73 events came after the last whole week and were left out, so give them again, with later ones or with end= up to when they are whole$"): known.update(every[:0])
    assert known.update(again[again.time < cut], end="2018-02-12").counts[5].sum() == 73
    with pytest.raises(InputError, match="^73 events came after the last whole week: give them too$"): known.update(every[:0], end="2018-02-12")
    # an end that is advised works, and what was known already is told with the refusal
    some = every[(every.time >= "2018-02-01") & (every.time < "2018-02-10")]
    with pytest.raises(InputError, match=r"the later events cover no whole week from 2018-02-05 .* on: give more of them, or say end='(.*)' if they are whole up to then \(96 events of those given came before 2018-02-05 00:00:00, up to when all is known already\)$") as refused: known.update(some)
    end = re.search("end='(.*?)'", str(refused.value))[1]
    assert known.update(some, end=end).counts[5].sum() == 5*24

def test_an_end_that_would_be_refused_is_not_advised():
    "Events of a Wednesday on: the week is not whole, whatever is said of its end."
    every = days_of(70, 24)
    known = Panel.from_events(every[every.time < "2018-02-05"])
    with pytest.raises(InputError, match=r"cover no whole week from 2018-02-07 .*: give more of them, up to 2018-02-19 00:00:00 at least$"): known.update(every[(every.time >= "2018-02-07") & (every.time < "2018-02-11")])

def test_a_gap_that_is_no_word_is_refused_before_anything_is_read():
    class Unread:
        @property
        def events(self): raise AssertionError("the events were looked at")
    for make in VIEWS.values():
        with pytest.raises(InputError, match="unknown gap 'zero': use one of refuse, unknown"): make(days_of(28, 24)).update(Unread(), gap="zero")

def test_a_unit_has_its_article():
    assert [an(unit) for unit in ("hour", "week", "month", "slot of a week", "6-month period", "event")] == ["an hour", "a week", "a month", "a slot of a week", "a 6-month period", "an event"]
    every = days_of(28, 24)
    known = HourlyMaps.from_events(every[every.time < "2018-01-22"], 500.)
    assert known.update(every[every.time >= "2018-01-21"]).notes == ("24 later events left out: in an hour that was known already",)

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
    assert view.notes == ((f"{some_of(lost, 'day')} of which nothing is known lie in 1 {view.period} counted all the same: too little to matter",) if whole else ())

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


def test_hours_in_a_row_without_events_are_unknown_where_it_can_not_be_chance():
    "240 events a day, ten an hour: two empty hours are no chance, and one is spring."
    every = days_of(21, 240)
    at = every.time.dt.floor("h")
    maps = HourlyMaps.from_events(every[~at.between("2018-01-10 10:00", "2018-01-10 14:00") & (at != "2018-01-14 02:00")], 5000.)
    assert np.flatnonzero(np.isnan(maps.counts[:, 0, 0])).tolist() == [*range(9*24 + 10, 9*24 + 15)] and maps.counts[13*24 + 2].sum() == 0
    # by the hours: a city that sleeps from midnight to six has no gap each night
    assert not HourlyMaps.from_events(every[every.time.dt.hour >= 6], 5000.).gaps()
    assert not HourlyMaps.from_events(days_of(21, 24)[lambda t: ~t.time.between("2018-01-10 10:00", "2018-01-10 22:00")], 5000.).gaps()


def test_a_weekend_on_which_nothing_happens_is_no_hole_and_a_working_day_without_data_is():
    "Offices, eight weeks: 240 events on each working day, ten an hour, none at all on Saturdays and Sundays, or none in the afternoon of Fridays."
    every = days_of(56, 240)
    office, hour = every[every.time.dt.day_of_week < 5], lambda day: (pd.Timestamp(day) - every.time.min().normalize())//pd.Timedelta(hours=1)
    maps = HourlyMaps.from_events(office, 5000.).whole(quiet_days(office))
    assert maps.gaps() == [] and (maps.counts.sum((1, 2)) == np.where(maps.starts.day_of_week < 5, 10, 0)).all()
    early = every[(every.time.dt.day_of_week != 4) | (every.time.dt.hour < 12)]
    assert HourlyMaps.from_events(early, 5000.).gaps() == []
    # Tuesday the 16th is lost, and so are the first hours of Thursday the 25th
    lost = office[~office.time.between("2018-01-16", "2018-01-16 23:59:59") & ~office.time.between("2018-01-25", "2018-01-25 05:59:59")]
    first, second = hour("2018-01-16"), hour("2018-01-25")
    assert HourlyMaps.from_events(lost, 5000.).gaps() == [(first, first + 23), (second, second + 5)]


@pytest.mark.parametrize("later", ["more", "riot"])
def test_quiet_months_before_a_city_grew_are_no_holes(later):
    "Two events a day, then a hundred, or one day of two thousand: hours and days without an event are quiet, not unknown."
    rng = np.random.default_rng(3)
    few, many = rng.uniform(0, 90*86_400, 180), rng.uniform(60, 90 if later == "more" else 61, 3_000 if later == "more" else 2_000)*86_400
    events = days_of(len(few) + len(many), 1).assign(time=pd.Timestamp("2018-01-01") + pd.to_timedelta(np.sort(np.append(few, many)).astype(int), unit="s"))
    events["time"] = events.time.astype("datetime64[s]")
    for view in (HourlyMaps.from_events(events, 5000.), Panel.from_events(events, "D")):
        assert not np.isnan(view.counts).any() and view.counts.sum() == len(events)

def test_a_stray_event_in_a_hole_makes_no_two_quiet_stretches_of_it():
    events = days_of(120, 24)
    out = events.time.between("2018-02-01", "2018-03-31 23:59:59") & (events.time != "2018-03-02 00:00:00")
    unknown = np.isnan(Panel.from_events(events[~out], "D").counts[:, 0, 0])
    assert unknown[31:90].sum() == 58 and unknown.sum() == 58
    hours = HourlyMaps.from_events(events[~out], 5000.)
    assert np.isnan(hours.counts[:, 0, 0]).sum() >= 24*58


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

def test_a_day_of_which_no_hour_is_known_ends_no_file_within_itself():
    "Twenty-eight days of 24 events; the last three, or one in the middle, are known to the day."
    events = days_of(28, 24)
    for rough in (events.time >= "2018-01-26", events.time.between("2018-01-10", "2018-01-20")):
        some = events.assign(time=events.time.mask(rough, events.time.dt.normalize()), known_to=pd.Categorical(np.where(rough, "day", None), ["day"]))
        assert covered(some[12:]) == (pd.Timestamp("2018-01-02"), pd.Timestamp("2018-01-29")) and covered(some)[0] == pd.Timestamp("2018-01-01")
        panel = Panel.from_events(some, "D")
        assert (panel.counts.sum((1, 2)) == 24).all() and len(panel) == 28


WRONG = ("a", 5, 1.5, -1, [1], ["a"], {"a": 1}, object(), True, float("nan"), float("inf"), b"x", 10**30)

@pytest.fixture(scope="module")
def simulated():
    from crimenb.city import simulate
    return simulate(2_000, 84, seed=0, n_areas=4)[0]

@pytest.mark.parametrize("make", [HourlyMaps, Panel, Sequences, Terrain])
def test_settings_of_a_wrong_type_are_one_sentence_with_their_name(make, simulated):
    "Each setting of each view; a schema that is a dictionary is taken for one."
    refused = 0
    for name, takes in inspect.signature(from_events if make is Sequences else make.from_events).parameters.items():
        if takes.kind is takes.VAR_KEYWORD: continue
        for value in WRONG:
            if name in ("like", "factors") and isinstance(value, dict): continue
            try: make.from_events(**{"events": simulated, name: value})
            except InputError as error: refused += re.match(rf"{name} (is|are|has) ", str(error)) is not None
    assert refused > 50


def test_a_schema_that_is_none_or_of_another_view_is_refused():
    from crimenb import city
    events = city.simulate(3000, 60)[0]
    makers = {Sequences: {}, HourlyMaps: {}, Panel: {}, Terrain: dict(period="M", factors={})}
    schemas = {cls: cls.from_events(events, **more).schema() for cls, more in makers.items()}
    for cls, more in makers.items():
        for like in [{}, {"a": 1}, *(schema for other, schema in schemas.items() if other is not cls)]:
            with pytest.raises(InputError, match="^like lacks .*, so it is no schema of .*: give view.schema"): cls.from_events(events, **{k: v for k, v in more.items() if k != "period"}, like=like)
        cls.from_events(events, like=schemas[cls], **{k: v for k, v in more.items() if k != "period"})

@pytest.mark.parametrize("factors", [{"bars": 1}, {"bars": None}, {1: [2.]}])
def test_a_factor_that_is_no_file_is_refused(factors):
    from crimenb import city
    with pytest.raises(InputError, match="^the factor .* is a .*: give Points, a table or a file of them$"): Terrain.from_events(city.simulate(2000, 60)[0], period="M", factors=factors)
