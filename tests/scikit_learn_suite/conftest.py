"""scikit-learn's own tests with the estimators of this project in place of its own.

The modules beside this file hold the functions of scikit-learn's test modules, as installed; `listed` says which of
them do not apply and why. A test listed as one that fails is run all the same, and reported where it passes.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from listed import LISTED, Kind

HERE = Path(__file__).parent
COUNTS = pytest.StashKey[Counter]()
BY_DEFAULT = ("ignore::Warning",)
"""scikit-learn's tests do not take warnings for errors, unless they say so themselves."""


@pytest.fixture
def global_random_seed():
    return 42  # the default of scikit-learn's own fixture


def entry(name: str):
    """Kind and reason of a test, by its name with parameters; the first pattern that fits."""
    for pattern, (kind, reason) in LISTED.items():
        if name == pattern or name.split("[")[0] == pattern or fnmatchcase(name.replace("[", "("), pattern.replace("[", "(")):
            return kind, reason
    return None


def is_theirs(item) -> bool:
    return HERE in item.path.parents and item.path.name != "test_share.py"


def pytest_collection_modifyitems(config, items):
    share = [item for item in items if item.path == HERE / "test_share.py"]
    items[:] = [item for item in items if item not in share] + share  # which looks at what the others came to
    for item in filter(is_theirs, items):
        for line in BY_DEFAULT:
            item.add_marker(pytest.mark.filterwarnings(line), append=False)
        found = entry(item.name)
        if found is None:
            continue
        kind, reason = found
        item.user_properties.append(("kind", kind.name))
        text = f"{kind.value}: {reason}"
        item.add_marker(pytest.mark.skip(reason=text) if kind is Kind.OTHER else pytest.mark.xfail(reason=text, strict=True))


def pytest_configure(config):
    config.stash[COUNTS] = Counter()
    config.addinivalue_line("markers", "thread_unsafe: as scikit-learn marks it")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if not is_theirs(item):
        return
    report = outcome.get_result()
    kind = dict(item.user_properties).get("kind", "APPLIES")
    if report.when == "call" or report.outcome == "skipped":
        item.config.stash[COUNTS][kind, "skipped" if report.skipped and not hasattr(report, "wasxfail") else report.outcome] += 1
