"crimenb.baselines.next_event: by hand on small sequences, and against known numbers on the real ones."
from functools import cache

import numpy as np
import pytest

from crimenb.baselines.next_event import CHOSEN, RULES, Markov, Popularity, SmoothedCounts, SpotCounts, most_alike, rules_for
from crimenb.core import InputError
from crimenb.metrics import rank_counts, ranking_scores
from crimenb.models import choose
from crimenb.next_class import case_scores, misses, questions
from crimenb.sequences import PROTOCOLS, Sequences, candidates, read_sequences
from crimenb.sources import fetch


def from_lists(lists, n_classes):
    return Sequences(events=np.array([c for events in lists for c in events], dtype="int32"),
                     offsets=np.cumsum([0, *map(len, lists)]).astype("int64"), n_classes=n_classes)

def random_sequences(seed, n_spots=20, n_classes=7):
    rng = np.random.default_rng(seed)
    return from_lists([rng.integers(0, n_classes, rng.integers(3, 40)).tolist() for _ in range(n_spots)], n_classes)

TINY = from_lists([[0, 0, 1], [0, 0, 1, 2], [3, 3, 3]], 5)     # class 4 never occurs
POPULAR, SPOT = Popularity(), SpotCounts()


# --- by hand ---

@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seqs", [TINY, random_sequences(0), from_lists([[1, 0]], 3), from_lists([[1], [], [1, 2]], 3)],
                         ids=["tiny", "random", "one spot", "empty spot"])
def test_every_rule_gives_probabilities_and_leaves_its_input_alone(rule, seqs):
    events, offsets = seqs.events.copy(), seqs.offsets.copy()
    model = rule().fit(seqs)
    p = model.predict(seqs)
    assert p.shape == (seqs.n_spots, seqs.n_classes) and (p > 0).all()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(p, model.predict(seqs))
    np.testing.assert_array_equal(seqs.events, events); np.testing.assert_array_equal(seqs.offsets, offsets)

def test_an_empty_spot_falls_back_to_popularity():
    seqs = from_lists([[1, 1, 1, 2], [], [2, 0, 1]], 4)       # popularity: 1 (4), 2 (2), 0 (1), 3 (0)
    for rule in RULES: assert np.argsort(-rule().fit(seqs).predict(seqs)[1]).tolist() == [1, 2, 0, 3], rule.name

def test_popularity_counts_the_city():
    assert POPULAR.weights(TINY).tolist() == [[4, 2, 1, 3, 0]]*3
    np.testing.assert_allclose(POPULAR.fit(TINY).predict(TINY)[0], .9999*np.array([.4, .2, .1, .3, 0]) + .00002, rtol=1e-9)

def test_spot_counts_sort_by_count_then_popularity():
    assert SPOT.weights(TINY)[0].tolist() == pytest.approx([2.4, 1.2, .1, .3, 0])
    for seed in range(5):
        seqs = random_sequences(seed)
        counts, popular, scores = seqs.counts, POPULAR.weights(seqs)[0], SPOT.fit(seqs).predict(seqs)
        for row, score in zip(counts, scores):
            assert np.argsort(-score, kind="stable").tolist() == sorted(range(7), key=lambda c: (-row[c], -popular[c]))

def test_spot_counts_stay_exact_where_float32_would_not():
    # 51 distinct popularities beside a count of 300,000: their shares are finer than float32 is there
    big = from_lists([[0]*300_000 + [1]*300_001 + [c for c in range(2, 51) for _ in range(c)], [1]], 52)
    p = SPOT.fit(big).predict(big)
    assert p[0, 1] > p[0, 0] and len(np.unique(p[1])) == 52

def test_equally_popular_classes_stay_tied():
    tied = from_lists([[0, 1, 2], [2, 0, 1]], 5)
    assert rank_counts(SPOT.fit(tied).predict(tied), [0, 3])[1].tolist() == [2, 1]

def test_smoothed_counts_by_hand():
    scores = SmoothedCounts(k=1, strength=3).weights(TINY)
    trace = .001*np.array([.4, .2, .1, .3, 0])
    np.testing.assert_allclose(scores, np.array([[3.5, 1.75, .75, 0, 0], [4, 2, 1, 0, 0], [0, 0, 0, 3, 0]]) + trace, rtol=1e-6)
    np.testing.assert_allclose(SmoothedCounts(k=0).weights(TINY), TINY.counts + trace, rtol=1e-6)
    np.testing.assert_allclose(SmoothedCounts(k=99).weights(TINY), SmoothedCounts(k=2).weights(TINY), rtol=1e-6)      # there are only two others

@pytest.mark.parametrize("k, strength", [(1, 5.), (4, 10.), (19, .5)])
def test_smoothed_counts_agree_with_a_loop(k, strength):
    seqs = random_sequences(3)
    counts = seqs.counts.astype("float64"); share = counts/counts.sum(1, keepdims=True)
    expected = counts + .001*counts.sum(0)/counts.sum()
    for i in range(20):
        alike = {j: np.sqrt(share[i]*share[j]).sum() for j in range(20) if j != i}
        for j in sorted(alike, key=alike.get)[-k:]: expected[i] += strength*share[j]/k
    np.testing.assert_allclose(SmoothedCounts(k, strength).weights(seqs), expected, rtol=1e-5)

def test_smoothed_counts_do_not_depend_on_the_order_of_spots():
    seqs, order = random_sequences(4), np.random.default_rng(0).permutation(20)
    shuffled = from_lists([seqs.spot(i).tolist() for i in order], 7)
    np.testing.assert_allclose(SmoothedCounts(5).weights(shuffled), SmoothedCounts(5).weights(seqs)[order], rtol=1e-5)

def test_markov_agrees_with_a_loop():
    seqs = random_sequences(5)
    lists = [seqs.spot(i).tolist() for i in range(20)]
    everything = [c for events in lists for c in events]
    share = np.array([everything.count(c)/len(everything) for c in range(7)])
    expected = []
    for events in lists:
        followers = [b for other in lists for a, b in zip(other, other[1:]) if a == events[-1]]
        follows = (np.array([followers.count(c) for c in range(7)]) + 4*share)/(len(followers) + 4)
        own = (np.array([events.count(c) for c in range(7)]) + 2*share)/(len(events) + 2)
        expected.append(.3*follows + .7*own)
    scores = Markov(weight=.3, class_prior=4, spot_prior=2).weights(seqs)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)

def test_markov_knows_no_transition_from_one_spot_to_the_next():
    scores = Markov(weight=1, class_prior=1e-9).weights(from_lists([[0, 1], [2, 0]], 3))
    np.testing.assert_allclose(scores, [[.5, .25, .25], [0, 1, 0]], atol=1e-6)     # nothing ever followed class 1 in its spot

@pytest.mark.parametrize("call", [lambda: SmoothedCounts(k=-1).weights(TINY), lambda: SmoothedCounts(strength=-1).weights(TINY), lambda: Markov(weight=1.1).weights(TINY),
                                  lambda: Markov(class_prior=0).weights(TINY), lambda: Markov(spot_prior=0).weights(TINY), lambda: rules_for("uniform-100")])
def test_settings_that_make_no_sense_are_refused(call):
    with pytest.raises(InputError): call()

def test_choosing_looks_at_validation_and_at_nothing_later():
    rng = np.random.default_rng(1)
    lists = [rng.integers(0, 12, n).tolist() for n in rng.integers(6, 30, 40)]
    grid = {"weight": [0., .5], "spot_prior": [1., 9.]}
    def chosen(seqs): return choose(Markov(), seqs, grid, *seqs.split("last")[:2], misses("full"))
    seqs = from_lists(lists, 12)
    best, table = chosen(seqs)
    assert list(table) == ["weight", "spot_prior", "loss"] and len(table) == 4 and (table["loss"].diff().dropna() >= 0).all()
    first = table.iloc[0]
    assert (best.weight, best.spot_prior) == (first["weight"], first["spot_prior"])
    scores = Markov(first["weight"], spot_prior=first["spot_prior"]).weights(seqs.drop_last(2))
    assert 1 - first["loss"] == pytest.approx(ranking_scores(*rank_counts(scores, seqs.observed(seqs.lengths - 2)))["NDCG@5"].mean(), abs=1e-12)
    other_last = from_lists([x[:-1] + [(x[-1] + 5) % 12] for x in lists], 12)
    assert chosen(other_last)[1].equals(table)

def test_chosen_settings_are_of_the_grid_and_cover_all_protocols():
    grids = {rule.name: rule.grid for rule in RULES if hasattr(rule, "grid")}
    assert tuple(CHOSEN) == PROTOCOLS
    for rules in CHOSEN.values():
        assert {rule: set(settings) for rule, settings in rules.items()} == {rule: set(grid) for rule, grid in grids.items()}
        assert all(value in grids[rule][setting] for rule, settings in rules.items() for setting, value in settings.items())
    assert rules_for("full")[3].get_params() == Markov(weight=.3, spot_prior=30.).get_params()


# --- on the real files ---

@cache
def real(name): return read_sequences(fetch(name)[f"{name}.txt"])

@cache
def asked(name): return questions(real(name), real(name).lengths - 1)

def measured(name, rule, line):
    "Means of the metrics on the test events."
    seqs = real(name)
    return case_scores(rule.fit(seqs).predict(seqs, seqs.lengths - 1), asked(name), line).mean()

TUNED, FULL = ({rule.name: rule for rule in rules_for(protocol)} for protocol in ("popularity-100", "full"))

@pytest.mark.parametrize("name, rule, how, expected", [
    ("nyc16", SPOT, "popularity-100", {"NDCG@5": .555, "HR@5": .584, "HR@10": .641, "MRR": .566}),
    ("chi18", SPOT, "popularity-100", {"NDCG@5": .602, "HR@5": .637, "HR@10": .692, "MRR": .610}),
    ("nyc16", POPULAR, "full", {"NDCG@5": .144, "HR@5": .221, "MRR": .155}),
    ("chi18", POPULAR, "full", {"NDCG@5": .147, "HR@5": .231, "MRR": .160}),
    ("nyc16", SPOT, "full", {"NDCG@5": .177, "HR@5": .273, "MRR": .181}),
    ("chi18", SPOT, "full", {"NDCG@5": .197, "HR@5": .299, "MRR": .203}),
    # negatives without replacement; with replacement, see below, it is .486
    ("nyc16", POPULAR, "uniform-99", {"NDCG@5": .479}),
    ("nyc16", TUNED["smoothed counts"], "popularity-100", {"NDCG@5": .575, "HR@5": .614, "HR@10": .683, "MRR": .583}),
    ("chi18", TUNED["smoothed counts"], "popularity-100", {"NDCG@5": .628, "HR@5": .673, "HR@10": .733, "MRR": .632}),
    ("nyc16", FULL["smoothed counts"], "full", {"NDCG@5": .190, "HR@5": .294, "MRR": .193}),
    ("chi18", FULL["smoothed counts"], "full", {"NDCG@5": .215, "HR@5": .338, "MRR": .215}),
    ("nyc16", TUNED["markov"], "popularity-100", {"NDCG@5": .558, "HR@5": .590, "MRR": .566}),
    ("chi18", TUNED["markov"], "popularity-100", {"NDCG@5": .605, "HR@5": .644, "MRR": .611}),
    ("nyc16", FULL["markov"], "full", {"NDCG@5": .190, "HR@5": .291, "MRR": .192}),
    ("chi18", FULL["markov"], "full", {"NDCG@5": .198, "HR@5": .303, "MRR": .204}),
])
def test_rules_get_their_known_numbers(name, rule, how, expected):
    found = measured(name, rule, how)
    assert {metric: found[metric] for metric in expected} == pytest.approx(expected, abs=.003)

@pytest.mark.parametrize("name, share", [("nyc16", .500), ("chi18", .535)])
def test_half_of_the_targets_were_seen_before_and_no_negative_was(name, share):
    q = asked(name)
    assert np.take_along_axis(q.seen, q.target[:, None], 1).mean() == pytest.approx(share, abs=.0006)
    for how in ("popularity-100", "uniform-99"): assert not np.take_along_axis(q.seen, q.rivals[how][:, 1:], 1).any()
    # and so, under the paper's protocol, to know which classes a spot has had is worth exactly as much as to have counted them
    seen_or_not = measured(name, POPULAR, "popularity-100, seen first")
    assert seen_or_not.to_dict() == pytest.approx(measured(name, SPOT, "popularity-100").to_dict(), abs=1e-9)

def test_popularity_under_uniform_negatives_drawn_with_and_without_replacement():
    "A draw moves the mean by .003 or so: hence the mean of five."
    whole = real("nyc16")
    scores, target, seen = POPULAR.weights(whole.drop_last(1)), whole.observed(whole.lengths - 1), whole.counts > 0
    popular, unseen = scores[0], np.argsort(seen, 1, kind="stable")                 # the classes that a spot never had come first
    with_replacement, without = [], []
    for seed in range(5):
        pick = np.random.default_rng(seed).random((len(seen), 99))*(~seen).sum(1, keepdims=True)
        negatives = np.take_along_axis(unseen, pick.astype(int), 1)
        above, tied = [compare(popular[negatives], popular[target][:, None]).sum(1) for compare in (np.greater, np.equal)]
        with_replacement.append(ranking_scores(above, tied)["NDCG@5"].mean())
        without.append(ranking_scores(*rank_counts(scores, target, candidates(whole, target, "uniform-99", seed=seed)))["NDCG@5"].mean())
    assert np.mean(with_replacement) == pytest.approx(.486, abs=.004)
    assert np.mean(without) == pytest.approx(.479, abs=.003)

@pytest.mark.parametrize("rule", [SmoothedCounts, Markov])
def test_chosen_settings_are_what_validation_chooses(rule):
    for how in PROTOCOLS:
        mean = sum(choose(rule(), real(name), rule.grid, *real(name).split("last")[:2], misses(how))[1].set_index(list(rule.grid))["loss"].sort_index() for name in ("nyc16", "chi18"))/2
        chosen = tuple(CHOSEN[how][rule.name].values())
        # the optimum is flat: rounding on another machine may move it to a neighbour that is as good
        assert mean.loc[chosen if len(chosen) > 1 else chosen[0]] - mean.min() < 3e-4


@pytest.mark.parametrize("k", [1, 3, 20])
def test_a_bound_from_a_few_columns_finds_the_same_neighbours_and_ties(k):
    values = np.random.default_rng(k).choice([-1, 0, .25, .5, .75, .9], (7, 400)).astype("float32")
    values[0] = 0                       # a spot that nobody is like
    values[1, 5:] = 0                   # one that fewer are like than k
    exact, bounded = (most_alike(values, k, sample).toarray() for sample in (400, 20))
    np.testing.assert_allclose(bounded, exact)
    assert exact[0].sum() == 0 and (exact.sum(1)[2:].round(5) == k).all()
    # the same, value by value
    for row, weights in zip(values, exact):
        kth = np.sort(row)[-k]
        assert (weights[row > max(kth, 0)] == 1).all() and (weights[(row < kth) | (row <= 0)] == 0).all()
        assert len(set(weights[row == kth].round(6))) == 1


def test_noise_in_the_last_digit_moves_no_neighbour():
    rng = np.random.default_rng(0)
    values = rng.choice([0, .3, .6, .8], (5, 60)).astype("float32")
    noisy = values*(1 + 1e-6*rng.standard_normal(values.shape)).astype("float32")
    np.testing.assert_array_equal(most_alike(noisy, 10).toarray(), most_alike(values, 10).toarray())
