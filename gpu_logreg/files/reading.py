"""Opening a file of data: what is inside, and the one place that turns an exception into a one-line error."""

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

from gpu_logreg.errors import DataError, GpuLogregError, MissingDependencyError

__all__ = [
    "NotTextError",
    "available_memory",
    "compression",
    "content",
    "gib",
    "import_pyarrow",
    "inner_name",
    "member_names",
    "open_stream",
    "reading",
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
_COMPRESSION = {".gz": "gzip", ".bz2": "bzip2", ".zip": "zip", ".xz": "xz", ".zst": "Zstandard"}
_DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
# What bz2 and the Zstandard of Arrow say of a flipped bit and of a missing end, as OSError.
_WORDS_OF_DAMAGE = ("Invalid data stream", "ZSTD", "Truncated compressed stream")


class NotTextError(DataError):
    """A file expected to hold text holds something else."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while ``path`` is read into a one-line `DataError` that names it.

    Errors that gpu-logreg raises on purpose pass unchanged: the reader that raised them knew more.
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
        raise DataError(f"{path}: does not fit in memory ({gib(available_memory())} are available)") from error
    except _DAMAGED as error:
        raise DataError(f"{path}: is truncated or damaged ({_first_line(error)}); fetch it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; convert it, for example: iconv -f latin1 -t utf-8") from error
    except OSError as error:
        if any(words in str(error) for words in _WORDS_OF_DAMAGE):
            raise DataError(f"{path}: is truncated or damaged ({_first_line(error)}); fetch it again") from error
        raise DataError(f"{path}: cannot be read: {error.strerror or _first_line(error)}") from error
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise DataError(f"{path}: cannot be read: {_first_line(error)}") from error
    except RuntimeError as error:  # what zipfile says of a member with a password, or packed by an unknown method
        raise DataError(f"{path}: cannot be unpacked ({_first_line(error)}); unpack it first") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def content(head: bytes) -> str | None:
    """What the first bytes of a file give away: ``"gzip"``, ``"Parquet"``, ...; None if they match nothing known."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def inner_name(path: Path) -> str:
    """Name of the data without the ending of its compression: ``a9a.gz`` gives ``a9a``.

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
    """Names of the files in a zip archive, without folders and the notes of macOS."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]


def _only_member(path: Path) -> str:
    compression(path)
    members = member_names(path)
    if len(members) != 1:
        held = f"{len(members)} files ({', '.join(members[:8])}{', ...' if len(members) > 8 else ''})"
        advice = f"name one of them: {path}:{members[0]}" if members else "give another"
        raise DataError(f"{path}: holds {held if members else 'no file'}; {advice}")
    return members[0]


def compression(path: Path) -> str | None:
    """How a text file is packed: ``"gzip"``, ``"zip"``, ...; None where it is not.

    By its ending; a name without any, as of a pipe, is judged by the first bytes.

    Raises
    ------
    DataError
        If the file is empty or its first bytes are not what its ending says.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise DataError(f"{path}: is empty")
    found, promised = content(head), _COMPRESSION.get(path.suffix.lower())
    if found == promised or (not path.suffix and found in _COMPRESSION.values()):
        return found
    if promised is not None:
        what = f"{found} data" if found else "something else"
        raise DataError(f"{path}: ends in {path.suffix} but holds {what}; give it the ending of what it is")
    raise NotTextError(f"{path}: holds {found} data where text was expected; give it the ending of what it is")


@contextlib.contextmanager
def open_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a text file for reading bytes, through gzip, bzip2, xz, Zstandard or the only member of a zip archive.

    Raises
    ------
    DataError
        If the file is empty or its first bytes are not what its ending says.
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


def available_memory() -> int:
    """Bytes that a new array may take: what the system has left, within the limit of the container if there is one."""
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        meminfo = Path("/proc/meminfo").read_text()
        limits.append(int(meminfo.split("MemAvailable:")[1].split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    if not limits:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits)


def gib(nbytes: float) -> str:
    """``nbytes`` for a person: ``"2.6 GiB"``."""
    return f"{nbytes / 2**30:,.1f} GiB"
