"""BERT4Rec's training step: RecBole's and ours, on the same windows, at equal size of network, batch and length.

    python benchmarks/recbole_comparison.py [--dataset chi18] [--rounds 3] [--steps 4] [--batch 32] [--save FILE.json]

RecBole 1.2.1 does not work with today's NumPy and setuptools: the first run makes an environment of its own for it below
--environments (about 1.6 GB, from the ordinary package index), with the same PyTorch as here.

RecBole reads the sequences with its own pipeline (every event with the up to 200 before it is a training case), masks them and
takes its own step: `calculate_loss`, backward, Adam. The windows of its first batches are written down, and ours takes the same:

  RecBole               BERT4Rec as shipped: every position through both layers, attention written out with dropout on its weights,
                        40 prediction slots a window through the head, filled or not
  ours, same batches    the same windows in the same batches, masked anew; fused attention, the last layer and the head only at the holes
  ours, like lengths    the same windows in batches of like lengths, as many tokens in a batch: what this library does

Both have two layers, two heads, width 64, 256 inside, dropout .1, a mask rate of .2 and cross-entropy over all classes. Events are
counted without padding. Seconds are processor seconds on one thread, so that neighbours on a busy machine do not count. Peak memory
is that of the process that trains (from /proc: Linux), PyTorch, all libraries and RecBole's table of cases included. The order is
RecBole, ours, ours, RecBole, ours, ours, …: each in a fresh process, the first two steps not timed. What --save wrote for chi18 is
in benchmarks/results.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PINNED = ("recbole==1.2.1", "numpy<2", "pandas<2.3", "scipy<1.16", "setuptools<81")
WARM = 2      # steps that are not timed


def environment(folder):
    "The Python of an environment with RecBole in it; made if it isn't there."
    import torch
    home = Path(folder).expanduser() / "recbole-1.2.1"
    python, done = home / "bin/python", home / "complete"
    if not done.exists():
        print(f"making an environment for RecBole in {home}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"torch=={torch.__version__.split('+')[0]}", *PINNED], check=True)
        done.touch()
    return python


def peak_mb():
    "Peak resident memory of this process; not ru_maxrss, which a new process inherits on Linux."
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))


def timed(steps, step):
    "Processor seconds of each of `steps` calls after the warm ones."
    seconds = []
    for i in range(WARM + steps):
        began = time.process_time()
        step(i)
        seconds.append(time.process_time() - began)
    return seconds[WARM:]


def recbole(args):
    "In RecBole's environment: train, and leave the windows of each step in --windows."
    import numpy as np
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, init_seed
    config = Config(model="BERT4Rec", dataset="spots", config_dict={
        "data_path": args.data, "USER_ID_FIELD": "spot", "ITEM_ID_FIELD": "event", "TIME_FIELD": "step", "ITEM_LIST_LENGTH_FIELD": "item_length",
        "load_col": {"inter": ["spot", "event", "step"]}, "LIST_SUFFIX": "_list", "MAX_ITEM_LIST_LENGTH": 200,
        "n_layers": 2, "n_heads": 2, "hidden_size": 64, "inner_size": 256, "hidden_dropout_prob": .1, "attn_dropout_prob": .1, "hidden_act": "gelu",
        "mask_ratio": .2, "loss_type": "CE", "train_neg_sample_args": None, "train_batch_size": args.batch, "learning_rate": 1e-3, "seed": 0,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
        "use_gpu": False, "show_progress": False, "state": "ERROR", "reproducibility": True})
    init_seed(0, True)
    torch.set_num_threads(1)
    dataset = create_dataset(config)
    train_data, *_ = data_preparation(config, dataset)
    model = get_model("BERT4Rec")(config, train_data.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    batches, kept = iter(train_data), []

    def step(i):
        batch = next(batches)
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        optimizer.step()
        kept.append(batch["event_list"].numpy())

    seconds = timed(args.steps, step)
    np.savez(args.windows, windows=np.stack(kept), n_classes=dataset.item_num - 1)
    size = sum(p.numel() for p in model.parameters())
    print(json.dumps({"seconds": seconds, "events": [int((w != 0).sum()) for w in kept[WARM:]], "peak": peak_mb(), "weights": size, "cases": len(train_data.dataset)}))


def ours(args):
    "The same windows, in the same batches or in those of like lengths."
    import numpy as np
    import torch
    from crimenb.cloze import Peers, cloze
    from crimenb.papers.crimealarm import peer_cross_entropy
    from crimenb.sequences import token_batches
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, kept = np.random.default_rng(0), np.load(args.windows)
    windows, n_classes = torch.from_numpy(kept["windows"]).long(), int(kept["n_classes"])
    if args.only == "like":
        flat, n = windows.flatten(0, 1), (windows != 0).sum(2).flatten().numpy()
        groups = token_batches(n, args.batch*200, rng)
        batches = [flat[i, :n[i].max()] for i in groups]
    else: batches = list(windows)
    model = Peers(n_classes, 1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.)
    events = []

    def step(i):
        tokens, at, y = cloze(batches[i % len(batches)], n_classes + 1, rng, last_only=0.)
        optimizer.zero_grad()
        peer_cross_entropy(model(tokens, at), y).backward()
        optimizer.step()
        events.append(int((tokens != 0).sum()))

    seconds = timed(args.steps, step)
    print(json.dumps({"seconds": seconds, "events": events[WARM:], "peak": peak_mb(), "weights": sum(p.numel() for p in model.parameters())}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="chi18", choices=("nyc16", "chi18"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32, help="windows in a batch")
    parser.add_argument("--environments", default=Path(tempfile.gettempdir()) / "crimenb-benchmarks", help="folder for RecBole's environment")
    parser.add_argument("--save", help="write the numbers to this JSON file")
    parser.add_argument("--only", choices=("recbole", "same", "like"), help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--windows", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only: return recbole(args) if args.only == "recbole" else ours(args)
    import torch
    from crimenb.sources import fetch
    theirs = environment(args.environments)
    with tempfile.TemporaryDirectory() as folder:
        inter = Path(folder, "spots/spots.inter")
        inter.parent.mkdir()
        pairs = [line.split() for line in next(iter(fetch(args.dataset).values())).read_text().splitlines() if line.strip()]
        inter.write_text("spot:token\tevent:token\tstep:float\n" + "".join(f"{spot}\t{event}\t{i}\n" for i, (spot, event) in enumerate(pairs)))
        ways = {"RecBole": (theirs, "recbole"), "ours, same batches": (sys.executable, "same"), "ours, like lengths": (sys.executable, "like")}
        found = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, (python, only) in ways.items():
                command = [python, os.path.abspath(__file__), "--only", only, "--data", folder, "--windows", f"{folder}/windows.npz",
                           "--steps", str(args.steps), "--batch", str(args.batch)]
                env = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "OMP_NUM_THREADS": "1"}
                # RecBole writes its logs where it runs
                done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
                if done.returncode: sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
                found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
    rate = {name: [sum(r["events"]) / sum(r["seconds"]) for r in runs] for name, runs in found.items()}
    rows = [dict(way=name, events_a_second=round(statistics.median(rate[name])), low=round(min(rate[name])), high=round(max(rate[name])),
                 steps_a_second=round(statistics.median(len(r["seconds"]) / sum(r["seconds"]) for r in runs), 2),
                 times_recbole=round(statistics.median(a / b for a, b in zip(rate[name], rate["RecBole"])), 2),
                 peak_mb=max(r["peak"] for r in runs), weights=runs[0]["weights"]) for name, runs in found.items()]
    print(f"{args.dataset}, batches of {args.batch} windows of up to 200 events, one thread, PyTorch {torch.__version__}; {args.rounds} rounds of {args.steps} steps")
    print(f"RecBole makes {found['RecBole'][0]['cases']:,} cases of them an epoch")
    print(f"{'':22s}{'events/s':>10s}{'min':>8s}{'max':>8s}{'steps/s':>9s}{'ratio':>7s}{'peak MB':>9s}{'weights':>9s}")
    for r in rows: print(f"{r['way']:22s}{r['events_a_second']:10,d}{r['low']:8,d}{r['high']:8,d}{r['steps_a_second']:9.2f}{r['times_recbole']:6.1f}x{r['peak_mb']:9,d}{r['weights']:9,d}")
    if args.save: Path(args.save).write_text(json.dumps({"dataset": args.dataset, "batch": args.batch, "torch": torch.__version__, "rounds": args.rounds,
                                                         "steps": args.steps, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__": main()
