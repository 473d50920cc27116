"""Columns of a file that `predict --keep` copies into its output, with their cells as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_logreg.files.any_format import read_table
from gpu_logreg.files.column_names import Source, pick_columns
from gpu_logreg.files.delimited import written_cells
from gpu_logreg.files.formats import FileOptions, choose_format
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.schema import Schema

if TYPE_CHECKING:
    import pyarrow

__all__ = ["KeptColumns", "read_kept_columns"]


class KeptColumns:
    """Columns by name, whose cells are read out as text.

    Parameters
    ----------
    columns : dict
        Lists of cells, or Arrow columns, all of one length.
    """

    def __init__(self, columns: dict[str, list[Any] | pyarrow.ChunkedArray]) -> None:
        self._columns = columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    def cells(self, start: int, stop: int) -> tuple[list[str], ...]:
        """For each column, its cells in the rows from ``start`` up to ``stop``."""
        return tuple(_texts(column, start, stop) for column in self._columns.values())


def _texts(column: list[Any] | pyarrow.ChunkedArray, start: int, stop: int) -> list[str]:
    """Cells of a column as text, a missing one as the empty text."""
    part = column[start:stop]
    return ["" if cell is None else str(cell) for cell in (part.to_pylist() if hasattr(part, "to_pylist") else part)]


def read_kept_columns(path: Path, options: FileOptions, names: Sequence[str], schema: Schema) -> KeptColumns:
    """The columns ``names`` of a file whose rows a model predicts.

    Parameters
    ----------
    path : Path
        A file that can be opened again, not a pipe.
    options : FileOptions
    names : sequence of str
    schema : Schema
        The schema of the model.

    Raises
    ------
    DataError
        A column is not there; the message gives similar names.
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
