"""Line search for the strong Wolfe conditions; every trial is one evaluation of value and gradient together.

Bracketing and zooming follow J. Nocedal and S. Wright, "Numerical Optimization" (2006), algorithms 3.5 and 3.6.
Near the optimum the decrease of the value drowns in rounding while its slope does not; there a trial whose value
rises by no more than the rounding is accepted on its slope alone, as in W. Hager and H. Zhang, "A new conjugate
gradient method with guaranteed descent and an efficient line search" (2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.arrays.wide_vectors import dot, moved
from gpu_logreg.solvers import Objective

__all__ = ["Trial", "strong_wolfe"]

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease by the slope at the start that a step must reach: the ``c1`` of the Wolfe conditions."""

CURVATURE = 0.9
"""Share of the slope at the start that may be left at the end, in size: their ``c2``. Both are those that Nocedal and
Wright give for quasi-Newton methods."""

MAX_TRIALS = 20
"""Evaluations of one search; as a rule there is one."""

NARROWEST = 1e-12
"""Length of the bracket, relative to its ends, at which it holds nothing but rounding."""


class Trial(NamedTuple):
    """A point on the search line.

    Attributes
    ----------
    step : float
        Multiple of the direction.
    params : ndarray
    value, slope : float
        Objective and its derivative along the direction.
    grad : ndarray
    """

    step: float
    params: Float64Vector
    value: float
    slope: float
    grad: Float64Vector


def strong_wolfe(
    objective: Objective,
    start: Trial,
    direction: Float64Vector,
    step: float,
    *,
    budget: int = MAX_TRIALS,
    refused: Callable[[Trial], bool] | None = None,
) -> Trial | None:
    """A step along ``direction`` that meets the strong Wolfe conditions.

    ``f(t) <= f(0) + 1e-4 t f'(0)`` (or ``f(t) <= f(0) + rounding``, near the optimum) and ``|f'(t)| <= 0.9 |f'(0)|``.

    Parameters
    ----------
    objective : Objective
    start : Trial
        The point to leave, at step 0, with its slope along ``direction``, which is negative.
    direction : ndarray
    step : float
        First step to try.
    budget : int
        Largest number of evaluations.
    refused : function trial -> bool, optional
        Called if the first trial does not meet the conditions; a true answer ends the search without a result.

    Returns
    -------
    Trial or None
        None where rounding or the budget stopped the search before a point lower than the start was found.
    """
    value, slope = start.value, start.slope
    rounding = objective.rounding * abs(value)
    low, high = start, None
    wide = len(direction) >= wide_vectors.LEAST_WIDE
    for _ in range(budget):
        if wide:
            params = moved(start.params, step, direction)
        else:
            params = start.params + (direction if step == 1.0 else step * direction)
        there, grad = objective(params)
        along = dot(grad, direction) if wide else float(grad @ direction)
        trial = Trial(step, params, there, along, grad)
        highest = max(value + SUFFICIENT_DECREASE * step * slope, value + rounding)
        low_enough = math.isfinite(there) and there <= highest
        if not low_enough or (low.step > 0 and there >= low.value + rounding):
            high = trial
        elif abs(trial.slope) <= -CURVATURE * slope:
            return trial
        elif high is None and trial.slope < 0:
            low = trial
        else:
            if trial.slope * ((high.step if high else math.inf) - low.step) >= 0:
                high = low
            low = trial
        if refused is not None and refused(trial):
            return None
        refused = None
        if high is None:
            step = _expand(start, low)
            continue
        if abs(high.step - low.step) <= NARROWEST * max(high.step, low.step):
            break
        step = _interpolate(low, high)
    # The conditions were not met in full; a point that is lower all the same is still progress.
    return low if low.step > 0 and low.value < start.value else None


def _expand(start: Trial, low: Trial) -> float:
    """Next step beyond ``low``: where its slope would vanish by the secant, between twice and ten times as far."""
    fall = start.slope - low.slope
    secant = low.step * start.slope / fall if fall < 0 else math.inf
    return min(max(secant, 2.0 * low.step), 10.0 * low.step)


def _interpolate(low: Trial, high: Trial) -> float:
    """Minimiser of the cubic through both ends, kept a tenth of the interval away from them; else the middle."""
    width = high.step - low.step
    middle = low.step + 0.5 * width
    if not (math.isfinite(high.value) and math.isfinite(high.slope)):
        return low.step + 0.1 * width
    theta = low.slope + high.slope - 3.0 * (high.value - low.value) / width
    root = theta * theta - low.slope * high.slope
    if not root >= 0.0:
        return middle
    gamma = math.copysign(math.sqrt(root), width)
    denominator = high.slope - low.slope + 2.0 * gamma
    if denominator == 0.0:
        return middle
    step = high.step - width * (high.slope + gamma - theta) / denominator
    near, far = sorted((low.step + 0.1 * width, high.step - 0.1 * width))
    return min(max(step, near), far) if math.isfinite(step) else middle
