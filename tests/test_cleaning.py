"""Times that are doubtful: marked for the right reason, left out only by choice, and counted."""
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from crimenb import cleaning as C
from crimenb import events as E
from crimenb.cities import CITIES
from crimenb.cities import Card
from crimenb.core import InputError


# without nanoseconds, which reach back to 1677 only and are what older pandas goes by
def times(*text): return pd.Series(np.array([t or "NaT" for t in text], "datetime64[s]"))


@pytest.mark.parametrize("city", CITIES)
def test_the_clock_leaves_out_an_hour_and_repeats_one_every_year(city):
    changes = C.clock_changes(CITIES[city].zone, 2000, 2024)
    assert (changes.groupby(changes.since.dt.year).what.apply(set) == {"hour left out", "hour twice"}).all() and len(changes) == 50
    assert (changes.until - changes.since == pd.Timedelta(hours=1)).all()
    for change in changes.itertuples():
        middle = pd.Series([change.since + pd.Timedelta(minutes=30)])
        local = middle.dt.tz_localize(CITIES[city].zone, ambiguous="NaT", nonexistent="NaT")
        # pandas can't place this time, and can place those just outside
        assert local.isna().all() and not pd.Series([change.since - pd.Timedelta(minutes=1), change.until]).dt.tz_localize(CITIES[city].zone, ambiguous="NaT", nonexistent="NaT").isna().any()


def test_no_change_where_the_clocks_stay(): assert C.clock_changes("Asia/Tokyo", 2000, 2020).empty


@settings(max_examples=40, deadline=None)
@given(minutes=st.lists(st.integers(0, 4*365*24*60), max_size=40), city=st.sampled_from(list(CITIES)))
def test_doubts_one_by_one(minutes, city):
    time = pd.Series(np.datetime64("2016-01-01", "s") + np.array(minutes, dtype="timedelta64[m]"), dtype="datetime64[s]")
    habits = CITIES[city].stand_ins
    for t, why in zip(time, C.doubts(time, city), strict=True):
        odd = pd.isna(pd.Series([t]).dt.tz_localize(CITIES[city].zone, ambiguous="NaT", nonexistent="NaT"))[0]
        clock = f"{t:%H:%M}"
        if clock in habits["dates"].get(f"{t:%m-%d}", ()): assert why == "stand-in date"
        elif odd: assert why in ("hour left out", "hour twice")
        elif clock in habits["hours"]: assert why == "stand-in hour"
        else: assert pd.isna(why)


def test_what_is_left_out_is_counted(samples):
    events = E.read_lapd(samples/"lapd.csv").events
    odd = ["2020-01-01 00:01", "2020-01-01 00:01", "2020-06-01 12:00", "2020-11-01 01:10"]
    events["time"] = times(*odd, *["2020-06-02 15:20"]*(len(events) - 4))
    for these, n in ((("stand-in date",), {"stand-in date": 2}), (("stand-in hour", "hour twice", "hour left out"), {"stand-in hour": 1, "hour twice": 1}), ((), {})):
        kept, counts = C.believe(events, "la", these)
        assert counts == n and len(kept) + sum(n.values()) == len(events) and E.validate(kept) is kept
    assert C.believe(events, "dc")[1] == {} and len(C.doubts(events.time[:0], "la")) == 0
    for call in (lambda: C.doubts(events.time, "boston"), lambda: C.believe(events, "la", ("noon",)), lambda: C.clock_changes("Nowhere/City", 2000, 2001)):
        with pytest.raises(InputError): call()


def test_years_are_mended_not_after_the_report():
    written = times("1015-06-03 10:00", "1015-12-30 23:00", "2015-03-01 08:00", None, "1012-02-29 01:00", "1012-02-29 01:00")
    reported = times("2015-06-04", "2016-01-02", "2015-03-02", "2015-03-02", "2012-03-01", "2013-03-01")
    mended, n = C.mend_years(written, reported)
    # there was no 29 February 2013, and the year before had one
    assert mended.equals(times("2015-06-03 10:00", "2015-12-30 23:00", "2015-03-01 08:00", None, "2012-02-29 01:00", "2012-02-29 01:00")) and n == 4
    same, n = C.mend_years(written[2:3], reported[2:3])
    assert n == 0 and same.iloc[0] == written[2]


@settings(max_examples=60, deadline=None)
@given(spans=st.lists(st.tuples(st.integers(0, 23*60 + 59), st.integers(-60, 26*60)), min_size=1, max_size=20))
def test_aoristic_counts_add_up_and_agree_with_a_minute_by_minute_count(spans):
    since = np.datetime64("2015-05-04", "m") + np.array([s for s, _ in spans])
    until = since + np.array([d for _, d in spans])
    counts, left_out = C.aoristic(pd.Series(since), pd.Series(until))
    slow = np.zeros(24)
    for (start, length) in spans:
        if length > 24*60: continue
        if length <= 0: slow[start // 60] += 1
        else: np.add.at(slow, (start + np.arange(length)) // 60 % 24, 1/length)
    assert np.allclose(counts, slow) and left_out == sum(d > 24*60 for _, d in spans)


def test_a_card_of_ones_own_has_its_own_habits_and_clocks():
    time = times("2019-03-31 02:30", "2019-10-27 02:30", "2019-05-05 23:59", "2019-05-05 12:00")
    card = Card("town", zone="Europe/Berlin", stand_ins={"dates": {}, "hours": ("23:59",)})
    assert list(C.doubts(time, card)) == ["hour left out", "hour twice", "stand-in hour", pytest.approx(np.nan, nan_ok=True)]
    with pytest.raises(InputError, match="no time zone, which the two nights of the clock needs"): C.doubts(time, Card("town"))
