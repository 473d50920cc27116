"""A model with fewer rows than columns, by one number for each row: the minimum over a space that grows by a direction
for every product with the Gram matrix ``G`` of the rows.

With ``w = sum_i a_i x_i`` the gradient by ``w`` is ``sum_i rho_i x_i`` with ``rho = dz + l2 a``, and the Newton step is
``-(l2 + C G)^-1 rho`` with the curvature ``C`` of the rows. What is known for ``G``, its diagonal, stands in for it:

``v_i = -rho_i / (l2 + c_i g_ii)``.

Where rows are nearly orthogonal that is all there is to it, however different the curvatures of the rows are; they are
what gradients by ``w`` have to learn. One product gives ``G v``, hence the logits of every sum of directions, and the
minimum over the space of all of them is found without the rows. Where that is slow, ``G`` is computed, and the step is
``-(l2 + C G)^-1 rho`` with the curvatures of the logits of a row by themselves: for two classes Newton's.

Sources: G. Narkiss and M. Zibulevsky, "Sequential subspace optimization method for large-scale unconstrained problems"
(2005); S. Keerthi, K. Duan, S. Shevade and A. Poo, "A fast dual algorithm for kernel logistic regression" (2005).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers import Iteration, Observer

__all__ = ["RowSpaceResult", "Rows", "minimum_in_row_space"]

MEMORY = 60
"""Directions that are kept."""

INNER_STEPS = 8
"""Newton steps over the space of directions for each new one; one or two do but for the first."""

INNER_SHARE = 0.02
"""Share of the last decrease that the minimum over the space may miss."""

DEPENDENT = 1e-12
"""Curvature along a combination of directions, relative to the largest, below which it is rounding."""

LEAST_STEPS = 4
"""Steps after which their rate is believed."""

SLOWEST_RATE = 0.99
"""The rate that a slower one is taken for."""

CHANGED = 0.1
"""Change of the curvatures of the rows, relative to those that were factored, from which on they are factored anew."""

SHORTEST = 2.0**-20
"""Shortest step of a line search, of the whole."""


class Rows(Protocol):
    """The rows of a linear model: see `gpu_logreg.objectives.row_space.RowSpace`."""

    n_rows: int
    n_logits: int
    fit_intercept: bool
    l2: float
    squares: Float64Vector

    @property
    def gram(self) -> Float64Matrix | None:
        """``G``, where it is in memory."""

    def keep_gram(self) -> None:
        """Compute ``G``."""

    def image(self, V: Float64Matrix, /) -> Float64Matrix:
        """``G V``."""

    def largest_gradient(self, rho: Float64Matrix, /) -> float:
        """``max |sum_i rho_i x_i|``."""

    def params(self, a: Float64Matrix, b: Float64Vector, /) -> Float64Vector:
        """Packed weights and intercepts."""

    def at(self, Z: Float64Matrix, /) -> Any:
        """The loss at logits, with ``loss``, ``dz``, ``curvature`` and ``along``."""


class RowSpaceResult(NamedTuple):
    """Where the steps have ended.

    Attributes
    ----------
    a, b : ndarrays of shape (n, K) and (K,)
    n_iter : int
    stopped : bool
        Whether an observer has asked for it.
    slow : bool
        Whether more products would be needed than the Gram matrix takes the time of, for which there is no room.
    loss_curve : list of float
    """

    a: Float64Matrix
    b: Float64Vector
    n_iter: int
    stopped: bool
    slow: bool
    loss_curve: list[float]


class _Space:
    """Directions of ``a`` and of the logits, and the point in the span of these and of the intercepts."""

    def __init__(self, rows: Rows, b: Float64Vector) -> None:
        n, K = rows.n_rows, rows.n_logits
        self._rows, self._fixed = rows, K if rows.fit_intercept else 0
        self.a, self.b = np.zeros((n, K)), b
        self.Ga = np.zeros((n, K))
        self._of_a, self._of_z = np.zeros((MEMORY, n * K)), np.zeros((MEMORY, n * K))
        self._count, self._oldest = 0, 0
        self._ridge = np.zeros((MEMORY, MEMORY))
        self.here = rows.at(self.Ga + self.b)
        self.value = self.here.loss

    @property
    def residual(self) -> Float64Matrix:
        """``rho``, with which ``sum_i rho_i x_i`` is the gradient."""
        return np.asarray(self.here.dz + self._rows.l2 * self.a)

    def decrease(self, rho: Float64Matrix, v: Float64Matrix, Gv: Float64Matrix) -> float:
        """What the best step along ``v`` alone lowers the model at the present point by."""
        slope = float(np.vdot(rho, Gv))
        along = float(self.here.along(Gv.reshape(1, -1))[0, 0])
        curvature = along + self._rows.l2 * float(np.vdot(v, Gv))
        return 0.5 * slope * slope / curvature if curvature > 0.0 else 0.0

    def add(self, v: Float64Matrix, Gv: Float64Matrix) -> None:
        """One more direction, in the place of the oldest where there are `MEMORY`."""
        at = self._oldest
        self._oldest = (at + 1) % MEMORY
        self._count = max(self._count, at + 1)
        size = 1.0 / math.sqrt(max(float(np.vdot(v, Gv)), 1e-300))
        np.multiply(v.ravel(), size, out=self._of_a[at])
        np.multiply(Gv.ravel(), size, out=self._of_z[at])
        used = slice(0, self._count)
        self._ridge[at, used] = self._ridge[used, at] = self._rows.l2 * (self._of_z[used] @ self._of_a[at])

    def minimise(self, enough: float) -> None:
        """Go to the minimum over the span, but for about ``enough``."""
        used, fixed = slice(0, self._count), self._fixed
        of_a, of_z = self._of_a[used], self._of_z[used]
        for _ in range(INNER_STEPS):
            dz = self.here.dz
            slope = of_z @ dz.ravel() + self._rows.l2 * (of_a @ self.Ga.ravel())
            H = self.here.along(of_z, fixed > 0)
            H[fixed:, fixed:] += self._ridge[used, used]
            slope = np.concatenate([dz.sum(axis=0)[:fixed], slope])
            step = _newton_step(H, slope)
            decrease = -0.5 * float(slope @ step)
            if not decrease > 0.0:
                return
            move_a, move_z = ((step[fixed:] @ of_one).reshape(self.a.shape) for of_one in (of_a, of_z))
            if not self._walk(move_a, move_z, step[:fixed] if fixed else 0.0, decrease) or decrease <= enough:
                return

    def _walk(self, move_a: Float64Matrix, move_z: Float64Matrix, move_b: Any, decrease: float) -> bool:
        """Half as far each time until the value falls; false where it does not, or not but by rounding."""
        t = 1.0
        while t >= SHORTEST:
            a, Ga, b = self.a + t * move_a, self.Ga + t * move_z, self.b + t * move_b
            there = self._rows.at(Ga + b)
            value = there.loss + 0.5 * self._rows.l2 * float(np.vdot(a, Ga))
            if value <= self.value - 2e-4 * t * decrease:
                self.a, self.Ga, self.b, self.here, self.value = a, Ga, b, there, value
                return True
            if decrease <= 1e-15 * abs(self.value):
                return False
            t *= 0.5
        return False


def _newton_step(H: Float64Matrix, slope: Float64Vector) -> Float64Vector:
    """``-H^-1 slope``, without the combinations that have no curvature but by rounding."""
    diagonal = H.diagonal()
    curved = diagonal > np.finfo(np.float64).eps ** 2 * diagonal.max(initial=0.0)  # others are rounding beside it
    unit = np.where(curved, 1.0 / np.sqrt(np.where(curved, diagonal, 1.0)), 0.0)
    eigenvalues, E = np.linalg.eigh(H * unit * unit[:, None])
    kept = eigenvalues > DEPENDENT * eigenvalues[-1]
    E = E[:, kept]
    return np.asarray(-unit * (E @ ((E.T @ (unit * slope)) / eigenvalues[kept])))


class _Directions:
    """Steps from a residual: by the diagonal of ``G``, or by ``G`` with the curvatures that were factored last."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._factors: list[tuple[Float64Vector, Factor]] = []
        self._factored: Float64Matrix | None = None

    def __call__(self, rho: Float64Matrix, curvature: Float64Matrix) -> Float64Matrix:
        """``-(l2 + C G)^-1 rho``, or with the diagonal of ``G`` in its place."""
        rows, l2 = self._rows, self._rows.l2
        if rows.gram is None:
            v = -rho / (l2 + curvature * rows.squares[:, None])
        else:
            self._factor(rows.gram, curvature)
            image, v = rows.image(rho), -rho / l2
            for k, (q, factor) in enumerate(self._factors):
                v[:, k] += q * factor.solve(q * image[:, k]) / l2
        return np.asarray(v - v.mean(axis=1, keepdims=True) if rows.n_logits > 1 else v)

    def _factor(self, G: Float64Matrix, curvature: Float64Matrix) -> None:
        """``l2 + Q G Q`` of every logit, with ``Q`` the roots of the curvatures, unless they have hardly changed."""
        last = self._factored
        if last is not None and float(np.abs(curvature - last).sum()) <= CHANGED * float(last.sum()):
            return
        self._factored = curvature
        self._factors = [(q, self._factor_of(G, q)) for q in np.sqrt(curvature.T)]

    def _factor_of(self, G: Float64Matrix, q: Float64Vector) -> Factor:
        H = G * q
        H *= q[:, None]
        H.flat[:: len(H) + 1] += self._rows.l2
        return Factor(H)


def minimum_in_row_space(
    rows: Rows,
    b: Float64Vector,
    *,
    enough: float,
    max_iter: int,
    price: float,
    has_room: bool = True,
    towards: Float64Matrix | None = None,
    observer: Observer | None = None,
) -> RowSpaceResult:
    """Steps from no weights until the remaining decrease is expected to be at most ``enough`` of the value.

    Parameters
    ----------
    rows : Rows
    b : ndarray of shape (K,)
        Intercepts of the start.
    enough : float
    max_iter : int
    price : float
        Products that the Gram matrix, and the steps with it, take the time of.
    has_room : bool
        Whether there is room for that matrix.
    towards : ndarray of shape (n, K), optional
        Numbers of the rows that may be near the minimum: the first direction.
    observer : Observer, optional
        What it is shown takes a read.
    """
    space, directions = _Space(rows, b), _Directions(rows)
    if towards is not None and towards.any():
        space.add(towards, rows.image(towards))
        space.minimise(0.0)
    curve, falls = [space.value], []
    n_iter, stopped, slow = 0, False, False
    while n_iter < max_iter:
        rho = space.residual
        v = directions(rho, space.here.curvature)
        Gv = rows.image(v)
        falls.append(space.decrease(rho, v, Gv))
        rate, fall = _rate_and_fall(falls)
        goal = enough * abs(space.value)
        space.add(v, Gv)
        space.minimise(INNER_SHARE * max(goal, rate * fall))
        n_iter += 1
        curve.append(space.value)
        remaining = rate * fall / (1.0 - rate)
        if observer is not None:
            largest, params = rows.largest_gradient(space.residual), rows.params(space.a, space.b)
            over = remaining <= goal or n_iter == max_iter
            stopped = bool(observer(Iteration(n_iter, params, space.value, largest, 1.0, over, remaining)))
        if stopped or remaining <= goal:
            break
        if rows.gram is None and len(falls) >= LEAST_STEPS and math.log(remaining / goal) / -math.log(rate) > price:
            if not has_room:
                slow = True
                break
            rows.keep_gram()
            falls.clear()
    return RowSpaceResult(space.a, space.b, n_iter, stopped, slow, curve)


def _rate_and_fall(falls: list[float]) -> tuple[float, float]:
    """Share of the remaining decrease that a step leaves, and the fall by the last one.

    Of two steps the larger fall counts: along a direction that was chosen badly there is little to gain.
    """
    if len(falls) < 4:
        return 0.5, max(falls[-2:])
    before, after = max(falls[-4:-2]), max(falls[-2:])
    rate = min(SLOWEST_RATE, math.sqrt(after / max(before, 1e-300)))
    return rate, max(falls[-1], rate * falls[-2])
