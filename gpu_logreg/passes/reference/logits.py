"""The logits of a linear model: for its predictions, a block at a time where the rows live; what follows from them."""

from __future__ import annotations

from gpu_logreg.arrays.block_sizes import GRADIENT
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import array_namespace, is_sparse
from gpu_logreg.arrays.vector import Array, ArrayOfRows, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import logistic, softmax
from gpu_logreg.passes.reference.sparse import sparse_logits

__all__ = ["at_contrasts", "row_logits"]


def row_logits(X: ArrayOfRows, W: Float64Matrix, b: Float64Vector, dtype: DTypeLike) -> Array:
    """``X @ W.T + b`` of dense or sparse rows.

    The arithmetic is float64: in float32, columns far from zero would cost digits of the logits.

    Parameters
    ----------
    X : array of shape (n, d)
    W : ndarray of shape (1, d) or (K, d), on the host
    b : ndarray of shape (1,) or (K,), on the host
    dtype : dtype
        Dtype of the logits.

    Returns
    -------
    array of shape (n,), or (n, K), where ``X`` lives

    Examples
    --------
    >>> import numpy as np
    >>> row_logits(np.array([[1.0, 2.0]]), np.array([[0.5, 1.0]]), np.array([0.25]), np.float32)
    array([2.75], dtype=float32)
    """
    xp = array_namespace(X)
    weights, intercepts = xp.ascontiguousarray(xp.asarray(W.T)), xp.asarray(b)
    if len(W) == 1:
        weights, intercepts = weights[:, 0], float(b[0])
    if is_sparse(X):
        return sparse_logits(X, weights, intercepts).astype(dtype, copy=False)
    z = xp.empty((X.shape[0], *weights.shape[1:]), dtype=dtype)

    def of_block(part: slice) -> None:
        z[part] = X[part].astype(xp.float64, copy=False) @ weights + intercepts

    map_row_blocks(of_block, X, GRADIENT, row_bytes=8 * X.shape[1])
    return z


def at_contrasts(Z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Losses, residuals and curvatures of rows, by the logits of their contrasts with the first class."""
    if Z.shape[1] == 1:
        row_loss, dz, h = logistic.loss_dz_and_curvature(Z[:, 0], y)
        return row_loss, -dz[:, None], h[:, None, None]
    xp = array_namespace(Z)
    Z = xp.concatenate([xp.zeros((len(Z), 1)), Z], axis=1)
    row_loss, dz = softmax.loss_and_dz(Z, y)
    P = softmax.softmax(Z)
    diagonal = softmax.curvature_diagonal(P)
    V, at = -P[:, 1:, None] * P[:, None, 1:], xp.arange(Z.shape[1] - 1)
    V[:, at, at] = diagonal[:, 1:]
    return row_loss, -dz[:, 1:], V
