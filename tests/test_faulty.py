"""The faulty files of data/samples: each gives the right value or one sentence, in the reader and in the store alike."""
import shutil

import numpy as np
import pandas as pd
import pytest

from crimenb import cards
from crimenb import events as E
from crimenb.core import InputError
from crimenb.geo import adjacency
from crimenb.geo import read_points
from crimenb.geo import read_polygons
from crimenb.grids import read_weather
from crimenb.lab.cli import main
from crimenb.warehouse import store as S


@pytest.fixture
def faulty(samples): return samples/"faulty"


def both(path, city, folder):
    "What the reader makes of a file; the store has the same events and the same books."
    want, got = E.read(path, city=city), S.ingest(city, path, folder/"store")
    assert (got.rows_in, got.kept, got.dropped, got.mended) == (want.rows_in, len(want.events), want.dropped, want.mended)
    assert want.rows_in == len(want.events) + sum(want.dropped.values())
    pd.testing.assert_frame_equal(S.load(want.card.name, folder=folder/"store"), want.events)
    return want


def own(path, folder, **named):
    "As `both`, of a city that nobody has described: from the file to its card, and from the card to events."
    copy = shutil.copy(path, folder)
    card = cards.draft(copy, tz="Europe/Berlin", **named).write()
    direct = E.read(copy, tz="Europe/Berlin", **named)
    found = both(copy, card, folder)
    pd.testing.assert_frame_equal(found.events, direct.events)
    return found


def times(found): return list(found.events.time.dt.strftime("%Y-%m-%d %H:%M"))
def refused(path, city, folder, words):
    for way in (lambda: E.read(path, city=city), lambda: S.ingest(city or "chicago", path, folder/"store")):
        with pytest.raises(InputError, match=words) as error: way()
        assert "\n" not in str(error.value)


def test_every_file_is_told_of(faulty):
    told = (faulty/"README.md").read_text()
    assert all(f"`{path.name}`" in told for path in faulty.iterdir() if path.name != "README.md")


def test_zones(faulty, tmp_path):
    found = both(faulty/"zone_dc_utc.csv", "dc", tmp_path)
    assert times(found) == ["2024-03-01 20:00", "2024-03-01 20:00", "2024-07-01 21:30", "2024-07-01 23:50"]
    weather = read_weather(faulty/"zone_weather_unix.csv", zone="America/Chicago")
    assert weather.index[0] == pd.Timestamp("2024-02-29 18:00") and len(weather) == 24


def test_identity(faulty, tmp_path):
    one = both(faulty/"identity_portal.csv", "la", tmp_path)
    again = S.ingest("la", faulty/"identity_resaved.csv", tmp_path/"store")
    assert (again.kept, again.replaced, again.rows) == (3, 3, 3)
    assert one.events.record_id.tolist() == ["1307355", "11401303", "190326475"]


def test_missing(faulty, tmp_path):
    found = both(faulty/"missing_words.csv", "chicago", tmp_path)
    assert len(found.events) == 3 and found.events.premises.count() == 1 and found.events.lon.count() == 2
    assert found.dropped == {"date stands for none": 1, "date or time missing": 1, "category missing": 1}
    found = both(faulty/"missing_numbers.csv", "chicago", tmp_path/"numbers")
    assert len(found.events) == 4 and found.notes["record id unknown"] == 3
    assert S.ingest("chicago", faulty/"missing_numbers.csv", tmp_path/"numbers/store").rows == 4
    assert read_weather(faulty/"missing_weather.csv").temperature.iloc[0] >= 0


def test_places(faulty):
    points = read_points(faulty/"places_feet_among_degrees.csv")
    assert len(points) == 6 and sum(points.dropped.values()) == 2
    points = read_points(faulty/"places_with_crs.geojson", crs=32616)
    assert len(points) == 2 and np.allclose(points.xy[0], (447000, 4637000)) and sum(points.dropped.values()) == 2
    areas = read_polygons(faulty/"areas_in_two_parts.geojson", key="ward")
    one, other = adjacency(areas)
    assert list(areas.index) == ["A", "B", "C"] and sorted(zip(one.tolist(), other.tolist())) == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_columns_never_shift(faulty, tmp_path):
    found = both(faulty/"shifted_columns.csv", "chicago", tmp_path)
    assert found.dropped == {"line unreadable": 3} and list(found.events.category) == ["THEFT", "ARSON"]
    found = both(faulty/"lines_end_in_commas.csv", "chicago", tmp_path/"ends")
    assert found.dropped == {} and list(found.events.category) == ["THEFT", "ARSON", "ROBBERY"]*2 and list(found.events.area) == ["32", "33", "34", "35", "36", "37"]
    assert found.events.lat.tolist() == [41.805, 41.815, 41.825, 41.835, 41.845, 41.855] and found.events.lon[5] == -87.655 and list(found.events.premises)[2] == "ALLEY"
    refused(faulty/"shifted_all_rows.csv", "chicago", tmp_path/"rows", "put that value in quotation marks, or end the header with ',' too$")
    found = own(faulty/"areas_of_words.csv", tmp_path)
    assert found.events.area.astype(object).tolist()[:3] == ["North", "North", "South"] and pd.isna(found.events.area[3])


@pytest.mark.parametrize("name, dropped", [("dates_day_first.csv", {}), ("dates_unpadded.csv", {}), ("dates_other_order.csv", {"date in the other order": 1})])
def test_dates_of_march(faulty, tmp_path, name, dropped):
    found = both(faulty/name, "chicago", tmp_path)
    assert list(found.events.time.dt.day) == list(range(1, 32)) and set(found.events.time.dt.month) == {3} and found.dropped == dropped


def test_dates_that_are_asked_for(faulty, tmp_path):
    found = own(faulty/"dates_year_of_two_digits.csv", tmp_path)
    assert times(found)[0] == "2024-02-20 09:30" and (found.events.time.diff().dropna() == pd.Timedelta(days=1)).all() and found.card.order == "ymd"
    for name, words, order, right in (("dates_nothing_tells.csv", "say the order, ymd, dmy or mdy", "ymd", "2024-03-15 09:30"), ("dates_twelve_days.csv", "say the order, dmy or mdy", "dmy", "2018-03-01 09:30")):
        copy = shutil.copy(faulty/name, tmp_path)
        with pytest.raises(InputError, match=words): E.read(copy)
        with pytest.raises(InputError, match=words): cards.draft(copy)
        assert times(own(faulty/name, tmp_path, order=order))[0] == right
        shutil.rmtree(tmp_path/"store")


def test_spreadsheets(faulty, tmp_path):
    found = own(faulty/"dates_of_a_spreadsheet.csv", tmp_path)
    assert times(found) == ["2024-03-15 12:00", "2024-03-16 06:00", "2024-03-17 18:00"] and list(found.events.lon) == [10.51, 10.52, 10.6] and found.events.lat[1] == 50.3
    for folder, named in (("a", {}), ("b", {"time": ("DATE", "TIME")}), ("c", {"time": "DATE,TIME"}), ("d", {"time": "DATE", "clock": "TIME"})):
        (tmp_path/folder).mkdir()
        found = own(faulty/"clock_of_its_own.csv", tmp_path/folder, **named)
        assert times(found) == ["2024-03-15 23:55", "2024-03-16 00:05", "2024-03-17 00:00", "2024-03-17 20:05"] and found.dropped == {"date unparsable": 1}
    text = (tmp_path/"a/clock_of_its_own.yaml").read_text()
    assert "time: DATE" in text and "clock: TIME" in text
    for pair in ("  time: [DATE, TIME]", "  time: DATE,TIME"):
        (tmp_path/"a/two.yaml").write_text(text.replace("  time: DATE\n  clock: TIME", pair).replace("name: clock_of_its_own", "name: two"))
        assert times(both(tmp_path/"a/clock_of_its_own.csv", tmp_path/"a/two.yaml", tmp_path/"a")) == times(found)
    found = own(faulty/"months_by_name.csv", tmp_path/"b")
    assert times(found) == ["2024-03-15 20:05", "2024-03-16 00:30", "2024-03-17 14:00"]


def test_texts(faulty, tmp_path):
    found = own(faulty/"text_latin1.csv", tmp_path, area="Straße")
    assert list(found.events.category) == ["Körperverletzung", "Raub"] and list(found.events.area) == ["Süd", "Nord"]
    found = own(faulty/"text_utf16.txt", tmp_path, record_id="Nr")
    assert list(found.events.category) == ["Körperverletzung", "Raub"] and list(found.events.record_id) == ["1", "2"] and found.events.lon[0] == 10.51


def test_lines_and_files(faulty, tmp_path):
    found = both(faulty/"lines_lost_mark.csv", "chicago", tmp_path/"a")
    assert (found.rows_in, len(found.events), found.dropped) == (60, 59, {"line unreadable": 1})
    assert both(faulty/"lines_quoted_end.csv", "chicago", tmp_path/"b").events.premises[0] == "STREET\n(CORNER)"
    assert list(both(faulty/"name[1].csv", "chicago", tmp_path/"c").events.category) == ["ARSON"]
    refused(faulty/"packed_flipped_bit.csv.gz", "chicago", tmp_path/"d", "cannot be read")


# --- other inputs of these kinds ---

def table(times, first=1000, places=None):
    places = places or [(10.5 + i % 7/100, 50.3 + i % 5/100) for i in range(len(times))]
    return "id,occurred,offense,lon,lat\n" + "".join(f"{first + i},{t},THEFT,{lon},{lat}\n" for i, (t, (lon, lat)) in enumerate(zip(times, places)))


def test_several_files_are_judged_together_in_both(tmp_path, faulty):
    lines = (faulty/"dates_day_first.csv").read_text().splitlines()
    early, late = tmp_path/"early.csv", tmp_path/"late.csv"
    early.write_text("\n".join([lines[0], *(line for line in lines[1:] if int(line.split(",")[1][:2]) < 13)]))
    late.write_text("\n".join([lines[0], *(line for line in lines[1:] if int(line.split(",")[1][:2]) > 12)]))
    for i, files in enumerate(([early, late], [late, early])):
        found = both(files, "chicago", tmp_path/str(i))
        assert list(found.events.time.dt.day) == list(range(1, 32)) and set(found.events.time.dt.month) == {3} and "read as dmy" in found.remarks[0]
    late.write_text("\n".join([lines[0], *(line.replace("/03/", "/").replace(",", ",03/", 1) for line in lines[13:])]))
    refused([early, late], "chicago", tmp_path/"c", "say the order")
    early.write_text("\n".join(lines))
    refused([early, late], "chicago", tmp_path/"d", "written in different ways .*read the two kinds apart")


def test_one_row_of_1900_makes_no_million_hours(tmp_path):
    (tmp_path/"a").mkdir()
    path = tmp_path/"t.csv"
    path.write_text(table([*(f"2024-07-{d:02} 10:05" for d in range(1, 29)), "1900-06-15 08:00"]))
    found = own(path, tmp_path/"a")
    assert found.dropped == {"date more than 5 years from all others": 1} and found.events.time.min().year == 2024


@pytest.mark.parametrize("places, crs, words", [
    ([(5820000 + i, 390000 + i) for i in range(20)], 25833, "EPSG:25833 is not used .*swapped"),
    ([(1175000 + i, 1900000 + i) for i in range(20)], 26971, "EPSG:26971 is not used"),
    ([(179.9 + i/100 if i < 8 else -179.9 - i/1000, -16.8) for i in range(20)], None, "both sides of the date line")])
def test_places_that_cannot_be(tmp_path, places, crs, words):
    path = tmp_path/"t.csv"
    text = table([f"2024-07-{d:02} 10:05" for d in range(1, 21)], places=places)
    path.write_text(text if crs is None else text.replace("lon,lat", "x,y"))
    for way in (lambda: E.read(path, crs=crs), lambda: cards.draft(path, crs=crs)):
        with pytest.raises(InputError, match=words) as error: way()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("lon", [179.992, -179.996])
def test_a_city_beside_the_date_line_has_a_card(tmp_path, lon):
    path = tmp_path/"t.csv"
    path.write_text(table([f"2024-07-{d:02} 10:05" for d in range(1, 21)], places=[(lon, -16.8)]*20))
    card = cards.draft(path, tz="Pacific/Fiji").write()
    assert E.read(path, city=card).events.lon.eq(lon).all()


def test_a_clock_that_is_none_is_named(tmp_path):
    path = tmp_path/"t.csv"
    path.write_text("id,date,uhr,offense\n" + "".join(f"{i},2024-03-{i:02},noon,THEFT\n" for i in range(1, 20)))
    with pytest.raises(InputError, match="no time of the day .*'noon'"): E.read(path, clock="uhr")
    path.write_text("id,date,uhr,offense\n" + "".join(f"{i},2024-03-{i:02},14.{i + 10},THEFT\n" for i in range(1, 20)))
    assert times(E.read(path, clock="uhr"))[:2] == ["2024-03-01 14:11", "2024-03-02 14:12"]


def test_the_command_takes_what_its_errors_ask_for(tmp_path, capsys):
    path = tmp_path/"t.csv"
    path.write_text(table([f"{d:02}/03/2024 10:05" for d in range(1, 13)]))
    assert main(["card", str(path)]) == 2 and "--order dmy" in capsys.readouterr().err and not path.with_suffix(".yaml").exists()
    assert main(["card", str(path), "--order", "dmy", "-q"]) == 0
    assert set(E.read(path, city=path.with_suffix(".yaml")).events.time.dt.month) == {3}
    path.write_text(table([f"{d:02}Jul2024_23.30" for d in range(1, 13)]))
    assert main(["card", str(path), "--format", "%d%b%Y_%H.%M", "-q", "--force"]) == 0
    assert times(E.read(path, city=path.with_suffix(".yaml")))[0] == "2024-07-01 23:30"
    path.write_text("id,date,uhr,offense\n" + "".join(f"{i},2024-03-{i:02},14.{i + 10},THEFT\n" for i in range(1, 20)))
    assert main(["card", str(path), "--column", "clock=uhr", "-q", "--force"]) == 0
    assert times(E.read(path, city=path.with_suffix(".yaml")))[0] == "2024-03-01 14:11"


def test_a_rule_that_was_taken_can_be_gone_on_with_and_empty_weeks_are_a_gap(tmp_path, capsys):
    days = pd.date_range("2023-01-02 10:05", "2023-10-08", freq="9h").strftime("%Y-%m-%d %H:%M")
    path, out = tmp_path/"t.csv", ["--out", str(tmp_path/"w.csv"), "--map", str(tmp_path/"w.png"), "-q"]
    path.write_text(table(days))
    assert main(["card", str(path), "-q"]) == 0
    card, model = str(path.with_suffix(".yaml")), str(tmp_path/"mean.crimenb")
    assert main(["forecast", "week", "--dataset", card, "--model", "mean", "--save", model, *out]) == 0
    first = pd.read_csv(tmp_path/"w.csv")
    assert main(["forecast", model, "--dataset", card, "--events", str(path), *out]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/"w.csv"), first)
    # three empty weeks, where 18 events a week are usual, are no weeks without crime
    path.write_text(table([d for d in days if not "2023-09-04" <= d < "2023-09-25"]))
    capsys.readouterr()
    assert main(["forecast", "week", "--dataset", card, "--model", "mean", *out]) == 2
    assert "nothing is known of 3 weeks, or of some of their days, between 2023-09-04" in capsys.readouterr().err


def small_city(n=900, seed=0):
    "Events of 14 weeks in four districts of Chicago, each with a place."
    rng = np.random.default_rng(seed)
    time = pd.Timestamp("2023-01-02") + pd.to_timedelta(np.sort(rng.integers(0, 98*1440, n)), "min")
    column, row = rng.integers(0, 2, (2, n))
    return pd.DataFrame({"id": np.arange(n), "date": time.strftime("%Y-%m-%d %H:%M"), "offense": rng.choice(["THEFT", "ROBBERY"], n),
        "location": rng.choice(["STREET", "SHOP"], n), "district": [f"D{i}" for i in 2*row + column],
        "lon": (-87.7 + .05*(column + rng.random(n))).round(5), "lat": (41.8 + .05*(row + rng.random(n))).round(5)})


@pytest.mark.parametrize("question, what", [("hour", "grid"), ("week", "areas"), ("next", "spots")])
def test_a_model_of_one_city_refuses_the_events_of_another(tmp_path, capsys, question, what):
    events, path, model = small_city(), tmp_path/"t.csv", str(tmp_path/"m.crimenb")
    out = ["--out", str(tmp_path/"f.csv"), "--map", str(tmp_path/"f.png"), "-q"]
    def on(share):
        "What is said where this share of the events, chosen evenly, lies 25 km to the east, in districts of other names."
        away = np.arange(len(events)) % 10 < 10*share
        other = events.assign(lon=events.lon + .3*away, district=np.where(away, "X" + events.district, events.district))
        other.to_csv(tmp_path/"o.csv", index=False)
        (tmp_path/"o.yaml").write_text(path.with_suffix(".yaml").read_text().replace("t.csv", "o.csv").replace("box:", "# box:"))
        (tmp_path/"f.csv").unlink(missing_ok=True)
        capsys.readouterr()
        code = main(["forecast", model, "--dataset", str(tmp_path/"o.yaml"), "--events", str(tmp_path/"o.csv"), *[a for a in out if a != "-q"]])
        return code, *capsys.readouterr(), (tmp_path/"f.csv").exists()
    events.to_csv(path, index=False)
    assert main(["card", str(path), "-q"]) == 0
    # areas are those that the events name
    settings = {"hour": ["-p", "cell_m=3000"], "week": [], "next": ["-p", "slot_hours=24"]}[question]
    rule = {"hour": "mean", "week": "mean", "next": "count mixer"}[question]
    assert main(["forecast", question, "--dataset", str(path.with_suffix(".yaml")), "--model", rule, "--save", model, *settings, *out]) == 0, capsys.readouterr()
    code, said, error, there = on(1)
    assert code == 2 and not there
    if question != "week": assert f"900 of 900 events lie outside the {what} of {model}" in error and "model's city" in error
    code, said, error, there = on(.6)
    assert (code, there) == (2, False) and ("only 360 of 900 events lie in an area" if question == "week" else f"540 of 900 events lie outside the {what}") in error
    code, said, error, there = on(.3)
    assert (code, there) == (0, True) and f"270 of 900 events lie outside the {what}" in said
    code, said, error, there = on(0)
    assert (code, there) == (0, True) and "lie outside" not in said


def test_a_lone_area_that_is_guessed_is_left_out_by_reader_and_card_alike(tmp_path):
    path = tmp_path/"t.csv"
    lines = table([f"2024-07-{d:02} 10:05" for d in range(1, 21)]).splitlines()
    path.write_text("\n".join([lines[0] + ",district", *(f"{line},Nord" for line in lines[1:])]))
    for found in (E.read(path), cards.draft(path, tz="Europe/Berlin").account):
        assert found.events.area.isna().all() and "area" not in found.card.columns and any("district has one alone, 'Nord', and was left out" in one for one in found.remarks)
    assert (E.read(path, area="district").events.area == "Nord").all()
    # without places it is all that there is
    path.write_text(path.read_text().replace("lon,lat", "a,b"))
    assert (E.read(path).events.area == "Nord").all()


@pytest.mark.parametrize("word", ["-9999", "-999", "-1.0", "unknown", "UNKNOWN", "Unk", "n/a", "none", "NONE", "?", "not stated"])
@pytest.mark.parametrize("others", [["North", "Nowhere", "None Street"], ["1", "2", "31"]])
def test_a_missing_area_is_missing(tmp_path, word, others):
    path = tmp_path/"t.csv"
    lines = table([f"2024-07-{d:02} 10:05" for d in range(1, 21)]).splitlines()
    path.write_text("\n".join([lines[0] + ",district", *(f"{line},{[*others, word][i % 4]}" for i, line in enumerate(lines[1:]))]))
    found = own(path, (tmp_path/"a").mkdir() or tmp_path/"a", area="district")
    assert {*found.events.area.cat.categories} == {*others} and found.mended == {"area unknown": 5} and "area" not in str(found.notes)


def test_record_numbers_with_points_between_thousands_are_judged_from_the_column(tmp_path):
    path, numbers = tmp_path/"t.csv", ["998.000", "998.456", "1.000.123", "1.000.124", "7", "12.345.678,00", "12.345,00"]
    path.write_text("id;occurred;offense\n" + "".join(f"{n};2024-07-{i + 1:02} 10:05;THEFT\n" for i, n in enumerate(numbers)))
    found = own(path, (tmp_path/"a").mkdir() or tmp_path/"a", record_id="id", time="occurred", category="offense")
    assert found.events.record_id.tolist() == ["998000", "998456", "1000123", "1000124", "7", "12345678", "12345"]


@pytest.mark.parametrize("kind, said", [("float32", "exact to 128 seconds only"), ("float64", None), ("int64", None)])
def test_times_in_32_bits_are_said_to_be_coarse(tmp_path, kind, said):
    table = pd.DataFrame({"id": range(40), "date": (1.5e9 + 3721*np.arange(40)).astype(kind), "offense": "THEFT", "lon": -87.6, "lat": 41.8})
    path = tmp_path/"t.parquet"
    table.to_parquet(path)
    card = cards.draft(path, tz="America/Chicago").write()
    for found in (E.read(path, tz="America/Chicago"), E.read(table, tz="America/Chicago"), S.ingest(card, path, tmp_path/"store")):
        assert sum("bits, exact to" in one for one in found.remarks) == bool(said) and (said or "") in "; ".join(found.remarks)
    table.assign(date=np.float32(20180100) + np.arange(1, 21).repeat(2).astype("float32")).to_parquet(path)
    if said: refused(path, card, tmp_path, "20|dates in numbers of 32 bits, which do not hold all their digits")
