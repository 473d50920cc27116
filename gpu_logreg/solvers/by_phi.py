"""What proximal steps minimise, by any coordinates or by ``phi``, the parameters of standardised columns.

Steps go by ``phi``, whose columns are well scaled. The subgradient that is shown, by which they end, is that by the
parameters ``[w, b]``, for which ``tol`` is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import l1_penalty, subgradient
from gpu_logreg.solvers import Objective
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.quadratic_model import Root

__all__ = ["AllRows", "Composite", "CompositeByParams", "CompositeByPhi", "Point"]


class Point(NamedTuple):
    """What is known of a point.

    Attributes
    ----------
    here : Trial
        The value of ``F`` and the subgradient of least norm that is shown: to criteria, and as the result's.
    smooth_grad : ndarray of shape (p,)
        Gradient of ``f``.
    subgrad : ndarray of shape (p,)
        Subgradient of least norm by ``x`` itself, for the model: what is shown may be by other coordinates.
    """

    here: Trial
    smooth_grad: Float64Vector
    subgrad: Float64Vector


@dataclass(frozen=True)
class Composite:
    """What is minimised, where the subgradient is shown by the coordinates of the steps.

    Attributes
    ----------
    smooth : Objective
        ``f``: value and gradient of the smooth part.
    l1 : ndarray of shape (p,)
        Strength for each coordinate; 0 for one that is not penalised.
    ridge : ndarray of shape (p,), optional
        What the ridge, which is part of ``f``, adds to the diagonal of its curvature; None for nothing.
    few_rows : bool
        Whether matrices are of all rows, which cost little, at the points where they are asked for.
    root : function x -> ndarray of shape (m, p), optional
        ``A`` with ``A.T @ A`` the curvature of the loss at ``x``; with it a matrix is asked for before every step.
    late : int
        Steps before the root is used, which takes longer than the matrix and tells nearly equal columns apart.
    """

    smooth: Objective
    l1: Float64Vector
    ridge: Float64Vector | None = None
    few_rows: bool = False
    root: Root | None = None
    late: int = 0

    def at(self, x: Float64Vector, step: float) -> Point:
        """The point ``x``, to which a step of that length leads; one read."""
        value, grad = self.smooth(x)
        subgrad = subgradient(x, grad, self.l1)
        return Point(Trial(step, x, value + l1_penalty(x, self.l1), math.nan, subgrad), grad, subgrad)


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
