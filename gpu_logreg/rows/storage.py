"""How rows are stored where they are walked: the narrowest dtype that loses nothing, or the one that was asked for.

A read takes the time of its bytes, so narrower rows are faster rows. What the passes compute in does not change by
narrowing of its own accord: float64 rows that hold small integers are stored as ``uint8`` and computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import row_blocks
from gpu_logreg.arrays.csr import stored_as
from gpu_logreg.arrays.device import Device, array_namespace, is_sparse, to_device
from gpu_logreg.errors import DataError
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.room import NARROWER, holds_every_value, refuse_copy_that_does_not_fit
from gpu_logreg.rows.upload import upload

__all__ = ["STORAGES", "narrowest", "stored"]

STORAGES = ("float64", "float32", "float16", "bfloat16", "uint8")

_SAMPLE_ROWS = 4096


def stored(X: Any, device: Device, storage: str | None, told: Any = None) -> tuple[Any, np.dtype[Any]]:
    """Rows where they will be walked, and the dtype to compute in.

    Parameters
    ----------
    X : array of shape (n, d), real; sparse rows stay on the host and are computed in float64
    device : Device
    storage : str or None
        One of `STORAGES`, which rounds where it must, or ``"auto"``: on the host, and for rows that are on a GPU
        already, as they are; for rows that go to a GPU, the narrowest dtype that holds every value. None is
        ``"auto"`` of a caller that has no such parameter, for messages.
    told : function (bytes done, bytes in all) -> None, optional
        Called now and then while rows go to a GPU.

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
    """
    asked, storage = ("storage", storage) if storage is not None else ("astype", "auto")
    if is_sparse(X):
        return _sparse_stored(X, storage), np.dtype(np.float64)
    comes_from_host = array_namespace(X) is np
    if storage == "auto":
        dtype = compute_dtype(X.dtype)
        if device.kind == "cpu" or not comes_from_host:
            return to_device(X, device), dtype
        return upload(X, device, narrowest(X), told, asked), dtype
    target = _dtype(storage)
    _refuse_what_does_not_fit(X, target)
    dtype = compute_dtype(target)
    if device.kind == "cuda" and comes_from_host:
        return upload(X, device, target, told), dtype
    if device.kind == "cuda":
        refuse_copy_that_does_not_fit(X, device, target)
    return to_device(X, device).astype(target, copy=False), dtype


def _sparse_stored(X: Any, storage: str) -> Any:
    """Sparse rows: computed in float64 whatever they are stored in, as it is their columns' numbers that take time."""
    if storage == "auto":
        return X
    if storage not in ("float32", "float64"):
        raise DataError(f"storage={storage!r} is for dense rows, and X is sparse; use 'auto', 'float32' or 'float64'")
    return stored_as(X, np.dtype(storage))


def narrowest(X: Any) -> np.dtype[Any]:
    """The narrowest dtype the kernels read that holds every value of ``X``, an array on the host.

    A few thousand rows are tried first, so that rows of measured values cost nothing.
    """
    native = X.dtype if X.dtype.name in STORAGES else compute_dtype(X.dtype)
    thinned = X[:: max(1, len(X) // _SAMPLE_ROWS)]
    for name in NARROWER:
        dtype = np.dtype(name)
        if dtype.itemsize >= native.itemsize:
            break
        if holds_every_value(thinned, dtype) and holds_every_value(X, dtype):
            return dtype
    return np.dtype(native)


def _dtype(storage: str) -> np.dtype[Any]:
    if storage != "bfloat16":
        return np.dtype(storage)
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise DataError(
            "storage='bfloat16' needs the package ml_dtypes; install it with: pip install ml_dtypes, or use 'float16'"
        ) from None
    found: np.dtype[Any] = np.dtype(bfloat16)
    return found


def _refuse_what_does_not_fit(X: Any, target: np.dtype[Any]) -> None:
    """Rounding is what was asked for; a finite value that becomes infinite, or a fraction in ``uint8``, is not."""
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
                raise DataError(f"Input X contains NaN at row {row}, column {column}; remove or impute it")
            limit = "whole numbers from 0 to 255" if target.name == "uint8" else "numbers up to 65504"
            raise DataError(
                f"storage={target.name!r} holds {limit}, and X is {value:g} at row {row}, column {column}; "
                "scale the column, or use storage='auto'"
            )
