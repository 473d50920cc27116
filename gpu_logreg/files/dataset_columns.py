"""Columns of numbers of Parquet and Arrow files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["ColumnBatch", "dtype_of", "numbers_of"]


class ColumnBatch:
    """Columns side by side."""

    def __init__(self, columns: list[NDArray[Any]]) -> None:
        self._columns = columns
        self.shape = len(columns[0]), len(columns)

    def write(self, part: slice, out: NDArray[Any]) -> None:
        """Write some of the rows."""
        for k, column in enumerate(self._columns):
            out[:, k] = column[part]


def dtype_of(field: Any, path: str) -> np.dtype[Any]:
    """The dtype of a column; refused where it holds no numbers."""
    types = import_pyarrow("pyarrow.types")
    kind = field.type
    if types.is_decimal(kind):
        return np.dtype(np.float64)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise DataError(f"{path}: column {field.name!r} holds {kind} values; encode them as numbers, or drop it")
    found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return found


def numbers_of(column: Any, path: str, before: int, name: str) -> NDArray[Any]:
    """A column of a batch as an array."""
    if column.null_count:
        row = before + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{path}: column {name!r} holds a null at row {row} of the file; remove or impute it")
    if import_pyarrow("pyarrow.types").is_decimal(column.type):
        column = column.cast(import_pyarrow().float64())
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
