"""Whether rows fit the free memory of a GPU, and how many would fit in which dtype."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import ROOM, Device, free_bytes
from gpu_logreg.arrays.vector import Array, DType, DTypeLike, HostArray
from gpu_logreg.errors import DeviceError

__all__ = ["NARROWER", "holds_every_value", "refuse_copy_that_does_not_fit", "refuse_rows_that_do_not_fit"]

NARROWER = ("uint8", "float16", "float32")
"""Dtypes that rows may be stored in without loss, the narrowest first."""

_NARROWER_ROWS = {  # remedies by the way to narrow: a parameter, which leaves the dtype of the arithmetic, or astype
    "storage": ("storage='auto', which stores X as {} without loss and fits, ", "storage={!r}, which fits, "),
    "astype": ("X.astype({!r}), which loses nothing and fits, ", "X.astype({!r}), which fits, "),
}


def holds_every_value(X: HostArray, dtype: DTypeLike) -> bool:
    """Whether ``dtype`` holds every value of ``X``, an array on the host; a few rows at a time.

    Examples
    --------
    >>> holds_every_value(np.array([[1.5]]), np.float16), holds_every_value(np.array([[1.5]]), np.uint8)
    (True, False)
    """
    return all(map_row_blocks(lambda part: _holds(X[part], np.dtype(dtype)), X, CONVERTED))


def _holds(X: HostArray, dtype: DType) -> bool:
    with np.errstate(all="ignore"):
        return bool((X.astype(dtype) == X).all())


def refuse_rows_that_do_not_fit(X: HostArray, device: Device, dtype: DTypeLike, narrow_by: str = "storage") -> None:
    """Refuse rows of the host that take more memory in ``dtype`` than ``device`` has free.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    device : Device
        A GPU. Where its free memory cannot be known, all rows are taken to fit.
    dtype : dtype
    narrow_by : "storage" or "astype"
        How the user can have narrower rows: by the parameter ``storage``, or only by a conversion of ``X``.

    Raises
    ------
    DeviceError
        The message says how many rows fit as ``dtype``, and in narrower dtypes that hold every value.
    """
    dtype, free = np.dtype(dtype), free_bytes(device)
    n, d = X.shape
    if free is None or ROOM * n * d * dtype.itemsize <= free:
        return
    narrower = [np.dtype(name) for name in NARROWER if np.dtype(name).itemsize < dtype.itemsize]
    lossless = [narrow for narrow in narrower if holds_every_value(X, narrow)]
    fit = f"{_rows_that_fit(free, d, dtype):,} rows fit as {dtype.name}"
    if lossless:
        wider_first = ", ".join(f"{_rows_that_fit(free, d, kind):,} as {kind.name}" for kind in reversed(lossless))
        fit += f", and without loss {wider_first}"
    raise DeviceError(
        f"X takes {_gib(n * d * dtype.itemsize)} as {dtype.name} ({n:,} x {d:,}), and {device.name} has {_gib(free)} "
        f"free: {fit}; use {_narrower_that_fits(n, d, free, lossless, narrower, narrow_by)}fewer rows or device='cpu'"
    )


def _narrower_that_fits(n: int, d: int, free: int, lossless: list[DType], narrower: list[DType], narrow_by: str) -> str:
    """The remedy of narrower rows, if any fit: the narrowest lossless dtype, else the widest floating dtype."""
    if lossless and n <= _rows_that_fit(free, d, lossless[0]):
        return _NARROWER_ROWS[narrow_by][0].format(lossless[0].name)
    for kind in reversed(narrower):
        if kind.kind == "f" and n <= _rows_that_fit(free, d, kind):
            return _NARROWER_ROWS[narrow_by][1].format(kind.name)
    return ""


def refuse_copy_that_does_not_fit(X: Array, device: Device, dtype: DTypeLike) -> None:
    """Refuse to copy rows that are on ``device`` into another dtype where the copy does not fit beside them.

    Raises
    ------
    DeviceError
        The message says how many rows would fit.
    """
    dtype, free = np.dtype(dtype), free_bytes(device)
    n, d = X.shape
    if free is None or X.dtype == dtype or ROOM * n * d * dtype.itemsize <= free:
        return
    raise DeviceError(
        f"X is on {device.name} as {X.dtype.name}; a copy of it as {dtype.name} ({n:,} x {d:,}) takes "
        f"{_gib(n * d * dtype.itemsize)}, and {_gib(free)} are free: {_rows_that_fit(free, d, dtype):,} rows fit; use "
        "storage='auto', which reads X as it is, or fewer rows"
    )


def _rows_that_fit(free: int, d: int, dtype: DType) -> int:
    return max(0, int(free / (ROOM * max(1, d) * dtype.itemsize)))


def _gib(nbytes: float) -> str:
    return f"{nbytes / 2**30:.1f} GiB"
