"""Scores of rows on the host: by one compiled loop, and of sparse rows by their stored elements alone.

See `gpu_logreg.passes.reference.scores` for the equation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.csr import block_of_rows, elements_in_a_row, in_order
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.rows.block import Rows

__all__ = ["compiled_row_scores", "sparse_row_scores"]

_SPARSE_BLOCK_ELEMENTS = 2**17


def compiled_row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Any:
    """As `row_scores`, in one compiled loop on the host."""
    from gpu_logreg.passes.cpu.loops.dense import score_rows

    X = rows.X
    known = inverse_variance == inverse_variance
    weights, centre = np.where(known, inverse_variance, 0.0).astype(X.dtype), mean.astype(X.dtype)
    scores = np.empty(len(X), X.dtype)
    score_rows(X, centre, weights, np.flatnonzero(~known), X.dtype.type(unseen), scores)
    return scores


def sparse_row_scores(
    rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float, compiled: bool = False
) -> Any:
    """As `row_scores`, for CSR rows: the score of a row of zeros, corrected by the elements that are stored."""
    X = rows.X
    known = inverse_variance == inverse_variance
    # A zero differs from the mean of a column that looked constant where that is not zero itself.
    of_zero = np.where(known, np.where(known, inverse_variance, 0.0) * mean * mean, unseen * (mean != 0.0))
    if compiled:
        changes = _compiled_changes(X, mean, inverse_variance, of_zero, unseen)
    else:
        of_parts = [
            _changes(in_order(block_of_rows(X, part)), mean, inverse_variance, of_zero, unseen)
            for part in row_blocks(X.shape[0], elements_in_a_row(X), _SPARSE_BLOCK_ELEMENTS)
        ]
        changes = np.concatenate([np.zeros(0), *of_parts])
    return np.maximum(of_zero.sum() + changes, 0.0)


def _changes(
    X: Any, mean: Float64Vector, weights: Float64Vector, of_zero: Float64Vector, unseen: float
) -> Float64Vector:
    at = X.indices
    deviation = X.data - mean[at]
    of_element = np.where(weights[at] == weights[at], deviation * deviation * weights[at], unseen * (deviation != 0.0))
    # The sums of all rows at once, each of its own elements: a product with ones takes them in order.
    return np.asarray(csr_array((of_element - of_zero[at], at, X.indptr), shape=X.shape) @ np.ones(X.shape[1]))


def _compiled_changes(
    X: Any, mean: Float64Vector, weights: Float64Vector, of_zero: Float64Vector, unseen: float
) -> Float64Vector:
    from gpu_logreg.passes.cpu.loops.sparse import score_sparse_rows

    changes = np.empty(X.shape[0])

    def of_part(part: slice) -> None:
        rows, first, last, out = X, part.start, part.stop, changes
        if not X.has_canonical_format:
            rows, first, last, out = in_order(block_of_rows(X, part)), 0, part.stop - part.start, changes[part]
        score_sparse_rows(rows.data, rows.indices, rows.indptr, mean, weights, of_zero, unseen, first, last, out)

    map_in_order(of_part, row_blocks(X.shape[0], elements_in_a_row(X), _SPARSE_BLOCK_ELEMENTS))
    return changes
