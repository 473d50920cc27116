"""Gradients and Hessians of many models of the same few rows, each over the rows that it learns from.

The rows are dense, in standardised columns and in the order of their folds, on the host in float64. With F models of K
logits a block of rows has the logits ``Z = U @ W`` of shape (m, K, F): models lie side by side, so that sums over the
classes are sums of whole rows of ``Z``. A block is of one fold, and the models that leave it out take no part.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.softmax import curvature_diagonal, log_proba, softmax
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["FewRows", "curvature_without_fold", "gradients_without_fold", "in_order_of_folds", "loss_sum"]

BLOCK_ELEMENTS, LEAST_ROWS = 2**17, 64
"""Logits of a block of rows, of all models together, and rows of it at least: they stay in the cache of a processor."""

LEAST_SHARE = 1e-3
"""Share of the curvature of all rows that is left out of a Hessian, at most."""


class FewRows(NamedTuple):
    """Rows in the order of their folds.

    Attributes
    ----------
    U : ndarray of shape (n, p), float64
    y : ndarray of shape (n,)
        Numbers of the classes.
    s : ndarray of shape (n,), float64
    edges : ndarray of shape (n_folds + 2,)
        Where the rows of each fold begin, where those begin that are in every model, and the number of rows.
    """

    U: Float64Matrix
    y: Array
    s: Float64Vector
    edges: IntVector

    def outside_of(self, fold: int) -> list[tuple[Float64Matrix, Array, Float64Vector]]:
        """``U``, ``y`` and ``s`` of the rows before a fold and of those after it; all rows for -1."""
        n = len(self.U)
        first, last = (0, 0) if fold < 0 else (int(self.edges[fold]), int(self.edges[fold + 1]))
        return [
            (self.U[part], self.y[part], self.s[part])
            for part in (slice(0, first), slice(last, n))
            if part.stop > part.start
        ]

    def by_fold(self) -> list[tuple[Float64Matrix, Array, Float64Vector]]:
        """``U``, ``y`` and ``s`` of all rows, in as many parts as there are folds; the last holds the rows of none."""
        edges = [0, *(int(edge) for edge in self.edges[1:-2]), len(self.U)]
        return [(self.U[a:b], self.y[a:b], self.s[a:b]) for a, b in itertools.pairwise(edges) if b > a]


def in_order_of_folds(data: ResidentDataset, by: HostArray, n_folds: int) -> FewRows:
    """Copies of the rows, in the order of the folds that leave them out; their columns are not standardised yet."""
    order = np.argsort(by, kind="stable")
    X, y, s = data.rows
    X = np.asarray(X.toarray() if data.is_sparse else X, dtype=np.float64)[order]
    s = np.ones(len(X)) if s is None else np.asarray(s, dtype=np.float64)[order]
    return FewRows(X, np.asarray(y)[order], s, np.searchsorted(by[order], np.arange(n_folds + 2)))


def gradients_without_fold(loss: Loss, rows: FewRows, W: Float64Matrix, left_out: IntVector) -> Float64Matrix:
    """Gradient sums of F models, each over all rows but those of a fold.

    Parameters
    ----------
    loss : Classes
    rows : FewRows
    W : ndarray of shape (F, K p)
        Class after class.
    left_out : ndarray of shape (F,)
        The fold that each model leaves out; -1 for none.

    Returns
    -------
    ndarray of shape (F, K p)
    """
    K, p = loss.n_logits, rows.U.shape[1]
    F = len(W)
    by_class = W.reshape(F, K, p).transpose(2, 1, 0)  # (p, K, F)
    taking = [np.flatnonzero(left_out != fold) for fold in range(len(rows.edges) - 1)]
    of_folds = [np.ascontiguousarray(by_class[:, :, some]).reshape(p, -1) for some in taking]
    step = max(LEAST_ROWS, BLOCK_ELEMENTS // (K * F))
    tasks = [
        (fold, slice(first, min(first + step, int(rows.edges[fold + 1]))))
        for fold, some in enumerate(taking)
        if len(some)
        for first in range(int(rows.edges[fold]), int(rows.edges[fold + 1]), step)
    ]

    def of_block(task: tuple[int, slice]) -> Array:
        fold, part = task
        U, y, s = rows.U[part], rows.y[part], rows.s[part]
        Z = U @ of_folds[fold]
        dz = _classes_dz(Z.reshape(len(U), K, -1), y)
        dz *= s[:, None]
        return U.T @ dz

    total = np.zeros((p, K, F))
    for (fold, _), part in zip(tasks, map_in_order(of_block, tasks), strict=True):
        if len(taking[fold]) == F:
            total += part.reshape(p, K, F)
        else:
            total[:, :, taking[fold]] += part.reshape(p, K, -1)
    return np.ascontiguousarray(total.transpose(2, 1, 0)).reshape(F, K * p)


def _classes_dz(z: Array, y: Array) -> Array:
    """``p_k - (k == y)`` in the memory of the logits, of shape (m, K, F): of the class of a row minus the others."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    at = np.arange(len(z)), y
    of_class = z[at]
    z[at] = 0.0
    others = z.sum(axis=1)
    z[at] = -others
    z /= (others + of_class)[:, None, :]
    return z.reshape(len(z), -1)


def curvature_without_fold(
    loss: Loss, rows: FewRows, phi: Float64Vector, left_out: int, dtype: DTypeLike = np.float64
) -> Float64Matrix:
    """Second derivative of the loss sum of a model at a point, over all rows but those of a fold; -1 for none.

    Rows that are nearly certain about a pair of classes are left out of its product: what they would add is less than
    `LEAST_SHARE` of all together.

    Parameters
    ----------
    loss : Classes
    rows : FewRows
    phi : ndarray of shape (K p,)
    left_out : int
    dtype : float32 or float64
        Of the products; their sums are in float64.

    Returns
    -------
    ndarray of shape (K p, K p), float64
    """
    K, p = loss.n_logits, rows.U.shape[1]

    def of_part(part: tuple[Float64Matrix, Array, Float64Vector]) -> Array:
        U, _, s = part
        total = np.zeros((K, p, K, p))
        P = softmax(U @ phi.reshape(K, p).T)
        _add_pairs(total, U.astype(dtype, copy=False), s.astype(dtype, copy=False), P.astype(dtype, copy=False))
        return total

    total: Array = sum(map_in_order(of_part, rows.by_fold() if left_out < 0 else rows.outside_of(left_out)))
    return np.asarray(total).reshape(K * p, K * p)


def _add_pairs(total: Array, U: Float64Matrix, s: Float64Vector, P: Float64Matrix) -> None:
    """Add the curvature of rows of K classes: the products of the pairs, and minus their sums on the diagonal."""
    K = P.shape[1]
    least = LEAST_SHARE * float(s @ curvature_diagonal(P).sum(axis=1)) / (len(U) * K * K)
    for k in range(K):
        for l in range(k + 1, K):  # noqa: E741 - the letter of the formula
            weight = s * P[:, k] * P[:, l]
            some = np.flatnonzero(weight > least)
            if len(some):
                A = U[some] * np.sqrt(weight[some])[:, None]
                product = A.T @ A
                total[k, :, l] -= product
                total[l, :, k] -= product
                total[k, :, k] += product
                total[l, :, l] += product


def loss_sum(loss: Loss, rows: FewRows, phi: Float64Vector, left_out: int) -> float:
    """Sum of the losses of all rows but those of a fold at a point."""
    K, p = loss.n_logits, rows.U.shape[1]
    total = 0.0
    for U, y, s in rows.outside_of(left_out):
        total -= float(s @ log_proba(U @ phi.reshape(K, p).T)[np.arange(len(y)), y])
    return total
