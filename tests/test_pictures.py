"Pictures: the right number of marks, values and labels, on data small enough to be counted by hand."
import json
import io
import warnings
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
import shapely
from browser import visit
from PIL import Image
from xml.etree import ElementTree

from crimenb import pictures
from crimenb.core import InputError
from crimenb.pictures import attention_map, day_in_maps, flagged_units, headline, next_event, outlines, two_years

matplotlib.use("Agg")
ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"

@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")

def town(side=3):
    west, south = (v.ravel() for v in np.meshgrid(8.5 + .01*np.arange(side), 47.3 + .01*np.arange(side)))
    return pd.DataFrame({"lon": west + .005, "lat": south + .005, "geometry": [shapely.box(w, s, w + .01, s + .01) for w, s in zip(west, south)]},
                        index=[f"area {i}" for i in range(side**2)])

def smallest(fig):
    "Points of the smallest letters that are drawn."
    fig.canvas.draw()
    return min(t.get_fontsize() for t in fig.findobj(matplotlib.text.Text) if t.get_text().strip() and t.get_visible())

def test_colours_and_markers_tell_the_kinds_apart():
    assert pictures.KINDS.keys() == pictures.MARKERS.keys() and len(set(pictures.MARKERS.values())) == len(pictures.KINDS) == len(set(pictures.KINDS.values()))
    # the ramp gets darker from step to step in grey print, too
    light = [np.dot(matplotlib.colors.to_rgb(c), (.299, .587, .114)) for c in pictures.RAMP]
    assert all(a - b > .1 for a, b in zip(light, light[1:]))

def test_every_module_takes_the_palette_from_here():
    from crimenb import forecasts
    from crimenb.lab import boards, leaderboard
    assert boards.COLOURS is pictures.SERIES and leaderboard.COLOURS is pictures.KINDS and forecasts.RAMP is pictures.RAMP

def test_flagged_units_shows_each_unit_once_and_counts_the_crimes():
    flagged, later = np.array([1, 1, 0, 0, 0], bool), np.array([2, 0, 3, 1, 0])
    fig = flagged_units(np.arange(5)*100., np.zeros(5), flagged, later, ("one", "two"))
    left, right = fig.axes
    assert [len(c.get_offsets()) for c in left.collections] == [5, 2] and [len(c.get_offsets()) for c in right.collections] == [5, 2, 1]
    assert [t.get_text() for t in right.get_legend().get_texts()] == ["4 crimes elsewhere", "2 crimes at a flagged unit"]
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["one", "two"] and smallest(fig) >= 9
    # an area in proportion to the count
    assert np.allclose(np.divide(*right.collections[1].get_sizes()), 3)
    with pytest.raises(InputError, match="one of each a unit"): flagged_units(np.arange(5), np.zeros(5), flagged[:4], later)

def test_a_day_in_maps_has_a_map_a_slot_in_the_same_classes():
    places = town()
    rates = np.outer(np.arange(1, 9), np.arange(1, 10))
    fig = day_in_maps(outlines(places), rates, "crimes")
    assert len(fig.axes) == 8 and fig.axes[7].get_title(loc="left") == "21 to 24 h" and smallest(fig) >= 9
    faces = [ax.collections[0].get_facecolor() for ax in fig.axes]
    assert all(len(f) == 9 for f in faces)
    # 8 in the first slot and in the fourth have one colour, 1 and 72 the two ends of the ramp
    assert (faces[0][7] == faces[3][1]).all()
    assert [matplotlib.colors.to_hex(c) for c in (faces[0][0], faces[7][8])] == [pictures.RAMP[0], pictures.RAMP[-1]]
    assert len(fig.legends[0].get_texts()) == 5
    for wrong in (rates[:, :8], rates[:7], rates[0]):
        with pytest.raises(InputError, match="slots that divide 24"): day_in_maps(outlines(places), wrong)

def test_two_years_show_the_places_where_something_was():
    fig = two_years(outlines(town()), np.arange(4)*100., np.zeros(4), [0, 1, 2, 0], [3, 0, 0, 0], ("2021", "2022"))
    before, after = ([c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)] for ax in fig.axes)
    assert len(before[0].get_offsets()) == 2 and len(after[0].get_offsets()) == 1
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["2021: 3", "2022: 3"] and smallest(fig) >= 9
    assert [t.get_text() for t in fig.axes[1].get_legend().get_texts()] == ["1", "3"]
    with pytest.raises(InputError, match="one of each a place"): two_years([], [0, 1], [0], [1], [1], ("", ""))

def events(n=20):
    return pd.DataFrame({"time": pd.date_range("2018-03-01", periods=n, freq="31h"), "category": ["THEFT", "BATTERY"]*(n//2)})

def test_the_next_event_is_marked_where_a_peer_names_it():
    said = pd.DataFrame({"peer": ["peer 1"]*3 + ["peer 2"]*3, "label": list("bca") + list("bcd"), "score": [.5, .3, .1, .6, .2, .1],
                         "rank": [1, 2, 7, 1, 2, 3]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig = next_event(events(), said, (pd.Timestamp("2018-04-01 12:00"), "ARSON", "a"), "a bar")
        assert smallest(fig) >= 9
    one, two, past = fig.axes
    assert one.get_title(loc="left") == "peer 1: hidden one at place 7" and two.get_title(loc="left") == "peer 2: not among them"
    assert [bar.get_width() for bar in one.patches] == [.5, .3, .1]
    assert [bar.get_linewidth() > 0 for bar in one.patches] == [False, False, True]
    assert [text.get_text() for text in one.texts] == ["1  b", "2  c", "7  a"]
    # 20 events in two colours, the hidden one in a third, which nothing of the past has
    assert sum(len(c.get_offsets()) for c in past.collections) == 21 and past.get_title(loc="left").startswith("a bar: the last 20 events")
    with pytest.raises(InputError, match="lack score"): next_event(events(), said.drop(columns="score"), (pd.Timestamp("2018-04-01"), "THEFT", "a"))

def test_attention_has_an_arrow_a_neighbour_as_wide_as_its_weight():
    edges, weights = np.array([[4, 1, 3, 4], [4, 4, 4, 0]]), [.5, .4, .1, 1.]
    fig = attention_map(town(), edges, weights, 4)
    ax, = fig.axes
    assert {t.get_text() for t in ax.texts if t.get_text()} == {"area 4\n0.50", "area 1\n0.40", "area 3\n0.10"} and smallest(fig) >= 9
    arrows = [t.arrow_patch.get_arrowstyle().tail_width for t in ax.texts if getattr(t, "arrow_patch", None)]
    assert len(arrows) == 2 and max(arrows) > 2*min(arrows)
    with pytest.raises(InputError, match="give .2, E. and .E,."): attention_map(town(), edges, weights[:3], 4)
    with pytest.raises(InputError, match="area to look from"): attention_map(town(), edges, weights, 9)

def test_the_headline_has_a_mark_a_method_and_the_interval_that_was_measured():
    lines = pd.DataFrame({"method": ["counts", "net"]*2, "kind": ["trivial", "paper"]*2, "dataset": ["x"]*4, "protocol": ["p", "p", "q", "q"],
                          "value": [.5, .4, .2, .21], "low": [.48, .38, .19, .2], "high": [.52, .42, .21, .22], "printed": [np.nan, .43, np.nan, np.nan]})
    fig = headline(lines, {"p": "one", "q": "other"})
    left, right = fig.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["counts", "net"] and left.get_title(loc="left") == "one\nx"
    ends = [tuple(line.get_xdata()) for line in left.lines]
    assert ends[0] == (.48, .52) and ends[2] == (.38, .42) and (.43,) in ends and len(right.lines) == 4
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["rule that counts", "the paper's network", "printed"] and smallest(fig) >= 9

def test_a_saved_picture_has_twice_the_pixels_and_few_bytes(tmp_path):
    fig, _ = pictures.canvas(1, 1, .5)
    pictures.say(fig, "word "*100)
    path = pictures.save(fig, tmp_path/"x.png")
    assert Image.open(io.BytesIO(path.read_bytes())).size == (1209, 604) and path.stat().st_size < 60_000

def test_a_small_picture_keeps_its_rare_colours():
    "A map's highest cell and the bar beside it are few pixels: taken for those of their neighbours, they would say another number."
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[:4, :256] = (255*matplotlib.colormaps["YlGnBu"](np.arange(256))[:, :3]).round().astype(np.uint8)
    drawn = io.BytesIO()
    Image.fromarray(pixels).save(drawn, "png")
    small = Image.open(io.BytesIO(pictures._few_colours(drawn.getvalue())))
    assert small.mode == "P" and abs(np.asarray(small.convert("RGB")).astype(int) - pixels).max() <= 8

DIAGRAMS = sorted((ROOT/"nbs/images").glob("*.svg"))

def test_the_diagrams_are_there():
    assert {p.stem for p in DIAGRAMS} >= {"peers", "less_to_more", "stresnet", "cumulative_day", "gat_tcn", "rtm", "bandwidths", "ways"}

@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda p: p.stem)
def test_a_diagram_scales_is_read_aloud_and_has_no_small_letters(path):
    root = ElementTree.parse(path).getroot()
    wide = float(root.get("viewBox").split()[2])
    assert root.get("width") is None and root.find(f"{SVG}title").text and len(root.find(f"{SVG}desc").text) > 100
    # at 16 cm, 605 pixels of a screen, 9 points are 12 pixels
    sizes = [15., *(float(n.get("font-size")) for n in root.iter() if n.get("font-size"))]
    assert "font: 15px" in root.find(f"{SVG}style").text and min(sizes)*605/wide >= 12
    assert not [n for n in root.iter() if n.tag in (f"{SVG}image", f"{SVG}script")]

@pytest.mark.parametrize("path", sorted((ROOT/"nbs/images").glob("*.png")), ids=lambda p: p.stem)
def test_a_picture_of_a_city_is_small_and_sharp(path):
    assert path.stat().st_size <= 250_000 and Image.open(path).width >= 1200


def test_places_that_nobody_knows_are_left_off_the_map_and_the_others_are_drawn(tmp_path):
    import shapely
    from crimenb.forecasts import Forecast, draw
    lon, lat = np.array([-87.70, np.nan, -87.68, -87.66]), np.array([41.80, np.nan, 41.82, 41.81])
    shapes = np.array([None if np.isnan(x) else shapely.Point(x, y) for x, y in zip(lon, lat)], object)
    table = pd.DataFrame({"period": "next event", "place": list("abcd"), "category": "THEFT", "expected": [.1, .4, .3, .2]})
    bare = pd.DataFrame({"lon": lon, "lat": lat}, index=pd.Index(list("abcd"), name="place"))
    for places in (bare, bare.assign(geometry=shapes)):
        assert [len(rings) for rings in pictures.outlines(places)] == [1, 0, 1, 1]
        made = Forecast(table, places, {"values": "probabilities", "model": "m"})
        points = draw(made).axes[0].collections[0].get_offsets()
        assert len(points) == 3 and np.isfinite(points).all()
        for name in ("a.html", "a.png", "a.geojson"):
            (made.to_file if name.endswith("json") else made.map)(tmp_path/name)
            assert (tmp_path/name).stat().st_size

def a_town(side=6, areas=True):
    "A forecast of squares, of which the first column is empty, with what happened before and two areas around."
    import shapely
    from crimenb.forecasts import Forecast
    row, column = np.divmod(np.arange(side*side), side)
    squares = shapely.box(8.5 + .006*column, 47.3 + .004*row, 8.506 + .006*column, 47.304 + .004*row)
    names = pd.Index([f"square {i}" for i in range(side*side)], name="place")
    places = pd.DataFrame({"lon": 8.503 + .006*column, "lat": 47.302 + .004*row, "km2": .2, "geometry": squares}, index=names)
    expected = np.where(column, 1. + row + 3*column, 0.)
    line = lambda day, values: pd.DataFrame({"period": pd.Timestamp(day), "place": names, "expected": values})
    # far larger than the town
    halves = pd.DataFrame({"geometry": shapely.box([8, 8.518], 47, [8.518, 9], 48)}) if areas else None
    return Forecast(line("2024-01-08", expected), places, {"model": "m", "unit": "week"}, line("2024-01-01", expected[::-1]), halves)


def test_boundaries_lie_over_squares_and_do_not_widen_the_map():
    from crimenb.forecasts import draw
    bare, with_areas = (draw(a_town(areas=areas)).axes for areas in (False, True))
    assert len(bare) == len(with_areas) == 2
    for one, other in zip(bare, with_areas):
        np.testing.assert_allclose(one.axis(), other.axis())
        assert [len(c.get_paths()) for c in other.collections] == [36, 2] and len(one.collections[-1].get_paths()) == 0
        # a metre is a metre: the border between the areas is where a square ends
        east = max(x for x, _ in other.collections[1].get_paths()[0].vertices)
        assert min(abs(path.vertices[:, 0] - east).min() for path in other.collections[0].get_paths()) < 1


def test_where_nothing_is_expected_the_map_has_the_colour_of_the_ground_and_no_class_is_said_twice():
    from matplotlib.colors import to_rgb
    from crimenb.forecasts import classes, draw, legend
    before, now = draw(a_town(4)).axes
    faces = {tuple(path.vertices[:, 0].round()): tuple(c[:3]) for path, c in zip(now.collections[0].get_paths(), now.collections[0].get_facecolors())}
    # squares that are marked are drawn last
    west = min(min(x) for x in faces)
    assert {c for x, c in faces.items() if min(x) == west} == {to_rgb(pictures.LAND)} and to_rgb(pictures.LAND) not in {c for x, c in faces.items() if min(x) > west}
    assert legend(classes([.1041, .1082, .1103, .1151, .2])[1]) == ["up to 0.107", "0.107 to 0.109", "0.109 to 0.112", "0.112 to 0.132", "above 0.132"]
    assert legend([.5, 12]) == ["up to 0.5", "0.5 to 12", "above 12"] and legend([20.2, 20.4]) == ["up to 20.2", "20.2 to 20.4", "above 20.4"]


LOOK = """const found = [], walk = root => { for (const e of root.querySelectorAll('*')) {
if (e.matches('.bk-Figure')) { const r = e.getBoundingClientRect(); found.push([r.left, r.top, r.right, r.bottom].map(Math.round)); }
if (e.shadowRoot) walk(e.shadowRoot); } }; walk(document);
const plots = Bokeh.documents[0].all_models.size ? [...Bokeh.documents[0].all_models].filter(m => m.type == 'Figure') : [];
return [found, document.documentElement.scrollWidth, plots.map(p => p.title ? p.title.text : ''), [...Bokeh.documents[0].all_models].filter(m => m.type == 'Select').length]"""


@pytest.mark.parametrize("width", [390, 1280])
def test_what_happened_is_beside_what_is_expected_and_below_it_on_a_phone(width, tmp_path):
    page = a_town().map(tmp_path/"m.html").read_text(encoding="utf-8")
    maps, wide, titles, chosen = visit(page, LOOK, tmp_path, width, after=3000)
    assert titles == ["expected", "what happened, week from 2024-01-01"] and chosen == 0
    (left, top, right, bottom), other = maps
    assert wide <= width and right - left == other[2] - other[0] and bottom - top == other[3] - other[1] == 620
    if width == 390: assert right - left > 350 and other[:2] >= [left, bottom]
    else: assert right - left > 600 and other[1] == top and other[0] >= right


def test_a_map_of_probabilities_says_so_below_and_is_not_of_what_happened(tmp_path):
    from crimenb.forecasts import Forecast, named_first
    made = a_town()
    made = Forecast(made.table.assign(category="THEFT", expected=made.table.expected/100), made.places, {"values": "probabilities", "model": "m"}, None, made.around)
    page = made.map(tmp_path/"m.html").read_text(encoding="utf-8")
    assert "Chances of the class of the next reported crime, not of a crime, and of no person" in page and "what happened" not in page
    assert named_first(made) == "1 place, the surest 3% of the places"

def test_a_file_of_forecasts_has_the_digits_and_vertices_that_it_needs(tmp_path):
    import shapely
    from crimenb.forecasts import Forecast
    from crimenb.geo import read_polygons
    # two areas whose border has a thousand vertices on one line, one line for each of four categories
    border = [(-87.68 + 1/3e9, y) for y in np.linspace(41.80, 41.82, 1000)]
    shapes = [shapely.Polygon([(-87.70, 41.80), *border, (-87.70, 41.82)]), shapely.Polygon([(-87.66, 41.82), *border[::-1], (-87.66, 41.80)])]
    places = pd.DataFrame({"lon": [-87.69 + 1/3e7, -87.67], "lat": 41.81, "km2": [3.7 + 1e-8, 3.7], "geometry": shapes}, index=pd.Index(["a", "b"], name="place"))
    table = pd.DataFrame([("2024-01-08", p, c, 1/3) for p in "ab" for c in "wxyz"], columns=["period", "place", "category", "expected"])
    path = Forecast(table, places).to_file(tmp_path/"a.geojson")
    assert path.stat().st_size < 300*len(table) and len(places.geometry["a"].exterior.coords) > 1000
    found = json.loads(path.read_text())["features"]
    assert {k: found[0]["properties"][k] for k in ("lon", "lat", "km2", "expected")} == {"lon": -87.69, "lat": 41.81, "km2": 3.7, "expected": .333333}
    size = shapely.area([shapely.from_geojson(json.dumps(one["geometry"])) for one in found])
    np.testing.assert_allclose(size, np.repeat(shapely.area(shapes), 4), rtol=1e-5)
