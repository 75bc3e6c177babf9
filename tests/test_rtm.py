"crimenb.papers.rtm: the post's model by hand, the fast fit against the plain loop and against scipy, and what must be refused."
import itertools
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import notebooks
from crimenb.baselines.hot_spots import fit_classic
from crimenb.core import InputError
from crimenb import metrics
from crimenb.papers import rtm
from crimenb.papers.rtm import (RTM_torch, alive, bootstrap_weights, conjunctive, expected_loss, fit, fit_loops, fit_post, interactive_map,
                                irr_intervals, risk_map, solve, stability, top_units, unique_rows, z_rule)
from crimenb.terrain import Design, Points, Units, dc, design, distance


def made_up(n=300, seed=0, effect=np.log(3), crs=None):
    "Counts with a planted effect within 200 m of a bar; schools do nothing."
    rng = np.random.default_rng(seed)
    origin = 390_000. if crs else 0.
    place = origin + rng.uniform(0, 2000, (n, 2))
    points = {"bar": Points(*(origin + rng.uniform(0, 2000, (2, 12))), crs), "school": Points(*(origin + rng.uniform(0, 2000, (2, 8))), crs)}
    units = Units(np.arange(n), place[:, 0], place[:, 1], rng.uniform(1, 3, n), crs, pd.DataFrame({"Intersection": rng.random(n) < .4}))
    terrain = design(units, points, (100, 200, 400), kinds="distance", constants=("Const", "Intersection"))
    rate = np.exp(-.3 + .4*terrain.constants[:, 1] + effect*(distance(units, points["bar"]) <= 200))
    return terrain, rng.poisson(rate)

def tensors(*arrays): return tuple(torch.tensor(np.asarray(a, float)) for a in arrays)

TERRAIN, Y = made_up(seed=1)


# --- the post's model ---

def test_readings_of_relu_are_the_same_training_with_dummies_and_not_without():
    settings = dict(seed=3, steps=40, lr=.02, start="uniform")
    a, b = (fit_post(TERRAIN, Y, relu=where, **settings) for where in ("output", "weights"))
    np.testing.assert_allclose(a.burn_in, b.burn_in, rtol=1e-12); np.testing.assert_allclose(a.effects, b.effects, rtol=1e-12)
    standard = replace(TERRAIN, x=(TERRAIN.x - TERRAIN.x.mean(0))/TERRAIN.x.std(0))
    a, b = (fit_post(standard, Y, relu=where, **settings) for where in ("output", "weights"))
    assert np.abs(a.burn_in - b.burn_in).max() > .01

def test_a_burn_in_pass_lets_one_candidate_of_each_set_through_evenly():
    model = RTM_torch(1, [3, 2])
    with torch.no_grad():
        for layer, w in zip((model.const, *model.generators), ([0.], [1., 2., 4.], [10., 20.])): layer.weight.copy_(torch.tensor([w]))
    torch.manual_seed(0)
    seen = pd.Series([round(model(torch.ones(1, 6, dtype=torch.float64)).item()) for _ in range(1200)]).value_counts()
    assert set(seen.index) == {a + b for a in (1, 2, 4) for b in (10, 20)} and seen.min() > 150

def test_seeds_repeat_and_leave_the_global_generator_alone():
    torch.manual_seed(7); before = torch.rand(3)
    torch.manual_seed(7)
    first = fit_post(TERRAIN, Y, seed=1, steps=20)
    assert torch.equal(torch.rand(3), before)
    np.testing.assert_array_equal(first.burn_in, fit_post(TERRAIN, Y, seed=1, steps=20).burn_in)
    assert not np.array_equal(first.burn_in, fit_post(TERRAIN, Y, seed=2, steps=20).burn_in)

def test_float64_and_all_starts():
    model = RTM_torch(2, [4, 5])
    assert all(p.dtype == torch.float64 for p in model.parameters()) and model.effects().min() > 0 and model.cancel.weight.tolist() == [[1, 1]]
    torch.manual_seed(0)
    assert (RTM_torch(2, [40, 50], start="uniform").effects() == 0).sum() in range(25, 66)

def test_pruning_by_size_can_leave_a_set_with_nothing():
    for by, left in (("effect", [0., .2]), ("size", [0., 0.])):
        model = RTM_torch(1, [2])
        with torch.no_grad(): model.generators[0].weight.copy_(torch.tensor([[-.9, .2]]))
        model.l1_prune(by)
        assert model.effects().tolist() == pytest.approx(left)
        assert list(model.coef_df(["c", "a", "b"]).Variable) == (["c", "b"] if by == "effect" else ["c"])

def test_cancel_layer_gates_a_set():
    model = RTM_torch(1, [1, 1])
    with torch.no_grad():
        for layer, w in zip((model.const, *model.generators, model.cancel), ([1.], [.5], [.25], [-1., 2.])): layer.weight.copy_(torch.tensor([w]))
    row = torch.ones(1, 3, dtype=torch.float64)
    assert model(row, None).item() == 1.75 and model(row, None, cancel=True).item() == 1.5
    assert model.effects(cancel=True).tolist() == [0, .5]

def test_plain_loop_of_the_posts_length_and_fast_fit_agree():
    plain, fast = fit_post(TERRAIN, Y, seed=10), fit(TERRAIN, Y)
    assert plain.picks.equals(fast.picks) and fast.picks.bar[0] == "bar_dis_200"
    np.testing.assert_allclose(plain.coef_df().IRR, fast.coef_df().IRR, rtol=.002)
    # the burn-in hovers around the least expected loss
    assert np.abs(plain.burn_in - fast.burn_in).max() < .15

@pytest.mark.parametrize("settings", [{}, {"start": "uniform"}, {"start": "uniform", "prune": "size"}])
def test_many_loops_at_once_are_the_loops_one_by_one(settings):
    # columns of the sets interleaved: weights and masks are drawn set by set, whatever the order of the columns
    mixed = replace(TERRAIN, x=TERRAIN.x[:, [0, 3, 1, 4, 2, 5]], names=[TERRAIN.names[k] for k in (0, 3, 1, 4, 2, 5)], sets={"bar": [0, 2, 4], "school": [1, 3, 5]})
    before = torch.get_rng_state()
    many = fit_loops(mixed, Y, (3, 10, 12), steps=150, lr=.02, **settings)
    assert torch.equal(before, torch.get_rng_state())
    for b, seed in enumerate((3, 10, 12)):
        alone = fit_post(mixed, Y, seed, 150, lr=.02, **settings)
        for part in ("constants", "effects", "burn_in"): np.testing.assert_allclose(getattr(many[b], part), getattr(alone, part), atol=1e-9, err_msg=part)
    assert many.names == mixed.names and many.effects.shape == (3, 6)


# --- the expected loss and its least value ---

@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_expected_loss_is_the_mean_over_masks_for_any_values(seed):
    rng = np.random.default_rng(seed)
    sets = [[0, 3], [1], [2, 4, 5]]
    c, x, size = tensors(rng.normal(size=(7, 2)), rng.normal(size=(7, 6)), rng.random(7))
    total, theta = size*torch.tensor(rng.poisson(2, 7)), torch.tensor(rng.normal(size=8))
    by_mask = [((size*(eta := c @ theta[:2] + x[:, list(mask)] @ theta[2:][list(mask)]).exp()) - total*eta).sum() for mask in itertools.product(*sets)]
    torch.testing.assert_close(expected_loss(theta, c, x, sets, size, total), sum(by_mask)/len(by_mask))

@pytest.mark.parametrize("values", ["dummy", "standardised"])
def test_solve_agrees_with_scipy(values):
    rng = np.random.default_rng(4)
    n, sets = 400, [[0, 1, 2], [3, 4], [5]]
    x = (rng.random((n, 6)) < .3).astype(float) if values == "dummy" else rng.normal(size=(n, 6))
    c = np.column_stack([np.ones(n), 1000*rng.random(n)])            # of very unlike scale
    y = rng.poisson(np.exp(-1 + .001*c[:, 1] + .5*x[:, 0] - .4*x[:, 3] + .3*x[:, 5]))
    C, X, size = tensors(c, x, np.full((1, n), 1/n))
    a, v, loss = solve(C, X, sets, size, size*torch.tensor(y))

    def value(theta):
        theta = torch.tensor(theta, requires_grad=True)
        result = expected_loss(theta, C/torch.tensor([1., 1000.]), X, sets, size[0], size[0]*torch.tensor(y))
        result.backward()
        return result.item(), theta.grad.numpy()
    other = minimize(value, np.zeros(8), jac=True, method="L-BFGS-B", bounds=[(None, None)]*2 + [(0, None)]*6, options=dict(ftol=1e-15, gtol=1e-10, maxiter=5000))
    assert loss.item() <= other.fun + 1e-12
    np.testing.assert_allclose(np.r_[a[0]*torch.tensor([1., 1000.]), v[0]], other.x, atol=2e-4)
    assert v.min() == 0 and (v > 0).any()

def test_many_fits_at_once_are_the_fits_one_by_one():
    weights = bootstrap_weights(len(Y), 6, seed=1)
    for pick in ("effect", "deviance"):
        many = fit(TERRAIN, Y, weights, pick=pick)
        for b in range(6):
            one = fit(TERRAIN, Y, weights[b], pick=pick)
            np.testing.assert_allclose(many.effects[b], one.effects, atol=1e-6); np.testing.assert_allclose(many.constants[b], one.constants, atol=1e-6)
        assert many[2].effects.shape == (8 - 2,) and len(many[1:3].effects) == 2

def test_a_weight_of_two_is_the_unit_twice():
    twice = replace(TERRAIN, units=None, x=np.repeat(TERRAIN.x, 2, 0), constants=np.repeat(TERRAIN.constants, 2, 0))
    a, b = fit(TERRAIN, Y, np.full(len(Y), 2.)), fit(twice, np.repeat(Y, 2))
    np.testing.assert_allclose(a.effects, b.effects, atol=1e-7)
    np.testing.assert_allclose(a.effects, fit(TERRAIN, Y).effects, atol=1e-7)      # and a common weight changes nothing

def test_unique_rows_keep_all_weight_and_all_crime():
    c, x, size, total = unique_rows(TERRAIN.constants, TERRAIN.x, Y, bootstrap_weights(len(Y), 3))
    assert len(c) == len(np.unique(np.column_stack([TERRAIN.constants, TERRAIN.x]), axis=0)) < len(Y)
    assert size.sum(1).tolist() == [len(Y)]*3
    np.testing.assert_allclose(total.sum(1), bootstrap_weights(len(Y), 3) @ Y)

def test_order_of_candidates_and_sets_does_not_matter():
    order = np.array([4, 0, 3, 5, 1, 2])
    place = np.argsort(order)
    mixed = Design(TERRAIN.units, TERRAIN.x[:, order], [TERRAIN.names[k] for k in order], {"school": place[3:], "bar": place[:3]}, TERRAIN.constants, TERRAIN.constant_names)
    a, b = fit(TERRAIN, Y), fit(mixed, Y)
    np.testing.assert_allclose(a.effects[order], b.effects, atol=1e-7)
    assert a.picks.bar[0] == b.picks.bar[0]
    post = fit_post(mixed, Y, steps=300, lr=.03)
    assert post.picks.bar[0] == "bar_dis_200"
    np.testing.assert_allclose(post.expected(mixed).sum(), Y.sum(), rtol=.02)

def test_a_candidate_that_never_changes_is_not_picked():
    x = TERRAIN.x.copy(); x[:, 0], x[:, 3] = 1, 0
    found = fit(replace(TERRAIN, x=x), Y)
    assert found.effects[0] == found.effects[3] == found.burn_in[0] == 0 and found.picks.bar[0] == "bar_dis_200"

def test_allowed_candidates_only():
    found = fit(TERRAIN, Y, allowed=np.array([[1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], bool))
    assert found.picks.bar[0] != "bar_dis_200" and found.picks.bar[1] is None and found.picks.school[1] is None
    np.testing.assert_allclose(np.exp(found.constants[1] @ TERRAIN.constants.T).sum(), Y.sum())
    by_deviance = fit(TERRAIN, Y, allowed=np.array([1, 0, 1, 1, 1, 1], bool), pick="deviance")
    assert by_deviance.picks.bar[0] in ("bar_dis_100", "bar_dis_400")

def test_deviance_drops_what_is_no_gain_and_finds_the_planted_band():
    found = [fit(*made_up(1200, seed), pick="deviance") for seed in range(8)]
    assert [f.picks.bar[0] for f in found] == ["bar_dis_200"]*8
    assert sum(f.picks.school[0] is None for f in found) >= 6
    nothing = fit(*made_up(1200, 1, effect=0), pick="deviance")
    assert nothing.effects.max() == 0 and list(nothing.coef_df().Variable) == ["Const", "Intersection"]

def test_alive_is_what_the_model_starts_with():
    torch.manual_seed(5)
    model = RTM_torch(2, [3, 3], start="uniform")
    assert alive(TERRAIN, [4, 5])[1].tolist() == (model.effects() > 0).tolist() and alive(TERRAIN, [4], "positive").all()
    post = fit_post(TERRAIN, Y, seed=5, steps=50, start="uniform")
    assert (post.burn_in[~alive(TERRAIN, [5])[0]] == 0).all()


# --- stability, intervals, tables, maps ---

def test_stability_adds_up_in_each_set():
    table = stability(fit(TERRAIN, Y, bootstrap_weights(len(Y), 30)))
    np.testing.assert_allclose(table.groupby("set").share.sum(), 1)
    assert table.iloc[0].tolist()[:2] == ["bar", "bar_dis_200"] and "none" in set(table.variable)

def test_intervals_hold_the_estimate_and_the_planted_ratio():
    table = irr_intervals(TERRAIN, Y, n_boot=100).set_index("Variable")
    assert ((table.low <= table.IRR) & (table.IRR <= table.high)).all() and table.low["bar_dis_200"] < 3 < table.high["bar_dis_200"]
    assert table.low["bar_dis_200"] > 1.5 and table.again["bar_dis_200"] > .5
    narrow = irr_intervals(TERRAIN, Y, n_boot=100, level=.5).set_index("Variable")
    assert (narrow.high - narrow.low < table.high - table.low).all()

def test_z_rule():
    nothing = z_rule(np.ones(5), np.ones(5))
    assert not nothing["flagged"].any() and nothing["flagged share"] == 0 and np.isnan(nothing["PAI"]) and np.isnan(nothing["hit rate"])
    found = z_rule([9.] + [1.]*9, [3, 3] + [0]*8, area=np.r_[2., np.ones(9)])
    assert found["PAI"] == pytest.approx(.5/(2/11)) and found["flagged"].tolist() == [True] + [False]*9
    with pytest.raises(InputError): z_rule([1., 2.], [1.])

def test_conjunctive_table_is_a_partition():
    found = fit(TERRAIN, Y)
    table = conjunctive(TERRAIN, found, Y)
    assert table.Units.sum() == len(Y) and table.Observed.sum() == Y.sum() and table.Expected.sum() == pytest.approx(Y.sum())
    here = TERRAIN.x[:, TERRAIN.names.index("bar_dis_200")] == 1
    assert table[table["bar_dis_200"] == 1].Observed.sum() == Y[here].sum()
    none = fit(TERRAIN, Y, allowed=np.zeros(6, bool))
    assert conjunctive(TERRAIN, none, Y)[["Units", "Observed"]].values.tolist() == [[len(Y), Y.sum()]]
    with pytest.raises(InputError, match="dummies"): conjunctive(replace(TERRAIN, x=TERRAIN.x*.5), found, Y)
    with pytest.raises(InputError, match="one fit"): conjunctive(TERRAIN, fit(TERRAIN, Y, bootstrap_weights(len(Y), 2)), Y)

def test_top_units_break_ties_by_row():
    assert top_units([1, 3, 3, 2], .5).tolist() == [1, 2] and top_units([1, 3, 3, 2], .01).tolist() == [1]

def test_maps(tmp_path):
    terrain, y = made_up(200, crs=26985)
    expected = fit(terrain, y).expected(terrain)
    page = interactive_map(terrain.units, expected, tmp_path / "map.html", y, share=.02)
    text = page.read_text()
    best = top_units(expected, .02)
    assert text.count("rank ") == 4 and f"unit {terrain.units.ids[best[0]]}, rank 1: {expected[best[0]]:.2f} expected, {y[best[0]]} crimes seen" in text
    with pytest.raises(InputError, match="EPSG"): interactive_map(TERRAIN.units, fit(TERRAIN, Y).expected(TERRAIN), tmp_path / "no.html")
    assert not (tmp_path / "no.html").exists()
    import matplotlib
    matplotlib.use("Agg")
    ax = risk_map(terrain.units, expected, y)
    assert [len(c.get_offsets()) for c in ax.collections] == [200, (y > 0).sum(), 2]


# --- on Washington's units ---

def test_the_posts_picks_come_back(fetched):
    "Printed: alcohol KDE 50 m, metro distance 50 m, 311 KDE 800 m; PAI around 3 at z > 2, slightly lower out of sample; .3 crimes a unit."
    city = dc(fetched("dc_rtm"))
    ground = city.design(constants=("Const", "Intersection"))
    past, future = city.past(1), city.observed([1])[0]
    found = fit(ground, past[:, 0])
    assert found.picks.iloc[0].to_dict() == {"alc": "alc_kde_50", "met": "met_dis_50", "c31": "c31_kde_800"}
    assert past.mean() == pytest.approx(.3, abs=.05)
    inside, outside = (z_rule(found.expected(ground), y)["PAI"] for y in (past[:, 0], future))
    assert inside == pytest.approx(3.13, abs=.03) and outside == pytest.approx(2.77, abs=.03)
    by_deviance = fit(ground, past[:, 0], pick="deviance").picks.iloc[0].to_dict()
    assert by_deviance["c31"] == "c31_kde_800" and by_deviance["met"] != "met_dis_50"


# --- refused ---

@pytest.mark.parametrize("call, words", [
    (lambda: fit(TERRAIN, Y[:-1]), "fit together"),
    (lambda: fit(TERRAIN, Y*0), "above 0"),
    (lambda: fit(TERRAIN, Y - 1.), "0 or more"),
    (lambda: fit(TERRAIN, np.where(Y > 2, np.nan, Y)), "0 or more"),
    (lambda: fit(TERRAIN, Y, weights=-np.ones(len(Y))), "negative"),
    (lambda: fit(TERRAIN, Y, weights=np.ones((3, 7))), "one a unit"),
    (lambda: fit(TERRAIN, Y, weights=(Y == 0)*1.), "draw it again"),
    (lambda: fit(TERRAIN, Y, allowed=np.ones(5)), "one a candidate"),
    (lambda: fit(TERRAIN, np.stack([Y]*3), allowed=np.ones((2, 6))), "fit together"),
    (lambda: fit(TERRAIN, Y, pick="lasso"), "unknown way to pick"),
    (lambda: fit(replace(TERRAIN, sets={"bar": [0, 1, 2]}), Y), "in one set"),
    (lambda: fit(replace(TERRAIN, x=TERRAIN.x*np.nan), Y), "finite"),
    (lambda: fit_post(TERRAIN, Y, steps=1, relu="both"), "ReLU"),
    (lambda: fit_loops(replace(TERRAIN, x=TERRAIN.x - .5), Y, [1], 1), "at least 0"), (lambda: fit_loops(TERRAIN, Y, [], 1), "no seeds"),
    (lambda: fit_loops(TERRAIN, np.stack([Y]*2), [1], 1), "one a unit"), (lambda: fit_loops(TERRAIN, Y, [1], 0), "steps"), (lambda: fit_loops(TERRAIN, Y, [1], 1, prune="sign"), "prune"),
    (lambda: RTM_torch(0, [2]), "const"), (lambda: RTM_torch(1, [2, 0]), "candidates"), (lambda: RTM_torch(1, [2], start="zeros"), "start"),
    (lambda: RTM_torch(1, [2])(torch.ones(4, 2, dtype=torch.float64)), "columns"), (lambda: RTM_torch(1, [2])(torch.ones(4, 3, dtype=torch.float64), "all"), "mask_type"),
    (lambda: RTM_torch(1, [2]).coef_df(["a"]), "names"), (lambda: RTM_torch(1, [2]).l1_prune("sign"), "prune"),
    (lambda: fit(TERRAIN, Y, bootstrap_weights(len(Y), 2)).coef_df(), "one fit"),
    (lambda: bootstrap_weights(10, 0), "n_boot"),
])
def test_refused(call, words):
    with pytest.raises(InputError, match=words): call()


BAR, SCHOOL = (Points(*np.random.default_rng(s).uniform(0, 2000, (2, 9))) for s in (5, 6))

@pytest.mark.parametrize("other, says", [
    (dict(values="standardised"), "values: 'dummy' there, 'standardised' here"), (dict(values="raw"), "columns"),
    (dict(kernel="quartic"), "kernel: 'gaussian' there, 'quartic' here"), (dict(z=1.), "z: 2.0 there, 1.0 here"),
    (dict(bandwidths=(100, 300)), "columns, number 1: 'bar_dis_200' there, 'bar_dis_300' here"), (dict(bandwidths=(100,)), "columns: 8 there, 4 here"),
    (dict(kinds="distance"), "columns: 8 there, 4 here"), (dict(kinds=("density", "distance")), "columns, number 0"),
    (dict(factors={"school": SCHOOL, "bar": BAR}), "columns, number 0: 'bar_dis_100' there, 'school_dis_100' here"),
    (dict(factors={"pub": BAR, "school": SCHOOL}), "columns, number 0"), (dict(constants=("Const",)), "constants: 2 there, 1 here"),
    (dict(constants=("Intersection", "Const")), "constants, number 0")])
def test_a_fit_is_not_used_on_another_design_matrix(other, says):
    usual = dict(factors={"bar": BAR, "school": SCHOOL}, bandwidths=(100, 200), constants=("Const", "Intersection"))
    one, same, changed = (design(TERRAIN.units, **{**usual, **more}) for more in ({}, {}, other))
    for found in (fit(one, Y), fit_post(one, Y, steps=3), fit_loops(one, Y, [1], 3)[0], fit_classic(one, Y)):
        np.testing.assert_array_equal(found.expected(same), found.expected(one))
        with pytest.raises(InputError, match="another design matrix") as refusal: found.expected(changed)
        assert says in str(refusal.value)

def test_factors_that_have_changed_places_are_refused_and_next_years_points_are_not():
    make = lambda **factors: design(TERRAIN.units, factors, (100, 200))
    found = fit(make(bar=BAR, school=SCHOOL), Y)
    back = replace(BAR, x=BAR.x[::-1], y=BAR.y[::-1], columns=None)
    newer = Points(np.append(BAR.x[1:], 700.), np.append(BAR.y[1:], 300.))
    np.testing.assert_allclose(found.expected(make(bar=back, school=SCHOOL)), found.expected(make(bar=BAR, school=SCHOOL)))
    assert len(found.expected(make(bar=newer, school=SCHOOL))) == len(Y)
    for one, other in ((SCHOOL, BAR), (SCHOOL, newer), (SCHOOL, SCHOOL)):
        with pytest.raises(InputError, match="bar has the points that school had there"): found.expected(make(bar=one, school=other))

def test_what_no_column_depends_on_is_not_compared():
    "Of distances alone the kernel doesn't matter, of standardised densities the cut of the dummies doesn't."
    make = lambda **how: design(TERRAIN.units, {"bar": BAR}, (100, 200), **how)
    for how, more in ((dict(kinds="distance"), dict(kernel="quartic", z=1.)), (dict(values="standardised"), dict(z=1.))):
        assert len(fit(make(**how), Y).expected(make(**how, **more))) == len(Y)


# --- the notebook's cells that need real data ---

def test_the_cells_that_need_real_data_show_what_is_stored(fetched, monkeypatch, capsys):
    "They are not run with the others, and what the text says of Washington and New York is asserted in them."
    fetched("nyc_rtm")
    import matplotlib
    matplotlib.use("Agg")
    monkeypatch.setenv("CRIMENB_DATA", str(Path(next(iter(fetched("dc_rtm").values()))).parents[1]))
    path = Path(__file__).parents[1] / "nbs/papers/40_rtm.ipynb"
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and "eval: false" in c.source]
    names = dict(vars(rtm), metrics=metrics)
    for cell in cells:
        exec(cell.source, names)
        assert not notebooks.differs("".join(o.get("text", "") for o in cell.outputs), capsys.readouterr().out), cell.source
    assert len(cells) == 5 and all(o.output_type == "stream" for c in cells for o in c.outputs) and all(c.outputs for c in cells)
