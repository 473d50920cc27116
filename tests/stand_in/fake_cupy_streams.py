"""Streams of `fake_cupy`, which work as late as CUDA allows.

Work of the null stream is done when it is issued. Copies on another stream are made when somebody waits for them. A
block of memory belongs to the null stream, whose earlier work may still write there: what a non-blocking stream copies
into it without having waited for an event is lost. `faults` tells of memory that was given back below a copy.
"""

from __future__ import annotations

import collections
import ctypes
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from cupy_signatures import strict_methods

counts: collections.Counter[str] = collections.Counter()
"""Launches of own kernels, copies to the host, copies to the device, scalars read (each waits for the device)."""
faults: list[str] = []
"""What a device would have made of in silence; `fake_cupy.installed` fails at its end where there is one."""


def settings() -> Any:
    """The module whose ``device_count``, ``memory_free`` and ``schedule_seed`` the tests set."""
    return sys.modules["fake_cupy"]


class OutOfMemoryError(MemoryError):
    """As `cupy.cuda.memory.OutOfMemoryError`."""


class CUDARuntimeError(RuntimeError):
    """As `cupy.cuda.runtime.CUDARuntimeError`."""


for _error in (OutOfMemoryError, CUDARuntimeError):
    _error.__module__ = "cupy.cuda"


class PinnedMemoryPointer(bytearray):
    """Page-locked memory of the host, which nobody has written yet."""


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    return PinnedMemoryPointer(b"\xff" * size)


def _page_locked(array: np.ndarray) -> PinnedMemoryPointer | None:
    """The page-locked memory that a host array lies in."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    return base if isinstance(base, PinnedMemoryPointer) else None


class Stream:
    """An order of work; `null` is that in which everything runs for which no other is named."""

    null: Stream
    _current: list[Stream]

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self._work: list[Callable[[], None] | None] = []
        self._apart = non_blocking
        self._seen = 0
        """The moment of the null stream that work issued from now on comes after."""
        self._issued = self._finished = 0
        self._captured: list[Callable[[], None]] | None = None
        streams_of_all.add(self)

    def __enter__(self) -> Stream:
        Stream._current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Stream._current.pop()

    def record(self, event: Any = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self._seen = max(self._seen, event._issued)
        if event._stream is not None and event._stream is not self:
            self._add(lambda: event._stream._run(event._count))

    def synchronize(self) -> None:
        counts["waits"] += 1
        self._run(len(self._work))
        if self is Stream.null:
            self._finish()

    def begin_capture(self, mode: Any = None) -> None:
        if self is Stream.null:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the null stream cannot be captured")
        self._captured = []

    def is_capturing(self) -> bool:
        return self._captured is not None

    def end_capture(self) -> Graph:
        captured, self._captured = self._captured, None
        if captured is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not captured")
        return Graph(captured)

    def _finish(self) -> None:
        self._finished = self._issued

    def _add(self, work: Callable[[], None]) -> None:
        if self is Stream.null:
            work()
        else:
            self._work.append(work)

    def _run(self, count: int) -> None:
        for k in range(count):
            work, self._work[k] = self._work[k], None
            if work is not None:
                work()

    def _send(self, block: Any, there: np.ndarray, source: np.ndarray) -> None:
        """Copy from the host to a contiguous part of a block, as late as somebody waits for it."""
        owner = _page_locked(source)
        lost = self._apart and block.taken > max(self._seen, Stream.null._finished)
        to, from_, nbytes = there.ctypes.data, source.ctypes.data, there.nbytes
        done = []

        def told(what: str) -> Callable[[Any], None]:
            return lambda _: None if done else faults.append(f"{what} was given back while a copy was under way")

        watched = [weakref.ref(block, told("memory of the device"))]
        if owner is not None:
            watched.append(weakref.ref(owner, told("page-locked memory")))

        def copy() -> None:
            if all(reference() is not None for reference in watched):
                ctypes.memmove(to, from_, nbytes)
                if lost:  # by what the null stream was still writing there
                    ctypes.memset(to, 0xFF, nbytes)
            done.append(True)

        if owner is None:
            copy()  # CUDA stages what is not page-locked
        else:
            self._add(copy)


class Graph:
    """Launches of kernels that were captured, to be made again in their order."""

    def __init__(self, launches: list[Callable[[], None]]) -> None:
        self._launches = launches

    def launch(self, stream: Any = None) -> None:
        counts["launches of graphs"] += 1
        for launch in self._launches:
            launch()

    def upload(self, stream: Any = None) -> None:
        pass


class Event:
    """What a stream had to do when it was recorded."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._stream: Stream | None = None
        self._count = self._issued = 0

    def record(self, stream: Any = None) -> None:
        self._stream = Stream._current[-1] if stream is None else stream
        self._count = len(self._stream._work)
        self._issued = self._stream._issued if self._stream is Stream.null else self._stream._seen

    def synchronize(self) -> None:
        counts["waits"] += 1
        if self._stream is not None:
            self._stream._run(self._count)
        Stream.null._finished = max(Stream.null._finished, self._issued)


streams_of_all: weakref.WeakSet[Stream] = weakref.WeakSet()
Stream.null = Stream(null=True)
Stream._current = [Stream.null]


def waited() -> None:
    """The host has waited for the null stream, as it does for every number that it reads."""
    Stream.null._finish()


for _kind in (Stream, Event, Graph):
    strict_methods(f"cupy.cuda.{_kind.__name__}", _kind, constructor=_kind is not Graph).__module__ = "cupy.cuda"
