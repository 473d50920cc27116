"""Blocks of rows that a user's code yields: checked when they are first read, and known again in every read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils import check_array

from gpu_logreg.arrays.csr import csr_rows_of, rows_at
from gpu_logreg.arrays.device import in_host_memory, one_line
from gpu_logreg.arrays.kinds import DENSE_ROWS, kind_of
from gpu_logreg.arrays.vector import ArrayOfRows, DType, HostArray
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.estimators.inputs import given_column, given_rows
from gpu_logreg.estimators.label_types import label_array

__all__ = ["Block", "UserBlocks"]


class Block(NamedTuple):
    """A block as it was yielded: rows, and labels and weights or None."""

    X: ArrayOfRows
    y: HostArray | None
    sample_weight: HostArray | None
    names: tuple[str, ...] | None


class UserBlocks:
    """The blocks of a callable or an iterable, as a source of rows.

    Parameters
    ----------
    make : callable or iterable
        A function without parameters that returns a new iterator, or an object that can be iterated again and again.
        An iterator itself can be read once.

    Attributes
    ----------
    reads_once : bool
    n_rows, n_columns, dtype, kind, names
        Known with the first block, and the number of rows at the end of `first_read`.
    """

    seeks: ClassVar[bool] = False
    fills: ClassVar[bool] = False
    order: ClassVar[str] = "C"

    def __init__(self, make: Callable[[], Iterable[Any]] | Iterable[Any]) -> None:
        self._make = make
        self.reads_once = hasattr(make, "__next__")
        self.n_rows = 0
        self.n_columns = -1
        self.dtype: DType = np.dtype(np.float64)
        self.kind = DENSE_ROWS
        self.names: tuple[str, ...] | None = None
        self._prints: list[int] = []

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Numbers and blocks, with every error of the user's code in one line that names the block."""
        number = 0
        try:
            iterator = iter(self._make() if callable(self._make) else self._make)
        except Exception as error:
            raise self._failed(0, error) from error
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                raise self._failed(number, error) from error
            try:
                block = as_block(item)
            except GpuLogregError as error:
                raise DataError(f"block {number}: {error}") from error
            except ValueError as error:
                raise DataError(f"block {number}: {str(error).splitlines()[0]}") from error
            del item
            if self.n_columns < 0:
                self.n_columns, self.kind = int(block.X.shape[1]), kind_of(block.X)
                self.dtype, self.names = block.X.dtype, block.names
            if block.X.shape[0]:
                yield number, block
            del block  # the next block is made while the memory of this one is free
            number += 1

    @staticmethod
    def _failed(number: int, error: Exception) -> DataError:
        return DataError(f"block {number} of the rows cannot be read: {one_line(error)}")

    def first_read(self) -> Iterator[Block]:
        """The blocks, with what they have in common noted."""
        for number, block in self.blocks():
            block = self._like_the_first(number, block)
            self._prints.append(_fingerprint(block))
            self.n_rows += block.X.shape[0]
            yield block
        if self.n_rows == 0:
            raise DataError("the blocks hold no rows; at least one row is required")

    def _like_the_first(self, number: int, block: Block) -> Block:
        X = block.X
        if X.shape[1] != self.n_columns:
            raise DataError(
                f"block {number} has {X.shape[1]} columns, and those before it have {self.n_columns}; give all blocks "
                "the same columns"
            )
        if block.names != self.names:
            raise DataError(f"block {number} has columns of other names than the first; give all the same columns")
        kind = kind_of(X)
        if kind is not self.kind:
            raise DataError(
                f"block {number} is {kind.name}, and those before it are {self.kind.name}; give all of one kind"
            )
        if X.dtype != self.dtype:
            if not np.can_cast(X.dtype, self.dtype, "safe"):
                raise DataError(
                    f"block {number} has dtype {X.dtype}, which {self.dtype}, that of the first, does not hold; "
                    "give all blocks one dtype"
                )
            X = X.astype(self.dtype)
        return block._replace(X=X)

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, ArrayOfRows]]:
        """The blocks once more, which must be those of the first read."""
        first = n_blocks = 0
        for number, block in self.blocks():
            X, known = self._known(number, n_blocks, block), block.X.shape[0]
            del block
            yield first, X
            del X
            first, n_blocks = first + known, n_blocks + 1
        if n_blocks < len(self._prints):
            raise DataError(
                f"the blocks end after {first} rows, and in the first read there were {self.n_rows}; give a function "
                "that returns a new iterator in every call"
            )

    def _known(self, number: int, at: int, block: Block) -> ArrayOfRows:
        """The rows of a block that was the ``at``-th in the first read."""
        block = self._like_the_first(number, block)
        if at == len(self._prints) or _fingerprint(block) != self._prints[at]:
            raise DataError(
                f"block {number} holds other rows than in the first read; give a function that yields the same rows in "
                "every call"
            )
        return block.X

    def fill(self, part: slice, out: HostArray) -> None:
        """Not possible: blocks come in their order."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Nothing: rows are numbered through all blocks."""
        return ""


def as_block(item: Any) -> Block:
    """A block that was yielded: ``(X, y)``, ``(X, y, sample_weight)``, or ``X`` alone."""
    X, y, s = item, None, None
    if isinstance(item, tuple | list):
        if not 1 <= len(item) <= 3:
            raise DataError(f"holds {len(item)} objects; yield (X, y) or (X, y, sample_weight)")
        X, y, s = (*item, None, None)[:3]
    rows, names = _rows(X)
    n = rows.shape[0]
    if y is not None:
        y = label_array(given_column(y, "y"))
        if not in_host_memory(y):
            raise DataError("y is on a GPU; yield arrays in the memory of the host")
        y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
        if y.shape != (n,):
            raise DataError(f"y has shape {y.shape}, and X has {n} rows")
    if s is not None:
        s = np.asarray(given_column(s, "sample_weight"))
        if s.dtype.kind not in "fiub":
            raise DataError(f"sample_weight has dtype {s.dtype}; weights are numbers")
        s = s if s.dtype == np.float32 else s.astype(np.float64)
        s = np.full(n, s) if s.ndim == 0 else s
        if s.shape != (n,):
            raise DataError(f"sample_weight has shape {s.shape}, and X has {n} rows")
    return Block(rows, y, s, names)


def _rows(X: Any) -> tuple[ArrayOfRows, tuple[str, ...] | None]:
    """Rows as a real array in host memory or as CSR, and the names of their columns."""
    given = given_rows(X)
    columns = getattr(X if given.header is None else given.header, "columns", None)
    names = None
    if given.header is not None:
        names = tuple(getattr(given.header, "column_names", columns or ()))
    elif columns is not None and all(isinstance(name, str) for name in columns):
        names = tuple(columns)
    rows = csr_rows_of(given.X, X)
    if rows is None:
        rows = _dense_rows(given.X)
    if rows.shape[1] == 0:
        raise DataError(f"X has shape {rows.shape}; at least one column is required")
    return rows, names


def _dense_rows(rows: Any) -> HostArray:
    """Rows as an array of two dimensions in host memory, of real numbers that the passes read."""
    if not in_host_memory(rows):
        raise DataError("X is on a GPU; yield arrays in the memory of the host")
    if type(rows) is not np.ndarray or rows.dtype.kind not in "fiub":
        rows = check_array(rows, dtype="numeric", ensure_all_finite=False, ensure_min_samples=0)
    if rows.ndim != 2:
        raise DataError(f"Expected 2D array, got {rows.ndim}D array instead; X must have shape (n, d)")
    if rows.dtype.itemsize > 8:
        rows = rows.astype(np.float64)
    return np.asarray(rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("=")))


def _fingerprint(block: Block) -> int:
    """A number that tells blocks apart: of all labels and weights, and of the first and the last row."""
    n = block.X.shape[0]
    ends = rows_at(block.X, np.array([0, n - 1]), block.X.dtype)
    total = zlib.crc32(ends.tobytes(), n)
    for column in (block.y, block.sample_weight):
        if column is None:
            continue
        if column.dtype.kind == "O":
            total = zlib.crc32(repr(column.tolist()).encode(), total)
        else:
            total = zlib.crc32(np.ascontiguousarray(column).data.cast("B"), total)
    return total
