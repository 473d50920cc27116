"""Whether columns are nearly independent, as few rows tell: then gradients alone are enough, whatever their number.

With the correlations ``C`` of d columns, whose eigenvalues have the mean 1, ``trace(C C) / d`` is the mean of their
squares: 1 for independent columns, and more the wider the eigenvalues are spread. Of two different rows ``u_i`` and
``u_l`` in standardised columns ``E (u_i @ u_l)**2 = trace(C C)``, so that the products of some hundred rows tell it to
a few percent, where the eigenvalues of so few rows would tell nothing.

Source: O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004): the
spread of the eigenvalues is what decides how much a diagonal errs.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import EFFECTIVE_SHARE, FAR_FROM_ZERO
from gpu_logreg.rows.coordinates import standardised
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["columns_are_independent"]

ROWS, PRODUCTS = 512, 128
"""Rows that means and variances of the columns are estimated from, and those of them that are multiplied."""

LARGEST_SHARE = 0.25
"""Share of all rows that these may be."""

WIDEST = 1.3
"""Mean squared eigenvalue up to which columns are nearly independent: 1.3 is that of columns of which each has the
correlation 0.36 with the next, where the largest eigenvalue is four or five times the least."""


def columns_are_independent(objective: Objective, generator: np.random.Generator) -> bool:
    """Whether that is certain; the columns' centres and spreads are estimated then.

    False where few rows carry the variance of a column, where float32 is not enough, and for rows that are sparse, few
    or not in memory. It counts as the share of a read that the rows are.
    """
    dataset = objective.dataset
    in_memory = isinstance(dataset, ResidentDataset) and not objective.keeps_samples_sparse
    if not in_memory or LARGEST_SHARE * dataset.n_rows < ROWS:
        return False
    indices, weight = dataset.drawing(objective.loss.n_classes).draw(ROWS, generator)
    objective.reads.total += dataset.reads_of_sample(len(indices))
    rows = standardised(dataset, indices, dataset.labels_and_weights(indices, weight)[1], objective.fit_intercept)
    mean, scale = rows.coordinates.mean, rows.coordinates.scale
    even = rows.effective >= EFFECTIVE_SHARE * len(indices)
    if not (np.isfinite(mean).all() and even.all() and (np.abs(mean) <= FAR_FROM_ZERO * scale).all()):
        return False
    d = dataset.n_columns
    U = to_numpy(rows.U[:: max(1, len(indices) // PRODUCTS), :d])
    products = (U @ U.T)[np.tril_indices(len(U), -1)].astype(np.float64)
    if not float((products * products).mean()) <= WIDEST * d:
        return False
    objective.centre_on(mean, scale)
    return True
