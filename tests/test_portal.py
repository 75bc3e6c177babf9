"""The portal client against a real web server on this machine that speaks SODA and ArcGIS, and misbehaves: nothing is lost or counted twice."""
import http.server
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from contextlib import contextmanager

import pandas as pd
import pytest

from crimenb.warehouse import portal as P
from crimenb.core import InputError
from crimenb.events import read
from crimenb.fields import fold

sys.path.insert(0, os.path.dirname(__file__))
from portal_server import PortalServer
from portal_server import dc_rows
from portal_server import soda_rows

CHICAGO, YEAR = "ijzp-q8t2", ("2018-01-01", "2018-12-31")


@pytest.fixture(autouse=True)
def nothing_of_ours(monkeypatch):
    # nobody cuts the power here, and waiting for the disk would take most of the time
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for name in ("NO_PROXY", "no_proxy"): monkeypatch.setenv(name, "127.0.0.1")
    for name in ("SODA_APP_TOKEN", *(f"CRIMENB_PORTAL_{city.upper()}" for city in P.PORTALS)): monkeypatch.delenv(name, raising=False)


@pytest.fixture
def waits(): return []


@pytest.fixture
def server():
    with PortalServer({CHICAGO: soda_rows(40)}) as server: yield server


@pytest.fixture
def get(server, tmp_path, waits):
    "A function that fetches Chicago 2018 from the server in pages of 10, without waiting."
    def get(folder=tmp_path / "data", **options):
        given = dict(base=server.base, page=10, patience=P.Patience(sleep=waits.append, jitter=lambda: 1, timeout=(20, 20))) | options
        return P.fetch("chicago", *YEAR, folder, **given)[0]
    return get


def truth(server, name=CHICAGO, where="date < '2019' AND date >= '2018'", key=":id"):
    "What the portal has now: key -> the row's values."
    columns = list(server.types[name])
    return {row[":id" if "OBJECTID" in key or key == ":id" else key]: {c: row[c] for c in columns} for row in server._select(name, ":id, " + ", ".join(f'"{c}"' for c in columns), where)}


def held(path):
    table = pd.read_csv(path, dtype=str)
    assert not table[":id"].duplicated().any()
    return table


def is_whole(path, server, by_reader=True):
    "Whether the file is the portal's table, once: by record number and all values."
    rows, table = truth(server), held(path)
    assert sorted(table.id) == sorted(row["id"] for row in rows.values())
    by_record = table.set_index("id")
    for row in rows.values():
        for name in ("date", "primary_type", "latitude", "location_description"):
            there = by_record.loc[row["id"], name]
            assert there == row[name] or (pd.isna(there) and row[name] is None)
    assert P.provenance(path)["rows"] == len(rows) and (not by_reader or len(read(path, city="chicago").events) == len(rows))
    assert not path.with_suffix(".part").exists()
    return True


# --- what is known of the portals -----------------------------------------------------------------------------------

def test_what_the_readers_need_is_what_the_portals_have(samples):
    exports = {"chicago": "chicago.csv", "nyc": "nypd.csv", "la": "lapd.csv", "dc": "dc.csv"}
    for city, portal in P.PORTALS.items():
        header = {fold(name) for name in (samples / exports[city]).open().readline().strip().split(",")}
        assert {portal.time, portal.record} <= set(portal.required) <= set(portal.columns)
        assert {fold(name) for name in portal.required} <= header, city


@pytest.mark.parametrize("city, rows, server_rows", [("chicago", {2018: CHICAGO}, {CHICAGO: 2018}), ("nyc", {2018: "qgea-i56i"}, {"qgea-i56i": 2018}),
                                                      ("la", {2019: "63jg-8b9z", 2020: "2nrs-mtv8"}, {"63jg-8b9z": 2019, "2nrs-mtv8": 2020})])
def test_the_citys_reader_reads_what_was_fetched(city, rows, server_rows, tmp_path, waits):
    made = {name: soda_rows(25, city, year) for name, year in server_rows.items()}
    with PortalServer(made) as server:
        paths = P.fetch(city, f"{min(rows)}-01-01", f"{max(rows)}-12-31", tmp_path, base=server.base, page=10, patience=P.Patience(sleep=waits.append))
    assert [path.name for path in paths] == [f"{city}-{year}.csv" for year in rows]
    for path, (year, name) in zip(paths, rows.items()):
        cleaned = read(path, city=city)
        assert set(cleaned.events.record_id) == {row[P.PORTALS[city].record] for row in made[name]} and set(cleaned.events.time.dt.year) == {year}
        assert cleaned.events.lon.notna().all() and not {"(null)", "nan"} & set(cleaned.events.category.cat.categories)


@pytest.mark.parametrize("city, table, where", [("nyc", "qgea-i56i", "5uac-w243"), ("la", "2nrs-mtv8", "y8y3-fqfu"), ("chicago", CHICAGO, None)])
def test_years_without_rows_are_named_with_the_table_that_has_them(city, table, where, tmp_path, waits):
    year = {"la": 2023}.get(city, 2018)
    with PortalServer({table: soda_rows(25, city, year)}) as server:
        ask = dict(folder=tmp_path, base=server.base, patience=P.Patience(sleep=waits.append))
        with pytest.warns(UserWarning, match=f"no rows of {year + 1}, {year + 2} in its table") as told: paths = P.fetch(city, f"{year}-01-01", f"{year + 2}-12-31", **ask)
        assert [path.name for path in paths] == [f"{city}-{year}.csv"] and (where is None or where in str(told[0].message)) and "\n" not in str(told[0].message)
        # nothing at all is an error, which names it too
        with pytest.raises(InputError, match=where or "ask for other days"): P.fetch(city, f"{year + 1}-01-01", f"{year + 1}-12-31", **ask)


@pytest.mark.parametrize("city, table, inside, where", [("la", "2nrs-mtv8", lambda day: day < "2024-03-05", "y8y3-fqfu"), ("chicago", CHICAGO, lambda day: not "2024-05" <= day < "2024-08", None),
                                                         ("nyc", "qgea-i56i", lambda day: day >= "2024-04", "5uac-w243")])
def test_months_without_rows_are_named_with_the_table_that_has_them(city, table, inside, where, tmp_path, waits):
    rows = [row for row in soda_rows(400, city, 2024) if inside(row[P.PORTALS[city].time])]
    with PortalServer({table: rows}) as server:
        ask = dict(folder=tmp_path, base=server.base, patience=P.Patience(sleep=waits.append))
        with pytest.warns(UserWarning, match={"la": "hardly a row of 2024-03 to 2024-12", "chicago": r"of 2024-05 to 2024-07 \(0 where", "nyc": "of 2024-01 to 2024-03"}[city]) as told:
            P.fetch(city, "2024-01-01", "2024-12-31", **ask)
        assert len(told) == 1 and (where is None or where in str(told[0].message))


def test_chance_and_the_edges_of_what_was_asked_are_no_months_without_rows(tmp_path):
    def told(rows, first="2018-01-01", last="2018-12-31"):
        pd.DataFrame({"date": rows}).to_csv(tmp_path/"a.csv", index=False)
        return P.hardly_any([(tmp_path/"a.csv", pd.Timestamp(first), pd.Timestamp(last))], "date")
    month = lambda m, n, mark="-": [f"2018{mark}{m:02}{mark}{1 + i % 28:02}T08:15:00.000" for i in range(n)]
    assert told(sum((month(m, 13*(m != 5)) for m in range(1, 13)), [])) == []             # thirteen are not enough to wonder at
    assert told(sum((month(m, 60*(m != 5), "/") for m in range(1, 13)), [])) == [(pd.Period("2018-05"), pd.Period("2018-05"), 0, 60)]
    assert told(sum((month(m, 60 if m != 5 else 21) for m in range(1, 13)), [])) == []
    assert told(month(1, 60) + month(2, 60), last="2018-03-30") == []                     # March was not asked for whole
    this = pd.Timestamp.now().to_period("M")                                              # and this month is not over
    assert told([f"{this - 1}-02T00:00:00"]*60, f"{this - 1}-01", f"{this.end_time:%Y-%m-%d}") == []


@pytest.mark.parametrize("since, until, city, says", [
    ("2018-13-01", None, "chicago", "2018-01-01"), ("2018-02-01", "2018-01-31", "chicago", "first day comes first"), ("1999-01-01", "1999-12-31", "chicago", "begins in 2001"),
    (None, None, "la", "not two days"), ("2009-12-31", None, "la", "begins in 2010"), ("2018-01-01", "2018-01-02", "boston", "use one of chicago, nyc, la, dc")])
def test_days_and_cities_that_cannot_be_asked_for(since, until, city, says, tmp_path):
    with pytest.raises(InputError, match=says): P.fetch(city, since, until, tmp_path, base="http://127.0.0.1:9")


def test_a_window_has_its_own_file_and_only_its_days(server, tmp_path):
    path, = P.fetch("chicago", "2018-03-01", "2018-04-30", tmp_path, base=server.base)
    days = held(path).date.str[:10]
    assert path.name == "chicago-20180301-20180430.csv" and len(days) == len(truth(server, where="date >= '2018-03-01' AND date < '2018-05-01'")) > 0
    with pytest.raises(InputError, match="no rows from 2017-01-01 to 2017-12-31"): P.fetch("chicago", "2017-01-01", "2017-12-31", tmp_path, base=server.base)
    assert {p.name for p in tmp_path.iterdir()} - {".lock"} == {path.name, "chicago-20180301-20180430.json"}


def test_the_day_that_was_asked_for_last_belongs_to_the_window(tmp_path):
    rows = soda_rows(4)
    for row, when in zip(rows, ("2018-01-31T23:59:59.000", "2018-02-01T00:00:00.000", "2018-02-02T23:59:59.999", "2018-02-03T00:00:00.000")): row["date"] = when
    with PortalServer({CHICAGO: rows}) as server:
        path, = P.fetch("chicago", "2018-02-01", "2018-02-02", tmp_path, base=server.base)
    assert list(held(path).id) == [rows[1]["id"], rows[2]["id"]]


@pytest.mark.parametrize("base", ["data.cityofchicago.org", "", "ftp://data.cityofchicago.org", "https://"])
def test_an_address_that_is_none(base, tmp_path, monkeypatch):
    monkeypatch.setenv("CRIMENB_PORTAL_CHICAGO", base or "nonsense")
    with pytest.raises(InputError, match="no address of a portal"): P.fetch("chicago", *YEAR, tmp_path)


def test_address_token_and_folder_from_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CRIMENB_PORTAL_CHICAGO", server.base + "/")
    monkeypatch.setenv("SODA_APP_TOKEN", "sesame-7")
    monkeypatch.setenv("CRIMENB_CACHE", str(tmp_path))
    path, = P.fetch("chicago", *YEAR)
    assert path == tmp_path / "portal" / "chicago" / "chicago-2018.csv" and is_whole(path, server)
    assert server.tokens == {"sesame-7"} and not any("sesame" in p.read_text() for p in path.parent.iterdir())


def test_a_token_that_is_none_is_not_repeated_in_the_error(get):
    with pytest.raises(InputError, match="look at SODA_APP_TOKEN") as error: get(token="sesame 7\n")
    assert "sesame" not in str(error.value)


def test_the_bar_shows_rows_and_remaining_time(server, get, capsys, monkeypatch):
    monkeypatch.setenv("CRIMENB_PROGRESS", "1")
    # so slow that the bar is drawn at each page
    server.misbehave(page=["", lambda _: time.sleep(.15)])
    get()
    bar = capsys.readouterr().err
    assert "chicago 2018 (1 of 1)" in bar and re.search(r"20/40 \[\d+:\d+<\d+:\d+", bar)


# --- faults that pass -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, fault", [("columns", "500"), ("columns", "truncated"), ("count", "429:7"), ("count", "closed"),
                                         *(("page", fault) for fault in ("429", "429:7", "500", "503", "closed", "truncated", "html"))])
def test_a_fault_that_passes_costs_a_wait_and_nothing_else(server, get, waits, kind, fault):
    good, fault = ["", ""] if kind == "page" else [], [fault] * 3
    server.misbehave(**{kind: good + fault})
    assert is_whole(get(), server)
    assert waits == ([7, 7, 7] if fault[0] == "429:7" else [1, 2, 4])
    assert server.kinds().count("page") == 5 + 3 * (kind == "page")


def test_a_portal_that_does_not_answer_in_time(server, get, waits):
    server.misbehave(page=["", "hang:1"])
    path = get(patience=P.Patience(sleep=waits.append, timeout=(20, .5)))
    assert len(waits) >= 1 and is_whole(path, server)


def test_an_answer_that_drips(server, get, waits):
    hours = iter(range(10**6))
    with pytest.raises(InputError, match="takes longer than 600 seconds"): get(patience=P.Patience(sleep=waits.append, clock=lambda: 3600 * next(hours)))


def test_waiting_is_doubled_with_chance_and_has_limits():
    patient = P.Patience()
    for failures in range(1, 12):
        most = min(60, 2 ** (failures - 1))
        assert all(most / 2 <= patient.wait(failures) <= most for _ in range(20))
    assert patient.wait(1, asked=120) == 120
    assert P._retry_after("7") == 7 and P._retry_after(None) == P._retry_after("soon") == P._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 86000 < P._retry_after((pd.Timestamp.now("UTC") + pd.Timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")) <= 86400


# --- faults that do not: the error names the cause, and a second call finishes the job -----------------------------

LASTING = {
    "429": "answers 429 .Too Many Requests., 8 times in a row", "500": "answers 500", "closed": "breaks off in the middle of an answer|closes the connection", "429:86400": "left alone for 86400 seconds",
    "truncated": "no whole JSON", "html": "no whole JSON .*<html>", "403": "refuses the question: it answers 403 .Invalid app_token specified.; is the app token", "redirect": "from one address to the next without end",
    "redirect:http://other.example/": "sends us on to other.example", "huge": "more than 1,130,496 bytes", "huge:unannounced": "more than 1,130,496 bytes", "only again": "the same 3 rows again and again",
}

@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_is_named_and_a_second_call_finishes(server, get, fault):
    server.misbehave(page=["", "", *[fault] * 20])
    with pytest.raises(InputError, match=LASTING[fault]) as error: get()
    assert "\n" not in str(error.value) and server.sent < 2**25
    server.misbehave()
    server.asked.clear()
    path = get()
    # two pages were there; the third, the fourth, and the empty one are asked for
    assert is_whole(path, server) and server.kinds() == ["columns", "page", "page", "page", "count", "keys", "keys"]
    assert all(":id >" in where for where in server.pages())


def test_a_folder_that_cannot_be_one(get, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name a folder where you may write"): get(tmp_path / "file" / "data")


def test_nobody_there(get):
    with pytest.raises(InputError, match="cannot be reached"): get(base="http://127.0.0.1:9")


def test_a_portal_that_cannot_prove_who_it_is(server, get, waits):
    with pytest.raises(InputError, match="cannot prove who it is"): get(base=server.base.replace("http:", "https:"))
    assert not waits


def test_an_error_in_the_portals_own_words(server, get):
    server.misbehave(count=["error in the answer:400"])
    with pytest.raises(InputError, match="answers 400 .Error performing query operation.; has the portal changed"): get()
    server.db.execute(f'ALTER TABLE "{CHICAGO}" DROP COLUMN "beat"')      # the metadata still has it
    with pytest.raises(InputError, match="answers 400 .Query coordinator error: no such column: beat.; has the portal changed"): get()


def test_a_redirect_within_the_house_is_followed(server, get):
    server.misbehave(columns=[f"redirect:/api/views/{CHICAGO}.json"])
    assert is_whole(get(), server)


def test_something_else_than_rows(server, get):
    server.soda = lambda path, query, speak=server.soda: speak(path, query) if "views" in path or "count" in query["$select"] else ("page", lambda: {"rows": []})
    with pytest.raises(InputError, match="does not answer with rows"): get()


# --- rows that come twice, change, come and go -----------------------------------------------------------------------

def test_rows_that_come_twice_are_counted_once(server, get):
    server.misbehave(page=["", "again", "again", "again"])
    path = get()
    assert is_whole(path, server) and path.read_bytes() == get(path.parent / "straight").read_bytes()


def test_a_portal_that_caps_its_pages(server, get):
    server.soda = lambda path, query, speak=server.soda: speak(path, query | {"$limit": str(min(7, int(query.get("$limit", 7))))})
    assert is_whole(get(page=1000), server)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_edited_between_the_questions_the_copy_is_the_portals_table(server, get, seed):
    chance = random.Random(seed)

    def edit(server):
        for _ in range(chance.randrange(4)):
            some = f"id = '{chance.choice(soda_rows(40))['id']}'"
            what = chance.choice(["change", "delete", "add", "add in front", "move out", "move in"])
            if what == "change": server.change(CHICAGO, some, primary_type=f"TYPE {chance.randrange(99)}")
            elif what == "delete": server.delete(CHICAGO, some)
            elif what == "move out": server.change(CHICAGO, some, date="2019-01-01T00:00:00.000")
            elif what == "move in": server.change(CHICAGO, "date >= '2019'", date="2018-12-31T23:59:00.000")
            else: server.insert(CHICAGO, soda_rows(1)[0] | {"id": f"9{chance.randrange(10**8)}"}, number=-chance.randrange(10**6) if what == "add in front" else None)

    server.misbehave(page=[edit] * 8, count=[edit] * 3, keys=[edit] * 2)
    path = get()
    # what was edited after the last question is for the next call
    server.misbehave()
    assert is_whole(get(), server)
    fresh = get(path.parent / "fresh")
    assert path.read_bytes() == fresh.read_bytes() and P.provenance(path)["sha256"] == P.provenance(fresh)["sha256"]


def test_a_wrong_count_is_asked_again(server, get, waits):
    server.misbehave(count=["", "count:3", "count:-2"])
    assert is_whole(get(), server) and waits == [1]


def test_a_count_that_agrees_by_accident(server, get):
    def delete_and_add(server):
        server.delete(CHICAGO, "id = '201800001'")
        server.insert(CHICAGO, soda_rows(1)[0] | {"id": "999"}, number=-1)

    # four pages, the empty one, and then what has changed since: the new row has gone again
    server.misbehave(page=["", "", delete_and_add, "", "", lambda server: server.delete(CHICAGO, "id = '999'")])
    assert is_whole(get(), server)


@pytest.mark.parametrize("off", [3, -2])
def test_a_count_that_stays_wrong_is_an_error_with_both_numbers(server, get, off):
    server.misbehave(count=[f"count:{off}"] * 20)
    with pytest.raises(InputError, match=f"counts {40 + off} rows but serves 40 of them"): get()
    server.misbehave()
    server.asked.clear()
    assert is_whole(get(), server) and server.kinds() == ["columns", "page", "count", "keys", "keys"]


def test_thousands_of_missing_rows_are_not_asked_for_one_by_one():
    class Source:
        key, stamp, newer = ":id", ":updated_at", None
        def census(self, where): return 20_000, "2024"
        def proofs(self, where, record, limit): return {f"row-{i}": "2024" for i in range(20_000)}

    held = pd.DataFrame({"id": [str(i) for i in range(9_000)], ":updated_at": "2024"}, index=pd.Index([f"row-{i}" for i in range(9_000)], name=":id"))
    with pytest.raises(P._Edited): P.settle(Source(), "1=1", ["id"], "id", held, "2024", 100)


# --- columns ----------------------------------------------------------------------------------------------------------

def test_a_new_column_comes_along_and_is_noted(server, get):
    first = get()
    server.add_column(CHICAGO, "solved", "yes")
    path = get()
    assert path == first and set(held(path).solved) == {"yes"} and P.provenance(path)["new"] == ["solved"] and is_whole(path, server)


def test_a_column_that_is_gone_or_renamed(server, get):
    server.rename(CHICAGO, "beat", "police_beat")
    assert P.provenance(get())["new"] == ["police_beat"] and "beat" in P.provenance(get())["gone"]
    server.rename(CHICAGO, "primary_type", "offense")
    with pytest.raises(InputError, match=re.escape("lacks the column(s) primary_type; new there: offense, police_beat: if a column has another name now, say so with renamed={'primary_type': …}").replace("offense,\\ police_beat", "(offense, police_beat|police_beat, offense)")): get()
    path = get(renamed={"primary_type": "offense"})
    assert set(held(path).primary_type) == {row["primary_type"] for row in soda_rows(40)} and len(read(path, city="chicago").events) == 40
    with pytest.raises(InputError, match="has no column charge"): get(renamed={"primary_type": "charge"})
    with pytest.raises(InputError, match="has a column date itself"): get(renamed={"date": "offense"})
    with pytest.raises(InputError, match="unknown column 'Primary'"): get(renamed={"Primary": "offense"})


def test_another_spelling_is_the_same_column(server, get):
    server.rename(CHICAGO, "primary_type", "Primary_Type")
    server.rename(CHICAGO, "date", "Date")
    path = get()
    assert {"primary_type", "date"} <= set(held(path)) and P.provenance(path)["new"] == []


def test_two_spellings_in_one_table_are_two_columns(server, get):
    server.add_column(CHICAGO, "ward_", "99")
    path = get()
    assert set(held(path).ward) == {"42"} and set(held(path).ward_) == {"99"} and P.provenance(path)["new"] == ["ward_"]


def test_columns_that_change_between_two_calls_start_the_year_again(server, get):
    server.misbehave(page=["", "", *["503"] * 8])
    with pytest.raises(InputError, match="503"): get()
    server.add_column(CHICAGO, "solved", "yes")
    path = get()
    assert set(held(path).solved) == {"yes"} and is_whole(path, server)


# --- a process that is killed -----------------------------------------------------------------------------------------

def test_a_killed_process_goes_on_where_it_was_without_asking_twice(server, get, tmp_path):
    reached, go_on = threading.Event(), threading.Event()

    def hold(_):
        reached.set()
        go_on.wait(60)

    server.misbehave(page=["", "", hold])
    code = "import sys; from crimenb.warehouse import portal; portal.fetch('chicago', '2018-01-01', '2018-12-31', sys.argv[1], base=sys.argv[2], page=10)"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "data"), server.base], stderr=subprocess.PIPE)
    assert reached.wait(55), child.stderr.read()
    child.send_signal(signal.SIGKILL)
    child.wait(20)
    go_on.set()
    child.stderr.close()
    assert child.returncode == -signal.SIGKILL
    part = tmp_path / "data" / "chicago-2018.part"
    (tmp_path / "data" / ".chicago-2018.csv.x7").write_text("what a kill during a write leaves")
    assert sorted(re.split("[-.]", p.name)[0] for p in part.iterdir()) == ["00001", "00002", "opening"]
    asked = [where for where in server.pages()]
    server.misbehave()
    path = get()
    # the third page is the only one that was asked for twice: it had not come
    assert is_whole(path, server) and server.pages()[3:] == [asked[2], *server.pages()[4:]] and len(server.pages()) == 6
    assert {p.name for p in path.parent.iterdir()} - {".lock"} == {"chicago-2018.csv", "chicago-2018.json"}


@pytest.mark.parametrize("write", range(1, 9))
def test_a_death_at_any_write_is_survived(server, get, monkeypatch, write):
    "Whichever file was to be written when the power failed: the next call makes it whole."
    path = get()
    server.change(CHICAGO, "id = '201800003'", primary_type="HOMICIDE")
    real, done = P.write_atomic, []

    def dies(*args):
        done.append(args)
        if len(done) == write: raise KeyboardInterrupt
        return real(*args)

    for folder, writes in ((path.parent, 3), (path.parent / "fresh", 7)):
        done.clear()
        monkeypatch.setattr(P, "write_atomic", dies)
        if write <= writes:
            with pytest.raises(KeyboardInterrupt): get(folder)
        monkeypatch.setattr(P, "write_atomic", real)
        assert is_whole(get(folder), server)


def test_a_death_during_an_update_that_the_portal_takes_back(server, get, monkeypatch):
    path, real, done = get(), P.write_atomic, []

    def dies(*args):
        done.append(args)
        if len(done) == 2: raise KeyboardInterrupt      # the new fingerprint is noted, the file is the old one
        return real(*args)

    row = next(row for row in soda_rows(40) if row["id"] == "201800003")
    server.insert(CHICAGO, row | {"id": "201899999"})
    monkeypatch.setattr(P, "write_atomic", dies)
    with pytest.raises(KeyboardInterrupt): get()
    monkeypatch.setattr(P, "write_atomic", real)
    server.delete(CHICAGO, "id = '201899999'")
    assert is_whole(get(), server)


def test_two_runs_do_not_write_into_one_folder(server, get):
    said = []

    def second(_):
        with pytest.raises(InputError) as error: get()
        said.append(str(error.value))

    server.misbehave(page=["", second])
    assert is_whole(get(), server) and len(said) == 1 and "another run" in said[0]


def test_a_damaged_page_is_named(server, get):
    server.misbehave(page=["", "", *["503"] * 8])
    with pytest.raises(InputError, match="503"): get()
    server.misbehave()
    page = next(p for p in (server_folder(get)).rglob("00001-*.parquet"))
    page.write_bytes(page.read_bytes()[:100])
    with pytest.raises(InputError, match="remove that folder"): get()


def server_folder(get): return get.__defaults__[0]


# --- bringing up to date ----------------------------------------------------------------------------------------------

def test_an_update_fetches_what_changed_and_nothing_else(server, get):
    path = get()
    before = path.read_bytes(), P.provenance(path)
    server.asked.clear()
    # one call more compares the stamps of all rows; from then on the census is enough
    get()
    assert server.kinds() == ["columns", "count", "count", "keys", "keys"]
    server.asked.clear()
    get()
    assert server.kinds() == ["columns", "count", "count"] and path.read_bytes() == before[0] and P.provenance(path)["fetched"] == before[1]["fetched"]
    server.change(CHICAGO, "id = '201800003'", primary_type="HOMICIDE")
    server.insert(CHICAGO, soda_rows(1)[0] | {"id": "201899999"})
    server.asked.clear()
    table = held(get())
    assert is_whole(path, server) and len(table) == 41 and list(table.primary_type[table.id == "201800003"]) == ["HOMICIDE"]
    assert server.kinds() == ["columns", "count", "count", "count", "page", "page", "count", "keys", "keys"] and all(":updated_at >" in where for where in server.pages())
    server.delete(CHICAGO, "id = '201800004'")
    assert is_whole(get(), server) and "201800004" not in set(held(path).id)


def test_a_table_that_is_published_anew_replaces_all_rows_and_can_be_interrupted(server, get):
    path = get()
    server.replace(CHICAGO, [row | {"beat": "9999"} for row in soda_rows(42)])
    server.misbehave(page=["", "", *["503"] * 8])
    with pytest.raises(InputError, match="503"): get()
    assert len(held(path)) == 40            # the old file is there until the new one is whole
    server.misbehave()
    server.asked.clear()
    assert is_whole(get(), server) and set(held(path).beat) == {"9999"} and server.kinds().count("page") == 4


def test_a_portal_that_is_empty_all_of_a_sudden_is_not_believed(server, get):
    path = get()
    rows = path.read_bytes()
    server.delete(CHICAGO, "1=1")
    with pytest.raises(InputError, match="no rows any more where chicago-2018.csv has some"): get()
    assert path.read_bytes() == rows


def test_a_file_that_somebody_changed_is_noticed_and_fetched_anew(server, get, tmp_path):
    path = get()
    path.write_text(path.read_text().replace("THEFT", "GIFT"))
    with pytest.raises(InputError, match="not as it was fetched"): P.provenance(path)
    assert is_whole(get(), server) and P.provenance(path)["rows"] == 40
    with pytest.raises(InputError, match="not a file that was fetched"): P.provenance(tmp_path / "other.csv")


def test_provenance_says_where_it_comes_from(server, get):
    path = get()
    noted = json.loads(path.with_suffix(".json").read_text())
    assert len(noted.pop("seal")) == 64 and {k: v for k, v in P.provenance(path).items() if k != "seal"} == noted and noted["rows"] == 40 and noted["asked"]["address"] == f"{server.base}/resource/{CHICAGO}.json"
    assert noted["asked"]["where"] == "date >= '2018-01-01T00:00:00' AND date < '2019-01-01T00:00:00'" and noted["stamp"] == "2024-01-01T00:00:00.000Z"
    assert pd.Timestamp(noted["fetched"]) <= pd.Timestamp(noted["complete"]) <= pd.Timestamp.now("UTC")


# --- Washington: ArcGIS ---------------------------------------------------------------------------------------------

@pytest.fixture
def dc():
    with PortalServer(layers={"Crime Incidents - 2018": dc_rows(40), "Crime Incidents in 2019": dc_rows(30, 2019), "Crime Incidents - Last 30 Days": dc_rows(3), "Shot Spotter Gun Shots": dc_rows(2)}) as server: yield server


@pytest.fixture
def get_dc(dc, tmp_path, waits):
    def get(since="2018-01-01", until="2018-12-31", folder=tmp_path / "data", **options):
        return P.fetch("dc", since, until, folder, **dict(base=dc.base + dc.base_path, page=10, patience=P.Patience(sleep=waits.append, jitter=lambda: 1, timeout=(20, 20))) | options)
    return get


def dc_is_whole(path, server, layer="layer0", where="1=1"):
    rows, table = server._select(layer, "CCN, OFFENSE, OBJECTID", where), pd.read_csv(path, dtype=str)
    assert sorted(zip(table.CCN, table.OFFENSE, table.OBJECTID)) == sorted((row["CCN"], row["OFFENSE"], str(row["OBJECTID"])) for row in rows)
    assert P.provenance(path)["rows"] == len(rows)
    return True


def test_washington_year_by_year_for_its_reader(dc, get_dc, monkeypatch):
    monkeypatch.setenv("SODA_APP_TOKEN", "sesame-7")
    paths = get_dc(until="2020-12-31")      # there is no layer of 2020
    assert [p.name for p in paths] == ["dc-2018.csv", "dc-2019.csv"] and dc_is_whole(paths[0], dc) and dc_is_whole(paths[1], dc, "layer1") and dc.tokens == {None}
    events = read(paths[0], city="dc").events.set_index("record_id")
    row = dc_rows(40)[7]
    assert events.time[row["CCN"]] == pd.Timestamp(row["START_DATE"], unit="ms", tz="UTC").tz_convert("America/New_York").tz_localize(None) and events.category[row["CCN"]] == row["OFFENSE"] and len(events) == 40
    part, = get_dc("2018-03-01", "2018-03-31")
    april = pd.Timestamp("2018-04-01").value // 10**6
    assert dc_is_whole(part, dc, where=f"REPORT_DAT >= {april - 31 * 86_400_000} AND REPORT_DAT < {april}") and 0 < len(pd.read_csv(part)) < 40


def test_washington_without_layers_of_these_years(dc, get_dc):
    with pytest.raises(InputError, match="no rows from 2015-01-01 to 2016-12-31 .its layers: 2018, 2019."): get_dc("2015-01-01", "2016-12-31")
    dc.misbehave(layers=["error in the answer:400"])
    with pytest.raises(InputError, match="answers 400 .Error performing query operation.; has the portal changed"): get_dc()
    dc.resources = {"layer3": "Shot Spotter Gun Shots"}
    with pytest.raises(InputError, match="lists no layer named Crime Incidents with a year"): get_dc()


def test_washington_errors_inside_a_good_answer(dc, get_dc, waits):
    dc.misbehave(page=["", "error in the answer:500", "error in the answer:429", "closed", "truncated"])
    assert dc_is_whole(get_dc()[0], dc) and waits == [1, 2, 4, 8]


def test_washington_caps_pages_and_repeats_rows(dc, get_dc):
    dc.cap = 7
    # 40 rows in pages of 7, and the empty one; twice, the second time only to compare
    assert dc_is_whole(get_dc(page=1000)[0], dc) and len(dc.pages()) == 7 + 7


def test_washington_rows_that_come_and_go_between_pages(dc, get_dc):
    def edit(server):
        server.delete("layer0", "CCN = '18000002'")
        server.insert("layer0", dc_rows(1)[0] | {"CCN": "18999999"}, number=-5)
        server.insert("layer0", dc_rows(1)[0] | {"CCN": "18999998"})
    dc.misbehave(page=["", edit])
    assert dc_is_whole(get_dc()[0], dc)


def test_washington_filled_anew_with_the_same_numbers_during_the_fetch(dc, get_dc):
    def refill(server):
        rows = dc_rows(40)
        server.delete("layer0", "1=1")
        for number, row in enumerate(rows[::-1], 1): server.insert("layer0", row, number)

    dc.misbehave(page=["", "", refill])
    assert dc_is_whole(get_dc()[0], dc)


def test_washington_edited_during_the_fetch_starts_again(dc, get_dc):
    dc.last_edit = 1_700_000_000_000

    def edit(server):
        server.change("layer0", "CCN = '18000002'", OFFENSE="HOMICIDE")
        server.last_edit += 1000

    dc.misbehave(page=["", edit])
    path, = get_dc()
    assert dc_is_whole(path, dc) and len(dc.pages()) == 5 + 5 + 5
    dc.asked.clear()
    get_dc()
    # not edited since: no row is asked for, only the keys and record numbers
    assert {query["outFields"] for kind, query in dc.asked if kind == "page"} == {"OBJECTID,CCN"}
    edit(dc)
    assert dc_is_whole(get_dc()[0], dc)
    dc.misbehave(page=[edit] * 40)
    edit(dc)
    with pytest.raises(InputError, match="was edited each of the 3 times"): get_dc()


def test_washington_that_says_nothing_about_edits_is_fetched_anew(dc, get_dc):
    path, = get_dc()
    was = path.read_bytes()
    dc.change("layer0", "CCN = '18000002'", OFFENSE="HOMICIDE")
    assert dc_is_whole(get_dc()[0], dc) and path.read_bytes() != was


def test_washington_with_a_stamp_a_row_is_updated_by_it(dc, get_dc):
    dc.stamped = True
    path, = get_dc()
    dc.change("layer0", "CCN = '18000002'", OFFENSE="HOMICIDE")
    dc.delete("layer0", "CCN = '18000003'")
    dc.asked.clear()
    assert dc_is_whole(get_dc()[0], dc) and len(dc.pages()) == 2 and all("EDITED >" in where for where in dc.pages())


# --- whatever a portal does, the next call makes up for it ---

LIES = ("500", "503", "429:1", "closed", "truncated", "html", "again", "only again", "count:1", "count:-1", "backwards", "nothing", "redirect:http://127.0.0.1:9/")

@pytest.mark.parametrize("seed", range(8))
def test_after_any_faults_and_lies_one_honest_call_has_the_whole_table(tmp_path, waits, seed):
    "50 wrong answers a seed, 400 in all: portal after portal edits its table and answers some questions wrongly, then it is honest."
    ask = dict(page=7, patience=P.Patience(attempts=3, sleep=waits.append, jitter=lambda: 1, timeout=(20, 20)))
    with PortalServer({CHICAGO: soda_rows(20)}, most=20_000, seconds=600) as server:
        for number in itertools.count():
            if server.wrong >= 50: break
            chance, folder = random.Random(1000*seed + number), tmp_path / str(number)
            kinds = ("count", "page", "keys", "columns")
            for call in range(3):
                # once or twice a call something is wrong
                server.misbehave(**{kind: [chance.choice(LIES) if chance.random() < .15 else "" for _ in range(12)] for kind in kinds} if call < 2 else {})
                ids = sorted(row["id"] for row in truth(server).values())
                if chance.random() < .6: server.change(CHICAGO, f"id = '{chance.choice(ids)}'", primary_type=f"KIND {number} {call}")
                if chance.random() < .3: server.delete(CHICAGO, f"id = '{chance.choice(ids)}'")
                if chance.random() < .4: server.insert(CHICAGO, soda_rows(1, seed=number)[0] | {"id": f"2018{seed}{number:02}{call}99"})
                try: path, = P.fetch("chicago", *YEAR, folder, base=server.base, **ask)
                # a call that gives up is allowed to, with one sentence, but not once the portal is honest
                except InputError as error: assert call < 2 and "\n" not in str(error), (number, str(error))
            assert is_whole(path, server, by_reader=False), number

def test_one_row_of_the_year_20190_does_not_keep_the_others_away(dc, get_dc):
    dc.change("layer0", "OBJECTID = 3", REPORT_DAT=574_992_000_000_000)
    path, = get_dc()
    table = pd.read_csv(path, dtype=str)
    assert len(table) == len(dc._select("layer0", "OBJECTID")) and (table["REPORT_DAT"] == "574992000000000").sum() == 1

def test_the_token_stays_in_the_house_and_out_of_errors(server, get, tmp_path):
    with PortalServer({CHICAGO: soda_rows(3)}) as other:
        server.misbehave(columns=[f"redirect:{other.base}/api/views/{CHICAGO}.json"] * 9)
        with pytest.raises(InputError, match="which is not followed"): get(token="SeCreT123")
        assert other.asked == [] and other.tokens == set()
    server.misbehave(columns=["echo"] * 9)
    with pytest.raises(InputError) as told: get(token="SeCreT123")
    assert "secret123" not in str(told.value).lower() and "…" in str(told.value) and told.value.__cause__ is None

def test_no_error_and_no_file_repeats_the_password_of_an_address(server, tmp_path, monkeypatch):
    own = server.base.replace("://", "://mary:open%40sesame@")
    for base in (own.replace("http:", "ftp:"), own.replace("@1", "@[1"), "https://mary:open/sesame@host", "https://mary:open@sesame@127.0.0.1:1", own.replace("http:", "https:")):
        with pytest.raises(InputError) as told: P.fetch("chicago", *YEAR, tmp_path / "a", base=base, patience=P.Patience(attempts=1))
        assert "sesame" not in str(told.value) and "mary" not in str(told.value)
    server.misbehave(columns=["echo"] * 9)
    with pytest.raises(InputError) as told: P.fetch("chicago", *YEAR, tmp_path / "b", base=own, token="open@sesame", patience=P.Patience(attempts=1))
    assert "sesame" not in str(told.value)
    server.misbehave()
    path, = P.fetch("chicago", *YEAR, tmp_path / "c", base=own)
    assert is_whole(path, server) and server.base in path.with_suffix(".json").read_text() and not any("sesame" in p.read_text() for p in path.parent.iterdir())

def test_an_answer_that_drips_is_cut_off_as_a_whole(server, get):
    server.misbehave(columns=["drip"] * 9)
    began = time.monotonic()
    with pytest.raises(InputError, match="takes longer than 1 seconds for one answer"):
        get(patience=P.Patience(attempts=2, longest_answer=1, sleep=lambda seconds: None, timeout=(20, 20)))
    assert time.monotonic() - began < 15


def test_a_portal_that_is_registered_is_fetched_stored_and_asked_for_its_years(tmp_path, waits, monkeypatch):
    from dataclasses import replace
    from crimenb import sources
    from crimenb.cities import CITIES
    from crimenb.warehouse import store
    card = replace(CITIES["chicago"], name="mytown")
    card = replace(card, portal=replace(card.portal, what="My town", resources={2001: "town-1111"}, elsewhere={2019: "table town-2222 has the year that is running"}))
    with PortalServer({"town-1111": soda_rows(25, "chicago", 2018)}) as server:
        ask = dict(folder=tmp_path/"files", base=server.base, patience=P.Patience(sleep=waits.append))
        with pytest.raises(InputError, match="unknown city 'mytown'"): P.fetch("mytown", "2018-01-01", "2018-12-31", **ask)
        monkeypatch.setitem(CITIES, "mytown", card)
        with pytest.warns(UserWarning, match="no rows of 2019 in its table.*town-2222"): paths = P.fetch("mytown", "2018-01-01", "2019-12-31", **ask)
    assert "mytown" in P.PORTALS and [path.name for path in paths] == ["mytown-2018.csv"] and len(read(paths[0], city="mytown").events) == 25
    assert store.ingest("mytown", paths, tmp_path/"store").rows == 25
    with pytest.warns(UserWarning, match="town-2222"): assert len(sources.load("mytown", until="2020-01-01", folder=tmp_path/"store")) == 25
    # registered no more, it is read all the same
    monkeypatch.delitem(CITIES, "mytown")
    assert "mytown" not in P.PORTALS and len(sources.load("mytown", folder=tmp_path/"store")) == 25


# --- answers of another shape ---

SODA = {"views": {"columns": [{"fieldName": name, "dataTypeName": "text"} for name in P.PORTALS["chicago"].columns]}, "count": [{"n": "1", "newest": None}],
        "rows": [{":id": "row-1", "id": "1", "date": "2018-03-01T10:00:00"}]}
FIELDS = [{"name": name, "type": "esriFieldTypeString"} for name in P.PORTALS["dc"].columns]
ARCGIS = {"layers": {"layers": [{"id": 8, "name": "Crime Incidents in 2018"}]}, "about": {"fields": FIELDS}, "count": {"count": 1},
          "rows": {"features": [{"attributes": {"OBJECTID": 1, "CCN": "1", "REPORT_DAT": 0}}]}}
NONE = (None, "x", "\u00b2", "\ud800", 5, [], [1], ["x"], {}, {"a": 1}, {"id": {}, "name": None}, [{}], True, -1, 10**30)

@contextmanager
def saying(said):
    "A portal of both dialects that says just this; the second page is empty."
    class Says(http.server.BaseHTTPRequestHandler):
        def log_message(self, *words): return None
        def do_GET(self):
            path, seen = urllib.parse.unquote_plus(self.path), "/query" in self.path or "/resource/" in self.path
            what = "count" if "count(*)" in path or "returnCountOnly" in path else "rows" if seen else "views" if "/api/views" in path else "about" if "/8?" in path else "layers"
            answer = said[what]
            if what == "rows" and re.search(r"(:id|OBJECTID) > ", path): answer = {"features": []} if "/query" in path else []
            body, headers = answer if isinstance(answer, tuple) else (json.dumps(answer).encode(), {})
            self.send_response(302 if "Location" in headers else 200)
            for name, value in headers.items(): self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

def changed(thing, new):
    "`thing` with one part after the other, at any depth, as `new`."
    yield new
    for key, part in thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ():
        for other in changed(part, new):
            whole = dict(thing) if isinstance(thing, dict) else list(thing)
            whole[key] = other
            yield whole

@pytest.mark.parametrize("city, honest", [("chicago", SODA), ("dc", ARCGIS)])
def test_an_answer_of_another_shape_ends_in_a_sentence_or_in_a_file(city, honest, tmp_path):
    short = {"views": {"columns": SODA["views"]["columns"][:1]}, "about": {"fields": FIELDS[:1], "editFieldsInfo": {"editDateField": None}, "editingInfo": {}}}
    lies = [(what, other) for what, answer in honest.items() for new in NONE for other in changed(short.get(what, answer), new)]
    said = dict(honest)
    with saying(said) as base:
        ask = dict(base=base, patience=P.Patience(attempts=1, sleep=lambda seconds: None))
        for number, (what, other) in enumerate(lies):
            said |= {**honest, what: other}
            # the other columns stay, for a lie about one of them
            if what in ("views", "about") and isinstance(other, dict):
                key = "columns" if what == "views" else "fields"
                if isinstance(other.get(key), list): said[what] = {**other, key: [*other[key], *honest[what][key][1:]]}
            try: path, = P.fetch(city, *YEAR, tmp_path / str(number), **ask)
            except InputError as error: assert "\n" not in str(error), (what, other)
            else: assert path.read_text(encoding="utf-8"), (what, other)
    assert number > 150

@pytest.mark.parametrize("answer, says", [
    ((b"[]", {"Location": "http://[::1"}), "cannot be asked"), ((b"[]", {"Content-Length": "\u00b2"}), "does not say which columns"),
    ((b'{"error": {"code": "\xc2\xb2", "message": "x"}}', {}), "answers 400"), ((b'{"error": {"code": ' + b"9"*5000 + b"}}", {}), "answers 400")])
def test_numbers_and_addresses_that_are_none(answer, says, tmp_path):
    with saying({**SODA, "views": answer}) as base, pytest.raises(InputError, match=says):
        P.fetch("chicago", *YEAR, tmp_path, base=base, patience=P.Patience(attempts=1, sleep=lambda seconds: None))

def test_rows_without_end_are_left_and_not_kept(server, get, monkeypatch):
    row, sent = soda_rows(1)[0], itertools.count()
    honest = P.Soda.rows
    monkeypatch.setattr(P.Soda, "rows", lambda self, where, columns, limit: [{":id": f"row-{next(sent)}", **row} for _ in range(limit)])
    monkeypatch.setattr(P.Table, "most", 200)
    with pytest.raises(InputError, match="serves more than 200 rows, and counts half as many"): get()
    monkeypatch.setattr(P.Soda, "rows", honest)
    assert is_whole(get(), server)

def test_certificates_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(InputError, match="cannot be asked .*certificate.*/nowhere.pem"): P.fetch("chicago", *YEAR, tmp_path, base="https://127.0.0.1:9")
