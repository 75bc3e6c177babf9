"What every model of the next event must do: nothing of the future, saved whole and without data, one sentence where a view does not fit."
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from cells import one_thread  # noqa: F401
from sklearn.base import clone

from crimenb.city import simulate
from crimenb.cloze import Instances
from crimenb.core import InputError
from crimenb.models import Last, backtest, catalogue, choose, load
from crimenb.next_class import IN_TIME, SEEN_FIRST, case_scores, questions, seen_first
from crimenb.sequences import Sequences, from_events

BUILD = "from crimenb.city import simulate\nfrom crimenb.sequences import from_events\nview = from_events(simulate(1500, seed=0)[0])\n"
NAMES = tuple(catalogue("Sequences"))
SMALL = Instances(length=20, crops=1, copies=1, max_tokens=2000)

@cache
def events(): return simulate(1500, seed=0)[0]

@cache
def view(): return from_events(events())

def make(name):
    "An unfitted model, small where it has a size."
    kind = catalogue("Sequences")[name]
    settings = dict(epochs=1, d=8, instances=SMALL, evaluations=1) if "instances" in kind().get_params() else {}
    if name == "count mixer": settings = dict(positions=2, epochs=1, topics=(3, 5), members=1)
    return kind(**settings)

@cache
def fitted(name):
    parts = view().split("last")
    return make(name).fit(view(), parts.train, parts.valid, device="cpu")


def test_the_catalogue_has_every_method_of_the_tables_and_no_rule_of_counts():
    assert {"popularity", "spot counts", "smoothed counts", "markov", "count mixer", "Transformer", "GRU", "TCN", "DuroNet", "HAIL", "CLC", "STOSA", "Informer",
            "DML", "DKD", "CrimeAlarm"} == set(NAMES) == set(catalogue(view()))
    with pytest.raises(InputError, match="takes View, not Sequences"): Last().fit(view())

@pytest.mark.parametrize("name", NAMES)
def test_probabilities_sum_to_one_over_all_classes(name):
    p = fitted(name).predict(view())
    assert p.shape == (view().n_spots, view().n_classes) and (p > 0).all()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-9)

@pytest.mark.parametrize("name", NAMES)
def test_nothing_at_or_after_a_position_is_read(name):
    rng, at = np.random.default_rng(0), view().lengths//2
    late = np.arange(len(view())) - np.repeat(view().offsets[:-1], view().lengths) >= np.repeat(at, view().lengths)
    events = np.where(late, rng.integers(0, view().n_classes, len(view())), view().events).astype(np.int32)
    poisoned = replace(view(), events=events)
    assert (poisoned.events != view().events).mean() > .3
    np.testing.assert_array_equal(fitted(name).predict(poisoned, at), fitted(name).predict(view(), at))

@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_one_date_for_all_spots_learns_nothing_later(name):
    date = "2018-10-01" if view().times.min() < np.datetime64("2018-10-01") < view().times.max() else view().times.min() + (view().times.max() - view().times.min())*3//4
    parts = view().split(date)
    past = view().until(parts.test)
    assert past.times.max() < np.datetime64(pd.Timestamp(date))
    if name in ("Transformer", "smoothed counts", "count mixer"):
        p = make(name).fit(past, parts.train, parts.valid, device="cpu").predict(view(), parts.test)
        # the view that a model gets ends there: nothing is left that could be read
        np.testing.assert_array_equal(make(name).fit(past, parts.train, parts.valid, device="cpu").predict(past), p)
        # nor is it read where the whole view is given: a spot's first event after the date answers no question of validation
        np.testing.assert_array_equal(make(name).fit(view(), parts.train, parts.valid, device="cpu").predict(past), p)

def test_questions_before_a_date_have_no_answers_behind_the_next_one():
    parts = view().split(view().times.min() + (view().times.max() - view().times.min())*3//4)
    asked, known = questions(view(), parts.valid, ("full",)), questions(view().until(parts.test), np.asarray(parts.valid), ("full",))
    np.testing.assert_array_equal(asked.spot, known.spot)
    assert len(asked.spot) < len(questions(view(), np.asarray(parts.valid), ("full",)).spot)

@pytest.mark.parametrize("name", NAMES)
def test_settings_are_kept_as_given_and_a_clone_has_learnt_nothing(name):
    model = make(name)
    assert clone(model).get_params() == model.get_params() and not clone(model).learnt()
    with pytest.raises(InputError, match="not fitted"): clone(model).predict(view())
    with pytest.raises(InputError, match="not fitted"): clone(model).save("nowhere.crimenb")

def test_saved_models_answer_the_same_in_a_fresh_process(tmp_path):
    for name in NAMES: fitted(name).save(tmp_path/f"{name}.crimenb")
    code = BUILD + textwrap.dedent(f"""
        from pathlib import Path
        import numpy as np
        from crimenb.models import load
        np.savez({str(tmp_path/'theirs.npz')!r}, **{{p.stem: load(p).predict(view) for p in Path({str(tmp_path)!r}).glob('*.crimenb')}})""")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.load(tmp_path/"theirs.npz")
    for name in NAMES: np.testing.assert_array_equal(theirs[name], fitted(name).predict(view()))

@pytest.mark.parametrize("name", ("popularity", "markov", "count mixer", "Transformer", "CrimeAlarm"))
def test_a_file_does_not_grow_with_the_history(name, tmp_path):
    parts = view().split("last")
    sizes = [make(name).fit(view(), train, device="cpu").save(tmp_path/f"{i}.crimenb").stat().st_size for i, train in enumerate((np.minimum(parts.train, 3), parts.train))]
    assert sizes[1] < 1.1*sizes[0] + 500, sizes


# --- another vocabulary ---

def shuffled(seqs, seed=0):
    "The same events under other class numbers, with their names."
    number = np.random.default_rng(seed).permutation(seqs.n_classes).astype(np.int32)
    return replace(seqs, events=number[seqs.events], classes=seqs.classes.iloc[np.argsort(number)].reset_index(drop=True))

@pytest.mark.parametrize("name", ("popularity", "Transformer", "count mixer"))
def test_other_numbers_for_the_classes_are_refused_and_names_bring_them_home(name):
    other = shuffled(view())
    with pytest.raises(InputError, match="numbers its classes in another way") as error: fitted(name).predict(other)
    assert "\n" not in str(error.value)
    home = other.numbered_as(fitted(name).schema_)
    assert np.array_equal(home.events, view().events)
    np.testing.assert_array_equal(fitted(name).predict(home), fitted(name).predict(view()))

def test_two_files_with_as_many_classes_are_not_taken_for_each_other():
    one, two = (Sequences(np.array([0, 1, 1, 0], np.int32), np.array([0, 4]), 2, how={"numbering": name}) for name in ("nyc16", "chi18"))
    model = catalogue("Sequences")["popularity"]().fit(one)
    with pytest.raises(InputError, match="numbering: 'nyc16' there, 'chi18' here"): model.predict(two)

def test_a_class_that_the_vocabulary_lacks_is_dropped_and_counted():
    table = events()
    some = table[table.category != table.category.mode()[0]]
    schema = from_events(some).schema()
    made = from_events(table, like=schema)
    assert made.schema()["classes"] == schema["classes"] and made.dropped["class that is not in the schema"] >= (table.category == table.category.mode()[0]).sum()//2
    assert sum(made.dropped.values()) + len(made) == len(table)


# --- going on ---

def test_updating_gives_the_sequences_of_all_events_in_the_old_words():
    cut = np.sort(view().times)[len(view())*3//4]
    first, rest = events()[events().time < cut], events()[events().time >= cut]
    before = from_events(first)
    after = before.update(rest)
    assert after.categories == before.categories and after.places[:before.n_spots] == before.places
    for i in range(0, before.n_spots, 7):
        assert after.spot(i)[:before.lengths[i]].tolist() == before.spot(i).tolist()
        times = after.times[after.offsets[i]:after.offsets[i + 1]]
        assert (times[1:] >= times[:-1]).all()
    model = catalogue("Sequences")["smoothed counts"]().fit(before)
    assert model.predict(after).shape == (after.n_spots, before.n_classes)
    with pytest.raises(InputError, match="no event comes from"): after.update(rest[rest.time <= after.times.max()])
    with pytest.raises(InputError, match="known already"): after.joined(from_events(rest, like=before.schema()))

def test_a_gap_is_refused_or_bridged_as_asked():
    cut = np.sort(view().times)[len(view())//2]
    before, rest = from_events(events()[events().time < cut]), events()[events().time >= cut + np.timedelta64(60, "D")]
    with pytest.raises(InputError, match="nothing is known from"): before.update(rest)
    assert len(before.update(rest, gap="unknown")) > len(before)
    # the hole may as well lie within what is later
    later = events()[events().time >= cut]
    holed = later[~later.time.between(pd.Timestamp(cut) + pd.Timedelta(days=5), pd.Timestamp(cut) + pd.Timedelta(days=65))]
    with pytest.raises(InputError, match="nothing is known from .*the city never paused so long"): before.update(holed)
    assert len(before.update(holed, gap="unknown")) < len(before.update(later))

def test_a_new_spot_gets_the_shares_of_the_city():
    table = events().assign(area=pd.Categorical(["nowhere"]*len(events())))
    extra = from_events(table, like=view().schema())
    empty = view().joined(replace(extra, times=extra.times + (view().times.max() - extra.times.min())), gap="unknown").until(np.r_[view().lengths, np.zeros(extra.n_spots, int)])
    for name in ("smoothed counts", "Transformer", "count mixer"):
        p = fitted(name).predict(empty)[view().n_spots:]
        shares = np.bincount(view().events, minlength=view().n_classes)/len(view())
        np.testing.assert_allclose(p, np.tile(.9999*shares + .0001/view().n_classes, (len(p), 1)), rtol=1e-6)
    about = fitted("Transformer").forecast(empty).about
    assert about["spots without history, which get the city's shares"] == extra.n_spots


# --- forecasts and backtests ---

@pytest.mark.parametrize("name", ("popularity", "CrimeAlarm"))
def test_a_forecast_names_the_likeliest_classes_of_each_spot(name, tmp_path):
    model = fitted(name)
    table, p = model.forecast(view(), top=3).table, model.predict(view())
    assert list(table) == ["period", "place", "category", "expected"] and len(table) == 3*view().n_spots and not table.isna().any().any()
    assert table.groupby("place", sort=False)["expected"].apply(lambda x: (x.diff().dropna() <= 0).all()).all()
    np.testing.assert_allclose(table["expected"].to_numpy().reshape(-1, 3), -np.sort(-p, 1)[:, :3])
    whole = model.forecast(view(), top=None).table
    assert whole.groupby("place")["expected"].sum().to_numpy() == pytest.approx(np.ones(view().n_spots))
    text = model.forecast(view()).to_csv(tmp_path/"next.csv").read_text()
    assert text.startswith("period,place,category,expected,lon,lat\n") and "next event" in text
    with pytest.raises(InputError, match="only the next event"): model.forecast(view(), periods=2)

@pytest.mark.parametrize("test, more", [("last", ""), (.25, IN_TIME)])
def test_a_backtest_has_the_rules_every_protocol_and_one_row_of_each(test, more):
    rows = backtest(make("Transformer"), view(), test=test)
    assert {"Transformer", "popularity", "spot counts", "smoothed counts", "markov"} == set(rows.method)
    wanted = {p + more for p in ("popularity-100", "popularity-100" + SEEN_FIRST, "uniform-99", "uniform-99" + SEEN_FIRST, "full")}
    assert set(rows.protocol) == wanted and not rows.duplicated(["method", "protocol", "metric"]).any()
    assert (rows.low <= rows.value).all() and (rows.value <= rows.high).all() and set(rows[rows.metric == "log loss"].protocol) == {"full" + more}

def test_choosing_makes_the_log_loss_small():
    rule, parts = catalogue("Sequences")["smoothed counts"], view().split("last")
    best, table = choose(rule(), view(), {"strength": [1., 1000.]}, parts.train, parts.valid)
    losses = [rule(strength=s).fit(view(), parts.train).loss(rule(strength=s).fit(view()).predict(view(), parts.valid), view(), parts.valid) for s in (1., 1000.)]
    assert best.strength == (1., 1000.)[int(np.argmin(losses))] and table["loss"].tolist() == sorted(losses)

def test_seen_first_orders_inside_and_nowhere_else():
    rng = np.random.default_rng(0)
    scores, seen, target = rng.random((50, 9)), rng.random((50, 9)) < .4, rng.integers(0, 9, 50)
    ranked = seen_first(scores, seen, target)
    for s, r, had, t in zip(scores, ranked, seen, target):
        order = sorted(range(9), key=lambda c: (not had[c], -s[c]))
        assert (r > r[t]).sum() == order.index(t)


# --- splits and places ---

def test_a_date_splits_all_spots_at_once():
    seqs = from_events(simulate(4000, seed=1)[0])
    date = seqs.times.min() + (seqs.times.max() - seqs.times.min())*3//4
    parts = seqs.split(str(date))
    first = seqs.offsets[:-1]
    for s in range(0, seqs.n_spots, 11):
        times = seqs.times[first[s]:first[s + 1]]
        assert parts.test[s] == (times < date).sum() and parts.valid[s] <= parts.test[s]
    asked = questions(seqs, parts.test)
    assert (seqs.times[first[asked.spot] + parts.test[asked.spot]] >= date).all() and (asked.target == seqs.events[first[asked.spot] + parts.test[asked.spot]]).all()
    with pytest.raises(InputError, match="does not lie in the time"): seqs.split("1999-01-01")
    with pytest.raises(InputError, match="no times"): Sequences(np.zeros(3, np.int32), np.array([0, 3]), 1).split("2018-01-01")
    with pytest.raises(InputError, match="is no date"): seqs.split("lately")

@pytest.mark.parametrize("lost, kind", [((), "area and premises"), (("premises",), "area"), (("premises", "area"), "cell")])
def test_what_a_spot_is_follows_from_the_columns(lost, kind):
    seqs = from_events(events().drop(columns=list(lost)))
    assert seqs.how["kind"] == kind and len(set(seqs.places)) == seqs.n_spots
    assert sum(seqs.dropped.values()) + len(seqs) == len(events())
    again = from_events(events().drop(columns=list(lost)), like=seqs.schema())
    assert again.places == seqs.places and np.array_equal(again.events, seqs.events)
    where = seqs.where()
    i = int(seqs.lengths.argmax())
    assert where["lon"].notna().all() and events()["lon"].min() <= where["lon"].iloc[i] <= events()["lon"].max()

@pytest.mark.parametrize("at, says", [(np.zeros(3, int), "for each of the"), ("x", "is no date"), (lambda v: v.lengths + 1, "it must lie between 0 and that"), (lambda v: v.lengths*.5, "for each of the")])
def test_positions_that_cannot_be_are_refused(at, says):
    with pytest.raises(InputError, match=says): view().until(at(view()) if callable(at) else at)

def test_the_future_is_all_that_scores_ask_for():
    parts = view().split("last")
    p = fitted("markov").predict(view(), parts.test)
    rows = fitted("markov").scores(p, view(), parts.test)
    asked = questions(view(), parts.test)
    for line in ("full", "popularity-100", "popularity-100, seen first"):
        found = rows[(rows.protocol == line) & (rows.metric == "MRR")].value.item()
        assert found == pytest.approx(case_scores(p, asked, line)["MRR"].mean())
    assert rows[rows.metric == "log loss"].value.item() == pytest.approx(fitted("markov").loss(p, view(), parts.test))
    with pytest.raises(InputError, match="no spot has an event"): questions(view(), view().ahead())

@pytest.mark.parametrize("judge", ["scores", "loss"])
def test_what_happened_has_the_classes_and_spots_of_the_forecast(judge):
    model, seqs = fitted("markov"), view()
    parts = seqs.split("last")
    p, other = model.predict(seqs, parts.test), shuffled(seqs)
    right = getattr(model, judge)(p, seqs, parts.test)
    for made, there, says in ((p, other, "numbers its classes in another way"), (p[1:], seqs, "give the view and the periods"),
                              (model.predict(other.numbered_as(model.schema_), other.split("last").test).T, seqs, "give the view and the periods")):
        with pytest.raises(InputError, match=says): getattr(model, judge)(made, there, parts.test)
    # probabilities are some, and sum to one
    for made, says in ((3*p, "sum to 3, or"), (p - 1, "is negative"), (p*np.nan, "sum to nan")):
        with pytest.raises(InputError, match=says): getattr(model, judge)(made, seqs, parts.test)
    with pytest.raises(InputError, match="sum to 3, or"): case_scores(3*p, questions(seqs, parts.test), "full", True)
    # what is left belongs to classes that are not among these
    part = case_scores(p/2, questions(seqs, parts.test), "full", True)["log loss"]
    assert np.allclose(part - case_scores(p, questions(seqs, parts.test), "full", True)["log loss"], np.log(2))
    # by names they are judged alike
    again = getattr(model, judge)(p, other.numbered_as(model.schema_), parts.test)
    assert again.equals(right) if judge == "scores" else again == right

def test_a_damaged_file_and_a_foreign_class(tmp_path):
    path = fitted("markov").save(tmp_path/"m.crimenb")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="damaged"): load(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_view_that_ends_before_what_was_learnt_is_no_ground_for_a_forecast(name):
    early = from_events(events()[:len(events())//2], like=view().schema())
    with pytest.raises(InputError, match="has learnt from events up to .* and the view ends") as error: fitted(name).forecast(early)
    assert "\n" not in str(error.value)

@pytest.mark.parametrize("name", NAMES)
def test_one_class_fewer_is_refused_by_every_model(name):
    some = events()[events().category != events().category.mode()[0]]
    with pytest.raises(InputError, match="numbers its classes in another way"): fitted(name).predict(from_events(some))
    with pytest.raises(InputError, match="numbers its classes in another way"): fitted(name).predict(shuffled(view()))
