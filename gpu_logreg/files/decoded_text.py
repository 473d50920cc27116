"""CSV that is decoded once, into numbers in a temporary file."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import MISSING_WORDS
from gpu_logreg.files.column_names import pick_columns
from gpu_logreg.files.datasets import first_line
from gpu_logreg.files.delimited import explain
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.layout import CsvSource, Layout, find_layout
from gpu_logreg.files.number_forms import find_decimal
from gpu_logreg.files.reading import import_pyarrow, reading
from gpu_logreg.files.row_cache import DenseCache, DenseRows

__all__ = ["decode_csv"]

_BLOCK_BYTES = 2**24
"""Bytes of text that are parsed at once."""

_DEFAULT = FileOptions()


def decode_csv(
    path: Path,
    special: dict[str, Callable[[Any], None]],
    texts: Collection[str] = (),
    drop: Collection[str] = (),
    options: FileOptions = _DEFAULT,
) -> DenseRows:
    """Decode a CSV file, a few rows at a time.

    Parameters
    ----------
    path : Path
    special : dict of str to function
        Columns that are no features, as labels and weights, and what takes their cells, an Arrow array at a time.
    texts : collection of str
        Those of them whose cells are taken as they are written.
    drop : collection of str
        Columns to leave out.
    options : FileOptions

    Raises
    ------
    DataError
        A column that is not there, or whose cells are no numbers or missing; a temporary folder without room.
    """
    layout = find_layout(path, options, tuple(texts))
    pick_columns(layout.names, [*special, *drop], CsvSource(str(path), layout))
    names = tuple(name for name in layout.names if name not in special and name not in drop)
    if not names:
        raise DataError(f"{path}: has no column but {', '.join(map(repr, special))}")
    cache = DenseCache(path, _expected_bytes(layout, len(names)))
    with reading(path), layout.open() as stream:
        pa = import_pyarrow()
        try:
            for batch in _batches(layout, stream, [*names, *special], texts, options):
                columns = [_numbers(batch.column(name), path, name, cache.n_rows) for name in names]
                for name, take in special.items():
                    take(batch.column(name))
                cache.add(np.column_stack(columns))
        except pa.ArrowInvalid as error:
            raise _explained(layout, error) from error
    if cache.n_rows == 0:
        raise DataError(f"{path}: holds no rows")
    return cache.rows(names)


def _batches(layout: Layout, stream: IO[bytes] | Any, names: list[str], texts: Collection[str], options: Any) -> Any:
    pa, csv = import_pyarrow(), import_pyarrow("pyarrow.csv")
    words = MISSING_WORDS if options.missing is None else ("", *options.missing)
    decimal = options.decimal or find_decimal(cell for record in layout.records for cell in record) or "."
    return csv.open_csv(
        stream,
        read_options=csv.ReadOptions(column_names=layout.names, skip_rows=layout.skip, block_size=_BLOCK_BYTES),
        parse_options=csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() if name in texts else pa.float64() for name in names},
            include_columns=names,
            null_values=[blank + word for word in words for blank in ("", " ")],
            strings_can_be_null=True,
            decimal_point=decimal,
        ),
    )


def _numbers(column: Any, path: Path, name: str, before: int) -> Any:
    if column.null_count:
        row = before + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{path}, row {row + 1}: column {name!r} has a missing cell; streamed columns are numbers")
    return column.to_numpy(zero_copy_only=False)


def _explained(layout: Layout, error: Exception) -> DataError:
    message = first_line(error)
    if "conversion error" in message:
        return DataError(f"{layout.path}: {message}; streamed columns are numbers: encode it as such, or drop it")
    return explain(layout, error)


def _expected_bytes(layout: Layout, n_columns: int) -> int:
    """Bytes of the numbers, by the length of the first rows; those of packed text are not known."""
    lengths = [sum(len(cell) + 1 for cell in record) for record in layout.records]
    return int(os.path.getsize(layout.path) * 8 * n_columns * len(lengths) / max(1, sum(lengths)))
