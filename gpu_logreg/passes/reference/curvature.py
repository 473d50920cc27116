"""The curvature of the loss over a block of rows: ``X.T diag(s p (1 - p)) X``, by one symmetric product."""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.mathematics.logistic import curvature

__all__ = ["curvature_sums"]


def curvature_sums(U: Any, z: Any, sample_weight: Any) -> Any:
    """``sum_i s_i p_i (1 - p_i) u_i u_i.T``.

    Parameters
    ----------
    U : floating array of shape (n, p)
        Rows, in whatever coordinates the Hessian is wanted.
    z : array of shape (n,)
        Their logits.
    sample_weight : array of shape (n,)

    Returns
    -------
    array of shape (p, p), dtype of ``U``, where ``U`` lives
    """
    xp = array_namespace(U)
    root = xp.sqrt(sample_weight * curvature(z)).astype(U.dtype, copy=False)
    A = U * root[:, None]
    return A.T @ A
