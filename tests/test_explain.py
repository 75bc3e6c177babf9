"crimenb.explain against closed forms, enumeration of orders, and exact values."
from itertools import permutations

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch

from crimenb.core import InputError
from crimenb.metrics import widened
from crimenb.explain import METHODS, Explanation, exact_shapley, group_labels, rank_intervals, ranks_first, shapley, summary_plot
from crimenb.papers.parallel import DNN, GATTCN, LSTMCrimeNet
from crimenb.pictures import STYLE
from crimenb.training import seeded


def orders(model, x, background, players):
    "Shapley values of one case by entering in every order; `players` is a list of lists of columns."
    def worth(inside):
        mixed = background.clone()
        for p in inside: mixed[:, players[p]] = x[players[p]]
        return float(model(mixed).double().mean())
    values, all_orders = np.zeros(len(players)), list(permutations(range(len(players))))
    for order in all_orders:
        for i, p in enumerate(order): values[p] += worth(order[:i + 1]) - worth(order[:i])
    return values/len(all_orders)


def wild(z): return torch.sin(z[:, 0]*z[:, 1]) + z[:, 2]*z[:, 3]**2 + (z[:, 0] > 0)*z[:, 3]

RNG = torch.Generator().manual_seed(0)
X, B = torch.randn(6, 4, generator=RNG, dtype=torch.float64), torch.randn(9, 4, generator=RNG, dtype=torch.float64)


@pytest.mark.parametrize("labels, players", [(None, [[0], [1], [2], [3]]), (list("abab"), [[0, 2], [1, 3]]), (["one", "two", "two", "three"], [[0], [1, 2], [3]])])
def test_exact_values_are_the_mean_over_all_orders(labels, players):
    values, names = exact_shapley(wild, X, B, labels)
    assert names == (["0", "1", "2", "3"] if labels is None else list(dict.fromkeys(labels)))
    np.testing.assert_allclose(values, [orders(wild, x, B, players) for x in X], atol=1e-12)
    np.testing.assert_allclose(values.sum(1), wild(X) - wild(B).mean(), atol=1e-12)
    for batch in (1, 20): np.testing.assert_allclose(exact_shapley(wild, X, B, labels, batch=batch)[0], values, atol=1e-12)


def test_linear_models_have_a_closed_form_by_every_method():
    w = torch.tensor([1., -2., 0., .5], dtype=torch.float64)
    expected = w*(X - B.mean(0))
    linear = lambda z: z @ w + 3
    np.testing.assert_allclose(exact_shapley(linear, X, B)[0], expected, atol=1e-12)
    for method in METHODS:
        found = shapley(linear, X, B, method=method, draws=300)
        assert (abs(found.values - expected.numpy()) <= 5*found.error + 1e-5).all(), method
        assert found.base == pytest.approx(float(linear(B).mean()))
        assert (abs(found.values[:, 2]) < 1e-5).all()          # no effect, no value
    fixed = shapley(linear, X, B[:1], draws=2)                 # one background case: every order gives the same, and no error is left
    np.testing.assert_allclose(fixed.values, w*(X - B[0]), atol=1e-5); assert fixed.error.max() < 1e-3


def test_sampling_is_unbiased_and_its_error_is_true():
    exact, _ = exact_shapley(wild, X, B)
    runs = [shapley(wild, X, B, draws=60, seed=s) for s in range(30)]
    values, errors = np.array([r.values for r in runs]), np.array([r.error for r in runs])
    z = (values.mean(0) - exact)/(values.std(0, ddof=1)/np.sqrt(30) + 1e-9)
    assert abs(z).max() < 4.5 and z.std() < 1.7
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(0, ddof=1).mean(), rel=.25)


def test_the_gradient_method_splits_interactions_in_another_way_but_completely():
    f = lambda z: z[:, 0]**2*z[:, 1]
    x, b = torch.tensor([[1., 1.]]), torch.zeros(1, 2)
    np.testing.assert_allclose(exact_shapley(f, x, b)[0], [[.5, .5]])
    found = shapley(f, x, b, method="gradient", draws=1000)
    np.testing.assert_allclose(found.values, [[2/3, 1/3]], atol=.04)       # the integral of t² * 2 and of t² along the line
    assert found.values.sum() == pytest.approx(1, abs=.07)
    np.testing.assert_allclose(shapley(f, x, b, draws=1000).values, [[.5, .5]], atol=.06)


class Recurrent(torch.nn.Module):
    def __init__(self, n_in=3, n_out=1):
        super().__init__()
        self.lstm, self.out, self.drop = torch.nn.LSTM(n_in, 6, batch_first=True), torch.nn.Linear(6, n_out), torch.nn.Dropout(.5)
    def forward(self, x): return self.out(self.drop(self.lstm(x)[0][:, -1]))


@pytest.mark.parametrize("labels, P", [(["a", "b", "c"], 3), ([["3 before"], ["2 before"], ["1 before"]], 3), ([["x", "y", "y"]]*3, 2)])
def test_sequences_are_explained_by_feature_or_by_period(labels, P):
    with seeded(1): net, x = Recurrent().eval(), torch.randn(5, 3, 3)
    exact, names = exact_shapley(net, x, x, labels)
    found = shapley(net, x, x, labels, draws=150)
    assert exact.shape == found.values.shape == (5, P) and names == found.players
    assert abs((found.values - exact)/(found.error + 1e-6)).max() < 5
    assert np.isnan(found.feature).all()                        # every player is a group here


def test_areas_in_sequences_with_one_area_explained():
    weights = torch.tensor([1., 2., 4.])
    def model(x): return torch.stack([(x[:, -1, :, 0]*weights).sum(1), x[:, 0, :, 1].sum(1)], 1)[:, None].expand(-1, 3, -1)     # (n, L, A, F) → (n, A, 2)
    x = torch.randn(4, 2, 3, 2, generator=torch.Generator().manual_seed(2))
    labels = [[["north"], ["middle"], ["south"]]]
    output = lambda z: z[:, 1, 0]
    expected = weights*(x[:, -1, :, 0] - x[:, -1, :, 0].mean(0))
    np.testing.assert_allclose(exact_shapley(model, x, x, labels, output)[0], expected, atol=1e-5)
    for method in METHODS:
        found = shapley(model, x, x, labels, output, method, draws=200)
        assert (abs(found.values - expected.numpy()) <= 5*found.error + 1e-5).all()


RING = torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])

@pytest.mark.parametrize("network, shape, labels, output", [
    (lambda: DNN(5, 3, units=16), (5,), ["hour", "hour", "past", "past", "density"], 1),
    (lambda: LSTMCrimeNet(3, 3, units=8), (4, 3), ["past", "season", "season"], 1),
    (lambda: GATTCN(3, 2, RING, units=8, heads=2), (4, 3, 3), ["past", "season", "season"], lambda z: z[:, 0, 1]),
    (lambda: GATTCN(3, 2, RING, units=8, heads=2), (4, 3, 3), [[["here"], ["left"], ["right"]]], lambda z: z[:, 0, 1]),
], ids=["DNN", "LSTM", "GAT+TCN by feature", "GAT+TCN by area"])
def test_the_comparative_study_s_networks_are_explained_as_exactly_as_drawn(network, shape, labels, output):
    with seeded(5): net, x, usual = network().eval(), torch.randn(6, *shape), torch.randn(8, *shape)
    exact, names = exact_shapley(net, x, usual, labels, output)
    found = shapley(net, x, usual, labels, output, draws=120)
    assert names == found.players and (abs(exact).mean(0) > 0).all()
    assert abs((found.values - exact)/(found.error + 1e-6)).max() < 5
    np.testing.assert_allclose(exact.sum(1), found.output - found.base, atol=1e-5)
    # gradients pass through the gates and the attention, too
    quick = shapley(net, x, usual, labels, output, "gradient", draws=120)
    assert np.corrcoef(quick.values.ravel(), exact.ravel())[0, 1] > .9


def test_a_column_of_the_output_is_chosen_by_number():
    with seeded(3): net, x = Recurrent(n_out=4).eval(), torch.randn(3, 2, 3)
    both = [exact_shapley(net, x, x, output=o)[0] for o in (2, lambda z: z[:, 2])]
    np.testing.assert_array_equal(*both)
    with pytest.raises(InputError, match="output="): exact_shapley(net, x, x)
    with pytest.raises(InputError, match="output="): shapley(net, x, x)


def test_draws_are_seeded_leave_the_world_alone_and_the_network_in_its_mode():
    with seeded(4): net, x = Recurrent(), torch.randn(5, 3, 3)
    assert net.training
    state, cases = torch.get_rng_state(), x.clone()
    for method in METHODS:
        a, b = (shapley(net, x, x, method=method, draws=5, seed=7) for _ in range(2))
        np.testing.assert_array_equal(a.values, b.values)       # dropout is off, or they would differ
        assert not np.array_equal(a.values, shapley(net, x, x, method=method, draws=5, seed=8).values)
    assert net.training and (torch.get_rng_state() == state).all() and (x == cases).all()
    np.testing.assert_allclose(shapley(net, x, x, draws=5, seed=7, batch=1).values, shapley(net, x, x, draws=5, seed=7).values, atol=1e-6)


def test_numpy_and_lists_are_cases_too():
    f = lambda z: z[:, 0]*z[:, 1]
    a = exact_shapley(f, X[:, :2].numpy(), B[:, :2].tolist())[0]
    np.testing.assert_allclose(a, exact_shapley(f, X[:, :2], B[:, :2])[0])
    np.testing.assert_allclose(exact_shapley(lambda z: z.sum(1), np.ones((2, 3), int), np.zeros((4, 3), int))[0], 1)


def test_labels_of_columns():
    names = ["hour_sin", "hour_cos", "density", "theft, 1 before"]
    assert group_labels(names, {"hour": "^hour_", "past": "before"}) == ["hour", "hour", "density", "past"]
    assert group_labels(names, {}) == names
    with pytest.raises(InputError, match="regular expression"): group_labels(names, {"bad": "("})


def explanation(values, feature=None):
    values = np.asarray(values, float)
    return Explanation(values, 0*values, values.sum(1), 0., [f"p{i}" for i in range(values.shape[1])], np.full(values.shape, np.nan) if feature is None else feature)


def test_ranks_are_those_of_the_naive_bootstrap():
    rng = np.random.default_rng(0)
    runs = [explanation(rng.normal(size=(24, 4))*[1, 1.1, .5, 2]) for _ in range(3)]
    blocks = np.arange(24)//3
    table = rank_intervals(runs, blocks, n_boot=400, seed=5).set_index("player")
    size = np.array([abs(r.values) for r in runs])
    rng = np.random.default_rng(5)
    networks = [rng.integers(0, 3, 3) for _ in range(400)]
    drawn = [rng.integers(0, 8, 8) for _ in range(400)]
    naive = np.array([size[s][:, np.concatenate([np.flatnonzero(blocks == b) for b in d])].mean((0, 1)) for s, d in zip(networks, drawn)])
    ranks = (-naive).argsort(1).argsort(1) + 1
    for i in range(4):
        row = table.loc[f"p{i}"]
        assert row["importance"] == pytest.approx(size[:, :, i].mean())
        low, high = np.quantile(naive[:, i], [.025, .975])
        # three networks, eight blocks: the interval can be no surer than three cases allow
        np.testing.assert_allclose(row[["low", "high"]].astype(float), widened(row["importance"], low, high, 3, least=0))
        assert row["first"] == (ranks[:, i] == 1).mean()
        covered = ((ranks[:, i] >= row["rank low"]) & (ranks[:, i] <= row["rank high"])).mean()
        assert covered >= .94 and row["rank low"] <= row["rank"] <= row["rank high"]


def test_claims_are_supported_refuted_or_undecided():
    rng = np.random.default_rng(1)
    table = rank_intervals(explanation(rng.normal(size=(200, 3))*[3, 1, 1]))
    assert ranks_first(table, "p0") == "supported" and ranks_first(table, "p1") == "refuted"
    even = rank_intervals(explanation(rng.normal(size=(30, 2))))
    assert ranks_first(even, "p0") == ranks_first(even, "p1") == "undecided"
    with pytest.raises(InputError, match="unknown player"): ranks_first(even, "p7")


def test_networks_that_disagree_widen_the_interval():
    rng = np.random.default_rng(2)
    one = explanation(rng.normal(size=(300, 2))*[2, 1])
    other = explanation(rng.normal(size=(300, 2))*[1, 2.2])
    assert ranks_first(rank_intervals(one), "p0") == "supported"
    assert ranks_first(rank_intervals([one, other]), "p0") == "undecided"


def test_the_plot_shows_every_case_of_the_most_important_players():
    matplotlib.use("Agg")
    values = np.random.default_rng(3).normal(size=(50, 4))*[1, 3, 2, .1]
    feature = np.column_stack([values[:, 0], *[np.full(50, np.nan)]*3])
    ax = summary_plot(explanation(values, feature), most=3)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["p0", "p2", "p1"]       # from below: the most important on top
    dots = [c.get_offsets() for c in ax.collections]
    assert len(dots) == 3 and all(len(d) == 50 for d in dots)
    np.testing.assert_allclose(np.sort(dots[2][:, 0]), np.sort(values[:, 1]))
    assert all((abs(d[:, 1] - row) <= .5).all() for row, d in enumerate(dots))
    assert ax.collections[0].get_cmap().name == STYLE["image.cmap"]                 # the palette of all pictures


@pytest.mark.parametrize("call, what", [
    (lambda: exact_shapley(wild, X, B[:, :3]), "same shape"),
    (lambda: exact_shapley(wild, X[:0], B), "same shape"),
    (lambda: exact_shapley(wild, X*np.nan, B), "NaN"),
    (lambda: shapley(wild, X, B, labels=["a", "b"]), "labels have the shape"),
    (lambda: shapley(wild, X, B, labels=["a", "b", None, "c"]), "missing name"),
    (lambda: shapley(wild, X, B, method="deeplift"), "sampling, gradient"),
    (lambda: shapley(wild, X, B, draws=1), "draws"),
    (lambda: exact_shapley(lambda z: z.sum(1), np.ones((2, 15)), np.ones((2, 15))), "at most 14"),
    (lambda: rank_intervals([]), "one or more"),
    (lambda: rank_intervals([explanation(np.ones((3, 2))), explanation(np.ones((3, 3)))]), "same cases and players"),
    (lambda: rank_intervals(explanation(np.ones((3, 2))), level=95), "level"),
    (lambda: rank_intervals(explanation(np.ones((3, 2))), n_boot=0), "n_boot"),
    (lambda: rank_intervals(explanation(np.ones((3, 2))), blocks=[1, 2]), "blocks"),
    (lambda: summary_plot(explanation(np.ones((3, 2))), most=0), "most"),
])
def test_what_can_not_be_explained_is_refused(call, what):
    with pytest.raises(InputError, match=what): call()
