"""Training throughput of ST-ResNet on hourly maps, and the cost of a forecast from packed ternary weights.

Training, the same gradient steps with the same network, in turn in one process:

  copied, float32      nine input maps copied for every hour beforehand, a plain DataLoader, eager float32
  indexed, float32     this library's batches: maps fetched from one tensor by index
  + channels last      the same with channels-last memory, as `learn` does
  + bfloat16           the same with mixed precision (`precision="bfloat16"`)

Equal results: all four must agree on the loss of the same batches with the same weights; float32 to 1e-5, bfloat16 to 2 %.
Forecasts: one map at a time on one thread: the float32 network with maps in either layout, the ternary network with weights kept as
floats, and packed, either unpacked for PyTorch's convolution or added up (numba). All ternary ones must agree on the forecast.
What is said of a machine is the median over rounds of the ratio within a round, so that a busy moment hits both sides.

    python benchmarks/hourly_maps.py [--part both] [--filters 16] [--side 16] [--rounds 5] [--steps 4] [--threads 1] [--out FILE]

Results that are cited stand in hourly_maps.json beside this file.
"""
import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from crimenb.grids import frame_index
from crimenb.papers.stresnet import PACKINGS, PackedLayer, PackedSTResNet, STResNet, TernarySTResNet, n_parameters, packed_size, prepare, weighted

BATCH = 48
# the processor time of this thread, so that others on the machine count less; with more threads than one, the wall clock
clock = time.thread_time
WAYS = {"copied, float32": (False, False), "indexed, float32": (False, False), "+ channels last": (True, False), "+ bfloat16": (True, True)}


def losses(name, prepared, model):
    "An endless generator of the losses of one way, over the same targets in the same order."
    channels_last, half = WAYS[name]
    series = prepared.scale(prepared.series)
    index = torch.from_numpy(frame_index(prepared.train, prepared.lags))
    targets = torch.from_numpy(prepared.train)
    if name.startswith("copied"):
        copies = torch.stack([torch.cat([series[i][None] for i in row]) for row in index])
        loader = DataLoader(TensorDataset(copies, prepared.external[targets], series[targets][:, None]), BATCH)
        batches = lambda: iter(loader)
    else:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        batches = lambda: ((series[index[i:i + BATCH]].contiguous(memory_format=layout), prepared.external[targets[i:i + BATCH]], series[targets[i:i + BATCH]][:, None])
                           for i in range(0, len(targets), BATCH))
    while True:
        for x, e, y in batches():
            with torch.autocast("cpu", torch.bfloat16, enabled=half): out = model(x, e)
            yield F.mse_loss(out.float(), y)


def a_model(name, args, prepared):
    torch.manual_seed(0)
    model = STResNet(args.filters, 3, prepared.size)
    return model.to(memory_format=torch.channels_last) if WAYS[name][0] else model


def summary(found, base, **more):
    "Median, least and most of each way, and the median ratio to `base` within a round."
    ratio = lambda values: statistics.median(a/b for a, b in zip(values, found[base]))
    return {name: {"median": round(statistics.median(v), 2), "min": round(min(v), 2), "max": round(max(v), 2), "ratio": round(ratio(v), 3), **{k: f(name) for k, f in more.items()}} for name, v in found.items()}


def training(args, prepared):
    found = {name: [next(iter_).item() for iter_ in [losses(name, prepared, a_model(name, args, prepared))] for _ in range(2)] for name in WAYS}
    base = found["copied, float32"]
    for name, values in found.items(): assert np.allclose(values, base, rtol=.02 if WAYS[name][1] else 1e-5), (name, values, base)
    print(f"equal losses asserted: {base[0]:.4f}, {base[1]:.4f}; bfloat16 {found['+ bfloat16'][0]:.4f}, {found['+ bfloat16'][1]:.4f}")
    runs = {}
    for name in WAYS:
        model = a_model(name, args, prepared)
        runs[name] = losses(name, prepared, model), torch.optim.Adam(model.parameters(), 5e-4)
    rates = {name: [] for name in WAYS}
    for r in range(args.rounds + 1):
        for name, (source, optimizer) in runs.items():
            began = clock()
            for _ in range(args.steps):
                optimizer.zero_grad()
                next(source).backward()
                optimizer.step()
            if r: rates[name].append(args.steps*BATCH/(clock() - began))       # the first round warms up
    return summary(rates, "copied, float32")


@torch.inference_mode()
def forecasting(args, prepared):
    torch.manual_seed(0)
    full, ternary = STResNet(args.filters, 3, prepared.size).eval(), TernarySTResNet(args.filters, 3, prepared.size).eval()
    packed = {f"packed, {name}, {way}": PackedSTResNet(ternary, name, adds) for name in PACKINGS for way, adds in (("unpacked", False), ("added up", True))}
    x, e = torch.randn(1, 9, *prepared.size), torch.rand(1, 5)
    for model in packed.values(): assert torch.allclose(model(x, e), ternary(x, e), rtol=1e-4, atol=1e-5)
    read = {name: packed_size(ternary, name.split(", ")[1]) for name in packed}
    for layer in weighted(ternary): torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    last = STResNet(args.filters, 3, prepared.size).to(memory_format=torch.channels_last).eval()
    last.load_state_dict(full.state_dict())
    models = {"float32": full, "float32, channels last": last, "ternary, kept as floats": ternary, **packed}
    inputs = {"float32, channels last": x.contiguous(memory_format=torch.channels_last)}
    times = {name: [] for name in models}
    for r in range(args.rounds*4 + 1):
        for name, model in models.items():
            began = clock()
            model(inputs.get(name, x), e)
            if r: times[name].append(1e3*(clock() - began))
    # products of a convolution: one a weight and cell. Added up: ten sums a cell of each input map, three look-ups a row of weights
    cells, convolutions = prepared.size[0]*prepared.size[1], [layer for layer in weighted(full) if layer.weight.ndim == 4]
    products = cells*sum(layer.weight.numel() for layer in convolutions)
    added = [layer for layer in next(m for name, m in packed.items() if name.endswith("added up")).modules() if isinstance(layer, PackedLayer) and layer.adds]
    additions = cells*sum(10*layer.shape[1] + 3*layer.shape[0]*layer.shape[1] for layer in added)
    others = products - cells*sum(int(np.prod(layer.shape)) for layer in added)
    zeros = float(np.mean([(layer.weight == 0).float().mean() for layer in weighted(ternary)]))
    work = {"products": products, "of the weights are 0": round(zeros, 3), "added up: additions": additions, "added up: products left": others}
    return summary(times, "float32", **{"kB of weights": lambda name: round(read.get(name, 4*n_parameters(full if name.startswith("float32") else ternary))/1e3)}), work


def show(title, unit, table):
    columns = list(next(iter(table.values())))
    print(f"\n{title:32s}" + "".join(f"{c if c != 'median' else unit:>16s}" for c in columns))
    for name, line in table.items(): print(f"{name:32s}" + "".join(f"{line[c]:16,}" for c in columns))


def processor():
    "The processor's name, where the system tells it."
    try: return next(line.split(": ")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    except (OSError, StopIteration): return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("filters", 16), ("side", 16), ("rounds", 5), ("steps", 4), ("threads", 1)): parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--part", default="both", choices=("both", "training", "forecast"))
    parser.add_argument("--out", help="a JSON file to add the result to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.threads > 1: globals()["clock"] = time.perf_counter
    counts = np.random.default_rng(0).poisson(.1, (24*40, args.side, args.side)).astype("float32")
    # the network sees maps of twice the side, as in the paper
    prepared = prepare(counts, resolution="space", test=168)
    print(f"{args.filters} filters, maps of {prepared.size[0]} x {prepared.size[1]}, batches of {BATCH}, {args.threads} thread(s)")
    found = {}
    if args.part != "forecast":
        found["training, maps a second"] = training(args, prepared)
        show("training", "maps a second", found["training, maps a second"])
    if args.part != "training":
        found["forecast, batch of 1, ms"], found["work of one forecast"] = forecasting(args, prepared)
        show("forecast, batch of 1", "ms", found["forecast, batch of 1, ms"])
        print("\none forecast, millions: " + "; ".join(f"{name} {value/1e6:,.1f}" if value > 1 else f"({value:.0%} {name})" for name, value in found["work of one forecast"].items()))
    if args.out:
        path = Path(args.out)
        runs = json.loads(path.read_text()) if path.exists() else {}
        about = {"processor": processor(), "python": platform.python_version(), "torch": torch.__version__, **{k: v for k, v in vars(args).items() if k != "out"}}
        runs[f"{args.filters} filters, {prepared.size[0]} x {prepared.size[1]}, {args.part}"] = {**about, **found}
        path.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__": main()
