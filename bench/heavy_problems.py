"""Problems in which a few rows carry the curvature, and their objective in float64 with its minimum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.curvature import classes_curvature
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows


class Case(NamedTuple):
    """Rows and labels, the penalty, and the most reads that a fit should take."""

    X: np.ndarray
    y: np.ndarray
    limit: int
    C: float = 1.0


def two_classes(rng: np.random.Generator, X: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Labels by logits of spread 2."""
    z = X @ w
    return (rng.logistic(size=len(X)) < 2.0 * z / z.std()).astype(np.int64)


def classes(rng: np.random.Generator, X: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Numbers of classes by logits of spread 2."""
    Z = X @ W
    return (2.0 * Z / Z.std() + rng.gumbel(size=Z.shape)).argmax(axis=1)


def outlier_rows(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which twenty are ten thousand times as long, and others that the labels are drawn by."""
    X = rng.standard_normal((n, d))
    X[rng.choice(n, 20, replace=False)] *= 1e4
    return X, rng.standard_normal((n, d))


def powers(n: int = 200_000, seed: int = 7) -> Case:
    """Columns t, t^2, ..., t^12 of a normal t, hardly penalised."""
    rng = np.random.default_rng(seed)
    t = rng.standard_normal(n)
    X = np.stack([t**k for k in range(1, 13)], axis=1)
    return Case(X, (rng.logistic(size=n) < t - t**2).astype(np.int64), 20, 1e4)


def rare_columns(rng: np.random.Generator, n: int, dense: int, rare: int, least: float) -> np.ndarray:
    """Normal columns, and rare ones at rates from ``10**least`` to a tenth, with values of log-normal scales."""
    rates, values = 10.0 ** rng.uniform(least, -1.0, rare), np.exp(2.0 * rng.standard_normal((n, rare)))
    return np.hstack([rng.standard_normal((n, dense)), (rng.random((n, rare)) < rates) * values])


def of_two(kind: str, n: int = 200_000, d: int = 60, seed: int = 7) -> Case:
    """The cases of two classes but for `powers`."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(d)
    if kind == "outlier rows":
        X, by = outlier_rows(rng, n, d)
        return Case(X, two_classes(rng, by, w), 15)
    if kind == "Cauchy":
        return Case(rng.standard_cauchy((n, d)), two_classes(rng, rng.standard_normal((n, d)), w), 20)
    if kind == "log-normal(3)":
        X = np.exp(3.0 * rng.standard_normal((n, d)))
        return Case(X, (rng.logistic(size=n) < np.log(X) @ w / 10.0).astype(np.int64), 20)
    X = rare_columns(rng, n, d // 3, d - d // 3, -4.7)
    return Case(X, two_classes(rng, X, w), 15)


def of_six(kind: str, n: int = 100_000, d: int = 40, seed: int = 7) -> Case:
    """The cases of six classes."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((d, 6))
    if kind == "outlier rows":
        X, by = outlier_rows(rng, n, d)
        return Case(X, classes(rng, by, W), 25)
    if kind == "Cauchy":
        X = rng.standard_cauchy((n, d))
        return Case(X, classes(rng, np.clip(X, -10.0, 10.0), W), 25)
    if kind == "log-normal(3)":
        X = np.exp(3.0 * rng.standard_normal((n, d)))
        return Case(X, classes(rng, np.log(X), W), 25)
    X = rare_columns(rng, n, d // 2, d - d // 2, -4.5)
    return Case(X, classes(rng, X, W), 25)


CASES: dict[str, Callable[..., Case]] = {
    "outlier rows": lambda **size: of_two("outlier rows", **size),
    "powers of t, C = 1e4": powers,
    "Cauchy": lambda **size: of_two("Cauchy", **size),
    "log-normal(3)": lambda **size: of_two("log-normal(3)", **size),
    "rare columns": lambda **size: of_two("rare columns", **size),
    "outlier rows, K = 6": lambda **size: of_six("outlier rows", **size),
    "Cauchy, K = 6": lambda **size: of_six("Cauchy", **size),
    "log-normal(3), K = 6": lambda **size: of_six("log-normal(3)", **size),
    "rare columns, K = 6": lambda **size: of_six("rare columns", **size),
}
"""How each case is drawn; by ``n`` rows, if that is given."""


class Truth:
    """The objective in float64, by all rows in standardised columns."""

    def __init__(self, case: Case) -> None:
        self.y, self.C, self.K = case.y, case.C, int(case.y.max()) + 1
        self.mean, self.scale = case.X.mean(axis=0), case.X.std(axis=0)
        self.scale[self.scale == 0.0] = 1.0
        self.U = np.hstack([(case.X - self.mean) / self.scale, np.ones((len(case.X), 1))])
        self.ridge = np.append(1.0 / (case.C * self.scale**2), 0.0) / len(case.X)

    def phi(self, model: Any) -> np.ndarray:
        """The parameters of a fit, by standardised columns."""
        coef = model.coef_.astype(np.float64)
        intercept = np.asarray(model.intercept_, dtype=np.float64) + coef @ self.mean
        return np.hstack([coef * self.scale, intercept[:, None]])

    def value_and_grad(self, phi: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean loss plus penalty, and its gradient, of shape (1, p) or (K, p)."""
        rows, n = Rows(self.U, self.y, None), len(self.U)
        if self.K == 2:
            sums = reference_pass(rows, phi[0], 0.0)
        else:
            sums = reference_multinomial_pass(rows, phi, np.zeros(self.K))
        penalised = self.ridge * phi
        return sums.loss_sum / n + 0.5 * float((phi * penalised).sum()), np.reshape(
            sums.dw_sum, phi.shape
        ) / n + penalised

    def hessian(self, phi: np.ndarray) -> np.ndarray:
        """The second derivative, with curvature along the free direction of the intercepts."""
        n, p = self.U.shape
        if self.K == 2:
            probability = 1.0 / (1.0 + np.exp(-np.abs(self.U @ phi[0])))
            H = (self.U * (probability * (1.0 - probability))[:, None]).T @ self.U / n
        else:
            H = classes_curvature(Classes(self.K), Rows(self.U, self.y, np.ones(n)), phi.ravel()) / n
            H[p - 1 :: p, p - 1 :: p] += 1.0 / self.K
        H[np.diag_indices(len(H))] += np.tile(self.ridge, len(phi))
        return H

    def minimum(self, phi: np.ndarray) -> float:
        """The least value, by Newton's method from a point near it."""
        best, grad = self.value_and_grad(phi)
        for _ in range(5):
            step = np.linalg.solve(self.hessian(phi), grad.ravel())
            if 0.5 * float(grad.ravel() @ step) < 1e-13 * best:
                break
            phi = phi - step.reshape(phi.shape)
            value, grad = self.value_and_grad(phi)
            if not value < best - 1e-15 * abs(best):
                break
            best = value
        return best
