"""Proximal steps by a model in which the loss of a few heavy rows is kept as it is.

``q(phi) = f(phi) + r @ (phi - x) + (phi - x) @ B (phi - x) / 2 + sum_j l1_j |phi_j|``: the model of
`gpu_logreg.solvers.heavy_rows`, plus the penalty. Proximal Newton steps on ``q`` itself find its minimum, by walks over
the heavy rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers.coordinate_descent import model_minimum
from gpu_logreg.solvers.heavy_rows import EPS, HeavyModel, HeavyRows
from gpu_logreg.solvers.line_search import SUFFICIENT_DECREASE

__all__ = ["CompositeDoubt", "CurvatureSource", "HeavyCompositeModel"]

MOST_STEPS = 60
"""Proximal Newton steps to the minimum of a model."""

LEFT = 1e-4
"""Share of the decrease of a model that its minimum may be missed by."""

SHORTEST = 1e-6
"""Step relative to a whole one below which no more is gained."""


class _Same:
    """Coordinates of steps that go by ``phi`` already."""

    def to_params(self, phi: Float64Vector) -> Float64Vector:
        return phi

    from_params = grad_to_phi = to_params


class _ByPhi:
    """Heavy rows for a model whose steps go by ``phi``."""

    def __init__(self, heavy: HeavyRows) -> None:
        self._heavy, self.coordinates = heavy, _Same()
        self.hessian, self.light, self.curved = heavy.hessian, heavy.light, heavy.curved

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        return self._heavy(phi)


class HeavyCompositeModel(HeavyModel):
    """The model ``q`` with the penalty, and what steps have taught about ``B``; by ``phi``.

    Parameters
    ----------
    heavy : HeavyRows
    B : ndarray of shape (p, p)
    matrix_at : function phi -> ndarray of shape (p, p)
        ``B`` at other points.
    l1 : ndarray of shape (p,)
    """

    def __init__(
        self,
        heavy: HeavyRows,
        B: Float64Matrix,
        matrix_at: Callable[[Float64Vector], Float64Matrix],
        l1: Float64Vector,
    ) -> None:
        super().__init__(_ByPhi(heavy), B, matrix_at)
        self._l1 = l1

    def target(
        self, x: Float64Vector, value: float, grad: Float64Vector, forcing: float
    ) -> tuple[Float64Vector, float]:
        """The minimum of the model at ``x``, where the smooth part has the gradient ``grad``, and its decrease."""
        while True:
            target, decrease = self._from(x, grad, forcing)
            if decrease <= abs(value) or not self.stiffen():  # no loss falls below zero
                break
        return target, max(decrease, abs(value)) if self.blind or self.damped else decrease

    def _from(self, x: Float64Vector, grad: Float64Vector, forcing: float) -> tuple[Float64Vector, float]:
        l1 = self._l1
        f, own = self._at(x)
        rest, noise = grad - own, 8.0 * EPS * abs(f)
        u, slopes, fallen = x, grad, 0.0
        for _ in range(MOST_STEPS):
            H = self._matrix + self._heavy.hessian(u)
            H.flat[:: len(H) + 1] += self._damping
            self.blind = Factor(self._heavy.curved(H)).added > 0.0
            # Beside heavy rows the curvature of light ones may be less than its rounding: mended once, and not by each
            # of the hundreds of systems to the minimum.
            H.flat[:: len(H) + 1] *= 1.0 + 2.0 * Factor(H).added
            end, left = model_minimum(H, slopes, u, l1, forcing)
            if math.isnan(left):
                return (u, fallen) if fallen > 0.0 else (end, math.inf)
            if left <= LEFT * (fallen + left):
                return end, fallen + left
            step, t = end - u, 1.0
            while t >= SHORTEST:
                there = end if t == 1.0 else u + t * step
                f_there, own = self._heavy(there)
                moved = there - x
                curved = self._matrix @ moved + self._damping * moved
                q = f_there - f + float(rest @ moved) + 0.5 * float(moved @ curved)
                fall = -(q + float((l1 * (np.abs(there) - np.abs(x))).sum()))
                if fall >= fallen - noise + SUFFICIENT_DECREASE * t * left:
                    break
                t *= 0.5
            if t < SHORTEST:
                break
            u, slopes, fallen = there, own + rest + curved, fall
        return u, fallen


class CompositeDoubt(NamedTuple):
    """Whether a sample has misled, as `gpu_logreg.solvers.doubt.Doubt`, by the coordinates of the steps.

    Attributes
    ----------
    remaining : float
        Decrease by the model at the solution of the sample from which on it has misled.
    origin : ndarray of shape (p,)
        Where the solution of the sample began.
    value_at_origin : float
        About the value there.
    heavy_model : function x -> HeavyCompositeModel or None
        Weighs the rows; None where none is heavy.
    """

    remaining: float
    origin: Float64Vector
    value_at_origin: float
    heavy_model: Callable[[Float64Vector], HeavyCompositeModel | None]


@dataclass
class CurvatureSource:
    """Where matrices of the curvature come from: samples of all rows, or of the light ones once heavy are known."""

    _sampler: Any
    _l1: Float64Vector
    _heavy: HeavyRows | None = None
    _size: int = 0
    _model: HeavyCompositeModel | None = None

    @property
    def knows_heavy(self) -> bool:
        """Whether rows have been weighed, and some are heavy."""
        return self._model is not None

    def heavy_model(self, size: int, phi: Float64Vector) -> HeavyCompositeModel | None:
        """Weigh the rows, once, and model the objective at ``phi``; None where none is heavy."""
        if self._model is None:
            self._model = self._weighed(size, phi)
        return self._model

    def _weighed(self, size: int, phi: Float64Vector) -> HeavyCompositeModel | None:
        self._heavy = self._sampler.heavy_rows_at(size, phi)
        if self._heavy is None:
            return None
        B = self.rebuild(size, phi)
        return HeavyCompositeModel(self._heavy, B, lambda there: self.rebuild(self._size, there), self._l1)

    def rebuild(self, size: int, phi: Float64Vector) -> Any:
        """The curvature at ``phi`` from a fresh sample of about ``size`` rows."""
        self._size = size
        return self._sampler.hessian(size, phi) if self._heavy is None else self._heavy.light(size, phi)
