"""Sparse rows: SciPy's CSR arrays, checked once, and functions of rows that may be dense or sparse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array, ArrayOfRows, CsrArray, DTypeLike, HostArray, IntVector
from gpu_logreg.errors import DataError

__all__ = [
    "all_finite",
    "block_of_rows",
    "columns_at",
    "columns_with_elements",
    "csr_rows",
    "csr_rows_of",
    "dense_coef",
    "elements_in_a_row",
    "in_order",
    "place_of",
    "refuse_sparse",
    "rows_at",
    "stored_in_a_row",
    "stored_share",
    "with_dtype",
]


def csr_rows(X: Any) -> CsrArray:
    """Sparse rows as the passes read them: a CSR array of floats whose indices are checked.

    The result shares all its arrays with a CSR matrix of floats, and its indices with a CSR matrix of integers; any
    other format is converted once. ``X`` itself is never changed. Columns may be out of order or duplicate within a
    row: see `in_order`.

    Parameters
    ----------
    X : sparse matrix or array of SciPy's, of shape (n, d), real

    Returns
    -------
    scipy.sparse.csr_array of shape (n, d), float32 or float64

    Raises
    ------
    DataError
        Complex numbers; one dimension; indices outside ``X``. SciPy's own conversions and the compiled loops do not
        check indices, and would read and write outside their arrays.

    Examples
    --------
    >>> csr_rows(sparse.csc_array([[0, 2], [3, 0]])).data
    array([2., 3.])
    """
    if X.ndim != 2:
        raise DataError(f"Expected 2D array, got {X.ndim}D array instead; sparse X must have shape (n, d)")
    if X.dtype.kind not in "fiub":
        kind = "Complex data not supported: X" if X.dtype.kind == "c" else "X"
        raise DataError(f"{kind} has dtype {X.dtype}; give real numbers")
    _refuse_damaged(X)
    try:
        rows = sparse.csr_array(X)
    except ValueError as error:  # SciPy compares the lengths of the arrays
        raise DataError(f"sparse X is damaged: {error}") from error
    n, d = rows.shape
    starts = rows.indptr
    if len(rows.indices) > starts[-1] or len(rows.data) > starts[-1]:  # capacity beyond the last element
        rows = sparse.csr_array((rows.data[: starts[-1]], rows.indices[: starts[-1]], starts), shape=(n, d))
    return with_dtype(rows, rows.dtype if rows.dtype in (np.float32, np.float64) else np.float64)


def csr_rows_of(X: Any, source: Any = None) -> CsrArray | None:
    """`csr_rows` of a sparse matrix; None of anything else.

    Parameters
    ----------
    X : object
    source : object
        What ``X`` was made from. A sparse matrix was checked then, and is not once more.
    """
    if not sparse.issparse(X):
        return None
    return X if sparse.issparse(source) else csr_rows(X)


def refuse_sparse(X: Any, remedy: str) -> None:
    """Raise a `DataError` of this text for a sparse matrix, whose slices are sparse too."""
    if sparse.issparse(X):
        raise DataError(remedy)


def _refuse_damaged(X: Any) -> None:
    """Raise a `DataError` if an index of a row or column is outside ``X``, or ``indptr`` does not rise."""
    if X.format == "coo":
        used = len(X.data)
        if not len(X.row) == len(X.col) == used:
            raise DataError(f"sparse X is damaged: it has {used} elements, {len(X.row)} row and {len(X.col)} col")
        _refuse_outside(X.row, X.shape[0], "row", "rows")
        _refuse_outside(X.col, X.shape[1], "col", "columns")
    elif X.format in ("csr", "csc", "bsr"):
        starts, (rows_of_block, columns_of_block) = X.indptr, getattr(X, "blocksize", (1, 1))
        n_rows, n_columns = X.shape[0] // rows_of_block, X.shape[1] // columns_of_block
        lines, numbers, what = (n_columns, n_rows, "rows") if X.format == "csc" else (n_rows, n_columns, "columns")
        if len(starts) != lines + 1:
            raise DataError(f"sparse X is damaged: indptr has length {len(starts)}, and {lines + 1} are needed")
        used = min(len(X.indices), len(X.data))
        if starts[0] != 0 or starts[-1] > used or (starts[1:] < starts[:-1]).any():
            raise DataError("sparse X is damaged: indptr does not rise from 0 to the number of its elements")
        _refuse_outside(X.indices[: starts[-1]], numbers, "indices", f"{what}{' of blocks' * (X.format == 'bsr')}")


def _refuse_outside(numbers: HostArray, limit: int, name: str, what: str) -> None:
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < limit):
        held = f"{name} hold {numbers.min()} to {numbers.max()}"
        raise DataError(f"sparse X is damaged: {held}, and X has {limit} {what}")


def in_order(X: CsrArray) -> CsrArray:
    """CSR rows whose columns are in ascending order and without duplicates in every row; a copy where they are not."""
    if X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def with_dtype(X: CsrArray, dtype: DTypeLike) -> CsrArray:
    """CSR rows with elements of a dtype; their indices are shared, which SciPy's ``astype`` would copy."""
    if X.dtype == dtype:
        return X
    return sparse.csr_array((X.data.astype(dtype), X.indices, X.indptr), shape=X.shape)


def rows_at(X: ArrayOfRows, at: Array | slice, dtype: DTypeLike) -> Array:
    """The rows ``at``, numbers or a slice, of dense or sparse rows, as a dense array; a copy unless a slice of dense.

    Parameters
    ----------
    X : array of shape (n, d)
    at : integer array of shape (m,), or slice
    dtype : dtype

    Returns
    -------
    array of shape (m, d), where ``X`` lives
    """
    return X[at].toarray().astype(dtype, copy=False) if sparse.issparse(X) else X[at].astype(dtype, copy=False)


def block_of_rows(X: CsrArray, part: slice) -> CsrArray:
    """Consecutive rows of a CSR array.

    SciPy copies them where they are less than half of the array, so that callers hold one block at a time.
    """
    starts = X.indptr[part.start : part.stop + 1]
    first, last = int(starts[0]), int(starts[-1])
    shape = (len(starts) - 1, X.shape[1])
    return sparse.csr_array((X.data[first:last], X.indices[first:last], starts - starts[0]), shape=shape)


def elements_in_a_row(X: ArrayOfRows) -> int:
    """Elements of a row in memory: the columns of dense rows; of sparse rows the mean number stored, at least 1."""
    return stored_in_a_row(X) if sparse.issparse(X) else max(1, int(X.shape[1]))


def stored_in_a_row(X: CsrArray) -> int:
    """Mean number of stored elements of a sparse row, rounded up, and at least 1: what blocks of rows are cut by."""
    return max(1, -(-int(X.nnz) // max(1, int(X.shape[0]))))


def place_of(X: ArrayOfRows, element: int) -> tuple[int, int]:
    """Row and column of an element, from its position among all of dense rows, or among the stored ones of CSR rows."""
    if not sparse.issparse(X):
        row, column = divmod(element, X.shape[1])
        return row, column
    return int(np.searchsorted(X.indptr, element, side="right")) - 1, int(X.indices[element])


def all_finite(X: ArrayOfRows) -> Array:
    """Whether every element is finite: an array of no dimension where ``X`` lives, so that no host waits."""
    values = X.data if sparse.issparse(X) else X
    return array_namespace(values).isfinite(values).all()


def columns_at(X: ArrayOfRows, at: Sequence[int] | IntVector) -> ArrayOfRows:
    """The columns ``at`` of dense or sparse rows, in that order; a view where they are neighbours in dense rows.

    The data and the indices of sparse rows are read once each.

    Parameters
    ----------
    X : array or csr_array of shape (n, d)
    at : range, or integers of shape (m,), each of them once
    """
    at = at if isinstance(at, range) else np.asarray(at, dtype=np.intp)
    if not sparse.issparse(X):
        first, last = int(at[0]), int(at[-1])
        neighbours = last - first + 1 == len(at) and bool((np.asarray(at) == np.arange(first, last + 1)).all())
        return X[:, first : last + 1] if neighbours else X[:, np.asarray(at)]
    place = np.full(X.shape[1], -1, dtype=X.indices.dtype)
    place[np.asarray(at)] = np.arange(len(at), dtype=place.dtype)
    indices = place[X.indices]
    is_in = indices >= 0
    starts = np.concatenate([[0], np.cumsum(is_in, dtype=X.indptr.dtype)])[X.indptr].astype(X.indptr.dtype)
    columns = sparse.csr_array((X.data[is_in], indices[is_in], starts), shape=(X.shape[0], len(at)))
    columns.sort_indices()  # `at` need not ascend
    return columns


def dense_coef(coef: Any) -> HostArray:
    """``coef_`` of a model as a NumPy array, from a NumPy array or a sparse one."""
    return coef.toarray() if hasattr(coef, "toarray") else np.asarray(coef)


def columns_with_elements(X: Any) -> Any:
    """Positions of the columns of sparse rows that have an element in some row, rising; None for dense rows."""
    if not sparse.issparse(X):
        return None
    has_element = np.zeros(X.shape[1], dtype=bool)
    has_element[X.indices] = True
    return np.flatnonzero(has_element)


def stored_share(X: Any) -> float | None:
    """Share of the elements of sparse rows that is stored; None for dense rows."""
    return X.nnz / (X.shape[0] * X.shape[1]) if sparse.issparse(X) else None
