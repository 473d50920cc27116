"""Rows of named columns of numbers or text: a `Table`.

Its columns are Arrow's in a canonical form: a numeric column in the type of the file, with null for a missing cell; a
text column dictionary-encoded over its sorted categories; a column without any cell of the null type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import as_float64, numbers_among, refuse_infinity
from gpu_logreg.files.cell_rules import CellRules, form_remarks, read_column
from gpu_logreg.files.column_names import Part, Source, pick_columns
from gpu_logreg.files.nested_columns import flatten_table
from gpu_logreg.files.number_forms import like_numbers
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import import_pyarrow

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Table", "as_table"]

_BLOCK_ROWS = 16384
"""Most rows of a batch: 1 MiB of float64 at eight columns."""

_PLAIN_RULES = CellRules()

_FEWEST_NUMBERS = 20
"""Different texts above which a text column may be a numeric one with a few odd cells."""

_NUMBER_SHARE = 0.9
"""Share of its texts that must be numbers for a column to be such a one: the others are a word for a missing cell, or
numbers written in another way.
"""

Kind = Literal["numeric", "text", "empty"]


@dataclass(frozen=True)
class Table:
    """Named columns of numbers or text with missing cells; build one with `Table.from_arrow` or `as_table`.

    Attributes
    ----------
    arrow : pyarrow.Table
        Columns in the canonical form of this module.
    source : Source
        Where the rows come from, for messages.
    forms : mapping
        The form of each numeric column whose numbers are not plain; see `gpu_logreg.files.number_forms.FORMS`.
    unnamed : frozenset of str
        Columns without a name in the file, or with the name of an index.
    marks : Marks
        The marks in the numbers of the file, as far as the file shows them.
    remarks : tuple of str
        Lines for the user on how the cells were read.
    as_text : frozenset of str
        Columns that the user declared to be text. No warning is given on them.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = as_table(pa.table({"age": [31, None], "town": ["Bern", "Rome"]}))
    >>> table.kind("age"), table.numbers("age")
    ('numeric', array([31., nan]))
    >>> table.kind("town"), table.texts("town")
    ('text', ['Bern', 'Rome'])
    """

    arrow: pyarrow.Table
    source: Source = field(default_factory=lambda: Source("the table"))
    forms: Mapping[str, str] = field(default_factory=dict)
    unnamed: frozenset[str] = frozenset()
    marks: Marks = field(default_factory=Marks)
    remarks: tuple[str, ...] = ()
    as_text: frozenset[str] = frozenset()

    @classmethod
    def from_arrow(
        cls, arrow: pyarrow.Table, source: Source, rules: CellRules = _PLAIN_RULES, unnamed: Collection[str] = ()
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
            There is no row, two columns have one name, or a column has nested values, text that is not UTF-8, or an
            infinity.
        """
        if arrow.num_rows == 0:
            raise DataError(f"{source.name}: holds no rows")
        arrow = flatten_table(arrow, source)
        if len(set(arrow.column_names)) < arrow.num_columns:
            raise DataError(f"{source.name}: several of its columns have one name; rename them")
        columns = {}
        for name, column in zip(arrow.column_names, arrow.columns, strict=True):
            columns[name] = read_column(name, column, source, rules)
            refuse_infinity(name, columns[name].column, source)
        table = import_pyarrow().table([read.column for read in columns.values()], names=arrow.column_names)
        forms = {name: read.form for name, read in columns.items() if read.form is not None}
        decimals = {read.decimal for read in columns.values()} - {None}
        marks = (
            rules.marks if rules.marks.decimal or len(decimals) != 1 else replace(rules.marks, decimal=decimals.pop())
        )
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
        """A copy of the rows at ``positions``, which count from 0; its text has the categories of these rows alone."""
        part = Table.from_arrow(self.arrow.take(np.asarray(positions)), Part.of(self.source, positions))
        return replace(self, arrow=part.arrow, source=part.source)

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The rows in batches of at most `_BLOCK_ROWS`, in order and without a copy."""
        yield from self.arrow.to_batches(max_chunksize=_BLOCK_ROWS)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A numeric column as an array of shape (n,), where NaN is a missing cell."""
        return as_float64(self.arrow.column(name))

    def texts(self, name: str) -> list[str]:
        """Sorted categories of a text column."""
        texts: list[str] = self.arrow.column(name).combine_chunks().dictionary.to_pylist()
        return texts

    def count_unique_texts(self, name: str) -> int:
        """The number of categories of a text column that are in one row only."""
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
        """The advice on a missing label. Where its cell holds a word for a missing cell, that word may be a class."""
        word = (self.source.cell(row, name) or "").strip()
        if not word:
            return ", and labels cannot be; fill it in, or delete the line"
        return (
            f" ({word!r} counts as missing), and labels cannot be; delete the line, or if {word!r} is a class, "
            f"name the words that are missing, without it: --missing {'NA' if word != 'NA' else 'null'}"
        )

    def missing_row(self, name: str) -> int | None:
        """The first row with a missing cell; None if there is none."""
        row = self.arrow.column(name).is_null(nan_is_null=True).index(True).as_py()
        return row if row >= 0 else None

    def first_no_number(self, name: str) -> tuple[int, str] | None:
        """The first row of a text column whose text is no plain number, and that text; None if all are numbers."""
        pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
        encoded = self.arrow.column(name).combine_chunks()
        is_no_number = pc.invert(numbers_among(encoded.dictionary))
        row = pc.index(is_no_number.take(encoded.indices), pa.scalar(True)).as_py()
        return None if row < 0 else (row, encoded[row].as_py())

    def odd_cell_among_numbers(self, name: str) -> tuple[int, str] | None:
        """The first row whose text is no number, in a text column most of whose texts are numbers; and that text.

        Where every text is a number of some form, but not all of one form or with the same marks, it is the first text
        that is no plain number. The result is None where the texts are few, or not most of them are numbers.
        """
        pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
        encoded = self.arrow.column(name).combine_chunks()
        words = encoded.dictionary.cast(pa.large_string())
        if name in self.as_text or len(words) <= _FEWEST_NUMBERS:
            return None
        is_number = like_numbers(words)
        if np.count_nonzero(is_number) <= _NUMBER_SHARE * len(words):
            return None
        is_odd = pc.invert(numbers_among(encoded.dictionary)) if is_number.all() else pa.array(~is_number)
        row = pc.index(is_odd.take(encoded.indices), pa.scalar(True)).as_py()
        return None if row < 0 else (row, encoded[row].as_py())


def as_table(frame: Any, name: str = "the table") -> Table:
    """A pandas, polars or Arrow table (anything with ``__arrow_c_stream__``) as a `Table`.

    Raises
    ------
    DataError
        A column holds neither numbers nor text.
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
