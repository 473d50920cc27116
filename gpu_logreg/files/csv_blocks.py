"""CSV that is read a few rows at a time, with types of columns that are given, or found in the first rows."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_logreg.files.arrow_columns import MISSING_WORDS
from gpu_logreg.files.delimited import explain, file_marks
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.layout import CsvSource, find_layout
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import import_pyarrow, reading, refuse_change, state_of

if TYPE_CHECKING:
    import pyarrow

__all__ = ["CsvBlocks", "UnfitTypeError"]

_BLOCK_BYTES = 2**22
"""Bytes of text that are parsed at once. Of more, pyarrow takes many times their memory."""

_LONG_BLOCK_BYTES = 2**24
"""The same where a row is longer, and most bytes of a row: as of a table in memory."""

_CONVERSION = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error")

_NO_MARKS = Marks()


class UnfitTypeError(Exception):
    """A column holds a cell that is not of the type that its first rows have; ``fits`` is one that does.

    Or a row was longer than was foreseen: then that is the type that it has.
    """

    def __init__(self, name: str, fits: Any) -> None:
        super().__init__(name)
        self.name, self.fits = name, fits


class CsvBlocks:
    r"""The rows of a CSV file, a few at a time.

    Parameters
    ----------
    path : Path
    options : FileOptions
    text : collection of str
        Columns that hold text.
    marks : Marks
        Marks of the numbers, where the file does not show its own.

    Attributes
    ----------
    names : list of str
    unnamed : frozenset of str
        Columns without a name of their own.
    source : CsvSource
    marks : Marks
    header : list of str
        The names as they are written; none without a header.
    remarks : tuple of str
        Lines for the user on how the file is read.

    Examples
    --------
    >>> _ = Path("d.csv").write_text("age,town\n31,Bern\n47,Rome\n")
    >>> blocks = CsvBlocks(Path("d.csv"), FileOptions())
    >>> types = blocks.types(["age", "town"])
    >>> [(first, rows.to_pydict()) for first, rows in blocks.tables(["age", "town"], types)]
    [(0, {'age': [31.0, 47.0], 'town': ['Bern', 'Rome']})]
    """

    is_untyped = True

    def __init__(self, path: Path, options: FileOptions, text: Collection[str] = (), marks: Marks = _NO_MARKS) -> None:
        self._state, self._block_bytes = state_of(path), _BLOCK_BYTES
        self._layout = find_layout(path, options, tuple(text))
        self.names = list(self._layout.names)
        self.unnamed, self.header = self._layout.unnamed, self._layout.header
        self.source = CsvSource(str(path), self._layout)
        self.marks = file_marks(self._layout, options, marks)
        self._missing = MISSING_WORDS if options.missing is None else options.missing
        self.remarks: tuple[str, ...] = ()
        if options.decimal is None and self.marks.point_or_comma == ",":
            self.remarks = (f"{path}: numbers are read with a decimal comma",)
        if self._layout.row_names:
            remark = f"{path}: rows have one cell more than the header: their first column has no name"
            self.remarks = (remark, *self.remarks)

    @property
    def n_rows_expected(self) -> float:
        """Number of rows by the length of the first; that of packed text is not known."""
        lengths = [sum(len(cell) + 1 for cell in record) for record in self._layout.records]
        return os.path.getsize(self._layout.path) * len(lengths) / max(1, sum(lengths))

    def types(self, names: Sequence[str], text: Collection[str] = (), exact: Collection[str] = ()) -> dict[str, Any]:
        """The types that pyarrow takes the columns for by their first rows.

        Whole numbers are float64, but for the columns ``exact``, of which times are text.
        """
        pa = import_pyarrow()
        known = {name: pa.string() for name in names if name in text}
        with reading(self._layout.path), self._layout.open() as stream:
            try:
                found = self._open(stream, names, known).schema
            except pa.ArrowInvalid as error:
                if not self._takes_longer(error):
                    raise explain(self._layout, error) from error
                return self.types(names, text, exact)
        wider = {pa.int64(): pa.float64(), pa.null(): pa.string()}
        types = {name: found.field(name).type for name in names}
        is_time = import_pyarrow("pyarrow.types").is_temporal
        for name, dtype in types.items():
            if name not in exact or dtype == pa.null():
                types[name] = wider.get(dtype, dtype)
            elif is_time(dtype):
                types[name] = pa.string()
        return types

    def tables(
        self, names: Sequence[str], types: Mapping[str, Any], before: int = 0
    ) -> Iterator[tuple[int, pyarrow.Table]]:
        """Tables of some columns, each with the number of its first row; the first ``before`` rows are passed over.

        Raises
        ------
        UnfitTypeError
            A cell is not of the type of its column.
        DataError
            Lines that are not CSV.
        """
        pa, n = import_pyarrow(), 0
        with reading(self._layout.path), self._layout.open() as stream:
            try:
                for batch in self._open(stream, names, types):
                    if n + batch.num_rows > before:
                        first = max(n, before)
                        yield first, pa.Table.from_batches([batch.slice(first - n)])
                    n += batch.num_rows
                refuse_change(self._layout.path, self._state)
            except pa.ArrowInvalid as error:
                refuse_change(self._layout.path, self._state)
                if self._takes_longer(error):
                    raise UnfitTypeError(names[0], types[names[0]]) from error
                found = _CONVERSION.match(str(error))
                name = None if found is None else self.names[int(found.group(1))]
                if name is not None and types.get(name) != pa.string():
                    fits = pa.float64() if types.get(name) == pa.int64() else pa.string()
                    raise UnfitTypeError(name, fits) from error
                raise explain(self._layout, error) from error

    def _takes_longer(self, error: Exception) -> bool:
        """Whether a row was longer than a block, and blocks are longer from now on."""
        is_longer = "straddling" in str(error) and self._block_bytes < _LONG_BLOCK_BYTES
        self._block_bytes = _LONG_BLOCK_BYTES if is_longer else self._block_bytes
        return is_longer

    def _open(self, stream: Any, names: Sequence[str], types: Mapping[str, Any]) -> Any:
        csv = import_pyarrow("pyarrow.csv")
        return csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                column_names=self._layout.names, skip_rows=self._layout.skip, block_size=self._block_bytes
            ),
            parse_options=csv.ParseOptions(delimiter=self._layout.delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict(types),
                include_columns=list(names),
                null_values=[blank + word for word in ("", *self._missing) for blank in ("", " ")],
                strings_can_be_null=True,
                decimal_point=self.marks.point_or_comma or ".",
            ),
        )
