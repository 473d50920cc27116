"""L-BFGS on a linear model: with which models of the curvature, from a start or from where another fit has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.linear.first_step import first_step
from gpu_logreg.estimators.linear.starts import adds_up_to_0
from gpu_logreg.objectives.curved_sample import CurvedSampler, ScoredObjective
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.objectives.sparse_metric import diagonal_at, softened_diagonal_at
from gpu_logreg.objectives.without_weights import column_moments_at_start
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import Metric, SolverResult
from gpu_logreg.solvers.costs import (
    LARGEST_P,
    factors_price,
    leading_directions,
    leading_price,
    leading_sample_size,
    sample_size,
)
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL, Optimality
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric, by_class
from gpu_logreg.solvers.iteration_loop import Patience, Refresh
from gpu_logreg.solvers.lbfgs import lbfgs
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.proximal import proximal_without_a_sample
from gpu_logreg.solvers.sampled_model import SampledModel
from gpu_logreg.solvers.watch import Stage, ever_rarer, late, renewed, when_slow

__all__ = [
    "diagonal_at_start",
    "has_factors",
    "lbfgs_from_a_diagonal",
    "lbfgs_with_all_rows",
    "leading_metric",
    "mean_factors",
    "without_a_sample",
]

LBFGS_DECREASE = 0.1 * DECREASE_PER_TOL
"""Relative suboptimality at the end, by L-BFGS's own estimate and for each ``tol``: a tenth of what solvers with a good
metric end with, because without one the estimate is too low."""

MEMORY, LONG_MEMORY = 10, 30
"""Pairs of steps and gradient differences; the second where they are all that is known of the curvature, or where mean
factors, which miss much of it, may come to stand in for it."""

FEW_COLUMNS, LONGER_WAY = 100, 14.0
"""Columns up to which pairs soon tell what a new diagonal would, for a read and all pairs; and the steps to the end of
so few columns that are too many. A guess, from trials of which no row is kept."""

LATER_STEPS, LATER_GROWTH, LATER_WAY = 6, 3.0, 20.0
"""Steps before the exact diagonal of two classes is taken anew a second time, the factor by which they grow each time,
and the steps to the end that are too many. Chosen among 6 to 10, 2 to 4, and 10 and 20 by trials on text and counts, of
which no rows are kept; they hardly differ, but with 10 some fits of text took three reads more than without."""

SAMPLED_PARAMS, SAMPLED_ROWS = 3000, 16
"""Parameters up to which the loss of a sample is a model, whose Hessian is factored tens of times; and its rows for
each column."""

LARGEST_CURVATURE, LEAST_CURVATURE = 0.25, 1e-8
"""Between these the curvature of a row is taken for its loss, which bounds it, where nothing else is believed."""


def lbfgs_from_a_diagonal(
    objective: Objective,
    start: Float64Vector,
    *,
    shares: Float64Vector,
    rng: np.random.Generator,
    warm: bool,
    newton_costs_little: bool,
    tol: float,
    **limits: Any,
) -> SolverResult:
    """L-BFGS whose first model is the diagonal of the Hessian while all weights are zero.

    Of sparse rows the diagonal is taken anew, ever more rarely while steps are slow: of two classes the exact one, and
    after the first step in any case. Where a Hessian of all rows costs little, it is the model of a fit that takes many
    steps.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (p,)
    shares : ndarray of shape (K,)
        Of the classes.
    rng : Generator
    warm : bool
        Whether ``start`` is the solution of the last fit.
    newton_costs_little : bool
    tol : float
    **limits
        ``max_iter`` and ``observer``.
    """
    metric = diagonal_at_start(objective, shares, start)
    refresh: Refresh | None = None
    if objective.keeps_samples_sparse and objective.n_logits == 1:
        refresh = _after_a_step(objective, LBFGS_DECREASE * tol)
    elif objective.n_logits > 1 and not objective.engine.has_mean_factors(objective.dataset):
        refresh = _rarely(objective, LBFGS_DECREASE * tol)
    memory = MEMORY
    if has_factors(objective):
        refresh = _where_slow(objective, rng, LBFGS_DECREASE * tol)
        memory = LONG_MEMORY
    if newton_costs_little:
        refresh = late(_metric_of_all_rows(objective, rng), refresh)
    params = adds_up_to_0(objective, start) if warm else start
    if not warm:
        params, metric = first_step(objective, start, metric, rng) or (params, metric)
    optimal = Optimality(objective, tol, LBFGS_DECREASE)
    ends: dict[str, Any] = {"criterion": optimal, "last_step": True, "tol": tol, **limits}
    patience = Patience(enough=LBFGS_DECREASE * tol)
    return lbfgs(objective, params, metric=metric, memory=memory, refresh=refresh, patience=patience, **ends)


def diagonal_at_start(objective: Objective, shares: Float64Vector, start: Float64Vector | None = None) -> Metric:
    """The diagonal of the Hessian while all weights are zero, in centred columns; one read for their moments.

    The same read gives the value at ``start``, if given, where that has no weights and there is code for it.
    """
    mean, variance = objective.column_moments() if start is None else column_moments_at_start(objective, start)
    fit_intercept, l2 = objective.fit_intercept, objective.l2
    curvatures = objective.loss.curvature_at_start(shares, fit_intercept)
    return by_class([CentredDiagonalMetric.of_moments(mean, variance, c, l2, fit_intercept) for c in curvatures])


def lbfgs_with_all_rows(
    objective: Objective, start: Float64Vector, *, rng: np.random.Generator, tol: float, **limits: Any
) -> SolverResult:
    """L-BFGS from where a fit has ended, with the Hessian of all rows, taken anew where it misleads."""
    metric_at = _metric_of_all_rows(objective, rng)
    optimal = Optimality(objective, tol, LBFGS_DECREASE)
    ends: dict[str, Any] = {"criterion": optimal, "last_step": True, "tol": tol, **limits}
    return lbfgs(objective, start, metric=metric_at(start), refresh=renewed(metric_at), **ends)


def without_a_sample(
    objective: Objective, start: Float64Vector, value: float, *, tol: float, **limits: Any
) -> SolverResult:
    """On from where a fit has ended, with a diagonal of the columns' moments for the curvature.

    By a bad model of the curvature no decrease remains; this one asks nothing of rows or samples, and gradients
    correct it. ``value`` is that at ``start``.
    """
    columns, K = objective.standard_columns, objective.n_logits
    curvature = min(LARGEST_CURVATURE, max(abs(value), LEAST_CURVATURE))
    if objective.l1 > 0.0:
        ridge = np.resize(np.append(objective.l2 / columns.scale / columns.scale, 0.0), objective.n_params // K)
        coordinates = objective.packed_coordinates(columns)
        of_loss = np.full(objective.n_params, curvature)
        by_phi = (coordinates, of_loss, np.tile(ridge, K), start, objective.l1_strengths)
        n_rows = objective.dataset.n_rows
        return proximal_without_a_sample(objective, *by_phi, n_rows=n_rows, l2=objective.l2, tol=tol, **limits)
    variance = columns.scale**2
    of_class: Metric = CentredDiagonalMetric.of_moments(
        columns.mean, variance, curvature, objective.l2, columns.fit_intercept
    )
    optimal = Optimality(objective, tol, LBFGS_DECREASE)
    ends: dict[str, Any] = {"criterion": optimal, "last_step": True, "tol": tol, **limits}
    return lbfgs(objective, start, metric=by_class([of_class] * K), memory=LONG_MEMORY, **ends)


def has_factors(objective: Objective) -> bool:
    """Whether mean factors of dense rows stand in for a Hessian that is too large to be kept."""
    hessian = objective.hessian_form
    may = hessian.has_mean_factors and not hessian.whole and hessian.width <= LARGEST_P
    return may and objective.engine.has_mean_factors(objective.dataset)


def _where_slow(objective: Objective, rng: np.random.Generator, goal: float) -> Refresh:
    """Mean factors where gradients alone are slow; where those are, the Hessian along leading directions, renewed."""
    n, form = objective.dataset.n_rows, objective.hessian_form
    factors, by_sample = mean_factors(objective, rng), _SampledModels(objective, rng)
    stages: list[Stage[Any]] = [Stage(by_sample.instead_of(factors), factors_price(n, form))]
    if leading_directions(form):
        stages.append(Stage(by_sample.or_else(leading_metric(objective, rng)), leading_price(n, form)))
    return when_slow(stages, goal)


class _SampledModels:
    """The loss of a sample of rows as a model, where the variance of some column comes from few rows."""

    def __init__(self, objective: Objective, rng: np.random.Generator) -> None:
        self._objective, self._rng = objective, rng
        self._taken = False

    def instead_of(self, curvature: Callable[[Float64Vector], Metric]) -> Callable[[Float64Vector], Any]:
        """The model where it serves, and else ``curvature``."""

        def model_at(params: Float64Vector) -> Any:
            objective = self._objective
            form, data = objective.hessian_form, objective.dataset
            if form.n_params > SAMPLED_PARAMS or not (isinstance(data, ResidentDataset) and data.on_host):
                return curvature(params)
            sampler, size = CurvedSampler(objective, self._rng), SAMPLED_ROWS * form.width
            sampler.sample(size)
            if not sampler.irregular or sampler.complete:
                return curvature(params)
            self._taken = True
            scored = ScoredObjective(objective, sampler, size)
            return SampledModel(lambda there, near: sampler.sampled_loss(size, there, near), params, scored)

        return model_at

    def or_else(self, curvature: Callable[[Float64Vector], Metric]) -> Callable[[Float64Vector], Metric | None]:
        """``curvature``, but nothing where the model has been taken, which keeps itself right."""
        return lambda params: None if self._taken else curvature(params)


def leading_metric(objective: Objective, rng: np.random.Generator) -> Callable[[Float64Vector], Metric]:
    """The Hessian of a sample along leading directions, with mean factors, at the parameters it is asked for.

    Sample, directions and mean factors are those of the first time.
    """
    first: Any = None

    def metric_at(params: Float64Vector) -> Metric:
        nonlocal first
        if first is None:
            form, n = objective.hessian_form, objective.dataset.n_rows
            sample: Any = Sampler(objective, rng).sample(leading_sample_size(n, form))
            phi = sample.coordinates.from_params(params)
            first = sample, sample.leading_directions(phi, leading_directions(form))
        sample, directions = first
        metric: Metric = sample.leading_metric(sample.coordinates.from_params(params), directions)
        return metric

    return metric_at


def mean_factors(objective: Objective, rng: np.random.Generator) -> Callable[[Float64Vector], Metric]:
    """The mean factors of a sample at the parameters it is asked for."""

    def metric_at(params: Float64Vector) -> Metric:
        sampler = Sampler(objective, rng)
        sample = sampler.sample(sample_size(sampler.n_rows, sampler.hessian_form, sampler.costs))
        metric: Metric = sample.params_metric(sample.coordinates.from_params(params))
        return metric

    return metric_at


def _metric_of_all_rows(objective: Objective, rng: np.random.Generator) -> Callable[[Float64Vector], Metric]:
    """The Hessian of all rows at the parameters it is asked for, from rows that are gathered when it is first asked."""
    sample: Any = None

    def metric_at(params: Float64Vector) -> Metric:
        nonlocal sample
        if sample is None:
            objective.widen()
            sample = Sampler(objective, rng).sample(objective.dataset.n_rows)
        metric: Metric = sample.params_metric(sample.coordinates.from_params(params))
        return metric

    return metric_at


def _rarely(objective: Objective, goal: float) -> Refresh:
    """The softened diagonal of several classes at the point, ever more rarely, where the end is far."""
    way: dict[str, Any] = {"long_way": LONGER_WAY} if objective.dataset.n_columns <= FEW_COLUMNS else {}
    return ever_rarer(lambda here: softened_diagonal_at(objective, here.params, here.grad), goal, **way)


def _after_a_step(objective: Objective, goal: float) -> Refresh:
    """The exact diagonal at the point after the first step, and ever more rarely from there where the end is far."""
    rarely = LATER_WAY, LATER_STEPS, LATER_GROWTH
    later = ever_rarer(lambda here: diagonal_at(objective, here.params), goal, *rarely)
    calls = 0

    def refresh(here: Trial, remaining: float) -> Metric | None:
        nonlocal calls
        calls += 1
        if calls == 2:
            return diagonal_at(objective, here.params)
        return later(here, remaining) if calls > 2 else None

    return refresh
