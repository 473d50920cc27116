"""Sparse rows: SciPy's CSR arrays, checked once, and functions for rows that may be dense or sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.device import array_namespace, is_sparse
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
    "rows_at",
    "stored_as",
    "stored_share",
]


def csr_rows(X: Any) -> Any:
    """Sparse rows as the passes read them: a checked CSR array of floats; see `in_order` for those that need more.

    The result shares its memory with a CSR matrix of floats, and the numbers of its columns with a CSR matrix of whole
    numbers; any other matrix is copied once. ``X`` itself is never changed.

    Parameters
    ----------
    X : sparse matrix or array of SciPy's, of shape (n, d), real

    Returns
    -------
    scipy.sparse.csr_array of shape (n, d), float32 or float64

    Raises
    ------
    DataError
        Complex numbers; one dimension; numbers of rows or columns that are outside ``X``. SciPy's own conversions and
        the compiled loops do not check them, and would read and write outside their arrays.
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
    if len(rows.indices) > starts[-1] or len(rows.data) > starts[-1]:  # unused elements at the end
        rows = sparse.csr_array((rows.data[: starts[-1]], rows.indices[: starts[-1]], starts), shape=(n, d))
    return stored_as(rows, rows.dtype if rows.dtype in (np.float32, np.float64) else np.float64)


def csr_rows_of(X: Any, source: Any = None) -> Any:
    """`csr_rows` of a sparse matrix; None of anything else.

    Parameters
    ----------
    X : object
    source : object
        What ``X`` was made from. A sparse matrix was checked then, and is not once more.
    """
    if not is_sparse(X):
        return None
    return X if is_sparse(source) else csr_rows(X)


def _refuse_damaged(X: Any) -> None:
    """Raise a `DataError` if a number of a row or column is outside ``X``, or rows do not follow each other."""
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


def _refuse_outside(numbers: Any, limit: int, name: str, what: str) -> None:
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < limit):
        held = f"{name} hold {numbers.min()} to {numbers.max()}"
        raise DataError(f"sparse X is damaged: {held}, and X has {limit} {what}")


def in_order(X: Any) -> Any:
    """CSR rows whose columns are in ascending order and without duplicates in every row; a copy where they are not."""
    if X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def stored_as(X: Any, dtype: Any) -> Any:
    """CSR rows with elements of a dtype; the numbers of their columns are shared, which SciPy's ``astype`` copies."""
    if X.dtype == dtype:
        return X
    return sparse.csr_array((X.data.astype(dtype), X.indices, X.indptr), shape=X.shape)


def rows_at(X: Any, at: Any, dtype: Any) -> Any:
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
    return X[at].toarray().astype(dtype, copy=False) if is_sparse(X) else X[at].astype(dtype, copy=False)


def block_of_rows(X: Any, part: slice) -> Any:
    """Consecutive rows of a CSR array.

    SciPy copies them where they are less than half of the array, so that callers hold one block at a time.
    """
    starts = X.indptr[part.start : part.stop + 1]
    first, last = int(starts[0]), int(starts[-1])
    shape = (len(starts) - 1, X.shape[1])
    return sparse.csr_array((X.data[first:last], X.indices[first:last], starts - starts[0]), shape=shape)


def elements_in_a_row(X: Any) -> int:
    """Elements that a row has in memory: its columns, or of sparse rows the mean number stored, at least 1."""
    return max(1, -(-X.nnz // max(1, X.shape[0])) if is_sparse(X) else int(X.shape[1]))


def place_of(X: Any, element: int) -> tuple[int, int]:
    """Row and column of an element, from its number among the stored ones of CSR rows or all of dense rows."""
    if not is_sparse(X):
        row, column = divmod(element, X.shape[1])
        return row, column
    return int(np.searchsorted(X.indptr, element, side="right")) - 1, int(X.indices[element])


def all_finite(X: Any) -> Any:
    """Whether every element is finite, as an array without dimensions where ``X`` lives: the host waits for no GPU."""
    values = X.data if is_sparse(X) else X
    return array_namespace(values).isfinite(values).all()


def columns_at(X: Any, at: Any) -> Any:
    """The columns ``at`` of dense or sparse rows, in that order; a view where they are neighbours in dense rows.

    For sparse rows it reads the elements once and the numbers of their columns once.

    Parameters
    ----------
    X : array or csr_array of shape (n, d)
    at : range, or integers of shape (m,), each of them once
    """
    at = at if isinstance(at, range) else np.asarray(at, dtype=np.intp)
    if not is_sparse(X):
        first, last = int(at[0]), int(at[-1])
        neighbours = last - first + 1 == len(at) and bool((np.asarray(at) == np.arange(first, last + 1)).all())
        return X[:, first : last + 1] if neighbours else X[:, np.asarray(at)]
    place = np.full(X.shape[1], -1, dtype=X.indices.dtype)
    place[np.asarray(at)] = np.arange(len(at), dtype=place.dtype)
    indices = place[X.indices]
    kept = indices >= 0
    starts = np.concatenate([[0], np.cumsum(kept, dtype=X.indptr.dtype)])[X.indptr].astype(X.indptr.dtype)
    taken = sparse.csr_array((X.data[kept], indices[kept], starts), shape=(X.shape[0], len(at)))
    taken.sort_indices()  # where the columns came in another order
    return taken


def dense_coef(coef: Any) -> Any:
    """``coef_`` as a NumPy array, whichever it is."""
    return coef.toarray() if hasattr(coef, "toarray") else np.asarray(coef)


def columns_with_elements(X: Any) -> Any:
    """Positions of the columns of sparse rows that have an element in some row, rising; None for dense rows."""
    if not is_sparse(X):
        return None
    has_element = np.zeros(X.shape[1], dtype=bool)
    has_element[X.indices] = True
    return np.flatnonzero(has_element)


def stored_share(X: Any) -> float | None:
    """Share of the elements of sparse rows that is stored; None for dense rows."""
    return X.nnz / (X.shape[0] * X.shape[1]) if is_sparse(X) else None
