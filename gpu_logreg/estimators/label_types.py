"""Labels of any type as arrays in which each is what was given: none rounded, none turned into text, none missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace, is_cupy, one_line, to_numpy
from gpu_logreg.errors import DataError

__all__ = ["exact_array", "holds_text", "is_whole", "label_array", "numbers_among", "of_one_type", "same_labels"]

_EXACT = 2.0**53
"""Whole numbers up to which float64 holds them all."""

_MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")


def exact_array(y: Any, name: str = "y") -> Any:
    """Labels as an array, where they live, in which none has become another.

    Of a list NumPy would make another type: of whole numbers beyond 64 bits floats, of numbers or NaN beside text text.
    Such a list becomes an array of objects.
    """
    if is_cupy(y):
        return y
    try:
        array = to_numpy(y)
    except Exception as error:  # a column of a type that its library does not bring to NumPy
        raise DataError(f"{name}, a {type(y).__name__}, cannot be read as labels ({one_line(error)})") from error
    if not isinstance(y, list | tuple) or array.dtype.kind not in "fUS":
        return array
    if array.dtype.kind == "f" and not (np.abs(array.astype(np.float64)) >= _EXACT).any():
        return array
    objects = np.array(y, dtype=object)
    kinds = set(map(type, objects.ravel().tolist()))
    kept = (float, np.floating) if array.dtype.kind == "f" else str if array.dtype.kind == "U" else bytes
    return array if all(issubclass(kind, kept) for kind in kinds) else objects


def label_array(y: Any, name: str = "y") -> Any:
    """`exact_array`, refused where a label is missing, or is of no type that labels have.

    NumPy's StringDType, which scikit-learn does not know, becomes objects; long doubles become float64.

    Parameters
    ----------
    y : array, list or column of a table, of shape (n,) or (n, 1)
    name : str
        For messages.

    Raises
    ------
    DataError
        One line that names the row of a missing label, or what type labels may not have.
    """
    y = exact_array(y, name)
    kind = y.dtype.kind
    if kind == "T":
        y, kind = y.astype(object), "O"
    if kind == "O":
        return _objects(y, name)
    if kind == "S":
        raise DataError(f"{name} holds bytes, of dtype {y.dtype}, which are no labels; give texts: {name}.astype(str)")
    if kind not in "biufUmM":
        complex_too = "Complex data not supported: " if kind == "c" else ""
        raise DataError(f"{complex_too}{name} has dtype {y.dtype}; labels are texts, numbers or dates")
    if kind in "fmM":
        xp = array_namespace(y)
        missing = xp.isnan(y) if kind == "f" else np.isnat(y)
        if bool(missing.any()):
            row = int(missing.argmax())
            raise DataError(_missing(name, y.ravel()[row], row))
    return _no_long_double(y, name)


def of_one_type(y: Any) -> Any:
    """Labels from `label_array` in the narrowest type: objects that are numbers as an array of numbers, where one is.

    Texts, and whole numbers beyond 64 bits, stay objects.
    """
    if y.dtype.kind != "O" or y.size == 0:
        return y
    values = y.ravel().tolist()
    if isinstance(values[0], str):
        return y
    if isinstance(values[0], int | np.integer) and not isinstance(values[0], bool):
        low, high = int(min(values)), int(max(values))
        fitting = [kind for kind in (np.int64, np.uint64) if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
        return y.astype(fitting[0]) if fitting else y
    return np.array(values).reshape(y.shape)


def is_whole(y: Any) -> bool:
    """Whether labels are no floats, or whole ones."""
    return y.dtype.kind != "f" or bool((np.isfinite(y) & (y == np.floor(y))).all())


def holds_text(y: Any) -> bool:
    """Whether labels from `label_array` are texts."""
    return bool(y.dtype.kind == "U" or (y.dtype.kind == "O" and y.size > 0 and isinstance(y.ravel()[0], str)))


def numbers_among(y: Any, classes: Any) -> tuple[Any, Any]:
    """Number of every label among the classes, and whether it is none of them; compared exactly.

    NumPy's common type of int64 and uint64, or of int64 and float64, is float64, in which neighbours would be one.

    Parameters
    ----------
    y : ndarray of shape (n,)
    classes : ndarray of shape (K,), sorted
        Both from `label_array` and `of_one_type`.

    Returns
    -------
    numbers : integer ndarray of shape (n,)
    strange : bool ndarray of shape (n,)
    """
    if _family(y) != _family(classes):
        return np.zeros(len(y), np.intp), np.ones(len(y), bool)
    if "O" in (y.dtype.kind, classes.dtype.kind):
        y, classes = y.astype(object), classes.astype(object)
    same, strange = y, np.zeros(len(y), bool)
    if y.dtype != classes.dtype and y.dtype.kind != "U":
        with np.errstate(invalid="ignore", over="ignore"):  # of a number that the type of the classes cannot hold
            same = y.astype(classes.dtype)
            strange = (same != y) | (same.astype(y.dtype) != y)
    numbers = np.minimum(np.searchsorted(classes, same), len(classes) - 1)
    return numbers, strange | (classes[numbers] != same)


def same_labels(predicted: Any, y: Any, classes: Any) -> Any:
    """Whether each label of ``y`` is that which was predicted, which is one of the classes.

    Raises
    ------
    DataError
        Texts among numbers, or numbers among texts: of which none could be right.
    """
    predicted, y, classes = (of_one_type(labels) for labels in (predicted, y, classes))
    if y.size and _family(y) != _family(classes):
        raise DataError(
            f"y holds {_family(y)}, such as {shown(y[0])}, and the classes are {_family(classes)}, such as "
            f"{shown(classes[0])}; give labels of the type of the fit"
        )
    if y.dtype == predicted.dtype or (y.dtype.kind in "biu" and predicted.dtype.kind in "biu"):
        return predicted == y
    numbers, strange = numbers_among(y, classes)
    return (classes[numbers] == predicted) & ~strange


def shown(label: Any) -> str:
    """A label for a message."""
    if isinstance(label, np.datetime64 | np.timedelta64):
        return repr(str(label))
    return repr(label.item() if hasattr(label, "item") else label)


def _family(y: Any) -> str:
    if holds_text(y):
        return "texts"
    return {"M": "dates", "m": "durations"}.get(y.dtype.kind, "numbers")


def _missing(name: str, value: Any, row: int) -> str:
    return f"{name} holds a missing label, {value}, at row {row}; remove such rows"


def _objects(y: Any, name: str) -> Any:
    """An array of objects that share a type labels may have; refused where they do not, or one is missing."""
    values = y.ravel().tolist()
    kinds = set(map(type, values))
    if any(issubclass(kind, float | np.floating | Decimal) or not _is_plain(kind) for kind in kinds):
        _refuse_missing(values, name)
    if all(issubclass(kind, Decimal) for kind in kinds) and all(map(_is_whole, values)):
        y = np.empty_like(y)
        y.ravel()[:] = [int(value) for value in values]
        return y
    if any(all(issubclass(kind, kept) for kind in kinds) for kept in (str, bool | np.bool_, float | np.floating)):
        return y
    if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        return y
    row, first = 0, type(values[0])
    if len(kinds) > 1:
        row = next(row for row, value in enumerate(values) if type(value) is not first)
        raise DataError(
            f"{name} holds labels of several types, {first.__name__} at row 0 and {type(values[row]).__name__} at row "
            f"{row}; make all of them text, or all numbers"
        )
    raise DataError(f"{name} holds labels of type {first.__name__}; give texts, numbers or an array of dates")


def _is_whole(value: Decimal) -> bool:
    return value.is_finite() and value == int(value)


def _is_plain(kind: type) -> bool:
    return issubclass(kind, str | int | np.integer | np.bool_)


def _refuse_missing(values: list[Any], name: str) -> None:
    for row, value in enumerate(values):
        missing = value is None or type(value).__name__ in _MISSING_TYPES
        if not missing and isinstance(value, float | np.floating | Decimal | np.datetime64 | np.timedelta64):
            missing = bool(value != value)
        if missing:
            raise DataError(_missing(name, value, row))


def _no_long_double(y: Any, name: str) -> Any:
    """Long doubles as float64, which a model file holds; refused where that would round one."""
    if y.dtype.kind != "f" or y.dtype.itemsize <= 8:
        return y
    with np.errstate(over="ignore"):
        narrow = y.astype(np.float64)
    rounded = narrow != y
    if bool(rounded.any()):
        row = int(rounded.argmax())
        raise DataError(
            f"{name} holds {y.ravel()[row]!r} at row {row}, which float64 rounds; give whole numbers or texts"
        )
    return narrow
