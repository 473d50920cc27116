"""Subsampled Newton: the curvature from a sample of the rows, corrected by exact gradients.

1. The problem is solved on a small sample, roughly: to a fiftieth of what the sample can tell, ``p / (2 m)`` nats.
2. The Hessian of the sample there becomes the metric of L-BFGS on the whole data, started from the sample's solution.
   Gradients are exact, so the optimum is exact; only the path depends on the sample.
   The gradient that shows the optimum to be reached also gives a last step, which is taken without another read.
   Where Hessians are dear and columns nearly independent, there is none: see `gpu_logreg.solvers.easy_columns`.
3. The rate at which the remaining decrease falls is watched. Where a larger sample would pay for itself in saved reads,
   the metric is rebuilt from one, at the present point; in the limit of all rows this is Newton's method.

Sources: M. Erdogdu and A. Montanari, "Convergence rates of sub-sampled Newton methods" (2015); F. Roosta-Khorasani and
M. Mahoney, "Sub-sampled Newton methods" (2019); M. Pilanci and M. Wainwright, "Newton sketch" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.solvers import Metric, Objective, Observer, SolverResult
from gpu_logreg.solvers.costs import Costs, newton_is_fastest, sample_size
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL, TIGHT_RATE, Optimality, below
from gpu_logreg.solvers.doubt import Doubt
from gpu_logreg.solvers.easy_columns import ASKED_HESSIANS, are_dear, by_gradients, is_easy
from gpu_logreg.solvers.heavy_rows import HeavyModel, HeavyRows
from gpu_logreg.solvers.iteration_loop import iterate, widen_for_the_last
from gpu_logreg.solvers.lbfgs import QuasiNewtonSteps, lbfgs
from gpu_logreg.solvers.newton import newton
from gpu_logreg.solvers.watch import Watch, renewed

__all__ = [
    "Sampler",
    "least_decrease",
    "subsampled_newton",
    "thinnings",
]


SAMPLE_DECREASE = 0.01
"""Remaining decrease, in nats and in ``p / m``, to which a sample of m rows is solved: a fiftieth of the ``p / (2 m)``
by which the value at the solution of a sample is expected to be above the minimum."""

COMPLETE_DECREASE = 1e-4
"""Relative suboptimality at the end where the sample holds all rows, as a share of that elsewhere."""

LEAST_RATE = 5.0
"""Share of the remaining decrease, in ``p / m``, that a step is taken to leave at least. ``p / m`` to ``1.5 p / m`` is
expected of the Hessian of m rows; a step that left less was lucky."""

SAMPLE_PATIENCE = 3
"""Iterations in which the remaining decrease must halve once it is rounding: with such a metric each takes off more."""

MEMORY, LONG_MEMORY = 10, 30
"""Pairs of steps and gradient differences that are kept: by a whole Hessian, and by a Kronecker product, which misses
more of the curvature."""

LEVEL_ROWS = 8
"""Rows for each parameter of the smallest part of a sample that is solved."""

DOUBTFUL = 1.5
"""Remaining decrease at the solution of a sample, in ``p / m``, from which on the sample has misled. A half is
expected; 0.2 to 0.8 was seen in trials without heavy rows, and 0.01 to 1,400 with some."""

SLIGHT = 0.05
"""The same below which a refused whole step that is half right is no cause for doubt: a tenth of what is expected. From
trials on one-hot rows, where a read to weigh rows gained nothing; with heavy rows 0.1 and more remained."""

FIRST_METRIC_ROWS = 4
"""The same of the part whose Hessian is the first metric: one that is nearly singular at fewer."""


class Sampler(Protocol):
    """Where samples come from; see `gpu_logreg.objectives.sampler.Sampler`."""

    @property
    def n_rows(self) -> int:
        """Rows of the whole data."""

    @property
    def n_params(self) -> int:
        """Parameters of the objective."""

    @property
    def hessian_form(self) -> HessianForm:
        """How the Hessian is kept, and what it costs."""

    @property
    def costs(self) -> Costs:
        """Times relative to those of as many dense rows."""

    @property
    def irregular(self) -> bool:
        """Whether few rows carry the variance of a column."""

    @property
    def complete(self) -> bool:
        """Whether the last sample held every row that has a weight."""

    def sample(self, size: int, /) -> Any:
        """An objective on about ``size`` rows, with ``thin``, ``metric``, ``params_metric`` and ``coordinates``."""

    def whole(self) -> Any:
        """An objective on all rows, with ``second_order`` besides; None where that is not to be had."""

    def all_rows(self) -> Any:
        """An objective on all rows; None where that is not to be had."""

    def metric(self, size: int, params: Float64Vector, /) -> Metric:
        """The curvature at ``params`` from a fresh sample of about ``size`` rows."""

    def heavy_rows(self, size: int, params: Float64Vector, /) -> HeavyRows | None:
        """The heavy rows, as weighed at ``params``; None where there are none."""

    def heavy_rows_at(self, size: int, phi: Float64Vector, /) -> HeavyRows | None:
        """The same, by the coordinates of the last sample."""

    def hessian(self, size: int, phi: Float64Vector, /) -> Any:
        """The matrix behind ``metric``, by the coordinates of the last sample, on the host."""


def subsampled_newton(
    objective: Objective,
    start: Float64Vector,
    *,
    sampler: Sampler,
    warm: bool = False,
    diagonal: Callable[[Float64Vector], tuple[Float64Vector, Metric] | None] | None = None,
    independent: Callable[[], bool] | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise the objective behind ``sampler``.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (p,)
    sampler : Sampler
        Of the same data.
    warm : bool
        Whether ``start`` is believed to be near the optimum: then the sample serves for the metric alone.
    diagonal : function, optional
        From ``start``, without weights, to a point nearby and a metric there: what L-BFGS begins with where a Hessian
        would take longer than the gradients it saves; None where the last sample is unlike all rows. See
        `gpu_logreg.solvers.easy_columns`.
    independent : function, optional
        Whether few rows tell that columns of two classes are nearly independent: then no sample is drawn for that.
    tol, max_iter, observer
        As for `gpu_logreg.solvers.lbfgs.lbfgs`.

    Returns
    -------
    SolverResult
    """
    n, hessian, costs = sampler.n_rows, sampler.hessian_form, sampler.costs
    whole = sampler.whole() if newton_is_fastest(n, sampler.n_params) and not warm else None
    if whole is not None:
        result = newton(
            whole,
            whole.coordinates.from_params(start),
            tol=tol,
            max_iter=max_iter,
            separable_below=objective.separable_below,
            observer=observer,
        )
        if result is not None:
            return result
    size, memory = sample_size(n, hessian, costs), MEMORY if hessian.whole else LONG_MEMORY
    sample = None
    if diagonal is not None and not warm and are_dear(n, size, hessian, costs, ASKED_HESSIANS):
        ends: dict[str, Any] = {"sampler": sampler, "size": size, "memory": memory, "patience": SAMPLE_PATIENCE}
        ends |= {"tol": tol, "max_iter": max_iter, "observer": observer}
        known = hessian.n_params == hessian.width and independent is not None and independent()
        sample = None if known else sampler.sample(size)
        easy = known or (are_dear(n, size, hessian, costs) and _has_easy_columns(sampler, sample, start))
        at_start = diagonal(start) if easy else None
        if at_start is not None:
            ends |= {"sampled": sample is not None, "decrease": least_decrease(sampler)}
            del sample
            return by_gradients(objective, *at_start, **ends)
    sample = sampler.sample(size) if sample is None else sample
    phi, decrease = sample.coordinates.from_params(start), least_decrease(sampler)
    value_at_start = math.inf
    if not warm:
        phi, value_at_start = _solve_on_sample(sample, phi)
    metric = sample.params_metric(phi)
    params = sample.coordinates.to_params(phi) if not warm else start
    source = _CurvatureSource(sampler)
    watch = Watch(source.rebuild, n, hessian, sample.n_rows, decrease * tol, costs)
    del sample
    excess = len(start) / size

    def heavy_model(params: Float64Vector) -> HeavyModel | None:
        model = source.heavy_model(size, params)
        if model is not None:
            watch.begin_anew(tol)
        return model

    doubt = None
    if hessian.whole and not sampler.complete:
        doubtful = math.inf if warm else DOUBTFUL * excess
        doubt = Doubt(objective, doubtful, start, value_at_start, heavy_model, SLIGHT * excess)
    return iterate(
        QuasiNewtonSteps(objective, params, metric, memory, tol, doubt),
        criterion=Optimality(objective, tol, decrease, LEAST_RATE * excess),
        max_iter=max_iter,
        refresh=watch,
        observer=observer,
        patience=SAMPLE_PATIENCE,
        last_step=True,
        before_step=widen_for_the_last(objective, decrease * tol, TIGHT_RATE),
    )


def _has_easy_columns(sampler: Sampler, sample: Any, start: Float64Vector) -> bool:
    """Whether gradients alone solve a part of the sample, in which rows are alike."""
    if sampler.irregular:
        return False
    phi, hessian = sample.coordinates.from_params(start), sampler.hessian_form
    level = sample.thin(max(1, sample.n_rows // (LEVEL_ROWS * len(phi))))
    return is_easy(level, phi, hessian.n_params // hessian.width)


class _CurvatureSource:
    """Where matrices of the curvature come from: samples of all rows, or of the light ones once heavy are known."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._heavy: HeavyRows | None = None
        self._size = 0

    def heavy_model(self, size: int, params: Float64Vector) -> HeavyModel | None:
        """Weigh the rows, and model the objective at ``params``; None where none is heavy."""
        self._heavy = self._sampler.heavy_rows(size, params)
        if self._heavy is None:
            return None
        return HeavyModel(self._heavy, self.rebuild(size, params), lambda there: self.rebuild(self._size, there))

    def rebuild(self, size: int, params: Float64Vector) -> Any:
        """The curvature at ``params`` from a fresh sample of about ``size`` rows."""
        self._size = size
        if self._heavy is None:
            return self._sampler.metric(size, params)
        return self._heavy.light(size, self._heavy.coordinates.from_params(params))


def least_decrease(sampler: Sampler) -> float:
    """Relative suboptimality to end with, for each ``tol``.

    Where the sample is all there is, reads are cheap and every further one takes off several digits.
    """
    return DECREASE_PER_TOL * (COMPLETE_DECREASE if sampler.complete else 1.0)


def _solve_on_sample(sample: Any, phi: Float64Vector) -> tuple[Float64Vector, float]:
    """Solve on ever larger parts of the sample, each started with the solution and the curvature of the last.

    The solution, and the value at the start on the first of the parts.
    """
    p, value_at_start = len(phi), math.nan
    ks, first = thinnings(sample.n_rows, p)
    metric = sample.thin(first).metric(phi)
    for k in ks:
        level = sample.thin(k)
        result = lbfgs(
            level,
            phi,
            max_iter=20,
            metric=metric,
            criterion=below(SAMPLE_DECREASE * p / level.n_rows),
            refresh=renewed(level.metric),
        )
        phi = result.params
        if k == ks[0]:
            value_at_start = result.loss_curve[0]
        if k > 1:
            metric = level.metric(phi)
    return phi, value_at_start


def thinnings(m: int, p: int) -> tuple[list[int], int]:
    """Strides through a sample of ``m`` rows: of the levels, the fewest rows first, and of the first metric."""
    ks = [1]
    while m // (4 * ks[-1]) >= max(LEVEL_ROWS * p, 500):
        ks.append(4 * ks[-1])
    return ks[::-1], max(1, m // max(FIRST_METRIC_ROWS * p, 250), ks[-1])
