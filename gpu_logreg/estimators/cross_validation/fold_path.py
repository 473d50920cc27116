"""The way of a fold from C to C: L-BFGS steps whose first metric is a factored Hessian, with extrapolated starts.

Source: D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization" (1989), with a
Hessian in the place of the multiple of the identity.
"""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = ["FoldPath"]

ENDS = 3
"""Ends that a start is extrapolated from, by the polynomial through them over log C."""

PAIRS = 20
"""Steps, with the changes of the gradient along them, that the metric learns from."""

CLOSE = 1e-8
"""Distance of the minimum after the last step, by standardised columns, as far as the lengths of steps tell."""

CURVED = 0.9
"""Share of its slope that a step may have at its end, uphill; a longer one is cut back to where a line puts zero."""


class FoldPath:
    """The models of a fold, one C after the other, in standardised columns.

    Parameters
    ----------
    fold : int
        That the models leave out.
    weight : float
        Of the rows that they learn from.
    phi : ndarray of shape (K p,)
        Where the first begins.

    Attributes
    ----------
    l2, ridge : float, ndarray of shape (K p,)
        Strength of the penalty at this C, and its second derivative.
    H : ndarray of shape (K p, K p) or None
        Hessian of the mean loss, at a point that may be of an earlier C.
    factor : Factor
        Of ``H`` and the ridge.
    n_steps : int
        For this C.
    length : float
        Of the last step: the largest change of a weight.
    value : float
        Of the objective at the last end; not below that of a larger C.
    """

    def __init__(self, fold: int, weight: float, phi: Float64Vector) -> None:
        self.fold, self.weight, self.phi = fold, weight, phi
        self.l2, self.ridge = 0.0, np.zeros_like(phi)
        self.H: Float64Matrix | None = None
        self.factor: Factor | None = None
        self.n_steps, self.length, self.value = 0, math.inf, math.inf
        self._step: Float64Vector | None = None
        self._grad = phi
        self._pairs: list[tuple[Float64Vector, Float64Vector, float]] = []
        self._ends: list[tuple[float, Float64Vector]] = []

    def go_on(self, C: float, l2: float, ridge: Float64Vector) -> None:
        """Begin the next C; what is known of the curvature stays, but for the penalty."""
        changes = [(step, change + (ridge - self.ridge) * step) for step, change, _ in self._pairs]
        self._pairs = [(step, change, float(change @ step)) for step, change in changes]
        self.l2, self.ridge = l2, ridge
        self._step, self.n_steps, self.length = None, 0, math.inf
        if self._ends:
            self.phi = _extrapolated(self._ends, math.log(C))

    def keep_end(self, C: float) -> None:
        """Remember where the model of this C has ended."""
        self._ends = [*self._ends[1 - ENDS :], (math.log(C), self.phi)]

    def forget(self) -> None:
        """Forget what steps told of the curvature: the Hessian is another."""
        self._pairs = []

    def choose_step(self, grad: Float64Vector) -> bool:
        """Choose the next step by the gradient at ``phi``; false where the last one was too long, and is cut back."""
        if self._step is not None:
            slope, slope_before = float(grad @ self._step), float(self._grad @ self._step)
            if not slope <= -CURVED * slope_before:
                share = -slope_before / (slope - slope_before) if math.isfinite(slope) else 0.1
                self.phi = self.phi - (1.0 - share) * self._step
                self._step = share * self._step
                return False
            change = grad - self._grad
            product = float(change @ self._step)
            if product > 0.0:
                self._pairs = [*self._pairs[1 - PAIRS :], (self._step, change, product)]
        self._step, self._grad = -self._times_metric(grad), grad
        self.n_steps += 1
        return True

    def take_step(self) -> bool:
        """Take the step that was chosen; true where it is expected to end at the minimum."""
        assert self._step is not None
        self.phi = self.phi + self._step
        before, self.length = self.length, float(np.abs(self._step).max())
        rate = min(self.length / before, 0.9) if math.isfinite(before) else 0.9
        return self.length * rate <= CLOSE * (1.0 - rate)

    def _times_metric(self, grad: Float64Vector) -> Float64Vector:
        assert self.factor is not None
        q, shares = grad.copy(), []
        for step, change, product in reversed(self._pairs):
            shares.append(float(step @ q) / product)
            q -= shares[-1] * change
        q = self.factor.solve(q)
        for (step, change, product), share in zip(self._pairs, reversed(shares), strict=True):
            q += (share - float(change @ q) / product) * step
        return q


def _extrapolated(ends: list[tuple[float, Float64Vector]], x: float) -> Float64Vector:
    """The polynomial through the ends, at ``x``."""
    total = np.zeros_like(ends[0][1])
    for at, end in ends:
        others = [other for other, _ in ends if other != at]
        total += math.prod((x - other) / (at - other) for other in others) * end
    return total
