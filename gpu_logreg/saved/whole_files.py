"""Atomic writes: a file appears under its name when it is complete, with the permissions of the file it replaces."""

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

_NO_NEW_FILE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""Errors of a folder in which no file can be made or renamed: one that is read-only, or that belongs to another user;
EBUSY where a file system is mounted on the file itself, as containers do.
"""

_STREAM = re.compile(r"/dev/std(in|out|err)|/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)")

"""Paths of streams that are open already. `os.path.normpath` is applied first."""

_finished: dict[str, None] = {}  # the keys are an ordered set


def forget_written_files() -> None:
    """Begin a new list of `written_files`."""
    _finished.clear()


def written_files() -> tuple[str, ...]:
    """Names of the files finished since `forget_written_files`; the message on an interruption names them."""
    return tuple(_finished)


def check_destination(path: str | os.PathLike[str]) -> None:
    """Refuse a ``path`` that no model can be written to. The command line calls it before a long training.

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
    folder = _link_target(path).parent
    if not folder.is_dir():
        raise DataError(f"{path}: its directory {folder} does not exist; create it first")
    if status is not None and not os.access(path, os.W_OK):
        raise DataError(f"{path}: is read-only; allow writing to it (chmod u+w), or choose another")
    if status is None and not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path}: its directory {folder} cannot be written to; choose another")


def is_replaced(path: Path) -> bool:
    """Whether writing to ``path`` makes a new file; devices, pipes and open streams are written to in place."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # nothing is there, or nothing can be
        return _stream_number(path) is None
    return _stream_number(path) is None and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically; see `whole_file`.

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
    """A context with a file to write to, which appears at ``path`` when the block ends and not where the block raises.

    The content is written under another name beside ``path``, flushed to the disk, and renamed. A symbolic link stays
    a link. The permissions, and where the system allows it the owner, are those of the file that is replaced. Hard
    links to that file keep the older content, and a warning says so. In a folder where no file can be made, the content
    is written over the existing file, after space for it is allocated. Devices, pipes and open streams such as
    ``/dev/stdout`` are written to in place.

    Raises
    ------
    OSError
        From writing. An older file at ``path`` is then unchanged.
    """
    if not is_replaced(path):
        with _open_in_place(path) as stream:
            yield stream
        return
    target = _link_target(path)
    older = target.stat() if target.exists() else None
    beside: Path | None = target.with_name(f".gpu-logreg-{secrets.token_hex(8)}.tmp")
    try:
        try:
            assert beside is not None
            file = _new_file(beside, older)
        except OSError as error:
            if older is None or error.errno not in _NO_NEW_FILE:
                raise
            file, beside = tempfile.TemporaryFile(), None  # noqa: SIM115 - closed by the `with` below
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # before the rename: after a power cut the name must not lead to an empty file
            if beside is None or not _rename(beside, target, older):
                _write_over(target, file)
    finally:  # after Ctrl-C too; a renamed file is no longer there to remove
        if beside is not None:
            with contextlib.suppress(OSError):
                beside.unlink()
    _finished[str(path)] = None


def _link_target(path: Path) -> Path:
    """The file that a symbolic link stands for, else ``path``: an absolute path may be longer than the system takes."""
    return path.resolve() if path.is_symlink() else path


def _stream_number(path: Path) -> int | None:
    """File descriptor of the open stream that ``path`` names; None for another path.

    Opening ``/dev/stdout`` anew would write from the start of the file behind it, over the content that ``>>`` appends
    to.
    """
    match = _STREAM.fullmatch(os.path.normpath(path))
    if match is None:
        return None
    return int(match[2]) if match[2] else {"in": 0, "out": 1, "err": 2}[match[1]]


def _open_in_place(path: Path) -> BinaryIO:
    number = _stream_number(path)
    return open(path, "wb") if number is None else os.fdopen(os.dup(number), "wb")


def _new_file(path: Path, older: os.stat_result | None) -> BinaryIO:
    """A new file that is created with no more permissions than the older one, which may be private."""
    mode = 0o666 if older is None else stat.S_IMODE(older.st_mode) & 0o777
    return open(path, "x+b", opener=lambda name, flags: os.open(name, flags, mode))


def _rename(beside: Path, target: Path, older: os.stat_result | None) -> bool:
    """Rename the new file to ``target``; return False where the folder does not allow it and an older file is there."""
    if older is not None:
        _keep_permissions(beside, target, older)
    try:
        os.replace(beside, target)
    except OSError as error:
        if older is None or error.errno not in _NO_NEW_FILE:
            raise
        return False
    if older is not None and older.st_nlink > 1:
        warnings.warn(f"{target}: its other names (hard links) keep the older content", UserWarning, stacklevel=4)
    return True


def _keep_permissions(new: Path, target: Path, older: os.stat_result) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, -1, older.st_gid)
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, older.st_uid, -1)  # only root may change the owner
    with contextlib.suppress(OSError):
        os.chmod(new, stat.S_IMODE(older.st_mode))
    with contextlib.suppress(OSError, AttributeError):  # extended attributes: access control lists, SELinux labels
        for name in os.listxattr(target):
            os.setxattr(new, name, os.getxattr(target, name))


def _write_over(target: Path, source: BinaryIO) -> None:
    """Write the content of ``source`` over a file; where the disk has no space for it, the file stays as it is."""
    length = source.seek(0, os.SEEK_END)
    with open(target, "r+b") as file:
        _allocate(file, length)
        try:
            _copy(source, file, length)
        except KeyboardInterrupt:
            _copy(source, file, length)  # the older content is partly overwritten already: finish the new one
            raise


def _allocate(file: BinaryIO, length: int) -> None:
    """Extend a file to ``length`` bytes of allocated space; where the disk is full, restore its size and raise."""
    before = os.fstat(file.fileno()).st_size
    if length <= before or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), before, length - before)
    except OSError as error:
        file.truncate(before)
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # the file system has no such call; try to write
            raise


def _copy(source: BinaryIO, file: BinaryIO, length: int) -> None:
    source.seek(0)
    file.seek(0)
    shutil.copyfileobj(source, file)
    file.truncate(length)
    file.flush()
    os.fsync(file.fileno())
