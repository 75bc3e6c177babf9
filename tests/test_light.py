"The core alone: what works without torch and all other extras, and that each thing that does not says in one sentence which extra it needs."
import json
import subprocess
import sys
from pathlib import Path

import pytest

from crimenb import core

OURS = {"time": "Tatzeit", "category": "Delikt", "premises": "Tatort", "lon": "Laenge", "lat": "Breite", "record_id": "Aktenzeichen"}
NAMES = [word for ours, theirs in OURS.items() for word in ("--column", f"{ours}={theirs}")]
HEAVY = ("torch", "torch_geometric", "duckdb", "matplotlib", "seaborn", "bokeh", "folium", "geopandas", "pyogrio", "rdata", "statsmodels", "captum", "fairlearn",
         "numba", "dask", "distributed", "statsforecast", "esda", "libpysal", "papermill", "nbconvert", "nbformat", "IPython")
# needed for a download or a calendar only
LATE = ("requests", "holidays", "shtab")
BLOCKED = """
import sys
ABSENT = set(%r)
class Without:
    # what another finder finds, but for the packages that are not there
    def __init__(self, other): self.other = other
    def find_spec(self, name, path=None, target=None): return None if name.split(".")[0] in ABSENT else self.other.find_spec(name, path, target)
    def __getattr__(self, name): return getattr(self.other, name)
sys.meta_path[:] = map(Without, sys.meta_path)
"""


def without(absent, code, cwd, *argv):
    "Run `code` in a process in which the packages `absent` are not to be had."
    return subprocess.run([sys.executable, "-W", "error::DeprecationWarning:crimenb", "-c", BLOCKED % (tuple(absent),) + code, *map(str, argv)], cwd=cwd, capture_output=True, text=True)

def crimenb(cwd, *argv, absent=HEAVY + LATE): return without(absent, "from crimenb.lab.cli import main; sys.exit(main(sys.argv[1:]))", cwd, *argv)

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from own_city import with_areas
    folder = tmp_path_factory.mktemp("light")
    with_areas(folder, days=210, n=6000)
    drafted = crimenb(folder, "card", "incidents.csv", "--areas", "districts.geojson", *NAMES)
    assert drafted.returncode == 0, drafted.stderr
    return folder


def test_a_card_and_a_weekly_forecast_of_own_data_need_nothing_but_the_core(folder):
    done = crimenb(folder, "forecast", "week", "--dataset", "incidents.yaml", "--periods", "2", "--model", "Poisson GLM", "--save", "week.crimenb", "--out", "week.csv")
    assert "pip install 'crimenb[maps]'" in done.stdout and done.returncode == 0 and (folder / "week.crimenb").is_file() and (folder / "week.csv").read_text().count("\n") > 10, done.stderr
    again = crimenb(folder, "forecast", "week.crimenb", "--events", "incidents.csv", "--dataset", "incidents.yaml", "--json")
    assert again.returncode == 0 and json.loads(again.stdout), again.stderr

def test_where_the_usual_model_needs_an_extra_the_rules_answer_and_that_is_said(folder):
    done = crimenb(folder, "forecast", "next", "--dataset", "incidents.yaml", "--save", "next.crimenb", "--out", "next.csv")
    assert done.returncode == 0 and "count mixer was not tried: this needs torch: pip install 'crimenb[torch]'" in done.stdout, done.stderr
    assert "smoothed counts" in done.stdout and (folder / "next.csv").read_text().count("\n") > 10

def test_the_views_and_the_rules_need_nothing_but_the_core(tmp_path):
    code = """
import crimenb
from crimenb import city, grids, panels, sequences, terrain
crimes, truth = city.simulate(4000, 84, seed=0)
maps = grids.HourlyMaps.from_events(crimes, grids.Grid.of(truth, 4, 4))
panel = panels.Panel.from_events(crimes)
for view in (maps, panel):
    rules = crimenb.catalogue(view).trivial()
    print(type(view).__name__, [kind.name for kind in rules if len(kind().fit(view).forecast(view))])
"""
    done = without(HEAVY + LATE, code, tmp_path)
    assert done.returncode == 0 and "persistence" in done.stdout and "last week" in done.stdout, done.stderr

REFUSED = [
    (("forecast", "week", "--dataset", "incidents.yaml", "--model", "DNN"), "torch"),
    (("forecast", "week", "--dataset", "incidents.yaml", "--model", "TSB"), "peers"),
    (("forecast", "week", "--dataset", "incidents.yaml", "--model", "Poisson GLM", "--map", "week.png"), "maps"),
    (("forecast", "week", "--dataset", "incidents.yaml", "--model", "Poisson GLM", "--map", "week.html"), "maps"),
    (("forecast", "week", "--dataset", "incidents.yaml", "--model", "Poisson GLM", "--out", "week.gpkg"), "geo"),
    (("ingest", "incidents.yaml", "incidents.csv"), "store"), (("reproduce", "crimealarm"), "reproduce"), (("leaderboard", "--html", "page"), "maps")]

@pytest.fixture(scope="module")
def refusals(folder):
    "For each command of `REFUSED`, one after the other in one process: exit code, output, errors, and the files that were there before and after."
    code = """
import contextlib, io, json, os
from crimenb.lab.cli import main
told = []
for argv in json.loads(sys.argv[1]):
    before, out, err = sorted(os.listdir()), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err): code = main(argv)
    told.append([code, out.getvalue(), err.getvalue(), before, sorted(os.listdir())])
print(json.dumps(told))
"""
    done = without(HEAVY + LATE, code, folder, json.dumps([argv for argv, _ in REFUSED]))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[" ".join(argv) for argv, _ in REFUSED])
def test_what_needs_an_extra_says_so_in_one_sentence_before_it_begins(refusals, number):
    (code, out, err, before, after), (_, extra) = refusals[number], REFUSED[number]
    assert (code, out) == (2, "") and err.count("\n") == 1, err
    assert f"pip install 'crimenb[{extra}]'" in err and after == before

def test_every_package_of_an_extra_is_known_and_what_a_package_lacks_of_its_own_is_not_explained_away(tmp_path, monkeypatch):
    from configparser import ConfigParser
    ini = ConfigParser()
    ini.read(Path(__file__).parents[1] / "settings.ini")
    extras = {key.removesuffix("_requirements"): text for key, text in ini["DEFAULT"].items() if key.endswith("_requirements")}
    for package, extra in core.EXTRAS.items(): assert package.replace("_", "-") in extras[extra] or extra == "store", package
    (tmp_path / "half.py").write_text("import crimenb_is_not_here")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="crimenb_is_not_here"): core.needs("half", "store")
    (tmp_path / "whole.py").write_text("import torch_geometric.nowhere")
    with pytest.raises(core.InputError, match=r"needs torch_geometric: pip install 'crimenb\[graph\]'"): core.needs("whole")

def test_a_rerun_asks_for_what_it_lacks_before_anything_trains(tmp_path, monkeypatch):
    from crimenb.lab import studies
    space = dict(profile="smoke", dataset="city", out=str(tmp_path / "runs"))
    (tmp_path / "file").write_text("")
    with pytest.raises(core.InputError, match="can not write to .*file/runs: Not a directory"): studies.begin("crimealarm", space | {"out": str(tmp_path / "file" / "runs")})
    assert studies.begin("crimealarm", space).study == "crimealarm" and not (tmp_path / "runs").exists()
    monkeypatch.setattr(studies.metadata, "requires", lambda name: ["numpy>=1", "tea-leaves>=2; extra == 'reproduce'", "mypy; extra == 'dev'"])
    with pytest.raises(core.InputError, match=r"needs tea-leaves: pip install 'crimenb\[reproduce\]'"): studies.begin("crimealarm", space)
