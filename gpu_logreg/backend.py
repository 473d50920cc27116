"""Array namespace and device: the only module that imports CuPy.

``xp = array_namespace(X)`` is how the same hand-written code runs on NumPy and CuPy arrays. CuPy is imported only
when a CUDA array, an explicit ``device="cuda"`` or the decision of ``device="auto"`` asks for it.
"""

from __future__ import annotations

import contextlib
import importlib.util
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
    "ROOM",
    "Device",
    "array_namespace",
    "cholesky",
    "cuda_problem",
    "free_bytes",
    "import_cupy",
    "is_cuda_array",
    "is_cupy",
    "is_sparse",
    "numpy_defaults",
    "one_line",
    "one_line_errors",
    "resolve_device",
    "solve_triangular",
    "to_device",
    "to_numpy",
    "using",
]

P = ParamSpec("P")
T = TypeVar("T")

AUTO_CUDA_BYTES = 64 * 2**20
"""Smallest host array, in bytes, that ``device="auto"`` sends to a GPU. A guess: not measured on a GPU."""

ROOM = 1.05
"""Memory of a GPU that rows are counted to take, over their own: partial sums, and what CuPy's pool rounds up."""

DLPACK_CUDA = (2, 13)
"""Kinds of device that DLPack calls kDLCUDA and kDLCUDAManaged."""

_INSTALL = "install it with: pip install 'gpu-logreg[cuda12]' (or [cuda13])"


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


def array_namespace(*arrays: Any) -> Any:
    """CuPy if the arrays are CuPy arrays, NumPy otherwise; imports nothing.

    Raises
    ------
    DataError
        If CuPy and NumPy arrays are mixed.
    """
    on_cuda = {is_cupy(array) for array in arrays if hasattr(array, "shape")}
    if len(on_cuda) > 1:
        raise DataError("NumPy and CuPy arrays are mixed; bring them to one device first")
    return sys.modules["cupy"] if True in on_cuda else np


def import_cupy() -> Any:
    """CuPy, or a `DeviceError` that says why it cannot be imported and what to install."""
    if importlib.util.find_spec("cupy") is None:
        raise DeviceError(f"CuPy is not installed; {_INSTALL}")
    try:
        import cupy
    except Exception as error:  # a broken toolkit raises more than ImportError
        raise DeviceError(f"CuPy is installed but cannot be imported ({one_line(error)}); {_INSTALL}") from error
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
            "install or update the NVIDIA driver"
        )
    if index >= count:
        present = "no device" if count == 0 else f"only cuda:0 to cuda:{count - 1}" if count > 1 else "only cuda:0"
        return f"there is no device cuda:{index}; this machine has {present}"
    return None


def resolve_device(device: str, X: Any = None) -> Device:
    """Turn the parameter ``device`` into a device.

    Parameters
    ----------
    device : "auto", "cpu", "cuda" or "cuda:N"
        ``"auto"`` follows ``X`` where it already lives on a GPU; rows on the host go to a usable GPU when they take
        at least `AUTO_CUDA_BYTES`, and stay on the CPU otherwise. An explicit device is taken or refused.
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
    index = int(match[1] or 0)
    if match[1] is None and is_cupy(X):
        index = int(X.device.id)
    if is_sparse(X):
        raise DeviceError(
            f"device={device!r} cannot be used: X is sparse, and sparse rows are walked on the CPU; "
            "use device='cpu', or give X.toarray()"
        )
    problem = cuda_problem(index)
    if problem is not None:
        raise DeviceError(f"device={device!r} cannot be used: {problem}; or use device='cpu'")
    return Device("cuda", index)


def _automatic(X: Any) -> Device:
    if is_sparse(X):
        return Device("cpu", reason="auto: X is sparse, and sparse rows are walked on the CPU")
    if is_cupy(X):
        return Device("cuda", int(X.device.id), "auto: the rows are on this device")
    if is_cuda_array(X):
        return Device("cuda", int(X.__dlpack_device__()[1]), "auto: the rows are on this device")
    nbytes = int(getattr(X, "nbytes", 0))
    if X is not None and nbytes < AUTO_CUDA_BYTES:
        return Device("cpu", reason=f"auto: the rows are few ({nbytes / 2**20:.1f} MiB)")
    problem = cuda_problem()
    if problem is not None:
        return Device("cpu", reason=f"auto: {problem}")
    free = free_bytes(Device("cuda"))
    if ROOM * nbytes > free:
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
    with using(device):
        return cupy.asarray(array)


def free_bytes(device: Device) -> int:
    """Bytes of a GPU that can be allocated, what CuPy keeps for reuse included."""
    cupy = import_cupy()
    with using(device):
        free, _ = cupy.cuda.runtime.memGetInfo()
        return int(free) + int(cupy.get_default_memory_pool().free_bytes())


@contextlib.contextmanager
def one_line_errors(device: Device) -> Iterator[None]:
    """Raise errors of CuPy and of the GPU within the block as a `DeviceError` of one line, with a remedy."""
    try:
        yield
    except Exception as error:
        problem = _problem_of(error, device)
        if problem is None:
            raise
        raise DeviceError(problem) from error


def _problem_of(error: Exception, device: Device) -> str | None:
    if device.kind == "cpu" or not any(kind.__module__.startswith("cupy") for kind in type(error).__mro__):
        return None
    kind, said = type(error).__name__, one_line(error)
    if kind == "OutOfMemoryError":
        with contextlib.suppress(Exception):
            import_cupy().get_default_memory_pool().free_all_blocks()
        return f"{device.name} ran out of memory ({said}); use storage='float16', fewer rows, or device='cpu'"
    if kind in ("CompileException", "DynamicLibNotFoundError"):
        return f"the kernels cannot be compiled ({said}); {_INSTALL}"
    return f"{device.name} failed ({said}); if it is lost, start a new process, or use device='cpu'"


def to_numpy(array: Any) -> Any:
    """Copy a CuPy array to the host; return anything else as a NumPy array, without a copy where possible."""
    return array.get() if is_cupy(array) else np.asarray(array)


def cholesky(R: Any) -> Any:
    """Lower Cholesky factor of a matrix on a GPU, where the result stays.

    Of its own accord CuPy does not look whether cuSOLVER found a factor, and leaves in its place whatever was computed
    up to there. Within `cupyx.errstate` it looks, which waits for the device.

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
