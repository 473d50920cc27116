"""From Dask collections to blocks of rows with their labels and weights, one for each partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dask.delayed import Delayed

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import is_collection

__all__ = ["blocks_of"]


def blocks_of(X: Any, y: Any, sample_weight: Any) -> list[tuple[Any, Any, Any]]:
    """Delayed rows, labels and weights of every partition.

    Parameters
    ----------
    X : Dask array or DataFrame, delayed value, or sequence of delayed values
        Of an array one column of blocks is made. A delayed value is rows, or with ``y=None`` a tuple of rows, labels
        and, if there are any, weights.
    y, sample_weight : as ``X``, or None
        In as many partitions.

    Raises
    ------
    DataError
        One line that names what does not fit together.
    """
    if isinstance(X, Delayed):
        X = [X]
    if isinstance(X, Sequence) and not isinstance(X, str):
        if not X or not all(is_collection(block) for block in X):
            raise DataError("X is a sequence that holds no delayed blocks; give delayed values, or a Dask collection")
        if y is None:
            if sample_weight is not None:
                raise DataError("delayed blocks bring their own weights: give (X, y, sample_weight) in each")
            return [(block, None, None) for block in X]
    parts = _partitions(X, "X")
    if y is None:
        raise DataError("y is missing: give labels in as many partitions as X has")
    labels = _partitions(y, "y")
    weights = [None] * len(parts) if sample_weight is None else _partitions(sample_weight, "sample_weight")
    for name, others in (("y", labels), ("sample_weight", weights)):
        if len(others) != len(parts):
            raise DataError(
                f"X has {len(parts)} partitions and {name} has {len(others)}; rechunk or repartition one as the other"
            )
    return list(zip(parts, labels, weights, strict=True))


def _partitions(value: Any, name: str) -> list[Any]:
    if isinstance(value, Delayed):
        return [value]
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == len(value):  # of X.to_delayed()
        value = value.ravel().tolist()
    if isinstance(value, Sequence) and value and all(is_collection(block) for block in value):
        return list(value)
    if not is_collection(value) or not hasattr(value, "to_delayed"):
        raise DataError(
            f"{name} is no collection of Dask's but {type(value).__name__}; use the estimator of this name in "
            "gpu_logreg for data in memory, or give a collection of as many partitions as the others"
        )
    if getattr(value, "ndim", 1) == 2 and hasattr(value, "numblocks") and value.numblocks[1] > 1:
        value = value.rechunk({1: -1})
    delayed = value.to_delayed()
    return list(delayed.ravel() if hasattr(delayed, "ravel") else delayed)
