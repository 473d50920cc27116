"""Proximal Newton with an L1 penalty: the curvature from a sample of the rows, corrected by exact gradients.

As `gpu_logreg.solvers.subsampled_newton`, with steps that minimise the model of the curvature plus the penalty:

1. The problem, with its penalty, is solved roughly on ever larger parts of a small sample.
2. The Hessian of the sample there is the model's matrix on all rows, corrected by BFGS from exact gradients. The
   gradient that shows the minimum to be reached also gives a last step, which is taken without another read.
3. The matrix is rebuilt from a larger sample, at the present point, where that would pay for itself in saved reads.

Columns are standardised, ``phi = [w scale, b + mean @ w]``; there ``l1 |w_j|`` is ``(l1 / scale_j) |phi_j|``, zeros are
zeros, and the intercept is not penalised. Few rows are all taken, with a new Hessian for every step.

Source: J. Lee, Y. Sun and M. Saunders, "Proximal Newton-type methods for minimizing composite functions" (2014).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import duality_gap
from gpu_logreg.solvers import Iteration, Objective, Observer, SolverResult
from gpu_logreg.solvers.by_phi import AllRows, CompositeByParams, CompositeByPhi
from gpu_logreg.solvers.composite import ProximalSteps
from gpu_logreg.solvers.composite_start import solve_on_sample
from gpu_logreg.solvers.composite_steps import proximal_steps
from gpu_logreg.solvers.costs import newton_is_fastest, sample_size
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL, TIGHT_RATE, Optimality
from gpu_logreg.solvers.heavy_composite import CompositeDoubt, CurvatureSource, HeavyCompositeModel
from gpu_logreg.solvers.iteration_loop import Refresh, widen_for_the_last
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.subsampled_newton import DOUBTFUL, LEAST_RATE, SAMPLE_PATIENCE, Sampler, least_decrease
from gpu_logreg.solvers.watch import Watch

__all__ = ["Begin", "Ends", "proximal", "proximal_without_a_sample", "steps_on_all_rows"]

SUPPORT = 1e-2
"""Largest subgradient at the end, relative to the strength of the penalty: with more, a zero could not be told from a
small weight."""

MISLED_BY = 2.0
"""Multiple of `gpu_logreg.solvers.subsampled_newton.DOUBTFUL` from which on a sample has misled: it is solved less well
than without the penalty."""

LEAST_WEIGHED = 3
"""Rows for each parameter from which on they are weighed where all are known: fewer light rows may be separable, and
their models have no minimum nearby. From trials with outliers and six classes, of which no row is kept."""

LATE_ROOT = 20
"""Iterations on few rows before models are minimised by a root of the curvature: as a rule fewer solve the problem."""


def proximal(
    objective: Objective,
    start: Float64Vector,
    *,
    sampler: Sampler,
    l1: Float64Vector,
    l2: float | Float64Vector = 0.0,
    warm: bool = False,
    tol: float = 1e-6,
    support: float = SUPPORT,
    late: int = LATE_ROOT,
    max_iter: int = 1000,
    observer: Observer | None = None,
) -> SolverResult:
    """Minimise the objective behind ``sampler`` plus ``sum_j l1_j |params_j|``.

    Stops where no element of the subgradient of least norm exceeds ``tol``, or a hundredth of the least ``l1_j`` that
    is not 0, and the remaining decrease by the model is small as for `gpu_logreg.solvers.subsampled_newton`.

    Parameters
    ----------
    objective : Objective
        The smooth part.
    start : ndarray of shape (p,)
    sampler : Sampler
        Of the same data.
    l1 : ndarray of shape (p,)
        Strengths; 0 for a parameter that is not penalised, as the intercept.
    l2 : float
        Strength of the ridge that ``objective`` contains, for the duality gap alone.
    support : float
        The largest subgradient to end with, relative to the least ``l1_j`` that is not 0, if that is less than ``tol``.
    late : int
        Steps on few rows before models are minimised by a root of the curvature.
    warm, tol, max_iter, observer
        As for `gpu_logreg.solvers.subsampled_newton.subsampled_newton`.

    Returns
    -------
    SolverResult
        ``grad`` is the subgradient; ``duality_gap`` bounds how far the value was above the minimum over the penalised
        parameters, the others held, before the last step.
    """
    whole = sampler.all_rows() if newton_is_fastest(sampler.n_rows, sampler.n_params) and not warm else None
    if whole is None:
        begin = _with_a_sample(objective, sampler, start, l1, warm, tol)
    else:
        begin = _with_all_rows(whole, sampler, start, l1, late)
    ends = Ends(tol, support, max_iter)
    return steps_on_all_rows(objective, begin, l1, l2, ends, observer)


def proximal_without_a_sample(
    objective: Objective,
    coordinates: Any,
    curvature: Float64Vector,
    ridge: Float64Vector,
    start: Float64Vector,
    l1: Float64Vector,
    *,
    n_rows: int,
    l2: float | Float64Vector = 0.0,
    tol: float = 1e-6,
    support: float = SUPPORT,
    max_iter: int = 1000,
    observer: Observer | None = None,
) -> SolverResult:
    """As `proximal`, from a diagonal model of the curvature, which only gradients correct: slow, and misled by nothing.

    Parameters
    ----------
    objective, start, l1, l2, tol, support, max_iter, observer
        As for `proximal`.
    coordinates : Coordinates
        Standardised columns.
    curvature, ridge : ndarray of shape (p,)
        Of the loss and of the ridge along each of them.
    n_rows : int
        Rows behind the objective.
    """
    phi, H = coordinates.from_params(start), np.diag(curvature + ridge)
    composite = CompositeByParams(
        objective, coordinates.grad_to_phi(l1), ridge, coordinates=coordinates, l1_by_params=l1
    )
    begin = Begin(composite, phi, H, n_rows, 0.1 * DECREASE_PER_TOL)
    return steps_on_all_rows(objective, begin, l1, l2, Ends(tol, support, max_iter), observer)


class Ends(NamedTuple):
    """When the steps end: see `proximal`."""

    tol: float
    support: float
    max_iter: int


def steps_on_all_rows(
    objective: Objective,
    begin: Begin,
    l1: Float64Vector,
    l2: float | Float64Vector,
    ends: Ends,
    observer: Observer | None,
) -> SolverResult:
    """Steps on all rows from ``begin``; the result by parameters."""
    (tol, support, max_iter), decrease = ends, begin.decrease
    composite, coordinates = begin.composite, begin.composite.coordinates
    limit = support * float(l1[l1 > 0.0].min(initial=math.inf))
    least_rate = LEAST_RATE * len(l1) / begin.n_rows
    optimality = Optimality(objective, tol, decrease, least_rate, limit, "max |subgradient|")
    result = proximal_steps(
        composite,
        begin.phi,
        begin.H,
        criterion=optimality,
        max_iter=max_iter,
        refresh=begin.refresh,
        rescue=begin.rescue,
        doubt=begin.doubt,
        keep=begin.keep,
        observer=None if observer is None else _by_params(observer, coordinates),
        patience=SAMPLE_PATIENCE,
        last_step=True,
        before_step=widen_for_the_last(composite.smooth, decrease * tol, TIGHT_RATE),
    )
    assert optimality.here is not None
    gap = _gap(optimality.here, coordinates.to_params(optimality.here.params), l1, l2)
    bound = f"; duality gap at most {gap:.2g}" if result.converged and not math.isnan(gap) else ""
    params = coordinates.to_params(result.params)
    assert result.smooth_grad is not None
    smooth_grad = coordinates.grad_to_params(result.smooth_grad)
    return dataclasses.replace(
        result, params=params, message=result.message + bound, duality_gap=gap, smooth_grad=smooth_grad
    )


class Begin(NamedTuple):
    """Where the steps on all rows begin and end, and where their matrices come from; see `proximal_steps`."""

    composite: CompositeByPhi
    phi: Float64Vector
    H: Any
    n_rows: int
    decrease: float
    refresh: Refresh | None = None
    rescue: Callable[[Float64Vector], Any] | None = None
    doubt: CompositeDoubt | None = None
    keep: Callable[[ProximalSteps], None] | None = None


def _with_all_rows(whole: Any, sampler: Sampler, start: Float64Vector, l1: Float64Vector, late: int) -> Begin:
    """Few rows: the exact Hessian at every point."""
    coordinates = whole.coordinates
    phi = coordinates.from_params(start)
    H = whole.damped_hessian(phi)
    composite = CompositeByPhi(
        AllRows(whole),
        coordinates.grad_to_phi(l1),
        ridge=np.resize(whole.penalty, len(phi)),  # the same for every class
        few_rows=True,
        root=whole.curvature_root,
        late=late,
        coordinates=coordinates,
        l1_by_params=l1,
    )
    doubt = None
    if late and whole.n_rows >= LEAST_WEIGHED * len(start):
        weigh = partial(CurvatureSource(sampler, composite.l1).heavy_model, whole.n_rows)
        doubt = CompositeDoubt(math.inf, phi, math.inf, weigh)
    return Begin(composite, phi, H, whole.n_rows, least_decrease(sampler), refresh=_at_every_step(whole), doubt=doubt)


def _with_a_sample(
    objective: Objective, sampler: Sampler, start: Float64Vector, l1: Float64Vector, warm: bool, tol: float
) -> Begin:
    """The solution of a sample, unless ``start`` is better, and the Hessian of the sample there."""
    costs = sampler.costs
    size = sample_size(sampler.n_rows, sampler.hessian_form, costs)
    sample = sampler.sample(size)
    coordinates = sample.coordinates
    phi, l1_by_phi = coordinates.from_params(start), coordinates.grad_to_phi(l1)
    decrease, source = least_decrease(sampler), CurvatureSource(sampler, l1_by_phi)
    is_all = sampler.complete
    weighs = sampler.hessian_form.whole and (not is_all or sampler.n_rows >= LEAST_WEIGHED * len(start))
    origin, value_at_origin = phi, math.inf
    if not warm:
        of_all = CompositeDoubt(math.inf, origin, math.inf, partial(source.heavy_model, size))
        phi, value_at_origin = solve_on_sample(sample, phi, l1_by_phi, of_all if weighs and is_all else None)
    H = sample.damped_hessian(phi)
    watch = Watch(source.rebuild, sampler.n_rows, sampler.hessian_form, sample.n_rows, decrease * tol, costs)
    ridge = np.resize(sample.penalty, len(phi))  # the same for every class
    composite = CompositeByParams(
        objective, l1_by_phi, ridge, sampler.complete, coordinates=coordinates, l1_by_params=l1
    )

    def heavy_model(phi: Float64Vector) -> HeavyCompositeModel | None:
        model = source.heavy_model(size, phi)
        if model is not None:
            watch.begin_anew(tol)
        return model

    doubt = None
    if weighs:
        # Of all rows the heavy ones may be known already.
        sure = -math.inf if source.knows_heavy else math.inf
        doubtful = sure if warm or is_all else MISLED_BY * DOUBTFUL * len(start) / size
        doubt = CompositeDoubt(doubtful, origin, math.inf if is_all else value_at_origin, heavy_model)
    return Begin(composite, phi, H, sample.n_rows, decrease, watch, watch.grown, doubt)


def _by_params(observer: Observer, coordinates: Any) -> Observer:
    def observe(iteration: Iteration) -> Any:
        return observer(dataclasses.replace(iteration, params=coordinates.to_params(iteration.params)))

    return observe


def _gap(here: Trial, params: Float64Vector, l1: Float64Vector, l2: float | Float64Vector) -> float:
    """The duality gap where all penalised parameters are so with one strength, else NaN; ``here`` is by ``phi``."""
    penalised = l1 > 0.0
    strengths = np.unique(l1[penalised])
    if len(strengths) != 1 or isinstance(l2, np.ndarray):
        return math.nan
    return duality_gap(here.value, params[penalised], here.grad[penalised], float(strengths[0]), l2)


def _at_every_step(whole: Any) -> Refresh:
    """The Hessian of all rows at every point but the first, whose Hessian is at hand."""
    first = True

    def refresh(here: Trial, remaining: float) -> Any:
        nonlocal first
        if first:
            first = False
            return None
        return whole.damped_hessian(here.params)

    return refresh
