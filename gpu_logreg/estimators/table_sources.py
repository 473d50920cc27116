"""Tables as rows of a stream: CSV, and Parquet and Arrow files with text, dates or missing cells."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpu_logreg.arrays.vector import HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import logger
from gpu_logreg.estimators.streamed_labels import LabelsByBlock, numbers_of_texts
from gpu_logreg.files.any_format import training_rules
from gpu_logreg.files.arrow_columns import as_float64
from gpu_logreg.files.cell_rules import CellRules, is_text_type
from gpu_logreg.files.column_names import Part
from gpu_logreg.files.dataset_blocks import DatasetBlocks, are_numbers
from gpu_logreg.files.encoded_rows import encode_rows, encode_rows_like
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.load import rules_for
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.reading import gib, import_pyarrow
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.schema_by_block import Learned, Take, learn_schema
from gpu_logreg.files.table import Table

__all__ = ["CollectedLabels", "ReadTable", "read_dataset", "read_table", "read_table_like"]


_DEFAULT = FileOptions()


class ReadTable(NamedTuple):
    """A table that was read: its rows as a source of numbers, what its columns are, and its labels and weights.

    The rows are None where they are to be read from the files themselves.
    """

    rows: Any
    learned: Learned
    labels: CollectedLabels


def read_table(
    blocks: Any,
    target: str | None,
    weight: str | None,
    drop: Collection[str] = (),
    options: FileOptions = _DEFAULT,
    dtype: DTypeLike = np.float64,
) -> ReadTable:
    """Read a table by the rules for tables in memory, and write its rows as numbers into a temporary file.

    Parameters
    ----------
    blocks : CsvBlocks or DatasetBlocks
    target, weight : str or None
        Columns of labels and weights.
    drop : collection of str
        Columns to leave out.
    options : FileOptions
    dtype : float32 or float64

    Raises
    ------
    DataError
        As for a table in memory; a temporary folder without room.
    """
    rules = training_rules(options)
    labels = CollectedLabels(blocks, target, weight, rules)
    rows, learned = encode_rows(blocks, labels.begin, drop, rules, np.dtype(dtype), dense=options.dense)
    _tell(learned)
    logger.info("%s: is decoded once, into %s in a temporary file", blocks.source.name, gib(rows.nbytes))
    return ReadTable(rows, learned, labels)


def read_dataset(
    blocks: DatasetBlocks,
    target: str | None,
    weight: str | None,
    drop: Collection[str] = (),
    options: FileOptions = _DEFAULT,
    dtype: DTypeLike = np.float64,
) -> ReadTable:
    """As `read_table`; where all columns are numbers and no cell is missing, the rows stay in their files."""
    rules = training_rules(options)
    others = {target, weight, *drop}
    if not are_numbers(blocks.schema, [name for name in blocks.names if name not in others]) or options.text:
        return read_table(blocks, target, weight, drop, options, dtype)
    labels = CollectedLabels(blocks, target, weight, rules)
    learned = learn_schema(blocks, labels.begin, drop, rules)
    if learned.schema.is_plain and len(learned.schema.names) + len(others - {None}) == len(blocks.names):
        _tell(learned)
        return ReadTable(None, learned, labels)
    return read_table(blocks, target, weight, drop, options, dtype)


def read_table_like(blocks: Any, schema: Schema, target: str | None, weight: str | None) -> ReadTable:
    """A table by the columns of a model, as rows of numbers in a temporary file."""
    rules = rules_for(schema, _DEFAULT, Marks())
    labels = CollectedLabels(blocks, target, weight, rules)
    return ReadTable(*encode_rows_like(blocks, labels.begin, schema, rules, np.dtype(np.float64)), labels)


def _tell(learned: Learned) -> None:
    for remark in learned.remarks:
        logger.info("%s", remark)


class CollectedLabels:
    """Labels and weights of a table, which are collected as it is read.

    Parameters
    ----------
    blocks : CsvBlocks or DatasetBlocks
    target, weight : str or None
        Names of their columns.
    rules : CellRules
    """

    def __init__(self, blocks: Any, target: str | None, weight: str | None, rules: CellRules) -> None:
        self._blocks, self._target, self._weight = blocks, target, weight
        missing = rules.missing
        self._rules = CellRules(missing, [] if target is None else [target], target)
        self._declared = target in rules.text
        self.begin()

    def begin(self) -> dict[str, Take]:
        """For a read from the beginning: what takes the cells of each column."""
        self.labels = LabelsByBlock()
        self._weights: list[HostArray] = []
        self._are_text = True
        takes: dict[str, Take] = {}
        if self._target is not None:
            takes[self._target] = self._take_labels
        if self._weight is not None:
            takes[self._weight] = self._take_weights
        return takes

    def _take_labels(self, column: Any, first: int) -> None:
        assert self._target is not None
        source = Part.of(self._blocks.source, np.arange(first, first + len(column)))
        rules = self._rules
        if not is_text_type(column.type):
            rules, self._are_text = CellRules(rules.missing, (), self._target), False
        table = Table.from_arrow(import_pyarrow().table({self._target: column}), source, rules)
        self.labels.add_of_file(table.values(self._target), f"{self._blocks.source.name}: {self._target!r}: ")

    def _take_weights(self, column: Any, first: int) -> None:
        source = self._blocks.source
        if is_text_type(column.type):
            raise DataError(f"{source.at(first)}: column {self._weight!r} is to hold row weights, not text")
        weights = as_float64(column)
        if np.isnan(weights).any():
            row = first + int(np.argmax(np.isnan(weights)))
            raise DataError(
                f"{source.at(row)}: the weight in column {self._weight!r} is missing; weights are 0 or more"
            )
        self._weights.append(weights)

    def encoded(self) -> tuple[NDArray[Any], HostArray]:
        """The classes, and the number of the class of every row. Texts that are whole numbers are numbers."""
        classes, codes = self.labels.encoded()
        if self._are_text and self._blocks.is_untyped and not self._declared:
            return numbers_of_texts(classes, codes)
        return classes, codes

    @property
    def weights(self) -> HostArray | None:
        """The weights; None where there are none."""
        return np.concatenate(self._weights) if self._weights else None
