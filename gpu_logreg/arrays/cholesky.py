"""The Cholesky factor of a matrix, where the matrix is: by LAPACK on the host, by cuSOLVER on a GPU."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from gpu_logreg.arrays.device import import_cupy, in_host_memory, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector

__all__ = ["cholesky", "solve_cholesky"]


def cholesky(R: Array) -> Array | None:
    """Lower Cholesky factor, in the memory of the matrix; None if it is not positive definite.

    Parameters
    ----------
    R : array of shape (p, p), float64
        Symmetric. On the host it is overwritten.

    Examples
    --------
    >>> cholesky(np.array([[4.0, 2.0], [2.0, 5.0]]))
    array([[2., 0.],
           [1., 2.]])
    """
    if in_host_memory(R):
        # LAPACK itself: SciPy's own functions around it take longer than the work on a small matrix.
        L, fault = dpotrf(R.T, lower=1, overwrite_a=1)  # R is symmetric, and R.T in LAPACK's order
        return None if fault else L
    from cupyx import errstate

    # By default CuPy does not check the status that cuSOLVER returns, and a matrix that is not positive definite gives
    # a partial factor. Here CuPy checks it, for which the host waits for the device.
    try:
        with errstate(linalg="raise"):
            L = import_cupy().linalg.cholesky(R)
    except np.linalg.LinAlgError:
        return None
    pivots = to_numpy(L.diagonal())
    return L if (pivots > 0.0).all() and np.isfinite(pivots).all() else None


def solve_cholesky(L: Array, v: Float64Vector) -> Float64Vector:
    """``(L L.T)^-1 v`` for a vector of the host, which gets the result.

    Parameters
    ----------
    L : array of shape (p, p)
        From `cholesky`.
    v : ndarray of shape (p,)
        Of at least one element.

    Examples
    --------
    >>> solve_cholesky(np.array([[2.0, 0.0], [1.0, 2.0]]), np.array([4.0, 2.0]))
    array([1., 0.])
    """
    if in_host_memory(L):
        return np.asarray(dpotrs(L, v, lower=1)[0])
    from cupyx.scipy.linalg import solve_triangular

    half = solve_triangular(L, import_cupy().asarray(v), lower=True, trans=0)
    return np.asarray(to_numpy(solve_triangular(L, half, lower=True, trans=1)))
