"""Compiled loops over CSR rows for the moments of their columns: `gpu_logreg.passes.cpu.loops.sparse` says how."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, smaller
from gpu_logreg.passes.cpu.loops.memory import release, scratch
from gpu_logreg.passes.cpu.loops.sparse import TILE_ROWS, logits_of_sparse_rows

__all__ = ["sum_column_moments", "sum_moments_by_curvature"]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"arcp"}}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _add_moments(x: Any, column: Any, begin: Any, end: Any, s: Any, sums: Any) -> None:
    """``s x_ij`` and ``s x_ij**2`` of a row, added to ``sums[j]``."""
    for k in range(begin, end):
        x_k, of_column = float(x[k]), sums[np.uintp(column[k])]
        weighted = s * x_k
        of_column[0] += weighted
        of_column[1] += weighted * x_k


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_column_moments(x: Any, column: Any, start: Any, s: Any, first: Any, last: Any, sums: Any) -> None:
    """``sum_i s_i x_ij`` and ``sum_i s_i x_ij**2`` over the rows ``first`` to ``last``, added to ``sums``.

    ``sums`` is of shape (d, 2), as both are looked up by the same column; ``s`` is empty where every weight is one.
    """
    for i in range(first, last):
        s_i = float(s[i]) if len(s) > 0 else 1.0
        _add_moments(x, column, np.uintp(start[i]), np.uintp(start[i + 1]), s_i, sums)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_moments_by_curvature(
    x: Any, column: Any, start: Any, s: Any, w: Any, b: Any, first: Any, last: Any, sums: Any
) -> Any:
    """As `sum_column_moments`, with the weights ``h_i = s_i p_i (1 - p_i)``, whose sum is returned."""
    z, h, weighted = scratch(TILE_ROWS, w, 0), scratch(TILE_ROWS, w, 0), len(s) > 0
    total = 0.0
    for i in range(first, last, TILE_ROWS):
        m = smaller(TILE_ROWS, last - i)
        logits_of_sparse_rows(x, column, start, w, b, i, m, z)
        for r in range(m):
            e = exp_of_negative(-abs(z[r]))
            h[r] = e / ((1.0 + e) * (1.0 + e))
        for r in range(m):
            h_r = h[r] * s[i + r] if weighted else h[r]
            total += h_r
            _add_moments(x, column, np.uintp(start[i + r]), np.uintp(start[i + r + 1]), h_r, sums)
    release(z)
    release(h)
    return total
