"""Training throughput: windows padded to their full length against batches of like lengths, at equal loss.

Four ways to take the same gradient steps with the same network on the same windows, run in turn in one process:

  padded, plain    every window padded to 200; attention as three products with dropout on its weights; as many prediction
                   slots a window as the longest needs, filled or not: the way of BERT4Rec's published code, which HAIL follows
  padded, fused    the same batches through this library's encoder: fused attention, only real holes through the head
  like lengths     this library's batches: windows of like lengths together, at most --max-tokens tokens
  random crops     the same with one random window a spot (the cpu profile): other data, so its rate is not like for like

Tokens are real events, padding not counted. Equal loss: the first three are given the same windows, holes and weights with
dropout off and must agree on the summed loss; that is asserted before anything is timed.

    python benchmarks/training.py [--dataset chi18] [--rounds 5] [--steps 6] [--compile]      (Linux: memory is read from /proc)
"""
import argparse
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from crimenb.core import InputError
from crimenb.papers.crimealarm import Instances, Peers
from crimenb.sequences import leave_last_out, read_sequences, windows
from crimenb.sources import fetch

SLOTS = 40      # a fifth of 200 events


class PlainPeer(torch.nn.Module):
    "The weights of a `NextEvent` with attention written out and a fixed number of prediction slots."
    def __init__(self, peer, dropout):
        super().__init__()
        self.peer, self.dropout = peer, dropout

    def attend(self, layer, x, real):
        B, L, d = x.shape
        q, k, v = (part.view(B, L, layer.heads, -1).transpose(1, 2) for part in layer.qkv(x).split(d, -1))
        weights = (q @ k.transpose(-1, -2) / (d // layer.heads)**.5).masked_fill(~real[:, None, None], -1e4).softmax(-1)
        return layer.out((F.dropout(weights, self.dropout, self.training) @ v).transpose(1, 2).reshape(B, L, d))

    def forward(self, tokens, slots):
        "`slots` (B, SLOTS) positions; returns logits (B, SLOTS, C), empty slots included."
        p, e = self.peer, self.peer.encoder
        real = tokens != 0
        x = e.dropout(e.norm(p.embedding(tokens) + e.position.weight[:tokens.shape[1]]))
        for layer in e.layers:
            x = layer.norm1(x + layer.dropout(self.attend(layer, x, real)))
            x = layer.norm2(x + layer.dropout(layer.down(F.gelu(layer.up(x)))))
        chosen = x.gather(1, slots[..., None].expand(-1, -1, x.shape[-1]))
        return F.linear(p.norm(F.gelu(p.dense(chosen))), p.embedding.weight[1:p.n_classes + 1], p.bias)


def to_slots(tokens, at, y):
    "Flat holes -> (B, SLOTS) positions, classes, and which slots are filled; holes beyond the last slot are given up."
    B, L = tokens.shape
    row, column = at.numpy() // L, at.numpy() % L
    nth = np.arange(len(row)) - np.searchsorted(row, np.arange(B))[row]
    keep = nth < SLOTS
    where, label, filled = np.zeros((B, SLOTS), np.int64), np.zeros((B, SLOTS), np.int64), np.zeros((B, SLOTS), np.float32)
    where[row[keep], nth[keep]], label[row[keep], nth[keep]], filled[row[keep], nth[keep]] = column[keep], y.numpy()[keep], 1
    return tuple(map(torch.from_numpy, (where, label, filled)))


def plain_loss(model, batch):
    where, label, filled = to_slots(*batch[:3])
    losses = F.cross_entropy(model(batch[0], where).transpose(1, 2), label, reduction="none")
    return (losses*filled).sum() / filled.sum()


def our_loss(model, batch): return F.cross_entropy(model(*batch[:2]), batch[2])


def padded(batch, length):
    "The same batch, padded to `length`."
    tokens, at, y, slots = batch
    L = tokens.shape[1]
    return F.pad(tokens, (0, length - L)), at // L * length + at % L, y, slots


def check_equal_loss(peer, batches):
    "Summed loss of the same windows and holes in the three ways, dropout off."
    peer.eval()
    plain = PlainPeer(peer, 0.).eval()
    with torch.no_grad():
        sums = np.zeros(3)
        for batch in batches:
            at_most = np.bincount((batch[1] // batch[0].shape[1]).numpy()).max()
            assert at_most <= SLOTS, "a window has more holes than slots"
            wide = padded(batch, 200)
            sums += [loss(model, b).item()*len(batch[2]) for loss, model, b in
                     ((plain_loss, plain, wide), (our_loss, peer, wide), (our_loss, peer, batch))]
    peer.train()
    assert np.allclose(sums, sums[0], rtol=1e-5), sums
    return sums[0] / sum(len(b[2]) for b in batches)


def one_way(name, args):
    "Set up one way: a function that takes `steps` optimiser steps and returns real tokens done."
    history = leave_last_out(read_sequences(*fetch(args.dataset).values())).history("valid")
    torch.manual_seed(0)
    peer = Peers(history.n_classes, 1)[0].train()
    tight = Instances(copies=1, max_tokens=args.max_tokens)
    how = {"padded, plain": Instances(copies=1, batch=args.batch), "padded, fused": Instances(copies=1, batch=args.batch),
           "like lengths": tight, COMPILED: tight, "random crops": Instances(copies=1, crops=1, max_tokens=args.max_tokens)}[name]
    model, loss = (PlainPeer(peer, .1), plain_loss) if name == "padded, plain" else (peer, our_loss)
    if name == COMPILED: model = torch.compile(peer, dynamic=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rng, queue = np.random.default_rng(0), []

    def run(steps):
        tokens = 0
        for _ in range(steps):
            if not queue:
                queue.extend(how.epoch(history, rng))
                rng.shuffle(queue)
            batch = queue.pop()
            if name.startswith("padded"): batch = padded(batch, 200)
            optimizer.zero_grad()
            loss(model, batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.)
            optimizer.step()
            tokens += int((batch[0] != 0).sum())
        return tokens
    return run, peer, history


COMPILED = "like lengths, compiled"
WAYS = ("padded, plain", "padded, fused", "like lengths", "random crops")


def peak(name, args):
    "Peak memory of a process of its own that takes a few steps this way, in MB."
    done = subprocess.run([sys.executable, __file__, "--only", name, "--dataset", args.dataset, "--batch", str(args.batch),
                           "--max-tokens", str(args.max_tokens)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="chi18", choices=("nyc16", "chi18"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=64, help="windows in a padded batch")
    parser.add_argument("--max-tokens", type=int, default=8000)
    parser.add_argument("--compile", action="store_true", help="a row with torch.compile too")
    parser.add_argument("--only", choices=(*WAYS, COMPILED), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        one_way(args.only, args)[0](4)
        # not ru_maxrss: on Linux a new process inherits that of the one that started it
        print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
        return
    chosen = (*WAYS, COMPILED) if args.compile else WAYS
    ways = {name: one_way(name, args) for name in chosen}
    _, peer, history = ways["like lengths"]
    few_holes = Instances(copies=1, max_tokens=args.max_tokens, mask_rate=.1)      # never more holes than slots
    loss = check_equal_loss(peer, few_holes.epoch(history, np.random.default_rng(0))[:8])
    cut = windows(history)
    print(f"{args.dataset}: {len(cut)} windows, {cut.length.sum():,} events, {cut.length.sum()/len(cut)/200:.0%} of the padded tokens; {torch.get_num_threads()} threads")
    print(f"equal loss asserted: {loss:.4f} in all three ways on the same windows, holes and weights")
    rates = {name: [] for name in chosen}
    for r in range(args.rounds + 1):
        for name, (run, *_) in ways.items():
            began = time.perf_counter()
            tokens = run(args.steps)
            if r: rates[name].append(tokens / (time.perf_counter() - began))       # the first round warms up
    print(f"{'':24s}{'events a second':>18s}{'min':>9s}{'max':>9s}{'ratio':>8s}{'peak MB':>9s}")
    base = rates["padded, plain"]
    for name, r in rates.items():
        ratio = statistics.median(a/b for a, b in zip(r, base))
        print(f"{name:24s}{statistics.median(r):18,.0f}{min(r):9,.0f}{max(r):9,.0f}{ratio:7.1f}x{peak(name, args):9d}")


if __name__ == "__main__":
    try: main()
    except InputError as error: sys.exit(f"training.py: {error}")
