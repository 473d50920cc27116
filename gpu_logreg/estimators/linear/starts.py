"""Where a fit of a linear model starts: from no weights, or from the solution of the last fit."""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.penalty import l1_penalty
from gpu_logreg.objectives.linear import Objective

__all__ = ["adds_up_to_0", "better_than_no_weights", "start_without_weights"]

SAME_VALUE = 1e-6
"""Relative excess over the value of no weights up to which a start is taken: no weights may be the optimum."""

COMMON = 1e-12
"""Share of the largest weight up to which what all classes have in common is rounding."""


def start_without_weights(objective: Objective, shares: Float64Vector) -> Float64Vector:
    """The optimum while all weights are zero: intercepts that give every class its share."""
    params = np.zeros(objective.n_params)
    if not objective.fit_intercept:
        return params
    least_share = 1e-3 / objective.dataset.weight_total  # of a class whose rows all weigh nothing
    params.reshape(objective.n_logits, -1)[:, -1] = objective.loss.start(shares, least_share)
    return params


def better_than_no_weights(objective: Objective, shares: Float64Vector, start: Float64Vector) -> bool:
    """Whether a start has a lower value than `start_without_weights`, whose value is the entropy of the classes.

    From farther away every row may be saturated, where no model of the curvature is worth the name.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            value = objective.keep(start) + l1_penalty(start, objective.l1_strengths)
    except DataError:  # the sums overflow; a row that is not finite is refused from any start
        return False
    present = shares[shares > 0.0]
    entropy = -float(present @ np.log(present)) if objective.fit_intercept else math.log(len(shares))
    return value <= entropy * (1.0 + SAME_VALUE)


def adds_up_to_0(objective: Objective, start: Float64Vector) -> Float64Vector:
    """The start less what the parameters of all classes have in common, which `ClasswiseMetric` would keep."""
    by_class = start.reshape(objective.n_logits, -1)
    common = by_class.mean(axis=0)
    if not objective.loss.has_free_directions or (np.abs(common) <= COMMON * np.abs(by_class).max(axis=0)).all():
        return start
    return np.asarray((by_class - common).ravel())
