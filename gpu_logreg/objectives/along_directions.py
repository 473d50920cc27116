"""The objective of two classes along few directions from a start without weights, by a sample of the rows.

With the logits ``z_i`` of the start, ``t_i`` those of the directions, which are the rows of ``D``, and the mean loss
``f_S`` of the sample, the function of ``c`` is

``f_S(z + T c) + (beta (D g - g_S)).T c + c.T R c / 2``

with the gradients ``g`` of all rows and ``g_S = T.T dz / m`` of the sample at the start, and the penalty ``R``. What
the sample errs in at the start is known, and so is the share ``beta`` of it that it errs in at the minimum: the
regression of the terms ``t_i dz_i`` there on those at the start (a control variate: Owen 2013). It is nearly 1 where
the labels have little to do with the columns: there the decrease is less than what a sample errs in.

Source: A. Owen, "Monte Carlo theory, methods and examples" (2013), section 8.9.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import EFFECTIVE_SHARE
from gpu_logreg.passes.reference.logits import row_logits

__all__ = ["AlongDirections", "Point", "along_directions"]

STEPS, HALVINGS = 20, 10
"""Steps of Newton's method in so few coordinates, and halvings of a step: it takes about five."""

LEAST = 1e-300
"""What a sum of squares is taken for at least."""

MISSED = 2.25
"""Variance of uncorrelated columns over that in a sample from which on the sample has missed rows: a choice."""

NEAR = 1e-10
"""Share of the value that may be left to gain: far less than there is, also where labels are noise."""


class Point(NamedTuple):
    """Value, gradient and Hessian at a point, and what rows have curvature there.

    Attributes
    ----------
    value : float
    grad : ndarray of shape (k,)
    hessian : ndarray of shape (k, k)
    curvature : float
        Mean of that of a row by its logit.
    curved : float
        Share of the rows that carry it: ``sum(h)**2 / sum(h**2)`` over their number.
    """

    value: float
    grad: Float64Vector
    hessian: Float64Matrix
    curvature: float
    curved: float


class AlongDirections(NamedTuple):
    """The function of the module.

    Attributes
    ----------
    loss : Binary
    y : array of shape (m,), or with an offset (m, 2)
    share : ndarray of shape (m,)
        Weights of the rows, which add up to 1.
    z : float
        Logit of every row at the start.
    T : ndarray of shape (m, k)
        Logits of the directions.
    slope : ndarray of shape (k,)
        What is added to the gradient of the sample.
    ridge : ndarray of shape (k, k)
    """

    loss: Any
    y: Any
    share: Float64Vector
    z: float
    T: Float64Matrix
    slope: Float64Vector
    ridge: Float64Matrix

    def at(self, c: Float64Vector) -> Point:
        """Value and derivatives at ``c``."""
        row_loss, dz, d2z = self.loss.loss_dz_and_curvature(self.z + self.T @ c, self.y)
        h, penalised = self.share * d2z, self.ridge @ c
        value = float(self.share @ row_loss + self.slope @ c + 0.5 * c @ penalised)
        grad = (self.share * dz) @ self.T + self.slope + penalised
        total = float(h.sum())
        curved = total * total / max(float(h @ h) * len(h), LEAST)
        return Point(value, grad, (self.T * h[:, None]).T @ self.T + self.ridge, total, curved)

    def control(self, c: Float64Vector) -> Float64Vector:
        """``beta`` at ``c``, of every direction."""
        at_start, there = (self.loss.loss_dz_and_curvature(self.z + self.T @ at, self.y)[1] for at in (0.0 * c, c))
        squares = self.share[:, None] * self.T * self.T
        return np.asarray((at_start * there) @ squares / np.maximum((at_start * at_start) @ squares, LEAST))

    def is_of_few(self, variance: float) -> bool:
        """Whether few rows carry the variance along the first direction: some of the sample, or some it has missed.

        ``variance`` is that of all rows if columns do not correlate; where they do, that of the sample may be far more.
        """
        t = self.T[:, 0] - self.share @ self.T[:, 0]
        terms = self.share * t * t
        total = float(terms.sum())
        few = total * total < EFFECTIVE_SHARE * len(t) * float(terms @ terms)
        return few or not variance <= MISSED * total

    def minimum(self) -> tuple[Float64Vector, Point] | None:
        """Where the value is least, by Newton's method; None where there is no minimum to be found."""
        c = np.zeros(self.T.shape[1])
        here = self.at(c)
        for _ in range(STEPS):
            try:
                step = np.linalg.solve(here.hessian, -here.grad)
            except np.linalg.LinAlgError:
                return None
            slope, length = float(here.grad @ step), 1.0
            if -slope <= NEAR * abs(here.value):
                return c, here
            there = self.at(c + step)
            while not there.value <= here.value + 1e-4 * length * slope:
                length *= 0.5
                if length < 0.5**HALVINGS:
                    return None
                there = self.at(c + length * step)
            c, here = c + length * step, there
        return None


def along_directions(
    objective: Objective, start: Float64Vector, grad: Float64Vector, directions: Float64Matrix, size: int, rng: Any
) -> AlongDirections:
    """The objective along ``directions`` by a sample of about ``size`` rows; it counts as that share of a read.

    Parameters
    ----------
    objective : Objective
        Of two classes.
    start, grad : ndarray of shape (p,)
        A point without weights, and the gradient there.
    directions : ndarray of shape (k, p)
    size : int
    rng : Generator
    """
    dataset = objective.dataset
    indices, weight = dataset.drawing(objective.loss.n_classes).draw(size, rng)
    objective.reads.total += dataset.reads_of_sample(len(indices))
    W, d = directions[:, : dataset.n_columns], dataset.n_columns
    b = directions[:, d] if objective.fit_intercept else np.zeros(len(W))
    T = np.empty((len(indices), len(W)))
    moving = W.any(axis=1)
    T[:, ~moving] = b[~moving]
    T[:, moving] = to_numpy(row_logits(dataset.take(indices).X, W[moving], b[moving], np.float64)).reshape(len(T), -1)
    y, s = (to_numpy(part) for part in dataset.labels_and_weights(indices, weight))
    share = s / s.sum(dtype=np.float64)
    z = float(start[d]) if objective.fit_intercept else 0.0
    ridge = (W * objective.l2) @ W.T
    nowhere = np.zeros(len(W))
    sampled = AlongDirections(objective.loss, y, share, z, T, nowhere, ridge)
    missed, found = directions @ grad - sampled.at(nowhere).grad, sampled.minimum()
    return sampled._replace(slope=missed * (1.0 if found is None else sampled.control(found[0])))
