"""A fit reads its rows where they lie: the peak of a process of its own, measured by the system."""

from __future__ import annotations

import json
import sys

import pytest
from fresh_process import run_fresh
from sweeps import every_other

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux reports it")

N, D = 400_000, 100
ALLOWED_SHARE, ALLOWED_BYTES = 0.05, 64 * 2**20

MEASURE = """
import json, sys, warnings
import numpy as np
from gpu_logreg import LogisticRegression

warnings.simplefilter("ignore")  # a few iterations are enough
n, d, dtype, parameters, what = json.loads(sys.argv[1])


def status(name):
    # Not resource.getrusage: its peak is that of the parent process where the parent was larger.
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name + ":")]
    return int(line.split()[1]) * 1024


def rows(n):
    spread = 20 if np.dtype(dtype).itemsize == 1 else 1
    few = (np.random.default_rng(0).standard_normal((4096, d)) * spread + 60).clip(0, 120).astype(dtype)
    X = np.empty((n, d), dtype)
    for start in range(0, n, 4096):  # no temporary of the size of X
        X[start : start + 4096] = few[: n - start]
    return X, np.random.default_rng(1).integers(0, 2, n)


def job(X, y):
    model = LogisticRegression(device="cpu", **parameters)
    if what == "fit":
        model.fit(X, y)
    else:
        model.coef_, model.intercept_ = np.zeros((1, d)), np.zeros(1)
        model.classes_, model.n_features_in_ = np.arange(2), d
        model.predict_log_proba(X)


# Imports, compiled loops and threads are paid for once, on few rows; they are no copy of the data.
warm = rows(60_000)
job(*warm)
del warm
X, y = rows(n)
before = status("VmRSS")
job(X, y)
print(json.dumps([status("VmHWM") - before, X.nbytes]))
"""


def added(dtype: str, *, n: int = N, what: str = "fit", **parameters) -> tuple[int, int]:
    """Bytes that a job adds to the peak, and bytes of the rows."""
    settings = json.dumps([n, D, dtype, parameters, what])
    return tuple(json.loads(run_fresh(f"import sys; sys.argv[1:] = [{settings!r}]\n{MEASURE}")))


def check(bytes_added: int, nbytes: int, per_row: int = 0) -> None:
    allowed = ALLOWED_SHARE * nbytes + ALLOWED_BYTES + per_row * N
    said = [f"{size / 2**20:.0f} MiB" for size in (bytes_added, nbytes, allowed)]
    assert bytes_added < allowed, "{} added to {} of rows; {} are allowed".format(*said)


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
@pytest.mark.parametrize(("dtype", "n"), every_other([("float32", N), ("float64", N // 2)]))
def test_a_fit_copies_neither_float32_nor_float64_rows(dtype, n, solver):
    check(*added(dtype, n=n, solver=solver, max_iter=2))


@pytest.mark.parametrize(
    ("dtype", "parameters"),
    every_other(
        [
            ("uint8", {}),
            ("int8", {"solver": "lbfgs"}),
            ("float16", {"solver": "lbfgs"}),
            ("uint8", {"solver": "lbfgs", "impl": "reference"}),
        ]
    ),
)
def test_a_fit_does_not_widen_narrow_rows_as_a_whole(dtype, parameters):
    # Widened to float32 they would take four or two times their size.
    check(*added(dtype, max_iter=2, **parameters))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_predictions_copy_no_rows(dtype):
    # Logits and both logarithms of N rows, with what they are computed from, take a few numbers a row.
    check(*added(dtype, what="predict"), per_row=24)
