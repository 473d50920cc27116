"""What is left to gain along directions that many columns make up together, by the Hessian of all rows.

The certificate of a fit looks at one coordinate at a time. Nearly equal columns make up directions of next to no
curvature, along which a gradient that is small by every coordinate leaves much to gain. Where a Hessian of all rows
costs little, the Newton decrement sees them.

Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), section 9.5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import subgradient
from gpu_logreg.objectives.certificate import gradient_noise, gradient_rounding, l1_strengths
from gpu_logreg.objectives.linear import Objective

__all__ = ["Decrement", "l1_decrement", "newton_decrement"]

Decrement = Callable[[Float64Vector, Float64Vector, float], float]
"""From parameters, the gradient of the smooth part and the value there to an estimate of what is left to gain."""

RESOLVED = float(np.finfo(np.float64).eps)
"""Share of the largest eigenvalue below which those of a matrix of unit diagonal are all rounding."""

POORLY = 1e6
"""Multiple of that rounding below which the eigenvalues are taken from a root of the matrix, which shows the squares of
smaller ones."""

HIDDEN = 1e-6
"""Share of the value that rounding may hide from a fit that converged: an upper estimate, of which a tenth was seen."""

LEAST = 0.01
"""What such an eigenvalue is taken for at least, as a share of that rounding."""


def newton_decrement(objective: Objective, sampler: Any) -> Decrement:
    """``grad @ H^-1 grad / 2``."""

    def decrement(params: Float64Vector, grad: Float64Vector, value: float) -> float:
        sample = sampler.sample(objective.dataset.n_rows)
        metric = sample.params_metric(sample.coordinates.from_params(params))
        return 0.5 * max(0.0, float(grad @ metric.solve(grad)))

    return decrement


def l1_decrement(objective: Objective, sampler: Any, cautious: bool = False) -> Decrement:
    """The same of the coordinates that are not zero, with the subgradient ``v`` of least norm for the gradient.

    By the eigenvectors ``e_k`` of the Hessian of those coordinates, scaled to a unit diagonal, it is
    ``sum_k (v @ e_k)**2 / (2 eigenvalue_k)``. Where rounding leaves nothing of an eigenvalue it may be of any size up
    to that rounding: then the parameters bound the way to the next zero, and ``|v @ e_k| |x|`` what is to be gained.

    What the rounding of the gradient may hide is no gain; where ``cautious``, it is one if it is more than `HIDDEN`,
    and the gradient is taken anew from rows in standardised columns.
    """

    def decrement(params: Float64Vector, grad: Float64Vector, value: float) -> float:
        sample = sampler.sample(objective.dataset.n_rows)
        coordinates = sample.coordinates
        x, strengths = coordinates.from_params(params), coordinates.grad_to_phi(l1_strengths(objective))
        at = np.flatnonzero((x != 0.0) | (strengths == 0.0))
        if not len(at):
            return 0.0
        H = sample.mended_hessian(x)[np.ix_(at, at)]
        by_phi = sample(x)[1] if cautious else coordinates.grad_to_phi(grad)
        v = subgradient(x, by_phi, strengths)[at]
        unit = 1.0 / np.sqrt(np.maximum(H.diagonal(), np.finfo(np.float64).tiny))
        eigenvalues, e = np.linalg.eigh(H * unit * unit[:, None])
        resolved = rounding = RESOLVED * float(eigenvalues[-1])
        if float(eigenvalues[0]) < POORLY * rounding and sample.has_curvature_root:
            eigenvalues, e = _by_root(sample, x, at, unit)
            resolved = rounding if strengths[at].any() else RESOLVED * rounding
            rounding = RESOLVED * rounding
        off = unit * (gradient_rounding(value) if cautious else np.resize(gradient_noise(objective, value), len(x))[at])
        noise = np.sqrt((e * e).T @ (off * off))
        along = np.maximum(np.abs(e.T @ (unit * v)) - noise, 0.0)
        if cautious:
            curved = np.maximum(eigenvalues, LEAST * rounding)
            hidden = np.minimum(0.5 * noise**2 / curved, noise * np.linalg.norm(x[at] / unit))
            along = np.where(hidden > HIDDEN * abs(value), along + noise, along)
        gain = 0.5 * along**2 / np.maximum(eigenvalues, LEAST * rounding)
        most = np.where(eigenvalues > resolved, np.inf, along * np.linalg.norm(x[at] / unit))
        return float(np.minimum(gain, most).sum())

    return decrement


def _by_root(sample: Any, x: Float64Vector, at: Any, unit: Float64Vector) -> tuple[Float64Vector, Any]:
    """Eigenvalues, from the least, and eigenvectors of the Hessian of some coordinates, scaled by ``unit``."""
    ridge = np.resize(sample.penalty, len(x))
    A = np.concatenate([sample.curvature_root(x)[:, at], np.diag(np.sqrt(ridge[at]))]) * unit
    singular_values, rows = np.linalg.svd(np.linalg.qr(A, mode="r"))[1:]
    return singular_values[::-1] ** 2, rows[::-1].T
