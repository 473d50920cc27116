"""Values of rows that are finite and yet too large to compute with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.csr import place_of
from gpu_logreg.arrays.device import array_namespace, is_sparse

__all__ = ["first_beyond", "largest_of_row", "too_large"]


def too_large(dtype: Any) -> float:
    """From where on values have squares that the arithmetic in ``dtype`` cannot hold."""
    return math.sqrt(float(np.finfo(dtype).max))


def first_beyond(X: Any, limit: float, at: Any = None) -> tuple[int, int, float] | None:
    """Row, column and value of the first element beyond a limit, or NaN; None if there is none.

    Parameters
    ----------
    X : array of shape (n, d)
    limit : float
    at : integer ndarray or None
        Numbers of the rows to look at, on the host; all if None.
    """
    if X.dtype.kind not in "f" and X.dtype.name != "bfloat16":
        return None
    looked_at = None
    if at is not None:
        looked_at = np.zeros(X.shape[0], bool)
        looked_at[at] = True
    if is_sparse(X):
        step = CONVERTED.host // X.data.itemsize
        for start in range(0, len(X.data), step):
            for element in start + np.flatnonzero(~(np.abs(X.data[start : start + step]) <= limit)):
                row, column = place_of(X, int(element))
                if looked_at is None or looked_at[row]:
                    return row, column, float(X.data[element])
        return None
    xp = array_namespace(X)

    def is_beyond(part: slice) -> Any:
        block = X[part] if X.dtype.kind == "f" else X[part].astype(np.float32)  # bfloat16, which float32 holds exactly
        bad = ~(xp.abs(block) <= limit)
        return bad if looked_at is None else bad & xp.asarray(looked_at[part, None])

    for part, any_beyond in map_row_blocks(lambda part: (part, is_beyond(part).any()), X, CONVERTED):
        if bool(any_beyond):
            row, column = place_of(X, int(is_beyond(part).argmax()))
            return part.start + row, column, float(X[part.start + row, column])
    return None


def largest_of_row(X: Any, row: int) -> tuple[int, float]:
    """Column and value of the largest element of a row, by its size."""
    values = X[[row]].toarray()[0] if is_sparse(X) else X[row]
    column = int(array_namespace(values).abs(values).argmax())
    return column, float(values[column])
