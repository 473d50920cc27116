"""The compiled loops behind products with the Hessian over CSR rows; release the GIL and compute in float64.

See `gpu_logreg.passes.cpu.loops.sparse` for the numbers of columns, which are not checked here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, log1p_up_to_one, row_terms, smaller
from gpu_logreg.passes.cpu.loops.memory import release, scratch
from gpu_logreg.passes.cpu.loops.sparse import TILE_ROWS, logits_of_sparse_rows

__all__ = [
    "add_outer_products_of_rows",
    "fill_products_of_rows",
    "fill_sparse_probabilities",
    "fill_sparse_rows",
    "sum_kept_sparse_rows",
]

# Without "reassoc", as for gradients.
_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_kept_sparse_rows(
    x: Any, column: Any, start: Any, y: Any, s: Any, h: Any, v: Any, c: Any, first: Any, last: Any, dw: Any
) -> Any:
    """As `gpu_logreg.passes.cpu.loops.products.sum_kept_rows`, of the rows ``first`` to ``last`` of all CSR rows."""
    e, loss, dc = scratch(TILE_ROWS, v, 0), 0.0, 0.0
    for i in range(first, last, TILE_ROWS):
        m = smaller(TILE_ROWS, last - i)
        logits_of_sparse_rows(x, column, start, v, c, i, m, e)
        if y is None:
            for r in range(m):
                e[r] *= h[i + r]
        else:
            for r in range(m):
                f, dz, linear = row_terms(e[r], float(y[i + r]))
                s_r = 1.0 if s is None else float(s[i + r])
                loss += (linear + log1p_up_to_one(f)) * s_r
                h[i + r] = f / ((1.0 + f) * (1.0 + f)) * s_r
                e[r] = dz * s_r
        for r in range(m):
            e_r = e[r]
            dc += e_r
            for k in range(np.uintp(start[i + r]), np.uintp(start[i + r + 1])):
                dw[np.uintp(column[k])] += e_r * x[k]
    release(e)
    return loss, dc


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
def fill_sparse_rows(x: Any, column: Any, start: Any, y: Any, s: Any, P: Any, V: Any, c: Any, E: Any) -> Any:
    """What rows of K classes multiply their elements by, into ``E``; the sum of their losses is returned.

    Parameters
    ----------
    x, column : arrays
        ``data`` and ``indices`` of CSR rows.
    start : array of shape (n + 1,)
        ``indptr`` of all rows, or of some consecutive ones.
    y : integer array of shape (n,) or None
        Numbers of the classes: ``V`` and ``c`` are a point, ``E_i = dz_i``, and ``P`` is filled. None: they are a
        direction, ``E_i = s_i (diag(p_i) - p_i p_i.T) (V.T x_i + c)``, and the loss is 0.
    s : array of shape (n,) or None
    P, E : float64 arrays of shape (n, K)
    V : float64 array of shape (d, K)
    c : float64 array of shape (K,)
    """
    K, loss = len(c), 0.0
    for i in range(len(E)):
        p, e = P[i], E[i]
        s_i = 1.0 if s is None else float(s[i])
        _fill_logits(x, column, np.uintp(start[i]), np.uintp(start[i + 1]), V, c, e)
        if y is None:
            for _ in range(2):  # see `gpu_logreg.mathematics.softmax.curvature_product`
                mean = 0.0
                for k in range(K):
                    mean += p[k] * e[k]
                for k in range(K):
                    e[k] -= mean
            for k in range(K):
                e[k] *= s_i * p[k]
        else:
            label = int(y[i])
            rest, below = _fill_probabilities(e, p, label)
            loss += s_i * (math.log1p(rest) - below)
            others = 0.0  # dz of the class of the row is minus the sum of the other probabilities, which keeps digits
            for k in range(K):
                others += 0.0 if k == label else p[k]
                e[k] = s_i * p[k]
            e[label] = -s_i * others
    return loss


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _fill_probabilities(z: Any, p: Any, label: Any) -> Any:
    """Probabilities of one row with the logits ``z``; ``(rest, z_y - m)`` with the largest logit ``m``.

    ``rest``: the sum of ``exp(z_k - m)`` without the largest.
    """
    K = len(z)
    largest, at = z[0], 0
    for k in range(1, K):
        if z[k] > largest:
            largest, at = z[k], k
    below, rest = z[label] - largest, 0.0
    for k in range(K):
        p[k] = exp_of_negative(z[k] - largest)
    for k in range(K):
        rest += 0.0 if k == at else p[k]
    for k in range(K):
        p[k] /= 1.0 + rest
    return rest, below


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_sparse_probabilities(x: Any, column: Any, start: Any, W: Any, b: Any, P: Any) -> None:
    """Probabilities of CSR rows, into ``P`` of shape (n, K); arguments as of `fill_sparse_rows`."""
    z = scratch(len(b), b, 0)
    for i in range(len(P)):
        _fill_logits(x, column, np.uintp(start[i]), np.uintp(start[i + 1]), W, b, z)
        _fill_probabilities(z, P[i], 0)
    release(z)


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


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_products_of_rows(x: Any, column: Any, start: Any, W: Any, c: Any, first: Any, Z: Any) -> None:
    """``Z_ik = x_i @ W_k + c_k`` of all rows, for the m classes from ``first`` on; ``W`` of shape (d, m)."""
    for i in range(len(Z)):
        z = Z[i, first : first + len(c)]
        _fill_logits(x, column, np.uintp(start[i]), np.uintp(start[i + 1]), W, c, z)
