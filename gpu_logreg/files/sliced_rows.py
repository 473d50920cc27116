"""Rows of an array that is not in memory as a whole, and gives slices: a data set of HDF5 or Zarr, a mapped array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.kinds import DENSE_ROWS, KindOfRows
from gpu_logreg.errors import DataError
from gpu_logreg.files.datasets import first_line

__all__ = ["SlicedRows"]


class SlicedRows:
    """Rows of an object with ``shape``, ``dtype`` and slices of rows.

    Parameters
    ----------
    array : object of shape (n, d)

    Examples
    --------
    >>> rows, out = SlicedRows(np.arange(6.0).reshape(3, 2)), np.empty((2, 2))
    >>> rows.fill(slice(1, 3), out)
    >>> out
    array([[2., 3.],
           [4., 5.]])
    """

    kind: ClassVar[KindOfRows] = DENSE_ROWS
    order: ClassVar[str] = "C"
    seeks: ClassVar[bool] = True
    fills: ClassVar[bool] = True

    def __init__(self, array: Any) -> None:
        self._array, self._kind = array, type(array).__name__
        shape = tuple(array.shape)
        if len(shape) != 2 or 0 in shape:
            raise DataError(f"the rows, a {self._kind}, have shape {shape}; rows and columns are needed")
        self.n_rows, self.n_columns = (int(length) for length in shape)
        self.dtype = np.dtype(array.dtype)
        if self.dtype.kind not in "fiub" or self.dtype.itemsize > 8:
            raise DataError(f"the rows, a {self._kind}, have dtype {self.dtype}; they must be real numbers")
        self.dtype = self.dtype.newbyteorder("=")

    def fill(self, part: slice, out: NDArray[Any]) -> None:
        """Read the rows ``part`` into ``out``."""
        try:
            rows = self._array[part]
        except Exception as error:
            raise DataError(f"rows {part.start} to {part.stop - 1} cannot be read: {first_line(error)}") from error
        if rows.shape != out.shape:
            raise DataError(
                f"rows {part.start} to {part.stop - 1} have shape {rows.shape}, and {out.shape} is expected"
            )
        out[...] = rows

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows ``wanted``, in arrays of their own."""
        for part in wanted:
            out = np.empty((part.stop - part.start, self.n_columns), self.dtype)
            self.fill(part, out)
            yield part.start, out

    def place(self, row: int) -> str:
        """Nothing: the array has no name."""
        return ""
