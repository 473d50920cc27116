"""The CPU pass over sparse rows: one read of their elements, compiled by Numba, by a pool of threads.

Equations as of `gpu_logreg.passes.cpu` and `gpu_logreg.passes.cpu_multinomial`; zeros that are not stored add nothing
to a logit or a gradient, so that time and memory are those of the stored elements. Everything is computed in float64,
whatever the elements are stored in: what takes time is to look up weights by column.

Bits: rows are cut into chunks of about equally many elements, whose number depends on the sizes alone, and their
float64 sums are added in order, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.passes import Float64Vector, Moments, Rows, Sums
from gpu_logreg.passes.threads import map_in_order

__all__ = ["sparse_curvature_sums", "sparse_moments", "sparse_multinomial_pass", "sparse_pass"]

CHUNKS, LEAST_CHUNK_WORK = 16, 100_000
ELEMENTS_PER_COLUMN = 4
"""Elements of a chunk for each column, at least: the sums of all chunks are added in the end."""

PARTIAL_BYTES = 2**28
"""Of the sums of all chunks together."""


def sparse_pass(rows: Rows, w: Float64Vector, b: float, dtype: Any = None) -> Sums:
    """Loss and gradient sums over sparse rows in one read.

    Parameters
    ----------
    rows : Rows
        ``X`` in CSR of shape (n, d), as `gpu_logreg.csr.csr_rows` gives it.
    w : ndarray of shape (d,)
        Weights, float64.
    b : float
        Intercept.
    dtype : ignored
        It is float64.

    Returns
    -------
    Sums
    """
    from gpu_logreg.passes.kernels_numba_sparse import sum_sparse_rows

    X, y, s = rows
    y, w = np.ascontiguousarray(y), np.ascontiguousarray(w, np.float64)

    def of_chunk(first: int, last: int) -> Sums:
        dw = np.zeros(len(w))
        loss, db = sum_sparse_rows(X.data, X.indices, X.indptr, y, s, w, float(b), first, last, dw)
        return Sums(float(loss), dw, float(db))

    return _added(map_in_order(of_chunk, *_chunks(X, 1)))


def sparse_multinomial_pass(rows: Rows, W: Any, b: Float64Vector, dtype: Any = None) -> Sums:
    """Loss and gradient sums over sparse rows for K logits in one read.

    Parameters
    ----------
    rows : Rows
        ``X`` in CSR of shape (n, d); ``y``: the number of each row's class.
    W : ndarray of shape (K, d)
        Weights, float64.
    b : ndarray of shape (K,)
        Intercepts, float64.
    dtype : ignored
        It is float64.

    Returns
    -------
    Sums
        ``dw_sum`` of shape (K, d), ``db_sum`` of shape (K,).
    """
    from gpu_logreg.passes.kernels_numba_sparse import sum_sparse_rows_of_classes

    X, y, s = rows
    by_column, y = np.ascontiguousarray(W.T, np.float64), np.ascontiguousarray(y)
    intercepts = np.ascontiguousarray(b, np.float64)

    def of_chunk(first: int, last: int) -> Sums:
        dw, db = np.zeros(by_column.shape), np.zeros(len(intercepts))
        loss = sum_sparse_rows_of_classes(X.data, X.indices, X.indptr, y, s, by_column, intercepts, first, last, dw, db)
        return Sums(float(loss), dw, db)

    total = _added(map_in_order(of_chunk, *_chunks(X, len(intercepts))))
    return total._replace(dw_sum=np.ascontiguousarray(total.dw_sum.T))


def sparse_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in float64."""
    X, _, s = rows
    x = X.data.astype(np.float64)
    weighted = x if s is None else x * np.repeat(s, np.diff(X.indptr))
    d = X.shape[1]
    x_sum, xx_sum = np.bincount(X.indices, weighted, d), np.bincount(X.indices, weighted * x, d)
    return Moments(x_sum.astype(np.float64), xx_sum.astype(np.float64))  # of no elements they are whole numbers


def sparse_curvature_sums(X: Any, h: Float64Vector, compiled: bool) -> tuple[Any, Float64Vector]:
    """``sum_i h_i x_i x_i.T`` of shape (d, d) and ``sum_i h_i x_i`` of shape (d,), over CSR rows.

    Parameters
    ----------
    X : csr_array of shape (n, d), float64
    h : ndarray of shape (n,)
    compiled : bool
        Whether by Numba, or by SciPy's products, which are what it is held to.
    """
    if not compiled:
        return (X.T @ (X * h[:, None])).toarray(), X.T @ h
    from gpu_logreg.passes.kernels_numba_sparse import sum_curvature

    d = X.shape[1]

    def of_chunk(first: int, last: int) -> tuple[Any, Float64Vector]:
        H, v = np.zeros((d, d)), np.zeros(d)
        sum_curvature(X.data, X.indices, X.indptr, h, first, last, H, v)
        return H, v

    parts = map_in_order(of_chunk, *_chunks(X, d))
    H, v = parts[0]
    for H_part, v_part in parts[1:]:
        H += H_part
        v += v_part
    return H + np.tril(H, -1).T, v


def _chunks(X: Any, sums_by_column: int) -> tuple[list[int], list[int]]:
    """First rows of the chunks, and the rows after their last.

    ``sums_by_column`` are kept of a chunk, and made by as much work for every element.
    """
    n, d = X.shape
    many = min(X.nnz * sums_by_column // LEAST_CHUNK_WORK, X.nnz // (ELEMENTS_PER_COLUMN * max(1, d)))
    count = max(1, min(CHUNKS, many, PARTIAL_BYTES // max(1, 8 * d * sums_by_column)))
    edges = np.searchsorted(X.indptr, np.linspace(0, X.nnz, count + 1)[1:-1]).tolist()
    return [0, *edges], [*edges, n]


def _added(parts: list[Sums]) -> Sums:
    """The sums of all chunks, in order, in the memory of the first."""
    loss, dw, db = parts[0]
    for part in parts[1:]:
        loss += part.loss_sum
        dw += part.dw_sum
        db = db + part.db_sum
    return Sums(loss, dw, db)
