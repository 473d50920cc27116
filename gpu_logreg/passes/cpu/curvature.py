"""The Hessian of K classes on the host: compiled, on the threads of the pool, each of which sums parts of the matrix.

Order of the sums: one thread sums an element over all rows in their order, whatever the number of threads.
"""

from __future__ import annotations

import itertools

import numpy as np

from gpu_logreg.arrays.block_sizes import PAIR_WEIGHTS as WEIGHT_BYTES
from gpu_logreg.arrays.blocks import map_in_order, n_threads
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import Float64Matrix, HostArray
from gpu_logreg.passes.cpu.classes import in_vectors
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE, FLUSH_ROWS

__all__ = ["multinomial_curvature_sum"]

_pair_weights = Loop("gpu_logreg.passes.cpu.loops.curvature", "pair_weights")
_sum_pairs = Loop("gpu_logreg.passes.cpu.loops.curvature", "sum_pairs")


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
    count = 4 * n_threads()
    tasks = [len(blocks) * k // count for k in range(count + 1)]
    for first in range(0, m, step):
        part = slice(first, min(m, first + step))
        block, block_s = U[part], s[part]
        n = len(block)
        edges = [*range(0, n, FLUSH_ROWS), n]

        def weigh(a: int, b: int, block: HostArray = block, block_s: HostArray = block_s) -> None:
            _pair_weights(vector, block, block_s, weights, intercepts, K, a, b, pairs)

        def add(a: int, b: int, block: HostArray = block, n: int = n) -> None:
            _sum_pairs((0,) * length, block, pairs[:n], a, b, blocks, totals)

        map_in_order(weigh, edges[:-1], edges[1:])
        map_in_order(add, tasks[:-1], tasks[1:])
    return _filled(totals, blocks, K, p)


def _filled(totals: HostArray, blocks: HostArray, K: int, p: int) -> Float64Matrix:
    """The whole Hessian, of shape (K p, K p), from the triangles of all pairs of classes."""
    a, b = np.repeat(blocks[:, 0], AT_ONCE), (blocks[:, 1:] + np.arange(AT_ONCE)).ravel()
    place, at = np.empty((p, p), np.intp), np.flatnonzero(b <= a)
    place[a[at], b[at]] = place[b[at], a[at]] = at
    of_pairs = totals.transpose(1, 3, 0, 2).reshape(-1, len(b))
    H, M = np.zeros((K, p, K, p)), np.empty((p, p))
    for (k, other), triangle in zip(itertools.combinations(range(K), 2), of_pairs, strict=False):  # then padding
        triangle.take(place, out=M, mode="clip")  # every place is inside
        H[k, :, k] += M
        H[other, :, other] += M
        np.negative(M, out=M)
        H[k, :, other] = H[other, :, k] = M
    return H.reshape(K * p, K * p)
