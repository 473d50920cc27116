"""The objective on a sample of the rows, in standardised columns, whatever the loss and the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics.loss_protocols import PackedPass
from gpu_logreg.objectives.linear import Reads
from gpu_logreg.objectives.standardised import Standardised, StandardisedDense
from gpu_logreg.passes.engine import Engine
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates

__all__ = ["SampleObjective", "damp"]

LEAST_CURVATURE = 1e-12
"""Curvature that `damp` gives a coordinate without any, relative to the largest diagonal element of the loss.

It makes the Hessian invertible, and is small enough not to shorten steps along the other coordinates. A choice."""


def damp(H: Float64Matrix, penalty: Float64Vector, factor: Factor | None = None) -> Float64Matrix:
    """A Hessian with a positive diagonal, enlarged by what its Cholesky factorisation needed.

    Parameters
    ----------
    H : ndarray of shape (p, p) or (K p, K p)
        Changed in place.
    penalty : ndarray of shape (p,)
        The part of the diagonal that is the ridge's, for one class.
    factor : Factor, optional
        The factorisation of ``H``, of which ``added`` is relative to the diagonal.
    """
    diagonal = H.diagonal()
    added = 0.0 if factor is None else factor.added
    of_loss = diagonal - np.resize(penalty, len(H))
    least = LEAST_CURVATURE * (float(of_loss.max(initial=0.0)) or 1.0)
    H.flat[:: len(H) + 1] = np.where(diagonal > 0.0, diagonal, least) * (1.0 + added)
    return H


@dataclass(frozen=True)
class SampleObjective:
    """Weighted mean loss over the rows of a sample plus the penalty, as a function of packed ``phi``.

    A subclass for each loss has the Hessian and its models: see `gpu_logreg.objectives.curvature`.

    Attributes
    ----------
    rows : Standardised
        Their weights are row weights times inverse-probability weights.
    penalty : ndarray of shape (p,)
        Second derivative of the ridge penalty by each element of ``phi``, for one logit.
    coordinates : Coordinates
        Of packed vectors.
    engine : Engine
        As for the whole data.
    reads : Reads
        The counter to which a sum adds the share of all rows that it has read.
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
    coordinates: Coordinates | ClasswiseCoordinates
    engine: Engine
    reads: Reads
    n_total: int
    n_rows: int = field(init=False)
    weight_total: float = field(init=False)
    packed_penalty: Float64Vector = field(init=False)
    rounding: float = field(init=False)
    precision: float = field(init=False)

    def __post_init__(self) -> None:
        data, eps = self.rows.data, float(np.finfo(self.rows.data.compute_dtype).eps)
        penalty = np.tile(self.penalty, self.engine.loss.n_logits)
        more = {"n_rows": data.n_rows, "weight_total": data.weight_total, "packed_penalty": penalty}
        self.__dict__.update(more, rounding=eps, precision=eps)

    @cached_attribute
    def gradient_pass(self) -> PackedPass:
        """From ``phi`` to the loss sum and its gradient, by one read; of samples for a Hessian alone it is not made."""
        return self.rows.gradient_pass(self.engine)

    def rounding_at(self, phi: Float64Vector, value: float) -> float:
        """As `rounding`, with the rounding error of logits, whose terms may cancel.

        The error of a logit is about ``precision |phi|``. It changes the value by ``mean(dz_i error_i)``, a random sum
        of at most ``precision |phi| sqrt(2 value / n)``, and of at most ``precision |phi| value``, since
        ``dz**2 <= 2 row_loss`` and ``|dz| <= row_loss``: see `gpu_logreg.objectives.linear.Objective`.
        """
        terms = float(np.linalg.norm(phi))
        return self.precision * max(1.0, terms * math.sqrt(min(1.0, 2.0 / max(abs(value), 1e-300) / self.n_rows)))

    @property
    def separable_below(self) -> float:
        """0: a sample is no proof that the classes of all rows are separable."""
        return 0.0

    def widen(self) -> bool:
        """False: the minimum of a sample is only a start, and needs no float64."""
        return False

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``phi``."""
        self.reads.total += self.n_rows / self.n_total
        loss_sum, grad = self.gradient_pass(phi)
        penalised = self.packed_penalty * phi
        grad /= self.weight_total
        grad += penalised
        return loss_sum / self.weight_total + self.engine.loss.penalty_value(phi, penalised), grad

    @property
    def has_curvature_root(self) -> bool:
        """Whether the sample has ``curvature_root``: its rows are dense and on the host."""
        return isinstance(self.rows, StandardisedDense) and self.rows.data.on_host

    def thin(self, k: int) -> Self:
        """Every k-th row of the sample."""
        return self if k == 1 else replace(self, rows=replace(self.rows, data=self.rows.data.every(k)))  # type: ignore[type-var]
