"""Which format a file of data is in: by the wish of the user, by its ending, or by its first lines."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import (
    NotTextError,
    content,
    inner_name,
    member_names,
    open_stream,
    reading,
)
from gpu_logreg.files.separators import cut, find_separator
from gpu_logreg.files.streams import parquet_parts

__all__ = [
    "FORMATS",
    "THOUSANDS",
    "FileOptions",
    "Head",
    "applicable",
    "choose_format",
    "looks_like_libsvm",
    "read_head",
]

FORMATS = ("csv", "parquet", "npy", "npz", "libsvm")

THOUSANDS = (",", ".", " ", "'")
"""What may stand between groups of three digits; a blank is of any width."""

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".svm": "libsvm",
    ".libsvm": "libsvm",
    ".svmlight": "libsvm",
}
_TEXT_ENDINGS = (".data", ".txt")  # LIBSVM text where it looks like it, else CSV
_HEAD_BYTES = 2**22
_HEAD_RECORDS = 100
_COMMENT_LINE = re.compile(rb"^[ \t]*#[^\r\n]*", re.MULTILINE)
_LIBSVM_LINE = re.compile(r"\s*[-+]?[\d.]\S*(\s+(qid|\d+):[^\s,;|]+)*\s*(#.*)?")
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
        Separator of CSV, one character, where a blank stands for any run of blanks and tabs; None finds it among comma,
        semicolon, tab, bar and blanks.
    skip_rows : int
        Lines of CSV to pass over before the header or the first row.
    features : str or None
        The array of an ``.npz`` archive that holds the rows; None takes the only one that can.
    dense : bool
        Whether LIBSVM text is made dense however little of it is stored, as it must be on a GPU.
    decimal : "." or "," or None
        Decimal mark of CSV; None finds it.
    thousands : str or None
        What stands between groups of three digits in CSV, one character; None finds it.
    missing : tuple of str or None
        Words for missing cells of a table, apart from empty ones; None takes
        `gpu_logreg.files.arrow_columns.MISSING_WORDS`.
    text : tuple of str
        Columns of a table to keep as text, even if all their cells read as numbers or dates.
    """

    format: str | None = None
    header: bool = True
    sep: str | None = None
    skip_rows: int = 0
    features: str | None = None
    dense: bool = False
    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] | None = None
    text: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise DataError(f"format {self.format!r} is not known; use one of {', '.join(FORMATS)}")
        if self.sep == "\\t":  # what a shell makes of --sep '\t'
            object.__setattr__(self, "sep", "\t")
        if self.sep is not None and (len(self.sep) != 1 or ord(self.sep) > 127 or self.sep in '"\r\n'):
            raise DataError(f"separator {self.sep!r} cannot be used; give one character, such as ',' or ';' or '\\t'")
        if self.skip_rows < 0:
            raise DataError(f"skip_rows is {self.skip_rows}; give the number of lines to pass over, 0 or more")
        if self.decimal not in (None, ".", ","):
            raise DataError(f"decimal mark {self.decimal!r} is not known; give '.' or ','")
        if self.thousands is not None and self.thousands not in THOUSANDS:
            raise DataError(
                f"thousands mark {self.thousands!r} is not known; give one of {', '.join(map(repr, THOUSANDS))}"
            )
        if self.decimal is not None and self.decimal == self.thousands:
            raise DataError(f"{self.decimal!r} cannot be both the decimal mark and that of thousands; correct one")


def choose_format(path: Path, options: FileOptions) -> str:
    """One of `FORMATS` for ``path``.

    Raises
    ------
    DataError
        If neither the ending nor the first lines decide, with the choices; or an option that does not apply to the
        format.
    """
    kind = options.format or _find_format(path, options)
    _refuse_options(path, options, kind)
    return kind


# What is only for some formats: the option, the value that is not given, those formats.
_ONLY_FOR = {
    "features": (None, ("npz",)),
    "sep": (None, ("csv",)),
    "skip_rows": (0, ("csv",)),
    "decimal": (None, ("csv",)),
    "thousands": (None, ("csv",)),
    "missing": (None, ("csv", "parquet")),
    "text": ((), ("csv", "parquet")),
}
_FORMAT_NAMES = {"csv": "CSV", "parquet": "Parquet", "npy": "a NumPy .npy file", "npz": "an .npz archive"}


def _refuse_options(path: Path, options: FileOptions, kind: str) -> None:
    for name, (default, kinds) in _ONLY_FOR.items():
        if getattr(options, name) != default and kind not in kinds:
            named = ".npz archives" if kinds == ("npz",) else " and ".join(_FORMAT_NAMES[known] for known in kinds)
            raise DataError(
                f"{path}: --{name.replace('_', '-')} is for {named}, and this is "
                f"{_FORMAT_NAMES.get(kind, 'LIBSVM text')}; leave it out"
            )


def refuse_header(path: Path, options: FileOptions) -> None:
    """Refuse --header and --no-header for a file that is not CSV."""
    kind = options.format or _find_format(path, options)
    if kind != "csv":
        raise DataError(
            f"{path}: --header and --no-header are for CSV, and this is {_FORMAT_NAMES.get(kind, 'LIBSVM text')}; "
            "leave them out"
        )


def applicable(options: FileOptions, path: Path) -> FileOptions:
    """``options`` without those that do not apply to the format of ``path``, for a file beside the one meant."""
    kind = options.format or _find_format(path, options)
    others: dict[str, Any] = {name: default for name, (default, kinds) in _ONLY_FOR.items() if kind not in kinds}
    return replace(options, **others)


def _find_format(path: Path, options: FileOptions) -> str:
    if parquet_parts(path):
        return "parquet"
    name = inner_name(path).lower()
    ending = Path(name).suffix
    if ending in _ENDINGS:
        found = _ENDINGS[ending]
        if found in ("parquet", "npy", "npz") and name != path.name.lower():
            raise DataError(f"{path}: a compressed {found} file cannot be read; unpack it first")
        return found
    binary = _binary_format(path)
    if binary is not None:
        return binary
    choices = f"name its format: --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    try:
        head = read_head(path, options.skip_rows)
    except NotTextError as error:
        raise DataError(f"{path}: its ending does not tell its format, and it is not text; {choices}") from error
    if looks_like_libsvm(head):
        return "libsvm"
    if ending in _TEXT_ENDINGS or options.sep is not None or find_separator(head.records, 0.5) is not None:
        return "csv"
    raise DataError(f"{path}: neither its ending nor its first lines tell its format; {choices}")


def _binary_format(path: Path) -> str | None:
    """The format that the first bytes give away, whatever the ending."""
    with reading(path):
        with open(path, "rb") as file:
            found = content(file.read(8))
        if found == "zip" and all(name.endswith(".npy") for name in member_names(path)):
            return "npz"
    return {"Parquet": "parquet", "NumPy .npy": "npy"}.get(found or "")


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
        """Cells of the first records, blank lines and those that begin with ``#`` left out.

        ``csv.Error`` for a cell of more than 128 KiB.
        """
        return [cells for _, cells in self.numbered(sep, lambda data: _COMMENT_LINE.sub(b"", data))]

    def numbered(self, sep: str, clean: Callable[[bytes], bytes] | None = None) -> list[tuple[int, list[str]]]:
        """The last line of each of the first records, counted from 1 after the skipped lines, and its cells."""
        found: list[tuple[int, list[str]]] = []
        for record in cut(self.text, sep, clean):
            found.append(record)
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
    """Whether bytes are most likely UTF-16 text of Latin letters, without a mark that says so."""
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
