"""Rows of numbers with their labels, from one array, one archive, LIBSVM text, or two files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.array_files import array_names, read_labels, read_npy, read_npz, whole_labels
from gpu_logreg.files.column_names import need_target, pick_columns
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.sparse_archives import is_sparse_archive, read_sparse_archive

__all__ = ["check_labels", "labelled_array", "own_labels", "read_array"]


def read_array(path: Path, kind: str, options: FileOptions) -> Matrix:
    """The rows of a file of the kind ``"npy"`` or ``"npz"``."""
    if kind == "npy":
        return read_npy(path)
    if options.features is None and is_sparse_archive(path):
        return read_sparse_archive(path, options.dense)
    return read_npz(path, None, options.features)[0]


def labelled_array(path: Path, kind: str, target: str | None, options: FileOptions) -> tuple[Matrix, NDArray[Any]]:
    """The rows of a file of the kind ``"npy"`` or ``"npz"``, and their labels.

    Parameters
    ----------
    path : Path
    kind : "npy" or "npz"
    target : str or None
        Name of the array of labels in an archive; or a column of the only array, which is then left out of the rows; or
        a ``.npy`` file of labels.
    options : FileOptions

    Raises
    ------
    DataError
        There are no such labels, or they are not one for each row.
    """
    names = array_names(path) if kind == "npz" else []
    if target is not None and target not in names and Path(target).suffix.lower() == ".npy":
        rows = read_array(path, kind, options)
        return rows, check_labels(read_labels(Path(target), rows), Path(target), None)
    if kind == "npz" and not is_sparse_archive(path):
        rows, labels = read_npz(path, need_target(target, path, names), options.features)
        return rows, check_labels(labels, path, target)
    rows = read_array(path, kind, options)
    target = need_target(target, path, rows.names, "; or give a .npy file of labels")
    (at,) = pick_columns(rows.names, [target], rows.source)
    if len(rows.names) == 1:
        raise DataError(f"{path}: has no column but the target {target!r}")
    values = rows.values
    column = values[:, at] if isinstance(values, np.ndarray) else values[:, [at]].toarray()[:, 0]
    labels = np.ascontiguousarray(column)
    return rows.drop([target]), check_labels(labels, path, target)


def own_labels(matrix: Matrix, target: str | None, path: Path) -> NDArray[Any]:
    """The labels of LIBSVM text; refused where ``target`` names others."""
    if target not in (None, "label"):
        raise DataError(f"{path}: LIBSVM text has its own labels; leave out the target {target!r}")
    return check_labels(matrix.labels, path, None)


def check_labels(labels: NDArray[Any] | None, path: Path, target: str | None, before: int = 0) -> NDArray[Any]:
    """Labels of an array or LIBSVM text, floats that are whole as integers; refused where one is not finite.

    There are ``before`` rows before them, for the message.
    """
    assert labels is not None
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = before + int(np.argmin(np.isfinite(labels)))
        raise DataError(f"{path}, row {row + 1}: the label{f' in {target!r}' if target else ''} is not a finite number")
    return whole_labels(labels)
