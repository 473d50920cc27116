"""Newton's method with the exact Hessian, for data so small that the interpreter takes longer than the arithmetic.

Value, gradient and Hessian come from one call at every trial point: as a rule the full step is taken, so no Hessian is
wasted. The step that meets the tolerance is taken without a look at its end, which costs nothing and squares the
relative suboptimality.

Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), section 9.5; the Newton decrement is theirs.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from scipy.linalg import LinAlgError

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Iteration, Observer, SolverResult, Stop, falls_for_ever, separable

__all__ = ["SecondOrder", "newton"]

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease by the slope that a step must reach (Armijo's condition)."""

MAX_HALVINGS = 20
"""Halvings of a step: one that is shorter than a millionth of Newton's is along a direction that misleads."""

ROUNDING, STALLED = 1e-14, 0.25
"""Relative suboptimality below which rounding may keep the remaining decrease from falling, and the share of the last
one that shows it: a step that gains leaves far less."""

LARGEST_ROUNDING, CREEPING = 1e-9, 0.9
"""The same of a value whose logits are small sums of large terms that cancel."""

DECREASE_PER_TOL = 1e-4
"""Relative suboptimality at the end for each ``tol``, besides ``max |grad| <= tol``. One step from there leaves about
its square: nothing that a float64 value shows."""


class SecondOrder(Protocol):
    """An objective with its Hessian, in coordinates ``phi`` of its own."""

    @property
    def coordinates(self) -> Any:
        """``to_params(phi)`` and ``grad_to_params(grad)``."""

    def second_order(self, phi: Float64Vector, /) -> tuple[float, Float64Vector, Any]:
        """Value, gradient and Hessian at ``phi``."""

    def rounding_at(self, phi: Float64Vector, value: float, /) -> float:
        """Relative size below which differences of the value there are rounding."""


def newton(
    objective: SecondOrder,
    phi: Float64Vector,
    *,
    tol: float,
    max_iter: int,
    separable_below: float = 0.0,
    observer: Observer | None = None,
) -> SolverResult | None:
    """Minimise by Newton's method, halving steps that do not lower the value enough.

    Parameters
    ----------
    objective : SecondOrder
    phi : ndarray of shape (p,)
        Where to start.
    tol : float
        Largest ``max |grad|`` by the parameters, not by ``phi``.
    max_iter : int
    separable_below : float
        Value that proves that there is no minimum: see `gpu_logreg.solvers.Objective`.
    observer : Observer, optional
        Called after every iteration, with parameters; a true answer stops the solver.

    Returns
    -------
    SolverResult or None
        In parameters; None where the method finds no way on (a singular or infinite Hessian, no lower value along
        the step): other solvers do more for such data.
    """
    value, grad, H = objective.second_order(phi)
    curve, step, last_remaining = [value], 0.0, math.inf
    for n_iter in range(max_iter + 1):
        if not math.isfinite(value):
            return None
        by_params = objective.coordinates.grad_to_params(grad)
        grad_max = float(np.abs(by_params).max(initial=0.0))
        try:
            direction = -Factor(H).solve(grad)
        except LinAlgError:
            return None
        slope = float(grad @ direction)
        remaining = -0.5 * slope
        rounding = objective.rounding_at(phi, value)
        stop = _stop(grad_max, remaining, value, tol, separable_below)
        stop = stop or _stalled(remaining, last_remaining, value, rounding)
        last_remaining = remaining
        predicted = remaining if stop is not None and stop.converged else 0.0
        if predicted:
            phi, value = phi + direction, value - remaining
            curve[-1] = value
        last = stop is not None or n_iter == max_iter
        params = objective.coordinates.to_params(phi)
        if n_iter > 0 and observer is not None:
            asked_to_stop = observer(Iteration(n_iter, params, value, grad_max, step, last, remaining))
            if asked_to_stop and not last:
                return SolverResult(params, value, by_params, n_iter, False, "stopped by a callback", curve)
        if stop is not None:
            return SolverResult(
                params,
                value,
                by_params,
                n_iter,
                stop.converged,
                stop.message,
                curve,
                predicted=predicted,
                stuck=stop.by_rounding,
            )
        if n_iter == max_iter:
            break
        lower = _lower(objective, phi, value, slope, direction, rounding * abs(value))
        if lower is None:
            return None
        step, phi, value, grad, H = lower
        curve.append(value)
    message = f"max_iter = {max_iter} reached with max |grad| = {grad_max:.2g}, tol = {tol:g}"
    return SolverResult(params, value, by_params, max_iter, False, message, curve)


def _stop(grad_max: float, remaining: float, value: float, tol: float, separable_below: float) -> Stop | None:
    if falls_for_ever(value, grad_max, tol, separable_below):
        return separable(value)
    if remaining <= min(2.0 * float(np.finfo(np.float64).eps), tol * tol) * abs(value):
        return Stop(f"the remaining decrease, {remaining:.2g}, is below the rounding of the objective", True)
    if grad_max <= tol and remaining <= DECREASE_PER_TOL * tol * abs(value):
        return Stop(f"max |grad| = {grad_max:.2g} <= tol = {tol:g}", True)
    return None


def _stalled(remaining: float, last_remaining: float, value: float, rounding: float) -> Stop | None:
    """The end of a fit whose remaining decrease no longer falls, where it is as small as rounding."""
    if STALLED * last_remaining < remaining <= ROUNDING * abs(value):
        return Stop(f"the remaining decrease, {remaining:.2g}, no longer falls: it is rounding", True)
    if CREEPING * last_remaining < remaining <= min(rounding, LARGEST_ROUNDING) * abs(value):
        message = f"the remaining decrease, {remaining:.2g}, no longer falls: it is the rounding of the value"
        return Stop(message, True, by_rounding=True)
    return None


def _lower(
    objective: SecondOrder, phi: Float64Vector, value: float, slope: float, direction: Float64Vector, noise: float
) -> tuple[float, Float64Vector, float, Float64Vector, Any] | None:
    """The longest of the steps 1, 1/2, 1/4, ... that lowers the value by its due, or raises it by rounding at most."""
    step = 1.0
    for _ in range(MAX_HALVINGS):
        there = phi + step * direction
        trial, grad, H = objective.second_order(there)
        if trial <= value + max(SUFFICIENT_DECREASE * step * slope, noise):
            return step, there, trial, grad, H
        step *= 0.5
    return None
