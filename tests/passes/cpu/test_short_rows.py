"""Compiled loops that read whole registers: rows of every width, and nothing of what lies behind the last row."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.passes.cpu.classes import cpu_multinomial_pass
from gpu_logreg.passes.cpu.curvature import multinomial_curvature_sum
from gpu_logreg.passes.cpu.dense import CHUNK_ROWS, cpu_pass
from gpu_logreg.passes.cpu.loops.short_rows import TILE_ROWS
from gpu_logreg.passes.cpu.loops.sizes import SHORT_ROW_BYTES, vector_for
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def before_nothing(values: np.ndarray) -> np.ndarray:
    """The same values, right before memory full of NaN: who reads beyond them and uses it is found out."""
    buffer = np.full(values.size + 256, np.nan, values.dtype)
    rows = buffer[: values.size].reshape(values.shape)
    rows[...] = values
    return rows


def problem(n: int, d: int, dtype: str):
    rng = np.random.default_rng(n * 1000 + d)
    X = before_nothing(rng.standard_normal((n, d)).astype(dtype))
    return X, (rng.random(n) < 0.4).astype(np.uint8), rng.exponential(size=n), rng.standard_normal(d)


def check(found, wanted, dtype: str) -> None:
    tolerance = TOLERANCE[dtype]
    assert found.loss_sum == pytest.approx(wanted.loss_sum, rel=tolerance)
    for ours, theirs in ((found.dw_sum, wanted.dw_sum), (found.db_sum, wanted.db_sum)):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.abs(theirs).max()))


@DTYPES
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, TILE_ROWS + 3, CHUNK_ROWS + 1])
def test_every_width(n, weighted, dtype):
    for d in (*range(1, 35), 48, 63, 64, 65, 100):
        X, y, s, w = problem(n, d, dtype)
        s = s if weighted else None
        wanted = reference_pass(Rows(X.astype(np.float64), y, s), w, 0.3)
        check(cpu_pass(Rows(X, y, s), w, 0.3), wanted, dtype)


@DTYPES
def test_soft_labels_and_an_intercept_that_nearly_cancels(dtype):
    X = before_nothing(np.full((300, 3), 4096.0, dtype))
    y = np.linspace(0.0, 1.0, 300).astype(dtype)
    w, b = np.array([1000.0, 0.0, 0.0]), -4096000.3
    check(cpu_pass(Rows(X, y, None), w, b), reference_pass(Rows(X.astype(np.float64), y, None), w, b), dtype)


@DTYPES
@pytest.mark.parametrize("row", [0, 15, 16, 299])
def test_a_bad_value_is_seen_and_good_rows_behind_it_are_not_hidden(row, dtype):
    X, y, _, w = problem(300, 5, dtype)
    X[row, 4] = np.nan
    sums = cpu_pass(Rows(X, y, None), w, 0.0)
    assert np.isnan(sums.loss_sum)
    assert np.isnan(sums.dw_sum).all()


@DTYPES
def test_rows_at_an_odd_address(dtype):
    n, d, itemsize = 700, 6, np.dtype(dtype).itemsize
    aligned, y, s, w = problem(n, d, dtype)
    X = np.zeros(n * d * itemsize + 1, np.uint8)[1:].view(dtype).reshape(n, d)
    X[...] = aligned
    assert not X.flags.aligned
    check(cpu_pass(Rows(X, y, s), w, 0.1), reference_pass(Rows(aligned.astype(np.float64), y, s), w, 0.1), dtype)
    W, b, labels = np.stack([w, -w, 0 * w]), np.zeros(3), y.astype(np.int32)
    wanted = reference_multinomial_pass(Rows(aligned.astype(np.float64), labels, s), W, b)
    check(cpu_multinomial_pass(Rows(X, labels, s), W, b), wanted, dtype)


@DTYPES
@pytest.mark.parametrize(("d", "K"), [(1, 3), (3, 3), (9, 5), (17, 10), (5, 20)])
def test_passes_and_hessians_of_many_classes_read_no_further(d, K, dtype):
    X, _, s, _ = problem(131, d, dtype)
    rng = np.random.default_rng(d)
    y, W, b = rng.integers(0, K, 131).astype(np.int32), rng.standard_normal((K, d)), rng.standard_normal(K)
    wanted = reference_multinomial_pass(Rows(X.astype(np.float64), y, s), W, b)
    check(cpu_multinomial_pass(Rows(X, y, s), W, b), wanted, dtype)
    assert np.isfinite(multinomial_curvature_sum(X, s, W)).all()


def test_rows_are_short_up_to_so_many_bytes():
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        vector = vector_for(1, dtype)
        assert vector is not None
        assert vector_for(SHORT_ROW_BYTES // dtype.itemsize, dtype) == vector
        assert vector_for(SHORT_ROW_BYTES // dtype.itemsize + 1, dtype) is None
        assert vector_for(0, dtype) is None
