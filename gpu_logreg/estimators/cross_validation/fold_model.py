"""A model of cross-validation on its way to the minimum, by steps with a Hessian that others share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = ["CONTRACTS", "FoldModel", "Metric", "are_near"]

APART = 0.05
"""Distance of a weight from its minimum over ``tol`` and its size, or 1, at the end of a model: where few rows know a
column, a weight is far from its minimum and the value is not."""

CONTRACTS = 0.25
"""Share of the remaining decrease that a Newton step leaves at most, or it is not by a Hessian of this point."""


@dataclass(frozen=True)
class Metric:
    """A Hessian of the mean loss at a point, by standardised columns."""

    phi: Float64Vector
    H: Float64Matrix

    def distance(self, phi: Float64Vector) -> float:
        """Mean square of the change of the logits, weighted by their curvature."""
        move = phi - self.phi
        return float(move @ self.H @ move)


@dataclass
class FoldModel:
    """A model of a fold on its way.

    Attributes
    ----------
    fold, at : int
        Numbers of the fold that it leaves out, and of its C.
    weight : float
        Of the rows that it learns from.
    l2, ridge : float, ndarray of shape (p,)
        Strength of the penalty, and its second derivative by ``phi``.
    metric : Metric
    factor : Factor
        Of the Hessian of the metric and the penalty.
    value : float
        Of the objective where all rows have their minimum.
    phi : ndarray of shape (p,)
    left : float
        Remaining decrease before the last step.
    rate : float
        Share that the step before it left of what remained.
    contracts : bool
        Whether that is little enough.
    n_iter : int
    last : tuple of two ndarrays of shape (p,), or None
        The point before the last step, and the gradient there.
    """

    fold: int
    at: int
    weight: float
    l2: float
    ridge: Float64Vector
    metric: Metric
    factor: Factor
    value: float
    phi: Float64Vector
    left: float = math.inf
    rate: float = 0.0
    contracts: bool = True
    n_iter: int = 0
    last: tuple[Float64Vector, Float64Vector] | None = None

    def step(self, grad: Float64Vector) -> None:
        """A step by the gradient at ``phi``."""
        step = self.factor.solve(grad)
        left = 0.5 * float(grad @ step)
        self.rate = left / self.left if self.left > 0.0 else 0.0
        self.contracts = left <= CONTRACTS * self.left
        self.left = left
        self.last = self.phi, grad
        self.phi = self.phi - step
        self.n_iter += 1

    def step_by(self, metric: Metric) -> None:
        """The last step once more, by a better Hessian: no read has gone by."""
        assert self.last is not None
        at, grad = self.last
        self.metric, self.factor = metric, Factor(metric.H + np.diag(self.ridge))
        step = self.factor.solve(grad)
        self.left = 0.5 * float(grad @ step)
        self.phi = at - step


def are_near(before: Float64Vector, after: Float64Vector, rate: float, tol: float) -> bool:
    """Whether weights are as near to their minimum as they should be after a step that leaves a share ``rate``."""
    moved = np.abs(after - before) / np.maximum(1.0, np.abs(after))
    return bool(math.sqrt(rate) * moved.max(initial=0.0) <= APART * tol)
