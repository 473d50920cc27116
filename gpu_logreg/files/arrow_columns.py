"""Arrow columns in the canonical form of a `Table`: numbers in their own type, text as codes of sorted categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source, drop_option
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "MISSING_WORDS",
    "as_float64",
    "numbers_among",
    "numbers_as_text",
    "plain_type",
    "refuse_infinity",
    "to_canonical",
]

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
"""Words for a missing cell, without the blanks around them: those that NumPy, R, pandas and SQL write, and ``?``, which
the UCI repository uses.
"""

_NUMBER = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:inf|infinity))$"


def as_float64(column: pyarrow.ChunkedArray) -> NDArray[np.float64]:
    """An Arrow column of numbers, booleans or nulls as float64 of shape (n,), where NaN is a missing cell."""
    column = column.cast("float64", safe=False)  # safe=True would raise for integers beyond 2**53; they are rounded
    return np.asarray(column.to_numpy(zero_copy_only=False))


def numbers_among(words: pyarrow.Array) -> pyarrow.Array:
    """Arrow booleans: which of the Arrow strings ``words`` read as a plain number."""
    return import_pyarrow("pyarrow.compute").match_substring_regex(words, _NUMBER)


def to_canonical(
    name: str,
    column: pyarrow.ChunkedArray,
    source: Source,
    numbers_in_text: bool,
    missing: Sequence[str] = MISSING_WORDS,
) -> pyarrow.ChunkedArray:
    """Bring an Arrow column into the canonical form of a `Table`.

    Parameters
    ----------
    name : str
        Name of the column, for messages.
    column : pyarrow.ChunkedArray
    source : Source
        Where the column comes from, for messages.
    numbers_in_text : bool
        Whether text becomes numbers if every cell that is not missing reads as one.
    missing : sequence of str
        Words for missing cells.

    Raises
    ------
    DataError
        Dates, several values in a cell, or text that is not UTF-8.
    """
    types = import_pyarrow("pyarrow.types")
    column = plain_type(column)
    dtype = column.type
    if types.is_string(dtype) or types.is_large_string(dtype):
        return _canonical_text(column, numbers_in_text, missing)
    if types.is_float16(dtype):
        return column.cast("float32")
    if types.is_decimal(dtype):
        return column.cast("float64", safe=False)
    if types.is_boolean(dtype) or types.is_integer(dtype) or types.is_floating(dtype) or types.is_null(dtype):
        return column
    if types.is_duration(dtype):
        return _days(column)
    drop = f"drop it ({drop_option(name)})"
    if types.is_large_binary(dtype):
        row = _first_not_utf8(column)
        raise DataError(
            f"{source.at(row)}: column {name!r} is not UTF-8 text; "
            f"convert the file, for example with iconv -f latin1 -t utf-8, or {drop}"
        )
    raise DataError(f"{source.name}: column {name!r} holds {dtype} values; convert them to numbers or {drop}")


def plain_type(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """A column in a plain type: without extension, run-end or dictionary encoding.

    Bytes become text where all of them are UTF-8, else ``large_binary``.
    """
    pa, types = import_pyarrow(), import_pyarrow("pyarrow.types")
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if types.is_run_end_encoded(column.type):
        column = import_pyarrow("pyarrow.compute").run_endplain_type(column)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    dtype = str(column.type)
    if dtype == "string_view":  # pyarrow before 16 has no types.is_string_view
        return column.cast("large_string")
    if dtype not in ("binary", "large_binary", "binary_view") and not types.is_fixed_size_binary(column.type):
        return column
    try:
        return column.cast("large_string")
    except pa.ArrowInvalid:
        return column.cast("large_binary")


def _days(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Durations as days, missing ones null."""
    per_day = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit] * 86400.0
    return import_pyarrow("pyarrow.compute").divide(column.cast("int64").cast("float64", safe=False), per_day)


def _first_not_utf8(column: pyarrow.ChunkedArray) -> int:
    """The first row whose bytes are not UTF-8."""
    for row, cell in enumerate(column.to_pylist()):
        try:
            (cell or b"").decode()
        except UnicodeDecodeError:
            return row
    return 0


def _canonical_text(
    column: pyarrow.ChunkedArray, numbers_in_text: bool, missing: Sequence[str]
) -> pyarrow.ChunkedArray:
    """Text without the blanks around it, encoded over its sorted categories, with null for a missing cell.

    Where ``numbers_in_text`` is true and all categories read as numbers, the column is float64; where all cells are
    missing, it is of the null type.
    """
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    encoded = column.dictionary_encode().combine_chunks()
    words = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.large_string()))
    words = pc.if_else(pc.is_in(words, pa.array(["", *missing], words.type)), None, words)
    categories = words.drop_null().unique()
    if len(categories) == 0:
        return pa.chunked_array([pa.nulls(len(column))])
    if numbers_in_text and pc.all(numbers_among(categories)).as_py():
        unsigned = pc.replace_substring_regex(words, r"^\+", "")  # Arrow's cast refuses a plus sign
        return pa.chunked_array([unsigned.cast("float64").take(encoded.indices)])
    categories = categories.take(pc.sort_indices(categories))
    codes = pc.index_in(words, categories).take(encoded.indices)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, categories.cast(pa.string()))])


def numbers_as_text(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Numbers or booleans as text in the canonical form, written by pyarrow: ``12`` for 12 and for 12.0."""
    return _canonical_text(column.cast("string"), False, MISSING_WORDS)


def refuse_infinity(name: str, column: pyarrow.ChunkedArray, source: Source) -> None:
    """Raise a `DataError` that names the row of the first infinity of a column, if it holds one."""
    types, pc = import_pyarrow("pyarrow.types"), import_pyarrow("pyarrow.compute")
    if not types.is_floating(column.type):
        return
    infinite = pc.is_inf(column)
    if pc.any(infinite).as_py():
        row = infinite.index(True).as_py()
        raise DataError(
            f"{source.at(row)}: column {name!r} holds an infinity; "
            f"correct it, leave the cell empty (missing), or drop the column ({drop_option(name)})"
        )
