"""Training in several processes, by the installed package: equal to one process, through deaths and on two "machines"."""
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb.core import InputError
from crimenb.distributed import CostModel, Loaded, bubble, command, data_parallel, federate, fit_pipeline, job, launch, main, micro_batches, sent
from crimenb.training import Part, load_checkpoint, seeded, share_cases, train

JOBS = """
    import os, signal, sys, time
    import numpy as np
    import torch
    import torch.nn.functional as F
    from crimenb.core import InputError
    from crimenb.distributed import Loaded, federate, fit_pipeline, sent
    from crimenb.training import Part, load_checkpoint, once, ranks, seeded, train

    N, SITES = 203, ["north", "south", "west", "east", "centre"]
    x = torch.randn(N, 6, generator=torch.Generator().manual_seed(3))
    y = (x[:, 0] - x[:, 1]*x[:, 2] > 0).long()

    def network():
        with seeded(1): return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))

    # 7 batches: 29 cases each, which 2 does not divide
    def batches(epoch, rng): return np.array_split(rng.permutation(N), 7)
    def loss(model, i, t): return F.cross_entropy(model(x[i]), y[i])
    def weights(model): return torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    def told(model, log): return {"weights": weights(model), **{k: log[k].tolist() for k in log if k != "seconds"}}

    def fit(model=None, batches=batches, loss=loss, **kwargs):
        model = model or network()
        return told(model, train(model, batches, loss, **{"epochs": 3, "lr": .02, "device": "cpu", **kwargs}))

    def chosen(folder=None):
        "Clipping, decay, warm-up, selection, a checkpoint."
        scores = iter([2., 3., 1.])
        return fit(clip=.1, weight_decay=.1, warmup=.2, evaluate=lambda m: {"s": next(scores)}, select="s",
                   checkpoint=folder and f"{folder}/chosen{ranks()[1]}.pt")

    def patient(folder=None):
        "Stops two evaluations after the best one; started again, it stays stopped."
        scores = iter([1., 4., 2., 3., 9.])
        arguments = dict(epochs=5, evaluate=lambda m: {"s": next(scores)}, select="s", patience=2, checkpoint=folder and f"{folder}/patient{ranks()[1]}.pt")
        first = fit(**arguments)
        return {**first, "again": fit(**arguments)["weights"] if folder else first["weights"]}

    def gradients():
        "What a pipeline leaves in its weights after one batch of 32, cut into 4: the gradient of this rank's stage."
        net = network()
        stages = [net[:2], net[2:]] if ranks()[1] == 2 else [net]
        fit_pipeline(stages, lambda epoch, rng: [(x[:32], y[:32])], F.cross_entropy, epochs=1, micro=4, device="cpu")
        return [weight.grad.clone() for weight in stages[ranks()[0]].parameters()]

    def tiny():
        "Batches of a single case, and of a kind that says itself how it is shared."
        one = fit(batches=lambda epoch, rng: [[5], [7], [5]])
        def share(number, rank, world): return Part(range(number)[rank::world], len(range(number)[rank::world])/number)
        own = fit(batches=lambda epoch, rng: [5, 7], share=share if ranks()[1] > 1 else None,
                  loss=lambda model, i, t: loss(model, list(range(i) if isinstance(i, int) else i), t))
        return {"one": one, "own": own}

    def ahead(workers, how):
        return fit(batches=lambda epoch, rng: Loaded(batches(epoch, rng), lambda i: (x[i], y[i]), workers, how), loss=lambda m, b, t: F.cross_entropy(m(b[0]), b[1]))

    class Swap(torch.nn.Module):
        def forward(self, x): return x.transpose(1, 2)

    def piped():
        # cut where the numbers do not lie in memory in their order
        net = network()
        stages = [torch.nn.Sequential(*net[:2], torch.nn.Unflatten(1, (4, 4)), Swap()), torch.nn.Sequential(Swap(), torch.nn.Flatten(), net[2])]
        # micro-batches: 3 of 33, 1 of 29
        parts = lambda epoch, rng: [(x[i], y[i]) for i in [*batches(epoch, rng), rng.permutation(N)[:33]]]
        log = fit_pipeline(stages, parts, F.cross_entropy, epochs=2, lr=.02, weight_decay=.1, device="cpu")
        return told(torch.nn.Sequential(*stages), log)

    def shared_out(**how):
        read = []
        def load(site):
            read.append(site)
            return x[SITES.index(site)::5], y[SITES.index(site)::5]
        model = network()
        log = federate(model, load, SITES, lambda m, b, t: F.cross_entropy(m(b[0]), b[1]), evaluate=lambda m: {"norm": weights(m).norm()}, device="cpu", **how)
        return {"read": read, **told(model, log)}

    def again(folder):
        "A pipeline and a federated training that break off after two of four epochs and rounds, are started again, and undisturbed ones."
        def pipeline(file, breaks):
            net = network()
            stages = [net[:2], net[2:]] if ranks()[1] == 2 else [net]
            def parts(epoch, rng):
                if breaks and epoch == 2: raise InterruptedError
                return [(x[i], y[i]) for i in batches(epoch, rng)]
            return stages, lambda: fit_pipeline(stages, parts, F.cross_entropy, epochs=4, lr=.02, weight_decay=.1, device="cpu", checkpoint=file)
        def federated(file, breaks, rounds=4):
            model, round_ = network(), iter(range(rounds))
            def evaluate(m):
                if breaks and next(round_) == 2: raise InterruptedError
                return {}
            return [model], lambda: federate(model, lambda site: (x[SITES.index(site)::5], y[SITES.index(site)::5]), SITES, lambda m, b, t: F.cross_entropy(m(b[0]), b[1]),
                                             rounds=rounds, local_epochs=2, batch=16, part=.6, lr=.05, evaluate=evaluate, device="cpu", checkpoint=file)
        done = {}
        for make in (pipeline, federated):
            file = f"{folder}/{make.__name__}{ranks()[1]}.pt"
            try: make(file, True)[1]()
            except InterruptedError: done[make.__name__] = {"broke after": len(load_checkpoint(file)["log"])}
            for what, path in (("resumed", file), ("again", file), ("whole", None)):
                parts, run = make(path, False)
                log = run()
                done[make.__name__][what] = told(torch.nn.Sequential(*parts), log)
        try: federated(file, False, 5)[1]()
        except InputError as error: done["refused"] = str(error)
        return done

    def errors():
        "What goes wrong on one rank is said on both."
        says = []
        for wrong in (lambda: fit(batches=lambda epoch, rng: [[1]]*(1 + ranks()[0])),
                      lambda: fit(batches=lambda epoch, rng: [3]),
                      lambda: fit(checkpoint="nowhere.pt", evaluate=lambda m: 1/0),
                      lambda: fit_pipeline([network()], batches, loss, 1)):
            try: wrong()
            except (InputError, ZeroDivisionError) as error: says.append(str(error))
        return says

    def dropout(): return fit(torch.nn.Sequential(torch.nn.Dropout(.5), network()))

    def mortal(path, dies):
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        def deadly(model, i, t):
            if dies and first and ranks()[0] == 1 and t > 3.5/6: os.kill(os.getpid(), signal.SIGKILL)
            return loss(model, i, t)
        found = load_checkpoint(path)["epoch"] if os.path.exists(path) else 0
        return {"found": found, **fit(torch.nn.Sequential(torch.nn.Dropout(.2), network()), loss=deadly, epochs=6, checkpoint=path)}

    def everything(folder):
        before = sent()
        done = {"dies": mortal(f"{folder}/dies.pt", True), "lives": mortal(f"{folder}/lives.pt", False), "fit": fit(), "chosen": chosen(folder), "patient": patient(folder), "gradients": gradients(), "again": again(folder), "tiny": tiny(),
                "threads": ahead(2, "threads"), "processes": ahead(2, "processes"), "piped": piped(), "step": shared_out(rounds=4),
                "federated": shared_out(rounds=3, local_epochs=2, batch=16, part=.6, lr=.05), "errors": errors(), "dropout": dropout()}
        return {**done, "sent": sent() - before, "late": late(folder)}

    def late(folder):
        sys.path.append(folder)
        before = sent()
        import late
        return len(late.x), sent() - before

    def machines(folder): return {"host": os.environ["GROUP_RANK"], "fit": fit(checkpoint=f"{folder}/machines.pt")}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "work.py").write_text(textwrap.dedent(JOBS))
    (folder / "late.py").write_text("x = '" + 100_000*"x" + "'")
    torch.set_num_threads(1)
    return folder


@pytest.fixture(scope="module")
def work(place):
    job(f"{place}/work.py:fit")
    return sys.modules["work"]


@pytest.fixture(scope="module")
def two(place):
    "Everything, in two processes, of which one was killed on the way."
    with pytest.MonkeyPatch.context() as given:
        given.setenv("PYTHONDONTWRITEBYTECODE", "")
        return launch(f"{place}/work.py:everything", {"folder": str(place)}, restarts=1, timeout=900)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")
def test_nothing_goes_on_when_the_process_that_launched_is_killed(tmp_path):
    (tmp_path / "jobs.py").write_text("import time\nfrom pathlib import Path\nfrom crimenb.training import ranks\n"
                                      "def nap(folder):\n    Path(folder, str(ranks()[0])).touch()\n    time.sleep(600)\n")
    mark = f"LAUNCHED_BY={tmp_path}".encode()
    def mine():
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (place / "environ").read_bytes(): found.append(int(place.name))
            # another's, or gone meanwhile
            except OSError: continue
        return found
    code = f"from crimenb.distributed import launch; launch({str(tmp_path / 'jobs.py:nap')!r}, {{'folder': {str(tmp_path)!r}}})"
    starter = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"LAUNCHED_BY": str(tmp_path)})
    try:
        begun = time.monotonic()
        while not all((tmp_path / rank).exists() for rank in "01"):
            assert starter.poll() is None and time.monotonic() < begun + 300
            time.sleep(.1)
        # this process, torchrun, and its two
        assert len(mine()) == 4
        starter.kill()
        starter.wait()
        killed = time.monotonic()
        while mine() and time.monotonic() < killed + 60: time.sleep(.1)
        assert mine() == []
    finally:
        starter.kill()
        for left in mine(): os.kill(left, signal.SIGKILL)


def same(a, b, atol=2e-5):
    assert np.allclose(a["loss"], b["loss"], atol=1e-5) and torch.allclose(a["weights"], b["weights"], atol=atol)


def test_data_parallel_training_has_the_losses_and_weights_of_one_process(two, work):
    for rank in two: assert rank["fit"]["loss"] == two[0]["fit"]["loss"] and torch.equal(rank["fit"]["weights"], two[0]["fit"]["weights"])
    same(two[0]["fit"], work.fit())
    # unweighted parts of 14 and 15 cases would be seen
    off = work.fit(loss=lambda m, i, t: .5*(work.loss(m, i[:14], t) + work.loss(m, i[14:], t)))
    assert not np.allclose(off["loss"], two[0]["fit"]["loss"], atol=1e-5)


def test_so_it_has_with_clipping_decay_selection_and_a_checkpoint_which_one_process_can_take_over(two, work, place):
    for rank in two: same(rank["chosen"], work.chosen())
    assert two[1]["chosen"]["s"] == [2., 3., 1.]
    # the finished checkpoint of two processes, read by one
    again = work.fit(clip=.1, weight_decay=.1, warmup=.2, evaluate=lambda m: {"s": 9.}, select="s", checkpoint=place / "chosen2.pt")
    assert again["loss"] == two[0]["chosen"]["loss"] and torch.equal(again["weights"], two[0]["chosen"]["weights"])


def test_patience_stops_all_ranks_after_the_same_epoch(two, work):
    alone = work.patient()
    assert alone["s"] == [1., 4., 2., 3.]
    for rank in two:
        same(rank["patient"], alone)
        assert rank["patient"]["s"] == alone["s"] and torch.equal(rank["patient"]["again"], rank["patient"]["weights"])


def test_a_pipelines_gradients_are_those_of_the_whole_network(two, work):
    model = work.network()
    whole = torch.autograd.grad(work.loss(model, slice(0, 32), 0), model.parameters())
    halves = [gradient for rank in two for gradient in rank["gradients"]]
    assert len(halves) == len(whole) == 4 and len(two[0]["gradients"]) == 2
    for half, gradient in zip(halves, whole): assert half.shape == gradient.shape and gradient.abs().max() > .01 and torch.allclose(half, gradient, rtol=1e-5, atol=1e-7)


def test_batches_smaller_than_the_number_of_ranks_and_of_another_kind(two, work):
    same(two[1]["tiny"]["one"], work.tiny()["one"])
    same(two[1]["tiny"]["own"], work.tiny()["own"])


def test_batches_made_ahead_change_nothing(two, work):
    one = work.ahead(0, "threads")
    for workers, how in ((1, "threads"), (2, "threads"), (4, "threads"), (1, "processes"), (2, "processes")):
        other = work.ahead(workers, how)
        assert other["loss"] == one["loss"] and torch.equal(other["weights"], one["weights"]), (workers, how)
    for how in ("threads", "processes"): assert torch.equal(two[0][how]["weights"], two[0]["fit"]["weights"])


def test_a_pipeline_has_the_losses_and_weights_of_the_whole_network(two, work):
    for rank in two:
        same(rank["piped"], work.piped())
        assert rank["piped"]["loss"] == two[0]["piped"]["loss"]


def test_one_federated_step_on_all_cases_is_one_step_of_gradient_descent(two, work):
    model = work.network()
    for _ in range(4):
        gradients = torch.autograd.grad(work.loss(model, slice(None), 0), model.parameters())
        with torch.no_grad():
            for w, g in zip(model.parameters(), gradients): w -= .1*g
    for done in (*(rank["step"] for rank in two), work.shared_out(rounds=4)): assert torch.allclose(done["weights"], work.weights(model), atol=1e-6)


def test_federated_averaging_is_in_the_models_own_type_and_integers_are_averaged_too():
    class Counting(torch.nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, dtype=kind))
            self.register_buffer("steps", torch.tensor(0)); self.register_buffer("index", torch.tensor([3, 2**40 + 1])); self.register_buffer("mask", torch.tensor([True, False]))
    def loss(model, cases, t):
        model.steps += 1
        return (model.weight*cases[0].to(model.weight.dtype)).sum()/len(cases[0])
    # a step of a site is minus its mean: the common weight after a round is minus the mean of all cases
    cases = {"a": torch.tensor([1 + 2.**-40, 0, 0], dtype=torch.float64), "b": torch.tensor([2.**-45], dtype=torch.float64)}
    double = Counting(torch.float64)
    federate(double, lambda site: (cases[site],), cases, loss, rounds=1, lr=1., device="cpu")
    assert double.weight.dtype == torch.float64 and double.weight.item() == -(1 + 2.**-40 + 2.**-45)/4
    for kind in (torch.float32, torch.bfloat16):
        model = Counting(kind)
        federate(model, lambda site: (cases[site],), cases, loss, rounds=1, lr=1., device="cpu")
        assert model.weight.dtype == kind and model.weight.item() == -.25
    # one site makes three steps of one case, the other one: (3*3 + 1*1)/4 = 2.5, and the even neighbour of a half is 2
    model = Counting(torch.float32)
    federate(model, lambda site: (cases[site],), cases, loss, rounds=1, lr=.1, batch=1, device="cpu")
    assert model.steps.item() == 2 and model.index.tolist() == [3, 2**40 + 1] and model.mask.tolist() == [True, False]


def test_federated_averaging_does_not_depend_on_where_the_sites_are_and_a_site_is_read_at_home_only(two, work):
    alone = work.shared_out(rounds=3, local_epochs=2, batch=16, part=.6, lr=.05)
    assert alone["read"] == work.SITES and alone["sites"] == [3, 3, 3]
    assert two[0]["federated"]["read"] == ["north", "west", "centre"] and two[1]["federated"]["read"] == ["south", "east"]
    for rank in two:
        same(rank["federated"], alone)
        assert rank["federated"]["cases"] == alone["cases"] and np.allclose(rank["federated"]["norm"], alone["norm"], atol=1e-5)


def test_a_rank_killed_in_the_middle_of_an_epoch_changes_nothing(two):
    for rank in two:
        assert rank["dies"]["found"] == 3 and rank["lives"]["found"] == 0       # killed in the fourth of six epochs
        assert rank["dies"]["loss"] == rank["lives"]["loss"] and len(rank["lives"]["loss"]) == 6
        assert torch.equal(rank["dies"]["weights"], rank["lives"]["weights"])


def test_pipelines_and_federated_trainings_go_on_from_their_checkpoints(two, work, tmp_path):
    alone = work.again(tmp_path)
    for done in (*(rank["again"] for rank in two), alone):
        for kind in ("pipeline", "federated"):
            assert done[kind]["broke after"] == 2 and len(done[kind]["whole"]["loss"]) == 4
            for what in ("resumed", "again"):
                assert done[kind][what]["loss"] == done[kind]["whole"]["loss"] and torch.equal(done[kind][what]["weights"], done[kind]["whole"]["weights"])
        assert "another rounds" in done["refused"]
    for kind in ("pipeline", "federated"): same(two[1]["again"][kind]["resumed"], alone[kind]["whole"])


def test_errors_of_one_rank_are_errors_of_all(two):
    assert two[0]["errors"] == two[1]["errors"]
    counts, kind, score, stages = two[0]["errors"]
    assert counts.startswith("the ranks have [1, 2] batches in epoch 1") and "can not be shared" in kind and score == "division by zero"
    assert stages == "there are 1 stages for 2 ranks: cut the network into one stage a rank"


def test_ranks_drop_different_units_and_agree_on_the_weights(two, work):
    assert torch.equal(two[0]["dropout"]["weights"], two[1]["dropout"]["weights"])
    assert not torch.allclose(two[0]["dropout"]["weights"], work.dropout()["weights"], atol=1e-3)


def test_bytes_that_were_sent_are_counted(two, tmp_path):
    n = len(two[0]["fit"]["weights"])
    # at least a gradient a step: 12 + 3 trainings of epochs with 7 steps
    assert all(4*n*7*15 < rank["sent"] < 4e6 for rank in two)
    # the first import of a module writes what it was compiled to: that is nothing that is sent
    assert two[0]["late"] == (100_000, two[0]["late"][1]) and two[0]["late"][1] < 10_000
    before = sent()
    (tmp_path / "file").write_bytes(bytes(12345))
    assert 12345 <= sent() - before < 13000


def test_two_machines_by_two_torchruns_give_the_result_of_one_process(place, work):
    done = launch(f"{place}/work.py:machines", {"folder": str(place)}, processes=1, nodes=2, timeout=900)
    assert sorted(rank["host"] for rank in done) == ["0", "1"]
    for rank in done: same(rank["fit"], work.fit())
    assert load_checkpoint(place / "machines.pt")["epoch"] == 3


@pytest.fixture
def torchrun(monkeypatch):
    "What torchrun tells the only process of a job."
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0}.items(): monkeypatch.setenv(name, str(value))
    yield
    if dist.is_initialized(): dist.destroy_process_group()


def test_a_job_of_one_process(torchrun, place, tmp_path, work):
    assert main([f"{place}/work.py:ahead", "--settings", json.dumps({"workers": 0, "how": "threads"}), "--out", str(tmp_path / "out.pt")]) == 0
    (done,) = torch.load(tmp_path / "out.pt", weights_only=True)
    assert torch.equal(done["weights"], work.fit()["weights"])


def test_a_job_that_is_not_there_is_named(torchrun, capsys, tmp_path):
    assert main([f"{tmp_path}/none.py:fit", "--out", str(tmp_path / "out.pt")]) == 2
    assert "there is no job" in capsys.readouterr().err and not (tmp_path / "out.pt").exists()


def test_without_torchrun_it_says_so(capsys):
    with pytest.raises(SystemExit): main(["os:getpid", "--out", "x"])
    assert "start this with torchrun" in capsys.readouterr().err


def test_jobs_by_name(place):
    assert job("os:getpid")() > 0 and job(f"{place}/work.py:fit").__name__ == "fit"
    for wrong in ("nothing", "nothing.here:x", "os:name_that_is_not_there", f"{place}/none.py:x"):
        with pytest.raises(InputError, match="write module:function or file.py:function"): job(wrong)


def test_the_command_for_many_machines():
    line = " ".join(command("m:f", "out.pt", {"a": 1}, processes=4, nodes=8, endpoint="host:29400", restarts=3))
    assert "--nnodes 8 --nproc-per-node 4 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint host:29400" in line and "--local-addr" not in line
    assert line.endswith('-m crimenb.distributed m:f --settings {"a": 1} --out out.pt')


@given(st.integers(1, 40), st.integers(1, 9))
@settings(deadline=None)
def test_parts_of_a_batch_are_the_batch(n, world):
    batch = {"x": torch.arange(n), "names": [str(i) for i in range(n)], "y": np.arange(n)}
    parts = [share_cases(batch, rank, world) for rank in range(world)]
    assert np.isclose(sum(p.weight for p in parts), 1)
    assert all(len({len(member) for member in p.batch.values()}) == 1 and len(p.batch["x"]) >= 1 for p in parts)
    assert torch.equal(torch.cat([p.batch["x"] for p in parts if p.weight]), batch["x"])
    assert all(p.batch["names"] == [str(i) for i in p.batch["y"]] for p in parts)


@pytest.mark.parametrize("batch", [3, None, "abc", (), [], torch.tensor(1.), (torch.ones(2), torch.ones(3)), (torch.ones(2), 5)])
def test_batches_that_can_not_be_shared_are_refused(batch):
    with pytest.raises(InputError, match="can not be shared"): share_cases(batch, 0, 2)


def test_loading_passes_errors_on_and_refuses_nonsense():
    for workers in (0, 2):
        with pytest.raises(ZeroDivisionError): list(Loaded([1, 0], lambda i: 1//i, workers))
    assert list(Loaded(range(9), lambda i: i*i, 3, ahead=1)) == [i*i for i in range(9)]
    for wrong in ({"workers": -1}, {"ahead": 0}, {"how": "magic"}):
        with pytest.raises(InputError): Loaded([], None, **wrong)


@given(st.integers(1, 200), st.integers(1, 16))
def test_micro_batches_divide_the_batch(n, micro):
    m = micro_batches(n, micro)
    assert n % m == 0 and 1 <= m <= micro and 0 <= bubble(2, m) <= .5 and bubble(1, m) == 0


def test_federated_bad_input():
    model, loss = torch.nn.Linear(1, 1), lambda m, b, t: m(b[0]).sum()
    with pytest.raises(InputError, match="site b has no cases"): federate(model, lambda s: (torch.ones(0 if s == "b" else 3, 1),), ["a", "b"], loss, 1)
    for wrong in ({"rounds": 0}, {"rounds": 1, "part": 1.5}, {"rounds": 1, "local_epochs": 0}):
        with pytest.raises(InputError): federate(model, lambda s: (torch.ones(3, 1),), ["a"], loss, **wrong)


def test_a_site_with_more_cases_counts_more():
    with seeded(0): model = torch.nn.Linear(1, 1, bias=False)
    # each site's best weight is its own target; a step of .5 on (w - target)^2 reaches it
    sites = {"small": (torch.zeros(1, 1),), "large": (torch.ones(3, 1),)}
    federate(model, sites.get, sites, lambda m, b, t: (m.weight - b[0]).square().mean(), rounds=1, lr=.5, device="cpu")
    assert np.isclose(model.weight.item(), .75)


def test_the_cost_model_finds_its_constants_and_marks_predictions():
    truth = CostModel(3e-9, 2e-10, 1e-4, 1e-3, 2)
    points = pd.DataFrame([(w, g, p) for w in (1e4, 1e6, 1e8) for g in (1e3, 1e6, 1e8) for p in (1, 2)], columns=["work", "bytes", "processes"])
    points["seconds"] = truth.seconds(points.work, points.bytes, points.processes)
    assert CostModel.fit(points).largest == 2
    assert np.allclose(list(vars(CostModel.fit(points)).values()), list(vars(truth).values()))
    noisy = CostModel.fit(points.assign(seconds=points.seconds*np.random.default_rng(0).uniform(.8, 1.2, len(points))))
    assert min(vars(noisy).values()) >= 0
    table = truth.table(1e8, 1e6)
    assert table.what.tolist() == ["fitted", "fitted", "PREDICTION", "PREDICTION", "PREDICTION"]
    assert table["speed-up"].iloc[0] == 1 and (table.efficiency.diff().dropna() < 0).all() and (table["speed-up"] <= table.processes).all()
    assert (truth.table(1e8, 1e6, grow=True)["speed-up"] >= table["speed-up"]).all()
    for few in (points.head(3), points[points.processes == 1], points.assign(seconds=0.)):
        with pytest.raises(InputError, match="at least four steps"): CostModel.fit(few)


@pytest.mark.parametrize("gpus", [0, 1])
def test_data_parallel_without_several_gpus_is_the_model_itself(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    model = torch.nn.Linear(1, 1)
    assert data_parallel(model) is model


def test_data_parallel_with_several_gpus_wraps_the_model_and_computes_the_same(monkeypatch):
    "Two GPUs are pretended; without a real one `DataParallel` hands its batch to the module, so what is tested is the branch, and not its speed."
    model, x = torch.nn.Linear(3, 2), torch.randn(5, 3)
    moved = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda self: moved.append(self) or self)
    wrapped = data_parallel(model)
    assert isinstance(wrapped, torch.nn.DataParallel) and wrapped.module is model and moved == [model]
    monkeypatch.undo()
    if torch.cuda.is_available(): wrapped, model = torch.nn.DataParallel(model.cuda()), model.cuda()
    x = x.to(model.weight.device)
    assert torch.allclose(wrapped(x), model(x))
    for one, other in zip(*(torch.autograd.grad(net(x).square().sum(), model.parameters()) for net in (wrapped, model))): assert torch.allclose(one, other)


def test_alone_a_pipeline_is_train(work):
    stages = [work.network()[:1], work.network()[1:]]
    log = fit_pipeline(stages, lambda epoch, rng: [(work.x[i], work.y[i]) for i in work.batches(epoch, rng)], torch.nn.functional.cross_entropy, 3, lr=.02, device="cpu")
    whole = work.fit()
    assert log.loss.tolist() == whole["loss"] and torch.equal(work.weights(torch.nn.Sequential(*stages)), whole["weights"])


def test_a_part_among_the_batches_is_taken_as_it_is_by_one_process(work):
    assert torch.equal(work.fit(batches=lambda e, rng: [Part(i, 1.) for i in work.batches(e, rng)])["weights"], work.fit()["weights"])
