"Rules of other libraries: each forecast is the library's own, of nothing but the past; what all models must do is tested in test_models_areas and test_models_terrain."
import subprocess
import sys

import numpy as np
import pytest

from crimenb import city
from crimenb.baselines import area_panel, peers
from crimenb.core import InputError
from crimenb.models import catalogue
from crimenb.panels import Panel, category_groups
from crimenb.terrain import from_city


@pytest.fixture(scope="module")
def panel():
    events, _ = city.simulate(4_000, days=280, seed=5, n_areas=4, n_premises=5)
    return Panel.from_events(events, group=category_groups(events["category"].cat.categories))

@pytest.fixture(scope="module")
def places():
    events, made = city.simulate(3_000, days=730, seed=2, side=20)
    return from_city(events, made, bandwidths=(100, 200))

def theirs(name):
    from statsforecast import models
    return {"Croston": models.CrostonClassic(), "TSB": models.TSB(alpha_d=.3, alpha_p=.05), "AutoETS": models.AutoETS(season_length=1)}[name]

@pytest.mark.parametrize("name", peers.rules())
def test_the_forecast_is_statsforecasts_of_the_weeks_before(panel, name):
    parts = panel.split()
    rule = peers.rules()[name](**({"size": .3, "chance": .05} if name == "TSB" else {})).fit(panel, parts.train)
    said = rule.predict(panel, parts.test)
    for k, t in enumerate(range(*parts.test.indices(len(panel)))):
        for a in range(len(panel.areas)):
            for c in range(len(panel.categories)):
                alone = theirs(name).forecast(y=panel.counts[:t, a, c].astype(float), h=1)["mean"][0]
                assert np.isclose(said[k, a, c], max(alone, area_panel.SMALLEST))

def test_with_slots_a_series_is_of_one_slot():
    events, _ = city.simulate(6_000, days=280, seed=5, n_areas=4, n_premises=5)
    panel = Panel.from_events(events, slots=4, group=category_groups(events["category"].cat.categories))
    t = len(panel) - 6
    past = peers.Croston()._past(panel, t)
    assert past.shape == (len(panel.areas)*len(panel.categories), t//4)
    assert np.array_equal(past.reshape(len(panel.areas), -1, t//4)[2, 1], panel.counts[t % 4:t:4, 2, 1])

def test_the_statistics_are_esdas_and_more_of_them_is_never_less_risk(places):
    from esda.getisord import G_Local
    from esda.moran import Moran_Local
    from libpysal.weights import KNN
    past = places.past(1)
    y, near = past[:, 0].astype(float), KNN.from_array(np.column_stack([places.units.x, places.units.y]), k=8)
    moran = Moran_Local(y, near, permutations=0)
    for model, statistic in ((peers.GetisOrd(), G_Local(y, near, transform="B", permutations=0, star=True).Zs), (peers.LocalMoran(), np.where(moran.q == 1, moran.Is, 0))):
        model.fit(places, slice(0, 1))
        np.testing.assert_allclose(model._hot(places, past), statistic)
        expected = model.predict(places, 1)[0]
        order = np.argsort(statistic, kind="stable")
        assert (np.diff(expected[order]) >= 0).all() and np.isclose(expected.sum(), y.sum()) and expected[order[-1]] > 2*expected[order[0]]

@pytest.mark.parametrize("wrong", [lambda p, s: peers.TSB(size=2).fit(p, p.split().train), lambda p, s: peers.AutoETS(season=0).fit(p, p.split().train),
                                   lambda p, s: peers.GetisOrd(neighbours=0).fit(s, slice(0, 1)), lambda p, s: peers.LocalMoran(neighbours=10_000).fit(s, slice(0, 1))])
def test_settings_that_make_no_sense(panel, places, wrong):
    with pytest.raises(InputError, match="must be"): wrong(panel, places)

def test_where_the_libraries_are_missing_one_sentence_says_which_extra_brings_them(monkeypatch, panel, places):
    for name in ("statsforecast", "libpysal", "esda"): monkeypatch.setitem(sys.modules, name, None)
    for name in [m for m in sys.modules if m.startswith(("statsforecast.", "libpysal.", "esda."))]: monkeypatch.delitem(sys.modules, name)
    for make in (lambda: peers.Croston().fit(panel, panel.split().train), lambda: peers.GetisOrd().fit(places, slice(0, 1))):
        with pytest.raises(InputError, match=r"this needs (statsforecast|libpysal): pip install 'crimenb\[peers\]'"): make()

def test_studies_know_their_names_and_loading_the_module_loads_none_of_the_libraries():
    assert set(peers.rules()) < set(catalogue("Panel")) and {"Gi*", "local Moran"} < set(catalogue("Terrain"))
    code = "import sys; from crimenb.models import catalogue; catalogue('Panel')['Croston']; print([m for m in ('statsforecast', 'esda', 'libpysal', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
