"""Solvers: they step on the host, in float64, on vectors of parameters; they know no data and no device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gpu_logreg.arrays.vector import Array, Float64Vector

__all__ = [
    "Iteration",
    "Metric",
    "Objective",
    "Observer",
    "SavedState",
    "SolverResult",
    "Stop",
    "falls_for_ever",
    "separable",
    "stop_at",
]


class Objective(Protocol):
    """What a solver minimises: value and gradient come back together, for one read of the data."""

    @property
    def rounding(self) -> float:
        """Relative size below which differences of the value are rounding."""

    @property
    def precision(self) -> float:
        """Relative rounding of the arithmetic behind one row."""

    @property
    def separable_below(self) -> float:
        """Value below which the classes are separable and, for want of a penalty, there is no minimum; 0 for none."""

    def __call__(self, params: Float64Vector, /) -> tuple[float, Float64Vector]:
        """Value and gradient at ``params``."""

    def widen(self) -> bool:
        """Compute more precisely from here on, at a higher cost of a read; false where that is not to be had."""


class Metric(Protocol):
    """A positive definite model ``H`` of the curvature."""

    def solve(self, v: Float64Vector, /) -> Float64Vector:
        """``H^-1 v``."""


@dataclass(frozen=True)
class Iteration:
    """Where a solver stands after an iteration.

    Attributes
    ----------
    n_iter : int
        Iterations done.
    params : ndarray
    value : float
    grad_max : float
        ``max |grad|``.
    step : float
        Multiple of the search direction that was taken.
    last : bool
        Whether the solver stops here of its own accord.
    left : float
        Remaining decrease by the model of the curvature: half the squared Newton decrement. NaN without a model.
    n_reads : float
        Passes over all rows up to here, of a linear model. NaN from a solver, which does not know the rows.
    """

    n_iter: int
    params: Float64Vector
    value: float
    grad_max: float
    step: float
    last: bool
    left: float = math.nan
    n_reads: float = math.nan


Observer = Callable[[Iteration], Any]
"""Called after every iteration; a true answer asks the solver to stop."""


class SavedState(Protocol):
    """Where a solver keeps its state between iterations, so that it can go on after it was killed."""

    def last(self) -> dict[str, Array] | None:
        """The arrays of the last state; None where there is none."""

    def keep(self, make: Callable[[], Mapping[str, Array]], /) -> None:
        """Take note of the state that ``make`` copies; not every time."""


class Stop(NamedTuple):
    """A reason to stop.

    Attributes
    ----------
    message : str
    converged : bool
    by_rounding : bool
        Whether rounding hides what decrease may remain.
    """

    message: str
    converged: bool
    by_rounding: bool = False


def stop_at(objective: Objective, value: float, grad_max: float, tol: float) -> Stop | None:
    """The stop where ``max |grad| <= tol``, if it is; not converged where the value can fall for ever."""
    if falls_for_ever(value, grad_max, tol, objective.separable_below):
        return separable(value)
    if grad_max > tol:
        return None
    return Stop(f"max |grad| = {grad_max:.2g} <= tol = {tol:g}", True)


SEPARABLE = 1e-4
"""Value at which a fit of separable classes ends whatever its gradient, relative to that which proves them separable:
every row is then on its right side by far."""


def falls_for_ever(value: float, grad_max: float, tol: float, separable_below: float) -> bool:
    """Whether there is no minimum, and the value is as small as ``tol`` asks for, or next to nothing."""
    return 0.0 <= value < separable_below and (grad_max <= tol or value <= SEPARABLE * separable_below)


def separable(value: float) -> Stop:
    """The stop on classes that a plane separates, where nothing penalises the weights."""
    return Stop(
        f"the classes look separable: every row is on its right side, with a mean loss of {value:.2g}, "
        "and without a penalty the weights grow for ever",
        False,
    )


@dataclass
class SolverResult:
    """Where a solver ended.

    Attributes
    ----------
    params, grad : ndarray
    value : float
    n_iter : int
    converged : bool
    message : str
        The criterion that was met, or the one that was not, with the figures.
    loss_curve : list of float
        Value at the start and after every iteration.
    duality_gap : float
        Bound on how far the value is above the minimum, where the solver has one; else NaN.
    smooth_grad : ndarray or None
        Gradient of the smooth part where ``grad`` is a subgradient; None where ``grad`` is it.
    predicted : float
        What of the way to ``value`` the model of the curvature predicts: the decrease by a last step without a read.
        The gradients are those before it.
    stuck : bool
        Whether no lower value was found, or rounding hides it: another solver may find one.
    """

    params: Float64Vector
    value: float
    grad: Float64Vector
    n_iter: int
    converged: bool
    message: str
    loss_curve: list[float] = field(default_factory=list)
    duality_gap: float = math.nan
    smooth_grad: Float64Vector | None = None
    predicted: float = 0.0
    stuck: bool = False
