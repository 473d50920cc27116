"""Gradient sums of many models of one logit over sparse rows, in one read: an element meets all models at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative

__all__ = ["sum_without_folds"]


@njit(fastmath=LIBERTIES | {"arcp"})  # type: ignore[untyped-decorator]
def sum_without_folds(
    x: Any, column: Any, start: Any, y: Any, s: Any, of_rows: Any, W: Any, b: Any, learns: Any, first: Any, last: Any,
    z: Any, dw: Any, db: Any,
) -> None:  # fmt: skip
    """Add the gradients of the rows from ``first`` to ``last``, of each model over the rows that it learns from.

    Parameters
    ----------
    x, column, start : arrays
        CSR.
    y : array of shape (n,)
        0 or 1.
    s : array of shape (n,) or (0,)
        Without elements where every row weighs 1.
    of_rows : integer array of shape (n,)
        Fold of every row.
    W, b : float arrays of shape (d, M) and (M,)
        A column for each model.
    learns : float array of shape (n_folds + 1, M)
        1 where a model learns from the rows of a fold, else 0.
    z : float array of shape (M,)
        Room.
    dw, db : float arrays of shape (d, M) and (M,)
    """
    M, weighted = len(b), len(s) > 0
    for i in range(first, last):
        begin, end, of_fold = np.uintp(start[i]), np.uintp(start[i + 1]), learns[of_rows[i]]
        for m in range(M):
            z[m] = b[m]
        for k in range(begin, end):
            value, weights = x[k], W[np.uintp(column[k])]
            for m in range(M):
                z[m] += value * weights[m]
        label, weight = float(y[i]), float(s[i]) if weighted else 1.0
        for m in range(M):
            e = exp_of_negative(-abs(z[m]))
            q = e / (1.0 + e)  # the smaller probability
            z[m] = ((1.0 - label) - q if z[m] >= 0.0 else q - label) * (weight * of_fold[m])
            db[m] += z[m]
        for k in range(begin, end):
            value, sums = x[k], dw[np.uintp(column[k])]
            for m in range(M):
                sums[m] += value * z[m]
