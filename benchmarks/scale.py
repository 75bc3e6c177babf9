"""From a portal's CSV files to each of the four views, at 1, 10 and 100 million records: the event store, and plain pandas.

    python benchmarks/scale.py                                   # 1 million, half a minute
    python benchmarks/scale.py --records 10000000                # 2.3 GB of CSV, 4 GB of disk
    python benchmarks/scale.py --records 100000000 --no-pandas   # 23 GB of CSV, 36 GB of disk
    python benchmarks/scale.py --json benchmarks/scale.json      # keeps what was measured, beside other sizes

A run that was interrupted goes on where it was: what a step has measured is kept in the folder, a CSV file that is there is whole,
and the same command does the rest. The CSV files are removed when the last step that reads them is done, the store after the last
view. At the end stands how time and memory grow from one size to the next.

The records are drawn from a simulated city (100,000 events of the size and shape of New York's, with their places moved to
Chicago) and written in Chicago's dialect, 22 columns, one file a year of twenty years; half of the times are full or half hours,
as people write them. One record in 200 has no place, one in 500 no kind of place, one in 10,000 an impossible date; one in
1,000 comes twice, the second time with another category and a later stamp.

Every step runs in a process of its own, one after the other; a machine with other work makes the seconds useless and the CPU seconds
too high. Seconds are wall-clock time, CPU seconds those of all threads; memory is the peak
resident size of the process, its libraries included (about 300 MB, line "imports"). The store uses two threads and allows DuckDB
512 MB. Pandas reads only the columns that it needs, and works as a practised user would: no loops over rows. Both have to give
the same views, or the script stops.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"): os.environ.setdefault(name, "1")

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

YEARS = range(2001, 2021)
WEST, SOUTH = -87.7, 41.65
VIEWS = ("sequences", "grids", "panels", "terrain")
MEMORY, THREADS = "512MB", 2


def make(folder, n):
    "n records in Chicago's dialect, one file a year."
    import duckdb

    from crimenb.city import PRESETS, simulate
    events, _ = simulate(**PRESETS["nyc16_like"] | {"n_events": 100_000})
    base = pd.DataFrame({"i": np.arange(len(events)), "category": events.category.astype(str), "premises": events.premises.astype(str), "area": events.area.astype(str).str[1:].astype(int),
                         "lon": (events.lon + 100 + WEST).round(9), "lat": (events.lat - 40 + SOUTH).round(9), "hour": events.time.dt.hour})
    folder.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    con.execute(f"SET threads = {THREADS}; SET memory_limit = '2GB'; SET preserve_insertion_order = false")
    con.execute("CREATE TABLE base AS SELECT * FROM base")
    each = n // len(YEARS)
    for k, year in enumerate(YEARS):
        if (folder / f"{year}.csv").exists(): continue
        con.execute(f"""COPY (
            WITH drawn AS (SELECT r + {k * each} AS id, hash(r, {year}, 1) AS a, hash(r, {year}, 2) AS b, hash(r, {year}, 3) AS c FROM range({each}) t(r)),
                 rows AS (SELECT *, id % 1000 = 7 AS twice, TIMESTAMP '{year}-01-01' + to_days((b % 365)::INT) + to_hours(hour) + to_minutes((CASE WHEN c % 2 = 0 THEN 30 * (c % 4 // 2) ELSE c % 60 END)::INT) AS t
                          FROM drawn JOIN base ON base.i = a % {len(base)}),
                 twofold AS (SELECT *, 0 AS version FROM rows UNION ALL SELECT *, 1 FROM rows WHERE twice)
            SELECT 10000000 + id AS "ID", 'HZ' || (id % 1000000) AS "Case Number", CASE WHEN id % 10000 = 3 THEN '??' ELSE strftime(t, '%m/%d/%Y %I:%M:%S %p') END AS "Date", '001XX N MADEUP ST' AS "Block", '0820' AS "IUCR",
                   CASE WHEN version = 1 THEN 'BURGLARY' ELSE category END AS "Primary Type", '$500 AND UNDER' AS "Description", CASE WHEN id % 500 = 5 THEN NULL ELSE premises END AS "Location Description",
                   false AS "Arrest", false AS "Domestic", '0111' AS "Beat", '001' AS "District", 42 AS "Ward", area AS "Community Area", '06' AS "FBI Code", 1175000 AS "X Coordinate", 1900000 AS "Y Coordinate",
                   {year} AS "Year", '01/1' || version || '/{year + 1} 03:49:14 PM' AS "Updated On", CASE WHEN id % 200 = 1 THEN NULL ELSE lat END AS "Latitude", CASE WHEN id % 200 = 1 THEN NULL ELSE lon END AS "Longitude",
                   CASE WHEN id % 200 = 1 THEN NULL ELSE '(' || lat || ', ' || lon || ')' END AS "Location"
            FROM twofold) TO '{folder / f'{year}.half'}' (HEADER, DELIMITER ',')""")
        (folder / f"{year}.half").rename(folder / f"{year}.csv")
    return sum(path.stat().st_size for path in folder.glob("*.csv"))


def target():
    "A grid of 16 × 16 cells, and 20,000 street units in metres."
    from crimenb import grids, terrain
    grid = grids.Grid(WEST, SOUTH, WEST + .16, SOUTH + .12)
    from pyproj import Transformer
    to = Transformer.from_crs(4326, 32616, always_xy=True).transform
    rng = np.random.default_rng(0)
    x, y = to(rng.uniform(grid.west, grid.east, 20_000), rng.uniform(grid.south, grid.north, 20_000))
    return grid, terrain.Units(np.arange(20_000), x, y, crs=32616), to


def by_read(view, events, grid, units):
    "The view of events that are in memory, as a notebook makes it."
    from crimenb import HourlyMaps, Panel, Sequences, Terrain
    if view == "sequences": return Sequences.from_events(events)
    if view == "grids": return HourlyMaps.from_events(events, grid)
    if view == "panels": return Panel.from_events(events)
    return Terrain.from_events(events, units, {}, period="20Y", start=f"{YEARS[0]}-01-01", end=f"{YEARS[-1] + 1}-01-01")


def summary(view, result):
    "A few numbers that two ways of building a view have to agree in."
    if view == "sequences": return [result.n_spots, len(result.events), result.n_classes, int(result.lengths.max()), int((result.events[result.offsets[:-1]].astype(np.int64) * np.arange(1, result.n_spots + 1)).sum())]
    counts = result.counts
    flat = counts.ravel()
    places = np.flatnonzero(flat)
    return [int(flat.sum(dtype=np.float64)), len(places), int((places % 1009 * flat[places].astype(np.int64)).sum())]


def size(view, result):
    "Bytes of a view's own arrays."
    if view == "sequences": return result.events.nbytes + result.offsets.nbytes
    return result.counts.nbytes


def by_store(view, folder, grid, units):
    from crimenb.warehouse import feeds
    ask = dict(folder=folder / "store")
    if view == "sequences": return feeds.sequences("chicago", **ask)
    if view == "grids": return feeds.hourly_maps("chicago", grid, **ask)
    if view == "panels": return feeds.panel("chicago", **ask)
    # one period of all twenty years
    return feeds.terrain("chicago", units, {}, period="20Y", start=f"{YEARS[0]}-01-01", end=f"{YEARS[-1] + 1}-01-01", choice=ask)


def read_by_pandas(folder):
    wanted = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Updated On", "Latitude", "Longitude"]
    table = pd.concat([pd.read_csv(path, usecols=wanted) for path in sorted((folder / "csv").glob("*.csv"))], ignore_index=True)
    for name in ("Date", "Updated On"): table[name] = pd.to_datetime(table[name], format="%m/%d/%Y %I:%M:%S %p", errors="coerce")
    table = table.dropna(subset=["Date", "Primary Type"]).sort_values("Updated On", kind="stable").drop_duplicates("ID", keep="last").drop(columns=["ID", "Updated On"])
    for name in ("Primary Type", "Location Description", "Community Area"): table[name] = table[name].astype("category")
    return table.sort_values("Date", kind="stable", ignore_index=True)


def by_pandas(view, table, grid, units, to):
    "The view, as the arrays that `summary` looks at."
    if view == "grids":
        lon, lat = table["Longitude"], table["Latitude"]
        inside = lon.between(grid.west, grid.east) & lat.between(grid.south, grid.north)
        start = table["Date"].min().normalize()
        hours = int((table["Date"].max().normalize() - start) / pd.Timedelta(hours=1)) + 24
        cells = table.loc[inside, []].assign(hour=(table["Date"] - start) // pd.Timedelta(hours=1),
                                             row=np.minimum((grid.north - lat) / (grid.north - grid.south) * grid.rows, grid.rows - 1)[inside].astype("int16"),
                                             column=np.minimum((lon - grid.west) / (grid.east - grid.west) * grid.columns, grid.columns - 1)[inside].astype("int16"))
        n = cells.groupby(["hour", "row", "column"]).size()
        counts = np.zeros((hours, grid.rows, grid.columns), "float32")
        counts[tuple(n.index.get_level_values(i) for i in range(3))] = n
        return SimpleNamespace(counts=counts)
    if view == "panels":
        week = table["Date"].dt.to_period("W-SUN").dt.start_time
        n = table.groupby([week, "Community Area", "Primary Type"], observed=False).size()
        counts = n.to_numpy().reshape(n.index.levshape)
        # incomplete weeks at both ends
        first, last = table["Date"].min().normalize(), table["Date"].max().normalize() + pd.Timedelta(days=1)
        weeks = n.index.levels[0]
        return SimpleNamespace(counts=counts[(weeks >= first) & (weeks + pd.Timedelta(days=7) <= last)])
    if view == "terrain":
        known = table[["Longitude", "Latitude"]].dropna()
        away, row = cKDTree(units.xy).query(np.column_stack(to(known["Longitude"].to_numpy(), known["Latitude"].to_numpy())))
        return SimpleNamespace(counts=np.bincount(row[away <= 150], minlength=len(units)))
    usable = table.dropna(subset=["Community Area", "Location Description"])
    label = (usable["Primary Type"].astype(str) + "/" + (usable["Date"].dt.hour // 3).astype(str)).astype("category")
    usable = pd.DataFrame({"area": usable["Community Area"].astype(str), "premises": usable["Location Description"].astype(str), "label": label.cat.codes})
    lists = usable.groupby(["area", "premises"])["label"].apply(list)
    lists = lists[lists.map(len) >= 5]
    length = lists.map(len).to_numpy()
    return SimpleNamespace(n_spots=len(lists), events=np.concatenate(lists.to_list()), offsets=np.concatenate([[0], np.cumsum(length)]), lengths=length, n_classes=int(label.nunique()))


def child(step, folder):
    "One step in this process, timed; prints JSON."
    # imported before the clock starts
    from crimenb.warehouse import feeds, store  # noqa: F401
    grid, units, to = target()
    unit = 1 if sys.platform == "darwin" else 1024
    peak = lambda: unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if step == "imports": return [{"step": step, "peak": peak()}]
    store.MEMORY = MEMORY
    lines, clock, cpu = [], time.perf_counter(), time.process_time()
    def done(name, **more):
        nonlocal clock, cpu
        lines.append({"step": name, "seconds": round(time.perf_counter() - clock, 2), "cpu": round(time.process_time() - cpu, 2), "peak": peak(), **more})
        clock, cpu = time.perf_counter(), time.process_time()
    if step == "ingest":
        result = store.ingest("chicago", sorted((folder / "csv").glob("*.csv")), folder / "store", memory=MEMORY, threads=THREADS)
        done("ingest", kept=result.kept, bytes=int(store.cities(folder / "store").loc["chicago", "bytes"]))
    elif step == "pandas":
        table = read_by_pandas(folder)
        done("read", kept=len(table))
        for view in VIEWS:
            result = by_pandas(view, table, grid, units, to)
            done(view)
            lines[-1]["summary"] = summary(view, result)
            del result
            clock, cpu = time.perf_counter(), time.process_time()
    elif step == "read":
        import crimenb
        # of a record that comes twice this keeps the first version, the store the latest: the views differ by a thousandth
        events = crimenb.read(sorted((folder / "csv").glob("*.csv")), city="chicago").events
        done("read", kept=len(events))
        for view in VIEWS:
            result = by_read(view, events, grid, units)
            done(view)
            del result
            clock, cpu = time.perf_counter(), time.process_time()
    else:
        result = by_store(step, folder, grid, units)
        done(step)
        lines[-1] |= {"summary": summary(step, result), "output": size(step, result)}
    return lines


def run(step, folder):
    done = subprocess.run([sys.executable, __file__, "--child", step, "--folder", str(folder)], capture_output=True, text=True)
    if done.returncode: raise SystemExit(f"{step}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def steps_of(n, folder, pandas, read):
    "Do what is not done yet; step -> the lines that it measured."
    place = folder / "steps.json"
    done = json.loads(place.read_text()) if place.exists() else {}
    def keep(**more):
        done.update(more)
        place.with_suffix(".half").write_text(json.dumps(done))
        place.with_suffix(".half").rename(place)
    reads = [step for step in ("ingest", *(["pandas"] if pandas else []), *(["read"] if read else [])) if step not in done]
    if reads:
        folder.mkdir(parents=True, exist_ok=True)
        there = sum(path.stat().st_size for path in (folder / "csv").glob("*.csv"))
        # 235 bytes a record as CSV, and as much as half of that on the way into the store
        if (missing := 360 * n - there - shutil.disk_usage(folder).free) > 0: raise SystemExit(f"{n:,} records need {missing / 1e9:.0f} GB more of disk in {folder}: name another --folder")
        keep(csv=make(folder / "csv", n))
    for step in reads:
        if step == "ingest": shutil.rmtree(folder / "store", ignore_errors=True)
        keep(**{step: run(step, folder)})
    return done, keep


def growth(book):
    "How each step grows from one size to the next: CPU seconds a million records, and memory beyond the libraries and the view itself."
    print("growth of the store's steps: CPU seconds a million records; MB beyond libraries and result")
    sizes = sorted(book, key=int)
    print(f"{'':12}" + "".join(f"{int(n):>14,}{'MB':>8}" for n in sizes) + "   exponent of the last two")
    for i, step in enumerate(("ingest", *VIEWS)):
        lines = [book[n]["store"][i] for n in sizes]
        cells = "".join(f"{line['cpu'] / int(n) * 1e6:14.2f}{(line['peak'] - book[n]['imports_peak'] - line.get('output', 0)) / 1e6:8.0f}" for n, line in zip(sizes, lines))
        # 1: ten times as many records take ten times as long
        power = f"{np.log(lines[-1]['cpu'] / lines[-2]['cpu']) / np.log(int(sizes[-1]) / int(sizes[-2])):10.2f}" if len(sizes) > 1 else ""
        print(f"{step:12}{cells}{power}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--no-pandas", action="store_true")
    parser.add_argument("--read", action="store_true", help="also with crimenb.read, which holds all events in memory, and the four views of them in the same process")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "crimenb-scale", help="where the files go; default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="remove nothing at the end")
    parser.add_argument("--json", type=Path, help="put what was measured into this file, beside what it has of other sizes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child: return print(json.dumps(child(args.child, args.folder)))
    book = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    imports = run("imports", args.folder)[0]["peak"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, pandas {pd.__version__}; peak memory after imports {imports / 1e6:.0f} MB\n")
    for n in args.records:
        folder = args.folder / str(n)
        done, keep = steps_of(n, folder, not args.no_pandas, args.read)
        if not args.keep: shutil.rmtree(folder / "csv", ignore_errors=True)
        for view in VIEWS:
            if view not in done: keep(**{view: run(view, folder)})
        ours = {line["step"]: line for step in ("ingest", *VIEWS) for line in done[step]}
        theirs = {line["step"]: line for line in done.get("pandas", [])}
        for view in VIEWS:
            if theirs and ours[view]["summary"] != theirs[view]["summary"]: raise SystemExit(f"{view}: the store gives {ours[view]['summary']}, pandas {theirs[view]['summary']}")
        print(f"{n:,} records, {done['csv'] / 1e9:.2f} GB of CSV in {len(YEARS)} files")
        print(f"{'':12}{'store':>24}{'MB':>8}{'pandas':>24}{'MB':>8}{'times':>8}{'memory':>8}")
        def show(name, a, b, peak_a, peak_b):
            form = lambda x: f"{x[0]:10.1f} s ({x[1]:6.1f} CPU)" if x else ""
            print(f"{name:12}{form(a):>24}{peak_a / 1e6:8.0f}" + (f"{form(b):>24}{peak_b / 1e6:8.0f}{b[0] / a[0]:8.1f}{peak_a / peak_b:8.2f}" if b else ""))
        of = lambda line: (line["seconds"], line["cpu"])
        add = lambda *lines: tuple(map(sum, zip(*map(of, lines))))
        show("ingest/read", of(ours["ingest"]), of(theirs["read"]) if theirs else None, ours["ingest"]["peak"], theirs["read"]["peak"] if theirs else 0)
        # pandas has to read the files again for every view, unless it keeps them all in memory; the store has been read once
        for title, first in (("a view alone:", False), ("from the store, against pandas from the CSV files:", None), ("from the CSV files:", True)):
            print(title)
            for view in VIEWS:
                a = add(ours["ingest"], ours[view]) if first else of(ours[view])
                b = None if not theirs else of(theirs[view]) if first is False else add(theirs["read"], theirs[view])
                show(view, a, b, max(ours["ingest"]["peak"] if first else 0, ours[view]["peak"]), theirs[view]["peak"] if theirs else 0)
        show("all four", add(*ours.values()), add(*theirs.values()) if theirs else None, max(line["peak"] for line in ours.values()), max((line["peak"] for line in theirs.values()), default=0))
        for line in done.get("read", []): print(f"crimenb.read, {line['step']:12}{line['seconds']:10.1f} s ({line['cpu']:6.1f} CPU){line['peak'] / 1e6:8.0f} MB so far")
        print(flush=True)
        book[str(n)] = {**book.get(str(n), {}), **({"read": done["read"]} if "read" in done else {}), "csv_bytes": done["csv"], "imports_peak": imports, "memory_limit": MEMORY, "threads": THREADS, "store": list(ours.values()), "pandas": list(theirs.values()),
                        "machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version(), "pandas_version": pd.__version__}
        if args.json: args.json.write_text(json.dumps(dict(sorted(book.items(), key=lambda item: int(item[0]))), indent=1) + "\n")
        if not args.keep: shutil.rmtree(folder)
    growth(book)


if __name__ == "__main__":
    main()
