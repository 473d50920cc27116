"""The Newton decrement by the Hessian of all rows: the remaining decrease along every direction.

The certificate (`gpu_logreg.objectives.certificate`) looks at one coordinate at a time. Nearly collinear columns have
directions of very small curvature, along which a gradient that is small in every coordinate leaves a large remaining
decrease. Where the Hessian of all rows costs little, its Newton decrement ``grad @ H^-1 grad / 2`` shows it. For an L1
penalty the gradient is the subgradient of least norm, and the Hessian that of the parameters which are not zero.

Two kinds of rounding error must not count as a remaining decrease. Eigenvalues below the rounding of the largest are
not known: they are taken from the singular values of a square root of the Hessian where there is one, and the decrease
along their directions is bounded by the size of the parameters. And the part of the gradient that may be rounding
error is subtracted from it.

Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), section 9.5.1.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics.penalty import subgradient
from gpu_logreg.objectives.certificate import RemainingDecrease, gradient_noise, gradient_rounding
from gpu_logreg.objectives.curvature import Sample
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler

__all__ = ["l1_decrement", "newton_decrement"]

EIGENVALUE_ROUNDING = float(np.finfo(np.float64).eps)
"""Rounding error of eigenvalues relative to the largest, of a matrix with unit diagonal: that of float64."""

ILL_CONDITIONED = 1e6
"""Multiple of that rounding error below which the least eigenvalue calls for a square root of the Hessian.

The eigenvalues are then squares of singular values, which are known down to the square of the precision. The multiple
leaves six digits of an eigenvalue. A choice."""

HIDDEN_SHARE = 1e-6
"""Share of the value that the rounding of the gradient may hide in a fit that counts as converged.

It is compared with an upper estimate; a tenth of the estimate was the most seen in trials."""

LEAST_EIGENVALUE = 0.01
"""Least divisor for an eigenvalue that rounding leaves unknown, as a share of the rounding error. A choice."""


def newton_decrement(objective: Objective, sampler: Sampler) -> RemainingDecrease:
    """``grad @ H^-1 grad / 2`` with the Hessian of all rows at the point; for objectives without an L1 penalty."""

    def decrement(params: Float64Vector, grad: Float64Vector, value: float) -> float:
        sample = sampler.sample(objective.dataset.n_rows)
        metric = sample.params_metric(sample.coordinates.from_params(params))
        return 0.5 * max(0.0, float(grad @ metric.solve(grad)))

    return decrement


def l1_decrement(objective: Objective, sampler: Sampler, cautious: bool = False) -> RemainingDecrease:
    """The decrement over the parameters that are not zero, with the subgradient ``v`` of least norm.

    With the eigenvectors ``e_k`` of the Hessian of those parameters, scaled to unit diagonal, it is
    ``sum_k (v @ e_k)**2 / (2 eigenvalue_k)``. An eigenvalue below the rounding error of the largest may be anything up
    to it, and the quotient means nothing: along such a direction the parameters ``x`` can move by about ``|x|`` before
    one of them is zero, which bounds the decrease by ``|v @ e_k| |x|``.

    Parameters
    ----------
    objective : Objective
    sampler : Sampler
        Gives all rows as a sample.
    cautious : bool
        Without it the rounding error of the gradient is subtracted from ``|v @ e_k|``. With it the gradient is summed
        again over rows in standardised columns, and its rounding error is not subtracted where it may hide more than
        `HIDDEN_SHARE` of the value.
    """

    def decrement(params: Float64Vector, grad: Float64Vector, value: float) -> float:
        sample = sampler.sample(objective.dataset.n_rows)
        coordinates = sample.coordinates
        x, strengths = coordinates.from_params(params), coordinates.grad_to_phi(objective.l1_strengths)
        at = np.flatnonzero((x != 0.0) | (strengths == 0.0))
        if not len(at):
            return 0.0
        H = sample.damped_hessian(x)[np.ix_(at, at)]
        by_phi = sample(x)[1] if cautious else coordinates.grad_to_phi(grad)
        v = subgradient(x, by_phi, strengths)[at]
        unit = 1.0 / np.sqrt(np.maximum(H.diagonal(), np.finfo(np.float64).tiny))
        eigenvalues, e = np.linalg.eigh(H * unit * unit[:, None])
        resolved = rounding = EIGENVALUE_ROUNDING * float(eigenvalues[-1])
        if float(eigenvalues[0]) < ILL_CONDITIONED * rounding and sample.has_curvature_root:
            eigenvalues, e = _by_root(sample, x, at, unit)
            resolved = rounding if strengths[at].any() else EIGENVALUE_ROUNDING * rounding
            rounding = EIGENVALUE_ROUNDING * rounding
        if cautious:
            grad_noise = unit * gradient_rounding(value)
        else:
            noise_of_columns = gradient_noise(objective.standard_columns, value, objective.precision)
            grad_noise = unit * np.resize(noise_of_columns, len(x))[at]
        noise = np.sqrt((e * e).T @ (grad_noise * grad_noise))
        slope = np.maximum(np.abs(e.T @ (unit * v)) - noise, 0.0)
        if cautious:
            curved = np.maximum(eigenvalues, LEAST_EIGENVALUE * rounding)
            hidden = np.minimum(0.5 * noise**2 / curved, noise * np.linalg.norm(x[at] / unit))
            slope = np.where(hidden > HIDDEN_SHARE * abs(value), slope + noise, slope)
        gain = 0.5 * slope**2 / np.maximum(eigenvalues, LEAST_EIGENVALUE * rounding)
        bound = np.where(eigenvalues > resolved, np.inf, slope * np.linalg.norm(x[at] / unit))
        return float(np.minimum(gain, bound).sum())

    return decrement


def _by_root(
    sample: Sample, x: Float64Vector, at: IntVector, unit: Float64Vector
) -> tuple[Float64Vector, Float64Matrix]:
    """Ascending eigenvalues and eigenvectors of the Hessian of the parameters ``at``, by the SVD of its square root.

    The Hessian is scaled by ``unit`` on both sides. It is ``A.T @ A`` with rows of the loss and of the ridge in ``A``.
    """
    ridge = np.resize(sample.penalty, len(x))
    A = np.concatenate([sample.curvature_root(x)[:, at], np.diag(np.sqrt(ridge[at]))]) * unit
    singular_values, rows = np.linalg.svd(np.linalg.qr(A, mode="r"))[1:]
    return singular_values[::-1] ** 2, rows[::-1].T
