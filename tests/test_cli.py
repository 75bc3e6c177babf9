"crimenb.lab.cli: what a shell sees. Exit codes, one line for an error, and no traceback."
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import crimenb
from crimenb import sources
from crimenb.lab import cli, studies, sweep

sys.path.insert(0, os.path.dirname(__file__))
from portal_server import PortalServer
from portal_server import soda_rows

CRIMENB = Path(sys.executable).parent / "crimenb"


def shell(capsys, *argv):
    "Exit code, standard output, standard error of one command, run in this process."
    try: code = cli.main([*map(str, argv)])
    except SystemExit as stop: code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("argv, says", [
    ([], "COMMAND"), (["foretell"], "invalid choice: 'foretell'"), (["rtm", "-p", "seed=1"], "crimenb reproduce rtm --list says what can be set"), (["forecast"], "QUESTION"), (["forecast", "week"], "--dataset is missing"), (["card"], "FILE"), (["--verbose"], "COMMAND"),
    (["fetch"], "NAME"), (["fetch", "nyc16", "nyc17"], "unknown data set or city 'nyc17': use one of nyc16, chi18"), (["fetch", "chicago"], "--from"), (["fetch", "nyc16", "--from", "2018-01-01"], "are for cities"),
    (["fetch", "chicago", "--from", "last year"], "last year"), (["sweep"], "FILE"), (["ingest", "chicago"], "FILE"), (["ingest", "boston", "x.csv"], "unknown city or data set 'boston'"), (["sweep", "nowhere.yaml"], "nowhere.yaml"), (["sweep", "x.yaml", "--workers", "two"], "--workers"),
    (["leaderboard", "--html", "page", "--metric", "MRR"], "leave out"), (["leaderboard", "--html", "page", "--results", "nowhere"], "there is no folder nowhere"),
    (["reproduce"], "are required: STUDY (see"), (["reproduce", "crimealert"], "unknown study 'crimealert': use one of"),
    (["reproduce", "crimealarm", "--profile", "gpu"], "unknown profile of crimealarm 'gpu': use one of cpu, paper, smoke"),
    (["reproduce", "crimealarm", "--dataset", "dc_rtm"], "unknown data set of crimealarm 'dc_rtm': use one of city, nyc16, chi18"),
    (["reproduce", "crimealarm", "-p", "epoch=1"], "unknown parameter of crimealarm 'epoch'"),
    (["reproduce", "crimealarm", "-p", "epochs=1.5"], "parameter epochs of crimealarm must be of type int"),
    (["reproduce", "crimealarm", "-p", "epochs"], "'epochs' is not a parameter: write name=value"),
    (["reproduce", "crimealarm", "-p"], "expected one argument"),
    (["reproduce", "crimealarm", "-p", "out=x"], "--out"),
    (["reproduce", "crimealarm", "--dataset", "city", "-p", "dataset=city"], "given twice"),
    (["reproduce", "crimealarm", "--data", "city"], "unrecognized arguments"),
    (["reproduce", "crimealarm", "--out", ""], "--out: the path is empty"), (["reproduce", "crimealarm", "--out", "/proc"], "can not write to /proc"),
    (["leaderboard", "--results", ""], "--results: the path is empty"), (["leaderboard", "--out", ""], "--out: the path is empty"),
    (["leaderboard", "--lines", "-1"], "--lines is -1: it must be at least 0"),
    (["leaderboard", "--results", "nowhere"], "there is no folder nowhere"), (["datasets", "extra"], "unrecognized arguments: extra")])
def test_wrong_input_is_one_line_and_exit_code_2(capsys, monkeypatch, tmp_path, argv, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell(capsys, *argv)
    assert (code, out) == (2, "") and says in err
    assert err.startswith("crimenb: ") and err.count("\n") == 1 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []

def test_no_name_is_fetched_where_one_is_unknown(capsys, monkeypatch):
    fetched = []
    monkeypatch.setattr(sources, "fetch", lambda name: fetched.append(name) or {})
    assert shell(capsys, "fetch", "nyc16", "nyc17")[0] == 2 and fetched == []
    assert shell(capsys, "fetch", "nyc16", "chi18")[0] == 0 and fetched == ["nyc16", "chi18"]

def test_fetch_prints_the_paths(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "fetch", lambda name: {"a.txt": tmp_path / "a.txt", "b.txt": tmp_path / "b.txt"})
    assert shell(capsys, "fetch", "nyc16")[1] == f"{tmp_path}/a.txt\n{tmp_path}/b.txt\n"

def test_fetching_a_city_fills_its_store_and_again_brings_what_is_new(capsys, monkeypatch, tmp_path):
    with PortalServer({"ijzp-q8t2": soda_rows(40)}) as server:
        monkeypatch.setenv("CRIMENB_PORTAL_CHICAGO", server.base)
        monkeypatch.setenv("CRIMENB_CACHE", str(tmp_path))
        asked = ("fetch", "chicago", "--from", "2018-01-01", "--to", "2018-12-31")
        code, out, err = shell(capsys, *asked)
        assert code == 0 and Path(out.splitlines()[0]).is_file()
        first = sources.load("chicago")
        server.insert("ijzp-q8t2", soda_rows(41)[40] | {"id": "99999999"})
        assert shell(capsys, *asked)[0] == 0
        code, out, err = shell(capsys, *asked, "--json")
        [said] = json.loads(out)
        assert code == 0 and said["name"] == "chicago" and Path(said["files"][0]).is_file() and said["report"][-1] == {"what": "in the store", "reason": "", "rows": len(first) + 1}
        assert shell(capsys, *asked, "-q")[1].splitlines() == said["files"]
    assert len(sources.load("chicago")) == len(first) + 1 and 30 < len(first) <= 40

def test_files_that_are_there_are_put_into_a_store_too(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CRIMENB_STORE", str(tmp_path))
    assert "there is no store yet" in shell(capsys, "stores")[1]
    code, out, err = shell(capsys, "ingest", "la", Path(__file__).parents[1] / "data/samples/lapd.csv")
    assert code == 0 and "kept" in out and "dropped" in out
    assert shell(capsys, "stores")[1].splitlines()[1].split()[0] == "la" and len(sources.load("la")) > 5
    [there] = json.loads(shell(capsys, "stores", "--json")[1])
    assert there["city"] == "la" and there["rows"] == len(sources.load("la"))
    again = ("ingest", "la", Path(__file__).parents[1] / "data/samples/lapd.csv")
    assert shell(capsys, *again, "-q")[:2] == (0, "") and json.loads(shell(capsys, *again, "--json")[1])[-1]["rows"] == there["rows"]

def test_a_sweep_ends_with_1_where_a_run_failed(capsys, monkeypatch, tmp_path):
    outcomes = iter(["done", "failed"])
    table = lambda *_, **__: pd.DataFrame([dict(study="toy", state=next(outcomes), seconds=math.nan, file="toy.json", reason="")])
    monkeypatch.setattr(sweep, "sweep", table)
    assert [shell(capsys, "sweep", "x.yaml")[0] for _ in range(2)] == [0, 1]
    outcomes = iter(["done", "failed"])
    assert shell(capsys, "sweep", "x.yaml", "-q") == (0, f"{Path('runs/toy.json')}\n", "")
    code, out, _ = shell(capsys, "sweep", "x.yaml", "--json")
    assert code == 1 and json.loads(out) == [{"study": "toy", "state": "failed", "seconds": None, "file": "toy.json", "reason": ""}]

def test_the_page_of_the_leaderboard_has_a_table_beside_it(capsys, tmp_path):
    # of one recorded run: the page of all of them is tested in test_leaderboard
    recorded = sorted(studies.folder_of("results").glob("rtm-cpu-dc_rtm-*.json"))[0]
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / recorded.name).write_bytes(recorded.read_bytes())
    code, out, err = shell(capsys, "leaderboard", "--results", tmp_path / "some", "--html", tmp_path / "page")
    assert code == 0 and out.splitlines() == [str(tmp_path / "page" / name) for name in ("leaderboard.html", "leaderboard.csv")]
    assert all(Path(line).stat().st_size > 1000 for line in out.splitlines())

def test_datasets_lists_every_set_with_rows_size_licence_and_whether_it_is_here(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("CRIMENB_DATA", raising=False)
    monkeypatch.setenv("CRIMENB_CACHE", str(tmp_path))
    code, out, err = shell(capsys, "datasets")
    head, *lines = out.splitlines()
    assert code == 0 and head.split() == ["name", "rows", "size", "licence", "here", "what"]
    assert [line.split()[0] for line in lines] == list(sources.registry())
    assert lines[0].split()[:4] == ["nyc16", "473,887", "3.9", "MB"] and all("  no  " in line for line in lines)

def test_version_and_help(capsys):
    assert shell(capsys, "--version")[:2] == (0, f"crimenb {crimenb.__version__}\n")
    code, out, _ = shell(capsys, "--help")
    assert code == 0 and all(command in out for command in ("datasets", "fetch", "reproduce", "leaderboard"))
    assert "crimealarm" in shell(capsys, "reproduce", "--help")[1]

@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_of_a_study_lists_what_can_be_set(capsys, word):
    said = shell(capsys, "rtm", word)
    assert said == shell(capsys, "reproduce", "rtm", "--list") and said[0] == 0 and "resamples" in said[1]
    assert "--list" in shell(capsys, "reproduce", "rtm", word)[1].splitlines()[-1]

def ended(folder):
    "What a run leaves behind that had two rules and a network."
    row = dict(protocol="full", split="test", metric="NDCG@5", n=9, printed=None)
    rows = [dict(row, method=method, kind=kind, value=value, low=value - .01, high=value + .01)
            for method, kind, value in (("popularity", "trivial", .1), ("spot counts", "trivial", .177), ("CrimeAlarm", "paper", .195))]
    (folder/"a.json").write_text(json.dumps({"rows": rows}))
    return studies.Outputs(folder/"a.ipynb", folder/"a.json", folder/"a.html")

def test_reproduce_hands_on_what_was_given_and_prints_where_the_files_lie_and_who_won(capsys, monkeypatch, tmp_path):
    calls = []
    def reproduce(study, given, out, **_):
        calls.append((study, given, out))
        return ended(tmp_path)
    monkeypatch.setattr(studies, "reproduce", reproduce)
    code, out, _ = shell(capsys, "reproduce", "crimealarm", "--profile", "cpu", "-p", "seed=2", "-p", "methods=", "--out", tmp_path)
    assert calls == [("crimealarm", {"seed": 2, "methods": "", "profile": "cpu"}, str(tmp_path))]
    lines = out.splitlines()
    assert code == 0 and [line.split()[-1] for line in lines[:3]] == [str(tmp_path/f"a.{end}") for end in ("ipynb", "json", "html")]
    assert lines[3:] == ["best of each kind, NDCG@5 (more is better), full:", "  trivial      0.177 (0.167 to 0.187)  spot counts",
                         "  paper        0.195 (0.185 to 0.205)  CrimeAlarm"]

def test_a_recorded_run_is_made_once_more_with_what_is_changed(capsys, monkeypatch, tmp_path):
    calls = []
    def reproduce(study, given, out, **_):
        calls.append((study, given))
        return ended(tmp_path)
    monkeypatch.setattr(studies, "reproduce", reproduce)
    recorded = sorted(studies.folder_of("results").glob("rtm-cpu-dc_rtm-*.json"))[0]
    given = json.loads(recorded.read_text())["parameters"]
    assert shell(capsys, "reproduce", recorded)[0] == shell(capsys, "reproduce", recorded, "-p", "seed=7")[0] == 0
    assert calls == [("rtm", given), ("rtm", given | {"seed": 7})]
    code, out, err = shell(capsys, "reproduce", recorded, "--profile", "smoke")
    assert code == 2 and "leave out the profile" in err and err.count("\n") == 1
    assert len(calls) == 2

def test_every_recorded_run_has_settings_that_its_study_still_knows():
    for file in studies.folder_of("results").glob("*.json"):
        study, given = studies.again(file)
        assert given.items() <= studies.resolve(study, given).items(), file.name

@pytest.mark.parametrize("content, said", [("{", "is not a result file"), (None, "there is no result file")])
def test_what_is_no_result_file_is_one_sentence(capsys, tmp_path, content, said):
    if content: (tmp_path / "a.json").write_text(content)
    code, out, err = shell(capsys, "reproduce", tmp_path / "a.json")
    assert code == 2 and said in err and err.count("\n") == 1 and "Errno" not in err

@pytest.mark.parametrize("error, code", [(studies.StudyFailed("it\nbroke"), 1), (cli.InputError("no such\nfile"), 2), (KeyboardInterrupt(), 130)])
def test_every_way_to_end_has_its_exit_code(capsys, monkeypatch, error, code):
    def raises(*_, **__): raise error
    monkeypatch.setattr(studies, "reproduce", raises)
    given, out, err = shell(capsys, "reproduce", "crimealarm")
    assert given == code and out == "" and err.count("\n") == 1

def test_reproduce_says_on_standard_error_what_it_is_at_and_with_q_only_the_paths(capsys, monkeypatch, tmp_path):
    def reproduce(study, given, out, tell=None):
        if tell: tell("crimealarm, 0:30: cell 3 of 9")
        return ended(tmp_path)
    monkeypatch.setattr(studies, "reproduce", reproduce)
    monkeypatch.delenv("CRIMENB_PROGRESS", raising=False)
    assert shell(capsys, "reproduce", "crimealarm")[2] == "crimenb: crimealarm, 0:30: cell 3 of 9\n"
    code, out, err = shell(capsys, "reproduce", "crimealarm", "-q")
    assert (code, err) == (0, "") and out.splitlines() == [str(tmp_path/f"a.{end}") for end in ("ipynb", "json", "html")]
    monkeypatch.setenv("CRIMENB_PROGRESS", "0")
    assert shell(capsys, "reproduce", "crimealarm")[2] == ""

def test_a_bug_is_not_hidden_as_bad_input(monkeypatch):
    monkeypatch.setattr(studies, "reproduce", lambda *_, **__: 1/0)
    with pytest.raises(ZeroDivisionError): cli.main(["reproduce", "crimealarm"])

def test_the_leaderboard_labels_what_was_measured_and_what_was_printed(capsys, tmp_path):
    rows = [dict(method=m, kind="paper", protocol="full", split="test", metric=k, value=.5, low=l, high=h, n=10, printed=p)
            for m, l, h, p in (("ours", .4, .6, .55), ("theirs", None, None, None)) for k in ("MRR", "HR@5")]
    (tmp_path / "a.json").write_text(json.dumps(dict(
        study="s", profile="cpu", dataset="city", data_sha256={}, seed=7, parameters={}, versions={}, commit=None, device="cpu, 9 threads",
        seconds=1., peak_memory_bytes=1, rows=rows)))
    code, out, _ = shell(capsys, "leaderboard", "--results", tmp_path, "--metric", "MRR", "--out", tmp_path / "board.csv")
    head, ours, theirs, note = out.splitlines()
    assert code == 0 and "measured" in head and "95 % interval" in head and "printed" in head and "HR@5" not in out
    assert note.endswith("95 % intervals: from the lowest to the highest end of the seeds'; printed: the work's own number, not measured here")
    assert "0.4000 to 0.6000" in ours and ours.endswith("0.5500") and theirs.endswith("-") and "cpu, 9 threads" in ours
    assert (tmp_path / "board.csv").read_text().splitlines()[0].startswith("study,dataset,protocol,split,metric,method,kind,profile,setting,measured,low,high")
    for metric in ("AUC", ""): assert shell(capsys, "leaderboard", "--results", tmp_path, "--metric", metric)[0] == 2
    for out in (tmp_path, "/proc/board.csv"):
        code, out, err = shell(capsys, "leaderboard", "--results", tmp_path, "--out", out)
        assert (code, out) == (2, "") and "can not write" in err and err.count("\n") == 1
    (tmp_path / "b.json").mkdir()
    code, out, err = shell(capsys, "leaderboard", "--results", tmp_path)
    assert code == 2 and "b.json is not a result file" in err and err.count("\n") == 1

def test_a_leaderboard_of_nothing_says_how_to_get_results(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(studies, "folder_of", lambda what: tmp_path / "not in this wheel")
    for argv in (["--results", tmp_path], ["--results", tmp_path, "--metric", "MRR"], []):
        code, out, err = shell(capsys, "leaderboard", *argv)
        assert code == 2 and "there are no results in" in err and "crimenb reproduce" in err and err.count("\n") == 1

def test_python_m_crimenb_is_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "crimenb", "fetch", "nyc17"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("crimenb: unknown data set or city 'nyc17'") and done.stderr.count("\n") == 1

def test_listing_data_sets_does_not_wait_for_torch():
    check = ("import sys; from crimenb.lab.cli import main; code = main(['datasets']);"
             "print(code, 'torch' in sys.modules, 'papermill' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False False"

def test_help_loads_no_library_that_takes_long():
    check = ("import sys\nfrom crimenb.lab.cli import main\ntry: main(['--help'])\nexcept SystemExit as end: assert end.code in (0, None)\n"
             "print([name for name in ('numpy', 'pandas', 'pyarrow', 'sklearn', 'torch', 'duckdb') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.startswith("usage: crimenb") and done.stdout.splitlines()[-1] == "[]"

def test_a_broken_pipe_is_no_crash(tmp_path):
    # that the installed command runs a study is seen in test_packaging
    env = {k: v for k, v in os.environ.items() if k != "CRIMENB_DATA"} | {"CRIMENB_CACHE": str(tmp_path / "cache")}
    piped = subprocess.run(f'"{CRIMENB}" datasets | head -1', shell=True, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert piped.stdout.startswith("name") and piped.stderr == ""

@pytest.mark.parametrize("closed, said", [(">&-", ""), ("<&- >&- 2>&-", ""), ("2>&-", "name")])
def test_closed_streams_are_no_crash(tmp_path, closed, said):
    # told by a file, as there is nothing else left
    done = subprocess.run(f'"{CRIMENB}" datasets {closed}; echo $? > code', shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (tmp_path / "code").read_text() == "0\n" and done.stdout[:4] == said and done.stderr == ""

@pytest.mark.parametrize("surroundings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_what_a_terminal_can_not_show_is_replaced(tmp_path, surroundings):
    listed = lambda *more: subprocess.run([CRIMENB, "reproduce", "rtm", "--list", *more], capture_output=True, env=os.environ | surroundings)
    done = listed()
    assert done.returncode == 0 and done.stderr == b"" and b"a card with factors (?.yaml)" in done.stdout
    # and to a program nothing is lost
    assert "a card with factors (\u2026.yaml)" in json.loads(listed("--json").stdout)[0]["help"]

def test_words_of_a_file_or_a_portal_do_nothing_to_the_terminal(capsys):
    cli._say("it answers \x1b[31m\x9b2J\n\u202eabc, größer", 2)
    assert capsys.readouterr().err == "crimenb: it answers ?[31m?2J ?abc, größer\n"

# --- what a newcomer types ---

@pytest.mark.parametrize("words, says", [
    ("forecast hechos.csv", "crimenb card hechos.csv drafts that of a file of events"), ("forecast week hechos.csv", "crimenb card hechos.csv drafts"),
    ("forecast hechos.csv week", "a card (….yaml) belongs behind --dataset: crimenb card hechos.csv"), ("forecast week --dataset hechos.parquet", "a card (….yaml) belongs here: crimenb card hechos.parquet"),
    ("reproduce stresnet --dataset hechos.csv", "crimenb card hechos.csv drafts"), ("forecast mine.yaml", "crimenb forecast week --dataset mine.yaml"),
    ("forecast hour mine.yaml", "crimenb forecast hour --dataset mine.yaml"), ("forecast chicago_2018", "crimenb forecast week --dataset chicago_2018"),
    ("forecast m.crimenb july.csv", "crimenb forecast m.crimenb --events july.csv"), ("forecast m.crimenb mine.yaml", "crimenb forecast m.crimenb --dataset mine.yaml"),
    ("forecast week hour --dataset mine.yaml", "ask one thing at a time, not week and hour"), ("forecast week --dataset nofile.csv", "there is no file nofile.csv"), ("forecast weak", "unknown question 'weak': use one of next, hour, week, year")])
def test_a_word_in_the_wrong_place_is_told_where_it_belongs(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("hechos.csv", "hechos.parquet", "july.csv"): (tmp_path/name).touch()
    code, out, err = shell(capsys, *words.split())
    assert code == 2 and says in err and err.count("\n") == 1 and not out
