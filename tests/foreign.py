"""Made-up files of cities that nobody has described: names of columns, ways to write a time and gaps that no card in the library has."""
import json

import numpy as np
import pandas as pd

from crimenb import city


def _made(n, days, seed, start):
    events, truth = city.simulate(n, days, seed, start=start)
    return events, truth


def springfield(folder, n=4_000, days=90, seed=0):
    "Like Chicago's export, with other names: `incidents.csv` and `precincts.geojson`; returns the events that are true."
    events, _ = _made(n, days, seed, "2018-01-01")
    area = _polygons(events, folder / "precincts.geojson", "precinct_no")
    pd.DataFrame({
        "Report No": "SP" + events.record_id.str.zfill(6), "Occurred On": events.time.dt.strftime("%m/%d/%Y %I:%M:%S %p"),
        "Offense Type": events.category.astype(str), "Type of Place": events.premises.astype(object).fillna("N/A"),
        "Police Precinct": area.astype(float), "Geo Lat": events.lat.round(7), "Geo Lon": events.lon.round(7), "Remarks": 'said "no, thanks"',
    }).to_csv(folder / "incidents.csv", index=False)
    return events


def shelbyville(folder, n=3_000, days=120, seed=1, coarse=.3):
    "Semicolons, the day first, no kinds of places, no areas, and of a part of the events only the month: `vorfaelle.csv` and `bezirke.geojson`; returns the true events and which are coarse."
    events, _ = _made(n, days, seed, "2019-03-01")
    events = events.assign(lon=events.lon + 110, lat=events.lat + 10)
    rng = np.random.default_rng(seed)
    rough = rng.random(len(events)) < coarse
    when = events.time.dt.strftime("%d.%m.%Y %H:%M").where(~rough, events.time.dt.strftime("%Y-%m"))
    pd.DataFrame({"Datum": when, "Delikt": events.category.astype(str), "Laenge": events.lon.round(6), "Breite": events.lat.round(6)}).to_csv(folder / "vorfaelle.csv", sep=";", index=False)
    _polygons(events, folder / "bezirke.geojson", "bezirk")
    return events, rough


def _polygons(events, path, key, cut=3):
    "A GeoJSON of cut × cut rectangles over the events, numbered from 01 on; returns the number of the one that holds each event."
    west, south, east, north = events.lon.min() - .001, events.lat.min() - .001, events.lon.max() + .001, events.lat.max() + .001
    xs, ys = np.linspace(west, east, cut + 1), np.linspace(south, north, cut + 1)
    features = [{"type": "Feature", "properties": {key: f"{i*cut + j + 1:02}"}, "geometry": {"type": "Polygon", "coordinates": [[
        [xs[i], ys[j]], [xs[i + 1], ys[j]], [xs[i + 1], ys[j + 1]], [xs[i], ys[j + 1]], [xs[i], ys[j]]]]}} for i in range(cut) for j in range(cut)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    across, up = (np.minimum(np.searchsorted(edges, at, side="right") - 1, cut - 1) for edges, at in ((xs, events.lon), (ys, events.lat)))
    return across*cut + up + 1
