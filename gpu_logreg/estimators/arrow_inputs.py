"""Arrow tables and columns in memory, of pyarrow or of any library with Arrow's protocols, as arrays of numbers.

Tables from files are read by `gpu_logreg.files.table`, which encodes text and missing cells. An estimator refuses both,
in an Arrow table as in any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import one_line
from gpu_logreg.arrays.interchange import is_array
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["arrow_column", "arrow_matrix", "arrow_table", "refuse_several", "speaks_arrow"]


def speaks_arrow(source: Any) -> bool:
    """Whether an object is to be read through Arrow's protocols (or the dataframe protocol).

    Tables of pandas and polars have the protocols, but scikit-learn reads more of them than the protocols carry, such
    as the names of columns. Some arrays have them as tables of coordinates. Both are left out.
    """
    if is_array(source):
        return False
    if any(kind.__module__.split(".", 1)[0] in ("pandas", "polars", "cupy", "numpy") for kind in type(source).__mro__):
        return False
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        return True
    return hasattr(source, "__dataframe__") and not hasattr(source, "__array__")


def arrow_table(source: Any, name: str) -> pyarrow.Table:
    """``pyarrow.Table`` of a table of any library, without a copy where that library has Arrow's layout.

    Raises
    ------
    DataError
        The object is no table, or two of its columns have one name.
    """
    pa = import_pyarrow()
    with _one_line_errors(source, name, "table"):
        if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
            table = pa.table(source)
        else:
            table = import_pyarrow("pyarrow.interchange").from_dataframe(source)
    names = table.column_names
    twice = next((column for at, column in enumerate(names) if column in names[:at]), None)
    if twice is not None:
        raise DataError(f"several columns of {name} have the name {twice!r}; rename them")
    return table


def arrow_matrix(table: pyarrow.Table) -> NDArray[Any]:
    """The rows of a table of numbers: array of shape (n, d) in Fortran order, in the dtype that holds every column.

    Arrow stores each column in memory of its own, often in several chunks, so the columns are copied side by side.
    Categories and decimals are converted to numbers before, which copies them once more.

    Raises
    ------
    DataError
        A column that does not hold numbers, or holds a null.
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


def arrow_column(source: Any, name: str) -> NDArray[Any]:
    """Labels or weights in an Arrow array, of one chunk or more, or in a table of one column: array of shape (n,).

    The result is a view where the column is numbers in one chunk. Text becomes Python strings.

    Raises
    ------
    DataError
        A null, or a table of several columns.
    """
    pa, types = import_pyarrow(), import_pyarrow("pyarrow.types")
    if not hasattr(source, "__arrow_c_stream__") and not hasattr(source, "__arrow_c_array__"):
        source = arrow_table(source, name)
    with _one_line_errors(source, name, "column"):
        column = pa.chunked_array(source)  # pyarrow makes one column of structs of a table
    if types.is_struct(column.type):
        names = [column.type.field(at).name for at in range(column.type.num_fields)]
        refuse_several(name, names)
        column = pa.chunked_array([chunk.flatten()[0] for chunk in column.chunks], column.type.field(0).type)
    is_decimal = types.is_decimal(column.type)
    decimal_column, column = column, _plain(column)
    _refuse_null(column, f"{name} holds a null at row {{}}; remove such rows")
    if is_decimal and bool(np.any(np.abs(column.to_numpy(zero_copy_only=False)) >= 2.0**53)):
        column = decimal_column  # float64 would round neighbouring labels to one
    return np.asarray(column.to_numpy(zero_copy_only=False))


def refuse_several(name: str, columns: Sequence[object]) -> None:
    """Raise a `DataError` unless a table passed as ``name`` has exactly one column."""
    if len(columns) != 1:
        raise DataError(f"{name} is a table of {len(columns)} columns, {', '.join(map(repr, columns))}; give one")


def _plain(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """A column of categories as their values, of decimals as float64, of text as a type that every pyarrow converts."""
    types = import_pyarrow("pyarrow.types")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if str(column.type) == "string_view":  # pyarrow before 16 has no types.is_string_view
        column = column.cast("large_string")
    return column.cast("float64", safe=False) if types.is_decimal(column.type) else column


def _numbers(column: pyarrow.ChunkedArray, at: int, name: str) -> pyarrow.ChunkedArray:
    """A column of a table as Arrow numbers or booleans; refused where it holds other values or a null."""
    types = import_pyarrow("pyarrow.types")
    dtype, column = column.type, _plain(column)
    _refuse_null(column, f"Input X contains a null at row {{}}, column {at} ({name!r}); remove or impute it")
    if not (types.is_boolean(column.type) or types.is_integer(column.type) or types.is_floating(column.type)):
        raise DataError(f"column {name!r} of X holds {dtype} values; encode them as numbers, or leave the column out")
    return column


def _refuse_null(column: pyarrow.ChunkedArray, message: str) -> None:
    """Raise a `DataError` with ``message``, its ``{}`` the first row with a null, if there is one."""
    if column.null_count:
        raise DataError(message.format(column.is_null().index(True).as_py()))


@contextlib.contextmanager
def _one_line_errors(source: Any, name: str, kind: str) -> Iterator[None]:
    """A context that turns the errors of pyarrow, and of the library of ``source``, into a `DataError` of one line."""
    try:
        yield
    except GpuLogregError:
        raise
    except (ArithmeticError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}, a {type(source).__name__}, cannot be read as an Arrow {kind} ({one_line(error)}); "
            "give a table of numbers for X, and a column for y and sample_weight"
        ) from error
