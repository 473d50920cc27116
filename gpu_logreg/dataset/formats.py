"""Which format a file of data is in: by the wish of the user, by its ending, or by its first lines."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_logreg.dataset.reading import NotTextError, inner_name, open_stream, reading
from gpu_logreg.errors import DataError

__all__ = ["FORMATS", "FileOptions", "Head", "choose_format", "find_separator", "read_head"]

FORMATS = ("csv", "parquet", "npy", "npz", "libsvm")

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".svm": "libsvm",
    ".libsvm": "libsvm",
    ".svmlight": "libsvm",
}
_TEXT_ENDINGS = (".data", ".txt")  # LIBSVM text where it looks like it, else CSV
_SEPARATORS = (",", ";", "\t", "|")
_HEAD_BYTES = 2**22
_HEAD_RECORDS = 100
_LIBSVM_LINE = re.compile(r"\s*[-+]?[\d.]\S*(\s+(qid|\d+):\S+)*\s*(#.*)?")
_LIBSVM_PAIR = re.compile(r"\s\d+:[-+\d.]")


@dataclass(frozen=True)
class FileOptions:
    """How to read a file of data; the same options serve for training, validation and prediction.

    Attributes
    ----------
    format : str or None
        One of `FORMATS`; None decides by the ending of the file, then by its first lines.
    header : bool
        Whether the first line of CSV holds the names of the columns; else they are ``c0``, ``c1``, ...
    sep : str or None
        Separator of CSV, one character; None finds it among comma, semicolon, tab and bar.
    skip_rows : int
        Lines of CSV to pass over before the header or the first row.
    features : str or None
        The array of an ``.npz`` archive that holds the rows; None takes the only one that can.
    dense : bool
        Whether LIBSVM text is made dense however little of it is stored, as it must be on a GPU.
    """

    format: str | None = None
    header: bool = True
    sep: str | None = None
    skip_rows: int = 0
    features: str | None = None
    dense: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise DataError(f"format {self.format!r} is not known; use one of {', '.join(FORMATS)}")
        if self.sep == "\\t":  # what a shell makes of --sep '\t'
            object.__setattr__(self, "sep", "\t")
        if self.sep is not None and (len(self.sep) != 1 or ord(self.sep) > 127 or self.sep in '"\r\n'):
            raise DataError(f"separator {self.sep!r} cannot be used; give one character, such as ',' or ';' or '\\t'")
        if self.skip_rows < 0:
            raise DataError(f"skip_rows is {self.skip_rows}; give the number of lines to pass over, 0 or more")


def choose_format(path: Path, options: FileOptions) -> str:
    """One of `FORMATS` for ``path``.

    Raises
    ------
    DataError
        If neither the ending nor the first lines decide; the message names the choices.
    """
    if options.format is not None:
        return options.format
    name = inner_name(path).lower()
    ending = Path(name).suffix
    if ending in _ENDINGS:
        found = _ENDINGS[ending]
        if found in ("parquet", "npy", "npz") and name != path.name.lower():
            raise DataError(f"{path}: a compressed {found} file cannot be read; unpack it first")
        return found
    choices = f"name its format: --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    try:
        head = read_head(path, options.skip_rows)
    except NotTextError as error:
        raise DataError(f"{path}: its ending does not tell its format, and it is not text; {choices}") from error
    if looks_like_libsvm(head):
        return "libsvm"
    if ending in _TEXT_ENDINGS or options.sep is not None or find_separator(head, 0.5) is not None:
        return "csv"
    raise DataError(f"{path}: neither its ending nor its first lines tell its format; {choices}")


@dataclass(frozen=True)
class Head:
    """The first lines of a text file.

    Attributes
    ----------
    text : str
        What follows the skipped lines.
    complete : bool
        Whether that is the whole file.
    """

    text: str
    complete: bool

    def records(self, sep: str) -> list[list[str]]:
        """Cells of the first records, blank lines left out; ``csv.Error`` for a cell of more than 128 KiB."""
        found: list[list[str]] = []
        for cells in csv.reader(io.StringIO(self.text, newline=""), delimiter=sep):
            if cells:
                found.append(cells)
            if len(found) > _HEAD_RECORDS:
                break
        if len(found) > 1 and (not self.complete or len(found) > _HEAD_RECORDS):
            found.pop()  # may be cut off
        return found

    def lines(self, most: int = 20) -> list[str]:
        """The first lines that are not blank."""
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
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16 text; convert it: iconv -f utf-16 -t utf-8")
    if b"\0" in data:
        raise NotTextError(f"{path}: holds binary data where text was expected; give it the ending of what it is")
    lines = io.StringIO(data.decode("utf-8-sig", errors="replace"), newline="")
    for skipped in range(skip_rows):
        if not lines.readline():
            raise DataError(f"{path}: has {skipped} lines, and {skip_rows} were to be skipped")
    text = lines.read()
    if not text.strip():
        after = f" after the {skip_rows} skipped" if skip_rows else ""
        raise DataError(f"{path}: holds no line{after}" if skip_rows else f"{path}: is empty")
    return Head(text, complete)


def looks_like_libsvm(head: Head) -> bool:
    """Whether the first lines are labels followed by ``index:value`` pairs."""
    lines = [line for line in head.lines() if not line.lstrip().startswith("#")]
    return (
        bool(lines)
        and all(_LIBSVM_LINE.fullmatch(line) for line in lines)
        and any(_LIBSVM_PAIR.search(line) for line in lines)
    )


def find_separator(head: Head, least_share: float = 0.0) -> str | None:
    """The separator that cuts the most of the first records into the same number of cells, at least two.

    None if no separator does so for more than ``least_share`` of them.
    """
    best, best_score = None, (least_share, 0)
    for sep in _SEPARATORS:
        try:
            records = head.records(sep)
        except csv.Error:  # this is not the separator, or a quote is never closed
            continue
        count, agreeing = most_common_length(records)
        score = (agreeing / len(records) if records else 0.0, count)
        if count > 1 and score[0] > least_share and score > best_score:
            best, best_score = sep, score
    return best


def most_common_length(records: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The most common number of cells of a record (the first of them on a tie), and how many records have it."""
    lengths = Counter(len(record) for record in records)
    return lengths.most_common(1)[0] if lengths else (0, 0)
