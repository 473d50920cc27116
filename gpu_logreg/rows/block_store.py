"""Rows in blocks of fixed size: some stay in memory, the others are read in every walk, ahead of their use.

How rows are cut depends on their columns alone, not on the memory, nor on how their source cuts them: sums that are
added block by block have the same bits whatever the memory budget is.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.block_sizes import STREAMED_ELEMENTS, STREAMED_ELEMENTS_WIDE, STREAMED_ROWS
from gpu_logreg.arrays.csr import block_of_rows
from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.vector import ArrayOfRows, CsrArray, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.rows.read_ahead import read_ahead
from gpu_logreg.rows.row_source import RowSource

__all__ = [
    "IN_FLIGHT",
    "BlockStore",
    "bytes_of",
    "cut_dense",
    "dense_block_rows",
    "kept_numbers",
    "largest_block",
]

IN_FLIGHT = 3
"""Blocks that exist beside those that stay in memory: one is computed, one is ready, one is read."""


def cut_dense(n_rows: int, n_columns: int) -> list[slice]:
    """The blocks of dense rows.

    Examples
    --------
    >>> [part.stop - part.start for part in cut_dense(10_000_000, 1)]
    [4194304, 4194304, 1611392]
    """
    rows = dense_block_rows(n_columns)
    return [slice(first, min(n_rows, first + rows)) for first in range(0, n_rows, rows)]


def dense_block_rows(n_columns: int) -> int:
    """Rows of a block of dense rows, by the number of columns alone."""
    d = max(1, n_columns)
    return max(1, STREAMED_ELEMENTS // d, min(STREAMED_ROWS, STREAMED_ELEMENTS_WIDE // d))


def largest_block(source: RowSource, parts: Sequence[slice]) -> int:
    """Bytes of the largest block; 0 of sparse rows of which only a read tells."""
    if source.kind.is_sparse:
        return int(getattr(source, "largest", 0))
    rows: int = max(part.stop - part.start for part in parts)
    return rows * source.n_columns * source.dtype.itemsize


def kept_numbers(n_blocks: int, n_kept: int) -> frozenset[int]:
    """Which blocks stay in memory: spread evenly, so that a block is read while one in memory is computed.

    Examples
    --------
    >>> sorted(kept_numbers(6, 2))
    [2, 5]
    """
    n_kept = min(n_blocks, max(0, n_kept))
    return frozenset(k for k in range(n_blocks) if (k + 1) * n_kept // n_blocks > k * n_kept // n_blocks)


def bytes_of(X: ArrayOfRows) -> int:
    """Bytes that rows take."""
    return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if is_sparse(X) else X.nbytes)


class BlockStore:
    """The blocks of a source.

    Parameters
    ----------
    source : RowSource
    parts : sequence of slice
        Rows of every block.
    kept : set of int
        Numbers of the blocks that stay in memory from their first read on.
    blocks : dict, optional
        Blocks that are in memory already, by their numbers.
    ahead : bool
        Whether a thread reads ahead.

    Attributes
    ----------
    blocks_read, bytes_read : int
        From the source, up to now.
    told : function (rows, nbytes) -> None, or None
        Called for every block of a walk with the number of rows walked up to its end, and with ``bytes_read``.
    """

    def __init__(
        self,
        source: RowSource,
        parts: Sequence[slice],
        kept: frozenset[int],
        blocks: dict[int, ArrayOfRows] | None = None,
        ahead: bool = True,
    ) -> None:
        self.source = source
        self.parts = parts
        self.kept = kept
        self.blocks_read = self.bytes_read = 0
        self.told: Callable[[int, int], None] | None = None
        self._blocks = {} if blocks is None else blocks
        self._ahead = ahead
        self._free: queue.SimpleQueue[HostArray] = queue.SimpleQueue()

    def walk(self, numbers: Sequence[int] | None = None) -> Iterator[tuple[int, ArrayOfRows]]:
        """Blocks with their numbers; a block that does not stay is valid until the next is asked for.

        Numbers that do not ascend are for sources that seek.
        """
        walk = self._walk(range(len(self.parts)) if numbers is None else numbers)
        if self.told is None:
            return walk
        return self._telling(walk, self.told)

    def _telling(
        self, walk: Iterator[tuple[int, ArrayOfRows]], told: Callable[[int, int], None]
    ) -> Iterator[tuple[int, ArrayOfRows]]:
        rows = 0
        with contextlib.closing(walk):  # type: ignore[type-var]
            for number, X in walk:
                rows += self.parts[number].stop - self.parts[number].start
                told(rows, self.bytes_read)
                yield number, X
                del X  # so that its memory is free while the next is made

    def _walk(self, numbers: Sequence[int]) -> Iterator[tuple[int, ArrayOfRows]]:
        missing = [k for k in numbers if k not in self._blocks]
        if not missing:
            yield from ((k, self._blocks[k]) for k in numbers)
            return
        if self._ahead and len(missing) > 1:
            read = read_ahead(lambda check: self._read(missing, check))
        else:
            read = self._read(missing, lambda: None)
        try:
            for k in numbers:
                if k in self._blocks:
                    yield k, self._blocks[k]
                    continue
                number, X = next(read)
                assert number == k
                if k in self.kept:
                    self._blocks[k] = X
                yield k, X
                if k not in self.kept and self._recycles:
                    self._free.put(X)
            for _ in read:
                pass
        finally:
            read.close()  # type: ignore[attr-defined]
            with contextlib.suppress(queue.Empty):  # the memory of the blocks is given back between walks
                while True:
                    self._free.get_nowait()

    def first_rows(self, n: int) -> ArrayOfRows:
        """A copy of the first rows."""
        walk = self.walk([0])
        _, X = next(walk)
        first = X[:n].copy()
        walk.close()  # type: ignore[attr-defined]
        return first

    @property
    def _recycles(self) -> bool:
        return not self.source.kind.is_sparse

    def _new(self, number: int) -> HostArray:
        """Memory for a block: that of one that is no longer used, where it has the shape."""
        part, source = self.parts[number], self.source
        shape = part.stop - part.start, source.n_columns
        if number not in self.kept:
            try:
                used = self._free.get_nowait()
            except queue.Empty:
                pass
            else:
                if used.shape == shape:
                    return used
        return np.empty(shape, source.dtype, source.order)  # type: ignore[call-overload, no-any-return]

    def _read(self, numbers: Sequence[int], check: Callable[[], None]) -> Iterator[tuple[int, ArrayOfRows]]:
        if self.source.fills:
            blocks = self._filled(numbers)
        else:
            blocks = itertools.chain.from_iterable(map(self._of_pieces, _ascending(numbers)))
        for number, X in blocks:
            check()
            self.blocks_read += 1
            self.bytes_read += bytes_of(X)
            yield number, X

    def _of_pieces(self, numbers: Sequence[int]) -> Iterator[tuple[int, ArrayOfRows]]:
        pieces = self.source.pieces([self.parts[k] for k in numbers])
        return self._sparse(pieces, numbers) if self.source.kind.is_sparse else self._dense(pieces, numbers)

    def _filled(self, numbers: Sequence[int]) -> Iterator[tuple[int, HostArray]]:
        for number in numbers:
            out = self._new(number)
            self.source.fill(self.parts[number], out)
            yield number, out

    def _dense(self, pieces: Iterator[tuple[int, Any]], numbers: Sequence[int]) -> Iterator[tuple[int, HostArray]]:
        for number, piece, part, to, is_last in self._overlaps(pieces, numbers):
            if to.start == 0:
                out = self._new(number)
            if isinstance(piece, np.ndarray):
                out[to] = piece[part]
            else:
                piece.write(part, out[to])
            del piece  # so that its memory is free while the next is made
            if is_last:
                yield number, out

    def _sparse(self, pieces: Iterator[tuple[int, Any]], numbers: Sequence[int]) -> Iterator[tuple[int, CsrArray]]:
        found: list[CsrArray] = []
        for number, piece, part, _, is_last in self._overlaps(pieces, numbers):
            found.append(block_of_rows(piece, part))
            if is_last:
                yield number, found[0].copy() if len(found) == 1 else sparse.vstack(found, format="csr")
                found = []

    def _overlaps(
        self, pieces: Iterator[tuple[int, Any]], numbers: Sequence[int]
    ) -> Iterator[tuple[int, Any, slice, slice, bool]]:
        """Where pieces and blocks overlap: block, piece, rows of the piece, rows of the block, whether it is full."""
        waiting = list(numbers)[::-1]
        for first, piece in pieces:
            stop = first + piece.shape[0]
            while waiting:
                block = self.parts[waiting[-1]]
                a, b = max(first, block.start), min(stop, block.stop)
                if a >= b:
                    break
                is_last = b == block.stop
                yield waiting[-1], piece, slice(a - first, b - first), slice(a - block.start, b - block.start), is_last
                if not is_last:
                    break
                waiting.pop()
            del piece
            if not waiting and self.parts[numbers[-1]].stop < self.source.n_rows:
                return
        if waiting:
            raise DataError(f"row {self.parts[waiting[-1]].start} and those after it are no longer there")


def _ascending(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Numbers cut where they do not ascend."""
    run: list[int] = []
    for number in numbers:
        if run and number <= run[-1]:
            yield run
            run = []
        run.append(number)
    yield run
