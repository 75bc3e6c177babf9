"""All notebooks run once more by `nbdev-test`, in a copy of the tree, without network and without data; the copy keeps what they show.

    python tests/notebooks.py FOLDER [-n WORKERS] [NOTEBOOK …]
"""
import argparse
import ast
import html
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

# nbdev-test runs several notebooks in one process: none draws or prints in the style of the one before it.
# Tables are written as in Jupyter, where pandas does not look at the size of a terminal.
STYLE = nbformat.v4.new_code_cell("""import matplotlib, pandas
from matplotlib_inline.backend_inline import set_matplotlib_formats
matplotlib.rcdefaults()
set_matplotlib_formats("png")
pandas.reset_option("^display")
pandas.set_option("display.max_columns", 20)""", id="style")

def offline(copy):
    "The environment of whoever has just cloned the tree and pulled the plug."
    env = {name: value for name, value in os.environ.items() if name not in ("CRIMENB_DATA", "CRIMENB_PROGRESS")}
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return env | dead | dict(no_proxy="127.0.0.1,localhost", NO_PROXY="127.0.0.1,localhost", PYTHONPATH=str(copy),
                             CRIMENB_CACHE=str(copy / "cache"), OMP_NUM_THREADS="1", COLUMNS="80")

# what nbdev-test said, in the copy: whoever compares what the notebooks show can say why one shows nothing
SAID = "nbdev-test.log"

def execute(folder, notebooks=(), workers=2):
    "Run `notebooks` (all, if none is named) in a copy of the tree in `folder`: (nbdev-test's exit code, the copy). One that fails shows nothing afterwards."
    copy = copy_of_tree(folder)
    chosen = [copy / name for name in notebooks] or sorted((copy / "nbs").rglob("*.ipynb"))
    for path in chosen:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code": cell.outputs = []
        notebook.cells.insert(0, STYLE)
        nbformat.write(notebook, path)
    only = ["--path-re", "|".join(re.escape(str(path)) for path in chosen)] if notebooks else []
    command = [Path(sys.executable).parent / "nbdev-test", "--save", "--n-workers", str(workers), *only]
    with subprocess.Popen(command, cwd=copy, env=offline(copy), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as running, (copy / SAID).open("w") as log:
        for line in running.stdout:
            print(line, end="", flush=True)
            log.write(line)
    failed = running.returncode
    for path in chosen:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.id != STYLE.id]
        nbformat.write(notebook, path)
    return failed, copy


# --- what a notebook shows, and when that is the same ---

def shown(cell):
    "What a cell shows: what it printed, then kinds and words of every other output. A table's words are those of its page: lines are broken in several ways."
    printed = {}
    for o in cell.outputs:
        if o.output_type == "stream": printed[o.name] = printed.get(o.name, "") + o.text
    return [*sorted(printed.items(), reverse=True), *((" ".join(sorted(o.data)), words(o.data)) for o in cell.outputs if o.output_type != "stream")]

def words(data):
    page = data.get("text/html", "")
    if "<table" not in page: return data.get("text/plain", "")
    return html.unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page, flags=re.S))

NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")

def differs(stored, fresh):
    "Where two texts differ: words and whole numbers must be the same, others may differ by 1 % or .001, spaces do not count."
    a, b = NUMBER.split(stored), NUMBER.split(fresh)
    for i, (x, y) in enumerate(zip(a, b)):
        near = lambda: abs(float(x) - float(y)) <= max(.001, .01*max(abs(float(x)), abs(float(y))))
        same = x.split() == y.split() if i % 2 == 0 else x == y or ("." in x + y and near())
        if not same: return f"{''.join(a[max(0, i - 4):i + 5])!r} is stored, {''.join(b[max(0, i - 4):i + 5])!r} came out"
    return "" if len(a) == len(b) else f"{stored[-200:]!r} is stored, {fresh[-200:]!r} came out"

def differs_in_shape(stored, fresh):
    "Where two texts differ in more than their numbers, how they are padded and what is sorted by them."
    (a, n), (b, m) = [(sorted(re.findall(r"[^\W\d_]+", NUMBER.sub(" ", text))), len(NUMBER.findall(text))) for text in (stored, fresh)]
    if n != m: return f"{n} numbers are stored, {m} came out, of {stored[:200]!r}"
    return "" if a == b else f"{sorted(set(a) ^ set(b))} is only in one of {stored[:200]!r} and {fresh[:200]!r}"

# what a study calls to train: by its name, or by what the library calls it
TRAINS = re.compile(r"\b(?:fit|train|federate|distil|backtest|choose|tried|measure_rule|occurrence_forecasts)\w*\(")

def _of(tree, kind): return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, kind)}

def trained(cells, for_good=False):
    """For each cell whether what it shows hangs on training: it trains, or uses a name that was made where something was trained.
    In a study (`for_good`) all that comes after the first training does: rows are put into one run."""
    names, found = set(), []
    for cell in cells:
        try: body = ast.parse(cell.source if cell.cell_type == "code" else "").body
        # a magic command
        except SyntaxError: body = []
        hangs = lambda part: bool(TRAINS.search(ast.unparse(part)) or _of(part, ast.Load) & names)
        functions = [part for part in body if isinstance(part, (ast.FunctionDef, ast.ClassDef))]
        rest = ast.Module([part for part in body if part not in functions], [])
        made = {f.name for f in functions if isinstance(f, ast.FunctionDef) and hangs(f)}
        it = bool(rest.body) and hangs(rest) or (for_good and any(found))
        if it:
            calls = [n.func for n in ast.walk(rest) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and isinstance(n.func.value, ast.Name)]
            made |= _of(rest, ast.Store) | {call.value.id for call in calls if call.attr in ("append", "add", "extend", "update")}
        else: names -= _of(rest, ast.Store)
        names |= made
        found.append(it)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("notebooks", nargs="*")
    parser.add_argument("-n", "--workers", type=int, default=2)
    given = parser.parse_intermixed_args()
    sys.exit(execute(given.folder, given.notebooks, given.workers)[0])
