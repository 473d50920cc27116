"""Tables that are read a few rows at a time, as rows of numbers: in a temporary file to train on, or block by block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Part
from gpu_logreg.files.csv_blocks import UnfitTypeError
from gpu_logreg.files.prediction_blocks import labelled_tables, types_of
from gpu_logreg.files.reading import import_pyarrow
from gpu_logreg.files.row_cache import DenseCache, SparseCache
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.schema_by_block import Blocks, Learned, Take, learn_schema
from gpu_logreg.files.table import Table

__all__ = ["EncodedRows", "encode_rows", "encode_rows_like"]


class EncodedRows(NamedTuple):
    """Rows of numbers as a source, and the columns that they were made of."""

    rows: Any
    learned: Learned


def encode_rows(
    blocks: Blocks,
    special: Callable[[], dict[str, Take]],
    drop: Collection[str],
    rules: CellRules,
    dtype: np.dtype[Any],
    *,
    dense: bool = False,
) -> EncodedRows:
    """Learn the schema of a table, and write its rows as numbers into a temporary file.

    One read does both where all columns are plain numbers.

    Parameters
    ----------
    blocks, special, drop, rules
        As for `gpu_logreg.files.schema_by_block.learn_schema`.
    dtype : float32 or float64
    dense : bool
        Whether rows are dense in any case.

    Raises
    ------
    DataError
        As for a table in memory; a temporary folder without room.
    """
    plain = _PlainRows(blocks, dtype)
    learned = learn_schema(blocks, special, drop, rules, plain.begin)
    schema = learned.schema
    if plain.cache is not None and plain.names == list(schema.names) and schema.is_plain:
        return EncodedRows(plain.cache.rows(tuple(schema.names)), learned)
    plain.cache = None
    return EncodedRows(
        _cached(blocks, learned.schema, _tables(blocks, learned, rules.missing), learned.n_rows, dtype, dense), learned
    )


def encode_rows_like(
    blocks: Blocks,
    special: Callable[[], dict[str, Take]],
    schema: Schema,
    rules: CellRules,
    dtype: np.dtype[Any],
) -> EncodedRows:
    """Write the rows of a table as numbers into a temporary file, by the columns of a model.

    Raises
    ------
    DataError
        As for `gpu_logreg.files.load.load_prediction_data`; a temporary folder without room.
    """
    types = None
    while True:
        try:
            tables = labelled_tables(blocks, schema, rules, special(), types)
            rows = _cached(blocks, schema, tables, int(blocks.n_rows_expected), dtype, dense=False)
            return EncodedRows(rows, Learned(schema, {}, {}, blocks.marks, blocks.remarks, rows.n_rows))
        except UnfitTypeError as error:
            types = {**types_of(blocks, schema, special()), **(types or {}), error.name: error.fits}


def _cached(
    blocks: Blocks, schema: Schema, tables: Iterable[Table], n_rows: int, dtype: np.dtype[Any], dense: bool
) -> Any:
    """The rows of tables as a source of numbers in a temporary file."""
    encoder = schema.encoder
    as_csr = not dense and encoder.prefers_csr
    nbytes = n_rows * (encoder.n_stored * (4 + dtype.itemsize) if as_csr else encoder.width * dtype.itemsize)
    cache: Any = (SparseCache if as_csr else DenseCache)(blocks.source.name, nbytes)
    for table in tables:
        cache.add(schema.transform(table, dtype, dense=not as_csr))
    names = tuple(schema.feature_names)
    if not as_csr:
        return cache.rows(names)
    rows = cache.rows(encoder.width, as_csr=True)
    rows.names = names
    return rows


class _PlainRows:
    """Rows of plain numbers, which are written as they are read; nothing once a column is of another kind."""

    def __init__(self, blocks: Blocks, dtype: np.dtype[Any]) -> None:
        self._blocks, self._dtype = blocks, dtype
        self.cache: DenseCache | None = None
        self.names: list[str] = []

    def begin(self) -> Callable[[dict[str, Any]], None]:
        """For a read from the beginning."""
        self.cache, self.names = None, []
        return self._add

    def _add(self, columns: dict[str, Any]) -> None:
        names = list(columns)
        if not self.names and names:
            self.names, self.cache = names, DenseCache(self._blocks.source.name, self._expected(len(names)))
        if self.cache is None or not names:
            self.cache, self.names = None, self.names or [""]
            return
        self.cache.add(np.column_stack(list(columns.values())).astype(self._dtype, copy=False))

    def _expected(self, n_columns: int) -> int:
        return int(self._blocks.n_rows_expected * n_columns * self._dtype.itemsize)


def _tables(blocks: Blocks, learned: Learned, missing: tuple[str, ...]) -> Iterator[Table]:
    """The rows as tables of the kinds of columns that the schema has."""
    pa, pc = import_pyarrow(), import_pyarrow("pyarrow.compute")
    schema = learned.schema
    rules = CellRules(missing, [column.name for column in schema.text])
    for first, arrow in blocks.tables(list(schema.names), learned.types):
        for name, (words, values) in learned.in_text.items():
            cells = arrow.column(name).combine_chunks().cast(pa.large_string())
            places = pc.index_in(cells, words)
            arrow = arrow.set_column(arrow.column_names.index(name), name, values.take(places))
        source = Part.of(blocks.source, np.arange(first, first + arrow.num_rows))
        yield Table.from_arrow(arrow, source, rules)
