"""Rows that hold other things than numbers: refused in one line that names the column, as scikit-learn does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import one_line
from gpu_logreg.errors import DataError, NotNumbersError

__all__ = ["refuse_dates", "refuse_no_numbers"]

_DATES = ("Date", "Datetime", "Duration", "Time")
"""Types of polars', as they begin."""


def refuse_dates(X: Any) -> None:
    """Raise a `DataError` if rows, or a column of a table, hold dates, durations or texts by their type.

    NumPy takes the first two for whole numbers, in whatever unit they are kept, where a table holds nothing else.
    """
    kind = getattr(getattr(X, "dtype", None), "kind", "")
    if kind in ("S", "T", "U") or (kind == "V" and X.dtype.type is np.void):  # bfloat16 is of the kind "V", too
        raise DataError(f"X holds strings or records, of dtype {X.dtype}; give numbers")
    if kind in ("M", "m"):
        raise DataError(
            f"column 0 of X, as every other, holds {X.dtype} values, which are no numbers; "
            "turn them into numbers, such as days since a date"
        )
    if kind == "O" and getattr(X, "ndim", 0) == 2:
        for name, column in _columns(X):
            _refuse_date_objects(name, column)
    for at, (name, dtype) in enumerate(zip(getattr(X, "columns", ()), getattr(X, "dtypes", ()), strict=False)):
        of_categories = getattr(getattr(dtype, "categories", None), "dtype", dtype)
        if getattr(of_categories, "kind", "") in ("M", "m") or str(of_categories).startswith(_DATES):
            raise DataError(
                f"column {name!r} of X holds {dtype} values, which are no numbers; "
                "turn them into numbers, such as days since a date, or leave the column out"
            )
        if hasattr(X, "iloc") and isinstance(dtype, np.dtype) and dtype.kind == "O":
            _refuse_date_objects(name, X.iloc[:, at])


def _refuse_date_objects(name: Any, column: Any) -> None:
    """NumPy's dates have a ``float``, in whatever unit; Python's and those of pandas have none."""
    kinds = set(map(type, column.tolist()))
    if any(issubclass(kind, np.datetime64 | np.timedelta64) for kind in kinds):
        raise DataError(f"column {name!r} of X holds dates or durations, which are no numbers; turn them into numbers")


def refuse_no_numbers(X: Any) -> None:
    """Raise a `DataError` that names the first column, and of an array the row, that cannot be read as numbers."""
    names = list(getattr(X, "columns", ()))
    if len(set(map(str, names))) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise DataError(f"several columns of X have the name {twice!r}; rename them")
    for name, column in _columns(X):
        if getattr(column.dtype, "kind", "O") in "fiub":
            continue
        values: Any = None
        try:
            values = np.asarray(column)
            values.astype(np.float64)
            if values.dtype.kind not in "Mm":
                continue
            reason = ""
        except Exception as error:  # polars has errors of its own
            reason = one_line(error)
        if isinstance(X, np.ndarray | list | tuple):
            _refuse_element(values, name, reason)
        raise DataError(
            f"column {name!r} of X holds {column.dtype} values, which are no numbers; "
            "encode them, or leave the column out"
        )


def _columns(X: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(X, list | tuple):
        X = np.array(X, dtype=object)
    if isinstance(X, np.ndarray):
        if X.ndim == 2 and X.dtype.kind == "O":
            yield from enumerate(X.T)
        return
    for at, name in enumerate(getattr(X, "columns", ())):
        yield name, X.iloc[:, at] if hasattr(X, "iloc") else X[name]


def _refuse_element(values: Any, column: int, reason: str) -> None:
    for row, value in enumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            raise NotNumbersError(
                f"X holds {_short(value)} at row {row}, column {column}, which is no number ({reason}); "
                "encode it, or leave the column out"
            ) from None


def _short(value: Any) -> str:
    said = " ".join(repr(value).split())
    return said if len(said) <= 60 else said[:57] + "..."
