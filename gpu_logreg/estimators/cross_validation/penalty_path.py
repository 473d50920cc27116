"""Fits of the same rows for several strengths of the penalty, the strongest first, each from the end of the last."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.linear.by_columns import path_by_columns
from gpu_logreg.estimators.linear.fit import chosen_solver, minimise, objective_of
from gpu_logreg.estimators.linear.parameters import Asked
from gpu_logreg.estimators.linear.problem import Limits, Options, in_working_sets
from gpu_logreg.estimators.linear.shared_curvature import SharedCurvature
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.mathematics.penalty import elastic_net_strengths
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.path_sampler import FirstSample
from gpu_logreg.solvers import SolverResult

__all__ = ["How", "Path", "one_class_result", "penalty_path", "shares_of"]


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
    """

    solver: str
    solver_reason: str
    impl: str
    fit_intercept: bool
    tol: float
    max_iter: int
    random_state: Any = None

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
    asked = Asked(float(Cs[0]) if len(Cs) else 1.0, l1_ratio, how.solver, how.solver_reason, in_path=len(Cs) > 1)
    whole = objective_of(prepared, asked, how.impl, how.fit_intercept)
    strengths = [elastic_net_strengths(float(C), l1_ratio, whole.dataset.weight_total) for C in Cs]
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
        if name == "proximal" and not in_working_sets(one) and how.max_iter > 0:
            result = shared.fit(one, start)
        else:
            result = minimise(options, name, one, shares, start, how.limits)
        results.append(result)
        start = result.params if np.isfinite(result.params).all() else None
    return Path(results, one, name, reason)


def shares_of(prepared: Prepared) -> Float64Vector:
    """Weighted share of every class, of which any may have none: a fold need not have rows of all of them."""
    loss = prepared.target.loss
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
