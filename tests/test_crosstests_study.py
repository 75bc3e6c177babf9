"The cross-tests on tiny simulated cities: their rows, that nothing of the forecast time or of the other city leaks, and what is refused."
import numpy as np
import pandas as pd
import pytest
from cells import one_thread, run_cells  # noqa: F401

from crimenb.grids import HourlyMaps
from crimenb.lab import studies
from crimenb.core import InputError

TINY = dict(city_events=8000, passes=3, n_boot=20, trees=5, rules="kernel density", shares="1/4,1", years="2,4", cells="600,300")


@pytest.fixture(scope="module")
def honest(tmp_path_factory): return run_cells("crosstests", TINY, tmp_path_factory.mktemp("honest"))

@pytest.fixture(scope="module")
def result(honest): return studies.read_results(honest["out"])

def values(result, protocol, metric): return result[(result.protocol == protocol) & (result.metric == metric)].set_index("method").value

def test_every_protocol_has_its_trivial_rules_and_intervals(result):
    single = result[~result.protocol.str.endswith("paired")]
    assert set(single.protocol) == {"hour by hour", "period ahead", "period ahead, cells of 600 m", "period ahead, cells of 300 m", "weekly, by area",
                                    *(f"{what}, {share} of the history" for what in ("hourly", "popularity-100", "full") for share in ("1/4", "1")),
                                    *(f"street units, last {k} of 4 years" for k in (2, 4))}
    for protocol, rows in single.groupby("protocol"): assert "trivial" in set(rows.kind), protocol
    # where all blocks agree there is no interval
    for protocol, rows in result.groupby("protocol"): assert rows.low.notna().any(), protocol
    known = result[result.low.notna() | result.high.notna()]
    assert ((known.low <= known.value) & (known.value <= known.high)).all()
    assert result.printed.isna().all()                                 # no paper has them

def test_the_hour_by_hour_sum_of_the_last_hour_is_no_forecast(result, honest):
    # it is the time's own counts, an hour late
    maps, train = honest["maps"].counts, honest["train"]
    np.testing.assert_allclose(honest["walked"]["persistence"].sum(0), honest["observed"].sum(0) + maps[train - 1] - maps[-1])
    np.testing.assert_allclose(honest["foretold"]["persistence"], np.broadcast_to(maps[train - 1], honest["observed"].shape))
    assert values(result, "hour by hour", "PAI@10%")["persistence"] > values(result, "period ahead", "PAI@10%")["persistence"] + .1

def test_a_map_of_equal_cells_has_a_pai_of_one(result):
    for protocol in ("hour by hour", "period ahead", "period ahead, cells of 600 m"):
        assert values(result, protocol, "PAI@5%")["all cells alike"] == pytest.approx(1)

def test_plain_counts_are_the_same_in_both_protocols(result):
    for name in ("last fortnight's counts", "all counts so far"):
        assert values(result, "hour by hour", "PAI@5%")[name] == values(result, "period ahead", "PAI@5%")[name]

def test_pairs_are_differences_of_the_rows(result):
    pairs = result[result.protocol.str.endswith(", paired")]
    assert len(pairs) > 40 and (pairs.protocol == "weekly, by area, paired").any()
    for row in pairs.itertuples():
        a, b = row.method.split(" minus ")
        single = values(result, row.protocol.removesuffix(", paired"), row.metric)
        assert row.value == pytest.approx(single[a] - single[b], abs=1e-9)

def changed(monkeypatch, change):
    "The maps of the city where the test is, which are made first, have other counts."
    made, called = HourlyMaps.from_events.__func__, []
    def other(cls, *args, **kwargs):
        maps = made(cls, *args, **kwargs)
        if not called: change(maps.counts)
        called.append(1)
        return maps
    monkeypatch.setattr(HourlyMaps, "from_events", classmethod(other))

def test_no_forecast_known_at_its_start_changes_when_the_future_does(monkeypatch, honest, tmp_path):
    hours = honest["run"].test_hours
    def poison(counts): counts[-hours:] = 3 + counts[-hours:][::-1]
    changed(monkeypatch, poison)
    other = run_cells("crosstests", TINY, tmp_path, until="foretold")
    assert len(honest["foretold"]) == 11 and not np.array_equal(honest["observed"], other["observed"])
    for name, forecast in honest["foretold"].items(): np.testing.assert_array_equal(forecast, other["foretold"][name], err_msg=name)
    assert not np.array_equal(honest["walked"]["persistence"], other["walked"]["persistence"])

def test_a_model_from_elsewhere_has_seen_nothing_of_here(monkeypatch, honest, tmp_path):
    def turn(counts): counts[:] = counts[::-1].copy()
    changed(monkeypatch, turn)
    other = run_cells("crosstests", TINY, tmp_path, until="foreign")
    coefficients = lambda space, name: space[name].regression.estimator_.coef_
    np.testing.assert_array_equal(coefficients(honest, "foreign"), coefficients(other, "foreign"))
    assert not np.allclose(coefficients(honest, "own"), coefficients(other, "own"))
    for a, b in zip(honest["foreign"].network.network_.parameters(), other["foreign"].network.network_.parameters()): assert (a == b).all()

@pytest.mark.parametrize("profile", ["smoke", "cpu", "paper"])
@pytest.mark.parametrize("dataset", ["city", "chicago_2018", "nyc_2015h2", "nyc16", "chi18", "dc_rtm"])
def test_profiles_give_every_parameter(profile, dataset):
    found = studies.resolve("crosstests", dict(profile=profile, dataset=dataset))
    assert found["years"].endswith("6" if dataset == "dc_rtm" else "4") and found["test_hours"] % 24 == 0 and (profile == "smoke" or found["shares"] == "1/8,1/4,1/2,1")

@pytest.mark.parametrize("wrong, words", [(dict(shares="1/8,half"), "no share"), (dict(shares="2,1"), "above 0"), (dict(shares="1/2"), "must be 1"), (dict(test_hours=100), "whole days"),
                                          (dict(dataset="dc_rtm", rules="area"), "rule for street units")])
def test_wrong_parameters_are_refused(wrong, words, tmp_path):
    with pytest.raises(InputError, match=words): run_cells("crosstests", TINY | wrong, tmp_path, until="here")
