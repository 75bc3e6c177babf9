"""One card a city: strict, whole, found by name or path; and what it lacks is one sentence."""
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from crimenb import cities as C
from crimenb.core import InputError

CARD = """
name: springfield
events: [a.csv, b.csv]
columns: {time: When, clock: Clock, category: What, premises: Place, area: Ward, lon: X, lat: Y, record_id: No}
order: dmy
zone: Europe/Berlin
utc: false
since: 2001-01-01
box: [8, 48, 9, 50]
crs: 25832
missing: [unknown]
areas: {file: wards.gpkg, key: ward}
grid_box: [8.1, 48.1, 8.9, 49.9]
cell_m: 250
holidays: DE-BW
factors:
  - {name: bars, file: bars.csv, kind: density}
  - {file: stops.geojson, kind: distance}
"""


def write(folder, text):
    path = folder / "springfield.yaml"
    path.write_text(text)
    return path


def test_all_that_a_card_can_say(tmp_path):
    card = C.read_card(write(tmp_path, CARD))
    assert (card.name, card.events, card.order, card.zone, card.since, card.box, card.crs, card.cell_m, card.holidays) == (
        "springfield", ("a.csv", "b.csv"), "dmy", "Europe/Berlin", "2001-01-01", (8., 48., 9., 50.), 25832, 250, "DE-BW")
    assert card.areas == C.Areas("wards.gpkg", "ward") and card.factors == (C.Factor("bars", "bars.csv"), C.Factor("stops", "stops.geojson", "distance"))
    assert card.folder == tmp_path and card.missing["premises"] == ("unknown",) and card.area_columns == {"Ward": None} and card.writing.zone == "Europe/Berlin"
    assert C.get(str(tmp_path / "springfield.yaml")) == C.get(tmp_path / "springfield.yaml") == card == C.get(card)
    assert set(C.KEYS) == {line.split(":")[0] for line in CARD.split("\n") if line[:1].isalpha()} | {"formats", "clocks"}


def test_a_small_card_is_named_by_its_file(tmp_path):
    card = C.read_card(write(tmp_path, "events: a.csv\n"))
    assert card.name == "springfield" and card.events == ("a.csv",) and card.zone is None


@pytest.mark.parametrize("text, words", [
    ("zoen: Europe/Berlin", "unknown key 'zoen': use one of name, events"), ("name: a\nzone: UTC\nname: b", "line 3 has name a second time"),
    ("columns: {time: a, time: b}", "line 1 has time a second time"), ("a: &x [1, 2]\nbox: *x", "line 2 has an alias"), ("events: &a [*a]", "alias"),
    ("box: {<<: {a: 1}}", "no YAML"), ("zone: Mars/Olympus", "no time zone"), ("zone: ../../etc/passwd", "no time zone"), ("zone: [UTC]", "zone is .*must be text"),
    ("order: ddmm", "unknown order of a date 'ddmm': use one of mdy, dmy, ymd"), ("box: [9, 48, 8, 50]", "west, south, east, north"), ("box: [1, 2, 3]", "west, south, east, north"),
    ("crs: EPSG:25832", "whole number"), ("crs: true", "whole number"), ("cell_m: -5", "side of a cell"), ("columns: {tiem: When}", "unknown column on a card 'tiem'"),
    ("columns: {time: 3}", "the column time is 3"), ("areas: {file: a.geojson, id: x}", "unknown key of areas 'id'"), ("areas: {key: x}", "areas has no file"), ("areas: 3", "areas is 3"),
    ("factors: [bars]", None), ("factors: [{name: x}]", "a factor has no file"), ("factors: [{file: a.csv, kind: both}]", "unknown kind of factor 'both'"), ("factors: {a: b}", "must be a list"),
    ("missing: {premise: [x]}", "unknown column 'premise'"), ("[1, 2]", "no keys with values"), ("just words", "no keys with values"), ("", "no keys with values"), ("a: [1", "no YAML in line"), ('events: "a\\0b.csv"', "line 1 has a character that cannot be shown"), ('name: "\\e[31m"', "line 1 has a character"),
    ("a: !!python/object/apply:os.system [ls]", "no YAML"), ("\x00", "no YAML"), ("name: 5", "name is 5: it must be text"), ("utc: maybe", "true or false"), ("formats: 3", "must be text or a list")])
def test_what_is_wrong_is_one_sentence_that_names_the_file(tmp_path, text, words):
    path = write(tmp_path, text)
    if words is None:
        assert [factor.file for factor in C.read_card(path).factors] == ["bars"]
        return
    with pytest.raises(InputError, match=words) as error: C.read_card(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 500 + len(str(path))


def test_no_card(tmp_path):
    with pytest.raises(InputError, match="no file .*nowhere.yaml"): C.get(tmp_path / "nowhere.yaml")
    (tmp_path / "big.yaml").write_text("#" * 1_000_001)
    with pytest.raises(InputError, match="no card is so large"): C.get(tmp_path / "big.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: Zürich".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"): C.get(tmp_path / "latin.yaml")
    with pytest.raises(InputError, match="unknown city or data set 'boston': use one of chicago, nyc, la, dc"): C.get("boston")


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.lists(st.sampled_from([*CARD.split("\n"), "  ", "- ", ": ", "{", "]", "&a", "*a", "|"]), max_size=12).map("\n".join))
def test_any_text_is_a_card_or_an_input_error(tmp_path_factory, text):
    try: C.read_card(write(tmp_path_factory.mktemp("any"), text))
    except InputError as error: assert "\n" not in str(error)


def test_what_is_missing_is_said_with_the_mend(tmp_path):
    card = C.read_card(write(tmp_path, "events: a.csv\ncolumns: {time: When, category: What}\nzone: UTC\n"))
    assert C.require(card, "events", "zone") is card
    for what in ("areas", "premises", "factors", "holidays", "record_id", "box", "portal"):
        assert not C.has(card, what)
        with pytest.raises(InputError, match=f"which RTM needs: add `.*` to .*springfield.yaml") as error: C.require(card, what, for_="RTM")
        assert "\n" not in str(error.value)
    assert C.has(replace(card, columns={**card.columns, "area": "Ward"}), "areas")
    with pytest.raises(InputError, match="unknown thing on a card"): C.require(card, "weather")


def test_the_named_cities_know_what_the_works_need():
    for name, card in C.CITIES.items():
        C.require(card, "zone", "box", "holidays")
        west, south, east, north = card.box
        assert card.stand_ins["hours"] and west < east and south < north
        if name != "dc": assert west <= card.grid_box[0] < card.grid_box[2] <= east and south <= card.grid_box[1] < card.grid_box[3] <= north
    assert [name for name, card in C.CITIES.items() if card.portal] == ["chicago", "nyc", "la", "dc"]
    assert [name for name, card in C.CITIES.items() if card.events] == ["chicago_2018", "chicago_2016_2017", "nyc_2014_2015"]


def test_a_city_can_be_registered(tmp_path, monkeypatch):
    from crimenb import events
    monkeypatch.setitem(C.CITIES, "oldtown", C.Card("oldtown", {"time": "Reported", "category": "Kind", "lon": "Lon", "lat": "Lat", "record_id": "Nr"},
                        {"Quarter": False}, ("record_id",), formats=("%d.%m.%Y %H:%M",), box=(8.4, 47.3, 8.7, 47.5)))
    Path(tmp_path / "o.csv").write_text("Nr,Reported,Kind,Quarter,Lon,Lat\n1,05.01.2018 23:10,THEFT,North,8.541,47.371\n2,06.01.2018 99:99,THEFT,South,8.550,47.369\n3,07.01.2018 12:00,THEFT,North,0,0\n")
    found = events.read(tmp_path / "o.csv", city="oldtown")
    assert found.dropped == {"date unparsable": 1} and found.mended == {"coordinates 0, 0": 1} and str(found.events.time[0]) == "2018-01-05 23:10:00"


@pytest.mark.parametrize("name", list(C.CITIES))
def test_a_card_is_itself_again_from_its_values(name):
    card = C.CITIES[name]
    again = C.of_values(json.loads(json.dumps(C.to_values(card))))
    assert replace(again, events=(), areas=None) == replace(card, events=(), areas=None)
    assert [Path(file).name for file in again.events] == list(card.events) and all(Path(file).is_absolute() for file in again.events)
    with pytest.raises(InputError, match="unknown key of a card 'zoen'"): C.of_values({"name": "a", "zoen": "UTC"})

def test_a_card_of_many_keys_is_read_as_fast_as_any_yaml():
    text = "columns:\n" + "".join(f"  k{i}: v{i}\n" for i in range(40_000))
    def seconds(loader):
        start = time.process_time()
        assert len(yaml.load(text, loader)["columns"]) == 40_000
        return time.process_time() - start
    # comparing each with all before it took six times as long
    assert seconds(C._Strict) < 2.5 * seconds(yaml.SafeLoader)
    with pytest.raises(InputError, match="line 40002 has k7 a second time"): yaml.load(text + "  k7: x\n", C._Strict)

@pytest.mark.parametrize("since", ["99999-01-01", "2023-13-01", "2023-02-30", "0000-01-01", "01.01.2018", "soon", "300000-01-01"])
def test_a_day_since_when_there_are_events_is_one(tmp_path, since):
    (tmp_path/"a.yaml").write_text(f"name: here\nevents: a.csv\nsince: '{since}'\n")
    with pytest.raises(InputError, match=f"since is '{since}': give a day, such as 2018-01-01"): C.get(tmp_path/"a.yaml")
    assert {C.Card("here", since=day).since for day in ("2018", "2018-01-01", "20180101")} == {"2018", "2018-01-01", "20180101"}
