"""Steps on a GPU: cuBLAS for the products, one launch each for what lies between them, no wait within an epoch.

Not measured on a GPU. A batch of a network with one hidden layer is a gather, five products, and launches of
``activation.cu`` (forward and backward), ``sigmoid_cross_entropy.cu`` and ``adam.cu``; the sums of the intercepts and
the other update rules are CuPy's own. Losses and penalties of the batches stay on the device until the epoch ends.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gpu_logreg.backend import array_namespace, import_cupy
from gpu_logreg.network import loss_and_dz
from gpu_logreg.optimizers import Adam
from gpu_logreg.passes import Rows
from gpu_logreg.passes.cublas import BLOCK, HEADERS, KERNEL, MAX_BLOCKS, kernel_options
from gpu_logreg.passes.kernel_text import kernel_source
from gpu_logreg.passes.steps import Training, take_batch

__all__ = ["ACTIVATION_CODES", "activation_options", "adam_options", "cuda_epoch", "supports"]

ACTIVATION_CODES = {"identity": 0, "logistic": 1, "tanh": 2, "relu": 3}

_MOST_ELEMENTS = 2**32 - MAX_BLOCKS * BLOCK
_NULL = np.uintp(0)


def supports(rows: Rows, training: Training) -> str | None:
    """Why these steps cannot be made; None if they can."""
    for name, array in {"X": rows.X, "y": rows.y, "params": training.params}.items():
        if array_namespace(array) is np:
            kind = f"{type(array).__module__}.{type(array).__qualname__}"
            return f"the cuda steps take CuPy arrays, and {name} is a {kind}"
    if training.params.dtype not in (np.float32, np.float64):
        return f"the cuda steps compute in float32 or float64, and the parameters are {training.params.dtype}"
    return None


def activation_options(activation: str, real: str) -> tuple[str, ...]:
    """Compiler options of ``activation.cu``."""
    return (f"-DREAL={real}", f"-DACTIVATION={ACTIVATION_CODES[activation]}", f"-DBLOCK={BLOCK}")


def adam_options(real: str) -> tuple[str, ...]:
    """Compiler options of ``adam.cu``."""
    return (f"-DREAL={real}", f"-DBLOCK={BLOCK}")


@functools.cache
def _kernel(file: str, name: str, options: tuple[str, ...], device: int) -> Any:
    """A kernel, compiled once per process and device (CuPy keeps binaries on disk)."""
    cupy: Any = import_cupy()
    return cupy.RawModule(code=kernel_source(f"{file}.cu", HEADERS), options=options).get_function(name)


def _grid(n: int) -> tuple[int]:
    return (max(1, min(MAX_BLOCKS, -(-n // BLOCK))),)


def cuda_epoch(training: Training, rows: Rows, order: Any, batch_size: int, rate: float) -> Any:
    """One epoch of steps; see `gpu_logreg.passes.steps.reference_epoch`. Nothing in it waits for the device."""
    cupy: Any = import_cupy()
    with rows.X.device:
        order = cupy.asarray(order)
        n_batches = -(-order.shape[0] // batch_size)
        weights = _batch_weights(cupy, rows.sample_weight, order, batch_size, n_batches)
        step = _Steps(cupy, training, rows, min(batch_size, order.shape[0]), n_batches)
        for number in range(n_batches):
            step(order[number * batch_size : (number + 1) * batch_size], number, weights[number : number + 1], rate)
        return step.mean_value(weights)


def _batch_weights(cupy: Any, sample_weight: Any, order: Any, batch_size: int, n_batches: int) -> Any:
    """Weight of every batch, (n_batches,) in float64, on the device."""
    n = order.shape[0]
    padded = cupy.zeros(n_batches * batch_size, dtype=np.float64)
    padded[:n] = 1.0 if sample_weight is None else sample_weight[order]
    return padded.reshape(n_batches, batch_size).sum(axis=1)


class _Steps:
    """Room to work in and kernels, made once per epoch."""

    def __init__(self, cupy: Any, training: Training, rows: Rows, batch_size: int, n_batches: int) -> None:
        self.cupy, self.training, self.rows = cupy, training, rows
        network, dtype = training.network, training.params.dtype
        if batch_size * max(network.sizes) >= _MOST_ELEMENTS:
            raise ValueError(f"a batch of {batch_size} rows is beyond the 32-bit counts of activation.cu")
        real, device = dtype.name, rows.X.device.id
        activation = activation_options(network.activation, real)
        self.activate = _kernel("activation", "bias_activation", activation, device)
        self.times_derivative = _kernel("activation", "times_derivative", activation, device)
        self.adam = _kernel("adam", "adam", adam_options(real), device)
        self.layers = network.unpack(training.params)
        self.grad = cupy.empty(network.n_params, dtype=dtype)
        self.gradients = network.unpack(self.grad)
        self.hidden = [cupy.empty((batch_size, m), dtype=dtype) for m in network.sizes[1:-1]]
        self.hidden_dz = [cupy.empty((batch_size, m), dtype=dtype) for m in network.sizes[1:-1]]
        # Per batch: the losses of blocks of rows above the sums of dz, which nobody needs; the squares of the weights.
        self.loss_partial = cupy.zeros((n_batches, 2, _grid(batch_size)[0]), dtype=np.float64)
        self.square_partial = cupy.zeros((n_batches, _grid(network.n_params)[0]), dtype=np.float64)

    def __call__(self, at: Any, number: int, weight: Any, rate: float) -> None:
        """Forward, backward and update of one batch."""
        X, y, s = take_batch(self.rows, at, self.training.params.dtype)
        n, last = X.shape[0], len(self.layers) - 1
        activations = [X]
        for l, (W, b) in enumerate(self.layers[:-1]):  # noqa: E741
            a = self.hidden[l][:n]
            self.cupy.matmul(activations[-1], W, out=a)
            self.activate(_grid(a.size), (BLOCK,), (a, b, np.uint32(a.shape[1]), np.uint32(a.size)))
            activations.append(a)
        W, b = self.layers[last]
        dz = self._loss(activations[-1] @ W + b, y, s, number)
        for l in range(last, -1, -1):  # noqa: E741
            a = activations[l]
            self.cupy.matmul(a.T, dz, out=self.gradients[l].W)
            self.gradients[l].b[...] = dz.sum(axis=0)
            if l > 0:
                below = self.hidden_dz[l - 1][:n]
                self.cupy.matmul(dz, self.layers[l].W.T, out=below)
                self.times_derivative(_grid(a.size), (BLOCK,), (below, a, np.uint32(a.size)))
                dz = below
        self._update(number, weight, rate)

    def _loss(self, z: Any, y: Any, s: Any, number: int) -> Any:
        """``dz`` from the logits; the loss is left on the device. Of several logits it is CuPy's own."""
        if z.shape[1] > 1:
            loss_sum, dz = loss_and_dz(z, y, s)
            self.loss_partial[number, 0, 0] = loss_sum
            return dz
        n, weight = z.shape[0], None if s is None else s.dtype.name
        kernel = _kernel(KERNEL, KERNEL, kernel_options(z.dtype.name, y.dtype.name, weight), self.rows.X.device.id)
        partial = self.loss_partial[number, :, : _grid(n)[0]]
        if not partial.flags.c_contiguous:  # the last batch is smaller and takes a smaller grid
            partial = self.cupy.empty((2, _grid(n)[0]), dtype=np.float64)
        # The intercept is in z already.
        kernel(_grid(n), (BLOCK,), (z, np.float64(0.0), y, _NULL if s is None else s, z, partial, np.int64(n)))
        self.loss_partial[number, :, : _grid(n)[0]] = partial
        return z

    def _update(self, number: int, weight: Any, rate: float) -> None:
        training, network = self.training, self.training.network
        optimizer, params = training.optimizer, training.params
        if not isinstance(optimizer, Adam):
            W = params[: network.n_weights]
            l2 = training.fixed_l2 + training.alpha / weight
            self.square_partial[number, 0] = (W * W).sum(dtype=np.float64)
            self.grad /= weight
            self.grad[: network.n_weights] += l2 * W
            trained = slice(training.n_trained)
            optimizer.update(params[trained], self.grad[trained], rate, network.n_weights)
            return
        optimizer.remember(params[: training.n_trained])
        optimizer.n_updates += 1
        first, root = optimizer.corrections(optimizer.n_updates)
        numbers = (
            *(training.alpha, training.fixed_l2, 1.0 - rate * optimizer.decay, rate / first, 1.0 / root),
            *(optimizer.beta_1, optimizer.beta_2, optimizer.epsilon),
        )
        self.adam(
            _grid(network.n_params),
            (BLOCK,),
            (
                *(params, self.grad, optimizer.m, optimizer.v, weight, *map(np.float64, numbers)),
                *(self.square_partial[number], np.int64(network.n_weights), np.int64(training.n_trained)),
            ),
        )

    def mean_value(self, weights: Any) -> Any:
        """Mean over the rows of the value of their batch."""
        losses = self.loss_partial[:, 0].sum(axis=1)
        l2 = self.training.fixed_l2 + self.training.alpha / weights
        squares = self.square_partial.sum(axis=1)
        return (losses + 0.5 * l2 * weights * squares).sum() / weights.sum()
