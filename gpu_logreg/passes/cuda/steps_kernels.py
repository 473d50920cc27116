"""Kernels of the steps on a GPU, and what both kinds of epochs there share: order, rates, weights and update."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace, import_cupy
from gpu_logreg.mathematics.optimizers import Adam, Sgd
from gpu_logreg.passes.cuda.cublas import BLOCK, HEADERS, MAX_BLOCKS
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows

__all__ = [
    "ACTIVATION_CODES",
    "ACTIVATION_HEADERS",
    "NULL",
    "RULE_CODES",
    "Epochs",
    "activation_options",
    "grid_of",
    "rates_of",
    "rule_of",
    "step_kernel",
    "update_options",
]

ACTIVATION_CODES = {"identity": 0, "logistic": 1, "tanh": 2, "relu": 3}
RULE_CODES = {"sgd": 0, "momentum": 1, "nesterov": 2, "adam": 3}

ACTIVATION_HEADERS = (*HEADERS, "activation.cuh")
NULL = np.uintp(0)


def activation_options(activation: str, real: str) -> tuple[str, ...]:
    """Compiler options of ``activation.cu``."""
    return (f"-DREAL={real}", f"-DACTIVATION={ACTIVATION_CODES[activation]}", f"-DBLOCK={BLOCK}")


def update_options(rule: str, real: str) -> tuple[str, ...]:
    """Compiler options of ``update.cu``."""
    return (f"-DREAL={real}", f"-DRULE={RULE_CODES[rule]}", f"-DBLOCK={BLOCK}")


@functools.cache
def step_kernel(name: str, headers: tuple[str, ...], options: tuple[str, ...], device: int, file: str = "") -> Any:
    """The kernel ``name`` of ``file``, by default the file of its name; compiled once per process and device.

    CuPy keeps binaries on disk.
    """
    cupy: Any = import_cupy()
    return cupy.RawModule(code=kernel_source(f"{file or name}.cu", headers), options=options).get_function(name)


def grid_of(n: int) -> tuple[int]:
    """Blocks for ``n`` elements, a thread for each while there are fewer than `MAX_BLOCKS`."""
    return (max(1, min(MAX_BLOCKS, -(-n // BLOCK))),)


def rule_of(optimizer: Any) -> str:
    """Name of an update rule, as ``update.cu`` knows it."""
    if isinstance(optimizer, Adam):
        return "adam"
    return "sgd" if optimizer.momentum == 0.0 else "nesterov" if optimizer.nesterov else "momentum"


def rates_of(optimizer: Any, n_batches: int, rate: float) -> Any:
    """What ``update.cu`` takes for each batch, (n_batches, 3): the rate; of Adam ``step``, ``per_root``, ``shrink``."""
    rates = np.ones((n_batches, 3))
    rates[:, 0] = rate
    if isinstance(optimizer, Adam):
        k = optimizer.n_updates + 1.0 + np.arange(n_batches)
        rates[:, 0] /= 1.0 - optimizer.beta_1**k
        rates[:, 1] /= np.sqrt(1.0 - optimizer.beta_2**k)
        rates[:, 2] -= rate * optimizer.decay
    return rates


class Epochs:
    """Epochs over ``n`` rows in batches of ``batch_rows``: their arrays on the device, allocated once, and the update.

    Attributes
    ----------
    order : device array of shape (n,), int64
    rates, weights : device arrays of shapes (n_batches, 3) and (n_batches,), float64
        What changes from batch to batch; see ``update.cu``. Weights are sums over the rows of a batch.
    penalties : device array, float64
        Penalties of the batches so far, times their weights, added by each block of the update.
    """

    def __init__(self, training: Training, rows: Rows, batch_rows: int, n: int) -> None:
        cupy: Any = import_cupy()
        self.cupy, self.training, self.rows = cupy, training, rows
        self.batch_rows, self.n, self.n_batches = batch_rows, n, -(-n // batch_rows)
        n_params, real = training.network.n_params, training.params.dtype.name
        self.order = cupy.empty(n, dtype=np.int64)
        self.rates = cupy.empty((self.n_batches, 3), dtype=np.float64)
        self.weights = cupy.empty(self.n_batches, dtype=np.float64)
        if rows.sample_weight is None:
            counts = np.full(self.n_batches, float(batch_rows))
            counts[-1] = n - batch_rows * (self.n_batches - 1)
            self.weights.set(counts)
        self.penalties = cupy.zeros(grid_of(n_params), dtype=np.float64)
        rule = rule_of(training.optimizer)
        self.update = step_kernel("update", HEADERS, update_options(rule, real), rows.X.device.id)
        self.memory = memory_of(training)

    def begin(self, order: Any, rate: float) -> None:
        """Bring order, rates and weights of an epoch to the device, before its first batch."""
        optimizer = self.training.optimizer
        if array_namespace(order) is np:
            self.order.set(np.ascontiguousarray(order, dtype=np.int64))
        else:
            self.order[...] = order
        self.rates.set(rates_of(optimizer, self.n_batches, rate))
        if self.rows.sample_weight is not None:
            padded = self.cupy.zeros(self.n_batches * self.batch_rows, dtype=np.float64)
            padded[: self.n] = self.rows.sample_weight[self.order]
            self.weights[...] = padded.reshape(self.n_batches, self.batch_rows).sum(axis=1)
        self.penalties[...] = 0.0
        if isinstance(optimizer, Adam):
            optimizer.n_updates += self.n_batches

    def mean_value(self, losses: Any) -> Any:
        """Mean over the rows of the value of their batch, from the losses; it stays on the device."""
        return (losses + self.penalties.sum()) / self.weights.sum()

    def update_launch(self, grad: Any, parts: int, turn: Any, number: int = 0) -> tuple[Any, ...]:
        """Kernel, grid and arguments of the update of one batch; see ``update.cu``."""
        training, network, optimizer = self.training, self.training.network, self.training.optimizer
        numbers: tuple[float, ...] = (getattr(optimizer, "momentum", 0.0), 0.0, 0.0)
        if isinstance(optimizer, Adam):
            numbers = (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)
        arguments = (
            *(training.params, grad, np.int32(parts), *self.memory, self.weights, self.rates),
            *(turn, np.int64(number), np.int64(self.n_batches)),
            *map(np.float64, (training.alpha, training.fixed_l2, *numbers)),
            *(self.penalties, *map(np.int64, (network.n_params, network.n_weights, training.n_trained))),
        )
        return self.update, self.penalties.shape, arguments


def memory_of(training: Training) -> tuple[Any, Any]:
    """The two arrays that the update rule remembers, made where there are none yet; null where it needs fewer."""
    optimizer: Any = training.optimizer
    if isinstance(optimizer, Sgd) and optimizer.momentum == 0.0:
        return NULL, NULL
    optimizer.allocate(training.params[: training.n_trained])
    return (optimizer.m, optimizer.v) if isinstance(optimizer, Adam) else (optimizer.velocity, NULL)
