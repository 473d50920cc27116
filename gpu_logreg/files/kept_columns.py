"""Columns of a file that go into the output as they are written, beside what a model makes of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_logreg.files.column_names import Source, pick_columns
from gpu_logreg.files.delimited import written_cells
from gpu_logreg.files.formats import FileOptions, choose_format
from gpu_logreg.files.load import read_table
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.schema import Schema

__all__ = ["KeptColumns", "read_kept"]


class KeptColumns:
    """Columns by name, whose cells are given as text.

    Parameters
    ----------
    columns : dict
        Sequences of cells, or ``pyarrow.ChunkedArray``, of one length.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        self._columns = columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    def cells(self, start: int, stop: int) -> tuple[list[str], ...]:
        """The cells of the rows ``start`` to ``stop`` of each column."""
        return tuple(_texts(column, start, stop) for column in self._columns.values())


def _texts(column: Any, start: int, stop: int) -> list[str]:
    part = column[start:stop]
    return ["" if cell is None else str(cell) for cell in (part.to_pylist() if hasattr(part, "to_pylist") else part)]


def read_kept(path: Path, options: FileOptions, names: Sequence[str], schema: Schema) -> KeptColumns:
    """The columns ``names`` of a file of rows for a model.

    Parameters
    ----------
    path : Path
        A file that may be opened again.
    options : FileOptions
    names : sequence of str
    schema : Schema
        Of the model.

    Raises
    ------
    DataError
        No such column, with the nearest names.
    """
    kind = choose_format(path, options)
    if kind == "csv":
        table = written_cells(path, options, names, [column.name for column in schema.text])
        return KeptColumns({name: table.column(name) for name in names})
    if kind == "parquet" and path.is_file():
        with import_pyarrow("pyarrow.parquet").ParquetFile(path) as file:
            pick_columns(file.schema_arrow.names, names, Source(str(path)))
            table = file.read(columns=list(names))
        return KeptColumns({name: table.column(name) for name in names})
    rows = read_table(path, options, columns=names)
    if isinstance(rows, Matrix):
        values = rows.values.toarray() if hasattr(rows.values, "toarray") else rows.values
        return KeptColumns({name: values[:, at].tolist() for at, name in enumerate(names)})
    return KeptColumns({name: rows.arrow.column(name) for name in names})
