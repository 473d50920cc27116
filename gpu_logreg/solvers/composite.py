"""Proximal Newton steps on a smooth objective plus an L1 penalty, started from a given model of the curvature.

``F(x) = f(x) + sum_j l1_j |x_j|``. Every iteration minimises a model of it by coordinate descent,

``q(u) = F(x) + g @ (u - x) + (u - x) @ B (u - x) / 2 + sum_j l1_j (|u_j| - |x_j|)``,

and goes to its minimum ``u``, or part of the way: the longest of the steps 1, 1/2, 1/4, ... that lowers ``F`` by its
due. ``B`` begins as the matrix given and is corrected by BFGS from exact gradients, so ``x`` converges to the exact
minimum, and with exact zeros: a step of full length ends where the model does.

Sources: J. Lee, Y. Sun and M. Saunders, "Proximal Newton-type methods for minimizing composite functions" (2014); for
the update, J. Nocedal and S. Wright, "Numerical Optimization" (2006), section 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.mathematics.penalty import l1_penalty
from gpu_logreg.solvers import Iteration, Objective, Observer, SolverResult, Vector
from gpu_logreg.solvers.coordinate_descent import FORCING, model_minimum
from gpu_logreg.solvers.lbfgs import WIDEN_ABOVE, BeforeStep, Criterion, Stagnation
from gpu_logreg.solvers.line_search import MAX_TRIALS, SUFFICIENT_DECREASE, Trial
from gpu_logreg.solvers.orthant import RootModel

__all__ = ["Composite", "Curvature", "proximal_steps"]

NO_LOWER = 1e-12
"""Where no lower value is found with the matrix as it was given, and no more than this is left to gain, relatively, it
is rounding that hides it."""

FLAT = 1e-9
"""Curvature, relative to the largest of the loss, below which a coordinate is flat; the model gives it that instead.

The ridge is left out of the largest: a column in small units has a ridge of any size in standardised columns, beside
which the loss of all others would pass for flat."""

FLOOR = 1e-3
"""Share of the largest curvature that every coordinate has at least where a model has misled; then it is all of it."""

LEAST_ADDED, MORE_ADDED = 1e-9, 1e1
"""Share of the largest curvature that is added to all, of few rows, and how many times as much then."""

ROOT_GAIN, NEEDLESS = 1.1, 2
"""What a model's minimum by the root must be lower by to be worth it, and minima that were not before it is left."""

MISLED = 0.125
"""A step at most so long tells that the matrix is far from the curvature."""

ON_THE_WAY = 1e-3
"""How well models are minimised: steps that correct the model leave more than that to the next."""

Curvature = Callable[[Trial, float], Any]
"""From a point and what is left to gain there to a better matrix of shape (p, p), or None to keep the present one."""


class Composite(NamedTuple):
    """What is minimised.

    Attributes
    ----------
    smooth : Objective
        ``f``: value and gradient of the smooth part.
    l1 : ndarray of shape (p,)
        Strength for each coordinate; 0 for one that is not penalised.
    shown : function (x, grad) -> ndarray
        The subgradient of least norm by the parameters that a person sees, from ``x`` and the gradient of ``f``.
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
    l1: Vector
    shown: Callable[[Vector, Vector], Vector]
    ridge: Vector | None = None
    few_rows: bool = False
    root: Callable[[Vector], Any] | None = None
    late: int = 0

    def at(self, x: Vector, step: float) -> tuple[Trial, Vector]:
        """The value of ``F`` and its subgradient, as a `Trial`, and the gradient of ``f``; one read."""
        value, grad = self.smooth(x)
        return Trial(step, x, value + l1_penalty(x, self.l1), math.nan, self.shown(x, grad)), grad


class _Model:
    """The matrix ``B``: what was given, and BFGS updates on top of it."""

    def __init__(self, H: Any, ridge: Vector | None, gradual: bool) -> None:
        self._ridge, self._gradual = ridge, gradual
        self._n_pushed = 0
        self.root: Callable[[Vector], Any] | None = None
        self._needless = 0
        self._last_added = 0.0
        self.restart(H)

    def restart(self, H: Any = None) -> None:
        """Forget the updates, and take a new matrix if one is given."""
        if H is not None:
            diagonal = H.diagonal()
            of_loss = diagonal if self._ridge is None else diagonal - self._ridge
            self._largest = float(of_loss.max(initial=0.0))
            self._flat = diagonal < FLAT * self._largest
            if self._flat.any():
                H = H.copy()
                np.fill_diagonal(H, np.where(self._flat, self._largest, diagonal))
            self._given = H
        self.matrix = self._given
        self.n_updates = 0
        self._added = 0.0

    def minimum(self, grad: Vector, here: Trial, l1: Vector, forcing: float) -> tuple[Vector, float]:
        """Where to go, and how far below ``here`` the model is there."""
        target, left = self.least(grad, here, l1, forcing)
        return (self._along_flat(target, grad, here.params, l1) if self._flat.any() else target), left

    def least(self, grad: Vector, here: Trial, l1: Vector, forcing: float = FORCING) -> tuple[Vector, float]:
        """Where the model is least, and how far below ``here``; made stiffer while that is more than there can be."""
        target, left = self._minimum(grad, here.params, l1, forcing)
        while not left <= abs(here.value) and self.stiffen():  # no loss falls below zero
            target, left = self._minimum(grad, here.params, l1, forcing)
        return target, math.inf if math.isnan(left) else left

    def _minimum(self, grad: Vector, x: Vector, l1: Vector, forcing: float) -> tuple[Vector, float]:
        """The minimum by the matrix, or that from there by its root where that is lower."""
        target, left = model_minimum(self.matrix, grad, x, l1, forcing)
        if self.root is None or not self._wants_root():
            return target, left
        ridge = np.zeros(len(x)) if self._ridge is None else self._ridge
        flat = np.where(self._flat & (l1 > 0.0), self._largest, 0.0)
        A = self.root(x)
        if len(A) > 2 * len(x):  # its triangle is as good, and its systems cost less
            A = np.linalg.qr(A, mode="r")
        by_root = RootModel(A, ridge + flat + self._added * self._largest, grad, x, l1)
        there = by_root.minimum(target)
        fall, before = by_root.fall(there), by_root.fall(target)
        if not max(fall, before) > 0.0:  # the matrix misleads even about the orthant
            there = by_root.minimum(x)
            fall = by_root.fall(there)
        self._needless = 0 if fall > ROOT_GAIN * before else self._needless + 1
        target, fall = (there, fall) if fall >= before else (target, before)
        return target, fall if fall >= 0.0 else math.nan

    def _wants_root(self) -> bool:
        """Whether the root is worth its systems: not where it was needless before, but for a look now and then."""
        if self._needless < NEEDLESS:
            return True
        self._needless += 1
        return self._needless % (4 * NEEDLESS) == 0

    def _along_flat(self, target: Vector, grad: Vector, x: Vector, l1: Vector) -> Vector:
        """Longer steps along coordinates without curvature, whose rows are all far on one side.

        On the right side only the penalty is left, and a weight is halved. On the wrong one the model's step takes
        rows a few units back, and every such step is twice as long as the last. Where the gradient is about as large as
        the penalty, a weight may be where it belongs: the matrix may be of rows that do not have the column.
        """
        pushed = self._flat & (np.abs(grad) > 2.0 * l1)
        free = self._flat & (np.abs(grad) < 0.5 * l1)
        self._n_pushed = min(self._n_pushed + 1, 10) if pushed.any() else 0
        target = np.where(pushed, x + 2.0**self._n_pushed * (target - x), target)
        return np.where(free & (np.abs(target) > 0.5 * np.abs(x)), 0.5 * x, target)

    def stiffen(self) -> bool:
        """Give curvature where even a good matrix has misled; false if all have as much as there can be.

        Rows far on the wrong side, where one step too long has taken them, have a gradient and no curvature, and the
        way back would be a step without end: the coordinates with the least get some, then all. Of few rows, whose
        matrix is exact, the whole diagonal is raised little by little: a combination of columns may have next to no
        curvature, and the way along it be long, though each column has its own.

        Source: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963).
        """
        if self._added >= 1.0:
            return False
        self.matrix = self.matrix.copy()
        diagonal = self.matrix.diagonal()
        if self._gradual:
            added = MORE_ADDED * self._added if self._added else max(LEAST_ADDED, self._last_added / MORE_ADDED)
            self._last_added = added
            np.fill_diagonal(self.matrix, diagonal + (added - self._added) * self._largest)
        else:
            added = 1.0 if self._added else FLOOR
            np.fill_diagonal(self.matrix, np.maximum(diagonal, added * self._largest))
        self._added = added
        return True

    def update(self, step: Vector, change: Vector) -> None:
        """Learn that the gradient changed by ``change`` along ``step``; skipped where rounding hides the curvature.

        ``B <- B - (B s)(B s).T / (s @ B s) + y y.T / (s @ y)``
        """
        curvature = float(step @ change)
        expected = self.matrix @ step
        length = float(step @ expected)
        if curvature <= np.finfo(np.float64).eps * float(np.linalg.norm(step) * np.linalg.norm(change)):
            return
        if not length > 0.0:
            return
        if self.matrix is self._given:
            self.matrix = self._given.copy()
        self.matrix -= np.outer(expected, expected / length)
        self.matrix += np.outer(change, change / curvature)
        self.n_updates += 1


def proximal_steps(
    composite: Composite,
    start: Vector,
    H: Any,
    *,
    criterion: Criterion,
    max_iter: int,
    refresh: Curvature | None = None,
    rescue: Callable[[Vector], Any] | None = None,
    observer: Observer | None = None,
    patience: int = 20,
    last_step: bool = False,
    forcing: float = ON_THE_WAY,
    before_step: BeforeStep | None = None,
) -> SolverResult:
    """Minimise ``F``.

    Parameters
    ----------
    composite : Composite
    start : ndarray of shape (p,)
    H : ndarray of shape (p, p)
        Positive definite: the first model of the curvature.
    criterion : Criterion
        Told the value and the subgradient, and what is left to gain by the model.
    max_iter : int
    rescue : function x -> ndarray of shape (p, p), optional
        A better matrix, from more rows or at the present point, for where the present one has misled: a step had to be
        cut to an eighth, or no lower value was found.
    refresh, observer, patience, last_step, before_step
        As for `gpu_logreg.solvers.lbfgs.lbfgs`. Criteria and refreshments see the subgradient as ``grad``.
    forcing : float
        How well models are minimised on the way: see `gpu_logreg.solvers.coordinate_descent.model_minimum`. The last
        step's is minimised as well as that does by itself.

    Returns
    -------
    SolverResult
        ``grad`` is the subgradient, by the parameters that are shown; ``smooth_grad`` the gradient of ``f`` by ``x``.
    """
    stagnation = Stagnation(composite.smooth, patience, "max |subgradient|", composite.few_rows)
    model = _Model(H, composite.ridge, composite.few_rows)
    here, grad = composite.at(start, 0.0)
    rounding = composite.smooth.rounding  # there, and not where steps were tried in vain
    curve, rescued, stuck, predicted = [here.value], False, False, 0.0
    for n_iter in range(max_iter + 1):
        if refresh is not None and composite.root is not None and not stuck and n_iter < max_iter:
            exact = refresh(here, math.nan)
            if exact is not None:
                model.restart(exact)
                model.root = composite.root if n_iter >= composite.late else None
        target, left = model.minimum(grad, here, composite.l1, forcing)
        met = criterion(here, left)
        # Where no step was found the matrix stays, and what was added to it: a new one would begin all that again.
        asked = refresh is not None and composite.root is None and not stuck and met is None and n_iter < max_iter
        better = refresh(here, left) if refresh is not None and asked else None
        if better is not None:
            model.restart(better)
            target, left = model.minimum(grad, here, composite.l1, forcing)
            met = criterion(here, left)
        if met is None:
            met = stagnation(here, left)
            if met is not None and n_iter < max_iter and _widened(composite, here, left):
                here, grad = composite.at(here.params, 0.0)
                rounding = composite.smooth.rounding
                stagnation = Stagnation(composite.smooth, patience, "max |subgradient|", composite.few_rows)
                model.restart()
                curve.append(here.value)
                continue
        if last_step and met is not None and met.converged:
            target, gain = model.least(grad, here, composite.l1)  # as well as zeros ask for
            # The way along next to no curvature may be longer than the model is good for.
            safe = model.root is None or composite.at(target, 1.0)[0].value <= here.value * (1.0 + rounding)
            if math.isfinite(gain) and safe:
                left = predicted = gain
                here = here._replace(params=target, value=here.value - left)
                curve[-1] = here.value
        last = met is not None or n_iter == max_iter
        if n_iter > 0 and observer is not None:
            told = Iteration(n_iter, here.params, here.value, _largest(here), here.step, last, left)
            if observer(told) and not last:
                return _result(here, grad, n_iter, False, "stopped by a callback", curve)
        if met is not None:
            ended = _result(here, grad, n_iter, met.converged, met.message, curve, predicted)
            return replace(ended, stuck=met.by_rounding)
        if n_iter == max_iter:
            break
        widened = before_step is not None and before_step(here, left)
        found = _lower(composite, here, grad, target, rounding)
        stuck = found is None
        if found is None:
            if widened:  # the value here is from before, and its rounding may hide every lower one
                here, grad = composite.at(here.params, 0.0)
                rounding, stuck = composite.smooth.rounding, False
                curve.append(here.value)
                continue
            # Updates may be spoilt by rounding: once more from the matrix that was given, then from a better one.
            if model.n_updates or (rescue is not None and not rescued):
                rescued = not model.n_updates
                model.restart(rescue(here.params) if rescued and rescue is not None else None)
                curve.append(here.value)
                continue
            if left > NO_LOWER * abs(here.value) and model.stiffen():
                curve.append(here.value)
                continue
            if _widened(composite, here, left):
                here, grad = composite.at(here.params, 0.0)
                rounding = composite.smooth.rounding
                stagnation = Stagnation(composite.smooth, patience, "max |subgradient|", composite.few_rows)
                curve.append(here.value)
                continue
            rounded = stagnation.reached(here, left, NO_LOWER)
            if rounded is not None:
                return replace(_result(here, grad, n_iter, True, rounded.message, curve), stuck=True)
            message = f"no lower value within rounding with {_figures(here)}"
            return replace(_result(here, grad, n_iter, False, message, curve), stuck=True)
        there, grad_there = found
        model.update(there.params - here.params, grad_there - grad)
        here, grad, rescued, rounding = there, grad_there, False, composite.smooth.rounding
        if here.step <= MISLED and rescue is not None:
            model.restart(rescue(here.params))
        curve.append(here.value)
    return _result(here, grad, max_iter, False, f"max_iter = {max_iter} reached with {_figures(here)}", curve)


def _widened(composite: Composite, here: Trial, left: float) -> bool:
    """Whether the passes are preciser from here on: where rounding hides much, and preciser ones are to be had."""
    return left > WIDEN_ABOVE * abs(here.value) and composite.smooth.widen()


def _lower(
    composite: Composite, here: Trial, grad: Vector, target: Vector, rounding: float
) -> tuple[Trial, Vector] | None:
    """The longest of the steps 1, 1/2, 1/4, ... towards ``target`` that lowers ``F`` by its due.

    ``F(x + t d) <= F(x) + 1e-4 t D`` with ``D = g @ d + sum_j l1_j (|x_j + d_j| - |x_j|)``, or no more than rounding
    above ``F(x)``: near the minimum the decrease drowns in it, and the model knows better than the value.
    """
    x, direction = here.params, target - here.params
    # Coordinate by coordinate: two penalties are large beside what they differ by.
    due = float((grad * direction + composite.l1 * (np.abs(target) - np.abs(x))).sum())
    if not due < 0.0:
        return None
    noise = rounding * abs(here.value)
    # Where the gain to expect is about the rounding of the value, more trials would only roll dice.
    budget = MAX_TRIALS if -due > 20.0 * noise else 2
    step = 1.0
    for _ in range(budget):
        there, grad_there = composite.at(target if step == 1.0 else x + step * direction, step)
        wanted = here.value + max(SUFFICIENT_DECREASE * step * due, noise)
        if math.isfinite(there.value) and there.value <= wanted:
            return there, grad_there
        step *= 0.5
    return None


def _largest(here: Trial) -> float:
    return float(np.abs(here.grad).max(initial=0.0))


def _figures(here: Trial) -> str:
    return f"max |subgradient| = {_largest(here):.2g}"


def _result(
    here: Trial, grad: Vector, n_iter: int, converged: bool, message: str, curve: list[float], predicted: float = 0.0
) -> SolverResult:
    return SolverResult(
        here.params, here.value, here.grad, n_iter, converged, message, curve, smooth_grad=grad, predicted=predicted
    )
