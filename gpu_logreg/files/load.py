"""From a file of data to rows and labels: the doors that the command line uses."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.arrow_columns import MISSING_WORDS
from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Source, missing_columns, need_target, pick_columns
from gpu_logreg.files.delimited import Select, read_csv
from gpu_logreg.files.formats import FORMATS, FileOptions, choose_format
from gpu_logreg.files.index_columns import warn_of_identifiers, without_index
from gpu_logreg.files.labelled_arrays import labelled_array, own_labels, read_array
from gpu_logreg.files.libsvm import read_libsvm
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.nested_columns import FlatNames
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.numbered import missing_names
from gpu_logreg.files.parquet_files import read_parquet
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import at_hand
from gpu_logreg.files.table import Table, as_table

__all__ = [
    "FORMATS",
    "FileOptions",
    "Matrix",
    "Table",
    "as_table",
    "load_labelled_data",
    "load_prediction_data",
    "load_training_data",
    "read_table",
]

_DEFAULT = FileOptions()
_NO_MARKS = Marks()


def read_table(
    path: str | os.PathLike[str],
    options: FileOptions = _DEFAULT,
    *,
    columns: Sequence[str] | None = None,
    drop: Collection[str] = (),
    text_columns: Collection[str] = (),
) -> Table | Matrix:
    """Read a file of data of any format.

    Parameters
    ----------
    path : path
    options : FileOptions
    columns : sequence of str or None
        Columns to read, in this order; None reads all.
    drop : collection of str
        Columns to leave out.
    text_columns : collection of str
        Columns kept as text even if all their cells are digits, with those of ``options``.

    Returns
    -------
    Table for CSV and Parquet, Matrix for ``.npy``, ``.npz`` and LIBSVM text

    Raises
    ------
    DataError
        One line that names the file, the line and column where known, and the remedy.
    """

    def select(names: Sequence[str]) -> Sequence[str]:
        source = Source(str(path))
        left_out = FlatNames.spread(names, drop)
        kept = names if columns is None else FlatNames.spread(names, columns)
        pick_columns(names, [*(() if columns is None else kept), *left_out], source)
        return [name for name in kept if name not in left_out] if drop else kept

    path = at_hand(path)
    return _read(path, choose_format(path, options), options, select, _rules(options, text_columns))


def load_training_data(
    path: str | os.PathLike[str],
    target: str | None = None,
    options: FileOptions = _DEFAULT,
    *,
    drop: Collection[str] = (),
    weight: str | None = None,
    dtype: Any = np.float64,
) -> tuple[Table | Matrix, NDArray[Any]]:
    """Read the rows and labels to train on; columns that only number the rows are left out.

    Parameters
    ----------
    path : path
    target : str or None
        Column of the labels; for ``.npz``, the array of the labels; for arrays, also a ``.npy`` file of them. LIBSVM
        text has its own labels: None.
    options : FileOptions
    drop : collection of str
        Columns to leave out.
    weight : str or None
        Column of row weights, which stays among the rows and of which is not warned.
    dtype : float32 or float64
        Dtype of LIBSVM text; other files keep what they store.

    Returns
    -------
    rows : Table or Matrix, without the column of the labels
    labels : array of shape (n,) of str, int, float or bool

    Raises
    ------
    DataError
        As for `read_table`; no such target (with the nearest names), or a missing label (with its row).

    Warns
    -----
    UserWarning
        If a column counts the rows or gives most of them a text of their own.
    """
    path = at_hand(path)
    if target is not None and target in drop:
        raise DataError(f"{path}: {target!r} is the target and cannot be dropped as well")
    kind = choose_format(path, options)
    if kind in ("npy", "npz"):
        matrix, labels = labelled_array(path, kind, target, options)
        return matrix.drop(drop), labels
    if kind == "libsvm":
        matrix = read_libsvm(path, dtype=dtype, dense=options.dense)
        return matrix.drop(drop), own_labels(matrix, target, path)

    def select(names: Sequence[str]) -> list[str]:
        left_out = FlatNames.spread(names, drop)
        named = [need_target(target, path, names), *left_out, *options.text, *([weight] if weight else [])]
        pick_columns(names, named, Source(str(path)))
        return [name for name in names if name not in left_out]

    named = [name for name in (target, weight) if name is not None]
    table = _read(path, kind, options, select, _rules(options, labels=target))
    if isinstance(table, Table):
        table = without_index(table, [*named, *options.text])
        warn_of_identifiers(table, named)
    return _split(table, need_target(target, path))


def load_prediction_data(
    path: str | os.PathLike[str],
    schema: Schema,
    options: FileOptions = _DEFAULT,
    *,
    marks: Marks = _NO_MARKS,
    dtype: Any = np.float64,
) -> Table | Matrix:
    """Read the columns that a model needs, as it saw them in training; other columns are ignored.

    Parameters
    ----------
    path : path
    schema : Schema
        Of the model.
    options : FileOptions
    marks : Marks
        Of the numbers in training, for a file that does not show its own.
    dtype : float32 or float64
        Dtype of LIBSVM text.

    Returns
    -------
    Table or Matrix with the columns of ``schema``, ready for ``schema.transform``

    Raises
    ------
    DataError
        As for `read_table`; columns that are missing or of another kind than in training.
    """
    path = at_hand(path)
    kind = choose_format(path, options)
    if kind == "libsvm":
        rows: Table | Matrix = _read_libsvm_for(schema, path, options, dtype, labelled=False)
    else:
        rules = _rules_for(schema, options, marks) if kind in ("csv", "parquet") else CellRules()
        rows = _read(path, kind, options, _select_for(schema, path), rules)
    schema.check(rows)
    return rows.take(schema.names)


def load_labelled_data(
    path: str | os.PathLike[str],
    schema: Schema,
    target: str | None = None,
    options: FileOptions = _DEFAULT,
    *,
    text_labels: bool = False,
    marks: Marks = _NO_MARKS,
    dtype: Any = np.float64,
) -> tuple[Table | Matrix, NDArray[Any]]:
    """Read rows for a model together with their labels, to score it.

    Parameters
    ----------
    path, schema, options, marks, dtype
        As for `load_prediction_data`.
    target : str or None
        As for `load_training_data`.
    text_labels : bool
        Keep labels of CSV as text even if all are digits: for a model whose classes are text.

    Returns
    -------
    rows : Table or Matrix with the columns of ``schema``
    labels : array of shape (n,)
    """
    path = at_hand(path)
    kind = choose_format(path, options)
    if target is not None and target in schema.names and kind in ("csv", "parquet", "npy"):
        raise DataError(f"{path}: {target!r} is a column that the model reads, so it cannot hold the labels")
    if kind in ("npy", "npz"):
        matrix, labels = labelled_array(path, kind, target, options)
        schema.check(matrix)
        return matrix.take(schema.names), labels
    if kind == "libsvm":
        matrix = _read_libsvm_for(schema, path, options, dtype, labelled=True)
        labels = own_labels(matrix, target, path)
        schema.check(matrix)
        return matrix.take(schema.names), labels
    rules = _rules_for(schema, options, marks, target)
    if text_labels and target is not None:
        rules = replace(rules, text=[*rules.text, target])
    target = need_target(target, path)
    table = _read(path, kind, options, _select_for(schema, path, target), rules)
    rows, labels = _split(table, target)
    schema.check(rows)
    return rows.take(schema.names), labels


def _rules(options: FileOptions, text: Collection[str] = (), labels: str | None = None) -> CellRules:
    """How the cells of a file to train on are read."""
    missing = MISSING_WORDS if options.missing is None else options.missing
    return CellRules(missing, (*options.text, *text), labels)


def _rules_for(schema: Schema, options: FileOptions, marks: Marks, labels: str | None = None) -> CellRules:
    """How the cells of a file for a model are read: as in training."""
    rules = _rules(options, [column.name for column in schema.text], labels)
    known = {column.name: column.form for column in schema.numeric}
    return replace(rules, known=known, marks=marks)


def _read(path: Path, kind: str, options: FileOptions, select: Select, rules: CellRules) -> Table | Matrix:
    if kind == "csv":
        return read_csv(path, options, select, rules)
    if kind == "parquet":
        return read_parquet(path, select, rules)
    matrix = read_libsvm(path, dense=options.dense) if kind == "libsvm" else read_array(path, kind, options)
    return matrix.take(select(matrix.names))


def _read_libsvm_for(schema: Schema, path: Path, options: FileOptions, dtype: Any, *, labelled: bool) -> Matrix:
    """LIBSVM text with as many columns as the model was trained on, those that it was to leave out among them."""
    return read_libsvm(
        path,
        n_features=schema.array_width,
        first_index=schema.first_index,
        dtype=dtype,
        dense=options.dense,
        labelled=labelled,
    )


def _select_for(schema: Schema, path: Path, target: str | None = None) -> Select:
    def select(names: Sequence[str]) -> Sequence[str]:
        missing = missing_names(schema.names, names)
        if missing:
            raise missing_columns(missing, names, Source(str(path)))
        if target is None:
            return schema.names
        pick_columns(names, [target], Source(str(path)))
        return [*schema.names, target]

    return select


def _split(table: Table | Matrix, target: str) -> tuple[Table, NDArray[Any]]:
    """Rows without the target column, and that column as labels."""
    assert isinstance(table, Table)
    if len(table.names) == 1:
        raise DataError(f"{table.source.name}: has no column but the target {target!r}")
    return table.drop([target]), table.values(target)
