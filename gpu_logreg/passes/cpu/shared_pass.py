"""Short passes over sparse rows, with a thread for each processor that stays ready from one pass to the next."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import calls_are_alone, help_in_threads, n_threads
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.passes.cpu.loops import sizes
from gpu_logreg.passes.sums import Sums

__all__ = ["SharedSparsePass"]

_share_sparse_rows = Loop("gpu_logreg.passes.cpu.loops.shared_sparse", "share_sparse_rows")


_LOOKS = 4000
"""Looks of a thread that helps before it gives up: for longer than the steps between two passes take, in trials without
a record."""


class SharedSparsePass:
    """Loss and gradient sums of two classes, the chunks of which are shared out inside the compiled loop.

    The threads that help with a second pass expect more and watch for them. One thread at a time may call it.

    Parameters
    ----------
    elements : (data, indices, indptr)
    y, sample_weight : ndarray
    chunks : (first rows, rows after the last ones)
    n_columns : int
    """

    def __init__(self, elements: tuple[Any, Any, Any], y: Any, sample_weight: Any, chunks: Any, n_columns: int) -> None:
        starts, ends = chunks
        self._point = np.empty(n_columns + 1)
        self._sums = np.empty((len(ends), -(-(n_columns + 2) // 8) * 8))
        edges = np.array([*starts, ends[-1]], np.int64)
        turns = np.zeros(sizes.TURNS_SIZE, np.int64)
        self._arguments = *elements, y, sample_weight, self._point, edges, turns, self._sums
        self._helpers: Sequence[Future[Any]] | None = None

    def __call__(self, w: Float64Vector, b: float) -> Sums:
        """The sums at the weights ``w`` of shape (d,) and the intercept ``b``."""
        d, sums = len(w), self._sums
        self._point[:d], self._point[d] = w, b
        self._have_help()
        _share_sparse_rows(*self._arguments, 0)
        total = sums[0, : d + 2].copy()
        for row in sums[1:]:
            total += row[: d + 2]
        return Sums(float(total[d]), total[:d], float(total[d + 1]))

    def _have_help(self) -> None:
        """Let a thread for each other processor take turns, unless it still does."""
        n_helpers = min(len(self._sums), n_threads()) - 1
        if calls_are_alone(n_helpers + 1) or (self._helpers and not any(helper.done() for helper in self._helpers)):
            return
        n_looks = 1 if self._helpers is None else _LOOKS
        self._helpers = help_in_threads(n_helpers, _share_sparse_rows, *self._arguments, n_looks)
