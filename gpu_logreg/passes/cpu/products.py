"""Products with the Hessian on the host: compiled, in one read of the rows, by a pool of threads over ranges of rows.

See `gpu_logreg.passes.row_curvature` for the equations. The order of the sums is as in a gradient: rows are cut into
chunks, whose number depends on the sizes alone, and the float64 sums of the chunks are added in order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.block_sizes import PARTIALS_CLASSES as PARTIAL_BYTES
from gpu_logreg.arrays.block_sizes import SPARSE_LOGITS
from gpu_logreg.arrays.block_sizes import STAGED_CLASSES as STAGE_BYTES
from gpu_logreg.arrays.blocks import map_in_order, row_blocks, sum_in_order
from gpu_logreg.arrays.csr import elements_in_a_row
from gpu_logreg.arrays.vector import CsrArray, DType, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.passes.cpu.classes import in_vectors
from gpu_logreg.passes.cpu.sparse import chunks_of_rows, sparse_logits
from gpu_logreg.passes.row_curvature import Product, RowCurvature, keeps_probabilities
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "multinomial_product",
    "multinomial_row_curvature",
    "product",
    "sparse_multinomial_product",
    "sparse_multinomial_row_curvature",
    "sparse_product",
    "sparse_row_curvature",
]

SPARSE_ROWS = 1024
"""Sparse rows whose probabilities are computed at a time, where they are not kept."""

CHUNKS, LEAST_CHUNK_ROWS, LEAST_CHUNK_WORK = 16, 128, 2**18
"""Most chunks, and least rows and least products of one. They decide the order of additions, and so the last bits."""


def product(data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: float) -> Product:
    """``sum_i e_i x_i`` and ``sum_i e_i`` with ``e_i = h_i (x_i @ v + c)``, of dense rows of two classes.

    Parameters
    ----------
    data : ResidentDataset
        Its ``X`` is read in place where it is C-contiguous and float32 or in the dtype of the passes, and else
        converted a few rows at a time.
    at : RowCurvature
    v : ndarray of shape (d,)
    c : float
    """
    from gpu_logreg.passes.cpu.loops.products import sum_products

    X, dtype = data.rows.X, data.compute_dtype
    direction, h = np.ascontiguousarray(v, dtype), np.ascontiguousarray(at.kept, dtype)
    rows = _Blocks(X, dtype, X.dtype in (dtype, np.float32))

    def of_chunk(first: int, last: int) -> Product:
        dw, db = np.zeros(len(direction)), 0.0
        for part in rows.parts(first, last):
            db += sum_products(rows[part], h[part], direction, float(c), dw)
        return Product(dw, float(db))

    return _sum_chunks(of_chunk, len(X), len(direction))


def multinomial_row_curvature(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> RowCurvature:
    """Probabilities of dense rows of K classes, padded to whole vectors, where they are few beside the rows."""
    fill, length = _probabilities(data, W, b)
    if not keeps_probabilities(data, length, data.compute_dtype.itemsize):
        return RowCurvature(W, b, None)
    P = np.empty((data.n_rows, length), data.compute_dtype)

    def of_chunk(first: int, last: int) -> None:
        rows = _blocks_of_classes(data)
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
    rows = _blocks_of_classes(data)

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
    from gpu_logreg.passes.cpu.loops.products import sum_sparse_products

    X, v = data.rows.X, np.ascontiguousarray(v, np.float64)

    def of_chunk(first: int, last: int) -> Product:
        dw = np.zeros(len(v))
        db = sum_sparse_products(X.data, X.indices, X.indptr, at.kept, v, float(c), first, last, dw)
        return Product(dw, float(db))

    return sum_in_order(_add_in_place, of_chunk, *chunks_of_rows(X, 1))


def sparse_multinomial_row_curvature(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> RowCurvature:
    """Probabilities of sparse rows of K classes, where they are few beside the rows."""
    if not keeps_probabilities(data, len(b), 8):
        return RowCurvature(W, b, None)
    X = data.rows.X
    parts = row_blocks(X.shape[0], elements_in_a_row(X), SPARSE_LOGITS)
    found = map_in_order(_sparse_probabilities(X, W, b), parts)
    return RowCurvature(W, b, np.concatenate([np.empty((0, len(b))), *found]))


def sparse_multinomial_product(data: ResidentDataset, at: RowCurvature, V: Float64Matrix, c: Float64Vector) -> Product:
    """As `multinomial_product`, of sparse rows, in float64."""
    from gpu_logreg.passes.cpu.loops.products import sum_sparse_products_of_classes

    X, _, s = data.rows
    by_column, shift = np.ascontiguousarray(V.T, np.float64), np.ascontiguousarray(c, np.float64)
    fill = _sparse_probabilities(X, at.w, at.b)

    def of_chunk(first: int, last: int) -> Product:
        dw, db = np.zeros(by_column.shape), np.zeros(len(shift))
        step = SPARSE_ROWS if at.kept is None else last - first
        for a in range(first, last, max(1, step)):
            part = slice(a, min(last, a + step))
            P = fill(part) if at.kept is None else at.kept[part]
            weights, start = None if s is None else s[part], X.indptr[part.start : part.stop + 1]
            sum_sparse_products_of_classes(X.data, X.indices, start, P, weights, by_column, shift, dw, db)
        return Product(dw, db)

    dw, db = sum_in_order(_add_in_place, of_chunk, *chunks_of_rows(X, len(shift)))
    return Product(np.ascontiguousarray(dw.T), db)


class _Blocks:
    """Blocks of dense rows as the loops read them: in place, or staged, converted a few rows at a time."""

    def __init__(self, X: HostArray, dtype: DType, known: bool) -> None:
        self._X = X
        self._dtype = dtype
        self._in_place = known and X.dtype.isnative and X.flags.c_contiguous and X.flags.aligned

    def parts(self, first: int, last: int, few: bool = False) -> list[slice]:
        """All rows at once where they are read in place, unless ``few`` are asked for."""
        if self._in_place and not few:
            return [slice(first, last)]
        step = max(64, STAGE_BYTES // max(1, self._X.shape[1] * self._dtype.itemsize))
        return [slice(a, min(last, a + step)) for a in range(first, last, step)]

    def __getitem__(self, part: slice) -> HostArray:
        return self._X[part] if self._in_place else self._X[part].astype(self._dtype, order="C")


def _blocks_of_classes(data: ResidentDataset) -> _Blocks:
    X = data.rows.X
    return _Blocks(X, data.compute_dtype, X.dtype.kind in "iub" or X.dtype in (np.float32, np.float64))


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
    from gpu_logreg.passes.cpu.loops.products import fill_sparse_probabilities

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
