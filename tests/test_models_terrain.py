"Every model of terrain: sees no future, is saved and loaded, refuses what doesn't fit, forecasts what comes next, and its intervals hold what they promise."
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.metrics import coverage
from crimenb.models import Model, backtest, catalogue
from crimenb.terrain import Terrain, from_city

QUICK = {"random forest": {"trees": 10}, "classic RTM": {"penalty": .01}, "negative binomial": {"penalty": .01}, "group lasso": {"penalty": .01}, "post's RTM, plain loop": {"steps": 400, "lr": .02},
         "shrunk counts": {"bandwidths": (100, 400)}}
MODELS = catalogue("Terrain")


@cache
def years(periods=4, n_events=8_000, side=24):
    events, city = simulate(n_events=n_events, days=1460, seed=2, side=side)
    return from_city(events, city, periods=periods, bandwidths=(100, 200, 400))

@cache
def elsewhere(): return from_city(*simulate(3000, days=1460, side=20), bandwidths=(100, 200, 400))

@cache
def fitted(name): return MODELS[name](**QUICK.get(name, {})).fit(years(), slice(0, 3))

def test_the_catalogue_has_the_works_models_and_each_rule_once():
    assert set(MODELS) == {"uniform", "area", "last counts", "mean counts", "kernel density", "classic RTM", "negative binomial", "group lasso", "random forest", "shrunk counts", "Gi*", "local Moran",
                           "post's RTM", "post's RTM, picked by deviance", "post's RTM, plain loop"}
    roles = {name: kind.role for name, kind in MODELS.items()}
    assert roles["last counts"] == "trivial" and roles["classic RTM"] == "practitioner" and roles["post's RTM"] == "paper" and roles["shrunk counts"] == "ours"
    assert not set(catalogue("Panel")) & {"last counts", "uniform"}

@pytest.mark.parametrize("name", MODELS)
def test_no_forecast_changes_when_the_future_does(name):
    view = years()
    poisoned = replace(view, counts=np.vstack([view.counts[:3], 7*view.counts[3:, ::-1] + 100]))
    other = MODELS[name](**QUICK.get(name, {})).fit(poisoned, slice(0, 3))
    np.testing.assert_array_equal(other.predict(poisoned, 3), fitted(name).predict(view, 3))
    assert other.spread_ == fitted(name).spread_

@pytest.mark.parametrize("name", MODELS)
def test_settings_are_arguments(name):
    model = MODELS[name](**QUICK.get(name, {}))
    assert clone(model).get_params() == model.get_params() and set(QUICK.get(name, {})) <= set(model.get_params())
    assert isinstance(model, Model) and not hasattr(clone(fitted(name)), "schema_")

def test_saved_models_forecast_the_same_in_another_process(tmp_path):
    view = years()
    for name in MODELS: fitted(name).save(tmp_path/f"{list(MODELS).index(name)}.crimenb")
    script = (f"import sys; sys.path.insert(0, 'tests'); from test_models_terrain import MODELS, years\nfrom crimenb.models import load\nimport numpy as np\n"
              f"np.savez('{tmp_path}/there.npz', **{{str(k): load('{tmp_path}/' + str(k) + '.crimenb').forecast(years()).table.expected for k in range(len(MODELS))}})")
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    there = np.load(tmp_path/"there.npz")
    for k, name in enumerate(MODELS): np.testing.assert_array_equal(there[str(k)], fitted(name).forecast(view).table.expected, err_msg=name)

@pytest.mark.parametrize("name", [n for n in MODELS if n != "random forest"])
def test_a_saved_model_holds_no_history(name, tmp_path):
    view = years()
    longer = replace(view, counts=np.vstack([view.counts]*3), labels=None)
    sizes = [MODELS[name](**QUICK.get(name, {})).fit(one).save(tmp_path/"m.crimenb").stat().st_size for one in (view, longer)]
    assert sizes[1] < sizes[0] + 600

@pytest.mark.parametrize("name", MODELS)
def test_a_view_that_does_not_fit_is_refused_in_one_sentence(name):
    view = years()
    for other, says in ((replace(view, bandwidths=(100, 200, 300)), "bandwidths"), (replace(view, factors=dict(reversed(view.factors.items()))), "factors"),
                        (replace(view, values="standardised"), "values"), (elsewhere(), "there")):
        with pytest.raises(InputError, match=says) as error: fitted(name).predict(other, 1)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="not fitted"): MODELS[name]().predict(view, 1)

@pytest.mark.parametrize("name", MODELS)
def test_forecasts_come_after_the_last_known_period(name):
    view = years()
    table = fitted(name).forecast(view, periods=2).table
    assert table.period.unique().tolist() == list(view.ahead(2).starts[-2:]) and len(table) == 2*len(view.units)
    assert np.isfinite(table[["expected", "low", "high"]]).all(axis=None) and (table.low <= table.high).all()
    assert (table.expected <= table.high + 1).all() and (table.expected >= table.low - 1).all()
    assert table.expected.sum() == pytest.approx(2*view.counts.mean(0).sum(), rel=.15)

@pytest.mark.parametrize("name", [n for n, kind in MODELS.items() if getattr(kind, "remembers", False)])
def test_a_period_of_which_nothing_is_known_is_passed_over_and_not_zero(name):
    view = years()
    hole = replace(view, counts=np.vstack([view.counts[:3], np.full((1, len(view.units)), np.nan), view.counts[3:]]), labels=None)
    assert hole.ahead(1).starts[-1] > view.ahead(1).starts[-1]
    np.testing.assert_allclose(fitted(name).forecast(hole).table.expected, fitted(name).forecast(view).table.expected)

@pytest.mark.parametrize("name", ["mean counts", "kernel density", "random forest", "shrunk counts"])
@pytest.mark.parametrize("train", [slice(0, 1), slice(0, 3)])
def test_intervals_hold_what_they_promise(name, train):
    "Counts are whole numbers, so an interval covers at least what it promises; it must not be much wider."
    view = years(4, 30_000)
    model = MODELS[name](**QUICK.get(name, {})).fit(view, train)
    values = model.predict(view, train.stop)
    busy = values[0] > 3
    low, high = model.interval(values, .9)
    share = coverage(low[:, busy], high[:, busy], view.observed([train.stop])[:, busy])
    assert .84 < share < .985, share

def test_a_backtest_has_the_trivial_rules_in_it():
    rows = backtest([MODELS["shrunk counts"](bandwidths=(100, 400)), "post's RTM"], years(), test=1, valid=1)
    assert set(rows.method) == {"shrunk counts", "post's RTM", "uniform", "area", "last counts", "mean counts"}
    assert {"PAI@5%", "Poisson deviance", "coverage of 90%"} <= set(rows.metric) and rows.value.notna().all()
    deviance = rows[rows.metric == "Poisson deviance"].set_index("method").value
    assert deviance["shrunk counts"] < deviance.drop("shrunk counts").min()

def test_a_view_of_another_kind_is_refused():
    with pytest.raises(InputError, match="takes Terrain"): fitted("uniform")._takes(pd.DataFrame())
    assert isinstance(years(), Terrain)


def test_factors_that_have_changed_places_are_refused():
    view = years()
    (one, a), (other, b), *rest = view.factors.items()
    model = MODELS["post's RTM"]().fit(view, slice(0, 3))
    swapped = replace(view, factors={one: b, other: a, **dict(rest)})
    with pytest.raises(InputError, match="has the points that .* had there"): model.predict(swapped, [3])
    newer = replace(view, factors={**view.factors, one: replace(a, x=a.x + 5)})
    assert not np.array_equal(newer.design().x, view.design().x) and model.predict(newer, [3]).shape == model.predict(view, [3]).shape


@pytest.mark.parametrize("name", MODELS)
def test_a_view_that_ends_before_what_was_learnt_is_no_ground_for_a_forecast(name):
    with pytest.raises(InputError, match="has learnt from .* up to .* and the view ends"): fitted(name).forecast(years().until(2))
    assert len(fitted(name).forecast(years().until(3)).periods) == 1
