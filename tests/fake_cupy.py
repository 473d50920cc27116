"""The part of CuPy that the package uses, on NumPy arrays; kernels run in the host shim.

Put in the place of ``cupy`` in ``sys.modules`` it lets the code for a GPU run where there is none. It is as strict as
CuPy where that matters: host and device arrays do not mix, NumPy's functions refuse device arrays, what is allocated
and not written is NaN, and every crossing between host and device is counted.
"""

from __future__ import annotations

import collections
import contextlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from kernel_host import MOST_SHARED_BYTES, HostKernel, HostModule

__version__ = "fake"
__spec__ = importlib.machinery.ModuleSpec("cupy", None)

counts: collections.Counter[str] = collections.Counter()
"""Launches of own kernels, copies to the host, copies to the device, scalars read (each waits for the device)."""
schedule_seed = 0
"""Seed of the schedules of the launches to come."""

FUNCTIONS = (
    *("abs", "arange", "concatenate", "cumsum", "diag", "dot", "einsum", "exp", "eye", "fill_diagonal", "full"),
    *("isfinite", "log", "log1p", "matmul", "maximum", "minimum", "multiply", "ones", "searchsorted", "sqrt", "stack"),
    *("subtract", "tanh", "zeros", "zeros_like", "empty_like", "ones_like", "count_nonzero", "clip", "take"),
)
"""Functions of NumPy that CuPy has under the same name and that take and give device arrays here."""


class OutOfMemoryError(MemoryError):
    """As `cupy.cuda.memory.OutOfMemoryError`."""


class CUDARuntimeError(RuntimeError):
    """As `cupy.cuda.runtime.CUDARuntimeError`."""


for _error in (OutOfMemoryError, CUDARuntimeError):
    _error.__module__ = "cupy.cuda"


class Device:
    def __init__(self, index: int = 0) -> None:
        self.id = index

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": 4, "MaxSharedMemoryPerBlockOptin": MOST_SHARED_BYTES}

    def synchronize(self) -> None:
        counts["waits"] += 1


memory_free = 2**33
"""Bytes that ``cuda.runtime.memGetInfo`` says are free."""


class ndarray(np.ndarray):  # noqa: N801
    """A "device" array: a NumPy array that refuses to be mixed with one."""

    device_id = 0

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.ctypes.data)

    def get(self) -> np.ndarray:
        counts["copies to the host"] += 1
        return np.array(self)

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        assert type(array) is np.ndarray
        assert array.dtype == self.dtype
        assert array.shape == self.shape
        counts["copies to the device"] += 1
        there = self.view(np.ndarray)
        if stream is None:
            there[...] = array
        else:
            stream.pending.append(lambda: np.copyto(there, array))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        _refuse_host_arrays(inputs)
        if ufunc is np.matmul and not any(inputs[0].flags[order] for order in ("C_CONTIGUOUS", "F_CONTIGUOUS")):
            counts["copies of X that CuPy makes for cuBLAS"] += 1
        out = options.pop("out", (None,))
        out = out if isinstance(out, tuple) else (out,)
        _refuse_host_arrays(out)
        options = {name: _plain(value) for name, value in options.items()}
        if out[0] is not None:
            options["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*(_plain(value) for value in inputs), **options)
        return np.asarray(result).view(ndarray) if out[0] is None else out[0]

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on a CuPy array")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __setitem__(self, key: Any, value: Any) -> None:
        _refuse_host_arrays((key, value))
        super().__setitem__(_plain(key), _plain(value))

    def __getitem__(self, key: Any) -> Any:
        _refuse_host_arrays(key if isinstance(key, tuple) else (key,))
        key = tuple(_plain(part) for part in key) if isinstance(key, tuple) else _plain(key)
        return np.asarray(self.view(np.ndarray)[key]).view(ndarray)

    def _scalar(self) -> Any:
        if self.ndim:
            raise AssertionError("a device array was read one element at a time, which waits for the device")
        counts["scalars read"] += 1
        return self.view(np.ndarray)[()]

    def __bool__(self) -> bool:
        return bool(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    __index__ = __int__

    def __iter__(self) -> Any:
        raise AssertionError("a device array was read one element at a time, which waits for the device")

    tolist = item = __iter__


for _name in ("sum", "all", "any", "min", "max", "argmax", "argmin", "mean"):
    # NumPy's own methods would give scalars; CuPy gives arrays of no dimension, which stay on the device.

    def _reduction(self: ndarray, *arguments: Any, _name: str = _name, **options: Any) -> Any:
        return np.asarray(getattr(self.view(np.ndarray), _name)(*arguments, **options)).view(ndarray)

    setattr(ndarray, _name, _reduction)

ndarray.__module__ = "cupy"

float32, float64, uint8, int64, bool_ = np.float32, np.float64, np.uint8, np.int64, np.bool_


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, ndarray) else value


def _refuse_host_arrays(values: Sequence[Any]) -> None:
    if any(type(value) is np.ndarray for value in values):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")


def _on_device(function: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        flat = [*arguments, *options.values()]
        flat += [value for argument in flat if isinstance(argument, list | tuple) for value in argument]
        _refuse_host_arrays(flat)
        plain = [
            [_plain(value) for value in argument] if isinstance(argument, list | tuple) else _plain(argument)
            for argument in arguments
        ]
        result = function(*plain, **{name: _plain(value) for name, value in options.items()})
        return None if result is None else np.asarray(result).view(ndarray)

    return call


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        return _on_device(getattr(np, name))
    raise AttributeError(f"the stand-in for CuPy has no {name}")


def asarray(array: Any, dtype: Any = None) -> ndarray:
    if isinstance(array, ndarray):
        return array if dtype is None else array.astype(dtype, copy=False)
    counts["copies to the device"] += 1
    return np.array(array, dtype=dtype, copy=True).view(ndarray)


def ascontiguousarray(array: ndarray) -> ndarray:
    assert isinstance(array, ndarray)
    return array if array.flags.c_contiguous else array.view(np.ndarray).copy().view(ndarray)


def where(condition: Any, *choices: Any) -> ndarray:
    """As CuPy's, which asks the condition for ``astype``: a truth value of Python has none."""
    if not hasattr(condition, "astype"):
        raise AttributeError(f"{type(condition).__name__!r} object has no attribute 'astype'")
    return _on_device(np.where)(condition, *choices)  # type: ignore[no-any-return]


def empty(shape: Any, dtype: Any = float) -> ndarray:
    array = np.empty(shape, dtype)
    array.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xFF  # what is not written stays NaN
    return array.view(ndarray)


def _cholesky(a: ndarray) -> ndarray:
    """As CuPy by default: NaN, not an error, where there is no factor."""
    assert isinstance(a, ndarray)
    try:
        return np.linalg.cholesky(a.view(np.ndarray)).view(ndarray)
    except np.linalg.LinAlgError:
        return np.full(a.shape, np.nan).view(ndarray)


linalg = types.SimpleNamespace(cholesky=_cholesky, LinAlgError=np.linalg.LinAlgError)


class Stream:
    """Copies given to a stream are made as late as CUDA allows: when somebody waits for them."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.pending: list[Any] = []

    def record(self) -> Event:
        return Event(self, len(self.pending))

    def synchronize(self) -> None:
        counts["waits"] += 1
        self.run(len(self.pending))

    def run(self, count: int) -> None:
        for k in range(count):
            if self.pending[k] is not None:
                self.pending[k]()
                self.pending[k] = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Event:
    """What a stream had to do when it was recorded."""

    def __init__(self, stream: Stream, count: int) -> None:
        self._stream, self._count = stream, count

    def synchronize(self) -> None:
        counts["waits"] += 1
        self._stream.run(self._count)


def _alloc_pinned(size: int) -> Any:
    return np.full(size, 0xFF, np.uint8)


class _Pool:
    def free_bytes(self) -> int:
        return 0

    def free_all_blocks(self) -> None:
        counts["frees"] += 1


def get_default_memory_pool() -> _Pool:
    return _Pool()


cuda = types.SimpleNamespace(
    Device=Device,
    Stream=Stream,
    alloc_pinned_memory=_alloc_pinned,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        memGetInfo=lambda: (memory_free, 2**33),
        CUDARuntimeError=CUDARuntimeError,
        getDeviceProperties=lambda _: {"name": b"stand-in"},
    ),
)


class RawModule:
    def __init__(self, *, code: str, options: Sequence[str] = ()) -> None:
        self._module = HostModule(code, options)

    def get_function(self, name: str) -> Any:
        return _RawKernel(self._module.get_function(name))


class _RawKernel:
    def __init__(self, kernel: HostKernel) -> None:
        object.__setattr__(self, "_kernel", kernel)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "max_dynamic_shared_size_bytes":
            raise AttributeError(name)
        setattr(self._kernel, name, value)

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: Sequence[Any], *, shared_mem: int = 0) -> None:
        for argument in arguments:
            if type(argument) is np.ndarray:
                raise TypeError("a kernel was given a host array")
        counts["launches"] += 1
        self._kernel(grid, block, arguments, shared_mem=shared_mem, seed=schedule_seed)


@contextlib.contextmanager
def installed(monkeypatch: Any) -> Iterator[types.ModuleType]:
    """This module as ``cupy``, and what the package wants of ``cupyx``."""
    solve = _on_device(scipy.linalg.solve_triangular)
    monkeypatch.setitem(sys.modules, "cupy", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, "cupyx", types.ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", types.ModuleType("cupyx.scipy"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy.linalg", types.SimpleNamespace(solve_triangular=solve))
    counts.clear()
    yield sys.modules[__name__]
