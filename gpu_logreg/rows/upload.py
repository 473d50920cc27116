"""The copy of rows from the host to a GPU, converted on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED, UPLOADED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import Device, import_cupy, using
from gpu_logreg.arrays.vector import Array, DType, DTypeLike, HostArray
from gpu_logreg.rows.room import refuse_rows_that_do_not_fit

__all__ = ["page_locked", "stream_after", "upload"]


def upload(
    X: HostArray,
    device: Device,
    dtype: DTypeLike,
    progress: Callable[[int, int], None] | None = None,
    narrow_by: str = "storage",
) -> Array:
    """Copy rows from the host to a GPU, converted to ``dtype`` on the way, a chunk at a time.

    There are two chunks of page-locked memory: the host fills one while the device reads the other. Beside the rows on
    the device nothing of their size is allocated.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    device : Device
    dtype : dtype
        To store the rows in, in C order.
    progress : function (bytes done, bytes in all) -> None, optional
        Progress callback, called after every chunk.
    narrow_by : "storage" or "astype"
        As of `gpu_logreg.rows.room.refuse_rows_that_do_not_fit`.

    Returns
    -------
    CuPy array of shape (n, d)

    Raises
    ------
    DeviceError
        If the rows do not fit; the message says what does.
    """
    cupy = import_cupy()
    dtype = np.dtype(dtype)
    n, d = X.shape
    with using(device):
        refuse_rows_that_do_not_fit(X, device, dtype, narrow_by)
        on_device = cupy.empty((n, d), dtype=dtype)
        step = max(1, UPLOADED // max(1, d * dtype.itemsize))
        stream = stream_after(cupy)
        chunks = [page_locked(cupy, min(step, n), d, dtype) for _ in range(2 if n > step else 1)]
        copied: list[Any] = [None] * len(chunks)
        try:
            for k, first in enumerate(range(0, n, step)):
                turn, part = k % len(chunks), X[first : first + step]
                if copied[turn] is not None:
                    copied[turn].synchronize()  # the device may still read the chunk
                chunk = chunks[turn][: len(part)]
                _convert(part, chunk)
                on_device[first : first + len(part)].set(chunk, stream=stream)
                copied[turn] = stream.record()
                if progress is not None:
                    progress((first + len(part)) * d * dtype.itemsize, on_device.nbytes)
        finally:
            stream.synchronize()  # after an error too: the copy must not read or write memory that is freed
    return on_device


def stream_after(cupy: Any) -> Any:
    """A new stream that first waits for the work which the current stream has now.

    CuPy's pool may hand out memory that earlier work of the current stream still reads or writes, and a non-blocking
    stream does not wait for that work by itself.
    """
    stream = cupy.cuda.Stream(non_blocking=True)
    allocated = cupy.cuda.Event(disable_timing=True)
    allocated.record()
    stream.wait_event(allocated)
    return stream


def page_locked(cupy: Any, n: int, d: int, dtype: DType) -> HostArray:
    """An array of shape (n, d) in page-locked memory of the host."""
    memory = cupy.cuda.alloc_pinned_memory(max(1, n * d * dtype.itemsize))
    return np.frombuffer(memory, np.uint8, n * d * dtype.itemsize).view(dtype).reshape(n, d)


def _convert(part: HostArray, chunk: HostArray) -> None:
    map_row_blocks(lambda rows: np.copyto(chunk[rows], part[rows], casting="unsafe"), part, CONVERTED)
