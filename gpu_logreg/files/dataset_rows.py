"""The rows of Parquet and Arrow files, or of any data set of pyarrow's, read a batch at a time."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.kinds import DENSE_ROWS, KindOfRows
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.files.column_names import Source, pick_columns
from gpu_logreg.files.dataset_columns import ColumnBatch, dtype_of, numbers_of
from gpu_logreg.files.datasets import first_line
from gpu_logreg.files.reading import import_pyarrow, refuse_change, state_of

__all__ = ["DatasetRows"]

_BATCH_ELEMENTS = 2**20
"""Elements of a batch: it is copied into a block while the processor still has it."""

_BUFFER_BYTES = 2**16
"""Bytes of a column chunk that are read at a time: by default all of a row group would be."""

_COLUMN_BYTES = 5 * 2**19
"""Bytes of memory that pyarrow takes for a column of Parquet: a page and a dictionary of a mebibyte, and some more."""


class _Unit(NamedTuple):
    """Rows that can be read on their own: a row group, or a whole fragment."""

    fragment: int
    row_group: int | None
    first: int
    n_rows: int


class DatasetRows:
    """The columns of numbers of a data set, as a source of rows.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
    target, weight : str or None
        Columns of labels and of weights, which are no features.
    drop : collection of str
        Other columns that are none.
    numbers : bool
        Whether all features must be numbers; else the rows are for `tables` alone.

    Attributes
    ----------
    names : tuple of str
    reader_bytes : int
        Memory that reading takes beside the rows.
    n_rows, n_columns, dtype
        The dtype is the one that holds every column.

    Raises
    ------
    DataError
        A column that is not there, or holds no numbers; a file that cannot be read, which the message names.

    Examples
    --------
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from gpu_logreg.files.datasets import open_dataset
    >>> pq.write_table(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0], "y": [0, 1]}), "rows.parquet")
    >>> rows = DatasetRows(open_dataset("rows.parquet"), "y")
    >>> rows.names, rows.n_rows, [column.to_pylist() for column in rows.column("y")]
    (('a', 'b'), 2, [[0, 1]])
    """

    kind: ClassVar[KindOfRows] = DENSE_ROWS
    order: ClassVar[str] = "F"
    seeks: ClassVar[bool] = True
    fills: ClassVar[bool] = False

    def __init__(
        self,
        dataset: Any,
        target: str | None = None,
        weight: str | None = None,
        drop: Collection[str] = (),
        *,
        numbers: bool = True,
    ) -> None:
        if (getattr(dataset, "_scan_options", None) or {}).get("filter") is not None:
            raise DataError(
                "the data set has a filter, and its rows are not counted; write those that are left to files"
            )
        self._schema = dataset.schema
        self._fragments = list(dataset.get_fragments())
        self._paths = [getattr(fragment, "path", "") or "the data set" for fragment in self._fragments]
        every = self._schema.names
        special = [name for name in (target, weight, *drop) if name is not None]
        pick_columns(every, special, Source(self._paths[0] if len(self._paths) == 1 else "the data set"))
        self.names = tuple(name for name in every if name not in special)
        if not self.names:
            raise DataError(f"{self._paths[0]}: has no column but {', '.join(map(repr, special))}")
        self.n_columns = len(self.names)
        self.reader_bytes = _COLUMN_BYTES * self.n_columns
        self.dtype = np.dtype(np.float64)
        if numbers:
            self.dtype = np.result_type(*[dtype_of(self._schema.field(name), self._paths[0]) for name in self.names])
        self._states = [state_of(path) for path in self._paths]
        self._units: list[_Unit] = []
        for k in range(len(self._fragments)):
            with self._reading(k):
                self._count(k)
        self.n_rows = self._units[-1].first + self._units[-1].n_rows if self._units else 0
        if self.n_rows == 0:
            raise DataError(f"{self._paths[0] if self._paths else 'the data set'}: holds no rows")

    def selected(self, names: Sequence[str]) -> DatasetRows:
        """The same rows with these features, in this order.

        Raises
        ------
        DataError
            A column is not there, which the message names, or holds no numbers.
        """
        pick_columns(self._schema.names, names, Source(self._paths[0] if len(self._paths) == 1 else "the data set"))
        rows = copy.copy(self)
        rows.names, rows.n_columns = tuple(names), len(names)
        rows.dtype = np.result_type(*[dtype_of(self._schema.field(name), self._paths[0]) for name in names])
        rows.reader_bytes = _COLUMN_BYTES * len(names)
        return rows

    def _count(self, k: int) -> None:
        fragment = self._fragments[k]
        missing = [name for name in self.names if name not in self._constants(k) and not self._has(fragment, name)]
        if missing:
            raise DataError(f"{self._paths[k]}: has no column {missing[0]!r}, which other files have")
        groups = getattr(fragment, "row_groups", None)
        sizes = [(None, fragment.count_rows())] if groups is None else [(g.id, g.num_rows) for g in groups]
        for group, n_rows in sizes:
            first = self._units[-1].first + self._units[-1].n_rows if self._units else 0
            self._units.append(_Unit(k, group, first, n_rows))

    @staticmethod
    def _has(fragment: Any, name: str) -> bool:
        return name in fragment.physical_schema.names

    def _constants(self, k: int) -> dict[str, Any]:
        """Values of the columns that the folders of a file tell."""
        expression = self._fragments[k].partition_expression
        keys: dict[str, Any] = import_pyarrow("pyarrow.dataset").get_partition_keys(expression)
        return keys

    @contextlib.contextmanager
    def _reading(self, k: int) -> Iterator[None]:
        """Errors of pyarrow's in one line that names the file."""
        try:
            yield
        except GpuLogregError:
            raise
        except (import_pyarrow().ArrowException, OSError, ValueError) as error:
            path = self._paths[k]
            if path and not os.path.exists(path) and self._states[k] is not None:
                raise DataError(f"{path}: is no longer there") from error
            if isinstance(error, PermissionError):
                raise DataError(f"{path}: cannot be read: {error.strerror}") from error
            raise DataError(f"{path}: is truncated or damaged ({first_line(error)}); fetch it again") from error

    def _batches(self, units: Sequence[_Unit], columns: Sequence[str]) -> Iterator[tuple[int, int, Any]]:
        """Batches of some columns of units of one fragment: number of the first row, rows before it in the file."""
        k = units[0].fragment
        fragment, constants = self._fragments[k], self._constants(k)
        stored = [name for name in columns if name not in constants]
        size = max(1024, _BATCH_ELEMENTS // max(1, len(columns)))
        before = next(unit.first for unit in self._units if unit.fragment == k)
        refuse_change(self._paths[k], self._states[k])
        with contextlib.ExitStack() as stack:
            if units[0].row_group is not None and stored:
                file = stack.enter_context(fragment.open())
                parquet = import_pyarrow("pyarrow.parquet").ParquetFile(
                    file, buffer_size=_BUFFER_BYTES, pre_buffer=False
                )
                groups = [unit.row_group for unit in units]
                batches = parquet.iter_batches(size, row_groups=groups, columns=stored)
            else:
                batches = fragment.to_batches(
                    schema=self._schema, columns=list(columns), batch_size=size, batch_readahead=1, fragment_readahead=1
                )
            waiting = iter(units)
            unit: _Unit | None = next(waiting)
            first = units[0].first
            for batch in batches:
                at = 0
                while unit is not None and at < batch.num_rows:  # a batch may hold rows of two row groups
                    n = min(batch.num_rows - at, unit.first + unit.n_rows - first)
                    yield first, first - before, batch.slice(at, n)
                    at, first = at + n, first + n
                    if first == unit.first + unit.n_rows:
                        unit = next(waiting, None)
                        first = unit.first if unit is not None else first

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, ColumnBatch]]:
        """Batches of the row groups that hold some of the rows ``wanted``."""
        for units in self._of_fragments(wanted):
            k = units[0].fragment
            constants = self._constants(k)
            with self._reading(k):
                for first, before, batch in self._batches(units, self.names):
                    columns = [
                        np.broadcast_to(np.asarray(constants[name], self.dtype), batch.num_rows)
                        if name in constants
                        else numbers_of(batch.column(name), self._paths[k], before, name)
                        for name in self.names
                    ]
                    yield first, ColumnBatch(columns)

    def tables(self, names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Tables of some columns as Arrow has them, each with the number of its first row."""
        pa = import_pyarrow()
        for units in self._of_fragments([slice(0, self.n_rows)]):
            k = units[0].fragment
            constants = self._constants(k)
            with self._reading(k):
                for first, _, batch in self._batches(units, names):
                    columns = [
                        pa.repeat(constants[name], batch.num_rows) if name in constants else batch.column(name)
                        for name in names
                    ]
                    yield first, pa.table(columns, names=list(names))

    def place_in_file(self, row: int) -> tuple[str, int]:
        """The file that holds a row, and the number of the row there."""
        unit = next((unit for unit in reversed(self._units) if unit.first <= row), self._units[0])
        before = next(other.first for other in self._units if other.fragment == unit.fragment)
        return self._paths[unit.fragment], row - before

    def _of_fragments(self, wanted: Sequence[slice]) -> Iterator[list[_Unit]]:
        """The units that hold some of the rows, a list for each fragment."""
        found: list[_Unit] = []
        parts = iter(wanted)
        part = next(parts, None)
        for unit in self._units:
            while part is not None and part.stop <= unit.first:
                part = next(parts, None)
            if part is None:
                break
            if part.start >= unit.first + unit.n_rows or not unit.n_rows:
                continue
            if found and found[0].fragment != unit.fragment:
                yield found
                found = []
            found.append(unit)
        if found:
            yield found

    def column(self, name: str) -> Iterator[Any]:
        """A column that is no feature, as arrays of Arrow's of consecutive rows."""
        pa = import_pyarrow()
        for units in self._of_fragments([slice(0, self.n_rows)]):
            k = units[0].fragment
            constants = self._constants(k)
            with self._reading(k):
                if name in constants:
                    yield pa.repeat(constants[name], sum(unit.n_rows for unit in units))
                else:
                    yield from (batch.column(name) for _, _, batch in self._batches(units, [name]))

    def fill(self, part: slice, out: NDArray[Any]) -> None:
        """Not possible: rows come in batches."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """The file that holds a row, for the beginning of a message."""
        return f"{self.place_in_file(row)[0]}: "
