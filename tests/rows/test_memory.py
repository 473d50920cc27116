"""A fit reads its rows where they lie: the peak of a process of its own, measured by the system."""

from __future__ import annotations

import json
import sys

import pytest
from fresh_process import run_fresh
from sweeps import every_other, thinned

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux reports it")

N, D = 400_000, 100
ALLOWED_SHARE, ALLOWED_BYTES = 0.05, 64 * 2**20

MEASURE = """
import json, sys, warnings
import numpy as np
from scipy import sparse
from gpu_logreg import LogisticRegression

warnings.simplefilter("ignore")  # a few iterations are enough
n, d, dtype, parameters, what, per_row, K = json.loads(sys.argv[1])


def status(name):
    # Not resource.getrusage: its peak is that of the parent process where the parent was larger.
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name + ":")]
    return int(line.split()[1]) * 1024


def sparse_rows(n):
    rng = np.random.default_rng(0)
    few = rng.integers(0, d, (4096, per_row), np.int32)  # in any order, some twice
    data, indices = np.empty(n * per_row, dtype), np.empty(n * per_row, np.int32)
    for start in range(0, n * per_row, few.size):
        indices[start : start + few.size] = few.ravel()[: len(indices) - start]
        data[start : start + few.size] = rng.random(few.size)[: len(indices) - start]
    X = sparse.csr_array((data, indices, np.arange(0, n * per_row + 1, per_row, dtype=np.int32)), shape=(n, d))
    y = rng.integers(0, K, n)
    return X, y


def rows(n):
    if per_row:
        return sparse_rows(n)
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
        model.coef_, model.intercept_ = np.zeros((K if K > 2 else 1, d)), np.zeros(K if K > 2 else 1)
        model.classes_, model.n_features_in_ = np.arange(K), d
        model.predict_log_proba(X)


# Imports, compiled loops and threads are paid for once, on few rows; they are no copy of the data.
warm = rows(60_000)
job(*warm)
del warm
X, y = rows(n)
before = status("VmRSS")
job(X, y)
nbytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if per_row else X.nbytes
print(json.dumps([status("VmHWM") - before, nbytes]))
"""


def added(
    dtype: str, *, n: int = N, d: int = D, what: str = "fit", per_row: int = 0, K: int = 2, **parameters
) -> tuple[int, int]:
    """Bytes that a job adds to the peak, and bytes of the rows: dense, or sparse with some elements ``per_row``."""
    settings = json.dumps([n, d, dtype, parameters, what, per_row, K])
    return tuple(json.loads(run_fresh(f"import sys; sys.argv[1:] = [{settings!r}]\n{MEASURE}")))


def check(bytes_added: int, nbytes: int, per_row: int = 0) -> None:
    allowed = ALLOWED_SHARE * nbytes + ALLOWED_BYTES + per_row * N
    said = [f"{size / 2**20:.0f} MiB" for size in (bytes_added, nbytes, allowed)]
    assert bytes_added < allowed, "{} added to {} of rows; {} are allowed".format(*said)


@pytest.mark.parametrize("solver", every_other(["auto", "lbfgs"]))
@pytest.mark.parametrize(("dtype", "n"), every_other([("float32", N), ("float64", N // 2)]))
def test_a_fit_copies_neither_float32_nor_float64_rows(dtype, n, solver):
    check(*added(dtype, n=n, solver=solver, max_iter=2))


@pytest.mark.parametrize(
    ("dtype", "parameters"),
    thinned(
        [
            ("uint8", {}),
            ("int8", {"solver": "lbfgs"}),
            ("float16", {"solver": "lbfgs"}),
            ("uint8", {"solver": "lbfgs", "impl": "reference"}),
        ],
        lambda case: case == ("uint8", {}),
    ),
)
def test_a_fit_does_not_widen_narrow_rows_as_a_whole(dtype, parameters):
    # Widened to float32 they would take four or two times their size.
    check(*added(dtype, max_iter=2, **parameters))


@pytest.mark.parametrize("dtype", every_other(["float32", "uint8"]))
def test_predictions_copy_no_rows(dtype):
    # Logits and both logarithms of N rows, with what they are computed from, take a few numbers a row.
    check(*added(dtype, what="predict"), per_row=24)


# ---- sparse rows, of which a copy of the elements in float64 alone would add 100 % of float32 rows


@pytest.mark.parametrize(
    ("dtype", "parameters"),
    thinned(
        [
            ("float32", {"max_iter": 3}),
            ("float64", {"max_iter": 3}),
            ("float32", {"max_iter": 2, "K": 3}),
            ("float32", {"max_iter": 2, "impl": "reference"}),
            ("float64", {"max_iter": 3, "l1_ratio": 1.0, "C": 0.01, "solver": "proximal"}),
            ("float32", {"max_iter": 3, "d": 200}),  # with samples
            ("float32", {"what": "predict"}),
            ("float64", {"what": "predict", "K": 3}),
        ],
        lambda case: case in [("float32", {"max_iter": 3}), ("float32", {"what": "predict"})],
    ),
)
def test_sparse_rows_are_copied_neither_by_a_fit_nor_by_predictions(dtype, parameters):
    n = 300_000
    K = parameters.get("K", 2)
    # What is made of every row of predictions: its logits and logarithms.
    per_row = 16 * (K + 1) if parameters.get("what") == "predict" else 0
    bytes_added, nbytes = added(dtype, **{"n": n, "d": 10_000, "per_row": 40, **parameters})
    check(bytes_added, nbytes, per_row * n // N)


@pytest.mark.slow
def test_an_l1_fit_by_columns_takes_two_copies_of_sparse_rows_and_no_more():
    # One by columns, and at most one more of the columns that are left: `gpu_logreg.passes.cpu.columns`.
    bytes_added, nbytes = added("float64", n=300_000, d=10_000, per_row=40, max_iter=3, l1_ratio=1.0, C=0.01)
    assert bytes_added < 2.05 * nbytes + 17 * 8 * 300_000 + ALLOWED_BYTES
