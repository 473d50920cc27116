"""Forty small to medium problems on which the choice of ``solver="auto"`` is held against all solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from bench_l1_columns import tf_idf
from problems import table_like
from scipy import sparse


class Shape(NamedTuple):
    """A problem: how rows and numbers of classes are drawn, and how the fit is penalised."""

    draw: Callable[[], tuple[Any, np.ndarray]]
    C: float = 1.0
    l1_ratio: float = 0.0
    weights: bool = False


def labels(rng: np.random.Generator, Z: np.ndarray) -> np.ndarray:
    """Numbers of classes by logits whose spread is made 2; a single column is of two classes."""
    Z = np.hstack([np.zeros((len(Z), 1)), Z]) if Z.shape[1] == 1 else Z
    return np.asarray((2.0 * Z / Z.std() + rng.gumbel(size=Z.shape)).argmax(axis=1))


def normal(n: int, d: int, K: int = 2, dtype: str = "float64", informative: int | None = None) -> Any:
    """Independent normal columns, of which some tell of the classes."""
    rng = np.random.default_rng(n + d)
    X = rng.standard_normal((n, d), dtype=dtype)
    k = d if informative is None else informative
    return X, labels(rng, X[:, :k] @ rng.standard_normal((k, K - (K == 2))))


def correlated(n: int, d: int, K: int = 2) -> Any:
    """Correlated columns on scales from 0.1 to 10, far from zero."""
    X = table_like(n, d, "float64").X
    rng = np.random.default_rng(n + d)
    return X, labels(rng, (X - X.mean(axis=0)) / X.std(axis=0) @ rng.standard_normal((d, K - (K == 2))))


def digits() -> Any:
    """scikit-learn's digits."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def text(n: int, d: int, K: int = 2) -> Any:
    """Rows of 60 words, by tf-idf."""
    drawn = tf_idf(n, d, classes=K)
    return sparse.csr_matrix(drawn.X), drawn.y


def one_hot(n: int, levels: int, fields: int, K: int = 2) -> Any:
    """A few fields of many levels, the next always rarer."""
    rng = np.random.default_rng(n + levels)
    share = 1.0 / np.arange(1.0, levels + 1)
    level = rng.choice(levels, size=(n, fields), p=share / share.sum()) + levels * np.arange(fields)
    indptr = np.arange(0, n * fields + 1, fields, dtype=np.int32)
    X = sparse.csr_matrix((np.ones(n * fields), level.ravel().astype(np.int32), indptr), shape=(n, levels * fields))
    return X, labels(rng, X @ rng.standard_normal((levels * fields, K - (K == 2))))


NONE = float("inf")

SHAPES: dict[str, Shape] = {
    "200 x 5": Shape(lambda: normal(200, 5)),
    "1,000 x 20": Shape(lambda: normal(1000, 20)),
    "5,000 x 30": Shape(lambda: normal(5000, 30)),
    "100,000 x 20, float32": Shape(lambda: normal(100_000, 20, dtype="float32")),
    "20,000 x 200": Shape(lambda: normal(20_000, 200)),
    "10,000 x 500": Shape(lambda: normal(10_000, 500)),
    "3,000 x 1,000": Shape(lambda: normal(3000, 1000)),
    "500 x 2,000": Shape(lambda: normal(500, 2000)),
    "100 x 1,000 x 5": Shape(lambda: normal(100, 1000, 5)),
    "500 x 1,000 x 5": Shape(lambda: normal(500, 1000, 5)),
    "150 x 4 x 3": Shape(lambda: normal(150, 4, 3)),
    "digits, 1,797 x 64 x 10": Shape(digits),
    "20,000 x 20 x 4": Shape(lambda: normal(20_000, 20, 4)),
    "10,000 x 100 x 10": Shape(lambda: normal(10_000, 100, 10)),
    "3,000 x 300 x 8": Shape(lambda: normal(3000, 300, 8)),
    "10,000 x 30 x 20": Shape(lambda: normal(10_000, 30, 20)),
    "correlated, 20,000 x 50": Shape(lambda: correlated(20_000, 50)),
    "correlated, 5,000 x 200": Shape(lambda: correlated(5000, 200)),
    "correlated, 5,000 x 100, C = 1e4": Shape(lambda: correlated(5000, 100), 1e4),
    "correlated, 5,000 x 60 x 5": Shape(lambda: correlated(5000, 60, 5)),
    "no penalty, 2,000 x 20": Shape(lambda: normal(2000, 20), NONE),
    "no penalty, correlated, 30,000 x 40": Shape(lambda: correlated(30_000, 40), NONE),
    "no penalty, 5,000 x 20 x 4": Shape(lambda: normal(5000, 20, 4), NONE),
    "weights, 20,000 x 60": Shape(lambda: normal(20_000, 60), weights=True),
    "weights, 10,000 x 30 x 5": Shape(lambda: normal(10_000, 30, 5), weights=True),
    "text, 2,000 x 5,000": Shape(lambda: text(2000, 5000)),
    "text, 10,000 x 10,000": Shape(lambda: text(10_000, 10_000)),
    "text, 3,000 x 5,000 x 6": Shape(lambda: text(3000, 5000, 6)),
    "one-hot, 30,000 x 5 x 40": Shape(lambda: one_hot(30_000, 40, 5)),
    "one-hot, 20,000 x 8 x 200, weights": Shape(lambda: one_hot(20_000, 200, 8), weights=True),
    "L1, 1,000 x 30": Shape(lambda: normal(1000, 30, informative=5), 0.1, 1.0),
    "L1, 30,000 x 50": Shape(lambda: normal(30_000, 50, informative=10), 0.01, 1.0),
    "L1, correlated, 10,000 x 100": Shape(lambda: correlated(10_000, 100), 0.1, 1.0),
    "L1, 300 x 2,000": Shape(lambda: normal(300, 2000, informative=10), 1.0, 1.0),
    "L1, 5,000 x 40 x 5": Shape(lambda: normal(5000, 40, 5, informative=10), 0.1, 1.0),
    "L1, text, 3,000 x 5,000": Shape(lambda: text(3000, 5000), 10.0, 1.0),
    "L1, text, 3,000 x 3,000 x 5": Shape(lambda: text(3000, 3000, 5), 10.0, 1.0),
    "L1, one-hot, 20,000 x 5 x 40": Shape(lambda: one_hot(20_000, 40, 5), 1.0, 1.0),
    "elastic net, 5,000 x 100": Shape(lambda: normal(5000, 100, informative=20), 0.1, 0.5),
    "elastic net, text, 3,000 x 5,000, weights": Shape(lambda: text(3000, 5000), 10.0, 0.5, weights=True),
}
"""Rows x columns (x classes); one-hot: rows x fields x levels."""
