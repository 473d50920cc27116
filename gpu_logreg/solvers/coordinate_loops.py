"""Compiled cycles of coordinate descent and systems in an orthant; what they do is written in plain NumPy in
`gpu_logreg.solvers.coordinate_cycles`: `cycles` and `settle`, which these are held to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit

__all__ = ["cycles", "settle"]

_PIVOT = 1e-13
"""Least pivot, of a matrix of unit diagonal: what is smaller is rounding, and is raised to it. Along collinear columns
steps are then long, and end where the first coordinate becomes zero."""

_INDEFINITE = 1e-8
"""Size of a negative pivot, of a matrix of unit diagonal, from which on the matrix is indefinite by more than rounding
and is left to `gpu_logreg.arrays.cholesky.Factor`."""


@njit()  # type: ignore[untyped-decorator]
def cycles(H: Any, r: Any, x: Any, l1: Any, tol: Any, most: Any) -> Any:
    """As `gpu_logreg.solvers.coordinate_cycles.cycles`, element by element."""
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


@njit(fastmath=LIBERTIES | {"reassoc"})  # type: ignore[untyped-decorator]
def _factor_from(H: Any, at: Any, first: Any, m: Any, L: Any) -> Any:
    """Rows ``first`` to ``m`` of the Cholesky factor of ``H`` at ``at``, whose columns before ``first`` are at hand.

    False where a pivot is far below zero, or no number.
    """
    for i in range(first, m):
        row, at_i = L[i], at[i]
        for j in range(first, i + 1):
            other, total = L[j], H[at_i, at[j]]
            for c in range(j):
                total -= row[c] * other[c]
            if j < i:
                row[j] = total / other[j]
            elif total > -_INDEFINITE:
                row[i] = np.sqrt(max(total, _PIVOT))
            else:
                return False
    return True


@njit(fastmath=LIBERTIES | {"reassoc"})  # type: ignore[untyped-decorator]
def _solve(L: Any, m: Any, v: Any) -> None:
    """``v <- (L L.T)^-1 v``."""
    for i in range(m):
        row, total = L[i], v[i]
        for c in range(i):
            total -= row[c] * v[c]
        v[i] = total / row[i]
    for i in range(m - 1, -1, -1):
        row = L[i]
        v[i] /= row[i]
        for c in range(i):
            v[c] -= v[i] * row[c]


@njit(fastmath=LIBERTIES | {"reassoc"})  # type: ignore[untyped-decorator]
def _step_to(H: Any, r: Any, x: Any, l1: Any, at: Any, m: Any, values: Any, change: Any) -> Any:
    """``q`` where the coordinates ``at`` have these values, less that at ``x``; ``change`` becomes that of ``r``."""
    change[:] = 0.0
    for a in range(m):
        step = values[a] - x[at[a]]
        if step != 0.0:
            row = H[at[a]]
            for i in range(len(x)):
                change[i] += step * row[i]
    rise = 0.0
    for a in range(m):
        j = at[a]
        rise += (values[a] - x[j]) * (r[j] + 0.5 * change[j]) + l1[j] * (abs(values[a]) - abs(x[j]))
    return rise


@njit()  # type: ignore[untyped-decorator]
def settle(H: Any, r: Any, x: Any, l1: Any, most: Any, trusted: Any, at: Any, L: Any, work: Any) -> Any:
    """As `gpu_logreg.solvers.coordinate_cycles.settle`, on ``r`` and ``x`` themselves; at most ``most`` systems.

    False where a system is nearly singular, which is for the other to solve.

    Parameters
    ----------
    at : integer array of shape (m,)
        The coordinates that are not zero or not penalised, in the order of their size, the smallest last: what becomes
        zero is near the end, and the factor is kept up to there.
    L : float64 array of shape (m, m)
    work : float64 array of shape (5, k)
    """
    k, m = len(x), len(at)
    delta, far, near, change_far, change_near = work[0], work[1], work[2], work[3], work[4]
    kept = 0
    for _ in range(most):
        if not _factor_from(H, at, kept, m, L):
            return False
        for a in range(m):
            delta[a] = -(r[at[a]] + l1[at[a]] * np.sign(x[at[a]]))
        _solve(L, m, delta)
        slope = 0.0
        for a in range(m):
            slope += (r[at[a]] + l1[at[a]] * np.sign(x[at[a]])) * delta[a]
        step, crossing = np.inf, 0
        for a in range(m):
            old = x[at[a]]
            far[a] = old + delta[a]
            if l1[at[a]] > 0.0 and far[a] * np.sign(old) <= 0.0:
                far[a] = 0.0
                crossing += 1
                step = min(step, -old / delta[a])
        rise_far = _step_to(H, r, x, l1, at, m, far, change_far)
        if crossing == 0:
            if rise_far <= trusted * slope:
                for a in range(m):
                    x[at[a]] = far[a]
                for i in range(k):
                    r[i] += change_far[i]
            return True
        for a in range(m):
            old = x[at[a]]
            crosses = l1[at[a]] > 0.0 and (old + delta[a]) * np.sign(old) <= 0.0
            near[a] = 0.0 if crosses and -old / delta[a] <= step else old + step * delta[a]
        rise_near = _step_to(H, r, x, l1, at, m, near, change_near)
        if not min(rise_far, rise_near) <= 0.0:
            return True
        goal, change = (far, change_far) if rise_far <= rise_near else (near, change_near)
        for i in range(k):
            r[i] += change[i]
        kept, n = m, 0
        for a in range(m):
            j = at[a]
            x[j] = goal[a]
            if x[j] == 0.0 and l1[j] != 0.0:
                kept = min(kept, a)
                continue
            if n < a:
                at[n] = j
                for c in range(kept):
                    L[n, c] = L[a, c]
            n += 1
        m = n
        kept = min(kept, m)
    return True
