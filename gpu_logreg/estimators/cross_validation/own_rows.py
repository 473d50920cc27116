"""Models of a fold, C after C, by Hessians of the very rows that it learns from, where these cost little.

For two classes, where models in common reads did not contract: few rows carry the curvature along some direction, and
the fold that leaves them out has its minimum far away. Each model begins at the extrapolation of the ends for smaller
C over log C, and takes L-BFGS steps whose first metric is the Hessian there. See
`gpu_logreg.estimators.cross_validation.fold_path`.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.csr import stored_in_a_row
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.cross_validation.fold_path import FoldPath
from gpu_logreg.estimators.cross_validation.penalty_path import How
from gpu_logreg.estimators.linear.fit import objective_of
from gpu_logreg.estimators.linear.parameters import Asked
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.mathematics.penalty import ridge_strength
from gpu_logreg.objectives.certificate import certificate
from gpu_logreg.objectives.curvature import BinarySample
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import SolverResult

__all__ = ["fit_by_own_rows", "own_rows_are_cheap"]

LARGEST_P, MOST_STORED = 150, 64
"""Parameters, and stored elements of a sparse row, up to which a Hessian takes less than a fit that does without."""

DENSE_BYTES = 2**27
"""Bytes of the dense rows in standardised columns, of which a copy is kept, at most."""

STEPS, OLD_STEPS = 40, 10
"""Gradients for a C after which the rest is left to other fits; steps after which the Hessian is taken anew."""


def fit_by_own_rows(
    prepared: Prepared, fold: int, Cs: Float64Vector, known: list[tuple[float, Float64Vector]], how: How
) -> tuple[list[SolverResult], Objective]:
    """The models of a fold for ascending finite C, up to the first that does not come to its end.

    Parameters
    ----------
    prepared : Prepared
        The rows that the fold learns from.
    fold : int
    Cs : ndarray of shape (n_cs,)
    known : list of (C, ndarray of shape (p,))
        Models for smaller C, ascending; without any there is no start, and nothing is fitted.
    how : How

    Returns
    -------
    results : list of SolverResult
        Of none where Hessians are not cheap.
    objective : Objective
        With the count of the reads.
    """
    asked = Asked(float(Cs[0]), 0.0, how.solver, how.solver_reason)
    objective = objective_of(prepared, asked, how.impl, how.fit_intercept)
    if not (known and own_rows_are_cheap(objective)):
        return [], objective
    sampler = Sampler(objective, np.random.default_rng(0), objective.keeps_samples_sparse)
    sample = sampler.all_rows()
    assert isinstance(sample, BinarySample)
    own = _OwnRows(objective, sample.unpenalised(), how)
    return own.minima(
        FoldPath(fold, objective.dataset.weight_total, np.zeros(objective.n_params)), Cs, known
    ), objective


def own_rows_are_cheap(objective: Objective) -> bool:
    """Whether Hessians of all rows take so little time."""
    data, p = objective.dataset, objective.n_params
    if type(objective.loss) is not Binary or not isinstance(data, ResidentDataset) or not data.on_host:
        return False
    if objective.keeps_samples_sparse:
        return bool(p <= LARGEST_P and stored_in_a_row(data.rows.X) <= MOST_STORED)
    return bool(p <= LARGEST_P and 8 * data.n_rows * p <= DENSE_BYTES)


class _OwnRows:
    """See the module."""

    def __init__(self, objective: Objective, sample: BinarySample, how: How) -> None:
        assert isinstance(sample.coordinates, Coordinates)
        self._objective, self._sample, self._how, self._columns = objective, sample, how, sample.coordinates

    def minima(self, path: FoldPath, Cs: Float64Vector, known: list[tuple[float, Float64Vector]]) -> list[SolverResult]:
        """The models for all C, up to the first that does not come to its end."""
        for C, params in known[-3:]:
            path.phi = self._columns.from_params(params)
            path.keep_end(C)
        results = []
        for C in Cs:
            end = self._minimum(path, float(C)) if np.isfinite(C) else None
            if end is None:
                break
            path.keep_end(float(C))
            results.append(end)
        return results

    def _minimum(self, path: FoldPath, C: float) -> SolverResult | None:
        l2 = ridge_strength(C, path.weight)
        ridge = l2 / self._columns.scale / self._columns.scale
        path.go_on(C, l2, np.append(ridge, 0.0) if self._columns.fit_intercept else ridge)
        for at in range(STEPS):
            if at % OLD_STEPS == 0:
                value, grad, H = self._sample.second_order(path.phi)
                H.flat[:: len(H) + 1] += path.ridge
                path.factor = Factor(H)
                path.forget()
            else:
                value, grad = self._sample(path.phi)
            if not np.isfinite(value):
                return None
            value += 0.5 * float(path.phi @ (path.ridge * path.phi))
            phi, grad = path.phi, grad + path.ridge * path.phi
            if path.choose_step(grad) and path.take_step():
                return self._end(path, phi, value, grad)
        return None

    def _end(self, path: FoldPath, phi: Float64Vector, value: float, grad: Float64Vector) -> SolverResult | None:
        one, by_params = self._objective.penalised(0.0, path.l2), self._columns.grad_to_params(grad)
        if not certificate(one, self._columns.to_params(phi), value, by_params, self._how.tol).holds:
            return None
        message = f"by Hessians of the fold: the last step was at most {path.length:.2g} by standardised columns"
        return SolverResult(self._columns.to_params(path.phi), value, by_params, path.n_steps, True, message)
