"""Fits of the same rows for several strengths of the penalty, the strongest first, each from the end of the last."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.linear.bounds import BOUNDED_SOLVER, fit_bounded, given_bounds
from gpu_logreg.estimators.linear.by_columns import path_by_columns
from gpu_logreg.estimators.linear.fit import chosen_solver, minimise, objective_of
from gpu_logreg.estimators.linear.parameters import Asked
from gpu_logreg.estimators.linear.penalty_groups import GROUP_SOLVER, fit_groups, given_groups
from gpu_logreg.estimators.linear.problem import Limits, Options, in_working_sets
from gpu_logreg.estimators.linear.separated import without_a_minimum
from gpu_logreg.estimators.linear.shared_curvature import SharedCurvature
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.mathematics.penalty import elastic_net_strengths
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.path_sampler import FirstSample
from gpu_logreg.solvers import SolverResult

__all__ = ["How", "Path", "Restrictions", "one_class_result", "penalty_path", "shares_of"]


@dataclass(frozen=True)
class Restrictions:
    """What weights are held to beside a penalty by one strength, as an estimator's parameters of these names say it."""

    penalty_factor: Any
    penalty_groups: Any
    lower_bounds: Any
    upper_bounds: Any
    positive: bool

    @classmethod
    def of(cls, model: Any) -> Restrictions | None:
        """Those of an estimator; None where it has none."""
        found = cls(*(getattr(model, field.name) for field in fields(cls)))
        is_given = found.has_bounds or found.penalty_factor is not None or found.penalty_groups is not None
        return found if is_given else None

    @property
    def has_bounds(self) -> bool:
        """Whether there is a bound."""
        return bool(self.positive or self.lower_bounds is not None or self.upper_bounds is not None)

    def added_to(self, asked: Asked) -> Asked:
        """What a fit asks for, with these."""
        has_groups = self.penalty_groups is not None
        return replace(asked, penalty_factor=self.penalty_factor, has_bounds=self.has_bounds, has_groups=has_groups)

    def fit(
        self, objective: Objective, shares: Float64Vector, start: Float64Vector | None, options: Options, limits: Limits
    ) -> tuple[SolverResult, str] | None:
        """The minimum within bounds or with groups, and the solver; None where there are neither."""
        if self.has_bounds:
            bounds = given_bounds(self, objective)
            return fit_bounded(objective, bounds, shares, start, options, limits), BOUNDED_SOLVER
        if self.penalty_groups is not None and objective.l1 > 0.0:
            groups = given_groups(self.penalty_groups, objective)
            return fit_groups(objective, groups, shares, start, options, limits), GROUP_SOLVER
        return None

    def judged(self, objective: Objective, result: SolverResult) -> SolverResult:
        """The result, unconverged where weights that nothing holds separate the classes."""
        return without_a_minimum(objective, result, given_bounds(self, objective) if self.has_bounds else None)


@dataclass(frozen=True)
class How:
    """What all fits of a path or a grid share, as an estimator's parameters say it.

    Attributes
    ----------
    solver, solver_reason : str
    impl : str
    fit_intercept : bool
    tol : float
    max_iter : int
    random_state : int, RandomState or None
    restrictions : Restrictions or None
        What weights are held to besides.
    """

    solver: str
    solver_reason: str
    impl: str
    fit_intercept: bool
    tol: float
    max_iter: int
    random_state: Any = None
    restrictions: Restrictions | None = None

    @property
    def has_bounds(self) -> bool:
        """Whether weights have bounds."""
        return self.restrictions is not None and self.restrictions.has_bounds

    def asked(self, C: float, l1_ratio: float, in_path: bool) -> Asked:
        """What a fit asks for."""
        asked = Asked(C, l1_ratio, self.solver, self.solver_reason, in_path=in_path)
        return asked if self.restrictions is None else self.restrictions.added_to(asked)

    @property
    def limits(self) -> Limits:
        """When each fit ends."""
        return Limits(self.tol, self.max_iter)

    @property
    def options(self) -> Options:
        """What solvers need besides."""
        return Options(self.random_state)


@dataclass(frozen=True)
class Path:
    """The fits for several C.

    Attributes
    ----------
    results : list of SolverResult
        In the order of the values of C.
    objective : Objective
        With the count of the reads of all fits; its penalty is that of one of them.
    solver, solver_reason : str
        Of the last fit.
    """

    results: list[SolverResult]
    objective: Objective
    solver: str
    solver_reason: str


def penalty_path(
    prepared: Prepared,
    shares: Float64Vector,
    Cs: Float64Vector,
    l1_ratio: float,
    how: How,
    start: Float64Vector | None = None,
) -> Path:
    """Fit the same rows for every C.

    Parameters
    ----------
    prepared : Prepared
    shares : ndarray of shape (K,)
        Of the classes.
    Cs : ndarray of shape (n_cs,)
        Ascending: with the strongest penalty weights are fewest and smallest, and each fit begins at the last. May be
        empty.
    l1_ratio : float
    how : How
    start : ndarray of shape (p,) or None
        For the first.
    """
    asked = how.asked(float(Cs[0]) if len(Cs) else 1.0, l1_ratio, in_path=len(Cs) > 1)
    whole = objective_of(prepared, asked, how.impl, how.fit_intercept)
    strengths = [elastic_net_strengths(float(C), l1_ratio, whole.dataset.weight_total) for C in Cs]
    if whole.penalty_factor is not None and not whole.penalty_factor.any():
        strengths = [(0.0, 0.0)] * len(Cs)
    name, reason = chosen_solver(how.solver, how.solver_reason, whole, asked.in_path)
    if name == "coordinate-descent" and len(Cs) and how.max_iter > 0 and all(l1 > 0.0 for l1, _ in strengths):
        first = np.zeros(whole.n_params) if start is None else start
        limits = how.limits._asdict()
        return Path(path_by_columns(whole, first, strengths, **limits), whole, name, reason)
    results: list[SolverResult] = []
    one, options = whole, replace(how.options, first_sample=FirstSample())
    shared = SharedCurvature(options, shares, how.limits)
    for l1, l2 in strengths:
        one = whole.penalised(l1, l2)
        name, reason = chosen_solver(how.solver, how.solver_reason, one, asked.in_path)
        restricted = how.restrictions and how.restrictions.fit(one, shares, start, options, how.limits)
        if restricted:
            result, name = restricted
        elif name == "proximal" and not in_working_sets(one) and how.max_iter > 0:
            result = shared.fit(one, start)
        else:
            result = minimise(options, name, one, shares, start, how.limits)
        results.append(result if how.restrictions is None else how.restrictions.judged(one, result))
        start = result.params if np.isfinite(result.params).all() else None
    return Path(results, one, name, reason)


def shares_of(prepared: Prepared) -> Float64Vector:
    """Weighted share of every class, of which any may have none: a fold need not have rows of all of them."""
    loss = prepared.offset_loss or prepared.target.loss
    assert not isinstance(loss, Labels)
    return np.asarray(prepared.data.weights_of_classes(loss) / prepared.data.weight_total)


def of_one_class(objective: Objective, shares: Float64Vector) -> Float64Vector:
    """Parameters for rows of a single class, without weights.

    The intercept has no finite optimum, and is that of a thousandth of a row of every other class.
    """
    params = np.zeros(objective.n_params)
    if objective.fit_intercept:
        least = 1e-3 / objective.dataset.weight_total
        logs = np.log(np.maximum(shares, least))
        by_class = params.reshape(objective.n_logits, -1)
        by_class[:, -1] = logs[1] - logs[0] if objective.n_logits == 1 else logs - logs.mean()
    return params


def one_class_result(objective: Objective, shares: Float64Vector) -> SolverResult:
    """`of_one_class` as the end of a fit."""
    params = of_one_class(objective, shares)
    return SolverResult(params, 0.0, np.zeros_like(params), 0, True, "all rows are of one class", [], math.nan)
