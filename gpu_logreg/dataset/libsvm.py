"""LIBSVM text, made dense."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_svmlight_file

from gpu_logreg.dataset.array_files import numbered_columns, whole_labels
from gpu_logreg.dataset.column_names import Source
from gpu_logreg.dataset.reading import available_memory, gib, open_stream, reading
from gpu_logreg.dataset.table import Matrix
from gpu_logreg.errors import DataError

__all__ = ["read_libsvm"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)


def read_libsvm(
    path: Path, *, n_features: int | None = None, first_index: int | None = None, dtype: Any = np.float64
) -> Matrix:
    """LIBSVM text (``label index:value ...``) as a dense matrix with labels.

    Parameters
    ----------
    path : Path
    n_features : int or None
        Number of columns; None takes the largest index. A file with a larger index is refused.
    first_index : 0, 1 or None
        Index of the first feature; None takes 0 if the file has an index 0, else 1.
    dtype : float32 or float64

    Raises
    ------
    DataError
        Not LIBSVM text (the line is named), or the dense rows would not fit in memory (the size is named).
    """
    with reading(path):
        with open_stream(path) as stream:
            try:
                sparse, labels = load_svmlight_file(stream, dtype=dtype, zero_based=True)
            except (ValueError, OverflowError) as error:
                raise DataError(f"{path}: {_fault(path) or error}") from error
        if sparse.nnz == 0:
            fault = _fault(path)
            raise DataError(f"{path}: {fault or 'holds no index:value pair; is it LIBSVM text?'}")
        lowest, highest = int(sparse.indices.min()), int(sparse.indices.max())
        if first_index is None:
            first_index = min(lowest, 1)
        if lowest < first_index:
            raise DataError(f"{path}: has a feature 0, but the features of the model start at 1; add 1 to each index")
        width = highest + 1 - first_index
        if n_features is not None and width > n_features:
            raise DataError(f"{path}: has a feature {highest}, but the model was trained on {n_features} features")
        width = n_features or width
        dense = _dense(sparse, width, first_index, path)
    return Matrix(dense, numbered_columns(width), whole_labels(labels), first_index, Source(str(path)))


def _dense(sparse: Any, width: int, first_index: int, path: Path) -> NDArray[Any]:
    """Shape (n, width), refused before anything is allocated where memory does not suffice."""
    n, available = sparse.shape[0], available_memory()
    nbytes = n * width * sparse.dtype.itemsize
    if nbytes > available:
        raise DataError(
            f"{path}: its {n} x {width} rows take {gib(nbytes)} as a dense {sparse.dtype} matrix, "
            f"and {gib(available)} of memory are available; sparse rows are not supported yet"
        )
    dense = np.zeros((n, width), dtype=sparse.dtype)
    dense[np.repeat(np.arange(n), np.diff(sparse.indptr)), sparse.indices - first_index] = sparse.data
    return dense


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
