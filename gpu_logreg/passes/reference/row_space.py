"""Sums over few dense rows of many columns, all less one row: products with weights, sums, and the Gram matrix.

With ``m`` for that row, the ``centre``: ``W (x_i - m)`` for every row, ``sum_i v_i (x_i - m).T``, and the matrix
``G_il = (x_i - m) @ (x_l - m)``. For rows on the host. Products are computed in the dtype of the passes, their sums and
the Gram matrix in float64.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import GRAM, ROW_SPACE
from gpu_logreg.arrays.blocks import map_in_order, map_row_blocks, row_blocks
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["gram", "products_with_rows", "sums_of_rows"]


def products_with_rows(data: ResidentDataset, W: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``W (x_i - m)`` for every row, of shape (n, K); one walk.

    Parameters
    ----------
    data : ResidentDataset
    W : ndarray of shape (K, d)
    centre : ndarray of shape (d,)

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> data = ResidentDataset.from_arrays(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([0, 1]), None, Device("cpu"))
    >>> W, centre = np.array([[1.0, 10.0]]), np.array([1.0, 1.0])
    >>> products_with_rows(data, W, centre), sums_of_rows(data, np.array([[1.0], [2.0]]), centre), gram(data, centre)
    (array([[10.],
           [42.]]), array([[4., 9.]]), array([[ 1.,  4.],
           [ 4., 20.]]))
    """
    X, dtype = data.rows.X, data.compute_dtype
    weights = np.ascontiguousarray(W.T, dtype)
    Z = np.empty((data.n_rows, len(W)))

    def of_block(part: slice) -> None:
        Z[part] = X[part].astype(dtype, copy=False) @ weights

    map_row_blocks(of_block, X, ROW_SPACE, row_bytes=max(1, data.n_columns) * dtype.itemsize)
    Z -= centre @ weights  # of the weights as they were rounded
    return Z


def sums_of_rows(data: ResidentDataset, V: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``sum_i v_i (x_i - m).T``, of shape (K, d), for ``V`` of shape (n, K); one walk."""
    X, dtype = data.rows.X, data.compute_dtype
    numbers = np.ascontiguousarray(V.T, dtype)

    def of_block(part: slice) -> Float64Matrix:
        return np.asarray(numbers[:, part] @ X[part].astype(dtype, copy=False), np.float64)

    total: Float64Matrix = -np.multiply.outer(numbers.sum(axis=1, dtype=np.float64), centre)
    for sums in map_row_blocks(of_block, X, ROW_SPACE, row_bytes=max(1, data.n_columns) * dtype.itemsize):
        total += sums
    return total


def gram(data: ResidentDataset, centre: Float64Vector) -> Float64Matrix:
    """``(x_i - m) @ (x_l - m)`` of all pairs of rows, of shape (n, n); in float64."""
    X, n = data.rows.X, data.n_rows
    G = np.empty((n, n))
    parts = row_blocks(n, 8 * max(1, data.n_columns), GRAM.host)
    pairs = [(a, b) for a in range(len(parts)) for b in range(a + 1)]

    def of_pair(pair: tuple[int, int]) -> None:
        first, second = parts[pair[0]], parts[pair[1]]
        left = X[first] - centre
        right = left if first == second else X[second] - centre
        G[first, second] = left @ right.T
        if first != second:
            G[second, first] = G[first, second].T

    map_in_order(of_pair, pairs)
    return G
