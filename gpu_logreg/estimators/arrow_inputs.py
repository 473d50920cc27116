"""Arrow tables and columns in memory, of pyarrow or of any library with Arrow's protocols, as arrays of numbers.

Those of files are `gpu_logreg.files.table`'s, where text and missing cells are encoded; here they are refused, as for
any other table that an estimator is given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import one_line
from gpu_logreg.arrays.interchange import is_array
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["arrow_column", "arrow_matrix", "arrow_table", "refuse_several", "speaks_arrow"]


def speaks_arrow(given: Any) -> bool:
    """Whether an object is to be read by Arrow's protocols.

    pandas and polars have them too, and are left to scikit-learn, which knows more of them than the protocols tell;
    arrays may have them, as tables of their coordinates.
    """
    if is_array(given):
        return False
    if any(kind.__module__.split(".", 1)[0] in ("pandas", "polars", "cupy", "numpy") for kind in type(given).__mro__):
        return False
    if hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
        return True
    return hasattr(given, "__dataframe__") and not hasattr(given, "__array__")


def arrow_table(given: Any, name: str) -> Any:
    """``pyarrow.Table`` of a table of any library, without a copy where that library has Arrow's layout.

    Raises
    ------
    DataError
        An object that is no table, or whose columns do not have a name each.
    """
    pa = import_pyarrow()
    with _one_line_errors(given, name, "table"):
        if hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
            table = pa.table(given)
        else:
            table = import_pyarrow("pyarrow.interchange").from_dataframe(given)
    names = table.column_names
    twice = next((column for at, column in enumerate(names) if column in names[:at]), None)
    if twice is not None:
        raise DataError(f"several columns of {name} have the name {twice!r}; rename them")
    return table


def arrow_matrix(table: Any) -> NDArray[Any]:
    """The rows of a table of numbers: array of shape (n, d) in Fortran order, in the dtype that holds every column.

    Arrow keeps a column in memory of its own, often in several pieces, so the columns are copied side by side; once,
    but for categories and decimals, which are turned into numbers before.

    Raises
    ------
    DataError
        A column of other things than numbers, or with a null.
    """
    pairs = enumerate(zip(table.column_names, table.columns, strict=True))
    columns = [_numbers(column, at, name) for at, (name, column) in pairs]
    dtypes = [column.type.to_pandas_dtype() for column in columns]
    X = np.empty((table.num_rows, len(columns)), np.result_type(*dtypes) if dtypes else np.float64, order="F")
    for at, column in enumerate(columns):
        first = 0
        for chunk in column.chunks:
            X[first : first + len(chunk), at] = chunk.to_numpy(zero_copy_only=False)
            first += len(chunk)
    return X


def arrow_column(given: Any, name: str) -> NDArray[Any]:
    """Labels or weights in an Arrow array, of one chunk or more, or in a table of one column: array of shape (n,).

    A view where they are numbers in one piece; text becomes objects.

    Raises
    ------
    DataError
        A null, or a table of several columns.
    """
    pa, types = import_pyarrow(), import_pyarrow("pyarrow.types")
    if not hasattr(given, "__arrow_c_stream__") and not hasattr(given, "__arrow_c_array__"):
        given = arrow_table(given, name)
    with _one_line_errors(given, name, "column"):
        column = pa.chunked_array(given)  # a table comes as one column of structs
    if types.is_struct(column.type):
        names = [column.type.field(at).name for at in range(column.type.num_fields)]
        refuse_several(name, names)
        column = pa.chunked_array([chunk.flatten()[0] for chunk in column.chunks], column.type.field(0).type)
    decimals = types.is_decimal(column.type)
    exact, column = column, _plain(column)
    _refuse_null(column, f"{name} holds a null at row {{}}; remove such rows")
    if decimals and bool(np.any(np.abs(column.to_numpy(zero_copy_only=False)) >= 2.0**53)):
        column = exact  # float64 would make neighbours one
    return np.asarray(column.to_numpy(zero_copy_only=False))


def refuse_several(name: str, columns: Sequence[Any]) -> None:
    """Raise a `DataError` unless a table that is given for ``name`` has one column."""
    if len(columns) != 1:
        raise DataError(f"{name} is a table of {len(columns)} columns, {', '.join(map(repr, columns))}; give one")


def _plain(column: Any) -> Any:
    """Categories and decimals as what they stand for; text in a form that every pyarrow turns into NumPy's objects."""
    types = import_pyarrow("pyarrow.types")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if str(column.type) == "string_view":  # has no predicate before pyarrow 16
        column = column.cast("large_string")
    return column.cast("float64", safe=False) if types.is_decimal(column.type) else column


def _numbers(column: Any, at: int, name: str) -> Any:
    types = import_pyarrow("pyarrow.types")
    held, column = column.type, _plain(column)
    _refuse_null(column, f"Input X contains a null at row {{}}, column {at} ({name!r}); remove or impute it")
    if not (types.is_boolean(column.type) or types.is_integer(column.type) or types.is_floating(column.type)):
        raise DataError(f"column {name!r} of X holds {held} values; encode them as numbers, or leave the column out")
    return column


def _refuse_null(column: Any, message: str) -> None:
    if column.null_count:
        raise DataError(message.format(column.is_null().index(True).as_py()))


@contextlib.contextmanager
def _one_line_errors(given: Any, name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except GpuLogregError:
        raise
    except (ArithmeticError, OSError, RuntimeError, TypeError, ValueError) as error:  # pyarrow's, or the library's own
        raise DataError(
            f"{name}, a {type(given).__name__}, cannot be read as an Arrow {kind} ({one_line(error)}); "
            "give a table of numbers for X, and a column for y and sample_weight"
        ) from error
