"""The reference steps of a network: an epoch of mini-batches, by the plain formulas.

An epoch is one walk over the rows in a given order. Each batch of rows is gathered and goes forward and backward
through the network, and the optimiser updates the parameters. Nothing is copied to the host within an epoch, so that
the host never waits for a GPU.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array, IntVector
from gpu_logreg.mathematics.network import loss_and_gradient
from gpu_logreg.passes.training import Training, take_batch
from gpu_logreg.rows.block import Rows

__all__ = ["reference_epoch"]


def reference_epoch(training: Training, rows: Rows, order: IntVector, batch_size: int, rate: float) -> Array:
    """One epoch of steps.

    Parameters
    ----------
    training : Training
        Its ``params`` and ``optimizer`` are updated.
    rows : Rows
    order : integer ndarray, on the host
        Numbers of the rows to walk over, in order; consecutive ones form a batch, the last may be smaller.
    batch_size : int
    rate : float
        Learning rate.

    Returns
    -------
    array of no dimension, float64
        Mean over the rows of the value of their batch before its update; where the rows live.

    Examples
    --------
    >>> from gpu_logreg.mathematics.network import Network
    >>> from gpu_logreg.mathematics.optimizers import Sgd
    >>> training = Training(Network((1, 1)), np.zeros(2), Sgd())
    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([1, 0]), None)
    >>> value = reference_epoch(training, rows, np.arange(2), batch_size=2, rate=1.0)
    >>> round(float(value), 3), training.params  # log(2), and one step of gradient descent
    (0.693, array([0.5, 0. ]))
    """
    network, params = training.network, training.params
    order = array_namespace(rows.X).asarray(order)
    W = params[: network.n_weights]
    value_sum: Array = 0.0
    total: Array = 0.0
    for first in range(0, len(order), batch_size):
        at = order[first : first + batch_size]
        batch = take_batch(rows, at, params.dtype)
        weight: Array = float(len(at)) if batch.sample_weight is None else batch.sample_weight.sum(dtype=np.float64)
        l2 = training.fixed_l2 + training.alpha / weight
        loss_sum, grad = loss_and_gradient(network, params, *batch)
        value_sum = value_sum + loss_sum + 0.5 * l2 * weight * (W * W).sum(dtype=np.float64)
        total = total + weight
        grad /= weight
        grad[: network.n_weights] += l2 * W
        trained = slice(training.n_trained)
        training.optimizer.update(params[trained], grad[trained], rate, network.n_weights)
    return value_sum / total
