"""A diagonal metric for sparse rows of two classes: the exact diagonal of the Hessian at a point, in centred columns.

At zero weights all rows have the same probability, and the diagonal follows from the moments of the columns. Near the
solution the probabilities differ: where a class is rare, or most rows are classified with confidence, the curvature of
the loss is a fraction of that at zero, and the ratio of the loss's curvature to the penalty's is another. (For many
classes the diagonal at zero did as well in trials.)
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric

__all__ = ["diagonal_at"]

LEAST_CURVATURE = 1e-12
"""Least mean curvature of a row: where all rows are classified with certainty, the metric still has an inverse."""


def diagonal_at(objective: Objective, params: Float64Vector) -> CentredDiagonalMetric:
    """The metric at ``params`` of an objective of sparse rows; one read.

    With ``h_i = s_i p_i (1 - p_i) / sum(s)``, the curvature is ``sum_i h_i``, and means and variances of the columns
    are weighted by ``h_i``.

    Parameters
    ----------
    objective : Objective
        Of two classes.
    params : ndarray of shape (p,)
    """
    w, b = objective.unpack(params)
    h_sum, moments = objective.engine.moments_by_curvature(objective.dataset, w, b)
    objective.reads.total += 1.0
    total = max(h_sum / objective.dataset.weight_total, LEAST_CURVATURE)
    h_total = objective.dataset.weight_total * total
    mean = moments.x_sum / h_total
    variance = np.maximum(moments.xx_sum / h_total - mean**2, 0.0)
    return CentredDiagonalMetric.of_moments(mean, variance, total, objective.l2, objective.fit_intercept)
