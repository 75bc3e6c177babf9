"""From a file with foreign column names to a forecast of the period after the last: card, command line, Python, another process, map."""
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import own_city
import pandas as pd
import pytest
import shapely

from crimenb import models
from crimenb.lab import cli, forecasting

NAMES = {"time": "Tatzeit", "category": "Delikt", "premises": "Tatort", "lon": "Laenge", "lat": "Breite", "record_id": "Aktenzeichen"}
SPANISH = {"time": "fecha", "category": "delito", "lon": "longitud", "lat": "latitud", "record_id": "expediente"}
# question, a quick model, settings, the unit of a period
ASKED = [("next", "markov", [], None), ("hour", "shrunken average", ["-p", "cell_m=1600", "--periods", "3"], pd.Timedelta(hours=1)),
         ("week", "recent mean", ["--periods", "2"], pd.Timedelta(days=7)), ("year", "mean counts", ["-p", "period=M"], None)]

def columns(names): return [word for ours, theirs in names.items() for word in ("--column", f"{ours}={theirs}")]

def shell(capsys, *argv):
    code = cli.main(list(map(str, argv)))
    out, err = capsys.readouterr()
    return code, out, err

@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cities")
    of = {"incidents": own_city.with_areas(folder, 130, 6_000)[0], "delitos": own_city.without_premises(folder, 190, 5_000)[0]}
    for events, names, more in (("incidents.csv", NAMES, ["--areas", folder/"districts.geojson"]), ("delitos.csv", SPANISH, [])):
        assert cli.main([str(word) for word in ("card", folder/events, *more, "-q", *columns(names))]) == 0
    return folder, of

def test_a_card_says_what_the_file_is(cities, capsys):
    folder, of = cities
    text = (folder/"incidents.yaml").read_text()
    assert "order: dmy" in text and "districts.geojson" in text and "time: Tatzeit" in text
    code, out, _ = shell(capsys, "card", folder/"incidents.csv", "--json", "--force", "--areas", folder/"districts.geojson", *columns(NAMES))
    said = json.loads(out)
    assert code == 0 and said["rows_in"] == said["kept"] == len(of["incidents"]) and said["dropped"] == {}
    coarse = forecasting.events_of(folder/"delitos.yaml")[1].notes["month known, not the day"]
    assert .1*len(of["delitos"]) < coarse < .2*len(of["delitos"])

@pytest.mark.parametrize("question, model, more, unit", ASKED)
def test_from_a_file_to_the_period_after_the_last(cities, capsys, tmp_path, question, model, more, unit):
    folder, of = cities
    out, drawn, saved = tmp_path/"next.geojson", tmp_path/"next.html", tmp_path/"m.crimenb"
    code, said, err = shell(capsys, "forecast", question, "--dataset", folder/"incidents.yaml", "--model", model, *more, "--out", out, "--map", drawn, "--save", saved, "--json")
    assert code == 0, err
    said = json.loads(said)
    table = pd.DataFrame(said["forecast"])
    assert said["model"] == model and {row["method"] for row in said["backtest"]} > {model} and table["expected"].notna().all()
    features = json.loads(out.read_text())["features"]
    assert len(features) == len(table) and all(shapely.from_geojson(json.dumps(f["geometry"])).is_valid for f in features if f["geometry"])
    page = drawn.read_text()
    assert "Expected" in page and "of no person" in page
    last = of["incidents"]["time"].max()
    if question == "next": assert np.allclose(table.groupby("place")["expected"].sum().max(), 1, atol=1) and (table["expected"] <= 1).all()
    else:
        periods = pd.DatetimeIndex(sorted(set(table["period"])))
        assert (table["low"] <= table["high"]).all() and pd.Timestamp(said["about"]["last known period"]) < periods[0] <= last + pd.Timedelta(days=1)
        if unit: assert (np.diff(periods) == unit).all() and len(periods) == int(more[-1])

@pytest.mark.parametrize("question, model, more, unit", ASKED)
def test_a_saved_model_forecasts_the_same_in_another_process(cities, tmp_path, question, model, more, unit):
    folder, _ = cities
    settings = {"cell_m": 1600} if question == "hour" else {"period": "M"} if question == "year" else {}
    answer = forecasting.forecast(question, folder/"incidents.yaml", model, **settings)
    answer.model.save(tmp_path/"m.crimenb")
    done = subprocess.run([sys.executable, "-m", "crimenb", "forecast", tmp_path/"m.crimenb", "--events", folder/"incidents.csv", "--dataset", folder/"incidents.yaml",
                           "--out", tmp_path/"again.csv", "--map", tmp_path/"again.png", "-q"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again, table = pd.read_csv(tmp_path/"again.csv"), answer.forecast.table
    assert again["place"].astype(str).tolist() == table["place"].astype(str).tolist()
    assert np.allclose(again["expected"], table["expected"], rtol=1e-5) and (tmp_path/"again.png").read_bytes()[:4] == b"\x89PNG"

def test_a_city_without_premises_and_areas_gets_squares_and_cells(cities, capsys, tmp_path):
    folder, _ = cities
    for question, model, more in (("week", "recent mean", []), ("next", "smoothed counts", [])):
        code, out, err = shell(capsys, "forecast", question, "--dataset", folder/"delitos.yaml", "--model", model, *more, "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "-q")
        assert code == 0 and out.split() == [str(tmp_path/"t.csv"), str(tmp_path/"m.png")], err

def refused(capsys, *argv):
    code, out, err = shell(capsys, *argv)
    assert code == 2 and out == "" and err.startswith("crimenb: ") and err.count("\n") == 1, (code, out, err)
    return err

def test_what_cannot_be_is_one_sentence(cities, capsys, tmp_path):
    folder, of = cities
    card, at = folder/"incidents.yaml", ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png"]
    ask = lambda question, *more: refused(capsys, "forecast", question, "--dataset", card, *at, *more)
    assert "'no such'" in ask("week", "--model", "no such") and "'what'" in ask("what")
    assert "frequency" in ask("week", "-p", "frequency=D") and "period=M" in ask("year")
    assert "factors" in ask("year", "-p", "period=M", "--model", "classic RTM")
    assert "--dataset" in refused(capsys, "forecast", "week")
    assert "ends in" in refused(capsys, "forecast", "week", "--dataset", card, "--out", tmp_path/"t.xls")
    (tmp_path/"file").write_text("")
    assert "write" in refused(capsys, "forecast", "week", "--dataset", card, "--map", tmp_path/"m.png", "--out", tmp_path/"file/t.csv")
    assert not list(tmp_path.glob("t.*")) and not list(tmp_path.glob("m.*"))

def test_too_short_and_broken_histories_are_refused(cities, capsys, tmp_path):
    folder, of = cities
    table = pd.read_csv(folder/"incidents.csv", sep=";")
    when = pd.to_datetime(table["Tatzeit"], dayfirst=True)
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "--dataset", folder/"incidents.yaml", "--events", tmp_path/"some.csv"]
    def with_events(keep, question, *more):
        table[keep].to_csv(tmp_path/"some.csv", sep=";", index=False)
        return refused(capsys, "forecast", question, *at, *more)
    assert "whole weeks" in with_events(when < when.min() + pd.Timedelta(days=40), "week")
    hole = (when < when.min() + pd.Timedelta(days=50)) | (when > when.min() + pd.Timedelta(days=75))
    assert "nothing is known" in with_events(hole, "week") and "nothing is known" in with_events(hole, "hour", "-p", "cell_m=1600")
    table["Tatzeit"] = when.dt.strftime("01.%m.%Y 00:00")
    assert "known to the month" in with_events(when == when, "hour")

def test_a_saved_model_refuses_events_from_before_its_own(cities, capsys, tmp_path):
    folder, _ = cities
    forecasting.forecast("week", folder/"incidents.yaml", "recent mean").model.save(tmp_path/"m.crimenb")
    table = pd.read_csv(folder/"incidents.csv", sep=";")
    when = pd.to_datetime(table["Tatzeit"], dayfirst=True)
    table[when < when.max() - pd.Timedelta(days=30)].to_csv(tmp_path/"old.csv", sep=";", index=False)
    assert "before those" in refused(capsys, "forecast", tmp_path/"m.crimenb", "--events", tmp_path/"old.csv")
    assert "--events" in refused(capsys, "forecast", tmp_path/"m.crimenb")
    assert models.load(tmp_path/"m.crimenb").city_["columns"]["time"] == "Tatzeit"

def test_the_lines_of_the_readme_run(cities, monkeypatch):
    folder, _ = cities
    readme = (Path(__file__).parents[1]/"README.md").read_text()
    assert forecasting.IN_PYTHON["week"].strip() in readme
    for text in forecasting.IN_PYTHON.values(): assert text.splitlines()[2].removeprefix("view = ") in readme
    monkeypatch.chdir(folder)
    [block] = [b for b in re.findall(r"```python\n(.*?)```", readme, re.S) if "crimenb.forecast(" in b]
    exec(compile(block, "README.md", "exec"), {})
    assert all(Path(name).is_file() for name in ("next.geojson", "next.html", "week.crimenb"))
    for question, text in forecasting.IN_PYTHON.items():
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) <= 15, question
        exec(compile(text, question, "exec"), {})
        assert json.loads(Path(f"{question}.geojson").read_text())["features"] and Path(f"{question}.crimenb").is_file() and Path(f"{question}.png").is_file()

@pytest.mark.parametrize("name", ["start", "end"])
def test_a_day_that_is_none_is_said_in_a_sentence(name):
    from crimenb import cities, city
    from crimenb.core import InputError
    with pytest.raises(InputError, match=f"{name} is 'foo': give a day"): forecasting.view_of("week", city.simulate(500, seed=0)[0], cities.Card("here"), **{name: "foo"})
