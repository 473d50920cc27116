"""The Cholesky factor of a matrix, where the matrix is: by LAPACK on the host, by cuSOLVER on a GPU.

`Factor` scales a positive definite matrix to a unit diagonal first; its vectors come from the host and go back to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotrs

from gpu_logreg.arrays.device import array_namespace, import_cupy, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector

__all__ = ["Cholesky", "Factor", "cholesky", "poorly_conditioned"]


class Cholesky(NamedTuple):
    """A lower Cholesky factor ``L``, in the memory of its matrix.

    Attributes
    ----------
    L : array of shape (p, p)
    smallest_pivot : float
        Least element of its diagonal; infinite for no element.
    potrs : function v -> (solution, status)
        ``(L L.T)^-1 v`` as LAPACK's function of that name, for a vector of the host of at least one element, and to the
        host. The status tells of wrong arguments alone.
    """

    L: Array
    smallest_pivot: float
    potrs: Callable[[Float64Vector], tuple[Float64Vector, int]]


def cholesky(R: Array) -> Cholesky | None:
    """The Cholesky factor of a symmetric matrix; None if it is not positive definite.

    Parameters
    ----------
    R : array of shape (p, p), float64
        On the host it is overwritten.

    Examples
    --------
    >>> factor = cholesky(np.array([[4.0, 2.0], [2.0, 5.0]]))
    >>> factor.L, factor.smallest_pivot, factor.potrs(np.array([4.0, 2.0]))[0]
    (array([[2., 0.],
           [1., 2.]]), 2.0, array([1., 0.]))
    """
    if not isinstance(R, np.ndarray):
        return _on_device(R)
    # LAPACK itself: SciPy's own functions around it take longer than the work on a small matrix.
    L, fault = dpotrf(R.T, lower=1, overwrite_a=1)  # R is symmetric, and R.T in LAPACK's order
    return None if fault else Cholesky(L, float(L.diagonal().min(initial=np.inf)), partial(dpotrs, L, lower=1))


def _on_device(R: Array) -> Cholesky | None:
    """As `cholesky`, by way of CuPy.

    By default CuPy does not check the status that cuSOLVER returns, and a matrix that is not positive definite gives a
    partial factor. Within `cupyx.errstate` CuPy checks it, for which the host waits for the device.
    """
    from cupyx import errstate

    try:
        with errstate(linalg="raise"):
            L = import_cupy().linalg.cholesky(R)
    except np.linalg.LinAlgError:
        return None
    pivots = to_numpy(L.diagonal())
    if not ((pivots > 0.0).all() and np.isfinite(pivots).all()):
        return None
    return Cholesky(L, float(pivots.min(initial=np.inf)), partial(_potrs_on_device, L))


def _potrs_on_device(L: Array, v: Float64Vector) -> tuple[Float64Vector, int]:
    from cupyx.scipy.linalg import solve_triangular

    half = solve_triangular(L, import_cupy().asarray(v), lower=True, trans=0)
    return to_numpy(solve_triangular(L, half, lower=True, trans=1)), 0


LEAST = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
"""Diagonal element below which a float64 has no digits for what lies beside it, and which counts as none."""


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
        xp = np if isinstance(H, np.ndarray) else array_namespace(H)
        if not bool(xp.isfinite(H).all()):
            raise LinAlgError("the matrix holds NaN or infinity")
        diagonal = (H if xp is np else to_numpy(H)).diagonal().copy()
        diagonal[~(diagonal > LEAST)] = 1.0  # neither curvature nor penalty along it: any step length will do
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
