"""Data sets are verified wherever they come from; a download is whole and right, or not there."""
import hashlib
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from crimenb import sources as S
from crimenb.core import InputError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    "Serves CONTENT in good and bad ways, by the path that is asked for."

    def log_message(self, *args): return None

    def do_GET(self):
        self.server.asked.append(self.path)
        what = self.path.rsplit("/", 1)[-1]
        if what == "missing": return self.send_error(404)
        if what == "broken": return self.send_error(500)
        if what == "moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = CONTENT[:-1] + b"?" if what == "other" else CONTENT
        self.send_response(200)
        if what != "unannounced": self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        # a torn answer ends early, whether or not its length was announced
        self.wfile.write(body[:1000] if what in ("torn", "unannounced") else body)
        self.close_connection = True


@pytest.fixture
def server():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.asked = []
    threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


@pytest.fixture
def made_up(server, tmp_path, monkeypatch):
    "A registry of one made-up data set on the server; a function sets how its file is served."
    monkeypatch.setenv("CRIMENB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CRIMENB_DATA", raising=False)

    def serve(how, file="deep/file.bin"):
        url = f"http://127.0.0.1:{server.server_port}/{how}"
        entry = {"what": "", "rows": 1, "source": "", "licence": "", "files": {file: {"bytes": len(CONTENT), "sha256": SHA256, "url": url}}}
        monkeypatch.setattr(S, "registry", lambda: {"made_up": entry})
        return url
    return serve


def files_in(folder): return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


# --- downloads -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["good", "moved"])
def test_download_and_then_the_cache(made_up, server, tmp_path, how):
    made_up(how)
    assert S.datasets().here["made_up"] == "no"
    path = S.fetch("made_up")["deep/file.bin"]
    assert path == tmp_path / "cache" / "made_up" / "deep" / "file.bin" and path.read_bytes() == CONTENT
    asked = len(server.asked)
    assert S.fetch("made_up")["deep/file.bin"] == path and len(server.asked) == asked
    assert files_in(tmp_path) == ["cache/made_up/deep/file.bin"] and S.datasets().here["made_up"] == "yes"


@pytest.mark.parametrize("how, words", [("missing", "answers 404"), ("broken", "answers 500"), ("other", "serves something else"),
                                        ("torn", "made_up/deep/file.bin"), ("unannounced", "serves something else")])
def test_bad_answers_leave_nothing(made_up, tmp_path, how, words):
    url = made_up(how)
    with pytest.raises(InputError, match=words) as error: S.fetch("made_up")
    # file, address, and where to put it
    for part in ("made_up/deep/file.bin", url, str(tmp_path / "cache" / "made_up" / "deep" / "file.bin"), "CRIMENB_DATA"):
        assert part in str(error.value)
    assert files_in(tmp_path) == []


def test_server_down(made_up, server, tmp_path):
    url = made_up("good")
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="cannot be downloaded") as error: S.fetch("made_up")
    assert url in str(error.value) and str(tmp_path / "cache" / "made_up" / "deep" / "file.bin") in str(error.value)
    assert files_in(tmp_path) == []


def test_cache_that_cannot_be_written(made_up, tmp_path):
    made_up("good")
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(InputError, match="can not write .*file.bin: .*CRIMENB_CACHE"): S.fetch("made_up")
    assert (tmp_path / "cache").read_text() == "a file, not a folder"


# --- copies on this machine ------------------------------------------------------------------------------------------

def test_own_copy_is_used_without_a_download(made_up, server, tmp_path, monkeypatch):
    made_up("good")
    own = tmp_path / "own" / "made_up" / "deep" / "file.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(CONTENT)
    monkeypatch.setenv("CRIMENB_DATA", str(tmp_path / "own"))
    assert S.fetch("made_up")["deep/file.bin"] == own and server.asked == []


@pytest.mark.parametrize("where", ["own", "cache"])
@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"?"])
def test_wrong_hash_is_an_error(made_up, server, tmp_path, monkeypatch, where, content):
    url = made_up("good")
    bad = tmp_path / where / "made_up" / "deep" / "file.bin"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(content)
    if where == "own": monkeypatch.setenv("CRIMENB_DATA", str(tmp_path / "own"))
    with pytest.raises(InputError, match="remove it") as error: S.fetch("made_up")
    for part in (str(bad), SHA256, hashlib.sha256(content).hexdigest(), url): assert part in str(error.value)
    assert bad.read_bytes() == content and server.asked == [] and S.datasets().here["made_up"] == "wrong hash"


def test_own_folder_without_the_file_falls_back(made_up, tmp_path, monkeypatch):
    made_up("good")
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("CRIMENB_DATA", str(tmp_path / "own"))
    assert S.fetch("made_up")["deep/file.bin"] == tmp_path / "cache" / "made_up" / "deep" / "file.bin"
    assert files_in(tmp_path / "own") == []


def test_own_folder_that_is_none(made_up, tmp_path, monkeypatch):
    made_up("good")
    monkeypatch.setenv("CRIMENB_DATA", str(tmp_path / "nowhere"))
    for call in (lambda: S.fetch("made_up"), S.datasets):
        with pytest.raises(InputError, match="CRIMENB_DATA is .*nowhere"): call()


def test_a_folder_in_the_place_of_a_file(made_up, tmp_path):
    made_up("good")
    (tmp_path / "cache" / "made_up" / "deep" / "file.bin").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be read"): S.fetch("made_up")
    assert S.datasets().here["made_up"] == "not readable"


def test_unknown_name():
    for call in (S.fetch, S.load):
        with pytest.raises(InputError, match="unknown data set 'nyc17': use one of nyc16, "): call("nyc17")


# --- the registry ----------------------------------------------------------------------------------------------------

def test_registry_is_well_formed():
    for name, entry in S.registry().items():
        assert set(entry) == {"what", "rows", "source", "licence", "files"} and entry["files"] and entry["rows"] > 0
        assert entry["licence"] and entry["source"]
        for file, f in entry["files"].items():
            assert set(f) == {"bytes", "sha256", "url"} and len(f["sha256"]) == 64 and not file.startswith(("/", "."))
            # pinned to a commit of a public repository
            assert f["url"].startswith("https://raw.githubusercontent.com/") and len(f["url"].split("/")[5]) == 40


def test_registry_notes_name_every_data_set():
    notes = (Path(__file__).resolve().parents[1] / "data" / "README.md").read_text(encoding="utf-8")
    for name, entry in S.registry().items(): assert f"`{name}`" in notes and f"{entry['rows']:,}" in notes


def test_every_real_file_has_its_hash_and_size(fetched):
    for name, entry in S.registry().items():
        paths = fetched(name)
        assert {file: path.stat().st_size for file, path in paths.items()} == {file: f["bytes"] for file, f in entry["files"].items()}
    d = S.datasets()
    assert (d.here == "yes").all() and d.loc["nyc16", "bytes"] == 3_866_060 and len(d) == 12


def test_rows_of_the_registry(fetched):
    for name in ("nyc16", "chi18"):
        assert sum(1 for _ in fetched(name)[f"{name}.txt"].open()) == S.registry()[name]["rows"]
    assert len(json.loads(fetched("la_2020_2024")["monthly_cross.json"].read_text())) == S.registry()["la_2020_2024"]["rows"]
    for name, file in (("dc_rtm", "DC_Crime_withAreas.csv"), ("la_weather_2014_2015", "WeatherFeature.csv")):
        assert sum(1 for _ in fetched(name)[file].open()) - 1 == S.registry()[name]["rows"]


@pytest.mark.parametrize("name", list(S.EVENT_FILES))
def test_load(name):
    assert S.load(name).rows_in == S.registry()[name]["rows"]


def test_the_name_of_a_city_is_its_store(samples, tmp_path, monkeypatch):
    from crimenb.warehouse import store
    monkeypatch.setenv("CRIMENB_STORE", str(tmp_path))
    with pytest.raises(InputError, match="no store of la.*crimenb fetch la"): S.load("la")
    store.ingest("la", samples / "lapd.csv")
    assert len(S.load("la")) == 9 and len(S.load("la", since="2020-03-01", columns=["time"])) < 9
    with pytest.raises(InputError, match="read as a whole"): S.load("chicago_2018", since="2018-02-01")


def test_load_says_where_to_go():
    with pytest.raises(InputError, match=r"read_sequences\(crimenb.sources.fetch\('chi18'\)\['chi18.txt'\]\)"): S.load("chi18")
    with pytest.raises(InputError, match="fetch\\('hagen_la'\\)"): S.load("hagen_la")


def test_a_real_copy_with_one_wrong_byte(fetched, tmp_path, monkeypatch):
    path = tmp_path / "nyc16" / "nyc16.txt"
    path.parent.mkdir()
    shutil.copy(fetched("nyc16")["nyc16.txt"], path)
    os.chmod(path, 0o644)
    with path.open("r+b") as f: f.write(b"9")
    monkeypatch.setenv("CRIMENB_DATA", str(tmp_path))
    with pytest.raises(InputError, match="nyc16.txt has SHA-256"): S.fetch("nyc16")
