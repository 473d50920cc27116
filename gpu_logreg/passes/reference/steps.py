"""Steps: walks over rows in batches that change the parameters after every batch; the slow and obvious one.

An epoch is one walk over the rows in a given order. A batch of rows is gathered, goes forward and backward through the
network, and the optimiser makes its update; nothing is sent to the host, so a GPU is never waited for within an epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.mathematics.network import loss_and_gradient
from gpu_logreg.passes.training import Training, take_batch
from gpu_logreg.rows.block import Rows

__all__ = ["reference_epoch"]


def reference_epoch(training: Training, rows: Rows, order: Any, batch_size: int, rate: float) -> Any:
    """One epoch of steps.

    Parameters
    ----------
    training : Training
        Its ``params`` and ``optimizer`` are changed.
    rows : Rows
    order : integer ndarray, on the host
        Numbers of the rows to walk over, in order; consecutive ones form a batch, the last may be smaller.
    batch_size : int
    rate : float
        Learning rate.

    Returns
    -------
    array of no dimension, float64
        Mean over the rows of the value of their batch, before its update; where the rows live.
    """
    network, params = training.network, training.params
    order = array_namespace(rows.X).asarray(order)
    W = params[: network.n_weights]
    value_sum: Any = 0.0
    total: Any = 0.0
    for first in range(0, len(order), batch_size):
        at = order[first : first + batch_size]
        batch = take_batch(rows, at, params.dtype)
        weight: Any = float(len(at)) if batch.sample_weight is None else batch.sample_weight.sum(dtype=np.float64)
        l2 = training.fixed_l2 + training.alpha / weight
        loss_sum, grad = loss_and_gradient(network, params, *batch)
        value_sum = value_sum + loss_sum + 0.5 * l2 * weight * (W * W).sum(dtype=np.float64)
        total = total + weight
        grad /= weight
        grad[: network.n_weights] += l2 * W
        trained = slice(training.n_trained)
        training.optimizer.update(params[trained], grad[trained], rate, network.n_weights)
    return value_sum / total
