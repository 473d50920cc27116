"""Fits whose weights have bounds: projected Newton steps, and the conditions of an optimum at their end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.problem import Limits, Options
from gpu_logreg.estimators.linear.projected_steps import judged, projected_steps
from gpu_logreg.estimators.linear.starts import start_without_weights
from gpu_logreg.objectives.certificate import certificate, with_exact_value
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.projected_newton import Box, least_subgradient

__all__ = ["BOUNDED_SOLVER", "MOST_PARAMS", "fit_bounded", "given_bounds"]

BOUNDED_SOLVER = "projected-newton"

MOST_PARAMS = 4000
"""Parameters up to which models are minimised within bounds: a Hessian of 128 MB, factored for each set of bounds."""


class Bounds(NamedTuple):
    """Bounds of packed parameters; intercepts have none.

    Attributes
    ----------
    low, high : ndarray of shape (n_params,)
    """

    low: Float64Vector
    high: Float64Vector


def given_bounds(model: Any, objective: Objective) -> Bounds:
    """The bounds that an estimator's parameters give, checked.

    Raises
    ------
    DataError
        Bounds of another shape, NaN, or that cross; rows and models that cannot have them.
    """
    if model.positive and model.lower_bounds is not None:
        raise DataError("positive=True and lower_bounds both give lower bounds; give one of them")
    data, K, p = objective.dataset, objective.n_logits, objective.n_params
    if not hasattr(data, "blocks"):
        raise DataError("bounds are for rows in memory or a stream, and these are on a cluster or several devices")
    if p > MOST_PARAMS or not objective.hessian_form.whole:
        raise DataError(f"bounds are for at most {MOST_PARAMS:,} parameters, 2,000 of K classes, and these are {p:,}")
    low = _packed("lower_bounds", 0.0 if model.positive else model.lower_bounds, -np.inf, objective)
    high = _packed("upper_bounds", model.upper_bounds, np.inf, objective)
    wrong = (low > high) | (low == np.inf) | (high == -np.inf)
    if wrong.any():
        at = int(wrong.argmax())
        j = at % (p // K)
        raise DataError(
            f"bounds cross at column {j}{data.column_name(j)}: lower {low[at]:g}, upper {high[at]:g}; "
            "give lower_bounds <= upper_bounds"
        )
    return Bounds(low, high)


def _packed(name: str, given: Any, none: float, objective: Objective) -> Float64Vector:
    """Bounds of all parameters, packed; ``none`` for intercepts."""
    K, d = objective.n_logits, objective.dataset.n_columns
    try:
        values = np.asarray(none if given is None else given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds what is no number; give a bound for each column of X") from error
    if values.shape not in ((), (d,), (K, d)):
        wanted = f"({d},)" if K == 1 else f"({d},) or ({K}, {d})"
        raise DataError(f"{name} has shape {values.shape}; give a number, or shape {wanted}")
    if np.isnan(values).any():
        raise DataError(f"{name} holds NaN at column {int(np.isnan(values).argmax()) % d}; use inf for no bound")
    packed = np.full((K, objective.n_params // K), none)
    packed[:, :d] = values
    return packed.ravel()


def fit_bounded(
    objective: Objective,
    bounds: Bounds,
    shares: Float64Vector,
    start: Float64Vector | None,
    options: Options,
    limits: Limits,
) -> SolverResult:
    """The minimum within bounds, in float64, with its certificate.

    Parameters
    ----------
    objective : Objective
    bounds : Bounds
    shares : ndarray of shape (K,)
        Of the classes.
    start : ndarray of shape (p,) or None
        The solution of the last fit.
    options : Options
    limits : Limits
    """
    params = start_without_weights(objective, shares) if start is None else start
    found = projected_steps(
        objective,
        np.clip(params, bounds.low, bounds.high),
        lambda scale: Box(bounds.low * scale, bounds.high * scale, objective.l1_strengths / scale),
        options,
        limits,
    )
    return _certified(objective, bounds, _by_params(*found, bounds), limits.tol)


def _by_params(result: SolverResult, phi: Float64Vector, box: Box, bounds: Bounds) -> SolverResult:
    """The result with parameters that are at a bound exactly there."""
    params = np.clip(result.params, bounds.low, bounds.high)
    params = np.where(phi <= box.low, bounds.low, np.where(phi >= box.high, bounds.high, params))
    return replace(result, params=params)


def _certified(objective: Objective, bounds: Bounds, result: SolverResult, tol: float) -> SolverResult:
    """The result with its exact value, converged only where it meets the conditions of an optimum."""
    if objective.centre is None or objective.spread is None:
        objective.column_moments()
    result = with_exact_value(objective, result)
    assert result.smooth_grad is not None
    shape = objective.n_logits, -1
    x, low, high, l1 = (a.reshape(shape) for a in (result.params, *bounds, objective.l1_strengths))

    def subgradient(grad: Float64Vector, scale: Float64Vector) -> Float64Vector:
        return least_subgradient(x, grad, l1 / scale, x <= low, x >= high)

    proof = certificate(objective, result.params, result.value, result.smooth_grad, tol, subgradient)
    return judged(result, proof, "within bounds")
