"""Limited-memory BFGS with a strong Wolfe line search, started from a given model of the curvature.

Source: J. Nocedal and S. Wright, "Numerical Optimization" (2006), chapter 7; D. Liu and J. Nocedal, "On the limited
memory BFGS method for large scale optimization" (1989).
"""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy.linalg.blas import daxpy

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Metric, Objective, Observer, SolverResult
from gpu_logreg.solvers.criteria import Criterion, Optimality
from gpu_logreg.solvers.iteration_loop import PATIENCE, BeforeStep, Refresh, iterate
from gpu_logreg.solvers.line_search import MAX_TRIALS, Trial, strong_wolfe

__all__ = ["QuasiNewtonSteps", "lbfgs"]

EPS = float(np.finfo(np.float64).eps)

SURE_DECREASE = 10.0
"""Remaining decrease, in roundings of the value, from which on the line search has all its trials. Below, the outcome
of a trial is as much rounding as decrease, and more than two would only roll dice."""


class QuasiNewtonSteps:
    """Steps along ``-H^-1 grad`` by the two-loop recursion, from the last pairs of steps and gradient differences.

    With ``M`` the first model, ``M^-1 (v - sum_i alpha_i change_i)`` is taken as ``M^-1 v - sum_i alpha_i M^-1
    change_i``, and ``M^-1 change`` as the difference of two ``M^-1 grad``: one solution by ``M`` for every gradient.
    """

    measure = "max |grad|"
    exact = False
    keeps_model = False
    smooth_grad = None

    def __init__(
        self, objective: Objective, start: Float64Vector, metric: Metric | None, memory: int, tol: float
    ) -> None:
        self.objective = objective
        self.here = Trial(0.0, start, np.nan, 0.0, start)
        self._metric = metric
        self._tol = tol
        self._pairs: deque[tuple[Float64Vector, Float64Vector, Float64Vector, float]] = deque(maxlen=memory)
        self._scale = 1.0  # of the first model
        self._solved: Float64Vector | None = None  # M^-1 of the present gradient, once it is asked for
        self._direction = start

    def evaluate(self) -> None:
        """The present point by the passes as they are now; one read."""
        params = self.here.params
        value, grad = self.objective(params)
        self.here, self._solved = Trial(0.0, params, value, 0.0, grad), None

    def restart(self, model: Metric | None = None) -> None:
        """Forget the pairs, and take a new first model if one is given."""
        self._pairs.clear()
        self._scale = 1.0
        if model is not None:
            self._metric, self._solved = model, None

    def propose(self, n_iter: int = 0, renew: bool = False) -> float:
        """``-H^-1 grad`` as the next direction; half the squared Newton decrement."""
        grad = self.here.grad
        if self._solved is None:
            self._solved = grad if self._metric is None else self._metric.solve(grad)
        q, direction = grad.copy(), self._solved.copy()
        alphas = []
        for step, change, solved_change, rho in reversed(self._pairs):
            alpha = rho * float(step @ q)
            alphas.append(alpha)
            q = daxpy(change, q, a=-alpha)  # in place: of millions of parameters a temporary takes most of the time
            direction = daxpy(solved_change, direction, a=-alpha)
        direction *= self._scale
        for (step, change, _, rho), alpha in zip(self._pairs, reversed(alphas), strict=True):
            direction = daxpy(step, direction, a=alpha - rho * float(change @ direction))
        direction = -direction
        slope = float(grad @ direction)
        if slope >= 0.0 and self._pairs:  # rounding has spoilt the pairs
            self.restart()
            return self.propose()
        self._direction, self.here = direction, Trial(self.here.step, self.here.params, self.here.value, slope, grad)
        return -0.5 * slope

    def step(self, remaining: float) -> bool:
        """To a point along the direction that meets the strong Wolfe conditions, and a new pair."""
        return self._go(self._search(remaining, self.objective))

    def _sure(self, remaining: float) -> bool:
        """Whether the outcome of a trial is more than rounding."""
        return remaining > SURE_DECREASE * self.objective.rounding * abs(self.here.value)

    def _search(self, remaining: float, objective: Objective) -> Trial | None:
        """A point along the direction that meets the strong Wolfe conditions, if one is found."""
        here = self.here
        has_scale = self._pairs or self._metric is not None
        first = 1.0 if has_scale else min(1.0, 1.0 / float(np.abs(here.grad).sum()))
        begin = Trial(0.0, here.params, here.value, here.slope, here.grad)
        budget = MAX_TRIALS if self._sure(remaining) else 2
        return strong_wolfe(objective, begin, self._direction, first, budget=budget)

    def _go(self, there: Trial | None) -> bool:
        """Go to a point that a search has found, and learn a pair from it; false without one."""
        if there is None:
            return False
        here = self.here
        self.here, solved, self._solved = there, self._solved, None
        assert solved is not None
        step, change = there.params - here.params, there.grad - here.grad
        curvature = float(step @ change)
        if curvature <= EPS * float(np.linalg.norm(step) * np.linalg.norm(change)):
            return True  # rounding hides the curvature
        self._solved = there.grad if self._metric is None else self._metric.solve(there.grad)
        solved_change = self._solved - solved
        length = float(change @ solved_change)
        if length > 0.0:
            self._pairs.append((step, change, solved_change, 1.0 / curvature))
            self._scale = curvature / length
        return True

    def recover(self, remaining: float) -> bool:
        """The first model without pairs, which rounding may have spoilt; false without pairs."""
        had_pairs = bool(self._pairs)
        if had_pairs:
            self.restart()
        return had_pairs

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
    patience: int = PATIENCE,
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
    patience : int
        Iterations in which the remaining decrease may fail to halve, once it is rounding, before the fit is done.
    last_step : bool
        Whether to take, where ``tol`` is met, the step that the last gradient asks for, without evaluating its end:
        for a good metric, which makes its error a small part of the step. The gradient is that before it, the value is
        what the metric makes of it.
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
