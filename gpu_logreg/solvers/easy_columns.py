"""Nearly independent columns: gradients alone reach the minimum before a Hessian is computed.

Where Hessians are dear, a few steps by gradients on a part of a sample tell whether they are needed: if these solve it,
L-BFGS goes from the diagonal, and asks for the Hessian of a sample only where that is slow after all.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.solvers import Metric, Objective, SolverResult
from gpu_logreg.solvers.costs import DENSE, Costs, cheapest_sample, hessians_price
from gpu_logreg.solvers.criteria import TIGHT_RATE, Optimality, below
from gpu_logreg.solvers.iteration_loop import widen_for_the_last
from gpu_logreg.solvers.lbfgs import lbfgs
from gpu_logreg.solvers.watch import Stage, Watch, first_then, when_slow

__all__ = ["ASKED_HESSIANS", "are_dear", "by_gradients", "is_easy"]

DEAR_HESSIANS, DEAR_OF_CLASSES = 1.0, 20.0
"""Reads that the Hessians of a fit are expected to take the time of, from which on gradients alone are tried first: of
two classes, and of more, which take twice the steps by gradients alone."""

ASKED_HESSIANS = 0.25
"""The same from which on few rows are asked, for about a millisecond, whether columns of two classes are independent:
gradients alone took less time there in trials of which no row is kept, of 10,000 x 50 to 100,000 x 1,000 elements."""

EASY_STEPS, EASY_DECREASE = 10, 1e-4
"""Steps by gradients alone that take nearly independent columns that near to the minimum of a part of the sample.
Correlated columns took about twice as many, or more, in trials of which no row is kept."""

GRADIENTS_SHARE = 0.1
"""Share of the decrease to end with where gradients are all that is known of the curvature: the estimate is too low."""

FLATTEST = 1e-6
"""Least curvature of a row that is assumed, over the largest."""


class _Flat:
    """The same curvature along every standardised column, and the ridge."""

    def __init__(self, curvature: float, penalty: Float64Vector) -> None:
        self._inverse = 1.0 / (curvature + penalty)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``."""
        return np.asarray(self._inverse * v)


def are_dear(n: int, size: int, hessian: HessianForm, costs: Costs, of_two: float = DEAR_HESSIANS) -> bool:
    """Whether the Hessians of a fit, from samples of ``size`` of n dense rows, would take longer than some reads.

    ``of_two``: as many, of two classes.
    """
    dear = of_two if hessian.n_params == hessian.width else DEAR_OF_CLASSES
    return costs == DENSE and hessian.whole and hessians_price(n, size, hessian) > dear


def is_easy(level: Any, phi: Float64Vector, n_logits: int) -> bool:
    """Whether a few steps by gradients alone solve a part of the sample, as where columns are nearly independent.

    The curvature of a row is first taken for that of equally likely classes, less where the value is.
    """
    value, K = abs(float(level(phi)[0])), max(2, n_logits)
    flat = _Flat((K - 1) / K**2 * max(FLATTEST, min(1.0, value / math.log(K))), level.packed_penalty)
    return lbfgs(level, phi, max_iter=EASY_STEPS, metric=flat, criterion=below(EASY_DECREASE * value)).converged


def by_gradients(
    objective: Objective,
    start: Float64Vector,
    diagonal: Metric,
    *,
    sampler: Any,
    size: int,
    decrease: float,
    tol: float,
    sampled: bool = True,
    **limits: Any,
) -> SolverResult:
    """L-BFGS from the diagonal, and where that is slow by the Hessian of a sample; of two classes it is watched then.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (p,)
    diagonal : Metric
    sampler : Sampler
    size : int
        Rows of a sample.
    decrease : float
        Relative suboptimality to end with, for each ``tol``.
    tol : float
    sampled : bool
        Whether ``sampler`` has drawn a sample, in whose columns the Hessian is to be.
    **limits
        ``max_iter``, ``memory``, ``patience`` and ``observer``.
    """
    n, hessian, costs = sampler.n_rows, sampler.hessian_form, sampler.costs
    curvature: Any = sampler.metric if sampled else _MetricOfSamples(sampler)
    refresh = when_slow([Stage(partial(curvature, size), cheapest_sample(n, hessian, costs).reads)], decrease * tol)
    if hessian.n_params == hessian.width:
        refresh = first_then(refresh, Watch(curvature, n, hessian, size, decrease * tol, costs))
    return lbfgs(
        objective,
        start,
        tol=tol,
        metric=diagonal,
        criterion=Optimality(objective, tol, GRADIENTS_SHARE * decrease),
        refresh=refresh,
        last_step=True,
        before_step=widen_for_the_last(objective, decrease * tol, TIGHT_RATE),
        **limits,
    )


class _MetricOfSamples:
    """The Hessian at a point of ever new samples, in the columns of the first, where none has been drawn yet."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler
        self._has_columns = False

    def __call__(self, size: int, params: Float64Vector) -> Metric:
        """The metric at ``params`` from about ``size`` rows."""
        metric: Metric
        if self._has_columns:
            metric = self._sampler.metric(size, params)
        else:
            self._has_columns = True
            sample = self._sampler.sample(size)
            metric = sample.params_metric(sample.coordinates.from_params(params))
        return metric
