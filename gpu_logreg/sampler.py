"""Samples of a data set as objectives: draws rows, notices columns carried by few of them, counts what is walked."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.backend import array_namespace, to_numpy
from gpu_logreg.dataset.sampling import draw
from gpu_logreg.objective import Objective
from gpu_logreg.passes import Float64Vector, Rows
from gpu_logreg.sample_objective import Coordinates, ParamsMetric, SampleObjective
from gpu_logreg.solvers.factor import Factor, poorly_conditioned

__all__ = ["Sampler"]

EFFECTIVE_SHARE = 0.05
"""A column whose variance hangs on fewer rows than this share of the sample is carried by few rows."""

_BLOCK_BYTES = 2**24


class Sampler:
    """Draws samples of the rows behind an objective.

    Parameters
    ----------
    objective : Objective
        Its count of reads is raised by the share of the rows that is walked.
    generator : numpy Generator

    Attributes
    ----------
    irregular : bool
        Whether rows are drawn by their scores, because some columns are carried by few rows.
    """

    def __init__(self, objective: Objective, generator: np.random.Generator) -> None:
        self._objective = objective
        self._dataset = objective.dataset
        self._generator = generator
        self._is_second = to_numpy(self._dataset.rows.y)
        self._coordinates: Coordinates | None = None
        self._size: Float64Vector | None = None
        weights = self._dataset.rows.sample_weight
        if weights is not None:
            self._size = to_numpy(weights).astype(np.float64)
        self.irregular = False

    @property
    def n_rows(self) -> int:
        """Rows of the whole data."""
        return self._dataset.n_rows

    @property
    def n_params(self) -> int:
        """Parameters of the objective."""
        return self._objective.n_params

    def _count(self, share: float) -> None:
        self._objective.n_reads += share

    def sample(self, size: int) -> SampleObjective:
        """A sample of about ``size`` rows, with the coordinates its columns suggest.

        Where a column is carried by few rows, all rows are scored (one read) and the sample is drawn again by score.

        Raises
        ------
        DataError
            If a row of the sample holds NaN or infinity.
        """
        rows, weight = self._draw(size)
        coordinates, effective, variance = self._standardise(rows, weight)
        least = EFFECTIVE_SHARE * len(weight)
        if len(weight) < self.n_rows and bool((effective < least).any()):
            self.irregular = True
            # A column that looked constant has no variance to divide by; any other value in it is worth a sample.
            inverse = np.where(variance > 0.0, 1.0 / np.where(variance > 0.0, variance, 1.0), np.nan)
            scores = self._dataset.row_scores(coordinates.mean, inverse, float(len(weight)))
            self._count(1.0)
            if not np.isfinite(scores).all():
                self._dataset.refuse_not_finite()
            base = 1.0 + scores.astype(np.float64) / self._dataset.n_columns
            self._size = base if self._size is None else self._size * base
            rows, weight = self._draw(size)
            coordinates, _, _ = self._standardise(rows, weight)
        self._coordinates = coordinates
        return self._problem(rows, weight, coordinates)

    def metric(self, size: int, params: Float64Vector) -> ParamsMetric:
        """The curvature at ``params`` of a fresh sample of about ``size`` rows, walked a few rows at a time."""
        assert self._coordinates is not None
        coordinates = self._coordinates
        phi = coordinates.from_params(params)
        indices, weight = self._indices(size)
        p = self.n_params
        dtype = self._dataset.compute_dtype
        while True:
            total, weight_total = np.zeros((p, p)), 0.0
            step = max(p, _BLOCK_BYTES // (p * dtype.itemsize))
            for first in range(0, len(indices), step):
                part = slice(first, first + step)
                block = self._problem(self._dataset.take(indices[part], dtype), weight[part], coordinates)
                total += (block.hessian(phi) - np.diag(block.penalty)) * block.weight_total
                weight_total += block.weight_total
            total /= weight_total
            total.flat[:: p + 1] += self._penalty(coordinates)
            factor = Factor(total)
            if dtype == np.float64 or not poorly_conditioned(factor, float(np.finfo(dtype).eps)):
                return ParamsMetric(coordinates, factor)
            dtype = np.dtype(np.float64)

    def _indices(self, size: int) -> tuple[Any, Float64Vector]:
        return draw(self._is_second, size, self._generator, self._size)

    def _draw(self, size: int) -> tuple[Rows, Float64Vector]:
        indices, weight = self._indices(size)
        self._count(len(indices) / self.n_rows)
        return self._dataset.take(indices), weight

    def _standardise(self, rows: Rows, weight: Float64Vector) -> tuple[Coordinates, Float64Vector, Float64Vector]:
        """Coordinates of a sample, the number of rows each column hangs on, and the variances."""
        X = rows.X
        xp = array_namespace(X)
        s = self._weights(rows, weight)
        total = float(s.sum(dtype=np.float64))
        # About one of the rows rather than about zero, so that columns far from zero lose nothing to cancellation.
        pivot = X[len(X) // 2].copy()
        shifted = X - pivot
        share = (s / total).astype(X.dtype)
        first = to_numpy(share @ shifted).astype(np.float64)
        if not np.isfinite(first).all():
            self._dataset.refuse_not_finite()
        if not self._objective.fit_intercept:
            shifted, first, pivot = X.copy(), np.zeros(len(first)), xp.zeros_like(pivot)
        shifted -= xp.asarray(first, dtype=X.dtype)
        xp.multiply(shifted, shifted, out=shifted)
        second = to_numpy(share @ shifted).astype(np.float64)
        scaled = shifted / xp.asarray(np.where(second > 0.0, second, 1.0), dtype=X.dtype)
        fourth = to_numpy((share * share) @ (scaled * scaled)).astype(np.float64)
        effective = np.where(second > 0.0, 1.0 / np.maximum(fourth, 1e-300), 0.0)
        mean = to_numpy(pivot).astype(np.float64) + first
        # A column whose spread is the rounding of its mean is constant.
        floor = (4.0 * float(np.finfo(X.dtype).eps) * np.abs(mean)) ** 2
        constant = second <= floor
        variance = np.where(constant, 0.0, second)
        scale = np.sqrt(np.where(constant, 1.0, second))
        mean = mean if self._objective.fit_intercept else np.zeros_like(mean)
        return Coordinates(mean, scale, self._objective.fit_intercept), effective, variance

    def _problem(self, rows: Rows, weight: Float64Vector, coordinates: Coordinates) -> SampleObjective:
        s = self._weights(rows, weight)
        return SampleObjective(
            coordinates.rows(rows.X),
            rows.y,
            s,
            float(s.sum(dtype=np.float64)),
            self._penalty(coordinates),
            coordinates,
            self._count,
            self.n_rows,
        )

    def _weights(self, rows: Rows, weight: Float64Vector) -> Any:
        s = array_namespace(rows.X).asarray(weight)
        return s if rows.sample_weight is None else s * rows.sample_weight

    def _penalty(self, coordinates: Coordinates) -> Float64Vector:
        by_weight = self._objective.l2 / coordinates.scale**2
        return np.append(by_weight, 0.0) if coordinates.fit_intercept else by_weight
