"""All notebooks run once more by `nbdev-test`, in a copy of the tree, without network and without data; the copy keeps what they show.

    python tests/notebooks.py FOLDER [-n WORKERS] [NOTEBOOK …]
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
UNWANTED = shutil.ignore_patterns(".git", ".venv", "venv", "runs", "build", "dist", "_docs", "*.egg-info", "__pycache__",
                                  ".ipynb_checkpoints", ".pytest_cache", ".mypy_cache", ".hypothesis")

def copy_of_tree(folder):
    "The tree as it is, without what was built from it, in `folder/crimenb`."
    return shutil.copytree(ROOT, Path(folder) / "crimenb", ignore=UNWANTED)

def as_in_a_kernel(cells):
    "nbdev-test's `test_setup`: tables are written as in Jupyter, where pandas does not look at the size of a terminal."
    import pandas as pd
    pd.set_option("display.max_columns", 20)

def offline(copy):
    "The environment of whoever has just cloned the tree and pulled the plug."
    env = {name: value for name, value in os.environ.items() if name not in ("CRIMENB_DATA", "CRIMENB_PROGRESS")}
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return env | dead | dict(no_proxy="127.0.0.1,localhost", NO_PROXY="127.0.0.1,localhost", PYTHONPATH=str(copy),
                             CRIMENB_CACHE=str(copy / "cache"), OMP_NUM_THREADS="1", COLUMNS="80")

def execute(folder, notebooks=(), workers=2):
    "Run `notebooks` (all, if none is named) in a copy of the tree in `folder`: (nbdev-test's exit code, the copy). One that fails shows nothing afterwards."
    copy = copy_of_tree(folder)
    chosen = [copy / name for name in notebooks] or sorted((copy / "nbs").rglob("*.ipynb"))
    for path in chosen:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code": cell.outputs = []
        nbformat.write(notebook, path)
    settings = copy / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.nbdev]\n", '[tool.nbdev]\ntest_setup = "tests.notebooks:as_in_a_kernel"\n'))
    only = ["--path-re", "|".join(re.escape(str(path)) for path in chosen)] if notebooks else []
    command = [Path(sys.executable).parent / "nbdev-test", "--save", "--n-workers", str(workers), *only]
    return subprocess.run(command, cwd=copy, env=offline(copy)).returncode, copy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("notebooks", nargs="*")
    parser.add_argument("-n", "--workers", type=int, default=2)
    given = parser.parse_args()
    sys.exit(execute(given.folder, given.notebooks, given.workers)[0])
