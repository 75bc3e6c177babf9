"crimenb.baselines.count_mixer: evidence against loops, nothing from the future, better than the rules where there is something to learn."
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from crimenb import city
from crimenb.baselines import count_mixer as cm
from crimenb.baselines.next_event import SpotCounts
from crimenb.core import InputError
from crimenb.next_class import case_scores, questions
from crimenb.sequences import Sequences, from_events

SMALL = dict(topics=(5, 10), members=1)


def sequences(*spots, n_classes):
    return Sequences(np.concatenate(spots).astype("int32"), np.cumsum([0, *map(len, spots)]), n_classes)

@pytest.fixture(scope="module")
def seqs():
    events, _ = city.simulate(8_000, seed=3)
    return from_events(events)

@pytest.fixture(scope="module")
def mixer(seqs): return cm.CountMixer(**SMALL).fit(seqs, seqs.split("last").train)

def column(found, name): return found[..., cm.EVIDENCE.index(name)].astype("float64")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_evidence_is_what_a_loop_counts(seed):
    rng = np.random.default_rng(seed)
    seqs = sequences(*(rng.integers(0, 5, rng.integers(3, 12)) for _ in range(6)), n_classes=5)
    base = seqs.drop_last(1)
    known = cm.Known(base, topics=(2, 3))
    spot = rng.integers(0, 6, 4)
    end = seqs.offsets[spot] + rng.integers(1, seqs.lengths[spot])
    found = cm.evidence(seqs, spot, end, known)
    assert found.shape == (4, 5, len(cm.EVIDENCE))
    profiles = (base.counts + 5*known.popularity)/(base.lengths[:, None] + 5)
    for i in range(4):
        past = seqs.spot(spot[i])[:end[i] - seqs.offsets[spot[i]]]
        likelihood = np.array([np.prod(p[past]) for p in profiles.astype("float64")])
        likely = likelihood @ profiles/likelihood.sum()
        for c in range(5):
            count = sum(e == c for e in past)
            own = (count + known.popularity[c])/(len(past) + 1)
            assert column(found, "own share, prior 1")[i, c] == pytest.approx(np.log(own), abs=.02)
            recent = [.5**(j/3) for j in range(len(past))]
            weight = sum(w for w, e in zip(recent, past[::-1]) if e == c)
            assert column(found, "recent share, half-life 3")[i, c] == pytest.approx(np.log((weight + known.popularity[c])/(sum(recent) + 1)), abs=.02)
            assert column(found, "seen before")[i, c] == (count > 0)
            assert column(found, "among the last five")[i, c] == sum(e == c for e in past[-5:])
            assert column(found, "is the last")[i, c] == (past[-1] == c)
            since = next((j for j, e in enumerate(past[::-1]) if e == c), 10_000)
            assert column(found, "events since the last time")[i, c] == pytest.approx(np.log1p(since)/5, abs=.01)
            assert column(found, "after the last event")[i, c] == pytest.approx(np.log(known.after[0][past[-1], c]), abs=.02)
            assert column(found, "after the last but one")[i, c] == pytest.approx(np.log(known.after[1][past[-2] if len(past) > 1 else past[-1], c]), abs=.02)
            assert column(found, "likely spots: all events")[i, c] == pytest.approx(np.log(likely[c]), abs=.02)
            follows = [b for a, b in zip(past, past[1:]) if a == past[-1]]
            assert column(found, "own lift after such an event")[i, c] == pytest.approx(np.log((follows.count(c) + 5*own)/(len(follows) + 5)/own), abs=.02)
            assert column(found, "same area")[i, c] == pytest.approx(np.log(known.popularity[c]), abs=.02)

def test_transitions_and_lifts_are_what_a_loop_counts():
    rng = np.random.default_rng(5)
    seqs = sequences(*(rng.integers(0, 3, n) for n in (4, 20, 9)), n_classes=3)
    known = cm.Known(seqs, topics=(2,))
    share = [np.bincount(seqs.spot(i), minlength=3)/seqs.lengths[i] for i in range(3)]
    for a in range(3):
        for b in range(3):
            for size, spots in ((0, (0, 2)), (1, (1,))):
                pairs = [(i, x, y) for i in spots for x, y in zip(seqs.spot(i), seqs.spot(i)[1:]) if x == a]
                seen, expected = sum(y == b for _, _, y in pairs), sum(share[i][b] for i, _, _ in pairs)
                assert known.lifts[size, a, b] == pytest.approx(np.log((seen + 20)/(expected + 20)), abs=1e-5)
                assert known.after_by_size[size, a, b] == pytest.approx((seen + 100*known.after[0][a, b])/(len(pairs) + 100), abs=1e-6)

def test_shares_sum_to_one(seqs):
    train = seqs.drop_last(2)
    known = cm.Known(train, topics=(5, 10), places=seqs.spots)
    found = cm.evidence(train, np.arange(20), train.offsets[1:21] - 1, known)
    for name in cm.EVIDENCE[:cm.EVIDENCE.index("same premises") + 1]:
        assert np.allclose(np.exp(column(found, name)).sum(1), 1, atol=.03), name

def test_places_are_those_of_the_other_spots_and_missing_names_say_nothing():
    seqs = sequences([0, 0, 1], [2, 2, 2, 2], [1, 1, 1], [0, 1, 2], n_classes=3)
    places = pd.DataFrame({"area": ["a", "a", "b", None], "premises": ["p", "q", "p", "q"]})
    known = cm.Known(seqs.take(seqs.spot_of > 0), topics=(2,), places=places)
    found = np.exp(cm.evidence(seqs, [0, 3], [2, 11], known).astype("float64"))
    pop = known.popularity
    area, premises = (found[..., cm.EVIDENCE.index(name)] for name in ("same area", "same premises"))
    assert np.allclose(area[0], (4*np.eye(3)[2] + 10*pop)/14, atol=.01) and np.allclose(area[1], pop, atol=.01)
    assert np.allclose(premises[0], (3*np.eye(3)[1] + 10*pop)/13, atol=.01)

def test_item_regression_has_no_diagonal_and_solves_each_column():
    x = np.random.default_rng(1).normal(size=(40, 6))
    weights = cm.item_regression(x, 3.)
    assert (np.diag(weights) == 0).all()
    for j in range(6):
        rest = np.delete(x, j, 1)
        assert np.allclose(np.delete(weights[:, j], j), np.linalg.solve(rest.T @ rest + 3*np.eye(5), rest.T @ x[:, j]), atol=1e-5)

def test_training_sees_nothing_of_validation_and_test(seqs):
    rng = np.random.default_rng(0)
    poisoned = seqs.events.copy()
    last = seqs.to_end < 2
    poisoned[last] = rng.integers(0, seqs.n_classes, last.sum())
    other = replace(seqs, events=poisoned)
    one, two = (cm.CountMixer(positions=2, epochs=1, topics=(5,), members=1, named=True).fit(s, s.split("last").train) for s in (seqs, other))
    for kind in ("all", "new"):
        states = [m.scorers_[kind][0].state_dict().values() for m in (one, two)]
        assert all(torch.equal(a, b) for a, b in zip(*states))

def test_what_is_known_for_a_question_leaves_its_spot_out(seqs, monkeypatch):
    seen, train = [], seqs.drop_last(2)
    init = cm.Known.__init__
    monkeypatch.setattr(cm.Known, "__init__", lambda self, base, *rest: (seen.append(base.lengths), init(self, base, *rest))[1])
    n = train.n_spots
    asked = [rows for rows, _ in cm.apart(train, np.arange(n), train.offsets[1:], (5,), None)]
    assert len(seen) == cm.FOLDS and np.array_equal(np.sort(np.concatenate(asked)), np.arange(n))
    for rows, lengths in zip(asked, seen):
        assert (lengths[rows] == 0).all() and np.array_equal(np.delete(lengths, rows), np.delete(train.lengths, rows))

def test_the_seed_decides(seqs):
    parts = seqs.split("last")
    mixer, again, other = (cm.CountMixer(positions=2, epochs=1, topics=(5,), members=1, seed=seed).fit(seqs, parts.train) for seed in (0, 0, 1))
    p = mixer.predict(seqs, parts.valid)
    assert np.array_equal(p, again.predict(seqs, parts.valid)) and not np.array_equal(p, other.predict(seqs, parts.valid))
    assert not np.array_equal(p, mixer.predict(seqs, parts.test))

def test_probabilities_are_of_all_classes_off_the_shortlist_too(seqs, mixer):
    history = seqs.drop_last(2)
    raw = mixer.weights(history)
    assert np.allclose(raw.sum(1), 1) and (raw > 0).all()
    # what the shortlist leaves over is small, and shared by what the columns say: no class is at the mercy of a constant
    off = np.sort(raw, 1)[:, :-mixer.short].sum(1)
    assert 0 < off.mean() < .5 and (np.sort(raw, 1)[:, 0] < np.sort(raw, 1)[:, -mixer.short - 1]).all()

def test_apart_keeps_what_was_seen_and_shares_out_what_is_new_by_the_other_scorers(seqs, mixer):
    history = seqs.drop_last(2)
    seen, together = history.counts > 0, mixer.weights(history)
    apart = clone_of(mixer, unseen="apart").weights(history)
    assert np.array_equal(apart[seen], together[seen]) and np.allclose(apart.sum(1), 1)
    assert not np.allclose(apart[~seen], together[~seen])

def clone_of(mixer, **changed):
    "The same learnt things under another setting."
    other = cm.CountMixer(**{**mixer.get_params(), **changed})
    vars(other).update(mixer.learnt())
    return other

def test_the_shortlist_of_new_classes_holds_new_classes_first(seqs):
    train = seqs.drop_last(2)
    known = cm.Known(train, topics=(5, 10))
    x = cm.evidence(train, np.arange(9), train.offsets[1:10] - 1, known)
    classes, plain = cm.shortlist(x, 12, new=True)
    assert not np.take_along_axis(x[..., cm.SEEN], classes, 1).any()
    assert (np.diff(np.take_along_axis(plain, classes, 1)) <= 0).all()

def test_it_beats_the_rules_it_is_made_of_on_the_simulated_city(seqs, mixer):
    valid = seqs.split("last").valid
    asked, rule = questions(seqs, valid), SpotCounts().fit(seqs)
    for line, model in (("full", mixer), ("popularity-100, seen first", clone_of(mixer, unseen="apart"))):
        ndcg = [case_scores(m.predict(seqs, valid), asked, line)["NDCG@5"].mean() for m in (model, rule)]
        assert ndcg[0] > ndcg[1], line
    assert mixer.loss(mixer.predict(seqs, valid), seqs, valid) < rule.loss(rule.predict(seqs, valid), seqs, valid)

def test_bad_input_is_refused(seqs, mixer):
    few = sequences([0, 1], [1, 2, 0], n_classes=3)
    with pytest.raises(InputError, match="at least one earlier event"): cm.history_of(few, [0], [0])
    with pytest.raises(InputError, match="positions is 0"): cm.CountMixer(positions=0).fit(seqs)
    with pytest.raises(InputError, match="area and premises"): cm.CountMixer(named=True).fit(replace(seqs, spots=seqs.spots[["area"]]))
    with pytest.raises(InputError, match="no spot has two training events"): cm.CountMixer().fit(sequences([0], [1], n_classes=2))
    with pytest.raises(InputError, match="unknown unseen"): clone_of(mixer, unseen="never").predict(seqs)

def test_short_spots_are_asked_less_often_and_few_classes_do_no_harm():
    rng = np.random.default_rng(0)
    seqs = sequences(*(rng.integers(0, 4, n) for n in (4, 5, 6, 30)), n_classes=4)
    for unseen in ("together", "apart"):
        p = cm.CountMixer(epochs=1, topics=(2,), members=1, unseen=unseen).fit(seqs, seqs.split("last").train).predict(seqs)
        assert np.isfinite(p).all() and np.allclose(p.sum(1), 1)
