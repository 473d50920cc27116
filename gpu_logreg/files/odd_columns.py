"""Columns that are no features, and lines that are no rows, of a table that was read a few rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpu_logreg.files.column_facts import NumberFacts, TextFacts
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.index_columns import (
    FEWEST_ROWS,
    FIRST_DATE,
    LAST_DATE,
    RISING_SHARE,
    UNIQUE_SHARE,
    warn_of_columns,
)
from gpu_logreg.files.odd_rows import LAST_ROWS, TOTAL, header_again, like_totals

if TYPE_CHECKING:
    from gpu_logreg.files.table import Table

__all__ = ["left_out", "refuse_odd_texts", "warn_of_numbering"]


def refuse_odd_texts(
    source: Source,
    header: Sequence[str],
    features: Sequence[str],
    texts: Mapping[str, TextFacts],
    tables: Mapping[str, Table],
    n_rows: int,
) -> None:
    """Refuse a row that repeats the header, and a row of totals at the end, as `gpu_logreg.files.odd_rows` does."""
    found = {name: tuple(column.tolist() for column in texts[name].texts()) for name in tables}
    in_header = [name for name in features if name in header]
    rows = {_first_row_of(found.get(name), name) for name in in_header}
    if len(rows) == 1 and (row := rows.pop()) >= 0:
        raise header_again(source, row)
    if n_rows <= LAST_ROWS:
        return
    for name, table in tables.items():
        if table.kind(name) != "text" or name in table.as_text:
            continue
        for word, count, first in zip(*found[name], strict=True):
            if count == 1 and first >= n_rows - LAST_ROWS and TOTAL.fullmatch(word.strip()):
                raise like_totals(source, first, name, word.strip())


def _first_row_of(found: tuple[list[Any], ...] | None, word: str) -> int:
    """The first row with a text; -1 if there is none."""
    return -1 if found is None or word not in found[0] else int(found[2][found[0].index(word)])


def left_out(
    blocks: Any, named: Collection[str], numbers: Mapping[str, NumberFacts], tables: Mapping[str, Table], n_rows: int
) -> tuple[list[str], list[str]]:
    """Columns without a name that hold nothing, and those that are the index of the rows.

    They are those of `gpu_logreg.files.index_columns.without_index`, but for numbers that neither rise by one nor are
    text: of these it is not known whether most differ.
    """
    empty, index = [], []
    for name in blocks.unnamed:
        if name in named or (name not in numbers and name not in tables):
            continue
        kind = tables[name].kind(name) if name in tables else "numeric"
        if kind == "empty" or (name in numbers and not numbers[name].n_present):
            empty.append(name)
        elif not blocks.is_untyped:
            index.append(name)
        elif name in numbers:
            facts = numbers[name]
            if facts.is_whole and n_rows > 1 and facts.n_counting / (n_rows - 1) > RISING_SHARE:
                index.append(name)
        elif kind == "text" and tables[name].arrow.num_rows > UNIQUE_SHARE * n_rows:
            index.append(name)
    if len(empty) + len(index) == len(numbers) + len(tables):
        return [], []
    return empty, index


def warn_of_numbering(source: Source, numbers: Mapping[str, NumberFacts], forms: Mapping[str, str | None]) -> None:
    """Warn of columns that number the rows, and of dates that read as numbers."""
    numbering, dates, example = list[str](), list[str](), 0
    for name, facts in numbers.items():
        if facts.n_rows < max(2, FEWEST_ROWS) or not facts.is_whole or forms[name] is not None:
            continue
        n_steps = facts.n_rows - 1
        if facts.n_rising == n_steps and facts.n_close > UNIQUE_SHARE * n_steps:
            numbering.append(name)
        if facts.are_dates and FIRST_DATE <= facts.lowest < facts.highest <= LAST_DATE:
            example = example if dates else int(facts.first)
            dates.append(name)
    warn_of_columns(source, numbering, dates, example)
