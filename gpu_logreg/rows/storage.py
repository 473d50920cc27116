"""The dtype that rows are stored in where they are walked: the narrowest that holds every value, or the user's choice.

The time of a read is that of its bytes, so narrower rows are read faster. With ``storage="auto"`` the dtype of the
arithmetic stays that of the rows as given: float64 rows that hold small integers are stored as ``uint8`` on a GPU, and
computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import row_blocks
from gpu_logreg.arrays.checks import not_finite_error
from gpu_logreg.arrays.csr import with_dtype
from gpu_logreg.arrays.device import Device, array_namespace, is_sparse, to_device
from gpu_logreg.arrays.vector import Array, ArrayOfRows, CsrArray, DType
from gpu_logreg.errors import DataError
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.room import NARROWER, holds_every_value, refuse_copy_that_does_not_fit
from gpu_logreg.rows.upload import upload

__all__ = ["STORAGES", "dtypes_on_device", "narrowest", "store"]

STORAGES = ("float64", "float32", "float16", "bfloat16", "uint8")

_SAMPLE_ROWS = 4096
"""Rows that `narrowest` tries a dtype on before it looks at all of them."""


def store(
    X: ArrayOfRows, device: Device, storage: str | None, progress: Callable[[int, int], None] | None = None
) -> tuple[ArrayOfRows, DType]:
    """Put rows where they will be walked, in the dtype of ``storage``; and the dtype to compute in.

    Parameters
    ----------
    X : array of shape (n, d), real; sparse rows stay on the host and are computed in float64
    device : Device
    storage : str or None
        One of `STORAGES`, which rounds values where it must. ``"auto"``: that of ``X`` on the host, and where ``X`` is
        on a GPU already; for rows that are copied to a GPU, the narrowest dtype that holds every value. None:
        ``"auto"``, where the user has no parameter ``storage`` that a message could name.
    progress : function (bytes done, bytes in all) -> None, optional
        Progress callback of the copy to a GPU.

    Returns
    -------
    X : array of shape (n, d)
    dtype : float32 or float64

    Raises
    ------
    DataError
        Values that ``storage`` cannot hold even rounded; a dtype that is not installed.
    DeviceError
        Rows that do not fit the memory of the device.

    Examples
    --------
    >>> X, dtype = store(np.array([[0.1]]), Device("cpu"), "float32")
    >>> X, dtype
    (array([[0.1]], dtype=float32), dtype('float32'))
    """
    narrow_by, storage = ("storage", storage) if storage is not None else ("astype", "auto")
    if is_sparse(X):
        return _store_sparse(X, storage), np.dtype(np.float64)
    comes_from_host = array_namespace(X) is np
    if storage == "auto":
        dtype = compute_dtype(X.dtype)
        if device.kind == "cpu" or not comes_from_host:
            return to_device(X, device), dtype
        return upload(X, device, narrowest(X), progress, narrow_by), dtype
    target = _dtype(storage)
    _refuse_values_out_of_range(X, target)
    dtype = compute_dtype(target)
    if device.kind == "cuda" and comes_from_host:
        return upload(X, device, target, progress), dtype
    if device.kind == "cuda":
        refuse_copy_that_does_not_fit(X, device, target)
    return to_device(X, device).astype(target, copy=False), dtype


def _store_sparse(X: CsrArray, storage: str) -> CsrArray:
    """Sparse rows in the dtype of ``storage``; the passes compute in float64, as most of their time is for indices."""
    if storage == "auto":
        return X
    if storage not in ("float32", "float64"):
        raise DataError(f"storage={storage!r} is for dense rows, and X is sparse; use 'auto', 'float32' or 'float64'")
    return with_dtype(X, np.dtype(storage))


def dtypes_on_device(X: Array, storage: str) -> tuple[DType, DType]:
    """The dtypes that dense rows of the host are stored in on a GPU, and computed in; see `store`."""
    if storage == "auto":
        return narrowest(X), compute_dtype(X.dtype)
    target = _dtype(storage)
    _refuse_values_out_of_range(X, target)
    return target, compute_dtype(target)


def narrowest(X: Array) -> DType:
    """The narrowest dtype the kernels read that holds every value of ``X``, an array on the host.

    A few thousand rows are tried first, so that values that need all their digits are not searched to the end.

    Examples
    --------
    >>> narrowest(np.array([[0.0, 255.0]])), narrowest(np.array([[0.5, 255.0]])), narrowest(np.array([[0.1]]))
    (dtype('uint8'), dtype('float16'), dtype('float64'))
    """
    native = X.dtype if X.dtype.name in STORAGES else compute_dtype(X.dtype)
    some = X[:: max(1, len(X) // _SAMPLE_ROWS)]
    for name in NARROWER:
        dtype = np.dtype(name)
        if dtype.itemsize >= native.itemsize:
            break
        if holds_every_value(some, dtype) and holds_every_value(X, dtype):
            return dtype
    return np.dtype(native)


def _dtype(storage: str) -> DType:
    if storage != "bfloat16":
        return np.dtype(storage)
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise DataError(
            "storage='bfloat16' needs the package ml_dtypes; install it with: pip install ml_dtypes, or use 'float16'"
        ) from None
    found: DType = np.dtype(bfloat16)
    return found


def _refuse_values_out_of_range(X: Array, target: DType) -> None:
    """Raise a `DataError` where ``target`` holds a finite value as infinity, or a fraction as an integer.

    Any other rounding is what the user has chosen ``storage`` for.
    """
    xp = array_namespace(X)
    if target.name not in ("uint8", "float16") or X.dtype == target:
        return
    block_bytes = CONVERTED.host if xp is np else CONVERTED.device
    for part in row_blocks(len(X), max(1, X.shape[1]) * X.dtype.itemsize, block_bytes):
        block = X[part]
        with np.errstate(all="ignore"):
            narrow = block.astype(target)
            wrong = narrow != block if target.name == "uint8" else xp.isinf(narrow) & ~xp.isinf(block)
        if bool(wrong.any()):
            row, column = divmod(int(wrong.argmax()), X.shape[1])
            value, row = float(block[row, column]), part.start + row
            if np.isnan(value):
                raise not_finite_error(row, column, value)
            limit = "whole numbers from 0 to 255" if target.name == "uint8" else "numbers up to 65504"
            raise DataError(
                f"storage={target.name!r} holds {limit}, and X is {value:g} at row {row}, column {column}; "
                "scale the column, or use storage='auto'"
            )
