"""The choice of a device, made once for each fit, from the parameter ``device`` and from where the rows are."""

from __future__ import annotations

import re
from typing import Any

from gpu_logreg.arrays.device import (
    ROOM,
    Device,
    cuda_index,
    cuda_problem,
    free_bytes,
    import_cupy,
    is_sparse,
    one_line,
)
from gpu_logreg.arrays.vector import ArrayOfRows
from gpu_logreg.errors import DataError, DeviceError

__all__ = ["AUTO_CUDA_BYTES", "STREAMED_TO_BYTES", "refuse_sparse_on", "resolve_device", "several_devices"]

AUTO_CUDA_BYTES = 64 * 2**20
"""Fewest bytes of a host array that ``device="auto"`` sends to a GPU, 64 MiB. A guess: not measured on a GPU."""

STREAMED_TO_BYTES = 2**30
"""Least free memory of a GPU to which ``device="auto"`` streams rows that it does not hold. A guess: not measured."""


def resolve_device(device: str, X: ArrayOfRows = None, *, by_blocks: bool = False) -> Device:
    """The device that the parameter ``device`` names.

    Parameters
    ----------
    device : "auto", "cpu", "cuda" or "cuda:N"
        ``"auto"`` and ``"cuda"`` follow ``X`` where it already lives on a GPU. Rows on the host go to cuda:0; with
        ``"auto"`` only if it is usable and they take at least `AUTO_CUDA_BYTES`. An explicit device is taken or
        refused: rows of one GPU are not sent to another.
    X : array, optional
        The rows.
    by_blocks : bool
        Whether rows that a GPU does not hold can be streamed to it.

    Raises
    ------
    DeviceError
        If an explicit device cannot be used; the message gives the reason and what to install.
    DataError
        If ``device`` is none of the forms above.

    Examples
    --------
    >>> import numpy as np
    >>> resolve_device("cpu", np.zeros((3, 2))).name
    'cpu'
    >>> resolve_device("auto", np.zeros((3, 2))).reason
    'auto: the rows are few (0.0 MiB)'
    """
    if device == "cpu":
        return Device("cpu")
    if device == "auto":
        return _automatic(X, by_blocks)
    match = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        raise DataError(f"device={device!r} is not known; use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    there = cuda_index(X)
    index = int(match[1]) if match[1] is not None else there or 0
    refuse_sparse_on(device, X)
    problem = cuda_problem(index)
    if problem is not None:
        raise DeviceError(f"device={device!r} cannot be used: {problem}; or use device='cpu'")
    if there is not None and there != index:
        raise DeviceError(
            f"device={device!r} cannot be used: X is on cuda:{there}; use device='auto', which fits it there, or bring "
            f"X to cuda:{index} first"
        )
    return Device("cuda", index)


def several_devices(device: Any) -> list[Device] | None:
    """The GPUs that the parameter ``device`` names as ``"cuda:all"`` or a list of names; None for any other value.

    Raises
    ------
    DeviceError
        One of them cannot be used, or there is none.
    DataError
        A list that is empty, names a device twice, or holds what is no GPU's name.
    """
    if isinstance(device, list | tuple):
        if not device or len(set(map(str, device))) < len(device):
            raise DataError(f"device={device!r} is to be a list of different GPUs, such as ['cuda:0', 'cuda:1']")
        for name in device:
            if not isinstance(name, str) or re.fullmatch(r"cuda:\d+", name) is None:
                raise DataError(f"device={device!r} holds {name!r}; a list names GPUs, such as ['cuda:0', 'cuda:1']")
        indices = [int(name.removeprefix("cuda:")) for name in device]
    elif isinstance(device, str) and device == "cuda:all":
        problem = cuda_problem()
        indices = [0] if problem is not None else list(range(import_cupy().cuda.runtime.getDeviceCount()))
    else:
        return None
    for index in indices:
        problem = cuda_problem(index)
        if problem is not None:
            raise DeviceError(f"device={device!r} cannot be used: {problem}; or use device='cpu'")
    return [Device("cuda", index) for index in indices]


def refuse_sparse_on(device: object, X: object) -> None:
    """Raise a `DeviceError` for sparse rows, which no GPU walks."""
    if is_sparse(X):
        raise DeviceError(
            f"device={device!r} cannot be used: X is sparse, and sparse rows are walked on the CPU; "
            "use device='cpu', or give X.toarray()"
        )


def _automatic(X: ArrayOfRows, by_blocks: bool) -> Device:
    if is_sparse(X):
        return Device("cpu", reason="auto: X is sparse, and sparse rows are walked on the CPU")
    there = cuda_index(X)
    if there is not None:
        return Device("cuda", there, "auto: the rows are on this device")
    nbytes = int(getattr(X, "nbytes", 0))
    if X is not None and nbytes < AUTO_CUDA_BYTES:
        return Device("cpu", reason=f"auto: the rows are few ({nbytes / 2**20:.1f} MiB)")
    problem = cuda_problem()
    if problem is not None:
        return Device("cpu", reason=f"auto: {problem}")
    try:
        free = free_bytes(Device("cuda"))
    except Exception as error:  # another process may have exclusive use of the device
        return Device("cpu", reason=f"auto: cuda:0 cannot be used ({one_line(error)})")
    if free is not None and ROOM * nbytes > free and not (by_blocks and free >= STREAMED_TO_BYTES):
        return Device(
            "cpu", reason=f"auto: the rows take {nbytes / 2**30:.1f} GiB, and cuda:0 has {free / 2**30:.1f} GiB free"
        )
    return Device("cuda", 0, "auto: a CUDA device is usable and the rows are many")
