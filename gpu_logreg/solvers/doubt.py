"""Where a fit by the curvature of a sample has cause for doubt, and what it asks then.

The solution of a sample of m rows is expected about ``p / (2 m)`` above the minimum, and from there on whole steps by
its Hessian are taken. Both fail where a few heavy rows carry the curvature along some direction: the sample has none of
them or makes one stand for many, and a quadratic model of their loss holds for short steps only. Then, once, rows are
weighed, and if there are heavy ones steps go on by the model of `gpu_logreg.solvers.heavy_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Objective
from gpu_logreg.solvers.heavy_rows import HeavyModel
from gpu_logreg.solvers.line_search import Trial

__all__ = ["Doubt"]

HALF_RIGHT = 0.5
"""Share of a whole step at which its slope is expected to vanish, by the slopes at both ends, from which on the model
has at least half of the curvature along it: the next pair of steps corrects that. A choice."""


@dataclass(frozen=True)
class Doubt:
    """Whether a sample has misled.

    Attributes
    ----------
    objective : Objective
        Of all rows.
    remaining : float
        Remaining decrease at the solution of the sample from which on it has misled.
    origin : ndarray of shape (p,)
        Where the solution of the sample began: a better start, if the sample has misled.
    value_at_origin : float
        About the value there.
    heavy_model : function params -> HeavyModel or None
        Weighs the rows; None where none is heavy.
    slight : float
        Remaining decrease below which a refused whole step that is half right is none of its causes: there the sample
        has told more than is expected of it.
    """

    objective: Objective
    remaining: float
    origin: Float64Vector
    value_at_origin: float
    heavy_model: Callable[[Float64Vector], HeavyModel | None]
    slight: float = 0.0

    def is_cast(self, remaining: float, slope: float, slope_at_end: float) -> bool:
        """Whether a whole step that was refused is a cause, by the slopes along it at its start and its end."""
        return not (remaining < self.slight and HALF_RIGHT * (slope_at_end - slope) <= -slope)

    def start(self, sampled: Trial) -> Trial:
        """The better start of a fit: the solution of the sample, or where that began."""
        if self.value_at_origin < sampled.value:
            value, grad = self.objective(self.origin)
            if value < sampled.value:
                return Trial(0.0, self.origin, value, 0.0, grad)
        return sampled
