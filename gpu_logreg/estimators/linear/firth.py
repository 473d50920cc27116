"""Firth's penalty: the fit, and the tests and intervals of its penalised likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.problem import Limits
from gpu_logreg.estimators.linear.starts import start_without_weights
from gpu_logreg.mathematics.inference import chi_square_test
from gpu_logreg.objectives.firth import FirthAt, FirthLikelihood
from gpu_logreg.objectives.information import refuse_wide
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.reference.information import Point
from gpu_logreg.rows.streamed import Dataset
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.firth import firth_newton, largest_where, profile_end

__all__ = ["FIRTH_SOLVER", "FirthProfile", "fit_firth", "profile_of"]

FIRTH_SOLVER = "firth-newton"
"""``solver_`` of such a fit."""


class FirthProfile(NamedTuple):
    """What the penalised likelihood of two classes says of every parameter.

    Attributes
    ----------
    at : FirthAt
        The model.
    grad : ndarray of shape (p,)
        Of the penalised likelihood there, by its coordinates.
    p_values : ndarray of shape (p,)
        Of likelihood ratios: twice the fall where the parameter is zero, and the others are at their best.
    intervals : ndarray of shape (p, 2)
    null : float
        The largest penalised likelihood where all parameters but the intercept are zero.
    """

    at: FirthAt
    grad: Float64Vector
    p_values: Float64Vector
    intervals: Float64Matrix
    null: float


def fit_firth(objective: Objective, shares: Float64Vector, start: Float64Vector | None, limits: Limits) -> SolverResult:
    """The maximum of Firth's penalised likelihood of the rows of an objective.

    Raises
    ------
    DataError
        More than two classes, too many columns, collinear columns, rows on a cluster.
    """
    data, d = objective.dataset, objective.dataset.n_columns
    if objective.n_logits > 1:
        raise DataError(
            f"penalty='firth' is for two classes, and y has {objective.n_logits}; fit one against the others"
        )
    if not hasattr(data, "blocks"):
        raise DataError(
            "penalty='firth' is for rows in memory or a stream, and these are on a cluster or several devices"
        )
    refuse_wide(objective.n_params)
    params = start_without_weights(objective, shares) if start is None else start
    w, b = objective.unpack(params)
    point = Point.of(data, w[None], np.array([b]), objective.fit_intercept)
    likelihood = FirthLikelihood(data, point, lambda j: _name(data, j, d))
    tol, max_iter, observer = limits
    result = firth_newton(likelihood, point.Phi[0], tol=tol, max_iter=max_iter, observer=observer)
    objective.reads.total += likelihood.reads
    return result


def profile_of(
    data: Dataset, point: Point, names: Callable[[int], str], fall: float, check: Callable[[FirthAt, Any], None]
) -> FirthProfile:
    """Tests and intervals of all parameters; some tens of walks over the rows for each.

    Parameters
    ----------
    data : Dataset
    point : Point
        The fitted model.
    names : function int -> str
        Names of columns.
    fall : float
        Of the likelihood to the ends of the intervals: half a quantile of chi-square with one degree of freedom.
    check : function (FirthAt, gradient) -> None
        Called with the model before its profile, to refuse it.
    """
    likelihood = FirthLikelihood(data, point, names)
    at = likelihood.at(point.Phi[0])
    grad = likelihood.gradient(at)
    check(at, grad)
    p, fit_intercept = len(at.phi), point.coordinates.fit_intercept
    functionals = point.coordinates.grad_to_phi(np.eye(p))  # of every parameter by the columns as they are
    p_values, intervals = np.empty(p), np.empty((p, 2))
    for j, a in enumerate(functionals):
        without = largest_where(likelihood, at, a[None], np.zeros(1))
        p_values[j] = chi_square_test(2.0 * (at.value - without.value), 1).p
        ends = [profile_end(likelihood, at, a, fall, sign) for sign in (-1.0, 1.0)]
        if not np.isfinite(ends).all():
            raise DataError(f"the profile of {names(j)} does not settle; scale the column, or leave it out")
        intervals[j] = ends
    of_null = functionals[: p - fit_intercept]
    null = largest_where(likelihood, at, of_null, np.zeros(len(of_null))).value if len(of_null) else at.value
    return FirthProfile(at, grad, p_values, intervals, null)


def _name(data: Dataset, column: int, d: int) -> str:
    if column == d:
        return "intercept"
    return repr(f"x{column}" if data.column_names is None else str(data.column_names[column]))
