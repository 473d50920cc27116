"""The schema of a table that is read a few rows at a time: the same columns as of the table in memory, in one read.

Of every column the numbers are added up, or the different texts counted. What the texts are, categories or numbers in
some notation, is decided at the end by the code for tables in memory, on a table of the different texts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import as_float64, numbers_among, plain_type, refuse_infinity
from gpu_logreg.files.cell_rules import CellRules, ReadColumn, form_remarks, is_text_type, read_column
from gpu_logreg.files.column_facts import MOST_TEXTS, NumberFacts, TextFacts
from gpu_logreg.files.column_names import Part, Source, drop_option, pick_columns
from gpu_logreg.files.columns import NumericColumn, TextColumn, fit_column, numeric_column
from gpu_logreg.files.csv_blocks import UnfitTypeError
from gpu_logreg.files.index_columns import left_out_remarks
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.odd_columns import left_out, refuse_odd_texts, warn_of_numbering
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.table import Table

__all__ = ["Blocks", "Learned", "Take", "learn_schema"]

Take = Callable[[Any, int], None]
"""Takes cells of a column that is no feature, an Arrow array at a time, with the number of the first row."""


class Blocks(Protocol):
    """A file or files that are read a few rows at a time; see `gpu_logreg.files.csv_blocks.CsvBlocks`."""

    is_untyped: bool
    names: list[str]
    header: list[str]
    unnamed: frozenset[str]
    marks: Marks
    remarks: tuple[str, ...]

    @property
    def source(self) -> Source: ...  # noqa: D102

    @property
    def n_rows_expected(self) -> float: ...  # noqa: D102

    def types(  # noqa: D102
        self, names: Any, text: Collection[str] = (), exact: Collection[str] = ()
    ) -> dict[str, Any]: ...

    def tables(self, names: Any, types: Mapping[str, Any], before: int = 0) -> Any: ...  # noqa: D102


class NumbersInText(NamedTuple):
    """What the different texts of a column are as numbers, in Arrow arrays."""

    words: Any
    values: Any


@dataclass(frozen=True)
class Learned:
    """What one read of a table has taught.

    Attributes
    ----------
    schema : Schema
    types : dict
        The types that the columns are read with.
    in_text : dict of str to NumbersInText
        Of the columns of numbers that are read as text.
    marks : Marks
    remarks : tuple of str
        Lines for the user on how the cells were read.
    n_rows : int
    """

    schema: Schema
    types: dict[str, Any]
    in_text: dict[str, NumbersInText]
    marks: Marks
    remarks: tuple[str, ...]
    n_rows: int


@dataclass(frozen=True)
class _Texts(Table):
    """The different texts of a column as a table; ``counts`` are the numbers of their rows."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def n_rows(self) -> int:
        """Number of rows of the column."""
        return int(self.counts.sum())

    def count_unique_texts(self, name: str) -> int:
        """The number of categories that are in one row only."""
        encoded = self.arrow.column(name).combine_chunks()
        codes = np.asarray(encoded.indices.fill_null(-1), dtype=np.intp)
        return int(np.count_nonzero(np.bincount(codes[codes >= 0], self.counts[codes >= 0]) == 1))


def learn_schema(
    blocks: Blocks,
    special: Callable[[], dict[str, Take]],
    drop: Collection[str],
    rules: CellRules,
    observe: Callable[[], Callable[[dict[str, Any]], None]] | None = None,
) -> Learned:
    """Read a table once; or once more for a column that holds something else than its first rows.

    Parameters
    ----------
    blocks : Blocks
    special : function
        What takes the cells of labels and weights, by their names, anew for every read.
    drop : collection of str
        Columns to leave out.
    rules : CellRules
        For the cells of a file to train on.
    observe : function or None
        Called in the beginning of every read; its result is called with the columns of numbers of some rows by their
        names, or with an empty dictionary where a column holds text, or a cell is missing.

    Raises
    ------
    DataError
        As for a table in memory; a column of too many different texts.
    """
    rules = replace(rules, is_untyped=blocks.is_untyped, marks=blocks.marks)
    named = [*special(), *drop, *rules.text]
    pick_columns(blocks.names, named, blocks.source)
    others = {*special(), *drop}
    features = [name for name in blocks.names if name not in others]
    if not features:
        raise DataError(f"{blocks.source.name}: has no column but {', '.join(map(repr, sorted(others)))}")
    types = blocks.types([*features, *special()], rules.text, special())
    while True:
        read = _Read(blocks, features, types, rules)
        try:
            read.run(special(), None if observe is None else observe())
            return read.learned(named)
        except UnfitTypeError as error:
            types = {**types, error.name: error.fits}


class _Read:
    """One read of a table."""

    def __init__(self, blocks: Blocks, features: list[str], types: dict[str, Any], rules: CellRules) -> None:
        self._blocks, self._features, self._types, self._rules = blocks, features, types, rules
        self._numbers: dict[str, NumberFacts] = {}
        self._texts: dict[str, TextFacts] = {}
        self._forms: dict[str, str | None] = {}
        self._n_rows = 0

    def run(self, special: dict[str, Take], observer: Callable[[dict[str, Any]], None] | None) -> None:
        """Read all rows."""
        for first, rows in self._blocks.tables([*self._features, *special], self._types):
            source = Part.of(self._blocks.source, np.arange(first, first + rows.num_rows))
            found = {name: self._take(name, rows.column(name), source, first) for name in self._features}
            for name, take in special.items():
                take(rows.column(name), first)
            if observer is not None:
                are_plain = all(values is not None and not np.isnan(values).any() for values in found.values())
                observer(found if are_plain else {})
            self._n_rows = first + rows.num_rows
        if not self._n_rows:
            raise DataError(f"{self._blocks.source.name}: holds no rows")

    def _take(self, name: str, column: Any, source: Source, first: int) -> NDArray[np.float64] | None:
        """Note some cells of a column, and return them where they are plain numbers."""
        column = plain_type(column)
        if name in self._rules.text and not is_text_type(column.type):
            column = column.cast("string")
        if is_text_type(column.type):
            facts = self._texts.setdefault(name, TextFacts())
            facts.add(column.combine_chunks(), first)
            if facts.too_many:
                self._refuse_texts(name, facts)
            return None
        read = read_column(name, column, source, self._rules)
        refuse_infinity(name, read.column, source)
        self._forms[name] = read.form
        values = as_float64(read.column)
        self._numbers.setdefault(name, NumberFacts()).add(values)
        return values if read.form is None else None

    def _refuse_texts(self, name: str, facts: TextFacts) -> None:
        """Refuse a column of too many texts; where all are plain numbers, it is to be read as such."""
        words, _, _ = facts.texts()
        if self._blocks.is_untyped and name not in self._rules.text and numbers_among(words).true_count == len(words):
            raise UnfitTypeError(name, import_pyarrow().float64())
        fit_column(self._table_of_texts(name, facts)[0], name)  # refuses one that is like an identifier
        raise DataError(
            f"{self._blocks.source.name}: column {name!r} is text and has more than {MOST_TEXTS:,} different texts; "
            f"drop it ({drop_option(name)})"
        )

    def _table_of_texts(self, name: str, facts: TextFacts) -> tuple[_Texts, ReadColumn, NumbersInText]:
        """The different texts of a column as a table of one column, and their values where they are numbers."""
        pa = import_pyarrow()
        words, counts, first = facts.texts()
        if facts.n_missing:
            words = pa.concat_arrays([words, pa.nulls(1, words.type)])
            counts, first = np.append(counts, facts.n_missing), np.append(first, facts.first_missing)
        source = Part.of(self._blocks.source, first)
        read = read_column(name, pa.chunked_array([words]), source, self._rules)
        refuse_infinity(name, read.column, source)
        forms = {} if read.form is None else {name: read.form}
        as_text = frozenset(self._rules.text)
        table = _Texts(pa.table({name: read.column}), source, forms, as_text=as_text, counts=counts)
        return table, read, NumbersInText(words, read.column.combine_chunks())

    def learned(self, named: Collection[str]) -> Learned:
        """The schema of the rows that were read; columns that the user has ``named`` stay."""
        blocks, tables = self._blocks, dict[str, _Texts]()
        reads, values = dict[str, ReadColumn](), dict[str, NumbersInText]()
        for name in self._features:
            if name in self._texts:
                tables[name], reads[name], values[name] = self._table_of_texts(name, self._texts[name])
            else:
                reads[name] = ReadColumn(None, self._forms[name])
        refuse_odd_texts(blocks.source, blocks.header, self._features, self._texts, tables, self._n_rows)
        empty, index = left_out(blocks, named, self._numbers, tables, self._n_rows)
        kept = [name for name in self._features if name not in (*empty, *index)]
        columns = tuple(
            _column_of_texts(tables[name], name) if name in tables else self._numeric(name) for name in kept
        )
        warn_of_numbering(
            blocks.source, {name: self._numbers[name] for name in kept if name in self._numbers}, self._forms
        )
        in_text = {name: values[name] for name in kept if name in tables and tables[name].kind(name) == "numeric"}
        remarks = [*blocks.remarks, *form_remarks({name: reads[name] for name in self._features}, blocks.source)]
        remarks += left_out_remarks(blocks.source, blocks.names, empty, index)
        decimals = {read.decimal for read in reads.values()} - {None}
        marks = blocks.marks
        if not marks.decimal and len(decimals) == 1:
            marks = replace(marks, decimal=decimals.pop())
        return Learned(Schema(columns), self._types, in_text, marks, tuple(remarks), self._n_rows)

    def _numeric(self, name: str) -> NumericColumn:
        numbers = self._numbers[name]
        mean = numbers.mean if numbers.n_present else np.nan
        source, form = self._blocks.source, self._forms[name]
        return numeric_column(source, name, mean, numbers.n_present, numbers.had_missing, form)


def _column_of_texts(table: _Texts, name: str) -> NumericColumn | TextColumn:
    """The column of a schema, by the different texts of the rows."""
    if table.kind(name) != "numeric":
        return fit_column(table, name)
    values = table.numbers(name)
    present = ~np.isnan(values)
    counts = table.counts[present]
    with np.errstate(over="ignore"):
        mean = float(values[present] @ counts / counts.sum())
    source = Source(table.source.name)
    return numeric_column(source, name, mean, int(counts.sum()), not present.all(), table.forms.get(name))
