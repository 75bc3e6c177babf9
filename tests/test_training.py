"""The training loop of the installed package: resume after a real kill, selection, schedules, broken checkpoints."""
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb.core import InputError
from crimenb import training
from crimenb.training import best_device, describe_device, learning_rate, load_checkpoint, log_to, precision_on, save_checkpoint, seeded, train

SCRIPT = """
    import sys, time
    import torch
    from crimenb.training import seeded, train
    path, out, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with seeded(5): model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(.5), torch.nn.Linear(8, 1))
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    def batches(epoch, rng):
        time.sleep(pause)
        return [rng.permutation(64)[:16] for _ in range(4)]
    def loss(model, i, t): return (model(x[i]) - x[i].sum(1, keepdim=True)).square().mean()
    log = train(model, batches, loss, epochs=40, lr=.01, device="cpu", clip=1., warmup=.1, weight_decay=.01,
                checkpoint=path, evaluate=lambda m: {"score": -m(x).square().mean().item()}, select="score")
    torch.save({"model": model.state_dict(), "loss": log.loss.tolist()}, out)
"""


def start(folder, name, pause):
    script = folder / "job.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen([sys.executable, script, folder / f"{name}.ckpt", folder / f"{name}.pt", str(pause)],
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_killed_run_ends_with_the_numbers_of_an_uninterrupted_one(tmp_path):
    whole = start(tmp_path, "whole", 0)
    killed = start(tmp_path, "killed", .1)
    deadline = time.time() + 60
    checkpoint = tmp_path / "killed.ckpt"
    while not (checkpoint.exists() and load_checkpoint(checkpoint)["epoch"] >= 3):
        assert time.time() < deadline, "no checkpoint was written"
        time.sleep(.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and not (tmp_path / "killed.pt").exists()
    assert 3 <= load_checkpoint(checkpoint)["epoch"] < 40
    assert start(tmp_path, "killed", 0).wait() == 0 and whole.wait() == 0
    a, b = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed"))
    assert a["loss"] == b["loss"]
    assert all(torch.equal(a["model"][k], b["model"][k]) for k in a["model"])
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def fit(**kwargs):
    with seeded(0): model = torch.nn.Linear(2, 1)
    x = torch.eye(2)
    log = train(model, lambda epoch, rng: [0, 1, 0], lambda m, i, t: (m(x[i]) - i).square().sum(), device="cpu", **{"epochs": 3, **kwargs})
    return model, log


def test_the_log_has_a_row_an_epoch_and_counts_steps():
    _, log = fit()
    assert log.epoch.tolist() == [1, 2, 3] and log.steps.tolist() == [3, 6, 9] and (log.seconds > 0).all()
    assert log.loss.is_monotonic_decreasing


def test_max_steps_stops_in_the_middle_and_leaves_no_checkpoint_of_half_an_epoch(tmp_path):
    _, log = fit(max_steps=4, checkpoint=tmp_path / "run.pt")
    assert log.steps.iloc[-1] == 4
    assert load_checkpoint(tmp_path / "run.pt")["epoch"] == 1


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    with seeded(0): model = torch.nn.Linear(1, 1)
    def loss(m, i, t): return m(torch.ones(1)).sum() * (float("nan") if t >= .5 else 1.)
    with pytest.raises(FloatingPointError, match="epoch 3"):
        train(model, lambda e, rng: [0], loss, epochs=4, checkpoint=path, device="cpu")
    assert load_checkpoint(path)["epoch"] == 2


@pytest.mark.parametrize("kwargs, says", [
    ({"log": 5}, "log is 5: give a text or a path or a function"), ({"checkpoint": 5}, "checkpoint is 5: give a text or a path"), ({"epochs": 2.5}, "epochs is 2.5: give a whole number"), ({"lr": "fast"}, "lr is 'fast': give a number"),
    ({"adam_eps": [1]}, r"adam_eps is \[1\]: give a number"), ({"clip": "1"}, "clip is '1': give a number"), ({"compile": "no"}, "compile is 'no': give True or False"), ({"evaluate": 3}, "evaluate is 3: give a function"),
    ({"epochs": 0}, "epochs is 0: it must be at least 1"), ({"warmup": 1.}, "warmup is"), ({"evaluate_every": 0}, "evaluate_every is"), ({"precision": "float8"}, "unknown precision 'float8'"), ({"schedule": "cosine"}, "unknown schedule 'cosine'")])
def test_bad_settings_are_named(kwargs, says):
    with pytest.raises(InputError, match=says): fit(**kwargs)


def test_checkpoints_refuse_other_settings_cut_files_and_code(tmp_path):
    path = tmp_path / "run.pt"
    fit(checkpoint=path)
    with pytest.raises(InputError, match="another lr"): fit(checkpoint=path, lr=.5)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a whole checkpoint"): fit(checkpoint=path)
    torch.save({"x": 1}, path)
    with pytest.raises(InputError, match="not a whole checkpoint"): load_checkpoint(path)
    # one that proves itself and holds code
    save_checkpoint(path, {"evil": os.system})
    with pytest.raises(InputError, match="not a checkpoint"): load_checkpoint(path)
    with pytest.raises(InputError, match="no checkpoint"): load_checkpoint(tmp_path / "none.pt")


def test_a_finished_run_is_not_trained_again(tmp_path):
    model, log = fit(checkpoint=tmp_path / "run.pt")
    again, log2 = fit(checkpoint=tmp_path / "run.pt")
    assert torch.equal(model.weight, again.weight) and log.equals(log2)


def test_selection_ignores_epochs_that_are_worse(tmp_path):
    scores = iter([1., 3., 2.])
    best, log = fit(evaluate=lambda m: {"s": np.float64(next(scores))}, select="s", checkpoint=tmp_path / "run.pt")
    assert load_checkpoint(tmp_path / "run.pt")["best"]["epoch"] == 2
    two, _ = fit(max_steps=6)
    assert torch.equal(best.weight, two.weight) and log.s.tolist() == [1., 3., 2.]


def climb(scores, path=None, **kwargs):
    "Train with made-up validation scores, one an evaluation; returns the model and the log."
    def evaluate(m, each=iter(scores)): return {"s": next(each)}
    return fit(epochs=12, evaluate=evaluate, select="s", checkpoint=path, **kwargs)


@given(st.lists(st.integers(0, 5), min_size=12, max_size=12), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_patience_stops_where_so_many_evaluations_brought_nothing_better(scores, patience):
    scores = list(map(float, scores))
    # the naive way: walk on until nothing better has come for so long
    end = next((i for i in range(1, 13) if i - 1 - scores.index(max(scores[:i])) >= patience), 12)
    stopped, log = climb(scores, patience=patience)
    assert log.s.tolist() == scores[:end]
    whole, _ = climb(scores[:end] + [-1.]*12)
    assert torch.equal(stopped.weight, whole.weight)


def test_patience_counts_evaluations_and_not_epochs():
    _, log = climb([1., 3., 2., 0., 4.], patience=2, evaluate_every=2)
    assert log.epoch.iloc[-1] == 8 and log.s.dropna().tolist() == [1., 3., 2., 0.]


@pytest.mark.parametrize("killed_after", [1, 3, 4, 5, 6])
def test_a_run_with_patience_that_was_killed_stops_where_it_would_have_stopped(tmp_path, killed_after):
    scores, path = [1., 5., 2., 3., 2., 1.], tmp_path / "run.pt"
    whole, log = climb(scores, patience=4)
    assert len(log) == 6
    climb(scores, path, patience=4, max_steps=3*killed_after)
    for left in (scores[killed_after:], []):          # the rest; and once more, when there is nothing left to do
        again, log2 = climb(left, path, patience=4)
        assert torch.equal(again.weight, whole.weight) and log2.s.tolist() == scores
    with pytest.raises(InputError, match="another patience"): climb([], path, patience=5)


def test_patience_needs_a_score_to_wait_for():
    for wrong in ({}, {"evaluate": lambda m: {"s": 1.}}, {"select": "s"}):
        with pytest.raises(InputError, match="patience = 2 waits"): fit(patience=2, **wrong)
    with pytest.raises(InputError, match="patience is -1"): fit(patience=-1)


def test_seeded_leaves_the_outer_generators_alone():
    torch.manual_seed(1), np.random.seed(1)
    a = torch.rand(1), np.random.rand()
    torch.manual_seed(1), np.random.seed(1)
    with seeded(9):
        torch.rand(5), np.random.rand(5)
        assert torch.are_deterministic_algorithms_enabled()
    b = torch.rand(1), np.random.rand()
    assert a == b and not torch.are_deterministic_algorithms_enabled()


@given(st.floats(0, 1), st.sampled_from([0., .1, .5]), st.sampled_from(["linear", "constant"]))
def test_the_learning_rate_stays_between_zero_and_its_maximum(t, warmup, schedule):
    assert 0 <= learning_rate(t, 1e-3, schedule, warmup) <= 1e-3 + 1e-12


def test_the_device_is_named():
    assert best_device().type in describe_device(best_device()) and "threads" in describe_device("cpu")


def test_save_checkpoint_overwrites_in_one_step(tmp_path):
    path = save_checkpoint(tmp_path / "a.pt", {"settings": {}, "x": 1})
    with pytest.raises(Exception): save_checkpoint(path, {"x": lambda: 1})       # can't be pickled
    assert load_checkpoint(path)["x"] == 1 and len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_with_one_flipped_bit_or_cut_anywhere_is_refused(tmp_path):
    path, rng = tmp_path / "run.pt", np.random.default_rng(0)
    fit(checkpoint=path)
    whole = path.read_bytes()
    assert load_checkpoint(path)["epoch"] == 3
    for bit in rng.integers(0, 8*len(whole), 100):
        broken = bytearray(whole)
        broken[bit//8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(InputError, match="not a whole checkpoint") as error: load_checkpoint(path)
        assert "\n" not in str(error.value)
    for end in [0, 1, 20, 52, *rng.integers(0, len(whole), 20)]:
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match="not a whole checkpoint"): load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)["epoch"] == 3


def test_a_checkpoint_of_another_precision_is_taken_and_of_another_type_of_weights_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    fit(checkpoint=path, precision="bfloat16", max_steps=6)
    fit(checkpoint=path)
    assert load_checkpoint(path)["precisions"] == ["bfloat16", "float32"]
    state = load_checkpoint(path)
    state["model"] = {k: v.double() for k, v in state["model"].items()}
    save_checkpoint(path, state)
    with pytest.raises(InputError, match="weights of torch.float64"): fit(checkpoint=path)


def test_bfloat16_is_taken_only_where_it_is_computed(monkeypatch):
    cpu = torch.device("cpu")
    for real, auto in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(training, "has_bfloat16", lambda device: real)
        assert precision_on(cpu, "auto") == auto and precision_on(cpu, None) == precision_on(cpu, "float32") == "float32"
    with pytest.raises(InputError, match="only emulate"): fit(precision="bfloat16")


@pytest.mark.parametrize("capability, real", [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_old_gpus_have_no_bfloat16(capability, real, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert training.has_bfloat16(torch.device("cuda")) is real


def test_the_log_is_a_csv_file_or_anything_else(tmp_path):
    rows = []
    _, log = fit(log=tmp_path / "log.csv")
    fit(log=lambda so_far: rows.append(so_far[-1]["epoch"]))
    import pandas as pd
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "log.csv"), log)
    assert rows == [1, 2, 3]
    # a run that goes on has one whole log
    fit(log=tmp_path / "again.csv", checkpoint=tmp_path / "run.pt", max_steps=3)
    fit(log=tmp_path / "again.csv", checkpoint=tmp_path / "run.pt")
    assert pd.read_csv(tmp_path / "again.csv").epoch.tolist() == [1, 2, 3]


@pytest.mark.parametrize("package, module", [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_other_loggers_get_every_number_or_say_what_is_missing(package, module, monkeypatch):
    told = []
    class Writer:
        def __init__(self, place): self.place = place
        def add_scalar(self, name, value, step): told.append((name, step))
        def flush(self): pass
        def __enter__(self): return self
        def __exit__(self, *_): told.append(("ended", None))
        log_metrics = staticmethod(lambda numbers, step: told.extend((name, step) for name in numbers))
        active_run, start_run = staticmethod(lambda: None), staticmethod(lambda run_name: Writer(run_name))
    Writer.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, module, Writer)
    fit(log=f"{package}:there", epochs=2, evaluate=lambda _: {"PAI@5%": 1.}, select="PAI@5%")
    assert {("loss", 1), ("loss", 2), ("lr", 2), ("steps", 2)} <= set(told)
    # MLflow refuses a name with @ or %
    assert ("PAI@5%" if package == "tensorboard" else "PAI_5_", 1) in told
    assert told[-1] == ("ended", None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"{package} is not installed"): fit(log=f"{package}:there")


class Numbers:
    "What MLflow keeps, made up: CONTRIBUTING says with which version of its own it was run."
    def __init__(self): self.runs, self.active = {}, None
    def active_run(self): return self.active
    def start_run(self, run_name):
        self.active, self.runs[run_name] = run_name, []
        return self
    def __enter__(self): return self
    def __exit__(self, kind, *_): self.active = None
    def log_metrics(self, numbers, step):
        if step == 3 and self.active == "third": raise ConnectionError("the server is gone\nand more")
        self.runs[self.active].append(step)


def test_each_training_has_a_run_of_mlflow_of_its_own_or_that_which_is_under_way_and_a_log_that_breaks_costs_no_epoch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlflow", mlflow := Numbers())
    for name in ("first", "second"): fit(log=f"mlflow:{name}")
    assert mlflow.runs == {"first": [1, 2, 3], "second": [1, 2, 3]} and mlflow.active is None
    mlflow.start_run("mine")
    fit(log="mlflow:other", epochs=2)
    assert mlflow.runs["mine"] == [1, 2] and "other" not in mlflow.runs and mlflow.active == "mine"
    mlflow.active = None
    with pytest.raises(InputError, match="can not log to mlflow:third: the server is gone; name a place") as error: fit(log="mlflow:third", checkpoint=tmp_path / "run.pt")
    assert "\n" not in str(error.value) and load_checkpoint(tmp_path / "run.pt")["epoch"] == 3 and mlflow.active is None

def test_a_board_without_a_folder_is_refused_and_not_put_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for where in ("tensorboard", "tensorboard:"):
        with pytest.raises(InputError, match=f"can not log to {where}: it has no folder; name a place"): fit(log=where)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package, module", [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("", "")])
def test_a_place_where_no_log_can_be_written_is_one_sentence_before_anything_trains(package, module, monkeypatch, tmp_path):
    def refused(*_, **__): raise FileNotFoundError(2, "No such file or directory", "/proc/x")
    class Package:
        SummaryWriter = start_run = staticmethod(refused)
        active_run = staticmethod(lambda: None)
    if package: monkeypatch.setitem(sys.modules, module, Package)
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(InputError, match="/proc/x.*; name a place where you may") as error: fit(log=f"{package}:/proc/x" if package else "/proc/x/log.csv", checkpoint=checkpoint)
    assert "\n" not in str(error.value) and not checkpoint.exists()


def test_a_run_that_goes_on_removes_what_a_kill_left_beside_its_checkpoint(tmp_path):
    from crimenb import core
    fit(checkpoint=tmp_path / "k1.pt")
    (tmp_path / f".k1.pt.{'0'*32}").touch()
    core._CLEARED.clear()
    # nothing is left to be trained, nothing is written
    fit(checkpoint=tmp_path / "k1.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["k1.pt"]
