"""The columns of a schema: what the training rows teach of each, and its form in JSON."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source, drop_option, missing_option
from gpu_logreg.files.number_forms import check_form
from gpu_logreg.files.numbered import NumberedNames
from gpu_logreg.files.table import Table

__all__ = [
    "FEW_CATEGORIES",
    "MANY_CATEGORIES",
    "UNIQUE_SHARE",
    "NumberedColumns",
    "NumericColumn",
    "TextColumn",
    "column_from_json",
    "column_to_json",
    "fit_column",
    "numeric_column",
]

UNIQUE_SHARE = 0.5
"""Share of rows with a text that no other row has, from which a text column counts as an identifier or free text. A
category that occurs once says nothing about new rows.
"""

MANY_CATEGORIES = 1000
"""Most categories of such a column. With more it is refused, since every category becomes a column of the matrix."""

FEW_CATEGORIES = 20
"""Categories up to which a column is not suspected: in a small file, few texts may all differ by chance."""


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str
    mean : float or None
        Mean of the training rows, which replaces missing cells; None where the rows came from an array, which has no
        missing cells.
    had_missing : bool
        Whether the training rows had missing cells, so that the matrix has an indicator column for them.
    form : str or None
        Form of the numbers, None for plain ones; see `gpu_logreg.files.number_forms.FORMS`.
    """

    name: str
    mean: float | None = None
    had_missing: bool = False
    form: str | None = None


class NumberedColumns(Sequence[NumericColumn]):
    """The columns of an array as a sequence, whose items, `NumericColumn`, are built when they are accessed.

    An array may have millions of columns. The sequence equals a tuple or a list of the same columns.

    Attributes
    ----------
    names : NumberedNames
    """

    def __init__(self, names: NumberedNames) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, at: int) -> NumericColumn: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[NumericColumn]: ...
    def __getitem__(self, at: int | slice) -> NumericColumn | Sequence[NumericColumn]:
        return tuple(map(NumericColumn, self.names[at])) if isinstance(at, slice) else NumericColumn(self.names[at])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, NumberedColumns):
            return self.names == other.names
        if isinstance(other, tuple | list):
            return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class TextColumn:
    """A column of text.

    Attributes
    ----------
    name : str
    categories : tuple of str
        Sorted by code point.
    had_missing : bool
        Whether the training rows had missing cells, which are then one more category, the last.
    """

    name: str
    categories: tuple[str, ...]
    had_missing: bool = False

    @property
    def width(self) -> int:
        """Number of columns in the matrix."""
        return len(self.categories) + self.had_missing


def fit_column(rows: Table, name: str) -> NumericColumn | TextColumn:
    """Learn a column from the training rows: the mean of its numbers, or the categories of its text."""
    kind = rows.kind(name)
    if kind == "text":
        return _fit_text(rows, name)
    values = rows.numbers(name) if kind == "numeric" else np.empty(0)
    present = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        mean = float(present.mean()) if present.size else math.nan
    return numeric_column(rows.source, name, mean, int(present.size), present.size < values.size, rows.forms.get(name))


def numeric_column(
    source: Source, name: str, mean: float, n_present: int, had_missing: bool, form: str | None
) -> NumericColumn:
    """A column of numbers; refused where no cell is present, or the mean is too large."""
    if not n_present:
        raise DataError(
            f"{source.name}: column {name!r} has no cell that is not missing; drop it ({drop_option(name)})"
        )
    if not math.isfinite(2 * mean):  # the imputer of `Encoder` is fitted on two rows and adds their means
        raise DataError(f"{source.name}: the numbers in column {name!r} are too large to average; scale them")
    return NumericColumn(name, mean, had_missing, form)


def _fit_text(rows: Table, name: str) -> TextColumn:
    """Learn the categories of a text column; warn of, or refuse, one that looks like numbers or an identifier."""
    categories = rows.texts(name)
    count = len(categories)
    odd_cell = rows.odd_cell_among_numbers(name)
    because = f" because of cells like {odd_cell[1][:40]!r} ({rows.source.at(odd_cell[0])})" if odd_cell else ""
    remedy = _remedy(odd_cell[1]) if odd_cell else ""
    alone = rows.count_unique_texts(name) if count > FEW_CATEGORIES and name not in rows.as_text else 0
    is_identifier = alone >= UNIQUE_SHARE * rows.n_rows
    if is_identifier and count > MANY_CATEGORIES:
        raise DataError(
            f"{rows.source.name}: column {name!r} is text{because} and has {count:,} different texts in "
            f"{rows.n_rows:,} rows, {alone:,} of them only once, like an identifier; drop it ({drop_option(name)})"
            f"{f'; {remedy}' if odd_cell else ''}"
        )
    if because:
        warnings.warn(
            f"{rows.source.name}: column {name!r} is text{because} and gets one column for each of its {count} "
            f"different texts; to have a column of numbers, {remedy}",
            UserWarning,
            stacklevel=2,
        )
    elif is_identifier:
        warnings.warn(
            f"{rows.source.name}: column {name!r} is text with a value of its own in {alone:,} of {rows.n_rows:,} "
            f"rows, like an identifier, and gets one column for each; if it is one, drop it ({drop_option(name)})",
            UserWarning,
            stacklevel=2,
        )
    return TextColumn(name, tuple(categories), rows.missing_row(name) is not None)


def _remedy(word: str) -> str:
    """The advice for a column of numbers in which a cell is the word ``word``."""
    is_missing = f"{missing_option(word)} if that stands for a missing cell"
    if not any(map(str.isdigit, word)):
        return is_missing
    return f"write all its cells alike, numbers plain and with a decimal point, dates as 2015-12-31; {is_missing}"


def column_to_json(column: NumericColumn | TextColumn) -> dict[str, Any]:
    """The column in the types of JSON."""
    if isinstance(column, NumericColumn):
        entry = {"name": column.name, "kind": "numeric", "mean": column.mean, "flagged": column.had_missing}
        return entry if column.form is None else {**entry, "form": column.form}
    return {"name": column.name, "kind": "text", "categories": column.categories, "flagged": column.had_missing}


def column_from_json(entry: dict[str, Any]) -> NumericColumn | TextColumn:
    """The column of an entry of `column_to_json`; ValueError, KeyError or TypeError for another entry."""
    name, had_missing = str(entry["name"]), bool(entry["flagged"])
    if entry["kind"] == "numeric":
        mean = entry["mean"]
        return NumericColumn(name, None if mean is None else float(mean), had_missing, check_form(entry.get("form")))
    if entry["kind"] != "text":
        raise ValueError(f"column {name!r} is of kind {entry['kind']!r}")
    return TextColumn(name, tuple(str(category) for category in entry["categories"]), had_missing)
