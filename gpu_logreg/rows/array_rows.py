"""Rows of an array in memory as a source of blocks, which are slices of it: for a device that does not hold all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from gpu_logreg.arrays.kinds import DENSE_ROWS, KindOfRows
from gpu_logreg.arrays.vector import DType, HostArray
from gpu_logreg.rows.block_store import BlockStore, cut_dense

__all__ = ["ArrayRows", "blocks_of_array"]


class ArrayRows:
    """A dense array as a `gpu_logreg.rows.row_source.RowSource`."""

    kind: ClassVar[KindOfRows] = DENSE_ROWS
    order: ClassVar[str] = "C"
    seeks: ClassVar[bool] = True
    fills: ClassVar[bool] = True

    def __init__(self, X: HostArray) -> None:
        self._X = X
        self.n_rows, self.n_columns = X.shape
        self.dtype: DType = X.dtype

    def fill(self, part: slice, out: HostArray) -> None:
        """Write the rows ``part`` into ``out``."""
        out[...] = self._X[part]

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, HostArray]]:
        """The rows ``wanted``, not copied."""
        return ((part.start, self._X[part]) for part in wanted)

    def place(self, row: int) -> str:
        """Nothing: the array has no name."""
        return ""


def blocks_of_array(X: HostArray) -> BlockStore:
    """The blocks of an array, none of them copied.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.zeros((3, 2))
    >>> [(number, block.base is X) for number, block in blocks_of_array(X).walk()]
    [(0, True)]
    """
    parts = cut_dense(*X.shape)
    return BlockStore(ArrayRows(X), parts, frozenset(range(len(parts))), {k: X[part] for k, part in enumerate(parts)})
