"""Squared length of every row in standardised columns: a cheap stand-in for its leverage; one read.

``score_i = sum_j (x_ij - mean_j)**2 inverse_variance_j``; a column that looked constant in the sample (an
``inverse_variance_j`` of NaN) adds ``unseen`` for every row that differs from its mean there.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.rows.block import Rows

__all__ = ["row_scores"]


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
