"""Sparse rows that come in pieces of any size, cut into blocks of about as many stored elements each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gpu_logreg.arrays.block_sizes import STREAMED_ELEMENTS
from gpu_logreg.arrays.csr import block_of_rows
from gpu_logreg.arrays.vector import CsrArray

__all__ = ["SparseCut"]


class SparseCut:
    """Where blocks end, by the stored elements of the rows alone, and not by the pieces that they come in.

    Attributes
    ----------
    n_rows, n_stored : int
        Up to now.
    n_pairs : float
        Sum of the squares of the numbers of stored elements of the rows.

    Examples
    --------
    >>> from scipy import sparse
    >>> cut = SparseCut()
    >>> [(part.shape, ends) for part, ends in cut.pieces(sparse.csr_array(np.eye(3)))]
    [((3, 3), False)]
    >>> cut.parts()
    [slice(0, 3, None)]
    """

    def __init__(self) -> None:
        self.n_rows = self.n_stored = 0
        self.n_pairs = 0.0
        self._edges = [0]
        self._stored = 0

    def pieces(self, X: CsrArray) -> Iterator[tuple[CsrArray, bool]]:
        """The rows, cut where blocks end; with each piece, whether a block ends with it."""
        lengths = np.diff(X.indptr).astype(np.float64)
        self.n_pairs += float(lengths @ lengths)
        self.n_stored += int(X.nnz)
        starts, n, first = X.indptr, X.shape[0], 0
        while first < n:
            filled = self.n_rows - self._edges[-1]
            enough = int(starts[first]) + STREAMED_ELEMENTS - self._stored
            last = min(int(np.searchsorted(starts, enough)), first + STREAMED_ELEMENTS - filled, n)
            last = max(last, first + 1)
            self._stored += int(starts[last] - starts[first])
            self.n_rows += last - first
            is_full = self._stored >= STREAMED_ELEMENTS or self.n_rows - self._edges[-1] >= STREAMED_ELEMENTS
            if is_full:
                self._edges.append(self.n_rows)
                self._stored = 0
            yield block_of_rows(X, slice(first, last)), is_full
            first = last

    def parts(self) -> list[slice]:
        """The rows of every block."""
        edges = self._edges if self._edges[-1] == self.n_rows else [*self._edges, self.n_rows]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]
