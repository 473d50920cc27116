"""Points of many models of the same rows: their reads, their gradients, and Hessians of a sample that they share.

See `gpu_logreg.estimators.cross_validation.many_models`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError

from gpu_logreg.arrays.cholesky import Factor, poorly_conditioned
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.estimators.cross_validation.fold_curvature import EXACT, FoldCurvature
from gpu_logreg.estimators.cross_validation.fold_model import FoldModel, Metric
from gpu_logreg.estimators.cross_validation.folds import Folds
from gpu_logreg.estimators.cross_validation.penalty_path import How
from gpu_logreg.mathematics.penalty import ridge_strength
from gpu_logreg.objectives.curvature import BinarySample
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.reference.fold_curvature import has_curvature_by_fold
from gpu_logreg.passes.sums import ManySums, Models, RowFolds
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["LARGER", "SLOW", "ManyPoints", "no_sums", "without_fold"]

NEAR = 1e-3
"""Mean square move of the logits, by their curvature, up to which a Hessian serves: it errs by as much as a sample."""

SAMPLE_ROWS = 500
"""Rows of the sample for each parameter, unless its Hessians would take longer than the reads of all models."""

SLOW, LARGER = 0.015, 8
"""Share of the remaining decrease that a step leaves from which a larger sample pays, and how many times larger it is:
where most rows have next to no curvature a sample is worth few of its rows."""

LARGEST_SHARE = 4
"""Parameters for each model up to which the Hessians of the rows of all folds take less than the reads they save."""

ROUNDINGS = 10.0
"""Remaining decrease, as a multiple of that from the rounding of float32, down to which gradients are read in it."""


class ManyPoints:
    """What the models of all folds and strengths share.

    ``phi`` are parameters in standardised columns, one model a row.
    """

    def __init__(self, objective: Objective, folds: Folds, Cs: Float64Vector, how: How) -> None:
        data = objective.dataset
        assert isinstance(data, ResidentDataset)
        self._objective, self._how, self._Cs = objective, how, Cs
        self._folds = RowFolds(data.xp.asarray(folds.left_out_by), len(folds))
        p, n = objective.n_params, data.n_rows
        rows = min(SAMPLE_ROWS * p, max(20 * p, int(0.4 * n * len(Cs) * len(folds) / p)))
        sampler = self._sampler = Sampler(objective, np.random.default_rng(0))
        sample = sampler.sample(min(n, max(1000, rows)))
        assert isinstance(sample, BinarySample)
        self._larger = LARGER * sample.n_rows
        self._sample = sample.unpenalised()
        assert isinstance(sample.coordinates, Coordinates)
        self._columns = sample.coordinates
        self._metrics: list[Metric] = []
        self._curvature: FoldCurvature | None = None
        narrow = replace(data, computed_in=None)
        self._narrow = narrow if narrow.compute_dtype != data.compute_dtype else None
        self._least_left = math.inf
        self._rate = 2.0 * p / sample.n_rows if not sampler.complete else 1e-4
        s = data.rows.sample_weight
        weights = np.ones(n) if s is None else s
        self._weight = np.array(
            [float(weights[self._folds.of_rows == k].sum(dtype=np.float64)) for k in range(len(folds) + 1)]
        )

    def _narrow_reads(self, factor: Factor, value: float) -> None:
        """Find what gradients read in the dtype of the rows, where that is not the dtype of the pass, serve for.

        Their rounding errors ``e`` look like a remaining decrease of ``e.T H^-1 e / 2``. Rows that are read in float64
        because rounding hides the optimum are read in float32 while more than that remains, in half the time.
        """
        narrow = self._narrow
        if narrow is None or poorly_conditioned(factor, float(np.finfo(np.float32).eps)):
            self._narrow = None
            return
        eps, columns = float(np.finfo(narrow.compute_dtype).eps), self._columns
        noise = (1.0 + np.abs(columns.mean) / columns.scale) * eps * math.sqrt(2.0 * value)
        noise = np.append(noise, eps) if columns.fit_intercept else noise
        noise *= np.random.default_rng(0).choice([-1.0, 1.0], len(noise))
        self._least_left = ROUNDINGS * 0.5 * float(noise @ factor.solve(noise))

    def _dataset(self, left: float) -> Dataset:
        """The rows as they are read at points with ``left`` remaining decrease."""
        wide = self._narrow is None or not left >= self._least_left
        return self._objective.dataset if wide or self._narrow is None else self._narrow

    def _hessian_dtype(self) -> DTypeLike | None:
        return None if self._narrow is None else self._narrow.compute_dtype

    def _ridge(self, C: float, weight: float) -> Float64Vector:
        return self._ridge_of(ridge_strength(float(C), weight))

    def _ridge_of(self, l2: float) -> Float64Vector:
        """Second derivative of the penalty by ``phi``."""
        ridge = l2 / self._columns.scale / self._columns.scale
        return np.append(ridge, 0.0) if self._columns.fit_intercept else ridge

    def _metric(self, phi: Float64Vector) -> Metric:
        """The Hessian at a point near ``phi``: one that is known, or a new one there."""
        nearest = min(self._metrics, key=lambda metric: metric.distance(phi))
        if nearest.distance(phi) > NEAR:
            nearest = Metric(phi.copy(), to_numpy(self._sample.hessian(phi, self._hessian_dtype())))
            self._metrics.append(nearest)
        return nearest

    def _factor(self, phi: Float64Vector, ridge: Float64Vector) -> Factor:
        H = self._metric(phi).H
        more = 0.0 if self._curvature is None else self._curvature.of_all_rows
        return _with_more(H, more, ridge)[1]

    def _begin_curvature(self, first: Metric) -> None:
        """Hessians of all folds at the point of the first metric, where they cost less than the reads they save."""
        objective, n_models = self._objective, self._folds.n * len(self._Cs)
        data = self._narrow or objective.dataset
        if self._sampler.complete or objective.n_params > LARGEST_SHARE * n_models or not has_curvature_by_fold(data):
            return
        self._curvature = FoldCurvature(data, self._folds, self._weight, self._sample, first.phi, first.H)
        objective.reads.total += 1.0
        self._larger, self._rate = 0, EXACT

    def _of_fold(
        self, metric: Metric, fold: int, ridge: Float64Vector, weight: float, known: dict[int, Factor]
    ) -> tuple[Metric, Factor]:
        """The metric of the rows that a fold learns from, factored; else one for all folds of about the same weight."""
        if self._curvature is not None:
            H, factor = _with_more(metric.H, self._curvature.of_folds[fold], ridge)
            return Metric(metric.phi, H), factor
        return metric, known.setdefault(round(50 * math.log(weight)), Factor(metric.H + np.diag(ridge)))

    def _correct(self, models: list[FoldModel]) -> None:
        """Correct the last steps by the change of the curvature, where that is known."""
        if self._curvature is not None and models:
            self._curvature.correct(models)

    def _grad(self, sums: ManySums, weight: float, ridge: Float64Vector, phi: Float64Vector) -> Float64Vector:
        """Gradient by ``phi`` of the mean loss and the penalty."""
        by_params = np.append(sums.dw_sum, sums.db_sum) if self._columns.fit_intercept else sums.dw_sum
        return self._columns.grad_to_phi(by_params / weight) + ridge * phi

    def _left_of_a_fold(self, sums: ManySums, ridge: Float64Vector, phi: Float64Vector, factor: Factor) -> float:
        """The least remaining decrease of the models of the folds at a point of all rows."""
        left = math.inf
        for fold in range(self._folds.n):
            weight = self._weight.sum() - self._weight[fold]
            grad = self._grad(without_fold(sums, fold), weight, ridge / weight, phi)
            left = min(left, 0.5 * float(grad @ factor.solve(grad)))
        return left

    def _points(self, phi: Float64Matrix, data: Dataset) -> tuple[Float64Matrix, Float64Matrix]:
        """The points that the passes can take, by ``phi`` and by ``[w, b]``: gradients are exact there."""
        params = self._columns.to_params(phi).astype(data.compute_dtype).astype(np.float64)
        return self._columns.from_params(params), params

    def _unpacked(self, params: Float64Matrix) -> tuple[Float64Matrix, Float64Vector]:
        d = self._objective.dataset.n_columns
        return params[:, :d], params[:, d] if self._columns.fit_intercept else np.zeros(len(params))

    def _read_by_fold(self, phi: Float64Matrix, left: float) -> tuple[Float64Matrix, Float64Matrix, ManySums]:
        data, engine = self._dataset(left), self._objective.engine
        phi, params = self._points(phi, data)
        sums = engine.sums_by_fold(data, Models(*self._unpacked(params)), self._folds)
        self._objective.reads.total += 1.0
        return phi, params, sums

    def _read_without_fold(self, models: list[FoldModel]) -> tuple[Float64Matrix, Float64Matrix, ManySums]:
        data, engine = self._dataset(min(self._rate * model.left for model in models)), self._objective.engine
        phi, params = self._points(np.array([model.phi for model in models]), data)
        left_out = np.array([model.fold for model in models])
        sums = engine.sums_without_fold(data, Models(*self._unpacked(params), left_out), self._folds)
        self._objective.reads.total += 1.0
        return phi, params, sums


def without_fold(sums: ManySums, fold: int) -> ManySums:
    """Sums over all rows but those of a fold, of one model."""
    others = np.arange(len(sums.loss_sum)) != fold
    return ManySums(*(part[others].sum(axis=0) for part in sums))


def no_sums(n_groups: int, n_models: int, d: int) -> ManySums:
    """Zeros of the shapes of `gpu_logreg.passes.reference.many_models.sums_by_fold`."""
    shape = n_groups, n_models
    return ManySums(np.zeros(shape), np.zeros((*shape, d)), np.zeros(shape))


def _with_more(H: Float64Matrix, more: Any, ridge: Float64Vector) -> tuple[Float64Matrix, Factor]:
    """The Hessian of a sample and what that of the rows has more, factored with the ridge.

    The latter was taken at another point: where the sum is far from positive definite, the sample's alone.
    """
    try:
        return H + more, Factor(H + more + np.diag(ridge))
    except LinAlgError:
        return H, Factor(H + np.diag(ridge))
