"""Fewer rows than columns: the weights as a sum of the rows, with one number for each row and logit."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.arrays.wide_vectors import is_wide
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.row_space import RowSpace
from gpu_logreg.objectives.sampler import FAR_FROM_ZERO
from gpu_logreg.passes.row_space import has_gram, mean_square, multiplies
from gpu_logreg.solvers import Observer, SolverResult
from gpu_logreg.solvers.costs import gram_price, has_room_for_gram
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL
from gpu_logreg.solvers.row_space import minimum_in_row_space

__all__ = ["has_row_space", "in_row_space"]

LAST_SHARE = 0.1
"""Share of the decrease to end with that the steps are to leave: it is estimated without a bound."""

LARGEST_SHARE = 2e3
"""Curvature of the loss of sparse rows, at its mean, over the ridge, up to which they are few steps from the minimum:
without a Gram matrix a step knows no more than the length of each row. Chosen by trials on text of 105 classes with C
from 1 to 20, the last at 1,200, of which no row is kept; counts with heavy tails, far above, took 91 or more."""

MOST_STEPS = 40.0
"""Products with the Gram matrix of sparse rows, which is not computed, that are too many."""


def has_row_space(objective: Objective) -> bool:
    """Whether rows are fewer than columns, on the host, and one ridge for all keeps weights in their span.

    Of sparse rows it is for many classes and twice as many columns, whose weights are so many that arithmetic with them
    takes most of a fit, and for ridges that are not weak.
    """
    data = objective.dataset
    few = 0 < data.n_rows < data.n_columns and objective.penalty_factor is None
    if not (few and objective.l2 > 0.0 and objective.l1 == 0.0 and multiplies(data, objective.engine.name)):
        return False
    if has_gram(data):
        return True
    wide = objective.n_logits > 1 and is_wide(objective.n_params) and 2 * data.n_rows <= data.n_columns
    return wide and mean_square(data) <= LARGEST_SHARE * objective.n_logits * objective.l2


def in_row_space(
    objective: Objective,
    start: Float64Vector,
    *,
    warm: bool,
    tol: float,
    max_iter: int,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise an objective that `has_row_space`, from no weights, or towards those of a ``warm`` start.

    It ends ``stuck`` where rows are too many for their Gram matrix and so unlike independent ones that it is needed.
    """
    mean, variance = objective.column_moments()
    if bool((np.abs(mean) > FAR_FROM_ZERO * np.sqrt(variance))[variance > 0.0].any()):
        objective.widen()
    rows, K = RowSpace(objective), objective.n_logits
    b = np.atleast_1d(objective.unpack(start)[1]).astype(np.float64)
    towards = rows.numbers_at(start) if warm else None
    n, d = objective.dataset.n_rows, objective.dataset.n_columns
    price, has_room = gram_price(n, d, K), has_room_for_gram(n, K)
    if not has_gram(objective.dataset):
        price, has_room = MOST_STEPS, False
    curve: list[float] = []
    while True:
        found = minimum_in_row_space(
            rows,
            b,
            enough=LAST_SHARE * DECREASE_PER_TOL * tol,
            max_iter=max_iter - max(0, len(curve) - 1),
            price=price,
            has_room=has_room,
            towards=towards,
            observer=observer,
        )
        curve += found.loss_curve if not curve else found.loss_curve[1:]
        params, n_iter = rows.params(found.a, found.b), len(curve) - 1
        value, grad = objective(params)
        curve[-1] = value
        largest = float(np.abs(grad).max(initial=0.0))
        figures = f"max |grad| = {largest:.2g}"
        if found.stopped:
            return SolverResult(params, value, grad, n_iter, False, "stopped by a callback", curve)
        if largest <= tol:
            return SolverResult(params, value, grad, n_iter, True, f"{figures} <= tol = {tol:g}", curve)
        if n_iter >= max_iter:
            message = f"max_iter = {max_iter} reached with {figures}, tol = {tol:g}"
            return SolverResult(params, value, grad, n_iter, False, message, curve)
        if found.slow or rows.gram is not None or not has_room:
            return SolverResult(params, value, grad, n_iter, False, figures, curve, stuck=True)
        rows.keep_gram()  # the directions without it were of little use
        b, towards = found.b, found.a
