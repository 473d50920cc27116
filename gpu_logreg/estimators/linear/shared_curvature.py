"""Fits of a path over C with an L1 penalty that share a model of the curvature, where that is a matrix in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.linear.fit import minimise
from gpu_logreg.estimators.linear.problem import Limits, Options
from gpu_logreg.objectives.certificate import certify
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.path_sampler import FirstSample, PathSampler
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.costs import newton_is_fastest
from gpu_logreg.solvers.proximal_path import ProximalPath

__all__ = ["SharedCurvature"]

MOST_STEPS = 12
"""Steps by the shared model after which a fit, and all that follow, go on alone: as a rule two or three are taken, and
more where few rows carry the curvature, so that no matrix serves for long."""


class SharedCurvature:
    """Fits one strength of the penalty after the other, the strongest first.

    Parameters
    ----------
    options : Options
        With a first sample, which all fits share.
    shares : ndarray of shape (K,)
        Of the classes.
    limits : Limits
        Of each fit.
    """

    def __init__(self, options: Options, shares: Float64Vector, limits: Limits) -> None:
        assert options.first_sample is not None
        self._options, self._shares, self._limits = options, shares, limits
        self._first: FirstSample = options.first_sample
        self._path = ProximalPath()
        self._has_misled = False

    def fit(self, objective: Objective, start: Float64Vector | None) -> SolverResult:
        """The minimum: from what the last fit knew, or from ``start`` where there was none or it has misled."""
        if not self._path.begun:
            return self._alone(objective, start, self._limits)
        tol, max_iter = self._limits.tol, self._limits.max_iter
        needs: dict[str, Any] = {"sampler": self._sampler(objective), "l1": objective.l1_strengths, "l2": objective.l2}
        most = min(max_iter, MOST_STEPS)
        result = self._path.minimum(objective, **needs, tol=tol, max_iter=most)
        if not result.converged and most < max_iter:
            self._has_misled = True
            near = result.params if np.isfinite(result.params).all() else start
            alone = self._alone(objective, near, Limits(tol, max_iter - result.n_iter))
            return replace(alone, n_iter=result.n_iter + alone.n_iter)

        def go_on(end: SolverResult, tol: float, max_iter: int) -> SolverResult:
            self._path.forget()
            return self._alone(objective, end.params, Limits(tol, max_iter))

        return certify(objective, result, tol, max_iter, go_on)

    def _alone(self, objective: Objective, start: Float64Vector | None, limits: Limits) -> SolverResult:
        """The fit as any other; what is known at its end is for the next."""
        result = minimise(self._options, "proximal", objective, self._shares, start, limits)
        if self._can_share(objective) and result.converged and result.smooth_grad is not None:
            sample = self._sampler(objective).sample(self._first.size)
            self._path.begin_at(sample, result.params, result.smooth_grad)
        return result

    def _can_share(self, objective: Objective) -> bool:
        """Whether fits go by a sample of rows on the host, of two classes; few rows have all their Hessians at once."""
        data = objective.dataset
        few = newton_is_fastest(data.n_rows, objective.n_params)
        on_host = data.is_resident and data.on_host
        return self._first.size > 0 and objective.n_logits == 1 and on_host and not (few or self._has_misled)

    def _sampler(self, objective: Objective) -> PathSampler:
        return PathSampler(objective, np.random.default_rng(0), self._first)  # which draws nothing more
