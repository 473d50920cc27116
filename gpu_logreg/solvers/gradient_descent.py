"""Gradient descent: the textbook loop of forward pass, loss, backward pass and update.

Step rules: a fixed step; a step halved until the value falls enough (L. Armijo, "Minimization of functions having
Lipschitz continuous first partial derivatives", 1966); a fixed step with heavy-ball momentum (B. Polyak, 1964).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Iteration, Objective, Observer, SolverResult, stop_at

__all__ = ["StepRule", "gradient_descent"]

StepRule = Literal["fixed", "armijo", "momentum"]

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease by the slope that a step must reach, as in Armijo's paper."""

MAX_HALVINGS = 60
"""Halvings of a step: a step shorter by 2**60 changes no float64 parameter of size one."""


def gradient_descent(
    objective: Objective,
    start: Float64Vector,
    *,
    step: StepRule = "armijo",
    tol: float = 1e-6,
    max_iter: int = 1000,
    learning_rate: float = 1.0,
    momentum: float = 0.9,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise a smooth objective until ``max |grad| <= tol`` or ``max_iter`` updates.

    Parameters
    ----------
    objective : function params -> (value, grad)
    start : ndarray of shape (p,)
    step : {"armijo", "fixed", "momentum"}
        ``"fixed"``: ``params -= learning_rate grad``. ``"momentum"``: ``v = momentum v - learning_rate grad``,
        ``params += v``. ``"armijo"``: the last step doubled, then halved until
        ``f(params - t grad) <= f(params) - 1e-4 t |grad|**2``; every trial is one read.
    tol : float
    max_iter : int
    learning_rate : float
        Step of the fixed rules, first trial of ``"armijo"``.
    momentum : float
    observer : Observer, optional
        Called after every update; a true answer stops the solver.

    Returns
    -------
    SolverResult
        Not converged, with the last finite point, where a fixed step is so long that the value is no longer finite.
    """
    params = start.copy()
    value, grad = objective(params)
    curve = [value]
    velocity = np.zeros_like(params)
    t = learning_rate
    n_iter = 0
    while True:
        grad_max = float(np.abs(grad).max(initial=0.0))
        stop = stop_at(objective, value, grad_max, tol)
        last = stop is not None or n_iter == max_iter
        if (
            n_iter > 0
            and observer is not None
            and observer(Iteration(n_iter, params, value, grad_max, t, last))
            and not last
        ):
            return SolverResult(params, value, grad, n_iter, False, "stopped by a callback", curve)
        if stop is not None:
            return SolverResult(params, value, grad, n_iter, stop.converged, stop.message, curve)
        if last:
            message = f"max_iter = {max_iter} reached with max |grad| = {grad_max:.2g}, tol = {tol:g}"
            return SolverResult(params, value, grad, n_iter, False, message, curve)
        if step == "armijo":
            lower = _armijo(objective, params, value, grad, 2.0 * t if n_iter else t)
            if lower is None:
                message = f"no lower value within rounding with max |grad| = {grad_max:.2g}, tol = {tol:g}"
                return SolverResult(params, value, grad, n_iter, False, message, curve)
            t, new_params, new_value, new_grad = lower
        else:
            velocity = (momentum if step == "momentum" else 0.0) * velocity - learning_rate * grad
            new_params = params + velocity
            new_value, new_grad = objective(new_params)
            if not math.isfinite(new_value):
                message = f"the value is no longer finite; learning_rate = {learning_rate:g} is too large"
                return SolverResult(params, value, grad, n_iter, False, message, curve)
        params, value, grad = new_params, new_value, new_grad
        curve.append(value)
        n_iter += 1


def _armijo(
    objective: Objective, params: Float64Vector, value: float, grad: Float64Vector, t: float
) -> tuple[float, Float64Vector, float, Float64Vector] | None:
    """Halve ``t`` until the value falls by ``1e-4 t |grad|**2``; None where rounding makes that impossible."""
    slope = float(grad @ grad)
    for _ in range(MAX_HALVINGS):
        trial = params - t * grad
        trial_value, trial_grad = objective(trial)
        if trial_value <= value - SUFFICIENT_DECREASE * t * slope and trial_value < value:
            return t, trial, trial_value, trial_grad
        # In rounding the value says nothing any more, but a gradient that shrinks still does.
        if trial_value <= value + objective.rounding * abs(value) and float(trial_grad @ trial_grad) < slope:
            return t, trial, trial_value, trial_grad
        t *= 0.5
    return None
