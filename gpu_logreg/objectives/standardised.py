"""Rows of a sample by ``phi``, the parameters of standardised columns: copied as dense rows, or sparse as they are.

In these coordinates ``z = u @ phi`` with ``u = [(x - mean) / scale, 1]`` and ``phi = [w scale, b + mean @ w]``, and no
column is large, tiny or nearly constant. Dense rows are copied once as ``u``. Sparse rows are never centred: sums are
taken by ``[w, b]`` over the stored elements, and brought to ``phi``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.engine import Engine
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["Standardised", "StandardisedDense", "StandardisedSparse", "thinned"]

_ROWS_AT_ONCE = 256
"""Rows of a Hessian that are centred at a time, so that no second matrix of its size is allocated."""


class Standardised(Protocol):
    """What a sample asks of its rows."""

    @property
    def data(self) -> ResidentDataset:
        """The rows, their labels and weights."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the arithmetic."""

    @property
    def n_params(self) -> int:
        """Length of ``phi`` of one logit."""

    def gradient(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Loss sum, and its gradient by ``phi``."""

    def curvature(self, engine: Engine, phi: Float64Vector, dtype: Any = None) -> Any:
        """Second derivative of the mean loss by ``phi``, in float64."""

    def second_order(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """Loss sum, its gradient, and second derivative of the mean loss, of two classes and on the host."""


@dataclass(frozen=True)
class StandardisedDense:
    """Rows copied into standardised columns.

    Attributes
    ----------
    data : ResidentDataset
        ``X`` of shape (m, p) holds the ``u``.
    """

    data: ResidentDataset

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the copies."""
        return self.data.compute_dtype

    @property
    def n_params(self) -> int:
        """Columns of ``u``."""
        return self.data.n_columns

    def gradient(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Loss sum and gradient by one pass; the ones in ``u`` are the intercept."""
        loss = engine.loss
        sums = engine.gradient(self.data, *loss.unpack(phi, self.data.n_columns))
        return sums.loss_sum, loss.packed_gradient(sums.dw_sum, sums.db_sum, False)

    def curvature(self, engine: Engine, phi: Float64Vector, dtype: Any = None) -> Any:
        """Second derivative of the mean loss, where it is to be factored."""
        total = engine.curvature(self.data, phi, dtype)
        total /= self.data.weight_total
        return total

    def second_order(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """All rows at once, by the obvious formulas: for small data on the host."""
        loss = engine.loss
        assert isinstance(loss, Binary)
        U, y, s = self.data.rows
        row_loss, dz, d2z = loss.loss_dz_and_curvature(U @ phi, y)
        A = U * np.sqrt(s * d2z / self.data.weight_total)[:, None]
        return float(s @ row_loss), (s * dz) @ U, A.T @ A


@dataclass(frozen=True)
class StandardisedSparse:
    """Sparse rows of two classes as they are, computed in float64.

    Attributes
    ----------
    data : ResidentDataset
        ``X`` of shape (m, d), in CSR.
    coordinates : Coordinates
    """

    data: ResidentDataset
    coordinates: Coordinates

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64, whatever the rows are stored in."""
        return np.dtype(np.float64)

    @property
    def n_params(self) -> int:
        """Columns, and the intercept."""
        return self.data.n_columns + int(self.coordinates.fit_intercept)

    def gradient(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Loss sum and gradient by one pass."""
        sums: Sums = engine.gradient(self.data, *self._unpacked(engine, phi))
        by_params = engine.loss.packed_gradient(sums.dw_sum, sums.db_sum, self.coordinates.fit_intercept)
        return sums.loss_sum, self.coordinates.grad_to_phi(by_params)

    def _unpacked(self, engine: Engine, phi: Float64Vector) -> tuple[Float64Vector, float]:
        return engine.loss.unpack(self.coordinates.to_params(phi), self.data.n_columns)

    def curvature(self, engine: Engine, phi: Float64Vector, dtype: Any = None) -> Float64Matrix:
        """Second derivative of the mean loss by ``phi``, in float64 whatever ``dtype``.

        With ``h_i = s_i p_i (1 - p_i) / sum(s)`` it is ``T.T sum_i h_i [x_i, 1] [x_i, 1].T T``, where ``T`` takes
        ``phi`` to ``[w, b]``.
        """
        fit_intercept = self.coordinates.fit_intercept
        H, v, total = engine.sparse_curvature(self.data, *self._unpacked(engine, phi), fit_intercept)
        inverse, mean = 1.0 / self.coordinates.scale, self.coordinates.mean
        of_weights = H[: len(v), : len(v)]
        if fit_intercept:
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

    def second_order(self, engine: Engine, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """By two passes."""
        return *self.gradient(engine, phi), self.curvature(engine, phi)


def thinned(rows: Standardised, k: int) -> Standardised:
    """Every k-th row."""
    X, y, s = rows.data.rows
    assert s is not None
    contiguous = array_namespace(y).ascontiguousarray  # the kernels take no strides
    U = X[::k] if rows.data.is_sparse else contiguous(X[::k])
    y, s = contiguous(y[::k]), contiguous(s[::k])
    data = replace(rows.data, rows=Rows(U, y, s), weight_total=float(s.sum(dtype=np.float64)))
    return replace(rows, data=data)  # type: ignore[type-var]
