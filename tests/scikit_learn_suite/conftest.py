"""scikit-learn's own tests with the estimators of this project in place of its own.

The modules beside this file hold the functions of scikit-learn's test modules, as installed; `listed` says which of
them do not apply and why. A listed test that fits an estimator of ours is run all the same, and one that passes is
reported, so that the list stays true; so is a test that is not listed and fits none.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from adapter import OUTCOMES, SHARE, is_theirs  # noqa: E402
from listed import Kind, entry  # noqa: E402

from gpu_logreg import LogisticRegression, LogisticRegressionCV, MLPClassifier  # noqa: E402

SKIPPED = pytest.StashKey[bool]()


def pytest_configure(config):
    config.stash[OUTCOMES] = Counter()
    config.addinivalue_line("markers", "thread_unsafe: as scikit-learn marks it")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path == SHARE)  # it looks at what the others came to
    for item in filter(is_theirs, items):
        # scikit-learn's tests do not take warnings for errors unless they say so, by marks of their own.
        item.add_marker(pytest.mark.filterwarnings("ignore::Warning"), append=False)
        found = entry(item.name)
        if found is not None:
            kind, reason = found
            text = f"{kind.value}: {reason}"
            expected_failure = pytest.mark.xfail(reason=text, strict=kind is not Kind.ROUNDING)
            item.add_marker(pytest.mark.skip(reason=text) if kind is Kind.OTHER else expected_failure)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if is_theirs(item) and (report.when == "call" or report.skipped):
        found = entry(item.name)
        expected = report.skipped and hasattr(report, "wasxfail")
        item.stash[SKIPPED] = report.skipped and not expected
        if found is not None:
            item.config.stash[OUTCOMES][found[0]] += 1
        else:
            item.config.stash[OUTCOMES][report.outcome] += 1
    return report


@pytest.fixture
def global_random_seed():
    return 42  # the default of scikit-learn's own fixture


@pytest.fixture(autouse=True)
def fits_one_of_ours(request, monkeypatch):
    """A test that applies fits an estimator of this project; one that fits none is to be listed."""
    if not is_theirs(request.node):
        yield
        return
    fitted = []
    for estimator in (LogisticRegression, LogisticRegressionCV, MLPClassifier):

        def noted(self, checked=estimator._validate_params):
            fitted.append(self)
            return checked(self)

        monkeypatch.setattr(estimator, "_validate_params", noted)
    yield
    if entry(request.node.name) is None and not fitted and not request.node.stash[SKIPPED]:
        pytest.fail("fits no estimator of this project: list it as Kind.OTHER", pytrace=False)
