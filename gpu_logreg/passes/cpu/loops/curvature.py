"""The compiled loops behind the Hessian of K classes; release the GIL.

Off the diagonal the K x K blocks are ``-sum_i s_i p_ik p_il u_i u_i.T``, symmetric, and a block on the diagonal is
minus the sum of the others in its row, because probabilities add up to one. So the Hessian follows from K (K - 1) / 2
triangles. They are sums of products of two columns, weighted by products of two probabilities: a product of the matrix
of the former, one row for every row of ``X``, with the matrix of the latter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.dense import FLUSH_ROWS
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative
from gpu_logreg.passes.cpu.loops.vectors import (
    AT_ONCE,
    add_outer_products,
    largest_of,
    logits_of_row,
    multiply_into,
    subtract,
)

__all__ = ["fill_hessian", "pair_weights", "sum_pairs"]

TILE_ROWS = 128
"""Rows whose products of two columns are kept in the first-level cache, for all pairs of classes."""

ATS = (0,) * AT_ONCE
"""A tuple whose length, `AT_ONCE`, is that of the vectors of `multiply_into`."""

_OPTIONS: dict[str, Any] = {"cache": True, "fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def pair_weights(vector: Any, U: Any, s: Any, Phi: Any, b: Any, K: Any, first: Any, last: Any, out: Any) -> None:
    """``out[i, q] = s_i p_ik p_il`` of the q-th pair ``k < l``, for the rows ``first`` to ``last``.

    ``Phi`` and ``b`` are the weights and intercepts in vectors, as for the pass; ``out`` has whole vectors of pairs,
    and zeros where there is no pair.
    """
    p, L, length = U.shape[1], len(vector), len(b)
    real = U.dtype.type
    flat, flat_Phi, Z = U.reshape(-1), Phi.reshape(-1), np.empty(length, U.dtype)
    for i in range(first, last):
        for c in range(0, length, L):
            logits_of_row(vector, flat, i * p, p, flat_Phi, c * p, b, c, Z, c, length)
        top = largest_of(vector, Z, 0)
        for c in range(L, length, L):
            top = max(top, largest_of(vector, Z, c))
        for c in range(0, length, L):
            subtract(vector, Z, c, top)
        total = real(0)
        for k in range(K):
            Z[k] = exp_of_negative(Z[k])
            total += Z[k]
        for k in range(K):
            Z[k] /= total
        row, q = out[i], 0
        for k in range(K - 1):
            weight = real(Z[k] * real(s[i]))
            for l in range(k + 1, K):  # noqa: E741 - the letter of the formula
                row[q] = weight * Z[l]
                q += 1
        for r in range(q, len(row)):
            row[r] = 0


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_pairs(vector: Any, U: Any, weights: Any, first: Any, last: Any, blocks: Any, totals: Any) -> None:
    """Add ``sum_i weights[i, q] u_ia u_ib`` over all rows to ``totals[block, q // L, b - blocks[block, 1], q % L]``.

    Parameters
    ----------
    vector : tuple
        Its length L divides the number of pairs Q.
    U : array of shape (m, p), C order
    weights : array of shape (m, Q), C order
    first, last : int
        Of the blocks, those to work on.
    blocks : integer array of shape (n_blocks, 2)
        A column ``a``, and the first of `AT_ONCE` columns ``b``; those beyond the last column give zeros.
    totals : float64 array of shape (n_blocks, Q // L, AT_ONCE, L)
    """
    m, p = U.shape
    flat = U.reshape(-1)
    L, Q = len(vector), weights.shape[1]
    products, flat_weights = np.zeros(TILE_ROWS * AT_ONCE, U.dtype), weights.reshape(-1)
    sums = np.zeros((last - first) * AT_ONCE * Q, U.dtype)
    flat_totals = totals[first:last].reshape(-1)
    for start in range(0, m, TILE_ROWS):
        n = min(TILE_ROWS, m - start)
        for block in range(first, last):
            a, b = blocks[block, 0], blocks[block, 1]
            wide = min(AT_ONCE, p - b)
            if wide == AT_ONCE:
                for r in range(n):
                    row = (start + r) * p
                    multiply_into(ATS, flat, row + b, row + a, products, r * AT_ONCE)
            else:
                for r in range(n):
                    row = (start + r) * p
                    for j in range(AT_ONCE):
                        products[r * AT_ONCE + j] = flat[row + a] * flat[row + b + j] if j < wide else 0
            for c in range(0, Q, L):
                # The sums of one block: a vector of L pairs after another, and for each of them its AT_ONCE columns.
                at = (block - first) * AT_ONCE * Q + c * AT_ONCE
                add_outer_products(vector, products, 0, AT_ONCE, n, flat_weights, start * Q + c, Q, sums, at)
        if (start // TILE_ROWS + 1) * TILE_ROWS % FLUSH_ROWS == 0 or start + TILE_ROWS >= m:
            for k in range(len(sums)):
                flat_totals[k] += sums[k]
                sums[k] = 0


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_hessian(totals: Any, blocks: Any, length: Any, H: Any) -> None:
    """The whole ``H`` of shape (K, p, K, p), zero at first, from the triangles of all pairs.

    ``totals`` as for `sum_pairs`, in vectors of ``length`` pairs, each with its `AT_ONCE` columns.
    """
    K, p = H.shape[0], H.shape[1]
    M = np.empty((p, p))
    q = -1
    for k in range(K - 1):
        for l in range(k + 1, K):  # noqa: E741 - the letter of the formula
            q += 1
            c, lane = q // length, q % length
            for block in range(len(blocks)):
                a, b = blocks[block, 0], blocks[block, 1]
                for j in range(min(AT_ONCE, a + 1 - b)):
                    value = totals[block, c, j, lane]
                    M[a, b + j] = value
                    M[b + j, a] = value
            for a in range(p):
                for b in range(p):
                    H[k, a, l, b] = -M[a, b]
                    H[l, a, k, b] = -M[a, b]
                    H[k, a, k, b] += M[a, b]
                    H[l, a, l, b] += M[a, b]
