"crimenb.geo: files of every format made up by hand, each kind of wrong place, real files as today, other libraries as oracle, and damaged bytes."
import bz2
import gzip
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from functools import partial

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crimenb import cities, events, geo, grids, terrain
from crimenb.core import InputError
from crimenb.warehouse import store
from crimenb.geo import (Cells, Points, adjacency, area_label, cell_of, cell_places, cells_in, degree_cells, join_areas, knn_graph, locate, misplaced, read_boundaries,
                         read_events, read_points, read_polygons, read_table, simplified, square_cells, to_frame, to_geojson, transform, utm, write)
from crimenb.sources import fetch
from faults import damaged

def zipped(content): return gzip.compress(content, mtime=0)     # a test's name must not hold the time

# ten places in Washington, a street apart
LON, LAT = -77.03 + .001*np.arange(10), 38.9 + .001*np.arange(10)
# the same in metres of Maryland, and in feet of it
METRES, FEET = transform(LON, LAT, 4326, 26985), transform(LON, LAT, 4326, 2248)

def collection(features, **more): return {"type": "FeatureCollection", **more, "features": features}
def feature(geometry, **properties): return {"type": "Feature", "properties": properties, "geometry": geometry}
def point(*xy): return {"type": "Point", "coordinates": list(xy)}
def square(w, s, e, n): return [[w, s], [e, s], [e, n], [w, n], [w, s]]
def polygon(*rings): return {"type": "Polygon", "coordinates": list(rings)}
def named(crs): return {"type": "name", "properties": {"name": crs}}
def moved(ring, crs): return np.column_stack(transform(*np.transpose(ring), 4326, crs)).tolist()

# three squares in a row, in Chicago; and their edges
ROW = {str(i + 1): square(round(-87.70 + .02*i, 2), 41.80, round(-87.68 + .02*i, 2), 41.82) for i in range(3)}
EDGES = [[0, 1], [1, 0], [1, 2], [2, 1]]
KM2 = 3.6918

@pytest.fixture
def put(tmp_path):
    "A function: name and content of a file -> its path."
    def put(name, content):
        path = tmp_path/name
        if isinstance(content, bytes): path.write_bytes(content)
        else: path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path
    return put

def refused(call, *says):
    "The call ends in one sentence with these words."
    with pytest.raises(InputError) as found: call()
    text = str(found.value)
    assert "\n" not in text and all(word in text for word in says), text


# --- coordinate systems ---

def test_utm_zones():
    # Chicago, New York, Los Angeles, Sydney, Quito, Cape Town, Fiji
    assert [utm(*p) for p in ((-87.6, 41.9), (-74, 40.7), (-118.2, 34), (151.2, -33.9), (-78.5, -.2), (18.4, -33.9), (178.4, -18.1))] == [
        32616, 32618, 32611, 32756, 32717, 32734, 32760]
    assert utm(180, 10) == 32660 and utm([-87.6, np.nan, -87.7, 3], [41.9, np.nan, 41.8, 50]) == 32616
    for wrong in (([], []), (np.nan, np.nan), (2674927., 234723.), (10., 89.)): refused(lambda: utm(*wrong))

@pytest.mark.parametrize("lon, lat", [(-87.6, 41.9), (-74, 40.7), (151.2, -33.9), (18.4, -33.9), (24.9, 60.2)])
def test_the_zone_is_geopandas_own(lon, lat):
    frame = geopandas.GeoDataFrame(geometry=[shapely.Point(lon, lat)], crs=4326)
    assert utm(lon, lat) == frame.estimate_utm_crs().to_epsg()

def test_longitude_comes_first_whatever_a_system_says():
    for crs in (4326, "EPSG:4326", "OGC:CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326"):
        x, y = transform(LON, LAT, crs, 26985)
        np.testing.assert_allclose((x, y), METRES)
    assert transform(LON, LAT, 4326, "OGC:CRS84")[0] is not None and transform([5], [6], None, None)[0].tolist() == [5]
    for wrong in (999999, "no system", -5, "1"*400, [1], None): refused(lambda: transform([1], [2], wrong, 4326), "no coordinate system")

@pytest.mark.parametrize("make, says", [
    (lambda: Points([-77., -77.1], [38.9, 38.8]), "look like degrees"), (lambda: Points([914928.], [125756.], crs=2263), "foot"),
    (lambda: Points([1.], [2.], crs=4326), "degrees"), (lambda: Points([0], [0], weight=[-1]), "negative"), (lambda: Points([0], [0], rows_in=5), "5 records in"),
    (lambda: Points([0, 1], [0]), "same length"), (lambda: Points([np.nan], [0]), "missing or infinite"), (lambda: Points([0], [0], weight=[1, 2]), "as many of each"),
    (lambda: cells_in((0, 0, -1, 5), 1), "not (west"), (lambda: cells_in((0, 0, 1, 5), 0), "above 0"), (lambda: cells_in((0, 0, 1e6, 1e6), .1), "too many"),
    (lambda: cells_in((0, 0, 500, 500), 100, None, shapely.box(9000, 9000, 9999, 9999)), "no cell"), (lambda: cells_in((0, 0, 500, 500), 100, 4326), "degrees"),
    (lambda: degree_cells((1, 2, 0, 3)), "not (west"), (lambda: square_cells((-87.7, 41.8, -87.6, 41.9), -5), "above 0"), (lambda: square_cells("Chicago", 500), "cells are made over"),
    (lambda: square_cells((-87.7, 41.8, -87.6, 41.9), 500, keep="most"), "keep"), (lambda: square_cells(pd.DataFrame({"lon": [np.nan], "lat": [np.nan]}), 500), "no event"),
    (lambda: knn_graph([0, np.nan], [0, 0]), "coordinates"), (lambda: knn_graph([0], [0]), "two"), (lambda: knn_graph([0, 1], [0, 0], 0), "k is"),
    (lambda: locate([1.], [2., 3.], [shapely.box(0, 0, 1, 1)]), "same length"), (lambda: locate([1.], [2.], []), "no areas"),
    (lambda: cell_places(Cells(0, 0, 1, 1, 2, 2, None)), "local system"), (lambda: to_geojson(Points([0.], [0.])), "local system"), (lambda: to_geojson(pd.DataFrame({"a": [1]})), "neither"),
    (lambda: to_geojson([1]), "no table"), (lambda: write(pd.DataFrame({"lon": [1.], "lat": [2.]}), "a.dwg"), "ending"), (lambda: read_points("/nowhere/at/all.json"), "there is no file"),
    (lambda: read_polygons("/nowhere/at/all.json"), "there is no file"), (lambda: read_points("/"), "folder"),
])
def test_what_can_not_be_is_refused_in_one_sentence(make, says): refused(make, says)

def test_points_keep_their_account():
    points = Points([0, 150, 900], [0, 0, 0], rows_in=5, dropped={"no place": 2}, notes={"a remark": 1})
    left = points.where([True, False, True], "no place").where([True, False], "other")
    assert left.xy.tolist() == [[0, 0]] and left.dropped == {"no place": 3, "other": 1} and left.rows_in == 5 and left.notes == {"a remark": 1}


# --- places, one by one ---

def with_row(x, y, *row):
    x, y = np.array(x), np.array(y)
    x[3], y[3] = row
    return x, y

@pytest.mark.parametrize("crs, x, y, reason", [
    (2248, *with_row(*FEET, LON[3], LAT[3]), "in degrees"),                                  # degrees among feet
    (26985, *with_row(*METRES, LON[3], LAT[3]), "in degrees"),                               # degrees among metres
    (26985, *with_row(*METRES, LAT[3], LON[3]), "in degrees"),                               # and those swapped
    (4326, *with_row(LON, LAT, FEET[0][3], FEET[1][3]), "not in degrees"),                   # feet among degrees
    (4326, *with_row(LON, LAT, METRES[0][3], METRES[1][3]), "not in degrees"),               # metres among degrees
    (4326, *with_row(LON, LAT, LAT[3], LON[3]), "longitude and latitude swapped"),           # swapped
    (4326, *with_row(LON, LAT, -LON[3], LAT[3]), "far from the others"),                     # a lost sign
    (4326, *with_row(LON, LAT, LON[3], LAT[3] + 10), "far from the others"),
    (4326, *with_row(LON, LAT, 0, 0), "at 0, 0"),
    (2248, *with_row(*FEET, 0, 0), "at 0, 0"),
    (2248, *with_row(*FEET, METRES[0][3], METRES[1][3]), "far from the others"),             # metres among feet
    (26985, *with_row(*METRES, FEET[0][3], FEET[1][3]), "far from the others"),              # feet among metres
    (26985, *with_row(*METRES, METRES[1][3], METRES[0][3]), "far from the others"),          # swapped in metres
    (26985, *with_row(*METRES, 1e300, METRES[1][3]), "far from the others"),
    (4326, *with_row(LON, LAT, np.nan, LAT[3]), "no place"), (4326, *with_row(LON, LAT, np.inf, LAT[3]), "no place"),
])
@pytest.mark.parametrize("to", [None, 26985])
def test_a_wrong_place_among_good_ones_is_counted(crs, x, y, reason, to):
    found = read_points(pd.DataFrame({"x": x, "y": y, "n": range(10)}), to, ("x", "y"), crs)
    assert found.dropped == {reason: 1} and found.rows_in == 10 and found.columns.n.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    expected = METRES if to else transform(LON, LAT, 4326, 32618)
    np.testing.assert_allclose(found.xy, np.delete(np.column_stack(expected), 3, 0), atol=1e-3)

@pytest.mark.parametrize("crs, x, y, says", [
    (4326, *FEET, "not in degrees"), (2248, LON, LAT, "in degrees"), (26985, *FEET, "outside the area"), (4326, LAT, LON, "38.9, -77.03"),
    (2263, *transform(LON + 3, LAT + 1.8, 4326, 32118), "outside the area"), (26985, METRES[1], METRES[0], "outside the area"), (4326, np.where(np.arange(10) < 6, 1e6, LON), LAT, "6 of 10"),
])
def test_where_most_places_are_wrong_nothing_is_read(crs, x, y, says):
    refused(lambda: read_points(pd.DataFrame({"x": x, "y": y}), 26985, ("x", "y"), crs), "can not be right", says)

def test_two_places_and_a_wide_country_have_no_far_places():
    assert misplaced([-77., 10.], [38.9, 50.], 4326) == {}
    rng = np.random.default_rng(0)
    assert misplaced(rng.uniform(-120, -70, 200), rng.uniform(30, 48, 200), 4326) == {}
    # a county of 90 km is one place
    assert misplaced([-77.]*9 + [-76.], [38.9]*10, 4326) == {} and list(misplaced([-77.]*9 + [-75.], [38.9]*10, 4326)) == ["far from the others"]

def test_a_box_is_the_judge_where_there_is_one():
    x, y = with_row(*METRES, METRES[0][3] + 50_000, METRES[1][3])
    found = read_points(pd.DataFrame({"x": x, "y": y}), 26985, ("x", "y"), 26985, (389e3, 125e3, 409e3, 149e3))
    assert found.dropped == {"outside the box": 1}


# --- points from files ---

@pytest.mark.parametrize("name, content", [
    ("a.geojson", collection([feature(point(*p)) for p in zip(LON, LAT)])),
    ("b.json", collection([feature(point(*p)) for p in zip(*METRES)], crs=named("urn:ogc:def:crs:EPSG::26985"))),
    ("c.geojson", collection([feature(point(*p)) for p in zip(*FEET)], crs=named("EPSG:2248"))),
    ("d.geojson", collection([feature(point(*p)) for p in zip(*FEET)], crs={"type": "EPSG", "properties": {"code": 2248}})),
    ("e.geojson", collection([feature({"type": "MultiPoint", "coordinates": [list(p)]}) for p in zip(LON, LAT)])),
    ("f.geojson", collection([feature({"type": "GeometryCollection", "geometries": [point(*p)]}) for p in zip(LON, LAT)])),
    ("g.geojson", collection([feature(point(*p, 12.5)) for p in zip(LON, LAT)], crs=named("urn:ogc:def:crs:OGC:1.3:CRS84"))),
    ("h.geojson", collection([{"type": "Feature", "properties": None, "geometry": point(*p)} for p in zip(LON, LAT)], crs=None)),
    ("i.geojson", {"type": "MultiPoint", "coordinates": np.column_stack([LON, LAT]).tolist()}),
    ("j.json", {"spatialReference": {"wkid": 102685, "latestWkid": 2248}, "features": [{"attributes": {"a": 1}, "geometry": {"x": x, "y": y}} for x, y in zip(*FEET)]}),
    ("k.json", {"spatialReference": {"wkid": 4326}, "features": [{"attributes": {}, "geometry": {"points": [list(p)]}} for p in zip(LON, LAT)]}),
    ("l.json", {"features": [{"attributes": {}, "geometry": {"x": x, "y": y, "spatialReference": {"wkid": 102100}}} for x, y in zip(*transform(LON, LAT, 4326, 3857))]}),
    ("m.csv", "Lon,LAT\n" + "".join(f"{x},{y}\n" for x, y in zip(LON, LAT))),
    ("n.csv", "\ufefflongitude,latitude,x,y\n" + "".join(f"{x},{y},5,5\n" for x, y in zip(LON, LAT))),
    ("o.csv", "name,the_geom\n" + "".join(f"a,POINT ({x} {y})\n" for x, y in zip(LON, LAT))),
    ("p.geojson", "\ufeff" + json.dumps(collection([feature(point(*p)) for p in zip(LON, LAT)]))),
    ("q.geojson", json.dumps(collection([feature(point(*p)) for p in zip(LON, LAT)])).encode("utf-16")),
    ("r.geojson.gz", zipped(json.dumps(collection([feature(point(*p)) for p in zip(LON, LAT)])).encode())),
    ("s.csv.gz", zipped(("lng,lat\n" + "".join(f"{x},{y}\n" for x, y in zip(LON, LAT))).encode())),
    ("t.geojson", collection([feature(polygon(square(x - .0001, y - .0001, x + .0001, y + .0001))) for x, y in zip(LON, LAT)])),
    ("u.geojson", collection([feature({"type": "LineString", "coordinates": [[x - .0001, y], [x + .0001, y]]}) for x, y in zip(LON, LAT)])),
])
def test_all_places_of_a_file_are_known(put, name, content):
    path = put(name, content)
    found = read_points(path, 26985)
    np.testing.assert_allclose(found.xy, np.column_stack(METRES), atol=.02)
    assert found.dropped == {} and len(found) == found.rows_in == 10
    own = read_points(path)
    assert own.crs == 32618 and np.allclose(transform(own.x, own.y, 32618, 4326), (LON, LAT), atol=1e-6)

def test_events_come_in_every_format_of_points(tmp_path, put):
    rows = {"when": [f"2018-01-{i + 1:02} 08:15" for i in range(10)], "kind": list("ABABABABAB"), "lon": 5., "LAT": 6., "x": 7., "y": 8.}
    frame = geopandas.GeoDataFrame(rows, geometry=shapely.points(*FEET), crs=2248)
    for name in ("a.gpkg", "a.shp", "a.fgb"): frame.to_file(tmp_path/name)
    frame.to_parquet(tmp_path/"a.parquet")
    frame.to_crs(4326).to_file(tmp_path/"a.geojson")
    how = dict(time="when", category="kind", tz="America/New_York")
    card = cities.Card("mine", columns={"time": "when", "category": "kind", "x": "x", "y": "y"}, zone="America/New_York", crs=2248)
    for source in (frame, *(tmp_path/f"a.{kind}" for kind in ("gpkg", "shp", "fgb", "parquet", "geojson"))):
        for found in (read_events(source, **how), read_events(source, city=card)):
            found = found.events.sort_values("time")
            np.testing.assert_allclose(found[["lon", "lat"]], np.column_stack([LON, LAT]), atol=1e-6)
            assert "".join(found["category"]) == "ABABABABAB"
    # a table without shapes, and a place that is not known
    assert np.allclose(read_events(put("a.csv", "when,kind,lon,lat\n2018-01-01 08:15,A,-77,38.9\n"), **how).events["lon"], -77)
    assert read_events(frame.assign(geometry=[None, *frame.geometry[1:]]), **how).events["lon"].isna().sum() == 1
    (tmp_path/"a.prj").unlink()
    refused(lambda: read_events(tmp_path/"a.shp", **how), "says no coordinate system", "tell crs")
    np.testing.assert_allclose(read_events(tmp_path/"a.shp", crs=2248, **how).events["lon"], LON, atol=1e-6)
    refused(lambda: read_events(frame.assign(geometry=frame.buffer(5)), **how), "other shapes than points")
    # where they are looked for in vain, the sentence names the way
    plain = cities.Card("mine", columns={"time": "when", "category": "kind"}, zone="America/New_York")
    for source in (frame, *(tmp_path/f"a.{kind}" for kind in ("gpkg", "shp", "geojson", "parquet"))): refused(lambda: events.read(source, city=plain), "geo.read_events")

def test_shapes_in_parquet_never_lose_their_places_without_a_word(tmp_path):
    rows = pd.DataFrame({"when": [f"2018-01-{i + 1:02} 08:15" for i in range(10)], "kind": list("ABABABABAB")})
    points = shapely.points(LON, LAT)
    noted, bare, named = tmp_path/"noted.parquet", tmp_path/"bare.parquet", tmp_path/"named.parquet"
    geopandas.GeoDataFrame(rows, geometry=points, crs=4326).rename_geometry("spot").to_parquet(noted)
    rows.assign(geometry=shapely.to_wkb(points)).to_parquet(bare)
    how = dict(time="when", category="kind", tz="America/New_York")
    plain = cities.Card("mine", columns={"time": "when", "category": "kind"}, zone="America/New_York")
    for source in (noted, bare, pd.read_parquet(bare)):
        np.testing.assert_allclose(read_events(source, **how).events[["lon", "lat"]], np.column_stack([LON, LAT]), atol=1e-6)
        for again in (lambda: events.read(source, **how), lambda: events.read(source, city=plain)): refused(again, "geo.read_events")
    for source in (noted, bare): refused(lambda: store.ingest(plain, source, tmp_path/"stores"), "geo.read_events")
    # with columns of places beside the shapes, these are read
    rows.assign(geometry=shapely.to_wkb(points), lon=LON, lat=LAT).to_parquet(named)
    np.testing.assert_allclose(events.read(named, **how).events["lon"], LON, atol=1e-6)
    rows.assign(geometry=[b"no shape", *shapely.to_wkb(points[1:])]).to_parquet(bare)
    refused(lambda: read_events(bare, **how), "1 shapes cannot be read")

def test_formats_of_geopandas(tmp_path):
    frame = geopandas.GeoDataFrame({"name": list("abcdefghij")}, geometry=shapely.points(*FEET), crs=2248)
    for name in ("a.gpkg", "a.shp", "a.shp.zip", "a.fgb"): frame.to_file(tmp_path/name)
    frame.to_parquet(tmp_path/"a.parquet")
    with zipfile.ZipFile(tmp_path/"b.zip", "w") as archive:
        for part in ("shp", "shx", "dbf", "prj"): archive.write(tmp_path/f"a.{part}", f"folder/a.{part}")
    for source in (frame, *(tmp_path/name for name in ("a.gpkg", "a.shp", "a.shp.zip", "b.zip", "a.fgb", "a.parquet"))):
        found = read_points(source, 26985)
        order = np.argsort(found.columns.name)
        np.testing.assert_allclose(found.xy[order], np.column_stack(METRES), atol=.01)
    (tmp_path/"a.prj").unlink()
    refused(lambda: read_points(tmp_path/"a.shp"), "says no coordinate system", "from_crs")
    np.testing.assert_allclose(read_points(tmp_path/"a.shp", 26985, from_crs=2248).xy, np.column_stack(METRES), atol=.01)
    refused(lambda: read_points(frame.set_crs(None, allow_override=True)), "says no coordinate system")
    refused(lambda: read_points(geopandas.GeoDataFrame({"a": [1]})), "no geometry")
    frame.to_file(tmp_path/"two.gpkg", layer="bars"); frame.iloc[:4].to_file(tmp_path/"two.gpkg", layer="stations")
    refused(lambda: read_points(tmp_path/"two.gpkg"), "2 layers", "bars, stations")
    assert len(read_points(tmp_path/"two.gpkg", layer="stations")) == 4
    refused(lambda: read_points(tmp_path/"two.gpkg", layer="parks"), "layer")
    pd.DataFrame({"lon": LON, "lat": LAT}).to_parquet(tmp_path/"plain.parquet")
    assert len(read_points(tmp_path/"plain.parquet")) == 10

@pytest.mark.parametrize("geometry, dropped", [
    (None, {"no place": 1}), (point(), {"no place": 1}), ({}, {"no place": 1}), ({"type": "MultiPoint", "coordinates": []}, {"no place": 1}),
    ({"type": "GeometryCollection", "geometries": []}, {"no place": 1}), (polygon([]), {"no place": 1}), (point(None, None), {"geometry unreadable": 1}), (point("x", 5), {"geometry unreadable": 1}),
    (point(5), {"geometry unreadable": 1}), ({"type": "Circle", "coordinates": [1, 2]}, {"geometry unreadable": 1}), ({"type": "Point", "coordinates": {"x": 1}}, {"geometry unreadable": 1}),
    (point(float("nan"), 1), {"geometry unreadable": 1}), ("here", {"geometry unreadable": 1}), ([1, 2], {"geometry unreadable": 1}), (7, {"geometry unreadable": 1}),
])
def test_a_geometry_that_is_none_is_counted(put, geometry, dropped):
    found = read_points(put("a.geojson", collection([*(feature(point(*p)) for p in zip(LON, LAT)), feature(geometry)])), 26985)
    assert len(found) == 10 and found.dropped == dropped and found.rows_in == 11

@pytest.mark.parametrize("nothing", ["POINT EMPTY", "POLYGON EMPTY", "LINESTRING EMPTY", "MULTIPOINT EMPTY", "MULTIPOINT (EMPTY, EMPTY)", "MULTIPOLYGON EMPTY", "GEOMETRYCOLLECTION (POINT EMPTY)"])
def test_an_empty_shape_is_no_place(put, nothing):
    shapes = [*map(shapely.Point, zip(LON, LAT)), shapely.from_wkt(nothing)]
    text = "name,wkt\n" + "".join(f'{i},"{shapely.to_wkt(shape)}"\n' for i, shape in enumerate(shapes))
    for source in (put("a.csv", text), geopandas.GeoDataFrame({"name": range(11)}, geometry=shapes, crs=4326)):
        found = read_points(source, 26985)
        assert len(found) == 10 and found.rows_in == 11 and found.dropped == {"no place": 1} and found.notes == {}
        np.testing.assert_allclose(found.xy, np.column_stack(METRES), atol=1)

def test_an_empty_part_of_a_place_is_none(put):
    text = f'name,wkt\na,"MULTIPOINT (EMPTY, ({LON[0]} {LAT[0]}))"\nb,POINT ({LON[1]} {LAT[1]})\n'
    found = read_points(put("a.csv", text), 26985)
    assert list(found.columns.name) == ["a", "b"] and found.rows_in == 2 and found.dropped == found.notes == {}
    np.testing.assert_allclose(found.xy, np.column_stack(METRES)[:2], atol=1)

def test_esri_empty_points_and_shapes(put):
    features = [{"attributes": {}, "geometry": {"x": x, "y": y}} for x, y in zip(LON, LAT)]
    for nothing in (None, {}, {"x": "NaN", "y": "NaN"}, {"x": None, "y": None}):
        found = read_points(put("a.json", {"spatialReference": {"wkid": 4326}, "features": [*features, {"attributes": {}, "geometry": nothing}]}))
        assert len(found) == 10 and found.dropped == {"no place": 1}
    refused(lambda: read_points(put("a.json", {"features": features})), "says no coordinate system")
    assert len(read_points(put("a.json", {"features": features}), from_crs=4326)) == 10
    refused(lambda: read_points(put("a.json", {"spatialReference": {"wkid": 987654}, "features": features})), "not known")
    refused(lambda: read_points(put("a.json", {"spatialReference": {"wkid": 4326}, "exceededTransferLimit": True, "features": features})), "cut it off")
    refused(lambda: read_points(put("a.json", {"error": {"code": 400, "message": "Invalid query"}})), "Invalid query")

def test_places_of_a_multipoint_are_each_one_and_areas_count_at_their_middle(put):
    two = {"type": "MultiPoint", "coordinates": [[LON[0], LAT[0]], [LON[1], LAT[1]]]}
    found = read_points(put("a.geojson", collection([feature(two, n=1), feature(point(LON[2], LAT[2]), n=2), feature(polygon(square(LON[3] - .1, LAT[3] - .1, LON[3] + .1, LAT[3] + .1)), n=3)])), 26985)
    assert found.columns.n.tolist() == [1, 1, 2, 3] and found.rows_in == 4 and found.dropped == {}
    assert found.notes == {"a further place of a MultiPoint": 1, "a line or area, at its centroid": 1}
    np.testing.assert_allclose(found.xy, np.column_stack(METRES)[:4], atol=1)

@pytest.mark.parametrize("crs", [{"type": "link", "properties": {"href": "http://example.com"}}, {"type": "name"}, {}, [], 5.5, {"type": "name", "properties": None}, {"type": "name", "properties": {"name": []}}])
def test_a_crs_that_names_nothing_is_refused_unless_told(put, crs):
    path = put("a.geojson", collection([feature(point(*p)) for p in zip(*FEET)], crs=crs))
    refused(lambda: read_points(path), "from_crs")
    np.testing.assert_allclose(read_points(path, 26985, from_crs=2248).xy, np.column_stack(METRES))

def test_a_row_longer_than_its_header_moves_nothing(put):
    lines = [f"bar {i},{x},{y}" for i, (x, y) in enumerate(zip(LON, LAT))]
    lines[4] = f"bar 4, the old one,{LON[4]},{LAT[4]}"
    found = read_points(put("a.csv", "name,lon,lat\n" + "\n".join(lines) + "\n"), 26985)
    assert found.rows_in == 10 and found.dropped == {"line unreadable": 1} and found.columns.name.tolist() == [f"bar {i}" for i in range(10) if i != 4]
    # a header that is one field too short would make the first column an index
    refused(lambda: read_points(put("a.csv", "lon,lat\n" + "\n".join(lines) + "\n")), "other fields than the header")

@pytest.mark.parametrize("name, text, options", [
    ("a.csv", "east,north\n1,2\n", {}), ("a.csv", "x,y\n1,2\n", {}), ("a.csv", "east,north\n1,2\n", dict(place=("east", "south"), from_crs=26985)),
    ("a.csv", "", {}), ("a.csv", "lon,lat\n", {}), ("a.csv", "lon,lat\n,\n,\n", {}), ("a.csv", "\0\1\2\3", {}), ("a.csv", "lon,lat\n1,2\n", dict(from_crs=999999)),
    ("a.geojson", "{}", {}), ("a.geojson", "[1]", {}), ("a.geojson", "", {}), ("a.geojson", "null", {}), ("a.geojson", '"text"', {}), ("a.geojson", collection([]), {}), ("a.geojson", collection([1, "b", None]), {}),
    ("a.geojson", {"type": "Topology", "objects": {}}, {}), ("a.geojson", collection([feature(point(*p)) for p in zip(*FEET)]), {}), ("a.geojson", "[" * 100_000, {}),
    ("a.geojson", '{"features": [{"geometry": ' + '{"type": "GeometryCollection", "geometries": [' * 5_000, {}), ("a.geojson", '{"type": "Point", "coordinates": [%s, %s]}' % ("9"*400, "9"*400), {}),
    ("a.geojson", '{"type": "Point", "coordinates": [1e999, 2]}', {}), ("a.geojson", '{"type": "Point", "coordinates": [%s]}' % ("9"*6_000), {}), ("a.geojson", json.dumps(collection([])).encode()[:-4], {}),
    ("a.geojson", b'{"type": "Point", "coordinates": [1, 2], "n": "\xe9"}', {}), ("a.geojson", b"\xff\xfe\x00", {}), ("a.geojson.gz", zipped(b"{}")[:-9], {}), ("a.geojson.gz", b"\x1f\x8b\x08rubbish", {}),
    ("a.rda", "no R", {}), ("a.gpkg", "no package", {}), ("a.shp", "no shapes", {}), ("a.parquet", "no parquet", {}), ("a.zip", "no zip", {}), ("a.csv.gz", "no gzip", {}), ("a.fgb", b"", {}),
    ("none.csv", None, {}), ("none.rda", None, {}), ("none.geojson", None, {}), ("none.gpkg", None, {}),
])
def test_files_that_hold_no_points_are_refused(put, tmp_path, name, text, options):
    path = tmp_path/name if text is None else put(name, text)
    refused(lambda: read_points(path, 26985, **options))
    refused(lambda: read_polygons(path, **{k: v for k, v in options.items() if k == "from_crs"}))

def test_numbers_of_400_digits_and_deep_nests_beside_the_places_do_no_harm(put):
    found = read_points(put("a.geojson", json.dumps(collection([feature(point(*p), n=1) for p in zip(LON, LAT)])).replace('"n": 1', '"n": ' + "7"*400)))
    assert len(found) == 10 and np.isinf(found.columns.n).all()

def test_a_pipe_is_no_file_of_shapes(tmp_path):
    os.mkfifo(tmp_path/"a.geojson")
    refused(lambda: read_points(tmp_path/"a.geojson"), "a device or a pipe")

def test_properties_without_end_are_refused(put):
    refused(lambda: read_points(put("a.geojson", collection([feature(point(LON[0], LAT[0]), **{f"p{i}_{j}": 1 for j in range(4)}) for i in range(6_000)]))), "24,000 properties of 6,000 features")

def test_a_file_packed_too_well_is_not_unpacked_to_the_end(put, monkeypatch):
    monkeypatch.setattr(geo, "MOST_TEXT", 1_000_000)
    refused(lambda: read_points(put("a.geojson.gz", zipped(b" "*2_000_000))), "save it as GeoPackage")

def test_read_table_gives_text_and_the_system(put):
    table = read_table(put("a.csv", "CCN,XBLOCK,note\n007,5,\n"))
    assert table.CCN.tolist() == ["007"] and table.note.isna().all()
    table = read_table(put("a.geojson", collection([feature(point(1, 2), n=1)], crs=named("EPSG:3435"))))
    assert table.attrs["crs"] == "EPSG:3435" and table.geometry[0].equals(shapely.Point(1, 2)) and table.n.tolist() == [1]


# --- areas ---

def areas_file(labels=ROW, crs=None, key="area_num_1", extra=(), **more):
    rings = {k: moved(r, crs) if crs else r for k, r in ROW.items()}
    features = [feature(polygon(ring), **{key: label}) for label, ring in zip(labels, rings.values())]
    return collection([*features, *extra], **more)

@pytest.mark.parametrize("name, content", [
    ("a.geojson", areas_file()), ("b.geojson", areas_file(crs=3435, **{"more": 1}) | {"crs": named("urn:ogc:def:crs:EPSG::3435")}), ("c.geojson", areas_file([1, 2, 3])),
    ("d.geojson", areas_file([1.0, 2.0, 3.0])), ("e.geojson", areas_file([" 1", "2.0", "003"])), ("f.geojson", areas_file(key="NAME")), ("g.geojson", areas_file(key="whatever")),
    ("h.geojson", areas_file(extra=[feature(None, area_num_1="9")])), ("i.geojson", areas_file(extra=[feature(polygon(), area_num_1="9")])), ("j.geojson", areas_file(extra=[feature(point(-87.7, 41.8), area_num_1="9")])),
    ("k.geojson", areas_file(extra=[feature(polygon(square(-87.7, 41.9, -87.6, 42)))])), ("l.geojson", areas_file(extra=[feature(polygon(square(0, 0, 1, 1)), area_num_1="9")])),
    ("m.geojson", areas_file(extra=[feature(polygon([[c[1], c[0]] for c in square(-87.7, 41.9, -87.6, 42)]), area_num_1="9")])),
    ("n.geojson", areas_file(extra=[feature(polygon([["x", 1], [2, 3]]), area_num_1="9")])), ("o.geojson", areas_file(extra=[{"type": "Feature", "properties": None, "geometry": polygon(square(-87.7, 41.9, -87.6, 42))}])),
    ("p.json", {"spatialReference": {"wkid": 102671, "latestWkid": 3435}, "features": [{"attributes": {"area": int(k)}, "geometry": {"rings": [moved(r, 3435)[::-1]]}} for k, r in ROW.items()]}),
    ("q.csv", "area_num_1,the_geom\n" + "".join(f'{k},"{shapely.Polygon(r).wkt}"\n' for k, r in ROW.items())),
    ("r.geojson", areas_file(extra=[feature(polygon(ROW["2"]), area_num_1="2")])),
    ("s.geojson", collection([feature({"type": "GeometryCollection", "geometries": [polygon(r), point(-87.7, 41.8)]}, area=k) for k, r in ROW.items()])),
    ("t.geojson", collection([{"type": "Feature", "id": k, "properties": {}, "geometry": polygon(r)} for k, r in ROW.items()])),
    ("u.geojson", collection([feature(polygon([[*c, 180.5] for c in r]), area=k) for k, r in ROW.items()])),
])
def test_three_areas_in_a_row(put, name, content):
    path = put(name, content)
    found = read_polygons(path)
    assert list(found.index) == ["1", "2", "3"] and found.index.name == "area" and list(found) == ["lon", "lat", "km2", "geometry"]
    np.testing.assert_allclose(found[["lon", "lat"]], [[-87.69, 41.81], [-87.67, 41.81], [-87.65, 41.81]], atol=2e-6)
    np.testing.assert_allclose(found.km2, KM2, rtol=1e-4)
    assert adjacency(path, ["1", "2", "3"]).T.tolist() == EDGES == adjacency(found).T.tolist()
    account = found.attrs["account"]
    assert account["rows_in"] == 3 + sum(account["dropped"].values()) + sum(account["notes"].values()) and sum(account["dropped"].values()) in (0, 1)

def test_two_features_of_one_area_are_one(put):
    east = square(-87.5, 41.8, -87.48, 41.82)
    found = read_polygons(put("a.geojson", areas_file(extra=[feature(polygon(east), area_num_1="1")])))
    assert adjacency(found, ["1", "2", "3"]).T.tolist() == EDGES and found.km2["1"] == pytest.approx(2*KM2, rel=1e-4)
    assert found.attrs["account"]["notes"] == {"joined with another of the same area": 1}
    # overlapping parts count once, in whatever table they come
    twice = pd.DataFrame({"geometry": [shapely.box(-87.7, 41.8, -87.68, 41.82), shapely.box(-87.69, 41.8, -87.67, 41.82)]}, index=pd.Index(["a", "a"], name="area"))
    assert read_polygons(twice).km2["a"] == pytest.approx(1.5*KM2, rel=1e-4) and adjacency(twice).shape == (2, 0)

@pytest.mark.parametrize("ring, km2", [
    # a bow tie: two triangles of a quarter of the square each
    ([[-87.7, 41.8], [-87.68, 41.82], [-87.68, 41.8], [-87.7, 41.82], [-87.7, 41.8]], KM2/2),
    # a corner twice, a spike out and back, and a ring that isn't closed
    ([[-87.7, 41.8], [-87.7, 41.8], [-87.68, 41.8], [-87.68, 41.82], [-87.7, 41.82], [-87.7, 41.8]], KM2),
    ([[-87.7, 41.8], [-87.68, 41.8], [-87.66, 41.8], [-87.68, 41.8], [-87.68, 41.82], [-87.7, 41.82], [-87.7, 41.8]], KM2),
    ([[-87.7, 41.8], [-87.68, 41.8], [-87.68, 41.82], [-87.7, 41.82]], KM2),
])
def test_rings_that_are_wrong_are_mended(put, ring, km2):
    found = read_polygons(put("a.geojson", collection([feature(polygon(ring), area="a"), *(feature(polygon(r), area=k) for k, r in ROW.items())])))
    assert found.km2["a"] == pytest.approx(km2, rel=1e-3) and found.geometry["a"].is_valid
    assert found.attrs["account"]["mended"] == ({} if shapely.Polygon(ring).is_valid else {"ring that crosses itself": 1})

def test_esri_rings_have_holes_and_islands():
    with_clock = lambda *box: square(*box)[::-1]
    shape = geo._esri_shape({"rings": [with_clock(0, 0, 10, 10), square(2, 2, 8, 8), with_clock(4, 4, 6, 6), with_clock(20, 0, 30, 10), square(21, 1, 22, 2)]})
    assert shape.is_valid and shape.area == 100 - 36 + 4 + 100 - 1
    assert geo._esri_shape({"rings": [square(0, 0, 10, 10)]}).area == 100
    many = [with_clock(i, j, i + .5, j + .5) for i in range(60) for j in range(60)] + [square(i + .1, j + .1, i + .2, j + .2) for i in range(60) for j in range(60)]
    since = time.process_time()
    assert geo._esri_shape({"rings": many}).area == pytest.approx(3600*(.25 - .01)) and time.process_time() - since < 5

@pytest.mark.parametrize("content, says", [
    (areas_file(crs=3435), "not in degrees"), (areas_file(crs=3435) | {"crs": named("EPSG:4326")}, "not in degrees"), (areas_file() | {"crs": named("EPSG:3435")}, "in degrees"),
    (areas_file() | {"crs": named("nonsense")}, "no coordinate system"), (collection([feature(point(-87.7, 41.8), area="1")]), "no polygons, but Point"),
    (collection([feature(None, area="1")]), "no polygons"), (collection([feature(polygon(ROW["1"]), a=1, b=2)]), "out of a, b"), (areas_file([None, None, None]), "no property 'area_num_1'"),
    (areas_file(["1", None, None]), "of 3 features only 1"), (collection([feature(polygon([[c[1], c[0]] for c in r]), area=k) for k, r in ROW.items()]), "near a pole"),
    (collection([feature(polygon(r)) for r in ROW.values()]), "have no properties, so nothing names them"),
])
def test_areas_that_can_not_be_used_are_refused(put, content, says): refused(lambda: read_polygons(put("a.geojson", content)), says)

def test_a_key_that_is_not_there_is_refused(put):
    refused(lambda: read_polygons(put("a.geojson", areas_file()), "code"), "no property 'code'", "area_num_1")
    refused(lambda: adjacency(put("a.geojson", areas_file()), ["1", "zz"]), "no polygon is named 'zz'")

@pytest.mark.parametrize("value, label", [(1, "1"), (1.0, "1"), ("1", "1"), ("1.0", "1"), (" 01 ", "1"), ("0111", "111"), ("1,000", "1000"), (np.int64(7), "7"), (np.float64(7), "7"), ("7.00", "7"),
                                          ("1D", "1D"), ("North  Side ", "North Side"), ("1.5", "1.5"), (1.5, "1.5"), ("-1", "-1"), ("", None), ("  ", None), (None, None), (np.nan, None), (pd.NA, None),
                                          ("9"*400, "9"*400), ("²", "²"), (True, "True"), ("Ko\u0308ln", "Köln"), ("Köln\u200b", "Köln"), ("\ufeff7", "7")])
def test_a_label_is_the_same_whoever_saved_it(value, label): assert area_label(value) == label

def test_accents_in_one_piece_or_two_are_the_same_area_and_category(put):
    from crimenb import events
    one, two = "Köln", "Ko\u0308ln"
    left, right = (feature(polygon(square(*edges)), name=name) for name, edges in ((one, (0, 0, 1, 1)), (two, (1, 0, 2, 1))))
    areas = read_polygons(put("a.geojson", collection([left, right, feature(polygon(square(2, 0, 3, 1)), name="Bonn")])))
    assert list(areas.index) == [one, "Bonn"] and areas.attrs["account"]["notes"] == {"joined with another of the same area": 1}
    found = events.read(pd.DataFrame({"date": ["2024-03-02 02:01"]*4, "offense": [one, two]*2, "area": [one, two, "Bonn", two]})).events
    assert list(found["category"].cat.categories) == [one] and list(geo.area_rows(found["area"], areas)) == list(geo.area_rows([two, one, "Bonn", two], areas)) == [0, 0, 1, 0]

def test_touching_polygons_are_neighbours(put):
    def box(name, *edges): return feature(polygon(square(*edges)), name=name)
    # b begins a hair east of a's edge, as digitised borders do
    path = put("boxes.geojson", collection([box("a", 0, 0, 1, 1), box("b", 1.00002, 0, 2, 1), box("c", 1.01, 1.01, 2, 2), box("d", 2, 1, 3, 1.5)]))
    assert set(map(tuple, adjacency(path, ["d", "a", "b"]).T.tolist())) == {(1, 2), (2, 1), (0, 2), (2, 0)}
    places = read_polygons(path)
    assert places.loc["a", "km2"] == pytest.approx(111.32*110.57, rel=1e-3) and (places.loc["a", "lon"], places.loc["a", "lat"]) == (.5, .5)

def test_nearest_areas_agree_with_a_loop():
    rng = np.random.default_rng(0)
    lon, lat = rng.random(15), 41 + rng.random(15)
    edges, want = knn_graph(lon, lat, 3), set()
    for i in range(15):
        away = (lon - lon[i])**2*np.cos(np.radians(lat.mean()))**2 + (lat - lat[i])**2
        for j in np.argsort(away)[1:4]: want |= {(i, int(j)), (int(j), i)}
    assert set(map(tuple, edges.T.tolist())) == want and edges.dtype == np.int64 and len(want) == edges.shape[1]


# --- which area ---

def cloud(n=5_000, seed=0):
    rng = np.random.default_rng(seed)
    polygons = [shapely.Point(*p).buffer(r) for p, r in zip(rng.uniform(0, 1, (30, 2)), rng.uniform(.02, .15, 30))]
    return rng.uniform(0, 1, n), rng.uniform(0, 1, n), polygons

def test_the_area_of_a_place_is_the_first_that_holds_it():
    lon, lat, polygons = cloud()
    held = np.array([shapely.intersects_xy(p, lon, lat) for p in polygons])
    want = np.where(held.any(0), held.argmax(0), -1)
    assert (want >= 0).any() and (want < 0).any() and (held.sum(0) > 1).any()
    for chunk in (1, 777, 200_000): np.testing.assert_array_equal(locate(lon[:400], lat[:400], polygons, chunk=chunk), want[:400])
    np.testing.assert_array_equal(locate(lon, lat, polygons), want)

def test_locate_is_geopandas_join():
    lon, lat, polygons = cloud(seed=1)
    apart = shapely.make_valid(np.array([p.difference(shapely.union_all(polygons[:i])) if i else p for i, p in enumerate(polygons)]))
    joined = geopandas.GeoDataFrame(geometry=shapely.points(lon, lat)).sjoin(geopandas.GeoDataFrame(geometry=apart), how="left", predicate="intersects")
    theirs = joined.index_right.groupby(level=0).min().fillna(-1).astype(int)
    np.testing.assert_array_equal(locate(lon, lat, apart), theirs)

def test_places_on_a_border_nowhere_and_unknown(put):
    areas = read_polygons(put("a.geojson", areas_file()))
    lon, lat = [-87.68, -87.70, -87.65, -87.60, np.nan, -87.65, np.inf], [41.81, 41.80, 41.81, 41.81, 41.81, np.nan, 41.81]
    assert locate(lon, lat, areas).tolist() == [0, 0, 2, -1, -1, -1, -1]
    assert locate([], [], areas).tolist() == [] and locate([np.nan], [np.nan], areas).tolist() == [-1]
    events = join_areas(pd.DataFrame({"lon": lon, "lat": lat}), areas)
    assert events.area.tolist()[:3] == ["1", "1", "3"] and events.area.isna().sum() == 4 and list(events.area.cat.categories) == ["1", "2", "3"]
    feet = to_frame(areas).to_crs(3435)
    assert locate(lon, lat, feet).tolist() == [0, 0, 2, -1, -1, -1, -1]

def test_events_and_areas_of_two_cities_are_refused_with_both_boxes(put):
    areas = read_polygons(put("a.geojson", areas_file()))
    for call in (lambda: locate(LON, LAT, areas), lambda: join_areas(pd.DataFrame({"lon": LON, "lat": LAT}), areas)):
        refused(call, "-77.030 to -77.021", "-87.700 to -87.640", "38.900 to 38.909", "41.800 to 41.820")
    assert (locate(LON, LAT, areas, check=False) == -1).all()

def test_four_million_places_in_bounded_memory():
    code = """
import resource, sys
import numpy as np, pandas as pd
from crimenb import geo, sources
areas = geo.read_polygons(sources.fetch("chicago_2018")["chicago-community-areas.geojson"])
rng = np.random.default_rng(0)
lon, lat = rng.uniform(-87.94, -87.52, 4_000_000), rng.uniform(41.64, 42.03, 4_000_000)
found = geo.locate(lon, lat, areas)
cells = geo.square_cells(areas, 500.)
box = 4_000_000*np.prod(geo.metres_per_degree(41.835))*.42*.39/4e12       # km² of the box
assert abs((found >= 0).mean()*box - areas.km2.sum()) < 3 and abs((geo.cell_of(cells, lon, lat) >= 0).mean()*box - areas.km2.sum()) < 10
# the peak of this program; ru_maxrss would keep that of the one which started it
peak = next((line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), None) if sys.platform == "linux" else None
print(peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout)/1024 < 1_500


# --- cells ---

def test_cells_in_metres_cover_the_bounds_row_by_row():
    rng = np.random.default_rng(0)
    for _ in range(20):
        w, s = rng.uniform(0, 1e6, 2)
        (east, north), size = rng.uniform(500, 5_000, 2), rng.uniform(50, 400)
        whole = cells_in((w, s, w + east, s + north), size, 32616)
        rows, columns = int(np.ceil(north/size)), int(np.ceil(east/size))
        assert len(whole) == rows*columns and whole.numbers.tolist() == list(range(rows*columns))
        np.testing.assert_allclose(whole.x.reshape(rows, columns), np.tile(w + (np.arange(columns) + .5)*size, (rows, 1)))
        np.testing.assert_allclose(whole.y.reshape(rows, columns), np.tile(s + (np.arange(rows) + .5)*size, (columns, 1)).T)
        shape = shapely.Point(w + east/2, s + north/2).buffer(1_000)
        some = cells_in((w, s, w + east, s + north), size, 32616, shape)
        assert some.numbers.tolist() == [n for n, x, y in zip(whole.numbers, whole.x, whole.y) if shape.contains(shapely.Point(x, y))]

def test_cells_in_degrees_are_those_of_a_grid():
    grid = grids.GRIDS["chicago"]
    cells = degree_cells((grid.west, grid.south, grid.east, grid.north), 16, 16)
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(grid.west - .05, grid.east + .05, 20_000), rng.uniform(grid.south - .05, grid.north + .05, 20_000)
    lon[:3], lat[:3] = np.nan, np.nan
    np.testing.assert_array_equal(cell_of(cells, lon, lat), grid.cells(lon, lat))
    places = cell_places(cells)
    np.testing.assert_allclose(places.lon.to_numpy().reshape(16, 16), grid.centres()[0]); np.testing.assert_allclose(places.lat.to_numpy().reshape(16, 16), grid.centres()[1])
    assert places.km2.mean() == pytest.approx(grid.km2, rel=1e-3) and places.index[0] == "r0c0" and places.lat.iloc[0] > places.lat.iloc[-1]

@settings(max_examples=30, deadline=None)
@given(st.floats(50, 2_000), st.integers(0, 1_000), st.sampled_from([(-87.6, 41.9), (151.2, -33.9), (24.9, 60.2), (-78.5, -.1)]))
def test_cells_and_their_polygons_agree(size, seed, where):
    rng = np.random.default_rng(seed)
    events = pd.DataFrame({"lon": where[0] + rng.normal(0, .01, 200), "lat": where[1] + rng.normal(0, .01, 200)})
    cells = square_cells(events, size)
    held = cell_of(cells, events.lon, events.lat)
    assert (held >= 0).all() and np.allclose(cells.west % size, 0, atol=1e-6) or np.allclose(cells.west % size, size, atol=1e-6)
    some = square_cells(events, size, keep="touch")
    assert len(some) == len(np.unique(held)) and (cell_of(some, events.lon, events.lat) >= 0).all()
    places = cell_places(some)
    assert np.mean(locate(events.lon, events.lat, places) == cell_of(some, events.lon, events.lat)) > .99
    # squares on the map are squares on the ground, to what the projection distorts
    np.testing.assert_allclose(places.km2, size**2/1e6, rtol=.0025)
    np.testing.assert_allclose(places.km2, geo.area_places(places.geometry, places.index).km2, rtol=1e-4)

def test_cells_over_areas_and_the_same_cells_in_another_month(put):
    areas = read_polygons(put("a.geojson", areas_file()))
    everything, touch, middle = (square_cells(areas, 250., keep=k) for k in ("all", "touch", "middle"))
    assert len(everything) > len(touch) > len(middle) and len(middle)*.0625 == pytest.approx(areas.km2.sum(), rel=.06)
    assert (locate(cell_places(middle).lon, cell_places(middle).lat, areas) >= 0).all()
    for over in (shapely.union_all(areas.geometry.to_numpy()), to_frame(areas), (-87.70, 41.80, -87.64, 41.82)): np.testing.assert_array_equal(square_cells(over, 250.).numbers, middle.numbers)
    rng = np.random.default_rng(0)
    months = [pd.DataFrame({"lon": rng.uniform(-87.7, -87.64, 50), "lat": rng.uniform(41.8, 41.82, 50)}) for _ in range(2)]
    one, other = (set(map(tuple, np.column_stack([c.x, c.y]).round(3))) for c in (square_cells(m, 250., 32616) for m in months))
    assert len(one & other) > .8*len(one)
    # one event in the sea doesn't make a million cells
    assert len(square_cells(pd.concat([months[0], pd.DataFrame({"lon": [0., 87.6], "lat": [0., 41.8]})]), 250.)) < 1_000


# --- out ---

TABLE = pd.DataFrame({"lon": [-87.69, np.nan], "lat": [41.81, np.nan], "expected": [1.5, np.nan], "n": [3, 4], "week": pd.to_datetime(["2018-07-02", None]), "kind": pd.Categorical(["THEFT", None]),
                      "note": ['say "no"\n', None], "big": [np.float32(.5), np.inf]}, index=pd.Index(["a", "b"], name="area"))

def test_geojson_is_as_the_standard_has_it(put, tmp_path):
    found = json.loads(to_geojson(TABLE))
    assert found["type"] == "FeatureCollection" and "crs" not in found
    one, other = found["features"]
    assert one["geometry"] == {"type": "Point", "coordinates": [-87.69, 41.81]} and other["geometry"] is None
    assert one["properties"] | {"lon": 0, "lat": 0} == {"area": "a", "lon": 0, "lat": 0, "expected": 1.5, "n": 3, "week": "2018-07-02T00:00:00", "kind": "THEFT", "note": 'say "no"\n', "big": .5}
    assert {k for k, v in other["properties"].items() if v is None} == {"lon", "lat", "expected", "week", "kind", "note", "big"}
    # outer rings against the clock, holes with it; feet become degrees
    ring = shapely.Polygon(ROW["1"], [square(-87.695, 41.805, -87.685, 41.815)])
    frame = geopandas.GeoDataFrame({"area": ["1"]}, geometry=[ring.reverse()], crs=4326).to_crs(3435)
    shape = shapely.from_geojson(json.dumps(json.loads(to_geojson(frame))["features"][0]["geometry"]))
    assert shape.exterior.is_ccw and not shape.interiors[0].is_ccw and shape.equals_exact(ring, 1e-7, normalize=True)

@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.gpkg", "a.shp", "a.shp.zip", "a.fgb", "a.parquet"])
def test_areas_go_out_and_come_back(put, tmp_path, name):
    areas = read_polygons(put("row.geojson", areas_file(["North", "2", "3"]))).assign(expected=[1., 2., np.nan], kind=pd.Categorical(["x", "y", "x"]), week=pd.Timestamp("2018-07-02"))
    path = write(areas, tmp_path/"out"/name)
    again = read_polygons(path).loc[areas.index]
    np.testing.assert_allclose(again[["lon", "lat", "km2"]].astype(float), areas[["lon", "lat", "km2"]].astype(float), rtol=1e-6)
    assert geopandas.read_file(path).crs == 4326 if name != "a.parquet" else geopandas.read_parquet(path).crs == 4326
    assert sorted(p.suffix for p in path.parent.iterdir()) == ([".cpg", ".dbf", ".prj", ".shp", ".shx"] if name == "a.shp" else [path.suffix])
    # written over, whole
    write(areas.iloc[:1], path)
    assert len(read_polygons(path)) == 1

def test_borders_lose_vertices_and_get_no_gaps(tmp_path):
    # two areas of 4 km2 and a third, the borders of 2 km with a vertex each 5 m that lies up to 5 cm beside them
    rng, scale = np.random.default_rng(0), np.array(geo.metres_per_degree(41.8))
    steps = np.arange(5, 2000, 5.)
    def line(x): return np.column_stack([x + rng.uniform(-.05, .05, len(steps)), steps])
    lines = [line(x) for x in (0, 2000, 4000)]
    def area(a, b, x): return shapely.Polygon([(x, 0), (x + 2000, 0), *b, (x + 2000, 2000), (x, 2000), *a[::-1]])
    metres = [area(lines[0], lines[1], 0), area(lines[1], lines[2], 2000), shapely.box(0, 2000, 4000, 3000)]
    shapes = shapely.transform(np.array(metres, object), lambda xy: xy/scale + (-87.7, 41.8))
    shapes[2] = shapely.transform(shapely.Polygon([(0, 2000), (2000, 2000), (4000, 2000), (4000, 3000), (0, 3000)]), lambda xy: xy/scale + (-87.7, 41.8))
    fewer = simplified([*shapes, None, shapely.Point(-87.7, 41.8)])
    assert fewer[3] is None and fewer[4].geom_type == "Point" and shapely.get_num_coordinates(fewer[:3]).sum() < shapely.get_num_coordinates(shapes).sum()/4
    assert shapely.coverage_is_valid(fewer[:3]) and shapely.union_all(fewer[:3]).interiors[:] == []
    np.testing.assert_allclose(shapely.area(fewer[:3]), shapely.area(shapes), rtol=1e-5)
    path = write(pd.DataFrame({"area": list("abc"), "geometry": fewer[:3]}), tmp_path/"a.geojson")
    np.testing.assert_allclose(read_polygons(path).geometry.map(lambda g: g.area), shapely.area(shapes), rtol=1e-5)
    # what overlaps, and what would no longer be the same, stays
    for kept in ([shapes[0], shapes[0].buffer(1e-4)], [shapely.Point(-87.7, 41.8).buffer(2e-5)]):
        assert all(a is b for a, b in zip(simplified(kept), kept))
    refused(lambda: simplified(shapes, 0), "metres")

def test_points_and_cells_go_out(tmp_path):
    points = Points(*METRES, crs=26985, weight=range(10), columns=pd.DataFrame({"name": list("abcdefghij")}))
    again = read_points(write(points, tmp_path/"bars.geojson"), 26985)
    np.testing.assert_allclose(again.xy, points.xy, atol=.02); assert again.columns.weight.tolist() == list(range(10)) and again.columns.name.tolist() == list("abcdefghij")
    cells = square_cells((-87.7, 41.8, -87.68, 41.82), 500.)
    frame = to_frame(cells)
    assert frame.crs == 4326 and frame["area"].tolist() == cells.ids
    assert pd.read_csv(write(cells, tmp_path/"cells.csv")).columns.tolist() == ["area", "lon", "lat", "km2", "row", "column"]

@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson"])
def test_units_of_a_risk_terrain_go_out(tmp_path, name):
    x, y = np.array([445_000., 452_000., 448_000.]), np.array([4.62e6, 4.63e6, 4.625e6])
    units = terrain.Units(np.array([7, 8, 9]), x, y, crs=26916, columns=pd.DataFrame({"beat": ["01", "02", "03"]}))
    again = geopandas.read_file(write(units, tmp_path/name))
    moved = again.to_crs(26916).geometry
    np.testing.assert_allclose(np.column_stack([moved.x, moved.y]), units.xy, atol=.05)
    assert again["beat"].tolist() == ["01", "02", "03"] and again["unit"].tolist() == [7, 8, 9]
    cells = terrain.Units.of(geo.cells_in((0, 0, 1500, 1000), 500., 26916), risk=np.arange(6.))
    again = geopandas.read_file(write(cells, tmp_path/f"cells-{name}"))
    np.testing.assert_allclose(again.to_crs(26916).area, 250_000, rtol=1e-4)
    assert again["risk"].tolist() == [0, 1, 2, 3, 4, 5] and again["row"].tolist() == [0, 0, 0, 1, 1, 1]

def test_a_file_that_can_not_be_written_leaves_nothing(tmp_path):
    (tmp_path/"file").write_text("x")
    for name in ("file/a.geojson", "file/a.gpkg"): refused(lambda: write(TABLE, tmp_path/name), "can not write")
    wrong = TABLE.assign(thing=[{1: 2}, object()])
    refused(lambda: write(wrong, tmp_path/"a.parquet"), "can not write")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

def test_geojson_needs_no_geopandas(tmp_path):
    code = f"""
import sys
sys.modules["geopandas"] = sys.modules["pyogrio"] = None
import pandas as pd
from crimenb import geo
from crimenb.core import InputError
table = pd.DataFrame({{"lon": [-87.69], "lat": [41.81]}})
path = geo.write(table, r"{tmp_path/'a.geojson'}")
assert len(geo.read_points(path)) == 1
for call in (lambda: geo.to_frame(table), lambda: geo.write(table, r"{tmp_path/'a.gpkg'}")):
    try: call()
    except InputError as error: assert "crimenb[geo]" in str(error)
    else: raise SystemExit("not refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- the real files, as they were read before ---

@pytest.mark.parametrize("name, file, km2, edges", [("chicago_2018", "chicago-community-areas.geojson", 598, 396), ("la_2020_2024", "lapd_divisions.geojson", 1_239, 86)])
def test_areas_of_the_real_cities(name, file, km2, edges):
    path = fetch(name)[file]
    ours = read_polygons(path)
    assert ours.index.is_unique and ours.attrs["account"]["dropped"] == ours.attrs["account"]["mended"] == ours.attrs["account"]["notes"] == {}
    assert ours.km2.sum() == pytest.approx(km2, abs=2) and adjacency(path, list(ours.index)).shape == (2, edges)

def test_new_yorks_boroughs():
    path = fetch("nyc_rtm")["nyc_bor.rda"]
    shapes = read_boundaries(path, 32118)
    assert sum(s.area for s in shapes.values())/1e6 == pytest.approx(784, rel=.01)
    areas = read_polygons(path)
    assert set(areas.index) == set(shapes) and areas.km2.sum() == pytest.approx(784, rel=.01)

@pytest.mark.parametrize("name, file, options, right", [    # places, records, and the middle of the places
    ("nyc_rtm", "nyc_liq.rda", dict(crs=32118), (20436, 20436, 304828.8, 62458.9)),
    ("nyc_rtm", "nyc_shoot.rda", dict(crs=32118), (27939, 27939, 307680.1, 63481.0)),
    ("dc_rtm", "liquor-license-locations.geojson", dict(crs=26985, box=(389000.0, 125000.0, 409000.0, 149000.0)), (2012, 2012, 397627.7, 138129.3)),
    ("dc_rtm", "metro-station-entrances-district.geojson", dict(crs=26985), (88, 88, 398292.1, 137553.5)),
    ("dc_rtm", "metro-station-entrances-regional.geojson", dict(crs=26985), (180, 180, 395955.9, 138721.7)),
    ("dc_rtm", "assault2011.csv", dict(crs=26985), (2177, 2177, 400653.7, 136207.0)),
    ("dc_rtm", "ward8.csv.gz", dict(crs=26985, place=('XBLOCK', 'YBLOCK'), from_crs=26985, box=(389000.0, 125000.0, 409000.0, 149000.0)), (27977, 28061, 400850.0, 130926.0)),
])
def test_points_of_the_real_cities(name, file, options, right):
    found = read_points(fetch(name)[file], **options)
    assert (len(found), found.rows_in) == right[:2] and len(found) + sum(found.dropped.values()) == found.rows_in and found.notes == {}
    assert (found.x.mean(), found.y.mean()) == pytest.approx(right[2:], abs=.1)

def test_one_of_new_yorks_subway_entrances_lies_in_asia():
    found = read_points(fetch("nyc_rtm")["subway_entrances.csv"], 32118)
    assert len(found) == 1_867 and found.dropped == {"far from the others": 1} and found.rows_in == 1_868

def test_chicagos_events_find_their_community_area(chicago_2018):
    events = pd.read_parquet(chicago_2018, columns=["Longitude", "Latitude", "CommunityArea"]).dropna().iloc[:40_000]
    areas = read_polygons(fetch("chicago_2018")["chicago-community-areas.geojson"])
    found = join_areas(events.rename(columns={"Longitude": "lon", "Latitude": "lat"}).astype({"lon": float, "lat": float}), areas).area
    # the portal's own label, but for places on a border: streets are borders
    label = events["CommunityArea"].map(area_label).to_numpy()
    other = np.flatnonzero(found.astype(str).to_numpy() != label)
    away = shapely.distance(areas.loc[label[other], "geometry"].to_numpy(), shapely.points(events[["Longitude", "Latitude"]].astype(float).to_numpy()[other]))
    assert len(other) < .03*len(label) and np.quantile(away, .9) < .0005


# --- damaged files ---

def kinds(tmp_path):
    "Name -> bytes of a good file of each kind that is read."
    points, areas = collection([feature(point(*p), n=i, name="é") for i, p in enumerate(zip(LON, LAT))], crs=named("EPSG:4326")), areas_file()
    esri = {"spatialReference": {"wkid": 4326}, "features": [{"attributes": {"area": k}, "geometry": {"rings": [r[::-1]]}} for k, r in ROW.items()]}
    frame = geopandas.GeoDataFrame({"area": list("abc")}, geometry=[shapely.Polygon(r) for r in ROW.values()], crs=4326)
    for name in ("a.gpkg", "a.shp", "a.fgb"): frame.to_file(tmp_path/name)
    frame.to_parquet(tmp_path/"a.parquet")
    boroughs = fetch("nyc_rtm")["nyc_bor.rda"].read_bytes()
    return {"p.geojson": json.dumps(points).encode(), "a.geojson": json.dumps(areas).encode(), "e.json": json.dumps(esri).encode(), "z.geojson.gz": zipped(json.dumps(areas).encode()),
            "c.csv": ("area,the_geom\n" + "".join(f'{k},"{shapely.Polygon(r).wkt}"\n' for k, r in ROW.items())).encode(), "l.csv": ("n,lon,lat\n" + "".join(f"{i},{x},{y}\n" for i, (x, y) in enumerate(zip(LON, LAT)))).encode(),
            "r.rda": boroughs,
            **{name: (tmp_path/name).read_bytes() for name in ("a.gpkg", "a.shp", "a.fgb", "a.parquet")}}

def test_hundreds_of_damaged_files_are_read_or_refused_in_one_sentence(tmp_path):
    rng, refusals, since = np.random.default_rng(0), 0, time.process_time()
    files = kinds(tmp_path)
    tried = 0
    for name, good in files.items():
        for _ in range(60 if name.endswith(("geojson", "json", "csv")) else 25):
            path = tmp_path/f"damaged-{name}"
            path.write_bytes(damaged(good, rng))
            for read in (read_points, read_polygons):
                tried += 1
                try: found = read(path)
                except InputError as error:
                    refusals += 1
                    assert "\n" not in str(error) and len(str(error)) < 1_000
                else: assert len(found)
    assert tried > 700 and refusals > tried/4 and time.process_time() - since < 60


# --- which way a ring goes, and which property names an area ---

def test_the_size_of_an_area_does_not_depend_on_the_way_its_rings_go():
    from shapely.geometry import MultiPolygon, Polygon
    from crimenb.geo import area_places
    def square(x, y, side): return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    outer, hole, other = square(-87.6, 41.8, .03), square(-87.59, 41.81, .01), square(-87.5, 41.8, .03)
    one = area_places([Polygon(outer)], ["a"]).km2["a"]
    for ring in (hole, hole[::-1]):
        for shell in (outer, outer[::-1]): assert area_places([Polygon(shell, [ring])], ["a"]).km2["a"] == pytest.approx(one*8/9, rel=1e-4)
    for second in (other, other[::-1]):
        assert area_places([MultiPolygon([Polygon(outer), Polygon(second)])], ["a"]).km2["a"] == pytest.approx(2*one, rel=1e-6)


HIGH = (.001, .004, .002, .008, .003, .001, .005, .002)

def labelled(put, n=8, **columns):
    "The key and labels that are found where squares have these properties: name -> function of a number."
    ring = lambda i: [[-87.6 + .01*i, 41.8], [-87.6 + .01*i + .009, 41.8], [-87.6 + .01*i + .009, 41.8 + HIGH[i]], [-87.6 + .01*i, 41.8 + HIGH[i]], [-87.6 + .01*i, 41.8]]
    found = read_polygons(put("named.geojson", collection([feature(polygon(ring(i)), **{k: f(i) for k, f in columns.items()}) for i in range(n)])))
    return found.attrs["key"], list(found.index)


def test_a_column_of_sizes_names_no_areas(put):
    assert labelled(put, area=lambda i: 3.5 + i, name=lambda i: f"N{i}") == ("name", [f"N{i}" for i in range(8)])
    # whole square metres, in proportion to the shapes
    assert labelled(put, area=lambda i: round(830e6*HIGH[i]), name=lambda i: f"N{i}")[0] == "name"
    # what old programs write in all rows
    assert labelled(put, area="0".format, perimeter="0".format, community=lambda i: f"C{i}")[0] == "community"
    assert labelled(put, area=lambda i: i + 1, name=lambda i: f"N{i}") == ("area", [str(i + 1) for i in range(8)])
    # tracts have a point in their numbers
    assert labelled(put, NAME=lambda i: f"80{i}.0{i + 1}")[0] == "NAME"


def test_beats_are_not_joined_to_districts_without_being_asked(put):
    assert labelled(put, district=lambda i: str(i//3), beat=lambda i: f"0{i}") == ("beat", [str(i) for i in range(8)])
    refused(lambda: labelled(put, boro_name=lambda i: "Bronx" if i % 2 else "Queens", ntaname=lambda i: f"N{i}"), "not clear", "ntaname")
    # pieces of two boroughs, which nothing else names
    assert sorted(labelled(put, id=lambda i: i, boro_name=lambda i: "Bronx" if i % 2 else "Queens")[1]) == ["Bronx", "Queens"]


# --- areas as other people's code has them

def mosaic(seed, n=6):
    "Areas of a grid of jittered quadrangles: some of two squares (two features of one area), one with a hole that another fills."
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-87.8, -87.5, n + 1), np.linspace(41.7, 42., n + 1))
    x[1:-1, 1:-1] += rng.uniform(-.01, .01, (n - 1, n - 1))
    y[1:-1, 1:-1] += rng.uniform(-.01, .01, (n - 1, n - 1))
    corners = [(0, 0), (0, 1), (1, 1), (1, 0)]
    shapes = [shapely.Polygon([(x[i + a, j + b], y[i + a, j + b]) for a, b in corners]) for i in range(n) for j in range(n)]
    inside = shapes[7].centroid.buffer(.008, quad_segs=3)
    labels = [f"Nörth {min(k, k ^ 1) if k % 5 == 0 else k}" for k in range(len(shapes))]
    return [*shapes[:7], shapes[7].difference(inside), *shapes[8:], inside], [*labels, "hole"]

@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("crs", [4326, 3435])
def test_neighbours_are_libpysals(tmp_path, seed, crs):
    from libpysal.weights import Queen
    import geopandas
    shapes, labels = mosaic(seed)
    frame = geopandas.GeoDataFrame({"NAME": labels}, geometry=shapes, crs=4326)
    frame.to_crs(crs).to_file(tmp_path/"areas.gpkg")
    found = read_polygons(tmp_path/"areas.gpkg", key="NAME")
    assert len(found) == len(set(labels)) < len(labels) and "Nörth 7" in found.index and set(found.index) == set(labels)
    theirs = Queen.from_dataframe(frame.dissolve("NAME"), ids=None, use_index=True)
    mine = {(found.index[i], found.index[j]) for i, j in adjacency(found).T}
    assert mine == {(a, b) for a, near in theirs.neighbors.items() for b in near}
    # what fills a hole has one neighbour, and takes its size from it
    assert {b for a, b in mine if a == "hole"} == {"Nörth 7"} and found.km2["hole"] > 1
    assert found.km2.sum() == pytest.approx(frame.to_crs(32616).area.sum()/1e6, rel=2e-3)

def test_wrong_rings_and_no_rings_among_good_areas_are_mended_or_counted(put):
    bow = [[-87.7, 41.82], [-87.68, 41.84], [-87.68, 41.82], [-87.7, 41.84], [-87.7, 41.82]]
    extra = [feature(polygon(bow), area_num_1="bow"), feature({"type": "Polygon", "coordinates": []}, area_num_1="none"), feature(None, area_num_1="null"),
             feature(polygon(square(-87.68, 41.82, -87.66, 41.84)), area_num_1=None), feature(polygon([[-87.7, 41.9]]*4), area_num_1="point")]
    found = read_polygons(put("a.geojson", areas_file(extra=extra)))
    assert list(found.index) == ["1", "2", "3", "bow"] and shapely.is_valid(found.geometry.to_numpy()).all()
    assert found.km2["bow"] == pytest.approx(KM2/2, rel=1e-2) and sum(found.attrs["account"]["dropped"].values()) == 4
    assert {tuple(e) for e in adjacency(found).T.tolist()} == {(0, 1), (1, 0), (1, 2), (2, 1), (0, 3), (3, 0), (1, 3), (3, 1)}


@pytest.mark.parametrize("chicago, york", [(4, 4), (30, 10), (3, 3)])
def test_places_of_two_cities_are_refused_and_with_a_box_counted(tmp_path, chicago, york):
    path = tmp_path/"stops.csv"
    path.write_text("lon,lat\n" + "".join(f"{-87.6 - i/1000},41.8\n" for i in range(chicago)) + "".join(f"{-73.9 - i/1000},40.7\n" for i in range(york)))
    refused(lambda: read_points(path), "places of 2 towns up to 11", "with box")
    assert sum(read_points(path, crs=26916, box=(4e5, 4.6e6, 5e5, 4.7e6)).dropped.values()) == york
    rest = tmp_path/"one.csv"
    rest.write_text("lon,lat\n" + "".join(f"{-87.6 - i/1000},41.8\n" for i in range(chicago)) + "-73.9,40.7\n")
    assert read_points(rest).dropped == {"far from the others": 1}


def test_names_of_a_shapefile_that_says_no_encoding_are_those_that_were_written(tmp_path):
    "UTF-8 or Latin-1, with and without .cpg; and one without .dbf says what is missing."
    square = shapely.box(-105, 39.7, -104.9, 39.8)
    geopandas.GeoDataFrame({"name": ["Süd", "Östermalm"]}, geometry=[square, shapely.affinity.translate(square, .1)], crs=4326).to_file(tmp_path/"a.shp")
    utf8 = (tmp_path/"a.dbf").read_bytes()
    # a field is as long as before
    latin = utf8.replace("Süd".encode(), "Süd ".encode("latin-1")).replace("Östermalm".encode(), "Östermalm ".encode("latin-1"))
    for content, says in ((utf8, "UTF-8"), (latin, "ISO-8859-1"), (utf8, None), (latin, None)):
        (tmp_path/"a.dbf").write_bytes(content)
        (tmp_path/"a.cpg").unlink(missing_ok=True)
        if says: (tmp_path/"a.cpg").write_text(says)
        assert sorted(geo.read_polygons(tmp_path/"a.shp").index) == ["Süd", "Östermalm"], says
    (tmp_path/"a.cpg").write_text("UTF-8")
    with pytest.raises(InputError, match="a.shp has words that are not in the encoding that it names: write the right one, such as ISO-8859-1, into the .cpg"): geo.read_polygons(tmp_path/"a.shp")
    (tmp_path/"a.dbf").unlink()
    with pytest.raises(InputError, match="have no properties, so nothing names them: .*the .dbf beside it"): geo.read_polygons(tmp_path/"a.shp")

def test_where_nothing_tells_which_of_two_numbers_is_the_longitude_it_is_said(tmp_path):
    frankfurt = pd.DataFrame({"lon": [8.60, 8.65, 8.61], "lat": [50.10, 50.15, 50.11]})
    turned = frankfurt.rename(columns={"lon": "lat", "lat": "lon"})
    (tmp_path/"t.geojson").write_text(json.dumps(collection([feature(point(*place)) for place in frankfurt[["lat", "lon"]].to_numpy().tolist()])))
    said = {"longitude first or latitude: could not be judged": 3}
    for source in (frankfurt, turned, tmp_path/"t.geojson"): assert read_points(source).notes == said
    # the city's own system or box tells, and so does a longitude that is no latitude
    assert read_points(frankfurt, 25832).notes == {}
    for source in (turned, tmp_path/"t.geojson"):
        with pytest.raises(InputError, match="3 of 3 places can not be right .*longitude first"): read_points(source, 25832)
    assert read_points(frankfurt.assign(lon=frankfurt.lon - 96.3, lat=frankfurt.lat - 8.3)).notes == {}


def test_a_geodataframe_in_metres_is_read_where_its_system_is_known():
    from crimenb import events
    table = pd.DataFrame({"when": [f"2024-01-{d:02} 10:30" for d in range(1, 29)], "offense": ["theft", "robbery"]*14})
    degrees = geopandas.GeoDataFrame(table, geometry=geopandas.points_from_xy(np.linspace(-87.6, -87.5, 28), 41.8), crs=4326)
    for read in (geo.read_events, events.read): assert np.allclose(read(degrees, tz="America/Chicago").events.lon, degrees.geometry.x)
    metres = degrees.to_crs(26916)
    assert np.allclose(geo.read_events(metres, tz="America/Chicago").events.lon, degrees.geometry.x, atol=1e-6)
    with pytest.raises(InputError, match="the places of the table are in NAD83 / UTM zone 16N: read it with geo.read_events"): events.read(metres, tz="America/Chicago")
    # columns of degrees are read beside a geometry in metres
    assert np.allclose(events.read(metres.assign(lon=degrees.geometry.x, lat=41.8), tz="America/Chicago").events.lon, degrees.geometry.x)
