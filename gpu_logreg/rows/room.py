"""Whether rows fit the memory of a GPU, and how many would."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import ROOM, Device, free_bytes
from gpu_logreg.errors import DeviceError

__all__ = ["NARROWER", "holds_every_value", "refuse_copy_that_does_not_fit", "refuse_rows_that_do_not_fit"]

NARROWER = ("uint8", "float16", "float32")
"""Dtypes that rows are stored in to lose nothing, the narrowest first."""

_NARROWER_ROWS = {  # how they are asked for: by a parameter, which can leave the arithmetic as it is, or in the rows
    "storage": ("storage='auto', which stores X as {} without loss and fits, ", "storage={!r}, which fits, "),
    "astype": ("X.astype({!r}), which loses nothing and fits, ", "X.astype({!r}), which fits, "),
}


def holds_every_value(X: Any, dtype: Any) -> bool:
    """Whether ``dtype`` holds every value of ``X``, an array on the host; a few rows at a time."""
    return all(map_row_blocks(lambda part: _holds(X[part], np.dtype(dtype)), X, CONVERTED))


def _holds(X: Any, dtype: np.dtype[Any]) -> bool:
    with np.errstate(all="ignore"):
        return bool((X.astype(dtype) == X).all())


def refuse_rows_that_do_not_fit(X: Any, device: Device, dtype: Any, asked: str = "storage") -> None:
    """Refuse rows of the host that take more memory in ``dtype`` than ``device`` has free.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    device : Device
        A GPU. Where nobody can tell what is free, everything is taken to fit.
    dtype : dtype
    asked : "storage" or "astype"
        Whether narrower rows are asked for by the parameter of that name, or only by giving them.

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
        f"free: {fit}; use {_narrower_that_fits(n, d, free, lossless, narrower, asked)}fewer rows or device='cpu'"
    )


def _narrower_that_fits(n: int, d: int, free: int, lossless: list[Any], narrower: list[Any], asked: str) -> str:
    """Narrower rows that fit, for a remedy: those that lose nothing, else the widest that are numbers of any size."""
    if lossless and n <= _rows_that_fit(free, d, lossless[0]):
        return _NARROWER_ROWS[asked][0].format(lossless[0].name)
    for kind in reversed(narrower):
        if kind.kind == "f" and n <= _rows_that_fit(free, d, kind):
            return _NARROWER_ROWS[asked][1].format(kind.name)
    return ""


def refuse_copy_that_does_not_fit(X: Any, device: Device, dtype: Any) -> None:
    """Refuse to copy rows that are on ``device`` into another dtype where there is no room beside them.

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


def _rows_that_fit(free: int, d: int, dtype: Any) -> int:
    return max(0, int(free / (ROOM * max(1, d) * dtype.itemsize)))


def _gib(nbytes: float) -> str:
    return f"{nbytes / 2**30:.1f} GiB"
