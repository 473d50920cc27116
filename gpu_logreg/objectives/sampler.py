"""Samples of a data set as objectives: draws rows, notices columns carried by few of them, counts what is walked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import CURVATURE
from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.curvature import Blocks, sample_of
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sample import ParamsMetric, SampleObjective
from gpu_logreg.objectives.standardised import Standardised, StandardisedDense, StandardisedSparse
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import Coordinates, StandardisedRows, standardised
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.sampling import draw
from gpu_logreg.solvers.costs import Costs, keeps_whole_hessian, newton_is_fastest

__all__ = ["Sampler"]

FAR_FROM_ZERO = 2000.0
"""Columns whose mean is more than this times their spread are walked in float64: in float32 the logits would be off by
about 1e-4, and what is left to gain could not be told below 1e-10 of the value."""

STIFFEST = 1e303
"""Curvature of the ridge along a standardised column, beyond which it would soon be infinite: that of a column in units
of 1e-150 and less, whose weight is zero either way."""

EFFECTIVE_SHARE = 0.05
"""A column whose variance hangs on fewer rows than this share of the sample is carried by few rows."""

ROWS_OF_MEAN_FACTORS = 40
"""Rows of a sample for each column, beyond which the mean factors of a Kronecker product are no better."""


class Sampler:
    """Draws samples of the rows behind an objective.

    Parameters
    ----------
    objective : Objective
        Its count of reads is raised by the share of the rows that is walked.
    generator : numpy Generator
    keeps_sparse : bool, optional
        Whether samples of sparse rows stay sparse; if None, where they may and are not few: few rows are centred as
        dense ones, since sums over sparse rows lose digits where columns are far from zero.

    Attributes
    ----------
    irregular : bool
        Whether rows are drawn by their scores, because some columns are carried by few rows.
    complete : bool
        Whether the last sample held every row that has a weight.
    """

    def __init__(self, objective: Objective, generator: np.random.Generator, keeps_sparse: bool | None = None) -> None:
        self._objective = objective
        self._kind = sample_of(objective.loss)
        if keeps_sparse is None:
            few = newton_is_fastest(objective.dataset.n_rows, objective.n_params)
            keeps_sparse = objective.keeps_samples_sparse and not few
        self._keeps_sparse = keeps_sparse
        self._generator = generator
        self._labels = objective.dataset.rows.y
        self._coordinates: Coordinates | None = None
        self.irregular = False
        self.complete = False

    @cached_attribute
    def _size(self) -> Float64Vector | None:
        """What rows are drawn in proportion to; None for evenly. From a GPU weights are copied when they are needed."""
        weights = self._dataset.rows.sample_weight
        return None if weights is None else to_numpy(weights).astype(np.float64)

    @property
    def n_rows(self) -> int:
        """Rows of the whole data."""
        return self._dataset.n_rows

    @property
    def n_params(self) -> int:
        """Parameters of the objective."""
        return self._objective.n_params

    @property
    def costs(self) -> Costs:
        """Times relative to those of as many dense rows."""
        return self._objective.costs

    @property
    def _dataset(self) -> ResidentDataset:
        return self._objective.dataset  # it changes when the objective is widened

    @property
    def n_logits(self) -> int:
        """Logits of a row."""
        return self._objective.n_logits

    def sample(self, size: int) -> Any:
        """A sample of about ``size`` rows, with the coordinates its columns suggest.

        Where a column is carried by few rows, all rows are scored (one read) and the sample is drawn again by score.

        Raises
        ------
        DataError
            If a row of the sample holds NaN or infinity.
        """
        if size >= self.n_rows:  # few rows: float64 costs nothing, and shows curvatures next to nothing
            self._objective.widen()
        indices, weight = self._indices(size)
        rows, y, s = self._standardised(indices, weight)
        far = (np.abs(rows.coordinates.mean) > FAR_FROM_ZERO * rows.coordinates.scale) & (rows.variance > 0.0)
        if bool(far.any()) and self._objective.widen():
            rows, y, s = self._standardised(indices, weight)
        least = EFFECTIVE_SHARE * len(weight)
        if len(weight) < self._present() and bool((rows.effective < least).any()):
            self.irregular = True
            indices, weight = self._indices_by_score(size, rows)
            rows, y, s = self._standardised(indices, weight)
        self._coordinates = rows.coordinates
        self.complete = len(indices) >= self._present()
        self._objective.spread = rows.coordinates.scale
        self._objective.centre = rows.coordinates.mean
        if self._keeps_sparse:
            return self._of_sparse(rows.at, y, s)
        return self._of_dense(rows.U, y, s, rows.coordinates)

    def whole(self) -> Any:
        """`all_rows` with ``second_order``, for Newton's method; None where that is not to be had."""
        return self.all_rows() if self._kind.has_second_order else None

    def all_rows(self) -> Any:
        """All rows that have a weight, in float64: for data so small that this costs nothing; None off the host.

        Raises
        ------
        DataError
            If a row, of whatever weight, holds NaN or infinity.
        """
        if not self._dataset.on_host:
            return None
        if not self._dataset.all_finite():
            self._dataset.refuse_not_finite()
        self._objective.widen()
        return self.sample(self.n_rows)

    def _indices_by_score(self, size: int, rows: StandardisedRows) -> tuple[Any, Float64Vector]:
        # A column that looked constant has no variance to divide by; any other value in it is worth a sample.
        inverse = np.where(rows.variance > 0.0, 1.0 / np.where(rows.variance > 0.0, rows.variance, 1.0), np.nan)
        scores = self._objective.engine.scores(self._dataset, rows.coordinates.mean, inverse, float(len(rows.at)))
        self._objective.reads.total += 1.0
        if not np.isfinite(scores).all():
            self._dataset.refuse_not_finite()
        base = 1.0 + scores.astype(np.float64) / self._dataset.n_columns
        self._size = base if self._size is None else self._size * base
        return self._indices(size)

    def metric(self, size: int, params: Float64Vector) -> ParamsMetric:
        """The curvature at ``params`` of a fresh sample of about ``size`` rows, walked a few rows at a time."""
        assert self._coordinates is not None
        phi = self._packed(self._coordinates).from_params(params)
        return self._kind.metric_of_blocks(self._blocks(size), phi)

    def hessian(self, size: int, phi: Float64Vector) -> Any:
        """The matrix behind `metric`, by ``phi`` and at ``phi``, on the host; in float64 it is not factored."""
        return self._kind.hessian_of_blocks(self._blocks(size), phi)

    def _blocks(self, size: int) -> Blocks:
        """A fresh sample of about ``size`` rows, in the columns of the last one, a few rows at a time."""
        assert self._coordinates is not None
        coordinates, K = self._coordinates, self.n_logits
        p = self.n_params // K
        if not keeps_whole_hessian(self.n_params, K):
            size = min(size, ROWS_OF_MEAN_FACTORS * p)
        indices, weight = self._indices(size)

        def blocks(dtype: Any) -> Iterator[SampleObjective]:
            if self._keeps_sparse:
                yield self._of_sparse(indices, *self._labels_and_weights(indices, weight))
                return
            dtype = dtype or self._dataset.compute_dtype
            block_bytes = CURVATURE.host if self._dataset.on_host else CURVATURE.device
            step = max(self._kind.least_block_rows * p, block_bytes // (p * dtype.itemsize))
            for first in range(0, len(indices), step):
                part = slice(first, first + step)
                U = coordinates.rows(self._dataset.take(indices[part], dtype).X)
                yield self._of_dense(U, *self._labels_and_weights(indices[part], weight[part]), coordinates)

        return blocks

    def _present(self) -> int:
        """Rows that have a weight."""
        return self.n_rows if self._size is None else int(np.count_nonzero(self._size))

    def _indices(self, size: int) -> tuple[Any, Float64Vector]:
        return draw(self._labels, size, self._generator, self._size)

    def _standardised(self, indices: Any, weight: Float64Vector) -> tuple[StandardisedRows, Any, Any]:
        """A sample in its own standardised columns, its labels and its weights."""
        self._objective.reads.total += len(indices) / self.n_rows
        y, s = self._labels_and_weights(indices, weight)
        rows = standardised(self._dataset, indices, s, self._objective.fit_intercept)
        if not (np.isfinite(rows.coordinates.mean).all() and np.isfinite(rows.variance).all()):
            self._dataset.refuse_not_finite()
        return rows, y, s

    def _labels_and_weights(self, indices: Any, weight: Float64Vector) -> tuple[Any, Any]:
        _, y, sample_weight = self._dataset.rows
        xp = array_namespace(y)
        at, s = xp.asarray(indices), xp.asarray(weight)
        return y[at], s if sample_weight is None else s * sample_weight[at]

    def _of_dense(self, U: Any, y: Any, s: Any, coordinates: Coordinates) -> SampleObjective:
        data = ResidentDataset(Rows(U, y, s), float(s.sum(dtype=np.float64)))
        return self._of(StandardisedDense(data), coordinates)

    def _of_sparse(self, indices: Any, y: Any, s: Any) -> SampleObjective:
        assert self._coordinates is not None
        data = self._dataset.sparse_rows(indices, y, s)
        return self._of(StandardisedSparse(data, self._coordinates), self._coordinates)

    def _of(self, rows: Standardised, coordinates: Coordinates) -> SampleObjective:
        engine, penalty = self._objective.engine, self._penalty(coordinates)
        return self._kind(rows, penalty, self._packed(coordinates), engine, self._objective.reads, self.n_rows)

    def _packed(self, coordinates: Coordinates) -> Any:
        """The coordinates of packed vectors."""
        return self._objective.packed_coordinates(coordinates)

    def _penalty(self, coordinates: Coordinates) -> Float64Vector:
        with np.errstate(over="ignore"):
            by_weight = np.minimum(self._objective.l2 / coordinates.scale / coordinates.scale, STIFFEST)
        if coordinates.constant is not None:  # a little curvature, of which a weight that is zero takes nothing
            by_weight = np.where(coordinates.constant, np.maximum(by_weight, 1.0), by_weight)
        return np.append(by_weight, 0.0) if coordinates.fit_intercept else by_weight
