"""Refusal of rows that do not hold numbers, in one line that names the column; scikit-learn's message names none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import one_line
from gpu_logreg.errors import DataError, NotNumbersError

__all__ = ["refuse_dates", "refuse_no_numbers"]

_POLARS_DATES = ("Date", "Datetime", "Duration", "Time")
"""How the names of polars' types of dates begin: ``Datetime(time_unit='us', time_zone=None)``."""

_LONGEST_SHOWN = 60
"""Most letters of a value that a message shows."""


def refuse_dates(X: Any) -> None:
    """Raise a `DataError` if the dtype of rows, or of a column of a table, is one of dates, durations or texts.

    NumPy would convert dates and durations to whole numbers without an error where a table holds nothing else. Their
    unit depends on how they are stored, so a model would depend on it too.
    """
    kind = getattr(getattr(X, "dtype", None), "kind", "")
    if kind in ("S", "T", "U") or (kind == "V" and X.dtype.type is np.void):  # bfloat16 has the kind "V" as well
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
        if getattr(of_categories, "kind", "") in ("M", "m") or str(of_categories).startswith(_POLARS_DATES):
            raise DataError(
                f"column {name!r} of X holds {dtype} values, which are no numbers; "
                "turn them into numbers, such as days since a date, or leave the column out"
            )
        if hasattr(X, "iloc") and isinstance(dtype, np.dtype) and dtype.kind == "O":
            _refuse_date_objects(name, X.iloc[:, at])


def _refuse_date_objects(name: Any, column: Any) -> None:
    """Refuse NumPy's dates among objects: float() converts them, in their unit, and raises for Python's and pandas'."""
    kinds = set(map(type, column.tolist()))
    if any(issubclass(kind, np.datetime64 | np.timedelta64) for kind in kinds):
        raise DataError(f"column {name!r} of X holds dates or durations, which are no numbers; turn them into numbers")


def refuse_no_numbers(X: Any) -> None:
    """Raise a `DataError` that names the first column, and in an array the row, that does not convert to numbers."""
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
        except Exception as error:  # polars raises classes of its own, which no import here may need
            reason = one_line(error)
        if isinstance(X, np.ndarray | list | tuple):
            _refuse_element(values, name, reason)
        raise DataError(
            f"column {name!r} of X holds {column.dtype} values, which are no numbers; "
            "encode them, or leave the column out"
        )


def _columns(X: Any) -> Iterator[tuple[Any, Any]]:
    """Name and values of each column of a table; of an array only where it holds Python objects."""
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


def _short(value: object) -> str:
    """A value as a message shows it: on one line, cut to `_LONGEST_SHOWN` letters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
