"""Fixtures for real data: `$CRIMENB_DATA`, or a folder shared/data beside the checkout, or a download to the cache."""
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# a busy machine is slow now and then: what takes long is no failure. The same examples each time, so that a red run can be run again;
# others are tried with CRIMENB_SEARCH=1
settings.register_profile("untimed", deadline=None, derandomize=not os.environ.get("CRIMENB_SEARCH"))
settings.load_profile("untimed")

shared = Path(__file__).resolve().parents[2] / "shared" / "data"
if shared.is_dir(): os.environ.setdefault("CRIMENB_DATA", str(shared))


# begun first, so that at the end no process waits for another one
LONGEST = ("test_studies.py", "test_own_city.py", "test_crosstests_study.py", "test_card_studies.py", "test_packaging.py", "test_models_areas.py", "test_models_grids.py",
           "test_sweep.py", "test_distributed.py", "test_devices.py", "test_hot_spots.py", "test_tables.py", "test_portal.py", "test_stresnet_study.py", "test_parallel_study.py",
           "test_parallel_training.py", "test_types.py", "test_site.py", "test_terrain.py", "test_models_terrain.py", "test_leaderboard.py", "test_light.py")

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


# --- which files cost most is said at the end: in processor seconds, which a busy machine changes little ---

def seconds():
    "Of this process and of those that it waited for."
    return sum(os.times()[:4])

SPENT: Counter = Counter()

@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    item.began = seconds()
    return (yield)

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "teardown": report.user_properties.append(("seconds", seconds() - item.began))
    return report

def pytest_runtest_logreport(report):
    if report.when == "teardown": SPENT[report.nodeid.split("::")[0]] += dict(report.user_properties)["seconds"]

def pytest_terminal_summary(terminalreporter):
    terminalreporter.section(f"{sum(SPENT.values()):.0f} processor seconds")
    for name, spent in SPENT.most_common(25): terminalreporter.line(f"{spent:7.1f}  {name}")


@pytest.fixture(scope="session")
def fetched():
    "A function: name of a data set -> its verified files, file name -> path."
    from crimenb.sources import fetch
    return fetch


@pytest.fixture(scope="session")
def nyc16(fetched): return fetched("nyc16")["nyc16.txt"]


@pytest.fixture(scope="session")
def chi18(fetched): return fetched("chi18")["chi18.txt"]


@pytest.fixture(scope="session")
def chicago_2018(fetched): return fetched("chicago_2018")["crimes-2018-06-30.parquet"]


@pytest.fixture(scope="session")
def samples(): return Path(__file__).resolve().parents[1] / "data" / "samples"
