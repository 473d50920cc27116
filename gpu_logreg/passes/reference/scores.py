"""Squared length of every row in standardised columns, by which rows are drawn: a cheap estimate of leverage; one read.

``score_i = sum_j (x_ij - mean_j)**2 inverse_variance_j``. A column that is constant in the sample has an
``inverse_variance_j`` of NaN: it adds ``unseen`` to the score of every row that differs from ``mean_j`` there, because
only such rows show its effect.
"""

from __future__ import annotations

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.rows.block import Rows

__all__ = ["row_scores"]


def row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Array:
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

    Examples
    --------
    >>> import numpy as np
    >>> rows = Rows(np.array([[1.0, 5.0], [3.0, 6.0]]), None, None)
    >>> row_scores(rows, np.array([1.0, 5.0]), np.array([0.5, np.nan]), unseen=100.0)
    array([  0., 102.])
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
