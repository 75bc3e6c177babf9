"The wheel: what is in it, and that it works in an environment that has nothing else."
import email
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import notebooks

ROOT = Path(__file__).parents[1]
MODULES = sorted(".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "crimenb").rglob("*.py") if p.stem not in ("__init__", "__main__", "_modidx"))


def run(*command, cwd, **env):
    "Run a command outside the checkout; its environment knows no data and no other packages."
    inherited = {k: v for k, v in os.environ.items() if k not in ("CRIMENB_DATA", "PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run([*map(str, command)], cwd=cwd, env=inherited | env, capture_output=True, text=True)

@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    "A copy of the tree as it is: a build leaves folders behind."
    return notebooks.copy_of_tree(tmp_path_factory.mktemp("tree"))

@pytest.fixture(scope="module")
def wheel(tree):
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tree.parent / "dist", tree, cwd=tree)
    assert done.returncode == 0, done.stderr
    [path] = (tree.parent / "dist").glob("*.whl")
    return path

def brought(wheel, extra=""):
    "Names of the packages that a wheel asks for, with an extra, and of all that these ask for in turn."
    with zipfile.ZipFile(wheel) as files: [about] = [files.read(n).decode() for n in files.namelist() if n.endswith(".dist-info/METADATA")]
    asked, seen = [(text, {extra}) for text in email.message_from_string(about).get_all("Requires-Dist")], {}
    while asked:
        text, extras = asked.pop()
        one = Requirement(text)
        wanted = not one.marker or any(one.marker.evaluate({"extra": name}) for name in extras or {""})
        if not wanted or one.extras | {""} <= seen.get(one.name, set()): continue
        assert metadata.version(one.name) in one.specifier, text
        seen.setdefault(one.name, set()).update(one.extras, {""})
        asked += [(more, seen[one.name]) for more in metadata.requires(one.name) or []]
    return sorted(seen)

def link(env, names):
    "These packages as links into the environment that runs the tests: nothing is fetched, and nothing else is there."
    [there] = env.glob("lib/python*/site-packages")
    for name in names:
        package = metadata.distribution(name)
        for file in package.files:
            # what lies beside its modules is linked as a whole; templates and the like, elsewhere in the environment, one by one
            inside = file.parts[0] != ".."
            mine = there / file.parts[0] if inside else Path(os.path.normpath(there / file))
            theirs = Path(package.locate_file(file.parts[0] if inside else file))
            if mine.exists() or mine.is_symlink() or mine.parent.name == "bin": continue
            mine.parent.mkdir(parents=True, exist_ok=True)
            mine.symlink_to(os.path.normpath(theirs))

@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    "The `bin` folder of a fresh environment with the wheel and nothing but what it requires."
    env = tmp_path_factory.mktemp("fresh") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    done = run(sys.executable, "-m", "pip", "--python", env / "bin/python", "install", "--quiet", "--no-compile", "--no-deps", "--no-index", wheel, cwd=env)
    assert done.returncode == 0, done.stderr
    link(env, brought(wheel))
    return env / "bin"

def test_the_wheel_holds_the_package_its_registry_the_studies_and_the_evidence_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {"crimenb/" + p.relative_to(ROOT / "crimenb").as_posix() for p in (ROOT / "crimenb").rglob("*") if p.suffix in (".py", ".json", ".csv") or p.name == "py.typed"}
    studies = {"crimenb/reproduce/" + p.relative_to(ROOT / "nbs/reproduce").as_posix()
               for pattern in ("*.ipynb", "params/*.yaml") for p in (ROOT / "nbs/reproduce").glob(pattern)}
    evidence = {f"crimenb/results/{p.name}" for p in (ROOT / "data/results").glob("*.json")}
    assert {n for n in names if ".dist-info/" not in n} == package | studies | evidence
    assert len(studies) >= 4 and any(n.endswith("LICENSE") for n in names)

def test_a_fresh_environment_has_a_working_library_and_says_what_a_study_needs(installed, tmp_path):
    code = f"""
import importlib
for module in {MODULES}:
    try: importlib.import_module(module)
    except ModuleNotFoundError as error: print(error.name)
"""
    done = run(installed / "python", "-c", code, cwd=tmp_path)
    # the networks need torch, which comes with an extra; nothing needs anything else
    assert done.returncode == 0 and set(done.stdout.split()) == {"torch"}, done.stdout + done.stderr
    for absent in ("torch", "duckdb", "nbdev", "papermill", "jupyterlab", "fastcore", "matplotlib", "statsmodels", "captum", "fairlearn", "folium"):
        assert run(installed / "python", "-c", f"import {absent}", cwd=tmp_path).returncode == 1, f"{absent} came with the library"
    listed = run(installed / "crimenb", "datasets", cwd=tmp_path, CRIMENB_CACHE=str(tmp_path / "cache"))
    assert listed.returncode == 0 and "nyc16" in listed.stdout
    refused = run(installed / "crimenb", "reproduce", "crimealarm", cwd=tmp_path)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "pip install 'crimenb[reproduce]'" in refused.stderr
    unknown = run(installed / "crimenb", "reproduce", "crimealert", cwd=tmp_path)
    assert unknown.returncode == 2 and "use one of contest, crimealarm, crosstests, deployment, explanations, occurrences, parallel, parallel_training, rtm, stresnet" in unknown.stderr
    assert list(tmp_path.iterdir()) == []

def test_the_page_of_an_index_has_links_that_lead_somewhere_and_says_what_the_package_is(wheel):
    with zipfile.ZipFile(wheel) as files: [about] = [files.read(n).decode() for n in files.namelist() if n.endswith(".dist-info/METADATA")]
    head, _, page = about.partition("\n\n")
    assert "License-Expression: Apache-2.0" in head and "Typing :: Typed" in head and "Project-URL: Source, https://" in head
    extras = {line.split(": ")[1] for line in head.splitlines() if line.startswith("Provides-Extra")}
    assert extras == {"torch", "store", "maps", "geo", "statistics", "explain", "graph", "scale", "fast", "docs", "peers", "reproduce", "dev"}
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert len(links) > 10 and [link for link in links if not re.match(r"https?://|#", link)] == []

def test_the_source_archive_has_all_that_its_tests_need(tree):
    done = run(sys.executable, "-c", "from setuptools import build_meta; build_meta.build_sdist('..')", cwd=tree)
    assert done.returncode == 0, done.stderr
    [archive] = tree.parent.glob("*.tar.gz")
    with tarfile.open(archive) as files: there = {name.partition("/")[2] for name in files.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n") if (ROOT / ".git").exists() else []
    assert [name for name in filter(None, tracked) if name not in there] == []
    assert {"Makefile", "constraints.txt", "settings.ini", "tests/notebooks.py", "nbs/index.ipynb", "Dockerfile", "binder/requirements.txt", ".devcontainer/devcontainer.json"} <= there

def test_files_of_other_ways_to_install_name_what_there_is():
    import yaml
    docker = (ROOT / "Dockerfile").read_text()
    for words in re.findall(r"^COPY (.+) \S+$", docker, re.M): assert (ROOT / words).exists()
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["dependencies"][-1]["pip"] == ["--constraint constraints.txt", ".[reproduce]"]
    # pip looks for a constraint beside the file that names it, and for a folder where it runs
    wanted = (ROOT / "binder/requirements.txt").read_text().split("\n")
    assert wanted[:2] == ["--constraint ../constraints.txt", ".[reproduce]"] and (ROOT / "binder" / wanted[0].split()[1]).is_file() and "ipywidgets" in wanted
    assert json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())["postCreateCommand"] == "make env"
    hooks = [hook["entry"] for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]]
    assert [Path(entry).name for entry in hooks] == ["nbdev-export", "nbdev-clean"] and all((Path(sys.executable).parent / Path(entry).name).exists() for entry in hooks)

def test_with_the_extra_the_installed_wheel_reproduces(installed, wheel, tmp_path):
    link(installed.parent, brought(wheel, "reproduce"))
    # one step of training; the whole smoke profile runs in test_hygiene
    done = run(installed / "crimenb", "reproduce", "crimealarm", "-p", "methods=CrimeAlarm", "-p", "max_steps=1", cwd=tmp_path, CRIMENB_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^(?:notebook|result|page|forecast): +(.+)$", done.stdout, re.M)
    files = [tmp_path / path for path in said]
    assert [f.suffix for f in files] == [".ipynb", ".json", ".html", ".csv", ".geojson", ".png"] and sorted((tmp_path / "runs").iterdir()) == sorted(files)
    # a kernel that is stopped on a busy machine may complain of its own tasks, and after half a minute a line says what the run is at: one of the notebook's cells
    cells = len(json.loads(files[0].read_text())["cells"])
    at = re.compile(rf"crimenb: crimealarm, \d+:[0-5]\d: (?:cell (?:{'|'.join(map(str, range(1, cells + 1)))}) of {cells}(?:[,;] .+)?|between two cells)")
    assert [line for line in done.stderr.splitlines() if line.startswith(("crimenb", "Traceback")) and not at.fullmatch(line)] == [], done.stderr
    [result] = [json.loads(f.read_text()) for f in files if f.suffix == ".json"]
    assert {"popularity-100", "uniform-99", "full"} <= {row["protocol"] for row in result["rows"]} and "trivial" in {row["kind"] for row in result["rows"]}
    board = run(installed / "crimenb", "leaderboard", "--results", "runs", "--metric", "NDCG@5", cwd=tmp_path)
    assert board.returncode == 0 and "spot counts" in board.stdout
