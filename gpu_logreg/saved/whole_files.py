"""Files that appear under their name only when they are whole, with the permissions of the file that they replace."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gpu_logreg.errors import DataError, ModelFileError

__all__ = ["check_destination", "forget_written_files", "is_replaced", "whole_file", "write_whole", "written_files"]

# What a folder answers that takes no new file, or a place where another file system is mounted on one file.
_NOT_BESIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
_STREAM = re.compile(r"/dev/std(in|out|err)|/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)")

_written: dict[str, None] = {}  # as a set that knows its order


def forget_written_files() -> None:
    """Begin a new list of `written_files`."""
    _written.clear()


def written_files() -> tuple[str, ...]:
    """Names of the files that were finished since: what an interruption came too late for."""
    return tuple(_written)


def check_destination(path: str | os.PathLike[str]) -> None:
    """Refuse a ``path`` that no model can be written to: to be called before a long training.

    Raises
    ------
    DataError
        If ``path`` is a directory, a device or a file that is read-only, or its directory does not exist or cannot be
        written to.
    """
    path = Path(path)
    if "\0" in str(path):
        raise DataError(f"{str(path)!r}: no name of a file holds a zero byte; choose another")
    status = None
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}; choose another") from error
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path}: is a directory; give the name of a file")
    if status is not None and not is_replaced(path):  # /dev/null for one
        raise DataError(f"{path}: is a device or a pipe; give the name of a file")
    folder = _followed(path).parent
    if not folder.is_dir():
        raise DataError(f"{path}: its directory {folder} does not exist; create it first")
    if status is not None and not os.access(path, os.W_OK):
        raise DataError(f"{path}: is read-only; allow writing to it (chmod u+w), or choose another")
    if status is None and not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path}: its directory {folder} cannot be written to; choose another")


def is_replaced(path: Path) -> bool:
    """Whether writing to ``path`` makes a file; devices, pipes and open streams are written to as they are."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # nothing is there, or nothing can be
        return _stream_number(path) is None
    return _stream_number(path) is None and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all; see `whole_file`.

    Raises
    ------
    ModelFileError
        If the file cannot be written, for example because the disk is full.
    """
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror or error}; nothing was saved") from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, that appears at ``path`` when the block ends, and never where the block fails.

    It is written under another name beside ``path``, brought to the disk and renamed. A symbolic link stays one, and
    permissions, and where the system allows it the owner, are those of the file that is replaced. Other names of that
    file, its hard links, keep the older content, and a warning says so. Where the folder takes no other file, the
    content is written over the file that is there once the disk has room for it. Devices, pipes and open streams such
    as ``/dev/stdout`` are written to as they are.

    Raises
    ------
    OSError
        Of writing; a file that was at ``path`` is as it was.
    """
    if not is_replaced(path):
        with _opened_stream(path) as stream:
            yield stream
        return
    target = _followed(path)
    older = target.stat() if target.exists() else None
    beside: Path | None = target.with_name(f".gpu-logreg-{secrets.token_hex(8)}.tmp")
    try:
        try:
            assert beside is not None
            file = _new_file(beside, older)
        except OSError as error:
            if older is None or error.errno not in _NOT_BESIDE:
                raise
            file, beside = tempfile.TemporaryFile(), None  # noqa: SIM115 - closed below, as the other is
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if beside is None or not _renamed(beside, target, older):
                _write_over(target, file)
    finally:  # also after Ctrl-C; gone already where the file was renamed
        if beside is not None:
            with contextlib.suppress(OSError):
                beside.unlink()
    _written[str(path)] = None


def _followed(path: Path) -> Path:
    """The file that a symbolic link stands for; other paths as they are, since a full one may be too long."""
    return path.resolve() if path.is_symlink() else path


def _stream_number(path: Path) -> int | None:
    """Number of the stream that is open already and has ``path`` as its name.

    Opening ``/dev/stdout`` again would begin at the start of the file behind it, over what ``>>`` is to keep.
    """
    found = _STREAM.fullmatch(os.path.normpath(path))
    if found is None:
        return None
    return int(found[2]) if found[2] else {"in": 0, "out": 1, "err": 2}[found[1]]


def _opened_stream(path: Path) -> BinaryIO:
    number = _stream_number(path)
    return open(path, "wb") if number is None else os.fdopen(os.dup(number), "wb")


def _new_file(path: Path, older: os.stat_result | None) -> BinaryIO:
    """A new file, from its beginning no more open to others than the older one."""
    mode = 0o666 if older is None else stat.S_IMODE(older.st_mode) & 0o777
    return open(path, "x+b", opener=lambda name, flags: os.open(name, flags, mode))


def _renamed(beside: Path, target: Path, older: os.stat_result | None) -> bool:
    """Put the new file in the place of the older one; False where the folder does not allow it."""
    if older is not None:
        _keep_permissions(beside, target, older)
    try:
        os.replace(beside, target)
    except OSError as error:
        if older is None or error.errno not in _NOT_BESIDE:
            raise
        return False
    if older is not None and older.st_nlink > 1:
        warnings.warn(f"{target}: its other names (hard links) keep the older content", UserWarning, stacklevel=4)
    return True


def _keep_permissions(new: Path, target: Path, older: os.stat_result) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, -1, older.st_gid)
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, older.st_uid, -1)  # root alone may give files away
    with contextlib.suppress(OSError):
        os.chmod(new, stat.S_IMODE(older.st_mode))
    with contextlib.suppress(OSError, AttributeError):  # lists of access, labels
        for name in os.listxattr(target):
            os.setxattr(new, name, os.getxattr(target, name))


def _write_over(target: Path, source: BinaryIO) -> None:
    """Write the content of ``source`` over a file; nothing of it is lost to a full disk."""
    length = source.seek(0, os.SEEK_END)
    with open(target, "r+b") as file:
        _make_room(file, length)
        try:
            _copy(source, file, length)
        except KeyboardInterrupt:
            _copy(source, file, length)  # neither the older file nor a half of the new one is of use
            raise


def _make_room(file: BinaryIO, length: int) -> None:
    before = os.fstat(file.fileno()).st_size
    if length <= before or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), before, length - before)
    except OSError as error:
        file.truncate(before)
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot tell
            raise


def _copy(source: BinaryIO, file: BinaryIO, length: int) -> None:
    source.seek(0)
    file.seek(0)
    shutil.copyfileobj(source, file)
    file.truncate(length)
    file.flush()
    os.fsync(file.fileno())
