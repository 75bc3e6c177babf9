"""From a file with foreign column names to a forecast of the period after the last: card, command line, Python, another process, map."""
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import own_city
import pandas as pd
import pytest
import shapely

from crimenb import cards, models
from crimenb.cities import Card
from crimenb.core import InputError
from crimenb.lab import cli, forecasting
from crimenb.panels import Panel
from crimenb.terrain import Terrain

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

def test_saved_models_forecast_the_same_in_another_process(cities, tmp_path):
    folder, _ = cities
    answers, calls = {}, []
    for question, model, _, _ in ASKED:
        settings = {"cell_m": 1600} if question == "hour" else {"period": "M"} if question == "year" else {}
        answers[question] = forecasting.forecast(question, folder/"incidents.yaml", model, **settings)
        answers[question].model.save(tmp_path/f"{question}.crimenb")
        calls.append(["forecast", tmp_path/f"{question}.crimenb", "--events", folder/"incidents.csv", "--dataset", folder/"incidents.yaml",
                      "--out", tmp_path/f"{question}.csv", "--map", tmp_path/f"{question}.png", "-q"])
    code = "import json, sys\nfrom crimenb.lab.cli import main\nsys.exit(max(main(argv) for argv in json.loads(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, json.dumps(calls, default=str)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for question, answer in answers.items():
        again, table = pd.read_csv(tmp_path/f"{question}.csv"), answer.forecast.table
        assert again["place"].astype(str).tolist() == table["place"].astype(str).tolist()
        assert np.allclose(again["expected"], table["expected"], rtol=1e-5) and (tmp_path/f"{question}.png").read_bytes()[:4] == b"\x89PNG"

def test_the_table_of_next_events_has_the_likeliest_classes_or_all(cities, capsys, tmp_path):
    folder, _ = cities
    ask = lambda *more: shell(capsys, "forecast", "next", "--dataset", folder/"incidents.yaml", "--model", "smoothed counts", "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", *more)
    code, out, err = ask("--save", tmp_path/"m.crimenb")
    n = int(re.search("the table has the 5 likeliest of ([0-9]+) classes of each spot: --top all has all, and then the probabilities of a spot sum to one", out)[1])
    assert code == 0 and (pd.read_csv(tmp_path/"t.csv").groupby("place").size() == 5).all(), err
    for argv in (("--dataset", folder/"incidents.yaml", "--model", "smoothed counts"), ()):
        first = ("next",) if argv else (tmp_path/"m.crimenb", "--events", folder/"incidents.csv", "--dataset", folder/"incidents.yaml")
        code, out, err = shell(capsys, "forecast", *first, *argv, "--top", "all", "--json", "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png")
        said = json.loads(out)
        assert said["about"]["classes of each spot"] == f"all {n}" and not any("--top" in note for note in said["notes"])
        by_spot = pd.DataFrame(said["forecast"]).groupby("place")["expected"]
        assert (by_spot.size() == n).all() and np.allclose(by_spot.sum(), 1)
    assert "--top is none: give a number of classes, or all" in ask("--top", "none")[2] and "leave out --top" in shell(capsys, "forecast", "week", "--dataset", folder/"incidents.yaml", "--top", "3")[2]

def test_the_lines_of_a_backtest_say_what_its_intervals_held(cities):
    folder, _ = cities
    answer = forecasting.forecast("week", folder/"incidents.yaml", "recent mean")
    [held] = answer.scores.value[(answer.scores.method == "recent mean") & (answer.scores.metric == "coverage of 90%")]
    first, *rest = answer.lines()
    assert "and which share of the counts its 90 % intervals held;" in first and len(rest) == 4
    assert [line for line in rest if line.startswith("  recent mean ")][0].endswith(f")  {held:.0%}  <- taken")

def test_a_city_without_premises_and_areas_gets_squares_and_cells(cities, capsys, tmp_path):
    folder, _ = cities
    for question, model, more in (("week", "recent mean", []), ("next", "smoothed counts", [])):
        code, out, err = shell(capsys, "forecast", question, "--dataset", folder/"delitos.yaml", "--model", model, *more, "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "-q")
        assert code == 0 and out.split() == [str(tmp_path/"t.csv"), str(tmp_path/"m.png")], err

def test_events_of_which_only_the_month_is_known_are_in_no_week(cities):
    folder, of = cities
    _, read = forecasting.events_of(folder/"delitos.yaml")
    table, said = forecasting.as_exact("week", read)
    vague = read.notes["month known, not the day"]
    # at the first midnight of a month there is hardly anything else
    assert 0 <= (n := len(read.events) - len(table)) - vague < 5
    since = (read.events.time.max() - pd.Timedelta(weeks=8)).replace(day=1).normalize()
    late = lambda events: (events.time >= since).sum()
    share = 1 - late(table)/late(read.events)
    assert said == [f"{n:,} events left out: time not known to the day, {n/len(read.events):.1%} of all, {share:.1%} of those since {since.date()}: expected counts are too low by about as much"]
    # 15 % of the file's times are known to the month only, early or late
    assert share == pytest.approx(.15, abs=.03)
    assert forecasting.as_exact("year", read) == (read.events, [])
    answer = forecasting.forecast("week", folder/"delitos.yaml", "recent mean")
    assert answer.forecast.about["share of events left out for their time"] == pytest.approx(1 - len(table)/len(read.events), abs=1e-4)
    first = table.time.min().normalize() + pd.Timedelta(days=7)
    by_week = table[table.time >= first].groupby(table.time.dt.to_period("W")).size()[1:-1]
    assert said[0] in answer.notes and answer.model.last_ == table.time.max()
    # no week with the first of a month stands out
    assert by_week.max() < 2*by_week.median()

def refused(capsys, *argv):
    code, out, err = shell(capsys, *argv)
    assert code == 2 and out == "" and err.startswith("crimenb: ") and err.count("\n") == 1, (code, out, err)
    return err

def test_areas_of_which_nobody_says_where_they_lie_have_a_table_and_no_map_and_that_is_said(cities, capsys, tmp_path):
    folder, _ = cities
    table = pd.read_csv(folder/"incidents.csv", sep=";").drop(columns=["Laenge", "Breite"])
    table.assign(Revier=np.where(np.arange(len(table)) % 3, "Nord, alt", "Süd")).to_csv(tmp_path/"e.csv", index=False)
    named = columns({k: v for k, v in NAMES.items() if k not in ("lon", "lat")})
    assert cli.main(["card", str(tmp_path/"e.csv"), "-q", *named, "--column", "area=Revier"]) == 0
    code, out, _ = shell(capsys, "forecast", "week", "--dataset", tmp_path/"e.yaml", "--model", "recent mean", "--out", tmp_path/"t.geojson", "--map", tmp_path/"m.html")
    assert code == 0 and "so there is no map, and the table is CSV" in out and not (tmp_path/"m.html").exists()
    assert set(pd.read_csv(tmp_path/"t.csv").place) == {"Nord, alt", "Süd"}
    # without areas too, nothing can be counted by week: which columns say where is what is asked for
    table.to_csv(tmp_path/"e.csv", index=False)
    assert cli.main(["card", str(tmp_path/"e.csv"), "-q", "--force", *named]) == 0
    capsys.readouterr()
    said = refused(capsys, "forecast", "week", "--dataset", tmp_path/"e.yaml", "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png")
    assert "no places or areas" in said and "area: …" in said

def test_what_cannot_be_is_one_sentence(cities, capsys, tmp_path):
    folder, of = cities
    card, at = folder/"incidents.yaml", ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png"]
    ask = lambda question, *more: refused(capsys, "forecast", question, "--dataset", card, *at, *more)
    assert "'no such'" in ask("week", "--model", "no such") and "'what'" in ask("what")
    assert "frequency" in ask("week", "-p", "frequency=D") and "lie between 0 and 1" in ask("next", "--level", "1.5")
    assert "factors: [" in ask("year", "--model", "classic RTM") and "at most" in ask("week", "--periods", "9")
    assert "ends in .crimenb" in ask("week", "--save", tmp_path/"m.pkl") and not (tmp_path/"m.pkl").exists()
    assert "--force" in refused(capsys, "card", folder/"incidents.csv", *columns(NAMES))
    nameless = refused(capsys, "card", folder/"delitos.csv", "--out", tmp_path/"c.yaml", "--column", "lon=longitud", "--column", "lat=latitud", "--column", "category=delito")
    assert "=," not in nameless
    assert "--dataset" in refused(capsys, "forecast", "week")
    assert "ends in" in refused(capsys, "forecast", "week", "--dataset", card, "--out", tmp_path/"t.xls")
    (tmp_path/"file").write_text("")
    assert "write" in refused(capsys, "forecast", "week", "--dataset", card, "--map", tmp_path/"m.png", "--out", tmp_path/"file/t.csv")
    assert not list(tmp_path.glob("t.*")) and not list(tmp_path.glob("m.*"))

def test_too_short_and_broken_histories_are_refused(cities, capsys, tmp_path):
    folder, of = cities
    table = pd.read_csv(folder/"incidents.csv", sep=";")
    when = pd.to_datetime(table["Tatzeit"], dayfirst=True)
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "--dataset", folder/"incidents.yaml", "--events", tmp_path/"e.csv"]
    def with_events(keep, question, *more):
        table[keep].to_csv(tmp_path/"e.csv", sep=";", index=False)
        return refused(capsys, "forecast", question, *at, *more)
    assert "whole weeks" in with_events(when < when.min() + pd.Timedelta(days=40), "week")
    hole = (when < when.min() + pd.Timedelta(days=50)) | (when > when.min() + pd.Timedelta(days=75))
    assert "nothing is known" in with_events(hole, "week") and "nothing is known" in with_events(hole, "hour", "-p", "cell_m=1600")
    _, read = forecasting.events_of(folder/"incidents.yaml")
    # as unknown, not as nothing, where that is asked for
    for question, settings in (("week", {}), ("hour", {"cell_m": 1600})):
        time = read.events.time - read.events.time.min()
        view = forecasting.view_of(question, read.events[(time < pd.Timedelta(days=50)) | (time > pd.Timedelta(days=75))].reset_index(drop=True), read.card, None, "unknown", **settings)
        lost = np.isnan(view.counts).reshape(len(view.counts), -1).any(1)
        assert lost.sum() >= (2 if question == "week" else 24*23) and np.isnan(view.counts[lost]).all() and view.counts[~lost].sum() > 0
    table["Tatzeit"] = when.dt.strftime("01.%m.%Y 00:00")
    assert "known to the month" in with_events(when == when, "hour")
    table = pd.read_csv(folder/"incidents.csv", sep=";").assign(Tatort="STREET")
    table["Laenge"], table["Breite"] = table["Laenge"].iloc[0], table["Breite"].iloc[0]
    assert "events of more spots" in with_events(when == when, "next")

def test_a_month_alone_is_too_short_for_a_model_that_looks_further_back(cities, capsys, tmp_path):
    folder, _ = cities
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "--dataset", folder/"incidents.yaml"]
    assert shell(capsys, "forecast", "week", *at, "--model", "memories", "--save", tmp_path/"w.crimenb", "-q")[0] == 0
    table = pd.read_csv(folder/"incidents.csv", sep=";")
    when = pd.to_datetime(table["Tatzeit"], dayfirst=True)
    table[when > when.max() - pd.Timedelta(days=24)].to_csv(tmp_path/"late.csv", sep=";", index=False)
    said = refused(capsys, "forecast", tmp_path/"w.crimenb", *at, "--events", tmp_path/"late.csv")
    assert "give the earlier ones too" in said

def test_a_saved_model_of_spots_in_polygons_asks_for_the_card(cities, capsys, tmp_path):
    folder, of = cities
    saved = tmp_path/"m.crimenb"
    code, _, err = shell(capsys, "forecast", "next", "--dataset", folder/"incidents.yaml", "--model", "markov", "--save", saved, "--out", tmp_path/"a.csv", "--map", tmp_path/"a.html", "-q")
    assert code == 0, err
    code, _, err = shell(capsys, "forecast", saved, "--events", folder/"incidents.csv", "--out", tmp_path/"b.csv")
    assert code == 2 and "name the card with --dataset" in err and not (tmp_path/"b.csv").exists()
    code, _, err = shell(capsys, "forecast", saved, "--events", folder/"incidents.csv", "--dataset", folder/"incidents.yaml", "--out", tmp_path/"b.csv", "--map", tmp_path/"b.html", "-q")
    assert code == 0 and (tmp_path/"b.csv").read_text() == (tmp_path/"a.csv").read_text(), err

def test_a_saved_model_refuses_events_from_before_its_own(cities, capsys, tmp_path):
    folder, _ = cities
    forecasting.forecast("week", folder/"incidents.yaml", "recent mean").model.save(tmp_path/"m.crimenb")
    table = pd.read_csv(folder/"incidents.csv", sep=";")
    when = pd.to_datetime(table["Tatzeit"], dayfirst=True)
    table[when < when.max() - pd.Timedelta(days=30)].to_csv(tmp_path/"old.csv", sep=";", index=False)
    assert "before those" in refused(capsys, "forecast", tmp_path/"m.crimenb", "--events", tmp_path/"old.csv")
    assert "--events" in refused(capsys, "forecast", tmp_path/"m.crimenb")
    assert models.load(tmp_path/"m.crimenb").city_["columns"]["time"] == "Tatzeit"

@pytest.mark.parametrize("question, model", [("week", "recent mean"), ("next", "smoothed counts")])
def test_a_saved_model_refuses_events_whose_categories_it_does_not_know(cities, capsys, tmp_path, question, model):
    folder, of = cities
    answer = forecasting.forecast(question, folder/"incidents.yaml", model)
    answer.model.save(tmp_path/"m.crimenb")
    table = pd.read_csv(folder/"incidents.csv", sep=";")
    at = ["--events", tmp_path/"e.csv", "--dataset", folder/"incidents.yaml", "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "-q"]
    table.assign(Delikt="Kategorie " + table["Delikt"].factorize()[0].astype(str).astype(object)).to_csv(tmp_path/"e.csv", sep=";", index=False)
    assert re.search(r"only 0 of [\d,]+ events have a c(ategory|lass)", refused(capsys, "forecast", tmp_path/"m.crimenb", *at))
    assert not (tmp_path/"t.csv").exists() and not (tmp_path/"m.png").exists()
    # one new category among those that are known is left out and told of
    table.assign(Delikt=table["Delikt"].where(table.index % 10 > 0, "Neues")).to_csv(tmp_path/"e.csv", sep=";", index=False)
    assert shell(capsys, "forecast", tmp_path/"m.crimenb", *at)[0] == 0

def test_categories_counted_with_all_others_have_to_meet_too_and_those_counted_as_one_have_not(cities):
    folder, _ = cities
    card, read = forecasting.events_of(folder/"incidents.yaml")
    named = lambda word: read.events.assign(category=(word + (read.events.index % 12).astype(str)).astype("category"))
    known, foreign = named("A "), named("B ")
    many = forecasting.view_of("week", known, card)
    assert "all others" in many.categories
    with pytest.raises(InputError, match=f"only 0 of {len(foreign):,} events have a category"): forecasting.view_of("week", foreign, card, many.schema())
    assert forecasting.view_of("week", known, card, many.schema()).counts.sum() == many.counts.sum()
    together = forecasting.view_of("week", known, card, group="all")
    assert forecasting.view_of("week", foreign, card, together.schema()).counts.sum() == together.counts.sum() > 0

@pytest.fixture(scope="module")
def risky(cities, tmp_path_factory):
    "The same city, whose card names factors of risk."
    folder = tmp_path_factory.mktemp("risky")
    for path in cities[0].glob("*"): (folder/path.name).write_bytes(path.read_bytes())
    (folder/"incidents.yaml").write_text(own_city.with_factors(folder/"incidents.yaml", folder))
    return folder

def test_the_lines_of_the_readme_run(risky, monkeypatch):
    readme = (Path(__file__).parents[1]/"README.md").read_text()
    assert forecasting.IN_PYTHON["week"].strip() in readme
    for text in forecasting.IN_PYTHON.values(): assert text.splitlines()[2].removeprefix("view = ") in readme
    for work in ("CrimeAlarm", "ST-ResNet, sound", "DNN", "post's RTM"): assert f"`{work}`" in readme
    monkeypatch.chdir(risky)
    [block] = [b for b in re.findall(r"```python\n(.*?)```", readme, re.S) if "crimenb.forecast(" in b]
    exec(compile(block, "README.md", "exec"), {})
    assert all(Path(name).is_file() for name in ("next.geojson", "next.html", "week.crimenb"))

@pytest.mark.parametrize("question, work", [("next", "CrimeAlarm"), ("hour", "ST-ResNet, sound"), ("week", "DNN"), ("year", "post's RTM")])
def test_a_few_lines_of_python_for_each_work(risky, monkeypatch, question, work):
    text = forecasting.IN_PYTHON[question]
    assert f'["{work}"]' in text and len([line for line in text.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(risky)
    exec(compile(re.sub(r"epochs=\d+", "epochs=1", text), question, "exec"), {})
    assert json.loads(Path(f"{question}.geojson").read_text())["features"] and Path(f"{question}.png").is_file()
    assert models.load(f"{question}.crimenb").name == work

def test_the_backtest_is_of_what_is_asked(cities, capsys, tmp_path):
    folder, _ = cities
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png"]
    for question, model, n, more in (("week", "recent mean", 2, []), ("hour", "Poisson regression", 24, ["-p", "cell_m=1600"])):
        code, out, err = shell(capsys, "forecast", question, "--dataset", folder/"incidents.yaml", "--model", model, "--periods", n, *more, *at)
        assert code == 0, err
        account, head, *rows = out.splitlines()
        assert "rows read" in account and f"{n} {question}s ahead from each of" in head and "models tried" in head and "95 % interval" in head
        assert any(model in row and "<- taken" in row for row in rows[:3]) and f"{model} less " in "".join(rows[:4])

def test_a_city_of_few_years_is_forecast_by_what_is_shorter(cities, capsys, tmp_path):
    folder, of = cities
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png", "-p", "cell_m=800"]
    code, out, err = shell(capsys, "forecast", "year", "--dataset", folder/"incidents.yaml", "--model", "mean counts", *at)
    assert code == 0 and "of one month" in out and "fewer than 4 whole years" in out, err
    assert pd.read_csv(tmp_path/"t.csv")["period"].nunique() == 1

def test_areas_of_the_card_lie_around_squares_and_spots_and_nobody_is_told_to_give_them(cities):
    folder, of = cities
    shapes = set(cards.polygons(folder/"incidents.yaml")["geometry"])
    for question, settings in (("year", {"cell_m": 200}), ("hour", {"cell_m": 1600}), ("next", {}), ("week", {"cell_m": 1000}), ("week", {})):
        answer = forecasting.forecast(question, folder/"incidents.yaml", "popularity" if question == "next" else "mean" if question != "year" else "mean counts", **settings)
        around = answer.forecast.around
        # the areas of a forecast by week are its places already
        assert (around is None) == (question == "week" and not settings)
        if around is not None: assert set(around["geometry"]) == shapes
        assert not any("would tell" in note for note in answer.notes)
        if question == "year":
            card, read = forecasting.events_of(folder/"incidents.yaml")
            view = forecasting.view_of("year", read.events, card, **settings)
            never = (np.nansum(view.counts[:view.known], 0) == 0).sum()
            assert any(f"in {never:,} of {len(view.places):,} cells nothing has ever happened" in note for note in forecasting.remarks(view, read.events, (), replace(card, areas=None)))

def test_four_years_are_forecast_by_the_year(tmp_path, capsys):
    events, _ = own_city.without_premises(tmp_path, 4*365 + 1, 6_000, months=0)
    pd.read_csv(tmp_path/"delitos.csv").to_csv(tmp_path/"delitos.csv", index=False)
    assert cli.main(["card", str(tmp_path/"delitos.csv"), "-q", *columns(SPANISH)]) == 0
    start = pd.Timestamp(events["time"].min()).normalize()
    code, out, err = shell(capsys, "forecast", "year", "--dataset", tmp_path/"delitos.yaml", "--model", "mean counts", "-p", "cell_m=1000",
                           "-p", f"start={start.date()}", "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png")
    assert code == 0, err
    assert "1 year ahead" in out and "of one" not in out

def test_risk_terrain_models_look_at_the_factors_of_the_card(risky, capsys, tmp_path):
    for model in ("post's RTM", "classic RTM"):
        code, out, err = shell(capsys, "forecast", "year", "--dataset", risky/"incidents.yaml", "--model", model, "-p", "cell_m=800", "--save", tmp_path/"m.crimenb",
                               "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png")
        assert code == 0 and "<- taken" in out and "no factors" not in out, err
        code, out, err = shell(capsys, "forecast", tmp_path/"m.crimenb", "--events", risky/"incidents.csv", "--dataset", risky/"incidents.yaml", "-p", "cell_m=800",
                               "--out", tmp_path/"again.csv", "--map", tmp_path/"m.png")
        assert code == 0, err
        assert np.allclose(pd.read_csv(tmp_path/"again.csv")["expected"], pd.read_csv(tmp_path/"t.csv")["expected"], rtol=1e-5)

def test_a_network_of_hours_is_ready_soon_and_says_its_settings(cities):
    folder, _ = cities
    answer = forecasting.forecast("hour", folder/"incidents.yaml", "st-resnet", cell_m=1600, epochs=1, extra_epochs=0, filters=4)
    assert answer.model.name == "ST-ResNet, sound" and answer.model.filters == 4 and answer.model.epochs == 1
    assert answer.model.resolution == "none" and any("residual_units=2" in note for note in answer.notes)
    assert answer.forecast.table["expected"].notna().all()

@pytest.mark.parametrize("name", ["start", "end"])
def test_a_day_that_is_none_is_said_in_a_sentence(name):
    from crimenb import city
    with pytest.raises(InputError, match=f"{name} is 'foo': give a day"): forecasting.view_of("week", city.simulate(500, seed=0)[0], Card("here"), **{name: "foo"})

def some_days(n_days, each=8, start="2018-01-01", lost=()):
    "An events table with so many events each day, in two places, and none on the days in `lost`."
    at = pd.date_range(start, periods=n_days*each, freq=pd.Timedelta(hours=24/each))
    at = at[~np.isin(at.normalize(), pd.DatetimeIndex(lost))]
    where = np.arange(len(at)) % 2
    return pd.DataFrame({"time": at.as_unit("s"), "category": pd.Categorical(np.where(np.arange(len(at)) // 2 % 2, "theft", "arson")), "premises": pd.Categorical(["street"]*len(at)),
                         "area": pd.Categorical(np.where(where, "north", "south")), "lon": 13.4 + .01*where, "lat": 52.5 + .01*where, "x": np.nan, "y": np.nan})

def test_a_week_or_month_with_days_of_which_nothing_is_known_is_not_counted():
    lost = pd.date_range("2018-02-08", "2018-02-18")
    events, card = some_days(26*7, lost=lost), Card("made up")
    with pytest.raises(InputError, match="nothing is known of 2 week.*2018-02-05.*2018-02-12.*--gap unknown"): forecasting.view_of("week", events, card, None)
    weeks = forecasting.view_of("week", events, card, None, "unknown")
    many = weeks.counts.sum((1, 2))
    assert np.isnan(many[5:7]).all() and (np.delete(many, [5, 6]) == 56).all() and len(many) == 26
    months = forecasting.view_of("year", events, card, None, "unknown", cell_m=500, period="M")
    assert np.isnan(months.counts.sum(1)).tolist() == [False, True, False, False, False, False] and months.counts[0].sum() == 31*8
    # Python says the same
    np.testing.assert_array_equal(Panel.from_events(events, places=1000.).counts.sum((1, 2)), many)
    np.testing.assert_array_equal(Terrain.from_events(events, 500, period="M").counts, months.counts)
    # models of hours learn from what comes after
    with pytest.raises(InputError, match="nothing is known of 264 hour.*give their events too, say --gap unknown, or begin after them with -p start=2018-02-19"): forecasting.view_of("hour", events, card)
    hours = forecasting.view_of("hour", events, card, None, "unknown")
    assert np.isnan(hours.counts).all((1, 2)).sum() == 264 == forecasting.unknown_of(hours).sum()
    with pytest.raises(InputError, match="nothing is known of 264 hour.*give their events too or begin after them with -p start=2018-02-19"): forecasting.view_of("hour", events, card, hours.schema(), "unknown")

def written_city(folder, events, **card):
    "A card of a made-up table of events; its path."
    events[["time", "category", "premises", "lon", "lat"]].to_csv(folder/"e.csv", index=False)
    named = {name: name for name in ("time", "category", "premises", "lon", "lat")}
    (folder/"e.yaml").write_text(json.dumps({"name": "here", "events": "e.csv", "columns": named, "zone": "Europe/Berlin", "cell_m": 500, **card}))
    return folder/"e.yaml"

@pytest.mark.parametrize("weeks, lost, tried", [(26, (14, 16), 14), (26, (23, 24), 23)])
def test_a_gap_among_the_weeks_that_models_are_tried_on_has_a_way_round_it(tmp_path, weeks, lost, tried):
    monday = pd.Timestamp("2018-01-01")
    days = pd.date_range(monday + pd.Timedelta(weeks=lost[0], days=2), monday + pd.Timedelta(weeks=lost[1], days=1))
    card = written_city(tmp_path, some_days(weeks*7 + 1, lost=days))
    with pytest.raises(InputError, match="say --gap unknown"): forecasting.forecast("week", card, "recent mean")
    for model in ("recent mean", "Poisson GLM"):
        answer = forecasting.forecast("week", card, model, gap="unknown")
        assert answer.forecast.table["expected"].sum() == pytest.approx(56, rel=.02)
        assert any("of which nothing is known" in note and note.startswith("left out: ") for note in answer.notes)
        assert any("where a gap begins" in note for note in answer.notes) == (tried < weeks)
        assert answer.compared[0].endswith(f"asked for: {model}")

def test_days_without_data_are_refused_or_bridged_for_next_events_too(tmp_path, capsys):
    card = written_city(tmp_path, some_days(140, lost=pd.date_range("2018-03-05", "2018-03-11")))
    at = ["--dataset", card, "--model", "smoothed counts", "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png"]
    assert "nothing is known of 7 days between 2018-03-05 and 2018-03-11, and an event after them is no next one: give their events too, or say --gap unknown" in refused(capsys, "forecast", "next", *at)
    assert not (tmp_path/"t.csv").exists()
    code, out, err = shell(capsys, "forecast", "next", *at, "--gap", "unknown", "--save", tmp_path/"m.crimenb")
    assert code == 0 and "what comes after them is taken for the next event" in out, err
    assert "say --gap unknown" in refused(capsys, "forecast", tmp_path/"m.crimenb", "--events", tmp_path/"e.csv", *at[:2], *at[4:])

@pytest.mark.parametrize("question, model, says", [("next", "smoothed counts", "forecasts as if its spots had no event before"), ("week", "recent mean", "looks back on 8 weeks only")])
def test_a_saved_model_that_is_given_later_events_alone_says_so(tmp_path, capsys, question, model, says):
    every = some_days(26*7)
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png"]
    card = written_city(tmp_path, every[every.time < "2018-05-07"])
    assert shell(capsys, "forecast", question, "--dataset", card, "--model", model, "--save", tmp_path/"m.crimenb", *at)[0] == 0
    every[every.time >= "2018-05-07"].to_csv(tmp_path/"later.csv", index=False)
    later = lambda *files: shell(capsys, "forecast", tmp_path/"m.crimenb", "--events", *files, "--dataset", card, *at)
    code, out, err = later(tmp_path/"later.csv")
    assert code == 0 and f"these events begin on 2018-05-07 00:00:00, after all that {model} was fitted on, so it {says}: give the earlier ones too" in out, out + err
    assert "was fitted on, so" not in later(tmp_path/"e.csv", tmp_path/"later.csv")[1]

def test_what_was_read_and_what_was_asked_for_is_said(tmp_path, capsys):
    events = some_days(20*7 + 1)
    events.loc[events.index >= 80*8, "lat"] += .1*(np.arange(len(events) - 80*8) == 3)
    card = written_city(tmp_path, pd.concat([events, events[:1].assign(lon=np.nan, lat=np.nan, time=pd.Timestamp("2018-02-01 03:00"))]))
    at = ["--out", tmp_path/"t.csv", "--map", tmp_path/"m.png"]
    code, out, err = shell(capsys, "forecast", "week", "--dataset", card, "--model", "recent mean", *at)
    assert code == 0 and out.startswith(f"{len(events) + 1:,} rows read, {len(events) + 1:,} kept; dropped: none\n"), err
    assert "asked for: recent mean\n" in out and "taken is the best" not in out
    assert "not forecast: 1 square where nothing had happened before, with 1 event" in out
    assert "1 event left out: without an area of the table" in out
    code, out, _ = shell(capsys, "forecast", "week", "--dataset", card, *at)
    assert code == 0 and "taken is the best on the weeks before:" in out
    assert shell(capsys, "forecast", "week", "--dataset", card, "--model", "recent mean", "-q", *at)[1].split() == [str(tmp_path/"t.csv"), str(tmp_path/"m.png")]
    code, out, _ = shell(capsys, "forecast", "next", "--dataset", card, "--model", "smoothed counts", *at)
    assert code == 0 and re.search("this rests on .* events, of 2 spots, which is too little", out)
    ask = lambda *more: refused(capsys, "forecast", "week", "--dataset", card, *at, *more)
    for name in ("gap", "model", "periods", "level", "events", "dataset"):
        assert f"{name} has an option of its own: --{name}" in ask("-p", f"{name}=5")
    assert "epochs is 'zehn': give a number" in ask("--model", "dnn", "-p", "epochs=zehn")
    assert "window is 'lang': give a whole number" in ask("--model", "mean", "-p", "window=lang")

@pytest.mark.parametrize("low, high, words", [(.2, .4, "the rule mean is better"), (-.4, -.2, "net is better"), (-.1, .2, "no difference that is certain")])
def test_which_of_a_model_and_a_rule_is_better_is_said_plainly(low, high, words):
    assert forecasting.stands("net", "mean", .1, low, high).endswith(f"): {words}")

def test_two_forecasts_that_are_the_same_have_no_interval_that_is_not_a_number():
    assert forecasting.stands("area", "uniform", 0., np.nan, np.nan) == "area less uniform, the best rule beside it: the same score"
    assert forecasting.stands("net", "mean", .125, np.nan, np.nan).endswith("+0.125, without an interval")

def test_a_network_with_quick_settings_is_called_a_first_look_and_the_rule_that_beats_it_is_named(tmp_path, capsys, monkeypatch):
    own_city.with_card(tmp_path, days=60, n=2_000)
    monkeypatch.setattr(forecasting, "_graphics", lambda: False)
    code, out, err = shell(capsys, "forecast", "hour", "--dataset", tmp_path/"mine.yaml", "--model", "ST-ResNet, sound", "-p", "cell_m=1600", "-p", "epochs=1", "-p", "extra_epochs=1", "-p", "lr=1e-5",
                           "--out", tmp_path/"t.csv", "--map", tmp_path/"m.png")
    assert code == 0, err
    assert "a first look, not trained as it should be" in out and re.search(r"ST-ResNet, sound less (.+), the best rule beside it: \+.*: the rule \1 is better\n", out)
    taken = next(line for line in out.splitlines() if line.endswith("<- taken"))
    assert "ST-ResNet, sound" in taken
    with pytest.raises(SystemExit): cli.main(["forecast", "--help"])
    assert "a first look, not trained as it should be" in " ".join(capsys.readouterr().out.split())

def test_a_forecast_without_a_terminal_says_each_half_minute_what_it_is_at_and_nothing_with_q(tmp_path, capsys, monkeypatch):
    from crimenb import core
    monkeypatch.delenv("CRIMENB_PROGRESS", raising=False)
    monkeypatch.setattr(core, "EVERY", .05)
    card = written_city(tmp_path, some_days(20*7))
    where = "--out", tmp_path/"n.csv", "--map", tmp_path/"n.svg"
    code, out, err = shell(capsys, "forecast", "week", "--dataset", card, "--model", "Poisson GLM", *where)
    assert code == 0 and "crimenb: forecast week, 0:0" in err and "crimenb:" not in out
    code, out, err = shell(capsys, "forecast", "week", "--dataset", card, "--model", "Poisson GLM", "-q", *where)
    assert code == 0 and err == "" and out.split() == [str(tmp_path/"n.csv"), str(tmp_path/"n.svg")]
