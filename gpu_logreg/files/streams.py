"""What can be read only once, or lies in an archive, kept whole in a temporary file without a name.

A file of data is opened several times: for its format, for its rows, and for the line of a message. A pipe gives its
bytes once.
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
from typing import IO, Any

from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import gib, member_names, reading

__all__ = ["PARQUET_ENDINGS", "STANDARD_INPUT", "at_hand", "parquet_parts"]

STANDARD_INPUT = "-"
PARQUET_ENDINGS = (".parquet", ".parq", ".pq")

_BLOCK_BYTES = 2**20
_CHECKED_BYTES = 2**26
_SPARED_BYTES = 2**28
"""What a stream leaves free in the temporary folder."""


class Spooled(PosixPath):
    """A path that is shown as what the user named, and opens as the temporary file with its bytes."""

    file: Any

    def __fspath__(self) -> str:
        """Where the bytes are; the file has no name of its own, or one that goes with it."""
        descriptor = f"/proc/self/fd/{self.file.fileno()}"
        return descriptor if os.path.exists(descriptor) else str(self.file.name)


def at_hand(path: str | os.PathLike[str]) -> Path:
    """The path of a file that may be opened again and again, with the bytes of ``path``.

    Parameters
    ----------
    path : path
        ``-`` is standard input; a pipe, a socket or a terminal is read to its end; ``data.zip:name`` is a member of an
        archive. Any other path is given back.

    Raises
    ------
    DataError
        No such member, or a stream that the temporary folder has no room for.
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
    """A member of a zip archive, where ``path`` names one as ``data.zip:member``; else None."""
    archive_name, colon, name = str(path).partition(".zip:")
    if not colon or not name:
        return None
    archive = Path(f"{archive_name}.zip")
    with reading(archive):
        if not zipfile.is_zipfile(archive):
            open(archive, "rb").close()  # no such file, a directory, ...
            raise DataError(f"{archive}: is not a zip archive; give the file itself")
        names = member_names(archive)
        matching = [held for held in names if held == name] or [held for held in names if held.endswith(f"/{name}")]
        if len(matching) != 1:
            held = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise DataError(f"{archive}: has no single member {name!r}; it holds {held or 'no file'}")
        with zipfile.ZipFile(archive) as opened, opened.open(matching[0]) as stream:
            return _spool(stream, path)


def _spool(stream: IO[bytes] | Any, shown: Path) -> Path:
    """All that is left in ``stream``."""
    folder = tempfile.gettempdir()
    spooled = Spooled(shown)
    anonymous = os.path.isdir("/proc/self/fd")
    spooled.file = tempfile.TemporaryFile() if anonymous else tempfile.NamedTemporaryFile()  # noqa: SIM115
    weakref.finalize(spooled, spooled.file.close)
    size = checked = 0
    while block := stream.read(_BLOCK_BYTES):
        size += len(block)
        try:
            spooled.file.write(block)
            if size - checked > _CHECKED_BYTES:
                checked = size
                full = shutil.disk_usage(folder).free < _SPARED_BYTES
            else:
                full = False
        except OSError:
            full = True
        if full:
            raise DataError(
                f"{shown}: is a stream, which is kept in the temporary folder {folder} while it is read, and after "
                f"{gib(size)} that folder is full; give a file, or set TMPDIR to a folder with more room"
            )
    spooled.file.flush()
    return spooled


def parquet_parts(path: Path) -> list[Path]:
    """The files in a folder of Parquet files, in the order of their names; none where it holds anything else."""
    if not path.is_dir():
        return []
    visible = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith((".", "_"))]
    return visible if all(entry.is_file() and entry.suffix.lower() in PARQUET_ENDINGS for entry in visible) else []
