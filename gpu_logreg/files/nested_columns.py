"""Columns of Arrow tables that hold several values in a cell, as columns of one value: ``emb[0]``, ``place.city``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source, drop_option
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

__all__ = ["FlatNames", "flatten_table", "read_flattened"]

_SAMPLE_ROWS = 1024
"""Rows that are read to find the length of lists; where all of these are missing, the column is read whole."""


class FlatNames(list[str]):
    """Names of columns of one value in a cell, with the columns of several values that they are parts of.

    Attributes
    ----------
    parts : dict
        The names of the parts of each column that was taken apart, by its name.
    """

    def __init__(self, parts: dict[str, list[str]]) -> None:
        super().__init__(name for names in parts.values() for name in names)
        self.parts = {name: names for name, names in parts.items() if names != [name]}

    @staticmethod
    def replace_by_parts(names: Sequence[str], columns: Collection[str]) -> list[str]:
        """``columns`` with the name of a column that was taken apart replaced by those of its parts.

        A name that is among ``names`` itself stays.
        """
        parts = names.parts if isinstance(names, FlatNames) else {}
        return [part for name in columns for part in (parts.get(name, [name]) if name not in names else [name])]


def flatten_table(arrow: pyarrow.Table, source: Source) -> pyarrow.Table:
    """An Arrow table with a column for each field of its structs, and for each position in lists of numbers.

    Lists of other values stay, and are refused when the column is read. A missing list or struct gives missing cells in
    all its columns.

    Raises
    ------
    DataError
        The lists of numbers of a column differ in length; the message names the first row with another length.
    """
    if not any(_may_hold_several(dtype) for dtype in arrow.schema.types):
        return arrow
    pairs = [
        pair
        for name, column in zip(arrow.column_names, arrow.columns, strict=True)
        for pair in _flatten(name, column, source)
    ]
    flat = import_pyarrow().table([column for _, column in pairs], names=[name for name, _ in pairs])
    return flat.replace_schema_metadata(arrow.schema.metadata)


def read_flattened(
    file: parquet.ParquetFile,
    select: Callable[[Sequence[str]], Sequence[str]],
    source: Source,
    row_groups: Sequence[int] | None = None,
) -> pyarrow.Table:
    """Read the columns of a Parquet file that ``select`` chooses, taken apart as by `flatten_table`.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
    select : callable
        Function from the names of the columns of one value, as `FlatNames`, to those to read.
    source : Source
    row_groups : sequence of int, optional
        Those that are read; None for all.

    Returns
    -------
    pyarrow.Table
    """
    read = file.read if row_groups is None else functools.partial(file.read_row_groups, row_groups)
    schema = file.schema_arrow
    nested = [field.name for field in schema if _may_hold_several(field.type)]
    if not nested or len(set(schema.names)) < len(schema.names):  # `Table` refuses two columns of one name
        return read(columns=list(select(schema.names)))
    parts = {field.name: [field.name] for field in schema} | _parts(file, nested)
    names = FlatNames(parts)
    if len(set(names)) < len(names):
        raise DataError(f"{source.name}: several of its columns have one name once they are taken apart; rename them")
    chosen_names = list(select(names))
    columns = [name for name, names in parts.items() if not set(chosen_names).isdisjoint(names)]
    return flatten_table(read(columns=columns), source).select(chosen_names)


def _parts(file: parquet.ParquetFile, nested: Sequence[str]) -> dict[str, list[str]]:
    """Names of the parts of each column, found from its first rows."""
    batch = next(file.iter_batches(batch_size=_SAMPLE_ROWS, columns=list(nested)), None)
    sample = file.schema_arrow.empty_table() if batch is None else import_pyarrow().table(batch)
    parts = {name: [part for part, _ in _flatten(name, sample.column(name), None)] for name in nested}
    for name in nested:
        if parts[name] == [name] and len(sample) < file.metadata.num_rows:  # all lists of the sample may be missing
            whole = file.read(columns=[name]).column(name)
            parts[name] = [part for part, _ in _flatten(name, whole, None)]
    return parts


def _may_hold_several(dtype: pyarrow.DataType) -> bool:
    """Whether cells of a type hold several values."""
    types = import_pyarrow("pyarrow.types")
    dtype = _storage(dtype)
    return bool(types.is_struct(dtype) or _is_list(dtype))


def _is_list(dtype: pyarrow.DataType) -> bool:
    types = import_pyarrow("pyarrow.types")
    return bool(types.is_fixed_size_list(dtype) or types.is_list(dtype) or types.is_large_list(dtype))


def _storage(dtype: pyarrow.DataType) -> pyarrow.DataType:
    """The type that an extension type, such as a tensor of fixed shape, is stored as; else the type itself."""
    return dtype.storage_type if isinstance(dtype, import_pyarrow().BaseExtensionType) else dtype


def _flatten(
    name: str, column: pyarrow.ChunkedArray, source: Source | None
) -> Iterator[tuple[str, pyarrow.ChunkedArray]]:
    """The parts of a column with their names; the column itself where it has none.

    Without ``source`` no column is refused: its rows are a sample.
    """
    types, pc = import_pyarrow("pyarrow.types"), import_pyarrow("pyarrow.compute")
    dtype = _storage(column.type)
    if dtype != column.type and _may_hold_several(dtype):
        column = import_pyarrow().chunked_array([chunk.storage for chunk in column.chunks], dtype)
    if types.is_struct(dtype) and dtype.num_fields:
        for field, part in zip(dtype, column.flatten(), strict=True):
            yield from _flatten(f"{name}.{field.name}", part, source)
    elif length := _length(name, column, source) if _is_list(dtype) and _holds_numbers(dtype) else 0:
        for at in range(length):
            yield from _flatten(f"{name}[{at}]", pc.list_element(column, at), source)
    else:
        yield name, column


def _length(name: str, column: pyarrow.ChunkedArray, source: Source | None) -> int:
    """The length that all lists of a column have; 0 where all lists are missing.

    Where lengths differ, the result is 0 without ``source``, and `DataError` is raised with it.
    """
    dtype, pc = column.type, import_pyarrow("pyarrow.compute")
    if import_pyarrow("pyarrow.types").is_fixed_size_list(dtype):
        return int(dtype.list_size)
    lengths = pc.list_value_length(column)
    least, most = pc.min_max(lengths).as_py().values()
    if least == most or source is None:
        return (least or 0) if least == most else 0
    first = lengths.drop_null()[0].as_py()
    row = pc.index(pc.not_equal(lengths, first), import_pyarrow().scalar(True)).as_py()
    raise DataError(
        f"{source.at(row)}: column {name!r} holds a list of {lengths[row].as_py()} numbers, and the lists before it "
        f"hold {first}; give all lists one length, or drop it ({drop_option(name)})"
    )


def _holds_numbers(dtype: pyarrow.DataType) -> bool:
    """Whether the innermost items of a type of lists are numbers."""
    types, items = import_pyarrow("pyarrow.types"), _storage(dtype.value_type)
    if _is_list(items):
        return _holds_numbers(items)
    return bool(
        types.is_integer(items) or types.is_floating(items) or types.is_boolean(items) or types.is_decimal(items)
    )
