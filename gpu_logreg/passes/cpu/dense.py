"""The CPU pass: one read of ``X``, compiled by Numba, run by a pool of threads over ranges of rows.

Equation: ``z = X @ w + b``; ``dz = s (p - y)``; sums of ``s row_loss``, ``X.T @ dz`` and ``dz``.
A few rows at a time are brought into the first-level cache, give their logits, losses and ``dz``, are read once more
from that cache for their share of ``dw_sum``, and are forgotten. Nothing of size n is stored.

Bits: rows are cut into chunks of fixed length and the float64 sums of the chunks are added in order, so the result
does not depend on the number of threads. Within a chunk float32 rows are accumulated in float32 for at most
`loops.dense.FLUSH_ROWS` rows before the float64 totals take over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import map_chunks, n_threads
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.passes.cpu.loops import dense as kernels
from gpu_logreg.passes.cpu.loops.short_rows import sum_short_rows, vector_for
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["cpu_moments", "cpu_pass", "n_threads", "supports"]

CHUNK_ROWS = 2048
"""Rows whose sums are taken together; a constant, because it decides the order of additions."""

STAGE_BYTES = 2 * 2**20
"""Rows that are not contiguous float32 or float64 are converted this many bytes at a time."""


def supports(rows: Rows) -> str | None:
    """Why this pass cannot take ``rows``; None if it can."""
    if not isinstance(rows.X, np.ndarray):
        return f"the cpu pass reads rows in host memory, and X is a {type(rows.X).__module__} array"
    if (rows.X.dtype.kind not in "fiub" and rows.X.dtype.name != "bfloat16") or rows.X.dtype.itemsize > 8:
        return f"the cpu pass reads real numbers of at most 8 bytes, and X is {rows.X.dtype}"
    return None


def cpu_pass(rows: Rows, w: Float64Vector, b: float, dtype: Any = None) -> Sums:
    """Loss and gradient sums over ``rows`` in one read.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d): float32 or float64, C- or Fortran-contiguous, is read where it lies; any other real
        dtype or stride is converted a little at a time.
    w : ndarray of shape (d,)
        Weights, float64.
    b : float
        Intercept.
    dtype : float32 or float64, optional
        To compute in; what `gpu_logreg.rows.block.compute_dtype` says if None. Rows stored otherwise are converted.

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

    def sum_rows(X: Any, first: int, last: int, chunk: int, offset: int, out: Any) -> None:
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

    def sum_rows(X: Any, first: int, last: int, chunk: int, offset: int, out: Any) -> None:
        s = None if sample_weight is None else sample_weight[offset:]
        kernels.sum_moments(X, s, first, last, chunk, out)

    total = _sum_chunks(X, compute_dtype(X.dtype), 2 * d, sum_rows)
    return Moments(total[:d], total[d:])


def _sum_chunks(
    X: Any, dtype: np.dtype[Any], width: int, sum_rows: Callable[..., None], widens: bool = False
) -> Float64Vector:
    """Add the sums of all chunks of rows, in order, each computed by ``sum_rows`` on some thread.

    ``widens``: whether ``sum_rows`` takes C-ordered float32 rows for arithmetic in float64 as they are.
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
