"""The stopwatch of a model that serves."""
import time

import numpy as np
import pytest

from crimenb import city, panels
from crimenb.lab import real_time
from crimenb.papers import parallel

def test_the_time_is_that_of_the_call_and_what_it_gives_comes_back():
    seconds, given = real_time.clocked(lambda: time.sleep(.02) or "done")
    assert given == "done" and .02 <= seconds < 5

def test_quantiles_of_known_times_lie_in_their_intervals():
    fast, slow = real_time.quantile_rows("a forecast", [.001]*98 + [.1, .2], np.random.default_rng(0))
    assert fast["metric"] == "seconds of a forecast, p50" and fast["value"] == .001
    # all draws say the same: no interval
    assert np.isnan([fast["low"], fast["high"]]).all()
    assert slow["value"] == pytest.approx(np.quantile([.001]*98 + [.1, .2], .99)) and 0 <= slow["low"] <= slow["value"] <= slow["high"]
    assert slow["n"] == slow["blocks"] == 100

def test_a_served_model_knows_its_events_after_a_restart(tmp_path):
    events, truth = city.simulate(1500, 140, seed=1, start="2018-01-01", n_areas=4)
    cut = np.datetime64("2018-05-07")
    panel = panels.Panel.from_events(events[events.time < cut], group=panels.category_groups(events.category.cat.categories), places=panels.city_places(truth), start="2018-01-01", end=cut)
    parts = panel.split()
    model = parallel.MODELS["DNN"](epochs=1, device="cpu").fit(panel, parts.train, parts.valid)
    later = events[events.time >= cut].head(5)
    stream = [dict(record_id=str(i), time=e.time.isoformat(), area=str(e.area), category=str(e.category)) for i, e in enumerate(later.itertuples())]
    found = real_time.served(model, panel, stream, tmp_path, "DNN")
    assert len(found.event) == len(found.forecast) == len(found.network) == 5 and found.known == 1 and found.same and found.restart > 0
    # the network alone gives what the forecast rests on: one line an area
    assert len(real_time.network_alone(model, panel)()) == 4
    # an event that was taken before is no new one
    with pytest.raises(RuntimeError, match="did not count"): real_time.served(model, panel, [stream[0], stream[0]], tmp_path, "again")
