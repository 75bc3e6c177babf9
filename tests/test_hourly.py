"""What the study of hourly maps measures: rules, the floor, one cell, and a regression that is honest of every hour."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cells import one_thread  # noqa: F401
from crimenb.baselines import hourly_map
from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.grids import EXTERNAL, Grid, HourlyMaps, diurnal_sum
from crimenb.lab import hourly
from crimenb.metrics import poisson_deviance
from crimenb.papers import stresnet

class Rows(list):
    "A run that only remembers."
    rows = property(lambda self: self)
    filters, kernel, residual_units, seed, lr, batch, precision, compile = 2, 3, 1, 0, 1e-3, 96, "float32", False
    epochs, extra_epochs, evaluations, checks, schedule, top_epochs = 1, 0, 1, 1, "constant", 1
    def __init__(self, folder=None): self.folder, self.asked = folder, []
    def add(self, rows): self.extend(rows)
    def table(self): return pd.DataFrame([*self])
    def checkpoint(self, suffix):
        self.asked.append(suffix)
        return self.folder/f"run{suffix}"

@pytest.fixture(scope="module")
def city():
    events, truth = simulate(15_000, days=42, seed=5)
    return events, HourlyMaps.from_events(events, Grid.of(truth, 4, 4), truth.start, truth.start + pd.Timedelta(days=42))

TRAIN, VALID = 42*24 - 72, np.arange(42*24 - 168, 42*24 - 72)

@pytest.fixture
def scores(city): return hourly.HourlyScores(Rows(), city[1], np.arange(TRAIN, 42*24))

def value(run, method, protocol, metric, split="test"):
    [found] = [r["value"] for r in run if (r["method"], r["protocol"], r["metric"], r["split"]) == (method, protocol, metric, split)]
    return found

def test_a_rule_is_fitted_before_validation_for_its_floor_and_before_the_test_for_its_rows(scores, city):
    maps = city[1]
    fitted, chosen = hourly.measure_rule(scores, hourly_map.HistoricalAverage(), VALID)
    early = hourly_map.HistoricalAverage().fit(maps, slice(0, int(VALID[0]))).predict(maps, VALID)
    late = hourly_map.HistoricalAverage().fit(maps, slice(0, TRAIN)).predict(maps, scores.targets)
    floor = stresnet.best_floor(early, maps.counts[VALID])
    name = fitted.name
    assert chosen == {} and scores.floors[name] == floor and np.array_equal(scores.forecasts[name], late)
    assert value(scores.run, name, "native", "Poisson deviance") == pytest.approx(poisson_deviance(late, scores.observed, floor).mean())
    assert value(scores.run, name, "native", "Poisson deviance", "valid") == pytest.approx(poisson_deviance(early, maps.counts[VALID], floor).mean())

def test_settings_are_chosen_without_a_look_at_the_test(scores, city):
    maps = city[1]
    rule = next(rule for rule in hourly_map.rules() if getattr(rule, "grid", None))
    _, chosen = hourly.measure_rule(scores, type(rule)(), VALID, tune=True)
    assert set(chosen) == set(rule.grid)
    counts = maps.counts.copy(); counts[TRAIN:] = 9
    other = hourly.HourlyScores(Rows(), replace(maps, counts=counts), scores.targets)
    assert hourly.measure_rule(other, type(rule)(), VALID, tune=True)[1] == chosen

def test_a_rule_of_sums_is_measured_by_its_sums_on_finer_maps(scores, city):
    maps, rule = city[1], next(rule for rule in hourly_map.rules() if isinstance(rule, hourly_map.SinceMidnight))
    fitted, _ = hourly.measure_rule(scores, rule, VALID)
    error = fitted.sums(maps, scores.targets) - diurnal_sum(maps.counts, maps.start.hour)[scores.targets]
    assert value(scores.run, rule.name, "fine maps", "RMSE") == pytest.approx(np.sqrt((stresnet.fine(error)**2).mean()), rel=1e-6)

def test_the_floor_is_that_of_counts_around_the_rates(scores):
    rates = np.full(scores.observed.shape, 3.)
    assert hourly.measure_noise(scores, rates, False) == ("Poisson noise", "noise")
    # scaled to what happened: the RMSE of Poisson counts is the root of their mean
    assert value(scores.run, "Poisson noise", "native", "RMSE") == pytest.approx(scores.observed.mean()**.5)
    finer = value(scores.run, "Poisson noise", "fine maps", "RMSE")
    assert .3 < finer/scores.observed.mean()**.5 < .9
    assert hourly.measure_noise(scores, rates, True) == ("true rates", "floor") and value(scores.run, "true rates", "native", "MAE") == pytest.approx(abs(3 - scores.observed).mean())

def test_differences_are_rows_and_text(scores):
    for name, said in (("mean", scores.observed.mean()), ("one", 1.)): scores.measure(name, "trivial", np.full(scores.observed.shape, said), VALID, np.full((len(VALID), 4, 4), said))
    text = hourly.less(scores, ["mean"], "one", ("RMSE", "PAI@5%"))
    difference = value(scores.run, "mean", "native", "RMSE") - value(scores.run, "one", "native", "RMSE")
    assert value(scores.run, "mean", "native", "RMSE less one") == pytest.approx(difference) and text.loc["mean", "RMSE"].startswith(f"{difference:.4f} (")
    assert list(text.columns) == ["RMSE", "PAI@5%"] and hourly.less(scores, [], "one").empty

def test_a_regression_that_is_fitted_anew_reads_nothing_of_what_it_forecasts(city):
    maps = city[1]
    base = hourly.honest_base(maps, 300, TRAIN, 200, rows=4000)
    assert np.isnan(base[:300]).all() and (base[300:] > 0).all() and len(base) == len(maps)
    for late in (450, 700):
        counts = maps.counts.copy(); counts[late:] = 7
        other = hourly.honest_base(replace(maps, counts=counts), 300, TRAIN, 200, rows=4000)
        assert np.array_equal(other[300:late + 1], base[300:late + 1]) and not np.allclose(other[late + 1:], base[late + 1:])

def test_types_add_up_to_all_crimes(city):
    events, maps = city
    names, views = hourly.maps_by_type(events, maps, TRAIN)
    assert len(names) == 4 and names[-1] == "other" and np.array_equal(sum(v.counts for v in views), maps.counts)
    most = events[events.time < maps.times[TRAIN]].category.astype(str).value_counts().index[:3]
    assert set(names[:3]) == set(most)
    with pytest.raises(InputError, match="add up"): hourly.maps_by_type(events.head(100), maps, TRAIN)

def test_the_cell_is_the_one_with_crimes_as_often_as_asked(city):
    maps = city[1]
    row, column = hourly.cell_of("alike", maps, TRAIN, .1)
    often = (maps.counts[:TRAIN] > 0).mean(0)
    assert abs(often[row, column] - .1) == abs(often - .1).min() and hourly.cell_of("3, 1", maps, TRAIN) == (3, 1)
    for wrong, words in (("4,0", "row of the cell"), ("0,-1", "column of the cell"), ("north", "write its row"), ("1,2,3", "write its row")):
        with pytest.raises(InputError, match=words): hourly.cell_of(wrong, maps, TRAIN)

def test_on_one_cell_who_forgets_the_day_has_two_errors_and_who_knows_it_has_one(scores, city):
    rules = {}
    forgets = next(rule for rule in hourly_map.rules() if isinstance(rule, hourly_map.SinceMidnight) and "KNN" not in rule.name)
    for rule in (hourly_map.HistoricalAverage(), forgets): rules[rule.name], _ = hourly.measure_rule(scores, rule, VALID)
    cell = hourly.OneCell(scores, 2, 1, rules)
    hourly.measure_cell(cell)
    assert np.array_equal(cell.counts[:, 0, 0], scores.observed[:, 2, 1])
    rmse = lambda name, what: value(scores.run, name, "one cell", f"RMSE, {what}")
    mean = hourly_map.HistoricalAverage().name
    error = scores.forecasts[mean][:, 2, 1] - scores.observed[:, 2, 1]
    assert rmse(mean, "hourly") == pytest.approx(np.sqrt((error**2).mean())) == pytest.approx(rmse(mean, "cumulative"))
    assert rmse(forgets.name, "cumulative") > 1.01*rmse(forgets.name, "hourly")
    assert rmse("Poisson noise of the cell", "hourly") == pytest.approx(scores.observed[:, 2, 1].mean()**.5)
    assert value(scores.run, mean, "one cell", "with crime") == (scores.observed[:, 2, 1] > 0).sum()

@pytest.fixture(scope="module")
def trained(city, tmp_path_factory):
    "One network of the paper, ours, and what corrects the regression, as little trained as can be."
    events, maps = city
    run = Rows(tmp_path_factory.mktemp("networks"))
    scores, external = hourly.HourlyScores(run, maps, np.arange(TRAIN, 42*24)), maps.external(EXTERNAL)
    sound = stresnet.prepare(maps.counts, external, 72, .2, "space", "sound", maps.start.hour)
    native = stresnet.prepare(maps.counts, maps.external((*EXTERNAL, "weekday")), 72, .2, "none", "sound", maps.start.hour)
    networks = hourly.PaperNetworks(scores, native.valid)
    networks.paper("ST-ResNet, sound", sound, None, external_branch="authors")
    networks.ours(native)
    top = hourly.Corrections(networks, native, maps.external((*EXTERNAL, "weekday")), rows=4000)
    top.by_maps(); top.by_surprises("recurrent")
    return scores, networks, top, top.by_type(events), sound

def test_networks_have_rows_on_their_own_maps_and_on_native_cells_and_files_to_go_on_from(trained):
    scores, networks, _, _, sound = trained
    assert set(networks.fitted) == set(networks.logs) == {"ST-ResNet, sound", "ST-ResNet, Poisson"}
    assert scores.run.asked == ["-ST-ResNet-sound.pt", "-ST-ResNet-sound.2.pt", "-ST-ResNet-Poisson.pt", "-ST-ResNet-Poisson.2.pt"]
    raw = stresnet.predict_maps(networks.fitted["ST-ResNet, sound"], sound, sound.test) - sound.series[sound.test].numpy()
    assert value(scores.run, "ST-ResNet, sound", "its own maps", "RMSE") == pytest.approx(np.sqrt((raw**2).mean())) == pytest.approx(value(scores.run, "ST-ResNet, sound", "fine maps", "RMSE"))
    assert scores.forecasts["ST-ResNet, Poisson"].shape == scores.observed.shape

def test_corrections_are_of_the_regression_and_told(trained):
    scores, _, top, types, _ = trained
    assert [line["method"] for line in top.found] == ["Poisson regression + ST-ResNet", "Poisson regression + recurrent", "Poisson regression, by type + recurrent"] and len(types) == 4
    base, (share, forecast) = top.base[scores.targets], (top.found[1]["share of the correction"], scores.forecasts["Poisson regression + recurrent"])
    assert np.allclose(forecast, base, rtol=1e-5) if share == 0 else 0 < abs(np.log(forecast/base)).max() < 1
    kinds = {r["method"]: r["kind"] for r in scores.run}
    assert kinds["Poisson regression, by type"] == "practitioner" and kinds["Poisson regression, by type + recurrent"] == "ours"

def test_hours_that_only_the_script_tests_stand_apart_and_the_rule_once(scores, city):
    maps, rule = city[1], hourly_map.HistoricalAverage()
    hours = np.arange(500, 540)
    for name in ("one", "two"): hourly.elsewhere_rows(scores, name, hours, maps.counts[hours] + 1., rule)
    assert [r["method"] for r in scores.run] == ["one", rule.name, "two"] and {r["protocol"] for r in scores.run} == {"native, the script's hours"}
    assert scores.run[0]["value"] == 1
    before = hourly_map.HistoricalAverage().fit(maps, slice(0, 500)).predict(maps, hours)
    assert scores.run[1]["value"] == pytest.approx(np.sqrt(((before - maps.counts[hours])**2).mean()))
