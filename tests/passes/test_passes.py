"""Every pass against sums written out naively: dtypes, layouts, ragged sizes, weights, bits, bad values."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from naive_sums import NaiveSums, naive_sums

from gpu_logreg.arrays.device import Device
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import dense as cpu
from gpu_logreg.passes.cpu.loops.sizes import FLUSH_ROWS
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.resident import ResidentDataset

IMPLS = ("reference", "cpu")
REAL = ("float32", "float64")
DTYPES = ("float32", "float64", "float16", "uint8", "int8", "int32", "int64", "bool")
CHUNK = cpu.CHUNK_ROWS
RAGGED = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
BEYOND_A_CHUNK = (CHUNK - 1, CHUNK, CHUNK + 1)
FAST = 4.0
"""What a fast pass may err more than the plain one, in roundings of a whole sum."""
PLAIN = 0.3
"""What the plain pass may err, in roundings of a whole sum, times the square root of the number of its terms."""

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided rows": lambda X: np.repeat(X, 2, axis=0)[::2],
    "strided columns": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "rows of F": lambda X: np.asfortranarray(np.vstack([X[:1], X, X[:1]]))[1:-1],
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "read-only": lambda X: np.frombuffer(np.ascontiguousarray(X).tobytes(), X.dtype).reshape(X.shape),
}


ARRANGED = [
    (dtype, layout)
    for dtype, layout in itertools.product(DTYPES, LAYOUTS)
    if (dtype, layout) != ("float64", "read-only")  # compiled apart, as float32 is, which shows it
]


@functools.cache
def numbers(n: int, d: int, dtype: str) -> np.ndarray:
    """Rows that use the range of their dtype, not centred."""
    rng = np.random.default_rng([n, d, DTYPES.index(dtype)])
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.standard_normal((n, d)) + 0.3).astype(dtype)
    if kind.kind == "b":
        return rng.random((n, d)) < 0.4
    limits = np.iinfo(kind) if kind.itemsize == 1 else np.iinfo(np.int16)
    return rng.integers(limits.min, limits.max, (n, d), endpoint=True).astype(dtype)


def parameters(d: int, dtype: str) -> tuple[np.ndarray, float]:
    """Weights that give logits of a few units, and an intercept; both exact in float32, so that nobody rounds them."""
    scale = {"uint8": 150.0, "int8": 75.0, "int32": 2e4, "int64": 2e4}.get(dtype, 1.0)
    w = np.random.default_rng(d).standard_normal(d) * 2 / (scale * max(1.0, d) ** 0.5)
    return w.astype(np.float32).astype(np.float64), -0.75


def labels_and_weights(n: int, soft: bool, weight: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(n)
    y = rng.random(n).astype(np.float32) if soft else rng.integers(0, 2, n)
    s = None if weight is None else (rng.exponential(size=n) * (rng.random(n) < 0.9) + 1e-3).astype(weight)
    return y, s


def run(impl: str, X, y, s, w, b) -> Sums:
    """As a fit does it: the data set hands the rows to the pass, in blocks where the pass wants them."""
    dataset = ResidentDataset.from_arrays(X, y, s, Device("cpu"))
    return choose(impl, dataset.rows, Device("cpu")).gradient(dataset, w, b)


def errors(sums: Sums, wanted: NaiveSums, dtype: np.dtype) -> np.ndarray:
    """Of loss, dw and db: the largest error, in roundings of the whole sum in ``dtype``."""
    unit = float(np.finfo(dtype).eps)
    found = []
    for name in ("loss", "dw", "db"):
        error = np.abs(getattr(sums, f"{name}_sum") - getattr(wanted, f"{name}_sum"))
        found.append(np.max(error / (unit * getattr(wanted, f"{name}_size") + np.finfo(np.float64).tiny), initial=0.0))
    return np.array(found)


def check(impl: str, X, y, s, w, b) -> None:
    """The fair rule: a fast pass errs no more than the plain one in the same dtype, but for a little rounding."""
    wanted, sums, dtype = naive_sums(X, y, s, w, b), run(impl, X, y, s, w, b), compute_dtype(X.dtype)
    if impl == "reference":
        allowed = 1.0 + PLAIN * len(X) ** 0.5
    else:
        allowed = FAST + errors(run("reference", X, y, s, w, b), wanted, dtype)
    found = errors(sums, wanted, dtype)
    assert (found <= allowed).all(), f"loss, dw, db err by {found} roundings; allowed are {allowed}"
    assert sums.dw_sum.dtype == np.float64
    assert sums.dw_sum.shape == (X.shape[1],)
    assert type(sums.loss_sum) is type(sums.db_sum) is float


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("dtype", "layout"), ARRANGED)
def test_every_dtype_in_every_layout(impl, dtype, layout):
    for n, d in ((77, 5), (CHUNK + 1, 3)):
        X = numbers(n, d, dtype)
        arranged = LAYOUTS[layout](X)
        np.testing.assert_array_equal(arranged, X)
        check(impl, arranged, *labels_and_weights(n, False, None), *parameters(d, dtype))


@pytest.mark.bits  # counts the roundings of one to three rows, to which those of --rounding-noise would be added
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", ["C", "F", "strided columns"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_ragged_numbers_of_rows(impl, dtype, layout):
    for n, d in itertools.chain(itertools.product(RAGGED, (1, 2, 28)), itertools.product(BEYOND_A_CHUNK, (3, 33))):
        X = LAYOUTS[layout](numbers(n, d, dtype))
        check(impl, X, *labels_and_weights(n, False, None), *parameters(d, dtype))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", ["C", "F", "reversed"])
@pytest.mark.parametrize("d", [1, 2, 3, 15, 16, 17, 28, 33, 63, 64, 100, 300])
def test_ragged_numbers_of_columns(impl, layout, d):
    for dtype, n in itertools.product(REAL, (33, 2 * FLUSH_ROWS + 4)):
        X = LAYOUTS[layout](numbers(n, d, dtype))
        check(impl, X, *labels_and_weights(n, False, None), *parameters(d, dtype))


@pytest.mark.bits  # as above
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    ("dtype", "layout", "soft", "weight"),
    [
        ("float32", "C", False, "float32"),
        ("float32", "C", True, "float64"),
        ("float64", "C", True, None),
        ("float64", "C", False, "float64"),
        ("float32", "F", True, "float64"),
        ("float64", "F", False, "float64"),
        ("float16", "C", True, "float64"),
        ("int8", "strided rows", False, "float32"),
    ],
)
def test_weights_and_soft_labels(impl, dtype, layout, soft, weight):
    for n, d in ((1, 3), (37, 3), (CHUNK + 5, 28)):
        X = LAYOUTS[layout](numbers(n, d, dtype))
        check(impl, X, *labels_and_weights(n, soft, weight), *parameters(d, dtype))


@pytest.mark.parametrize("layout", ["C", "F", "strided columns"])
def test_float32_sums_do_not_drift_over_many_rows(layout):
    # Terms of one sign, which one float32 accumulator would round to the same side hundreds of thousands of times.
    X = LAYOUTS[layout](np.full((300_000, 3), 0.1, np.float32))
    y = np.zeros(len(X), np.uint8)
    w, b = np.zeros(3), 0.0
    sums = run("cpu", X, y, None, w, b)
    exact = 0.5 * len(X) * float(X[0, 0])
    np.testing.assert_allclose(sums.dw_sum, exact, rtol=2e-5)
    np.testing.assert_allclose(sums.db_sum, 0.5 * len(X), rtol=1e-12)
    np.testing.assert_allclose(sums.loss_sum, np.log(2.0) * len(X), rtol=1e-7)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("dtype", "layout"), [("float32", "C"), ("float64", "F"), ("int8", "C")])
def test_sums_of_two_blocks_are_those_of_the_rows_together(impl, dtype, layout):
    n, d = CHUNK + 100, 7
    X = LAYOUTS[layout](numbers(n, d, dtype))
    y, s = labels_and_weights(n, False, "float64" if dtype == "float64" else "float32")
    w, b = parameters(d, dtype)
    whole, wanted = run(impl, X, y, s, w, b), naive_sums(X, y, s, w, b)
    for cut in (1, 33, CHUNK, n - 1):
        parts = run(impl, X[:cut], y[:cut], s[:cut], w, b) + run(impl, X[cut:], y[cut:], s[cut:], w, b)
        eps = float(np.finfo(compute_dtype(X.dtype)).eps)
        assert abs(parts.loss_sum - whole.loss_sum) <= FAST * eps * wanted.loss_size
        assert (np.abs(parts.dw_sum - whole.dw_sum) <= PLAIN * n**0.5 * eps * wanted.dw_size).all()
        assert abs(parts.db_sum - whole.db_sum) <= FAST * eps * wanted.db_size


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("dtype", "layout"), [("float32", "C"), ("float64", "F"), ("float64", "C"), ("float16", "C")])
def test_one_bad_value_anywhere_is_seen_in_the_sums(impl, bad, dtype, layout):
    n, d = CHUNK + 33, 5
    for row, column, label in itertools.product((0, 31, CHUNK - 1, CHUNK, n - 1), (0, d - 1), (0, 1)):
        X = LAYOUTS[layout](numbers(n, d, dtype).copy(order="K"))
        X[row, column] = bad
        y = np.full(n, label)
        for w in (parameters(d, dtype)[0], np.zeros(d)):
            sums = run(impl, X, y, None, w, 0.0)
            assert not (np.isfinite(sums.loss_sum) and np.isfinite(sums.dw_sum).all()), (row, column, label)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("z", [800.0, 1e4, 1e30])
def test_huge_logits_have_finite_losses(impl, layout, dtype, z):
    n = 301
    X = LAYOUTS[layout](np.where(np.arange(n)[:, None] % 2, z, -z).astype(dtype) * np.ones((1, 2), dtype))
    sign = np.arange(n) % 2
    w = np.array([1.0, 0.0])
    size = float(X[1, 0])
    right, wrong = run(impl, X, sign, None, w, 0.0), run(impl, X, 1 - sign, None, w, 0.0)
    assert right == (0.0, pytest.approx([0.0, 0.0], abs=0.0), 0.0)
    np.testing.assert_allclose(wrong.loss_sum, n * size, rtol=1e-6)
    np.testing.assert_allclose(wrong.dw_sum, n * size, rtol=1e-5)
    assert wrong.db_sum == sign.sum() - (n - sign.sum())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("dtype", "layout"), ARRANGED)
def test_moments(impl, dtype, layout):
    for n, d, weight in (
        (0, 3, None),
        (1, 1, None),
        (33, 5, "float64"),
        (CHUNK + 1, 3, None),
        (CHUNK + 1, 3, "float32" if dtype == "float32" else "float64"),
    ):
        X = LAYOUTS[layout](numbers(n, d, dtype))
        y, s = labels_and_weights(n, False, weight)
        dataset = ResidentDataset.from_arrays(X, y, s, Device("cpu"))
        moments = choose(impl, dataset.rows, Device("cpu")).moments(dataset)
        x = X.astype(np.float64)
        weights = np.ones(n) if s is None else s.astype(np.float64)
        np.testing.assert_allclose(
            moments.x_sum, weights @ x, rtol=1e-12, atol=1e-12 * float(weights @ np.abs(x).max(1, initial=0.0))
        )
        np.testing.assert_allclose(moments.xx_sum, weights @ x**2, rtol=1e-12)
        assert moments.x_sum.dtype == moments.xx_sum.dtype == np.float64
