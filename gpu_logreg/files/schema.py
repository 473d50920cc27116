"""The schema: how the columns of a table become the columns of a matrix, stored with the model.

Numeric columns stay as they are; their missing cells are filled with the mean of the training rows, and a column that
had any gets an indicator. Text columns become one column for each category; a category that training did not see
gives zeros there. The columns of the matrix are, in this order: the numeric ones, the indicators, the categories.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

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
"""Of 2 are schemas whose columns are only counted, of 3 those that leave out some of these; others are written as of 1,
which an older gpu-logreg reads.
"""


@dataclass(frozen=True)
class Schema:
    """Columns in the order of the training rows, and what is needed to turn new rows into a matrix.

    Attributes
    ----------
    columns : sequence of NumericColumn or TextColumn
        A tuple, or of an array or LIBSVM text a `NumberedColumns`.
    first_index : 0 or 1
        Index of the first feature where the training rows were LIBSVM text.
    """

    columns: Sequence[NumericColumn | TextColumn]
    first_index: int = 0

    @classmethod
    def fit(cls, rows: Table | Matrix) -> Schema:
        """Learn the schema of training rows.

        Raises
        ------
        DataError
            A column without any cell, or text with nearly as many categories as rows; the message names it.

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
        features += [f"{column.name} is missing" for column in self.numeric if column.flagged]
        for column in self.text:
            features += [f"{column.name}={category}" for category in column.categories]
            features += [f"{column.name} is missing"] if column.flagged else []
        return tuple(features)

    @cached_attribute
    def array_width(self) -> int:
        """Columns that an array or LIBSVM text must have for the model: to the last of those numbered, or as many."""
        if isinstance(self.columns, NumberedColumns):
            return self.columns.names.width
        numbers = [name[1:] for name in self.names if name[:1] == "c" and name[1:].isdecimal()]
        return max(map(int, numbers)) + 1 if len(numbers) == len(self.names) else len(self.names)

    @property
    def is_plain(self) -> bool:
        """Whether the matrix is the columns as they are: no text, no indicator."""
        counted = isinstance(self.columns, NumberedColumns)
        return counted or not (self.text or any(column.flagged for column in self.numeric))

    def check(self, rows: Table | Matrix) -> None:
        """Refuse rows whose columns are missing or of another kind than in training.

        Raises
        ------
        DataError
            The message names the columns, and the first cell that is not a number.
        """
        missing = missing_names(self.names, rows.names)
        if missing:
            raise missing_columns(missing, rows.names, rows.source)
        if isinstance(rows, Matrix):
            return
        for numeric in self.numeric:
            if rows.kind(numeric.name) == "text":
                row, cell = rows.not_numbers(numeric.name) or (0, "text")
                raise DataError(
                    f"{rows.source.at(row)}: column {numeric.name!r} held numbers in training, not {cell[:40]!r}"
                )

    def transform(self, rows: Table | Matrix, dtype: Any = np.float64, *, dense: bool = False) -> Any:
        """Turn rows into the matrix of the model.

        Numbers in a column that held text in training are taken as text, as they are written: each is a category, most
        likely one that training did not see.

        Parameters
        ----------
        rows : Table or Matrix of n rows
            Columns are found by name; others are ignored.
        dtype : float32 or float64
            Dtype of the result. Rows that need no change are returned as they are, in their own dtype, without a copy.
        dense : bool
            Whether text is encoded dense however many categories it has, as it must be on a GPU.

        Returns
        -------
        array of shape (n, len(feature_names)), C-contiguous unless it is a part of an array in memory
            Or ``csr_array``, where the rows are one that needs no change, or text has so many categories that it is
            much smaller.

        Raises
        ------
        DataError
            Columns missing or of another kind, a result larger than the memory available, or numbers too large for
            ``dtype``.
        """
        self.check(rows)
        rows = rows.take(self.names)
        if isinstance(rows, Matrix) and self.is_plain:
            return rows.values
        return self._encoder.encode(self.to_table(rows), np.dtype(dtype), dense)

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
        """The schema as JSON text: of the columns of an array or LIBSVM text, which may be millions, their number."""
        held: dict[str, Any] = {"schema_version": 1, "first_index": self.first_index}
        counted = self.columns if isinstance(self.columns, NumberedColumns) else _counted(self.columns)
        if counted is None:
            held["columns"] = [column_to_json(column) for column in self.columns]
        else:
            left_out = counted.names.gaps()
            held |= {"schema_version": 3 if left_out else 2, "columns": counted.names.width}
            held |= {"left_out": left_out} if left_out else {}
        return json.dumps(held, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema that `to_json` wrote.

        Raises
        ------
        DataError
            If ``text`` is not a schema, or is one of a newer version.
        """
        try:
            held = json.loads(text)
            newer = int(held["schema_version"]) > SCHEMA_VERSION
            columns = () if newer else _columns(held["columns"], held.get("left_out", []))
            first_index = int(held["first_index"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a schema of gpu-logreg ({type(error).__name__}: {error})") from error
        if newer:
            raise DataError("the schema was written by a newer gpu-logreg; upgrade gpu-logreg to read it")
        return cls(columns, first_index)

    @cached_attribute
    def _encoder(self) -> Encoder:
        return Encoder(self.numeric, self.text)


def _of_array(names: Sequence[str]) -> Sequence[NumericColumn]:
    """The columns of an array."""
    return NumberedColumns(names) if isinstance(names, NumberedNames) else tuple(map(NumericColumn, names))


def _counted(columns: Sequence[NumericColumn | TextColumn]) -> NumberedColumns | None:
    """The same columns, if they are those of an array, only counted."""
    counted = NumberedColumns(numbered_columns(len(columns)))
    return counted if len(columns) and counted == columns else None


def _columns(held: Any, left_out: list[int]) -> Sequence[NumericColumn | TextColumn]:
    if not isinstance(held, int):
        return tuple(column_from_json(column) for column in held)
    if isinstance(held, bool) or not 0 <= held < 2**31:
        raise ValueError(f"{held!r} columns")
    names = numbered_columns(held)
    return NumberedColumns(names.without([f"c{int(number)}" for number in left_out]))
