"""Parameters and fitted attributes as JSON, for model files; what JSON does not know is an object with one tag."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError

__all__ = ["encode", "from_json", "to_json"]


def to_json(values: Mapping[str, Any], what: str) -> str:
    """JSON of named values; those that JSON does not know are written as an object with one tag."""
    written = {}
    for name, value in values.items():
        try:
            written[name] = encode(value)
        except TypeError as error:
            raise DataError(f"{what} {name}={value!r} cannot be stored in a model file: {error}") from error
    return json.dumps(written, allow_nan=False, sort_keys=True)


def encode(value: Any) -> Any:
    """What JSON knows, of texts, numbers, arrays and their containers; TypeError for a value of another type."""
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
    return any(all(isinstance(item, kind) for item in items) for kind in (str, bool | int | float))


def from_json(text: str) -> dict[str, Any]:
    """Inverse of `to_json`."""
    return {name: _decode(value) for name, value in dict(json.loads(text)).items()}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "array" in value:
        items, dtype = _decode(value["array"]), np.dtype(value["dtype"])
        return np.array(items, np.int64).astype(dtype) if dtype.kind in "mM" else np.array(items, dtype)
    return {_decode(key): _decode(item) for key, item in value["pairs"]}
