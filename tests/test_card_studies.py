"""Each study on a city of one's own: a card with foreign column names, areas and factors, through the command line, plain papermill and the notebook's cells."""
import json

import numpy as np
import own_city
import pandas as pd
import papermill
import pytest
import shapely

from cells import one_thread, run_cells
from crimenb import cities, city, sources
from crimenb.core import InputError
from crimenb.forecasts import Forecast, bounded
from crimenb.lab import cli, studies
from crimenb.sequences import Sequences

#: study -> settings that make it short, a method that must be there, and how many periods or spots are foretold
SHORT = {
    "crimealarm": (dict(methods="GRU", epochs=1, hidden=8, in_time=""), "GRU"),
    "stresnet": (dict(methods="", rules=False, test_hours=168, valid=.2), "reset + hourly mean"),
    "parallel": (dict(models="", rules="historical mean", tasks="counts"), "historical mean"),
    "parallel_training": (dict(models="DNN", ways="single", step_batches="", epochs=2), "DNN"),
    "explanations": (dict(models="DNN", tasks="counts", epochs=1, penalties="0,1", constraints="demographic parity", calendar=False), "DNN"),
    "occurrences": (dict(models="", rules="historical mean", months=1), "training rate"),
    "rtm": (dict(cell=800., bandwidths="300,600", methods="uniform,last counts", resamples=3, starts=3, loops=0, n_boot=10), "post's RTM"),
}

@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    own_city.with_card(folder)
    return folder/"mine.yaml"

@pytest.mark.parametrize("study", SHORT)
def test_a_card_is_taken_where_a_data_set_is_and_what_comes_next_is_left_beside_the_scores(card, tmp_path, study):
    given, method = SHORT[study]
    run_cells(study, given | dict(dataset=str(card)), tmp_path)
    rows = studies.read_results(tmp_path)
    assert set(rows.dataset) == {"mine"} and method in set(rows.method) and card.name in rows.data_sha256[0]
    left = {path.name.split(".", 1)[1] for path in tmp_path.glob("*.forecast.*")}
    assert left == {"forecast.csv", "forecast.geojson", "forecast.png"}
    [path] = tmp_path.glob("*.forecast.csv")
    table = pd.read_csv(path)
    assert table.expected.ge(0).all() and table.lon.notna().all() and table.period.notna().all()
    # of a week that is cut into slots, all of them
    assert table.period.nunique() == (4 if study == "explanations" else 1)

def test_the_command_line_names_the_forecast_and_so_does_the_page(card, tmp_path, capsys):
    code = cli.main(["reproduce", "occurrences", "--dataset", str(card), "-p", "models=", "-p", "rules=last week", "-p", "months=1", "--out", str(tmp_path)])
    said = capsys.readouterr()
    assert code == 0, said.err
    files = [line.split(maxsplit=1)[1] for line in said.out.splitlines() if line.startswith("forecast:")]
    assert [name.rsplit(".", 1)[1] for name in files] == ["csv", "geojson", "png"]
    [page] = tmp_path.glob("*.html")
    assert all(name.rsplit("/", 1)[1] in page.read_text() for name in files)

@pytest.mark.parametrize("study", ["parallel", "explanations", "parallel_training"])
def test_a_card_of_few_weeks_is_refused_in_one_sentence(tmp_path, study):
    own_city.with_card(tmp_path, days=41, n=1200)
    with pytest.raises(InputError, match="^mine.yaml has 5 whole weeks, too few to learn from the 4 before each and to keep 0.[0-9]+ and 0.[0-9]+ of them to choose on and to test: it needs [78]: give a longer time$"):
        run_cells(study, SHORT[study][0] | dict(dataset=str(tmp_path/"mine.yaml")), tmp_path)

def test_maps_have_the_areas_of_a_card_where_its_places_are_none_of_them(card):
    areas, here = sources.polygons(card), cities.get(card)
    def made(names, **more):
        places = pd.DataFrame(dict(lon=0., lat=0., **more), index=names)
        return bounded(Forecast(pd.DataFrame(dict(period=pd.Timestamp("2018-01-01"), place=names, expected=1.)), places), here).around
    names = list(areas.index)
    assert made(names, geometry=areas["geometry"].to_numpy()) is None and made([f"{name} · BAR" for name in names]).index.equals(areas.index)
    # cells that are called as areas are none, nor are spots of which no place lies in theirs
    cells = shapely.box(*np.zeros((2, len(names))), *np.full((2, len(names)), .001))
    assert made(names).index.equals(areas.index) and made(names, geometry=cells).index.equals(areas.index)

def test_spots_that_are_areas_are_drawn_as_areas_and_the_picture_holds_all_of_them(card, tmp_path):
    areas, here = sources.polygons(card), cities.get(card)
    def forecast(names, at):
        middle = shapely.point_on_surface(areas.geometry[at].to_numpy())
        places = pd.DataFrame(dict(lon=shapely.get_x(middle), lat=shapely.get_y(middle), geometry=middle), index=names)
        return bounded(Forecast(pd.DataFrame(dict(period="next event", place=names, category="a", expected=.5)), places, {"values": "probabilities"}), here)
    names = list(areas.index)
    made = forecast(names, names)
    assert made.around is None and (made.places.geometry.to_numpy() == areas.geometry.to_numpy()).all()
    # who is called as an area and lies in another one is a point, as is who is called otherwise
    for one in (forecast(names, names[1:] + names[:1]), forecast([f"{name} · BAR" for name in names], names)):
        assert one.around.index.equals(areas.index) and {shape.geom_type for shape in one.places.geometry} == {"Point"}
    # all areas are in the picture, but not a country
    def size(one):
        ax = one.draw().axes[0]
        return np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])
    whole = forecast([f"{name} · BAR" for name in names], names)
    west, south, east, north = shapely.total_bounds(areas.geometry.to_numpy())
    metres = np.array([(east - west)*111_320*np.cos(np.radians((north + south)/2)), (north - south)*111_320])
    assert (size(whole) >= .99*metres).all()
    whole.around = areas.assign(geometry=shapely.buffer(areas.geometry.to_numpy(), 3.))
    assert (size(whole) < 3*metres).all()

def test_plain_papermill_takes_the_path_of_a_card(card, tmp_path, monkeypatch):
    monkeypatch.chdir(card.parent)
    given = SHORT["parallel"][0] | dict(dataset="mine.yaml", out=str(tmp_path))
    papermill.execute_notebook(str(studies.folder_of("reproduce")/"parallel.ipynb"), str(tmp_path/"out.ipynb"), given, kernel_name="python3", progress_bar=False)
    [path] = tmp_path.glob("parallel-smoke-mine-*.json")
    assert json.loads(path.read_text())["dataset"] == "mine"

@pytest.mark.parametrize("study, without, words", [
    ("rtm", ("factors",), "factors: [{name"), ("crimealarm", ("lon", "lat", "premises", "areas"), "`area: …`"), ("parallel", ("lon", "lat", "areas"), "`area: …`"),
    ("stresnet", ("lon", "lat", "areas"), "`lon: …`"), ("parallel", ("category",), "category")])
def test_what_the_card_lacks_is_one_sentence_with_its_key(tmp_path, study, without, words):
    own_city.with_card(tmp_path, days=60, n=800, without=without)
    with pytest.raises(InputError) as refused: run_cells(study, SHORT[study][0] | dict(dataset=str(tmp_path/"mine.yaml")), tmp_path/"out")
    assert words in str(refused.value) and "mine" in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path/"out").exists()

def test_a_card_without_factors_is_refused_before_a_notebook_starts_or_events_are_read(tmp_path, capsys, monkeypatch):
    own_city.with_card(tmp_path, days=60, n=800, without=("factors",))
    (tmp_path/"incidents.csv").unlink()
    monkeypatch.setattr(studies, "_executed", lambda *_: pytest.fail("a notebook was started"))
    assert cli.main(["reproduce", "rtm", "--dataset", str(tmp_path/"mine.yaml"), "--out", str(tmp_path/"out")]) == 2
    said = capsys.readouterr().err
    assert "no factors, which the study rtm needs: add `factors: [{name" in said and said.count("\n") == 1 and not (tmp_path/"out").exists()
    # and by the notebook's own first cell
    with pytest.raises(InputError, match="no factors"): studies.begin("rtm", {"dataset": str(tmp_path/"mine.yaml")})
    assert studies.resolve("parallel", {"dataset": str(tmp_path/"mine.yaml")})["dataset"] == str(tmp_path/"mine.yaml")

@pytest.mark.parametrize("study", studies.LACKS)
def test_a_study_that_takes_no_card_says_what_a_card_lacks(card, capsys, tmp_path, study):
    assert cli.main(["reproduce", study, "--dataset", str(card), "--out", str(tmp_path/"out")]) == 2
    said = capsys.readouterr().err
    assert studies.LACKS[study] in said and said.count("\n") == 1 and not (tmp_path/"out").exists()

def test_every_study_takes_a_card_or_says_why_not():
    for study in studies.names():
        for profile in studies.profiles(study):
            assert ("card" in studies.profile(study, profile)[1]) != (study in studies.LACKS), (study, profile)

def test_a_city_of_few_classes_has_its_networks_validated_among_all_of_them(tmp_path):
    from crimenb.lab import next_events
    own_city.with_card(tmp_path)
    table = pd.read_csv(tmp_path/"incidents.csv", sep=";")
    frequent = table["Delikt"].value_counts().index[:3]
    table[table["Delikt"].isin(frequent)].to_csv(tmp_path/"incidents.csv", sep=";", index=False)
    run_cells("crimealarm", SHORT["crimealarm"][0] | dict(dataset=str(tmp_path/"mine.yaml")), tmp_path)
    rows = studies.read_results(tmp_path)
    trained = rows[rows["method"] == "GRU"]
    assert set(rows["protocol"]) == {"full"} and trained["metric"].str.contains("of training").any()
    few, many = (Sequences.from_events(city.simulate(3_000, days=60, seed=0)[0].pipe(lambda t: t[t["category"].isin(t["category"].value_counts().index[:n])])) for n in (3, 99))
    assert next_events.stops_by(few) == "full" and next_events.stops_by(many) == "popularity-100"
