"""Checks of device arrays before a launch.

A kernel gets bare addresses. With an array of another dtype, shape, device or alignment it reads and writes memory that
is not its own, so every pass on a GPU refuses such arrays by name, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.errors import ImplementationError
from gpu_logreg.rows.block import Rows

__all__ = ["alignment_of", "array_problem", "matrix_problem", "refuse", "row_stride", "vector_problem"]


def array_problem(name: str, rows: Rows) -> str | None:
    """Why the pass ``name`` cannot take ``rows``: one of their arrays is not CuPy's. None if all of them are."""
    for what, array in _named(rows).items():
        if array_namespace(array) is np:
            kind = f"{type(array).__module__}.{type(array).__qualname__}"
            return f"the {name} pass takes CuPy arrays, and {what} is a {kind}"
    return None


def vector_problem(name: str, rows: Rows, labels: Sequence[Any], labels_said: str) -> str | None:
    """Why the pass ``name`` cannot take labels and weights beside ``X``; None if it can.

    Parameters
    ----------
    name : str
    rows : Rows
        CuPy arrays; ``X`` of two dimensions.
    labels : sequence of dtype
        The dtypes that ``y`` may have.
    labels_said : str
        The same in words, for the message.
    """
    X, y, sample_weight = rows
    n = X.shape[0]
    if y.dtype not in labels:
        return f"the {name} pass takes y in {labels_said}, and y is {y.dtype}"
    if sample_weight is not None and sample_weight.dtype not in (np.float32, np.float64):
        return f"the {name} pass takes sample_weight in float32 or float64, and sample_weight is {sample_weight.dtype}"
    for what, array in _named(rows).items():
        if array.device.id != X.device.id:
            return f"the {name} pass takes arrays of one device; X is on {X.device.id} and {what} on {array.device.id}"
        size = array.dtype.itemsize
        # The kernels load whole elements: a load from any other address ends them with an error, and the process cannot
        # use the device any more.
        if any(place % size for place in (array.data.ptr, *array.strides)):
            return (
                f"the {name} pass takes {what} at addresses that the {size} bytes of {array.dtype} divide; copy it once"
            )
        if what == "X":
            continue
        if array.shape != (n,):
            return f"the {name} pass takes {what} of shape ({n},) for the {n} rows of X, and {what} has {array.shape}"
        if not array.flags.c_contiguous:
            return f"the {name} pass takes a contiguous {what}; copy it once with cupy.ascontiguousarray"
    return None


def matrix_problem(name: str, X: Any, storages: Sequence[str]) -> str | None:
    """Why the pass ``name`` cannot read the rows of the CuPy array ``X`` where they lie; None if it can."""
    if X.ndim != 2 or X.dtype.name not in storages:
        return f"the {name} pass takes X of two dimensions in {', '.join(storages)}, and X is {X.ndim}-D {X.dtype}"
    n, d = X.shape
    if d == 0:
        return f"the {name} pass takes at least one column, and X has none"
    if n > 0 and d > 1 and X.strides[1] != X.dtype.itemsize:
        return f"the {name} pass takes rows that are contiguous (C order), and X is not; see cupy.ascontiguousarray"
    return None


def refuse(problem: str | None) -> None:
    """Raise an `ImplementationError` with the problem, if there is one."""
    if problem is not None:
        raise ImplementationError(problem)


def row_stride(X: Any) -> int:
    """Elements from one row to the next. Of a single row the stride is arbitrary, and its length is returned."""
    return int(X.strides[0] // X.dtype.itemsize) if X.shape[0] > 1 else int(X.shape[1])


def alignment_of(X: Any, *, between_rows: bool = True) -> int:
    """The largest power of two up to 16 that divides the address of ``X`` and, if asked, the bytes between two rows.

    It bounds the bytes that a kernel may load at once. 16 is the most that one instruction loads.
    """
    stride = row_stride(X) * X.dtype.itemsize if between_rows else 0
    return next(size for size in (16, 8, 4, 2, 1) if int(X.data.ptr) % size == 0 and stride % size == 0)


def _named(rows: Rows) -> dict[str, Any]:
    X, y, sample_weight = rows
    return {"X": X, "y": y} | ({} if sample_weight is None else {"sample_weight": sample_weight})
