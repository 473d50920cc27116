"""The Cholesky factor of a matrix, where the matrix is: by LAPACK on the host, by cuSOLVER on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from gpu_logreg.arrays.device import import_cupy, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector

__all__ = ["Cholesky", "cholesky"]


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
