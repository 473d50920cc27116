"""Labels of any type as arrays that hold them exactly; missing ones are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import array_namespace, in_host_memory, one_line, to_numpy
from gpu_logreg.errors import DataError

__all__ = ["exact_array", "holds_text", "is_whole", "label_array", "numbers_among", "of_one_type", "same_labels"]

_EXACT = 2.0**53
"""Size up to which float64 holds every whole number; beyond, neighbours are rounded to one."""

_MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")
"""Names of the types of pandas' NA and NaT and of NumPy's masked element, neither of which is imported for a check."""


def exact_array(y: Any, name: str = "y") -> Any:
    """Labels as an array in the memory that holds them, with every label unchanged.

    NumPy converts a list to one type: whole numbers beyond 64 bits to floats, and numbers or NaN beside text to text.
    Such a list becomes an array of Python objects here.
    """
    if type(y) is np.ndarray or not in_host_memory(y):
        return y
    try:
        array = to_numpy(y)
    except Exception as error:  # the library of a table raises what it likes for a type that NumPy does not have
        raise DataError(f"{name}, a {type(y).__name__}, cannot be read as labels ({one_line(error)})") from error
    if not isinstance(y, list | tuple) or array.dtype.kind not in "fUS":
        return array
    if array.dtype.kind == "f" and not (np.abs(array.astype(np.float64)) >= _EXACT).any():
        return array
    objects = np.array(y, dtype=object)
    kinds = set(map(type, objects.ravel().tolist()))
    types = (float, np.floating) if array.dtype.kind == "f" else str if array.dtype.kind == "U" else bytes
    return array if all(issubclass(kind, types) for kind in kinds) else objects


def label_array(y: Any, name: str = "y") -> Any:
    """`exact_array`, with an error where a label is missing or is of a type that labels cannot have.

    NumPy's StringDType, which scikit-learn does not support, becomes Python strings; long doubles become float64.

    Parameters
    ----------
    y : array, list or column of a table, of shape (n,) or (n, 1)
    name : str
        For messages.

    Raises
    ------
    DataError
        One line that names the row of a missing label, or the wrong type.
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
            raise DataError(_missing_message(name, y.ravel()[row], row))
    return _no_long_double(y, name)


def of_one_type(y: Any) -> Any:
    """Labels from `label_array` with Python numbers as an array of numbers.

    Texts, and whole numbers beyond 64 bits, stay Python objects.
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
    """Whether no label is a float with a fraction."""
    return y.dtype.kind != "f" or bool((np.isfinite(y) & (y == np.floor(y))).all())


def holds_text(y: NDArray[Any]) -> bool:
    """Whether labels from `label_array` are texts."""
    return bool(y.dtype.kind == "U" or (y.dtype.kind == "O" and y.size > 0 and isinstance(y.ravel()[0], str)))


def numbers_among(y: NDArray[Any], classes: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The position of every label among the classes, and whether it is none of them, by an exact comparison.

    NumPy compares int64 with uint64, and both with float64, as float64, which rounds neighbours beyond 2**53 to one.

    Parameters
    ----------
    y : ndarray of shape (n,)
    classes : ndarray of shape (K,), sorted
        Both from `label_array` and `of_one_type`.

    Returns
    -------
    numbers : integer ndarray of shape (n,)
    is_unknown : bool ndarray of shape (n,)
    """
    if _family(y) != _family(classes):
        return np.zeros(len(y), np.intp), np.ones(len(y), bool)
    if "O" in (y.dtype.kind, classes.dtype.kind):
        y, classes = y.astype(object), classes.astype(object)
    converted, is_unknown = y, np.zeros(len(y), bool)
    if y.dtype != classes.dtype and y.dtype.kind != "U":
        with np.errstate(invalid="ignore", over="ignore"):  # a label may lie beyond the range of the classes' type
            converted = y.astype(classes.dtype)
            is_unknown = (converted != y) | (converted.astype(y.dtype) != y)
    numbers = np.minimum(np.searchsorted(classes, converted), len(classes) - 1)
    return numbers, is_unknown | (classes[numbers] != converted)


def same_labels(predicted: NDArray[Any], y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Booleans of shape (n,): whether each label of ``y`` equals the predicted label, which is one of the classes.

    Raises
    ------
    DataError
        ``y`` holds texts and the classes are numbers, or the other way round, so that no prediction could be right.
    """
    predicted, y, classes = (of_one_type(labels) for labels in (predicted, y, classes))
    if y.size and _family(y) != _family(classes):
        raise DataError(
            f"y holds {_family(y)}, such as {label_text(y[0])}, and the classes are {_family(classes)}, such as "
            f"{label_text(classes[0])}; give labels of the type of the fit"
        )
    if y.dtype == predicted.dtype or (y.dtype.kind in "biu" and predicted.dtype.kind in "biu"):
        return np.asarray(predicted == y)
    numbers, is_unknown = numbers_among(y, classes)
    return np.asarray((classes[numbers] == predicted) & ~is_unknown)


def label_text(label: object) -> str:
    """A label as messages show it."""
    if isinstance(label, np.datetime64 | np.timedelta64):
        return repr(str(label))
    return repr(label.item() if hasattr(label, "item") else label)


def _family(y: NDArray[Any]) -> str:
    """Kind of the labels, as messages name it. Labels of two kinds are never equal."""
    if holds_text(y):
        return "texts"
    return {"M": "dates", "m": "durations"}.get(y.dtype.kind, "numbers")


def _missing_message(name: str, value: object, row: int) -> str:
    return f"{name} holds a missing label, {value}, at row {row}; remove such rows"


def _objects(y: Any, name: str) -> Any:
    """The array of Python objects; `DataError` unless all have one type that labels can have and none is missing."""
    values = y.ravel().tolist()
    kinds = set(map(type, values))
    if any(issubclass(kind, float | np.floating | Decimal) or not _is_never_missing(kind) for kind in kinds):
        _refuse_missing(values, name)
    if all(issubclass(kind, Decimal) for kind in kinds) and all(map(_is_whole_decimal, values)):
        y = np.empty_like(y)
        y.ravel()[:] = [int(value) for value in values]
        return y
    if any(all(issubclass(kind, types) for kind in kinds) for types in (str, bool | np.bool_, float | np.floating)):
        return y
    if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        return y
    row, first_kind = 0, type(values[0])
    if len(kinds) > 1:
        row = next(row for row, value in enumerate(values) if type(value) is not first_kind)
        raise DataError(
            f"{name} holds labels of several types, {first_kind.__name__} at row 0 and "
            f"{type(values[row]).__name__} at row {row}; make all of them text, or all numbers"
        )
    raise DataError(f"{name} holds labels of type {first_kind.__name__}; give texts, numbers or an array of dates")


def _is_whole_decimal(value: Decimal) -> bool:
    return value.is_finite() and value == int(value)


def _is_never_missing(kind: type) -> bool:
    """Whether no value of a type stands for a missing label."""
    return issubclass(kind, str | int | np.integer | np.bool_)


def _refuse_missing(values: list[Any], name: str) -> None:
    """Raise a `DataError` for the first of Python objects that stands for a missing label, if there is one."""
    for row, value in enumerate(values):
        missing = value is None or type(value).__name__ in _MISSING_TYPES
        if not missing and isinstance(value, float | np.floating | Decimal | np.datetime64 | np.timedelta64):
            missing = bool(value != value)
        if missing:
            raise DataError(_missing_message(name, value, row))


def _no_long_double(y: Any, name: str) -> Any:
    """Long doubles as float64, since model files have no longer ones; refused where that would round one."""
    if y.dtype.kind != "f" or y.dtype.itemsize <= 8:
        return y
    with np.errstate(over="ignore"):
        narrow = y.astype(np.float64)
    is_rounded = narrow != y
    if bool(is_rounded.any()):
        row = int(is_rounded.argmax())
        raise DataError(
            f"{name} holds {y.ravel()[row]!r} at row {row}, which float64 rounds; give whole numbers or texts"
        )
    return narrow
