"""Tables of Parquet and Arrow files, a few rows at a time, with lists and structs taken apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.files.index_columns import pandas_index
from gpu_logreg.files.nested_columns import flatten_table
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["DatasetBlocks", "are_numbers"]


@dataclass(frozen=True)
class _Files(Source):
    """The files of a data set; messages name a row by its file."""

    rows: DatasetRows

    def at(self, row: int) -> str:
        """The file, and the row in it."""
        path, row = self.rows.place_in_file(row)
        return f"{path}, row {row + 1}"


class DatasetBlocks:
    """The rows of a file, a folder, a pattern of names or a data set of pyarrow's, a few at a time.

    Parameters
    ----------
    dataset : pyarrow.dataset.Dataset
    name : str
        For messages.

    Attributes
    ----------
    schema : pyarrow.Schema
    names, unnamed, source
        As of `gpu_logreg.files.csv_blocks.CsvBlocks`.
    n_rows_expected : int
        Number of rows.
    """

    is_untyped = False
    remarks: tuple[str, ...] = ()
    marks = Marks()

    def __init__(self, dataset: Any, name: str = "the data set") -> None:
        self._rows = DatasetRows(dataset, numbers=False)
        self.schema = dataset.schema
        self.n_rows_expected = self._rows.n_rows
        self.source = _Files(name, self._rows)
        self.header = list[str]()
        self.unnamed = pandas_index(self.schema)
        stored = self.schema.names
        if len(set(stored)) < len(stored):
            raise DataError(f"{self.source.name}: several of its columns have one name; rename them")
        _, first = next(self._rows.tables(stored))
        self._parts = {name: flatten_table(first.select([name]), self.source).column_names for name in stored}
        self.names = [part for parts in self._parts.values() for part in parts]

    def types(self, names: Sequence[str], text: Collection[str] = (), exact: Collection[str] = ()) -> dict[str, Any]:
        """Nothing: the columns have types of their own."""
        return {}

    def tables(
        self, names: Sequence[str], types: Mapping[str, Any], before: int = 0
    ) -> Iterator[tuple[int, pyarrow.Table]]:
        """Tables of some columns, each with the number of its first row.

        Raises
        ------
        DataError
            A file that cannot be read; lists of another length than in the first rows.
        """
        wanted = set(names)
        stored = [name for name, parts in self._parts.items() if not wanted.isdisjoint(parts)]
        for first, rows in self._rows.tables(stored):
            flat = flatten_table(rows, self.source)
            missing = [name for name in names if name not in flat.column_names]
            if missing:
                raise DataError(f"{self.source.at(first)}: has no {missing[0]!r}, which the first rows have")
            yield first, flat.select(list(names))


def are_numbers(schema: Any, names: Sequence[str]) -> bool:
    """Whether columns of an Arrow schema hold numbers, and no lists of them, as far as their types tell."""
    types = import_pyarrow("pyarrow.types")
    if not set(names) <= set(schema.names):
        return False
    return all(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
        for kind in (schema.field(name).type for name in names)
    )
