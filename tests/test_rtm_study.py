"The study rtm on a tiny simulated city: its rows, its settings, and that no forecast sees the future."
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cells import run_cells

from crimenb import terrain
from crimenb.lab import studies
from crimenb.core import InputError

TINY = dict(side=16, city_events=1500, sizes="500", cities=1, starts=5, resamples=5, n_boot=20, trees=5, methods="uniform,last counts,kernel density,random forest,shrunk counts")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    space = run_cells("rtm", dict(TINY, loop_steps=30), tmp_path_factory.mktemp("runs"))
    return pd.DataFrame(studies.validate(json.loads(space["run"].path(".json").read_text()))["rows"])


def test_every_method_has_every_measure_with_its_convention(rows):
    main = rows[(rows.protocol == "units, count") & (rows.split == "test")]
    methods = {"uniform", "last counts", "kernel density", "random forest", "shrunk counts", "post's RTM", "post's RTM, picked by deviance",
               "post's RTM, plain loop, seed 10", "post's RTM, plain loop, seed 12", "true rates"}
    assert set(main.method) == methods
    for metric in ("hit rate", "PAI", "PEI", "RRI"):
        for share in ("1%", "2%", "5%"): assert set(main[main.metric == f"{metric}@{share}"].method) == methods
    assert set(rows[rows.metric == "Poisson deviance"].method) == methods
    # cells have one area: no convention by area or density is made up
    assert not rows.protocol.str.contains("area, |density").any()
    kinds = rows.drop_duplicates(["method", "kind"]).set_index("method").kind
    assert kinds["true rates"] == "noise" and kinds["uniform"] == "trivial" and kinds["post's RTM"] == "paper" and kinds["shrunk counts"] == "ours" and kinds["last counts"] == "trivial"
    assert rows.printed.isna().all()                                   # the post prints nothing about this city

def test_pairs_are_differences_of_the_rows(rows):
    value = rows[rows.protocol == "units, count"].set_index(["method", "metric"]).value
    pairs = rows[rows.protocol == "units, count, paired"]
    assert {"shrunk counts minus last counts", "shrunk counts minus random forest", "post's RTM minus last counts"} <= set(pairs.method)
    for row in pairs.itertuples():
        a, b = row.method.split(" minus ")
        assert row.value == pytest.approx(value[a, row.metric] - value[b, row.metric]) and row.low <= row.value <= row.high

def test_shares_of_picks_and_of_the_planted_are_shares(rows):
    picks = rows[rows.metric.str.startswith("share that picks")]
    sums = picks.groupby(["protocol", picks.metric.str.extract(r"\((.*)\)$")[0]]).value.sum()
    assert set(picks.protocol) == {"bootstrap over units", "uniform starts", "plain loop, seeds"} and len(sums) == 12 and np.allclose(sums, 1)
    loops = rows[(rows.protocol == "plain loop, seeds") & ~rows.metric.str.startswith("share that picks")].set_index("metric").value
    assert len(loops) == 3 and loops[loops.index.str.startswith("share with all")].between(0, 1).all()
    found = rows[rows.protocol == "simulated, 500 events"]
    assert set(found.metric) == {"planted picks found", "planted generators found", "sets without effect picked"} and found.value.between(0, 1).all()
    assert set(found.method) == {"classic RTM", "group lasso", "post's RTM", "post's RTM, one uniform start", "post's RTM, picked by deviance"}
    share = found.pivot(index="method", columns="metric", values="value")
    assert (share["planted picks found"] <= share["planted generators found"]).all()

def test_no_forecast_changes_when_the_future_does(monkeypatch, tmp_path):
    def forecasts():
        space = run_cells("rtm", TINY, tmp_path, until="forecasts")
        return space["forecasts"], space["observed"]
    honest, seen = forecasts()
    whole = terrain.from_city
    def poisoned(*args, **settings):
        view = whole(*args, **settings)
        return replace(view, counts=np.vstack([view.counts[:1], 7*view.counts[1:, ::-1] + 100]))
    monkeypatch.setattr(terrain, "from_city", poisoned)
    other, unseen = forecasts()
    assert not np.array_equal(seen, unseen) and set(honest) == set(other)
    for name in honest: np.testing.assert_array_equal(honest[name], other[name], err_msg=name)

@pytest.mark.parametrize("profile", ["smoke", "cpu", "paper"])
def test_profiles_name_periods_that_are_there(profile):
    whole = {"city": ["1", "2"], "dc_rtm": ["2011", "2012", "2013"], "nyc_rtm": [str(year) for year in range(2006, 2023)]}      # New York's 2023 ends in June
    for dataset, periods in whole.items():
        values = studies.resolve("rtm", dict(profile=profile, dataset=dataset))
        first, last = values["past"].split()
        assert {first, last, values["future"]} <= set(periods) and first <= last < values["future"] and values["source"] == "years"
    assert studies.resolve("rtm", dict(profile="paper", dataset="dc_rtm"))["loop_steps"] == 10_000

def test_two_sources_are_never_mixed(tmp_path):
    with pytest.raises(InputError, match="unknown source 'years,wards'"): run_cells("rtm", TINY | {"dataset": "dc_rtm", "source": "years,wards"}, tmp_path)
