"""Where the rows, labels and weights of a stream come from, by what a user gives."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.csr import refuse_sparse
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import logger
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.label_types import label_array
from gpu_logreg.estimators.labels import encode_labels
from gpu_logreg.estimators.streamed_labels import LabelsByBlock, narrow_codes
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.files.datasets import DATASET_ENDINGS, dataset_files, open_dataset
from gpu_logreg.files.formats import FileOptions, choose_format
from gpu_logreg.files.npy_rows import NpyRows
from gpu_logreg.files.reading import gib, reading
from gpu_logreg.files.sliced_rows import SlicedRows

if TYPE_CHECKING:
    from gpu_logreg.estimators.table_sources import CollectedLabels
    from gpu_logreg.files.schema import Schema
    from gpu_logreg.files.schema_by_block import Learned

__all__ = ["FileRows", "csv_rows", "dataset_rows", "file_rows", "glob_like", "is_file", "libsvm_rows"]


_DEFAULT = FileOptions()

_OF_ARRAYS = "an array has labels as y and weights as sample_weight; sparse rows are yielded in blocks"


@dataclass(frozen=True)
class FileRows:
    """Rows of files with their labels and weights, which are arrays, or columns of the files.

    Attributes
    ----------
    rows : NpyRows or DatasetRows
    y, sample_weight : array or None
    target, weight : str or None
        Columns of a data set.
    collected : LabelsByBlock or CollectedLabels, or None
        Labels that were read with the rows.
    learned : Learned or None
        The columns of a table that the rows were made of.
    """

    rows: Any
    y: Any = None
    sample_weight: Any = None
    target: str | None = None
    weight: str | None = None
    collected: LabelsByBlock | CollectedLabels | None = None
    learned: Learned | None = None

    def encoded(self) -> tuple[NDArray[Any], HostArray]:
        """The classes, and the number of the class of every row, as narrow as it can be."""
        if self.collected is not None:
            return self.collected.encoded()
        if self.target is None:
            classes, labels = encode_labels(self.labels())
            return classes, narrow_codes(labels, len(classes))
        collected = LabelsByBlock()
        for column in self.rows.column(self.target):
            collected.add(label_array(to_numpy(given_column(column, "y"))), "")
        return collected.encoded()

    def labels(self) -> HostArray:
        """The labels as they are.

        Raises
        ------
        DataError
            There are none, or another number of them than of rows.
        """
        y = self.y
        if self.collected is not None:
            classes, codes = self.encoded()
            return np.asarray(classes[codes])
        if self.target is not None:
            y = np.concatenate([to_numpy(given_column(column, "y")) for column in self.rows.column(self.target)])
        if y is None:
            raise DataError("the stream has no labels; give them as y, or the name of their column as target")
        if isinstance(y, str | os.PathLike):
            y = np.load(y, allow_pickle=False)
        y = to_numpy(label_array(given_column(y, "y")))
        y = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
        if y.shape != (self.rows.n_rows,):
            raise DataError(f"y has shape {y.shape}, and {self.rows.place(0)}has {self.rows.n_rows} rows")
        return np.asarray(y)

    def weights(self) -> HostArray | None:
        """The weights, checked."""
        weights = self.sample_weight
        if self.weight is not None:
            columns = [to_numpy(given_column(column, "sample_weight")) for column in self.rows.column(self.weight)]
            weights = np.concatenate(columns)
        weights = given_column(weights, "sample_weight")
        return None if weights is None else check_sample_weight(to_numpy(weights), self.rows.n_rows)


def is_file(rows: Any) -> bool:
    """Whether a user gives a path, a data set of pyarrow's, or an array that gives slices: no blocks of code."""
    if all(hasattr(rows, name) for name in ("shape", "dtype", "__getitem__")):
        return True
    return isinstance(rows, str | os.PathLike | FileRows) or type(rows).__module__.startswith("pyarrow._dataset")


def file_rows(
    rows: Any,
    y: Any,
    sample_weight: Any,
    features: str | None,
    target: str | None,
    weight: str | None,
    drop: Collection[str],
    columns: str | None = None,
) -> FileRows:
    """The rows of a file, a folder, a pattern of names or a data set; parameters are those of `gpu_logreg.Stream`."""
    for given, name, other in ((y, target, "target"), (sample_weight, weight, "weight")):
        if given is not None and name is not None:
            raise DataError(f"{other}={name!r} and an array are given; give one of them")
    if isinstance(rows, FileRows):
        return rows
    if hasattr(rows, "shape"):
        refuse_sparse(rows, _OF_ARRAYS)
        if drop or any(name is not None for name in (features, target, weight)):
            raise DataError(_OF_ARRAYS)
        return FileRows(SlicedRows(rows), y, sample_weight)
    if not isinstance(rows, str | os.PathLike) and columns is None:
        return dataset_rows(rows, y, sample_weight, target, weight, drop)
    if columns is not None:
        from gpu_logreg.files.schema import Schema

        return rows_like(rows, y, sample_weight, target, weight, Schema.from_json(columns))
    path = Path(rows)
    ending = path.suffix.lower()
    if ending in (".npy", ".npz") and not path.is_dir():
        return _array_rows(path, y, sample_weight, features, target, weight, drop)
    if ending in DATASET_ENDINGS or path.is_dir() or glob_like(str(path)):
        return dataset_rows(path, y, sample_weight, target, weight, drop)
    with reading(path):
        open(path, "rb").close()  # raises where there is no such file
    if features is not None:
        raise DataError(f"{path}: features is for .npz archives")
    if choose_format(path, FileOptions()) == "libsvm":
        if any(given is not None for given in (y, sample_weight, target, weight)) or drop:
            raise DataError(f"{path}: LIBSVM text has labels and weights of its own, and no names of columns")
        return libsvm_rows(path)
    return csv_rows(path, y, sample_weight, target, weight, drop)


def csv_rows(
    path: Path,
    y: Any,
    sample_weight: Any,
    target: str | None,
    weight: str | None,
    drop: Collection[str],
    options: FileOptions = _DEFAULT,
    dtype: DTypeLike = np.float64,
) -> FileRows:
    """The rows of CSV, which are decoded once into a temporary file."""
    # What reads text and tables is not loaded by fits of arrays: it would lengthen every first import.
    from gpu_logreg.estimators.table_sources import read_table
    from gpu_logreg.files.csv_blocks import CsvBlocks

    table = read_table(CsvBlocks(path, options, options.text), target, weight, drop, options, dtype)
    weights = sample_weight if weight is None else table.labels.weights
    return FileRows(table.rows, y, weights, collected=None if target is None else table.labels, learned=table.learned)


def dataset_rows(
    given: Any,
    y: Any,
    sample_weight: Any,
    target: str | None,
    weight: str | None,
    drop: Collection[str],
    options: FileOptions = _DEFAULT,
    dtype: DTypeLike = np.float64,
    *,
    learns: bool = False,
) -> FileRows:
    """The rows of Parquet or Arrow files, which are read where they are if all columns are numbers.

    Else, and where a cell is missing if it ``learns`` the columns first, they are written as numbers into a temporary
    file.
    """
    from gpu_logreg.estimators.table_sources import read_dataset
    from gpu_logreg.files.dataset_blocks import DatasetBlocks, are_numbers

    is_path = not hasattr(given, "get_fragments")
    dataset = open_dataset(given) if is_path else given
    names = [name for name in dataset.schema.names if name not in (target, weight, *drop)]
    if not learns and are_numbers(dataset.schema, names):
        return FileRows(DatasetRows(dataset, target, weight, drop), y, sample_weight, target, weight)
    table = read_dataset(
        DatasetBlocks(dataset, str(given) if is_path else "the data set"), target, weight, drop, options, dtype
    )
    if table.rows is None:
        rows = DatasetRows(dataset, target, weight, drop)
        return FileRows(rows, y, sample_weight, target, weight, learned=table.learned)
    weights = sample_weight if weight is None else table.labels.weights
    return FileRows(table.rows, y, weights, collected=None if target is None else table.labels, learned=table.learned)


def rows_like(
    rows: Any, y: Any, sample_weight: Any, target: str | None, weight: str | None, schema: Schema
) -> FileRows:
    """The rows of a table by the columns of a model, which are written as numbers into a temporary file."""
    from gpu_logreg.estimators.table_sources import read_table_like
    from gpu_logreg.files.csv_blocks import CsvBlocks
    from gpu_logreg.files.dataset_blocks import DatasetBlocks

    is_path = isinstance(rows, str | os.PathLike)
    if is_path and not dataset_files(Path(rows)):
        blocks: Any = CsvBlocks(Path(rows), _DEFAULT, [column.name for column in schema.text])
    else:
        name = str(rows) if is_path else "the data set"
        blocks = DatasetBlocks(open_dataset(rows) if is_path else rows, name)
    table = read_table_like(blocks, schema, target, weight)
    weights = sample_weight if weight is None else table.labels.weights
    return FileRows(table.rows, y, weights, collected=None if target is None else table.labels, learned=table.learned)


def libsvm_rows(path: Path, dtype: DTypeLike = np.float64, *, dense: bool = False) -> FileRows:
    """The rows of LIBSVM text, which are decoded once into a temporary file."""
    from gpu_logreg.files.libsvm_stream import decode_libsvm

    labels, weights = LabelsByBlock(), list[HostArray]()
    rows = decode_libsvm(path, lambda y: labels.add_of_file(y, f"{path}: "), weights.append, dtype, dense=dense)
    logger.info("%s: text is decoded once, into %s in a temporary file", path, gib(rows.nbytes))
    return FileRows(rows, sample_weight=np.concatenate(weights) if weights else None, collected=labels)


def glob_like(name: str) -> bool:
    """Whether a name is a pattern."""
    return any(mark in name for mark in "*?[")


def _array_rows(
    path: Path,
    y: Any,
    sample_weight: Any,
    features: str | None,
    target: str | None,
    weight: str | None,
    drop: Collection[str],
) -> FileRows:
    if drop:
        raise DataError(f"{path}: drop is for tables, and an array has no names of columns")
    if path.suffix.lower() == ".npy":
        if target is not None or weight is not None or features is not None:
            raise DataError(f"{path}: holds one array; give labels as y and weights as sample_weight")
        return FileRows(NpyRows(path), y, sample_weight)
    if features is None:
        raise DataError(f"{path}: name the array of the rows: Stream({str(path)!r}, features='X', target='y')")
    source = NpyRows(path, features)
    with np.load(path, allow_pickle=False) as archive:
        missing = [name for name in (target, weight) if name is not None and name not in archive.files]
        if missing:
            raise DataError(f"{path}: has no array {missing[0]!r}; it holds {', '.join(archive.files)}")
        y = y if target is None else archive[target]
        return FileRows(source, y, sample_weight if weight is None else archive[weight])
