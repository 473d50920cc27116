"""Lower bounds of the minimum of a convex objective from a point near it, up to rounding in long double.

1. Along a line on which no difference of two logits of a row moves faster than ``m``, the second derivative of the
   loss falls no faster than ``exp(-m t)``. With the subgradient ``v`` of least norm, the Hessian ``H``, its decrement
   ``D = sqrt(v' inv(H) v)``, and ``R`` the largest ``sqrt(x' inv(H) x)`` of the rows, the minimum is therefore at least
   ``value - (q + (1 - q) log(1 - q)) / R**2``, ``q = D R``, where ``q < 1`` (F. Bach, "Self-concordant analysis for
   logistic regression", 2010). As ``R`` falls with ``D`` that is nearly ``value - D**2 / 2``.
2. Fenchel's: residuals ``a (p - y)``, ``0 <= a <= 1``, are a point of the dual problem, whose value is the entropy of
   ``y + a (p - y)`` less the conjugate of the penalty.

Both stay bounds where terms of losses are left out that are next to nothing, which makes the rest well-conditioned
where rows are all but certain.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from exact_objective import WIDE, Standard
from newton_steps import polished
from quadratic import solve_transposed, triangle

FLAT = 1e-16
"""Length of what is left of a column of length 1, the others taken away, below which all of it may be rounding."""
NO_PULL = 1e-15
"""Size of the gradient for a column of length 1 below which it may be rounding."""
NEGLIGIBLE = 1e-12
"""Share of the value below which the probability of a class for a row is left out."""


def lower_bound(problem: Standard, u: np.ndarray, value: Any) -> Any:
    """The greatest of the bounds; minus infinity where none holds."""
    best = max(_by_curvature(problem, u), _by_dual(problem, u))
    if best >= value * (1 - WIDE(NEGLIGIBLE)):
        return best
    fewer = copy.copy(problem)
    _, q = problem.exact.residuals(problem.V @ u.T)
    fewer.kept = problem.exact.s[:, None] * q > NEGLIGIBLE * value / q.size
    return max(best, _by_curvature(fewer, polished(fewer, u)))


def _without_shift(problem: Standard, u: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, Any]:
    """A subgradient whose sum over the classes is 0 but for the ridge, and what the ridge makes of that rest.

    A constant added to the weights of all classes changes no loss, so that a subgradient that tells of no gain there
    bounds the minimum even where the Hessian is singular in that direction.
    """
    K, l1, l2 = len(u), problem.l1, problem.l2
    free = u == 0
    low, high = np.full(u.shape[1], -1, WIDE), np.full(u.shape[1], 1, WIDE)
    span = (np.abs(grad) + l1).max(axis=0)
    low, high = low * span * 4, high * span * 4

    def pulls(shift: np.ndarray) -> np.ndarray:
        return np.where(free, np.clip(shift - grad, -l1, l1), l1 * np.sign(u))

    for _ in range(120):
        middle = (low + high) / 2
        rising = (pulls(middle) + l2 * u).sum(axis=0) > 0
        high, low = np.where(rising, middle, high), np.where(rising, low, middle)
    pull = pulls((low + high) / 2)
    rest = (pull + l2 * u).sum(axis=0)
    rest[np.abs(rest) <= 1e-17 * (l1[0] + (l2 * np.abs(u)).sum(axis=0))] = 0
    v = grad + pull
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(rest != 0, rest**2 / (K * l2[0]), 0).sum() / 2
    return v - v.mean(axis=0), gain


def _by_curvature(problem: Standard, u: np.ndarray) -> Any:
    """The first bound of the module; minus infinity where it does not hold."""
    exact, K = problem.exact, problem.exact.n_logits
    grad, _ = problem.derivatives(u)
    v, by_shift, gauge = problem.subgradient(u, grad), WIDE(0), problem.gauge
    if K > 1 and exact.l1 > 0:
        v, by_shift = _without_shift(problem, u, grad)
        gauge = np.ones_like(gauge)
    root = problem.root(u, gauge)
    size = np.sqrt((root**2).sum(axis=0))
    size[size == 0] = 1
    R, order = triangle(root / size)
    pulls = (v.ravel() / size)[order]
    rank = int((np.abs(np.diag(R)) > FLAT).sum())
    if rank < len(R):
        # Nothing may pull where nothing bends, which holds for a loss alone: its gradient is made of the same rows.
        rest = pulls[rank:] - R[:rank, rank:].T @ solve_transposed(R[:rank, :rank], pulls[:rank])
        if exact.l1 > 0 or exact.l2 > 0 or (np.abs(rest) > NO_PULL).any():
            return -WIDE(np.inf)
    decrement = np.sqrt((solve_transposed(R[:rank, :rank], pulls[:rank]) ** 2).sum())
    reach = _reach(problem, R[:rank, :rank], size, order[:rank])
    value, q = problem.value(u) - by_shift, decrement * reach
    if not q < 1:
        return -WIDE(np.inf)
    if q < 1e-4:
        return value - decrement**2 * (1 + q) / 2
    return value - (q + (1 - q) * np.log1p(-q)) / reach**2


def _reach(problem: Standard, R: np.ndarray, size: np.ndarray, order: np.ndarray) -> Any:
    """The largest difference of two logits of a row that counts, along a direction of unit length by the Hessian."""
    exact, K = problem.exact, problem.exact.n_logits
    n = len(problem.V)
    counted = np.ones((n, exact.n_classes), dtype=bool)
    if problem.kept is not None:
        counted[np.arange(exact.n_classes) != exact.y[:, None]] = problem.kept.ravel()
    reach = WIDE(0)
    for a in range(K):
        for b in range(a + 1, K) if K > 1 else [a]:
            which = counted[:, a] & counted[:, b] if K > 1 else counted.all(axis=1)
            rows = np.zeros((int(which.sum()), K, problem.n_columns), WIDE)
            rows[:, a] = problem.V[which]
            if K > 1:
                rows[:, b] = -problem.V[which]
            by_row = solve_transposed(R, (rows.reshape(len(rows), K * problem.n_columns) / size).T[order])
            reach = max(reach, np.sqrt((by_row**2).sum(axis=0).max(initial=WIDE(0))))
    return reach


def _by_dual(problem: Standard, u: np.ndarray) -> Any:
    """The second bound of the module."""
    exact = problem.exact
    residuals, q = exact.residuals(problem.V @ u.T)
    dw = (exact.s[:, None] * residuals).T @ problem.V[:, : problem.d]
    l1, l2 = problem.l1[:, : problem.d], problem.l2[:, : problem.d]
    best = -WIDE(np.inf)
    if exact.fit_intercept:
        # Residuals of a dual point add up to 0. The rest is rounding, of which an intercept makes no more than this.
        off = np.abs((exact.s[:, None] * residuals).sum(axis=0))
        if (off > 1e-16).any():
            return best
        rest = (off * (1000 + 2 * np.abs(u[:, -1]))).sum()
    else:
        rest = WIDE(0)
    largest = (np.abs(dw) / l1).max(initial=WIDE(0)) if exact.l1 > 0 else WIDE(np.inf)
    for share in {WIDE(1), min(WIDE(1), 1 / largest)}:
        own = 1 - share * q.sum(axis=1, keepdims=True)
        shares = np.hstack([share * q, own])
        entropy = -(exact.s[:, None] * shares * np.log(np.maximum(shares, np.finfo(WIDE).tiny))).sum()
        excess = np.maximum(np.abs(share * dw) - l1, 0)
        if share < 1:
            excess = excess * (excess > 1e-17 * l1)
        if exact.l2 > 0:
            best = max(best, entropy - rest - (excess**2 / l2).sum() / 2)
        elif not excess.any():
            best = max(best, entropy - rest)
    return best
