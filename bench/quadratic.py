"""Small systems and quadratics with an L1 term in long double, which LAPACK does not know."""

from __future__ import annotations

from typing import Any

import numpy as np

WIDE = np.longdouble


def cholesky(A: np.ndarray) -> np.ndarray | None:
    """Lower factor of a symmetric matrix, or None where a pivot is not positive."""
    n = len(A)
    L = np.zeros_like(A)
    for j in range(n):
        column = A[j:, j] - L[j:, :j] @ L[j, :j]
        if not column[0] > 0:
            return None
        L[j:, j] = column / np.sqrt(column[0])
    return L


def solve(L: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``inv(L L') b``."""
    x = b.copy()
    n = len(x)
    for j in range(n):
        x[j] = (x[j] - L[j, :j] @ x[:j]) / L[j, j]
    for j in reversed(range(n)):
        x[j] = (x[j] - L[j + 1 :, j] @ x[j + 1 :]) / L[j, j]
    return x


def triangle(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``R`` and the order of the columns, with ``R' R = M[:, order]' M[:, order]``, by Householder's reflections.

    What is small in ``M`` keeps its digits, which the product ``M' M`` would lose: rows are sorted by size and columns
    taken by the size of what is left of them.
    """
    M = M[np.argsort(-np.abs(M).max(axis=1), kind="stable")]
    n = M.shape[1]
    if len(M) < n:
        M = np.vstack([M, np.zeros((n - len(M), n), M.dtype)])
    order = np.arange(n)
    for j in range(n):
        left = (M[j:, j:] ** 2).sum(axis=0)
        best = j + int(np.argmax(left))
        M[:, [j, best]] = M[:, [best, j]]
        order[[j, best]] = order[[best, j]]
        norm = np.sqrt(left[best - j])
        if norm == 0:
            M[j:, j:] = 0
            break
        v = M[j:, j].copy()
        v[0] += np.copysign(norm, v[0])
        v /= np.sqrt((v * v).sum())
        M[j:, j:] -= 2 * np.outer(v, v @ M[j:, j:])
        M[j + 1 :, j] = 0
    return M[:n], order


def solve_transposed(R: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``inv(R') b`` for an upper triangle, for one or many right sides."""
    x = b.copy()
    for j in range(len(x)):
        x[j] = (x[j] - R[:j, j] @ x[:j]) / R[j, j]
    return x


def solve_upper(R: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``inv(R) b`` for an upper triangle."""
    x = b.copy()
    for j in reversed(range(len(x))):
        x[j] = (x[j] - R[j, j + 1 :] @ x[j + 1 :]) / R[j, j]
    return x


def minimise_quadratic(H: np.ndarray, grad: np.ndarray, u: np.ndarray, l1: np.ndarray, jitter: float) -> np.ndarray:
    """``argmin_t grad (t - u) + (t - u) H (t - u) / 2 + sum_j l1_j |t_j|``, with ``jitter`` on H scaled to ones.

    By feature-sign search (H. Lee, A. Battle, R. Raina and A. Ng, "Efficient sparse coding algorithms", 2006): a
    linear system of the parameters that are not zero, and a search along its solution across the changes of sign.
    First in float64, from whose answer the search in long double takes a few steps.
    """
    diagonal = np.diag(H)
    size = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    A = H / size[:, None] / size + WIDE(jitter) * np.eye(len(H), dtype=WIDE)
    start = u * size
    b = A @ start - grad / size
    strength = l1 / size
    if not strength.any():
        factor = cholesky(A)
        while factor is None:  # rounding; what it changes the line search and the bound see
            A += WIDE(jitter) * 10 * np.eye(len(H), dtype=WIDE)
            jitter *= 10
            factor = cholesky(A)
        return solve(factor, b) / size
    narrow = np.array(A, dtype=np.float64) + 1e-14 * np.eye(len(A))
    unit = max(float(np.abs(b).max()), 1e-4000) if len(b) else 1.0
    guess = _feature_signs(
        narrow, (b / unit).astype(np.float64), (strength / unit).astype(np.float64), (start / unit).astype(np.float64)
    )
    near = np.where(guess != 0, guess.astype(WIDE) * unit, 0)
    return _feature_signs(A, b, strength, near) / size


def _feature_signs(A: np.ndarray, b: np.ndarray, l1: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``argmin_t t A t / 2 - b t + sum_j l1_j |t_j|``."""
    eps = np.finfo(A.dtype).eps
    t, signs = t.copy(), np.sign(t)
    free = l1 == 0
    for _ in range(20 * len(b) + 20):
        grad = A @ t - b
        room = np.where((signs == 0) & ~free, np.abs(grad) - l1, 0)
        limit = 8 * eps * (np.abs(A) @ np.abs(t) + np.abs(b) + l1)
        active = (signs != 0) | free
        away = np.where(active, np.abs(grad + l1 * signs), 0)
        if (room <= limit).all() and (away <= 64 * limit).all():
            break
        if (away <= 64 * limit).all():
            j = int(np.argmax(room / np.maximum(limit, np.finfo(A.dtype).tiny)))
            signs[j] = -np.sign(grad[j])
            active[j] = True
        moved = _signed_step(A, b, l1, t, signs, active)
        if moved is None:
            break
        t = moved
        signs = np.where(free, 0, np.sign(t))
    return t


def _signed_step(
    A: np.ndarray, b: np.ndarray, l1: np.ndarray, t: np.ndarray, signs: np.ndarray, active: np.ndarray
) -> Any:
    """To the minimum with these signs, or to the best change of sign on the way; None where nothing is lower."""
    which = np.flatnonzero(active)
    part = A[np.ix_(which, which)]
    right = b[which] - l1[which] * signs[which]
    if A.dtype == np.float64:
        try:
            target = np.linalg.solve(part, right)
        except np.linalg.LinAlgError:
            return None
    else:
        factor = cholesky(part)
        if factor is None:
            return None
        target = solve(factor, right)
        target += solve(factor, right - part @ target)
    here = t[which]
    step = target - here
    crossing = (l1[which] > 0) & (here != 0) & (np.sign(target) != np.sign(here))
    lengths = np.append(np.sort(-here[crossing] / step[crossing]), 1.0).astype(A.dtype)
    slope, bend = step @ (part @ here - b[which]), step @ part @ step
    trials = here + lengths[:, None] * step
    gains = lengths * slope + lengths**2 * bend / 2 + (l1[which] * (np.abs(trials) - np.abs(here))).sum(axis=1)
    best = int(np.argmin(gains))
    if not gains[best] < 0:
        return None
    moved = t.copy()
    moved[which] = trials[best]
    if lengths[best] < 1:
        zero = np.zeros(len(here), dtype=bool)
        zero[crossing] = -here[crossing] / step[crossing] == lengths[best]
        moved[which[zero]] = 0
    return moved
