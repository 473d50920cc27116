"""LIBSVM text beyond memory: decoded once into sparse rows in a temporary file, or read a few rows at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Part, Source
from gpu_logreg.files.labelled_arrays import check_labels
from gpu_logreg.files.libsvm import SPARSE_SHARE, drop_beyond, feature_zero, refuse_too_many_columns, warn_of_features
from gpu_logreg.files.libsvm_lines import libsvm_fault, read_line_blocks
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.files.reading import reading, refuse_change, state_of
from gpu_logreg.files.row_cache import SparseCache, SparseRows
from gpu_logreg.files.schema import Schema

__all__ = ["decode_libsvm", "libsvm_blocks"]

_BLOCK_BYTES = 2**24
"""Bytes of text that are parsed at once."""


def decode_libsvm(
    path: Path,
    take_labels: Callable[[NDArray[Any]], None],
    take_weights: Callable[[NDArray[np.float64]], None],
    dtype: DTypeLike = np.float64,
    *,
    dense: bool = False,
) -> SparseRows:
    """Decode LIBSVM text, a few rows at a time. Rows are sparse or dense by the rule of `gpu_logreg.files.libsvm`.

    Parameters
    ----------
    path : Path
    take_labels, take_weights : function
        Called with the labels and, where the text has them, the weights of some rows.
    dtype : float32 or float64
    dense : bool
        Whether the rows are dense in any case.

    Raises
    ------
    DataError
        A line is not LIBSVM text; a model of so many columns would not fit in memory; a temporary folder without room.
    """
    lowest, highest, n_rows, state = 1, 0, 0, state_of(path)
    cache: SparseCache | None = None
    with reading(path):
        for elements, labels, weights in read_line_blocks(path, dtype, True, _BLOCK_BYTES):
            take_labels(check_labels(labels, path, None, n_rows))
            if weights is not None:
                take_weights(weights)
            if elements.nnz:
                lowest = min(lowest, int(elements.indices.min()))
                highest = max(highest, int(elements.indices.max()))
            if cache is None:
                cache = SparseCache(path, _expected_bytes(path, elements))
            cache.add(elements)
            n_rows += elements.shape[0]
        refuse_change(path, state)
        if cache is None or cache.n_stored == 0:
            raise DataError(f"{path}: {libsvm_fault(path) or 'holds no index:value pair; is it LIBSVM text?'}")
        width = highest + 1 - lowest
        refuse_too_many_columns(width, cache.n_stored, highest, path)
        as_csr = not dense and cache.n_stored < SPARSE_SHARE * n_rows * width
        return cache.rows(width, as_csr=as_csr, first_index=lowest)


def _expected_bytes(path: Path, first: sparse.csr_matrix) -> int:
    """Bytes of the decoded rows, by those of the first; those of packed text are not known."""
    size = os.path.getsize(path)
    nbytes = 8 * first.shape[0] + first.nnz * (4 + first.dtype.itemsize)
    return int(nbytes * size / max(1, min(size, _BLOCK_BYTES)))


def libsvm_blocks(path: Path, schema: Schema, dtype: DTypeLike = np.float64) -> Iterator[Matrix]:
    """The rows of LIBSVM text for a model, a few at a time; labels are not needed.

    Raises
    ------
    DataError
        As for `gpu_logreg.files.load.load_prediction_data`.

    Warns
    -----
    UserWarning
        At the end, if elements of features that the model does not have are left out.
    """
    width, first_index = schema.array_width, schema.first_index
    end, beyond, n_beyond = width + first_index, np.zeros(0, np.int64), 0
    names, n_stored, n_rows = numbered_columns(width), 0, 0
    with reading(path):
        for elements, _, _ in read_line_blocks(path, dtype, False, _BLOCK_BYTES):
            n_stored += elements.nnz
            if first_index and elements.nnz and int(elements.indices.min()) < first_index:
                raise feature_zero(path)
            if elements.shape[1] > end:
                elements, others, n_with_others = drop_beyond(elements, end)
                beyond, n_beyond = np.union1d(beyond, others), n_beyond + n_with_others
            shape = elements.shape[0], width
            rows = sparse.csr_array((elements.data, elements.indices - first_index, elements.indptr), shape=shape)
            source = Part.of(Source(str(path)), np.arange(n_rows, n_rows + elements.shape[0]))
            matrix = Matrix(rows, names, source=source)
            schema.check(matrix)
            yield matrix.take(schema.names)
            n_rows += elements.shape[0]
    if n_stored == 0:
        raise DataError(f"{path}: {libsvm_fault(path) or 'holds no index:value pair; is it LIBSVM text?'}")
    if len(beyond):
        warn_of_features(path, beyond, n_beyond, end)
