"""Standardised columns, taken from a sample of the rows; the data themselves are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.backend import array_namespace, to_numpy
from gpu_logreg.dataset.resident import ResidentDataset
from gpu_logreg.passes import Float64Vector

__all__ = ["Coordinates", "StandardisedRows", "standardised"]

_HOST_BLOCK_BYTES = 2**18  # the second-level cache holds a block and what is computed from it
_DEVICE_BLOCK_BYTES = 2**26


@dataclass(frozen=True)
class Coordinates:
    """Standardised columns: ``phi = [w scale, b + mean @ w]``, or ``phi = w scale`` without an intercept.

    Attributes
    ----------
    mean, scale : ndarray of shape (d,)
        ``mean`` is zero without an intercept.
    fit_intercept : bool
    """

    mean: Float64Vector
    scale: Float64Vector
    fit_intercept: bool

    def rows(self, X: Any) -> Any:
        """``u`` of every row of ``X``, in its dtype; an array of shape (m, d + 1), or (m, d) without an intercept."""
        xp = array_namespace(X)
        m, d = X.shape
        U = xp.empty((m, d + int(self.fit_intercept)), dtype=X.dtype)
        xp.subtract(X, xp.asarray(self.mean, dtype=X.dtype), out=U[:, :d])
        U[:, :d] *= xp.asarray(1.0 / self.scale, dtype=X.dtype)
        if self.fit_intercept:
            U[:, d] = 1
        return U

    def to_params(self, phi: Float64Vector) -> Float64Vector:
        """``[w, b]`` of ``phi``."""
        if not self.fit_intercept:
            return np.asarray(phi / self.scale)
        w = phi[:-1] / self.scale
        return np.append(w, phi[-1] - self.mean @ w)

    def from_params(self, params: Float64Vector) -> Float64Vector:
        """``phi`` of ``[w, b]``."""
        if not self.fit_intercept:
            return np.asarray(params * self.scale)
        return np.append(params[:-1] * self.scale, params[-1] + self.mean @ params[:-1])

    def grad_to_phi(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by ``phi`` of a gradient by ``[w, b]``."""
        if not self.fit_intercept:
            return np.asarray(grad / self.scale)
        return np.append((grad[:-1] - self.mean * grad[-1]) / self.scale, grad[-1])


class StandardisedRows(NamedTuple):
    """Rows of a sample in their own standardised columns.

    Attributes
    ----------
    U : array of shape (m, d + 1), or (m, d) without an intercept
        Where the data live, in the dtype of the pass.
    coordinates : Coordinates
    variance : ndarray of shape (d,)
        0 for a column that is constant in the sample.
    effective : ndarray of shape (d,)
        Number of rows the variance of each column hangs on: ``sum(a)**2 / sum(a**2)`` with ``a_i = s_i u_ij**2``.
    """

    U: Any
    coordinates: Coordinates
    variance: Float64Vector
    effective: Float64Vector


def standardised(dataset: ResidentDataset, indices: Any, share: Any, fit_intercept: bool) -> StandardisedRows:
    """Copy the rows ``indices`` and standardise the copy, in three walks over it, a cacheful at a time.

    Columns are first taken about a row of the sample, not about zero, so that those far from zero lose nothing to
    cancellation.

    Parameters
    ----------
    dataset : ResidentDataset
    indices : ndarray of shape (m,)
    share : array of shape (m,)
        Weights of the rows, adding up to 1, where the data live.
    fit_intercept : bool
        Without it columns are scaled by their root mean square and not centred.
    """
    X = dataset.rows.X
    xp, d, m = array_namespace(X), dataset.n_columns, len(indices)
    dtype = dataset.compute_dtype
    at = xp.asarray(indices)
    U = xp.empty((m, d + int(fit_intercept)), dtype=dtype)
    block_bytes = _HOST_BLOCK_BYTES if xp is np else _DEVICE_BLOCK_BYTES
    step = max(16, block_bytes // (max(1, d) * dtype.itemsize))
    parts = [slice(first, first + step) for first in range(0, m, step)]
    share = share.astype(dtype)

    pivot = X[int(indices[m // 2])].astype(dtype) if fit_intercept else xp.zeros(d, dtype=dtype)
    first = np.zeros(d)
    for part in parts:
        block = X[at[part]].astype(dtype, copy=False) - pivot
        U[part, :d] = block
        if fit_intercept:
            first += to_numpy(share[part] @ block)
    second = np.zeros(d)
    shift = xp.asarray(first, dtype=dtype)
    for part in parts:
        block = U[part, :d]
        block -= shift
        second += to_numpy(share[part] @ (block * block))
    mean = to_numpy(pivot).astype(np.float64) + first
    # A column whose spread is the rounding of its mean is constant.
    constant = second <= (4.0 * float(np.finfo(dtype).eps) * np.abs(mean)) ** 2
    scale = np.sqrt(np.where(constant, 1.0, second))
    inverse = xp.asarray(1.0 / scale, dtype=dtype)
    fourth = np.zeros(d)
    for part in parts:
        block = U[part, :d]
        block *= inverse
        squares = block * block
        squares *= share[part, None]
        fourth += to_numpy((squares * squares).sum(axis=0))
    if fit_intercept:
        U[:, d] = 1
    effective = np.where(constant | ~(fourth > 0.0), 0.0, 1.0 / np.where(fourth > 0.0, fourth, 1.0))
    return StandardisedRows(U, Coordinates(mean, scale, fit_intercept), np.where(constant, 0.0, second), effective)
