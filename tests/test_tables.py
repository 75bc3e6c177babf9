"""The one reader of tables: each line of a file is a row, a part of one, or in the books; a second, slower reader counts as it does."""
import datetime
import gzip
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
# files of the property test; CRIMENB_MUTANTS=100000 makes more of them
MUTANTS = int(os.environ.get("CRIMENB_MUTANTS", 10_000))


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


# --- ten thousand damaged files ---------------------------------------------------------------------------------------

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


def test_ten_thousand_damaged_files_have_the_rows_of_a_strict_reader(samples, tmp_path):
    rng, n_read, n_ingested = random.Random(0), 0, 0
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
        # the whole way of every tenth file, and of every hundredth the store
        if i % 10: continue
        try: read = E.read(path, city=city)
        except InputError: read = None
        if read is not None:
            n_read += 1
            assert read.rows_in == n == len(read.events) + sum(read.dropped.values()), text
        if i % 100: continue
        try: got = S.ingest(city, path, tmp_path/f"store{i}")
        except InputError: got = None
        assert (got is None) == (read is None), text
        if got is not None:
            n_ingested += 1
            assert (got.rows_in, got.kept, got.dropped, got.mended) == (n, len(read.events), read.dropped, read.mended), text
            pd.testing.assert_frame_equal(S.load(city, folder=tmp_path/f"store{i}"), read.events)
    assert n_read > MUTANTS/20 and n_ingested > MUTANTS/200
