"""The engine of the CPU: each sum in one read of the rows, by loops that Numba compiles, on all threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import SCORES
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.mathematics.losses import Binary, Classes, Loss
from gpu_logreg.passes import walk
from gpu_logreg.passes.cpu import sparse
from gpu_logreg.passes.cpu.classes import cpu_multinomial_pass
from gpu_logreg.passes.cpu.columns import CpuColumns, bytes_of_columns
from gpu_logreg.passes.cpu.dense import cpu_moments, cpu_pass
from gpu_logreg.passes.cpu.scores import compiled_row_scores, sparse_row_scores
from gpu_logreg.passes.cpu.sparse_columns import sparse_columns
from gpu_logreg.passes.engine import DelegatingEngine, Engine
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["CpuEngine"]

_DENSE: dict[type, Callable[..., Sums]] = {Binary: cpu_pass, Classes: cpu_multinomial_pass}
_SPARSE: dict[type, Callable[..., Sums]] = {Binary: sparse.sparse_pass, Classes: sparse.sparse_multinomial_pass}


class CpuEngine(DelegatingEngine):
    """Compiled loops; sums that have none are computed by the reference engine."""

    name = "cpu"

    def __init__(self, loss: Loss, reason: str, other: Engine) -> None:
        super().__init__(loss, reason, other)
        self._dense, self._sparse = _DENSE[type(loss)], _SPARSE[type(loss)]

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        return (self._sparse if data.is_sparse else self._dense)(data.rows, w, b, data.compute_dtype)

    def moments(self, data: ResidentDataset) -> Moments:
        """Sums of the columns and of their squares; one read."""
        if data.is_sparse:
            return sparse.sparse_moments(data.rows)
        return cpu_moments(data.rows) if isinstance(self.loss, Binary) else self._other.moments(data)

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: float) -> tuple[float, Moments]:
        """Moments with the curvature of every row as its weight; one read of sparse rows."""
        return sparse.sparse_moments_by_curvature(data.rows, w, b)

    def scores(
        self, data: ResidentDataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Scores of all rows; one read."""
        if data.is_sparse:
            return sparse_row_scores(data.rows, mean, inverse_variance, unseen)
        parts = walk.map_blocks(lambda rows: compiled_row_scores(rows, mean, inverse_variance, unseen), data, SCORES)
        return np.concatenate(parts)

    def curvature(self, data: ResidentDataset, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the loss sum of a sample; for two classes a product by BLAS is the fastest."""
        if isinstance(self.loss, Binary):
            return self._other.curvature(data, phi, dtype)
        from gpu_logreg.passes.cpu.curvature import multinomial_curvature_sum

        U, _, s = data.rows
        assert s is not None
        return multinomial_curvature_sum(U, s, phi.reshape(self.loss.n_logits, -1))

    def sparse_curvature(
        self, data: ResidentDataset, w: Float64Vector, b: float, fit_intercept: bool
    ) -> tuple[Float64Matrix, Float64Vector, float]:
        """Sums of the curvature of sparse rows."""
        X, _, s = data.rows
        h = s * curvature(sparse.sparse_logits(X, w, b)) / data.weight_total
        return *sparse.sparse_curvature_sums(X, h, int(fit_intercept)), float(h.sum())

    def columns(self, data: ResidentDataset) -> Callable[[IntVector], ResidentDataset]:
        """Copies of some columns."""
        if not data.is_sparse:
            return walk.dense_columns(data)
        return lambda columns: walk.with_columns(data, columns, sparse_columns(data.rows.X, columns))

    def by_columns(self, data: ResidentDataset, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """The loss by columns of sparse rows."""
        if self.bytes_by_columns(data) is None:
            return None
        return CpuColumns(data.rows, self.loss, data.weight_total, fit_intercept, count)

    def bytes_by_columns(self, data: ResidentDataset) -> int | None:
        """Bytes that it takes; None for dense rows, and for more than its numbers of rows hold."""
        if not data.is_sparse or data.n_rows > np.iinfo(np.int32).max:
            return None
        return bytes_of_columns(data.rows.X, self.loss.n_logits)
