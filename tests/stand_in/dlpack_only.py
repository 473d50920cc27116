"""A library whose arrays can do nothing but DLPack, as any library looks to a program that does not know it."""

from __future__ import annotations

from typing import Any

import numpy as np


class Tensor:
    """An array without arithmetic; ``kind`` and ``index`` are what it says about its device (1 is the CPU)."""

    requires_grad = False

    def __init__(self, array: np.ndarray, kind: int = 1, index: int = 0) -> None:
        self.held = array
        self.kind = kind
        self.index = index

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.index

    def __dlpack__(self, **options: Any) -> Any:
        if self.requires_grad:
            raise BufferError("an array in a graph cannot be exported; detach it")
        return self.held.__dlpack__(**options)


class GraphTensor(Tensor):
    """An array in the graph of an automatic differentiation."""

    requires_grad = True

    def detach(self) -> Tensor:
        return Tensor(self.held)


class SilentTensor(Tensor):
    """An array of a library that can export and cannot import."""

    def __array_namespace__(self) -> Any:
        return object()


def from_dlpack(array: Any) -> Tensor:
    return Tensor(np.from_dlpack(array))
