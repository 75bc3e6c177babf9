"""What a card can serve is said by the very views that a forecast is made of; gaps have mends that work; what ties is not ranked; water is no area."""
import json
import re

import numpy as np
import own_city
import pandas as pd
import pytest
import shapely
from test_own_city import some_days, written_city

from crimenb import cards, forecasts, models
from crimenb.core import InputError
from crimenb.events import read
from crimenb.forecasts import Forecast, draw, named_first, shown, top
from crimenb.grids import Grid, HourlyMaps, within_areas
from crimenb.lab import cli, forecasting


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    "A file with English names, as a table, and the folder of its areas."
    folder = tmp_path_factory.mktemp("answers")
    own_city.with_areas(folder, 130, 6_000)
    names = {"Laenge": "Longitude", "Breite": "Latitude", "Tatzeit": "Date", "Delikt": "Offense", "Tatort": "Premises", "Aktenzeichen": "ID"}
    found = pd.read_csv(folder/"incidents.csv", sep=";").rename(columns=names)
    return found.assign(Date=pd.to_datetime(found.Date, dayfirst=True).dt.strftime("%Y-%m-%d %H:%M")), folder

def drafted(folder, table, *more):
    "The card that is drafted of a table, what was printed, and what it says it can."
    table.to_csv(folder/"e.csv", index=False)
    draft = cards.draft(folder/"e.csv", *more)
    return draft, forecasting.answers(draft.card, draft.account)

# --- half a place ---

@pytest.mark.parametrize("gone, there, other", [("Latitude", "Longitude", "lat"), ("Longitude", "Latitude", "lon")])
def test_a_longitude_without_a_latitude_is_said_once_and_not_used(table, tmp_path, capsys, gone, there, other):
    some = table[0].drop(columns=gone)
    draft, can = drafted(tmp_path, some)
    [said] = [one for one in draft.unsure if there in one]
    assert f"no column was found that is its {other}" in said and not {"lon", "lat", "x", "y"} & {*draft.card.columns} and str(draft).count(there) == 1
    assert not any(yes for yes, _ in can.values()) and all("`lon: …`" in why for _, why in can.values())
    # an area is left to count by, and spots are areas with kinds of places
    draft, can = drafted(tmp_path, some.assign(District=np.arange(len(some)) % 3))
    assert {name for name, (yes, _) in can.items() if yes} == {"next", "week"} and "of 3 areas" in can["week"][1]
    # who names one is told of the other
    ours = {"Longitude": "lon", "Latitude": "lat"}[there]
    assert cli.main(["card", str(tmp_path/"e.csv"), "--column", f"{ours}={there}", "--force"]) == 2
    err = capsys.readouterr().err
    assert f"--column {other}=NAME" in err and err.count("\n") == 1
    with pytest.raises(InputError, match=f"none of {other}"): read(tmp_path/"e.csv", **{ours: there})

def test_projected_places_ask_for_their_system_and_then_serve(table, tmp_path, capsys):
    from crimenb.geo import transform
    x, y = transform(table[0].Longitude, table[0].Latitude, 4326, 32613)
    flat = table[0].drop(columns=["Longitude", "Latitude"]).assign(Easting=np.round(x, 1), Northing=np.round(y, 1))
    flat.to_csv(tmp_path/"e.csv", index=False)
    assert cli.main(["card", str(tmp_path/"e.csv")]) == 2 and "--crs" in capsys.readouterr().err
    assert cli.main(["card", str(tmp_path/"e.csv"), "--crs", "32613", "--zone", "America/Denver", "--json"]) == 0
    assert all(one["can"] for one in json.loads(capsys.readouterr().out)["answers"].values())
    # half of a projected pair is no place either
    draft, _ = drafted(tmp_path, flat.drop(columns="Northing"))
    assert any("Easting" in one and "its y" in one for one in draft.unsure) and "x" not in draft.card.columns
    # and a whole pair counts, whatever stands beside it
    draft, can = drafted(tmp_path, table[0].assign(Easting=1.))
    assert {"lon", "lat"} <= {*draft.card.columns} and not any("Easting" in one for one in draft.unsure) and all(yes for yes, _ in can.values())

# --- what a card can serve ---

UNITS = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "month": "%Y-%m"}

@pytest.mark.parametrize("unit, able", [("hour", {"next", "hour", "week", "year"}), ("day", {"next", "week", "year"}), ("month", {"year"})])
@pytest.mark.parametrize("lacks", [(), ("Premises",), ("Longitude", "Latitude")])
def test_what_is_said_of_a_file_is_what_a_forecast_does(table, tmp_path, unit, able, lacks):
    some = table[0].assign(Date=pd.to_datetime(table[0].Date).dt.strftime(UNITS[unit])).drop(columns=[*lacks])
    draft, can = drafted(tmp_path, some)
    able = able if "Longitude" not in lacks else set()
    assert {name for name, (yes, _) in can.items() if yes} == able
    assert f"times are known to the {unit}" in str(draft)
    if "next" in able: assert ("a square of 500 m" in can["next"][1]) and ("3 hours" in can["next"][1]) == (unit == "hour")
    if "year" in able: assert "no risk terrain model" in can["year"][1]
    path, quick = draft.write(), {"next": "smoothed counts", "hour": "shrunken average", "week": "recent mean", "year": "mean counts"}
    for question, (yes, why) in can.items():
        if yes: assert len(forecasting.forecast(question, path, quick[question]).forecast)
        else:
            with pytest.raises(InputError) as refused: forecasting.forecast(question, path, quick[question])
            assert str(refused.value) == why

def test_the_command_says_it_and_so_does_its_json(table, tmp_path, capsys):
    days = table[0].assign(Date=table[0].Date.str[:10])
    days.to_csv(tmp_path/"e.csv", index=False)
    assert cli.main(["card", str(tmp_path/"e.csv")]) == 0
    lines = capsys.readouterr().out.split("what can be forecast:\n")[1].splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["next", "hour", "week", "year"] and "(ST-ResNet) no: 100% of the events are at midnight" in lines[1]
    assert cli.main(["card", str(tmp_path/"e.csv"), "--json", "--force"]) == 0
    said = json.loads(capsys.readouterr().out)["answers"]
    assert [one["can"] for one in said.values()] == [True, False, True, True]

# --- gaps ---

MONDAY = pd.Timestamp("2018-01-01")

def with_gap(weeks, first, last, each=8):
    "So many weeks, of which nothing is known from one to another."
    lost = pd.date_range(MONDAY + pd.Timedelta(weeks=first, days=2), MONDAY + pd.Timedelta(weeks=last, days=1))
    return some_days(weeks*7 + 1, each, lost=lost)

@pytest.mark.parametrize("question, weeks, first, last, way", [
    ("week", 14, 6, 8, "wait"), ("week", 14, 10, 11, "unknown"), ("week", 13, 9, 10, "unknown"), ("week", 20, 10, 11, "unknown"), ("week", 26, 8, 16, "unknown"), ("week", 30, 6, 8, "start"),
    ("week", 26, 24, 25, "unknown"), ("hour", 5, 1, 2, "wait"), ("hour", 6, 1, 2, "start"), ("year", 30, 14, 16, "shorter"), ("year", 18, 14, 16, "wait"), ("year", 60, 20, 24, "start")])
def test_the_mends_of_a_gap_work(tmp_path, question, weeks, first, last, way):
    each = 24 if question == "hour" else 8
    card, settings = written_city(tmp_path, with_gap(weeks, first, last, each)), {"cell_m": 1600} if question == "hour" else {}
    model = {"week": None, "hour": "shrunken average", "year": "mean counts"}[question]
    ask = lambda **how: forecasting.forecast(question, card, model, **settings, **how).forecast.table["expected"]
    with pytest.raises(InputError, match="nothing is known of") as refused: ask()
    said = str(refused.value)
    assert "give their events too" in said and ("wait for" in said) == (way == "wait") and ("begin after them" in said) == (way == "start")
    assert ("take shorter periods" in said) == (way == "shorter")
    if way == "shorter":
        period = re.search(r"or take shorter periods, -p period=(\S+) --gap unknown$", said)[1]
        assert ask(period=period, gap="unknown").notna().all()
    # where to go round the gap is no way, it is said why
    if way in ("shorter", "wait"):
        with pytest.raises(InputError, match=r"--gap unknown alone does not help, for what is known beside them is too short to try models of one \w+ on: ") as vain: ask(gap="unknown")
        assert way == "wait" or str(vain.value).endswith(f"-p period={period}")
        if way == "shorter": return
    if waited := re.search(r"wait for events up to (\S+) and say (?:-p start=(\S+))?", said):
        written_city(tmp_path, with_gap((pd.Timestamp(waited[1]) - MONDAY).days//7 + 1, first, last, each).query(f"time < '{waited[1]} 00:00:01'"))
        assert ask(**({"start": waited[2]} if waited[2] else {"gap": "unknown"})).notna().all()
        return
    assert ("say --gap unknown" in said) and ask(gap="unknown").notna().all()
    if begin := re.search(r"-p start=(\S+)", said): assert ask(start=begin[1]).notna().all()

def test_a_gap_at_the_end_is_what_is_forecast_first_and_that_is_said(tmp_path):
    answer = forecasting.forecast("week", written_city(tmp_path, with_gap(26, 24, 25)), "recent mean", gap="unknown")
    assert answer.forecast.periods == [MONDAY + pd.Timedelta(weeks=24)] and any("--periods 3 reaches beyond" in one for one in answer.notes)

# --- ties ---

def of_values(values, km2=None, about=None):
    names = pd.Index([f"p{i}" for i in range(len(values))], name="place")
    places = pd.DataFrame({"lon": 8.5 + .01*(np.arange(len(values)) % 10), "lat": 47.3 + .01*(np.arange(len(values))//10)}, index=names)
    places["geometry"] = shapely.box(places.lon - .005, places.lat - .005, places.lon + .005, places.lat + .005)
    if km2 is not None: places["km2"] = km2
    line = pd.DataFrame({"period": MONDAY, "place": names, "expected": np.asarray(values, float)})
    return Forecast(line, places, {"model": "by hand", "unit": "week", **(about or {})})

def test_places_that_are_alike_are_marked_together_or_not_at_all():
    # 100 places, five of them may be marked: two stand out, and ten are alike behind them
    values = np.r_[9, 7, np.full(10, 5), np.linspace(1, 2, 88)]
    made = of_values(values)
    first = top(shown(made))
    assert first.marked.nonzero()[0].tolist() == [0, 1] and first.tied == 10 and first.share == pytest.approx(.02)
    assert named_first(made) == f"2 places, the first 2% of the places with {16/values.sum():.0%} of all expected; the next 10 are alike, and none of them is marked"
    # the order of the lines changes nothing
    turned = np.random.default_rng(0).permutation(100)
    assert sorted(turned[top(shown(of_values(values[turned]))).marked.nonzero()[0]]) == [0, 1]
    # three alike that all fit are marked, and nothing is said of a tie
    fits = top(shown(of_values(np.r_[9, 7, 5, 5, 5, np.linspace(1, 2, 95)])))
    assert fits.marked.sum() == 5 and not fits.tied and fits.share == pytest.approx(.05)
    # the largest alone are too many
    assert named_first(of_values(np.r_[np.full(30, 4), np.full(70, 1)])) == "no place stands out: the first 30 are alike"
    # numbers that differ in the last digit of a float are alike, and so are squares that differ in the thousandth of their size
    noisy = 4 + 1e-12*np.arange(100)
    assert not top(shown(of_values(noisy))).marked.any() and "all are alike" in named_first(of_values(noisy))
    sizes = 1 + 1e-4*np.arange(100)
    assert not top(shown(of_values(np.full(100, 4.))), km2=sizes).marked.any()
    # one place of few is named, though it is more than the share
    assert top(shown(of_values([3, 2, 1]))).marked.tolist() == [True, False, False]
    assert top(shown(of_values([3., 3.]))).tied == 2
    with pytest.raises(InputError, match="share is '0.1': give a number"): top(shown(made), "0.1")

def test_the_rank_of_alike_places_is_that_of_all_of_them():
    found = shown(of_values([5, 7, 5, 1]))
    assert found["rank"].tolist() == [2, 1, 2, 4] and found["alike"].tolist() == [2, 1, 2, 1]

@pytest.mark.parametrize("values, said", [(np.r_[9, 7, np.full(10, 5), np.linspace(1, 2, 88)], "the next 10 are alike"), (np.full(100, 2.), "no place stands out: all are alike"),
                                          (np.r_[np.full(30, 4), np.full(70, 1)], "no place stands out: the first 30 are alike")])
def test_picture_and_page_say_the_tie(tmp_path, values, said):
    import matplotlib.pyplot as plt
    made = of_values(values, km2=np.full(100, 1.))
    figure = draw(made)
    [legend] = figure.legends
    assert any(said in one.get_text().replace("\n", " ") for one in legend.get_texts())
    plt.close(figure)
    page = made.map(tmp_path/"m.html").read_text()
    assert said in page and ("3 to 12, alike, of 100" in page) == ("next 10" in said)

def test_the_page_says_what_stands_out_in_the_period_that_is_chosen(tmp_path):
    made = of_values(np.r_[9, np.full(99, 1.)])
    later = made.table.assign(period=MONDAY + pd.Timedelta(weeks=1), expected=1.)
    both = Forecast(pd.concat([made.table, later], ignore_index=True), made.places, made.about)
    page = both.map(tmp_path/"m.html").read_text()
    assert "first 1% of the places with 8% of all expected" in page and "no place stands out: all are alike" in page

# --- water ---

def lake(days=30, each=96):
    "Hourly events on the western half of a square; the eastern one is a lake, and one event lies in it."
    rng = np.random.default_rng(0)
    n = days*each
    time = MONDAY + pd.to_timedelta(np.sort(rng.integers(0, days*24*3600, n)), "s")
    lon, lat = 8.5 + .05*rng.random(n), 47.3 + .1*rng.random(n)
    lon[-1], lat[-1] = 8.5999, 47.3001
    none = pd.Categorical([None]*n, categories=pd.Index([], dtype=str))
    events = pd.DataFrame({"time": time.as_unit("s"), "category": pd.Categorical(["theft"]*n), "premises": none, "area": none, "lon": lon, "lat": lat, "x": np.nan, "y": np.nan})
    return events, pd.DataFrame({"geometry": [shapely.box(8.5, 47.3, 8.55, 47.4)]}, index=["land"])

def test_cells_over_a_lake_are_neither_shown_nor_counted_as_area():
    events, land = lake()
    maps = HourlyMaps.from_events(events, Grid(8.5, 47.3, 8.6, 47.4, 10, 10))
    dry = within_areas(maps, land)
    # fifty cells of land, and one in the water where something has happened
    assert maps.city is None and dry.city.sum() == 51 and dry.city[99] and dry.until(400).city.sum() == 51
    model = models.catalogue(maps)["shrunken average"]()
    scores = {name: model.tested(view, 5, 3).set_index("metric")["value"] for name, view in (("all", maps), ("dry", dry))}
    assert scores["all"]["PAI@10%"] > 1.2*scores["dry"]["PAI@10%"] and scores["all"]["Poisson deviance"] == scores["dry"]["Poisson deviance"]
    made = model.fit(dry).forecast(dry, 2)
    assert len(made.places) == 51 and len(made.table) == 2*51 and len(made.before) == 51
    assert set(made.table["place"]) == set(made.places.index) == set(made.before["place"])
    assert len(model.fit(maps).forecast(maps).table) == 100

@pytest.mark.parametrize("weeks, helps", [(24, False), (45, True)])
def test_the_mends_of_a_gap_before_a_saved_model_work(tmp_path, weeks, helps):
    "To begin behind the gap is no mend where the model looks further back than that."
    forecasting.forecast("week", written_city(tmp_path, some_days(20*7 + 1, 8)), "Poisson GLM").model.save(tmp_path/"m.crimenb")
    written_city(tmp_path, with_gap(weeks, 20, 21))
    ask = lambda **how: forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"], **how).forecast.table["expected"]
    with pytest.raises(InputError, match="nothing is known of.*give their events too.*say --gap unknown") as refused: ask()
    begin = re.search(r"begin after them with -p start=(\S+)", str(refused.value))
    assert (begin is not None) == helps
    if helps: assert ask(start=begin[1]).notna().all()
    else:
        with pytest.raises(InputError, match="looks further back than"): ask(start=f"{MONDAY + pd.Timedelta(weeks=22):%Y-%m-%d}")

def test_a_card_with_areas_leaves_the_lake_off_and_one_without_says_how_many_cells_were_never_seen(tmp_path):
    events, land = lake()
    features = [{"type": "Feature", "properties": {"name": "land"}, "geometry": json.loads(shapely.to_geojson(land.geometry["land"]))}]
    (tmp_path/"land.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    grid = {"grid_box": [8.5, 47.3, 8.6, 47.4], "cell_m": 1100}
    bare = forecasting.forecast("hour", written_city(tmp_path, events, **grid), "shrunken average")
    [said] = [one for one in bare.notes if "nothing has ever happened" in one]
    whole = len(bare.forecast.places)
    assert re.search(rf"in (\d+) of {whole} cells", said) and "areas" in said
    card = written_city(tmp_path, events, areas={"file": "land.geojson", "key": "name"}, **grid)
    answer = forecasting.forecast("hour", card, "shrunken average")
    dry = len(answer.forecast.places)
    assert .5 < dry/whole < .7 and any(f"{whole - dry} of {whole} cells of the grid lie outside the areas" in one for one in answer.notes)
    # a saved model keeps to the city
    answer.model.save(tmp_path/"m.crimenb")
    again = forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"])
    assert again.forecast.table["expected"].tolist() == pytest.approx(answer.forecast.table["expected"].tolist()) and len(again.forecast.places) == dry

# --- text for numbers ---

def test_text_for_a_number_is_one_sentence():
    from crimenb import city, geo, models, panels, sequences, views
    from crimenb.core import shown as digits, within
    from crimenb.grids import squares
    events, _ = city.simulate(2000, 120, 0)
    weeks = panels.Panel.from_events(events, places=2000.)
    model = models.catalogue(weeks)["recent mean"]().fit(weeks)
    calls = [lambda: within("3", "x", 1), lambda: within(None, "x", 1, 2), lambda: within([1], "x", 1), lambda: Grid("0", 0, 1, 1), lambda: Grid(0, 0, 1, 1, rows="16"),
             lambda: squares(events, "500"), lambda: geo.square_cells(events, "500"), lambda: geo.Cells(0, 0, "1", 1, 2, 2), lambda: geo.Cells(0, 0, 1, 1, "2", 2), lambda: geo.cells_in((0, 0, 9, 9), "5"),
             lambda: geo.degree_cells((0, 0, 1, 1), "3"), lambda: geo.degree_cells(("a", 0, 1, 1)), lambda: weeks.ahead("3"), lambda: weeks.until("3"), lambda: weeks.since("3"), lambda: weeks.split("2", 2),
             lambda: weeks.observed("3"), lambda: views.periods_of(["1"], 9), lambda: model.forecast(weeks, "3"), lambda: model.forecast(weeks, 1, "0.9"), lambda: model.interval(np.ones(2), "0.9"),
             lambda: model.predict(weeks, "3"), lambda: models.backtest([], weeks, test="3"), lambda: models.backtest([], weeks, 3, 2, periods="2"), lambda: models.backtest([], weeks, 3, 2, refit="2"),
             lambda: models.choose(model, weeks, {}, slice(0, 10), slice(10, 12), refit="1"), lambda: models.refits("1", 5, 1), lambda: sequences.from_events(events, slot_hours="3"),
             lambda: sequences.from_events(events, min_events="5"), lambda: sequences.from_events(events, kind="cell", cell="500"), lambda: panels.cell_areas(events, "4"), lambda: panels.cell_areas(events, 4, 4, "9"),
             lambda: digits("x", 2), lambda: digits(1., "2"), lambda: forecasting.forecast("week", "x.yaml", periods="2"), lambda: forecasting.forecast("week", "x.yaml", level=".9")]
    for number, call in enumerate(calls):
        with pytest.raises(InputError) as refused: call()
        assert "\n" not in str(refused.value) and "not supported" not in str(refused.value), number

@pytest.mark.parametrize("view", ["HourlyMaps", "Panel", "Terrain", "Sequences"])
def test_text_for_a_number_among_the_settings_of_a_model_is_one_sentence(view):
    for name, kind in models.catalogue(view).items():
        for setting, value in kind().get_params(deep=False).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)): continue
            with pytest.raises(InputError, match=f"^{setting} is 'many': give a (whole )?number$"): kind(**{setting: "many"}).checked()

# --- a quick trial ---

def test_a_quick_trial_reads_the_last_of_a_large_card_and_says_so(tmp_path, capsys, monkeypatch):
    from crimenb.lab import next_events, studies, weekly
    from crimenb.papers import stresnet
    own_city.with_card(tmp_path, days=130, n=4_000)
    path, whole = str(tmp_path/"mine.yaml"), cards.load(tmp_path/"mine.yaml")
    monkeypatch.setitem(studies.TRIED_ON, "crimealarm", {"events": 1_000})
    monkeypatch.setitem(studies.TRIED_ON, "parallel", {"days": 80})
    reads = {"stresnet": lambda run: stresnet.study_maps(path, 6, 6, last=run.last)[0], "crimealarm": lambda run: next_events.load(run)[1],
             "parallel": lambda run: weekly.weekly(path, last=run.last).events}
    def begun(study, profile="smoke", dataset=path):
        run = studies.begin(study, dict(dataset=dataset, profile=profile, seed=0, out=str(tmp_path)))
        return run, capsys.readouterr().out
    for study, kept in (("stresnet", 60), ("crimealarm", 1_000), ("parallel", 80)):
        run, said = begun(study)
        found, book = reads[study](run), cards.load(path, **run.last)
        assert f"the last {kept:,} " in said and book.rows_in == whole.rows_in
        [n] = [n for why, n in book.dropped.items() if "all that is read here" in why]
        assert n == len(whole.events) - len(found) > 0
        pd.testing.assert_frame_equal(found[["time", "lon"]].reset_index(drop=True), whole.events[["time", "lon"]].tail(len(found)).reset_index(drop=True))
        assert len(found) == 1_000 if study == "crimealarm" else (found.time.max().normalize() - found.time.min().normalize()).days == kept - 1
        # whoever reads the card after it in the same process reads all of it, and so does another profile
        assert len(cards.load(path).events) == len(forecasting.events_of(path)[1].events) == len(whole.events)
        run, said = begun(study, "cpu")
        assert "are read" not in said and len(reads[study](run)) == len(whole.events)
    # what is no card is read as ever
    assert begun("stresnet", dataset="city")[0].last == {}

def test_a_large_city_on_small_squares_gets_wider_ones_in_a_study_too(tmp_path):
    from crimenb.papers.stresnet import study_maps
    events, land = lake()
    features = [{"type": "Feature", "properties": {"name": "land"}, "geometry": json.loads(shapely.to_geojson(land.geometry["land"]))}]
    (tmp_path/"land.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    card = written_city(tmp_path, events, areas={"file": "land.geojson", "key": "name"}, cell_m=200)
    _, maps, _ = study_maps(str(card), 4, 4)
    assert maps.grid.n_cells <= 64 and any("of the card's 200 m there would be more than 64" in note for note in maps.notes)
    # the lake is no area
    assert .4 < maps.city.mean() < .8

def test_the_sentence_follows_the_period_that_is_chosen_in_a_browser(tmp_path):
    import subprocess
    from browser import program
    made = of_values(np.r_[9, np.full(99, 1.)])
    later = made.table.assign(period=MONDAY + pd.Timedelta(weeks=1), expected=1.)
    both = Forecast(pd.concat([made.table, later], ignore_index=True), made.places, made.about)
    page = both.map(tmp_path/"m.html").read_text()
    script = """<script>setTimeout(() => { const all = [...Bokeh.documents[0]._all_models.values()], when = all.find(m => m.type == 'Select' && m.title == 'when');
      const div = all.find(m => m.type == 'Div' && m.text.includes('<h2')), source = all.find(m => m.type == 'ColumnDataSource'), seen = [div.text, source.data.rank[5]];
      when.value = when.options[1]; setTimeout(() => { seen.push(div.text, source.data.rank[5]);
      const box = document.createElement('pre'); box.id = 'seen'; box.textContent = JSON.stringify(seen.map(t => t.replace(/<[^>]*>/g, ''))); document.body.append(box); }, 1000) }, 2000)</script>"""
    (tmp_path/"v.html").write_text(page + script)
    done = subprocess.run([program(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={tmp_path}/browser", "--virtual-time-budget=10000",
                           "--dump-dom", (tmp_path/"v.html").as_uri()], capture_output=True, text=True, timeout=200)
    first, rank, second, other = json.loads(re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)[1])
    assert "week from 2018-01-01" in first and "first 1% of the places with 8% of all expected" in first and rank == "2 to 100, alike, of 100"
    assert "week from 2018-01-08" in second and "no place stands out: all are alike" in second and other == "1 to 100, alike, of 100"

def test_a_gap_that_a_saved_model_looks_back_on_is_said_with_what_helps(tmp_path):
    card = written_city(tmp_path, some_days(20*7 + 1, 24))
    for question, model, how in (("hour", "shrunken average", {"cell_m": 1600}), ("year", "mean counts", {"period": "M"}), ("week", "recent mean", {})):
        forecasting.forecast(question, card, model, **how).model.save(tmp_path/f"{question}.crimenb")
    written_city(tmp_path, with_gap(32, 20, 21, 24))
    ask = lambda question, **how: forecasting.go_on(tmp_path/f"{question}.crimenb", [tmp_path/"e.csv"], **how)
    # hours look back on all of them
    for gap in ("refuse", "unknown"):
        with pytest.raises(InputError) as refused: ask("hour", gap=gap)
        said = str(refused.value)
        assert ("--gap unknown alone does not help, for the saved model looks back on them: " in said) == (gap == "unknown") and "say --gap unknown" not in said
        assert ask("hour", start=re.search(r"-p start=(\S+)", said)[1]).forecast.table["expected"].notna().all()
    # others pass over it, and how many periods are passed over is told with the forecast
    for question, n in (("year", 1), ("week", 2)):
        with pytest.raises(InputError, match="say --gap unknown"): ask(question)
        found = ask(question, gap="unknown").forecast
        assert found.about["unknown periods passed over"] == n and found.table["expected"].notna().all()
    assert "unknown periods passed over" not in forecasting.forecast("week", written_city(tmp_path, some_days(20*7 + 1, 24)), "recent mean").forecast.about

def test_the_earlier_events_of_the_card_are_named_to_a_saved_model_of_later_ones(tmp_path):
    every, folder = some_days(40*7), tmp_path/"my city"
    folder.mkdir()
    card = written_city(folder, every[every.time < "2018-07-01"])
    later = every[(every.time >= "2018-07-01") & (every.time < "2018-07-24")]
    later.to_csv(folder/"july.csv", index=False)
    command = f"--events '{folder}/e.csv' '{folder}/july.csv'"
    for model, said in (("memories", "looks further back than the 3 weeks that these events cover"), ("mean", "so it looks back on 3 weeks only")):
        forecasting.forecast("week", card, model).model.save(tmp_path/"w.crimenb")
        try: told = forecasting.go_on(tmp_path/"w.crimenb", [folder/"july.csv"], dataset=card).notes
        except InputError as refused: told = [str(refused)]
        [one] = [one for one in told if said in one]
        assert one.endswith(f": give the earlier ones too, which the card names and --events takes the place of: {command}")
        both = forecasting.go_on(tmp_path/"w.crimenb", [folder/"e.csv", folder/"july.csv"], dataset=card)
        assert not any("give the earlier" in note for note in both.notes) and both.forecast.table["period"].min() == pd.Timestamp("2018-07-23")
        # without a card nobody knows which they are
        try: told = forecasting.go_on(tmp_path/"w.crimenb", [folder/"july.csv"]).notes
        except InputError as refused: told = [str(refused)]
        assert any(one.endswith("give the earlier ones too, as in --events incidents.csv july.csv") for one in told)

@pytest.mark.parametrize("question, days, each, how, said", [
    ("hour", 30, 24, {"cell_m": 1600}, "this rests on 720 events in 30 whole days, which"), ("hour", 60, 24, {"cell_m": 1600}, None), ("hour", 60, 8, {"cell_m": 1600}, "this rests on 480 events in 59 whole days, which"),
    ("week", 15*7, 24, {}, "this rests on 2,520 events in 15 whole weeks, which"), ("week", 25*7, 24, {}, None), ("week", 25*7, 2, {}, "this rests on 350 events in 25 whole weeks, which"),
    ("year", 180, 24, {"period": "M"}, "this rests on 3,624 events in 5 whole months, which"), ("year", 365, 24, {"period": "M"}, None)])
def test_a_forecast_of_a_short_time_or_of_few_events_says_so(tmp_path, question, days, each, how, said):
    "From the first of January 2018 on: 25 weeks and 2 events a day, or 15 weeks of 24."
    model = {"hour": "shrunken average", "week": "recent mean", "year": "mean counts"}[question]
    answer = forecasting.forecast(question, written_city(tmp_path, some_days(days, each)), model, **how)
    told = [one for one in answer.notes if one.startswith("this rests on")]
    assert len(told) == (said is not None) and (not said or told[0].startswith(said) and told[0].endswith("is too little to build on: give events of a longer time"))
    can = forecasting.answers(*forecasting.events_of(tmp_path/"e.yaml"))
    assert (said is not None) == ("this rests on" in can[question][1]) or how
    # a saved model was fitted on others
    answer.model.save(tmp_path/"m.crimenb")
    assert not any(one.startswith("this rests on") for one in forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"]).notes)

def test_settings_and_gaps_that_are_none_are_refused_before_the_events_are_read(tmp_path, monkeypatch):
    card = written_city(tmp_path, some_days(20*7 + 1, 24))
    forecasting.forecast("week", card, "recent mean").model.save(tmp_path/"m.crimenb")
    def unread(*given): raise AssertionError("the events were read")
    for name in ("events_of", "read_events"): monkeypatch.setattr(forecasting, name, unread)
    for ask in (lambda **how: forecasting.forecast("week", card, **how), lambda **how: forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"], **how)):
        with pytest.raises(InputError, match="unknown gap 'zero'"): ask(gap="zero")
        with pytest.raises(InputError, match="'frequency'"): ask(frequency="D")

def test_a_saved_year_model_needs_the_card_where_that_has_factors_only(tmp_path, capsys):
    card = written_city(tmp_path, some_days(365, 24))
    forecasting.forecast("year", card, "mean counts", period="M").model.save(tmp_path/"m.crimenb")
    assert forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"]).forecast.table["expected"].sum() > 0
    (tmp_path/"bars.csv").write_text("lon,lat\n13.4,52.5\n13.41,52.51\n")
    card = written_city(tmp_path, some_days(365, 24), factors=[{"name": "bars", "file": "bars.csv"}])
    forecasting.forecast("year", card, "mean counts", period="M").model.save(tmp_path/"m.crimenb")
    with pytest.raises(InputError, match="the factors of .* are its city's: name the card with --dataset"): forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"])
    assert len(forecasting.go_on(tmp_path/"m.crimenb", [tmp_path/"e.csv"], dataset=card).forecast)
    with pytest.raises(SystemExit): cli.main(["forecast", "--help"])
    help = " ".join(capsys.readouterr().out.split())
    assert "only where areas come from polygons, or where its city's card has factors of risk" in help and "needs it always" not in help

def test_few_spots_are_not_made_more_by_a_longer_time(tmp_path):
    "Two spots with all events: smaller areas help; of few events kept, a longer time does."
    answer = forecasting.forecast("next", written_city(tmp_path, some_days(90, 24)), "smoothed counts")
    assert any(note.endswith("of 2 spots, which is too little to build on: smaller areas have more of them, and so have kinds of places (premises)") for note in answer.notes)
