"""Products with the Hessian on the host: compiled, in one read of the rows, by a pool of threads over ranges of rows.

See `gpu_logreg.passes.row_curvature` for the equations. The order of the sums is as in a gradient: rows are cut into
chunks, whose number depends on the sizes alone, and the float64 sums of the chunks are added in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.block_sizes import CURVED_LOGITS, SPARSE_LOGITS
from gpu_logreg.arrays.block_sizes import PARTIALS_CLASSES as PARTIAL_BYTES
from gpu_logreg.arrays.block_sizes import STAGED_CLASSES as STAGE_BYTES
from gpu_logreg.arrays.blocks import map_in_order, n_threads, row_blocks, sum_in_order
from gpu_logreg.arrays.csr import elements_in_a_row
from gpu_logreg.arrays.vector import CsrArray, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.passes.cpu.classes import in_vectors
from gpu_logreg.passes.cpu.loops.short_rows import SHORT_ROW_BYTES
from gpu_logreg.passes.cpu.sparse import _chunks, sparse_logits
from gpu_logreg.passes.row_curvature import Product, RowCurvature, keeps_probabilities
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "multinomial_product",
    "multinomial_row_curvature",
    "product",
    "reads_in_place",
    "sparse_multinomial_product",
    "sparse_multinomial_row_curvature",
    "sparse_product",
    "sparse_row_curvature",
]

LEAST_CLASSES = 2
"""Least classes that a thread sums over sparse rows: it reads all elements for them."""

CHUNKS, LEAST_CHUNK_ROWS, LEAST_CHUNK_WORK = 16, 128, 2**18
"""Most chunks, and least rows and least products of one. They decide the order of additions, and so the last bits."""


def reads_in_place(data: ResidentDataset) -> bool:
    """Whether `product` takes dense rows of two classes: it reads them in place, and they are long.

    Products by BLAS take no longer for other rows, which are converted a block at a time for either, and for rows of at
    most `SHORT_ROW_BYTES`, over which the compiler's vector loops are slow.
    """
    X, dtype = data.rows.X, data.compute_dtype
    long = X.shape[1] * dtype.itemsize > SHORT_ROW_BYTES
    return bool(long and X.dtype in (dtype, np.float32) and _is_plain(X))


def product(data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: float) -> Product:
    """``sum_i e_i x_i`` and ``sum_i e_i`` with ``e_i = h_i (x_i @ v + c)``, of dense rows of two classes.

    Parameters
    ----------
    data : ResidentDataset
        Rows that `reads_in_place` accepts.
    at : RowCurvature
    v : ndarray of shape (d,)
    c : float
    """
    from gpu_logreg.passes.cpu.loops.products import sum_products

    X, dtype = data.rows.X, data.compute_dtype
    direction, h = np.ascontiguousarray(v, dtype), np.ascontiguousarray(at.kept, dtype)

    def of_chunk(first: int, last: int) -> Product:
        dw = np.zeros(len(direction))
        db = sum_products(X[first:last], h[first:last], direction, float(c), dw)
        return Product(dw, float(db))

    return _sum_chunks(of_chunk, len(X), len(direction))


def multinomial_row_curvature(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> RowCurvature:
    """Probabilities of dense rows of K classes, padded to whole vectors, where they are few beside the rows."""
    fill, length = _probabilities(data, W, b)
    if not keeps_probabilities(data, length, data.compute_dtype.itemsize):
        return RowCurvature(W, b, None)
    P, rows = np.empty((data.n_rows, length), data.compute_dtype), _Blocks(data)

    def of_chunk(first: int, last: int) -> None:
        for part in rows.parts(first, last):
            fill(rows[part], P[part])

    map_in_order(of_chunk, *_edges(data.n_rows, W.size))
    return RowCurvature(W, b, P)


def multinomial_product(data: ResidentDataset, at: RowCurvature, V: Float64Matrix, c: Float64Vector) -> Product:
    """``E.T @ X`` and ``sum_i e_i`` with ``e_i = s_i (diag(p_i) - p_i p_i.T) (V x_i + c)``, of dense rows of K classes.

    Parameters
    ----------
    data : ResidentDataset
        Its ``X`` is read in place where it is C-contiguous and Numba has its dtype, and else converted a few rows at a
        time.
    at : RowCurvature
        Where it keeps no probabilities, those of a few rows at a time are computed first.
    V : ndarray of shape (K, d)
    c : ndarray of shape (K,)
    """
    from gpu_logreg.passes.cpu.loops.products import sum_products_of_classes

    s, dtype = data.rows.sample_weight, data.compute_dtype
    K, d = V.shape
    vector, direction, shift = in_vectors(V, c, dtype)
    shift[K:] = 0.0
    kept = None if at.kept is None else np.ascontiguousarray(at.kept, dtype)
    fill, length = _probabilities(data, at.w, at.b)
    rows = _Blocks(data)

    def of_chunk(first: int, last: int) -> Product:
        dw, db = np.zeros(direction.shape), np.zeros(length)
        for part in rows.parts(first, last, few=kept is None):
            block, weights = rows[part], None if s is None else s[part]
            if kept is None:
                P = np.empty((len(block), length), dtype)
                fill(block, P)
            else:
                P = kept[part]
            sum_products_of_classes(vector, block, P, weights, direction, shift, dw, db)
        return Product(dw, db)

    dw, db = _sum_chunks(of_chunk, data.n_rows, direction.size)
    return Product(np.ascontiguousarray(dw.transpose(0, 2, 1).reshape(-1, d)[:K]), db[:K])


def sparse_row_curvature(data: ResidentDataset, w: Float64Vector, b: float) -> RowCurvature:
    """``h_i = s_i p_i (1 - p_i)`` of sparse rows."""
    h, s = curvature(sparse_logits(data.rows.X, w, b)), data.rows.sample_weight
    return RowCurvature(w, b, h if s is None else h * s)


def sparse_product(data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: float) -> Product:
    """As `product`, of sparse rows, in float64."""
    from gpu_logreg.passes.cpu.loops.sparse_products import sum_sparse_products

    X, v = data.rows.X, np.ascontiguousarray(v, np.float64)

    def of_chunk(first: int, last: int) -> Product:
        dw = np.zeros(len(v))
        db = sum_sparse_products(X.data, X.indices, X.indptr, at.kept, v, float(c), first, last, dw)
        return Product(dw, float(db))

    return sum_in_order(_add_in_place, of_chunk, *_chunks(X, 1))


def sparse_multinomial_row_curvature(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> RowCurvature:
    """Probabilities of sparse rows of K classes, where they are few beside the rows."""
    if not keeps_probabilities(data, len(b), 8):
        return RowCurvature(W, b, None)
    X = data.rows.X
    parts = row_blocks(X.shape[0], elements_in_a_row(X), SPARSE_LOGITS)
    found = map_in_order(_sparse_probabilities(X, W, b), parts)
    return RowCurvature(W, b, np.concatenate([np.empty((0, len(b))), *found]))


def sparse_multinomial_product(data: ResidentDataset, at: RowCurvature, V: Float64Matrix, c: Float64Vector) -> Product:
    """As `multinomial_product`, of sparse rows, in float64.

    The sums of text with many classes have millions of numbers. To add those of chunks of rows would take as long as
    to compute them, so each thread sums some of the classes over all rows, in their order.
    """
    from gpu_logreg.passes.cpu.loops.sparse_products import add_outer_products_of_rows, fill_curved_logits

    X, _, s = data.rows
    (K, d), n = V.shape, data.n_rows
    by_column, shift = np.ascontiguousarray(V.T, np.float64), np.ascontiguousarray(c, np.float64)
    fill = _sparse_probabilities(X, at.w, at.b)
    n_parts = max(1, min(n_threads(), K // LEAST_CLASSES))
    edges = [K * k // n_parts for k in range(n_parts + 1)]
    sums = [np.zeros((d, after - first)) for first, after in itertools.pairwise(edges)]
    db = np.zeros(K)
    for block in row_blocks(n, 8 * K, CURVED_LOGITS):
        E = np.empty((block.stop - block.start, K))

        def curve(first: int, last: int, E: Float64Matrix = E, offset: int = block.start) -> None:
            part = slice(offset + first, offset + last)
            P = fill(part) if at.kept is None else at.kept[part]
            weights, start = None if s is None else s[part], X.indptr[part.start : part.stop + 1]
            fill_curved_logits(X.data, X.indices, start, P, weights, by_column, shift, E[first:last])

        def add(first: int, dw: Float64Matrix, E: Float64Matrix = E, block: slice = block) -> None:
            start = X.indptr[block.start : block.stop + 1]
            add_outer_products_of_rows(X.data, X.indices, start, E, first, dw)

        parts = row_blocks(len(E), elements_in_a_row(X), SPARSE_LOGITS)
        map_in_order(curve, [part.start for part in parts], [part.stop for part in parts])
        map_in_order(add, edges[:-1], sums)
        db += E.sum(axis=0)
    dw = np.empty((K, d))
    for first, after, part in zip(edges[:-1], edges[1:], sums, strict=True):
        dw[first:after] = part.T
    return Product(dw, db)


class _Blocks:
    """Blocks of dense rows as the loops read them: in place, or staged, converted a few rows at a time."""

    def __init__(self, data: ResidentDataset) -> None:
        X = self._X = data.rows.X
        self._dtype = data.compute_dtype
        self._in_place = _is_plain(X) and (X.dtype.kind in "iub" or X.dtype in (np.float32, np.float64))

    def parts(self, first: int, last: int, few: bool = False) -> list[slice]:
        """All rows at once where they are read in place, unless ``few`` are asked for."""
        if self._in_place and not few:
            return [slice(first, last)]
        step = max(64, STAGE_BYTES // max(1, self._X.shape[1] * self._dtype.itemsize))
        return [slice(a, min(last, a + step)) for a in range(first, last, step)]

    def __getitem__(self, part: slice) -> HostArray:
        X: HostArray = self._X[part]
        return X if self._in_place else X.astype(self._dtype, order="C")


def _is_plain(X: HostArray) -> bool:
    """Whether rows lie in memory as the loops read them."""
    return bool(X.dtype.isnative and X.flags.c_contiguous and X.flags.aligned)


def _probabilities(
    data: ResidentDataset, W: Float64Matrix, b: Float64Vector
) -> tuple[Callable[[HostArray, HostArray], None], int]:
    """A function that fills the probabilities of a block of rows, and the length to which they are padded."""
    from gpu_logreg.passes.cpu.loops.products import fill_probabilities

    vector, weights, intercepts = in_vectors(W, b, data.compute_dtype)

    def fill(block: HostArray, P: HostArray) -> None:
        fill_probabilities(vector, block, weights, intercepts, P)

    return fill, len(intercepts)


def _sparse_probabilities(X: CsrArray, W: Float64Matrix, b: Float64Vector) -> Callable[[slice], Float64Matrix]:
    """A function from consecutive sparse rows to their probabilities."""
    from gpu_logreg.passes.cpu.loops.sparse_products import fill_sparse_probabilities

    by_column, intercepts = np.ascontiguousarray(W.T, np.float64), np.ascontiguousarray(b, np.float64)

    def of_part(part: slice) -> Float64Matrix:
        P = np.empty((part.stop - part.start, len(intercepts)))
        start = X.indptr[part.start : part.stop + 1]
        fill_sparse_probabilities(X.data, X.indices, start, by_column, intercepts, P)
        return P

    return of_part


def _edges(n: int, n_sums: int) -> tuple[list[int], list[int]]:
    """First rows of the chunks, and the rows after their last ones, for ``n_sums`` sums over the rows."""
    most = min(CHUNKS, n // LEAST_CHUNK_ROWS, n * n_sums // LEAST_CHUNK_WORK, PARTIAL_BYTES // max(1, 8 * n_sums))
    edges = [n * k // max(1, most) for k in range(max(1, most) + 1)]
    return edges[:-1], edges[1:]


def _sum_chunks(of_chunk: Callable[[int, int], Product], n: int, n_sums: int) -> Product:
    return sum_in_order(_add_in_place, of_chunk, *_edges(n, n_sums))


def _add_in_place(total: Product, part: Product) -> Product:
    """The sum of both, in the memory of the first."""
    total.dw_sum[...] += part.dw_sum
    return Product(total.dw_sum, total.db_sum + part.db_sum)
