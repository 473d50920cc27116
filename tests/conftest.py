"""How the tests are shared out among processes (pytest-xdist), and the threads that each of them starts."""

from __future__ import annotations

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Every processor has a test on it already, and threads of BLAS that wait for work spin. Read as NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

BY_THEMSELVES = ("test_kernels_compile.py", "test_check_estimator.py")
"""Files whose tests share nothing and take long: any process may take any of them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one process, where they share fixtures and compiled loops.

    scikit-learn's tests are counted when they have ended, so that all of them are one group.
    """
    for item in items:
        folder, name = item.path.parent.name, item.path.name
        if name not in BY_THEMSELVES and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(folder if folder == "scikit_learn_suite" else item.path.stem))
