"""When to take the curvature anew: from a larger sample where that pays, or from the same one at the present point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, TypeVar

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers.costs import DENSE, Costs, curvature_reads, keeps_whole_hessian
from gpu_logreg.solvers.line_search import Trial

__all__ = ["Watch", "late", "renewed"]

T = TypeVar("T")


LARGEST_GROWTH = 64
RESCUE_GROWTH = 8


def renewed(curvature: Callable[[Float64Vector], T]) -> Callable[[Trial, float], T | None]:
    """Take the curvature of a sample anew where two steps running have left more than a fifth each."""
    last, slow = math.inf, 0

    def refresh(here: Trial, left: float) -> T | None:
        nonlocal last, slow
        slow = slow + 1 if left > 0.2 * last else 0
        last = left
        if slow < 2:
            return None
        last, slow = math.inf, 0
        return curvature(here.params)

    return refresh


LATE = 100
"""Steps in which a problem that suits gradients alone is solved, with a margin. A guess, not measured."""


def late(
    curvature: Callable[[Float64Vector], T], at_first: Callable[[Trial, float], T | None] | None = None
) -> Callable[[Trial, float], T | None]:
    """Take the curvature from the step `LATE` on, and as `renewed` does; before it what ``at_first`` has, if any.

    Gradients alone may need thousands of steps, of columns in units far apart, and where they end is then chance.
    """
    steps, renew = 0, renewed(curvature)

    def refresh(here: Trial, left: float) -> T | None:
        nonlocal steps
        steps += 1
        if steps == LATE:
            return curvature(here.params)
        if steps > LATE:
            return renew(here, left)
        return None if at_first is None else at_first(here, left)

    return refresh


class Watch(Generic[T]):
    """Rebuild the metric from a larger sample where that saves more reads than it costs.

    Over the last two steps what is left to gain fell by a factor ``rate`` a step. With a sample k times larger the rate
    would be about ``rate / k``; the remaining steps at either rate are weighed against the Hessian.
    """

    def __init__(
        self,
        rebuild: Callable[[int, Float64Vector], T],
        n: int,
        p: int,
        size: int,
        goal: float,
        n_logits: int = 1,
        costs: Costs = DENSE,
    ) -> None:
        self._rebuild = rebuild
        self._shape = n, p
        self._n_logits = n_logits
        self._costs = costs
        self._size = size
        self._goal = goal
        self._left: list[float] = []

    def __call__(self, here: Trial, left: float) -> T | None:
        """The new metric, or None to keep the present one."""
        self._left.append(left)
        n, p = self._shape
        # The mean factors of a larger sample are no better; pairs of steps make up for what they miss.
        if len(self._left) < 3 or left <= 0.0 or not keeps_whole_hessian(p, self._n_logits):
            return None
        rate = min(0.99, math.sqrt(left / self._left[-3]))
        decades = math.log(max(1.0, left / (self._goal * abs(here.value) + 1e-300)))
        now = decades / -math.log(rate)
        best, size = 0.0, 0
        growth = 2
        while growth <= LARGEST_GROWTH:
            m = min(n, growth * self._size)
            then = max(1.0, decades / -math.log(rate * self._size / m if m < n else 0.1 * rate))
            walks = 2.0 * m / n * self._costs.sample / self._costs.read
            saved = now - then - curvature_reads(m, n, p, self._n_logits, self._costs) - walks
            if saved > best:
                best, size = saved, m
            growth *= 2
        if size == 0:
            return None
        return self._anew(size, here.params)

    def grown(self, params: Float64Vector) -> T:
        """The metric at ``params`` from a sample eight times larger, or of all rows, whatever it costs."""
        return self._anew(min(self._shape[0], RESCUE_GROWTH * self._size), params)

    def _anew(self, size: int, params: Float64Vector) -> T:
        self._size = size
        self._left.clear()
        return self._rebuild(size, params)
