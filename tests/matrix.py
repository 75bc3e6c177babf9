"""Do all Pythons that settings.ini names find their packages, and do tests that need no torch pass on those that are here?

    python tests/matrix.py [VERSION …] [--resolve-only]
    python tests/matrix.py --others                         what pip finds for Binder and conda, and whether bandit finds what CONTRIBUTING does not explain
    python tests/matrix.py --extras [core torch geo …]      the way of one's own city, from a wheel with each extra alone

Needs the network. Environments lie in a temporary folder, and so does uv where it isn't installed. An interpreter is a pythonX.Y that runs, or one of pyenv's.
"""
import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path

import notebooks
import own_city
import yaml

ROOT = Path(__file__).parents[1]
# quick, and about what differs between versions: reading, times, places, the views, rules, the command line
LIGHT = ("core", "fields", "tables", "events", "cleaning", "cities", "cards", "sequences", "panels", "light")
# tests in these files that ask for torch or papermill after all
OTHERS = ("gather_is_the_padded_window", "rerun_asks_for_what_it_lacks")

def settings():
    ini = ConfigParser()
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]

def run(*command, cwd=ROOT, **env):
    return subprocess.run([*map(str, command)], cwd=cwd, env=os.environ | env, capture_output=True, text=True)

def uv(*command):
    "One call of uv: nothing if it went well, else the last lines of what it says."
    done = run("uv", *command, "--quiet")
    return "" if done.returncode == 0 else "\n".join(done.stderr.strip().splitlines()[-6:])

def bring_uv(folder):
    "uv is found from now on, in `folder` if nowhere else."
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(folder / "uv/bin")])
    if shutil.which("uv"): return
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", folder / "uv", "uv")
    if done.returncode: sys.exit(done.stderr)

def interpreter(version):
    "The path of this Python, or None."
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    for path in filter(None, [shutil.which(f"python{version}"), *pyenv]):
        if run(path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip() == version: return path
    return None

def resolved(version, folder):
    "What keeps this Python from finding the packages of all extras as wheels; nothing if it finds them."
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(what for key, text in settings().items() if key.endswith("requirements") for what in text.split()))
    return uv("pip", "compile", wanted, "--constraint", "constraints.txt", "--python-version", version,
              "--only-binary", ":all:", "--output-file", folder / "found.txt")

def tried(version, python, folder):
    "What goes wrong in an environment of this Python with the store and geopandas, and without torch and all other extras; nothing if all tests pass."
    env = folder / version
    said = uv("venv", env, "--python", python) or uv("pip", "install", "--python", env / "bin/python", "--constraint", "constraints.txt", ".[store,geo]", "pytest", "hypothesis")
    if said: return said
    tests = [f"tests/test_{name}.py" for name in LIGHT]
    done = run(env / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not (" + " or ".join(OTHERS) + ")", *tests)
    print(f"{version}: {done.stdout.strip().splitlines()[-1]}", flush=True)
    return "" if done.returncode == 0 else "\n".join(done.stdout.strip().splitlines()[-40:])

# --- other ways to install, and what a look for dangerous calls finds ---

def others(folder):
    "What keeps pip from finding what Binder and conda give to it, from an environment without packages and a copy of the tree."
    tree, env = notebooks.copy_of_tree(folder), folder / "empty"
    if said := uv("venv", "--seed", "--python", sys.executable, env): return said
    conda = yaml.safe_load((tree / "environment.yml").read_text())["dependencies"][-1]["pip"]
    # as conda does: a file of its own beside environment.yml
    (tree / "condaenv.requirements.txt").write_text("\n".join(conda))
    for name in ("binder/requirements.txt", "condaenv.requirements.txt"):
        done = run(env / "bin/python", "-m", "pip", "install", "--dry-run", "--quiet", "-r", name, cwd=tree)
        print(f"{name}: {'finds no packages' if done.returncode else 'finds all packages'}", flush=True)
        if done.returncode: return done.stderr[-1000:]
    return ""

def unexplained(about):
    "Findings of bandit that the table in `about`, the text of CONTRIBUTING, does not name: lines of number, module and where."
    done = run("uv", "tool", "run", "--quiet", "bandit", "--quiet", "-r", "crimenb", "--format", "json")
    # 1: there are findings
    if done.returncode not in (0, 1): return done.stderr[-1000:]
    table = re.findall(r"^\| (B\d[^|]*) \| ([^|]*) \|", about, re.M)
    told = {(number, module.split(".")[-1]) for numbers, modules in table for number in re.findall(r"B\d+", numbers) for module in re.findall(r"`([\w.]+)`", modules)}
    found = [(what["test_id"], Path(what["filename"]).stem, what["line_number"]) for what in json.loads(done.stdout)["results"]]
    print(f"bandit: {len(found)} findings", flush=True)
    return "\n".join(f"bandit: {number} in {module}, line {line}" for number, module, line in found if (number, module) not in told)

# --- one's own city, with each extra alone ---

#: question -> what is asked with it
QUESTIONS = {"next": (), "hour": ("-p", "cell_m=1600", "--periods", "3"), "week": (), "year": ("-p", "period=M", "-p", "cell_m=800")}
#: extra -> a question and what only this extra answers
MORE = {"torch": [("week", "--model", "DNN", "-p", "epochs=1"), ("hour", "--model", "ST-ResNet, sound", "-p", "cell_m=1600", "-p", "epochs=1", "-p", "extra_epochs=0", "-p", "filters=2"),
                  ("next", "--model", "CrimeAlarm", "-p", "epochs=1")],
        "graph": [("week", "--model", "GAT+TCN", "-p", "epochs=1")], "peers": [("week", "--model", "TSB"), ("year", "--model", "Gi*", "-p", "period=M", "-p", "cell_m=800")],
        "maps": [("week", "--model", "recent mean", "--map", "map.png"), ("week", "--model", "recent mean", "--map", "map.html")], "geo": [("week", "--model", "recent mean", "--out", "week.gpkg")]}

def named():
    "The extras of settings.ini that are a choice of their own, and the core."
    together = ("reproduce", "dev")
    return ["core", *(key.removesuffix("_requirements") for key in settings() if key.endswith("_requirements") and key.removesuffix("_requirements") not in together)]

def forecast(crimenb, folder, *words):
    "What goes wrong in a forecast; nothing if there is none."
    done = run(crimenb, "forecast", *words, "--dataset", "incidents.yaml", cwd=folder)
    return "" if done.returncode == 0 else f"crimenb forecast {' '.join(words)}: {done.stderr[-1000:]}"

def expected(path):
    with open(path, encoding="utf-8") as file: return [float(row["expected"]) for row in csv.DictReader(file)]

def own_data(extra, wheel, folder):
    "What goes wrong with a card, the four questions, and each saved model in another process, where there is nothing but the wheel and this extra."
    env, mine = folder / extra, folder / f"{extra}'s city"
    said = uv("venv", env, "--python", sys.executable) or uv("pip", "install", "--python", env / "bin/python", "--constraint", "constraints.txt", str(wheel) + ("" if extra == "core" else f"[{extra}]"))
    if said: return said
    crimenb, began = env / "bin/crimenb", time.monotonic()
    mine.mkdir()
    own_city.with_areas(mine, days=210, n=6000)
    columns = [word for ours, theirs in own_city.NAMES.items() for word in ("--column", f"{ours}={theirs}")]
    done = run(crimenb, "card", "incidents.csv", "--areas", "districts.geojson", *columns, cwd=mine)
    if done.returncode: return done.stderr[-1000:]
    wrong = []
    for question, more in QUESTIONS.items():
        said = forecast(crimenb, mine, question, *more, "--save", f"{question}.crimenb", "--out", "here.csv") \
            or forecast(crimenb, mine, f"{question}.crimenb", "--events", "incidents.csv", *more, "--out", "there.csv")
        if not said:
            here, there = expected(mine / "here.csv"), expected(mine / "there.csv")
            same = here and len(here) == len(there) and max(abs(a - b) for a, b in zip(here, there)) < 1e-6
            said = "" if same else f"{question}: loaded, the model says something else"
        wrong.append(said)
    wrong += [forecast(crimenb, mine, *words) for words in MORE.get(extra, ())]
    print(f"{extra}: {wrong.count('')} of {len(wrong)} questions answered, {time.monotonic() - began:.0f} s", *filter(None, wrong), sep="\n", flush=True)
    return "\n".join(filter(None, wrong))

def built(folder):
    "The wheel of the tree as it is, or what keeps it from being built."
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "dist", notebooks.copy_of_tree(folder))
    if done.returncode: sys.exit(done.stderr)
    return next((folder / "dist").glob("*.whl"))

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", default=settings()["pythons"].split())
    parser.add_argument("--resolve-only", action="store_true")
    parser.add_argument("--extras", nargs="*", choices=named(), help="instead: a card and forecasts of a made-up city from a wheel, with each extra alone (all, if none is named)")
    parser.add_argument("--others", action="store_true", help="instead: what Binder and conda give to pip, and what bandit finds")
    given, wrong = parser.parse_args(), []
    with tempfile.TemporaryDirectory() as folder:
        bring_uv(Path(folder))
        if given.extras is not None:
            wheel = built(Path(folder))
            wrong = [f"{extra}:\n{said}" for extra in given.extras or named() if (said := own_data(extra, wheel, Path(folder)))]
            sys.exit("\n\n".join(wrong) or 0)
        if given.others: sys.exit("\n".join(filter(None, (others(Path(folder)), unexplained((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))))) or 0)
        for version in given.versions:
            said, python = resolved(version, Path(folder)), interpreter(version)
            print(f"{version}: {'finds no packages' if said else 'finds all packages'}", flush=True)
            if not said and not given.resolve_only:
                if python: said = tried(version, python, Path(folder))
                else: print(f"{version}: not on this machine, so nothing is run", flush=True)
            if said: wrong.append(f"{version}:\n{said}")
    sys.exit("\n\n".join(wrong) or 0)


if __name__ == "__main__": main()
