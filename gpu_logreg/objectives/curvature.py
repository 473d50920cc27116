"""The Hessian of a sample and its models: for two classes the matrix, for K classes the matrix or a Kronecker product.

A solver uses them in three forms: factored, as a metric by ``phi`` or by ``[w, b]``; and as a matrix with a positive
diagonal ("damped"), for coordinate descent. Each form is computed from a sample that is in memory, or from blocks of a
sample that is too large for it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gpu_logreg.arrays.cholesky import Factor, poorly_conditioned
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, DType, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.objectives.classes_curvature import Blocks, ClassesSample
from gpu_logreg.objectives.sample import SampleObjective, damp
from gpu_logreg.objectives.standardised import StandardisedSparse
from gpu_logreg.rows.coordinates import ParamsMetric

__all__ = ["BinarySample", "Sample", "sample_of"]


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

    def plain_hessian(self, phi: Float64Vector) -> Float64Matrix:
        """The Hessian at ``phi`` on the host, as it is, summed in the dtype of the rows."""
        return np.asarray(to_numpy(self.hessian(phi)))

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
    def columns_of_blocks(blocks: Blocks, phi: Float64Vector) -> Float64Matrix:
        """The Hessian by the columns of a logit, from the blocks of a sample: that of `hessian_of_blocks`."""
        return BinarySample.hessian_of_blocks(blocks, phi)

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


Sample = BinarySample | ClassesSample


def sample_of(loss: Loss) -> type[BinarySample] | type[ClassesSample]:
    """The class of the samples of a loss."""
    return ClassesSample if isinstance(loss, Classes) else BinarySample
