"""The schema: how the columns of a table become the columns of a matrix, stored with the model.

Numeric columns keep their values; a missing cell becomes the mean of the training rows, and a column that had missing
cells in training gets an indicator column. A text column becomes one column for each category of the training rows; a
cell of another category is zero in all of them. The columns of the matrix are, in this order: the numeric ones, the
indicators, the categories.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import numbers_as_text
from gpu_logreg.files.column_names import missing_columns
from gpu_logreg.files.columns import (
    NumberedColumns,
    NumericColumn,
    TextColumn,
    column_from_json,
    column_to_json,
    fit_column,
)
from gpu_logreg.files.encoding import Encoder
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.numbered import NumberedNames, missing_names, numbered_columns
from gpu_logreg.files.table import Table

__all__ = ["Schema"]

SCHEMA_VERSION = 3
"""Highest version of the JSON form that this gpu-logreg reads.

A schema is written in the lowest version that can hold it, so that an older gpu-logreg reads it if it can: 1 lists the
columns; 2 gives the number of columns of an array; 3 gives the number and those that are left out.
"""


@dataclass(frozen=True)
class Schema:
    """The columns of the training rows, in their order, with what is needed to encode new rows as a matrix.

    Attributes
    ----------
    columns : sequence of NumericColumn or TextColumn
        A tuple; a `NumberedColumns` for an array or LIBSVM text.
    first_index : 0 or 1
        Index of the first feature in LIBSVM text; 0 for other rows.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from gpu_logreg.files.load import as_table
    >>> schema = Schema.fit(as_table(pa.table({"age": [31, None, 47], "town": ["Bern", "Rome", "Bern"]})))
    >>> schema.feature_names
    ('age', 'age is missing', 'town=Bern', 'town=Rome')
    >>> schema.transform(as_table(pa.table({"age": [25, None], "town": ["Rome", "Oslo"]})))
    array([[25.,  0.,  0.,  1.],
           [39.,  1.,  0.,  0.]])
    """

    columns: Sequence[NumericColumn | TextColumn]
    first_index: int = 0

    @classmethod
    def fit(cls, rows: Table | Matrix) -> Schema:
        """Learn the schema from training rows.

        Raises
        ------
        DataError
            A column has no cell, or is text with nearly as many categories as rows; the message names it.

        Warns
        -----
        UserWarning
            If a text column looks like a numeric one with a word for missing cells, or like an identifier.
        """
        if isinstance(rows, Matrix):
            return cls(_of_array(rows.names), rows.first_index)
        return cls(tuple(fit_column(rows, name) for name in rows.names))

    @cached_attribute
    def names(self) -> Sequence[str]:
        """Names of the columns of a table."""
        if isinstance(self.columns, NumberedColumns):
            return self.columns.names
        return tuple(column.name for column in self.columns)

    @cached_attribute
    def numeric(self) -> Sequence[NumericColumn]:
        """The numeric columns."""
        if isinstance(self.columns, NumberedColumns):
            return self.columns
        return tuple(column for column in self.columns if isinstance(column, NumericColumn))

    @cached_attribute
    def text(self) -> tuple[TextColumn, ...]:
        """The text columns."""
        if isinstance(self.columns, NumberedColumns):
            return ()
        return tuple(column for column in self.columns if isinstance(column, TextColumn))

    @cached_attribute
    def feature_names(self) -> Sequence[str]:
        """Names of the columns of the matrix: ``age``, ``age is missing``, ``sex=Male``, ``sex is missing``."""
        if isinstance(self.columns, NumberedColumns):
            return self.names
        features = [column.name for column in self.numeric]
        features += [f"{column.name} is missing" for column in self.numeric if column.had_missing]
        for column in self.text:
            features += [f"{column.name}={category}" for category in column.categories]
            features += [f"{column.name} is missing"] if column.had_missing else []
        return tuple(features)

    @cached_attribute
    def array_width(self) -> int:
        """Number of columns that an array or LIBSVM text must have for the model.

        One more than the last number where all columns are named ``c<number>``, else the number of columns.
        """
        if isinstance(self.columns, NumberedColumns):
            return self.columns.names.width
        numbers = [name[1:] for name in self.names if name[:1] == "c" and name[1:].isdecimal()]
        return max(map(int, numbers)) + 1 if len(numbers) == len(self.names) else len(self.names)

    @property
    def is_plain(self) -> bool:
        """Whether the matrix has the same columns as the table: no text, no indicator."""
        is_numbered = isinstance(self.columns, NumberedColumns)
        return is_numbered or not (self.text or any(column.had_missing for column in self.numeric))

    def check(self, rows: Table | Matrix) -> None:
        """Refuse rows in which columns are missing, or hold text where training had numbers.

        Raises
        ------
        DataError
            The message names the columns, or the first cell that is no number.
        """
        missing = missing_names(self.names, rows.names)
        if missing:
            raise missing_columns(missing, rows.names, rows.source)
        if isinstance(rows, Matrix):
            return
        for numeric in self.numeric:
            if rows.kind(numeric.name) == "text":
                row, cell = rows.first_no_number(numeric.name) or (0, "text")
                raise DataError(
                    f"{rows.source.at(row)}: column {numeric.name!r} held numbers in training, not {cell[:40]!r}"
                )

    def transform(
        self, rows: Table | Matrix, dtype: DTypeLike = np.float64, *, dense: bool = False
    ) -> NDArray[Any] | sparse.csr_array:
        """Encode rows as the matrix of the model.

        A number in a column that held text in training counts as the text that writes it: a category, most likely one
        that training did not see.

        Parameters
        ----------
        rows : Table or Matrix of n rows
            Columns are found by name; others are ignored.
        dtype : float32 or float64
            Dtype of the result. Rows of an array that need no change are returned without a copy, in their own dtype.
        dense : bool
            Whether text is encoded dense whatever the number of categories, as a GPU needs it.

        Returns
        -------
        array of shape (n, len(feature_names)), C-contiguous unless it is a part of an array in memory
            Or a ``csr_array``, where the rows are one already, or text has so many categories that it is much smaller.

        Raises
        ------
        DataError
            Columns are missing or of another kind, the result is larger than the available memory, or a number is too
            large for ``dtype``.
        """
        self.check(rows)
        rows = rows.take(self.names)
        if isinstance(rows, Matrix) and self.is_plain:
            return rows.values
        return self.encoder.encode(self.to_table(rows), np.dtype(dtype), dense)

    def to_table(self, rows: Table | Matrix) -> Table:
        """The rows as a table, in which columns that held text in training hold text: numbers are written out."""
        table = rows.to_table() if isinstance(rows, Matrix) else rows
        for text in self.text:
            if table.kind(text.name) == "numeric":
                at = table.names.index(text.name)
                column = numbers_as_text(table.arrow.column(text.name))
                table = replace(table, arrow=table.arrow.set_column(at, text.name, column))
        return table

    def to_json(self) -> str:
        """The schema as JSON text. Of the columns of an array, which may be millions, it gives the number alone."""
        entries: dict[str, Any] = {"schema_version": 1, "first_index": self.first_index}
        array_columns = self.columns if isinstance(self.columns, NumberedColumns) else _as_numbered(self.columns)
        if array_columns is None:
            entries["columns"] = [column_to_json(column) for column in self.columns]
        else:
            left_out = array_columns.names.gaps()
            entries |= {"schema_version": 3 if left_out else 2, "columns": array_columns.names.width}
            entries |= {"left_out": left_out} if left_out else {}
        return json.dumps(entries, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema that `to_json` wrote.

        Raises
        ------
        DataError
            If ``text`` is no schema, or is one of a newer version.
        """
        try:
            entries = json.loads(text)
            newer = int(entries["schema_version"]) > SCHEMA_VERSION
            columns = () if newer else _columns(entries["columns"], entries.get("left_out", []))
            first_index = int(entries["first_index"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a schema of gpu-logreg ({type(error).__name__}: {error})") from error
        if newer:
            raise DataError("the schema was written by a newer gpu-logreg; upgrade gpu-logreg to read it")
        return cls(columns, first_index)

    @cached_attribute
    def encoder(self) -> Encoder:
        """What encodes tables by this schema."""
        return Encoder(self.numeric, self.text)


def _of_array(names: Sequence[str]) -> Sequence[NumericColumn]:
    """The columns of an array."""
    return NumberedColumns(names) if isinstance(names, NumberedNames) else tuple(map(NumericColumn, names))


def _as_numbered(columns: Sequence[NumericColumn | TextColumn]) -> NumberedColumns | None:
    """The columns as a `NumberedColumns`, if they are plain numbers named ``c0``, ``c1``, ...; else None."""
    array_columns = NumberedColumns(numbered_columns(len(columns)))
    return array_columns if len(columns) and array_columns == columns else None


def _columns(entry: Any, left_out: list[int]) -> Sequence[NumericColumn | TextColumn]:
    if not isinstance(entry, int):
        return tuple(column_from_json(column) for column in entry)
    if isinstance(entry, bool) or not 0 <= entry < 2**31:
        raise ValueError(f"{entry!r} columns")
    names = numbered_columns(entry)
    return NumberedColumns(names.without([f"c{int(number)}" for number in left_out]))
