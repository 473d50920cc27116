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

import numpy as np

from gpu_logreg.arrays.block_sizes import WIDE_PIECE
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.arrays.wide_vectors import each_piece, is_wide
from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.reference.row_space import gram
from gpu_logreg.passes.row_space import image, products_with_rows, sums_of_rows

__all__ = ["RowSpace", "RowsAt"]

LEAST_ROWS = 16
"""Least rows of a piece of logits of very many numbers."""


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

    def along(self, T: Float64Matrix, fit_intercept: bool = False) -> Float64Matrix:
        """The second derivative along the rows of ``T``, of shape (k, n K), for each pair of them.

        With an intercept, along those of all logits first, whose directions are not formed.
        """
        n, K = self.curvature.shape
        whole = not is_wide(T.size)

        def of_rows(part: slice) -> Float64Matrix:
            return self._along(T[:, part.start * K : part.stop * K], part, fit_intercept)

        pieces = [of_rows(slice(0, n))] if whole else each_piece(of_rows, n, max(LEAST_ROWS, WIDE_PIECE // K))
        return pieces[0] if whole else np.asarray(np.sum(pieces, axis=0))

    def _along(self, T: Float64Matrix, part: slice, fit_intercept: bool) -> Float64Matrix:
        """The sums of `along` over some rows; ``T`` is that of theirs."""
        curvature, share = self.curvature[part], self._share[part, None]
        by_row = T.reshape(len(T), *curvature.shape)
        if self._probabilities is None:
            centred, weight = by_row, curvature
        else:
            p = self._probabilities[part]
            weight = p * share
            centred = by_row - np.einsum("knc,nc->kn", by_row, p)[:, :, None]
        factor = np.sqrt(weight)
        root = (centred * factor).reshape(T.shape)
        found = np.asarray(root @ root.T)
        if not fit_intercept:
            return found
        # The curvature of a row takes directions to what adds up to 0 over the logits, which is all that is left here.
        mixed = np.asarray((root.reshape(by_row.shape) * factor).sum(axis=1))
        among = np.diag(weight.sum(axis=0))
        if self._probabilities is not None:
            among -= p.T @ weight
        return np.block([[among, mixed.T], [mixed, found]])


class RowSpace:
    """An objective by the numbers ``a`` of its rows and the intercepts.

    Parameters
    ----------
    objective : Objective
        With a ridge, of rows that `gpu_logreg.passes.row_space` multiplies. Its ``centre`` is known; its reads are
        counted.

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
        if self._gram is not None:
            return np.asarray(self._gram @ V)
        self._objective.reads.total += 1.0
        return image(self._objective.dataset, V, self._centre)

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
        if isinstance(self._objective.loss, Binary):
            found = self._objective.loss.loss_dz_and_curvature(Z[:, 0], self._y)
            row_loss, dz, curvature = (values.astype(np.float64) for values in found)
            column = self._share[:, None]
            return RowsAt(
                float(self._share @ row_loss), dz[:, None] * column, curvature[:, None] * column, None, self._share
            )
        row_loss, dz, curvature, P = np.empty(len(Z)), *(np.empty(Z.shape) for _ in range(3))

        def of_rows(part: slice) -> None:
            row_loss[part], dz[part], curvature[part], P[part] = self._of_classes(Z[part], part)

        if is_wide(Z.size):
            each_piece(of_rows, len(Z), max(LEAST_ROWS, WIDE_PIECE // Z.shape[1]))
        else:
            of_rows(slice(len(Z)))
        return RowsAt(float(self._share @ row_loss), dz, curvature, P, self._share)

    def _of_classes(self, Z: Float64Matrix, part: slice) -> tuple[Float64Matrix, ...]:
        """Losses of some rows; their derivatives and curvatures by the logits, times their weights; probabilities."""
        loss, y, column = self._objective.loss, self._y[part], self._share[part, None]
        row_loss, dz = loss.loss_and_dz(Z, y)
        P = softmax.softmax(loss.logits_and_labels(Z, y)[0])
        return row_loss, dz * column, softmax.curvature_diagonal(P) * column, P

    def _weights(self, V: Float64Matrix) -> Float64Matrix:
        return sums_of_rows(self._objective.dataset, V, self._centre)
