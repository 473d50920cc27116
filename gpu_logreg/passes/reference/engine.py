"""The reference engine: the plain formulas by NumPy and SciPy for rows on the host, by CuPy for rows on a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import GRADIENT, SCORES
from gpu_logreg.arrays.csr import in_order
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.passes import walk
from gpu_logreg.passes.class_pairs import CurvatureSums, MeanFactors
from gpu_logreg.passes.engine import GradientPass
from gpu_logreg.passes.reference import many_models, products, sparse, sparse_classes
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.curvature import binary_curvature, classes_curvature, mean_factors
from gpu_logreg.passes.reference.gradient import reference_moments, reference_pass
from gpu_logreg.passes.reference.scores import row_scores
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import LabelledMoments, ManySums, Models, Moments, RowFolds, Sums
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["ReferenceEngine"]


class ReferenceEngine:
    """See `gpu_logreg.passes.engine.Engine`: two products around the loss, a block of rows at a time."""

    name = "reference"

    def __init__(self, loss: Loss, reason: str) -> None:
        self.loss = loss
        self.reason = reason
        self._pass: Callable[..., Sums] = reference_multinomial_pass
        if isinstance(loss, Binary):
            self._pass = functools.partial(reference_pass, loss_and_dz=loss.loss_and_dz)
        elif loss.has_offset:
            self._pass = functools.partial(reference_multinomial_pass, loss_and_dz=loss.loss_and_dz)

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        dtype = data.compute_dtype
        if data.is_sparse:
            return sparse.sums_by_row_blocks(self._pass, data.rows, w, b, dtype)
        return walk.add_all(walk.map_blocks(lambda block: self._pass(block, w, b, dtype), data, GRADIENT), w, b)

    def gradient_pass(self, data: ResidentDataset) -> GradientPass:
        """`gradient` over these rows."""
        return functools.partial(self.gradient, data)

    def gradient_and_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums and what products at the same point need; of sparse rows the logits are computed for each."""
        if data.is_sparse:
            return self.gradient(data, w, b), self.row_curvature(data, w, b)
        return products.gradient_and_curvature(self.loss, data, w, b)

    def row_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> RowCurvature:
        """What products at a point need; one read."""
        return products.row_curvature(self.loss, data, w, b)

    def product(self, data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction; one read."""
        return products.product_sums(self.loss, data, at, v, c)

    def diagonal(self, data: ResidentDataset, at: RowCurvature) -> Product:
        """Diagonal of the Hessian; one read."""
        return products.diagonal_sums(self.loss, data, at)

    def moments(self, data: ResidentDataset) -> Moments:
        """Sums of the columns and of their squares; one read."""
        if data.is_sparse:
            return sparse.sparse_moments(data.rows)
        total = Moments(np.zeros(data.n_columns), np.zeros(data.n_columns))
        for part in walk.map_blocks(reference_moments, data, GRADIENT):
            total = total + part
        return total

    def moments_by_label(self, data: ResidentDataset) -> LabelledMoments | None:
        """None: it would read the rows twice."""
        return None

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight; one read of sparse rows."""
        if not isinstance(self.loss, Binary):
            return products.moments_by_curvature(self.loss, data, w, b)
        h = self._row_curvature(data.rows, w, b)
        h = h if data.rows.sample_weight is None else data.rows.sample_weight * h
        return float(h.sum()), sparse.sparse_moments(data.rows._replace(sample_weight=h))

    def _row_curvature(self, rows: Rows, w: Float64Vector, b: float) -> Float64Vector:
        """Second derivative of the loss of every sparse row by its logit."""
        assert isinstance(self.loss, Binary)
        return np.asarray(self.loss.curvature(sparse.sparse_logits(rows.X, w, b), rows.y))

    def scores(
        self, data: ResidentDataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Scores of all rows; one read."""
        if data.is_sparse:
            return sparse.sparse_row_scores(data.rows, mean, inverse_variance, unseen)
        parts = walk.map_blocks(lambda rows: row_scores(rows, mean, inverse_variance, unseen), data, SCORES)
        return np.concatenate([to_numpy(part) for part in parts])

    def curvature(self, data: ResidentDataset, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the loss sum of a sample."""
        if isinstance(self.loss, Binary):
            return binary_curvature(data.rows, phi, dtype, self.loss.curvature, data.xp)
        return classes_curvature(self.loss, data.rows, phi)

    def mean_factors(self, data: ResidentDataset, phi: Float64Vector) -> tuple[Array, Float64Matrix, float]:
        """Factors of the curvature of a sample."""
        return mean_factors(self.loss, data.rows, phi)

    def has_mean_factors(self, data: ResidentDataset) -> bool:
        """True for dense rows; dense copies of sparse ones, and factors of all columns, cost more than reads."""
        return not data.is_sparse

    def sparse_curvature(
        self, data: ResidentDataset, w: Float64Vector, b: float, fit_intercept: bool
    ) -> tuple[Float64Matrix, Float64Vector, float]:
        """Sums of the curvature of sparse rows."""
        assert data.rows.sample_weight is not None
        h = data.rows.sample_weight * self._row_curvature(data.rows, w, b) / data.weight_total
        return *sparse.sparse_curvature_sums(data.rows.X, h, int(fit_intercept)), float(h.sum())

    def sparse_pair_sums(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> Iterator[CurvatureSums]:
        """Sums of the curvature of sparse rows for each pair of classes."""
        return sparse_classes.sparse_pair_sums(data, w, b, int(fit_intercept))

    def sparse_mean_factors(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> MeanFactors:
        """Factors of the curvature of sparse rows."""
        return sparse_classes.sparse_mean_factors(data, w, b, int(fit_intercept))

    def sums_by_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Sums of many models, by fold."""
        return many_models.sums_by_fold(self._binary(), data, models, folds)

    def sums_without_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Gradient sums of many models, each without a fold."""
        return many_models.sums_without_fold(self._binary(), data, models, folds)

    def scores_on_folds(self, data: ResidentDataset, models: Models, folds: RowFolds, with_loss: bool) -> ManySums:
        """Scores of many models on a fold each."""
        return many_models.scores_on_folds(self._binary(), data, models, folds, with_loss)

    def _binary(self) -> Binary:
        assert isinstance(self.loss, Binary)
        return self.loss

    def keeps_samples_sparse(self, data: ResidentDataset) -> bool:
        """True for two classes; for K where the whole Hessian is cheaper by pairs of stored elements."""
        if not data.is_sparse or isinstance(self.loss, Binary):
            return data.is_sparse
        if not isinstance(self.loss, Classes) or self.loss.has_offset:
            return False
        K = self.loss.n_logits
        return self.loss.hessian_form(K * (data.n_columns + 1)).whole and data.curvature_cost(K) < 1.0

    def columns(self, data: ResidentDataset) -> Callable[[IntVector], ResidentDataset]:
        """Copies of some columns."""
        if not data.is_sparse:
            return walk.dense_columns(data)
        return lambda columns: walk.with_columns(data, columns, in_order(data.rows.X[:, columns]))

    def by_columns(self, data: ResidentDataset, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """None: there is no code for it."""
        return None

    def bytes_by_columns(self, data: ResidentDataset) -> int | None:
        """None."""
        return None
