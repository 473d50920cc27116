"""Arithmetic on wide vectors, of very many numbers, by all threads: a piece of the vectors at a time, in the caches.

A sum of two such vectors takes the time in which the memory reads and writes them, and most of that is for pages of new
memory. Pieces have one size, and their sums are added in their order, so that the bits of a result do not depend on
the number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from gpu_logreg.arrays.block_sizes import WIDE_PIECE
from gpu_logreg.arrays.blocks import map_in_order, n_threads
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = ["LEAST_WIDE", "columns_of_a_piece", "dot", "each_piece", "is_wide", "largest", "moved", "transposed"]

T = TypeVar("T")

LEAST_WIDE = 2**18
"""Numbers from which a vector is wide: two mebibytes, which a core adds in the time in which a few threads wake."""

LEAST_COLUMNS = 256
"""Least columns of a piece of a matrix, so that what is done once for it takes little time."""

CALLS_PER_THREAD = 4
"""Runs of pieces for each thread: more than one, as another program may hold up a processor."""


def is_wide(n: int) -> bool:
    """Whether vectors of ``n`` numbers are worked on by all threads."""
    return n >= LEAST_WIDE


def each_piece(function: Callable[[slice], T], n: int, piece: int = WIDE_PIECE) -> list[T]:
    """``function`` of consecutive pieces of ``n`` numbers, one at least, on all threads; results in their order."""
    pieces = [slice(first, min(n, first + piece)) for first in range(0, n, piece)]
    runs = min(len(pieces), CALLS_PER_THREAD * n_threads())

    def of_run(first: int, last: int) -> list[T]:
        return [function(part) for part in pieces[first:last]]

    edges = [len(pieces) * k // runs for k in range(runs + 1)]
    return list(itertools.chain.from_iterable(map_in_order(of_run, edges[:-1], edges[1:])))


def columns_of_a_piece(n_rows: int) -> int:
    """Columns of a piece of a matrix with wide rows: `LEAST_COLUMNS`, or more of few rows."""
    return max(LEAST_COLUMNS, WIDE_PIECE // n_rows)


def dot(a: Float64Vector, b: Float64Vector) -> float:
    """``a @ b``.

    Examples
    --------
    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    return float(sum(each_piece(lambda part: float(a[part] @ b[part]), len(a))))


def largest(v: Float64Vector) -> float:
    """``max |v|``; NaN if there is one.

    Examples
    --------
    >>> largest(np.array([1.0, -2.0]))
    2.0
    """
    return float(np.max(each_piece(lambda part: np.abs(v[part]).max(), len(v))))


def moved(start: Float64Vector, step: float, direction: Float64Vector) -> Float64Vector:
    """``start + step direction``.

    Examples
    --------
    >>> moved(np.array([1.0, 2.0]), 0.5, np.array([2.0, 4.0]))
    array([2., 4.])
    """
    end = np.empty(len(start))

    def of_piece(part: slice) -> None:
        np.multiply(direction[part], step, out=end[part])
        end[part] += start[part]

    each_piece(of_piece, len(start))
    return end


def transposed(W: Float64Matrix) -> Float64Matrix:
    """``W.T``, in rows that lie together; a copy.

    Examples
    --------
    >>> transposed(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 3.],
           [2., 4.]])
    """
    if not is_wide(W.size):
        return np.ascontiguousarray(W.T, np.float64)
    columns = np.empty((W.shape[1], W.shape[0]))

    def of_piece(part: slice) -> None:
        columns[part] = W[:, part].T

    each_piece(of_piece, W.shape[1], columns_of_a_piece(W.shape[0]))
    return columns
