"""Lower bounds of the minimum of a convex objective from a point near it, up to rounding in long double.

1. Along a line on which no difference of two logits of a row moves faster than ``m``, the second derivative of the
   loss falls no faster than ``exp(-m t)``. With the subgradient ``v`` of least norm, the Hessian ``H``, its decrement
   ``D = sqrt(v' inv(H) v)``, and ``R`` the largest ``sqrt(x' inv(H) x)`` of the rows, the minimum is therefore at least
   ``value - (q + (1 - q) log(1 - q)) / R**2``, ``q = D R``, where ``q < 1`` (F. Bach, "Self-concordant analysis for
   logistic regression", 2010). As ``R`` falls with ``D`` that is nearly ``value - D**2 / 2``.
2. Fenchel's: residuals ``a (p - y)``, ``0 <= a <= 1``, are a point of the dual problem, whose value is the entropy of
   ``y + a (p - y)`` less the conjugate of the penalty.

Both stay bounds where terms of losses and penalties are left out that are next to nothing, which makes the rest
well-conditioned where rows are all but certain or columns depend on each other; and where the losses of some rows are
replaced by their tangents, of rows whose curvature is too small to bound how far they move.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from exact_objective import WIDE, Standard
from newton_steps import polished
from quadratic import solve_transposed, solve_upper, triangle

FLAT = 1e-16
"""Length of what is left of a column of length 1, the others taken away, below which all of it may be rounding."""
NO_PULL = 1e-16
"""Size of a subgradient relative to that of its terms below which it may be rounding."""
NEGLIGIBLE = 1e-9
"""Share of the value below which the probability of a class for a row is left out."""

SHARP = WIDE(2e-9)
"""Relative distance of a bound from the value that is close enough."""


def lower_bound(problem: Standard, u: np.ndarray, value: Any) -> Any:
    """The greatest of the bounds; minus infinity where none holds."""
    best = max(_by_curvature(problem, u), _by_dual(problem, u))
    if best >= value * (1 - SHARP):
        return best
    fewer = copy.copy(problem)
    _, q = problem.exact.residuals(problem.V @ u.T)
    least = NEGLIGIBLE * value
    fewer.kept = problem.exact.s[:, None] * q > least / q.size
    largest = np.abs(u).max(initial=WIDE(1))
    fewer.l1 = np.where(problem.l1 * largest > least / u.size, problem.l1, 0)
    fewer.l2 = np.where(problem.l2 * largest**2 > least / u.size, problem.l2, 0)
    u = polished(fewer, u)
    for farthest in (np.inf, 1e12, 1e9, 1e6, 1e3):
        fewer.bent = _reach_by_row(fewer, u) < farthest
        best = max(best, _by_curvature(fewer, u))
        if best >= value * (1 - SHARP):
            break
    return best


def _by_curvature(problem: Standard, u: np.ndarray) -> Any:
    """The first bound of the module; minus infinity where it does not hold."""
    grad = problem.gradient(u)
    v = problem.subgradient(u, grad).ravel()
    # Where L1 holds a parameter at zero it pulls more than the gradient does, by this much.
    slack = np.where(u != 0, 0, problem.l1 - np.abs(grad)).ravel()
    held = slack > 1e-9 * problem.l1.ravel()
    root = problem.root(u)
    size = np.sqrt((root**2).sum(axis=0))
    size[size == 0] = 1
    root, v, slack = root / size, v / size, slack / size
    for _ in range(4):
        free = np.flatnonzero(~held)
        R, order = triangle(root[:, free])
        rank = int((np.abs(np.diag(R)) > FLAT).sum())
        R, flat = R[:rank, :rank], R[:rank, rank:]
        pulls = v[free[order]]
        by_root = solve_transposed(R, pulls[:rank])
        # What the free parameters gain by must not outdo the slack of those that are held.
        gained = root[:, free[order[:rank]]] @ solve_upper(R, by_root)
        outdone = held & (np.abs(root.T @ gained) > slack)
        if not outdone.any():
            break
        held &= ~outdone
    else:
        return -WIDE(np.inf)
    value = problem.value(u)
    if rank < len(order):
        value -= _gain_where_flat(problem, u, np.abs(pulls[rank:] - flat.T @ by_root), size, free[order[rank:]])
    decrement = np.sqrt((by_root**2).sum())
    of_rows = _reach_by_row(problem, u)
    reach = (of_rows if problem.bent is None else of_rows[problem.bent]).max(initial=WIDE(0))
    if not held.any() and rank == len(order):
        reach = min(reach, _reach(problem, R, size, order))
    q = decrement * reach
    if not (q < 1 and value > -np.inf):
        return -WIDE(np.inf)
    if q < 1e-4:
        return value - decrement**2 * (1 + q) / 2
    return value - (q + (1 - q) * np.log1p(-q)) / reach**2


def _gain_where_flat(problem: Standard, u: np.ndarray, rest: np.ndarray, size: np.ndarray, which: np.ndarray) -> Any:
    """What is to gain at most by parameters on which nothing bends, from what still pulls at them.

    A penalty at the minimum is no more than the value here, which bounds the parameter. Nothing pulls where there is
    no penalty: the gradient of a loss is made of the same rows as its Hessian.
    """
    l1, l2 = problem.l1.ravel(), problem.l2.ravel()
    value = problem.value(u)
    farthest = np.minimum(value / l1, np.sqrt(2 * value / l2))[which]
    gain = np.where(rest > 0, rest * size[which] * (np.abs(u.ravel()[which]) + farthest), 0)
    terms = (problem.gradient_size(u).ravel() / size).max(initial=WIDE(0))
    least = (l1 / size)[l1 > 0].min(initial=WIDE(np.inf))
    if least > 100 * NO_PULL * terms:
        gain = np.where((farthest == np.inf) & (rest <= NO_PULL * terms), 0, gain)
    return gain.sum()


def _counted(problem: Standard) -> np.ndarray:
    """Classes of every row that count, its own among them; of shape (n, K)."""
    exact = problem.exact
    n, K = len(problem.V), exact.n_classes
    counted = np.ones((n, K), dtype=bool)
    if problem.kept is not None:
        counted[np.arange(K) != exact.y[:, None]] = problem.kept.ravel()
    return counted if problem.bent is None else counted & problem.bent[:, None]


def _reach_by_row(problem: Standard, u: np.ndarray) -> np.ndarray:
    """The largest difference of two logits of every row, along a direction of unit length by the row's curvature."""
    exact, K = problem.exact, problem.exact.n_classes
    counted = _counted(problem)
    _, q = exact.residuals(problem.V @ u.T, problem.kept)
    p = np.empty((len(q), K), WIDE)
    own = np.arange(K) == exact.y[:, None]
    p[~own], p[own] = q.ravel(), 1 - q.sum(axis=1)
    reach = np.zeros(len(p), WIDE)
    for a in range(K):
        for b in range(a + 1, K):
            of_pair = (1 / p[:, a] + 1 / p[:, b]) / exact.s
            reach = np.maximum(reach, np.where(counted[:, a] & counted[:, b], of_pair, 0))
    return np.sqrt(reach)


def _reach(problem: Standard, R: np.ndarray, size: np.ndarray, order: np.ndarray) -> Any:
    """The same along a direction of unit length by all rows and the penalty."""
    K = problem.exact.n_logits
    counted = _counted(problem)
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
