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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import l1_penalty, subgradient
from gpu_logreg.solvers import Objective
from gpu_logreg.solvers.coordinate_descent import FORCING, model_minimum
from gpu_logreg.solvers.heavy_composite import CompositeDoubt, HeavyCompositeModel
from gpu_logreg.solvers.iteration_loop import NO_LOWER, Refresh
from gpu_logreg.solvers.line_search import MAX_TRIALS, SUFFICIENT_DECREASE, Trial
from gpu_logreg.solvers.quadratic_model import Minimum, QuadraticModel, Root

__all__ = ["Composite", "Point", "ProximalSteps"]

MISLED = 0.125
"""Share of the whole step that is so short as to show that the matrix is far from the curvature."""

DOUBTED = 0.25
"""Share of the whole step that is so short as to be cause for doubt, where it is the second so short: the first may be
mended by a matrix from more rows. Then rows are weighed."""

SURE_DUE = 20.0
"""Decrease that is due, in roundings of the value, from which on the search has all its trials: below, the outcome of a
trial is as much rounding as decrease, and more than two would only roll dice. Twice that of L-BFGS, as ``D`` is twice
the remaining decrease of a quadratic."""

WITH_HEAVY = 1e-5
"""Largest subgradient of a model that knows the heavy rows at its minimum, relative to that at its start."""


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


class ProximalSteps:
    """Steps to minima of a model of the curvature plus the penalty."""

    measure = "max |subgradient|"
    keeps_model = True  # a new matrix would begin all over with what was added to the present one

    def __init__(
        self,
        composite: Composite,
        start: Float64Vector,
        H: Any,
        exact_at: Refresh | None,
        rescue: Callable[[Float64Vector], Any] | None,
        forcing: float,
        doubt: CompositeDoubt | None = None,
    ) -> None:
        self.objective = composite.smooth
        self.exact = composite.few_rows
        self._composite = composite
        self._model = QuadraticModel(H, composite.ridge, composite.few_rows)
        self._exact_at = exact_at
        self._rescue = rescue
        self._rescued = False
        self._forcing = forcing
        self._doubt, self._n_misled = doubt, 0
        self._heavy: HeavyCompositeModel | None = None
        self._target = start
        self.here = Trial(0.0, start, math.nan, math.nan, start)
        self._seen_at: Float64Vector | None = None
        self.smooth_grad = self._subgrad = start

    @property
    def matrix(self) -> Any:
        """The model's, with all that steps have taught."""
        return self._model.matrix

    @property
    def seen_at(self) -> Float64Vector:
        """Where `smooth_grad` was taken: the present point, or that before a last step that was not evaluated."""
        return self.here.params if self._seen_at is None else self._seen_at

    def evaluate(self) -> None:
        """The present point by the passes as they are now; one read."""
        self.here, self.smooth_grad, self._subgrad = self._composite.at(self.here.params, 0.0)
        self._rounding = self.objective.rounding  # at this point, and not where steps were tried in vain

    def restart(self, model: Any = None) -> None:
        """Forget the updates of the matrix, and take a new one if one is given."""
        (self._heavy or self._model).restart(model)

    def _turn(self) -> bool:
        """Weigh the rows, once, and go by the model that knows the heavy ones; false where there are none."""
        doubt, self._doubt = self._doubt, None
        self._heavy = None if doubt is None else doubt.heavy_model(self.here.params)
        return self._heavy is not None

    def propose(self, n_iter: int, renew: bool) -> float:
        """The minimum of the model as the next target; the decrease there, of which too much is a cause for doubt."""
        remaining = self._propose(n_iter, renew)
        doubt = self._doubt
        if n_iter > 0 or doubt is None or remaining <= doubt.remaining:
            return remaining
        sampled = self.here, self.smooth_grad, self._subgrad
        if doubt.value_at_origin < self.here.value:
            origin = self._composite.at(doubt.origin, 0.0)
            if origin.here.value < self.here.value:
                self.here, self.smooth_grad, self._subgrad = origin
        if self._turn():
            return self._propose(n_iter, renew)
        self.here, self.smooth_grad, self._subgrad = sampled
        return remaining

    def _propose(self, n_iter: int, renew: bool) -> float:
        if self._heavy is not None:
            self._target, decrease = self._minimum(self._forcing)
            return decrease
        if renew and self._exact_at is not None:
            exact = self._exact_at(self.here, math.nan)
            if exact is not None:
                self._model.restart(exact)
                self._model.root = self._composite.root if n_iter >= self._composite.late else None
        self._target, decrease = self._minimum(self._forcing)
        if self._model.any_flat:
            target, x, l1 = self._target, self.here.params, self._composite.l1
            self._target = self._model.along_flat(target, self.smooth_grad, x, l1)
        return decrease

    def _minimum(self, forcing: float) -> Minimum:
        """The minimum of the model, which is made stiffer while it falls by more than the value can."""
        model, grad, x, l1 = self._model, self.smooth_grad, self.here.params, self._composite.l1
        if self._heavy is not None:
            return self._heavy.target(x, self.here.value, grad, min(forcing, WITH_HEAVY))
        while True:
            target, decrease = model_minimum(model.matrix, grad, x, l1, forcing, subgrad=self._subgrad)
            if model.root is not None and model.wants_root():
                target, decrease = model.minimum_by_root((target, decrease), model.root(x), grad, x, l1)
            if decrease <= abs(self.here.value) or not model.stiffen():  # no loss falls below zero
                return target, math.inf if math.isnan(decrease) else decrease

    def step(self, remaining: float) -> bool:
        """To the longest of the steps 1, 1/2, 1/4, ... towards the target that lowers ``F`` by its due.

        ``F(x + t d) <= F(x) + 1e-4 t D`` with ``D = g @ d + sum_j l1_j (|x_j + d_j| - |x_j|)``, or no more than
        rounding above ``F(x)``: near the minimum the decrease drowns in it, and the model knows better than the value.
        """
        here, target, l1 = self.here, self._target, self._composite.l1
        direction = target - here.params
        # Coordinate by coordinate: two penalties are large beside what they differ by.
        due = float((self.smooth_grad * direction + l1 * (np.abs(target) - np.abs(here.params))).sum())
        if not due < 0.0:
            return False
        noise = self._rounding * abs(here.value)
        t = 1.0
        for _ in range(MAX_TRIALS if -due > SURE_DUE * noise else 2):
            there, grad, subgrad = self._composite.at(target if t == 1.0 else here.params + t * direction, t)
            highest = here.value + max(SUFFICIENT_DECREASE * t * due, noise)
            if math.isfinite(there.value) and there.value <= highest:
                break
            t *= 0.5
            if t == DOUBTED:
                self._n_misled += 1
                if self._doubt is not None and self._n_misled > 1 and self._turn():
                    return self.step(self._propose(1, False))
        else:
            return False
        change = grad - self.smooth_grad
        before = here._replace(grad=self.smooth_grad)
        self.here, self.smooth_grad, self._subgrad = there, grad, subgrad
        self._rounding = self.objective.rounding
        self._rescued = False
        if self._heavy is not None:
            self._heavy.learn(before, there._replace(step=t, grad=grad))
            return True
        self._model.update(there.params - here.params, change)
        if t <= MISLED and self._rescue is not None:
            self._model.restart(self._rescue(there.params))
        return True

    def recover(self, remaining: float) -> bool:
        """The matrix that was given, since updates may be spoilt by rounding; then a better one; then a stiffer one."""
        if self._heavy is not None:
            return self._heavy.recover(self.here, remaining)
        if self._model.n_updates:
            self._rescued = False
            self._model.restart()
            return True
        if self._rescue is not None and not self._rescued:
            self._rescued = True
            self._model.restart(self._rescue(self.here.params))
            return True
        return remaining > NO_LOWER * abs(self.here.value) and self._model.stiffen()

    def step_unseen(self) -> float | None:
        """To the minimum of the model, found as well as exact zeros ask for, and its decrease."""
        here = self.here
        target, decrease = self._minimum(FORCING)
        if not math.isfinite(decrease):
            return None
        if self._model.root is not None:  # the way along next to no curvature may be longer than the model is good for
            there = self._composite.at(target, 1.0).here
            if not there.value <= here.value * (1.0 + self._rounding):
                return None
        self._seen_at = here.params
        self.here = here._replace(params=target, value=here.value - decrease)
        return decrease

    def figures(self) -> str:
        """The largest subgradient."""
        return f"max |subgradient| = {float(np.abs(self.here.grad).max(initial=0.0)):.2g}"
