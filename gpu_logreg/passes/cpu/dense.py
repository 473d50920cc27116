"""The CPU pass: one read of ``X``, compiled by Numba, run by a pool of threads over ranges of rows.

Equation: ``z = X @ w + b``; ``dz = s (p - y)``; sums of ``s row_loss``, ``X.T @ dz`` and ``dz``.
A few rows at a time are read into the first-level cache. Their logits, losses and ``dz`` are computed, and the rows are
read again from the cache for their share of ``dw_sum``. Nothing of size n is stored.

Order of the sums: rows are cut into chunks of fixed length, and the float64 sums of the chunks are added in order. So
the result has the same bits for any number of threads. Within a chunk float32 rows are summed in float32 for at most
`loops.dense.FLUSH_ROWS` rows, and these sums are added to float64 totals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.block_sizes import STAGED_DENSE as STAGE_BYTES
from gpu_logreg.arrays.blocks import chunks_are_few, map_chunks
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import DType, DTypeLike, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.cpu.loops.sizes import vector_for
from gpu_logreg.passes.sums import LabelledMoments, Moments, Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["DensePass", "cpu_moments", "cpu_moments_by_label", "cpu_pass", "supports"]

_sum_rows = Loop("gpu_logreg.passes.cpu.loops.dense", "sum_rows")
_sum_column_major = Loop("gpu_logreg.passes.cpu.loops.dense", "sum_column_major")
_sum_moments = Loop("gpu_logreg.passes.cpu.loops.dense", "sum_moments")
_sum_moments_by_label = Loop("gpu_logreg.passes.cpu.loops.dense", "sum_moments_by_label")
_sum_short_rows = Loop("gpu_logreg.passes.cpu.loops.short_rows", "sum_short_rows")

CHUNK_ROWS = 2048
"""Rows of a chunk. It decides the order of additions, and so the last bits of sums."""


def supports(rows: Rows) -> str | None:
    """Why this pass cannot take ``rows``; None if it can."""
    if not isinstance(rows.X, np.ndarray):
        return f"the cpu pass reads rows in host memory, and X is a {type(rows.X).__module__} array"
    if (rows.X.dtype.kind not in "fiub" and rows.X.dtype.name != "bfloat16") or rows.X.dtype.itemsize > 8:
        return f"the cpu pass reads real numbers of at most 8 bytes, and X is {rows.X.dtype}"
    return None


def cpu_pass(rows: Rows, w: Float64Vector, b: float, dtype: DTypeLike | None = None) -> Sums:
    """Loss and gradient sums over ``rows`` at one point, in one read; see `DensePass`."""
    return DensePass(rows, 1, dtype)(w, b)


class DensePass:
    """Loss and gradient sums over rows, in one read for each point: what rows alone decide is decided once.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d): it is read in place where it is float32 or float64 and C- or Fortran-contiguous, and else
        converted a few rows at a time.
    n_logits : int
        1.
    dtype : float32 or float64, optional
        Dtype to compute in; `gpu_logreg.rows.block.compute_dtype` of that of ``X`` if None.
    """

    def __init__(self, rows: Rows, n_logits: int = 1, dtype: DTypeLike | None = None) -> None:
        X, self._y, sample_weight = rows
        self._sample_weight = np.empty(0) if sample_weight is None else sample_weight
        self._dtype, self._d = np.dtype(dtype or compute_dtype(X.dtype)), X.shape[1]
        vector = vector_for(self._d, self._dtype)
        self._chunks = _Chunks(X, self._dtype, widens=vector is None)
        self._column_major = self._chunks.in_place and X.flags.f_contiguous and not X.flags.c_contiguous
        self._vector = None if self._column_major else vector
        self._n_weights = self._d if self._vector is None else -(-self._d // len(self._vector)) * len(self._vector)

    def __call__(self, w: Float64Vector, b: float) -> Sums:
        """The sums at the weights ``w`` of shape (d,) and the intercept ``b``."""
        d, b = self._d, float(b)
        weights = np.zeros(self._n_weights, self._dtype)
        weights[:d] = w
        y, sample_weight = self._y, self._sample_weight

        def sum_rows(X: HostArray, first: int, last: int, offset: int, out: Float64Matrix) -> None:
            s = sample_weight[offset:]
            if self._column_major:
                _sum_column_major(X, y[offset:], s, weights, b, first, last, CHUNK_ROWS, out)
            elif self._vector is None:
                _sum_rows(X, y[offset:], s, weights, b, first, last, CHUNK_ROWS, out)
            else:
                _sum_short_rows(self._vector, X, y[offset:], s, weights, b, first, last, CHUNK_ROWS, out)

        total = self._chunks.sum(sum_rows, d + 2)
        return Sums(float(total[d + 1]), total[:d], float(total[d]))


def cpu_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in one read and in float64."""
    X, _, sample_weight = rows
    d, weights = X.shape[1], np.empty(0) if sample_weight is None else sample_weight

    def sum_rows(X: HostArray, first: int, last: int, offset: int, out: Float64Matrix) -> None:
        _sum_moments(X, weights[offset:], first, last, CHUNK_ROWS, out)

    total = _Chunks(X, compute_dtype(X.dtype)).sum(sum_rows, 2 * d)
    return Moments(total[:d], total[d:])


def cpu_moments_by_label(rows: Rows) -> LabelledMoments | None:
    """Sums of the columns, of their squares and by label, in one read and in float64; None for a column-major ``X``."""
    X, y, sample_weight = rows
    d, weights = X.shape[1], np.empty(0) if sample_weight is None else sample_weight
    chunks = _Chunks(X, compute_dtype(X.dtype))
    if chunks.in_place and not X.flags.c_contiguous:
        return None

    def sum_rows(X: HostArray, first: int, last: int, offset: int, out: Float64Matrix) -> None:
        _sum_moments_by_label(X, y[offset:], weights[offset:], first, last, CHUNK_ROWS, out)

    total = chunks.sum(sum_rows, 3 * d)
    y_sum = float(y.sum(dtype=np.float64) if sample_weight is None else np.multiply(y, weights, dtype=np.float64).sum())
    return LabelledMoments(total[:d], total[d : 2 * d], total[2 * d :], y_sum)


class _Chunks:
    """Rows in chunks of fixed length: the sums of each, added in order.

    ``widens`` says whether the loop reads C-ordered float32 rows in place for arithmetic in float64.
    """

    def __init__(self, X: HostArray, dtype: DType, widens: bool = False) -> None:
        self._X, self._dtype = X, dtype
        in_place = X.dtype == dtype and (X.flags.c_contiguous or X.flags.f_contiguous)
        in_place = in_place or (widens and X.dtype == np.float32 and dtype == np.float64 and X.flags.c_contiguous)
        self.in_place = in_place and X.dtype.isnative and X.flags.aligned
        self._count = -(-X.shape[0] // CHUNK_ROWS)
        self._alone = self.in_place and chunks_are_few(self._count, X.nbytes)

    def sum(self, sum_rows: Callable[..., None], width: int) -> Float64Vector:
        """``width`` sums over all rows, of which ``sum_rows(X, first, last, offset, out)`` adds those of chunks."""
        n, partials = len(self._X), np.zeros((self._count, width))
        if self._alone:
            sum_rows(self._X, 0, n, 0, partials)
            return np.asarray(partials.sum(axis=0))

        def work(first_chunk: int, last_chunk: int) -> None:
            first, last = first_chunk * CHUNK_ROWS, min(n, last_chunk * CHUNK_ROWS)
            if self.in_place:
                sum_rows(self._X, first, last, 0, partials[first_chunk:last_chunk])
                return
            for start in range(first, last, CHUNK_ROWS):
                self._sum_staged(sum_rows, start, min(last, start + CHUNK_ROWS), partials[start // CHUNK_ROWS :][:1])

        map_chunks(work, self._count, self._X.nbytes)
        return np.asarray(partials.sum(axis=0))

    def _sum_staged(self, sum_rows: Callable[..., None], first: int, last: int, out: Float64Matrix) -> None:
        """The sums of a chunk whose rows are converted a few at a time."""
        X, dtype, part = self._X, self._dtype, np.zeros_like(out)
        step = max(64, STAGE_BYTES // max(1, X.shape[1] * dtype.itemsize))
        for a in range(first, last, step):
            stop = min(last, a + step)
            sum_rows(X[a:stop].astype(dtype, order="C"), 0, stop - a, a, part)
            out += part
