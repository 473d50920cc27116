"""Compiled steps: many batches in one call, made by several threads together, without the GIL and without allocation.

A batch is cut into lanes of rows. A thread gathers the rows of a lane, goes forward and backward with them, and writes
the gradient of the lane. At a barrier all threads wait until all lanes are done. Then each thread takes some pieces of
the parameters, adds the gradients of the lanes to them in order, and updates them. A second barrier keeps every thread
from the next batch until all parameters are updated. How rows are cut into lanes, and parameters into pieces, does not
depend on the number of threads, and so neither do the bits.

Large products are those of BLAS, through Numba's `np.dot`. Everything between them is done in these loops: gather and
conversion, intercepts and activation, loss and ``dz``, the derivative of the activation, penalty and update.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, log1p_up_to_one, row_terms, tanh, wait_for_all
from gpu_logreg.passes.cpu.loops.zeros import columns_times_dz, list_nonzeros, rows_times_weights

__all__ = ["ACTIVATION_CODES", "PIECES", "RULE_CODES", "rounded", "run_steps"]

ACTIVATION_CODES = {"identity": 0, "logistic": 1, "tanh": 2, "relu": 3}
RULE_CODES = {"sgd": 0, "momentum": 1, "nesterov": 2, "adam": 3}

PIECES = 16
"""Pieces into which the weights, and the intercepts, are cut for an update; threads take one after another.

The same for every number of threads, because the squares of a piece are summed first, so that the pieces decide the
order of additions. It bounds the threads that an update can use.
"""

_OPTIONS: dict[str, Any] = {"cache": True, "fastmath": LIBERTIES | {"reassoc", "arcp"}}


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
def _lane(
    X: Any, y: Any, s: Any, at: Any, sizes: Any, code: Any, params: Any, grad: Any, work: Any, lists: Any, values: Any
) -> Any:
    """Forward and backward with the rows ``at``; their gradient sums into ``grad``, which is laid out as ``params``.

    ``work`` holds the rows, the activation of every layer, and ``dz`` of every hidden layer, each from a multiple of 16
    elements on. Where ``lists`` and ``values`` are not empty, the products with the rows skip their zeros; see `zeros`.
    """
    m, n_layers = len(at), len(sizes) - 1
    a_at, dz_at = np.empty(n_layers + 1, np.int64), np.empty(n_layers + 1, np.int64)
    end = 0
    for l in range(n_layers + 1):  # noqa: E741
        a_at[l] = end
        end += _rounded(m * sizes[l])
    for l in range(1, n_layers):  # noqa: E741
        dz_at[l] = end
        end += _rounded(m * sizes[l])
    dz_at[n_layers] = a_at[n_layers]  # the logits become their derivative

    skip = len(values) > 0
    if skip:
        list_nonzeros(X, at, lists, values)
    else:
        _gather(X, at, work[: m * sizes[0]].reshape(m, sizes[0]))
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
            if skip and l == 0:
                rows_times_weights(m, d, lists, values, W.reshape(d, k), above)
            else:
                np.dot(below, W.reshape(d, k), above)
        _activate(above, b, code if l < n_layers - 1 else 0)

    K = sizes[n_layers]
    z = work[a_at[n_layers] : a_at[n_layers] + m * K].reshape(m, K)
    if y.shape[1] > 1:
        loss, weight = _labels_loss(z, y, s, at)
    elif K == 1:
        loss, weight = _logistic_loss(z, y, s, at)
    else:
        loss, weight = _softmax_loss(z, y, s, at)

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
            if skip and l == 0:
                columns_times_dz(m, d, lists, values, dz, dW.reshape(d, k))
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
    return loss, weight


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _gradient(params: Any, grads: Any, scale: Any, l2: Any) -> Any:
    """Add the gradients of the lanes, in order, scale and add the penalty's, into lane 0; ``|W|**2``.

    All of a piece of the parameters: ``params`` (p,), ``grads`` (lanes, p).
    """
    real = params.dtype.type
    g = grads[0]
    for lane in range(1, len(grads)):
        other = grads[lane]
        for j in range(len(g)):
            g[j] += other[j]
    square = real(0)
    scale, l2 = real(scale), real(l2)
    for j in range(len(params)):
        w = params[j]
        square += w * w
        g[j] = g[j] * scale + l2 * w
    return float(square)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _adam(params: Any, g: Any, m: Any, v: Any, numbers: Any, k: Any) -> None:
    """The k-th update of `gpu_logreg.mathematics.optimizers.Adam`, from 1; ``numbers`` as in `_update`."""
    real = params.dtype.type
    beta_1, beta_2, epsilon = real(numbers[2]), real(numbers[3]), real(numbers[4])
    rest_1, rest_2 = real(1.0 - numbers[2]), real(1.0 - numbers[3])
    step = real(numbers[0] / (1.0 - numbers[2] ** k))
    per_root = real(1.0 / math.sqrt(1.0 - numbers[3] ** k))
    for j in range(len(params)):
        g_j = g[j]
        m_j = beta_1 * m[j] + rest_1 * g_j
        v_j = beta_2 * v[j] + rest_2 * g_j * g_j
        m[j], v[j] = m_j, v_j
        params[j] -= step * m_j / (math.sqrt(v_j) * per_root + epsilon)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _update(params: Any, g: Any, m: Any, v: Any, rule: Any, numbers: Any, k: Any) -> None:
    """The update rules of `gpu_logreg.mathematics.optimizers` on a piece of the parameters.

    ``numbers``: learning rate, momentum, beta_1, beta_2, epsilon; ``k``: the number of the update, from 1.
    """
    real = params.dtype.type
    rate, momentum = real(numbers[0]), real(numbers[1])
    if rule == 3:
        _adam(params, g, m, v, numbers, k)
    elif rule == 0:
        for j in range(len(params)):
            params[j] -= rate * g[j]
    else:
        for j in range(len(params)):
            step = rate * g[j]
            m_j = momentum * m[j] - step
            m[j] = m_j
            params[j] += momentum * m_j - step if rule == 2 else m_j


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def run_steps(
    thread: Any, n_threads: Any, arrived: Any, X: Any, y: Any, s: Any, order: Any, batch_size: Any, sizes: Any,
    code: Any, params: Any, n_trained: Any, m: Any, v: Any, rule: Any, numbers: Any, n_updates: Any, l2: Any,
    alpha: Any, decay: Any, grads: Any, work: Any, lists: Any, values: Any, sums: Any, out: Any,
) -> None:  # fmt: skip
    """One thread's share of the steps on the batches of ``order``; every thread makes this call.

    ``grads`` (lanes, n_params), ``work``, ``lists`` and ``values`` (lanes, ...) are work arrays, whose contents before
    the call do not matter. ``sums`` (lanes + PIECES, 2) holds loss and weight of every lane, then ``|W|**2`` of every
    piece. ``out`` receives the sum of ``weight value`` of the batches, and of their weights.
    """
    n_weights = 0
    for k in range(len(sizes) - 1):
        n_weights += sizes[k] * sizes[k + 1]
    n_lanes = len(grads)
    shrink = params.dtype.type(1.0 - numbers[0] * decay)
    for first in range(0, len(order), batch_size):
        at = order[first : min(first + batch_size, len(order))]
        n = len(at)
        for lane in range(thread, n_lanes, n_threads):
            part = at[n * lane // n_lanes : n * (lane + 1) // n_lanes]
            loss, weight = _lane(X, y, s, part, sizes, code, params, grads[lane], work[lane], lists[lane], values[lane])
            sums[lane, 0], sums[lane, 1] = loss, weight
        # Without this barrier a thread would add gradients, losses and weights of lanes that others have not computed.
        wait_for_all(arrived, n_threads)
        loss, weight = 0.0, 0.0
        for lane in range(n_lanes):
            loss += sums[lane, 0]
            weight += sums[lane, 1]
        batch_l2 = l2 + alpha / weight
        n_updates += 1
        for piece in range(thread, 2 * PIECES, n_threads):
            # Weights, which are penalised, in the first pieces; intercepts in the others.
            begin, end = (0, n_weights) if piece < PIECES else (n_weights, n_trained)
            k = piece % PIECES
            here = slice(begin + (end - begin) * k // PIECES, begin + (end - begin) * (k + 1) // PIECES)
            square = _gradient(params[here], grads[:, here], 1.0 / weight, batch_l2 if piece < PIECES else 0.0)
            if piece < PIECES:
                sums[n_lanes + k, 0] = square
                if decay != 0.0:
                    for j in range(
                        here.start, here.stop
                    ):  # a loop compiles seconds faster than ``params[here] *= shrink``
                        params[j] *= shrink
            _update(params[here], grads[0][here], m[here], v[here], rule, numbers, n_updates)
        # Without this barrier a thread would begin the next batch with parameters that others have not updated, and
        # overwrite gradients that they are still adding.
        wait_for_all(arrived, n_threads)
        if thread == 0:
            # Others may be in the next batch already: there they write to the places of the lanes in ``sums``, and to
            # those of the pieces, which are read here, only behind its first barrier.
            square = 0.0
            for k in range(PIECES):
                square += sums[n_lanes + k, 0]
            out[0] += loss + 0.5 * batch_l2 * weight * square
            out[1] += weight
