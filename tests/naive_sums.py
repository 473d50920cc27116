"""What a pass must return, written out as in a textbook and in the widest floating dtype of the machine.

It shares no formula with the package: the loss is ``log(1 + exp(z)) - y z`` by ``numpy.logaddexp``, the probability
``1 / (1 + exp(-z))``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WIDE = np.longdouble


class NaiveSums(NamedTuple):
    """Sums over the rows, and for each the size of what was added up.

    ``loss_size``, ``dw_size`` and ``db_size`` are what one rounding of every logit and of every term, times the
    epsilon of a dtype, may add up to. For the loss that is at least 1 per row, because the logarithm of a product of
    ``1 + e`` terms rounds each of them near 1.
    """

    loss_sum: float
    dw_sum: np.ndarray
    db_sum: float
    loss_size: float
    dw_size: np.ndarray
    db_size: float


def naive_sums(X, y, sample_weight, w, b) -> NaiveSums:
    x = X.astype(WIDE)
    s = np.ones(len(x), WIDE) if sample_weight is None else sample_weight.astype(WIDE)
    y, w, b = y.astype(WIDE), w.astype(WIDE), WIDE(b)
    z = x @ w + b
    with np.errstate(over="ignore"):  # exp(-z) = inf is p = 0
        p = 1 / (1 + np.exp(-z))
    row_loss = np.logaddexp(0, z) - y * z
    dz = s * (p - y)
    z_size = np.abs(x) @ np.abs(w) + np.abs(b)
    dz_size = s * (np.abs(p - y) + p * (1 - p) * z_size + p)
    return NaiveSums(
        float((s * row_loss).sum()),
        (x.T @ dz).astype(np.float64),
        float(dz.sum()),
        float((s * (1 + row_loss + np.abs(p - y) * z_size + np.maximum(z, 0) + np.abs(y * z))).sum()),
        (np.abs(x).T @ dz_size).astype(np.float64),
        float(dz_size.sum()),
    )


def naive_objective(X, y, params, *, C: float, sample_weight=None, fit_intercept: bool = True) -> float:
    """``sum(s row_loss) / sum(s) + |w|**2 / (2 C sum(s))``, scikit-learn's objective divided by ``C sum(s)``."""
    x = np.asarray(X, np.float64)
    s = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    w, b = (params[:-1], params[-1]) if fit_intercept else (params, 0.0)
    z = x @ w + b
    loss = np.logaddexp(0, z) - np.asarray(y, np.float64) * z
    return float(s @ loss / s.sum() + w @ w / (2 * C * s.sum()))
