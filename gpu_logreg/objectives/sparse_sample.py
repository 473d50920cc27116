"""Samples of sparse rows as objectives of two classes: the rows stay sparse, standardised columns are a way to count.

``phi = [w scale, b + mean @ w]`` as for dense samples, so solvers see no difference, but no row is ever centred:
gradients and Hessians are summed by ``[w, b]`` over the stored elements and then brought to ``phi``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.csr import in_order
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.objectives.sample import SampleObjective, mended
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.cpu.sparse import sparse_curvature_sums, sparse_logits
from gpu_logreg.passes.walk import loss_and_gradient_sums
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import StandardisedRows
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.factor import Factor

__all__ = ["SparseSample", "SparseSampler"]

_ROWS_AT_ONCE = 256


class SparseSample(SampleObjective):
    """Weighted mean loss over sparse rows of a sample plus the penalty, as a function of ``phi``.

    Attributes
    ----------
    U : csr_array of shape (m, d), float32 or float64
        The rows as they are, computed in float64; all others as of `SampleObjective`.
    """

    @property
    def rounding(self) -> float:
        """Of float64, whatever the rows are stored in."""
        return float(np.finfo(np.float64).eps)

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``phi``."""
        self.count(self.n_rows / self.n_total)
        rows = Rows(self.U, self.y, self.sample_weight)
        dataset = ResidentDataset(rows, self.weight_total, computed_in=np.dtype(np.float64))
        sums = loss_and_gradient_sums(dataset, self.implementation, *self._unpacked(phi))
        by_params = np.append(sums.dw_sum, sums.db_sum) if self.coordinates.fit_intercept else sums.dw_sum
        penalised = self.penalty * phi
        value = sums.loss_sum / self.weight_total + 0.5 * float(phi @ penalised)
        return value, self.coordinates.grad_to_phi(by_params) / self.weight_total + penalised

    def _unpacked(self, phi: Float64Vector) -> tuple[Float64Vector, float]:
        params = self.coordinates.to_params(phi)
        return (params[:-1], float(params[-1])) if self.coordinates.fit_intercept else (params, 0.0)

    def second_order(self, phi: Float64Vector) -> tuple[float, Float64Vector, Any]:
        """Value, gradient and Hessian at ``phi``."""
        return *self(phi), self.hessian(phi)

    def thin(self, k: int) -> SparseSample:
        """Every k-th row of the sample."""
        if k == 1:
            return self
        y, s = (np.ascontiguousarray(array[::k]) for array in (self.y, self.sample_weight))
        return replace(self, U=self.U[::k], y=y, sample_weight=s, weight_total=float(s.sum(dtype=np.float64)))

    def mended_hessian(self, phi: Float64Vector) -> Any:
        """The matrix behind `metric`, which is not factored to see whether it can be."""
        return mended(self.hessian(phi), self.penalty)

    def _curvature(self, phi: Float64Vector) -> tuple[Any, Factor]:
        H = self.hessian(phi)
        return H, Factor(H)

    def hessian(self, phi: Float64Vector, dtype: Any = None) -> Any:
        """Second derivative of the value by ``phi``, in float64 whatever ``dtype``.

        With ``h_i = s_i p_i (1 - p_i) / sum(s)`` it is ``T.T sum_i h_i [x_i, 1] [x_i, 1].T T + diag(penalty)``, where
        ``T`` takes ``phi`` to ``[w, b]``.
        """
        self.count(self.n_rows / self.n_total)
        w, b = self._unpacked(phi)
        compiled = self.implementation.compiled
        h = self.sample_weight * curvature(sparse_logits(self.U, w, b, compiled)) / self.weight_total
        H, v = sparse_curvature_sums(self.U, h, compiled, int(self.coordinates.fit_intercept))
        inverse, mean, total = 1.0 / self.coordinates.scale, self.coordinates.mean, float(h.sum())
        of_weights = H[: len(v), : len(v)]
        if self.coordinates.fit_intercept:
            centre = v - 0.5 * total * mean
            for first in range(0, len(v), _ROWS_AT_ONCE):  # no second matrix
                part = slice(first, first + _ROWS_AT_ONCE)
                of_weights[part] -= np.multiply.outer(mean[part], centre)
                of_weights[part] -= np.multiply.outer(centre[part], mean)
            H[-1, :-1] = H[:-1, -1] = inverse * (v - total * mean)
            H[-1, -1] = total
        of_weights *= inverse
        of_weights *= inverse[:, None]
        H.flat[:: len(phi) + 1] += self.penalty
        return H


class SparseSampler(Sampler):
    """Draws samples of sparse rows of two classes."""

    def _of_rows(self, rows: StandardisedRows, y: Any, s: Any) -> SparseSample:
        return self._of_sparse(rows.at, y, s)

    def _of_sparse(self, indices: Any, y: Any, s: Any) -> SparseSample:
        assert self._coordinates is not None
        X = self._dataset.rows.X
        if len(indices) < self.n_rows:  # they rise, so that as many are all
            X = X[indices]
        X = in_order(X)
        total = float(s.sum(dtype=np.float64))
        penalty, implementation = self._penalty(self._coordinates), self._objective.implementation
        return SparseSample(X, y, s, total, penalty, self._coordinates, implementation, self._count, self.n_rows)

    def _curvature(self, size: int, phi: Float64Vector, factored: bool = True) -> tuple[Any, Factor | None]:
        indices, weight = self._indices(size)
        y, s = self._labels_and_weights(indices, weight)
        H = self._of_sparse(indices, y, s).hessian(phi)
        return H, Factor(H) if factored else None
