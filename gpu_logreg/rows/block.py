"""A block of rows in memory: what a pass is given."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.csr import block_of_rows
from gpu_logreg.arrays.vector import Array, ArrayOfRows, DType, DTypeLike

__all__ = ["Rows", "compute_dtype", "consecutive_rows"]


class Rows(NamedTuple):
    """A block of rows, all three arrays on one device.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        Labels: ``uint8`` zeros and ones, or soft labels in [0, 1] in the floating dtype of the pass. Of networks also
        the numbers of the classes, or (n, L) ``uint8`` zeros and ones for L labels.
    sample_weight : array of shape (n,) or None
        ``float32`` or ``float64``; None is a weight of 1 for every row.
    """

    X: ArrayOfRows
    y: Array
    sample_weight: Array | None


def compute_dtype(storage: DTypeLike) -> DType:
    """Dtype in which rows stored as ``storage`` are computed.

    float32 where it holds every value of ``storage`` exactly (float16, float32, integers of 8 and 16 bits, booleans),
    float64 otherwise.

    Examples
    --------
    >>> compute_dtype(np.uint8), compute_dtype(np.int32)
    (dtype('float32'), dtype('float64'))
    """
    return np.dtype(np.float32 if np.can_cast(storage, np.float32, "safe") else np.float64)


def consecutive_rows(rows: Rows, part: slice) -> Rows:
    """Consecutive sparse rows as a block; ``rows`` itself where the block is all of them."""
    X, y, s = rows
    if part.stop - part.start == X.shape[0]:
        return rows
    return Rows(block_of_rows(X, part), y[part], None if s is None else s[part])
