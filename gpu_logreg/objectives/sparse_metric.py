"""A diagonal metric of sparse rows of two classes at a point: the exact diagonal of the Hessian, in centred columns.

At the start all rows have the same probabilities, and a diagonal of the columns' moments will do. A step further they
have not: where one class is rare, or most rows are told apart, the curvature is a fraction of what it was, and it is
its size beside the penalty that counts. (Of many classes the first diagonal served as well.)
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric

__all__ = ["diagonal_at"]

LEAST_CURVATURE = 1e-12


def diagonal_at(objective: Objective, params: Float64Vector) -> CentredDiagonalMetric:
    """The metric at ``params`` of an objective of sparse rows; one read.

    With ``h_i = s_i p_i (1 - p_i) / sum(s)``, the curvature is ``sum_i h_i``, and means and variances of the columns
    are those with the weights ``h_i``.

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
    of_all = objective.dataset.weight_total * total
    mean = moments.x_sum / of_all
    variance = np.maximum(moments.xx_sum / of_all - mean**2, 0.0)
    return CentredDiagonalMetric(mean, variance, total, objective.l2, objective.fit_intercept)
