"""Newton's method with bounds: the minimum of a quadratic model within the bounds, and a line search towards it.

``F(x) = f(x) + sum_j l1_j |x_j|`` with ``low <= x <= high``. A model of ``f`` by its gradient and a Hessian, of all
rows or of a sample, is minimised within the bounds by projected Newton steps, which read no rows: parameters that a
step would only push against a bound are held there, all others take a Newton step, and its end is projected.
With an L1 penalty, zero is a bound of each step too. Where the model is flat along some direction, as along the weights
that K classes have in common, such a step may be of any length and lead nowhere; then each parameter in turn takes its
minimum. The way to that minimum is feasible, and downhill.

Source: D. P. Bertsekas, "Projected Newton methods for optimization problems with simple constraints" (1982).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers import Iteration, Objective, Observer, SolverResult, falls_for_ever, separable

__all__ = ["Box", "NonSmooth", "least_subgradient", "minimum_within", "projected_newton"]

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease by the slope that a step must reach (Armijo's condition)."""

MAX_HALVINGS = 40
"""Halvings of a step, beyond which the direction misleads."""

MAX_STEPS = 200
"""Projected steps within one model: each has another set of parameters at their bounds."""

LEAST_STEP = 2.0**-10
"""Share of a projected step below which parameters also take their minima in turn: its direction misleads."""

RESIDUAL, DAMPING = 1e-3, 1e-8
"""Share of the slope that a Newton step leaves only where the model is flat, and what then is added to its unit
diagonal: steps along that direction would else be so long that the model of their end is all rounding."""

SAME = 1e-14
"""Decrease of the model by a step, relative to all until then, at which it has its minimum."""

DECREASE_PER_TOL = 1e-4
"""Remaining decrease at the end, relative to the value, for each ``tol``; the last step leaves about its square."""

SLOW = 0.1
"""Share of the last remaining decrease that a good model leaves at most."""


class NonSmooth(Protocol):
    """What is added to a smooth function, bounds included, and all that `projected_newton` asks of it."""

    def nearest(self, x: Float64Vector) -> Float64Vector:
        """The nearest point at which it is finite."""

    def penalty(self, x: Float64Vector) -> float:
        """Its value."""

    def subgradient(self, x: Float64Vector, grad: Float64Vector) -> Float64Vector:
        """The least subgradient of the sum, from the gradient of the smooth function."""

    def minimum(self, H: Float64Matrix, grad: Float64Vector, x: Float64Vector) -> tuple[Float64Vector, float]:
        """The minimum of a quadratic model of the smooth function and this, and the decrease to there."""


class Box(NamedTuple):
    """Bounds of parameters, and the strengths of their L1 penalty.

    Attributes
    ----------
    low, high, l1 : ndarray of shape (p,)
    """

    low: Float64Vector
    high: Float64Vector
    l1: Float64Vector

    def penalty(self, x: Float64Vector) -> float:
        """``sum_j l1_j |x_j|``."""
        return float(self.l1 @ np.abs(x))

    def subgradient(self, x: Float64Vector, grad: Float64Vector) -> Float64Vector:
        """The subgradient of least norm: 0 where the conditions of Karush, Kuhn and Tucker hold."""
        return least_subgradient(x, grad, self.l1, x <= self.low, x >= self.high)

    def nearest(self, x: Float64Vector) -> Float64Vector:
        """The point within the bounds that is nearest to ``x``."""
        return np.clip(x, self.low, self.high)

    def minimum(self, H: Float64Matrix, grad: Float64Vector, x: Float64Vector) -> tuple[Float64Vector, float]:
        """`minimum_within`."""
        return minimum_within(H, grad, x, self)


def least_subgradient(
    x: Float64Vector, grad: Float64Vector, l1: Float64Vector, at_low: NDArray[np.bool_], at_high: NDArray[np.bool_]
) -> Float64Vector:
    """The subgradient of least norm of ``f(x) + sum_j l1_j |x_j|`` within bounds, with the gradient ``grad`` of ``f``.

    At a lower bound a gradient above zero is none, at an upper bound one below zero.

    Examples
    --------
    >>> x, grad, none = np.zeros(2), np.array([0.5, -0.5]), np.zeros(2, bool)
    >>> least_subgradient(x, grad, np.zeros(2), np.ones(2, bool), none)
    array([ 0. , -0.5])
    """
    least = np.where(at_low, -np.inf, grad + np.where(x > 0.0, l1, -l1))
    most = np.where(at_high, np.inf, grad + np.where(x < 0.0, -l1, l1))
    return np.asarray(np.clip(0.0, least, most))


def minimum_within(H: Float64Matrix, grad: Float64Vector, x: Float64Vector, box: Box) -> tuple[Float64Vector, float]:
    """The minimum of ``grad @ (u - x) + (u - x) @ H (u - x) / 2 + sum_j l1_j |u_j|`` within bounds, and the decrease.

    Parameters
    ----------
    H : ndarray of shape (p, p)
        Positive definite, with a positive diagonal.
    grad : ndarray of shape (p,)
    x : ndarray of shape (p,)
        Within the bounds.
    box : Box

    Examples
    --------
    >>> box = Box(np.zeros(2), np.full(2, np.inf), np.zeros(2))
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> minimum_within(H, np.array([-2.0, 1.0]), np.zeros(2), box)
    (array([1., 0.]), 1.0)
    """
    u, slope_of_f, diagonal, total = x.copy(), grad.copy(), H.diagonal(), 0.0
    for _ in range(MAX_STEPS):
        v = box.subgradient(u, slope_of_f)
        # Within the orthant that the step starts into, the L1 penalty is linear, and zero a bound.
        sign = np.where(u != 0.0, np.sign(u), -np.sign(v)) * (box.l1 > 0.0)
        slope = slope_of_f + box.l1 * sign
        low, high = np.where(sign > 0.0, np.maximum(box.low, 0.0), box.low), box.high
        high = np.where(sign < 0.0, np.minimum(high, 0.0), high)
        near = float(np.abs(u - np.clip(u - slope / diagonal, low, high)).max(initial=0.0))
        near = min(near, 1e-3)
        at_zero = (v == 0.0) & (u == 0.0) & (box.l1 > 0.0)
        held = ((u <= low + near) & (slope > 0.0)) | ((u >= high - near) & (slope < 0.0)) | at_zero
        free = np.flatnonzero(~held)
        direction = np.where(at_zero, 0.0, -slope / diagonal)
        direction[free] = _newton(H[np.ix_(free, free)], slope[free])
        step, change, t = _projected(H, slope, u, direction, held, (low, high))
        u, slope_of_f = u + step, slope_of_f + H @ step
        if t < LEAST_STEP:
            u, slope_of_f, more = _in_turn(H, slope_of_f, u, box)
            change += more
        total -= change
        if -change <= SAME * total:
            break
    return np.clip(u, box.low, box.high), total


def _newton(H: Float64Matrix, slope: Float64Vector) -> Float64Vector:
    """``-H^-1 slope``, with a little more curvature where ``H`` is singular, and the slope not in its range."""
    direction = -Factor(H).solve(slope)
    if np.abs(H @ direction + slope).max(initial=0.0) > RESIDUAL * np.abs(slope).max(initial=0.0):
        direction = -Factor(H, noise=DAMPING).solve(slope)
    return direction


def _projected(
    H: Float64Matrix,
    slope: Float64Vector,
    u: Float64Vector,
    direction: Float64Vector,
    held: NDArray[np.bool_],
    bounds: tuple[Float64Vector, Float64Vector],
) -> tuple[Float64Vector, float, float]:
    """The first of the steps 1, 1/2, 1/4, ... that lowers the model enough, projected; what it changes; and its share.

    No step at all, with a share of 0, where none of them does.
    """
    t = 1.0
    for _ in range(MAX_HALVINGS):
        step = np.clip(u + t * direction, *bounds) - u
        change = float(slope @ step + 0.5 * (step @ (H @ step)))
        due = t * float(slope[~held] @ direction[~held]) + float(slope[held] @ step[held])
        if change <= SUFFICIENT_DECREASE * due and change < 0.0:
            return step, change, t
        t *= 0.5
    return np.zeros_like(u), 0.0, 0.0


def _in_turn(
    H: Float64Matrix, slope_of_f: Float64Vector, u: Float64Vector, box: Box
) -> tuple[Float64Vector, Float64Vector, float]:
    """Each parameter at the minimum of the model with the others held; the slope there, and what that changes."""
    u, slope_of_f, change = u.copy(), slope_of_f.copy(), 0.0
    for j in range(len(u)):
        h, l1 = H[j, j], box.l1[j]
        at = u[j] - slope_of_f[j] / h
        new = min(max(math.copysign(max(abs(at) - l1 / h, 0.0), at), box.low[j]), box.high[j])
        step = new - u[j]
        if step != 0.0:
            change += slope_of_f[j] * step + 0.5 * h * step * step + l1 * (abs(new) - abs(u[j]))
            slope_of_f += step * H[j]
            u[j] = new
    return u, slope_of_f, float(change)


def projected_newton(
    objective: Objective,
    start: Float64Vector,
    box: NonSmooth,
    *,
    hessian: Callable[[Float64Vector, bool], Float64Matrix],
    tol: float,
    max_iter: int,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise the objective plus the penalty within the bounds.

    Parameters
    ----------
    objective : Objective
        The smooth part, in well-scaled coordinates.
    start : ndarray of shape (p,)
        Within the bounds.
    box : NonSmooth
        Such as a `Box`.
    hessian : function (x, better) -> ndarray of shape (p, p)
        A model of the curvature at ``x``; a better one, such as of more rows, where the last has misled.
    tol, max_iter, observer
        As of other solvers; ``max |subgradient| <= tol`` is asked of ``x``.

    Returns
    -------
    SolverResult
        ``grad`` is the subgradient of least norm.
    """
    x = box.nearest(start)
    value, grad = objective(x)
    value += box.penalty(x)
    curve, last, better, t = [value], math.inf, False, 1.0
    message, converged, stuck = f"max_iter = {max_iter} reached", False, False
    n_iter = 0
    while True:
        v = box.subgradient(x, grad)
        grad_max = float(np.abs(v).max(initial=0.0))
        target, remaining = box.minimum(hessian(x, better), grad, x)
        noise = objective.rounding * abs(value)
        small = remaining <= DECREASE_PER_TOL * tol * abs(value)
        done = (grad_max <= tol and small) or remaining <= noise * 1e-2
        if not done and falls_for_ever(value, grad_max, tol, objective.separable_below):
            message = separable(value).message
            break
        if done:
            message, converged = f"max |subgradient| = {grad_max:.2g} <= tol = {tol:g}", True
            if grad_max > tol:
                message = f"the remaining decrease, {remaining:.2g}, is below the rounding of the value"
        if n_iter >= max_iter:
            break
        direction, t = target - x, 1.0
        due = float(grad @ direction) + box.penalty(target) - box.penalty(x)
        for _ in range(2 if done else MAX_HALVINGS):
            there = target if t == 1.0 else x + t * direction
            new_value, new_grad = objective(there)
            new_value += box.penalty(there)
            if math.isfinite(new_value) and new_value <= value + max(SUFFICIENT_DECREASE * t * due, noise):
                x, value, grad = there, new_value, new_grad
                break
            t *= 0.5
        else:
            if not done and not better:
                better = True
                continue
            stuck = not done
            message = message if done else f"no lower value was found; max |subgradient| = {grad_max:.2g}"
            break
        n_iter += 1
        curve.append(value)
        better, last = t < 1.0 or remaining > SLOW * last, remaining
        here = Iteration(n_iter, x, value, grad_max, t, done, remaining)
        if observer is not None and observer(here) and not done:
            message = "stopped by a callback"
            break
        if done:
            break
    return SolverResult(
        x, value, box.subgradient(x, grad), n_iter, converged, message, curve, smooth_grad=grad, stuck=stuck
    )
