"""Refusal of lines of a CSV file that are no rows of data: the header a second time, totals at the end."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source, text_option
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.table import Table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["LAST_ROWS", "TOTAL", "header_again", "like_totals", "refuse_odd_rows"]

TOTAL = re.compile(
    r"((grand|sub|column|overall)?[ -]?totals?( general)?|sums?|averages?|mean|gesamt(summe)?|insgesamt|summe|totale|"
    r"totaal|suma|somme|итого|合计|总计|合計)\s*:?",
    re.IGNORECASE,
)
"""Words that begin a row of totals, in some languages."""

LAST_ROWS = 3
"""Rows at the end that are searched for totals; a grand total may follow others."""


def refuse_odd_rows(table: Table, header: Sequence[str], text: Collection[str]) -> None:
    """Refuse a row that equals the header, and a row of totals at the end, each with its line.

    Parameters
    ----------
    table : Table
    header : sequence of str
        The names in the file; empty without a header.
    text : collection of str
        Columns that the user declared to be text, in which the words of totals are allowed.
    """
    _refuse_second_header(table, header)
    _refuse_totals(table, text)


def _refuse_second_header(table: Table, header: Sequence[str]) -> None:
    """Refuse a row in which every column holds its own name, as where files were put one below the other."""
    pc = import_pyarrow("pyarrow.compute")
    names = [name for name in table.names if name in header]
    is_header: pyarrow.ChunkedArray | None = None
    for name in names:
        if table.kind(name) != "text":
            return  # a row with the name of this column in it would have made the column text
        encoded = table.arrow.column(name).combine_chunks()
        code = pc.index(encoded.dictionary, name).as_py()
        if code < 0:
            return
        is_name = pc.equal(encoded.indices, code)
        is_header = is_name if is_header is None else pc.and_kleene(is_header, is_name)
    row = -1 if is_header is None else is_header.index(True).as_py()
    if row >= 0:
        raise header_again(table.source, row)


def header_again(source: Source, row: int) -> DataError:
    """The error for a row that repeats the header."""
    return DataError(f"{source.at(row)}: repeats the header; delete the line")


def like_totals(source: Source, row: int, name: str, word: str) -> DataError:
    """The error for a word at the end of a column that begins a row of totals."""
    return DataError(
        f"{source.at(row)}: holds {word!r} in column {name!r}, like a row of totals; "
        f"delete the line, or {text_option(name)} if that is a text like others"
    )


def _refuse_totals(table: Table, text: Collection[str]) -> None:
    """Refuse a word for totals in the last rows, if it is in no other row."""
    last = table.arrow.slice(max(0, table.n_rows - LAST_ROWS))
    first_row = table.n_rows - last.num_rows
    for name in table.names:
        if name in text or table.kind(name) != "text":
            continue
        encoded = table.arrow.column(name).combine_chunks()
        for at, word in enumerate(last.column(name).to_pylist()):
            if word is None or not TOTAL.fullmatch(word):
                continue
            code = encoded.indices[first_row + at].as_py()
            if np.count_nonzero(np.asarray(encoded.indices.fill_null(-1)) == code) == 1 and table.n_rows > LAST_ROWS:
                raise like_totals(table.source, first_row + at, name, word)
