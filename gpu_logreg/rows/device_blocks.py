"""Blocks of rows of the host on a GPU: as many as a budget holds stay there, the others are sent in every walk.

There are two page-locked buffers, two blocks of the device and one stream of copies: a thread writes a block into one
buffer while the other is copied, and kernels walk the block that was copied before. Not measured on a GPU.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import Device, import_cupy
from gpu_logreg.arrays.vector import Array, DType, HostArray
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.block_store import kept_numbers
from gpu_logreg.rows.read_ahead import read_ahead
from gpu_logreg.rows.upload import page_locked, stream_after, upload

__all__ = ["DeviceBlocks", "blocks_that_stay", "bytes_on_device", "bytes_to_walk"]

BUFFERS = 2
"""Buffers of the host, and blocks of the device beside those that stay: one is copied, one is written or walked."""

_ALIGNMENT = 512
"""Bytes that arrays begin at a multiple of, as the memory that CuPy hands out does."""

_PARTIAL_SUMS = 1024
"""Most blocks of threads that a pass is assumed to have sums of."""


class _Layout(NamedTuple):
    """Where the three arrays of a block lie in one buffer.

    Attributes
    ----------
    shapes : list of (shape, dtype) or None
        Of ``X``, labels and weights.
    starts : list of int
        Their first bytes.
    nbytes : int
    """

    shapes: list[tuple[tuple[int, ...], DType] | None]
    starts: list[int]
    nbytes: int

    @classmethod
    def of(cls, *shapes: tuple[tuple[int, ...], DType] | None) -> _Layout:
        starts, nbytes = [], 0
        for shape in shapes:
            starts.append(nbytes)
            size = 0 if shape is None else int(np.prod(shape[0])) * shape[1].itemsize
            nbytes += -(-size // _ALIGNMENT) * _ALIGNMENT
        return cls(list(shapes), starts, nbytes)

    def rows(self, memory: Array) -> Rows:
        """The arrays within a buffer of bytes of either memory."""
        return Rows(*(self._array(memory, k) for k in range(3)))

    def _array(self, memory: Array, k: int) -> Array:
        if self.shapes[k] is None:
            return None
        shape, dtype = self.shapes[k]  # type: ignore[misc]
        nbytes = int(np.prod(shape)) * dtype.itemsize
        return memory[self.starts[k] : self.starts[k] + nbytes].view(dtype).reshape(shape)


def _layout(shape: tuple[int, int], dtype: DType, labels: DType, weights: DType | None) -> _Layout:
    n = shape[:1]
    return _Layout.of((shape, dtype), (n, labels), None if weights is None else (n, weights))


def bytes_on_device(shape: tuple[int, int], dtype: DType, labels: DType, weights: DType | None) -> int:
    """Bytes that a block of rows takes on a device with its labels and weights.

    Examples
    --------
    >>> bytes_on_device((1000, 10), np.dtype(np.float32), np.dtype(np.uint8), None)
    41472
    """
    return _layout(shape, dtype, labels, weights).nbytes


def bytes_to_walk(shape: tuple[int, int], n_logits: int) -> int:
    """Bytes that passes over a block are assumed to take beside it.

    They are copies of it in float64, vectors of the length of its rows, and partial sums. A guess: not measured on a
    GPU.
    """
    n, d = shape
    partial = min(-(-n // 32), _PARTIAL_SUMS) * (n_logits * (d + 1) + 1)
    return 8 * (2 * n * d + 8 * n * n_logits + partial) + 2**16


def blocks_that_stay(n_blocks: int, largest: int, walk: int, budget: int) -> frozenset[int] | None:
    """Which blocks stay on a device within a budget; None if it does not hold what a walk takes.

    Parameters
    ----------
    n_blocks : int
    largest : int
        Bytes of the largest block.
    walk : int
        Bytes that passes take beside the blocks.
    budget : int

    Examples
    --------
    >>> sorted(blocks_that_stay(6, 10, 5, 65)), sorted(blocks_that_stay(6, 10, 5, 46)), blocks_that_stay(6, 10, 5, 24)
    ([0, 1, 2, 3, 4, 5], [2, 5], None)
    """
    spare = budget - walk
    if n_blocks * largest <= spare:
        return frozenset(range(n_blocks))
    return kept_numbers(n_blocks, spare // largest - BUFFERS) if spare >= BUFFERS * largest else None


class DeviceBlocks:
    """Where the blocks of rows of the host lie on a GPU.

    Parameters
    ----------
    device : Device
    dtype : dtype
        That rows are stored in there, in C order.
    kept : set of int
        Numbers of the blocks that stay, from their first walk on.

    Attributes
    ----------
    blocks_sent, bytes_sent : int
        To the device, up to now.
    """

    def __init__(self, device: Device, dtype: DType, kept: frozenset[int]) -> None:
        self.device, self.dtype, self.kept = device, np.dtype(dtype), kept
        self.blocks_sent = self.bytes_sent = 0
        self._held: dict[int, tuple[Rows, float]] = {}

    def template(self, n_columns: int, labels: DType, weights: DType | None) -> Rows:
        """Two rows as those of the blocks, on the device, for the choice of an engine."""
        layout = _layout((2, n_columns), self.dtype, labels, weights)
        return layout.rows(import_cupy().zeros(layout.nbytes, dtype=np.uint8))

    def copy(self, rows: Rows) -> Rows:
        """Dense rows of the host as the device has them, in memory of their own."""
        X, y, s = rows
        cupy = import_cupy()
        return Rows(upload(X, self.device, self.dtype), cupy.asarray(y), None if s is None else cupy.asarray(s))

    def walk(
        self,
        numbers: Sequence[int],
        largest: int,
        of_host: Callable[[Sequence[int]], Iterator[tuple[int, Rows, float]]],
    ) -> Iterator[tuple[Rows, float]]:
        """Blocks on the device with their sums of weights; one that does not stay is valid until the next is asked for.

        Parameters
        ----------
        numbers : sequence of int
        largest : int
            Bytes on the device of the largest of the blocks.
        of_host : function
            Blocks of the host by their numbers, in that order: number, rows and the sum of their weights. It is walked
            in a thread of its own.
        """
        missing = [k for k in numbers if k not in self._held]
        with contextlib.closing(self._sent(missing, largest, of_host)) as sent:
            for k in numbers:
                yield self._held[k] if k in self._held else next(sent)
            for _ in sent:  # to the end of the source, which refuses more rows than it should have
                pass

    def _sent(
        self,
        numbers: Sequence[int],
        largest: int,
        of_host: Callable[[Sequence[int]], Iterator[tuple[int, Rows, float]]],
    ) -> Generator[tuple[Rows, float]]:
        """Blocks as they arrive: when one is given out, the copy of the next is under way already."""
        if not numbers:
            return
        cupy, n_buffers = import_cupy(), min(BUFFERS, len(numbers))
        free: queue.SimpleQueue[HostArray] = queue.SimpleQueue()
        for _ in range(n_buffers):
            free.put(page_locked(cupy, largest, 1, np.dtype(np.uint8)).reshape(-1))
        walked = [k for k in numbers if k not in self.kept]
        slots = [cupy.empty(largest, dtype=np.uint8) for _ in range(min(n_buffers, len(walked)))]
        done: list[Any] = [None] * len(slots)
        stream = stream_after(cupy)
        filled = read_ahead(lambda check: self._filled(of_host(numbers), free, check))
        turn, before = 0, None
        try:
            for number, layout, total, buffer in filled:
                slot = None
                if number in self.kept:
                    memory = cupy.empty(layout.nbytes, dtype=np.uint8)
                    stream.wait_event(_now(cupy))
                else:
                    slot, turn = turn % len(slots), turn + 1
                    memory = slots[slot][: layout.nbytes]
                    if done[slot] is not None:
                        stream.wait_event(done[slot])  # kernels may still read the block that lies there
                memory.set(buffer[: layout.nbytes], stream=stream)
                copied = stream.record()
                self.blocks_sent, self.bytes_sent = self.blocks_sent + 1, self.bytes_sent + layout.nbytes
                if before is not None:
                    yield from self._arrived(cupy, free, done, *before)
                before = number, (layout.rows(memory), total), slot, copied, buffer
            if before is not None:
                yield from self._arrived(cupy, free, done, *before)
        finally:
            filled.close()  # type: ignore[attr-defined]
            stream.synchronize()  # after an error too: the copy must not read or write memory that is freed

    def _arrived(
        self,
        cupy: Any,
        free: queue.SimpleQueue[HostArray],
        done: list[Any],
        number: int,
        block: tuple[Rows, float],
        slot: int | None,
        copied: Any,
        buffer: HostArray,
    ) -> Iterator[tuple[Rows, float]]:
        """A block that is copied: its buffer is free, and after its use its memory."""
        copied.synchronize()
        free.put(buffer)
        if slot is None:
            self._held[number] = block
        yield block
        if slot is not None:
            done[slot] = _now(cupy)

    def _filled(
        self,
        blocks: Iterator[tuple[int, Rows, float]],
        free: queue.SimpleQueue[HostArray],
        check: Callable[[], None],
    ) -> Iterator[tuple[int, _Layout, float, HostArray]]:
        """Blocks of the host, each written into a free buffer as the device is to have it."""
        with contextlib.closing(blocks):  # type: ignore[type-var]
            for number, rows, total in blocks:
                X, y, s = rows
                layout = _layout(X.shape, self.dtype, y.dtype, None if s is None else s.dtype)
                buffer = _waited_for(free, check)
                there = layout.rows(buffer)
                _copy(X, there.X)
                there.y[...] = y
                if there.sample_weight is not None:
                    there.sample_weight[...] = s
                yield number, layout, total, buffer


def _now(cupy: Any) -> Any:
    """What the current stream has to do now, as an event."""
    event = cupy.cuda.Event(disable_timing=True)
    event.record()
    return event


def _waited_for(free: queue.SimpleQueue[HostArray], check: Callable[[], None]) -> HostArray:
    while True:
        check()
        with contextlib.suppress(queue.Empty):
            return free.get(timeout=0.1)


def _copy(X: HostArray, there: HostArray) -> None:
    """Rows in the dtype and the order of the device, by several threads."""

    def of_part(part: slice) -> None:
        with np.errstate(all="ignore"):  # which values a dtype holds is checked before
            np.copyto(there[part], X[part], casting="unsafe")

    map_row_blocks(of_part, X, CONVERTED)
