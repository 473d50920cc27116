"""How the lines of a text file are cut into cells: by a separator or by runs of blanks, and without comments."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "BLANKS",
    "CleanedLines",
    "cut_records",
    "find_separator",
    "is_like_number",
    "line_cleaner",
    "most_common_length",
]

BLANKS = " "
"""The separator that stands for any run of blanks and tabs; those at the ends of a line do not count."""

_SEPARATORS = (",", ";", "\t", "|", BLANKS)

_CELLS_JUDGED = 200
"""Cells of a record that are judged, so that a file of a million columns is not searched for long."""

# A number in any notation, a percentage, an amount, a date or a time: digits and the signs that go with them.
_LIKE_NUMBER = re.compile(
    r"\s*[-+−(]?[$€£¥]?\s?[-+]?[.,]?\d+(?:(?:[.,'’/:-]|\s(?=\d{3}\b)|[T\s](?=\d{1,2}:\d\d))\d+)*"
    r"\.?([eE][-+]?\d+)?\s?[%€$£¥]?\)?\s*"
)
_QUOTED_OR_BLANKS = re.compile(rb'"(?:[^"]|"")*"|[ \t]+')
_BLANKS_AT_THE_ENDS = re.compile(rb"^[ \t]+|[ \t]+(?=\r?$)", re.MULTILINE)
_COMMENT = re.compile(rb"^[ \t]*#[^\r\n]*", re.MULTILINE)

_CLEANED_BYTES = 2**20
"""Bytes of a stream that are cleaned at once."""


def cut_records(text: str, sep: str, clean: Callable[[bytes], bytes] | None = None) -> Iterator[tuple[int, list[str]]]:
    """The number of the last line, from 1, and the cells of each record that is not blank.

    ``clean`` is applied to each line first. Raises ``csv.Error`` for a cell of more than 128 KiB.
    """
    changes = [change for change in (clean, single_tabs if sep == BLANKS else None) if change is not None]
    lines: Iterable[str] = io.StringIO(text, newline="")
    for change in changes:  # line by line: the caller takes the first records alone
        lines = map(functools.partial(_as_bytes, change), lines)
    reader = csv.reader(lines, delimiter="\t" if sep == BLANKS else sep)
    yield from ((reader.line_num, cells) for cells in reader if cells)


def _as_bytes(change: Callable[[bytes], bytes], text: str) -> str:
    return change(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def single_tabs(data: bytes) -> bytes:
    """Whole lines with one tab for each run of blanks outside quotes, and no blanks at their ends."""
    data = _BLANKS_AT_THE_ENDS.sub(b"", data)
    return _QUOTED_OR_BLANKS.sub(lambda match: match[0] if match[0].startswith(b'"') else b"\t", data)


def without_comments(data: bytes, sep: str, n_columns: int) -> bytes:
    """Whole lines, those that begin with ``#`` empty. A line with as many cells as a row is no comment, and stays."""

    def shorten(match: re.Match[bytes]) -> bytes:
        line = match[0]
        cells = len(line.lstrip(b" \t#").split()) if sep == BLANKS else line.count(sep.encode()) + 1
        return line if cells == n_columns and n_columns > 1 else b""

    return _COMMENT.sub(shorten, data)


def line_cleaner(sep: str, n_columns: int, comments: bool) -> Callable[[bytes], bytes] | None:
    """The function that prepares whole lines for a CSV reader, line for line; None where they need no change."""
    if comments and sep == BLANKS:
        return lambda data: single_tabs(without_comments(data, sep, n_columns))
    if comments:
        return lambda data: without_comments(data, sep, n_columns)
    return single_tabs if sep == BLANKS else None


class CleanedLines(io.RawIOBase):
    """A binary stream of the lines of another one, with a function applied to them.

    Parameters
    ----------
    stream : binary file
    clean : callable
        Function from the bytes of whole lines to those of as many lines.
    """

    def __init__(self, stream: IO[bytes], clean: Callable[[bytes], bytes]) -> None:
        self._stream, self._clean = stream, clean
        self._ready, self._rest = memoryview(b""), b""

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Write the next bytes into ``buffer`` and return their number; 0 at the end."""
        while not self._ready:
            data = self._stream.read(_CLEANED_BYTES)
            whole, last, rest = (self._rest + data).rpartition(b"\n") if data else (self._rest, b"", b"")
            if not data and not whole:
                return 0
            self._ready, self._rest = memoryview(self._clean(whole + last)), rest
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def find_separator(records_by: Callable[[str], Sequence[Sequence[str]]], least_share: float = 0.0) -> str | None:
    """The most likely separator of the first records; None if none cuts them into cells.

    The best one cuts the largest share of the records into the same number of cells, at least two. Among separators
    with the same share, it is the one with the largest share of cells that are numbers or hold no other separator; then
    the one with the largest share of numbers; then the one with the most cells.

    Parameters
    ----------
    records_by : callable
        Function from a separator to the records cut by it; may raise ``csv.Error``.
    least_share : float
        Share of the records that must have the same number of cells.
    """
    best, best_score = None, (least_share, 0.0, 0.0, 0)
    for sep in _SEPARATORS:
        try:
            records = records_by(sep)
        except csv.Error:  # another character is the separator, or a quote is never closed
            continue
        count, agreeing = most_common_length(records)
        share = agreeing / len(records) if records else 0.0
        if count < 2 or share <= least_share:
            continue
        regular_records = [record[:_CELLS_JUDGED] for record in records if len(record) == count]
        if sep == BLANKS and not _has_numbers(regular_records, every=best is not None):
            continue
        cells = [cell for record in regular_records for cell in record]
        numbers = [is_like_number(cell) for cell in cells]
        others = [other for other in _SEPARATORS if other not in (sep, BLANKS)]
        clean = [
            number or not any(other in cell for other in others) for number, cell in zip(numbers, cells, strict=True)
        ]
        score = (share, sum(clean) / len(cells), sum(numbers) / len(cells), count)
        if score > best_score:
            best, best_score = sep, score
    return best


def is_like_number(cell: str) -> bool:
    """Whether a cell is a number in any notation, a percentage, an amount, a date or a time of digits."""
    return _LIKE_NUMBER.fullmatch(cell) is not None


def _has_numbers(records: Sequence[Sequence[str]], every: bool) -> bool:
    """Whether some column, or with ``every`` each column, holds numbers below its first cell.

    Blanks separate the words of prose too, so that they are taken for a separator only between numbers.
    """
    rows = records[1:] or records
    are_numbers = (all(map(is_like_number, column)) for column in zip(*rows, strict=True))
    return all(are_numbers) if every else any(are_numbers)


def most_common_length(records: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The most common number of cells of a record, the first such number on a tie, and how many records have it."""
    lengths = Counter(len(record) for record in records)
    return lengths.most_common(1)[0] if lengths else (0, 0)
