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
from gpu_logreg.arrays.blocks import map_chunks
from gpu_logreg.arrays.vector import DType, DTypeLike, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.cpu.loops import dense as kernels
from gpu_logreg.passes.cpu.loops.short_rows import sum_short_rows, vector_for
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["cpu_moments", "cpu_pass", "supports"]

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
    """Loss and gradient sums over ``rows`` in one read.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d): it is read in place where it is float32 or float64 and C- or Fortran-contiguous, and else
        converted a few rows at a time.
    w : ndarray of shape (d,)
        Weights, float64.
    b : float
        Intercept.
    dtype : float32 or float64, optional
        Dtype to compute in; `gpu_logreg.rows.block.compute_dtype` of that of ``X`` if None.

    Returns
    -------
    Sums
    """
    X, y, sample_weight = rows
    dtype = np.dtype(dtype or compute_dtype(X.dtype))
    w_row = np.ascontiguousarray(w, dtype=dtype)
    d = X.shape[1]
    vector = vector_for(d, dtype)
    if vector is not None:
        padded = np.zeros(-(-d // len(vector)) * len(vector), dtype)
        padded[:d] = w_row

    def sum_rows(X: HostArray, first: int, last: int, chunk: int, offset: int, out: Float64Matrix) -> None:
        s = None if sample_weight is None else sample_weight[offset:]
        if X.flags.f_contiguous and not X.flags.c_contiguous:
            kernels.sum_column_major(X, y[offset:], s, w_row, float(b), first, last, chunk, out)
        elif vector is None:
            kernels.sum_rows(X, y[offset:], s, w_row, float(b), first, last, chunk, out)
        else:
            sum_short_rows(vector, X, y[offset:], s, padded, float(b), first, last, chunk, out)

    total = _sum_chunks(X, dtype, d + 2, sum_rows, widens=vector is None)
    return Sums(float(total[d + 1]), total[:d], float(total[d]))


def cpu_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in one read and in float64."""
    X, _, sample_weight = rows
    d = X.shape[1]

    def sum_rows(X: HostArray, first: int, last: int, chunk: int, offset: int, out: Float64Matrix) -> None:
        s = None if sample_weight is None else sample_weight[offset:]
        kernels.sum_moments(X, s, first, last, chunk, out)

    total = _sum_chunks(X, compute_dtype(X.dtype), 2 * d, sum_rows)
    return Moments(total[:d], total[d:])


def _sum_chunks(
    X: HostArray, dtype: DType, width: int, sum_rows: Callable[..., None], widens: bool = False
) -> Float64Vector:
    """The sums over all rows: ``sum_rows`` computes ``width`` sums for each chunk, and these are added in order.

    ``widens`` says whether ``sum_rows`` reads C-ordered float32 rows in place for arithmetic in float64.
    """
    n = X.shape[0]
    n_chunks = -(-n // CHUNK_ROWS)
    partials = np.zeros((n_chunks, width))
    in_place = X.dtype == dtype and (X.flags.c_contiguous or X.flags.f_contiguous)
    in_place = in_place or (widens and X.dtype == np.float32 and dtype == np.float64 and X.flags.c_contiguous)
    in_place = in_place and X.dtype.isnative and X.flags.aligned

    def work(first_chunk: int, last_chunk: int) -> None:
        first, last = first_chunk * CHUNK_ROWS, min(n, last_chunk * CHUNK_ROWS)
        if in_place:
            sum_rows(X, first, last, CHUNK_ROWS, 0, partials[first_chunk:last_chunk])
            return
        step = max(64, STAGE_BYTES // max(1, X.shape[1] * dtype.itemsize))
        for start in range(first, last, CHUNK_ROWS):
            chunk_end = min(last, start + CHUNK_ROWS)
            out = partials[start // CHUNK_ROWS : start // CHUNK_ROWS + 1]
            part = np.zeros_like(out)
            for a in range(start, chunk_end, step):
                stop = min(chunk_end, a + step)
                staged = X[a:stop].astype(dtype, order="C")
                sum_rows(staged, 0, stop - a, CHUNK_ROWS, a, part)
                out += part

    map_chunks(work, n_chunks, X.nbytes)
    return np.asarray(partials.sum(axis=0))
