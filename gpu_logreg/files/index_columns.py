"""Columns that number or name the rows: without a name they are left out; with a name they stay, with a warning.

In a table that is sorted by class, such a column gives the label away.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.files.column_names import Source, drop_option, list_first
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.table import Table

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "FEWEST_ROWS",
    "FIRST_DATE",
    "LAST_DATE",
    "RISING_SHARE",
    "UNIQUE_SHARE",
    "left_out_remarks",
    "pandas_index",
    "warn_of_columns",
    "warn_of_identifiers",
    "without_index",
]

_STORED_INDEX = re.compile(r"__index_level_\d+__")  # pandas' name for an index without one, in Parquet

UNIQUE_SHARE = 0.5
"""A column with more different values than this share of the rows names the rows."""

RISING_SHARE = 0.9
"""Share of the rows whose number must be one more than that of the row before, for a column to be an index. It is below
1 because tables may be put below each other, each with an index of its own.
"""

FEWEST_ROWS = 20
"""Least number of rows for a warning: in a smaller file a column may rise from row to row by chance."""

_SHOWN_NAMES = 4
"""Columns that a warning names."""

_SAMPLED_ROWS = 1000
"""Rows that are judged first: most columns are no index by these, and the others are judged whole."""

FIRST_DATE, LAST_DATE = 19000101, 21001231
"""Range of whole numbers that are dates written as 20151231."""


def pandas_index(schema: pyarrow.Schema) -> frozenset[str]:
    """The columns of an Arrow schema that were the index of a pandas data frame."""
    try:
        entries = (schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, AttributeError):  # metadata under pandas' key that another program wrote
        entries = []
    names = {name for name in entries if isinstance(name, str)} | set(filter(_STORED_INDEX.fullmatch, schema.names))
    return frozenset(names & set(schema.names))


def without_index(table: Table, kept_names: Collection[str] = ()) -> Table:
    """The table without its index columns, with a remark that names them.

    An index column has no name of its own: the name is empty, one that pandas makes up (``Unnamed: 0``,
    ``__index_level_0__``), or listed as an index in pandas' metadata. It holds nothing, or different values in most
    rows, or whole numbers that rise by one. In Parquet its name decides.

    Parameters
    ----------
    table : Table
    kept_names : collection of str
        Columns that the user named in an option, which stay.
    """
    empty, index = [], []
    for name in table.names:
        if name not in table.unnamed or name in kept_names:
            continue
        if table.kind(name) == "empty":
            empty.append(name)
        elif not table.source.is_text or _is_mostly_unique(table, name) or _rises_by_one(table, name):
            index.append(name)
    if (not empty and not index) or len(empty) + len(index) == len(table.names):
        return table
    remarks = left_out_remarks(table.source, table.names, empty, index)
    return replace(table.drop([*empty, *index]), remarks=(*table.remarks, *remarks))


def left_out_remarks(source: Source, names: Sequence[str], empty: Collection[str], index: Collection[str]) -> list[str]:
    """A line for each column without a name that is left out: it holds nothing, or is the index of the rows."""
    remarks = [f"{source.name}: {_column_text(names, name)} has no cells, and is left out" for name in empty]
    for name in index:
        remarks.append(
            f"{source.name}: {_column_text(names, name)} is the index of the rows, and is left out; "
            "give it a name to keep it"
        )
    return remarks


def _column_text(names: Sequence[str], name: str) -> str:
    """A column as a remark names it: by its position where it has no name."""
    at = names.index(name)
    return f"column {at + 1}, which has no name," if name == f"c{at}" else f"column {name!r}"


def warn_of_identifiers(table: Table, others: Collection[str] = ()) -> None:
    """Warn of columns that number the rows, and of dates that read as numbers.

    Parameters
    ----------
    table : Table
    others : collection of str
        Columns of labels and weights, which are no features.
    """
    if table.n_rows < FEWEST_ROWS:
        return
    features = [name for name in table.names if name not in others]
    numbering = [name for name in features if name not in table.forms and _numbers_the_rows(table, name)]
    dates = [name for name in features if name not in table.forms and _looks_like_dates(table, name)]
    warn_of_columns(table.source, numbering, dates, int(table.numbers(dates[0])[0]) if dates else 0)


def warn_of_columns(source: Source, numbering: Sequence[str], dates: Sequence[str], example: int) -> None:
    """Warn of columns that number the rows, and of dates that read as numbers, such as ``example``."""
    if numbering:
        names = list_first(numbering, _SHOWN_NAMES, repr)
        columns, it = (f"column {names} holds", "it") if len(numbering) == 1 else (f"columns {names} hold", "them")
        warnings.warn(
            f"{source.name}: {columns} whole numbers that rise from row to row like a count of the rows; a model "
            f"learns from {it} what new rows do not have: leave {it} out with "
            f"{' '.join(map(drop_option, numbering[:_SHOWN_NAMES]))}",
            UserWarning,
            stacklevel=3,
        )
    if dates:
        warnings.warn(
            f"{source.name}: column {dates[0]!r} holds whole numbers like {example}, which look like dates and "
            "are read as plain numbers; to have days, write them as 2015-12-31",
            UserWarning,
            stacklevel=3,
        )


def _is_mostly_unique(table: Table, name: str) -> bool:
    """Whether a column of whole numbers, dates or text has more different values than half its rows."""
    kind = table.kind(name)
    if kind == "text":
        return len(table.texts(name)) > UNIQUE_SHARE * table.n_rows
    numbers = _whole_numbers(table, name) if name not in table.forms else table.numbers(name)
    return numbers is not None and len(np.unique(numbers)) > UNIQUE_SHARE * table.n_rows


def _rises_by_one(table: Table, name: str) -> bool:
    """Whether the number in most rows is one more than that in the row before."""
    numbers = _whole_numbers(table, name)
    return numbers is not None and float(np.mean(np.diff(numbers) == 1)) > RISING_SHARE


def _numbers_the_rows(table: Table, name: str) -> bool:
    """Whether a column counts the rows: it rises, by one or two in most rows, or holds every number of a range once."""
    numbers = _whole_numbers(table, name)
    if numbers is None:
        return False
    steps = np.diff(numbers[:_SAMPLED_ROWS])
    if (steps >= 1).all():
        steps = np.diff(numbers)
        return bool((steps >= 1).all()) and float(np.mean(steps <= 2)) > UNIQUE_SHARE
    return int(numbers.max()) - int(numbers.min()) + 1 == len(numbers) == len(np.unique(numbers))


def _looks_like_dates(table: Table, name: str) -> bool:
    """Whether a column holds whole numbers like 20151231, more than one of them."""
    numbers = _whole_numbers(table, name)
    if numbers is None or numbers.min() < FIRST_DATE or numbers.max() > LAST_DATE or numbers.min() == numbers.max():
        return False
    month, day = numbers // 100 % 100, numbers % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _whole_numbers(table: Table, name: str) -> NDArray[Any] | None:
    """The column as an array, if all its cells are whole numbers and none is missing; else None."""
    types = import_pyarrow("pyarrow.types")
    column = table.arrow.column(name)
    if column.null_count or len(column) < 2 or not (types.is_integer(column.type) or types.is_floating(column.type)):
        return None
    if types.is_integer(column.type):
        return np.asarray(column.to_numpy(), dtype=np.int64)
    # Floats too: whole numbers in text with a mark between thousands are read as floats.
    for part in (column.slice(0, _SAMPLED_ROWS), column):
        numbers = np.asarray(part.to_numpy())
        if not (numbers == np.floor(numbers)).all():
            return None
    return numbers
