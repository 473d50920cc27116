"""What CuPy and CUDA refuse while a stream is captured, put over `fake_cupy`, whose graphs replay by calls.

Stricter than CUDA: an allocation, or a kernel of CuPy's own, could be captured; the package is to do neither there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import fake_cupy_array
import fake_cupy_cuda
import fake_cupy_ufuncs
from fake_cupy_streams import CUDARuntimeError, Event, Stream, counts


class _PerThread(threading.local):
    """The current streams, of which every thread has its own."""

    def __init__(self) -> None:
        self.streams = [Stream.null]

    def __getitem__(self, place: int) -> Stream:
        return self.streams[place]

    def append(self, stream: Stream) -> None:
        self.streams.append(stream)

    def pop(self) -> None:
        self.streams.pop()


def make_strict(monkeypatch: Any) -> None:
    """Refuse all that no capture may hold, until the test ends; count what Python launches itself."""
    monkeypatch.setattr(Stream, "_current", _PerThread())

    def refused(room: Any, name: str, error: type[Exception], what: str) -> None:
        before: Callable[..., Any] = getattr(room, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if Stream._current[-1].is_capturing():
                raise error(what)
            return before(*arguments, **options)

        monkeypatch.setattr(room, name, call)

    unsupported = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
    for kind, names in {
        fake_cupy_array.ndarray: ("get", "set", "_scalar", "item"),
        Event: ("synchronize",),
        fake_cupy_cuda.Device: ("synchronize",),
    }.items():
        for name in names:
            refused(kind, name, CUDARuntimeError, unsupported)
    refused(fake_cupy_cuda.Block, "__init__", AssertionError, "memory is allocated while a stream is captured")
    refused(fake_cupy_array.ndarray, "__setitem__", AssertionError, "a kernel of CuPy's is captured")
    refused(fake_cupy_array, "apply", AssertionError, "a kernel of CuPy's is captured")
    refused(
        *(fake_cupy_ufuncs, "_product", NotImplementedError),
        "calling cuBLAS API during stream capture is currently unsupported",
    )

    launch = fake_cupy_cuda.RawKernel.__call__

    def counted(self: Any, *arguments: Any, **options: Any) -> None:
        if not Stream._current[-1].is_capturing():
            counts["launches from Python"] += 1
        launch(self, *arguments, **options)

    monkeypatch.setattr(fake_cupy_cuda.RawKernel, "__call__", counted)


def refuse_captures(monkeypatch: Any) -> None:
    """No stream can be captured, as with an old driver."""

    def begin_capture(self: Any, mode: Any = None) -> None:
        raise CUDARuntimeError("cudaErrorNotSupported: operation not supported")

    monkeypatch.setattr(Stream, "begin_capture", begin_capture)
