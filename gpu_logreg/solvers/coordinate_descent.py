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

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import subgradient
from gpu_logreg.solvers.coordinate_cycles import Loops, loops_of

__all__ = ["FORCING", "model_minimum", "strong_rule"]

CYCLES = 20
"""Cycles in a round, between attempts at the linear system: about as much work on a few hundred coordinates."""

PATIENCE = 3
"""Rounds after which the linear system is tried although zeros still come and go."""

NEARLY = 10.0
"""Subgradient, relative to its goal, up to which as many rounds of cycles come first."""

MAX_ROUNDS = 500
"""Rounds, and times that coordinates come in: a bound for models without a minimum, which none with one comes near."""

LEAST_FALL, IDLE = 0.9, 12
"""Rounds in which the subgradient must have fallen to that share of the least so far: else it is rounding."""

FORCING = 1e-6
"""Largest subgradient of a model at its minimum, relative to that at its start, where zeros are to be exact."""

ROUNDING = 1e-15
"""Size of a subgradient, relative to the terms it is summed from, below which it is rounding."""


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
    loops = loops_of(compiled)
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
