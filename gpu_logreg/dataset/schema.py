"""The schema: how the columns of a table become the columns of a matrix, stored with the model.

Numeric columns stay as they are; their missing cells are filled with the mean of the training rows, and a column that
had any gets an indicator. Text columns become one column for each category; a category that training did not see
gives zeros there. The columns of the matrix are, in this order: the numeric ones, the indicators, the categories.
scikit-learn's ``SimpleImputer`` and ``OneHotEncoder`` decide what goes where, a block of rows at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from gpu_logreg.cached_attribute import cached_attribute
from gpu_logreg.dataset.array_files import numbered_columns
from gpu_logreg.dataset.arrow_columns import as_float64
from gpu_logreg.dataset.column_names import drop_option, missing_columns
from gpu_logreg.dataset.columns import NumericColumn, TextColumn, column_from_json, column_to_json, fit_column
from gpu_logreg.dataset.reading import available_memory, gib
from gpu_logreg.dataset.table import Matrix, Table
from gpu_logreg.errors import DataError

__all__ = ["Schema"]

SCHEMA_VERSION = 2
"""Of 2 are schemas whose columns are only counted; others are written as of 1, which an older gpu-logreg reads."""


@dataclass(frozen=True)
class Schema:
    """Columns in the order of the training rows, and what is needed to turn new rows into a matrix.

    Attributes
    ----------
    columns : tuple of NumericColumn or TextColumn
    first_index : 0 or 1
        Index of the first feature where the training rows were LIBSVM text.
    """

    columns: tuple[NumericColumn | TextColumn, ...]
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
            If a text column looks like a numeric one with a word for missing cells.
        """
        if isinstance(rows, Matrix):
            return cls(tuple(NumericColumn(name) for name in rows.names), rows.first_index)
        return cls(tuple(fit_column(rows, name) for name in rows.names))

    @cached_attribute
    def names(self) -> tuple[str, ...]:
        """Names of the columns of a table."""
        return tuple(column.name for column in self.columns)

    @cached_attribute
    def numeric(self) -> tuple[NumericColumn, ...]:
        """The numeric columns."""
        return tuple(column for column in self.columns if isinstance(column, NumericColumn))

    @cached_attribute
    def text(self) -> tuple[TextColumn, ...]:
        """The text columns."""
        return tuple(column for column in self.columns if isinstance(column, TextColumn))

    @cached_attribute
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix: ``age``, ``age is missing``, ``sex=Male``, ``sex is missing``."""
        features = [column.name for column in self.numeric]
        features += [f"{column.name} is missing" for column in self.numeric if column.flagged]
        for column in self.text:
            features += [f"{column.name}={category}" for category in column.categories]
            features += [f"{column.name} is missing"] if column.flagged else []
        return tuple(features)

    @property
    def is_plain(self) -> bool:
        """Whether the matrix is the columns as they are: no text, no indicator."""
        return not self.text and not any(column.flagged for column in self.numeric)

    def check(self, rows: Table | Matrix) -> None:
        """Refuse rows whose columns are missing or of another kind than in training.

        Raises
        ------
        DataError
            The message names the columns, and the first cell that is not a number.
        """
        present = set(rows.names)
        missing = [name for name in self.names if name not in present]
        if missing:
            raise missing_columns(missing, rows.names, rows.source)
        for text in self.text:
            if isinstance(rows, Matrix) or rows.kind(text.name) == "numeric":
                raise DataError(f"{rows.source.name}: column {text.name!r} holds numbers, but held text in training")
        for numeric in self.numeric:
            if isinstance(rows, Table) and rows.kind(numeric.name) == "text":
                row, cell = rows.not_numbers(numeric.name) or (0, "text")
                raise DataError(
                    f"{rows.source.at(row)}: column {numeric.name!r} held numbers in training, not {cell[:40]!r}"
                )

    def transform(self, rows: Table | Matrix, dtype: Any = np.float64) -> Any:
        """Turn rows into the matrix of the model.

        Parameters
        ----------
        rows : Table or Matrix of n rows
            Columns are found by name; others are ignored.
        dtype : float32 or float64
            Dtype of the result. Rows that need no change are returned as they are, in their own dtype, without a copy.

        Returns
        -------
        array of shape (n, len(feature_names)), C-contiguous unless it is a part of an array in memory
            Or ``csr_array``, where the rows are one that needs no change.

        Raises
        ------
        DataError
            Columns missing or of another kind, a result larger than the memory available, or numbers too large for
            ``dtype``.
        """
        self.check(rows)
        rows = rows.take(self.names)
        if isinstance(rows, Matrix):
            if self.is_plain:
                return rows.values
            rows = rows.to_table()
        out = self._allocate(rows, np.dtype(dtype))
        lookups = {text.name: _places(text, rows) for text in self.text}
        start = 0
        for batch in rows.batches():
            block = out[start : start + batch.num_rows]
            with np.errstate(over="ignore"):  # looked for below, where the column can be named
                self._fill_numbers(block, batch, rows, start)
            self._fill_categories(block, batch, lookups)
            self._refuse_overflow(block, rows, start)
            start += batch.num_rows
        return out

    def to_json(self) -> str:
        """The schema as JSON text: of the columns of an array or LIBSVM text, which may be millions, their number."""
        held: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "first_index": self.first_index}
        if self.columns == _numbered(len(self.columns)):
            held["columns"] = len(self.columns)
        else:
            held |= {"schema_version": 1, "columns": [column_to_json(column) for column in self.columns]}
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
            columns = () if newer else _columns(held["columns"])
            first_index = int(held["first_index"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"not a schema of gpu-logreg ({type(error).__name__}: {error})") from error
        if newer:
            raise DataError("the schema was written by a newer gpu-logreg; upgrade gpu-logreg to read it")
        return cls(columns, first_index)

    @cached_attribute
    def _imputer(self) -> SimpleImputer | None:
        """An imputer with the stored means: fitted on two rows, the means and, where a column is flagged, NaN."""
        if not self.numeric or any(column.mean is None for column in self.numeric):
            return None
        means = np.array([column.mean for column in self.numeric], dtype=np.float64)
        flagged = np.array([column.flagged for column in self.numeric])
        imputer = SimpleImputer(strategy="mean", add_indicator=True).set_output(transform="default")
        return imputer.fit(np.stack([means, np.where(flagged, np.nan, means)]))

    def _fill_numbers(self, block: NDArray[Any], batch: Any, rows: Table, start: int) -> None:
        """Write numeric columns and indicators into the first columns of ``block``."""
        if not self.numeric:
            return
        values = np.empty((batch.num_rows, len(self.numeric)))
        for at, column in enumerate(self.numeric):
            values[:, at] = as_float64(batch.column(column.name))
        if self._imputer is not None:
            values = self._imputer.transform(values)
        elif np.isnan(values).any():
            row, at = np.argwhere(np.isnan(values))[0]
            raise DataError(
                f"{rows.source.at(start + int(row))}: the cell of column {self.numeric[at].name!r} is missing, and the "
                "model was trained on an array, which has no missing cells; fill it in"
            )
        block[:, : values.shape[1]] = values

    def _fill_categories(self, block: NDArray[Any], batch: Any, lookups: Mapping[str, NDArray[np.intp]]) -> None:
        """Write the categories of the text columns into the last columns of ``block``."""
        start = len(self.feature_names) - sum(text.width for text in self.text)
        block[:, start:] = 0
        for text in self.text:
            places = lookups[text.name][_codes(batch.column(text.name))]
            known = np.flatnonzero(places >= 0)
            block[known, start + places[known]] = 1
            start += text.width

    def _allocate(self, rows: Table, dtype: np.dtype[Any]) -> NDArray[Any]:
        n, width, available = rows.n_rows, len(self.feature_names), available_memory()
        nbytes = n * width * dtype.itemsize
        if nbytes <= available:
            return np.empty((n, width), dtype=dtype)
        widest = max(self.text, key=lambda text: text.width, default=None)
        remedy = "use fewer rows or columns, or float32"
        if widest is not None and 2 * widest.width > width:
            remedy = (
                f"most of it is text column {widest.name!r} with {widest.width} categories: {drop_option(widest.name)}"
            )
        raise DataError(
            f"{rows.source.name}: takes {gib(nbytes)} as a {dtype} matrix of {n} x {width}, "
            f"and {gib(available)} of memory are available; {remedy}"
        )

    def _refuse_overflow(self, block: NDArray[Any], rows: Table, start: int) -> None:
        finite = np.isfinite(block)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise DataError(
                f"{rows.source.at(start + int(row))}: the number in column {self.feature_names[column]!r} is too large "
                f"for {block.dtype}; scale the column or use float64"
            )


def _numbered(count: int) -> tuple[NumericColumn, ...]:
    """The columns of an array."""
    return tuple(NumericColumn(name) for name in numbered_columns(count))


def _columns(held: Any) -> tuple[NumericColumn | TextColumn, ...]:
    return _numbered(held) if isinstance(held, int) else tuple(column_from_json(column) for column in held)


def _places(text: TextColumn, rows: Table) -> NDArray[np.intp]:
    """For each category of the column in ``rows``, and last for a missing cell: its place among the model's, or -1."""
    categories = np.array([*text.categories, *([None] if text.flagged else [])], dtype=object)
    encoder = OneHotEncoder(categories=[categories], handle_unknown="ignore").set_output(transform="default")
    encoder.fit(categories[:1, None])
    texts = rows.texts(text.name) if rows.kind(text.name) == "text" else []
    # A row for each category, not for each row of the table; sparse, as the dense square of 20,000 takes 3 GiB.
    hot = encoder.transform(np.array([*texts, None], dtype=object)[:, None])
    places = np.full(len(texts) + 1, -1, dtype=np.intp)
    places[np.diff(hot.indptr) == 1] = hot.indices
    return places


def _codes(column: Any) -> NDArray[np.intp]:
    """Category of each row in its table, -1 where the cell is missing (which indexes the last of `_places`)."""
    if not hasattr(column, "indices"):  # a column without any cell
        return np.full(len(column), -1, dtype=np.intp)
    return np.asarray(column.indices.fill_null(-1), dtype=np.intp)
