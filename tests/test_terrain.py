"crimenb.terrain: by hand, against brute force and scikit-learn, on the simulated city, and against known numbers on the real files."
import bz2
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KernelDensity

from crimenb.cities import Card, Factor
from crimenb.city import simulate
from crimenb.core import InputError
from crimenb.events import read_dc
from crimenb.sources import fetch
from crimenb.geo import Points, cells_in, read_boundaries, read_points, read_table, transform
from crimenb.terrain import (BANDWIDTHS, Counts, Terrain, Units, asked, count, dc, density, design, distance, dummies, from_city, longest, nyc, one_source, points_of, read_dc_portal,
                             read_dc_units, read_dc_violent, read_dc_wards, read_nyc_shootings, snap, snap_index, standardise, stretches)


def scattered(seed=0, n=300, m=200, size=6000., weights=True):
    rng = np.random.default_rng(seed)
    return Units(range(n), *rng.uniform(0, size, (2, n))), Points(*rng.uniform(0, size, (2, m)), weight=rng.integers(0, 4, m) if weights else None)

def grid_units(bounds, size, crs=None, inside=None): return Units.of(cells_in(bounds, size, crs, inside))

@cache
def washington(source="whole-year"): return dc(fetch("dc_rtm"), source)

@cache
def new_york(): return nyc(fetch("nyc_rtm"))

@cache
def simulated():
    events, city = simulate(n_events=20_000, days=730, seed=1)
    return events, city, from_city(events, city)


# --- coordinate systems ---

@pytest.mark.parametrize("make, says", [
    (lambda: Units([1, 2], [-77., -77.1], [38.9, 38.8], crs=4326), "degrees"),
    (lambda: Units([1, 2], [-77., -77.1], [38.9, 38.8]), "look like degrees"),
    (lambda: Points([-77., -77.1], [38.9, 38.8]), "look like degrees"),
    (lambda: Points([914928.], [125756.], crs=2263), "foot"),
    (lambda: Units([1], [0], [0], crs=123456789), "no coordinate system"),
    (lambda: Units([1, 1], [0, 500], [0, 500]), "same id"),
    (lambda: Units([1, 2], [0, np.nan], [0, 500]), "missing or infinite"),
    (lambda: Units([1, 2], [0, 1], [0]), "same length"),
    (lambda: Units([], [], []), "none"),
    (lambda: Points([0], [0], weight=[-1]), "negative"),
    (lambda: Points([0], [0], rows_in=5), "5 records in"),
    (lambda: grid_units((0, 0, -1, 5), 1), "not (west"),
    (lambda: grid_units((0, 0, 1, 5), 0), "above 0"),
    (lambda: grid_units((0, 0, 1e6, 1e6), .1), "too many"),
    (lambda: grid_units((0, 0, 500, 500), 100, inside=shapely.box(9000, 9000, 9999, 9999)), "no cell"),
])
def test_what_is_no_place_in_metres_is_refused(make, says):
    with pytest.raises(InputError, match=says.replace("(", r"\(")): make()

@pytest.mark.parametrize("points, says", [
    (lambda: Points([398000.], [137000.], crs=32618), "bring both"),
    (lambda: Points([398000.], [137000.]), "bring both"),
    (lambda: Points([-77.02], [38.9], crs=26985), "nowhere near"),
    (lambda: Points([1308000., 1309000.], [449000., 450000.], crs=26985), "nowhere near"),
    (lambda: Points([], [], crs=26985), "none"),
])
def test_mixed_coordinate_systems_are_refused_everywhere(points, says):
    units = Units([1, 2], [398000, 399000], [137000, 138000], crs=26985)
    for call in (lambda: distance(units, points()), lambda: density(units, points(), [100]), lambda: design(units, {"bar": points()})):
        with pytest.raises(InputError, match=says): call()

def test_a_local_system_of_one_point_and_two_points_in_one_place_are_no_degrees():
    Units([1], [50], [50]); Points([50, 50], [50, 50])


# --- measures ---

@pytest.mark.parametrize("seed", range(3))
def test_distance_is_brute_force(seed):
    units, points = scattered(seed)
    brute = np.sqrt(((units.xy[:, None] - points.xy[points.weight > 0])**2).sum(2)).min(1)
    np.testing.assert_allclose(distance(units, points), brute)

@pytest.mark.parametrize("kernel", ["gaussian", "quartic"])
def test_density_is_brute_force(kernel):
    units, points = scattered(1, n=700, m=900)
    d2 = ((units.xy[:, None] - points.xy)**2).sum(2)
    for h, ours in zip(BANDWIDTHS, density(units, points, BANDWIDTHS, kernel).T):
        value = np.exp(-d2/2/h**2)/(2*np.pi) if kernel == "gaussian" else np.maximum(1 - d2/h**2, 0)**2*3/np.pi
        brute = (value*points.weight).sum(1)/h**2*1e6
        # what is cut adds at most exp(-12.5) of a point's peak each
        np.testing.assert_allclose(ours, brute, rtol=1e-5, atol=1e6/h**2/6*points.weight.sum()*np.exp(-12.5)*.1)

def test_density_is_scikit_learns_far_from_the_origin():
    units, points = scattered(2, weights=False)
    units, points = (type(v)(*((v.ids,) if isinstance(v, Units) else ()), v.x + 398_000, v.y + 137_000, crs=26985) for v in (units, points))
    for h in (50, 200, 800):
        theirs = np.exp(KernelDensity(bandwidth=h, rtol=1e-8).fit(points.xy).score_samples(units.xy))*len(points)*1e6
        np.testing.assert_allclose(density(units, points, [h])[:, 0], theirs, rtol=1e-5, atol=1e-5*theirs.max())

def test_more_candidates_than_fit_one_block_make_no_difference():
    units, points = scattered(3, n=40, m=50_000, size=2000.)
    d2 = ((units.xy[:, None] - points.xy)**2).sum(2)
    brute = (np.exp(-d2/2/400**2)*points.weight).sum(1)/(2*np.pi*400**2)*1e6
    np.testing.assert_allclose(density(units, points, [400, 50])[:, 0], brute, rtol=1e-5)

def test_density_integrates_to_the_number_of_points():
    units = grid_units((0, 0, 8000, 8000), 50)
    points = Points([3000, 5000], [4000, 4100], weight=[1, 3])
    for kernel in ("gaussian", "quartic"):
        for column in density(units, points, [200, 400], kernel).T: assert column.sum()*.05**2 == pytest.approx(4, rel=3e-3)

@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(50, 900), st.floats(1, 5))
def test_a_weight_is_that_many_points_and_moving_all_changes_nothing(seed, h, cut):
    rng = np.random.default_rng(seed)
    units, points = scattered(seed, 30, 20)
    twice = Points(np.repeat(points.x, points.weight.astype(int)), np.repeat(points.y, points.weight.astype(int)))
    np.testing.assert_allclose(density(units, points, [h]), density(units, twice, [h]), rtol=1e-5, atol=1e-6)
    x, y = rng.uniform(1e3, 1e6, 2)
    moved = density(Units(units.ids, units.x + x, units.y + y), Points(points.x + x, points.y + y, weight=points.weight), [h])
    np.testing.assert_allclose(density(units, points, [h]), moved, rtol=1e-5, atol=1e-6)
    lost = (density(units, points, [h], cut=8) - density(units, points, [h], cut=cut))[:, 0]
    bound = points.weight.sum()*np.exp(-cut**2/2)*1e6/(2*np.pi*h**2)
    assert (lost > -1e-5*bound - 1e-6).all() and (lost < bound*1.0001 + 1e-6).all()

def test_the_order_of_the_units_makes_no_difference():
    units, points = scattered(4, n=600)
    order = np.random.default_rng(0).permutation(600)
    other = Units(units.ids[order], units.x[order], units.y[order])
    np.testing.assert_allclose(density(units, points, BANDWIDTHS)[order], density(other, points, BANDWIDTHS), rtol=1e-4, atol=1e-3)

@pytest.mark.parametrize("bandwidths", [[0], [-1], [], [np.nan], [[100]]])
def test_bandwidths_that_make_no_kernel_are_refused(bandwidths):
    with pytest.raises(InputError, match="bandwidths"): density(*scattered(), bandwidths)

def test_weights_of_zero():
    units, points = scattered(0)
    none = Points(points.x, points.y, weight=np.zeros(len(points)))
    assert (density(units, none, [100]) == 0).all()
    with pytest.raises(InputError, match="weight 0"): distance(units, none)

def test_dummies_by_hand():
    assert dummies([0, 50, 50.1], [50, 60]).tolist() == [[1, 1], [1, 1], [0, 1]]
    values = np.array([0.]*20 + [1.])
    z = (values - values.mean())/values.std()
    assert dummies(values, kind="density").tolist() == (z > 2).astype(float).tolist() == [0.]*20 + [1.]
    assert standardise([[1, 5], [3, 5]]).tolist() == [[-1, 0], [1, 0]]
    with pytest.raises(InputError): dummies([[1., 2.]], [50])
    with pytest.raises(InputError): dummies([1.], kind="closeness")


# --- the design matrix ---

def test_names_sets_and_values_of_a_design():
    units, points = scattered(0)
    units = Units(units.ids, units.x, units.y, np.full(len(units), 100.), None, pd.DataFrame({"corner": np.arange(len(units)) % 2}))
    made = design(units, {"alc": points, "met": points, "c31": points}, (50, 100), {"alc": ("distance", "density"), "met": "distance", "c31": ("density",)},
                  constants=("Const", "LogArea", "corner"))
    assert made.names == ["alc_dis_50", "alc_dis_100", "alc_kde_50", "alc_kde_100", "met_dis_50", "met_dis_100", "c31_kde_50", "c31_kde_100"]
    assert {k: v.tolist() for k, v in made.sets.items()} == {"alc": [0, 1, 2, 3], "met": [4, 5], "c31": [6, 7]}
    assert made.x.dtype == np.float64 and set(np.unique(made.x)) <= {0., 1.} and made.frame.columns[:3].tolist() == ["Const", "LogArea", "corner"]
    np.testing.assert_array_equal(made.x[:, 0], distance(units, points) <= 50)
    np.testing.assert_array_equal(made.x[:, 2], standardise(density(units, points, [50]))[:, 0] > 2)
    smooth = design(units, {"alc": points}, (50, 100), values="standardised")
    np.testing.assert_allclose(smooth.x.mean(0), 0, atol=1e-12); np.testing.assert_allclose(smooth.x.std(0), 1)
    assert np.corrcoef(smooth.x[:, 0], distance(units, points))[0, 1] < 0
    raw = design(units, {"alc": points}, (50, 100), values="raw")
    assert raw.names == ["alc_dis", "alc_kde_50", "alc_kde_100"]
    np.testing.assert_array_equal(raw.x[:, 0], distance(units, points))

@pytest.mark.parametrize("wrong", [dict(factors={}), dict(bandwidths=(50, 50)), dict(bandwidths=()), dict(values="z"), dict(kinds="nearness"),
                                   dict(kinds={"met": "distance"}), dict(constants=("LogArea",)), dict(constants=("corner",))])
def test_a_design_that_cannot_be_made_is_refused(wrong):
    units, points = scattered(0)
    with pytest.raises(InputError): design(**{"units": units, "factors": {"alc": points}, **wrong})


# --- snapping and mixing ---

def test_snapping_by_hand():
    units = Units(["a", "b"], [0, 1000], [0, 0])
    events = Points([0, 150, 151, 900, 1100, 499], [0, 0, 0, 0, 100, 0], source="s", rows_in=8, dropped={"no place": 2})
    assert snap_index(events, units).tolist() == [0, 0, -1, 1, 1, -1] and snap(events, units).tolist() == [2, 2]
    found = count(events, units, "1")
    for wrong in (dict(rows_in=7), dict(dropped={}), dict(n=found.n[:1])):
        with pytest.raises(InputError, match="counts of 1"): replace(found, **wrong)
    assert found.rows_in == found.n.sum() + sum(found.dropped.values()) == 8 and found.dropped["farther than 150 m from any unit"] == 2
    assert snap(Points([], []), units).tolist() == [0, 0]

def test_sources_units_and_time_are_never_mixed():
    make = lambda period, source="a", n=3: Counts(np.arange(n), source, period, n*(n - 1)//2, {})
    assert one_source([make("2010"), make("2011")]) and Terrain.of([make("2010"), make("2011")], Units([1, 2, 3], [0, 500, 900], [0, 0, 0]), {}, "2010-01-01").names == ["2010", "2011"]
    for counts, says in [([make("2011"), make("2012", "b")], "both from one"), ([make("2011"), make("2012", n=4)], "same units"),
                         ([make("2012"), make("2011")], "not in order"), ([make("2011"), make("2011")], "not in order"), ([], "no past")]:
        with pytest.raises(InputError, match=says): one_source(counts)

def test_a_grid_snaps_to_the_cell_that_holds_the_event():
    units = grid_units((0, 0, 1000, 600), 200)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1000, 500), rng.uniform(0, 600, 500)
    np.testing.assert_array_equal(snap_index(Points(x, y), units), (y//200).astype(int)*5 + (x//200).astype(int))


# --- readers ---

def test_points_from_csv_geojson_and_a_projected_file(tmp_path):
    (tmp_path/"a.csv").write_text("\ufeffName,LONGITUDE,Latitude\na,-77.0238,38.9166\nb,,\nc,x,y\nd,-77.0667,38.9048\n")
    a = read_points(tmp_path/"a.csv", 26985)
    assert len(a) == 2 and a.dropped == {"no place": 2} and a.rows_in == 4 and a.columns.Name.tolist() == ["a", "d"]
    features = [{"type": "Feature", "properties": {"n": 1}, "geometry": {"type": "Point", "coordinates": [-77.0238, 38.9166]}},
                {"type": "Feature", "properties": None, "geometry": None}]
    (tmp_path/"b.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    b = read_points(tmp_path/"b.geojson", 26985)
    np.testing.assert_allclose(b.xy, a.xy[:1]); assert b.dropped == {"no place": 1}
    (tmp_path/"c.csv").write_text(f"east,north\n{a.x[0]},{a.y[0]}\n402193,133130\n40219332,13313\n")
    c = read_points(tmp_path/"c.csv", 26985, place=("east", "north"), from_crs=26985, box=(389e3, 125e3, 409e3, 149e3))
    assert len(c) == 2; np.testing.assert_allclose(c.xy[:1], a.xy[:1]); assert sum(c.dropped.values()) == 1

@pytest.mark.parametrize("name, text, options", [
    ("a.csv", "east,north\n1,2\n", {}), ("a.csv", "x,y\n1,2\n", {}), ("a.csv", "east,north\n1,2\n", dict(place=("east", "south"), from_crs=26985)),
    ("a.csv", "", {}), ("a.geojson", "{}", {}), ("a.geojson", "[1]", {}), ("a.rda", "no R", {}), ("none.csv", None, {}), ("none.rda", None, {}), ("none.geojson", None, {}),
    ("a.csv", "lon,lat\n1,2\n", dict(from_crs=999999))])
def test_files_that_hold_no_points_are_refused(tmp_path, name, text, options):
    if text is not None: (tmp_path/name).write_text(text)
    with pytest.raises(InputError): read_points(tmp_path/name, 26985, **options)

@pytest.mark.parametrize("name", ["none.csv", "none.rda", "none.geojson"])
def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path, name):
    with pytest.raises(InputError, match="there is no file .*: give the path"): read_points(tmp_path/name, 26985)

def test_damaged_r_data_ends_in_one_sentence_whatever_the_parser_meets(tmp_path):
    boroughs = fetch("nyc_rtm")["nyc_bor.rda"]
    with pytest.raises(InputError, match="holds no polygons .*: read points with read_points"): read_boundaries(fetch("nyc_rtm")["nyc_liq.rda"], 32118)
    whole = bz2.decompress(boroughs.read_bytes())
    rng, refused = np.random.default_rng(0), 0
    for place in rng.integers(5, len(whole), 40):
        broken = bytearray(whole)
        broken[place] ^= 255
        (tmp_path/"a.rda").write_bytes(bz2.compress(bytes(broken), 1))
        # a wrong byte inside a number can't be seen
        try: read_table(tmp_path/"a.rda")
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 0
    (tmp_path/"a.rda").write_bytes(whole[:1000])
    with pytest.raises(InputError, match="cannot be read as R data .*: download it again"): read_table(tmp_path/"a.rda")

def test_events_become_points():
    table = pd.DataFrame({"time": pd.to_datetime(["2012-03-01"]*2), "category": ["robbery"]*2, "lon": [-77.0238, np.nan], "lat": [38.9166, np.nan]})
    made = points_of(table, 26985)
    assert len(made) == 1 and made.dropped == {"no place": 1} and abs(made.x[0] - 397_935) < 10 and abs(made.y[0] - 138_744) < 20

def test_the_portals_dialect_becomes_counts(tmp_path):
    "Washington's portal: years of files, each record counted once, in the year in which it began; its words for assault are known."
    sample = Path(__file__).parents[1]/"data/samples/dc.csv"
    read = read_dc(sample)
    made = points_of(read, 26985)
    assert made.rows_in == read.rows_in == len(made) + sum(made.dropped.values()) and set(read.dropped) < set(made.dropped)
    assert points_of(read, 26985, categories=["ROBBERY"]).columns.category.tolist() == ["ROBBERY"]
    assert len(points_of(read, 26985, categories=["ARSON"])) == 0
    paths = {f"Crime_Incidents_in_{y}.csv": sample for y in (2018, 2019)}
    violent = read_dc_portal(paths, "2019-01-01", "2020-01-01")
    assert sorted(violent.columns.category) == ["ASSAULT W/DANGEROUS WEAPON", "ROBBERY"]
    assert violent.rows_in == 14 and violent.dropped["in another file, too"] == 4
    everything = read_dc_portal(paths, "2018-01-01", "2020-01-01", offenses=None)
    assert len(everything) == 4 and everything.columns.time.dt.year.tolist() == [2018, 2019, 2019, 2019]
    for call in (lambda: read_dc_portal({}, "2019-01-01", "2020-01-01"), lambda: dc(fetch("dc_rtm"), "portal")):
        with pytest.raises(InputError, match="Crime_Incidents_in_YEAR"): call()
    study = dc(fetch("dc_rtm") | paths, "portal")
    assert study.names == ["2018", "2019"] and study.accounts["2019"].source == "Washington's portal"
    for year in study.accounts.values(): assert year.rows_in == 14 == year.n.sum() + sum(year.dropped.values())
    with pytest.raises(InputError, match="both from one"): one_source([washington().accounts["2011"], study.accounts["2019"]])

def test_files_that_are_missing_are_named():
    with pytest.raises(InputError, match="DC_Crime"): dc({})
    with pytest.raises(InputError, match="nyc_bor"): nyc({})
    with pytest.raises(InputError, match="whole-year files have 2011, 2012, 2013"): read_dc_violent(fetch("dc_rtm"), 2009)
    with pytest.raises(InputError, match="ward files"): read_dc_wards({"ward1.csv.gz": "x"}, "2011-01-01", "2012-01-01")
    with pytest.raises(InputError, match="source"): dc(fetch("dc_rtm"), "both")


# --- the simulated city ---

def test_planted_columns_of_the_simulated_city_are_the_true_features():
    events, city, study = simulated()
    made = study.design()
    assert study.planted == {"bar_dis_200": .9, "metro_dis_300": .7, "call311_kde_400": .6}
    for row, truth in zip(city.features, city.factors.itertuples()):
        name = f"{truth.kind}_{'dis' if truth.effect == 'distance' else 'kde'}_{truth.metres:g}"
        np.testing.assert_array_equal(made.x[:, made.names.index(name)], row)
    assert study.past(1).shape == (4096, 1) and study.past(1).sum() + study.observed([1]).sum() == len(events)

def test_the_expected_counts_of_the_simulated_city_are_calibrated():
    events, city, study = simulated()
    total = study.counts.mean(0)
    by_risk = np.array_split(np.argsort(study.expected), 8)
    ratio = [total[i].sum()/study.expected[i].sum() for i in by_risk]
    assert np.allclose(ratio, 1, atol=.12) and study.expected.sum() == pytest.approx(len(events)/2, rel=.05)

def test_periods_are_cut_in_time():
    events, city, _ = simulated()
    study = from_city(events, city, periods=10)
    assert study.names == [f"{k:02}" for k in range(1, 11)]
    first = events[events.time < city.start + pd.Timedelta(days=73)]
    assert study.counts[0].sum() == len(first)
    # the future does not reach back
    other = from_city(events[events.time < city.start + pd.Timedelta(days=73)], city, periods=10)
    np.testing.assert_array_equal(study.counts[0], other.counts[0])


# --- Washington ---

def test_the_ward_files_snapped_agree_with_the_authors_own_counts():
    paths = fetch("dc_rtm")
    units = read_dc_units(paths["DC_Crime_withAreas.csv"])
    assert len(units) == 20_319 and units.columns.Intersection.sum() == 7_627
    found = count(read_dc_wards(paths, "2011-01-01", "2012-01-01", None), units, "2011")
    theirs = units.columns.TotalCrime.to_numpy()
    assert (found.n == theirs).mean() == pytest.approx(.989, abs=.0006) and np.corrcoef(found.n, theirs)[0, 1] == pytest.approx(.986, abs=.0006)
    assert found.rows_in == 214_868 == found.n.sum() + sum(found.dropped.values()) and sum(n for why, n in found.dropped.items() if not why.startswith(("another", "farther"))) == 197

def test_washington_whole_years():
    study = washington()
    assert [(p, c.rows_in, int(c.n.sum())) for p, c in study.accounts.items()] == [("2011", 6441, 6402), ("2012", 6648, 6598), ("2013", 6481, 6432)]
    for c in study.accounts.values(): assert c.rows_in == c.n.sum() + sum(c.dropped.values())
    made = study.design()
    assert made.x.shape == (20_319, 36) and [len(v) for v in made.sets.values()] == [18, 9, 9] and made.constant_names == ["Const", "Intersection", "LogArea"]
    assert made.names[:2] == ["alc_dis_50", "alc_dis_100"] and "alc_kde_50" in made.names and "met_dis_50" in made.names and "c31_kde_800" in made.names
    assert len(study.factors["met"]) == 88 and study.factors["alc"].weight.sum() == 1543

def test_washington_by_ward_is_another_source():
    study, other = washington("ward"), washington()
    assert study.names == ["2006", "2007", "2008", "2009", "2010", "2011"] and study.rest.period == "2012 to 07-17"
    assert study.counts[5].sum() == 6702 and study.rest.n.sum() == 3565
    assert np.corrcoef(study.counts[5], other.counts[0])[0, 1] == pytest.approx(.71, abs=.01)
    with pytest.raises(InputError, match="both from one"): one_source([study.accounts["2011"], other.accounts["2012"]])
    with pytest.raises(InputError, match="period"): study.number("2013")
    assert study.past(6, 2).shape == (20_319, 2) and one_source([*study.accounts.values(), study.rest])

def test_licences_with_addresses_are_the_other_table():
    study = dc(fetch("dc_rtm"), licences="geojson", calls=("CFS1", "CFS2"))
    assert len(study.factors["alc"]) == 2012 and study.factors["c31"].weight.sum() == study.units.columns[["CFS1", "CFS2"]].sum().sum()


# --- New York ---

def test_new_york():
    study = new_york()
    assert len(study.units) == 19_551 and set(study.units.columns.borough) == {"Queens", "Brooklyn", "Staten Island", "Bronx", "Manhattan"}
    for c in study.accounts.values(): assert c.rows_in == 27_939 == c.n.sum() + sum(c.dropped.values())
    assert study.accounts["2006"].n.sum() == 1566 and study.accounts["2022"].n.sum() == 1294 and study.names[-1] == "2022" and study.rest.period.startswith("2023 to ")
    # one entrance lies 74 degrees east
    assert [len(f) for f in study.factors.values()] == [20_436, 1_867] and sum(study.factors["sub"].dropped.values()) == 1

def test_feet_become_metres():
    paths = fetch("nyc_rtm")
    points = read_nyc_shootings(paths["nyc_shoot.rda"], unit="victims")
    assert len(points) == points.rows_in == 27_939
    again = transform(points.columns.Longitude, points.columns.Latitude, 4326, 32118)
    away = np.hypot(points.x - again[0], points.y - again[1])
    assert np.nanquantile(away, .99) < 5
    shapes = read_boundaries(paths["nyc_bor.rda"], 32118)
    assert sum(s.area for s in shapes.values())/1e6 == pytest.approx(784, rel=.01)
    inside = shapely.contains_xy(shapely.union_all(list(shapes.values())).buffer(100), points.x, points.y)
    assert inside.mean() > .999


# --- from events ---

def somewhere(since, until, n, seed=0):
    "Events over a square of about 2 km, evenly in time, the first and the last at the ends."
    rng = np.random.default_rng(seed)
    time = pd.date_range(since, until, n + 1, inclusive="left").floor("s")
    return pd.DataFrame({"time": time, "category": "theft", "lon": -77.03 + rng.uniform(0, .023, n), "lat": 38.9 + rng.uniform(0, .018, n)})

BARS = pd.DataFrame({"lon": [-77.025, -77.012], "lat": [38.905, 38.91]})

@cache
def own(): return Terrain.from_events(somewhere("2010-01-01", "2013-01-01", 3000), units=500, factors={"bar": read_points(BARS, 32618), "pub": read_points(BARS[:1], 32618)}, bandwidths=(100, 200))

@pytest.mark.parametrize("length, edges", [("Y", ["2012-02-29", "2013-02-28", "2014-02-28"]), ("6M", ["2012-02-29", "2012-08-29", "2013-02-28"]),
                                           ("2W", ["2012-02-29", "2012-03-14", "2012-03-28"]), ("365D", ["2012-02-29", "2013-02-28", "2014-02-28"])])
def test_stretches_of_time(length, edges):
    assert [f"{day:%Y-%m-%d}" for day in stretches("2012-02-29", length, 2)] == edges

@pytest.mark.parametrize("length", ["", "0D", "-1Y", "1.5M", "Q", "y", "99999D"])
def test_no_stretch_of_time(length):
    with pytest.raises(InputError, match="6M for half a year"): stretches("2012-01-01", length, 1)

def test_events_become_a_view_and_each_is_in_its_cell_and_period():
    view, events = own(), somewhere("2010-01-01", "2013-01-01", 3000)
    assert view.names == ["2010", "2011", "2012"] and view.counts.sum() == 3000 and view.period == "year"
    x, y = transform(events.lon, events.lat, 4326, view.units.crs)
    cells = view.units.cells
    where = ((y - cells.south)//500).astype(int)*cells.columns + ((x - cells.west)//500).astype(int)
    by_hand = pd.crosstab(events.time.dt.year.to_numpy(), where).reindex(columns=range(len(view.units)), fill_value=0)
    np.testing.assert_array_equal(view.counts, by_hand)
    place = view.where()
    assert place.km2.eq(.25).all() and all(shape.contains(shapely.Point(*at)) for shape, at in zip(place.geometry, zip(place.lon, place.lat)))

def test_periods_that_the_events_do_not_cover_are_left_out():
    cut = Terrain.from_events(somewhere("2010-03-05", "2012-07-17", 2000), units=500)
    assert cut.names == ["2011"] and sum(n for why, n in next(iter(cut.accounts.values())).dropped.items() if "whole period" in why) == 2000 - cut.counts.sum() > 0
    halves = Terrain.from_events(somewhere("2010-01-01", "2012-07-17", 2000), units=500, period="6M")
    assert halves.names == ["2010-01", "2010-07", "2011-01", "2011-07", "2012-01"]
    # rare events may well be missing in the last days of a year; and who knows better says so
    assert Terrain.from_events(somewhere("2010-01-01", "2012-01-01", 40), units=500).names == ["2010", "2011"]
    assert Terrain.from_events(somewhere("2010-01-01", "2011-11-01", 2000), units=500, end="2012-01-01").names == ["2010", "2011"]
    with pytest.raises(InputError, match="no whole period"): Terrain.from_events(somewhere("2010-03-05", "2010-07-17", 100), units=500)

def test_an_event_of_some_day_of_a_month_is_in_no_fortnight_of_it():
    "Its time is the month's first midnight: it would be counted where that lies."
    events = somewhere("2012-01-01", "2012-07-01", 600)
    events.loc[::10, "time"] = events.time[::10].dt.to_period("M").dt.start_time
    rough = np.arange(600) % 10 == 0
    events["known_to"] = pd.Categorical(np.where(rough, "month", None))
    by = lambda period, **more: Terrain.from_events(events, 500, period=period, start="2012-01-01", **more)
    fortnights, months = by("2W", end="2012-07-01"), by("M", end="2012-07-01")
    by_hand = np.histogram((events.time[~rough] - pd.Timestamp("2012-01-01")).dt.days, np.arange(0, 183, 14))[0]
    assert fortnights.counts.sum(1).tolist() == by_hand.tolist() and months.counts.sum() == 600
    account, = fortnights.accounts.values()
    assert account.dropped["time not known to the day"] == 60
    # months that don't begin with the first cut months too
    assert Terrain.from_events(events, 500, period="M", start="2012-01-15", end="2012-06-15").counts.sum() == (~rough & events.time.between("2012-01-15", "2012-06-15")).sum()
    events["time"] = events.time.dt.to_period("M").dt.start_time
    with pytest.raises(InputError, match="known to the month: count them by whole months"): by("2W")

def test_later_events_go_on_and_a_gap_is_refused():
    view = own()
    longer = view.update(somewhere("2013-01-01", "2014-01-01", 700, 1))
    assert longer.names == ["2010", "2011", "2012", "2013"] and longer.counts[-1].sum() == 700 and longer.schema()["x"] is view.units.x
    gap = somewhere("2014-01-01", "2015-01-01", 700, 1)
    with pytest.raises(InputError, match="nothing is known of the 1 year"): view.update(gap)
    bridged = view.update(gap, "unknown")
    assert np.isnan(bridged.counts[3]).all()
    # what is not known is passed over, and never 0
    np.testing.assert_array_equal(bridged.past(5), bridged.counts[[0, 1, 2, 4]].T)
    np.testing.assert_array_equal(bridged.past(5, 2), bridged.counts[[2, 4]].T)
    with pytest.raises(InputError, match="no period before number 1 is known"): view._with(np.full((2, len(view.units)), np.nan), 0).past(1)

@pytest.mark.parametrize("days, period, right", [(200, "Y", "6M"), (100, "Y", "3M"), (35, "Y", "M"), (20, "M", "2W"), (9, "2W", "W")])
def test_the_advice_on_a_period_that_is_too_long_is_one_that_works(days, period, right):
    events = somewhere("2012-01-01", str((pd.Timestamp("2012-01-01") + pd.Timedelta(days=days)).date()), 900)
    with pytest.raises(InputError, match=f"cover no whole period of {period}: take a shorter one, such as period={right}, or give more"): Terrain.from_events(events, 500, period=period)
    assert len(Terrain.from_events(events, 500, period=right))
    with pytest.raises(InputError, match="^the later events cover no whole year from 2013-01-01 00:00:00 on: give more of them"): own().update(somewhere("2013-01-01", "2013-03-01", 90))

def test_of_one_month_two_halves_are_advised():
    one = Terrain.from_events(somewhere("2012-01-01", "2012-02-01", 900), 500, period="M")
    with pytest.raises(InputError, match="the events cover one whole month, and one is seen before the one that is foretold: take a shorter one, such as period=2W"): asked(one)

def test_others_events_are_counted_on_the_ground_of_a_schema():
    view, later = own(), somewhere("2013-01-01", "2014-01-01", 700, 1)
    here = Terrain.from_events(later, factors=view.factors, like=view.schema())
    assert here.check(view.schema()).where().equals(view.where()) and here.counts.sum() == 700
    np.testing.assert_array_equal(here.counts, view.update(later).counts[3:])
    # units that are no cells; factors that are others
    streets = Units(np.array(["a", "b"]), view.units.x[:2], view.units.y[:2], crs=view.units.crs)
    of = Terrain.from_events(later, streets, limit=3000.)
    assert np.array_equal(Terrain.from_events(later, like=of.schema(), limit=3000.).counts, of.counts)
    with pytest.raises(InputError, match="factors are none, and were bar, pub: give the same"): Terrain.from_events(later, like=view.schema())

def test_a_factor_that_can_not_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="^the factor pubs: there is no file .*pubs.csv"): Terrain.from_events(somewhere("2010-01-01", "2011-01-01", 700), units=500, factors={"bars": BARS, "pubs": tmp_path/"pubs.csv"})

def test_a_factor_of_a_card_tells_its_columns_and_its_system(tmp_path):
    events, true = somewhere("2010-01-01", "2011-01-01", 700), read_points(BARS, 32618)
    x, y = transform(BARS.lon.to_numpy(), BARS.lat.to_numpy(), 4326, 26985)
    pd.DataFrame(dict(Este=x, Norte=y)).to_csv(tmp_path/"bars.csv", index=False)
    pd.DataFrame(dict(longitud=BARS.lon, Latitud=BARS.lat)).to_csv(tmp_path/"bares.csv", index=False)
    def of(*factors): return Terrain.from_events(events, units=500, card=Card("here", factors=factors, path=tmp_path/"here.yaml"), period="M").factors
    told = of(Factor("bars", "bars.csv", x="Este", y="Norte", crs=26985), Factor("bares", "bares.csv"))
    for points in told.values(): np.testing.assert_allclose(points.xy, true.xy, atol=.01)
    for factor, says in ((Factor("bars", "bars.csv"), "no columns that are known to be places: name them as `x: …, y: …` there, out of Este, Norte"),
                         (Factor("bars", "bars.csv", x="Este", y="Norte"), "tell the system of Este and Norte as `crs: …` there")):
        with pytest.raises(InputError, match=f"^the factor bars: .*{says}"): of(factor)

def test_the_length_of_a_period_is_the_longest_that_there_is_enough_of():
    of = lambda since, until: lambda length: Terrain.from_events(somewhere(since, until, 2000), units=500, period=length)
    assert [longest(of("2010-01-01", until), 2).length for until in ("2012-01-01", "2011-07-01", "2010-07-01", "2010-02-01")] == ["Y", "6M", "3M", "M"]
    with pytest.raises(InputError, match="no whole period of M: take a shorter one, such as period=2W, or give more"): longest(of("2010-01-05", "2010-01-20"), 2)
    with pytest.raises(InputError, match="one whole year, and one is seen before.*such as period=6M"): asked(of("2010-01-01", "2011-01-01")("Y"))

@pytest.mark.parametrize("other, says", [(dict(bandwidths=(100, 300)), "bandwidths"), (dict(values="standardised"), "values"), (dict(kinds="distance"), "measures"),
                                         (dict(z=3.), "z"), (dict(kernel="quartic"), "kernel"), (dict(constants=("Const", "LogArea")), "constants"), (dict(length="365D"), "length")])
def test_a_view_with_other_columns_is_refused(other, says):
    with pytest.raises(InputError, match=says): replace(own(), **other).check(own().schema(), "the fit")

def test_swapped_factors_and_other_units_are_refused():
    view = own()
    with pytest.raises(InputError, match="factors, number 0: 'bar' there, 'pub' here"): replace(view, factors=dict(reversed(view.factors.items()))).check(view.schema())
    with pytest.raises(InputError, match="x differs"): replace(view, units=replace(view.units, x=view.units.x + 1)).check(view.schema())
    assert view.check(own().schema()) is view and view.ahead(2).check(view.schema()).names[-2:] == ["2013", "2014"]

def test_the_verbs_of_a_view():
    view = own()
    assert view.split() == (slice(0, 2), slice(2, 2), slice(2, 3)) == view.split(0, .1) and view.until(2).names == ["2010", "2011"]
    assert view.known == 3 and view.ahead().known == 3 and np.isnan(view.ahead().counts[3]).all()
    filled = view.ahead().filled([3], np.full(len(view.units), .5))
    assert filled.known == 4 and (filled.past(4, 2)[:, 1] == .5).all()
    frame = view.frame(view.observed([2]), [2])
    assert frame.period.unique().tolist() == [pd.Timestamp("2012-01-01")] and frame.expected.sum() == view.counts[2].sum() and frame.place.tolist() == view.places
    with pytest.raises(InputError, match="has not happened"): view.ahead().observed([3])
    with pytest.raises(InputError, match="no period before number 0 is known"): view.past(0)
    with pytest.raises(InputError, match="no factors"): replace(view, factors={}).design()
    assert view.design() is view.ahead().design()

def test_events_of_which_only_the_month_is_known_are_in_no_week():
    "Ten events a day at noon for twelve weeks, and thirty more known to a month only: by the month they count, by the week they don't."
    at = pd.date_range("2018-01-01", "2018-03-25 23:00", freq="2h24min").as_unit("s")
    rough = pd.to_datetime(["2018-01-01", "2018-02-01", "2018-03-01"]*10).as_unit("s")
    n = len(at) + len(rough)
    events = pd.DataFrame({"time": at.append(rough), "known_to": pd.Categorical([None]*len(at) + ["month"]*len(rough), ["month"]), "category": pd.Categorical(["theft"]*n), "premises": pd.Categorical(["street"]*n),
                           "area": pd.Categorical(["north"]*n), "lon": 13.4, "lat": 52.5, "x": np.nan, "y": np.nan}).sort_values("time", ignore_index=True)
    weeks = Terrain.from_events(events, 500., {}, None, "W")
    assert weeks.counts.sum(1).tolist() == [70]*12 and [*weeks.accounts.values()][0].dropped["time not known to the day"] == 30
    assert Terrain.from_events(events, 500., {}, None, "M").counts.sum(1)[0] == 320
    with pytest.raises(InputError, match="known to the month: count them by whole months"):
        Terrain.from_events(events[events.known_to.notna()], 500., {}, None, "W")
