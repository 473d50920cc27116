"""Copies of some columns of sparse rows, read from CSR: a CSC copy of all columns would be as large as the rows."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from gpu_logreg.arrays.block_sizes import SPARSE_COLUMNS
from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.csr import in_order, stored_in_a_row
from gpu_logreg.arrays.vector import CsrArray, IntVector

__all__ = ["sparse_columns"]


def sparse_columns(X: CsrArray, columns: IntVector) -> CsrArray:
    """The columns ``columns`` of CSR rows, as CSR rows.

    Parameters
    ----------
    X : csr_array of shape (n, d)
    columns : integer array of shape (m,), ascending

    Returns
    -------
    csr_array of shape (n, m), of the dtypes of ``X``, in canonical format
    """
    from gpu_logreg.passes.cpu.loops.sparse import count_in_columns, take_columns

    n, d = X.shape
    place = np.full(d, -1, X.indices.dtype)
    place[columns] = np.arange(len(columns))
    parts = row_blocks(n, stored_in_a_row(X), SPARSE_COLUMNS)
    starts = np.zeros(n + 1, X.indptr.dtype)
    map_in_order(lambda of: count_in_columns(X.indices, X.indptr, place, of.start, of.stop, starts[1:]), parts)
    np.cumsum(starts, dtype=starts.dtype, out=starts)
    data, indices = np.empty(starts[-1], X.dtype), np.empty(starts[-1], X.indices.dtype)

    def take(of: slice) -> None:
        take_columns(X.data, X.indices, X.indptr, place, of.start, of.stop, starts, data, indices)

    map_in_order(take, parts)
    return in_order(csr_array((data, indices, starts), shape=(n, len(columns))))
