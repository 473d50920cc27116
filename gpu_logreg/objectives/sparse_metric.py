"""A diagonal metric for sparse rows: the exact diagonal of the Hessian at a point, in centred columns.

At zero weights all rows have the same probabilities, and the diagonal follows from the moments of the columns. Near the
solution they differ: where a class is rare, or most rows are classified with confidence, the curvature of the loss is a
fraction of that at zero, and the ratio of the loss's curvature to the penalty's is another. Rows with large counts are
the first whose class is certain, so that the means of the columns, weighted by curvature, move too.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import Metric
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric, by_class

__all__ = ["diagonal_at", "softened_diagonal_at"]

LEAST_CURVATURE = 1e-12
"""Least mean curvature of a row: where all rows are classified with certainty, the metric still has an inverse."""

SOFTENED = 0.75
"""Power of the diagonal in the softened metric. Columns that many rows have move together with others, and gradients
have to be trusted less along them than their diagonal says. Chosen among 1/2, 3/4 and 1 by trials on counts with heavy
tails, of which no rows are kept."""


def diagonal_at(objective: Objective, params: Float64Vector) -> Metric:
    """The metric at ``params`` of an objective of sparse rows; one read.

    With ``h_i = s_i p_i (1 - p_i) / sum(s)``, for each class, the curvature is ``sum_i h_i``, and means and variances
    of the columns are weighted by ``h_i``.

    Parameters
    ----------
    objective : Objective
    params : ndarray of shape (p,)
    """
    return by_class(_of_classes(objective, params))


def softened_diagonal_at(objective: Objective, params: Float64Vector, grad: Float64Vector) -> Metric:
    """The metric of `diagonal_at` with a power of its diagonal, of which ``grad`` expects the same decrease; one read.

    Parameters
    ----------
    objective : Objective
    params, grad : ndarray of shape (p,)
    """
    of_classes = _of_classes(objective, params)
    exact, softened = by_class(of_classes), by_class([metric.to_power(SOFTENED) for metric in of_classes])
    share = float(grad @ softened.solve(grad)) / max(float(grad @ exact.solve(grad)), 1e-300)
    return by_class([metric.to_power(SOFTENED, share or 1.0) for metric in of_classes])


def _of_classes(objective: Objective, params: Float64Vector) -> list[CentredDiagonalMetric]:
    w, b = objective.unpack(params)
    h_sum, moments = objective.engine.moments_by_curvature(objective.dataset, w, b)
    objective.reads.total += 1.0
    of_classes = zip(np.atleast_1d(h_sum), np.atleast_2d(moments.x_sum), np.atleast_2d(moments.xx_sum), strict=True)
    return [_of_class(objective, *sums) for sums in of_classes]


def _of_class(objective: Objective, h_sum: float, x_sum: Float64Vector, xx_sum: Float64Vector) -> CentredDiagonalMetric:
    total = max(float(h_sum) / objective.dataset.weight_total, LEAST_CURVATURE)
    h_total = objective.dataset.weight_total * total
    mean = x_sum / h_total
    variance = np.maximum(xx_sum / h_total - mean**2, 0.0)
    return CentredDiagonalMetric.of_moments(mean, variance, total, objective.l2, objective.fit_intercept)
