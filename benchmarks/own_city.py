"""Ours and its peers on the same file: next week's crimes of Chicago 2018 on squares of 1 km, for ten weeks, each foretold from the events before it.

    CRIMENB_DATA=… python benchmarks/own_city.py --predspot ENV/bin/python --mlforecast ENV/bin/python --open-cp ENV/bin/python

Each peer runs in an environment of its own (python -m venv ENV; ENV/bin/pip install predspot, or mlforecast lightgbm geopandas, or numpy<1.24 pandas<2 geopandas and a checkout of PredictCode for open_cp);
what is not given is left out. Each program in own_city/ is what a user writes: events and squares in, forecast out; each week is a fresh process, whose processor seconds are counted.

Our model is picked as a user would pick it: by `choose`, on the last weeks before the first of the ten, fitted anew each week as it will be.
Each peer's settings were tried once. A lead here wants another city to confirm it.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from crimenb import Panel, catalogue, choose, read, sources
from crimenb.core import write_atomic
from crimenb.geo import cell_of, cell_places, read_polygons, square_cells, to_geojson

HERE = Path(__file__).parent
PROGRAMS = {"crimenb": "crimenb", "predspot": "predspot", "predspot, its default (density)": "predspot", "mlforecast": "mlforecast", "open_cp": "open_cp"}
FILES = {"predspot, its default (density)": "predspot_kde"}
SHARES = (.01, .05, .1)
#: what is chosen among, on so many weeks
OURS, WEEKS = ("Poisson GLM", "gradient boosting", "memories", "recent mean"), 4

def files(folder, weeks):
    "Squares, a file of the events before each week, and how many each square has in the week."
    events = sources.load("chicago_2018").events
    cells = square_cells(sources.polygons("chicago_2018"), 1000., keep="touch")
    places = cell_places(cells).rename_axis("place").reset_index()[["place", "lon", "lat", "km2", "geometry"]]
    (folder / "squares.geojson").write_text(to_geojson(places))
    table = pd.DataFrame({"Date": events.time.dt.strftime("%m/%d/%Y %I:%M:%S %p"), "Primary Type": events.category.astype(str), "Longitude": events.lon, "Latitude": events.lat})
    happened = []
    for week in weeks:
        table[events.time < week].to_csv(folder / f"before-{week:%m-%d}.csv", index=False)
        now = events[(events.time >= week) & (events.time < week + pd.Timedelta(days=7))]
        code = cell_of(cells, now.lon, now.lat)
        happened.append(np.bincount(code[code >= 0], minlength=len(places)))
    return places["place"].tolist(), np.array(happened, float)

def chosen(folder, first):
    "Our model with the least deviance on the last weeks before the first one, and the table of all that were tried."
    events = read(folder / f"before-{first:%m-%d}.csv").events.assign(category="crime").astype({"category": "category"})
    weeks = Panel.from_events(events, places=read_polygons(folder / "squares.geojson", key="place"))
    parts = weeks.split(WEEKS, 0)
    best, table = choose([catalogue(weeks)[name]() for name in OURS], weeks, {}, parts.train, parts.valid, refit=1)
    return best.name, table.round({"loss": 4}).to_dict("records")

def run(name, python, folder, week, *more):
    "Expected counts of the week by place, and the processor seconds of the process."
    program, out = HERE / "own_city" / f"with_{FILES.get(name, name)}.py", folder / f"{FILES.get(name, name)}-{week:%m-%d}.geojson"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not out.exists():
        subprocess.run([python, program, folder / f"before-{week:%m-%d}.csv", folder / "squares.geojson", out, *more], check=True,
                       env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = out.with_suffix(".seconds")
    if not seconds.exists(): seconds.write_text(f"{after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.3f}")
    found = [f["properties"] for f in json.loads(out.read_text())["features"]]
    return {f["place"]: f["expected"] for f in found}, float(seconds.read_text())

def scores(expected, happened):
    "(weeks,) of each score: PAI at each share of the squares, and the mean Poisson deviance with forecasts of at least 0.001."
    order = np.argsort(-expected, 1, kind="stable")
    found = {}
    for share in SHARES:
        many = max(1, int(share * expected.shape[1]))
        hit = np.take_along_axis(happened, order[:, :many], 1).sum(1) / happened.sum(1)
        found[f"PAI@{share:.0%}"] = hit / (many / expected.shape[1])
    mu = np.maximum(expected, 1e-3)
    found["Poisson deviance"] = 2 * (np.where(happened > 0, happened * np.log(np.maximum(happened, 1) / mu), 0) - happened + mu).mean(1)
    return found

def same_squares(one, other):
    "For each share: in how many weeks both forecasts name the same squares. Where that is all of them, their PAI can't differ."
    found = {}
    for share in SHARES:
        many = max(1, int(share * one.shape[1]))
        first = [np.sort(np.argsort(-expected, 1, kind="stable")[:, :many], 1) for expected in (one, other)]
        found[f"{share:.0%}, {many} squares"] = int((first[0] == first[1]).all(1).sum())
    return found

def interval(values, seed=0, many=10_000, level=.95):
    "Mean of the weeks, and the ends of its bootstrap interval: weeks are drawn again, and the interval widened by √(n/(n-1)) for their small number."
    values = np.asarray(values)
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (many, len(values)))].mean(1)
    low, high = np.quantile(drawn, [(1 - level)/2, (1 + level)/2])
    mean, wider = values.mean(), np.sqrt(len(values) / (len(values) - 1))
    return [float(f"{v:.5g}") for v in (mean, mean + wider*(low - mean), mean + wider*(high - mean))]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("predspot", "mlforecast", "open_cp"):
        parser.add_argument(f"--{name.replace('_', '-')}", default=os.environ.get(f"{name.upper()}_PYTHON"), help=f"python of an environment that has {name}")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, help="only these; default: all")
    parser.add_argument("--folder", type=Path, help="keep files here, and do not run again what is there")
    parser.add_argument("--out", type=Path, default=HERE / "own_city.json")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    weeks = pd.date_range("2018-04-16", periods=10, freq="W-MON")
    places, happened = files(folder, weeks)
    ours, tried = chosen(folder, weeks[0])
    print("chosen on the weeks before:", ours, tried)
    pythons = {"crimenb": sys.executable, **{name: getattr(options, name) for name in ("predspot", "mlforecast", "open_cp")}}
    rows, of, expected = [], {}, {}
    for name, env in PROGRAMS.items():
        if not pythons[env] or (options.programs and name not in options.programs): continue
        found, seconds = zip(*(run(name, pythons[env], folder, week, *[ours]*(env == "crimenb")) for week in weeks))
        expected[name] = np.array([[week[p] for p in places] for week in found])
        of[name] = scores(expected[name], happened)
        lines = [line for line in (HERE / "own_city" / f"with_{FILES.get(name, name)}.py").read_text().splitlines() if line.strip()]
        rows.append({"program": name, "lines": len(lines), "processor seconds of a forecast": interval(seconds), **{metric: interval(v) for metric, v in of[name].items()}})
        print(rows[-1])
    less = {name: {metric: interval(of["crimenb"][metric] - of[name][metric]) for metric in of[name]} for name in of if name != "crimenb"}
    same = {name: same_squares(expected["crimenb"], one) for name, one in expected.items() if name != "crimenb" and "crimenb" in expected}
    for name, weeks_of in same.items(): print(f"weeks of {len(weeks)} in which crimenb and {name} name the same squares:", weeks_of)
    write_atomic(options.out, json.dumps({"data": "chicago_2018", "weeks": [str(w.date()) for w in weeks], "squares": len(places), "chosen": tried, "programs": rows,
                                          "crimenb less": less, "weeks with the same squares": same}, indent=1) + "\n")

if __name__ == "__main__": main()
