"""CSV, and text with other separators, read by pyarrow. Where it fails, the message names the line at fault."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_logreg.errors import DataError
from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import pick_columns
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.layout import CsvSource, Layout, cell_too_long, fields, find_layout
from gpu_logreg.files.number_forms import find_decimal
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.odd_rows import refuse_odd_rows
from gpu_logreg.files.reading import import_pyarrow, reading
from gpu_logreg.files.table import Table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Select", "explain", "file_marks", "read_csv", "written_cells"]

Select = Callable[[Sequence[str]], Sequence[str]]
"""Function from the names of the columns of a file to those to read, called before any cell is read.

It raises `DataError` where a column is missing.
"""

_BLOCK_BYTES = 2**24
"""Bytes that pyarrow parses at once, and so the most bytes of a row: it refuses a row that spans two blocks."""


def read_csv(path: Path, options: FileOptions, select: Select, rules: CellRules) -> Table:
    """Read a CSV file.

    A column is numeric where every cell that is not missing reads as a number (or as true or false), else text.

    Parameters
    ----------
    path : Path
    options : FileOptions
    select : Select
    rules : CellRules
        Its marks, those of the training file, are used where the file does not show its own.

    Raises
    ------
    DataError
        One line that names the file, and the line and column where known.
    """
    layout = find_layout(path, options, rules.text)
    names = list(select(layout.names))
    rules = replace(rules, is_untyped=True, marks=file_marks(layout, options, rules.marks))
    arrow = _read(layout, names, set(rules.text), rules.missing, rules.marks.point_or_comma or ".")
    source = CsvSource(str(path), layout)
    table = Table.from_arrow(arrow, source, rules, layout.unnamed)
    refuse_odd_rows(table, layout.header, rules.text)
    if options.decimal is None and rules.marks.point_or_comma == ",":
        remark = f"{path}: numbers are read with a decimal comma"
        table = replace(table, remarks=(remark, *table.remarks))
    if layout.row_names:
        remark = f"{path}: rows have one cell more than the header: their first column has no name"
        table = replace(table, remarks=(remark, *table.remarks))
    return table


def written_cells(
    path: Path, options: FileOptions, names: Sequence[str], text_columns: Sequence[str] = ()
) -> pyarrow.Table:
    """Some columns of a CSV file with every cell as it is written; ``text_columns`` are known to hold text."""
    layout = find_layout(path, options, text_columns)
    pick_columns(layout.names, names, CsvSource(str(path), layout))
    return _read(layout, list(names), set(names), (), ".", as_written=True)


def file_marks(layout: Layout, options: FileOptions, of_model: Marks) -> Marks:
    """The marks of the numbers: those of the options, else those that the first rows show, else those of the model."""
    marks = Marks(options.decimal, options.thousands)
    if marks.point_or_comma is not None:
        return replace(marks, decimal=marks.point_or_comma)
    decimal = find_decimal(cell for record in layout.records for cell in record)
    if decimal is None or decimal == of_model.decimal:
        return replace(of_model, thousands=options.thousands or of_model.thousands)
    return Marks(decimal, options.thousands)


def _read(
    layout: Layout, names: list[str], text: set[str], missing: Sequence[str], decimal: str, as_written: bool = False
) -> pyarrow.Table:
    """The columns ``names``, those in ``text`` as text; with ``as_written``, no cell is missing."""
    pa, pa_csv = import_pyarrow(), import_pyarrow("pyarrow.csv")
    # pyarrow compares cells with these words byte for byte, and " NA" in a column of numbers would make it text. Blanks
    # in text columns are removed later.
    nulls = [] if as_written else [blank + word for word in ("", *missing) for blank in ("", " ")]
    with reading(layout.path), layout.open() as stream:
        try:
            return pa_csv.read_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    column_names=layout.names, skip_rows=layout.skip, block_size=_BLOCK_BYTES
                ),
                parse_options=pa_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names if name in text},
                    include_columns=names,
                    null_values=nulls,
                    strings_can_be_null=not as_written,
                    decimal_point=decimal,
                ),
            )
        except pa.ArrowInvalid as error:
            raise explain(layout, error) from error


def explain(layout: Layout, error: Exception) -> DataError:
    """Pyarrow's error as a `DataError` of one line, with the number of the line in the file if it can be found."""
    path, n_columns, message = layout.path, len(layout.names), str(error).splitlines()[0]
    if "straddling" in message:
        return DataError(f'{path}: a row is longer than {_BLOCK_BYTES >> 20} MiB; is a quote (") never closed?')
    if "UTF8" in message:
        return DataError(f"{path}: is not UTF-8 text; convert it, for example with iconv -f latin1 -t utf-8")
    try:
        for line, cells in layout.rows():
            if len(cells) != n_columns:
                return DataError(
                    f"{path}: line {line} has {fields(len(cells))} where {n_columns} were expected "
                    f"(separator {layout.sep!r}); correct or delete it"
                )
    except csv.Error:
        return cell_too_long(path)
    return DataError(f"{path}: cannot be read as CSV with separator {layout.sep!r}: {message}")
