"""Streams and members of archives, copied into a temporary file without a name.

A file of data is opened several times: for its format, for its rows, and for the line of a message. A pipe gives its
bytes only once.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import weakref
import zipfile
from pathlib import Path, PosixPath
from typing import IO

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import list_first
from gpu_logreg.files.reading import SHOWN_MEMBERS, gib, member_names, reading

__all__ = ["PARQUET_ENDINGS", "STANDARD_INPUT", "Spooled", "make_reopenable", "parquet_parts"]

STANDARD_INPUT = "-"
"""Path that stands for standard input."""

PARQUET_ENDINGS = (".parquet", ".parq", ".pq")

_BLOCK_BYTES = 2**20
"""Bytes that are copied at once."""

_CHECKED_BYTES = 2**26
"""Bytes between two checks of the space in the temporary folder."""

_SPARED_BYTES = 2**28
"""Bytes of the temporary folder that stay free for others: a stream that would take them is refused."""


class Spooled(PosixPath):
    """A path that prints as the user wrote it, and opens the temporary file with the bytes."""

    file: IO[bytes]

    def __fspath__(self) -> str:
        """A path that opens the temporary file: by its descriptor where the system has such paths, else by its name."""
        descriptor = f"/proc/self/fd/{self.file.fileno()}"
        return descriptor if os.path.exists(descriptor) else str(self.file.name)


def make_reopenable(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be opened again and again, with the bytes of ``path``.

    Parameters
    ----------
    path : path
        ``-`` is standard input; a pipe, a socket or a terminal is read to its end; ``data.zip:name`` is a member of an
        archive. Any other path is returned unchanged.

    Raises
    ------
    DataError
        The archive has no such member, or the temporary folder has no room for the stream.
    """
    if isinstance(path, Spooled):
        return path
    path = Path(path)
    if str(path) == STANDARD_INPUT:
        if sys.stdin is None:
            raise DataError("standard input: is closed; give a file")
        with reading(Path("standard input")):
            return _spool(sys.stdin.buffer, Path("standard input"))
    with reading(path):
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return _member(path) or path
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and _is_terminal(path)):
            with open(path, "rb", buffering=0) as stream:
                return _spool(stream, path)
    return path


def _is_terminal(path: Path) -> bool:
    with open(path, "rb", buffering=0) as device:
        return device.isatty()


def _member(path: Path) -> Path | None:
    """The copy of a member of a zip archive, if ``path`` names one as ``data.zip:member``; else None."""
    archive_name, colon, name = str(path).partition(".zip:")
    if not colon or not name:
        return None
    archive = Path(f"{archive_name}.zip")
    with reading(archive):
        if not zipfile.is_zipfile(archive):
            open(archive, "rb").close()  # raises where there is no such file, or a directory
            raise DataError(f"{archive}: is not a zip archive; give the file itself")
        names = member_names(archive)
        matching = [member for member in names if member == name]
        matching = matching or [member for member in names if member.endswith(f"/{name}")]
        if len(matching) != 1:
            content = list_first(names, SHOWN_MEMBERS) or "no file"
            raise DataError(f"{archive}: has no single member {name!r}; it holds {content}")
        with zipfile.ZipFile(archive) as opened_archive, opened_archive.open(matching[0]) as stream:
            return _spool(stream, path)


def _spool(stream: IO[bytes], name: Path) -> Path:
    """Copy the rest of ``stream`` into a temporary file; the path prints as ``name``."""
    folder = tempfile.gettempdir()
    path = Spooled(name)
    anonymous = os.path.isdir("/proc/self/fd")
    path.file = tempfile.TemporaryFile() if anonymous else tempfile.NamedTemporaryFile()  # noqa: SIM115
    weakref.finalize(path, path.file.close)
    size = checked_size = 0
    while block := stream.read(_BLOCK_BYTES):
        size += len(block)
        try:
            path.file.write(block)
            if size - checked_size > _CHECKED_BYTES:
                checked_size = size
                full = shutil.disk_usage(folder).free < _SPARED_BYTES
            else:
                full = False
        except OSError:
            full = True
        if full:
            raise DataError(
                f"{name}: is a stream, which is kept in the temporary folder {folder} while it is read, and after "
                f"{gib(size)} that folder is full; give a file, or set TMPDIR to a folder with more room"
            )
    path.file.flush()
    return path


def parquet_parts(path: Path) -> list[Path]:
    """The files in a folder of Parquet files, sorted by name; none if the folder holds other files too."""
    if not path.is_dir():
        return []
    visible = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith((".", "_"))]
    return visible if all(entry.is_file() and entry.suffix.lower() in PARQUET_ENDINGS for entry in visible) else []
