"""The model of L-BFGS: a first model of the curvature, corrected by the last pairs of steps and gradient differences.

The two-loop recursion is taken in matrices. With a first model ``M / scale``, steps ``s_i``, changes ``y_i`` of the
gradient, ``u_i = M^-1 y_i``, ``R_ij = s_i @ y_j`` for ``i <= j``, ``D`` its diagonal and ``G_ij = y_i @ u_j``, the
oldest pair first, its two loops solve

``R alpha = S.T grad`` and ``R.T beta = D alpha - scale (U.T grad - G alpha)``,

and the direction is ``-scale (M^-1 grad - U alpha) - S beta``. A new pair's products with the others are differences
of products with the last two gradients, which are known: two walks over the pairs for every gradient.

Source: J. Nocedal and S. Wright, "Numerical Optimization" (2006), section 7.2; W. Chen, Z. Wang and J. Zhou,
"Large-scale L-BFGS using MapReduce" (2014).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg.blas import daxpy, dtrsv

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers import Metric
from gpu_logreg.solvers.line_search import Trial

__all__ = ["Pairs"]

EPS = float(np.finfo(np.float64).eps)


class Pairs:
    """A first model ``M`` and up to ``memory`` pairs; ``M^-1`` is applied once for every gradient.

    Attributes
    ----------
    has_scale : bool
        Whether there is a first model or a pair.
    """

    def __init__(self, metric: Metric | None, memory: int) -> None:
        self._metric, self._memory = metric, memory
        self._places: list[int] = []  # of the pairs, the oldest first
        self._scale = 1.0  # of the first model
        self._solved: tuple[Float64Vector, Float64Vector] | None = None  # the last gradient, and M^-1 of it
        self._learnt: tuple[Float64Vector, Float64Vector, float] | None = None  # a pair without its M^-1 change
        self._vectors: Float64Matrix | None = None  # s and u of place i in the rows 2 i and 2 i + 1
        self._products = np.empty((0, 2))  # s @ grad and u @ grad by place
        self._R, self._G = np.zeros((memory, memory)), np.zeros((memory, memory))
        self.has_scale = metric is not None

    def restart(self, model: Metric | None = None) -> None:
        """Forget the pairs, and take a new first model if one is given."""
        self._places = []
        self._scale, self._learnt = 1.0, None
        if model is not None:
            self._metric, self._solved = model, None
        self.has_scale = self._metric is not None

    def recover(self, here: Trial, remaining: float) -> bool:
        """The first model without pairs, which rounding may have spoilt; false without pairs."""
        had_pairs = bool(self._places)
        if had_pairs:
            self.restart()
        return had_pairs

    def learn(self, before: Trial, after: Trial) -> None:
        """One more pair, unless rounding hides the curvature; the next direction completes it."""
        step, change = after.params - before.params, after.grad - before.grad
        curvature = float(step @ change)
        if curvature > EPS * math.sqrt(float(step @ step)) * math.sqrt(float(change @ change)):
            self._learnt = step, change, curvature

    def propose(self, here: Trial) -> tuple[Float64Vector, float, float]:
        """``-H^-1 grad``, the slope along it, and half the squared Newton decrement."""
        grad = here.grad
        solved = self._solve(grad)
        if self._places:
            assert self._vectors is not None
            vectors = self._vectors[: 2 * len(self._places)]
            direction = daxpy(solved, self._weights() @ vectors, a=-self._scale)
        else:
            direction = solved * -self._scale
        slope = float(grad @ direction)
        if slope >= 0.0 and self._places:  # rounding has spoilt the pairs
            self.restart()
            return self.propose(here)
        return direction, slope, -0.5 * slope

    def _solve(self, grad: Float64Vector) -> Float64Vector:
        """``M^-1 grad``, kept for the last gradient; its change completes the pair that was learnt."""
        last = self._solved
        if last is not None and last[0] is grad:
            return last[1]
        solved = grad if self._metric is None else self._metric.solve(grad)
        before, added = self._products, None
        if last is not None and self._learnt is not None:
            added = self._add(*self._learnt, solved - last[1])
        if self._places:
            assert self._vectors is not None
            self._products = (self._vectors[: 2 * len(self._places)] @ grad).reshape(-1, 2)
        if added is not None:
            self._note_products(self._places[:-1], before, *added)
        self._solved, self._learnt = (grad, solved), None
        return solved

    def _add(
        self, step: Float64Vector, change: Float64Vector, curvature: float, solved_change: Float64Vector
    ) -> tuple[float, float] | None:
        """Keep a pair, in the place of the oldest if none is free; ``s @ y`` and ``y @ u``, None if not positive."""
        length = float(change @ solved_change)
        if not length > 0.0:
            return None
        if self._vectors is None:
            self._vectors = np.empty((2 * self._memory, len(step)))
        place = len(self._places)
        if place == self._memory:  # the oldest leaves
            place, *self._places = self._places
            for products in (self._R, self._G):
                products[:-1, :-1] = products[1:, 1:]
        self._places.append(place)
        self.has_scale = True
        self._vectors[2 * place], self._vectors[2 * place + 1] = step, solved_change
        self._scale = curvature / length
        return curvature, length

    def _note_products(self, older: list[int], before: Float64Matrix, curvature: float, length: float) -> None:
        """What the last pair adds to ``R`` and ``G``, from products with the gradients ``before`` and after it."""
        R, G, n = self._R, self._G, len(older)
        R[n, n], G[n, n] = curvature, length
        if older:
            R[:n, n], of_u = (self._products[older] - before[older]).T
            G[:n, n] = G[n, :n] = of_u

    def _weights(self) -> Float64Vector:
        """What the direction has of every ``s`` and ``u``, by their rows."""
        n = len(self._places)
        R, G, of_place = self._R[:n, :n], self._G[:n, :n], self._products[self._places]
        alpha = dtrsv(R, of_place[:, 0])
        along = self._scale * (of_place[:, 1] - G @ alpha)
        weights = np.empty((n, 2))
        weights[self._places, 0] = -dtrsv(R, R.diagonal() * alpha - along, trans=1)
        weights[self._places, 1] = self._scale * alpha
        return weights.reshape(-1)
