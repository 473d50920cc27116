"""Derivatives by central differences of fourth order, the independent judge of every gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def derivative(f: Callable[[np.ndarray], np.ndarray], z: np.ndarray, h: float) -> np.ndarray:
    """``f'`` of an element-wise function at every element of ``z``; the error is of order ``h**4``."""
    return (f(z - 2 * h) - 8 * f(z - h) + 8 * f(z + h) - f(z + 2 * h)) / (12 * h)


def gradient(f: Callable[[np.ndarray], float], params: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """Gradient of a function of a vector, one coordinate at a time."""
    grad = np.empty(len(params))
    for j in range(len(params)):

        def along(t: np.ndarray, j: int = j) -> np.ndarray:
            moved = params.copy()
            moved[j] += t[0]
            return np.array([f(moved)])

        grad[j] = derivative(along, np.zeros(1), h)[0]
    return grad
