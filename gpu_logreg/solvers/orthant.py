"""The minimum of a quadratic model plus an L1 penalty in one orthant, from a root of the curvature.

``q(u) = g @ (u - x) + |A (u - x)|**2 / 2 + (u - x) @ D (u - x) / 2 + sum_j l1_j |u_j|``, with ``D`` diagonal. Columns
that are equal to seven digits are so to fourteen in ``A.T @ A``, nearly all that float64 has; the triangle of a QR
decomposition of ``A`` keeps nine more. Systems by it are the corrected seminormal equations.

Source: A. Björck, "Stability analysis of the method of seminormal equations for linear least squares problems" (1987).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import qr
from scipy.linalg.lapack import dtrtrs

from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["RootModel"]

SINGULAR = 1e-14
"""Share of the largest pivot of the triangle below which one is rounding."""

MAX_SYSTEMS = 10
"""Systems of one model, each of which costs a QR decomposition: zeros that come and go after so many are the next
step's."""

ROUNDING = 1e-15
"""Relative to the terms it is summed from, the size below which a slope is rounding."""

TINY = float(np.finfo(np.float64).tiny)


class RootModel(NamedTuple):
    """``q``, less its value at ``x``.

    Attributes
    ----------
    A : ndarray of shape (m, p)
    added : ndarray of shape (p,)
        The diagonal of ``D``.
    grad, x, l1 : ndarray of shape (p,)
    """

    A: Any
    added: Float64Vector
    grad: Float64Vector
    x: Float64Vector
    l1: Float64Vector

    def decrease(self, u: Float64Vector) -> float:
        """``q(x) - q(u)``."""
        step = u - self.x
        by_root = self.A @ step
        smooth = float(self.grad @ step) + 0.5 * float(by_root @ by_root + (self.added * step) @ step)
        return -smooth - float(self.l1 @ (np.abs(u) - np.abs(self.x)))

    def slope(self, u: Float64Vector) -> Float64Vector:
        """Gradient of the smooth part at ``u``."""
        step = u - self.x
        return np.asarray(self.grad + self.A.T @ (self.A @ step) + self.added * step)

    def minimum(self, u: Float64Vector) -> Float64Vector:
        """From ``u`` towards the minimum, for as long as systems are few; ``q`` is at most that at ``u``.

        The minimum over the coordinates that are not zero is taken, or the way there as far as the first becomes zero;
        there that zero comes in whose slope exceeds its strength most.
        """
        u, sign = u.copy(), np.sign(u)
        free = self.l1 == 0.0
        for _ in range(MAX_SYSTEMS):
            at = np.flatnonzero((sign != 0.0) | free)
            R, at = _triangle(self.A, self.added, at)
            if not len(at):
                break
            step = 1.0
            for _ in range(2):  # the second corrects the rounding of the first
                delta = _solved(R, -(self.slope(u)[at] + self.l1[at] * sign[at]))
                crosses = (self.l1[at] > 0.0) & ((u[at] + delta) * sign[at] <= 0.0)
                ratio = np.where(crosses, -u[at] / np.where(crosses, delta, 1.0), np.inf)
                step = min(1.0, float(ratio.min(initial=np.inf)))
                u[at] = np.where(ratio <= step, 0.0, u[at] + step * delta)
                if crosses.any():
                    break
            sign[at] = np.where(ratio <= step, 0.0, sign[at])
            if crosses.any():
                continue
            slope = self.slope(u)
            beyond = np.where(
                (sign == 0.0) & ~free, np.abs(slope) - self.l1 - ROUNDING * (np.abs(self.grad) + self.l1), 0.0
            )
            if not (beyond > 0.0).any():
                break
            most = int(np.argmax(beyond / np.sqrt(np.maximum((self.A * self.A).sum(axis=0) + self.added, TINY))))
            sign[most] = -np.sign(slope[most])
        return u


def _triangle(A: Any, added: Float64Vector, at: Any) -> tuple[Any, Any]:
    """``R`` with ``R.T @ R = (A.T @ A + diag(added))`` at the coordinates ``at``, in another order, and these.

    Coordinates are left out whose columns are sums of others', but for rounding: with them no solution is unique.
    """
    rows = np.concatenate([A[:, at], np.diag(np.sqrt(added[at]))])
    lengths = np.sqrt((rows * rows).sum(axis=0))
    seen = np.isfinite(lengths) & (lengths > 0.0)
    if not seen.any():
        return None, at[:0]
    at, lengths = at[seen], lengths[seen]
    R, order = qr(rows[:, seen] / lengths, mode="r", pivoting=True, check_finite=False)
    pivots = np.abs(np.diagonal(R))
    rank = int((pivots > SINGULAR * pivots[0]).sum())
    return R[:rank, :rank] * lengths[order[:rank]], at[order[:rank]]


def _solved(R: Any, v: Float64Vector) -> Float64Vector:
    """``(R.T @ R)^-1 v``."""
    return np.asarray(dtrtrs(R, dtrtrs(R, v, trans=1)[0])[0])
