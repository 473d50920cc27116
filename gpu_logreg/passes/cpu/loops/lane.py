"""Compiled forward and backward walk with the rows of a lane, which is a part of a batch: their loss and its gradient.

Large products are those of BLAS, through Numba's `np.dot`, or of `tiles` and `zeros`. Everything between them is done
in these loops: gather and conversion, intercepts and activation, loss and ``dz``, the derivative of the activation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, log1p_up_to_one, row_terms, tanh
from gpu_logreg.passes.cpu.loops.memory import release, scratch
from gpu_logreg.passes.cpu.loops.tiles import fits_tiles, multiply_in_tiles
from gpu_logreg.passes.cpu.loops.zeros import columns_times_dz, mark_nonzeros, rows_times_weights

__all__ = ["ACTIVATION_CODES", "rounded", "sum_lane"]

ACTIVATION_CODES = {"identity": 0, "logistic": 1, "tanh": 2, "relu": 3}

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}, "counts": True}


def rounded(length: int) -> int:
    """``length`` up to the next multiple of 16, a cache line of float32 or two of float64."""
    return (length + 15) // 16 * 16


_rounded = njit(**_OPTIONS)(rounded)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _layer(params: Any, sizes: Any, l: Any) -> Any:  # noqa: E741
    """Offsets of the weights and of the intercepts of layer ``l``, as in
    `gpu_logreg.mathematics.network.Network.unpack`.
    """
    w_at, b_at = 0, 0
    for k in range(len(sizes) - 1):
        b_at += sizes[k] * sizes[k + 1]
    for k in range(l):
        w_at += sizes[k] * sizes[k + 1]
        b_at += sizes[k + 1]
    return w_at, b_at


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _gather(X: Any, at: Any, rows: Any) -> None:
    """``rows[i] = X[at[i]]``, converted."""
    for i in range(len(at)):
        source, target = X[at[i]], rows[i]
        for j in range(len(source)):
            target[j] = source[j]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _activate(a: Any, b: Any, code: Any) -> None:
    """``a = f(a + b)`` in place; ``a`` holds the product of the layer below with the weights."""
    real = a.dtype.type
    m, k = a.shape
    for i in range(m):
        row = a[i]
        if code == 2:
            for j in range(k):
                row[j] = tanh(row[j] + b[j])
        elif code == 3:
            for j in range(k):
                z = row[j] + b[j]
                row[j] = real(0) if z < real(0) else z  # max(z, 0) may turn NaN into 0, and hide it
        elif code == 1:
            for j in range(k):
                z = row[j] + b[j]
                e = exp_of_negative(-abs(z))
                row[j] = (real(1) if z >= real(0) else e) / (real(1) + e)
        else:
            for j in range(k):
                row[j] += b[j]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _times_derivative(dz: Any, a: Any, code: Any, db: Any) -> None:
    """``dz *= f'`` of the activation ``a``, in place, and its sum over the rows into ``db``."""
    real = a.dtype.type
    m, k = a.shape
    for j in range(k):
        db[j] = 0
    for i in range(m):
        d, row = dz[i], a[i]
        if code == 2:
            for j in range(k):
                d[j] *= real(1) - row[j] * row[j]
        elif code == 3:
            for j in range(k):
                d[j] = d[j] if row[j] > real(0) else d[j] * real(0)
        elif code == 1:
            for j in range(k):
                d[j] *= row[j] * (real(1) - row[j])
        for j in range(k):
            db[j] += d[j]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _logistic_loss(z: Any, y: Any, s: Any, at: Any) -> Any:
    """Turn the logits of two classes into ``dz`` in place; the sums of the loss and of the weights.

    Here and below ``y`` is a matrix, and ``s`` is an empty array where every weight is one: all loops would be compiled
    once more for a ``y`` of one dimension, and for an ``s`` of None.
    """
    real = z.dtype.type
    loss, weight = 0.0, 0.0
    for i in range(len(at)):
        s_i = 1.0 if len(s) == 0 else float(s[at[i]])
        e, dz, linear = row_terms(z[i, 0], real(y[at[i], 0]))
        loss += s_i * float(linear + log1p_up_to_one(e))
        z[i, 0] = real(s_i) * dz
        weight += s_i
    return loss, weight


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _softmax_loss(z: Any, y: Any, s: Any, at: Any) -> Any:
    """Turn the logits of K classes into ``dz`` in place; the sums of the loss and of the weights."""
    real = z.dtype.type
    loss, weight = 0.0, 0.0
    for i in range(len(at)):
        s_i, own = 1.0 if len(s) == 0 else float(s[at[i]]), int(y[at[i], 0])
        row = z[i]
        top = 0
        for k in range(len(row)):
            if row[k] > row[top]:
                top = k
        largest, z_own = row[top], row[own]
        rest, others = real(0), real(0)
        for k in range(len(row)):
            row[k] = math.exp(row[k] - largest)
            rest += real(0) if k == top else row[k]
            others += real(0) if k == own else row[k]
        scale = real(s_i) / (real(1) + rest)
        for k in range(len(row)):
            row[k] = (-others if k == own else row[k]) * scale
        loss += s_i * float(math.log1p(rest) - (z_own - largest))
        weight += s_i
    return loss, weight


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _labels_loss(z: Any, y: Any, s: Any, at: Any) -> Any:
    """Turn the logits of L labels into ``dz`` in place, each as of two classes; the sums of loss and weights."""
    real = z.dtype.type
    loss, weight = 0.0, 0.0
    for i in range(len(at)):
        s_i = 1.0 if len(s) == 0 else float(s[at[i]])
        row, label = z[i], y[at[i]]
        row_loss = 0.0
        for k in range(len(row)):
            e, dz, linear = row_terms(row[k], real(label[k]))
            row_loss += float(linear + log1p_up_to_one(e))
            row[k] = real(s_i) * dz
        loss += s_i * row_loss
        weight += s_i
    return loss, weight


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _places(m: Any, sizes: Any) -> Any:
    """Where the activation of every layer begins in the work array of ``m`` rows, and where its ``dz`` does.

    Each begins at a multiple of 16 elements. The logits become their derivative in place; the rows have none.
    """
    n_layers = len(sizes) - 1
    a_at, dz_at = scratch(n_layers + 1, sizes, 0), scratch(n_layers + 1, sizes, 0)
    end = 0
    for l in range(n_layers + 1):  # noqa: E741
        a_at[l] = end
        end += _rounded(m * sizes[l])
    for l in range(1, n_layers):  # noqa: E741
        dz_at[l] = end
        end += _rounded(m * sizes[l])
    dz_at[n_layers] = a_at[n_layers]
    return a_at, dz_at


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _forward(vector: Any, m: Any, sizes: Any, code: Any, params: Any, work: Any, a_at: Any, bits: Any) -> None:
    """The activation of every layer from those of the layer below, and at last the logits."""
    n_layers = len(sizes) - 1
    for l in range(n_layers):  # noqa: E741
        d, k = sizes[l], sizes[l + 1]
        w_at, b_at = _layer(params, sizes, l)
        below = work[a_at[l] : a_at[l] + m * d].reshape(m, d)
        above = work[a_at[l + 1] : a_at[l + 1] + m * k].reshape(m, k)
        W, b = params[w_at : w_at + d * k], params[b_at : b_at + k]
        if k == 1:
            for i in range(m):
                row, z = below[i], work.dtype.type(0)
                for j in range(d):
                    z += row[j] * W[j]
                above[i, 0] = z
        else:
            if l == 0 and len(bits) > 0:
                rows_times_weights(vector, m, d, k, work, bits, params, a_at[1])
            elif fits_tiles(vector, k):
                multiply_in_tiles(vector, m, d, k, work, a_at[l], d, 1, params, w_at, work, a_at[l + 1])
            else:
                np.dot(below, W.reshape(d, k), above)
        _activate(above, b, code if l < n_layers - 1 else 0)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _backward(
    vector: Any, m: Any, sizes: Any, code: Any, params: Any, grad: Any, work: Any, a_at: Any, dz_at: Any, bits: Any
) -> None:
    """The gradient of every layer from the derivative by its values, and that by the values of the layer below."""
    n_layers = len(sizes) - 1
    for l in range(n_layers - 1, -1, -1):  # noqa: E741
        d, k = sizes[l], sizes[l + 1]
        w_at, b_at = _layer(params, sizes, l)
        below = work[a_at[l] : a_at[l] + m * d].reshape(m, d)
        dz = work[dz_at[l + 1] : dz_at[l + 1] + m * k].reshape(m, k)
        W, dW = params[w_at : w_at + d * k], grad[w_at : w_at + d * k]
        if l == n_layers - 1:
            _times_derivative(dz, dz, 0, grad[b_at : b_at + k])  # the logits have no activation: the sums alone
        if k == 1:
            dW[:] = 0
            for i in range(m):
                row, dz_i = below[i], dz[i, 0]
                for j in range(d):
                    dW[j] += dz_i * row[j]
        else:
            if l == 0 and len(bits) > 0:
                columns_times_dz(vector, m, d, k, work, bits, dz_at[1], grad)
            elif fits_tiles(vector, k):
                multiply_in_tiles(vector, d, m, k, work, a_at[l], 1, d, work, dz_at[l + 1], grad, w_at)
            else:
                np.dot(below.T, dz, dW.reshape(d, k))
        if l > 0:
            dz_below = work[dz_at[l] : dz_at[l] + m * d].reshape(m, d)
            if k == 1:
                for i in range(m):
                    target, dz_i = dz_below[i], dz[i, 0]
                    for j in range(d):
                        target[j] = dz_i * W[j]
            else:
                np.dot(dz, W.reshape(d, k).T, dz_below)
            _, b_below = _layer(params, sizes, l - 1)
            _times_derivative(dz_below, below, code, grad[b_below : b_below + d])


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_lane(
    vector: Any, X: Any, y: Any, s: Any, at: Any, sizes: Any, code: Any, params: Any, grad: Any, work: Any, bits: Any
) -> Any:
    """Forward and backward with the rows ``at``; their gradient sums into ``grad``, which is laid out as ``params``.

    ``work`` holds the rows, the activation of every layer, and ``dz`` of every hidden layer: see `_places`. Where
    ``bits`` is not empty, the products with the rows skip their zeros; see `zeros`, also for ``vector``.
    """
    m, K = len(at), sizes[-1]
    a_at, dz_at = _places(m, sizes)
    _gather(X, at, work[: m * sizes[0]].reshape(m, sizes[0]))
    if len(bits) > 0:
        mark_nonzeros(vector, m, sizes[0], work, bits)
    _forward(vector, m, sizes, code, params, work, a_at, bits)
    z = work[a_at[-1] : a_at[-1] + m * K].reshape(m, K)
    if y.shape[1] > 1:
        loss, weight = _labels_loss(z, y, s, at)
    elif K == 1:
        loss, weight = _logistic_loss(z, y, s, at)
    else:
        loss, weight = _softmax_loss(z, y, s, at)
    _backward(vector, m, sizes, code, params, grad, work, a_at, dz_at, bits)
    release(a_at)
    release(dz_at)
    return loss, weight
