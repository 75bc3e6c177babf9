"crimenb.models: the manners of every model, on the two rules that stand there: no future, one file without data, checked views, honest intervals."
import inspect
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import PoissonRegressor
from test_views import Streets

from crimenb import models
from crimenb.core import InputError
from crimenb.models import Last, Mean, Model, backtest, choose, load, settled

RULES = [Last(), Last(season=7), Mean(), Mean(window=5), Mean(window=3, season=7)]


@pytest.fixture(scope="module")
def streets(): return Streets(np.random.default_rng(0).poisson([.5, 3.], (200, 2)))


# --- forecasts ---

@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_poisoned_future_changes_no_forecast(rule, streets):
    fitted = models.clone(rule).fit(streets, slice(0, 100))
    for t in (100, 150):
        counts = streets.counts.copy()
        counts[t:] = 99
        assert np.array_equal(fitted.predict(streets, [t]), fitted.predict(Streets(counts), [t]))
        assert np.array_equal(fitted.predict(streets, [t])[0], fitted.ahead(streets.until(t))[1][0])

def test_the_two_rules_by_hand():
    view = Streets([[0, 4], [2, 2], [4, 0]])
    assert Last().fit(view).predict(view, [1, 2]).tolist() == [[.001, 4], [2, 2]]
    assert Mean().fit(view).predict(view, [1, 2]).tolist() == [[.001, 4], [1, 3]]
    assert Mean(window=1).fit(view).ahead(view, 2)[1].tolist() == [[4, np.float32(.001)]]*2 or np.allclose(Mean(window=1).fit(view).ahead(view, 2)[1], [[4, .001]]*2)

def test_a_forecast_comes_after_the_last_known_period(streets):
    found = Mean(window=14).fit(streets).forecast(streets, 3)
    assert found.periods == list(pd.date_range("2024-07-19", periods=3)) and len(found) == 6 and found.table[["expected", "low", "high"]].notna().all(axis=None)
    assert (found.table.low <= found.table.expected).all() and (found.table.expected <= found.table.high).all()
    assert found.about["model"] == "mean" and found.about["settings"] == {"season": 1, "window": 14} and found.before.expected.tolist() == streets.counts[-1].tolist()

def test_known_periods_are_predicted_and_others_forecast(streets):
    with pytest.raises(InputError, match="use forecast"): Last().fit(streets).predict(streets.ahead(3), [202])
    with pytest.raises(InputError, match="not fitted"): Last().predict(streets, [3])
    with pytest.raises(InputError, match="'Mill Lane' there, 'A' here"): Last().fit(streets).predict(Streets(streets.counts, names=("A", "B")), [3])

def test_a_model_takes_its_own_kind_of_view(streets):
    class OfPanels(Last): view = "Panel"
    with pytest.raises(InputError, match="takes Panel, not Streets"): OfPanels().fit(streets)

@pytest.mark.parametrize("view", models.MODULES)
def test_each_setting_of_each_model_is_of_a_type_or_refused_with_its_name(view):
    "Those whose annotation or default says of what type they are; a fit asks for it first."
    asked = 0
    for name in models.Catalogue([view]):
        kind = models.catalogue(view)[name]
        for setting, takes in inspect.signature(kind).parameters.items():
            model = kind().checked()
            if takes.annotation in ("Any", models.Any) or (takes.annotation is inspect.Parameter.empty and not isinstance(takes.default, (int, float, tuple))): continue
            model.set_params(**{setting: object()})
            with pytest.raises(InputError, match=f"^{setting} is a object: give "): model.checked()
            asked += 1
    assert asked >= 3

@pytest.mark.parametrize("settings, says", [(dict(season="7"), "season is '7': give a whole number"), (dict(season=7.), "season is 7.0: give a whole number"), (dict(window=[5]), r"window is \[5\]: give a whole number"), (dict(season=None), "season is None")])
def test_a_setting_of_a_wrong_type_is_refused_before_anything_is_learnt(settings, says, streets):
    with pytest.raises(InputError, match=says): Mean(**settings).fit(streets)


# --- intervals ---

@pytest.mark.parametrize("level", [.5, .8, .95])
def test_intervals_cover_what_they_promise(level):
    rng = np.random.default_rng(1)
    view = Streets(rng.poisson(6*rng.gamma(4, 1/4, (400, 2))))
    fitted = Mean(window=50).fit(view, slice(0, 200), slice(200, 300))
    at = np.arange(300, 400)
    low, high = fitted.interval(fitted.predict(view, at), level)
    happened = view.observed(at)
    inside = ((low <= happened) & (happened <= high)).mean()
    assert level - .06 < inside < min(level + .12, 1) and fitted.spread_[1] > 0


# --- files ---

def test_a_model_comes_back_from_its_file_in_another_process(streets, tmp_path):
    path = Mean(window=14).fit(streets).save(tmp_path/"mean.crimenb")
    code = ("import sys, json, numpy as np; sys.path.insert(0, sys.argv[2]); from test_views import Streets; from crimenb.models import load;"
            "m = load(sys.argv[1]); v = Streets(np.random.default_rng(0).poisson([.5, 3.], (200, 2))); print(json.dumps(m.forecast(v, 2).table.drop(columns='period').to_dict('list')))")
    done = subprocess.run([sys.executable, "-c", code, str(path), str(__import__("pathlib").Path(__file__).parent)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == Mean(window=14).fit(streets).forecast(streets, 2).table.drop(columns="period").to_dict("list")

def test_a_file_holds_no_data(streets, tmp_path):
    small, large = (Mean().fit(Streets(np.tile(streets.counts, (n, 1)))).save(tmp_path/f"{n}.crimenb").stat().st_size for n in (1, 50))
    assert abs(large - small) < 20

def test_one_flipped_bit_is_refused(streets, tmp_path):
    path = Last().fit(streets).save(tmp_path/"last.crimenb")
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 100, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="no saved model|damaged"): load(path)

@pytest.mark.parametrize("content, says", [(b"", "no saved model"), (b"PK\x03\x04", "no saved model"), (models.MAGIC, "damaged"), (models.MAGIC + b"0"*64 + b"\n", "damaged")])
def test_what_is_no_model_is_one_sentence(tmp_path, content, says):
    (tmp_path/"x.crimenb").write_bytes(content)
    with pytest.raises(InputError, match=says): load(tmp_path/"x.crimenb")
    (tmp_path/"endless.crimenb").symlink_to("/dev/zero")
    for name in ("nothing.crimenb", "endless.crimenb"):
        with pytest.raises(InputError, match="cannot be read"): load(tmp_path/name)

def test_a_file_can_not_name_a_class_of_the_machine(streets, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_named", lambda thing: "subprocess:Popen")
    path = Last().fit(streets).save(tmp_path/"evil.crimenb")
    with pytest.raises(InputError, match="not of this library"): load(path)

class Everything(Model):
    "Learns one thing of each kind that a file can hold."
    name = "everything"
    def __init__(self, size=2): self.size = size
    def network(self):
        import torch
        return torch.nn.Linear(self.size, 1)
    def _fit(self, view, train, valid):
        import torch
        self.names_, self.when_, self.none_, self.pair_, self.cut_ = ["a", "b"], view.starts[3], None, (1, 2.5), slice(1, None)
        self.numbers_, self.words_, self.table_ = np.arange(3), np.array(["x", None], object), pd.DataFrame({"k": ["u", "v"], "n": [1., np.nan]}, index=pd.Index(["p", "q"], name="place"))
        self.tree_ = PoissonRegressor().fit([[0.], [1.], [2.]], [0, 1, 2])
        self.inner_ = Mean(window=3).fit(view)
        torch.manual_seed(0)
        self.net_, self.weights_ = self.network(), torch.arange(3.)
    def _predict(self, view, at): return self.inner_._predict(view, at)

def test_all_that_can_be_learnt_comes_back(streets, tmp_path):
    import torch
    one = Everything().fit(streets)
    two = load(one.save(tmp_path/"all.crimenb"))
    for name in ("names_", "when_", "none_", "pair_", "cut_", "schema_", "until_", "spread_"): assert getattr(one, name) == getattr(two, name)
    assert np.array_equal(one.numbers_, two.numbers_) and two.words_.tolist() == ["x", None] and one.table_.equals(two.table_) and two.table_.index.name == "place"
    assert np.array_equal(one.tree_.predict([[5.]]), two.tree_.predict([[5.]])) and torch.equal(one.net_.weight, two.net_.weight) and torch.equal(one.weights_, two.weights_)
    assert one.forecast(streets).table.equals(two.forecast(streets).table) and two.get_params() == {"size": 2}

def test_what_can_not_be_kept_is_said(streets, tmp_path):
    one = Last().fit(streets)
    one.odd_ = object()
    with pytest.raises(TypeError, match="a object can't be saved"): one.save(tmp_path/"x.crimenb")
    assert list(tmp_path.iterdir()) == []


# --- choosing and backtests ---

def test_settings_are_arguments_as_scikit_learn_has_them():
    from sklearn.base import clone
    model = Mean(window=5, season=7)
    assert model.get_params() == {"season": 7, "window": 5} and repr(model) == "mean(season=7, window=5)" and repr(Mean()) == "mean()"
    for twin in (models.clone(model), clone(model)): assert twin is not model and twin.get_params() == model.get_params() and not twin.learnt()
    assert model.set_params(window=3) is model and model.window == 3
    with pytest.raises(InputError, match="setting of Mean"): model.set_params(windows=3)

def test_choosing_takes_the_smallest_loss_and_the_first_on_a_tie(streets):
    best, tried = choose(Mean(), streets, {"window": [1, 20, None]}, slice(0, 120), slice(120, 160))
    assert best.window in (20, None) and tried.loss.is_monotonic_increasing and not hasattr(best, "schema_")
    assert choose(Last(), streets, {"season": [2, 2]}, slice(0, 120), slice(120, 160))[0].season == 2
    with pytest.raises(InputError, match="unknown setting of mean 'windows'"): choose(Mean(), streets, {"windows": [1]}, slice(0, 120), slice(120, 160))

def test_a_backtest_has_the_trivial_rules_and_an_interval(streets):
    table = backtest([Mean(window=14)], streets, test=60, valid=20)
    assert {"mean", "last period"} <= set(table.method) and set(table.kind) == {"trivial"} and set(table.split) == {"test"}
    deviance = table[table.metric == "Poisson deviance"].set_index("method")
    assert deviance.value["mean"] < deviance.value["last period"] and (deviance.low < deviance.value).all() and (deviance.value < deviance.high).all()
    assert table[(table.metric == "coverage of 90%") & (table.method == "mean")].value.between(.85, 1).all()

def test_a_backtest_can_look_further_ahead_and_fit_again(streets):
    near, far = (backtest([Mean(window=5)], streets, test=60, valid=20, periods=k).set_index(["method", "metric"]).value for k in (1, 10))
    assert far["mean", "RMSE"] != near["mean", "RMSE"]
    again = backtest([Mean(window=5)], streets, test=60, valid=20, refit=20).set_index(["method", "metric"]).value
    assert again["mean", "RMSE"] == near["mean", "RMSE"]       # a mean of the last five learns nothing

def test_rolling_ten_ahead_is_ten_forecasts_from_one_origin(streets):
    fitted = Last().fit(streets, slice(0, 100))
    found = models.rolled(fitted, streets, np.arange(150, 170), 10)
    assert np.allclose(found[:10], np.maximum(streets.counts[149], .001)) and np.allclose(found[10:], np.maximum(streets.counts[159], .001))


# --- to another city ---

def hourly(seed, n=4000, days=60, rows=5, holidays=None):
    from crimenb.city import simulate
    from crimenb.grids import Grid, HourlyMaps
    events, truth = simulate(n, days, seed, side=20, n_areas=9, start="2018-01-01")
    return HourlyMaps.from_events(events, Grid.of(truth, rows, 4), truth.start, truth.start + pd.Timedelta(days=days), holidays=holidays)

def test_a_model_without_places_of_its_own_is_fitted_in_one_city_and_forecasts_another(tmp_path):
    from crimenb.baselines.hourly_map import PoissonRegression, ShrunkenAverage, features
    there, here = hourly(0), hourly(1, 9000, 70, rows=6, holidays="US-IL")
    model = PoissonRegression().fit(there)
    with pytest.raises(InputError, match="was fitted on another view .grid"): model.predict(here, [500])
    moved = model.transfer(here)
    x = features(here, [500, 501])
    np.testing.assert_allclose(moved.predict(here, [500, 501]), model.estimator_.predict(x.reshape(-1, x.shape[-1])).reshape(2, 6, 4), rtol=1e-6)
    # the model that was moved is another one: the first knows its city as before
    model.predict(there, [500])
    with pytest.raises(InputError, match="was fitted on another view"): moved.predict(there, [500])
    moved.save(tmp_path/"m.crimenb")
    pd.testing.assert_frame_equal(load(tmp_path/"m.crimenb").forecast(here, 2).table, moved.forecast(here, 2).table)
    with pytest.raises(InputError, match="each of its places by itself and does not travel"): ShrunkenAverage().fit(there).transfer(here)
    with pytest.raises(InputError, match="is not fitted"): PoissonRegression().transfer(here)

def test_what_is_not_of_the_place_must_agree_when_a_model_travels():
    from crimenb.baselines.area_panel import OwnPast, OwnPastTrees
    from crimenb.city import simulate
    from crimenb.panels import Panel, city_places
    panels = []
    for seed, areas in ((0, 9), (1, 12)):
        events, truth = simulate(6000, 210, seed, side=20, n_areas=areas, start="2018-01-01")
        panels.append(Panel.from_events(events, places=city_places(truth).assign(km2=np.nan if seed else 2.), group=dict.fromkeys(events.category.cat.categories, "all")))
    there, here = panels
    for model in (OwnPast(), OwnPastTrees()):
        moved = model.fit(there).transfer(here)
        found, asked = moved.predict(here, slice(20, 24)), here.observed(slice(20, 24))
        assert found.shape == asked.shape and abs(found.sum()/asked.sum() - 1) < .25
        with pytest.raises(InputError, match="categories"): model.transfer(replace(here, categories=["thefts"]))

def test_what_is_settled_is_what_period_by_period_gives():
    from crimenb.baselines.hourly_map import SelfExciting
    maps = hourly(0)
    model = SelfExciting().fit(maps)
    one_by_one = model.ahead(maps, 12)[1]
    together, moved = settled(model, maps, 12, np.zeros((12, 5, 4)), tol=1e-12)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5)
    assert moved < 1e-12 and settled(model, maps, 12, np.zeros((12, 5, 4)), passes=1)[1] > .5

def test_a_view_from_some_period_on_knows_nothing_earlier():
    maps = hourly(0)
    later = maps.since(100)
    assert len(later) == len(maps) - 100 and later.starts[0] == maps.starts[100] and np.array_equal(later.counts, maps.counts[100:])
    with pytest.raises(InputError, match="must be between 0 and"): maps.since(len(maps))


def test_negative_forecasts_have_no_score():
    from crimenb import city, grids
    from crimenb.models import Mean
    crimes, truth = city.simulate(5_000, 30, seed=0)
    view = grids.HourlyMaps.from_events(crimes, grids.Grid.of(truth, 4, 4))
    model, at = Mean(season=24).fit(view), slice(600, 648)
    values = model.predict(view, at)
    values[3, 1, 2] = -.25
    for judge in (model.loss, model.scores):
        with pytest.raises(InputError, match=r"a forecast of mean is negative \(-0.25\)"): judge(values, view, at)


def test_hours_without_data_are_not_learnt_from():
    from crimenb import grids
    from crimenb.models import Last, Mean, catalogue
    rng, grid = np.random.default_rng(0), grids.Grid(-87.6, 41.8, -87.55, 41.85, 2, 2)
    def town(start, days):
        n = 40*days
        time = pd.Timestamp(start) + pd.to_timedelta(np.sort(rng.integers(0, 1440*days, n)), "min")
        return pd.DataFrame({"time": time, "lon": -87.6 + .05*rng.random(n), "lat": 41.8 + .05*rng.random(n), "x": np.nan, "y": np.nan,
                             "category": pd.Categorical(["a"]*n), "premises": pd.Categorical([None]*n, []), "area": pd.Categorical([None]*n, [])})
    view = grids.HourlyMaps.from_events(town("2024-01-01", 30), grid, end="2024-01-31").update(town("2024-02-10", 30), gap="unknown")
    for model in (Mean(), Last()):
        # what they know is averaged, and the width is that of the hours that are known
        assert np.isfinite(model.fit(view).forecast(view, 2).table["expected"]).all() and model.spread_[1] >= 0
    rate = np.nanmean(view.counts[720:], axis=0)
    for name in ("reset + hourly mean", "Poisson regression", "boosted trees", "KNN, hourly"):
        model = catalogue("HourlyMaps")[name]()
        with pytest.raises(InputError, match=r"240 of the hours .*view.since\(960\).*view.until\(720\)"): model.fit(view)
        after = view.since(960)
        assert model.fit(after).predict(after, slice(600, 700)).mean() == pytest.approx(rate.mean(), rel=.3)
        model.fit(view, slice(0, 720))
