"Which column is which: names in eleven languages over values that could be theirs, and names that are none."
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crimenb import columns
from crimenb import events as E
from crimenb.core import InputError

N = 240
at = pd.Series(pd.date_range("2024-01-05 00:30", periods=N, freq="431min"))
#: ours -> the values of a column that may be it
VALUES = {
    "time": at.dt.strftime("%d/%m/%Y"), "clock": at.dt.strftime("%H:%M"), "category": pd.Series(["furto", "rapina", "robo", "theft", "Diebstahl"]*48),
    "premises": pd.Series(["Alpha", "Beta", "Gamma", "Delta"]*60), "area": pd.Series([str(1 + i*7 % 12) for i in range(N)]),
    "lon": pd.Series([f"{9 + i % 50/1000:.4f}" for i in range(N)]), "lat": pd.Series([f"{45 + i % 31/1000:.4f}" for i in range(N)]),
    "x": pd.Series([str(500_000 + i*13) for i in range(N)]), "y": pd.Series([str(5_030_000 + i*17) for i in range(N)]), "record_id": pd.Series([f"A{i:05}" for i in range(N)])}
#: ours -> names that nobody has listed
NAMES = {
    "time": ["Data del fatto", "Fecha suceso", "Date de commission", "Tattag", "Pleegdatum", "Data ocorrido", "Brottsdatum", "Gerningsdato", "Data zdarzenia", "Day of offence", "occ_dt", "dt"],
    "clock": ["Ora del fatto", "Hora suceso", "Heure de commission", "Tatuhrzeit", "Pleegtijd", "Hora do fato", "Klockslag", "Klokkeslæt", "Godzina", "tm", "Tijdstip"],
    "category": ["Reato", "Clase de delito", "Libellé infraction", "Deliktart", "Soort misdrijf", "Natureza do crime", "Brottstyp", "Lovbrudd", "Rodzaj przestępstwa", "crm_typ", "Fattispecie", "Worum", "Kategorie", "Omschrijving"],
    "premises": ["Tipo di luogo", "Tipo de lugar", "Type de lieu", "Art der Örtlichkeit", "Soort locatie", "Tipo de local", "Typ av plats", "Stedstype", "Rodzaj miejsca", "Premises Class", "Location Category", "Espacio (tipo)"],
    "area": ["Circoscrizione", "Colonia", "Arrdt. / arrondissement", "Ortsteil", "Wijk", "Freguesia", "Stadsdel", "Bydel", "Dzielnica", "Police Sector", "Municipio", "Quartier", "Cuadrante", "Stadtbezirk", "PLZ", "Code postal"],
    "record_id": ["N. fascicolo", "Nº de denuncia", "Numéro PV", "Vorgangsnr.", "Zaaknummer", "Número do BO", "Ärendenummer", "Sagsnr", "Nr sprawy", "Fallnummer", "case_key", "Folio"],
    "lon": ["Longitudine", "Longitud (WGS84)", "geo_longitude", "Länge", "Lengtegraad", "Longitude do local", "Längdgrad", "Længdegrad", "Długość", "pos_x", "X_WGS84", "Este", "LON84"],
    "x": ["Coord. X", "UTM_X", "coordonnée x", "Rechtswert", "X-coördinaat", "Este (m)", "X_KOORD", "x_utm33", "wsp_x", "XCOORD_M", "easting_m"],
}
OTHER = {"lon": ["Latitudine", "Latitud (WGS84)", "geo_latitude", "Breite", "Breedtegraad", "Latitude do local", "Breddgrad", "Breddegrad", "Szerokość", "pos_y", "Y_WGS84", "Norte", "LAT84"],
         "x": ["Coord. Y", "UTM_Y", "coordonnée y", "Hochwert", "Y-coördinaat", "Norte (m)", "Y_KOORD", "y_utm33", "wsp_y", "YCOORD_M", "northing_m"]}
PAIR = {"lon": "lat", "x": "y"}
CASES = [(ours, name, OTHER[ours][i] if ours in OTHER else None) for ours, names in NAMES.items() for i, name in enumerate(names)]

def table_of(columns_): return pa.table({name: pa.array(list(values)) for name, values in columns_.items()})

@pytest.mark.parametrize("ours, name, other", CASES, ids=[f"{ours}: {name}" for ours, name, _ in CASES])
def test_names_that_nobody_has_listed_are_known_by_their_words_and_values(ours, name, other):
    rest = {"zz1": ["open", "closed"]*(N//2), "zz2": [str(i*37 % 90) for i in range(N)]}
    if ours != "time": rest["date"] = VALUES["time"]
    if ours == "premises": rest["delito"] = VALUES["category"]
    taken = {name: VALUES[ours], **({other: VALUES[PAIR[ours]]} if other else {})}
    found = columns.guess(table_of({**rest, **taken}), {})
    want = {ours: name, **({PAIR[ours]: other} if other else {})}
    assert {o: t for o, t in found.columns.items() if t in taken} == want
    # as numbers, where they are numbers
    if other: assert columns.guess(table_of({**rest, **{n: pd.to_numeric(v) for n, v in taken.items()}}), {}).columns.items() >= want.items()

#: a column that is none of ours, whatever a word of its name says
NONE = {
    "Nr. of victims": [str(i % 3) for i in range(N)], "House number": [str(1 + i % 60) for i in range(N)], "reference_date": at.dt.strftime("%Y-%m-%d %H:%M:%S"), "District population": [str(1000 + i) for i in range(N)],
    "Location": [f"{i} Main St" for i in range(N)], "Time Zone": ["EST", "EDT"]*(N//2), "x": [str(i) for i in range(N)], "northbound": ["yes", "no"]*(N//2), "Municipio": ["BOGOTÁ"]*N,
    "Longest sentence": [str(i % 20) for i in range(N)], "Latin name": ["abc def", "ghi jkl"]*(N//2), "Place of birth": [f"Town {i}" for i in range(N)], "Gender": ["M", "F"]*(N//2), "Ref": ["a", "b"]*(N//2)}

@pytest.mark.parametrize("name", NONE)
def test_a_word_alone_makes_no_column_ours(name):
    table = table_of({"date": at.dt.strftime("%Y-%m-%d %H:%M"), "offense": VALUES["category"], name: NONE[name]})
    assert columns.guess(table, {}).columns == {"time": "date", "category": "offense"}

def test_of_several_that_may_be_areas_none_is_taken_and_all_are_named():
    table = table_of({"date": VALUES["time"], "Wijk": VALUES["area"], "Gemeente": ["A", "B"]*(N//2)})
    assert "area" not in columns.guess(table, {}).columns
    assert columns.other_areas(table, {"time": "date"}) == ["the area: Wijk, Gemeente may be areas: take one with --column area=…"]
    assert columns.other_areas(table, {"area": "Wijk"}) == [] == columns.other_areas(table.drop_columns(["Wijk"]), {})

@pytest.mark.parametrize("name", NAMES["premises"])
def test_a_kind_of_place_is_no_kind_of_crime(name):
    assert columns.guess(table_of({"date": VALUES["time"], name: VALUES["premises"]}), {}).columns == {"time": "date", "premises": name}

def test_labels_of_places_speak_where_the_name_does_not():
    table = table_of({"date": VALUES["time"], "delito": VALUES["category"], "Onde": ["Via pública", "Residência", "Loja", "Escola"]*60})
    assert columns.guess(table, {}).columns["premises"] == "Onde"

def test_reader_and_card_take_the_same_columns_and_say_so(tmp_path):
    from crimenb import cards
    pd.DataFrame({"Data zdarzenia": VALUES["time"], "Godzina": VALUES["clock"], "Rodzaj": VALUES["category"], "Długość": VALUES["lon"], "Szerokość": VALUES["lat"], "Nr sprawy": VALUES["record_id"], "Dzielnica": VALUES["area"]}).to_csv(tmp_path/"e.csv", index=False)
    read, made = E.read(tmp_path/"e.csv", tz="Europe/Warsaw"), cards.draft(tmp_path/"e.csv", tz="Europe/Warsaw")
    assert read.card.columns == made.card.columns == {"time": "Data zdarzenia", "clock": "Godzina", "category": "Rodzaj", "area": "Dzielnica", "lon": "Długość", "lat": "Szerokość", "record_id": "Nr sprawy"}
    assert (read.events.time.to_numpy() == at.to_numpy()).all() and (read.events.area == VALUES["area"]).all() and np.allclose(read.events.lon, VALUES["lon"].astype(float))
    said = [one for one in read.remarks if "was taken for its values" in one]
    assert len(said) == 7 and [*made.unsure][:7] == said
    # a frame in memory, too
    assert E.read(pd.read_csv(tmp_path/"e.csv"), tz="Europe/Warsaw").events.equals(read.events)

@pytest.mark.parametrize("first", ["10/12/2017 07:14:00 PM,CRIMINAL DAMAGE,41.918711651,-87.76551063", "2017-10-12,THEFT,A1", "theft,41.9187,-87.7655,K2"])
def test_a_file_without_a_line_of_names_is_told_so(tmp_path, first):
    from crimenb import cards
    (tmp_path/"e.csv").write_text("\n".join([first]*60))
    for make in (E.read, cards.draft):
        with pytest.raises(InputError, match="e.csv begins with a row, and not with the names of its columns .*: write a first line with a name for each of them"): make(tmp_path/"e.csv")
    # a year in a name is a name
    assert not columns.headless(["2024", "Arrests 2023/24", "1.5 km", "x_2024-01"]) and columns.headless(["a", "2024-01-05 10:00"])
