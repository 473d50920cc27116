"""The objective of logistic regression in long double, in the columns as they are given and in standardised ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from quadratic import triangle

WIDE = np.longdouble


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

    def losses(self, z: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
        """``log sum_k exp(z_k) - z_y`` of every row, with all digits where it is small.

        ``kept``, of shape (n, K - 1), leaves terms of other classes out of the sum, which makes losses smaller.
        """
        others = self._others(z, kept)
        top = np.maximum(others.max(axis=1), 0)
        small = np.exp(others - top[:, None]).sum(axis=1)  # terms of the other classes
        return np.where(top > 0, top + np.log(np.exp(-top) + small), np.log1p(small))

    def _others(self, z: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
        """``z_k - z_y`` for the classes other than that of the row, of shape (n, K - 1)."""
        if self.n_logits == 1:
            others = np.where(self.y[:, None] == 1, -z, z)
        else:
            own = np.arange(self.n_logits) == self.y[:, None]
            others = (z - z[own][:, None])[~own].reshape(len(z), -1)
        return others if kept is None else np.where(kept, others, -WIDE(np.inf))

    def residuals(self, z: np.ndarray, kept: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """``p - y`` of shape (n, n_logits) with all digits, and the share ``q`` of the other classes, (n, K - 1)."""
        others = self._others(z, kept)
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

    Attributes
    ----------
    kept : bool ndarray of shape (n, K - 1) or None
        Terms of losses that count; fewer make the objective smaller everywhere.
    """

    def __init__(self, exact: Exact) -> None:
        self.exact = exact
        self.kept: np.ndarray | None = None
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
        loss = (self.exact.s * self.exact.losses(self.V @ u.T, self.kept)).sum()
        gauge = (self.gauge * u.sum(axis=0) ** 2).sum() / 2 if self.exact.n_logits > 1 else 0
        return loss + (self.l1 * np.abs(u)).sum() + (self.l2 * u * u).sum() / 2 + gauge

    def derivatives(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n_logits, n_columns) and Hessian of all but the L1 penalty."""
        exact, K, D = self.exact, self.exact.n_logits, self.n_columns
        residuals, _ = exact.residuals(self.V @ u.T, self.kept)
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
        residuals, q = exact.residuals(self.V @ u.T, self.kept)
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
