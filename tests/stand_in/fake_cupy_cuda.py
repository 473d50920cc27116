"""What `fake_cupy` has for ``cupy.cuda`` beside the streams: devices, memory, kernels, the runtime."""

from __future__ import annotations

import collections
import threading
import types
import weakref
from typing import Any, ClassVar

import numpy as np
from cupy_signatures import check_call, strict, strict_methods
from fake_cupy_streams import CUDARuntimeError, Stream, counts, settings, streams_of_all
from kernel_host import MOST_SHARED_BYTES, HostKernel, HostModule

_PAGE = 512
_MOST_THREADS = 1024

_here = threading.local()
_lock = threading.RLock()  # of the bytes of pools, which threads count together


class _Current(type):
    """The current device is every thread's own."""

    @property
    def current(cls) -> int:
        return int(getattr(_here, "device", 0))

    @current.setter
    def current(cls, index: int) -> None:
        _here.device = index


class Device(metaclass=_Current):
    """A device; within a ``with`` block the current one."""

    def __init__(self, device: Any = None) -> None:
        self.id = Device.current if device is None else int(device)
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(Device.current)
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        Device.current = self._before.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None  # type: ignore[assignment]

    def use(self) -> None:
        if not 0 <= self.id < settings().device_count:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        Device.current = self.id

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": 4, "MaxSharedMemoryPerBlockOptin": MOST_SHARED_BYTES}

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def mem_info(self) -> tuple[int, int]:
        return memory_info()

    def synchronize(self) -> None:
        counts["waits"] += 1
        for stream in list(streams_of_all):
            stream._run(len(stream._work))
        Stream.null._finish()


class Block:
    """Memory of a device, and the moment of the null stream in which the pool handed it out."""

    def __init__(self, nbytes: int, device: int | None = None) -> None:
        self.device = Device.current if device is None else device
        Stream.null._issued += 1
        self.taken = Stream.null._issued
        size = -(-nbytes // _PAGE) * _PAGE
        MemoryPool._taken(self.device, size)
        weakref.finalize(self, MemoryPool._given_back, self.device, size, MemoryPool._era).atexit = False


class MemoryPool:
    """Bytes in use, and bytes that were given back and kept for reuse; of the current device."""

    used: ClassVar[collections.Counter[int]] = collections.Counter()
    kept: ClassVar[collections.Counter[int]] = collections.Counter()
    _era: ClassVar[int] = 0

    @classmethod
    def _begin_anew(cls) -> None:
        """Count from nothing: what is still in use, as by the variables of tests before, is not counted any more."""
        with _lock:
            cls._era += 1
            cls.used.clear()
            cls.kept.clear()

    def __init__(self, allocator: Any = None) -> None:
        pass

    @classmethod
    def _taken(cls, device: int, size: int) -> None:
        """Out of what is kept, as far as that goes; the rest is the driver's."""
        with _lock:
            cls.used[device] += size
            cls.kept[device] -= min(size, cls.kept[device])

    @classmethod
    def _given_back(cls, device: int, size: int, era: int) -> None:
        if era != cls._era:
            return
        with _lock:
            cls.used[device] -= size
            cls.kept[device] += size

    def malloc(self, size: int) -> Any:
        raise NotImplementedError("arrays of the stand-in take their memory by themselves")

    def get_limit(self) -> int:
        return 0

    def used_bytes(self) -> int:
        return self.used[Device.current]

    def free_bytes(self) -> int:
        return min(self.kept[Device.current], settings().memory_free)

    def total_bytes(self) -> int:
        return self.used_bytes() + self.free_bytes()

    def free_all_blocks(self, stream: Any = None) -> None:
        counts["frees"] += 1
        self.kept[Device.current] = 0


class PinnedMemoryPool:
    def __init__(self, allocator: Any = None) -> None:
        pass

    def free_all_blocks(self) -> None:
        counts["frees of page-locked memory"] += 1


def memory_info() -> tuple[int, int]:
    free = settings().memory_free
    return max(0, free - MemoryPool.kept[Device.current]), 2**33


class RawModule:
    def __init__(self, code: Any = None, *, options: tuple[str, ...] = (), **others: Any) -> None:
        if not isinstance(code, str) or type(options) is not tuple or others:
            raise TypeError("the stand-in compiles text, with a tuple of options")
        self._module = HostModule(code, options)

    def get_function(self, name: str) -> RawKernel:
        return RawKernel._of(self._module.get_function(name))


class RawKernel:
    _kernel: HostKernel

    @classmethod
    def _of(cls, kernel: HostKernel) -> RawKernel:
        made = cls.__new__(cls)
        object.__setattr__(made, "_kernel", kernel)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "max_dynamic_shared_size_bytes":
            raise AttributeError(name)
        setattr(self._kernel, name, value)

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._kernel.max_dynamic_shared_size_bytes

    def __call__(self, *given: Any, **options: Any) -> None:
        check_call("cupy.RawKernel.__call__", given, options)
        named = dict(zip(("grid", "block", "args"), given, strict=False)) | options
        grid, block = named["grid"], named["block"]
        for sizes in (grid, block):
            if type(sizes) is not tuple:
                raise TypeError(f"the sizes of a launch are a tuple, not {type(sizes).__name__}")
        if min(grid) < 1 or min(block) < 1 or block[0] > _MOST_THREADS:
            raise CUDARuntimeError(f"CUDA_ERROR_INVALID_VALUE: a launch of {grid} blocks of {block} threads")
        plain = [_argument(argument) for argument in named["args"]]
        shared, kernel, seed = named.get("shared_mem", 0), self._kernel, settings().schedule_seed

        def launch() -> None:
            counts["launches"] += 1
            kernel(grid, block, plain, shared_mem=shared, seed=seed)

        captured = Stream._current[-1]._captured
        if captured is None:
            launch()
        else:
            captured.append(launch)


def _argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: a kernel was given a host array")
    if not hasattr(value, "_held"):
        return value
    if value._block.device != Device.current:
        raise CUDARuntimeError(f"cudaErrorIllegalAddress: an array of device {value._block.device} in a kernel")
    return value._held


for _room, _kinds in {"cupy.cuda": (Device, MemoryPool, PinnedMemoryPool), "cupy": (RawModule,)}.items():
    for _kind in _kinds:
        strict_methods(f"{_room}.{_kind.__name__}", _kind)
        _kind.__module__ = "cupy.cuda"
RawKernel.__module__ = "cupy.cuda"

_PROPERTIES = {"name": b"stand-in", "multiProcessorCount": 4, "major": 9, "minor": 0, "totalGlobalMem": 2**33}
_RUNTIME = {
    "driverGetVersion": lambda: 13000,
    "getDeviceCount": lambda: settings().device_count,
    "getDeviceProperties": lambda device: _PROPERTIES,
    "memGetInfo": memory_info,
    "runtimeGetVersion": lambda: 13000,
}
runtime = types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError)
for _name, _function in _RUNTIME.items():
    setattr(runtime, _name, strict(f"cupy.cuda.runtime.{_name}", _function))
nvrtc = types.SimpleNamespace(getVersion=strict("cupy.cuda.nvrtc.getVersion", lambda: (13, 0)))
