"""The event store: the rules and the books of events.clean, one row a record, all or nothing, and views that do not know the difference."""
import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import warnings
import zipfile
from functools import partial

import numpy as np
import pandas as pd
import pytest
from faults import flipped
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from crimenb import events as E
from crimenb import geo, grids, panels, sequences, terrain
from crimenb.warehouse import feeds as F
from crimenb.warehouse import store as S
from crimenb.cities import Card
from crimenb.core import InputError

CHICAGO = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Latitude", "Longitude"]
GOOD = ["1", "01/05/2018 08:15:00 AM", "THEFT", "STREET", "32", "41.88", "-87.63"]
FILES = {"chicago": "chicago.csv", "nyc": "nypd.csv", "la": "lapd.csv", "dc": "dc.csv"}


def write(path, rows, header=CHICAGO):
    with open(path, "w", newline="", encoding="utf-8") as f: csv.writer(f, lineterminator="\n").writerows([header, *rows])
    return path


def row(**changes): return [changes.get(name.replace(" ", "_"), value) for name, value in zip(CHICAGO, GOOD)]


def agree(city, path, folder, name=None):
    "The store of a file, or of several, has the events and the books of the reader; `name`: of a city that is a card's path."
    got, want = S.ingest(city, path, folder), E.read(path, city=city)
    assert (got.rows_in, got.kept, got.dropped, got.mended) == (want.rows_in, len(want.events), want.dropped, want.mended)
    assert [*got.dropped] == [*want.dropped] and sorted(got.remarks) == sorted(want.remarks)
    pd.testing.assert_frame_equal(S.load(name or city, folder=folder), want.events)
    return got


# --- the rules -------------------------------------------------------------------------------------------------------

def test_numbers_of_areas_and_kinds_that_were_saved_again_are_the_same(tmp_path):
    # a card that expects names of areas, such as Washington's DISTRICT, and a gap that makes whole numbers of pandas real ones
    card = Card("oldtown", {"time": "When", "category": "Kind", "premises": "Place", "record_id": "Nr"}, {"Quarter": False}, zone="Europe/Zurich")
    rows = pd.DataFrame({"Nr": range(1, 9), "When": [f"2018-01-05 08:1{i}" for i in range(8)], "Kind": 624, "Place": [101, None]*4, "Quarter": [3, 3, None, 4]*2})
    rows.astype({"Place": "Int64", "Quarter": "Int64"}).to_csv(tmp_path/"a.csv", index=False)
    rows.assign(Nr=range(11, 19), Kind=624.).to_csv(tmp_path/"b.csv", index=False)
    rows.assign(Nr=range(21, 29), Quarter=["03", "003", None, " 4 "]*2).to_csv(tmp_path/"c.csv", index=False)
    paths = [tmp_path/name for name in ("a.csv", "b.csv", "c.csv")]
    read, got = E.read(paths, city=card), S.ingest(card, paths, tmp_path/"stores")
    pd.testing.assert_frame_equal(S.load("oldtown", folder=tmp_path/"stores"), read.events)
    assert {name: [*read.events[name].cat.categories] for name in ("category", "premises", "area")} == {"category": ["624"], "premises": ["101"], "area": ["3", "4"]}
    assert got.mended == read.mended == {"coordinates missing": 24, "premises unknown": 12, "area unknown": 6}


def test_real_numbers_too_short_for_a_record_number_tell_no_records_apart(tmp_path):
    card = Card("oldtown", {"time": "When", "category": "Kind", "record_id": "Nr", "lon": "Lon", "lat": "Lat"}, {"Quarter": True}, zone="Europe/Zurich")
    rows = pd.DataFrame({"Nr": 200100000 + np.arange(40), "When": [f"2018-01-05 08:{i}" for i in range(10, 50)], "Kind": "THEFT", "Quarter": 36061000000 + np.arange(40), "Lon": 8.5 + np.arange(40)/1000, "Lat": 47.4})
    for kind, wrong in (("float32", True), ("float64", False), ("uint64", False)):
        table, folder = rows.astype({"Nr": kind, "Quarter": kind, "Lon": "float32"}), tmp_path/kind
        table.to_parquet(tmp_path/f"{kind}.parquet")
        read, got = E.read(tmp_path/f"{kind}.parquet", city=card), S.ingest(card, tmp_path/f"{kind}.parquet", folder)
        pd.testing.assert_frame_equal(S.load("oldtown", folder=folder), read.events)
        pd.testing.assert_frame_equal(E.read(table, city=card).events, read.events)
        assert got.kept == len(read.events) == 40 and got.mended == read.mended == ({"area unknown": 40} if wrong else {})
        assert [*read.events["record_id"].dropna()] == ([] if wrong else [*rows["Nr"].astype(str)])
        assert np.allclose(read.events["lon"], rows["Lon"], atol=1e-6)


def test_names_of_areas_where_numbers_are_expected_are_kept_in_both_readers(tmp_path):
    at = [row(ID=str(i), Date=f"01/05/2018 08:{i % 60:02}:00 AM", Community_Area=("LOOP", "UPTOWN", "")[i % 3]) for i in range(60)]
    got = agree("chicago", write(tmp_path/"named.csv", at), tmp_path/"named")
    assert got.mended == {"area unknown": 20}
    read = E.read(tmp_path/"named.csv", city="chicago")
    assert read.events["area"].value_counts().to_dict() == {"LOOP": 20, "UPTOWN": 20} and any("most areas are names, such as 'LOOP', where" in said for said in read.remarks)
    week = panels.Panel.from_events(read.events, freq="D")
    assert week.areas == ["LOOP", "UPTOWN"] and week.counts.sum() == 40
    # a few names among numbers are mistakes, and so are numbers that are no area's
    for few in (["LOOP"]*29 + ["32"]*31, ["-1"]*60):
        got = agree("chicago", write(tmp_path/"few.csv", [[*one[:4], area, *one[5:]] for one, area in zip(at, few)]), tmp_path/f"few{few[0]}")
        assert got.mended == {"area unusable": sum(area != "32" for area in few)}

@pytest.mark.parametrize("city", FILES)
def test_samples_as_the_readers_see_them(city, samples, tmp_path):
    agree(city, samples/FILES[city], tmp_path)
    packed = tmp_path/"packed"
    packed.mkdir()
    (packed/"a.csv.gz").write_bytes(gzip.compress((samples/FILES[city]).read_bytes()))
    with zipfile.ZipFile(packed/"a.zip", "w") as z: z.write(samples/FILES[city], "a.csv")
    for name in ("a.csv.gz", "a.zip"): agree(city, packed/name, tmp_path/name)


def test_real_parquet_as_the_reader_sees_it(chicago_2018, tmp_path):
    table = pd.read_parquet(chicago_2018).iloc[::20].reset_index()
    table["ID"] = np.arange(len(table))
    table.to_parquet(tmp_path/"part.parquet")
    assert agree("chicago", tmp_path/"part.parquet", tmp_path/"store").mended["coordinates missing"] > 10


def test_dc_without_degrees(samples, tmp_path):
    table = pd.read_csv(samples/"dc.csv", dtype=str)
    table.drop(columns=["LATITUDE", "LONGITUDE", "START_DATE"]).to_csv(tmp_path/"older.csv", index=False)
    agree("dc", tmp_path/"older.csv", tmp_path/"store")


text = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"), exclude_characters='"'), max_size=6)
values = {
    "ID": st.sampled_from(["1", "2", "3", "x"]),
    "Date": st.sampled_from(["01/05/2018 08:15:00 AM", "12/31/2017 11:59:00 PM", "2018-02-03T04:05:06.000", "", "01/05/1018 01:00:00 AM", "01/05/2918 01:00:00 AM", "2018-01-05", "13/05/2018 08:15:00 AM", "(null)"]),
    "Primary Type": st.sampled_from(["THEFT", " THEFT", "BATTERY", "", "  ", "null"]) | text,
    "Location Description": st.sampled_from(["STREET", "", "STREET  ", "\u2003"]) | text,
    "Community Area": st.sampled_from(["32", "032", "32.0", "", "0", "-1", "LOOP", "1.5"]),
    "Latitude": st.sampled_from(["41.88", "0", "", "nan", "inf", "north", "-41.9", " 41.7"]),
    "Longitude": st.sampled_from(["-87.63", "0", "", "41.88", "-87.63x"]),
}


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.tuples(*values.values()), max_size=12), shorten=st.integers(1, 7))
def test_both_engines_judge_the_same_rubbish_alike(tmp_path_factory, rows, shorten):
    folder = tmp_path_factory.mktemp("any")
    path = write(folder/"a.csv", [row(ID="good", Date="01/25/2018 08:15:00 AM"), *map(list, rows), GOOD[:shorten]])
    try: E.read(path, city="chicago")
    except InputError:
        # more dates of the other order than of the portal's
        with pytest.raises(InputError, match="order"): S.ingest("chicago", path, folder)
    else: agree("chicago", path, folder)


def test_lapd_and_nypd_rubbish(samples, tmp_path):
    rng = np.random.default_rng(0)
    for city, name in (("la", "lapd.csv"), ("nyc", "nypd.csv")):
        table = pd.read_csv(samples/name, dtype=str, keep_default_na=False)
        many = table.sample(200, replace=True, random_state=1).reset_index(drop=True)
        # shuffle every column for itself, so that all faults meet
        for column in many: many[column] = rng.permutation(many[column].to_numpy(object))
        many.to_csv(tmp_path/name, index=False)
        agree(city, tmp_path/name, tmp_path/city)


# --- the books -------------------------------------------------------------------------------------------------------

def test_lines_that_cannot_be_read_are_counted_and_kept_for_a_look(tmp_path):
    good = ",".join(GOOD)
    lines = [",".join(CHICAGO), good, "2,01/05/2018", "3" + good[1:] + ",one too many", "", "4" + good[1:], "5" + good[1:].replace("STREET", 'ST"REET'), '6,"' + good, "7" + good[1:]]
    (tmp_path/"a.csv").write_bytes(("\n".join(lines) + "\n").encode() + b"8,caf\xe9\n")
    got = S.ingest("chicago", tmp_path/"a.csv", tmp_path)
    assert got.rows_in == sum(line != "" for line in lines[1:]) + 1 and got.dropped["line unreadable"] == got.rows_in - got.kept
    assert "2,01/05/2018" in "".join(S.rejects("chicago", tmp_path).row) and S.rejects("chicago", tmp_path).lines.sum() == got.dropped["line unreadable"]


def test_every_row_of_several_ingests_is_accounted_for(samples, tmp_path):
    rows_in = kept = dropped = replaced = 0
    for path in [samples/"chicago.csv"] * 2 + [write(tmp_path/"more.csv", [GOOD, row(ID="2", Date="??"), row(ID="90000001"), row(ID="", Date="")])]:
        got = S.ingest("chicago", path, tmp_path)
        rows_in, kept, dropped, replaced = rows_in + got.rows_in, kept + got.kept, dropped + sum(got.dropped.values()), replaced + got.replaced
        assert len(S.load("chicago", folder=tmp_path)) == got.rows == kept - replaced == rows_in - dropped - replaced
    rejected = S.rejects("chicago", tmp_path)
    assert set(rejected.ingest) == {1, 2, 3} and rejected[rejected.ingest == 3].reason.tolist() == ["date or time missing", "date unparsable"]
    book = S.ingests("chicago", tmp_path)
    assert book.rows.sum() == rows_in and book.sha256.str.len().eq(64).all() and S.cities(tmp_path).loc["chicago", "rows"] == got.rows


# --- which record stays ----------------------------------------------------------------------------------------------

def dated(number, stamp, kind, date="01/05/2018 08:15:00 AM"): return [*row(ID=number, Primary_Type=kind, Date=date), stamp]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), ((0, 1, 2),), ((2, 0, 1),), ((1, 2), 0)])
def test_the_latest_update_wins_whenever_it_comes(tmp_path, order):
    versions = [dated("1", "01/01/2019 01:00:00 PM", "A"), dated("1", "01/02/2019 01:00:00 AM", "B", "12/31/2017 08:15:00 AM"), dated("1", "01/03/2019 01:00:00 AM", "C", "01/01/2019 08:15:00 AM")]
    for i, which in enumerate(order):
        S.ingest("chicago", write(tmp_path/f"{i}.csv", [versions[k] for k in np.atleast_1d(which)] + [dated("2", "", "X")], [*CHICAGO, "Updated On"]), tmp_path)
    events = S.load("chicago", folder=tmp_path)
    assert events.category.tolist() == ["X", "C"] and events.record_id.tolist() == ["2", "1"]


def test_without_stamps_the_first_row_stays_and_later_ingests_replace(tmp_path):
    paths = [write(tmp_path/"1.csv", [row(Primary_Type="A"), row(Primary_Type="B")]), write(tmp_path/"2.csv", [row(Primary_Type="C")])]
    assert S.ingest("chicago", paths, tmp_path).dropped == {"record id repeated": 2}
    assert S.load("chicago", folder=tmp_path).category.tolist() == ["A"]
    assert S.ingest("chicago", paths[1], tmp_path).replaced == 1 and S.load("chicago", folder=tmp_path).category.tolist() == ["C"]
    # a later version that cannot be used replaces nothing
    assert S.ingest("chicago", write(tmp_path/"3.csv", [row(Date="??"), row(ID="9")]), tmp_path).replaced == 0
    assert S.load("chicago", folder=tmp_path).category.tolist() == ["C", "THEFT"]


# --- all or nothing --------------------------------------------------------------------------------------------------

def state(folder): return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


def test_a_failing_ingest_changes_nothing(tmp_path, monkeypatch):
    folder = tmp_path/"store"
    S.ingest("chicago", write(tmp_path/"a.csv", [GOOD]), folder)
    before = state(folder)
    bad = write(tmp_path/"b.csv", [row(ID="2", Date="31.31.2018")])
    with pytest.raises(InputError, match="no date in .*b.csv"): S.ingest("chicago", bad, folder)
    assert state(folder) == before
    def full(*_): raise InputError("no room")
    monkeypatch.setattr(S, "write_atomic", full)
    with pytest.raises(InputError, match="no room"): S.ingest("chicago", write(tmp_path/"c.csv", [row(ID="3"), row(Primary_Type="ARSON")]), folder)
    monkeypatch.undo()
    assert S.load("chicago", folder=folder).category.tolist() == ["THEFT"]
    S.ingest("chicago", tmp_path/"c.csv", folder)
    assert len(S.load("chicago", folder=folder)) == 2 and len(list(folder.rglob("year=*/*.parquet"))) == 1


@pytest.mark.parametrize("room", [4_000, 20_000])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_store(tmp_path, room):
    resource = pytest.importorskip("resource")
    folder, many = tmp_path/"store", write(tmp_path/"b.csv", [row(ID=str(i), Date=f"01/{1 + i % 28:02}/2018 08:{i % 60:02}:00 AM") for i in range(2, 9_000)])
    S.ingest("chicago", write(tmp_path/"a.csv", [GOOD]), folder)
    before, most = state(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may grow beyond this: the system refuses as a full disk does
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most[1]))
    try:
        with pytest.raises(InputError, match="nothing was written into .*see whether there is room") as told: S.ingest("chicago", many, folder)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert "\n" not in str(told.value) and state(folder) == before and not list(folder.rglob(".new-*"))


def test_a_killed_ingest_leaves_the_old_store(tmp_path):
    folder = tmp_path/"store"
    S.ingest("chicago", write(tmp_path/"a.csv", [GOOD]), folder)
    write(tmp_path/"b.csv", [row(ID=str(i)) for i in range(2, 50)])
    # the process stops where the new state would begin to count
    script = f"""
import sys, time
from crimenb.warehouse import store
def stop(*_): print("here", flush=True); time.sleep(60)
store.write_atomic = stop
store.ingest("chicago", {str(tmp_path/'b.csv')!r}, {str(folder)!r})"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "here"
        with pytest.raises(InputError, match="another ingest is writing"): S.ingest("chicago", tmp_path/"b.csv", folder)
        os.kill(process.pid, signal.SIGKILL)
    assert len(S.load("chicago", folder=folder)) == 1
    assert S.ingest("chicago", tmp_path/"b.csv", folder).rows == 49 and not list(folder.rglob(".new-*"))
    assert sorted(p.name for p in folder.rglob("year=*/*")) == ["00002.parquet"]


# --- the store proves itself ------------------------------------------------------------------------------------------

def whole(folder):
    "All that can be asked of a store."
    return S.load("chicago", folder=folder), S.rejects("chicago", folder), S.cities(folder), S.ingests("chicago", folder), S.tally("chicago", ["category"], folder=folder)


def test_every_flipped_bit_of_a_store_is_refused(tmp_path, samples):
    S.ingest("chicago", samples/"chicago.csv", tmp_path)
    whole(tmp_path)
    rng = np.random.default_rng(0)
    files = [*tmp_path.rglob("*.parquet"), *tmp_path.rglob("store.json")]
    assert len(files) == 3
    for path in files:
        good = path.read_bytes()
        for _ in flipped(path, good, rng):
            with pytest.raises(InputError, match="ingest again") as error: whole(tmp_path)
            assert "\n" not in str(error.value)
        for wrong in (b"", good[:len(good)//2], b"[]", b"{}", b"null", b"PAR1"):
            path.write_bytes(wrong)
            with pytest.raises(InputError, match="ingest again"): whole(tmp_path)
        path.unlink()
        with pytest.raises(InputError): whole(tmp_path)
        path.write_bytes(good)
    whole(tmp_path)


def test_a_pass_sees_one_version_whatever_is_ingested_meanwhile(tmp_path):
    def day(kind): return write(tmp_path/"a.csv", [row(ID=str(i), Date=f"01/{1 + i % 28:02}/{2015 + i % 3} 08:15:00 AM", Primary_Type=kind) for i in range(300)])
    S.ingest("chicago", day("A"), tmp_path)
    seen = []
    for events in S.each(lambda events, *_: events.category.astype(str).tolist(), "chicago", rows=40, folder=tmp_path):
        seen += events
        if len(seen) < 120: S.ingest("chicago", day("B" + "x"*len(seen)), tmp_path)
    assert seen == ["A"]*300
    # the next ingest removes what nobody reads any more
    S.ingest("chicago", day("C"), tmp_path)
    assert len(list(tmp_path.rglob("year=*/*.parquet"))) == 3 and not list(tmp_path.rglob(".reading-*"))
    assert set(S.load("chicago", folder=tmp_path).category) == {"C"}


def test_a_reader_that_was_killed_keeps_no_files(tmp_path):
    S.ingest("chicago", write(tmp_path/"a.csv", [GOOD]), tmp_path)
    script = f"""
import os
from crimenb.warehouse import store
for _ in store.each(lambda events, *_: events, "chicago", folder={str(tmp_path)!r}): os._exit(1)"""
    subprocess.run([sys.executable, "-c", script])
    assert list(tmp_path.rglob(".reading-*"))
    S.ingest("chicago", write(tmp_path/"b.csv", [row(Primary_Type="ARSON")]), tmp_path)
    assert len(list(tmp_path.rglob("year=*/*.parquet"))) == 1 and not list(tmp_path.rglob(".reading-*"))


# --- a city of one's own ----------------------------------------------------------------------------------------------

def test_a_registered_city_works_and_its_store_is_read_without_its_card(tmp_path, monkeypatch):
    from crimenb import cities
    path = tmp_path/"oldtown.csv"
    path.write_text("Nr,Reported,Kind,Quarter,Lon,Lat\n1,05.01.2018 23:10,THEFT,North,8.541,47.371\n2,16.01.2018 01:05,BURGLARY,South,8.552,47.366\n"
                    "3,06.01.2018 99:99,THEFT,South,8.550,47.369\n4,27.01.2018 12:00,THEFT,North,0,0\n")
    card = cities.Card("oldtown", {"time": "Reported", "category": "Kind", "lon": "Lon", "lat": "Lat", "record_id": "Nr"}, {"Quarter": False}, order="dmy", box=(8.4, 47.3, 8.7, 47.5))
    with pytest.raises(InputError, match="unknown city or data set 'oldtown'"): S.ingest("oldtown", path, tmp_path)
    monkeypatch.setitem(cities.CITIES, "oldtown", card)
    agree("oldtown", path, tmp_path)
    # as after a restart of the process, which knows nothing of the card
    monkeypatch.undo()
    assert S.load("oldtown", folder=tmp_path).category.tolist() == ["THEFT", "BURGLARY", "THEFT"] and list(S.cities(tmp_path).index) == ["oldtown"]
    assert S.card_of("oldtown", tmp_path) == card and S.ingest("oldtown", path, tmp_path).replaced == 3
    # a store of before that, which has no card in it
    book = tmp_path/"city=oldtown"/"store.json"
    said = json.loads(book.read_text())
    assert said.pop("card") and said.pop("seal")
    book.write_text(json.dumps({**said, "seal": S._seal(said)}))
    assert len(S.load("oldtown", folder=tmp_path)) == 3
    with pytest.raises(InputError, match="oldtown was made with a card that is not registered now: put it into crimenb.cities.CITIES"): S.ingest("oldtown", path, tmp_path)


@pytest.mark.parametrize("more, words", [({"order": "mdy"}, "order"), ({"box": (8.4, 47.3, 8.6, 47.5), "zone": "Europe/Zurich"}, "zone, box"),
                                         ({"holidays": "CH", "cell_m": 500.}, None), ({}, None)])
def test_a_registered_card_wins_over_that_of_the_store_and_a_difference_is_said(tmp_path, monkeypatch, more, words):
    from crimenb import cities
    path = tmp_path/"oldtown.csv"
    path.write_text("Nr,Reported,Kind,Quarter,Lon,Lat\n1,05.01.2018 23:10,THEFT,North,8.541,47.371\n2,06.01.2018 01:05,BURGLARY,South,8.552,47.366\n")
    card = cities.Card("oldtown", {"time": "Reported", "category": "Kind", "lon": "Lon", "lat": "Lat", "record_id": "Nr"}, {"Quarter": False}, order="dmy")
    monkeypatch.setitem(cities.CITIES, "oldtown", card)
    S.ingest("oldtown", path, tmp_path)
    monkeypatch.setitem(cities.CITIES, "oldtown", cities.replace(card, **more))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        S.ingest("oldtown", path, tmp_path)
    said = [str(one.message) for one in said if "another" in str(one.message)]
    assert [re.search(r"has another (.*): rows", one)[1] for one in said] == ([words] if words else [])
    assert S.card_of("oldtown", tmp_path) == cities.CITIES["oldtown"]
    assert S.load("oldtown", folder=tmp_path).time[0].month == (5 if "order" in more else 1)


def test_record_numbers_that_a_spreadsheet_has_saved_are_the_same(tmp_path):
    for numbers in (("001307355", "11000000"), ("1307355", "11,000,000"), ("1307355.0", "11000000.0"), (" 001307355 ", "11000000")):
        got = S.ingest("chicago", write(tmp_path/"a.csv", [row(ID=number) for number in numbers]), tmp_path)
        assert (got.kept, got.rows) == (2, 2)


def test_an_event_without_a_number_is_an_event_and_is_one_however_often_its_file_comes(tmp_path, monkeypatch):
    rows = [row(ID=""), row(ID=""), row(ID="NA"), row(ID=" "), row(ID="", Date="01/06/2018 08:15:00 AM"), row(ID="", Latitude="", Longitude="", Community_Area=""), row(ID="7"), row(ID="", Date="??")]
    path = write(tmp_path/"a.csv", rows)
    for size in (S.ROWS, 1):
        monkeypatch.setattr(S, "ROWS", size)
        folder = tmp_path/f"store{size}"
        got = agree("chicago", path, folder)
        assert (got.rows_in, got.kept, got.dropped) == (8, 7, {"date unparsable": 1}) and S.load("chicago", folder=folder).record_id.tolist().count("7") == 1
        again = S.ingest("chicago", path, folder)
        assert (again.kept, again.replaced, again.rows) == (7, 7, 7)
        # as a spreadsheet has saved it, under another name, and with one row more that says the same
        saved = write(tmp_path/"b.csv", [row(ID="nan", Date="1/5/2018 8:15", Community_Area="32.0", Latitude="41.880000", Longitude="-87.63")]*5)
        assert (S.ingest("chicago", saved, folder).rows) == 8
        # nothing tells a row without a place from one of another file
        other = write(tmp_path/"c.csv", [rows[5]])
        assert S.ingest("chicago", other, folder).rows == 9 and S.ingest("chicago", other, folder).rows == 9


def test_several_files_with_events_without_numbers_as_the_reader_sees_them(tmp_path):
    write(tmp_path/"a.csv", [row(ID=""), row(ID=""), row(ID="1"), row(ID="", Community_Area="", Latitude="")])
    write(tmp_path/"b.csv", [row(ID=""), row(ID="1"), row(ID=""), row(ID=""), row(ID="", Community_Area="", Latitude="")])
    files = [tmp_path/"a.csv", tmp_path/"b.csv"]
    got = agree("chicago", files, tmp_path/"store")
    assert got.rows_in == 9 and got.dropped == {E.TWICE: 2, "record id repeated": 1} and got.kept == 6


@pytest.mark.parametrize("nobodys", ["0", "TBD", "999999", "JX0000", "-", "N/A"])
def test_a_number_that_stands_for_none_merges_no_events(tmp_path, nobodys):
    "Seven rows have a placeholder, one record comes twice; the reader and the store agree, over one file and over three."
    def rows(ids, at): return [[i, f"01/{5 + k:02}/2018 08:{k:02}:00 AM", *GOOD[2:]] for k, i in enumerate(ids, at)]
    twice = [["12", "01/20/2018 08:00:00 AM", *GOOD[2:]]]*2
    files = [write(tmp_path/"a.csv", [*rows([nobodys]*5 + ["11"], 0), *twice, *rows([nobodys]*2, 6)]), write(tmp_path/"b.csv", rows([nobodys, "13"], 8)), write(tmp_path/"c.csv", rows([nobodys, "14"], 10))]
    reason = {E.NOBODYS: 7} if nobodys[0] not in "-N" else {}
    read = E.read(files[0], city="chicago")
    assert len(read.events) == 9 and read.dropped == {"record id repeated": 1} and read.mended == reason and read.notes["record id unknown"] == 7
    for n, file in zip((9, 11, 13), files):
        result = S.ingest("chicago", file, tmp_path/"one by one")
        assert result.rows == n and result.mended == {why: 7 if n == 9 else 1 for why in reason} and result.replaced == 0
    assert S.ingest("chicago", files[0], tmp_path/"one by one").rows == 13
    whole, read = S.ingest("chicago", files, tmp_path/"at once"), E.read(files, city="chicago")
    assert (whole.kept, whole.dropped, whole.mended) == (len(read.events), read.dropped, read.mended)
    pd.testing.assert_frame_equal(S.load("chicago", folder=tmp_path/"at once"), read.events)


def test_versions_of_a_record_and_the_crimes_of_a_case_are_no_placeholders(tmp_path):
    rows = [["7", GOOD[1], what, *GOOD[3:]] for what in ("THEFT", "ASSAULT", "BATTERY", "ROBBERY")] + [["8", "01/06/2018 08:15:00 AM", *GOOD[2:]], ["8", "01/07/2018 08:15:00 AM", *GOOD[2:]]]
    read = E.read(write(tmp_path/"a.csv", rows), city="chicago")
    assert read.dropped == {"record id repeated": 4} and read.mended == {} and list(read.events.record_id) == ["7", "8"]


def test_a_city_without_numbers_has_a_store(tmp_path):
    (tmp_path/"a.csv").write_text("When,What,Lon,Lat\n" + "2023-05-01 10:00,theft,8.54,47.37\n"*3 + "2023-05-02 11:00,theft,8.54,47.37\n")
    (tmp_path/"card.yaml").write_text("name: town\nevents: a.csv\ncolumns: {time: When, category: What, lon: Lon, lat: Lat}\n")
    got, want = S.ingest(tmp_path/"card.yaml", tmp_path/"a.csv", tmp_path/"store"), E.read(tmp_path/"a.csv", city=tmp_path/"card.yaml")
    assert got.kept == len(want.events) == 4 and S.ingest(tmp_path/"card.yaml", tmp_path/"a.csv", tmp_path/"store").rows == 4
    pd.testing.assert_frame_equal(S.load("town", folder=tmp_path/"store"), want.events)
    # a city whose records have numbers is not read without them
    with pytest.raises(InputError, match="lacks the column.s. ID: a store needs the number"): S.ingest("chicago", write(tmp_path/"b.csv", [GOOD[1:]], CHICAGO[1:]), tmp_path/"other")


def test_judged_in_pieces_as_at_once(tmp_path, city, monkeypatch):
    from crimenb import tables
    monkeypatch.setattr(tables, "BLOCK", 20_000)
    monkeypatch.setattr(S, "ROWS", 500)
    path = tmp_path/"a.csv"
    path.write_bytes((city[0]/"a.csv").read_bytes() + b"".join(b'%d,"never closed\n%d,??,x,,,,\n' % (i, i) for i in range(40)))
    got = agree("chicago", path, tmp_path/"store")
    assert got.dropped == {"line unreadable": 40, "date unparsable": 40}


def in_town(folder, *files):
    """The store and the reader agree on files of (date, longitude) rows of a town whose card says neither since when nor
    where it is; what the store says of them."""
    paths = [folder/f"{i}.csv" for i in range(len(files))]
    for path, rows in zip(paths, files):
        path.write_text("When,What,Lon,Lat\n" + "".join(f"{when},theft {path.stem}-{i % 400},{lon},41.9\n" for i, (when, lon) in enumerate(rows)))
    (folder/"card.yaml").write_text("name: town\nevents: 0.csv\ncolumns: {time: When, category: What, lon: Lon, lat: Lat}\n")
    return agree(folder/"card.yaml", paths, folder/"store", "town")


@pytest.mark.filterwarnings("ignore:the store of town has no events of 2006 to 2015")
def test_dates_of_several_files_are_lonely_together(tmp_path):
    old, new = [("2005-05-01 10:00", -87.65)], [("2016-05-01 10:00", -87.65)]
    got = in_town(tmp_path, new*300 + old, old*300)
    assert got.kept == 601 and got.dropped == {}


def test_a_lonely_date_is_so_among_all_files_and_its_row_can_be_looked_at(tmp_path):
    old, new = [("2005-05-01 10:00", -87.65)], [("2016-05-01 10:00", -87.65)]
    # in its own file it is one of eleven, which is no share for a typing error
    got = in_town(tmp_path, new*300, new*10 + old)
    reason = "date more than 5 years from all others"
    assert got.kept == 310 and got.dropped == {reason: 1}
    rejected, = S.rejects("town", tmp_path/"store").to_dict("records")
    assert (rejected["file"], rejected["reason"]) == ("1.csv", reason) and "2005-05-01 10:00" in rejected["row"]


def test_places_of_several_files_are_far_from_all_others_together(tmp_path):
    near, far = [("2016-05-01 10:00", -87.65)], [("2016-05-01 10:00", -89.65)]
    got = in_town(tmp_path, near*300 + far, near*290 + far*9)
    assert got.kept == 600 and got.mended == {"coordinates far from all others": 10}
    # so many are another city, in both readers
    for read in (lambda: in_town(tmp_path, near*300 + far, far*60), lambda: S.ingest(tmp_path/"card.yaml", [tmp_path/"0.csv", tmp_path/"1.csv"], tmp_path/"other")):
        with pytest.raises(InputError, match="2 files has 61 of 361 places more than 100 km from the middle of all, such as .-89.65, 41.9.: is it of two cities"): read()


def both(city, paths, folder, words):
    "Neither the store nor the reader takes these files, and both say the same."
    for read in (lambda: S.ingest(city, paths, folder), lambda: E.read(paths, city=city)):
        with pytest.raises(InputError, match=words): read()


@pytest.mark.parametrize("lon, lat, says", [(1709344817123, 41.88, "which are no degrees"), (1176352.25, 1903438.125, "which are no degrees"), (87.629798, 41.878113, "outside the box"), (-0.127647, 51.507222, "outside the box")])
def test_both_readers_say_the_same_of_the_same_fault(tmp_path, lon, lat, says):
    path, told = write(tmp_path/"a.csv", [row(ID=str(i), Longitude=str(lon), Latitude=str(lat)) for i in range(30)]), []
    for read in (lambda: S.ingest("chicago", path, tmp_path/"stores"), lambda: E.read(path, city="chicago")):
        with pytest.raises(InputError, match=says) as one: read()
        told.append(str(one.value))
    assert told[0] == told[1]


def small_pieces(monkeypatch, rows=50):
    from crimenb import tables
    monkeypatch.setattr(tables, "BLOCK", 1_000)
    monkeypatch.setattr(S, "ROWS", rows)


def by_day(path, days, order, since=0, **changes):
    how = {"dmy": "%d/%m/%Y 08:15", "mdy": "%m/%d/%Y 08:15"}[order]
    return write(path, [row(ID=str(since + i), Date=day.strftime(how), **changes) for i, day in enumerate(days, 1)])


def test_the_order_of_dates_is_judged_over_all_rows(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    year = pd.date_range("2018-01-01", "2018-12-31")
    # the first rows have no day after the 12th, and only the others tell
    days = year[year.day <= 12].append(year[year.day > 12])
    got = agree("chicago", by_day(tmp_path/"a.csv", days, "dmy"), tmp_path/"stores")
    assert got.kept == 365 and sorted(S.load("chicago", folder=tmp_path/"stores")["time"].dt.normalize()) == list(year)
    # a town whose card has no order, without a box or a first year
    (tmp_path/"card.yaml").write_text("name: town\ncolumns: {time: Date, category: Primary Type, lon: Longitude, lat: Latitude, record_id: ID}\n")
    for order in ("dmy", "mdy"):
        agree(tmp_path/"card.yaml", by_day(tmp_path/"b.csv", days, order), tmp_path/order, "town")
        assert sorted(S.load("town", folder=tmp_path/order)["time"].dt.normalize()) == list(year)
    # dates of both kinds, and of none
    both(tmp_path/"card.yaml", write(tmp_path/"c.csv", [row(ID=str(i), Date=day.strftime(how)) for i, (day, how) in enumerate(zip(days, ["%d/%m/%Y"]*200 + ["%m/%d/%Y"]*165))]), tmp_path/"none", "read the two kinds apart")
    both(tmp_path/"card.yaml", by_day(tmp_path/"d.csv", days[:144], "dmy"), tmp_path/"none", "begins with the day or the month: say the order")
    # a piece in which they look otherwise does not count
    odd = write(tmp_path/"e.csv", [row(ID=str(i), Date=day.strftime("%m/%d/%Y")) for i, day in enumerate(year.repeat(20))][:60] + [row(ID=f"9{i}", Date="13/02/2018") for i in range(40)] + [row(ID=f"8{i}", Date=day.strftime("%m/%d/%Y")) for i, day in enumerate(year.repeat(20))])
    got = agree("chicago", odd, tmp_path/"odd")
    assert got.dropped == {"date in the other order": 40}


def test_zones_and_midnights_are_judged_over_all_rows(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    (tmp_path/"card.yaml").write_text("name: town\ncolumns: {time: when, category: kind}\nzone: America/Chicago\n")
    days = pd.date_range("2018-01-01", "2018-12-31")
    def got(name, **columns):
        pd.DataFrame({"kind": "THEFT", **columns}).to_csv(tmp_path/f"{name}.csv", index=False)
        agree(tmp_path/"card.yaml", tmp_path/f"{name}.csv", tmp_path/name, "town")
        return sorted(S.load("town", folder=tmp_path/name)["time"])
    assert got("zone", when=days.strftime("%Y-%m-%d 02:00"), tz=["UTC"]*300 + ["-06:00"]*65)[::364] == [pd.Timestamp("2017-12-31 20:00"), pd.Timestamp("2018-12-31 02:00")]
    midnights = days.strftime("%Y-%m-%dT00:00:00Z")
    assert got("days", when=midnights) == list(days)
    # the last row tells that all of them are moments
    assert got("moments", when=[*midnights, "2018-12-31T12:00:00Z"])[0] == pd.Timestamp("2017-12-31 18:00")
    swapped = [str((pd.Timestamp(d.year, d.day, d.month) - pd.Timestamp("1899-12-30")).days) if d.day <= 12 else d.strftime("%d/%m/%Y") for d in days]
    pd.DataFrame({"kind": "THEFT", "when": swapped}).to_csv(tmp_path/"swapped.csv", index=False)
    both(tmp_path/"card.yaml", [tmp_path/"swapped.csv"], tmp_path/"none", "swaps day and month")


def test_what_is_refused_is_refused_over_all_rows(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    year = pd.date_range("2018-01-01", "2018-12-31")
    good = by_day(tmp_path/"a.csv", year, "mdy")
    garbage = write(tmp_path/"b.csv", [row(ID=f"9{i}", Date="soon") for i in range(150)])
    assert agree("chicago", [good, garbage], tmp_path/"dates").dropped == {"date unparsable": 150}
    both("chicago", garbage, tmp_path/"none", "no date in .* can be read .such as 'soon'")
    # a file, or a piece, of places elsewhere, without a point, in each other's column
    for i, change in enumerate((dict(Longitude="87.63"), dict(Latitude="41.8.8"), dict(Latitude="-87.63", Longitude="41.88"))):
        other = by_day(tmp_path/f"c{i}.csv", year[:150], "mdy", 1000, **change)
        got = agree("chicago", [good, other], tmp_path/f"places{i}")
        assert got.kept == 515 and sum(got.mended.values()) == 150
        both("chicago", other, tmp_path/"none", "outside the box|is two numbers|in each other's column")


def test_clocks_and_areas_are_judged_over_all_rows(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    names, day = ["Nr", "Day", "Time", "Kind", "Area"], pd.date_range("2018-01-01", periods=200).strftime("%Y-%m-%d")
    (tmp_path/"card.yaml").write_text("name: town\ncolumns: {record_id: Nr, time: Day, clock: Time, category: Kind, area: Area}\n")
    clocks = ["5", "20"]*50 + ["1530", "905"]*50
    got = agree(tmp_path/"card.yaml", write(tmp_path/"a.csv", [[i, d, c, "THEFT", "1"] for i, (d, c) in enumerate(zip(day, clocks))], names), tmp_path/"stores", "town")
    minutes = S.load("town", folder=tmp_path/"stores")["time"].dt
    assert got.kept == 200 and list(minutes.hour*60 + minutes.minute) == [5, 20]*50 + [930, 545]*50
    # names of areas where numbers are expected, and numbers first
    (tmp_path/"b").mkdir()
    dates = pd.date_range("2018-01-01", periods=200)
    path = write(tmp_path/"b.csv", [row(ID=str(i), Date=d.strftime("%m/%d/%Y"), Community_Area="32" if i < 60 else "LOOP") for i, d in enumerate(dates)])
    assert agree("chicago", path, tmp_path/"areas").mended == {} and set(S.load("chicago", folder=tmp_path/"areas").area) == {"32", "LOOP"}


def test_numbers_with_marks_between_thousands_are_read_by_one_rule(tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    (tmp_path/"card.yaml").write_text("name: town\ncrs: 3435\ncolumns: {record_id: Nr, time: Day, category: Kind, x: X, y: Y}\n")
    x, y = np.arange(1_160_000, 1_160_000 + 200*97, 97), np.arange(998_000, 998_000 + 200*97, 97)
    day = pd.date_range("2018-01-01", periods=200).strftime("%Y-%m-%d")
    plain = write(tmp_path/"plain.csv", [*zip(range(200), day, ["THEFT"]*200, x, y)], ["Nr", "Day", "Kind", "X", "Y"])
    want = E.read(plain, city=tmp_path/"card.yaml").events
    for i, mark in enumerate((",", " ", "\u00a0", "\u202f", "'", "\u2019", ".")):
        for part in ("",) if i % 2 else (".00" if mark != "." else ",00",):
            path = write(tmp_path/"a.csv", [[*rest, *(f"{v:,}".replace(",", mark) + part for v in xy)] for *rest, xy in zip(range(200), day, ["THEFT"]*200, zip(x, y))], ["Nr", "Day", "Kind", "X", "Y"])
            got = agree(tmp_path/"card.yaml", path, tmp_path/f"stores{i}{part}", "town")
            assert got.mended == {}
            pd.testing.assert_frame_equal(S.load("town", folder=tmp_path/f"stores{i}{part}"), want)


@pytest.mark.parametrize("rows", [10**6, 1_000, 37])
def test_a_lonely_date_of_a_piece_is_none_of_the_file(tmp_path, monkeypatch, rows):
    from crimenb import tables
    monkeypatch.setattr(tables, "BLOCK", 20_000)
    monkeypatch.setattr(S, "ROWS", rows)
    days = pd.date_range("2004-01-01", "2021-12-31", periods=6_200).strftime("%Y-%m-%d %H:%M").to_list()
    days[100:110] = ["2020-06-01 10:00"]*10
    # two degrees to the west of the middle of all, or at longitude 0, is far away
    lon = [0 if i % 500 == 7 else 999 if i % 500 == 8 else "" if i % 500 == 9 else -87.65 - .001*(i > 3_000) - 2*(i % 50 == 1) for i in range(6_200)]
    got = in_town(tmp_path, list(zip(days, lon)))
    assert got.kept == 6_200 and got.dropped == {}
    assert got.mended == {"coordinates missing": 13, "coordinates outside the city": 13, "coordinates far from all others": 124 + 13}


def test_no_module_of_the_warehouse_needs_posix():
    script = "import sys\nfor name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None\nimport crimenb.warehouse.store, crimenb.warehouse.portal, crimenb.tables"
    # filelock then warns that its lock is a softer one
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


# --- asking ----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def city(tmp_path_factory):
    "A store of 6,000 made-up records over three years, and its events table."
    folder, rng, n = tmp_path_factory.mktemp("city"), np.random.default_rng(0), 6000
    when = pd.Timestamp("2015-11-03 05:00") + pd.to_timedelta(rng.integers(0, 800*24*60, n), unit="min")
    table = pd.DataFrame({
        "ID": np.arange(n), "Date": when.strftime("%m/%d/%Y %I:%M:%S %p"), "Primary Type": rng.choice(["THEFT", "BATTERY", "ASSAULT", "ARSON"], n, p=[.5, .3, .19, .01]),
        "Location Description": rng.choice(["STREET", "apartment", "BAR", "", "zoo"], n), "Community Area": rng.choice([*map(str, range(9)), "10", ""], n),
        "Latitude": (41.7 + .01*rng.integers(0, 30, n)).round(4), "Longitude": (-87.8 + .01*rng.integers(0, 20, n)).round(4)})
    table.loc[rng.choice(n, 50, replace=False), "Latitude"] = np.nan
    table.to_csv(folder/"a.csv", index=False)
    S.ingest("chicago", folder/"a.csv", folder)
    return folder, E.read_chicago(folder/"a.csv").events


def test_load_chooses_rows_and_columns(city):
    folder, table = city
    S_ = partial(S.load, "chicago", folder=folder)
    since, until, box = pd.Timestamp("2016-02-29 12:00"), pd.Timestamp("2017-01-01"), (-87.75, 41.75, -87.65, 41.9)
    inside = table.lon.between(box[0], box[2]) & table.lat.between(box[1], box[3])
    for choice, mask in [(dict(since=since), table.time >= since), (dict(until="2016-02-29 12:00"), table.time < since), (dict(since=since, until=until), (table.time >= since) & (table.time < until)),
                         (dict(bbox=box), inside), (dict(categories=["ARSON", "THEFT"], since=since), table.category.isin(["ARSON", "THEFT"]) & (table.time >= since)), (dict(categories="ARSON"), table.category == "ARSON"),
                         (dict(since="2031-01-01"), table.time < "1990"), (dict(categories=[]), table.time < "1990")]:
        want = table[mask].reset_index(drop=True)
        for name in ("category", "premises", "area"): want[name] = want[name].cat.remove_unused_categories()
        pd.testing.assert_frame_equal(S_(**choice), want)
    assert list(S_(columns=["lat", "time"]).columns) == ["lat", "time"]
    book = json.loads((folder/"city=chicago/store.json").read_text())
    assert sum(e["rows"] for e in book["years"].values()) == len(table) and {f"year={y}" for y in book["years"]} == {p.name for p in (folder/"city=chicago").glob("year=*")}


def test_a_refused_first_ingest_leaves_nothing_and_a_later_one_all_that_was(tmp_path):
    home, bad = tmp_path/"a"/"stores", write(tmp_path/"bad.csv", [row(Date="never")])
    for paths in (bad, tmp_path/"none.csv"):
        with pytest.raises(InputError): S.ingest("chicago", paths, home)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.csv"]
    # a folder that somebody has made stays
    home.mkdir(parents=True)
    with pytest.raises(InputError): S.ingest("chicago", bad, home)
    assert home.is_dir() and not [*home.iterdir()]
    S.ingest("chicago", write(tmp_path/"good.csv", [row()]), home)
    before = sorted(home.rglob("*"))
    with pytest.raises(InputError): S.ingest("chicago", bad, home)
    assert sorted(home.rglob("*")) == before and len(S.load("chicago", folder=home)) == 1


def test_a_period_opens_only_its_years_and_blocks(city, tmp_path):
    folder, table = city
    source, where = S._chosen(S._book("chicago", folder), S._place("chicago", folder), "2016-03-01", "2016-04-01", None, None)
    assert "year=2016" in source and "year=2015" not in source and "year=2017" not in source
    assert "2016-03-01" in where


@pytest.mark.parametrize("choice, words", [
    (dict(city="boston"), "unknown city or data set 'boston': use one of chicago, nyc, la, dc"), (dict(city="la"), "no store of la in .*crimenb fetch la.*crimenb.warehouse.store.ingest"),
    (dict(since="soon"), "since is 'soon'"), (dict(since="2017-01-01T00:00Z"), "local date"), (dict(since="2017", until="2016"), "until has to be later"), (dict(bbox=(1, 2, 3)), "west, south, east, north"),
    (dict(bbox=(1, 2, 0, 3)), "west, south, east, north"), (dict(bbox=(41, -88, 42, -87)), "begins with a latitude"), (dict(since=1514764800), "since is 1514764800"), (dict(since="18-01-05"), "local date"), (dict(until="now"), "until is .now"), (dict(since="today"), "local date"), (dict(categories=["THEFTS"]), "no category 'THEFTS'"), (dict(columns=["city"]), "unknown column 'city'")])
def test_what_cannot_be_asked(city, choice, words):
    with pytest.raises(InputError, match=words): S.load(**{"city": "chicago", "folder": city[0], **choice})


def test_years_that_are_not_there_and_answers_without_events_are_said(tmp_path):
    for name, year in (("a", 2018), ("b", 2020)):
        (tmp_path/f"{name}.csv").write_text("ID,Date,Primary Type,Location Description,Community Area,Latitude,Longitude\n"
                                            f"{year},01/05/{year} 08:15:00 AM,THEFT,STREET,32,41.88,-87.63\n")
    S.ingest("chicago", [tmp_path/"a.csv", tmp_path/"b.csv"], tmp_path)
    asked = {"no events of 2019, only of 2018, 2020": {}, "no events of 2016, 2017, 2019, only": dict(since="2016-05-01"), "no events of 2019, 2021 to 2023, only": dict(until="2024-01-01"),
             "no events of 2022, only": dict(since="2022-01-01"), "no events of 2017, only": dict(until="2018-01-01", since="2017-01-01"),
             "no event of the store": dict(since="2018-02-01", until="2018-03-01")}
    for words, choice in asked.items():
        for how in (S.load, S.days, lambda *a, **b: S.tally(a[0], ["category"], **b), S.pieces, lambda *a, **b: list(S.each(lambda e, *_: len(e), *a, **b))):
            with pytest.warns(UserWarning, match=words) as told: how("chicago", folder=tmp_path, **choice)
            assert len(told) == 1 and "\n" not in str(told[0].message)
    with pytest.warns(UserWarning, match="no event of the store"): S.load("chicago", since="2018-01-01", until="2019-01-01", bbox=(0, 0, 1, 1), folder=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(S.load("chicago", "2018-01-01", "2019-01-01", folder=tmp_path)) == 1


@pytest.mark.parametrize("choice, said", [
    (dict(since="2018-01-01", until="2019-01-01"), "from 2018-01-01 to 2018-02-28 and from 2018-04-01 to 2018-12-31"), (dict(since="2018-03-10", until="2018-05-01"), "from 2018-04-01 to 2018-04-30"),
    (dict(since="2018-01-01"), "from 2018-01-01 to 2018-02-28"), (dict(until="2018-04-30 12:00"), "from 2018-04-01 to 2018-04-30"), (dict(since="2018-03-01", until="2018-04-01"), ""), (dict(), "")])
def test_days_that_are_asked_for_and_not_there_are_said(tmp_path, choice, said):
    S.ingest("chicago", write(tmp_path/"march.csv", [row(ID=str(i), Date=f"03/{i % 31 + 1:02}/2018 08:15:00 AM") for i in range(1, 63)]), tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        S.load("chicago", folder=tmp_path, **choice)
    assert [str(one.message).partition(" has no events ")[2].partition(", which are asked for")[0] for one in told] == ([said] if said else [])

@pytest.mark.parametrize("order", ["dch", "dhc", "cdh", "chd", "hdc", "hcd", "ch"])
def test_midnights_are_judged_over_all_that_a_store_holds_as_a_reader_of_all_files_judges_them(tmp_path, order):
    "Days without a clock (d), true clocks (c) and days with a midnight (h): whatever comes first."
    when = {"d": "2018-01-{:02}", "c": "2018-02-{:02}T{:02}:00:00", "h": "2018-03-{:02}T00:00:00"}
    paths = [write(tmp_path/f"{one}.csv", [row(ID=str(1000*ord(one) + i), Date=when[one].format(i % 28 + 1, 5*i % 24)) for i in range(30)]) for one in order]
    read = E.read(paths, city="chicago").events
    for path in paths: done = S.ingest("chicago", path, tmp_path/"store")
    held = S.load("chicago", folder=tmp_path/"store")
    known = [table.set_index("record_id").reindex(columns=["known_to"])["known_to"].astype(object).sort_index() for table in (read, held)]
    pd.testing.assert_series_equal(*known)
    assert known[1].notna().sum() == (62 if "d" in order else 0) and S.days("chicago", folder=tmp_path/"store", timed=True)["n"].sum() == (28 if "d" in order else 60)
    # what the later ingest makes of rows that were stored is said
    assert any("stored times at midnight are taken for days" in one for one in done.remarks) == (order[-1] == "d")

@pytest.mark.parametrize("order", ["mb", "bm", "mbm", "mw", "wm", "mwb"])
def test_what_is_taken_for_months_is_judged_again_with_each_ingest(tmp_path, order):
    "First midnights of months alone (m), midnights of all days (b), months that are written as such (w)."
    when = {"m": "2018-{1:02}-01T00:00:00", "b": "2018-04-{0:02}T00:00:00", "w": "2017-{1:02}"}
    paths = [write(tmp_path/f"{k}{one}.csv", [row(ID=str(1000*k + i), Date=when[one].format(i % 28 + 1, i % 12 + 1)) for i in range(90 if one == "b" else 60)]) for k, one in enumerate(order)]
    for n in range(1, len(paths) + 1):
        done, read = S.ingest("chicago", paths[n - 1], tmp_path/"store"), E.read(paths[:n], city="chicago").events
        held = S.load("chicago", folder=tmp_path/"store")
        pd.testing.assert_frame_equal(held.set_index("record_id").sort_index(), read.set_index("record_id").sort_index(), check_like=True)
    assert any("are taken as they stand" in one for one in done.remarks) == (order == "mb")


def test_a_date_that_stands_for_none_makes_no_column_of_what_is_known(tmp_path):
    at = [row(ID=str(i), Date="1/1/1900" if i == 5 else f"01/{i + 1:02}/2018 08:15:00 AM") for i in range(20)]
    agree("chicago", write(tmp_path/"a.csv", at), tmp_path/"store")
    assert "known_to" not in S.load("chicago", folder=tmp_path/"store")


def test_an_ingest_that_reads_areas_in_another_way_than_an_earlier_one_says_so(tmp_path):
    def put(name, first, areas): return write(tmp_path/name, [row(ID=str(first + i), Community_Area=str(areas[i % len(areas)])) for i in range(300)])
    small, large, names = put("a.csv", 0, [*range(1, 78), 9999]), put("b.csv", 1000, [9999, 2345, 3100]), put("c.csv", 2000, ["LOOP", "UPTOWN"])
    def said(path, folder): return [one[:30] for one in S.ingest("chicago", path, tmp_path/folder).remarks if "in another way than in an earlier ingest" in one]
    assert not said(small, "x") and not said(put("d.csv", 3000, [1, 2, 3]), "x") and said(large, "x") == ["areas of nines alone, such as "]
    assert said(names, "x") == ["areas that are names, where nu"] and not said(put("e.csv", 4000, ["LOOP"]), "x")
    # in one call nothing differs
    agree("chicago", [small, large, names], tmp_path/"y")


def test_what_a_view_looks_up_itself_is_not_said_to_be_asked_for(tmp_path):
    "June is empty between May and July: nobody has asked for it, and who asks for it is told once."
    times = [f"{month:02}/{i % 30 + 1:02}/2018 {i % 24 % 12 + 1:02}:15:00 {'AM' if i % 24 < 12 else 'PM'}" for month in (5, 7) for i in range(120)]
    S.ingest("chicago", write(tmp_path/"a.csv", [row(ID=str(i), Date=time) for i, time in enumerate(times)]), tmp_path)
    how = (lambda **when: F.hourly_maps("chicago", "chicago", folder=tmp_path, **when), lambda **when: F.panel("chicago", folder=tmp_path, **when),
           lambda **when: F.sequences("chicago", min_events=1, folder=tmp_path, **{{"start": "since", "end": "until"}[k]: v for k, v in when.items()}))
    for view in how:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            view()
            assert not told
            view(start="2018-05-01", end="2018-08-01")
        assert [str(one.message).partition(" has no events ")[2].partition(", which")[0] for one in told] == ["from 2018-05-31 to 2018-06-30"]

def test_what_is_known_to_the_month_is_there_for_all_its_days(tmp_path):
    S.ingest("chicago", write(tmp_path/"months.csv", [row(ID=str(i), Date=f"2018-{i % 3 + 1:02}-01T00:00:00.000") for i in range(90)]), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(S.load("chicago", "2018-01-01", "2018-04-01", folder=tmp_path)) == 90
    with pytest.warns(UserWarning, match="no events from 2018-04-01 to 2018-05-31, which"): S.load("chicago", "2018-01-01", "2018-06-01", folder=tmp_path)


def test_the_table_that_has_the_year_is_named(tmp_path, samples):
    S.ingest("nyc", samples/"nypd.csv", tmp_path)
    year = int(S.cities(tmp_path).loc["nyc", "last year"])
    with pytest.warns(UserWarning, match="5uac-w243"): S.load("nyc", since=f"{max(year + 1, 2019)}-01-01", folder=tmp_path)


@pytest.mark.parametrize("content, words", [(b"", "is empty"), (b"a,b\n1,2\n", "lacks the column"), (b"PAR1" + b"x"*99, "Parquet"), (b"PK\x03\x04" + b"x"*99, "zip"), (bytes(range(256))*40, "."), ((",".join(CHICAGO) + "\n").encode(), "no rows"),
                                            ((",".join(CHICAGO[1:]) + "\n" + ",".join(GOOD[1:])).encode(), "lacks the column.* ID")])
def test_what_is_not_an_export(tmp_path, content, words):
    (tmp_path/"a.csv").write_bytes(content)
    with pytest.raises(InputError, match=words) as error: S.ingest("chicago", tmp_path/"a.csv", tmp_path/"store")
    assert "\n" not in str(error.value) and S.cities(tmp_path/"store").empty
    with pytest.raises(InputError, match="there is no file"): S.ingest("chicago", tmp_path/"b.csv", tmp_path/"store")


def test_an_ingest_that_cannot_be(tmp_path, samples):
    with pytest.raises(InputError, match="no files"): S.ingest("chicago", [], tmp_path)
    with pytest.raises(InputError, match="memory is 'much'"): S.ingest("chicago", samples/"chicago.csv", tmp_path, memory="much")
    with pytest.raises(InputError, match="unknown area"): S.ingest("chicago", samples/"chicago.csv", tmp_path, area="Street")
    S.ingest("chicago", samples/"chicago.csv", tmp_path, area="Beat")
    with pytest.raises(InputError, match="has Beat as its area, not Ward"): S.ingest("chicago", samples/"chicago.csv", tmp_path, area="Ward")
    assert S.ingest("chicago", samples/"chicago.csv", tmp_path).replaced == 8


def test_pieces_cover_the_time_once(city):
    folder, table = city
    for rows, since, until in ((700, None, None), (10**9, None, None), (1, "2016-05-01 10:00", "2016-05-09 11:00")):
        cut = S.pieces("chicago", since, until, rows, folder)
        assert all(a[1] == b[0] for a, b in zip(cut, cut[1:]))
        assert cut[0][0] == (table.time.min().normalize() if since is None else pd.Timestamp(since)) and cut[-1][1] == (table.time.max().normalize() + pd.Timedelta(days=1) if until is None else pd.Timestamp(until))
        parts = list(S.each(lambda events, *_: events, "chicago", since, until, rows=rows, folder=folder))
        whole = S.load("chicago", since, until, folder=folder, labels=S.label_lists("chicago", since, until, folder=folder))
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert S.pieces("chicago", "2031-01-01", folder=folder) == []


# --- from the portal -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("city, resource", [("chicago", "ijzp-q8t2"), ("nyc", "qgea-i56i"), ("la", "63jg-8b9z"), ("dc", None)])
def test_what_the_portal_client_fetches_goes_into_the_store(city, resource, tmp_path, monkeypatch):
    from crimenb.warehouse import portal
    sys.path.insert(0, os.path.dirname(__file__))
    from portal_server import PortalServer, dc_rows, soda_rows
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    tables = dict(layers={"Crime Incidents in 2018": dc_rows(30)}) if city == "dc" else dict(soda={resource: soda_rows(30, city)})
    with PortalServer(**tables) as server: paths = portal.fetch(city, "2018-01-01", "2018-12-31", tmp_path/"csv", base=server.base + (server.base_path if city == "dc" else ""))
    assert agree(city, paths[0], tmp_path/"store").kept == 30
    # the same files again change nothing
    before = S.load(city, folder=tmp_path/"store")
    assert S.ingest(city, paths, tmp_path/"store").rows == 30
    pd.testing.assert_frame_equal(S.load(city, folder=tmp_path/"store"), before)


# --- what the portal has withdrawn -----------------------------------------------------------------------------------

@pytest.fixture
def portal(tmp_path, monkeypatch):
    "A portal of this machine with 40 records of Chicago's 2018, where `crimenb fetch` looks for it."
    sys.path.insert(0, os.path.dirname(__file__))
    from portal_server import PortalServer, soda_rows
    for name in ("NO_PROXY", "no_proxy"): monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("CRIMENB_CACHE", str(tmp_path/"cache"))
    monkeypatch.setenv("CRIMENB_STORE", str(tmp_path/"store"))
    with PortalServer({"ijzp-q8t2": soda_rows(40)}) as server:
        monkeypatch.setenv("CRIMENB_PORTAL_CHICAGO", server.base)
        yield server


def ids(): return set(S.load("chicago").record_id)


def at_the_portal(server): return {row["id"] for row in server._select("ijzp-q8t2", "id")}


def test_crimenb_fetch_drops_what_the_portal_has_withdrawn_and_says_how_many(portal, tmp_path, capsys):
    from crimenb.lab import cli

    def fetch(*days):
        cli.main(["fetch", "chicago", "--from", days[0], "--to", days[1]])
        return {words[0]: int(words[-1]) for line in capsys.readouterr().out.splitlines() if len(words := line.split()) > 1 and words[-1].isdigit()}

    # a record of another year, from an export: nobody says anything about it
    S.ingest("chicago", write(tmp_path/"export.csv", [row(ID="old", Date="12/31/2017 11:59:00 PM")]))
    assert fetch("2018-01-01", "2018-12-31")["withdrawn"] == 0 and ids() == at_the_portal(portal) | {"old"}
    portal.delete("ijzp-q8t2", "id IN ('201800003', '201800004')")
    portal.change("ijzp-q8t2", "id = '201800005'", primary_type="HOMICIDE")
    portal.insert("ijzp-q8t2", {"id": "new", "date": "2018-05-05T05:05:00.000", "primary_type": "THEFT", "latitude": "41.8", "longitude": "-87.6"})
    # the portal has the record, although its row cannot be used: the version that can is kept
    portal.change("ijzp-q8t2", "id = '201800006'", primary_type=None)
    said = fetch("2018-01-01", "2018-12-31")
    assert said["withdrawn"] == 2 and ids() == at_the_portal(portal) | {"old"} and len(ids()) == 40 and said["in"] == 40
    assert S.load("chicago").set_index("record_id").category["201800005"] == "HOMICIDE"
    # of a half of the year only that half is judged
    spring, autumn = (next(r["id"] for r in portal._select("ijzp-q8t2", "id, date") if r["date"].startswith(month)) for month in (("2018-03", "2018-04"), ("2018-09", "2018-10")))
    portal.delete("ijzp-q8t2", f"id IN ('{spring}', '{autumn}')")
    assert fetch("2018-01-01", "2018-06-30")["withdrawn"] == 1 and ids() == at_the_portal(portal) | {"old", autumn}
    assert fetch("2018-01-01", "2018-12-31")["withdrawn"] == 1 and ids() == at_the_portal(portal) | {"old"}
    assert fetch("2018-01-01", "2018-12-31")["withdrawn"] == 0
    assert [entry["withdrawn"] for entry in S._book("chicago")["ingests"]] == [0, 0, 2, 1, 1, 0]


def test_what_is_no_proof_withdraws_nothing(portal, tmp_path):
    from crimenb.warehouse.portal import fetch
    path, = fetch("chicago", "2018-01-01", "2018-12-31")
    S.ingest("chicago", path)
    lines, note = path.read_text().splitlines(keepends=True), json.loads(path.with_suffix(".json").read_text())
    assert note["days"] == ["2018-01-01", "2018-12-31"]

    def ingest(text, **changes):
        "The file with another text, and with a note that was changed."
        other = tmp_path/"other.csv"
        other.write_text(text)
        if changes: other.with_suffix(".json").write_text(json.dumps({**note, "sha256": S._sha256(other), **changes}))
        return S.ingest("chicago", other)

    fewer = "".join(lines[:-2])
    assert ingest(fewer).withdrawn == 0
    assert ingest(fewer, sha256=note["sha256"], complete="2999-01-01T00:00:00+00:00").withdrawn == 0
    assert ingest(fewer, complete="2020-01-01T00:00:00+00:00").withdrawn == 0
    assert ingest(fewer + "one,line,too,short\n", complete="2999-01-01T00:00:00+00:00").withdrawn == 0
    assert ids() == at_the_portal(portal)
    # and what is one
    got = ingest(fewer, complete="2999-01-01T00:00:00+00:00")
    assert got.withdrawn == 2 and got.rows == 38 == got.before + got.kept - got.replaced - got.withdrawn and len(ids()) == 38
    # from here on a copy of today is an old one
    assert S.ingest("chicago", path).withdrawn == 0 and len(ids()) == 40


def test_washington_withdraws_by_the_day_of_the_report(tmp_path, monkeypatch):
    from crimenb.warehouse.portal import fetch
    sys.path.insert(0, os.path.dirname(__file__))
    from portal_server import PortalServer, dc_rows
    for name in ("NO_PROXY", "no_proxy"): monkeypatch.setenv(name, "127.0.0.1")
    day, rows = 86_400_000, dc_rows(30)
    new_year = pd.Timestamp("2018-01-01").value//10**6
    # a crime of 2017 that was reported in 2018, and one of a layer's last day, of which another layer may have a part
    rows[3] |= {"START_DATE": new_year - 40*day, "REPORT_DAT": new_year + 40*day}
    rows[4] |= {"START_DATE": new_year + 364*day, "REPORT_DAT": new_year + 364*day + day//2}
    with PortalServer(layers={"Crime Incidents in 2018": rows, "Crime Incidents in 2019": dc_rows(10, 2019)}) as server:
        def update(since="2018-01-01", until="2018-12-31"): return S.ingest("dc", fetch("dc", since, until, tmp_path/"csv", base=server.base + server.base_path), tmp_path/"store")
        assert update(until="2019-12-31").rows == 40
        server.delete("layer0", f"CCN IN ('{rows[3]['CCN']}', '{rows[4]['CCN']}')")
        assert update("2018-02-01", "2018-02-28").withdrawn == 1
        got = update()
    left = set(S.load("dc", folder=tmp_path/"store").record_id)
    assert (got.withdrawn, got.rows) == (0, 39) and rows[3]["CCN"] not in left and rows[4]["CCN"] in left


def test_a_file_saved_with_the_day_first_is_read_so(tmp_path):
    days = pd.date_range("2018-03-01", "2018-03-31")
    path = write(tmp_path/"a.csv", [row(ID=str(i + 1), Date=day.strftime("%d/%m/%Y 08:15")) for i, day in enumerate(days)])
    assert S.ingest("chicago", path, tmp_path/"stores").kept == 31
    for events in (E.read_chicago(path).events, S.load("chicago", folder=tmp_path/"stores")):
        assert (events["time"].dt.normalize().to_numpy() == days.to_numpy()).all()


def test_files_with_degrees_and_files_with_metres_have_places_together(tmp_path, samples):
    table = pd.read_csv(samples/"dc.csv", dtype=str)
    for name, lost in (("a", ["XBLOCK", "YBLOCK"]), ("b", ["LATITUDE", "LONGITUDE"])):
        table.assign(CCN=[f"{name}{i}" for i in range(len(table))]).drop(columns=lost).to_csv(tmp_path/f"{name}.csv", index=False)
    got = agree("dc", [tmp_path/"a.csv", tmp_path/"b.csv"], tmp_path/"stores")
    once = agree("dc", tmp_path/"b.csv", tmp_path/"once")
    assert got.mended.get("coordinates missing", 0) < once.kept and S.load("dc", folder=tmp_path/"stores").lon.notna().sum() > once.kept


def test_files_that_say_different_zones_need_that_of_the_city(tmp_path):
    times = pd.date_range("2024-05-01 12:00", periods=3, freq="31h", tz="UTC")
    for i, zone in enumerate(("UTC", "America/New_York")):
        pd.DataFrame({"Nr": [f"{i}-{k}" for k in range(3)], "When": times.tz_convert(zone), "What": "THEFT"}).to_parquet(tmp_path/f"{i}.parquet")
    files = [tmp_path/"0.parquet", tmp_path/"1.parquet"]
    card = "name: town\ncolumns: {record_id: Nr, time: When, category: What}\n"
    (tmp_path/"card.yaml").write_text(card)
    both(tmp_path/"card.yaml", files, tmp_path/"none", "2 files have times in different zones .(UTC, America/New_York|America/New_York, UTC).: say that of the city with tz=")
    (tmp_path/"card.yaml").write_text(card + "zone: America/Chicago\n")
    agree(tmp_path/"card.yaml", files, tmp_path/"stores", "town")
    assert list(S.load("town", folder=tmp_path/"stores").time[:2].astype(str)) == ["2024-05-01 07:00:00"]*2


def nypd(samples):
    "The header of New York's export, and lines without their last four values."
    header, *lines = (samples/"nypd.csv").read_text().splitlines()
    names, good = next(csv.reader([header])), next(csv.reader([lines[1]]))
    return header, [",".join([f'"{v}"' if "," in v else v for v in {**dict(zip(names, good)), "CMPLNT_NUM": f"9{i:08}"}.values()][:-4])
                    for i in range(40)]


@pytest.mark.parametrize("tail", ["34 ST, PENN STATION,25-44,BLACK", "34 ST, PENN,(null),UNKNOWN", "34 ST,PENN STATION,UNKNOWN,UNKNOWN", "A,B,18-24,WHITE HISPANIC", "A,(null),45-64,BLACK"])
def test_a_row_of_the_right_width_whose_words_have_moved_is_unreadable_in_both_readers(samples, tmp_path, tail):
    header, lines = nypd(samples)
    good = ["(null),25-44,BLACK,F", "X ST,UNKNOWN,UNKNOWN,E", "(null),-974,WHITE,M", "(null),<18,UNKNOWN,U", "(null),65+,BLACK HISPANIC,"]
    rows = [f"{line},{good[i % 5]}" for i, line in enumerate(lines)]
    (tmp_path/"a.csv").write_text("\n".join([header, *rows, *(f"{line.replace('9000', '8000')},{tail}" for line in lines[:2]), lines[3]]) + "\n")
    got = agree("nyc", tmp_path/"a.csv", tmp_path)
    assert (got.rows_in, got.kept, got.dropped) == (43, 40, {"line unreadable": 3})
    assert got.mended == {"victim_age_group unknown": 16, "victim_sex unknown": 16, "victim_descent unknown": 16}
    lost = S.rejects("nyc", tmp_path)
    assert lost.reason.tolist() == ["line unreadable"]*3
    assert set(S.load("nyc", folder=tmp_path).victim_sex.dropna()) == {"F", "E", "M"}


def test_a_desk_that_writes_a_whole_word_is_not_moved(samples, tmp_path):
    header, lines = nypd(samples)
    (tmp_path/"a.csv").write_text("\n".join([header, *(f"{line},(null),25-44,BLACK,{('MALE', 'FEMALE')[i % 2]}" for i, line in enumerate(lines))]) + "\n")
    got = agree("nyc", tmp_path/"a.csv", tmp_path)
    assert got.kept == 40 and got.mended == {"victim_sex unknown": 40}


@pytest.mark.parametrize("other, share, words", [
    ((-90.2, 41.9), 2, r"2 towns up to 2\d\d km .*50% near \(-90.20, 41.90\) and 50% near \(-87.65, 41.90\): say where the city is with box"),
    ((-87.65, 44.15), 4, "50 of 200 places more than 100 km from the middle of all"), ((-88.65, 41.9), 2, None), ((-87.65, 41.95), 2, None)])
def test_two_towns_half_and_half_are_refused_by_both_readers(tmp_path, other, share, words):
    rng, lines = np.random.default_rng(0), ["when,kind,lon,lat,no"]
    for i in range(200):
        lon, lat = (other if i % share == 0 else (-87.65, 41.9)) + rng.normal(0, .01, 2)
        lines.append(f"2016-{1 + i % 12:02}-0{1 + i % 9} 10:{i % 60:02},THEFT,{lon:.5f},{lat:.5f},{i}")
    (tmp_path/"a.csv").write_text("\n".join(lines) + "\n")
    card = "name: town\nevents: a.csv\ncolumns: {time: when, category: kind, lon: lon, lat: lat, record_id: no}\n"
    (tmp_path/"town.yaml").write_text(card)
    if words: both(str(tmp_path/"town.yaml"), [tmp_path/"a.csv"], tmp_path/"no", words)
    else: agree(str(tmp_path/"town.yaml"), tmp_path/"a.csv", tmp_path, name="town")
    # with a box, those of the other town are counted
    (tmp_path/"town.yaml").write_text(card + "box: [-87.75, 41.8, -87.55, 42]\n")
    got = agree(str(tmp_path/"town.yaml"), tmp_path/"a.csv", tmp_path/"boxed", name="town")
    assert got.mended == ({} if other == (-87.65, 41.95) else {"coordinates outside the city": 200//share})


def test_a_country_is_not_two_towns():
    rng = np.random.default_rng(0)
    at = np.concatenate([rng.normal((-3.7, 40.4), .1, (120, 2)), rng.normal((2.2, 41.4), .1, (120, 2)), rng.uniform((-7, 37), (2, 43), (160, 2))])
    table = pd.DataFrame({"time": pd.date_range("2020-01-01", periods=400, freq="7h"), "category": "THEFT", "lon": at[:, 0], "lat": at[:, 1]})
    assert len(E.read(table).events) == 400


def test_rows_without_an_hour_and_a_zone_in_a_column_are_the_same_in_both_readers(tmp_path):
    from crimenb.warehouse import feeds
    rng = np.random.default_rng(0)
    t = [*pd.date_range("2024-01-01 06:30", periods=900, freq="1h").strftime("%Y-%m-%d %H:%M"), *["2024-01", "2024-02"]*50]
    pd.DataFrame(dict(id=range(1000), When=t, tz="UTC", kind="THEFT", lon=-87.6 + rng.random(1000)/10, lat=41.8 + rng.random(1000)/10)).to_csv(tmp_path/"a.csv", index=False)
    (tmp_path/"card.yaml").write_text("name: town\nevents: [a.csv]\ncolumns: {time: When, category: kind, lon: lon, lat: lat, record_id: id}\nzone: America/Chicago\n")
    agree(tmp_path/"card.yaml", tmp_path/"a.csv", tmp_path, "town")
    events = S.load("town", folder=tmp_path)
    assert events.known_to.value_counts().to_dict() == {"month": 100} and events.time[events.known_to.isna()].iloc[0] == pd.Timestamp("2024-01-01 00:30")
    maps = grids.HourlyMaps.from_events(events)
    stored = feeds.hourly_maps("town", folder=tmp_path)
    assert np.nansum(maps.counts) == 900 and np.array_equal(maps.counts, stored.counts, equal_nan=True) and maps.notes == stored.notes


def test_a_store_that_was_begun_before_a_column_came_is_gone_on_with(tmp_path, monkeypatch):
    "Years that were written without `known_to` are read, alone and beside others, and their hours are known."
    has = S._has
    monkeypatch.setattr(S, "_has", lambda card: [name for name in has(card) if name != "known_to"])
    write(tmp_path/"a.csv", [row(ID=str(i), Date=f"05/{12 + i}/2017 08:17") for i in range(1, 9)])
    monkeypatch.setattr(S, "_labelled", lambda con, names, book, of=S._labelled: {"known_to": [], **of(con, names, book)})
    S.ingest("chicago", tmp_path/"a.csv", tmp_path)
    monkeypatch.undo()
    write(tmp_path/"b.csv", [row(ID=str(10 + i), Date=f"05/{12 + i}/2018" + " 08:17"*(i > 3)) for i in range(1, 9)])
    assert S.ingest("chicago", tmp_path/"b.csv", tmp_path).rows == 16
    events = S.load("chicago", folder=tmp_path)
    assert len(events) == 16 and events.known_to.value_counts().to_dict() == {"day": 3} and (events.time[events.known_to.notna()].dt.year == 2018).all()
    assert len(S.load("chicago", until="2018-01-01", folder=tmp_path)) == 8 and S.days("chicago", folder=tmp_path, timed=True).n.sum() == 13
