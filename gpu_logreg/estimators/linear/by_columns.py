"""Fits with an L1 penalty by the columns of sparse rows: whether there is code and memory for it, and paths over C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import gib
from gpu_logreg.objectives.certificate import certify
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SavedState, SolverResult
from gpu_logreg.solvers.newton_by_columns import newton_by_columns

__all__ = ["by_columns", "path_by_columns", "refused_by_columns"]


def refused_by_columns(objective: Objective) -> str | None:
    """Why a fit cannot go by columns; None where it can."""
    if objective.penalty_factor is not None:
        return "it knows one strength of the penalty for all columns"
    if getattr(objective.loss, "soft", False):
        return "it knows no soft labels"
    if not objective.dataset.is_resident:
        return "it takes all rows by columns, and they are streamed"
    nbytes = objective.engine.bytes_by_columns(objective.dataset)
    if nbytes is None:
        return f"it takes sparse rows, and the pass {objective.engine.name!r} has no code for these"
    if nbytes > free_memory():
        return f"copies of X by columns take {gib(nbytes)}, and {gib(free_memory())} are available"
    return None


def by_columns(
    objective: Objective, start: Float64Vector, *, saved: SavedState | None = None, **limits: Any
) -> SolverResult:
    """Proximal Newton by coordinate descent: `gpu_logreg.solvers.newton_by_columns.newton_by_columns`.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (p,)
    saved : SavedState or None
    **limits
        ``tol``, ``max_iter`` and ``observer``.

    Raises
    ------
    DataError
        Without an L1 penalty; for rows that it cannot take; for NaN or infinity in ``X``.
    """
    return _minimum(objective, _columns(objective), start, saved=saved, **limits)


def path_by_columns(
    objective: Objective, start: Float64Vector, strengths: Sequence[tuple[float, float]], **limits: Any
) -> list[SolverResult]:
    """The minima for several strengths of the penalty, each from the last, with one copy of the columns.

    Parameters
    ----------
    objective : Objective
        Its own penalty is not used; its reads are counted.
    start : ndarray of shape (p,)
        For the first.
    strengths : sequence of (l1, l2)
        The strongest first, as a rule: its minimum has fewest weights.
    **limits
        ``tol`` and ``max_iter`` of each, and ``observer``.

    Returns
    -------
    list of SolverResult
        Each with its certificate: see `gpu_logreg.objectives.certificate.certify`.
    """
    results: list[SolverResult] = []
    columns = None
    for l1, l2 in strengths:
        one = objective.penalised(l1, l2)
        columns = _columns(one) if columns is None else columns

        def go_on(end: SolverResult, tol: float, max_iter: int, one: Objective = one, columns: Any = columns) -> Any:
            return _minimum(one, columns, end.params, **{**limits, "tol": tol, "max_iter": max_iter})

        result = _minimum(one, columns, start, **limits)
        result = certify(one, result, limits["tol"], limits["max_iter"], go_on)
        results.append(result)
        start = result.params
    return results


def _columns(objective: Objective) -> Any:
    refused = refused_by_columns(objective)
    if objective.l1 == 0.0:
        refused = "it needs an L1 penalty: l1_ratio above 0 and a finite C"
    if refused is not None:
        raise DataError(f"solver='coordinate-descent' cannot be used: {refused}; use solver='auto'")
    if not objective.dataset.all_finite():
        objective.dataset.refuse_not_finite()
    reads = objective.reads

    def count(share: float) -> None:
        reads.total += share

    return objective.engine.by_columns(objective.dataset, objective.fit_intercept, count)


def _minimum(objective: Objective, columns: Any, start: Float64Vector, **limits: Any) -> SolverResult:
    objective.widen()  # columns are summed in float64
    shape = objective.n_logits, objective.dataset.n_columns
    with np.errstate(over="ignore", invalid="ignore"):
        result = newton_by_columns(columns, start, shape, l1=objective.l1, l2=objective.l2, **limits)
    if not (np.isfinite(result.value) and np.isfinite(result.grad).all()):
        objective.dataset.refuse_not_finite()
    return result
