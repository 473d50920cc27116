"""The Hessian of the loss over the rows of a sample, by products of a block of rows at a time.

For two classes it is ``sum_i s_i p_i (1 - p_i) u_i u_i.T``. For K classes it is
``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, which is summed as it is, or approximated by the Kronecker product
of the mean factors (J. Martens and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate
curvature", 2015).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.block_sizes import HESSIAN
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, ArrayNamespace, DTypeLike, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.rows.block import Rows

__all__ = [
    "DEVICE_FACTOR_P",
    "binary_curvature",
    "classes_curvature",
    "curvature_sums",
    "mean_factors",
]

DEVICE_FACTOR_P = 512
"""Number of parameters from which the Hessian of rows on a GPU is kept and factored on the GPU.

With fewer, the host factors it in a few milliseconds, while each ``solve(v)`` on a GPU costs copies and launches. Not
measured on a GPU.
"""


def curvature_sums(U: Array, h: Array, sample_weight: Array, xp: ArrayNamespace = np) -> Array:
    """``sum_i s_i h_i u_i u_i.T`` of a block of rows, by one symmetric product.

    Parameters
    ----------
    U : floating array of shape (n, p)
        Rows, in the coordinates of the Hessian.
    h : array of shape (n,)
        Second derivative of the loss of every row by its logit: ``p_i (1 - p_i)`` for two classes.
    sample_weight : array of shape (n,)
    xp : module
        NumPy or CuPy, whichever these are arrays of.

    Returns
    -------
    array of shape (p, p), dtype of ``U``, where ``U`` lives

    Examples
    --------
    >>> curvature_sums(np.array([[1.0, 2.0]]), np.array([0.25]), np.array([4.0]))
    array([[1., 2.],
           [2., 4.]])
    """
    root = xp.sqrt(sample_weight * h).astype(U.dtype, copy=False)
    A = U * root[:, None]
    return A.T @ A


def binary_curvature(
    rows: Rows,
    phi: Float64Vector,
    dtype: DTypeLike | None,
    row_curvature: Callable[[Array, Array], Array],
    of_rows: ArrayNamespace = np,
) -> Array:
    """``sum_i s_i h_i u_i u_i.T`` of all rows of a sample, in float64.

    On the host for fewer than `DEVICE_FACTOR_P` parameters, else where the rows are.

    Parameters
    ----------
    rows : Rows
    phi : ndarray of shape (p,)
    dtype : float32, float64 or None
        Dtype to compute in; that of the rows if None.
    row_curvature : function (z, y) -> h
        Second derivative of the loss of every row by its logit.
    of_rows : module
        NumPy or CuPy, whichever the rows are arrays of.
    """
    U, y, sample_weight = rows
    assert sample_weight is not None
    dtype = np.dtype(dtype or U.dtype)
    p = U.shape[1]
    xp = np if p < DEVICE_FACTOR_P else of_rows
    weights = of_rows.asarray(phi, dtype=U.dtype)

    def of_block(part: slice) -> Array:
        block = U[part].astype(dtype, copy=False)
        z = U[part] @ weights
        sums = curvature_sums(block, row_curvature(z, y[part]), sample_weight[part], of_rows)
        return to_numpy(sums) if xp is np else sums

    total = xp.zeros((p, p))
    for block in map_row_blocks(of_block, U, HESSIAN, row_bytes=p * U.dtype.itemsize, least_rows=2 * p):
        total += block
    return total


def classes_curvature(loss: Loss, rows: Rows, phi: Float64Vector) -> Float64Matrix:
    """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, of shape (K p, K p), on the host in float64.

    Only the blocks of pairs k < l are computed: those on the diagonal are minus the sums of the others in their row.
    """
    U, sample_weight = rows.X, rows.sample_weight
    assert sample_weight is not None
    p = U.shape[1]
    K = len(phi) // p

    def of_block(part: slice) -> Array:
        block, P = _probabilities(loss, rows, phi, part)
        xp, s = array_namespace(block), sample_weight[part]
        blocks = xp.zeros((K, K, p, p), dtype=block.dtype)
        for k in range(K):
            weighted = block * (s * P[:, k]).astype(block.dtype)[:, None]
            for l in range(k + 1, K):  # noqa: E741 - the letter of the formula
                product = (block * P[:, l][:, None]).T @ weighted
                blocks[k, l] = blocks[l, k] = -product
                blocks[k, k] += product
                blocks[l, l] += product
        return to_numpy(blocks)  # one copy for the block: each copy waits for the device

    total = np.zeros((K, K, p, p))
    for blocks in map_row_blocks(of_block, U, HESSIAN, row_bytes=p * U.dtype.itemsize, least_rows=4 * p):
        total += blocks
    return total.transpose(0, 2, 1, 3).reshape(K * p, K * p)


def mean_factors(loss: Loss, rows: Rows, phi: Float64Vector) -> tuple[Float64Matrix, Float64Matrix, float]:
    """``sum_i t_i u_i u_i.T``, ``sum_i s_i (diag(p_i) - p_i p_i.T)`` and ``sum_i t_i``, on the host in float64.

    With ``t_i = s_i (1 - |p_i|**2)``, the trace of the curvature by the logits.
    """
    U, sample_weight = rows.X, rows.sample_weight
    assert sample_weight is not None
    p, xp = U.shape[1], array_namespace(U)
    K = len(phi) // p

    def of_block(part: slice) -> tuple[Array, Array, Array, float]:
        block, P = _probabilities(loss, rows, phi, part)
        s = sample_weight[part].astype(block.dtype)
        trace = s * xp.maximum(1 - (P * P).sum(axis=1), 0)  # rounding may make it negative
        weighted = s[:, None] * P
        # BLAS computes only half of the product of a matrix with itself.
        rooted = block * xp.sqrt(trace)[:, None]
        sums = rooted.T @ rooted, weighted.sum(axis=0), weighted.T @ P
        A, mean, square = sums if xp is np else map(to_numpy, sums)
        return A.astype(np.float64), mean, square, float(trace.sum())

    A, mean, square, trace = np.zeros((p, p)), np.zeros(K), np.zeros((K, K)), 0.0
    parts = map_row_blocks(of_block, U, HESSIAN, row_bytes=p * U.dtype.itemsize, least_rows=4 * K)
    for A_block, mean_block, square_block, trace_block in parts:
        A, mean, square, trace = A + A_block, mean + mean_block, square + square_block, trace + trace_block
    return A, np.diag(mean) - square, trace


def _probabilities(loss: Loss, rows: Rows, phi: Float64Vector, part: slice) -> tuple[Array, Array]:
    """The rows of a block and their probabilities."""
    U, block = rows.X, rows.X[part]
    xp = array_namespace(U)
    by_class = xp.asarray(phi.reshape(-1, U.shape[1]).T, dtype=U.dtype)
    Z = block @ by_class
    if loss.has_offset:
        Z = loss.logits_and_labels(Z, rows.y[part])[0]
    return block, softmax.softmax(Z)
