"""Equations 1-12 of the installed package against loops, at extreme logits, and the training of every method."""
import itertools
import math

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb.lab import studies
from crimenb.baselines.sequence_networks import MODELS, GRUModel, OwnLoss, TransformerModel
from crimenb.cloze import Instances, Peers, cloze, random_crops, score
from crimenb.core import InputError
from crimenb.papers.crimealarm import (
    ABLATIONS, CHOICES, DKD, DML, CrimeAlarm, Curriculum, choices_from_code, cost, cross_entropy_of, crimealarm_loss,
    difficult_target_loss, dkd_loss, dml_loss, is_target, less_to_more, mean_of_others, mutual_dkd_loss,
    noisy_samples, nontarget_log_probs, nontarget_loss, peer_cross_entropy, simple_phase, simple_target_loss, target_log_probs,
)
from crimenb.sequences import Sequences
from crimenb.training import seeded


def logits(K=3, M=30, C=9, scale=2., seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(K, M, C, generator=g, dtype=torch.float64)*scale, torch.randint(C, (M,), generator=g)


def softmax(row):
    top = max(row)
    e = [math.exp(v - top) for v in row]
    return [v/sum(e) for v in e]


def by_hand(z, y, t, how, masked, coins, slots):
    "Eq. 12 with every choice of `reading`, one sample, one pair and one class at a time."
    code = choices_from_code(how.reading)
    K, M, C = z.shape
    z, y = z.tolist(), y.tolist()
    p = [[softmax(row) for row in peer] for peer in z]
    own = [[p[k][m][y[m]] for m in range(M)] for k in range(K)]
    count = how.epsilon*(slots if "truncation" in code else M)
    low = [{m for rank, m in enumerate(sorted(range(M), key=own[k].__getitem__)) if rank < count} for k in range(K)]
    noise = set.intersection(*low)
    total = 0.
    for k in range(K):
        others = [j for j in range(K) if j != k]
        total += sum(-math.log(own[k][m]) for m in range(M))/M
        if "teacher" in code: teachers = [[softmax([sum(z[j][m][i] for j in others)/len(others) for i in range(C)]) for m in range(M)]]
        else: teachers = [p[j] for j in others]
        easy = simple_phase(t, coins[k], how.tau0, how.tau1)
        used = [m for m in range(M) if easy or "truncation" not in code or m not in noise]
        for teacher in teachers:
            for m in used:
                said = teacher[m][y[m]]
                if easy: weight = how.alpha*said
                else: weight = 0. if m in noise else (1 - said)**how.gamma
                total -= weight*math.log(own[k][m])/len(used)/len(teachers)
            for m in range(M):
                play = [i for i in range(C) if i != y[m] and not (masked[m][i] and "nontarget" not in code)]
                q, mine = (softmax([math.log(d[m][i]) for i in play]) for d in (teacher, p[k]))
                total -= how.beta*sum(a*math.log(b) for a, b in zip(q, mine))/M/len(teachers)
    return total


READINGS = ["paper", "code", *CHOICES, "truncation,teacher", "phase,nontarget"]


@pytest.mark.parametrize("reading, K, t", list(itertools.product(READINGS, (2, 3), (0., .1, .2, .45, .69, .7, .71, .99))))
def test_equation_12_in_every_reading_and_phase(reading, K, t):
    z, y = logits(K, seed=int(100*t) + K)
    how = Curriculum(alpha=5., gamma=1.5, beta=2., epsilon=.15, reading=reading)
    frequency = torch.arange(1., 10)
    n_coins = K if "phase" in choices_from_code(reading) else 1
    with seeded(7):
        coins = (torch.rand(n_coins).tolist()*K)[:K]
        masked = less_to_more(frequency, y, t)
    with seeded(7): ours = crimealarm_loss(z, y, t, frequency, how, slots=50)
    assert math.isclose(ours.item(), by_hand(z, y, t, how, masked.tolist(), coins, 50), rel_tol=1e-9)


@pytest.mark.parametrize("lacks, K, t", list(itertools.product(ABLATIONS, (2, 3), (.1, .45, .9))))
def test_a_part_that_is_switched_off_adds_exactly_nothing(lacks, K, t):
    "Figure 3: the loss and its gradient are those of the formula without the part, to the last bit of float64 or nearly."
    z, y = logits(K, seed=K)
    z.requires_grad_()
    frequency, how = torch.arange(1., 10), Curriculum(alpha=5., gamma=1.5, beta=2., epsilon=.15, lacks=lacks)
    with seeded(3):
        coin = torch.rand(1).item()
        masked = less_to_more(frequency, y, t)
    with seeded(3): ours = crimealarm_loss(z, y, t, frequency, how)
    p = z.detach().softmax(-1)[:, torch.arange(len(y)), y]
    plain = sum(torch.nn.functional.cross_entropy(peer, y) for peer in z)
    for k, j in itertools.permutations(range(K), 2):
        log_p = z[k].log_softmax(-1)[torch.arange(len(y)), y]
        if lacks != "TC":
            easy = lacks == "CTC" or simple_phase(t, coin)
            said = p[j].masked_fill(noisy_samples(p, .15), 1.)
            weight = 5.*p[j] if easy else (1 - said)**1.5
            plain = plain - (weight*log_p).mean()/(K - 1)
        if lacks != "NC":
            out = None if lacks == "CNC" else masked
            q = [nontarget_log_probs(z[i], y, out) for i in (j, k)]
            plain = plain + 2*nontarget_loss(q[0].detach().exp(), q[1]).mean()/(K - 1)
    assert math.isclose(ours.item(), plain.item(), rel_tol=1e-12)
    assert torch.allclose(*(torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in (ours, plain)), atol=1e-14)


def test_for_two_peers_averaging_losses_and_logits_is_the_same():
    z, y = logits(2)
    with seeded(0): a = crimealarm_loss(z, y, .5, torch.ones(9), Curriculum())
    with seeded(0): b = crimealarm_loss(z, y, .5, torch.ones(9), Curriculum(reading="teacher"))
    assert torch.allclose(a, b)


@given(st.integers(3, 12), st.integers(0, 50), st.sampled_from([1., 30., 1e4]))
@settings(max_examples=40, deadline=None)
def test_the_split_distribution_is_one(C, seed, scale):
    z, y = logits(2, 6, C, scale, seed)
    own, others = target_log_probs(z, y)
    assert torch.allclose(own.exp() + others.exp(), torch.ones_like(own))
    q = nontarget_log_probs(z, y)
    assert torch.allclose(q.exp().sum(-1), torch.ones_like(own)) and (q.exp()[:, is_target(y, C)] == 0).all()
    p = z.log_softmax(-1)
    whole = torch.where(is_target(y, C), own[..., None], q + others[..., None])
    assert torch.allclose(whole.clamp(min=-1e30), p.clamp(min=-1e30))


def test_dkd_with_beta_one_minus_p_is_plain_distillation():
    # Zhao et al. 2022, eq. 7: KD = TCKD + (1 - p̃_*) NCKD, here for cross-entropies
    z, y = logits(2)
    own, _ = target_log_probs(z[1], y)
    parts = dkd_loss(z[0], z[1], y, beta=0.)
    nc = cross_entropy_of(nontarget_log_probs(z[1], y), nontarget_log_probs(z[0], y))
    plain = -(z[1].softmax(-1)*z[0].log_softmax(-1)).sum(-1)
    assert torch.allclose(parts + (1 - own.exp())*nc, plain)


def test_teachers_get_no_gradient():
    z, y = logits(2)
    student, teacher = z[0].clone().requires_grad_(), z[1].clone().requires_grad_()
    dkd_loss(student, teacher, y).sum().backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", [
    lambda z, y: dml_loss(z, y), lambda z, y: mutual_dkd_loss(z, y, 3.),
    *(lambda z, y, t=t: crimealarm_loss(z, y, t, torch.ones(z.shape[-1]), Curriculum()) for t in (0., .5, .9))])
@pytest.mark.parametrize("scale, dtype", [(1e4, torch.float32), (1e30, torch.float32), (1e4, torch.float64), (0., torch.float32)])
def test_extreme_logits_give_finite_losses_and_gradients(loss, scale, dtype):
    z, y = logits(2, scale=scale)
    z = z.to(dtype).requires_grad_()
    value = loss(z, y)
    value.backward()
    assert value.isfinite() and z.grad.isfinite().all()


def test_dml_by_hand():
    z, y = logits(3)
    p = z.softmax(-1)
    expected = sum(torch.nn.functional.cross_entropy(z[k], y) + sum(
        (p[j]*(p[j].log() - p[k].log())).sum(-1).mean() for j in range(3) if j != k)/2 for k in range(3))
    assert torch.allclose(dml_loss(z, y), expected)


def test_gradients_in_float64_agree_with_finite_differences():
    z, y = logits(2, 4, 5)
    for t in (.1, .9):
        def f(x, t=t):
            with seeded(0): return crimealarm_loss(torch.stack([x, z[1]]), y, t, torch.arange(1., 6), Curriculum())
        # the teacher's side is constant: compare with the loss of the first peer alone
        x = z[0].clone().requires_grad_()
        grad, = torch.autograd.grad(f(x), x)
        def own(x, t=t):
            with seeded(0):
                torch.rand(1)
                masked = less_to_more(torch.arange(1., 6), y, t)
            lp, tp = target_log_probs(x, y)[0], target_log_probs(z[1], y)[0].exp()
            target = simple_target_loss(lp, tp, 3.) if t < .2 else difficult_target_loss(lp, tp.masked_fill(
                noisy_samples(torch.stack([lp, tp.log()]).exp(), .01), 1.))
            return (torch.nn.functional.cross_entropy(x, y) + target.mean()
                    + 3*cross_entropy_of(nontarget_log_probs(z[1], y, masked), nontarget_log_probs(x, y, masked)).mean())
        step = 1e-6
        for i, j in itertools.product(range(4), range(5)):
            e = torch.zeros_like(z[0])
            e[i, j] = step
            assert math.isclose(((own(z[0] + e) - own(z[0] - e))/(2*step)).item(), grad[i, j].item(), rel_tol=1e-5, abs_tol=1e-8)


@given(st.integers(4, 40), st.floats(0, 1), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_equation_9_masks_the_number_it_says(C, t, seed):
    y = torch.arange(C)
    with seeded(seed): masked = less_to_more(torch.arange(C).float(), y, t)
    expected = min(round((1 - t)*C), C - 3) if t < .7 else 0
    assert ((masked & ~is_target(y, C)).sum(1) == expected).all()


def test_equation_9_follows_frequency():
    frequency = torch.tensor([0., 1., 10., 100.]*5)
    y = torch.tensor([0])
    with seeded(0): stays = torch.stack([~less_to_more(frequency, y, .5)[0] for _ in range(400)]).float().mean(0)[1:]
    groups = [stays[i::4].mean().item() for i in (3, 0, 1, 2)]     # frequency 0, 1, 10, 100
    assert groups == sorted(groups) and groups[0] == 0 and groups[3] > .9


def test_mean_of_others_and_choices():
    assert mean_of_others(torch.tensor([1., 2., 6.])).tolist() == [4., 3.5, 1.5]
    assert choices_from_code("code") == tuple(CHOICES)
    with pytest.raises(InputError, match="unknown choice"): Curriculum(reading="hail")
    with pytest.raises(InputError, match="no phases"): Curriculum(tau0=.8, tau1=.7)
    with pytest.raises(InputError, match="unknown ablation"): Curriculum(lacks="ABC")


def sequences(n_spots=30, n_classes=8, seed=0):
    "Spots in which the same class comes again and again, with one in ten of another: something a network can learn."
    rng = np.random.default_rng(seed)
    spots = [np.where(rng.random(n := rng.integers(8, 60)) < .9, i % n_classes, rng.integers(n_classes, size=n)) for i in range(n_spots)]
    for i, spot in enumerate(spots): spot[-2:] = i % n_classes
    return Sequences(np.concatenate(spots).astype(np.int32), np.r_[0, np.cumsum([len(s) for s in spots])], n_classes)


def test_an_epoch_shows_every_window_copies_times_and_masks_what_it_should():
    seqs = sequences()
    rng = np.random.default_rng(0)
    for how in (Instances(length=20, stride=10, copies=3, batch=7), Instances(length=20, crops=2, copies=3, max_tokens=200)):
        batches = how.epoch(seqs, rng)
        n = sum(len(tokens) for tokens, *_ in batches)
        pieces = np.minimum(2, -(-seqs.lengths // 20)) if how.crops else np.maximum(1, -(-(seqs.lengths - 20) // 10) + 1)
        assert n == 3*pieces.sum()
        for tokens, at, y, slots in batches:
            assert (tokens.flatten()[at] == 9).all() and slots == 4*len(tokens) and set(at.tolist()) == set((tokens.flatten() == 9).nonzero()[:, 0].tolist())
            assert ((tokens == 9).sum(1) >= 1).all() and (y >= 0).all() and (y < 8).all()


def test_cloze_asks_for_a_fifth_and_sometimes_for_the_last():
    tokens = torch.arange(1, 101).repeat(2000, 1)
    holed, at, y = cloze(tokens, 101, np.random.default_rng(0))
    holes = (holed == 101).sum(1)
    assert abs((holes == 1).float().mean() - 1/11) < .02 and abs(holes[holes > 1].float().mean() - 20) < .2
    assert (holed[holes == 1, -1] == 101).all() and torch.equal(y, at % 100)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_exact_masks_hide_as_many_events_as_hail_does(lengths, seed):
    tokens = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, n in zip(tokens, lengths): row[:n] = torch.arange(1, n + 1)
    holed, at, y = cloze(tokens, 101, np.random.default_rng(seed), last_only=0., masks="exact")
    assert (holed == 101).sum(1).tolist() == [min(40, max(1, round(.2*n))) for n in lengths]
    assert torch.equal(tokens.flatten()[at] - 1, y) and ((holed == 0) == (tokens == 0)).all()


def test_the_codes_reading_hides_exactly_as_many_and_each_event_alike():
    assert CrimeAlarm(curriculum=Curriculum(reading="code")).windows.masks == "exact" and CrimeAlarm().windows.masks == "chance"
    tokens = torch.arange(1, 11).repeat(6000, 1)
    holes = (cloze(tokens, 101, np.random.default_rng(0), last_only=0., masks="exact")[0] == 101).float().mean(0)
    assert holes.numpy() == pytest.approx(np.full(10, .2), abs=.02)
    with pytest.raises(InputError, match="unknown masks"): Instances(masks="hail")


def test_random_crops_stay_inside_their_spot():
    seqs = sequences()
    cut = random_crops(seqs, 10, 3, np.random.default_rng(0))
    assert (cut.start >= seqs.offsets[cut.spot]).all() and (cut.start + cut.length <= seqs.offsets[cut.spot + 1]).all()
    assert (np.bincount(cut.spot) == np.minimum(3, -(-seqs.lengths // 10))).all()


def test_scores_are_those_of_one_spot_at_a_time():
    seqs = sequences()
    torch.manual_seed(0)
    peers = Peers(8, 2, d=8, length=30).eval()
    together = score(peers, seqs, 30, max_tokens=100)
    for i in range(seqs.n_spots):
        last = torch.from_numpy(seqs.spot(i)[-29:].astype(np.int64)) + 1
        tokens = torch.cat([last, torch.tensor([9])])[None]
        with torch.no_grad(): alone = peers(tokens, torch.tensor([tokens.shape[1] - 1]))[:, 0]
        assert np.allclose(together[:, i], alone, atol=1e-5)


WINDOWS = Instances(length=20, crops=2, copies=1, max_tokens=400)
EVERY = {**MODELS, "DML": DML, "DKD": DKD, "CrimeAlarm": CrimeAlarm}

def fitted(model, seqs=None, **kwargs):
    seqs = seqs or sequences()
    parts = seqs.split("last")
    return model.fit(seqs, parts.train, parts.valid, device="cpu", **kwargs)


@pytest.mark.parametrize("method", ("Transformer", "GRU", "TCN", "DML", "DKD", "CrimeAlarm"))
def test_every_method_learns_what_repeats(method):
    seqs, how = sequences(), dict(epochs=30, lr=.01, d=16, dropout=0., init_std=.25, evaluations=2, protocol="full", instances=WINDOWS)
    if method in ("DML", "DKD", "CrimeAlarm"): how["curriculum"] = Curriculum(alpha=1., beta=1.)
    p = fitted(EVERY[method](**how), seqs).answers(seqs, seqs.lengths - 1)
    hits = (p.argmax(-1) == seqs.observed(seqs.lengths - 1)).mean(1)
    assert (hits > .8).all(), hits
    assert len(hits) == (2 if method in ("DML", "DKD", "CrimeAlarm") else 1)


class Shares(torch.nn.Module):
    "What a network needs to be trained like the others: logits that know the shares of the last token's successors."
    def __init__(self, n_classes, length, d, dropout, init_std):
        super().__init__()
        self.after = torch.nn.Embedding(n_classes + 2, n_classes)

    def forward(self, tokens, at): return self.after(tokens.flatten()[(at - 1).clamp(min=0)])

    def loss(self, tokens, at, y, t): return torch.nn.functional.cross_entropy(self(tokens, at), y)


class SharesModel(OwnLoss): name, kind = "Shares*", Shares


def test_another_network_goes_through_the_same_trainer(tmp_path):
    seqs = sequences()
    def run(): return fitted(SharesModel(epochs=20, lr=.3, evaluations=2, protocol="full", instances=WINDOWS), seqs, checkpoint=tmp_path / "it.pt")
    p = run().answers(seqs, seqs.lengths - 1)
    assert p.shape == (1, 30, 8) and (p.argmax(-1) == seqs.observed(seqs.lengths - 1)).mean() > .7
    assert np.array_equal(run().answers(seqs, seqs.lengths - 1), p)


@pytest.mark.parametrize("model", [CrimeAlarm(peers=3, d=8, instances=WINDOWS), GRUModel(d=8, instances=WINDOWS), SharesModel(d=8, instances=WINDOWS)])
def test_costs_are_rates_and_bytes(model):
    seqs = sequences()
    known = seqs.split("last").train
    training, testing = (cost(model, seqs, known, phase, steps=2, device="cpu") for phase in ("training", "testing"))
    assert set(training) == {"steps a second, training", "peak memory (MB), training"} and set(testing) == {"spots a second, testing", "peak memory (MB), testing"}
    for each in (training, testing): assert all(v >= 0 if "memory" in k else v > 0 for k, v in each.items())
    with pytest.raises(InputError, match="unknown phase"): cost(model, seqs, known, "thinking")


@pytest.mark.parametrize("kind", [TransformerModel, CrimeAlarm])
def test_a_method_that_was_stopped_goes_on_to_the_same_scores(kind, tmp_path):
    how = dict(epochs=4, d=8, evaluations=4, protocol="full", instances=Instances(length=20, crops=1, copies=1, max_tokens=400))
    def run(**kwargs): return fitted(kind(**how), **kwargs)
    def scores(model): return model.answers(sequences(), sequences().lengths - 2)
    whole, path = run(), tmp_path / "run.pt"
    fitted(kind(**how, training={"max_steps": int(whole.log_.steps.iloc[1])}), checkpoint=path)
    resumed = run(checkpoint=path)
    assert resumed.log_.steps.tolist() == whole.log_.steps.tolist()
    assert np.array_equal(scores(resumed), scores(whole))
    with pytest.raises(InputError, match="another data"): run(seqs=sequences(seed=1), checkpoint=path)
    with pytest.raises(InputError, match="another d,"): fitted(kind(**{**how, "d": 16, "evaluations": 2}), checkpoint=path)
    with pytest.raises(InputError, match="another.* method"): fitted(DML(**how), checkpoint=path)


@pytest.mark.parametrize("encoder", ["GRU", "TCN"])
def test_other_encoders_and_the_same_seed(encoder):
    seqs = sequences()
    def run(seed): return fitted(CrimeAlarm(encoder=encoder, epochs=2, d=8, seed=seed, evaluations=1, protocol="full", instances=WINDOWS), seqs).answers(seqs, seqs.lengths - 2)
    assert np.array_equal(run(0), run(0)) and not np.array_equal(run(0), run(1))


def test_one_peer_cannot_distil():
    with pytest.raises(InputError, match="at least 2"): fitted(DML(peers=1, protocol="full"))


@pytest.mark.parametrize("make, says", [
    *((lambda kw=kw: Instances(**kw), f"{next(iter(kw))} is") for kw in (
        {"length": 1}, {"stride": 0}, {"stride": 201}, {"crops": -1}, {"copies": 0}, {"batch": 0}, {"max_tokens": -1}, {"mask_rate": 2.}, {"last_only": -.1})),
    *((lambda kw=kw: Curriculum(**kw), f"{next(iter(kw))} is") for kw in ({"alpha": -1.}, {"gamma": -1.}, {"beta": -1.}, {"epsilon": 5.}, {"epsilon": -1.})),
    *((lambda kw=kw: fitted(DML(protocol="full", **kw)), f"{next(iter(kw))} ") for kw in (
        {"peers": 0}, {"d": 0}, {"evaluations": 0}, {"dropout": 1.}, {"init_std": 0.}, {"epochs": 0}, {"seed": -1}, {"lr": -1.})),
    *((lambda kw=kw: fitted(TransformerModel(protocol="full", training=kw)), f"{next(iter(kw))} ") for kw in (
        {"clip": -1.}, {"weight_decay": -1.}, {"max_steps": -1}))])
def test_a_number_out_of_range_is_named(make, says):
    with pytest.raises(InputError, match=says): make()


def test_a_shared_embedding_is_shared():
    shared, own = Peers(8, 3, share_embedding=True, d=8), Peers(8, 3, d=8)
    assert len({id(p.embedding.weight) for p in shared}) == 1 and len({id(p.embedding.weight) for p in own}) == 3


def test_the_defaults_are_the_papers():
    assert (Curriculum().tau0, Curriculum().tau1, Curriculum().epsilon) == (.2, .7, .01)
    assert (Instances().length, Instances().stride, Instances().batch, Instances().copies) == (200, 100, 256, 11)


def test_every_table_and_figure_is_a_list_of_what_can_be_trained():
    parts = yaml.safe_load((studies.folder_of("reproduce")/"params"/"crimealarm.parts.yaml").read_text(encoding="utf-8"))
    assert set(parts) == {"table2", "table3", "figure3", "figure4", "figure5", "figure6", "figure7"}
    for text in itertools.chain(*parts.values()):
        pairs = [word for word in text.split() if "=" in word]
        assert text.removesuffix(" ".join(pairs)).strip() in (*EVERY, "count mixer")
        own = studies.from_text("crimealarm", pairs)
        assert set(own) <= {"encoder", "peers", "alpha", "gamma", "beta", "lacks", "drop", "measure"} and own.get("lacks", "CTC") in ABLATIONS
    assert [studies.from_text("crimealarm", [text.split()[1]])["peers"] for text in parts["figure4"]] == [2, 3, 4, 5, 6]
    assert len(parts["table2"]) == 10 and len(parts["figure3"]) == 1 + len(ABLATIONS)
