"""What proximal steps by ``phi``, the parameters of standardised columns, minimise.

Steps go by ``phi``, whose columns are well scaled. The subgradient that is shown, by which they end, is that by the
parameters ``[w, b]``, for which ``tol`` is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import l1_penalty, subgradient
from gpu_logreg.solvers.composite import Composite, Point
from gpu_logreg.solvers.line_search import Trial

__all__ = ["AllRows", "CompositeByParams", "CompositeByPhi"]


@dataclass(frozen=True, kw_only=True)
class CompositeByPhi(Composite):
    """Steps by ``phi``, with the smooth part by ``phi`` too, and the subgradient shown by the parameters.

    Attributes
    ----------
    coordinates : Coordinates
    l1_by_params : ndarray of shape (p,)
        Strength for each parameter, as ``l1`` is for each element of ``phi``.
    """

    coordinates: Any
    l1_by_params: Float64Vector

    def at(self, x: Float64Vector, step: float) -> Point:
        """As `Composite.at`."""
        value, grad, params, grad_by_params = self._evaluate(x)
        subgrad_by_params = subgradient(params, grad_by_params, self.l1_by_params)
        here = Trial(step, x, value + l1_penalty(x, self.l1), math.nan, subgrad_by_params)
        return Point(here, grad, subgradient(x, grad, self.l1))

    def _evaluate(self, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Vector, Float64Vector]:
        """The value, the gradient by ``phi``, the parameters and the gradient by them; one read."""
        value, grad = self.smooth(phi)
        return value, grad, self.coordinates.to_params(phi), self.coordinates.grad_to_params(grad)


class CompositeByParams(CompositeByPhi):
    """Steps by ``phi``, with the smooth part, and the subgradient shown, by the parameters."""

    def _evaluate(self, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Vector, Float64Vector]:
        """The value, the gradient by ``phi``, the parameters and the gradient by them; one read."""
        params = self.coordinates.to_params(phi)
        value, grad_by_params = self.smooth(params)
        return value, self.coordinates.grad_to_phi(grad_by_params), params, grad_by_params


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
