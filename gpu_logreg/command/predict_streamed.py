"""``gpu-logreg predict`` on files beyond memory: rows are read and predicted block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.estimators.stream_sources import FileRows, glob_like
from gpu_logreg.estimators.streamed import logits_by_block
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.files.datasets import dataset_files, open_dataset
from gpu_logreg.files.formats import FileOptions, choose_format
from gpu_logreg.files.libsvm_stream import libsvm_blocks
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.npy_rows import NpyRows
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import parquet_parts

__all__ = ["logits_of_file"]


def logits_of_file(
    model: Any, data: Path, schema: Schema, options: FileOptions
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
    if kind == "libsvm":
        large = data.stat().st_size > free_memory()
        return _logits_of_blocks(model, libsvm_blocks(data, schema), schema) if large else None
    if kind not in ("npy", "parquet") or not schema.is_plain or any(column.form for column in schema.numeric):
        if of_many:
            raise DataError(f"{data}: the model takes columns of text, or with missing cells; give one file at a time")
        return None
    try:
        rows = NpyRows(data) if kind == "npy" else _columns(data, schema)
    except DataError:
        if of_many:
            raise
        return None
    if not of_many and rows.n_rows * rows.n_columns * rows.dtype.itemsize <= free_memory():
        return None
    if rows.n_columns != len(schema.names):  # of an array some columns are left out, or it has others
        return None
    return (np.asarray(z, dtype=np.float64) for z, _, _ in logits_by_block(model, Stream(FileRows(rows))))


def _logits_of_blocks(model: Any, blocks: Iterable[Matrix], schema: Schema) -> Iterator[NDArray[np.float64]]:
    """Logits of the rows of a file, which come a few at a time."""
    for rows in blocks:
        try:
            yield np.asarray(model.decision_function(schema.transform(rows)), dtype=np.float64)
        except DataError:
            rows.refuse_not_finite()
            raise


def _columns(data: Path, schema: Schema) -> DatasetRows:
    dataset = open_dataset(data)
    names = set(schema.names)
    others = [name for name in dataset.schema.names if name not in names]
    return DatasetRows(dataset, drop=others).selected(schema.names)
