"""crimenb.sequences: by hand, by property, and on the paper's own files."""
import os
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crimenb.core import InputError
from crimenb.sequences import (PREPARATIONS, UNKNOWN, Sequences, candidates, from_events, gather, last_windows,
                               patterns, read_sequences, recover_labels, subsample, table1, token_batches, windows)


def make(lists, n_classes=None):
    lengths = [len(x) for x in lists]
    events = np.array([c for x in lists for c in x], np.int32)
    return Sequences(events, np.concatenate([[0], np.cumsum(lengths)]), n_classes or int(events.max()) + 1)


def lists_of(seqs):
    return [seqs.spot(i).tolist() for i in range(seqs.n_spots)]


spot_lists = st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=40), min_size=1, max_size=8)


# ---- the flat array

@given(spot_lists)
def test_sequences_are_the_lists_they_hold(lists):
    seqs = make(lists, 7)
    assert lists_of(seqs) == lists
    assert seqs.lengths.tolist() == [len(x) for x in lists]
    assert [int(s) for s in seqs.spot_of] == [i for i, x in enumerate(lists) for _ in x]
    assert seqs.to_end.tolist() == [k for x in lists for k in reversed(range(len(x)))]
    assert lists_of(seqs.drop_last(2)) == [x[:-2] for x in lists]
    counts = seqs.counts
    assert counts.dtype == np.float32
    for i, x in enumerate(lists):
        assert {c: n for c, n in enumerate(counts[i].tolist()) if n} == Counter(x)


@pytest.mark.parametrize("events, offsets, n_classes, says", [
    ([0, 1], [0, 3], 2, "offsets"), ([0, 1], [1, 2], 2, "offsets"), ([0, 1], [0, 2, 1, 2], 2, "offsets"), ([], [0], 2, "offsets"),
    ([0, 2], [0, 2], 2, "class ids"), ([-1, 1], [0, 2], 2, "class ids")])
def test_arrays_that_do_not_fit_are_refused(events, offsets, n_classes, says):
    with pytest.raises(InputError, match=says):
        Sequences(np.array(events, np.int32), np.array(offsets), n_classes)


def test_no_spot_may_be_emptied():
    with pytest.raises(InputError, match="at least 3 events"):
        make([[0, 1, 2], [0, 1]]).drop_last(2)


# ---- files

def test_read(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("7 2\n7 1\n3 4\n3\t4\n")
    seqs = read_sequences(path)
    assert lists_of(seqs) == [[1, 0], [3, 3]] and seqs.n_classes == 4
    assert seqs.events.dtype == np.int32 and seqs.spots is None and seqs.classes is None


@pytest.mark.parametrize("text, says", [
    ("", "is empty"), ("\n\n", "is empty"), ("1 1\n1 x\n", "cannot be read"), ("spot event\n1 1\n", "cannot be read"), ("1 1\n1 2.5\n", "cannot be read"),
    ("1 1\n1 2 3\n", "cannot be read"), ("1 1\n1\n", "cannot be read"), ("1 99999999999999999999\n", "cannot be read"), ("1\n2\n", "1 columns"),
    ("1 1 1\n", "3 columns"), ("0 1\n", "ids start at 1"), ("1 0\n", "ids start at 1"), ("1 -4\n", "ids start at 1"),
    ("1 2000000000\n", "without gaps"), ("1 1\n2 1\n1 1\n", "comes back"), ("\"1\" 1\n", "cannot be read")])
def test_a_wrong_file_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "f.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as e:
        read_sequences(path)
    assert "f.txt" in str(e.value) and "\n" not in str(e.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "f.txt"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match="cannot be read"):
        read_sequences(path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "no.txt", tmp_path):
        with pytest.raises(InputError, match="there is no file"):
            read_sequences(path)


# ---- from events

def table(rows):
    time, category, premises, area = zip(*rows)
    return pd.DataFrame({"time": pd.to_datetime(list(time), format="mixed").astype("datetime64[s]"), "category": pd.Categorical(category),
                         "premises": pd.Categorical(premises), "area": pd.Categorical(area)})


@cache
def random_events(n=3000, seed=0, holes=True):
    rng = np.random.default_rng(seed)
    def pick(names, share):
        p = rng.dirichlet(np.full(len(names), .5))
        column = np.array(names, object)[rng.choice(len(names), n, p=p)]
        if holes: column[rng.random(n) < share] = None
        return pd.Categorical(column, categories=rng.permutation(names))
    time = pd.Series(np.datetime64("2018-01-01", "s") + rng.integers(0, 365 * 24, n) * np.timedelta64(3600, "s"))
    if holes: time[rng.random(n) < .01] = pd.NaT
    return pd.DataFrame({"time": time, "category": pick(["THEFT", "ARSON", "DECEPTIVE PRACTICE", "BATTERY"], .02),
                         "premises": pick(["STREET", "BAR", "HOME"], .2), "area": pick([str(a) for a in range(12)], .02)})


def brute_force(events, preparation, slot_hours, min_events):
    "spot -> (category, slot) list, row by row in stable time order; rows without a place as the preparation says."
    rules, lists = PREPARATIONS[preparation], {}
    for row in events.sort_values("time", kind="stable").itertuples():
        if pd.isna(row.time) or pd.isna(row.category) or pd.isna(row.area) or row.area in rules["no_areas"]: continue
        if pd.isna(row.premises) and row.category not in rules["keep_unplaced"]: continue
        lists.setdefault((row.area, UNKNOWN if pd.isna(row.premises) else row.premises), []).append((row.category, row.time.hour // slot_hours))
    return {k: v for k, v in lists.items() if len(v) >= min_events}


@pytest.mark.parametrize("preparation", PREPARATIONS)
@pytest.mark.parametrize("slot_hours, min_events", [(3, 5), (1, 1), (24, 200)])
def test_from_events_is_the_loop(preparation, slot_hours, min_events):
    events = random_events()
    seqs = from_events(events, slot_hours, min_events, preparation)
    names = list(zip(seqs.classes.category, seqs.classes.slot))
    ours = {spot: [names[c] for c in seqs.spot(i)] for i, spot in enumerate(zip(seqs.spots.area, seqs.spots.premises))}
    assert ours == brute_force(events, preparation, slot_hours, min_events)
    assert len(seqs.spots) == seqs.n_spots and len(seqs.classes) == seqs.n_classes == len(np.unique(seqs.events))
    assert sum(seqs.dropped.values()) + len(seqs.events) == len(events)
    assert (seqs.events.dtype, seqs.offsets.dtype) == (np.int32, np.int64)


def test_every_dropped_row_is_counted_under_its_reason():
    street = [("2018-01-01 01:00", "THEFT", "STREET", "1")] * 5
    events = table(street + [(None, "THEFT", "STREET", "1"), ("2018-01-01", None, "STREET", "1"), ("2018-01-01", "THEFT", "STREET", None),
                             ("2018-01-01", "THEFT", None, "1"), ("2018-01-01", "THEFT", "BAR", "1"), ("2018-01-01", "THEFT", "BAR", "0")])
    assert from_events(events).dropped == {"no time": 1, "no category": 1, "no area": 1, "no premises": 1, "spot with fewer than 5 events": 2}
    assert from_events(events, preparation="crimealarm-chicago").dropped["no area"] == 2


def test_fraud_without_premises_has_a_spot_of_its_own_in_chicago():
    events = table([("2018-01-01 10:00", "DECEPTIVE PRACTICE", None, "1")] * 5 + [("2018-01-01 10:00", "THEFT", None, "1")] * 5 + [("2018-01-01 10:00", "THEFT", "BAR", "1")] * 5)
    assert from_events(events).spots.premises.tolist() == ["BAR"]
    made = from_events(events, preparation="crimealarm-chicago")
    assert made.spots.premises.tolist() == ["BAR", UNKNOWN] and made.dropped["no premises"] == 5


def test_slots_begin_at_their_hour_and_equal_times_keep_their_order():
    events = table([("2018-01-01 02:59:59", "B", "S", "1"), ("2018-01-01 03:00", "A", "S", "1"), ("2018-01-01 00:00", "C", "S", "1"), ("2018-01-01 03:00", "C", "S", "1"), ("2018-01-01 23:59", "A", "S", "1")])
    seqs = from_events(events)
    assert [tuple(seqs.classes.iloc[c]) for c in seqs.spot(0)] == [("C", 0), ("B", 0), ("A", 1), ("C", 1), ("A", 7)]


def test_order_of_rows_and_of_category_codes_do_not_matter():
    events = random_events(holes=False).drop_duplicates(["time", "area", "premises"])
    other = events.sample(frac=1, random_state=1).astype({c: "str" for c in ("category", "premises", "area")})
    a, b = from_events(events), from_events(other)
    assert a.spots.equals(b.spots) and a.classes.equals(b.classes) and np.array_equal(a.events, b.events)


@pytest.mark.parametrize("change, settings_, says", [
    (lambda e: e.drop(columns=["premises", "area"]), {}, "no column premises, area"), (lambda e: e.astype({"time": str}), {}, "make it datetime64"),
    (lambda e: e, {"slot_hours": 5}, "do not fill a day"), (lambda e: e, {"slot_hours": 0}, "slot_hours is 0: it must be between 1 and 24"), (lambda e: e, {"slot_hours": -3}, "slot_hours is -3"),
    (lambda e: e, {"min_events": 0}, "min_events"), (lambda e: e, {"min_events": 10**6}, "no spot has"), (lambda e: e.head(0), {}, "no event has"),
    (lambda e: e.assign(area=pd.Categorical([None] * len(e))), {}, "no event has"), (lambda e: e.assign(category=None), {}, "no event has"),
    (lambda e: e.assign(time=e.time.dt.tz_localize("UTC")), {}, "without a zone"),
    (lambda e: e, {"preparation": "chicago"}, "unknown preparation 'chicago'")])
def test_events_that_give_no_sequences(change, settings_, says):
    with pytest.raises(InputError, match=says):
        from_events(change(random_events()), **settings_)


# ---- split, windows, batches

def test_split():
    seqs = make([[0, 1, 2, 3], [3, 2, 1]])
    split = seqs.split("last")
    assert lists_of(seqs.until(split.train)) == [[0, 1], [3]]
    assert seqs.observed(split.valid).tolist() == [2, 2] and seqs.observed(split.test).tolist() == [3, 1]
    assert lists_of(seqs.until(split.valid)) == [[0, 1], [3]] and lists_of(seqs.until(split.test)) == [[0, 1, 2], [3, 2]]
    assert seqs.observed(seqs.ahead()).tolist() == [-1, -1] and lists_of(seqs.until(None)) == lists_of(seqs)
    with pytest.raises(InputError, match="at least 3"):
        make([[0, 1]]).split("last")


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6).filter(any), st.integers(1, 50), st.data())
def test_windows_are_cut_right_to_left(lengths, length, data):
    stride = data.draw(st.integers(1, length))
    seqs = make([list(range(n)) for n in lengths], 300)
    cut = windows(seqs, length, stride)
    pieces = [list(zip(cut.start[cut.spot == i] - seqs.offsets[i], cut.length[cut.spot == i])) for i in range(seqs.n_spots)]
    for n, got in zip(lengths, pieces):
        expected = [(0, n)] if n <= length else [(s, length) for s in [*range(n - length, 0, -stride), 0]]
        assert got == (expected if n else [])
    last = last_windows(seqs, length)
    assert (last.start + last.length == seqs.offsets[1:]).all() and last.length.tolist() == [min(n, length) for n in lengths]


@pytest.mark.parametrize("length, stride", [(200, 201), (200, 0), (0, 0)])
def test_windows_that_leave_events_out_are_refused(length, stride):
    with pytest.raises(InputError, match="leave events out"):
        windows(make([[0] * 9]), length, stride)


@given(st.lists(st.integers(1, 60), max_size=300), st.integers(60, 400), st.integers(0, 9), st.floats(0, 1))
def test_batches_hold_every_window_once_and_keep_to_their_tokens(lengths, max_tokens, seed, jitter):
    batches = list(token_batches(lengths, max_tokens, np.random.default_rng(seed), jitter))
    assert sorted(i for b in batches for i in b.tolist()) == list(range(len(lengths)))
    assert all(len(b) and len(b) * max(lengths[i] for i in b) <= max_tokens for b in batches)
    again = list(token_batches(lengths, max_tokens, np.random.default_rng(seed), jitter))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_a_window_larger_than_a_batch():
    with pytest.raises(InputError, match="does not fit"):
        list(token_batches([3, 90], 64, np.random.default_rng(0)))


@settings(deadline=None)    # the first call imports torch
@given(spot_lists, st.integers(1, 12))
def test_gather_is_the_padded_window(lists, length):
    seqs = make(lists, 7)
    cut = windows(seqs, length, length)
    tokens = gather(seqs, cut.start, cut.length)
    assert str(tokens.dtype) == "torch.int64" and tokens.shape == (len(cut), cut.length.max())
    for row, spot, start, n in zip(tokens.tolist(), cut.spot, cut.start - seqs.offsets[cut.spot], cut.length):
        assert row == [c + 1 for c in lists[spot][start:start + n]] + [0] * (tokens.shape[1] - n)


# ---- candidates

@settings(deadline=None)
@given(spot_lists, st.sampled_from(["popularity-100", "uniform-99"]), st.integers(1, 5), st.integers(0, 3))
def test_candidates_are_target_and_unseen_classes(lists, how, n, seed):
    seqs = make(lists, 12)
    target = seqs.observed(seqs.split("last").test)
    drawn = candidates(seqs, target, how, n, seed)
    assert drawn.shape == (len(lists), 1 + n) and drawn.dtype == np.int64 and (drawn[:, 0] == target).all()
    for x, row in zip(lists, drawn[:, 1:].tolist()):
        assert len(set(row)) == n and not set(row) & set(x) and set(row) <= set(range(12))
    assert np.array_equal(drawn, candidates(seqs, target, how, n, seed))


def test_popularity_draws_one_by_one_without_replacement():
    "First place by share of the weight, second by share of what is left; popularity leaves out the last two events."
    many, weights = 40_000, np.array([1, 3, 6])
    crowd = np.repeat([1, 2, 3], weights).tolist() + [4, 4]
    seqs = make([[0, 0, 0]] * many + [crowd], 8)
    drawn = candidates(seqs, np.zeros(many + 1, int), "popularity-100", 3)[:many, 1:]
    p = weights / 10
    assert drawn.max() == 3                       # 4 occurs in the last two events alone, 5 to 7 never
    for c in range(3):
        assert np.mean(drawn[:, 0] == c + 1) == pytest.approx(p[c], abs=.01)
        second = sum(p[b] * p[c] / (1 - p[b]) for b in range(3) if b != c)
        assert np.mean(drawn[:, 1] == c + 1) == pytest.approx(second, abs=.01)
    even = candidates(seqs, np.zeros(many + 1, int), "uniform-99", 1)[:many, 1]
    assert np.bincount(even, minlength=8) / many == pytest.approx([0] + [1 / 7] * 7, abs=.01)


def test_a_draw_of_zero_arrives_first_and_brings_no_seen_class(monkeypatch):
    class Zeros:
        def random(self, shape, dtype): return np.zeros(shape, dtype)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Zeros())
    seqs = Sequences(np.array([0, 1, 0, 1, 2, 3, 4, 4], np.int32), np.array([0, 4, 8]), 5)
    drawn = candidates(seqs, np.array([1, 4]), "uniform-99", n=2)
    assert set(drawn[0, 1:]) <= {2, 3, 4} and set(drawn[1, 1:]) == {0, 1}


def test_candidates_say_what_cannot_be():
    seqs = make([[0, 1, 2], [0, 0, 0]], 5)
    assert candidates(seqs, np.zeros(2, int), "full") is None
    with pytest.raises(InputError, match="a spot has 2 classes that it never had"): candidates(seqs, np.zeros(2, int), "popularity-100")
    with pytest.raises(InputError, match="use 0 < n <= 2"): candidates(seqs, np.zeros(2, int), "uniform-99", 0)
    with pytest.raises(InputError, match="3 targets for 2 spots"): candidates(seqs, np.zeros(3, int), "uniform-99", 1)
    with pytest.raises(InputError, match="unknown protocol 'popular'"): candidates(seqs, np.zeros(2, int), "popular")


# ---- sparser data

@given(spot_lists, st.floats(0, .99), st.integers(0, 3))
def test_subsample_drops_in_place_and_keeps_the_targets(lists, rate, seed):
    seqs = make(lists, 7)
    less = subsample(seqs, rate, seed)
    for x, y in zip(lists, lists_of(less)):
        assert len(y) == max(int(np.floor(len(x) * (1 - rate) + 1e-9)), 3)
        assert y[-2:] == x[-2:]
        rest = iter(x)
        assert all(c in rest for c in y)          # a subsequence: order is kept
    assert np.array_equal(less.events, subsample(seqs, rate, seed).events)


def test_subsample_drops_evenly():
    seqs = make([list(range(12))] * 20_000)
    left = subsample(seqs, .5).counts.mean(0)
    assert left[-2:].tolist() == [1, 1] and left[:-2] == pytest.approx(np.full(10, .4), abs=.02)


@pytest.mark.parametrize("rate", [-.1, 1, 1.5, float("nan")])
def test_a_drop_rate_is_a_share(rate):
    with pytest.raises(InputError, match="drop rate"): subsample(make([[0, 1, 2]]), rate)


def test_subsample_needs_more_than_the_targets():
    with pytest.raises(InputError, match="always stay"): subsample(make([[0, 1]]), .1)


# ---- names from order

def test_patterns():
    spots, where = patterns(make([[4, 4, 2], [1, 2], [0, 1, 0, 5]]), 3)
    assert spots.tolist() == [0, 2] and where.tolist() == [[0, 0, 2], [0, 1, 0]]


def test_labels_are_recovered_through_a_renaming():
    events = random_events(20_000, 3, holes=False).sort_values("time", kind="stable")
    year = from_events(events)
    named = from_events(events[events.time < "2018-07-01"].sample(frac=.97, random_state=0))
    classes, spots = np.random.default_rng(0).permutation(year.n_classes), np.random.default_rng(1).permutation(year.n_spots)
    lists = [classes[year.spot(i)].tolist() for i in spots]
    found = recover_labels(make(lists, year.n_classes), named)
    got, right = found.sequences.classes.dropna(), year.classes.set_axis(classes)
    assert len(got) == named.n_classes and got.to_numpy().tolist() == right.loc[got.index].to_numpy().tolist()
    got, right = found.sequences.spots.dropna(), year.spots.iloc[spots].reset_index(drop=True)
    assert len(got) == named.n_spots and got.to_numpy().tolist() == right.loc[got.index].to_numpy().tolist()
    with pytest.raises(InputError, match="smaller m"): recover_labels(make([[0, 1, 2]]), named)


def test_nothing_is_recovered_from_strangers():
    rng = np.random.default_rng(0)
    a, b = (make(rng.integers(0, 40, (30, 100)).tolist(), 40) for _ in range(2))
    b = Sequences(b.events, b.offsets, 40, pd.DataFrame({"name": range(30)}), pd.DataFrame({"name": range(40)}))
    found = recover_labels(a, b)
    assert (found.spot_of == -1).all() and found.aligned == 0 and found.sequences.classes.isna().all(axis=None)


# ---- the paper's files

def data(name, file):
    "A file of a real data set: beside the checkout or in $CRIMENB_DATA, else fetched."
    beside = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("CRIMENB_DATA", beside)) / name / file
    if path.is_file(): return path
    from crimenb.sources import fetch
    return fetch(name)[file]


@cache
def real(name):
    return read_sequences(data(name, f"{name}.txt"))


@pytest.mark.parametrize("name, whole, less", [
    ("nyc16", [3229, 473_887, 4498, 5, 146.76, 429.78, 440], [3229, 467_429, 4496, 3, 144.76, 429.78, 440]),
    ("chi18", [2692, 264_314, 3527, 5, 98.18, 253.36, 246], [2692, 258_930, 3525, 3, 96.18, 253.36, 246])])
def test_table_1(name, whole, less):
    assert table1(real(name)).to_numpy().tolist() == [whole, less]


@pytest.mark.parametrize("name, train, folded", [("nyc16", 6398, 70_444), ("chi18", 4056, 44_682)])
def test_the_authors_training_instances(name, train, folded):
    "Their preparation folds validation into training and makes eleven instances of each window."
    whole = real(name)
    assert len(windows(whole.drop_last(2))) == train and 11 * len(windows(whole.drop_last(1))) == folded


@pytest.mark.parametrize("name, share", [("nyc16", .500), ("chi18", .535)])
def test_half_of_the_targets_were_there_before(name, share):
    whole = real(name)
    before = whole.drop_last(1).counts[np.arange(whole.n_spots), whole.observed(whole.lengths - 1)] > 0
    assert before.mean() == pytest.approx(share, abs=.0005)


@pytest.mark.parametrize("name, ndcg5", [("nyc16", .555), ("chi18", .602)])
@pytest.mark.parametrize("seed", [0, 1])
def test_counting_beats_the_protocol(name, ndcg5, seed):
    "Spot counts, ties by popularity, under the paper's protocol: counted once by a script of its own."
    whole = real(name)
    competing = candidates(whole, whole.observed(whole.lengths - 1), "popularity-100", seed=seed)
    assert competing.shape == (whole.n_spots, 101)
    counts = whole.drop_last(1).counts
    scores = np.take_along_axis(counts + counts.sum(0) / counts.sum() / 2, competing, 1)
    rank = (scores[:, 1:] > scores[:, :1]).sum(1)
    assert np.where(rank < 5, 1 / np.log2(rank + 2), 0).mean() == pytest.approx(ndcg5, abs=.005)


@pytest.mark.parametrize("name, most", [("nyc16", .05), ("chi18", .08)])
def test_little_padding_on_real_lengths(name, most):
    n = windows(real(name).drop_last(2)).length
    padded = sum(len(b) * n[b].max() for b in token_batches(n, 16_000, np.random.default_rng(0)))
    assert padded / n.sum() < 1 + most


@cache
def chicago_half():
    from crimenb.events import read_chicago
    events = read_chicago(data("chicago_2018", "crimes-2018-06-30.parquet")).events
    half = from_events(events, preparation="crimealarm-chicago")
    assert sum(half.dropped.values()) + len(half.events) == len(events) == 125_590
    return half, recover_labels(real("chi18"), half)


def test_chicagos_half_year_is_the_beginning_of_chi18():
    half, found = chicago_half()
    year = real("chi18")
    assert (half.n_spots, len(half.events), half.n_classes) == (2010, 122_091, 229)
    same = found.spot_of >= 0
    assert same.sum() == 1985 and len(set(found.spot_of[same])) == 1985
    assert found.aligned / len(half.events) > .988
    exact = [np.array_equal(found.class_of[half.spot(i)], year.spot(j)[:half.lengths[i]]) for i, j in enumerate(found.spot_of) if j >= 0]
    assert sum(exact) == 1202
    # kept rows of fraud without premises are spots of the authors' too
    assert same[half.spots.premises == UNKNOWN].sum() == 19


def test_the_half_year_names_chi18s_classes():
    half, found = chicago_half()
    year = real("chi18")
    assert (found.class_of >= 0).all() and len(set(found.class_of)) == half.n_classes
    counts, ours = year.counts, half.counts
    assert np.corrcoef(counts.sum(0)[found.class_of], ours.sum(0))[0, 1] > .998
    same = found.spot_of >= 0
    assert np.corrcoef(year.lengths[found.spot_of[same]], half.lengths[same])[0, 1] > .997
    assert half.lengths[same].sum() / year.lengths[found.spot_of[same]].sum() == pytest.approx(.4715, abs=.001)
    unnamed = found.sequences.classes.category.isna()
    assert unnamed.sum() == 17 and counts.sum(0)[unnamed].sum() == 56
    busiest = counts.sum(0).argmax()
    assert busiest == 24 - 1 and found.sequences.classes.loc[busiest].tolist() == ["THEFT", 5]
    assert found.sequences.spots.loc[12 - 1].tolist() == ["25", "STREET"]


@pytest.mark.parametrize("share", [.5, 1])
def test_times_known_to_the_day_have_no_slot_and_those_known_to_the_month_no_order(share):
    n, rng = 400, np.random.default_rng(0)
    days = pd.to_datetime(rng.choice(pd.date_range("2024-01-02", "2024-01-31"), n))
    vague = np.arange(n) < share*n
    events = pd.DataFrame({"time": days.where(vague, days + pd.to_timedelta(rng.integers(1, 1440, n), "min")), "category": pd.Categorical(rng.choice(["a", "b"], n)),
                           "area": pd.Categorical(rng.choice(["1", "2"], n)), "premises": pd.Categorical(["street"]*n)})
    with pytest.raises(InputError, match="say slot_hours=24"): from_events(events)
    assert from_events(events, slot_hours=24).n_classes == 2
    if share < 1: assert from_events(events[~vague]).n_classes == 16
    months = events.assign(time=events["time"].where(~vague, pd.Timestamp("2024-01-01")))
    with pytest.raises(InputError, match="known to the month"): from_events(months, slot_hours=24)



def test_later_events_without_areas_are_told_how_to_get_them():
    from crimenb.city import simulate
    events, _ = simulate(2_000, 60, seed=1)
    known = from_events(events[:1500], kind="area", slot_hours=24)
    late = events[1500:].reset_index(drop=True)
    bare = late.assign(area=late["area"].cat.set_categories([]))
    with pytest.raises(InputError, match="^no event has an area, and each spot of these sequences lies in one: give each the area that it lies in, as geo.join_areas"): known.update(bare)
    on = known.update(late)
    assert len(on.events) == len(known.events) + len(late) - sum(on.dropped.values()) + sum(known.dropped.values())
