"""A temporary file of rows that were decoded from text or encoded from tables; they are read again and again.

The file has no name, where the system allows it, so that it goes with the process, however that ends; two processes
have one each.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_logreg.arrays.kinds import DENSE_ROWS, SPARSE_ROWS
from gpu_logreg.arrays.sparse_cut import SparseCut
from gpu_logreg.errors import DataError
from gpu_logreg.files.npy_rows import RawRows, read_into
from gpu_logreg.files.reading import gib, reading

__all__ = ["DenseCache", "DenseRows", "SparseCache", "SparseRows"]

_CHECKED_BYTES = 2**26
"""Bytes between two checks of the space in the temporary folder."""

_SPARED_BYTES = 2**28
"""Bytes of the temporary folder that stay free for others."""


class _Cache:
    """A file without a name that arrays are written into; the space for ``expected`` bytes is checked first."""

    def __init__(self, path: Path | str, expected: int = 0) -> None:
        self._path = path
        self._refuse_full(expected)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self.nbytes = 0

    def _write(self, array: NDArray[Any]) -> None:
        before = self.nbytes
        try:
            self._file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise self._full(before) from error
        self.nbytes += array.nbytes
        if before // _CHECKED_BYTES != self.nbytes // _CHECKED_BYTES:
            self._refuse_full(0)

    def _end(self) -> int:
        """A descriptor of the complete file."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._full(self.nbytes) from error
        return os.dup(self._file.fileno())

    def _refuse_full(self, nbytes: int) -> None:
        if shutil.disk_usage(tempfile.gettempdir()).free < nbytes + _SPARED_BYTES:
            raise self._full(nbytes)

    def _full(self, nbytes: int) -> DataError:
        return DataError(
            f"{self._path}: is decoded into numbers in the temporary folder {tempfile.gettempdir()}, which has no room "
            f"for {gib(nbytes)} and more; set TMPDIR to a folder with more room, or convert the file to Parquet"
        )


class DenseRows(RawRows):
    """Dense rows in a temporary file.

    Attributes
    ----------
    names : tuple of str
        Of the columns.
    nbytes : int
        Bytes of the temporary file.
    """

    names: tuple[str, ...]
    nbytes: int


class DenseCache(_Cache):
    """Dense rows on their way into a temporary file.

    Parameters
    ----------
    path : Path or str
        Where the rows come from, for messages.
    expected : int
        Bytes that the rows will take, as far as that is known.

    Examples
    --------
    >>> cache = DenseCache(Path("d.csv"))
    >>> cache.add(np.ones((2, 3)))
    >>> rows = cache.rows(("a", "b", "c"))
    >>> rows.n_rows, rows.n_columns, rows.nbytes
    (2, 3, 48)
    """

    n_rows = 0
    dtype: np.dtype[Any] = np.dtype(np.float64)

    def add(self, X: NDArray[Any]) -> None:
        """Write rows behind those that are there."""
        self._write(X)
        self.n_rows += len(X)
        self.dtype = X.dtype

    def rows(self, names: tuple[str, ...]) -> DenseRows:
        """The rows as a source."""
        rows = DenseRows(self._end(), 0, (self.n_rows, len(names)), self.dtype, "C", str(self._path))
        rows.names, rows.nbytes = names, self.nbytes
        return rows


class _Stored(NamedTuple):
    """Place of a block of sparse rows: rows, where it begins in the file, its elements."""

    part: slice
    start: int
    n_stored: int


class SparseCache(_Cache):
    """Sparse rows on their way into a temporary file, a block of a fixed number of elements at a time.

    Examples
    --------
    >>> cache = SparseCache(Path("d.svm"))
    >>> cache.add(sparse.csr_array(np.eye(3)))
    >>> rows = cache.rows(3, as_csr=True)
    >>> [(first, X.toarray().tolist()) for first, X in rows.pieces(rows.parts)]
    [(0, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])]
    """

    def __init__(self, path: Path | str, expected: int = 0) -> None:
        super().__init__(path, expected)
        self._cut = SparseCut()
        self._open: list[Any] = []
        self._stored: list[_Stored] = []

    @property
    def n_stored(self) -> int:
        """Stored elements, up to now."""
        return self._cut.n_stored

    def add(self, X: Any) -> None:
        """Take the rows of a CSR array behind those that are there."""
        for piece, is_last in self._cut.pieces(X):
            self._open.append(piece)
            if is_last:
                self._close()
        self._open = [piece.copy() for piece in self._open]  # the array that it is a view of goes

    def _close(self) -> None:
        if not self._open:
            return
        lengths = np.concatenate([np.diff(piece.indptr) for piece in self._open])
        first = self._stored[-1].part.stop if self._stored else 0
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        self._stored.append(_Stored(slice(first, first + len(lengths)), self.nbytes, int(starts[-1])))
        self._write(starts)
        for piece in self._open:
            self._write(piece.indices.astype(np.int32, copy=False))
        for piece in self._open:
            self._write(piece.data)
        self._dtype = self._open[0].dtype
        self._open = []

    def rows(self, n_columns: int, *, as_csr: bool, first_index: int = 0) -> SparseRows:
        """The rows as a source of sparse or dense blocks; ``first_index`` is the number of the first column."""
        self._close()
        columns, name = (n_columns, first_index), str(self._path)
        return SparseRows(self._end(), self._stored, self._cut, columns, self._dtype, name, as_csr)


class SparseRows:
    """Sparse rows in a temporary file, as a source of sparse or of dense rows.

    Attributes
    ----------
    parts : list of slice
        Rows of every block of sparse rows.
    n_stored, n_pairs
        As of `gpu_logreg.arrays.sparse_cut.SparseCut`.
    nbytes : int
        Bytes of the temporary file.
    largest : int
        Bytes of the largest block.
    """

    order: ClassVar[str] = "C"
    seeks: ClassVar[bool] = True
    fills: ClassVar[bool] = False

    def __init__(
        self,
        file: int,
        stored: list[_Stored],
        cut: SparseCut,
        columns: tuple[int, int],
        dtype: np.dtype[Any],
        name: str,
        as_csr: bool,
    ) -> None:
        self._file = file
        weakref.finalize(self, os.close, file)
        self._stored = stored
        self.n_rows, self.n_stored, self.n_pairs = cut.n_rows, cut.n_stored, cut.n_pairs
        self.n_columns, self.first_index = columns
        self.dtype, self.name = dtype, name
        self._as_csr = as_csr
        self.kind = SPARSE_ROWS if as_csr else DENSE_ROWS
        self.names: tuple[str, ...] | None = None
        self.parts = [block.part for block in stored]
        sizes = [8 * (part.stop - part.start + 1) + n * (4 + dtype.itemsize) for part, _, n in stored]
        self.nbytes, self.largest = sum(sizes), max(sizes)

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, Any]]:
        """The stored blocks that hold some of the rows ``wanted``."""
        parts = iter(wanted)
        part = next(parts, None)
        for block in self._stored:
            while part is not None and part.stop <= block.part.start:
                part = next(parts, None)
            if part is None:
                return
            if part.start < block.part.stop:
                X = self._read(block)
                yield block.part.start, X if self._as_csr else _Widened(X)

    def _read(self, block: _Stored) -> Any:
        n = block.part.stop - block.part.start
        arrays = np.empty(n + 1, np.int64), np.empty(block.n_stored, np.int32), np.empty(block.n_stored, self.dtype)
        start = block.start
        with reading(Path(self.name)):
            for array in arrays:
                read_into(self._file, array.view(np.uint8), start, self.name)
                start += array.nbytes
        starts, columns, data = arrays
        if self.first_index:
            columns -= self.first_index
        return sparse.csr_array((data, columns, starts.astype(np.int32)), shape=(n, self.n_columns))

    def fill(self, part: slice, out: NDArray[Any]) -> None:
        """Not possible: rows come in blocks of as many elements."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """The file, for the beginning of a message."""
        return f"{self.name}: "


class _Widened:
    """Sparse rows that are written as dense ones."""

    def __init__(self, X: Any) -> None:
        self._X, self.shape = X, X.shape

    def write(self, part: slice, out: NDArray[Any]) -> None:
        """Write some of the rows."""
        X, rows = self._X, slice(self._X.indptr[part.start], self._X.indptr[part.stop])
        out[...] = 0
        lengths = np.diff(X.indptr[part.start : part.stop + 1])
        out[np.repeat(np.arange(len(lengths)), lengths), X.indices[rows]] = X.data[rows]
