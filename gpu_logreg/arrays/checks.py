"""Checks of what a user gives: that ``X`` is finite, that ``sample_weight`` are weights."""

from __future__ import annotations

import math
import numbers
from decimal import Decimal
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import SEARCHED, SEARCHED_ELEMENTS
from gpu_logreg.arrays.csr import place_of
from gpu_logreg.arrays.device import array_namespace, is_sparse
from gpu_logreg.arrays.vector import Array, ArrayOfRows, HostArray
from gpu_logreg.errors import DataError

__all__ = ["LARGEST_WEIGHT", "SMALLEST_WEIGHT", "check_sample_weight", "first_not_finite", "not_finite_error"]

SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-30, 1e30
"""Bounds of the largest row weight: beyond them sums of weights in float32 are zero or infinite."""


def first_not_finite(X: ArrayOfRows) -> tuple[int, int, float] | None:
    """Row, column and value of the first NaN or infinity of ``X``; None if every value is finite.

    It looks at a few rows at a time, so that it allocates nothing of the size of ``X``.

    Examples
    --------
    >>> first_not_finite(np.array([[1.0, 2.0], [3.0, np.inf]]))
    (1, 1, inf)
    """
    if X.dtype.kind != "f" and X.dtype.name != "bfloat16":
        return None
    if is_sparse(X):
        for first in range(0, X.nnz, SEARCHED_ELEMENTS):
            bad = np.flatnonzero(~np.isfinite(X.data[first : first + SEARCHED_ELEMENTS]))
            if len(bad):
                element = first + int(bad[0])
                return *place_of(X, element), float(X.data[element])
        return None
    xp = array_namespace(X)
    step = max(1, SEARCHED.host // max(1, X.shape[1] * X.dtype.itemsize))
    for start in range(0, X.shape[0], step):
        bad = ~xp.isfinite(X[start : start + step])
        if bool(bad.any()):
            row, column = place_of(X, int(bad.argmax()))
            return start + row, column, float(X[start + row, column])
    return None


def check_sample_weight(sample_weight: Any, n: int) -> Array | None:
    """Row weights as float32 or float64 of shape (n,), checked; None stays None.

    Raises
    ------
    DataError
        Weights of another length, negative, not finite, or all zero.

    Examples
    --------
    >>> check_sample_weight([1, 2], 2)
    array([1., 2.])
    """
    if sample_weight is None:
        return None
    xp = array_namespace(sample_weight)
    weights = xp.asarray(sample_weight)
    if weights.dtype.kind == "O":
        _refuse_objects(weights)
        weights = weights.astype(np.float64)
    if weights.dtype.kind not in "fiub":
        raise DataError(f"sample_weight has dtype {weights.dtype}; weights are numbers")
    if weights.dtype not in (np.float32, np.float64):
        weights = weights.astype(np.float64)
    if weights.ndim == 0:
        weights = xp.full(n, float(weights))
    if weights.ndim != 1:
        raise DataError(f"Sample weights must be 1D array or scalar, and have shape {weights.shape}")
    if weights.shape != (n,):
        raise DataError(f"sample_weight has length {weights.shape[0]}, and X has {n} rows")
    low = float(weights.min()) if n else 0.0
    total = float(weights.sum(dtype=np.float64))
    if not np.isfinite(total):
        raise DataError(f"sample_weight contains NaN or infinity at row {int(xp.isfinite(weights).argmin())}")
    if low < 0:
        raise DataError(f"sample_weight holds a negative weight, {low:g}, at row {int(weights.argmin())}")
    if total <= 0:
        raise DataError("sample_weight is zero for every row; at least one must be positive")
    high = float(weights.max())
    if not SMALLEST_WEIGHT <= high <= LARGEST_WEIGHT:
        raise DataError(f"sample_weight is at most {high:g}; multiply the weights by a constant and divide C by it")
    return xp.ascontiguousarray(weights)


def _refuse_objects(weights: HostArray) -> None:
    for row, value in enumerate(weights.ravel().tolist()):
        if not isinstance(value, numbers.Real | Decimal):
            raise DataError(f"sample_weight has dtype object; weights are numbers, and row {row} holds {value!r}")


def not_finite_error(row: int, column: int, value: float, column_name: str = "") -> DataError:
    """The error that names a NaN or an infinity of ``X``.

    Parameters
    ----------
    row, column : int
    value : float
    column_name : str
        Text on the name of the column that follows its number; empty where columns have no names.
    """
    kind = "NaN" if math.isnan(value) else "infinity"
    return DataError(f"Input X contains {kind} at row {row}, column {column}{column_name}; remove or impute it")
