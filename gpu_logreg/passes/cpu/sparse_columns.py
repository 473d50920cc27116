"""Some columns of sparse rows, copied from the rows as they lie: a copy of all by columns would be as large as they."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from gpu_logreg.arrays.block_sizes import SPARSE_COLUMNS
from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.csr import elements_in_a_row, in_order

__all__ = ["sparse_columns"]


def sparse_columns(X: Any, columns: Any) -> Any:
    """CSR rows of the columns ``columns`` of ``X`` alone.

    Parameters
    ----------
    X : csr_array of shape (n, d)
    columns : integer array of shape (m,), rising

    Returns
    -------
    csr_array of shape (n, m), of the dtypes of ``X``, whose rows name every column once, in order
    """
    from gpu_logreg.passes.cpu.loops.sparse import count_in_columns, take_columns

    n, d = X.shape
    place = np.full(d, -1, X.indices.dtype)
    place[columns] = np.arange(len(columns))
    parts = row_blocks(n, elements_in_a_row(X), SPARSE_COLUMNS)
    starts = np.zeros(n + 1, X.indptr.dtype)
    map_in_order(lambda of: count_in_columns(X.indices, X.indptr, place, of.start, of.stop, starts[1:]), parts)
    np.cumsum(starts, dtype=starts.dtype, out=starts)
    taken, places = np.empty(starts[-1], X.dtype), np.empty(starts[-1], X.indices.dtype)

    def take(of: slice) -> None:
        take_columns(X.data, X.indices, X.indptr, place, of.start, of.stop, starts, taken, places)

    map_in_order(take, parts)
    return in_order(csr_array((taken, places, starts), shape=(n, len(columns))))
