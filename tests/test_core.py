"crimenb.core: names, numbers, files that are whole or not there, one bar."
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crimenb import core
from crimenb.core import InputError, clear_temporary, needs, of_types, one_of, progress, shown, typed, within, write_atomic


def test_a_name_that_is_not_known_is_refused_with_those_that_are():
    assert one_of("cpu", ("smoke", "cpu"), "profile") == "cpu"
    with pytest.raises(InputError, match="unknown profile 'gpu': use one of smoke, cpu"): one_of("gpu", ("smoke", "cpu"), "profile")

@pytest.mark.parametrize("words, right", [
    ("look at https://mary:secret@host:8080/a, and", "look at https://…@host:8080/a, and"), ("'https://mary:se@cr/et@host'", "'https://…@host'"), ("http://token@host/a", "http://…@host/a"),
    ("https://host:8080/a and mary@host", "https://host:8080/a and mary@host"), ("https://host/a@b", "https://host/a@b"), ("ask https://host/a, PAI@5%: no", "ask https://host/a, PAI@5%: no")])
def test_a_sentence_shows_of_an_address_neither_user_nor_password(words, right): assert str(InputError(words)) == right

def test_a_number_out_of_range_is_refused_and_the_ends_are_not():
    assert [within(v, "share", 0, 1) for v in (0, .5, 1)] == [0, .5, 1]
    for wrong in (-.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share"): within(wrong, "share", 0, 1)

@typed
def asked(n: int = 1, share: "float | None" = None, name: "str | Path" = "a", days: "tuple | None" = None, since: "str | date | None" = None, sure: bool = False, table: "pd.DataFrame | None" = None,
          then: "Callable | None" = None, plain=2, some=(1, 2), words: tuple = (), rest: object = None, **more): return n

@pytest.mark.parametrize("given", [
    dict(n=np.int32(3)), dict(n=True), dict(share=2), dict(share=np.float32(.5)), dict(share=float("inf")), dict(name=Path("a")), dict(days=[1]), dict(days=np.arange(2)), dict(since="2018-07-01"),
    dict(since=pd.Timestamp("2018-07-01")), dict(since=np.datetime64("2018-07-01")), dict(since=date(2018, 7, 1)), dict(sure=1), dict(sure=np.True_), dict(table=pd.DataFrame()), dict(then=len), dict(plain=.5),
    dict(words=["age"]), dict(some=[.5]), dict(some=range(3)), dict(rest="anything", more=5), dict(share=None, days=None, since=None, table=None, then=None)])
def test_what_an_annotation_names_is_taken(given): assert asked(**given) == given.get("n", 1)

@pytest.mark.parametrize("given, says", [
    (dict(n="3"), "n is '3': give a whole number"), (dict(n=3.), "n is 3.0: give a whole number"), (dict(n=None), "n is None: give a whole number"), (dict(share="half"), "share is 'half': give a number"),
    (dict(share=float("nan")), "share is nan: give a number"), (dict(name=5), "name is 5: give a text or a path"), (dict(days=3), "days is 3: give a list"), (dict(days="abc"), "days is 'abc': give a list"),
    (dict(since="soon"), "since is 'soon': give a day, such as 2018-07-01"), (dict(since=2018), "since is 2018: give a day"), (dict(since=pd.NaT), "since is a NaTType: give a day"),
    (dict(sure="no"), "sure is 'no': give True or False"), (dict(sure=2), "sure is 2: give True or False"), (dict(table=[1]), r"table is \[1\]: give a table"), (dict(table=np.ones(2)), "table is a ndarray: give a table"),
    (dict(then=5), "then is 5: give a function"), (dict(plain="2"), "plain is '2': give a number"), (dict(plain=[2]), r"plain is \[2\]: give a number"), (dict(some=(1, "a")), "some is 'a': give a number"), (dict(some=3), "some is 3: give a list")])
def test_what_it_does_not_name_is_refused_with_what_to_give(given, says):
    with pytest.raises(InputError, match=f"^{says}") as error: asked(**given)
    assert "\n" not in str(error.value)

def test_a_name_that_a_function_does_not_have_is_pythons_own_error_and_types_of_an_object_are_asked_alike():
    with pytest.raises(TypeError, match="positional arguments? but"): typed(lambda n: n)(1, 2)
    class Held:
        def __init__(self, n: int = 1): self.n = n
    held = Held()
    assert of_types(held) is held
    held.n = "many"
    with pytest.raises(InputError, match="n is 'many': give a whole number"): of_types(held)

def test_a_file_is_written_whole_with_its_folder_and_the_users_rights(tmp_path):
    umask = os.umask(0o027)
    try: path = write_atomic(tmp_path / "deep" / "a.txt", "größer")
    finally: os.umask(umask)
    assert path.read_bytes() == "größer".encode() and path.stat().st_mode & 0o777 == 0o640
    assert write_atomic(path, b"new").read_bytes() == b"new" and [p.name for p in path.parent.iterdir()] == ["a.txt"]

def test_what_can_not_be_written_is_one_sentence_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    # a folder in the place of the file, a file in the place of its folder, and a folder that takes no files
    for path in (tmp_path / "folder", tmp_path / "file" / "a.txt", "/proc/a.txt"):
        with pytest.raises(InputError, match=f"can not write {path}: [^;]+; name a place") as error: write_atomic(path, "x")
        assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"] and (tmp_path / "file").read_text() == "old"

def test_a_folder_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (".", "..", "/", tmp_path):
        with pytest.raises(InputError, match="it is a folder; name a place"): write_atomic(place, "x")
    assert list(tmp_path.iterdir()) == []

def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path):
    path = write_atomic(tmp_path / "a.txt", "old")
    with pytest.raises(TypeError): write_atomic(path, 3.14)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1

WRITER = '''import os, sys, time
from crimenb import core
def wait(number):
    print("writing", flush=True)
    time.sleep(600)
os.fsync = wait
core.write_atomic(sys.argv[1], "new")'''

def test_what_a_killed_process_left_is_removed_and_never_what_another_one_writes(tmp_path):
    path = tmp_path / "k1.pt"
    path.write_text("old")
    dead, alive = ([subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) for _ in range(2)])
    try:
        for process in (dead, alive): assert process.stdout.readline() == "writing\n"
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert len(list(tmp_path.glob(".k1.pt.*"))) == 2
        (tmp_path / ".notes.0123").touch()
        core._CLEARED.discard(tmp_path)
        clear_temporary(tmp_path)
        # that of the living one stays, and so does what is not ours
        assert len(list(tmp_path.glob(".k1.pt.*"))) == 1 and (tmp_path / ".notes.0123").exists() and path.read_text() == "old"
    finally:
        for process in (dead, alive):
            process.kill()
            process.communicate()
    core._CLEARED.discard(tmp_path)
    assert write_atomic(path, "newer").read_text() == "newer" and sorted(p.name for p in tmp_path.iterdir()) == [".notes.0123", "k1.pt"]

def test_a_file_that_was_cleared_before_its_lock_is_written_again(tmp_path, monkeypatch):
    real, seen = core._lock, []
    def slow(f, wait):
        if not seen: os.unlink(seen.append(f.name) or f.name)
        return real(f, wait)
    monkeypatch.setattr(core, "_lock", slow)
    assert write_atomic(tmp_path / "a.txt", "whole").read_text() == "whole" and len(seen) == 1 and len(list(tmp_path.iterdir())) == 1

def test_without_locks_only_what_is_old_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(core, "fcntl", None)
    new, old = tmp_path / f".a.{'0'*32}", tmp_path / f".a.{'1'*32}"
    for place in (new, old): place.touch()
    os.utime(old, (1, 1))
    assert write_atomic(tmp_path / "a", "x").read_text() == "x" and new.exists() and not old.exists()

def test_a_bar_is_drawn_only_where_it_is_watched(capsys, monkeypatch):
    monkeypatch.delenv("CRIMENB_PROGRESS", raising=False)
    assert list(progress(range(3), "adding")) == [0, 1, 2] and capsys.readouterr().err == ""
    monkeypatch.setenv("CRIMENB_PROGRESS", "1")
    assert list(progress(range(3), "adding")) == [0, 1, 2] and "adding" in capsys.readouterr().err

def test_without_a_terminal_what_a_bar_shows_is_a_line_again_and_again_and_other_text_goes_through(monkeypatch):
    monkeypatch.delenv("CRIMENB_PROGRESS", raising=False)
    monkeypatch.setattr(core, "EVERY", .1)
    said, through = [], io.StringIO()
    with core.said_again("forecast week", said.append, through=through) as bars, contextlib.redirect_stderr(bars):
        for i in progress(range(4), "trying", unit="model"):
            if i == 2: print("a warning", file=sys.stderr)
            for _ in progress(range(5), "training", unit="epoch"): time.sleep(.03)
    assert len(said) >= 3 and all(line.startswith("forecast week, 0:0") for line in said) and any("training:" in line for line in said), said
    assert through.getvalue() == "a warning\n"
    count = len(said)
    time.sleep(.3)
    assert len(said) == count

def test_an_optional_package_that_is_missing_is_named_with_its_extra():
    import json.tool
    assert needs("json.tool", "x") is json.tool
    with pytest.raises(InputError, match=r"this needs no_such_package: pip install 'crimenb\[maps\]'"): needs("no_such_package.part", "maps")

def test_a_package_that_is_broken_inside_keeps_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import something_it_lacks")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_lacks"): needs("half_installed", "maps")

@pytest.mark.parametrize("value, digits, text", [
    (.21645816188572276, 3, ".216"), (2.9546115190450517, 1, "3.0"), (2.955, 2, "2.96"), (2.675, 2, "2.68"), (1.005, 2, "1.00"), (.2165, 3, ".216"), (.2175, 3, ".218"),
    (.9999, 3, "1.000"), (0, 2, ".00"), (-.0001, 2, ".00"), (-.0049, 4, "−.0049"), (-12.5, 0, "−12"), (1e-30, 3, ".000"), (1e22, 1, "10000000000000000000000"), (128, 0, "128")])
def test_a_number_is_rounded_once_from_its_decimal_digits(value, digits, text):
    assert shown(value, digits) == text

def test_what_is_no_number_is_not_shown():
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="can not be shown"): shown(value, 2)
    with pytest.raises(InputError, match="digits"): shown(1., -1)

@pytest.mark.parametrize("size", [(0, 0), (40, 100)])
def test_a_bar_is_seen_in_a_terminal_and_leaves_nothing(size):
    "Also in one that does not say how large it is."
    pty, fcntl, struct, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "struct", "termios"))
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    code = "import time\nfrom crimenb.core import progress\nfor i in progress(range(3), 'trying'): time.sleep(.15)\nprint('done')"
    done = subprocess.run([sys.executable, "-c", code], stdout=its, stderr=its, timeout=60)
    shown = os.read(ours, 100_000).decode()
    os.close(ours), os.close(its)
    *bars, last = shown.split("\r")[:-1]
    assert done.returncode == 0 and any("trying:  33%" in bar for bar in bars) and last == "done" and not bars[-1].strip()

def test_a_file_that_is_read_whole_is_a_file_and_not_too_large(tmp_path):
    (tmp_path / "a").write_bytes(b"four")
    assert core.file_bytes(tmp_path / "a", 4) == b"four"
    os.mkfifo(tmp_path / "pipe")
    for place, most, says in (("a", 3, "more than 3 bytes"), ("pipe", 9, "a pipe"), (".", 9, "a folder"), ("/dev/zero", 9, "a device"), ("none", 9, "No such file")):
        with pytest.raises(OSError) as error: core.file_bytes(tmp_path / place, most)
        assert says in error.value.strerror


def test_a_refusal_shows_numbers_not_how_numpy_writes_them():
    import numpy as np
    from crimenb.grids import Grid
    with pytest.raises(InputError, match=r"^the box \(3.0, 4.0, 2.0, 5.0\) is not"): Grid(*np.array([3., 4., 2., 5.]))
    for value in (np.float32(2.5), np.int64(3), np.str_("a"), np.bool_(True), np.datetime64("2018-01-01")):
        with pytest.raises(InputError) as error: core.one_of(value, ["b"], "thing")
        assert str(error.value) == f"unknown thing {value.item() if not isinstance(value, np.datetime64) else str(value)!r}: use one of b"
    assert str(InputError("np.nothing(a) is no function of np.random.rand")) .endswith("np.random.rand")

@pytest.mark.parametrize("known, says", [(["a", "b"], "use one of a, b$"), (["boosted trees", "boosted trees, own past"], "use one of boosted trees; boosted trees, own past$")])
def test_names_that_hold_a_comma_are_told_apart(known, says):
    with pytest.raises(InputError, match=f"unknown model 'x': {says}"): one_of("x", known, "model")
