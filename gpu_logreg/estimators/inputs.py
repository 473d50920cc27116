"""What estimators are given, as arrays: rows with the names of their columns, labels, weights.

NumPy and CuPy arrays, lists, and the tables of pandas and polars pass as they are; arrays that speak DLPack are viewed;
Arrow and cuDF tables become arrays here, and sparse matrices of SciPy's become CSR arrays. An optional library is
imported only where an object of it arrives.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import array_namespace, is_sparse
from gpu_logreg.arrays.interchange import as_array, is_bfloat16
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.estimators.arrow_inputs import arrow_column, arrow_matrix, arrow_table, refuse_several, speaks_arrow

__all__ = ["GivenRows", "given_column", "given_rows"]


class GivenRows(NamedTuple):
    """Rows as they were given to an estimator.

    Attributes
    ----------
    X : array of shape (n, d), or what scikit-learn makes one of
    header : table without rows, or None
        From which scikit-learn reads the names of the columns where ``X`` is a table no more.
    """

    X: Any
    header: Any = None

    @property
    def scikit_learn_knows(self) -> bool:
        """Whether scikit-learn can validate ``X``: not on a GPU, and not bfloat16."""
        if self.header is not None or array_namespace(self.X) is not np:
            return False
        return not (isinstance(self.X, np.ndarray) and is_bfloat16(self.X))


def given_rows(X: Any) -> GivenRows:
    """Rows in the memory they are in. A table of Arrow or cuDF is copied once, into an array in Fortran order.

    Raises
    ------
    DataError
        Complex numbers; in tables of Arrow and cuDF a null, or a column of other things than numbers.
    MissingDependencyError
        A table that neither of the libraries that can read it is installed for.
    """
    if _is_cudf(X):
        return GivenRows(_cudf_matrix(X), X.head(0).to_pandas())
    if speaks_arrow(X):
        if not _installed("pyarrow"):
            return GivenRows(_by_polars(X, "X").struct.unnest())
        table = arrow_table(X, "X")
        return GivenRows(arrow_matrix(table), table.slice(0, 0))
    if hasattr(X, "collect") and not hasattr(X, "__array__"):  # polars' LazyFrame holds a query, and no rows
        raise DataError(f"X is a {type(X).__name__}, whose rows are not computed yet; give X.collect()")
    if is_sparse(X):
        return GivenRows(csr_rows(X))
    if type(X).__module__.startswith("cupyx."):
        raise DataError(f"X is a {type(X).__name__} of CuPy; give X.get(), as sparse rows are walked on the CPU")
    X = as_array(X, "X")
    if isinstance(X, np.ndarray) and X.dtype.kind == "c":
        raise DataError(f"Complex data not supported: X has dtype {X.dtype}; give real numbers")
    return GivenRows(_without_mask(X, "X"))


def given_column(values: Any, name: str) -> Any:
    """Labels or weights as an array, in the memory they are in; lists and columns of pandas and polars as they are.

    Parameters
    ----------
    values : object of shape (n,)
        Or a table of Arrow or cuDF with one column. bfloat16 is widened to float32, and text becomes objects.
    name : str
        For messages.

    Raises
    ------
    DataError
        A null, or several columns, in Arrow and cuDF objects.
    """
    if _is_cudf(values):
        return _cudf_column(values, name)
    if speaks_arrow(values):
        if not _installed("pyarrow"):
            column = _by_polars(values, name)
            if hasattr(column.dtype, "fields"):
                frame = column.struct.unnest()
                refuse_several(name, frame.columns)
                column = frame.to_series()
            return column
        return arrow_column(values, name)
    array = _without_mask(as_array(values, name), name)
    return array.astype(np.float32) if is_bfloat16(array) else array


def _without_mask(array: Any, name: str) -> Any:
    """What a masked array holds; refused where something is masked, which NumPy would show as if it were not."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    mask = np.ma.getmaskarray(array)
    if mask.any():
        row, *column = (int(at) for at in np.unravel_index(int(mask.argmax()), mask.shape))
        place = f"row {row}, column {column[0]}" if column else f"row {row}"
        raise DataError(f"{name} is masked at {place}; remove such rows, or fill them")
    return array.data


def _installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _by_polars(given: Any, name: str) -> Any:
    """``polars.Series``, of structs where a table is given, where pyarrow is not installed."""
    if not _installed("polars"):
        raise MissingDependencyError(
            f"{name}, a {type(given).__name__}, is read by Arrow's protocols with pyarrow or polars, and neither is "
            "installed; install one with: pip install pyarrow"
        )
    return importlib.import_module("polars").Series(given)


def _is_cudf(given: Any) -> bool:
    """By what is offered: whoever makes CuPy arrays and pandas objects of tables is taken for cuDF."""
    return hasattr(given, "to_cupy") and hasattr(given, "to_pandas")


def _cudf_matrix(frame: Any) -> Any:
    """CuPy array of shape (n, d) in Fortran order: cuDF's columns lie apart, so that they are copied, on the device."""
    if not hasattr(frame, "columns"):
        raise DataError(f"Expected 2D array, got 1D array instead: X is a {type(frame).__name__}; give a DataFrame")
    for at, name in enumerate(frame.columns):
        column = frame[name]
        if getattr(column.dtype, "kind", "O") not in "fiub":
            raise DataError(
                f"column {name!r} of X holds {column.dtype} values; encode them as numbers, or leave the column out"
            )
        if column.null_count:  # cuDF itself refuses some and makes NaN of others
            raise DataError(f"Input X contains a null in column {at} ({name!r}); remove or impute it")
    return frame.to_cupy()


def _cudf_column(given: Any, name: str) -> Any:
    """A Series, or the column of a DataFrame of one, as a CuPy array; text, which CuPy has not, as a NumPy array."""
    if hasattr(given, "columns"):
        names = list(given.columns)
        refuse_several(name, names)
        given = given[names[0]]
    if given.null_count:
        raise DataError(f"{name} holds a null; remove or impute such rows")
    if getattr(given.dtype, "kind", "O") in "fiub":
        return given.to_cupy()
    return np.asarray(given.to_pandas())
