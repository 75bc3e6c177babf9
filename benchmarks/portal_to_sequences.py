"""From a portal export to CrimeAlarm's sequences: ours, a loop over spots and rows, and pandas' groupby, in one run.

    python benchmarks/portal_to_sequences.py                  # Chicago, January to June 2018, 125,590 rows
    python benchmarks/portal_to_sequences.py --rows 500000    # a simulated city

Every way gets the same events table and has to give identical sequences. Times are medians of several runs;
memory is the peak that Python and numpy allocate in one more run, measured apart from the times (tracemalloc).
"""
import argparse
import os
import platform
import statistics
import time
import tracemalloc

import numpy as np

from crimenb.city import PRESETS, simulate
from crimenb.core import InputError
from crimenb.events import read_chicago
from crimenb.sequences import from_events
from crimenb.sources import fetch

SLOT_HOURS, MIN_EVENTS = 3, 5


def usable(events):
    "The rows that have a time, a category, an area and premises."
    return events.dropna(subset=["time", "category", "area", "premises"])


def loop(events):
    "One boolean mask a spot, one step a row: the rule of the paper's section 4.1 word for word."
    events = usable(events)
    lists = {}
    for area, premises in dict.fromkeys(zip(events.area, events.premises)):
        rows = events[(events.area == area) & (events.premises == premises)]
        if len(rows) < MIN_EVENTS:
            continue
        sequence = []
        for _, row in rows.sort_values("time", kind="stable").iterrows():
            sequence.append((row["category"], row["time"].hour // SLOT_HOURS))
        lists[area, premises] = sequence
    return lists


def grouped(events):
    "The same with pandas' own tools: class labels for all rows at once, then one groupby."
    events = usable(events).sort_values("time", kind="stable")
    labels = list(zip(events.category.astype(object), events.time.dt.hour // SLOT_HOURS))
    events = events[["area", "premises"]].assign(label=labels)
    lists = events.groupby(["area", "premises"], observed=True, sort=False)["label"].apply(list)
    return lists[lists.map(len) >= MIN_EVENTS].to_dict()


def as_lists(seqs):
    "Our arrays as the same dictionary of lists."
    names = list(zip(seqs.classes.category, seqs.classes.slot.tolist()))
    spots = zip(seqs.spots.area, seqs.spots.premises)
    return {spot: [names[c] for c in seqs.spot(i)] for i, spot in enumerate(spots)}


def measure(way, events, runs):
    "Median seconds of `runs` runs, peak bytes of one more, and what it gives."
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = way(events)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    way(events)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return statistics.median(seconds), peak, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="simulate about so many events instead of reading Chicago's")
    parser.add_argument("--runs", type=int, default=7, help="runs of ours and of groupby")
    parser.add_argument("--loop-runs", type=int, default=3, help="runs of the loop")
    options = parser.parse_args()

    table = []
    if options.rows:
        events, what = simulate(**PRESETS["nyc16_like"] | {"n_events": options.rows})[0], "simulated city as large as New York's"
    else:
        path, what = fetch("chicago_2018")["crimes-2018-06-30.parquet"], "chicago_2018"
        seconds, peak, cleaned = measure(read_chicago, path, options.runs)
        events = cleaned.events
        table.append(("reading the export (before all three)", seconds, peak))

    seconds, peak, ours = measure(lambda e: from_events(e, SLOT_HOURS, MIN_EVENTS), events, options.runs)
    table.append(("crimenb.sequences.from_events", seconds, peak))
    expected = as_lists(ours)
    for name, way, runs in (("pandas groupby + apply(list)", grouped, options.runs), ("loop over spots and rows", loop, options.loop_runs)):
        peer_seconds, peak, lists = measure(way, events, runs)
        assert lists == expected, f"{name} gives other sequences"
        table.append((name, peer_seconds, peak))

    assert sum(ours.dropped.values()) + len(ours.events) == len(events)
    print(f"{what}: {len(events):,} rows -> {ours.n_spots:,} spots, {len(ours.events):,} events, {ours.n_classes} classes; identical from all three")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores, one process\n")
    print(f"{'way':40} {'seconds':>9} {'× ours':>8} {'peak MB':>8}")
    for name, t, peak in table:
        ratio = "" if name.startswith("reading") else f"{t / seconds:.1f}"
        print(f"{name:40} {t:9.3f} {ratio:>8} {peak / 1e6:8.1f}")


if __name__ == "__main__":
    try:
        main()
    except InputError as e:
        raise SystemExit(str(e))
