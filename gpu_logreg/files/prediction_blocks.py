"""The rows of a file for a model, a few at a time: tables of the columns that the model has."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Part, missing_columns, pick_columns
from gpu_logreg.files.csv_blocks import CsvBlocks, UnfitTypeError
from gpu_logreg.files.dataset_blocks import DatasetBlocks
from gpu_logreg.files.datasets import open_dataset
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.libsvm_stream import libsvm_blocks
from gpu_logreg.files.load import rules_for
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.numbered import missing_names
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.schema_by_block import Blocks, Take
from gpu_logreg.files.table import Table

__all__ = ["labelled_tables", "prediction_blocks", "types_of"]


def prediction_blocks(
    path: Path, kind: str, schema: Schema, options: FileOptions, marks: Marks
) -> Iterator[Table | Matrix]:
    r"""The columns that a model needs, in the forms that they had in training, a few rows at a time.

    Parameters
    ----------
    path : Path
        A file, or for Parquet a folder or a pattern of names.
    kind : "csv", "parquet" or "libsvm"
    schema : Schema
        The schema of the model.
    options : FileOptions
    marks : Marks
        Marks of the numbers in the training file.

    Raises
    ------
    DataError
        As for `gpu_logreg.files.load.load_prediction_data`.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from gpu_logreg.files.table import as_table
    >>> schema = Schema.fit(as_table(pa.table({"town": ["Bern", "Rome"]})))
    >>> _ = Path("new.csv").write_text("age,town\n31,Rome\n47,Oslo\n")
    >>> blocks = prediction_blocks(Path("new.csv"), "csv", schema, FileOptions(), Marks())
    >>> [schema.transform(rows).tolist() for rows in blocks]
    [[[0.0, 1.0], [0.0, 0.0]]]
    """
    if kind == "libsvm":
        yield from libsvm_blocks(path, schema)
        return
    rules = rules_for(schema, options, marks)
    if kind == "csv":
        text = CsvBlocks(path, options, rules.text, marks)
        yield from _tables(text, schema, replace(rules, is_untyped=True, marks=text.marks))
    else:
        yield from _tables(DatasetBlocks(open_dataset(path), str(path)), schema, rules)


def _tables(blocks: Blocks, schema: Schema, rules: CellRules) -> Iterator[Table]:
    done, types = 0, types_of(blocks, schema)
    while True:
        try:
            for first, arrow in blocks.tables(list(schema.names), types, done):
                done = first + arrow.num_rows
                yield _checked(arrow, first, blocks, schema, rules)
            return
        except UnfitTypeError as error:
            types = {**types, error.name: error.fits}


def labelled_tables(
    blocks: Blocks, schema: Schema, rules: CellRules, special: dict[str, Take], types: dict[str, Any] | None = None
) -> Iterator[Table]:
    """The same with labels and weights, which ``special`` takes; they are of the type of their first rows.

    Raises
    ------
    UnfitTypeError
        A cell is of another type; the rows are to be read again with the type that the error tells.
    """
    rules = replace(rules, is_untyped=blocks.is_untyped, marks=blocks.marks if blocks.is_untyped else rules.marks)
    found = types_of(blocks, schema, special)
    types = found if types is None else types
    for first, arrow in blocks.tables([*schema.names, *special], types):
        for name, take in special.items():
            take(arrow.column(name), first)
        yield _checked(arrow.select(list(schema.names)), first, blocks, schema, rules)


def types_of(blocks: Blocks, schema: Schema, special: Collection[str] = ()) -> dict[str, Any]:
    """The types of the columns of a model, and of others, by the first rows; refused where one is not there."""
    missing = missing_names(schema.names, blocks.names)
    if missing:
        raise missing_columns(missing, blocks.names, blocks.source)
    pick_columns(blocks.names, list(special), blocks.source)
    for name in special:
        if name in schema.names:
            raise DataError(
                f"{blocks.source.name}: {name!r} is a column that the model reads, so it cannot hold labels or weights"
            )
    return blocks.types([*schema.names, *special], [column.name for column in schema.text], special)


def _checked(arrow: Any, first: int, blocks: Blocks, schema: Schema, rules: CellRules) -> Table:
    table = Table.from_arrow(arrow, Part.of(blocks.source, np.arange(first, first + arrow.num_rows)), rules)
    schema.check(table)
    return table
