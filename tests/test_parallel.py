"The three networks of the comparative study: equations, causality, attention, leaks, export, resume."
import shlex
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from cells import one_thread
import notebooks
from hypothesis import given, settings, strategies as st

from crimenb.areas import TASKS
from crimenb.core import InputError
from crimenb.lab import studies
from crimenb.panels import LEVELS, Features, Panel
from crimenb.papers import parallel
from crimenb.papers.parallel import (BEST, DNN, GATTCN, GRID, LOSSES, MODELS, Attention, Head, LSTMCrimeNet, Spatial, Temporal, as_command, grid_search, random_search,
                                     receptive_field, search_runs)
from crimenb.training import seeded

A, T = 5, 60
RING = torch.tensor([[0, 1, 2, 3, 4, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 0, 1, 2, 3, 4]])
TRAIN, VALID, TEST = slice(0, 40), slice(40, 50), slice(50, 60)

def made_up(seed=0):
    "A panel of areas on a ring; an area's counts go on from those of the week before."
    rng, counts = np.random.default_rng(seed), np.ones((T, A, 2))
    for t in range(1, T): counts[t] = rng.poisson(.5 + .8*counts[t - 1] + 2*(np.arange(A) % 2)[:, None])
    turn = 2*np.pi*np.arange(A)/A
    return Panel(counts, pd.date_range("2018-01-01", periods=T, freq="W-MON"), list("abcde"), ["violent", "property"], .1*np.cos(turn), .1*np.sin(turn), np.ones(A))

@pytest.fixture(scope="module")
def panel(): return made_up()

quick = dict(graph="nearest", neighbours=2, epochs=3, evaluations=3, batch=20, units=8, device="cpu")

def fit(name, panel, task="levels", criterion="likelihood", **settings):
    return MODELS[name](task, criterion, **quick | settings).fit(panel, TRAIN, VALID)

def same_weights(one, other): return all(torch.equal(a, b) for a, b in zip(one.net_.state_dict().values(), other.net_.state_dict().values()))


# --- networks ---

def test_every_network_is_its_stages_and_stands_at_the_top_of_the_module():
    with seeded(0): nets = DNN(12, 3, dropout=.3), LSTMCrimeNet(3, 3), GATTCN(3, 3, RING)
    for net, x in zip(nets, (torch.randn(7, 12), torch.randn(7, 4, 3), torch.randn(7, 4, A, 3))):
        assert getattr(parallel, type(net).__name__) is type(net)
        net.eval()
        y = net(x)
        assert y.shape == ((7, A, 3) if isinstance(net, GATTCN) else (7, 3))
        for cut in range(1, len(net.stages)): assert torch.equal(net.stages[cut:](net.stages[:cut](x)), y)

@pytest.mark.parametrize("layers, units", [(3, 64), (4, 128), (5, 256)])
def test_the_dnn_has_as_many_hidden_layers_as_it_says(layers, units):
    linear = [m for m in DNN(9, 2, layers, units).modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in linear] == [units]*layers + [2] and linear[0].in_features == 9

def test_lstm_is_the_six_printed_equations():
    with seeded(1): net, x = LSTMCrimeNet(2, 1, units=3), torch.randn(4, 2)
    lstm = net.stages[0].lstm
    h = c = torch.zeros(3)
    for x_t in x:
        i, f, g, o = (lstm.weight_ih_l0 @ x_t + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0).split(3)
        c = f.sigmoid()*c + i.sigmoid()*g.tanh()
        h = o.sigmoid()*c.tanh()
    assert torch.allclose(net.stages[0](x[None])[0], h, atol=1e-6)

@settings(max_examples=25, deadline=None)
@given(st.integers(2, 7), st.integers(0, 10), st.integers(0, 10_000))
def test_attention_sums_to_one_and_is_the_published_softmax(n, n_edges, seed):
    rng = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(n) for j in range(n) if i != j])
    edge_index = torch.from_numpy(rng.permutation(pairs)[:n_edges].T.copy())
    with seeded(seed): spatial, x = Spatial(3, 6, 2, edge_index), 3*torch.randn(2, 3, n, 3)
    with torch.no_grad(): edges, weights = spatial.weights(x)
    total = torch.zeros(2, 3, n, 2).index_add(2, edges[1], weights)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5) and (weights >= 0).all()
    # dense and in one line: scores with -inf where there is no edge
    gat, sees = spatial.gat, torch.eye(n, dtype=torch.bool)
    sees[edge_index[1], edge_index[0]] = True
    Wh = (x @ gat.lin.weight.T).unflatten(-1, (2, 3))
    e = F.leaky_relu((gat.att_dst[0]*Wh).sum(-1)[:, :, :, None] + (gat.att_src[0]*Wh).sum(-1)[:, :, None], .2)
    alpha = e.masked_fill(~sees[..., None], -torch.inf).softmax(3)
    assert torch.allclose(alpha[:, :, edges[1], edges[0]], weights, atol=1e-5)
    new = torch.einsum("blijh,bljhd->blihd", alpha, Wh).flatten(-2) + gat.bias
    assert torch.allclose(spatial(x)[..., :6], F.elu(new), atol=1e-5) and torch.equal(spatial(x)[..., 6:], x)

def test_periods_and_steps_of_a_batch_do_not_touch():
    with seeded(0): net, x = GATTCN(3, 2, RING).eval(), torch.randn(4, 4, A, 3)
    alone = torch.cat([net(x[b:b + 1]) for b in range(4)])
    assert torch.allclose(net(x), alone, atol=1e-6)
    at_once = net.stages[0](x)
    assert torch.allclose(at_once[:, 2:3], net.stages[0](x[:, 2:3]), atol=1e-6)

def test_an_area_without_neighbours_hears_nobody_and_the_graph_of_the_call_goes_first():
    with seeded(0): net, x = GATTCN(3, 2, RING).eval(), torch.randn(1, 4, A, 3)
    changed = x.clone()
    changed[:, :, 1:] += 1
    nobody = torch.empty(2, 0, dtype=torch.int64)
    assert torch.equal(net(x, nobody)[:, 0], net(changed, nobody)[:, 0])
    assert not torch.allclose(net(x)[:, 0], net(changed)[:, 0])
    assert "stages.0.edge_index" not in net.state_dict()
    # a site with three areas of its own uses the same weights
    assert net(x[:, :, :3], torch.tensor([[0, 1], [1, 0]])).shape == (1, 3, 2)

@pytest.mark.parametrize("length, kernel", [(1, 2), (4, 2), (4, 3), (12, 2), (52, 3)])
def test_the_tcn_looks_back_far_enough_and_never_ahead(length, kernel):
    with seeded(0): temporal, x = Temporal(2, 8, length, kernel, 0.).eval(), torch.randn(1, max(2*length, 8), 2)
    reach = receptive_field(temporal.tcn)
    assert reach >= length
    x = torch.randn(1, reach + 5, 2, dtype=torch.float64, requires_grad=True)
    temporal = temporal.double()
    for t in (0, reach//2, reach + 2):
        seen = torch.autograd.grad(temporal.steps(x)[0, t].square().sum(), x)[0][0].abs().sum(-1) > 0
        # exactly the steps from t - reach + 1 to t
        assert seen.nonzero()[:, 0].tolist() == list(range(max(t - reach + 1, 0), t + 1))

@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(0, 12), st.integers(0, 10_000))
def test_attention_is_that_of_torch_geometric_with_loops_and_several_heads(n, width, heads, n_edges, seed):
    gat = pytest.importorskip("torch_geometric.nn").GATConv
    with seeded(seed): ours = Attention(3, width, heads)
    with seeded(seed): theirs = gat(3, width, heads=heads, add_self_loops=False)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())
    with seeded(seed): x, edges = 5*torch.randn(2, n, 3).double(), torch.randint(0, n, (2, n_edges))
    # in 64 bits: a gradient that nearly cancels is mostly rounding in 32
    ours, theirs = ours.double(), theirs.double()
    edges = torch.cat([edges, torch.arange(n).expand(2, n)], 1)
    z = torch.stack([theirs(one, edges) for one in x])
    assert torch.allclose(ours(x, edges)[0], z, atol=1e-12)
    for net, out in ((ours, ours(x, edges)[0]), (theirs, z)): out.square().sum().backward()
    assert all(torch.allclose(p.grad, q.grad, rtol=1e-9, atol=1e-9) for p, q in zip(ours.parameters(), theirs.parameters()))

@pytest.mark.filterwarnings("ignore:The tensor attributes self")
@pytest.mark.parametrize("name", MODELS)
def test_export_gives_the_same_forecast_for_any_batch(name, panel):
    model = fit(name, panel, epochs=0)
    net, give = model.net_, model.inputs(model.features(panel, np.arange(50, 60)))
    exported = torch.export.export(net, (give(np.arange(4*A)),), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    more = give(np.arange(10*A))
    assert torch.allclose(exported(more), net(more), atol=1e-6)

def test_bad_networks_and_graphs_are_refused():
    for make in (lambda: DNN(3, 1, layers=0), lambda: GATTCN(3, 1, RING, units=10, heads=8), lambda: GATTCN(3, 1, RING.float()), lambda: GATTCN(3, 1, RING.T),
                 lambda: GATTCN(3, 1, torch.tensor([[0], [0]])), lambda: GATTCN(3, 1)(torch.zeros(1, 4, 2, 3))):
        with pytest.raises(InputError): make()


# --- what a network is given ---

def test_the_features_of_the_rows_that_are_asked_for_and_of_the_columns_that_are_kept(panel):
    models = {name: fit(name, panel, epochs=0) for name in MODELS}
    features = models["DNN"].features(panel, np.arange(50, 60))
    rows = np.arange(2*A, 4*A)
    assert torch.equal(models["DNN"].inputs(features)(rows), torch.from_numpy(features.x_flat[rows]))
    assert torch.equal(models["LSTMCrimeNet"].inputs(features)(rows), torch.from_numpy(features.x_sequence[rows]))
    whole = models["GAT+TCN"].inputs(features)(rows)
    assert whole.shape[:3] == (2, 4, A) and torch.equal(whole, torch.from_numpy(features.by_area(features.x_sequence[rows])).transpose(1, 2))
    bare = fit("DNN", panel, epochs=0, calendar=False, means=False)
    names = [features.feature_names[i] for i in bare.columns(features.feature_names)]
    assert set(features.feature_names) - set(names) == {"day of year (sin)", "day of year (cos)", "violent, mean so far", "property, mean so far"}
    assert bare.inputs(features)(rows).shape[1] == len(names) == bare.n_in_

def test_a_network_that_is_not_trained_is_the_one_that_training_starts_from(panel):
    start, trained = (fit("LSTMCrimeNet", panel, epochs=n) for n in (0, 3))
    with seeded(0): assert all(torch.equal(a, b) for a, b in zip(trained.network().state_dict().values(), start.net_.state_dict().values()))
    assert not same_weights(start, trained)


# --- heads ---

def test_the_poisson_loss_is_least_at_the_truth_and_starts_at_the_mean():
    y = torch.tensor([[1., 0.], [3., 0.], [8., 0.]])
    head = Head("counts", "likelihood", y)
    # a category that never happened in training gets a small rate, not none
    assert torch.allclose(head.predict(torch.zeros(1, 2)), torch.tensor([[4., parallel.LEAST]]))
    z = torch.zeros(1, 2, requires_grad=True)
    assert abs(torch.autograd.grad(head.loss(z.expand(3, 2), y), z)[0][0, 0]) < 1e-6
    assert (head.predict(torch.full((1, 2), -50.)) > 0).all()

@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=5), st.floats(.05, 5))
def test_levels_from_mse_are_probabilities_with_the_nearest_level_first(centre, width):
    head = Head("levels", "MSE", torch.arange(5))
    head.width = width
    centre = torch.tensor(centre, dtype=torch.float32)[:, None]
    p = head.predict((centre - head.mean)/head.spread)
    assert p.shape == (len(centre), 5) and (p >= 0).all() and torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-5)
    inside = ((centre >= .5) & (centre <= 3.5))[:, 0] & (width < .5)
    near = (p.argmax(1) - centre[:, 0]).abs()
    assert (near[inside] < .51).all()

def test_mse_is_on_standardised_targets_and_counts_stay_above_zero():
    y = torch.tensor([[0., 100.], [2., 300.]])
    head = Head("counts", "MSE", y)
    assert torch.isclose(head.loss(torch.zeros(2, 2), y), torch.tensor(1.))        # the variance of what is standardised
    assert torch.allclose(head.predict(torch.zeros(1, 2)), torch.tensor([[1., 200.]]))
    assert (head.predict(torch.full((1, 2), -9.)) == parallel.LEAST).all()
    assert torch.isfinite(Head("counts", "MSE", torch.ones(3, 2)).loss(torch.zeros(3, 2), torch.ones(3, 2)))


# --- training ---

@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODELS)
def test_training_learns_and_forecasts_each_period_by_itself(name, loss, task, panel):
    model = fit(name, panel, task, loss, lr=.01, epochs=6)
    assert model.log_.loss.iloc[-1] < model.log_.loss.iloc[0] and np.isclose(model.valid_loss, -model.log_.valid.max())
    p = model.predict(panel, TEST)
    assert p.shape == (10, A, LEVELS if task == "levels" else 2) and (p >= 0).all()
    if task == "levels": assert np.allclose(p.sum(-1), 1, atol=1e-5)
    assert np.allclose(p[[1, 4]], model.predict(panel, [51, 54]), atol=1e-5)

@pytest.mark.parametrize("name", MODELS)
def test_poison_in_the_test_periods_changes_nothing(name, panel):
    counts = panel.counts.copy()
    counts[TEST] = 9999
    clean, dirty = (fit(name, p, "counts") for p in (panel, replace(panel, counts=counts)))
    assert same_weights(clean, dirty) and clean.log_.equals(dirty.log_) and np.array_equal(clean.head().mean, dirty.head().mean)

def test_the_best_epoch_on_validation_is_kept(panel):
    model = fit("DNN", panel, "counts", lr=.05, epochs=30, evaluations=30)
    best = model.log_.valid.idxmax()
    assert best < 29                                      # it overfits: the last epoch is not the one that is kept
    features = model.features(panel, np.arange(40, 50))
    with torch.no_grad(): z = model.net_(model.inputs(features)(np.arange(10*A)))
    assert np.isclose(model.head().loss(z, torch.from_numpy(features.y_counts)).item(), -model.log_.valid[best], atol=1e-5)

def test_a_longer_run_at_a_constant_rate_contains_the_shorter_one(panel):
    short, long = (fit("LSTMCrimeNet", panel, epochs=n, evaluations=n).log_ for n in (2, 5))
    assert short.equals(long[:2])

@pytest.mark.parametrize("name", MODELS)
def test_a_killed_run_goes_on_and_ends_the_same(name, panel, tmp_path, monkeypatch):
    whole, file = fit(name, panel), str(tmp_path/"c.pt")
    calls, real = [], Head.loss
    class Killed(Exception): pass
    def dies(self, z, y):
        calls.append(1)
        if len(calls) > 14: raise Killed
        return real(self, z, y)
    monkeypatch.setattr(Head, "loss", dies)
    with pytest.raises(Killed): fit(name, panel, checkpoint=file)
    monkeypatch.undo()
    assert (tmp_path/"c.pt").exists()
    resumed = fit(name, panel, checkpoint=file)
    assert same_weights(whole, resumed)
    # other data, other settings: refused
    for other in (dict(task="counts"), dict(batch=10), dict(units=16)):
        with pytest.raises(InputError, match="another"): fit(name, panel, checkpoint=file, **other)
    with pytest.raises(InputError, match="another data"): fit(name, made_up(1), checkpoint=file)

def test_the_seed_decides_everything(panel):
    one, same, other = (fit("GAT+TCN", panel, seed=s).log_.loss.tolist() for s in (0, 0, 1))
    assert one == same != other

def test_another_objective_is_what_training_makes_small(panel):
    class Timid(parallel.AreaDNN):
        "Pays for every event that it expects."
        def _objective(self, loss, said): return lambda net, rows, t: loss(net, rows, t) + 10*said(net, rows).mean()
    timid, plain = (kind("counts", **quick | {"lr": .01, "epochs": 20}).fit(panel, TRAIN, VALID) for kind in (Timid, parallel.AreaDNN))
    assert timid.predict(panel, TEST).mean() < .5*plain.predict(panel, TEST).mean()

def test_bad_settings_are_refused(panel):
    for wrong in (dict(task="risk"), dict(criterion="MAE"), dict(batch=0), dict(evaluations=0), dict(seed=-1), dict(epochs=-1)):
        with pytest.raises(InputError): fit("DNN", panel, **wrong)
    with pytest.raises(InputError, match="share periods"): MODELS["DNN"](**quick).fit(panel, TRAIN, slice(39, 50))
    holed = panel.counts.copy()
    holed[20, 2] = np.nan
    with pytest.raises(InputError, match="every area once"): fit("GAT+TCN", replace(panel, counts=holed))


# --- search ---

def test_the_grid_is_the_printed_one_and_holds_the_winners():
    assert [len(grid_search(name)) for name in GRID] == [81, 4, 6]
    for name, best in BEST.items(): assert any(best.items() <= s.items() for s in grid_search(name))
    assert {s["epochs"] for s in grid_search("LSTMCrimeNet")} == {200}

def test_a_random_search_stays_inside_the_grid_and_repeats_itself():
    for name, grid in GRID.items():
        draws = random_search(name, 200, seed=4)
        assert draws == random_search(name, 200, seed=4) != random_search(name, 200, seed=5)
        for key, values in grid.items():
            seen = [d[key] for d in draws]
            if key == "lr": assert min(values) <= min(seen) and max(seen) <= max(values) and len(set(seen)) == 200
            else: assert set(seen) == ({200} if key == "epochs" else set(values))
    # evenly on the log scale: about half of the DNN's rates lie below the middle one
    assert .4 < np.mean([d["lr"] < 1e-3 for d in random_search("DNN", 500)]) < .6
    with pytest.raises(InputError): random_search("DNN", 0)

@pytest.mark.parametrize("name", MODELS)
def test_a_search_is_a_list_of_commands_that_the_command_line_understands(name):
    shared = dict(dataset="la_2020_2024", profile="cpu", seed=7, tasks="counts", losses="MSE", patience=10)
    for tried in (grid_search(name), random_search(name, 5, seed=1)):
        runs = search_runs(name, tried, **shared)
        assert len(runs) == len(tried) and len({as_command(run) for run in runs}) == len(runs)
        for run, setting in zip(runs, tried):
            program, order, study, *words = shlex.split(as_command(run))
            assert (program, order, study) == ("crimenb", "reproduce", "parallel") and words[:4] == ["--dataset", "la_2020_2024", "--profile", "cpu"] and set(words[4::2]) == {"-p"}
            # nothing is lost on the way through the shell, and the study takes it
            assert studies.from_text("parallel", words[5::2]) | {"dataset": "la_2020_2024", "profile": "cpu"} == run
        values = studies.resolve("parallel", run)
        width = values["gat_units"] if name == "GAT+TCN" else values["units"]
        assert (values["models"], values["search"], values["repeats"], values["lr"], width) == (name, "none", 1, setting["lr"], setting["units"])
    with pytest.raises(InputError, match="model"): search_runs("CNN", [])


def test_the_cell_that_needs_new_york_shows_what_is_stored(fetched, monkeypatch, tmp_path, capsys):
    "It is not run with the others: what the text says of New York's sites is asserted in it."
    monkeypatch.setenv("CRIMENB_DATA", str(Path(next(iter(fetched("nyc_2014_2015").values()))).parents[1]))
    cells = [c for c in nbformat.read(Path(__file__).parents[1] / "nbs/papers/30_parallel.ipynb", as_version=4).cells if c.cell_type == "code"]
    [new_york] = [c for c in cells if "eval: false" in c.source]
    [scores] = [c.source for c in cells if "def scores_after" in c.source]
    space = dict(vars(parallel), path=str(tmp_path / "york.pt"), Features=Features)
    exec(scores[scores.index("def scores_after"):], space)
    exec(new_york.source, space)
    [stored] = new_york.outputs
    assert not notebooks.differs(stored.text, capsys.readouterr().out)
