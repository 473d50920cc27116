"""Parquet: one file, or the files of a folder, one below the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpu_logreg.errors import DataError
from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.delimited import Select
from gpu_logreg.files.index_columns import pandas_index
from gpu_logreg.files.nested_columns import read_flattened
from gpu_logreg.files.reading import file_kind, import_pyarrow, reading
from gpu_logreg.files.streams import parquet_parts
from gpu_logreg.files.table import Table

__all__ = ["read_parquet"]


def read_parquet(path: Path, select: Select, rules: CellRules) -> Table:
    """Read the columns that ``select`` chooses, with lists and structs taken apart.

    Parameters
    ----------
    path : Path
        Path of a file, or of a folder of such files.
    select : Select
    rules : CellRules

    Raises
    ------
    DataError
        One line that names the file, and the row and column where known.
    """
    return _read_folder(path, select, rules) if path.is_dir() else _read_file(path, select, rules)


def _read_folder(path: Path, select: Select, rules: CellRules) -> Table:
    """The Parquet files of a folder, one below the other."""
    pa, parts = import_pyarrow(), parquet_parts(path)
    if not parts:
        raise DataError(f"{path}: is a directory; give one file")
    tables = [_read_file(part, select, rules) for part in parts]
    try:
        arrow = pa.concat_tables([table.arrow for table in tables], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: its files have different columns ({first}); give one file") from error
    return replace(tables[0], arrow=Table.from_arrow(arrow, Source(str(path))).arrow, source=Source(str(path)))


def _read_file(path: Path, select: Select, rules: CellRules) -> Table:
    parquet = import_pyarrow("pyarrow.parquet")
    with reading(path):
        with open(path, "rb") as file:
            head = file.read(8)
        if not head:
            raise DataError(f"{path}: is empty")
        if file_kind(head) != "Parquet":
            raise DataError(f"{path}: is not a Parquet file; give it the ending of what it is, or use --format")
        try:
            with parquet.ParquetFile(path) as file:
                arrow = read_flattened(file, select, Source(str(path)), getattr(path, "row_groups", None))
        except (import_pyarrow().ArrowException, OSError) as error:
            first = str(error).splitlines()[0].split(". ")[0]
            raise DataError(f"{path}: is truncated or damaged ({first}); fetch it again") from error
        return Table.from_arrow(arrow, Source(str(path)), rules, pandas_index(arrow.schema))
