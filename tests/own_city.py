"""Two cities' files with foreign column names, made up: nothing in them is of a real place."""
import json

import numpy as np
import pandas as pd
import shapely

from crimenb import city
from crimenb.events import metres_to_degrees

def events_of(days, n, seed):
    return city.simulate(n, days=days, seed=seed)

def areas_geojson(truth, path, key):
    "The simulated city's areas as polygons."
    row, column = np.divmod(np.arange(truth.side**2), truth.side)
    features = []
    for number, name in enumerate(truth.areas):
        mine = truth.area_of == number
        corners = [np.array(metres_to_degrees((column[mine] + a)*truth.cell_m, (row[mine] + b)*truth.cell_m, truth.corner)).T for a, b in ((0, 0), (1, 1))]
        # a hair wider, so that cells that touch become one polygon
        shape = shapely.union_all(shapely.box(*(corners[0] - 1e-9).T, *(corners[1] + 1e-9).T)).simplify(1e-8)
        features.append({"type": "Feature", "properties": {key: f"Bezirk {name}"}, "geometry": json.loads(shapely.to_geojson(shape))})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

def with_areas(folder, days=210, n=16_000, seed=3):
    "incidents.csv (semicolons, day first, own column names) and districts.geojson, like a city's portal of half a year."
    events, truth = events_of(days, n, seed)
    table = pd.DataFrame({"Aktenzeichen": [f"AZ-{i:06d}" for i in range(len(events))], "Tatzeit": events["time"].dt.strftime("%d.%m.%Y %H:%M"),
                          "Delikt": events["category"].astype(str), "Tatort": events["premises"].astype(str),
                          "Laenge": events["lon"].round(6), "Breite": events["lat"].round(6)})
    table.to_csv(folder/"incidents.csv", sep=";", index=False)
    areas_geojson(truth, folder/"districts.geojson", "bezirk")
    of = truth.generators
    lon, lat = metres_to_degrees(of.x.to_numpy(), of.y.to_numpy(), truth.corner)
    for kind in of.kind.unique():
        pd.DataFrame({"lon": lon, "lat": lat})[(of.kind == kind).to_numpy()].to_csv(folder/f"{kind}.csv", index=False)
    return events, truth

def with_factors(card, folder):
    "The card's text, and the city's generators as factors of risk."
    kinds = sorted(p.stem for p in folder.glob("*.csv") if p.read_text().startswith("lon,lat"))
    return card.read_text() + "factors:\n" + "".join(f"  - {{name: {kind}, file: {kind}.csv, kind: density}}\n" for kind in kinds)

def without_premises(folder, days=1200, n=16_000, seed=4, months=.15):
    "delitos.csv: no premises, no areas, and a share of the times known to the month only."
    events, truth = events_of(days, n, seed)
    known = np.random.default_rng(seed).random(len(events)) >= months
    when = np.where(known, events["time"].dt.strftime("%Y-%m-%d %H:%M"), events["time"].dt.strftime("%Y-%m"))
    pd.DataFrame({"expediente": np.arange(len(events)) + 70_000, "fecha": when, "delito": events["category"].astype(str),
                  "longitud": events["lon"].round(6), "latitud": events["lat"].round(6)}).to_csv(folder/"delitos.csv", index=False)
    return events, truth

NAMES = {"time": "Tatzeit", "category": "Delikt", "premises": "Tatort", "lon": "Laenge", "lat": "Breite", "record_id": "Aktenzeichen"}

def with_card(folder, days=130, n=4_000, without=()):
    "mine.yaml beside incidents.csv, districts.geojson, bar.csv and call311.csv; `without` some keys of the card, or columns."
    events, truth = with_areas(folder, days, n)
    for kind in ("bar", "call311"):
        lon, lat = metres_to_degrees(*truth.generators.loc[truth.generators.kind == kind, ["x", "y"]].to_numpy().T, truth.corner)
        pd.DataFrame({"lon": lon, "lat": lat}).to_csv(folder/f"{kind}.csv", index=False)
    card = {"events": "incidents.csv", "columns": {ours: theirs for ours, theirs in NAMES.items() if ours not in without}, "order": "dmy", "zone": "America/Denver",
            "cell_m": 800, "areas": {"file": "districts.geojson", "key": "bezirk"},
            "factors": [{"name": "bars", "file": "bar.csv", "kind": "distance"}, {"name": "calls", "file": "call311.csv", "kind": "density"}]}
    (folder/"mine.yaml").write_text(json.dumps({key: value for key, value in card.items() if key not in without}))
    return events, truth
