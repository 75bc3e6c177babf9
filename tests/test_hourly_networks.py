"crimenb.baselines.hourly_networks: surprises, the lattice, the networks' shapes and reach, what a fit finds and what it can't see."
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb.baselines.hourly_map import PoissonRegression
from crimenb.baselines.hourly_networks import NETWORKS, SHARES, Convolution, Corrected, corrected, lattice, learn, seen, surprises, types_of
from crimenb.core import InputError
from crimenb.grids import Grid, HourlyMaps

HOURS, TRAIN, VALID, TEST = 420, np.arange(30, 250), np.arange(250, 330), np.arange(330, 420)


def some(types=1, rate=.3, seed=0, side=(3, 4)):
    counts = np.random.default_rng(seed).poisson(rate, (HOURS, types, *side)).astype("float32")
    return counts, np.full(counts.shape, rate, "float32"), np.random.default_rng(seed).random((HOURS, 5)).astype("float32")

def quick(network, data, **change):
    "(network, share, what it saw) and the log."
    model, log, share, what = learn(network, *data, TRAIN, VALID, **{**dict(hidden=4, history=6, epochs=2, lr=.01, batch=32, device="cpu"), **change})
    return (model, share, what), log

def follower(T=HOURS, side=5, seed=0):
    "Every crime is followed by one in the same cell an hour later with a probability of .6."
    rng, counts = np.random.default_rng(seed), np.zeros((T, 1, side, side))
    for t in range(T): counts[t] = rng.poisson(.1 + (.6*counts[t - 1] if t else 0))
    return counts.astype("float32")


def test_surprises_by_hand():
    found = surprises(np.array([[[[2., 0, 9, 1]]]]), np.array([[[[.9, .15, 0, np.nan]]]]))
    np.testing.assert_allclose(found.ravel(), [1.1, -.3, 5, 0], rtol=1e-5)
    assert found.dtype == np.float32 and found.shape == (1, 1, 1, 4)

@given(st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_lattice_joins_cells_at_distance_one(rows, columns):
    edges = lattice(rows, columns).numpy()
    cell = np.stack(np.indices((rows, columns)), -1).reshape(-1, 2)
    expected = {(a, b) for a in range(len(cell)) for b in range(len(cell)) if abs(cell[a] - cell[b]).sum() == 1}
    assert set(zip(*edges.tolist())) == expected and edges.shape[1] == len(expected) == 2*(rows*(columns - 1) + columns*(rows - 1))

@pytest.mark.parametrize("n", [1, 6])
def test_a_convolution_is_that_of_torch_geometric(n):
    other = pytest.importorskip("torch_geometric.nn").GraphConv
    edges, x = torch.from_numpy(np.random.default_rng(n).integers(n, size=(2, 3*n))), torch.randn(2, n, 4)
    made = []
    for build in (Convolution, lambda a, b: other(a, b, aggr="mean")):
        torch.manual_seed(n)
        layer = build(4, 3)
        out = layer(x, edges)
        out.square().sum().backward()
        made.append((out, {name: weight.detach() for name, weight in layer.named_parameters()}, [weight.grad for weight in layer.parameters()]))
    torch.testing.assert_close(made[0][0], made[1][0])
    assert made[0][1].keys() == made[1][1].keys() and all(torch.equal(made[0][1][k], made[1][1][k]) for k in made[0][1])
    torch.testing.assert_close(made[0][2], made[1][2])

@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("types", [1, 3])
def test_a_new_network_corrects_nothing(network, types):
    model = NETWORKS[network](types, 5, 4, 6)
    out = model(torch.randn(2, 6, types, 3, 4), torch.randn(2, types, 3, 4), torch.rand(2, 5))
    assert out.shape == (2, types, 3, 4) and (out == 0).all()

@pytest.mark.parametrize("network", NETWORKS)
def test_cells_and_hours_keep_their_places(network):
    "Mirrored maps give mirrored corrections, and a batch gives what its hours give alone."
    torch.manual_seed(0)
    model = NETWORKS[network](2, 5, 4, 6).eval()
    torch.nn.init.normal_(model.head[2].weight)
    past, level, external = torch.randn(3, 6, 2, 3, 4), torch.randn(3, 2, 3, 4), torch.rand(3, 5)
    out = model(past, level, external)
    torch.testing.assert_close(model(past.flip(-1), level.flip(-1), external), out.flip(-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([model(past[i:i + 1], level[i:i + 1], external[i:i + 1]) for i in range(3)]), out, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(out, out.flip(-1), atol=1e-3) and not torch.allclose(out[:1], out[1:2], atol=1e-3)

@pytest.mark.parametrize("network", NETWORKS)
def test_a_forecast_cannot_see_the_future(network):
    counts, base, external = some(types=2)
    (model, _, what), _ = quick(network, (counts, base, external))
    with torch.no_grad(): torch.nn.init.normal_(model.head[2].weight)
    forecast = lambda what, t: corrected(model, 1., what, [t])
    for t in (330, 331, 400):
        poisoned, later = counts.copy(), base.copy()
        poisoned[t:], later[t + 1:] = 1000, 7
        other = seen(poisoned, later, external, what.history, "cpu")
        np.testing.assert_allclose(forecast(other, t), forecast(what, t), rtol=1e-5)
        # the test can fail: the next hour's forecast has seen it
        assert not np.allclose(forecast(other, t + 1)/later[t + 1], forecast(what, t + 1)/base[t + 1], rtol=.01)

@pytest.mark.parametrize("network", NETWORKS)
def test_the_test_hours_change_nothing_in_training(network):
    counts, base, external = some()
    a, log = quick(network, (counts, base, external))
    poisoned = counts.copy()
    poisoned[TEST] = 1000
    b, again = quick(network, (poisoned, base, external))
    assert a[1] == b[1] and log.loss.tolist() == again.loss.tolist()
    for x, y in zip(a[0].parameters(), b[0].parameters()): assert torch.equal(x, y)
    poisoned[TRAIN] = 3
    assert quick(network, (poisoned, base, external))[1].loss.tolist() != log.loss.tolist()

@pytest.mark.parametrize("network", NETWORKS)
def test_what_follows_is_found(network):
    counts = follower()
    found = quick(network, (counts, np.full(counts.shape, .25), np.zeros((HOURS, 1))), epochs=12, lr=.03, hidden=8)[0]
    forecast, before = corrected(*found, TEST), counts[TEST - 1]
    loss = lambda rate: float((rate - counts[TEST]*np.log(rate)).mean())
    truth, rule = .1 + .6*before, np.full(forecast.shape, .25)
    assert found[1] >= .5 and loss(rule) - loss(forecast) > .6*(loss(rule) - loss(truth)) > .02

def test_no_correction_is_worse_than_the_rule_on_validation():
    for seed in range(4):
        data = some(seed=seed)
        found = quick("graph", data, epochs=4, lr=.1)[0]
        loss = lambda rate: float((rate - data[0][VALID]*np.log(rate)).mean(dtype=float))
        assert loss(corrected(*found, VALID)) <= loss(data[1][VALID]) + 1e-7 and found[1] in SHARES

def test_a_share_of_zero_is_the_rule():
    data = some()
    (model, _, what), _ = quick("recurrent", data)
    np.testing.assert_array_equal(corrected(model, 0., what, TEST), data[1][TEST])

def test_fit_is_reproducible_and_goes_on(tmp_path):
    data = some(types=2)
    a, b, c = (corrected(*quick("recurrent", data, checkpoint=path)[0], TEST) for path in (tmp_path/"run.pt", tmp_path/"run.pt", None))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)
    with pytest.raises(InputError): quick("recurrent", data, hidden=5, checkpoint=tmp_path/"run.pt")
    # another city must not get these weights, and other test hours don't matter
    with pytest.raises(InputError, match="data"): quick("recurrent", some(types=2, seed=1), checkpoint=tmp_path/"run.pt")
    later = data[0].copy()
    later[TEST] += 1
    quick("recurrent", (later, *data[1:]), checkpoint=tmp_path/"run.pt")

def test_types():
    category = ["b", "a", "c", "a", "b", None, "d", "d", "d"]
    names, number = types_of(category, 2)
    assert names == ["d", "a", "other"] and number.tolist() == [2, 1, 2, 1, 2, 2, 0, 0, 0]
    names, number = types_of(category, 2, np.arange(9) < 5)             # ranked before the d's come
    assert names == ["a", "b", "other"] and number.tolist() == [1, 0, 2, 0, 1, 2, 2, 2, 2]
    assert types_of(["x"], 5)[0] == ["x", "other"]
    with pytest.raises(InputError): types_of(category, 0)

@pytest.mark.parametrize("change, words", [(dict(network="mlp"), "network"), (dict(batch=0), "batch"), (dict(history=0), "history"), (dict(train_hours=[]), "training hours"),
                                           (dict(train_hours=VALID, valid_hours=TRAIN), "training hours"), (dict(train_hours=np.arange(3, 200)), "begin later"),
                                           (dict(counts=np.zeros((HOURS, 3, 4))), "shape"), (dict(external=np.zeros((3, 5))), "external")])
def test_bad_input(change, words):
    counts, base, external = some()
    given = dict(network="graph", counts=counts, base=base, external=external, train_hours=TRAIN, valid_hours=VALID, history=6, epochs=1)
    with pytest.raises(InputError, match=words): learn(**{**given, **change})

def test_hours_without_a_forecast_are_refused():
    counts, base, external = some()
    base[:40] = np.nan
    with pytest.raises(InputError, match="begin later"): quick("graph", (counts, base, external))
    model, _, share, what = learn("graph", counts, base, external, np.arange(40, 250), VALID, hidden=2, history=6, epochs=1, device="cpu")
    assert np.isfinite(corrected(model, share, what, TEST)).all()

def test_a_corrected_base_is_honest_and_keeps_the_fits_that_it_needs():
    "The base's forecasts of training hours don't know them, and later forecasts are those of the function."
    counts = np.random.default_rng(0).poisson(.3, (1100, 3, 4)).astype("float32")
    view = HourlyMaps(counts, pd.Timestamp("2018-03-05"), Grid(0, 0, 1, 1, 3, 4))
    model = Corrected(PoissonRegression(alpha=1e-2), history=6, hidden=4, epochs=1, refit=200, device="cpu")
    base, pairs, first = model._honest(view, slice(0, 800), slice(800, 1000))
    assert first == 504 and np.isnan(base[:504]).all() and (base[504:1000] > 0).all() and np.isnan(base[1000:]).all()
    np.testing.assert_allclose(base[600:800], PoissonRegression(alpha=1e-2).fit(view, slice(0, 600)).predict(view, slice(600, 800)), rtol=1e-5)
    model.fit(view, slice(0, 800), slice(800, 1000))
    assert model.name == "Poisson regression + recurrent" and model.share_ in SHARES
    base_of = np.concatenate([np.full((1, 1, 3, 4), .3, "float32"), model._base_of(view, np.arange(1, 1100))[:, None]])
    features = view.external(("hour", "holiday", "temperature", "wind", "event", "weekday"), model.ranges_)
    expected = corrected(model.network_, model.share_, seen(counts[:, None], base_of, features, 6, "cpu"), [1050])
    np.testing.assert_allclose(model.predict(view, [1050]), expected[:, 0], rtol=1e-6)
    with pytest.raises(InputError, match="looks back"): model.predict(view, [3])


def test_the_cells_that_need_real_data_show_what_is_stored(fetched, monkeypatch, capsys):
    "They are not run with the others, and what the text says of the distance to the noise is asserted in them."
    files = [path for name in ("chicago_2016_2017", "chicago_2018", "nyc_2014_2015") for path in fetched(name).values()]
    monkeypatch.setenv("CRIMENB_DATA", str(Path(files[0]).parents[1]))
    path = Path(__file__).parents[1] / "nbs/baselines/25_hourly_networks.ipynb"
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and "eval: false" in c.source]
    names: dict = {"np": np, "pd": pd}
    for cell in cells:
        exec(cell.source, names)
        assert "".join(o.text for o in cell.outputs) == capsys.readouterr().out, cell.source
    assert len(cells) == 2 and cells[1].outputs
