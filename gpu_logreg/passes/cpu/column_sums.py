"""Sums over the columns of sparse rows, of all or of some, by loops that Numba compiles, on the threads of the pool.

Order of the sums: one thread sums a column, and logits are added up in parts whose number depends on the sizes alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, n_threads
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.csr import in_order
from gpu_logreg.arrays.vector import CsrArray, Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.passes.cpu.column_copies import copied_columns, some_columns

__all__ = ["ColumnSums"]

_sum_columns = Loop("gpu_logreg.passes.cpu.loops.columns", "sum_columns")
_multiply_columns = Loop("gpu_logreg.passes.cpu.loops.columns", "multiply_columns")
_add_columns = Loop("gpu_logreg.passes.cpu.loops.columns", "add_columns")

TASKS = 8
"""Tasks for each thread that columns are cut into: a thread whose columns have fewer elements takes more tasks."""

LEAST_ELEMENTS = 2**18
"""Stored elements of a task: fewer are summed in the time that it takes to hand them to another thread and to wait."""

ADDED_PARTS = 2
"""Most parts of logits that are added up; it decides the order of additions, and so the last bits."""


class ColumnSums:
    """The columns of CSR rows, copied once, and sums over them.

    Parameters
    ----------
    X : csr_array of shape (n, d)
        With fewer than 2**31 rows.
    count : function float -> None
        Told of every walk over elements, as a share of all.

    Attributes
    ----------
    arrays : tuple
        Elements, numbers of their rows, and where each column starts.
    n_columns : int
    """

    def __init__(self, X: CsrArray, count: Callable[[float], None]) -> None:
        columns = copied_columns(in_order(X))
        self.arrays = columns.data, columns.indices, columns.indptr
        self.n_rows, self.n_columns = X.shape
        self._count = count

    def of_all(self, v: HostArray) -> Float64Matrix:
        """``v @ X`` of shape (K, d), with ``v`` of shape (K, n); one read."""
        sums = np.empty((len(v), self.n_columns))
        edges = self._cut(self.arrays[2][1:], 0)
        self._count(1.0)

        def of_task(k: int, first: int, last: int) -> None:
            _sum_columns(*self.arrays, v[k], first, last, sums[k])

        _in_tasks(of_task, [edges] * len(v))
        return sums

    def of_some(self, chosen: list[IntVector], v: HostArray) -> list[Float64Vector]:
        """``v_k @ X`` of the columns ``chosen[k]``, for every class."""
        sums = [np.empty(len(at)) for at in chosen]

        def of_task(k: int, first: int, last: int) -> None:
            _multiply_columns(*self.arrays, chosen[k], v[k], first, last, sums[k])

        _in_tasks(of_task, [self.walk(at) for at in chosen])
        return sums

    def add(self, at: IntVector, weights: Float64Vector, z: HostArray) -> None:
        """``z += X[:, at] @ weights``."""
        edges = self.walk(at, ADDED_PARTS)

        def of_part(k: int) -> HostArray:
            part = z if k == 0 else np.zeros_like(z)
            _add_columns(*self.arrays, at, weights, edges[k], edges[k + 1], part)
            return part

        for part in map_in_order(of_part, range(len(edges) - 1))[1:]:
            z += part

    def take(self, at: IntVector) -> CsrArray:
        """The columns ``at`` as CSR rows."""
        return some_columns(*self.arrays, at, self.n_rows)

    def count(self, n_elements: int) -> None:
        """Count a walk over so many elements."""
        self._count(n_elements / max(1, len(self.arrays[0])))

    def walk(self, at: IntVector, most: int = 0) -> list[int]:
        """Where a walk over some columns is cut into tasks: at most ``most``, or so many for each thread; counted."""
        starts = self.arrays[2]
        ends = np.cumsum(starts[at + 1] - starts[at])
        self.count(int(ends[-1]) if len(ends) else 0)
        return self._cut(ends, most)

    def _cut(self, ends: HostArray, most: int) -> list[int]:
        """Ends of tasks with about equally many elements, from the ends of the columns."""
        n_elements, threads = int(ends[-1]) if len(ends) else 0, n_threads()
        most = most or (TASKS * threads if threads > 1 else 1)
        tasks = max(1, min(most, n_elements // LEAST_ELEMENTS))
        inner = np.searchsorted(ends, [n_elements * k // tasks for k in range(1, tasks)]).tolist() if tasks > 1 else []
        return [0, *inner, len(ends)]


def _in_tasks(function: Callable[[int, int, int], None], edges: list[list[int]]) -> None:
    """``function`` of every class and the ends of its tasks."""
    tasks = [(k, *ends) for k, cut in enumerate(edges) for ends in itertools.pairwise(cut)]
    map_in_order(lambda task: function(*task), tasks)
