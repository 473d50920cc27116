"""Squared length of every row in standardised columns: a cheap stand-in for its leverage; one read.

``score_i = sum_j (x_ij - mean_j)**2 inverse_variance_j``; a column that looked constant in the sample (an
``inverse_variance_j`` of NaN) adds ``unseen`` for every row that differs from its mean there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.backend import array_namespace
from gpu_logreg.passes import Float64Vector, Rows

__all__ = ["compiled_row_scores", "row_scores"]


def row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Any:
    """Scores of a block of rows.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d), float32 or float64.
    mean, inverse_variance : ndarray of shape (d,)
    unseen : float

    Returns
    -------
    array of shape (n,), where ``X`` lives
    """
    X = rows.X
    xp = array_namespace(X)
    deviation = X - xp.asarray(mean, dtype=X.dtype)
    known = inverse_variance == inverse_variance
    weights = xp.asarray(inverse_variance.copy(), dtype=X.dtype)
    weights[~xp.asarray(known)] = 0
    scores = (deviation * deviation) @ weights
    if not known.all():
        scores = scores + unseen * (deviation[:, ~xp.asarray(known)] != 0).sum(axis=1)
    return scores


def compiled_row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Any:
    """As `row_scores`, in one compiled loop on the host."""
    from gpu_logreg.passes.kernels_numba import score_rows

    X = rows.X
    known = inverse_variance == inverse_variance
    weights, centre = np.where(known, inverse_variance, 0.0).astype(X.dtype), mean.astype(X.dtype)
    scores = np.empty(len(X), X.dtype)
    score_rows(X, centre, weights, np.flatnonzero(~known), X.dtype.type(unseen), scores)
    return scores
