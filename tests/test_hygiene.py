"What holds for all notebooks, and between the notebooks, the modules, the README and the packaging."
import ast
import base64
import builtins
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import nbformat
import pytest

import notebooks
from crimenb.lab import site

if sys.version_info >= (3, 11): import tomllib
else: import tomli as tomllib

ROOT = Path(__file__).parents[1]
# `__main__` can't be exported: its notebook would run the command
BY_HAND = ("__init__.py", "_modidx.py", "__main__.py")
SKIPPED = re.compile(r"^#\|\s*(notest|gpu|slow|eval:\s*false)\b", re.M)
NOTEBOOKS = sorted(p.relative_to(ROOT) for p in (ROOT / "nbs").rglob("*.ipynb")
                   if not any(part.startswith((".", "_")) or part == "runs" for part in p.relative_to(ROOT).parts))
STUDIES = [p for p in NOTEBOOKS if p.parts[1] == "reproduce"]
MODULES = [p for p in NOTEBOOKS if p not in STUDIES and p.name != "index.ipynb"]
each = lambda paths: pytest.mark.parametrize("path", paths, ids=lambda p: "/".join(p.parts[1:]))

def read(path): return nbformat.read(ROOT / path, as_version=4)
def code(path): return [c for c in read(path).cells if c.cell_type == "code"]
def output_texts(cell):
    for o in cell.outputs: yield from [o["text"]] if "text" in o else [str(v) for k, v in o.get("data", {}).items() if k.startswith("text/")]


# --- notebooks and modules ---

def test_every_notebook_has_a_module_of_its_own_and_every_module_a_notebook():
    names = {}
    for path in MODULES:
        found = re.findall(r"^#\|\s*default_exp\s+(\S+)", "\n".join(c.source for c in code(path)), re.M)
        assert len(found) == 1, f"{path} names {len(found)} modules: one default_exp is right"
        assert found[0] not in names, f"{path} and {names[found[0]]} both write {found[0]}"
        names[found[0]] = path
    package = ROOT / "crimenb"
    written = {".".join(p.relative_to(package).with_suffix("").parts) for p in package.rglob("*.py") if p.name not in BY_HAND}
    assert written == set(names), "a module without a notebook is a left-over: remove it, or export its notebook"

def test_exporting_and_cleaning_change_nothing(tmp_path):
    copy = notebooks.copy_of_tree(tmp_path)
    files = lambda: {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    before, pyproject = files(), (copy / "pyproject.toml").stat().st_mtime_ns
    for command in ("nbdev-export", "nbdev-clean"):
        done = subprocess.run([Path(sys.executable).parent / command], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    after = files()
    assert sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p)) == [], "run make sync and commit what it writes"
    # a newer pyproject.toml makes make install everything again
    assert (copy / "pyproject.toml").stat().st_mtime_ns == pyproject

def test_the_readme_is_the_index_notebook():
    assert (ROOT / "README.md").read_text() == site.readme(ROOT)

@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "MODEL_CARDS.md", "CHANGELOG.md", "data/README.md"])
def test_every_link_to_a_file_has_one(page):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.S))
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in (ROOT / page).read_text().splitlines() if line.startswith("#")}
    assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []
    assert [link for link in links if "://" not in link and not link.startswith("#") and not (ROOT / page).parent.joinpath(link).exists()] == []

def test_every_library_that_a_module_imports_is_a_requirement():
    ini = ConfigParser()
    ini.read(ROOT / "settings.ini")
    known = {re.match(r"[\w-]+", r)[0].lower() for key in ("requirements", "torch_requirements", "graph_requirements") for r in ini["DEFAULT"][key].split()} | sys.stdlib_module_names | {"crimenb"}
    for path in (ROOT / "crimenb").rglob("*.py"):
        # what is imported inside a function may come with an extra
        for line in ast.parse(path.read_text()).body:
            modules = [name.name for name in line.names] if isinstance(line, ast.Import) else [line.module] if isinstance(line, ast.ImportFrom) and not line.level else []
            for module in (m.split(".")[0].replace("yaml", "pyyaml").replace("sklearn", "scikit-learn").replace("torch_geometric", "torch-geometric") for m in modules):
                assert module in known, f"{path.name} imports {module}, which settings.ini does not require"

FLOORS = dict(core=0, tables=1.5, metrics=1, fields=1, cities=2, columns=2.5, events=3, cleaning=3, geo=4, cards=5, sources=6, city=6, views=6, sequences=7, grids=7, panels=7, terrain=7, training=8, encoders=8, loaders=8,
              pictures=7.5, forecasts=8, models=9, areas=9.5, next_class=9.3, cloze=9.6, distributed=9, explain=9, papers=10, baselines=10, feedback=11,
              portal=5, store=5.5, feeds=7.5, provenance=11, pages=11, serving=11, boards=12.5, hourly=12.6, event_boards=12.7, weekly=12.6, area_networks=12.7, crosstests=12.7, training_times=12.6, units=11, real_time=11.5, explaining=12.7, studies=12, forecasting=12, next_events=13, leaderboard=13, ledger=13, sweep=13, site=13, cli=14)
# folders whose modules stand on floors of their own
FOLDERS = ("lab", "warehouse")

def imported(path, package):
    "The modules of the package that a module imports: (its own parts, names of rooms)."
    parts = path.relative_to(package).with_suffix("").parts
    for line in ast.walk(ast.parse(path.read_text())):
        if not isinstance(line, ast.ImportFrom) or (line.level == 0 and (line.module or "").split(".")[0] != "crimenb"): continue
        module = (line.module or "").split(".")[1:] if line.level == 0 else [*parts[:len(parts) - line.level], *filter(None, (line.module or "").split("."))]
        names = [name.name for name in line.names if name.name != "__version__"]
        yield from (module[1:2] or names) if module[:1] and module[0] in FOLDERS else module[:1] or names

def test_a_module_imports_only_from_floors_below():
    package = ROOT / "crimenb"
    for path in package.rglob("*.py"):
        if path.name in BY_HAND: continue
        parts = path.relative_to(package).with_suffix("").parts
        own = parts[1] if parts[0] in FOLDERS else parts[0]
        # a baseline may correct another one
        for room in {*imported(path, package)} - ({"baselines"} if own == "baselines" else set()): assert FLOORS[room] < FLOORS[own], f"{'.'.join(parts)} imports {room}, which is not below it"

def test_no_view_and_no_model_imports_the_warehouse_or_the_lab():
    package = ROOT / "crimenb"
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).parts
        if path.name in BY_HAND or parts[0] in FOLDERS: continue
        found = re.findall(r"^\s*(?:from|import)\s+\S*\b(?:lab|warehouse)\b.*", path.read_text(), re.M)
        # a city's name is a data set's as well: sources.load gives the events of its store, and loads DuckDB for those who ask for one
        if parts == ("sources.py",): found = [line for line in found if line.strip() != "from crimenb.warehouse import store"]
        assert not found, f"{path.name}: {found}"

@each(STUDIES)
def test_a_study_declares_its_parameters_in_papermills_form_and_has_no_directives(path):
    cells = code(path)
    tagged = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert re.fullmatch(r"\w+: (str|int|float|bool) = ('[^']*'|\"[^\"]*\"|None|True|False|-?[\d.e-]+) +# \S.*", line), line
    assert not any(re.search(r"^#\||nbdev_export", c.source, re.M) for c in cells)
    assert list((ROOT / path).parent.glob(f"params/{path.stem}-*.yaml"))

# a lambda that has a name is a function; this one joins the names of what was picked, to compare two fits
NAMED_LAMBDAS = {"rtm": {"label"}}

@each(STUDIES)
def test_a_study_has_no_logic_of_its_own(path):
    "It reads parameters, calls, shows and explains: what is computed stands in the library, where a test can reach it."
    for cell in code(path):
        for node in ast.walk(ast.parse(cell.source)):
            where = f"{path}, cell that starts {cell.source[:60]!r}"
            assert not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)), f"{where} defines {getattr(node, 'name', '')}: move it into a notebook of nbs/lab, or that of the work"
            if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)): continue
            named = {ast.unparse(target) for target in getattr(node, "targets", None) or [node.target]}
            lambdas = any(isinstance(part, ast.Lambda) for part in (node.value, *getattr(node.value, "elts", ())))
            assert not lambdas or named <= NAMED_LAMBDAS.get(path.stem, set()), f"{where} gives a lambda a name, {', '.join(named)}: move it into the library"


# --- stored outputs ---

@each(NOTEBOOKS)
def test_stored_outputs_are_small_without_errors_warnings_and_paths_of_a_machine(path):
    size = sum(len(str(o)) for c in code(path) for o in c.outputs)
    assert size < 600_000, f"{path} stores {size} characters of outputs: draw smaller"
    for cell in code(path):
        for o in cell.outputs: assert o.output_type != "error" and o.get("name") != "stderr", f"{path}: {cell.source[:80]}: {o}"
        for text in output_texts(cell):
            assert not re.search(r"(?<![\w.:/])/(home|root|tmp|work|usr|opt|Users|private|var)/|site-packages|0x[0-9a-f]{6,}", text), f"{path}: {text[:300]}"

# what a page shows, with some room for what stands outside the axes: a wider picture is shrunk, and its letters with it
WIDEST = 7.2*96

@each(NOTEBOOKS)
def test_stored_pictures_have_two_pixels_for_one_and_the_librarys_letters_and_colours(path):
    for cell in code(path):
        found = re.search(r"color_palette|set_palette|tab:|sns\.set_theme|(?:font|label)size=[0-8]\b|dpi=72|figure\.dpi", cell.source)
        assert not found or path.stem == "52_pictures", f"{path}: {found[0]} in {cell.source[:80]}"
        for o in cell.outputs:
            if "image/png" not in o.get("data", {}): continue
            pixels = int.from_bytes(base64.b64decode(o.data["image/png"])[16:20], "big")
            width = o.metadata.get("image/png", {}).get("width", 0)
            assert abs(pixels/2 - width) <= 1, f"{path}: {cell.source[:80]} is drawn with one pixel a point: call crimenb.pictures.use()"
            assert width <= WIDEST, f"{path}: {cell.source[:80]} is {width} wide, more than a page: figsize=(crimenb.pictures.WIDTH, …)"

def _names(tree, kind): return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}

def _made(tree):
    "Names that a cell has made when it has run, its functions' arguments among them."
    parts = list(ast.walk(tree))
    imported = {(a.asname or a.name).split(".")[0] for n in parts if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    return imported | _names(tree, ast.Store) | {n.name for n in parts if isinstance(n, (ast.FunctionDef, ast.ClassDef))} | {n.arg for n in parts if isinstance(n, ast.arg)}

@each(NOTEBOOKS)
def test_a_cell_that_needs_data_needs_nothing_that_comes_later(path):
    "nbdev-test passes over it; whoever has the data and says Run All does not."
    known, of_data, replaced = set(dir(builtins)), set(), set()
    for cell in code(path):
        try: tree = ast.parse(cell.source)
        # a magic command
        except SyntaxError: continue
        made = _made(tree)
        known |= made
        # what it leaves behind: without what is inside functions
        left = {name for part in tree.body if not isinstance(part, (ast.FunctionDef, ast.ClassDef)) for name in _names(part, ast.Store)}
        if SKIPPED.search(cell.source):
            used = _names(tree, ast.Load)
            late, other = used - known, (used - made) & replaced
            assert not late, f"{path}, cell that starts {cell.source[:60]!r}: {', '.join(late)} is made further down"
            assert not other, f"{path}, cell that starts {cell.source[:60]!r}: {', '.join(other)} of a cell with data is another one by then"
            of_data, replaced = of_data | left, replaced - left
        else: replaced |= left & of_data

@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    "The copy of the tree in which `nbdev-test` has run all notebooks: `make test` did so before, and names it; else it is done now."
    before = os.environ.get("CRIMENB_EXECUTED")
    return Path(before) / "crimenb" if before else notebooks.execute(tmp_path_factory.mktemp("again"))[1]

# these train networks, whose numbers another kind of processor rounds differently, and training makes more of it
TRAINING = {f"nbs/{name}.ipynb" for name in (
    "papers/10_crimealarm", "papers/20_stresnet", "papers/30_parallel", "papers/40_rtm", "42_distributed", "47_explain", "60_feedback", "lab/70_serving",
    "baselines/12_sequence_networks", "baselines/15_count_mixer", "baselines/25_hourly_networks",
    *(f"reproduce/{study}" for study in ("crimealarm", "stresnet", "parallel", "parallel_training", "rtm", "explanations", "deployment", "crosstests", "occurrences")))}

def test_the_comparison_sees_what_matters_and_nothing_else():
    differs, shape = notebooks.differs, notebooks.differs_in_shape
    assert not differs("HR@5  0.5551 of 10", "HR@5    0.5549 of 10") and not differs("nan 1.0e-09", "nan  1.1e-09")
    for a, b in (("0.55", "0.57"), ("0.150", "0.154"), ("0.002", "0.004"), ("10 spots", "11 spots"), ("dml 0.5", "dkd 0.5"), ("1.0", "1.0 2.0"), ("a", ""), ("200.0", "203.0")):
        assert differs(a, b) and differs(b, a)
    assert not shape("dml 0.5\ndkd 0.4 after 20", "dkd 0.6\ndml  -.1 after 21")
    for a, b in (("dml 0.5", "dml nan"), ("dml 0.5", "dkd 0.5"), ("1.0", "1.0 2.0"), ("a 1", "")): assert shape(a, b) and shape(b, a)

def test_what_hangs_on_training_is_found():
    cells = [nbformat.v4.new_code_cell(source) for source in (
        "maps = city()", "maps.shape", "def learn(x): return Model().fit(x)", "print(1)", "net = learn(maps)", "print(net.loss)", "net = None", "print(net)", "rows.append(train(maps))", "rows", "%time x")]
    assert notebooks.trained(cells) == [False]*4 + [True, True, False, False, True, True, False]
    assert notebooks.trained(cells, for_good=True) == [False]*4 + [True]*7

@each(NOTEBOOKS)
def test_running_a_notebook_again_shows_what_is_stored(path, executed):
    again, stored = nbformat.read(executed / path, as_version=4), read(path)
    # nbdev-test saves a notebook that runs to its end, and says why another one does not
    ran = any(c.outputs for c in again.cells if c.cell_type == "code") or not any(c.outputs for c in stored.cells if c.cell_type == "code")
    assert ran, f"{path} does not run: {(executed / notebooks.SAID).read_text()[-8_000:]}"
    hangs = notebooks.trained(stored.cells, path in STUDIES) if path.as_posix() in TRAINING else [False]*len(stored.cells)
    for old, new, loose in zip(stored.cells, again.cells, hangs):
        if new.cell_type != "code" or SKIPPED.search(old.source): continue
        before, after = notebooks.shown(old), notebooks.shown(new)
        where = f"{path}, cell that starts {old.source[:80]!r}"
        assert [kind for kind, _ in before] == [kind for kind, _ in after], f"{where}: other outputs than stored"
        for (_, a), (_, b) in zip(before, after):
            wrong = (notebooks.differs_in_shape if loose else notebooks.differs)(a, b)
            assert not wrong, f"{where}: {wrong}"


# --- packaging ---

def test_settings_and_pyproject_agree():
    ini = ConfigParser()
    ini.read(ROOT / "settings.ini")
    nbdev = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["nbdev"]
    shared = ini["DEFAULT"].keys() & nbdev.keys()
    assert {"lib_path", "nbs_path", "title"} <= shared
    for key in shared: assert ini["DEFAULT"][key] == nbdev[key], key

def test_every_requirement_has_an_exact_version():
    ini = ConfigParser()
    ini.read(ROOT / "settings.ini")
    wanted = {re.match(r"[\w-]+", r)[0].lower() for key, text in ini["DEFAULT"].items() if key.endswith("requirements") for r in text.split()}
    pinned = [line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert wanted <= set(pinned), wanted - set(pinned)
    assert "torch==2.13.0\n" in (ROOT / "constraints.txt").read_text()
