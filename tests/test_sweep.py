"crimenb.lab.sweep: grids and jobs, runs that end well, break, are killed and are stopped, on this machine and on Dask."
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from crimenb.lab import studies, sweep
from crimenb.core import InputError

PROFILE = "rate: 0.5\nfate: well\ndatasets:\n  fair: {}\n  loaded: {rate: 0.7}\n"
DECLARED = ('dataset: str = "fair"   # which die\nprofile: str = "smoke"   # where values come from\nseed: int = 0   # seed\n'
            'rate: float = None   # of sixes\nfate: str = None   # how it ends\nout: str = "runs"   # folder')
# the result says how it was made; torch, which only names the device, is left out of it
BEGIN = ('import os, signal, sys, time, types\nfrom pathlib import Path\nfrom crimenb.lab import studies\nfrom crimenb.core import InputError\n'
         'sys.modules["crimenb.training"] = types.SimpleNamespace(computed=dict, forget=int, describe_device=lambda: os.environ["OMP_NUM_THREADS"] + " threads")\n'
         'run = studies.begin("dice", globals(), {folder!r})\nhere = Path({folder!r})')
END = ('if run.fate == "error": 1/0\n'
       'if run.fate == "killed": os.kill(os.getppid(), signal.SIGKILL), time.sleep(60)\n'
       'if run.fate == "slow":\n'
       '    with open(here / "pids", "a") as f: print(os.getpid(), os.getppid(), file=f)\n'
       '    while not (here / "go").exists(): time.sleep(.05)\n'
       'run.add([dict(method="throws", kind="ours", protocol="plain", split="test", metric="mean", value=run.rate, low=None, high=None, n=1)])\nrun.save()')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A folder with one small study, `dice`, and surroundings in which a job starts quickly."
    folder = tmp_path_factory.mktemp("studies")
    cells = [new_code_cell(DECLARED, metadata={"tags": ["parameters"]}), new_code_cell(BEGIN.format(folder=str(folder))), new_code_cell(END)]
    meta = {"kernelspec": {"name": "python3", "language": "python", "display_name": "python3"}}
    nbformat.write(new_notebook(cells=cells, metadata=meta), folder / "dice.ipynb")
    (folder / "params").mkdir()
    (folder / "params" / "dice-smoke.yaml").write_text(PROFILE)
    # jsonschema can do without it, and it takes most of the time that a job needs to start
    (folder / "light").mkdir()
    (folder / "light" / "rfc3987_syntax.py").write_text("raise ImportError('left out')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder / "light"), os.environ.get("PYTHONPATH")])))
        yield folder

@pytest.fixture(scope="module")
def swept(folder):
    "Three runs, of which one breaks and one is killed: the table, the folder, and what was said meanwhile."
    (folder / "mixed.yaml").write_text("study: dice\nseed: 7\nfate: [killed, error, well]\n")
    said, out = io.StringIO(), folder / "runs"
    return sweep.sweep(folder / "mixed.yaml", out, workers=1, folder=folder, stream=said), out, said.getvalue()

def asked(folder, text):
    (folder / "asked.yaml").write_text(text)
    return sweep.jobs(folder / "asked.yaml", folder)

def until(true, seconds=600):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(.05)

def alive(pid):
    "Whether the process is there and no zombie."
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError: return False


# --- the sweep file ---

def test_a_list_is_an_axis_and_a_value_holds_for_all(folder):
    found = asked(folder, "study: dice\ndataset: [fair, loaded]\nseed: [2, 1]\nfate: error\n")
    assert [(j.values["dataset"], j.values["seed"], j.values["rate"]) for j in found] == [("fair", 2, .5), ("fair", 1, .5), ("loaded", 2, .7), ("loaded", 1, .7)]
    assert {j.values["fate"] for j in found} == {"error"} and len({j.name for j in found}) == 4

def test_grids_that_come_to_the_same_parameters_are_one_job(folder):
    found = asked(folder, "- study: dice\n  seed: [0, 1]\n- study: dice\n  rate: [0.5, 0.6]\n  dataset: fair\n")
    assert [(j.values["seed"], j.values["rate"]) for j in found] == [(0, .5), (1, .5), (0, .6)]
    assert found[0].name == studies.stem("dice", studies.resolve("dice", {"out": "elsewhere"}, folder))

def test_a_text_is_read_by_the_declared_type(folder):
    assert [j.values["rate"] for j in asked(folder, "study: dice\nrate: [1e-3, '1', 1]\n")] == [.001, 1.]

@pytest.mark.parametrize("text, says", [
    ("", "asked.yaml must be a mapping with an entry `study`"), ("- 1\n", "must be a mapping"), ("[]", "must be a mapping"), ("seed: 0\n", "with an entry `study`"),
    ("study: dice\nseed: []\n", "seed is an empty list: give it a value, or leave the line out"),
    ("study: dice\nseed: [0, {}]\n", "seed can not be {}: write a text"), ("study: dice\nseed:\n", "seed can not be None"),
    ("study: dice\ndataset: 2018-01-01\n", "unknown data set of dice '2018-01-01'"),
    ("study: dice\nseed: [0, 0]\n", "seed lists 0 twice: leave one out"), ("study: dice\n1: 0\ntrue: 0\n", "line 3 has True a second time"),
    (f"study: dice\nseed: {[*range(101)]}\nrate: {[*range(100)]}\n", "asks for 10,100 runs: no sweep does more than 10,000"),
    ("study: dice\nseed: 0\nseed: 1\n", "line 3 has seed a second time"), ("study: dice\nout: there\n", "give the folder with --out"),
    ("study: [dice\n", "it is no YAML"), ("\x00", "it is no YAML"), ("study: !!python/name:os.system\n", "it is no YAML"), ("? [a]\n: 1\n", "it is no YAML"), ("study: &a [*a]\n", "has an alias"),
    ('study: "a\\0"\n', "line 1 has a character that cannot be shown"), ("study: cards\n", "unknown study 'cards': use one of dice"), ("study: 1\n", "unknown study 1"),
    ("study: dice\nsede: 0\n", "unknown parameter of dice 'sede': use one of dataset"), ("study: dice\n1: 0\n", "unknown parameter of dice 1"),
    ("study: dice\nseed: zero\n", "parameter seed of dice must be of type int, not 'zero'"), ("study: dice\nrate: .nan\n", "must be a finite float, not nan"),
    ("- study: dice\n- study: dice\n  dataset: round\n", "asked.yaml, grid 2: unknown data set of dice 'round': use one of fair, loaded")])
def test_a_bad_sweep_file_is_one_sentence_with_the_key_and_the_mend(folder, text, says):
    with pytest.raises(InputError) as error: asked(folder, text)
    assert says in str(error.value) and "asked.yaml" in str(error.value) and "\n" not in str(error.value)

def test_nothing_is_written_when_the_file_or_a_setting_is_bad(folder, tmp_path):
    (folder / "asked.yaml").write_text("study: dice\n")
    for path, given, says in ((tmp_path / "none.yaml", {}, "can not read .*none.yaml: No such file"), (tmp_path, {}, "can not read"),
                              (folder / "asked.yaml", dict(threads=0), "threads is 0"), (folder / "asked.yaml", dict(workers=0), "workers is 0"),
                              (folder / "asked.yaml", dict(scheduler="tcp://127.0.0.1:x"), "no Dask scheduler answers at tcp://127.0.0.1:x: start one")):
        with pytest.raises(InputError, match=says): sweep.sweep(path, tmp_path / "runs", folder=folder, stream=io.StringIO(), **given)
    assert not (tmp_path / "runs").exists()

def test_every_study_of_the_library_can_be_swept(tmp_path):
    (tmp_path / "all.yaml").write_text(f"study: {studies.names()}\nprofile: [smoke, cpu]\nseed: [0, 1]\n")
    assert len(sweep.jobs(tmp_path / "all.yaml")) == 4 * len(studies.names())


# --- runs ---

def test_a_run_that_breaks_or_is_killed_stops_no_other_and_keeps_its_notebook(swept):
    table, out, _ = swept
    killed, error, well = table.to_dict("records")
    assert [killed["state"], error["state"], well["state"]] == ["failed", "failed", "done"]
    assert "SIGKILL" in killed["reason"] and error["reason"] == "dice.ipynb stopped: ZeroDivisionError: division by zero" and well["reason"] == ""
    for line in (killed, error):
        kept = nbformat.read(out / line["file"], as_version=4)
        assert line["file"].endswith(".failed.ipynb") and any("fate" in o.get("text", "") for c in kept.cells for o in c.get("outputs", []))
    assert studies.read_results(out)["file"].tolist() == [well["file"]] and not list(out.glob(".*"))

def test_a_job_has_the_threads_that_it_is_given_and_a_result_like_any_other_run(swept):
    table, out, _ = swept
    result = json.loads((out / table["file"].iloc[-1]).read_text())
    assert result["device"] == "1 threads" and result["parameters"] == dict(dataset="fair", profile="smoke", seed=7, rate=.5, fate="well")

def test_the_summary_is_a_csv_and_a_text(swept):
    table, out, _ = swept
    assert list(table) == ["study", "profile", "dataset", "seed", "fate", "state", "seconds", "file", "reason"]
    assert pd.read_csv(out / "mixed.csv", keep_default_na=False)["state"].tolist() == ["failed", "failed", "done"]
    text = sweep.summary(table, "there").splitlines()
    assert text[0].split() == ["study", "profile", "dataset", "seed", "fate", "state", "time", "file"]
    assert sum(line.startswith("failed: ") for line in text) == 2 and text[-1].startswith("3 runs: 1 done, 2 failed; crimenb leaderboard --results there")

def test_without_a_terminal_every_change_is_a_line(swept):
    lines = swept[2].splitlines()
    assert lines[0] == "3 runs: 3 waiting" and "\x1b" not in swept[2]
    assert sum("] running dice-smoke-fair-s7-" in line for line in lines) == 3
    assert [line.split()[:2] for line in lines[1:] if "] running" not in line] == [["[1/3]", "failed"], ["[2/3]", "failed"], ["[3/3]", "done"]]

def test_on_a_terminal_the_table_is_drawn_in_place_and_fits():
    class Terminal(io.StringIO):
        def isatty(self): return True
    todo = [sweep.Job(f"dice-{i}", "dice", {"seed": i}, {"profile": "smoke", "dataset": "fair", "seed": i}) for i in range(50)]
    stream = Terminal()
    live = sweep._Live(todo, stream)
    live.set("dice-40", "failed", "a reason that is longer than any line of a small window can hold " * 3)
    live.set("dice-45", "running")
    for _ in range(2): live.draw()
    first, second = stream.getvalue().split("\x1b[J\x1b[A\n")[:2]
    height = first.count("\n")
    assert second.startswith(f"\x1b[{height}F") and second.count("\n") == height <= 23
    lines = live.lines(60, 10)
    assert len(lines) == 10 and max(map(len, lines)) <= 60 and lines[0].startswith("50 runs: 48 waiting, 1 failed, 1 running · 0:0")
    assert lines[1].startswith("running  0:0") and lines[2].startswith("failed") and lines[-1] == "… and 42 more"
    assert len(live.lines(60, 51)) == 51 and live.lines(60, 51)[-1].startswith("waiting")

def test_ctrl_c_leaves_what_is_finished_and_no_process(folder, swept):
    _, out, _ = swept
    (folder / "night.yaml").write_text("study: dice\nseed: 7\nfate: [well, slow, error]\n")
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.json")}
    # a shell without job control starts what runs in the background deaf to Ctrl-C, and so would be everything below it
    hear = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = hear + f"from crimenb.lab.sweep import sweep; sweep({str(folder / 'night.yaml')!r}, {str(out)!r}, workers=1, folder={str(folder)!r})"
    going = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: (folder / "pids").exists() and (folder / "pids").read_text().endswith("\n"))
    going.send_signal(signal.SIGINT)
    said = going.communicate(timeout=600)[1]
    assert f"stopped: 1 of 3 runs are finished and stay in {out}; the same command goes on with the other 2" in said and "KeyboardInterrupt" in said.splitlines()[-1]
    assert pd.read_csv(out / "night.csv")["state"].tolist() == ["found", "stopped", "waiting"]
    until(lambda: not any(alive(pid) for pid in (folder / "pids").read_text().split()))
    assert before == {p: p.stat().st_mtime_ns for p in out.glob("*.json")}
    (folder / "pids").unlink()

def test_a_finished_run_is_one_with_a_notebook_and_a_valid_result(folder, swept, tmp_path):
    _, out, _ = swept
    [job] = asked(folder, "study: dice\nseed: 7\n")
    assert sweep.finished(job, out) and not sweep.finished(job, tmp_path)
    whole = (out / f"{job.name}.json").read_text()
    for text in (whole[:-9], whole.replace('"seed"', '"sede"'), ""):
        (tmp_path / f"{job.name}.json").write_text(text)
        (tmp_path / f"{job.name}.ipynb").touch()
        assert not sweep.finished(job, tmp_path)
    (tmp_path / f"{job.name}.json").write_text(whole)
    assert sweep.finished(job, tmp_path)
    (tmp_path / f"{job.name}.ipynb").unlink()
    assert not sweep.finished(job, tmp_path)

def test_the_next_call_goes_on_and_on_dask_a_run_whose_worker_is_killed_is_done_by_another(folder, swept):
    from distributed import LocalCluster
    _, out, _ = swept
    (folder / "night.yaml").write_text("study: dice\nseed: 7\nfate: [well, slow]\n")
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.json")}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        code = f"from crimenb.lab.sweep import sweep; print(*sweep({str(folder / 'night.yaml')!r}, {str(out)!r}, scheduler={cluster.scheduler_address!r}, folder={str(folder)!r})['state'])"
        going = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: (folder / "pids").exists() and (folder / "pids").read_text().endswith("\n"))
        first = (folder / "pids").read_text().split()
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        # the job of the dead worker ends with it
        until(lambda: not any(alive(pid) for pid in first))
        (folder / "go").touch()
        said = going.communicate(timeout=600)
    assert said[0].split() == ["found", "done"] and "] running dice-smoke-fair-s7-" in said[1], said
    assert len((folder / "pids").read_text().splitlines()) == 2
    assert before.items() <= {p: p.stat().st_mtime_ns for p in out.glob("*.json")}.items() and not list(out.glob(".*"))

GO, BEGUN = threading.Event(), []
def waits(study, *_):
    BEGUN.append(study)
    GO.wait(60)

def test_on_dask_a_run_that_a_worker_has_not_begun_is_waiting(monkeypatch):
    from distributed import LocalCluster
    monkeypatch.setattr(sweep, "_in_process", waits)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        places = sweep._Cluster(cluster.scheduler_address)
        futures = {name: places.submit(name, name, {}, "there", None, 1) for name in "abc"}
        until(lambda: BEGUN and sum(map(len, places.client.processing().values())) == 3)
        assert places.running(futures) == BEGUN and len(BEGUN) == 1
        GO.set()
        until(lambda: all(future.done() for future in futures.values()))
        assert places.running(futures) == [] and sorted(BEGUN) == ["a", "b", "c"]
        places.stop()

def test_a_large_sweep_file_takes_no_longer_than_it_is_long(tmp_path):
    path, since = tmp_path / "sweep.yaml", time.process_time()
    path.write_text("study: dice\n" + "".join(f"k{i}: 1\n" for i in range(20_000)))
    assert len(sweep.grids(path)[0]) == 20_001
    path.write_text(f"study: dice\nseed: {[*range(10_000)]}\n")
    assert len(sweep.grids(path)[0]["seed"]) == 10_000 and time.process_time() - since < 60

def test_a_bomb_of_aliases_is_one_sentence(tmp_path):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}']*9)}]\n" for i in range(1, 9))
    (tmp_path / "sweep.yaml").write_text(bomb)
    with pytest.raises(InputError, match=r"^sweep.yaml: line 2 has an alias \(\*\): write the value out$"): sweep.grids(tmp_path / "sweep.yaml")

def test_a_sweep_with_a_budget_stops_by_itself_and_goes_on_when_it_is_called_again(folder, monkeypatch):
    # the minute is over as soon as a run is under way
    clock = types.SimpleNamespace(sleep=time.sleep, monotonic=lambda: time.monotonic() + 60*(folder / "pids").exists())
    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(sweep, "PATIENCE", 5)
    (folder / "lent.yaml").write_text("study: dice\nseed: [31, 32, 33]\nfate: slow\n")
    (folder / "pids").unlink(missing_ok=True), (folder / "go").unlink(missing_ok=True)
    said, out = io.StringIO(), folder / "lent"
    table = sweep.sweep(folder / "lent.yaml", out, workers=1, budget=1, folder=folder, stream=said)
    assert table.state.tolist() == ["stopped", "waiting", "waiting"] and "0 of 3 runs are finished" in said.getvalue()
    until(lambda: not any(alive(pid) for line in (folder / "pids").read_text().splitlines() for pid in line.split()))
    (folder / "go").touch()
    table = sweep.sweep(folder / "lent.yaml", out, workers=1, budget=30, folder=folder, stream=said)
    assert table.state.tolist() == ["done"]*3, table.reason.tolist()
    with pytest.raises(InputError, match="budget is -1"): sweep.sweep(folder / "lent.yaml", out, budget=-1, folder=folder, stream=said)


# --- kills ---

def marked(mark):
    "Processes that were started by whom this word was given, and are no zombies: pid -> its command."
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes() and alive(place.name): found[int(place.name)] = (place / "cmdline").read_text()
        # another's, or gone meanwhile
        except OSError: continue
    return found

@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")
def test_a_sweep_that_is_killed_anywhere_at_any_moment_leaves_no_process_and_no_half_file_and_goes_on(folder, tmp_path):
    "The sweep, a job or its kernel is killed; CRIMENB_KILLS=20 does it more often."
    draw, kills, out = np.random.default_rng(0), int(os.environ.get("CRIMENB_KILLS", 3)), tmp_path / "runs"
    (tmp_path / "night.yaml").write_text("study: dice\nseed: [1, 2, 3]\nrate: [0.1, 0.9]\n")
    kinds = {"sweep": "import sweep; sweep(", "job": "_work()", "kernel": "ipykernel"}
    code = f"from crimenb.lab.sweep import sweep; sweep({str(tmp_path / 'night.yaml')!r}, {str(out)!r}, workers=1, folder={str(folder)!r})"
    def begin(): return subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"SWEPT_BY": str(tmp_path)}, stderr=subprocess.DEVNULL, start_new_session=True)
    mine = lambda: marked(f"SWEPT_BY={tmp_path}\0".encode())
    done, going = {}, None
    try:
        for kill in range(kills):
            if going is None or going.poll() is not None: going = begin()
            kind = list(kinds)[kill % 3]
            until(lambda: going.poll() is not None or any(kinds[kind] in command for command in mine().values()))
            time.sleep(draw.random()*4)
            victims = [pid for pid, command in mine().items() if kinds[kind] in command]
            for pid in victims: os.kill(pid, signal.SIGKILL)
            if kind == "sweep":
                going.wait()
                until(lambda: not mine(), 30)
            # what was finished stays as it was
            now = {path: path.read_bytes() for path in out.glob("*.json")}
            assert done.items() <= now.items()
            for content in now.values(): json.loads(content)
            done = now
        if going.poll() is None: going.wait(600)
        assert begin().wait(600) == 0
        assert set(pd.read_csv(out / "night.csv")["state"]) <= {"found", "done"} and len(list(out.glob("dice-*.json"))) == 6
        assert done.items() <= {path: path.read_bytes() for path in out.glob("*.json")}.items()
        until(lambda: not mine(), 30)
        assert not list(out.glob(".*"))
    finally:
        for pid in mine(): os.kill(pid, signal.SIGKILL)
