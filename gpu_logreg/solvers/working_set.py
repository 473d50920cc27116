"""Many columns with an L1 penalty, most of whose weights are zero: problems of a few columns, until no other is missed.

1. One read gives the gradient by all parameters. Columns whose weights are not zero, and those whose gradient breaks
   the conditions of the minimum most, are the working set, at most twice as many as the former.
2. The problem of these columns alone is solved, as any other, from where the last one ended.
3. One read tells whether a column that was left out breaks the conditions; then 1 and 2 are repeated.

The solution is that of all columns: the end is certified by the exact gradient. Source: T. Johnson and C. Guestrin,
"Blitz: a principled meta-algorithm for scaling sparse optimization" (2015), for the idea; the sets are simpler here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.penalty import duality_gap, l1_penalty, subgradient
from gpu_logreg.solvers import Iteration, Objective, Observer, SolverResult
from gpu_logreg.solvers.proximal import SUPPORT

__all__ = ["FIRST_COLUMNS", "MAX_ROUNDS", "Columns", "working_set"]

FIRST_COLUMNS = 100
"""Columns of the first working set: few enough for a problem of milliseconds, and more than most solutions need."""

ROUGHLY = 0.1
"""Largest subgradient of the problem of some columns at its end, relative to that of the columns that are missed."""

MAX_ROUNDS = 100
"""Working sets of one fit; each is up to twice the last, so that a dozen hold all columns."""

Solve = Callable[[Any, Float64Vector, bool, float, int], SolverResult]
"""The minimum over the parameters of some columns: from their numbers, a start, whether it is near, the largest
subgradient to end with, and ``max_iter``."""


class Columns(NamedTuple):
    """Which parameters belong to which column: ``params.reshape(n_logits, -1)[:, :n_columns]`` are the weights.

    Attributes
    ----------
    n_columns, n_logits : int
    most : int
        Columns that can be solved together.
    """

    n_columns: int
    n_logits: int
    most: int

    def parameters(self, columns: Any, n_params: int) -> Any:
        """Numbers of the parameters of some columns, class by class, with the intercepts, if any."""
        width = n_params // self.n_logits
        of_class = np.concatenate([columns, np.arange(self.n_columns, width)])
        return (np.arange(self.n_logits)[:, None] * width + of_class).ravel()

    def largest(self, v: Float64Vector) -> Float64Vector:
        """Of every column the largest of the absolute values that belong to its weights."""
        return np.asarray(np.abs(v).reshape(self.n_logits, -1)[:, : self.n_columns].max(axis=0))


def working_set(
    objective: Objective,
    solve: Solve,
    start: Float64Vector,
    l1: Float64Vector,
    columns: Columns,
    *,
    l2: float | Float64Vector = 0.0,
    warm: bool = False,
    tol: float = 1e-6,
    max_iter: int = 1000,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise ``objective`` plus ``sum_j l1_j |params_j|``.

    Stops where no weight that is zero has an element of the subgradient of least norm above ``tol`` or a hundredth of
    the strength of the penalty, and the problem of the others has been solved to that, or to its rounding.

    Parameters
    ----------
    objective : Objective
        The smooth part, by all parameters.
    solve : function (columns, start, warm, limit, max_iter) -> SolverResult
        The minimum over the parameters of some columns, the other weights zero.
    start : ndarray of shape (p,)
    l1 : ndarray of shape (p,)
    columns : Columns
    l2 : float
        Strength of the ridge that ``objective`` contains, for the duality gap alone.
    warm : bool
        Whether ``start`` is believed to be near the minimum.
    tol, max_iter, observer
        As for `gpu_logreg.solvers.proximal.proximal`; the observer is called after every problem of some columns.

    Returns
    -------
    SolverResult

    Raises
    ------
    DataError
        If more columns have weights than can be solved together.
    """
    limit = min(tol, SUPPORT * float(l1[l1 > 0.0].min()))
    params, n_iter, curve, exact, said = start, 0, [], False, ""
    for n_round in range(MAX_ROUNDS + 1):
        smooth, grad = objective(params)
        here = _Here(params, smooth + l1_penalty(params, l1), subgradient(params, grad, l1))
        curve.append(here.value)
        has_weights = columns.largest(params) > 0.0
        missed = columns.largest(here.grad) * ~has_weights
        worst = float(missed.max(initial=0.0))
        converged = worst <= limit and (exact or (here.largest <= limit and not has_weights.any()))
        over = converged or n_iter >= max_iter or n_round == MAX_ROUNDS
        iteration = Iteration(n_iter, params, here.value, here.largest, 1.0, over)
        stopped = observer is not None and n_round > 0 and bool(observer(iteration)) and not over
        if over or stopped:
            gap = _gap(here, l1, l2)
            ended = f"max_iter = {max_iter}" if n_iter >= max_iter else f"{MAX_ROUNDS} working sets"
            message = "stopped by a callback" if stopped else f"{ended} reached with {here.figures}"
            if converged:
                message = ("" if here.largest <= limit else f"{said}; ") + _message(here, columns, gap)
            return SolverResult(params, here.value, here.grad, n_iter, converged, message, curve, gap, smooth_grad=grad)
        chosen = _chosen(columns, np.flatnonzero(has_weights), missed, limit)
        at = columns.parameters(chosen, len(params))
        # While columns are missed, the solution of the others is not that of all, and need not be exact.
        goal = max(limit, ROUGHLY * worst)
        result = solve(chosen, params[at], warm or n_round > 0, goal, max_iter - n_iter)
        params = np.zeros(len(params))
        params[at] = result.params
        n_iter += max(1, result.n_iter)
        exact, said = result.converged and goal == limit, result.message.split("; duality gap")[0]
    raise AssertionError("the last round returns")


class _Here(NamedTuple):
    """A point, its value with the penalty, and the subgradient of least norm."""

    params: Float64Vector
    value: float
    grad: Float64Vector

    @property
    def largest(self) -> float:
        return float(np.abs(self.grad).max())

    @property
    def figures(self) -> str:
        return f"max |subgradient| = {self.largest:.2g}"


def _message(here: _Here, columns: Columns, gap: float) -> str:
    kept = int((columns.largest(here.params) > 0.0).sum())
    bound = "" if math.isnan(gap) else f"; duality gap at most {gap:.2g}"
    return f"{here.figures} by all {columns.n_columns} columns, of which {kept} have weights{bound}"


def _chosen(columns: Columns, weighty: Any, missed: Float64Vector, limit: float) -> Any:
    """The columns with weights, and as many again, or `FIRST_COLUMNS` at first, of those that are missed most."""
    room = min(max(FIRST_COLUMNS, len(weighty)), columns.most - len(weighty))
    wanted = np.flatnonzero(missed > limit)
    if room <= 0 and len(wanted):
        raise DataError(
            f"{len(weighty)} of the {columns.n_columns} columns have weights on the way to the minimum, and "
            f"{columns.most} can be solved together; use a smaller C, or l1_ratio=0"
        )
    if len(wanted) > room:
        wanted = wanted[np.argpartition(-missed[wanted], room - 1)[:room]]
    return np.sort(np.concatenate([weighty, wanted]))


def _gap(here: _Here, l1: Float64Vector, l2: float | Float64Vector) -> float:
    penalised = l1 > 0.0
    strengths = np.unique(l1[penalised])
    if len(strengths) != 1 or isinstance(l2, np.ndarray):
        return math.nan
    return duality_gap(here.value, here.params[penalised], here.grad[penalised], float(strengths[0]), l2)
