"""A schema from pieces of a table that nobody sees as a whole: what each tells of its columns, put together."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import drop_option, missing_option, text_option
from gpu_logreg.files.columns import FEW_CATEGORIES, MANY_CATEGORIES, UNIQUE_SHARE, NumericColumn, TextColumn
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.table import Kind, Table

__all__ = ["ColumnLook", "look_at_columns", "schema_of_looks"]


class ColumnLook(NamedTuple):
    """What a piece tells of a column.

    Attributes
    ----------
    kind : "numeric", "text" or "empty"
    n_rows, n_present : int
    total : float
        Sum of the numbers.
    form : str or None
        Of the numbers; see `NumericColumn`.
    texts : dict of str to int
        How often each text occurs.
    example : str
        A text that is no number.
    as_text : bool
        Whether the user declared it to be text.
    """

    kind: Kind
    n_rows: int
    n_present: int = 0
    total: float = 0.0
    form: str | None = None
    texts: Mapping[str, int] = {}
    example: str = ""
    as_text: bool = False


def look_at_columns(table: Table) -> dict[str, ColumnLook]:
    """What a piece tells of each of its columns."""
    return {name: _look(table, name) for name in table.names}


def _look(table: Table, name: str) -> ColumnLook:
    kind, n = table.kind(name), table.n_rows
    if kind == "numeric":
        values = table.numbers(name)
        present = values[~np.isnan(values)]
        with np.errstate(over="ignore"):
            return ColumnLook(kind, n, present.size, float(present.sum()), table.forms.get(name))
    if kind == "empty":
        return ColumnLook(kind, n)
    encoded = table.arrow.column(name).combine_chunks()
    codes = encoded.indices.drop_null().to_numpy()
    counts = np.bincount(codes, minlength=len(encoded.dictionary)).tolist()
    texts = dict(zip(encoded.dictionary.to_pylist(), counts, strict=True))
    example = (table.first_no_number(name) or (0, ""))[1]
    return ColumnLook(kind, n, len(codes), 0.0, None, texts, example, name in table.as_text)


def schema_of_looks(looks: Sequence[Mapping[str, ColumnLook]], places: Sequence[str], name: str) -> Schema:
    """The schema of all pieces, as `Schema.fit` has it for a table.

    Parameters
    ----------
    looks : sequence of dict
        Of every piece, from `look_at_columns`.
    places : sequence of str
        Their names, for messages.
    name : str
        Of the whole.

    Raises
    ------
    DataError
        A piece lacks a column of the first; one that is text in one piece and numbers, or numbers of another form, in
        another; one that has no cell, or is an identifier.
    """
    columns: list[NumericColumn | TextColumn] = []
    for column in looks[0]:
        for k, look in enumerate(looks):
            if column not in look:
                raise DataError(f"{places[k]}: has no column {column!r}, which {places[0]} has")
        found = [look[column] for look in looks]
        _refuse_unlike(column, found, places)
        if any(one.kind == "text" for one in found):
            columns.append(_text(column, found, name))
        else:
            columns.append(_numbers(column, found, name))
    return Schema(tuple(columns))


def _refuse_unlike(column: str, found: Sequence[ColumnLook], places: Sequence[str]) -> None:
    filled = [k for k, one in enumerate(found) if one.kind != "empty"]
    for k in filled[1:]:
        first, other = found[filled[0]], found[k]
        text, numbers = (k, filled[0]) if other.kind == "text" else (filled[0], k)
        if first.kind != other.kind:
            word = found[text].example
            raise DataError(
                f"{places[text]}: column {column!r} holds text, {word[:40]!r}, and numbers in {places[numbers]}; "
                f"{missing_option(word)} if that is a missing cell, {text_option(column)} if the column is text"
            )
        if first.form != other.form:
            raise DataError(
                f"{places[k]}: column {column!r} holds numbers of another form ({other.form or 'plain'}) than in "
                f"{places[filled[0]]} ({first.form or 'plain'}); write all alike, or drop it ({drop_option(column)})"
            )


def _numbers(column: str, found: Sequence[ColumnLook], name: str) -> NumericColumn:
    n_present = sum(one.n_present for one in found)
    if n_present == 0:
        raise DataError(f"{name}: column {column!r} has no cell that is not missing; drop it ({drop_option(column)})")
    mean = sum(one.total for one in found) / n_present
    if not math.isfinite(2 * mean):  # as `gpu_logreg.files.columns.fit_column`
        raise DataError(f"{name}: the numbers in column {column!r} are too large to average; scale them")
    form = next(one.form for one in found if one.kind == "numeric")
    return NumericColumn(column, mean, n_present < sum(one.n_rows for one in found), form)


def _text(column: str, found: Sequence[ColumnLook], name: str) -> TextColumn:
    texts: Counter[str] = Counter()
    for one in found:
        texts.update(one.texts)
    n_rows = sum(one.n_rows for one in found)
    alone = sum(count == 1 for count in texts.values())
    if len(texts) > FEW_CATEGORIES and alone >= UNIQUE_SHARE * n_rows and not any(one.as_text for one in found):
        told = (
            f"{name}: column {column!r} is text with a value of its own in {alone:,} of {n_rows:,} rows, like an "
            f"identifier"
        )
        if len(texts) > MANY_CATEGORIES:
            raise DataError(f"{told}; drop it ({drop_option(column)})")
        warnings.warn(
            f"{told}, and gets one column for each; if it is one, drop it ({drop_option(column)})",
            UserWarning,
            stacklevel=2,
        )
    return TextColumn(column, tuple(sorted(texts)), sum(one.n_present for one in found) < n_rows)
