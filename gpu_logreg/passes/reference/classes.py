"""The reference pass for K logits: two products around the softmax, a block of rows at a time.

``Z = X @ W.T + b`` of shape (n, K); ``dZ = s (P - Y)``; sums of ``s row_loss``, ``dZ.T @ X`` and ``dZ``. Logits and
probabilities are stored for one block of rows at a time. On the host a block fits the cache and is read from memory
once; on a GPU a block is far larger than the cache and is read twice.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.passes.reference.gradient import LossAndDz
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows

__all__ = ["reference_multinomial_pass"]


def reference_multinomial_pass(
    rows: Rows,
    W: Float64Matrix,
    b: Float64Vector,
    dtype: DTypeLike | None = None,
    loss_and_dz: LossAndDz = softmax.loss_and_dz,
) -> Sums:
    """Loss and gradient sums over ``rows`` for K logits, by the plain formulas.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d); ``y`` the number of each row's class.
    W : ndarray of shape (K, d)
        Weights, float64, on the host.
    b : ndarray of shape (K,)
        Intercepts, float64.
    dtype : float32 or float64, optional
        Dtype to compute in; that of ``X`` if None.
    loss_and_dz : function (Z, y) -> row_loss, dZ
        That of the loss.

    Returns
    -------
    Sums
        ``dw_sum`` of shape (K, d), ``db_sum`` of shape (K,).

    Examples
    --------
    >>> rows = Rows(np.array([[1.0], [2.0]]), np.array([0, 2]), None)
    >>> reference_multinomial_pass(rows, np.zeros((3, 1)), np.zeros(3)).dw_sum.round(3).ravel()
    array([ 0.,  1., -1.])
    """
    X, y, sample_weight = rows
    X = X.astype(dtype or X.dtype, copy=False)
    xp = array_namespace(X)
    Z = ((X @ xp.asarray(W.T, dtype=X.dtype)).astype(xp.float64) + xp.asarray(b)).astype(X.dtype, copy=False)
    row_loss, dZ = loss_and_dz(Z, y)
    if sample_weight is not None:
        row_loss = row_loss * sample_weight
        dZ = (dZ * sample_weight[:, None]).astype(X.dtype, copy=False)
    dw_sum = to_numpy(dZ.T @ X).astype(np.float64)
    return Sums(float(row_loss.sum(dtype=xp.float64)), dw_sum, to_numpy(dZ.sum(axis=0, dtype=xp.float64)))
