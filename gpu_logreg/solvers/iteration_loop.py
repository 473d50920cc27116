"""The loop of every solver that steps by a model of the curvature: L-BFGS, and proximal Newton with an L1 penalty.

What they share is here: when to stop, when to ask for a better model, when to have the passes made more precise, what
to do where no lower value is found, and what to tell the observer. What differs is an object with `Steps`: the model,
the step it proposes, and the search along it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Iteration, Objective, Observer, SolverResult, Stop
from gpu_logreg.solvers.criteria import VALUE_ROUNDING, Criterion, Plateau, stop_by_rounding
from gpu_logreg.solvers.line_search import Trial

__all__ = ["NO_LOWER", "PATIENCE", "BeforeStep", "Patience", "Refresh", "Steps", "iterate", "widen_for_the_last"]

PATIENCE = 20
"""Iterations in which the remaining decrease may fail to halve, once it is rounding, before a fit is done."""

FEW_IDLE, ROUNDED = 5, 1e-3
"""The same where what remains is enough already, and that share of the rounding of a value of float32 rows: steps then
only stir what columns far from zero round. Near zero gradients still fall at 1e-4 of it. From trials with classes of
bytes, of which no row is kept."""

NO_LOWER = 1e-12
"""Relative suboptimality up to which it is rounding that hides lower values, where none is found by the first model."""

WIDEN_ABOVE = 1e-10
"""Relative suboptimality above which passes are made more precise where rounding ends the progress."""

Refresh = Callable[[Trial, float], Any]
"""From a point and the remaining decrease there to a better model of the curvature, or None to keep the present one."""

BeforeStep = Callable[[Trial, float], bool]
"""Called with a point and the remaining decrease there before a step leaves it; whether it has widened the passes."""


class Patience(NamedTuple):
    """Iterations in which the remaining decrease may fail to halve, once it is rounding, before a fit is done.

    Attributes
    ----------
    iterations : int
    enough : float
        Relative suboptimality at which `FEW_IDLE` of them suffice, where that is far below the rounding of float32.
    """

    iterations: int = PATIENCE
    enough: float = 0.0

    def at(self, objective: Objective, value: float, remaining: float) -> int:
        """How many at a point."""
        in_float64 = objective.precision <= float(np.finfo(np.float64).eps)
        stirred = not in_float64 and remaining <= min(self.enough, ROUNDED * objective.rounding) * abs(value)
        return min(FEW_IDLE, self.iterations) if stirred else self.iterations


class Steps(Protocol):
    """A model of the curvature at a point, and the steps it proposes.

    Attributes
    ----------
    objective : Objective
        The smooth part.
    here : Trial
        The present point.
    measure : str
        What ``max |grad|`` is called in messages.
    exact : bool
        Whether the model is the exact curvature at every point.
    keeps_model : bool
        Whether no better model is asked for where a step was not found, because the present one is being mended.
    """

    objective: Objective
    here: Trial
    measure: str
    exact: bool
    keeps_model: bool

    @property
    def smooth_grad(self) -> Float64Vector | None:
        """Gradient of the smooth part, where ``here.grad`` is a subgradient."""

    def evaluate(self) -> None:
        """The present point by the passes as they are now; one read."""

    def restart(self, model: Any = None) -> None:
        """Forget what steps have taught, and take a new first model if one is given."""

    def propose(self, n_iter: int, renew: bool) -> float:
        """Work out the next step; the remaining decrease. A model of every point is taken anew if ``renew``."""

    def step(self, remaining: float) -> bool:
        """Search along the proposed step, go there and learn from it; false where no lower value was found."""

    def recover(self, remaining: float) -> bool:
        """Another model at the same point, after a search that found nothing; false where there is none."""

    def step_unseen(self) -> float | None:
        """Go to the end of the proposed step without evaluating it; the predicted decrease, or None if not safe."""

    def figures(self) -> str:
        """``max |grad|``, for messages."""


def iterate(
    steps: Steps,
    *,
    criterion: Criterion,
    max_iter: int,
    refresh: Refresh | None = None,
    observer: Observer | None = None,
    patience: int | Patience = PATIENCE,
    last_step: bool = False,
    before_step: BeforeStep | None = None,
) -> SolverResult:
    """Step until a criterion is met; the parameters are those of `gpu_logreg.solvers.lbfgs.lbfgs`."""
    run, patience = _Run(steps), patience if isinstance(patience, Patience) else Patience(patience)
    for n_iter in range(max_iter + 1):
        last = n_iter == max_iter
        remaining = steps.propose(n_iter, not (last or run.stuck))
        stop = criterion(steps.here, remaining)
        if refresh is not None and stop is None and not last and not (run.stuck and steps.keeps_model):
            better = refresh(steps.here, remaining)
            if better is not None:
                run.take(better)
                remaining = steps.propose(n_iter, False)
                stop = criterion(steps.here, remaining)
        if stop is None:
            run.n_idle = run.n_idle + 1 if remaining > 0.5 * run.least else 0
            run.least = min(remaining, run.least)
            impatient = run.n_idle >= min(FEW_IDLE, patience.iterations)
            impatient = impatient and run.n_idle >= patience.at(steps.objective, steps.here.value, remaining)
            if impatient or steps.exact:
                stop = run.stop_by_stagnation(remaining, impatient)
            if stop is not None and not last and run.widen(remaining):
                steps.restart()
                run.curve.append(steps.here.value)
                continue
        if last_step and max_iter > 0 and stop is not None and stop.converged:
            decrease = steps.step_unseen()
            if decrease is not None:
                remaining = run.predicted = decrease
                run.curve[-1] = steps.here.value
        over = last or stop is not None
        if n_iter > 0 and observer is not None and run.show(observer, n_iter, over, remaining) and not over:
            return run.result(n_iter, Stop("stopped by a callback", False))
        if over:
            return run.result(n_iter, stop or Stop(f"max_iter = {max_iter} reached with {steps.figures()}", False))
        widened = before_step is not None and before_step(steps.here, remaining)
        run.stuck = not steps.step(remaining)
        if widened:
            run.precision = steps.objective.precision
        if run.stuck and widened:  # the value here is from before, and its rounding may hide every lower one
            steps.evaluate()
            run.stuck = False
        elif run.stuck and not steps.recover(remaining) and not run.widen(remaining):
            break
        run.curve.append(steps.here.value)
    return run.result(n_iter, run.stop_without_lower(remaining))


class _Run:
    """What the loop notes as it goes.

    Attributes
    ----------
    curve : list of float
        Value at the start and after every iteration.
    precision : float
        That of the passes behind the present point.
    n_idle : int
        Iterations in which the remaining decrease has not halved.
    least : float
        The least remaining decrease, by the passes as they are now.
    predicted : float
        Decrease by a last step that was not evaluated.
    stuck : bool
        Whether the last search has found no lower value.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        steps.evaluate()
        self.curve, self.stuck, self.predicted = [steps.here.value], False, 0.0
        self._begin()

    def _begin(self) -> None:
        """Begin to count, with the passes as they are now."""
        self.precision = self._steps.objective.precision
        self.n_idle, self.least = 0, math.inf
        self._plateau = Plateau(self._steps.objective) if self._steps.exact else None

    def take(self, model: Any) -> None:
        """Go on by another model, and from the point anew where passes were widened for it."""
        self._steps.restart(model)
        if self._steps.objective.precision != self.precision:
            self._steps.evaluate()
            self.precision = self._steps.objective.precision

    def stop_by_stagnation(self, remaining: float, impatient: bool) -> Stop | None:
        """The stop where the value no longer falls, or, if ``impatient``, where the remaining decrease is rounding."""
        steps = self._steps
        stop = None if self._plateau is None else self._plateau(steps.here, remaining)
        if stop is None and impatient:
            stop = stop_by_rounding(steps.objective, steps.here, remaining, self.least, steps.measure)
        return stop

    def widen(self, remaining: float) -> bool:
        """Whether the point is now known by more precise passes, as where rounding hides much and they can be had."""
        steps = self._steps
        if remaining <= WIDEN_ABOVE * abs(steps.here.value) or not steps.objective.widen():
            return False
        steps.evaluate()
        self._begin()
        return True

    def stop_without_lower(self, remaining: float) -> Stop:
        """The stop where no lower value was found: converged, if next to nothing remains."""
        steps = self._steps
        objective = steps.objective
        rounded = stop_by_rounding(objective, steps.here, remaining, self.least, steps.measure, NO_LOWER)
        message = f"no lower value within rounding ({objective.rounding:.1g} of the value) with {steps.figures()}"
        return rounded or Stop(message, False, True)

    def show(self, observer: Observer, n_iter: int, last: bool, remaining: float) -> Any:
        """The answer of the observer to the present point."""
        here = self._steps.here
        largest = float(np.abs(here.grad).max(initial=0.0))
        return observer(Iteration(n_iter, here.params, here.value, largest, here.step, last, remaining))

    def result(self, n_iter: int, stop: Stop) -> SolverResult:
        """The present point as a result."""
        here, grad = self._steps.here, self._steps.smooth_grad
        ends = n_iter, stop.converged, stop.message, self.curve
        return SolverResult(here.params, here.value, here.grad, *ends, math.nan, grad, self.predicted, stop.by_rounding)


def widen_for_the_last(objective: Objective, decrease: float, next_share: float = 1.0) -> BeforeStep | None:
    """Have the passes widened before the step that is expected to be the last, whose end is to have an exact value.

    That costs the difference of two reads once; to evaluate the end again would cost a read. None for passes that are
    in float64 already.

    Parameters
    ----------
    objective : Objective
    decrease : float
        Relative suboptimality to end with.
    next_share : float
        Share of that which may remain after one step more: see `gpu_logreg.solvers.criteria.Optimality`.
    """
    if objective.precision <= float(np.finfo(np.float64).eps):
        return None
    last = math.nan

    def before_step(here: Trial, remaining: float) -> bool:
        nonlocal last
        rate, last = remaining / last, remaining  # NaN before the first step: no rate is known
        if objective.rounding <= VALUE_ROUNDING:
            return False
        after = min(1.0, rate) * remaining
        return max(after, after * rate / next_share) <= decrease * abs(here.value) and objective.widen()

    return before_step
