"""Evaluation under CrimeAlarm's protocol: ours, a loop over spots, and the obvious numpy ways in between, in one run.

    python benchmarks/evaluation.py                   # nyc16: 3,229 spots x (1 target + 100 negatives)
    python benchmarks/evaluation.py --dataset chi18

Two steps, timed apart and together: drawing the negatives (100 a spot, by popularity, of the classes it never had),
and from scores to the means of HR@5, HR@10, NDCG@5, NDCG@10 and MRR. The loop does for each spot what the paper's
section 4.1 says: draws by popularity until 100 unseen classes are found, gathers their scores, sorts, reads off the rank.
Scores are random float32, as a model would give them. All ways must give the same metrics for the same candidates,
and on scores with ties as well (the loop's stable sort with the target first is ties="optimistic").
Times are medians of the processor seconds of this one process, so that neighbours on a busy machine do not count;
nothing here runs on more than one core. Memory is the peak that Python and numpy allocate in one more run (tracemalloc).

"every further evaluation" is another model, or another epoch, on the same spots: the loop draws anew each time, as the
authors' code does, and ours reuses the candidates, which also makes models comparable spot by spot.
"""
import argparse
import math
import os
import platform
import statistics
import time
import tracemalloc

import numpy as np

from crimenb.baselines.next_event import SmoothedCounts, SpotCounts
from crimenb.core import InputError
from crimenb.metrics import rank_counts, ranking_scores
from crimenb.sequences import candidates, read_sequences
from crimenb.sources import fetch

KS = 5, 10


def draw_loop(whole, n=100, seed=0):
    "One spot after the other: draw a batch by popularity, keep what is unseen and new, until there are `n`."
    rng = np.random.RandomState(seed)
    classes = np.arange(whole.n_classes)
    popularity = np.maximum(np.bincount(whole.drop_last(2).events, minlength=len(classes)), 1e-9)
    popularity = popularity / popularity.sum()
    rows = []
    for i in range(whole.n_spots):
        seen = set(whole.spot(i).tolist())
        row = [int(whole.events[whole.offsets[1:] - 1][i])]
        while len(row) < 1 + n:
            for c in rng.choice(classes, n, replace=False, p=popularity).tolist():
                if c not in seen and c not in row:
                    row.append(c)
        rows.append(row[:1 + n])
    return np.array(rows)


def draw_choice(whole, n=100, seed=0):
    "One spot after the other: one draw from the unseen classes, by their popularity."
    rng = np.random.default_rng(seed)
    popularity = np.maximum(np.bincount(whole.drop_last(2).events, minlength=whole.n_classes), 1e-9)
    rows = []
    for i in range(whole.n_spots):
        weight = popularity.copy()
        weight[whole.spot(i)] = 0
        rows.append([whole.events[whole.offsets[1:] - 1][i], *rng.choice(len(weight), n, replace=False, p=weight / weight.sum())])
    return np.array(rows)


def draw_ours(whole, n=100, seed=0):
    return candidates(whole, whole.events[whole.offsets[1:] - 1], "popularity-100", n=n, seed=seed)


def metrics_loop(scores, target, drawn):
    "One spot after the other: gather, sort, find the target, add up."
    totals = [0.] * (2 * len(KS) + 1)
    for i in range(len(scores)):
        s = scores[i][drawn[i]]
        rank = np.argsort(-s, kind="stable").tolist().index(0) + 1
        for j, k in enumerate(KS):
            if rank <= k:
                totals[j] += 1
                totals[len(KS) + j] += 1 / math.log2(rank + 1)
        totals[-1] += 1 / rank
    return [t / len(scores) for t in totals]


def metrics_argsort(scores, target, drawn):
    "All spots at once, by sorting."
    s = np.take_along_axis(scores, drawn, 1)
    rank = np.argmax(np.argsort(-s, axis=1, kind="stable") == 0, axis=1) + 1
    gain = 1 / np.log2(rank + 1)
    return [(rank <= k).mean() for k in KS] + [(gain * (rank <= k)).mean() for k in KS] + [(1 / rank).mean()]


def metrics_ours(scores, target, drawn, ties="expected"):
    return ranking_scores(*rank_counts(scores, target, drawn), ties=ties, ks=KS).mean().tolist()


def measure(way, runs):
    "Median processor seconds of `runs` runs, peak bytes of one more, and what it gives."
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        result = way()
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    way()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return statistics.median(seconds), peak, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="nyc16", choices=("nyc16", "chi18"))
    parser.add_argument("--runs", type=int, default=15, help="runs of ours and of the vectorised peers")
    parser.add_argument("--loop-runs", type=int, default=3, help="runs of the loops")
    options = parser.parse_args()
    whole = read_sequences(fetch(options.dataset)[f"{options.dataset}.txt"])
    target, known = whole.events[whole.offsets[1:] - 1], whole.drop_last(1)
    scores = np.random.default_rng(0).random((whole.n_spots, whole.n_classes), dtype="float32")

    draws = [(name, *measure(lambda way=way: way(whole), runs)) for name, way, runs in
             (("ours", draw_ours, options.runs), ("rng.choice, spot by spot", draw_choice, options.loop_runs), ("loop", draw_loop, options.loop_runs))]
    seen = whole.counts > 0
    for name, _, _, drawn in draws:
        assert (drawn[:, 0] == target).all() and not np.take_along_axis(seen, drawn[:, 1:], 1).any(), f"{name} drew a class that the spot had"
        assert (np.diff(np.sort(drawn, 1), axis=1) > 0).all(), f"{name} drew a class twice"

    drawn = draws[0][3]
    ways = (("ours", metrics_ours, options.runs), ("argsort, all spots at once", metrics_argsort, options.runs), ("loop", metrics_loop, options.loop_runs))
    found = [(name, *measure(lambda way=way: way(scores, target, drawn), runs)) for name, way, runs in ways]
    for name, way, _ in ways[1:]:
        # random scores have hardly a tie, counts have many
        for other in (scores, SpotCounts().weights(known), known.counts, SmoothedCounts().weights(known)):
            np.testing.assert_allclose(way(other, target, drawn), metrics_ours(other, target, drawn, ties="optimistic"), rtol=1e-6, err_msg=name)

    print(f"{options.dataset}: {whole.n_spots:,} spots x {drawn.shape[1]} candidates of {whole.n_classes} classes; the same metrics from all ways")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores, one process\n")
    print(f"{'step':28} {'way':28} {'seconds':>9} {'x ours':>8} {'peak MB':>8}")
    for step, rows in (("draw candidates", draws), ("scores to metrics", found)):
        for name, seconds, peak, _ in rows: print(f"{step:28} {name:28} {seconds:9.4f} {seconds / rows[0][1]:8.1f} {peak / 1e6:8.1f}")
    (_, draw, draw_peak, _), (_, score, score_peak, _) = draws[0], found[0]
    (_, loop_draw, loop_draw_peak, _), (_, loop_score, loop_score_peak, _) = draws[-1], found[-1]
    loop, loop_peak = loop_draw + loop_score, max(loop_draw_peak, loop_score_peak)
    for step, ours, peak in (("both", draw + score, max(draw_peak, score_peak)), ("every further evaluation", score, score_peak)):
        for name, seconds, most in (("ours", ours, peak), ("loop", loop, loop_peak)):
            print(f"{step:28} {name:28} {seconds:9.4f} {seconds / ours:8.1f} {most / 1e6:8.1f}")


if __name__ == "__main__":
    try:
        main()
    except InputError as e:
        raise SystemExit(str(e))
