"""Arrow columns in the canonical form of a `Table`: numbers as they are, text encoded over its sorted categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source, drop_option
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["MISSING_WORDS", "as_float64", "canonical", "numbers_among", "numbers_as_text", "refuse_infinity"]

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
"""Cells that count as missing, once the blanks around them are taken off."""

_NUMBER = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:inf|infinity))$"


def as_float64(column: Any) -> NDArray[np.float64]:
    """An Arrow column of numbers or booleans, or one without any cell, as float64 of shape (n,), missing cells NaN."""
    column = column.cast("float64", safe=False)  # not safe: integers beyond 2**53 are rounded
    return np.asarray(column.to_numpy(zero_copy_only=False))


def numbers_among(words: Any) -> Any:
    """Which of the Arrow strings ``words`` read as a number: Arrow booleans."""
    return import_pyarrow("pyarrow.compute").match_substring_regex(words, _NUMBER)


def canonical(
    name: str, column: Any, source: Source, numbers_in_text: bool, missing: Sequence[str] = MISSING_WORDS
) -> Any:
    """``pyarrow.ChunkedArray`` in the canonical form of a `Table`.

    Parameters
    ----------
    name, source
        Of the column, for messages.
    column : pyarrow.ChunkedArray
    numbers_in_text : bool
        Whether text becomes numbers where every cell that is not missing reads as one.
    missing : sequence of str
        Words for missing cells.

    Raises
    ------
    DataError
        Dates, several values in a cell, or text that is not UTF-8.
    """
    types = import_pyarrow("pyarrow.types")
    column = _decoded(column)
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


def _decoded(column: Any) -> Any:
    """A column without what is only a way to store it; bytes as text where they are UTF-8, else as ``large_binary``."""
    pa, types = import_pyarrow(), import_pyarrow("pyarrow.types")
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if types.is_run_end_encoded(column.type):
        column = import_pyarrow("pyarrow.compute").run_end_decode(column)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    dtype = str(column.type)
    if dtype == "string_view":  # has no predicate before pyarrow 16
        return column.cast("large_string")
    if dtype not in ("binary", "large_binary", "binary_view") and not types.is_fixed_size_binary(column.type):
        return column
    try:
        return column.cast("large_string")
    except pa.ArrowInvalid:
        return column.cast("large_binary")


def _days(column: Any) -> Any:
    """Spans of time as days, missing ones null."""
    per_day = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit] * 86400.0
    return import_pyarrow("pyarrow.compute").divide(column.cast("int64").cast("float64", safe=False), per_day)


def _first_not_utf8(column: Any) -> int:
    for row, cell in enumerate(column.to_pylist()):
        try:
            (cell or b"").decode()
        except UnicodeDecodeError:
            return row
    return 0


def _canonical_text(column: Any, numbers_in_text: bool, missing: Sequence[str]) -> Any:
    """Text trimmed, words for missing cells as null, encoded over its sorted categories; or numbers, where wished."""
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    encoded = column.dictionary_encode().combine_chunks()
    words = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.large_string()))
    words = pc.if_else(pc.is_in(words, pa.array(["", *missing], words.type)), None, words)
    kept = words.drop_null().unique()
    if len(kept) == 0:
        return pa.chunked_array([pa.nulls(len(column))])
    if numbers_in_text and pc.all(numbers_among(kept)).as_py():
        unsigned = pc.replace_substring_regex(words, r"^\+", "")  # Arrow does not read a plus sign
        return pa.chunked_array([unsigned.cast("float64").take(encoded.indices)])
    kept = kept.take(pc.sort_indices(kept))
    codes = pc.index_in(words, kept).take(encoded.indices)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, kept.cast(pa.string()))])


def numbers_as_text(column: Any) -> Any:
    """Numbers or booleans as text in the canonical form, as pyarrow writes them: ``12`` for 12 and for 12.0."""
    return _canonical_text(column.cast("string"), False, MISSING_WORDS)


def refuse_infinity(name: str, column: Any, source: Source) -> None:
    """Raise a `DataError` that names the first infinity of a column, if it holds one."""
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
