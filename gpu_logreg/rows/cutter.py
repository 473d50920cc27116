"""Cuts rows into the blocks of a store, whatever blocks they come in, and keeps them while it is not told to drop.

Rows that a user's code has yielded are copied, as its next block may come in the same memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.block_sizes import STREAMED_ELEMENTS
from gpu_logreg.arrays.csr import block_of_rows
from gpu_logreg.arrays.kinds import SPARSE_ROWS, kind_of
from gpu_logreg.arrays.vector import ArrayOfRows, CsrArray, HostArray
from gpu_logreg.rows.block_store import bytes_of, cut_dense, dense_block_rows

__all__ = ["Cutter", "cutter_of"]


class Cutter(Protocol):
    """What rows of either kind are cut by.

    Attributes
    ----------
    n_rows, n_stored : int
        Of the rows up to now; stored elements are counted of sparse rows.
    n_pairs : float
        Sum of the squares of the numbers of stored elements of sparse rows.
    nbytes : int
        Of the rows that are kept.
    """

    n_rows: int
    n_stored: int
    n_pairs: float
    nbytes: int

    def add(self, X: Any) -> None:
        """Take the rows of a block."""

    def drop(self) -> None:
        """Keep no rows from now on."""

    def end(self) -> tuple[list[slice], dict[int, ArrayOfRows]]:
        """The parts of the store, and the blocks; none where rows were dropped."""


def cutter_of(X: ArrayOfRows) -> Cutter:
    """A cutter for rows that are stored as these are.

    Examples
    --------
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> cutter = cutter_of(X)
    >>> cutter.add(X[:1])
    >>> cutter.add(X[1:])
    >>> cutter.end()
    ([slice(0, 3, None)], {0: array([[0., 1.],
           [2., 3.],
           [4., 5.]])})
    """
    return SparseCutter() if kind_of(X).is_sparse else DenseCutter(X.shape[1])


class DenseCutter:
    """Blocks of `gpu_logreg.rows.block_store.cut_dense`."""

    n_stored, n_pairs = 0, 0.0

    def __init__(self, n_columns: int) -> None:
        self.n_rows = self.nbytes = 0
        self._n_columns = n_columns
        self._keeps = True
        self._done: list[HostArray] = []
        self._open: HostArray | None = None
        self._filled = 0

    def add(self, X: HostArray) -> None:
        """Take the rows of a block."""
        self.n_rows += len(X)
        first = 0
        while self._keeps and first < len(X):
            if self._open is None:
                self._open, self._filled = np.empty((dense_block_rows(X.shape[1]), X.shape[1]), X.dtype), 0
            out = self._open
            n = min(len(X) - first, len(out) - self._filled)
            out[self._filled : self._filled + n] = X[first : first + n]
            first, self._filled = first + n, self._filled + n
            self.nbytes += n * X.shape[1] * X.dtype.itemsize
            if self._filled == len(out):
                self._done.append(out)
                self._open = None

    def drop(self) -> None:
        """Keep no rows from now on."""
        self._keeps, self._done, self._open, self.nbytes = False, [], None, 0

    def end(self) -> tuple[list[slice], dict[int, ArrayOfRows]]:
        """The parts of the store, and the blocks."""
        if self._open is not None:
            self._done.append(self._open[: self._filled].copy())
            self._open = None
        return cut_dense(self.n_rows, self._n_columns), dict(enumerate(self._done))


class SparseCutter:
    """Blocks of so many stored elements, or rows."""

    def __init__(self) -> None:
        self.n_rows = self.nbytes = self.n_stored = 0
        self.n_pairs = 0.0
        self._keeps = True
        self._done: list[ArrayOfRows] = []
        self._open: list[CsrArray] = []
        self._filled = self._stored = 0
        self._edges = [0]

    def add(self, X: CsrArray) -> None:
        """Take the rows of a block."""
        self.n_rows += X.shape[0]
        lengths = np.diff(X.indptr).astype(np.float64)
        self.n_pairs += float(lengths @ lengths)
        self.n_stored += X.nnz
        for part, is_last in self._parts(X):
            if self._keeps:
                piece = block_of_rows(X, part).copy()
                self.nbytes += bytes_of(piece)
                self._open.append(piece)
                if is_last:
                    self._close()

    def _parts(self, X: CsrArray) -> Iterator[tuple[slice, bool]]:
        """Rows up to the one with which a block has enough elements, or rows."""
        starts, n, first = X.indptr, X.shape[0], 0
        at = self._edges[-1] + self._filled
        while first < n:
            enough = int(starts[first]) + STREAMED_ELEMENTS - self._stored
            last = min(int(np.searchsorted(starts, enough)), first + STREAMED_ELEMENTS - self._filled, n)
            last = max(last, first + 1)
            self._stored += int(starts[last] - starts[first])
            self._filled += last - first
            at += last - first
            is_full = self._stored >= STREAMED_ELEMENTS or self._filled >= STREAMED_ELEMENTS
            yield slice(first, last), is_full
            if is_full:
                self._edges.append(at)
                self._stored = self._filled = 0
            first = last

    def _close(self) -> None:
        if self._open:
            self._done.append(SPARSE_ROWS.joined(self._open))
            self._open = []

    def drop(self) -> None:
        """Keep no rows from now on."""
        self._keeps, self._done, self._open, self.nbytes = False, [], [], 0

    def end(self) -> tuple[list[slice], dict[int, ArrayOfRows]]:
        """The parts of the store, and the blocks."""
        self._close()
        edges = self._edges if self._edges[-1] == self.n_rows else [*self._edges, self.n_rows]
        return [slice(a, b) for a, b in itertools.pairwise(edges)], dict(enumerate(self._done))
