"""Cholesky factor of a positive definite matrix, scaled to a unit diagonal first, behind ``solve(v)``.

The matrix stays where it was summed and is factored there (`gpu_logreg.arrays.cholesky`); vectors come from the host
and go back to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import LinAlgError

from gpu_logreg.arrays.cholesky import cholesky
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["Factor", "poorly_conditioned"]


class Factor:
    """``H^-1 v`` for a symmetric ``H`` that is positive definite up to rounding.

    ``H = S R S`` with ``S = diag(sqrt(h_jj))``: what is factored has a unit diagonal, so badly scaled columns cost no
    accuracy. Where rounding has made ``R`` indefinite, the least power of ten that repairs it is added to its diagonal.

    Parameters
    ----------
    H : array of shape (p, p), float64
        On the host or on a GPU.
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
        xp = array_namespace(H)
        if not bool(xp.isfinite(H).all()):
            raise LinAlgError("the matrix holds NaN or infinity")
        diagonal = to_numpy(H.diagonal()).copy()
        diagonal[~(diagonal > 0.0)] = 1.0  # neither curvature nor penalty along it: any step length will do
        self._scale = 1.0 / np.sqrt(diagonal)
        scale = xp.asarray(self._scale)
        self.added = noise
        while True:
            R = H * scale
            R *= scale[:, None]
            xp.fill_diagonal(R, 1.0 + self.added)
            factor = cholesky(R)
            if factor is not None:
                break
            if self.added >= 1.0:
                raise LinAlgError("the matrix is far from positive definite")
            self.added = 10.0 * self.added if self.added else 1e-15
        self._potrs = factor.potrs
        self.smallest_pivot = min(1.0, factor.smallest_pivot)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``, on the host."""
        if not len(v):
            return v.copy()  # LAPACK wants at least one
        return np.asarray(self._scale * self._potrs(self._scale * v)[0])


def poorly_conditioned(factor: Factor, eps: float) -> bool:
    """Whether a matrix summed with relative rounding ``eps`` is too close to singular for its factor to serve."""
    return factor.added > 0.0 or factor.smallest_pivot**2 < 1e3 * eps
