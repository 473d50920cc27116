"""The numbers of a table's rows, a block at a time: a dense matrix, or a sparse one where rows have few of its columns.

The columns are, in this order: the numeric ones, the indicators of their missing cells, the categories of the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.impute import SimpleImputer

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import as_float64
from gpu_logreg.files.column_names import drop_option
from gpu_logreg.files.columns import NumericColumn, TextColumn
from gpu_logreg.files.reading import available_memory, gib, import_pyarrow
from gpu_logreg.files.table import Table

__all__ = ["Encoder", "category_counts", "category_places"]

SPARSE_WIDTH = 256
SPARSE_SHARE = 1 / 16
"""Columns from which rows are sparse, where at most this share of them is stored in a row.

Sparse rows then take a tenth of the memory of dense ones or less. Narrower ones are dense: the dense passes walk them
faster than they are worth, and on a GPU too.
"""

_SPARSE_IF_NEEDED = 0.25
"""Share stored up to which rows are sparse where memory does not suffice for dense ones."""


@dataclass(frozen=True)
class Encoder:
    """What turns the columns of a table into a matrix of ``width`` columns.

    Attributes
    ----------
    numeric : sequence of NumericColumn
    text : sequence of TextColumn
    """

    numeric: Sequence[NumericColumn]
    text: Sequence[TextColumn]

    @cached_attribute
    def flagged(self) -> NDArray[np.intp]:
        """Numbers of the numeric columns that have an indicator."""
        return np.array([at for at, column in enumerate(self.numeric) if column.flagged], dtype=np.intp)

    @cached_attribute
    def width(self) -> int:
        """Columns of the matrix."""
        return len(self.numeric) + len(self.flagged) + sum(text.width for text in self.text)

    @property
    def stored(self) -> int:
        """Elements that a sparse row stores at most, its indicators apart."""
        return len(self.numeric) + len(self.text)

    def encode(self, rows: Table, dtype: np.dtype[Any], dense: bool) -> Any:
        """The matrix of ``rows``, a ``csr_array`` where that is much smaller and ``dense`` is not asked for.

        Raises
        ------
        DataError
            A matrix larger than the memory available, or numbers too large for ``dtype``.
        """
        n, available = rows.n_rows, available_memory()
        nbytes, share = n * self.width * dtype.itemsize, self.stored / self.width
        if not dense:
            narrow = self.width < SPARSE_WIDTH or share > SPARSE_SHARE
            if not narrow or (nbytes > available and share <= _SPARSE_IF_NEEDED):
                return self._sparse(rows, dtype)
        if nbytes > available:
            raise DataError(
                f"{rows.source.name}: takes {gib(nbytes)} as a {dtype} matrix of {n} x {self.width}, and "
                f"{gib(available)} of memory are available; {self._remedy(share <= _SPARSE_IF_NEEDED)}"
            )
        return self._dense(rows, dtype)

    def _remedy(self, sparse_would_do: bool) -> str:
        if sparse_would_do:
            return "without --device cuda, --impl cuda and --storage it is encoded sparse"
        widest = max(self.text, key=lambda text: text.width, default=None)
        if widest is None or 2 * widest.width <= self.width:
            return "use fewer rows or columns, or float32"
        return f"most of it is text column {widest.name!r} with {widest.width} categories: {drop_option(widest.name)}"

    def _dense(self, rows: Table, dtype: np.dtype[Any]) -> NDArray[Any]:
        out = np.empty((rows.n_rows, self.width), dtype=dtype)
        start = 0
        for numbers, categories in self._blocks(rows, dtype):
            block = out[start : start + len(numbers)]
            block[:, : numbers.shape[1]] = numbers
            block[:, numbers.shape[1] :] = 0
            for places in categories:
                known = np.flatnonzero(places >= 0)
                block[known, places[known]] = 1
            start += len(block)
        return out

    def _sparse(self, rows: Table, dtype: np.dtype[Any]) -> Any:
        """Numbers are stored even where they are zero, indicators and categories only where they are one."""
        n, m = rows.n_rows, len(self.numeric)
        most = n * (self.stored + len(self.flagged))
        index = np.dtype(np.int32 if max(most, self.width) <= np.iinfo(np.int32).max else np.int64)
        nbytes, available = n * self.stored * (dtype.itemsize + index.itemsize), available_memory()
        if 2 * nbytes > available:  # the blocks, and then the whole
            raise DataError(
                f"{rows.source.name}: takes {gib(2 * nbytes)} to encode as sparse {dtype} rows, and {gib(available)} "
                "of memory are available; use fewer rows or columns, or float32"
            )
        data, indices, counts = [], [], [np.zeros(1, dtype=index)]
        for numbers, categories in self._blocks(rows, dtype):
            at = np.empty((len(numbers), numbers.shape[1] + len(categories)), dtype=index)
            at[:, : numbers.shape[1]] = np.arange(numbers.shape[1])
            at[:, m : numbers.shape[1]][numbers[:, m:] == 0] = -1
            for column, places in enumerate(categories, start=numbers.shape[1]):
                at[:, column] = places
            values = np.ones(at.shape, dtype=dtype)
            values[:, : numbers.shape[1]] = numbers
            stored = at >= 0
            data.append(values[stored])
            indices.append(at[stored])
            counts.append(stored.sum(axis=1, dtype=index))
        starts = np.cumsum(np.concatenate(counts), dtype=index)
        return sparse.csr_array((np.concatenate(data), np.concatenate(indices), starts), shape=(n, self.width))

    def _blocks(self, rows: Table, dtype: np.dtype[Any]) -> Iterator[tuple[NDArray[Any], list[NDArray[np.intp]]]]:
        """Numbers with indicators, and for each text column the column that is one in each row, or -1."""
        lookups, first = [], len(self.numeric) + len(self.flagged)
        for text in self.text:
            places = category_places(text, rows)
            lookups.append(np.where(places >= 0, places + first, -1))
            first += text.width
        start = 0
        for batch in rows.batches():
            numbers = self._numbers(batch, rows, start, dtype)
            yield (
                numbers,
                [lookup[_codes(batch.column(text.name))] for text, lookup in zip(self.text, lookups, strict=True)],
            )
            start += batch.num_rows

    def _numbers(self, batch: Any, rows: Table, start: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The numeric columns of a block, with their indicators."""
        values = np.empty((batch.num_rows, len(self.numeric)))
        if not self.numeric:
            return values.astype(dtype)
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
        with np.errstate(over="ignore"):  # looked for here, where the column can be named
            values = values.astype(dtype, copy=False)
        finite = np.isfinite(values)
        if not finite.all():
            row, at = np.argwhere(~finite)[0]
            raise DataError(
                f"{rows.source.at(start + int(row))}: the number in column {self.numeric[at].name!r} is too large "
                f"for {dtype}; scale the column or use float64"
            )
        return values

    @cached_attribute
    def _imputer(self) -> SimpleImputer | None:
        """An imputer with the stored means: fitted on two rows, the means and, where a column is flagged, NaN."""
        if not self.numeric or any(column.mean is None for column in self.numeric):
            return None
        means = np.array([column.mean for column in self.numeric], dtype=np.float64)
        flagged = np.array([column.flagged for column in self.numeric])
        imputer = SimpleImputer(strategy="mean", add_indicator=True).set_output(transform="default")
        return imputer.fit(np.stack([means, np.where(flagged, np.nan, means)]))


def category_places(text: TextColumn, rows: Table) -> NDArray[np.intp]:
    """For each category of the column in ``rows``, and last for a missing cell: its place among the model's, or -1."""
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    missing = len(text.categories) if text.flagged else -1
    if rows.kind(text.name) != "text":  # a column without any cell
        return np.array([missing], dtype=np.intp)
    held = _dictionary(rows, text.name)
    found = pc.index_in(held, pa.array(text.categories, held.type)).fill_null(-1)
    return np.append(found.to_numpy(zero_copy_only=False).astype(np.intp), missing)


def category_counts(text: TextColumn, rows: Table) -> tuple[NDArray[np.intp], Any]:
    """How many rows have each category of the column in ``rows``, last the missing cells; and the Arrow categories."""
    pa = import_pyarrow()
    if rows.kind(text.name) != "text":
        return np.array([rows.n_rows]), pa.array([], pa.string())
    held = _dictionary(rows, text.name)
    counts = np.zeros(len(held) + 1, dtype=np.intp)
    for batch in rows.batches():
        counts += np.bincount(_codes(batch.column(text.name)) % len(counts), minlength=len(counts))
    return counts, held


def _dictionary(rows: Table, name: str) -> Any:
    """The Arrow categories of a text column."""
    return rows.arrow.column(name).combine_chunks().dictionary


def _codes(column: Any) -> NDArray[np.intp]:
    """Category of each row in its table, -1 where the cell is missing (which indexes the last of `category_places`)."""
    if not hasattr(column, "indices"):  # a column without any cell
        return np.full(len(column), -1, dtype=np.intp)
    return np.asarray(column.indices.fill_null(-1), dtype=np.intp)
