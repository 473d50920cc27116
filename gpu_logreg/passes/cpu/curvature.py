"""The Hessian of K classes on the host: compiled, on the threads of the pool, each of which sums parts of the matrix.

Order of the sums: one thread sums an element over all rows in their order, whatever the number of threads.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import PAIR_WEIGHTS as WEIGHT_BYTES
from gpu_logreg.arrays.blocks import map_in_order, n_threads
from gpu_logreg.arrays.vector import Float64Matrix, HostArray
from gpu_logreg.passes.cpu.classes import in_vectors

__all__ = ["multinomial_curvature_sum"]


def multinomial_curvature_sum(U: HostArray, s: HostArray, Phi: Float64Matrix) -> Float64Matrix:
    """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T`` over all rows.

    Parameters
    ----------
    U : ndarray of shape (m, p), float32 or float64
        Rows; products are computed in their dtype, and sums in float64.
    s : ndarray of shape (m,)
        Weights of the rows.
    Phi : ndarray of shape (K, p)
        Parameters of every class, for the columns of ``U``.

    Returns
    -------
    ndarray of shape (K p, K p), float64
    """
    from gpu_logreg.passes.cpu.loops.curvature import fill_hessian, pair_weights, sum_pairs
    from gpu_logreg.passes.cpu.loops.dense import FLUSH_ROWS
    from gpu_logreg.passes.cpu.loops.vectors import AT_ONCE

    U = np.ascontiguousarray(U)
    (m, p), K = U.shape, len(Phi)
    vector, weights, intercepts = in_vectors(Phi, np.zeros(K), U.dtype)
    n_pairs = K * (K - 1) // 2
    length = 4 if n_pairs <= 4 else 8 if n_pairs <= 8 else 16
    Q = -(-n_pairs // length) * length
    blocks = np.array([(a, b) for a in range(p) for b in range(0, a + 1, AT_ONCE)])
    totals = np.zeros((len(blocks), Q // length, AT_ONCE, length))
    step = max(1, WEIGHT_BYTES // (Q * U.itemsize) // FLUSH_ROWS) * FLUSH_ROWS
    pairs = np.empty((min(m, step), Q), U.dtype)
    tasks = [len(blocks) * k // (4 * n_threads()) for k in range(4 * n_threads() + 1)]
    for first in range(0, m, step):
        part = slice(first, min(m, first + step))
        block, block_s = U[part], s[part]
        n = len(block)
        edges = [*range(0, n, FLUSH_ROWS), n]

        def weigh(a: int, b: int, block: HostArray = block, block_s: HostArray = block_s) -> None:
            pair_weights(vector, block, block_s, weights, intercepts, K, a, b, pairs)

        def add(a: int, b: int, block: HostArray = block, n: int = n) -> None:
            sum_pairs((0,) * length, block, pairs[:n], a, b, blocks, totals)

        map_in_order(weigh, edges[:-1], edges[1:])
        map_in_order(add, tasks[:-1], tasks[1:])
    H = np.zeros((K, p, K, p))
    fill_hessian(totals, blocks, length, H)
    return H.reshape(K * p, K * p)
