"""A Hessian of several logits as the Kronecker product of its mean factors.

Source: J. Martens and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature" (2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["KroneckerFactor"]


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
        floor = 1e-3 * float(t.mean())
        t[0] = float(t[1:].mean())
        self._factors = [Factor(max(t_k, floor) * A + np.diag(penalty)) for t_k in t]
        self.smallest_pivot = min(factor.smallest_pivot for factor in self._factors)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``, of a packed vector."""
        V = self._Q.T @ v.reshape(len(self._factors), -1)
        solved = np.stack([factor.solve(row) for factor, row in zip(self._factors, V, strict=True)])
        return np.asarray((self._Q @ solved).ravel())
