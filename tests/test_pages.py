"crimenb.lab.pages: what the page of a run starts with, and that it needs nothing from elsewhere."
import html
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import visit

from crimenb.lab import pages

ROWS = pd.DataFrame([("a long name of a method, with a second part", "ours", .31, .3, .32), ("mean", "trivial", .33, np.nan, np.nan), ("b", "baseline", .32, .31, .33),
                     ("c", "baseline", .325, .31, .33), ("<net>", "paper", 9., 8., 10.)], columns=["method", "kind", "value", "low", "high"])

def run_page(folder):
    "The page of a small notebook with a formula, a wide table and a picture."
    cells = [nbformat.v4.new_markdown_cell("# A study\n\n$$\\sqrt2$$ and `$HOME`\n\n" + "|".join(["wide column"]*12) + "\n" + "|".join(["-"]*12)),
             nbformat.v4.new_code_cell("1 + 1", outputs=[nbformat.v4.new_output("stream", text="x"*300)])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "run.ipynb")
    picture = pages.dots(ROWS, "RMSE", True, rule=.33, floor=.3)
    result = dict(dataset="a<b", profile="cpu", seed=1, seconds=3., peak_memory_bytes=1e6, commit="0"*40, device="cpu", versions={"python": "3"}, data_sha256={"file": "ab"*32},
                  parameters={"seed": 1, "lr": .1}, rows=[dict(method="x", n=10)])
    start = pages.opening("Hourly map", "RMSE", ROWS, [("fine maps", picture)]) + pages.account(result, ["lr"])
    return pages.page(folder / "run.ipynb", start)

@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_a_run_begins_with_the_answer_fits_a_phone_and_fetches_nothing(tmp_path, width):
    page = run_page(tmp_path)
    assert not re.search(r"<script|<link", page)
    seen = visit(page, """const top = text => [...document.querySelectorAll('h1, h2')].find(e => e.textContent.startsWith(text)).getBoundingClientRect().top;
        const letters = [...document.querySelectorAll('.answer svg text')].map(e => parseFloat(getComputedStyle(e).fontSize) * document.querySelector('.answer svg').getBoundingClientRect().width / document.querySelector('.answer svg').viewBox.baseVal.width);
        return {order: [top('Hourly map'), document.querySelector('.answer table').getBoundingClientRect().top, document.querySelector('.answer svg').getBoundingClientRect().top, top('The account'), top('The notebook'), top('A study')],
                wide: document.documentElement.scrollWidth, answer: document.querySelector('.answer').scrollWidth, smallest: Math.min(...letters), math: document.querySelectorAll('math').length, folded: document.querySelectorAll('details:not([open])').length}""", tmp_path, width=width)
    assert seen["order"] == sorted(seen["order"]) and seen["order"][2] < 900
    # nothing under 9 points, which are 12 pixels
    assert seen["wide"] <= width and seen["answer"] <= width and seen["smallest"] >= 12 and seen["math"] == 1 and seen["folded"] >= 2

CONTRAST = """const lin = v => (v /= 255) <= .03928 ? v/12.92 : ((v + .055)/1.055)**2.4, rgb = s => s.match(/[\\d.]+/g).map(Number);
    const lum = ([r, g, b]) => .2126*lin(r) + .7152*lin(g) + .0722*lin(b), back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if ((c[3] ?? 1) > .5) return c; } return [255, 255, 255]; };
    document.querySelectorAll('details').forEach(e => e.open = true); const found = [];
    for (const e of document.querySelectorAll('body *')) if ([...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.getBoundingClientRect().width && !e.closest('style')) {
        const [a, b] = [lum(rgb(e.closest('svg') ? getComputedStyle(e).fill : getComputedStyle(e).color)), lum(back(e))]; found.push([(Math.max(a, b) + .05)/(Math.min(a, b) + .05), e.className + ' ' + e.textContent.slice(0, 20)]); }
    return found.sort((x, y) => x[0] - y[0]);"""

def test_all_letters_of_the_page_of_a_run_stand_out_those_of_code_too(tmp_path):
    code = "# a comment\n@decorated\ndef f(x: int) -> float:\n    'a text'\n    return x*2.5 + 0x1f if x is not None else f'{x}'\nimport os\n%time 1"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), tmp_path / "run.ipynb")
    found = visit(pages.page(tmp_path / "run.ipynb", pages.opening("Hourly map", "RMSE", ROWS, [("fine maps", pages.dots(ROWS, "RMSE", True))])), CONTRAST, tmp_path)
    assert len(found) > 40 and any("a comment" in text for _, text in found) and found[0][0] >= 4.5, found[:5]

def test_what_a_result_file_says_is_text_on_the_page(tmp_path):
    page = run_page(tmp_path)
    assert "&lt;net&gt;" in page and "<net>" not in page and "a&lt;b" in page and "$HOME" in page

def test_what_is_off_the_scale_stands_at_its_edge_with_its_number():
    picture = pages.dots(ROWS, "RMSE", True)
    assert ">9</text>" in picture and "less is better" in picture and picture.count(">0.31</text>") <= 1
    assert "more is better" in pages.dots(ROWS.assign(value=-ROWS["value"], low=np.nan, high=np.nan), "PAI", False)
    # one method, or all the same: a scale all the same
    assert "<svg" in pages.dots(ROWS[:1], "RMSE", True) and "<svg" in pages.dots(ROWS.assign(value=0., low=np.nan, high=np.nan), "RMSE", True)

def test_the_same_numbers_make_the_same_picture(): assert pages.dots(ROWS, "RMSE", True) == pages.dots(ROWS, "RMSE", True)

def test_intervals_are_drawn_whole_and_one_that_is_very_wide_does_not_squash_the_others():
    rows = pd.DataFrame({"value": [.1, .2, .3, 9.], "low": [.05, .18, .25, 8.], "high": [.15, .22, .38, 10.]})
    assert pages.with_intervals(rows, (.1, .3)) == (.05, .38)
    assert pages.with_intervals(rows.assign(high=[.15, 50., .38, 10.]), (.1, .3)) == pytest.approx((.05, .5))
    assert pages.with_intervals(rows.assign(low=np.nan, high=np.nan), (.1, .3)) == (.1, .3)

def test_a_number_far_off_does_not_squash_the_others():
    low, high = pages.robust([.45, .46, .47, .48, .5, 90.])
    assert low == .45 and .5 <= high < 1

@pytest.mark.parametrize("tex, drawn", [
    (r"\mathcal L_{\mathrm{TC}}", "ℒTC"), (r"\boldsymbol p_*", "𝒑∗"), (r"\mathbb R^n", "ℝn"), (r"\boldsymbol\theta", "𝜽"), (r"\mathbf{W}_2", "𝐖2"), (r"\mathcal I", "ℐ")])
def test_a_formula_is_made_of_characters_that_browsers_draw_as_tex_does(tex, drawn):
    kept = []
    pages.formulas(f"${tex}$", kept)
    assert html.unescape(re.sub("<[^>]+>", "", kept[0])) == drawn

def test_equations_in_lines_become_a_table_without_numbers():
    kept = []
    pages.formulas(r"$$\begin{aligned}a&=b\\c&=\arg\max_k d\end{aligned}$$", kept)
    assert kept[0].count("<mtr>") == 2 and "&amp;" not in kept[0] and "<mtext>(" not in kept[0] and "\\" not in kept[0]

def test_a_name_stands_apart_from_what_it_is_applied_to():
    spaces = {r"\log p": 1, r"\log(p)": 0, r"\log_2 p": 0, r"p\exp z_i": 1, "ab": 0}
    for tex, many in spaces.items():
        kept = []
        pages.formulas(f"${tex}$", kept)
        assert kept[0].count("<mspace") == many, tex
