"""A Hessian of several logits as the Kronecker product of mean factors, or whole along a few directions of the columns.

The product knows one mean for all rows of what each does to the probabilities, and misses which classes are taken for
each other where. That matters along the directions that columns vary in most, and there are few of them as a rule.

Source: J. Martens and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature" (2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import eigh

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = ["KroneckerFactor", "LeadingDirections", "LeadingFactor"]


LEAST_EIGENVALUE = 1e-3
"""Least eigenvalue of the mean factor of the classes, relative to their mean, that is believed."""

LEAST_SHARE = 1e-12
"""The same of that of the columns: along a constant column without a penalty there is no curvature."""


class KroneckerFactor:
    """``H^-1 v`` for ``H = B kron A + I kron diag(penalty)``.

    With ``B = Q diag(t) Q.T`` the system falls apart into K of size p: ``(t_k A + diag(penalty))^-1`` on the k-th row
    of ``Q.T V``. The constant vector, along which ``B`` is zero, gets the mean of the other ``t``.

    Parameters
    ----------
    A : ndarray of shape (p, p)
    B : ndarray of shape (K, K)
    penalty : ndarray of shape (p,)
    """

    added = 0.0

    def __init__(self, A: Any, B: Any, penalty: Float64Vector) -> None:
        t, self._Q = np.linalg.eigh(B)
        floor = LEAST_EIGENVALUE * float(t.mean())
        t[0] = float(t[1:].mean())
        self._factors = [Factor(max(t_k, floor) * A + np.diag(penalty)) for t_k in t]
        self.smallest_pivot = min(factor.smallest_pivot for factor in self._factors)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``, of a packed vector."""
        V = self._Q.T @ v.reshape(len(self._factors), -1)
        solved = np.stack([factor.solve(row) for factor, row in zip(self._factors, V, strict=True)])
        return np.asarray((self._Q @ solved).ravel())


class LeadingDirections:
    """Directions of the columns along which the loss has most curvature by the mean factors, and all others.

    With ``t`` the mean eigenvalue of ``B`` and ``N = I + diag(penalty) / t`` they are eigenvectors of ``A`` by ``N``,
    ``A e = a N e``, so that less is made of a direction with a strong ridge. The others are turned so that ``A`` and
    the penalty are both diagonal along them.

    Parameters
    ----------
    A : ndarray of shape (p, p)
    B : ndarray of shape (K, K)
    penalty : ndarray of shape (p,)
    n_leading : int
        r, less than p.

    Attributes
    ----------
    leading : ndarray of shape (p, r)
    rest : ndarray of shape (p, p - r)
    diagonal : ndarray of shape (K, p - r)
        Of the Hessian along the others, for every eigenvector of ``B``.
    Q : ndarray of shape (K, K)
        These eigenvectors.
    """

    def __init__(self, A: Float64Matrix, B: Float64Matrix, penalty: Float64Vector, n_leading: int) -> None:
        t, self.Q = np.linalg.eigh(B)
        mean = max(float(t[1:].mean()), LEAST_SHARE)
        t[0] = mean  # along the constant vector, as in `KroneckerFactor`
        unit = 1.0 / np.sqrt(1.0 + penalty / mean)
        a, E = np.linalg.eigh(A * unit * unit[:, None])
        E, n_rest = E * unit[:, None], len(a) - n_leading
        self.leading, rest = np.ascontiguousarray(E[:, n_rest:]), E[:, :n_rest]
        ridge = rest.T @ (penalty[:, None] * rest)
        whole = ridge + np.diag(np.maximum(mean * a[:n_rest], LEAST_SHARE * mean))
        share, turn = eigh(ridge, whole, overwrite_a=True, overwrite_b=True)  # turn.T @ whole @ turn = I
        share = np.clip(share, 0.0, 1.0)
        self.rest = rest @ turn
        self.diagonal = np.outer(np.maximum(t / mean, LEAST_EIGENVALUE), 1.0 - share) + share


class LeadingFactor:
    """``H^-1 v`` for ``H`` as it is along leading directions, and the diagonal of the product along all others.

    Parameters
    ----------
    directions : LeadingDirections
    whole : Factor
        Of the Hessian by the leading directions of every class, packed class after class.
    """

    added = 0.0

    def __init__(self, directions: LeadingDirections, whole: Factor) -> None:
        self._directions, self._whole = directions, whole

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``, of a packed vector."""
        d = self._directions
        V = v.reshape(len(d.Q), -1)
        leading = V @ d.leading
        solved = self._whole.solve(leading.ravel()).reshape(leading.shape) @ d.leading.T
        solved += (d.Q @ ((d.Q.T @ (V @ d.rest)) / d.diagonal)) @ d.rest.T
        return np.asarray(solved.ravel())
