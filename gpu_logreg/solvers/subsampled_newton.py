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
from gpu_logreg.solvers.lbfgs import DECREASE_PER_TOL, Criterion, Refresh, lbfgs, optimal
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.newton import newton

__all__ = ["Sampler", "cost_in_reads", "pays", "sample_size", "subsampled_newton"]

FLOPS_PER_ELEMENT = 32.0
"""Floating-point operations of a symmetric product in the time in which one element of ``X`` is read.

Right within a factor of two on two cores; the cost is flat around its minimum. A constant, because a rate timed during
the fit would make the result depend on what else the machine was doing.
"""

SAMPLE_READS = 12.0
"""Times the sample is walked, in the time of as many rows of the data: its gathering and about ten gradients on it.

Less than it takes on two cores, on purpose: it is the larger sample that makes reads few.
"""

RELATIVE_GOAL = 1e-9
SURE = 0.01
PATIENCE = 3
MEMORY, LONG_MEMORY = 10, 30
LEVEL_ROWS = 8
FIRST_METRIC_ROWS = 4
LARGEST_GROWTH = 64


class Sampler(Protocol):
    """Where samples come from; see `gpu_logreg.sampler.Sampler`."""

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
    def complete(self) -> bool:
        """Whether the last sample held every row that has a weight."""

    def sample(self, size: int, /) -> Any:
        """An objective on about ``size`` rows, with ``thin``, ``metric``, ``params_metric`` and ``coordinates``."""

    def whole(self) -> Any:
        """An objective on all rows, with ``second_order`` besides; None where that is not to be had."""

    def metric(self, size: int, params: Vector, /) -> Metric:
        """The curvature at ``params`` from a fresh sample of about ``size`` rows."""


WHOLE_P = 2000
"""Parameters of several classes up to which their Hessian is kept whole."""

FLOPS_PER_LOGIT = 6.0
"""As `FLOPS_PER_ELEMENT`, of several logits: two products and the softmax take longer than the memory."""


def keeps_whole_hessian(p: int, n_logits: int) -> bool:
    """Whether the Hessian of ``p`` parameters is kept whole, not as a Kronecker product."""
    return n_logits == 1 or p <= WHOLE_P


def curvature_reads(m: float, n: int, p: int, n_logits: int = 1) -> float:
    """Reads of the whole data that a Hessian of ``m`` rows, with its factorisation, takes the time of."""
    if n_logits == 1:
        return (m * p * p + p**3 / 3.0) / (FLOPS_PER_ELEMENT * n * p)
    columns = p / n_logits
    if not keeps_whole_hessian(p, n_logits):
        return (2.0 * m * columns**2 + n_logits * columns**3 / 3.0) / (FLOPS_PER_LOGIT * n * p)
    return (m * (n_logits + 1) * p * columns + p**3 / 3.0) / (FLOPS_PER_LOGIT * n * p)


def expected_reads(m: float, p: int) -> float:
    """Exact gradients needed from the solution of a sample of ``m`` rows, with its Hessian as metric.

    The start is ``p / m`` above the optimum, relatively, and every gradient takes away a factor of about ``1.5 p / m``.
    """
    start = p / m
    rate = min(0.7, 1.5 * p / m)
    return 2.0 + max(0.0, math.log(start / RELATIVE_GOAL)) / -math.log(rate)


def cost_in_reads(m: float, n: int, p: int, n_logits: int = 1) -> float:
    """Expected cost of a fit with a sample of ``m`` rows: its gathering, two Hessians' worth of work, the gradients."""
    return SAMPLE_READS * m / n + 1.5 * curvature_reads(m, n, p, n_logits) + expected_reads(m, p)


def sample_size(n: int, p: int, n_logits: int = 1) -> int:
    """The sample size of least expected cost, between ``5 p`` and ``n``.

    A tenth of the rows for a Kronecker product: its mean factors need few, the solution on the sample needs some.
    """
    if not keeps_whole_hessian(p, n_logits):
        return min(n, max(n // 10, 20 * p // n_logits, 1000))
    sizes = np.unique(np.clip(np.geomspace(max(5 * p, 1000), max(n, 5 * p, 1000), 60), 1, n))
    return int(min(sizes, key=lambda m: cost_in_reads(float(m), n, p, n_logits)))


TINY_ROWS, TINY = 2000, 2e6
"""Rows, and multiplications of a Hessian of them all, up to which Newton's method is over before sampling would pay."""


def tiny(n: int, p: int) -> bool:
    """Whether Newton's method with all rows is the fastest."""
    return n <= TINY_ROWS and n * p * p <= TINY


LBFGS_READS = 60.0
"""Reads that L-BFGS takes on data that are neither easy nor hard, for the choice of ``solver="auto"``."""

LARGEST_P = 8000
"""Beyond it the p x p matrices take more than 0.5 GB each."""


def pays(n: int, p: int, n_logits: int = 1) -> bool:
    """Whether the p x p factorisations are expected to cost less than the reads they save over L-BFGS.

    Below a few million multiplications everything costs less than the interpreter's steps around it.
    """
    if p // n_logits > LARGEST_P:
        return False
    if n_logits > 1:
        return True
    small = n * p * p + p**3 < 1e8
    return small or cost_in_reads(float(sample_size(n, p)), n, p) < LBFGS_READS


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
    size = sample_size(sampler.n_rows, sampler.n_params, sampler.n_logits)
    sample = sampler.sample(size)
    phi = sample.coordinates.from_params(start)
    if not warm:
        phi = _solve_on_sample(sample, phi)
    metric = sample.params_metric(phi)
    params = sample.coordinates.to_params(phi) if not warm else start
    # Where the sample is all there is, reads are cheap and every further one takes off several digits.
    decrease = DECREASE_PER_TOL * (1e-4 if sampler.complete else 1.0)
    watch = _Watch(sampler, sample.n_rows, decrease * tol)
    del sample
    return lbfgs(
        objective,
        params,
        tol=tol,
        max_iter=max_iter,
        memory=MEMORY if keeps_whole_hessian(len(params), sampler.n_logits) else LONG_MEMORY,
        metric=metric,
        observer=observer,
        criterion=_sure(objective, tol, decrease, 5.0 * len(start) / size),
        refresh=watch,
        patience=PATIENCE,
        last_step=True,
    )


def _sure(objective: Objective, tol: float, decrease: float, least_rate: float) -> Criterion:
    """Optimal as for L-BFGS, and after the last step, at the present rate, a hundred times nearer than that.

    One step may have been a lucky one, so ``least_rate`` is assumed at least. It is this criterion that makes the
    coefficients of one sample and another agree.
    """
    optimal_at = optimal(objective, tol, decrease)
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
    thinnings = [1]
    while sample.n_rows // (4 * thinnings[-1]) >= max(LEVEL_ROWS * p, 500):
        thinnings.append(4 * thinnings[-1])
    first = max(1, sample.n_rows // max(FIRST_METRIC_ROWS * p, 250))
    metric = sample.thin(max(first, thinnings[-1])).metric(phi)
    for k in reversed(thinnings):
        level = sample.thin(k)
        told = 0.02 * p / (2.0 * level.n_rows)
        result = lbfgs(
            level,
            phi,
            max_iter=20,
            metric=metric,
            criterion=lambda here, left, told=told: Stop("enough", True) if left <= told else None,  # type: ignore[misc]
            refresh=_renewed(level),
        )
        phi = result.params
        if k > 1:
            metric = level.metric(phi)
    return phi


def _renewed(level: Any) -> Refresh:
    """Take the curvature of the level anew where two steps running have left more than a fifth each."""
    last, slow = math.inf, 0

    def refresh(here: Trial, left: float) -> Metric | None:
        nonlocal last, slow
        slow = slow + 1 if left > 0.2 * last else 0
        last = left
        if slow < 2:
            return None
        last, slow = math.inf, 0
        metric: Metric = level.metric(here.params)
        return metric

    return refresh


class _Watch:
    """Rebuild the metric from a larger sample where that saves more reads than it costs.

    Over the last two steps what is left to gain fell by a factor ``rate`` a step. With a sample k times larger the rate
    would be about ``rate / k``; the remaining steps at either rate are weighed against the Hessian.
    """

    def __init__(self, sampler: Sampler, size: int, goal: float) -> None:
        self._sampler = sampler
        self._size = size
        self._goal = goal
        self._left: list[float] = []
        # The mean factors of a larger sample are no better; pairs of steps make up for what they miss.
        self._grows = keeps_whole_hessian(sampler.n_params, sampler.n_logits)

    def __call__(self, here: Trial, left: float) -> Metric | None:
        self._left.append(left)
        if len(self._left) < 3 or left <= 0.0 or not self._grows:
            return None
        rate = min(0.99, math.sqrt(left / self._left[-3]))
        n, p = self._sampler.n_rows, self._sampler.n_params
        decades = math.log(max(1.0, left / (self._goal * abs(here.value) + 1e-300)))
        now = decades / -math.log(rate)
        best, size = 0.0, 0
        growth = 2
        while growth <= LARGEST_GROWTH:
            m = min(n, growth * self._size)
            then = max(1.0, decades / -math.log(rate * self._size / m if m < n else 0.1 * rate))
            saved = now - then - curvature_reads(m, n, p, self._sampler.n_logits) - 2.0 * m / n
            if saved > best:
                best, size = saved, m
            growth *= 2
        if size == 0:
            return None
        self._size = size
        self._left.clear()
        return self._sampler.metric(size, here.params)
