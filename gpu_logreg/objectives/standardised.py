"""Sums over the rows of a sample as functions of ``phi``, the parameters of standardised columns.

With ``u = [(x - mean) / scale, 1]`` and ``phi = [w scale, b + mean @ w]`` the logit ``x @ w + b`` is ``u @ phi``. All
columns of ``u`` have mean 0 and mean square 1 over the sample, so that the Hessian by ``phi`` is well scaled whatever
the units of ``X``. There are two ways to the same sums:

- `StandardisedDense` copies the rows of a sample once as ``u``, and sums over the copies;
- `StandardisedSparse` keeps sparse rows, as centred rows would be dense. It sums over the stored elements by
  ``[w, b]`` and transforms the gradient and the Hessian to ``phi``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics.loss_protocols import PackedPass
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.engine import Engine
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["Standardised", "StandardisedDense", "StandardisedSparse"]

_ROWS_AT_ONCE = 256
"""Rows of a sparse Hessian that are centred at a time, so that no second matrix of its size is allocated."""


class Standardised(Protocol):
    """The rows of a sample, as `gpu_logreg.objectives.sample.SampleObjective` uses them."""

    @property
    def data(self) -> ResidentDataset:
        """The rows, their labels and weights."""

    @property
    def n_params(self) -> int:
        """Length of ``phi`` of one logit."""

    def gradient_pass(self, engine: Engine) -> PackedPass:
        """From ``phi`` to the loss sum and its gradient, by one pass."""

    def curvature(self, engine: Engine, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the mean loss by ``phi``, summed in ``dtype`` and returned in float64."""

    def second_order(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """Loss sum, its gradient, and the second derivative of the mean loss, for two classes on the host."""

    def classes_curvature(self, engine: Engine, phi: Float64Vector) -> Float64Matrix:
        """Second derivative of the loss sum of K classes by packed ``phi``, on the host in float64."""

    def mean_factors(self, engine: Engine, phi: Float64Vector) -> tuple[Array, Float64Matrix, float]:
        """Mean factors of the curvature of K classes, undivided: see `gpu_logreg.passes.engine.Engine.mean_factors`."""


@dataclass(frozen=True)
class StandardisedDense:
    """Rows copied into standardised columns.

    Attributes
    ----------
    data : ResidentDataset
        Its ``X`` of shape (m, p) holds the ``u`` of every row.
    """

    data: ResidentDataset

    @property
    def n_params(self) -> int:
        """Columns of ``u``."""
        return self.data.n_columns

    def gradient_pass(self, engine: Engine) -> PackedPass:
        """By a pass over the copies; the column of ones in ``u`` is that of the intercept."""
        return engine.loss.packed_pass(engine.gradient_pass(self.data), self.data.n_columns, False)

    def curvature(self, engine: Engine, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the mean loss, on the host or the device: where it is to be factored."""
        total = engine.curvature(self.data, phi, dtype)
        total /= self.data.weight_total
        return total

    def second_order(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """The plain formulas over all rows at once: for small data on the host."""
        loss = engine.loss
        assert isinstance(loss, Binary)
        U, y, s = self.data.rows
        row_loss, dz, d2z = loss.loss_dz_and_curvature(U @ phi, y)
        A = U * np.sqrt(s * d2z / self.data.weight_total)[:, None]
        return float(s @ row_loss), (s * dz) @ U, A.T @ A

    def classes_curvature(self, engine: Engine, phi: Float64Vector) -> Float64Matrix:
        """By a pass over the copies, in their dtype."""
        return np.asarray(engine.curvature(self.data, phi))

    def mean_factors(self, engine: Engine, phi: Float64Vector) -> tuple[Array, Float64Matrix, float]:
        """By a pass over the copies."""
        return engine.mean_factors(self.data, phi)


@dataclass(frozen=True)
class StandardisedSparse:
    """Sparse rows, neither centred nor copied as dense rows; sums are computed in float64.

    Attributes
    ----------
    data : ResidentDataset
        ``X`` of shape (m, d), in CSR.
    coordinates : Coordinates
        Of one logit.
    """

    data: ResidentDataset
    coordinates: Coordinates

    @property
    def n_params(self) -> int:
        """Columns, and 1 for the intercept."""
        return self.data.n_columns + int(self.coordinates.fit_intercept)

    def gradient_pass(self, engine: Engine) -> PackedPass:
        """By a pass over the stored elements."""
        coordinates, run = self._packed(engine), engine.gradient_pass(self.data)
        by_params = engine.loss.packed_pass(run, self.data.n_columns, coordinates.fit_intercept)

        def by_phi(phi: Float64Vector) -> tuple[float, Float64Vector]:
            loss_sum, grad = by_params(coordinates.to_params(phi))
            return loss_sum, coordinates.grad_to_phi(grad)

        return by_phi

    def _packed(self, engine: Engine) -> Coordinates | ClasswiseCoordinates:
        K = engine.loss.n_logits
        return self.coordinates if K == 1 else ClasswiseCoordinates(self.coordinates, K)

    def _unpacked(self, engine: Engine, phi: Float64Vector) -> tuple[Float64Vector, Any]:
        return engine.loss.unpack(self._packed(engine).to_params(phi), self.data.n_columns)

    def curvature(self, engine: Engine, phi: Float64Vector, dtype: DTypeLike | None = None) -> Float64Matrix:
        """Second derivative of the mean loss by ``phi``, in float64 whatever ``dtype``.

        With ``h_i = s_i p_i (1 - p_i) / sum(s)`` it is ``T.T sum_i h_i [x_i, 1] [x_i, 1].T T``; ``[w, b] = T phi``.
        """
        sums = engine.sparse_curvature(self.data, *self._unpacked(engine, phi), self.coordinates.fit_intercept)
        return self._by_phi(*sums)

    def _by_phi(self, H: Float64Matrix, v: Float64Vector, total: float) -> Float64Matrix:
        """``T.T sum_i h_i [x_i, 1] [x_i, 1].T T`` in place of ``H``, from its sums by the columns as they are."""
        inverse, mean = 1.0 / self.coordinates.scale, self.coordinates.mean
        of_weights = H[: len(v), : len(v)]
        if self.coordinates.fit_intercept:
            centre = v - 0.5 * total * mean
            for first in range(0, len(v), _ROWS_AT_ONCE):
                part = slice(first, first + _ROWS_AT_ONCE)
                of_weights[part] -= np.multiply.outer(mean[part], centre)
                of_weights[part] -= np.multiply.outer(centre[part], mean)
            H[-1, :-1] = H[:-1, -1] = inverse * (v - total * mean)
            H[-1, -1] = total
        of_weights *= inverse
        of_weights *= inverse[:, None]
        return H

    def classes_curvature(self, engine: Engine, phi: Float64Vector) -> Float64Matrix:
        """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T`` of K classes, of shape (K p, K p)."""
        K, p = engine.loss.n_logits, self.n_params
        H = np.zeros((K, p, K, p))
        sums = engine.sparse_pair_sums(self.data, *self._unpacked(engine, phi), self.coordinates.fit_intercept)
        for (k, other), of_pair in zip(itertools.combinations(range(K), 2), sums, strict=True):
            M = self._by_phi(*of_pair)
            H[k, :, k] += M
            H[other, :, other] += M
            H[k, :, other] = H[other, :, k] = -M
        return H.reshape(K * p, K * p)

    def mean_factors(self, engine: Engine, phi: Float64Vector) -> tuple[Float64Matrix, Float64Matrix, float]:
        """As `gpu_logreg.passes.engine.Engine.mean_factors` over the standardised rows."""
        fit_intercept = self.coordinates.fit_intercept
        sums, B = engine.sparse_mean_factors(self.data, *self._unpacked(engine, phi), fit_intercept)
        return self._by_phi(*sums), B, sums[-1]

    def second_order(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """By a pass for the gradient and one for the second derivative."""
        return *self.gradient_pass(engine)(phi), self.curvature(engine, phi)
