"""How the lines of a text file fall into cells: its separator, runs of blanks, comments."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

__all__ = ["BLANKS", "CleanedLines", "cleaner", "cut", "find_separator", "like_number", "most_common_length"]

BLANKS = " "
"""As a separator: any run of blanks and tabs; those around a line do not count."""

_SEPARATORS = (",", ";", "\t", "|", BLANKS)
_CELLS_JUDGED = 200
# A number in any notation, a percentage, an amount, a date or a time: digits and the signs that go with them.
_LIKE_NUMBER = re.compile(
    r"\s*[-+−(]?[$€£¥]?\s?[-+]?[.,]?\d+(?:(?:[.,'’/:-]|\s(?=\d{3}\b)|[T\s](?=\d{1,2}:\d\d))\d+)*"
    r"\.?([eE][-+]?\d+)?\s?[%€$£¥]?\)?\s*"
)
_QUOTED_OR_BLANKS = re.compile(rb'"(?:[^"]|"")*"|[ \t]+')
_BLANKS_AT_THE_ENDS = re.compile(rb"^[ \t]+|[ \t]+(?=\r?$)", re.MULTILINE)
_COMMENT = re.compile(rb"^[ \t]*#[^\r\n]*", re.MULTILINE)
_COMMENT_BYTES = 2**20


def cut(text: str, sep: str, clean: Callable[[bytes], bytes] | None = None) -> Iterator[tuple[int, list[str]]]:
    """Last line (from 1) and cells of record after record, without blank lines.

    ``csv.Error`` for a cell of more than 128 KiB. ``clean`` is applied to the text before.
    """
    changes = [change for change in (clean, single_tabs if sep == BLANKS else None) if change is not None]
    lines: Iterable[str] = io.StringIO(text, newline="")
    for change in changes:  # line by line, as few are asked for
        lines = map(functools.partial(_as_bytes, change), lines)
    reader = csv.reader(lines, delimiter="\t" if sep == BLANKS else sep)
    yield from ((reader.line_num, cells) for cells in reader if cells)


def _as_bytes(change: Callable[[bytes], bytes], text: str) -> str:
    return change(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def single_tabs(data: bytes) -> bytes:
    """Whole lines with each run of blanks outside quotes as one tab, and none at the ends."""
    data = _BLANKS_AT_THE_ENDS.sub(b"", data)
    return _QUOTED_OR_BLANKS.sub(lambda match: match[0] if match[0].startswith(b'"') else b"\t", data)


def without_comments(data: bytes, sep: str, n_columns: int) -> bytes:
    """Whole lines, those that begin with ``#`` empty; but not one that falls into as many cells as a row."""

    def shorten(match: re.Match[bytes]) -> bytes:
        line = match[0]
        cells = len(line.lstrip(b" \t#").split()) if sep == BLANKS else line.count(sep.encode()) + 1
        return line if cells == n_columns and n_columns > 1 else b""

    return _COMMENT.sub(shorten, data)


def cleaner(sep: str, n_columns: int, comments: bool) -> Callable[[bytes], bytes] | None:
    """What makes of whole lines what a reader of CSV takes, line for line; None where they are so already."""
    if comments and sep == BLANKS:
        return lambda data: single_tabs(without_comments(data, sep, n_columns))
    if comments:
        return lambda data: without_comments(data, sep, n_columns)
    return single_tabs if sep == BLANKS else None


class CleanedLines(io.RawIOBase):
    """A stream of text lines, each cleaned on the way.

    Parameters
    ----------
    stream : binary file
    clean : callable
        From whole lines to as many lines.
    """

    def __init__(self, stream: Any, clean: Callable[[bytes], bytes]) -> None:
        self._stream, self._clean = stream, clean
        self._ready, self._rest = memoryview(b""), b""

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes; 0 at the end."""
        while not self._ready:
            data = self._stream.read(_COMMENT_BYTES)
            whole, last, rest = (self._rest + data).rpartition(b"\n") if data else (self._rest, b"", b"")
            if not data and not whole:
                return 0
            self._ready, self._rest = memoryview(self._clean(whole + last)), rest
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def find_separator(records_by: Callable[[str], Sequence[Sequence[str]]], least_share: float = 0.0) -> str | None:
    """The separator that makes the most of the first records, or None.

    The best cuts the most of them into the same number of cells, at least two; of those that do so alike, it leaves the
    most cells that are numbers or hold no other separator; of those, it makes the most numbers and then the most cells.

    Parameters
    ----------
    records_by : callable
        Records for a separator; may raise ``csv.Error``.
    least_share : float
        Share of the records that must have the same number of cells.
    """
    best, best_score = None, (least_share, 0.0, 0.0, 0)
    for sep in _SEPARATORS:
        try:
            records = records_by(sep)
        except csv.Error:  # this is not the separator, or a quote is never closed
            continue
        count, agreeing = most_common_length(records)
        share = agreeing / len(records) if records else 0.0
        if count < 2 or share <= least_share:
            continue
        alike = [record[:_CELLS_JUDGED] for record in records if len(record) == count]
        if sep == BLANKS and not _has_numbers(alike, every=best is not None):
            continue
        cells = [cell for record in alike for cell in record]
        numbers = [like_number(cell) for cell in cells]
        others = [other for other in _SEPARATORS if other not in (sep, BLANKS)]
        clean = [
            number or not any(other in cell for other in others) for number, cell in zip(numbers, cells, strict=True)
        ]
        score = (share, sum(clean) / len(cells), sum(numbers) / len(cells), count)
        if score > best_score:
            best, best_score = sep, score
    return best


def like_number(cell: str) -> bool:
    """Whether a cell is a number in any notation, a percentage, an amount, a date or a time of digits."""
    return _LIKE_NUMBER.fullmatch(cell) is not None


def _has_numbers(records: Sequence[Sequence[str]], every: bool) -> bool:
    """Whether a column, or ``every``, is of numbers, whatever its first cell is: blanks also stand between words."""
    rows = records[1:] or records
    found = (all(map(like_number, column)) for column in zip(*rows, strict=True))
    return all(found) if every else any(found)


def most_common_length(records: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The most common number of cells of a record (the first of them on a tie), and how many records have it."""
    lengths = Counter(len(record) for record in records)
    return lengths.most_common(1)[0] if lengths else (0, 0)
