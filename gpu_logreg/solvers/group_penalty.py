"""The penalty on groups of parameters, and the minimum of a quadratic model with it.

``R(w) = sum_g l_g |w_g|_2`` leaves a group all zero or, as a rule, all nonzero. The model with it is minimised by
turns, which read no rows: each group takes its exact minimum with the others held, which finds the groups that are zero
(block coordinate descent); then the groups that are not, where the penalty is smooth, take Newton steps together.

Sources: M. Yuan and Y. Lin, "Model selection and estimation in regression with grouped variables" (2006); L. Meier,
S. van de Geer and P. Buhlmann, "The group lasso for logistic regression" (2008); Z. Qin, K. Scheinberg and D. Goldfarb,
"Efficient block-coordinate descent algorithms for the group lasso" (2013), for the minimum of one group.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector

__all__ = ["GroupPenalty", "minimum_of_group"]

DAMPING = 1e-12
"""Added to the diagonal of a model, relative to it: along directions without curvature, such as those of fewer rows
than columns, rounding of the gradient would else exceed a penalty."""

MAX_ROUNDS, MAX_NEWTON = 500, 20
"""Walks over the groups within one model, and Newton steps after each; a few of either are usual."""

MAX_HALVINGS = 30
"""Halvings of a Newton step, beyond which the groups take their turns again."""

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease by the slope that a Newton step must reach (Armijo's condition)."""

SAME, ROUNDING = 1e-12, 1e-16
"""Decrease of the model in a round at which it has its minimum: relative to all until then, and to the penalty."""


class GroupPenalty:
    """``sum_g l_g |w_g|_2`` as a function of ``phi = scale * w``.

    Parameters
    ----------
    of : ndarray of shape (p,)
        The group of each parameter, counted from 0.
    strengths : ndarray of shape (n_groups,)
        ``l_g``; 0 for parameters without a penalty, such as the intercept.
    scale : ndarray of shape (p,)
        Positive; equal to 1 where ``phi`` is ``w``.

    Examples
    --------
    >>> penalty = GroupPenalty(np.array([0, 0, 1]), np.array([2.0, 0.0]), np.ones(3))
    >>> penalty.penalty(np.array([3.0, 4.0, 7.0]))
    10.0
    >>> penalty.subgradient(np.zeros(3), np.array([3.0, 4.0, 1.0]))
    array([1.8, 2.4, 1. ])
    """

    def __init__(self, of: IntVector, strengths: Float64Vector, scale: Float64Vector) -> None:
        self.of, self.strengths, self.scale = of, strengths, scale

    @cached_attribute
    def members(self) -> list[IntVector]:
        """The parameters of each group."""
        n_groups = len(self.strengths)
        return np.split(np.argsort(self.of, kind="stable"), np.bincount(self.of, minlength=n_groups).cumsum()[:-1])

    def norms(self, w: Float64Vector) -> Float64Vector:
        """``|w_g|_2`` of each group."""
        return np.sqrt(np.bincount(self.of, weights=w * w, minlength=len(self.strengths)))

    def nearest(self, phi: Float64Vector) -> Float64Vector:
        """``phi`` itself: it has no bounds."""
        return phi

    def penalty(self, phi: Float64Vector) -> float:
        """``sum_g l_g |w_g|_2``."""
        return float(self.strengths @ self.norms(phi / self.scale))

    def subgradient(self, phi: Float64Vector, grad: Float64Vector) -> Float64Vector:
        """The subgradient of least norm by ``w``, as one by ``phi``: 0 at the minimum.

        ``v_g = grad_g + l_g w_g / |w_g|``, and of a group that is zero ``grad_g max(0, 1 - l_g / |grad_g|)``.

        Parameters
        ----------
        phi : ndarray of shape (p,)
        grad : ndarray of shape (p,)
            Gradient of the smooth part by ``phi``.
        """
        w, by_w = phi / self.scale, grad * self.scale
        norm, size = self.norms(w), self.norms(by_w)
        slope = np.divide(self.strengths, norm, out=np.zeros_like(norm), where=norm > 0.0)
        beyond = np.where(size > self.strengths, 1.0 - self.strengths / np.where(size > 0.0, size, 1.0), 0.0)
        v = np.where((norm > 0.0)[self.of], by_w + slope[self.of] * w, by_w * beyond[self.of])
        return np.asarray(v / self.scale)

    def minimum(self, H: Float64Matrix, grad: Float64Vector, phi: Float64Vector) -> tuple[Float64Vector, float]:
        """The minimum of ``grad @ (u - phi) + (u - phi) @ H (u - phi) / 2 + R(u / scale)``, and the decrease to there.

        Parameters
        ----------
        H : ndarray of shape (p, p)
            Positive semidefinite, with a positive diagonal.
        grad, phi : ndarray of shape (p,)

        Examples
        --------
        >>> penalty = GroupPenalty(np.array([0, 0]), np.array([1.0]), np.ones(2))
        >>> u, decrease = penalty.minimum(np.eye(2), np.array([-1.2, -1.6]), np.zeros(2))
        >>> u, round(decrease, 9)
        (array([0.6, 0.8]), 0.5)
        """
        H = H * self.scale * self.scale[:, None]
        H.flat[:: len(H) + 1] *= 1.0 + DAMPING
        model, total = _Model(H, grad * self.scale, phi / self.scale, self), 0.0
        least = ROUNDING * self.penalty(phi)
        for _ in range(MAX_ROUNDS):
            decrease = model.turns()
            for _ in range(MAX_NEWTON):
                more, whole = model.newton_step(least)
                decrease += more
                if not whole or more <= max(SAME * (total + decrease), least):
                    break
            total += decrease
            if decrease <= max(SAME * total, least):
                break
        return model.u * self.scale, total


class _Model:
    """A quadratic model with the penalty, at ``u``; ``slope`` is the gradient of the quadratic there."""

    def __init__(self, H: Float64Matrix, slope: Float64Vector, u: Float64Vector, penalty: GroupPenalty) -> None:
        self.H, self.slope, self.u, self.penalty = H, slope.copy(), u.copy(), penalty
        self._decompositions: dict[int, tuple[Float64Vector, Float64Matrix]] = {}

    def turns(self) -> float:
        """Each group that is not zero, or is not to stay so, at its minimum with the others held; the decrease."""
        strengths, decrease = self.penalty.strengths, 0.0
        moves = (self.penalty.norms(self.u) > 0.0) | (self.penalty.norms(self.slope) > strengths)
        for g in map(int, np.flatnonzero(moves)):
            at, strength = self.penalty.members[g], float(strengths[g])
            old = self.u[at]
            A = self.H[np.ix_(at, at)]
            if strength == 0.0:
                new = old - Factor(A).solve(self.slope[at])
            else:
                if g not in self._decompositions:
                    eigenvalues, Q = np.linalg.eigh(A)
                    self._decompositions[g] = eigenvalues, Q
                new = minimum_of_group(*self._decompositions[g], self.slope[at] - A @ old, strength)
            step = new - old
            change = float(self.slope[at] @ step + 0.5 * (step @ (A @ step)))
            change += strength * float(np.linalg.norm(new) - np.linalg.norm(old))
            if change < 0.0:
                self.u[at] = new
                self.slope += step @ self.H[at]
                decrease -= change
        return decrease

    def newton_step(self, least: float) -> tuple[float, bool]:
        """A Newton step of all groups that are not zero, with a line search; the decrease, and whether it was whole.

        A step that promises less than ``least``, the rounding of the decrease, is taken as it is.
        """
        of, strengths = self.penalty.of, self.penalty.strengths
        norm = self.penalty.norms(self.u)
        free = np.flatnonzero(((norm > 0.0) | (strengths == 0.0))[of])
        if not len(free):
            return 0.0, True
        curve = np.divide(strengths, norm, out=np.zeros_like(norm), where=norm > 0.0)
        unit = self.u[free] / np.where(norm > 0.0, norm, 1.0)[of[free]]
        slope = self.slope[free] + strengths[of[free]] * unit
        H = self.H[np.ix_(free, free)]
        same = of[free][:, None] == of[free]
        curved = H - np.where(same, np.outer(unit, unit) * curve[of[free]], 0.0)
        curved.flat[:: len(free) + 1] += curve[of[free]]
        direction = -Factor(curved).solve(slope)
        due, t = float(slope @ direction), 1.0
        for _ in range(MAX_HALVINGS):
            there = self.u.copy()
            there[free] += t * direction
            # A step that turns a group round passes the kink at zero, and Newton's model with it: it stops there.
            turned = np.bincount(of, weights=self.u * there, minlength=len(norm)) <= 0.0
            there[(turned & (strengths > 0.0))[of]] = 0.0
            step = there[free] - self.u[free]
            change = float(self.slope[free] @ step) + 0.5 * float(step @ (H @ step))
            change += float(strengths @ (self.penalty.norms(there) - norm))
            if -due <= least or (change < 0.0 and change <= SUFFICIENT_DECREASE * t * due):
                self.u = there
                self.slope += step @ self.H[free]
                return max(-change, 0.0), t == 1.0
            t *= 0.5
        return 0.0, False


def minimum_of_group(
    eigenvalues: Float64Vector, Q: Float64Matrix, slope: Float64Vector, strength: float
) -> Float64Vector:
    """The minimum of ``slope @ u + u @ A u / 2 + strength |u|_2`` with ``A = Q diag(eigenvalues) Q.T``.

    It is zero where ``|slope| <= strength``. Else ``u = -r (r A + strength I)^-1 slope``, where the length ``r`` of
    ``u`` has ``|(r A + strength I)^-1 slope| = 1``. One over that norm is concave in ``r``, so that Newton's method
    from ``r = 0`` rises to its root and never steps beyond.

    Examples
    --------
    >>> minimum_of_group(np.array([2.0]), np.eye(1), np.array([-5.0]), 1.0)
    array([2.])
    """
    c = Q.T @ slope
    if float(np.linalg.norm(c)) <= strength:
        return np.zeros(len(slope))
    a, r = np.maximum(eigenvalues, 1e-16 * eigenvalues.max()), 0.0
    for _ in range(200):
        q = c / (r * a + strength)
        norm = float(np.linalg.norm(q))
        fall = float(q @ (a * q / (r * a + strength)))
        step = norm * norm * (norm - 1.0) / fall
        r += step
        if not step > 1e-16 * r:
            break
    return np.asarray(-r * (Q @ (c / (r * a + strength))))
