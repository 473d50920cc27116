"""Opening a file of data: its compression, the errors of reading it in one line, and the memory available for it."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.errors import DataError, GpuLogregError, MissingDependencyError
from gpu_logreg.files.column_names import list_first

__all__ = [
    "SHOWN_MEMBERS",
    "NotTextError",
    "compression",
    "file_kind",
    "gib",
    "import_pyarrow",
    "inner_name",
    "member_names",
    "open_stream",
    "reading",
    "refuse_change",
    "state_of",
]

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"PAR1": "Parquet",
    b"\x93NUMPY": "NumPy .npy",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
"""First bytes of a file by the kind that they show."""

_COMPRESSION = {".gz": "gzip", ".bz2": "bzip2", ".zip": "zip", ".xz": "xz", ".zst": "Zstandard"}
"""Endings of compressed files."""

_DAMAGE_ERRORS = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
"""Exceptions on a truncated or damaged compressed file."""

_DAMAGE_MESSAGES = ("Invalid data stream", "ZSTD", "Truncated compressed stream")
"""What bz2, and Arrow for Zstandard, say of a flipped bit and of a missing end in an OSError."""

SHOWN_MEMBERS = 8
"""Members of an archive that a message lists."""


class NotTextError(DataError):
    """A file that should hold text holds binary data."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """A context that turns an exception while ``path`` is read into a `DataError` of one line that names the path.

    Errors of gpu-logreg pass unchanged, as they name the line or the column too.
    """
    try:
        yield
    except GpuLogregError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a directory; give one file") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit in memory ({gib(free_memory())} are available)") from error
    except _DAMAGE_ERRORS as error:
        raise DataError(f"{path}: is truncated or damaged ({_first_line(error)}); fetch it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; convert it, for example: iconv -f latin1 -t utf-8") from error
    except OSError as error:
        if any(words in str(error) for words in _DAMAGE_MESSAGES):
            raise DataError(f"{path}: is truncated or damaged ({_first_line(error)}); fetch it again") from error
        raise DataError(f"{path}: cannot be read: {error.strerror or _first_line(error)}") from error
    except ValueError as error:  # pyarrow's ArrowInvalid is a subclass
        raise DataError(f"{path}: cannot be read: {_first_line(error)}") from error
    except RuntimeError as error:  # zipfile raises it for a password, and for an unknown compression
        raise DataError(f"{path}: cannot be unpacked ({_first_line(error)}); unpack it first") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def file_kind(head: bytes) -> str | None:
    """The kind of a file by its first bytes: ``"gzip"``, ``"Parquet"``, ...; None if they are of no known kind."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def inner_name(path: Path) -> str:
    """Name of the data in a file, without the ending of its compression: ``a9a`` for ``a9a.gz``.

    Raises
    ------
    DataError
        If a zip archive holds more than one file; the message names them.
    """
    if path.suffix.lower() == ".zip":
        with reading(path):
            return Path(_only_member(path)).name
    return path.stem if path.suffix.lower() in _COMPRESSION else path.name


def member_names(path: Path) -> list[str]:
    """Names of the files in a zip archive, without folders and the metadata that macOS adds."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]


def _only_member(path: Path) -> str:
    compression(path)
    members = member_names(path)
    if len(members) != 1:
        description = f"{len(members)} files ({list_first(members, SHOWN_MEMBERS)})"
        advice = f"name one of them: {path}:{members[0]}" if members else "give another"
        raise DataError(f"{path}: holds {description if members else 'no file'}; {advice}")
    return members[0]


def compression(path: Path) -> str | None:
    """The compression of a text file: ``"gzip"``, ``"zip"``, ..., or None.

    The ending of its name decides; for a name without an ending, as a pipe has, the first bytes do.

    Raises
    ------
    DataError
        If the file is empty, or its first bytes are not those of its ending.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise DataError(f"{path}: is empty")
    actual, expected = file_kind(head), _COMPRESSION.get(path.suffix.lower())
    if actual == expected or (not path.suffix and actual in _COMPRESSION.values()):
        return actual
    if expected is not None:
        what = f"{actual} data" if actual else "something else"
        raise DataError(f"{path}: ends in {path.suffix} but holds {what}; give it the ending of what it is")
    raise NotTextError(f"{path}: holds {actual} data where text was expected; give it the ending of what it is")


@contextlib.contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a text file for reading bytes, through gzip, bzip2, xz, Zstandard or the only member of a zip archive.

    Raises
    ------
    DataError
        If the file is empty, or its first bytes are not those of its ending.
    """
    packed = compression(path)
    if packed == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(_only_member(path)) as member:
            yield member
    elif packed == "Zstandard":
        with open(path, "rb") as file, import_pyarrow().CompressedInputStream(file, "zstd") as stream:
            yield io.BufferedReader(stream)
    else:
        opener: Any = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, None: open}[packed]
        with opener(path, "rb") as stream:
            yield stream


def import_pyarrow(module: str = "pyarrow") -> Any:
    """``pyarrow`` or one of its modules, or an error that names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            "tables (CSV, Parquet, data frames) are read with pyarrow, which is not installed; "
            "install it with: pip install 'gpu-logreg[cli]'"
        ) from error


def state_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Size and time of the last change of a local file; None of another."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def refuse_change(path: str | os.PathLike[str], state: tuple[int, int] | None) -> None:
    """Raise a `DataError` where a file is not in the state any more that `state_of` gave."""
    if state_of(path) != state:
        raise DataError(f"{path}: was changed while it is read; train on files that nobody writes, such as copies")


def gib(nbytes: float) -> str:
    """``nbytes`` for a person: ``"2.6 GiB"``."""
    return f"{nbytes / 2**30:,.1f} GiB"
