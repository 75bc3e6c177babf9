"crimenb.panels: by hand, against loops, with a poisoned future, and on the real files."
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st

from crimenb.city import simulate
from crimenb.core import InputError
from crimenb import geo
from crimenb.geo import adjacency, read_polygons
from crimenb.models import _decode, _encode
from crimenb.panels import (GROUPS, SEVERITY, Features, Panel, category_groups, cell_areas, city_places, read_hagen, read_la_monthly, risk_levels,
                            scales)
from crimenb.sources import load


def table(times, areas, categories, **more):
    n = len(times)
    return pd.DataFrame({"time": pd.to_datetime(list(times)).as_unit("s"), "lon": more.pop("lon", np.zeros(n)), "lat": more.pop("lat", np.zeros(n)),
                         "x": np.nan, "y": np.nan, "category": pd.Categorical(categories), "premises": pd.Categorical([None]*n, pd.Index([], dtype=str)),
                         "area": pd.Categorical(areas), **more})

def random_events(seed, n=3000, days=140):
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 86400*days, n))
    age = np.where(rng.random(n) < .2, np.nan, rng.integers(10, 80, n).astype(float))
    return table(pd.Timestamp("2018-03-01") + pd.to_timedelta(seconds, "s"), rng.choice(["A", "B", "C", "D"], n, p=[.4, .3, .2, .1]),
                 rng.choice(["THEFT", "BATTERY", "GAMBLING"], n), lon=rng.normal(0, .1, n), lat=rng.normal(50, .1, n), victim_age=age,
                 victim_sex=pd.Categorical(np.where(rng.random(n) < .1, None, rng.choice(["F", "M"], n))))

def with_counts(counts, freq="W-MON", categories=None, slots=1, **more):
    counts = np.asarray(counts, "int32")
    T, A, C = counts.shape
    starts = pd.date_range("2018-01-01", periods=T, freq=freq if freq else "D").as_unit("s")
    fields = dict(lon=np.arange(A, dtype=float), lat=np.ones(A), km2=np.ones(A), attributes=np.empty((T, A, 0)), attribute_names=[], freq=freq, slots=slots)
    return Panel(counts, starts, [str(i) for i in range(A)], categories or ["violent", "property", "other"][:C], **{**fields, **more})

CITY = simulate(12_000, days=210, seed=1, n_areas=9)

def city_panel(**more):
    events, truth = CITY
    return Panel.from_events(events, group=category_groups(events["category"].cat.categories), places=city_places(truth),
                       attributes=["victim_age", "victim_sex", "premises"], **more)


# --- counting ---

@pytest.mark.parametrize("freq, slots", [("W-MON", 1), ("W-SUN", 4), ("MS", 1), ("D", 1), ("D", 8)])
def test_counts_agree_with_a_loop_and_every_event_is_accounted_for(freq, slots):
    events = random_events(0)
    panel = Panel.from_events(events, freq=freq, slots=slots)
    edges = pd.date_range(events["time"].min().normalize(), events["time"].max().normalize() + pd.Timedelta(days=1), freq=freq)
    expected = np.zeros_like(panel.counts)
    for row in events.itertuples():
        block = sum(edge <= row.time for edge in edges) - 1
        if 0 <= block < len(edges) - 1:
            expected[block*slots + row.time.hour//(24//slots), panel.areas.index(row.area), panel.categories.index(row.category)] += 1
    np.testing.assert_array_equal(panel.counts, expected)
    assert panel.counts.dtype == np.int32 and panel.counts.sum() + sum(panel.left_out.values()) == len(events)
    assert len(panel.starts) == len(panel) == slots*(len(edges) - 1) and panel.starts[0] == edges[0]

@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 59), st.sampled_from(["A", "B", None]), st.sampled_from(["x", "y"])), min_size=15, max_size=60))
def test_no_event_is_lost(rows):
    # an event within the whole weeks: without any there is no panel
    rows = [(0, "A", "x"), (20, "A", "x"), (59, "B", "y"), *rows]
    rows.sort(key=lambda r: r[0])
    # where most have no area, there is no panel either
    assume(sum(area is not None for _, area, _ in rows) >= len(rows)/2)
    panel = Panel.from_events(table([pd.Timestamp("2018-01-03") + pd.Timedelta(days=d) for d, _, _ in rows], [a for _, a, _ in rows], [c for *_, c in rows]))
    assert np.nansum(panel.counts) + sum(panel.left_out.values()) == len(rows)
    assert (panel.starts.day_of_week == 0).all() and panel.starts[0] == pd.Timestamp("2018-01-08")

def test_whole_weeks_are_kept_to_the_day():
    events = table(["2018-01-01 13:00", "2018-01-14 01:00"], ["A", "A"], ["x", "x"])        # a Monday; a Sunday
    assert len(Panel.from_events(events)) == 2
    assert len(Panel.from_events(events, start="2018-01-02")) == 1 and Panel.from_events(events, start="2018-01-02").left_out["before the first whole period"] == 1
    assert len(Panel.from_events(events, end="2018-01-14")) == 1 and len(Panel.from_events(events, end="2018-01-29")) == 4

def test_groups_keep_their_order_and_those_that_nothing_falls_into_are_not_there():
    events = random_events(0)
    assert Panel.from_events(events, group=category_groups(["THEFT", "BATTERY", "GAMBLING"])).categories == ["violent", "property", "other"]
    assert Panel.from_events(events, group={"THEFT": "property", "BATTERY": "violent", "GAMBLING": "violent"}).categories == ["violent", "property"]
    own = Panel.from_events(events, group={"THEFT": "z", "BATTERY": "a", "GAMBLING": "a"})
    assert own.categories == ["a", "z"] and (own.counts.sum(2) == Panel.from_events(events).counts.sum(2)).all()

def test_attributes_by_hand():
    events = table(["2018-01-01", "2018-01-02", "2018-01-03", "2018-01-07"], ["A", "A", "A", "B"], ["x"]*4, victim_age=[20., 30., np.nan, np.nan],
                   victim_sex=pd.Categorical(["M", "F", "M", None]))
    panel = Panel.from_events(events, attributes=["victim_age", "victim_sex"])
    assert panel.attribute_names == ["victim_age: mean", "victim_sex: most common", "victim_sex: share F", "victim_sex: share M"]
    assert panel.attribute_labels == {"victim_sex: most common": ["F", "M"]}
    np.testing.assert_allclose(panel.attributes, [[[25, 1, 1/3, 2/3], [np.nan]*4]])

def test_an_area_without_polygon_lies_where_its_events_of_the_first_half_do():
    events = random_events(1)
    panel, half = Panel.from_events(events), Panel.from_events(events).starts[len(Panel.from_events(events))//2]
    early = events[(events["time"] >= panel.starts[0]) & (events["time"] < half)]
    np.testing.assert_allclose(panel.lon, early.groupby("area", observed=False)["lon"].median())
    late = events["time"] >= half
    np.testing.assert_array_equal(Panel.from_events(events.assign(lon=events["lon"].mask(late, 5.))).lon, panel.lon)
    assert np.isnan(panel.km2).all()

@pytest.mark.parametrize("call, message", [
    (lambda: Panel.from_events(random_events(0), freq="2h"), "freq"), (lambda: Panel.from_events(random_events(0), slots=5), "slots"),
    (lambda: Panel.from_events(random_events(0, days=5)), "no whole period"), (lambda: Panel.from_events(random_events(0), group={"THEFT": "a"}), "BATTERY"),
    (lambda: Panel.from_events(random_events(0), start="soon"), "start is 'soon': give a day, such as 2018-07-01"), (lambda: Panel.from_events(random_events(0), attributes=["weapon"]), "weapon"), (lambda: Panel.from_events(random_events(0)).split(.6, .5), "ask for fewer"),
    (lambda: Panel.from_events(random_events(0)).split(-1, 1), "valid"),
    (lambda: Panel.from_events(table(["2018-01-01", "2018-02-01"], pd.Categorical([None]*2, pd.Index([], dtype=str)), ["x", "x"])), "areas"),
    (lambda: Features(Panel.from_events(random_events(0)), slice(0, 4)), "of 19 weeks, 4 are there to learn from, .* give 5 weeks at least"), (lambda: Features(Panel.from_events(random_events(0)), slice(0, 9), length=0), "length"),
    (lambda: risk_levels(Panel.from_events(random_events(0)), slice(0, 0)), "training"), (lambda: risk_levels(Panel.from_events(random_events(0)), slice(0, 5), {"violent": 1.}), "severity"),
    (lambda: cell_areas(random_events(0), least=10_000), "no cell"),
    (lambda: read_hagen({"train.npz": "x"}), "test.npz"),
])
def test_what_can_not_be_is_refused_in_a_sentence(call, message):
    with pytest.raises(InputError, match=message) as error: call()
    assert "\n" not in str(error.value)


# --- groups and levels ---

def test_groups_read_the_labels_of_all_portals():
    want = {"THEFT": "property", "BATTERY": "violent", "CRIM SEXUAL ASSAULT": "violent", "MOTOR VEHICLE THEFT": "property", "DECEPTIVE PRACTICE": "property",
            "NARCOTICS": "other", "GRAND LARCENY": "property", "FELONY ASSAULT": "violent", "Violent – Homicide": "violent", "Property – Arson": "property",
            "Vehicle Crime": "property", "Identity / Fraud": "property", "Drug Offense": "other", "Other": "other", "BATTERY - SIMPLE ASSAULT": "violent",
            "VEHICLE - STOLEN": "property", "ROBBERY": "violent", "violent": "violent", "property": "property", "other": "other"}
    assert category_groups(want) == want and set(GROUPS) == set(SEVERITY)

def test_levels_by_hand_and_thresholds_of_the_training_alone():
    panel = with_counts(np.arange(40).reshape(10, 4, 1))
    level, thresholds = risk_levels(panel, slice(0, 5))
    np.testing.assert_allclose(thresholds, 4*np.quantile(np.arange(20), [.2, .4, .6, .8]))
    assert [int((4*n > thresholds).sum()) for n in range(40)] == level.ravel().tolist() and (level[5:] == 4).all()
    weighted, _ = risk_levels(with_counts([[[1, 0, 0], [0, 2, 0], [0, 0, 5]]]*5), slice(0, 5))
    assert (weighted == weighted[0]).all() and weighted[0, 0] == weighted[0, 1] < weighted[0, 2]        # 4, 4 and 5

def test_a_fifth_of_the_training_cases_has_each_level():
    level, _ = risk_levels(with_counts(np.random.default_rng(0).poisson(50, (60, 20, 3))), slice(0, 40))
    np.testing.assert_allclose(np.bincount(level[:40].ravel(), minlength=5)/800, .2, atol=.01)


# --- features ---

@pytest.mark.parametrize("slots", [1, 4])
def test_lags_agree_with_a_loop(slots):
    panel = city_panel(slots=slots)
    f = Features(panel, panel.split().train, length=3)
    low, high = (g(panel.counts[panel.split().train].reshape(-1, 3).astype(float), axis=0) for g in (np.min, np.max))
    for row in range(0, len(f.t), 97):
        t, a = f.t[row], f.a[row]
        for lag in (1, 2, 3):
            want = (panel.counts[t - slots*lag, a] - low)/(high - low)
            np.testing.assert_allclose(f.x_sequence[row, 3 - lag, :3], want, rtol=1e-5)
            names = [f.feature_names.index(f"{c}, {lag} before") for c in panel.categories]
            np.testing.assert_allclose(f.x_flat[row, names], want, rtol=1e-5)
        assert f.y_counts[row].tolist() == panel.counts[t, a].tolist()
    np.testing.assert_array_equal(f.x_sequence[:, 0, -f.x_static.shape[1]:], f.x_static)
    assert f.by_area(f.t).shape == (len(panel) - 3*slots, 9) and (f.by_area(f.a) == np.arange(9)).all()
    assert f.x_flat.dtype == f.x_sequence.dtype == np.float32 and f.y_level.dtype == np.int64

def test_density_and_the_mean_so_far_by_hand():
    counts = np.random.default_rng(0).poisson(5, (12, 2, 2))
    panel = with_counts(counts, km2=np.array([2., 5.]))
    f = Features(panel, slice(0, 8))
    def unscaled(name, row):
        i = f.static_names.index(name)
        return (f.x_static[row, i] - f.scales.static.shift[i])/f.scales.static.scale[i]
    for row in range(len(f.t)):
        t, a = f.t[row], f.a[row]
        assert unscaled("density per km²", row) == pytest.approx(counts[t - 4:t, a].sum()/4/panel.km2[a], rel=1e-4)
        assert unscaled("property, mean so far", row) == pytest.approx(counts[:t, a, 1].mean(), rel=1e-4)

def test_rows_of_the_parts_follow_each_other():
    panel = city_panel(slots=4)
    parts, f = panel.split(.2, 3), Features(panel, panel.split(.2, 3).train)
    rows = [f.rows(s) for s in parts]
    assert rows[0].start == 0 and rows[0].stop == rows[1].start and rows[1].stop == rows[2].start and rows[2].stop == len(f.t)
    assert all(set(f.t[r]) <= set(range(len(panel))[s]) for r, s in zip(rows, parts)) and parts.test.stop - parts.test.start == 12
    assert all(s.start % 4 == 0 for s in parts)

def test_unknown_values_become_the_median_and_the_mode_of_training():
    panel = city_panel()
    train = panel.split().train
    age = panel.attribute_names.index("victim_age: mean")
    mode = panel.attribute_names.index("premises: most common")
    panel.attributes[6, 2] = np.nan
    f = Features(panel, train)
    known = panel.attributes[train]
    row = f.rows(slice(7, 8)).start + 2
    low, middle, high = np.nanmin(known[..., age]), np.nanmedian(known[..., age]), np.nanmax(known[..., age])
    assert f.x_flat[row, f.feature_names.index("victim_age: mean, 1 before")] == pytest.approx((middle - low)/(high - low), rel=1e-4)
    codes = known[..., mode][np.isfinite(known[..., mode])].astype(int)
    usual = panel.attribute_labels["premises: most common"][np.bincount(codes).argmax()]
    hot = [n for n in f.feature_names if n.startswith("premises: most common_") and n.endswith(", 1 before") and f.x_flat[row, f.feature_names.index(n)] == 1]
    assert hot == [f"premises: most common_{usual}, 1 before"]

def test_a_label_or_value_first_seen_after_training_is_no_trouble():
    panel = city_panel()
    mode = panel.attribute_names.index("premises: most common")
    labels = panel.attribute_labels["premises: most common"]
    panel.attribute_labels["premises: most common"] = [*labels, "MOON BASE"]
    panel.attributes[-3:, :, mode] = len(labels)
    f = Features(panel, panel.split().train)
    assert not any("MOON" in n for n in f.feature_names) and np.isfinite(f.x_flat).all()

def test_columns_that_nobody_knows_are_not_there():
    f = Features(with_counts(np.ones((10, 2, 1)), freq=None, lon=np.full(2, np.nan), lat=np.full(2, np.nan), km2=np.full(2, np.nan)), slice(0, 7))
    assert f.static_names == ["violent, mean so far", "area 0", "area 1"] and np.isfinite(f.x_flat).all()

@pytest.mark.parametrize("freq, slots, names", [("W-MON", 1, ["day of year"]), ("W-MON", 4, ["day of year", "hour"]), ("D", 1, ["day of year", "day of week"])])
def test_the_calendar_as_the_study_has_it_and_on_a_circle(freq, slots, names):
    panel = city_panel(freq=freq, slots=slots)
    plain, round_ = (Features(panel, panel.split().train, cyclic=c) for c in (False, True))
    assert plain.static_names[:len(names)] == names
    assert round_.static_names[:2*len(names)] == [f"{n} ({f})" for n in names for f in ("sin", "cos")]
    if slots == 4:
        hours = round_.x_static[::9][:4, round_.static_names.index("hour (sin)")], round_.x_static[::9][:4, round_.static_names.index("hour (cos)")]
        points = np.stack(hours, 1)
        assert np.allclose(np.linalg.norm(points - np.roll(points, 1, 0), axis=1), np.sqrt(.5), atol=1e-6)   # midnight as near to 18 h as to 6 h


# --- nothing looks ahead ---

def poisoned(panel, moment):
    counts, attributes = panel.counts.copy(), panel.attributes.copy()
    counts[moment:] = 9_999
    attributes[moment:] = np.where(np.arange(attributes.shape[2]) % 2, np.nan, 0)
    return replace(panel, counts=counts, attributes=attributes)

@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("slots", [1, 4])
def test_a_poisoned_future_changes_no_feature_up_to_it(slots, cyclic):
    panel = city_panel(slots=slots)
    train = panel.split().train
    clean = Features(panel, train, cyclic)
    # from the end of training on, at every start of a week: its own counts are the target, and no feature reads them
    for moment in range(train.stop, len(panel), slots):
        dirty = Features(poisoned(panel, moment), train, cyclic)
        upto = clean.rows(slice(0, moment + slots))
        for name in ("x_flat", "x_static", "x_sequence"): assert (getattr(clean, name)[upto] == getattr(dirty, name)[upto]).all()
        before = clean.rows(slice(0, moment))
        assert (clean.y_counts[before] == dirty.y_counts[before]).all() and (clean.y_level[before] == dirty.y_level[before]).all()
        assert clean.feature_names == dirty.feature_names and (clean.thresholds == dirty.thresholds).all()
    # and the poison was there to be seen
    moment = train.stop
    assert (Features(poisoned(panel, moment), train).x_flat[clean.rows(slice(moment + slots, None))] != Features(panel, train).x_flat[clean.rows(slice(moment + slots, None))]).any()

def learnt_by(features):
    "(part of the scales, name) -> what it has learnt, as text: its numbers, and whatever scikit-learn keeps under a name that ends in _."
    found = {("levels", "thresholds"): features.thresholds}
    for which in ("steps", "static"):
        columns = getattr(features.scales, which)
        found |= {((which, "number", name), name): getattr(columns, name) for name in ("fill", "scale", "shift")}
        for part, transformer in getattr(columns.spread, "named_steps", {}).items():
            found |= {((which, "label", part), name): value for name, value in vars(transformer).items() if name.endswith("_") and not name.startswith("_")}
    return {key: repr([np.asarray(v).tolist() for v in value] if isinstance(value, list) else np.asarray(value).tolist()) for key, value in found.items()}

@pytest.mark.parametrize("slots", [1, 4])
def test_every_transformer_learns_from_training_alone(slots):
    clean, dirty = city_panel(slots=slots), city_panel(slots=slots)
    train = slice(0, len(clean)//slots//3*slots)          # what comes later is more, so that it would move a mode and a median
    labelled = np.array([name in dirty.attribute_labels for name in dirty.attribute_names])
    # from the end of training on: other counts, ages a thousand times as high, and a label that training never saw
    for name in dirty.attribute_labels: dirty.attribute_labels[name] = [*dirty.attribute_labels[name], "MOON BASE"]
    new = np.array([len(dirty.attribute_labels.get(name, [0])) - 1 for name in dirty.attribute_names])
    dirty.counts[train.stop:] = 9_999
    dirty.attributes[train.stop:] = np.where(labelled, new, 1e5)
    here, there = learnt_by(Features(clean, train)), learnt_by(Features(dirty, train))
    assert here == there
    # whoever looked at everything would be found out, each of them
    caught = {key[0] for key, value in learnt_by(Features(dirty, slice(0, len(dirty)))).items() if here.get(key) != value}
    assert {key[0] for key in here} <= caught and len(caught) == 9, caught

def test_slots_of_the_same_week_are_never_read():
    panel = city_panel(slots=4)
    train, week = panel.split().train, panel.split().valid.start
    counts = panel.counts.copy()
    counts[week:week + 4] += 1000
    panel_2 = poisoned(panel, len(panel)); panel_2.counts = counts
    rows = Features(panel, train).rows(slice(week, week + 4))
    assert (Features(panel, train).x_flat[rows] == Features(panel_2, train).x_flat[rows]).all()

def test_training_on_a_later_window_fits_on_that_window():
    counts = np.full((30, 2, 1), 5); counts[2] = 500; counts[12] = 10; counts[13] = 0
    f = Features(with_counts(counts), slice(10, 20))
    scaler = f.scales.steps
    assert (scaler.shift[0], 1/scaler.scale[0]) == (0, 10) and f.thresholds.max() == 20

def test_cells_and_their_places_do_not_depend_on_the_second_half():
    events = random_events(2)
    middle = events["time"].min() + (events["time"].max() - events["time"].min())/2
    _, places = cell_areas(events, 5, 5, least=20)
    late = events["time"] > middle
    moved, places_2 = cell_areas(events.assign(lon=events["lon"].mask(late, 0.), lat=events["lat"].mask(late, 50.)), 5, 5, least=20)
    pd.testing.assert_frame_equal(places, places_2)

def test_cells_by_hand():
    rng = np.random.default_rng(0)
    lon, lat = rng.random(4000), 40 + rng.random(4000)
    events = table(pd.Timestamp("2018-01-01") + pd.to_timedelta(np.arange(4000), "min"), ["?"]*4000, ["x"]*4000, lon=lon, lat=lat)
    cells, places = cell_areas(events, 2, 2, least=1)
    assert list(places.index) == ["r0c0", "r0c1", "r1c0", "r1c1"]
    known = cells["area"].notna()
    agree = cells["area"][known].astype(str).to_numpy() == np.char.add(np.where(lat > 40.5, "r0", "r1"), np.where(lon < .5, "c0", "c1"))[known]
    assert agree.mean() > .99 and .99 < known.mean() < 1                     # the edges are quantiles, so the middle is off by a hair
    assert places["km2"].sum() == pytest.approx(111.*85., rel=.02)           # a degree by a degree at 40.5 north

def test_the_simulated_city_and_its_truth_line_up():
    panel, truth = city_panel(), CITY[1]
    assert panel.areas == list(truth.areas) and len(panel) == 29              # 2016 began on a Friday
    assert np.corrcoef(panel.counts.sum((0, 2)), truth.expected_by_area(168).sum(0))[0, 1] > .98
    assert panel.km2.sum() == pytest.approx((truth.side*truth.cell_m/1000)**2)


# --- the real files ---

def test_chicago_2018_by_community_area(fetched, chicago_2018):
    polygons = fetched("chicago_2018")["chicago-community-areas.geojson"]
    places = read_polygons(polygons)
    events = load("chicago_2018").events
    panel = Panel.from_events(events, group=category_groups(events["category"].cat.categories), places=places, attributes=["premises"])
    assert panel.counts.shape == (25, 77, 3) and panel.starts[0] == pd.Timestamp("2018-01-01") and panel.counts.sum() == 120_934
    assert panel.left_out == {"before the first whole period": 0, "after the last whole period": 4_654, "without an area of the table": 2}
    assert places["km2"].sum() == pytest.approx(598, abs=2)                   # land area of the city: 589 km², with lagoons and rivers a bit more
    edges = adjacency(polygons, panel.areas)
    assert np.bincount(edges[0], minlength=77).min() >= 1 and edges.shape == (2, 396)
    near = dict(zip(panel.areas, range(77)))                                  # the Loop (32) touches the Near North Side (8), not Rogers Park (1)
    pairs = set(map(tuple, edges.T.tolist()))
    assert (near["32"], near["8"]) in pairs and (near["32"], near["1"]) not in pairs
    f = Features(panel, panel.split().train)
    assert np.isfinite(f.x_flat).all() and f.x_sequence.shape == (21*77, 4, f.x_static.shape[1] + len(f.step_names))

def test_cities_without_areas_get_cells():
    for name, cells, total in (("chicago_2016_2017", 57, 319_024), ("nyc_2014_2015", 51, 188_240)):
        events, places = cell_areas(load(name).events, 10, 10, least=100)
        panel = Panel.from_events(events, places=places)
        assert len(panel.areas) == cells and panel.counts.sum() == total

def test_los_angeles_by_month(fetched):
    paths = fetched("la_2020_2024")
    panel, whole = read_la_monthly(paths), read_la_monthly(paths, until=None)
    assert panel.counts.shape == (50, 21, 18) and whole.counts.shape == (60, 21, 18) and whole.counts.sum() == 1_004_894
    assert panel.counts.sum() + panel.left_out["after the last month that is kept"] == 1_004_894 and (whole.counts[:50] == panel.counts).all()
    # the records thin out: what the reader stops before
    monthly = whole.counts.sum((1, 2))
    assert monthly[:50].min() > 14_000 and monthly[-10:].max() < 17_000 and monthly[-1] < 5_000
    assert panel.km2.sum() == pytest.approx(1_239, abs=2) and adjacency(paths["lapd_divisions.geojson"], panel.areas).shape[1] == 86
    f = Features(panel, panel.split().train)
    assert np.isfinite(f.x_flat).all() and f.x_flat.shape[0] == 46*21

@pytest.mark.parametrize("name, areas", [("hagen_la", 113), ("hagen_chicago", 77)])
def test_hagen_is_one_series(fetched, name, areas):
    paths = fetched(name)
    panel, parts = read_hagen(paths)
    assert panel.counts.shape == (219, areas, 8) and set(np.unique(panel.counts)) == {0, 1}
    assert [s.stop - s.start for s in parts] == [166, 15, 30]
    test = np.load(paths["8/test.npz"])
    np.testing.assert_array_equal(panel.counts[parts.test], test["y"][:, 0])
    windows = np.stack([panel.counts[t - 8:t] for t in range(parts.test.start, parts.test.stop)])
    np.testing.assert_array_equal(np.roll(windows, 1 if name == "hagen_chicago" else 0, -1), test["x"])
    f = Features(panel, slice(0, parts.train.stop), length=8)
    assert f.rows(parts.train) == slice(0, 166*areas) and not any("day" in n for n in f.static_names)


# --- areas meet the events, or it is an error ---

def squares(labels, size=.1, lon=0., lat=50.):
    "Touching squares in a row from west to east, by label."
    import shapely
    return geo.area_places([shapely.box(lon + i*size, lat, lon + (i + 1)*size, lat + size) for i in range(len(labels))], labels)

def in_squares(n, k, seed=0, areas=None):
    rng = np.random.default_rng(seed)
    where = rng.integers(0, k, n)
    return where, table(pd.Timestamp("2018-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 86400*70, n)), "s"), where.astype(str) if areas is None else areas(where), ["x"]*n,
                        lon=(where + rng.uniform(.01, .99, n))*.1, lat=50 + rng.uniform(.01, .09, n))

def test_a_panel_in_which_hardly_an_event_has_an_area_is_an_error():
    _, events = in_squares(2000, 4)
    with pytest.raises(InputError, match=r"only 0 of 2,000 events lie in an area.*'0', '1', '2'.*'north'"):
        Panel.from_events(events, places=pd.DataFrame({"lon": 0., "lat": 50., "km2": 1.}, index=["north", "south"]))
    # a table with shapes of another place
    with pytest.raises(InputError, match="of one city"): Panel.from_events(events, places=squares(["a", "b"], lon=30.))
    # most must, and how many do is always said
    of_here = pd.DataFrame({"lon": 0., "lat": 50., "km2": 1.}, index=["here"])
    for n in (15, 40, 990):
        few = events.assign(area=pd.Categorical(np.where(np.arange(2000) < n, "here", "there")))
        with pytest.raises(InputError, match=rf"only {n} of 2,000 events lie in an area of the table, {n/2000:.0%} "): Panel.from_events(few, places=of_here)
    nowhere = events.assign(area=pd.Categorical(np.where(np.arange(2000) < 40, "here", None)))
    with pytest.raises(InputError, match="only 40 of"): Panel.from_events(nowhere)
    most = events.assign(area=pd.Categorical(np.where(np.arange(2000) % 5 < 3, "here", "there")))
    panel = Panel.from_events(most, places=of_here)
    assert round(panel.share_inside, 2) == .6 and "without an area of the table" in repr(panel)
    # a part of the city is a choice of events
    part = Panel.from_events(events[events["area"] == "2"], places=pd.DataFrame({"lon": 0., "lat": 50., "km2": 1.}, index=["2"]))
    assert part.areas == ["2"] and part.share_inside == 1

def test_events_of_which_few_names_meet_are_placed_by_their_place():
    where, events = in_squares(2000, 4)
    named = events.assign(area=pd.Categorical(np.where(np.arange(2000) % 20 == 0, where.astype(str), "x")))
    panel = Panel.from_events(named, places=squares(["0", "1", "2", "3"]))
    assert panel.counts.sum((0, 2)).tolist() == np.bincount(where).tolist() and panel.share_inside == 1

@pytest.mark.parametrize("write", [lambda w: np.char.add(w.astype(str), ".0"), lambda w: np.char.add("0", w.astype(str)), lambda w: np.char.add(np.char.add(" ", w.astype(str)), " ")])
def test_area_keys_that_a_spreadsheet_has_saved_are_the_same_areas(write):
    where, events = in_squares(2000, 4, areas=write)
    panel = Panel.from_events(events, places=squares(["0", "1", "2", "3"]))
    assert panel.counts.sum((0, 2)).tolist() == np.bincount(where).tolist() and not panel.left_out["without an area of the table"]
    mixed = events.assign(area=pd.Categorical(np.where(np.arange(2000) % 2, where.astype(str), events["area"].astype(str))))
    assert len(Panel.from_events(mixed).areas) == 4 and Panel.from_events(mixed).counts.sum() == 2000

def test_textual_areas_stay_and_areas_are_unique():
    where, events = in_squares(500, 3, areas=lambda w: np.array(["Near North", "Loop", "Ünter 7"])[w])
    assert set(Panel.from_events(events).areas) == {"Near North", "Loop", "Ünter 7"}
    twice = pd.concat([squares(["Near North", "Loop"]), squares(["Loop"], lon=.2)])
    panel = Panel.from_events(events, places=twice)
    assert panel.areas == ["Near North", "Loop"] and panel.km2[1] == pytest.approx(2*panel.km2[0], rel=1e-3)
    with pytest.raises(InputError, match="'Loop' stands twice"): Panel.from_events(events, places=twice.drop(columns="geometry"))
    with pytest.raises(InputError, match="different areas"): with_counts(np.ones((3, 2, 1))).__class__(np.ones((3, 2, 1)), pd.date_range("2018-01-01", periods=3), ["a", "a"], ["x"])

def test_areas_of_another_kind_with_the_same_names_are_refused():
    "Wards and districts are both numbered from 1."
    where, events = in_squares(600, 3, areas=lambda w: (w + 1).astype(str))
    right = Panel.from_events(events, places=squares(["1", "2", "3"]))
    assert right.counts.sum((0, 2)).tolist() == np.bincount(where).tolist()
    with pytest.raises(InputError, match="lie away from the areas whose names they have"): Panel.from_events(events, places=squares(["2", "3", "1"]))
    # one square of three may be called otherwise, and events without a place are believed
    assert Panel.from_events(events[where < 2], places=squares(["1", "2", "9"])).counts.sum() > 0
    lost = events.assign(lon=np.nan, lat=np.nan)
    assert (Panel.from_events(lost, places=squares(["2", "3", "1"])).counts.sum((0, 2)) == np.bincount(where)[[1, 2, 0]]).all()

def test_where_names_do_not_meet_the_places_of_the_events_decide(tmp_path):
    where, events = in_squares(2000, 4, areas=lambda w: np.full(len(w), None))
    panel = Panel.from_events(events, places=squares(["a", "b", "c", "d"]))
    assert panel.counts.sum((0, 2)).tolist() == np.bincount(where).tolist()
    assert list(panel.where().columns) == ["lon", "lat", "km2", "geometry"] and panel.where().index.name == "place"
    # and so from a file
    path = geo.write(squares(["a", "b", "c", "d"]), tmp_path/"areas.geojson")
    assert (Panel.from_events(events, places=str(path)).counts == panel.counts).all()

def test_squares_of_so_many_metres_hold_every_event_of_their_ground():
    where, events = in_squares(3000, 4)
    panel = Panel.from_events(events, places=1000)
    assert panel.km2.min() > .99 and panel.km2.max() < 1.01 and panel.geometry is not None and len(panel.areas) > 100
    assert panel.counts.sum() + panel.left_out["without an area of the table"] + panel.left_out["after the last whole period"] + panel.left_out["before the first whole period"] == 3000
    again = Panel.from_events(events, like=panel.schema())
    assert (again.counts == panel.counts).all() and again.check(panel.schema()) is again
    # by hand: each event in the square whose polygon holds it
    code = geo.locate(events["lon"], events["lat"], panel.where(), check=False)
    inside = (events["time"] >= panel.starts[0]) & (events["time"] < panel.starts[-1] + pd.Timedelta(weeks=1))
    assert (np.bincount(code[inside & (code >= 0)], minlength=len(panel.areas)) == panel.counts.sum((0, 2))).mean() > .99
    # squares are laid where the first half of the events lies
    late = events["time"] > events["time"].min() + (events["time"].max() - events["time"].min())/2
    assert Panel.from_events(events.assign(lon=events["lon"].mask(late, 0.)), places=1000).areas == panel.areas


# --- a view: like others, later, and what is not known ---

def test_weeks_without_data_are_unknown_and_not_quiet():
    _, events = in_squares(3000, 4)
    hole = events[(events["time"] < "2018-02-05") | (events["time"] >= "2018-02-19")]
    panel = Panel.from_events(hole)
    assert np.isnan(panel.counts[5:7]).all() and not np.isnan(np.delete(panel.counts, [5, 6], 0)).any() and "2 periods without data" in repr(panel)
    # said to cover five weeks more, without an event in them
    ahead = Panel.from_events(events, end="2018-04-16")
    assert len(ahead) == 15 and ahead.known == 10
    # where a week has few events, one without any is possible
    few = events.iloc[::300]
    assert not np.isnan(Panel.from_events(few.assign(area="A").astype({"area": "category"}), end="2018-03-12").counts).any()

@pytest.mark.parametrize("freq, slots", [("W-MON", 1), ("W-MON", 4), ("MS", 1), ("D", 1), ("D", 2)])
def test_what_comes_after_has_its_place_in_the_calendar(freq, slots):
    panel = city_panel(freq=freq, slots=slots)
    whole = panel.until(len(panel) - 3).ahead(3)
    assert list(whole.starts) == list(panel.starts) and whole.known == len(panel) - 3
    assert panel.ahead(40).starts.is_monotonic_increasing and panel.ahead(40).starts.is_unique
    assert panel.block == slots and panel.period.endswith({"W": "week", "M": "month", "D": "day"}[freq[0]])
    f = Features(panel.ahead(slots), learnt=scales(panel, panel.split().train, length=2), periods=(len(panel), len(panel) + slots))
    assert np.isfinite(f.x_flat).all() and np.isnan(f.y_counts).all() and (f.y_level == -1).all()

def test_features_of_some_periods_are_those_of_all():
    panel = city_panel(slots=2)
    whole = Features(panel, panel.split().train)
    some = Features(panel, learnt=whole.scales, periods=(30, 34))
    rows = whole.rows(slice(30, 34))
    for name in ("x_flat", "x_sequence", "x_static", "y_counts", "y_level", "t", "a"): np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[rows])
    np.testing.assert_array_equal(whole.flat([5, 40]), whole.x_flat[[5, 40]])
    with pytest.raises(InputError, match="blocks behind it"): Features(panel, learnt=whole.scales, periods=(7, 9))

def test_other_events_are_counted_like_the_first_and_unknown_categories_by_their_words():
    events, truth = CITY
    panel = city_panel()
    schema = _decode(_encode(panel.schema(), held := {}), held)
    again = Panel.from_events(events, like=schema)
    assert (again.counts == panel.counts).all() and again.check(panel.schema()) is again
    np.testing.assert_array_equal(again.attributes, panel.attributes)
    new = events.assign(category=events["category"].cat.rename_categories({events["category"].cat.categories[0]: "ARMED ROBBERY OF A BANK"}))
    other = Panel.from_events(new, like=schema)
    assert other.counts.sum() == panel.counts.sum() and other.categories == panel.categories
    plain = Panel.from_events(events, places=city_places(truth))
    fewer = Panel.from_events(new, like=plain.schema())
    assert fewer.left_out["of a category that is not counted"] == plain.counts.sum() - fewer.counts.sum() > 0

def test_categories_that_do_not_meet_those_that_are_known_are_refused():
    events, truth = CITY
    names = events["category"].cat.categories
    foreign = events.assign(category=events["category"].cat.rename_categories({name: f"DELIKT {i}" for i, name in enumerate(names)}))
    plain, severe = Panel.from_events(events, places=city_places(truth)), city_panel()
    for schema in (plain.schema(), severe.schema()):
        with pytest.raises(InputError, match=f"only 0 of {len(events):,} events have a category that was counted before .*'DELIKT 0'.*fit anew"): Panel.from_events(foreign, like=schema)
    assert set(severe.categories) <= {"violent", "property", "other"}
    # one in a hundred is enough, as for areas; and words that are known put a new category into a group
    for share, enough in ((.02, True), (.005, False)):
        first = np.linspace(0, len(events) - 1, int(np.ceil(share*len(events)))).astype(int)
        mixed = foreign.assign(category=foreign["category"].astype(str).where(~np.isin(np.arange(len(events)), first), names[0]).astype("category"))
        if enough: assert 0 < np.nansum(Panel.from_events(mixed, like=plain.schema()).counts) <= len(first)
        else:
            with pytest.raises(InputError, match=f"only {len(first)} of"): Panel.from_events(mixed, like=plain.schema())
    worded = events.assign(category=pd.Categorical(["ARMED ROBBERY OF A BANK"]*len(events)))
    assert Panel.from_events(worded, like=severe.schema()).counts.sum((0, 1))[severe.categories.index("violent")] == severe.counts.sum()

def test_later_events_join_where_the_panel_ends():
    events, truth = CITY
    panel = city_panel()
    cut = panel.starts[20]
    first = Panel.from_events(events[events["time"] < cut], like=panel.schema())
    assert len(first) == 20
    both = first.update(events[events["time"] >= cut])
    np.testing.assert_array_equal(both.counts, panel.counts); np.testing.assert_array_equal(both.attributes, panel.attributes)
    assert list(both.starts) == list(panel.starts) and len(first) == 20
    # all of them again: what is known already is not counted twice
    np.testing.assert_array_equal(first.update(events).counts, panel.counts)
    late = events[events["time"] >= panel.starts[23]]
    with pytest.raises(InputError, match="nothing is known of the 3 week"): first.update(late)
    assert np.isnan(first.update(late, "unknown").counts[20:23]).all()
    # a week that they begin within is not a whole one
    within = events[events["time"] >= cut + pd.Timedelta(days=3)]
    with pytest.raises(InputError, match="nothing is known of the 1 week"): first.update(within)
    assert np.isnan(first.update(within, "unknown").counts[20]).all()
    with pytest.raises(InputError, match="no event comes from"): panel.update(events[events["time"] < cut])

MEMORY = """
import re
from pathlib import Path
import numpy as np, pandas as pd
from crimenb.panels import Features, Panel
T, A = 260, 2000
rng = np.random.default_rng(0)
panel = Panel(rng.poisson(1, (T, A, 3)).astype("int32"), pd.date_range("2015-01-05", periods=T, freq="W-MON"), [str(i) for i in range(A)],
              ["violent", "property", "other"], rng.random(A), rng.random(A), np.ones(A))
features = Features(panel, panel.split().train)
assert features.flat(np.arange(512)).shape == (512, len(features.feature_names)) and features.sequence([7]).shape == (1, 4, len(features.sequence_names))
# of this process alone: what getrusage says can be the parent's
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""

def test_two_thousand_areas_and_five_years_fit_into_a_gigabyte():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_000_000, done.stdout       # kB


def test_times_of_months_make_no_weeks():
    months = table(pd.date_range("2018-01-01", periods=24, freq="MS").repeat(5), ["A", "B", "A", "B", "A"]*24, ["THEFT"]*120)
    for freq in ("W-MON", "D"):
        with pytest.raises(InputError, match="known to the month: count them by month"): Panel.from_events(months, freq)
    assert (Panel.from_events(months, "MS").counts.sum(axis=(1, 2)) == 5).all()

def test_slots_of_the_day_need_hours_and_weeks_need_days():
    where, events = in_squares(2000, 3)
    midnight = events.assign(time=events["time"].dt.normalize())
    assert Panel.from_events(midnight).counts.sum() > 0
    with pytest.raises(InputError, match="known to the day, and a panel with slots of the day needs hours"): Panel.from_events(midnight, slots=4)
    # half of them are known to the month only: no week may have them
    half = events.assign(time=events["time"].where(np.arange(len(events)) % 2 == 0, events["time"].to_numpy().astype("datetime64[M]")))
    with pytest.raises(InputError, match="50% of the events .*known to the month"): Panel.from_events(half)
    assert Panel.from_events(half, freq="MS").counts.sum() > 0

