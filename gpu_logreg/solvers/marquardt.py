"""The minimum of a loss of few rows, where rows on a wrong side by far make whole Newton steps useless.

A row whose logits are far from deciding it anew has next to no curvature, so that a Newton step moves its logits by
tens or thousands, past where its loss bends; cut short for such rows, the step is short for all others. Therefore
curvature is added that bounds the loss of every row at any length of a step, times a damping that falls where the
quadratic model has told the truth, and rises where it has not.

Sources: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963); T. Jaakkola and
M. Jordan, "Bayesian parameter estimation via variational methods" (2000), for the curvature that bounds a row.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["FIRST_DAMPING", "Curvature", "CurvedLoss", "Minimum", "marquardt_minimum"]

FIRST_DAMPING = 0.5
"""Share of the bounding curvature that the first step at all is damped by."""

TRUE, POOR = 0.75, 0.25
"""Decrease over that predicted from which on the damping falls, and below which it rises."""

FALL, RISE, FAILED = 0.1, 4.0, 8.0
"""Factors of the damping: after a step as predicted at once, after a poor one, and after one that led no lower, squared
with every one more."""

LEAST_DAMPING = 1e-16
"""Damping below which there is none, and which a failed step begins at."""

SMALL_DAMPING = 1e-5
"""Damping up to which a small decrease tells of the minimum, and not of a step that is held back."""

LEFT = 0.02
"""Share of the decrease until now that the minimum may be missed by: the rows of a sample tell no more."""

MOST_STEPS = 40
"""Steps for one minimum; the way to where they have led is one along which the loss falls."""

NO_LOWER = 1e-13
"""Predicted decrease over the value that is rounding."""


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
    """
    own, grad = loss(start)
    grad = grad + slopes
    first, value, moved = own, 0.0, np.zeros_like(start)
    for _ in range(MOST_STEPS):
        curvature = loss.curvature(start + moved)
        rise = FAILED
        while True:
            factor = curvature.factor(damping)
            step = -factor.solve(grad)
            predicted = -float(grad @ step) - 0.5 * float(step @ (curvature @ step))
            if not predicted > NO_LOWER * abs(first):
                return Minimum(moved, -value, 0.0)  # which may be for the damping: the next begins without
            own, grad_there = loss(start + moved + step)
            there = own - first + float(slopes @ (moved + step))
            ratio = (value - there) / predicted
            if ratio > 0.0:
                break
            damping, rise = rise * max(damping, LEAST_DAMPING), rise * rise
        small = damping <= SMALL_DAMPING
        if ratio > TRUE and rise == FAILED:
            damping = FALL * damping if FALL * damping > LEAST_DAMPING else 0.0
        elif ratio < POOR:
            damping *= RISE
        moved, value, grad = moved + step, there, grad_there + slopes
        if -value >= enough:
            break
        if small and ratio > TRUE:  # the curvature has hardly changed
            step = -factor.solve(grad)
            left = -0.5 * float(grad @ step)
            if left <= LEFT * -value:
                return Minimum(moved + step, left - value, damping)
    return Minimum(moved, -value, damping)
