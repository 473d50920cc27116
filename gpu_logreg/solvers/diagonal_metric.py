"""A diagonal model of the curvature in centred columns, for solvers that have no better one to start from.

At weights of zero every row has the same probability ``p``, and the Hessian of the mean loss over ``[w, b]`` is
``p (1 - p)`` times the second moments of ``[x, 1]``. Its diagonal, after the columns are centred, is
``h_j = p (1 - p) var(x_j) + l2``. Centring is done on the parameters, ``b' = b + mean @ w``, never on the data:
gradients transform by ``dw' = dw - mean db``. Without an intercept nothing can be centred, and the Hessian is about
``diag(h) + p (1 - p) mean mean.T``: along the means all columns act together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg.blas import daxpy

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.arrays.wide_vectors import columns_of_a_piece, each_piece, is_wide
from gpu_logreg.solvers import Metric

__all__ = ["CentredDiagonalMetric", "ClasswiseMetric", "WideClasswiseMetric", "by_class"]

ROUNDING = float(np.finfo(np.float64).eps)
"""Variance of a column, relative to its squared mean, below which it is rounding."""

FLATTEST = 1e-6
"""The same without an intercept, where columns that hardly vary are told apart by their variance alone."""


class CentredDiagonalMetric:
    """``H`` with ``H^-1 = T diag(1 / h) T.T``, where ``T`` maps centred parameters to ``[w, b]``.

    Without an intercept ``H = diag(h) + along_mean mean mean.T``, whose inverse is that of Sherman and Morrison.

    Parameters
    ----------
    mean : ndarray of shape (d,)
        Of the columns.
    h : ndarray of shape (d + 1,), or (d,) without an intercept
        Second derivatives by the weights of the centred columns, and by the intercept; positive.
    fit_intercept : bool
    along_mean : float
        Curvature along the means, without an intercept.

    Attributes
    ----------
    mean : ndarray of shape (d,)
    inverse : ndarray of the shape of ``h``
        ``1 / h``.
    share : float
        ``along_mean / (1 + along_mean mean @ (mean / h))``; 0 with an intercept.
    """

    def __init__(self, mean: Float64Vector, h: Float64Vector, fit_intercept: bool, along_mean: float = 0.0) -> None:
        self.mean = mean
        self._h = h
        self.inverse = 1.0 / h
        self._fit_intercept, self._along_mean = fit_intercept, along_mean
        self.share = 0.0
        if along_mean:
            self._solved_mean = self.inverse * mean
            self.share = along_mean / (1.0 + along_mean * float(mean @ self._solved_mean))

    @classmethod
    def of_moments(
        cls, mean: Float64Vector, variance: Float64Vector, curvature: float, l2: float, fit_intercept: bool
    ) -> CentredDiagonalMetric:
        """The metric where all rows have the curvature ``p (1 - p)``.

        Parameters
        ----------
        mean, variance : ndarray of shape (d,)
            Of the columns.
        curvature : float
            ``p (1 - p)``.
        l2 : float
            Ridge strength on the mean loss.
        fit_intercept : bool
        """
        # Of a column that is constant, far from zero, no gradient is more than the rounding of its size.
        diagonal = curvature * np.maximum(variance, (ROUNDING if fit_intercept else FLATTEST) * mean**2) + l2
        # A constant column without a penalty has no curvature; leave it at the scale of one that has.
        diagonal[diagonal <= 0.0] = curvature
        if fit_intercept:
            return cls(mean, np.append(diagonal, curvature), True)
        return cls(mean, diagonal, False, curvature)

    @classmethod
    def of_diagonal(
        cls, mean: Float64Vector, diagonal: Float64Vector, curvature: float, fit_intercept: bool
    ) -> CentredDiagonalMetric:
        """The metric with a given diagonal of centred columns, and ``curvature`` along the intercept."""
        h = np.append(diagonal, curvature) if fit_intercept else diagonal
        least = ROUNDING * float(h.max(initial=0.0)) or 1.0
        return cls(mean, np.maximum(h, least), fit_intercept)

    def to_power(self, power: float, factor: float = 1.0) -> CentredDiagonalMetric:
        """The metric with ``factor h**power`` in the place of ``h``."""
        return CentredDiagonalMetric(self.mean, factor / self.inverse**power, self._fit_intercept, self._along_mean)

    def forms(self, directions: Float64Matrix) -> Float64Matrix:
        """``D H D.T`` of directions by ``[w, b]``, the rows of ``D``."""
        if not self._fit_intercept:
            along = directions @ self.mean
            return np.asarray(
                (directions * self._h) @ directions.T + self._along_mean * np.multiply.outer(along, along)
            )
        centred = directions.copy()
        centred[:, -1] += directions[:, :-1] @ self.mean
        return np.asarray((centred * self._h) @ centred.T)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``."""
        if not self._fit_intercept:
            solved = self.inverse * v
            return daxpy(self._solved_mean, solved, a=-self.share * float(self.mean @ solved)) if self.share else solved
        centred: Float64Vector = self.inverse * np.append(v[:-1] - self.mean * v[-1], v[-1])
        centred[-1] -= self.mean @ centred[:-1]
        return centred


class ClasswiseMetric:
    """One metric for each class, on packed vectors, for steps that add up to 0 over the classes.

    A constant added to the weights of all classes changes no probability, and a ridge wants it to be 0. With a metric
    of its own every class would drift, and of a weak ridge no gradient is large enough to take the constant back.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``P H^-1 v``, with ``P`` the projection on what adds up to 0, as gradients do, at every point that does."""
        rows = v.reshape(len(self._metrics), -1)
        solved = np.stack([metric.solve(row) for metric, row in zip(self._metrics, rows, strict=True)])
        solved -= solved.mean(axis=0)
        return np.asarray(solved.ravel())


class WideClasswiseMetric:
    """`ClasswiseMetric` of diagonals of very many parameters: all classes of some columns at a time, on all threads."""

    def __init__(self, metrics: Sequence[CentredDiagonalMetric]) -> None:
        self._inverse = np.stack([metric.inverse for metric in metrics])
        same = all(metric.mean is metrics[0].mean for metric in metrics)
        self._mean = np.stack([metric.mean for metric in (metrics[:1] if same else metrics)])
        self._has_intercept = self._inverse.shape[1] > self._mean.shape[1]
        self._share = np.array([metric.share for metric in metrics])

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``P H^-1 v`` of packed ``v``."""
        inverse, mean, K, d = self._inverse, self._mean, len(self._inverse), self._mean.shape[1]
        rows, solved = v.reshape(K, -1), np.empty(inverse.shape)
        last, along = rows[:, -1:], np.zeros((K, 1))
        if self._share.any():
            products = each_piece(lambda part: self._along_means(rows, part), d, columns_of_a_piece(K))
            along = (self._share * np.sum(products, axis=0))[:, None]

        def of_columns(part: slice) -> Float64Vector:
            block, moved = solved[:, part], np.zeros(K)
            if self._has_intercept:
                np.multiply(mean[:, part], -last, out=block)
                block += rows[:, part]
                block *= inverse[:, part]
                moved = np.einsum("kj,kj->k", np.broadcast_to(mean[:, part], block.shape), block)
            else:
                np.multiply(mean[:, part], -along, out=block)
                block += rows[:, part]
                block *= inverse[:, part]
            block -= block.mean(axis=0)
            return moved

        moved = np.sum(each_piece(of_columns, d, columns_of_a_piece(K)), axis=0)
        if self._has_intercept:
            intercepts = inverse[:, -1] * rows[:, -1] - moved
            solved[:, -1] = intercepts - intercepts.mean()
        return solved.ravel()

    def _along_means(self, rows: Float64Vector, part: slice) -> Float64Vector:
        """``mean @ (v / h)`` of some columns, for each class."""
        return np.asarray((self._mean[:, part] * self._inverse[:, part] * rows[:, part]).sum(axis=1))


def by_class(metrics: Sequence[Metric]) -> Metric:
    """The metric of packed vectors from one metric for each logit."""
    if len(metrics) == 1:
        return metrics[0]
    diagonals = [metric for metric in metrics if isinstance(metric, CentredDiagonalMetric)]
    if len(diagonals) == len(metrics) and is_wide(sum(len(metric.inverse) for metric in diagonals)):
        return WideClasswiseMetric(diagonals)
    return ClasswiseMetric(metrics)
