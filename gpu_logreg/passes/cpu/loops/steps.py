"""Compiled steps: many batches in one call, made by several threads together, without the GIL and without allocation.

A batch is cut into lanes of rows. A thread gathers the rows of a lane, goes forward and backward with them, and writes
the gradient of the lane. At a barrier all threads wait until all lanes are done. Then each thread takes some pieces of
the parameters, adds the gradients of the lanes to them in order, and updates them. A second barrier keeps every thread
from the next batch until all parameters are updated. How rows are cut into lanes, and parameters into pieces, does not
depend on the number of threads, and so neither do the bits.

What is done with the rows of a lane is in `gpu_logreg.passes.cpu.loops.lane`.
"""

from __future__ import annotations

import math
from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.barrier import wait_for_all
from gpu_logreg.passes.cpu.loops.elementary import smaller
from gpu_logreg.passes.cpu.loops.lane import sum_lane

__all__ = ["PIECES", "RULE_CODES", "run_steps"]

RULE_CODES = {"sgd": 0, "momentum": 1, "nesterov": 2, "adam": 3}

PIECES = 16
"""Pieces into which the weights, and the intercepts, are cut for an update; threads take one after another.

The same for every number of threads, because the squares of a piece are summed first, so that the pieces decide the
order of additions. It bounds the threads that an update can use.
"""

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}, "counts": True}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _gradient(params: Any, grads: Any, scale: Any, l2: Any) -> Any:
    """Add the gradients of the lanes, in order, scale and add the penalty's, into lane 0; ``|W|**2``.

    All of a piece of the parameters: ``params`` (p,), ``grads`` (lanes, p).
    """
    real = params.dtype.type
    g = grads[0]
    lane = 1
    while lane + 3 <= len(grads):  # the gradients of lanes come from afar, and three at a time come sooner
        one, two, three = grads[lane], grads[lane + 1], grads[lane + 2]
        for j in range(len(g)):
            g[j] = ((g[j] + one[j]) + two[j]) + three[j]
        lane += 3
    while lane < len(grads):
        other = grads[lane]
        for j in range(len(g)):
            g[j] += other[j]
        lane += 1
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
    thread: Any, n_threads: Any, arrived: Any, vector: Any, X: Any, y: Any, s: Any, order: Any, batch_size: Any,
    sizes: Any, code: Any, params: Any, n_trained: Any, m: Any, v: Any, rule: Any, numbers: Any, n_updates: Any,
    l2: Any, alpha: Any, decay: Any, grads: Any, work: Any, bits: Any, sums: Any, out: Any,
) -> None:  # fmt: skip
    """One thread's share of the steps on the batches of ``order``; every thread makes this call.

    ``grads`` (lanes, n_params), ``work`` and ``bits`` (threads, ...) are work arrays, whose contents before the call do
    not matter. ``sums`` (lanes + PIECES, 2) holds loss and weight of every lane, then ``|W|**2`` of every
    piece. ``out`` receives the sum of ``weight value`` of the batches, and of their weights.
    """
    n_weights = 0
    for k in range(len(sizes) - 1):
        n_weights += sizes[k] * sizes[k + 1]
    n_lanes = len(grads)
    shrink = params.dtype.type(1.0 - numbers[0] * decay)
    for first in range(0, len(order), batch_size):
        at = order[first : smaller(first + batch_size, len(order))]
        n = len(at)
        for lane in range(thread, n_lanes, n_threads):
            part = at[n * lane // n_lanes : n * (lane + 1) // n_lanes]
            loss, weight = sum_lane(vector, X, y, s, part, sizes, code, params, grads[lane], work[thread], bits[thread])
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
