"""Every network trained, asked, saved and resumed on a device that is not the CPU: a made-up one where there is no GPU, and the GPU where there is one."""
import os
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from devices import DEVICES, NAME, begin, built, waits

from crimenb import city
from crimenb.baselines.sequence_networks import MODELS
from crimenb.cloze import Instances
from crimenb.core import InputError
from crimenb.distributed import launch
from crimenb.grids import Grid, HourlyMaps
from crimenb.models import catalogue, load
from crimenb.panels import Features, Panel, category_groups, city_places
from crimenb.papers import crimealarm, parallel, stresnet
from crimenb.sequences import from_events
from crimenb.views import Split
from crimenb import training
from crimenb.training import load_checkpoint, seeded, train

# of the made-up device: the CPU's own kernel makes its scratch space anew
pytestmark = pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")

NEXT = {**MODELS, "DML": crimealarm.DML, "DKD": crimealarm.DKD, "CrimeAlarm": crimealarm.CrimeAlarm}


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    if request.param == NAME:
        library = built()
        if not library: pytest.skip("no C++ compiler: the made-up device can not be built, and there is no GPU to test on")
        begin(library)
    return request.param


@pytest.fixture(scope="module")
def events(): return city.simulate(2000, 30)


def near(a, b, device, rough=1.):
    "Sums on a GPU have another order; the made-up device has the CPU's kernels."
    how = dict(rtol=.02, atol=1e-3) if device == "cuda" else dict(rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=how["rtol"]*rough, atol=how["atol"]*rough)


def test_the_device_refuses_what_a_gpu_refuses_and_counts_waits(device):
    if device != NAME: return
    here, there = torch.ones(3, device=device), torch.ones(3)
    for wrong in (lambda: here + there, lambda: torch.cat([here, there]), lambda: here[torch.tensor([0])], lambda: torch.nn.functional.linear(here, there[None])):
        with pytest.raises(RuntimeError, match="mixes|same device"): wrong()
    waits()
    assert (here*2 + torch.tensor(1.)).sum().item() == 9 and waits() == 1
    here.nonzero(), here.cpu()
    assert waits() == 2


@pytest.mark.parametrize("name", NEXT)
def test_networks_of_the_next_event_learn_the_same_and_wait_once_an_epoch(name, device, events):
    view = from_events(events[0])
    parts = view.split("last")
    def fitted(device):
        model = NEXT[name](epochs=2, d=16, evaluations=1, instances=Instances(length=20, stride=10, crops=1, copies=1, batch=64))
        return model.fit(view, parts.train, device=device)
    fitted(device) if device == "cuda" else waits()
    there = fitted(device)
    if device == NAME: assert waits() == 2 and there.log_.steps.iloc[-1] > 2
    here = fitted("cpu")
    near(there.log_.loss, here.log_.loss, device)
    near(there.predict(view, parts.test), here.predict(view, parts.test), device)


@cache
def weeks():
    events, truth = city.simulate(3000, days=140, seed=5, start="2018-01-01", n_areas=9, n_premises=5)
    return Panel.from_events(events, group=category_groups(events["category"].cat.categories), places=city_places(truth), end="2018-05-21")


@cache
def hours():
    events, truth = city.simulate(5000, days=42, seed=5)
    return HourlyMaps.from_events(events, Grid.of(truth, 3, 4), end=truth.start + pd.Timedelta(days=42), holidays="US")


@pytest.mark.parametrize("task", ["counts", "levels"])
@pytest.mark.parametrize("name", parallel.MODELS)
def test_networks_of_weekly_areas_learn_the_same(name, task, device, tmp_path):
    view = weeks()
    parts = view.split()
    there, here = (catalogue("Panel")[name](task, epochs=3, units=8, evaluations=2, device=d).fit(view, parts.train, parts.valid) for d in (device, "cpu"))
    near(there.log_.loss, here.log_.loss, device)
    at = np.arange(parts.test.start, parts.test.start + 2)
    near(there.predict(view, at), here.predict(view, at), device)
    there.save(tmp_path / "model.crimenb")
    near(load(tmp_path / "model.crimenb").predict(view, at), here.predict(view, at), device)


SMALL = dict(filters=4, residual_units=1, epochs=1, checks=1)
MAPS = {"ST-ResNet, sound": SMALL | dict(extra_epochs=1), "ternary ST-ResNet, sound": SMALL | dict(extra_epochs=0, resolution="none"), "ST-ResNet, Poisson": SMALL | dict(extra_epochs=0),
        "Poisson regression + ST-ResNet": SMALL, "Poisson regression + recurrent": dict(epochs=1, hidden=4), "Poisson regression + graph": dict(epochs=1, hidden=4)}

@pytest.mark.parametrize("name", MAPS)
def test_networks_of_hourly_maps_learn_the_same(name, device, tmp_path):
    view = hours()
    train_, valid = slice(0, 840), slice(840, 912)
    there, here = (catalogue("HourlyMaps")[name](**MAPS[name], device=d).fit(view, train_, valid) for d in (device, "cpu"))
    near(there.log_.loss, here.log_.loss, device)
    at, said = np.arange(920, 930), there.predict(view, np.arange(920, 930))
    # of a shadow weight at the border the last bit decides whether the ternary one is 0
    near(said, here.predict(view, at), device, rough=1000. if "ternary" in name else 1.)
    there.save(tmp_path / "model.crimenb")
    near(load(tmp_path / "model.crimenb").predict(view, at), said, device)


def test_a_ternary_step_waits_for_nothing(device):
    if device != NAME: return
    with seeded(0): model = stresnet.TernarySTResNet(filters=4, size=(4, 4), residual_units=1).to(device)
    x, external = torch.rand(2, 9, 4, 4).to(device), torch.rand(2, 5).to(device)
    waits()
    model(x, external).square().mean().backward()
    assert waits() == 0


@pytest.mark.parametrize("packing", stresnet.PACKINGS)
def test_a_packed_network_answers_on_the_device(packing, device):
    with seeded(0): model = stresnet.TernarySTResNet(filters=8, size=(4, 4), residual_units=1).eval()
    x, external = torch.rand(2, 9, 4, 4), torch.rand(2, 5)
    packed = stresnet.PackedSTResNet(model, packing)
    expected = packed(x, external).detach()
    near(packed.to(device)(x.to(device), external.to(device)).detach().cpu(), expected, device)
    # and one that is packed there
    near(stresnet.PackedSTResNet(model.to(device), packing).to(device)(x.to(device), external.to(device)).detach().cpu(), expected, device)


def line(where, path=None, **how):
    with seeded(0): model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Dropout(.2), torch.nn.Linear(4, 1))
    x = torch.linspace(-1, 1, 32).view(16, 2)
    def loss(m, i, t): return (m(x[i].to(where)) - x[i].sum(1, keepdim=True).to(where)).square().mean()
    log = train(model, lambda epoch, rng: list(torch.from_numpy(rng.permutation(16)).split(4)), loss, 6, device=where, checkpoint=path,
                evaluate=lambda m: {"s": -m(x.to(where)).square().mean()}, select="s", **how)
    return model.cpu(), log


def test_a_run_goes_on_on_another_device_and_back(device, tmp_path):
    path = tmp_path / "run.pt"
    whole, log = line("cpu")
    line("cpu", path, max_steps=8)
    assert load_checkpoint(path)["epoch"] == 2
    line(device, path, max_steps=16, precision="auto")
    assert load_checkpoint(path)["epoch"] == 4 and load_checkpoint(path)["precisions"][0] == "float32"
    again, log2 = line("cpu", path)
    if device == NAME:
        assert log2.loss.tolist() == pytest.approx(log.loss.tolist(), rel=1e-5)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(again.parameters(), whole.parameters()))
    assert log2.epoch.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_result_says_what_computed(device, monkeypatch):
    monkeypatch.setattr(training, "_COMPUTED", {"device": [], "precision": [], "not repeatable": []})
    assert training.computed() == {} and training.describe_device().startswith("cpu")
    line(device)
    assert training.describe_device().startswith(device) and training.computed()["precision"] == ["float32"]
    line("cpu")
    assert training.describe_device().split("; ")[1].startswith("cpu")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    counts = np.random.default_rng(0).poisson(2, (16, 6, 2)).astype(float)
    weeks = pd.date_range("2018-01-01", periods=16, freq="W-MON")
    panel = Panel(counts, weeks, list("abcdef"), ["violent", "property"], -np.arange(6)*.1, np.zeros(6), np.ones(6))
    parts, path = Split(slice(0, 13), slice(13, 13), slice(13, 16)), tmp_path_factory.mktemp("work") / "cases.pt"
    around = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    parallel.save_workload(path, Features(panel, parts.train), parts, around, lon=panel.lon, regions=2)
    return path


@pytest.mark.parametrize("name", parallel.MODELS)
@pytest.mark.parametrize("way", ["single", "2 threads", "2 workers"])
def test_ways_of_training_in_one_process(name, way, device, work):
    logs = [parallel.train_in_a_way(parallel.Workload(name, work, 16), way, 2, d) for d in (device, "cpu")]
    near(logs[0].loss, logs[1].loss, device)


IN_TWO = """
import sys
sys.path.insert(0, {tests!r})
from devices import NAME, begin, built
from crimenb.papers import parallel

def do(path, devices, ways):
    if NAME in devices: begin(built())
    return [{{f"{{name}}, {{way}}": (parallel.train_in_a_way(work := parallel.Workload(name, path, 16), way, 2, device).loss.tolist(), work.scores(work.model)[0]["value"])
             for name in parallel.MODELS for way in ways}} for device in devices]
"""

def test_two_processes_share_a_device(device, work, tmp_path):
    job = tmp_path / "job.py"
    job.write_text(IN_TWO.format(tests=os.path.dirname(__file__)))
    # gradients of DistributedDataParallel are sent by gloo itself, which knows GPUs and not what is made up
    ways = ["pipeline", "federated regions", "federated areas", *(["data parallel"] if device == "cuda" else [])]
    there, here = launch(f"{job}:do", dict(path=str(work), devices=[device, "cpu"], ways=ways))[0]
    for key in here:
        near(there[key][0], here[key][0], device)
        near(there[key][1], here[key][1], device)
