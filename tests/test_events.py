"""The events table: what comes in is kept or counted, and what is not a portal's export is refused."""
import csv
import gzip
import re
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from crimenb import columns
from crimenb import events as E
from crimenb.warehouse import store as S
from crimenb.cities import Card
from crimenb.core import InputError

CHICAGO = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Latitude", "Longitude"]
GOOD = ["1", "01/05/2018 08:15:00 AM", "THEFT", "STREET", "32", "41.88", "-87.63"]


def write(path, rows, header=CHICAGO):
    with open(path, "w", newline="", encoding="utf-8") as f: csv.writer(f).writerows([header, *rows])
    return path


def row(**changes):
    return [changes.get(name.replace(" ", "_"), value) for name, value in zip(CHICAGO, GOOD)]


def balanced(cleaned):
    E.validate(cleaned.events)
    assert cleaned.rows_in == len(cleaned.events) + sum(cleaned.dropped.values())
    assert all(n > 0 for counts in (cleaned.dropped, cleaned.mended, cleaned.notes) for n in counts.values())
    return cleaned


# --- the samples -----------------------------------------------------------------------------------------------------

def test_chicago_sample(samples):
    c = balanced(E.read_chicago(samples / "chicago.csv"))
    assert c.rows_in == 14
    assert c.dropped == {"line unreadable": 1, "date or time missing": 1, "date unparsable": 1, "date out of range": 1,
                         "category missing": 1, "record id repeated": 1}
    assert c.mended == {"coordinates missing": 1, "coordinates not a number": 1, "coordinates 0, 0": 1,
                        "coordinates outside the city": 1, "premises unknown": 1, "area unusable": 1}
    e = c.events.set_index("record_id")
    assert e.time["90000002"] == pd.Timestamp("2018-01-05 23:40") and e.time["90000003"] == pd.Timestamp("2018-01-06 00:00")
    assert e.area["90000004"] == "0" and e.area["90000012"] == "32" and e.premises["90000012"] == "STREET"
    assert e.premises["90000013"] == "SCHOOL, PUBLIC, BUILDING"
    assert e.time.is_monotonic_increasing
    assert not e[["x", "y"]].notna().any().any()


def test_chicago_other_areas(samples):
    c = E.read_chicago(samples / "chicago.csv", area="Beat")
    assert c.events.area.iloc[0] == "111"
    with pytest.raises(InputError, match="Community Area, Beat"): E.read_chicago(samples / "chicago.csv", area="Street")


def test_nypd_sample(samples):
    c = balanced(E.read_nypd(samples / "nypd.csv"))
    assert c.rows_in == 12
    assert c.dropped == {"date unparsable": 1, "date out of range": 1, "category missing": 1, "record id repeated": 1}
    # the clock of one is empty: its day is known, and midnights of others are clocks
    assert c.notes["day known, not the hour"] == 1 and c.events.known_to.value_counts().to_dict() == {"day": 1}
    assert c.mended["area unusable"] == 1 and c.mended["coordinates 0, 0"] == 1 and c.mended["premises unknown"] == 1
    e = c.events.set_index("record_id")
    assert "800000006H1" in e.index and e.time["800000003"] == pd.Timestamp("2016-03-03 23:59")
    assert list(e.victim_age_group.cat.categories) == ["18-24", "25-44", "45-64", "<18"]
    assert pd.isna(e.victim_sex["800000010"]) and e.victim_sex["800000001"] == "D"


def test_a_date_whose_clock_is_empty_is_a_day(tmp_path):
    "In a column of clocks: a day of the city, in every zone and however the date is written."
    path = tmp_path/"a.csv"
    rows = ["1,2018-01-05T23:00:00Z,02:00Z", "2,2018-01-05T23:00:00Z,", "3,2018-01-07T00:00:00Z,N/A", "4,2018-01-08T00:00:00Z,00:00Z", "5,2018-01-09T00:00:00Z,99:99"]
    path.write_text("id,day,at,kind\n" + "".join(f"{row},THEFT\n" for row in rows))
    found = E.read(path, time=("day", "at"), record_id="id", tz="Europe/Zurich")
    assert found.dropped == {"date unparsable": 1} and found.notes["day known, not the hour"] == 2
    e = found.events.set_index("record_id")
    assert e.known_to.astype(object).fillna("hour").to_dict() == {"1": "hour", "2": "day", "3": "day", "4": "hour"}
    assert e.time.astype(str).to_dict() == {"1": "2018-01-05 03:00:00", "2": "2018-01-06 00:00:00", "3": "2018-01-07 00:00:00", "4": "2018-01-08 01:00:00"}


@pytest.mark.parametrize("codes, others, lost", [
    (["9999"], range(1, 78), 1), (["99999", "9"*5000], range(1, 78), 2), (["9999.0"], range(1, 10), 1), (["99", "999"], range(1, 78), 0),
    (["9999"], [*range(1, 78), 312], 0), (["9999"]*40, range(1, 20), 0), (["9999"], ["Loop", "Uptown", "Hyde Park", "1"], 0)])
def test_nines_are_no_area_among_numbers_of_two_digits(tmp_path, codes, others, lost):
    path, labels = tmp_path/"a.csv", [*map(str, others), *codes]
    path.write_text("ID,Date,Primary Type,Location Description,Community Area,Latitude,Longitude\n" + "".join(
        f"{i},01/05/2018 08:15:00 AM,THEFT,STREET,{label},41.88,-87.63\n" for i, label in enumerate(labels)))
    found = E.read_chicago(path)
    got = S.ingest("chicago", path, tmp_path/"store")
    assert found.mended.get("area unknown", 0) == got.mended.get("area unknown", 0) == lost and got.kept == len(found.events) == len(labels)
    assert found.events.area.isna().sum() == S.load("chicago", folder=tmp_path/"store").area.isna().sum() == lost
    assert list(found.events.area.cat.categories) == list(S.load("chicago", folder=tmp_path/"store").area.cat.categories)
    # a column that is no card's
    assert E.read(path, record_id="ID", order="mdy").events.area.isna().sum() == lost


def test_require_coordinates_drops_and_counts(samples):
    for read, name in ((E.read_chicago, "chicago.csv"), (E.read_nypd, "nypd.csv")):
        loose, strict = read(samples / name), balanced(read(samples / name, require_coordinates=True))
        assert len(strict.events) == loose.events.lon.notna().sum()
        assert not any(reason.startswith("coordinates") for reason in strict.mended)


# --- the real files --------------------------------------------------------------------------------------------------

def test_chicago_2018(chicago_2018):
    c = balanced(E.read_chicago(chicago_2018))
    assert c.rows_in == len(c.events) == 125_590 and c.dropped == {}
    assert c.mended == {"coordinates missing": 686, "premises unknown": 279, "area unknown": 1}
    e = c.events
    assert e.category.nunique() == 31 and e.premises.nunique() == 122
    assert set(e.area.dropna()) == {str(n) for n in range(78)}
    # local wall-clock time: a local half-year from its first to its last minute
    assert e.time.min() == pd.Timestamp("2018-01-01 00:00") and e.time.max() == pd.Timestamp("2018-06-30 23:59")
    p = E.project(e)
    assert p.x.isna().sum() == 686 and p.x.abs().max() < 30_000 and p.y.abs().max() < 30_000
    strict = balanced(E.read_chicago(chicago_2018, require_coordinates=True))
    assert strict.dropped == {"coordinates missing": 686} and len(strict.events) == 124_904


def test_chicago_2018_agrees_with_a_row_by_row_reading(chicago_2018):
    raw = pd.read_parquet(chicago_2018)
    e = E.read_chicago(chicago_2018).events
    order = np.argsort(raw.index.to_numpy(), kind="stable")
    for i in range(0, len(raw), 9973):
        theirs, ours = raw.iloc[order[i]], e.iloc[i]
        assert ours.time == raw.index[order[i]].tz_localize(None) and ours.category == theirs.PrimaryType
        assert ours.area == str(int(theirs.CommunityArea)) and ours.premises == theirs.LocationDescription
        assert (ours.lat, ours.lon) == (theirs.Latitude, theirs.Longitude) or np.isnan(theirs.Latitude)


@pytest.mark.parametrize("name, file, read, rows, alike", [
    ("nyc_2014_2015", "NYC_Crime.zip", E.read_nyc_2014_2015, 191_580, 2_748),
    ("chicago_2016_2017", "CHI_Crime.zip", E.read_chicago_2016_2017, 321_877, 916)])
def test_four_types(fetched, name, file, read, rows, alike):
    c = balanced(read(fetched(name)[file]))
    assert c.rows_in == len(c.events) == rows and c.mended == {} and list(c.notes.values()) == [alike]
    assert c.events.category.nunique() == 4 and c.events.premises.isna().all()
    assert c.events.area.nunique() == (77 if name == "nyc_2014_2015" else 0)


# --- dialects --------------------------------------------------------------------------------------------------------

def test_api_spelling_gzip_and_zip(tmp_path):
    header = [name.lower().replace(" ", "_") for name in CHICAGO]
    plain = write(tmp_path / "api.csv", [row(Date="2018-01-05T20:15:00.000")], header)
    (tmp_path / "api.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    with zipfile.ZipFile(tmp_path / "api.zip", "w") as z:
        z.write(plain, "api.csv")
        z.writestr("__MACOSX/._api.csv", b"junk")
    for name in ("api.csv", "api.csv.gz", "api.zip"):
        c = balanced(E.read_chicago(tmp_path / name))
        assert c.events.time[0] == pd.Timestamp("2018-01-05 20:15") and c.events.area[0] == "32"


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    text = write(tmp_path / "a.csv", [GOOD]).read_text()
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert balanced(E.read_chicago(tmp_path / "b.csv")).rows_in == 1


def test_portal_parquet_with_number_ids(tmp_path):
    table = pd.DataFrame([GOOD, GOOD, row(ID="2")], columns=CHICAGO).astype({"ID": "int64", "Latitude": float, "Longitude": float})
    table.to_parquet(tmp_path / "a.parquet")
    c = balanced(E.read_chicago(tmp_path / "a.parquet"))
    assert list(c.events.record_id) == ["1", "2"] and c.dropped == {"record id repeated": 1}


def test_nypd_api_dialect_and_no_victims(tmp_path):
    header = ["cmplnt_num", "cmplnt_fr_dt", "cmplnt_fr_tm", "ofns_desc", "prem_typ_desc", "addr_pct_cd", "latitude", "longitude"]
    path = write(tmp_path / "n.csv", [["1", "2016-03-02T00:00:00.000", "14:30:00", "ROBBERY", "STREET", "044", "40.8", "-73.9"]], header)
    c = balanced(E.read_nypd(path))
    assert c.events.time[0] == pd.Timestamp("2016-03-02 14:30") and c.events.area[0] == "44" and "victim_sex" not in c.events


# --- garbage ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("read", [E.read_chicago, E.read_nypd, E.read_nyc_2014_2015, E.read_chicago_2016_2017])
def test_not_an_export(read, tmp_path):
    files = {"empty.csv": b"", "binary.csv": bytes(range(256)) * 500, "zeros.csv": bytes(5000), "line.csv": b"\n\n\n",
             "torn.gz": gzip.compress(b"Date,Primary Type\n" * 999)[:40], "bad.zip": b"PK\x03\x04" + b"x" * 99,
             "bad.parquet": b"PAR1" + b"x" * 99, "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(900), "mac.csv": b"Date\rPrimary Type\r"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name) as error: read(tmp_path / name)
        assert "\n" not in str(error.value) and len(str(error.value)) < 600 + len(str(tmp_path)) * 2
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(InputError, match="there is no file"): read(path)


@pytest.mark.parametrize("column", [name for name in CHICAGO if name != "ID"])
def test_missing_column_is_named(column, tmp_path):
    keep = [i for i, name in enumerate(CHICAGO) if name != column]
    path = write(tmp_path / "a.csv", [[GOOD[i] for i in keep]], [CHICAGO[i] for i in keep])
    with pytest.raises(InputError, match=f"lacks the column.* {column}"): E.read_chicago(path)


def test_column_twice(tmp_path):
    path = write(tmp_path / "a.csv", [[*GOOD, "BATTERY"]], [*CHICAGO, "primary_type"])
    with pytest.raises(InputError, match="Primary Type more than once"): E.read_chicago(path)


def test_header_only(tmp_path):
    with pytest.raises(InputError, match="no rows"): E.read_chicago(write(tmp_path / "a.csv", []))


def test_every_date_unparsable_is_an_error_a_few_are_counted(tmp_path):
    with pytest.raises(InputError, match="no date in .*'31.31.2018'.*01/31/2018"):
        E.read_chicago(write(tmp_path / "a.csv", [row(Date="31.31.2018"), row(Date="soon")]))
    # a file that was saved anew, and every date of which has the day first
    assert E.read_chicago(write(tmp_path / "a.csv", [row(Date="31.12.2018"), row(ID="2", Date="30.12.2018")])).events.time[1] == pd.Timestamp("2018-12-31")
    with pytest.raises(InputError, match="all of them empty"): E.read_chicago(write(tmp_path / "b.csv", [row(Date="")]))
    c = balanced(E.read_chicago(write(tmp_path / "c.csv", [GOOD, row(ID="2", Date="31.12.2018"), row(ID="3", Date="02/30/2018 01:00:00 AM")])))
    assert c.dropped == {"date in the other order": 1, "date unparsable": 1}


def test_no_usable_row_is_an_error_with_the_counts(tmp_path):
    with pytest.raises(InputError, match="no row of .* category missing 2"):
        E.read_chicago(write(tmp_path / "a.csv", [row(Primary_Type=""), row(Primary_Type="  ")]))


def test_dates_that_cannot_be(tmp_path):
    rows = [GOOD, row(ID="2", Date="01/05/1818 08:15:00 AM"), row(ID="3", Date="01/05/2218 08:15:00 AM")]
    assert balanced(E.read_chicago(write(tmp_path / "a.csv", rows))).dropped == {"date out of range": 2}


def test_period(tmp_path):
    path = write(tmp_path / "a.csv", [GOOD, row(ID="2", Date="12/31/2017 11:59:00 PM"), row(ID="3", Date="01/31/2018 11:59:00 PM")])
    assert list(E.read_chicago(path, period=("2018-01-01", "2018-01-31")).events.record_id) == ["1"]
    assert len(E.read_chicago(path, period=("2018-01-01", None)).events) == 2
    with pytest.raises(InputError, match="not two dates"): E.read_chicago(path, period=("soon", None))
    with pytest.raises(InputError, match="not two dates"): E.read_chicago(path, period="2018")


def test_coordinates(tmp_path):
    places = [("41.88", "-87.63", None), ("", "-87.63", "coordinates missing"), ("41.88", "(null)", "coordinates missing"),
              ("north", "-87.63", "coordinates not a number"), ("0", "0.0", "coordinates 0, 0"), ("0", "-87.63", "coordinates outside the city"),
              ("36.619446395", "-91.686565684", "coordinates outside the city"), ("inf", "-87.63", "coordinates outside the city"),
              ("-87.63", "41.88", "coordinates outside the city")]
    path = write(tmp_path / "a.csv", [row(ID=str(i), Latitude=lat, Longitude=lon) for i, (lat, lon, _) in enumerate(places)])
    c = balanced(E.read_chicago(path))
    assert len(c.events) == len(places) and c.events.lon.notna().sum() == 1
    assert c.mended == pd.Series([why for *_, why in places]).value_counts().to_dict()
    strict = balanced(E.read_chicago(path, require_coordinates=True))
    assert strict.dropped == c.mended and strict.mended == {}


def test_first_usable_of_a_repeated_record_stays(tmp_path):
    rows = [row(Date="??"), row(Primary_Type="BATTERY"), row(Primary_Type="ASSAULT"), row(ID=""), row(ID="")]
    c = balanced(E.read_chicago(write(tmp_path / "a.csv", rows)))
    assert list(c.events.category) == ["BATTERY", "THEFT", "THEFT"] and c.dropped == {"date unparsable": 1, "record id repeated": 1}


def test_without_record_ids_identical_rows_stay_and_are_told(tmp_path):
    c = balanced(E.read_chicago(write(tmp_path / "a.csv", [GOOD[1:]] * 3, CHICAGO[1:])))
    assert len(c.events) == 3 and list(c.notes.values()) == [2] and "record_id" not in c.events


def test_broken_lines_are_counted_not_lost(tmp_path):
    good = ",".join(GOOD)
    path = tmp_path / "a.csv"
    for extra, kept in (("2,01/05/2018", 2), (f"{good},one too many", 2), (f'2,"{good}', None)):
        path.write_text("\n".join([",".join(CHICAGO), good, extra, "3" + good[1:]]))
        c = balanced(E.read_chicago(path))
        assert c.rows_in == 3
        if kept: assert len(c.events) == kept and c.dropped == {"line unreadable": 1}
    # a quotation mark that is never closed, in a column that is not read
    path.write_text("\n".join([",".join([*CHICAGO, "Note"]), good + ",x", "2" + good[1:] + ',"x', "3" + good[1:] + ",x"]))
    c = balanced(E.read_chicago(path))
    assert c.rows_in == 3 and c.dropped["line unreadable"] >= 1
    # one that is opened twice and closed once: the reader makes one row of three lines
    path.write_text("\n".join([",".join(CHICAGO), good.replace("STREET", '"STREET'), "2" + good[1:], "3" + good[1:].replace("STREET", '"STREET'), "4" + good[1:]]))
    assert balanced(E.read_chicago(path)).rows_in == 4


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_end_inside_quotation_marks_is_no_row(tmp_path, end):
    write(tmp_path / "a.csv", [row(ID="1", Location_Description=f"STREET{end}{end}(CORNER)"), GOOD[:3], row(ID="2")])
    c = balanced(E.read_chicago(tmp_path / "a.csv"))
    assert c.rows_in == 3 and c.dropped == {"line unreadable": 1} and len(c.events) == 2
    write(tmp_path / "a.csv", [row(ID="1", Location_Description=f"STREET{end}(CORNER)"), [], row(ID="2")])
    assert balanced(E.read_chicago(tmp_path / "a.csv")).dropped == {}


def test_a_line_that_is_not_utf8_is_read_as_windows_1252(tmp_path):
    (tmp_path / "a.csv").write_bytes((",".join(CHICAGO) + "\n" + ",".join(GOOD)).encode().replace(b"STREET", b"CAF\xc9"))
    assert E.read_chicago(tmp_path / "a.csv").events["premises"].tolist() == ["CAFÉ"]


text = st.text(st.characters(codec="utf-8", exclude_characters='\x00'), max_size=8)
values = {
    "ID": st.sampled_from(["1", "2", "3", "", "x"]),
    "Date": st.sampled_from(["01/05/2018 08:15:00 AM", "12/31/2017 11:59:00 PM", "", "01/05/1818 01:00:00 AM", "2018-01-05"]) | text,
    "Primary Type": st.sampled_from(["THEFT", " THEFT", "BATTERY", ""]) | text,
    "Location Description": st.sampled_from(["STREET", ""]) | text,
    "Community Area": st.sampled_from(["32", "032", "32.0", "", "0", "-1", "LOOP", "1e99", "inf"]) | text,
    "Latitude": st.sampled_from(["41.88", "0", "", "nan", "inf", "north"]) | text,
    "Longitude": st.sampled_from(["-87.63", "0", "", "41.88"]) | text,
}


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(*values.values()), max_size=12), strict=st.booleans(), shorten=st.integers(0, 7))
def test_every_row_is_kept_or_counted(tmp_path_factory, rows, strict, shorten):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    # one good row, so that the file is an export; one line with fewer fields, so that some lines are unreadable
    write(path, [row(ID="good"), *map(list, rows), GOOD[:shorten]])
    lines = 1 + len(rows) + (shorten > 0)
    c = balanced(E.read_chicago(path, require_coordinates=strict))
    assert c.rows_in == lines
    assert (c.events.record_id == "good").sum() == 1
    assert c.events.record_id.dropna().is_unique
    if strict: assert c.events.lon.notna().all()
    # nobody is counted twice: what was mended is still there
    assert all(n <= len(c.events) for n in c.mended.values())


# --- the table and the books -----------------------------------------------------------------------------------------

@pytest.fixture
def table(samples): return E.read_nypd(samples / "nypd.csv").events


def test_validate_returns_what_it_was_given(table): assert E.validate(table) is table


@pytest.mark.parametrize("spoil, words", [
    (lambda t: t.drop(columns=["lon", "area"]), "lack the column.*lon, area"),
    (lambda t: t.to_dict("list"), "DataFrame"),
    (lambda t: pd.concat([t, t[["premises"]]], axis=1), "two columns"),
    (lambda t: t.assign(time=t.time.astype("datetime64[ns]")), r"time.*datetime64\[ns\].*make it datetime64\[s\]"),
    (lambda t: t.assign(lat=t.lat.astype(str)), "'lat'.*float64"),
    (lambda t: t.assign(category=t.category.astype(object)), "'category'.*category"),
    (lambda t: t.assign(area=t.area.cat.rename_categories(int)), "area.*not text"),
    (lambda t: t.assign(record_id=range(len(t))), "record_id.*str"),
    (lambda t: t.assign(time=t.time.where(t.index > 0)), "time.*missing in 1"),
    (lambda t: t.assign(category=t.category.where(t.index > 1)), "category.*missing in 2"),
    (lambda t: t.assign(lon=np.nan), "only one of lon and lat"),
    (lambda t: t.assign(x=0.0), "only one of x and y"),
    (lambda t: t.assign(x=np.inf, y=0.0), "infinite x or y"),
    (lambda t: t.assign(lon=t.lat, lat=t.lon * 2), "swapped"),
])
def test_validate_names_what_is_off(table, spoil, words):
    with pytest.raises(InputError, match=words): E.validate(spoil(table))


def test_empty_table_is_valid(table): assert len(E.validate(table.iloc[:0])) == 0


def test_books_must_balance(table):
    with pytest.raises(ValueError, match="accounted"): E.Cleaned(table, len(table) + 1)
    report = E.Cleaned(table, len(table) + 2, {"lost": 2}, {"mended": 1}).report()
    assert list(report.rows) == [len(table) + 2, 2, 1, len(table)]


# --- metres ----------------------------------------------------------------------------------------------------------

def haversine(lon1, lat1, lon2, lat2):
    a = np.sin(np.radians(lat2 - lat1) / 2)**2 + np.cos(np.radians(lat1)) * np.cos(np.radians(lat2)) * np.sin(np.radians(lon2 - lon1) / 2)**2
    return 2 * 6_371_008.8 * np.arcsin(np.sqrt(a))


@given(lat=st.floats(-70, 70), lon=st.floats(-179, 179), x=st.floats(-20_000, 20_000), y=st.floats(-20_000, 20_000))
def test_projection_there_and_back_and_length(lat, lon, x, y):
    to = E.metres_to_degrees(x, y, (lon, lat))
    assert np.allclose(E.degrees_to_metres(*to, (lon, lat)), (x, y), atol=1e-5)
    # against the sphere: its radius is off by up to 0.6 %, the projection by up to tan(70°) · 20 km / 6,371 km = 0.9 %
    assert abs(haversine(lon, lat, *to) - np.hypot(x, y)) <= 0.016 * np.hypot(x, y) + 0.01


def test_length_of_a_degree():
    # a quarter of the meridian is 10,001,965.7 m, the equator 40,075,016.7 m
    middles = np.arange(0.05, 90, 0.1)
    assert np.isclose(sum(0.1 * E.metres_per_degree(m)[1] for m in middles), 10_001_965.7, atol=5)
    assert np.isclose(360 * E.metres_per_degree(0)[0], 40_075_016.7, atol=1)


def test_project(table):
    p = E.project(table)
    assert p.x.isna().equals(table.lon.isna()) and abs(p.x.median()) < 1e-6 and "x" in table and table.x.isna().all()
    q = E.project(table, (-73.9, 40.7))
    known = p.x.notna()
    assert np.allclose(np.hypot(p.x.diff(), p.y.diff())[known], np.hypot(q.x.diff(), q.y.diff())[known], rtol=2e-3, equal_nan=True)
    own = E.project(table, lambda lon, lat: (lon * 2, lat * 3))
    assert np.allclose(own.x, table.lon * 2, equal_nan=True) and np.allclose(own.y, table.lat * 3, equal_nan=True)
    for wrong in ("EPSG:26985", (1, 2, 3), (-73.9, 140), ("a", "b"), 5):
        with pytest.raises(InputError, match="crs"): E.project(table, wrong)
    nowhere = table.assign(lon=np.nan, lat=np.nan)
    with pytest.raises(InputError, match="no event has coordinates"): E.project(nowhere)
    assert E.project(nowhere, (-73.9, 40.7)).x.isna().all()


# --- Los Angeles and Washington ---

def test_lapd_times_ages_and_places(samples):
    found = E.read_lapd(samples/"lapd.csv")
    assert found.dropped == {"date or time missing": 1, "date unparsable": 1, "record id repeated": 1}
    assert found.mended["victim_age unknown"] == 2 and found.mended["victim_age unusable"] == 2       # 0 twice; -2 and 150
    assert found.mended["coordinates 0, 0"] == 1 and found.mended["coordinates outside the city"] == 1
    events = found.events.set_index("record_id")
    assert str(events.loc["990000002", "time"]) == "2020-01-01 00:05:00" and str(events.loc["990000011", "time"]) == "2020-03-11 00:00:00"
    assert events.loc["990000006", "area"] == "77th Street" and events["victim_age"].dropna().between(1, 120).all()
    assert events["victim_sex"].dropna().isin(["F", "M"]).all()
    assert set(E.read_lapd(samples/"lapd.csv", area="AREA").events["area"].cat.categories) == {"1", "3", "7", "12"}

def test_the_older_lapd_file_has_a_space_behind_a_name(samples, tmp_path):
    text = (samples/"lapd.csv").read_text().replace(",AREA,", ",AREA ,", 1)
    (tmp_path/"older.csv").write_text(text)
    assert E.read_lapd(tmp_path/"older.csv", area="AREA").events.equals(E.read_lapd(samples/"lapd.csv", area="AREA").events)

def test_dc_takes_when_a_crime_began_and_falls_back_on_the_report(samples):
    found = E.read_dc(samples/"dc.csv")
    assert found.dropped == {"date unparsable": 1, "record id repeated": 1}
    times = found.events.set_index("record_id")["time"].astype(str)
    assert times["19000001"] == "2018-12-31 18:20:00" and times["19000003"] == "2019-01-03 16:15:00"      # UTC, five hours ahead

def test_dc_files_without_degrees_are_turned_from_state_plane_metres(samples, tmp_path):
    import pandas as pd
    table = pd.read_csv(samples/"dc.csv", dtype=str)
    table.drop(columns=["LATITUDE", "LONGITUDE", "START_DATE"]).to_csv(tmp_path/"older.csv", index=False)
    new, old = (E.read_dc(path).events.set_index("record_id")[["lon", "lat"]].dropna() for path in (samples/"dc.csv", tmp_path/"older.csv"))
    # the sample's metres are of one degree's thousandth or so
    assert len(old) == len(new) and (old - new).abs().to_numpy().max() < .003
    # the point where the grid is anchored: 400,000 m east at the central meridian
    assert abs(old.loc["19000002", "lon"] + 77) < 1e-6

def test_the_old_ward_files_of_dc_are_read(fetched):
    found = E.read_dc(fetched("dc_rtm")["ward1.csv.gz"])
    assert found.rows_in == 31_073 and found.dropped == {"record id repeated": 10} and found.mended == {"coordinates outside the city": 1}


def test_whole_ages_without_a_gap_are_numbers_all_the_same():
    raw = pd.DataFrame({"time": ["01/05/2018 10:00:00 PM"]*2, "lon": ["-87.6"]*2, "lat": ["41.8"]*2, "category": ["THEFT"]*2, "victim_age": ["30", "41"]})
    ages = E.clean(raw, Card("town", order="mdy")).events["victim_age"]
    assert ages.dtype == "float64" and ages.tolist() == [30, 41]


# --- a table that nobody has described ---

def test_a_town_without_a_card(samples):
    c = balanced(E.read(samples / "town.csv"))
    assert c.rows_in == 14
    assert c.dropped == {"date stands for none": 1, "date unparsable": 1, "date out of range": 1, "category missing": 1, "record id repeated": 1}
    # feet, swapped, another town, 0 and 0: each on its own, though the others are right
    assert c.mended == {"coordinates missing": 1, "coordinates 0, 0": 1, "coordinates outside the city": 1, "coordinates far from all others": 2, "premises unknown": 3, "area unknown": 1}
    e = c.events.set_index("record_id")
    assert list(e.index) == ["1012", "1001", "1002", "1003", "1004", "1005", "1007", "1009", "1011"]
    assert e.area.astype(object).where(e.area.notna(), None).to_dict() | {} == {"1012": "North", "1001": "North", "1002": "7", "1003": "7", "1004": "South", "1005": "South", "1007": "South", "1009": "South", "1011": None}
    assert str(e.time["1001"]) == "2019-01-05 08:15:00" and list(e.premises.cat.categories) == ["flat", "street"]
    assert c.card.columns == {"time": "Occurred", "category": "Offence", "premises": "Kind of Place", "area": "Ward", "lon": "Long", "lat": "Lat", "record_id": "No"} and c.card.order == "dmy"
    said = " ".join(c.remarks)
    assert "guessed: time = Occurred" in said and "zone is not known" in said and "day first" in said


def test_columns_that_are_named_are_not_guessed(samples):
    c = E.read(samples / "town.csv", category="Kind of Place", tz="Europe/Berlin")
    assert set(c.events.category.cat.categories) == {"flat", "street"} and c.card.zone == "Europe/Berlin" and c.remarks[1] == "times are those of Europe/Berlin"
    with pytest.raises(InputError, match="lacks the column.s. Crime"): E.read(samples / "town.csv", category="Crime")
    with pytest.raises(InputError, match="no time zone 'Europe/Springfield'"): E.read(samples / "town.csv", tz="Europe/Springfield")
    with pytest.raises(InputError, match="no column that is known to be the time: name it with time=, out of what, howmuch"): E.read(pd.DataFrame({"what": ["theft"], "howmuch": [3]}))
    with pytest.raises(InputError, match="known to be the time or the category: name them with time=, category=, out of a, b$"): E.read(pd.DataFrame({"a": ["x"], "b": [3]}))


def table_of(n=40, **columns):
    rng = np.random.default_rng(0)
    made = {"time": pd.date_range("2019-01-05 08:15", periods=n, freq="7h").strftime("%Y-%m-%d %H:%M"), "category": "theft", "lon": 10.5 + rng.random(n)/10, "lat": 50.3 + rng.random(n)/10}
    return pd.DataFrame({**made, **columns})


def test_a_file_a_list_a_pattern_a_frame(tmp_path):
    for name in ("data[1].csv", "data1.csv", "data2.csv"): table_of(10, note=name).to_csv(tmp_path / name, index=False)
    assert E.read(tmp_path / "data[1].csv").rows_in == 10 and E.read(str(tmp_path / "data[1].csv")).rows_in == 10
    assert E.read(str(tmp_path / "data*.csv")).rows_in == 30 and E.read([tmp_path / "data1.csv", tmp_path / "data2.csv"]).rows_in == 20
    (tmp_path / "all*.csv").write_text((tmp_path / "data1.csv").read_text())
    assert E.read(str(tmp_path / "all*.csv")).rows_in == 10            # this is its name
    with pytest.raises(InputError, match="no file is named like"): E.read(str(tmp_path / "no*.csv"))
    with pytest.raises(InputError, match="there is no file"): E.read(tmp_path / "data*.csv")
    frame = table_of()
    assert E.read(frame).events.equals(E.read([frame.iloc[:20], frame.iloc[20:]]).events) and E.read(frame.set_index("time")).rows_in == 40
    typed = frame.assign(time=pd.to_datetime(frame.time), category=pd.Categorical(frame.category))
    assert E.read(typed).events.equals(E.read(frame).events)
    for empty in ([], frame.iloc[:0]):
        with pytest.raises(InputError): E.read(empty)


def test_years_that_are_far_from_all_others_are_no_hours():
    times = list(pd.date_range("2019-01-05", periods=2_000, freq="7h").strftime("%Y-%m-%d %H:%M"))
    c = balanced(E.read(table_of(2_004, time=[*times, "1901-06-01 03:00", "1950-01-01 03:00", "2190-01-01 03:00", "1900-01-01 00:00"])))
    assert c.dropped == {"date stands for none": 1, "date out of range": 1, "date more than 5 years from all others": 2} and c.events.time.min().year == 2019
    # a table that is about these years keeps them
    assert E.read(table_of(2_002, time=[*times, *["1901-06-01 03:00"]*2]), period=("1901-01-01", None)).dropped == {}
    assert E.read(table_of(40, time=times[:20] + ["1999-01-02 03:00"]*20)).dropped == {}


def test_how_exactly_times_are_known():
    hours, n = pd.date_range("2019-01-05 08:15", periods=200, freq="7h"), 200
    for times, unit in ((hours.strftime("%Y-%m-%d %H:%M"), "hour"), (hours.strftime("%Y-%m-%d"), "day"), (hours.strftime("%Y-%m"), "month"), (["2019-01-05 12:10"]*n, "day")):
        c = E.read(table_of(n, time=times))
        assert c.precision["unit"] == unit == E.precision(c.events)["unit"]
        if unit == "hour": assert E.needs_hours(c.events) is c.events
        else:
            with pytest.raises(InputError, match=f"known to the {unit}, and an hourly map needs hours"): E.needs_hours(c.events)
    part = E.read(table_of(n, time=[*hours[:100].strftime("%Y-%m-%d %H:%M"), *hours[100:].strftime("%Y-%m")]))
    assert part.notes["month known, not the day"] == 100 and part.precision["first of month"] == .5 and part.precision["unit"] == "month"


def test_an_empty_point_is_no_place(tmp_path):
    table = pd.DataFrame({"date": ["2024-03-02 02:01"]*6, "offense": "THEFT", "location": ["POINT (-87.63 41.88)"]*3 + ["POINT EMPTY", "Point Z Empty", ""]})
    table.to_csv(tmp_path/"a.csv", index=False)
    for source in (table, tmp_path/"a.csv"):
        found = E.read(source)
        assert found.mended == {"coordinates missing": 3} and list(found.events.lon.dropna()) == [-87.63]*3


@pytest.mark.parametrize("n, clocks, unit", [(19, 0, "day"), (10, 0, "day"), (9, 0, "hour"), (19, 1, "hour"), (150, 1, "day")])
def test_a_few_midnights_are_days(n, clocks, unit):
    from crimenb.grids import HourlyMaps
    days = pd.date_range("2024-03-02", periods=n - clocks).strftime("%Y-%m-%d 00:00")
    events = E.read(table_of(n, time=[*days, *["2024-03-05 14:30"]*clocks], lon=-80.0, lat=40.0)).events
    assert E.precision(events)["unit"] == unit
    if unit == "hour": return
    with pytest.raises(InputError, match="at midnight, so their times are known to the day, and .* needs hours"): HourlyMaps.from_events(events, "chicago")
    months = E.read(table_of(n, time=["2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"]*(n//2) + ["2024-03-01T00:00:00Z"]*(n % 2), lon=-80.0, lat=40.0), tz="America/New_York")
    assert months.precision["unit"] == "month" and months.notes["month known, not the day"] == n and sorted({*months.events.time.dt.month}) == [3, 4]


@pytest.mark.parametrize("zone, text", [("America/New_York", "{:%Y/%m/%d %H:%M:%S}+00"), ("America/Chicago", "{:%Y-%m-%dT%H:%M:%S}Z")])
def test_limits_are_those_of_the_citys_clocks(zone, text):
    utc = pd.date_range("2024-01-01", periods=48, freq="h")
    c = E.read(table_of(48, time=[text.format(t) for t in utc], lon=-80.0, lat=40.0), tz=zone, period=("2024-01-01", "2024-01-01 23:59:59"))
    local = utc.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    assert len(c.events) == 24 and list(c.events.time) == [t for t in local if t.day == 1 and t.year == 2024]


# --- places ---

def test_degrees_among_feet_and_feet_among_degrees():
    import pyproj
    frame = table_of(60, lon=np.linspace(-75.23, -75.19, 60), lat=np.linspace(39.95, 39.99, 60))
    x, y = pyproj.Transformer.from_crs(4326, 2272, always_xy=True).transform(frame.lon, frame.lat)
    feet = frame.drop(columns=["lon", "lat"]).assign(x=x, y=y)
    right = E.read(feet, crs=2272).events
    assert np.allclose(right.lon, frame.lon) and np.allclose(right.lat, frame.lat)
    feet.loc[[3, 8, 20], ["x", "y"]] = frame.loc[[3, 8, 20], ["lon", "lat"]].to_numpy()
    c = balanced(E.read(feet, crs=2272))
    assert c.events.lon.isna().sum() == 3 and sum(c.mended.values()) == 3
    frame.loc[[3, 8], ["lon", "lat"]] = feet.loc[[4, 9], ["x", "y"]].to_numpy()
    assert balanced(E.read(frame)).mended == {"coordinates outside the city": 2}


@pytest.mark.parametrize("change, how, words", [
    (dict(lon=2_674_927.0, lat=234_723.0), {}, "are no degrees: name the columns as x and y"),
    (dict(lon=None, lat=None, x=2_674_927.0, y=234_723.0), {}, "say their coordinate system with crs"),
    (dict(lon=None, lat=None, x=-75.2, y=39.9), dict(crs=2272, x="x", y="y"), "in degrees, not in EPSG:2272"),
    (dict(lon=None, lat=None, x=2_674_927.0, y=234_723.0), dict(crs=999999), "no coordinate system"),
    (dict(lon=41.8, lat=-87.6), dict(tz="America/Chicago"), "swapped"),
    (dict(lon=41.8, lat=-87.6), dict(box=(-88, 41, -87, 42)), "swap lon and lat"),
    (dict(lon=87.6, lat=41.8), dict(box=(-88, 41, -87, 42)), "all 30 places of the table lie outside the box of the city, such as .*: has a minus been lost")])
def test_a_whole_table_of_wrong_places_is_an_error(change, how, words):
    frame = table_of(30, **change).dropna(axis=1, how="all")
    with pytest.raises(InputError, match=words): E.read(frame, **how)


def test_no_places_are_no_error():
    c = E.read(table_of().drop(columns=["lon", "lat"]).assign(district="A"))
    assert c.events.lon.isna().all() and c.mended == {"coordinates missing": 40} and set(c.events.area) == {"A"}


def test_textual_areas_are_kept_everywhere(tmp_path):
    frame = table_of(area=["North", "South", "3", "03"]*10)
    assert list(E.read(frame).events.area.cat.categories) == ["3", "North", "South"]
    assert list(E.clean(frame, Card("town")).events.area.cat.categories) == ["3", "North", "South"]


# --- guesses ---

@pytest.mark.parametrize("names, want", [
    (dict(time="DATE OCC", category="Crm Cd Desc", lon="LON", lat="LAT"), "DATE OCC"), (dict(time="CMPLNT_FR_DT", category="OFNS_DESC", lon="Longitude", lat="Latitude"), "CMPLNT_FR_DT"),
    (dict(time="incident_datetime", category="incident_category", lon="longitude", lat="latitude"), "incident_datetime"), (dict(time="Date/Time Occurred", category="Offense", lon="lng", lat="lat"), None)])
def test_names_of_cities(names, want):
    frame = table_of().rename(columns=names)
    c = E.read(frame, **({} if want else {"time": "Date/Time Occurred"}))
    assert c.card.columns["time"] == names["time"] and c.card.columns["category"] == names["category"] and c.events.lon.notna().all()


def test_a_clock_in_a_column_of_its_own_is_found_and_a_case_number_that_repeats_is_no_record_number():
    frame = table_of(40, date=["01/25/2019 12:00:00 AM"]*40, hour=[str(h) for h in range(100, 140)], case=["A1", "A2"]*20).drop(columns="time").rename(columns={"date": "Report Date", "hour": "TIME OCC", "case": "Case Number"})
    c = E.read(frame)
    assert c.events.time.dt.strftime("%H:%M").iloc[5] == "01:05" and "record_id" not in c.events and len(c.events) == 40
    # a date that has its own clock needs none
    both = table_of(hour=["03:00"]*40)
    assert E.read(both).events.time.dt.hour.nunique() > 3


def test_no_rows_are_said_wherever_they_come_from(tmp_path, samples):
    (tmp_path/"header.csv").write_text(",".join(CHICAGO) + "\n")
    pd.DataFrame({name: pd.Series([], dtype=str) for name in CHICAGO}).to_parquet(tmp_path/"header.parquet")
    for name in ("header.csv", "header.parquet"):
        for source in (tmp_path/name, [samples/"chicago.csv", tmp_path/name]):
            with pytest.raises(InputError, match=f"{name} has a header but no rows: leave it out"): E.read(source, city="chicago")
    for make in (lambda: E.clean(pd.DataFrame({"time": [], "category": []})), lambda: E.read(pd.DataFrame({"time": [], "category": []}))):
        with pytest.raises(InputError, match="^the table has no rows: give one with some$"): make()


def test_no_view_takes_no_event_for_a_quiet_city(samples):
    from crimenb import cleaning, grids, panels, sequences, terrain
    events = E.read(samples/"chicago.csv", city="chicago").events
    none, span = events.iloc[:0], dict(start="2018-01-01", end="2018-03-01")
    places = pd.DataFrame({"lon": [-87.6], "lat": [41.8], "km2": [1.]}, index=["32"])
    for make in (lambda: sequences.Sequences.from_events(none), lambda: sequences.Sequences.from_events(none, kind="cell"), lambda: sequences.Sequences.from_events(none, kind="area"),
                 lambda: grids.HourlyMaps.from_events(none, "chicago"), lambda: grids.HourlyMaps.from_events(none, "chicago", **span),
                 lambda: panels.Panel.from_events(none), lambda: panels.Panel.from_events(none, places=places, **span), lambda: panels.Panel.from_events(none, **span),
                 lambda: panels.Panel.from_events(none, places=500.), lambda: terrain.Terrain.from_events(none), lambda: E.project(none)):
        with pytest.raises(InputError, match=r"no event.*: [a-z]") as told: make()
        assert "\n" not in str(told.value)
    # events of another time than that which is asked for
    every = pd.DataFrame({"lon": -87.6, "lat": 41.8, "km2": 1.}, index=list(events.area.cat.categories))
    with pytest.raises(InputError, match="no event lies in the .* periods from 2019"): panels.Panel.from_events(events, places=every, start="2019-01-01", end="2019-03-01")
    kept, why = cleaning.believe(none, "chicago")
    assert len(kept) == 0 and why == {}


def test_labels_that_say_little_are_labels_and_counted(tmp_path):
    rows = [row(ID=str(i), Date=f"01/{i + 1:02}/2018 08:15:00 AM", Primary_Type=what, Location_Description=where)
            for i, (what, where) in enumerate([("THEFT", "NONE"), ("Unknown", "STREET"), ("THEFT", "NONE"), ("THEFT", "N/A"), ("THEFT", "None")])]
    read = balanced(E.read_chicago(write(tmp_path/"a.csv", rows)))
    assert read.notes == {"category 'Unknown', kept as a label": 1, "premises 'NONE', kept as a label": 2} and read.mended == {"premises unknown": 2}
    assert list(read.events.premises.cat.categories) == ["NONE", "STREET"]


def test_places_in_one_column_and_in_minutes_are_found(tmp_path):
    for place, lon, lat in (("geometry\nPOINT (-87.625 41.875)", -87.625, 41.875), ("Lat,Long\n41°52'30\"\"N,87°37'30\"\"W", -87.625, 41.875)):
        header, value = place.split("\n")
        value = ",".join(f'"{v}"' for v in value.split(","))
        (tmp_path/"a.csv").write_text(f"date,category,{header}\n" + "".join(f"2018-01-{d:02} 10:1{d % 10}:00,THEFT,{value}\n" for d in range(1, 21)))
        read = balanced(E.read(tmp_path/"a.csv"))
        assert read.mended == {} and read.events.lon.to_numpy() == pytest.approx(np.full(20, lon)) and read.events.lat.to_numpy() == pytest.approx(np.full(20, lat))
    (tmp_path/"a.csv").write_text("date,category,wkt\n" + "2018-01-01 10:10:00,THEFT,POINT (1174801 1900150)\n"*20)
    with pytest.raises(InputError, match="which are no degrees"): E.read(tmp_path/"a.csv")


# --- zones beside a date, and in a name -------------------------------------------------------------------------------

def two_columns(date, clock, n=6): return pd.DataFrame({"day": [date]*n, "clock": [clock]*n, "offense": "THEFT"})


@pytest.mark.parametrize("date, clock, right", [
    ("2024-03-02", "02:00:00Z", "2024-03-01 21:00"), ("2024-03-02", "02:00+00", "2024-03-01 21:00"), ("2024-07-02", "02:00:00Z", "2024-07-01 22:00"),
    ("2024-03-02T00:00:00+00:00", "1970-01-01T02:00:00Z", "2024-03-01 21:00"), ("2024-03-02", "02:00", "2024-03-02 02:00"),
    ("2024-03-02", "02:01:00-06:00", "2024-03-02 03:01"), ("2024-03-02", "02:00+02", "2024-03-01 19:00"), ("2024-03-02", "2:00 AM EST", "2024-03-02 02:00"), ("2024-07-02", "02:00 CDT", "2024-07-02 03:00"),
    ("2024-03-02T00:00:00-06:00", "02:00-06:00", "2024-03-02 03:00"),
    # midnight of the city in another zone is a day; a count of seconds, too
    ("2024-03-02T05:00:00Z", "02:00", "2024-03-02 02:00"), ("2024-03-02T00:00:00-05:00", "02:00", "2024-03-02 02:00"), ("1709337600000", "0230", "2024-03-02 02:30")])
def test_a_zone_at_a_clock_of_its_own_is_used(date, clock, right):
    c = E.read(two_columns(date, clock), time="day", clock="clock", category="offense", tz="America/New_York")
    assert (c.events.time == pd.Timestamp(right)).all() and any("became those" in one for one in c.remarks) == (clock not in ("02:00", "0230"))
    # dates that are the city's midnights in UTC look as if they had a clock
    if date[10:13] not in ("", "T00"): return
    guessed = E.read(two_columns(date, clock).rename(columns={"day": "date", "clock": "time"}), tz="America/New_York")
    assert guessed.events.time.equals(c.events.time)


@pytest.mark.parametrize("name", ["timezone", "TZ", "utc_offset", "Time Zone"])
@pytest.mark.parametrize("zone, minutes", [("UTC", 0), ("+00:00", 0), ("-5", -300), ("-05:00", -300), ("-0600", -360), ("EST", -300), ("America/Denver", -420), ("America/Chicago", -360), (5.0, 300), ("", None)])
def test_a_zone_in_a_column_beside_the_time_is_used(tmp_path, name, zone, minutes):
    moment = pd.Timestamp("2024-03-02 02:01")
    right = moment if minutes is None else (moment.tz_localize("UTC") - pd.Timedelta(minutes=minutes)).tz_convert("America/Chicago").tz_localize(None)
    frame = pd.DataFrame({"date": ["2024-03-02 02:01:00"]*6, "offense": "THEFT", name: [zone]*6})
    for table in (frame, frame.assign(date=pd.to_datetime(frame.date)), frame.assign(date="2024-03-02", time="02:01")):
        table.to_csv(tmp_path/"a.csv", index=False)
        for source in (table, tmp_path/"a.csv"):
            found = E.read(source, tz="America/Chicago")
            assert (found.events.time == right).all() and any("says the zone of the times" in one for one in found.remarks) == (minutes is not None)
            assert (E.read(source).events.time == moment).all()


def test_rows_may_have_zones_of_their_own_in_a_column():
    frame = pd.DataFrame({"date": ["2024-03-02 02:01"]*4 + ["2024-03-02T02:01Z"], "offense": "THEFT", "tz": ["UTC", "EST", None, "America/Chicago", "EST"]})
    assert list(E.read(frame, tz="America/Chicago").events.time.dt.strftime("%d %H")) == ["01 20", "01 20", "02 01", "02 02", "02 02"]
    for word in ("here", "-300", "+25:00"):
        with pytest.raises(InputError, match=f"the zone '{re.escape(word)}' beside its times, which is not known"): E.read(frame.assign(tz=word), tz="America/Chicago")


def test_a_zone_at_a_clock_that_cannot_be_used_is_said():
    how = dict(time="day", clock="clock", category="offense")
    with pytest.raises(InputError, match="6 dates with a zone in column day whose clock in column clock has none"): E.read(two_columns("2024-03-02T00:00:00Z", "02:00"), tz="America/New_York", **how)
    c = E.read(two_columns("2024-03-02", "02:00:00Z"), **how)
    assert (c.events.time == pd.Timestamp("2024-03-02 02:00")).all() and any("6 times in the clocks of" in one and "stays as it is written" in one for one in c.remarks)
    east = E.read(two_columns("2024-03-01T23:00:00Z", "02:00"), tz="Europe/Madrid", **how)
    assert (east.events.time == pd.Timestamp("2024-03-02 02:00")).all()


@pytest.mark.parametrize("name, says", [("date_utc", True), ("occurred (UTC)", True), ("TIME_GMT", True), ("utc time", True), ("dateUTC", True), ("outcutch", False), ("occurred", False)])
def test_a_name_that_says_utc_is_told(tmp_path, name, says):
    from crimenb import cards
    frame = pd.DataFrame({name: ["2024-03-02 02:00"]*6, "offense": "THEFT"})
    def told(remarks): return any(f"the column {name} of" in one and "says UTC" in one and "tz='UTC'" in one for one in remarks)
    assert told(E.read(frame, time=name, tz="America/New_York").remarks) == says and not told(E.read(frame, time=name, tz="UTC").remarks)
    assert not told(E.read(frame.assign(**{name: "2024-03-02T02:00Z"}), time=name, tz="America/New_York").remarks)
    frame.to_csv(tmp_path/"a.csv", index=False)
    assert told(cards.draft(tmp_path/"a.csv", tz="America/New_York", time=name).unsure) == says


# --- places that stand for none, or lie where no city is ---

def town(places):
    n = len(places)
    return pd.DataFrame({"time": pd.date_range("2024-01-01 10:03", periods=n, freq="7h"), "category": "THEFT", "lon": [p[0] for p in places], "lat": [p[1] for p in places]})

HERE = [(-87.6 + i/1000, 41.8 + i/1000) for i in range(60)]

@pytest.mark.parametrize("mark", [-1, 1, -99, 999, -999, -9999, 9999, 99_999])
@pytest.mark.parametrize("every", [2, 3])
def test_marks_for_no_place_are_missing_however_many_they_are(mark, every):
    # with every=2 two of three places are such marks
    out = [i % 3 < every - (every == 3)*2 for i in range(60)]
    found = E.read(town([(mark, mark) if gone else place for gone, place in zip(out, HERE)]))
    assert found.mended == {"coordinates missing": sum(out)} and list(found.events["lon"].dropna()) == [p[0] for gone, p in zip(out, HERE) if not gone]


def test_places_near_a_pole_are_none():
    swapped = [(lat, lon) for lon, lat in HERE]
    with pytest.raises(InputError, match="near a pole.*swapped"): E.read(town(swapped))
    found = E.read(town(swapped[:20] + HERE[20:]))
    assert found.mended == {"coordinates near a pole": 20} and found.events["lon"].max() < -87


def test_a_clock_of_six_digits_and_a_column_of_hours(tmp_path):
    (tmp_path/"a.csv").write_text("date,time,category\n2024-01-31,93500,THEFT\n2024-01-31,500,THEFT\n2024-01-31,143501,THEFT\n2024-01-31,0,THEFT\n")
    found = E.read(tmp_path/"a.csv", time=("date", "time"))
    assert [str(t)[11:] for t in found.events["time"]] == ["00:00:00", "00:05:00", "09:35:00", "14:35:01"]
    (tmp_path/"b.csv").write_text("date,Hour of Day,category\n2024-01-31,14,THEFT\n")
    assert E.read(tmp_path/"b.csv", time=("date", "Hour of Day")).events["time"][0] == pd.Timestamp("2024-01-31 14:00")


def test_columns_of_lists_and_records_that_nobody_asks_for(tmp_path):
    table = town(HERE).assign(tags=[[1, 2]]*60, location=[{"longitude": 1., "latitude": 2.}]*60)
    table.to_parquet(tmp_path/"a.parquet")
    for source in (table, tmp_path/"a.parquet"):
        assert list(E.read(source).events["lon"]) == [lon for lon, _ in HERE]


@pytest.mark.parametrize("offset, first", [("-05:00", "2024-01-15 09:00"), ("+00:00", "2024-01-15 04:00"), ("+05:30", "2024-01-14 22:30")])
def test_a_parquet_file_whose_zone_is_an_offset(tmp_path, offset, first):
    def saved(name, zone, month="01"):
        times = pd.Series(pd.to_datetime([f"2024-{month}-15T10:00:00{zone}", f"2024-{month}-16T11:30:00{zone}"]))
        assert times.dt.tz is not None
        pd.DataFrame({"when": times, "kind": ["theft", "arson"]}).to_parquet(tmp_path/name)
        return tmp_path/name
    named = dict(time="when", category="kind", tz="America/Chicago")
    path = saved("a.parquet", offset)
    right = [pd.Timestamp(first), pd.Timestamp(first) + pd.Timedelta("1 day 90 min")]
    for source in (path, pd.read_parquet(path)): assert list(balanced(E.read(source, **named)).events.time) == right
    assert len(E.read([path, saved("b.parquet", offset, "02")], **named).events) == 4
    # each file keeps its own: 10 and 11:30 of four hours west are 9 and 10:30 in Chicago's summer; what has no label has none
    plain = tmp_path/"d.csv"
    plain.write_text("when,kind\n2024-09-01 10:00,theft\n")
    summer = [pd.Timestamp("2024-07-15 09:00"), pd.Timestamp("2024-07-16 10:30")]
    for files in ([path, saved("c.parquet", "-04:00", "07"), plain], [plain, tmp_path/"c.parquet", path]):
        mixed = E.read(files, **named)
        assert list(mixed.events.time) == [*right, *summer, pd.Timestamp("2024-09-01 10:00")]
        assert any("those of d.csv have no label" in one for one in mixed.remarks) and any("c.parquet in column when are labelled -04:00" in one for one in mixed.remarks)


@pytest.mark.parametrize("lon, lat", [("W 87.65", "N 41.85 or so"), ("1 171 668.10 ft", "1 900 000.00 ft"), ("41.850.123", "87.650.123")])
def test_places_of_which_none_can_be_read_are_no_account_but_an_error(lon, lat):
    raw = pd.DataFrame({"record_id": [str(i) for i in range(40)], "time": pd.date_range("2020-01-01", periods=40, freq="7h").astype(str), "category": "THEFT", "lon": lon, "lat": lat})
    with pytest.raises(InputError, match="no place of .* is two numbers, such as"): E.clean(raw)
    # a few of them are, as before, counted
    raw.loc[:36, ["lon", "lat"]] = ["-87.65", "41.85"]
    assert E.clean(raw).mended == {"coordinates not a number": 3}


@pytest.mark.parametrize("names", [("fecha_hecho", "delito", "longitud", "latitud", "alcaldia_hecho"), ("Datum", "Delikt", "Längengrad", "Breitengrad", "Bezirk")])
def test_columns_are_guessed_in_spanish_and_german(names):
    values = ["2020-03-14 08:15"], ["ROBO"], ["-99.1"], ["19.4"], ["Centro"]
    found = columns.guess(pa.table(dict(zip(names, values))), {}).columns
    assert {k: v for k, v in found.items() if k in ("time", "category", "lon", "lat", "area")} == dict(zip(("time", "category", "lon", "lat", "area"), names))


def test_the_clock_of_los_angeles_has_hours_and_minutes_however_few_its_rows_are(samples, tmp_path):
    table = pd.read_csv(samples/"lapd.csv", dtype=str, keep_default_na=False)
    some = pd.concat([table.iloc[:1]]*3).assign(**{"TIME OCC": ["1", "5", "10"], "DR_NO": ["1", "2", "3"]})
    some.to_csv(tmp_path/"a.csv", index=False)
    assert list(E.read_lapd(tmp_path/"a.csv").events.time.dt.strftime("%H:%M")) == ["00:01", "00:05", "00:10"]
    # of another town nothing tells, but for the name of the column
    for name, said in (("hour", ["01:00", "05:00", "10:00"]), ("TIME OCC", ["00:01", "00:05", "00:10"]), ("minutes since midnight", ["00:01", "00:05", "00:10"])):
        some = pd.DataFrame({"day": ["2024-01-01"]*3, name: ["1", "5", "10"], "kind": "theft"})
        assert list(E.read(some, time="day", clock=name, category="kind").events.time.dt.strftime("%H:%M")) == said
    with pytest.raises(InputError, match="column late tells whether 10 is an hour or minutes"): E.read(some.rename(columns={name: "late"}), time="day", clock="late", category="kind")
    said = E.read(some.rename(columns={name: "late"}), time="day", clock="late", category="kind", clocks="hours")
    assert list(said.events.time.dt.hour) == [1, 5, 10] and columns._looks_like("clock", "late", pa.array(["1", "5", "10"]))


def test_words_for_nothing_are_nothing_in_any_case_and_counted(tmp_path):
    words = ["na", "nil", "[NULL]", "[null]", "none", "#N/A", "#n/a", "NaN", "Null", "-", "N/a", "Nil", "<None>"]
    rows = [row(ID=str(i), Date=f"01/15/2018 08:{i:02}:00 AM", Location_Description=word, Community_Area=word) for i, word in enumerate(words)]
    rows += [row(ID=word, Date=f"02/15/2018 08:{i:02}:00 AM") for i, word in enumerate(words)]
    rows += [row(ID=f"9{i}", Date=f"03/15/2018 08:{i:02}:00 AM", Primary_Type=word) for i, word in enumerate(words)]
    got = balanced(E.read_chicago(write(tmp_path/"a.csv", rows)))
    assert got.dropped == {"category missing": len(words)} and got.mended == {"premises unknown": len(words), "area unknown": len(words)}
    assert got.notes["record id unknown"] == len(words) and len(got.events) == 2*len(words)


def test_many_places_far_from_all_others_are_an_error():
    table = pd.DataFrame({"when": "2024-01-05 10:00", "kind": "theft", "lon": [-87.6]*80 + [-90.6]*20, "lat": 41.9})
    with pytest.raises(InputError, match="20 of 100 places more than 100 km from .*Say where the city is with box"): E.read(table)
    box = E.read(table, box=(-88, 41, -87, 42))
    assert box.mended == {"coordinates outside the city": 20}
    assert E.read(table.iloc[:82]).mended == {"coordinates far from all others": 2}


# portal -> its columns, each with a value and what it is to us; {n} counts the rows, {h} every second, {d} goes from 1 to 9, {u} is 4 or 5
PORTALS = {
    "small words": {"Nº expediente": ("E{}", "record_id"), "Fecha del hecho": ("14/03/2024", "time"), "Hora del hecho": ("08:1{d}", "clock"), "Modalidad delictiva": ("ROBO", "category"), "geo_x": ("-99.1", "lon"), "geo_y": ("19.4", "lat"), "scene": ("STREET", "premises"), "neighborhood_no": ("7", "area")},
    "metres": {"When it happened": ("2024-03-14 08:15", "time"), "what": ("ROBO", "category"), "geo_x": ("1171000", "x"), "geo_y": ("1900000", "y")},
    "Mexico City": {"ao_hechos": ("2019", None), "mes_hechos": ("Enero", None), "fecha_hechos": ("2019-01-0{d} 12:15:00", "time"), "ao_inicio": ("2019", None), "fecha_inicio": ("2019-02-01 10:12:00", None), "delito": ("ROBO", "category"), "categoria_delito": ("BAJO", None), "fiscalia": ("F", None), "colonia_hechos": ("C", None), "alcaldia_hechos": ("CUAUHTEMOC", "area"), "longitud": ("-99.1", "lon"), "latitud": ("19.4", "lat")},
    "Colombia": {"DEPARTAMENTO": ("CUNDINAMARCA", None), "MUNICIPIO": ("BOGOTÁ", None), "CODIGO DANE": ("11001000", None), "ARMAS MEDIOS": ("ARMA", None), "FECHA HECHO": ("1/0{d}/2024", "time"), "GENERO": ("M", None), "CANTIDAD": ("1", None), "DESCRIPCION_CONDUCTA": ("HURTO", "category")},
    "Buenos Aires": {"id-mapa": ("{}", "record_id"), "anio": ("2023", None), "mes": ("ENERO", None), "dia": ("LUNES", None), "fecha": ("2023-01-0{d}", "time"), "franja": ("1{d}", "clock"), "tipo": ("Robo", "category"), "subtipo": ("Robo total", None), "uso_arma": ("NO", None), "barrio": ("PALERMO", "area"), "comuna": ("14", None), "latitud": ("-34.6", "lat"), "longitud": ("-58.4", "lon"), "cantidad": ("1", None)},
    "São Paulo": {"NUM_BO": ("AB1", None), "DATA_OCORRENCIA_BO": ("0{d}/01/2023", "time"), "HORA_OCORRENCIA": ("08:15", "clock"), "NATUREZA_APURADA": ("FURTO", "category"), "BAIRRO": ("CENTRO", "area"), "LATITUDE": ("-23.5", "lat"), "LONGITUDE": ("-46.6", "lon")},
    "police.uk": {"Crime ID": ("c{}", "record_id"), "Month": ("2024-01", "time"), "Reported by": ("Met", None), "Falls within": ("Met", None), "Longitude": ("-0.1", "lon"), "Latitude": ("51.5", "lat"), "Location": ("On or near X", None), "LSOA code": ("E01000{d}", "area"), "LSOA name": ("City {d}", None), "Crime type": ("Drugs", "category"), "Last outcome category": ("x", None), "Context": ("", None)},
    "Toronto": {"EVENT_UNIQUE_ID": ("GO-{}", "record_id"), "REPORT_DATE": ("1/1/2014 5:00:00 AM", None), "OCC_DATE": ("1/1/2014 {u}:00:00 AM", "time"), "OCC_YEAR": ("2014", None), "OCC_HOUR": ("1{d}", "clock"), "DIVISION": ("D42", None), "LOCATION_TYPE": ("Apartment", None), "PREMISES_TYPE": ("Apartment", "premises"), "OFFENCE": ("Assault", "category"), "MCI_CATEGORY": ("Assault", None), "HOOD_158": ("144", None), "NEIGHBOURHOOD_158": ("Morningside (144)", "area"), "LONG_WGS84": ("-79.2", "lon"), "LAT_WGS84": ("43.8", "lat")},
    "Seattle": {"Report Number": ("R{h}", None), "Offense ID": ("{}", "record_id"), "Offense Start DateTime": ("02/05/2020 10:1{d}:00 AM", "time"), "Offense End DateTime": ("", None), "Report DateTime": ("02/05/2020 11:1{d}:00 AM", None), "Group A B": ("A", None), "Crime Against Category": ("SOCIETY", None), "Offense Parent Group": ("DRUG", None), "Offense": ("Drug Violations", "category"), "Offense Code": ("35A", None), "Precinct": ("W", "area"), "Sector": ("Q", None), "Beat": ("Q1", None), "MCPP": ("MAGNOLIA", None), "100 Block Address": ("x", None), "Longitude": ("-122.3", "lon"), "Latitude": ("47.6", "lat")},
    "Denver": {"incident_id": ("{h}", None), "offense_id": ("{}", "record_id"), "OFFENSE_CODE": ("2399", None), "OFFENSE_CODE_EXTENSION": ("0", None), "OFFENSE_TYPE_ID": ("theft-other", None), "OFFENSE_CATEGORY_ID": ("larceny", "category"), "FIRST_OCCURRENCE_DATE": ("6/15/2016 11:3{d}:00 PM", "time"), "LAST_OCCURRENCE_DATE": ("", None), "REPORTED_DATE": ("6/16/2016 11:3{d}:00 PM", None), "INCIDENT_ADDRESS": ("x", None), "GEO_X": ("3143000", None), "GEO_Y": ("1690000", None), "GEO_LON": ("-104.9", "lon"), "GEO_LAT": ("39.7", "lat"), "DISTRICT_ID": ("3", None), "PRECINCT_ID": ("311", "area"), "NEIGHBORHOOD_ID": ("stapleton", None), "IS_CRIME": ("1", None)},
    "Boston": {"INCIDENT_NUMBER": ("I{}", "record_id"), "OFFENSE_CODE": ("3005", None), "OFFENSE_DESCRIPTION": ("SICK ASSIST", "category"), "DISTRICT": ("D4", "area"), "REPORTING_AREA": ("1", None), "SHOOTING": ("0", None), "OCCURRED_ON_DATE": ("2023-01-27 22:4{d}:00", "time"), "YEAR": ("2023", None), "MONTH": ("1", None), "DAY_OF_WEEK": ("Friday", None), "HOUR": ("22", None), "UCR_PART": ("", None), "STREET": ("X", None), "Lat": ("42.3", "lat"), "Long": ("-71.1", "lon")},
    "Philadelphia": {"objectid": ("{}", None), "dc_dist": ("18", "area"), "psa": ("3", None), "dispatch_date_time": ("2023-03-11 17:1{d}:00+00", "time"), "dispatch_date": ("2023-03-11", None), "dispatch_time": ("12:12:00", None), "hour": ("12", None), "dc_key": ("2023{}", "record_id"), "location_block": ("x", None), "ucr_general": ("800", None), "text_general_code": ("Other Assaults", "category"), "point_x": ("-75.2", None), "point_y": ("39.9", None), "lat": ("39.9", "lat"), "lng": ("-75.2", "lon")},
    "Baltimore": {"RowID": ("{}", "record_id"), "CCNumber": ("C{}", None), "CrimeDateTime": ("2024/01/0{d} 10:1{d}:00+00", "time"), "CrimeCode": ("4E", None), "Description": ("COMMON ASSAULT", "category"), "Inside_Outside": ("I", None), "Weapon": ("", None), "Post": ("111", None), "Gender": ("F", None), "Age": ("30", None), "Race": ("B", None), "Location": ("x", None), "Old_District": ("C", None), "New_District": ("C", None), "Neighborhood": ("Y", "area"), "Latitude": ("39.3", "lat"), "Longitude": ("-76.6", "lon"), "PremiseType": ("STREET", "premises")},
    "Berlin": {"ANGELEGT_AM": ("02.01.2024", None), "TATZEIT_ANFANG_DATUM": ("01.01.2024", "time"), "TATZEIT_ANFANG_STUNDE": ("1{d}", "clock"), "TATZEIT_ENDE_DATUM": ("02.01.2024", None), "TATZEIT_ENDE_STUNDE": ("8", None), "LOR": ("01100101", "area"), "SCHADENSHOEHE": ("500", None), "VERSUCH": ("Nein", None), "DELIKT": ("Fahrraddiebstahl", "category")},
    "Houston": {"Incident": ("{}", None), "RMS Occurrence Date": ("1/1/2024", "time"), "RMS Occurrence Hour": ("1{d}", "clock"), "NIBRS Class": ("13A", None), "NIBRS Description": ("Aggravated Assault", "category"), "Offense Count": ("1", None), "Beat": ("1A10", "area"), "Premise": ("Residence", "premises"), "ZIP Code": ("77002", None), "Map Longitude": ("-95.3", "lon"), "Map Latitude": ("29.7", "lat")},
    "Portland": {"Address": ("x", None), "CaseNumber": ("{}", "record_id"), "CrimeAgainst": ("Person", None), "Neighborhood": ("N", "area"), "OccurDate": ("1/1/2024", "time"), "OccurTime": ("14{d}0", "clock"), "OffenseCategory": ("Assault", None), "OffenseType": ("Simple", "category"), "OpenDataLat": ("45.5", "lat"), "OpenDataLon": ("-122.6", "lon"), "OpenDataX": ("7644000", None), "OpenDataY": ("684000", None), "ReportDate": ("1/2/2024", None), "OffenseCount": ("1", None)},
    "Vancouver": {"TYPE": ("Theft", "category"), "YEAR": ("2023", None), "MONTH": ("3", None), "DAY": ("1", None), "HOUR": ("10", None), "MINUTE": ("0", None), "HUNDRED_BLOCK": ("x", None), "NEIGHBOURHOOD": ("West End", "area"), "X": ("490000", "x"), "Y": ("5458000", "y")},
}

@pytest.mark.parametrize("name", PORTALS)
def test_the_columns_of_portals_are_guessed(name):
    fill = lambda value, i: value.replace("{}", str(1000 + i)).replace("{h}", str(i//2)).replace("{d}", str(1 + i % 9)).replace("{u}", str(4 + i % 2))
    table = pa.table({theirs: [fill(value, i) for i in range(60)] for theirs, (value, _) in PORTALS[name].items()})
    assert columns.guess(table, {}).columns == {ours: theirs for theirs, (_, ours) in PORTALS[name].items() if ours}


@pytest.mark.parametrize("names", [dict(IS_CRIME="1", time="2024-01-05 10:00"), dict(hour="12"), dict(month="3", year="2023"), dict(reference_date="x")])
def test_what_is_not_sure_is_not_guessed(names):
    assert columns.guess(pa.table({name: [value]*60 for name, value in names.items()}), {}).columns.keys() <= {"time"}
    # a text that is another one in each row is no kind of crime, and a code of an offence is no number of a record
    told = pa.table({"description": [f"he took {i} apples" for i in range(60)], "Offense ID": [str(i % 5) for i in range(60)]})
    assert columns.guess(told, {}).columns == {}


@pytest.mark.parametrize("days, hours", [([f"2024-01-{d:02}T05:00:00" for d in range(1, 25)], 9), (["2024-01-01 00:00"]*24, 9), (["1/1/2024 12:00:00 AM"]*24, 9),
                                         ([f"2024-01-01T{h:02}:00:00" for h in range(24)], 0), (["2024-01-01T05:30:00"]*24, 5)])
def test_a_date_at_one_hour_of_the_day_has_no_clock(days, hours):
    found = E.read(pd.DataFrame({"date": days, "hour": ["09:00"]*24, "kind": "theft"})).events
    assert found["time"].dt.hour[0] == hours


@pytest.mark.parametrize("n", [3, 4, 30])
def test_a_file_of_two_cities_is_refused_however_small(n):
    table = table_of(2*n, time="2024-03-05 14:30", lon=[-87.6]*n + [-73.9]*n, lat=[41.8]*n + [40.7]*n)
    with pytest.raises(InputError, match="places of 2 towns up to 11.. km from each other"): E.read(table)
    assert E.read(table, box=(-88, 41, -87, 42)).mended == {"coordinates outside the city": n}


def vague_table(n, rough, how):
    hours = pd.date_range("2024-01-01 00:30", periods=n - rough, freq="1h").strftime("%Y-%m-%d %H:%M")
    times = [*hours, *[how[i % len(how)] for i in range(rough)]]
    return table_of(n, time=times)


@pytest.mark.parametrize("how, unit", [(["2024-01", "2024-02"], "month"), (["2024-01-03", "2024-02-05"], "day"), (["2024-01-01 00:00", "2024-02-01 00:00"], "month")])
def test_what_is_not_known_to_the_hour_is_in_no_hour(how, unit):
    from crimenb.grids import HourlyMaps
    from crimenb.panels import Panel
    from crimenb.sequences import Sequences
    read = E.read(vague_table(1000, 100, how))
    assert read.events.known_to.value_counts().to_dict() == {unit: 100} and read.precision["unit"] == "hour"
    maps = HourlyMaps.from_events(read.events)
    assert np.nansum(maps.counts) == 900 and maps.notes[0] == "100 events left out: time not known to the hour, 10.0% of all"
    week = Panel.from_events(read.events.assign(area=pd.Categorical(["1"]*1000)))
    assert week.left_out.get("whose time is not known to the day", 0) == {"month": 100, "day": 0}[unit]
    spots = Sequences.from_events(read.events.assign(area=pd.Categorical(["1"]*1000)), kind="area")
    assert spots.dropped["time not known to the hour"] == 100
    # more than a fifth is no hourly map
    with pytest.raises(InputError, match="needs hours"): HourlyMaps.from_events(E.read(vague_table(1000, 300, how)).events)
    # all of a few, where they are written so
    with pytest.raises(InputError, match="needs hours"): HourlyMaps.from_events(E.read(vague_table(5, 5, [text[:7 if unit == "month" else 10] for text in how])).events)


@pytest.mark.parametrize("crs", [99999999, "EPSG:nowhere"])
def test_a_system_that_is_none_is_refused_beside_degrees_too(crs):
    with pytest.raises(InputError, match="no coordinate system: give as crs an EPSG number"): E.read(table_of(3), crs=crs)


def test_a_box_that_begins_with_a_latitude_is_named():
    with pytest.raises(InputError, match="box is .41.6, -88.0, 42.1, -87.5., which begins with a latitude: give .west, south"): E.read(table_of(30, lon=-87.6, lat=41.8), box=(41.6, -88, 42.1, -87.5))
    # Zurich's could be one of a town in Somalia
    with pytest.raises(InputError, match="in each other's column: swap lon and lat, or, if it is the box"): E.read(table_of(30, lon=8.5, lat=47.4), box=(47.3, 8.4, 47.5, 8.7))


@pytest.mark.parametrize("place", ["POINT (11.5125 48.1375)", "POINT Z (11.5125 48.1375 0)", "(48.1375, 11.5125)", "(48.1375°, 11.5125°)", '{"type": "Point", "coordinates": [11.5125, 48.1375]}', "{'type': 'Point', 'coordinates': [11.5125, 48.1375]}",
                                   "{'latitude': '48.1375', 'longitude': '11.5125', 'human_address': '{}'}", '{"needs_recoding": false, "longitude": 11.5125, "latitude": 48.1375}'])
def test_places_of_which_both_numbers_stand_in_one_column(tmp_path, place):
    table = pd.DataFrame({"when": [f"2024-01-{d:02} 10:30" for d in range(1, 29)], "offense": ["theft", "robbery"]*14, "where": place})
    table.to_csv(tmp_path/"e.csv", index=False)
    for source in (table, tmp_path/"e.csv"):
        found = balanced(E.read(source, tz="Europe/Berlin"))
        assert found.card.columns["lon"] == found.card.columns["lat"] == "where" and (found.events.lon == 11.5125).all() and (found.events.lat == 48.1375).all()

def test_places_far_from_the_city_of_their_zone_are_swapped_or_of_another_one():
    at = lambda lon, lat, zone: E.read(table_of(lon=np.linspace(lon, lon + .01, 40), lat=np.linspace(lat, lat + .01, 40)), tz=zone).events
    # swapped, in radians
    for lon, lat, zone in ((48.1, 11.5, "Europe/Berlin"), (41.9, 12.5, "Europe/Rome"), (.2, .84, "Europe/Berlin"), ):
        with pytest.raises(InputError, match="km from the city whose time .* is: are lon and lat swapped, or is it another zone"): at(lon, lat, zone)
    # as far as zones reach: Kashgar, Vladivostok's Magadan, Perth's Kununurra, Honolulu, and a zone that is in no list
    for lon, lat, zone in ((75.98, 39.46, "Asia/Shanghai"), (128.74, -15.77, "Australia/Perth"), (-66.1, 18.4, "America/New_York"), (-157.8, 21.3, "Pacific/Honolulu"), (-87.6, 41.8, "US/Central"), (7.75, 48.57, "Europe/Berlin")):
        assert len(at(lon, lat, zone)) == 40
