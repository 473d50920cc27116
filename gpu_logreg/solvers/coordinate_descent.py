"""The minimum of a quadratic model plus an L1 penalty, by coordinate descent on an active set.

``q(x) = g @ (x - x0) + (x - x0) @ H @ (x - x0) / 2 + sum_j l1_j |x_j|``, with a positive definite ``H`` of shape (p, p)
in memory. It knows nothing of data: ``g`` and ``H`` may come from any smooth objective.

1. Coordinates are screened: by the strong rule, those at zero whose gradient is well below their ``l1_j`` are left out.
2. On the rest, cycles of coordinate descent find which are zero; once they are found, the others solve a linear system,
   which no collinearity makes slow. Both lower ``q``.
3. The gradient of all coordinates is taken; those that were left out wrongly come in, and 2 is repeated.

It stops on the subgradient of ``q`` of least norm. Sources: J. Friedman, T. Hastie and R. Tibshirani, "Regularization
paths for generalized linear models via coordinate descent" (2010); R. Tibshirani et al., "Strong rules for discarding
predictors in lasso-type problems" (2012).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotrs

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import soft_threshold, subgradient

__all__ = ["FORCING", "cycles", "model_minimum", "settle", "strong_rule"]

CYCLES = 20
"""Cycles in a round, between attempts at the linear system: about as much work on a few hundred coordinates."""

PATIENCE = 3
"""Rounds after which the linear system is tried although zeros still come and go."""

NEARLY = 10.0
"""Subgradient, relative to its goal, up to which as many rounds of cycles come first."""

SETTLE_WORK, LEAST_SYSTEMS = 2e8, 3
"""Operations, about, and systems at least, before cycles go on: those of large systems find zeros faster."""

MAX_ROUNDS = 500
"""Rounds, and times that coordinates come in: a bound for models without a minimum, which none with one comes near."""

TRUSTED = 0.4
"""Decrease of ``q``, relative to the slope along a solution of the system, that makes it trusted; 1/2 is exact."""

LEAST_FALL, IDLE = 0.9, 12
"""Rounds in which the subgradient must have fallen to that share of the least so far: else it is rounding."""

FORCING = 1e-6
"""Largest subgradient of a model at its minimum, relative to that at its start, where zeros are to be exact."""

ROUNDING = 1e-15
"""Size of a subgradient, relative to the terms it is summed from, below which it is rounding."""

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
def _compiled() -> Loops:
    from gpu_logreg.solvers import coordinate_loops as kernels

    def settled(H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector) -> tuple[Float64Vector, Float64Vector]:
        if kernels.settle(H, r, x, l1, most_systems(x), TRUSTED):
            return x, r
        return settle(H, r, x, l1)

    return Loops(kernels.cycles, settled)


def strong_rule(x: Float64Vector, grad: Float64Vector, l1: Float64Vector, v: Float64Vector) -> Any:
    """Which coordinates are likely not zero at the minimum: a mask of shape (p,).

    As far as its zeros tell, ``x`` is the minimum for the strengths ``(1 + k) l1``, with ``k = max_j |v_j| / l1_j`` and
    ``v`` the subgradient of least norm. The sequential strong rule goes from there to
    ``l1``: a zero is left out where ``|grad_j| < 2 l1_j - (1 + k) l1_j``. Far away, that would keep all, so ``k`` is a
    half at most: what is left out wrongly comes in later.
    """
    penalised = l1 > 0.0
    k = float((np.abs(v)[penalised] / l1[penalised]).max(initial=0.0))
    return ~penalised | (x != 0.0) | (np.abs(grad) >= (1.0 - min(k, 0.5)) * l1)


@np.errstate(over="ignore", invalid="ignore")
def model_minimum(
    H: Any,
    grad: Float64Vector,
    start: Float64Vector,
    l1: Float64Vector,
    forcing: float = FORCING,
    *,
    subgrad: Float64Vector | None = None,
    compiled: bool = True,
) -> tuple[Float64Vector, float]:
    """Minimise ``q`` from ``start``, which is its ``x0``.

    Parameters
    ----------
    H : ndarray of shape (p, p)
        Positive definite, or nearly.
    grad : ndarray of shape (p,)
        Gradient of the smooth part at ``start``.
    start : ndarray of shape (p,)
    l1 : ndarray of shape (p,)
        Strength of each coordinate; 0 for one that is not penalised.
    forcing : float
        Largest subgradient at the end, relative to that at ``start``; coordinates weigh by the root of their curvature.
    subgrad : ndarray of shape (p,), optional
        Subgradient of least norm at ``start``, where it is known.
    compiled : bool
        Whether the inner loops are compiled, or those of NumPy.

    Returns
    -------
    x : ndarray of shape (p,)
    decrease : float
        ``q(start) - q(x)``; NaN where there is none lower than that at ``start``, because ``H`` has next to no
        curvature along some direction.
    """
    loops = _compiled() if compiled else Loops(cycles, settle)
    x, r = start.copy(), grad.copy()
    diagonal = np.diagonal(H)
    unit = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    v = subgradient(x, r, l1) if subgrad is None else subgrad
    goal = forcing * float((unit * np.abs(v)).max(initial=0.0))
    kept = strong_rule(x, r, l1, v)
    for _ in range(MAX_ROUNDS):
        if goal <= 0.0:
            break
        at = np.flatnonzero(kept)
        x[at] = _on_active_set(H[np.ix_(at, at)], r[at], x[at], l1[at], goal, unit[at], loops)
        moved = np.flatnonzero(x != start)
        r = grad + H[:, moved] @ (x - start)[moved]
        rounding = ROUNDING * (np.abs(grad) + l1)
        violation = unit * np.maximum(np.abs(subgradient(x, r, l1)) - rounding, 0.0)
        new = (violation > goal) & ~kept
        if not new.any():
            break
        kept |= new
    step = x - start
    decrease = -float(grad @ step + 0.5 * step @ (r - grad) + l1 @ (np.abs(x) - np.abs(start)))
    scale = float(np.abs(grad) @ np.abs(step) + l1 @ np.abs(step))
    by_position = float(np.maximum(diagonal, 0.0) @ (ROUNDING * np.abs(start)) ** 2)  # what rounding of x itself does
    return x, max(decrease, 0.0) if decrease >= -ROUNDING * scale - by_position else math.nan


def _on_active_set(
    H: Any, r: Float64Vector, x: Float64Vector, l1: Float64Vector, goal: float, unit: Float64Vector, loops: Loops
) -> Float64Vector:
    """The minimum over a few coordinates: cycles, and once the zeros stay the same the others by a linear system.

    A system costs about as much as a round of cycles, and several may be needed: where cycles are nearly there they go
    on.
    """
    # Scaled to a unit diagonal, so that one tolerance serves all coordinates.
    H = np.ascontiguousarray(H * unit * unit[:, None])
    x, l1, grad = x / unit, l1 * unit, r * unit
    r, start = grad.copy(), x.copy()
    near, least, idle = 0, math.inf, 0
    for n in range(MAX_ROUNDS):
        signs = np.sign(x)
        loops.cycles(H, r, x, l1, goal, CYCLES)
        r = grad + H @ (x - start)  # anew, so that rounding does not add up
        violation = float(np.abs(subgradient(x, r, l1)).max(initial=0.0))
        idle = 0 if violation < LEAST_FALL * least else idle + 1
        least = min(least, violation)
        if violation <= goal or idle >= IDLE:
            break
        near = near + 1 if violation <= NEARLY * goal else 0
        if 0 < near <= PATIENCE:
            continue
        if n % PATIENCE == PATIENCE - 1 or np.array_equal(signs, np.sign(x)):
            x, r = loops.settle(H, r, x, l1)
            if float(np.abs(subgradient(x, r, l1)).max(initial=0.0)) <= goal:
                break
    return np.asarray(x * unit)


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
    for _ in range(most_systems(x)):
        at = np.flatnonzero((x != 0.0) | (l1 == 0.0))
        if not len(at):  # LAPACK wants at least one
            break
        x_at, l1_at = x[at], l1[at]
        sign = np.sign(x_at)
        slope = r[at] + l1_at * sign
        try:
            delta = _solved(H[at[:, None], at], -slope)
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


def _solved(H: Any, v: Float64Vector) -> Float64Vector:
    """``H^-1 v`` for a matrix of unit diagonal: by LAPACK itself where it can, without the steps around it.

    ``H`` is kept, for `Factor` to mend it where rounding has made it indefinite.
    """
    L, fault = dpotrf(H, lower=1)
    return np.asarray(Factor(H).solve(v) if fault else dpotrs(L, v, lower=1)[0])


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
