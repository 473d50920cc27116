"""The compiled loops behind products with the Hessian over dense rows; release the GIL and add to float64 sums.

They are those of the gradient (`gpu_logreg.passes.cpu.loops.dense`, `gpu_logreg.passes.cpu.loops.classes`) with a
direction in the place of the weights and another formula between logits and sums, which takes no exponential: what it
needs of a row was kept when the point was visited. There the same loops are given labels: they are compiled once more,
for gradient sums, and keep what the products need.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.classes import TILE_BYTES, TILE_ROWS, add_rows_times_dz, fill_logits, softmax_of_rows
from gpu_logreg.passes.cpu.loops.dense import PREFETCH_BYTES, prefetch
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, larger, log1p_up_to_one, row_terms, smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE, FLUSH_ROWS
from gpu_logreg.passes.cpu.loops.vectors import (
    add_vector,
    dot_of,
    largest_of,
    number_of_ones,
    scale,
    subtract,
    sum_of_smaller,
    weigh,
)

__all__ = ["fill_probabilities", "sum_kept_rows", "sum_kept_rows_of_classes"]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}}
# Without "reassoc": see `gpu_logreg.passes.cpu.loops.classes`.
_OF_CLASSES: dict[str, Any] = {"fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_kept_rows(X: Any, y: Any, s: Any, h: Any, v: Any, c: Any, dw: Any) -> Any:
    """``sum_i e_i x_i`` over C-ordered rows of two classes, added to ``dw``; ``(loss_sum, sum_i e_i)`` is returned.

    The arithmetic is that of ``v``, which may be wider than ``X``; ``c`` is float64 and is added as such.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,) or None
        Labels: ``v`` and ``c`` are a point, ``e_i = dz_i``, and ``h`` is filled. None: they are a direction,
        ``e_i = h_i (x_i @ v + c)``, and the loss is 0.
    s : array of shape (n,) or None
        Weights of the rows; of a direction they are in ``h``.
    h : array of shape (n,)
    v : array of shape (d,)
    c : float
    dw : float64 array of shape (d,)
    """
    n, d = X.shape
    real, flat_X = v.dtype.type, flat(X)
    per_line, ahead = 64 // X.itemsize, PREFETCH_BYTES // X.itemsize
    block = 8
    e, acc = scratch(block, v, 0), zeros(d, v)
    loss, dc, held = 0.0, 0.0, 0
    for i in range(0, n, block):
        m = smaller(block, n - i)
        for k in range(m):
            for offset in range(0, d, per_line):
                prefetch(flat_X, (i + k) * d + ahead + offset)
            row, dot = X[i + k], real(0)
            for j in range(d):
                dot += row[j] * v[j]
            e[k] = real(dot + c)
        if y is None:
            for k in range(m):
                e[k] *= h[i + k]
        else:
            for k in range(m):
                f, dz, linear = row_terms(e[k], real(y[i + k]))
                s_k = real(1) if s is None else real(s[i + k])
                loss += float((linear + log1p_up_to_one(f)) * s_k)
                h[i + k] = f / ((real(1) + f) * (real(1) + f)) * s_k
                e[k] = dz * s_k
        for k in range(m):
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
    release(e)
    release(acc)
    return loss, dc


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def _to_probabilities(vector: Any, P: Any, at: Any, m: Any, length: Any) -> None:
    """Turn the logits of ``m`` rows, from the place ``at`` of ``P`` on, into probabilities; padding becomes zeros."""
    L = len(vector)
    real = P.dtype.type
    for r in range(at, at + m * length, length):
        top = largest_of(vector, P, r)
        for c in range(L, length, L):
            top = larger(top, largest_of(vector, P, r + c))
        for c in range(0, length, L):
            subtract(vector, P, r + c, top)
    for k in range(at, at + m * length):
        P[k] = exp_of_negative(P[k])
    for r in range(at, at + m * length, length):
        rest, ones = real(0), -1
        for c in range(0, length, L):
            rest += sum_of_smaller(vector, P, r + c)
            ones += number_of_ones(vector, P, r + c)
        share = real(1) / (real(1) + (rest + real(ones)))
        for c in range(0, length, L):
            scale(vector, P, r + c, share)


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def fill_probabilities(vector: Any, X: Any, W: Any, b: Any, P: Any) -> None:
    """Probabilities of C-ordered rows, into ``P`` of shape (n, C L).

    ``W`` and ``b`` as for `gpu_logreg.passes.cpu.loops.classes.sum_rows_of_classes`; padding gets zeros.
    """
    (n, d), length = X.shape, len(b)
    flat_X, flat_W, flat_P = flat(X), flat(W), flat(P)
    for i in range(0, n, TILE_ROWS):
        m = smaller(TILE_ROWS, n - i)
        fill_logits(vector, flat_X, i * d, d, m, flat_W, b, flat_P[i * length : (i + m) * length])
        _to_probabilities(vector, flat_P, i * length, m, length)


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
        s_i = real(s[first + i]) if len(s) > 0 else real(1)
        for c in range(0, length, L):
            weigh(vector, T, row + c, P, p + c, s_i)
            add_vector(vector, dc, c, T, row + c)


@njit(**_OF_CLASSES)  # type: ignore[untyped-decorator]
def sum_kept_rows_of_classes(vector: Any, X: Any, y: Any, s: Any, P: Any, V: Any, c: Any, dw: Any, db: Any) -> Any:
    """``sum_i e_i x_i.T`` and ``sum_i e_i`` over C-ordered rows of K classes; the sum of their losses is returned.

    Parameters
    ----------
    vector : tuple
        Its length L is that of the vectors.
    X : array of shape (n, d)
        Of another dtype than ``V``, it is converted element by element on its way into a register.
    y : integer array of shape (n,) or None
        Numbers of the classes: ``V`` and ``c`` are a point, ``e_i = dz_i``, and ``P`` is filled. None: they are a
        direction, ``e_i = s_i (diag(p_i) - p_i p_i.T) (V x_i + c)``, and the loss is 0.
    s : array of shape (n,), or empty where every weight is one
    P : array of shape (n, C L)
        Probabilities, padded with zeros, of the dtype of ``V``.
    V : array of shape (C, d, L)
        In the dtype to compute in, L classes at a time, padded with zeros.
    c : float64 array of shape (C L,)
        Padded with minus infinity for a point, and with zeros for a direction.
    dw, db : float64 arrays of the shapes of ``V`` and ``c``
        The sums are added to them.
    """
    (n, d), length = X.shape, len(c)
    tile = larger(AT_ONCE, smaller(TILE_ROWS, TILE_BYTES // larger(1, d * V.itemsize)) // AT_ONCE * AT_ONCE)
    flat_X, flat_P, flat_V, flat_dw = flat(X), flat(P), flat(V), flat(dw)
    T, sums = scratch(tile * length, V, 0), zeros(d * length, V)
    below, loss, held = scratch(tile, V, 0), 0.0, 0
    for i in range(0, n, tile):
        m = smaller(tile, n - i)
        fill_logits(vector, flat_X, i * d, d, m, flat_V, c, T)
        if y is None:
            _curve(vector, T, flat_P, i * length, m, length, s, i, db)
        else:
            for k in range(m * length):
                flat_P[i * length + k] = T[k]
            _to_probabilities(vector, flat_P, i * length, m, length)
            loss += softmax_of_rows(vector, T, m, length, y, s, i, below, db)
        add_rows_times_dz(vector, flat_X, i * d, d, m, T, length, sums)
        held += m
        if held >= FLUSH_ROWS or i + tile >= n:
            for k in range(d * length):
                flat_dw[k] += sums[k]
                sums[k] = 0
            held = 0
    release(T)
    release(sums)
    release(below)
    return loss
