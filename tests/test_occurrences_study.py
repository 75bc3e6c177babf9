"The study of any crime or none: months that are made or read, the rule they are judged beside, and nothing seen too early."
import json

import numpy as np
import pytest

import cells
from cells import one_thread
from crimenb.lab import area_networks, studies, weekly
from crimenb.baselines.area_panel import f1_scores, occurrences
from crimenb.core import InputError
from crimenb.panels import read_hagen

RULES_ONLY = dict(models="", rules="historical mean,last week")

def run_cells(given, out, see=lambda space: None):
    "The rows of the study; `see` gets the variables that it leaves behind."
    space = cells.run_cells("occurrences", given, out)
    see(space)
    result = json.loads(space["run"].path(".json").read_text())
    assert studies.validate(result)
    return result["rows"]

def values(rows, protocol): return {(r["method"], r["metric"]): r["value"] for r in rows if r["protocol"] == f"occurrence, {protocol}"}

def test_the_mean_of_months_and_its_intervals_beside_noise_and_rule(tmp_path):
    rows = run_cells(dict(models="LSTMCrimeNet,GAT+TCN", epochs=1), tmp_path)
    kinds = {r["method"]: r["kind"] for r in rows}
    assert {"training rate": "trivial", "historical mean": "trivial", "expected by the truth": "noise", "LSTMCrimeNet": "paper", "GAT+TCN": "paper"}.items() <= kinds.items()
    early, late, mean = (values(rows, p) for p in ("30 steps before", "the last month", "mean of 2 months"))
    assert len(mean) == 2*len(kinds) and all(v == pytest.approx((early[k] + late[k])/2) and early[k] != late[k] for k, v in mean.items())
    assert all(r["low"] <= r["value"] <= r["high"] and r["printed"] is None for r in rows)
    # two months say more than one
    width = {p: [r["high"] - r["low"] for r in rows if (r["protocol"], r["method"], r["metric"]) == (f"occurrence, {p}", "training rate", "micro-F1")][0] for p in ("the last month", "mean of 2 months")}
    assert width["mean of 2 months"] < width["the last month"]
    less = values(rows, "mean of 2 months, less the training rate")
    assert less["GAT+TCN", "micro-F1"] == pytest.approx(mean["GAT+TCN", "micro-F1"] - mean["training rate", "micro-F1"]) and ("training rate", "micro-F1") not in less
    # who knows the chances is ahead over all answers
    assert mean["expected by the truth", "micro-F1"] > mean["training rate", "micro-F1"]

def hagens(folder, months, seed=0, late=None):
    "Made-up months in the form of HAGEN's: series that grow by 30 steps a month, areas that differ; `late` changes the last steps of the last."
    series = np.random.default_rng(seed).random((8 + 60 + 15 + 30*len(months), 6, 4)) < np.linspace(.1, .8, 24).reshape(6, 4)
    series = series.astype("float32")
    for k, month in enumerate(months):
        (folder/str(month)).mkdir(parents=True)
        s = series[:len(series) - 30*(len(months) - 1 - k)].copy()
        if late is not None and k == len(months) - 1: s[-30:] = late
        x, y = np.stack([s[i:i + 8] for i in range(len(s) - 8)]), s[8:, None]
        ends = [0, len(x) - 45, len(x) - 30, len(x)]
        for name, a, b in zip(("train", "val", "test"), ends, ends[1:]): np.savez(folder/str(month)/f"{name}.npz", x=x[a:b], y=y[a:b])
    return {month: {f"{name}.npz": folder/str(month)/f"{name}.npz" for name in ("train", "val", "test")} for month in months}

def test_the_authors_months_are_read_from_a_folder_in_the_order_of_their_numbers(tmp_path):
    files = hagens(tmp_path/"months", (8, 9, 10))
    (tmp_path/"months"/"notes").mkdir()
    seen = {}
    rows = run_cells(RULES_ONLY | dict(dataset="hagen_la", folder=str(tmp_path/"months")), tmp_path/"out", seen.update)
    assert list(seen["series"]) == ["month 8", "month 9", "month 10"] and len(seen["run"].data_sha256) == 9
    for month, of in files.items():
        panel, parts = read_hagen(of)
        rule = f1_scores(occurrences(panel, slice(0, parts.train.stop), parts.test), panel.counts[parts.test])
        assert {m: values(rows, f"month {month}")["training rate", m] for m in rule} == pytest.approx(rule)

def test_a_month_does_not_see_the_months_after_it(tmp_path):
    found = []
    for name, late in (("as it is", None), ("all", 1), ("none", 0)):
        hagens(tmp_path/name, (8, 9), late=late)
        found.append(run_cells(dict(dataset="hagen_la", folder=str(tmp_path/name), models="LSTMCrimeNet", rules="historical mean,recent mean", epochs=1), tmp_path/f"{name} out"))
    months = [(values(rows, "month 8"), values(rows, "month 9")) for rows in found]
    assert months[0][0] == months[1][0] == months[2][0] and len({m[1]["training rate", "micro-F1"] for m in months}) == 3

def test_made_months_are_cut_off_after_their_test_steps(tmp_path):
    seen = {}
    run_cells(RULES_ONLY | dict(months=3, city_days=160), tmp_path, seen.update)
    whole, _ = seen["whole"]
    for k, (panel, parts) in zip((2, 1, 0), seen["series"].values()):
        assert parts.test.stop == len(panel) == 160 - 30*k and (parts.test.start, parts.valid.start, parts.train.start) == (130 - 30*k, 115 - 30*k, 8)
        assert (panel.counts == np.minimum(whole.counts[:len(panel)], 1)).all()
    # what comes after a month is not there to be seen
    other = whole.counts.copy(); other[-30:] = 99
    space = {}
    for counts in (whole.counts, other):
        whole.counts = counts
        cut, parts = weekly.month_before(whole, seen["series"]["the last month"][1], 1)
        space[len(space)] = area_networks.occurrence_forecasts(area_networks.AreaNetworks(seen["run"], cut, parts, graph="alike"), seen["models"], seen["rules"])[0]
    assert all((a[1] == b[1]).all() for a, b in zip(space[0].values(), space[1].values()))

@pytest.mark.parametrize("name, five, bar", [("hagen_chicago", (.6445, .709), (.654, .708)), ("hagen_la", (.532, .628), (.521, .623))])
def test_hagens_series_beside_the_means_that_others_have(fetched, tmp_path, name, five, bar):
    "Others' means are of months 8 to 12; these five end with the eighth, so that the two need not be equal."
    rows = run_cells(RULES_ONLY | dict(dataset=name, months=5), tmp_path)
    mean = values(rows, "mean of 5 months")
    found = mean["training rate", "macro-F1"], mean["training rate", "micro-F1"]
    assert found == pytest.approx(five, abs=.001) and found == pytest.approx(bar, abs=.015)

@pytest.mark.parametrize("wrong, word", [(dict(models="CNN"), "model"), (dict(rules="oracle"), "rule"), (dict(months=0), "months"), (dict(months=9), "ask for fewer"),
                                         (dict(folder="."), "name the city"), (dict(dataset="hagen_la", folder="none"), "named by a number")])
def test_what_cannot_be_run_is_refused_in_one_sentence(wrong, word, tmp_path):
    with pytest.raises(InputError, match=word): run_cells(wrong, tmp_path)

def test_every_profile_has_every_city_and_more_than_smoke_has_five_months():
    for profile in ("smoke", "cpu", "paper"):
        for dataset in ("city", "hagen_chicago", "hagen_la"):
            found = studies.resolve("occurrences", {"profile": profile, "dataset": dataset})
            assert found["folder"] == "" and (profile == "smoke" or found["months"] == 5)
