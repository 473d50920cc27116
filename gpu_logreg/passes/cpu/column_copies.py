"""Copies of sparse rows column by column (CSC), and of some columns row by row again (CSR)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array

from gpu_logreg.arrays.blocks import map_in_order, n_threads
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import CsrArray, HostArray, IntVector

__all__ = ["copied_columns", "some_columns"]

_count_elements = Loop("gpu_logreg.passes.cpu.loops.columns", "count_elements")
_fill_columns = Loop("gpu_logreg.passes.cpu.loops.columns", "fill_columns")
_count_in_rows = Loop("gpu_logreg.passes.cpu.loops.columns", "count_in_rows")
_fill_rows = Loop("gpu_logreg.passes.cpu.loops.columns", "fill_rows")

LEAST_ELEMENTS = 2**16
"""Stored elements from which another thread helps: fewer are copied in the time in which it wakes."""


def copied_columns(X: CsrArray) -> Any:
    """CSR rows in canonical format as a CSC array, in which the rows of a column ascend; numbers of rows are int32.

    Every thread copies a part of the rows to their places, of which a first walk counts how many each column has.
    """
    n, d = X.shape
    parts = max(1, min(n_threads(), X.nnz // LEAST_ELEMENTS))
    edges = [0, *np.searchsorted(X.indptr, np.linspace(0, X.nnz, parts + 1)[1:-1]).tolist(), n]
    ends = X.indptr[edges].tolist()
    counts = np.zeros((parts, d), np.int64)
    map_in_order(lambda k: _count_elements(X.indices, ends[k], ends[k + 1], counts[k]), range(parts))
    starts = np.zeros(d + 1, np.int64)
    np.cumsum(counts.sum(axis=0), out=starts[1:])
    places = starts[:-1] + np.cumsum(counts, axis=0) - counts
    elements, row = np.empty(X.nnz, X.dtype), np.empty(X.nnz, np.int32)

    def fill(k: int) -> None:
        _fill_columns(X.data, X.indices, X.indptr, edges[k], edges[k + 1], places[k], elements, row)

    map_in_order(fill, range(parts))
    return _unconverted(csc_array, elements, row, starts, (n, d))


def some_columns(x: HostArray, row: HostArray, start: HostArray, at: IntVector, n: int) -> CsrArray:
    """The columns ``at`` of a CSC array with ``n`` rows, as CSR rows in canonical format."""
    starts = np.zeros(n + 1, np.int64)
    _count_in_rows(row, start, at, starts[1:])
    np.cumsum(starts, out=starts)
    elements, column = np.empty(starts[-1], x.dtype), np.empty(starts[-1], np.int32)
    _fill_rows(x, row, start, at, starts[:-1].copy(), elements, column)
    return _unconverted(csr_array, elements, column, starts, (n, len(at)))


def _unconverted(kind: Any, elements: HostArray, numbers: HostArray, starts: HostArray, shape: tuple[int, int]) -> Any:
    """A sparse array of these arrays, in canonical format; its constructor would convert the indices to one type."""
    X = kind(shape, dtype=elements.dtype)
    X.data, X.indices, X.indptr = elements, numbers, starts
    X.has_canonical_format = True
    return X
