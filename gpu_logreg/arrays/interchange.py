"""Arrays of other libraries: viewed as NumPy or CuPy arrays, and results converted to the library of the input."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import (
    DLPACK_CUDA,
    Device,
    import_cupy,
    is_cuda_array,
    is_cupy,
    one_line,
    to_device,
)
from gpu_logreg.arrays.vector import Array
from gpu_logreg.errors import DataError, GpuLogregError, MissingDependencyError

__all__ = ["as_array", "is_array", "is_bfloat16", "like"]

_DLPACK_HOST = (1, 3)  # kDLCPU, kDLCUDAHost


def is_bfloat16(array: Any) -> bool:
    """Whether an array of any library holds bfloat16, which NumPy knows through the package ml_dtypes only."""
    return str(getattr(array, "dtype", "")).rsplit(".", 1)[-1] == "bfloat16"


def is_array(given: Any) -> bool:
    """Whether an object is an array by what it offers: a number of dimensions, and its elements by DLPack or NumPy.

    xarray's DataArray is one, although it offers Arrow's protocol too, as a long table of its coordinates. An object
    with columns is a table. Columns of pandas and polars are no arrays here: scikit-learn converts them.
    """
    if isinstance(given, np.ndarray) or is_cupy(given):
        return True
    if given is None:
        return False
    kind = type(given)
    if any(base.__module__.split(".", 1)[0] in ("pandas", "polars") for base in kind.__mro__):
        return False
    if hasattr(kind, "columns") or "columns" in getattr(given, "__dict__", ()):
        return False
    readable = hasattr(given, "__dlpack_device__") or hasattr(given, "__array__")
    return readable and isinstance(getattr(given, "ndim", None), int)


def as_array(array: Any, name: str = "the array") -> Any:
    """``array`` as a NumPy or CuPy array, without a copy where its library offers DLPack or NumPy's protocol.

    Lists and tables are returned as they are.

    Parameters
    ----------
    array : object
    name : str
        For messages.

    Raises
    ------
    DataError
        If the array is not dense, of a dtype that DLPack or NumPy does not know, or on a device that is no CUDA device.

    Examples
    --------
    >>> as_array(np.arange(3)), as_array([1, 2])
    (array([0, 1, 2]), [1, 2])
    """
    if isinstance(array, np.ndarray) or is_cupy(array):
        return array
    by_dlpack = hasattr(array, "__dlpack_device__")
    if not by_dlpack and not is_array(array):
        return array
    try:
        return _view(array) if by_dlpack else np.asarray(array)
    except GpuLogregError:
        raise
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        held = getattr(array, "dtype", "unknown dtype")
        raise DataError(
            f"{name} is an array of {held} that cannot be read ({one_line(error)}); "
            "convert it to a dense array of float32, on the CPU or a CUDA device"
        ) from error


def _view(array: Any) -> Any:
    kind = int(array.__dlpack_device__()[0])
    if kind not in (*_DLPACK_HOST, *DLPACK_CUDA):
        raise DataError(f"an array on DLPack device {kind} cannot be read; bring it to the CPU or to a CUDA device")
    if getattr(array, "requires_grad", False):  # PyTorch refuses to export a tensor that requires a gradient
        array = array.detach()
    if hasattr(array, "is_neg") and array.is_neg():  # PyTorch exports a lazily negated tensor without its sign
        array = array.resolve_neg()
    if is_bfloat16(array):
        return _view_bfloat16(array, kind in _DLPACK_HOST)
    return np.from_dlpack(array) if kind in _DLPACK_HOST else import_cupy().from_dlpack(array)


def _view_bfloat16(array: Any, on_host: bool) -> Any:
    """A view of a bfloat16 array, which NumPy's DLPack does not know: its bits cross as int16."""
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise MissingDependencyError(
            "bfloat16 arrays are read with the package ml_dtypes; install it with: pip install ml_dtypes, "
            "or convert them to float32"
        ) from None
    if on_host and hasattr(array, "__array_namespace__"):  # JAX, where a view as int16 would be a copy
        return np.asarray(array)
    library: Any = sys.modules.get(type(array).__module__.split(".", 1)[0])
    bits = array.view(getattr(library, "int16", np.int16))
    return (np.from_dlpack(bits) if on_host else import_cupy().from_dlpack(bits)).view(bfloat16)


def like(result: Array, template: Any) -> Any:
    """``result`` as an array of the library and on the device of ``template``.

    A result of a dtype that only NumPy has (strings) stays a NumPy array. For tables on the host the result is a NumPy
    array, for tables of cuDF a CuPy array.

    Examples
    --------
    >>> like(np.arange(2), [[1.0], [2.0]])
    array([0, 1])
    """
    if isinstance(template, np.ndarray) or result.dtype.kind not in "biuf":
        return result
    if hasattr(template, "to_cupy"):
        return import_cupy().asarray(result)
    if not hasattr(template, "__dlpack_device__"):
        return result
    if is_cupy(template):
        with template.device:
            return sys.modules["cupy"].asarray(result)
    library = sys.modules.get(type(template).__module__.split(".", 1)[0])
    namespace: Any = getattr(template, "__array_namespace__", lambda: library)()
    if not hasattr(namespace, "from_dlpack"):
        return result
    if is_cuda_array(template):
        result = to_device(result, Device("cuda", int(template.__dlpack_device__()[1])))
    return namespace.from_dlpack(result)
