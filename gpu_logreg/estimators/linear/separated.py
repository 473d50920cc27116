"""Fits in which some weights are free, and these separate the classes: the loss falls for ever, and no minimum is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.linear.bounds import Bounds
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult, separable

__all__ = ["without_a_minimum"]

FAR = 1e6
"""Times the largest free parameter at which the loss is looked at: rows that are on their side there lose nothing."""


def without_a_minimum(objective: Objective, result: SolverResult, bounds: Bounds | None) -> SolverResult:
    """The result, and unconverged where the free parameters alone put every row on its side.

    A row on the wrong side loses at least log 2. Below ``log(2) min(s) / sum(s)`` there is none; where there is none by
    the parameters alone that have neither a penalty nor a bound in their way, the value falls along them for ever.
    One read, and none of fits with a larger value.
    """
    least, total = float(objective.dataset.least_weight), float(objective.dataset.weight_total)
    on_their_side = math.log(2.0) * least / total
    tells = objective.loss.value_tells_separation and "separable" not in result.message
    if not (tells and 0.0 <= result.value < on_their_side):
        return result
    way = _free_way(objective, result.params, bounds)
    largest = float(np.abs(way).max(initial=0.0))
    if largest == 0.0 or not objective(way * (FAR / largest))[0] < on_their_side:
        return result
    return replace(result, converged=False, message=separable(result.value).message)


def _free_way(objective: Objective, params: Float64Vector, bounds: Bounds | None) -> Float64Vector:
    """Parameters with zeros for those that have a penalty, or a bound ahead."""
    l2 = np.zeros((objective.n_logits, objective.n_params // objective.n_logits))
    l2[:, : objective.dataset.n_columns] = objective.l2
    free = (l2.ravel() == 0.0) & (objective.l1_strengths == 0.0)
    if bounds is not None:
        free &= np.where(params > 0.0, bounds.high == np.inf, bounds.low == -np.inf)
    return np.where(free, params, 0.0)
