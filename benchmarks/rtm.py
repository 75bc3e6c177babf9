"""Risk terrain models on 20,319 units: the post's plain loop (10,000 + 10,000 full-batch Adam steps) beside the fast fit.

In one process, on the same design matrix and with the same number of threads:

  plain loop      `fit_post`: random masks, pruning, Adam, every unit in every step
  fast fit        `fit`: least expected loss by Newton steps on unique rows with weights
  100 bootstraps  `fit` with 100 rows of weights in one call
  100 starts      `fit` with what 100 uniform starts leave alive in one call
  100 loops       `fit_loops`: the plain loop itself, noise and all, for 100 seeds in one call, on unique rows

Asserted, and printed: the batch of loops holds the plain loop of seed 10 as it is, and with the plain loop's picks the fast fit comes
to the same coefficients. The picks of loop and fast fit are compared and told, not asserted: the noise of the masks can push a
candidate below 0, where the ReLU holds it for good. How many of the 100 loops pick as the fast fit does, and how many as the fast fit
of what their noise left alive, is printed.
The data are Washington's
units and violent crimes of 2011 (data set dc_rtm); with --made-up, units of the same number and kind that need no files.

    python benchmarks/rtm.py [--made-up] [--steps 10000] [--batch 100] [--threads 2] [--area]
"""
import argparse
import time

import numpy as np
import pandas as pd
import torch

from crimenb import sources, terrain
from crimenb.geo import Points
from crimenb.papers.rtm import alive, bootstrap_weights, fit, fit_loops, fit_post, stability


def made_up(n=20_319, seed=0):
    "Units, bars, entrances and calls scattered over 14 km, and counts with known effects."
    rng = np.random.default_rng(seed)
    centre = rng.uniform(3000, 11_000, (6, 2))
    scatter = lambda k: np.clip(centre[rng.integers(6, size=k)] + rng.normal(0, 2000, (k, 2)), 0, 14_000)
    place = scatter(n)
    units = terrain.Units(np.arange(n), *place.T, rng.lognormal(9, .8, n), columns=pd.DataFrame({"Intersection": rng.random(n) < .375}))
    points = {name: Points(*scatter(k).T) for name, k in (("alc", 1600), ("met", 80), ("c31", 20_000))}
    land = lambda constants: terrain.design(units, points, kinds={"alc": ("distance", "density"), "met": "distance", "c31": "density"}, constants=constants)
    ground = land(("Const", "Intersection"))
    effect = np.zeros(len(ground.names))
    for name, size in (("alc_kde_100", 1.1), ("met_dis_50", .9), ("c31_kde_800", .8)): effect[ground.names.index(name)] = size
    return land, rng.poisson(np.exp(-1 - 1.1*ground.constants[:, 1] + ground.x @ effect))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--made-up", action="store_true", help="no files needed")
parser.add_argument("--steps", type=int, default=10_000, help="of each phase of the plain loop; with fewer than 10,000 its time is scaled up and nothing is asserted")
parser.add_argument("--batch", type=int, default=100, help="bootstraps, and seeds, in one call")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--area", action="store_true", help="the logarithm of the area as a third constant: then no two rows are the same")
args = parser.parse_args()
torch.set_num_threads(args.threads)

constants = ("Const", "Intersection", "LogArea") if args.area else ("Const", "Intersection")
if args.made_up:
    land, y = made_up()
    ground = land(constants)
else:
    city = terrain.dc(sources.fetch("dc_rtm"))
    ground, y = city.design(constants=constants), city.past(1)[:, 0]
rows = len(np.unique(np.column_stack([ground.constants, ground.x]), axis=0))
print(f"{len(y)} units, {len(ground.names)} candidates in {len(ground.sets)} sets, {rows} distinct rows, {y.sum():.0f} crimes, {args.threads} threads")


def timed(name, work):
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    print(f"{name:<58} {seconds:8.1f} s", flush=True)
    return result, seconds


timed("fast fit, the first call", lambda: fit(ground, y))
quick = np.median([timed("fast fit, again", lambda: fit(ground, y))[1] for _ in range(5)])
fast = fit(ground, y)
timed(f"{args.batch} bootstraps in one call", lambda: print(stability(fit(ground, y, bootstrap_weights(len(y), args.batch))).round(2).to_string(index=False)))
timed(f"{args.batch} uniform starts in one call", lambda: fit(ground, y, allowed=alive(ground, range(args.batch))))
loops, batch = timed(f"{args.batch} plain loops in one call, {args.steps} + {args.steps} steps", lambda: fit_loops(ground, y, range(10, 10 + args.batch), args.steps))
plain, slow = timed(f"plain loop, {args.steps} + {args.steps} steps", lambda: fit_post(ground, y, seed=10, steps=args.steps))
whole = slow * 10_000 / args.steps
print(f"plain loop of 10,000 + 10,000 steps over fast fit: {whole / quick:.0f} times, the median of five calls")
print(f"plain loop over one of {args.batch} in a batch: {slow * args.batch / batch:.0f} times")
assert plain.picks.equals(loops[0].picks) and np.allclose(plain.burn_in, loops[0].burn_in, atol=1e-6), "the batch is not the loop"
picked = lambda found: found.picks.fillna("none").agg(", ".join, axis=1)
print(f"loops with all picks as the fast fit: {(picked(loops) == picked(fast)[0]).mean():.2f}, "
      f"as the fast fit of what survived: {(picked(loops) == picked(fit(ground, y, allowed=loops.burn_in > 0))).mean():.2f}")
print("picks, plain loop:", plain.picks.iloc[0].to_dict(), "fast fit:", fast.picks.iloc[0].to_dict())
same = fit(ground, y, allowed=plain.effects > 0)
print(plain.coef_df().merge(same.coef_df(), on="Variable", suffixes=(", plain", ", fast with these picks")).round(4).to_string(index=False))
if args.steps >= 10_000:
    worst = np.abs(plain.coef_df().Coef - same.coef_df().Coef).max()
    print(f"largest difference of a coefficient: {worst:.1e}")
    assert worst < .05
