"""Compiled loops of the CPU pass; every function releases the GIL and writes float64 sums into ``out``.

What made them fast, in the order it was found: the next rows are prefetched while the block is in cache; blocks are of
8 rows; logits are computed for one row at a time, so that memory is read as one stream, and the gradient is added for
eight rows at a time; and only scalars are passed to inlined functions, because Numba would count the references to an
array in every block. ``make bench`` measures the speed. A loop that computed the logits of four rows and the gradient
of the previous four together was slower.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import larger, log1p_up_to_one, row_terms, smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.sizes import FLUSH_ROWS, LOG_ROWS

__all__ = [
    "PREFETCH_BYTES",
    "prefetch",
    "score_rows",
    "sum_column_major",
    "sum_moments",
    "sum_moments_by_label",
    "sum_rows",
]

PREFETCH_BYTES = 4000
"""Bytes from an element that is read to the one that is prefetched into the cache. Found by trial, without a record."""

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}}


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line of element ``offset`` of a flat array; beyond its end this has no effect and no error."""
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        i32, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        address = builder.bitcast(builder.gep(data, [args[1]]), pointer)
        kind = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, i32(0), i32(3), i32(1)])  # read, keep in all levels, data
        return context.get_dummy_value()

    return types.void(array, offset), codegen


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_rows(X: Any, y: Any, s: Any, w: Any, b: Any, first: Any, last: Any, chunk: Any, out: Any) -> None:
    """Loss and gradient sums of the rows ``first`` to ``last`` of a C-ordered ``X``.

    Row q of ``out`` receives, for the q-th chunk of ``chunk`` rows: ``dw_sum`` (d), ``db_sum``, ``loss_sum``. ``b`` is
    float64 and is added as such: where columns are far from zero, ``x @ w`` and ``b`` are large and nearly cancel.
    The arithmetic is that of ``w``: float64 weights widen float32 rows as they are read.
    """
    d, weighted = X.shape[1], len(s) > 0
    real = w.dtype.type
    flat_X = flat(X)
    per_line, ahead = 64 // X.itemsize, PREFETCH_BYTES // X.itemsize
    block = 8
    z, dz, acc = scratch(block, w, 2 * chunk), scratch(block, w, 2 * chunk), zeros(d, w)
    for q in range((last - first + chunk - 1) // chunk):
        begin = first + q * chunk
        end = smaller(last, begin + chunk)
        for j in range(d + 2):
            out[q, j] = 0.0
        loss, db, product = 0.0, 0.0, 1.0
        held, logged = 0, 0
        for i in range(begin, end, block):
            m = smaller(block, end - i)
            for k in range(m):
                for offset in range(0, d, per_line):
                    prefetch(flat_X, (i + k) * d + ahead + offset)
                row, dot = X[i + k], real(0)
                for j in range(d):
                    dot += row[j] * w[j]
                z[k] = real(dot + b)
            if weighted:
                for k in range(m):
                    e, dz_k, linear = row_terms(z[k], real(y[np.uintp(i + k)]))
                    dz_k *= real(s[np.uintp(i + k)])
                    loss += float(linear + log1p_up_to_one(e)) * s[np.uintp(i + k)]
                    dz[k] = dz_k
                    db += dz_k
            else:
                for k in range(m):
                    e, dz_k, linear = row_terms(z[k], real(y[np.uintp(i + k)]))
                    product *= 1.0 + float(e)
                    loss += linear
                    dz[k] = dz_k
                    db += dz_k
            # The share of the block in the gradient: its rows are read again, from the first-level cache.
            k = 0
            while k + 8 <= m:
                x0, x1, x2, x3 = X[i + k], X[i + k + 1], X[i + k + 2], X[i + k + 3]
                x4, x5, x6, x7 = X[i + k + 4], X[i + k + 5], X[i + k + 6], X[i + k + 7]
                a0, a1, a2, a3 = dz[k], dz[k + 1], dz[k + 2], dz[k + 3]
                a4, a5, a6, a7 = dz[k + 4], dz[k + 5], dz[k + 6], dz[k + 7]
                for j in range(d):
                    low = a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j]
                    acc[j] += low + (a4 * x4[j] + a5 * x5[j] + a6 * x6[j] + a7 * x7[j])
                k += 8
            while k < m:
                x0, a0 = X[i + k], dz[k]
                for j in range(d):
                    acc[j] += a0 * x0[j]
                k += 1
            held += m
            logged += m
            if logged >= LOG_ROWS:
                loss += math.log(product)
                product, logged = 1.0, 0
            if held >= FLUSH_ROWS or i + block >= end:
                for j in range(d):
                    out[q, j] += acc[j]
                    acc[j] = 0
                held = 0
        out[q, d] = db
        out[q, d + 1] = loss + math.log(product)
    release(z)
    release(dz)
    release(acc)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_column_major(X: Any, y: Any, s: Any, w: Any, b: Any, first: Any, last: Any, chunk: Any, out: Any) -> None:
    """The same sums for a Fortran-ordered ``X``: blocks of rows short enough to stay in cache, column by column."""
    d, weighted = X.shape[1], len(s) > 0
    real = X.dtype.type
    block = larger(64, smaller(1024, 2**18 // larger(1, d * X.itemsize)))
    margin = 2 * larger(block, chunk)
    z, dz = scratch(block, X, margin), scratch(block, X, margin)
    for q in range((last - first + chunk - 1) // chunk):
        begin = first + q * chunk
        end = smaller(last, begin + chunk)
        for j in range(d + 2):
            out[q, j] = 0.0
        loss, db = 0.0, 0.0
        for i in range(begin, end, block):
            m = smaller(block, end - i)
            for k in range(m):
                z[k] = 0
            for j in range(d):
                w_j = w[j]
                column = X[i : i + m, j]
                for k in range(m):
                    z[k] += column[k] * w_j
            product = 1.0
            for k in range(m):
                e, dz_k, linear = row_terms(real(z[k] + b), real(y[np.uintp(i + k)]))
                if weighted:
                    dz_k *= real(s[np.uintp(i + k)])
                    loss += float(linear + log1p_up_to_one(e)) * s[np.uintp(i + k)]
                else:
                    product *= 1.0 + float(e)
                    loss += linear
                dz[k] = dz_k
                db += dz_k
                if k % LOG_ROWS == LOG_ROWS - 1:
                    loss += math.log(product)
                    product = 1.0
            loss += math.log(product)
            for j in range(d):
                column = X[i : i + m, j]
                dot = real(0)
                for k in range(m):
                    dot += column[k] * dz[k]
                out[q, j] += dot
        out[q, d], out[q, d + 1] = db, loss
    release(z)
    release(dz)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_moments(X: Any, s: Any, first: Any, last: Any, chunk: Any, out: Any) -> None:
    """Row q of ``out`` receives, for the q-th chunk: the sums of ``s x_j`` (d) and of ``s x_j**2`` (d), in float64."""
    d = X.shape[1]
    for q in range((last - first + chunk - 1) // chunk):
        begin = first + q * chunk
        for j in range(2 * d):
            out[q, j] = 0.0
        x_sum, xx_sum = out[q, :d], out[q, d:]
        for i in range(begin, smaller(last, begin + chunk)):
            s_i = 1.0
            if len(s) > 0:
                s_i = float(s[i])
            if s_i != 0.0:  # a row that is removed by its weight may overflow: zero times infinity would be NaN
                row = X[i]
                for j in range(d):
                    x = float(row[j])
                    x_sum[j] += s_i * x
                    xx_sum[j] += s_i * x * x


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_moments_by_label(X: Any, y: Any, s: Any, first: Any, last: Any, chunk: Any, out: Any) -> None:
    """The sums of `sum_moments` of a C-ordered ``X``, and that of ``s y x_j`` (d), of eight rows at a time."""
    d, weighted = X.shape[1], len(s) > 0
    for q in range((last - first + chunk - 1) // chunk):
        begin = first + q * chunk
        end = smaller(last, begin + chunk)
        for j in range(3 * d):
            out[q, j] = 0.0
        x_sum, xx_sum, yx_sum = out[q, :d], out[q, d : 2 * d], out[q, 2 * d :]
        i = begin
        while i < end:
            together = i + 8 <= end
            if weighted and together:
                for k in range(8):
                    together = together and s[np.uintp(i + k)] != 0.0
            if together:
                x0, x1, x2, x3, x4, x5, x6, x7 = (
                    X[i],
                    X[i + 1],
                    X[i + 2],
                    X[i + 3],
                    X[i + 4],
                    X[i + 5],
                    X[i + 6],
                    X[i + 7],
                )
                s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 1.0
                if weighted:
                    s0, s1, s2, s3 = float(s[i]), float(s[i + 1]), float(s[i + 2]), float(s[i + 3])
                    s4, s5, s6, s7 = float(s[i + 4]), float(s[i + 5]), float(s[i + 6]), float(s[i + 7])
                y0, y1, y2, y3 = float(y[i]), float(y[i + 1]), float(y[i + 2]), float(y[i + 3])
                y4, y5, y6, y7 = float(y[i + 4]), float(y[i + 5]), float(y[i + 6]), float(y[i + 7])
                for j in range(d):
                    a0, a1, a2, a3 = s0 * x0[j], s1 * x1[j], s2 * x2[j], s3 * x3[j]
                    a4, a5, a6, a7 = s4 * x4[j], s5 * x5[j], s6 * x6[j], s7 * x7[j]
                    x_sum[j] += ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))
                    low, squares = (
                        y0 * a0 + y1 * a1 + y2 * a2 + y3 * a3,
                        a0 * x0[j] + a1 * x1[j] + a2 * x2[j] + a3 * x3[j],
                    )
                    yx_sum[j] += low + (y4 * a4 + y5 * a5 + y6 * a6 + y7 * a7)
                    xx_sum[j] += squares + (a4 * x4[j] + a5 * x5[j] + a6 * x6[j] + a7 * x7[j])
                i += 8
                continue
            s_i = 1.0
            if weighted:
                s_i = float(s[i])
            if s_i != 0.0:  # as in `sum_moments`
                row, t_i = X[i], s_i * float(y[i])
                for j in range(d):
                    x = float(row[j])
                    x_sum[j] += s_i * x
                    xx_sum[j] += s_i * x * x
                    yx_sum[j] += t_i * x
            i += 1


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def score_rows(X: Any, mean: Any, weights: Any, unknown: Any, unseen: Any, out: Any) -> None:
    """``out[i] = sum_j weights_j (x_ij - mean_j)**2``, and ``unseen`` more for each ``unknown`` column off its mean."""
    for i in range(len(X)):
        row, score = X[i], out.dtype.type(0)
        for j in range(len(row)):
            deviation = row[j] - mean[j]
            score += deviation * deviation * weights[j]
        for j in unknown:
            if row[j] != mean[j]:
                score += unseen
        out[i] = score
