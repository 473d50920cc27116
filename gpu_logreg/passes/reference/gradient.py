"""The reference pass: the plain formulas for NumPy and CuPy arrays; each pass reads ``X`` twice.

Tests hold every other pass to it. Small data is computed by it, as a faster pass takes longer to load than to save.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Vector
from gpu_logreg.mathematics import logistic
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.block import Rows

__all__ = ["reference_moments", "reference_pass", "supports"]

LossAndDz = Callable[[Array, Array], tuple[Array, Array]]


def supports(rows: Rows) -> str | None:
    """Why this pass cannot take ``rows``; None if it can."""
    if rows.X.dtype.kind != "f" or rows.X.dtype.itemsize < 4:
        return f"the reference pass computes in float32 or float64, and X is {rows.X.dtype}"
    return None


def reference_pass(
    rows: Rows,
    w: Float64Vector,
    b: float,
    dtype: DTypeLike | None = None,
    loss_and_dz: LossAndDz = logistic.loss_and_dz,
) -> Sums:
    """Loss and gradient sums over ``rows`` of one logit, in the dtype of ``X``.

    ``z = X @ w + b``, with ``b`` added in float64; ``dz = s (p - y)``; ``loss_sum = sum(s row_loss)``;
    ``dw_sum = X.T @ dz``; ``db_sum = sum(dz)``.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d), float32 or float64, dense or CSR.
    w : ndarray of shape (d,)
        Weights, float64, on the host.
    b : float
        Intercept.
    dtype : float32 or float64, optional
        Dtype to compute in, to which the rows are converted; that of ``X`` if None.
    loss_and_dz : function (z, y) -> row_loss, dz
        That of the loss; by default that of two classes.

    Returns
    -------
    Sums

    Examples
    --------
    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([1, 0]), None)
    >>> sums = reference_pass(rows, np.zeros(1), 0.0)
    >>> round(sums.loss_sum, 3), sums.dw_sum, sums.db_sum
    (1.386, array([-1.]), 0.0)
    """
    X, y, sample_weight = rows
    X = X.astype(dtype or X.dtype, copy=False)
    xp = array_namespace(X)
    z = ((X @ xp.asarray(w, dtype=X.dtype)).astype(xp.float64) + b).astype(X.dtype, copy=False)
    row_loss, dz = loss_and_dz(z, y)
    if sample_weight is not None:
        row_loss = row_loss * sample_weight
        dz = (dz * sample_weight).astype(X.dtype, copy=False)
    dw_sum = to_numpy(X.T @ dz).astype(np.float64)
    return Sums(float(row_loss.sum(dtype=xp.float64)), dw_sum, float(dz.sum(dtype=xp.float64)))


def reference_moments(rows: Rows) -> Moments:
    """Weighted sums of the columns and of their squares, in float64, from a copy of the block in float64."""
    X, _, sample_weight = rows
    xp = array_namespace(X)
    x = X.astype(xp.float64)
    s = xp.ones(x.shape[0]) if sample_weight is None else sample_weight.astype(xp.float64)
    return Moments(to_numpy(s @ x), to_numpy(s @ (x * x)))
