"The comparative study's notebook: a small run with everything in it, a killed run that goes on, HAGEN's table, and what it refuses."
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import cells
from cells import one_thread
from crimenb import city, training
from crimenb.lab import studies
from crimenb.lab.weekly import best_cut
from crimenb.core import InputError

# one network of each kind in seconds
TINY = dict(rules="historical mean,Poisson GLM", city_events=3000, city_days=182, epochs=2, evaluations=1, units=16, gat_units=8, heads=2, search="none")

def run_cells(given, out, see=lambda space: None):
    "The result of the study; `see` gets the variables that it leaves behind."
    space = cells.run_cells("parallel", TINY | given, out)
    see(space)
    return json.loads(space["run"].path(".json").read_text())

@pytest.fixture(scope="module")
def city_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("city")
    return out, run_cells(dict(models="DNN,GAT+TCN", losses="likelihood,MSE", repeats=2, tasks="counts,level"), out)

def test_every_table_has_noise_rule_and_networks_with_intervals(city_run):
    _, result = city_run
    rows = result["rows"]
    for protocol in ("risk level", "counts", "counts, violent"):
        kinds = {r["method"]: r["kind"] for r in rows if r["protocol"] == protocol}
        assert {"expected by the truth": "noise", "historical mean": "trivial", "Poisson GLM": "practitioner", "DNN": "paper", "DNN, MSE": "paper", "GAT+TCN": "paper", "DNN, mean of 2": "ours"}.items() <= kinds.items()
    assert {r["metric"] for r in rows if r["protocol"] == "counts"} == {"RMSE", "MAE", "Poisson deviance"}
    assert {r["metric"] for r in rows if r["protocol"] == "risk level"} == {"accuracy", "macro-F1", "ordinal error", "log loss", "Brier", "calibration error"}
    assert all(r["printed"] is None for r in rows)
    # where all blocks agree there is no interval
    assert all(r["low"] is r["high"] is None or r["low"] <= r["value"] <= r["high"] if r["split"] == "test" else r["metric"] == "validation loss" for r in rows)
    assert sum(r["low"] is not None for r in rows if r["split"] == "test") > len(rows)/2
    # seconds change from run to run: the smoke profile has none
    assert not any("seconds" in r["metric"] for r in rows)
    # the mean of two networks is no worse than they are in the mean, as the Poisson loss is convex
    value = {(r["method"], r["metric"]): r["value"] for r in rows if r["protocol"] == "counts"}
    assert value["DNN, mean of 2", "Poisson deviance"] <= value["DNN", "Poisson deviance"] + 1e-6
    assert value["expected by the truth", "Poisson deviance"] < value["historical mean", "Poisson deviance"]

def test_nothing_but_the_result_is_left(city_run):
    out, result = city_run
    # but for the forecast of the week after the last, as a table, on a map and as a picture
    assert sorted("".join(p.suffixes) for p in out.iterdir()) == [".forecast.csv", ".forecast.geojson", ".forecast.png", ".json"] and studies.validate(result)
    table = pd.read_csv(next(out.glob("*.forecast.csv")))
    assert set(pd.to_datetime(table["period"])) == {pd.Timestamp("2018-07-02")} and len(table) == 16*3

def test_the_librarys_own_models_are_fitted_again_on_the_way_and_compared_with_the_best_rule(tmp_path):
    given = dict(models="", tasks="counts", rules="historical mean,recent mean,Poisson GLM,mean of three")
    found = {}
    for refit in (0, 2):
        rows = run_cells(given | dict(refit=refit), tmp_path/str(refit))["rows"]
        of = {r["method"]: r for r in rows if r["protocol"] == "counts" and r["metric"] == "Poisson deviance"}
        [less] = [r for r in rows if r["protocol"] == "counts, less the best rule"]
        best = min(of[name]["value"] for name in ("historical mean", "recent mean", "Poisson GLM"))
        assert less["method"] == "mean of three" and less["value"] == pytest.approx(of["mean of three"]["value"] - best)
        assert less["low"] <= less["value"] <= less["high"] and less["blocks"] == 5 and less["n"] == 5*16
        found[refit] = of
    # a mean of all weeks learns from the weeks of the test as they pass, whether it is fitted again or not; a regression does not
    assert found[0]["Poisson GLM"]["value"] != found[2]["Poisson GLM"]["value"]

def test_a_search_is_recorded_and_a_killed_run_goes_on_from_what_is_there(tmp_path):
    given = dict(models="DNN", tasks="level", search="random", trials=2, rules="historical mean")
    runs = []
    whole = run_cells(given, tmp_path/"whole", lambda space: runs.extend(space["runs"]))
    found = [r for r in whole["rows"] if r["protocol"] == "random search, level"]
    assert len(found) == 2 and all(r["split"] == "valid" and r["metric"] == "validation loss" for r in found)
    assert {"DNN", "DNN, searched"} <= {r["method"] for r in whole["rows"]}
    # a run that was killed in its second trial has left the first one: a loss that no training gives shows that it is used
    stem = studies.stem("parallel", studies.resolve("parallel", TINY | given))
    from crimenb.papers.parallel import random_search
    first = random_search("DNN", 2, 0)[0]
    (tmp_path/"again").mkdir()
    training.save_checkpoint(tmp_path/"again"/f"{stem}-trials.pt", {json.dumps(["DNN", "level", first], sort_keys=True): 1.25})
    again = run_cells(given, tmp_path/"again")
    values = lambda result: [r["value"] for r in result["rows"] if r["protocol"] == "random search, level"]
    assert values(again) == [1.25, values(whole)[1]]
    assert not list((tmp_path/"again").glob("*trials*"))
    # a trial of the list, run by itself, has the loss that it has in the search
    assert len(runs) == 2 and {"city_days": 182, "city_events": 3000, "search": "none", "tasks": "level"}.items() <= runs[1].items()
    alone = run_cells(runs[1] | {"rules": "historical mean"}, tmp_path/"alone")
    [loss] = [r["value"] for r in alone["rows"] if r["metric"] == "validation loss"]
    assert loss == values(whole)[1]

def test_a_search_stops_early_and_the_networks_only_where_they_are_told_to(tmp_path, monkeypatch):
    from crimenb.papers.parallel import TrainedNetwork
    told, train = [], TrainedNetwork._train
    def spy(model, *args):
        train(model, *args)
        told.append((model.patience, len(model.log_)))
    monkeypatch.setattr(TrainedNetwork, "_train", spy)
    # at such a rate nothing gets better for long
    run_cells(dict(models="DNN", tasks="level", search="random", trials=1, rules="historical mean", epochs=30, evaluations=30, search_patience=1, batch=8, lr=.01), tmp_path)
    (whole, epochs), (trial, stopped), (searched, again) = told
    assert (whole, trial, searched) == (0, 1, 0) and epochs == again == 30 and stopped < 30

def test_slots_of_the_day_of_the_city_and_weeks_that_the_intervals_resample(tmp_path):
    seen = {}
    result = run_cells(dict(models="GAT+TCN", slots=4), tmp_path, seen.update)
    panel, known, parts = seen["panel"], seen["known"], seen["parts"]
    assert panel.slots == 4 and len(panel) == 26*4 and any(name.startswith("hour") for name in known.static_names)
    assert len(np.unique(seen["scores"].week)) == 5 and len(seen["scores"].week) == 5*4*16
    # the noise is of the slots as well: it sums up to that of the weeks, and over them to the events of each slot
    weekly = seen["truth"].expected_panel(168)[:26].sum(2)
    assert np.allclose(seen["means"].reshape(26, 4, 16, -1).sum((1, 3)), weekly)
    expected, happened = (v.reshape(26, 4, -1).sum((0, 2)) for v in (seen["means"], panel.counts))
    assert happened.max() > 1.3*happened.min() and np.abs(happened/expected - 1).max() < .15
    value = {(r["method"], r["metric"]): r["value"] for r in result["rows"] if r["protocol"] in ("counts", "risk level")}
    for metric in ("Poisson deviance", "log loss"): assert value["expected by the truth", metric] < value["historical mean", metric]
    for dataset in ("la_2020_2024", "hagen_la"):
        with pytest.raises(InputError, match="slots"): run_cells(dict(dataset=dataset, slots=2, tasks="counts"), tmp_path)

def lapd_export(path, days=182):
    "A made-up file in the dialect of the LA portal: events of a simulated city moved to Los Angeles, and what the reader must cope with."
    events, _ = city.simulate(4000, days, seed=2, start="2020-01-06", n_areas=6)
    labels = {"PETIT LARCENY": "THEFT PLAIN - PETTY ($950 & UNDER)", "SIMPLE ASSAULT": "BATTERY - SIMPLE ASSAULT"}
    table = pd.DataFrame({"DR_NO": range(len(events)), "DATE OCC": events["time"].dt.strftime("%m/%d/%Y 12:00:00 AM"), "TIME OCC": events["time"].dt.hour*100 + events["time"].dt.minute,
        "AREA": events["area"].cat.codes + 1, "AREA NAME": events["area"].astype(str), "Crm Cd Desc": events["category"].astype(str).replace(labels),
        "Vict Age": events["victim_age"].fillna(0).astype(int), "Vict Sex": events["victim_sex"].astype(object).fillna("X"), "Vict Descent": events["victim_descent"].astype(object).fillna("X"),
        "Premis Desc": events["premises"].astype(str), "LAT": events["lat"] - 6, "LON": events["lon"] - 18.3})
    odd = table.sample(40, random_state=0).assign(DR_NO=range(900_000, 900_040), LAT=0., LON=0., **{"Vict Age": -1})
    late = table.head(30).assign(DR_NO=range(910_000, 910_030), **{"DATE OCC": "06/03/2024 12:00:00 AM"})
    pd.concat([table, odd, late]).to_csv(path, index=False)
    return len(table) + len(odd)

def test_los_angeles_event_by_event_from_an_export(tmp_path):
    kept = lapd_export(tmp_path/"lapd.csv")
    seen = {}
    result = run_cells(dict(dataset="la_export", export=str(tmp_path/"lapd.csv"), models="LSTMCrimeNet,GAT+TCN"), tmp_path/"out", seen.update)
    panel = seen["panel"]
    assert panel.counts.sum() + sum(panel.left_out.values()) == kept and panel.starts[-1] < pd.Timestamp("2020-07-06")
    assert list(result["data_sha256"]) == ["export"] and {"GAT+TCN", "historical mean"} <= {r["method"] for r in result["rows"]}
    # victims and premises are seen as the past of an area
    for word in ("victim_age", "victim_sex: share F", "victim_descent", "premises"): assert any(name.startswith(word) for name in seen["known"].step_names), word
    with pytest.raises(InputError, match="give its path as export"): run_cells(dict(dataset="la_export"), tmp_path)
    with pytest.raises(InputError, match="there is no file"): run_cells(dict(dataset="la_export", export=str(tmp_path/"none.csv")), tmp_path)

def test_what_cannot_be_run_is_refused_in_one_sentence(tmp_path):
    for wrong, word in ((dict(models="CNN"), "model"), (dict(tasks="risk"), "task"), (dict(losses="MAE"), "loss"), (dict(rules="oracle"), "rule"), (dict(search="all"), "search"), (dict(repeats=0), "repeats")):
        with pytest.raises(InputError, match=word): run_cells(wrong, tmp_path)
    with pytest.raises(InputError): studies.resolve("parallel", {"dataset": "chi18"})

def test_every_profile_names_every_data_set_and_the_paper_profile_has_the_papers_settings():
    known = {"city", "chicago_2018", "chicago_2016_2017", "nyc_2014_2015", "la_2020_2024", "la_export", "hagen_chicago", "hagen_la"}
    for profile in ("smoke", "cpu", "paper"):
        for dataset in known: studies.resolve("parallel", {"profile": profile, "dataset": dataset})
    paper = studies.resolve("parallel", {"profile": "paper", "dataset": "chicago_2018"})
    assert {k: paper[k] for k in ("losses", "lr", "layers", "units", "length", "cyclic", "dropout", "weight_decay", "search")} == dict(
        losses="MSE", lr=1e-3, layers=3, units=128, length=4, cyclic=False, dropout=0, weight_decay=0, search="grid")

@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_the_best_cut_is_the_best_of_all_cuts(pairs):
    chance, was = np.array([p for p, _ in pairs], float), np.array([w for _, w in pairs])
    def score(cut):
        said = chance >= cut
        return 2*(said & was).sum()/max(said.sum() + was.sum(), 1)
    assert np.isclose(score(best_cut(chance, was)), max(score(c) for c in chance))


CARD = """
events: incidents.csv
columns: {time: When, category: What, lon: X, lat: Y}
order: ymd
zone: America/Chicago
areas: {file: parts.geojson, key: part}
"""

def a_city(folder, moved=0., label=None):
    "A city's files and card: events, their areas' labels if wanted, and polygons so many degrees to the east."
    from crimenb import geo
    import shapely
    events, _ = city.simulate(4000, 182, seed=2, start="2018-01-01", n_areas=6)
    table = {"When": events["time"].dt.strftime("%Y-%m-%d %H:%M"), "What": events["category"].astype(str), "X": events["lon"], "Y": events["lat"]}
    pd.DataFrame(table | ({} if label is None else {"Part": label})).to_csv(folder/"incidents.csv", index=False)
    west, south, east, north = events["lon"].min(), events["lat"].min(), events["lon"].max(), events["lat"].max()
    edges = np.linspace(west, east, 4) + moved
    geo.write(geo.area_places([shapely.box(a, south, b, north) for a, b in zip(edges, edges[1:])], ["left", "middle", "right"]).rename_axis("part"), folder/"parts.geojson")
    (folder/"mine.yaml").write_text(CARD if label is None else CARD.replace("lat: Y}", "lat: Y, area: Part}"))
    return folder/"mine.yaml"

@pytest.mark.parametrize("how, says", [(dict(moved=5.), "no place lies in any of the areas"), (dict(label="north"), "events name areas that the polygons have not, such as 'north'")])
def test_a_study_whose_events_are_in_no_area_stops_in_a_sentence_and_leaves_no_result(tmp_path, capfd, how, says):
    from crimenb.lab import cli
    card, out = a_city(tmp_path, **how), tmp_path/"out"
    assert cli.main(["reproduce", "parallel", "--dataset", str(card), "--profile", "smoke", "--out", str(out)]) == 2
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("crimenb: ")]
    assert len(told) == 1 and says in told[0], told
    assert not list(out.rglob("*.json"))

def test_a_citys_card_is_a_data_set(tmp_path):
    a_city(tmp_path)
    seen = {}
    result = run_cells(dict(dataset=str(tmp_path/"mine.yaml"), models="GAT+TCN", tasks="counts"), tmp_path/"out", seen.update)
    panel = seen["panel"]
    assert panel.areas == ["left", "middle", "right"] and result["dataset"] == "mine" or "mine" in str(result["dataset"])
    assert panel.counts.sum() > 3800 and {"GAT+TCN", "historical mean"} <= {r["method"] for r in result["rows"]}
    # areas that touch are neighbours
    assert set(map(tuple, seen["edges"].T.tolist())) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    (tmp_path/"mine.yaml").write_text("\n".join(line for line in CARD.splitlines() if "areas" not in line) + "\ncell_m: 3000\n")
    run_cells(dict(dataset=str(tmp_path/"mine.yaml"), models="", tasks="counts", rules="historical mean"), tmp_path/"squares", seen.update)
    assert seen["panel"].cells is not None and abs(seen["panel"].km2 - 9).max() < .2
