"""The smooth part of an objective as a function of ``phi``, the parameters of standardised columns."""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Objective

__all__ = ["AllRows", "ByPhi"]


class ByPhi:
    """An objective of parameters, mapped by coordinates.

    Attributes
    ----------
    rounding, precision, separable_below : float
        As of `gpu_logreg.solvers.Objective`, at the last point.
    """

    def __init__(self, objective: Objective, coordinates: Any) -> None:
        self._objective = objective
        self._coordinates = coordinates
        self.rounding, self.precision = objective.rounding, objective.precision
        self.separable_below = objective.separable_below

    def widen(self) -> bool:
        """Compute more precisely from here on."""
        widened = self._objective.widen()
        self.precision = self._objective.precision
        return widened

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient by ``phi``; one read."""
        value, grad = self._objective(self._coordinates.to_params(phi))
        self.rounding, self.precision = self._objective.rounding, self._objective.precision
        return value, self._coordinates.grad_to_phi(grad)


class AllRows:
    """An objective by rows that are standardised, all of them, with the rounding it has at each point."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self.precision = self.rounding = float(whole.precision)
        self.separable_below = float(whole.separable_below)

    def widen(self) -> bool:
        """False: rows are in float64 already."""
        return False

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient by ``phi``; one read."""
        value, grad = self._whole(phi)
        self.rounding = self._whole.rounding_at(phi, value)
        return value, grad
