"""From an objective of a linear model to its solution: where to start, and which solver with what."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.random import seed_of
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.batches import linear_batches
from gpu_logreg.mathematics.penalty import l1_penalty
from gpu_logreg.objectives.certificate import RemainingDecrease, certify, l1_strengths
from gpu_logreg.objectives.decrement import l1_decrement, newton_decrement
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.objectives.sparse_metric import diagonal_at
from gpu_logreg.solvers import Metric, SolverResult, Vector
from gpu_logreg.solvers.costs import LARGEST_P, pays, tiny
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric, by_class
from gpu_logreg.solvers.gradient_descent import gradient_descent
from gpu_logreg.solvers.lbfgs import DECREASE_PER_TOL, Refresh, lbfgs, optimal
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.proximal import proximal, proximal_without_a_sample
from gpu_logreg.solvers.subsampled_newton import subsampled_newton
from gpu_logreg.solvers.watch import late, renewed
from gpu_logreg.solvers.working_set import Columns, working_set

__all__ = ["minimise", "solver_name", "start_without_weights"]

LARGEST_WHOLE = 2000
"""Parameters of two classes up to which an L1 problem is solved for all columns at once."""

FEW_STEPS, STEPS_MORE = 100, 40
"""Steps on few rows after which another solver goes on, and of each of those."""

NEWTON_FLOPS = 2e7
"""Multiplications of a Hessian of all rows that take a few milliseconds."""

LBFGS_DECREASE = 0.1 * DECREASE_PER_TOL
"""What `solver="lbfgs"` leaves to gain by its own estimate, relatively and for each ``tol``."""


def solver_name(solver: str, objective: Objective) -> str:
    """What ``solver="auto"`` is for this objective; any other name is itself."""
    if solver != "auto":
        return solver
    if objective.l1 > 0.0:
        return "proximal"
    worth = pays(objective.dataset.n_rows, objective.n_params, objective.n_logits, objective.costs)
    return "subsampled-newton" if worth else "lbfgs"


def start_without_weights(objective: Objective, shares: Vector) -> Vector:
    """The optimum while all weights are zero: intercepts that give every class its share."""
    params = np.zeros(objective.n_params)
    if not objective.fit_intercept:
        return params
    least_share = 1e-3 / objective.dataset.weight_total  # of a class whose rows all weigh nothing
    params.reshape(objective.n_logits, -1)[:, -1] = objective.loss.start(shares, least_share)
    return params


def minimise(
    model: Any, solver: str, objective: Objective, shares: Vector, start: Vector | None, limits: dict[str, Any]
) -> SolverResult:
    """Run a solver.

    Parameters
    ----------
    model : LogisticRegression
        Its ``random_state``, ``step`` and ``learning_rate``.
    solver : str
    objective : Objective
    shares : ndarray of shape (K,)
        Of the classes.
    start : ndarray of shape (p,) or None
        The solution of the last fit.
    limits : dict
        ``tol``, ``max_iter`` and ``observer``.
    """
    if limits["max_iter"] == 0 and start is None:  # as scikit-learn: no step, and p = 1 / K
        start = np.zeros(objective.n_params)
        if objective.l1 == 0.0:
            return lbfgs(objective, start, **limits)
    if start is not None and limits["max_iter"] > 0 and not _worth_taking(objective, shares, start):
        start = None
    rng = np.random.default_rng(seed_of(model.random_state))
    few = tiny(objective.dataset.n_rows, objective.n_params) and not in_working_sets(objective)
    most = min(limits["max_iter"], FEW_STEPS) if few and solver == "subsampled-newton" else limits["max_iter"]
    result = _solved(model, solver, objective, shares, start, limits | {"max_iter": most}, rng)
    if not result.converged and result.n_iter >= most < limits["max_iter"]:
        result = replace(result, stuck=True)
    if solver in ("sgd", "adam"):  # which reach no optimum, and say so
        return result

    by_root = False

    def again(ended: SolverResult, tol: float, max_iter: int) -> SolverResult:
        nonlocal by_root
        rest = limits | {"tol": tol, "max_iter": max_iter}
        if solver == "gradient-descent":
            return _solved(model, solver, objective, shares, ended.params, rest, rng)
        if objective.l1 > 0.0 and in_working_sets(objective):
            return _by_working_sets(objective, rng, ended.params, True, rest)
        most = min(max_iter, STEPS_MORE) if few else max_iter
        if few and not by_root:
            by_root, strengths = True, l1_strengths(objective)
            at_once: dict[str, Any] = {"l2": objective.l2, "late": 0, **rest, "max_iter": most}
            found = proximal(objective, Sampler(objective, rng), ended.params, strengths, **at_once)
        elif objective.l1 == 0.0 and _newton_costs_little(objective):
            found = _with_all_rows(objective, rng, ended, rest | {"max_iter": most})
        else:
            return _without_a_sample(objective, ended, rest)
        out_of_steps = not found.converged and found.n_iter >= most < max_iter
        return replace(found, stuck=True) if out_of_steps else found

    where_stuck = l1_decrement(objective, Sampler(objective, rng), cautious=True) if few else None
    decrement = _decrement(solver, objective, rng)
    return certify(objective, result, limits["tol"], limits["max_iter"], again, decrement, where_stuck)


def _newton_costs_little(objective: Objective) -> bool:
    """Whether a Hessian of all rows costs no more than a few milliseconds."""
    p = objective.n_params
    return p <= 500 and objective.dataset.n_rows * p * p <= NEWTON_FLOPS


def _decrement(solver: str, objective: Objective, rng: np.random.Generator) -> RemainingDecrease | None:
    """What a certificate asks of the Hessian, where that costs little; None where the solver has gone by it itself."""
    if objective.l1 > 0.0:
        few = tiny(objective.dataset.n_rows, objective.n_params) and not in_working_sets(objective)
        return l1_decrement(objective, Sampler(objective, rng)) if few else None
    if solver not in ("lbfgs", "gradient-descent") or not _newton_costs_little(objective):
        return None
    return newton_decrement(objective, Sampler(objective, rng))


def _with_all_rows(
    objective: Objective, rng: np.random.Generator, ended: SolverResult, limits: dict[str, Any]
) -> SolverResult:
    """On from where a fit has ended, with the Hessian of all rows, taken anew where it misleads."""
    metric_at = _metric_of_all_rows(objective, rng)
    met_at = optimal(objective, limits["tol"], LBFGS_DECREASE)
    metric, refresh = metric_at(ended.params), renewed(metric_at)
    return lbfgs(objective, ended.params, metric=metric, refresh=refresh, criterion=met_at, last_step=True, **limits)


def _metric_of_all_rows(objective: Objective, rng: np.random.Generator) -> Callable[[Vector], Metric]:
    """The Hessian of all rows at the parameters it is asked for, from rows that are gathered when it is first asked."""
    sample: Any = None

    def metric_at(params: Vector) -> Metric:
        nonlocal sample
        if sample is None:
            objective.widen()
            sample = Sampler(objective, rng).sample(objective.dataset.n_rows)
        metric: Metric = sample.params_metric(sample.coordinates.from_params(params))
        return metric

    return metric_at


def _worth_taking(objective: Objective, shares: Vector, start: Vector) -> bool:
    """Whether a start has a lower value than `start_without_weights`, whose value is the entropy of the classes.

    From farther away every row may be saturated, where no model of the curvature is worth the name.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            value = objective.keep(start) + l1_penalty(start, l1_strengths(objective))
    except DataError:  # the sums overflow; a row that is not finite is refused from any start
        return False
    present = shares[shares > 0.0]
    entropy = -float(present @ np.log(present)) if objective.fit_intercept else math.log(len(shares))
    return value <= entropy * (1.0 + 1e-6)  # no weights at all may be the optimum


def _solved(
    model: Any,
    solver: str,
    objective: Objective,
    shares: Vector,
    start: Vector | None,
    limits: dict[str, Any],
    rng: np.random.Generator,
) -> SolverResult:
    """What one solver makes of it."""
    if solver in ("subsampled-newton", "proximal"):
        sampler = Sampler(objective, rng)
        params = start_without_weights(objective, shares) if start is None else start
        if solver == "proximal":
            if in_working_sets(objective):
                return _by_working_sets(objective, rng, params, start is not None, limits)
            return proximal(
                objective, sampler, params, l1_strengths(objective), l2=objective.l2, warm=start is not None, **limits
            )
        return subsampled_newton(objective, sampler, params, warm=start is not None, **limits)
    mean, variance = objective.column_moments()
    if solver == "lbfgs":
        params = start_without_weights(objective, shares) if start is None else _adds_up_to_0(objective, start)
        # Without a metric worth the name what is left to gain is more than the pairs of steps tell of.
        met_at = optimal(objective, limits["tol"], LBFGS_DECREASE)
        metric = _diagonal(objective, shares, mean, variance)
        refresh = _after_a_step(objective) if objective.keeps_samples_sparse else None
        if _newton_costs_little(objective):
            refresh = late(_metric_of_all_rows(objective, rng), refresh)
        return lbfgs(objective, params, metric=metric, criterion=met_at, refresh=refresh, last_step=True, **limits)
    params = np.zeros(objective.n_params) if start is None else start
    # The curvature of the mean loss is at most this times the mean square length of [x, 1].
    bound = objective.loss.largest_curvature * (1.0 + float((variance + mean**2).sum())) + objective.l2
    rate = 1.0 / bound if model.learning_rate is None else model.learning_rate
    if solver == "gradient-descent":
        return gradient_descent(objective, params, step=model.step, learning_rate=rate, **limits)
    rate = 1e-3 if solver == "adam" and model.learning_rate is None else rate
    return linear_batches(objective, params, solver, rate=rate, rng=rng, **limits)


def _adds_up_to_0(objective: Objective, start: Vector) -> Vector:
    """The start less what the parameters of all classes have in common, which `ClasswiseMetric` would keep."""
    by_class = start.reshape(objective.n_logits, -1)
    common = by_class.mean(axis=0)
    if objective.n_logits == 1 or (np.abs(common) <= 1e-12 * np.abs(by_class).max(axis=0)).all():
        return start
    return np.asarray((by_class - common).ravel())


def _after_a_step(objective: Objective) -> Refresh:
    """The exact diagonal at the point after the first step, instead of the one that it was taken with."""
    calls = 0

    def refresh(here: Trial, left: float) -> Metric | None:
        nonlocal calls
        calls += 1
        return diagonal_at(objective, here.params) if calls == 2 else None

    return refresh


def in_working_sets(objective: Objective) -> bool:
    """Whether an L1 problem has so many columns that it is solved for a few of them at a time."""
    return objective.n_params > (LARGEST_WHOLE if objective.n_logits == 1 else LARGEST_P)


def _without_a_sample(objective: Objective, ended: SolverResult, limits: dict[str, Any]) -> SolverResult:
    """On from where a fit has ended, with a diagonal of the columns' moments for the curvature.

    A bad model of the curvature sees nothing left to gain; this one asks nothing of rows or samples, and gradients
    correct it.
    """
    columns, K = objective.standard_columns, objective.n_logits
    curvature = min(0.25, max(abs(ended.value), 1e-8))
    if objective.l1 > 0.0:
        ridge = np.resize(np.append(objective.l2 / columns.scale / columns.scale, 0.0), objective.n_params // K)
        coordinates = objective.packed_coordinates(columns)
        strengths, n_rows = l1_strengths(objective), objective.dataset.n_rows
        of_loss = np.full(objective.n_params, curvature)
        by_phi = (coordinates, of_loss, np.tile(ridge, K), ended.params, strengths)
        return proximal_without_a_sample(objective, *by_phi, n_rows=n_rows, l2=objective.l2, **limits)
    variance = columns.scale**2
    of_class: Metric = CentredDiagonalMetric(columns.mean, variance, curvature, objective.l2, columns.fit_intercept)
    metric = by_class([of_class] * K)
    met_at = optimal(objective, limits["tol"], LBFGS_DECREASE)
    return lbfgs(objective, ended.params, metric=metric, memory=30, criterion=met_at, last_step=True, **limits)


def _by_working_sets(
    objective: Objective, rng: np.random.Generator, params: Vector, warm: bool, limits: dict[str, Any]
) -> SolverResult:
    objective.widen()  # columns are told to be missed by a gradient that no sample has told the rounding of
    by_columns, n_columns = objective.engine.columns(objective.dataset), objective.dataset.n_columns

    def solve(columns: Any, start: Vector, warm: bool, limit: float, max_iter: int) -> SolverResult:
        some = objective.restricted(by_columns(columns))
        ends: dict[str, Any] = {"tol": limit, "support": math.inf, "max_iter": max_iter}
        found = proximal(some, Sampler(some, rng), start, l1_strengths(some), l2=some.l2, warm=warm, **ends)
        objective.reads.total += some.reads.total * some.dataset.n_stored / max(1, objective.dataset.n_stored)
        if some.centre is not None:  # of the other columns the weights are zero
            objective.centre = np.zeros(n_columns)
            objective.centre[columns] = some.centre
        return found

    columns = Columns(n_columns, objective.n_logits, LARGEST_P // objective.n_logits - 1)
    strengths = l1_strengths(objective)
    result = working_set(objective, solve, params, strengths, columns, l2=objective.l2, warm=warm, **limits)
    objective.spread = None  # known of some columns alone
    return result


def _diagonal(objective: Objective, shares: Vector, mean: Vector, variance: Vector) -> Metric:
    """A diagonal model of the curvature while all weights are zero."""
    fit_intercept, l2 = objective.fit_intercept, objective.l2
    curvatures = objective.loss.curvature_at_start(shares, fit_intercept)
    metrics = [CentredDiagonalMetric(mean, variance, curvature, l2, fit_intercept) for curvature in curvatures]
    return by_class(metrics)
