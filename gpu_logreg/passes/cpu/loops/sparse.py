"""Compiled loops over CSR rows; every function releases the GIL and computes in float64.

A row is read for its logit and, from the first-level cache, once more for its share of the gradient. Weights and sums
are looked up by the number of a column, which takes most of the time. Numbers of columns are converted to unsigned
ones: for a signed index Numba tests whether it is negative and counts from the end. That none is, and none beyond the
last column, was checked by `gpu_logreg.arrays.csr.csr_rows`; here nothing is checked, and another number would read or
write outside the arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.dense import prefetch
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, log1p_up_to_one, row_terms, smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch
from gpu_logreg.passes.cpu.loops.sizes import LOG_ROWS

__all__ = [
    "count_in_columns",
    "fill_logits",
    "logits_of_sparse_rows",
    "score_sparse_rows",
    "sum_curvature",
    "sum_sparse_rows",
    "sum_sparse_rows_of_classes",
    "take_columns",
]

# Without "reassoc": loops over the elements of a row are short, and gathering them into vectors was slower.
_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"arcp"}}
_1, _2, _3, _4 = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)

PREFETCH_BYTES = 2048
"""Bytes from an element that is read to the one that is prefetched. Found by trial, without a record."""

PREFETCHED_BYTES = 2**24
"""Bytes of elements from which on they are prefetched: fewer stay in the caches of a processor from read to read, and
asking for them takes time. From trials of which no row is kept."""

TILE_ROWS = 256
"""Rows whose exponentials are computed in vectors at once; it divides `LOG_ROWS`."""


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def logits_of_sparse_rows(x: Any, column: Any, start: Any, w: Any, b: Any, first: Any, m: Any, z: Any) -> None:
    """``z[r] = x_i @ w + b`` of the rows ``i = first + r``.

    Four sums are formed at once: in a single one every addition would wait for the one before. Many elements are asked
    for before they are read, as in dense rows: two streams at once are more than some processors foresee.
    """
    values, columns = flat(x), flat(column)
    are_many = len(values) * x.itemsize >= PREFETCHED_BYTES
    per_line, columns_per_line = np.uintp(64 // x.itemsize), np.uintp(64 // column.itemsize)
    ahead, columns_ahead = np.uintp(PREFETCH_BYTES // x.itemsize), np.uintp(PREFETCH_BYTES // column.itemsize)
    for r in range(m):
        k, end = np.uintp(start[first + r]), np.uintp(start[first + r + 1])
        if are_many:
            for at in range(k, end, per_line):
                prefetch(values, at + ahead)
            for at in range(k, end, columns_per_line):
                prefetch(columns, at + columns_ahead)
        z0, z1, z2, z3 = 0.0, 0.0, 0.0, 0.0
        while k + _4 <= end:
            z0 += x[k] * w[np.uintp(column[k])]
            z1 += x[k + _1] * w[np.uintp(column[k + _1])]
            z2 += x[k + _2] * w[np.uintp(column[k + _2])]
            z3 += x[k + _3] * w[np.uintp(column[k + _3])]
            k += _4
        while k < end:
            z0 += x[k] * w[np.uintp(column[k])]
            k += _1
        z[r] = (z0 + z1) + (z2 + z3) + b


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_logits(x: Any, column: Any, start: Any, w: Any, b: Any, first: Any, last: Any, z: Any) -> None:
    """``z[i] = x_i @ w + b`` of the rows ``first`` to ``last``."""
    logits_of_sparse_rows(x, column, start, w, b, first, last - first, z[first:last])


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_sparse_rows(
    x: Any, column: Any, start: Any, y: Any, s: Any, w: Any, b: Any, first: Any, last: Any, dw: Any
) -> Any:
    """Loss and gradient sums of the rows ``first`` to ``last`` for two classes; ``(loss_sum, db_sum)``.

    A few rows at a time, so that their exponentials are taken in vectors.

    Parameters
    ----------
    x, column, start : arrays
        ``data``, ``indices`` and ``indptr`` of the CSR rows.
    y, s : arrays of shape (n,); ``s`` is empty where every weight is one
    w : float64 array of shape (d,)
    b : float
    dw : float64 array of shape (d,)
        ``dw_sum`` is added to it.
    """
    z, dz = scratch(TILE_ROWS, w, 0), scratch(TILE_ROWS, w, 0)
    e, linear = scratch(TILE_ROWS, w, 0), scratch(TILE_ROWS, w, 0)
    loss, db, product, logged = 0.0, 0.0, 1.0, 0
    for i in range(first, last, TILE_ROWS):
        m = smaller(TILE_ROWS, last - i)
        logits_of_sparse_rows(x, column, start, w, b, i, m, z)
        for r in range(m):
            e[r], dz[r], linear[r] = row_terms(z[r], float(y[i + r]))
        if len(s) == 0:
            for r in range(m):
                product *= 1.0 + e[r]
                loss += linear[r]
            logged += m
            if logged >= LOG_ROWS:
                loss += math.log(product)
                product, logged = 1.0, 0
        else:
            for r in range(m):
                dz[r] *= s[i + r]
                loss += (linear[r] + log1p_up_to_one(e[r])) * s[i + r]
        for r in range(m):
            dz_r = dz[r]
            db += dz_r
            k, end = np.uintp(start[i + r]), np.uintp(start[i + r + 1])
            while k + _4 <= end:
                dw[np.uintp(column[k])] += dz_r * x[k]
                dw[np.uintp(column[k + _1])] += dz_r * x[k + _1]
                dw[np.uintp(column[k + _2])] += dz_r * x[k + _2]
                dw[np.uintp(column[k + _3])] += dz_r * x[k + _3]
                k += _4
            while k < end:
                dw[np.uintp(column[k])] += dz_r * x[k]
                k += _1
    release(z)
    release(dz)
    release(e)
    release(linear)
    return loss + math.log(product), db


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_sparse_rows_of_classes(
    x: Any, column: Any, start: Any, y: Any, s: Any, W: Any, b: Any, first: Any, last: Any, dW: Any, db: Any
) -> Any:
    """Loss and gradient sums of the rows ``first`` to ``last`` for K classes; the loss is returned.

    Parameters
    ----------
    x, column, start : arrays
        ``data``, ``indices`` and ``indptr`` of the CSR rows.
    y : integer array of shape (n,)
    s : array of shape (n,), or empty where every weight is one
    W : float64 array of shape (d, K)
        The weights of a column lie together.
    b : float64 array of shape (K,)
    dW, db : float64 arrays of the shapes of ``W`` and ``b``
        The sums are added to them.
    """
    K, weighted = len(b), len(s) > 0
    z = scratch(K, b, 0)
    loss = 0.0
    for i in range(first, last):
        begin, end = start[i], start[i + 1]
        for c in range(K):
            z[c] = b[c]
        for k in range(begin, end):
            weights, x_k = W[np.uintp(column[k])], float(x[k])
            for c in range(K):
                z[c] += x_k * weights[c]
        largest, at = z[0], 0
        for c in range(1, K):
            if z[c] > largest:
                largest, at = z[c], c
        label = int(y[i])
        below = z[label] - largest
        for c in range(K):
            z[c] = exp_of_negative(z[c] - largest)
        rest = 0.0  # of all but the largest, whose own is 1
        for c in range(K):
            rest += 0.0 if c == at else z[c]
        s_i = float(s[i]) if weighted else 1.0
        share = 1.0 / (1.0 + rest)
        # dz of the class of the row is minus the sum of the other probabilities: p - 1 would round a small sum away.
        of_label = -(rest * share) if label == at else z[label] * share - 1.0
        loss += s_i * (math.log1p(rest) - below)
        share *= s_i
        for c in range(K):
            z[c] *= share
        z[label] = of_label * s_i
        for c in range(K):
            db[c] += z[c]
        for k in range(begin, end):
            sums, x_k = dW[np.uintp(column[k])], float(x[k])
            for c in range(K):
                sums[c] += x_k * z[c]
    release(z)
    return loss


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_curvature(x: Any, column: Any, start: Any, h: Any, first: Any, last: Any, H: Any, v: Any) -> None:
    """``sum_i h_i x_i x_i.T`` and ``sum_i h_i x_i`` over the rows ``first`` to ``last``, added to ``H`` and ``v``.

    Of ``H``, float64 of shape (d, d) or more, the lower triangle: the columns of a row rise.
    """
    for i in range(first, last):
        begin, end = np.uintp(start[i]), np.uintp(start[i + 1])
        for k in range(begin, end):
            at = np.uintp(column[k])
            weighted = h[i] * x[k]
            v[at] += weighted
            row = H[at]
            for l in range(begin, k + _1):  # noqa: E741 - the letter of the formula
                row[np.uintp(column[l])] += weighted * x[l]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def score_sparse_rows(
    x: Any, column: Any, start: Any, mean: Any, weights: Any, of_zero: Any, unseen: Any, first: Any, last: Any, out: Any
) -> None:
    """``out[i]``: what the stored elements of row i add to the score of a row of zeros.

    ``weights`` is NaN for a column that looked constant: an element that differs from its mean adds ``unseen``.
    """
    for i in range(first, last):
        score = 0.0
        for k in range(np.uintp(start[i]), np.uintp(start[i + 1])):
            at = np.uintp(column[k])
            deviation, weight = x[k] - mean[at], weights[at]
            if weight == weight:
                score += deviation * deviation * weight - of_zero[at]
            else:
                score += (unseen if deviation != 0.0 else 0.0) - of_zero[at]
        out[i] = score


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def count_in_columns(column: Any, start: Any, place: Any, first: Any, last: Any, counts: Any) -> None:
    """``counts[i]``: stored elements of row i in columns that have a ``place``, which is -1 for others."""
    for i in range(first, last):
        count = 0
        for k in range(np.uintp(start[i]), np.uintp(start[i + 1])):
            count += place[np.uintp(column[k])] >= 0
        counts[i] = count


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def take_columns(
    x: Any, column: Any, start: Any, place: Any, first: Any, last: Any, at: Any, taken: Any, places: Any
) -> None:
    """Elements in columns that have a ``place``, and their places, from ``at[i]`` on in ``taken`` and ``places``."""
    for i in range(first, last):
        to = np.uintp(at[i])
        for k in range(np.uintp(start[i]), np.uintp(start[i + 1])):
            here = place[np.uintp(column[k])]
            if here >= 0:
                taken[to] = x[k]
                places[to] = here
                to += _1
