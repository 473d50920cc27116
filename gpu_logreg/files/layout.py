"""The layout of a CSV file: its separator, header and columns, found from its first lines."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import MISSING_WORDS
from gpu_logreg.files.column_names import Source, reads_as_number, text_option
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.head import Head, looks_like_libsvm, read_head
from gpu_logreg.files.reading import open_stream
from gpu_logreg.files.separators import (
    BLANKS,
    CleanedLines,
    find_separator,
    is_like_number,
    line_cleaner,
    most_common_length,
)

__all__ = ["CsvSource", "Layout", "cell_too_long", "fields", "find_layout"]

_UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?")  # what pandas makes of an empty name
_COMMENT = re.compile(r"^[ \t]*#", re.MULTILINE)

_FEWEST_NUMBERS = 2
"""Least number of rows with a number below it for a word in the first row to be taken for a header or a unit."""


@dataclass(frozen=True)
class Layout:
    """How the lines of one CSV file are cut into cells, and what the columns are called.

    Attributes
    ----------
    sep : str
    names : list of str
        One for each column.
    skip : int
        Number of lines before the first row, the header among them.
    unnamed : frozenset of str
        Those of the names that the header does not give, or that pandas makes up.
    clean : callable or None
        Function from the bytes of whole lines to those that are cut into cells; None for the identity.
    records : list of list of str
        Cells of the first rows.
    header : list of str
        The names as the header gives them; empty without a header.
    row_names : bool
        Whether each row begins with a cell for which the header has no name.
    """

    path: Path
    sep: str
    names: list[str]
    skip: int
    unnamed: frozenset[str]
    clean: Callable[[bytes], bytes] | None
    records: list[list[str]]
    header: list[str]
    row_names: bool = False

    @property
    def delimiter(self) -> str:
        """The separator between the cells in the lines of `open`."""
        return "\t" if self.sep == BLANKS else self.sep

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes] | io.BufferedReader]:
        """A context with a stream of the file, whose lines are cut into cells at the delimiter."""
        with open_stream(self.path) as stream:
            yield stream if self.clean is None else io.BufferedReader(CleanedLines(stream, self.clean))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The number of the line, from 1, and the cells of each row that is not blank. Slow: for messages alone."""
        with self.open() as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
            for _ in range(self.skip):
                lines.readline()
            reader, line = csv.reader(lines, delimiter=self.delimiter), self.skip + 1
            for cells in reader:
                if cells:
                    yield line, cells
                line = self.skip + reader.line_num + 1  # a quoted cell may span lines


@dataclass(frozen=True)
class CsvSource(Source):
    """A CSV file. Messages name its rows by their lines."""

    layout: Layout
    is_text = True

    def at(self, row: int) -> str:
        """Place of a row, which counts from 0: the file and the line, which counts from 1."""
        try:
            line = next(line for at, (line, _) in enumerate(self.layout.rows()) if at == row)
        except (csv.Error, StopIteration):
            return super().at(row)
        return f"{self.name}, line {line}"

    def cell(self, row: int, name: str) -> str | None:
        """A cell as it is written."""
        try:
            cells = next(cells for at, (_, cells) in enumerate(self.layout.rows()) if at == row)
            return cells[self.layout.names.index(name)]
        except (csv.Error, IndexError, StopIteration, ValueError):
            return None


def find_layout(path: Path, options: FileOptions, text: Collection[str] = ()) -> Layout:
    """Find the layout of a CSV file.

    Parameters
    ----------
    path : Path
    options : FileOptions
    text : collection of str
        Columns that are text, whatever they hold.

    Raises
    ------
    DataError
        The lines have no separator; the header has another number of cells than the rows, is not UTF-8, or names a
        column twice; the first row is a second header, or holds units.
    """
    head = read_head(path, options.skip_rows)
    if options.format is None and looks_like_libsvm(head):
        raise DataError(f"{path}: holds LIBSVM text, not CSV; read it with --format libsvm")
    try:
        return _layout(path, head, options, text)
    except csv.Error as error:
        raise cell_too_long(path) from error


def _layout(path: Path, head: Head, options: FileOptions, text: Collection[str]) -> Layout:
    if not head.records(","):
        raise DataError(f"{path}: holds nothing but lines that begin with '#'")
    sep = options.sep or find_separator(head.records)
    if sep is None:
        _refuse_blanks(path, head.lines())
        sep = ","  # one column
    n_columns, _ = most_common_length(head.records(sep))
    comments = "#" in head.text and _COMMENT.search(head.text) is not None
    clean = line_cleaner(sep, n_columns, comments)
    numbered_records = head.numbered_records("\t" if sep == BLANKS else sep, clean)
    records = [record for _, record in numbered_records]
    lines = [options.skip_rows + line for line, _ in numbered_records]
    if not options.header:
        _refuse_odd_start(path, records, lines, n_columns, "a row")
        names = [f"c{at}" for at in range(n_columns)]
        _refuse_row_without_numbers(path, records, lines[0], names, text, "a header; use --header")
        return Layout(path, sep, names, options.skip_rows, frozenset(), clean, records, [])
    header = _header(path, records, lines, n_columns)
    if len(records) < 2:
        raise DataError(f"{path}: has a header but no rows (use --no-header if its only line is a row)")
    names = [name if name else f"c{at}" for at, name in enumerate(header)]
    unnamed = {name for name, title in zip(names, header, strict=True) if not title or _UNNAMED.fullmatch(title)}
    _refuse_duplicates(path, names)
    advice = "a second header, or units; delete the line"
    _refuse_row_without_numbers(path, records[1:], lines[1], names, text, advice)
    _warn_of_numbers(path, header, lines[0])
    row_names = len(header) > len(records[0]) and not header[0]
    return Layout(path, sep, names, lines[0], frozenset(unnamed), clean, records[1:], header, row_names)


def _header(path: Path, records: Sequence[Sequence[str]], lines: Sequence[int], n_columns: int) -> list[str]:
    """The names in the first record, one for each column, empty for a column without a name."""
    header = [" ".join(name.split()) for name in records[0]]
    if header[0] == "#" and len(header) == n_columns + 1:  # "# a b c", as NumPy's savetxt writes it
        header = header[1:]
    elif header[0].startswith("#") and header[0].strip("# "):
        header[0] = header[0].lstrip("# ")
    for name in header:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            raise DataError(
                f"{path}, line {lines[0]}: the header is not UTF-8 text ('{text}'); "
                "convert the file, for example with iconv -f latin1 -t utf-8"
            )
    rows, records = records[1:], [header, *records[1:]]
    if len(header) == n_columns or not rows or any(len(row) != n_columns for row in rows):
        _refuse_odd_start(path, records, lines, n_columns, "the header")
        return header
    if len(header) == n_columns + 1 and not header[-1]:
        return header[:-1]
    if len(header) == n_columns - 1:
        if not any(row[-1].strip() for row in rows):  # each row ends in a separator
            return [*header, ""]
        if _like_row_names([row[0] for row in rows]):
            return ["", *header]
    if abs(len(header) - n_columns) == 1:
        raise DataError(
            f"{path}: line {lines[0]}, the header, has {fields(len(header))}, and the rows have {n_columns}; "
            "give each column a name in the header, or use --no-header if that line is a row"
        )
    _refuse_odd_start(path, records, lines, n_columns, "the header")
    return header


def _like_row_names(cells: Sequence[str]) -> bool:
    """Whether cells are like the row names that R writes: all different, and text or whole numbers that rise by one."""
    if len(set(cells)) < len(cells) or len(cells) < 2:
        return False
    try:
        numbers = [int(cell) for cell in cells]
    except ValueError:
        return not any(map(is_like_number, cells))
    return all(after - before == 1 for before, after in itertools.pairwise(numbers))


def _refuse_blanks(path: Path, lines: Sequence[str]) -> None:
    """Refuse lines of as many words each: without a separator each line would be read as one cell of text."""
    lengths = {len(line.split()) for line in lines}
    if len(lengths) == 1 and lengths != {1} and len(lines) > 1:
        raise DataError(
            f"{path}: no separator (comma, semicolon, tab or bar) in its lines, such as {lines[0][:40].strip()!r}; "
            "give the one character between cells with --sep, --sep ' ' for any run of blanks"
        )


def _refuse_odd_start(
    path: Path, records: Sequence[Sequence[str]], lines: Sequence[int], n_columns: int, role: str
) -> None:
    """Refuse leading lines with another number of cells than the rows: titles, or a header that is too short."""
    first_row = next((at for at, record in enumerate(records) if len(record) == n_columns), 0)
    if first_row == 0:
        return
    raise DataError(
        f"{path}: line {lines[0]} has {fields(len(records[0]))} where {n_columns} were expected; "
        f"if it is not {role}, pass over it with --skip-rows {lines[first_row - 1]}"
    )


def _refuse_row_without_numbers(
    path: Path, rows: Sequence[Sequence[str]], line: int, names: Sequence[str], text: Collection[str], advice: str
) -> None:
    """Refuse a first row of words above columns of numbers: a header, or units below the header."""
    if len(rows) <= _FEWEST_NUMBERS or len({len(row) for row in rows}) > 1:
        return
    oddity = None
    for name, (first, *others) in zip(names, zip(*rows, strict=True), strict=False):
        present = [cell for cell in others if cell.strip() not in MISSING_WORDS]
        if len(present) < _FEWEST_NUMBERS or not all(map(is_like_number, present)) or first.strip() in MISSING_WORDS:
            continue
        if is_like_number(first):
            return
        if name not in text:
            oddity = oddity or (name, first.strip(), present[0].strip())
    if oddity is not None:
        raise DataError(
            f"{path}, line {line}: holds {oddity[1][:40]!r} above numbers such as {oddity[2][:40]!r}, "
            f"and no number itself, like {advice}, or {text_option(oddity[0])} if that column is text"
        )


def _refuse_duplicates(path: Path, names: Sequence[str]) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{path}: the header names {count} columns {name!r}; rename them, or use --no-header if the file has none"
        )


def _warn_of_numbers(path: Path, header: Sequence[str], line: int) -> None:
    """Warn of a header of numbers, unless they are whole: most likely it is a row. Whole numbers may count columns."""
    if not all(map(reads_as_number, header)) or all(name.isdecimal() for name in header):
        return
    warnings.warn(
        f"{path}: line {line}, the header, holds numbers such as {header[0]!r}; if it is a row, use --no-header",
        UserWarning,
        stacklevel=2,
    )


def cell_too_long(path: Path) -> DataError:
    """The error for a cell that is longer than Python's csv module reads."""
    return DataError(f'{path}: a cell is longer than {csv.field_size_limit() >> 10} KiB; is a quote (") never closed?')


def fields(count: int) -> str:
    """``1 field``, ``2 fields``."""
    return f"{count} field{'' if count == 1 else 's'}"
