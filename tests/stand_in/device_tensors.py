"""Arrays on a device of libraries that speak DLPack, as PyTorch and JAX do; on the memory of `fake_cupy`."""

from __future__ import annotations

import types
from typing import Any

import fake_cupy
import numpy as np

CUDA = 2


class TorchLike:
    """As PyTorch's tensor on a GPU: its library is the module it is from, and NumPy cannot read it."""

    requires_grad = False

    def __init__(self, held: np.ndarray, index: int = 0) -> None:
        self.held, self.index = held, index

    @property
    def shape(self) -> tuple[int, ...]:
        return self.held.shape

    @property
    def ndim(self) -> int:
        return self.held.ndim

    @property
    def dtype(self) -> str:
        return f"torch.{self.held.dtype}"

    def view(self, dtype: Any) -> TorchLike:
        return type(self)(self.held.view(dtype), self.index)

    def is_neg(self) -> bool:
        return False

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.index

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        return self.held.__dlpack__()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class JaxLike(TorchLike):
    """As JAX's array: it names its namespace, and cannot be written."""

    @property
    def dtype(self) -> Any:
        return self.held.dtype

    def __array_namespace__(self) -> Any:
        return types.SimpleNamespace(from_dlpack=lambda array: JaxLike(_held(array), array.__dlpack_device__()[1]))


def _held(array: Any) -> np.ndarray:
    assert array.__dlpack_device__()[0] == CUDA
    return fake_cupy.exported(array)


def from_dlpack(array: Any) -> TorchLike:
    return TorchLike(_held(array), array.__dlpack_device__()[1])
