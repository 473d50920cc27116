"""The objective on a sample of the rows, in standardised columns, whatever the loss and the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.objectives.linear import Reads
from gpu_logreg.objectives.standardised import Standardised, StandardisedDense, thinned
from gpu_logreg.passes.engine import Engine
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.solvers import Metric
from gpu_logreg.solvers.factor import Factor

__all__ = ["ParamsMetric", "SampleObjective", "mended"]

LEAST_CURVATURE = 1e-12
"""Curvature that a coordinate without any is given, relative to the largest of the loss, to have an inverse."""


def mended(H: Any, penalty: Float64Vector, factor: Factor | None = None) -> Float64Matrix:
    """``H`` on the host, with a positive diagonal, and what a factorisation had to add to it.

    ``penalty`` is what of the diagonal is the ridge's, if need be to be repeated for every class.
    """
    H = to_numpy(H)
    diagonal = H.diagonal()
    added = 0.0 if factor is None else factor.added
    of_loss = diagonal - np.resize(penalty, len(H))
    least = LEAST_CURVATURE * (float(of_loss.max(initial=0.0)) or 1.0)
    H.flat[:: len(H) + 1] = np.where(diagonal > 0.0, diagonal, least) * (1.0 + added)
    return np.asarray(H)


@dataclass(frozen=True)
class ParamsMetric:
    """A model of the curvature by ``phi``, as one by ``[w, b]``: ``H^-1 = T Hphi^-1 T.T``."""

    coordinates: Coordinates
    factor: Metric

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``."""
        return self.coordinates.to_params(self.factor.solve(self.coordinates.grad_to_phi(v)))


@dataclass(frozen=True)
class SampleObjective:
    """Weighted mean loss over the rows of a sample plus the penalty, as a function of packed ``phi``.

    Its models of the curvature are those of a subclass for each loss: see `gpu_logreg.objectives.curvature`.

    Attributes
    ----------
    rows : Standardised
        Their weights include one over the probability with which a row was drawn.
    penalty : ndarray of shape (p,)
        Diagonal of the penalty by ``phi``, of one logit.
    coordinates : Coordinates
        Of packed vectors.
    engine : Engine
        As for the whole data.
    reads : Reads
        Counts the share of all rows that is walked.
    n_total : int
        Rows of the whole data.
    n_rows : int
        Rows of the sample.
    weight_total : float
        Sum of their weights.
    packed_penalty : ndarray of shape (p,), or (K p,)
        Diagonal of the penalty by packed ``phi``.
    rounding, precision : float
        Relative size below which differences of the value are rounding, and rounding of the arithmetic of a row.
    """

    rows: Standardised
    penalty: Float64Vector
    coordinates: Coordinates
    engine: Engine
    reads: Reads
    n_total: int
    n_rows: int = field(init=False)
    weight_total: float = field(init=False)
    packed_penalty: Float64Vector = field(init=False)
    rounding: float = field(init=False)
    precision: float = field(init=False)

    def __post_init__(self) -> None:
        data, eps = self.rows.data, float(np.finfo(self.rows.dtype).eps)
        penalty = np.tile(self.penalty, self.engine.loss.n_logits)
        more = {"n_rows": data.n_rows, "weight_total": data.weight_total, "packed_penalty": penalty}
        self.__dict__.update(more, rounding=eps, precision=eps)

    def rounding_at(self, phi: Float64Vector, value: float) -> float:
        """As `rounding`, where logits are sums of terms that may cancel: see `gpu_logreg.objectives.linear.Objective`.

        The random sum ``sum dz_i off_i / n`` is no more than ``off value`` either, since ``|dz| <= row_loss``.
        """
        terms = float(np.linalg.norm(phi))
        return self.precision * max(1.0, terms * math.sqrt(min(1.0, 2.0 / max(abs(value), 1e-300) / self.n_rows)))

    @property
    def separable_below(self) -> float:
        """Samples are solved roughly; whether the classes are separable is for the whole data to tell."""
        return 0.0

    def widen(self) -> bool:
        """Not for a sample, which is solved roughly."""
        return False

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``phi``."""
        self.reads.total += self.n_rows / self.n_total
        loss_sum, grad = self.rows.gradient(self.engine, phi)
        penalised = self.packed_penalty * phi
        grad /= self.weight_total
        grad += penalised
        return loss_sum / self.weight_total + self.engine.loss.penalty_value(phi, penalised), grad

    @property
    def has_curvature_root(self) -> bool:
        """Whether a root of the curvature can be had: of dense rows on the host."""
        return isinstance(self.rows, StandardisedDense) and self.rows.data.on_host

    def thin(self, k: int) -> Any:
        """Every k-th row of the sample."""
        return self if k == 1 else replace(self, rows=thinned(self.rows, k))
