"""Draws random samples of the rows behind an objective, as objectives in standardised columns; counts their reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_logreg.arrays.block_sizes import CURVATURE
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector, IntVector
from gpu_logreg.objectives.classes_curvature import Blocks, curve_free_directions
from gpu_logreg.objectives.curvature import Sample, sample_of
from gpu_logreg.objectives.heavy_rows import HeavyRows, heavy_of, projections, relative_leverage
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.standardised import Standardised, StandardisedDense, StandardisedSparse
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates, ParamsMetric, StandardisedRows, standardised
from gpu_logreg.rows.drawing import Drawing, DrawsRows
from gpu_logreg.rows.drawing_by_parts import DrawingByParts
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.costs import Costs, newton_is_fastest

__all__ = ["Sampler"]

FAR_FROM_ZERO = 2000.0
"""Mean over standard deviation of a column from which float32 rows are computed in float64.

In float32 logits would err by about 1e-4, and hide a remaining decrease below 1e-10 of the value."""

STIFFEST = 1e303
"""Largest second derivative of the ridge along a standardised column: beyond it products would overflow. It is that of
a column with a standard deviation of 1e-150 or less, whose weight is zero either way."""

EFFECTIVE_SHARE = 0.05
"""Share of the sample below which the effective number of rows behind the variance of a column is few: rows are then
drawn by their scores, an estimate of leverage."""

LOGIT_ROWS = 2**18
"""Rows whose projections are kept at a time."""

ROWS_OF_MEAN_FACTORS = 40
"""Rows of a sample for each column up to which more rows improve the mean factors of a Kronecker product."""


class Sampler:
    """Draws samples of the rows behind an objective.

    Parameters
    ----------
    objective : Objective
        Its ``reads`` rise by the share of the rows that samples read.
    generator : numpy Generator
    keeps_sparse : bool, optional
        Whether samples of sparse rows stay sparse. If None they do where the engine allows it and the rows are not
        few: few rows are centred as dense rows, as sums over sparse rows lose digits where columns are far from zero.

    Attributes
    ----------
    n_rows, n_params : int
        Rows of the whole data, and parameters of the objective.
    hessian_form : HessianForm
        How the Hessian is kept, and what it costs.
    irregular : bool
        Whether rows are drawn by their scores, because the variance of some column comes from few rows.
    complete : bool
        Whether the last sample held every row of positive weight.

    Examples
    --------
    >>> from gpu_logreg.arrays.device import to_numpy, Device
    >>> from gpu_logreg.passes.choice import choose
    >>> X = np.arange(2000.0).reshape(1000, 2)
    >>> data = ResidentDataset.from_arrays(X, np.arange(1000) % 2, None, Device("cpu"))
    >>> objective = Objective(data, choose("reference", data.rows, Device("cpu")), l2=0.0, fit_intercept=True)
    >>> sample = Sampler(objective, np.random.default_rng(0)).sample(100)
    >>> sample.n_rows, objective.reads.total, round(sample(np.zeros(3))[0], 3)  # the value is log(2)
    (100, 0.1, 0.693)
    """

    def __init__(self, objective: Objective, generator: np.random.Generator, keeps_sparse: bool | None = None) -> None:
        self._objective = objective
        self.n_rows, self.n_params = objective.dataset.n_rows, objective.n_params
        self.hessian_form = objective.hessian_form
        self._kind = sample_of(objective.loss)
        if keeps_sparse is None:
            keeps_sparse = objective.keeps_samples_sparse and not newton_is_fastest(self.n_rows, self.n_params)
        self._keeps_sparse = keeps_sparse
        self._generator = generator
        self._drawing: DrawsRows | DrawingByParts = objective.dataset.drawing(objective.loss.n_classes)
        self._coordinates: Coordinates | None = None
        self.irregular = False
        self.complete = False

    @property
    def costs(self) -> Costs:
        """Times of a read and a Hessian, relative to dense rows of this shape."""
        return self._objective.costs

    def sample(self, size: int) -> Sample:
        """A sample of about ``size`` rows, in coordinates that its own means and variances standardise.

        Where the variance of a column comes from few rows, all rows are scored (one read), and a sample is drawn
        with probabilities in proportion to the scores.

        Raises
        ------
        DataError
            If a row of the sample holds NaN or infinity.
        """
        rows, y, s = self._rows_drawn(min(size, self._objective.dataset.largest_sample))
        self._coordinates = rows.coordinates
        self._objective.centre_on(rows.coordinates.mean, rows.coordinates.scale)
        if self._keeps_sparse:
            return self._of_sparse(rows.dataset, rows.at, y, s)
        return self._of_dense(rows.U, y, s, rows.coordinates)

    def _rows_drawn(self, size: int) -> tuple[StandardisedRows, Array, Array]:
        """The rows of a sample, their labels and their weights."""
        if size >= self.n_rows:  # few rows: float64 costs little, and shows small curvatures
            self._objective.widen()
        indices, weight = self._indices(size, with_rows=True)
        rows, y, s = self._standardised(indices, weight)
        far = (np.abs(rows.coordinates.mean) > FAR_FROM_ZERO * rows.coordinates.scale) & (rows.variance > 0.0)
        if bool(far.any()) and self._objective.widen():
            rows, y, s = self._standardised(indices, weight)
        least, n_present = EFFECTIVE_SHARE * len(weight), self._drawing.n_present
        if len(weight) < n_present and bool((rows.effective < least).any()):
            self.irregular = True
            indices, weight = self._indices_by_score(size, rows)
            rows, y, s = self._standardised(indices, weight)
        self.complete = len(indices) >= n_present
        return rows, y, s

    def whole(self) -> Sample | None:
        """`all_rows` for Newton's method; None where the sample has no ``second_order``."""
        return self.all_rows() if self._kind.has_second_order else None

    def all_rows(self) -> Sample | None:
        """All rows of positive weight, in float64, for data so small that this costs little; None for rows on a device.

        Raises
        ------
        DataError
            If a row, of whatever weight, holds NaN or infinity.
        """
        if not self._objective.dataset.on_host:
            return None
        if not self._objective.dataset.all_finite():
            self._objective.dataset.refuse_not_finite()
        self._objective.widen()
        return self.sample(self.n_rows)

    def _indices_by_score(self, size: int, rows: StandardisedRows) -> tuple[IntVector, Float64Vector]:
        # NaN marks a column that is constant in the sample: a row with another value in it gets a large score.
        inverse = np.where(rows.variance > 0.0, 1.0 / np.where(rows.variance > 0.0, rows.variance, 1.0), np.nan)
        dataset, mean, unseen = self._objective.dataset, rows.coordinates.mean, float(len(rows.at))
        if isinstance(self._drawing, DrawingByParts):
            self._drawing.by_scores_of(mean, inverse, unseen)  # where the parts are
            self._objective.reads.total += 1.0
            return self._indices(size)

        def scores_of_blocks() -> Iterator[Float64Vector]:
            for block in dataset.blocks():
                scores = self._objective.engine.scores(block, mean, inverse, unseen)
                if not np.isfinite(scores).all():
                    dataset.refuse_not_finite()
                yield scores

        self._drawing.by_scores(scores_of_blocks(), dataset.n_columns)
        self._objective.reads.total += 1.0
        return self._indices(size)

    def metric(self, size: int, params: Float64Vector) -> ParamsMetric:
        """A metric from the Hessian at ``params`` of a new sample of about ``size`` rows, a few rows at a time."""
        assert self._coordinates is not None
        return self._kind.metric_of_blocks(self._blocks(size), self._packed(self._coordinates).from_params(params))

    def hessian(self, size: int, phi: Float64Vector, dtype: DTypeLike | None = None) -> Float64Matrix:
        """The Hessian of `metric` by ``phi`` and at ``phi``, damped, on the host; first tried in ``dtype`` if given."""
        of_dtype = self._blocks(size)
        return self._kind.hessian_of_blocks(lambda wider: of_dtype(wider or dtype), phi)

    def heavy_rows(self, size: int, params: Float64Vector) -> HeavyRows | None:
        """The heavy rows, as weighed at ``params``, apart from all others; None where there are none, or not in memory.

        Later samples are of the light rows, in proportion to their leverage. One read, and one sample of ``size`` rows,
        for the Hessian that rows are weighed by.
        """
        assert self._coordinates is not None
        return self.heavy_rows_at(size, self._packed(self._coordinates).from_params(params), True)

    def heavy_rows_at(self, size: int, phi: Float64Vector, curve_free: bool = False) -> HeavyRows | None:
        """As `heavy_rows`, by the coordinates of the last sample; with curvature along free directions if asked for.

        An L1 penalty is not flat along these, so that steps along them need their true curvature, which is none.
        """
        dataset, drawing = self._objective.dataset, self._drawing
        if not isinstance(drawing, Drawing):
            return None
        assert self._coordinates is not None
        H = self._kind.columns_of_blocks(self._blocks(size), phi)
        weight = drawing.times_weights(relative_leverage(self._leverage(projections(H, self._generator))))
        heavy = heavy_of(weight, size, dataset.n_columns)
        if not len(heavy):
            return None
        weight[heavy] = 0.0
        drawing.draw_by(weight)
        of_heavy = dataset.labels_and_weights(heavy, np.ones(len(heavy)))
        if self._keeps_sparse:
            sample = self._of_sparse(*dataset.gather(heavy), *of_heavy)
        else:
            U = self._coordinates.rows(dataset.take(heavy, np.float64).X)
            sample = self._of_dense(U, of_heavy[0], of_heavy[1], self._coordinates)
        share = sample.weight_total / dataset.weight_total
        penalty = np.resize(sample.penalty, len(phi))

        def light(size: int, phi: Float64Vector) -> Float64Matrix:
            H = self.hessian(size, phi)
            H *= 1.0 - share
            H.flat[:: len(H) + 1] += share * penalty
            return curve_free_directions(H, self._objective.n_logits) if curve_free else H

        return HeavyRows(sample.unpenalised(), share, self._packed(self._coordinates), light)

    def _leverage(self, V: Float64Matrix) -> Float64Vector:
        """``|V u_i|**2`` of all rows; one read."""
        assert self._coordinates is not None
        dataset, by_params = self._objective.dataset, self._coordinates.to_params(V)
        W, b = by_params[:, : dataset.n_columns], by_params[:, dataset.n_columns :].sum(axis=1)
        self._objective.reads.total += 1.0
        leverage = np.empty(self.n_rows)
        for first in range(0, self.n_rows, LOGIT_ROWS):
            part = slice(first, first + LOGIT_ROWS)
            with np.errstate(over="ignore", invalid="ignore"):
                z = to_numpy(row_logits(dataset.rows.X[part], W, b, np.float64))
                leverage[part] = (z.reshape(len(z), -1) ** 2).sum(axis=1)
        return leverage

    def _blocks(self, size: int) -> Blocks:
        """A new sample of about ``size`` rows, in the coordinates of the last one, a few rows at a time."""
        assert self._coordinates is not None
        coordinates, p = self._coordinates, self.hessian_form.width
        size = size if self.hessian_form.whole else min(size, ROWS_OF_MEAN_FACTORS * p)
        indices, weight = self._indices(size)

        def blocks(dtype: DTypeLike | None) -> Iterator[Sample]:
            dataset = self._objective.dataset
            if self._keeps_sparse:
                yield self._of_sparse(*dataset.gather(indices), *dataset.labels_and_weights(indices, weight))
                return
            dtype = np.dtype(dtype or dataset.compute_dtype)
            step = max(self._kind.least_block_rows * p, dataset.block_bytes(CURVATURE) // (p * dtype.itemsize))
            parts = [slice(first, first + step) for first in range(0, len(indices), step)]
            taken = dataset.take_parts([indices[part] for part in parts], dtype)
            for part, rows in zip(parts, taken, strict=True):
                y, s = dataset.labels_and_weights(indices[part], weight[part])
                yield self._of_dense(coordinates.rows(rows.X), y, s, coordinates)

        return blocks

    def _indices(self, size: int, with_rows: bool = False) -> tuple[IntVector, Float64Vector]:
        more = {"with_rows": with_rows} if isinstance(self._drawing, DrawingByParts) else {}
        return self._drawing.draw(size, self._generator, **more)

    def _standardised(self, indices: IntVector, weight: Float64Vector) -> tuple[StandardisedRows, Array, Array]:
        """A sample in its own standardised columns, its labels and its weights."""
        dataset = self._objective.dataset
        self._objective.reads.total += dataset.reads_of_sample(len(indices))
        gathered, at = dataset.gather(indices)
        y, s = dataset.labels_and_weights(indices, weight)
        rows = standardised(gathered, at, s, self._objective.fit_intercept)
        if not (np.isfinite(rows.coordinates.mean).all() and np.isfinite(rows.variance).all()):
            dataset.refuse_not_finite()
        return rows, y, s

    def _of_dense(self, U: Array, y: Array, s: Array, coordinates: Coordinates) -> Sample:
        data = ResidentDataset(Rows(U, y, s), float(s.sum(dtype=np.float64)))
        return self._of(StandardisedDense(data), coordinates)

    def _of_sparse(self, dataset: ResidentDataset, indices: IntVector, y: Array, s: Array) -> Sample:
        assert self._coordinates is not None
        data = dataset.sparse_rows(indices, y, s)
        return self._of(StandardisedSparse(data, self._coordinates), self._coordinates)

    def _of(self, rows: Standardised, coordinates: Coordinates) -> Sample:
        engine, penalty = self._objective.engine, self._penalty(coordinates)
        return self._kind(rows, penalty, self._packed(coordinates), engine, self._objective.reads, self.n_rows)

    def _packed(self, coordinates: Coordinates) -> Coordinates | ClasswiseCoordinates:
        """The coordinates of packed vectors."""
        return self._objective.packed_coordinates(coordinates)

    def _penalty(self, coordinates: Coordinates) -> Float64Vector:
        with np.errstate(over="ignore"):
            by_weight = np.minimum(self._objective.l2 / coordinates.scale / coordinates.scale, STIFFEST)
        if coordinates.constant is not None:  # curvature 1: their weights stay at zero, where it adds nothing
            by_weight = np.where(coordinates.constant, np.maximum(by_weight, 1.0), by_weight)
        return np.append(by_weight, 0.0) if coordinates.fit_intercept else by_weight
