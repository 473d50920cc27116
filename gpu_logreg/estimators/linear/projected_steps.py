"""Steps by standardised columns towards the minimum of an objective and a part that is not smooth.

The Hessian is that of a sample, and of ever more rows where that is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.random import seed_of
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.estimators.linear.problem import Limits, Options
from gpu_logreg.objectives.certificate import Certificate
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.solvers import Observer, SolverResult
from gpu_logreg.solvers.costs import sample_size
from gpu_logreg.solvers.projected_newton import NonSmooth, projected_newton
from gpu_logreg.solvers.wrapped import Wrapped

__all__ = ["judged", "projected_steps"]

GROWTH = 4
"""What the rows of the Hessian are multiplied by where it has misled."""

PartT = TypeVar("PartT", bound=NonSmooth)


class _ByPhi(Wrapped):
    """The objective by standardised columns."""

    def __init__(self, objective: Objective, coordinates: Any) -> None:
        self.objective, self._coordinates = objective, coordinates

    @property
    def separable_below(self) -> float:
        """0: of classes that weights within their bounds separate, the loss may have a minimum."""
        return 0.0

    def widen(self) -> bool:
        """False: it computes in float64."""
        return False

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient by ``phi``; one read."""
        value, grad = self.objective(self._coordinates.to_params(phi))
        return value, self._coordinates.grad_to_phi(grad)

    def observer(self, by_params: Observer | None) -> Observer | None:
        """An observer of iterations by ``phi``, from one of iterations by parameters."""
        if by_params is None:
            return None
        to_params = self._coordinates.to_params
        return lambda here: by_params(replace(here, params=to_params(here.params)))


def projected_steps(
    objective: Objective,
    start: Float64Vector,
    part_by: Callable[[Float64Vector], PartT],
    options: Options,
    limits: Limits,
) -> tuple[SolverResult, Float64Vector, PartT]:
    """The end by parameters, in float64, the same point by ``phi``, and the part by ``phi``.

    Parameters
    ----------
    objective : Objective
    start : ndarray of shape (p,)
    part_by : function scale -> NonSmooth
        The part that is not smooth, as a function of ``phi``, where weights are multiplied by ``scale``.
    options : Options
    limits : Limits
    """
    objective.widen()
    sampler = Sampler(objective, np.random.default_rng(seed_of(options.random_state)))
    sample = sampler.sample(sample_size(sampler.n_rows, sampler.hessian_form, sampler.costs))
    coordinates = sample.coordinates
    part, by_phi = part_by(_scale_of(objective, coordinates)), _ByPhi(objective, coordinates)
    result = projected_newton(
        by_phi,
        coordinates.from_params(start),
        part,
        hessian=_growing(sampler, sample),
        tol=limits.tol,
        max_iter=limits.max_iter,
        observer=by_phi.observer(limits.observer),
    )
    assert result.smooth_grad is not None
    grad, smooth_grad = coordinates.grad_to_params(result.grad), coordinates.grad_to_params(result.smooth_grad)
    params = coordinates.to_params(result.params)
    return replace(result, params=params, grad=grad, smooth_grad=smooth_grad), result.params, part


def _scale_of(objective: Objective, coordinates: Any) -> Float64Vector:
    """What weights are multiplied by in ``phi``; 1 for intercepts."""
    K = objective.n_logits
    weights = np.ones((K, objective.n_params // K))
    weights[:, objective.dataset.n_columns :] = 0.0
    inverse = coordinates.grad_to_phi(weights.ravel())
    return np.where(inverse > 0.0, 1.0 / np.where(inverse > 0.0, inverse, 1.0), 1.0)


def _growing(sampler: Sampler, sample: Any) -> Callable[[Float64Vector, bool], Float64Matrix]:
    """The Hessian of the sample; of more and more rows, all in the end, each time that a better one is asked for."""
    size = sample.n_rows

    def hessian(phi: Float64Vector, better: bool) -> Float64Matrix:
        nonlocal size
        if better and not sampler.complete:
            size = min(sampler.n_rows, GROWTH * size)
        return sample.damped_hessian(phi) if size <= sample.n_rows else sampler.hessian(size, phi)

    return hessian


def judged(result: SolverResult, proof: Certificate, where: str) -> SolverResult:
    """The result, converged only where its certificate holds; ``where`` qualifies the subgradient in the message."""
    if proof.holds or not result.converged:
        return replace(result, converged=result.converged or (result.stuck and proof.holds))
    message = (
        f"the subgradient {where} by standardised columns is {proof.residual:.2g}, and at most "
        f"{proof.limit:.2g} at an optimum"
    )
    return replace(result, converged=False, message=message)
