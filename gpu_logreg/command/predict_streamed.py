"""``gpu-logreg predict`` on files beyond memory: rows are read and predicted block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.command.report import note
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.estimators.stream_sources import FileRows, glob_like
from gpu_logreg.estimators.streamed import logits_by_block
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.files.datasets import dataset_files, open_dataset
from gpu_logreg.files.formats import FileOptions, choose_format
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.npy_rows import NpyRows
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.prediction_blocks import prediction_blocks
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import parquet_parts
from gpu_logreg.files.table import Table
from gpu_logreg.files.unseen import UnseenCategories, add_unseen, remarks_of, unseen_categories

__all__ = ["logits_of_file"]


def logits_of_file(
    model: Any, data: Path, schema: Schema, options: FileOptions, marks: Marks
) -> Iterator[NDArray[np.float64]] | None:
    """Logits block by block, where the rows exceed the free memory or are of many files; else None.

    Raises
    ------
    DataError
        A file of many that cannot be read block by block.
    """
    of_many = (data.is_dir() and not parquet_parts(data)) or (glob_like(str(data)) and not data.exists())
    of_many = of_many and bool(dataset_files(data))
    if not of_many and (not data.is_file() or data.stat().st_size < free_memory() // 8):
        return None
    kind = "parquet" if of_many else choose_format(data, options)
    if kind == "npz":
        return None
    if kind == "npy":
        return _logits_of_array(model, data, schema)
    if not of_many and _bytes_in_memory(data, kind, schema) <= free_memory():
        return None
    return _logits_of_blocks(model, prediction_blocks(data, kind, schema, options, marks), schema)


def _bytes_in_memory(data: Path, kind: str, schema: Schema) -> int:
    """Bytes of the rows in memory: of text those of the file, else of the columns as float64."""
    if kind != "parquet":
        return data.stat().st_size
    return 8 * DatasetRows(open_dataset(data), numbers=False).n_rows * len(schema.names)


def _logits_of_array(model: Any, data: Path, schema: Schema) -> Iterator[NDArray[np.float64]] | None:
    try:
        rows = NpyRows(data)
    except DataError:
        return None
    if rows.n_rows * rows.n_columns * rows.dtype.itemsize <= free_memory():
        return None
    if not schema.is_plain or rows.n_columns != len(schema.names):  # some of its columns are left out
        return None
    return (np.asarray(z, dtype=np.float64) for z, _, _ in logits_by_block(model, Stream(FileRows(rows))))


def _logits_of_blocks(model: Any, blocks: Iterable[Table | Matrix], schema: Schema) -> Iterator[NDArray[np.float64]]:
    """Logits of the rows of a file, which come a few at a time; at the end, remarks on unseen categories."""
    unseen, n_rows, name = dict[str, UnseenCategories](), 0, ""
    for rows in blocks:
        try:
            yield np.asarray(model.decision_function(schema.transform(rows)), dtype=np.float64)
        except DataError:
            if isinstance(rows, Matrix):
                rows.refuse_not_finite()
            raise
        unseen, n_rows = add_unseen(unseen, unseen_categories(rows, schema)), n_rows + rows.n_rows
        name = rows.source.name
    for remark in remarks_of(unseen, name, n_rows):
        note(remark)
