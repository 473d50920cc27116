"""The CPU pass over sparse rows: one read of their elements, compiled by Numba, run by a pool of threads.

The equations are those of `gpu_logreg.passes.cpu.dense` and `gpu_logreg.passes.cpu.classes`. Zeros that are not stored
add nothing to a logit or a gradient, so that only the stored elements take time and memory. They are read in place, and
computed in float64 whatever their dtype: most of the time is for loads of weights by column index.

Order of the sums: rows are cut into chunks with about equally many elements, whose number depends on the sizes alone,
and the float64 sums of the chunks are added in order. So the result has the same bits for any number of threads.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.block_sizes import PARTIALS_SPARSE as PARTIAL_BYTES
from gpu_logreg.arrays.block_sizes import SPARSE_LOGITS
from gpu_logreg.arrays.blocks import map_in_order, row_blocks, sum_in_order
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.csr import in_order, stored_in_a_row
from gpu_logreg.arrays.vector import CsrArray, Float64Matrix, Float64Vector
from gpu_logreg.passes.cpu.shared_pass import SharedSparsePass
from gpu_logreg.passes.sums import Moments, Sums, add_in_place
from gpu_logreg.rows.block import Rows, consecutive_rows

__all__ = [
    "SparseClassesPass",
    "SparsePass",
    "chunks_of_pairs",
    "chunks_of_rows",
    "sparse_curvature_sums",
    "sparse_logits",
    "sparse_moments",
    "sparse_moments_by_curvature",
    "sparse_multinomial_pass",
    "sparse_pass",
    "sum_chunks",
]

T = TypeVar("T")
_sum_sparse_rows = Loop("gpu_logreg.passes.cpu.loops.sparse", "sum_sparse_rows")
_sum_sparse_rows_of_classes = Loop("gpu_logreg.passes.cpu.loops.sparse", "sum_sparse_rows_of_classes")
_sum_column_moments = Loop("gpu_logreg.passes.cpu.loops.sparse_moments", "sum_column_moments")
_sum_moments_by_curvature = Loop("gpu_logreg.passes.cpu.loops.sparse_moments", "sum_moments_by_curvature")
_fill_logits = Loop("gpu_logreg.passes.cpu.loops.sparse", "fill_logits")
_sum_curvature = Loop("gpu_logreg.passes.cpu.loops.sparse", "sum_curvature")

CHUNKS, LEAST_CHUNK_WORK = 16, 100_000
"""Most chunks, and least elements times sums of one. They decide the order of additions, and so the last bits."""

SHORT_WORK = 2**20
"""Elements times sums of all chunks below which a pass is short, as of `gpu_logreg.arrays.blocks.sum_in_order`: about a
millisecond of a core."""

ELEMENTS_PER_COLUMN = 4
"""Least elements of a chunk for each column: adding the sums of many chunks takes time too."""

PAIRS_PER_SUM_OF_TWO, PAIRS_PER_SUM = 2, 8
"""Least pairs of elements for every sum of a Hessian in one of two chunks, and in one of many: filling the sums of a
chunk with zeros, and adding them to the others, takes about as long as a pair."""

_SUMMED_TRIANGLE = 256
"""Columns of a Hessian that are copied from its lower triangle at a time, so that no second matrix is allocated."""


def sparse_pass(rows: Rows, w: Float64Vector, b: float) -> Sums:
    """Loss and gradient sums over sparse rows at one point, in one read; see `SparsePass`."""
    return SparsePass(rows)(w, b)


def sparse_multinomial_pass(rows: Rows, W: Float64Matrix, b: Float64Vector) -> Sums:
    """Loss and gradient sums over sparse rows for K logits at one point, in one read; see `SparseClassesPass`."""
    return SparseClassesPass(rows, len(b))(W, b)


class SparsePass:
    """Loss and gradient sums over sparse rows in float64, in one read for each point.

    Parameters
    ----------
    rows : Rows
        ``X`` in CSR of shape (n, d), as `gpu_logreg.arrays.csr.csr_rows` gives it.
    n_logits : int
        1; K for `SparseClassesPass`.
    """

    def __init__(self, rows: Rows, n_logits: int = 1) -> None:
        X, y, sample_weight = rows
        self._sample_weight = np.empty(0) if sample_weight is None else sample_weight
        self._elements = X.data, X.indices, X.indptr
        self._y = np.ascontiguousarray(y)
        self._chunks = chunks_of_rows(X, n_logits)
        self._is_short = X.nnz * n_logits < SHORT_WORK
        self._shared: SharedSparsePass | None = None
        if self._is_short and n_logits == 1 and len(self._chunks[0]) > 1:
            rest = self._y, self._sample_weight, self._chunks, X.shape[1]
            self._shared = SharedSparsePass(self._elements, *rest)

    def __call__(self, w: Float64Vector, b: Any) -> Sums:
        """The sums at the weights ``w`` of shape (d,) and the intercept ``b``."""
        w, b = np.ascontiguousarray(w, np.float64), float(b)
        if self._shared is not None:
            return self._shared(w, b)

        def of_chunk(first: int, last: int) -> Sums:
            dw = np.zeros(len(w))
            loss, db = _sum_sparse_rows(*self._elements, self._y, self._sample_weight, w, b, first, last, dw)
            return Sums(float(loss), dw, float(db))

        return sum_chunks(add_in_place, of_chunk, self._chunks, self._is_short)


class SparseClassesPass(SparsePass):
    """`SparsePass` for K logits; ``y`` holds the number of each row's class."""

    def __call__(self, W: Float64Matrix, b: Float64Vector) -> Sums:
        """The sums at weights of shape (K, d) and intercepts of shape (K,)."""
        by_column, intercepts = np.ascontiguousarray(W.T, np.float64), np.ascontiguousarray(b, np.float64)

        def of_chunk(first: int, last: int) -> Sums:
            dw, db = np.zeros(by_column.shape), np.zeros(len(intercepts))
            ends = by_column, intercepts, first, last, dw, db
            loss = _sum_sparse_rows_of_classes(*self._elements, self._y, self._sample_weight, *ends)
            return Sums(float(loss), dw, db)

        total = sum_chunks(add_in_place, of_chunk, self._chunks, self._is_short)
        return total._replace(dw_sum=np.ascontiguousarray(total.dw_sum.T))


def sparse_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in float64."""

    def of_chunk(first: int, last: int) -> Float64Matrix:
        sums = np.zeros((rows.X.shape[1], 2))
        for (X, _, s), begin, end in _in_canonical_format(rows, first, last):
            weights = np.empty(0) if s is None else s
            _sum_column_moments(X.data, X.indices, X.indptr, weights, begin, end, sums)
        return sums

    sums: Float64Matrix = sum_chunks(operator.iadd, of_chunk, chunks_of_rows(rows.X, 2))
    return _by_sum(sums)


def sparse_moments_by_curvature(rows: Rows, w: Float64Vector, b: float) -> tuple[float, Moments]:
    """``sum_i h_i``, and `sparse_moments` with the weights ``h_i = s_i p_i (1 - p_i)``, of two classes."""
    w = np.ascontiguousarray(w, np.float64)

    def of_chunk(first: int, last: int) -> Sums:
        sums, total = np.zeros((rows.X.shape[1], 2)), 0.0
        for (X, _, s), begin, end in _in_canonical_format(rows, first, last):
            elements, weights = (X.data, X.indices, X.indptr), np.empty(0) if s is None else s
            total += _sum_moments_by_curvature(*elements, weights, w, float(b), begin, end, sums)
        return Sums(float(total), sums, 0.0)

    found = sum_chunks(add_in_place, of_chunk, chunks_of_rows(rows.X, 2))
    return found.loss_sum, _by_sum(found.dw_sum)


def sparse_logits(X: CsrArray, w: Float64Vector, b: float) -> Float64Vector:
    """``X @ w + b`` in float64, of CSR rows, read in place; of shape (n,)."""
    z = np.empty(X.shape[0])
    w = np.ascontiguousarray(w, np.float64)

    def of_part(part: slice) -> None:
        _fill_logits(X.data, X.indices, X.indptr, w, float(b), part.start, part.stop, z)

    map_in_order(of_part, row_blocks(X.shape[0], stored_in_a_row(X), SPARSE_LOGITS))
    return z


def sparse_curvature_sums(X: CsrArray, h: Float64Vector, more: int = 0) -> tuple[Float64Matrix, Float64Vector]:
    """As `gpu_logreg.passes.reference.sparse.sparse_curvature_sums`, by a compiled loop."""
    d = X.shape[1]

    def of_chunk(first: int, last: int) -> Sums:
        H, v = np.zeros((d + more, d + more)), np.zeros(d)
        _sum_curvature(X.data, X.indices, X.indptr, h, first, last, H, v)
        return Sums(0.0, H, v)

    _, H, v = sum_chunks(add_in_place, of_chunk, chunks_of_pairs(X))
    for first in range(0, d, _SUMMED_TRIANGLE):
        last = min(d, first + _SUMMED_TRIANGLE)
        H[first:last, first:last] += np.tril(H[first:last, first:last], -1).T
        H[first:last, last:d] = H[last:d, first:last].T
    return H, v


Chunks = tuple[list[int], list[int]]
"""First rows of the chunks, and the rows after their last ones."""


def chunks_of_rows(X: CsrArray, sums_by_column: int) -> Chunks:
    """First rows of the chunks, and the rows after their last ones.

    A chunk has ``sums_by_column`` sums for every column, and so many operations for every element.
    """
    d = X.shape[1]
    many = min(X.nnz * sums_by_column // LEAST_CHUNK_WORK, X.nnz // (ELEMENTS_PER_COLUMN * max(1, d)))
    return _chunks(X, many, sums_by_column)


def chunks_of_pairs(X: CsrArray, n_matrices: int = 1) -> Chunks:
    """Chunks for ``n_matrices`` of ``d * d`` sums each, with an operation for every pair of elements of a row."""
    lengths, sums = np.diff(X.indptr), max(1, X.shape[1]) ** 2
    pairs = int(lengths @ lengths) // 2
    two = min(2, pairs // (PAIRS_PER_SUM_OF_TWO * sums))
    many = min(n_matrices * pairs // LEAST_CHUNK_WORK, max(two, pairs // (PAIRS_PER_SUM * sums)))
    return _chunks(X, many, n_matrices * X.shape[1])


def _chunks(X: CsrArray, many: int, sums_by_column: int) -> Chunks:
    """About ``many`` chunks with equally many elements, whose sums are in memory together."""
    n, d = X.shape
    many += many % 2 if many > 1 else 0  # of three chunks two threads would compute two and one
    count = max(1, min(CHUNKS, many, PARTIAL_BYTES // max(1, 8 * d * sums_by_column)))
    edges = np.searchsorted(X.indptr, np.linspace(0, X.nnz, count + 1)[1:-1]).tolist()
    return [0, *edges], [*edges, n]


def sum_chunks(add: Callable[[T, T], T], of_chunk: Callable[[int, int], T], chunks: Chunks, short: bool = False) -> T:
    """The sums of all chunks, added in order; of one chunk, as few rows are, without a look at the threads."""
    starts, ends = chunks
    return of_chunk(starts[0], ends[0]) if len(ends) == 1 else sum_in_order(add, of_chunk, starts, ends, short=short)


def _in_canonical_format(rows: Rows, first: int, last: int) -> Iterator[tuple[Rows, int, int]]:
    """Rows in canonical format, with the first row to walk and the one after the last: in place, or copies of a few."""
    if rows.X.has_canonical_format:
        yield rows, first, last
        return
    for part in row_blocks(last - first, stored_in_a_row(rows.X), SPARSE_LOGITS):
        block = consecutive_rows(rows, slice(first + part.start, first + part.stop))
        yield block._replace(X=in_order(block.X)), 0, part.stop - part.start


def _by_sum(sums: Float64Matrix) -> Moments:
    """Moments from an array of shape (d, 2), with both sums of a column side by side."""
    return Moments(np.ascontiguousarray(sums[:, 0]), np.ascontiguousarray(sums[:, 1]))
