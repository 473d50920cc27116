"""Where proximal steps on all rows begin: the solution of a sample of them, with its penalty."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers.composite import Composite
from gpu_logreg.solvers.composite_steps import proximal_steps
from gpu_logreg.solvers.criteria import below
from gpu_logreg.solvers.heavy_composite import CompositeDoubt
from gpu_logreg.solvers.subsampled_newton import SAMPLE_DECREASE, thinnings
from gpu_logreg.solvers.watch import renewed

__all__ = ["solve_on_sample"]

ROUGHLY = 1e-2
"""`gpu_logreg.solvers.coordinate_descent.FORCING` of models on a sample, which is solved roughly."""

DAMPING = 0.1
"""Added to the diagonal of the first Hessian, relatively: it is of so few rows that it may be singular, and along
directions that it holds for flat steps would be far too long, and long to find."""


def solve_on_sample(
    sample: Any, phi: Float64Vector, strengths: Float64Vector, doubt: CompositeDoubt | None = None
) -> tuple[Float64Vector, float]:
    """Solve on ever larger parts of the sample, each started with the solution and the curvature of the last.

    The solution, and the value at the start on the first of the parts. With ``doubt`` the sample is all rows, of which
    some may be heavy.
    """
    p, value_at_start = len(phi), math.nan
    ridge = np.resize(sample.penalty, p)
    ks, first = thinnings(sample.n_rows, p)
    H = sample.thin(first).damped_hessian(phi)
    H.flat[:: p + 1] *= 1.0 + DAMPING
    for k in ks:
        level = sample.thin(k)
        result = proximal_steps(
            Composite(level, strengths, ridge=ridge),
            phi,
            H,
            criterion=below(SAMPLE_DECREASE * p / level.n_rows),
            max_iter=20,
            refresh=renewed(level.damped_hessian),
            rescue=level.damped_hessian,
            forcing=ROUGHLY,
            doubt=doubt if k == 1 else None,
        )
        phi = result.params
        if k == ks[0]:
            value_at_start = result.loss_curve[0]
        if k > 1:
            H = level.damped_hessian(phi)
    return phi, value_at_start
