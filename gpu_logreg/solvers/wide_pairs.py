"""The model of L-BFGS for very many parameters: the two-loop recursion by numbers alone, around two walks of vectors.

The recursion reads every pair several times, a vector after the other. Its products are known from those of the pairs
with each other, which are kept, and with the gradient: one walk over all vectors by all threads gives these, and what
the last step adds to those, and a second one adds up the direction.

Source: W. Chen, Z. Wang and J. Zhou, "Large-scale L-BFGS using MapReduce" (2014).
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.arrays.wide_vectors import each_piece
from gpu_logreg.solvers import Metric
from gpu_logreg.solvers.line_search import Trial

__all__ = ["WidePairs"]

EPS = float(np.finfo(np.float64).eps)


class WidePairs:
    """As `gpu_logreg.solvers.pairs.Pairs`, to rounding.

    With a first model ``M``, steps ``s_i``, changes ``y_i`` of the gradient and ``u_i = M^-1 y_i``. There is room for
    one pair more than are kept: the last one, until it is known to be of use.
    """

    def __init__(self, metric: Metric | None, memory: int) -> None:
        self._metric, self._memory = metric, memory
        self._order: list[int] = []  # places of the pairs, the oldest first
        self._scale = 1.0  # of the first model
        self._solved: tuple[Float64Vector, Float64Vector] | None = None  # the last gradient, and M^-1 of it
        self._learnt: tuple[int, float] | None = None  # place and s @ y of a pair without its u
        room = memory + 1
        self._rho, self._sy, self._yu = np.zeros(room), np.zeros((room, room)), np.zeros((room, room))
        self._room: tuple[Float64Matrix, Float64Matrix, Float64Matrix] | None = None

    @property
    def has_scale(self) -> bool:
        """Whether there is a first model or a pair."""
        return self._metric is not None or bool(self._order)

    def restart(self, model: Metric | None = None) -> None:
        """Forget the pairs, and take a new first model if one is given."""
        self._order.clear()
        self._scale, self._learnt = 1.0, None
        if model is not None:
            self._metric, self._solved = model, None

    def recover(self, here: Trial, remaining: float) -> bool:
        """The first model without pairs, which rounding may have spoilt; false without pairs."""
        had_pairs = bool(self._order)
        if had_pairs:
            self.restart()
        return had_pairs

    def learn(self, before: Trial, after: Trial) -> None:
        """One more pair, unless rounding hides the curvature; the next direction completes it."""
        if self._room is None:
            steps, changes, solved = (np.zeros((self._memory + 1, len(after.grad))) for _ in range(3))
            self._room = steps, changes, solved
        steps, changes, _ = self._room
        at = next(place for place in range(self._memory + 1) if place not in self._order)

        def of_piece(part: slice) -> tuple[float, float, float]:
            s, y = steps[at, part], changes[at, part]
            np.subtract(after.params[part], before.params[part], out=s)
            np.subtract(after.grad[part], before.grad[part], out=y)
            return float(s @ y), float(s @ s), float(y @ y)

        curvature, of_step, of_change = np.sum(each_piece(of_piece, len(after.grad)), axis=0)
        if curvature > EPS * float(np.sqrt(of_step) * np.sqrt(of_change)):
            self._learnt = at, float(curvature)

    def propose(self, here: Trial) -> tuple[Float64Vector, float, float]:
        """``-H^-1 grad``, the slope along it, and half the squared Newton decrement."""
        grad = here.grad
        last, learnt = self._solved, self._learnt
        known = last is not None and last[0] is grad
        solved = last[1] if last is not None and known else grad if self._metric is None else self._metric.solve(grad)
        new = None if known or last is None or learnt is None else (*learnt, last[1])
        self._solved, self._learnt = (grad, solved), None
        s_grad, y_solved = self._products(grad, solved, new)
        alphas, betas = self._recursion(s_grad, y_solved)
        direction, slope = self._sum(grad, solved, alphas, betas)
        if slope >= 0.0 and self._order:  # rounding has spoilt the pairs
            self.restart()
            return self.propose(here)
        return direction, slope, -0.5 * slope

    def _products(
        self, grad: Float64Vector, solved: Float64Vector, new: tuple[int, float, Float64Vector] | None
    ) -> tuple[Float64Vector, Float64Vector]:
        """``s_i @ grad`` and ``y_i @ M^-1 grad`` of all pairs, the oldest first.

        In the same walk the ``new`` pair, given by its place, ``s @ y`` and the last ``M^-1 grad``, gets its ``u`` and
        its products with the others.
        """
        places = [*self._order, *([] if new is None else new[:1])]
        if self._room is None or not places:
            return np.zeros(0), np.zeros(0)
        (steps, changes, solved_changes), used = self._room, int(max(places)) + 1

        def of_piece(part: slice) -> Float64Vector:
            S, Y, here = steps[:used, part], changes[:used, part], solved[part]
            if new is None:
                return np.concatenate([S @ grad[part], Y @ here])
            at, _, before = new
            u = solved_changes[at, part]
            np.subtract(here, before[part], out=u)
            return np.concatenate([S @ grad[part], S @ Y[at], Y @ here, Y @ S[at], Y @ u])

        found = np.sum(each_piece(of_piece, len(grad)), axis=0).reshape(-1, used)
        if new is None:
            return found[0, self._order], found[1, self._order]
        self._add(*new[:2], found[1], found[3], found[4])
        return found[0, self._order], found[2, self._order]

    def _add(self, at: int, curvature: float, of_y: Float64Vector, of_s: Float64Vector, of_u: Float64Vector) -> None:
        """The pair in its place, with its products ``s_i @ y``, ``y_i @ s`` and ``y_i @ u``."""
        length = float(of_u[at])
        if not length > 0.0:
            return
        self._order = [*self._order, at][-self._memory :]
        self._rho[at], self._scale = 1.0 / curvature, curvature / length
        used = len(of_u)
        for products in (self._sy[:, at], self._sy[at], self._yu[:, at], self._yu[at]):
            products[:] = 0.0
        self._sy[:used, at], self._sy[at, :used] = of_y, of_s
        self._yu[:used, at] = self._yu[at, :used] = of_u

    def _recursion(self, s_grad: Float64Vector, y_solved: Float64Vector) -> tuple[Float64Vector, Float64Vector]:
        """What the direction has of ``u_i`` and of ``s_i``, the oldest first: the two loops."""
        order, sy = self._order, self._sy
        alphas, betas = np.zeros(len(order)), np.zeros(len(order))
        for i in reversed(range(len(order))):
            newer = order[i + 1 :]
            alphas[i] = self._rho[order[i]] * (s_grad[i] - float(sy[order[i], newer] @ alphas[i + 1 :]))
        for i, place in enumerate(order):
            along = self._scale * (y_solved[i] - float(self._yu[place, order] @ alphas))
            betas[i] = alphas[i] - self._rho[place] * (along + float(sy[order[:i], place] @ betas[:i]))
        return alphas, betas

    def _sum(
        self, grad: Float64Vector, solved: Float64Vector, alphas: Float64Vector, betas: Float64Vector
    ) -> tuple[Float64Vector, float]:
        """``-scale (M^-1 grad - sum_i alpha_i u_i) - sum_i beta_i s_i``, and its product with the gradient."""
        direction = np.empty(len(grad))
        used = max(self._order) + 1 if self._order else 0
        of_u, of_s = np.zeros(used), np.zeros(used)
        of_u[self._order], of_s[self._order] = self._scale * alphas, -betas

        def of_piece(part: slice) -> float:
            d = direction[part]
            np.multiply(solved[part], -self._scale, out=d)
            if used:
                assert self._room is not None
                steps, _, solved_changes = self._room
                d += of_u @ solved_changes[:used, part]
                d += of_s @ steps[:used, part]
            return float(d @ grad[part])

        return direction, float(sum(each_piece(of_piece, len(grad))))
