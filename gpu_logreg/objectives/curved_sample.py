"""Samples of rows of K classes drawn by the curvature that each may have, and their loss.

A row is drawn in proportion to its leverage ``c_i u_i.T A^-1 u_i``, with ``A = sum_i s_i c_i u_i u_i.T / S`` and the
penalty: the sum over the classes of those by ``c = p_k (1 - p_k)``, so that a class of few rows has its curvature from
all rows that are near it, and the one by a bound ``c = j`` of the curvature that steps may lead to. It is
``j = tanh(m / 2) / m``, with ``m`` the logit of the class of a row less the largest other, and bounds the loss between
these two classes at any step (T. Jaakkola and M. Jordan 2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics import softmax
from gpu_logreg.objectives.classes_curvature import ClassesSample, curve_free_directions
from gpu_logreg.objectives.heavy_rows import projections
from gpu_logreg.objectives.sample import damp
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.rows.drawing import Drawing

__all__ = ["CurvedSampler", "SampledLoss", "active_curvature", "bounding_curvature"]

EVEN_SHARE = 0.05
"""Part of the mean leverage that every row is drawn by besides."""

ROWS, LARGEST_SHARE = 16.0, 0.125
"""Rows of a sample for what leverage adds up to, the number of parameters that rows and not the penalty decide; and
the largest share of all rows."""

LOGITS, LARGEST = 2**22, 1e100
"""Logits and projections that are kept at a time; leverage that larger ones count as, so that sums do not overflow."""

LEAST_PRODUCT = 1e-14
"""Product of two probabilities of a row below which it adds no curvature between these classes."""


def bounding_curvature(z: Float64Matrix, y: IntVector) -> Float64Vector:
    """``tanh(m / 2) / m`` of every row, with ``m`` the logit of its class less the largest other.

    Examples
    --------
    >>> bounding_curvature(np.array([[3.0, 3.0, 0.0], [0.0, 2.0, 1.0]]), np.array([0, 0])).round(4)
    array([0.5   , 0.3808])
    """
    z, i = z.copy(), np.arange(len(z))
    own = z[i, y]
    z[i, y] = -np.inf
    m = np.maximum(np.abs(own - z.max(axis=1)), 1e-6)
    return np.asarray(np.tanh(0.5 * m) / m)


def active_curvature(U: Float64Matrix, s: Float64Vector, P: Float64Matrix) -> Float64Matrix:
    """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, of shape (K, p, K, p), by the pairs of classes of each row.

    A row is rarely near more than two classes. Its part is ``p_k p_l`` between each pair, and what is left out leaves a
    positive semidefinite matrix.
    """
    K, p = P.shape[1], U.shape[1]
    H = np.zeros((K, p, K, p))
    for k in range(K):
        for l in range(k):  # noqa: E741
            product = P[:, k] * P[:, l]
            rows = np.flatnonzero(product > LEAST_PRODUCT)
            if not len(rows):
                continue
            U_of = U[rows]
            block = (U_of * (s[rows] * product[rows])[:, None]).T @ U_of
            H[k, :, l] = H[l, :, k] = -block
            H[k, :, k] += block
            H[l, :, l] += block
    return H


class _Curvature:
    """The Hessian of a sample with its penalty, and its bounding curvature ``D``, the same for every class."""

    def __init__(self, H: Float64Matrix, D: Float64Matrix) -> None:
        self._H, self._D = H, D

    def __matmul__(self, v: Float64Vector) -> Float64Vector:
        """``H v``."""
        return np.asarray(self._H @ v)

    def factor(self, damping: float) -> Factor:
        """``H`` and ``damping`` times the bounding curvature, factored."""
        if damping == 0.0:
            return Factor(self._H)
        p = len(self._D)
        K = len(self._H) // p
        damped = self._H.copy()
        by_class = damped.reshape(K, p, K, p)
        for k in range(K):
            by_class[k, :, k] += damping * self._D
        return Factor(damped)


@dataclass(frozen=True)
class SampledLoss:
    """The mean loss of a sample of dense rows on the host, and the penalty.

    Attributes
    ----------
    sample : ClassesSample
    """

    sample: ClassesSample

    @property
    def coordinates(self) -> Any:
        """Of packed vectors."""
        return self.sample.coordinates

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient."""
        return self.sample(phi)

    def curvature(self, phi: Float64Vector) -> _Curvature:
        """The curvature at ``phi``; a walk over the sample."""
        sample = self.sample
        U, y, s = sample.rows.data.rows
        assert s is not None
        K, p = sample.engine.loss.n_logits, U.shape[1]
        sample.reads.total += sample.n_rows / sample.n_total
        z, y = sample.engine.loss.logits_and_labels(U @ phi.reshape(K, p).T, y)
        weight = np.asarray(s / sample.weight_total)
        H = curve_free_directions(active_curvature(U, weight, softmax.softmax(z)).reshape(K * p, K * p), K)
        H.flat[:: len(H) + 1] += sample.packed_penalty
        return _Curvature(H, U.T @ (U * (weight * bounding_curvature(z, y))[:, None]))


class CurvedSampler(Sampler):
    """Draws samples by curvature too."""

    def sampled_loss(self, size: int, params: Float64Vector, near: bool = True) -> SampledLoss:
        """The loss of rows drawn by their leverage at ``params``, which takes a read.

        About ``size`` of them, and near the minimum as many more as leverage adds up to.
        """
        drawing = self._drawing
        assert isinstance(drawing, Drawing)
        if self._even is None:  # before this, rows were drawn by norms
            self._even = drawing.times_weights(np.ones(self.n_rows))
        leverage = self._curved_leverage(size, params)
        effective = float((self._even * leverage.sum(axis=0)).sum()) / self._objective.dataset.weight_total
        leverage /= np.maximum(leverage.mean(axis=1, keepdims=True), 1e-300)
        drawing.draw_by(self._even * (leverage.sum(axis=0) + EVEN_SHARE))
        if near:
            size = int(max(size, min(ROWS * effective, LARGEST_SHARE * self.n_rows)))
        return SampledLoss(self._drawn(size))

    _even: Float64Vector | None = None

    def _drawn(self, size: int) -> ClassesSample:
        """A new sample of about ``size`` rows in the coordinates of the last, in float64."""
        assert self._coordinates is not None
        dataset = self._objective.dataset
        indices, weight = self._indices(size)
        self._objective.reads.total += dataset.reads_of_sample(len(indices))
        y, s = dataset.labels_and_weights(indices, weight)
        U = self._coordinates.rows(dataset.take(indices, np.float64).X)
        sample = self._of_dense(U, y, s, self._coordinates)
        assert isinstance(sample, ClassesSample)
        return sample

    def _curved_leverage(self, size: int, params: Float64Vector) -> Float64Vector:
        """The leverage of all rows by the Hessians of a sample of about ``size`` rows; one read.

        By the bounding curvature, and by the curvature of all classes; of shape (2, n).
        """
        dataset, K, d = self._objective.dataset, self._objective.n_logits, self._objective.dataset.n_columns
        assert self._coordinates is not None
        V = self._projections(self._drawn(size), params)
        by_params = np.vstack([params.reshape(K, -1), self._coordinates.to_params(V.reshape(-1, V.shape[2]))])
        W, b = by_params[:, :d], by_params[:, d:].sum(axis=1)
        labels, _ = dataset.labels_and_weights(np.arange(self.n_rows), np.ones(self.n_rows))
        self._objective.reads.total += 1.0
        leverage, step = np.empty((2, self.n_rows)), max(1, LOGITS // len(W))
        for first in range(0, self.n_rows, step):
            part = slice(first, first + step)
            with np.errstate(over="ignore", invalid="ignore"):
                z = to_numpy(row_logits(dataset.rows.X[part], W, b, np.float64))
                of_row = (z[:, K:].reshape(len(z), K + 1, -1) ** 2).sum(axis=2)
                z, y = self._objective.loss.logits_and_labels(z[:, :K], labels[part])
                P = softmax.softmax(z)
                leverage[0, part] = bounding_curvature(z, y) * of_row[:, 0]
                leverage[1, part] = (P * (1.0 - P) * of_row[:, 1:]).sum(axis=1)
        return np.nan_to_num(leverage, nan=LARGEST, posinf=LARGEST)

    def _projections(self, known: ClassesSample, params: Float64Vector) -> Array:
        """For the bounding curvature, and then for the curvature of every class, ``V`` of `projections`."""
        U, y, s = known.rows.data.rows
        assert s is not None
        loss = known.engine.loss
        z, y = loss.logits_and_labels(U @ known.coordinates.from_params(params).reshape(loss.n_logits, -1).T, y)
        P = softmax.softmax(z)
        curvatures = np.column_stack([bounding_curvature(z, y), P * (1.0 - P)]) * (s / known.weight_total)[:, None]
        hessians = [damp((U * c[:, None]).T @ U + np.diag(known.penalty), known.penalty) for c in curvatures.T]
        return np.stack([projections(H, self._generator) for H in hessians])
