"""Parameters and fitted attributes as JSON, for model files.

JSON has no NaN, no arrays with a dtype and no keys but texts: such a value is written as an object whose keys name its
kind, ``{"float": "nan"}``, ``{"array": [...], "dtype": "<U3"}`` or ``{"pairs": [[key, value], ...]}``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError

__all__ = ["encode", "from_json", "to_json"]

_DEEPEST = 100
"""Most lists inside each other. A parameter has a few; Python's own recursion ends at 1,000."""

_MOST_TEXT_BYTES = 2**26
"""Most bytes of an array of fixed-width texts, 64 MiB: a file of a few letters may claim a dtype of any width."""

_LONGEST_SHOWN = 40
"""Most letters of a wrong value in a message, so that the message stays one line."""

_ARRAY_DTYPE = re.compile(r"object|[<>|=]?[biufU]\d{1,9}|[<>|=]?[mM]8\[\d{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_json(values: Mapping[str, Any], what: str) -> str:
    """JSON of named values; `DataError` where one cannot be written.

    Parameters
    ----------
    values : mapping
    what : str
        What the values are, for the message: ``"parameter"``.
    """
    encoded = {}
    for name, value in values.items():
        try:
            encoded[name] = encode(value)
        except TypeError as error:
            raise DataError(f"{what} {name}={value!r} cannot be stored in a model file: {error}") from error
        except RecursionError as error:
            raise DataError(f"{what} {name} cannot be stored in a model file: it is too deep") from error
    return json.dumps(encoded, allow_nan=False, sort_keys=True)


def encode(value: Any) -> Any:
    """A text, a number, an array or a container of these in the types of JSON; TypeError for another value."""
    if isinstance(value, np.ndarray):
        return {"array": encode(_items(value)), "dtype": "object" if value.dtype == object else value.dtype.str}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):  # as pairs: the keys of class_weight are labels of any type
        return {"pairs": [[encode(key), encode(item)] for key, item in value.items()]}
    raise TypeError(f"{type(value).__name__} is not a text, number, boolean or None")


def _items(array: NDArray[Any]) -> list[Any]:
    if array.dtype.kind in "mM":  # dates and durations as whole numbers of the unit of their dtype
        return list(array.astype(np.int64).tolist())
    if array.dtype.kind not in "biufUO":
        raise TypeError(f"an array of dtype {array.dtype} holds neither texts, numbers nor dates")
    if array.dtype == object and not _share_a_type(array.tolist()):
        raise TypeError("an array of objects that are neither all texts nor all numbers")
    return list(array.tolist())


def _share_a_type(items: list[Any]) -> bool:
    """Whether the items are all texts, or all numbers and booleans, or all None."""
    return any(all(isinstance(item, kind) for item in items) for kind in (str, bool | int | float, type(None)))


def from_json(text: str) -> dict[str, Any]:
    """Inverse of `to_json`.

    Raises
    ------
    ValueError, TypeError, KeyError, OverflowError
        If ``text`` is not what `to_json` writes: an array of another type or length than it says, an object of another
        kind, or lists more than `_DEEPEST` deep.
    """
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("lists in lists, deeper than any model has") from None
    if not isinstance(values, dict):
        raise TypeError(f"a {type(values).__name__} where names and values were expected")
    return {name: _decode(value, 0) for name, value in values.items()}


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text}, which is no JSON")


def _decode(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"lists in lists, more than {_DEEPEST} deep")
    if isinstance(value, list):
        return [_decode(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"float"}:
        return _NOT_FINITE[value["float"]]
    if value.keys() == {"array", "dtype"}:
        return _array(_decode(value["array"], depth + 1), value["dtype"])
    if value.keys() == {"pairs"}:
        return {_decode(key, depth + 1): _decode(item, depth + 1) for key, item in value["pairs"]}
    raise ValueError(f"an object of {', '.join(sorted(value))[:_LONGEST_SHOWN]!r}")


def _array(items: Any, name: Any) -> NDArray[Any]:
    """The array of ``items`` in the dtype of that name; ValueError where an item would not survive unchanged."""
    if not isinstance(items, list) or not isinstance(name, str) or not _ARRAY_DTYPE.fullmatch(name):
        raise ValueError(f"an array of dtype {str(name)[:_LONGEST_SHOWN]!r}")
    dtype = np.dtype(name)
    if dtype.kind == "U" and len(items) * dtype.itemsize > _MOST_TEXT_BYTES:
        raise ValueError(
            f"{len(items)} texts that take {dtype.itemsize} bytes each; give labels as objects, y.astype(object)"
        )
    if dtype.kind in "mM":  # written as whole numbers of the unit of the dtype
        return np.array(items, dtype=np.int64).astype(dtype)
    array = np.array(items, dtype=dtype)
    if dtype.kind == "O" and not _share_a_type(array.ravel().tolist()):
        raise ValueError("an array of objects that are neither all texts nor all numbers")
    if dtype.kind != "f" and array.tolist() != items:
        raise ValueError(f"an array of dtype {name} that does not hold its items as they are")
    return array
