"""Cuts rows into the blocks of a store, whatever blocks they come in, and keeps them while it is not told to drop.

Rows that a user's code has yielded are copied, as its next block may come in the same memory.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.kinds import SPARSE_ROWS, kind_of
from gpu_logreg.arrays.sparse_cut import SparseCut
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

    nbytes: int

    @property
    def n_rows(self) -> int: ...  # noqa: D102

    @property
    def n_stored(self) -> int: ...  # noqa: D102

    @property
    def n_pairs(self) -> float: ...  # noqa: D102

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
        self.nbytes = 0
        self._cut = SparseCut()
        self._keeps = True
        self._done: list[ArrayOfRows] = []
        self._open: list[CsrArray] = []

    @property
    def n_rows(self) -> int:
        """Rows up to now."""
        return self._cut.n_rows

    @property
    def n_stored(self) -> int:
        """Stored elements up to now."""
        return self._cut.n_stored

    @property
    def n_pairs(self) -> float:
        """Sum of the squares of the numbers of stored elements of the rows."""
        return self._cut.n_pairs

    def add(self, X: CsrArray) -> None:
        """Take the rows of a block."""
        for piece, is_last in self._cut.pieces(X):
            if self._keeps:
                kept = piece.copy()
                self.nbytes += bytes_of(kept)
                self._open.append(kept)
                if is_last:
                    self._close()

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
        return self._cut.parts(), dict(enumerate(self._done))
