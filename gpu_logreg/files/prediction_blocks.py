"""The rows of a file for a model, a few at a time: tables of the columns that the model has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Part, missing_columns
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
from gpu_logreg.files.schema_by_block import Blocks
from gpu_logreg.files.table import Table

__all__ = ["prediction_blocks"]


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
    missing = missing_names(schema.names, blocks.names)
    if missing:
        raise missing_columns(missing, blocks.names, blocks.source)
    names, done = list(schema.names), 0
    types = blocks.types(names, [column.name for column in schema.text])
    while True:
        try:
            for first, arrow in blocks.tables(names, types, done):
                done = first + arrow.num_rows
                table = Table.from_arrow(arrow, Part.of(blocks.source, np.arange(first, done)), rules)
                schema.check(table)
                yield table
            return
        except UnfitTypeError as error:
            types = {**types, error.name: error.fits}
