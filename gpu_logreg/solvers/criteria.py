"""When a solver that has a model of the curvature is done: at the optimum, or where rounding hides what remains.

The *remaining decrease* of a point is what the model says the value would fall by, half the squared Newton decrement
``grad @ H^-1 grad / 2``; over the value it is an estimate of the relative suboptimality.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.wide_vectors import largest
from gpu_logreg.solvers import Objective, Stop, falls_for_ever, separable
from gpu_logreg.solvers.line_search import Trial

__all__ = [
    "DECREASE_PER_TOL",
    "TIGHT_RATE",
    "VALUE_ROUNDING",
    "Criterion",
    "Optimality",
    "Plateau",
    "below",
    "stop_by_rounding",
]

DECREASE_PER_TOL = 1e-3
"""Relative suboptimality at the end, for each ``tol``: besides ``max |grad| <= tol`` a fit ends with no more. At the
default ``tol`` of 1e-6 the value is then right to nine digits, and the parameters to about four."""

TIGHT_RATE = 0.01
"""Relative suboptimality after one step more, at the observed rate, as a share of that at the end: with a hundredth the
parameters that two samples of the rows lead to agree to another digit."""

VALUE_ROUNDING = 2e-9
"""`Objective.rounding` up to which a value passes for exact, relatively. The estimate is an upper one: trials on
float32 rows have shown less than half of it."""

PLATEAU_FALL = 1e-10
"""Relative fall of the value below which a step has not lowered it."""

PLATEAU, ROUNDED_PLATEAU = 50, 15
"""Steps without such a fall after which a fit with exact curvature is done; the second where the remaining decrease is
below the rounding of the value, by its own estimate."""

Criterion = Callable[[Trial, float], Stop | None]
"""From a point and the remaining decrease there to a reason to stop, or None."""


class Optimality:
    """``max |grad|`` and the remaining decrease are small, or the latter is so small that no value can show it.

    The last is not enough for those who ask for a small ``tol``: the error of the parameters is about the square root
    of the relative suboptimality, so at most ``tol**2`` of it may remain.

    Parameters
    ----------
    objective : Objective
    tol : float
        Largest ``max |grad|``.
    decrease : float
        Largest remaining decrease, relative to the value and to ``tol``.
    least_rate : float or None
        Also ask that one step more, at the rate of the last one, would leave a hundredth of that. One step may have
        been a lucky one, so a rate of ``least_rate`` is assumed at least. It is this that makes the coefficients of one
        sample and another agree. None: do not ask.
    limit : float
        Largest ``max |grad|`` if that is less than ``tol``: a hundredth of the L1 strength.
    measure : str
        What ``max |grad|`` is called in the message.

    Attributes
    ----------
    here : Trial or None
        The point it was asked about last.
    """

    def __init__(
        self,
        objective: Objective,
        tol: float,
        decrease: float = DECREASE_PER_TOL,
        least_rate: float | None = None,
        limit: float = math.inf,
        measure: str = "max |grad|",
    ) -> None:
        self._separable_below = objective.separable_below
        self._tol, self._decrease, self._least_rate = tol, decrease * tol, least_rate
        self._tight = TIGHT_RATE * decrease * tol
        self._limit, self._measure = min(tol, limit), measure
        self._rounding = min(2.0 * float(np.finfo(np.float64).eps), tol * tol)
        self._last = math.inf
        self.here: Trial | None = None

    def __call__(self, here: Trial, remaining: float) -> Stop | None:
        """The stop, or None."""
        self.here, value = here, abs(here.value)
        last, self._last = self._last, remaining
        grad_max = (
            largest(here.grad)
            if len(here.grad) >= wide_vectors.LEAST_WIDE
            else float(np.abs(here.grad).max(initial=0.0))
        )
        if here.value < self._separable_below and falls_for_ever(
            here.value, grad_max, self._tol, self._separable_below
        ):
            return separable(here.value)
        hidden = remaining <= self._rounding * value
        if grad_max <= self._limit and remaining <= self._decrease * value:
            rate = 0.0 if self._least_rate is None else min(1.0, max(self._least_rate, remaining / last))
            if hidden or remaining * rate <= self._tight * value:
                by = f"tol = {self._tol:g}" if self._limit == self._tol else f"l1 / 100 = {self._limit:.2g}"
                return Stop(f"{self._measure} = {grad_max:.2g} <= {by}", True)
        if hidden:
            return Stop(f"the remaining decrease, {remaining:.2g}, is below the rounding of the objective", True)
        return None


def below(limit: float) -> Criterion:
    """A remaining decrease of at most ``limit``, and nothing else: for problems that are solved roughly."""

    def criterion(here: Trial, remaining: float) -> Stop | None:
        return Stop("enough", True) if remaining <= limit else None

    return criterion


class Plateau:
    """Notices that the value no longer falls, in a fit with exact curvature at every point.

    Steps that have not lowered the value only stir its rounding, which is far above that of a row where logits are sums
    of large terms that cancel.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._lowest = self._last = math.inf
        self._level = 0

    def __call__(self, here: Trial, remaining: float) -> Stop | None:
        """The stop after `PLATEAU` steps that have not lowered the value."""
        moved, self._last = here.value != self._last, here.value
        if not here.value >= self._lowest - PLATEAU_FALL * abs(self._lowest):
            self._level, self._lowest = 0, here.value
        else:
            self._level += int(moved)
        most = PLATEAU if remaining > self._objective.rounding * abs(here.value) else ROUNDED_PLATEAU
        if self._level >= most and remaining <= PLATEAU_FALL * abs(here.value):
            return Stop(f"the value has not fallen by {PLATEAU_FALL:.0e} of it in {most} steps", True, True)
        return None


def stop_by_rounding(
    objective: Objective, here: Trial, remaining: float, least: float, measure: str, share: float = 0.0
) -> Stop | None:
    """The stop where the remaining decrease has reached the rounding of the arithmetic.

    That rounding is `Objective.rounding`, of a value, and at most `Objective.precision`, of one row.

    Parameters
    ----------
    objective : Objective
    here : Trial
    remaining, least : float
        The remaining decrease, and the least so far, which is compared.
    measure : str
        What ``max |grad|`` is called in the message.
    share : float
        Share of the value up to which it is taken for rounding whatever that is.
    """
    if least > max(share, min(objective.rounding, objective.precision)) * abs(here.value):
        return None
    return Stop(
        f"the remaining decrease, {remaining:.2g}, no longer falls: it is the rounding of the passes "
        f"({measure} = {float(np.abs(here.grad).max(initial=0.0)):.2g})",
        True,
        True,
    )
