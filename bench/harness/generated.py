"""Rows in the likeness of public data sets that are too large to ship, drawn from a seed: labels are 0, 1, ..."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

BLOCK = 250_000
"""Rows drawn at once: part of what a seed means, as every block takes its numbers after those of the one before."""

AIRLINE_LEVELS = (12, 31, 7, 22, 330, 330)
"""Months, days of the month, days of the week, carriers, origins, destinations."""

CRITEO_NUMBERS, CRITEO_CATEGORIES = 13, 26


def airline_like(n: int, seed: int = 0) -> tuple[Any, np.ndarray]:
    """Flights: six one-hot columns and two numbers from 0 to 1, hour and distance; 734 sparse columns.

    Airports and carriers are as unequal as by Zipf's law. About a fifth of the flights are late.
    """
    rng = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum(AIRLINE_LEVELS)])
    d, stored = int(first[-1]) + 2, len(AIRLINE_LEVELS) + 2
    w = np.append(rng.normal(0.0, 0.3, d - 2), [1.5, 0.4])
    indices, values = np.empty((n, stored), np.int32), np.ones((n, stored))
    y = np.empty(n, np.int64)
    for part in _blocks(n):
        count = part.stop - part.start
        for k, levels in enumerate(AIRLINE_LEVELS):
            share = 1.0 / np.arange(1, levels + 1) if levels > 12 and levels != 31 else np.ones(levels)
            indices[part, k] = first[k] + rng.choice(levels, count, p=share / share.sum())
        indices[part, -2:] = d - 2, d - 1
        values[part, -2], values[part, -1] = rng.beta(3.0, 2.0, count), rng.beta(1.5, 5.0, count)
        z = (values[part] * w[indices[part]]).sum(axis=1)
        y[part] = rng.logistic(size=count) < z - 2.6
    return _rows(indices, values, d), y


def criteo_like(n: int, d: int = 2**20, seed: int = 0) -> tuple[Any, np.ndarray]:
    """Clicks: 13 numbers and 26 categories of up to millions of levels, hashed into ``d`` sparse columns.

    A quarter of the rows are clicks. Levels of a row that meet in one column are added.
    """
    rng = np.random.default_rng(seed)
    stored = CRITEO_NUMBERS + CRITEO_CATEGORIES
    w = rng.normal(0.0, 0.35, d)
    indices, values = np.empty((n, stored), np.int32), np.ones((n, stored))
    y = np.empty(n, np.int64)
    spread = rng.uniform(0.15, 0.9, CRITEO_CATEGORIES)
    for part in _blocks(n):
        count = part.stop - part.start
        indices[part, :CRITEO_NUMBERS] = np.arange(CRITEO_NUMBERS)
        values[part, :CRITEO_NUMBERS] = np.log1p(rng.exponential(1.0, (count, CRITEO_NUMBERS)))
        level = np.floor(rng.random((count, CRITEO_CATEGORIES)) ** (-1.0 / spread)).clip(1.0, 1e7).astype(np.uint64)
        hashed = (level * np.uint64(2654435761) + np.arange(1, 27, dtype=np.uint64) * np.uint64(40503)) >> np.uint64(3)
        indices[part, CRITEO_NUMBERS:] = CRITEO_NUMBERS + hashed % np.uint64(d - CRITEO_NUMBERS)
        z = (values[part] * w[indices[part]]).sum(axis=1)
        y[part] = rng.logistic(size=count) < z - z.mean() - 1.4
        indices[part, CRITEO_NUMBERS:].sort(axis=1)
    X = _rows(indices, values, d)
    X.sum_duplicates()
    return X, y


def epsilon_like(n: int, d: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dense float32 rows of length 1 whose columns share 50 directions, as those of the PASCAL challenge's set."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((50, d), dtype=np.float32) / np.float32(np.sqrt(50))
    w = rng.standard_normal(d) * 3.0
    X, y = np.empty((n, d), np.float32), np.empty(n, np.int64)
    for part in _blocks(n, BLOCK // 10):
        count = part.stop - part.start
        X[part] = rng.standard_normal((count, d), dtype=np.float32)
        X[part] += rng.standard_normal((count, 50), dtype=np.float32) @ mixing
        X[part] /= np.sqrt(np.einsum("ij,ij->i", X[part], X[part]))[:, None]
        y[part] = rng.logistic(size=count) < X[part] @ w
    return X, y


def many_classes(n: int, d: int, K: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Independent standard normal columns in float32; labels drawn from a softmax of random weights."""
    rng = np.random.default_rng(seed)
    W = 2.0 * rng.standard_normal((d, K)) / np.sqrt(d)
    X, y = np.empty((n, d), np.float32), np.empty(n, np.int64)
    for part in _blocks(n, BLOCK // 10):
        X[part] = rng.standard_normal((part.stop - part.start, d), dtype=np.float32)
        y[part] = (X[part] @ W + rng.gumbel(size=(part.stop - part.start, K))).argmax(axis=1)
    return X, y


def _blocks(n: int, size: int = BLOCK) -> list[slice]:
    return [slice(first, min(n, first + size)) for first in range(0, n, size)]


def _rows(indices: np.ndarray, values: np.ndarray, d: int) -> Any:
    n, stored = indices.shape
    ends = np.arange(0, n * stored + 1, stored)
    ends = ends.astype(np.int32) if ends[-1] < 2**31 else ends
    X = sparse.csr_matrix((values.ravel(), indices.ravel(), ends), shape=(n, d))
    return X
