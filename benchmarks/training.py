"""Training throughput: windows padded to their full length against batches of like lengths, at equal loss.

Five ways to take gradient steps with the same network, run in turn in one process:

  padded, plain        every window padded to 200; attention as three products with dropout on its weights; as many prediction
                       slots a window as the longest needs, filled or not: the way of BERT4Rec's published code, which HAIL follows
  padded, fused        the same batches; fused attention, only real holes through the head
  like lengths, whole  windows of like lengths together, at most --max-tokens tokens; every position through every layer
  like lengths         the same, the last layer at the holes only: what this library does
  random crops         the same with one random window a spot (the cpu profile): other data, so its rate is not like for like

With --ideas also what was tried and not kept: bfloat16, torch.compile, and two peers in one forward by vmap beside two peers one
after the other. (Compiling takes minutes.)

Tokens are real events, padding not counted. Seconds are processor seconds on one thread, so that neighbours on a busy machine
do not count. Equal loss: the first four are given the same windows, holes and weights with dropout off and must agree on the
summed loss; that is asserted before anything is timed.

    python benchmarks/training.py [--dataset chi18] [--rounds 5] [--steps 6] [--ideas]      (Linux: memory is read from /proc)
"""
import argparse
import copy
import contextlib
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from crimenb.core import InputError
from crimenb.cloze import Instances, Peers
from crimenb.sequences import read_sequences, windows
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


class WholePeer(torch.nn.Module):
    "A `NextEvent` whose last layer is computed at every position."
    def __init__(self, peer):
        super().__init__()
        self.peer = peer

    def forward(self, tokens, at):
        p = self.peer
        hidden = p.encoder(p.embedding(tokens), tokens != 0).flatten(0, 1)[at]
        return F.linear(p.norm(F.gelu(p.dense(hidden))), p.embedding.weight[1:p.n_classes + 1], p.bias)


class TwoPeers(torch.nn.Module):
    "Two peers: one after the other, or stacked into one call. Logits (2, M, C)."
    def __init__(self, peers, stacked):
        super().__init__()
        self.peers = peers if not stacked else None
        if not stacked: return
        stack, _ = torch.func.stack_module_state([WholePeer(p) for p in peers])
        self.names, self.stack = list(stack), torch.nn.ParameterList(stack.values())
        shape = copy.deepcopy(WholePeer(peers[0])).to("meta")
        self.call = torch.func.vmap(lambda w, tokens, at: torch.func.functional_call(shape, w, (tokens, at)), in_dims=(0, None, None), randomness="different")

    def forward(self, tokens, at):
        return self.peers(tokens, at) if self.peers else self.call(dict(zip(self.names, self.stack)), tokens, at)


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


def our_loss(model, batch):
    z = model(*batch[:2]).float()
    return F.cross_entropy(z.flatten(0, -2), batch[2] if z.dim() == 2 else batch[2].repeat(len(z)))


def padded(batch, length):
    "The same batch, padded to `length`."
    tokens, at, y, slots = batch
    L = tokens.shape[1]
    return F.pad(tokens, (0, length - L)), at // L * length + at % L, y, slots


def check_equal_loss(peer, batches):
    "Summed loss of the same windows and holes in four ways, dropout off."
    peer.eval()
    plain, whole = PlainPeer(peer, 0.).eval(), WholePeer(peer).eval()
    with torch.no_grad():
        sums = np.zeros(4)
        for batch in batches:
            at_most = np.bincount((batch[1] // batch[0].shape[1]).numpy()).max()
            assert at_most <= SLOTS, "a window has more holes than slots"
            wide = padded(batch, 200)
            sums += [loss(model, b).item()*len(batch[2]) for loss, model, b in
                     ((plain_loss, plain, wide), (our_loss, whole, wide), (our_loss, whole, batch), (our_loss, peer, batch))]
    peer.train()
    assert np.allclose(sums, sums[0], rtol=1e-5), sums
    return sums[0] / sum(len(b[2]) for b in batches)


def one_way(name, args):
    "Set up one way: a function that takes `steps` optimiser steps and returns real tokens done."
    history = read_sequences(*fetch(args.dataset).values()).drop_last(2)
    torch.manual_seed(0)
    peers = Peers(history.n_classes, 2).train()
    peer = peers[0]
    how = Instances(copies=1, crops=int(name == "random crops"), **({"batch": args.batch} if name.startswith("padded") else {"max_tokens": args.max_tokens}))
    loss = plain_loss if name == "padded, plain" else our_loss
    if name == "padded, plain": model = PlainPeer(peer, .1)
    elif name in ("padded, fused", "like lengths, whole"): model = WholePeer(peer)
    elif name == "compiled": model = torch.compile(peer, dynamic=True)
    elif name.startswith("two peers"): model = TwoPeers(peers, "stacked" in name)
    else: model = peer
    precision = torch.autocast("cpu", torch.bfloat16) if name == "bfloat16" else contextlib.nullcontext()
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
            with precision: value = loss(model, batch)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.)
            optimizer.step()
            tokens += int((batch[0] != 0).sum())
        return tokens
    return run, peer, history


WAYS = ("padded, plain", "padded, fused", "like lengths, whole", "like lengths", "random crops")
IDEAS = ("bfloat16", "compiled", "two peers in turn", "two peers stacked")


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
    parser.add_argument("--ideas", action="store_true", help="what was tried and not kept, too")
    parser.add_argument("--only", choices=WAYS + IDEAS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.only:
        one_way(args.only, args)[0](4)
        # not ru_maxrss: on Linux a new process inherits that of the one that started it
        print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
        return
    chosen = WAYS + IDEAS if args.ideas else WAYS
    ways = {name: one_way(name, args) for name in chosen}
    _, peer, history = ways["like lengths"]
    few_holes = Instances(copies=1, max_tokens=args.max_tokens, mask_rate=.1)      # never more holes than slots
    loss = check_equal_loss(peer, few_holes.epoch(history, np.random.default_rng(0))[:8])
    cut = windows(history)
    print(f"{args.dataset}: {len(cut)} windows, {cut.length.sum():,} events, {cut.length.sum()/len(cut)/200:.0%} of the padded tokens; one thread")
    print(f"equal loss asserted: {loss:.4f} in four ways on the same windows, holes and weights")
    rates = {name: [] for name in chosen}
    for r in range(args.rounds + 1):
        for name, (run, *_) in ways.items():
            began = time.process_time()
            tokens = run(args.steps)
            if r: rates[name].append(tokens / (time.process_time() - began))       # the first round warms up
    print(f"{'':24s}{'events a second':>18s}{'min':>9s}{'max':>9s}{'ratio':>8s}{'peak MB':>9s}")
    base = rates["padded, plain"]
    for name, r in rates.items():
        ratio = statistics.median(a/b for a, b in zip(r, base))
        print(f"{name:24s}{statistics.median(r):18,.0f}{min(r):9,.0f}{max(r):9,.0f}{ratio:7.1f}x{peak(name, args):9d}")


if __name__ == "__main__":
    try: main()
    except InputError as error: sys.exit(f"training.py: {error}")
