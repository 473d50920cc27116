"""Newton's method with inexact steps, by products of the Hessian with vectors: for more parameters than a Hessian has
room for, and for fewer rows than columns.

At every point the system ``H s = -grad`` is solved by conjugate gradients to a part of the present remaining decrease
that shrinks with it, so that few products are spent far from the optimum and the last steps converge superlinearly.

Sources: R. Dembo and T. Steihaug, "Truncated-Newton algorithms for large-scale unconstrained optimization" (1983);
C.-J. Lin, R. Weng and S. Keerthi, "Trust region Newton method for large-scale logistic regression" (2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Metric, Objective, Observer, SolverResult
from gpu_logreg.solvers.conjugate_gradients import InexactStep, conjugate_gradients
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL, Criterion, Optimality
from gpu_logreg.solvers.iteration_loop import iterate
from gpu_logreg.solvers.line_search import MAX_TRIALS, Trial, strong_wolfe
from gpu_logreg.solvers.wrapped import Wrapped

__all__ = ["CurvedObjective", "newton_cg"]

LARGEST_FORCING = 0.1
"""Share of the remaining decrease that a step may leave, far from the optimum."""

LAST_SHARE = 0.5
"""Share of the decrease to end with that no step needs to be more exact than."""

MOST_PRODUCTS = 250
"""Products for one step; where more would be needed the metric is bad, and another point may have a better one."""

SURE_DECREASE = 10.0
"""Remaining decrease, in roundings of the value, from which on the line search has all its trials."""


class Hessian(Protocol):
    """The Hessian at a point."""

    def __matmul__(self, v: Float64Vector, /) -> Float64Vector:
        """``H v``."""

    def diagonal(self) -> Float64Vector:
        """The diagonal."""


class CurvedObjective(Objective, Protocol):
    """An objective with products of its Hessian."""

    def with_curvature(self, params: Float64Vector, /) -> tuple[float, Float64Vector, Any]:
        """Value, gradient and `Hessian` at ``params``."""

    def curvature_at(self, params: Float64Vector, /) -> Any:
        """The `Hessian` at ``params``."""


MetricAt = Callable[[Float64Vector, Any, InexactStep | None], Metric]
"""From a point, the `Hessian` there, and the last step with what its preconditioner was worth, to a preconditioner."""


class _Curved(Wrapped):
    """The objective of a line search, which keeps the Hessian at the last point that it was asked for."""

    objective: CurvedObjective

    def __init__(self, objective: CurvedObjective) -> None:
        self.objective = objective
        self._last: tuple[Float64Vector, Any] | None = None

    def __call__(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient."""
        value, grad, hessian = self.objective.with_curvature(params)
        self._last = params, hessian
        return value, grad

    def hessian_at(self, params: Float64Vector) -> Any:
        """The Hessian, for no further read where ``params`` is the last point."""
        if self._last is not None and self._last[0] is params:
            return self._last[1]
        return self.objective.curvature_at(params)


class _InexactSteps:
    """Steps by conjugate gradients; see `gpu_logreg.solvers.iteration_loop.Steps`."""

    measure = "max |grad|"
    exact = True
    keeps_model = False
    smooth_grad = None

    def __init__(
        self, objective: CurvedObjective, start: Float64Vector, metric_at: MetricAt | None, tol: float
    ) -> None:
        self.objective: Objective = objective
        self.here = Trial(0.0, start, math.nan, 0.0, start)
        self._curved = _Curved(objective)
        self._metric_at, self._tol = metric_at, tol
        self._solved: InexactStep | None = None
        self._before: InexactStep | None = None
        self._smallest = math.inf  # eigenvalue of the preconditioned Hessian, at all points so far
        self._expected = math.inf  # remaining decrease at the present point, before anything is known of it

    def evaluate(self) -> None:
        """The present point by the passes as they are now; one read."""
        params = self.here.params
        value, grad = self._curved(params)
        self.here, self._solved = Trial(0.0, params, value, 0.0, grad), None

    def restart(self, model: Any = None) -> None:
        """Solve the present system anew."""
        self._solved = None

    def propose(self, n_iter: int = 0, renew: bool = False) -> float:
        """An inexact Newton step; the decrease by the model, and what its further iterations would add."""
        if self._solved is None:
            here, size = self.here, max(abs(self.here.value), 1e-300)
            hessian = self._curved.hessian_at(here.params)
            metric = None if self._metric_at is None else self._metric_at(here.params, hessian, self._before)
            forcing = min(LARGEST_FORCING, math.sqrt(min(1.0, self._expected / size)))
            enough = LAST_SHARE * DECREASE_PER_TOL * self._tol * size
            ends = forcing, MOST_PRODUCTS, enough, self._smallest
            found = conjugate_gradients(hessian.__matmul__, -here.grad, metric, *ends)
            self._solved, self._before, self._smallest = found, found, found.smallest
            self.here = here._replace(slope=float(here.grad @ found.step))
        return self._solved.decrease + self._solved.left

    def step(self, remaining: float) -> bool:
        """To a point along the step that meets the strong Wolfe conditions."""
        here, solved = self.here, self._solved
        assert solved is not None
        if not here.slope < 0.0:
            return False
        budget = MAX_TRIALS if remaining > SURE_DECREASE * self.objective.rounding * abs(here.value) else 2
        there = strong_wolfe(self._curved, here._replace(step=0.0), solved.step, 1.0, budget=budget)
        if there is None:
            return False
        # The next step has to mend what this one has left, and what the model has missed.
        self._expected = solved.left + abs(here.value - there.value - solved.decrease)
        self.here, self._solved = there, None
        return True

    def recover(self, remaining: float) -> bool:
        """False: there is no other model."""
        return False

    def step_unseen(self) -> float | None:
        """The whole step, and its decrease; not from where ``tol`` is not met."""
        here, solved = self.here, self._solved
        if solved is None or float(np.abs(here.grad).max(initial=0.0)) > self._tol:
            return None
        self.here = here._replace(params=here.params + solved.step, value=here.value - solved.decrease)
        return solved.decrease

    def figures(self) -> str:
        """The largest gradient and ``tol``."""
        return f"max |grad| = {float(np.abs(self.here.grad).max(initial=0.0)):.2g}, tol = {self._tol:g}"


def newton_cg(
    objective: CurvedObjective,
    start: Float64Vector,
    *,
    tol: float,
    max_iter: int,
    metric_at: MetricAt | None = None,
    observer: Observer | None = None,
    criterion: Criterion | None = None,
) -> SolverResult:
    """Minimise a smooth convex objective by inexact Newton steps.

    Parameters
    ----------
    objective : CurvedObjective
    start : ndarray of shape (p,)
    tol : float
        As for `gpu_logreg.solvers.lbfgs.lbfgs`.
    max_iter : int
        Largest number of steps.
    metric_at : MetricAt, optional
        The preconditioner of a point; the identity if None.
    observer, criterion
        As for `gpu_logreg.solvers.lbfgs.lbfgs`.
    """
    return iterate(
        _InexactSteps(objective, start, metric_at, tol),
        criterion=Optimality(objective, tol) if criterion is None else criterion,
        max_iter=max_iter,
        observer=observer,
        last_step=True,
    )
