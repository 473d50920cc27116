"""Steps on all rows by the curvature of a sample: L-BFGS, and where a few rows show it to be wrong, a model with them.

The solution of a sample of m rows is expected about ``p / (2 m)`` above the minimum, and from there on whole steps by
its Hessian are taken. Both fail where a few heavy rows carry the curvature along some direction: the sample has none of
them or makes one stand for many, and a quadratic model of their loss holds for short steps only. Then, once, rows are
weighed, and if there are heavy ones steps go on by `gpu_logreg.solvers.heavy_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Metric, Objective
from gpu_logreg.solvers.heavy_rows import HeavyModel
from gpu_logreg.solvers.iteration_loop import NO_LOWER
from gpu_logreg.solvers.lbfgs import QuasiNewtonSteps
from gpu_logreg.solvers.line_search import CURVATURE, Trial, strong_wolfe

__all__ = ["SampledSteps"]


CUT = 0.2
"""Share of the whole step that is so short as to show that the model has too little curvature."""


class SampledSteps(QuasiNewtonSteps):
    """As L-BFGS, until a step shows that the sample has misled.

    Parameters
    ----------
    objective, start, metric, memory, tol
        As for L-BFGS.
    origin : tuple of ndarray of shape (p,) and float
        Where the solution of the sample began, and about the value there: a better start, if the sample has misled.
    doubtful : float
        Remaining decrease at the start from which on the sample has misled.
    heavy_model : function params -> HeavyModel or None
        Weighs the rows; None where none is heavy. None if rows are not to be weighed.
    """

    def __init__(
        self,
        objective: Objective,
        start: Float64Vector,
        metric: Metric,
        memory: int,
        tol: float,
        origin: tuple[Float64Vector, float],
        doubtful: float,
        heavy_model: Callable[[Float64Vector], HeavyModel | None] | None,
    ) -> None:
        super().__init__(objective, start, metric, memory, tol)
        self._origin, self._doubtful = origin, doubtful
        self._heavy_model = heavy_model
        self._model: HeavyModel | None = None

    def _turn(self) -> bool:
        """Whether there are heavy rows, for the model of the next steps; asked once."""
        if self._heavy_model is None:
            return False
        self._model, self._heavy_model = self._heavy_model(self.here.params), None
        return self._model is not None

    def _turn_at_the_start(self) -> bool:
        """As `_turn`, from where the solution of the sample began if that is lower."""
        if self._heavy_model is None:
            return False
        sampled = self.here
        origin, about = self._origin
        if about < sampled.value:
            value, grad = self.objective(origin)
            if value < sampled.value:
                self.here = Trial(0.0, origin, value, 0.0, grad)
        if not self._turn():
            self.here = sampled
        return self._model is not None

    def restart(self, model: Any = None) -> None:
        """Forget what steps have taught, and take a new matrix or metric if one is given."""
        if self._model is None:
            super().restart(model)
        else:
            self._model.restart(model)

    def propose(self, n_iter: int = 0, renew: bool = False) -> float:
        """The next direction; half the decrease by its slope."""
        if self._model is None:
            remaining = super().propose(n_iter, renew)
            if n_iter > 0 or not remaining > self._doubtful or not self._turn_at_the_start():
                return remaining
        assert self._model is not None
        here = self.here
        model = self._model
        while True:
            self._direction = model.way(here.params, here.grad)
            self.here = here._replace(slope=float(here.grad @ self._direction))
            remaining = -0.5 * self.here.slope
            if remaining <= abs(here.value) or not model.stiffen():  # no loss falls below zero
                break
        return max(remaining, abs(here.value)) if model.blind or model.damped else remaining

    def step(self, remaining: float) -> bool:
        """As L-BFGS, but for what the step teaches; where the whole one is refused, rows are weighed first."""
        if self._model is None:
            if self._heavy_model is None or not self._sure(remaining):
                return super().step(remaining)
            kept = _Kept(self.objective)
            if self._accepts(kept) or not self._turn():
                return self._go(self._search(remaining, kept))
            remaining = self.propose()
        before = self.here
        if not before.slope < 0.0:
            return False
        there = self._search(remaining, self.objective)
        if there is None:
            return False
        assert self._model is not None
        if there.step < CUT:
            self._model.stiffen()
        elif there.step >= 1.0:
            self._model.soften()
        self._model.learn((before.params, before.grad), (there.params, there.grad))
        self.here = there
        return True

    def _accepts(self, kept: Objective) -> bool:
        """Whether the whole step meets the strong Wolfe conditions."""
        here = self.here
        there = strong_wolfe(kept, here._replace(step=0.0), self._direction, 1.0, budget=1)
        return there is not None and abs(there.slope) <= -CURVATURE * here.slope

    def recover(self, remaining: float) -> bool:
        """The model that was given, and if steps have not changed it a stiffer one; false where there is none."""
        if self._model is None:
            return super().recover(remaining)
        if self._model.updated:
            self._model.restart()
            return True
        return remaining > NO_LOWER * abs(self.here.value) and self._model.stiffen()


class _Kept:
    """An objective that keeps its value and gradient at the last point."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.rounding = objective.rounding  # at the point that steps leave
        self._last: tuple[Float64Vector, tuple[float, Float64Vector]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def __call__(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient; no read where ``params`` is the last point."""
        if self._last is None or not np.array_equal(self._last[0], params):
            self._last = params, self._objective(params)
        return self._last[1]
