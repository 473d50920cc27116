"""The first step of a fit of two classes from no weights, whose length and curvature a small sample tells.

Without weights the model of the curvature is the diagonal of centred columns, all rows with the same curvature. The
step by it has the right direction where columns are nearly independent: of normal columns the gradient there is a
multiple of ``S w``, with their covariance ``S`` and the weights ``w`` of the minimum (Brillinger 1983). But it is too
short, as rows lose curvature on the way; and at its end the curvature along the step is less than across it: the
Hessian is ``a S + b S w w.T S``. L-BFGS takes three or four reads to learn both. A small sample tells them.

Source: D. Brillinger, "A generalized linear model with Gaussian regressor variables" (1983).
"""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.along_directions import along_directions
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import Metric
from gpu_logreg.solvers.corrected_metric import CorrectedMetric
from gpu_logreg.solvers.costs import gradients_price
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric

__all__ = ["first_step"]

LEAST_ROWS, MOST_ROWS, ROWS_FOR_EACH = 500, 2000, 32
"""Rows of the sample: one for each so many, at least and at most that. Five hundred tell the length of the step to a
few percent, which costs a thousandth of the decrease."""

LARGEST_SHARE = 0.25
"""Share of all rows that they may be."""


def first_step(
    objective: Objective, start: Float64Vector, metric: Metric, rng: np.random.Generator, most_reads: float = math.inf
) -> tuple[Float64Vector, Metric] | None:
    """The end of the first step, and a metric for there; or what was given, where it does not serve.

    None where gradients alone are expected to take more reads than that from there: where rows are few that have
    curvature there, as those near the border of classes that can be told apart, or of rare ones.

    The value at the end is kept, for a read.

    Parameters
    ----------
    objective : Objective
        Its columns' moments are known.
    start : ndarray of shape (p,)
    metric : Metric
        At the start; only the diagonal of two classes is improved.
    rng : Generator
        Its own numbers are left to other samples.
    most_reads : float
    """
    dataset, given = objective.dataset, (start, metric)
    size = min(MOST_ROWS, max(LEAST_ROWS, dataset.n_rows // ROWS_FOR_EACH))
    known = isinstance(dataset, ResidentDataset) and size <= LARGEST_SHARE * dataset.n_rows
    if objective.keeps_samples_sparse or not (known and isinstance(metric, CentredDiagonalMetric)):
        return given
    if objective.unpack(start)[0].any():
        return given
    value, grad = objective(start)
    directions = -metric.solve(grad)[None]
    if not directions[0] @ grad < 0.0:
        return given
    if objective.fit_intercept:
        directions = np.vstack([directions, np.eye(1, len(start), len(start) - 1)])
    assert objective.centre is not None
    assert objective.spread is not None
    mean, variance = objective.centre, objective.spread**2
    with np.errstate(over="ignore", invalid="ignore"):
        along = along_directions(objective, start, grad, directions, size, rng.spawn(1)[0])
        if along.is_of_few(float(directions[0, : len(variance)] ** 2 @ variance)):
            return given
        found = along.minimum()
        if found is None:
            return given if math.isinf(most_reads) else None
        if gradients_price(len(start), found[1].curved * dataset.n_rows) > most_reads:
            return None
        params = start + found[0] @ directions
        if not objective.keep(params) < value:
            return given
    curvature, hessian = found[1].curvature, found[1].hessian
    diagonal = CentredDiagonalMetric.of_moments(mean, variance, curvature, objective.l2, objective.fit_intercept)
    try:
        return params, CorrectedMetric(diagonal, directions, diagonal.forms(directions), hessian)
    except np.linalg.LinAlgError:
        return params, diagonal
