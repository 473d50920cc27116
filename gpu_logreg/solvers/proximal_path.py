"""Proximal Newton along a path: fits of the same rows under ever weaker penalties share one model of the curvature.

From one strength of the penalty to the next the Hessian changes little, and the gradient at the last end is known:

1. The start is the minimum of the last model with the new penalty. It costs no read, and its zeros are those that the
   new penalty is expected to leave.
2. Steps begin with the matrix of the last fit, and all that its steps have taught: `gpu_logreg.solvers.composite`.
3. The Hessian of all rows is taken anew where that is cheaper in the long run: once a fit takes more reads than fits
   have taken on average since the last Hessian, its own price included. The average is least there.

Sources: R. Tibshirani et al., "Strong rules for discarding predictors in lasso-type problems" (2012), for what is known
of the next minimum; R. Barlow and L. Hunter, "Optimum preventive maintenance policies" (1960), for 3.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Objective, SolverResult
from gpu_logreg.solvers.by_phi import CompositeByParams
from gpu_logreg.solvers.composite import ProximalSteps
from gpu_logreg.solvers.coordinate_descent import model_minimum
from gpu_logreg.solvers.costs import curvature_reads
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.proximal import SUPPORT, Begin, Ends, steps_on_all_rows
from gpu_logreg.solvers.subsampled_newton import Sampler, least_decrease

__all__ = ["PathSampler", "ProximalPath"]

PREDICTED = 1e-4
"""Largest subgradient of the model at the start of a fit, relative to that at the last end."""

MANY_STEPS = 6
"""Steps of one fit after which its Hessian is taken anew whatever it costs: fits take two or three."""


class PathSampler(Sampler, Protocol):
    """Samples of a path, of which all fits share the first."""

    def coordinates_and_ridge(self) -> tuple[Any, Float64Vector]:
        """Standardised columns, by the first sample, and the second derivative of the ridge along each."""


class _Known(NamedTuple):
    """What the last fit knew: a point, the gradient of loss and ridge there, the matrix, and the ridge in both."""

    phi: Float64Vector
    grad: Float64Vector
    matrix: Any
    ridge: Float64Vector

    def with_ridge(self, ridge: Float64Vector) -> _Known:
        """The same with another ridge."""
        change = ridge - self.ridge
        if not change.any():
            return self
        H = self.matrix.copy()
        H.flat[:: len(change) + 1] += change
        return _Known(self.phi, self.grad + change * self.phi, H, ridge)


class ProximalPath:
    """The model of the curvature that fits of a path share.

    Attributes
    ----------
    begun : bool
        Whether it knows the end of a fit.
    """

    def __init__(self) -> None:
        self._known: _Known | None = None
        self._spent, self._n_fits, self._due = 0.0, 0, True

    @property
    def begun(self) -> bool:
        """Whether it knows the end of a fit."""
        return self._known is not None

    def forget(self) -> None:
        """Forget the model, which has misled."""
        self._known, self._due = None, True

    def begin_at(self, sample: Any, params: Float64Vector, grad: Float64Vector) -> None:
        """Begin at the end of another solver's fit, where loss and ridge have the gradient ``grad`` by parameters.

        The Hessian of a sample serves for the first start alone.
        """
        phi = sample.coordinates.from_params(params)
        ridge = np.resize(sample.penalty, len(phi))
        self._known = _Known(phi, sample.coordinates.grad_to_phi(grad), sample.damped_hessian(phi), ridge)
        self._due = True

    def minimum(
        self,
        objective: Objective,
        *,
        sampler: PathSampler,
        l1: Float64Vector,
        l2: float | Float64Vector,
        tol: float,
        max_iter: int,
    ) -> SolverResult:
        """Minimise ``objective`` plus ``sum_j l1_j |params_j|`` from what the last fit knew.

        Parameters
        ----------
        objective : Objective
            The smooth part.
        sampler : PathSampler
            Of the same data and penalties.
        l1 : ndarray of shape (p,)
        l2, tol, max_iter
            As for `gpu_logreg.solvers.proximal.proximal`.
        """
        assert self._known is not None
        coordinates, ridge = sampler.coordinates_and_ridge()
        l1_by_phi, known = coordinates.grad_to_phi(l1), self._known.with_ridge(ridge)
        start, _ = model_minimum(known.matrix, known.grad, known.phi, l1_by_phi, PREDICTED)
        composite = CompositeByParams(objective, l1_by_phi, ridge, coordinates=coordinates, l1_by_params=l1)
        kept: list[ProximalSteps] = []
        since_anew = 0

        def anew(phi: Float64Vector) -> Any:
            nonlocal since_anew
            since_anew = 0
            fixed, per_row = curvature_reads(sampler.n_rows, sampler.hessian_form, sampler.costs)
            self._spent, self._n_fits, self._due = fixed + per_row * sampler.n_rows, 0, False
            return sampler.hessian(sampler.n_rows, phi)

        def refresh(here: Trial, remaining: float) -> Any:
            nonlocal since_anew
            since_anew += 1
            return anew(here.params) if self._due or since_anew > MANY_STEPS else None

        n_rows, decrease = sampler.n_rows, least_decrease(sampler)
        begin = Begin(composite, start, known.matrix, n_rows, decrease, refresh, anew, keep=kept.append)
        result = steps_on_all_rows(objective, begin, l1, l2, Ends(tol, SUPPORT, max_iter), None)
        (steps,) = kept
        self._known = _Known(steps.seen_at, steps.smooth_grad, steps.matrix, ridge)
        self._count(1.0 + result.n_iter)
        if not (result.converged and math.isfinite(result.value)):
            self.forget()
        return result

    def _count(self, reads: float) -> None:
        """Count the reads of a fit; the Hessian is due where fits have become dearer than they were on average."""
        self._n_fits += 1
        self._spent += reads
        self._due = self._due or reads > self._spent / self._n_fits
