"""Newton's steps in long double: by the Hessian, and by its root where rounding hides small curvatures."""

from __future__ import annotations

from typing import Any

import numpy as np
from exact_objective import WIDE, Standard
from quadratic import minimise_quadratic, solve_transposed, solve_upper, triangle

JITTER = 1e-17
"""Added to the diagonal of a Hessian scaled to ones."""


def newton_step(problem: Standard, u: np.ndarray, grad: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, Any]:
    """The step to the minimum of the model of second order, and what the model of first order says it gains."""
    target = minimise_quadratic(H, grad.ravel(), u.ravel(), problem.l1.ravel(), JITTER).reshape(u.shape)
    step = target - u
    return step, -(grad * step).sum() - (problem.l1 * (np.abs(target) - np.abs(u))).sum()


def step_by_root(problem: Standard, u: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, Any]:
    """The same step without an L1 penalty, where rounding of the Hessian hides its small curvatures."""
    root = problem.root(u, problem.gauge)
    size = np.sqrt((root**2).sum(axis=0))
    size[size == 0] = 1
    R, order = triangle(root / size)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > 1e-17 * diagonal[0]).sum())
    scaled = (grad.ravel() / size)[order][:rank]
    step = np.zeros(len(size), WIDE)
    step[order[:rank]] = -solve_upper(R[:rank, :rank], solve_transposed(R[:rank, :rank], scaled))
    step = (step / size).reshape(u.shape)
    return step, -(grad * step).sum()


def line_search(
    problem: Standard, u: np.ndarray, value: Any, step: np.ndarray, left: Any
) -> tuple[np.ndarray, Any] | None:
    length = WIDE(1)
    for _ in range(60):
        trial = u + step if length == 1 else u + length * step
        trial_value = problem.value(trial)
        if trial_value <= value - WIDE(1e-4) * length * left and trial_value < value:
            return trial, trial_value
        length /= 2
    return None


def polished(problem: Standard, u: np.ndarray) -> np.ndarray:
    """Whole steps while the subgradient falls, whose size goes on to tell where the value is all rounding."""

    def size(u: np.ndarray, grad: np.ndarray, H: np.ndarray) -> Any:
        diagonal = np.maximum(np.diag(H), np.finfo(WIDE).tiny)
        return np.abs(problem.subgradient(u, grad).ravel() / np.sqrt(diagonal)).max(initial=WIDE(0))

    grad, H = problem.derivatives(u)
    here = size(u, grad, H)
    for _ in range(8):
        trial = u + (newton_step(problem, u, grad, H) if problem.exact.l1 > 0 else step_by_root(problem, u, grad))[0]
        trial_grad, trial_H = problem.derivatives(trial)
        there = size(trial, trial_grad, trial_H)
        if not there < here:
            break
        u, grad, H, here = trial, trial_grad, trial_H, there
    return u
