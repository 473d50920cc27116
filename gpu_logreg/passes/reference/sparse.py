"""Sums over sparse rows by the products of SciPy and NumPy: what the compiled loops are held to.

SciPy's products would convert all elements first, and so are given a block of rows at a time. Everything is computed in
float64, whatever the elements are stored in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from gpu_logreg.arrays.block_sizes import SPARSE_LOGITS, SPARSE_SUMS
from gpu_logreg.arrays.blocks import map_in_order, row_blocks, sum_in_order
from gpu_logreg.arrays.csr import block_of_rows, elements_in_a_row, in_order
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.passes.sums import Moments, Sums, add_in_place
from gpu_logreg.rows.block import Rows, consecutive_rows
from gpu_logreg.rows.coordinates import scores_of_zeros

__all__ = [
    "sparse_curvature_sums",
    "sparse_logits",
    "sparse_moments",
    "sparse_row_scores",
    "sums_by_row_blocks",
]

ELEMENTS_PER_COLUMN = 4
"""Elements of a block for each sum that is kept of it, at least: the sums of all blocks are added in the end."""


def sums_by_row_blocks(pass_: Callable[..., Sums], rows: Rows, w: Float64Vector, b: Any, dtype: Any) -> Sums:
    """Loss and gradient sums over sparse rows by a pass that is written for NumPy's products."""

    def of_block(part: slice) -> Sums:
        return pass_(consecutive_rows(rows, part), w, b, dtype)

    return sum_in_order(add_in_place, of_block, _blocks(rows.X, np.size(w)))


def sparse_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in float64."""

    def of_block(part: slice) -> Moments:
        X, _, s = consecutive_rows(rows, part)
        X = in_order(X)
        x = X.data.astype(np.float64)
        weighted = x if s is None else x * np.repeat(s, np.diff(X.indptr))
        x_sum, xx_sum = (np.bincount(X.indices, values, X.shape[1]) for values in (weighted, weighted * x))
        return Moments(x_sum.astype(np.float64), xx_sum.astype(np.float64))  # of no elements they are whole numbers

    found: Moments = sum_in_order(operator.add, of_block, _blocks(rows.X, 2 * rows.X.shape[1]))
    return found


def sparse_logits(X: Any, w: Any, b: Any) -> Any:
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
    parts = row_blocks(X.shape[0], elements_in_a_row(X), SPARSE_LOGITS)
    w = np.ascontiguousarray(w, np.float64)  # by whose dtype SciPy computes

    def of_part(part: slice) -> None:
        z[part] = (X if len(parts) == 1 else block_of_rows(X, part)) @ w + b

    map_in_order(of_part, parts)
    return z


def sparse_curvature_sums(X: Any, h: Float64Vector, more: int = 0) -> tuple[Float64Matrix, Float64Vector]:
    """``sum_i h_i x_i x_i.T`` of shape (d, d) and ``sum_i h_i x_i`` of shape (d,), over CSR rows.

    Parameters
    ----------
    X : csr_array of shape (n, d), whose rows name every column once, in order
    h : ndarray of shape (n,)
    more : int
        Rows and columns of zeros that the matrix has behind those of ``X``.
    """
    d = X.shape[1]
    X = X.astype(np.float64, copy=False)
    H = np.zeros((d + more, d + more))
    H[:d, :d] = (X.T @ (X * h[:, None])).toarray()
    return H, X.T @ h


def sparse_row_scores(rows: Rows, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Float64Vector:
    """As `gpu_logreg.passes.reference.scores.row_scores`: the score of a row of zeros, corrected by what is stored."""
    X = rows.X
    of_zero = scores_of_zeros(mean, inverse_variance, unseen)
    changes = [
        _changes(in_order(block_of_rows(X, part)), mean, inverse_variance, of_zero, unseen)
        for part in row_blocks(X.shape[0], elements_in_a_row(X), SPARSE_LOGITS)
    ]
    return np.asarray(np.maximum(of_zero.sum() + np.concatenate([np.zeros(0), *changes]), 0.0))


def _changes(
    X: Any, mean: Float64Vector, weights: Float64Vector, of_zero: Float64Vector, unseen: float
) -> Float64Vector:
    at = X.indices
    deviation = X.data - mean[at]
    of_element = np.where(weights[at] == weights[at], deviation * deviation * weights[at], unseen * (deviation != 0.0))
    # The sums of all rows at once, each of its own elements: a product with ones takes them in order.
    return np.asarray(csr_array((of_element - of_zero[at], at, X.indptr), shape=X.shape) @ np.ones(X.shape[1]))


def _blocks(X: Any, n_sums: int) -> list[slice]:
    """Blocks of rows, of enough elements for sums as many as ``n_sums``."""
    elements = max(SPARSE_SUMS, ELEMENTS_PER_COLUMN * n_sums)
    return row_blocks(X.shape[0], elements_in_a_row(X), elements) or [slice(0, 0)]
