"""The lines of LIBSVM text, read by scikit-learn; weights behind labels, which it does not support, are read here."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import open_stream

__all__ = ["count_text", "libsvm_fault", "read_line_blocks", "read_lines"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)

_LARGEST_INDEX = 2**31 - 2
"""Largest index of a feature: the number of columns, one more where indices begin at 0, is an int32."""


def read_lines(
    path: Path, dtype: DTypeLike, labelled: bool
) -> tuple[sparse.csr_matrix, NDArray[Any], NDArray[np.float64] | None]:
    """The elements as a CSR matrix whose columns are the indices in the text; the labels; the weights of rows, or None.

    Parameters
    ----------
    path : Path
    dtype : float32 or float64
    labelled : bool
        Whether the labels are needed; see `_WeightedLines`.

    Raises
    ------
    DataError
        The first line that is not LIBSVM text.

    Warns
    -----
    UserWarning
        ``qid:`` is ignored; or weights may be features of rows without labels.
    """
    weighted = _begins_with_weight(path)
    with open_stream(path) as stream:
        lines: Any = _WeightedLines(stream, path) if weighted else stream
        elements, labels = _parsed(lines, dtype, path)
    return elements, labels, lines.check_weights(labelled) if isinstance(lines, _WeightedLines) else None


def read_line_blocks(
    path: Path, dtype: DTypeLike, labelled: bool, block_bytes: int
) -> Iterator[tuple[sparse.csr_matrix, NDArray[Any], NDArray[np.float64] | None]]:
    """As `read_lines`, of about ``block_bytes`` of text at a time."""
    weighted = _begins_with_weight(path)
    with open_stream(path) as stream:
        lines = _WeightedLines(stream, path) if weighted else None
        source = stream if lines is None else iter(lines)
        while block := _some_lines(source, block_bytes):
            elements, labels = _parsed(_Lines(block), dtype, path)
            weights = None if lines is None else lines.check_weights(labelled)
            yield elements, labels, weights
            if lines is not None:
                lines.forget()


def _begins_with_weight(path: Path) -> bool:
    """Whether the first row begins with ``label:weight``."""
    with open_stream(path) as stream:
        first = next(filter(None, map(_cells, stream)), [])
    if any(cell.startswith("qid:") for cell in first):
        warnings.warn(f"{path}: qid: is ignored; rows are classified, not ranked", UserWarning, stacklevel=5)
    return bool(first) and ":" in first[0]


def _parsed(lines: Any, dtype: DTypeLike, path: Path) -> tuple[sparse.csr_matrix, NDArray[Any]]:
    try:
        elements, labels = load_svmlight_file(lines, dtype=dtype, zero_based=True)
    except DataError:
        raise
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: {libsvm_fault(path) or error}") from error
    return elements, labels


def _some_lines(source: Iterable[bytes], nbytes: int) -> list[bytes]:
    """The next lines, of about so many bytes; none at the end."""
    found, size = [], 0
    for line in source:
        found.append(line)
        size += len(line)
        if size >= nbytes:
            break
    return found


class _Lines:
    """Lines as scikit-learn takes them: an object with ``read`` is an open file for it."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def read(self) -> bytes:
        """All of them; scikit-learn iterates over them."""
        return b"".join(self._lines)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines)


class _WeightedLines:
    """An iterator over lines that begin with ``label:weight``, without the weights, which it collects.

    Where every first cell may be a feature as well (``1:0.5 3:2`` in all lines), the rows may have no labels.
    """

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.read = stream.read  # scikit-learn takes an object with this attribute for an open file
        self._stream, self._path = stream, path
        self._weights: list[float] = []
        self._is_label = False

    def __iter__(self) -> Iterator[bytes]:
        for number, line in enumerate(self._stream, start=1):
            cells = _cells(line)
            if not cells:
                continue
            label, colon, weight = cells[0].partition(":")
            value = float(weight) if _NUMBER.fullmatch(weight) else math.nan
            if not colon or not 0.0 <= value < math.inf:
                what = f"has no weight after its label {label[:40]!r}, as the lines before it have"
                what = f"has the weight {weight[:40]!r}, which is not a number from 0 on" if colon else what
                raise DataError(f"{self._path}: line {number} {what}; write label:weight in every line or in none")
            self._weights.append(value)
            following = next((cell.split(":")[0] for cell in cells[1:] if not cell.startswith("qid:")), "")
            if not label.isdecimal() or (following.isdecimal() and int(following) <= int(label)):
                self._is_label = True
            yield " ".join([label, *cells[1:]]).encode() + b"\n"

    def forget(self) -> None:
        """Begin a new list of weights."""
        self._weights = []

    def check_weights(self, labelled: bool) -> NDArray[np.float64]:
        """The weights of the rows; refused where the first cells may be features, and the labels are not needed."""
        if not self._is_label and not labelled:
            raise DataError(
                f"{self._path}: its lines begin with a label and its weight, or with a feature and without a label; "
                "begin them with a label alone, for example 0"
            )
        if not self._is_label:
            warnings.warn(
                f"{self._path}: the first cell of each line is taken as label:weight; if the lines have no label, "
                "write one before it",
                UserWarning,
                stacklevel=5,
            )
            self._is_label = True  # said once
        return np.array(self._weights)


def _cells(line: bytes) -> list[str]:
    """The cells of a line, without its comment."""
    return line.decode("utf-8", errors="replace").split("#", 1)[0].split()


def libsvm_fault(path: Path) -> str | None:
    """What is wrong with the first wrong line; None if every line reads as LIBSVM text."""
    weighted = None
    with open_stream(path) as stream:
        for number, line in enumerate(stream, start=1):
            cells = _cells(line)
            if cells and weighted is None:
                weighted = ":" in cells[0]
            if weighted:
                cells[:1] = [cell.partition(":")[0] for cell in cells[:1]]
            fault = next(_cell_faults(cells), None)
            if fault is not None:
                return f"line {number} is not LIBSVM text (label index:value ...): {fault}"
    return None


def _cell_faults(cells: Sequence[str]) -> Iterator[str]:
    """What is wrong with each wrong cell of a line."""
    if cells and not _NUMBER.fullmatch(cells[0]):
        more = " (several labels a row are not supported)" if "," in cells[0] else ""
        more = " (a weight is given in every line or in none)" if ":" in cells[0] else more
        yield f"{cells[0][:40]!r} is not a label{more}"
    last = -1
    for cell in cells[1:]:
        index, colon, value = cell.partition(":")
        if index == "qid" and colon:
            continue
        if not colon or not index.isdecimal() or not _NUMBER.fullmatch(value):
            yield f"{cell[:40]!r} is not index:value"
        elif int(index) <= last:
            yield f"index {index} does not come after index {last}"
        elif int(index) > _LARGEST_INDEX:
            yield f"index {index} is too large"
        else:
            last = int(index)


def count_text(count: int, thing: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
