"""The quadratic model of a smooth objective that proximal steps minimise, and how it is mended where it misleads.

Sources: J. Nocedal and S. Wright, "Numerical Optimization" (2006), section 6.1, for the update; D. Marquardt, "An
algorithm for least-squares estimation of nonlinear parameters" (1963), for curvature that is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers.orthant import RootModel

__all__ = ["Minimum", "QuadraticModel", "Root"]

EPS = float(np.finfo(np.float64).eps)

FLAT = 1e-9
"""Curvature, relative to the largest of the loss, below which a coordinate is flat; the model gives it that instead.

The ridge is left out of the largest: a column in small units has a ridge of any size in standardised columns, beside
which the loss of all others would pass for flat."""

FLOOR = 1e-3
"""Least curvature of every coordinate, relative to the largest, where a model has misled; where it does so again, 1."""

LEAST_ADDED, MORE_ADDED = 1e-9, 1e1
"""Curvature that is added to all coordinates, relative to the largest, where an exact matrix has misled, and the factor
by which it grows where it does so again."""

ROOT_GAIN = 1.1
"""Ratio of the decreases to the minima by the root and by the matrix, from which on the root is worth its systems."""

NEEDLESS = 2
"""Minima by the root in succession that were not worth it, after which it is tried in one step of eight only."""

Root = Callable[[Float64Vector], Any]
"""From a point to ``A`` of shape (m, p) with ``A.T @ A`` the curvature of the loss there."""

Minimum = tuple[Float64Vector, float]
"""A point, and how far below the present one the model is there; infinite where it has no minimum."""


class QuadraticModel:
    """The matrix ``B`` of the model: the one given, and BFGS updates on top of it.

    Parameters
    ----------
    H : ndarray of shape (p, p)
    ridge : ndarray of shape (p,) or None
        What the ridge adds to the diagonal.
    gradual : bool
        Whether curvature is added little by little: for exact matrices, of few rows.

    Attributes
    ----------
    matrix : ndarray of shape (p, p)
    n_updates : int
    any_flat : bool
        Whether some coordinate has next to no curvature of its own.
    root : function x -> ndarray of shape (m, p), or None
        ``A`` with ``A.T @ A`` the curvature of the loss at ``x``.
    """

    def __init__(self, H: Any, ridge: Float64Vector | None, gradual: bool) -> None:
        self._ridge, self._gradual = ridge, gradual
        self._n_pushed = 0
        self.root: Root | None = None
        self._needless = 0
        self._last_added = 0.0
        self.restart(H)

    def restart(self, H: Any = None) -> None:
        """Forget the updates, and take a new matrix if one is given."""
        if H is not None:
            diagonal = H.diagonal()
            of_loss = diagonal if self._ridge is None else diagonal - self._ridge
            self._largest = float(of_loss.max(initial=0.0))
            self._flat = diagonal < FLAT * self._largest
            self.any_flat = bool(self._flat.any())
            if self.any_flat:
                H = H.copy()
                np.fill_diagonal(H, np.where(self._flat, self._largest, diagonal))
            self._given = H
        self.matrix = self._given
        self.n_updates = 0
        self._added = 0.0

    def minimum_by_root(
        self, minimum: Minimum, A: Any, grad: Float64Vector, x: Float64Vector, l1: Float64Vector
    ) -> Minimum:
        """The minimum by a root of the curvature at ``x``, from that by the matrix, unless that one is as low."""
        ridge = np.zeros(len(x)) if self._ridge is None else self._ridge
        flat = np.where(self._flat & (l1 > 0.0), self._largest, 0.0)
        if len(A) > 2 * len(x):  # its triangle is as good, and its systems cost less
            A = np.linalg.qr(A, mode="r")
        model = RootModel(A, ridge + flat + self._added * self._largest, grad, x, l1)
        by_root, by_matrix = model.minimum(minimum[0]), minimum[0]
        decrease, before = model.decrease(by_root), model.decrease(by_matrix)
        if not max(decrease, before) > 0.0:  # the matrix misleads even about the orthant
            by_root = model.minimum(x)
            decrease = model.decrease(by_root)
        self._needless = 0 if decrease > ROOT_GAIN * before else self._needless + 1
        target, decrease = (by_root, decrease) if decrease >= before else (by_matrix, before)
        return target, decrease if decrease >= 0.0 else math.nan

    def wants_root(self) -> bool:
        """Whether the root is worth its systems: not where it was needless before, but for a look now and then."""
        if self._needless < NEEDLESS:
            return True
        self._needless += 1
        return self._needless % (4 * NEEDLESS) == 0

    def along_flat(
        self, target: Float64Vector, grad: Float64Vector, x: Float64Vector, l1: Float64Vector
    ) -> Float64Vector:
        """Longer steps along coordinates without curvature, whose rows are all far on one side.

        On the right side only the penalty is left, and a weight is halved. On the wrong one the model's step takes
        rows a few units back, and every such step is twice as long as the last. Where the gradient is about as large as
        the penalty, a weight may be where it belongs: the matrix may be of rows that do not have the column.
        """
        pushed = self._flat & (np.abs(grad) > 2.0 * l1)
        free = self._flat & (np.abs(grad) < 0.5 * l1)
        self._n_pushed = min(self._n_pushed + 1, 10) if pushed.any() else 0
        target = np.where(pushed, x + 2.0**self._n_pushed * (target - x), target)
        return np.where(free & (np.abs(target) > 0.5 * np.abs(x)), 0.5 * x, target)

    def stiffen(self) -> bool:
        """Give curvature where even a good matrix has misled; false if all have as much as there can be.

        Rows far on the wrong side, where one step too long has taken them, have a gradient and no curvature, and the
        way back would be a step without end: the coordinates with the least get some, then all. Of few rows, whose
        matrix is exact, the whole diagonal is raised little by little: a combination of columns may have next to no
        curvature, and the way along it be long, though each column has its own.

        Source: D. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963).
        """
        if self._added >= 1.0:
            return False
        self.matrix = self.matrix.copy()
        diagonal = self.matrix.diagonal()
        if self._gradual:
            added = MORE_ADDED * self._added if self._added else max(LEAST_ADDED, self._last_added / MORE_ADDED)
            self._last_added = added
            np.fill_diagonal(self.matrix, diagonal + (added - self._added) * self._largest)
        else:
            added = 1.0 if self._added else FLOOR
            np.fill_diagonal(self.matrix, np.maximum(diagonal, added * self._largest))
        self._added = added
        return True

    def update(self, step: Float64Vector, change: Float64Vector) -> None:
        """Learn that the gradient changed by ``change`` along ``step``; skipped where rounding hides the curvature.

        ``B <- B - (B s)(B s).T / (s @ B s) + y y.T / (s @ y)``
        """
        curvature = float(step @ change)
        expected = self.matrix @ step
        length = float(step @ expected)
        if curvature <= EPS * float(np.linalg.norm(step) * np.linalg.norm(change)):
            return
        if not length > 0.0:
            return
        if self.matrix is self._given:
            self.matrix = self._given.copy()
        self.matrix -= np.outer(expected, expected / length)
        self.matrix += np.outer(change, change / curvature)
        self.n_updates += 1
