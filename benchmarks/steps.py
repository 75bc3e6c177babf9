"""Training steps a processor second of each kind of network, with one thing changed at a time, at equal losses.

Ways take turns in one process, so that a busy machine slows all of them; what is compared is the processor time of a round, and the
ratio is the median over rounds of (as it was / changed). A change is kept where its ratio is clear of 1. Written to steps.json.

    python benchmarks/steps.py [--rounds 7] [--write]
"""
import argparse
import functools
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from crimenb import training
from crimenb.cloze import Instances
from crimenb.geo import knn_graph
from crimenb.papers import crimealarm, parallel, stresnet
from crimenb.sequences import read_sequences
from crimenb.sources import fetch

PLAIN = torch.optim.AdamW


def crime_alarm():
    view = read_sequences(*fetch("chi18").values())
    model = crimealarm.CrimeAlarm(instances=Instances(crops=1, copies=1, max_tokens=2000))
    model.schema_ = view.schema()
    network, batches, loss = model.task(view.drop_last(2), torch.device("cpu"))
    return network, batches(0, np.random.default_rng(0))[:8], loss


def st_resnet(kind=stresnet.STResNet):
    with training.seeded(0):
        network = kind(16, size=(32, 32)).to(memory_format=torch.channels_last)
        batch = torch.rand(16, 9, 32, 32).contiguous(memory_format=torch.channels_last), torch.rand(16, 5), torch.rand(16, 1, 32, 32)
    return network, [batch]*3, lambda net, b, t: (net(*b[:2]) - b[2]).square().mean()


def dnn():
    with training.seeded(0): network, batch = parallel.DNN(60, 5), (torch.randn(128, 60), torch.randint(0, 5, (128,)))
    return network, [batch]*150, lambda net, b, t: torch.nn.functional.cross_entropy(net(b[0]), b[1])


def gat_tcn():
    rng = np.random.default_rng(0)
    graph = torch.as_tensor(knn_graph(rng.random(77), rng.random(77), 4))
    with training.seeded(0): network, batch = parallel.GATTCN(12, 5, graph, 4), (torch.randn(2, 4, 77, 12), torch.randint(0, 5, (2, 77)))
    return network, [batch]*30, lambda net, b, t: torch.nn.functional.cross_entropy(net(b[0]).flatten(0, 1), b[1].flatten())


NETWORKS = {"CrimeAlarm, chi18": crime_alarm, "ST-ResNet, 16 filters": st_resnet, "ternary ST-ResNet, 16 filters": functools.partial(st_resnet, stresnet.TernarySTResNet),
            "DNN, 3 of 128": dnn, "GAT+TCN, 77 areas": gat_tcn}
WAYS = {"one kernel a weight": {"fused": False, "foreach": False}, "fused": {"fused": True}}


def one_round(make, how):
    "(processor seconds, last loss) of an epoch of the same batches from the same start."
    network, batches, loss = make
    start = {k: v.clone() for k, v in network.state_dict().items()}
    torch.optim.AdamW = functools.partial(PLAIN, **how)
    began = time.process_time()
    log = training.train(network, lambda epoch, rng: batches, loss, 1, device="cpu")
    seconds = time.process_time() - began
    torch.optim.AdamW = PLAIN
    network.load_state_dict(start)
    return seconds, float(log.loss.iloc[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write steps.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name, made in NETWORKS.items():
        make, took = made(), {way: [] for way in WAYS}
        for r in range(args.rounds + 1):
            said = {way: one_round(make, how) for way, how in WAYS.items()}
            losses = [loss for _, loss in said.values()]
            assert np.allclose(losses, losses[0], rtol=1e-4), (name, losses)
            # the first round warms up
            if r: [took[way].append(seconds) for way, (seconds, _) in said.items()]
        first, *others = WAYS
        found[name] = {"steps a processor second, " + first: round(len(make[1])/statistics.median(took[first]), 2)}
        for way in others:
            ratios = [a/b for a, b in zip(took[first], took[way])]
            found[name][way] = {"ratio": round(statistics.median(ratios), 3), "from": round(min(ratios), 3), "to": round(max(ratios), 3)}
        print(name, json.dumps(found[name]), flush=True)
    if args.write: Path(__file__).with_suffix(".json").write_text(json.dumps({"threads": 1, "rounds": args.rounds, "ratio": "as it was / changed, processor time", "networks": found}, indent=1) + "\n")


if __name__ == "__main__": main()
