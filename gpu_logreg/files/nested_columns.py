"""Columns of Arrow tables that hold several values in a cell, as columns of one value: ``emb[0]``, ``place.city``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source, drop_option
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["FlatNames", "flat_table", "read_flat"]

_SAMPLE_ROWS = 1024


class FlatNames(list[str]):
    """Names of columns of one value, which know what columns they are parts of.

    Attributes
    ----------
    parts : dict
        For the name of each column that was taken apart, the names of its parts.
    """

    def __init__(self, parts: dict[str, list[str]]) -> None:
        super().__init__(name for names in parts.values() for name in names)
        self.parts = {name: names for name, names in parts.items() if names != [name]}

    @staticmethod
    def spread(names: Sequence[str], wanted: Collection[str]) -> list[str]:
        """``wanted`` with the parts of a column for its name, where ``names`` know them and have no such name."""
        parts = names.parts if isinstance(names, FlatNames) else {}
        return [part for name in wanted for part in (parts.get(name, [name]) if name not in names else [name])]


def flat_table(arrow: Any, source: Source) -> Any:
    """An Arrow table with a column for each field of its structs, and for each place of lists of one length.

    Lists are taken apart where they hold numbers; other columns stay, and are refused where they are read. A missing
    list or struct has missing cells in all its columns.

    Raises
    ------
    DataError
        Lists of numbers that are not of one length; the message names the first row of another length.
    """
    if not any(_may_hold_several(dtype) for dtype in arrow.schema.types):
        return arrow
    pairs = [
        pair
        for name, column in zip(arrow.column_names, arrow.columns, strict=True)
        for pair in _flat(name, column, source)
    ]
    flat = import_pyarrow().table([column for _, column in pairs], names=[name for name, _ in pairs])
    return flat.replace_schema_metadata(arrow.schema.metadata)


def read_flat(file: Any, select: Callable[[Sequence[str]], Sequence[str]], source: Source) -> Any:
    """The columns that ``select`` chooses of a Parquet file, taken apart as by `flat_table`.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
    select : callable
        Is given the names of the columns of one value, as `FlatNames`; raises where one that it needs is not there.
    source : Source

    Returns
    -------
    pyarrow.Table
    """
    schema = file.schema_arrow
    nested = [field.name for field in schema if _may_hold_several(field.type)]
    if not nested or len(set(schema.names)) < len(schema.names):  # two columns of one name are refused elsewhere
        return file.read(columns=list(select(schema.names)))
    parts = {field.name: [field.name] for field in schema} | _parts(file, nested)
    names = FlatNames(parts)
    if len(set(names)) < len(names):
        raise DataError(f"{source.name}: several of its columns have one name once they are taken apart; rename them")
    wanted = list(select(names))
    columns = [name for name, names in parts.items() if not set(wanted).isdisjoint(names)]
    return flat_table(file.read(columns=columns), source).select(wanted)


def _parts(file: Any, nested: Sequence[str]) -> dict[str, list[str]]:
    """Names of the parts of columns, by their first rows."""
    batch = next(file.iter_batches(batch_size=_SAMPLE_ROWS, columns=list(nested)), None)
    sample = file.schema_arrow.empty_table() if batch is None else import_pyarrow().table(batch)
    parts = {name: [part for part, _ in _flat(name, sample.column(name), None)] for name in nested}
    for name in nested:
        if parts[name] == [name] and len(sample) < file.metadata.num_rows:  # its first lists may all be missing
            whole = file.read(columns=[name]).column(name)
            parts[name] = [part for part, _ in _flat(name, whole, None)]
    return parts


def _may_hold_several(dtype: Any) -> bool:
    types = import_pyarrow("pyarrow.types")
    dtype = _storage(dtype)
    return bool(types.is_struct(dtype) or _is_list(dtype))


def _is_list(dtype: Any) -> bool:
    types = import_pyarrow("pyarrow.types")
    return bool(types.is_fixed_size_list(dtype) or types.is_list(dtype) or types.is_large_list(dtype))


def _storage(dtype: Any) -> Any:
    """The type under an extension type, such as a tensor of fixed shape."""
    return dtype.storage_type if isinstance(dtype, import_pyarrow().BaseExtensionType) else dtype


def _flat(name: str, column: Any, source: Source | None) -> Iterator[tuple[str, Any]]:
    """The parts of a column, by name; itself where it has none. Without ``source`` nothing is refused."""
    types, pc = import_pyarrow("pyarrow.types"), import_pyarrow("pyarrow.compute")
    dtype = _storage(column.type)
    if dtype != column.type and _may_hold_several(dtype):
        column = import_pyarrow().chunked_array([chunk.storage for chunk in column.chunks], dtype)
    if types.is_struct(dtype) and dtype.num_fields:
        for field, part in zip(dtype, column.flatten(), strict=True):
            yield from _flat(f"{name}.{field.name}", part, source)
    elif length := _length(name, column, source) if _is_list(dtype) and _holds_numbers(dtype) else 0:
        for at in range(length):
            yield from _flat(f"{name}[{at}]", pc.list_element(column, at), source)
    else:
        yield name, column


def _length(name: str, column: Any, source: Source | None) -> int:
    """Length of all lists of a column; 0 where it is not known."""
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


def _holds_numbers(dtype: Any) -> bool:
    types, held = import_pyarrow("pyarrow.types"), _storage(dtype.value_type)
    if _is_list(held):
        return _holds_numbers(held)
    return bool(types.is_integer(held) or types.is_floating(held) or types.is_boolean(held) or types.is_decimal(held))
