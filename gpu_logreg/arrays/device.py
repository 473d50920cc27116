"""Array namespaces and devices: the only module that imports CuPy.

With ``xp = array_namespace(X)`` the same code runs on NumPy and on CuPy arrays. CuPy is imported where the user gives a
CUDA array or ``device="cuda"``, and where ``device="auto"`` is to be decided for rows large enough.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from scipy.sparse import issparse

from gpu_logreg.arrays.vector import ArrayNamespace
from gpu_logreg.errors import DataError, DeviceError

__all__ = [
    "DLPACK_CUDA",
    "INSTALL",
    "ROOM",
    "Device",
    "array_namespace",
    "cuda_index",
    "cuda_problem",
    "cupy_to_device",
    "default_pool",
    "device_of",
    "free_bytes",
    "import_cupy",
    "in_host_memory",
    "is_cuda_array",
    "is_cupy",
    "is_sparse",
    "numpy_defaults",
    "one_line",
    "to_device",
    "to_numpy",
    "using",
]

P = ParamSpec("P")
T = TypeVar("T")

ROOM = 1.05
"""Bytes of a GPU that a fit is assumed to need, as a multiple of the bytes of its rows.

The excess over 1 is for partial sums and for allocations that CuPy's pool rounds up. A guess: not measured on a GPU.
"""

DLPACK_CUDA = (2, 13)
"""The values of ``kDLCUDA`` and ``kDLCUDAManaged`` in DLPack's enumeration of devices."""

INSTALL = "install it with: pip install 'gpu-logreg[cuda12]' (or [cuda13])"
"""The remedy in messages where CuPy is missing, or does not work."""


@dataclass(frozen=True)
class Device:
    """Where the rows of a fit live, and why.

    Attributes
    ----------
    kind : "cpu" or "cuda"
    index : int
        Number of the CUDA device; 0 for the CPU.
    reason : str
        How the choice came about, for logs and the fitted attribute ``device_reason_``.
    """

    kind: Literal["cpu", "cuda"]
    index: int = 0
    reason: str = "asked for"

    @property
    def name(self) -> str:
        """``"cpu"`` or ``"cuda:N"``."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


def is_cupy(array: Any) -> bool:
    """Whether ``array`` is one of CuPy's; imports nothing."""
    return type(array).__module__.split(".", 1)[0] == "cupy"


def in_host_memory(array: Any) -> bool:
    """Whether ``array`` lies where NumPy reads it: anything but an array of CuPy's."""
    return not is_cupy(array)


def is_sparse(array: Any) -> bool:
    """Whether ``array`` is a sparse matrix or array of SciPy's; such rows are walked on the CPU.

    Examples
    --------
    >>> is_sparse(np.eye(3))
    False
    """
    return bool(issparse(array))


def is_cuda_array(array: Any) -> bool:
    """Whether ``array`` lives on a CUDA device (CuPy, or any library that speaks DLPack)."""
    if is_cupy(array):
        return True
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack_device__"):
        return False
    return int(array.__dlpack_device__()[0]) in DLPACK_CUDA


def cuda_index(array: Any) -> int | None:
    """Number of the CUDA device that ``array`` lives on, of any library; None where it does not."""
    if is_cupy(array):
        return int(array.device.id)
    return int(array.__dlpack_device__()[1]) if is_cuda_array(array) else None


def device_of(array: Any) -> Device:
    """Where ``array`` lives: the CPU for lists and what has no device, the current GPU for tables of cuDF."""
    try:
        index = cuda_index(array)
    except Exception:  # the library has no device for such an array; reading it will raise with the reason
        index = None
    if index is None and hasattr(array, "to_cupy") and "cupy" in sys.modules:
        index = int(sys.modules["cupy"].cuda.Device().id)
    return Device("cpu") if index is None else Device("cuda", index)


def array_namespace(*arrays: Any) -> ArrayNamespace:
    """CuPy if the arrays are CuPy arrays, NumPy otherwise; imports nothing.

    Parameters
    ----------
    array, *others : arrays, or objects without a shape
        Objects without a shape are of no library, and agree with any.

    Raises
    ------
    DataError
        If CuPy and NumPy arrays are mixed.

    Examples
    --------
    >>> array_namespace(np.zeros(2)).__name__
    'numpy'
    """
    if len(arrays) == 1:
        only = arrays[0]
        if type(only) is np.ndarray:  # nearly always, and asked for hundreds of times in a fit of few rows
            return np
        return sys.modules["cupy"] if type(only).__module__.startswith("cupy") and is_cupy(only) else np
    on_cuda = {is_cupy(array) for array in arrays if hasattr(array, "shape")}
    if len(on_cuda) > 1:
        raise DataError("NumPy and CuPy arrays are mixed; bring them to one device first")
    return sys.modules["cupy"] if True in on_cuda else np


def import_cupy() -> Any:
    """CuPy, or a `DeviceError` that says why it cannot be imported and what to install."""
    if importlib.util.find_spec("cupy") is None:
        raise DeviceError(f"CuPy is not installed; {INSTALL}")
    try:
        import cupy
    except Exception as error:  # a broken toolkit raises more than ImportError
        raise DeviceError(f"CuPy is installed but cannot be imported ({one_line(error)}); {INSTALL}") from error
    return cupy


def cuda_problem(index: int = 0) -> str | None:
    """Why CUDA device ``index`` cannot be used, with the remedy; None if it can."""
    try:
        cupy = import_cupy()
    except DeviceError as error:
        return str(error)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return (
            f"CuPy {cupy.__version__} is installed but finds no usable CUDA driver ({one_line(error)}); "
            f"install or update the NVIDIA driver{_visibility_remedy()}"
        )
    if index >= count:
        present = "no device" if count == 0 else f"only cuda:0 to cuda:{count - 1}" if count > 1 else "only cuda:0"
        return f"there is no device cuda:{index}; this machine has {present}"
    return None


def _visibility_remedy() -> str:
    """The part of a message that names ``CUDA_VISIBLE_DEVICES``, which may hide devices; empty where it is unset."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if visible is None else f", or unset CUDA_VISIBLE_DEVICES={visible!r}, which hides devices"


@contextlib.contextmanager
def using(device: Device) -> Iterator[None]:
    """Make ``device`` the current CUDA device within the block; nothing to do for the CPU."""
    if device.kind == "cpu":
        yield
        return
    with import_cupy().cuda.Device(device.index):
        yield


def numpy_defaults() -> Any:
    """Reactions to floating-point errors within a `with` block, whatever the caller has set.

    NumPy's own, but for ``invalid``: some kernels of BLAS raise that flag of finite products, as they compute more
    numbers than they keep. A warning of it would tell nothing, and what is not finite is found in the sums themselves.
    """
    return np.errstate(divide="warn", over="warn", under="ignore", invalid="ignore")


def to_device(array: Any, device: Device) -> Any:
    """NumPy array for the CPU, CuPy array for a GPU; ``array`` itself where it already lives there, or is sparse."""
    if array is None or is_sparse(array):
        return array
    if device.kind == "cpu":
        return to_numpy(array)
    cupy = import_cupy()
    if is_cupy(array) and int(array.device.id) != device.index:
        with array.device:
            array = cupy.ascontiguousarray(array)  # CuPy copies no other from one device to another
            array.device.synchronize()
    with using(device):
        return cupy.asarray(array)


def cupy_to_device(array: Any, device: Device) -> Any:
    """Labels or weights for rows on ``device``: a CuPy array that is elsewhere is copied there.

    Anything else is returned as it is: lists and arrays of the host are checked before they go to a GPU.
    """
    return to_device(array, device) if is_cupy(array) else array


def default_pool() -> Any:
    """CuPy's memory pool, if CuPy allocates from it; None where the user has set another allocator, such as RMM's."""
    cupy = import_cupy()
    pool = cupy.get_default_memory_pool()
    return pool if getattr(cupy.cuda.get_allocator(), "__self__", None) is pool else None


def free_bytes(device: Device) -> int | None:
    """Bytes of a GPU that can be allocated, with the unused memory of CuPy's pool; None where they cannot be known.

    They cannot where the user has set another allocator than CuPy's: it may hold free memory that the driver counts as
    used.
    """
    cupy = import_cupy()
    with using(device):
        pool = default_pool()
        if pool is None:
            return None
        free = int(cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
        limit = int(pool.get_limit())
        return min(free, limit - int(pool.used_bytes())) if limit else free


def to_numpy(array: Any) -> Any:
    """Copy a CuPy array to the host; return anything else as a NumPy array, without a copy where possible."""
    if type(array) is np.ndarray:
        return array
    return array.get() if is_cupy(array) else np.asarray(array)


def one_line(error: BaseException) -> str:
    """An exception for a message: its type and the first line of what it says."""
    return f"{type(error).__name__}: {error}".split("\n", 1)[0].strip().rstrip(":")
