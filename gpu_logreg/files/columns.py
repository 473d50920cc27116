"""What is known of one column of the training rows, and how it is learned."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import drop_option, missing_option
from gpu_logreg.files.number_forms import checked_form
from gpu_logreg.files.numbered import NumberedNames
from gpu_logreg.files.table import Table

__all__ = ["NumberedColumns", "NumericColumn", "TextColumn", "column_from_json", "column_to_json", "fit_column"]

# A text column where this share of the rows has a value of its own is an identifier or free text: a category seen once
# teaches nothing about new rows. With more categories than this it is refused, with fewer it is told of.
_MANY_CATEGORIES = 1000
_MANY_OF_ROWS = 0.5
_SUSPECT_CATEGORIES = 20


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str
    mean : float or None
        Mean of the training rows, for missing cells; None where the rows came from an array, which has none.
    flagged : bool
        Whether the training rows had missing cells, so that an indicator column follows.
    form : str or None
        What the numbers are, where they are not plain; see `gpu_logreg.files.number_forms.FORMS`.
    """

    name: str
    mean: float | None = None
    flagged: bool = False
    form: str | None = None


class NumberedColumns(Sequence[NumericColumn]):
    """The columns of an array, by their names: a sequence of `NumericColumn` that are made when they are asked for.

    It equals a tuple or a list of the same columns.

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
    flagged : bool
        Whether the training rows had missing cells, which are then a category of their own, the last.
    """

    name: str
    categories: tuple[str, ...]
    flagged: bool = False

    @property
    def width(self) -> int:
        """Number of columns in the matrix."""
        return len(self.categories) + self.flagged


def fit_column(rows: Table, name: str) -> NumericColumn | TextColumn:
    """Learn a column of the training rows: the mean of the numbers, or the categories of the text."""
    kind = rows.kind(name)
    if kind == "text":
        return _fit_text(rows, name)
    values = rows.numbers(name) if kind == "numeric" else np.empty(0)
    present = values[~np.isnan(values)]
    if present.size == 0:
        raise DataError(
            f"{rows.source.name}: column {name!r} has no cell that is not missing; drop it ({drop_option(name)})"
        )
    with np.errstate(over="ignore"):
        mean = float(present.mean())
    if not math.isfinite(2 * mean):  # the imputer adds two of them
        raise DataError(f"{rows.source.name}: the numbers in column {name!r} are too large to average; scale them")
    return NumericColumn(name, mean, present.size < values.size, rows.forms.get(name))


def _fit_text(rows: Table, name: str) -> TextColumn:
    categories = rows.texts(name)
    count = len(categories)
    odd = rows.spoilt_numbers(name)
    because = f" because of cells like {odd[1][:40]!r} ({rows.source.at(odd[0])})" if odd else ""
    remedy = _remedy(odd[1]) if odd else ""
    alone = rows.texts_alone(name) if count > _SUSPECT_CATEGORIES and name not in rows.as_text else 0
    is_identifier = alone >= _MANY_OF_ROWS * rows.n_rows
    if is_identifier and count > _MANY_CATEGORIES:
        raise DataError(
            f"{rows.source.name}: column {name!r} is text{because} and has {count:,} different texts in "
            f"{rows.n_rows:,} rows, {alone:,} of them only once, like an identifier; drop it ({drop_option(name)})"
            f"{f'; {remedy}' if odd else ''}"
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
    """What to do about a word among numbers."""
    is_missing = f"{missing_option(word)} if that stands for a missing cell"
    if not any(map(str.isdigit, word)):
        return is_missing
    return f"write all its cells alike, numbers plain and with a decimal point, dates as 2015-12-31; {is_missing}"


def column_to_json(column: NumericColumn | TextColumn) -> dict[str, Any]:
    """The column in the types of JSON."""
    if isinstance(column, NumericColumn):
        held = {"name": column.name, "kind": "numeric", "mean": column.mean, "flagged": column.flagged}
        return held if column.form is None else {**held, "form": column.form}
    return {"name": column.name, "kind": "text", "categories": column.categories, "flagged": column.flagged}


def column_from_json(held: dict[str, Any]) -> NumericColumn | TextColumn:
    """The column that `column_to_json` gave; ValueError, KeyError or TypeError where ``held`` is none."""
    name, flagged = str(held["name"]), bool(held["flagged"])
    if held["kind"] == "numeric":
        mean = held["mean"]
        return NumericColumn(name, None if mean is None else float(mean), flagged, checked_form(held.get("form")))
    if held["kind"] != "text":
        raise ValueError(f"column {name!r} is of kind {held['kind']!r}")
    return TextColumn(name, tuple(str(category) for category in held["categories"]), flagged)
