"""Sorts of `fake_cupy`: of what is equal they promise no order unless they are asked to."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy_signatures import strict
from fake_cupy_array import ndarray
from fake_cupy_ufuncs import refuse_strange


def _order(a: ndarray, axis: int, kind: Any) -> np.ndarray:
    """Indices that sort; what is equal keeps its order where that is asked for, and is turned round elsewhere."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    refuse_strange((a,))
    if kind == "stable":
        return np.argsort(a._held, axis, kind="stable")
    return a.shape[axis] - 1 - np.argsort(np.flip(a._held, axis), axis, kind="stable")


def _argsort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    return ndarray.of(_order(a, axis, kind))


def _sort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    return ndarray.of(np.take_along_axis(a._held, _order(a, axis, kind), axis))


argsort = strict("cupy.argsort", _argsort)
sort = strict("cupy.sort", _sort)
