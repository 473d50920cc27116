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
from gpu_logreg.arrays.vector import DType, Float64Matrix, Float64Vector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.penalty import l2_penalty
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.rows.resident import ResidentDataset

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
    w, b = objective.unpack(params)
    by_class = np.atleast_2d(w)
    intercepts = [_dot_plus(row, objective.centre, b_k) for row, b_k in zip(by_class, np.atleast_1d(b), strict=True)]
    wide = dataset.n_rows * dataset.n_columns * len(by_class) <= _WIDE_ELEMENTS
    dtype = dataset.widest_dtype if wide else np.dtype(np.float64)
    point = by_class.T, objective.centre, np.array(intercepts), np.dtype(dtype)
    total = sum(map(sum, dataset.map_blocks(_losses_about_the_centre, objective.loss, *point)))
    objective.reads.total += 1.0
    return float(total) / float(dataset.weight_total) + l2_penalty(w, objective.l2)[0]


def _losses_about_the_centre(
    data: ResidentDataset,
    loss: Loss,
    by_column: Float64Matrix,
    centre: Float64Vector,
    intercepts: Float64Vector,
    dtype: DType,
) -> list[float]:
    """Sums of the weighted losses of blocks of rows."""
    X, y, s = data.rows
    W, c, at_centre = (data.xp.asarray(array, dtype) for array in (by_column, centre, intercepts))

    def of_block(part: slice) -> float:
        z = (rows_at(X, part, np.float64).astype(dtype) - c) @ W + at_centre
        row_loss = loss.row_loss(z.astype(np.float64), y[part])
        return float((row_loss if s is None else row_loss * s[part]).sum(dtype=np.float64))

    return map_row_blocks(of_block, X, EXACT_VALUE, row_bytes=8 * max(1, X.shape[1]))


def _dot_plus(w: Float64Vector, c: Float64Vector, b: float) -> float:
    """``b + c @ w``, exact but for one rounding."""
    if not (np.isfinite(w).all() and np.isfinite(c).all() and np.isfinite(b)):
        return float(b + c @ w)
    terms = (Fraction(float(w_j)) * Fraction(float(c_j)) for w_j, c_j in zip(w, c, strict=True) if w_j and c_j)
    try:
        return float(sum(terms, Fraction(float(b))))
    except OverflowError:
        return float("inf")
