"""Limited-memory BFGS with a strong Wolfe line search, started from a given model of the curvature.

Source: J. Nocedal and S. Wright, "Numerical Optimization" (2006), chapter 7; D. Liu and J. Nocedal, "On the limited
memory BFGS method for large scale optimization" (1989).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.linalg.blas import daxpy

from gpu_logreg.solvers import Iteration, Metric, Objective, Observer, SolverResult, Stop, Vector, stop_at
from gpu_logreg.solvers.line_search import MAX_TRIALS, Trial, strong_wolfe

__all__ = [
    "DECREASE_PER_TOL",
    "VALUE_ROUNDING",
    "WIDEN_ABOVE",
    "BeforeStep",
    "Criterion",
    "Refresh",
    "Stagnation",
    "lbfgs",
    "optimal",
    "widen_for_the_last",
]

DECREASE_PER_TOL = 1e-3
"""Besides ``max |grad| <= tol``, what is left to gain must be below this times ``tol``, relative to the value."""


PATIENCE = 20
"""Iterations without progress, at the rounding of the arithmetic, after which a fit is done."""

NO_LOWER = 1e-12
"""Where no lower value is found along the steepest descent of the metric, and no more than this is left to gain,
relatively, it is rounding that hides it."""

WIDEN_ABOVE = 1e-10
"""Where more than this is left to gain, relatively, when rounding ends the progress, the passes are made preciser."""

VALUE_ROUNDING = 2e-9
"""`Objective.rounding` up to which a value passes for exact: it is an upper estimate, of which less than half was seen
in trials on float32 rows; no row is kept."""

Criterion = Callable[[Trial, float], Stop | None]
"""From a point and what is left to gain there to a reason to stop, or None."""

Refresh = Callable[[Trial, float], Metric | None]
"""From a point and what is left to gain there to a better model of the curvature, or None to keep the present one."""

BeforeStep = Callable[[Trial, float], bool]
"""Told a point and what is left to gain there before a step leaves it; whether it has made the passes preciser."""


class _InverseHessian:
    """The two-loop recursion: ``H^-1 v`` from the last pairs of steps and gradient differences.

    With ``M`` the first model, ``M^-1 (v - sum_i alpha_i change_i)`` is taken as ``M^-1 v - sum_i alpha_i M^-1
    change_i``, and ``M^-1 change`` as the difference of two ``M^-1 grad``: one solution by ``M`` for every gradient.
    """

    def __init__(self, metric: Metric | None, memory: int) -> None:
        self._metric = metric
        self._pairs: deque[tuple[Vector, Vector, Vector, float]] = deque(maxlen=memory)
        self._scale = 1.0
        self._solved: tuple[Vector, Vector] | None = None

    def __len__(self) -> int:
        return len(self._pairs)

    def _solve_metric(self, grad: Vector) -> Vector:
        """``M^-1 grad``; that of the last gradient is remembered."""
        if self._metric is None:
            return grad
        if self._solved is None or self._solved[0] is not grad:
            self._solved = grad, self._metric.solve(grad)
        return self._solved[1]

    def restart(self, metric: Metric | None = None) -> None:
        """Forget the pairs, and take a new first model if one is given."""
        self._pairs.clear()
        self._scale = 1.0
        if metric is not None:
            self._metric = metric
            self._solved = None

    def update(self, step: Vector, before: Vector, after: Vector) -> None:
        """Learn the gradients before and after ``step``; skipped where rounding hides the curvature."""
        change = after - before
        curvature = float(step @ change)
        if curvature <= np.finfo(np.float64).eps * float(np.linalg.norm(step) * np.linalg.norm(change)):
            return
        solved = self._solve_metric(before)
        solved = self._solve_metric(after) - solved
        length = float(change @ solved)
        if not length > 0.0:
            return
        self._pairs.append((step, change, solved, 1.0 / curvature))
        self._scale = curvature / length

    def solve(self, grad: Vector) -> Vector:
        """``H^-1 grad``."""
        q, solved = grad.copy(), self._solve_metric(grad).copy()
        alphas = []
        for step, change, solved_change, rho in reversed(self._pairs):
            alpha = rho * float(step @ q)
            alphas.append(alpha)
            q = daxpy(change, q, a=-alpha)  # in place: of millions of parameters a temporary takes most of the time
            solved = daxpy(solved_change, solved, a=-alpha)
        solved *= self._scale
        for (step, change, _, rho), alpha in zip(self._pairs, reversed(alphas), strict=True):
            solved = daxpy(step, solved, a=alpha - rho * float(change @ solved))
        return solved


PLATEAU, PLATEAU_FALL = 50, 1e-10
"""Steps in which a value must fall by that share of it."""

ROUNDED_PLATEAU = 15
"""The same steps where no more is left to gain than the rounding of the value, by its own estimate."""


class Stagnation:
    """Notices that what is left to gain no longer falls because it has reached the rounding of the arithmetic.

    That rounding is `Objective.rounding`, of a value, and at most `Objective.precision`, of one row.

    With ``exact`` curvature at every point the value itself tells: after `PLATEAU` steps that have not lowered it they
    only stir its rounding, which is far above that of a row where logits are sums of large terms that cancel.
    """

    def __init__(self, objective: Objective, patience: int, name: str = "max |grad|", exact: bool = False) -> None:
        self._objective = objective
        self._name = name
        self._patience = patience
        self._exact = exact
        self._least = self._lowest = self._last = np.inf
        self._count = self._level = 0

    def __call__(self, here: Trial, left: float) -> Stop | None:
        """The stop, once what is left to gain has not halved for so many iterations and is rounding."""
        self._count = self._count + 1 if left > 0.5 * self._least else 0
        self._least = min(left, self._least)
        moved = here.value != self._last
        self._last = here.value
        lower = not here.value >= self._lowest - PLATEAU_FALL * abs(self._lowest)
        self._level = 0 if lower else self._level + int(moved)
        self._lowest = here.value if lower else self._lowest
        most = PLATEAU if left > self._objective.rounding * abs(here.value) else ROUNDED_PLATEAU
        if self._exact and self._level >= most and left <= PLATEAU_FALL * abs(here.value):
            return Stop(f"the value has not fallen by {PLATEAU_FALL:.0e} of it in {most} steps", True, True)
        return self.reached(here, left) if self._count >= self._patience else None

    def reached(self, here: Trial, left: float, least: float = 0.0) -> Stop | None:
        """The stop if what is left to gain is rounding, or at most ``least``, whether or not it has stopped to fall."""
        rounding = max(least, min(self._objective.rounding, self._objective.precision))
        if min(left, self._least) > rounding * abs(here.value):
            return None
        return Stop(
            f"what is left to gain, {left:.2g}, no longer falls: it is the rounding of the passes "
            f"({self._name} = {float(np.abs(here.grad).max(initial=0.0)):.2g})",
            True,
            True,
        )


def lbfgs(
    objective: Objective,
    start: Vector,
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

    Stops when ``max |grad| <= tol`` and the model's estimate of what is left to gain, ``grad @ H^-1 grad / 2``, is at
    most ``1e-3 tol`` of the value; when that estimate is below the rounding of a float64 value; or when it no longer
    falls and is below the rounding of one row.

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
        Iterations for which what is left to gain may fail to halve, once it is rounding, before the fit is done.
    last_step : bool
        Whether to take, where ``tol`` is met, the step that the last gradient asks for, without evaluating its end:
        for a good metric, which makes its error a small part of the step. The gradient is that before it, the value is
        what the metric makes of it.
    before_step : BeforeStep, optional

    Returns
    -------
    SolverResult
    """
    met_at = optimal(objective, tol) if criterion is None else criterion
    stagnation = Stagnation(objective, patience)
    model = _InverseHessian(metric, memory)
    predicted = 0.0
    value, grad = objective(start)
    here = Trial(0.0, start, value, 0.0, grad)
    curve = [value]
    for n_iter in range(max_iter + 1):
        direction, slope = _descent(model, here)
        met = met_at(here, -0.5 * slope)
        precision = objective.precision
        better = None if refresh is None or met is not None or n_iter == max_iter else refresh(here, -0.5 * slope)
        if better is not None:
            model.restart(better)
            if objective.precision != precision:  # the passes were widened for it, and the value here is from before
                here = _evaluated(objective, here)
            direction, slope = _descent(model, here)
            met = met_at(here, -0.5 * slope)
        if met is None:
            met = stagnation(here, -0.5 * slope)
            wider = _widened(objective, here, -0.5 * slope) if met is not None and n_iter < max_iter else None
            if wider is not None:
                here, stagnation = wider, Stagnation(objective, patience)
                model.restart()
                curve.append(here.value)
                continue
        may_step = last_step and max_iter > 0
        if may_step and met is not None and met.converged and float(np.abs(here.grad).max(initial=0.0)) <= tol:
            predicted = -0.5 * slope
            here = here._replace(params=here.params + direction, value=here.value - predicted)
            curve[-1] = here.value
        last = met is not None or n_iter == max_iter
        if n_iter > 0 and _observe(observer, n_iter, here, -0.5 * slope, last):
            return _result(here, n_iter, False, "stopped by a callback", curve)
        if met is not None:
            ended = _result(here, n_iter, met.converged, met.message, curve, predicted)
            return replace(ended, stuck=met.by_rounding)
        if n_iter == max_iter:
            break
        widened = before_step is not None and before_step(here, -0.5 * slope)
        first_step = 1.0 if len(model) or metric is not None else min(1.0, 1.0 / float(np.abs(here.grad).sum()))
        # Where the gain to expect is about the rounding of the value, more trials would only roll dice.
        budget = MAX_TRIALS if -0.5 * slope > 10.0 * objective.rounding * abs(here.value) else 2
        trial = strong_wolfe(objective, here._replace(step=0.0, slope=slope), direction, first_step, budget=budget)
        if trial is None:
            if widened:  # the value here is from before, and its rounding may hide every lower one
                here = _evaluated(objective, here)
                curve.append(here.value)
                continue
            if len(model):  # the pairs may be spoilt by rounding: once more from the first model
                model.restart()
                curve.append(here.value)
                continue
            wider = _widened(objective, here, -0.5 * slope)
            if wider is not None:
                here, stagnation = wider, Stagnation(objective, patience)
                curve.append(here.value)
                continue
            rounded = stagnation.reached(here, -0.5 * slope, NO_LOWER)
            if rounded is not None:
                return replace(_result(here, n_iter, True, rounded.message, curve), stuck=True)
            return replace(_result(here, n_iter, False, _stuck(here, objective, tol), curve), stuck=True)
        model.update(trial.params - here.params, here.grad, trial.grad)
        here = trial
        curve.append(here.value)
    return _result(here, max_iter, False, _unmet(here, tol, max_iter), curve)


def _widened(objective: Objective, here: Trial, left: float) -> Trial | None:
    """The same point by preciser passes, where rounding hides more than `WIDEN_ABOVE` and they are to be had."""
    if left <= WIDEN_ABOVE * abs(here.value) or not objective.widen():
        return None
    return _evaluated(objective, here)


def _evaluated(objective: Objective, here: Trial) -> Trial:
    """The same point by the passes as they are now."""
    value, grad = objective(here.params)
    return Trial(0.0, here.params, value, 0.0, grad)


def widen_for_the_last(objective: Objective, goal: float, sure: float = 1.0) -> BeforeStep:
    """Have the passes widened before the step that is expected to be the last, whose end is to have an exact value.

    That costs the difference of two reads once; to evaluate the end again would cost a read.

    Parameters
    ----------
    objective : Objective
    goal : float
        What may be left to gain at the end, relatively.
    sure : float
        As in `gpu_logreg.solvers.subsampled_newton.sure`: what may be left after a further step, relative to ``goal``.
    """
    last = np.nan

    def before_step(here: Trial, left: float) -> bool:
        nonlocal last
        rate, last = left / last, left  # not a number before the first step: no rate is known
        after = min(1.0, rate) * left
        due = objective.rounding > VALUE_ROUNDING and max(after, after * rate / sure) <= goal * abs(here.value)
        return due and objective.widen()

    return before_step


def _descent(model: _InverseHessian, here: Trial) -> tuple[Vector, float]:
    """Direction ``-H^-1 grad`` and the slope along it, which is negative; without the pairs where they spoil it."""
    direction = -model.solve(here.grad)
    slope = float(here.grad @ direction)
    if slope >= 0.0 and len(model):
        model.restart()
        direction = -model.solve(here.grad)
        slope = float(here.grad @ direction)
    return direction, slope


def optimal(objective: Objective, tol: float, decrease: float = DECREASE_PER_TOL) -> Criterion:
    """``max |grad| <= tol`` with at most ``decrease tol`` left to gain, or so little that the value cannot show it.

    The last is not enough for those who ask for a small ``tol``: the error of the parameters is about the square root
    of what is left to gain, so at most ``tol**2`` must be left.
    """

    def met_at(here: Trial, left: float) -> Stop | None:
        stop = stop_at(objective, here.value, float(np.abs(here.grad).max(initial=0.0)), tol)
        if stop is not None and (not stop.converged or left <= decrease * tol * abs(here.value)):
            return stop
        if left <= min(2.0 * np.finfo(np.float64).eps, tol * tol) * abs(here.value):
            return Stop(f"what is left to gain, {left:.2g}, is below the rounding of the objective", True)
        return None

    return met_at


def _observe(observer: Observer | None, n_iter: int, here: Trial, left: float, last: bool) -> bool:
    if observer is None:
        return False
    grad_max = float(np.abs(here.grad).max(initial=0.0))
    return bool(observer(Iteration(n_iter, here.params, here.value, grad_max, here.step, last, left))) and not last


def _unmet(here: Trial, tol: float, max_iter: int) -> str:
    grad_max = float(np.abs(here.grad).max(initial=0.0))
    return f"max_iter = {max_iter} reached with max |grad| = {grad_max:.2g}, tol = {tol:g}"


def _stuck(here: Trial, objective: Objective, tol: float) -> str:
    grad_max = float(np.abs(here.grad).max(initial=0.0))
    return (
        f"no lower value within rounding ({objective.rounding:.1g} of the value) "
        f"with max |grad| = {grad_max:.2g}, tol = {tol:g}"
    )


def _result(
    here: Trial, n_iter: int, converged: bool, message: str, curve: list[float], predicted: float = 0.0
) -> SolverResult:
    return SolverResult(here.params, here.value, here.grad, n_iter, converged, message, curve, predicted=predicted)
