"""The minimum of a loss of few rows, where rows on a wrong side by far make whole Newton steps useless.

A row whose logits are far from deciding it anew has next to no curvature, so that a Newton step moves its logits by
tens or thousands, past where its loss bends; cut short for such rows, the step is short for all others. Therefore
curvature is added that bounds the loss of every row at any length of a step, times a damping that falls where the
quadratic model has told the truth, and rises where it has not. Along every step the minimum is looked for, as logits
along a line cost no walk over the rows: no factor of a matrix is made in vain.

Sources: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963); T. Jaakkola and
M. Jordan, "Bayesian parameter estimation via variational methods" (2000), for the curvature that bounds a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["FIRST_DAMPING", "Curvature", "CurvedLoss", "Derivatives", "Minimum", "marquardt_minimum"]

FIRST_DAMPING = 0.5
"""Share of the bounding curvature that the first step at all is damped by."""

TRUE, POOR = 0.75, 0.25
"""Decrease over that predicted, and length of the step, from which on the damping falls; and the length below which it
rises by the inverse of the length."""

FALL, LARGEST_FALL = 0.1, 1e-4
"""Factor of the damping after a step as predicted, squared with every one more in succession, and the least of it."""

LEAST_DAMPING, SHORTEST = 1e-16, 1e-4
"""Damping below which there is none, and which a short step begins at; and the length that a shorter one counts as."""

SURE = 1e-6
"""Predicted decrease over the value from which on a step without damping needs no search."""

FLAT, MOST_LENGTHS = 0.1, 30
"""Share of the slope at the start of a line that its minimum may have, and lengths that are tried, without
a walk."""

SMALL_DAMPING = 1e-5
"""Damping up to which a small decrease tells of the minimum, and not of a step that is held back."""

LEFT = 0.02
"""Share of the decrease until now that the minimum may be missed by: the rows of a sample tell no more."""

MOST_STEPS = 40
"""Steps for one minimum; the way to where they have led is one along which the loss falls."""

NO_LOWER = 1e-13
"""Predicted decrease over the value that is rounding."""


Derivatives = Callable[[float], tuple[float, float]]
"""From a length to the first and second derivative there."""


class Curvature(Protocol):
    """The curvature of a loss at a point."""

    def __matmul__(self, v: Float64Vector, /) -> Float64Vector:
        """``H v``."""

    def factor(self, damping: float, /) -> Factor:
        """``H`` and ``damping`` times the bounding curvature, factored."""


class CurvedLoss(Protocol):
    """A loss of few rows, with a penalty."""

    def __call__(self, phi: Float64Vector, /) -> tuple[float, Float64Vector]:
        """Value and gradient."""

    def curvature(self, phi: Float64Vector, /) -> Curvature:
        """The `Curvature` at ``phi``."""

    def along(self, phi: Float64Vector, step: Float64Vector, /) -> Derivatives:
        """The derivatives of the value at ``phi + t step`` by ``t``."""


class Minimum(NamedTuple):
    """Where steps have led.

    Attributes
    ----------
    moved : ndarray of shape (p,)
        From the start.
    decrease : float
        Of the value.
    damping : float
        To go on with.
    """

    moved: Float64Vector
    decrease: float
    damping: float


def marquardt_minimum(
    loss: CurvedLoss,
    start: Float64Vector,
    slopes: Float64Vector,
    damping: float = FIRST_DAMPING,
    enough: float = math.inf,
    most_slow: float = math.inf,
) -> Minimum:
    """The minimum of ``loss(phi) + slopes @ (phi - start)``, nearly.

    Parameters
    ----------
    loss : CurvedLoss
        Convex.
    start, slopes : ndarray of shape (p,)
    damping : float
    enough : float
        Decrease to end with.
    most_slow : float
        Steps in succession to end with that have each taken off less than `LEFT` of the decrease until then.
    """
    first, grad = loss(start)
    grad = grad + slopes
    value, moved, fall, n_slow = 0.0, np.zeros_like(start), FALL, 0
    for _ in range(MOST_STEPS):
        curvature = loss.curvature(start + moved)
        factor = curvature.factor(damping)
        step = -factor.solve(grad)
        predicted = -float(grad @ step) - 0.5 * float(step @ (curvature @ step))
        if not predicted > NO_LOWER * abs(first):
            return Minimum(moved, -value, 0.0)  # which may be for the damping: the next begins without
        if damping == 0.0 and predicted <= SURE * abs(first):
            return Minimum(moved + step, predicted - value, 0.0)
        length = _line_minimum(loss.along(start + moved, step), float(slopes @ step))
        moved = moved + length * step
        own, grad = loss(start + moved)
        grad, last = grad + slopes, value
        value = own - first + float(slopes @ moved)
        as_predicted, small = last - value > TRUE * predicted, damping <= SMALL_DAMPING
        if as_predicted and length > TRUE:
            damping, fall = fall * damping, max(fall * fall, LARGEST_FALL)
            if damping <= LEAST_DAMPING:
                damping = 0.0
        else:
            fall = FALL
            if length < POOR:
                damping = max(damping, LEAST_DAMPING) / max(length, SHORTEST)
        n_slow = n_slow + 1 if last - value < LEFT * -value else 0
        if -value >= enough or n_slow == most_slow or not value < last:
            break
        if small and as_predicted and abs(length - 1.0) < 1.0 - TRUE:  # the curvature has hardly changed
            step = -factor.solve(grad)
            left = -0.5 * float(grad @ step)
            if left <= LEFT * -value:
                return Minimum(moved + step, left - value, damping)
    return Minimum(moved, -value, damping)


def _line_minimum(derivatives: Derivatives, slope: float) -> float:
    """Where a convex function, and ``slope`` times the length besides, is about least along a line that leads down.

    Newton's method with safeguards, from 1 on.
    """
    first, low, high, t = derivatives(0.0)[0] + slope, 0.0, math.inf, 1.0
    for _ in range(MOST_LENGTHS):
        along, second = derivatives(t)
        along += slope
        if abs(along) <= FLAT * abs(first):
            return t
        low, high = (t, high) if along < 0.0 else (low, t)
        newton = t - along / second if second > 0.0 else math.inf
        if math.isinf(high):
            t = min(max(newton, 2.0 * t), 10.0 * t)
        elif low < newton < high:
            t = min(max(newton, 0.95 * low + 0.05 * high), 0.05 * low + 0.95 * high)
        else:
            t = 0.5 * (low + high) if low > 0.1 * high else max(0.1 * high, math.sqrt(low * high))
    return low or t
