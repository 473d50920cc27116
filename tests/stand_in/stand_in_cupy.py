"""A stand-in for CuPy with as many devices as a test wants: what the choice of a device sees of it, no arithmetic."""

from __future__ import annotations

import contextlib
import importlib.machinery
import types

import numpy as np


class StandInArray:
    """What the backend sees of a CuPy array: its module, shape and device."""

    def __init__(self, values, index: int = 0) -> None:
        self.values = np.asarray(values)
        self.device = types.SimpleNamespace(id=index)

    @property
    def shape(self):
        return self.values.shape

    @property
    def nbytes(self):
        return self.values.nbytes

    def get(self):
        return self.values.copy()


StandInArray.__module__ = "cupy"


class _Pool:
    def malloc(self, size: int) -> None:
        raise NotImplementedError

    def free_bytes(self) -> int:
        return 0

    get_limit = used_bytes = total_bytes = free_bytes


def stand_in(count) -> types.ModuleType:
    """A CuPy that finds ``count`` devices, or raises ``count`` when it looks for them."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.__version__ = "14.0.0"
    cupy.entered = []

    def get_device_count() -> int:
        if isinstance(count, Exception):
            raise count
        return count

    @contextlib.contextmanager
    def enter(index: int):
        cupy.entered.append(index)
        yield

    runtime = types.SimpleNamespace(getDeviceCount=get_device_count, memGetInfo=lambda: (2**33, 2**34))
    cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=enter)
    pool = _Pool()
    cupy.get_default_memory_pool = lambda: pool
    cupy.cuda.get_allocator = lambda: pool.malloc
    cupy.asarray = lambda array: StandInArray(array, cupy.entered[-1])
    cupy.from_dlpack = lambda array: StandInArray(array.held, array.index)
    return cupy
