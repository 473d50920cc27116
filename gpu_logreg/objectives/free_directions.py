"""The free directions of K classes: constants that all classes share change no probability, but change the penalty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics.penalty import l2_penalty, subgradient
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult

__all__ = ["least_shift", "without_shift"]


def without_shift(objective: Objective, result: SolverResult, l1_strengths: Float64Vector) -> SolverResult:
    """The same probabilities with the least penalty: from the weights of each column one constant is subtracted.

    A constant that all classes share changes no probability. With an L1 penalty alone the optimal constant is a median
    of the weights, with a ridge alone their mean, and with both it lies between the two: see `least_shift`.
    """
    K = objective.n_logits
    if not objective.loss.has_free_directions or not result.params.any():
        return result
    by_class = result.params.reshape(K, -1).copy()
    w = by_class[:, : objective.dataset.n_columns]
    before, shift = _penalties(objective, w), least_shift(w, objective.l1, objective.l2)
    w -= shift
    if objective.fit_intercept:
        by_class[:, -1] -= by_class[:, -1].mean()
    value = result.value + _penalties(objective, w) - before
    ridge_change = np.zeros_like(by_class)
    ridge_change[:, : len(shift)] = objective.l2 * shift
    grad = (result.grad if result.smooth_grad is None else result.smooth_grad) - ridge_change.ravel()
    params = by_class.ravel()
    subgrad = subgradient(params, grad, l1_strengths)
    curve = [*result.loss_curve[:-1], value]
    return replace(result, params=params, value=value, grad=subgrad, smooth_grad=grad, loss_curve=curve)


def _penalties(objective: Objective, w: Float64Vector) -> float:
    return l2_penalty(w, objective.l2)[0] + objective.l1 * float(np.abs(w).sum())


def least_shift(w: Float64Matrix, l1: float, l2: float) -> Float64Vector:
    """The constants ``c`` of shape (d,) that minimise ``sum_k l1 |w_k - c| + l2 (w_k - c)**2 / 2`` for weights (K, d).

    The derivative by ``c`` is piecewise linear with jumps of ``2 l1`` at the ``w_k``. Between two neighbours, with m
    weights below, it vanishes at ``mean(w) + (l1 / l2) (K - 2 m) / K``; if that is outside the interval, the best point
    of the interval is its nearer end. The best of the K + 1 intervals is the minimum.
    """
    K = len(w)
    if l1 == 0.0:
        return np.asarray(w.mean(axis=0))
    ordered = np.sort(w, axis=0)
    if l2 == 0.0:
        middle = ordered[[(K - 1) // 2, K // 2]]
        return np.asarray(np.clip(0.0, middle[0], middle[1]))
    below = np.arange(K + 1)[:, None]
    between = w.mean(axis=0) + l1 / l2 * (K - 2 * below) / K
    low = np.vstack([np.full(w.shape[1], -np.inf), ordered])
    high = np.vstack([ordered, np.full(w.shape[1], np.inf)])
    at = np.clip(between, low, high)
    cost = np.abs(at[None] - w[:, None]).sum(axis=0) * l1 + 0.5 * l2 * ((at[None] - w[:, None]) ** 2).sum(axis=0)
    best = at[cost.argmin(axis=0), np.arange(w.shape[1])]
    zero = np.abs(w).sum(axis=0) * l1 + 0.5 * l2 * (w * w).sum(axis=0)
    return np.where(cost.min(axis=0) < zero * (1.0 - 1e-12), best, 0.0)
