"""Scores of rows on the host: of dense rows by one compiled loop, of sparse rows from their stored elements alone.

See `gpu_logreg.passes.reference.scores` for the equation.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import SPARSE_LOGITS
from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.csr import block_of_rows, in_order, stored_in_a_row
from gpu_logreg.arrays.vector import CsrArray, Float64Vector, HostArray
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import scores_of_zeros

__all__ = ["compiled_row_scores", "sparse_row_scores"]


def compiled_row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> HostArray:
    """As `gpu_logreg.passes.reference.scores.row_scores`, by one compiled loop."""
    from gpu_logreg.passes.cpu.loops.dense import score_rows

    X = rows.X
    known = inverse_variance == inverse_variance
    weights, centre = np.where(known, inverse_variance, 0.0).astype(X.dtype), mean.astype(X.dtype)
    scores = np.empty(len(X), X.dtype)
    score_rows(X, centre, weights, np.flatnonzero(~known), X.dtype.type(unseen), scores)
    return scores


def sparse_row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Float64Vector:
    """As `compiled_row_scores`, for CSR rows: the score of a row of zeros, corrected by the stored elements."""
    of_zero = scores_of_zeros(mean, inverse_variance, unseen)
    changes = _changes(rows.X, mean, inverse_variance, of_zero, unseen)
    return np.asarray(np.maximum(of_zero.sum() + changes, 0.0))


def _changes(
    X: CsrArray, mean: Float64Vector, weights: Float64Vector, of_zero: Float64Vector, unseen: float
) -> Float64Vector:
    from gpu_logreg.passes.cpu.loops.sparse import score_sparse_rows

    changes = np.empty(X.shape[0])

    def of_part(part: slice) -> None:
        rows, first, last, out = X, part.start, part.stop, changes
        if not X.has_canonical_format:
            rows, first, last, out = in_order(block_of_rows(X, part)), 0, part.stop - part.start, changes[part]
        score_sparse_rows(rows.data, rows.indices, rows.indptr, mean, weights, of_zero, unseen, first, last, out)

    map_in_order(of_part, row_blocks(X.shape[0], stored_in_a_row(X), SPARSE_LOGITS))
    return changes
