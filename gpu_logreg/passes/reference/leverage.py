"""The leverage of rows on the fit, and residuals that are corrected by it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf

from gpu_logreg.arrays.block_sizes import INFORMATION
from gpu_logreg.arrays.blocks import row_blocks
from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.mathematics.whitening import Whitening
from gpu_logreg.passes.reference.row_products import PLAIN, in_coordinates, with_ones
from gpu_logreg.passes.sums import ProductsOfRows
from gpu_logreg.rows.coordinates import Coordinates

__all__ = ["Correction", "Leverage", "corrected_residuals", "row_variances"]


class Correction(NamedTuple):
    """How residuals are corrected by leverage, in the second walk.

    With ``B`` the inverse of the information and ``G_kl = u.T B_kl u``, the residuals of a row are about
    ``(I - c V G) (y - p)`` of the true probabilities: the fit has moved towards its label. For two classes ``c V G`` is
    the leverage ``h``, and ``e = r / sqrt(1 - h)`` (HC2) or ``r / (1 - h)`` (HC3). For more classes the root is that of
    the matrix: with ``G = L L.T`` and ``c L.T V L = Q diag(m) Q.T``, ::

        (I - c V G)**-a = I + c V L Q diag(((1 - m)**-a - 1) / m) Q.T L.T

    The equations for two classes are those of J. G. MacKinnon and H. White, "Some heteroskedasticity-consistent
    covariance matrix estimators with improved finite sample properties" (1985), with the leverages of the last step of
    iterated weighted least squares.

    Attributes
    ----------
    inverse : ndarray of shape (P, P)
        ``B``.
    root : bool
        ``a = 1/2``, HC2; else ``a = 1``, HC3.
    whitening : Whitening or None
        That of the information, by which sums of very many rows may be taken.
    """

    inverse: Float64Matrix
    root: bool
    whitening: Whitening | None = None


class Leverage:
    """``G_kl = u.T B_kl u`` of rows, for a covariance ``B`` of the parameters of ``L`` contrasts.

    Parameters
    ----------
    B : ndarray of shape (P, P)
    n_contrasts : int
    products : ProductsOfRows
        What multiplies the rows of a block.
    """

    def __init__(self, B: Float64Matrix, n_contrasts: int, products: ProductsOfRows = PLAIN) -> None:
        p = len(B) // n_contrasts
        self._products = products
        self._B = B.reshape(n_contrasts, p, n_contrasts, p)
        self._root: Float64Matrix | None = None
        if n_contrasts == 1 and p:
            scale = np.sqrt(B.diagonal())
            R = B / np.outer(scale, scale)
            L, fault = dpotrf(R, lower=1, clean=1)
            self._root = None if fault else np.asfortranarray(L * scale[:, None])

    def of(self, X: Array, ones: bool) -> Array:
        """``G`` of every row, of shape (m, L, L), where ``X`` lives."""
        xp, L, m = array_namespace(X), self._B.shape[0], len(X)
        squares = None if self._root is None else self._products.squares(X, self._root, ones)
        if squares is not None:
            return squares[:, None, None]
        U, G = with_ones(X, ones), xp.empty((m, L, L))
        for k in range(L):
            for other in range(k + 1):
                B = xp.asarray(np.ascontiguousarray(self._B[k, :, other]))
                G[:, k, other] = G[:, other, k] = ((U @ B) * U).sum(axis=1)
        return G


def corrected_residuals(G: Array, r: Array, V: Array, c: Array, root: bool) -> Array:
    """``(I - c V G)**-a r`` of every row: see `Correction`; NaN where a leverage is 1, or more by a weight below 1."""
    xp = array_namespace(r)
    if V.shape[1] == 1:
        rest = 1.0 - c * V[:, 0, 0] * G[:, 0, 0]
        rest = xp.where(rest > 0.0, rest, np.nan)
        return r / (xp.sqrt(rest) if root else rest)[:, None]
    return xp.asarray(_of_matrices(to_numpy(G), to_numpy(r), to_numpy(V), to_numpy(c), root))


def _of_matrices(G: HostArray, r: HostArray, V: HostArray, c: HostArray, root: bool) -> HostArray:
    """`corrected_residuals` of more than two classes, on the host: a small matrix for every row."""
    values, vectors = np.linalg.eigh(G)
    L = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    leverage, Q = np.linalg.eigh(c[:, None, None] * (L.transpose(0, 2, 1) @ V @ L))
    rest = np.where(leverage < 1.0, 1.0 - leverage, np.nan)
    gain = 1.0 / (np.sqrt(rest) * (1.0 + np.sqrt(rest))) if root else 1.0 / rest  # ((1 - m)**-a - 1) / m
    LQ = L @ Q
    added = LQ @ (gain[:, :, None] * (LQ.transpose(0, 2, 1) @ r[:, :, None]))
    return np.asarray(r + c[:, None] * (V @ added)[:, :, 0])


def row_variances(X: Array, coordinates: Coordinates, covariance: Float64Matrix) -> Float64Vector:
    """``u.T covariance u`` of every row, on the host: the variance of its logit, of two classes.

    Parameters
    ----------
    X : array of shape (n, d), dense or sparse
    coordinates : Coordinates
    covariance : ndarray of shape (p, p)
        Of the parameters in the coordinates.
    """
    variances, leverage = np.empty(X.shape[0]), Leverage(covariance, 1)
    for part in row_blocks(X.shape[0], 8 * max(1, len(covariance)), INFORMATION.host):
        block = in_coordinates(rows_at(X, part, np.float64), coordinates)
        variances[part] = to_numpy(leverage.of(block, coordinates.fit_intercept))[:, 0, 0]
    return np.maximum(variances, 0.0)
