"""The loss of a sample of rows of K classes: value, gradient and curvature at a point, and its slope along a line.

Logits of the last points are kept. Along a line they are those of one point and those of the step, so that the length
of a step is found without another walk over the rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics import softmax
from gpu_logreg.objectives.classes_curvature import ClassesSample, curve_free_directions

__all__ = ["SampledLoss", "active_curvature", "bounding_curvature"]

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


def active_curvature(U: Float64Matrix, s: Float64Vector, P: Float64Matrix) -> tuple[Float64Matrix, int]:
    """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, of shape (K, p, K, p), by the pairs of classes of each row.

    A row is rarely near more than two classes. Its part is ``p_k p_l`` between each pair, and what is left out leaves a
    positive semidefinite matrix. Beside it the number of rows that have a part.
    """
    K, p = P.shape[1], U.shape[1]
    H = np.zeros((K, p, K, p))
    is_active = np.zeros(len(U), np.bool_)
    for k in range(K):
        for l in range(k):  # noqa: E741
            product = P[:, k] * P[:, l]
            rows = np.flatnonzero(product > LEAST_PRODUCT)
            if not len(rows):
                continue
            is_active[rows] = True
            U_of = U[rows]
            block = (U_of * (s[rows] * product[rows])[:, None]).T @ U_of
            H[k, :, l] = H[l, :, k] = -block
            H[k, :, k] += block
            H[l, :, l] += block
    return H, int(is_active.sum())


class _Point(NamedTuple):
    """Value, gradient and logits at ``phi``, and the derivatives of the rows' losses by the logits."""

    phi: Float64Vector
    value: float
    grad: Float64Vector
    z: Float64Matrix
    dz: Float64Matrix


class _Curvature:
    """The Hessian of a sample with its penalty, and its bounding curvature, the same for every class."""

    def __init__(self, H: Float64Matrix, bound: Callable[[], Float64Matrix]) -> None:
        self._H, self._bound = H, bound

    def __matmul__(self, v: Float64Vector) -> Float64Vector:
        """``H v``."""
        return np.asarray(self._H @ v)

    def factor(self, damping: float) -> Factor:
        """``H`` and ``damping`` times the bounding curvature, factored."""
        if damping == 0.0:
            return Factor(self._H)
        D = self._bound()
        p = len(D)
        K = len(self._H) // p
        damped = self._H.copy()
        by_class = damped.reshape(K, p, K, p)
        for k in range(K):
            by_class[k, :, k] += damping * D
        return Factor(damped)


class SampledLoss:
    """The mean loss of a sample of dense rows on the host, and the penalty.

    Parameters
    ----------
    sample : ClassesSample
    """

    def __init__(self, sample: ClassesSample) -> None:
        self.sample = sample
        self._U, self._labels, s = sample.rows.data.rows
        assert s is not None
        self._loss = sample.engine.loss
        self._weight: Float64Vector = np.asarray(s / sample.weight_total)
        self._shape = self._loss.n_logits, self._U.shape[1]
        self._y = self._labels
        if self._loss.has_offset:
            self._y = self._loss.logits_and_labels(np.zeros((len(self._U), self._shape[0])), self._labels)[1]
        self._points: deque[_Point] = deque(maxlen=2)

    @property
    def coordinates(self) -> Any:
        """Of packed vectors."""
        return self.sample.coordinates

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient; a walk over the sample, unless it was one of the last two points."""
        point = self._at(phi)
        return point.value, point.grad

    def curvature(self, phi: Float64Vector) -> _Curvature:
        """The curvature at ``phi``; a walk over the rows that have some, and over all where it is damped."""
        point, (K, p) = self._at(phi), self._shape
        P = point.dz.copy()
        P[np.arange(len(P)), self._y] += 1.0
        H, n_active = active_curvature(self._U, self._weight, P)
        self._count(n_active)
        H = curve_free_directions(H.reshape(K * p, K * p), K)
        H.flat[:: len(H) + 1] += self.sample.packed_penalty

        def bound() -> Float64Matrix:
            self._count(len(P))
            bounding = self._weight * bounding_curvature(point.z, self._y)
            return np.asarray(self._U.T @ (self._U * bounding[:, None]))

        return _Curvature(H, bound)

    def along(self, phi: Float64Vector, step: Float64Vector) -> Callable[[float], tuple[float, float]]:
        """From ``t`` to the first and second derivative at ``phi + t step`` by ``t``; one walk for all ``t``."""
        point, y, weight, (K, p) = self._at(phi), self._y, self._weight, self._shape
        z_step = self._U @ step.reshape(K, p).T
        self._count(len(z_step))
        penalised = self.sample.packed_penalty * step
        linear, square = float(phi @ penalised), float(step @ penalised)
        at = np.arange(len(y))

        def derivatives(t: float) -> tuple[float, float]:
            _, dz = softmax.loss_and_dz(point.z + t * z_step, y)
            slopes = (dz * z_step).sum(axis=1)
            dz[at, y] += 1.0
            second = (z_step * softmax.curvature_product(dz, z_step)).sum(axis=1)
            return float(weight @ slopes) + linear + t * square, float(weight @ second) + square

        return derivatives

    def _at(self, phi: Float64Vector) -> _Point:
        """The point, by a walk if its logits are not kept."""
        for point in self._points:
            if np.array_equal(point.phi, phi):
                return point
        K, p = self._shape
        z, _ = self._loss.logits_and_labels(self._U @ phi.reshape(K, p).T, self._labels)
        loss, dz = softmax.loss_and_dz(z, self._y)
        self._count(len(z))
        penalised = self.sample.packed_penalty * phi
        grad = ((dz * self._weight[:, None]).T @ self._U).ravel() + penalised
        value = float(self._weight @ loss) + 0.5 * float(phi @ penalised)
        self._points.append(_Point(phi, value, grad, z, dz))
        return self._points[-1]

    def _count(self, n_rows: int) -> None:
        self.sample.reads.total += n_rows / self.sample.n_total
