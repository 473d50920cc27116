"""The array of `fake_cupy`: it holds a host array, and has what CuPy's arrays have and nothing that they lack."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from cupy_signatures import check_call, parameters, said, strict_methods
from fake_cupy_cuda import Block, Device
from fake_cupy_streams import Stream, counts, waited
from fake_cupy_ufuncs import computed, plain, refuse_strange, write

REDUCTIONS = ("sum", "prod", "mean", "min", "max", "all", "any", "argmax", "argmin")
METHODS = ("diagonal", "ravel", "repeat", "reshape", "squeeze", "swapaxes", "take", "transpose")
"""NumPy's methods that CuPy has under the same name."""
UNSUPPORTED = "OSUMmV"
"""Kinds of types that no device has; bfloat16, of kind V, is known by its name."""


def refuse_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind in UNSUPPORTED and dtype.name != "bfloat16":
        raise ValueError(f"Unsupported dtype {dtype}")


def bound(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by CuPy's names, whose order is not everywhere NumPy's."""
    check_call(name, arguments, options)
    return dict(parameters(said(name)).bind(*arguments, **options).arguments)


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801
    """Numbers on a device."""

    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"):
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in allocates memory of its own")
        held = np.empty(shape, dtype, order)
        refuse_dtype(held.dtype)
        if held.size:
            held.reshape(-1, order="A").view(np.uint8)[:] = 0xFF  # what is not written stays NaN
        self._held, self._block = held, Block(held.nbytes)

    @classmethod
    def of(cls, held: Any, block: Block | None = None) -> ndarray:
        """A device array that holds a host array, which is not copied; in new memory, or in a block that is there."""
        made = cls.__new__(cls)
        made._held = np.asarray(held)
        made._block = Block(made._held.nbytes) if block is None else block
        return made

    def _part(self, held: np.ndarray) -> ndarray:
        """A view where the memory is that of this array, else a new array."""
        return ndarray.of(held, self._block if np.may_share_memory(held, self._held) else None)

    dtype = property(lambda self: self._held.dtype)
    shape = property(lambda self: self._held.shape)
    strides = property(lambda self: self._held.strides)
    ndim = property(lambda self: self._held.ndim)
    size = property(lambda self: self._held.size)
    itemsize = property(lambda self: self._held.itemsize)
    nbytes = property(lambda self: self._held.nbytes)
    device = property(lambda self: Device(self._block.device))
    data = property(lambda self: types.SimpleNamespace(ptr=self._held.ctypes.data, device_id=self._block.device))

    @property
    def T(self) -> ndarray:  # noqa: N802
        return self._part(self._held.T)

    @property
    def flags(self) -> Any:
        return Flags(self._held)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        pointer = self._held.ctypes.data if self.size else 0
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (pointer, False), "version": 3, "stream": 1}

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        return self._held.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._block.device

    # ---- between host and device

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        if out is not None or stream is not None:
            raise NotImplementedError("the stand-in waits for what it copies")
        counts["copies to the host"] += 1
        waited()
        return np.array(self._held, order=order)

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        counts["copies to the device"] += 1
        arr = np.asarray(arr, order="C" if self.flags.c_contiguous else "F")
        (Stream._current[-1] if stream is None else stream)._send(self._block, self._held, arr)

    def _scalar(self) -> Any:
        if self.ndim:
            raise AssertionError("a device array was read one element at a time, which waits for the device")
        counts["scalars read"] += 1
        waited()
        return self._held[()]

    def __bool__(self) -> bool:
        return bool(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        counts["scalars read"] += 1
        waited()
        return self._held.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Any:
        raise AssertionError("a device array was read one element at a time, which waits for the device")

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, specification: str) -> str:
        return format(self.get(), specification)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    # ---- arithmetic

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        out = options.pop("out", None)
        (out,) = out if isinstance(out, tuple) else (out,)
        return apply(ufunc.__name__, *inputs, out=out, **options)

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on a CuPy array")

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        dtype = np.dtype(dtype)
        refuse_dtype(dtype)
        if not copy and dtype == self.dtype:
            return self
        refuse_strange((self,))
        with np.errstate(all="ignore"):
            return ndarray.of(self._held.astype(dtype, order, copy=True))

    def copy(self, order: str = "C") -> ndarray:
        return ndarray.of(self._held.copy(order))

    def fill(self, value: Any) -> None:
        self[...] = value

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        if type is not None or (inspect.isclass(dtype) and issubclass(dtype, np.ndarray | ndarray)):
            raise TypeError(f"Cannot interpret {dtype} as a data type")
        held = self._held if dtype is None else self._held.view(dtype)
        return ndarray.of(held.view(), self._block)

    # ---- elements

    def __getitem__(self, key: Any) -> ndarray:
        parts = key if isinstance(key, tuple) else (key,)
        refuse_strange(parts)
        for part in parts:
            if hasattr(part, "_held") and part.dtype.kind not in "iub":
                raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {part.dtype})")
            if hasattr(part, "_held") and part.dtype.kind == "b":
                counts["waits"] += 1  # for the number of those that are true
        if any(hasattr(part, "_held") for part in parts):
            refuse_strange((self,))
        held = tuple(map(plain, parts))
        # With an ellipsis one element is a view of no dimension, as in CuPy, and not a scalar.
        held = held if any(part is Ellipsis for part in held) else (*held, Ellipsis)
        return self._part(self._held[held])

    def __setitem__(self, key: Any, value: Any) -> None:
        parts = key if isinstance(key, tuple) else (key,)
        refuse_strange((self, *parts, value))
        with np.errstate(all="ignore"):
            self._held[tuple(map(plain, parts))] = plain(value)


class Flags:
    """Of what NumPy's flags tell, CuPy's tell this."""

    def __init__(self, held: np.ndarray) -> None:
        self.c_contiguous, self.f_contiguous = held.flags.c_contiguous, held.flags.f_contiguous
        self.owndata = held.base is None
        self.fnc = self.f_contiguous and not self.c_contiguous
        self.forc = self.f_contiguous or self.c_contiguous

    def __getitem__(self, name: str) -> bool:
        known = {"C_CONTIGUOUS": self.c_contiguous, "F_CONTIGUOUS": self.f_contiguous, "OWNDATA": self.owndata}
        return bool(known[name])


def apply(name: str, *inputs: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> ndarray:
    """A ufunc of CuPy's."""
    result = computed(name, inputs, dtype)
    if out is None:
        return ndarray.of(result)
    write(result, out, casting)
    return out  # type: ignore[no-any-return]


def _reduction(name: str) -> Callable[..., ndarray]:
    def method(self: ndarray, *arguments: Any, **options: Any) -> ndarray:
        given = bound(f"cupy.ndarray.{name}", arguments, options)
        refuse_strange((self, *given.values()))
        if given.get("out") is not None:
            out = given.pop("out")
            write(np.asarray(getattr(self._held, name)(**given)), out, "same_kind")
            return out  # type: ignore[no-any-return]
        with np.errstate(all="ignore"):
            return ndarray.of(np.asarray(getattr(self._held, name)(**given)))

    method.__name__ = name
    return method


def _same_as_numpy(name: str) -> Callable[..., ndarray]:
    def method(self: ndarray, *arguments: Any, **options: Any) -> ndarray:
        check_call(f"cupy.ndarray.{name}", arguments, options)
        refuse_strange((*arguments, *options.values()))
        options = {key: plain(value) for key, value in options.items()}
        return self._part(getattr(self._held, name)(*map(plain, arguments), **options))

    method.__name__ = name
    return method


strict_methods("cupy.ndarray", ndarray)
for _name in REDUCTIONS:
    setattr(ndarray, _name, _reduction(_name))
for _name in METHODS:
    setattr(ndarray, _name, _same_as_numpy(_name))
ndarray.__module__ = "cupy"
