"""The minimum of a quadratic model by weights that keep their signs, roughly, by conjugate gradients.

``q(s) = g @ s + s @ H s / 2``, where ``g`` has the L1 strength with the sign of each weight, so that ``q`` is the model
as long as no weight ``w + s`` crosses zero.

1. Conjugate gradients with the diagonal as preconditioner lower ``q``.
2. Weights that would cross zero become zero. Where the model is lowered by most of what it was without that, this is
   the end, by an exact line search.
3. Else the others have gone where they belong only if those had gone on. From there conjugate gradients go on by the
   others alone: along a line from the start to the minimum the first weight to be zero is so at a lower value than that
   at the start, and the minimum with it at zero is lower still.

Source: J. Nocedal and S. Wright, "Numerical Optimization" (2006), algorithm 5.3, and section 16.7 for steps to a face
and conjugate gradients on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["SignedStep", "signed_step"]

MAX_PRODUCTS = 100
"""Products with the Hessian for one minimum."""

LATEST, LEAST_LATEST = 0.25, 2
"""Share of the conjugate gradients whose decrease tells what those that follow would add, and their least number."""

KEPT = 0.5
"""Share of the decrease that must be left after weights have become zero: below, the others move once more."""

MOST_FACES = 3
"""Times that weights may become zero before it is left at the best point so far."""


class SignedStep(NamedTuple):
    """A step that lowers the model.

    Attributes
    ----------
    step : ndarray of shape (m,)
    decrease : float
        0 where none was found.
    products : int
        With the Hessian.
    """

    step: Float64Vector
    decrease: float
    products: int


def signed_step(
    product: Callable[[Float64Vector], Float64Vector],
    weights: Float64Vector,
    slope: Float64Vector,
    inverse: Float64Vector,
    forcing: float,
    enough: float,
) -> SignedStep:
    """A step to about the minimum of ``slope @ s + s @ H s / 2`` by which no weight changes its sign.

    Parameters
    ----------
    product : function s -> H s
    weights : ndarray of shape (m,)
        Those that keep their signs; 0 for what may have any, as an intercept.
    slope : ndarray of shape (m,)
    inverse : ndarray of shape (m,)
        One over about the diagonal of ``H``.
    forcing, enough : float
        It is done once further steps would add no more than this share of the decrease so far, or no more than this.
    """
    sign, free = np.sign(weights), np.ones(len(weights))
    at, lowered, products = np.zeros(len(weights)), 0.0, 0
    best, most = at, 0.0
    for _ in range(MOST_FACES):
        step, decrease, n = _conjugate_gradients(
            product, slope, inverse * free, forcing, max(enough, forcing * max(0.0, lowered))
        )
        products += n
        crosses = (weights + (at + step)) * sign < 0.0
        if not crosses.any():
            if lowered + decrease > most:
                best, most = at + step, lowered + decrease
            break
        first = float(((weights + at)[crosses] / -step[crosses]).min())
        if lowered + first * (2.0 - first) * decrease > most:  # as far as the first of them is zero
            best, most = at + first * step, lowered + first * (2.0 - first) * decrease
        bent = np.where(crosses, -weights, at + step)
        curved = product(bent - at)
        products += 1
        along, curvature = -float((bent - at) @ slope), float((bent - at) @ curved)
        part = min(1.0, along / curvature) if along > 0.0 and curvature > 0.0 else 0.0
        fall = part * (along - 0.5 * part * curvature)
        if lowered + fall > most:
            # All of the way the weights that cross are zero, and not what rounding leaves of them.
            best, most = bent if part == 1.0 else at + part * (bent - at), lowered + fall
        if fall >= KEPT * decrease:
            break
        at, lowered, slope = bent, lowered + along - 0.5 * curvature, slope + curved
        free[crosses] = 0.0
    return SignedStep(best, most, products)


def _conjugate_gradients(
    product: Callable[[Float64Vector], Float64Vector],
    slope: Float64Vector,
    inverse: Float64Vector,
    forcing: float,
    enough: float,
) -> tuple[Float64Vector, float, int]:
    """A step that lowers the quadratic with this slope, the decrease, and the products it took.

    The decrease by the next ones is estimated from that by the last quarter: it may be small for a few in between.
    """
    residual = -slope
    step, decreases = np.zeros(len(residual)), [0.0]
    direction = inverse * residual
    square = float(residual @ direction)
    for n in range(1, MAX_PRODUCTS + 1):
        curved = product(direction)
        curvature = float(direction @ curved)
        if not curvature > 0.0:
            break
        length = square / curvature
        step += length * direction
        residual -= length * curved
        decreases.append(decreases[-1] + 0.5 * length * square)
        latest = decreases[-1] - decreases[max(0, n - max(LEAST_LATEST, int(LATEST * n)))]
        if latest <= max(forcing * decreases[-1], enough):
            break
        scaled = inverse * residual
        before, square = square, float(residual @ scaled)
        direction = scaled + square / before * direction
    return step, decreases[-1], n
