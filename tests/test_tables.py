"""The one reader of tables: each line of a file is a row, a part of one, or in the books; a second, slower reader counts as it does."""
import bz2
import dataclasses
import datetime
import gzip
import lzma
import os
import random
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from crimenb import events as E
from crimenb import tables as T
from crimenb.core import InputError
from crimenb.warehouse import store as S

FILES = {"chicago": "chicago.csv", "nyc": "nypd.csv", "la": "lapd.csv", "dc": "dc.csv"}
# files of the property test, forty for each fault in each dialect of each city, every two hundredth through the store; with
# CRIMENB_SEARCH=1 others, and every twentieth (2, 3, … draw others again), and with CRIMENB_MUTANTS=100000 more of them
SEARCH = int(os.environ.get("CRIMENB_SEARCH") or 0)
MUTANTS, EVERY = int(os.environ.get("CRIMENB_MUTANTS", 10_000)), 20 if SEARCH else 200


# --- a reader of its own, character by character ----------------------------------------------------------------------

def row_at(text, at, delimiter):
    "The values of the row that begins at a place, and where it ends; None where it breaks the rules."
    values, value, state = [], "", "start"
    while True:
        c = text[at] if at < len(text) else None
        if state == "quoted":
            if c is None: return None, at
            if c != '"': value += c
            elif text[at + 1:at + 2] == '"':
                value += '"'
                at += 1
            else: state = "closed"
            at += 1
            continue
        if c is None or c in "\r\n":
            end = at + 2 if text[at:at + 2] == "\r\n" else min(at + 1, len(text))
            return [*values, value], end
        if c == delimiter: values, value, state = [*values, value], "", "start"
        elif state == "closed": return None, at
        elif state == "start" and c == '"': state = "quoted"
        else: value, state = value + c, "plain"
        at += 1


def line_end(text, at):
    while at < len(text) and text[at] not in "\r\n": at += 1
    return min(len(text), at + (2 if text[at:at + 2] == "\r\n" else 1))


def strictly(text, delimiter):
    "Header, good rows and the number of all rows of a text."
    header, at = row_at(text.lstrip("\r\n"), 0, delimiter)
    text = text.lstrip("\r\n")
    good, n = [], 0
    while at < len(text):
        if text[at] in "\r\n":
            at = line_end(text, at)
            continue
        row, end = row_at(text, at, delimiter)
        n += 1
        first = line_end(text, at)
        if row is not None and len(row) != len(header) and end > first:
            # are these lines good rows of their own?
            inner = first
            while inner < end and row is not None:
                other, _ = row_at(text, inner, delimiter)
                if other is not None and len(other) == len(header): row = None
                inner = line_end(text, inner)
        if row is None: end = first
        elif len(row) == len(header): good.append(row)
        at = end
    return header, good, n


# --- thousands of damaged files ---------------------------------------------------------------------------------------

DIALECTS = {"comma": (",", "\n", False), "quoted": (",", "\r\n", True), "semicolon": (";", "\n", False), "tab": ("\t", "\n", False)}


def written(rows, dialect):
    delimiter, end, everywhere = DIALECTS[dialect]
    def value(v): return f'"{v}"' if everywhere or any(c in v for c in (delimiter, '"', "\n")) else v
    return end.join(delimiter.join(map(value, row)) for row in rows) + end


def damaged(text, delimiter, rng):
    "A text with one to three faults behind its header."
    first = text.index("\n") + 1
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(first, len(text)) if len(text) > first else first
        fault = rng.choice(("mark", "delimiter", "line", "drop", "cut", "glue", "repeat", "blank", "twist", "space", "odd", "value"))
        lines = text[first:].split("\n")
        if fault == "mark": text = text[:at] + '"'*rng.choice((1, 1, 2, 3)) + text[at:]
        elif fault == "delimiter": text = text[:at] + delimiter*rng.choice((1, 1, 2)) + text[at:]
        elif fault == "line": text = text[:at] + rng.choice(("\n", "\r\n", "\r")) + text[at:]
        elif fault == "drop":
            places = [i for i in range(first, len(text)) if text[i] in f'"{delimiter}\r\n']
            if places: text = text[:(i := rng.choice(places))] + text[i + 1:]
        elif fault == "cut": text = text[:at]
        elif fault == "glue": text = text[:at] + text[:first] + text[at:]
        elif fault == "repeat": text = text[:first] + "\n".join(lines[:-1] + lines)
        elif fault == "blank": text = text[:first] + "\n".join([*lines[:1], "", *lines[1:]])
        elif fault == "twist" and at + 9 < len(text): text = text[:at] + text[at:at + 9][::-1] + text[at + 9:]
        elif fault == "space": text = text[:at] + rng.choice((" ", "  ", "\u00a0")) + text[at:]
        elif fault == "odd": text = text[:at] + rng.choice(("\x00", "é", "\u2028", "\x0b", "\ufeff", "'", "\\")) + text[at:]
        elif fault == "value": text = text[:first] + text[first:].replace("STREET", rng.choice(('"A ""B"" C"', '"A\nB"', '"', '""', '12" PIPE')), 1)
    return text


def short(samples, city):
    "A sample as rows, the first of them its header."
    table = pd.read_csv(samples/FILES[city], dtype=str, keep_default_na=False, on_bad_lines="skip")
    return [list(table.columns), *table.values.tolist()]


def test_thousands_of_damaged_files_have_the_rows_of_a_strict_reader(samples, tmp_path):
    rng, n_read, n_ingested = random.Random(SEARCH), 0, 0
    rows = {city: short(samples, city) for city in FILES}
    path = tmp_path/"a.csv"
    for i in range(MUTANTS):
        city, dialect = rng.choice([*FILES]), rng.choice([*DIALECTS])
        header, *body = rows[city]
        delimiter = DIALECTS[dialect][0]
        text = damaged(written([header, *rng.sample(body, rng.randint(1, 5))], dialect), delimiter, rng)
        path.write_bytes(text.encode())
        _, good, n = strictly(text, delimiter)
        wanted = [header[j] for j in rng.sample(range(len(header)), 3)]
        try: table, account = T.read(path, wanted)
        except InputError:
            assert n == 0, text
            continue
        assert (account.rows_in, table.num_rows) == (n, len(good)), text
        places = [header.index(name) for name in wanted]
        for j, name in zip(places, wanted):
            said = [v.strip() for v in (row[j] for row in good)]
            assert [v or "" for v in table[name].to_pylist()] == ["" if v in T.MISSING else v for v in said], text
        # the whole way of every twentieth file, and as often as `EVERY` says through the store
        if i % 20: continue
        try: read = E.read(path, city=city)
        except InputError: read = None
        if read is not None:
            n_read += 1
            assert read.rows_in == n == len(read.events) + sum(read.dropped.values()), text
        if i % EVERY: continue
        try: got = S.ingest(city, path, tmp_path/f"store{i}")
        except InputError: got = None
        assert (got is None) == (read is None), text
        if got is not None:
            n_ingested += 1
            assert (got.rows_in, got.kept, got.dropped, got.mended) == (n, len(read.events), read.dropped, read.mended), text
            pd.testing.assert_frame_equal(S.load(city, folder=tmp_path/f"store{i}"), read.events)
    assert n_read > MUTANTS/40 and n_ingested > MUTANTS/EVERY/2


@pytest.mark.parametrize("row, kept", [("\ufeff", 0), ("\ufeff\ufeff", 0), ("\ufeff1,THEFT", 1), ("\ufeff\ufeff1,THEFT", 1), ('\ufeff"1",THEFT', 1)])
@pytest.mark.parametrize("before", [0, 3])
def test_a_byte_order_mark_behind_the_header_is_part_of_a_value(tmp_path, monkeypatch, row, kept, before):
    # each line is a block of its own, and a mark at its beginning is none of the file's
    monkeypatch.setattr(T, "BLOCK", 8)
    text = "ID,Kind\n" + "7,ARSON\n"*before + row + "\r2,ARSON\n"
    path = put(tmp_path/"a.csv", text)
    table, account = T.read(path, ["ID", "Kind"])
    _, good, n = strictly(text, ",")
    assert account.rows_in == n == before + 2 and len(good) == before + 1 + kept
    assert table.to_pydict() == {"ID": [row[0] for row in good], "Kind": [row[1] for row in good]}


# --- kinds of files ---------------------------------------------------------------------------------------------------

def put(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_one_lost_mark_costs_one_row_of_a_thousand(tmp_path):
    rows = [f'{i},"(41.{i}, -87.{i})",THEFT' for i in range(1000)]
    for i, wrong in ((500, '500,"(41.5, -87.5),THEFT'), (999, '999,"(41.5, -87.5),THEFT'), (0, '0,(41.5, -87.5)",THEFT'), (7, '7,"(41.5, "-87.5)",THEFT')):
        path = put(tmp_path/"a.csv", "ID,Place,Kind\n" + "\n".join([*rows[:i], wrong, *rows[i + 1:]]))
        table, account = T.read(path, ["ID", "Place"])
        assert (account.rows_in, account.unreadable, account.rejected) == (1000, 1, [wrong])
        assert table["ID"].to_pylist() == [str(k) for k in range(1000) if k != i]


def test_two_lost_marks_far_from_each_other_cost_two_rows(tmp_path):
    rows = [f"{i},THEFT,STREET" for i in range(1000)]
    rows[10], rows[900] = '10,"THEFT,STREET', '900,THEFT,STREET"'
    table, account = T.read(put(tmp_path/"a.csv", "\n".join(["ID,Kind,Place", *rows])), ["ID", "Place"])
    # the second mark is a character of a value
    assert (account.rows_in, account.unreadable, len(table)) == (1000, 1, 999)
    rows[900] = '900",THEFT,STREET,x'
    assert T.read(put(tmp_path/"a.csv", "\n".join(["ID,Kind,Place", *rows])), ["ID"])[1].unreadable == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_of_another_width_is_dropped_once_and_never_shifted(tmp_path, end):
    lines = ["ID,Kind,Sex,Ward", "1,THEFT,F,3", "2,THEFT,,F,", "3,THEFT", "4,THEFT,F,3,,,,", '5,"THEFT' + end + 'x",F', "6,ARSON,M,4"]
    table, account = T.read(put(tmp_path/"a.csv", end.join(lines) + end), ["ID", "Kind", "Ward"])
    assert table.to_pylist() == [{"ID": "1", "Kind": "THEFT", "Ward": "3"}, {"ID": "6", "Kind": "ARSON", "Ward": "4"}]
    assert (account.rows_in, account.unreadable) == (6, 4)


def test_line_ends_in_values_may_lie_anywhere(tmp_path, monkeypatch):
    streets = [f"{'x'*(i % 7)},\n{'y'*(i % 5)}z" for i in range(300)]
    rows = [f'{i},"{street}","a ""b"""' for i, street in enumerate(streets)]
    for block in (70, 71, 73, 100, 1000, T.BLOCK):
        monkeypatch.setattr(T, "BLOCK", block)
        for turn in (0, 1, 2, 3, 5):
            path = put(tmp_path/"a.csv", "ID,Street,Note\n" + "\n".join(rows[turn:] + rows[:turn]))
            table, account = T.read(path, ["ID", "Street", "Note"])
            assert account == T.Account(300) and table["Note"].to_pylist() == ['a "b"']*300
            assert table["Street"].to_pylist() == streets[turn:] + streets[:turn]


def test_long_lines_are_rows_and_endless_ones_are_counted(tmp_path, monkeypatch):
    path = put(tmp_path/"a.csv", b"ID,Kind\n1,THEFT\n2," + b"x"*40_000_000 + b"\n3,ARSON\n")
    table, account = T.read(path, ["ID", "Kind"])
    assert account == T.Account(3) and pa.compute.utf8_length(table["Kind"]).to_pylist() == [5, 40_000_000, 5]
    monkeypatch.setattr(T, "BLOCK", 1000)
    monkeypatch.setattr(T, "LONGEST", 10_000)
    put(path, b"ID,Kind\n1,THEFT\n2," + b"x"*50_000 + b"\n3,ARSON\n4,\"" + b"y\n"*20_000 + b'5,FRAUD\n')
    table, account = T.read(path, ["ID", "Kind"])
    assert table["ID"].to_pylist() == ["1", "3", "5"] and account.rows_in == 3 + 1 + 20_000 and len(account.rejected) == T.LISTED


def test_pieces_are_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(T, "BLOCK", 200_000)
    path = put(tmp_path/"a.csv", "ID;Kind\n" + "".join(f"{i};THEFT\n{'x' if i % 1000 == 0 else ''}" for i in range(100_000)) + "\n")
    whole, account = T.read(path, ["ID"])
    parts = list(T.batches(path, ["ID"], rows=30_000))
    assert len(parts) > 1 and all(books.rows_in >= 30_000 for _, books in parts)
    assert pa.concat_tables([table for table, _ in parts]).equals(whole) and sum(books.rows_in for _, books in parts) == account.rows_in


@pytest.mark.parametrize("text, wanted, right", [
    ("\ufeffID,Kind\n1,A\n", "ID Kind", ["1", "A"]), (",ID,Kind\n0,1,A\n", "ID Kind", ["1", "A"]), ('"","ID","Kind"\n"0","1","A"\n', "ID Kind", ["1", "A"]),
    ("ID,Kind,\n1,A,\n", "ID Kind", ["1", "A"]), ("ID,Kind\n1,A,\n2,A,\n3,A,\n", "ID Kind", ["1", "A"]), ("ID,Kind,,\n1,A\n", "ID Kind", ["1", "A"]),
    ("ID , Kind\n 1 , A \n", "ID Kind", ["1", "A"]), ("ID;Kind\n1;A, B\n", "ID Kind", ["1", "A, B"]), ("ID\tKind\r\n1\tA\r\n", "ID Kind", ["1", "A"]),
    ("ID|Kind\n1|A", "ID Kind", ["1", "A"]), ("ID,Kind\r1,A\r", "ID Kind", ["1", "A"]), ("\n\nID,Kind\n\n1,A\n\n", "ID Kind", ["1", "A"]),
    ('ID,"Kind\nof"\n1,A\n', "ID Kindof", ["1", "A"]), ("ID,Kind\n1, NA \n", "ID Kind", ["1", None]), ('ID,Kind\n1,"(null)"\n', "ID Kind", ["1", None]),
    ("ID,Kind\n1,CAF\u00c9\n".encode("latin-1"), "ID Kind", ["1", "CAF\u00c9"]), ("ID,Kind\n1,\u20ac\n".encode("cp1252"), "ID Kind", ["1", "\u20ac"]),
    ("ID;Stra\u00dfe\n1;Caf\u00e9\n".encode("cp1252"), "ID Stra\u00dfe", ["1", "Caf\u00e9"]), ("ID,Stra\u00dfe\n1,Caf\u00e9\n", "ID Stra\u00dfe", ["1", "Caf\u00e9"]),
    ("sep=;\r\nID;Kind\r\n1;A, B\r\n", "ID Kind", ["1", "A, B"]), ('\ufeff"sep=|"\nID|Kind\n1|A;B\n', "ID Kind", ["1", "A;B"]), ("SEP=\t\nID\tKind,x;y\n1\tA\n", "ID Kind,x;y", ["1", "A"]),
    ("sep=,\n\nID,A;B;C\n1,A\n", "ID A;B;C", ["1", "A"]),
    *[("ID\tStra\u00dfe\r\n1\t\u20ac \U0001f600\r\n".encode(code), "ID Stra\u00dfe", ["1", "\u20ac \U0001f600"]) for code in ("utf-16", "utf-16-le", "utf-16-be")],
    ("\ufeffID;Kind\n1;A\n".encode("utf-16-be"), "ID Kind", ["1", "A"]), ("\ufeffsep=;\nID;Kind\n1;A\n".encode("utf-16-le"), "ID Kind", ["1", "A"])])
def test_dialects(tmp_path, text, wanted, right):
    table, account = T.read(put(tmp_path/"a.csv", text), wanted.split())
    assert [[*row.values()] for row in table.to_pylist()[:1]] == [right] and account.rows_in == len(table)


def test_utf16_of_any_length_and_packed(tmp_path, monkeypatch):
    rows = "ID,Kind\n" + "".join(f"{i},\U0001f600{'é'*(i % 9)}\n" for i in range(2000))
    for block in (65, 66, 1001, T.BLOCK):
        monkeypatch.setattr(T, "BLOCK", block)
        table, account = T.read(put(tmp_path/"a.csv.gz", gzip.compress(rows.encode("utf-16"))), ["ID", "Kind"])
        assert account == T.Account(2000) and table["Kind"].to_pylist()[8] == "\U0001f600" + "é"*8 and T.header(tmp_path/"a.csv.gz") == ["ID", "Kind"]


def test_a_line_that_is_not_utf8_costs_nothing_and_is_counted(tmp_path):
    lines = [b"1,CAF\xc9", "2,CAFÉ".encode(), b"3,\x81", b"4,THEFT"]
    table, account = T.read(put(tmp_path/"a.csv", b"ID,Kind\n" + b"\n".join(lines)), ["Kind"])
    assert account == T.Account(4, foreign=2) and table["Kind"].to_pylist() == ["CAFÉ", "CAFÉ", "\ufffd", "THEFT"]


def test_every_flipped_bit_of_an_archive_is_found_or_does_no_harm(tmp_path):
    rng = np.random.default_rng(0)
    text = b"ID,Kind\n" + b"".join(b"%d,THEFT %d\n" % (i, rng.integers(1e9)) for i in range(2000))
    (tmp_path/"b").mkdir()
    with zipfile.ZipFile(tmp_path/"b/a.zip", "w", zipfile.ZIP_DEFLATED) as z: z.writestr("a.csv", text)
    for good in (gzip.compress(text, mtime=0), (tmp_path/"b/a.zip").read_bytes()):
        right = T.read(put(tmp_path/"a", good), ["ID", "Kind"])[0]
        for at in rng.integers(0, 8*len(good), 150):
            bad = bytearray(good)
            bad[at//8] ^= 1 << at % 8
            try: got = T.read(put(tmp_path/"a", bytes(bad)), ["ID", "Kind"])[0]
            except InputError as error: assert "\n" not in str(error)
            else: assert got.equals(right)
        for cut in rng.integers(1, len(good), 30):
            with pytest.raises(InputError): T.read(put(tmp_path/"a", good[:cut]), ["ID", "Kind"])


def test_a_name_is_a_path_and_no_pattern(tmp_path):
    for name, kind in (("data1.csv", "B"), ("data[1].csv", "A"), ("all*.csv", "C"), ("alle.csv", "D")): put(tmp_path/name, f"ID,Kind\n1,{kind}\n")
    for name, kind in (("data[1].csv", "A"), ("all*.csv", "C")): assert T.read(tmp_path/name, ["Kind"])[0]["Kind"].to_pylist() == [kind]


def test_archives_that_cannot_be_read_and_what_is_no_table(tmp_path):
    with zipfile.ZipFile(tmp_path/"none.zip", "w"): pass
    with zipfile.ZipFile(tmp_path/"two.zip", "w") as z: z.writestr("a", "ID\n1"), z.writestr("b", "ID\n1")
    with zipfile.ZipFile(tmp_path/"locked.zip", "w") as z: z.writestr("a.csv", "ID\n1\n")
    locked = bytearray((tmp_path/"locked.zip").read_bytes())
    for at in (6, locked.index(b"PK\x01\x02") + 8): locked[at] |= 1
    put(tmp_path/"locked.zip", bytes(locked))
    put(tmp_path/"utf16.csv", "ID,Kind\n1,A\n".encode("utf-16")[:-1])
    put(tmp_path/"empty.csv", "")
    put(tmp_path/"blank.csv", "\n\n\n")
    put(tmp_path/"header.csv", "ID\n")
    put(tmp_path/"twice.csv", "ID,id\n1,2\n")
    put(tmp_path/"half.parquet", b"PAR1" + b"x"*99)
    for name, words in {"none.zip": "lacks|holds 0|cannot", "two.zip": "holds 2 files", "locked.zip": "encrypted", "utf16.csv": "cannot be read .*utf-16", "empty.csv": "is empty", "blank.csv": "lacks",
                        "header.csv": "no rows", "twice.csv": "more than once", "half.parquet": "cannot be read", "nowhere.csv": "no file", "": "no file"}.items():
        with pytest.raises(InputError, match=words) as error: T.read(tmp_path/name, ["ID"])
        assert "\n" not in str(error.value)


# --- Parquet ----------------------------------------------------------------------------------------------------------

def test_packed_by_bzip2_and_xz_and_with_two_marks(tmp_path):
    text = "a,b\n1,x\n2,y\n".encode()
    for name, data in (("a.csv.bz2", bz2.compress(text)), ("a.csv.xz", lzma.compress(text)), ("a.csv", b"\xef\xbb\xbf"*2 + text), ("b.csv", "\ufeff\ufeffa,b\n1,x\n2,y\n".encode("utf-16"))):
        table, account = T.read(put(tmp_path/name, data), ["a", "b"])
        assert table.to_pydict() == {"a": ["1", "2"], "b": ["x", "y"]} and account.rows_in == 2
    with pytest.raises(InputError, match="a.csv.bz2 cannot be read"): T.read(put(tmp_path/"a.csv.bz2", bz2.compress(text*1000)[:-9]), ["a"])


def test_what_is_no_table_is_named(tmp_path):
    xlsx = tmp_path/"a.xlsx"
    with zipfile.ZipFile(xlsx, "w") as z:
        for name in ("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"): z.writestr(name, "<a/>")
    old = put(tmp_path/"a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    page = put(tmp_path/"page.csv", b"\n<!DOCTYPE html>\n<html><head><title>503 Service, Unavailable</title></head></html>\n")
    error = put(tmp_path/"error.csv", b'{"error": true, "message": "Row limit, exceeded"}\n')
    rows = put(tmp_path/"rows.csv", b'[{"date": "2024-01-01", "kind": "THEFT"}]\n')
    for path, words in ((xlsx, "workbook of a spreadsheet: open it there and save its sheet as CSV"), (old, "workbook"), (page, "a web page or XML, and no table.*503 Service"),
                        (error, "JSON, and no table.*Row limit"), (rows, "pandas.read_json")):
        for read in (lambda: T.read(path, ["a"]), lambda: T.header(path), lambda: E.read(path), lambda: E.read_chicago(path), lambda: S.ingest("chicago", path, tmp_path/"stores")):
            with pytest.raises(InputError, match=words): read()


def test_parquet_of_all_kinds_is_text(tmp_path):
    day = datetime.datetime(2018, 1, 5, 8, 15, 30)
    columns = {
        "big": (pa.array([2**63 + 1, 2**53 + 1, None], pa.uint64()), ["9223372036854775809", "9007199254740993", None]),
        "float": (pa.array([1307355., 1.5, float("nan")]), ["1307355", "1.5", None]), "half": (pa.array(np.array([1, 2.5, np.inf], "float16")), ["1", "2.5", None]),
        "bytes": (pa.array([b"ASSAULT", b"CAF\xc9", None]), ["ASSAULT", "CAFÉ", None]), "word": (pa.array([" A ", "NA", "B"]).dictionary_encode(), ["A", None, "B"]),
        "date": (pa.array([day.date(), None, None]), ["2018-01-05", None, None]), "time": (pa.array([day.time(), None, None], pa.time64("us")), ["08:15:30", None, None]),
        "when": (pa.array([day, None, None], pa.timestamp("ns")), ["2018-01-05T08:15:30.000", None, None]),
        "there": (pa.array([day, None, None], pa.timestamp("ms", "America/Chicago")), ["2018-01-05T02:15:30.000", None, None]),
        "yes": (pa.array([True, False, None]), ["true", "false", None]), "nothing": (pa.nulls(3), [None]*3), "large": (pa.array(["x", "y", "z"], pa.large_string()), ["x", "y", "z"])}
    table = pa.table({name: column for name, (column, _) in columns.items()} | {"shape": pa.array([[1.], [2.], None]), "well": pa.array([b"\x01\xff"]*3)})
    pa.parquet.write_table(table, tmp_path/"a.parquet")
    got, account = T.read(tmp_path/"a.parquet", list(columns))
    assert got.to_pydict() == {name: right for name, (_, right) in columns.items()} and account == T.Account(3, zones={"there": "America/Chicago"})
    assert T.header(tmp_path/"a.parquet") == table.column_names
    with pytest.raises(InputError, match="column shape.*lists"): T.read(tmp_path/"a.parquet", ["shape"])
    pd.DataFrame({"Kind": ["A"]}, index=pd.Index(["7"], name="ID")).to_parquet(tmp_path/"b.parquet")
    assert T.read(tmp_path/"b.parquet", ["ID", "Kind"])[0].to_pylist() == [{"ID": "7", "Kind": "A"}]
    # an index that counts is not written as a column, but as a rule
    for index, right in ((pd.RangeIndex(7, 27, 10, name="ID"), ["7", "17"]), (pd.RangeIndex(2), None), (pd.Index([4, 5]), None)):
        pd.DataFrame({"Kind": ["A", "B"]}, index=index).to_parquet(tmp_path/"c.parquet")
        assert T.read(tmp_path/"c.parquet", ["Kind"])[0]["Kind"].to_pylist() == ["A", "B"]
        if right: assert T.read(tmp_path/"c.parquet", ["ID"])[0]["ID"].to_pylist() == right and "ID" in T.header(tmp_path/"c.parquet")
        else: assert "ID" not in T.header(tmp_path/"c.parquet")


# --- one delimiter too many at the end of all lines -------------------------------------------------------------------

ADDRESSES = "id,occurred,kind,address,district,note"


def lines_of(path, header, line, n=30):
    path.write_text(header + "\n" + "".join(line(i) + "\n" for i in range(n)))
    return path


@pytest.mark.parametrize("address", ["{} MAIN ST, NW", "{} MAIN ST,NW"])
@pytest.mark.parametrize("good", [0, 1])
def test_rows_that_a_comma_in_a_value_moves_are_not_read_as_if_all_ended_in_one(tmp_path, address, good):
    def line(i): return f"{i},2024-03-{i % 28 + 1:02},THEFT,{f'{i} MAIN ST' if i < good else address.format(i)},South,"
    path = lines_of(tmp_path/"a.csv", ADDRESSES, line)
    for wanted in (["id", "kind"], ["id", "district"]):
        with pytest.raises(InputError, match=f"such as '{good},2024.*put that value in quotation marks, or end the header with ',' too$"): T.read(path, wanted)
    # both mends work, and mean different things
    lines_of(path, ADDRESSES + ",", lambda i: line(i + good))
    assert {*T.read(path, ["district"])[0]["district"].to_pylist()} == {"NW"}
    lines_of(path, ADDRESSES, lambda i: line(i + good).replace(address.format(i + good), f'"{address.format(i + good)}"'))
    assert {*T.read(path, ["district"])[0]["district"].to_pylist()} == {"South"}


@pytest.mark.parametrize("line, wanted", [
    # the last column is asked for and full; another value with a comma has its marks; no text holds a tab
    ("{},2024-03-01,THEFT,MAIN ST,South,seen,", ["id", "note"]), ('{},2024-03-01,"THEFT, OTHER",MAIN ST,South,seen,', ["id"]),
    ("{}\t2024-03-01\tTHEFT\tMAIN ST\tSouth\t\t", ["id"]), ("{},2024-03-01,THEFT,MAIN ST,South,seen,,", ["note"]),
    ("{}, 2024-03-01, THEFT, MAIN ST, South, seen,", ["note"])])
def test_lines_that_can_only_end_in_a_delimiter_too_many_are_read(tmp_path, line, wanted):
    path = lines_of(tmp_path/"a.csv", ADDRESSES.replace(",", "\t") if "\t" in line else ADDRESSES, line.format)
    table, account = T.read(path, [*wanted, "district"] if wanted == ["id"] and "\t" not in line else wanted)
    right = {"id": [str(i) for i in range(30)], "note": ["seen"]*30, "district": ["South"]*30}
    assert account == T.Account(30) and table.to_pydict() == {name: right[name] for name in table.column_names}


WHEN = T.Kind(lambda column: np.mean([v[:2] == "20" and len(v) == 10 for v in column.drop_null().to_pylist()]) > .5, True)
NUMBER = T.Kind(lambda column: not pa.compute.any(pa.compute.match_substring_regex(column.drop_null(), r"[^\d.-]")).as_py())


def test_the_kinds_of_columns_tell_a_comma_that_ends_all_lines(tmp_path):
    header, typed = "id,occurred,kind,address,lat,lon,ward", {"occurred": WHEN, "lat": NUMBER, "lon": NUMBER}
    def line(i, ward="South", end=","): return f"{i},2024-03-{i % 28 + 1:02},THEFT,{i} MAIN ST,41.{i},-87.{i},{ward}{end}"
    path, wanted = lines_of(tmp_path/"a.csv", header, line), ["id", "kind", "occurred", "lat", "lon"]
    with pytest.raises(InputError, match="quotation marks"): T.read(path, wanted)
    table, account = T.read(path, wanted, typed=typed)
    assert account == T.Account(30) and table.to_pylist()[7] == {"id": "7", "kind": "THEFT", "occurred": "2024-03-08", "lat": "41.7", "lon": "-87.7"}
    assert T.read(path, wanted, typed=None)[1] == T.Account(30)
    # two commas are as good as one
    assert T.read(lines_of(path, header, lambda i: line(i) + ","), wanted, typed=typed)[0].equals(table)
    # one row among others is still nobody's
    few = lines_of(path, header, lambda i: line(i, end="," if i == 3 else ""))
    assert T.read(few, wanted, typed=typed)[1].rejected == [line(3)]
    # a number behind the places may be a place as well: nothing tells …
    number = lines_of(path, header, lambda i: line(i, ward=i))
    with pytest.raises(InputError, match="quotation marks"): T.read(number, wanted, typed=typed)
    # … nor a number behind a text, what no kind says, and a column that a shift would fill
    for columns in (["id", "address", "lat"], ["id"], ["kind"]):
        with pytest.raises(InputError, match="quotation marks"): T.read(path, columns, typed={"lat": NUMBER} if "lat" in columns else {})
    empty = lines_of(path, header, lambda i: f"{i},2024-03-01,THEFT,MAIN ST,,41.{i},,")
    with pytest.raises(InputError, match="quotation marks"): T.read(empty, ["occurred", "lat"], typed=typed)
    # but no text ends in a date, row by row: here both dates are right, wherever the comma is
    two = lines_of(path, "id,kind,occurred,reported,note", lambda i: f"{i},THEFT,2024-03-01,2024-03-02,2024-03-03,")
    assert T.read(two, ["kind", "occurred"], typed={"occurred": WHEN})[0].to_pylist()[0] == {"kind": "THEFT", "occurred": "2024-03-01"}
    # unless one of the lines has no comma at its end
    two.write_text(two.read_text() + "30,THEFT,2024-03-01,2024-03-02,2024-03-03\n")
    with pytest.raises(InputError, match="quotation marks"): T.read(two, ["kind", "occurred"], typed={"occurred": WHEN})


@pytest.mark.parametrize("place", [0, 2, 3, 6])
@pytest.mark.parametrize("n, note", [(1, ""), (2, ""), (1, "seen")])
def test_a_comma_in_a_text_of_all_rows_never_moves_a_value_that_is_read(tmp_path, place, n, note):
    header, typed = "id,occurred,kind,address,lat,lon,note", {"occurred": WHEN, "lat": NUMBER, "lon": NUMBER}
    def values(i): return [str(i), f"2024-03-{i % 28 + 1:02}", "THEFT", f"{i} MAIN ST", f"41.{i}", f"-87.{i}", note]
    def line(i): return ",".join(v + ",NW"*n*(j == place) for j, v in enumerate(values(i)))
    path, wanted = lines_of(tmp_path/"a.csv", header, line), ["id", "occurred", "kind", "lat"]
    # refused, or no row in which something is behind the last column is used
    if note or n > 1 or place == 6: assert (account := T.read(path, wanted, typed=typed)[1]).unreadable == account.rows_in == 30
    else:
        with pytest.raises(InputError, match="quotation marks"): T.read(path, wanted, typed=typed)


@pytest.mark.parametrize("city", FILES)
@pytest.mark.parametrize("ends", [",", ",,"])
def test_a_citys_file_whose_lines_all_end_in_commas_is_the_same_file(samples, tmp_path, city, ends):
    header, *rows = short(samples, city)
    rows = [[v.translate({ord(c): None for c in ',"\n'}) for v in row] for row in rows]
    want = E.read(put(tmp_path/"b.csv", "\n".join(map(",".join, [header, *rows]))), city=city)
    path = put(tmp_path/"a.csv", "\n".join([",".join(header), *(",".join(row) + ends for row in rows)]))
    found, got = E.read(path, city=city), S.ingest(city, path, tmp_path/"store")
    pd.testing.assert_frame_equal(found.events, want.events)
    assert (got.rows_in, got.kept, got.dropped) == (found.rows_in, len(want.events), want.dropped) and found.dropped == want.dropped


@pytest.mark.parametrize("column", ["PREM_TYP_DESC", "OFNS_DESC", "VIC_RACE"])
def test_a_comma_in_a_text_where_the_last_value_is_empty_moves_nothing(samples, tmp_path, column):
    table = pd.read_csv(samples/"nypd.csv", dtype=str, keep_default_na=False).sample(60, replace=True, random_state=1)
    table = table.assign(CMPLNT_NUM=[str(i) for i in range(60)], VIC_SEX="")
    at = list(table.columns).index(column)
    def saved(every):
        lines = [",".join(table.columns)]
        for i, values in enumerate(table.itertuples(index=False)):
            cells = [f'"{v}"' if "," in v else v for v in values]
            if i % every == 0: cells[at] = table.iloc[i, at].replace(",", "") + ", OTHER"
            lines.append(",".join(cells))
        return put(tmp_path/f"{column}.csv", "\n".join(lines) + "\n")
    # in some rows it costs these rows, and no other
    read = E.read_nypd(saved(12))
    assert read.dropped["line unreadable"] == 5 and read.events.victim_sex.isna().all() and set(read.events.victim_descent.dropna()) <= {"BLACK", "WHITE", "WHITE HISPANIC"}
    path = saved(1)
    for one in (lambda: E.read_nypd(path), lambda: S.ingest("nyc", path, tmp_path/"stores")):
        with pytest.raises(InputError, match="lines that end in a ',' too many"): one()


# --- some rows among lines that all end in a delimiter ----------------------------------------------------------------

def both(path, folder, city="chicago"):
    "What the reader says, after the store has said the same."
    read, got = E.read(path, city=city), S.ingest(city, path, folder)
    pd.testing.assert_frame_equal(S.load(city, folder=folder), read.events)
    assert (got.rows_in, got.kept, got.dropped) == (read.rows_in, len(read.events), read.dropped)
    return read


def ended(path, changed, named, d=","):
    "A city's file of 60 rows whose lines all end in a delimiter, but for those that are given; `named`: its header, too."
    header = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Latitude", "Longitude", "Note"]
    lines = [d.join([str(i), f"01/05/2018 08:{i:02}:00 AM", "THEFT", "STREET", "32", "41.88", "-87.63", "", ""]) for i in range(60)]
    for i, line in changed.items(): lines[i] = line
    return put(path, "\n".join([d.join(header) + d*named, *lines]) + "\n")


@pytest.mark.parametrize("d", [",", ";"])
@pytest.mark.parametrize("named", [False, True])
def test_a_row_that_a_comma_in_a_text_moves_is_not_one_of_lines_that_end_in_commas(tmp_path, named, d):
    moved = {7: "7,01/05/2018 08:00:00 AM,THEFT, OVER,STREET,32,41.88,-87.63,", 59: "59,01/05/2018 08:00:00 AM,THEFT,OVER,STREET,32,,,"}
    # marks, values of spaces, a word for a number, a note, and a place that no other row has move nothing
    good = {9: '9,01/05/2018 08:09:00 AM,"THEFT; OVER",STREET,32,41.88,-87.63,,', 10: "10,01/05/2018 08:10:00 AM,THEFT,  ,32,41.88,-87.63,,",
            11: "11,01/05/2018 08:11:00 AM,THEFT, STREET,unknown,,,,", 12: "12,01/05/2018 08:12:00 AM,THEFT,ALLEY,32,41.88,-87.63,seen,"}
    lines = {i: line.replace(",", d) for i, line in {**moved, **good}.items()}
    lines[9] = lines[9].replace(f"THEFT{';' if d == ',' else d} OVER", f"THEFT{d} OVER")
    read = both(ended(tmp_path/"a.csv", lines, named, d), tmp_path/"store")
    assert read.dropped == {"line unreadable": 2} and len(read.events) == 58 and {*read.events.category} == {"THEFT", f"THEFT{d} OVER"}
    assert {*good} <= {*read.events.record_id.astype(int)} and {*read.events.premises.dropna()} == {"STREET", "ALLEY"}


@pytest.mark.parametrize("moved", ["7,2018-01-08,THEFT, OVER,STREET", "7,2018-01-08,THEFT,OVER,STREET", "7,2018-01-08,THEFT, OVER,STREET,,"])
def test_labels_alone_tell_a_moved_row(tmp_path, moved):
    lines = [f"{i},2018-01-{i % 28 + 1:02},{'THEFT' if i % 3 else 'ARSON'},{'STREET' if i % 2 else 'ALLEY'}," for i in range(60)]
    path = put(tmp_path/"a.csv", "\n".join(["id,date,category,place,", *lines[:7], moved, *lines[8:]]))
    table, account = T.read(path, ["id", "date", "category", "place"])
    assert (account.rows_in, account.unreadable) == (60, 1) and len(table) == 59 and {*table["place"].to_pylist()} == {"STREET", "ALLEY"}


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_moved_rows_that_are_many_are_kept_and_said_and_a_few_are_shown_as_written(tmp_path, end):
    def town(step, n=600):
        lines = [f"{i},2018-03-{i % 28 + 1:02} 10:00,{'THEFT' if i % 3 else 'FRAUD'},{'SHOP' if i % 2 else 'BAR'},North," for i in range(n)]
        for i in range(step - 1, n, step): lines[i] = f"{i},2018-03-01 10:00,ARSON,BOAT,SHOP,North"
        return put(tmp_path/"a.csv", end.join(["id,t,c,p,w,", *lines, ""]))
    (tmp_path/"town.yaml").write_text("name: town\nevents: a.csv\ncolumns: {time: t, category: c, premises: p, record_id: id}\n")
    for read in (E.read(town(20), city=str(tmp_path/"town.yaml")), S.ingest(str(tmp_path/"town.yaml"), town(20), tmp_path/"many")):
        said, = (one for one in read.remarks if "seem to be moved" in one)
        assert said.startswith("30 rows or more of ") and "'19,2018-03-01 10:00,ARSON,BOAT,SHOP,North'" in said and not read.dropped and read.rows_in == 600
    S.ingest(str(tmp_path/"town.yaml"), town(300), tmp_path/"few")
    assert S.rejects("town", tmp_path/"few").row.tolist() == [f"{i},2018-03-01 10:00,ARSON,BOAT,SHOP,North" for i in (299, 599)]
    assert T.read(town(300), ["t", "c"])[1].rejected == S.rejects("town", tmp_path/"few").row.tolist()


def chicago_rows(n, note=""):
    return [[str(i), f"01/{i % 28 + 1:02}/2018 08:{i % 60:02}:00 AM", ("THEFT", "BATTERY")[i % 2], f"{i} MAIN ST" if note == "address" else ("STREET", "ALLEY")[i % 2],
             str(i % 77 + 1), f"{41.8 + i % 97/1000:.4f}", f"{-87.7 + i % 89/1000:.4f}", ""] for i in range(n)]


@pytest.mark.parametrize("step, used, named", [(3, 0, ""), (3, 0, "Note"), (10, 0, ""), (10, 0, "Note"), (10, 3, "Note"), (50, 3, "Note"), (50, 2, "Note")])
def test_moved_rows_are_told_of_however_many_they_are_and_where_the_last_column_is_in_use(tmp_path, step, used, named):
    rows = chicago_rows(3000)
    for row in rows[1::used] if used else []: row[-1] = "seen"
    for i in range(0, 3000, step): rows[i] = [*rows[i][:3], "STORE", "RETAIL", *rows[i][4:7]]
    header = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Latitude", "Longitude", named]
    read = both(put(tmp_path/"a.csv", "\n".join(map(",".join, [header, *rows])) + "\n"), tmp_path/"store")
    said = [one for one in read.remarks if "seem to be moved" in one]
    assert len(read.events) == 3000 and len(said) == 1 and "STORE,RETAIL" in said[0] and said[0].startswith(f"{len(range(0, 3000, step)):,} rows or more")


@pytest.mark.parametrize("note, values", [("address", ["12 MAIN ST", "NW"]), ("address", ["12 MAIN ST", "APT 5"]), ("", ["STORE", "RETAIL", "LARGE"])])
def test_a_comma_behind_a_number_or_two_of_them_move_rows_too(tmp_path, note, values):
    rows = [[*row, "", ""] for row in chicago_rows(3000, note)]
    for i in range(100, 3000, 500): rows[i] = [*rows[i][:3], *values, *rows[i][4:7], "", "", ""][:10]
    header = ["ID", "Date", "Primary Type", "Location Description", "Community Area", "Latitude", "Longitude", "Note", "", ""]
    read = both(put(tmp_path/"a.csv", "\n".join(map(",".join, [header, *rows])) + "\n"), tmp_path/"store")
    assert read.dropped == {"line unreadable": 6} and len(read.events) == 2994 and read.events.area.notna().all()


def test_a_new_label_stays_where_right_rows_have_values_behind_the_last_column(tmp_path):
    lines = [f"{i},2018-01-{i % 28 + 1:02},{'THEFT' if i % 3 else 'ARSON'},{'STREET' if i % 2 else 'ALLEY'},{'seen' if i % 40 == 3 else ''}" for i in range(400)]
    lines[7] = "7,2018-01-08,THEFT,PARK,STREET"
    path = put(tmp_path/"a.csv", "\n".join(["id,date,category,place,", *lines]))
    table, account = T.read(path, ["id", "date", "category", "place"])
    assert (account.rows_in, account.unreadable, account.moved, account.example) == (400, 0, 1, lines[7]) and table["place"].to_pylist()[7] == "PARK"


@pytest.mark.parametrize("seed", range(12))
def test_odd_rows_that_are_right_are_all_kept_where_lines_end_in_commas(tmp_path, seed):
    "Columns change their kind behind the first thousand lines, texts are mixed, values are empty, a note comes up now and then."
    draw = np.random.default_rng(seed)
    words = "THEFT ASSAULT STREET ALLEY UNKNOWN NORTH SOUTH LOOP".split()
    def kind():
        some = draw.choice(words, draw.integers(1, 5))
        return [lambda: str(draw.integers(1, 78)), lambda: f"{draw.uniform(41, 42):.4f}", lambda: f"-{draw.uniform(87, 88):.4f}",
                lambda: draw.choice(some), lambda: draw.choice([*some, "", "12A", str(draw.integers(9))]), lambda: "".join(draw.choice([*"abcdef"], 5)),
                lambda: f"{draw.integers(1, 999)} {draw.choice(words)} ST", lambda: f"2018-{draw.integers(1, 13):02}-{draw.integers(1, 29):02}"][draw.integers(8)]
    first, later, note = [kind() for _ in range(6)], [kind() for _ in range(6)], kind()
    rows = [[(late if i > 1000 and draw.random() < .5 else one)() for one, late in zip(first, later)] + [note() if draw.random() < .005 else ""]
            for i in range(3000)]
    path = put(tmp_path/"a.csv", "\n".join(",".join(row) + "," for row in [[*"abcdef", "note"], *rows]))
    table, account = T.read(path, ["a", "b", "c", "d", "e", "f"])
    # where rows stand right with a value at their end, one that might be moved stays, and is told
    assert dataclasses.replace(account, moved=0, example="") == T.Account(3000) and account.moved < 30 and [*map(list, zip(*(table[n].fill_null("").to_pylist() for n in "abcdef")))] == [row[:6] for row in rows]


def test_one_value_behind_the_last_column_costs_its_row_and_no_other(tmp_path):
    line = "7,01/05/2018 08:07:00 AM,THEFT,STREET,32,41.88,-87.63,,seen"
    read = both(ended(tmp_path/"a.csv", {7: line}, False), tmp_path/"store")
    assert read.dropped == {"line unreadable": 1} and len(read.events) == 59 and "7" not in {*read.events.record_id.astype(str)}
    # but where it may be the last column's, and a comma in a text has moved all rows, nothing tells
    path = lines_of(tmp_path/"b.csv", ADDRESSES, lambda i: f"{i},2024-03-01,THEFT,{i} MAIN ST,NW,South,{'seen'*(i == 7)}")
    with pytest.raises(InputError, match="put that value in quotation marks"): T.read(path, ["id", "district", "note"])
