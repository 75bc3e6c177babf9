"""From a foreign file to a card, from the card to events in areas: the whole door, with two cities that nobody has described."""
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import geopandas
import numpy as np
import pandas as pd
import pytest
from foreign import shelbyville
from foreign import springfield

from crimenb import cards
from crimenb import cities
from crimenb import columns
from crimenb import geo
from crimenb import sources
from crimenb.core import InputError
from crimenb.events import needs_hours
from crimenb.lab import cli


def guessed(path, **named): return columns.guess(columns.first_rows(path), named).columns


def same_events(found, true):
    "The events are the true ones, in order of time."
    events = found.events.sort_values(["time", "lon"], ignore_index=True)
    true = true.assign(lon=true.lon.round(6)).sort_values(["time", "lon"], ignore_index=True)
    return len(events) == len(true) and (events.time == true.time).all() and np.allclose(events.lon, true.lon, atol=2e-6) and (events.category.astype(str) == true.category.astype(str)).all()


def test_a_city_like_chicago_with_other_names(tmp_path):
    true = springfield(tmp_path)
    made = cards.draft(tmp_path / "incidents.csv", tmp_path / "precincts.geojson", tz="America/Chicago")
    assert made.card.columns == {"time": "Occurred On", "category": "Offense Type", "premises": "Type of Place", "area": "Police Precinct", "lon": "Geo Lon", "lat": "Geo Lat", "record_id": "Report No"}
    assert made.card.zone == "America/Chicago" and made.card.order == "mdy" and made.card.areas == cities.Areas("precincts.geojson", "precinct_no")
    path = made.write()
    assert path == tmp_path / "incidents.yaml" and cities.get(path) == cities.replace(made.card, path=path)
    found = sources.load(str(path))
    assert found.rows_in == len(true) and found.dropped == {} and same_events(found, true.assign(time=true.time.dt.floor("s")))
    unknown = int(true.premises.isna().sum())
    assert found.mended.get("premises unknown", 0) == unknown and found.events.record_id.is_unique
    text = str(made)
    for part in (f"{len(true):,} events of {len(true):,} rows", "known to the hour", "columns of", "zone: America/Chicago", "cell_m: 500"): assert part in text
    with pytest.raises(InputError, match="there already"): made.write()


def test_a_city_without_premises_and_with_months_for_a_part(tmp_path):
    true, rough = shelbyville(tmp_path)
    strange = (tmp_path / "vorfaelle.csv").read_text(encoding="utf-8").replace("Datum", "Wann genau", 1).replace("Delikt", "Worum es ging", 1)
    for name in true.category.cat.categories: strange = strange.replace(f";{name};", f";K{len(name)};")
    (tmp_path / "fremd.csv").write_text(strange, encoding="utf-8")
    with pytest.raises(InputError, match="known to be the category: name it with category="): cards.draft(tmp_path / "fremd.csv")
    made = cards.draft(tmp_path / "vorfaelle.csv", tmp_path / "bezirke.geojson", tz="Europe/Berlin", time="Datum", category="Delikt", lon="Laenge", lat="Breite")
    assert made.card.order == "dmy" and made.account.notes["month known, not the day"] == rough.sum()
    assert any("premises" in one for one in made.unsure) and any("times: known to the month" in one for one in made.unsure)
    found = sources.load(made.write(tmp_path / "shelbyville.yaml"))
    assert len(found.events) == len(true) and found.events.premises.isna().all()
    fine = true.time[~rough].dt.floor("min").sort_values()
    first = found.events.time == found.events.time.dt.to_period("M").dt.start_time
    assert (found.events.time[~first].reset_index(drop=True) == fine[fine != fine.dt.to_period("M").dt.start_time].reset_index(drop=True)).all()
    with pytest.raises(InputError, match="needs hours"): needs_hours(found.events)
    with pytest.raises(InputError, match="no column of premises, which sequences needs: add `premises"): cities.require(cities.get(tmp_path / "shelbyville.yaml"), "premises", for_="sequences")
    # each event in the rectangle that holds it
    areas = sources.polygons(tmp_path / "shelbyville.yaml")
    assert set(found.events.area.dropna()) <= set(map(str, areas.index)) == {str(n) for n in range(1, 10)} and found.events.area.notna().mean() > .99
    some = found.events.iloc[::97]
    for event in some.itertuples():
        west, south, east, north = areas.geometry[event.area].bounds
        assert west <= event.lon <= east and south <= event.lat <= north


def test_paths_on_a_card_are_relative_to_it(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    n = len(springfield(tmp_path / "deep", 200))
    cards.draft(tmp_path / "deep" / "incidents.csv", tmp_path / "deep" / "precincts.geojson", tz="America/Chicago").write()
    monkeypatch.chdir(tmp_path)
    assert sources.load("deep/incidents.yaml").rows_in == n
    text = (tmp_path / "deep" / "incidents.yaml").read_text()
    (tmp_path / "deep" / "two.yaml").write_text(text.replace("events: incidents.csv", "events: incid*.csv"))
    assert sources.load(tmp_path / "deep" / "two.yaml").rows_in == n
    (tmp_path / "deep" / "none.yaml").write_text(text.replace("events: incidents.csv", "name2: x").replace("name2: x\n", ""))
    with pytest.raises(InputError, match="no files of events"): sources.load(tmp_path / "deep" / "none.yaml")
    with pytest.raises(InputError, match="read as a whole"): sources.load("deep/incidents.yaml", since="2018-01-01")
    with pytest.raises(InputError, match="no file"): sources.load("nowhere.yaml")


def test_areas_that_do_not_meet_the_events_are_an_error(tmp_path):
    springfield(tmp_path, 300)
    far = json.loads((tmp_path / "precincts.geojson").read_text())
    for feature in far["features"]: feature["properties"] = {"name": "P" + feature["properties"]["precinct_no"]}
    (tmp_path / "other.geojson").write_text(json.dumps(far))
    # the events have precincts of their own, of which no polygon is called so: who names their column is told
    with pytest.raises(InputError, match=r"(\d+) of \1 events name areas .* such as '1' .*'P01'.*name another property"):
        cards.draft(tmp_path / "incidents.csv", tmp_path / "other.geojson", tz="America/Chicago", area="Police Precinct")
    # without labels, places decide; polygons of another city hold none
    frame = pd.read_csv(tmp_path / "incidents.csv").drop(columns="Police Precinct")
    frame.to_csv(tmp_path / "bare.csv", index=False)
    for feature in far["features"]: feature["geometry"]["coordinates"] = [[[x + 50, y] for x, y in feature["geometry"]["coordinates"][0]]]
    (tmp_path / "far.geojson").write_text(json.dumps(far))
    with pytest.raises(InputError): cards.draft(tmp_path / "bare.csv", tmp_path / "far.geojson", tz="America/Chicago")


@pytest.mark.parametrize("share", [.2, .6])
def test_events_that_name_unknown_areas_are_a_doubt_and_most_are_an_error(tmp_path, share):
    springfield(tmp_path, 300)
    frame, shapes = pd.read_csv(tmp_path / "incidents.csv", dtype=str), tmp_path / "precincts.geojson"
    there = len(frame)
    frame.loc[np.arange(there) % 10 < 10*share, "Police Precinct"] = "Q9"
    frame.to_csv(tmp_path / "incidents.csv", index=False)
    draft = lambda: cards.draft(tmp_path / "incidents.csv", shapes, tz="America/Chicago", area="Police Precinct")
    kept = cards.read(tmp_path / "incidents.csv", tz="America/Chicago", area="Police Precinct").events.area.dropna()
    n = int((kept == "Q9").sum())
    if share > .5:
        with pytest.raises(InputError, match=f"{n:,} of {len(kept):,} events name areas that the polygons have not, such as 'Q9'"): draft()
        return
    assert f"areas: {n:,} events name one that has no polygon" in draft().unsure
    # the names are right, and the polygons are another city's
    far = json.loads(shapes.read_text())
    for feature in far["features"]: feature["geometry"]["coordinates"] = [[[x + 50, y] for x, y in feature["geometry"]["coordinates"][0]]]
    shapes.write_text(json.dumps(far))
    with pytest.raises(InputError, match="events lie away from the areas whose names they have"): draft()


@pytest.mark.parametrize("label", ["P{}", "{}"])
def test_a_guessed_column_of_areas_gives_way_to_the_polygons_that_the_events_lie_in(tmp_path, label):
    springfield(tmp_path, 300)
    shapes = json.loads((tmp_path / "precincts.geojson").read_text())
    # other names, or the same names in another order: 09 for 01
    for feature in shapes["features"]: feature["properties"] = {"name": label.format(10 - int(feature["properties"]["precinct_no"]))}
    (tmp_path / "other.geojson").write_text(json.dumps(shapes))
    made = cards.draft(tmp_path / "incidents.csv", tmp_path / "other.geojson", tz="America/Chicago")
    assert "area" not in made.card.columns and any("Police Precinct" in doubt for doubt in made.unsure)
    found = sources.load(made.write()).events
    said = pd.read_csv(tmp_path / "incidents.csv").assign(record_id=lambda t: t["Report No"]).set_index("record_id")["Police Precinct"]
    assert (found.area.astype(str) == [label.format(10 - int(said[one])) for one in found.record_id.astype(str)]).all()


def test_the_nearest_zone():
    for place, zone, country in (((-87.65, 41.85), "America/Chicago", "US"), ((-77.0, 38.9), "America/New_York", "US"), ((-0.1, 51.5), "Europe/London", "GB"), ((151.2, -33.9), "Australia/Sydney", "AU"), ((139.7, 35.7), "Asia/Tokyo", "JP")):
        near = cards.near_zones(*place)
        assert tuple(near.loc[0, ["zone", "country"]]) == (zone, country) and near.km.is_monotonic_increasing and near.km[0] < 400


#: a place, and the zone and country that it really lies in
PLACES = {"Cape Town": (18.42, -33.92, "Africa/Johannesburg", "ZA"), "Windsor, Ontario": (-83.02, 42.30, "America/Toronto", "CA"), "El Paso": (-106.49, 31.76, "America/Denver", "US"),
          "Pensacola": (-87.21, 30.42, "America/Chicago", "US"), "Strasbourg": (7.75, 48.57, "Europe/Paris", "FR"), "Broken Hill": (141.47, -31.95, "Australia/Broken_Hill", "AU"),
          "Kaliningrad": (20.45, 54.71, "Europe/Kaliningrad", "RU"), "Denver": (-104.99, 39.74, "America/Denver", "US"), "Perth": (115.86, -31.95, "Australia/Perth", "AU")}

def at(tmp_path, lon, lat):
    many = pd.date_range("2023-01-01 00:30", periods=800, freq="11h")
    pd.DataFrame({"date": many.strftime("%Y-%m-%d %H:%M"), "offence": "theft", "longitude": lon + np.linspace(-.01, .01, 800), "latitude": lat}).to_csv(tmp_path / "e.csv", index=False)
    return cards.draft(tmp_path / "e.csv", time="date", category="offence")

@pytest.mark.parametrize("place", PLACES)
def test_the_zone_is_that_of_the_places_where_borders_are_known(tmp_path, monkeypatch, place):
    lon, lat, zone, country = PLACES[place]
    # what tzfpy 2.1.1 gives for these places
    monkeypatch.setitem(sys.modules, "tzfpy", SimpleNamespace(get_tzs=lambda x, y: [zone] if abs(x - lon) < .1 and y == lat else []))
    made = at(tmp_path, lon, lat)
    assert (made.card.zone, made.card.holidays) == (zone, country) and not any("zone" in doubt for doubt in made.unsure)
    assert cities.read_card(made.write()).holidays == country

@pytest.mark.parametrize("place", PLACES)
def test_without_the_borders_the_draft_says_that_it_is_not_sure(tmp_path, monkeypatch, place):
    lon, lat, zone, country = PLACES[place]
    monkeypatch.setitem(sys.modules, "tzfpy", None)
    made = at(tmp_path, lon, lat)
    assert made.card.holidays is None and "holidays" in "".join(made.unsure) and "zone: " + made.card.zone + "      # unsure" in made.text
    assert any("crimenb[geo]" in doubt and doubt.count(" km)") == 6 for doubt in made.unsure)
    assert cities.read_card(made.write()).zone == made.card.zone

def test_a_place_with_two_zones_or_at_sea_is_not_sure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tzfpy", SimpleNamespace(get_tzs=lambda x, y: ["Asia/Shanghai", "Asia/Urumqi"]))
    made = at(tmp_path, 87.6, 43.8)
    assert made.card.zone == "Asia/Shanghai" and made.card.holidays == "CN" and "Asia/Urumqi" in made.unsure[0] and "# unsure" in made.text
    monkeypatch.setitem(sys.modules, "tzfpy", SimpleNamespace(get_tzs=lambda x, y: ["Etc/GMT+3"]))
    made = at(tmp_path, -40., 30.)
    assert made.card.holidays is None and "--zone" in made.unsure[0] and "crimenb[geo]" not in made.unsure[0]


def test_times_that_are_not_known_exactly_enough_are_left_out_and_counted(tmp_path):
    times = ["2023-01-05 14:20", "2023-02", "2023-02-03", "2023-03-09 23:10", "2023-04-01 00:00"]
    pd.DataFrame({"date": times, "offence": "theft", "longitude": 13., "latitude": 52.}).to_csv(tmp_path / "e.csv", index=False)
    found = cards.draft(tmp_path / "e.csv", time="date", category="offence", tz="Europe/Berlin").account
    by = {unit: cards.known_to(found, unit) for unit in ("day", "hour")}
    # the first of April at midnight can't be told from April
    assert by["day"].events.time.dt.day.tolist() == [5, 3, 9] and by["hour"].events.time.dt.hour.tolist() == [14, 23]
    assert by["day"].dropped == {"time not known to the day": 2} and by["hour"].rows_in == 5
    alike = found.events[found.events.known_to.notna()].reset_index(drop=True)
    assert cards.known_to(replace(found, events=alike, rows_in=3), "hour").events.equals(alike)
    with pytest.raises(InputError, match="unit"): cards.known_to(found, "week")


def test_columns_in_feet(tmp_path):
    import pyproj
    true = springfield(tmp_path, 300)
    x, y = pyproj.Transformer.from_crs(4326, 26914, always_xy=True).transform(true.lon, true.lat)
    pd.read_csv(tmp_path / "incidents.csv").drop(columns=["Geo Lat", "Geo Lon"]).assign(Easting=x, Northing=y).to_csv(tmp_path / "metres.csv", index=False)
    with pytest.raises(InputError, match="with crs"): cards.draft(tmp_path / "metres.csv", tz="America/Chicago")
    made = cards.draft(tmp_path / "metres.csv", tz="America/Chicago", crs=26914)
    assert made.card.crs == 26914 and np.allclose(sources.load(made.write()).events.lon.mean(), true.lon.mean(), atol=1e-6)


@pytest.mark.parametrize("name, clock, written, at", [
    ("TIME OCC", lambda i: f"{8 + i % 12}{i % 60:02}", "hhmm", "08:00"), ("TIME OCC", lambda i: str(i % 24 + 1), "hhmm", "00:01"), ("Hour", lambda i: str(i % 24), "hours", "00:00"),
    ("Incident Time", lambda i: str((i*37 + 600) % 1440), "minutes", "10:00"), ("TIME OCC", lambda i: f"{8 + i % 12:02}:{i % 60:02}", None, "08:00"),
    ("Incident Time", lambda i: f"{8 + i % 12:02}{i % 60:02}00", None, "08:00")])
def test_a_draft_says_how_clocks_without_a_colon_are_written(tmp_path, name, clock, written, at):
    lines = [f"2024-{1 + i % 9:02}-{1 + i % 28:02},{clock(i)},THEFT" for i in range(120)]
    (tmp_path / "a.csv").write_text("\n".join([f"Occurred,{name},Kind", *lines]) + "\n")
    made = cards.draft(tmp_path / "a.csv", tz="America/Chicago")
    assert made.card.columns["clock"] == name and made.card.clocks == written
    assert (f"\nclocks: {written}\n" in made.text) == (written is not None) and ("clocks:" in made.text) == (written is not None)
    path = made.write()
    first = sources.load(path).events
    assert cities.get(path).clocks == written and len(first) == 120 and f"{first.time[first.time.dt.date == first.time.dt.date.min()].min():%H:%M}" == at
    # it holds for a file of few rows, which would not show it
    (tmp_path / "a.csv").write_text("\n".join([f"Occurred,{name},Kind", lines[0]]) + "\n")
    assert f"{sources.load(path).events.time[0]:%H:%M}" == at


def test_columns_whose_names_say_nothing_are_taken_for_their_values_where_there_is_one_choice(tmp_path):
    true = springfield(tmp_path)
    table = pd.read_csv(tmp_path / "incidents.csv")
    when = pd.to_datetime(table["Occurred On"], format="%m/%d/%Y %I:%M:%S %p")
    lon, lat = (table[name].map("{:.6f}".format).str.replace(".", ",") for name in ("Geo Lon", "Geo Lat"))
    spanish = pd.DataFrame({"Expediente": table["Report No"], "Fecha del suceso": when.dt.strftime("%d/%m/%Y"), "A qué hora": when.dt.strftime("%H:%M"), "Delito": table["Offense Type"], "hecho_x": lon, "hecho_y": lat})
    spanish.to_csv(tmp_path / "sucesos.csv", sep=";", index=False, encoding="latin-1")
    made = cards.draft(tmp_path / "sucesos.csv", tz="America/Chicago")
    assert made.card.columns == {"time": "Fecha del suceso", "clock": "A qué hora", "category": "Delito", "lon": "hecho_x", "lat": "hecho_y", "record_id": "Expediente"} and made.card.order == "dmy"
    assert same_events(made.account, true.assign(time=true.time.dt.floor("min")))
    assert sum("was taken for its values" in one for one in made.unsure) == 4
    for names in (("GEO_LON", "GEO_LAT"), ("pointX", "pointY")):
        spanish.rename(columns=dict(zip(("hecho_x", "hecho_y"), names))).to_csv(tmp_path / "otro.csv", sep=";", index=False)
        found = guessed(tmp_path / "otro.csv", time="Fecha del suceso")
        assert (found["lon"], found["lat"]) == names
    # what is named stays, and of two dates none is taken
    assert guessed(tmp_path / "sucesos.csv", time="Fecha del suceso", lon="hecho_y", lat="hecho_x") == {"clock": "A qué hora", "category": "Delito", "record_id": "Expediente"}
    spanish.rename(columns={"Fecha del suceso": "Cuando A"}).assign(**{"Cuando B": spanish["Fecha del suceso"]}).to_csv(tmp_path / "dos.csv", sep=";", index=False)
    with pytest.raises(InputError, match="known to be the time: name it with time="): cards.draft(tmp_path / "dos.csv")
    # whole numbers, and numbers too large, are no degrees: they are metres, whose system has to be told
    spanish.assign(hecho_x=np.arange(len(table)) + 400_000, hecho_y=np.arange(len(table)) + 4_000_000).to_csv(tmp_path / "metros.csv", sep=";", index=False)
    assert {ours: theirs for ours, theirs in guessed(tmp_path / "metros.csv").items() if ours in "lon lat x y"} == {"x": "hecho_x", "y": "hecho_y"}
    with pytest.raises(InputError, match="with crs"): cards.draft(tmp_path / "metros.csv", tz="America/Chicago")


@pytest.mark.parametrize("names", [("Länge", "Breite"), ("Laengengrad", "Breitengrad"), ("longitudine", "latitudine"), ("breedtegraad", "lengtegraad")])
def test_places_are_named_in_more_than_one_language(tmp_path, names):
    springfield(tmp_path)
    lon, lat = names if names[0] != "breedtegraad" else names[::-1]
    pd.read_csv(tmp_path / "incidents.csv", dtype=str).rename(columns={"Geo Lon": lon, "Geo Lat": lat}).to_csv(tmp_path / "x.csv", index=False)
    columns = cards.draft(tmp_path / "x.csv", tz="America/Chicago").card.columns
    assert (columns["lon"], columns["lat"]) == (lon, lat)

def test_with_areas_the_only_two_columns_that_lie_in_them_are_the_places(tmp_path):
    springfield(tmp_path)
    table = pd.read_csv(tmp_path / "incidents.csv", dtype=str).rename(columns={"Geo Lon": "p2", "Geo Lat": "p1"})
    table["rate"] = "0.5"
    table.to_csv(tmp_path / "x.csv", index=False)
    assert "lon" not in cards.draft(tmp_path / "x.csv", tz="America/Chicago").card.columns
    made = cards.draft(tmp_path / "x.csv", tmp_path / "precincts.geojson", tz="America/Chicago")
    assert (made.card.columns["lon"], made.card.columns["lat"]) == ("p2", "p1") and made.account.events.lon.notna().any() and any("the lon: p2 was taken for its values" in one for one in made.unsure)
    # with two such pairs none is taken
    table.assign(p3=table.p2).to_csv(tmp_path / "y.csv", index=False)
    assert "lon" not in cards.draft(tmp_path / "y.csv", tmp_path / "precincts.geojson", tz="America/Chicago").card.columns

def test_what_is_wrong_with_the_areas_of_a_card_is_said_with_the_card(tmp_path):
    springfield(tmp_path)
    made = cards.draft(tmp_path / "incidents.csv", tmp_path / "precincts.geojson", tz="America/Chicago").write()
    text = made.read_text()
    for old, new, said in (("precinct_no", "nokey", "no property 'nokey': name one as `key: …` there, out of precinct_no"), ("precincts.geojson", "none.geojson", "there is no file")):
        made.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=f"the areas of the card .*incidents.yaml: .*{said}"): sources.load(made)

def test_areas_whose_file_says_no_system_take_the_one_that_is_told(tmp_path, capsys):
    springfield(tmp_path)
    areas = geopandas.read_file(tmp_path / "precincts.geojson")
    # the names of a shapefile have ten letters at most
    areas.rename(columns={"precinct_no": "precinct"}).to_crs(32614).to_file(tmp_path / "precincts.shp")
    (tmp_path / "precincts.prj").unlink()
    asked = ["card", str(tmp_path / "incidents.csv"), "--areas", str(tmp_path / "precincts.shp"), "--zone", "America/Chicago", "-q"]
    assert cli.main(asked) == 2 and "says no coordinate system: tell it with --areas-crs, an EPSG number" in capsys.readouterr().err
    assert not (tmp_path / "incidents.yaml").exists()
    assert cli.main([*asked, "--areas-crs", "32614"]) == 0
    made = cities.get(tmp_path / "incidents.yaml")
    assert made.areas.crs == 32614 and cities.of_values(cities.to_values(made)).areas.crs == 32614
    told, true = cards.polygons(made), geo.read_polygons(tmp_path / "precincts.geojson")
    assert sorted(told.index) == sorted(true.index) and np.allclose(told.lon, true.lon[told.index], atol=1e-6)
    made.path.write_text(made.path.read_text().replace("crs: 32614, ", ""))
    with pytest.raises(InputError, match="precincts.shp says no coordinate system: tell it as `crs: …` there, an EPSG number$"): cards.polygons(made.path)


LABELS = {"nl": ("Diefstal", "Inbraak woning", "Mishandeling"), "it": ("Furto", "Rapina", "Lesioni"), "de": ("Diebstahl", "Einbruch", "Körperverletzung"),
          "fr": ("Vol simple", "Cambriolage", "Dégradation"), "es": ("Hurto", "Robo con fuerza", "Lesiones"), "pt": ("Furto", "Roubo", "Lesão corporal")}

def foreign(tmp_path, columns, n=1200):
    """A file with these columns, in which {…} stands for when it was, {r…} for the report two days later and {l} for a label of that language; the true times and labels."""
    at = pd.Series(pd.date_range("2023-01-05", periods=n, freq="431min"))
    def column(how):
        if how.startswith("l:"): return np.array(LABELS[how[2:]])[np.arange(n) % 3]
        if how.startswith("r:"): return (at + pd.Timedelta(days=2)).dt.strftime(how[2:])
        if how.startswith("="): return how[1:]
        return at.dt.strftime(how)
    pd.DataFrame({"nr": range(n), **{name: column(how) for name, how in columns.items()}, "lon": 11 + np.arange(n) % 50/1000, "lat": 45 + np.arange(n) % 31/1000}).to_csv(tmp_path / "e.csv", index=False, sep=";")
    return cards.draft(tmp_path / "e.csv", tz="Europe/Rome"), at

#: columns of a file, ours that are taken for them, how clocks are written; times are then right to the minute
FOREIGN = [
    ({"Reato": "l:it", "Data": "%d/%m/%Y", "Ora": "%H.%M"}, ("Data", "Ora", "Reato"), None),
    ({"Tipologia reato": "l:it", "Data denuncia": "r:%d/%m/%Y", "Data fatto": "%d/%m/%Y", "Ora fatto": "%H:%M"}, ("Data fatto", "Ora fatto", "Tipologia reato"), None),
    ({"Misdrijf": "l:nl", "Pleegdatum": "%d-%m-%Y", "Pleegtijd": "%H%M"}, ("Pleegdatum", "Pleegtijd", "Misdrijf"), "hhmm"),
    ({"Soort delict": "l:nl", "Datum aangifte": "r:%d-%m-%Y", "Datum feit": "%d-%m-%Y", "Tijdstip": "%H:%M"}, ("Datum feit", "Tijdstip", "Soort delict"), None),
    ({"Deliktart": "l:de", "Tatzeit von": "%d.%m.%Y %H:%M", "Tatzeit bis": "r:%d.%m.%Y %H:%M"}, ("Tatzeit von", None, "Deliktart"), None),
    ({"Straftat": "l:de", "Tatdatum": "%d.%m.%Y", "Tatzeit": "%H:%M"}, ("Tatdatum", "Tatzeit", "Straftat"), None),
    ({"Infraction constatée": "l:fr", "Date de la plainte": "r:%d/%m/%Y", "Date des faits": "%d/%m/%Y", "Heure des faits": "%H:%M"}, ("Date des faits", "Heure des faits", "Infraction constatée"), None),
    ({"Clase de delito": "l:es", "Fecha de denuncia": "r:%d/%m/%Y", "Fecha del suceso": "%d/%m/%Y", "Hora": "%H.%M"}, ("Fecha del suceso", "Hora", "Clase de delito"), None),
    ({"Crime": "l:pt", "Data de registro": "r:%d/%m/%Y", "Data do fato": "%d/%m/%Y", "Hora do fato": "%H:%M"}, ("Data do fato", "Hora do fato", "Crime"), None),
    ({"Worum": "l:nl", "Wann genau": "%Y-%m-%d %H:%M", "Status": "=open"}, ("Wann genau", None, "Worum"), None),
    ({"date reported": "r:%d/%m/%Y", "Pleegdatum": "%d/%m/%Y %H:%M", "Kind": "l:nl"}, ("Pleegdatum", None, "Kind"), None),
    ({"date": "%Y-%m-%d", "w": "%H%M", "Kind": "l:de"}, ("date", "w", "Kind"), "hhmm"), ({"date": "%Y-%m-%d", "w": "%H.%M", "Kind": "l:de"}, ("date", "w", "Kind"), None)]

@pytest.mark.parametrize("columns, taken, written", FOREIGN)
def test_kinds_dates_and_clocks_are_known_by_words_of_more_languages_and_by_values(tmp_path, columns, taken, written):
    made, at = foreign(tmp_path, columns)
    assert tuple(made.card.columns.get(ours) for ours in ("time", "clock", "category")) == taken and made.card.clocks == written
    found = sources.load(made.write()).events
    assert (found.time == at.dt.floor("min")).all() and made.account.precision["unit"] == "hour"
    language = next(how[2:] for how in columns.values() if how.startswith("l:"))
    assert {*found.category} == {*LABELS[language]}

@pytest.mark.parametrize("columns, says", [
    ({"date": "%Y-%m-%d", "w": "%H00", "Kind": "l:de"}, "the clock: w may be the time of the day: if so, name it with --column clock=…"),
    ({"date reported": "%Y-%m-%d %H:%M", "Kind": "l:de"}, "the time: date reported tells by its name when an event was reported, not when it happened: where another column does"),
    ({"date reported": "r:%Y-%m-%d %H:%M", "dd": "%Y-%m-%d", "Kind": "l:de"}, "the time: date reported tells by its name when an event was reported, not when it happened; dd may tell that: where"),
    ({"date": "r:%Y-%m-%d %H:%M", "Day of crime": "%Y-%m-%d", "Kind": "l:de"}, "the time: date was taken, and Day of crime has dates too: where it tells when an event happened, name it"),
    ({"date": "%Y-%m-%d %H:%M", "district": "=Nord", "Kind": "l:de"}, "areas: the column district has one alone, 'Nord', and was left out: squares tell places apart")])
def test_what_a_draft_passed_over_is_named(tmp_path, columns, says):
    made, _ = foreign(tmp_path, columns)
    assert any(doubt.startswith(says) for doubt in made.unsure) and "area" not in made.card.columns
    # who names a column is not asked again
    named = {ours: made.card.columns[ours] for ours in ("time", "category")}
    again = cards.draft(tmp_path / "e.csv", tz="Europe/Rome", **named).unsure
    assert not any(doubt.startswith("the time:") for doubt in again)
    if "district" in columns:
        kept = cards.draft(tmp_path / "e.csv", tz="Europe/Rome", area="district")
        assert kept.card.columns["area"] == "district" and any("'Nord': a forecast by week has one place then" in doubt for doubt in kept.unsure)
        assert kept.account.events.area.notna().all() and made.account.events.area.isna().all()

@pytest.mark.parametrize("columns", [{"response time": [str(3 + 7*i % 60) for i in range(300)]}, {"beat": [f"{i % 24:02}0{i % 9}" for i in range(300)]}, {"rate": [f"0.{i % 60:02}" for i in range(300)]},
                                     {"price": [f"{i % 20}.{i*7 % 100:02}" for i in range(300)]}, {"number": [str(i) for i in range(300)]}])
def test_numbers_that_are_no_clocks_are_not_taken_for_them(tmp_path, columns):
    pd.DataFrame({"date": pd.date_range("2023-01-05", periods=300).strftime("%Y-%m-%d"), "Kind": "theft", **columns}).to_csv(tmp_path / "e.csv", index=False)
    assert "clock" not in cards.draft(tmp_path / "e.csv", tz="Europe/Rome").card.columns
