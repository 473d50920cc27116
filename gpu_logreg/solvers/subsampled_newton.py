"""Subsampled Newton: the curvature from a sample of the rows, corrected by exact gradients.

1. The problem is solved on a small sample, roughly: to a fiftieth of what the sample can tell, ``p / (2 m)`` nats.
2. The Hessian of the sample there becomes the metric of L-BFGS on the whole data, started from the sample's solution.
   Gradients are exact, so the optimum is exact; only the path depends on the sample.
   The gradient that shows the optimum to be reached also gives a last step, which is taken without another read.
3. The rate at which what is left to gain falls is watched. Where a larger sample would pay for itself in saved reads,
   the metric is rebuilt from one, at the present point; in the limit of all rows this is Newton's method.

Sources: M. Erdogdu and A. Montanari, "Convergence rates of sub-sampled Newton methods" (2015); F. Roosta-Khorasani and
M. Mahoney, "Sub-sampled Newton methods" (2019); M. Pilanci and M. Wainwright, "Newton sketch" (2017).
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from gpu_logreg.solvers import Metric, Objective, Observer, SolverResult, Stop, Vector
from gpu_logreg.solvers.costs import Costs, keeps_whole_hessian, sample_size, tiny
from gpu_logreg.solvers.lbfgs import DECREASE_PER_TOL, Criterion, lbfgs, optimal, widen_for_the_last
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.newton import newton
from gpu_logreg.solvers.watch import Watch, renewed

__all__ = [
    "Sampler",
    "subsampled_newton",
    "sure",
    "thinnings",
]


TOLD = 0.01
"""A sample of m rows is solved until what is left to gain is this times p / m: a fiftieth of what it can tell."""

SURE = 0.01
PATIENCE = 3
MEMORY, LONG_MEMORY = 10, 30
LEVEL_ROWS = 8
FIRST_METRIC_ROWS = 4


class Sampler(Protocol):
    """Where samples come from; see `gpu_logreg.objectives.sampler.Sampler`."""

    @property
    def n_rows(self) -> int:
        """Rows of the whole data."""

    @property
    def n_params(self) -> int:
        """Parameters of the objective."""

    @property
    def n_logits(self) -> int:
        """1 for two classes, K for more."""

    @property
    def costs(self) -> Costs:
        """Times relative to those of as many dense rows."""

    @property
    def complete(self) -> bool:
        """Whether the last sample held every row that has a weight."""

    def sample(self, size: int, /) -> Any:
        """An objective on about ``size`` rows, with ``thin``, ``metric``, ``params_metric`` and ``coordinates``."""

    def whole(self) -> Any:
        """An objective on all rows, with ``second_order`` besides; None where that is not to be had."""

    def all_rows(self) -> Any:
        """An objective on all rows; None where that is not to be had."""

    def metric(self, size: int, params: Vector, /) -> Metric:
        """The curvature at ``params`` from a fresh sample of about ``size`` rows."""

    def hessian(self, size: int, phi: Vector, /) -> Any:
        """The matrix behind ``metric``, by the coordinates of the last sample, on the host."""


def subsampled_newton(
    objective: Objective,
    sampler: Sampler,
    start: Vector,
    *,
    warm: bool = False,
    tol: float = 1e-6,
    max_iter: int = 1000,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise the objective behind ``sampler``.

    Parameters
    ----------
    objective : Objective
    sampler : Sampler
        Of the same data.
    start : ndarray of shape (p,)
    warm : bool
        Whether ``start`` is believed to be near the optimum: then the sample serves for the metric alone.
    tol, max_iter, observer
        As for `gpu_logreg.solvers.lbfgs.lbfgs`.

    Returns
    -------
    SolverResult
    """
    whole = sampler.whole() if tiny(sampler.n_rows, sampler.n_params) and not warm else None
    if whole is not None:
        found = newton(
            whole,
            whole.coordinates.from_params(start),
            tol=tol,
            max_iter=max_iter,
            separable_below=objective.separable_below,
            observer=observer,
        )
        if found is not None:
            return found
    size = sample_size(sampler.n_rows, sampler.n_params, sampler.n_logits, sampler.costs)
    sample = sampler.sample(size)
    phi = sample.coordinates.from_params(start)
    if not warm:
        phi = _solve_on_sample(sample, phi)
    metric = sample.params_metric(phi)
    params = sample.coordinates.to_params(phi) if not warm else start
    # Where the sample is all there is, reads are cheap and every further one takes off several digits.
    decrease = DECREASE_PER_TOL * (1e-4 if sampler.complete else 1.0)
    n, p, goal = sampler.n_rows, sampler.n_params, decrease * tol
    watch = Watch(sampler.metric, n, p, sample.n_rows, goal, sampler.n_logits, sampler.costs)
    del sample
    return lbfgs(
        objective,
        params,
        tol=tol,
        max_iter=max_iter,
        memory=MEMORY if keeps_whole_hessian(len(params), sampler.n_logits) else LONG_MEMORY,
        metric=metric,
        observer=observer,
        criterion=sure(optimal(objective, tol, decrease), tol, decrease, 5.0 * len(start) / size),
        refresh=watch,
        patience=PATIENCE,
        last_step=True,
        before_step=widen_for_the_last(objective, goal, SURE),
    )


def sure(optimal_at: Criterion, tol: float, decrease: float, least_rate: float) -> Criterion:
    """Optimal by a criterion, and after the last step, at the present rate, a hundred times nearer than that.

    One step may have been a lucky one, so ``least_rate`` is assumed at least. It is this criterion that makes the
    coefficients of one sample and another agree.
    """
    last = math.inf

    def met_at(here: Trial, left: float) -> Stop | None:
        nonlocal last
        stop = optimal_at(here, left)
        rate, last = min(1.0, max(least_rate, left / last)), left
        tight = min(2.0 * float(np.finfo(np.float64).eps), tol * tol) * abs(here.value)
        if stop is None or not stop.converged or left <= tight:
            return stop
        return stop if left * rate <= SURE * decrease * tol * abs(here.value) else None

    return met_at


def _solve_on_sample(sample: Any, phi: Vector) -> Vector:
    """Solve on ever larger parts of the sample, each started with the solution and the curvature of the last."""
    p = len(phi)
    ks, first = thinnings(sample.n_rows, p)
    metric = sample.thin(first).metric(phi)
    for k in ks:
        level = sample.thin(k)
        told = TOLD * p / level.n_rows
        result = lbfgs(
            level,
            phi,
            max_iter=20,
            metric=metric,
            criterion=lambda here, left, told=told: Stop("enough", True) if left <= told else None,  # type: ignore[misc]
            refresh=renewed(level.metric),
        )
        phi = result.params
        if k > 1:
            metric = level.metric(phi)
    return phi


def thinnings(m: int, p: int) -> tuple[list[int], int]:
    """Strides through a sample of ``m`` rows: of the levels, the fewest rows first, and of the first metric."""
    ks = [1]
    while m // (4 * ks[-1]) >= max(LEVEL_ROWS * p, 500):
        ks.append(4 * ks[-1])
    return ks[::-1], max(1, m // max(FIRST_METRIC_ROWS * p, 250), ks[-1])
