"""Sums over sparse rows by products of SciPy and NumPy; tests hold the compiled loops to them.

SciPy's products convert all elements first, so they are given a block of rows at a time. All sums are in float64,
whatever dtype the elements are stored in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from gpu_logreg.arrays.block_sizes import SPARSE_LOGITS, SPARSE_SUMS
from gpu_logreg.arrays.blocks import map_in_order, row_blocks, sum_in_order
from gpu_logreg.arrays.csr import block_of_rows, in_order, stored_in_a_row
from gpu_logreg.arrays.vector import CsrArray, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.passes.sums import Moments, Sums, add_in_place
from gpu_logreg.rows.block import Rows, consecutive_rows
from gpu_logreg.rows.coordinates import scores_of_zeros

__all__ = [
    "sparse_blocks",
    "sparse_curvature_sums",
    "sparse_logits",
    "sparse_moments",
    "sparse_row_scores",
    "sums_by_row_blocks",
]

ELEMENTS_PER_COLUMN = 4
"""Least elements of a block over the numbers in its result: adding the results of many blocks takes time too."""


def sums_by_row_blocks(pass_: Callable[..., Sums], rows: Rows, w: Float64Vector, b: Any, dtype: DTypeLike) -> Sums:
    """Loss and gradient sums over sparse rows, by a pass for dense rows whose products SciPy's arrays have too."""

    def of_block(part: slice) -> Sums:
        return pass_(consecutive_rows(rows, part), w, b, dtype)

    return sum_in_order(add_in_place, of_block, sparse_blocks(rows.X, np.size(w)))


def sparse_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in float64."""

    def of_block(part: slice) -> Moments:
        X, _, s = consecutive_rows(rows, part)
        X = in_order(X)
        x = X.data.astype(np.float64)
        weighted = x if s is None else x * np.repeat(s, np.diff(X.indptr))
        x_sum, xx_sum = (np.bincount(X.indices, values, X.shape[1]) for values in (weighted, weighted * x))
        return Moments(x_sum.astype(np.float64), xx_sum.astype(np.float64))  # bincount of no elements has integers

    found: Moments = sum_in_order(operator.add, of_block, sparse_blocks(rows.X, 2 * rows.X.shape[1]))
    return found


def sparse_logits(X: CsrArray, w: Float64Vector, b: Any) -> Float64Vector:
    """``X @ w + b`` in float64.

    Parameters
    ----------
    X : csr_array of shape (n, d)
    w, b : ndarray of shape (d,) and float; or (d, K) and (K,)

    Returns
    -------
    ndarray of shape (n,), or (n, K)
    """
    z = np.empty((X.shape[0], *np.shape(w)[1:]))
    parts = row_blocks(X.shape[0], stored_in_a_row(X), SPARSE_LOGITS)
    w = np.ascontiguousarray(w, np.float64)  # SciPy computes in the dtype of w

    def of_part(part: slice) -> None:
        z[part] = (X if len(parts) == 1 else block_of_rows(X, part)) @ w + b

    map_in_order(of_part, parts)
    return z


def sparse_curvature_sums(X: CsrArray, h: Float64Vector, more: int = 0) -> tuple[Float64Matrix, Float64Vector]:
    """``sum_i h_i x_i x_i.T`` of shape (d, d) and ``sum_i h_i x_i`` of shape (d,), over CSR rows.

    Parameters
    ----------
    X : csr_array of shape (n, d), in canonical format
    h : ndarray of shape (n,)
    more : int
        Number of rows and columns of zeros that are appended to the matrix.
    """
    d = X.shape[1]
    X = X.astype(np.float64, copy=False)
    H = np.zeros((d + more, d + more))
    H[:d, :d] = (X.T @ (X * h[:, None])).toarray()
    return H, X.T @ h


def sparse_row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Float64Vector:
    """As `gpu_logreg.passes.reference.scores.row_scores`: the score of zeros, corrected by the stored elements."""
    X = rows.X
    of_zero = scores_of_zeros(mean, inverse_variance, unseen)
    changes = [
        _changes(in_order(block_of_rows(X, part)), mean, inverse_variance, of_zero, unseen)
        for part in row_blocks(X.shape[0], stored_in_a_row(X), SPARSE_LOGITS)
    ]
    return np.asarray(np.maximum(of_zero.sum() + np.concatenate([np.zeros(0), *changes]), 0.0))


def _changes(
    X: CsrArray, mean: Float64Vector, weights: Float64Vector, of_zero: Float64Vector, unseen: float
) -> Float64Vector:
    at = X.indices
    deviation = X.data - mean[at]
    of_element = np.where(weights[at] == weights[at], deviation * deviation * weights[at], unseen * (deviation != 0.0))
    # Sums within rows, in the order of the elements: a product with a vector of ones.
    return np.asarray(csr_array((of_element - of_zero[at], at, X.indptr), shape=X.shape) @ np.ones(X.shape[1]))


def sparse_blocks(X: CsrArray, n_sums: int) -> list[slice]:
    """Blocks of rows with enough elements for results of ``n_sums`` numbers."""
    elements = max(SPARSE_SUMS, ELEMENTS_PER_COLUMN * n_sums)
    return row_blocks(X.shape[0], stored_in_a_row(X), elements) or [slice(0, 0)]
