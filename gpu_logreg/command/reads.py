"""Progress within the reads of a stream: rows, bandwidth and the time that is left of the read."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpu_logreg.rows.block_store import BlockStore

__all__ = ["ReadProgress"]


class ReadProgress:
    """What to tell of the read that is under way.

    Parameters
    ----------
    store : BlockStore
        From now on it tells of its blocks.
    tell : function (text) -> None
        Called for every block.
    clock : function () -> float
        Seconds.

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_logreg.rows.array_rows import blocks_of_array
    >>> store, seconds = blocks_of_array(np.zeros((3_000_000, 2))), iter(range(10))
    >>> with ReadProgress(store, print, lambda: float(next(seconds))):
    ...     for _ in store.walk():
    ...         pass
    read 1: 2,097,152 of 3,000,000 rows, 0 s left
    read 1: 3,000,000 of 3,000,000 rows
    """

    def __init__(
        self, store: BlockStore, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._tell, self._clock = store, tell, clock
        self._n_reads, self._rows = 1, 0
        self._bytes = self._bytes_before = store.bytes_read
        self._start = clock()

    def __enter__(self) -> ReadProgress:
        self._store.told = self._at
        return self

    def __exit__(self, *_: object) -> None:
        self._store.told = None

    def _at(self, rows: int, nbytes: int) -> None:
        """So many rows of a walk are there, and so many bytes were read for it and for those before it."""
        now, n = self._clock(), self._store.source.n_rows
        if rows <= self._rows:
            self._n_reads, self._start, self._bytes = self._n_reads + 1, now, self._bytes_before
        if nbytes < self._bytes:  # of another store of the same rows
            self._bytes = 0
        self._rows, self._bytes_before = rows, nbytes
        text, seconds = f"read {self._n_reads:,}: {rows:,} of {n:,} rows", now - self._start
        if seconds > 0.0 and nbytes > self._bytes:
            text += f", {(nbytes - self._bytes) / seconds / 1e9:.2f} GB/s"
        if rows < n and seconds > 0.0:
            text += f", {seconds * (n - rows) / rows:.0f} s left"
        self._tell(text)
