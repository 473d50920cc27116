"""The moments of the columns, and value and gradient of two classes where a fit starts without weights, by one read.

There every row has the logit ``b`` and the probability ``p = sigmoid(b)``, so that with ``S = sum(s)`` the sums are

``loss_sum = S softplus(b) - b sum(s y)``, ``dw_sum = p sum(s x) - sum(s y x)`` and ``db_sum = p S - sum(s y)``.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.logistic import loss_and_dz
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.sums import LabelledMoments, Moments, Sums

__all__ = ["column_moments_at_start"]


def column_moments_at_start(objective: Objective, start: Float64Vector) -> tuple[Float64Vector, Float64Vector]:
    """Mean and variance of every column; one read, by which a solver knows value and gradient at ``start`` too.

    The latter not from a start with weights, nor where the engine has no code for it: see
    `gpu_logreg.passes.engine.Engine.moments_by_label`.
    """
    found = None
    if objective.n_logits == 1 and not objective.unpack(start)[0].any():
        found = objective.engine.moments_by_label(objective.dataset)
    if found is None:
        return objective.column_moments()
    columns = objective.column_moments(Moments(found.x_sum, found.xx_sum))
    total = objective.dataset.weight_total
    objective.keep(start, lambda _, b: _sums(found, b, total))
    return columns


def _sums(found: LabelledMoments, b: float, total: float) -> Sums:
    """What a pass gives where all weights are zero."""
    row_loss, p = loss_and_dz(np.array([b]), np.zeros(1))
    loss_sum = total * float(row_loss[0]) - b * found.y_sum
    return Sums(loss_sum, float(p[0]) * found.x_sum - found.yx_sum, float(p[0]) * total - found.y_sum)
