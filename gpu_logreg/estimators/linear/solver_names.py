"""Names of the solvers of linear models, which the estimator, the command line and its help share; imports nothing."""

from __future__ import annotations

__all__ = ["SOLVER_NAMES"]

SOLVER_NAMES = (
    "subsampled-newton",
    "newton-cg",
    "lbfgs",
    "proximal",
    "coordinate-descent",
    "gradient-descent",
    "sgd",
    "adam",
)
"""Those of the table in `gpu_logreg.estimators.linear.fit`; ``"auto"`` besides is one of them."""
