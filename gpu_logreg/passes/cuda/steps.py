"""Steps on a GPU: a CUDA graph of own kernels, or launches from Python around cuBLAS; no wait for a batch either way.

Not measured on a GPU. See `gpu_logreg.passes.cuda.steps_graph` and `gpu_logreg.passes.cuda.steps_cublas`.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.mathematics.optimizers import Adam, Sgd
from gpu_logreg.passes.cuda.steps_cublas import CublasEpochs
from gpu_logreg.passes.cuda.steps_graph import GraphEpochs, graph_problem
from gpu_logreg.passes.cuda.steps_kernels import memory_of
from gpu_logreg.passes.cuda.steps_kernels import step_kernel as _kernel
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows

__all__ = ["CudaSteps", "_kernel", "cuda_epoch", "supports"]

logger = logging.getLogger(__name__)


def supports(rows: Rows, training: Training) -> str | None:
    """Why these steps cannot be made; None if they can."""
    for name, array in {"X": rows.X, "y": rows.y, "params": training.params}.items():
        if array_namespace(array) is np:
            kind = f"{type(array).__module__}.{type(array).__qualname__}"
            return f"the cuda steps take CuPy arrays, and {name} is a {kind}"
    if training.params.dtype not in (np.float32, np.float64):
        return f"the cuda steps compute in float32 or float64, and the parameters are {training.params.dtype}"
    if not isinstance(training.optimizer, Adam | Sgd):
        return f"the cuda steps know no {type(training.optimizer).__name__}"
    return None


class CudaSteps:
    """Epochs of one fit. Their arrays on the device are allocated at the first epoch and freed with this object.

    Attributes
    ----------
    how : str
        How the batches are made, and why; empty before the first epoch.
    """

    def __init__(self) -> None:
        self.how = ""
        self._epochs: Any = None
        self._made_for: Any = None

    def __call__(self, training: Training, rows: Rows, order: Any, batch_size: int, rate: float) -> Any:
        """One epoch of steps; see `gpu_logreg.passes.reference.steps.reference_epoch`. It waits for no batch."""
        with rows.X.device:
            n = order.shape[0]
            made_for = _facts(training, rows, min(batch_size, n), n)
            if made_for != self._made_for:
                self._epochs = self._made_for = None  # frees the old arrays before new ones are allocated
                self._epochs = self._make(training, rows, min(batch_size, n), n)
                self._made_for = made_for
            return self._epochs(order, rate)

    def _make(self, training: Training, rows: Rows, batch_rows: int, n: int) -> Any:
        problem = graph_problem(training, rows, batch_rows)
        epochs: Any = (GraphEpochs if problem is None else CublasEpochs)(training, rows, batch_rows, n)
        if problem is None:
            problem = epochs.problem
        self.how = "batches in a CUDA graph" if problem is None else f"batches launched from Python, since {problem}"
        logger.info("steps: %s", self.how)
        return epochs


def _facts(training: Training, rows: Rows, batch_rows: int, n: int) -> tuple[Any, ...]:
    """Sizes, numbers and addresses that the launches hold: where one of them changes, the launches are made anew."""
    arrays = [training.params, *memory_of(training), *rows]
    places = [int(array.data.ptr) if getattr(array, "ndim", 0) else 0 for array in arrays]
    numbers = training.alpha, training.fixed_l2, training.n_trained
    return batch_rows, n, training.network, *numbers, *places


def cuda_epoch(training: Training, rows: Rows, order: Any, batch_size: int, rate: float) -> Any:
    """One epoch by itself."""
    return CudaSteps()(training, rows, order, batch_size, rate)
