"""How fast a city is simulated, and in how much memory: 0.1, 1 and 3 million events, each in a process of its own.

    python benchmarks/simulate_city.py                  # about half a minute
    python benchmarks/simulate_city.py --events 500000  # other sizes

The city has the shape of nyc16 (77 precincts, 50 or so kinds of premises, 440 classes, 16,384 cells). The time is that of
`simulate`, plan and draw together, median of three runs, without imports; memory is the peak resident size of the whole
process, imported libraries (the idle size below) and tables returned included. Beside it, in the same run, the branching process written the obvious way: one event
after the other from a queue, each with its own draws, without victims and without making a table, on 20,000 events.
"""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"): os.environ.setdefault(name, "1")

import numpy as np

from crimenb.city import PRESETS, plan, simulate

SIZES = 100_000, 1_000_000, 3_000_000


def one_by_one(city, rng):
    "The number of events of a queue in which every event draws its own offspring."
    n_categories, side = len(city.categories), city.side
    tastes = city.taste.reshape(len(city.taste), -1)
    of_area = [np.flatnonzero(city.area_of == a) for a in range(len(city.areas))]
    shares = [city.base[cells] / city.base[cells].sum() for cells in of_area]
    queue = []
    for spot in np.repeat(np.arange(len(tastes)), rng.poisson(city.spot_background)):
        slot, category = divmod(rng.choice(tastes.shape[1], p=tastes[spot]), n_categories)
        hour = 24 * rng.choice(city.days, p=city.day[category]) + 3 * slot + rng.choice(3, p=city.hour[category, 3 * slot:3 * slot + 3])
        area = spot // len(city.premises)
        queue.append((hour, rng.choice(of_area[area], p=shares[area]), spot, category))
    done = 0
    while queue:
        hour, cell, spot, category = queue.pop()
        done += 1
        for _ in range(rng.poisson(city.branching)):
            later = hour + rng.geometric(1 / city.delay)
            if later >= city.hours: continue
            row, column = (int(v + np.rint(rng.normal(0, city.spread / city.cell_m))) for v in divmod(cell, side))
            inside = 0 <= row < side and 0 <= column < side and city.area_of[row * side + column] == city.area_of[cell]
            if rng.random() >= city.keep: category = rng.choice(n_categories, p=city.taste[spot].sum(0))
            queue.append((later, row * side + column if inside else cell, spot, category))
    return done


def measure(n_events):
    "One size, in this process: median seconds of three runs, events recorded and happened, peak bytes of the process after the first run, and before."
    settings = {**PRESETS["nyc16_like"], "n_events": n_events}
    unit = 1 if sys.platform == "darwin" else 1024
    idle = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for seed in range(3):
        begin = time.perf_counter()
        events, truth = simulate(seed=seed, **settings)
        seconds.append(time.perf_counter() - begin)
        size = len(events), len(truth.full)
        if seed == 0: peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        del events, truth
    return {"seconds": statistics.median(seconds), "recorded": size[0], "happened": size[1], "peak": peak, "idle": idle}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=SIZES, help="expected numbers of recorded events")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child: return print(json.dumps(measure(args.child)))
    print(f"{platform.machine()}, one thread, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{'recorded':>12} {'happened':>12} {'seconds':>9} {'recorded a minute':>18} {'peak MB':>9} {'idle MB':>9}")
    for n in args.events:
        row = json.loads(subprocess.run([sys.executable, __file__, "--child", str(n)], check=True, capture_output=True, text=True).stdout)
        print(f"{row['recorded']:12,} {row['happened']:12,} {row['seconds']:9.2f} {60 * row['recorded'] / row['seconds']:18,.0f}"
              f" {row['peak'] / 1e6:9,.0f} {row['idle'] / 1e6:9,.0f}")
    city = plan(**{**PRESETS["nyc16_like"], "n_events": 20_000})
    begin = time.perf_counter()
    done = one_by_one(city, np.random.default_rng(0))
    seconds = time.perf_counter() - begin
    print(f"one event after the other: {done:,} events in {seconds:.2f} s, {60 * done / seconds:,.0f} a minute")


if __name__ == "__main__": main()
