"""How the tests are shared out among processes (pytest-xdist), and the threads that each of them starts."""

from __future__ import annotations

import os

import pytest

TOGETHER = {"test_multilabel": "test_steps", "test_check_estimator": "test_steps"}
"""Files that are compiled for each other: the steps of networks take longest to compile."""

APART = ("test_kernels_compile",)
"""Files of long tests that share nothing: any process may take any of them."""

FIRST = ("test_steps", "scikit_learn_suite", "test_memory", "test_multinomial", "test_cli")
"""Groups that take long, so that no process is left with one at the end."""


def pytest_configure(config):
    if getattr(config.option, "dist", "no") != "no":
        # Inherited by the processes. Every processor has a test on it already, and idle threads of BLAS spin.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Keep the tests of a file in one process, where they share fixtures and compiled loops.

    scikit-learn's tests are counted when they have ended, so that all of them are one group.
    """
    if not hasattr(config, "workerinput"):  # not one of several processes
        return

    def group(item):
        folder, name = item.path.parent.name, item.path.stem
        return folder if folder == "scikit_learn_suite" else TOGETHER.get(name, name)

    for item in items:
        if item.path.stem not in APART:
            item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: FIRST.index(group(item)) if group(item) in FIRST else len(FIRST))
