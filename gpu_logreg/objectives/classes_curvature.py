"""The Hessian of a sample of K classes and its models: the matrix, a Kronecker product, or one with the other.

The parametrisation has free directions (`gpu_logreg.mathematics.losses.Classes`): along them gradient and Hessian are
zero, and the models add some curvature, so that they have an inverse. The forms of a model are those of
`gpu_logreg.objectives.curvature`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.objectives.sample import SampleObjective, damp
from gpu_logreg.rows.coordinates import ParamsMetric
from gpu_logreg.solvers.kronecker import KroneckerFactor, LeadingDirections, LeadingFactor

__all__ = ["Blocks", "ClassesSample", "curve_free_directions"]

LEAST_LOGIT = 0.4
"""Logit below the largest of a row, over the logarithm of the least normal number, that a lower one is taken for: a
product of two such probabilities and two elements of a row is a normal number still, which processors are fast with."""

Blocks = Callable[[DTypeLike | None], Iterator[Any]]
"""From the dtype to compute in (None for that of the rows) to the blocks of a sample, one at a time."""


def curve_free_directions(H: Float64Matrix, n_logits: int) -> Float64Matrix:
    """``H`` with curvature along the constants that all classes share, added in place; as it is for one logit."""
    if n_logits > 1:
        by_class = H.reshape(n_logits, -1, n_logits, len(H) // n_logits)
        along = np.einsum("kjkj->kj", by_class).mean(axis=0) / n_logits
        for j in range(len(along)):
            by_class[:, j, :, j] += along[j]
    return H


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
        return self.rows.classes_curvature(self.engine, phi)

    def plain_hessian(self, phi: Float64Vector) -> Float64Matrix:
        """The Hessian at ``phi``, as it is: flat along the free directions where there is no penalty."""
        H = self.curvature_sum(phi) / self.weight_total
        H.flat[:: len(H) + 1] += self.packed_penalty
        return H

    def factored(self, total: Float64Matrix, weight_total: float) -> Factor:
        """The factored Hessian of a `curvature_sum`, with the penalty, and with curvature along the free directions."""
        K, p = self._shape
        H = curve_free_directions((total / weight_total), K).reshape(K, p, K, p)
        diagonal = np.einsum("kjkj->kj", H)
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
        U, y, s = self.rows.data.rows
        assert s is not None
        z, _ = self.engine.loss.logits_and_labels(U.astype(np.float64, copy=False) @ phi.reshape(K, p).T, y)
        P = softmax.softmax(z)
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

    def leading_directions(self, phi: Float64Vector, n_leading: int) -> LeadingDirections:
        """The directions along which the Hessian at ``phi`` is to be known as it is."""
        A, B = self._mean_factors(phi)
        return LeadingDirections(np.asarray(A, np.float64), B, self.penalty, n_leading)

    def leading_metric(self, phi: Float64Vector, directions: LeadingDirections) -> ParamsMetric:
        """A metric by ``[w, b]`` at ``phi``: the Hessian along leading directions, and mean factors along all others.

        In the rows of the sample the columns are replaced by the leading directions and, so that the probabilities are
        those at ``phi``, by what is left of the logits of every class.
        """
        K, p = self._shape
        data, E = self.rows.data, directions.leading
        U, r = data.rows.X, E.shape[1]
        xp = data.xp
        logits = U @ xp.asarray(phi.reshape(K, p).T, dtype=U.dtype)
        least = LEAST_LOGIT * math.log(float(np.finfo(U.dtype).tiny))
        logits = xp.maximum(logits - logits.max(axis=1, keepdims=True), least)
        columns = xp.concatenate([U @ xp.asarray(E, dtype=U.dtype), logits], axis=1)
        at = np.concatenate([np.zeros((K, r)), np.eye(K)], axis=1).ravel()
        self.reads.total += self.n_rows / self.n_total
        rows = replace(data, rows=data.rows._replace(X=columns))
        H = np.asarray(self.engine.curvature(rows, at)).reshape(K, r + K, K, r + K)[:, :r, :, :r] / self.weight_total
        along = np.einsum("kjkj->j", H) / K**2
        ridge = E.T @ (self.penalty[:, None] * E)
        for k in range(K):
            H[k, :, k] += ridge
            for l in range(K):  # noqa: E741 - curvature along the free directions, as in `factored`
                H[k, :, l].flat[:: r + 1] += along
        return ParamsMetric(self.coordinates, LeadingFactor(directions, Factor(H.reshape(K * r, K * r))))

    def _mean_factors(self, phi: Float64Vector) -> tuple[Array, Float64Matrix]:
        self.reads.total += self.n_rows / self.n_total
        A, B, trace = self.rows.mean_factors(self.engine, phi)
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
    def columns_of_blocks(blocks: Blocks, phi: Float64Vector) -> Float64Matrix:
        """The Hessian by the weights of a class, the mean over all classes, from the blocks of a sample."""
        total: Any = 0.0
        weight_total = 0.0
        for block in blocks(np.dtype(np.float64)):
            block.reads.total += block.n_rows / block.n_total
            total = total + np.asarray(to_numpy(block.rows.mean_factors(block.engine, phi)[0]))
            weight_total += block.weight_total
        H = total / (weight_total * block._shape[0])
        return damp(H + np.diag(block.penalty), block.penalty)

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
