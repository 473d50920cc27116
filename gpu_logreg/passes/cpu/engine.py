"""The engine of the CPU: each sum in one read of the rows, by loops that Numba compiles, on all threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import SCORES
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes import walk
from gpu_logreg.passes.class_pairs import CurvatureSums, MeanFactors
from gpu_logreg.passes.cpu import many_models, products, sparse, sparse_curvature, sparse_products
from gpu_logreg.passes.cpu.classes import ClassesPass
from gpu_logreg.passes.cpu.columns import CpuColumns, bytes_of_columns
from gpu_logreg.passes.cpu.dense import DensePass, cpu_moments, cpu_moments_by_label
from gpu_logreg.passes.cpu.scores import compiled_row_scores, sparse_row_scores
from gpu_logreg.passes.cpu.sparse_columns import sparse_columns
from gpu_logreg.passes.engine import DelegatingEngine, GradientPass
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import LabelledMoments, ManySums, Models, Moments, RowFolds, Sums
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["CpuEngine"]


class CpuEngine(DelegatingEngine):
    """Compiled loops; sums that have none are computed by the reference engine."""

    name = "cpu"

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        return self.gradient_pass(data)(w, b)

    def gradient_pass(self, data: ResidentDataset) -> GradientPass:
        """`gradient` over these rows."""
        binary = isinstance(self.loss, Binary)
        if data.is_sparse:
            if not binary and 8 * data.n_columns * self.loss.n_logits >= sparse_products.WIDE_SUMS:
                return sparse_products.sparse_multinomial_gradient(data)
            return (sparse.SparsePass if binary else sparse.SparseClassesPass)(data.rows, self.loss.n_logits)
        return (DensePass if binary else ClassesPass)(data.rows, self.loss.n_logits, data.compute_dtype)

    def gradient_and_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums and what products at the same point need; one read."""
        if isinstance(self.loss, Binary):
            if data.is_sparse:
                return sparse_products.sparse_gradient_and_curvature(data, w, b)
            if products.reads_in_place(data):
                return products.gradient_and_curvature(data, w, b)
            return self._other.gradient_and_curvature(data, w, b)
        if data.is_sparse:
            return sparse_products.sparse_multinomial_gradient_and_curvature(data, w, b)
        if products.keeps_padded(data, self.loss.n_logits):
            return products.multinomial_gradient_and_curvature(data, w, b)
        return self.gradient(data, w, b), RowCurvature(w, b, None)

    def row_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> RowCurvature:
        """What products at a point need; for dense rows of two classes by BLAS."""
        if isinstance(self.loss, Binary):
            if data.is_sparse:
                return sparse_products.sparse_row_curvature(data, w, b)
            return self._other.row_curvature(data, w, b)
        if data.is_sparse:
            return sparse_products.sparse_multinomial_row_curvature(data, w, b)
        if products.keeps_padded(data, self.loss.n_logits):
            return products.multinomial_row_curvature(data, w, b)
        return RowCurvature(w, b, None)

    def product(self, data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction; one read."""
        if isinstance(self.loss, Binary):
            if data.is_sparse:
                return sparse_products.sparse_product(data, at, v, c)
            is_kept = at.kept is not None and products.reads_in_place(data)
            return (products if is_kept else self._other).product(data, at, v, c)
        if data.is_sparse:
            return sparse_products.sparse_multinomial_product(data, at, v, c)
        return products.multinomial_product(data, at, v, c)

    def moments(self, data: ResidentDataset) -> Moments:
        """Sums of the columns and of their squares; one read."""
        if data.is_sparse:
            return sparse.sparse_moments(data.rows)
        return cpu_moments(data.rows) if isinstance(self.loss, Binary) else self._other.moments(data)

    def moments_by_label(self, data: ResidentDataset) -> LabelledMoments | None:
        """The same, and the sums of the gradient without weights; None of sparse rows, offsets and several classes."""
        has_code = isinstance(self.loss, Binary) and not (data.is_sparse or self.loss.has_offset)
        return cpu_moments_by_label(data.rows) if has_code else None

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight; one read of sparse rows."""
        if not isinstance(self.loss, Binary):
            return sparse_products.sparse_multinomial_moments_by_curvature(data, w, b)
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

    def sparse_pair_sums(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> Iterator[CurvatureSums]:
        """Sums of the curvature of sparse rows for each pair of classes."""
        return sparse_curvature.sparse_pair_sums(data, w, b, int(fit_intercept))

    def sparse_mean_factors(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> MeanFactors:
        """Factors of the curvature of sparse rows."""
        return sparse_curvature.sparse_mean_factors(data, w, b, int(fit_intercept))

    def sums_without_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Gradient sums of many models, each without a fold; one read of sparse rows."""
        if data.is_sparse and type(self.loss) is Binary and not self.loss.soft:
            return many_models.sparse_sums_without_fold(data, models, folds)
        return self._other.sums_without_fold(data, models, folds)

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
