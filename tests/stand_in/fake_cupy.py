"""The part of CuPy that the package uses, on NumPy arrays; kernels run in the host shim.

Put in the place of ``cupy`` in ``sys.modules`` it lets the code for a GPU run where there is none. It is as strict as
CuPy 14: what it takes is what CuPy's own signatures say (`cupy_signatures`), results have the types of CuPy's tables,
arrays have CuPy's attributes and no other, and host and device arrays do not mix. It is stricter where CuPy would do
something slow in silence: NumPy's functions, host arrays as indices, and loops over elements are refused. What is
allocated and not written is NaN, and every crossing between host and device is counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import fake_cupy_cuda
import fake_cupy_linalg
import fake_cupy_streams
import numpy as np
from cupy_signatures import strict
from fake_cupy_array import METHODS, REDUCTIONS, apply, ndarray, refuse_dtype
from fake_cupy_cuda import Device, RawKernel, RawModule
from fake_cupy_sorting import argsort, sort  # noqa: F401 - as `cupy` has them
from fake_cupy_streams import CUDARuntimeError, OutOfMemoryError, Stream, counts, faults  # noqa: F401 - for tests
from fake_cupy_ufuncs import kind_of, loop, plain, refuse_strange

__version__ = "14.fake"
__spec__ = importlib.machinery.ModuleSpec("cupy", None)

schedule_seed = 0
"""Seed of the schedules of the launches to come."""
memory_free = 2**33
"""Bytes that are free, or kept by the pool for reuse."""
device_count = 1
"""Devices that there are; an array of one is refused where another is current."""

UFUNCS = (
    *("abs", "absolute", "add", "bitwise_and", "bitwise_or", "bitwise_xor", "divide", "equal", "exp", "expm1"),
    *("floor", "floor_divide", "greater", "greater_equal", "invert", "isfinite", "isinf", "isnan", "left_shift"),
    *("less", "less_equal", "log", "log1p", "logical_and", "logical_not", "logical_or", "maximum", "minimum"),
    *("multiply", "negative", "not_equal", "power", "remainder", "right_shift", "sign", "sqrt", "square", "subtract"),
    *("tanh", "true_divide"),
)
FUNCTIONS = (
    *("bincount", "clip", "concatenate", "count_nonzero", "cumsum", "diag", "dot", "einsum", "empty_like"),
    *("flatnonzero", "ones_like", "searchsorted", "stack", "take", "unique", "zeros_like"),
)
"""Functions of NumPy that CuPy has under the same name, and that take and give device arrays here."""
CREATION = ("arange", "eye", "full", "ones", "zeros")
SCALARS = ("bool_", "float16", "float32", "float64", "int32", "int64", "uint8", "uint32")
CUDA = (
    *("Device", "Event", "Graph", "Stream", "alloc_pinned_memory", "get_allocator", "get_current_stream"),
    "get_elapsed_time",
    *("memory.OutOfMemoryError", "runtime.CUDARuntimeError", "runtime.driverGetVersion", "runtime.getDeviceCount"),
    *("runtime.getDeviceProperties", "runtime.memGetInfo", "runtime.runtimeGetVersion", "nvrtc.getVersion"),
)


def wrapped(array: np.ndarray) -> ndarray:
    """A device array in the memory of a host array; for tests."""
    return ndarray.of(array)


def peek(array: ndarray) -> np.ndarray:
    """The memory of a device array, without a copy that is counted; for tests."""
    held: np.ndarray = array._held
    return held


def moved(array: ndarray, device: int) -> ndarray:
    """The same numbers on another device; for tests."""
    return ndarray.of(array._held.copy(), fake_cupy_cuda.Block(array.nbytes, device))


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _plain(value: Any) -> Any:
    return type(value)(map(_plain, value)) if isinstance(value, list | tuple) else plain(value)


def _on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's, of device arrays alone."""

    def call(*arguments: Any, **options: Any) -> Any:
        refuse_strange(_flat((*arguments, *options.values())))
        result = function(*map(_plain, arguments), **{name: _plain(value) for name, value in options.items()})
        if result is None:
            return None
        return tuple(map(ndarray.of, result)) if isinstance(result, tuple) else ndarray.of(result)

    call.__name__ = function.__name__
    return call


def _ufunc(name: str) -> Callable[..., ndarray]:
    def call(*arrays: Any, **options: Any) -> ndarray:
        if len(arrays) > getattr(np, name).nin:
            *inputs, options["out"] = arrays
            return apply(np_name, *inputs, **options)
        return apply(np_name, *arrays, **options)

    np_name = getattr(np, name).__name__
    call.__name__ = name
    return call


for _name in UFUNCS:
    globals()[_name] = strict(f"cupy.{_name}", _ufunc(_name))
for _name in FUNCTIONS + CREATION:
    globals()[_name] = strict(f"cupy.{_name}", _on_device(getattr(np, _name)))
for _name in SCALARS:
    globals()[_name] = getattr(np, _name)
matmul = strict("cupy.matmul", _ufunc("matmul"))


def _asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> ndarray:
    if copy is not None:
        raise NotImplementedError("the stand-in copies where CuPy must")
    if isinstance(a, ndarray):
        if a.device.id != Device.current:
            a = ndarray.of(a._held.copy())
        return a if dtype is None else a.astype(dtype, copy=False)
    counts["copies to the device"] += 1
    order = order or ("F" if isinstance(a, np.ndarray) and a.flags.f_contiguous else "C")
    with np.errstate(all="ignore"):
        made = np.array(a, dtype=dtype, copy=True, order=order)
    refuse_dtype(made.dtype)
    return ndarray.of(made)


def _ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    a = _asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def _where(condition: Any, x: Any = None, y: Any = None) -> ndarray:
    """As CuPy's, which asks the condition for ``astype``: a truth value of Python has none."""
    condition = condition.astype(np.bool_)
    refuse_strange((condition, x, y))
    dtype = loop("maximum", (kind_of(x), kind_of(y)))[1]  # whose types it has, but for bfloat16
    dtype = np.dtype(np.float32) if dtype.name == "bfloat16" else dtype
    chosen = (np.asarray(plain(value)).astype(dtype, copy=False) for value in (x, y))
    return ndarray.of(np.where(plain(condition), *chosen))


def _empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def _fill_diagonal(a: ndarray, val: Any, wrap: bool = False) -> None:
    refuse_strange((a, val))
    np.fill_diagonal(a._held, plain(val), wrap)


class _Exported:
    """An array of another library as one that NumPy can view."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **_: Any) -> Any:
        return self._array.__dlpack__(stream=1)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def exported(array: Any) -> np.ndarray:
    """The memory of an array of any library that speaks DLPack, as a host array."""
    held = np.from_dlpack(_Exported(array))
    span = held.itemsize + sum((size - 1) * stride for size, stride in zip(held.shape, held.strides, strict=True))
    if held.flags.writeable or not held.size or min(held.strides, default=0) < 0:
        return held
    # An old capsule does not tell whether it may be written, and NumPy takes it for read-only.
    memory = (ctypes.c_char * span).from_address(held.ctypes.data)
    memory.kept = held
    return np.ndarray(held.shape, held.dtype, memory, strides=held.strides)


def _from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    kind, index = array.__dlpack_device__()
    if kind not in (2, 13):
        raise BufferError(f"device {kind} of DLPack is no CUDA device")
    held = exported(array)
    return ndarray.of(held, fake_cupy_cuda.Block(held.nbytes, index))


asarray = strict("cupy.asarray", _asarray)
ascontiguousarray = strict("cupy.ascontiguousarray", _ascontiguousarray)
where = strict("cupy.where", _where)
empty = strict("cupy.empty", _empty)
fill_diagonal = strict("cupy.fill_diagonal", _fill_diagonal)
from_dlpack = strict("cupy.from_dlpack", _from_dlpack)


_pool = fake_cupy_cuda.MemoryPool()


def _default_pool() -> Any:
    return _pool


def _default_pinned_pool() -> Any:
    return fake_cupy_cuda.PinnedMemoryPool()


def _current_stream(device_id: Any = -1) -> Any:
    return Stream._current[-1]


linalg = fake_cupy_linalg.linalg
get_default_memory_pool = strict("cupy.get_default_memory_pool", _default_pool)
get_default_pinned_memory_pool = strict("cupy.get_default_pinned_memory_pool", _default_pinned_pool)
cuda = types.SimpleNamespace(
    Device=Device,
    Event=fake_cupy_streams.Event,
    Graph=fake_cupy_streams.Graph,
    MemoryPool=fake_cupy_cuda.MemoryPool,
    PinnedMemoryPool=fake_cupy_cuda.PinnedMemoryPool,
    Stream=Stream,
    alloc_pinned_memory=strict("cupy.cuda.alloc_pinned_memory", fake_cupy_streams.alloc_pinned_memory),
    get_allocator=strict("cupy.cuda.get_allocator", lambda: _pool.malloc),
    get_current_stream=strict("cupy.cuda.get_current_stream", _current_stream),
    get_elapsed_time=strict("cupy.cuda.get_elapsed_time", lambda start_event, end_event: 0.0),
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    nvrtc=fake_cupy_cuda.nvrtc,
    runtime=fake_cupy_cuda.runtime,
)


def offered() -> list[str]:
    """Dotted names of all that the stand-in offers, to be recorded of CuPy and held against it."""
    own = (*UFUNCS, *FUNCTIONS, *CREATION, *SCALARS, "matmul", "asarray", "ascontiguousarray", "where", "empty")
    own += (
        "argsort",
        "sort",
        "fill_diagonal",
        "from_dlpack",
        "get_default_memory_pool",
        "get_default_pinned_memory_pool",
    )
    names = [f"cupy.{name}" for name in (*own, "ndarray", "RawModule", "RawKernel", "linalg.cholesky")]
    names += [f"cupy.cuda.{name}" for name in (*CUDA, "MemoryPool", "PinnedMemoryPool")]
    names += ["cupyx.errstate", "cupyx.scipy.linalg.solve_triangular", "cupy.RawKernel.__call__"]
    kinds = {"cupy.ndarray": ndarray, "cupy.RawModule": RawModule, "cupy.RawKernel": RawKernel}
    for kind in (Device, fake_cupy_cuda.MemoryPool, fake_cupy_cuda.PinnedMemoryPool):
        kinds[f"cupy.cuda.{kind.__name__}"] = kind
    for kind in (fake_cupy_streams.Event, fake_cupy_streams.Graph, Stream):
        kinds[f"cupy.cuda.{kind.__name__}"] = kind
    for room, kind in kinds.items():
        public = [name for name in vars(kind) if not name.startswith("_")]
        hidden = {"current", "of", "used", "kept"}  # of the stand-in itself
        names += [f"{room}.{name}" for name in public if name not in hidden]
    protocols = ("__dlpack__", "__dlpack_device__", "__cuda_array_interface__")
    names += [f"cupy.ndarray.{name}" for name in (*protocols, *REDUCTIONS, *METHODS)]
    return sorted(set(names))


class _Facade(types.ModuleType):
    """What the package sees: of this module nothing but what CuPy has."""

    def __getattr__(self, name: str) -> Any:
        if f"cupy.{name}" in _OFFERED or name in ("cuda", "linalg"):
            return getattr(sys.modules[__name__], name)
        raise AttributeError(f"the stand-in for CuPy has no {name}")


_OFFERED = frozenset(offered())


@contextlib.contextmanager
def installed(monkeypatch: Any) -> Iterator[types.ModuleType]:
    """This module as ``cupy``, and what the package wants of ``cupyx``."""
    facade = _Facade("cupy")
    facade.__version__, facade.__spec__ = __version__, __spec__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", facade)
    monkeypatch.setitem(sys.modules, "cupyx", fake_cupy_linalg.cupyx)
    monkeypatch.setitem(sys.modules, "cupyx.scipy", types.ModuleType("cupyx.scipy"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy.linalg", fake_cupy_linalg.triangular)
    counts.clear()
    faults.clear()
    fake_cupy_cuda.MemoryPool.kept.clear()
    yield sys.modules[__name__]
    assert not faults, faults
    assert Device.current == 0, "a device was left the current one"
