"What every model must do, whatever view it takes: helpers of the tests of the four domains."
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from crimenb.core import InputError
from crimenb.models import load


def poisoned_alike(model, view, dirty, at):
    "Forecasts of the periods `at` are bit for bit the same on a view in which all from the first of them on is changed."
    np.testing.assert_array_equal(model.predict(view, at[:1]), model.predict(dirty, at[:1]))


def learns_nothing_later(model, view, dirty, train, valid, at):
    "Fitted on two views that differ after validation alone, it says the same."
    one, other = (clone(model).fit(v, train, valid) for v in (view, dirty))
    np.testing.assert_array_equal(one.predict(view, at[:1]), other.predict(view, at[:1]))


def saved_and_loaded_elsewhere(models, view, folder, build):
    "A fresh process loads the files of all `models` (name -> model) and forecasts the same tables; `build` is code that makes the variable `view`."
    paths = {name: str(model.save(folder/f"{k}.crimenb")) for k, (name, model) in enumerate(models.items())}
    code = textwrap.dedent(build) + f"\nfrom crimenb.models import load\nfor path in {[*paths.values()]!r}: load(path).forecast(view, 2).table.to_pickle(path + '.pkl')\n"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, path in paths.items(): pd.testing.assert_frame_equal(pd.read_pickle(path + ".pkl"), models[name].forecast(view, 2).table, obj=str(name))


def holds_settings(model):
    "scikit-learn's manners: settings are stored as given, and a clone has them and nothing learnt."
    twin = clone(model)
    assert twin.get_params() == model.get_params() and not twin.learnt()
    with pytest.raises(InputError, match="not fitted"): twin.save("nowhere.crimenb")


def forecasts_ahead(model, view, periods=2, holds=True):
    """The table begins after the last known period, without NaN, and its intervals hold what is expected.

    `holds` is False for a rule whose counts are so skewed that their mean lies beyond nine tenths of them."""
    forecast = model.forecast(view, periods)
    table = forecast.table
    starts = view.ahead(periods).starts[view.known:]
    assert list(table["period"].unique()) == list(starts) and not table.isna().any().any()
    assert (table["low"] <= np.ceil(table["expected"])).all() and (table["low"] <= table["high"]).all()
    assert not holds or (np.floor(table["expected"]) <= table["high"]).all()
    assert set(table["place"]) == set(view.places) and list(forecast.places.index) == list(view.places)
    return forecast


def refuses(model, view, sentence):
    "One sentence where a view doesn't fit."
    with pytest.raises(InputError, match=sentence) as error: model.predict(view, [view.known - 1])
    assert "\n" not in str(error.value)


def does_not_grow(make, short, long, path):
    "The file of a model of a longer history is no larger, but for the digits of its numbers."
    sizes = [make().fit(view).save(path).stat().st_size for view in (short, long)]
    assert sizes[1] < 1.1*sizes[0] + 500, sizes


def same_after_loading(model, view, at, path):
    np.testing.assert_array_equal(load(model.save(path)).predict(view, at), model.predict(view, at))

def trained_from(model, path):
    "The model, to be trained on from a checkpoint."
    model.checkpoint = path
    return model
