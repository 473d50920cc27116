"""Sparse rows: SciPy's CSR arrays, checked once, and what the rest asks of rows whether they are dense or sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.backend import array_namespace, is_sparse
from gpu_logreg.errors import DataError

__all__ = ["all_finite", "columns_at", "csr_rows", "elements_in_a_row", "place_of", "rows_at"]


def csr_rows(X: Any) -> Any:
    """Sparse rows as the passes read them: a CSR array whose rows are sorted, name no column twice, and hold floats.

    Shares its memory with a CSR matrix that is so already; ``X`` itself is never changed.

    Parameters
    ----------
    X : sparse matrix or array of SciPy's, of shape (n, d), real

    Returns
    -------
    scipy.sparse.csr_array of shape (n, d), float32 or float64

    Raises
    ------
    DataError
        Complex numbers; one dimension; numbers of columns that are outside ``X``, which no pass would check again.
    """
    if X.ndim != 2:
        raise DataError(f"Expected 2D array, got {X.ndim}D array instead; sparse X must have shape (n, d)")
    if X.dtype.kind not in "fiub":
        kind = "Complex data not supported: X" if X.dtype.kind == "c" else "X"
        raise DataError(f"{kind} has dtype {X.dtype}; give real numbers")
    try:
        rows = sparse.csr_array(X)
    except ValueError as error:  # it looks at the lengths, and at some of the numbers
        raise DataError(f"sparse X is damaged: {error}") from error
    n, d = rows.shape
    starts = rows.indptr
    if (np.diff(starts) < 0).any():
        raise DataError("sparse X is damaged: indptr does not rise from 0 to the number of its elements")
    if len(rows.indices) > starts[-1] or len(rows.data) > starts[-1]:  # room that was never used, or no more
        rows = sparse.csr_array((rows.data[: starts[-1]], rows.indices[: starts[-1]], starts), shape=(n, d))
    used = rows.indices
    if used.size and not (used.min() >= 0 and used.max() < d):
        raise DataError(f"sparse X is damaged: indices hold {used.min()} to {used.max()}, and X has {d} columns")
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    dtype = rows.dtype if rows.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return rows.astype(dtype, copy=False)


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


def elements_in_a_row(X: Any) -> int:
    """Elements that a row has in memory: its columns, or of sparse rows the mean number stored, at least 1."""
    return max(1, -(-X.nnz // max(1, X.shape[0])) if is_sparse(X) else int(X.shape[1]))


def place_of(X: Any, element: int) -> tuple[int, int]:
    """Row and column of the element of a number: of those stored, for CSR; of all in order, for dense rows."""
    if not is_sparse(X):
        row, column = divmod(element, X.shape[1])
        return row, column
    return int(np.searchsorted(X.indptr, element, side="right")) - 1, int(X.indices[element])


def all_finite(X: Any) -> Any:
    """Whether every element is finite: an array of no dimension, where ``X`` lives, so that a GPU is not waited for."""
    values = X.data if is_sparse(X) else X
    return array_namespace(values).isfinite(values).all()


def columns_at(X: Any, at: Any) -> Any:
    """The columns ``at`` of dense or sparse rows, in that order; of neighbours of dense ones a view.

    Of sparse rows, the time is that of a walk over their elements and of one over the numbers of their columns.

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
