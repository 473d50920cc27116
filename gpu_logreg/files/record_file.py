"""A file of records that grows at its end, for work that may be killed at any moment and goes on from its last record.

A record is the length of its content in 8 bytes, the SHA-256 of the content, and the content: an archive of arrays in
NumPy's format. A record is written whole or not at all as far as a reader can tell: one that is cut short, or damaged,
does not fit its digest, and it and all that follow are as if never written. The first record is written under another
name and renamed, so that a file without one is no such file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Array
from gpu_logreg.errors import CheckpointError

__all__ = ["Place", "RecordFile", "content_of"]

MAGIC = b"gpu-logreg checkpoint 1\n"
"""The first bytes of a file: of its kind, and of the version of its format."""

_BEFORE = struct.Struct("<Q32s")
"""Length and digest, before the content of a record."""

_NAME = "name"
"""Array of an archive that holds the name of its record."""


class Place(NamedTuple):
    """Where a record stands.

    Attributes
    ----------
    name : str
    start, stop : int
        Bytes of the file, from the length of the record to its end.
    """

    name: str
    start: int
    stop: int


def content_of(name: str, arrays: Mapping[str, Array]) -> bytes:
    """A record in bytes, with its length and digest.

    Examples
    --------
    >>> len(content_of("step", {"x": np.zeros(2)})) > 40
    True
    """
    archive = io.BytesIO()
    np.savez(archive, allow_pickle=False, **{_NAME: np.array(name)}, **arrays)
    content = archive.getvalue()
    return _BEFORE.pack(len(content), hashlib.sha256(content).digest()) + content


class RecordFile:
    """The open file, which no other process can open until it is closed.

    Parameters
    ----------
    path : path
        Made where it is not there.
    first : function () -> bytes
        The first record of a new file, by `content_of`.

    Attributes
    ----------
    places : list of Place
        Of all records in their order.
    lost : int
        Bytes after the last whole record that were found when the file was opened, and are gone.
    is_damaged : bool
        Whether they are more than a record that was being written when its process was killed.

    Raises
    ------
    CheckpointError
        One line: the file is none of this kind, cannot be read or written, or is in use.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "fit.checkpoint"
    >>> file = RecordFile(path, content_of("first", {}))
    >>> _ = file.append([("step", content_of("step", {"x": np.ones(1)}))])
    >>> file.close()
    >>> file = RecordFile(path, content_of("first", {}))
    >>> [place.name for place in file.places], file.read(file.places[1])
    (['first', 'step'], {'x': array([1.])})
    >>> file.close()
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, first: bytes) -> None:
        self.path = path
        self.is_damaged = False
        try:
            if not path.exists():
                self._replace([first]).close()
            self._file = _opened_alone(path)
        except OSError as error:
            raise CheckpointError(f"{path}: {_reason(error)}; choose another file for the checkpoint") from error
        try:
            self.places = list(self._places())
        except BaseException:
            self._file.close()
            raise
        self.lost = self._file.seek(0, os.SEEK_END) - self.places[-1].stop

    def _places(self) -> Iterator[Place]:
        """The records up to the last whole one."""
        file = self._file
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            raise CheckpointError(f"{self.path}: is no checkpoint of this version of gpu-logreg; choose another file")
        start, found = len(MAGIC), 0
        while (content := self._content(start)) is not None:
            name = _arrays(content).get(_NAME)
            if name is None:
                break
            stop = start + _BEFORE.size + len(content)
            yield Place(str(name), start, stop)
            start, found = stop, found + 1
        if not found:
            raise CheckpointError(f"{self.path}: the checkpoint is damaged; delete it, or choose another file")

    def _content(self, start: int) -> bytes | None:
        """The content of the record at ``start``; None where there is no whole one."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(start)
        before = self._file.read(_BEFORE.size)
        if len(before) < _BEFORE.size:
            return None
        length, digest = _BEFORE.unpack(before)
        if length > size - start - _BEFORE.size:
            return None
        content = self._file.read(length)
        if hashlib.sha256(content).digest() == digest:
            return content
        self.is_damaged = True
        return None

    def read(self, place: Place) -> dict[str, Array]:
        """The arrays of a record.

        Raises
        ------
        CheckpointError
            If it was damaged after the file was opened.
        """
        content = self._content(place.start)
        if content is None:
            raise CheckpointError(f"{self.path}: changed while it was in use; delete it, or choose another file")
        arrays = _arrays(content)
        del arrays[_NAME]
        return arrays

    def append(self, records: Sequence[tuple[str, bytes]]) -> list[Place]:
        """Write records at the end, and have them on the disk.

        Parameters
        ----------
        records : sequence of (name, bytes by `content_of`)

        Raises
        ------
        OSError
            The file then ends where it ended before.
        """
        end = self.places[-1].stop
        try:
            self._file.seek(end)
            self._file.write(b"".join(content for _, content in records))
            self._file.truncate()
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise
        places = []
        for name, content in records:
            places.append(Place(name, end, end + len(content)))
            end += len(content)
        self.places += places
        return places

    def keep_only(self, places: Sequence[Place]) -> None:
        """Let the file hold some of its records, in their order; where they are not the first, it is written anew.

        Raises
        ------
        OSError
            The file is then as it was.
        """
        if list(places) == self.places[: len(places)]:
            self.places = list(places)  # the next record is written over the others
            return
        contents = []
        for place in places:
            self._file.seek(place.start)
            contents.append(self._file.read(place.stop - place.start))
        old = self._file
        self._file = self._replace(contents)
        old.close()
        self.places, end = [], len(MAGIC)
        for place, content in zip(places, contents, strict=True):
            self.places.append(Place(place.name, end, end + len(content)))
            end += len(content)

    def _replace(self, contents: Sequence[bytes]) -> BinaryIO:
        """Write a whole file beside the path and rename it; the open file, locked."""
        beside = self.path.with_name(f".gpu-logreg-{secrets.token_hex(8)}.tmp")
        file = open(beside, "x+b")  # noqa: SIM115 - it stays open
        try:
            _lock(file, self.path)
            file.write(MAGIC + b"".join(contents))
            file.flush()
            os.fsync(file.fileno())
            os.replace(beside, self.path)
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        return file

    def close(self) -> None:
        """Let other processes open it."""
        self._file.close()


def _arrays(content: bytes) -> dict[str, Array]:
    """The arrays of an archive; none where it is none."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile):
        return {}


def _opened_alone(path: Path) -> BinaryIO:
    """The file at a path, locked: of two processes that rename and open at once, neither has a file without a name."""
    while True:
        file = open(path, "r+b")  # noqa: SIM115 - it stays open
        try:
            _lock(file, path)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows, where two trainings with one file are the user's own care
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = f"{path}: another training is writing this checkpoint; wait for it, or choose another file"
        raise CheckpointError(message) from error


def _reason(error: OSError) -> str:
    return f"cannot be used: {error.strerror or error}"
