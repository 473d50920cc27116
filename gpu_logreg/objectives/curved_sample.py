"""Samples of rows of K classes drawn by the curvature that each may have, and their loss.

A row is drawn in proportion to its leverage ``c_i u_i.T A^-1 u_i``, with ``A = sum_i s_i c_i u_i u_i.T / S`` and the
penalty: the sum over the classes of those by ``c = p_k (1 - p_k)``, so that a class of few rows has its curvature from
all rows that are near it, and the one by a bound ``c = j`` of the curvature that steps may lead to. It is
``j = tanh(m / 2) / m``, with ``m`` the logit of the class of a row less the largest other, and bounds the loss between
these two classes at any step (T. Jaakkola and M. Jordan 2000). Rows are also drawn by how much the last steps have
changed their loss: where one was refused, because it took a row outside of the sample far to the wrong side, the next
sample has that row.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.objectives.classes_curvature import ClassesSample
from gpu_logreg.objectives.heavy_rows import projections
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sample import damp
from gpu_logreg.objectives.sampled_loss import SampledLoss, bounding_curvature
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.drawing import Drawing
from gpu_logreg.solvers.wrapped import Wrapped

__all__ = ["CurvedSampler", "ScoredObjective"]

EVEN_SHARE = 0.05
"""Part of the mean leverage that every row is drawn by besides."""

ROWS, LARGEST_SHARE = 16.0, 0.125
"""Rows of a sample for what leverage adds up to, the number of parameters that rows and not the penalty decide; and
the largest share of all rows."""

POINTS = 3
"""Points whose leverage and losses are kept: the present one, and the last that steps have left or were refused at."""

LOGITS, LARGEST = 2**22, 1e100
"""Logits and projections that are kept at a time; leverage that larger ones count as, so that sums do not overflow."""


@dataclass(frozen=True, eq=False)
class _ScoredPoint:
    """The leverage of all rows, of shape (2, n), and their losses at ``params``."""

    params: Float64Vector
    leverage: Float64Matrix
    losses: Float64Vector


class CurvedSampler(Sampler):
    """Draws samples by curvature too."""

    def __init__(self, objective: Objective, generator: np.random.Generator) -> None:
        super().__init__(objective, generator)
        self._even: Float64Vector | None = None
        self._points: deque[_ScoredPoint] = deque(maxlen=POINTS)

    def sampled_loss(self, size: int, params: Float64Vector, near: bool = True) -> SampledLoss:
        """The loss of rows drawn by their leverage at ``params``, a read unless that is one of the last points.

        About ``size`` of them, and near the minimum as many more as leverage adds up to.
        """
        drawing = self._drawing
        assert isinstance(drawing, Drawing)
        if self._even is None:  # before this, rows were drawn by norms
            self._even = drawing.times_weights(np.ones(self.n_rows))
        if all(point.params is not params for point in self._points):
            self.value_and_leverage(size, params)
        here = next(point for point in self._points if point.params is params)
        self._points.remove(here)
        changed = [np.abs(there.losses - here.losses) for there in self._points]
        self._points.append(here)
        effective = float((self._even * here.leverage.sum(axis=0)).sum()) / self._objective.dataset.weight_total
        scores = np.vstack([here.leverage, *changed])
        scores /= np.maximum(scores.mean(axis=1, keepdims=True), 1e-300)
        drawing.draw_by(self._even * (scores.sum(axis=0) + EVEN_SHARE))
        if near:
            size = int(max(size, min(ROWS * effective, LARGEST_SHARE * self.n_rows)))
        return SampledLoss(self._drawn(size))

    def value_and_leverage(self, size: int, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient of the objective; the same read gives leverage and losses of the rows, which are kept."""
        known = self._drawn(size)

        def run(w: Float64Matrix, b: Float64Vector) -> Sums:
            w = w.astype(self._objective.dataset.compute_dtype).astype(np.float64)
            sums, leverage, losses = self._scoring_pass(known, params, w, b)
            self._points.append(_ScoredPoint(params, leverage, losses))
            return sums

        return self._objective.evaluate_by(params, run)

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

    def _scoring_pass(
        self, known: ClassesSample, params: Float64Vector, W: Float64Matrix, b: Float64Vector
    ) -> tuple[Sums, Float64Matrix, Float64Vector]:
        """The sums of a pass with ``W`` and ``b``, the leverage of all rows, and their losses.

        Leverage is that in the Hessians of ``known`` at ``params``: by the bounding curvature, and by the curvature of
        all classes; of shape (2, n).
        """
        dataset, (K, d) = self._objective.dataset, W.shape
        assert self._coordinates is not None
        V = self._projections(known, params)
        by_params = self._coordinates.to_params(V.reshape(-1, V.shape[2]))
        W, b = np.vstack([W, by_params[:, :d]]), np.append(b, by_params[:, d:].sum(axis=1))
        labels, s = dataset.labels_and_weights(np.arange(self.n_rows), np.ones(self.n_rows))
        leverage, losses, step = np.empty((2, self.n_rows)), np.empty(self.n_rows), max(1, LOGITS // len(W))
        sums = Sums(0.0, np.zeros((K, d)), np.zeros(K))
        for first in range(0, self.n_rows, step):
            part = slice(first, first + step)
            X, y, weights = dataset.rows.X[part], labels[part], s[part]
            with np.errstate(over="ignore", invalid="ignore"):
                z = to_numpy(row_logits(X, W, b, np.float64))
                of_row = (z[:, K:].reshape(len(z), K + 1, -1) ** 2).sum(axis=2)
                z, y = self._objective.loss.logits_and_labels(z[:, :K], y)
                losses[part], dz = softmax.loss_and_dz(z, y)
                P = softmax.softmax(z)
                leverage[0, part] = bounding_curvature(z, y) * of_row[:, 0]
                leverage[1, part] = (P * (1.0 - P) * of_row[:, 1:]).sum(axis=1)
                dz *= weights[:, None]
                sums += Sums(float(weights @ losses[part]), dz.T @ X, dz.sum(axis=0))
        return sums, np.nan_to_num(leverage, nan=LARGEST, posinf=LARGEST), losses

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


class ScoredObjective(Wrapped):
    """An objective whose every evaluation scores the rows for the next sample.

    Parameters
    ----------
    objective : Objective
    sampler : CurvedSampler
        Of the same objective.
    size : int
        Rows of the samples.
    """

    def __init__(self, objective: Objective, sampler: CurvedSampler, size: int) -> None:
        self.objective, self._sampler, self._size = objective, sampler, size

    def __call__(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient; one read, and one of a sample."""
        return self._sampler.value_and_leverage(self._size, params)
