"""The factor of each column by which the penalty on its weight is multiplied, as a user gives it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.offset import SOLVERS_WITHOUT

__all__ = ["given_factors"]

LARGEST_FACTOR = 1e100
"""Above it a factor times a strength may overflow; a weight is zero long before."""


def given_factors(penalty_factor: Any, n_columns: int, solver: str) -> Float64Vector:
    """Factors of shape (d,), checked.

    Parameters
    ----------
    penalty_factor : array-like of shape (d,)
    n_columns : int
    solver : str
        That is asked for.

    Raises
    ------
    DataError
        Another length, a factor that is negative, infinite or NaN; a solver that cannot.

    Examples
    --------
    >>> given_factors([0, 1.5], 2, "auto")
    array([0. , 1.5])
    """
    if solver in SOLVERS_WITHOUT:
        raise DataError(f"penalty_factor cannot be used with solver={solver!r}; use solver='auto'")
    try:
        factors = np.asarray(penalty_factor, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("penalty_factor holds what is no number; give a factor for each column of X") from error
    if factors.shape != (n_columns,):
        raise DataError(f"penalty_factor has shape {factors.shape}, and X has {n_columns} columns; give one for each")
    wrong = ~((factors >= 0.0) & (factors <= LARGEST_FACTOR))
    if wrong.any():
        j = int(wrong.argmax())
        raise DataError(
            f"penalty_factor is {factors[j]:g} at column {j}; give 0 for no penalty, or a positive number up to "
            f"{LARGEST_FACTOR:g}"
        )
    return factors
