"""An independent certificate for fits of logistic regression, in long double; shares no code with the package.

For rows as they are given it has the objective ``C sum(s row_loss) + r |w|_1 + (1 - r) |w|**2 / 2`` divided by
``C sum(s)``, a point near its minimum from a damped Newton's method of its own, and a lower bound of the minimum.
A fit whose value exceeds that of the point is not at the minimum, whatever the bound says; one that is within the
tolerance of the bound is, whatever the point says.

The lower bound is the greater of two.

1. Along a line on which no difference of two logits of a row moves faster than ``m``, the second derivative of the
   loss falls no faster than ``exp(-m t)``. With the subgradient ``v`` of least norm, the Hessian ``H``, its decrement
   ``D = sqrt(v' inv(H) v)``, and ``R`` the largest ``sqrt(x' inv(H) x)`` of the rows, the minimum is therefore at least
   ``value - (q + (1 - q) log(1 - q)) / R**2``, ``q = D R``, where ``q < 1`` (F. Bach, "Self-concordant analysis for
   logistic regression", 2010). As ``R`` falls with ``D`` that is nearly ``value - D**2 / 2``.
2. Fenchel's: residuals ``a (p - y)``, ``0 <= a <= 1``, are a point of the dual problem, whose value is the entropy of
   ``y + a (p - y)`` less the conjugate of the penalty.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from quadratic import minimise_quadratic, solve_transposed, triangle

WIDE = np.longdouble
JITTER = 1e-17
"""Added to the diagonal of a Hessian scaled to ones; its effect is accounted for in the bound."""


class Truth(NamedTuple):
    """A point near the minimum, and what is known of the minimum; values are divided by ``C sum(s)``.

    ``lower <= minimum <= upper``, up to rounding in long double. Where the classes are separable and nothing is
    penalised there is no minimum, and ``lower`` is 0.
    """

    lower: float
    upper: float
    separable: bool
    coef: np.ndarray
    intercept: np.ndarray
    n_iter: int


class Exact:
    """The objective of one problem in long double.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The rows as they are given, whatever their dtype.
    labels : integer ndarray of shape (n,)
        Classes from 0 to K - 1.
    weights : ndarray of shape (n,)
        Row weights times class weights.
    n_classes, C, l1_ratio, fit_intercept
    """

    def __init__(
        self, X: Any, labels: Any, weights: Any, n_classes: int, C: float, l1_ratio: float, fit_intercept: bool
    ) -> None:
        s = np.asarray(weights).astype(WIDE)
        keep = s > 0
        self.x = np.asarray(X)[keep].astype(WIDE)
        self.s = s[keep] / s.sum()
        self.y = np.asarray(labels)[keep]
        self.n_classes, self.n_logits = n_classes, 1 if n_classes == 2 else n_classes
        self.fit_intercept = fit_intercept
        strength = WIDE(0) if math.isinf(C) else 1 / (WIDE(C) * s.sum())
        self.l1, self.l2 = WIDE(l1_ratio) * strength, (1 - WIDE(l1_ratio)) * strength
        self.least_weight = self.s.min()

    def logits(self, coef: Any, intercept: Any) -> np.ndarray:
        """Of the rows, of shape (n, n_logits)."""
        return self.x @ np.asarray(coef).astype(WIDE).T + np.asarray(intercept).astype(WIDE)

    def value(self, coef: Any, intercept: Any) -> Any:
        """The objective at ``coef`` of shape (n_logits, d) and ``intercept`` of shape (n_logits,)."""
        w = np.asarray(coef).astype(WIDE)
        penalty = self.l1 * np.abs(w).sum() + self.l2 / 2 * (w * w).sum()
        return (self.s * self.losses(self.logits(coef, intercept))).sum() + penalty

    def losses(self, z: np.ndarray) -> np.ndarray:
        """``log sum_k exp(z_k) - z_y`` of every row, with all digits where it is small."""
        others = self._others(z)
        top = np.maximum(others.max(axis=1), 0)
        small = np.exp(others - top[:, None]).sum(axis=1)  # terms of the other classes
        return np.where(top > 0, top + np.log(np.exp(-top) + small), np.log1p(small))

    def _others(self, z: np.ndarray) -> np.ndarray:
        """``z_k - z_y`` for the classes other than that of the row, of shape (n, K - 1)."""
        if self.n_logits == 1:
            return np.where(self.y[:, None] == 1, -z, z)
        own = np.arange(self.n_logits) == self.y[:, None]
        moved = z - z[own][:, None]
        return moved[~own].reshape(len(z), -1)

    def residuals(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``p - y`` of shape (n, n_logits) with all digits, and the share ``q`` of the other classes, (n, K - 1)."""
        others = self._others(z)
        top = np.maximum(others.max(axis=1), 0)[:, None]
        terms = np.exp(others - top)
        q = terms / (np.exp(-top) + terms.sum(axis=1, keepdims=True))
        if self.n_logits == 1:
            return np.where(self.y[:, None] == 1, -q, q), q
        own = np.arange(self.n_logits) == self.y[:, None]
        residuals = np.empty_like(z)
        residuals[~own] = q.ravel()
        residuals[own] = -q.sum(axis=1)
        return residuals, q


class Standard:
    """The same objective in standardised columns: ``z = u V + c``, ``u = scale w``, ``c = b + centre w``.

    Columns that do not vary have a weight of zero: they lower nothing that the intercept does not. Where nothing is
    penalised, so have those that others add up to; where L1 alone is, so have copies of columns in larger units.
    """

    def __init__(self, exact: Exact) -> None:
        self.exact = exact
        x, s = exact.x, exact.s
        centre = (s[:, None] * x).sum(axis=0) if exact.fit_intercept else np.zeros(x.shape[1], WIDE)
        moved = x - centre
        if exact.fit_intercept:
            moved[:, (x == x[0]).all(axis=0)] = 0
        scale = np.sqrt((s[:, None] * moved * moved).sum(axis=0))
        self.used = scale > 0
        if exact.l2 == 0:
            self._drop_copies(moved, scale)
        self.centre, self.scale = centre[self.used], scale[self.used]
        ones = [np.ones((len(x), 1), WIDE)] if exact.fit_intercept else []
        self.V = np.hstack([moved[:, self.used] / self.scale, *ones])
        self.d, self.n_columns = int(self.used.sum()), self.V.shape[1]
        K = exact.n_logits
        tail = np.zeros(self.n_columns - self.d, WIDE)
        self.l1 = np.tile(np.append(exact.l1 / self.scale, tail), (K, 1))
        self.l2 = np.tile(np.append(exact.l2 / self.scale**2, tail), (K, 1))
        # A constant added to all classes changes no loss. Where that is not for the penalty to decide, or where the
        # penalty decides for 0, a ridge on the sum over the classes changes no minimum and makes H regular.
        self.gauge = np.zeros(self.n_columns, WIDE)
        if K > 1:
            self.gauge[:] = 1 if exact.l1 == 0 else np.append(np.zeros(self.d), np.ones(len(tail)))

    def _drop_copies(self, moved: np.ndarray, scale: np.ndarray) -> None:
        exact = self.exact
        which = np.flatnonzero(self.used)
        which = which[np.argsort(-scale[which], kind="stable")]
        V = moved[:, which] / scale[which]
        if exact.l1 > 0:
            seen: set[bytes] = set()
            for j, column in zip(which, V.T, strict=True):
                copies = {column.astype(np.float64).tobytes(), (-column).astype(np.float64).tobytes()}
                if copies & seen:
                    self.used[j] = False
                seen |= copies
            return
        ones = np.ones((len(V), int(exact.fit_intercept)), WIDE)
        R, order = triangle(np.sqrt(exact.s)[:, None] * np.hstack([V, ones]))
        dependent = order[np.abs(np.diag(R)) <= 1e-16]
        self.used[which[dependent[dependent < len(which)]]] = False

    def value(self, u: np.ndarray) -> Any:
        """At ``u`` of shape (n_logits, n_columns)."""
        loss = (self.exact.s * self.exact.losses(self.V @ u.T)).sum()
        gauge = (self.gauge * u.sum(axis=0) ** 2).sum() / 2 if self.exact.n_logits > 1 else 0
        return loss + (self.l1 * np.abs(u)).sum() + (self.l2 * u * u).sum() / 2 + gauge

    def derivatives(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n_logits, n_columns) and Hessian of all but the L1 penalty."""
        exact, K, D = self.exact, self.exact.n_logits, self.n_columns
        residuals, _ = exact.residuals(self.V @ u.T)
        weighted = exact.s[:, None] * residuals
        grad = weighted.T @ self.V + self.l2 * u
        p = np.abs(residuals)  # of the class, and 1 - p of the own class
        own = np.zeros_like(p, dtype=bool) if K == 1 else np.arange(K) == exact.y[:, None]
        share = np.where(own, 1 - p, p)
        H = np.zeros((K, D, K, D), WIDE)
        for a in range(K):
            for b in range(a, K):
                curvature = p[:, a] * (1 - p[:, a]) if a == b else -share[:, a] * share[:, b]
                block = (self.V * (exact.s * curvature)[:, None]).T @ self.V
                H[a, :, b, :] = block
                H[b, :, a, :] = block.T
        columns = np.arange(D)
        for a in range(K):
            H[a, columns, a, columns] += self.l2[a]
        if K > 1:
            grad = grad + self.gauge * u.sum(axis=0)
            for a in range(K):
                for b in range(K):
                    H[a, columns, b, columns] += self.gauge
        return grad, H.reshape(K * D, K * D)

    def root(self, u: np.ndarray, gauge: np.ndarray) -> np.ndarray:
        """``M`` with ``M' M`` the Hessian, the ridge and a gauge: every digit of what a row or a column adds."""
        exact, K, D = self.exact, self.exact.n_logits, self.n_columns
        residuals, q = exact.residuals(self.V @ u.T)
        ridges = [np.diag(np.sqrt(self.l2.ravel()))]
        if K == 1:
            return np.vstack([np.sqrt(exact.s * q[:, 0] * (1 - q[:, 0]))[:, None] * self.V, *ridges])
        own = np.arange(K) == exact.y[:, None]
        p = np.where(own, 1 + residuals, residuals)
        blocks = []
        for k in range(K):  # sum_k p_k (e_k - p) (e_k - p)'
            away = np.where(own & (np.arange(K) == k), -residuals, (np.arange(K) == k) - p)
            blocks.append(
                ((np.sqrt(exact.s * p[:, k])[:, None] * away)[:, :, None] * self.V[:, None, :]).reshape(-1, K * D)
            )
        return np.vstack([*blocks, *ridges, np.tile(np.diag(np.sqrt(gauge)), (1, K))])

    def start(self) -> np.ndarray:
        """No weights, and the intercepts that are best then."""
        exact = self.exact
        u = np.zeros((exact.n_logits, self.n_columns), WIDE)
        if exact.fit_intercept:
            shares = np.array([exact.s[exact.y == k].sum() for k in range(exact.n_classes)])
            shares = np.maximum(shares, WIDE(1e-30))
            logs = np.log(shares)
            u[:, -1] = logs[1] - logs[0] if exact.n_logits == 1 else logs - logs.mean()
        return u

    def given(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and intercepts in the given columns."""
        coef = np.zeros((len(u), len(self.used)), WIDE)
        coef[:, self.used] = u[:, : self.d] / self.scale
        if not self.exact.fit_intercept:
            return coef, np.zeros(len(u), WIDE)
        return coef, u[:, -1] - coef[:, self.used] @ self.centre

    def subgradient(self, u: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """The subgradient of least norm."""
        pulled = np.sign(grad) * np.maximum(np.abs(grad) - self.l1, 0)
        return np.where(u != 0, grad + self.l1 * np.sign(u), pulled)


def find_truth(exact: Exact, max_iter: int = 300) -> Truth:
    """A point near the minimum, and a lower bound of the minimum."""
    problem = Standard(exact)
    u = problem.start()
    value, lower, separable = problem.value(u), WIDE(0), False
    n_iter = 0
    if problem.n_columns == 0:
        return Truth(float(value), float(value), False, *problem.given(u), 0)
    for n_iter in range(1, max_iter + 1):  # noqa: B007 - told at the end
        if exact.l1 == exact.l2 == 0 and value < math.log(2.0) * exact.least_weight:
            separable = True  # every row is on its right side: the loss falls to 0 along this direction
            break
        grad, H = problem.derivatives(u)
        step, left = _step(problem, u, grad, H)
        moved = _line_search(problem, u, value, step, left)
        if moved is None or left <= WIDE(1e-17) * value:
            break
        u, value = moved
    if not separable:
        u, grad = _polished(problem, u)
        value = problem.value(u)
        lower = max(lower, _by_curvature(problem, u, value, grad), _by_dual(problem, u))
    coef, intercept = problem.given(u)
    return Truth(float(lower), float(value), separable, coef, intercept, n_iter)


def _step(problem: Standard, u: np.ndarray, grad: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, Any]:
    """The step to the minimum of the model of second order, and what the model of first order says it gains."""
    target = minimise_quadratic(H, grad.ravel(), u.ravel(), problem.l1.ravel(), JITTER).reshape(u.shape)
    step = target - u
    return step, -(grad * step).sum() - (problem.l1 * (np.abs(target) - np.abs(u))).sum()


def _line_search(
    problem: Standard, u: np.ndarray, value: Any, step: np.ndarray, left: Any
) -> tuple[np.ndarray, Any] | None:
    length = WIDE(1)
    for _ in range(60):
        trial = u + step if length == 1 else u + length * step
        trial_value = problem.value(trial)
        if trial_value <= value - WIDE(1e-4) * length * left and trial_value < value:
            return trial, trial_value
        length /= 2
    return None


def _polished(problem: Standard, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole steps while the subgradient falls, whose size goes on to tell where the value is all rounding."""

    def size(u: np.ndarray, grad: np.ndarray, H: np.ndarray) -> Any:
        diagonal = np.maximum(np.diag(H), np.finfo(WIDE).tiny)
        return np.abs(problem.subgradient(u, grad).ravel() / np.sqrt(diagonal)).max(initial=WIDE(0))

    grad, H = problem.derivatives(u)
    here = size(u, grad, H)
    for _ in range(8):
        trial = u + _step(problem, u, grad, H)[0]
        trial_grad, trial_H = problem.derivatives(trial)
        there = size(trial, trial_grad, trial_H)
        if not there < here:
            break
        u, grad, H, done, here = trial, trial_grad, trial_H, there > here / 2, there
        if done:
            break
    return u, grad


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


def _by_curvature(problem: Standard, u: np.ndarray, value: Any, grad: np.ndarray) -> Any:
    """The first bound of the module; minus infinity where it does not hold."""
    exact, K = problem.exact, problem.exact.n_logits
    v, by_shift = problem.subgradient(u, grad), WIDE(0)
    gauge = problem.gauge
    if K > 1 and exact.l1 > 0:
        v, by_shift = _without_shift(problem, u, grad)
        gauge = np.ones_like(gauge)
    root = problem.root(u, gauge)
    size = np.sqrt((root**2).sum(axis=0))
    if not (size > 0).all():
        return -WIDE(np.inf)
    R, order = triangle(root / size)
    if not np.abs(np.diag(R)).min() > 1e-16:  # all of it may be rounding
        return -WIDE(np.inf)
    decrement = np.sqrt((solve_transposed(R, (v.ravel() / size)[order]) ** 2).sum())
    reach = WIDE(0)
    for a in range(K):
        for b in range(a + 1, K) if K > 1 else [a]:
            rows = np.zeros((len(problem.V), K, problem.n_columns), WIDE)
            rows[:, a] = problem.V
            if K > 1:
                rows[:, b] = -problem.V
            by_row = solve_transposed(R, (rows.reshape(len(rows), -1) / size).T[order])
            reach = max(reach, np.sqrt((by_row**2).sum(axis=0).max()))
    value, q = value - by_shift, decrement * reach
    if not q < 1:
        return -WIDE(np.inf)
    if q < 1e-4:
        return value - decrement**2 * (1 + q) / 2
    return value - (q + (1 - q) * np.log1p(-q)) / reach**2


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
