"""NumPy arrays and archives. Arrays of Python objects are refused: reading them would run code from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.files.reading import file_kind, reading

__all__ = ["array_names", "read_labels", "read_npy", "read_npz", "whole_labels"]

_REAL = "biuf"
"""Kinds of NumPy's dtypes of real numbers: booleans, integers, unsigned integers, floats."""

_LARGEST_EXACT = 2**53
"""Size up to which float64 holds every whole number."""


def read_npy(path: Path) -> Matrix:
    """A two-dimensional ``.npy`` array, in its own dtype; columns ``c0``, ``c1``, ...

    Raises
    ------
    DataError
        Not a NumPy file, damaged, not numbers, or not two-dimensional.
    """
    with reading(path):
        _check_magic(path, "NumPy .npy", "a NumPy .npy file")
        array = _load(path, path)
        if array.ndim != 2:
            raise DataError(f"{path}: holds an array of shape {array.shape}; rows and columns are needed")
        return _matrix(array, path)


def read_labels(path: Path, rows: Matrix) -> NDArray[Any]:
    """The labels in a ``.npy`` file, one for each of ``rows``.

    Raises
    ------
    DataError
        The file holds no array of one label a row, or the number of labels is not that of the rows.
    """
    with reading(path):
        _check_magic(path, "NumPy .npy", "a NumPy .npy file")
        labels = _label_vector(_load(path, path), path, None)
    if len(labels) != rows.n_rows:
        raise DataError(f"{path}: has {len(labels)} labels, and {rows.source.name} has {rows.n_rows} rows")
    return np.ascontiguousarray(labels)


def read_npz(path: Path, target: str | None, features: str | None) -> tuple[Matrix, NDArray[Any] | None]:
    """The rows in an ``.npz`` archive, and the labels where ``target`` names their array.

    Parameters
    ----------
    path : Path
    target : str or None
        Array of the labels, shape (n,) or (n, 1).
    features : str or None
        Array of the rows, of shape (n, ...), which is reshaped to (n, d). None takes the only array of two or more
        dimensions that has as many rows as there are labels.

    Raises
    ------
    DataError
        A name is unknown, or several arrays could be the rows; the message lists the arrays with their shapes.
    """
    with reading(path):
        _check_magic(path, "zip", "a NumPy .npz archive")
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: _load(archive, path, name) for name in archive.files if name in (target, features)}
            for name in (target, features):
                if name is not None and name not in arrays:
                    raise DataError(f"{path}: has no array {name!r}; {_contents(_shapes(archive, path))}")
            labels = None if target is None else _label_vector(arrays[target], path, target)
            if features is None:
                features = _only_rows(_shapes(archive, path), path, target, labels)
                arrays[features] = _load(archive, path, features)
    rows = arrays[features]
    if rows.ndim < 2:
        raise DataError(f"{path}: array {features!r} has shape {rows.shape}; rows and columns are needed")
    if labels is not None and len(labels) != len(rows):
        raise DataError(f"{path}: array {features!r} has {len(rows)} rows and {target!r} has {len(labels)} labels")
    return _matrix(rows.reshape(len(rows), -1), path), labels


def array_names(path: Path) -> list[str]:
    """Names of the arrays in an ``.npz`` archive."""
    with reading(path):
        _check_magic(path, "zip", "a NumPy .npz archive")
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return list(archive.files)


def _load(source: Path | NpzFile, path: Path, name: str | None = None) -> NDArray[Any]:
    """One array: the member ``name`` of an archive, or the array of a ``.npy`` file; errors are of one line."""
    what = f"{path}: " + (f"array {name!r}" if name else "the array")
    try:
        array = source[name] if isinstance(source, NpzFile) and name is not None else np.load(path, allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{what} holds Python objects, which are not read for safety; store numbers or text"
            ) from error
        raise DataError(f"{path}: is truncated or damaged ({str(error).splitlines()[0]}); fetch it again") from error
    return np.asarray(array)


def _check_magic(path: Path, expected: str, what: str) -> None:
    """Refuse a file whose first bytes are not those of ``expected``, one of `file_kind`'s names."""
    with open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise DataError(f"{path}: is empty")
    if file_kind(head) != expected:
        raise DataError(f"{path}: is not {what}; give it the ending of what it is, or name its format with --format")


def _matrix(array: NDArray[Any], path: Path) -> Matrix:
    """The rows of a two-dimensional array; refused where they are none or no real numbers."""
    if array.dtype.kind not in _REAL:
        raise DataError(f"{path}: holds an array of dtype {array.dtype}; the rows must be real numbers")
    if array.size == 0:
        raise DataError(f"{path}: holds no rows (its shape is {array.shape})")
    return Matrix(array, numbered_columns(array.shape[1]), source=Source(str(path)))


def _label_vector(labels: NDArray[Any], path: Path, name: str | None) -> NDArray[Any]:
    """Labels of shape (n,), bytes decoded to text; refused where they are no vector of numbers or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in _REAL + "US":
        what = "the array" if name is None else f"array {name!r}"
        raise DataError(f"{path}: {what} has shape {labels.shape} and dtype {labels.dtype}; one label a row is needed")
    return np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels


def _shapes(archive: NpzFile, path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of an archive. Only their headers are read."""
    assert archive.zip is not None
    shapes = {}
    for name in archive.files:
        with archive.zip.open(f"{name}.npy" if f"{name}.npy" in archive.zip.namelist() else name) as member:
            try:
                version = np.lib.format.read_magic(member)
                read_header = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read_header = np.lib.format.read_array_header_2_0
                shapes[name] = read_header(member)[0]
            except ValueError as error:
                raise DataError(f"{path}: member {name!r} is not a NumPy array ({error})") from error
    return shapes


def _contents(shapes: dict[str, tuple[int, ...]]) -> str:
    return "it holds " + (", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no array")


def _only_rows(shapes: dict[str, tuple[int, ...]], path: Path, target: str | None, labels: NDArray[Any] | None) -> str:
    n = None if labels is None else len(labels)
    candidates = [
        name for name, shape in shapes.items() if name != target and len(shape) >= 2 and (n is None or shape[0] == n)
    ]
    if len(candidates) == 1:
        return candidates[0]
    need = "with two or more dimensions" + ("" if n is None else f" and {n} rows, as {target!r} has")
    count = "no array" if not candidates else f"{len(candidates)} arrays"
    raise DataError(f"{path}: has {count} {need}; {_contents(shapes)}; name the rows with --features")


def whole_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Float labels as int64 where all are whole, else unchanged: LIBSVM text and float arrays hold a class as 1.0."""
    if labels.dtype.kind != "f" or not (np.abs(labels.astype(np.float64)) < _LARGEST_EXACT).all():
        return labels
    whole = labels.astype(np.int64)
    return whole if bool((whole == labels).all()) else labels
