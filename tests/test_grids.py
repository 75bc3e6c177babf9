import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import zoom

from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.grids import (ALL_EXTERNAL, AUTHORS_LAGS, EXTERNAL, GRIDS, INTERPOLATIONS, LAGS, Grid, diurnal_difference, diurnal_sum,
                           double_time, external_features, first_target, frame_index, HourlyMaps, Squares, as_grid, squares, weather_ahead, weather_ranges, read_day_numbers, read_weather, recover,
                           super_resolve)
from crimenb.models import Mean
from crimenb.sources import load

numbers = st.floats(-100, 100, width=32)
maps = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7), elements=numbers)
lag_groups = st.dictionaries(st.sampled_from(["nearby", "periodic", "trend"]), st.lists(st.integers(1, 30), min_size=1, max_size=3).map(tuple), min_size=1)


def table(time, lon, lat): return pd.DataFrame({"time": pd.to_datetime(time).astype("datetime64[s]"), "lon": lon, "lat": lat})


# --- boxes and cells

def test_cells_and_edges():
    grid = Grid(0, 0, 4, 2, rows=2, columns=4)
    assert grid.cells([0, 4, 0, 4, 1, .999], [2, 2, 0, 0, 1, 1.001]).tolist() == [0, 3, 4, 7, 5, 0]
    assert grid.cells([-1e-9, 2, 2, np.nan, 2], [1, 2.0001, -.0001, 1, np.nan]).tolist() == [-1] * 5
    assert grid.cells([], []).dtype == np.int64

@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_the_middle_of_every_cell_is_in_it(rows, columns):
    grid = dataclasses.replace(GRIDS["chicago"], rows=rows, columns=columns)
    lon, lat = grid.centres()
    assert lon.shape == (rows, columns)
    assert grid.cells(lon.ravel(), lat.ravel()).tolist() == list(range(rows * columns))
    assert lat[0, 0] >= lat[-1, 0]

def test_areas_of_cells():
    from pyproj import Geod
    for grid in GRIDS.values():
        whole, _ = Geod(ellps="WGS84").polygon_area_perimeter([grid.west, grid.east, grid.east, grid.west], [grid.south, grid.south, grid.north, grid.north])
        assert grid.km2 * 256 == pytest.approx(whole / 1e6, rel=2e-4)

@pytest.mark.parametrize("box", [(1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 1), (-181, 0, 0, 1), (0, 0, 1, 91), (np.nan, 0, 1, 1), (0, 0, 1, 1, 0), (0, 0, 1, 1, 4, 2.5)])
def test_no_box(box):
    with pytest.raises(InputError): Grid(*box)

def test_grid_around_events():
    events = table(["2018-01-01"] * 3, [-87.5, -87.9, np.nan], [41.7, 42., np.nan])
    grid = Grid.around(events, 3, 5)
    assert grid == Grid(-87.9, 41.7, -87.5, 42., 3, 5) and grid.cells(events.lon, events.lat).tolist() == [14, 0, -1]
    with pytest.raises(InputError): Grid.around(events.iloc[2:])

# --- counting

@given(st.data())
@settings(max_examples=40, deadline=None)
def test_counts_are_conserved_and_agree_with_a_loop(data):
    n, rows, columns = (data.draw(st.integers(*ends)) for ends in ((1, 60), (1, 6), (1, 6)))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    events = table(np.datetime64("2018-03-10") + rng.integers(0, 4 * 86400, n).astype("timedelta64[s]"), rng.uniform(-.2, 1.2, n), rng.uniform(-.2, 1.2, n))
    events.loc[rng.random(n) < .1, ["lon", "lat"]] = np.nan
    grid, start, end = Grid(0, 0, 1, 1, rows, columns), pd.Timestamp("2018-03-10 05:00"), pd.Timestamp("2018-03-13 07:00")
    found = HourlyMaps.from_events(events, grid, start, end)
    expected = np.zeros((74, rows, columns))
    for time, cell in zip(events.time, grid.cells(events.lon, events.lat)):
        if cell >= 0 and start <= time < end: expected[(time - start) // pd.Timedelta(hours=1), cell // columns, cell % columns] += 1
    assert (found.counts == expected).all() and found.counts.dtype == np.float32
    assert found.counts.sum() + found.outside == ((events.time >= start) & (events.time < end)).sum()
    everything = HourlyMaps.from_events(events, grid, end="2018-03-14")
    assert everything.counts.sum() + everything.outside == n and len(everything.counts) % 24 == 0

def test_hours_begin_where_they_should():
    events = table(["2018-01-03 00:00:00", "2018-01-03 00:59:59", "2018-01-03 01:00:00", "2018-01-04 23:59:59"], [.5] * 4, [.5] * 4)
    found = HourlyMaps.from_events(events, Grid(0, 0, 1, 1, 1, 1))
    assert found.counts.shape == (48, 1, 1) and found.counts[:2, 0, 0].tolist() == [2, 1] and found.counts[47, 0, 0] == 1
    assert found.times[47] == pd.Timestamp("2018-01-04 23:00") and found.hour_of_day[25] == 1
    assert (found.hour_of_day == found.times.hour).all() and (found.hour_of_week == found.times.day_of_week * 24 + found.times.hour).all()
    late = HourlyMaps.from_events(events, Grid(0, 0, 1, 1), "2018-01-07 22:00", "2018-01-08 03:00")
    assert late.hour_of_day.tolist() == [22, 23, 0, 1, 2] and late.hour_of_week.tolist() == [166, 167, 0, 1, 2] and late.counts.sum() == 0 and np.isnan(late.share_inside)

@pytest.mark.parametrize("start, end", [("2018-01-02", "2018-01-01"), ("2018-01-01 00:30", None), (None, "2018-01-05 00:00:01"), (pd.Timestamp("2018-01-01", tz="UTC"), None), (pd.NaT, None)])
def test_no_window(start, end):
    with pytest.raises(InputError): HourlyMaps.from_events(table(["2018-01-03"], [0], [0]), GRIDS["la"], start, end)

def test_no_events():
    none = table(["2018-01-03"], [0], [0]).iloc[:0]
    for span in ((), ("2018-01-01", "2018-01-02")):      # a table without events is no quiet city
        with pytest.raises(InputError, match="no event: give a table with some"): HourlyMaps.from_events(none, GRIDS["la"], *span)
    some = table(["2018-01-03"], [0], [0])
    assert HourlyMaps.from_events(some, GRIDS["la"], "2018-01-01", "2018-01-02").counts.sum() == 0

def test_a_simulated_city_is_counted_where_it_is_expected():
    events, city = simulate(30_000, days=40, seed=1)
    found = HourlyMaps.from_events(events, Grid.of(city, 8, 8), city.start)
    expected = city.expected_counts(8, 8)[:, ::-1].sum(0)
    seen = found.counts.sum(0)
    assert found.outside == 0
    # a wrong orientation gives a chi square in the thousands
    assert (((seen - expected)**2 / expected).sum()) < 5 * 64 < (((seen[::-1] - expected)**2 / expected).sum())

@pytest.mark.parametrize("name, grid, inside", [("chicago_2016_2017", "chicago", 1), ("chicago_2018", "chicago", 124_902 / 125_590), ("nyc_2014_2015", "nyc", 1)])
def test_boxes_hold_the_cities(fetched, name, grid, inside):
    fetched(name)
    events = load(name).events
    found = HourlyMaps.from_events(events, GRIDS[grid])
    assert found.counts.sum() + found.outside == len(events)
    assert found.share_inside == pytest.approx(inside, abs=1e-9)
    # not smaller than it has to be, not larger
    if inside == 1:
        tight = Grid.around(events)
        for side in ("west", "south", "east", "north"): assert getattr(tight, side) == pytest.approx(getattr(GRIDS[grid], side), abs=2e-4)

def test_the_hours_of_daylight_saving_time(fetched):
    fetched("chicago_2016_2017")
    found = HourlyMaps.from_events(load("chicago_2016_2017").events, GRIDS["chicago"])
    hourly = pd.Series(found.counts.sum((1, 2)), found.times)
    assert len(found.counts) == 731 * 24
    assert hourly["2017-03-12 02:00"] == 7 and hourly["2017-11-05 01:00"] == 36
    assert hourly[(hourly.index.hour == 1) & (hourly.index.day_of_week == 6)].mean() == pytest.approx(22.7, abs=.1)

def test_the_papers_box_is_its_extremes_tightened():
    la = GRIDS["la"]
    assert (la.south, la.north, la.west, la.east) == pytest.approx((33.3427 + .35, 34.6837 - .30, -118.8551 + .15, -117.7157 - .40), abs=1e-9)
    # the cell of Figures 2, 6 and 7: within the rounding of the paper's corners
    assert {la.cells(lon, lat).item() for lon in (-118.2625, -118.2264) for lat in (33.9520, 33.9949)} == {9 * 16 + 12}

# --- the integral

@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=1, max_dims=2, max_side=60), elements=st.integers(-9, 9)), st.integers(0, 23))
@settings(max_examples=40, deadline=None)
def test_integral_then_inverse_is_the_identity(counts, first_hour):
    for dtype in (np.int64, np.float32):
        y = diurnal_sum(counts.astype(dtype), first_hour)
        assert y.dtype == dtype and (diurnal_difference(y, first_hour) == counts).all()
        assert (diurnal_sum(diurnal_difference(counts.astype(dtype), first_hour), first_hour) == counts).all()

@given(st.integers(0, 23), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_integral_against_a_loop(first_hour, n):
    x, total, expected = np.random.default_rng(n).poisson(1, n), 0, []
    for h, count in enumerate(x):
        total = count if (first_hour + h) % 24 == 0 else total + count
        expected.append(total)
    assert diurnal_sum(x, first_hour).tolist() == expected

def test_half_hours_and_wrong_hours():
    assert diurnal_sum(np.ones(96), day=48)[[0, 47, 48]].tolist() == [1, 48, 1]
    for wrong in (-1, 24, 1.5):
        with pytest.raises(InputError): diurnal_sum(np.ones(5), wrong)
        with pytest.raises(InputError): diurnal_difference(np.ones(5), wrong)

# --- super-resolution

@given(maps, st.sampled_from(INTERPOLATIONS))
@settings(max_examples=40, deadline=None)
def test_super_resolve_then_recover_is_the_identity(x, how):
    fine = super_resolve(x, how)
    assert fine.shape == (*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1])
    np.testing.assert_allclose(recover(fine, how), x, atol=1e-10)

@given(maps, st.sampled_from(["bilinear", "cubic"]))
@settings(max_examples=40, deadline=None)
def test_counts_are_conserved_both_ways(x, how):
    np.testing.assert_allclose(super_resolve(x, how).sum((-2, -1)), 4 * x.sum((-2, -1)), atol=1e-8)
    even = np.repeat(np.repeat(x, 2, -1), 2, -2) + np.random.default_rng(0).normal(size=(*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1]))
    np.testing.assert_allclose(recover(even, how).sum((-2, -1)), even.sum((-2, -1)) / 4, atol=1e-8)

def test_bilinear_is_what_torch_calls_bilinear():
    x = np.random.default_rng(0).poisson(1, (5, 7, 6)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x)[:, None], scale_factor=2, mode="bilinear")[:, 0]
    np.testing.assert_allclose(super_resolve(x), theirs, atol=1e-6)
    assert super_resolve(x).dtype == np.float32

@pytest.mark.parametrize("n", [2, 3, 16, 31])
def test_cubic_is_a_spline_through_the_cells(n):
    from scipy.interpolate import CubicSpline
    x = np.random.default_rng(n).normal(size=n)
    # mirrored far beyond both ends, so that the ends of this spline do not matter
    mirrored = np.pad(x, 40, "symmetric")
    spline = CubicSpline(np.arange(len(mirrored)) - 40, mirrored)
    np.testing.assert_allclose(super_resolve(x[None], "cubic")[0], spline(np.arange(2 * n) / 2 - .25), atol=1e-9)

def test_spline_is_the_authors_zoom():
    x = np.random.default_rng(0).poisson(1, (30, 16, 16)).astype(float)
    np.testing.assert_allclose(super_resolve(x, "spline"), zoom(x, (1, 2, 2), order=2), atol=1e-12)
    np.testing.assert_allclose(double_time(super_resolve(x, "spline"), "spline"), zoom(x, 2, order=2), atol=1e-12)

def test_recovery_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    fine, x = rng.normal(size=(8, 6)), np.zeros((4, 3))
    best = ((super_resolve(recover(fine)) - fine)**2).sum()
    for _ in range(50): assert ((super_resolve(recover(fine) + .1 * rng.normal(size=x.shape)) - fine)**2).sum() > best

def test_tensors_stay_tensors():
    x = torch.rand(2, 3, 4, 5, requires_grad=True)
    back = recover(super_resolve(x, "cubic"), "cubic")
    assert torch.allclose(back, x, atol=1e-5) and torch.autograd.grad(back.sum(), x)[0].shape == x.shape

def test_whole_numbers_and_wrong_input():
    assert (np.rint(recover(super_resolve(np.arange(12).reshape(3, 4), "cubic"), "cubic")) == np.arange(12).reshape(3, 4)).all()
    with pytest.raises(InputError): super_resolve(np.ones((2, 2)), "nearest")
    with pytest.raises(InputError): recover(np.ones((4, 3)))
    with pytest.raises(InputError): double_time(np.ones(3), "cubic")

def test_doubled_time_leaks_exactly():
    y = np.random.default_rng(0).poisson(2, (50, 2, 3)).astype(float)
    doubled = double_time(y)
    assert doubled.shape == (100, 2, 3) and (doubled[::2] == y).all() and (doubled[-1] == y[-1]).all()
    np.testing.assert_allclose(2 * doubled[1:-1:2] - doubled[0:-2:2], doubled[2::2])
    # and a spline's frames before an hour change with that hour
    later = y.copy()
    later[25] += 1
    assert np.flatnonzero(abs(double_time(later, "spline") - double_time(y, "spline")).max((1, 2)) > .01).min() <= 47

# --- frames

def test_lags_of_the_paper_and_of_the_authors():
    assert frame_index([504, 1000]).tolist() == [[503, 502, 501, 480, 456, 432, 336, 168, 0], [999, 998, 997, 976, 952, 928, 832, 664, 496]]
    assert frame_index([504], AUTHORS_LAGS)[0, :3].tolist() == [502, 501, 500]
    assert first_target() == 504 and first_target({"nearby": (1, 2)}) == 2

@pytest.mark.parametrize("lags", [{"nearby": (0, 1)}, {"nearby": (-1,)}, {"nearby": (1.5,)}, {}, {"nearby": ()}])
def test_no_lag_reads_the_target_or_the_future(lags):
    for call in (lambda: frame_index([600], lags), lambda: first_target(lags)):
        with pytest.raises(InputError): call()

@given(lag_groups, st.integers(0, 20), st.integers(1, 5), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_poisoned_future_changes_nothing(lags, later, n, seed):
    first, rng = first_target(lags), np.random.default_rng(seed)
    series, targets = rng.random((first + later + n, 2, 3), np.float32), rng.integers(first, first + later + n, n)
    for t in targets:
        poisoned = series.copy()
        poisoned[t:] = np.nan
        assert np.array_equal(poisoned[frame_index([t], lags)], series[frame_index([t], lags)])
    with pytest.raises(InputError): frame_index([first - 1], lags)

# --- what is not crime

def written(tmp_path, text):
    (tmp_path / "weather.csv").write_text(text)
    return tmp_path / "weather.csv"

def test_weather_with_gaps(tmp_path):
    weather = read_weather(written(tmp_path, "time,wind speed,temperature,fog\n2018-01-01 05:00,1,10,0\n2018-01-01 01:30,3,M,1\n2018-01-01 01:10,5,2,0\n"))
    assert weather.index.tolist() == list(pd.date_range("2018-01-01 01:00", periods=5, freq="h"))
    assert weather.temperature.tolist() == [2, 4, 6, 8, 10] and weather.wind.tolist() == [4, 3.25, 2.5, 1.75, 1] and weather.fog.iloc[0] == .5

@pytest.mark.parametrize("text", ["", "time,temperature\n2018-01-01,1\n", "temperature,wind\n1,2\n", "time,temperature,wind\n", "time,temperature,wind\nnonsense,1,2\n",
    "time,temperature,wind\n2018-01-01,x,2\n", "time,temperature,wind,Wind Speed\n2018-01-01,1,2,2\n", "time,temperature,wind\n2018-01-01T00:30+01:00,1,2\n", "time,temperature,wind\n,1,2\n"])
def test_weather_that_is_none(tmp_path, text):
    with pytest.raises(InputError): read_weather(written(tmp_path, text))
    with pytest.raises(InputError): read_weather(tmp_path / "nowhere.csv")

def test_the_authors_weather_and_holidays(fetched):
    files = fetched("la_weather_2014_2015")
    with pytest.raises(InputError, match="start"): read_weather(files["WeatherFeature.csv"])
    weather = read_weather(files["WeatherFeature.csv"], start="2014-01-01")
    assert list(weather) == ["temperature", "wind", "event"] and weather.index[[0, -1]].tolist() == [pd.Timestamp("2014-01-01"), pd.Timestamp("2015-12-31 23:00")]
    days = read_day_numbers(files["Holiday.txt"])
    assert len(days) == 85 and days[0] == pd.Timestamp("2014-01-01").date() and days[-1] == pd.Timestamp("2015-12-31").date()
    times = pd.date_range("2015-07-01", "2015-12-31 23:00", freq="h")
    found = external_features(times, weather, holidays=days, columns=ALL_EXTERNAL)
    assert found.shape == (4416, 9) and found.min().min() >= 0 and found.max().max() <= 1 and not found.isna().any(axis=None)
    assert found.holiday.iloc[3 * 24] == 1 == found.holiday.iloc[-1]
    # fog comes at night and in the early morning, thunder only twice in two years
    both = external_features(weather.index, weather, columns=ALL_EXTERNAL)
    assert (both.index.hour[both.fog == 1] < 10).mean() > .7 and (both.thunder == 1).sum() == 2 and (both.rain == 1).sum() == 243
    with pytest.raises(InputError, match="weather goes from"): external_features(times + pd.Timedelta(days=1), weather)

def test_external_features_without_weather():
    times = pd.date_range("2018-07-03", periods=72, freq="h")
    found = external_features(times)
    assert list(found) == list(EXTERNAL) and (found.dtypes == np.float32).all()
    assert (found[["temperature", "wind", "event"]] == 0).all(axis=None)
    assert found.holiday.tolist() == [0] * 24 + [1] * 24 + [0] * 24 and found.hour.iloc[[0, 23, 24]].tolist() == [0, 1, 0]
    assert external_features(times, columns=("weekday",)).weekday.iloc[[0, -1]].tolist() == pytest.approx([1 / 6, 3 / 6])
    assert external_features(times, holidays=None).holiday.sum() == 0
    assert external_features(times, holidays=["2018-07-05"]).holiday.tolist() == [0] * 48 + [1] * 24
    assert external_features(pd.date_range("2018-03-05", periods=1, freq="h"), holidays="US-IL").holiday.tolist() == [1]     # Casimir Pulaski's day

def test_the_scale_of_weather_does_not_know_the_future(tmp_path):
    times = pd.date_range("2018-01-01", periods=48, freq="h")
    rng = np.random.default_rng(0)
    weather = pd.DataFrame({"temperature": rng.normal(10, 5, 48), "wind": rng.random(48)}, index=times)
    later = weather.copy()
    later.iloc[30:] = 1000.
    a, b = (external_features(times, w, fit_hours=30) for w in (weather, later))
    assert a.iloc[:30].equals(b.iloc[:30]) and a.iloc[:30].temperature.max() == 1 and b.iloc[30:].temperature.max() == 1

def test_external_features_refuse():
    times = pd.date_range("2018-01-01", periods=3, freq="h")
    for call in (lambda: external_features(times.tz_localize("UTC")), lambda: external_features(times[:0]), lambda: external_features(times, holidays="XX"),
                 lambda: external_features(times, columns=("moon",)), lambda: external_features(times, fit_hours=4)):
        with pytest.raises(InputError): call()

def test_day_numbers_refuse(tmp_path):
    for text in ("0\n", "1.5\n", "x"):
        (tmp_path / "days.txt").write_text(text)
        with pytest.raises(InputError): read_day_numbers(tmp_path / "days.txt")
    with pytest.raises(InputError): read_day_numbers(tmp_path / "nowhere.txt")

# --- the view

def city_maps(**kwargs):
    events, city = simulate(6_000, days=30, seed=1)
    return events, HourlyMaps.from_events(events, Grid.of(city, 4, 4), city.start, city.start + pd.Timedelta(days=30), **kwargs)

def test_the_verbs_of_a_view():
    events, view = city_maps(holidays="US")
    assert len(view) == view.known == 720 and view.block == 24 and len(view.places) == 16 == len(view.where())
    parts = view.split(valid=4, test=7)
    assert (parts.train, parts.valid, parts.test) == (slice(0, 456), slice(456, 552), slice(552, 720))
    cut, longer = view.until(500), view.ahead(30)
    assert cut.known == 500 and (cut.counts == view.counts[:500]).all() and longer.known == 720 and longer.starts[-1] == view.starts[-1] + pd.Timedelta(hours=30)
    assert np.isnan(longer.counts[720:]).all() and longer.filled([720], np.ones((1, 4, 4))).known == 721
    assert (view.observed([3, 5]) == view.counts[[3, 5]]).all()
    table = view.frame(view.observed([100]), [100])
    assert list(table) == ["period", "place", "expected"] and table.expected.sum() == view.counts[100].sum() and table.place.tolist() == view.places
    assert view.external(("hour", "holiday")).shape == (720, 2) and longer.external(("hour",))[745, 0] == np.float32(longer.starts[745].hour / 23)

def test_places_are_where_the_cells_are():
    _, view = city_maps()
    where = view.where()
    assert view.grid.cells(where.lon, where.lat).tolist() == list(range(16))
    assert where.km2.sum() == pytest.approx(16 * view.grid.km2, rel=1e-3) and all(shape.is_valid for shape in where.geometry)
    assert where.lat.iloc[0] > where.lat.iloc[-1]

def test_a_schema_builds_the_same_view_from_other_events():
    events, view = city_maps(holidays="US-IL")
    again = HourlyMaps.from_events(events, like=view.schema(), start=view.start, end=view.starts[-1] + pd.Timedelta(hours=1))
    assert (again.counts == view.counts).all() and again.schema() == view.schema()
    other = HourlyMaps.from_events(events, Grid.around(events, 4, 5))
    with pytest.raises(InputError, match="grid"): other.check(view.schema())

def test_update_goes_on_and_refuses_a_gap():
    events, view = city_maps()
    begin = view.until(480)
    later = events[events.time >= begin.starts[-1] + pd.Timedelta(hours=1)]
    on = begin.update(later)
    assert (on.counts == view.counts[:len(on)]).all() and len(on) > 700
    with pytest.raises(InputError, match="nothing is known"): begin.update(later[later.time >= view.starts[552]])
    bridged = begin.update(later[later.time >= view.starts[552]], gap="unknown")
    assert np.isnan(bridged.counts[480:552]).all() and (bridged.counts[552:] == view.counts[552:len(bridged)]).all()

@pytest.mark.parametrize("day, last, hours, notes", [("2018-01-10", "12:17", 12, 1), ("2018-01-10", "12:58", 13, 0), ("2018-01-10", "23:10", 24, 0), ("2018-01-10", "12:00", 12, 1)])
def test_the_hour_in_which_a_file_ends(day, last, hours, notes):
    "An event every two minutes: a file that stops within an hour does not know that hour."
    time = pd.date_range("2018-01-03", f"{day} {last}", freq="2min")
    events = table(time, np.full(len(time), .5), np.full(len(time), .5))
    found = HourlyMaps.from_events(events, Grid(0, 0, 1, 1, 2, 2))
    assert found.starts[-1] == pd.Timestamp(day) + pd.Timedelta(hours=hours - 1) and len(found.notes) == notes and (found.counts.sum((1, 2)) > 0).all()
    whole = HourlyMaps.from_events(events, found.grid, end=f"{day} 22:00")
    assert whole.counts.sum() == (events.time < f"{day} 22:00").sum() and not whole.notes

def test_a_quiet_city_ends_with_the_hour_of_its_last_event():
    time = pd.date_range("2018-01-03", "2018-01-20 13:20", freq="7h20min")
    found = HourlyMaps.from_events(table(time, np.full(len(time), .5), np.full(len(time), .5)), Grid(0, 0, 1, 1, 2, 2))
    assert found.starts[-1] == time[-1].floor("h") and not found.notes

@pytest.mark.parametrize("change", [lambda t: t.normalize(), lambda t: t.normalize().replace(day=1), lambda t: t.normalize() + pd.Timedelta(hours=12)], ids=["days", "months", "noon"])
def test_times_without_an_hour_are_refused(change):
    events, _ = city_maps()
    with pytest.raises(InputError, match="hours"): HourlyMaps.from_events(events.assign(time=events.time.map(change)), 1000.)

@pytest.mark.parametrize("odd, n", [("1900-01-03 10:00", 1), ("1970-01-01 03:00", 2), ("2099-12-31 23:00", 1)])
def test_a_few_odd_years_are_refused(odd, n):
    events, view = city_maps()
    strange = pd.concat([events.iloc[:n].assign(time=pd.Timestamp(odd)), events])
    with pytest.raises(InputError, match=f"{n} of .*{odd[:4]}"): HourlyMaps.from_events(strange, view.grid)
    inside = HourlyMaps.from_events(strange, view.grid, view.start, view.starts[-1] + pd.Timedelta(hours=1))
    assert inside.counts.sum() + inside.outside >= len(events) - n and len(inside) == 720

def test_more_hours_than_can_be_are_refused():
    events, view = city_maps()
    with pytest.raises(InputError, match="hours"): HourlyMaps.from_events(events, view.grid, "1900-01-01", "2020-01-01")
    with pytest.raises(InputError, match="memory"): HourlyMaps.from_events(events, Grid.around(events, 3000, 3000))

def test_square_cells_in_metres():
    events, _ = city_maps()
    found = squares(events, 500.)
    where = found.places()
    assert where.km2.to_numpy() == pytest.approx(.25, rel=.002) and found.cells(where.lon, where.lat).tolist() == list(range(found.n_cells))
    assert (found.cells(events.lon, events.lat) >= 0).all() and where.lat.iloc[0] > where.lat.iloc[-1]
    assert as_grid(500., events) == found == as_grid(dataclasses.asdict(found))
    with pytest.raises(InputError): as_grid(500.)

def test_the_grid_of_a_city_or_a_card(tmp_path):
    events, _ = city_maps()
    assert as_grid("chicago_2018") == GRIDS["chicago"] and as_grid("chicago", rows=8, columns=4) == dataclasses.replace(GRIDS["chicago"], rows=8, columns=4)
    (tmp_path / "mine.yaml").write_text("name: mine\ngrid_box: [-87.8, 41.8, -87.6, 41.9]\ncell_m: 1000\nholidays: US\n")
    found = as_grid(tmp_path / "mine.yaml")
    assert isinstance(found, Squares) and found.size == 1000 and found.cells([-87.7], [41.85])[0] >= 0
    assert HourlyMaps.from_events(events, tmp_path / "mine.yaml").holidays == "US"
    (tmp_path / "bare.yaml").write_text("name: bare\n")
    assert as_grid(tmp_path / "bare.yaml", events) == Grid.around(events)
    for wrong in ("nowhere", tmp_path / "bare.yaml", [1, 2]):
        with pytest.raises(InputError): as_grid(wrong)

def test_a_box_is_not_stretched_by_a_place_that_can_not_be():
    events, _ = city_maps()
    strange = pd.concat([events, events.head(1).assign(lon=0., lat=0.)])
    assert Grid.around(strange) == Grid.around(events)

# --- more weather

@pytest.mark.parametrize("marker", ["-9999", "-999.9", "-99", "999.9", "9999", "M", "", "NA", "inf"])
def test_stand_ins_of_stations_are_missing(tmp_path, marker):
    weather = read_weather(written(tmp_path, f"time,temperature,wind\n2018-01-01 00:00,10,1\n2018-01-01 01:00,{marker},2\n2018-01-01 02:00,14,{marker}\n2018-01-01 03:00,16,4\n"))
    assert weather.temperature.tolist() == [10, 12, 14, 16] and weather.wind.tolist() == [1, 2, 3, 4]

@pytest.mark.parametrize("times, zone, first", [
    (["1514764800", "1514768400"], "America/Chicago", "2017-12-31 18:00"), (["1514764800000", "1514768400000"], "America/Chicago", "2017-12-31 18:00"),
    (["1530403200", "1530406800"], "America/Chicago", "2018-06-30 19:00"), (["1514764800", "1514768400"], None, "2018-01-01 00:00"),
    (["2018-01-01T00:00Z", "2018-01-01T01:00Z"], "America/New_York", "2017-12-31 19:00"), (["2018-07-01 00:00+00", "2018-07-01 01:00+00"], "America/New_York", "2018-06-30 20:00"),
    (["2018-01-01T06:00:00+0600", "2018-01-01T02:00:00+01:00"], "America/Chicago", "2017-12-31 18:00"), (["2018-01-01 00:00", "2018-01-01 01:00"], "America/Chicago", "2018-01-01 00:00")])
def test_times_of_weather_become_local(tmp_path, times, zone, first):
    weather = read_weather(written(tmp_path, "time,temperature,wind\n" + "".join(f"{t},{k},1\n" for k, t in enumerate(times))), zone=zone)
    assert weather.index.tolist() == list(pd.date_range(first, periods=2, freq="h")) and weather.temperature.tolist() == [0, 1]

def test_long_gaps_are_said(tmp_path):
    lines = [f"2018-01-01 {h:02}:00,{h},1\n" for h in (0, 1, 2, 5, 6, 15, 16)]
    weather = read_weather(written(tmp_path, "time,temperature,wind\n" + "".join(lines)))
    assert weather.temperature.tolist() == list(range(17)) and any("8" in note and "gap" in note for note in weather.attrs["notes"])
    assert not read_weather(written(tmp_path, "time,temperature,wind\n" + "".join(lines[:5]))).attrs["notes"]

@pytest.mark.parametrize("text", ["temperature,wind\n20,3,1\n21,3,1\n", "temperature,wind,time\n9,20,3,2018-01-01 00:00\n"])
def test_a_row_of_weather_longer_than_the_header_moves_no_column(tmp_path, text):
    (tmp_path/"w.csv").write_text(text)
    with pytest.raises(InputError, match="more fields than its header"): read_weather(tmp_path/"w.csv", start="2018-01-01")


def test_seconds_in_a_weather_file_without_a_zone_are_told_of(tmp_path):
    (tmp_path/"w.csv").write_text("time,temperature,wind\n1514764800,20,3\n1514768400,21,3\n")
    assert "say zone='America/Chicago'" in read_weather(tmp_path/"w.csv").attrs["notes"][0]


def test_weather_of_hours_ahead_is_that_of_the_hour_of_the_day():
    times = pd.date_range("2018-01-01", periods=240, freq="h")
    weather = pd.DataFrame({"temperature": times.hour + 0., "wind": np.ones(240)}, index=times)
    later = weather_ahead(weather, pd.date_range("2018-01-10 20:00", periods=30, freq="h"))
    assert later.index[-1] == pd.Timestamp("2018-01-12 01:00") and (later.temperature == later.index.hour).all() and (later.iloc[:240] == weather).all(axis=None)
    assert weather_ranges(weather, times[0], times[5]) == {"temperature": (0, 4), "wind": (1, 1)} and weather_ranges(None, None, None) == {}
    events, view = city_maps()
    hours = pd.date_range(view.start, periods=720, freq="h")
    view = dataclasses.replace(view, weather=pd.DataFrame({"temperature": hours.hour + 0., "wind": 1.}, index=hours))
    assert (view.ahead(24).external()[720:] == view.external()[-24:]).all()

def test_a_view_with_weather_covers_its_hours_and_goes_on_with_weather():
    events, view = city_maps()
    hours = pd.date_range(view.start, periods=720, freq="h")
    weather = pd.DataFrame({"temperature": np.arange(720.), "wind": 1.}, index=hours)
    end = view.starts[-1] + pd.Timedelta(hours=1)
    with pytest.raises(InputError, match="weather goes from"): HourlyMaps.from_events(events, view.grid, view.start, end, weather.iloc[:700])
    whole = HourlyMaps.from_events(events, view.grid, view.start, end, weather)
    begin = HourlyMaps.from_events(events, view.grid, view.start, hours[480], weather.iloc[:480])
    on = begin.update(events[events.time >= hours[480]], weather=weather.iloc[480:])
    assert on.weather.equals(whole.weather) and whole.schema()["weather"] == ["temperature", "wind"]
    with pytest.raises(InputError, match="weather"): begin.update(events[events.time >= hours[480]])


@pytest.mark.parametrize("layout, said", [("%m/%d/%Y %H:%M", "month first"), ("%d/%m/%y %H:%M", "day first"), ("%d.%m.%Y %H:%M", "day first"), ("%m/%d/%Y %I:%M %p", "month first"), ("%Y%m%d%H", None), ("%Y-%m-%d %H:%M", None)])
def test_the_order_of_dates_of_weather_is_judged(tmp_path, layout, said):
    hours = pd.date_range("2024-01-01", periods=24*31, freq="h")
    weather = read_weather(written(tmp_path, "time,temperature,wind\n" + "".join(f"{t.strftime(layout)},{k/20},1\n" for k, t in enumerate(hours))))
    assert weather.index.equals(hours.rename("time")) and np.allclose(weather.temperature*20, range(744))
    assert [said in note for note in weather.attrs["notes"]] == [True] if said else not weather.attrs["notes"]


def test_dates_of_weather_of_which_nothing_tells_the_order_are_refused(tmp_path):
    hours = pd.date_range("2024-01-01", periods=24*12, freq="h")
    with pytest.raises(InputError, match="write them as 2018-01-31"): read_weather(written(tmp_path, "time,temperature,wind\n" + "".join(f"{t:%m/%d/%y %H:%M},1,1\n" for t in hours)))


def test_readings_that_are_no_numbers_are_said_and_commas_are_read(tmp_path):
    weather = read_weather(written(tmp_path, 'time,temperature,wind\n2024-01-01 00:00,"1,5",calm\n2024-01-01 01:00,2,3\n2024-01-01 02:00,"-2,5",5s\n'))
    assert weather.temperature.tolist() == [1.5, 2, -2.5] and weather.wind.tolist() == [3, 3, 3]
    assert weather.attrs["notes"] == ("2 readings of wind are no numbers, such as 'calm', and are taken as missing",)


@pytest.mark.parametrize("column, value", [("rain", 12.5), ("event", 3), ("fog", 2), ("thunder", 100)])
def test_millimetres_are_no_flags(tmp_path, column, value):
    with pytest.raises(InputError, match=f"reading of {value} in the column {column}"): read_weather(written(tmp_path, f"time,temperature,wind,{column}\n2024-01-01 00:00,1,1,0\n2024-01-01 01:00,1,1,{value}\n"))


# --- files of weather as stations and portals write them

@pytest.mark.parametrize("text", [
    "time;temperature;wind\n2024-01-01 00:00;1,5;2\n2024-01-01 01:00;-2,5;3,5\n", "Time\ttemp (°C)\tWind speed (m/s)\n2024-01-01 00:00\t1.5\t2\n2024-01-01 01:00\t-2.5\t3.5\n",
    'time,temperature_2m (°C),wind_speed_10m (km/h)\n2024-01-01 00:00,"1,5",2\n2024-01-01 01:00,"-2,5","3,5"\n',
    "valid,tmpf,sknt\n2024-01-01 00:00,34.7,2\n2024-01-01 01:00,27.5,3.5\n", "time,TEMP_F,wind\n2024-01-01 00:00,34.7,2\n2024-01-01 01:00,27.5,3.5\n",
    "time,Temperature (Fahrenheit),wind\n1704067200,34.7,2\n1704070800,27.5,3.5\n", "time,temp_k,wind\n1704067200000,274.65,2\n1704070800000,270.65,3.5\n"])
def test_weather_is_read_as_events_are_and_in_celsius(tmp_path, text):
    weather = read_weather(written(tmp_path, text))
    assert np.allclose(weather.temperature, [1.5, -2.5]) and weather.wind.tolist() == [2, 3.5]
    assert weather.index.tolist() == list(pd.date_range("2024-01-01", periods=2, freq="h"))


@pytest.mark.parametrize("name, top", [("temperature", 86), ("temp_c", 86), ("temperature", 295.5), ("tmpf", 186)])
def test_degrees_that_no_air_has_are_refused(tmp_path, name, top):
    with pytest.raises(InputError, match="°C, and no air is as warm: name the column temperature_f"):
        read_weather(written(tmp_path, f"time,{name},wind\n2024-01-01 00:00,50,1\n2024-01-01 01:00,{top},1\n"))


def test_stand_ins_are_missing_before_degrees_are_converted(tmp_path):
    weather = read_weather(written(tmp_path, "time,tmpf,wind\n2024-01-01 00:00,32,1\n2024-01-01 01:00,-9999,1\n2024-01-01 02:00,(null),NULL\n2024-01-01 03:00,59,4\n"))
    assert np.allclose(weather.temperature, [0, 5, 10, 15]) and weather.wind.tolist() == [1, 1, 2.5, 4]


def test_a_row_of_weather_of_another_width_is_counted_where_hours_are_written(tmp_path):
    weather = read_weather(written(tmp_path, "time,temperature,wind\n2024-01-01 00:00,1,1\n2024-01-01 01:00,2,2,9\n2024-01-01 02:00,3,3\n"))
    assert weather.temperature.tolist() == [1, 2, 3] and weather.attrs["notes"][0].startswith("1 of 3 rows of")
    with pytest.raises(InputError, match="more fields than its header"):
        read_weather(written(tmp_path, "temperature,wind\n1,1\n2,2,9\n3,3\n"), start="2024-01-01")


def test_weather_from_parquet_knows_its_zone(tmp_path):
    hours = pd.date_range("2024-01-01 06:00", periods=2, freq="h", tz="UTC")
    pd.DataFrame({"time": hours, "temperature": [1., 2.], "wind": [3, 4]}).to_parquet(tmp_path/"w.parquet", index=False)
    assert read_weather(tmp_path/"w.parquet", zone="America/Chicago").index.tolist() == list(pd.date_range("2024-01-01", periods=2, freq="h"))
    with pytest.raises(InputError, match="times with a zone"): read_weather(tmp_path/"w.parquet")


@pytest.mark.parametrize("days, unknown", [(0, 0), (1, 0), (2, 2), (7, 7)])
def test_the_hours_of_days_whose_events_are_at_midnight_alone_are_unknown(days, unknown):
    "Eight events a day at one, four, … o'clock: ten and more at midnight in a row are no chance."
    time = pd.date_range("2018-01-01 01:00", periods=8*60, freq="3h")
    bare = (time >= "2018-02-01") & (time < pd.Timestamp("2018-02-01") + pd.Timedelta(days=days))
    table = pd.DataFrame({"time": pd.Series(time.where(~bare, time.normalize())).dt.as_unit("s"), "category": pd.Categorical(["theft"]*len(time)), "premises": pd.Categorical(["street"]*len(time)),
                          "area": pd.Categorical(["a"]*len(time)), "lon": 13.4, "lat": 52.5, "x": np.nan, "y": np.nan})
    maps = HourlyMaps.from_events(table, 5000.)
    lost = np.isnan(maps.counts.reshape(len(maps), -1)).any(1)
    assert lost.sum() == 24*unknown and np.nansum(maps.counts) == 8*(60 - unknown) and any("at midnight alone" in note for note in maps.notes) == bool(unknown)
    assert not unknown or (lost[31*24:31*24 + 24*unknown]).all()


def test_a_model_of_all_categories_refuses_maps_of_one_or_of_another_vocabulary():
    crimes, truth = simulate(20_000, 70, seed=0)
    grid = Grid.of(truth, 4, 4)
    def maps(events): return HourlyMaps.from_events(events, grid)
    every = maps(crimes)
    assert every.kinds == crimes.category.astype(str).value_counts().sort_index().to_dict() and every.until(900).kinds == every.kinds
    model = Mean(season=24).fit(every, slice(0, 1000))
    most = crimes.category.value_counts().index
    for other in (maps(crimes[crimes.category == most[0]]), maps(crimes.assign(category=("OTHER " + crimes.category.astype(str)).astype("category")))):
        for use in (lambda: model.predict(other, [1200]), lambda: model.scores(np.ones((9, 4, 4)), other, slice(1200, 1209)), lambda: every.until(900).joined(other.since(900))):
            with pytest.raises(InputError, match="of other categories .* of the events there alone are") as said: use()
            assert "\n" not in str(said.value)
    # a few later events, a category of less than 1 %, and what was saved before they were written down
    few = crimes[crimes.category == most[-1]].iloc[:10]
    assert model.predict(maps(crimes.drop(few.index)), [1200]).shape == (1, 4, 4)
    later = maps(crimes[crimes.time >= every.starts[900] + pd.Timedelta(hours=12)].iloc[:5])
    assert len(later.kinds) < len(every.kinds) and later.check(model.schema_) is later
    del model.schema_["kinds"]
    assert model.predict(other, [1200]).shape == (1, 4, 4)
    assert set(every.until(900).joined(every.since(900)).kinds) == set(every.kinds)


@pytest.mark.parametrize("what", [3, "chicago", [1, 2], None])
def test_a_grid_of_what_is_no_simulated_city_is_refused(what):
    with pytest.raises(InputError, match="^Grid.of takes a simulated city: a grid over events is Grid.around"): Grid.of(what)
