"crimenb.baselines.hourly_networks: surprises, the lattice, the networks' shapes and reach, what a fit finds and what it can't see."
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb.baselines.hourly_networks import NETWORKS, SHARES, fit, lattice, surprises, types_of
from crimenb.core import InputError

HOURS, TRAIN, VALID, TEST = 420, np.arange(30, 250), np.arange(250, 330), np.arange(330, 420)


def some(types=1, rate=.3, seed=0, side=(3, 4)):
    counts = np.random.default_rng(seed).poisson(rate, (HOURS, types, *side)).astype("float32")
    return counts, np.full(counts.shape, rate, "float32"), np.random.default_rng(seed).random((HOURS, 5)).astype("float32")

def quick(network, data, **change):
    return fit(network, *data, TRAIN, VALID, **{**dict(hidden=4, history=6, epochs=2, lr=.01, batch=32, device="cpu"), **change})

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
    found = replace(quick(network, (counts, base, external)), share=1.)
    with torch.no_grad(): torch.nn.init.normal_(found.model.head[2].weight)
    for t in (330, 331, 400):
        poisoned, later = counts.copy(), base.copy()
        poisoned[t:], later[t + 1:] = 1000, 7
        other = replace(found, surprise=torch.from_numpy(surprises(poisoned, later)), base=torch.from_numpy(later))
        np.testing.assert_allclose(other.forecast([t]), found.forecast([t]), rtol=1e-5)
        # the test can fail: the next hour's forecast has seen it
        assert not np.allclose(other.forecast([t + 1])/later[t + 1], found.forecast([t + 1])/base[t + 1], rtol=.01)

@pytest.mark.parametrize("network", NETWORKS)
def test_the_test_hours_change_nothing_in_training(network):
    counts, base, external = some()
    a = quick(network, (counts, base, external))
    poisoned = counts.copy()
    poisoned[TEST] = 1000
    b = quick(network, (poisoned, base, external))
    assert a.share == b.share and a.log.loss.tolist() == b.log.loss.tolist()
    for x, y in zip(a.model.parameters(), b.model.parameters()): assert torch.equal(x, y)
    poisoned[TRAIN] = 3
    assert quick(network, (poisoned, base, external)).log.loss.tolist() != a.log.loss.tolist()

@pytest.mark.parametrize("network", NETWORKS)
def test_what_follows_is_found(network):
    counts = follower()
    found = quick(network, (counts, np.full(counts.shape, .25), np.zeros((HOURS, 1))), epochs=12, lr=.03, hidden=8)
    forecast, before = found.forecast(TEST), counts[TEST - 1]
    loss = lambda rate: float((rate - counts[TEST]*np.log(rate)).mean())
    truth, rule = .1 + .6*before, np.full(forecast.shape, .25)
    assert found.share >= .5 and loss(rule) - loss(forecast) > .6*(loss(rule) - loss(truth)) > .02

def test_no_correction_is_worse_than_the_rule_on_validation():
    for seed in range(4):
        data = some(seed=seed)
        found = quick("graph", data, epochs=4, lr=.1)
        loss = lambda rate: float((rate - data[0][VALID]*np.log(rate)).mean(dtype=float))
        assert loss(found.forecast(VALID)) <= loss(data[1][VALID]) + 1e-7 and found.share in SHARES

def test_a_share_of_zero_is_the_rule():
    data = some()
    found = replace(quick("recurrent", data), share=0.)
    np.testing.assert_array_equal(found.forecast(TEST), data[1][TEST])

def test_fit_is_reproducible_and_goes_on(tmp_path):
    data = some(types=2)
    a, b = (quick("recurrent", data, checkpoint=tmp_path/"run.pt") for _ in range(2))
    np.testing.assert_array_equal(a.forecast(TEST), b.forecast(TEST))
    np.testing.assert_array_equal(quick("recurrent", data).forecast(TEST), a.forecast(TEST))
    with pytest.raises(InputError): quick("recurrent", data, hidden=5, checkpoint=tmp_path/"run.pt")

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
    with pytest.raises(InputError, match=words): fit(**{**given, **change})

def test_hours_without_a_forecast_are_refused():
    counts, base, external = some()
    base[:40] = np.nan
    with pytest.raises(InputError, match="begin later"): quick("graph", (counts, base, external))
    found = fit("graph", counts, base, external, np.arange(40, 250), VALID, hidden=2, history=6, epochs=1, device="cpu")
    assert np.isfinite(found.forecast(TEST)).all()
