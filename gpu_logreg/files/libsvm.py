"""LIBSVM text: rows stay sparse where few of their elements are stored."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.errors import DataError
from gpu_logreg.files.array_files import whole_labels
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.libsvm_lines import counted, libsvm_fault, read_lines
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.files.reading import available_memory, gib, reading

__all__ = ["read_libsvm", "sparse_or_dense"]

SPARSE_SHARE = 0.25
"""Share of the elements that are stored below which rows stay sparse.

An element takes 4 bytes more with the number of its column beside it: below this share sparse rows take less than half
the memory of dense ones, in float64 or float32, and from it on what is saved is not worth the slower way to an element.
"""

_COLUMN_BYTES, _USED_BYTES = 50, 450
"""Memory for a column beside the rows: its weight, and copies of it; and, if it has elements, its number in every
vector of a solver.
"""


def read_libsvm(
    path: Path,
    *,
    n_features: int | None = None,
    first_index: int | None = None,
    dtype: Any = np.float64,
    dense: bool = False,
    labelled: bool = True,
) -> Matrix:
    """LIBSVM text (``label index:value ...``) as a matrix with labels.

    Its rows are a ``csr_array`` where fewer than `SPARSE_SHARE` of the elements are stored, or where memory does not
    suffice for dense ones. ``label:weight`` gives the rows weights, ``qid:`` is passed over, and what follows ``#`` is
    a comment.

    Parameters
    ----------
    path : Path
    n_features : int or None
        Number of columns; None takes the largest index. Elements beyond are left out.
    first_index : 0, 1 or None
        Index of the first feature; None takes 0 if the file has an index 0, else 1.
    dtype : float32 or float64
    dense : bool
        Whether the rows are to be dense in any case.
    labelled : bool
        Whether the labels are needed. If not, a first cell with a colon that may be a feature as well is refused.

    Raises
    ------
    DataError
        Not LIBSVM text (the line is named); dense rows, or a model of so many columns, that would not fit in memory
        (the size is named).

    Warns
    -----
    UserWarning
        Elements that are left out, and ``qid:``.
    """
    with reading(path):
        stored, labels, weights = read_lines(path, dtype, labelled)
        if stored.nnz == 0:
            raise DataError(f"{path}: {libsvm_fault(path) or 'holds no index:value pair; is it LIBSVM text?'}")
        lowest, highest = int(stored.indices.min()), int(stored.indices.max())
        if first_index is None:
            first_index = min(lowest, 1)
        if lowest < first_index:
            raise DataError(f"{path}: has a feature 0, but the features of the model start at 1; add 1 to each index")
        width = highest + 1 - first_index
        if n_features is not None and width > n_features:
            stored = _within(stored, n_features + first_index, path)
        width = n_features or width
        _refuse_too_many_columns(width, stored.nnz, highest, path)
        rows = sparse_or_dense(stored, width, first_index, dense, path)
    source = Source(str(path))
    return Matrix(rows, numbered_columns(width), whole_labels(labels), first_index, source, weights)


def _within(stored: Any, end: int, path: Path) -> Any:
    """The elements whose index is below ``end``; the others are counted in a warning."""
    beyond = stored.indices >= end
    starts = np.concatenate([[0], np.cumsum(beyond)])[stored.indptr]
    n_rows, indices = int(np.count_nonzero(np.diff(starts))), np.unique(stored.indices[beyond])
    shown = ", ".join(map(str, indices[:5].tolist())) + (", ..." if len(indices) > 5 else "")
    warnings.warn(
        f"{path}: {counted(len(indices), 'feature')} that the model does not have ({shown}; its last is {end - 1}) in "
        f"{counted(n_rows, 'row')} {'is' if len(indices) == 1 else 'are'} ignored",
        UserWarning,
        stacklevel=2,
    )
    kept = stored.indptr - starts
    return sparse.csr_array((stored.data[~beyond], stored.indices[~beyond], kept), shape=(stored.shape[0], end))


def _refuse_too_many_columns(width: int, stored: int, highest: int, path: Path) -> None:
    nbytes, available = width * _COLUMN_BYTES + min(width, stored) * _USED_BYTES, available_memory()
    if nbytes > available:
        raise DataError(
            f"{path}: has a feature {highest}, and a model of {width} columns takes about {gib(nbytes)} to train; "
            f"{gib(available)} of memory are available; number the features anew, without gaps"
        )


def sparse_or_dense(stored: Any, width: int, first_index: int, dense: bool, path: Path) -> Any:
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
