"""Row weights in a column beside the features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import pick_columns
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.table import Table

__all__ = ["take_weights"]


def take_weights(rows: Table | Matrix, name: str) -> tuple[Table | Matrix, NDArray[np.float64]]:
    """The rows without the column ``name``, and that column as weights.

    Raises
    ------
    DataError
        No such column, or one with text, a missing cell, or a number that is negative or not finite; the row is named.
    """
    (at,) = pick_columns(rows.names, [name], rows.source)
    if isinstance(rows, Table):
        if rows.kind(name) != "numeric":
            row, cell = (rows.first_no_number(name) if rows.kind(name) == "text" else None) or (0, "")
            raise DataError(f"{rows.source.at(row)}: column {name!r} is to hold row weights, not {cell[:40]!r}")
        weights = rows.numbers(name)
    else:
        column = rows.values[:, [at]]
        weights = np.asarray(column.toarray() if hasattr(column, "toarray") else column, dtype=np.float64)[:, 0]
    is_valid = np.isfinite(weights) & (weights >= 0)
    if not is_valid.all():
        row = int(np.argmin(is_valid))
        fault = "is missing" if np.isnan(weights[row]) else f"is {weights[row]:g}"
        raise DataError(f"{rows.source.at(row)}: the weight in column {name!r} {fault}; weights are 0 or more")
    if not weights.any():
        raise DataError(f"{rows.source.name}: all weights in column {name!r} are 0; none of the rows would count")
    return rows.drop([name]), np.ascontiguousarray(weights)
