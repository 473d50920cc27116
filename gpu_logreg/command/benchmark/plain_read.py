"""A plain read of rows by all threads, which the times of passes and fits are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, n_threads

__all__ = ["bytes_of", "plain_read", "plain_sum"]


def plain_read(*arrays: Any) -> float:
    """The largest word of contiguous arrays, of which eight bytes at a time are taken as a whole number.

    On the host each thread has a part, on a device CuPy reduces. Memory alone limits it: a comparison of whole numbers
    takes the same time whatever the bytes mean, and less than an addition of floats.

    Examples
    --------
    >>> plain_read(np.array([[1, 5], [3, 2]]))
    5.0
    """
    return max(_largest_word(array) for array in arrays)


def plain_sum(X: Any) -> float:
    """Sum of all elements of a contiguous array on the host, by one ``numpy.sum`` a thread.

    Examples
    --------
    >>> plain_sum(np.ones((2, 3)))
    6.0
    """
    return sum(_by_threads(np.sum, X.reshape(-1, order="A")))


def bytes_of(*arrays: Any) -> int:
    """Bytes that `plain_read` reads."""
    return sum(int(array.nbytes) for array in arrays)


def _largest_word(array: Any) -> float:
    flat = array.reshape(-1, order="A")
    words = flat.view(np.uint8)[: flat.nbytes // 8 * 8].view(np.uint64)
    return max(_by_threads(np.max, words)) if isinstance(words, np.ndarray) else float(words.max())


def _by_threads(reduce: Callable[[Any], Any], flat: Any) -> list[float]:
    """A part for each thread, reduced to a number."""
    n_parts = min(n_threads(), len(flat))
    edges = [len(flat) * k // n_parts for k in range(n_parts + 1)]
    return map_in_order(lambda part: float(reduce(part)), [flat[a:b] for a, b in itertools.pairwise(edges)])
