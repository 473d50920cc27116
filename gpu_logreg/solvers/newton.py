"""Newton's method with the exact Hessian, for data so small that the interpreter takes longer than the arithmetic.

Value, gradient and Hessian come from one call at every trial point: as a rule the full step is taken, so no Hessian is
wasted. The step that meets the tolerance is taken without a look at its end, which costs nothing and squares what is
left, relatively.

Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), section 9.5; the Newton decrement is theirs.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from scipy.linalg import LinAlgError

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Iteration, Observer, SolverResult, Stop, falls_for_ever, separable
from gpu_logreg.solvers.factor import Factor

__all__ = ["SecondOrder", "newton"]

SUFFICIENT_DECREASE = 1e-4
MAX_HALVINGS = 20
ROUNDING = 1e-14
"""Relative size of what is left to gain below which rounding may keep it from falling further."""
LARGEST_ROUNDING, SLOWLY = 1e-9, 0.9
"""The same of a value whose logits are small sums of large terms, and the share of it that a step that gains leaves."""
DECREASE_PER_TOL = 1e-4
"""With ``max |grad| <= tol``, the decrement must be below this times ``tol``, relative to the value. One step from
there leaves about its square: nothing that a float64 value shows."""


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
    curve, step, last_left = [value], 0.0, math.inf
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
        left = -0.5 * slope
        met = _met(grad_max, left, value, tol, separable_below)
        if met is None and 0.25 * last_left < left <= ROUNDING * abs(value):
            met = Stop(f"what is left to gain, {left:.2g}, no longer falls: it is rounding", True)
        rounding = objective.rounding_at(phi, value)
        if met is None and SLOWLY * last_left < left <= min(rounding, LARGEST_ROUNDING) * abs(value):
            met = Stop(
                f"what is left to gain, {left:.2g}, no longer falls: it is the rounding of the value", True, True
            )
        last_left = left
        predicted = left if met is not None and met.converged else 0.0
        if predicted:
            phi, value = phi + direction, value - left
            curve[-1] = value
        last = met is not None or n_iter == max_iter
        params = objective.coordinates.to_params(phi)
        if n_iter > 0 and observer is not None:
            stop = observer(Iteration(n_iter, params, value, grad_max, step, last, left))
            if stop and not last:
                return SolverResult(params, value, by_params, n_iter, False, "stopped by a callback", curve)
        if met is not None:
            return SolverResult(
                params,
                value,
                by_params,
                n_iter,
                met.converged,
                met.message,
                curve,
                predicted=predicted,
                stuck=met.by_rounding,
            )
        if n_iter == max_iter:
            break
        found = _lower(objective, phi, value, slope, direction, rounding * abs(value))
        if found is None:
            return None
        step, phi, value, grad, H = found
        curve.append(value)
    message = f"max_iter = {max_iter} reached with max |grad| = {grad_max:.2g}, tol = {tol:g}"
    return SolverResult(params, value, by_params, max_iter, False, message, curve)


def _met(grad_max: float, left: float, value: float, tol: float, separable_below: float) -> Stop | None:
    if falls_for_ever(value, grad_max, tol, separable_below):
        return separable(value)
    if left <= min(2.0 * float(np.finfo(np.float64).eps), tol * tol) * abs(value):
        return Stop(f"what is left to gain, {left:.2g}, is below the rounding of the objective", True)
    if grad_max <= tol and left <= DECREASE_PER_TOL * tol * abs(value):
        return Stop(f"max |grad| = {grad_max:.2g} <= tol = {tol:g}", True)
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
