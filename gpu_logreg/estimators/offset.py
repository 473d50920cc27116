"""The offset of rows as a user gives it: known logits, to which a model adds its own."""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.device import Device, array_namespace, device_of, to_device, using
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column, given_rows

__all__ = ["SOLVERS_WITHOUT", "given_offset", "logits_with_offset", "refuse_beside_labels"]

SOLVERS_WITHOUT = ("coordinate-descent", "sgd", "adam")
"""Solvers that walk rows by code of their own, which knows no offset, no soft labels and no penalty factors."""

LARGEST = 1e100
"""Size of an offset beyond which sums over rows may overflow; no weight makes up for it long before."""


def given_offset(offset: Any, n: int, n_logits: int, device: Device) -> Any:
    """Offsets of shape (n, n_logits), float64, on a device.

    Parameters
    ----------
    offset : number, or array-like of shape (n,) for two classes, (n, K) for K >= 3
    n, n_logits : int
    device : Device

    Raises
    ------
    DataError
        Another shape, NaN or infinity, or what is no number.

    Examples
    --------
    >>> given_offset([0.5, 1.0], 2, 1, Device("cpu"))
    array([[0.5],
           [1. ]])
    """
    several = getattr(offset, "ndim", 1) == 2
    array = given_rows(offset).X if several else given_column(offset, "offset")
    with using(device_of(array)):
        xp = array_namespace(array)
        array = xp.asarray(array)
        if array.dtype.kind not in "fiub":
            raise DataError(f"offset has dtype {array.dtype}; give a number for each row")
        array = array.astype(xp.float64)
        if array.ndim == 0:
            array = xp.full((n, n_logits), float(array))
        shape, wanted = array.shape, (n,) if n_logits == 1 else (n, n_logits)
        if n_logits > 1 and shape == (n,):
            raise DataError(
                f"offset has shape {shape}, and a number added to the logits of all {n_logits} classes changes "
                f"nothing; give shape {wanted}"
            )
        if shape not in (wanted, (n, n_logits)):
            raise DataError(f"offset has shape {shape}; give shape {wanted} for {n} rows of X")
        array = array.reshape(n, n_logits)
        finite = xp.isfinite(array).all(axis=1)
        if not bool(finite.all()):
            raise DataError(f"offset contains NaN or infinity at row {int(finite.argmin())}; give known logits")
        held = (abs(array) <= LARGEST).all(axis=1)
        if not bool(held.all()):
            raise DataError(f"offset is beyond {LARGEST:g} at row {int(held.argmin())}; give known logits")
    return to_device(array, device)


def logits_with_offset(model: Any, z: Any, offset: Any) -> Any:
    """Logits of rows with their offset, where the logits live.

    Raises
    ------
    DataError
        Also where the model was fitted with an offset, and none is given: no offset is a guess, and ``offset=0.0`` says
        that it is meant.
    """
    if offset is None:
        if getattr(model, "has_offset_", False):
            raise DataError("the model was fitted with an offset; give offset= for these rows too, or offset=0.0")
        return z
    xp = array_namespace(z)
    o = given_offset(offset, z.shape[0], 1 if z.ndim == 1 else z.shape[1], device_of(z))
    return (z.astype(xp.float64) + o.reshape(z.shape)).astype(z.dtype, copy=False)


def refuse_beside_labels(name: str, solver: str, firth: bool, streamed: bool, several: bool) -> None:
    """Raise a `DataError` where nothing takes what stands beside labels: an offset, or soft labels.

    Parameters
    ----------
    name : str
        What is refused.
    solver : str
        That is asked for.
    firth : bool
        Whether Firth's penalty is.
    streamed, several : bool
        Whether rows are a stream, or on several devices.
    """
    if streamed or several:
        where = "a stream" if streamed else "several devices"
        raise DataError(f"{name} cannot be used with {where}; give rows in memory, on one device")
    if firth:
        raise DataError(f"{name} cannot be used with penalty='firth'; use C=np.inf, or a ridge")
    if solver in SOLVERS_WITHOUT:
        raise DataError(f"{name} cannot be used with solver={solver!r}; use solver='auto'")
