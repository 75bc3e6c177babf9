"The study of forecasts in use: every event is known after a restart, times are quantiles, and the loop's tables agree with each other."
import json

import pytest

import cells
from cells import one_thread
from crimenb.lab import studies
from crimenb.core import InputError

@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    given = dict(models="DNN", city_events=1500, areas=4, forecasts=20, loop_events=3000, loop_days=98, loop_seeds=2, residents="0.5,0", allocations="top")
    space = cells.run_cells("deployment", given, tmp_path_factory.mktemp("deployment"))
    result = json.loads(space["run"].path(".json").read_text())
    assert studies.validate(result)
    return result["rows"]

def test_half_of_the_times_lie_below_p50_and_nearly_all_below_p99(rows):
    value = {r["metric"]: r["value"] for r in rows if r["protocol"] == "real time" and r["method"] == "DNN"}
    for what in ("an event", "a forecast", "the network alone"): assert 0 < value[f"seconds of {what}, p50"] <= value[f"seconds of {what}, p99"]
    assert value["seconds of the network alone, p50"] < value["seconds of a forecast, p50"]
    assert value["share of events known after a restart"] == 1 and value["seconds of a restart"] > 0
    assert any(r["method"] == "historical mean" and r["kind"] == "trivial" for r in rows if r["protocol"] == "real time")

def test_the_loop_has_its_noise_its_rules_and_both_worlds(rows):
    loops = {r["protocol"] for r in rows if r["protocol"].startswith("loop")}
    assert loops == {"loop, residents report 0.5, patrols top", "loop, residents report 0, patrols top"}
    for protocol in loops:
        kinds = {r["method"]: r["kind"] for r in rows if r["protocol"] == protocol}
        assert kinds == {"all events": "noise", "even patrols": "trivial", "reported only": "trivial", "records": "practitioner", "random patrols": "ours", "weighted": "ours"}
        late = {r["method"]: r["value"] for r in rows if r["protocol"] == protocol and r["split"] == "last quarter" and r["metric"] == "distance of the forecast from the truth"}
        assert late["all events"] < late["records"] and all(0 <= v <= 1 for v in late.values())
        assert {r["split"] for r in rows if r["protocol"] == protocol} == {"last quarter", "week 8", "week 12", "week 13"}

@pytest.mark.parametrize("wrong, word", [(dict(models="CNN"), "model"), (dict(allocations="all"), "allocation"), (dict(residents="many"), "residents"), (dict(forecasts=3), "forecasts")])
def test_what_cannot_be_run_is_refused_in_one_sentence(wrong, word, tmp_path):
    with pytest.raises(InputError, match=word): cells.run_cells("deployment", wrong, tmp_path)
