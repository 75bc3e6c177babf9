"""Latency of real-time scoring: an event taken (checked, journalled, fsynced, counted), and the forecast after it.

    python benchmarks/serving_latency.py [--forecasts 300] [--areas 64]

A simulated city of two years, weekly counts in three groups; the three networks of the comparative study, trained for one epoch, since
how well they forecast changes nothing in how long it takes. One thread. What a forecast costs is split: the features of the week, and
the exported network.
"""
import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from crimenb import city, panels
from crimenb.core import InputError
from crimenb.papers import parallel
from crimenb.serving import Scorer, export


def timed(f):
    began = time.perf_counter()
    f()
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forecasts", type=int, default=300)
    parser.add_argument("--areas", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    events, truth = city.simulate(40_000, 728, seed=0, start="2018-01-01", n_areas=args.areas)
    cut = pd.Timestamp("2018-01-01") + pd.Timedelta(weeks=100)
    panel = panels.from_events(events[events.time < cut], group=panels.category_groups(events["category"].cat.categories), places=panels.city_places(truth), start="2018-01-01", end=cut)
    parts = panels.split(panel)
    features = panels.Features(panel, parts.train)
    cases, edges = parallel.Cases.of(features), torch.as_tensor(panels.knn_graph(panel.lon, panel.lat, 4))
    later = events[events.time >= cut].head(args.forecasts)
    stream = [dict(record_id=str(i), time=e.time.isoformat(), area=str(e.area), category=str(e.category)) for i, e in enumerate(later.itertuples())]
    rows = []
    for name in parallel.MODELS:
        fitted = parallel.fit(name, cases, np.unique(features.t[features.rows(parts.train)]), np.unique(features.t[features.rows(parts.valid)]), "counts", edge_index=edges, epochs=1, device="cpu")
        with tempfile.TemporaryDirectory() as folder:
            bundle = export(fitted, features, Path(folder)/"model.pt2")
            scorer = Scorer(bundle, Path(folder)/"journal.jsonl")
            x, scorer_model = None, scorer.model
            def remember(given):
                nonlocal x
                x = given
                return scorer_model(given)
            scorer.model = remember
            scorer.forecast()
            scorer.model = scorer_model
            take, whole, net = [], [], []
            for event in stream:
                take.append(timed(lambda: scorer.take([event])))
                whole.append(timed(scorer.forecast))
                with torch.inference_mode(): net.append(timed(lambda: scorer_model(x)))
            scorer.close()
            start = timed(lambda: Scorer(bundle, Path(folder)/"journal.jsonl").close())
        for what, seconds in (("event", take), ("forecast", whole), ("  network in it", net)):
            rows.append((name, what, *(1e3*np.quantile(seconds, q) for q in (.5, .99)), len(seconds)))
        rows.append((name, f"start, {len(stream)} in the journal", 1e3*start, np.nan, 1))
    print(f"{args.areas} areas, {len(panel)} weeks, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(pd.DataFrame(rows, columns=["network", "what", "p50 ms", "p99 ms", "n"]).to_string(index=False, float_format=lambda v: f"{v:.2f}", na_rep=""))


if __name__ == "__main__":
    try: main()
    except InputError as error: sys.exit(f"serving_latency.py: {error}")
