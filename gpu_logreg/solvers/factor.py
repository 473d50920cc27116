"""Cholesky factor of a positive definite matrix, scaled to a unit diagonal first, behind ``solve(v)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotrs

from gpu_logreg.solvers import Vector

__all__ = ["Factor", "poorly_conditioned"]


class Factor:
    """``H^-1 v`` for a symmetric ``H`` that is positive definite up to rounding.

    ``H = S R S`` with ``S = diag(sqrt(h_jj))``: what is factored has a unit diagonal, so badly scaled columns cost no
    accuracy. Where rounding has made ``R`` indefinite, the least power of ten that repairs it is added to its diagonal.

    Parameters
    ----------
    H : ndarray of shape (p, p), float64
    noise : float
        Added to the unit diagonal in any case: along directions flatter than the noise of the gradients that ``H^-1``
        will meet, steps would be that noise magnified.

    Raises
    ------
    LinAlgError
        If ``H`` holds NaN or infinity, or is far from positive definite.

    Attributes
    ----------
    added : float
        What was added to the unit diagonal; 0 as a rule.
    smallest_pivot : float
        Smallest diagonal element of the Cholesky factor of ``R``; its square bounds the conditioning from above.
    """

    def __init__(self, H: Any, noise: float = 0.0) -> None:
        if not np.isfinite(H).all():
            raise LinAlgError("the matrix holds NaN or infinity")
        diagonal = np.diag(H).copy()
        diagonal[~(diagonal > 0.0)] = 1.0  # neither curvature nor penalty along it: any step length will do
        self._scale = 1.0 / np.sqrt(diagonal)
        self.added = noise
        while True:
            R = H * self._scale
            R *= self._scale[:, None]
            R.flat[:: len(R) + 1] = 1.0 + self.added
            # LAPACK itself: scipy's own functions around it take longer than the work on a small matrix.
            self._factor, fault = dpotrf(R.T, lower=1, overwrite_a=1)  # R is symmetric, and R.T in LAPACK's order
            if not fault:
                break
            if self.added >= 1.0:
                raise LinAlgError("the matrix is far from positive definite")
            self.added = 10.0 * self.added if self.added else 1e-15
        self.smallest_pivot = float(np.diag(self._factor).min(initial=1.0))

    def solve(self, v: Vector) -> Vector:
        """``H^-1 v``."""
        if not len(v):
            return v.copy()  # LAPACK wants at least one
        return np.asarray(self._scale * dpotrs(self._factor, self._scale * v, lower=1)[0])


def poorly_conditioned(factor: Factor, eps: float) -> bool:
    """Whether a matrix summed with relative rounding ``eps`` is too close to singular for its factor to serve."""
    return factor.added > 0.0 or factor.smallest_pivot**2 < 1e3 * eps
