"""The first lines of a text file, from which its format and layout are found."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import NotTextError, open_stream, reading
from gpu_logreg.files.separators import cut_records

__all__ = ["Head", "looks_like_libsvm", "read_head"]

_HEAD_BYTES = 2**22
"""Bytes of a text file that are read to find its format and layout; a line may be long."""

_HEAD_RECORDS = 100
"""Records of these that are judged."""

_COMMENT_LINE = re.compile(rb"^[ \t]*#[^\r\n]*", re.MULTILINE)
_LIBSVM_LINE = re.compile(r"\s*[-+]?[\d.]\S*(\s+(qid|\d+):[^\s,;|]+)*\s*(#.*)?")
_LIBSVM_PAIR = re.compile(r"\s\d+:[-+\d.]")


@dataclass(frozen=True)
class Head:
    """The first lines of a text file.

    Attributes
    ----------
    text : str
        The beginning of the file after the skipped lines.
    complete : bool
        Whether that is the rest of the file.
    """

    text: str
    complete: bool

    def records(self, sep: str) -> list[list[str]]:
        """Cells of the first records, without blank lines and lines that begin with ``#``.

        Raises ``csv.Error`` for a cell of more than 128 KiB.
        """
        return [cells for _, cells in self.numbered_records(sep, lambda data: _COMMENT_LINE.sub(b"", data))]

    def numbered_records(self, sep: str, clean: Callable[[bytes], bytes] | None = None) -> list[tuple[int, list[str]]]:
        """The last line of each of the first records, counted from 1 after the skipped lines, and its cells."""
        records: list[tuple[int, list[str]]] = []
        for record in cut_records(self.text, sep, clean):
            records.append(record)
            if len(records) > _HEAD_RECORDS:
                break
        if len(records) > 1 and (not self.complete or len(records) > _HEAD_RECORDS):
            records.pop()  # the beginning of the file may end within it
        return records

    def lines(self, most: int = 20) -> list[str]:
        """The first ``most`` lines that are not blank."""
        lines = [line for line in self.text[:65536].splitlines() if line.strip()]
        return lines[:most] if len(lines) == 1 or len(self.text) <= 65536 else lines[:-1][:most]


def read_head(path: Path, skip_rows: int = 0) -> Head:
    """The first lines of a text file after ``skip_rows`` lines.

    Raises
    ------
    DataError
        If the file is empty, binary, or has no line left.
    """
    with reading(path), open_stream(path) as stream:
        data = stream.read(_HEAD_BYTES)
        complete = len(data) < _HEAD_BYTES
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _every_other_zero(data[:200]):
        raise DataError(f"{path}: is UTF-16 text; convert it: iconv -f utf-16 -t utf-8")
    if b"\0" in data:
        raise NotTextError(f"{path}: holds binary data where text was expected; give it the ending of what it is")
    lines = io.StringIO(data.decode("utf-8-sig", errors="surrogateescape"), newline="")
    for skipped in range(skip_rows):
        if not lines.readline():
            raise DataError(f"{path}: has {skipped} lines, and {skip_rows} were to be skipped")
    text = lines.read()
    if not text.strip():
        after = f" after the {skip_rows} skipped" if skip_rows else ""
        raise DataError(f"{path}: holds no line{after}" if skip_rows else f"{path}: is empty")
    return Head(text, complete)


def _every_other_zero(data: bytes) -> bool:
    """Whether bytes are most likely UTF-16 text of Latin letters without a byte-order mark."""
    zeros = sorted((data[::2].count(0), data[1::2].count(0)))
    return len(data) > 1 and zeros[0] == 0 and 4 * zeros[1] > len(data)


def looks_like_libsvm(head: Head) -> bool:
    """Whether the first lines are labels followed by ``index:value`` pairs."""
    lines = [line for line in head.lines() if not line.lstrip().startswith("#")]
    return (
        bool(lines)
        and all(_LIBSVM_LINE.fullmatch(line) for line in lines)
        and any(_LIBSVM_PAIR.search(line) for line in lines)
    )
