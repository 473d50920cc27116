"""Array namespace and device: the only module that imports CuPy.

``xp = array_namespace(X)`` is how the same hand-written code runs on NumPy and CuPy arrays. CuPy is imported only
when a CUDA array, an explicit ``device="cuda"`` or the decision of ``device="auto"`` asks for it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from scipy.sparse import issparse

from gpu_logreg.errors import DataError, DeviceError

__all__ = [
    "AUTO_CUDA_BYTES",
    "DLPACK_CUDA",
    "INSTALL",
    "ROOM",
    "Device",
    "array_namespace",
    "brought",
    "cholesky",
    "cuda_index",
    "cuda_problem",
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
    "resolve_device",
    "solve_triangular",
    "to_device",
    "to_numpy",
    "using",
]

P = ParamSpec("P")
T = TypeVar("T")

AUTO_CUDA_BYTES = 64 * 2**20
"""Fewest bytes of a host array that ``device="auto"`` sends to a GPU, 64 MiB. A guess: not measured on a GPU."""

ROOM = 1.05
"""Memory of a GPU that rows are assumed to need, as a multiple of their own bytes.

The rest is for partial sums, and for sizes that CuPy's pool rounds up. A guess: not measured on a GPU.
"""

DLPACK_CUDA = (2, 13)
"""Numbers by which DLPack's header knows the kinds of device kDLCUDA and kDLCUDAManaged."""

INSTALL = "install it with: pip install 'gpu-logreg[cuda12]' (or [cuda13])"
"""What to do without CuPy, or with one that does not work."""


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
    """Whether ``array`` is a sparse matrix or array of SciPy's; such rows are walked on the CPU."""
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
    """Where ``array`` lives; the CPU where that cannot be told, as of lists, the current GPU for tables of cuDF."""
    try:
        index = cuda_index(array)
    except Exception:  # a library that has no answer for such an array; what reads it says so
        index = None
    if index is None and hasattr(array, "to_cupy") and "cupy" in sys.modules:
        index = int(sys.modules["cupy"].cuda.Device().id)
    return Device("cpu") if index is None else Device("cuda", index)


def array_namespace(*arrays: Any) -> Any:
    """CuPy if the arrays are CuPy arrays, NumPy otherwise; imports nothing.

    Raises
    ------
    DataError
        If CuPy and NumPy arrays are mixed.
    """
    if len(arrays) == 1:
        only = arrays[0]
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
            f"install or update the NVIDIA driver{_hidden()}"
        )
    if index >= count:
        present = "no device" if count == 0 else f"only cuda:0 to cuda:{count - 1}" if count > 1 else "only cuda:0"
        return f"there is no device cuda:{index}; this machine has {present}"
    return None


def _hidden() -> str:
    """That the environment hides devices, where it does."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if visible is None else f", or unset CUDA_VISIBLE_DEVICES={visible!r}, which hides devices"


def resolve_device(device: str, X: Any = None) -> Device:
    """Turn the parameter ``device`` into a device.

    Parameters
    ----------
    device : "auto", "cpu", "cuda" or "cuda:N"
        ``"auto"`` and ``"cuda"`` follow ``X`` where it already lives on a GPU. Rows on the host go to cuda:0; with
        ``"auto"`` only if it is usable and they take at least `AUTO_CUDA_BYTES`. An explicit device is taken or
        refused: rows of one GPU are not sent to another.
    X : array, optional
        The rows.

    Raises
    ------
    DeviceError
        If an explicit device cannot be used; the message gives the reason and what to install.
    DataError
        If ``device`` is none of the forms above.
    """
    if device == "cpu":
        return Device("cpu")
    if device == "auto":
        return _automatic(X)
    match = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        raise DataError(f"device={device!r} is not known; use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    there = cuda_index(X)
    index = int(match[1]) if match[1] is not None else there or 0
    if is_sparse(X):
        raise DeviceError(
            f"device={device!r} cannot be used: X is sparse, and sparse rows are walked on the CPU; "
            "use device='cpu', or give X.toarray()"
        )
    problem = cuda_problem(index)
    if problem is not None:
        raise DeviceError(f"device={device!r} cannot be used: {problem}; or use device='cpu'")
    if there is not None and there != index:
        raise DeviceError(
            f"device={device!r} cannot be used: X is on cuda:{there}; use device='auto', which fits it there, or bring "
            f"X to cuda:{index} first"
        )
    return Device("cuda", index)


def _automatic(X: Any) -> Device:
    if is_sparse(X):
        return Device("cpu", reason="auto: X is sparse, and sparse rows are walked on the CPU")
    there = cuda_index(X)
    if there is not None:
        return Device("cuda", there, "auto: the rows are on this device")
    nbytes = int(getattr(X, "nbytes", 0))
    if X is not None and nbytes < AUTO_CUDA_BYTES:
        return Device("cpu", reason=f"auto: the rows are few ({nbytes / 2**20:.1f} MiB)")
    problem = cuda_problem()
    if problem is not None:
        return Device("cpu", reason=f"auto: {problem}")
    try:
        free = free_bytes(Device("cuda"))
    except Exception as error:  # somebody else may have it to himself
        return Device("cpu", reason=f"auto: cuda:0 cannot be used ({one_line(error)})")
    if free is not None and ROOM * nbytes > free:
        return Device(
            "cpu", reason=f"auto: the rows take {nbytes / 2**30:.1f} GiB, and cuda:0 has {free / 2**30:.1f} GiB free"
        )
    return Device("cuda", 0, "auto: a CUDA device is usable and the rows are many")


@contextlib.contextmanager
def using(device: Device) -> Iterator[None]:
    """Make ``device`` the current CUDA device within the block; nothing to do for the CPU."""
    if device.kind == "cpu":
        yield
        return
    with import_cupy().cuda.Device(device.index):
        yield


def numpy_defaults() -> Any:
    """NumPy's own reactions to floating-point errors within a `with` block, whatever the caller has set."""
    return np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")


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


def brought(array: Any, device: Device) -> Any:
    """Labels or weights for rows on ``device``: a CuPy array of another device is copied there, others are returned."""
    return to_device(array, device) if is_cupy(array) else array


def default_pool() -> Any:
    """CuPy's pool, if arrays are made in it; None where the user has another allocator, such as RMM's."""
    cupy = import_cupy()
    pool = cupy.get_default_memory_pool()
    return pool if getattr(cupy.cuda.get_allocator(), "__self__", None) is pool else None


def free_bytes(device: Device) -> int | None:
    """Bytes of a GPU that can be allocated, what CuPy keeps for reuse included; None where nobody can tell.

    Nobody can where the user has another allocator than CuPy's: it may hold what the driver calls taken.
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


def cholesky(R: Any) -> Any:
    """Lower Cholesky factor of a matrix on a GPU, where the result stays.

    By default CuPy does not check whether cuSOLVER found a factor, and returns what was computed up to the failure.
    Within `cupyx.errstate` it checks, for which the host waits for the device.

    Parameters
    ----------
    R : CuPy array of shape (p, p)

    Raises
    ------
    numpy.linalg.LinAlgError
        If ``R`` is not positive definite.
    """
    from cupyx import errstate

    with errstate(linalg="raise"):
        return import_cupy().linalg.cholesky(R)


def solve_triangular(L: Any, v: Any, *, transposed: bool) -> Any:
    """``L^-1 v``, or ``L^-T v``, for a lower triangular ``L`` on a GPU, where the result stays.

    Parameters
    ----------
    L : CuPy array of shape (p, p)
    v : CuPy array of shape (p,)
    transposed : bool
    """
    from cupyx.scipy.linalg import solve_triangular as solve

    return solve(L, v, lower=True, trans=int(transposed))


def one_line(error: BaseException) -> str:
    """An exception for a message: its type and the first line of what it says."""
    return f"{type(error).__name__}: {error}".split("\n", 1)[0].strip().rstrip(":")
