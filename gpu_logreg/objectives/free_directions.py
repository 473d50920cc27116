"""The free directions of K classes: constants that all classes share change no probability, but change the penalty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics.penalty import l2_penalty, least_shift, subgradient
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult

__all__ = ["without_shift"]


def without_shift(objective: Objective, result: SolverResult, l1_strengths: Float64Vector) -> SolverResult:
    """The same probabilities with the least penalty: from the weights of each column one constant is subtracted.

    A constant that all classes share changes no probability. With an L1 penalty alone the optimal constant is a median
    of the weights, with a ridge alone their mean, and with both it lies between the two: see
    `gpu_logreg.mathematics.penalty.least_shift`.
    """
    K = objective.n_logits
    if not objective.loss.has_free_directions or not result.params.any():
        return result
    by_class = result.params.reshape(K, -1).copy()
    w = by_class[:, : objective.dataset.n_columns]
    before, shift = _penalties(objective, w), _least_shift(objective, w)
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
    by_column = objective.penalty_factor is not None
    l1 = objective.l1 * objective.penalty_factor if objective.penalty_factor is not None else objective.l1
    return l2_penalty(w, objective.l2)[0] + float(l1 @ np.abs(w).sum(axis=0) if by_column else l1 * np.abs(w).sum())


def _least_shift(objective: Objective, w: Float64Matrix) -> Float64Vector:
    """As `gpu_logreg.mathematics.penalty.least_shift`; with a strength for each column, of each by itself."""
    factors = objective.penalty_factor
    if factors is None or objective.l1 == 0.0:
        return least_shift(w, objective.l1, 0.0 if factors is not None else objective.l2)
    l2 = np.broadcast_to(objective.l2, factors.shape)
    shifts = [least_shift(w[:, j : j + 1], objective.l1 * f, l2[j]) for j, f in enumerate(factors)]
    return np.concatenate(shifts)
