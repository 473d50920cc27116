"""When to take the curvature anew: from a larger sample where that pays, or from the same one at the present point."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.solvers.costs import DENSE, Costs, curvature_reads
from gpu_logreg.solvers.line_search import Trial

__all__ = ["Stage", "Watch", "ever_rarer", "first_then", "late", "renewed", "when_slow"]

T = TypeVar("T")

LARGEST_GROWTH = 64
"""Ratio of the largest sample that is considered to the present one."""

RESCUE_GROWTH = 8
"""The same of the sample whose curvature replaces one that has misled."""

SLOW_RATE = 0.2
"""Share of the remaining decrease from which on a step has left much: by a good sample it leaves a few percent."""

SLOWEST_RATE = 0.99
"""Rate that a slower one is taken for: steps beyond would be estimated by rounding."""

NEWTON_RATE = 0.1
"""Share of the present rate that exact curvature is taken to leave, where steps become quadratic."""

SLOW_STEPS, FEWER_STEPS = 12, 8
"""Steps over which `when_slow` measures the rate: gradients of the first few are unlike the others, and less so with a
better model."""

FIRST_STEPS, MORE_STEPS, LONG_WAY = 3, 1.4, 10.0
"""Steps before `ever_rarer` first takes the softened diagonal of classes anew, the factor by which they grow each time,
and the steps to the end that are too many. From trials on text, of which no row is kept."""

LATE = 100
"""Steps after which gradients alone are not enough: a margin over the tens that well-scaled columns take. A guess."""


def renewed(curvature: Callable[[Float64Vector], T]) -> Callable[[Trial, float], T | None]:
    """Take the curvature of a sample anew where two steps running have left more than a fifth each."""
    last, slow = math.inf, 0

    def refresh(here: Trial, remaining: float) -> T | None:
        nonlocal last, slow
        slow = slow + 1 if remaining > SLOW_RATE * last else 0
        last = remaining
        if slow < 2:
            return None
        last, slow = math.inf, 0
        return curvature(here.params)

    return refresh


def late(
    curvature: Callable[[Float64Vector], T], at_first: Callable[[Trial, float], T | None] | None = None
) -> Callable[[Trial, float], T | None]:
    """Take the curvature from the step `LATE` on, and as `renewed` does; before it what ``at_first`` has, if any.

    Gradients alone may need thousands of steps, of columns in units far apart, and where they end is then chance.
    """
    steps, renew = 0, renewed(curvature)

    def refresh(here: Trial, remaining: float) -> T | None:
        nonlocal steps
        steps += 1
        if steps == LATE:
            return curvature(here.params)
        if steps > LATE:
            return renew(here, remaining)
        return None if at_first is None else at_first(here, remaining)

    return refresh


class Stage(NamedTuple, Generic[T]):
    """A model of the curvature that a fit may take where it is slow.

    Attributes
    ----------
    curvature : function params -> metric
    price : float
        What the curvature, and the steps with it, are expected to take, in reads.
    """

    curvature: Callable[[Float64Vector], T]
    price: float


def when_slow(stages: Sequence[Stage[T]], goal: float) -> Callable[[Trial, float], T | None]:
    """Take the curvature of the next stage where the present one would take more steps than its price in reads.

    Over the last `SLOW_STEPS` steps the remaining decrease fell by some factor a step, at which the steps to the end
    are counted; with a model that was taken so, over `FEWER_STEPS`.

    Parameters
    ----------
    stages : sequence of Stage
        The last is taken anew as often as it is slow.
    goal : float
        Relative suboptimality to end with.
    """
    falls: list[float] = []
    taken = 0

    def refresh(here: Trial, remaining: float) -> T | None:
        nonlocal taken
        falls.append(remaining)
        steps = FEWER_STEPS if taken else SLOW_STEPS
        stage = stages[min(taken, len(stages) - 1)]
        if len(falls) <= steps or _steps_to(goal * abs(here.value), falls, steps) <= stage.price:
            return None
        taken += 1
        falls.clear()
        return stage.curvature(here.params)

    return refresh


def first_then(
    first: Callable[[Trial, float], T | None], then: Callable[[Trial, float], T | None]
) -> Callable[[Trial, float], T | None]:
    """Ask ``first`` until it gives a model of the curvature, and ``then`` from there on."""
    taken = False

    def refresh(here: Trial, remaining: float) -> T | None:
        nonlocal taken
        model = then(here, remaining) if taken else first(here, remaining)
        taken = taken or model is not None
        return model

    return refresh


def ever_rarer(
    curvature: Callable[[Trial], T],
    goal: float,
    long_way: float = LONG_WAY,
    first: int = FIRST_STEPS,
    growth: float = MORE_STEPS,
) -> Callable[[Trial, float], T | None]:
    """Take a curvature that costs a read anew after 3, 5, 7, 10, ... steps, while the end is over ten steps away.

    For a diagonal, which is out of date soon at first, and less so later, when pairs of gradients know more than it.

    Parameters
    ----------
    curvature : function point -> metric
    goal : float
        Relative suboptimality to end with.
    long_way : float
        Steps to the end that are too many, if not ten.
    first : int
        Steps before the first time, if not three.
    growth : float
        Factor by which they grow each time, if not 1.4.
    """
    falls: list[float] = []
    steps = first

    def refresh(here: Trial, remaining: float) -> T | None:
        nonlocal steps
        falls.append(remaining)
        if len(falls) <= steps or _steps_to(goal * abs(here.value), falls, steps) <= long_way:
            return None
        steps = math.ceil(growth * steps)
        falls.clear()
        return curvature(here)

    return refresh


def _steps_to(enough: float, falls: Sequence[float], steps: int) -> float:
    """Steps after which ``enough`` remains, at the rate of the last ``steps``."""
    remaining = falls[-1]
    if not remaining > enough:
        return 0.0
    rate = min(SLOWEST_RATE, (remaining / falls[-1 - steps]) ** (1.0 / steps))
    return math.log(remaining / (enough + 1e-300)) / -math.log(rate)


class Watch(Generic[T]):
    """Rebuild the metric from a larger sample where that saves more reads than it costs.

    Over the last two steps the remaining decrease fell by a factor ``rate`` a step. With a sample k times larger the
    rate would be about ``rate / k``; the remaining steps at either rate are weighed against the Hessian.

    Parameters
    ----------
    rebuild : function (size, params) -> metric
    n : int
        Rows of the whole data.
    hessian : HessianForm
    size : int
        Rows of the first sample.
    goal : float
        Relative suboptimality to end with.
    costs : Costs
    """

    def __init__(
        self,
        rebuild: Callable[[int, Float64Vector], T],
        n: int,
        hessian: HessianForm,
        size: int,
        goal: float,
        costs: Costs = DENSE,
    ) -> None:
        self._rebuild = rebuild
        self._n = n
        self._size = size
        self._goal = goal
        # The mean factors of a larger sample are no better; pairs of steps make up for what they miss.
        self._may_grow = hessian.whole
        self._fixed, per_row = curvature_reads(n, hessian, costs)
        self._per_row = per_row + 2.0 / n * costs.sample / costs.read  # with its gathering
        self._remaining: list[float] = []
        self._tol = math.inf

    def __call__(self, here: Trial, remaining: float) -> T | None:
        """The new metric, or None to keep the present one."""
        self._remaining.append(remaining)
        if len(self._remaining) < 3 or remaining <= 0.0 or not self._may_grow:
            return None
        rate = min(SLOWEST_RATE, math.sqrt(remaining / self._remaining[-3]))
        decades = math.log(max(1.0, remaining / (self._to_end_with(here, remaining) + 1e-300)))
        steps = decades / -math.log(rate)
        best, best_size, growth = 0.0, 0, 2
        while growth <= LARGEST_GROWTH:
            m = min(self._n, growth * self._size)
            better = rate * self._size / m if m < self._n else NEWTON_RATE * rate
            saved = steps - max(1.0, decades / -math.log(better)) - (self._fixed + self._per_row * m)
            if saved > best:
                best, best_size = saved, m
            growth *= 2
        return self._anew(best_size, here.params) if best_size else None

    def begin_anew(self, tol: float) -> None:
        """Forget the rate of steps by another model, and from here on count the steps to a gradient of ``tol`` too.

        The gradient falls as the root of the remaining decrease. Where heavy rows rule it, the latter may have to fall
        to its rounding before no element exceeds ``tol``.
        """
        self._remaining.clear()
        self._tol = tol

    def _to_end_with(self, here: Trial, remaining: float) -> float:
        """The remaining decrease to end with."""
        goal, value = self._goal * abs(here.value), abs(here.value)
        if math.isinf(self._tol):
            return goal
        ratio = min(1.0, self._tol / max(float(np.abs(here.grad).max(initial=0.0)), 1e-300))
        return min(goal, max(remaining * ratio * ratio, float(np.finfo(np.float64).eps) * value))

    def grown(self, params: Float64Vector) -> T:
        """The metric at ``params`` from a sample eight times larger, or of all rows, whatever it costs."""
        return self._anew(min(self._n, RESCUE_GROWTH * self._size), params)

    def _anew(self, size: int, params: Float64Vector) -> T:
        self._size = size
        self._remaining.clear()
        return self._rebuild(size, params)
