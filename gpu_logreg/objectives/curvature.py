"""The Hessian of a sample and its models: for two classes the matrix, for K classes the matrix or a Kronecker product.

A solver uses them in three forms: factored, as a metric by ``phi`` or by ``[w, b]``; and as a matrix with a positive
diagonal ("damped"), for coordinate descent. Each form is computed from a sample that is in memory, or from blocks of a
sample that is too large for it.

The parametrisation of K classes has free directions (`gpu_logreg.mathematics.losses.Classes`): along them gradient and
Hessian are zero, and the models add some curvature, so that they have an inverse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from gpu_logreg.arrays.cholesky import Factor, poorly_conditioned
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, DType, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.objectives.sample import SampleObjective, damp
from gpu_logreg.objectives.standardised import StandardisedSparse
from gpu_logreg.rows.coordinates import ParamsMetric
from gpu_logreg.solvers.kronecker import KroneckerFactor

__all__ = ["BinarySample", "Blocks", "ClassesSample", "Sample", "sample_of"]

Blocks = Callable[[DTypeLike | None], Iterator[Any]]
"""From the dtype to compute in (None for that of the rows) to the blocks of a sample, one at a time."""


class BinarySample(SampleObjective):
    """A sample of two classes."""

    has_second_order: ClassVar[bool] = True
    least_block_rows: ClassVar[int] = 1
    """Least rows of a block, over the parameters of a logit: adding its Hessian costs as much as a few rows."""

    def second_order(self, phi: Float64Vector) -> tuple[float, Float64Vector, Float64Matrix]:
        """Value, gradient and Hessian at ``phi``, for small data on the host; counts as two reads."""
        self.reads.total += 2.0 * self.n_rows / self.n_total  # a gradient and a Hessian
        loss_sum, grad_sum, H = self.rows.second_order(self.engine, phi)
        penalised = self.penalty * phi
        H.flat[:: len(phi) + 1] += self.penalty
        return loss_sum / self.weight_total + 0.5 * float(phi @ penalised), grad_sum / self.weight_total + penalised, H

    def hessian(self, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the value by ``phi``: summed in ``dtype``, in float64, where it is to be factored."""
        self.reads.total += self.n_rows / self.n_total
        H = self.rows.curvature(self.engine, phi, dtype)
        xp = array_namespace(H)
        H.ravel()[:: len(phi) + 1] += xp.asarray(self.penalty)
        return H

    def curvature_root(self, phi: Float64Vector) -> Float64Matrix:
        """A matrix ``A`` such that ``A.T @ A`` is the Hessian of the loss at ``phi``, for small data on the host.

        The singular values of ``A`` are known to the precision of float64, their squares therefore to its square: where
        columns are nearly collinear, the smallest eigenvalues of ``A.T @ A`` itself would be rounding error.
        """
        loss = self.engine.loss
        assert isinstance(loss, Binary)
        U, y, s = self.rows.data.rows
        return np.asarray(U * np.sqrt(s * loss.loss_dz_and_curvature(U @ phi, y)[2] / self.weight_total)[:, None])

    def metric(self, phi: Float64Vector) -> Factor:
        """The factored Hessian at ``phi``; summed again in float64 where in float32 it is nearly singular."""
        return self._factored(phi)[1]

    def params_metric(self, phi: Float64Vector) -> ParamsMetric:
        """The Hessian at ``phi`` as a metric by ``[w, b]``."""
        return ParamsMetric(self.coordinates, self.metric(phi))

    def damped_hessian(self, phi: Float64Vector) -> Float64Matrix:
        """The Hessian of `metric` on the host, with a positive diagonal; in float64 it is not factored as a check."""
        if self.rows.data.compute_dtype == np.float64:
            return damp(to_numpy(self.hessian(phi)), self.penalty)
        H, factor = self._factored(phi)
        return damp(to_numpy(H), self.penalty, factor)

    def _factored(self, phi: Float64Vector) -> tuple[Array, Factor]:
        H = self.hessian(phi)
        factor = Factor(H)
        if self.rows.data.compute_dtype != np.float64 and poorly_conditioned(factor, self.rounding):
            H = self.hessian(phi, np.float64)
            return H, Factor(H, noise=self.rounding)
        return H, factor

    @staticmethod
    def metric_of_blocks(blocks: Blocks, phi: Float64Vector) -> ParamsMetric:
        """`params_metric` from the blocks of a sample."""
        _, factor, block = _binary_curvature(blocks, phi, factored=True)
        assert factor is not None
        return ParamsMetric(block.coordinates, factor)

    @staticmethod
    def hessian_of_blocks(blocks: Blocks, phi: Float64Vector) -> Float64Matrix:
        """`damped_hessian` from the blocks of a sample."""
        H, factor, block = _binary_curvature(blocks, phi, factored=False)
        return damp(to_numpy(H), block.penalty, factor)


def _binary_curvature(blocks: Blocks, phi: Float64Vector, factored: bool) -> tuple[Array, Factor | None, BinarySample]:
    """Hessian, factor and last block; a factor also where it must be known whether float32 was precise enough."""
    dtype: DType | None = None
    noise = 0.0
    while True:
        total: Array = None
        weight_total = 0.0
        for block in blocks(dtype):
            if isinstance(block.rows, StandardisedSparse):  # one block: sparse rows are not copied
                H = block.hessian(phi)
                return H, Factor(H) if factored else None, block
            weighted = block.hessian(phi)
            weighted.ravel()[:: len(phi) + 1] -= array_namespace(weighted).asarray(block.penalty)
            weighted *= block.weight_total
            total = weighted if total is None else total + weighted
            weight_total += block.weight_total
        total /= weight_total
        total.ravel()[:: len(phi) + 1] += array_namespace(total).asarray(block.penalty)
        in_float64 = block.rows.data.compute_dtype == np.float64
        if in_float64 and not factored and noise == 0.0:
            return total, None, block
        factor = Factor(total, noise)
        if in_float64 or not poorly_conditioned(factor, block.rounding):
            return total, factor, block
        noise, dtype = block.rounding, np.dtype(np.float64)


class ClassesSample(SampleObjective):
    """A sample of K classes, whose parameters are packed class after class."""

    has_second_order: ClassVar[bool] = False
    least_block_rows: ClassVar[int] = 4

    @property
    def _shape(self) -> tuple[int, int]:
        """K and p."""
        return self.engine.loss.n_logits, self.rows.n_params

    @property
    def _whole(self) -> bool:
        K, p = self._shape
        return self.engine.loss.hessian_form(K * p).whole

    def curvature_sum(self, phi: Float64Vector) -> Float64Matrix:
        """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, of shape (K p, K p), on the host in float64."""
        self.reads.total += self.n_rows / self.n_total
        return np.asarray(self.engine.curvature(self.rows.data, phi))

    def factored(self, total: Float64Matrix, weight_total: float) -> Factor:
        """The factored Hessian of a `curvature_sum`, with the penalty, and with curvature along the free directions."""
        K, p = self._shape
        H = (total / weight_total).reshape(K, p, K, p)
        diagonal = np.einsum("kjkj->kj", H)
        along = diagonal.mean(axis=0) / K
        for j in range(p):
            H[:, j, :, j] += along[j]
        diagonal += self.penalty
        return Factor(H.reshape(K * p, K * p))

    def damped_hessian(self, phi: Float64Vector) -> Float64Matrix:
        """The Hessian at ``phi``, or the Kronecker product as a matrix where that is the model, with positive diagonal.

        Of the free directions only that of the intercepts is given curvature: the L1 penalty has a minimum along the
        others.
        """
        if self._whole:
            return self.damped_sum(self.curvature_sum(phi), self.weight_total)
        A, B = self._mean_factors(phi)
        return self.damped_sum(np.asarray(np.kron(B, A), np.float64), 1.0)

    def damped_sum(self, total: Float64Matrix, weight_total: float) -> Float64Matrix:
        """`damped_hessian` from a `curvature_sum`."""
        K, p = self._shape
        H = (total / weight_total).reshape(K, p, K, p)
        if self.coordinates.fit_intercept:
            H[:, p - 1, :, p - 1] += np.einsum("kk->k", H[:, p - 1, :, p - 1]).mean() / K
        diagonal = np.einsum("kjkj->kj", H)
        diagonal += self.penalty
        return damp(to_numpy(H.reshape(K * p, K * p)), self.penalty)

    def curvature_root(self, phi: Float64Vector) -> Float64Matrix:
        """As `BinarySample.curvature_root`, with the curvature of `damped_hessian` along the free direction.

        ``diag(p) - p p.T = S S.T`` with ``S = diag(r) - p r.T`` and ``r = sqrt(p)``.
        """
        K, p = self._shape
        U, _, s = self.rows.data.rows
        assert s is not None
        P = softmax.softmax(U.astype(np.float64, copy=False) @ phi.reshape(K, p).T)
        roots = np.sqrt(P)
        S = -P[:, :, None] * roots[:, None, :]
        S[:, np.arange(K), np.arange(K)] = roots * (P @ (1.0 - np.eye(K)))  # 1 - p without cancellation
        S *= np.sqrt(s / self.weight_total)[:, None, None]
        A = (S.transpose(0, 2, 1)[..., None] * U[:, None, None, :]).reshape(-1, K * p)
        if not self.coordinates.fit_intercept:
            return np.asarray(A)
        along = np.zeros((1, K * p))
        along[0, p - 1 :: p] = math.sqrt((A[:, p - 1 :: p] ** 2).sum()) / K
        return np.concatenate([A, along])

    def kronecker(self, phi: Float64Vector) -> KroneckerFactor:
        """The Hessian at ``phi``, approximated by the Kronecker product ``B kron A`` of mean factors.

        ``B`` is the mean of ``diag(p_i) - p_i p_i.T``. ``A`` is the mean of ``u_i u_i.T`` with the traces of these
        matrices as weights, scaled so that the product has the trace of the Hessian.
        """
        A, B = self._mean_factors(phi)
        return KroneckerFactor(A, B, self.penalty)

    def _mean_factors(self, phi: Float64Vector) -> tuple[Array, Float64Matrix]:
        self.reads.total += self.n_rows / self.n_total
        A, B, trace = self.engine.mean_factors(self.rows.data, phi)
        return A / max(trace, 1e-300), B / self.weight_total

    def metric(self, phi: Float64Vector) -> KroneckerFactor:
        """The Kronecker product: reads of a sample are cheap, and a better model would not pay."""
        return self.kronecker(phi)

    def params_metric(self, phi: Float64Vector) -> ParamsMetric:
        """A metric by ``[w, b]`` at ``phi``: the whole Hessian where it is small enough, else the Kronecker product."""
        if self._whole:
            return ParamsMetric(self.coordinates, self.factored(self.curvature_sum(phi), self.weight_total))
        return ParamsMetric(self.coordinates, self.kronecker(phi))

    @staticmethod
    def metric_of_blocks(blocks: Blocks, phi: Float64Vector) -> ParamsMetric:
        """`params_metric` from the blocks of a sample."""
        block, total, weight_total = _curvature_sum(blocks, phi)
        if total is None:
            return block.params_metric(phi)
        return ParamsMetric(block.coordinates, block.factored(total, weight_total))

    @staticmethod
    def hessian_of_blocks(blocks: Blocks, phi: Float64Vector) -> Float64Matrix:
        """`damped_hessian` from the blocks of a sample."""
        block, total, weight_total = _curvature_sum(blocks, phi)
        return block.damped_hessian(phi) if total is None else block.damped_sum(total, weight_total)


def _curvature_sum(blocks: Blocks, phi: Float64Vector) -> tuple[ClassesSample, Float64Matrix | None, float]:
    """The last block of a sample, and the sums over all; None for the Kronecker product, which needs one block."""
    total: Any = 0.0
    weight_total = 0.0
    for block in blocks(None):
        if not block._whole:
            return block, None, 0.0
        total = total + block.curvature_sum(phi)
        weight_total += block.weight_total
    return block, total, weight_total


Sample = BinarySample | ClassesSample


def sample_of(loss: Loss) -> type[BinarySample] | type[ClassesSample]:
    """The class of the samples of a loss."""
    return ClassesSample if isinstance(loss, Classes) else BinarySample
