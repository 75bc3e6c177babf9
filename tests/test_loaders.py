"crimenb.loaders: views as data sets of PyTorch, item by item and by a DataLoader with workers."
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from crimenb.core import InputError
from crimenb.loaders import Lagged, Windows
from crimenb.panels import Panel
from crimenb.sequences import Sequences

def panel(counts):
    starts = pd.Timestamp("2020-01-06") + pd.to_timedelta(7*np.arange(len(counts)), "D")
    return Panel(counts, starts, ("a", "b"), ("violent", "property"), np.array([0., .1]), np.array([50., 50.1]), np.array([1., 2.]))

@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(2, 6))
def test_windows_cover_every_step_from_one_event_to_the_next(lengths, length):
    offsets = np.append(0, np.cumsum(lengths))
    seqs = Sequences(np.arange(offsets[-1], dtype=np.int32), offsets, max(1, int(offsets[-1])))
    steps = set()
    for seen, following in Windows(seqs, length, length - 1):
        assert seen.dtype == following.dtype == torch.int64 and 1 <= len(seen) == len(following) < length
        steps |= set(zip(seen.tolist(), following.tolist()))
    assert steps == {(e, e + 1) for a, b in zip(offsets, offsets[1:]) for e in range(a, b - 1)}

def test_a_loader_with_workers_gives_the_periods_before_each_and_its_own():
    view = panel(np.arange(12*4, dtype=float).reshape(12, 2, 2))
    data = Lagged(view, 3, slice(6, 12))
    assert data.at.tolist() == [*range(6, 12)]
    got = [*DataLoader(data, batch_size=4, num_workers=1)]
    assert [tuple(x.shape) for x, _ in got] == [(4, 3, 2, 2), (2, 3, 2, 2)]
    for t, x, y in zip(data.at, torch.cat([x for x, _ in got]), torch.cat([y for _, y in got])):
        assert np.array_equal(x, view.counts[t - 3:t]) and np.array_equal(y, view.counts[t])
    assert [*DataLoader(data, batch_size=6)][0][0].dtype == torch.float32

def test_what_is_not_known_is_neither_asked_nor_seen():
    counts = np.ones((12, 2, 2))
    counts[5, 0, 1] = np.nan
    assert Lagged(panel(counts), 2).at.tolist() == [2, 3, 4, 8, 9, 10, 11]
    assert Lagged(panel(counts), 2, [9, 5, 1]).at.tolist() == [9]

@pytest.mark.parametrize("wrong, says", [
    (lambda v: Lagged(v, 0), "history is 0"), (lambda v: Lagged(v, 2, [12]), "from 0 to 11"), (lambda v: Lagged(v, 2, [-1]), "from 0 to 11"),
    (lambda v: Lagged(v, 2, ["a"]), r"at is \['a'\]: give a slice or numbers of periods"), (lambda v: Lagged(v, 2, [1.5]), r"at is \[1.5\]"), (lambda v: Lagged(v, 2, [True]*12), r"at is \[True"),
    (lambda v: Lagged(v, 2, 5), "at is 5: give a slice or a list"), (lambda v: Lagged(v, "2"), "history is '2': give a whole number"), (lambda v: Lagged(v, 2.), "history is 2.0: give a whole number"),
    (lambda v: Lagged(v, 10**30), "history is 10*: it must be between 1 and 11"), (lambda v: Windows(v), "sequences is a Panel: give a Sequences"),
    (lambda v: Lagged(pd.DataFrame(), 2), "DataFrame has no counts"), (lambda v: Windows(Sequences(np.zeros(2, np.int32), np.array([0, 2]), 1), 1), "length is 1")])
def test_what_can_not_be_is_one_sentence(wrong, says):
    with pytest.raises(InputError, match=says): wrong(panel(np.ones((12, 2, 2))))
