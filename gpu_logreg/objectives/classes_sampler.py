"""Samples of a data set of K classes as objectives."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.classes import MultinomialObjective, MultinomialSample
from gpu_logreg.objectives.sample import ParamsMetric
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates
from gpu_logreg.solvers.costs import keeps_whole_hessian

__all__ = ["MultinomialSampler"]

_BLOCK_BYTES = 2**24
_DEVICE_BLOCK_BYTES = 2**28


class MultinomialSampler(Sampler):
    """Draws samples of the rows behind a `MultinomialObjective`, stratified by its classes."""

    _objective: MultinomialObjective

    @property
    def n_logits(self) -> int:
        """K."""
        return self._objective.n_logits

    def whole(self) -> Any:
        """Newton's method for small data is for two classes."""
        return None

    def metric(self, size: int, params: Float64Vector) -> ParamsMetric:
        """The curvature at ``params`` of a fresh sample of about ``size`` rows, walked a few rows at a time."""
        assert self._coordinates is not None
        phi = ClasswiseCoordinates(self._coordinates, self.n_logits).from_params(params)
        block, total, weight_total = self._curvature_sum(size, phi)
        if total is None:
            return block.params_metric(phi)
        return ParamsMetric(block.coordinates, block.factored(total, weight_total))

    def hessian(self, size: int, phi: Float64Vector) -> Any:
        """The matrix behind `metric`, by ``phi`` and at ``phi``; see `MultinomialSample.mended_hessian`."""
        block, total, weight_total = self._curvature_sum(size, phi)
        return block.mended_hessian(phi) if total is None else block.mended_sum(total, weight_total)

    def _curvature_sum(self, size: int, phi: Float64Vector) -> tuple[MultinomialSample, Any, float]:
        """The last block of a fresh sample, and the sums of them all; None where one block is enough."""
        assert self._coordinates is not None
        coordinates = self._coordinates
        K, dtype = self.n_logits, self._dataset.compute_dtype
        p = len(phi) // K
        if not keeps_whole_hessian(len(phi), K):
            size = min(size, 40 * p)  # the mean factors of more rows are no better
        indices, weight = self._indices(size)
        on_host = array_namespace(self._dataset.rows.X) is np
        step = max(4 * p, (_BLOCK_BYTES if on_host else _DEVICE_BLOCK_BYTES) // (p * dtype.itemsize))
        total: Any = 0.0
        weight_total = 0.0
        for first in range(0, len(indices), step):
            part = slice(first, first + step)
            taken = self._dataset.take(indices[part], dtype).X
            labels_and_weights = self._labels_and_weights(indices[part], weight[part])
            block = self._problem(coordinates.rows(taken), *labels_and_weights, coordinates)
            if not keeps_whole_hessian(len(phi), K):
                return block, None, 0.0
            total = total + block.curvature_sum(phi)
            weight_total += block.weight_total
        return block, total, weight_total

    def _problem(self, U: Any, y: Any, s: Any, coordinates: Coordinates) -> MultinomialSample:
        return MultinomialSample(
            U,
            y,
            s,
            float(s.sum(dtype=np.float64)),
            self._penalty(coordinates),
            ClasswiseCoordinates(coordinates, self.n_logits),  # type: ignore[arg-type]
            self._objective.implementation.of_samples or self._objective.implementation,
            self._count,
            self.n_rows,
            self.n_logits,
        )
