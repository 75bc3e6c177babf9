"""Shares, claims and flags of the study of explanations, by hand."""
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from cells import one_thread  # noqa: F401
from crimenb import city, panels
from crimenb.explain import Explanation
from crimenb.lab import explaining
from crimenb.papers import parallel

WEEKS = np.repeat(np.arange(10), 4)

def explanation(sizes, seed=0):
    "Values of players a, b, … whose mean sizes are about these."
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1., 1.], (40, len(sizes)))*rng.uniform(.98, 1.02, (40, len(sizes)))
    return Explanation(sign*sizes, np.full((40, len(sizes)), .1), np.zeros(40), 0., list("abc")[:len(sizes)], np.zeros((40, len(sizes))))

def test_shares_are_those_of_the_mean_sizes_and_the_fewer_of_weeks_and_networks_are_the_blocks():
    rows = explaining.share_rows([explanation([6., 3., 1.]), explanation([6., 3., 1.], 1)], WEEKS)
    assert [r["metric"] for r in rows] == [f"importance share: {p}" for p in "abc"] and [r["value"] for r in rows] == pytest.approx([.6, .3, .1], rel=.02)
    assert all(r["blocks"] == 2 and r["n"] == 40 and r["low"] <= r["value"] <= r["high"] for r in rows)
    assert explaining.share_rows([explanation([1., 1.])], WEEKS)[0]["blocks"] == 10

def test_players_together_have_the_sum_of_their_values():
    alone = explanation([6., 3., 1.])
    both = explaining.regrouped(alone, {"ab": ["a", "b"], "c": ["c"]})
    assert both.players == ["ab", "c"] and np.allclose(both.values[:, 0], alone.values[:, :2].sum(1)) and np.allclose(both.error[:, 0], .1*2**.5)

def test_a_claim_is_supported_or_refuted():
    each = [explanation([6., 3., 1.])]
    assert [explaining.above_equal_share(each, p, WEEKS) for p in "ac"] == ["supported", "refuted"]
    alone = {p: [p] for p in "abc"}
    assert explaining.comes_first(each, "a", alone, WEEKS) == "supported" and explaining.comes_first(each, "c", alone, WEEKS) == "refuted"

def test_the_same_number_of_places_is_flagged_each_week_and_ties_are_broken_by_the_seed():
    flag = explaining.flags(np.r_[1, 2, 3, 4, 5, 5, 5, 5], 4, .5)
    assert flag[:4].tolist() == [False, False, True, True] and flag[4:].sum() == 2
    assert len({tuple(explaining.flags(np.zeros(4), 4, .25, seed)) for seed in range(20)}) == 4
    assert explaining.flags(np.arange(4), 4, .01).tolist() == [False, False, False, True]

def test_rates_are_ratios_of_sums_and_groups_are_told_apart():
    was = np.tile([True, False], 20)
    group = np.where(np.arange(40) % 4 < 2, "north", "south")
    flag = (group == "north")
    found = explaining.judged(flag, was, was*2., group, ("north", "south"), WEEKS).set_index("metric")["value"]
    assert found["hit rate"] == .5 and found["flags that are right"] == .5
    assert found["selection rate, north"] == 1 and found["selection rate, south"] == 0 and found["true positive rate, south"] == 0
    assert found["false positive rate, north"] == 1 and found["base rate, north"] == .5 and found["demographic parity difference"] == 1
    [row] = explaining.ratio_rows({"one": (was, np.ones(40))}, WEEKS).to_dict("records")
    # half of each week: ten weeks that say the same tell nothing of the next
    assert (row["value"], row["blocks"]) == (.5, 10) and np.isnan([row["low"], row["high"]]).all()


# --- cases, stars and networks ---

@pytest.fixture(scope="module")
def world():
    "A small city with slots of the day, and a network of each kind, untrained."
    events, truth = city.simulate(6000, 84, seed=1, start="2018-01-01", n_areas=6)
    panel = panels.Panel.from_events(events, group=panels.category_groups(events.category.cat.categories), slots=4, places=panels.city_places(truth), start=truth.start, end=truth.start + pd.Timedelta(days=84))
    parts = panel.split(2, 3)
    known = panels.Features(panel, parts.train)
    nets = {name: kind("counts", units=8, seed=0, epochs=0, graph="nearest", neighbours=2, device="cpu").fit(panel, parts.train, parts.valid) for name, kind in parallel.MODELS.items()}
    edges = parallel.graph_of(panel, parts.train.stop, "nearest", 2)
    return SimpleNamespace(panel=panel, truth=truth, parts=parts, known=known, nets=nets, stars=explaining.Stars(known, edges), edges=edges, players=explaining.players_of(panel.categories))

@pytest.fixture(scope="module")
def explainer(world):
    chosen, usual = explaining.drawn_cases(world.known, world.parts, 10, 8, seed=3)
    return explaining.Explainer(world.stars, chosen, usual, world.players, draws=6, seed=3)

def test_every_column_has_a_player_and_the_place_takes_all_that_describes_the_area(world):
    for name in ("DNN", "LSTMCrimeNet"):
        labels = explaining.labels_of(world.nets[name], world.known, world.players)
        names = world.known.feature_names if name == "DNN" else world.known.sequence_names
        assert len(labels) == len(names) and set(labels) <= {*world.players}
        of = dict(zip(names, labels))
        assert of["lon"] == "location" and {of[n] for n in names if n.startswith(tuple(world.panel.categories)) and "mean so far" not in n} == {"past counts"}
        assert all(of[n] == "hour of day" for n in names if n.startswith("hour"))
        assert set(explaining.coarse(labels)) == {"hour of day", "calendar", "place"}

def test_a_network_that_is_told_three_things_gets_their_columns(world):
    names = world.known.feature_names
    kept = explaining.ToldApart().columns(names)
    labels = explaining.labels_of(world.nets["DNN"], world.known, world.players)
    assert kept == [i for i, label in enumerate(labels) if label in ("hour of day", "location", "calendar")] and kept

def test_what_is_explained_is_the_expected_level_and_the_log_of_the_expected_count(world):
    head = SimpleNamespace(predict=lambda z: z)
    chance = torch.tensor([[.1, .2, .3, .4, 0.], [0., 0, 0, 0, 1]])
    assert explaining.explained_number(head, "level")(chance).tolist() == pytest.approx([2., 4.])
    assert explaining.explained_number(head, "counts")(torch.tensor([[1., 2.]])).item() == pytest.approx(np.log(3))
    rates = np.full(world.panel.counts.shape, .5)
    assert explaining.true_numbers(world.known, rates, "counts") == pytest.approx(np.log(.5*rates.shape[-1]))
    level = explaining.true_numbers(world.known, rates, "level")
    # against draws
    drawn = np.random.default_rng(0).poisson(.5, (100_000, rates.shape[-1])) @ [panels.SEVERITY[g] for g in world.panel.categories]
    assert level[0, 0] == pytest.approx(np.searchsorted(world.known.thresholds, drawn).mean(), abs=.02) and np.ptp(level) < 1e-9

def test_cases_are_of_the_test_and_their_background_of_training(world):
    chosen, usual = explaining.drawn_cases(world.known, world.parts, 10, 8, seed=3)
    t = world.known.t
    assert len(chosen) == len(set(chosen)) == 10 and (np.diff(chosen) > 0).all() and t[chosen].min() >= world.parts.test.start and len(usual) == 8 and t[usual].max() < world.parts.train.stop
    assert np.array_equal(explaining.drawn_cases(world.known, world.parts, 10, 8, seed=3)[0], chosen) and not np.array_equal(explaining.drawn_cases(world.known, world.parts, 10, 8, seed=4)[0], chosen)
    everything, _ = explaining.drawn_cases(world.known, world.parts, 10**6, 8)
    assert len(everything) == 3*4*6

def test_a_star_has_the_area_in_the_middle_and_says_what_the_whole_graph_says(world):
    net, rows = world.nets["GAT+TCN"], np.arange(world.known.rows(world.parts.test).start, world.known.rows(world.parts.test).start + 6)
    for row in rows: assert world.stars.agree(net, row)
    k = world.stars.degree[0]
    x = world.stars.inputs(net, rows[:1], world.stars.around[0][None])
    columns = net.columns(world.known.sequence_names)
    assert x.shape == (1, 4, 1 + k, len(columns)) and np.allclose(x[0, :, 0], world.known.sequence(rows[:1])[0][:, columns])
    for j, a in enumerate(world.stars.around[0]): assert np.allclose(x[0, :, 1 + j], world.known.sequence(rows[[a]])[0][:, columns])
    assert explaining.ring(3).tolist() == [[1, 2, 3], [0, 0, 0]]
    # a background's star has neighbours of its own, as many as needed
    drawn = world.stars.drawn(rows, 9, seed=0)
    assert drawn.shape == (6, 9) and all(set(drawn[a]) <= set(world.stars.around[a]) for a in range(6))
    alone = explaining.Stars(world.known, np.empty((2, 0), int))
    assert (alone.drawn(rows, 1, 0).ravel() == np.arange(6)).all() and alone.own(rows).shape == (6, 0)

def test_values_of_every_network_sum_to_its_forecast_less_the_mean(world, explainer):
    for name, net in world.nets.items():
        found = explainer.explain(net, "counts")
        said = torch.log(torch.as_tensor(net.predict(world.panel, world.parts.test)).sum(-1)).numpy().ravel()
        first = world.known.rows(world.parts.test).start
        assert np.allclose(found.output, said[explainer.chosen - first], atol=1e-4), name
        assert set(found.players) == set(explaining.labels_of(net, world.known, world.players))
    exact, missed = explaining.from_exact(explainer, world.nets["DNN"], "counts", explainer.chosen[:4])
    assert exact < 3 and missed < 1e-4

def test_the_truth_of_a_sum_is_divided_as_it_was_added_up(world, explainer):
    # said = hour + area + week: each player's value is its part less the mean part of the background
    T, A, S = len(world.panel), 6, 4
    hour, area, week = np.array([0., 1, 5, 2]), np.arange(A)*.5, np.arange(T//S)*.1
    said = week[:, None, None] + hour[None, :, None] + area
    true = explaining.true_explanation(explainer, said.reshape(T, A))
    t, a, u = world.known.t[explainer.chosen], world.known.a[explainer.chosen], explainer.usual
    assert true.players == ["hour of day", "place", "calendar"]
    assert np.allclose(true.values[:, 0], hour[t % S] - hour[world.known.t[u] % S].mean()) and np.allclose(true.values[:, 1], area[a] - area[world.known.a[u]].mean())
    assert np.allclose(true.values.sum(1), true.output - true.base)
    assert explaining.agreement([true, true], true) == pytest.approx({"hour of day": 1., "place": 1.})
    twisted = explaining.replace(true, values=true.values*[1, -1, 1])
    assert explaining.agreement([twisted], true)["place"] == pytest.approx(-1) and "calendar" in explaining.agreement([true], true, ())

def test_ranks_are_rows_with_intervals_that_hold_them():
    table = pd.DataFrame({"player": ["a", "b"], "rank": [1, 2], "rank low": [1, 2], "rank high": [2, 1], "blocks": [9, 9]})
    rows = explaining.rank_rows(table, 40)
    assert [(r["metric"], r["value"], r["low"], r["high"]) for r in rows] == [("importance rank: a", 1, 1, 2), ("importance rank: b", 2, 2, 2)] and rows[0]["n"] == 40

def test_the_papers_claims_are_asked_of_its_networks():
    players = ["hour of day", "crime density", "location", "past counts"]
    def of(*sizes): return [explaining.replace(explanation([*sizes], seed), players=players, values=np.random.default_rng(seed).choice([-1., 1.], (40, 4))*np.random.default_rng(seed + 9).uniform(.98, 1.02, (40, 4))*sizes, error=np.full((40, 4), .1)) for seed in (0, 1)]
    said = dict(explaining.claims_of("DNN", of(9., 3., .1, 5.), WEEKS))
    assert said == {"hour of day ranks first": "supported", "then the neighbourhood": "refuted", "then crime density alone": "refuted"}
    assert dict(explaining.claims_of("LSTMCrimeNet", of(1., 1., 1., 9.), WEEKS)) == {"past counts above an equal share": "supported", "past counts rank first": "supported"}
    assert explaining.claims_of("GAT+TCN", of(1., 1., 1., 1.), WEEKS) == []


# --- judges and the penalty ---

class Run(list):
    flagged, seed = .25, 0
    def add(self, rows, **shared): self.extend({**shared, **row} for row in pd.DataFrame(rows).to_dict("records"))

def test_flags_are_judged_by_what_was_recorded_and_by_what_happened(world):
    run = Run()
    judges = explaining.Judges(run, world.known, world.parts, world.truth)
    severity = np.array([panels.SEVERITY[g] for g in world.panel.categories])
    assert set(judges.busy) == {"recorded", "true"} and judges.totals["true"].sum() > judges.totals["recorded"].sum() == (world.panel.counts @ severity).sum()
    less = world.truth.area_reporting < np.median(world.truth.area_reporting)
    assert (judges.group[:6] == np.where(less, "reported less", "reported more")).all()
    # whoever flags what happened has more of it in the flags than a draw has
    right = judges.totals["recorded"][judges.at]
    judges.add("knows", "ours", "fairness", [right]); judges.add("draws", "trivial", "fairness", [np.zeros(len(right))]*2)
    value = {(r["method"], r["protocol"], r["metric"]): r["value"] for r in run}
    hit = lambda name, view: value[name, f"fairness, judged by {view} crime", "hit rate"]
    by_week = right.reshape(3, 24)
    assert hit("knows", "recorded") == pytest.approx(np.sort(by_week, 1)[:, -6:].sum()/by_week.sum()) and hit("draws", "recorded") < hit("knows", "recorded")
    south = explaining.Judges(run, world.known, world.parts)
    assert south.halves == ("south", "north") and set(south.busy) == {"recorded"} and (south.group[:6] == "south").sum() == 3

def test_a_penalty_brings_the_groups_together(world):
    severity = np.array([panels.SEVERITY[g] for g in world.panel.categories])
    group = (world.known.a % 2)
    def gap(weight, outcome=None):
        net = explaining.FairDNN("counts", units=8, layers=1, epochs=6, evaluations=1, lr=.01, seed=0, device="cpu").penalised(weight, group, severity, outcome)
        risk = net.fit(world.panel, world.parts.train, world.parts.valid).predict(world.panel, world.parts.test) @ severity
        return abs(risk[:, ::2].mean() - risk[:, 1::2].mean())
    plain = parallel.AreaDNN("counts", units=8, layers=1, epochs=6, evaluations=1, lr=.01, seed=0, device="cpu").fit(world.panel, world.parts.train, world.parts.valid).predict(world.panel, world.parts.test) @ severity
    assert gap(0.) == abs(plain[:, ::2].mean() - plain[:, 1::2].mean()) and gap(30.) < .7*gap(0.)
