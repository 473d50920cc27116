"""The compiled loops behind products with the Hessian over CSR rows; release the GIL and compute in float64.

See `gpu_logreg.passes.cpu.loops.sparse` for the numbers of columns, which are not checked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative
from gpu_logreg.passes.cpu.loops.sparse import TILE_ROWS, logits_of_sparse_rows

__all__ = ["add_outer_products_of_rows", "fill_curved_logits", "fill_sparse_probabilities", "sum_sparse_products"]

# Without "reassoc", as for gradients.
_OPTIONS: dict[str, Any] = {"cache": True, "fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_sparse_products(x: Any, column: Any, start: Any, h: Any, v: Any, c: Any, first: Any, last: Any, dw: Any) -> Any:
    """``sum_i e_i x_i`` of the rows ``first`` to ``last``, added to ``dw``, and ``sum_i e_i``, which is returned.

    ``e_i = h_i (x_i @ v + c)`` for two classes.
    """
    e, dc = np.empty(TILE_ROWS), 0.0
    for i in range(first, last, TILE_ROWS):
        m = min(TILE_ROWS, last - i)
        logits_of_sparse_rows(x, column, start, v, c, i, m, e)
        for r in range(m):
            e_r = e[r] * h[i + r]
            dc += e_r
            for k in range(np.uintp(start[i + r]), np.uintp(start[i + r + 1])):
                dw[np.uintp(column[k])] += e_r * x[k]
    return dc


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _fill_logits(x: Any, column: Any, begin: Any, end: Any, W: Any, b: Any, z: Any) -> None:
    """``z = W.T x + b`` of a row; ``W`` of shape (d, K)."""
    K = len(b)
    for k in range(K):
        z[k] = b[k]
    for at in range(begin, end):
        weights, x_at = W[np.uintp(column[at])], float(x[at])
        for k in range(K):
            z[k] += x_at * weights[k]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_sparse_probabilities(x: Any, column: Any, start: Any, W: Any, b: Any, P: Any) -> None:
    """Probabilities of rows of K classes, into ``P`` of shape (n, K).

    Parameters
    ----------
    x, column : arrays
        ``data`` and ``indices`` of CSR rows.
    start : array of shape (n + 1,)
        ``indptr`` of all rows, or of some consecutive ones.
    W : float64 array of shape (d, K)
    b : float64 array of shape (K,)
    """
    K = len(b)
    for i in range(len(P)):
        p = P[i]
        _fill_logits(x, column, np.uintp(start[i]), np.uintp(start[i + 1]), W, b, p)
        largest, at = p[0], 0
        for k in range(1, K):
            if p[k] > largest:
                largest, at = p[k], k
        rest = 0.0  # of all but the largest, whose own is 1
        for k in range(K):
            p[k] = exp_of_negative(p[k] - largest)
        for k in range(K):
            rest += 0.0 if k == at else p[k]
        for k in range(K):
            p[k] /= 1.0 + rest


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_curved_logits(x: Any, column: Any, start: Any, P: Any, s: Any, V: Any, c: Any, E: Any) -> None:
    """``E_i = s_i (diag(p_i) - p_i p_i.T) (V.T x_i + c)``; ``V`` of shape (d, K), ``P`` and ``E`` of (n, K).

    See `gpu_logreg.mathematics.softmax.curvature_product`; ``s`` may be None.
    """
    K = len(c)
    for i in range(len(E)):
        p, t = P[i], E[i]
        _fill_logits(x, column, np.uintp(start[i]), np.uintp(start[i + 1]), V, c, t)
        for _ in range(2):
            mean = 0.0
            for k in range(K):
                mean += p[k] * t[k]
            for k in range(K):
                t[k] -= mean
        s_i = 1.0 if s is None else float(s[i])
        for k in range(K):
            t[k] *= s_i * p[k]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_outer_products_of_rows(x: Any, column: Any, start: Any, E: Any, first: Any, dW: Any) -> None:
    """Add ``x_ij E_ik`` of all rows to ``dW``, of shape (d, m), for the m classes from ``first`` on."""
    m = dW.shape[1]
    for i in range(len(E)):
        e = E[i, first : first + m]
        for at in range(np.uintp(start[i]), np.uintp(start[i + 1])):
            sums, x_at = dW[np.uintp(column[at])], float(x[at])
            for k in range(m):
                sums[k] += x_at * e[k]
