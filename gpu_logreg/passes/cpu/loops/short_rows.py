"""The compiled loop of the CPU pass for rows of few columns; releases the GIL and writes float64 sums into ``out``.

The compiler's own vector loops are made for long rows: over a row of one or two registers they spend most of their time
in the scalar code for the last elements. Here a row is read in whole registers. The last of them reaches into the rows
behind it: there the weights are zero, and the sums of the gradient are not used. The last rows of ``X`` have nothing
behind them and are read element by element. A tile computes the logits of as many rows at once as a register has
elements, whose registers are added crosswise into one that holds the sums of all of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import larger, log1p_up_to_one, row_terms, smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.sizes import FLUSH_ROWS, LOG_ROWS
from gpu_logreg.passes.cpu.loops.vectors import add_rows, logits_of_short_rows

__all__ = ["TILE_ROWS", "sum_short_rows"]

TILE_ROWS = 128
"""Rows whose logits are computed before their gradient: at most 32 KB, so that they are still in the first-level cache.

It divides `LOG_ROWS` and `FLUSH_ROWS` of `dense`, and decides the order of additions, and so the bits.
"""

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _losses_and_dz(z: Any, m: Any, y: Any, s: Any, first: Any) -> Any:
    """Turn the logits of ``m`` rows into ``dz = s (p - y)``; the sums of ``s row_loss`` and of ``dz``.

    As `dense.sum_rows`; without weights the logarithms of all ``1 + e`` are one, of their product. Labels and weights
    are looked up by unsigned numbers: for a signed one, which may count from the end, the compiler takes what lies as
    far behind the array as it is long for a part of it, and adds in another order where the logits lie there.
    """
    real = z.dtype.type
    loss, db, product = 0.0, 0.0, 1.0
    if len(s) > 0:
        for i in range(m):
            e, dz, linear = row_terms(z[i], real(y[np.uintp(first + i)]))
            dz *= real(s[np.uintp(first + i)])
            loss += float(linear + log1p_up_to_one(e)) * s[np.uintp(first + i)]
            z[i] = dz
            db += dz
    else:
        for i in range(m):
            e, dz, linear = row_terms(z[i], real(y[np.uintp(first + i)]))
            product *= 1.0 + float(e)
            loss += linear
            z[i] = dz
            db += dz
    return loss, db, product


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _add_by_row(X: Any, at: Any, d: Any, m: Any, dz: Any, acc: Any) -> None:
    """Add the share of ``m`` rows to the gradient; no element behind them is read."""
    for i in range(m):
        for j in range(d):
            acc[j] += dz[i] * X[at + i * d + j]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_short_rows(
    vector: Any, X: Any, y: Any, s: Any, w: Any, b: Any, first: Any, last: Any, chunk: Any, out: Any
) -> None:
    """As `dense.sum_rows`, for rows of at most `sizes.SHORT_ROW_BYTES`; ``w`` is padded with zeros to whole vectors."""
    d, length = X.shape[1], len(vector)
    real = X.dtype.type
    flat_X, padded = flat(X), len(w)
    safe = larger(0, (flat_X.size - padded) // d + 1)  # of the first so many rows all vectors lie within X
    z, acc = scratch(TILE_ROWS, X, 2 * larger(TILE_ROWS, chunk)), zeros(padded, X)
    for q in range((last - first + chunk - 1) // chunk):
        begin = first + q * chunk
        end = smaller(last, begin + chunk)
        for j in range(d + 2):
            out[q, j] = 0.0
        loss, db, product = 0.0, 0.0, 1.0
        held, logged, i = 0, 0, begin
        while i < end:
            m = smaller(TILE_ROWS, end - i)
            whole = larger(0, smaller(m, safe - i)) // length * length
            for k in range(0, whole, length):
                logits_of_short_rows(vector, flat_X, (i + k) * d, d, w, padded, b, z, k)
            for k in range(whole, m):
                dot = real(0)
                for j in range(d):
                    dot += flat_X[(i + k) * d + j] * w[j]
                z[k] = real(dot + b)
            tile_loss, tile_db, tile_product = _losses_and_dz(z, m, y, s, i)
            loss, db, product = loss + tile_loss, db + tile_db, product * tile_product
            for c in range(0, padded, length):
                add_rows(vector, flat_X, i * d + c, d, whole, z, acc, c)
            _add_by_row(flat_X, (i + whole) * d, d, m - whole, z[whole:], acc)
            i += m
            held += m
            logged += m
            if logged >= LOG_ROWS:
                loss += math.log(product)
                product, logged = 1.0, 0
            if held >= FLUSH_ROWS or i >= end:
                for j in range(d):
                    out[q, j] += acc[j]
                for j in range(padded):
                    acc[j] = 0
                held = 0
        out[q, d] = db
        out[q, d + 1] = loss + math.log(product)
    release(z)
    release(acc)
