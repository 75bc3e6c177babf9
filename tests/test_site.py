"The site: its pages, its links, and what a browser makes of it."
import ast
import json
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from crimenb.lab import site
from crimenb.core import InputError

sys.path.insert(0, os.path.dirname(__file__))
from browser import visit

ROOT = Path(__file__).parents[1]

def checkout(folder, notebooks, texts=()):
    for name, cells in notebooks.items():
        path = folder / "nbs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=cells), path)
    for name, text in dict(texts).items(): (folder / name).write_text(text)
    return folder

def defined(source):
    "An exported cell's directives and definitions, without what they do: most of a site's time goes into code that is shown."
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)): node.body = [ast.Expr(ast.Constant(...))]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value: node.value = ast.Constant(None)
    return "\n".join([*re.findall(r"^#\|.*$", source, re.M), ast.unparse(tree)])

@pytest.fixture(scope="module")
def library(tmp_path_factory):
    "This checkout's text and definitions, and their site: outputs, examples and what functions do hold no links."
    folder = tmp_path_factory.mktemp("checkout")
    for path in (ROOT / "nbs").rglob("*.ipynb"):
        if "runs" in path.parts or ".ipynb_checkpoints" in path.parts: continue
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "markdown" or re.search(r"^#\|\s*(export|default_exp)\b", cell.source, re.M)]
        for cell in notebook.cells:
            if cell.cell_type == "code": cell.source, cell.outputs = defined(cell.source), []
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
    shutil.copytree(ROOT / "nbs/images", folder / "nbs/images")
    for name in site.TEXTS:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    site.build(folder, folder / "site")
    return folder

def test_no_link_of_the_library_leads_nowhere(library): assert site.dead_links(library / "site") == []

def test_every_notebook_has_a_page_and_is_in_the_navigation_of_every_other(library):
    notebooks = {p.relative_to(library / "nbs").with_suffix(".html").as_posix() for p in (library / "nbs").rglob("*.ipynb")}
    assert len(notebooks) > 30
    index = (library / "site" / "index.html").read_text()
    for url in notebooks: assert (library / "site" / url).is_file() and f'href="{url}"' in index

def test_links_between_notebooks_stay_links(library):
    for page in site.find(library):
        text = (library / "site" / page.url).read_text()
        source = "\n".join(cell.source for cell in page.body.cells if cell.cell_type == "markdown")
        for name in re.findall(r"\]\(([^)\s]+\.ipynb)", source): assert f"{Path(name).stem}.html" in text, f"{page.place}: {name}"

def test_public_functions_have_an_anchor_and_can_be_searched(library):
    text = (library / "site" / "titles.js").read_text()
    titles = json.loads(text.removeprefix("const TITLES = ").rstrip(";\n"))
    found = {name: url for url, name in titles}
    assert found["terrain.density"] == "35_terrain.html#terrain.density" and found["papers.rtm.RTM_torch"] == "papers/40_rtm.html#papers.rtm.RTM_torch"
    assert 'id="terrain.density"' in (library / "site" / "35_terrain.html").read_text()

def test_a_name_leads_to_its_definition_and_other_code_does_not(tmp_path):
    folder = checkout(tmp_path, {
        "index.ipynb": [new_markdown_cell("# Start\n\n`one.go` and `crimenb.one.Thing.method()`, not `go`, `one.nothing`, `<b>` or `one`.\n\n    one.go\n")],
        "10_one.ipynb": [new_markdown_cell("# One\n\n`go` is here."), new_code_cell("#| default_exp one"), new_code_cell("#| export\ndef go(): pass\nclass Thing:\n    def method(self): pass\n_hidden = 1")]})
    site.build(folder, folder / "site")
    text = (folder / "site" / "index.html").read_text()
    assert re.findall(r'<a class="name" href="([^"]*)"><code>([^<]*)', text) == [("10_one.html#one.go", "one.go"), ("10_one.html#one.Thing", "crimenb.one.Thing.method()")]
    assert "<code>&lt;b&gt;</code>" in text
    assert re.findall(r'class="name" href="([^"]*)"', (folder / "site" / "10_one.html").read_text()) == ["10_one.html#one.go"]

def test_a_page_with_text_that_looks_like_html_does_not_break_the_script(tmp_path):
    folder = checkout(tmp_path, {"index.ipynb": [new_markdown_cell("# A </script> & `<i>`")]})
    site.build(folder, folder / "site")
    assert "</script>" not in (folder / "site" / "titles.js").read_text()
    assert json.loads((folder / "site" / "titles.js").read_text().removeprefix("const TITLES = ").rstrip(";\n"))

def test_code_that_looks_like_a_formula_in_waiting_stays_as_it_is(tmp_path):
    folder = checkout(tmp_path, {"index.ipynb": [new_markdown_cell("# Start\n\nSquared: $x^2$, and `formula7taken`."), new_code_cell("'formula9taken'")]})
    site.build(folder, folder / "site")
    text = (folder / "site" / "index.html").read_text()
    assert text.count("<math") == 1 and "formula7taken" in text and "formula9taken" in text

@pytest.mark.parametrize("link, dead", [("20_two.ipynb#Here", False), ("20_two.ipynb#There", True), ("#Start", False), ("#Nowhere", True), ("https://example.org/x", False)])
def test_dead_links_are_found(tmp_path, link, dead):
    folder = checkout(tmp_path, {"10_one.ipynb": [new_markdown_cell(f"# Start\n\n[x]({link})")], "20_two.ipynb": [new_markdown_cell("# Two\n\n## Here")]})
    site.build(folder, folder / "site")
    assert bool(site.dead_links(folder / "site")) == dead

def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no folder nbs"): site.build(tmp_path, tmp_path / "site")

def test_building_again_changes_nothing(tmp_path):
    folder = checkout(tmp_path, {"index.ipynb": [new_markdown_cell("# Start\n\n$x^2$")], "papers/20_two.ipynb": [new_markdown_cell("# Two")]}, {"CONTRIBUTING.md": "# Help\n"})
    read = lambda: {p.name: p.read_bytes() for p in (folder / "site").rglob("*") if p.is_file()}
    site.build(folder, folder / "site")
    before = read()
    site.build(folder, folder / "site")
    assert read() == before and len(before) == 6

# --- in a browser ---

LOOK = """
const box = document.getElementById("search"), wide = document.documentElement.scrollWidth, height = document.querySelector("math").getBoundingClientRect().height;
box.value = "halves room"; box.dispatchEvent(new Event("input"));
const found = [...document.querySelectorAll("#found a")].map(link => link.getAttribute("href"));
box.value = "no such thing"; box.dispatchEvent(new Event("input"));
const pushed = [...document.querySelectorAll("main pre, main table")].filter(e => e.scrollWidth > e.clientWidth + 1);
return JSON.stringify({found, nothing: document.getElementById("found").textContent, wide, height, open: document.getElementById("rooms").open, reached: pushed.map(e => e.tabIndex)});
"""

@pytest.mark.parametrize("width, open_", [(375, False), (1280, True)])
def test_in_a_browser_the_search_finds_and_nothing_is_wider_than_the_window(tmp_path, width, open_):
    wide = "| " + " | ".join(f"a long heading {i}" for i in range(12)) + " |\n|" + "---|"*12 + "\n| " + " | ".join(["value"]*12) + " |"
    folder = checkout(tmp_path, {"index.ipynb": [new_markdown_cell(f"# Start\n\nHalf of it is $\\frac{{x}}{{2}}$.\n\n{wide}"), new_code_cell("a_name = " + "'very long'*5 + "*30)],
                                 "10_room.ipynb": [new_markdown_cell("# A room\n\n## Halves")]})
    site.build(folder, folder / "site")
    read = lambda name: (folder / "site" / name).read_text()
    # the browser is shown one text: what the page would fetch stands in it, and what comes from the network is left out
    page = read("index.html").replace('<link rel="stylesheet" href="style.css">', f"<style>{read('style.css')}</style>")
    page = re.sub(r'<script type="module">.*?</script>', "", page, flags=re.S)
    page = page.replace('<script src="titles.js"></script><script src="site.js"></script>', f"<script>{read('titles.js')}</script><script>{read('site.js')}</script>")
    seen = json.loads(visit(page, LOOK, tmp_path, width))
    assert seen["found"] == ["10_room.html#Halves"] and seen["nothing"] == "nothing found"
    assert seen["wide"] <= width and seen["height"] > 10 and seen["open"] == open_
    # a wide table and a long line of code are reached by keyboard
    assert len(seen["reached"]) >= 1 and set(seen["reached"]) == {0}

def test_the_index_brings_the_package_on_colab_and_nowhere_else(monkeypatch):
    from configparser import ConfigParser
    from types import ModuleType

    from IPython.core.inputtransformer2 import TransformerManager
    cell = next(c["source"] for c in json.loads((ROOT / "nbs/index.ipynb").read_text())["cells"] if "google.colab" in "".join(c["source"]))
    code, said = TransformerManager().transform_cell("".join(cell)), []
    class Shell:
        def run_line_magic(self, name, line, *more): said.append((name, line))
    exec(code, {"get_ipython": Shell})
    assert said == []
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    exec(code, {"get_ipython": Shell})
    settings = ConfigParser()
    settings.read(ROOT / "settings.ini")
    [(name, line)] = said
    assert name == "pip" and line.startswith("install ") and f"crimenb[reproduce] @ git+{settings['DEFAULT']['repository']}" in line
    # whoever reads does not see it
    assert "google.colab" not in site.readme(ROOT)

def test_badges_stand_under_the_title_once_there_is_a_repository(tmp_path):
    folder = checkout(tmp_path, {"index.ipynb": [new_markdown_cell("# Start\n\nText"), new_code_cell("#| eval: false\n1 + 1")]})
    ini = folder / "settings.ini"
    for address in (site.NOT_YET, site.NOT_YET + "/", "https://example.org/x/y"):
        ini.write_text(f"[DEFAULT]\nrepository = {address}\n")
        assert "badge" not in site.readme(folder) and "#|" not in site.readme(folder)
    ini.write_text("[DEFAULT]\nrepository = https://github.com/someone/some.lib\n")
    title, _, line = site.readme(folder).split("\n")[:3]
    assert title == "# Start" and "mybinder.org/v2/gh/someone/some.lib/HEAD?labpath=nbs/index.ipynb" in line and "github/someone/some.lib/blob/HEAD/nbs/index.ipynb" in line
