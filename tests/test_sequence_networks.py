"crimenb.baselines.sequence_networks: each method against a loop or a closed form, and what all of them must keep to."
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from scipy.linalg import sqrtm

from crimenb.baselines import sequence_networks as sn
from crimenb.core import InputError
from crimenb.encoders import NextEvent
from crimenb.sequences import gather, read_sequences, windows
from crimenb.training import seeded, train

seeds = st.integers(0, 2**32 - 1)


def make(name, n_classes=10, **settings):
    with seeded(0): return sn.NETWORKS[name](n_classes, **{"length": 20, "d": 16, **settings})


def cycles(n_spots, n_classes, length):
    "Windows in which each spot goes round and round its own three classes, and the last event hidden."
    rng = np.random.default_rng(0)
    own = np.stack([rng.permutation(n_classes)[:3] for _ in range(n_spots)])
    whole = torch.from_numpy(np.take_along_axis(own, np.arange(length)[None] % 3, 1)) + 1
    at = torch.arange(n_spots)*length + length - 1
    y = whole[:, -1] - 1
    tokens = whole.clone()
    tokens[:, -1] = n_classes + 1
    return tokens, at, y


# what all networks must keep to

@pytest.mark.parametrize("name", sn.NETWORKS)
def test_neither_padding_nor_the_batch_changes_an_answer(name):
    net = make(name).eval()
    g = torch.Generator().manual_seed(1)
    lengths = [20, 3, 1, 11, 20, 2]
    rows = [torch.randint(1, 11, (n,), generator=g) for n in lengths]
    for row in rows: row[-1] = 11
    together = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    at = torch.arange(6)*20 + torch.tensor(lengths) - 1
    logits = net(together, at)
    alone = torch.cat([net(row[None], torch.tensor([len(row) - 1])) for row in rows])
    assert torch.allclose(logits, alone, atol=2e-5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(net(together[order], at[order] % 20 + torch.arange(6)*20), logits[order], atol=2e-5)


@pytest.mark.parametrize("name", sn.NETWORKS)
def test_every_event_of_the_window_has_a_say(name):
    net = make(name, init_std=.3).eval()
    tokens, at, _ = cycles(4, 10, 12)
    logits = net(tokens, at)
    for step in (0, 5, 10):
        other = tokens.clone()
        other[0, step] = other[0, step] % 10 + 1
        moved = (net(other, at) - logits).abs().amax(-1)
        assert moved[0] > 1e-3 and (moved[1:] == 0).all(), step


@pytest.mark.parametrize("name", sn.NETWORKS)
def test_every_parameter_gets_a_gradient_and_padding_stays_zero(name):
    net = make(name)
    tokens = torch.randint(1, 11, (4, 20), generator=torch.Generator().manual_seed(0))
    at = torch.arange(0, 80, 3)
    y = tokens.flatten()[at] - 1
    with seeded(1): net.loss(tokens.flatten().index_fill(0, at, 11).view(4, 20), at, y, 0.).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []
    for part in net.modules():
        if isinstance(part, torch.nn.Embedding) and part.padding_idx == 0:
            assert part.weight[0].abs().sum() == 0 and part.weight.grad[0].abs().sum() == 0


def learn(net, batch, steps=100):
    train(net, lambda epoch, rng: [batch]*(steps//4), lambda net, batch, t: net.loss(*batch, t), epochs=4, lr=.01, device="cpu")
    return net(*batch[:2])


@pytest.mark.parametrize("name, how", [("DuroNet", {}), ("HAIL", {"beta": 0.}), ("CLC", {"weight": 5.}), ("STOSA", {"objective": "cross-entropy"}), ("Informer", {})])
def test_a_small_rule_is_learned_by_heart(name, how):
    tokens, at, y = batch = cycles(8, 10, 9)
    assert (learn(make(name, length=9, dropout=0., init_std=.1, **how), batch).argmax(-1) == y).all()


def test_stosas_pairs_put_what_the_window_has_above_what_it_has_not():
    "The classes that it is compared with are never in the window: that is all the pairs can teach."
    tokens, at, y = batch = cycles(8, 10, 9)
    logits = learn(make("STOSA", length=9, dropout=0., init_std=.1, weight=.1), batch)
    had = torch.zeros(8, 11, dtype=torch.bool).scatter(1, tokens[:, :8], True)[:, 1:]
    assert (logits.gather(1, y[:, None]) > logits.masked_fill(had, -torch.inf)).all()


@pytest.mark.parametrize("name", sn.NETWORKS)
def test_half_precision_gives_nearly_the_same_loss(name):
    net = make(name).eval()
    tokens, at, y = cycles(6, 10, 12)
    with seeded(3): exact = net.loss(tokens, at, y, 0.).item()
    with seeded(3), torch.autocast("cpu", torch.bfloat16): rough = net.loss(tokens, at, y, 0.)
    assert rough.dtype == torch.float32 and rough.item() == pytest.approx(exact, rel=.03)


@pytest.mark.parametrize("name", sn.NETWORKS)
def test_saved_weights_give_the_same_answers(name):
    net, again = make(name).eval(), sn.NETWORKS[name](10, length=20, d=16).eval()
    tokens, at, _ = cycles(3, 10, 12)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(tokens, at), net(tokens, at))


def test_windows_of_the_real_data_give_finite_losses(nyc16):
    train_part = read_sequences(nyc16).drop_last(2)
    cut = windows(train_part)
    i = np.argsort(-cut.length, kind="stable")[[0, 1, -1]]
    tokens = gather(train_part, cut.start[i], cut.length[i])
    at = torch.arange(3)*200 + torch.from_numpy(cut.length[i]) - 1
    y = tokens.flatten()[at] - 1
    tokens.view(-1)[at] = 441
    for name in sn.NETWORKS:
        net = make(name, 440, length=200, d=64)
        assert net(tokens, at).shape == (3, 440) and torch.isfinite(net.loss(tokens, at, y, 0.)), name


@pytest.mark.parametrize("settings, message", [
    (("DuroNet", {"kernel": 4}), "odd number"), (("HAIL", {"beta": 1.5}), "beta"), (("HAIL", {"gamma": -1}), "gamma"),
    (("CLC", {"bandwidth": 0}), "above 0"), (("CLC", {"weight": .5}), "weight"), (("CLC", {"reach": -1}), "reach"),
    (("STOSA", {"objective": "BPR"}), "unknown objective 'BPR'"), (("STOSA", {"heads": 3}), "multiple of 3"),
    (("Informer", {"factor": 0}), "factor"), (("Informer", {"layers": 0}), "layers")])
def test_bad_settings_are_named(settings, message):
    name, how = settings
    with pytest.raises(InputError, match=message): make(name, **how)


# DuroNet

def test_local_context_is_its_formula():
    torch.manual_seed(0)
    module = sn.LocalContext(4, 3, 0.).double()
    x = torch.randn(1, 6, 4, dtype=torch.float64)
    real = torch.tensor([1., 1, 1, 1, 1, 0], dtype=torch.float64)[None, :, None]
    got = module(x, real)[0]
    whole = F.relu(module.summary(x[0, :5].mean(0)))
    for l in range(5):
        around = torch.stack([x[0, l + i] if 0 <= l + i < 5 else torch.zeros(4, dtype=torch.float64) for i in (-1, 0, 1)], -1)
        local = F.relu(F.relu((module.conv.weight*around).sum((1, 2)) + module.conv.bias) + x[0, l])
        g = torch.sigmoid(module.gate(torch.cat([local, whole])))
        assert torch.allclose(got[l], (1 - g)*local + g*whole)


def test_duronet_hears_a_spots_own_class_through_noise():
    "Each spot has one class of its own; half of its events are replaced by others."
    rng = np.random.default_rng(0)
    def draw(n):
        own = rng.integers(0, 6, n)
        events = np.where(rng.random((n, 15)) < .5, rng.integers(0, 6, (n, 15)), own[:, None])
        return torch.from_numpy(np.c_[events + 1, np.full(n, 7)]), torch.arange(n)*16 + 15, torch.from_numpy(own)
    net = make("DuroNet", 6, length=16, init_std=.1)
    train(net, lambda epoch, rng: [draw(64) for _ in range(20)], lambda net, batch, t: net.loss(*batch, t), epochs=4, lr=5e-3, device="cpu")
    tokens, at, y = draw(400)
    votes = torch.stack([(tokens[:, :15] == i + 1).sum(1) for i in range(6)], 1)
    # whoever counts the votes is right in 95 of 100 cases, whoever trusts one event in 58
    assert (net(tokens, at).argmax(-1) == y).float().mean() > (votes.argmax(-1) == y).float().mean() - .1


# HAIL

@settings(deadline=None, max_examples=20)
@given(seeds, st.floats(0, .6), st.floats(.5, 2), st.floats(0, 1))
def test_hail_loss_is_what_a_loop_adds_up(seed, beta, gamma, alpha):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(2, 8, 5))*2, rng.integers(0, 5, 8)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    ce = -np.log(p[:, np.arange(8), y])
    worst = [set(np.argsort(-one)[:int(np.floor(beta*8))]) for one in ce]
    total = 0
    for m in set(range(8)) - (worst[0] & worst[1]):
        for k in range(2):
            soft = -(1 - p[1 - k, m, y[m]])**gamma * np.log(p[k, m, y[m]])
            soft -= sum(p[1 - k, m, i]**gamma * np.log(1 - p[k, m, i]) for i in range(5) if i != y[m])
            total += alpha*ce[k, m] + (1 - alpha)*soft
    got = sn.hail_loss(torch.tensor(z), torch.tensor(y), alpha, beta, gamma)
    assert got.item() == pytest.approx(total/8, rel=1e-5)


def test_a_teacher_learns_nothing_from_its_pupil():
    z = torch.randn(2, 6, 4, requires_grad=True)
    sn.exclusivity_loss(z[0], z[1].softmax(-1), torch.tensor([0, 1, 2, 3, 0, 1])).sum().backward()
    assert z.grad[0].abs().sum() > 0 and z.grad[1].abs().sum() == 0


def test_a_certain_mistake_costs_a_finite_amount():
    z = torch.tensor([[60., 0., 0.]], requires_grad=True)
    loss = sn.exclusivity_loss(z, torch.tensor([[.9, .05, .05]]), torch.tensor([1])).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(z.grad).all()


def test_hails_networks_share_embedding_and_head_and_nothing_else():
    net = make("HAIL").eval()
    first, second = dict(NextEvent(10, d=16, length=20).named_parameters()), dict(net.second.named_parameters())
    own = dict(net.named_parameters())
    shared = {n for n in first if second[n] is own[n]}
    assert shared == {n for n in first if not n.startswith("encoder.layers.")}
    tokens, at, _ = cycles(3, 10, 12)
    assert torch.equal(net.both(tokens, at)[0], net(tokens, at)) and not torch.allclose(*net.both(tokens, at))


# CLC

@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(0, 4), st.floats(.3, 3))
def test_continuous_labels_are_what_a_loop_finds(seed, reach, h):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, 5)
    whole = np.zeros((5, lengths.max()), int)
    for row, n in zip(whole, lengths): row[:n] = rng.integers(1, 5, n)
    hole = (rng.random(whole.shape) < .4) & (whole > 0)
    tokens, at = torch.from_numpy(np.where(hole, 5, whole)), torch.from_numpy(np.flatnonzero(hole))
    got = sn.continuous_labels(tokens, at, torch.from_numpy(whole[hole] - 1), 4, h, reach).numpy()
    for m, (b, l) in enumerate(zip(*np.nonzero(hole))):
        for i in range(4):
            steps = [abs(l - j) for j in range(lengths[b]) if whole[b, j] == i + 1 and abs(l - j) <= reach]
            assert got[m, i] == pytest.approx(np.exp(-min(steps)**2 / (2*h*h)) if steps else 0, abs=1e-6)


def test_clc_without_bumps_and_weight_is_binary_cross_entropy():
    net = make("CLC", reach=0, weight=1.).eval()
    tokens, at, y = cycles(5, 10, 12)
    plain = F.binary_cross_entropy_with_logits(net(tokens, at), F.one_hot(y, 10).float(), reduction="none").sum(-1).mean()
    assert net.loss(tokens, at, y, 0.).item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_weight_moves_the_calibration_as_it_should_and_not_the_order():
    p = torch.tensor([.6, .3, .1])
    z = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([z], .05)
    for _ in range(600):
        loss = sum(p[i]*sn.clc_loss(z[None], F.one_hot(torch.tensor([i]), 3).float(), 4.) for i in range(3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.allclose(z.sigmoid(), 4*p / (4*p + 1 - p), atol=.01)


# STOSA

@settings(deadline=None, max_examples=25)
@given(seeds)
def test_wasserstein_is_the_general_formula_with_diagonal_covariances(seed):
    rng = np.random.default_rng(seed)
    m, v = rng.normal(size=(2, 3)), rng.uniform(.01, 3, (2, 3))
    A, B = np.diag(v[0]), np.diag(v[1])
    root = sqrtm(A)
    general = ((m[0] - m[1])**2).sum() + np.trace(A + B - 2*np.real(sqrtm(root @ B @ root)))
    got = sn.wasserstein(*(torch.tensor(part)[None] for part in (m[0], v[0], m[1], v[1])))
    assert got.item() == pytest.approx(general, rel=1e-4, abs=1e-5)


def test_wasserstein_is_a_squared_metric():
    m, v = torch.randn(7, 4), torch.rand(7, 4) + .1
    distance = sn.wasserstein(m, v, m, v).sqrt()
    assert torch.allclose(distance, distance.T, atol=2e-3) and distance.diagonal().max() < 2e-3
    assert (distance[:, None] <= distance[:, :, None] + distance[None].transpose(1, 2) + 5e-3).all()


def test_wasserstein_attention_is_what_a_loop_mixes():
    torch.manual_seed(0)
    q, k, v = ((torch.randn(2, 2, 5, 3), torch.rand(2, 2, 5, 3) + .05) for _ in range(3))
    real = torch.tensor([[True]*5, [True, True, True, False, False]])
    mean, variance = sn.wasserstein_attention(q, k, v, real[:, None, None])
    for b in range(2):
        for h in range(2):
            for l in range(5):
                near = [((q[0][b, h, l] - k[0][b, h, j])**2).sum() + ((q[1][b, h, l].sqrt() - k[1][b, h, j].sqrt())**2).sum() for j in range(5) if real[b, j]]
                weight = (-torch.stack(near) / 3**.5).softmax(0)
                assert torch.allclose(mean[b, h, l], weight @ v[0][b, h, :len(weight)], atol=1e-4)
                assert torch.allclose(variance[b, h, l], weight**2 @ v[1][b, h, :len(weight)], atol=1e-4)


def test_stosas_loss_is_its_formula_and_its_means_are_used():
    net = make("STOSA", weight=.3).eval()
    tokens, at, y = cycles(5, 10, 12)
    with seeded(7): got = net.loss(tokens, at, y, 0.)
    with seeded(7): drawn = sn.unseen(tokens, at, y, 10)
    hidden, (mean, variance) = net.hidden(tokens, at), net.classes()
    d = lambda a, b: ((a[0] - b[0])**2).sum(-1) + ((a[1].sqrt() - b[1].sqrt())**2).sum(-1)
    right, wrong = (mean[y], variance[y]), (mean[drawn], variance[drawn])
    loss = -F.logsigmoid(d(hidden, wrong) - d(hidden, right)) + .3*(d(hidden, right) - d(right, wrong)).clamp(min=0)
    assert got.item() == pytest.approx(loss.mean().item(), rel=1e-4)
    # means leave the layers changed
    x, spread = torch.randn(1, 4, 16), torch.rand(1, 4, 16)
    assert not torch.allclose(net.layers[0](x, spread, torch.ones(1, 1, 1, 4, dtype=torch.bool))[0], x, atol=.1)


def test_variances_stay_positive_and_their_slope_finite():
    net = make("STOSA", init_std=2.)
    tokens, at, y = cycles(5, 10, 12)
    assert net.hidden(tokens, at)[1].min() > 0
    torch.nn.init.constant_(net.variances.weight, -60.)
    net.loss(tokens, at, y, 0.).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_the_drawn_class_is_not_in_the_window():
    g = torch.Generator().manual_seed(0)
    whole = torch.randint(0, 7, (50, 6), generator=g)                 # padding among them
    whole[:, 0] = torch.randint(1, 7, (50,), generator=g)
    at = torch.arange(50)*6
    y = whole[:, 0] - 1
    drawn = sn.unseen(whole.flatten().index_fill(0, at, 7).view(50, 6), at, y, 6)
    had = torch.stack([torch.isin(drawn[i], whole[i][whole[i] > 0] - 1) for i in range(50)])
    full = torch.tensor([len(set(row[row > 0].tolist())) == 6 for row in whole])
    assert not had[~full].any() and (drawn != y).all()
    everything = sn.unseen(torch.tensor([[1, 2, 3, 5]]).repeat(200, 1), torch.arange(200)*4 + 3, torch.full((200,), 3), 4)
    assert set(everything.tolist()) == {0, 1, 2}


# Informer

@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(1, 3))
def test_probsparse_attention_is_what_a_loop_gives(seed, factor):
    g = torch.Generator().manual_seed(seed % 2**31)
    q, k, v = torch.randn(3, 3, 2, 12, 4, generator=g)
    lengths = torch.tensor([12, 5, 1])
    real = torch.arange(12) < lengths[:, None]
    got = sn.probsparse_attention(q, k, v, real, factor)
    for b, n in enumerate(lengths.tolist()):
        u = min(max(factor*int(np.ceil(np.log(n))), 1), n)
        for h in range(2):
            scores = q[b, h, :n] @ k[b, h, :n].T / 2
            sharp = scores.amax(-1) - scores.mean(-1)
            active = set(sharp.argsort(descending=True)[:u].tolist())
            for l in range(n):
                want = scores[l].softmax(-1) @ v[b, h, :n] if l in active else v[b, h, :n].mean(0)
                assert torch.allclose(got[b, h, l], want, atol=1e-5)


def test_probsparse_attention_with_every_query_is_attention():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 2, 30, 8)
    real = torch.arange(30) < torch.tensor([30, 17, 2, 1])[:, None]
    got = sn.probsparse_attention(q, k, v, real, 30)
    full = F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None])
    for b, n in enumerate((30, 17, 2, 1)): assert torch.allclose(got[b, :, :n], full[b, :, :n], atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 200])
def test_distilling_halves_and_reads_no_padding(n):
    torch.manual_seed(0)
    half = sn.Distil(3)
    x = torch.randn(1, n, 3)
    alone, kept = half(x, torch.ones(1, n, dtype=torch.bool))
    padded, kept2 = half(F.pad(x, (0, 0, 0, 7), value=99.), torch.arange(n + 7)[None] < n)
    assert alone.shape[1] == (n + 1)//2 and kept.all() and kept2.sum() == (n + 1)//2
    assert torch.allclose(padded[kept2], alone[0], atol=1e-6) and torch.isfinite(padded).all()
    y = F.elu(half.conv(x.transpose(1, 2)))[0]
    for i in range((n + 1)//2): assert torch.allclose(alone[0, i], y[:, max(0, 2*i - 1):2*i + 2].amax(-1), atol=1e-6)
