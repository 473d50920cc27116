"""Inputs of estimators as arrays: rows with the names of their columns, labels, weights.

NumPy and CuPy arrays, lists, and the tables of pandas and polars are returned unchanged; arrays with DLPack's protocol
are viewed; Arrow and cuDF tables become arrays here, and SciPy's sparse matrices become CSR arrays. An optional library
is imported only when an object of it is passed.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from gpu_logreg.arrays.csr import csr_rows_of
from gpu_logreg.arrays.device import in_host_memory
from gpu_logreg.arrays.interchange import as_array, is_bfloat16
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.estimators.arrow_inputs import arrow_column, arrow_matrix, arrow_table, refuse_several, speaks_arrow

__all__ = ["GivenRows", "given_column", "given_rows", "is_collection", "is_plain"]


class GivenRows(NamedTuple):
    """The rows that an estimator was called with.

    Attributes
    ----------
    X : array of shape (n, d), or an object that scikit-learn converts to one
    header : table without rows, or None
        Where ``X`` was made from a table: scikit-learn reads the names of the columns from it.
    """

    X: Any
    header: Any = None

    @property
    def scikit_learn_knows(self) -> bool:
        """Whether scikit-learn can validate ``X``: it lies in host memory and is not bfloat16."""
        if isinstance(self.X, np.ndarray):
            return self.header is None and (self.X.dtype.kind != "V" or not is_bfloat16(self.X))
        return self.header is None and in_host_memory(self.X)


def is_plain(given: GivenRows, y: Any = None) -> bool:
    """Whether rows and labels need no change, and all that can be refused of them are rows that are not finite.

    Parameters
    ----------
    given : GivenRows
        Of `given_rows`, which checks sparse rows.
    y : object
        Labels, or None for rows alone.
    """
    X = given.X
    is_dense = type(X) is np.ndarray and X.dtype.kind in "fiub"
    if given.header is not None or not (is_dense or type(X) is csr_array) or X.ndim != 2 or 0 in X.shape:
        return False
    if y is None:
        return True
    is_vector = type(y) is np.ndarray and y.shape == X.shape[:1] and y.flags.c_contiguous
    return is_vector and y.dtype.kind in "iubU"  # others may be missing, infinite, or of several types


def given_rows(X: Any) -> GivenRows:
    """The rows as an array where they are no table that scikit-learn reads; they stay in host or GPU memory.

    A table of Arrow or cuDF is copied once, into an array in Fortran order.

    Raises
    ------
    DataError
        Complex numbers; in a table of Arrow or cuDF, a null or a column that does not hold numbers.
    MissingDependencyError
        A table that pyarrow or polars could read, and neither is installed.
    """
    if type(X) is np.ndarray and X.dtype.kind != "c":  # most are, and need no questions
        return GivenRows(X)
    _refuse_collection(X, "X")
    sparse_rows = csr_rows_of(X)
    if sparse_rows is not None:
        return GivenRows(sparse_rows)
    if _is_cudf(X):
        return GivenRows(_cudf_matrix(X), X.head(0).to_pandas())
    if speaks_arrow(X):
        if not _is_installed("pyarrow"):
            return GivenRows(_by_polars(X, "X").struct.unnest())
        table = arrow_table(X, "X")
        return GivenRows(arrow_matrix(table), table.slice(0, 0))
    if hasattr(X, "collect") and not hasattr(X, "__array__"):  # a LazyFrame of polars is a query without rows
        raise DataError(f"X is a {type(X).__name__}, whose rows are not computed yet; give X.collect()")
    if type(X).__module__.startswith("cupyx."):
        raise DataError(f"X is a {type(X).__name__} of CuPy; give X.get(), as sparse rows are walked on the CPU")
    X = as_array(X, "X")
    if isinstance(X, np.ndarray) and X.dtype.kind == "c":
        raise DataError(f"Complex data not supported: X has dtype {X.dtype}; give real numbers")
    return GivenRows(_without_mask(X, "X"))


def given_column(values: Any, name: str) -> Any:
    """Labels or weights as an array that stays in host or GPU memory.

    Lists and columns of pandas and polars are returned unchanged.

    Parameters
    ----------
    values : object of shape (n,)
        Or a table of Arrow or cuDF with one column. bfloat16 becomes float32, and text becomes Python strings.
    name : str
        For messages.

    Raises
    ------
    DataError
        A null or several columns in an Arrow or cuDF object.
    """
    if values is None:
        return None
    if type(values) is np.ndarray:  # most are, and need no questions
        return values.astype(np.float32) if values.dtype.kind == "V" and is_bfloat16(values) else values
    _refuse_collection(values, name)
    if _is_cudf(values):
        return _cudf_column(values, name)
    if speaks_arrow(values):
        if not _is_installed("pyarrow"):
            column = _by_polars(values, name)
            if hasattr(column.dtype, "fields"):
                frame = column.struct.unnest()
                refuse_several(name, frame.columns)
                column = frame.to_series()
            return column
        return arrow_column(values, name)
    array = _without_mask(as_array(values, name), name)
    return array.astype(np.float32) if is_bfloat16(array) else array


def is_collection(value: Any) -> bool:
    """Whether something is a collection of Dask's: an array, a table, a delayed value."""
    graph = getattr(value, "__dask_graph__", None)
    return graph is not None and not isinstance(value, type) and graph() is not None  # xarray has one for some arrays


def _refuse_collection(value: Any, name: str) -> None:
    """Raise a `DataError` for a collection of Dask's, or a sequence of them."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    if is_collection(first):
        raise DataError(
            f"{name} is a collection of Dask's ({type(first).__name__}); use the estimator of this name in "
            f"gpu_logreg.dask, or give {name}.compute()"
        )


def _without_mask(array: Any, name: str) -> Any:
    """The data of a masked array; refused where an element is masked, whose value NumPy would pass on unmasked."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    mask = np.ma.getmaskarray(array)
    if mask.any():
        row, *column = (int(at) for at in np.unravel_index(int(mask.argmax()), mask.shape))
        place = f"row {row}, column {column[0]}" if column else f"row {row}"
        raise DataError(f"{name} is masked at {place}; remove such rows, or fill them")
    return array.data


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _by_polars(source: Any, name: str) -> Any:
    """A ``polars.Series`` of an Arrow object, of structs where it is a table; used where pyarrow is not installed."""
    if not _is_installed("polars"):
        raise MissingDependencyError(
            f"{name}, a {type(source).__name__}, is read by Arrow's protocols with pyarrow or polars, and neither is "
            "installed; install one with: pip install pyarrow"
        )
    return importlib.import_module("polars").Series(source)


def _is_cudf(source: object) -> bool:
    """Whether an object is cuDF's. Its methods decide, so that cuDF need not be imported, and its like are read too."""
    return hasattr(source, "to_cupy") and hasattr(source, "to_pandas")


def _cudf_matrix(frame: Any) -> Any:
    """CuPy array of shape (n, d) in Fortran order. cuDF stores each column apart, so they are copied on the device."""
    if not hasattr(frame, "columns"):
        raise DataError(f"Expected 2D array, got 1D array instead: X is a {type(frame).__name__}; give a DataFrame")
    for at, name in enumerate(frame.columns):
        column = frame[name]
        if getattr(column.dtype, "kind", "O") not in "fiub":
            raise DataError(
                f"column {name!r} of X holds {column.dtype} values; encode them as numbers, or leave the column out"
            )
        if column.null_count:  # to_cupy raises for nulls in some types and returns NaN for those in others
            raise DataError(f"Input X contains a null in column {at} ({name!r}); remove or impute it")
    return frame.to_cupy()


def _cudf_column(column: Any, name: str) -> Any:
    """A Series, or a DataFrame of one column, as a CuPy array; of text, which CuPy does not have, as a NumPy array."""
    if hasattr(column, "columns"):
        names = list(column.columns)
        refuse_several(name, names)
        column = column[names[0]]
    if column.null_count:
        raise DataError(f"{name} holds a null; remove or impute such rows")
    if getattr(column.dtype, "kind", "O") in "fiub":
        return column.to_cupy()
    return np.asarray(column.to_pandas())
