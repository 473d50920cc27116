"""Rows on their way from the host to a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED, UPLOADED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import Device, import_cupy, using
from gpu_logreg.rows.room import refuse_rows_that_do_not_fit

__all__ = ["upload"]


def upload(
    X: Any,
    device: Device,
    dtype: Any,
    told: Callable[[int, int], None] | None = None,
    asked: str = "storage",
) -> Any:
    """Copy rows from the host to a GPU, converted to ``dtype`` on the way, a chunk at a time.

    Two chunks of page-locked memory: one is filled while the other is on its way. Nothing else of the size of ``X`` is
    allocated on either side.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    device : Device
    dtype : dtype
        To store the rows in, in C order.
    told : function (bytes done, bytes in all) -> None, optional
        Called after every chunk.
    asked : "storage" or "astype"
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
        refuse_rows_that_do_not_fit(X, device, dtype, asked)
        there = cupy.empty((n, d), dtype=dtype)
        step = max(1, UPLOADED // max(1, d * dtype.itemsize))
        stream = _stream_after(cupy)
        chunks = [_page_locked(cupy, min(step, n), d, dtype) for _ in range(2 if n > step else 1)]
        sent: list[Any] = [None] * len(chunks)
        try:
            for k, first in enumerate(range(0, n, step)):
                turn, part = k % len(chunks), X[first : first + step]
                if sent[turn] is not None:
                    sent[turn].synchronize()  # the chunk is still being read
                chunk = chunks[turn][: len(part)]
                _convert(part, chunk)
                there[first : first + len(part)].set(chunk, stream=stream)
                sent[turn] = stream.record()
                if told is not None:
                    told((first + len(part)) * d * dtype.itemsize, there.nbytes)
        finally:
            stream.synchronize()  # in any case: chunks and rows are given back where something has failed
    return there


def _stream_after(cupy: Any) -> Any:
    """A stream beside the current one, for copies to memory that is allocated already.

    The pool hands out memory that earlier work of the current stream may still read or write; a stream that does not
    block would not wait for it.
    """
    stream = cupy.cuda.Stream(non_blocking=True)
    allocated = cupy.cuda.Event(disable_timing=True)
    allocated.record()
    stream.wait_event(allocated)
    return stream


def _page_locked(cupy: Any, n: int, d: int, dtype: np.dtype[Any]) -> Any:
    memory = cupy.cuda.alloc_pinned_memory(max(1, n * d * dtype.itemsize))
    return np.frombuffer(memory, np.uint8, n * d * dtype.itemsize).view(dtype).reshape(n, d)


def _convert(part: Any, chunk: Any) -> None:
    map_row_blocks(lambda rows: np.copyto(chunk[rows], part[rows], casting="unsafe"), part, CONVERTED)
