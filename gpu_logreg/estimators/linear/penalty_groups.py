"""Fits whose columns are penalised in groups: proximal Newton steps, and the conditions of an optimum at their end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.bounds import MOST_PARAMS
from gpu_logreg.estimators.linear.problem import Limits, Options
from gpu_logreg.estimators.linear.projected_steps import judged, projected_steps
from gpu_logreg.estimators.linear.starts import start_without_weights
from gpu_logreg.objectives.certificate import certificate, with_exact_value
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.group_penalty import GroupPenalty

__all__ = ["GROUP_SOLVER", "Groups", "fit_groups", "given_groups"]

GROUP_SOLVER = "group-newton"
"""``solver_`` of such a fit."""


class Groups(NamedTuple):
    """Groups of packed parameters; the intercept is one without a penalty.

    Attributes
    ----------
    of : ndarray of shape (n_params,)
        The group of each parameter.
    strengths : ndarray of shape (n_groups,)
        ``l1 f_g sqrt(p_g)`` of a group of ``p_g`` columns with the penalty factor ``f_g``.
    """

    of: IntVector
    strengths: Float64Vector

    def by(self, scale: Float64Vector) -> GroupPenalty:
        """Their penalty as a function of ``phi = scale * w``."""
        return GroupPenalty(self.of, self.strengths, scale)


def given_groups(penalty_groups: Any, objective: Objective) -> Groups:
    """The groups that an estimator's parameter gives, checked; columns in none are groups of one.

    Raises
    ------
    DataError
        What is no list of lists of columns, an empty group, a column in two groups or outside of X, a penalty factor
        that differs within a group; rows and models that cannot have groups.
    """
    data, p = objective.dataset, objective.n_params
    if objective.n_logits > 1:
        raise DataError(
            f"penalty_groups are for two classes, and y has {objective.n_logits}; fit one against the others"
        )
    if not hasattr(data, "blocks"):
        raise DataError("penalty_groups are for rows in memory or a stream, not on a cluster or several devices")
    if p > MOST_PARAMS:
        raise DataError(f"penalty_groups are for at most {MOST_PARAMS:,} parameters, and these are {p:,}")
    of, n_groups = _group_of_columns(penalty_groups, data.n_columns)
    factors = np.ones(data.n_columns) if objective.penalty_factor is None else objective.penalty_factor
    factor = np.zeros(n_groups)
    factor[of] = factors
    if (factors != factor[of]).any():
        j = int((factors != factor[of]).argmax())
        raise DataError(
            f"penalty_factor differs within the group of column {j}: {factors[j]:g} and {factor[of[j]]:g}; "
            "give the columns of a group the same"
        )
    strengths = objective.l1 * factor * np.sqrt(np.bincount(of, minlength=n_groups))
    if objective.fit_intercept:
        of, strengths = np.append(of, n_groups), np.append(strengths, 0.0)
    return Groups(of, strengths)


def _group_of_columns(penalty_groups: Any, n_columns: int) -> tuple[IntVector, int]:
    """The group of each column, and the number of groups."""
    of, n_groups = np.full(n_columns, -1), len(penalty_groups)
    for g, group in enumerate(penalty_groups):
        columns = _columns_of(g, group)
        outside = (columns < 0) | (columns >= n_columns)
        if outside.any():
            raise DataError(
                f"penalty_groups[{g}] has column {columns[outside][0]}, and X has columns 0 to {n_columns - 1}"
            )
        for j in columns:
            if of[j] >= 0:
                raise DataError(
                    f"column {j} is in penalty_groups[{of[j]}] and again in penalty_groups[{g}]; give it once"
                )
            of[j] = g
    alone = np.flatnonzero(of < 0)
    of[alone] = n_groups + np.arange(len(alone))
    return of, n_groups + len(alone)


def _columns_of(g: int, group: Any) -> IntVector:
    """A group as an array of whole numbers."""
    try:
        columns = np.asarray(group)
    except (TypeError, ValueError):
        columns = np.empty((0, 0))
    if columns.ndim == 1 and not len(columns):
        raise DataError(f"penalty_groups[{g}] is empty; leave it out")
    if columns.ndim != 1 or columns.dtype.kind not in "iu":
        raise DataError(f"penalty_groups[{g}] is no list of columns; give their numbers, such as [[0, 1], [2, 3, 4]]")
    return columns.astype(np.int64)


def fit_groups(
    objective: Objective,
    groups: Groups,
    shares: Float64Vector,
    start: Float64Vector | None,
    options: Options,
    limits: Limits,
) -> SolverResult:
    """The minimum with the penalty on groups in place of L1, in float64, with its certificate.

    Its parameters are as those of `gpu_logreg.estimators.linear.bounds.fit_bounded`.
    """
    params = start_without_weights(objective, shares) if start is None else start
    result, _, _ = projected_steps(objective, params, groups.by, options, limits)
    return _certified(objective, groups, result, limits.tol)


def _certified(objective: Objective, groups: Groups, result: SolverResult, tol: float) -> SolverResult:
    """The result with its exact value, converged only where it meets the conditions of an optimum.

    They are stationarity of the groups that are not zero, and of those that are ``|grad_g| <= l_g``.
    """
    if objective.centre is None or objective.spread is None:
        objective.column_moments()
    smooth = objective.penalised(0.0)  # to whose value no L1 penalty is added
    smooth.rounding = objective.rounding
    added = groups.by(np.ones(smooth.n_params)).penalty(result.params)
    result = with_exact_value(smooth, replace(result, value=result.value - added))
    curve = [*result.loss_curve[:-1], result.value + added]
    result = replace(result, value=result.value + added, loss_curve=curve)
    grad = result.grad if result.smooth_grad is None else result.smooth_grad

    def subgradient(by_column: Float64Vector, scale: Float64Vector) -> Float64Vector:
        return groups.by(scale).subgradient(result.params * scale, by_column.ravel()).reshape(by_column.shape)

    proof = certificate(smooth, result.params, result.value, grad, tol, subgradient)
    return judged(result, proof, "of groups")
