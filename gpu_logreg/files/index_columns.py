"""Columns that number or name the rows: those without a name are left out, those with one are told of.

A table that was sorted or put together by class has its label in such a column.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from gpu_logreg.files.column_names import drop_option
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.table import Table

__all__ = ["pandas_index", "warn_of_identifiers", "without_index"]

_STORED_INDEX = re.compile(r"__index_level_\d+__")
_SHARE_OF_ITS_OWN = 0.5
"""Share of the rows that must have a value of their own for a column to name them."""

_SHARE_RISING = 0.9
"""Share of the rows that must follow on the one before, where tables with an index stand below each other."""

_FEWEST_ROWS = 20
"""With fewer rows a column may rise by chance."""

_SHOWN = 4


def pandas_index(schema: Any) -> frozenset[str]:
    """The columns of an Arrow schema that were the index of a pandas data frame."""
    try:
        held = (schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, AttributeError):  # metadata of someone else
        held = []
    names = {name for name in held if isinstance(name, str)} | set(filter(_STORED_INDEX.fullmatch, schema.names))
    return frozenset(names & set(schema.names))


def without_index(table: Table, wanted: Collection[str] = ()) -> Table:
    """The table without its index columns, with a remark that names them.

    An index column has no name of its own (an empty one, one that pandas makes up, ``__index_level_0__``, an index in
    the notes of pandas) and holds nothing, or a value of its own in most rows, or whole numbers that rise by one. In
    Parquet the name alone tells.

    Parameters
    ----------
    table : Table
    wanted : collection of str
        Columns that the user names, which stay.
    """
    empty, index = [], []
    for name in table.names:
        if name not in table.unnamed or name in wanted:
            continue
        if table.kind(name) == "empty":
            empty.append(name)
        elif not table.source.is_text or _of_its_own(table, name) or _rises_by_one(table, name):
            index.append(name)
    if (not empty and not index) or len(empty) + len(index) == len(table.names):
        return table
    remarks = [f"{table.source.name}: {_shown(table, name)} has no cells, and is left out" for name in empty]
    for name in index:
        remarks.append(
            f"{table.source.name}: {_shown(table, name)} is the index of the rows, and is left out; "
            "give it a name to keep it"
        )
    return replace(table.drop([*empty, *index]), remarks=(*table.remarks, *remarks))


def _shown(table: Table, name: str) -> str:
    at = table.names.index(name)
    return f"column {at + 1}, which has no name," if name == f"c{at}" else f"column {name!r}"


def warn_of_identifiers(table: Table, wanted: Collection[str] = ()) -> None:
    """Warn of columns that number the rows, and of dates that read as numbers.

    Parameters
    ----------
    table : Table
    wanted : collection of str
        Columns that are no features: labels, weights.
    """
    if table.n_rows < _FEWEST_ROWS:
        return
    features = [name for name in table.names if name not in wanted]
    numbering = [name for name in features if name not in table.forms and _numbers_the_rows(table, name)]
    if numbering:
        shown = ", ".join(map(repr, numbering[:_SHOWN])) + (", ..." if len(numbering) > _SHOWN else "")
        columns, it = (f"column {shown} holds", "it") if len(numbering) == 1 else (f"columns {shown} hold", "them")
        warnings.warn(
            f"{table.source.name}: {columns} whole numbers that rise from row to row like a count of the rows; a model "
            f"learns from {it} what new rows do not have: leave {it} out with "
            f"{' '.join(map(drop_option, numbering[:_SHOWN]))}",
            UserWarning,
            stacklevel=2,
        )
    dates = [name for name in features if name not in table.forms and _like_dates(table, name)]
    if dates:
        example = int(table.numbers(dates[0])[0])
        warnings.warn(
            f"{table.source.name}: column {dates[0]!r} holds whole numbers like {example}, which look like dates and "
            "are read as plain numbers; to have days, write them as 2015-12-31",
            UserWarning,
            stacklevel=2,
        )


def _of_its_own(table: Table, name: str) -> bool:
    """Whether most rows have a whole number, a date or a text that no other row has."""
    kind = table.kind(name)
    if kind == "text":
        return len(table.texts(name)) > _SHARE_OF_ITS_OWN * table.n_rows
    numbers = _whole_numbers(table, name) if name not in table.forms else table.numbers(name)
    return numbers is not None and len(np.unique(numbers)) > _SHARE_OF_ITS_OWN * table.n_rows


def _rises_by_one(table: Table, name: str) -> bool:
    """Whether most rows follow on the one before, as where tables with an index stand below each other."""
    numbers = _whole_numbers(table, name)
    return numbers is not None and float(np.mean(np.diff(numbers) == 1)) > _SHARE_RISING


def _numbers_the_rows(table: Table, name: str) -> bool:
    """Whether a column counts the rows: each greater than the last, by one in most; or all of a range, shuffled."""
    numbers = _whole_numbers(table, name)
    if numbers is None:
        return False
    steps = np.diff(numbers[:1000])
    if (steps >= 1).all():
        steps = np.diff(numbers)
        return bool((steps >= 1).all()) and float(np.mean(steps <= 2)) > _SHARE_OF_ITS_OWN
    return int(numbers.max()) - int(numbers.min()) + 1 == len(numbers) == len(np.unique(numbers))


def _like_dates(table: Table, name: str) -> bool:
    """Whether whole numbers are like 20151231, and not all of them the same."""
    numbers = _whole_numbers(table, name)
    if numbers is None or numbers.min() < 19000101 or numbers.max() > 21001231 or numbers.min() == numbers.max():
        return False
    month, day = numbers // 100 % 100, numbers % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _whole_numbers(table: Table, name: str) -> Any:
    """The column as an array, where it is of whole numbers and no cell is missing; else None."""
    types = import_pyarrow("pyarrow.types")
    column = table.arrow.column(name)
    if column.null_count or len(column) < 2 or not (types.is_integer(column.type) or types.is_floating(column.type)):
        return None
    if types.is_integer(column.type):
        return column.to_numpy().astype(np.int64, copy=False)
    # Text with a mark between thousands is read as floats.
    for part in (column.slice(0, 1000), column):
        numbers = part.to_numpy()
        if not (numbers == np.floor(numbers)).all():
            return None
    return numbers
