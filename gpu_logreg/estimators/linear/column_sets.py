"""Problems with an L1 penalty: of all columns at once, or of a working set of them at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.path_sampler import FirstSample, PathSampler
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.costs import LARGEST_P
from gpu_logreg.solvers.proximal import proximal
from gpu_logreg.solvers.working_set import Columns, working_set

__all__ = ["proximal_by_columns"]


def proximal_by_columns(
    objective: Objective,
    start: Float64Vector,
    *,
    rng: np.random.Generator,
    warm: bool,
    in_working_sets: bool,
    first_sample: FirstSample | None = None,
    **limits: Any,
) -> SolverResult:
    """Proximal Newton with the penalty of the objective: `gpu_logreg.solvers.proximal.proximal`.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (p,)
    rng : Generator
    warm : bool
        Whether ``start`` is believed to be near the optimum.
    in_working_sets : bool
        Whether to solve for a few columns at a time.
    first_sample : FirstSample or None
        That of a path, for all columns at once.
    **limits
        ``tol``, ``max_iter`` and ``observer``; for all columns at once, also ``late``.
    """
    strengths = objective.l1_strengths
    if not in_working_sets:
        sampler = Sampler(objective, rng) if first_sample is None else PathSampler(objective, rng, first_sample)
        needs: dict[str, Any] = {"sampler": sampler, "l1": strengths, "l2": objective.l2}
        return proximal(objective, start, warm=warm, **needs, **limits)
    objective.widen()  # by whose gradient columns are missed, and no sample has shown its rounding
    by_columns, n_columns = objective.engine.columns(objective.dataset), objective.dataset.n_columns

    def solve(columns: Any, start: Float64Vector, warm: bool, limit: float, max_iter: int) -> SolverResult:
        some = objective.restricted(by_columns(columns), columns)
        needs: dict[str, Any] = {"sampler": Sampler(some, rng), "l1": some.l1_strengths, "l2": some.l2}
        result = proximal(some, start, warm=warm, **needs, tol=limit, support=math.inf, max_iter=max_iter)
        objective.reads.total += some.reads.total * some.dataset.n_stored / max(1, objective.dataset.n_stored)
        if some.centre is not None:  # of the other columns the weights are zero
            centre = np.zeros(n_columns)
            centre[columns] = some.centre
            objective.centre_on(centre, objective.spread)
        return result

    columns = Columns(n_columns, objective.n_logits, LARGEST_P // objective.n_logits - 1)
    result = working_set(objective, solve, start, strengths, columns, l2=objective.l2, warm=warm, **limits)
    objective.centre_on(objective.centre, None)  # the spread is known of some columns alone
    return result
