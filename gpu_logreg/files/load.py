"""Reading a file of data of any format: rows to train on or to predict, with or without labels."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.any_format import read_rows, read_table, training_rules
from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Source, missing_columns, need_target, pick_columns
from gpu_logreg.files.delimited import Select
from gpu_logreg.files.formats import FORMATS, FileOptions, choose_format
from gpu_logreg.files.index_columns import warn_of_identifiers, without_index
from gpu_logreg.files.labelled_arrays import labelled_array, own_labels
from gpu_logreg.files.libsvm import read_libsvm
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.nested_columns import FlatNames
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.numbered import missing_names
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import make_reopenable
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
    "rules_for",
]

_DEFAULT = FileOptions()
_NO_MARKS = Marks()


def load_training_data(
    path: str | os.PathLike[str],
    target: str | None = None,
    options: FileOptions = _DEFAULT,
    *,
    drop: Collection[str] = (),
    weight: str | None = None,
    dtype: DTypeLike = np.float64,
) -> tuple[Table | Matrix, NDArray[Any]]:
    r"""Read the rows and labels to train on. Columns without a name that number the rows are left out.

    Parameters
    ----------
    path : path
    target : str or None
        Column of the labels; for ``.npz``, the array of the labels; for arrays, also a ``.npy`` file of labels. None
        for LIBSVM text, which has labels of its own.
    options : FileOptions
    drop : collection of str
        Columns to leave out.
    weight : str or None
        Column of row weights, which stays among the rows. No warning takes it for a feature.
    dtype : float32 or float64
        Dtype of LIBSVM text; rows of other files have the dtype of the file.

    Returns
    -------
    rows : Table or Matrix, without the column of the labels
    labels : array of shape (n,) of str, int, float or bool

    Raises
    ------
    DataError
        As for `read_table`; the target is not there (the message gives similar names), or a label is missing (it gives
        the row).

    Warns
    -----
    UserWarning
        If a column counts the rows, or most of its texts occur in one row only.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("people.csv").write_text("age,town,income\n31,Bern,low\n47,Rome,high\n")
    >>> rows, labels = load_training_data("people.csv", "income")
    >>> rows.names, labels
    (('age', 'town'), array(['low', 'high'], dtype='<U4'))
    """
    path = make_reopenable(path)
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
        left_out = FlatNames.replace_by_parts(names, drop)
        special = [need_target(target, path, names), *left_out, *options.text, *([weight] if weight else [])]
        pick_columns(names, special, Source(str(path)))
        return [name for name in names if name not in left_out]

    special = [name for name in (target, weight) if name is not None]
    table = read_rows(path, kind, options, select, training_rules(options, labels=target))
    if isinstance(table, Table):
        table = without_index(table, [*special, *options.text])
        warn_of_identifiers(table, special)
    return _split(table, need_target(target, path))


def load_prediction_data(
    path: str | os.PathLike[str],
    schema: Schema,
    options: FileOptions = _DEFAULT,
    *,
    marks: Marks = _NO_MARKS,
    dtype: DTypeLike = np.float64,
) -> Table | Matrix:
    r"""Read the columns that a model needs, in the forms that they had in training; other columns are ignored.

    Parameters
    ----------
    path : path
    schema : Schema
        The schema of the model.
    options : FileOptions
    marks : Marks
        Marks of the numbers in the training file, used where this file does not show its own.
    dtype : float32 or float64
        Dtype of LIBSVM text.

    Returns
    -------
    Table or Matrix with the columns of ``schema``, ready for ``schema.transform``

    Raises
    ------
    DataError
        As for `read_table`; or columns are missing, or of another kind than in training.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("people.csv").write_text("age,town,income\n31,Bern,low\n47,Rome,high\n")
    >>> rows, _ = load_training_data("people.csv", "income")
    >>> schema = Schema.fit(rows)
    >>> _ = Path("new.csv").write_text("name,town,age\nA,Rome,25\n")
    >>> schema.transform(load_prediction_data("new.csv", schema))
    array([[25.,  0.,  1.]])
    """
    path = make_reopenable(path)
    kind = choose_format(path, options)
    if kind == "libsvm":
        rows: Table | Matrix = _read_libsvm_for(schema, path, options, dtype, labelled=False)
    else:
        rules = rules_for(schema, options, marks) if kind in ("csv", "parquet") else CellRules()
        rows = read_rows(path, kind, options, _select_for(schema, path), rules)
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
    dtype: DTypeLike = np.float64,
) -> tuple[Table | Matrix, NDArray[Any]]:
    """Read rows for a model together with their labels, to score it.

    Parameters
    ----------
    path, schema, options, marks, dtype
        As for `load_prediction_data`.
    target : str or None
        As for `load_training_data`.
    text_labels : bool
        Whether labels of CSV stay text even if all are digits, as for a model whose classes are text.

    Returns
    -------
    rows : Table or Matrix with the columns of ``schema``
    labels : array of shape (n,)
    """
    path = make_reopenable(path)
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
    rules = rules_for(schema, options, marks, target)
    if text_labels and target is not None:
        rules = replace(rules, text=[*rules.text, target])
    target = need_target(target, path)
    table = read_rows(path, kind, options, _select_for(schema, path, target), rules)
    rows, labels = _split(table, target)
    schema.check(rows)
    return rows.take(schema.names), labels


def rules_for(schema: Schema, options: FileOptions, marks: Marks, labels: str | None = None) -> CellRules:
    """The rules for the cells of a file whose rows a model is to predict: those of its training."""
    rules = training_rules(options, [column.name for column in schema.text], labels)
    forms = {column.name: column.form for column in schema.numeric}
    return replace(rules, forms=forms, marks=marks)


def _read_libsvm_for(schema: Schema, path: Path, options: FileOptions, dtype: DTypeLike, *, labelled: bool) -> Matrix:
    """LIBSVM text with as many columns as the training rows had, among them those that ``--drop`` left out."""
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
