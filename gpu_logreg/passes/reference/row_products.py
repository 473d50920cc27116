"""Products of the rows of a block with themselves, by which Hessians of contrasts of classes are summed; in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk, dtrmm
from scipy.sparse import csr_array

from gpu_logreg.arrays.block_sizes import SCALED
from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.whitening import Whitening
from gpu_logreg.passes.sums import Groups
from gpu_logreg.rows.coordinates import Coordinates

__all__ = ["PLAIN", "RowProducts", "in_coordinates", "outer_products", "weighted_products", "whole", "with_ones"]


class RowProducts:
    """Products of the rows of a block, by NumPy and CuPy; `gpu_logreg.passes.cpu.row_products` has them compiled."""

    whitens = False
    """Whether there is code for `whitened_gram`, and for `grams` of products in float32."""

    def in_single(self, scale: Float64Vector) -> RowProducts:
        """These: there is no other code."""
        del scale
        return self

    def grams(self, X: Array, factors: list[Array], ones: bool) -> list[Array]:
        """``sum_i f_i u_i u_i.T`` for each array of factors ``f``, none of them negative; its lower triangle."""
        return [_gram(X, array_namespace(X).sqrt(f), ones) for f in factors]

    def at_point(self, X: Array, *of_rows: Any) -> None:
        """Nothing: logits, residuals and products are taken one after the other."""
        del X, of_rows

    def squares(self, X: Array, root: Float64Matrix, ones: bool) -> Array | None:
        """``|root.T u|**2`` of every row, with a lower triangle ``root``; None where `Leverage` is to take another way.

        On the host, half of the product is computed, as the root is triangular.
        """
        if array_namespace(X) is not np or not len(X):
            return None
        T = dtrmm(1.0, root, with_ones(X, ones).T, lower=1, trans_a=1, overwrite_b=int(ones)).T
        return np.einsum("ij,ij->i", T, T)

    def sizes(self, X: Array, ones: bool) -> Array:
        """Zeros: products are in float64."""
        del ones
        return np.zeros(len(X))

    def whitened_gram(
        self, X: Array, white: Whitening, curvature: Array, factors: Array, is_half: bool, ones: bool
    ) -> tuple[Float64Matrix, IntVector]:
        """Nothing, and all rows are left out: here they are taken in float64."""
        return np.zeros((len(white.scale), len(white.scale))), np.arange(len(X))

    def by_group(self, codes: HostArray, X: HostArray, residuals: HostArray, s: HostArray, ones: bool) -> Any:
        """The sums of the groups in a block, for `add_to_groups`."""
        m = len(X)
        numbers, at = np.unique(codes, return_inverse=True)
        order = np.argsort(at, kind="stable")
        starts = np.searchsorted(at[order], np.arange(len(numbers) + 1))
        shape = (len(numbers), m)
        of_classes = []
        for r in residuals.T:
            of_class = [csr_array((r[order], order, starts), shape=shape) @ X]
            if ones:
                of_class.append(np.bincount(at, r, len(numbers))[:, None])
            of_classes += of_class
        return numbers, np.hstack(of_classes), np.bincount(at, s, len(numbers)).astype(np.float64)

    def add_to_groups(self, groups: Groups, part: Any) -> None:
        """Add what `by_group` has found; one block after another."""
        numbers, grad_sums, weights = part
        groups.grad_sums[numbers] += grad_sums
        groups.weights[numbers] += weights


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


PLAIN = RowProducts()


def _gram(X: Array, root: Array, ones: bool) -> Array:
    """``sum_i root_i**2 u_i u_i.T``, in which the intercept has its row and column.

    BLAS computes half of the product of a matrix with itself, and is faster where no column of 1 is appended; on the
    host it is given few rows at a time, which stay in the cache, and adds to the sum itself.
    """
    xp, (m, d) = array_namespace(X), X.shape
    H = xp.zeros((d + ones, d + ones))
    if xp is np and d:
        size = max(2 * d, SCALED.host // (8 * d))
        scratch, half = np.empty((min(size, m), d)), np.zeros((d, d), order="F")
        for first in range(0, m, size):
            f = root[first : first + size]
            A = np.multiply(X[first : first + size], f[:, None], out=scratch[: len(f)])
            half = dsyrk(1.0, A.T, beta=1.0, c=half, overwrite_c=1, lower=1)
            if ones:
                H[d, :d] += f @ A
        H[:d, :d] = np.tril(half) + np.tril(half, -1).T
    else:
        A = X * root[:, None]
        H[:d, :d] = A.T @ A
        if ones:
            H[d, :d] = root @ A
    if ones:
        H[:d, d], H[d, d] = H[d, :d], root @ root
    return H


def whole(sums: Float64Matrix) -> Float64Matrix:
    """The symmetric matrix of a lower triangle."""
    return np.asarray(np.tril(sums) + np.tril(sums, -1).T)


def weighted_products(X: Array, V: Array, a: Array, ones: bool) -> Array:
    """``sum_i a_i V_i kron u_i u_i.T``."""
    xp, L = array_namespace(X), V.shape[1]
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
    A = (e[:, :, None] * with_ones(X, ones)[:, None, :]).reshape(len(X), -1)
    return A.T @ A
