"""What the last ReLU of ST-ResNet's external branch does: the authors' branch and start against the one without, over several seeds.

Real maps of Chicago (first half of 2018), 16 × 16 cells, 16 filters, the paper's learning rate and batches. For each branch, kernel,
resolution and seed: the training error epoch by epoch, the error on the network's own maps and on hourly counts of the test fortnight,
how many units of the last external layer are awake, and whether the network has died, that is, has the error of a forecast of 0 to
within 1 %. Kernel 1 is there because the paper's 1.83 stands in its rows with 3 × 3 convolutions only.

    python benchmarks/external_branch.py [--epochs 4] [--seeds 10] [--space-seeds 3] [--minutes 60] [--out FILE]

One thread. Runs are made in turn until the minutes are over. The file is written after each, and
what it holds already is not run again.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from crimenb import grids
from crimenb.core import write_atomic
from crimenb.papers import stresnet


def rmse(a, b=0.): return float(np.sqrt(np.mean(np.square(a - b), dtype=float)))


def one_run(prepared, counts, branch, kernel, seed, epochs):
    "Train once; what came out as a dictionary."
    begun = time.process_time()
    network = stresnet.build(prepared, filters=16, kernel=kernel, external_branch=branch, seed=seed)
    log = stresnet.learn(network, prepared, epochs=epochs, extra_epochs=0, seed=seed, checks=epochs, best=False, device="cpu")
    maps = stresnet.predict_maps(network, prepared, prepared.test)
    hours, hourly = stresnet.predict_hours(network, prepared)
    last = network.external[:-1] if branch == "authors" else network.external
    with torch.inference_mode(): awake = float((last(prepared.external[prepared.test]) > 0).float().mean())
    happened = prepared.series[prepared.test].numpy()
    error, nothing = rmse(maps, happened), rmse(happened)
    return {"external branch": branch, "kernel": kernel, "resolution": prepared.resolution, "seed": seed, "epochs": epochs, "training loss": [round(v, 6) for v in log.loss],
            "validation RMSE": [round(-v, 5) for v in log["valid -RMSE"]], "test RMSE, its own maps": error, "a forecast of 0, its own maps": nothing,
            "test RMSE, hourly": rmse(hourly, counts[hours]), "awake units of the last external layer": awake, "largest forecast": float(maps.max()),
            "share of hourly forecasts that are 0": float((hourly <= 1e-6).mean()), "dead": bool(error > .99*nothing), "processor seconds": round(time.process_time() - begun, 1)}


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("epochs", 4), ("seeds", 10), ("space-seeds", 3), ("minutes", 60)): ask.add_argument(f"--{name}", type=int, default=value)
    ask.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = ask.parse_args()
    torch.set_num_threads(1)
    _, maps, _ = stresnet.study_maps("chicago_2018", 16, 16)
    external = maps.external()
    test = np.arange(len(maps.counts) - 336, len(maps.counts))
    sums = np.asarray(grids.diurnal_sum(maps.counts))[test]
    runs = json.loads(args.out.read_text())["runs"] if args.out.exists() else []
    found = {"data": "chicago_2018, 2018-01-01 to 06-30, 16 x 16 cells, last 336 hours for testing", "network": "16 filters, six residual units, batches of 48, Adam 5e-4",
             "RMSE of a forecast of 0": {"cumulative counts, native": rmse(sums), "hourly counts": rmse(maps.counts[test])}, "runs": runs}
    key = lambda run: [run[name] for name in ("external branch", "kernel", "resolution", "seed", "epochs")]
    end = time.monotonic() + 60*args.minutes
    # the cheap lines first, and each seed of all of them before the next one
    todo = [(branch, kernel, "none", seed) for seed in range(args.seeds) for kernel in (1, 3) for branch in stresnet.EXTERNAL_BRANCHES]
    todo += [(branch, 3, "space", seed) for seed in range(args.space_seeds) for branch in stresnet.EXTERNAL_BRANCHES]
    prepared = {}
    for branch, kernel, resolution, seed in todo:
        if [branch, kernel, resolution, seed, args.epochs] in map(key, runs): continue
        if time.monotonic() > end: return
        if resolution not in prepared: prepared[resolution] = stresnet.prepare(maps.counts, external, resolution=resolution)
        runs.append(one_run(prepared[resolution], maps.counts, branch, kernel, seed, args.epochs))
        write_atomic(args.out, json.dumps(found, indent=1) + "\n")
        print({name: runs[-1][name] for name in ("external branch", "kernel", "resolution", "seed", "test RMSE, its own maps", "test RMSE, hourly", "dead", "processor seconds")}, flush=True)


if __name__ == "__main__": main()
