"""Arithmetic of `fake_cupy`: NumPy's, in the types that CuPy's tables name, on arrays of the current device alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from cupy_signatures import types_of
from fake_cupy_cuda import Device
from fake_cupy_streams import counts

WEAK = {bool: 0, int: 1, float: 2, complex: 3}
"""Python's numbers, which take the type of the array beside them where its kind is at least theirs."""
NO_LOOPS = (("subtract", "??"), ("negative", "?"))
"""Types that CuPy's tables name, and of which it raises an error."""
_KINDS = {"b": 0, "u": 1, "i": 1, "f": 2, "V": 2, "c": 3}
_DEFAULTS = {bool: np.dtype(bool), int: np.dtype(np.int64), float: np.dtype(float), complex: np.dtype(complex)}


def plain(value: Any) -> Any:
    """The memory of a device array as a host array; anything else as it is."""
    return value._held if hasattr(value, "_held") else value


def refuse_strange(values: Iterable[Any]) -> None:
    """Raise CuPy's errors of arrays that are not on the current device."""
    for value in values:
        if isinstance(value, np.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        if hasattr(value, "_held") and value._block.device != Device.current:
            raise ValueError(
                "Array device must be same as the current device: array device = "
                f"{value._block.device} while current = {Device.current}"
            )


def _dtype(char: str) -> np.dtype[Any]:
    return np.dtype("bfloat16" if char == "E" else char)


def kind_of(value: Any) -> Any:
    """What decides of the type of a result: the dtype of an array or a NumPy scalar, the type of a Python number."""
    if hasattr(value, "dtype"):
        return value.dtype
    if type(value) not in WEAK:
        raise TypeError(f"Unsupported type {type(value)}")
    return type(value)


@functools.cache
def loop(name: str, kinds: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    """Types that a ufunc of CuPy takes its arguments in, and that of its result."""
    strong = [_KINDS.get(kind.kind, 4) for kind in kinds if isinstance(kind, np.dtype)]
    weak = [WEAK[kind] for kind in kinds if not isinstance(kind, np.dtype)]
    if not strong or (weak and max(weak) > max(strong)):
        kinds = tuple(kind if isinstance(kind, np.dtype) else _DEFAULTS[kind] for kind in kinds)
    for inputs, output in types_of(name):
        if len(inputs) == len(kinds) and all(map(_fits, kinds, map(_dtype, inputs))):
            if (name, inputs) in NO_LOOPS:
                break
            return tuple(map(_dtype, inputs)), _dtype(output)
    raise TypeError(f"Wrong type ({kinds}) of arguments for cupy_{name}")


def _fits(kind: Any, wanted: np.dtype[Any]) -> bool:
    if isinstance(kind, np.dtype):
        return bool(np.can_cast(kind, wanted))
    try:
        return bool(np.result_type(kind(0), wanted) == wanted)
    except TypeError:
        return False


def computed(name: str, inputs: tuple[Any, ...], dtype: Any = None) -> np.ndarray:
    """The result of a ufunc, on the host."""
    refuse_strange(inputs)
    if name == "matmul":
        return _product(*inputs, dtype)
    if dtype is None:
        takes, gives = loop(name, tuple(map(kind_of, inputs)))
    else:
        gives = np.dtype(dtype)
        takes = (gives,) * len(inputs)
    held = [np.asarray(plain(value), dtype=wanted) for value, wanted in zip(inputs, takes, strict=True)]
    with np.errstate(all="ignore"):  # a device does not warn
        return np.asarray(getattr(np, name)(*held)).astype(gives, copy=False)


def _product(x1: Any, x2: Any, dtype: Any) -> np.ndarray:
    for value in (x1, x2):
        if not hasattr(value, "_held"):
            raise TypeError(f"Unsupported type {type(value)}")
        if value.dtype.kind not in "?biufc":
            raise TypeError(f"cupy.matmul of {value.dtype}")
    if not any(x1.flags[order] for order in ("C_CONTIGUOUS", "F_CONTIGUOUS")):
        counts["copies of X that CuPy makes for cuBLAS"] += 1
    gives = np.dtype(dtype or np.result_type(x1.dtype, x2.dtype))
    with np.errstate(all="ignore"):
        return np.asarray(np.matmul(plain(x1).astype(gives, copy=False), plain(x2).astype(gives, copy=False)))


def write(result: np.ndarray, out: Any, casting: str) -> None:
    """Put a result into ``out``, under CuPy's rules."""
    if not hasattr(out, "_held"):
        raise TypeError("return arrays must be of ArrayType")
    refuse_strange((out,))
    if not np.can_cast(result.dtype, out.dtype, casting):
        raise TypeError(f"output ({result.dtype}) could not be coerced to provided output parameter ({out.dtype})")
    if np.broadcast_shapes(result.shape, out.shape) != out.shape:
        raise ValueError(f"Out shape is mismatched: {result.shape} in {out.shape}")
    np.copyto(plain(out), result, casting="unsafe")
