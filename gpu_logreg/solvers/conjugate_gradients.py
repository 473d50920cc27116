"""Linear systems with a Hessian that is known by its products with vectors: preconditioned conjugate gradients.

For a right side ``b`` the step ``s`` minimises ``q(s) = s @ H s / 2 - b @ s``; iterate j is the minimum over the span
of ``M^-1 b, M^-1 H M^-1 b, ...``, with the metric ``M`` as preconditioner. A Newton step needs no exact solution: the
iteration ends when what is left to lower ``q`` by is a given share of what all iterations have lowered it by.

Source: M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems" (1952).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Metric

BELOW = 0.5
"""Share of the smallest eigenvalue seen that no eigenvalue is taken to be below."""

__all__ = ["InexactStep", "conjugate_gradients"]

FLAT = 1e-14
"""Curvature along a direction, over the product of its length and that of its image, below which it is rounding."""


class InexactStep(NamedTuple):
    """A step by conjugate gradients.

    Attributes
    ----------
    step : ndarray of shape (p,)
    decrease : float
        ``-q(step)``.
    left : float
        What the iterations that were not made would lower ``q`` by besides, estimated; infinite where none was made,
        because the first direction has no curvature.
    n_products : int
    """

    step: Float64Vector
    decrease: float
    left: float
    n_products: int
    smallest: float

    @property
    def rate(self) -> float:
        """Share of the decrease that an iteration has left, on average; 1 where none was made."""
        total = self.decrease + self.left
        if not self.n_products or not 0.0 < total < np.inf:
            return 1.0
        return float((self.left / total) ** (1.0 / self.n_products))


def conjugate_gradients(
    product: Callable[[Float64Vector], Float64Vector],
    b: Float64Vector,
    metric: Metric | None,
    forcing: float,
    most: int,
    enough: float = 0.0,
    smallest: float = np.inf,
) -> InexactStep:
    """A step that lowers ``q`` by all but about ``forcing`` of what an exact solution would.

    Parameters
    ----------
    product : function v -> H v
        Symmetric, positive semidefinite.
    b : ndarray of shape (p,)
    metric : Metric, optional
        The preconditioner; the identity if None.
    forcing : float
        Share of the decrease that may be left.
    most : int
        Largest number of products.
    enough : float
        Decrease that may be left in any case.
    smallest : float
        The smallest eigenvalue of ``M^-1 H`` that is known of, at other points too.

    Examples
    --------
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> found = conjugate_gradients(H.__matmul__, np.array([3.0, 0.0]), None, forcing=1e-9, most=10)
    >>> found.step.round(9), round(found.decrease, 9), found.n_products
    (array([ 2., -1.]), 3.0, 2)
    """
    x, r = np.zeros(len(b)), b.copy()
    z = r if metric is None else metric.solve(r)
    p, rz = z.copy(), float(r @ z)
    decrease, n = 0.0, 0
    left = np.inf if rz > 0.0 else 0.0  # of a direction without curvature nothing is known
    tridiagonal = _Tridiagonal(smallest)
    while n < most and rz > 0.0:
        image = product(p)
        n += 1
        curvature = float(p @ image)
        if not curvature > FLAT * float(np.linalg.norm(p) * np.linalg.norm(image)):
            break
        alpha = rz / curvature
        x += alpha * p
        r -= alpha * image
        decrease += 0.5 * alpha * rz
        z = r if metric is None else metric.solve(r)
        rz, last = max(0.0, float(r @ z)), rz  # below 0 where the metric rounds more than is left
        left = tridiagonal.left(alpha, rz / last, rz)
        if left <= max(forcing * decrease, enough):
            break
        p *= rz / last
        p += z
    return InexactStep(x, decrease, left, n, tridiagonal.smallest)


class _Tridiagonal:
    """The matrix of Lanczos behind conjugate gradients, of which the smallest eigenvalue bounds what is left.

    With a bound ``mu`` of the eigenvalues of ``M^-1 H`` from below, Gauss-Radau quadrature bounds the error of an
    iterate from above: ``e_j @ H e_j <= gamma_j r_j @ M^-1 r_j``, with ``gamma_0 = 1 / mu`` and
    ``gamma_{j+1} = (gamma_j - alpha_j) / (mu (gamma_j - alpha_j) + beta_{j+1})``. Here ``mu`` is `BELOW` of the
    smallest eigenvalue that the iterations have seen, so that it is an estimate.

    Source: G. Meurant and P. Tichy, "On computing quadrature-based bounds for the A-norm of the error in conjugate
    gradients" (2013).
    """

    def __init__(self, smallest: float) -> None:
        self.smallest = smallest
        self._alphas: list[float] = []
        self._betas: list[float] = []

    def left(self, alpha: float, beta: float, rz: float) -> float:
        """Half the squared error after a step ``alpha``, with the next residual ``rz``, ``beta`` of the last."""
        self._alphas.append(alpha)
        self._betas.append(beta)
        self.smallest = min(self.smallest, self._ritz_value())
        mu = BELOW * self.smallest
        gamma = 1.0 / mu
        for a, b in zip(self._alphas, self._betas, strict=True):
            more = gamma - a
            if not more > 0.0:
                return 0.5 * rz / mu
            gamma = more / (mu * more + b)
        return 0.5 * gamma * rz

    def _ritz_value(self) -> float:
        alphas, betas = np.array(self._alphas), np.array(self._betas)[:-1]
        if len(alphas) == 1:
            return float(1.0 / alphas[0])
        diagonal = 1.0 / alphas
        diagonal[1:] += betas / alphas[:-1]
        beside = np.sqrt(betas) / alphas[:-1]
        smallest = float(eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(0, 0))[0])
        return max(smallest, float(np.finfo(np.float64).eps * diagonal.max()))  # below that the digits are rounding
