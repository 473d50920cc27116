"""A metric that is corrected along few directions, whose curvature is known better than by the metric."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers import Metric

__all__ = ["CorrectedMetric"]


class CorrectedMetric:
    """A metric ``M`` with another curvature along the rows of ``D``, and its own along all that is orthogonal to them.

    With ``G = D M D.T`` and the curvature ``C`` that ``D H D.T`` is to be, orthogonality being that of ``M``,

    ``H = M + M D.T G^-1 (C - G) G^-1 D M`` and ``H^-1 = M^-1 + D.T (C^-1 - G^-1) D``.

    Parameters
    ----------
    metric : Metric
        ``M``.
    directions : ndarray of shape (k, p)
        ``D``.
    by_metric, curvature : ndarray of shape (k, k)
        ``G`` and ``C``, positive definite.

    Examples
    --------
    >>> class Identity:
    ...     def solve(self, v):
    ...         return v
    >>> corrected = CorrectedMetric(Identity(), np.array([[2.0, 0.0]]), np.array([[4.0]]), np.array([[16.0]]))
    >>> corrected.solve(np.array([1.0, 1.0]))  # a quarter along the first axis
    array([0.25, 1.  ])
    """

    def __init__(
        self, metric: Metric, directions: Float64Matrix, by_metric: Float64Matrix, curvature: Float64Matrix
    ) -> None:
        self._metric = metric
        self._directions = directions
        self._more = np.linalg.inv(curvature) - np.linalg.inv(by_metric)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``."""
        D = self._directions
        return np.asarray(self._metric.solve(v) + D.T @ (self._more @ (D @ v)))
