"""Elements of rows that are finite, but so large that sums of their squares overflow."""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.block_sizes import CONVERTED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.csr import place_of
from gpu_logreg.arrays.device import array_namespace, is_sparse
from gpu_logreg.arrays.vector import Array, ArrayOfRows, DTypeLike, IntVector

__all__ = ["first_beyond", "largest_of_row", "too_large"]


def too_large(dtype: DTypeLike) -> float:
    """The least value whose square overflows in ``dtype``: the square root of its largest number.

    Examples
    --------
    >>> print(f"{too_large(np.float32):.4g}")
    1.845e+19
    """
    return math.sqrt(float(np.finfo(dtype).max))


def first_beyond(X: ArrayOfRows, limit: float, at: IntVector | None = None) -> tuple[int, int, float] | None:
    """Row, column and value of the first element that is larger than a limit or NaN; None if there is none.

    Parameters
    ----------
    X : array of shape (n, d)
    limit : float
    at : integer ndarray or None
        Numbers of the rows to look at, on the host; all if None.

    Examples
    --------
    >>> first_beyond(np.array([[1.0, 2.0], [-1e30, 0.0]]), limit=1e20)
    (1, 0, -1e+30)
    """
    if X.dtype.kind not in "f" and X.dtype.name != "bfloat16":
        return None
    is_searched = None
    if at is not None:
        is_searched = np.zeros(X.shape[0], bool)
        is_searched[at] = True
    if is_sparse(X):
        step = CONVERTED.host // X.data.itemsize
        for start in range(0, len(X.data), step):
            for element in start + np.flatnonzero(~(np.abs(X.data[start : start + step]) <= limit)):
                row, column = place_of(X, int(element))
                if is_searched is None or is_searched[row]:
                    return row, column, float(X.data[element])
        return None
    xp = array_namespace(X)

    def is_beyond(part: slice) -> Array:
        block = X[part] if X.dtype.kind == "f" else X[part].astype(np.float32)  # bfloat16, which float32 holds exactly
        bad = ~(xp.abs(block) <= limit)
        return bad if is_searched is None else bad & xp.asarray(is_searched[part, None])

    for part, any_beyond in map_row_blocks(lambda part: (part, is_beyond(part).any()), X, CONVERTED):
        if bool(any_beyond):
            row, column = place_of(X, int(is_beyond(part).argmax()))
            return part.start + row, column, float(X[part.start + row, column])
    return None


def largest_of_row(X: ArrayOfRows, row: int) -> tuple[int, float]:
    """Column and value of the element of a row that is largest in magnitude.

    Examples
    --------
    >>> largest_of_row(np.array([[1.0, -3.0, 2.0]]), 0)
    (1, -3.0)
    """
    values = X[[row]].toarray()[0] if is_sparse(X) else X[row]
    column = int(array_namespace(values).abs(values).argmax())
    return column, float(values[column])
