"""Whether columns separate the classes, so that the likelihood has no maximum: coefficients go to infinity.

They do where some direction ``v`` changes no logit against the label of a row, and one in its favour: with the margins
``m_i = (z_y - z_l)`` of every row and other class along ``v``, all ``m_i >= 0`` and ``sum_i m_i > 0`` (A. Albert and
J. A. Anderson, "On the existence of maximum likelihood estimates in logistic regression models", 1984). One column
that does is seen by the least and largest value of every class; several by a linear program for the ``v`` of the least
``|v|_1``, on some rows first, to which those are added that it violates (K. Konis, "Linear programming algorithms for
detecting separated data in binary logistic regression models", 2007).
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.passes.reference.column_extremes import column_extremes
from gpu_logreg.passes.reference.information import Point
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.streamed import Dataset

__all__ = ["looks_separated", "separating_columns"]

MOST_ROUNDS, MORE_ROWS = 30, 1000
"""Linear programs that are solved, and rows that each adds; what they have not settled is taken for not separated."""

TOLERANCE = 1e-7
"""Of the margin of a row, in standardised columns, beside a mean margin of 1: that of the linear program."""


def separating_columns(data: Dataset, point: Point, n_classes: int) -> IntVector:
    """Numbers of columns that separate the classes: each by itself, or all of them together; none where none do.

    One read; where no column does by itself and the rows are in memory, one more for every linear program.

    Parameters
    ----------
    data : Dataset
    point : Point
        For its coordinates.
    n_classes : int
    """
    alone = _alone(*column_extremes(data, n_classes), point.coordinates.fit_intercept)
    if len(alone) or not data.is_resident:
        return alone
    return _together(data, point.coordinates, n_classes)


def looks_separated(step: Float64Vector, inverse: Float64Matrix, point: Point) -> bool:
    """Whether Newton's step looks as where classes are separated.

    There the likelihood flattens as the exponential of the coefficients: a step moves standardised coefficients by
    about 1, however far the fit has come, while the standard errors grow beyond it.
    """
    moves = np.abs(point.standard.from_params(step.reshape(point.Phi.shape))) > 1e-3
    return bool(moves.any() and (np.abs(step) < 0.1 * np.sqrt(inverse.diagonal())).all())


def _alone(least: Float64Matrix, largest: Float64Matrix, fit_intercept: bool) -> IntVector:
    """Columns by which one class lies on one side of all others, where the borders may touch."""
    separates = np.zeros(least.shape[1], bool)
    for k in range(len(least)):
        others = np.arange(len(least)) != k
        below, above = least[others].min(axis=0), largest[others].max(axis=0)
        varies = (np.minimum(below, least[k]) < np.maximum(above, largest[k])) & np.isfinite(least[k])
        apart = (largest[k] <= below) | (least[k] >= above)
        if not fit_intercept:  # without it the border is 0
            apart = ((largest[k] <= 0.0) & (below >= 0.0)) | ((least[k] >= 0.0) & (above <= 0.0))
        separates |= varies & apart
    return np.flatnonzero(separates)


def _together(data: Dataset, coordinates: Coordinates, n_classes: int) -> IntVector:
    """Columns of the direction of least ``|v|_1`` that separates the classes."""
    X, labels, s = data.rows
    y = to_numpy(labels if labels.ndim == 1 else labels[:, 0]).astype(np.intp)  # without the offsets beside them
    every = np.arange(data.n_rows) if s is None else np.flatnonzero(to_numpy(s) > 0)
    chosen = every[:: max(1, len(every) // MORE_ROWS)]
    for _ in range(MOST_ROUNDS):
        U = to_numpy(coordinates.rows(rows_at(X, data.xp.asarray(chosen), np.float64)))
        direction = _direction(U, y[chosen], n_classes)
        if direction is None:
            break
        margins = _least_margins(data, coordinates, direction, y)[every]
        violated = every[margins < -10.0 * TOLERANCE]
        new = np.setdiff1d(violated, chosen)
        if not len(new):
            by_column = np.abs(direction).max(axis=0)[: data.n_columns]
            return np.flatnonzero(by_column > 1e-6 * max(by_column.max(initial=0.0), 1e-300))
        order = np.argsort(margins[np.searchsorted(every, new)])
        chosen = np.union1d(chosen, new[order[:MORE_ROWS]])
    return np.zeros(0, np.intp)


def _direction(U: Float64Matrix, y: HostArray, n_classes: int) -> Float64Matrix | None:
    """``v`` of shape (K - 1, p) with ``m_i >= 0``, the mean of ``m_i`` 1, and the least ``|v|_1``; None if none is."""
    from scipy.optimize import linprog

    K, (n, p) = n_classes, U.shape
    M = np.zeros((n, K, K, p))
    M[np.arange(n), :, y] += U[:, None]
    M[:, np.arange(K), np.arange(K)] -= U[:, None]
    margins = M[:, :, 1:].reshape(n * K, (K - 1) * p)  # those of the class of the row itself are 0
    both = np.hstack([margins, -margins])
    ends = np.zeros(len(both))
    found = linprog(np.ones(both.shape[1]), -both, ends, both.mean(axis=0)[None], [1.0], method="highs")
    if found.status != 0:
        return None
    half = len(found.x) // 2
    return np.asarray((found.x[:half] - found.x[half:]).reshape(K - 1, p))


def _least_margins(data: Dataset, coordinates: Coordinates, direction: Float64Matrix, y: HostArray) -> Float64Vector:
    """The least margin of every row over the other classes; one read."""
    from gpu_logreg.passes.reference.logits import row_logits

    params = coordinates.to_params(direction)
    W = params[:, : data.n_columns]
    b = params[:, -1] if coordinates.fit_intercept else np.zeros(len(params))
    Z = to_numpy(row_logits(data.rows.X, W, b, np.dtype(np.float64))).reshape(data.n_rows, -1)
    Z = np.column_stack([np.zeros(len(Z)), Z])
    return np.asarray((Z[np.arange(len(Z)), y][:, None] - Z).min(axis=1))
