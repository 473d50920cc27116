"""The objective of a linear model: from sums over the rows to a value and a gradient, and a count of the reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.penalty import l1_by_parameter
from gpu_logreg.objectives.products import HessianAt
from gpu_logreg.objectives.value_rounding import rounding_of_a_pass
from gpu_logreg.passes.engine import Engine, GradientPass
from gpu_logreg.passes.row_curvature import RowCurvature
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates
from gpu_logreg.rows.streamed import Dataset
from gpu_logreg.solvers.costs import Costs

__all__ = ["Objective"]


@dataclass
class Reads:
    """A counter of walks over the rows, in walks over all of them; a sample counts with its share."""

    total: float = 0.0

    def count(self) -> None:
        """One more."""
        self.total += 1.0


class Objective:
    """Mean loss plus penalty, as a function of the packed parameters ``[w, b]``.

    ``value = loss_sum / sum(s) + l2 |w|**2 / 2`` and ``grad = [dw_sum / sum(s) + l2 w, db_sum / sum(s)]``

    Parameters
    ----------
    dataset : Dataset
    engine : Engine
        Sums over the rows; its loss is the one that is minimised.
    l2 : float
        Strength of the ridge penalty on the mean loss.
    fit_intercept : bool
        Without it the parameters are ``w`` alone.
    l1 : float
        Strength of the L1 penalty. The solver adds it: values and gradients of the objective are without it.
    penalty_factor : ndarray of shape (d,), optional
        What both strengths are multiplied by for each column; ``l2`` is of that shape then.

    Attributes
    ----------
    reads : Reads
        Passes over all rows so far; a sample counts with its share of the rows. (In each pass ``reference`` and
        ``cublas`` read ``X`` twice.)
    n_logits : int
        1 for two classes, K for more.
    n_params : int
        Length of the packed parameters.
    hessian_form : HessianForm
        How solvers keep its Hessian, and what that costs.
    centre : ndarray of shape (d,) or None
        The mean of the columns, or an estimate of it. Rounding ``w`` to float32 changes every logit by about
        ``centre @ (w - float32(w))``, which is added to the intercept that the pass is given: without the correction,
        columns far from zero would cost most digits of ``w``.
    precision : float
        Machine epsilon of the dtype that the pass computes in.
    spread : ndarray of shape (d,) or None
        Standard deviation of every column about ``centre``.
    keeps_samples_sparse : bool
        Whether samples of the rows stay sparse.
    rounding : float
        Relative rounding error of the value at the last point: see `gpu_logreg.objectives.value_rounding`.

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> from gpu_logreg.passes.choice import choose
    >>> from gpu_logreg.rows.resident import ResidentDataset
    >>> X, y = np.array([[1.0], [-1.0]]), np.array([1, 0])
    >>> rows = ResidentDataset.from_arrays(X, y, None, Device("cpu"))
    >>> objective = Objective(rows, choose("reference", rows.rows, Device("cpu")), l2=0.0, fit_intercept=True)
    >>> value, grad = objective(np.zeros(2))
    >>> value, grad, objective.reads.total  # log(2) and X.T @ (p - y) / n
    (0.6931471805599453, array([-0.5,  0. ]), 1.0)
    """

    def __init__(
        self,
        dataset: Dataset,
        engine: Engine,
        l2: float,
        fit_intercept: bool,
        l1: float = 0.0,
        penalty_factor: Float64Vector | None = None,
    ) -> None:
        self.dataset = dataset
        self.engine = engine
        self.loss: Loss = engine.loss
        self.l1, self._strength, self.penalty_factor = l1, l2, penalty_factor
        self.l2: Any = l2 if penalty_factor is None else l2 * penalty_factor
        self.fit_intercept = fit_intercept
        self.reads = Reads()
        self.keeps_samples_sparse = engine.keeps_samples_sparse(dataset)
        self.n_logits = engine.loss.n_logits
        self.n_params = engine.loss.n_logits * (dataset.n_columns + int(fit_intercept))
        self.hessian_form: HessianForm = engine.loss.hessian_form(self.n_params)
        self.centre: Float64Vector | None = None
        self.spread: Float64Vector | None = None
        self._second: Float64Vector | None = None  # mean squares of the columns, by both
        self._known_finite = False
        self._dataset_of_pass: Dataset | None = None
        self._kept: tuple[Any, ...] | None = None
        self.precision = float(np.finfo(dataset.compute_dtype).eps)
        self.rounding = 4 * float(np.finfo(np.float64).eps)

    def packed_coordinates(self, coordinates: Coordinates) -> Coordinates | ClasswiseCoordinates:
        """Coordinates for the packed parameters of all logits, from those of one logit."""
        return ClasswiseCoordinates(coordinates, self.n_logits) if self.loss.has_free_directions else coordinates

    @cached_attribute
    def l1_strengths(self) -> Float64Vector:
        """Strength of the L1 penalty on every packed parameter: 0 for intercepts."""
        if self.l1 == 0.0:
            return np.zeros(self.n_params)
        l1 = self.l1 if self.penalty_factor is None else self.l1 * self.penalty_factor
        one = l1_by_parameter(l1, self.dataset.n_columns, self.n_params // self.n_logits)
        return np.tile(one, self.n_logits)

    @cached_attribute
    def costs(self) -> Costs:
        """Times of a read and a Hessian, relative to dense rows, for the choice of solver and sample size."""
        read, dataset = self.dataset.read_cost, self.dataset
        return Costs(read, read, dataset.curvature_cost(self.n_logits)) if self.keeps_samples_sparse else Costs(read)

    @cached_attribute
    def separable_below(self) -> float:
        """Value below which the classes are separable and there is no minimum; 0 where it does not tell.

        A misclassified row loses at least log 2, so that no row is misclassified below ``log(2) min(s) / sum(s)``.
        """
        if self._strength > 0.0 or self.l1 > 0.0 or not self.loss.value_tells_separation:
            return 0.0
        return math.log(2.0) * float(self.dataset.least_weight) / float(self.dataset.weight_total)

    @property
    def standard_columns(self) -> Coordinates:
        """Coordinates of the columns standardised by `centre` and `spread`, which are known; scale 1 for constants."""
        assert self.centre is not None
        assert self.spread is not None
        mean = self.centre if self.fit_intercept else np.zeros(len(self.centre))
        scale = self.spread if self.fit_intercept else np.hypot(self.spread, self.centre)
        return Coordinates(mean, np.where(scale > 0.0, scale, 1.0), self.fit_intercept)

    @np.errstate(over="ignore", invalid="ignore")
    def centre_on(self, centre: Float64Vector | None, spread: Float64Vector | None) -> None:
        """Let later passes correct the rounding of weights by the `centre` of the columns; None where not known."""
        second = None if centre is None or spread is None else spread**2 + centre**2
        self.centre, self.spread, self._second = centre, spread, second

    def widen(self) -> bool:
        """Let all later passes compute in float64, as rounding hides the optimum; false where they do already."""
        if self.dataset.compute_dtype == np.float64:
            return False
        self.dataset = self.dataset.in_float64()
        self.precision = float(np.finfo(np.float64).eps)
        return True

    def restricted(self, dataset: Dataset, columns: Any) -> Objective:
        """The same objective on a data set of some of the columns, with a count of reads of its own."""
        factor = None if self.penalty_factor is None else self.penalty_factor[columns]
        return Objective(dataset, self.engine, self._strength, self.fit_intercept, self.l1, factor)

    def penalised(self, l1: float, l2: float | None = None) -> Objective:
        """The same with other strengths of the penalties, ``l2`` its own if None; reads are counted with its own."""
        l2 = self._strength if l2 is None else l2
        other = Objective(self.dataset, self.engine, l2, self.fit_intercept, l1, self.penalty_factor)
        other.reads, other.centre, other.spread, other._second = self.reads, self.centre, self.spread, self._second
        return other

    def keep(self, params: Float64Vector, run: GradientPass | None = None) -> float:
        """The value at ``params``, by ``run`` if given, cached with its gradient: a solver that starts there has it."""
        value, grad = self(params) if run is None else self.evaluate_by(params, run)
        self._kept = params, self.dataset, self.centre, value, grad
        return value

    def _is_as_kept(self) -> bool:
        """Whether the cached value is valid: of the same rows, dtype and, where passes round the weights, `centre`."""
        assert self._kept is not None
        _, dataset, centre, *_ = self._kept
        in_float64 = self.dataset.compute_dtype == np.float64
        return dataset is self.dataset and (in_float64 or centre is self.centre)

    def unpack(self, params: Float64Vector) -> tuple[Float64Vector, Any]:
        """Weights and intercept of packed parameters; of shapes (K, d) and (K,) for K logits."""
        return self.loss.unpack(params, self.dataset.n_columns)

    def __call__(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``params``; one read.

        Raises
        ------
        DataError
            If ``X`` holds NaN or infinity; the message names the first. It takes no further read to see them, because
            they make the sums not finite too.
        """
        if self._kept is not None and self._kept[0] is params and self._is_as_kept():
            return self._kept[3], self._kept[4]
        if self._dataset_of_pass is not self.dataset:
            self._dataset_of_pass, self._gradient_pass = self.dataset, self.engine.gradient_pass(self.dataset)
        return self.evaluate_by(params, self._gradient_pass)

    def evaluate_by(self, params: Float64Vector, run: GradientPass) -> tuple[float, Float64Vector]:
        """Value and gradient by a pass over the rows; one read."""
        dataset, d = self.dataset, self.dataset.n_columns
        w, b = self.loss.unpack(params, d)
        if self.centre is not None and dataset.compute_dtype != np.float64:
            b = b + (w - w.astype(dataset.compute_dtype)) @ self.centre
        sums = run(w, b)
        self.reads.total += 1.0
        grad, total = self.loss.packed_gradient(sums.dw_sum, sums.db_sum, self.fit_intercept), dataset.weight_total
        if not self._known_finite:
            if not (np.isfinite(sums.loss_sum) and np.isfinite(grad).all()):
                dataset.refuse_not_finite()
            self._known_finite = True
        if len(grad) >= wide_vectors.LEAST_WIDE:
            penalty = self._with_ridge(grad, w)
        else:
            penalty = 0.5 * float(self.l2 * np.vdot(w, w) if self.penalty_factor is None else np.vdot(self.l2 * w, w))
            grad /= total
            grad.reshape(self.n_logits, -1)[:, :d] += self.l2 * w
        value = sums.loss_sum / total + penalty
        self.rounding = rounding_of_a_pass(w, value, penalty, dataset.n_rows, self.precision, self.centre, self._second)
        return value, grad

    def _with_ridge(self, grad: Float64Vector, w: Float64Vector) -> float:
        """The penalty; wide sums of gradients are divided by the weights and get that of the ridge, in place."""
        by_class, W, total = grad.reshape(self.n_logits, -1), np.atleast_2d(w), self.dataset.weight_total

        def of_columns(part: slice) -> float:
            block, of_weights = by_class[:, part], W[:, part]
            penalised = (self.l2 if self.penalty_factor is None else self.l2[part]) * of_weights
            block /= total
            block += penalised
            return float(np.vdot(of_weights, of_weights if self.penalty_factor is None else penalised))

        squares = wide_vectors.each_piece(of_columns, W.shape[1], wide_vectors.columns_of_a_piece(len(W)))
        by_class[:, W.shape[1] :] /= total
        return 0.5 * (self.l2 if self.penalty_factor is None else 1.0) * float(sum(squares))

    def curvature_at(self, params: Float64Vector) -> HessianAt:
        """The Hessian at ``params``, for products with vectors; one read, and one for each product."""
        w, b = self.loss.unpack(params, self.dataset.n_columns)
        if self.centre is not None:
            b = b + (w - w.astype(self.dataset.compute_dtype)) @ self.centre
        at = self.engine.row_curvature(self.dataset, w, b)
        self.reads.count()
        return self._hessian(at)

    def with_curvature(self, params: Float64Vector) -> tuple[float, Float64Vector, HessianAt]:
        """What a call gives, and `curvature_at`; one read for both. It raises what a call raises."""
        kept: list[RowCurvature] = []

        def run(w: Float64Vector, b: Any) -> Sums:
            sums, at = self.engine.gradient_and_curvature(self.dataset, w, b)
            kept.append(at)
            return sums

        value, grad = self.evaluate_by(params, run)
        return value, grad, self._hessian(kept[0])

    def _hessian(self, at: RowCurvature) -> HessianAt:
        return HessianAt(self.dataset, self.engine, at, self.l2, self.fit_intercept, self.centre, self.reads.count)

    def column_moments(self, moments: Moments | None = None) -> tuple[Float64Vector, Float64Vector]:
        """Weighted mean and variance of every column; one read, unless the sums are given.

        Raises
        ------
        DataError
            If ``X`` holds NaN or infinity; the message names the first.
        """
        if moments is None:
            moments = self.engine.moments(self.dataset)
            self.reads.total += 1.0
        if not (np.isfinite(moments.x_sum).all() and np.isfinite(moments.xx_sum).all()):
            self.dataset.refuse_not_finite()
        mean = moments.x_sum / self.dataset.weight_total
        # Rounding may give a constant column a variance just below zero.
        variance = np.maximum(moments.xx_sum / self.dataset.weight_total - mean**2, 0.0)
        self.centre_on(mean, np.sqrt(variance))
        return mean, variance
