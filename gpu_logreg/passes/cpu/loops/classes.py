"""The compiled loop of the CPU pass for K logits; releases the GIL and adds to float64 sums.

As for two classes, a tile of a few rows is read into the first-level cache for its logits, losses and ``dZ``, and read
once more from there for its share of the gradient. The logits of a row lie next to each other, in vectors that stay in
registers (`gpu_logreg.passes.cpu.loops.vectors`). They are padded to whole vectors with logits of minus infinity, whose
exponentials, and so probabilities, are zero.
"""

from __future__ import annotations

import math
from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, larger, smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE, FLUSH_ROWS
from gpu_logreg.passes.cpu.loops.vectors import (
    add_outer_product,
    add_outer_products,
    add_vector,
    largest_of,
    logits_of_row,
    logits_of_rows,
    number_of_ones,
    scale,
    subtract,
    sum_of_smaller,
)

__all__ = ["add_rows_times_dz", "fill_logits", "softmax_of_rows", "sum_rows_of_classes"]

TILE_BYTES, TILE_ROWS = 2**15, 64
"""Most bytes, and most rows, of a tile: 32 KB, the size of most first-level caches, from which it is read again.

Both decide the order of additions, and so the bits.
"""

# Without "nnan" and "ninf": a NaN in a row has to reach the sums. Without "reassoc": `exp_of_negative` adds a large
# number and subtracts it again to round, and a compiler that may reorder additions would remove both.
_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def softmax_of_rows(vector: Any, Z: Any, m: Any, length: Any, y: Any, s: Any, first: Any, below: Any, db: Any) -> Any:
    """Turn the logits of ``m`` rows into ``dZ = s (P - Y)``; the sum of ``s row_loss``.

    With the largest logit ``t``, ``e_k = exp(z_k - t)`` and ``rest`` the sum of ``e_k`` without the largest:
    ``row_loss = log(1 + rest) - (z_y - t)``, ``p_k = e_k / (1 + rest)``. Of the class of the row, if it is the largest,
    ``p_y - 1 = -rest / (1 + rest)``, which keeps its digits.
    """
    real = Z.dtype.type
    L, one, weighted = len(vector), real(1), len(s) > 0
    for i in range(m):
        row = i * length
        top = largest_of(vector, Z, row)
        for c in range(L, length, L):
            top = larger(top, largest_of(vector, Z, row + c))
        for c in range(0, length, L):
            subtract(vector, Z, row + c, top)
        below[i] = Z[row + y[first + i]]
    for k in range(m * length):
        Z[k] = exp_of_negative(Z[k])
    loss, product = 0.0, 1.0
    for i in range(m):
        row, rest, ones = i * length, real(0), -1
        for c in range(0, length, L):
            rest += sum_of_smaller(vector, Z, row + c)
            ones += number_of_ones(vector, Z, row + c)
        rest += real(ones)
        share = one / (one + rest)
        s_i = float(s[first + i]) if weighted else 1.0
        place = row + y[first + i]
        dz_y = -(rest * share) if below[i] == real(0) else Z[place] * share - one
        if not weighted:
            # One logarithm is taken of the product of many 1 + rest. A tiny rest would be lost in 1 + rest: it adds the
            # first two terms of its logarithm's series. From 1e200 one more factor cannot overflow.
            small = rest < real(1e-8)
            loss += float(rest - real(0.5) * rest * rest if small else real(0)) - float(below[i])
            product *= 1.0 + float(real(0) if small else rest)
            if product > 1e200:
                loss += math.log(product)
                product = 1.0
        else:
            loss += s_i * (math.log1p(float(rest)) - float(below[i]))
            share = real(share * s_i)
            dz_y = real(dz_y * s_i)
        for c in range(0, length, L):
            scale(vector, Z, row + c, share)
        Z[place] = dz_y
        for c in range(0, length, L):
            add_vector(vector, db, c, Z, row + c)
    return loss + math.log(product)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_logits(vector: Any, X: Any, at: Any, d: Any, m: Any, W: Any, b: Any, Z: Any) -> None:
    """Logits of ``m`` rows, the first of which is at ``at`` in the flat ``X``, of length ``len(b)`` each."""
    L, length = len(vector), len(b)
    for c in range(0, length, L):
        r = 0
        while r + AT_ONCE <= m:
            logits_of_rows(vector, X, at + r * d, d, W, c * d, b, c, Z, r * length + c, length)
            r += AT_ONCE
        while r < m:
            logits_of_row(vector, X, at + r * d, d, W, c * d, b, c, Z, r * length + c, length)
            r += 1


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_rows_times_dz(vector: Any, X: Any, at: Any, d: Any, m: Any, Z: Any, length: Any, sums: Any) -> None:
    """Add ``sum_i dz_i x_i.T`` of ``m`` rows, the first of which is at ``at`` in the flat ``X``."""
    L = len(vector)
    for c in range(0, length, L):
        j = 0
        while j + AT_ONCE <= d:
            add_outer_products(vector, X, at + j, d, m, Z, c, length, sums, c * d + j * L)
            j += AT_ONCE
        while j < d:
            add_outer_product(vector, X, at + j, d, m, Z, c, length, sums, c * d + j * L)
            j += 1


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _sum_tile(
    vector: Any, X: Any, at: Any, d: Any, m: Any, W: Any, b: Any, y: Any, s: Any, first: Any, Z: Any, below: Any,
    sums: Any, db: Any,
) -> Any:  # fmt: skip
    """Loss of ``m`` rows, the first of which is at ``at`` in the flat ``X`` and the ``first`` of ``y`` and ``s``."""
    length = len(b)
    fill_logits(vector, X, at, d, m, W, b, Z)
    loss = softmax_of_rows(vector, Z, m, length, y, s, first, below, db)
    add_rows_times_dz(vector, X, at, d, m, Z, length, sums)
    return loss


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_rows_of_classes(
    vector: Any, X: Any, y: Any, s: Any, W: Any, b: Any, first: Any, last: Any, dw: Any, db: Any
) -> Any:
    """Loss and gradient sums of the rows ``first`` to ``last`` of a C-ordered ``X``; the loss is returned.

    Parameters
    ----------
    vector : tuple
        Its length L is that of the vectors.
    X : array of shape (n, d)
        Of another dtype than ``W``, it is converted element by element on its way into a register.
    y : integer array of shape (n,)
    s : array of shape (n,), or empty where every weight is one
    W : array of shape (C, d, L)
        In the dtype to compute in: weights of L classes at a time, padded with zeros.
    b : float64 array of shape (C L,)
        Intercepts, padded with minus infinity.
    dw, db : float64 arrays of the shapes of ``W`` and ``b``
        The sums are added to them.
    """
    d = X.shape[1]
    length = len(b)
    tile = larger(AT_ONCE, smaller(TILE_ROWS, TILE_BYTES // larger(1, d * W.itemsize)) // AT_ONCE * AT_ONCE)
    flat_X, flat_W, flat_dw = flat(X), flat(W), flat(dw)
    Z, below, sums = scratch(tile * length, W, 0), scratch(tile, W, 0), zeros(d * length, W)
    loss, held = 0.0, 0
    for i in range(first, last, tile):
        m = smaller(tile, last - i)
        loss += _sum_tile(vector, flat_X, i * d, d, m, flat_W, b, y, s, i, Z, below, sums, db)
        held += m
        if held >= FLUSH_ROWS or i + tile >= last:
            for k in range(d * length):
                flat_dw[k] += sums[k]
                sums[k] = 0
            held = 0
    release(Z)
    release(below)
    release(sums)
    return loss
