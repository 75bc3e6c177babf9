"Files of every kind that we read, damaged in thousands of ways: each is read or refused in one sentence. (CSV: test_tables; places: test_geo.)"
import json
import time

import numpy as np
import pandas as pd
import pytest
import torch

from crimenb import cities, city, grids, models, panels, sequences, terrain, training
from crimenb.baselines import contest
from crimenb.core import InputError
from crimenb.lab import cli, serving, studies, sweep
from crimenb.models import Mean
from crimenb.papers import stresnet
from crimenb.warehouse import portal, store
from faults import flipped, tried
from own_city import with_card


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch): monkeypatch.setattr("os.fsync", lambda handle: None)


CARD = """name: testville
events: incidents.csv
columns: {time: when, category: what, lon: lon, lat: lat, record_id: number}
order: ymd
zone: America/Denver
box: [-105.2, 39.6, -104.6, 40.0]
cell_m: 500
areas: {file: districts.geojson, key: name}
factors:
  - {name: bars, file: bars.csv, kind: density}
"""
SWEEP = "- study: parallel\n  profile: smoke\n  seed: [0, 1, 2]\n- study: [rtm]\n  profile: [smoke, cpu]\n  trees: [10, 50]\n"

def a_card(folder): return "testville.yaml", CARD.encode(), cities.get
def a_sweep(folder): return "sweep.yaml", SWEEP.encode(), sweep.grids

def a_result(folder):
    source = min((studies.folder_of("results")).glob("*.json"), key=lambda p: p.stat().st_size)
    return "result.json", source.read_bytes(), lambda path: studies.read_results(path.parent)

def hagens(folder):
    "HAGEN's three files of windows, made up: (name -> path)."
    series = (np.random.default_rng(0).random((30, 5, 3)) < .4).astype("int32")
    for part, (begin, end) in {"train": (0, 12), "val": (12, 16), "test": (16, 20)}.items():
        x = np.stack([series[t:t + 4] for t in range(begin, end)])
        np.savez(folder/f"{part}.npz", x=x, y=np.stack([series[t + 4:t + 5] for t in range(begin, end)]))
    return {f"{part}.npz": folder/f"{part}.npz" for part in ("train", "val", "test")}

def an_array(folder):
    files = hagens(folder)
    return "val.npz", files["val.npz"].read_bytes(), lambda path: panels.read_hagen(files)

def a_model(folder):
    events, _ = city.simulate(2_000, 84, seed=0, n_areas=4)
    path = Mean().fit(panels.Panel.from_events(events)).save(folder/"mean.crimenb")
    return path.name, path.read_bytes(), models.load

def a_store(folder):
    lines = "".join(f"{n},01/{1 + n % 28:02}/2018 08:15:00 AM,THEFT,STREET,32,41.88,-87.63\n" for n in range(200))
    (folder/"a.csv").write_text("ID,Date,Primary Type,Location Description,Community Area,Latitude,Longitude\n" + lines)
    store.ingest("chicago", folder/"a.csv", folder)

def stored(pattern):
    def of(folder):
        a_store(folder)
        path = next(p for p in sorted(folder.rglob(pattern)) if p.is_file())
        return path.relative_to(folder).as_posix(), path.read_bytes(), lambda path: store.load("chicago", folder=folder)
    return of

def a_note(folder):
    (folder/"chicago-2018.csv").write_text(":id,id\na,1\n")
    portal._write(folder/"chicago-2018.json", {"file": "chicago-2018.csv", "rows": 1, "sha256": portal._sha256((folder/"chicago-2018.csv").read_bytes()), "stamp": "2024-01-01T00:00:00.000Z",
            "asked": {"address": "http://127.0.0.1/x", "where": "1=1", "columns": {"id": "id"}}, "sure": True, "fetched": "2024-01-01", "complete": "2024-01-01"})
    return "chicago-2018.json", (folder/"chicago-2018.json").read_bytes(), lambda path: portal.provenance(path.with_suffix(".csv"))

def sequences_of(folder):
    return "pairs.txt", "".join(f"{spot} {1 + spot*n % 7}\n" for spot in range(1, 20) for n in range(9)).encode(), sequences.read_sequences

def weather(folder):
    lines = "".join(f"2018-01-{1 + n//24:02} {n % 24:02}:00,{-n % 20},{n % 7}\n" for n in range(200))
    return "weather.csv", f"time,temperature,wind\n{lines}".encode(), grids.read_weather

def days(folder): return "days.txt", "".join(f"{n}\n" for n in range(1, 400, 7)).encode(), grids.read_day_numbers

def las_months(folder):
    "Los Angeles' counts by month, made up, and its areas."
    areas = [{"type": "Feature", "properties": {"APREC": name}, "geometry": {"type": "Polygon", "coordinates": [[[x, 34], [x + .1, 34], [x + .1, 34.1], [x, 34]]]}} for name, x in (("North", -118), ("South", -117.9))]
    (folder/"lapd_divisions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": areas}))
    rows = [{"period": f"2020-{month:02}-01", "area": area, "category": kind, "crimes": 7*month} for month in range(1, 13) for area in ("North", "South") for kind in ("ROBBERY", "ARSON")]
    def read(path): return panels.read_la_monthly({"monthly_cross.json": path, "lapd_divisions.geojson": folder/"lapd_divisions.geojson"}, None)
    return "monthly_cross.json", json.dumps(rows).encode(), read

def contests(folder):
    return "crimes_bur.csv", ("census_tra,occ_date,x_coordina,y_coordina\n" + "".join(f"1,2016-01-{1 + n % 28:02},{7_600_000 + n},{680_000 + n}\n" for n in range(60))).encode(), contest._crimes_in

def units(folder):
    names = ["MarID", "XMeters", "YMeters", "AreaMinWat", "TotalLic", "TotalCrime", "CFS1", "CFS2"]
    return "units.csv", "\n".join([",".join(names), *(",".join(str(899_000 + n*k) for k in range(1, 9)) for n in range(60))]).encode(), terrain.read_dc_units

def a_checkpoint(folder):
    path = training.save_checkpoint(folder/"run.pt", {"settings": {"lr": .1}, "epoch": 3, "model": {"weight": torch.ones(40)}})
    return path.name, path.read_bytes(), training.load_checkpoint

def a_packed_network(folder):
    path = stresnet.save_packed(stresnet.PackedSTResNet(stresnet.TernarySTResNet(4)), folder/"net.bin")
    return path.name, path.read_bytes(), stresnet.load_packed

def a_journal(folder):
    journal = serving.Journal(folder/"journal")
    journal.write([{"record_id": f"{i}", "time": "2020-06-23T10:00", "area": "north", "category": "violent"} for i in range(9)])
    return "journal", (folder/"journal").read_bytes(), lambda path: journal.read()

KINDS = {"a city's card": a_card, "a sweep": a_sweep, "a result": a_result, "HAGEN's arrays": an_array, "a saved model": a_model,
         "a store's book": stored("store.json"), "a store's rows": stored("year=*/*.parquet"), "a portal's note": a_note,
         "sequences": sequences_of, "weather": weather, "days": days, "LA's months": las_months, "a contest's crimes": contests, "street units": units,
         "a checkpoint": a_checkpoint, "a packed network": a_packed_network, "a journal": a_journal}
MANY = {"a result": 300, "sequences": 300, "weather": 100, "LA's months": 150, "a contest's crimes": 100, "street units": 150, "a store's rows": 60, "a store's book": 250}

@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_in_one_sentence(kind, tmp_path):
    name, good, read = KINDS[kind](tmp_path)
    path, since = tmp_path/name, time.process_time()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(good)
    read(path)
    n = MANY.get(kind, 500)
    refused = tried(path, good, read, n, np.random.default_rng(sum(map(ord, kind))))
    assert refused > n/4 and time.process_time() - since < 60
    read(path)


def a_sealed_result(folder):
    name, good, read = a_result(folder)
    result = json.loads(good)
    return name, json.dumps({**result, "seal": studies.seal_of(result)}, indent=1).encode(), read

def a_page(folder):
    frame = pd.DataFrame({"id": list("abc")}, index=pd.Index(["1", "2", "3"], name=":id"))
    content = frame.to_parquet()
    return f"00001-{portal._sha256(content)[:16]}.parquet", content, portal._page

def trials(folder):
    path = training.save_checkpoint(folder/"run-trials.pt", {"DNN": .25, "LSTM": None})
    return path.name, path.read_bytes(), training.load_checkpoint

OWN = {"a result": a_sealed_result, "a portal's page": a_page, "a search's trials": trials,
       **{kind: KINDS[kind] for kind in ("a saved model", "a store's book", "a store's rows", "a checkpoint", "a packed network", "a journal")}}

@pytest.mark.parametrize("kind", OWN)
def test_each_of_a_hundred_flipped_bits_of_our_own_files_is_refused(kind, tmp_path):
    name, good, read = OWN[kind](tmp_path)
    (tmp_path/name).write_bytes(good)
    read(tmp_path/name)
    for _ in flipped(tmp_path/name, good, np.random.default_rng(1)):
        with pytest.raises(InputError) as error: read(tmp_path/name)
        assert "\n" not in str(error.value)

def test_a_portals_note_with_a_flipped_bit_is_no_note(tmp_path):
    name, good, _ = a_note(tmp_path)
    assert portal._json(tmp_path/name)["rows"] == 1
    for _ in flipped(tmp_path/name, good, np.random.default_rng(1)): assert portal._json(tmp_path/name) == {}


BIG = "9"*400

@pytest.mark.parametrize("argv, says", [
    (("fetch", "chicago", "--from", "-1"), "begins in 2001: ask for 2001-01-01 or later, not -1"), (("fetch", "chicago", "--from", BIG), "are not two days"),
    (("fetch", "chicago", "--from", "2018-01-01", "--to", "9999-12-31"), "nobody knows the crimes up to 9999-12-31 yet"), (("fetch", "chicago", "--from", "NaT"), "are not two days"),
    (("forecast", "week", "--dataset", "mine.yaml", "--model", "recent mean", "--periods", BIG), "too few to try forecasts"),
    (("forecast", "week", "--dataset", "mine.yaml", "--model", "recent mean", "--out", "/dev/full"), "not in nothing"),
    (("forecast", "week", "--dataset", "mine.yaml", "--model", "recent mean", "--out", "/dev/full/x.csv"), "can not write /dev/full/x.csv"),
    (("forecast", "week", "--dataset", "/dev/zero"), "unknown city or data set '/dev/zero'"), (("card", "/dev/zero"), "there is no file /dev/zero"),
    (("reproduce", "rtm", "-p", f"seed={BIG}"), "parameter seed of rtm is a number without end"), (("reproduce", "rtm", "-p", f"cell={BIG}"), "must be a finite float"),
    (("reproduce", "rtm", "--out", "/dev/full"), "can not write to /dev/full"), (("leaderboard", "--results", "/dev/full"), "there is no folder /dev/full"),
    (("sweep", "/dev/zero"), "it is no file, but a folder, a device or a pipe; name a sweep file"), (("sweep", "."), "it is no file, but a folder"), (("ingest", "mine.yaml", "/dev/full"), "there is no file /dev/full")])
def test_what_is_too_large_to_be_true_and_places_that_are_none_end_in_one_sentence(argv, says, own, capsys):
    before = sorted(own.iterdir())
    assert cli.main(list(argv)) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and says in said.err and sorted(own.iterdir()) == before

@pytest.fixture
def own(own_city, monkeypatch):
    monkeypatch.chdir(own_city)
    return own_city

@pytest.fixture(scope="module")
def own_city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    with_card(folder)
    return folder
