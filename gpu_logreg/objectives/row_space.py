"""A linear model with a ridge and fewer rows than columns, as a function of as many numbers as it has rows.

At the minimum the weights are a sum of the rows: any part of them that is orthogonal to all rows changes no logit and
costs penalty. With a number ``a_i`` for every row and logit, any row ``m``, and an intercept that is free,

``w = sum_i a_i (x_i - m)``, ``z = G a + b``, ``value = loss_sum / sum(s) + l2 a @ G a / 2``,

where ``G_il = (x_i - m) @ (x_l - m)`` is the Gram matrix. A product with ``G`` is two walks over the rows, and all else
needs logits alone.

Source: G. Wahba, "Spline Models for Observational Data" (1990), chapter 1: the representer theorem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.reference.row_space import gram, products_with_rows, sums_of_rows

__all__ = ["RowSpace", "RowsAt"]


@dataclass(frozen=True)
class RowsAt:
    """The loss at the logits of all rows, with weights that add up to 1.

    Attributes
    ----------
    loss : float
        Mean loss.
    dz : ndarray of shape (n, K)
        Its derivative by the logits.
    curvature : ndarray of shape (n, K)
        Its second derivative by each of them.
    """

    loss: float
    dz: Float64Matrix
    curvature: Float64Matrix
    _probabilities: Float64Matrix | None
    _share: Float64Vector

    def root(self, T: Float64Matrix) -> Float64Matrix:
        """``R`` of the shape of ``T``, (k, n K), such that ``R @ R.T`` is the second derivative along its rows."""
        if self._probabilities is None:
            return np.asarray(T * np.sqrt(self.curvature[:, 0]))
        p = self._probabilities
        by_row = T.reshape(len(T), *p.shape)
        centred = by_row - np.einsum("knc,nc->kn", by_row, p)[:, :, None]
        centred *= np.sqrt(p * self._share[:, None])
        return np.asarray(centred.reshape(T.shape))


class RowSpace:
    """An objective by the numbers ``a`` of its rows and the intercepts.

    Parameters
    ----------
    objective : Objective
        With a ridge, of dense rows on the host. Its ``centre`` is known; its reads are counted.

    Attributes
    ----------
    n_rows, n_logits : int
    fit_intercept : bool
    l2 : float
    squares : ndarray of shape (n,)
        The diagonal of ``G``; one read.

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> from gpu_logreg.passes.choice import choose
    >>> from gpu_logreg.rows.resident import ResidentDataset
    >>> X, y = np.array([[1.0, 2.0, 2.0], [1.0, 0.0, 0.0]]), np.array([1, 0])
    >>> rows = ResidentDataset.from_arrays(X, y, None, Device("cpu"))
    >>> objective = Objective(rows, choose("reference", rows.rows, Device("cpu")), l2=0.5, fit_intercept=False)
    >>> objective.column_moments()  # which finds the centre; without an intercept it is not used
    (array([1., 1., 1.]), array([0., 1., 1.]))
    >>> space, a = RowSpace(objective), np.array([[0.5], [-1.0]])
    >>> space.squares, space.image(a), space.params(a, np.zeros(1))
    (array([9., 1.]), array([[ 3.5],
           [-0.5]]), array([-0.5,  1. ,  1. ]))
    >>> at, value = space.at(space.image(a)), objective(space.params(a, np.zeros(1)))[0]
    >>> bool(np.isclose(at.loss + 0.25 * float((a * space.image(a)).sum()), value))
    True
    """

    def __init__(self, objective: Objective) -> None:
        data, d = objective.dataset, objective.dataset.n_columns
        assert objective.centre is not None
        self._objective = objective
        self.n_rows, self.n_logits = data.n_rows, objective.n_logits
        self.fit_intercept, self.l2 = objective.fit_intercept, float(objective.l2)
        self._centre = objective.centre if objective.fit_intercept else np.zeros(d)
        self._gram: Float64Matrix | None = None
        self._K = 1 if isinstance(objective.loss, Binary) else objective.n_logits
        self._y = data.rows.y
        s = data.rows.sample_weight
        self._share = np.full(data.n_rows, 1.0) if s is None else np.asarray(s, np.float64)
        self._share = self._share / data.weight_total
        self.squares = np.asarray(objective.engine.scores(data, self._centre, np.ones(d), 0.0), np.float64)
        objective.reads.total += 1.0

    @property
    def gram(self) -> Float64Matrix | None:
        """``G``, where it is in memory."""
        return self._gram

    def keep_gram(self) -> None:
        """Compute ``G``, from which products take no further walks; counts as a read."""
        self._gram = gram(self._objective.dataset, self._centre)
        self._objective.reads.total += 1.0

    def image(self, V: Float64Matrix) -> Float64Matrix:
        """``G V``, of shape (n, K); one read, in which the rows are walked twice, or none where ``G`` is in memory."""
        return self._products(self._weights(V)) if self._gram is None else np.asarray(self._gram @ V)

    def largest_gradient(self, rho: Float64Matrix) -> float:
        """``max |sum_i rho_i (x_i - m)|``, a part of the gradient; half a read."""
        self._objective.reads.total += 0.5
        return float(np.abs(self._weights(rho)).max(initial=0.0))

    def params(self, a: Float64Matrix, b: Float64Vector) -> Float64Vector:
        """Packed weights and intercepts; half a read."""
        W = self._weights(a)
        self._objective.reads.total += 0.5
        if not self.fit_intercept:
            return W.ravel()
        return np.concatenate([W, (b - W @ self._centre)[:, None]], axis=1).ravel()

    def numbers_at(self, params: Float64Vector) -> Float64Matrix:
        """``a = -dz / l2`` at packed parameters, which gives their weights where they are at the minimum; half a read.

        There the gradient, ``sum_i (dz_i + l2 a_i) x_i``, is zero.
        """
        w, b = self._objective.unpack(params)
        W = np.atleast_2d(w)
        self._objective.reads.total += 0.5
        Z = products_with_rows(self._objective.dataset, W, self._centre) + (b + W @ self._centre)
        return -self.at(Z).dz / self.l2

    def at(self, Z: Float64Matrix) -> RowsAt:
        """The loss at logits of shape (n, K)."""
        loss, y, share = self._objective.loss, self._y, self._share
        probabilities: Any = None
        if isinstance(loss, Binary):
            row_loss, dz, curvature = (values.astype(np.float64) for values in loss.loss_dz_and_curvature(Z[:, 0], y))
            dz, curvature = dz[:, None], curvature[:, None]
        else:
            row_loss, dz = loss.loss_and_dz(Z, y)
            probabilities = softmax.softmax(loss.logits_and_labels(Z, y)[0])
            curvature = softmax.curvature_diagonal(probabilities)
        column = share[:, None]
        return RowsAt(float(share @ row_loss), dz * column, curvature * column, probabilities, share)

    def _weights(self, V: Float64Matrix) -> Float64Matrix:
        return sums_of_rows(self._objective.dataset, V, self._centre)

    def _products(self, W: Float64Matrix) -> Float64Matrix:
        self._objective.reads.total += 1.0
        return products_with_rows(self._objective.dataset, W, self._centre)
