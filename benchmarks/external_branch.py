"""What the last ReLU of ST-ResNet's external branch does: the authors' branch and start against the one without, over several seeds.

Real maps of Chicago (first half of 2018), 16 × 16 cells, 16 filters, the paper's learning rate and batches. For each branch, resolution
and seed: the training error epoch by epoch, the error on the network's own maps and on hourly counts of the test fortnight, how many
units of the last external layer are awake, and whether the network has died, that is, forecasts (nearly) nothing in every hour and cell.

    python benchmarks/external_branch.py [--epochs 4] [--seeds 3] [--space-epochs 1] [--space-seeds 3] [--minutes 40] [--out FILE]

One thread. Runs are made in turn, a seed of both branches at a time, until the minutes are over; the file is written after each.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from crimenb import grids, sources
from crimenb.papers import stresnet


def one_run(prepared, counts, branch, seed, epochs):
    "Train once; what came out as a dictionary."
    begun = time.process_time()
    fitted = stresnet.fit(prepared, filters=16, epochs=epochs, extra_epochs=0, seed=seed, checks=epochs, external_branch=branch, best=False, device="cpu")
    maps = fitted.predict(prepared.test)
    hours, hourly = fitted.forecast()
    last = fitted.model.external[:-1] if branch == "authors" else fitted.model.external
    with torch.inference_mode(): awake = float((last(prepared.external[prepared.test]) > 0).float().mean())
    happened, truth = prepared.series[prepared.test].numpy(), counts[hours]
    rmse = lambda a, b: float(np.sqrt(np.mean((a - b)**2, dtype=float)))
    return {"external branch": branch, "resolution": prepared.resolution, "seed": seed, "epochs": epochs, "training loss": [round(v, 6) for v in fitted.log.loss],
            "validation RMSE": [round(-v, 5) for v in fitted.log["valid -RMSE"]], "test RMSE, its own maps": rmse(maps, happened), "test RMSE, hourly": rmse(hourly, truth),
            "awake units of the last external layer": awake, "largest forecast": float(maps.max()), "share of hourly forecasts that are 0": float((hourly <= 1e-6).mean()),
            "dead": bool(maps.max() - maps.min() < .05), "processor seconds": round(time.process_time() - begun, 1)}


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("epochs", 4), ("seeds", 3), ("space-epochs", 1), ("space-seeds", 3), ("minutes", 40)): ask.add_argument(f"--{name}", type=int, default=value)
    ask.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = ask.parse_args()
    torch.set_num_threads(1)
    maps = grids.hourly_counts(sources.load("chicago_2018").events, grids.GRIDS["chicago"], "2018-01-01", "2018-07-01")
    external = grids.external_features(maps.times, None, "US-IL", fit_hours=len(maps.counts) - 336)
    test = np.arange(len(maps.counts) - 336, len(maps.counts))
    sums = np.asarray(grids.diurnal_sum(maps.counts))[test]
    found = {"data": "chicago_2018, 2018-01-01 to 06-30, 16 x 16 cells, last 336 hours for testing", "network": "16 filters, 3 x 3, six residual units, batches of 48, Adam 5e-4",
             "RMSE of a forecast of 0": {"cumulative counts, native": float(np.sqrt((sums**2).mean())), "hourly counts": float(np.sqrt((maps.counts[test]**2).mean()))}, "runs": []}
    end = time.monotonic() + 60*args.minutes
    prepare = lambda resolution: stresnet.prepare(maps.counts, external, resolution=resolution)
    todo = [("none", seed, args.epochs) for seed in range(args.seeds)] + [("space", seed, args.space_epochs) for seed in range(args.space_seeds)]
    for resolution, seed, epochs in todo:
        prepared = prepare(resolution)
        for branch in stresnet.EXTERNAL_BRANCHES:
            if time.monotonic() > end: return
            found["runs"].append(one_run(prepared, maps.counts, branch, seed, epochs))
            args.out.write_text(json.dumps(found, indent=1) + "\n")
            line = found["runs"][-1]
            print({name: line[name] for name in ("external branch", "resolution", "seed", "test RMSE, its own maps", "test RMSE, hourly", "dead", "processor seconds")}, flush=True)


if __name__ == "__main__": main()
