"""Limited-memory BFGS with a strong Wolfe line search, started from a given model of the curvature.

Source: J. Nocedal and S. Wright, "Numerical Optimization" (2006), chapter 7; D. Liu and J. Nocedal, "On the limited
memory BFGS method for large scale optimization" (1989).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Metric, Objective, Observer, SolverResult
from gpu_logreg.solvers.criteria import Criterion, Optimality
from gpu_logreg.solvers.doubt import Doubt
from gpu_logreg.solvers.iteration_loop import PATIENCE, BeforeStep, Patience, Refresh, iterate
from gpu_logreg.solvers.line_search import MAX_TRIALS, Trial, strong_wolfe
from gpu_logreg.solvers.pairs import Pairs
from gpu_logreg.solvers.sampled_model import SampledModel
from gpu_logreg.solvers.wide_pairs import WidePairs

__all__ = ["QuasiNewtonSteps", "lbfgs"]

SURE_DECREASE = 10.0
"""Remaining decrease, in roundings of the value, from which on the line search has all its trials. Below, the outcome
of a trial is as much rounding as decrease, and more than two would only roll dice."""


class Model(Protocol):
    """A model of the curvature, which gives directions and learns from steps.

    Attributes
    ----------
    has_scale : bool
        Whether the whole step is the one to try first.
    """

    @property
    def has_scale(self) -> bool: ...

    def propose(self, here: Trial) -> tuple[Float64Vector, float, float]:
        """A direction from a point, the slope along it, and the remaining decrease."""

    def learn(self, before: Trial, after: Trial) -> None:
        """Correct the model by a step between two points."""

    def restart(self, model: Any = None) -> None:
        """Forget what steps have taught, and take a new first model if one is given."""

    def recover(self, here: Trial, remaining: float) -> bool:
        """Change at a point from which no step led lower; false where there is nothing to change."""


class QuasiNewtonSteps:
    """Steps by a model that learns from them: pairs, and where doubt finds heavy rows the model that knows these."""

    measure = "max |grad|"
    exact = False
    keeps_model = False
    smooth_grad = None

    def __init__(
        self,
        objective: Objective,
        start: Float64Vector,
        metric: Metric | None,
        memory: int,
        tol: float,
        doubt: Doubt | None = None,
    ) -> None:
        self.objective = objective
        self.here = Trial(0.0, start, np.nan, 0.0, start)
        self._model: Model = (WidePairs if len(start) >= wide_vectors.LEAST_WIDE else Pairs)(metric, memory)
        self._direction = start
        self._left: Trial | None = None  # the point that the last step has left, until the model learns from it
        self._tol = tol
        self._doubt = doubt

    def evaluate(self) -> None:
        """The present point by the passes as they are now; one read."""
        value, grad = self.objective(self.here.params)
        self.here = Trial(0.0, self.here.params, value, 0.0, grad)

    def restart(self, model: Any = None) -> None:
        """Forget what steps have taught, and take a new first model, or another kind of model, if one is given."""
        if isinstance(model, SampledModel):
            self._model = model
        else:
            self._model.restart(model)

    def recover(self, remaining: float) -> bool:
        """Whether the model has something to change where no lower value was found."""
        return self._model.recover(self.here, remaining)

    def propose(self, n_iter: int = 0, renew: bool = False) -> float:
        """The next direction; the remaining decrease. Too much of it at the start is a cause for doubt."""
        remaining = self._propose()
        if n_iter == 0 and self._doubt is not None and remaining > self._doubt.remaining:
            sampled = self.here
            self.here = self._doubt.start(sampled)
            if self._turn():
                return self._propose()
            self.here = sampled
        return remaining

    def _propose(self) -> float:
        """The next direction, by the model as it is after the last step."""
        if self._left is not None:
            self._model.learn(self._left, self.here)
            self._left = None
        self._direction, slope, remaining = self._model.propose(self.here)
        self.here = self.here._replace(slope=slope)
        return remaining

    def _turn(self) -> bool:
        """Whether there are heavy rows: steps go on by the model that knows them then. Asked once."""
        assert self._doubt is not None
        model = self._doubt.heavy_model(self.here.params)
        self._doubt = None
        if model is None:
            return False
        self._model = model
        return True

    def step(self, remaining: float) -> bool:
        """To a point along the direction that meets the strong Wolfe conditions, from which the model learns."""
        model = self._model
        there = self._search(remaining)
        if self._model is not model:  # the whole step was refused, and there are heavy rows
            there = self._search(self._propose())
        if there is None:
            return False
        self._left, self.here = self.here, there
        return True

    def _search(self, remaining: float) -> Trial | None:
        """The end of the step, if one is found; a whole step that is refused is a cause for doubt."""
        here, objective = self.here, self.objective
        if not here.slope < 0.0:
            return None
        first = 1.0 if self._model.has_scale else min(1.0, 1.0 / float(np.abs(here.grad).sum()))
        begin = Trial(0.0, here.params, here.value, here.slope, here.grad)
        sure = remaining > SURE_DECREASE * objective.rounding * abs(here.value)
        budget, doubt = MAX_TRIALS if sure else 2, self._doubt if sure else None
        if isinstance(self._model, SampledModel):
            return self._model.search(objective, begin, self._direction, budget)

        def is_refused(trial: Trial) -> bool:
            return doubt is not None and doubt.is_cast(remaining, here.slope, trial.slope) and self._turn()

        return strong_wolfe(objective, begin, self._direction, first, budget=budget, refused=is_refused)

    def step_unseen(self) -> float | None:
        """The whole step, and its decrease by the model; not from where ``tol`` is not met."""
        here = self.here
        if float(np.abs(here.grad).max(initial=0.0)) > self._tol:
            return None
        decrease = -0.5 * here.slope
        self.here = here._replace(params=here.params + self._direction, value=here.value - decrease)
        return decrease

    def figures(self) -> str:
        """The largest gradient and ``tol``."""
        return f"max |grad| = {float(np.abs(self.here.grad).max(initial=0.0)):.2g}, tol = {self._tol:g}"


def lbfgs(
    objective: Objective,
    start: Float64Vector,
    *,
    tol: float = 1e-6,
    max_iter: int = 1000,
    memory: int = 10,
    metric: Metric | None = None,
    observer: Observer | None = None,
    criterion: Criterion | None = None,
    refresh: Refresh | None = None,
    patience: int | Patience = PATIENCE,
    last_step: bool = False,
    before_step: BeforeStep | None = None,
) -> SolverResult:
    """Minimise a smooth convex objective.

    Stops when ``max |grad| <= tol`` and the remaining decrease by the model, ``grad @ H^-1 grad / 2``, is at most
    ``1e-3 tol`` of the value; when it is below the rounding of a float64 value; or when it no longer falls and is below
    the rounding of one row.

    Parameters
    ----------
    objective : Objective
        ``params -> (value, grad)``; one evaluation per trial step.
    start : ndarray of shape (p,)
    tol : float
    max_iter : int
    memory : int
        Pairs of steps and gradient differences that are kept.
    metric : Metric, optional
        First model of the curvature; the identity if None. With it the first step is tried at full length.
    observer : Observer, optional
        Called after every iteration; a true answer stops the solver.
    criterion : Criterion, optional
        Another stopping criterion than the one above.
    refresh : Refresh, optional
        Asked before every step for a better model of the curvature.
    patience : int or Patience
        Iterations in which the remaining decrease may fail to halve, once it is rounding, before the fit is done.
    last_step : bool
        Whether to take, where ``tol`` is met, the step that the last gradient asks for without evaluating its end, for
        a good metric. The gradient is that before it, the value what the metric makes of it.
    before_step : BeforeStep, optional

    Returns
    -------
    SolverResult
    """
    return iterate(
        QuasiNewtonSteps(objective, start, metric, memory, tol),
        criterion=Optimality(objective, tol) if criterion is None else criterion,
        max_iter=max_iter,
        refresh=refresh,
        observer=observer,
        patience=patience,
        last_step=last_step,
        before_step=before_step,
    )
