"""Encoding of a table as a matrix, block by block: dense, or sparse where a row has elements in few of the columns.

The columns of the matrix are, in this order: the numeric ones, the indicators of their missing cells, the categories of
the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.impute import SimpleImputer

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import as_float64
from gpu_logreg.files.column_names import drop_option
from gpu_logreg.files.columns import NumericColumn, TextColumn
from gpu_logreg.files.reading import gib, import_pyarrow
from gpu_logreg.files.table import Table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Encoder", "category_counts", "category_places"]

SPARSE_WIDTH = 256
"""Least number of columns of a sparse matrix. Narrower ones are dense: dense passes are faster, and run on a GPU."""

SPARSE_SHARE = 1 / 16
"""Largest share of elements stored in a row of a sparse matrix. An element with the number of its column takes 12 bytes
in float64, so that sparse rows take a tenth of the memory of dense ones or less.
"""

_SPARSE_IF_NEEDED = 0.25
"""The same where a dense matrix does not fit in memory: at this share sparse rows take 3/8 of it in float64."""


@dataclass(frozen=True)
class Encoder:
    """Encodes the columns of a table as a matrix of ``width`` columns.

    Attributes
    ----------
    numeric : sequence of NumericColumn
    text : sequence of TextColumn
    """

    numeric: Sequence[NumericColumn]
    text: Sequence[TextColumn]

    @cached_attribute
    def indicators(self) -> NDArray[np.intp]:
        """Positions of the numeric columns that have an indicator."""
        return np.array([at for at, column in enumerate(self.numeric) if column.had_missing], dtype=np.intp)

    @cached_attribute
    def width(self) -> int:
        """Number of columns of the matrix."""
        return len(self.numeric) + len(self.indicators) + sum(text.width for text in self.text)

    @property
    def n_stored(self) -> int:
        """Most elements that a sparse row stores, without its indicators: one for each column of the table."""
        return len(self.numeric) + len(self.text)

    @property
    def prefers_csr(self) -> bool:
        """Whether sparse rows are much smaller than dense ones, so that a matrix is sparse where it may be."""
        return self.width >= SPARSE_WIDTH and self.n_stored / self.width <= SPARSE_SHARE

    def encode(self, rows: Table, dtype: np.dtype[Any], dense: bool) -> NDArray[Any] | sparse.csr_array:
        """The matrix of ``rows``: a ``csr_array`` where that is much smaller and ``dense`` is false.

        Raises
        ------
        DataError
            The matrix is larger than the available memory, or a number is too large for ``dtype``.
        """
        n, available = rows.n_rows, free_memory()
        nbytes, share = n * self.width * dtype.itemsize, self.n_stored / self.width
        if not dense and (self.prefers_csr or (nbytes > available and share <= _SPARSE_IF_NEEDED)):
            return self._sparse(rows, dtype)
        if nbytes > available:
            raise DataError(
                f"{rows.source.name}: takes {gib(nbytes)} as a {dtype} matrix of {n} x {self.width}, and "
                f"{gib(available)} of memory are available; {self._remedy(share <= _SPARSE_IF_NEEDED)}"
            )
        return self._dense(rows, dtype)

    def _remedy(self, fits_sparse: bool) -> str:
        """The advice where a matrix does not fit in memory; ``fits_sparse`` is whether it may be sparse."""
        if fits_sparse:
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
                in_category = np.flatnonzero(places >= 0)
                block[in_category, places[in_category]] = 1
            start += len(block)
        return out

    def _sparse(self, rows: Table, dtype: np.dtype[Any]) -> sparse.csr_array:
        """The matrix as a ``csr_array``, in which zeros of numeric columns are stored and other zeros are not."""
        n, m = rows.n_rows, len(self.numeric)
        n_elements = n * (self.n_stored + len(self.indicators))
        index = np.dtype(np.int32 if max(n_elements, self.width) <= np.iinfo(np.int32).max else np.int64)
        nbytes, available = n * self.n_stored * (dtype.itemsize + index.itemsize), free_memory()
        if 2 * nbytes > available:  # the blocks and their concatenation are in memory together
            raise DataError(
                f"{rows.source.name}: takes {gib(2 * nbytes)} to encode as sparse {dtype} rows, and {gib(available)} "
                "of memory are available; use fewer rows or columns, or float32"
            )
        data, indices, counts = [], [], [np.zeros(1, dtype=index)]
        for numbers, categories in self._blocks(rows, dtype):
            columns = np.empty((len(numbers), numbers.shape[1] + len(categories)), dtype=index)
            columns[:, : numbers.shape[1]] = np.arange(numbers.shape[1])
            columns[:, m : numbers.shape[1]][numbers[:, m:] == 0] = -1
            for column, places in enumerate(categories, start=numbers.shape[1]):
                columns[:, column] = places
            values = np.ones(columns.shape, dtype=dtype)
            values[:, : numbers.shape[1]] = numbers
            is_stored = columns >= 0
            data.append(values[is_stored])
            indices.append(columns[is_stored])
            counts.append(is_stored.sum(axis=1, dtype=index))
        starts = np.cumsum(np.concatenate(counts), dtype=index)
        return sparse.csr_array((np.concatenate(data), np.concatenate(indices), starts), shape=(n, self.width))

    def _blocks(self, rows: Table, dtype: np.dtype[Any]) -> Iterator[tuple[NDArray[Any], list[NDArray[np.intp]]]]:
        """For each block of rows: the numbers with their indicators, and the position of the one of each text column.

        These positions are -1 in rows whose category the model does not know.
        """
        lookups, first = [], len(self.numeric) + len(self.indicators)
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

    def _numbers(self, batch: pyarrow.RecordBatch, rows: Table, start: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The numeric columns of a block, missing cells filled with the means, and their indicators."""
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
        with np.errstate(over="ignore"):  # the error below names the row and column of an overflow
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
        """An imputer with the means of the training rows; None where the model was trained on an array.

        It is fitted on two rows, the means twice, with NaN in the second where a column has an indicator: the mean that
        the imputer computes is then the stored one, bit for bit, and it adds the same indicators.
        """
        if not self.numeric or any(column.mean is None for column in self.numeric):
            return None
        means = np.array([column.mean for column in self.numeric], dtype=np.float64)
        had_missing = np.array([column.had_missing for column in self.numeric])
        imputer = SimpleImputer(strategy="mean", add_indicator=True).set_output(transform="default")
        return imputer.fit(np.stack([means, np.where(had_missing, np.nan, means)]))


def category_places(text: TextColumn, rows: Table) -> NDArray[np.intp]:
    """The position among the model's categories of each category in ``rows``, then of a missing cell; -1 if unknown."""
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    missing = len(text.categories) if text.had_missing else -1
    if rows.kind(text.name) != "text":  # a column without any cell
        return np.array([missing], dtype=np.intp)
    categories = _dictionary(rows, text.name)
    places = pc.index_in(categories, pa.array(text.categories, categories.type)).fill_null(-1)
    return np.append(places.to_numpy(zero_copy_only=False).astype(np.intp), missing)


def category_counts(text: TextColumn, rows: Table) -> tuple[NDArray[np.intp], pyarrow.Array]:
    """The number of rows with each category of a column, then with a missing cell; and the categories."""
    pa = import_pyarrow()
    if rows.kind(text.name) != "text":
        return np.array([rows.n_rows]), pa.array([], pa.string())
    categories = _dictionary(rows, text.name)
    counts = np.zeros(len(categories) + 1, dtype=np.intp)
    for batch in rows.batches():
        counts += np.bincount(_codes(batch.column(text.name)) % len(counts), minlength=len(counts))
    return counts, categories


def _dictionary(rows: Table, name: str) -> pyarrow.Array:
    """The Arrow categories of a text column."""
    return rows.arrow.column(name).combine_chunks().dictionary


def _codes(column: pyarrow.Array) -> NDArray[np.intp]:
    """The number of each row's category; -1, which indexes the last item of `category_places`, for a missing cell."""
    if not hasattr(column, "indices"):  # a column without any cell
        return np.full(len(column), -1, dtype=np.intp)
    return np.asarray(column.indices.fill_null(-1), dtype=np.intp)
