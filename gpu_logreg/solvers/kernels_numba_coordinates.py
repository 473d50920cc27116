"""Compiled cycles of coordinate descent; see `gpu_logreg.solvers.coordinate_descent.cycles` for what they do.

Numba keeps the machine code beside this file and compiles it anew where the file has changed.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from gpu_logreg.passes.numba_cache import CAN_CACHE

__all__ = ["cycles"]


@njit(nogil=True, cache=CAN_CACHE, error_model="numpy")  # type: ignore[untyped-decorator]
def cycles(H: Any, r: Any, x: Any, l1: Any, tol: Any, most: Any) -> Any:
    """As `gpu_logreg.solvers.coordinate_descent.cycles`, element by element."""
    k = len(x)
    violation = 0.0
    for n in range(most):
        violation = 0.0
        for j in range(k):
            h = H[j, j]
            if not h > 0.0:
                continue
            old, t = x[j], l1[j]
            a = h * old - r[j]
            new = (a - t) / h if a > t else ((a + t) / h if a < -t else 0.0)
            change = new - old
            if change == 0.0:
                continue
            violation = max(violation, h * abs(change))
            x[j] = new
            row = H[j]
            for i in range(k):
                r[i] += change * row[i]
        if violation <= tol:
            return n + 1
    return most + 1
