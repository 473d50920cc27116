"""The first read of blocks that nothing is known of: their number, their labels, and the rows while they fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_logreg.arrays.sparse_cut import SparseCut
from gpu_logreg.arrays.vector import ArrayOfRows, CsrArray, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.streamed_labels import LabelsByBlock
from gpu_logreg.estimators.user_blocks import Block, UserBlocks
from gpu_logreg.rows.block_store import bytes_of, cut_dense, dense_block_rows

__all__ = ["FirstRead", "first_read"]


class FirstRead(NamedTuple):
    """What a first read has found.

    Attributes
    ----------
    parts : list of slice
    blocks : dict
        All blocks by their numbers, or none where they do not fit.
    labels : (classes, codes)
    sample_weight : ndarray of shape (n,) or None
    nbytes : int
        Of the rows.
    n_stored, n_pairs
        Of sparse rows: see `gpu_logreg.rows.streamed.StreamedDataset`.
    """

    parts: list[slice]
    blocks: dict[int, ArrayOfRows]
    labels: tuple[NDArray[Any], HostArray]
    sample_weight: HostArray | None
    n_stored: int
    n_pairs: float
    nbytes: int


def first_read(source: UserBlocks, budget: int) -> FirstRead:
    """Read all blocks once.

    Parameters
    ----------
    source : UserBlocks
    budget : int
        Bytes that rows, labels and weights may take.

    Raises
    ------
    DataError
        A block without labels; blocks that can be read once, and do not fit the budget.
    """
    labels, weights, cutter = LabelsByBlock(), list[HostArray](), _Cutter()
    weighted: bool | None = None
    for number, block in enumerate(source.first_read()):
        if block.y is None:
            raise DataError("the blocks hold no labels; yield (X, y) or (X, y, sample_weight)")
        labels.add(block.y, f"block {number}: ")
        is_weighted = block.sample_weight is not None
        if weighted is not None and weighted != is_weighted:
            raise DataError(f"block {number} has {'' if is_weighted else 'no '}weights, unlike those before it")
        weighted = is_weighted
        if block.sample_weight is not None:
            weights.append(block.sample_weight)
            cutter.nbytes += block.sample_weight.nbytes
        cutter.add(block)
        if cutter.keeps and cutter.nbytes + labels.nbytes > budget:
            if source.reads_once:
                raise DataError(
                    f"the rows are an iterator, which can be read once, and by block {number} they exceed the memory "
                    f"budget of {budget / 1e6:,.0f} MB; give a function that returns a new iterator in every call"
                )
            cutter.drop()
    parts, blocks = cutter.end(source)
    return FirstRead(
        parts,
        blocks,
        labels.encoded(),
        np.concatenate(weights) if weights else None,
        cutter.cut.n_stored,
        cutter.cut.n_pairs,
        cutter.read_bytes,
    )


class _Cutter:
    """Cuts rows into the blocks of a store, whatever blocks they come in, and keeps them while it is not told to drop.

    Rows that a user's code has yielded are copied, as its next block may come in the same memory.
    """

    def __init__(self) -> None:
        self.keeps = True
        self.nbytes = self.read_bytes = 0
        self._done: list[ArrayOfRows] = []
        self._open: list[ArrayOfRows] = []
        self._filled = 0
        self.cut = SparseCut()

    def add(self, block: Block) -> None:
        """Take the rows of a block."""
        self.read_bytes += bytes_of(block.X)
        if isinstance(block.X, np.ndarray):
            self._add_dense(block.X)
        else:
            self._add_sparse(block.X)

    def _add_dense(self, X: HostArray) -> None:
        first = 0
        while self.keeps and first < len(X):
            if not self._open:
                self._open = [np.empty((dense_block_rows(X.shape[1]), X.shape[1]), X.dtype)]
                self._filled = 0
            out = self._open[0]
            n = min(len(X) - first, len(out) - self._filled)
            out[self._filled : self._filled + n] = X[first : first + n]
            first, self._filled = first + n, self._filled + n
            self.nbytes += n * X.shape[1] * X.dtype.itemsize
            if self._filled == len(out):
                self._done.append(out)
                self._open = []

    def _add_sparse(self, X: CsrArray) -> None:
        for piece, is_last in self.cut.pieces(X):
            if self.keeps:
                kept = piece.copy()
                self.nbytes += bytes_of(kept)
                self._open.append(kept)
                if is_last:
                    self._close_sparse()

    def _close_sparse(self) -> None:
        if self._open:
            self._done.append(self._open[0] if len(self._open) == 1 else sparse.vstack(self._open, format="csr"))
            self._open = []

    def drop(self) -> None:
        """Keep no rows from now on."""
        self.keeps, self._done, self._open, self.nbytes = False, [], [], 0

    def end(self, source: UserBlocks) -> tuple[list[slice], dict[int, ArrayOfRows]]:
        """The parts of the store, and the blocks."""
        if source.is_sparse:
            self._close_sparse()
            parts = self.cut.parts()
        else:
            if self._open:
                self._done.append(self._open[0][: self._filled].copy())
                self._open = []
            parts = cut_dense(source.n_rows, source.n_columns)
        return parts, dict(enumerate(self._done)) if self.keeps else {}
