"""What a field says: each way to write a time, a label or a number of a record means what it means, or nothing."""
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from crimenb import fields as F
from crimenb.core import InputError


def read(*text, label=None, **how): return F.times(pa.array(text), F.Writing(**how), label=label)
def when(*text, **how): return [None if np.isnat(t) else str(t) for t in read(*text, **how).time.astype("datetime64[m]")]


# --- dates ---

@pytest.mark.parametrize("text", [
    "01/05/2018 08:15:00 PM", "1/5/2018 8:15 PM", "1/5/2018 20:15", "01-05-2018 20:15:00", "2018-01-05T20:15:00.000", "2018-01-05 20:15:00", "2018/01/05 20:15", "2018/1/5 20:15",
    "20180105T201500", "20180105 2015", "201801052015", "5 Jan 2018 20:15", "05-JAN-18 08:15 p.m.", "05-JAN-2018 20:15:00", "January 5, 2018 8:15 PM", "Jan. 5, 2018 20:15",
    "Fri, 05 Jan 2018 20:15:00", "Friday, January 5, 2018 8:15:00 PM", "1/5/18 20:15", "  01/05/2018 20:15 ", "2018-01-05, 20:15", "2018-01-05T20:15:59.123456"])
def test_one_minute_in_many_spellings(text): assert when(text, order="mdy") == ["2018-01-05T20:15"]


@pytest.mark.parametrize("text", ["2018/01/06 02:15:00+00", "2018-01-06T02:15:00Z", "2018-01-06 02:15:00 UTC", "2018-01-05T20:15:00-06:00", "2018-01-05T21:15:00-0500", "2018-01-06T03:15:00+01",
                                  "Fri Jan 05 2018 20:15:00 GMT-0600 (CST)", "Sat, 06 Jan 2018 02:15:00 GMT", "01/05/2018 09:15:00 PM EST", "1515204900", "1515204900000", "1515204900000.0",
                                  "2018-01-05T21:15:00-05:00[America/New_York]"])
def test_a_zone_that_is_written_is_used(text):
    found = read(text, order="mdy", zone="America/Chicago")
    assert str(found.time[0]) == "2018-01-05T20:15:00" and "America/Chicago" in found.remarks[0]


@pytest.mark.parametrize("text", ["now", "today", "epoch", "yesterday", "02/30/2018", "13/13/2018", "2018-02-29", "01/05/2018 24:00:01", "01/05/2018 12:60", "01/05/2018 8", "01/05/2018 13:00 PM", "2018", "32", "1.5",
                                  "01/05/2018 10:00 XYZ", "2018-01-05T10:00+25:00", "0000-00-00", "Jan", "١٢/٠٥/٢٠١٨", "1/5/018"])
def test_no_date(text):
    found = read(text, order="mdy", zone="America/Chicago")
    assert np.isnat(found.time[0]) and found.wrong[0] and not found.missing[0]


@pytest.mark.parametrize("text", ["1900-01-01", "01/01/1900 12:00:00 AM", "1899-12-30T00:00:00", "1970-01-01 00:00:00"])
def test_a_date_that_stands_for_none(text):
    found = read(text, order="mdy")
    assert found.nothing[0] and np.isnat(found.time[0]) and not found.wrong[0]


def test_missing_is_not_wrong():
    found = read(None, "", " ", "NULL", "(null)", "NA", "N/A", "<NA>", "NaT", order="mdy")
    assert found.missing.all() and not found.wrong.any()


def test_days_and_months_are_known_as_such():
    found = read("2018-03", "03/2018", "Mar 2018", "2018-03-05", "3/5/2018", "2018-03-05 00:00", order="mdy")
    assert list(found.exact) == [2, 2, 2, 1, 1, 0] and list(found.time.astype("datetime64[D]").astype(str)) == 3*["2018-03-01"] + 3*["2018-03-05"]


def test_offsets_that_differ_between_rows_in_summer_and_winter():
    assert when("2024-01-15T10:00:00-05:00", "2024-07-15T10:00:00-04:00", "2024-01-15T15:00:00Z", "2024-07-15T14:00:00Z", zone="America/New_York") == [
        "2024-01-15T10:00", "2024-07-15T10:00", "2024-01-15T10:00", "2024-07-15T10:00"]
    # with nothing known of the city, the clock that is written stays, and it is said
    found = read("2024-01-15T10:00:00-05:00", "2024-07-15T10:00:00-04:00")
    assert [str(t) for t in found.time.astype("datetime64[h]")] == ["2024-01-15T10", "2024-07-15T10"] and "not known" in found.remarks[0]


def test_utc_without_a_mark():
    assert when("2024-07-01 02:00", zone="America/Chicago", utc=True) == ["2024-06-30T21:00"]
    assert when("2024-07-01 02:00", zone="America/Chicago", label="UTC") == ["2024-06-30T21:00"]
    assert when("2024-07-01 02:00", zone="America/Chicago", label="UTC", wall=True) == ["2024-07-01T02:00"]
    assert when("2024-07-01 02:00", zone="America/Chicago", label="America/New_York") == ["2024-07-01T01:00"]


@pytest.mark.parametrize("end, minutes", [("Z", 0), ("+00:00", 0), (" UTC", 0), (".000Z", 0), (" (UTC)", 0), ("-0500", -300), (" EST", -300), ("", None), (" Uhr", None)])
def test_a_zone_that_stands_in_a_format_is_used(end, minutes):
    found = F.times(pa.array([f"2024-07-01T02:01:00{end}"]), F.Writing(formats=(f"%Y-%m-%dT%H:%M:%S{end}",), zone="America/Chicago"))
    want = pd.Timestamp("2024-07-01 02:01") if minutes is None else (pd.Timestamp("2024-07-01 02:01", tz="UTC") - pd.Timedelta(minutes=minutes)).tz_convert("America/Chicago").tz_localize(None)
    assert found.time[0] == want.to_datetime64() and any("became those of America/Chicago" in one for one in found.remarks) == (minutes is not None)
    unknown = F.times(pa.array([f"2024-07-01T02:01:00{end}"]), F.Writing(formats=(f"%Y-%m-%dT%H:%M:%S{end}",)))
    assert str(unknown.time[0]) == "2024-07-01T02:01:00" and any("that of the city is not known" in one for one in unknown.remarks) == (minutes is not None)


DAYS = pd.date_range("2019-01-05", "2019-03-20", freq="D")

@pytest.mark.parametrize("write", [
    lambda d: d.strftime("%Y-%m-%dT00:00:00Z"), lambda d: d.strftime("%Y/%m/%d 00:00:00+00"), lambda d: d.strftime("%d %b %Y 12:00 AM UTC"), lambda d: d.strftime("%Y-%m-%d 00:00+02:00"),
    lambda d: d.as_unit("ms").astype("int64").astype(str),
    lambda d: pa.array(d.as_unit("us"), pa.timestamp("us", "UTC")), lambda d: d.strftime("%Y-%m-%dZ")])
@pytest.mark.parametrize("days, exact", [(DAYS, 1), (pd.date_range("2018-01-01", periods=14, freq="MS"), 2)])
def test_days_written_as_midnights_of_a_zone_stay_these_days(write, days, exact):
    text = write(days)
    column = text if isinstance(text, pa.Array) else pa.array(list(text))
    for how in ({}, {"zone": "America/Chicago"}, {"zone": "Asia/Tokyo"}):
        found = F.times(column, F.Writing(**how))
        assert (found.time == days.to_numpy().astype("datetime64[s]")).all()
        # "2019-01-05Z" has no clock, and the label of times is taken off where no zone is known
        if str(column[0])[10:] == "Z" or not how and pa.types.is_timestamp(column.type): continue
        assert (found.exact == exact).all() and any(f"midnights of it: they are read as {'months' if exact == 2 else 'days'}" in one for one in found.remarks)


def test_one_moment_that_is_no_midnight_makes_all_of_them_moments():
    text = pa.array([*DAYS.strftime("%Y-%m-%dT00:00:00Z"), "2019-02-01T00:15:00Z"])
    found = F.times(text, F.Writing(zone="America/Chicago"))
    assert str(found.time[0]) == "2019-01-04T18:00:00" and not found.exact.any()
    # in pieces too
    pieces, rules = [text[:40], text[40:]], {}
    for _ in range(2):
        read_so = np.concatenate([F.times(piece, F.Writing(zone="America/Chicago"), among=rules).time for piece in pieces])
        F.settled(rules)
    assert (read_so == found.time).all()


def test_utc_dates_without_a_clock_stay_dates():
    for text in ("2024-07-01", "20240701"):
        assert when(text, zone="America/Chicago", utc=True) == ["2024-07-01T00:00"]
        assert when(text, "2024-07-02 02:00", zone="America/Chicago", label="UTC") == ["2024-07-01T00:00", "2024-07-01T21:00"]
    assert when("2024-07-01 00:00", "2024-07-02 00:00", zone="America/Chicago", label="UTC") == ["2024-07-01T00:00", "2024-07-02T00:00"]


def test_strptime_formats():
    assert when("5. 1. 2018 kl. 20.15", formats=("%d. %m. %Y kl. %H.%M",)) == ["2018-01-05T20:15"]
    assert when("20:15 on 2018-01-05 -0500", "??", "NA", formats=("%H:%M on %Y-%m-%d %z",), zone="America/Chicago") == ["2018-01-05T19:15", None, None]
    for none in ("%Q", "%Y-%Y"):
        with pytest.raises(InputError, match="no strptime format"): when("x", formats=(none,))


def test_columns_of_times():
    stamps = pa.array(pd.to_datetime(["2019-03-01 00:30", None]).as_unit("us"), pa.timestamp("us", "UTC"))
    assert str(F.times(stamps, F.Writing(zone="America/New_York")).time[0]) == "2019-02-28T19:30:00"
    assert str(F.times(stamps, F.Writing(zone="America/Chicago", wall=True)).time[0]) == "2019-03-01T00:30:00"
    found = F.times(pa.array([17_956, None], pa.date32()))
    assert str(found.time[0]) == "2019-03-01T00:00:00" and list(found.exact) == [1, 1] and list(found.missing) == [False, True]
    # ArcGIS writes milliseconds, as whole numbers or, where one is missing, as floats
    for kind in (pa.int64(), pa.float64()): assert str(F.times(pa.array([1515204900000, None], kind), F.Writing(zone="America/Chicago")).time[0]) == "2018-01-05T20:15:00"


# --- day or month first ---

def test_the_order_is_judged_from_the_whole_column():
    days = pd.date_range("2018-01-01", "2018-01-31")
    for form, order in (("%d/%m/%Y", "dmy"), ("%m/%d/%Y", "mdy")):
        found = read(*days.strftime(form))
        assert (found.time == days.to_numpy()).all() and found.order == order and "first" in found.remarks[0]


@pytest.mark.parametrize("n", [31, 3_000])
def test_neither_is_told_and_it_matters(n):
    twelve = [f"{day:02}/03/2018" for day in range(1, 13)]*(n//12)
    with pytest.raises(InputError, match="say the order, dmy or mdy"): read(*twelve)
    assert when(twelve[3], order="dmy") == ["2018-03-04T00:00"] and when(twelve[3], order="mdy") == ["2018-04-03T00:00"]
    # one row in hundreds may be a typing error, and tells nothing
    if n > 1000:
        with pytest.raises(InputError): read(*twelve, "03/13/2018")


def test_both_orders_in_one_column():
    good = [f"{day:02}/03/2018" for day in range(1, 32)]*40
    with pytest.raises(InputError, match="begin with the day and .* with the month"): read(*good, *[f"03/{day}/2018" for day in range(13, 32)]*9)
    found = read(*good, "03/31/2018")
    assert found.wrong.sum() == 1 and found.wrong[-1] and found.order == "dmy"


def test_a_clear_column_goes_before_a_habit_and_not_before_a_word():
    days = pd.date_range("2018-03-01", "2018-03-31")
    found = read(*days.strftime("%d/%m/%Y"), order="mdy", firm=False)
    assert (found.time == days.to_numpy()).all() and found.order == "dmy" and "not as is usual" in found.remarks[0]
    assert (read(*days.strftime("%m/%d/%Y"), order="dmy", firm=False).time == days.to_numpy()).all()
    with pytest.raises(InputError, match="19 dates that begin with the day and 0 .*said to be mdy: say dmy"): read(*days.strftime("%d/%m/%Y"), order="mdy")
    for firm in (True, False):
        # a typing error among many, and days that could be either, change nothing, and it is counted as what it is
        found = read(*days.strftime("%m/%d/%Y"), "31/03/2018", "31/31/2018", order="mdy", firm=firm)
        assert found.wrong.sum() == 2 and list(np.flatnonzero(found.other)) == [31] and (found.time[:-2] == days.to_numpy()).all() and found.order is None
        with pytest.raises(InputError, match="read the two kinds apart"): read(*days.strftime("%m/%d/%Y"), *days.strftime("%d/%m/%Y"), order="mdy", firm=firm)


def test_few_dates_against_a_habit_shift_nothing():
    # eight of twenty-five tell, all against the habit
    few = pd.date_range("2018-03-01", "2018-03-25")[5:20]
    assert (read(*few.strftime("%d/%m/%Y"), order="mdy", firm=False).time == few.to_numpy()).all()
    # one or two tell nothing of the others …
    for told in (["13/03/2018"], ["13/03/2018", "14/03/2018"]):
        with pytest.raises(InputError, match="does not tell the order of the other 3"): read("01/03/2018", "02/03/2018", "04/03/2018", *told, order="mdy", firm=False)
    # … and nothing has to be told where there are no others
    assert when("31/12/2018", "30/12/2018", order="mdy", firm=False) == ["2018-12-31T00:00", "2018-12-30T00:00"]


def test_a_habit_that_would_put_all_on_one_day_is_asked_for():
    # the first twelve days of January, day first, of a city that writes the month first
    for order, form in (("mdy", "%d/%m/%Y"), ("dmy", "%m/%d/%Y")):
        days = pd.date_range("2018-01-01", "2018-01-12").strftime(form)
        with pytest.raises(InputError, match="say the order, dmy or mdy"): read(*days, order=order, firm=False)
        assert list(read(*days, order=order).time.astype("datetime64[M]").astype(int) % 12) == list(range(12))
    assert (read(*pd.date_range("2018-01-01", "2018-01-12").strftime("%m/%d/%Y"), order="mdy", firm=False).time == pd.date_range("2018-01-01", "2018-01-12").to_numpy()).all()


# --- years of two digits ---

MARCH = pd.date_range("2024-03-01", "2024-03-31")

@pytest.mark.parametrize("form", ["%y-%m-%d", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%y%s-%m-%d", "%d-%b-%y"])
@pytest.mark.parametrize("days", [MARCH, pd.date_range("2015-01-01", "2016-12-31"), pd.date_range("1998-11-02", "2003-05-01", freq="3D")])
def test_years_of_two_digits_are_judged_from_the_column(form, days):
    text = [d.strftime(form.replace("%s", "")) for d in days]
    found = read(*text)
    assert (found.time == days.to_numpy()).all()


@pytest.mark.parametrize("text, right", [(["3/5/24", "3/15/24"], "2024-03-05"), (["12/31/24"], "2024-12-31"), (["99-03-15"], "1999-03-15"), (["24.03.2015", "1.4.2015"], "2015-03-24"),
                                         (["24-Mar-15"], "2015-03-24"), (["30-Mar-15"], "2015-03-30"), (["15-03-99"], "1999-03-15")])
def test_a_part_that_can_be_no_year(text, right): assert when(*text)[0] == f"{right}T00:00"


@pytest.mark.parametrize("text", [["24-03-15"], ["15/03/24"], ["15/3/24"], ["03/05/24"], ["24-03-15", "24-03-16", "24-03-17"], ["01/02/24"]*50])
def test_a_year_of_two_digits_that_nothing_tells_is_asked_for(text):
    with pytest.raises(InputError, match="begins with the year or ends in it: say the order, ymd, dmy or mdy"): read(*text)
    a, b, c = text[0].replace("/", "-").split("-")
    for order, (year, month, day) in {"ymd": (a, b, c), "dmy": (c, b, a), "mdy": (c, a, b)}.items():
        if int(month) < 13: assert when(text[0], order=order) == [f"20{year}-{int(month):02}-{day}T00:00"]
        else:
            with pytest.raises(InputError, match=f"said to be {order}"): read(text[0], order=order)
    assert when(text[0].replace("/", "-"), formats=("%y-%m-%d",)) == [f"20{a}-{int(b):02}-{c}T00:00"]


def test_two_kinds_of_years_in_one_column():
    with pytest.raises(InputError, match="begin with the year"): read(*MARCH.strftime("%y-%m-%d"), *MARCH.strftime("%d-%m-%y"))
    assert list(read(*MARCH.strftime("%y-%m-%d"), *MARCH.strftime("%Y-%m-%d")).time) == [*MARCH.to_numpy()]*2


# --- spreadsheets and other programs ---

@pytest.mark.parametrize("text, right", [
    ("45366.5", "2024-03-15T12:00"), ("45366,75", "2024-03-15T18:00"), ("45366.489583333", "2024-03-15T11:45"), ("15MAR2024:23:55:00", "2024-03-15T23:55"), ("15mar24", "2024-03-15T00:00"),
    ("15. 3. 2024 23:55", "2024-03-15T23:55"), ("15.03.2024 23.55", "2024-03-15T23:55"), ("15.03.2024, 8:05 Uhr", "2024-03-15T08:05"), ("2024-03-15 24:00", "2024-03-16T00:00"), ("12/31/2024 24:00:00", "2025-01-01T00:00"), ("3/15/2024 8 PM", "2024-03-15T20:00"), ("15th March 2024, 8:05 pm", "2024-03-15T20:05"),
    ("March 3rd, 2024", "2024-03-03T00:00"), ("2024-03-15 14h30", "2024-03-15T14:30"), ("20240315.0", "2024-03-15T00:00"), ("1710500400000000", "2024-03-15T11:00"), ("1710500400.25", "2024-03-15T11:00")])
def test_times_of_other_programs(text, right): assert when(text) == [right]


def test_a_spreadsheets_days_are_said():
    found = F.times(pa.array([45366.5, 45367, None, 123.0]))
    assert list(found.wrong) == [False, False, False, True] and list(found.exact[:2]) == [0, 0] and "spreadsheet" in found.remarks[0]
    assert list(F.times(pa.array([45366, 45367])).exact) == [1, 1]


def test_where_it_does_not_matter(): assert when("03/03/2018", "04/04/2018") == ["2018-03-03T00:00", "2018-04-04T00:00"]


LAYOUTS = ["%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M:%S+00", "%d %b %Y %H:%M", "%Y%m%d%H%M"]

@settings(max_examples=40, deadline=None)
@given(minutes=st.lists(st.integers(0, 60*24*365*60), min_size=1, max_size=300), layout=st.sampled_from(LAYOUTS), unpadded=st.booleans(), junk=st.lists(st.sampled_from(["", "x", "99/99/9999", None]), max_size=30))
def test_the_fast_way_and_the_slow_way_agree_with_strptime(minutes, layout, unpadded, junk):
    true = np.datetime64("1980-01-01T00:00", "s") + np.array(minutes).astype("timedelta64[m]")
    text = list(pd.Series(true).dt.strftime(layout))
    if unpadded and "/%Y" in layout or "." in layout: text = ["/".join(p.lstrip("0") for p in t.split("/")) if "/" in t else t for t in text]
    order = "dmy" if layout.startswith("%d") else "mdy"
    found = read(*text, *junk, order=order)
    assert (found.time[:len(true)] == true).all() and np.isnat(found.time[len(true):]).all() and not (found.missing & found.wrong).any()


# --- clocks ---

def test_clocks():
    seconds, missing, wrong = F.clocks(pa.array(["14:30:00", "2:30 PM", "1430", "5", "0", "130", "1970-01-01T14:30:00.000", "12:05 am", None, "NA", "2475", "24:00:00", "noon", "5.0", "235500", "0.5", "8 PM", "14h05", "24:01"]))
    assert list(seconds[:8]//60) == [870, 870, 870, 5, 0, 90, 870, 5] and list(np.flatnonzero(missing)) == [8, 9] and list(np.flatnonzero(wrong)) == [10, 12, 18] and list(seconds[[11, 13, 14, 15, 16, 17]]//60) == [1440, 5, 1435, 720, 1200, 845]


def test_clocks_with_a_point():
    seconds, _, wrong = F.clocks(pa.array(["14.30", "9.05", "0.10", "23.59"]))
    assert list(seconds//60) == [870, 545, 10, 1439] and not wrong.any()
    # parts of an hour, and parts of a day, are none
    assert all(F.clocks(pa.array(some))[2].all() for some in (["14.50", "15.00", "16.25"], ["14.75", "15.05", "16.00"], ["14.5", "15.0"]))
    assert list(F.clocks(pa.array(["0.50", "0.25", "0.75"]))[0]//60) == [720, 360, 1080]


def test_a_column_of_hours():
    assert list(F.clocks(pa.array(["0", "23", "5", None, "24"]))[0][[0, 1, 2, 4]]//3600) == [0, 23, 5, 24] and list(F.clocks(pa.array([7., 8., 7.]), "hours")[0]//3600) == [7, 8, 7]
    assert list(F.clocks(pa.array(["7", "8"]*10))[0]//3600) == [7, 8]*10
    assert list(F.clocks(pa.array(["1", "1", "1"]))[0]) == [60]*3 and list(F.clocks(pa.array(["1", "23", "1350"]))[0]//60) == [1, 23, 830]


def test_a_few_small_numbers_are_hours_or_minutes_past_midnight_and_nothing_tells():
    few = pa.array(["1", "5", "10"])
    with pytest.raises(InputError, match="tells whether 10 is an hour or minutes past midnight"): F.clocks(few)
    assert [list(F.clocks(few, written)[0]) for written in F.WRITTEN] == [[60, 300, 600], [3600, 18_000, 36_000], [60, 300, 600]]
    with pytest.raises(InputError, match="way to write clocks .seconds."): F.clocks(few, "seconds")


def test_minutes_since_midnight_are_told_from_hours_and_minutes():
    minutes = np.random.default_rng(0).integers(0, 1440, 200)
    for text in (pa.array(minutes.astype(str)), pa.array(minutes.astype(float))):
        seconds, missing, wrong = F.clocks(text)
        assert list(seconds) == list(60*minutes) and not (missing | wrong).any()
    # hours and minutes with a typing error, and minutes that could be both
    assert list(F.clocks(pa.array(["1130", "930", "0", "975", *["2310"]*20]))[0][:3]//60) == [690, 570, 0]
    assert list(F.clocks(pa.array(["930", "1130"]), "minutes")[0]//60) == [930, 1130] and list(F.clocks(pa.array(["930", "1130"]))[0]//60) == [570, 690]


# --- labels and record numbers ---

@pytest.mark.parametrize("same", [["001307355", "1307355", "1307355.0", " 1307355 ", "1,307,355", "1 307 355", "1.307355E+06"], ["11,000,000", "11000000", "1.1e7"], ["12,34,567", "1,234,567", "1234567", "12,34,567.0"], ["0", "000", "0.0"], ["JA123456", " JA123456"]])
def test_record_numbers_in_one_spelling(same): assert F.record_ids(same).nunique() == 1

@pytest.mark.parametrize("text", ['="1307355"', "+1307355", "1\u00a0307\u00a0355", "1\u202f307\u202f355", "1.307.355", "1.307355E6", "\u00a01307355 ", "1307355L", "#1307355", "# 1307355", "\"1307355\"", "1307355;", "No. 1307355", "Nr.1307355", "１３０７３５５", "١٣٠٧٣٥٥"])
def test_what_programs_put_round_a_record_number_is_no_part_of_it(text): assert list(F.record_ids([text])) == ["1307355"]

def test_the_number_of_a_case_is_no_power_of_ten(): assert list(F.record_ids(["12E300", "19E1", "3E7", "2024E05", "1.307"])) == ["12E300", "19E1", "3E7", "2024E05", "1.307"] and F.record_ids(["1E+20"]).isna().all()

def test_a_guid_is_the_same_in_any_case_and_with_braces():
    same = ["{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "(3F2504E0-4F89-11d3-9A0C-0305E82C3301)"]
    assert F.record_ids(same).unique().tolist() == [same[1]] and F.record_ids(["{A-1}", "a-1"]).nunique() == 2


def test_no_number(): assert F.record_ids(["-", "--", "?", "none", "Unknown", "N/A", " ", "."]).isna().all() and list(F.record_ids(["A-1", "№7", "-7"])) == ["A-1", "№7", "-7"]

def test_a_spreadsheets_mark_for_text_is_not_part_of_a_record_number(): assert list(F.record_ids(["'001307355", "1307355", "JB'12"])) == ["1307355", "1307355", "JB'12"]


def test_record_numbers_that_differ_stay_different():
    ids = ["800000006H1", "0800000006H1", "12-34", "1234", "18446744073709551615", "18446744073709551616", "9007199254740993", "9007199254740992", "A1", "a1"]
    assert F.record_ids(ids).nunique() == len(ids) and list(F.record_ids(ids))[4] == "18446744073709551615"
    assert list(F.record_ids(pa.array([2**63 + 1, 2**63 + 2], pa.uint64()))) == ["9223372036854775809", "9223372036854775810"]
    # digits that are lost tell nothing
    assert F.record_ids(["1.23457E+14", "1.84467440737096e+19"]).isna().all() and F.record_ids([1.8446744073709552e19]).isna().all()
    assert list(F.record_ids([11000000.0, np.nan])) == ["11000000", pytest.approx(np.nan, nan_ok=True)]


@given(st.lists(st.integers(0, 2**70), min_size=1, max_size=20))
def test_any_number_survives_a_spreadsheet(numbers):
    ids = F.record_ids([f"{n:03}" for n in numbers])
    assert list(ids) == list(F.record_ids([f"{n:,}" for n in numbers])) == list(F.record_ids([f" {n}.0" for n in numbers])) == [str(n) for n in numbers]


def test_labels():
    c = F.labels([10, "9", None, " 9", "x", np.nan, "", "NULL", "n/a", "<NA>"])
    assert list(c.categories) == ["9", "10", "x"] and list(c.codes) == [1, 0, -1, 0, 2, -1, -1, -1, -1, -1]
    assert list(F.labels(["1.0", "01", 1, "Loop", "LOOP", "1,234"], numbers=None)) == ["1", "1", "1", "Loop", "LOOP", "1234"]
    assert list(F.labels(["101", "101.0", "0820", "1.5", "v2.0"])) == ["101", "101", "0820", "1.5", "v2.0"]
    assert list(F.labels(["1.0", "LOOP", "-1", "1.5", "inf", "1"*5000], numbers=True).codes[:5]) == [0, -1, -1, -1, -1]
    assert list(F.labels(["１２", "12", "①"], numbers=None)) == ["12", "12", "①"] and list(F.record_ids(["12L", "JA#12", "12²"])) == ["12L", "JA#12", "12²"]
    assert len(F.labels(["9"*5000, "8"*5001]).categories) == 2 and len(F.labels([])) == 0
    assert list(F.labels(["F", "U", "M", "?"], missing=("U",), known=("F", "M", "U")).codes) == [0, -1, 1, -1]


def test_bytes_and_mixed_columns_are_text():
    assert F.as_text(pa.array([b"ASSAULT"])).to_pylist() == ["ASSAULT"]
    assert F.as_text(pd.Series([1, "x", None, b"y"], dtype=object)).to_pylist() == ["1", "x", None, "y"]
    assert F.as_text(pa.array([1.0, 2.5, None])).to_pylist() == ["1", "2.5", None]
    with pytest.raises(InputError, match="lists"): F.as_text(pa.array([[1], [2]]))


def test_what_says_nothing_is_no_label():
    assert F.labels(["-", "--", "?", " . ", "#REF!", "(blank)", "(NULL)", "n.a.", "n.a", "N.A", "(none)", "(None)", "(n/a)"]).isna().all()
    assert list(F.labels(["THEFT", "$500 AND UNDER", "№", "1", "盗"]).dropna().astype(str)) == ["THEFT", "$500 AND UNDER", "1", "盗"]


# --- several files ---

def march(first, last, order): return pa.array([(f"{d:02}/03/2024" if order == "dmy" else f"03/{d:02}/2024") for d in range(first, last + 1)])

def test_files_are_judged_together():
    early, late, months = march(1, 12, "dmy"), march(13, 31, "dmy"), march(13, 31, "mdy")
    for files in ([[early], [late]], [[late], [early]], [[early, late], [early]]): assert F.agreed(files, ["a", "b"]) == "dmy"
    assert F.agreed([[early], [late]], ["a", "b"], "mdy") == "dmy" and F.agreed([[months], [months]], ["a", "b"], "mdy") == "mdy"
    assert F.agreed([[pa.array(["2024-03-01"])], [late]], ["a", "b"]) == "dmy" and F.agreed([[pa.array(["2024-03-01"])]]*2, ["a", "b"]) is None
    with pytest.raises(InputError, match="a: dmy|dmy: a, mdy: b"): F.agreed([[late], [months]], ["a", "b"])
    # twelve days are not twelve months because another file begins with the month, or because it is a habit
    for files, habit in (([[early], [months]], None), ([[early], [early]], "mdy")):
        with pytest.raises(InputError, match="say the order"): F.agreed(files, ["a", "b"], habit)


def test_days_of_two_months_are_not_months_of_two_days():
    days = [f"{d:02}/{m:02}/2024" for m in (3, 4) for d in range(1, 13)]
    with pytest.raises(InputError, match="say the order"): F.times(pa.array(days), F.Writing("mdy", firm=False))


@pytest.mark.parametrize("text, right", [
    ("24 décembre 2018", "2018-12-24T00:00"), ("24. Dez. 2018", "2018-12-24T00:00"), ("24. Dezember 2018 14:30", "2018-12-24T14:30"), ("24 de diciembre de 2018", "2018-12-24T00:00"),
    ("lundi 24 décembre 2018 à 14:30", "2018-12-24T14:30"), ("1er janvier 2018", "2018-01-01T00:00"), ("3 März 2018", "2018-03-03T00:00"), ("3 Ma\u0308rz 2018", "2018-03-03T00:00"),
    ("5 août 2018", "2018-08-05T00:00"), ("7 juin 2018", "2018-06-07T00:00"), ("7 juillet 2018", "2018-07-07T00:00"), ("5-fev-2018", "2018-02-05T00:00"), ("02MAI2018", "2018-05-02T00:00")])
def test_months_have_names_in_other_languages(text, right): assert when(text) == [right]


def test_every_month_of_nine_languages():
    names = """january february march april may june july august september october november december; januar februar märz april mai juni juli august september oktober november dezember
        janvier février mars avril mai juin juillet août septembre octobre novembre décembre; enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
        gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre; janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
        januari februari maart april mei juni juli augustus september oktober november december; januar februar mars april mai juni juli august september oktober november desember
        januari februari mars april maj juni juli augusti september oktober november december""".replace(";", " ").split()
    assert len(names) == 9*12
    for i, name in enumerate(names): assert when(f"5 {name} 2018", f"5 {name.upper()} 2018") == [f"2018-{i % 12 + 1:02}-05T00:00"]*2, name


def test_what_is_no_month_here_is_counted_and_said():
    with pytest.raises(InputError, match=r"no date in the table can be read \(such as '24 декабря 2018'\): write them as"):
        from crimenb import events
        events.read(pd.DataFrame({"date": ["24 декабря 2018"], "category": ["x"]}), time="date", category="category")
    assert F.times(pa.array(["5 foo 2018", "5 may 2018"])).wrong.tolist() == [True, False]


@pytest.mark.parametrize("text, ways, right", [
    ("41°52'30\"N", "NS", 41.875), ("41° 52.5' N", "NS", 41.875), ("87°37′30″W", "EW", -87.625), ("52.5°", "NS", 52.5), ("-87.63°", "EW", -87.63), ("87.63 W", "EW", -87.63), ("33°52'S", "NS", -(33 + 52/60)),
    ("41,88°", "NS", 41.88), ("POINT (-87.6 41.8)", "EW", -87.6), ("POINT (-87.6 41.8)", "NS", 41.8), ("SRID=4326;POINT(-87.6 41.8)", "NS", 41.8), ("Point Z (-87.6 41.8 3)", "NS", 41.8),
    # what is not certain is no number
    ("-87.63W", "EW", np.nan), ("87.63N", "EW", np.nan), ("13.4 O", "EW", np.nan), ("41°75'N", "NS", np.nan), ("41.5°30'N", "NS", np.nan), ("41 52 30 N", "NS", np.nan), ("POINT EMPTY", "NS", np.nan),
    ("(41.8, -87.6)", "EW", -87.6), ("41.88 -87.63", "NS", np.nan)])
def test_degrees_in_other_spellings(text, ways, right):
    assert F.floats(pa.array([text, "1.5"]), ways)[0] == pytest.approx([right, 1.5], nan_ok=True)
    # a number of anything else is not read so
    assert np.isnan(F.floats(pa.array([text, "1.5"]))[0][0])


def test_what_cannot_be_seen_tells_nothing_apart():
    assert list(F.labels(["Ko\u0308rper", "Körper", "THEFT\u200b", "THEFT", "TH\0EFT", "\ufeffTHEFT"]).categories) == ["Körper", "THEFT"]
    assert list(F.record_ids(["\ufeff12", "12", "A\u200b1", "A1"])) == ["12", "12", "A1", "A1"]
    assert F.floats(pa.array(["\u221287.63", "-87.63"]), "EW")[0].tolist() == [-87.63, -87.63]


def test_a_decimal_comma_makes_no_other_record_and_no_other_area():
    assert list(F.record_ids(["1307355,0", "1307355,00", "1.307.355,0", "1 307 355,0", "1,307355E+06", "1307355"])) == ["1307355"]*6
    assert list(F.record_ids(["12,000", "1,234,567", "A,0", "7,5"])) == ["12000", "1234567", "A,0", "7,5"]
    assert list(F.labels(["1,0", "01,00", "1", "1,000", "2,5"], None)) == ["1", "1", "1", "1000", "2,5"]
    assert list(F.labels(["1,0", "1,5", "32"], True).codes) == [0, -1, 1]


def test_a_clock_says_that_it_is_utc():
    said = pa.array(["02:00:00Z", "02:00+00", "1970-01-01T02:00:00.000+00:00", "2:00 UTC", "02:00:00", "0200", None, "02:00-05:00"])
    seconds, _, wrong = F.clocks(said)
    zones = F.clock_zones(said)
    assert list(zones[[0, 1, 2, 3, 7]]) == [0, 0, 0, 0, -300] and np.isnan(zones[4:7]).all() and not wrong.any() and set(seconds[[0, 1, 2, 3, 4, 5, 7]]) == {7200}
    said = pa.array(["02:00 EST", "2:00 am MDT", "02:01:00+0530", "02:00 UTC-5", "02:00 XYZ", "02:00+25:00", "02:00 CST"])
    zones, (seconds, _, wrong) = F.clock_zones(said, "Asia/Shanghai"), F.clocks(said, zone="Asia/Shanghai")
    assert list(wrong) == [True, True, False, False, True, True, False] and list(zones[[2, 3, 6]]) == [330, -300, 480] and list(seconds[[2, 3, 6]]) == [7260, 7200, 7200]
    assert list(F.clock_zones(said, "America/Chicago")[[0, 1, 6]]) == [-300, -360, -360]


@pytest.mark.parametrize("text", ["2018/{:02}/03 10:05", "2018-{:02}-03", "2018{:02}03"])
def test_the_day_behind_the_year_is_never_read_in_part(text):
    march = [text.format(day) for day in range(1, 32)]
    with pytest.raises(InputError, match="19 dates such as 2018/13/03, with the day behind the year, and 0 with the month"): F.times(pa.array(march))
    # typing errors in a column of the usual order are dropped, and a column that is said how to read is read
    found = F.times(pa.array([text.replace("03", "23").format(month) for month in range(1, 13)]*20 + [text.format(13)]))
    assert list(np.flatnonzero(found.wrong)) == [240] and found.time[2] == np.datetime64("2018-03-23" + "T10:05"*(":05" in text))
    form = text.replace("{:02}", "%d").replace("03", "%m", 1).replace("2018", "%Y").replace("10:05", "%H:%M")
    read = F.times(pa.array(march), F.Writing(formats=(form,))).time.astype("datetime64[D]")
    assert (read == np.arange("2018-03-01", "2018-04-01", dtype="datetime64[D]")).all()


# --- the same number written in more than one way ---

def test_clocks_of_six_digits_without_zeros_in_front():
    # 14:35:00, 9:35:00, midnight, 0:05:00, 0:00:07
    assert list(F.clocks(pa.array(["143500", "93500", "0", "500", "7"]))[0]) == [52_500, 34_500, 0, 300, 7]
    assert list(F.clocks(pa.array([143500., 93500., 0., 500.]))[0]) == [52_500, 34_500, 0, 300]
    # among hours and minutes, five digits are a slip
    seconds, _, wrong = F.clocks(pa.array(["1435", "935", "14355", "0", "5", "2310", "2311"]))
    assert list(seconds[[0, 1, 3, 4]]) == [52_500, 34_500, 0, 300] and list(np.flatnonzero(wrong)) == [2]


def test_a_column_called_hour_has_hours_however_few_its_rows_are():
    assert list(F.clocks(pa.array(["14"]), written="hours")[0]) == [50_400] and list(F.clocks(pa.array(["14"]))[0]) == [840]
    assert list(F.clocks(pa.array(["1435", "5"]), written="hours")[0]) == [52_500, 300]


@pytest.mark.parametrize("zone, text, want", [
    ("Asia/Shanghai", "2024-01-01 00:10 CST", "2024-01-01 00:10"), ("America/Chicago", "2024-01-01 00:10 CST", "2024-01-01 00:10"), ("America/Havana", "2024-01-01 00:10 CST", "2024-01-01 00:10"),
    ("Asia/Manila", "2024-07-01 00:10 PST", "2024-07-01 00:10"), ("Asia/Kolkata", "2024-07-01 00:10 IST", "2024-07-01 00:10"), ("Europe/Dublin", "2024-07-01 00:10 IST", "2024-07-01 00:10"),
    ("Asia/Jerusalem", "2024-01-01 00:10 IST", "2024-01-01 00:10"), ("Australia/Sydney", "2024-01-01 00:10 AEDT", "2024-01-01 00:10"), ("Europe/London", "2024-07-01 00:10 BST", "2024-07-01 00:10"),
    ("America/Chicago", "2024-01-01 00:10 EST", "2023-12-31 23:10"), ("America/New_York", "2024-07-01 00:10 EST", "2024-07-01 01:10"), ("Asia/Manila", "2024-07-01 00:10 UTC", "2024-07-01 08:10"),
    ("Asia/Dhaka", "2024-07-01 00:10 BST", None), ("Australia/Brisbane", "2024-07-01 00:10 EST", None), ("America/Chicago", "2024-07-01 00:10 IST", None)])
def test_the_name_of_a_zone_is_that_of_the_citys_clocks(zone, text, want):
    found = F.times(pa.array([text]), F.Writing(zone=zone)).time[0]
    assert np.isnat(found) if want is None else found == np.datetime64(want)


def test_numbers_of_ten_digits():
    # an hour of a day is no second since 1970
    assert list(F.times(pa.array(["2024010100", "2024013123"])).time) == [np.datetime64("2024-01-01T00"), np.datetime64("2024-01-31T23")]
    assert np.isnat(F.times(pa.array(["0131201805", "0201201817"])).time).all()
    with pytest.raises(InputError, match="seconds since 1970, or year"): F.times(pa.array(["1701310507", "1702021707", "1703021759"]))
    packed = F.times(pa.array(["1701310507", "1702021707"]), F.Writing(formats=("%y%m%d%H%M",))).time
    assert list(packed) == [np.datetime64("2017-01-31T05:07"), np.datetime64("2017-02-02T17:07")]
    # of these two seconds only one could be such a date
    assert list(F.times(pa.array(["1701310507", "1704067200"])).time) == [np.datetime64("2023-11-30T02:15:07"), np.datetime64("2024-01-01")]


# --- what programs make of a column when they save it again ---

@pytest.mark.parametrize("label, want", [("-05:00", ["2024-01-15 09:00", "2024-07-15 10:00"]), ("+00:00", ["2024-01-15 04:00", "2024-07-15 05:00"]), ("+05:30", ["2024-01-14 22:30", "2024-07-14 23:30"]),
                                         ("-0330", ["2024-01-15 07:30", "2024-07-15 08:30"])])
def test_a_fixed_offset_is_a_zone(label, want):
    clock = ["2024-01-15 10:00", "2024-07-15 10:00"]
    right = [t.replace(" ", "T") for t in want]
    assert when(*clock, zone="America/Chicago", label=label) == right == when(*(t + label for t in clock), zone="America/Chicago")
    # what is written in a row goes before what is said of the column; a portal's own clock stays
    assert when(clock[0] + "-06:00", zone="America/Chicago", label=label) == ["2024-01-15T10:00"]
    for how in ({}, {"zone": "America/Chicago", "wall": True}): assert when(*clock, label=label, **how) == ["2024-01-15T10:00", "2024-07-15T10:00"]


@pytest.mark.parametrize("form", ["{m:02}/{d:02}/2022 {h:2}:{t:02}", "{m:2}/{d:2}/2022 {h:2}:{t:02}", "{m:02}/{d:02}/2022\u00a0{h}:{t:02}", "{m:02}/{d:02}/2022\u202f{h:02}:{t:02}", "{m}/ {d}/2022\t{h:02}:{t:02}",
                                  "2022-{m:02}-{d:02}   {h:2}:{t:02}:00", "{m:2}-{d:2}-2022 \u2009{h:2}:{t:02}", "{d:2}  Jan\u00a0 2022  {h:2}:{t:02}"])
@pytest.mark.parametrize("n", [24, 2_400])
def test_hours_padded_with_blanks(form, n):
    true = np.datetime64("2022-01-01T00:15") + 61*np.arange(n) % (31*24*60)
    stamps = pd.to_datetime(true)
    found = read(*(form.format(m=t.month, d=t.day, h=t.hour, t=t.minute) for t in stamps), order="mdy")
    assert (found.time == true).all() and not found.wrong.any()
    twelve = read(*(t.strftime("%m/%d/%Y  ") + f"{(t.hour + 11) % 12 + 1:2}:{t.minute:02}\u202f" + t.strftime("%p") for t in stamps), order="mdy")
    assert (twelve.time == true).all()


def test_blanks_in_a_clock():
    seconds, _, wrong = F.clocks(pa.array(["8:05\u202fPM", "8:05  AM", " 8:05\u00a0 pm", "2022-01-05   8:05"]))
    assert list(seconds//60) == [1205, 485, 1205, 485] and not wrong.any()
    said = pa.array(["02:00\u00a0UTC", "02:00  Z", "02:00"])
    assert list(np.isfinite(F.clock_zones(said))) == [True, True, False] and not F.clocks(said)[2].any()


@pytest.mark.parametrize("hours", [["0.62", "8.02", "16.03", "0.05", "14.50", "23.90", "0.25"], ["0,62", "8,02", "16,03", "0,05"], [".62", "8.5", "16"], [.5, 8., 16., 0., 23.], [.25, .75, 14.], ["0.62", "8.02", None, "24.0", "00.5"]])
def test_hours_with_decimals_are_no_parts_of_a_day(hours):
    text = pa.array(hours)
    for written in (None, "hours"):
        _, missing, wrong = F.clocks(text, written)
        assert (wrong | missing).all()


def test_parts_of_a_day_stay_what_they_are():
    minutes = np.arange(1, 1440)
    for parts in (minutes/1440, [f"{m/1440:.6f}" for m in minutes], [f"{m/1440:.6f}".replace(".", ",") for m in minutes]):
        seconds, _, wrong = F.clocks(pa.array(parts))
        assert (abs(seconds - 60*minutes) <= 1).all() and not wrong.any()
    # one typing error among a thousand
    seconds, _, wrong = F.clocks(pa.array([0., *(minutes[1:]/1440), 8.02]))
    assert list(np.flatnonzero(wrong)) == [1439] and list(seconds[:2]) == [0, 120] and (seconds[1:-1] == 60*minutes[1:]).all()
    assert list(F.clocks(pa.array([0., .5]))[0]) == [0, 43_200]


@pytest.mark.parametrize("day_first", [True, False])
@pytest.mark.parametrize("how", [{}, {"order": "dmy"}, {"order": "mdy"}, {"order": "mdy", "firm": False}])
def test_dates_that_a_spreadsheet_has_swapped_are_refused(day_first, how):
    days = pd.date_range("2022-01-01", "2022-12-31", freq="5h")
    own, swapped = ("%d/%m/%Y %H:%M", "%Y-%d-%m %H:%M:%S") if day_first else ("%m/%d/%Y %H:%M", "%Y-%d-%m %H:%M:%S")
    text = [t.strftime(swapped if t.day <= 12 else own) for t in days]
    for some in (text, text[40:70]):
        with pytest.raises(InputError, match="swaps day and month .*: export the file again"): read(*some, **how)
    # either way alone, and two honest ways in one column, are read
    if how.get("order") in (None, "dmy" if day_first else "mdy"):
        for some in (days.strftime(own), days.strftime("%Y-%m-%d %H:%M"), [*days[:900].strftime(own), *days[900:].strftime("%Y-%m-%d %H:%M")]):
            assert (read(*some, **how).time == days.to_numpy().astype("datetime64[m]")).all()


@pytest.mark.parametrize("written", ["serial", "serial with a clock", "milliseconds", "%-d-%b-%y", "%d-%b-%Y", "%-d. %B %Y", "%Y/%m/%d"])
def test_swapped_dates_are_refused_however_the_spreadsheet_writes_them(written):
    days = pd.date_range("2022-01-01", "2022-12-31", freq="29h")
    def made(t):
        if written == "milliseconds": return str(int(t.timestamp()*1000))
        if "serial" not in written: return t.strftime(written)
        number = (t - pd.Timestamp("1899-12-30"))/pd.Timedelta(days=1)
        return f"{number:.6f}" if "clock" in written else str(int(number))
    swapped = [made(pd.Timestamp(t.year, t.day, t.month, t.hour)) if t.day <= 12 else t.strftime("%d/%m/%Y %H:%M") for t in days]
    with pytest.raises(InputError, match="swaps day and month .*: export the file again"): read(*swapped)
    # as many that were not swapped
    fine = [made(t) if i % 5 < 2 else t.strftime("%d/%m/%Y %H:%M") for i, t in enumerate(days)]
    assert (read(*fine).time.astype("datetime64[D]") == days.to_numpy().astype("datetime64[D]")).all()


def test_a_few_dates_in_two_layouts_are_no_swap():
    "Of one or two dates that begin with the year and one or two that do not, days fall as they like."
    for iso, slash in ((["2018-02-03 04:05"], ["01/25/2018 05:00"]), (["2018-02-03 04:05", "2018-03-04 04:05"], ["01/25/2018 05:00", "01/26/2018 05:00"])):
        wanted = pd.to_datetime([*iso, *(f"{t[6:10]}-{t[:2]}-{t[3:5]}{t[10:]}" for t in slash)])
        assert (read(*iso, *slash).time == wanted.to_numpy().astype("datetime64[m]")).all()


def test_record_numbers_in_pieces_are_judged_together():
    pieces, rules = [["123.456", "7"], ["1.234.567", "2.234.567"]], {}
    first = [[*F.record_ids(piece, rules)] for piece in pieces]
    assert first[0] == ["123.456", "7"] and not F.settled(rules)
    assert [[*F.record_ids(piece, rules)] for piece in pieces] == [["123456", "7"], ["1234567", "2234567"]] and F.settled(rules)
    # a point with other than three digits behind it parts no thousands
    assert list(F.record_ids(["123.456", "7.25", "1.234.567"])) == ["123.456", "7.25", "1234567"]
    assert list(F.record_ids(["123,456", "1,234,567", "998,000", "5,000.00"])) == ["123456", "1234567", "998000", "5000"]


@pytest.mark.parametrize("text", ["2018-{:02}-03", "2018/{:02}/03 10:05", "2018{:02}03"])
def test_the_same_day_of_twelve_months_is_asked_for(text):
    column = pa.array([text.format(i) for i in range(1, 13)]*3)
    with pytest.raises(F.Untold, match="lie on 1 day of 12 months, .*say order ymd"): F.times(column)
    assert F.times(column, F.Writing("ymd")).time[1].astype("datetime64[D]") == np.datetime64("2018-02-03")
    # months are written as their first day, and honest days are of all of a month
    assert not F.times(pa.array([text.replace("03", "01").format(i) for i in range(1, 13)])).wrong.any()
    assert not F.times(pa.array([text.replace("03", "13").format(i) for i in range(1, 13)])).wrong.any()
    # as many of one kind as of the other are no typing errors
    with pytest.raises(InputError, match="day behind the year"): F.times(pa.array([text.format(i) for i in (13, 14, 15, 16)] + [text.replace("03", f"{i}").format(1) for i in (13, 14, 15, 16)]))


def test_dates_in_32_bits_are_refused():
    with pytest.raises(InputError, match="numbers of 32 bits, which do not hold all their digits"): F.times(pa.array([20180105., 20180301.], pa.float32()))
    assert "exact to 338 seconds only" in F.times(pa.array([43103.5, 43104.25], pa.float32())).remarks[0]
    assert not any("bits" in one for one in F.times(pa.array([43103., 43104.], pa.float32())).remarks)


@pytest.mark.parametrize("how", ["%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%m.%Y", "%Y.%m", "%Y%m", "%Y%m.0", "%B %Y", "%b %Y", "%b. %Y", "%Y %b", "%Y %B"])
def test_months_are_known_however_they_are_written(how):
    from crimenb import events
    at = pd.Series(pd.date_range("2018-01-15 10:20", periods=60, freq="11D"))
    for text, n in ((at.dt.strftime(how), 60), (at.dt.strftime("%d.%m.%Y %H:%M").where(at.index % 5 > 0, at.dt.strftime(how)), 12)):
        found = events.read(pd.DataFrame({"date": text, "offense": "theft", "id": range(60)}), tz="Europe/Berlin")
        month = found.events.known_to.eq("month")
        assert len(found.events) == 60 and month.sum() == n
        order = found.events.record_id.astype(int).to_numpy()
        assert (found.events.time[month].to_numpy() == at[order[month]].dt.to_period("M").dt.start_time.to_numpy()).all()

@pytest.mark.parametrize("text", ["13.2018", "00.2018", "9.2018", "12.4923", "201813", "201800", "2018.5", "185012", "Jan-18", "2018"])
def test_what_is_no_month_is_none(text): assert not F.dates(pa.array([text]))[0]


@pytest.mark.parametrize("text, right", [("05/03/2024 08:15:00 a. m.", "2024-03-05 08:15"), ("05/03/2024 08:15:00\u00a0p.\u00a0m.", "2024-03-05 20:15"), ("5 lutego 2024 08:15", "2024-02-05 08:15"),
                                         ("5 paź 2024 08:15", "2024-10-05 08:15"), ("5 listopada 2024 08:15", "2024-11-05 08:15"), ("5 sie 2024", "2024-08-05"), ("5 wrz 2024", "2024-09-05"), ('="2024-03-05 08:15"', "2024-03-05 08:15")])
def test_times_of_spain_and_poland_and_of_a_spreadsheets_texts(text, right):
    assert F.times(pa.array([text]*3), F.Writing(order="dmy")).time[0] == np.datetime64(right)

def test_texts_that_a_spreadsheet_keeps_as_texts_are_what_stands_in_them():
    kept = pa.array(['="001307355"', '=" A 7 "', '=""', '="N/A"', "plain", '="a"b"'])
    assert F.stripped(kept).to_pylist() == ["001307355", "A 7", None, None, "plain", '="a"b"']
    assert F.record_ids(pa.array(['="001307355"', "1307355", "1307355.0"])).nunique() == F.record_ids(pa.array(["001307355", "1307355", "1307355.0"])).nunique() == 1
