"""The rows of a ``.npy`` file, or of an array of an ``.npz`` archive, read block by block.

The file is read and not mapped: a process that reads a mapped file which another one cuts short is killed by the
system, and mapped pages count as its memory.
"""

from __future__ import annotations

import math
import os
import struct
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.kinds import DENSE_ROWS, KindOfRows
from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import file_kind, reading

__all__ = ["NpyRows", "RawRows", "read_into"]

_READ_BYTES = 2**24
"""Most bytes of one system call, between which a signal is seen."""

_LOCAL_HEADER = 30
"""Bytes of a header of a zip archive before the name of the member."""


class RawRows:
    """Rows of numbers in an open file, one after the other or column by column, from a place on.

    Parameters
    ----------
    file : int
        Descriptor, which this object closes.
    start : int
        Place of the first number.
    shape : (n, d)
    stored : dtype
    order : "C" or "F"
    name : str
        For messages.

    Attributes
    ----------
    n_rows, n_columns, dtype, order
        Of the array.
    """

    kind: ClassVar[KindOfRows] = DENSE_ROWS
    seeks: ClassVar[bool] = True
    fills: ClassVar[bool] = True

    def __init__(
        self, file: int, start: int, shape: tuple[int, int], stored: np.dtype[Any], order: str, name: str
    ) -> None:
        self._file = file
        weakref.finalize(self, os.close, file)
        self._start, self._stored = start, stored
        self.n_rows, self.n_columns = shape
        self.dtype, self.order, self.name = stored.newbyteorder("="), order, name
        self._state = self._now()
        if self._state[0] < start + math.prod(shape) * stored.itemsize:
            _refuse_short(name)

    def _now(self) -> tuple[int, int]:
        """Size and time of the last change."""
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns

    def fill(self, part: slice, out: NDArray[Any]) -> None:
        """Read the rows ``part`` into ``out``, of the dtype and the order of the array."""
        if self._now() != self._state:
            raise DataError(
                f"{self.name}: was changed while it is read; train on a file that nobody writes, such as a copy"
            )
        width = self._stored.itemsize
        with reading(Path(self.name)):
            if self.order == "C":
                start = self._start + part.start * self.n_columns * width
                read_into(self._file, out.reshape(-1).view(np.uint8), start, self.name)
            else:
                for column in range(self.n_columns):
                    start = self._start + (column * self.n_rows + part.start) * width
                    read_into(self._file, out[:, column].view(np.uint8), start, self.name)
        if not self._stored.isnative:
            out.byteswap(inplace=True)

    def pieces(self, wanted: Sequence[slice]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows ``wanted``, in arrays of their own."""
        for part in wanted:
            out = np.empty((part.stop - part.start, self.n_columns), self.dtype, self.order)  # type: ignore[call-overload]
            self.fill(part, out)
            yield part.start, out

    def place(self, row: int) -> str:
        """The file, for the beginning of a message."""
        return f"{self.name}: "


def read_into(file: int, out: NDArray[np.uint8], start: int, name: str) -> None:
    """Read bytes of an open file from ``start`` on; a `DataError` where it ends before."""
    view = memoryview(out.data)
    while len(view):
        n = os.preadv(file, [view[:_READ_BYTES]], start)
        if n == 0:
            _refuse_short(name)
        view, start = view[n:], start + n


def _refuse_short(name: str) -> NoReturn:
    raise DataError(f"{name}: is truncated or damaged (it ends before the last row); fetch it again")


class NpyRows(RawRows):
    """Rows of a ``.npy`` file, which stays open: a file that is put in its place is not seen.

    Parameters
    ----------
    path : path
    member : str, optional
        The array of an ``.npz`` archive, which is not packed.

    Raises
    ------
    DataError
        The file is no such array, holds no numbers, is not of two dimensions, or is packed.

    Examples
    --------
    >>> np.save("rows.npy", np.arange(6.0).reshape(3, 2))
    >>> rows, out = NpyRows("rows.npy"), np.empty((2, 2))
    >>> rows.fill(slice(1, 3), out)
    >>> out
    array([[2., 3.],
           [4., 5.]])
    """

    def __init__(self, path: str | os.PathLike[str], member: str | None = None) -> None:
        path = Path(path)
        name = str(path) if member is None else f"{path}: array {member!r}"
        with reading(path), open(path, "rb") as file:
            kind = file_kind(file.read(8))
            if kind not in ("zip", "NumPy .npy") or (kind != "zip") != (member is None):
                what = "a NumPy .npy file" if member is None else "a NumPy .npz archive"
                raise DataError(f"{path}: is not {what}; give it the ending of what it is")
            file.seek(0 if member is None else _start_of(file, path, member))
            shape, in_fortran_order, dtype = _header(file, name)
            if len(shape) != 2 or 0 in shape:
                raise DataError(f"{name}: holds an array of shape {shape}; rows and columns are needed")
            if dtype.kind not in "fiub" or dtype.itemsize > 8:
                raise DataError(f"{name}: holds an array of dtype {dtype}; the rows must be real numbers")
            order = "F" if in_fortran_order else "C"
            super().__init__(os.dup(file.fileno()), file.tell(), (shape[0], shape[1]), dtype, order, name)


def _start_of(file: IO[bytes], path: Path, member: str) -> int:
    """Where the array of an archive begins in the file."""
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if member not in names:
            raise DataError(f"{path}: has no array {member!r}; it holds {', '.join(names) or 'no array'}")
        info = archive.infolist()[names.index(member)]
    if info.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{path}: array {member!r} is packed, and is not read by blocks; store it by numpy.savez")
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return int(info.header_offset + _LOCAL_HEADER + name_length + extra_length)


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the order is Fortran's, and dtype."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_fortran_order, dtype = read(file)
    except ValueError as error:
        raise DataError(f"{name}: is truncated or damaged ({str(error).splitlines()[0]}); fetch it again") from error
    return shape, in_fortran_order, dtype
