"crimenb.lab.boards: means and paired differences over seeds."
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crimenb.core import InputError
from crimenb.lab import boards

def runs(values, **changes):
    "A row a seed and method: method -> one value a seed."
    row = dict(dataset="chi18", data_sha256={}, protocol="full", split="test", metric="NDCG@5", kind="paper") | changes
    return pd.DataFrame([dict(row, method=method, seed=seed, file=f"{row['dataset']}-{seed}.json", parameters={"seed": seed, "epochs": 20}, value=value, low=value - .01, high=value + .03)
                         for method, each in values.items() for seed, value in enumerate(each, 1) if value is not None])

A, B = [.40, .43, .38, .41, .42], [.41, .45, .39, .415, .44]

def test_the_interval_is_that_of_a_paired_t_test():
    table = boards.over_seeds(runs({"Transformer": A, "CrimeAlarm": B}), "NDCG@5", "Transformer").set_index("method")
    right = stats.ttest_rel(B, A).confidence_interval(.95)
    found = table.loc["CrimeAlarm"]
    assert [found.low, found.high] == pytest.approx([right.low, right.high]) and found.difference == pytest.approx(np.mean(B) - np.mean(A)) and found["mean"] == pytest.approx(np.mean(B))
    assert found["seeds ±"] == pytest.approx(stats.t.ppf(.975, 4)*np.std(B, ddof=1)/5**.5) and found["cases ±"] == pytest.approx(.02) and found.seeds == found.pairs == 5
    assert table.loc["Transformer", ["difference", "low", "high"]].isna().all()

def test_only_seeds_that_both_have_are_paired_and_one_seed_has_no_interval():
    table = boards.over_seeds(runs({"Transformer": A, "GRU": [.5, .5, None, None, None], "TCN": [.3] + [None]*4}), "NDCG@5", "Transformer").set_index("method")
    assert table.loc["GRU", ["seeds", "pairs"]].tolist() == [2, 2] and table.loc["GRU", "difference"] == pytest.approx(.5 - .415)
    assert table.loc["TCN", "difference"] == pytest.approx(-.1) and np.isnan(table.loc["TCN", "low"]) and np.isnan(table.loc["TCN", "seeds ±"])

def test_data_sets_protocols_and_settings_stay_apart():
    both = pd.concat([runs({"a": A, "b": B}), runs({"a": B, "b": A}, dataset="nyc16"), runs({"a": A, "b": A}, protocol="popularity-100")])
    table = boards.over_seeds(both, "NDCG@5", "a")
    assert len(table) == 6 and table[table.method == "b"].set_index(["dataset", "protocol"]).difference.round(4).to_dict() == {("chi18", "full"): .013, ("nyc16", "full"): -.013, ("chi18", "popularity-100"): 0}
    assert set(boards.over_seeds(both, "NDCG@5", "a", ["full"]).protocol) == {"full"}
    longer = runs({"a": A, "b": B}).assign(parameters=[{"seed": 0, "epochs": 8}]*10, file=[f"long{i}.json" for i in range(10)])
    assert boards.over_seeds(pd.concat([both, longer]), "NDCG@5", "a", ["full"]).query("dataset == 'chi18'").setting.nunique() == 2

def test_a_rule_has_the_same_number_in_all_runs():
    table = boards.over_seeds(pd.concat([runs({"net": A}), runs({"rule": [.4]*5}, kind="trivial")]), "NDCG@5", "rule").set_index("method")
    assert table.loc["net", "difference"] == pytest.approx(np.mean(A) - .4) and table.loc["rule", "seeds ±"] == 0

def test_an_unknown_reference_is_one_sentence():
    with pytest.raises(InputError, match="no run has NDCG@5 of HAIL"): boards.over_seeds(runs({"a": A}), "NDCG@5", "HAIL")

LINES = pd.DataFrame([("net", "paper", .5, .4, .7), ("rule", "trivial", .25, None, None)], columns=["method", "kind", "value", "low", "high"]).assign(protocol="p", split="test", metric="RMSE")

def test_a_number_is_written_with_its_interval_if_it_has_one():
    assert boards.spelled(LINES) == ["0.500 (0.400 to 0.700)", "0.250"] and boards.spelled(LINES, "+.1f")[0] == "+0.5 (+0.4 to +0.7)"

def test_a_bar_ends_at_its_value_in_the_colour_of_its_kind():
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import colors, pyplot as plt
    figure, axis = plt.subplots()
    boards.bars(axis, LINES)
    bars = axis.patches
    assert [bar.get_width() for bar in bars] == [.5, .25] and [t.get_text() for t in axis.get_yticklabels()] == ["net", "rule"]
    assert [colors.to_hex(bar.get_facecolor()) for bar in bars] == [boards.KIND_COLOURS[k] for k in ("paper", "trivial")]
    [ends] = [[s.tolist() for s in c.get_segments()] for c in axis.collections]
    assert [[x for x, _ in s] for s in ends] == [[.4, .7], [.25, .25]]
    plt.close(figure)

def test_a_board_goes_by_kind_or_by_value():
    assert boards.board(LINES, "p", "RMSE", [], ("paper", "trivial")).index.tolist() == ["net", "rule"]
    assert boards.board(LINES, "p", "RMSE", []).index.tolist() == ["rule", "net"]
    assert boards.board(LINES.assign(value=1/3), "p", "RMSE", [], digits=1)["RMSE"].tolist() == [.3, .3]

def test_a_claim_is_a_row():
    row = boards.claim_row("hours come first", "refuted", 12)
    assert row == dict(metric="hours come first (1 supported, 0 undecided, -1 refuted)", value=-1., low=None, high=None, n=12)
    with pytest.raises(InputError, match="verdict"): boards.claim_row("hours come first", "maybe", 12)
