"""The state of a network in training and the batches of its steps: what the steps of every hardware share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpu_logreg.arrays.device import array_namespace, is_sparse, to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, IntVector
from gpu_logreg.mathematics.network import Network
from gpu_logreg.mathematics.optimizers import Optimizer
from gpu_logreg.rows.block import Rows

__all__ = ["Training", "rows_with_weight", "take_batch"]


@dataclass
class Training:
    """A network in training.

    The value of a batch of rows is ``loss_sum / sum(s) + l2 |W|**2 / 2`` with ``l2 = fixed_l2 + alpha / sum(s)``, where
    the sums are over the batch: scikit-learn's networks divide their penalty by the rows of the batch (``alpha``), its
    linear models by all rows (``fixed_l2``).

    Attributes
    ----------
    network : Network
    params : array of shape (n_params,)
        Updated in place; where the rows live, in the dtype of the arithmetic.
    optimizer : Optimizer
    alpha, fixed_l2 : float
        Strengths of the ridge penalty: divided by the weight of a batch, and of every batch alike.
    fit_intercept : bool
        Whether intercepts are updated.
    """

    network: Network
    params: Array
    optimizer: Optimizer
    alpha: float = 0.0
    fixed_l2: float = 0.0
    fit_intercept: bool = True

    @property
    def n_trained(self) -> int:
        """Number of parameters that are updated: all, or the weights, which come first."""
        return self.network.n_params if self.fit_intercept else self.network.n_weights


def take_batch(rows: Rows, at: Array | slice, dtype: DTypeLike) -> Rows:
    """Copies of the rows ``at``, with ``X`` in C order and in ``dtype``; sparse rows stay sparse."""
    X, y, sample_weight = rows
    xp = array_namespace(X)
    batch = X[at].astype(dtype, copy=False)
    if not is_sparse(X):
        batch = xp.ascontiguousarray(batch)
    return Rows(batch, y[at], None if sample_weight is None else sample_weight[at])


def rows_with_weight(sample_weight: Array | None, n: int, dtype: DTypeLike) -> IntVector:
    """Numbers of the rows whose weight changes a sum over all rows; training walks over these alone.

    A row of weight zero is removed. So is a row whose weight is below the rounding error of the mean weight: all such
    rows together do not change the rounded total, and a batch of them alone would be divided by almost zero.

    Parameters
    ----------
    sample_weight : array of shape (n,) or None
    n : int
    dtype : dtype
        Dtype of the arithmetic.

    Returns
    -------
    integer ndarray, on the host

    Examples
    --------
    >>> rows_with_weight(np.array([1.0, 0.0, 2.0, 1e-30]), 4, np.float32)
    array([0, 2])
    """
    if sample_weight is None:
        return np.arange(n)
    s = to_numpy(sample_weight)
    return np.flatnonzero(s > np.finfo(dtype).eps * (s.sum(dtype=np.float64) / n))
