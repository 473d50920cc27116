"""What rows that are read again in every walk come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from gpu_logreg.arrays.kinds import KindOfRows
from gpu_logreg.arrays.vector import DType, HostArray

__all__ = ["Piece", "RowSource"]


class Piece(Protocol):
    """Consecutive dense rows that can be written into an array: a table of columns, say."""

    shape: tuple[int, int]

    def write(self, part: slice, out: HostArray) -> None:
        """Write some of the rows."""


class RowSource(Protocol):
    """Where rows are read from, again in every walk.

    Attributes
    ----------
    n_rows, n_columns : int
    dtype : dtype
    kind : KindOfRows
    order : "C" or "F"
        Of the blocks that it fills.
    seeks : bool
        Whether rows that are not asked for cost nothing.
    fills : bool
        Whether it has `fill`, else `pieces`.
    """

    n_rows: int
    n_columns: int
    dtype: DType

    @property
    def kind(self) -> KindOfRows: ...  # noqa: D102

    @property
    def order(self) -> str: ...  # noqa: D102

    @property
    def seeks(self) -> bool: ...  # noqa: D102

    @property
    def fills(self) -> bool: ...  # noqa: D102

    def fill(self, part: slice, out: HostArray) -> None:
        """Write the rows ``part`` into ``out``."""

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, Any]]:
        """Arrays, CSR arrays or pieces of consecutive rows, each with the number of its first row.

        They are in the order of the rows, and hold at least the rows ``wanted``, which ascend. Where these end with the
        last row and the iterator is walked to its end, rows beyond it are refused.
        """

    def place(self, row: int) -> str:
        """Where a row is, for the beginning of a message: a file with a colon; empty where there is nothing to say."""
