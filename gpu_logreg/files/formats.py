"""The format of a file of data: the one that the user names, else by its ending, else by its first bytes or lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpu_logreg.errors import DataError
from gpu_logreg.files.head import looks_like_libsvm, read_head
from gpu_logreg.files.reading import (
    NotTextError,
    file_kind,
    inner_name,
    member_names,
    reading,
)
from gpu_logreg.files.separators import find_separator
from gpu_logreg.files.streams import parquet_parts

__all__ = [
    "FORMATS",
    "THOUSANDS",
    "FileOptions",
    "applicable_options",
    "choose_format",
    "refuse_header",
]

FORMATS = ("csv", "parquet", "npy", "npz", "libsvm")

THOUSANDS = (",", ".", " ", "'")
"""Marks that may stand between groups of three digits. A blank stands for Unicode's blanks of other widths too."""

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


@dataclass(frozen=True)
class FileOptions:
    """How to read a file of data; training, validation and prediction have the same options.

    Attributes
    ----------
    format : str or None
        One of `FORMATS`; None finds it by the ending of the file, then by its first lines.
    header : bool
        Whether the first line of CSV holds the names of the columns; else they are ``c0``, ``c1``, ...
    sep : str or None
        Separator of CSV, one character; a blank stands for any run of blanks and tabs. None finds it among comma,
        semicolon, tab, bar and blanks.
    skip_rows : int
        Lines of CSV to pass over before the header or the first row.
    features : str or None
        The array of an ``.npz`` archive that holds the rows; None takes the only one that can.
    dense : bool
        Whether sparse rows are made dense, as a GPU needs them.
    decimal : "." or "," or None
        Decimal mark of CSV; None finds it.
    thousands : str or None
        Mark between groups of three digits in CSV, one character; None finds it.
    missing : tuple of str or None
        Words for missing cells of a table; an empty cell is missing in any case. None takes
        `gpu_logreg.files.arrow_columns.MISSING_WORDS`.
    text : tuple of str
        Columns of a table to keep as text, even if all their cells read as numbers or dates.

    Examples
    --------
    >>> FileOptions(sep=";", decimal=",").header
    True
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
        if self.sep == "\\t":  # a shell passes --sep '\t' as a backslash and a t
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
        Neither the ending nor the first lines decide, and the message lists the choices; or an option does not apply to
        the format.
    """
    kind = options.format or _find_format(path, options)
    _refuse_options(path, options, kind)
    return kind


_ONLY_FOR = {
    "features": (None, ("npz",)),
    "sep": (None, ("csv",)),
    "skip_rows": (0, ("csv",)),
    "decimal": (None, ("csv",)),
    "thousands": (None, ("csv",)),
    "missing": (None, ("csv", "parquet")),
    "text": ((), ("csv", "parquet")),
}
"""Options that only some formats have: the default, and those formats."""

_FORMAT_NAMES = {"csv": "CSV", "parquet": "Parquet", "npy": "a NumPy .npy file", "npz": "an .npz archive"}


def _refuse_options(path: Path, options: FileOptions, kind: str) -> None:
    for name, (default, kinds) in _ONLY_FOR.items():
        if getattr(options, name) != default and kind not in kinds:
            names = (
                ".npz archives" if kinds == ("npz",) else " and ".join(_FORMAT_NAMES[kind_name] for kind_name in kinds)
            )
            raise DataError(
                f"{path}: --{name.replace('_', '-')} is for {names}, and this is "
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


def applicable_options(options: FileOptions, path: Path) -> FileOptions:
    """``options`` with the defaults of those that the format of ``path`` does not have.

    The test file of a training, say, may have another format than the training file that the options are for.
    """
    kind = options.format or _find_format(path, options)
    others: dict[str, Any] = {name: default for name, (default, kinds) in _ONLY_FOR.items() if kind not in kinds}
    return replace(options, **others)


def _find_format(path: Path, options: FileOptions) -> str:
    if parquet_parts(path):
        return "parquet"
    name = inner_name(path).lower()
    ending = Path(name).suffix
    if ending in _ENDINGS:
        kind = _ENDINGS[ending]
        if kind in ("parquet", "npy", "npz") and name != path.name.lower():
            raise DataError(f"{path}: a compressed {kind} file cannot be read; unpack it first")
        return kind
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
    """The format by the first bytes of a file; None where they are not those of a binary format."""
    with reading(path):
        with open(path, "rb") as file:
            kind = file_kind(file.read(8))
        if kind == "zip" and all(name.endswith(".npy") for name in member_names(path)):
            return "npz"
    return {"Parquet": "parquet", "NumPy .npy": "npy"}.get(kind or "")
