"crimenb.papers.stresnet: printed counts, the exact ternary projection, packing, the two preparations, training."
import importlib.util
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from crimenb.core import InputError
from crimenb.grids import diurnal_sum, double_time, frame_index
from crimenb.papers import stresnet
from crimenb.papers.stresnet import (EXTERNAL_BRANCHES, PACKINGS, PREPARATIONS, PRINTED, RESOLUTIONS, SHARES, TABLE1, PackedLayer, PackedSTResNet, STResNet, TernarySTResNet,
                                     as_now, base_rate, best_share, build, corrected_base, hit_counts, learn, load_packed, n_parameters, pack, packed_size, predict_hours,
                                     prepare, save_packed, ternarize, to_cumulative, to_hourly, twn, unpack, weighted)
from crimenb.training import seeded

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def some_counts(hours=24*35, side=4, rate=.3, seed=0):
    return np.random.default_rng(seed).poisson(rate, (hours, side, side)).astype("float32")

def tiny_ternary(**kwargs):
    torch.manual_seed(0)
    model = TernarySTResNet(4, 3, (4, 4), residual_units=2, **kwargs)
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(); part.running_var.uniform_(.5, 2)
            nn.init.normal_(part.weight, 1, .3); nn.init.normal_(part.bias)
    return model.eval()


# --- the network ---

@pytest.mark.parametrize("filters, kernel", TABLE1)
def test_printed_numbers_of_parameters(filters, kernel): assert n_parameters(STResNet(filters, kernel)) == TABLE1[filters, kernel]

@pytest.mark.parametrize("filters, kernel, count", [(64, 3, 1_340_159), (32, 3, 340_127), (16, 3, 88_943), (64, 1, 154_367), (32, 1, 42_143), (16, 1, 13_679)])
def test_numbers_of_parameters_on_native_maps(filters, kernel, count): assert n_parameters(STResNet(filters, kernel, (16, 16))) == count

def test_printed_numbers_of_the_ternary_network():
    model = TernarySTResNet(64)
    assert n_parameters(model) == 1_365_031
    assert sum(layer.weight.numel() for layer in weighted(model)) == 1_344_306 and len(weighted(model)) == 3*14 + 2
    full = packed_size(STResNet(64), "float32")
    assert full == 5_403_644
    assert round(packed_size(model, "2 bits")/1e6, 2) == .42
    assert [round(full/packed_size(model, name), 1) for name in PACKINGS] == [12.9, 15.4]

def test_fusion_by_hand():
    "Branches of constant maps: the output is tanh of their weighted sum plus the external part."
    model = STResNet(1, 1, (2, 2), residual_units=0, external_branch="cell means").eval()
    for p in model.parameters(): nn.init.zeros_(p)
    for value, branch in enumerate(model.branches, 1): nn.init.constant_(branch.last.bias, value/10)
    with torch.no_grad():
        model.fusion.copy_(torch.arange(12.).view(3, 2, 2)/10)
        model.external[3].bias.copy_(torch.tensor([.1, .2, .3, .4]))
    expected = [[np.tanh(sum((4*b + i)/10*(b + 1)/10 for b in range(3)) + .1*(i + 1)) for i in row] for row in ((0, 1), (2, 3))]
    np.testing.assert_allclose(model(torch.randn(1, 9, 2, 2), torch.rand(1, 5))[0, 0].detach(), expected, rtol=1e-6)

def test_the_authors_external_branch_only_adds():
    "Dense, ReLU, Dense, ReLU: never below what the maps say; without the last ReLU it can be. The numbers of parameters are the same."
    maps, e = torch.zeros(64, 9, 3, 3), torch.rand(64, 5, generator=torch.Generator().manual_seed(0))
    parts = {}
    for branch in EXTERNAL_BRANCHES:
        with seeded(0): model = STResNet(2, 3, (3, 3), residual_units=1, external_branch=branch).eval()
        with torch.no_grad():
            for b in model.branches: b.last.weight.zero_(); b.last.bias.zero_()
            parts[branch] = model(maps, e)
        assert n_parameters(model) == n_parameters(STResNet(2, 3, (3, 3), residual_units=1)) and model.settings["external_branch"] == branch
    assert (parts["authors"] >= 0).all() and (parts["authors"] > 0).any() and (parts["authors"] == 0).any() and (parts["cell means"] < 0).any()
    assert [type(layer).__name__ for layer in STResNet(2, 3, (3, 3)).external if not isinstance(layer, nn.Identity)] == ["Linear", "ReLU", "Linear", "ReLU"]

@pytest.mark.parametrize("ternary", [False, True])
def test_the_authors_start(ternary):
    "Keras': weights uniform within √(6/(fan in + fan out)), biases 0, fusion weights uniform in [0, 1)."
    with seeded(0): model = (TernarySTResNet if ternary else STResNet)(8, 3, (6, 6), residual_units=1)
    for layer in weighted(model):
        w = (layer.parametrizations.weight.original if ternary else layer.weight).detach()
        area = w[0, 0].numel()
        limit = (6/(area*(w.shape[0] + w.shape[1])))**.5
        assert (layer.bias == 0).all() and .8*limit < w.abs().max() <= limit
        if w.numel() > 500: assert float(w.std()) == pytest.approx(limit/3**.5, rel=.1)
    assert 0 <= model.fusion.min() < .05 and .95 < model.fusion.max() < 1

def test_branches_see_their_own_maps_only():
    torch.manual_seed(0)
    model, e = STResNet(3, 3, (5, 5), residual_units=1), torch.zeros(1, 5)
    x = torch.randn(1, 9, 5, 5, requires_grad=True)
    with torch.no_grad():
        for b in (0, 1): model.fusion[b] = 0
    model(x, e).sum().backward()
    assert (x.grad[:, :6] == 0).all() and (x.grad[:, 6:] != 0).any()

@pytest.mark.parametrize("bad", [dict(filters=0), dict(kernel=2), dict(residual_units=-1), dict(output="relu"), dict(frames=0), dict(external_branch="relu")])
def test_bad_settings_of_the_network(bad):
    with pytest.raises(InputError): STResNet(**bad)


# --- ternary weights ---

def smallest_error(w):
    "min ‖αT - w‖² over every T."
    best = float((w**2).sum())
    for T in itertools.product((-1, 0, 1), repeat=len(w)):
        T = np.array(T)
        if T.any() and T @ w > 0: best = min(best, float((((T @ w/(T @ T))*T - w)**2).sum()))
    return best

@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 3), st.floats(-10, 10, allow_nan=False)), min_size=1, max_size=6))
def test_theorem_6_1_against_every_sign_pattern(w):
    w = np.array(w, float)
    alpha, T = ternarize(torch.from_numpy(w))
    found = float(((float(alpha)*T.numpy() - w)**2).sum())
    assert found <= smallest_error(w) + 1e-9*(1 + (w**2).sum())
    a, t = twn(torch.from_numpy(w))
    assert found <= float(((a*t - torch.from_numpy(w))**2).sum()) + 1e-9*(1 + (w**2).sum())

def test_theorem_6_1_over_every_k():
    w = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    size = w.abs().sort(descending=True).values
    errors = []
    for k in range(1, 501):
        T = w.sign()*(w.abs() >= size[k - 1])
        errors.append(float(((size[:k].mean()*T - w)**2).sum()))
    alpha, T = ternarize(w)
    assert np.isclose(float(((alpha*T - w)**2).sum()), min(errors)) and int(T.abs().sum()) == int(np.argmin(errors)) + 1

def test_ternarize_keeps_equal_magnitudes_together_and_leaves_zeros():
    alpha, T = ternarize(torch.tensor([[1., -1.], [1., 0.]]))
    assert alpha == 1 and T.tolist() == [[1, -1], [1, 0]]
    alpha, T = ternarize(torch.zeros(3))
    assert alpha == 0 and (T == 0).all()

@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1., 0., 1.]), min_size=1, max_size=40), st.sampled_from(list(PACKINGS)))
def test_packing_round_trip(T, packing):
    T = torch.tensor(T)
    packed = pack(T, packing)
    assert packed.dtype == torch.uint8 and len(packed) == -(-len(T)//PACKINGS[packing][0])
    assert torch.equal(unpack(packed, len(T), packing), T)

def test_only_ternary_values_are_packed():
    with pytest.raises(InputError): pack(torch.tensor([.5]))
    with pytest.raises(InputError): pack(torch.tensor([1.]), "3 bits")
    assert unpack(torch.tensor([255], dtype=torch.uint8), 5, "base 3").isnan().all()

@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("output", ["tanh", "linear"])
@pytest.mark.parametrize("branch", EXTERNAL_BRANCHES)
def test_forecasts_from_packed_weights_are_those_of_the_float_model(packing, output, branch):
    model = tiny_ternary(output=output, external_branch=branch)
    x, e = torch.randn(3, 9, 4, 4), torch.rand(3, 5)
    torch.testing.assert_close(PackedSTResNet(model, packing)(x, e), model(x, e), rtol=1e-4, atol=1e-5)

@pytest.mark.parametrize("size", [(4, 4), (5, 7), (40, 40)])
@pytest.mark.parametrize("packing", PACKINGS)
def test_additions_alone_give_the_same_forecasts(packing, size):
    with seeded(0): model = TernarySTResNet(9, 3, size, residual_units=1).eval()
    packed = PackedSTResNet(model, packing, adds=True)
    # the layers to 9 maps are added up, the last of each branch and the dense ones are not
    assert [layer.adds for layer in packed.modules() if isinstance(layer, PackedLayer)] == 3*[True, True, True, False] + 2*[False]
    x, e = torch.randn(2, 9, *size), torch.rand(2, 5)
    torch.testing.assert_close(packed(x, e), model(x, e), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(packed(x, e), PackedSTResNet(model, packing, adds=False)(x, e), rtol=1e-4, atol=1e-5)
    # a map with its columns behind its rows in memory
    torch.testing.assert_close(packed(x.contiguous(memory_format=torch.channels_last), e), packed(x, e))

def test_without_numba_weights_are_unpacked(monkeypatch):
    model = tiny_ternary()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not any(layer.adds for layer in PackedSTResNet(model).modules() if isinstance(layer, PackedLayer))

@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_file_round_trip_and_damage(tmp_path, packing):
    model = PackedSTResNet(tiny_ternary(), packing)
    path = save_packed(model, tmp_path/"model.crn")
    x, e = torch.randn(2, 9, 4, 4), torch.rand(2, 5)
    again = load_packed(path)
    assert torch.equal(again(x, e), model(x, e)) and again.settings == model.settings and again.packing == packing
    whole = path.read_bytes()
    for cut in (0, 5, 20, len(whole)//2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError): load_packed(path)
    for at in range(0, len(whole), max(1, len(whole)//50)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        with pytest.raises(InputError): load_packed(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(InputError): load_packed(path)
    with pytest.raises(InputError): load_packed(tmp_path/"nothing")

def test_a_packed_file_of_before_has_the_other_branch(tmp_path):
    "Files without the setting were made when there was no last ReLU."
    model = PackedSTResNet(tiny_ternary(external_branch="cell means"))
    settings = model.settings
    model.settings = {name: value for name, value in settings.items() if name != "external_branch"}
    again = load_packed(save_packed(model, tmp_path/"old.crn"))
    assert again.settings == settings
    x, e = torch.randn(2, 9, 4, 4), torch.rand(2, 5)
    assert torch.equal(again(x, e), model(x, e))

def test_gradient_is_taken_at_the_ternary_weights():
    "One dense layer: the shadow weights get the gradient that the ternary ones have."
    layer = nn.Linear(3, 2, bias=False)
    shadow = layer.weight.detach().clone()
    nn.utils.parametrize.register_parametrization(layer, "weight", stresnet.Ternary())
    x = torch.randn(4, 3)
    layer(x).pow(2).sum().backward()
    alpha, T = ternarize(shadow)
    w = (alpha*T).requires_grad_()
    (x @ w.T).pow(2).sum().backward()
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, w.grad)

def test_algorithm_2_by_hand(monkeypatch):
    "Two passes over each batch: the second one sees the weights that the first one made."
    counts = some_counts()
    prepared = prepare(counts, resolution="none", test=48)
    seen = []
    original = TernarySTResNet.move
    monkeypatch.setattr(TernarySTResNet, "move", lambda self, what: (seen.append((what, self.fusion.detach().clone(), weighted(self)[0].weight.detach().clone())), original(self, what)))
    learn(build(prepared, True, 2, residual_units=1), prepared, epochs=1, extra_epochs=0, batch=100, device="cpu")
    assert [what for what, *_ in seen] == ["weights", "others"]*(len(seen)//2) + ["all"]
    (_, fusion0, w0), (_, fusion1, w1), (_, fusion2, w2) = seen[:3]
    assert torch.equal(fusion0, fusion1) and not torch.equal(w0, w1)        # the first moves the weights
    assert not torch.equal(fusion1, fusion2) and torch.equal(w1, w2)        # the second the others


# --- preparing and getting back ---

@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("first_hour", [0, 7])
def test_true_maps_sent_back_are_the_counts(resolution, first_hour):
    counts = some_counts()
    p = prepare(counts, resolution=resolution, test=72, first_hour=first_hour)
    hours, y = to_cumulative(p, p.series[p.test], p.test)
    np.testing.assert_array_equal(hours, np.arange(len(counts) - 72, len(counts)))
    np.testing.assert_allclose(y, diurnal_sum(counts, first_hour)[-72:], atol=1e-4)
    np.testing.assert_allclose(to_hourly(p, hours, y), counts[-72:], atol=1e-4)

@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_spline_gives_every_test_hour(resolution):
    counts = some_counts()
    p = prepare(counts, resolution=resolution, preparation="spline", test=72)
    hours, y = to_cumulative(p, p.series[p.test], p.test)
    np.testing.assert_array_equal(hours, np.arange(len(counts) - 72, len(counts)))
    assert np.sqrt(((to_hourly(p, hours, y) - counts[-72:])**2).mean()) < .1

def the_script(counts, external, len_test, doubled):
    "What the authors' script makes of 60 days of counts, written down from its description: loops and all."
    from scipy.ndimage import zoom
    T = len(counts)
    events = zoom(diurnal_sum(counts).astype(float), (2, 2, 2) if doubled else (1, 2, 2), order=2)
    low, high = events[:-len_test].min(), events[:-len_test].max()
    events = 2*(events - low)/(high - low) - 1
    lags = [2, 3, 4, 24, 48, 72, 168, 336, 504]
    # one an hour, although there are two: the loop ends with the number of hours
    targets = list(range(504, T))
    x, y = np.stack([[events[j - k] for k in lags] for j in targets]), np.stack([events[j] for j in targets])
    return x, y, external[targets], targets[:-len_test], targets[-len_test:], (low, high)

@pytest.mark.parametrize("resolution", ["space+time", "space"])
def test_the_authors_preparation_is_the_script_map_for_map(resolution):
    counts, hours = some_counts(hours=1440), 96
    external = np.random.default_rng(1).random((1440, 5)).astype("float32")
    doubled = resolution == "space+time"
    x, y, features, train, test, (low, high) = the_script(counts, external, hours*(1 + doubled), doubled)
    p = prepare(counts, external, hours, None, resolution, "authors")
    if doubled: assert (len(p.series), train[0], train[-1], test[0], test[-1]) == (2880, 504, 1247, 1248, 1439)      # as in the notes on the script
    assert p.both.tolist() == train and p.test.tolist() == test and p.train.tolist() == train[:int(.9*len(train))] and p.valid.tolist() == train[int(.9*len(train)):]
    assert (p.low, p.high) == pytest.approx((low, high), rel=1e-5)
    scaled, every = p.scale(p.series).numpy(), np.concatenate([p.both, p.test])
    np.testing.assert_allclose(scaled[frame_index(every, p.lags)], x, atol=2e-5)
    np.testing.assert_allclose(scaled[every], y, atol=2e-5)
    np.testing.assert_array_equal(p.external[every], features)

def test_the_authors_test_lies_in_the_middle_of_the_series():
    counts = some_counts(hours=1440)
    p = prepare(counts, resolution="space+time", preparation="authors", test=96)
    hours, y = to_cumulative(p, p.series[p.test], p.test)
    assert hours[0] > 620 and hours[-1] < 722
    assert np.sqrt(((to_hourly(p, hours, y) - counts[hours])**2).mean()) < .15

@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("hour", [600, 601, 700, 791])
def test_the_future_changes_no_input_of_the_sound_way(resolution, hour):
    counts = some_counts()
    poisoned = counts.copy()
    poisoned[hour:] = 1000
    step = 2 if resolution == "space+time" else 1
    clean, dirty = prepare(counts, resolution=resolution, test=48), prepare(poisoned, resolution=resolution, test=48)
    every = np.concatenate([clean.both, clean.test])
    index = frame_index(every[every <= step*hour], clean.lags)
    assert torch.equal(clean.series[index], dirty.series[index])
    # and what is forecast for that hour did change: the test can fail
    assert not torch.equal(clean.series[step*hour], dirty.series[step*hour])

@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_test_hours_change_nothing_in_sound_training(resolution):
    counts = some_counts()
    poisoned = counts.copy()
    poisoned[-48:] = 1000
    clean, dirty = (prepare(c, resolution=resolution, test=48) for c in (counts, poisoned))
    assert (clean.low, clean.high) == (dirty.low, dirty.high)
    assert torch.equal(clean.series[clean.both], dirty.series[dirty.both])
    assert torch.equal(clean.series[frame_index(clean.both, clean.lags)], dirty.series[frame_index(dirty.both, dirty.lags)])

def test_the_authors_way_lets_the_future_in():
    counts = some_counts()
    poisoned = counts.copy()
    poisoned[-48:] = 1000
    clean, dirty = (prepare(c, preparation="spline", test=48) for c in (counts, poisoned))
    assert not torch.equal(clean.series[clean.both], dirty.series[dirty.both])
    # the script's maps of the first half look ahead just as far
    poisoned[600:] = 1000
    clean, dirty = (prepare(c, preparation="authors", test=48) for c in (counts, poisoned))
    assert not torch.equal(clean.series[1196:1198], dirty.series[1196:1198])

def test_validation_by_a_number_of_hours():
    for resolution, step in (("space+time", 2), ("none", 1)):
        p = prepare(some_counts(), resolution=resolution, test=72, valid=48)
        assert len(p.valid) == 48 and p.valid[0] == step*(24*35 - 72 - 48)

@pytest.mark.parametrize("preparation, resolution", list(itertools.product(PREPARATIONS, RESOLUTIONS)))
def test_parts_do_not_overlap(preparation, resolution):
    p = prepare(some_counts(), resolution=resolution, preparation=preparation, test=72)
    assert p.train[-1] < p.valid[0] and p.valid[-1] < p.test[0] and p.both[-1] < p.test[0]
    assert set(p.train) <= set(p.both) and set(p.valid) <= set(p.both)
    assert -1 - 1e-6 <= p.scale(p.series[p.train]).min() and p.scale(p.series[p.train]).max() <= 1 + 1e-6
    torch.testing.assert_close(p.unscale(p.scale(p.series)), p.series, rtol=1e-4, atol=1e-4)

def test_the_doubling_leak_is_exact():
    y = diurnal_sum(some_counts())
    doubled = double_time(y)
    whole = np.arange(2, len(doubled), 2)
    np.testing.assert_array_equal(2*doubled[whole - 1] - doubled[whole - 2], y[1:])

def test_step_7():
    counts = np.zeros((600, 1, 1), "float32")
    counts[:, 0, 0] = np.arange(600) % 3 == 0
    p = prepare(np.tile(counts, (1, 2, 2)), resolution="none", test=24)
    flat = np.full((24, 2, 2), 4., "float32")
    hourly = to_hourly(p, p.test, flat)[:, 0, 0]
    assert hourly[0] == 4                                       # midnight: nothing is known yet
    assert hourly[12] == 0 and (hourly >= 0).all()              # 4 were known at 11: no less than that
    assert (to_hourly(p, p.test, -flat) >= 0).all()

@pytest.mark.parametrize("bad, words", [(dict(counts=some_counts(100)), "too few"), (dict(counts=some_counts()[0]), "dimensions"), (dict(counts=some_counts()*0), "no crime"),
                                        (dict(resolution="time"), "resolution"), (dict(preparation="mine"), "preparation"), (dict(external=np.zeros((3, 5))), "external"), (dict(valid=1.5), "valid"), (dict(valid=2000), "too few")])
def test_bad_input_to_prepare(bad, words):
    with pytest.raises(InputError, match=words): prepare(**{"counts": some_counts(), "test": 48, **bad})


# --- training ---

SMALL, QUICK = dict(filters=2, residual_units=1), dict(epochs=2, extra_epochs=1, device=DEVICE, checks=2)

@pytest.mark.parametrize("branch", EXTERNAL_BRANCHES)
@pytest.mark.parametrize("change, evaluations", [({}, 2), ({"ternary": True}, 2), ({"ternary": True}, 1), ({"kernel": 1}, 2)], ids=str)
def test_training_is_reproducible_and_forecasts_hourly_counts(change, evaluations, branch):
    counts = some_counts()
    prepared = prepare(counts, resolution="space+time", test=48, valid=.3)
    found = []
    for _ in range(2):
        network = build(prepared, **{**SMALL, **change}, external_branch=branch)
        log = learn(network, prepared, evaluations=evaluations, **QUICK)
        found.append(predict_hours(network, prepared))
    (hours, forecast), (_, again) = found
    assert forecast.shape == (48, 4, 4) and (forecast >= 0).all() and hours[-1] == len(counts) - 1
    np.testing.assert_array_equal(forecast, again)
    assert log.part.tolist() == ["train", "train", "both"] and log.epoch.tolist() == [1, 2, 3]

def test_a_killed_training_goes_on(tmp_path):
    prepared = prepare(some_counts(), resolution="none", test=48)
    def trained(path=None, **change):
        network = build(prepared, **{**SMALL, **change})
        learn(network, prepared, checkpoint=path, **QUICK)
        return predict_hours(network, prepared)[1]
    whole, path = trained(), tmp_path/"run.pt"
    np.testing.assert_array_equal(trained(path), whole)
    assert path.exists() and path.with_suffix(".2.pt").exists()
    path.with_suffix(".2.pt").unlink()                          # as if it had been killed between the parts
    np.testing.assert_array_equal(trained(path), whole)
    for other in (dict(filters=3), dict(external_branch="cell means")):
        with pytest.raises(InputError): trained(path, **other)
    # another city must not get these weights
    prepared = prepare(some_counts(seed=1), resolution="none", test=48)
    with pytest.raises(InputError, match="data"): trained(path)

def test_training_overfits_a_few_maps():
    "On one repeated day everything can be learnt."
    day = np.random.default_rng(0).poisson(.5, (24, 4, 4))
    prepared = prepare(np.tile(day, (30, 1, 1)), resolution="none", test=24)
    network = build(prepared, filters=8, residual_units=1, external_branch="cell means")
    log = learn(network, prepared, epochs=30, extra_epochs=0, lr=5e-3, device=DEVICE, checks=5)
    assert log.loss.iloc[-1] < .1*log.loss.iloc[0]
    assert np.sqrt(((predict_hours(network, prepared)[1] - day)**2).mean()) < .6*np.sqrt(day.mean())

def poisson(counts, prepared, base, lr, shape=SMALL, **change):
    "A network that corrects a base, trained."
    network = build(prepared, poisson=True, **shape)
    learn(network, prepared, base, **{**QUICK, "lr": lr, **change})
    return network

def test_poisson_loss_starts_at_the_base():
    counts = some_counts()
    prepared = prepare(counts, resolution="none", test=48)
    base = base_rate(counts, prepared.train[-1] + 1)[np.arange(len(counts)) % 24]
    np.testing.assert_allclose(corrected_base(poisson(counts, prepared, base, 1e-9), prepared, base, prepared.test), base[prepared.test], rtol=1e-4)
    with pytest.raises(InputError, match="native"): learn(build(fine := prepare(counts, test=48), poisson=True, **SMALL), fine, base)
    for wrong in (build(prepared, ternary=True, **SMALL), build(prepared, **SMALL)):
        with pytest.raises(InputError, match="poisson=True"): learn(wrong, prepared, base)

def test_a_given_base_is_corrected():
    counts = some_counts()
    prepared = prepare(counts, resolution="none", test=48)
    base = np.random.default_rng(1).uniform(.2, .4, counts.shape).astype("float32")
    base[:prepared.both[0]] = np.nan
    # wild steps on noise: the share keeps the validation hours from getting worse
    network = poisson(counts, prepared, base, .1, extra_epochs=0)
    share = best_share(network, prepared, base)
    loss = lambda rate: float((rate - counts[prepared.valid]*np.log(rate)).mean(dtype=float))
    assert loss(corrected_base(network, prepared, base, prepared.valid, share)) <= loss(base[prepared.valid]) + 1e-6 and share in SHARES
    np.testing.assert_array_equal(corrected_base(network, prepared, base, prepared.test, 0.), base[prepared.test])
    for bad, words in ((base[1:], "shape"), (0*base, "above 0")):
        with pytest.raises(InputError, match=words): poisson(counts, prepared, bad, .1)

def test_what_the_base_misses_is_learnt():
    "Twice as many crimes as the base says, everywhere."
    counts = some_counts(rate=.6)
    prepared, base = prepare(counts, resolution="none", test=48), np.full(counts.shape, .3, "float32")
    network = poisson(counts, prepared, base, .02, dict(filters=4, residual_units=1), epochs=8, extra_epochs=0, checks=8)
    share = best_share(network, prepared, base)
    assert share > .5 and abs(corrected_base(network, prepared, base, prepared.test, share).mean() - .6) < .12

def test_base_rate():
    counts = np.zeros((72, 1, 2), "float32")
    counts[::24, 0, 0] = 6                                      # six crimes at midnight of every day in one cell
    assert base_rate(counts, 72, strength=0)[0, 0].tolist() == [6, 0] and base_rate(counts, 72, strength=0)[1:].sum() == 0
    assert (base_rate(counts, 72) > 0).all()
    np.testing.assert_allclose(base_rate(counts, 72, strength=1e9).sum(), 6, rtol=.1)
    changed = counts.copy()
    changed[48:] = 99
    np.testing.assert_array_equal(base_rate(counts, 48), base_rate(changed, 48))

@pytest.mark.parametrize("bad", [dict(evaluations=3), dict(batch=0), dict(epochs=0), dict(extra_epochs=-1)])
def test_bad_settings_of_training(bad):
    prepared = prepare(some_counts(), resolution="none", test=48)
    with pytest.raises(InputError): learn(build(prepared, **SMALL), prepared, **{**QUICK, **bad})

def test_results_of_before_get_todays_names():
    import pandas as pd
    rows = pd.DataFrame([dict(study="stresnet", method=name, parameters=parameters) for parameters in ({"filters": 16}, {"filters": 16, "external_branch": "authors"})
                         for name in ("ST-ResNet, authors", "ternary ST-ResNet, sound", "ST-ResNet, Poisson", "KNN, hourly")])
    assert as_now(rows).method.tolist() == ["ST-ResNet, spline, cell means", "ternary ST-ResNet, sound, cell means", "ST-ResNet, Poisson", "KNN, hourly",
                                            "ST-ResNet, authors", "ternary ST-ResNet, sound", "ST-ResNet, Poisson", "KNN, hourly"]


# --- what is printed ---

def test_printed_table():
    assert len(PRINTED) == 18 and PRINTED["test RMSE"].min() == .207
    assert {(f, k) for _, k, f in PRINTED.index} == set(TABLE1)

def test_hits():
    assert hit_counts(np.array([[.9, .1], [.5, .4]]), np.array([[1, 0], [0, 3]])) == {"with crime": 2, "candidates": 2, "hits": 1, "hits by chance": 1.}
