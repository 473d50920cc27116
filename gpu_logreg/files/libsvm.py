"""LIBSVM text as a matrix: sparse where few of the elements are stored, else dense."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.errors import DataError
from gpu_logreg.files.array_files import whole_labels
from gpu_logreg.files.column_names import Source, list_first
from gpu_logreg.files.libsvm_lines import count_text, libsvm_fault, read_lines
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.files.reading import gib, reading

__all__ = [
    "SPARSE_SHARE",
    "drop_beyond",
    "feature_zero",
    "read_libsvm",
    "refuse_too_many_columns",
    "sparse_or_dense",
    "warn_of_features",
]

SPARSE_SHARE = 0.25
"""Share of stored elements below which rows stay sparse.

A stored element takes 4 bytes more than a dense one, for the number of its column. Below this share sparse rows take
less than half the memory of dense ones, in float64 or float32; above, the dense passes are worth more than the memory.
"""

_COLUMN_BYTES, _USED_BYTES = 50, 450
"""Bytes that a fit needs for a column beside the rows: for any column its weight in the model and a few copies; for a
column with elements, which the solver sees, about fifty vectors of float64.
"""


def read_libsvm(
    path: Path,
    *,
    n_features: int | None = None,
    first_index: int | None = None,
    dtype: DTypeLike = np.float64,
    dense: bool = False,
    labelled: bool = True,
) -> Matrix:
    """Read LIBSVM text (``label index:value ...``) as a matrix with labels.

    Its rows are a ``csr_array`` where less than the share `SPARSE_SHARE` of the elements is stored, or where dense rows
    do not fit in memory. ``label:weight`` gives a row a weight, ``qid:`` is ignored, and ``#`` begins a comment.

    Parameters
    ----------
    path : Path
    n_features : int or None
        Number of columns; None takes the largest index. Elements of further columns are left out.
    first_index : 0, 1 or None
        Index of the first feature; None takes 0 if the file has an index 0, else 1.
    dtype : float32 or float64
    dense : bool
        Whether the rows are dense in any case.
    labelled : bool
        Whether the labels are needed. If not, a first cell with a colon, which may be a feature, is refused.

    Raises
    ------
    DataError
        A line is not LIBSVM text; or dense rows, or a model of so many columns, would not fit in memory. The message
        names the line or the size.

    Warns
    -----
    UserWarning
        Elements are left out, or ``qid:`` is ignored.
    """
    with reading(path):
        elements, labels, weights = read_lines(path, dtype, labelled)
        if elements.nnz == 0:
            raise DataError(f"{path}: {libsvm_fault(path) or 'holds no index:value pair; is it LIBSVM text?'}")
        lowest, highest = int(elements.indices.min()), int(elements.indices.max())
        if first_index is None:
            first_index = min(lowest, 1)
        if lowest < first_index:
            raise feature_zero(path)
        width = highest + 1 - first_index
        if n_features is not None and width > n_features:
            elements, beyond, n_beyond = drop_beyond(elements, n_features + first_index)
            warn_of_features(path, beyond, n_beyond, n_features + first_index)
        width = n_features or width
        refuse_too_many_columns(width, elements.nnz, highest, path)
        rows = sparse_or_dense(elements, width, first_index, dense, path)
    source = Source(str(path))
    return Matrix(rows, numbered_columns(width), whole_labels(labels), first_index, source, weights)


def feature_zero(path: Path) -> DataError:
    """The error for a feature 0 of text for a model whose features start at 1."""
    return DataError(f"{path}: has a feature 0, but the features of the model start at 1; add 1 to each index")


def drop_beyond(elements: sparse.csr_array, end: int) -> tuple[sparse.csr_array, NDArray[Any], int]:
    """The elements whose index is below ``end``, the other indices, and the number of rows that have any of these."""
    is_beyond = elements.indices >= end
    n_beyond_before = np.concatenate([[0], np.cumsum(is_beyond)])[elements.indptr]
    n_rows = int(np.count_nonzero(np.diff(n_beyond_before)))
    row_starts = elements.indptr - n_beyond_before
    rows = sparse.csr_array(
        (elements.data[~is_beyond], elements.indices[~is_beyond], row_starts), shape=(elements.shape[0], end)
    )
    return rows, np.unique(elements.indices[is_beyond]), n_rows


def warn_of_features(path: Path, indices: NDArray[Any], n_rows: int, end: int) -> None:
    """Warn of features from ``end`` on in so many rows, which are left out."""
    warnings.warn(
        f"{path}: {count_text(len(indices), 'feature')} that the model does not have ({list_first(indices, 5)}; its "
        f"last is {end - 1}) in {count_text(n_rows, 'row')} {'is' if len(indices) == 1 else 'are'} ignored",
        UserWarning,
        stacklevel=3,
    )


def refuse_too_many_columns(width: int, n_stored: int, highest: int, path: Path) -> None:
    """Refuse a model of so many columns that it would not fit in memory."""
    nbytes, available = width * _COLUMN_BYTES + min(width, n_stored) * _USED_BYTES, free_memory()
    if nbytes > available:
        raise DataError(
            f"{path}: has a feature {highest}, and a model of {width} columns takes about {gib(nbytes)} to train; "
            f"{gib(available)} of memory are available; number the features anew, without gaps"
        )


def sparse_or_dense(
    elements: sparse.csr_array, width: int, first_index: int, dense: bool, path: Path
) -> NDArray[Any] | sparse.csr_array:
    """Rows of shape (n, width), as a ``csr_array`` or dense; `DataError` where dense ones would not fit in memory."""
    n, available = elements.shape[0], free_memory()
    nbytes = n * width * elements.dtype.itemsize
    if not dense and (elements.nnz < SPARSE_SHARE * n * width or nbytes > available):
        index = np.int32 if max(elements.nnz, width) <= np.iinfo(np.int32).max else np.int64
        columns = (elements.indices - first_index).astype(index)
        return sparse.csr_array((elements.data, columns, elements.indptr.astype(index)), shape=(n, width))
    if nbytes > available:
        raise DataError(
            f"{path}: its {n} x {width} rows take {gib(nbytes)} as a dense {elements.dtype} matrix, "
            f"and {gib(available)} of memory are available; without --device cuda, --impl cuda and --storage they are "
            "read sparse"
        )
    rows = np.zeros((n, width), dtype=elements.dtype)
    rows[np.repeat(np.arange(n), np.diff(elements.indptr)), elements.indices - first_index] = elements.data
    return rows
