"""Files of a table cut into pieces that are read apart: files of a folder, row groups of Parquet, lines of CSV.

Where they are cut depends on the files alone, so that what is added piece by piece does not depend on who reads them.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import mmap
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import list_first
from gpu_logreg.files.formats import FileOptions, choose_format, refuse_header
from gpu_logreg.files.layout import find_layout
from gpu_logreg.files.reading import compression, import_pyarrow, reading
from gpu_logreg.files.streams import Spooled

__all__ = ["PIECE_BYTES", "Piece", "RowGroups", "cut_files", "opened_piece"]

PIECE_BYTES = 2**26
"""Bytes of a file from which it is cut: what a worker reads at once, and loses when it dies."""

_KINDS = ("csv", "parquet")


class Piece(NamedTuple):
    """What is read at once.

    Attributes
    ----------
    path : str
        File, absolute.
    place : str
        For the beginning of a message, where a file is cut: ``part 2 of 5: ``. Lines and rows are counted from there.
    options : FileOptions
    row_groups : sequence of int
        Of Parquet; empty for all.
    head : int
        Bytes before the first row of CSV that is cut.
    first, stop : int
        Bytes of its rows; ``stop`` is 0 for a whole file.
    """

    path: str
    place: str
    options: FileOptions
    row_groups: tuple[int, ...] = ()
    head: int = 0
    first: int = 0
    stop: int = 0


class RowGroups(Spooled):
    """A path to some of the row groups of a Parquet file."""

    row_groups: tuple[int, ...]

    def __fspath__(self) -> str:
        """The path of the file."""
        return str(self)


def cut_files(path: Path, options: FileOptions, nbytes: int | None = None) -> list[Piece]:
    """The pieces of a file, of the files of a folder, or of those that a pattern names.

    Parameters
    ----------
    path : Path
    options : FileOptions
    nbytes : int, optional
        Bytes of a piece; `PIECE_BYTES` by default.

    Raises
    ------
    DataError
        No such file, or files that are not all CSV or all Parquet.
    """
    nbytes = nbytes or PIECE_BYTES
    files = _files(path)
    if not options.header:
        refuse_header(files[0], options)
    kinds = {choose_format(file, options) for file in files}
    if len(kinds) > 1 or not kinds <= set(_KINDS):
        other = list_first(sorted(kinds), 5, str)
        raise DataError(f"{path}: holds {other}; rows on a cluster are read from CSV alone, or from Parquet alone")
    cut = _cut_parquet if kinds == {"parquet"} else _cut_csv
    return [piece for file in files for piece in cut(Path(os.path.abspath(file)), options, nbytes)]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        with reading(path):
            entries = [entry for entry in sorted(path.rglob("*")) if entry.is_file()]
        files = [
            entry for entry in entries if not any(part.startswith((".", "_")) for part in entry.relative_to(path).parts)
        ]
        if not files:
            raise DataError(f"{path}: is a folder without files")
        keys = [part for file in files for part in file.relative_to(path).parts[:-1] if "=" in part]
        if keys:
            raise DataError(
                f"{path}: has folders such as {keys[0]!r}, whose columns are not in the files; write them there"
            )
        return files
    if not path.exists() and any(mark in str(path) for mark in "*?["):
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(name)]
        if not files:
            raise DataError(f"{path}: no file has such a name")
        return files
    with reading(path):
        open(path, "rb").close()  # raises where there is no such file
    return [path]


def _numbered(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a file with their numbers, from 1."""
    if len(pieces) == 1:
        return list(pieces)
    return [piece._replace(place=f"part {k} of {len(pieces)}: ") for k, piece in enumerate(pieces, 1)]


def _cut_parquet(path: Path, options: FileOptions, nbytes: int) -> list[Piece]:
    whole = Piece(str(path), "", options)
    with reading(path), import_pyarrow("pyarrow.parquet").ParquetFile(path) as file:
        sizes = [file.metadata.row_group(k).total_byte_size for k in range(file.metadata.num_row_groups)]
    groups: list[list[int]] = []
    before = 0
    for k, size in enumerate(sizes):
        if not groups or before >= nbytes:
            groups.append([])
            before = 0
        groups[-1].append(k)
        before += size
    if len(groups) < 2:
        return [whole]
    return _numbered([whole._replace(row_groups=tuple(some)) for some in groups])


def _cut_csv(path: Path, options: FileOptions, nbytes: int) -> list[Piece]:
    """The pieces of CSV; one where a quotation mark may enclose the end of a line, and of compressed text."""
    whole = Piece(str(path), "", options)
    with reading(path):
        if os.path.getsize(path) <= nbytes or compression(path) is not None:
            return [whole]
    layout = find_layout(path, options, options.text)
    with (
        reading(path),
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        if text.find(b'"') >= 0 or (text.find(b"\r") >= 0 and re.search(rb"\r(?!\n)", text)):
            return [whole]
        head = 0
        for _ in range(layout.skip):
            head = text.find(b"\n", head) + 1
        edges = [head, *_ends_of_lines(text, head, nbytes), len(text)]
        if not text[edges[-2] :].strip():
            del edges[-2]
    pinned = replace(options, sep=layout.sep)
    ranges = itertools.pairwise(edges)
    return _numbered([Piece(str(path), "", pinned, (), head, first, stop) for first, stop in ranges])


def _ends_of_lines(text: mmap.mmap, head: int, nbytes: int) -> Iterator[int]:
    at = head
    while True:
        at = text.find(b"\n", at + nbytes) + 1
        if at in (0, len(text)):
            return
        yield at


@contextlib.contextmanager
def opened_piece(piece: Piece) -> Iterator[Path]:
    """A path that opens a piece as a file of its own: of cut CSV a temporary copy, with the lines before the rows."""
    path = Path(piece.path)
    if piece.row_groups:
        groups = RowGroups(path)
        groups.row_groups = piece.row_groups
        yield groups
        return
    if not piece.stop:
        yield path
        return
    copy = Spooled(path)
    with tempfile.NamedTemporaryFile() as copy.file:
        with reading(path), open(path, "rb") as file:
            copy.file.write(file.read(piece.head))
            file.seek(piece.first)
            copy.file.write(file.read(piece.stop - piece.first))
        copy.file.flush()
        yield copy
