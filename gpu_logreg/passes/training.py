"""A network in training, and the rows that a step is taken on: what the steps of every hardware share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace, is_sparse, to_numpy
from gpu_logreg.mathematics.network import Network
from gpu_logreg.mathematics.optimizers import Optimizer
from gpu_logreg.rows.block import Rows

__all__ = ["Training", "rows_that_count", "take_batch"]


@dataclass
class Training:
    """A network in training.

    The value of a batch of rows is ``loss_sum / sum(s) + l2 |W|**2 / 2``, where ``l2 = fixed_l2 + alpha / sum(s)`` with
    the weights of the batch: scikit-learn's networks divide their penalty by the rows of a batch, its linear models
    by all rows.

    Attributes
    ----------
    network : Network
    params : array of shape (n_params,)
        Changed in place, where the rows live and in the dtype of the arithmetic.
    optimizer : Optimizer
    alpha : float
    fixed_l2 : float
    fit_intercept : bool
        Whether intercepts are updated; without it they stay as they are.
    """

    network: Network
    params: Any
    optimizer: Optimizer
    alpha: float = 0.0
    fixed_l2: float = 0.0
    fit_intercept: bool = True

    @property
    def n_trained(self) -> int:
        """How many of the parameters are updated: all, or the weights, which come first."""
        return self.network.n_params if self.fit_intercept else self.network.n_weights


def take_batch(rows: Rows, at: Any, dtype: Any) -> Rows:
    """Copies of the rows ``at``, with ``X`` in C order and in ``dtype``; sparse rows stay sparse."""
    X, y, sample_weight = rows
    xp = array_namespace(X)
    batch = X[at].astype(dtype, copy=False)
    if not is_sparse(X):
        batch = xp.ascontiguousarray(batch)
    return Rows(batch, y[at], None if sample_weight is None else sample_weight[at])


def rows_that_count(sample_weight: Any, n: int, dtype: Any) -> Any:
    """Numbers of the rows that training walks over: those whose weight changes a sum over all rows.

    A weight of zero removes its row. So does one below the rounding of the mean weight: the rows below it together
    do not change the rounded total, and a batch of them alone would divide by next to nothing.

    Parameters
    ----------
    sample_weight : array of shape (n,) or None
    n : int
    dtype : dtype
        Of the arithmetic.

    Returns
    -------
    integer ndarray, on the host
    """
    if sample_weight is None:
        return np.arange(n)
    s = to_numpy(sample_weight)
    return np.flatnonzero(s > np.finfo(dtype).eps * (s.sum(dtype=np.float64) / n))
