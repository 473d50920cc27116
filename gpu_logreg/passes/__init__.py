"""Passes: one walk over a block of rows that returns plain sums.

A pass is a function ``pass_(rows, w, b) -> Sums``. Sums compose: those of two blocks of rows, added,
are those of the rows together, so threads, CUDA blocks and chunks of a file are one idea.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Float64Vector", "Moments", "Rows", "Sums", "compute_dtype"]

Float64Vector = npt.NDArray[np.float64]


class Rows(NamedTuple):
    """A block of rows, all three arrays on one device.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        Labels: ``uint8`` zeros and ones, or soft labels in [0, 1] in the floating dtype of the pass. Of networks also
        the numbers of the classes, or (n, L) ``uint8`` zeros and ones for L labels.
    sample_weight : array of shape (n,) or None
        ``float32`` or ``float64``; None means 1 for every row.
    """

    X: Any
    y: Any
    sample_weight: Any | None


class Sums(NamedTuple):
    """What a pass returns: sums over its rows, on the host in float64, undivided and without penalty.

    Attributes
    ----------
    loss_sum : float
        ``sum_i s_i row_loss(z_i, y_i)``, in nats.
    dw_sum : ndarray of shape (d,)
        ``X.T @ dz`` with ``dz = s (p - y)``; for K logits ``dZ.T @ X``, of shape (K, d).
    db_sum : float
        ``sum_i dz_i``; for K logits an ndarray of shape (K,).
    """

    loss_sum: float
    dw_sum: Float64Vector
    db_sum: Any

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]
        """Sums of two blocks of rows taken together."""
        return Sums(self.loss_sum + other.loss_sum, self.dw_sum + other.dw_sum, self.db_sum + other.db_sum)


class Moments(NamedTuple):
    """Sums over the columns of ``X``, on the host in float64.

    Attributes
    ----------
    x_sum : ndarray of shape (d,)
        ``sum_i s_i x_ij``.
    xx_sum : ndarray of shape (d,)
        ``sum_i s_i x_ij**2``.
    """

    x_sum: Float64Vector
    xx_sum: Float64Vector

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        """Moments of two blocks of rows taken together."""
        return Moments(self.x_sum + other.x_sum, self.xx_sum + other.xx_sum)


def compute_dtype(storage: Any) -> np.dtype[Any]:
    """Dtype in which rows stored as ``storage`` are computed.

    float32 where it holds every value of ``storage`` exactly (float16, float32, integers of 8 and 16 bits, booleans),
    float64 otherwise.
    """
    return np.dtype(np.float32 if np.can_cast(storage, np.float32, "safe") else np.float64)
