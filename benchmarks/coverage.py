"""How often do the intervals of crimenb.metrics hold the truth? Percentile bootstrap and `widened`, over few blocks.

    python benchmarks/coverage.py                 # 2,000 repetitions of each (200 of the maps), about two minutes on one core
    python benchmarks/coverage.py --runs 10000

The truth is known, since everything is simulated. Four kinds of data, with 5, 14 and 30 blocks each:

- counts: a block is a day of 6 hours x 64 cells, whose rates share a gamma factor of the day (standard deviation .15, .3, .4);
  RMSE, MAE and Poisson deviance of the mean rates, differences to 1.3 times them, PAI and PEI of the three busiest cells
- levels: a block is a week of 77 areas with five risk levels, whose logits share a normal deviation of the week
- two groups of which the shares that are flagged differ by 0, .05 and .2: demographic parity difference
- means of independent values: normal, exponential, log-normal, beta, a difference, hits
- one map of 2,000 units, the top 1 % and 5 % flagged by their rates, or by last year's counts

A standard error of a share of .95 over 2,000 repetitions is .005. The worst lines are meant to be seen: with five blocks
a heavy tail (log-normal with sigma 1) has not shown itself, and hits that are all alike leave an interval of one point. Tried beside it, over five
blocks: the bootstrap-t (studentised by the jackknife), on the metric's scale and on that of its logarithm or logit, has .91 instead of .90 for
the RMSE of days that vary by .4 and .88 instead of .87 for the log-normal mean, at 7 to 23 % more length, and less than `widened` elsewhere;
Student's t about the jackknife's standard error has .87 and .82.

Tried later, on these days' RMSE and its difference and on values of one or two columns (log-normal with sigma .5 and 1, gamma with shape .5 and 4,
normal; mean, root of the mean, differences of correlated pairs), 2,000 repetitions, 5 / 14 / 30 blocks; least coverage, and length beside `widened`:
`widened` .86 / .87 / .90; Satterthwaite's degrees of freedom for the jackknife's t .83 / .86 / .90 (.76 / .90 / .97); Hall's transformation
.87 / .86 / .88 (1.10 / 1.05 / 1.00); Johnson's t .83 / .85 / .89; Cornish-Fisher .67 / .76 / .82; the bootstrap-t .90 / .89 / .90 (1.08 / .95 / .97); the
hull of `widened` and the bootstrap-t .92 / .92 / .94 (1.37 / 1.10 / 1.07). For roots alone, 4,000 repetitions: `widened` on the mean square, and the roots
of its ends, has .89 / .92 / .93 where `widened` on the root has .86 / .88 / .90, at .95 to 1.09 of its length, and is nowhere below it.
"""
import argparse
import json
import platform
from pathlib import Path

import numpy as np
import pandas as pd

from crimenb.core import write_atomic
from crimenb.metrics import (LEVEL_METRICS, USUAL, _level_sums, _level_values, _hot_spot_draws, hot_spots, limits,
                             RAISED, poisson_deviance, widened)

BASE = np.random.default_rng(5).gamma(.5, .4, 64)
TOP, LAST = np.argsort(-BASE)[:3], np.argsort(-BASE*np.random.default_rng(9).gamma(2, .5, 64))[:3]
AREAS = np.random.default_rng(3).normal(0, .7, (77, 5))


def counts(rng, n, sd):
    "(n, 9) sums of n days."
    y = rng.poisson(BASE*rng.gamma(1/sd**2, sd**2, (n, 1, 1))*np.ones((6, 1)))
    mu = np.broadcast_to(BASE, y.shape)
    best = -np.sort(-y, axis=2)[..., :3]
    each = [(y - mu)**2, abs(y - mu), poisson_deviance(mu, y), (y - 1.3*mu)**2, poisson_deviance(1.3*mu, y), y[..., TOP], y[..., LAST], best, y]
    return np.stack([v.sum((1, 2)) for v in each], 1).astype(float)


COUNTS = ["RMSE", "MAE", "Poisson deviance", "RMSE, difference", "Poisson deviance, difference", "PAI@5%", "PAI@5%, difference", "PEI@5%"]

def of_counts(s):
    square, absolute, deviance, other_square, other_deviance, top, last, best, total = np.moveaxis(s, -1, 0)
    cases, share = 6*64, 3/64
    rmse, other = np.sqrt(square/cases), np.sqrt(other_square/cases)
    return np.stack([rmse, absolute/cases, deviance/cases, rmse - other, (deviance - other_deviance)/cases, top/total/share, (top - last)/total/share, top/best], -1)


def levels(rng, n):
    "(n, columns) sums of n weeks, forecast by a model that is a little too sure."
    def chances(logits): return np.exp(logits)/np.exp(logits).sum(-1, keepdims=True)
    true = chances(AREAS + rng.normal(0, .3, (n, 1, 5)))
    level = np.minimum((true.cumsum(2) < rng.random((n, len(AREAS), 1))).sum(2), 4)
    said = np.broadcast_to(chances(1.2*AREAS), true.shape)
    return _level_sums(said.reshape(-1, 5), level.ravel(), np.repeat(np.arange(n), len(AREAS)), n)


APART = 0., .05, .2

def groups(rng, n):
    "(n, 4) shares of flagged areas of four groups in n weeks, which a week raises or lowers together; three are beyond the first by `APART`."
    rate = .3 + np.array([0., *APART]) + rng.normal(0, .05, (n, 1)) + rng.normal(0, .03, (n, 4))
    return rng.binomial(40, rate.clip(0, 1))/40


MEANS = {"normal": 0., "exponential": 1., "log-normal, sigma .5": np.exp(.125), "log-normal, sigma 1": np.exp(.5), "beta(.5, .5)": .5,
         "difference of log-normals": -.1*np.exp(.125), "hits, .3": .3}

def means(rng, n):
    return np.stack([rng.normal(size=n), rng.exponential(size=n), rng.lognormal(0, .5, n), rng.lognormal(0, 1, n), rng.beta(.5, .5, n),
                     rng.lognormal(0, .5, n) - 1.1*rng.lognormal(0, .5, n), rng.random(n) < .3], 1).astype(float)


def covered(names, truth, value, ends, blocks):
    "Bool (2, runs, metrics): does the percentile interval hold the truth, and the widened one?"
    plain = np.minimum(ends[0], value), np.maximum(ends[1], value)
    # as `metrics.drawn_interval` has it
    raised, half = np.array([name in RAISED for name in names]), (ends[1] - ends[0])/2
    low, high = np.minimum(np.where(raised, value - half, ends[0]), value), np.maximum(np.where(raised, value + half, ends[1]), value)
    least, most = np.array([limits(name) for name in names]).T
    wide = widened(value, low, high, blocks, .95, least, most)
    low, high = plain
    return np.stack([(low <= truth) & (truth <= high), (wide[0] <= truth) & (truth <= wide[1])])


def resampled(sums, rng, n_boot=1000):
    "(n_boot, runs, columns) means of resampled blocks, from sums (runs, blocks, columns); all runs take the same resamples."
    weights = rng.multinomial(sums.shape[1], np.full(sums.shape[1], 1/sums.shape[1]), n_boot)/sums.shape[1]
    return np.einsum("bn,rnm->brm", weights, sums, optimize=True)


def study(label, names, draw, function, truth, runs, seed, sizes=(5, 14, 30), together=50):
    "Rows: data, metric, blocks, percentile, widened; so many runs at a time share their resamples."
    for n in sizes:
        rng, found = np.random.default_rng([seed, n]), []
        for start in range(0, runs, together):
            sums = np.stack([draw(rng, n) for _ in range(min(together, runs - start))])
            with np.errstate(divide="ignore", invalid="ignore"): ends = np.nanquantile(function(resampled(sums, rng)), [.025, .975], axis=0)
            found.append(covered(names, truth, function(sums.mean(1)), ends, n))
        yield from rows(label, names, n, np.concatenate(found, 1))


def rows(label, names, n, found):
    percentile, wide = found.mean(1)
    for name, p, w in zip(names, percentile, wide): yield dict(data=label, metric=name, blocks=n, percentile=round(float(p), 4), widened=round(float(w), 4))


def one_map(label, pick, runs, seed):
    "Rows for the top 1 % and 5 % of 2,000 units, by the rates (pick 0) or by last year's counts (pick 2)."
    shares, rng = np.array([.01, .05]), np.random.default_rng(seed)
    def city(n):
        rate = .3*rng.gamma(.4, 2.5, n)
        return rate, rng.poisson(rate), rng.poisson(rate)
    rates = city(1_000_000)
    truth = hot_spots(rates[pick], rates[1], shares)[["hit rate", "PAI", "PEI"]].to_numpy()
    found = [[], []]
    for i in range(runs):
        drawn = city(2000)
        value, draws, _, blocks = _hot_spot_draws(drawn[pick], drawn[1], shares, USUAL, None, None, 500, i)
        for j in (0, 1):
            ends = np.nanquantile(draws[:, j, :3], [.025, .975], axis=0)
            found[j].append(covered([f"{m}@{shares[j]:.0%}" for m in MAP], truth[j], value[j, :3], ends, blocks[j]))
    for j in (0, 1): yield from rows(label, [f"{m}@{shares[j]:.0%}" for m in MAP], int(blocks[j]), np.stack(found[j], 1))


MAP = "hit rate", "PAI", "PEI"

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    table, rng = [], np.random.default_rng(0)
    for sd in (.15, .3, .4):
        draw = lambda r, n, sd=sd: counts(r, n, sd)
        table += study(f"counts, days vary by {sd:g}", COUNTS, draw, of_counts, of_counts(np.mean([draw(rng, 4000).mean(0) for _ in range(25)], 0)), options.runs, 1)
    table += study("levels", LEVEL_METRICS, levels, lambda s: _level_values(s, 5), _level_values(np.mean([levels(rng, 4000).mean(0) for _ in range(10)], 0), 5), options.runs, 2)
    table += study("means", list(MEANS), means, lambda s: s, np.array(list(MEANS.values())), options.runs, 3)
    for k, apart in enumerate(APART, 1):
        table += study(f"two groups {apart:g} apart", [RAISED[1]], groups, lambda s, k=k: abs(s[..., :1] - s[..., k:k + 1]), np.array([apart]), options.runs, 6)
    for label, pick in (("one map, by the rates", 0), ("one map, by last year's counts", 2)): table += one_map(label, pick, max(20, options.runs//10), 4)
    print(pd.DataFrame(table).set_index(["data", "metric", "blocks"]).unstack("blocks").to_string(float_format="{:.3f}".format))
    write_atomic(Path(options.out), json.dumps({"runs": options.runs, "level": .95, "numpy": np.__version__, "python": platform.python_version(), "rows": table}, indent=1) + "\n")


if __name__ == "__main__": main()
