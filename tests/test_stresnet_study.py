"The study of ST-ResNet: its smoke profile, what its rows hold, and what it refuses."
import math

import pytest

from crimenb import studies
from crimenb.core import InputError
from crimenb.papers.stresnet import PRINTED, table_1


OURS = [f"Poisson regression{part}" for part in (" + ST-ResNet", " + recurrent", " + graph", ", by type + recurrent")]

@pytest.fixture(scope="module")
def result(tmp_path_factory):
    "The smoke profile with as little training as there can be."
    out = tmp_path_factory.mktemp("stresnet")
    given = dict(epochs=1, extra_epochs=1, filters=2, super_resolution="space", city_days=42, evaluations=1)
    return studies.read_results(studies.reproduce("stresnet", given, out=out).result.parent)

def value(result, method, protocol, metric):
    [found] = result[(result.method == method) & (result.protocol == protocol) & (result.metric == metric)].value
    return found

def test_every_kind_of_method_is_there(result):
    assert set(result.kind) == set(studies.KINDS)
    assert set(result.protocol) == {"native", "fine maps", "fine maps, authors", "one cell"}
    assert {"ST-ResNet, sound", "ST-ResNet, authors", "ternary ST-ResNet, sound", "ternary ST-ResNet, authors", "ST-ResNet, Poisson"} <= set(result.method)
    assert set(OURS) < set(result[result.kind == "ours"].method) and set(result[result.method == "Poisson regression, by type"].kind) == {"practitioner"}

def test_nothing_printed_among_what_was_measured(result): assert result.printed.isna().all()

def test_every_method_has_every_native_metric(result):
    native = result[result.protocol == "native"].pivot(index="method", columns="metric", values="value")
    wanted = ["RMSE", "MAE", "Poisson deviance"] + [f"{m}@{share}%" for m in ("PAI", "hit rate") for share in (1, 5, 10)]
    assert set(native.columns) == set(wanted) and native.notna().all(axis=None)

def test_the_true_rates_of_the_city_are_not_beaten(result):
    deviance = result[(result.protocol == "native") & (result.metric == "Poisson deviance")].set_index("method")["value"]
    assert deviance.idxmin() in ("true rates", "self-exciting", "Poisson regression", "boosted trees", "KDE hot spots", "shrunken average", *OURS)
    assert (deviance > .97*deviance["true rates"]).all()

def test_the_same_errors_are_smaller_on_finer_maps(result):
    for method in ("reset + hourly mean", "boosted trees", "all zero"):
        assert value(result, method, "fine maps", "RMSE") < .9*value(result, method, "native", "RMSE")

def test_corrections_start_from_the_regression_and_stay_near_it(result):
    for metric in ("RMSE", "Poisson deviance"):
        rule = value(result, "Poisson regression", "native", metric)
        for method in OURS[:3]: assert value(result, method, "native", metric) == pytest.approx(rule, rel=.02)
        by_type = value(result, "Poisson regression, by type", "native", metric)
        assert by_type != rule and value(result, OURS[3], "native", metric) == pytest.approx(by_type, rel=.02)

def test_table_1_is_put_together_from_result_files(result):
    found = table_1(result)
    assert len(found) == 36 and found.notna().all(axis=1).sum() == 0                       # 2 filters are none of the paper's
    of_16 = result.assign(parameters=[{**p, "filters": 16} for p in result.parameters])
    found = table_1(of_16).dropna()
    assert found.index.tolist() == [("city", "smoke", p, "space", 3, 16) for p in ("authors", "sound")]
    for preparation, protocol in (("sound", "fine maps"), ("authors", "fine maps, authors")):
        own, native = found.loc["city", "smoke", preparation, "space", 3, 16]
        assert own == value(result, f"ST-ResNet, {preparation}", protocol, "RMSE") and native == value(result, f"ST-ResNet, {preparation}", "native", "RMSE")
    assert table_1(result.iloc[:0]).empty

@pytest.mark.parametrize("resolution, kernel, filters", PRINTED.index)
def test_every_line_of_table_1_is_a_run(resolution, kernel, filters):
    given = studies.from_text("stresnet", [f"super_resolution={resolution}", f"kernel={kernel}", f"filters={filters}", "methods=ST-ResNet", "arima=false"])
    values = studies.resolve("stresnet", {"profile": "paper", "dataset": "chicago_2018", **given})
    assert (values["super_resolution"], values["kernel"], values["filters"], values["methods"], values["arima"]) == (resolution, kernel, filters, "ST-ResNet", False)

def test_intervals_hold_their_value(result):
    rows = result.dropna(subset="low")
    assert len(rows) > 100 and ((rows.low <= rows.value) & (rows.value <= rows.high)).all()

def test_hits_on_one_cell_are_possible(result):
    cell = result[result.protocol == "one cell"].pivot(index="method", columns="metric", values="value").dropna()
    assert (cell["hits"] <= cell[["with crime", "candidates"]].min(axis=1)).all() and cell["with crime"].nunique() == 1
    assert cell.loc["all zero", "candidates"] == 0 and not math.isnan(cell.loc["KNN, cumulative", "RMSE, cumulative"])

@pytest.mark.parametrize("profile", ["smoke", "cpu", "paper"])
@pytest.mark.parametrize("dataset", ["city", "chicago_2018", "chicago_2017h2", "nyc_2015h2", "la_2015h2"])
def test_profiles_give_every_parameter(profile, dataset):
    values = studies.resolve("stresnet", {"profile": profile, "dataset": dataset})
    assert profile != "paper" or (values["filters"], values["epochs"], values["extra_epochs"], values["lr"], values["valid"], values["test_hours"]) == (64, 200, 50, 5e-4, .2, 336)

@pytest.mark.parametrize("bad, words", [(dict(dataset="boston"), "data set"), (dict(filters="many"), "filters"), (dict(neurons=64), "neurons")])
def test_wrong_parameters_are_refused(bad, words, tmp_path):
    with pytest.raises(InputError, match=words): studies.reproduce("stresnet", bad, out=tmp_path)

def test_los_angeles_needs_its_export(tmp_path):
    with pytest.raises(InputError, match="export"): studies.reproduce("stresnet", dict(dataset="la_2015h2"), out=tmp_path)
