"""Products with the Hessian over dense rows on the host: compiled, in one read, by threads over ranges of rows.

See `gpu_logreg.passes.row_curvature` for the equations. The loops that compute a product also compute the gradient at a
point and keep what products there need: they are given labels, and weights in the place of a direction.

Order of the sums: rows are cut into chunks, whose number depends on the sizes alone, and the float64 sums of the chunks
are added in order. So the result has the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.block_sizes import PARTIALS_CLASSES as PARTIAL_BYTES
from gpu_logreg.arrays.block_sizes import STAGED_CLASSES as STAGE_BYTES
from gpu_logreg.arrays.blocks import map_in_order, sum_in_order
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.cpu.classes import in_vectors
from gpu_logreg.passes.cpu.loops.sizes import SHORT_ROW_BYTES
from gpu_logreg.passes.row_curvature import Product, RowCurvature, keeps_probabilities
from gpu_logreg.passes.sums import Sums, add_in_place
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "gradient_and_curvature",
    "keeps_padded",
    "multinomial_gradient_and_curvature",
    "multinomial_product",
    "multinomial_row_curvature",
    "product",
    "reads_in_place",
]

_sum_kept_rows = Loop("gpu_logreg.passes.cpu.loops.products", "sum_kept_rows")
_sum_kept_rows_of_classes = Loop("gpu_logreg.passes.cpu.loops.products", "sum_kept_rows_of_classes")
_fill_probabilities = Loop("gpu_logreg.passes.cpu.loops.products", "fill_probabilities")

CHUNKS, LEAST_CHUNK_ROWS, LEAST_CHUNK_WORK = 16, 128, 2**18
"""Most chunks, and least rows and least products of one. They decide the order of additions, and so the last bits."""


def reads_in_place(data: ResidentDataset) -> bool:
    """Whether dense rows of two classes are read in place, and are long.

    Products by BLAS take no longer for other rows, which are converted a block at a time for either, and for rows of at
    most `SHORT_ROW_BYTES`, over which the compiler's vector loops are slow.
    """
    X, dtype = data.rows.X, data.compute_dtype
    long = X.shape[1] * dtype.itemsize > SHORT_ROW_BYTES
    return bool(long and X.dtype in (dtype, np.float32) and _is_plain(X))


def gradient_and_curvature(data: ResidentDataset, w: Float64Vector, b: float) -> tuple[Sums, RowCurvature]:
    """Gradient sums and ``h_i = s_i p_i (1 - p_i)`` of rows of two classes that `reads_in_place` accepts."""
    h = np.empty(data.n_rows, data.compute_dtype)
    return _sums(data, np.ascontiguousarray(data.rows.y), h, w, b), RowCurvature(w, b, h)


def product(data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: float) -> Product:
    """``sum_i e_i x_i`` and ``sum_i e_i`` with ``e_i = h_i (x_i @ v + c)``, of such rows."""
    _, dw, db = _sums(data, None, np.ascontiguousarray(at.kept, data.compute_dtype), v, c)
    return Product(dw, db)


def _sums(data: ResidentDataset, y: HostArray | None, h: HostArray, v: Float64Vector, c: float) -> Sums:
    """Gradient sums at ``v, c`` where there are labels, which fill ``h``, and else the product with ``v, c``."""
    X, s = data.rows.X, None if y is None else data.rows.sample_weight
    v = np.ascontiguousarray(v, data.compute_dtype)

    def of_chunk(first: int, last: int) -> Sums:
        part, dw = slice(first, last), np.zeros(len(v))
        labels, weights = None if y is None else y[part], None if s is None else s[part]
        loss, db = _sum_kept_rows(X[part], labels, weights, h[part], v, float(c), dw)
        return Sums(float(loss), dw, float(db))

    return sum_in_order(add_in_place, of_chunk, *_edges(len(X), len(v)))


def keeps_padded(data: ResidentDataset, K: int) -> bool:
    """Whether the probabilities of dense rows of K classes, padded to whole vectors, are kept."""
    return keeps_probabilities(data, _padded(data, K), data.compute_dtype.itemsize)


def multinomial_row_curvature(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> RowCurvature:
    """Probabilities of dense rows of K classes that `keeps_padded` accepts."""
    fill, rows = _probabilities(data, W, b), _Blocks(data)
    P = np.empty((data.n_rows, _padded(data, len(b))), data.compute_dtype)

    def of_chunk(first: int, last: int) -> None:
        for part in rows.parts(first, last):
            fill(rows[part], P[part])

    map_in_order(of_chunk, *_edges(data.n_rows, W.size))
    return RowCurvature(W, b, P)


def multinomial_gradient_and_curvature(
    data: ResidentDataset, W: Float64Matrix, b: Float64Vector
) -> tuple[Sums, RowCurvature]:
    """Gradient sums and probabilities of dense rows of K classes that `keeps_padded` accepts."""
    at = RowCurvature(W, b, np.empty((data.n_rows, _padded(data, len(b))), data.compute_dtype))
    return _multinomial_sums(data, np.ascontiguousarray(data.rows.y), at, W, b), at


def multinomial_product(data: ResidentDataset, at: RowCurvature, V: Float64Matrix, c: Float64Vector) -> Product:
    """``E.T @ X`` and ``sum_i e_i`` with ``e_i = s_i (diag(p_i) - p_i p_i.T) (V x_i + c)``, of dense rows of K classes.

    Rows are read in place where they are C-contiguous and Numba has their dtype, and else converted a few at a time.
    Where ``at`` keeps no probabilities, those of a few rows at a time are computed first.
    """
    _, dw, db = _multinomial_sums(data, None, at, V, c)
    return Product(dw, db)


def _multinomial_sums(
    data: ResidentDataset, y: HostArray | None, at: RowCurvature, V: Float64Matrix, c: Float64Vector
) -> Sums:
    """Gradient sums at ``V, c`` where there are labels, which fill what is kept, and else the product with ``V, c``."""
    dtype = data.compute_dtype
    s = np.empty(0) if data.rows.sample_weight is None else data.rows.sample_weight
    K, d = V.shape
    vector, weights, shift = in_vectors(V, c, dtype)
    if y is None:
        shift[K:] = 0.0  # minus infinity times the probability 0 would be NaN
    kept = None if at.kept is None else np.ascontiguousarray(at.kept, dtype)
    fill = None if kept is not None else _probabilities(data, at.w, at.b)
    rows = _Blocks(data)

    def of_chunk(first: int, last: int) -> Sums:
        dw, db, loss = np.zeros(weights.shape), np.zeros(len(shift)), 0.0
        for part in rows.parts(first, last, few=kept is None):
            block = rows[part]
            P = np.empty((len(block), len(shift)), dtype) if kept is None else kept[part]
            if fill is not None:
                fill(block, P)
            of_block = None if y is None else y[part], s[part]
            loss += _sum_kept_rows_of_classes(vector, block, *of_block, P, weights, shift, dw, db)
        return Sums(float(loss), dw, db)

    loss, dw, db = sum_in_order(add_in_place, of_chunk, *_edges(data.n_rows, weights.size))
    return Sums(loss, np.ascontiguousarray(dw.transpose(0, 2, 1).reshape(-1, d)[:K]), db[:K])


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


def _padded(data: ResidentDataset, K: int) -> int:
    """K, padded to whole vectors of the loops."""
    return len(in_vectors(np.zeros((K, 1)), np.zeros(K), data.compute_dtype)[2])


def _probabilities(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> Callable[[HostArray, HostArray], None]:
    """A function that fills the probabilities of a block of rows."""
    vector, weights, intercepts = in_vectors(W, b, data.compute_dtype)

    def fill(block: HostArray, P: HostArray) -> None:
        _fill_probabilities(vector, block, weights, intercepts, P)

    return fill


def _edges(n: int, n_sums: int) -> tuple[list[int], list[int]]:
    """First rows of the chunks, and the rows after their last ones, for ``n_sums`` sums over the rows."""
    most = min(CHUNKS, n // LEAST_CHUNK_ROWS, n * n_sums // LEAST_CHUNK_WORK, PARTIAL_BYTES // max(1, 8 * n_sums))
    edges = [n * k // max(1, most) for k in range(max(1, most) + 1)]
    return edges[:-1], edges[1:]
