"""What parallel training buys: seconds an epoch, speed-up, efficiency, bytes sent, peak memory and final score.

The three networks of the comparative study (DNN, LSTMCrimeNet, GAT+TCN; risk levels by area and week), each trained with the same
weights, batches and number of epochs in ten ways:

  single                one process, batches cut out of arrays in memory
  loader, n threads     the same, batches made ahead by 1, 2, 4 threads
  loader, n processes   the same by worker processes
  data parallel, 2      two processes of torchrun (gloo, loopback), each with half of every batch
  pipeline, 2           two processes, each with half of the layers, 4 micro-batches
  federated, 2          two processes, six sites of neighbouring areas, one local epoch a round, Adam at the sites; GAT+TCN's edges between
                        sites are cut

Seconds are medians over the epochs after the first; CPU seconds are those of all processes (or of the process that trains, with
loaders), an epoch. Each process computes with one thread. Bytes are what the kernel counted, of the rank that sent most. Peak memory is
that of the largest rank, its libraries (about 400 MB) included. With --scaling, steps of several sizes are timed with one process and
with two, and a cost model is fitted to them that predicts 8, 64 and 512.

    python benchmarks/parallel_training.py [--dataset nyc_2014_2015] [--epochs 8] [--batch 128] [--scaling] [--out FILE.json]     (Linux)

The result file has the form of a study's (`crimenb.studies.validate`).
"""
import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
import torch.nn.functional as F

from crimenb import city, panels, sources, studies
from crimenb.core import InputError, write_atomic
from crimenb.distributed import CostModel, Loaded, federate, fit_pipeline, launch, sent
from crimenb.papers import parallel
from crimenb.training import describe_device, once, ranks, seeded, train

WAYS = {1: ["single", *(f"loader, {n} {how}" for how in ("threads", "processes") for n in (1, 2, 4))],
        2: ["data parallel, 2", "pipeline, 2", "federated, 2"]}
# where each network is cut in two, as a number of its stages
CUTS = {"DNN": 6, "LSTMCrimeNet": 2, "GAT+TCN": 1}
SITES = 6


def prepare(dataset, path):
    "Write the cases of a data set to `path`; returns name -> SHA-256 of what they rest on."
    if dataset == "city":
        events, truth = city.simulate(40_000, 730, seed=0, start="2018-01-01", n_areas=64)
        places, used = panels.city_places(truth), {"city": hashlib.sha256(events["time"].to_numpy().tobytes()).hexdigest()}
    else:
        files, events, places = sources.fetch(dataset), sources.load(dataset).events, None
        used = {name: hashlib.sha256(Path(file).read_bytes()).hexdigest() for name, file in files.items()}
        if dataset == "chicago_2016_2017": events, places = panels.cell_areas(events, 8, 8)
    panel = panels.from_events(events, group=panels.category_groups(events["category"].cat.categories), places=places)
    parts = panels.split(panel)
    known = panels.Features(panel, parts.train)
    lon, lat = (np.nan_to_num(v, nan=np.nanmean(v)) for v in (panel.lon, panel.lat))
    # sites: areas from west to east, in equal groups
    site = np.argsort(np.argsort(lon, kind="stable")) * SITES // len(lon)
    periods = {name: sorted(set(known.t[np.isin(known.t, np.arange(len(panel))[part])].tolist())) for name, part in parts._asdict().items()}
    torch.save({"cases": {k: torch.as_tensor(v) for k, v in dict(flat=known.x_flat, sequence=known.x_sequence, period=known.t, area=known.a, counts=known.y_counts, level=known.y_level).items()},
                "periods": periods, "edges": torch.as_tensor(panels.knn_graph(lon, lat, 4)), "site": torch.as_tensor(site)}, path)
    return used


class Task:
    "One network and its data, as all ways of training see them."
    def __init__(self, name, path, batch, settings=None):
        saved = torch.load(path, weights_only=True)
        self.name, self.cases, self.edges = name, parallel.Cases(**saved["cases"]), saved["edges"]
        rows = {part: parallel.units(name, self.cases, periods) for part, periods in saved["periods"].items()}
        self.learn, self.test = rows["train"], rows["test"]
        self.x, self.y = ({part: v(where) for part, where in rows.items()} for v in (lambda w: parallel.inputs(name, self.cases, w), lambda w: self.cases.level[w]))
        self.head = parallel.Head("level", "likelihood", self.cases.level[self.learn.flatten()])
        with seeded(0): self.model = parallel.build(name, self.cases, 5, self.edges, **(settings or {}))
        self.each = max(1, round(batch / self.learn[0].numel()))
        self.site = saved["site"]

    def indices(self, rng): return list(torch.from_numpy(rng.permutation(len(self.learn))).split(self.each))

    def cut_out(self, i): return self.x["train"][i], self.y["train"][i]

    def loss(self, model, batch, t): return self.score_loss(model(batch[0]), batch[1])

    def score_loss(self, z, y): return self.head.loss(z.flatten(0, -2), y.flatten())

    def scores(self, model):
        "Accuracy and log loss on the test weeks, with intervals over weeks."
        from crimenb.metrics import level_summary
        model.eval()
        with torch.inference_mode(): p = self.head.predict(model(self.x["test"]).flatten(0, -2)).numpy()
        where = self.test.flatten()
        table = level_summary(p, self.cases.level[where].numpy(), blocks=self.cases.period[where].numpy())
        return table[table.metric.isin(["accuracy", "log loss"])].to_dict("records")

    def sites(self):
        "Site -> its cases; for GAT+TCN with the numbers of its areas, by which the loss finds its edges."
        if self.name != "GAT+TCN":
            of = self.site[self.cases.area[self.learn]]
            return lambda k: (self.x["train"][of == k], self.y["train"][of == k])
        def load(k):
            own = (self.site == k).nonzero()[:, 0]
            return self.x["train"][:, :, own], self.y["train"][:, own], own.expand(len(self.learn), -1)
        return load

    def site_loss(self, model, batch, t):
        if self.name != "GAT+TCN": return self.loss(model, batch, t)
        number = torch.full((len(self.site),), -1)
        number[batch[2][0]] = torch.arange(len(batch[2][0]))
        inside = number[self.edges]
        return self.score_loss(model(batch[0], inside[:, (inside >= 0).all(0)]), batch[1])


def memory():
    "Peak memory of this process since `forget`, in bytes."
    return next(int(line.split()[1])*1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))


def forget(): Path("/proc/self/clear_refs").write_text("5")


def measure(ways, models, path, batch, epochs):
    "One row for each network and way; the job of one process, or of two."
    torch.set_num_threads(1)
    rows = []
    for name in models:
        for way in ways:
            task = Task(name, path, batch)
            model = task.model
            forget()
            if ranks()[1] > 1: dist.barrier()
            before, cpu, children = sent(), time.process_time(), os.times().children_user
            if way.startswith("pipeline"):
                stages = [model.stages[:CUTS[name]], model.stages[CUTS[name]:]]
                log = fit_pipeline(stages, lambda epoch, rng: [task.cut_out(i) for i in task.indices(rng)], task.score_loss, epochs, schedule="constant", device="cpu")
            elif way.startswith("federated"):
                log = federate(model, task.sites(), range(SITES), task.site_loss, epochs, batch=max(1, task.each if name == "GAT+TCN" else batch), lr=1e-3, optimizer=torch.optim.Adam, device="cpu")
            else:
                workers, how = (int(way.split()[1]), way.split()[2]) if way.startswith("loader") else (0, "threads")
                log = train(model, lambda epoch, rng: Loaded(task.indices(rng), task.cut_out, workers, how), task.loss, epochs, schedule="constant", device="cpu")
            cpu, moved = time.process_time() - cpu, sent() - before
            rows.append({"model": name, "way": way, "seconds": float(log.seconds.iloc[1:].median()), "cpu": (cpu + os.times().children_user - children)/epochs,
                         "bytes": moved/epochs if ranks()[1] > 1 else 0, "memory": memory(), "scores": once(lambda: task.scores(model)), "loss": float(log.loss.iloc[-1])})
    return rows


def steps(models, path, n):
    "Seconds of a step (the first decile of `n`, less disturbed by other programs than the median) for batches and widths; the job of one process, or of two."
    torch.set_num_threads(1)
    rows = []
    for name in models:
        # attention over all areas of a batch costs more than the other two
        for batch, width in product((128, 512, 2048), (32, 64, 128) if name == "GAT+TCN" else (32, 128, 256)):
            task = Task(name, path, batch, {"units": width})
            i = torch.arange(task.each) % len(task.learn)
            given = task.cut_out(i)
            began = []
            def loss(model, batch, t):
                began.append(time.perf_counter())
                return task.loss(model, batch, t)
            train(task.model, lambda epoch, rng: [given]*(n + 5), loss, 1, lr=1e-6, device="cpu")
            weights = sum(p.numel() for p in task.model.parameters())
            rows.append({"model": name, "cases": given[1].numel(), "weights": weights, "work": float(weights*given[1].numel()), "bytes": 4.*weights,
                         "processes": ranks()[1], "seconds": float(np.quantile(np.diff(began)[4:], .1))})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="nyc_2014_2015", choices=("city", "chicago_2018", "chicago_2016_2017", "nyc_2014_2015"))
    parser.add_argument("--models", default="DNN,LSTMCrimeNet,GAT+TCN")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128, help="cases in a batch (of all processes together)")
    parser.add_argument("--scaling", action="store_true", help="time steps of several sizes and fit the cost model")
    parser.add_argument("--out", help="result file")
    args = parser.parse_args()
    if args.epochs < 2: raise InputError(f"epochs is {args.epochs}: the first is a warm-up, give at least 2")
    models, began = args.models.split(","), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/cases.pt"
        used = prepare(args.dataset, path)
        measured = []
        for processes, ways in WAYS.items():
            ranks_said = launch(f"{__file__}:measure", dict(ways=ways, models=models, path=path, batch=args.batch, epochs=args.epochs), processes, timeout=3600)
            for each in zip(*ranks_said):
                measured.append({**each[0], "processes": processes, "cpu": sum(r["cpu"] for r in each), "bytes": max(r["bytes"] for r in each), "memory": max(r["memory"] for r in each)})
        table = pd.DataFrame(measured)
        alone = table[table.way == "single"].set_index("model").seconds
        table["speed-up"] = table.model.map(alone) / table.seconds
        table["efficiency"] = table["speed-up"] / table.processes
        rows = []
        for r in table.to_dict("records"):
            row = dict(method=r["model"], kind="ours", protocol=r["way"], split="train", low=None, high=None, n=args.epochs, printed=None)
            rows += [{**row, "metric": metric, "value": float(value)} for metric, value in (("seconds an epoch", r["seconds"]), ("CPU seconds an epoch", r["cpu"]), ("speed-up", r["speed-up"]),
                     ("efficiency", r["efficiency"]), ("bytes sent an epoch", r["bytes"]), ("peak memory, bytes", r["memory"]), ("training loss, last epoch", r["loss"]))]
            rows += [{**row, "split": "test", **score} for score in r["scores"]]
        score = lambda r, metric: next(s["value"] for s in r if s["metric"] == metric)
        print(f"{args.dataset}, batches of {args.batch} cases, {args.epochs} epochs, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(table.assign(accuracy=table.scores.map(lambda r: score(r, "accuracy")), logloss=table.scores.map(lambda r: score(r, "log loss")), MB=table.bytes/1e6, memory=table.memory/1e6)
              [["model", "way", "seconds", "cpu", "speed-up", "efficiency", "MB", "memory", "loss", "accuracy", "logloss"]].to_string(index=False, float_format=lambda v: f"{v:.3f}"))
        if args.out:
            parameters = {k: v for k, v in vars(args).items() if k != "out"}
            result = dict(study="parallel_training", profile="cpu", dataset=args.dataset, data_sha256=used, seed=0, parameters=parameters, versions=studies.versions(), commit=studies.commit(),
                          device=describe_device("cpu"), seconds=round(time.perf_counter() - began, 1), peak_memory_bytes=int(table.memory.max()), rows=rows)
            write_atomic(args.out, json.dumps(studies.validate(result), indent=1, allow_nan=False) + "\n")
            print("result:", args.out)
        if not args.scaling: return
        points = pd.DataFrame(sum((launch(f"{__file__}:steps", dict(models=models, path=path, n=60), p, timeout=3600)[0] for p in (1, 2)), []))
        print(points.assign(ms=points.seconds*1e3)[["model", "cases", "weights", "processes", "ms"]].to_string(index=False, float_format=lambda v: f"{v:.3f}"))
        for name, of in points.groupby("model", sort=False):
            fitted = CostModel.fit(of)
            off = np.abs(fitted.seconds(of.work, of.bytes, of.processes)/of.seconds - 1).median()
            print(f"\n{name}: {fitted}, median error {off:.0%}")
            print(fitted.table(*of[of.processes == 1].iloc[-2][["work", "bytes"]].astype(float)).to_string(index=False, float_format=lambda v: f"{v:.3f}"))


if __name__ == "__main__":
    try: main()
    except InputError as error: sys.exit(f"parallel_training.py: {error}")
