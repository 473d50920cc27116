"""What coordinate descent on a quadratic model is made of: cycles, and linear systems once the zeros are found.

Both are here in plain NumPy, and compiled as `gpu_logreg.solvers.coordinate_loops`. Where they are used, and for which
model, says `gpu_logreg.solvers.coordinate_descent`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotrs

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import soft_threshold

__all__ = ["Loops", "compiled_loops", "cycles", "loops_of", "settle", "settle_in_place"]

SETTLE_WORK, LEAST_SYSTEMS = 2e8, 3
"""Operations, about, and systems at least, before cycles go on: those of large systems find zeros faster."""

LARGEST_COMPILED = 300
"""Coordinates that are not zero up to which systems are solved in the compiled loop, which keeps what it can of the
last factor; LAPACK factors larger ones faster, though each anew. From a trial with 150 to 1,500, without a record."""

TRUSTED = 0.4
"""Decrease of ``q``, relative to the slope along a solution of the system, that makes it trusted; 1/2 is exact."""

Cycles = Callable[[Any, Float64Vector, Float64Vector, Float64Vector, float, int], int]


def cycles(H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector, tol: float, most: int) -> int:
    """Cycles of coordinate descent in order, in plain NumPy: what the compiled ones are held to.

    Coordinate j goes to its minimum, ``x_j <- S(h_jj x_j - r_j, l1_j) / h_jj`` with ``S`` the soft threshold, and the
    gradient ``r`` of the smooth part follows: ``r += H_j (change of x_j)``.

    Parameters
    ----------
    H : ndarray of shape (k, k)
    r, x : ndarray of shape (k,)
        Gradient and coordinates; both are updated.
    l1 : ndarray of shape (k,)
    tol : float
        Stops after a cycle in which no ``h_jj |change of x_j|`` exceeds it.
    most : int

    Returns
    -------
    int
        Cycles done; ``most + 1`` where the last still moved too much.
    """
    for n in range(most):
        violation = 0.0
        for j in range(len(x)):
            h = H[j, j]
            if not h > 0.0:
                continue  # neither curvature nor penalty would bound the step
            new = soft_threshold(h * x[j] - r[j], l1[j]) / h
            change = new - x[j]
            if change != 0.0:
                violation = max(violation, h * abs(change))
                x[j] = new
                r += change * H[j]
        if violation <= tol:
            return n + 1
    return most + 1


class Loops(NamedTuple):
    """The inner loops: `cycles`, and `settle` on ``H, r, x, l1``."""

    cycles: Cycles
    settle: Callable[[Any, Float64Vector, Float64Vector, Float64Vector], tuple[Float64Vector, Float64Vector]]


@functools.cache
def compiled_loops() -> tuple[Any, Any]:
    """`cycles`, and `settle` on ``H, r, x, l1, most, trusted`` and work arrays, of `coordinate_loops`."""
    from gpu_logreg.arrays.compiled import Loop

    cycles = Loop("gpu_logreg.solvers.coordinate_loops", "cycles")
    return cycles, Loop("gpu_logreg.solvers.coordinate_loops", "settle")


def settle_in_place(H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector, most: int) -> bool:
    """As `settle`, compiled, on ``r`` and ``x`` themselves; False where a system is nearly singular."""
    order = np.argsort(-np.abs(x))
    at = order[(x[order] != 0.0) | (l1[order] == 0.0)]
    work = np.empty((len(at), len(at))), np.empty((5, len(x)))
    return bool(compiled_loops()[1](H, r, x, l1, most, TRUSTED, at, *work))


@functools.cache
def loops_of(compiled: bool) -> Loops:
    """The inner loops, compiled or those of NumPy."""
    return Loops(compiled_loops()[0], _settled) if compiled else Loops(cycles, settle)


def _settled(H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector) -> tuple[Float64Vector, Float64Vector]:
    if np.count_nonzero(x) <= LARGEST_COMPILED and settle_in_place(H, r, x, l1, most_systems(x)):
        return x, r
    return settle(H, r, x, l1)


def settle(H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector) -> tuple[Float64Vector, Float64Vector]:
    """The minimum over the coordinates that are not zero, none of which may change its sign but those that become zero.

    In their orthant ``q`` is quadratic with its minimum at ``H_AA delta = -(r_A + l1_A sign(x_A))``. Where that is in
    the orthant it is taken. Else ``q`` falls as far as the first coordinate that becomes zero, and may be lower still
    where all that would change their sign are set to zero at once: the lower of the two is taken, and so on with
    those that are left, for as long as the systems are small.

    Returns
    -------
    x, r : ndarrays of shape (k,)
        The point and the gradient of the smooth part there.
    """
    added = 0.0
    for _ in range(most_systems(x)):
        at = np.flatnonzero((x != 0.0) | (l1 == 0.0))
        if not len(at):  # LAPACK wants at least one
            break
        x_at, l1_at = x[at], l1[at]
        sign = np.sign(x_at)
        slope = r[at] + l1_at * sign
        try:
            delta, added = _solved(H[at[:, None], at], -slope, added)
        except LinAlgError:
            break
        goal = x_at + delta
        crosses = (l1_at > 0.0) & (goal * sign <= 0.0)
        far = _moved(H, r, x, l1, at, np.where(crosses, 0.0, goal))
        if not crosses.any():
            # Half the slope is what a solution takes off; that of a nearly singular system may be all rounding.
            return (far.x, far.r) if far.fall <= TRUSTED * float(slope @ delta) else (x, r)
        ratio = np.where(crosses, -x_at / np.where(crosses, delta, 1.0), np.inf)
        step = float(ratio.min())
        near = _moved(H, r, x, l1, at, np.where(ratio <= step, 0.0, x_at + step * delta))
        x, r, fall = far if far.fall <= near.fall else near
        if not fall <= 0.0:
            break
    return x, r


def most_systems(x: Float64Vector) -> int:
    """Systems to solve in one go for coordinates ``x``."""
    k = max(1, int(np.count_nonzero(x)))
    return int(np.clip(SETTLE_WORK / k**3, LEAST_SYSTEMS, len(x)))


def _solved(H: Any, v: Float64Vector, added: float) -> tuple[Float64Vector, float]:
    """``H^-1 v`` for a matrix of unit diagonal: by LAPACK itself where it can, without the steps around it.

    ``H`` is kept, for `Factor` to mend it where rounding has made it indefinite. What that adds to the diagonal is
    returned too, and ``added`` from the start: a part of a matrix needs no more than the whole.
    """
    if added == 0.0:
        L, fault = dpotrf(H, lower=1)
        if not fault:
            return np.asarray(dpotrs(L, v, lower=1)[0]), 0.0
    factor = Factor(H, added)
    return factor.solve(v), factor.added


class _Moved(NamedTuple):
    """A point, the gradient of the smooth part there, and how much ``q`` is above that at the point before."""

    x: Float64Vector
    r: Float64Vector
    fall: float


def _moved(H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector, at: Any, values: Float64Vector) -> _Moved:
    """From ``x``, where the gradient is ``r``, to where the coordinates ``at`` have these values."""
    there = x.copy()
    there[at] = values
    step = there - x
    change = H @ step
    return _Moved(there, r + change, float(step @ (r + 0.5 * change) + l1 @ (np.abs(there) - np.abs(x))))
