"""Rows read from files: a `Table` of named columns of any kind, or a `Matrix` of numbers.

A table is kept as Arrow columns in a canonical form: numeric columns as they were read, with missing cells null; text
columns dictionary-encoded over their sorted categories; columns without any cell as the null type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import as_float64, numbers_among, refuse_infinity
from gpu_logreg.files.cell_rules import CellRules, form_remarks, read_column
from gpu_logreg.files.column_names import Part, Source, pick_columns
from gpu_logreg.files.nested_columns import flat_table
from gpu_logreg.files.number_forms import like_numbers
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["Table", "as_table"]

_BLOCK_ROWS = 16384

_PLAIN_RULES = CellRules()

# A text column of more different cells than this, most of them numbers, is likely numeric: with a word for missing
# cells, or with numbers written in two ways.
_FEWEST_NUMBERS = 20
_SHARE_OF_NUMBERS = 0.9

Kind = Literal["numeric", "text", "empty"]


@dataclass(frozen=True)
class Table:
    """Named columns of numbers or text with missing cells; build one with `Table.from_arrow` or `as_table`.

    Attributes
    ----------
    arrow : pyarrow.Table
        Columns in the canonical form of this module.
    source : Source
    forms : mapping
        The form of each numeric column that holds other numbers than plain ones; see
        `gpu_logreg.files.number_forms.FORMS`.
    unnamed : frozenset of str
        Columns whose names the file does not give, or gives as those of an index.
    marks : Marks
        With which the numbers of the file are written, as far as they are known.
    remarks : tuple of str
        What a person should know of how the cells were read.
    as_text : frozenset of str
        Columns that the user wants as text, of which nothing is to be told.
    """

    arrow: Any
    source: Source = field(default_factory=lambda: Source("the table"))
    forms: Mapping[str, str] = field(default_factory=dict)
    unnamed: frozenset[str] = frozenset()
    marks: Marks = field(default_factory=Marks)
    remarks: tuple[str, ...] = ()
    as_text: frozenset[str] = frozenset()

    @classmethod
    def from_arrow(
        cls, arrow: Any, source: Source, rules: CellRules = _PLAIN_RULES, unnamed: Collection[str] = ()
    ) -> Table:
        """Bring Arrow columns into the canonical form.

        Parameters
        ----------
        arrow : pyarrow.Table
        source : Source
        rules : CellRules
            How the cells are read.
        unnamed : collection of str
            Columns without a name of their own.

        Raises
        ------
        DataError
            No row, two columns of one name, a column of nested values, text that is not UTF-8, or an infinity.
        """
        if arrow.num_rows == 0:
            raise DataError(f"{source.name}: holds no rows")
        arrow = flat_table(arrow, source)
        if len(set(arrow.column_names)) < arrow.num_columns:
            raise DataError(f"{source.name}: several of its columns have one name; rename them")
        columns = {}
        for name, column in zip(arrow.column_names, arrow.columns, strict=True):
            columns[name] = read_column(name, column, source, rules)
            refuse_infinity(name, columns[name].column, source)
        table = import_pyarrow().table([read.column for read in columns.values()], names=arrow.column_names)
        forms = {name: read.form for name, read in columns.items() if read.form is not None}
        seen = {read.decimal for read in columns.values()} - {None}
        marks = rules.marks if rules.marks.decimal or len(seen) != 1 else replace(rules.marks, decimal=seen.pop())
        as_text = frozenset(rules.text)
        return cls(table, source, forms, frozenset(unnamed), marks, form_remarks(columns, source), as_text)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.arrow.column_names)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.arrow.num_rows)

    def kind(self, name: str) -> Kind:
        """``"numeric"``, ``"text"``, or ``"empty"`` for a column without any cell."""
        types = import_pyarrow("pyarrow.types")
        dtype = self.arrow.schema.field(name).type
        return "empty" if types.is_null(dtype) else "text" if types.is_dictionary(dtype) else "numeric"

    def take(self, names: Sequence[str]) -> Table:
        """The columns ``names``, in that order, without a copy."""
        pick_columns(self.names, names, self.source)
        return replace(self, arrow=self.arrow.select(list(names)))

    def drop(self, names: Collection[str]) -> Table:
        """All columns but ``names``, without a copy."""
        pick_columns(self.names, names, self.source)
        return self.take([name for name in self.names if name not in names])

    def take_rows(self, positions: NDArray[np.integer[Any]]) -> Table:
        """A copy of the rows at ``positions``, counted from 0; text that they do not hold is no category of theirs."""
        part = Table.from_arrow(self.arrow.take(np.asarray(positions)), Part.of(self.source, positions))
        return replace(self, arrow=part.arrow, source=part.source)

    def batches(self) -> Iterator[Any]:
        """``pyarrow.RecordBatch`` after ``RecordBatch``, of a few thousand rows each, without a copy."""
        yield from self.arrow.to_batches(max_chunksize=_BLOCK_ROWS)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A numeric column, missing cells as NaN: array of shape (n,)."""
        return as_float64(self.arrow.column(name))

    def texts(self, name: str) -> list[str]:
        """Sorted categories of a text column."""
        texts: list[str] = self.arrow.column(name).combine_chunks().dictionary.to_pylist()
        return texts

    def texts_alone(self, name: str) -> int:
        """How many categories of a text column are in one row only."""
        codes = self.arrow.column(name).combine_chunks().indices.drop_null()
        return int(np.count_nonzero(np.bincount(codes.to_numpy()) == 1)) if len(codes) else 0

    def values(self, name: str) -> NDArray[Any]:
        """A column as labels: array of shape (n,) of str, int, float or bool.

        Raises
        ------
        DataError
            If a cell is missing; the message names the first.
        """
        column, row = self.arrow.column(name), self.missing_row(name)
        if row is not None:
            raise DataError(f"{self.source.at(row)}: the cell of column {name!r} is missing{self._advice(row, name)}")
        if self.kind(name) != "text":
            return np.asarray(column.to_numpy())
        encoded = column.combine_chunks()
        words: NDArray[Any] = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
        return np.asarray(words[encoded.indices.to_numpy()])

    def _advice(self, row: int, name: str) -> str:
        """What to do about a missing label: its word may be a class."""
        word = (self.source.cell(row, name) or "").strip()
        if not word:
            return ", and labels cannot be; fill it in, or delete the line"
        return (
            f" ({word!r} counts as missing), and labels cannot be; delete the line, or if {word!r} is a class, "
            f"name the words that are missing, without it: --missing {'NA' if word != 'NA' else 'null'}"
        )

    def missing_row(self, name: str) -> int | None:
        """First row whose cell is missing; None if there is none."""
        row = self.arrow.column(name).is_null(nan_is_null=True).index(True).as_py()
        return row if row >= 0 else None

    def not_numbers(self, name: str) -> tuple[int, str] | None:
        """First row of a text column that does not read as a number, and its text; None if every cell reads as one."""
        pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
        encoded = self.arrow.column(name).combine_chunks()
        odd = pc.invert(numbers_among(encoded.dictionary))
        row = pc.index(odd.take(encoded.indices), pa.scalar(True)).as_py()
        return None if row < 0 else (row, encoded[row].as_py())

    def spoilt_numbers(self, name: str) -> tuple[int, str] | None:
        """First row of a text column, most of whose texts are numbers of any form, that is none, and its text.

        Where each text by itself is a number, but they have no form or no marks in common, the first that is not plain.
        None where most texts are no numbers, or few.
        """
        pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
        encoded = self.arrow.column(name).combine_chunks()
        words = encoded.dictionary.cast(pa.large_string())
        if name in self.as_text or len(words) <= _FEWEST_NUMBERS:
            return None
        alike = like_numbers(words)
        if np.count_nonzero(alike) <= _SHARE_OF_NUMBERS * len(words):
            return None
        odd = pc.invert(numbers_among(encoded.dictionary)) if alike.all() else pa.array(~alike)
        row = pc.index(odd.take(encoded.indices), pa.scalar(True)).as_py()
        return None if row < 0 else (row, encoded[row].as_py())


def as_table(frame: Any, name: str = "the table") -> Table:
    """A pandas, polars or Arrow table (anything with ``__arrow_c_stream__``) as a `Table`.

    Raises
    ------
    DataError
        A column that holds neither numbers nor text.
    """
    pa = import_pyarrow()
    try:
        if type(frame).__module__.split(".", 1)[0] == "pandas":
            arrow = pa.Table.from_pandas(frame, preserve_index=False)
        else:
            arrow = pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        reason = "; ".join(str(part) for part in error.args).splitlines()[0]
        raise DataError(f"{name}: a column holds neither numbers nor text ({reason})") from error
    return Table.from_arrow(arrow, Source(name))
