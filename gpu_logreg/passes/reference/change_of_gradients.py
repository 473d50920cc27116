"""How the gradients of many models change over steps, on a sample of the rows."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import HESSIAN
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, IntVector
from gpu_logreg.mathematics.logistic import dz_in_place
from gpu_logreg.rows.block import Rows

__all__ = ["change_of_gradients"]


def change_of_gradients(rows: Rows, starts: Float64Matrix, begins: IntVector, moves: Float64Matrix) -> Float64Matrix:
    """``sum_i s_i (p_i(phi + move) - p_i(phi)) u_i`` of two classes for every move; labels cancel.

    The logits of a move are a product of their own: what is lost of a small change is the rounding of probabilities.

    Parameters
    ----------
    rows : Rows
        In standardised columns: the rows ``u``, and their weights.
    starts : ndarray of shape (F, p)
        Points ``phi``.
    begins : ndarray of shape (M,)
        Number of the point that each move begins at.
    moves : ndarray of shape (M, p)

    Returns
    -------
    ndarray of shape (M, p)

    Examples
    --------
    >>> rows = Rows(np.array([[1.0], [2.0]]), np.array([0, 1]), np.array([1.0, 0.5]))
    >>> change_of_gradients(rows, np.zeros((1, 1)), np.array([0]), np.array([[0.1]])).round(4)
    array([[0.0748]])
    """
    xp, dtype = array_namespace(rows.X), rows.X.dtype
    at, by, begins = xp.asarray(starts.T, dtype=dtype), xp.asarray(moves.T, dtype=dtype), xp.asarray(begins)
    assert rows.sample_weight is not None
    s = rows.sample_weight.astype(dtype, copy=False)

    def of_block(part: slice) -> Array:
        U, nothing = rows.X[part], xp.zeros(part.stop - part.start, dtype=dtype)
        before = U @ at
        after = before[:, begins]
        after += U @ by
        dz_in_place(after, nothing)
        after -= dz_in_place(before, nothing)[:, begins]
        after *= s[part, None]
        return to_numpy(after.T @ U)

    total = np.zeros(moves.shape)
    for of_rows in map_row_blocks(of_block, rows.X, HESSIAN):
        total += of_rows
    return total
