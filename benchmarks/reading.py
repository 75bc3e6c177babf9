"""From one CSV file to cleaned events, in processor time: crimenb, its store, pandas and DuckDB, one after the other in one run.

    python benchmarks/reading.py                                       # 1 million rows, a minute
    python benchmarks/reading.py --rows 2000000 --json benchmarks/reading.json

The file is made up: Chicago's 22 columns, one of them quoted, 227 bytes a row. `read` is the wanted seven columns as text (pandas and
DuckDB: with the types that they guess); `clean` is what the views need: times, places, labels, no record twice, in order of time.
Each number is the least of some runs, of all threads together; on a busy machine processor time is some tenths too high for all alike.
"""
import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"): os.environ.setdefault(name, "1")

import duckdb
import numpy as np
import pandas as pd

from crimenb import events, tables
from crimenb.warehouse import store

HEADER = ("ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,Community Area,FBI Code,"
          "X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location")
WANTED = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Latitude", "Longitude"]


def make(path, n):
    "n made-up records in Chicago's dialect."
    rng = np.random.default_rng(0)
    when = (pd.Timestamp("2015-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 3*365*24*60, n)), unit="min")).strftime("%m/%d/%Y %I:%M:%S %p")
    lat, lon = rng.integers(41_650_000, 42_020_000, n)/1e6, rng.integers(-87_900_000, -87_530_000, n)/1e6
    kind, place = rng.choice(["THEFT", "BATTERY", "CRIMINAL DAMAGE", "ASSAULT"], n), rng.choice(["STREET", "APARTMENT", "RESIDENCE", "SIDEWALK", ""], n)
    area, beat = rng.integers(1, 78, n), rng.integers(111, 2535, n)
    with path.open("w") as f:
        f.write(HEADER + "\n")
        for i in range(n):
            f.write(f"{11_000_000 + i},ZZ{100_000 + i},{when[i]},{i % 999:03}XX N MADEUP ST,0820,{kind[i]},$500 AND UNDER,{place[i]},false,false,{beat[i]:04},{beat[i]//100:03},"
                    f"{area[i] % 50},{area[i]},06,1171668,1901776,2018,05/04/2018 03:51:04 PM,{lat[i]:.9f},{lon[i]:.9f},\"({lat[i]:.9f}, {lon[i]:.9f})\"\n")


def by_pandas(path, **how):
    table = pd.read_csv(path, usecols=WANTED, **how)
    table["Date"] = pd.to_datetime(table["Date"], format="%m/%d/%Y %I:%M:%S %p", errors="coerce")
    table = table.dropna(subset=["Date", "Primary Type"])
    for name in ("Primary Type", "Location Description", "Community Area"): table[name] = table[name].astype("category")
    return table.drop_duplicates("ID").sort_values("Date", kind="stable", ignore_index=True)


def by_duckdb(path, clean):
    names = ", ".join(f'"{name}"' for name in WANTED)
    with duckdb.connect() as con:
        if not clean: return con.sql(f"SELECT {names} FROM read_csv('{path}')").to_arrow_table()
        return con.sql(f"""SELECT DISTINCT ON ("ID") {names} FROM read_csv('{path}', timestampformat = '%m/%d/%Y %I:%M:%S %p')
                           WHERE "Date" IS NOT NULL AND "Primary Type" IS NOT NULL ORDER BY "Date" """).df()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"made.csv"
        make(path, options.rows)
        stores = iter(range(99))
        ways = {
            "read: crimenb": lambda: tables.read(path, WANTED), "read: pandas C": lambda: pd.read_csv(path, usecols=WANTED), "read: pandas C, text": lambda: pd.read_csv(path, usecols=WANTED, dtype=str),
            "read: pandas pyarrow": lambda: pd.read_csv(path, usecols=WANTED, engine="pyarrow"), "read: duckdb": lambda: by_duckdb(path, False),
            "clean: crimenb": lambda: events.read_chicago(path), "clean: crimenb, into a store": lambda: store.ingest("chicago", path, Path(folder)/f"store{next(stores)}"),
            "clean: pandas C": lambda: by_pandas(path), "clean: pandas pyarrow": lambda: by_pandas(path, engine="pyarrow"), "clean: duckdb": lambda: by_duckdb(path, True)}
        least = dict.fromkeys(ways, np.inf)
        for _ in range(options.runs):
            for name, way in ways.items():
                began = time.process_time()
                way()
                least[name] = min(least[name], time.process_time() - began)
        found = {"rows": options.rows, "bytes": path.stat().st_size, "python": platform.python_version(), "pandas": pd.__version__, "duckdb": duckdb.__version__,
                 "seconds": {name: round(s, 2) for name, s in least.items()},
                 "of pandas C": {name: round(s/least[name.split(":")[0] + ": pandas C"], 2) for name, s in least.items()}}
    print(pd.DataFrame({name: found[name] for name in ("seconds", "of pandas C")}).to_string())
    if options.json: options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__": main()
