"""The part of CuPy that the CUDA pass uses, on NumPy arrays; kernels run in the host shim.

Put in the place of ``cupy`` in ``sys.modules`` it lets the wrapper's own code run where there is no GPU. It is as
strict as CuPy where that matters: host and device arrays do not mix, and every crossing between them is counted.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np
from kernel_host import HostModule

__version__ = "fake"

counts: collections.Counter[str] = collections.Counter()
"""Launches of own kernels, copies to the host, copies to the device."""
schedule_seed = 0
"""Seed of the schedules of the launches to come."""


class Device:
    def __init__(self, index: int = 0) -> None:
        self.id = index

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class ndarray(np.ndarray):  # noqa: N801
    """A "device" array: a NumPy array that refuses to be mixed with one."""

    device_id = 0

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def get(self) -> np.ndarray:
        counts["copies to the host"] += 1
        return np.array(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        _refuse_host_arrays(inputs)
        if ufunc is np.matmul and not any(inputs[0].flags[order] for order in ("C_CONTIGUOUS", "F_CONTIGUOUS")):
            counts["copies of X that CuPy makes for cuBLAS"] += 1
        out = options.pop("out", (None,))
        _refuse_host_arrays(out)
        if out[0] is not None:
            options["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*(_plain(value) for value in inputs), **options)
        return np.asarray(result).view(ndarray) if out[0] is None else out[0]

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on a CuPy array")

    def __setitem__(self, key: Any, value: Any) -> None:
        _refuse_host_arrays((value,))
        _plain(self)[_plain(key)] = _plain(value)

    def _read_by_the_host(self, *_: Any) -> Any:
        raise AssertionError("a device array was read one element at a time, which waits for the device")

    __bool__ = __float__ = __index__ = __int__ = __iter__ = item = tolist = _read_by_the_host


ndarray.__module__ = "cupy"


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, ndarray) else value


def _refuse_host_arrays(values: Sequence[Any]) -> None:
    if any(type(value) is np.ndarray for value in values):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")


def asarray(array: Any, dtype: Any = None) -> ndarray:
    if isinstance(array, ndarray):
        return array if dtype is None else array.astype(dtype, copy=False)
    counts["copies to the device"] += 1
    return np.array(array, dtype=dtype, copy=True).view(ndarray)


def __getattr__(name: str) -> Any:
    """A function of NumPy, on device arrays alone: the results are device arrays too."""
    function = getattr(np, name)
    if not callable(function) or isinstance(function, type):
        return function

    def on_device(*arguments: Any, **options: Any) -> Any:
        sequences = [item for value in arguments if isinstance(value, list | tuple) for item in value]
        _refuse_host_arrays((*arguments, *sequences, *options.values()))
        values = [[_plain(v) for v in value] if isinstance(value, list) else _plain(value) for value in arguments]
        result = function(*values, **{key: _plain(value) for key, value in options.items()})
        return np.asarray(result).view(ndarray) if isinstance(result, np.ndarray | np.generic) else result

    return on_device


def ascontiguousarray(array: ndarray) -> ndarray:
    return array if array.flags.c_contiguous else array.copy()


def empty(shape: Any, dtype: Any = float) -> ndarray:
    array = np.empty(shape, dtype)
    array.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xFF  # what is not written stays NaN
    return array.view(ndarray)


class RawModule:
    def __init__(self, *, code: str, options: Sequence[str] = ()) -> None:
        self._module = HostModule(code, options)

    def get_function(self, name: str) -> Any:
        kernel = self._module.get_function(name)

        def launch(grid: tuple[int], block: tuple[int], arguments: Sequence[Any]) -> None:
            for argument in arguments:
                if type(argument) is np.ndarray:
                    raise TypeError("a kernel was given a host array")
            counts["launches"] += 1
            kernel(grid, block, arguments, seed=schedule_seed)

        return launch
