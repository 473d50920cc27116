"""Products with the Hessian over sparse rows: compiled, in float64, and for two classes in one read.

See `gpu_logreg.passes.row_curvature` for the equations, and `gpu_logreg.passes.cpu.products` for labels and directions.

Sums of text with K classes have millions of numbers, and to add those of chunks of rows takes as long as to compute
them. So the rows are walked twice: by chunks of rows for their logits and what their elements are multiplied by, of
shape (n, K), and then by every thread for some of the classes, over all rows in their order. Bits depend neither on the
chunks nor on the threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import MULTIPLIERS, SPARSE_LOGITS
from gpu_logreg.arrays.blocks import map_in_order, n_threads, row_blocks
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.csr import in_order, stored_in_a_row
from gpu_logreg.arrays.vector import CsrArray, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.arrays.wide_vectors import transposed
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.mathematics.softmax import curvature_diagonal
from gpu_logreg.passes.cpu.sparse import chunks_of_rows, sparse_logits, sum_chunks
from gpu_logreg.passes.engine import GradientPass
from gpu_logreg.passes.row_curvature import Product, RowCurvature, keeps_probabilities
from gpu_logreg.passes.sums import Moments, Sums, add_in_place
from gpu_logreg.rows.block import consecutive_rows
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "WIDE_SUMS",
    "sparse_gradient_and_curvature",
    "sparse_multinomial_gradient",
    "sparse_multinomial_gradient_and_curvature",
    "sparse_multinomial_moments_by_curvature",
    "sparse_multinomial_product",
    "sparse_multinomial_row_curvature",
    "sparse_probabilities",
    "sparse_product",
    "sparse_row_curvature",
]

_sum_kept_sparse_rows = Loop("gpu_logreg.passes.cpu.loops.sparse_products", "sum_kept_sparse_rows")
_add_outer_products_of_rows = Loop("gpu_logreg.passes.cpu.loops.sparse_products", "add_outer_products_of_rows")
_fill_sparse_rows = Loop("gpu_logreg.passes.cpu.loops.sparse_products", "fill_sparse_rows")
_fill_sparse_probabilities = Loop("gpu_logreg.passes.cpu.loops.sparse_products", "fill_sparse_probabilities")

WIDE_SUMS = 2**24
"""Bytes of the sums of K classes from which gradients are summed as products are, because adding the sums of chunks
takes longer than reading the elements twice. On two cores a gradient of 44 MB took 0.7 times as long, one of 9 MB 0.95
times and one of 4 kB 1.7 times; no row is kept of it."""

LEAST_CLASSES = 2
"""Least classes that a thread sums over sparse rows: it reads all elements for them."""


def sparse_row_curvature(data: ResidentDataset, w: Float64Vector, b: float) -> RowCurvature:
    """``h_i = s_i p_i (1 - p_i)`` of rows of two classes."""
    h, s = curvature(sparse_logits(data.rows.X, w, b)), data.rows.sample_weight
    return RowCurvature(w, b, h if s is None else h * s)


def sparse_gradient_and_curvature(data: ResidentDataset, w: Float64Vector, b: float) -> tuple[Sums, RowCurvature]:
    """Gradient sums and ``h_i`` of rows of two classes."""
    h = np.empty(data.n_rows)
    return _sums(data, np.ascontiguousarray(data.rows.y), h, w, b), RowCurvature(w, b, h)


def sparse_product(data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: float) -> Product:
    """``sum_i e_i x_i`` and ``sum_i e_i`` with ``e_i = h_i (x_i @ v + c)``."""
    assert at.kept is not None
    _, dw, db = _sums(data, None, at.kept, v, c)
    return Product(dw, db)


def _sums(data: ResidentDataset, y: HostArray | None, h: Float64Vector, v: Float64Vector, c: float) -> Sums:
    X, s = data.rows.X, None if y is None else data.rows.sample_weight
    v = np.ascontiguousarray(v, np.float64)

    def of_chunk(first: int, last: int) -> Sums:
        dw = np.zeros(len(v))
        loss, db = _sum_kept_sparse_rows(X.data, X.indices, X.indptr, y, s, h, v, float(c), first, last, dw)
        return Sums(float(loss), dw, float(db))

    return sum_chunks(add_in_place, of_chunk, chunks_of_rows(X, 1))


def sparse_multinomial_row_curvature(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> RowCurvature:
    """Probabilities of rows of K classes, where they are few beside the rows."""
    if not keeps_probabilities(data, len(b), 8):
        return RowCurvature(W, b, None)
    X = data.rows.X
    parts = row_blocks(X.shape[0], stored_in_a_row(X), SPARSE_LOGITS)
    found = map_in_order(sparse_probabilities(X, W, b), parts)
    return RowCurvature(W, b, np.concatenate([np.empty((0, len(b))), *found]))


def sparse_multinomial_gradient_and_curvature(
    data: ResidentDataset, W: Float64Matrix, b: Float64Vector
) -> tuple[Sums, RowCurvature]:
    """Gradient sums of rows of K classes, and their probabilities where they are few beside the rows."""
    kept = np.empty((data.n_rows, len(b))) if keeps_probabilities(data, len(b), 8) else None
    at = RowCurvature(W, b, kept)
    return _multinomial_sums(data, np.ascontiguousarray(data.rows.y), at, W, b), at


def sparse_multinomial_gradient(data: ResidentDataset) -> GradientPass:
    """Gradient sums of rows of K classes whose own sums are large: see `WIDE_SUMS`."""
    y = np.ascontiguousarray(data.rows.y)
    return lambda W, b: _multinomial_sums(data, y, RowCurvature(W, b, None), W, b)


def sparse_multinomial_product(data: ResidentDataset, at: RowCurvature, V: Float64Matrix, c: Float64Vector) -> Product:
    """``E.T @ X`` and ``sum_i e_i`` with ``e_i = s_i (diag(p_i) - p_i p_i.T) (V x_i + c)``."""
    _, dw, db = _multinomial_sums(data, None, at, V, c)
    return Product(dw, db)


def sparse_multinomial_moments_by_curvature(
    data: ResidentDataset, W: Float64Matrix, b: Float64Vector
) -> tuple[Float64Vector, Moments]:
    """``sum_i h_ik``, ``sum_i h_ik x_ij`` and ``sum_i h_ik x_ij**2`` of K classes, with ``h_ik = s_i p_ik (1 - p_ik)``.

    Of shapes (K,) and (K, d); every thread sums some of the classes.
    """
    K, d = W.shape
    sums, firsts = _sums_of_classes(d, K)
    squares, _ = _sums_of_classes(d, K)
    h_sum = np.zeros(K)
    for block in row_blocks(data.n_rows, 8 * K, MULTIPLIERS):
        X, _, s = consecutive_rows(data.rows, block)
        X = in_order(X)  # an element that is stored in parts has one square
        x = X.data.astype(np.float64, copy=False)
        xx = x * x
        parts = row_blocks(X.shape[0], stored_in_a_row(X), SPARSE_LOGITS)
        P = np.concatenate([np.empty((0, K)), *map_in_order(sparse_probabilities(X, W, b), parts)])
        h = curvature_diagonal(P)
        if s is not None:
            h *= s[:, None]

        def of_classes(
            first: int, dw: Float64Matrix, dw_2: Float64Matrix, X: Any = X, x: Any = x, xx: Any = xx, h: Any = h
        ) -> None:
            _add_outer_products_of_rows(x, X.indices, X.indptr, h, first, dw)
            _add_outer_products_of_rows(xx, X.indices, X.indptr, h, first, dw_2)

        map_in_order(of_classes, firsts, sums, squares)
        h_sum += h.sum(axis=0)
    return h_sum, Moments(_by_class(sums), _by_class(squares))


def _multinomial_sums(
    data: ResidentDataset, y: HostArray | None, at: RowCurvature, V: Float64Matrix, c: Float64Vector
) -> Sums:
    """Gradient sums at ``V, c`` where there are labels, which fill what is kept, and else the product with ``V, c``."""
    X, _, s = data.rows
    K, d = V.shape
    by_column, shift = transposed(V), np.ascontiguousarray(c, np.float64)
    fill = None if at.kept is not None or y is not None else sparse_probabilities(X, at.w, at.b)
    sums, firsts = _sums_of_classes(d, K)
    db, loss = np.zeros(K), 0.0
    for block in row_blocks(data.n_rows, 8 * K, MULTIPLIERS):
        E = np.empty((block.stop - block.start, K))

        def of_rows(part: slice, E: Float64Matrix = E, block: slice = block) -> float:
            rows = slice(block.start + part.start, block.start + part.stop)
            labels, weights = None if y is None else y[rows], None if s is None else s[rows]
            P = np.empty((part.stop - part.start, K)) if at.kept is None else at.kept[rows]
            if fill is not None:
                P = fill(rows)
            start = X.indptr[rows.start : rows.stop + 1]
            of_point = labels, weights, P, by_column, shift
            return float(_fill_sparse_rows(X.data, X.indices, start, *of_point, E[part]))

        def of_classes(first: int, dw: Float64Matrix, E: Float64Matrix = E, block: slice = block) -> None:
            start = X.indptr[block.start : block.stop + 1]
            _add_outer_products_of_rows(X.data, X.indices, start, E, first, dw)

        loss += sum(map_in_order(of_rows, row_blocks(len(E), stored_in_a_row(X), SPARSE_LOGITS)))
        map_in_order(of_classes, firsts, sums)
        db += E.sum(axis=0)
    return Sums(loss, _by_class(sums), db)


def _by_class(sums: list[Float64Matrix]) -> Float64Matrix:
    """Sums of shape (K, d) from those of consecutive classes, each of shape (d, m)."""
    edges = np.cumsum([0, *(part.shape[1] for part in sums)]).tolist()
    total = np.empty((edges[-1], len(sums[0])))

    def of_part(first: int, last: int, part: Float64Matrix) -> None:
        total[first:last] = part.T

    map_in_order(of_part, edges[:-1], edges[1:], sums)
    return total


def _sums_of_classes(d: int, K: int) -> tuple[list[Float64Matrix], list[int]]:
    """Zeros of shape (d, m) for the m classes of every thread, and its first class."""
    count = max(1, min(n_threads(), K // LEAST_CLASSES))
    edges = [K * k // count for k in range(count + 1)]
    return [np.zeros((d, after - first)) for first, after in itertools.pairwise(edges)], edges[:-1]


def sparse_probabilities(X: CsrArray, W: Float64Matrix, b: Float64Vector) -> Callable[[slice], Float64Matrix]:
    """A function from consecutive rows to their probabilities."""
    by_column, intercepts = transposed(W), np.ascontiguousarray(b, np.float64)

    def of_part(part: slice) -> Float64Matrix:
        P = np.empty((part.stop - part.start, len(intercepts)))
        start = X.indptr[part.start : part.stop + 1]
        _fill_sparse_probabilities(X.data, X.indices, start, by_column, intercepts, P)
        return P

    return of_part
