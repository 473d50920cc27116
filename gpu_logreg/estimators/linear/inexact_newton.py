"""Newton's method by products of the Hessian on a linear model: from which start, and with which preconditioners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.linear.quasi_newton import diagonal_at_start, has_factors, mean_factors
from gpu_logreg.estimators.linear.row_space import has_row_space, in_row_space
from gpu_logreg.estimators.linear.starts import adds_up_to_0
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import Metric, Observer, SolverResult
from gpu_logreg.solvers.conjugate_gradients import InexactStep
from gpu_logreg.solvers.diagonal_metric import CentredDiagonalMetric, by_class
from gpu_logreg.solvers.newton_cg import newton_cg

__all__ = ["Preconditioners", "newton_cg_by_measure"]

SLOW_RATE = 0.6
"""Share of the decrease that a product leaves, from which on another preconditioner is tried, if there is one."""

Candidate = Callable[[Float64Vector, Any], Metric]
"""From a point and the Hessian there to a preconditioner."""


class Preconditioners:
    """Several preconditioners, of which each point takes the one that has left least by a product where it was tried.

    Parameters
    ----------
    candidates : sequence of Candidate
        The next is tried where a step with the best so far was slow.
    """

    def __init__(self, *candidates: Candidate) -> None:
        self._candidates = candidates
        self._rates: list[float] = []
        self._used = 0

    def __call__(self, params: Float64Vector, hessian: Any, before: InexactStep | None) -> Metric:
        """The preconditioner of a point; ``before`` is the step that led there."""
        if before is not None and before.n_products:
            if self._used == len(self._rates):
                self._rates.append(before.rate)
            self._rates[self._used] = before.rate
            best = int(np.argmin(self._rates))
            untried = len(self._rates) < len(self._candidates)
            self._used = len(self._rates) if untried and self._rates[best] > SLOW_RATE else best
        return self._candidates[self._used](params, hessian)


def newton_cg_by_measure(
    objective: Objective,
    start: Float64Vector,
    *,
    shares: Float64Vector,
    rng: np.random.Generator,
    warm: bool,
    tol: float,
    max_iter: int,
    observer: Observer | None = None,
) -> SolverResult:
    """Inexact Newton steps, preconditioned by what the steps themselves show to be worth most.

    With fewer rows than columns and a ridge they may be steps by the numbers of the rows instead.

    First by the diagonal of the Hessian at zero weights, from the moments of the columns; where that is slow by the
    diagonal at the present point, one read; and for several classes of dense rows by mean factors of a sample.

    Parameters are those of `gpu_logreg.estimators.linear.quasi_newton.lbfgs_from_a_diagonal`.
    """
    if has_row_space(objective) and max_iter > 0:
        found = in_row_space(objective, start, warm=warm, tol=tol, max_iter=max_iter, observer=observer)
        if not found.stuck:
            return found
        start, max_iter = found.params, max_iter - found.n_iter
    at_start = diagonal_at_start(objective, shares)
    assert objective.centre is not None  # known by the moments that the diagonal comes from
    assert objective.spread is not None
    mean, variance, fit_intercept, l2 = objective.centre, objective.spread**2, objective.fit_intercept, objective.l2
    centred = variance / np.maximum(variance + mean**2, np.finfo(np.float64).tiny) if fit_intercept else 1.0

    def at_point(params: Float64Vector, hessian: Any) -> Metric:
        rows = hessian.diagonal().reshape(objective.n_logits, -1)
        metrics: list[Metric] = []
        for row in rows:
            second = (row[: len(mean)] - l2) * centred
            curvature = float(row[-1]) if fit_intercept else 1.0
            metrics.append(CentredDiagonalMetric.of_diagonal(mean, second + l2, curvature, fit_intercept))
        return by_class(metrics)

    candidates: list[Candidate] = [lambda params, hessian: at_start, at_point]
    if has_factors(objective):
        factors = mean_factors(objective, rng)
        candidates.insert(1, lambda params, hessian: factors(params))
    params = adds_up_to_0(objective, start) if warm else start
    ends: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "observer": observer}
    return newton_cg(objective, params, metric_at=Preconditioners(*candidates), **ends)
