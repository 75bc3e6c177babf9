"The four views of a store: equal, field by field, to those of the whole table, also on a cluster; what cannot be fed is said."
import os
import subprocess
import sys
from datetime import date

import numpy as np
import pandas as pd
import pytest
from test_store import city  # noqa: F401

from crimenb import cities, geo, grids, panels, sequences, terrain
from crimenb.cities import get
from crimenb.core import InputError
from crimenb.warehouse import feeds
from crimenb.warehouse import store as S

GRID = grids.Grid(-87.79, 41.71, -87.62, 41.99, 5, 4)
UNITS = terrain.Units.of(geo.cells_in((430_000, 4_617_000, 450_000, 4_640_000), 1500., 32616))
GROUPS = panels.category_groups(["THEFT", "BATTERY", "ASSAULT", "ARSON"])
AREAS = pd.DataFrame({"lon": -87.7, "lat": 41.8, "km2": 3.}, index=pd.Index(["1", "2", "3", "5", "6", "8", "10"], name="area"))
BARS = {"bars": terrain.Points([435_000., 440_000.], [4_620_000., 4_630_000.], 32616)}
VIEWS = {
    "sequences": (lambda **ask: feeds.sequences("chicago", **ask), lambda t: sequences.from_events(t)),
    "sequences since March": (lambda **ask: feeds.sequences("chicago", 6, 40, "crimealarm-chicago", since="2016-03-01", **ask),
                              lambda t: sequences.from_events(t[t.time >= "2016-03-01"], 6, 40, "crimealarm-chicago")),
    "sequences of cells": (lambda **ask: feeds.sequences("chicago", kind="cell", cell=900., **ask), lambda t: sequences.from_events(t, kind="cell", cell=900.)),
    "hourly maps": (lambda **ask: feeds.hourly_maps("chicago", GRID, **ask), lambda t: grids.HourlyMaps.from_events(t, GRID)),
    "hourly maps of the city": (lambda **ask: feeds.hourly_maps("chicago", "chicago", **ask), lambda t: grids.HourlyMaps.from_events(t, "chicago")),
    "hourly maps of squares": (lambda **ask: feeds.hourly_maps("chicago", 2500., **ask), lambda t: grids.HourlyMaps.from_events(t, 2500.)),
    "hourly maps of thefts": (lambda **ask: feeds.hourly_maps("chicago", GRID, "2016-01-01 05:00", "2016-07-01", categories=["THEFT"], **ask),
                              lambda t: grids.HourlyMaps.from_events(t[t.category == "THEFT"], GRID, "2016-01-01 05:00", "2016-07-01")),
    "hourly maps of arson": (lambda **ask: feeds.hourly_maps("chicago", GRID, categories="ARSON", **ask),
                             lambda t: grids.HourlyMaps.from_events(t[t.category == "ARSON"], GRID)),
    "weekly areas": (lambda **ask: feeds.panel("chicago", **ask), lambda t: panels.Panel.from_events(t)),
    "months": (lambda **ask: feeds.panel("chicago", "MS", GROUPS, 4, start="2016-01-01", end="2017-01-01", **ask),
               lambda t: panels.Panel.from_events(t[(t.time >= "2016-01-01") & (t.time < "2017-01-01")], "MS", GROUPS, 4, start="2016-01-01", end="2017-01-01")),
    "weekly areas of a table": (lambda **ask: feeds.panel("chicago", places=AREAS, **ask), lambda t: panels.Panel.from_events(t, places=AREAS)),
    "terrain": (lambda **ask: feeds.terrain("chicago", UNITS, BARS, period="6M", limit=900., choice=ask),
                lambda t: terrain.Terrain.from_events(t, UNITS, BARS, get("chicago"), "6M", limit=900.)),
}


def same(a, b, name=""):
    "Equal in every field, bit by bit."
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a: same(a[key], b[key], f"{name}.{key}")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, err_msg=name)
    elif isinstance(a, pd.DataFrame): pd.testing.assert_frame_equal(a, b)
    elif isinstance(a, pd.DatetimeIndex): assert a.equals(b), name
    elif hasattr(a, "__dataclass_fields__") and not isinstance(a, type):
        assert type(a) is type(b), name
        # what a view has computed on the way is not part of it
        for field in a.__dataclass_fields__:
            if field != "made": same(getattr(a, field), getattr(b, field), f"{name}.{field}")
    else: assert a == b, name


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("rows", [900, 10**6])
def test_a_view_of_a_store_is_that_of_the_whole_table(city, view, rows):  # noqa: F811
    by_store, by_table = VIEWS[view]
    same(by_store(folder=city[0], rows=rows), by_table(city[1]))

def test_the_four_views_on_two_processes_of_a_cluster(city):  # noqa: F811
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster, distributed.Client(cluster) as client:
        assert len(set(client.run(os.getpid).values())) == 2
        for view in ("sequences", "hourly maps", "weekly areas", "terrain"):
            by_store, by_table = VIEWS[view]
            same(by_store(folder=city[0], rows=900, client=client), by_table(city[1]))

@pytest.mark.parametrize("values", [[3.], [1., 2.], [1., 1., 5., 5.], [5., 1., 1., 2., 9.], []])
def test_a_median_is_read_off_counts(values):
    different, n = np.unique(values, return_counts=True)
    found = feeds.median(different, n)
    assert np.isnan(found) if not values else found == np.median(values)

def ingested(tmp_path, **columns):
    "A store of a few hundred records with other columns than usual."
    rng, n = np.random.default_rng(0), 400
    table = {"ID": range(n), "Date": (pd.Timestamp("2016-03-01") + pd.to_timedelta(np.sort(rng.integers(0, 60*24*60, n)), unit="min")).strftime("%m/%d/%Y %I:%M:%S %p"),
             "Primary Type": "THEFT", "Location Description": "STREET", "Community Area": rng.integers(1, 9, n).astype(str), "Latitude": 41.8, "Longitude": -87.7}
    pd.DataFrame({**table, **{k: v(n) if callable(v) else v for k, v in columns.items()}}).to_csv(tmp_path/"a.csv", index=False)
    S.ingest("chicago", tmp_path/"a.csv", tmp_path)
    return tmp_path

def test_dates_without_hours_make_no_hourly_maps(tmp_path):
    folder = ingested(tmp_path, Date=lambda n: (pd.Timestamp("2016-03-01") + pd.to_timedelta(np.arange(n)//7, unit="D")).strftime("%m/%d/%Y 12:00:00 AM"))
    with pytest.raises(InputError, match="known to the day, and an hourly map needs hours"): feeds.hourly_maps("chicago", GRID, folder=folder, rows=50)

def test_one_event_of_long_ago_makes_no_million_hours(tmp_path):
    folder = ingested(tmp_path, Date=lambda n: ["05/03/1951 10:00:00 AM", *(pd.Timestamp("2016-03-01") + pd.to_timedelta(np.arange(n - 1)*97, unit="min")).strftime("%m/%d/%Y %I:%M:%S %p")])
    days = S.days("chicago", folder=folder)
    if days.day.iloc[0].date() == date(1951, 5, 3):
        with pytest.raises(InputError, match="1 of 400 events, one of 1951-05-03, lie 65 years from all others"): feeds.hourly_maps("chicago", GRID, folder=folder)
    assert len(feeds.hourly_maps("chicago", GRID, "2016-03-01", "2016-03-03", folder=folder)) == 48

def test_spots_are_areas_where_no_event_has_premises(tmp_path):
    folder = ingested(tmp_path, **{"Location Description": ""})
    seqs = feeds.sequences("chicago", folder=folder, rows=90)
    assert list(seqs.spots) == ["area"] and seqs.n_spots == 8
    same(seqs, sequences.from_events(S.load("chicago", folder=folder)))

def test_areas_that_do_not_meet_the_events_are_refused(city):  # noqa: F811
    with pytest.raises(InputError, match="0 of .* events lie in an area of the table"): feeds.panel("chicago", places=AREAS.set_axis(list("tuvwxyz")), folder=city[0])
    with pytest.raises(InputError, match=r"lie in an area of the table, 8% "): feeds.panel("chicago", places=AREAS[:1], folder=city[0])

@pytest.mark.parametrize("make", [lambda **ask: feeds.sequences("chicago", since="2031-01-01", **ask), lambda **ask: feeds.panel("chicago", start="2031-01-01", **ask),
                                  lambda **ask: feeds.hourly_maps("chicago", GRID, "2031-01-01", **ask)])
def test_a_time_without_events_is_said(city, make):  # noqa: F811
    with pytest.raises(InputError, match="choose"): make(folder=city[0])

def test_hours_without_any_event_are_zero_where_they_are_asked_for(city):  # noqa: F811
    maps = feeds.hourly_maps("chicago", GRID, "2014-01-01", "2014-01-02", folder=city[0])
    assert maps.counts.shape == (24, 5, 4) and not maps.counts.any()

AFTER_A_RESTART = """
import json, pathlib, sys, warnings
import numpy as np
from crimenb import cities, geo, grids, sources, terrain
from crimenb.core import InputError
from crimenb.warehouse import feeds, store
folder = sys.argv[1]
assert "oldtown" not in cities.CITIES
events = sources.load("oldtown", folder=folder)
units = terrain.Units.of(geo.cells_in((464_000, 5_245_000, 468_000, 5_248_000), 1000., 32632))
seqs = feeds.sequences("oldtown", min_events=5, folder=folder)
maps = feeds.hourly_maps("oldtown", grids.Grid(8.5, 47.35, 8.6, 47.4, 2, 2), folder=folder)
ground = feeds.terrain("oldtown", units, {}, period="M", choice={"folder": folder})
print(len(events), seqs.n_spots, int(maps.counts.sum()), int(np.nansum(feeds.panel("oldtown", "D", folder=folder).counts)), int(ground.counts.sum()))
# what the card says of cells, squares and factors is known from the store
card = store.card_of("oldtown", folder)
assert card.portal.elsewhere == {2019: "table b has it"} and card.portal.base == "https://data.oldtown.example/api"
assert sources.load("oldtown", folder=folder).equals(events)
own = feeds.hourly_maps("oldtown", "oldtown", folder=folder)
assert own.grid == grids.as_grid(card, events) and own.counts.sum() == 310 and len(own.holidays)
ground = feeds.terrain("oldtown", period="M", choice={"folder": folder})
assert [*ground.factors] == ["bars"] and ground.counts.sum() == 310 and ground.units.cells.width == 500
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    store.load("oldtown", until="2020-01-01", folder=folder)
assert "table b has it" in str(said[0].message)
again = store.ingest("oldtown", sys.argv[2], folder)
assert (again.kept, again.replaced, again.rows) == (310, 310, 310)
# a store that was made before stores kept their card
book = pathlib.Path(folder, "city=oldtown", "store.json")
old = json.loads(book.read_text())
del old["card"], old["seal"]
book.write_text(json.dumps({**old, "seal": store._seal(old)}))
assert len(sources.load("oldtown", folder=folder)) == feeds.terrain("oldtown", units, {}, period="M", choice={"folder": folder}).counts.sum() == 310
for asked in ((None, {}), (units, None), (500., {})):
    try: feeds.terrain("oldtown", *asked, choice={"folder": folder})
    except InputError as error: assert "the card of oldtown is not registered" in str(error)
    else: raise AssertionError(asked)
for name in ("oldtown", "newtown"):
    try: sources.load(name, folder=folder + "/elsewhere")
    except InputError as error: assert "unknown data set" in str(error), error
    else: raise AssertionError(name)
"""

def test_a_store_is_read_in_a_process_in_which_its_card_is_not_registered(tmp_path, monkeypatch):
    n = 310
    times = pd.Timestamp("2018-01-01") + pd.to_timedelta(np.arange(n)*144, unit="min")
    pd.DataFrame({"Nr": range(n), "Reported": times.strftime("%d.%m.%Y %H:%M"), "Kind": np.resize(["THEFT", "BURGLARY"], n), "Quarter": np.resize(["North", "South"], n),
                  "Lon": np.resize([8.541, 8.552], n), "Lat": np.resize([47.371, 47.366], n)}).to_csv(tmp_path/"oldtown.csv", index=False)
    monkeypatch.setitem(cities.CITIES, "oldtown", cities.Card("oldtown", {"time": "Reported", "category": "Kind", "lon": "Lon", "lat": "Lat", "record_id": "Nr"},
                                                              {"Quarter": False}, order="dmy", zone="Europe/Zurich", box=(8.4, 47.3, 8.7, 47.5), cell_m=500, holidays="CH", factors=[cities.Factor("bars", "bars.csv")],
                                                              portal=cities.Portal("Oldtown", "soda", "https://me:secret@data.oldtown.example/api?token=secret", {2018: "a"}, "reported", "nr", (), (), {2019: "table b has it"})))
    # files of the card are found from wherever the next process is
    monkeypatch.chdir(tmp_path)
    (tmp_path/"bars.csv").write_text("lon,lat\n8.545,47.370\n8.550,47.367\n")
    S.ingest("oldtown", tmp_path/"oldtown.csv", tmp_path/"store")
    assert "secret" not in (tmp_path/"store"/"city=oldtown"/"store.json").read_text()
    (tmp_path/"away").mkdir()
    done = subprocess.run([sys.executable, "-c", AFTER_A_RESTART, str(tmp_path/"store"), str(tmp_path/"oldtown.csv")], capture_output=True, text=True, cwd=tmp_path/"away")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["310", "2", "310", "310", "310"]


# --- times that are known to the day or month ---

ROUGH = {"begins with days": lambda t: t < pd.Timestamp("2016-03-05"), "ends with days": lambda t: t >= pd.Timestamp("2016-04-26"),
         "among others": lambda t: t.day_of_year % 11 == 0, "a month": lambda t: t.month == 3, "all": lambda t: True}

@pytest.mark.parametrize("rough", ROUGH.values(), ids=ROUGH)
def test_views_of_a_store_are_those_of_the_table_where_some_times_are_rough(tmp_path, rough):
    "The first or the last days, some, many or all events are known to the day or month only."
    rng = np.random.default_rng(0)
    at = pd.Timestamp("2016-03-01 00:00:30") + pd.to_timedelta(np.sort(rng.integers(1, 60*24*60, 2400)), unit="min")
    months = rough(pd.Timestamp("2016-03-20")) and rough(pd.Timestamp("2016-03-21"))
    text = [t.strftime("%Y-%m" if months else "%Y-%m-%d") if rough(t) else str(t) for t in at]
    pd.DataFrame({"ID": range(2400), "Date": text, "Primary Type": "THEFT", "Location Description": "STREET", "Community Area": "1", "Latitude": 41.8 + rng.uniform(0, .02, 2400), "Longitude": -87.7}).to_csv(tmp_path/"a.csv", index=False)
    S.ingest("chicago", tmp_path/"a.csv", tmp_path)
    events, more = S.load("chicago", folder=tmp_path), dict(folder=tmp_path, rows=300)
    assert events.known_to.notna().sum() == sum(len(t) < 19 for t in text)
    for direct, stored in ((lambda: grids.HourlyMaps.from_events(events, GRID), lambda: feeds.hourly_maps("chicago", GRID, **more)),
                           (lambda: panels.Panel.from_events(events, "D"), lambda: feeds.panel("chicago", "D", **more)),
                           (lambda: panels.Panel.from_events(events, "MS"), lambda: feeds.panel("chicago", "MS", **more)),
                           (lambda: panels.Panel.from_events(events, slots=4), lambda: feeds.panel("chicago", slots=4, **more)),
                           (lambda: terrain.Terrain.from_events(events, 500., {}, None, "W"), lambda: feeds.terrain("chicago", 500., {}, None, "W", choice=more)),
                           (lambda: sequences.from_events(events), lambda: feeds.sequences("chicago", **more))):
        try: want = direct()
        except InputError as error:
            with pytest.raises(InputError) as found: stored()
            assert str(found.value) == str(error)
            continue
        found = stored()
        if hasattr(want, "n_spots"): assert (found.events == want.events).all() and {k: n for k, n in found.dropped.items() if n} == {k: n for k, n in want.dropped.items() if n}
        else:
            np.testing.assert_array_equal(found.counts, want.counts)
            assert (found.starts == want.starts).all() and getattr(found, "notes", ()) == getattr(want, "notes", ())
