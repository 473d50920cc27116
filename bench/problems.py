"""Named problems, the objective in float64, and its minimum: what every benchmark of a fit shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gpu_logreg import LogisticRegression
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.passes.reference.curvature import curvature_sums
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

BLOCK = 50_000


class Problem(NamedTuple):
    """Rows, labels 0 and 1, and a name."""

    name: str
    X: np.ndarray
    y: np.ndarray


def gaussian(n: int, d: int, dtype: str = "float32", seed: int = 0) -> Problem:
    """Independent standard normal columns: as easy as data can be for a first-order solver."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d), dtype=dtype)
    w = rng.standard_normal(d) / np.sqrt(d)
    y = (rng.logistic(size=n) < X @ w).astype(np.int64)
    return Problem("gaussian", X, y)


def table_like(n: int, d: int, dtype: str = "float32", seed: int = 0) -> Problem:
    """Correlated columns (eigenvalues falling from 1 to 1e-3), scales from 0.1 to 10, means up to three scales."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d), dtype=dtype)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    mixing = (basis * np.sqrt(np.geomspace(1.0, 1e-3, d))).T
    scales = 10.0 ** rng.uniform(-1.0, 1.0, d)
    means = scales * rng.uniform(-3.0, 3.0, d)
    w = rng.standard_normal(d) / (scales * np.sqrt(d))
    y = np.empty(n, dtype=np.int64)
    for first in range(0, n, BLOCK):
        part = slice(first, first + BLOCK)
        centred = (X[part] @ mixing.astype(dtype)) * np.sqrt(d) * scales.astype(dtype)
        y[part] = rng.logistic(size=len(centred)) < 2.0 * (centred @ w)
        X[part] = centred + means.astype(dtype)
    return Problem("table-like", X, y)


def breast_cancer(n: int = 569, d: int = 30) -> Problem:
    """scikit-learn's breast-cancer data, raw units, float64."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    assert X.shape == (n, d)
    return Problem("breast cancer", X, y)


def torture(n: int = 200_000, d: int = 60) -> Iterator[Problem]:
    """The hard cases, in float64."""
    rng = np.random.default_rng(1)

    def labels(X: np.ndarray, w: np.ndarray, b: float = 0.0) -> np.ndarray:
        return (rng.logistic(size=len(X)) < X @ w + b).astype(np.int64)

    X = rng.standard_normal((n, d))
    w = 1.5 * rng.standard_normal(d) / np.sqrt(d)
    y = labels(X, w)
    yield Problem("Gaussian", X, y)
    order = np.argsort(y, kind="stable")
    yield Problem("sorted by label", X[order], y[order])
    twins = X.copy()
    twins[:, d // 2 :] = X[:, : d // 2] + 1e-4 * rng.standard_normal((n, d // 2))
    yield Problem("collinear columns", twins, labels(twins, w))
    yield Problem("means of 1,000", X + 1000.0, y)
    yield Problem("scales 1e-6 to 1e6", X * np.logspace(-6, 6, d), y)
    yield Problem("positives 0.06 %", X, labels(X, w, -8.4))
    yield Problem("near-separable", X, labels(X, 20.0 * w))
    yield Problem("separable", X, (X @ w > 0).astype(np.int64))
    heavy = rng.standard_t(2, size=(n, d))
    yield Problem("heavy tails", heavy, labels(heavy, 0.5 * w))
    share = 1.0 / np.arange(1, 21) ** 2.0
    levels = [np.eye(20)[rng.choice(20, size=n, p=share / share.sum())] for _ in range(3)]
    one_hot = np.hstack(levels)
    yield Problem("one-hot, 3 x 20 Zipf", one_hot, labels(one_hot, rng.standard_normal(60)))
    share = 1.0 / np.arange(1, 61) ** 1.5
    one_hot = np.eye(60)[rng.choice(60, size=n, p=share / share.sum())]
    yield Problem("one-hot, 60 Zipf", one_hot, labels(one_hot, rng.standard_normal(60)))
    rare = X.copy()
    for j in range(d // 2, d):
        rare[:, j] = 0.0
        rare[rng.choice(n, 10, replace=False), j] = 1.0
    yield Problem("rare columns, 10 hits", rare, labels(rare, 2.0 * w))


def value(X: np.ndarray, y: np.ndarray, w: np.ndarray, b: float, C: float = 1.0) -> float:
    """Mean loss plus penalty in float64, by the reference pass, a few rows at a time."""
    total, w = 0.0, np.asarray(w, dtype=np.float64)
    for first in range(0, len(X), BLOCK):
        part = slice(first, first + BLOCK)
        total += reference_pass(Rows(X[part].astype(np.float64), y[part], None), w, b).loss_sum
    return (total + 0.5 * float(w @ w) / C) / len(X)


def minimum(X: np.ndarray, y: np.ndarray, w: np.ndarray, b: float, C: float = 1.0) -> float:
    """The least value, by Newton's method on all rows in float64 from a point near it."""
    n, d = X.shape
    if d > n:
        return _minimum_of_few_rows(X, y, C)
    params = np.append(w, b).astype(np.float64)
    best = value(X, y, params[:-1], params[-1], C)
    spread = X[:: max(1, n // 10_000)].astype(np.float64).std(axis=0)
    scale = np.append(np.where(spread > 0, spread, 1.0), 1.0)
    centre = X[:: max(1, n // 10_000)].astype(np.float64).mean(axis=0)
    for _ in range(6):
        grad, hessian = np.zeros(d + 1), np.zeros((d + 1, d + 1))
        for first in range(0, n, BLOCK):
            block = X[first : first + BLOCK].astype(np.float64)
            sums = reference_pass(Rows(block, y[first : first + BLOCK], None), params[:-1], params[-1])
            grad += np.append(sums.dw_sum, sums.db_sum)
            z = block @ params[:-1] + params[-1]
            U = np.hstack([(block - centre) / scale[:-1], np.ones((len(block), 1))])
            hessian += curvature_sums(U, curvature(z), np.ones(len(block)))
        grad[:-1] += params[:-1] / C
        hessian[:-1, :-1] += np.diag(1.0 / (C * scale[:-1] ** 2))
        by_u = np.append((grad[:-1] - centre * grad[-1]) / scale[:-1], grad[-1])
        step = np.linalg.solve(hessian, by_u)
        moved = step[:-1] / scale[:-1]
        trial = params - np.append(moved, step[-1] - centre @ moved)
        trial_value = value(X, y, trial[:-1], trial[-1], C)
        gain = best - trial_value
        if gain <= 0:
            break
        params, best = trial, trial_value
        if gain < 1e-15 * best:
            break
    return best


def _minimum_of_few_rows(X: np.ndarray, y: np.ndarray, C: float) -> float:
    """The least value where there are more columns than rows, by a fit at a tight tolerance, and with its proof.

    The penalty makes the mean objective strongly convex with the constant ``1 / (C n)``, but for the intercept; so
    ``F - min F <= C n |grad|**2 / 2`` where the gradient by the intercept is zero.
    """
    X = X.astype(np.float64)
    model = LogisticRegression(C=C, tol=1e-12, solver="newton-cg").fit(X, y)
    w, b = model.coef_[0], float(model.intercept_[0])
    sums = reference_pass(Rows(X, y, None), w, b)
    grad = (sums.dw_sum + w / C) / len(X)
    least = value(X, y, w, b, C)
    assert C * len(X) * float(grad @ grad) / 2.0 < 1e-10 * least
    assert abs(sums.db_sum) / len(X) < 1e-8
    return least
