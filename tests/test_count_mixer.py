"crimenb.baselines.count_mixer: evidence against loops, nothing from the future, better than the rules where there is something to learn."
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from crimenb import city
from crimenb.baselines import count_mixer as cm
from crimenb.baselines.next_event import rules_for
from crimenb.core import InputError
from crimenb.metrics import rank_counts, ranking_scores
from crimenb.sequences import Sequences, candidates, from_events, leave_last_out

SMALL = dict(topics=(5, 10), members=1)


def sequences(*spots, n_classes):
    return Sequences(np.concatenate(spots).astype("int32"), np.cumsum([0, *map(len, spots)]), n_classes)

@pytest.fixture(scope="module")
def split():
    events, _ = city.simulate(8_000, seed=3)
    return leave_last_out(from_events(events))

@pytest.fixture(scope="module")
def mixer(split): return cm.fit(split, **SMALL)

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
    profiles = (base.counts() + 5*known.popularity)/(base.lengths[:, None] + 5)
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

def test_shares_sum_to_one(split):
    known = cm.Known(split.train, topics=(5, 10), places=split.whole.spots)
    found = cm.evidence(split.train, np.arange(20), split.train.offsets[1:21] - 1, known)
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

def test_training_sees_nothing_of_validation_and_test(split):
    rng = np.random.default_rng(0)
    poisoned = split.whole.events.copy()
    last = split.whole.to_end < 2
    poisoned[last] = rng.integers(0, split.whole.n_classes, last.sum())
    other = leave_last_out(Sequences(poisoned, split.whole.offsets, split.whole.n_classes))
    one, two = (cm.fit(s, positions=2, epochs=1, topics=(5,), members=1, places=split.whole.spots) for s in (split, other))
    for kind in ("all", "new"):
        states = [m.scorers[kind][0].state_dict().values() for m in (one, two)]
        assert all(torch.equal(a, b) for a, b in zip(*states))

def test_what_is_known_for_a_question_leaves_its_spot_out(split, monkeypatch):
    seen = []
    init = cm.Known.__init__
    monkeypatch.setattr(cm.Known, "__init__", lambda self, base, *rest: (seen.append(base.lengths), init(self, base, *rest))[1])
    n = split.train.n_spots
    asked = [rows for rows, _ in cm.apart(split.train, np.arange(n), split.train.offsets[1:], (5,), None)]
    assert len(seen) == cm.FOLDS and np.array_equal(np.sort(np.concatenate(asked)), np.arange(n))
    for rows, lengths in zip(asked, seen):
        assert (lengths[rows] == 0).all() and np.array_equal(np.delete(lengths, rows), np.delete(split.train.lengths, rows))

def test_scores_depend_on_the_history_alone_and_the_seed_decides(split):
    mixer, again, other = (cm.fit(split, positions=2, epochs=1, topics=(5,), members=1, seed=seed) for seed in (0, 0, 1))
    history = split.history("valid")
    assert np.array_equal(mixer.scores(history), again.scores(history))
    assert not np.array_equal(mixer.scores(history), other.scores(history))
    # an answer for one history is not given for another
    assert not np.array_equal(mixer.scores(split.history("test")), mixer.scores(history))
    assert np.array_equal(mixer.scores(history), again.scores(history))

def test_full_scores_are_log_probabilities_on_the_shortlist_and_the_others_put_seen_classes_first(split, mixer):
    history = split.history("valid")
    full = mixer.scores(history)
    listed = full > -55
    assert (listed.sum(1) == mixer.short).all() and np.allclose(np.where(listed, np.exp(full), 0).sum(1), 1, atol=1e-4)
    game, seen = mixer.scores(history, "popularity-100"), history.counts() > 0
    assert (np.where(seen, game, np.inf).min(1) > np.where(seen, -np.inf, game).max(1)).all()
    assert np.isfinite(game).all() and game.dtype == full.dtype == np.float32

def test_the_shortlist_of_new_classes_holds_new_classes_first(split):
    known = cm.Known(split.train, topics=(5, 10))
    x = cm.evidence(split.train, np.arange(9), split.train.offsets[1:10] - 1, known)
    classes, plain = cm.shortlist(x, 12, new=True)
    assert not np.take_along_axis(x[..., cm.SEEN], classes, 1).any()
    assert (np.diff(np.take_along_axis(plain, classes, 1)) <= 0).all()

def test_it_beats_the_rules_it_is_made_of_on_the_simulated_city(split, mixer):
    target = split.target("valid")
    for protocol in ("full", "popularity-100"):
        drawn = candidates(split.whole, target, protocol)
        ndcg = lambda scores: ranking_scores(*rank_counts(scores, target, drawn))["NDCG@5"].mean()
        assert ndcg(mixer.scores(split.history("valid"), protocol)) > ndcg(rules_for(protocol)["spot counts"](split.history("valid")))

def test_bad_input_is_refused(split, mixer):
    seqs = sequences([0, 1], [1, 2, 0], n_classes=3)
    with pytest.raises(InputError, match="at least one earlier event"): cm.history_of(seqs, [0], [0])
    with pytest.raises(InputError, match="positions is 0"): cm.fit(split, positions=0)
    with pytest.raises(InputError, match="area and premises"): cm.fit(split, places=split.whole.spots[["area"]])
    with pytest.raises(InputError, match="no spot has two training events"): cm.fit(leave_last_out(sequences([0, 1, 0], [1, 0, 1], n_classes=2)))
    with pytest.raises(InputError, match="unknown protocol"): mixer.scores(seqs, "best-of-5")

def test_short_spots_are_asked_less_often_and_few_classes_do_no_harm():
    rng = np.random.default_rng(0)
    split = leave_last_out(sequences(*(rng.integers(0, 4, n) for n in (4, 5, 6, 30)), n_classes=4))
    trained = cm.fit(split, epochs=1, topics=(2,), members=1)
    assert all(np.isfinite(trained.scores(split.history("test"), protocol)).all() for protocol in ("full", "uniform-99"))
