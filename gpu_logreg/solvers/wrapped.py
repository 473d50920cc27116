"""An objective that is computed by way of another one."""

from __future__ import annotations

from gpu_logreg.solvers import Objective

__all__ = ["Wrapped"]


class Wrapped:
    """What an objective has from the one that it is computed by: all but the value and the gradient.

    Attributes
    ----------
    objective : Objective
    """

    objective: Objective

    @property
    def rounding(self) -> float:
        """That of the objective."""
        return self.objective.rounding

    @property
    def precision(self) -> float:
        """That of the objective."""
        return self.objective.precision

    @property
    def separable_below(self) -> float:
        """That of the objective."""
        return self.objective.separable_below

    def widen(self) -> bool:
        """As the objective."""
        return self.objective.widen()
