"""A model of an objective in which the loss of a few heavy rows is kept as it is, and the rest is quadratic.

``q(phi) = f(phi) + r @ (phi - x) + (phi - x) @ B (phi - x) / 2``, with ``f`` the part of the heavy rows, ``r`` the
gradient of the rest at the present point ``x``, which is exact, and ``B`` its curvature. Newton's method finds the
minimum of ``q`` by walks over the heavy rows alone. ``B`` begins as the Hessian of a sample of the light rows, and is
corrected by BFGS from exact gradients, less those of the heavy rows.

Sources: O. Shamir, N. Srebro and T. Zhang, "Communication-efficient distributed optimization using an approximate
Newton-type method" (2014), for steps to the minimum of the loss of some rows with the gradient of all; for the update,
J. Nocedal and S. Wright, "Numerical Optimization" (2006), section 6.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers.iteration_loop import NO_LOWER
from gpu_logreg.solvers.line_search import SUFFICIENT_DECREASE, Trial

__all__ = ["HeavyModel", "HeavyRows"]

EPS = float(np.finfo(np.float64).eps)

MOST_STEPS = 60
"""Newton steps to the minimum of a model. As a rule two; tens where heavy rows are far on a wrong side. Where they do
not suffice, the way to where they ended is still one along which the objective falls."""

LEFT = 1e-4
"""Share of the decrease of a model that its minimum may be missed by: a step on all rows leaves more."""

ENOUGH = 1e-8
"""The same after which no step is worth a look at its end."""

EXPECTED = 0.1
"""Share of a predicted decrease that it may be missed by where the Hessian has hardly changed over the step."""

AMISS = 0.1
"""Share of the curvature along a step by which the matrix may be wrong before it is taken anew: a sample errs by a few
percent, and a matrix from before heavy rows have found their places by any factor."""

MOST_RENEWALS = 5
"""Times the matrix is taken anew for that. Steps correct what is left."""

LEAST_DAMPING, LARGEST_DAMPING, SOFTER = 1e-6, 1.0, 1e-3
"""Curvature along standardised columns that a model is given where it has misled, which rows have a quarter of at most
in the mean; and the share of it that is left after a whole step. Choices."""

CUT = 0.2
"""Share of the whole step that is so short as to show that the model has too little curvature."""

SHORTEST = 1e-6
"""Step of Newton's method, relative to a whole one, below which it gains no more."""


class HeavyRows(Protocol):
    """The loss of the heavy rows, as their part of the mean loss of all rows.

    Attributes
    ----------
    coordinates : Coordinates
        Of packed vectors.
    """

    coordinates: Any

    def __call__(self, phi: Float64Vector, /) -> tuple[float, Float64Vector]:
        """Their part of the value and of the gradient."""

    def hessian(self, phi: Float64Vector, /) -> Float64Matrix:
        """Their part of the Hessian."""

    def light(self, size: int, phi: Float64Vector, /) -> Float64Matrix:
        """The Hessian of all the rest at ``phi``, from a sample of about ``size`` light rows."""

    def curved(self, H: Float64Matrix, /) -> Float64Matrix:
        """A copy of ``H`` with curvature where the loss has none whatever its rows are."""


class HeavyModel:
    """The model ``q``, and what steps have taught about ``B``.

    Parameters
    ----------
    heavy : HeavyRows
    B : ndarray of shape (p, p)
        Symmetric, positive semidefinite.
    matrix_at : function params -> ndarray of shape (p, p)
        ``B`` at other points.

    Attributes
    ----------
    blind : bool
        Whether the heavy rows are so heavy that beside them float64 does not hold the curvature of the rest: what the
        model says of the remaining decrease is then worth nothing.
    """

    has_scale = True

    def __init__(self, heavy: HeavyRows, B: Float64Matrix, matrix_at: Callable[[Float64Vector], Float64Matrix]) -> None:
        self._heavy = heavy
        self._matrix_at, self._renewals = matrix_at, 0
        self._given = self._matrix = B
        self.blind, self._damping = False, 0.0
        self._known: list[tuple[Float64Vector, tuple[float, Float64Vector]]] = []

    @property
    def updated(self) -> bool:
        """Whether steps have corrected the matrix."""
        return self._matrix is not self._given

    def restart(self, B: Float64Matrix | None = None) -> None:
        """Forget the corrections, and take a new matrix if one is given."""
        self._matrix = self._given = self._given if B is None else B

    @property
    def damped(self) -> bool:
        """Whether the model has more curvature than is known of: then what it says remains is too little."""
        return self._damping > 0.0

    def stiffen(self) -> bool:
        """Give all directions some curvature, and more each time; false where they have as much as there can be.

        Rows far on either side have none at the present point, but would have some along a long step.

        Source: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963).
        """
        if self._damping >= LARGEST_DAMPING:
            return False
        self._damping = max(LEAST_DAMPING, 10.0 * self._damping)
        return True

    def soften(self) -> None:
        """Take most of that back, after a whole step; while it is there, a fit does not end."""
        self._damping *= SOFTER
        if self._damping < LEAST_DAMPING:
            self._damping = 0.0

    def recover(self, here: Trial, remaining: float) -> bool:
        """The matrix that was given, and if steps have not changed it a stiffer one; false where there is none."""
        if self.updated:
            self.restart()
            return True
        return remaining > NO_LOWER * abs(here.value) and self.stiffen()

    def propose(self, here: Trial) -> tuple[Float64Vector, float, float]:
        """The way to the minimum of the model, the slope along it, and the remaining decrease."""
        while True:
            way = self.way(here.params, here.grad)
            slope = float(here.grad @ way)
            remaining = -0.5 * slope
            if remaining <= abs(here.value) or not self.stiffen():  # no loss falls below zero
                break
        return way, slope, max(remaining, abs(here.value)) if self.blind or self.damped else remaining

    def way(self, params: Float64Vector, grad: Float64Vector) -> Float64Vector:
        """From ``params``, where the objective has the gradient ``grad``, to the minimum of the model."""
        columns = self._heavy.coordinates
        way: Float64Vector = columns.to_params(self._minimum(columns.from_params(params), columns.grad_to_phi(grad)))
        return way

    def _minimum(self, x: Float64Vector, grad: Float64Vector) -> Float64Vector:
        """``phi - x`` at the minimum."""
        f, own = self._at(x)
        rest, noise = grad - own, 8.0 * EPS * abs(f)
        moved, value, slopes = np.zeros(len(x)), 0.0, grad
        factor, step, left = self._newton(x, slopes)
        for _ in range(MOST_STEPS):
            t = 1.0
            while t >= SHORTEST:
                there = moved + t * step
                f_there, own = self._heavy(x + there)
                curved = self._matrix @ there + self._damping * there
                trial = f_there - f + float(rest @ there) + 0.5 * float(there @ curved)
                if trial <= value + noise - 2.0 * SUFFICIENT_DECREASE * t * left:
                    break
                t *= 0.5
            if t < SHORTEST:
                break
            as_expected = t == 1.0 and abs(value - trial - left) <= EXPECTED * left + noise
            moved, value, slopes = there, trial, own + rest + curved
            total = -0.5 * float(grad @ moved)
            if as_expected:  # the Hessian has hardly changed
                step = -factor.solve(slopes)
                left = -0.5 * float(slopes @ step)
                if left <= LEFT * total:
                    return moved + step
            factor, step, left = self._newton(x + moved, slopes)
            if left <= ENOUGH * total:
                break
        return moved if moved.any() else step

    def _newton(self, phi: Float64Vector, slopes: Float64Vector) -> tuple[Factor, Float64Vector, float]:
        """The factored Hessian of the model, its Newton step, and the decrease by it."""
        H = self._matrix + self._heavy.hessian(phi)
        H.flat[:: len(H) + 1] += self._damping
        factor = Factor(H)
        self.blind = factor.added > 0.0
        step = -factor.solve(slopes)
        return factor, step, -0.5 * float(slopes @ step)

    def _at(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient of the heavy rows, kept for the last two points."""
        for point, known in self._known:
            if np.array_equal(point, phi):
                return known
        known = self._heavy(phi)
        self._known = [*self._known[-1:], (phi, known)]
        return known

    def learn(self, before: Trial, after: Trial) -> None:
        """Correct the damping by the length of a step, and the matrix by its ends.

        ``B <- B - (B s)(B s).T / (s @ B s) + y y.T / (s @ y)``, with ``y`` the change of the gradient less that of the
        heavy rows; skipped where rounding hides the curvature. A matrix that is far wrong is taken anew instead.
        """
        if after.step < CUT:
            self.stiffen()
        elif after.step >= 1.0:
            self.soften()
        columns = self._heavy.coordinates
        x, u = columns.from_params(before.params), columns.from_params(after.params)
        step, change = u - x, columns.grad_to_phi(after.grad - before.grad) - (self._at(u)[1] - self._at(x)[1])
        expected = self._matrix @ step
        curvature, length = float(step @ change), float(step @ expected)
        if abs(curvature - length) > AMISS * length and self._renewals < MOST_RENEWALS:
            self._renewals += 1
            self.restart(self._matrix_at(after.params))
            return
        if curvature <= EPS * float(np.linalg.norm(step) * np.linalg.norm(change)) or not length > 0.0:
            return
        self._matrix = self._matrix - np.outer(expected, expected / length) + np.outer(change, change / curvature)
