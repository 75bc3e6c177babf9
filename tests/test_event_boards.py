"""The tables of the CrimeAlarm paper from made-up result files: budgets, peers, seeds, and what stands in the recorded ones."""
import json

import pandas as pd
import pytest

from crimenb.lab import event_boards as boards


def a_file(folder, seed, values, epochs=20, **settings):
    "A result file of one run: (method, protocol, metric) -> value."
    p = {"epochs": epochs, "max_tokens": 2000, "batch": 256, "reading": "paper", "encoder": "Transformer", "peers": 2, "alpha": 5., "gamma": 1., "beta": 1., "seed": seed} | settings
    rows = [{"method": m, "kind": "paper" if m.startswith("CrimeAlarm") else "trivial" if m == "spot counts" else "baseline", "protocol": protocol, "split": "test", "metric": metric,
             "value": v, "low": v - .01, "high": v + .02, "n": 9, "printed": .5 if m == "CrimeAlarm" else .4 if m == "Transformer" else None} for (m, protocol, metric), v in values.items()]
    result = {"study": "crimealarm", "profile": "cpu", "dataset": "nyc16", "data_sha256": {"nyc16.txt": "0"}, "seed": seed, "parameters": p, "versions": {}, "commit": None,
              "device": "cpu", "seconds": 1., "peak_memory_bytes": 1, "rows": rows}
    (folder / f"crimealarm-cpu-nyc16-s{seed}-{epochs}-{len(rows)}-{settings.get('masks', '')}.json").write_text(json.dumps(result))


def at5(**values): return {(m.replace("_2", ", peer 2").replace("_", " "), "popularity-100", "NDCG@5"): v for m, v in values.items()}


def test_runs_of_one_setting_are_pooled_although_early_ones_lack_a_parameter(tmp_path):
    a_file(tmp_path, 0, at5(Transformer=.40))
    a_file(tmp_path, 0, at5(CrimeAlarm=.41, CrimeAlarm_2=.43))
    a_file(tmp_path, 1, at5(Transformer=.42, CrimeAlarm=.42, CrimeAlarm_2=.42), masks="chance", in_time="")
    a_file(tmp_path, 2, at5(Transformer=.42, CrimeAlarm=.50, CrimeAlarm_2=.50), masks="exact")
    found = boards.gains(boards.recorded(tmp_path), protocols=["popularity-100"]).set_index("seeds")
    # seeds 0 and 1 differ by .02 and 0: their mean is .01, and its interval reaches 12.706·.01 to both sides
    two = found.loc[2]
    assert two["difference"] == pytest.approx(.01) and two["high"] == pytest.approx(.01 + .01*12.7062, abs=1e-5) and two["printed"] == pytest.approx(.1)
    assert found.loc[1, "difference"] == pytest.approx(.08) and pd.isna(found.loc[1, "low"])


@pytest.mark.parametrize("seeds, low, high, printed, says", [(1, float("nan"), float("nan"), .04, "with one seed, so without an interval"), (3, -.02, .03, .04, "printed +0.040 lies outside"),
                                                                    (3, -.02, .05, .04, "printed +0.040 lies inside"), (3, -.02, .05, float("nan"), "(-0.020 to +0.050, 3 seeds); nothing is printed.")])
def test_the_verdict_is_one_sentence(seeds, low, high, printed, says):
    line = pd.Series({"dataset": "nyc16", "epochs": 20, "method": "CrimeAlarm", "difference": .01, "seeds": seeds, "low": low, "high": high, "printed": printed})
    assert says in boards.verdict(line)


def test_a_table_takes_the_budget_with_most_entries_and_averages_peers_and_seeds(tmp_path):
    a_file(tmp_path, 0, at5(CrimeAlarm=.9, Transformer=.9) | {("spot counts", "popularity-100", "NDCG@5"): .7}, epochs=200)
    a_file(tmp_path, 0, at5(CrimeAlarm=.40, CrimeAlarm_2=.42, Transformer=.39, GRU=.30))
    a_file(tmp_path, 1, at5(CrimeAlarm=.44, CrimeAlarm_2=.46))
    runs = boards.recorded(tmp_path)
    table = boards.table(runs, "table3", "nyc16", "popularity-100")
    assert list(table.index) == ["spot counts", "CrimeAlarm", "Transformer", "GRU"]
    line = table.loc["CrimeAlarm"]
    assert line["NDCG@5"] == .43 and (line["low"], line["high"], line["seeds"]) == (.39, .48, "2") and table.loc["spot counts", "seeds"] == ""
    assert boards.heading(runs, "table3", "nyc16") == "table3, nyc16: cpu, 20 epochs, 2000 tokens a batch; seeds 0, 1; missing: CrimeAlarm encoder=GRU, TCN, CrimeAlarm encoder=TCN"
    assert "not run yet" in boards.heading(runs, "figure7", "chi18")


def test_protocols_are_only_compared_within_runs_that_have_all_of_them(tmp_path):
    first, second = "popularity-100", "popularity-100, seen first"
    less = "NDCG@5 less smoothed counts"
    a_file(tmp_path, 0, {("GRU", first, less): -.2})
    a_file(tmp_path, 1, {("GRU", first, less): -.1, ("GRU", second, less): .0})
    found = boards.against_counting(boards.recorded(tmp_path), (first, second))
    assert found.loc[("nyc16", "GRU", "20", first), ["value", "seeds"]].tolist() == [-.1, 1] and len(found) == 2


def test_an_ablation_is_not_taken_for_the_whole(tmp_path):
    a_file(tmp_path, 0, {("CrimeAlarm lacks=NC", "full", "NDCG@5"): .2, ("CrimeAlarm", "full", "NDCG@5"): .1})
    a_file(tmp_path, 0, {("CrimeAlarm", "full", "NDCG@5"): .3}, reading="nontarget", masks="chance")
    rows, _, missing = boards.found(boards.recorded(tmp_path), "figure3", "nyc16")
    # the code's way with non-targets is the paper's ablation
    assert rows.set_index("entry")["value"].to_dict() == {"CrimeAlarm": .1, "CrimeAlarm lacks=NC": .2, "CrimeAlarm lacks=CNC": .3}
    assert missing == ["CrimeAlarm lacks=CTC", "CrimeAlarm lacks=TC"]
