"""LIBSVM text: rows stay sparse where few of their elements are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from gpu_logreg.dataset.array_files import whole_labels
from gpu_logreg.dataset.column_names import Source
from gpu_logreg.dataset.numbered import numbered_columns
from gpu_logreg.dataset.reading import available_memory, gib, open_stream, reading
from gpu_logreg.dataset.table import Matrix
from gpu_logreg.errors import DataError

__all__ = ["read_libsvm"]

SPARSE_SHARE = 0.25
"""Share of the elements that are stored below which rows stay sparse.

An element takes 4 bytes more with the number of its column beside it: below this share sparse rows take less than half
the memory of dense ones, in float64 or float32, and from it on what is saved is not worth the slower way to an element.
"""

_COLUMN_BYTES = 500
"""Memory for a column beside the rows: its name, and its number in every vector of a solver."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)


def read_libsvm(
    path: Path,
    *,
    n_features: int | None = None,
    first_index: int | None = None,
    dtype: Any = np.float64,
    dense: bool = False,
) -> Matrix:
    """LIBSVM text (``label index:value ...``) as a matrix with labels.

    Its rows are a ``csr_array`` where fewer than `SPARSE_SHARE` of the elements are stored, or where memory does not
    suffice for dense ones.

    Parameters
    ----------
    path : Path
    n_features : int or None
        Number of columns; None takes the largest index. A file with a larger index is refused.
    first_index : 0, 1 or None
        Index of the first feature; None takes 0 if the file has an index 0, else 1.
    dtype : float32 or float64
    dense : bool
        Whether the rows are to be dense in any case.

    Raises
    ------
    DataError
        Not LIBSVM text (the line is named); dense rows, or a model of so many columns, that would not fit in memory
        (the size is named).
    """
    with reading(path):
        with open_stream(path) as stream:
            try:
                stored, labels = load_svmlight_file(stream, dtype=dtype, zero_based=True)
            except (ValueError, OverflowError) as error:
                raise DataError(f"{path}: {_fault(path) or error}") from error
        if stored.nnz == 0:
            fault = _fault(path)
            raise DataError(f"{path}: {fault or 'holds no index:value pair; is it LIBSVM text?'}")
        lowest, highest = int(stored.indices.min()), int(stored.indices.max())
        if first_index is None:
            first_index = min(lowest, 1)
        if lowest < first_index:
            raise DataError(f"{path}: has a feature 0, but the features of the model start at 1; add 1 to each index")
        width = highest + 1 - first_index
        if n_features is not None and width > n_features:
            raise DataError(f"{path}: has a feature {highest}, but the model was trained on {n_features} features")
        width = n_features or width
        _refuse_too_many_columns(width, highest, path)
        rows = _rows(stored, width, first_index, dense, path)
    return Matrix(rows, numbered_columns(width), whole_labels(labels), first_index, Source(str(path)))


def _refuse_too_many_columns(width: int, highest: int, path: Path) -> None:
    nbytes, available = width * _COLUMN_BYTES, available_memory()
    if nbytes > available:
        raise DataError(
            f"{path}: has a feature {highest}, and a model of {width} columns takes about {gib(nbytes)} to train; "
            f"{gib(available)} of memory are available; number the features anew, without gaps"
        )


def _rows(stored: Any, width: int, first_index: int, dense: bool, path: Path) -> Any:
    """Shape (n, width), as a ``csr_array`` or dense; refused before it is allocated where memory does not suffice."""
    n, available = stored.shape[0], available_memory()
    nbytes = n * width * stored.dtype.itemsize
    if not dense and (stored.nnz < SPARSE_SHARE * n * width or nbytes > available):
        index = np.int32 if max(stored.nnz, width) <= np.iinfo(np.int32).max else np.int64
        columns = (stored.indices - first_index).astype(index)
        return sparse.csr_array((stored.data, columns, stored.indptr.astype(index)), shape=(n, width))
    if nbytes > available:
        raise DataError(
            f"{path}: its {n} x {width} rows take {gib(nbytes)} as a dense {stored.dtype} matrix, "
            f"and {gib(available)} of memory are available; without --device cuda, --impl cuda and --storage they are "
            "read sparse"
        )
    rows = np.zeros((n, width), dtype=stored.dtype)
    rows[np.repeat(np.arange(n), np.diff(stored.indptr)), stored.indices - first_index] = stored.data
    return rows


def _fault(path: Path) -> str | None:
    """What is wrong with the first line at fault; None if every line reads as LIBSVM."""
    with open_stream(path) as stream:
        for number, line in enumerate(stream, start=1):
            cells = line.decode("utf-8", errors="replace").split("#", 1)[0].split()
            fault = next(_cell_faults(cells), None)
            if fault is not None:
                return f"line {number} is not LIBSVM text (label index:value ...): {fault}"
    return None


def _cell_faults(cells: Sequence[str]) -> Iterator[str]:
    if cells and not _NUMBER.fullmatch(cells[0]):
        several = " (several labels a row are not supported)" if "," in cells[0] else ""
        yield f"{cells[0][:40]!r} is not a label{several}"
    last = -1
    for cell in cells[1:]:
        index, colon, value = cell.partition(":")
        if index == "qid" and colon:
            continue
        if not colon or not index.isdecimal() or not _NUMBER.fullmatch(value):
            yield f"{cell[:40]!r} is not index:value"
        elif int(index) <= last:
            yield f"index {index} does not come after index {last}"
        elif int(index) > 2**31 - 2:
            yield f"index {index} is too large"
        else:
            last = int(index)
