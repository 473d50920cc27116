"""Relative rounding errors of the value of a linear model, from the size of the terms that its logits are summed from.

A logit is a sum of terms ``w_j x_j`` of a size ``t``, and has an error of about ``precision t``. The errors change the
value by ``mean(dz_i error_i)``, a random sum of at most ``precision t sqrt(2 value / n)``, since
``dz**2 <= 2 row_loss``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["rounding_about_the_centre", "rounding_of_a_pass"]

EPS = float(np.finfo(np.float64).eps)

LEAST_VALUE = 1e-300
"""Value that one of zero is taken for, which has no relative error."""


def rounding_of_a_pass(
    w: Float64Vector,
    value: float,
    penalty: float,
    n_rows: int,
    precision: float,
    centre: Float64Vector | None,
    second: Float64Vector | None,
) -> float:
    """Relative rounding error of a value from a pass over the rows.

    Three more errors are added: the rounding of the losses; that of the penalty, as the pass computes with rounded
    ``w``; and that of the float64 result.

    Parameters
    ----------
    w : ndarray of shape (d,), or (K, d)
    value, penalty : float
        Mean loss plus ridge penalty, and the latter alone.
    n_rows : int
    precision : float
        Machine epsilon of the dtype that the pass computes in.
    centre, second : ndarray of shape (d,) or None
        Mean of every column and of its square; with None the terms are taken for 1.
    """
    terms = 1.0
    if centre is not None and second is not None:
        # Where this overflows, so would the logits, and an infinite rounding error is a fair estimate.
        with np.errstate(over="ignore", invalid="ignore"):
            squares, products = _of_weights(w, second, centre)
            if w.ndim == 1:
                size = math.sqrt(squares) + abs(float(products))
            else:
                size = float(np.max(np.sqrt(squares) + np.abs(products)))
            terms += size if size == size else math.inf
    n = max(1, n_rows)
    by_rows = precision * (1.0 + terms * math.sqrt(2.0 / max(abs(value), LEAST_VALUE))) / math.sqrt(n)
    by_penalty = 2.0 * precision * penalty / max(abs(value), LEAST_VALUE)
    return 4.0 * EPS + by_rows + by_penalty


def _of_weights(w: Float64Vector, second: Float64Vector, centre: Float64Vector) -> tuple[Any, Any]:
    """``w**2 @ second`` and ``w @ centre``."""
    if w.size < wide_vectors.LEAST_WIDE:
        return (w * w) @ second, w @ centre

    def of_columns(part: slice) -> Any:
        some = w[..., part]
        return np.stack([(some * some) @ second[part], some @ centre[part]])

    columns = wide_vectors.columns_of_a_piece(w.size // len(centre))
    squares, products = np.sum(wide_vectors.each_piece(of_columns, len(centre), columns), axis=0)
    return squares, products


def rounding_about_the_centre(w: Float64Vector, value: float, n_rows: int, spread: Float64Vector) -> float:
    """Relative rounding error of a value that is summed over rows in standardised columns, in float64.

    As `rounding_of_a_pass`, and at most ``precision t``, since ``|dz| <= row_loss`` too.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        terms = float(np.linalg.norm(w * spread, axis=-1).max())
    return EPS * terms * math.sqrt(min(1.0, 2.0 / max(abs(value), LEAST_VALUE) / max(1, n_rows)))
