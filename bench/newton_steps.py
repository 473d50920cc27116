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
    """The same step of the parameters that are not zero, where rounding of the Hessian hides its small curvatures."""
    moving = ((u != 0) | (problem.l1 == 0)).ravel()
    root = problem.root(u)[:, moving]
    size = np.sqrt((root**2).sum(axis=0))
    size[size == 0] = 1
    R, order = triangle(root / size)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > 1e-17 * diagonal.max(initial=WIDE(0))).sum())
    slope = grad + problem.l1 * np.sign(u)
    scaled = (slope.ravel()[moving] / size)[order][:rank]
    found = np.zeros(len(size), WIDE)
    found[order[:rank]] = -solve_upper(R[:rank, :rank], solve_transposed(R[:rank, :rank], scaled))
    step = np.zeros(u.size, WIDE)
    step[moving] = found / size
    step = step.reshape(u.shape)
    return step, -(slope * step).sum()


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

    def size(u: np.ndarray, grad: np.ndarray) -> Any:
        curvatures = np.maximum(problem.curvatures(u), np.finfo(WIDE).tiny)
        return np.abs(problem.subgradient(u, grad) / np.sqrt(curvatures)).max(initial=WIDE(0))

    grad = problem.gradient(u)
    here, by_root = size(u, grad), False
    for _ in range(12):
        step = step_by_root(problem, u, grad) if by_root else newton_step(problem, u, grad, problem.hessian(u))
        trial = u + step[0]
        trial_grad = problem.gradient(trial)
        there = size(trial, trial_grad)
        if there < here:
            u, grad, here, better = trial, trial_grad, there, there < here / 2
            if better:
                continue
        if by_root:
            break
        by_root = True
    return u
