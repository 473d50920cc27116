"""The compiled loop between the two products of a pass for K logits; releases the GIL."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from gpu_logreg.passes.kernels_numba_math import exp_of_negative

__all__ = ["softmax_in_place"]

TILE = 256
"""Rows worked on at once: their logits stay in the first-level cache."""

# No "nnan" or "ninf": not-a-number must travel through the sums. No "reassoc": `exp_of_negative` needs its order.
_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def softmax_in_place(Z: Any, b: Any, y: Any, s: Any, db_sum: Any) -> Any:
    """Turn ``X @ W.T`` into ``dZ = s (P - Y)`` and return the sum of ``s row_loss``.

    With ``z_k = Z[k] + b_k``, the largest logit ``m``, ``e_k = exp(z_k - m)`` and ``rest`` the sum of ``e_k`` without
    the largest: ``row_loss = log1p(rest) - (z_y - m)``, ``p_k = e_k / (1 + rest)``. ``b`` is added in float64:
    ``X @ W.T`` and ``b`` may be large and nearly cancel.

    Parameters
    ----------
    Z : array of shape (K, n), C order
        Overwritten.
    b : float64 array of shape (K,)
    y : integer array of shape (n,)
    s : array of shape (n,) or None
    db_sum : float64 array of shape (K,)
        Receives the sums of ``dZ`` over the rows.
    """
    K, n = Z.shape
    real = Z.dtype.type
    top, rest, below_y = np.empty(TILE, Z.dtype), np.empty(TILE, Z.dtype), np.empty(TILE, Z.dtype)
    largest = np.empty(TILE, np.int32)
    loss = 0.0
    for k in range(K):
        db_sum[k] = 0.0
    for first in range(0, n, TILE):
        m = min(TILE, n - first)
        for i in range(m):
            Z[0, first + i] = real(Z[0, first + i] + b[0])
            top[i] = Z[0, first + i]
            rest[i] = real(0)
            largest[i] = 0
        for k in range(1, K):
            b_k = b[k]
            for i in range(m):
                z = real(Z[k, first + i] + b_k)
                Z[k, first + i] = z
                above = not z <= top[i]
                top[i] = z if above else top[i]
                largest[i] = k if above else largest[i]
        for i in range(m):
            below_y[i] = Z[y[first + i], first + i] - top[i]
        for k in range(K):
            for i in range(m):
                e = exp_of_negative(Z[k, first + i] - top[i])
                Z[k, first + i] = e
                rest[i] += e if k != largest[i] else real(0)
        for i in range(m):
            weight = 1.0 if s is None else s[first + i]
            loss += weight * (math.log1p(rest[i]) - below_y[i])
            rest[i] = real(1) / (real(1) + rest[i])
        for k in range(K):
            for i in range(m):
                Z[k, first + i] *= rest[i]
        for i in range(m):
            c = y[first + i]
            others = real(0)
            if Z[c, first + i] > real(0.5):  # 1 - p_y would lose its digits
                for k in range(K):
                    others += Z[k, first + i] if k != c else real(0)
                Z[c, first + i] = -others
            else:
                Z[c, first + i] -= real(1)
        for k in range(K):
            db = 0.0
            for i in range(m):
                if s is not None:
                    Z[k, first + i] = real(Z[k, first + i] * s[first + i])
                db += Z[k, first + i]
            db_sum[k] += db
    return loss
