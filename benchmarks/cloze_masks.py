"""What it does to a Transformer whether a fifth of each window is hidden exactly (HAIL) or by chance.

    python benchmarks/cloze_masks.py [--dataset chi18] [--epochs 12] [--seeds 2] [--save FILE.json]

The same windows, batches and number of steps for both; validation and test scores of the epoch that is best on validation, as in
the study `crimealarm` at its profile `cpu`. One thread. Beside it how often each leaves a window with its last event alone.
"""
import argparse
import json

import numpy as np
import torch

from crimenb.baselines.sequence_networks import TransformerModel
from crimenb.cloze import MASKS, Instances
from crimenb.core import write_atomic
from crimenb.metrics import paired_interval
from crimenb.next_class import case_scores, questions
from crimenb.sequences import PROTOCOLS, read_sequences
from crimenb.sources import fetch


def holes(instances, history):
    "Mean number of holes in windows of 3 to 5 events, and the share of windows in which only the last event is hidden, in one epoch."
    mask, few, alone, windows = history.n_classes + 1, [], 0, 0
    for tokens, *_ in instances.epoch(history, np.random.default_rng(0)):
        length, hidden = (tokens != 0).sum(1).numpy(), (tokens == mask).sum(1).numpy()
        few.append(hidden[(length >= 3) & (length <= 5)])
        last = tokens[torch.arange(len(tokens)), torch.from_numpy(length) - 1].numpy() == mask
        alone, windows = alone + int(((hidden == 1) & last).sum()), windows + len(tokens)
    return {"holes in windows of 3 to 5": round(float(np.concatenate(few).mean()), 3), "only the last": round(alone/windows, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="chi18", choices=("nyc16", "chi18"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--save", help="write the numbers to this JSON file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seqs = read_sequences(fetch(args.dataset)[f"{args.dataset}.txt"])
    parts = seqs.split("last")
    asked = questions(seqs, parts.test, PROTOCOLS)
    how = dict(epochs=args.epochs, lr=.002, init_std=.1, evaluations=min(4, args.epochs), training={"weight_decay": .01, "clip": 5})
    rows, each = [], {}
    for seed in range(args.seeds):
        for masks in MASKS:
            instances = Instances(crops=1, copies=1, max_tokens=2000, last_only=.0909, masks=masks)
            model = TransformerModel(seed=seed, instances=instances, **how).fit(seqs, parts.train, parts.valid, device="cpu")
            expected = model.predict(seqs, parts.test)
            for protocol in PROTOCOLS:
                each[masks, protocol, seed] = case_scores(expected, asked, protocol)["NDCG@5"].to_numpy()
                rows.append({"masks": masks, "seed": seed, "protocol": protocol, "NDCG@5": round(float(each[masks, protocol, seed].mean()), 4)})
                print(rows[-1], flush=True)
    differences = []
    for protocol in PROTOCOLS:
        of = {masks: np.mean([each[masks, protocol, seed] for seed in range(args.seeds)], 0) for masks in MASKS}
        value, low, high = paired_interval(of["exact"], of["chance"])
        differences.append({"protocol": protocol, "exact less chance": round(value, 4), "low": round(low, 4), "high": round(high, 4)})
    windows = {masks: holes(Instances(crops=1, copies=1, max_tokens=2000, masks=masks), seqs.until(parts.train)) for masks in MASKS}
    found = {"dataset": args.dataset, "epochs": args.epochs, "seeds": args.seeds, "torch": torch.__version__, "windows": windows, "rows": rows, "differences": differences}
    print(json.dumps({"windows": windows, "differences": differences}, indent=1))
    if args.save: write_atomic(args.save, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__": main()
