"""Sums and extremes of the columns of a part of the rows, from which those of all rows follow."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["Extent", "extent_of", "squares_about"]


class Extent(NamedTuple):
    """Rows of a block, and of every column the elements that are stored, their sum, the least and the largest."""

    n: int
    stored: Float64Vector
    total: Float64Vector
    least: Float64Vector
    most: Float64Vector

    def __add__(self, other: Extent) -> Extent:  # type: ignore[override]
        """That of both blocks."""
        least, most = np.minimum(self.least, other.least), np.maximum(self.most, other.most)
        return Extent(self.n + other.n, self.stored + other.stored, self.total + other.total, least, most)


def extent_of(X: Any) -> Extent:
    """That of dense or sparse rows."""
    n, d = X.shape
    if not is_sparse(X):
        extremes = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
        return Extent(n, np.full(d, float(n)), X.sum(axis=0, dtype=np.float64), *extremes)
    least, most = np.full(d, np.inf), np.full(d, -np.inf)
    np.minimum.at(least, X.indices, X.data)
    np.maximum.at(most, X.indices, X.data)
    stored = np.bincount(X.indices, minlength=d).astype(np.float64)
    total = np.bincount(X.indices, X.data, d).astype(np.float64)
    return Extent(n, stored, total, least, most)


def squares_about(X: Any, centre: Float64Vector) -> Float64Vector:
    """For every column the sum of ``(x - centre)**2`` over the elements that are stored."""
    if not is_sparse(X):
        squares: Float64Vector = np.square(X - centre).sum(axis=0)
        return squares
    return np.bincount(X.indices, (X.data - centre[X.indices]) ** 2, X.shape[1]).astype(np.float64)
