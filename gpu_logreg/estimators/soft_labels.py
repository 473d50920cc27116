"""Soft labels as a user gives them: the probability of each class in the place of a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column, given_rows
from gpu_logreg.estimators.labels import weights_by_class

__all__ = ["given_probabilities", "weighted_by_class"]

SUM_OF_PROBABILITIES = 1e-5
"""Most that the probabilities of a row may differ from 1 in all: the rounding of float32."""


def given_probabilities(y: Any) -> Float64Matrix:
    """Probabilities of the classes, of shape (n, K) with K >= 2, on the host; those of a row add up to 1.

    Parameters
    ----------
    y : array-like of shape (n,), the probabilities of the second of two classes, or (n, K)

    Raises
    ------
    DataError
        What is no probability, or a row whose probabilities do not add up to 1.

    Examples
    --------
    >>> given_probabilities([0.25, 1.0])
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """
    several = getattr(y, "ndim", 1) == 2 and y.shape[1] > 1
    P = to_numpy(np.asarray(given_rows(y).X) if several else given_column(y, "y"))
    if P.dtype.kind not in "fiub" or P.ndim not in (1, 2):
        raise DataError(
            f"soft_labels=True: y has dtype {P.dtype} and shape {P.shape}; give probabilities, of shape (n,) or (n, K)"
        )
    P = P.astype(np.float64).reshape(len(P), -1)
    wrong = ~((P >= 0.0) & (P <= 1.0))
    if wrong.any():
        row, k = (int(at) for at in np.unravel_index(int(wrong.argmax()), wrong.shape))
        raise DataError(f"soft_labels=True: y is {P[row, k]:g} at row {row}; probabilities lie in [0, 1]")
    if P.shape[1] == 1:
        return np.column_stack([1.0 - P[:, 0], P[:, 0]])
    sums = P.sum(axis=1)
    wrong = np.abs(sums - 1.0) > SUM_OF_PROBABILITIES
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"soft_labels=True: the probabilities of row {row} add up to {sums[row]:g}; they add up to 1")
    return np.asarray(P / sums[:, None])


def weighted_by_class(
    class_weight: Any, P: Float64Matrix, sample_weight: Float64Vector | None
) -> tuple[Float64Matrix, Float64Vector | None]:
    """Probabilities and weights of rows, each of which stands for K rows of a class each, weighed by their class."""
    if class_weight is None:
        return P, sample_weight
    s = np.ones(len(P)) if sample_weight is None else sample_weight
    weights = weights_by_class(class_weight, np.arange(P.shape[1]), (P * s[:, None]).sum(axis=0))
    if weights is None:
        return P, sample_weight
    weighted = P * weights
    total = weighted.sum(axis=1)
    return np.where(total[:, None] > 0.0, weighted / np.where(total > 0.0, total, 1.0)[:, None], P), s * total
