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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crimenb import panels
from crimenb.core import InputError
from crimenb.papers import parallel
from crimenb.lab.serving import Journal, Scorer, export, main, read_events

AREAS, CATEGORIES = ["north", "south", "west"], ["violent", "property"]
START = pd.Timestamp("2020-01-06")
WEEKS, KNOWN = 30, 24
EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def made_up(counts):
    T = len(counts)
    return panels.Panel(counts, START + pd.to_timedelta(7*np.arange(T), "D"), AREAS, CATEGORIES, np.array([0., .1, .2]), np.array([50., 50.1, 50.2]), np.array([1., 2., 3.]), np.zeros((T, 3, 0)), [], {}, "W-MON")


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
    "name, task -> (fitted network, features)."
    torch.set_num_threads(1)
    panel = made_up(COUNTS[:KNOWN])
    out = {}
    for name, task, cyclic in (("DNN", "level", True), ("LSTMCrimeNet", "counts", False), ("GAT+TCN", "counts", True)):
        features = panels.Features(panel, slice(0, 18), cyclic)
        fitted = parallel.fit(name, parallel.Cases.of(features), range(4, 18), range(18, 24), task, edge_index=EDGES, epochs=3, model={"units": 8}, device="cpu")
        out[name] = fitted, features
    return out


@pytest.fixture(scope="module")
def bundles(learnt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {name: export(fitted, features, folder / f"{name}.pt2") for name, (fitted, features) in learnt.items()}


@pytest.mark.parametrize("name", ["DNN", "LSTMCrimeNet", "GAT+TCN"])
def test_a_forecast_is_that_of_the_trained_network_in_every_week(name, learnt, bundles, tmp_path):
    fitted, features = learnt[name]
    scorer, events = Scorer(bundles[name], tmp_path / "journal"), stream()
    for w in range(KNOWN, WEEKS):
        # of the week that is forecast nothing may be known, of the one before everything
        until = (START + pd.Timedelta(weeks=w)).isoformat()
        scorer.take([event for event in events if event["time"] < until])
        there = panels.Features(made_up(np.concatenate([COUNTS[:w], np.zeros((1, 3, 2), "int32")])), features.train, name != "LSTMCrimeNet")
        direct = fitted.predict(parallel.Cases.of(there), [w])
        shown = scorer.forecast(until)
        assert np.allclose(shown.iloc[:, 2:], direct, atol=1e-5) and list(shown.area) == AREAS and (shown.week == pd.Timestamp(until)).all()
    assert (scorer.counts == COUNTS[:WEEKS - 1]).all()
    assert list(shown)[2:] == (CATEGORIES if name != "DNN" else [f"level {k}" for k in range(5)])


def test_a_forecast_does_not_see_its_own_week(bundles, tmp_path):
    scorer, events = Scorer(bundles["DNN"], tmp_path / "journal"), stream()
    week = (START + pd.Timedelta(weeks=KNOWN + 2)).isoformat()
    scorer.take([event for event in events if event["time"] < week])
    before = scorer.forecast(week)
    scorer.take([{"record_id": f"x{i}", "time": week, "area": "north", "category": "violent"} for i in range(500)])
    assert scorer.forecast(week).equals(before)
    assert not scorer.forecast(START + pd.Timedelta(weeks=KNOWN + 3)).iloc[:, 2:].equals(before.iloc[:, 2:])


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
    with journal.open("ab") as file: file.write(b'{"record_id": "7')
    # everything once more, as a sender does that doesn't know how far it came
    running = program(bundles["DNN"], journal)
    said, _ = running.communicate("".join(json.dumps(event) + "\n" for event in events))
    status = {answer["record_id"]: answer["status"] for answer in map(json.loads, said.splitlines())}
    assert running.returncode == 0 and set(status.values()) == {"counted", "duplicate"}
    assert all(status[answer["record_id"]] == "duplicate" for answer in answered)
    killed, whole = Scorer(bundles["DNN"], journal), Scorer(bundles["DNN"], tmp_path / "whole.jsonl")
    whole.take(events)
    assert (killed.counts == whole.counts).all() and (whole.counts == COUNTS).all()
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
    assert scorer.counts.sum() - COUNTS[:KNOWN].sum() == len(sent) == len(scorer.seen)
    scorer.close()


GOOD = {"record_id": "a", "time": "2020-06-23T10:00", "area": "north", "category": "violent"}


@pytest.mark.parametrize("change, says", [
    ({"record_id": None}, "record_id is missing"), ({"record_id": 7}, "record_id is missing"), ({"time": ""}, "time is missing"), ({"time": "yesterday"}, "is no time"),
    ({"time": "NaT"}, "no local time"), ({"time": "2020-06-23T10:00Z"}, "without a zone"), ({"area": "east"}, "unknown area 'east'"), ({"time": "2020-06-21T23:59"}, "already counts"),
    ({"time": "1999-01-01"}, "already counts"), ({"time": "2021-06-23"}, "check the date"), ({"category": "LITTERING"}, "unknown category 'LITTERING'")])
def test_events_that_can_not_count_are_refused_and_the_rest_goes_on(bundles, tmp_path, change, says):
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    bad, good = scorer.take([GOOD | {"record_id": "b"} | change, GOOD])
    assert bad["status"].startswith("refused: ") and says in bad["status"] and good["status"] == "counted"
    assert scorer.counts.sum() == COUNTS[:KNOWN].sum() + 1 and len((tmp_path / "journal").read_text().splitlines()) == 1


def test_a_portal_category_counts_in_its_group_and_what_is_no_event_is_refused(bundles, tmp_path):
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    assert scorer.take([GOOD | {"category": "ROBBERY"}])[0]["status"] == "counted" and scorer.counts[KNOWN, 0, 0] == 1
    assert [a["status"][:7] for a in scorer.take(["{broken", 5, None])] == ["refused"]*3


def test_a_journal_with_a_broken_line_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "journal"
    path.write_text('{"a": 1}\n{"a": \n{"a": 2}\n')
    journal = Journal(path)
    with pytest.raises(InputError, match="broken line before its end"): journal.read()
    assert path.read_text().count("\n") == 3


def test_one_process_at_a_time(bundles, tmp_path):
    first = Scorer(bundles["DNN"], tmp_path / "journal")
    with pytest.raises(InputError, match="another process uses the journal"): Scorer(bundles["DNN"], tmp_path / "journal")
    first.close()
    Scorer(bundles["DNN"], tmp_path / "journal").close()


def test_files_that_are_no_model_are_refused(tmp_path, learnt):
    with pytest.raises(InputError, match="there is no model"): Scorer(tmp_path / "none.pt2", tmp_path / "j")
    (tmp_path / "text.pt2").write_text("hello")
    with pytest.raises(InputError, match="is no exported model"): Scorer(tmp_path / "text.pt2", tmp_path / "j")
    torch.export.save(torch.export.export(torch.nn.Linear(1, 1), (torch.ones(1, 1),)), tmp_path / "bare.pt2")
    with pytest.raises(InputError, match="lacks what a forecast needs"): Scorer(tmp_path / "bare.pt2", tmp_path / "j")


def test_weeks_that_can_not_be_forecast_and_panels_that_can_not_be_served(bundles, learnt, tmp_path):
    scorer = Scorer(bundles["DNN"], tmp_path / "journal")
    for at in (START, START + pd.Timedelta(weeks=KNOWN + 9)):
        with pytest.raises(InputError, match="there is no forecast for"): scorer.forecast(at)
    fitted, features = learnt["DNN"]
    panel = made_up(COUNTS[:KNOWN])
    panel.attributes, panel.attribute_names = np.ones((KNOWN, 3, 1)), ["victim_age"]
    with pytest.raises(InputError, match="no victim_age"): export(fitted, panels.Features(panel, slice(0, 18)), tmp_path / "x.pt2")
    months = made_up(COUNTS[:KNOWN])
    months.freq = "MS"
    with pytest.raises(InputError, match="only weekly panels"): export(fitted, panels.Features(months, slice(0, 18)), tmp_path / "x.pt2")


def test_the_command_line(bundles, tmp_path, capsys):
    table, out = tmp_path / "events.csv", tmp_path / "next.csv"
    pd.DataFrame(stream()[:30]).to_csv(table, index=False)
    given = [str(bundles["DNN"]), "--journal", str(tmp_path / "journal"), "--input", str(table), "--forecast", str(out), "--every", "10"]
    assert main(given) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 30 and lines[0] == {"record_id": "0", "status": "counted"}
    shown = pd.read_csv(out)
    assert list(shown.area) == AREAS and np.allclose(shown.iloc[:, 2:].sum(axis=1), 1)
    assert main(given[:-1] + ["0"]) == 2 and "every is 0" in capsys.readouterr().err
    assert main([*given[:4], str(tmp_path / "none.csv")]) == 2 and "can not read" in capsys.readouterr().err


def test_lines_that_are_no_json_come_as_text():
    assert list(read_events(['{"a": 1}\n', "\n", "{broken\n"])) == [{"a": 1}, "{broken"]
    with pytest.raises(InputError): list(read_events([], "xml"))
