"""The compiled loops behind the Hessian of K classes; release the GIL.

Off the diagonal the K x K blocks are ``-sum_i s_i p_ik p_il u_i u_i.T``, symmetric, and a block on the diagonal is
minus the sum of the others in its row, because probabilities add up to one. So the Hessian follows from K (K - 1) / 2
triangles. They are sums of products of two columns, weighted by products of two probabilities: a product of the matrix
of the former, one row for every row of ``X``, with the matrix of the latter.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, larger, smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE, FLUSH_ROWS
from gpu_logreg.passes.cpu.loops.vectors import (
    add_outer_products,
    largest_of,
    logits_of_row,
    multiply_into,
    subtract,
)

__all__ = ["pair_weights", "sum_pairs"]

TILE_ROWS = 128
"""Rows whose products of two columns are kept in the first-level cache, for all pairs of classes."""

ATS = (0,) * AT_ONCE
"""A tuple whose length, `AT_ONCE`, is that of the vectors of `multiply_into`."""

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def pair_weights(vector: Any, U: Any, s: Any, Phi: Any, b: Any, K: Any, first: Any, last: Any, out: Any) -> None:
    """``out[i, q] = s_i p_ik p_il`` of the q-th pair ``k < l``, for the rows ``first`` to ``last``.

    ``Phi`` and ``b`` are the weights and intercepts in vectors, as for the pass; ``out`` has whole vectors of pairs,
    and zeros where there is no pair.
    """
    p, L, length = U.shape[1], len(vector), len(b)
    real = U.dtype.type
    flat_U, flat_Phi, Z = flat(U), flat(Phi), scratch(length, U, 0)
    for i in range(first, last):
        for c in range(0, length, L):
            logits_of_row(vector, flat_U, i * p, p, flat_Phi, c * p, b, c, Z, c, length)
        top = largest_of(vector, Z, 0)
        for c in range(L, length, L):
            top = larger(top, largest_of(vector, Z, c))
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
    release(Z)


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
    flat_U = flat(U)
    L, Q = len(vector), weights.shape[1]
    products, flat_weights = zeros(TILE_ROWS * AT_ONCE, U), flat(weights)
    sums = zeros((last - first) * AT_ONCE * Q, U)
    flat_totals = flat(totals[first:last])
    for start in range(0, m, TILE_ROWS):
        n = smaller(TILE_ROWS, m - start)
        for block in range(first, last):
            a, b = blocks[block, 0], blocks[block, 1]
            wide = smaller(AT_ONCE, p - b)
            if wide == AT_ONCE:
                for r in range(n):
                    row = (start + r) * p
                    multiply_into(ATS, flat_U, row + b, row + a, products, r * AT_ONCE)
            else:
                for r in range(n):
                    row = (start + r) * p
                    for j in range(AT_ONCE):
                        products[r * AT_ONCE + j] = flat_U[row + a] * flat_U[row + b + j] if j < wide else 0
            for c in range(0, Q, L):
                # The sums of one block: a vector of L pairs after another, and for each of them its AT_ONCE columns.
                at = (block - first) * AT_ONCE * Q + c * AT_ONCE
                add_outer_products(vector, products, 0, AT_ONCE, n, flat_weights, start * Q + c, Q, sums, at)
        if (start // TILE_ROWS + 1) * TILE_ROWS % FLUSH_ROWS == 0 or start + TILE_ROWS >= m:
            for k in range(len(sums)):
                flat_totals[k] += sums[k]
                sums[k] = 0
    release(products)
    release(sums)
