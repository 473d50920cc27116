"""An epoch of steps on a GPU by launches from Python: cuBLAS for the products, one launch each for what lies between.

Not measured on a GPU. A batch of a network with one hidden layer is a gather, five products, and launches of
``activation.cu`` (forward and backward), ``sigmoid_cross_entropy.cu`` and ``update.cu``; the sums of the intercepts are
CuPy's own. Losses of the batches stay on the device until the epoch ends, and nothing waits for it before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.mathematics.network import loss_and_dz
from gpu_logreg.passes.cuda.cublas import BLOCK, HEADERS, KERNEL, MAX_BLOCKS, kernel_options
from gpu_logreg.passes.cuda.steps_kernels import (
    ACTIVATION_HEADERS,
    NULL,
    Epochs,
    activation_options,
    grid_of,
    step_kernel,
)
from gpu_logreg.passes.training import Training, take_batch
from gpu_logreg.rows.block import Rows

__all__ = ["CublasEpochs"]

_MOST_ELEMENTS = 2**32 - MAX_BLOCKS * BLOCK  # activation.cu counts elements in 32 bits, and steps by a whole grid


class CublasEpochs(Epochs):
    """Epochs whose batches are launched from Python; arrays and kernels are made once for a fit."""

    def __init__(self, training: Training, rows: Rows, batch_rows: int, n: int) -> None:
        network, dtype = training.network, training.params.dtype
        if batch_rows * max(network.sizes) >= _MOST_ELEMENTS:
            raise ValueError(f"a batch of {batch_rows} rows is beyond the 32-bit counts of activation.cu")
        super().__init__(training, rows, batch_rows, n)
        cupy, device = self.cupy, rows.X.device.id
        options = activation_options(network.activation, dtype.name)
        self.activate, self.times_derivative = (
            step_kernel(name, ACTIVATION_HEADERS, options, device, "activation")
            for name in ("bias_activation", "times_derivative")
        )
        self.layers = network.unpack(training.params)
        self.grad = cupy.empty(network.n_params, dtype=dtype)
        self.gradients = network.unpack(self.grad)
        self.hidden = [cupy.empty((batch_rows, m), dtype=dtype) for m in network.sizes[1:-1]]
        self.hidden_dz = [cupy.empty((batch_rows, m), dtype=dtype) for m in network.sizes[1:-1]]
        # For every batch two rows: losses of the blocks of the kernel, and their sums of dz, which are not used.
        self.loss_partial = cupy.zeros((self.n_batches, 2, grid_of(batch_rows)[0]), dtype=np.float64)

    def __call__(self, order: Any, rate: float) -> Any:
        """One epoch; its mean value, on the device."""
        self.begin(order, rate)
        for number in range(self.n_batches):
            self._batch(self.order[number * self.batch_rows : (number + 1) * self.batch_rows], number)
            update, grid, arguments = self.update_launch(self.grad, 1, NULL, number)
            update(grid, (BLOCK,), arguments)
        return self.mean_value(self.loss_partial[:, 0].sum())

    def _batch(self, at: Any, number: int) -> None:
        """Forward and backward of one batch."""
        X, y, s = take_batch(self.rows, at, self.training.params.dtype)
        n, last = X.shape[0], len(self.layers) - 1
        activations = [X]
        for l, (W, b) in enumerate(self.layers[:-1]):  # noqa: E741
            a = self.hidden[l][:n]
            self.cupy.matmul(activations[-1], W, out=a)
            self.activate(grid_of(a.size), (BLOCK,), (a, b, np.uint32(a.shape[1]), np.uint32(a.size)))
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
                self.times_derivative(grid_of(a.size), (BLOCK,), (below, a, np.uint32(a.size)))
                dz = below

    def _loss(self, z: Any, y: Any, s: Any, number: int) -> Any:
        """``dz`` from the logits ``z``, in their place where there is one; the loss is left on the device.

        One logit is the kernel's; losses of several logits are computed by CuPy's own functions.
        """
        if z.shape[1] > 1:
            loss_sum, dz = loss_and_dz(z, y, s)
            self.loss_partial[number, 0, 0] = loss_sum
            return dz
        n, weight = z.shape[0], None if s is None else s.dtype.name
        options = kernel_options(z.dtype.name, y.dtype.name, weight)
        kernel = step_kernel(KERNEL, HEADERS, options, self.rows.X.device.id)
        partial = self.loss_partial[number, :, : grid_of(n)[0]]
        if not partial.flags.c_contiguous:  # the last batch is smaller and takes a smaller grid
            partial = self.cupy.empty((2, grid_of(n)[0]), dtype=np.float64)
        # The intercept is in z already.
        kernel(grid_of(n), (BLOCK,), (z, np.float64(0.0), y, NULL if s is None else s, z, partial, np.int64(n)))
        self.loss_partial[number, :, : grid_of(n)[0]] = partial
        return z
