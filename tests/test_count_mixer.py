"crimenb.baselines.count_mixer: evidence against loops, nothing from the future, better than the rules where there is something to learn."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from crimenb import city
from crimenb.baselines import count_mixer as cm
from crimenb.baselines.next_event import rules_for
from crimenb.core import InputError
from crimenb.metrics import rank_counts, ranking_scores
from crimenb.sequences import Sequences, candidates, from_events, leave_last_out


def sequences(*spots, n_classes):
    return Sequences(np.concatenate(spots).astype("int32"), np.cumsum([0, *map(len, spots)]), n_classes)

@pytest.fixture(scope="module")
def split():
    events, _ = city.simulate(8_000, seed=3)
    return leave_last_out(from_events(events))

@pytest.fixture(scope="module")
def mixer(split): return cm.fit(split, topics=(5, 10))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_evidence_is_what_a_loop_counts(seed):
    rng = np.random.default_rng(seed)
    seqs = sequences(*(rng.integers(0, 5, rng.integers(3, 12)) for _ in range(6)), n_classes=5)
    known = cm.Known(seqs.drop_last(1), topics=(2, 3))
    spot = rng.integers(0, 6, 4)
    end = seqs.offsets[spot] + rng.integers(1, seqs.lengths[spot])
    found = cm.evidence(seqs, spot, end, known)
    column = lambda name: found[..., cm.EVIDENCE.index(name)].astype("float64")
    for i in range(4):
        past = seqs.spot(spot[i])[:end[i] - seqs.offsets[spot[i]]]
        for c in range(5):
            count = sum(e == c for e in past)
            assert column("own share, prior 1")[i, c] == pytest.approx(np.log((count + known.popularity[c])/(len(past) + 1)), abs=.02)
            recent = [.5**(j/3) for j in range(len(past))]
            weight = sum(w for w, e in zip(recent, past[::-1]) if e == c)
            assert column("recent share, half-life 3")[i, c] == pytest.approx(np.log((weight + known.popularity[c])/(sum(recent) + 1)), abs=.02)
            assert column("seen before")[i, c] == (count > 0)
            since = next((j for j, e in enumerate(past[::-1]) if e == c), 10_000)
            assert column("events since the last time")[i, c] == pytest.approx(np.log1p(since)/5, abs=.01)
            assert column("after the last event")[i, c] == pytest.approx(np.log(known.after[0][past[-1], c]), abs=.02)
            assert column("after the last but one")[i, c] == pytest.approx(np.log(known.after[1][past[-2] if len(past) > 1 else past[-1], c]), abs=.02)

def test_shares_sum_to_one(split):
    known = cm.Known(split.train, topics=(5, 10))
    found = cm.evidence(split.train, np.arange(20), split.train.offsets[1:21] - 1, known)
    for name in cm.EVIDENCE[:13]:
        total = np.exp(found[..., cm.EVIDENCE.index(name)].astype("float64")).sum(1)
        assert np.allclose(total, 1, atol=.03), name

def test_item_regression_has_no_diagonal_and_solves_each_column():
    x = np.random.default_rng(1).normal(size=(40, 6))
    weights = cm.item_regression(x, 3.)
    assert (np.diag(weights) == 0).all()
    for j in range(6):
        rest = np.delete(x, j, 1)
        assert np.allclose(np.delete(weights[:, j], j), np.linalg.solve(rest.T @ rest + 3*np.eye(5), rest.T @ x[:, j]), atol=1e-5)

def test_training_sees_nothing_of_validation_and_test(split):
    rng = np.random.default_rng(0)
    poisoned = split.whole.events.copy()
    last = split.whole.to_end < 2
    poisoned[last] = rng.integers(0, split.whole.n_classes, last.sum())
    other = leave_last_out(Sequences(poisoned, split.whole.offsets, split.whole.n_classes))
    one, two = (cm.fit(s, epochs=1, topics=(5,)) for s in (split, other))
    assert all(torch.equal(a, b) for a, b in zip(one.scorers.state_dict().values(), two.scorers.state_dict().values()))

def test_what_is_known_in_training_is_older_than_every_question(split, monkeypatch):
    seen = []
    init = cm.Known.__init__
    monkeypatch.setattr(cm.Known, "__init__", lambda self, base, topics: (seen.append(base), init(self, base, topics))[1])
    cm.fit(split, positions=3, epochs=1, topics=(5,))
    assert len(seen) == 1 and np.array_equal(seen[0].lengths, np.maximum(split.train.lengths - 3, 0))

def test_scores_depend_on_the_history_alone_and_the_seed_decides(split, mixer):
    again = cm.fit(split, topics=(5, 10))
    history = split.history("valid")
    assert np.array_equal(mixer.scores(history), again.scores(history))
    other = cm.fit(split, topics=(5, 10), seed=1)
    assert not np.array_equal(mixer.scores(history), other.scores(history))

def test_full_scores_are_log_probabilities_and_the_others_put_seen_classes_first(split, mixer):
    history = split.history("valid")
    assert np.allclose(np.exp(mixer.scores(history)).sum(1), 1, atol=1e-4)
    game, seen = mixer.scores(history, "popularity-100"), history.counts() > 0
    assert (np.where(seen, game, np.inf).min(1) > np.where(seen, -np.inf, game).max(1)).all()
    assert np.isfinite(game).all()

def test_it_beats_the_rules_it_is_made_of_on_the_simulated_city(split, mixer):
    target = split.target("valid")
    for protocol in ("full", "popularity-100"):
        drawn = candidates(split.whole, target, protocol)
        ndcg = lambda scores: ranking_scores(*rank_counts(scores, target, drawn))["NDCG@5"].mean()
        assert ndcg(mixer.scores(split.history("valid"), protocol)) > ndcg(rules_for(protocol)["spot counts"](split.history("valid")))

def test_a_question_without_a_past_is_refused(split):
    seqs = sequences([0, 1], [1, 2, 0], n_classes=3)
    with pytest.raises(InputError, match="at least one earlier event"): cm.history_of(seqs, [0], [0])
    with pytest.raises(InputError, match="positions is 0"): cm.fit(split, positions=0)
    with pytest.raises(InputError, match="unknown protocol"): cm.CountMixer(None, None, ()).scores(seqs, "best-of-5")

def test_short_spots_are_asked_less_often_and_an_empty_base_does_no_harm():
    rng = np.random.default_rng(0)
    split = leave_last_out(sequences(*(rng.integers(0, 4, n) for n in (4, 5, 6, 30)), n_classes=4))
    trained = cm.fit(split, epochs=1, topics=(2,))
    assert np.isfinite(trained.scores(split.history("test"))).all()
