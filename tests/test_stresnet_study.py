"The study of ST-ResNet: its smoke profile, what its rows hold, and what it refuses."
import math

import numpy as np
import pandas as pd
import pytest

from cells import one_thread, run_cells
from crimenb.lab import studies
from crimenb.core import InputError
from crimenb.papers.stresnet import PREPARATIONS, PRINTED, table_1


OURS = [f"Poisson regression{part}" for part in (" + ST-ResNet", " + recurrent", " + graph", ", by type + recurrent")]

@pytest.fixture(scope="module")
def result(tmp_path_factory):
    "The smoke profile with as little training as there can be."
    out = tmp_path_factory.mktemp("stresnet")
    given = dict(epochs=1, extra_epochs=1, filters=2, super_resolution="space", city_days=42, evaluations=1)
    run_cells("stresnet", given, out)
    return studies.read_results(out)

def value(result, method, protocol, metric, split="test"):
    [found] = result[(result.method == method) & (result.protocol == protocol) & (result.metric == metric) & (result.split == split)].value
    return found

def on_test(result, protocol):
    "Methods × metrics of a protocol, without differences to other methods."
    rows = result[(result.protocol == protocol) & (result.split == "test") & ~result.metric.str.contains(" less ")]
    return rows.pivot(index="method", columns="metric", values="value")

def test_every_kind_of_method_is_there(result):
    assert set(result.kind) == set(studies.KINDS) - {"reference"}
    assert set(result.protocol) == {"native", "its own maps", "fine maps", "fine maps, authors", "one cell"}
    assert {f"{kind}ST-ResNet, {p}" for kind in ("", "ternary ") for p in PREPARATIONS} | {"ST-ResNet, Poisson"} <= set(result.method)
    assert set(OURS) < set(result[result.kind == "ours"].method) and set(result[result.method == "Poisson regression, by type"].kind) == {"practitioner"}

def test_nothing_printed_among_what_was_measured(result): assert result.printed.isna().all()

def test_every_method_has_every_native_metric(result):
    native = on_test(result, "native")
    wanted = ["RMSE", "MAE", "Poisson deviance"] + [f"{m}@{share}%" for m in ("PAI", "hit rate") for share in (1, 5, 10)]
    assert set(native.columns) == set(wanted) and native.notna().all(axis=None)

def test_the_true_rates_of_the_city_are_not_beaten(result):
    deviance = on_test(result, "native")["Poisson deviance"]
    assert deviance.idxmin() in ("true rates", "self-exciting", "Poisson regression", "boosted trees", "KDE hot spots", "shrunken average", *OURS)
    assert (deviance > .97*deviance["true rates"]).all()

def test_the_same_errors_are_smaller_on_finer_maps(result):
    for method in ("reset + hourly mean", "boosted trees", "all zero"):
        assert value(result, method, "fine maps", "RMSE") < .9*value(result, method, "native", "RMSE")

def test_differences_to_the_rule_are_those_of_the_values(result):
    native = on_test(result, "native")
    for reference, methods in (("reset + hourly mean", set(native.index) - {"reset + hourly mean", "all zero", "true rates"}), ("Poisson regression", {*OURS, "Poisson regression, by type"})):
        for metric in ("RMSE", "Poisson deviance"):
            rows = result[result.metric == f"{metric} less {reference}"].set_index("method")
            assert set(rows.index) == methods and ((rows.low <= rows.value) & (rows.value <= rows.high)).all()
            assert rows.value.to_numpy() == pytest.approx((native[metric][rows.index] - native[metric][reference]).to_numpy(), abs=1e-9)

def test_who_was_trained_on_the_validation_hours_has_no_score_there(result):
    scored = set(result[result.split == "valid"].method)
    assert {*OURS, "Poisson regression", "reset + hourly mean"} < scored and not any("ST-ResNet, " in name for name in scored)

def test_los_angeles_from_an_export_and_rules_left_out(tmp_path, samples):
    rng, n = np.random.default_rng(0), 8000
    row = pd.read_csv(samples/"lapd.csv", dtype=str).iloc[[0]]
    when = pd.Timestamp("2015-07-01") + pd.to_timedelta(rng.integers(0, 184*24*60, n), unit="min")
    export = row.loc[row.index.repeat(n)].assign(**{"DR_NO": [str(150000000 + i) for i in range(n)], "DATE OCC": when.strftime("%m/%d/%Y 12:00:00 AM"), "Date Rptd": "01/09/2016 12:00:00 AM",
                                                    "TIME OCC": when.strftime("%H%M"), "Vict Age": ["0"] + ["30"]*(n - 1), "LAT": rng.uniform(33.7, 34.38, n).round(4), "LON": rng.uniform(-118.7, -118.12, n).round(4)})
    export.to_csv(tmp_path/"export.csv", index=False)
    given = dict(dataset="la_2015h2", export=str(tmp_path/"export.csv"), methods="", rules=False)
    run_cells("stresnet", given, tmp_path/"out")
    rows = studies.read_results(tmp_path/"out")
    assert set(rows.method) == {"all zero", "reset + hourly mean", "shrunken average", "Poisson noise", "Poisson noise of the cell"}
    assert value(rows, "Poisson noise", "native", "RMSE") == pytest.approx((n/(184*24*64))**.5, rel=.1)

def test_corrections_start_from_the_regression_and_stay_near_it(result):
    for metric in ("RMSE", "Poisson deviance"):
        rule = value(result, "Poisson regression", "native", metric)
        for method in OURS[:3]: assert value(result, method, "native", metric) == pytest.approx(rule, rel=.02)
        by_type = value(result, "Poisson regression, by type", "native", metric)
        assert by_type != rule and value(result, OURS[3], "native", metric) == pytest.approx(by_type, rel=.02)

def test_table_1_is_put_together_from_result_files(result):
    found = table_1(result)
    assert len(found) == 54 and found.notna().all(axis=1).sum() == 0                       # 2 filters are none of the paper's
    of_16 = result.assign(parameters=[{**p, "filters": 16} for p in result.parameters])
    found = table_1(of_16).dropna()
    assert found.index.tolist() == [("city", "smoke", "1 + 1", p, "space", 3, 16) for p in ("authors", "sound", "spline")]
    for preparation, protocol in (("sound", "fine maps"), ("spline", "fine maps, authors"), ("authors", "fine maps, authors")):
        line, name = found.loc["city", "smoke", "1 + 1", preparation, "space", 3, 16], f"ST-ResNet, {preparation}"
        assert line["test RMSE"] == value(result, name, protocol, "RMSE") == value(result, name, "its own maps", "RMSE")
        assert line["native RMSE"] == value(result, name, "native", "RMSE") and line["train RMSE"] == value(result, name, "its own maps", "RMSE", "train") and line["seconds"] > 0
    assert table_1(result.iloc[:0]).empty

@pytest.mark.parametrize("resolution, kernel, filters", PRINTED.index)
def test_every_line_of_table_1_is_a_run(resolution, kernel, filters):
    given = studies.from_text("stresnet", [f"super_resolution={resolution}", f"kernel={kernel}", f"filters={filters}", "methods=ST-ResNet", "arima=false", "rules=false"])
    values = studies.resolve("stresnet", {"profile": "paper", "dataset": "chicago_2018", **given})
    assert (values["super_resolution"], values["kernel"], values["filters"], values["methods"], values["arima"], values["rules"]) == (resolution, kernel, filters, "ST-ResNet", False, False)

def test_intervals_hold_their_value(result):
    rows = result.dropna(subset="low")
    assert len(rows) > 100 and ((rows.low <= rows.value) & (rows.value <= rows.high)).all()

def test_hits_on_one_cell_are_possible(result):
    cell = on_test(result, "one cell").dropna()
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

def test_a_citys_card_is_a_data_set_and_the_next_hour_is_left_on_a_map(tmp_path):
    "A file with column names of its own, squares in metres; only the rules."
    from crimenb.city import simulate
    happened, _ = simulate(9000, days=42, seed=3)
    happened = happened[happened.time < "2016-02-10 12:10"]
    pd.DataFrame({"Happened": happened.time.dt.strftime("%Y-%m-%d %H:%M:%S"), "What": happened.category.astype(str), "X": happened.lon, "Y": happened.lat}).to_csv(tmp_path/"mine.csv", index=False)
    (tmp_path/"mine.yaml").write_text("name: mine\nevents: mine.csv\ncolumns: {time: Happened, category: What, lon: X, lat: Y}\ncell_m: 2500\nholidays: US\nzone: America/Chicago\n")
    run_cells("stresnet", dict(dataset=str(tmp_path/"mine.yaml"), methods="", rules=True), tmp_path/"out")
    rows = studies.read_results(tmp_path/"out")
    assert {"Poisson regression", "Poisson noise", "KNN, cumulative"} <= set(rows.method)
    [table] = (tmp_path/"out").glob("*.forecast.csv")
    table = pd.read_csv(table)
    assert table.period.unique().tolist() == ["2016-02-10 12:00:00"] and table.expected.sum() > 1 and list((tmp_path/"out").glob("*.forecast.png"))

def test_doubled_time_in_the_authors_preparation_has_rows_of_its_own(tmp_path):
    run_cells("stresnet", dict(methods="ST-ResNet", preparation="authors", epochs=1, extra_epochs=0, filters=2, rules=False, city_days=56, super_resolution="space+time"), tmp_path)
    rows = studies.read_results(tmp_path)
    mine = rows[rows.method == "ST-ResNet, authors"]
    assert set(mine.protocol) == {"its own maps", "native, the script's hours"}
    assert len(rows[(rows.method == "reset + hourly mean") & (rows.protocol == "native, the script's hours")]) == 1
    assert table_1(rows.assign(parameters=[{**p, "filters": 16} for p in rows.parameters]))["test RMSE"].dropna().tolist() == [value(rows, "ST-ResNet, authors", "its own maps", "RMSE")]

def test_los_angeles_needs_its_export(tmp_path):
    with pytest.raises(InputError, match="export"): run_cells("stresnet", dict(dataset="la_2015h2"), tmp_path)
