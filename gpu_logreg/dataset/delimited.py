"""CSV and its relatives, read by pyarrow; where it fails, the line at fault is found for the message."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_logreg.dataset.arrow_columns import MISSING_WORDS
from gpu_logreg.dataset.column_names import Source
from gpu_logreg.dataset.formats import FileOptions, find_separator, looks_like_libsvm, most_common_length, read_head
from gpu_logreg.dataset.reading import import_pyarrow, open_stream, reading
from gpu_logreg.dataset.table import Table
from gpu_logreg.errors import DataError

__all__ = ["Select", "read_csv"]

Select = Callable[[Sequence[str]], Sequence[str]]
"""Which columns of those present to read; raises where one is not there. Called before any cell is read."""

_BLOCK_BYTES = 2**24
# pyarrow compares cells with these byte for byte; text columns are trimmed later, numbers need the blank that follows
# a comma here to be read as numbers at once.
_NULL_CELLS = [blank + word for word in MISSING_WORDS for blank in ("", " ")]


@dataclass(frozen=True)
class Layout:
    """How the lines of one file fall into cells.

    Attributes
    ----------
    sep : str
    names : list of str
        One for each column.
    skip : int
        Lines before the first row: skipped ones and the header.
    """

    path: Path
    sep: str
    names: list[str]
    skip: int

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line (from 1) and cells of each row, blank lines left out; slow, for messages."""
        with open_stream(self.path) as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            for _ in range(self.skip):
                lines.readline()
            reader, line = csv.reader(lines, delimiter=self.sep), self.skip + 1
            for cells in reader:
                if cells:
                    yield line, cells
                line = self.skip + reader.line_num + 1  # a quoted cell may span lines


@dataclass(frozen=True)
class CsvSource(Source):
    """A CSV file, whose rows are named by their line."""

    layout: Layout

    def at(self, row: int) -> str:
        """Place of a row, counted from 0: its line, counted from 1."""
        try:
            line = next(line for at, (line, _) in enumerate(self.layout.rows()) if at == row)
        except (csv.Error, StopIteration):
            return super().at(row)
        return f"{self.name}, line {line}"


def read_csv(path: Path, options: FileOptions, select: Select, text_columns: Collection[str] = ()) -> Table:
    """Read a CSV file.

    A column is numeric where every cell that is not missing reads as a number (or as true or false), else text.

    Parameters
    ----------
    path : Path
    options : FileOptions
    select : Select
    text_columns : collection of str
        Columns kept as text even if all their cells are digits.

    Raises
    ------
    DataError
        One line that names the file, and the line and column where known.
    """
    pa, pa_csv = import_pyarrow(), import_pyarrow("pyarrow.csv")
    layout = _find_layout(path, options)
    wanted = list(select(layout.names))
    with reading(path), open_stream(path) as stream:
        try:
            arrow = pa_csv.read_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    column_names=layout.names, skip_rows=layout.skip, block_size=_BLOCK_BYTES
                ),
                parse_options=pa_csv.ParseOptions(delimiter=layout.sep, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in wanted if name in text_columns},
                    include_columns=wanted,
                    null_values=_NULL_CELLS,
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise _explain(layout, error) from error
        return Table.from_arrow(
            arrow, CsvSource(str(path), layout), numbers_in_text=set(wanted).difference(text_columns)
        )


def _find_layout(path: Path, options: FileOptions) -> Layout:
    head = read_head(path, options.skip_rows)
    if options.format is None and looks_like_libsvm(head):
        raise DataError(f"{path}: holds LIBSVM text, not CSV; read it with --format libsvm")
    sep = options.sep or find_separator(head)
    if sep is None:
        _refuse_blanks(path, head.lines())
        sep = ","  # one column
    try:
        records = head.records(sep)
    except csv.Error as error:
        raise _cell_too_long(path) from error
    n_columns, _ = most_common_length(records)
    _refuse_odd_start(path, records, n_columns, options)
    if not options.header:
        return Layout(path, sep, [f"c{at}" for at in range(n_columns)], options.skip_rows)
    if len(records) < 2:
        raise DataError(f"{path}: has a header but no rows (use --no-header if its only line is a row)")
    names = [" ".join(name.split()) or f"c{at}" for at, name in enumerate(records[0])]
    _refuse_duplicates(path, names)
    reader = csv.reader(io.StringIO(head.text, newline=""), delimiter=sep)
    next(cells for cells in reader if cells)
    return Layout(path, sep, names, options.skip_rows + reader.line_num)


def _refuse_blanks(path: Path, lines: Sequence[str]) -> None:
    """Refuse cells separated by blanks, which would be read as one column of text."""
    lengths = {len(line.split()) for line in lines}
    if len(lengths) == 1 and lengths != {1} and len(lines) > 1:
        raise DataError(
            f"{path}: no separator (comma, semicolon, tab or bar) in its lines, such as {lines[0][:40].strip()!r}; "
            "give the one character between cells with --sep"
        )


def _refuse_odd_start(path: Path, records: Sequence[Sequence[str]], n_columns: int, options: FileOptions) -> None:
    """Refuse leading lines with another number of cells than the rows: comments, titles, a header too short."""
    odd = next((at for at, record in enumerate(records) if len(record) == n_columns), 0)
    if odd == 0:
        return
    role = "the header" if options.header else "a row"
    raise DataError(
        f"{path}: line {options.skip_rows + 1} has {_fields(len(records[0]))} where {n_columns} were expected; "
        f"if it is not {role}, pass over it with --skip-rows {options.skip_rows + odd}"
    )


def _refuse_duplicates(path: Path, names: Sequence[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{path}: the header names {count} columns {name!r}; rename them, or use --no-header if the file has none"
        )


def _explain(layout: Layout, error: Any) -> DataError:
    """The error of pyarrow in one line, with the line of the file where it can be found."""
    path, n_columns, message = layout.path, len(layout.names), str(error).splitlines()[0]
    if "straddling" in message:
        return DataError(f'{path}: a row is longer than {_BLOCK_BYTES >> 20} MiB; is a quote (") never closed?')
    if "UTF8" in message:
        return DataError(f"{path}: is not UTF-8 text; convert it, for example with iconv -f latin1 -t utf-8")
    try:
        for line, cells in layout.rows():
            if len(cells) != n_columns:
                return DataError(
                    f"{path}: line {line} has {_fields(len(cells))} where {n_columns} were expected "
                    f"(separator {layout.sep!r}); correct or delete it"
                )
    except csv.Error:
        return _cell_too_long(path)
    return DataError(f"{path}: cannot be read as CSV with separator {layout.sep!r}: {message}")


def _cell_too_long(path: Path) -> DataError:
    return DataError(f'{path}: a cell is longer than {csv.field_size_limit() >> 10} KiB; is a quote (") never closed?')


def _fields(count: int) -> str:
    return f"{count} field{'' if count == 1 else 's'}"
