"""Training throughput of ST-ResNet on hourly maps, and the cost of a forecast from packed ternary weights.

Training, the same gradient steps with the same network, in turn in one process:

  copied, float32      nine input maps copied for every hour beforehand, a plain DataLoader, eager float32
  indexed, float32     this library's batches: maps fetched from one tensor by index
  + channels last      the same with channels-last memory, as `fit` does
  + bfloat16           the same with mixed precision (`precision="bfloat16"`)

Equal results: all four must agree on the loss of the same batches with the same weights; float32 to 1e-5, bfloat16 to 2 %.
Forecasts: one map at a time on one thread, float32 network, ternary network with weights kept as floats, packed ternary network.

    python benchmarks/hourly_maps.py [--filters 16] [--side 16] [--rounds 5] [--steps 4] [--threads 1]
"""
import argparse
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from crimenb.grids import frame_index
from crimenb.papers.stresnet import PACKINGS, PackedSTResNet, STResNet, TernarySTResNet, n_parameters, packed_size, prepare, weighted

BATCH = 48
WAYS = {"copied, float32": (False, False), "indexed, float32": (False, False), "+ channels last": (True, False), "+ bfloat16": (True, True)}


def losses(name, args, prepared, model):
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


def training(args, prepared):
    found = {name: [next(iter_).item() for iter_ in [losses(name, args, prepared, a_model(name, args, prepared))] for _ in range(2)] for name in WAYS}
    base = found["copied, float32"]
    for name, values in found.items(): assert np.allclose(values, base, rtol=.02 if WAYS[name][1] else 1e-5), (name, values, base)
    print(f"equal losses asserted: {base[0]:.4f}, {base[1]:.4f}; bfloat16 {found['+ bfloat16'][0]:.4f}, {found['+ bfloat16'][1]:.4f}")
    runs = {}
    for name in WAYS:
        model = a_model(name, args, prepared)
        runs[name] = losses(name, args, prepared, model), torch.optim.Adam(model.parameters(), 5e-4)
    rates = {name: [] for name in WAYS}
    for r in range(args.rounds + 1):
        for name, (source, optimizer) in runs.items():
            began = time.perf_counter()
            for _ in range(args.steps):
                optimizer.zero_grad()
                next(source).backward()
                optimizer.step()
            if r: rates[name].append(args.steps*BATCH/(time.perf_counter() - began))       # the first round warms up
    print(f"{'training':24s}{'maps a second':>16s}{'min':>9s}{'max':>9s}{'ratio':>8s}")
    for name, r in rates.items():
        ratio = statistics.median(a/b for a, b in zip(r, rates["copied, float32"]))
        print(f"{name:24s}{statistics.median(r):16,.1f}{min(r):9,.1f}{max(r):9,.1f}{ratio:7.2f}x")


@torch.inference_mode()
def forecasting(args, prepared):
    torch.manual_seed(0)
    full, ternary = STResNet(args.filters, 3, prepared.size).eval(), TernarySTResNet(args.filters, 3, prepared.size).eval()
    packed = {f"packed, {name}": PackedSTResNet(ternary, name) for name in PACKINGS}
    x, e = torch.randn(1, 9, *prepared.size), torch.rand(1, 5)
    for model in packed.values(): assert torch.allclose(model(x, e), ternary(x, e), rtol=1e-4, atol=1e-5)
    bytes_of = {"float32": packed_size(full, "float32"), **{f"packed, {name}": packed_size(ternary, name) for name in PACKINGS}}
    for layer in weighted(ternary): torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    models = {"float32": full, "ternary, kept as floats": ternary, **packed}
    times = {name: [] for name in models}
    for r in range(args.rounds*4 + 1):
        for name, model in models.items():
            began = time.perf_counter()
            model(x, e)
            if r: times[name].append(1e3*(time.perf_counter() - began))
    products = prepared.size[0]*prepared.size[1]*sum(layer.weight.numel() for layer in weighted(full) if layer.weight.ndim == 4)
    zeros = 1 - float(np.mean([(layer.weight == 0).float().mean() for layer in weighted(ternary)]))
    print(f"\none forecast: {products/1e6:,.0f} million products in float32; ternary: as many additions, less {1 - zeros:.0%} for weights of 0")
    print(f"{'forecast, batch of 1':26s}{'ms':>8s}{'min':>8s}{'ratio':>8s}{'weights read, kB':>18s}")
    for name, t in times.items():
        read = bytes_of.get(name, 4*n_parameters(ternary))/1e3
        ratio = statistics.median(a/b for a, b in zip(t, times["float32"]))
        print(f"{name:26s}{statistics.median(t):8.2f}{min(t):8.2f}{ratio:7.2f}x{read:18,.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--side", type=int, default=16, help="rows and columns of native cells")
    parser.add_argument("--resolution", default="space", choices=("none", "space", "space+time"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    counts = np.random.default_rng(0).poisson(.09, (24*60, args.side, args.side))
    prepared = prepare(counts, resolution=args.resolution)
    print(f"f = {args.filters}, {prepared.size[0]} x {prepared.size[1]} maps, batches of {BATCH}, {args.threads} thread(s)")
    training(args, prepared)
    forecasting(args, prepared)


if __name__ == "__main__": main()
