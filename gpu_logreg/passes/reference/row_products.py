"""Products of the rows of a block with themselves, by which Hessians of contrasts of classes are summed; in float64."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import SCALED
from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array
from gpu_logreg.rows.coordinates import Coordinates

__all__ = ["in_coordinates", "outer_products", "weighted_products", "with_ones"]


def in_coordinates(X: Array, coordinates: Coordinates) -> Array:
    """``(x - mean) / scale``; ``X`` itself where that changes nothing."""
    mean, scale, xp = coordinates.mean, coordinates.scale, array_namespace(X)
    if not mean.any() and (scale == 1.0).all():
        return X
    X = X - xp.asarray(mean)
    X *= xp.asarray(1.0 / scale)
    return X


def with_ones(X: Array, ones: bool) -> Array:
    """Rows, with a last column of 1 for an intercept."""
    if not ones:
        return X
    xp, (m, d) = array_namespace(X), X.shape
    U = xp.empty((m, d + 1))
    U[:, :d] = X
    U[:, d] = 1.0
    return U


def _gram(X: Array, factor: Array, ones: bool) -> Array:
    """``sum_i factor_i**2 u_i u_i.T``, in which the intercept has its row and column.

    BLAS computes half of the product of a matrix with itself, and is faster where no column of 1 is appended; on the
    host it is given few rows at a time, which stay in the cache.
    """
    xp, (m, d) = array_namespace(X), X.shape
    size = m if xp is not np else max(2 * d, SCALED.host // (8 * max(1, d)))
    scratch, H = xp.empty((min(size, m), d)), xp.zeros((d + ones, d + ones))
    for first in range(0, m, size):
        f = factor[first : first + size]
        A = xp.multiply(X[first : first + size], f[:, None], out=scratch[: len(f)])
        H[:d, :d] += A.T @ A
        if ones:
            H[d, :d] += f @ A
    if ones:
        H[:d, d], H[d, d] = H[d, :d], factor @ factor
    return H


def weighted_products(X: Array, V: Array, a: Array, ones: bool) -> Array:
    """``sum_i a_i V_i kron u_i u_i.T``."""
    xp, L = array_namespace(X), V.shape[1]
    if L == 1:
        return _gram(X, xp.sqrt(a * V[:, 0, 0]), ones)
    U = with_ones(X, ones)
    p = U.shape[1]
    H = xp.empty((L, p, L, p))
    for k in range(L):
        for other in range(k + 1):
            H[k, :, other] = (U * (a * V[:, k, other])[:, None]).T @ U
            H[other, :, k] = H[k, :, other].T
    return H.reshape(L * p, L * p)


def outer_products(X: Array, e: Array, weights: Array, ones: bool) -> Array:
    """``sum_i weights_i (e_i kron u_i) (e_i kron u_i).T``."""
    e = e * array_namespace(X).sqrt(weights)[:, None]
    if e.shape[1] == 1:
        return _gram(X, e[:, 0], ones)
    A = (e[:, :, None] * with_ones(X, ones)[:, None, :]).reshape(len(X), -1)
    return A.T @ A
