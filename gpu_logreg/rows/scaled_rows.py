"""A source of rows whose columns are brought to mean 0 and deviation 1 as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.vector import Float64Vector, HostArray
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.block_store import BlockStore
from gpu_logreg.rows.row_source import RowSource

__all__ = ["ScaledRows", "centre_and_scale_of_blocks"]


class ScaledRows:
    """``(x - centre) / scale`` of the rows of another source; a sparse row stays sparse.

    Parameters
    ----------
    source : RowSource
    centre, scale : ndarray of shape (d,)
    """

    def __init__(self, source: RowSource, centre: Float64Vector, scale: Float64Vector) -> None:
        self._source, self._centre, self._scale = source, centre, scale
        self.n_rows, self.n_columns = source.n_rows, source.n_columns
        self.kind, self.order, self.seeks, self.fills = source.kind, source.order, source.seeks, source.fills
        self.dtype = source.dtype if source.dtype.kind == "f" else compute_dtype(source.dtype)

    def fill(self, part: slice, out: HostArray) -> None:
        """Write the rows ``part`` into ``out``."""
        raw = out if self.dtype == self._source.dtype else np.empty(out.shape, self._source.dtype, self.order)  # type: ignore[call-overload]
        self._source.fill(part, raw)
        self._scaled(raw, out)

    def _scaled(self, raw: HostArray, out: HostArray) -> None:
        np.subtract(raw, self._centre, out=out, casting="unsafe")
        np.divide(out, self._scale, out=out, casting="unsafe")

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, Any]]:
        """The pieces of the source, scaled."""
        for first, piece in self._source.pieces(wanted):
            if self.kind.is_sparse:
                data = ((piece.data - self._centre[piece.indices]) / self._scale[piece.indices]).astype(self.dtype)
                yield first, sparse.csr_array((data, piece.indices, piece.indptr), shape=piece.shape)
            else:
                yield first, _ScaledPiece(piece, self)

    def place(self, row: int) -> str:
        """That of the source."""
        return self._source.place(row)

    def write(self, piece: Any, part: slice, out: HostArray) -> None:
        """Write some rows of a piece."""
        raw = np.empty(out.shape, self._source.dtype, self.order)  # type: ignore[call-overload]
        if isinstance(piece, np.ndarray):
            raw[...] = piece[part]
        else:
            piece.write(part, raw)
        self._scaled(raw, out)


class _ScaledPiece:
    def __init__(self, piece: Any, rows: ScaledRows) -> None:
        self._piece, self._rows, self.shape = piece, rows, piece.shape

    def write(self, part: slice, out: HostArray) -> None:
        """Write some of the rows."""
        self._rows.write(self._piece, part, out)


def centre_and_scale_of_blocks(store: BlockStore) -> tuple[Float64Vector, Float64Vector, Float64Vector]:
    """As `gpu_logreg.rows.scaling.centre_scale_and_width`; two reads, which keep no block."""
    source = store.source
    n, d = source.n_rows, source.n_columns
    store = BlockStore(source, store.parts, frozenset())
    sums, counts = np.zeros(d), np.zeros(d, np.int64)
    lowest, highest = np.full(d, np.inf), np.full(d, -np.inf)
    for _, X in store.walk():
        if source.kind.is_sparse:
            sums += np.bincount(X.indices, X.data, d)
            counts += np.bincount(X.indices, minlength=d)
        else:
            sums += X.sum(axis=0, dtype=np.float64)
            np.minimum(lowest, X.min(axis=0), out=lowest)
            np.maximum(highest, X.max(axis=0), out=highest)
    is_full = counts == n if source.kind.is_sparse else np.ones(d, bool)
    centre = np.where(is_full, sums / n, 0.0)
    squares, width = np.zeros(d), np.zeros(d) if source.kind.is_sparse else highest - lowest
    for _, X in store.walk():
        if source.kind.is_sparse:
            deviation = X.data - centre[X.indices]
            squares += np.bincount(X.indices, deviation**2, d)
            np.maximum.at(width, X.indices, np.abs(deviation))
        else:
            squares += np.square(X - centre).sum(axis=0)
    return centre, np.sqrt(squares / n), width
