"""The value of an objective to the last digits of float64, where columns are far from zero.

Where columns are far from zero, the logit ``x @ w + b`` is a small difference of large numbers, and its float64 sum has
lost digits that the value needs. It equals ``(x - c) @ w + (b + c @ w)`` for any row ``c``. With the mean of the
columns as ``c`` the first product has small terms. The intercept ``b + c @ w`` still is a difference of large numbers,
but is computed once, in exact rational arithmetic, and rounded once.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from gpu_logreg.arrays.block_sizes import EXACT_VALUE
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.rows.block import Rows

__all__ = ["value_about_the_centre"]

_WIDE_ELEMENTS = 10**7
"""Elements of X, times logits, up to which logits are summed in long double.

Weights of nearly collinear columns cancel in a logit, which costs digits of float64. Long double is slow, and with more
rows the rounding errors of their losses average out. A guess, not measured."""


def value_about_the_centre(objective: Objective, params: Float64Vector) -> float:
    """Mean loss plus ridge penalty at ``params``, from one read of rows that are centred a block at a time.

    Parameters
    ----------
    objective : Objective
        Its ``centre`` is known: the mean of the columns, or any row near it.
    params : ndarray of shape (p,)

    Returns
    -------
    float
        In nats.
    """
    assert objective.centre is not None
    dataset = objective.dataset
    xp = dataset.xp
    w, b = objective.unpack(params)
    by_class = np.atleast_2d(w)
    intercepts = [_dot_plus(row, objective.centre, b_k) for row, b_k in zip(by_class, np.atleast_1d(b), strict=True)]
    wide = dataset.n_rows * dataset.n_columns * len(by_class) <= _WIDE_ELEMENTS
    dtype = dataset.widest_dtype if wide else np.dtype(np.float64)
    W, c, at_centre = (xp.asarray(a, dtype) for a in (by_class.T, objective.centre, np.array(intercepts)))

    def of_rows(rows: Rows) -> list[float]:
        X, y, s = rows

        def of_block(part: slice) -> float:
            z = (rows_at(X, part, np.float64).astype(dtype) - c) @ W + at_centre
            loss = objective.loss.row_loss(z.astype(np.float64), y[part])
            return float((loss if s is None else loss * s[part]).sum(dtype=np.float64))

        return map_row_blocks(of_block, X, EXACT_VALUE, row_bytes=8 * max(1, X.shape[1]))

    total = 0.0
    for rows in dataset.blocks():
        for part in of_rows(rows.rows):
            total += part
    objective.reads.total += 1.0
    return total / float(dataset.weight_total) + 0.5 * objective.l2 * float(np.vdot(w, w))


def _dot_plus(w: Float64Vector, c: Float64Vector, b: float) -> float:
    """``b + c @ w``, exact but for one rounding."""
    if not (np.isfinite(w).all() and np.isfinite(c).all() and np.isfinite(b)):
        return float(b + c @ w)
    terms = (Fraction(float(w_j)) * Fraction(float(c_j)) for w_j, c_j in zip(w, c, strict=True) if w_j and c_j)
    try:
        return float(sum(terms, Fraction(float(b))))
    except OverflowError:
        return float("inf")
