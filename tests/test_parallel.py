"The three networks of the comparative study: equations, causality, attention, leaks, export, resume."
import dataclasses
import shlex

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import one_thread
from hypothesis import given, settings, strategies as st

from crimenb.lab import studies
from crimenb.core import InputError
from crimenb.papers import parallel
from crimenb.papers.parallel import BEST, DNN, GATTCN, GRID, LOSSES, MODELS, TASKS, Cases, Head, LSTMCrimeNet, Spatial, Temporal, as_arguments, as_command, fit, grid_search, inputs, random_search, receptive_field, search_runs
from crimenb.training import seeded

A, T = 5, 30
RING = torch.tensor([[0, 1, 2, 3, 4, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 0, 1, 2, 3, 4]])

def made_up(seed=0, shuffle=False):
    "Cases of T periods × A areas with noise features; counts that depend on the first feature."
    rng = np.random.default_rng(seed)
    t, a = (i.ravel() for i in np.meshgrid(np.arange(T), np.arange(A), indexing="ij"))
    if shuffle:
        order = rng.permutation(T*A)
        t, a = t[order], a[order]
    sequence = rng.random((T*A, 4, 3))
    counts = rng.poisson(1 + 4*sequence[:, -1, :2])
    return Cases(sequence.reshape(T*A, -1), sequence, t, a, counts, np.minimum(counts.sum(1)//2, 4))

@pytest.fixture(scope="module")
def cases(): return made_up()

quick = dict(train_on=range(20), valid_on=range(20, 25), edge_index=RING, epochs=3, evaluations=3, batch=20, device="cpu", model={"units": 8})


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

@pytest.mark.filterwarnings("ignore:The tensor attributes self")
@pytest.mark.parametrize("name", MODELS)
def test_export_gives_the_same_forecast_for_any_batch(name, cases):
    with seeded(0): net = parallel.build(name, cases, 5, RING, units=8).eval()
    where = parallel.units(name, cases, range(4))
    x = inputs(name, cases, where)
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
    more = inputs(name, cases, parallel.units(name, cases, range(11)))
    assert torch.allclose(exported(more), net(more), atol=1e-6)

def test_bad_networks_and_graphs_are_refused():
    for make in (lambda: DNN(3, 1, layers=0), lambda: GATTCN(3, 1, RING, units=10, heads=8), lambda: GATTCN(3, 1, RING.float()), lambda: GATTCN(3, 1, RING.T),
                 lambda: GATTCN(3, 1, torch.tensor([[0], [0]])), lambda: GATTCN(3, 1)(torch.zeros(1, 4, 2, 3))):
        with pytest.raises(InputError): make()


# --- cases ---

def test_tables_of_rows_are_whole_periods_in_order_whatever_the_order_of_rows():
    for shuffle in (False, True):
        cases = made_up(shuffle=shuffle)
        table = cases.table([3, 7])
        assert (cases.period[table] == torch.tensor([[3], [7]])).all() and (cases.area[table] == torch.arange(A)).all()
        assert cases.rows([7, 3]).tolist() == sorted(table.flatten().tolist())

def test_bad_cases_are_refused(cases):
    short = dict(vars(cases))
    for wrong in (dict(level=cases.level + 1), dict(level=cases.level - 1), dict(period=cases.period[:-1]), dict(flat=cases.flat*np.nan)):
        with pytest.raises(InputError): Cases(**short | wrong)
    with pytest.raises(InputError, match="none of these periods"): cases.rows([99])
    gap = Cases(**{k: v[1:] for k, v in vars(cases).items()})
    with pytest.raises(InputError, match="every area"): gap.table(range(3))
    assert gap.table(range(1, 3)).shape == (2, A)

def test_cases_of_features_of_a_panel():
    from crimenb import panels
    from crimenb.city import simulate
    events, truth = simulate(3000, days=140, start="2018-01-01", n_areas=4)
    panel = panels.Panel.from_events(events, group=panels.category_groups(events["category"].cat.categories), places=panels.city_places(truth))
    parts = panel.split()
    known = panels.Features(panel, parts.train)
    cases = Cases.of(known)
    periods = np.arange(len(panel))
    assert cases.table(periods[parts.test]).flatten().tolist() == list(range(len(cases.area)))[known.rows(parts.test)]
    bare = Cases.of(known, calendar=False)
    assert bare.flat.shape[1] == cases.flat.shape[1] - 2 and bare.sequence.shape[2] == cases.sequence.shape[2] - 2
    assert torch.equal(bare.sequence[..., :len(known.step_names)], cases.sequence[..., :len(known.step_names)])
    assert torch.equal(inputs("GAT+TCN", cases, cases.table(periods[parts.test])), torch.from_numpy(known.by_area(known.x_sequence[known.rows(parts.test)])).transpose(1, 2))


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
    head = Head("level", "MSE", torch.arange(5))
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
def test_training_learns_and_forecasts_in_the_order_of_rows(name, loss, task):
    cases = made_up()
    fitted = fit(name, cases, task=task, loss=loss, **quick | {"lr": .01, "epochs": 6})
    assert fitted.log.loss.iloc[-1] < fitted.log.loss.iloc[0] and np.isclose(fitted.valid_loss, -fitted.log.valid.max())
    p = fitted.predict(cases, range(25, 30))
    assert p.shape == (25, 5 if task == "level" else 2) and (p >= 0).all()
    if task == "level": assert np.allclose(p.sum(1), 1, atol=1e-5)
    # a case's forecast belongs to its row: checked one period at a time, and in a table with its rows mixed
    assert np.allclose(p[5:10], fitted.predict(cases, [26]), atol=1e-5)
    order = np.random.default_rng(3).permutation(T*A)
    mixed = Cases(**{k: v[order] for k, v in vars(cases).items()})
    rows, known = mixed.rows(range(25, 30)).numpy(), cases.rows(range(25, 30)).tolist()
    assert np.allclose(fitted.predict(mixed, range(25, 30)), p[[known.index(i) for i in order[rows]]], atol=1e-5)

@pytest.mark.parametrize("name", MODELS)
def test_poison_in_the_test_periods_changes_nothing(name, cases):
    later = cases.period >= 25
    poisoned = {k: torch.where(later.view(-1, *[1]*(v.ndim - 1)), torch.full_like(v, 4 if k == "level" else 9999), v) for k, v in vars(cases).items() if k not in ("period", "area")}
    clean, dirty = (fit(name, c, task="counts", **quick) for c in (cases, dataclasses.replace(cases, **poisoned)))
    assert all(torch.equal(a, b) for a, b in zip(clean.model.state_dict().values(), dirty.model.state_dict().values()))
    assert clean.log.drop(columns="seconds").equals(dirty.log.drop(columns="seconds"))
    assert torch.equal(clean.head.mean, dirty.head.mean)

def test_the_best_epoch_on_validation_is_kept(cases):
    fitted = fit("DNN", cases, task="counts", **quick | {"lr": .05, "epochs": 30, "evaluations": 30})
    best = fitted.log.valid.idxmax()
    assert best < 29                                      # it overfits: the last epoch is not the one that is kept
    rows = cases.rows(range(20, 25))
    with torch.no_grad(): loss = fitted.head.loss(fitted.model(cases.flat[rows]), cases.counts[rows])
    assert np.isclose(loss.item(), -fitted.log.valid[best], atol=1e-5)

def test_a_longer_run_at_a_constant_rate_contains_the_shorter_one(cases):
    short, long = (fit("LSTMCrimeNet", cases, **quick | {"epochs": n, "evaluations": n}).log for n in (2, 5))
    assert short.drop(columns="seconds").equals(long[:2].drop(columns="seconds"))

@pytest.mark.parametrize("name", MODELS)
def test_a_killed_run_goes_on_and_ends_the_same(name, cases, tmp_path, monkeypatch):
    whole = fit(name, cases, **quick)
    calls, real = [], parallel.Head.loss
    class Killed(Exception): pass
    def dies(self, z, y):
        calls.append(1)
        if len(calls) > 8: raise Killed
        return real(self, z, y)
    monkeypatch.setattr(parallel.Head, "loss", dies)
    with pytest.raises(Killed): fit(name, cases, checkpoint=tmp_path/"c.pt", **quick)
    monkeypatch.undo()
    assert (tmp_path/"c.pt").exists()
    resumed = fit(name, cases, checkpoint=tmp_path/"c.pt", **quick)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values()))
    # other data, other settings: refused
    for other in (dict(task="counts"), dict(batch=10), dict(model={"units": 16})):
        with pytest.raises(InputError, match="another"): fit(name, cases, checkpoint=tmp_path/"c.pt", **quick | other)
    with pytest.raises(InputError, match="another data"): fit(name, made_up(1), checkpoint=tmp_path/"c.pt", **quick)

def test_the_seed_decides_everything(cases):
    one, same, other = (fit("GAT+TCN", cases, **quick, seed=s).log.loss.tolist() for s in (0, 0, 1))
    assert one == same != other

def test_bad_arguments_of_fit_are_refused(cases):
    for wrong in (dict(name="CNN"), dict(task="risk"), dict(loss="MAE"), dict(batch=0), dict(evaluations=0), dict(seed=-1), dict(valid_on=range(19, 25)),
                  dict(train_on=range(50, 60)), dict(name="GAT+TCN", edge_index=None), dict(name="GAT+TCN", edge_index=RING + 1)):
        with pytest.raises(InputError): fit(**dict(name="DNN", cases=cases, **quick) | wrong)


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

def test_a_setting_becomes_arguments(cases):
    assert as_arguments({"lr": .01, "layers": 4, "batch": 64, "units": 8}) == {"model": {"layers": 4, "units": 8}, "lr": .01, "batch": 64}
    fitted = fit("DNN", cases, **quick | as_arguments(grid_search("DNN")[0]))
    assert sum(isinstance(m, torch.nn.Linear) for m in fitted.model.modules()) == 4

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
