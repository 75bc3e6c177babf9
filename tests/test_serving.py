"""The scoring loop of the installed package: the forecasts of the trained network, no event lost to a kill, none counted twice."""
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from faults import flipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crimenb import panels
from crimenb.core import InputError
from crimenb.models import load
from crimenb.papers.parallel import AreaDNN, AreaGAT, AreaLSTM
from crimenb.lab.serving import Journal, Scorer, export, main, read_events, served

AREAS, CATEGORIES = ["north", "south", "west"], ["violent", "property"]
START = pd.Timestamp("2020-01-06")
WEEKS, KNOWN = 30, 24


def made_up(counts):
    T = len(counts)
    return panels.Panel(counts, START + pd.to_timedelta(7*np.arange(T), "D"), AREAS, CATEGORIES, np.array([0., .1, .2]), np.array([50., 50.1, 50.2]), np.array([1., 2., 3.]))


COUNTS = np.random.default_rng(0).poisson([[3, 9], [6, 2], [1, 4]], (WEEKS, 3, 2)).astype("int32")


def stream():
    "The events of the weeks that the model doesn't know, in a mixed order within a week."
    rng, out = np.random.default_rng(1), []
    for w in range(KNOWN, WEEKS):
        week = [(a, c) for a in range(3) for c in range(2) for _ in range(COUNTS[w, a, c])]
        for a, c in rng.permutation(week):
            when = START + pd.Timedelta(weeks=w, minutes=int(rng.integers(7*24*60)))
            out.append({"record_id": f"{len(out)}", "time": when.isoformat(), "area": AREAS[a], "category": CATEGORIES[c]})
    return out


@pytest.fixture(scope="module")
def learnt():
    "name -> model, fitted on the weeks that are known at first."
    torch.set_num_threads(1)
    panel = made_up(COUNTS[:KNOWN])
    kinds = AreaDNN("levels"), AreaLSTM("counts", cyclic=False), AreaGAT("counts", neighbours=1)
    return {kind.name: kind.set_params(epochs=3, units=8, device="cpu").fit(panel, slice(0, 18), slice(18, 24)) for kind in kinds}


@pytest.fixture(scope="module")
def bundles(learnt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {name: export(model, made_up(COUNTS[:KNOWN]), folder / f"{name}.crimenb") for name, model in learnt.items()}


def until(week): return (START + pd.Timedelta(weeks=week)).isoformat()


@pytest.mark.parametrize("name", ["DNN", "LSTMCrimeNet", "GAT+TCN"])
def test_a_forecast_is_that_of_the_model_in_every_week(name, learnt, bundles, tmp_path):
    scorer, events = Scorer(bundles[name], tmp_path / "journal"), stream()
    for w in range(KNOWN, WEEKS):
        # an event of the week's last day says that the week is whole
        scorer.take([event for event in events if event["time"] < until(w)])
        direct = learnt[name].forecast(made_up(COUNTS[:w]))
        shown = scorer.forecast()
        pd.testing.assert_frame_equal(shown, direct.table)
        assert (shown.period == START + pd.Timedelta(weeks=w)).all() and set(shown.place) == set(AREAS)
    assert (scorer.known().counts == COUNTS[:WEEKS - 1]).all()
    assert ("category" in shown) == (name != "DNN") and ("level 5" in shown) == (name == "DNN")


def test_a_forecast_does_not_see_its_own_week(bundles, tmp_path):
    scorer, events = Scorer(bundles["DNN"], tmp_path / "journal"), stream()
    week = until(KNOWN + 2)
    scorer.take([event for event in events if event["time"] < week])
    before = scorer.forecast()
    scorer.take([{"record_id": f"x{i}", "time": week, "area": "north", "category": "violent"} for i in range(500)])
    assert scorer.forecast().equals(before) and (before.period == pd.Timestamp(week)).all()
    # its last day: the week is whole now, and the forecast is of the next one
    scorer.take([{"record_id": "last", "time": until(KNOWN + 3 - 1/14), "area": "north", "category": "violent"}])
    after = scorer.forecast()
    assert (after.period == pd.Timestamp(until(KNOWN + 3))).all() and not np.allclose(after.expected, before.expected)


def test_weeks_in_which_nothing_came_in_are_unknown_and_not_quiet(bundles, learnt, tmp_path):
    scorer, events = Scorer(bundles["LSTMCrimeNet"], tmp_path / "journal"), stream()
    late = [event for event in events if until(KNOWN + 3) <= event["time"] < until(KNOWN + 5)]
    scorer.take(late)
    known = scorer.known()
    assert np.isnan(known.counts[KNOWN:KNOWN + 3]).all() and len(known) >= KNOWN + 5 - 1 and (known.counts[-1] == COUNTS[KNOWN + 4]).all()
    usual = COUNTS[:KNOWN].sum((1, 2)).mean()
    assert .7*usual < scorer.forecast().expected.sum() < 1.4*usual
    # and a week ahead of what is known goes on from the forecasts between
    direct = learnt["LSTMCrimeNet"].forecast(known, 3).table
    pd.testing.assert_frame_equal(scorer.forecast(until(len(known) + 2)), direct[direct.period == direct.period.max()].reset_index(drop=True))


def program(bundle, journal, **kwargs):
    return subprocess.Popen([sys.executable, "-m", "crimenb.lab.serving", str(bundle), "--journal", str(journal)], env={**os.environ, "OMP_NUM_THREADS": "1"},
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs)


def test_a_killed_program_forgets_nothing_that_it_acknowledged(bundles, tmp_path):
    events, journal = stream(), tmp_path / "killed.jsonl"
    assert len(events) > 100
    running = program(bundles["DNN"], journal)
    # more stays to be sent, so that it can't be at its end
    running.stdin.write("".join(json.dumps(event) + "\n" for event in events[:100]))
    running.stdin.flush()
    answered = [json.loads(running.stdout.readline()) for _ in range(40)]
    running.send_signal(signal.SIGKILL)
    answered += [json.loads(line) for line in running.stdout if line.endswith("\n")]
    assert running.wait() == -signal.SIGKILL
    assert {answer["status"] for answer in answered} == {"counted"} and 40 <= len(answered) <= 100
    # half a line, as a kill within a write leaves it
    with journal.open("ab") as file: file.write(b'["00000000", {"record_id": "7')
    # everything once more, as a sender does that doesn't know how far it came
    running = program(bundles["DNN"], journal)
    said, _ = running.communicate("".join(json.dumps(event) + "\n" for event in events))
    status = {answer["record_id"]: answer["status"] for answer in map(json.loads, said.splitlines())}
    assert running.returncode == 0 and set(status.values()) == {"counted", "duplicate"}
    assert all(status[answer["record_id"]] == "duplicate" for answer in answered)
    killed, whole = Scorer(bundles["DNN"], journal), Scorer(bundles["DNN"], tmp_path / "whole.jsonl")
    whole.take(events)
    assert sorted(killed.rows) == sorted(whole.rows) and len(whole.rows) == COUNTS[KNOWN:].sum()
    assert (whole.known().counts == COUNTS[:len(whole.known())]).all() and len(whole.known()) >= WEEKS - 1
    assert killed.forecast().equals(whole.forecast())
    assert sorted(journal.read_text().splitlines()) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=4))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_counts_once_however_it_is_sent_and_wherever_the_process_ends(bundles, tmp_path_factory, bunches):
    events, journal = stream(), tmp_path_factory.mktemp("j") / "journal"
    for bunch in bunches:
        scorer = Scorer(bundles["DNN"], journal)
        answers = scorer.take([events[i] for i in bunch])
        assert [a["record_id"] for a in answers] == [events[i]["record_id"] for i in bunch]
        scorer.close()
    scorer = Scorer(bundles["DNN"], journal)
    sent = {i for bunch in bunches for i in bunch}
    assert len(scorer.rows) == len(sent) == len(scorer.seen)
    scorer.close()


GOOD = {"record_id": "a", "time": "2020-06-23T10:00", "area": "north", "category": "violent"}


@pytest.mark.parametrize("change, says", [
    ({"record_id": None}, "record_id is missing"), ({"record_id": 7}, "record_id is missing"), ({"time": ""}, "time is missing"), ({"time": "yesterday"}, "no local time"), ({"time": "now"}, "no local time"), ({"time": "06/23/2020"}, "year first"), ({"time": "2020-06-31"}, "no local time"),
    ({"time": "NaT"}, "no local time"), ({"time": "2020-06-23T10:00Z"}, "without a zone"), ({"area": "east"}, "unknown area 'east'"), ({"time": "2020-06-21T23:59"}, "already counts"),
    ({"time": "1999-01-01"}, "already counts"), ({"time": "2021-06-23"}, "check the date"), ({"category": "LITTERING"}, "unknown category 'LITTERING'")])
def test_events_that_can_not_count_are_refused_and_the_rest_goes_on(bundles, tmp_path, change, says):
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    bad, good = scorer.take([GOOD | {"record_id": "b"} | change, GOOD])
    assert bad["status"].startswith("refused: ") and says in bad["status"] and good["status"] == "counted"
    assert len(scorer.rows) == 1 and len((tmp_path / "journal").read_text().splitlines()) == 1


def test_a_portal_category_counts_in_its_group_and_what_is_no_event_is_refused(bundles, tmp_path):
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    assert scorer.take([GOOD | {"category": "ROBBERY"}])[0]["status"] == "counted" and scorer.rows == [(pd.Timestamp(GOOD["time"]), "north", "violent")]
    assert [a["status"][:7] for a in scorer.take(["{broken", 5, None])] == ["refused"]*3


def test_a_journal_with_a_broken_line_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "journal"
    path.write_text('{"a": 1}\n{"a": \n{"a": 2}\n')
    journal = Journal(path)
    with pytest.raises(InputError, match="broken line before its end"): journal.read()
    assert path.read_text().count("\n") == 3
    journal.close()


def test_every_flipped_bit_of_a_journal_is_refused_and_older_journals_are_read(tmp_path):
    path, records = tmp_path / "journal", [{"record_id": f"{i}", "time": "2020-06-23T10:00", "area": "n\u00f6rth", "category": "violent"} for i in range(3)]
    journal = Journal(path)
    journal.write(records)
    good = path.read_bytes()
    def read(content):
        path.write_bytes(content)
        return journal.read()
    for bit in range(8*len(good)):
        bad = bytearray(good)
        bad[bit//8] ^= 1 << bit % 8
        with pytest.raises(InputError, match="broken line"): read(bytes(bad))
        assert path.read_bytes() == bad
    for cut in range(len(good)): assert read(good[:cut]) == records[:good[:cut].count(b"\n")]
    assert read("".join(json.dumps(record) + "\n" for record in records).encode()) == records
    for line in (b"5\n", b"[]\n", b"null\n", b"["*5000 + b"\n"):
        with pytest.raises(InputError, match="broken line"): read(good + line)
    journal.close()


def test_one_process_at_a_time(bundles, tmp_path):
    first = Scorer(bundles["DNN"], tmp_path / "journal")
    with pytest.raises(InputError, match="another process uses the journal"): Scorer(bundles["DNN"], tmp_path / "journal")
    first.close()
    Scorer(bundles["DNN"], tmp_path / "journal").close()


def test_files_that_are_no_model_are_refused(tmp_path, bundles):
    with pytest.raises(InputError, match="there is no model"): Scorer(tmp_path / "none.crimenb", tmp_path / "j")
    (tmp_path / "text.crimenb").write_text("hello")
    with pytest.raises(InputError, match="is no saved model"): Scorer(tmp_path / "text.crimenb", tmp_path / "j")
    content = bundles["DNN"].read_bytes()
    (tmp_path / "bare.crimenb").write_bytes(content)
    with pytest.raises(InputError, match="weeks before cannot be read"): Scorer(tmp_path / "bare.crimenb", tmp_path / "j")
    (tmp_path / "flipped.crimenb").write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(InputError, match="is damaged"): Scorer(tmp_path / "flipped.crimenb", tmp_path / "j")


def test_every_flipped_bit_of_an_exported_model_is_refused(learnt, tmp_path):
    bundle = export(learnt["DNN"], made_up(COUNTS[:KNOWN]), tmp_path / "m.crimenb")
    served(bundle)
    rng = np.random.default_rng(0)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["m.counts", "m.crimenb"]
    for path in files:
        good = path.read_bytes()
        for _ in flipped(path, good, rng):
            with pytest.raises(InputError, match="cannot be read|damaged|no saved model"): served(bundle)
        for wrong in (b"", good[:-1], good + b"0"):
            path.write_bytes(wrong)
            with pytest.raises(InputError): served(bundle)
        path.write_bytes(good)
    served(bundle)


def test_the_exported_model_is_the_saved_one(bundles, learnt):
    loaded = load(bundles["GAT+TCN"])
    np.testing.assert_array_equal(loaded.predict(made_up(COUNTS), range(24, 30)), learnt["GAT+TCN"].predict(made_up(COUNTS), range(24, 30)))


def test_weeks_that_can_not_be_forecast_and_panels_that_can_not_be_served(bundles, learnt, tmp_path):
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    for at in (START, START + pd.Timedelta(weeks=KNOWN + 9)):
        with pytest.raises(InputError, match="there is no forecast for"): scorer.forecast(at)
    for at in ("soon", "2020-06-22T00:00+02:00", [], 10**30):
        with pytest.raises(InputError, match="is no local time"): scorer.forecast(at)
    panel = made_up(COUNTS[:KNOWN])
    panel.attributes, panel.attribute_names = np.ones((KNOWN, 3, 1)), ["victim_age"]
    with pytest.raises(InputError, match="no victim_age"): export(learnt["DNN"], panel, tmp_path / "x.crimenb")
    months = made_up(COUNTS[:KNOWN])
    months.freq = "MS"
    with pytest.raises(InputError, match="only weekly panels"): export(learnt["DNN"], months, tmp_path / "x.crimenb")
    other = made_up(COUNTS[:KNOWN])
    other.areas = ["a", "b", "c"]
    with pytest.raises(InputError, match="fitted on another view"): export(learnt["DNN"], other, tmp_path / "x.crimenb")
    assert not list(tmp_path.glob("x.*"))


class Full:
    "A file on a disk that has room for so many bytes more."
    def __init__(self, file, room): self.file, self.room = file, room
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, data):
        n = self.file.write(data[:self.room])
        self.room -= n
        if not n: raise OSError(28, "No space left on device")
        return n


@pytest.mark.parametrize("room", [0, 1, 70, 150])
def test_a_full_disk_counts_nothing_and_leaves_no_half_line(bundles, tmp_path, room):
    events = stream()[:6]
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    scorer.take(events[:1])
    real, scorer.journal.file = scorer.journal.file, Full(scorer.journal.file, room)
    with pytest.raises(InputError, match="No space left"): scorer.take(events)
    assert len(scorer.rows) == 1 and (tmp_path / "journal").read_text().count("\n") == 1
    # room again: the same events are sent once more, and count once
    scorer.journal.file = real
    assert [a["status"] for a in scorer.take(events)] == ["duplicate"] + ["counted"]*5
    scorer.close()
    again = Scorer(bundles["DNN"], tmp_path / "journal")
    assert len(again.rows) == 6 and len((tmp_path / "journal").read_text().splitlines()) == 6


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_loop_survives_whatever_comes_in(bundles, tmp_path, capsys, form):
    good = [GOOD | {"record_id": f"g{i}"} for i in range(3)]
    row = lambda e: ",".join(e[name] for name in ("record_id", "time", "area", "category")).encode()
    line = {"jsonl": lambda e: json.dumps(e).encode(), "csv": row}[form]
    bad = [b"[" * 100_000, line(GOOD | {"record_id": "x" * 3_000_000}), line(GOOD | {"area": "n\xf6rth"}).decode("unicode_escape").encode("latin-1") if form == "jsonl" else b"a,2020-06-23,n\xf6rth,violent",
           b'a,"2020-06-23,north,violent' if form == "csv" else b'{"record_id": "a', b"\x00\xff\xfe", line(GOOD | {"time": "9" * 400}), b"17", b'{"record_id": [1]}', line(GOOD | {"time": "0001-01-01T00:00"})]
    lines = [good[0], *bad, good[1], good[2]]
    head = b"\xef\xbb\xbf" + (b"record_id,time,area,category\n" if form == "csv" else b"")
    path = tmp_path / f"events.{form}"
    path.write_bytes(head + b"\n".join(e if isinstance(e, bytes) else line(e) for e in lines) + b"\n")
    assert main([str(bundles["DNN"]), "--journal", str(tmp_path / "journal"), "--input", str(path)]) == 0
    said = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [a["record_id"] for a in said if a["status"] == "counted"] == ["g0", "g1", "g2"]
    assert len(said) == len(lines) and all(a["status"].startswith("refused: ") for a in said if a["record_id"] not in ("g0", "g1", "g2"))
    assert max(len(json.dumps(a)) for a in said) < 3000


def test_the_command_line(bundles, tmp_path, capsys):
    table, out = tmp_path / "events.csv", tmp_path / "next.csv"
    pd.DataFrame(stream()[:30]).to_csv(table, index=False)
    given = [str(bundles["DNN"]), "--journal", str(tmp_path / "journal"), "--input", str(table), "--forecast", str(out), "--every", "10"]
    assert main(given) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 30 and lines[0] == {"record_id": "0", "status": "counted"}
    shown = pd.read_csv(out)
    assert list(shown.place) == AREAS and np.allclose(shown.filter(like='level ').sum(axis=1), 1)
    assert main(given[:-1] + ["0"]) == 2 and "every is 0" in capsys.readouterr().err
    assert main([*given[:4], str(tmp_path / "none.csv")]) == 2 and "can not read" in capsys.readouterr().err


def test_answers_that_can_not_be_written_end_in_one_sentence(bundles, tmp_path, monkeypatch, capsys):
    (tmp_path / "events.jsonl").write_text(json.dumps(GOOD))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([str(bundles["DNN"]), "--journal", str(tmp_path / "j"), "--input", str(tmp_path / "events.jsonl")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "an answer can not be written (No space left on device)" in said


def test_lines_that_are_no_json_come_as_text():
    assert list(read_events([b'{"a": 1}\n', b"\n", b"{broken\n"])) == [{"a": 1}, "{broken"]
    with pytest.raises(InputError): list(read_events([], "xml"))
