"""The compiled loops behind products with the Hessian over dense rows; release the GIL and add to float64 sums.

They are those of the gradient (`gpu_logreg.passes.cpu.loops.dense`, `gpu_logreg.passes.cpu.loops.classes`) with a
direction in the place of the weights and another formula between logits and sums, which takes no exponential: what it
needs of a row was kept when the point was visited. They see no labels, so that they are compiled for fewer kinds of
rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.classes import TILE_BYTES, TILE_ROWS
from gpu_logreg.passes.cpu.loops.dense import FLUSH_ROWS
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative
from gpu_logreg.passes.cpu.loops.vectors import (
    AT_ONCE,
    add_outer_product,
    add_outer_products,
    add_vector,
    dot_of,
    largest_of,
    logits_of_row,
    logits_of_rows,
    number_of_ones,
    scale,
    subtract,
    sum_of_smaller,
    weigh,
)

__all__ = ["fill_probabilities", "sum_products", "sum_products_of_classes"]

_OPTIONS: dict[str, Any] = {"cache": True, "fastmath": LIBERTIES | {"reassoc", "arcp"}}
# Without "reassoc": see `gpu_logreg.passes.cpu.loops.classes`.
_OF_CLASSES: dict[str, Any] = {"cache": True, "fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_products(X: Any, h: Any, v: Any, c: Any, dw: Any) -> Any:
    """``sum_i e_i x_i`` over C-ordered rows of two classes; ``sum_i e_i`` is returned.

    ``e_i = h_i (x_i @ v + c)``; ``c`` is float64 and is added as such. The arithmetic is that of ``v``, which may be
    wider than ``X``. ``dw``, float64 of shape (d,): the sums are added to it.
    """
    n, d = X.shape
    real = v.dtype.type
    block = 8
    e, acc = np.empty(block, v.dtype), np.zeros(d, v.dtype)
    dc, held = 0.0, 0
    for i in range(0, n, block):
        m = min(block, n - i)
        for k in range(m):
            row, dot = X[i + k], real(0)
            for j in range(d):
                dot += row[j] * v[j]
            e[k] = real(dot + c) * h[i + k]
            dc += e[k]
        if m == 8:
            x0, x1, x2, x3, x4, x5, x6, x7 = X[i], X[i + 1], X[i + 2], X[i + 3], X[i + 4], X[i + 5], X[i + 6], X[i + 7]
            a0, a1, a2, a3, a4, a5, a6, a7 = e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7]
            for j in range(d):
                low = a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
                acc[j] += low + (a4 * x4[j] + a5 * x5[j] + a6 * x6[j] + a7 * x7[j])
        else:
            for k in range(m):
                x0, a0 = X[i + k], e[k]
                for j in range(d):
                    acc[j] += a0 * x0[j]
        held += m
        if held >= FLUSH_ROWS or i + block >= n:
            for j in range(d):
                dw[j] += acc[j]
                acc[j] = 0
            held = 0
    return dc


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def _fill_logits(vector: Any, X: Any, at: Any, d: Any, m: Any, W: Any, b: Any, Z: Any) -> None:
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


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def fill_probabilities(vector: Any, X: Any, W: Any, b: Any, P: Any) -> None:
    """Probabilities of C-ordered rows, into ``P`` of shape (n, C L).

    ``W`` and ``b`` as for `gpu_logreg.passes.cpu.loops.classes.sum_rows_of_classes`; padding gets zeros.
    """
    (n, d), L, length = X.shape, len(vector), len(b)
    real = W.dtype.type
    flat, flat_W, flat_P = X.reshape(-1), W.reshape(-1), P.reshape(-1)
    for i in range(0, n, TILE_ROWS):
        m = min(TILE_ROWS, n - i)
        Z = flat_P[i * length : (i + m) * length]
        _fill_logits(vector, flat, i * d, d, m, flat_W, b, Z)
        for r in range(0, m * length, length):
            top = largest_of(vector, Z, r)
            for c in range(L, length, L):
                top = max(top, largest_of(vector, Z, r + c))
            for c in range(0, length, L):
                subtract(vector, Z, r + c, top)
        for k in range(m * length):
            Z[k] = exp_of_negative(Z[k])
        for r in range(0, m * length, length):
            rest, ones = real(0), -1
            for c in range(0, length, L):
                rest += sum_of_smaller(vector, Z, r + c)
                ones += number_of_ones(vector, Z, r + c)
            share = real(1) / (real(1) + (rest + real(ones)))
            for c in range(0, length, L):
                scale(vector, Z, r + c, share)


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def _curve(vector: Any, T: Any, P: Any, p_at: Any, m: Any, length: Any, s: Any, first: Any, dc: Any) -> None:
    """Turn the logits ``t`` of ``m`` rows by the direction into ``s (diag(p) - p p.T) t``, and add them to ``dc``.

    See `gpu_logreg.mathematics.softmax.curvature_product`. ``p_at``: the place of their probabilities in ``P``.
    """
    real = T.dtype.type
    L = len(vector)
    for i in range(m):
        row, p = i * length, p_at + i * length
        for _ in range(2):
            mean = real(0)
            for c in range(0, length, L):
                mean += dot_of(vector, P, p + c, T, row + c)
            for c in range(0, length, L):
                subtract(vector, T, row + c, mean)
        s_i = real(1) if s is None else real(s[first + i])
        for c in range(0, length, L):
            weigh(vector, T, row + c, P, p + c, s_i)
            add_vector(vector, dc, c, T, row + c)


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def sum_products_of_classes(vector: Any, X: Any, P: Any, s: Any, V: Any, c: Any, dw: Any, db: Any) -> None:
    """``sum_i e_i x_i.T`` and ``sum_i e_i`` over C-ordered rows of K classes.

    Parameters
    ----------
    vector : tuple
        Its length L is that of the vectors.
    X : array of shape (n, d)
        Of another dtype than ``V``, it is converted element by element on its way into a register.
    P : array of shape (n, C L)
        Probabilities, padded with zeros, of the dtype of ``V``.
    s : array of shape (n,) or None
    V : array of shape (C, d, L)
        The direction, in the dtype to compute in, L classes at a time, padded with zeros.
    c : float64 array of shape (C L,), padded with zeros
    dw, db : float64 arrays of the shapes of ``V`` and ``c``
        The sums are added to them.
    """
    (n, d), L, length = X.shape, len(vector), len(c)
    tile = max(AT_ONCE, min(TILE_ROWS, TILE_BYTES // max(1, d * V.itemsize)) // AT_ONCE * AT_ONCE)
    flat, flat_P, flat_V, flat_dw = X.reshape(-1), P.reshape(-1), V.reshape(-1), dw.reshape(-1)
    T, sums = np.empty(tile * length, V.dtype), np.zeros(d * length, V.dtype)
    held = 0
    for i in range(0, n, tile):
        m = min(tile, n - i)
        _fill_logits(vector, flat, i * d, d, m, flat_V, c, T)
        _curve(vector, T, flat_P, i * length, m, length, s, i, db)
        for k in range(0, length, L):
            j = 0
            while j + AT_ONCE <= d:
                add_outer_products(vector, flat, i * d + j, d, m, T, k, length, sums, k * d + j * L)
                j += AT_ONCE
            while j < d:
                add_outer_product(vector, flat, i * d + j, d, m, T, k, length, sums, k * d + j * L)
                j += 1
        held += m
        if held >= FLUSH_ROWS or i + tile >= n:
            for k in range(d * length):
                flat_dw[k] += sums[k]
                sums[k] = 0
            held = 0
