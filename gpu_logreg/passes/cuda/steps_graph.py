"""An epoch of steps on a GPU as a CUDA graph: own kernels, and nothing between the batches that the host has to do.

Not measured on a GPU. A batch is, for every layer, a launch forward (``dense_forward.cu``, which gathers the rows of
the first), one for its gradient and, but for the first, one backward (``dense_gradient.cu``, ``dense_backward.cu``);
one for losses (``row_losses.cu``) and one for the update (``update.cu``): seven for a network with one hidden layer.
Which batch it is, the order of the rows and the learning rates lie on the device (``batch.cuh``), so that all batches
are the same launches, the smaller last one too. Some batches together are captured as a graph, which is replayed until
the epoch ends. CuPy refuses cuBLAS while it captures, which is why the products are kernels of the project.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import one_line
from gpu_logreg.passes.cuda.checks import row_stride
from gpu_logreg.passes.cuda.cublas import BLOCK, HEADERS
from gpu_logreg.passes.cuda.steps_kernels import ACTIVATION_CODES, ACTIVATION_HEADERS, Epochs, grid_of, step_kernel
from gpu_logreg.passes.cuda.steps_tiles import Tile, choose_parts, choose_tile, tile_options
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows

__all__ = [
    "LAYER_HEADERS",
    "LOSS_HEADERS",
    "PRODUCT_HEADERS",
    "GraphEpochs",
    "graph_problem",
    "layer_options",
    "loss_options",
]

GRAPH_FLOPS = 5e9
"""Most floating-point operations of a batch for which the graph is taken, and not cuBLAS called from Python.

A guess: not measured on a GPU. A batch of launches from Python takes 0.1 ms of the host's time and more. In that time
the kernels of the graph have done less arithmetic than this, although cuBLAS would do the products in less.
"""

CHUNK_BATCHES = 64
CHUNK_FLOPS = 2e12
"""Most batches of one replay of the graph, and most floating-point operations of them.

They bound how long the host waits before it hears of Ctrl-C, two replays: at 20 TFLOP/s, an assumption, 0.2 s.
"""

STORAGES = {name: (name, None) for name in ("float32", "float64", "uint8")} | {
    "bool": ("uint8", np.uint8),
    "float16": ("float16", np.uint16),
    "bfloat16": ("bfloat16", np.uint16),
}
"""For each dtype of ``X``: STORAGE of ``batch.cuh``, and the dtype of the view that the kernel gets; None: its own."""

PRODUCT_HEADERS = (*HEADERS, "batch.cuh", "dense.cuh")
LAYER_HEADERS = (*ACTIVATION_HEADERS, "batch.cuh", "dense.cuh")
LOSS_HEADERS = (*HEADERS, "softmax.cuh", "batch.cuh")

WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
LABELS_AS = {"bool": np.uint8, "int8": np.uint8, "int16": np.uint16}
"""For signed labels and bool, the unsigned dtype whose kernel reads them.

Labels are not negative, so that both have the same bits, and fewer kernels are compiled.
"""

_MOST_ELEMENTS = 2**31  # of the parameters, and of the activations of a batch: the kernels count them in 32 bits


def graph_problem(training: Training, rows: Rows, batch_rows: int) -> str | None:
    """Why batches cannot, or should not, be made by the kernels of the graph; None if they can."""
    X, y, s = rows
    network, dtype = training.network, training.params.dtype
    if X.dtype.name not in STORAGES:
        return f"X is {X.dtype}"
    if X.ndim != 2 or (X.shape[1] > 1 and X.strides[1] != X.dtype.itemsize) or X.strides[0] % X.dtype.itemsize:
        return "X is not in C order"
    if y.dtype.name not in ("bool", *WHOLE, *(() if _classes(training, y) else (dtype.name,))):
        return f"y is {y.dtype}"
    if s is not None and s.dtype not in (np.float32, np.float64):
        return f"sample_weight is {s.dtype}"
    for name, array in rows._asdict().items():
        if array is not None and int(array.data.ptr) % array.dtype.itemsize:
            return f"{name} is not aligned"
    if max(network.n_params, batch_rows * max(network.sizes)) >= _MOST_ELEMENTS:
        return "the network or a batch is beyond 32-bit counts"
    flops = flops_of(training, batch_rows)
    if flops > GRAPH_FLOPS:
        return f"cuBLAS is faster at a batch of {flops / 1e9:.1f} GFLOP"
    return None


def flops_of(training: Training, batch_rows: int) -> float:
    """Floating-point operations of one batch: a product forward and one or two backward for every layer."""
    first, *others = (m_in * m_out for m_in, m_out in training.network.shapes)
    return 2.0 * batch_rows * (2 * first + 3 * sum(others))


def layer_options(
    tile: Tile, real: str, *, storage: str = "", gather: bool = False, activation: str = ""
) -> tuple[str, ...]:
    """Compiler options of ``dense_forward.cu``, ``dense_gradient.cu`` and ``dense_backward.cu``."""
    options = tile_options(tile, real)
    if storage:
        options += (f"-DSTORAGE={storage}", f"-DGATHER={int(gather)}")
    return (*options, f"-DACTIVATION={ACTIVATION_CODES[activation]}") if activation else options


def loss_options(real: str, label: str, weight: str | None, n_logits: int, several: bool) -> tuple[str, ...]:
    """Compiler options of ``row_losses.cu``; ``several`` where every logit has its own label of 0 or 1."""
    lanes = min(32, 1 << (n_logits.bit_length() - 1))
    weights = (f"-DWEIGHT={weight or real}", f"-DHAS_WEIGHT={int(weight is not None)}")
    return (
        *(f"-DREAL={real}", f"-DLABEL={label}", *weights),
        *(f"-DLABELS={int(several)}", f"-DSOFTMAX_LANES={lanes}", f"-DBLOCK={BLOCK}"),
    )


def _classes(training: Training, y: Any) -> bool:
    """Whether labels are numbers of classes, of which a row has one."""
    return bool(y.ndim == 1 and training.network.sizes[-1] > 1)


class GraphEpochs(Epochs):
    """Epochs by replays of a graph of some batches; its launches, and the arrays they write, are made once for a fit.

    Attributes
    ----------
    problem : str or None
        Why there is no graph; then every batch is launched from Python, by the same kernels.
    """

    def __init__(self, training: Training, rows: Rows, batch_rows: int, n: int) -> None:
        super().__init__(training, rows, batch_rows, n)
        network, dtype, cupy = training.network, training.params.dtype, self.cupy
        self.device = rows.X.device.id
        self.turn = cupy.zeros(2, dtype=np.int64)
        self.parts = choose_parts(batch_rows, network.shapes)
        self.partial = cupy.empty((self.parts, network.n_params), dtype=dtype)
        self.layers = network.unpack(training.params)
        self.outputs = [cupy.empty((batch_rows, m), dtype=dtype) for m in network.sizes[1:]]
        self.below = [cupy.empty((batch_rows, m), dtype=dtype) for m in network.sizes[1:-1]]
        self.launches = [*self._forward(), self._losses(), *self._backward()]
        self.launches.append(self.update_launch(self.partial, self.parts, self.turn))
        flops = flops_of(training, batch_rows)
        chunk = max(1, min(CHUNK_BATCHES, int(CHUNK_FLOPS / flops)))
        self.replays = -(-self.n_batches // chunk)
        self.problem: str | None = None
        self.graph = self._captured(-(-self.n_batches // self.replays))

    def __call__(self, order: Any, rate: float) -> Any:
        """One epoch; its mean value, on the device."""
        self.begin(order, rate)
        self.turn[...] = 0
        self.losses[...] = 0.0
        if self.graph is None:
            for _ in range(self.n_batches):
                self._launch()
        else:
            self._replay()
        return self.mean_value(self.losses.sum())

    def _replay(self) -> None:
        """Replay the graph, at most two replays ahead of the device: Python handles Ctrl-C between two launches.

        Without the waits the host would queue all replays of an epoch, and Ctrl-C would come when they are done.
        """
        stream = self.cupy.cuda.get_current_stream()
        before = None
        for _ in range(self.replays):
            self.graph.launch()
            if self.replays > 1:
                here = stream.record()
                if before is not None:
                    before.synchronize()
                before = here

    def _launch(self) -> None:
        """One batch."""
        for kernel, grid, arguments in self.launches:
            kernel(grid, (BLOCK,), arguments)

    def _captured(self, n_batches: int) -> Any:
        """The graph of so many batches; where CUDA refuses it, None, and the reason in `problem`.

        Captured on a stream of its own, which does not wait for the default one: that one cannot be captured, and other
        threads may go on using it.
        """
        try:
            stream = self.cupy.cuda.Stream(non_blocking=True)
            with stream:
                stream.begin_capture()
                try:
                    for _ in range(n_batches):
                        self._launch()
                except BaseException:
                    with contextlib.suppress(Exception):
                        stream.end_capture()
                    raise
                return stream.end_capture()
        except Exception as error:  # whatever the driver says, the same kernels can be launched one by one
            self.problem = f"a CUDA graph was refused ({one_line(error)})"
            return None

    def _rows_of(self, layer: int) -> tuple[tuple[Any, ...], str]:
        """What the kernels take of the input of a layer: its rows, their stride and the order; and how it is stored."""
        X = self.rows.X if layer == 0 else self.outputs[layer - 1]
        storage, as_ = STORAGES[X.dtype.name]
        return (X if as_ is None else X.view(as_), np.int64(row_stride(X)), self.order), storage

    def _batch(self) -> tuple[Any, ...]:
        return self.turn, np.int32(self.batch_rows), np.int64(self.n)

    def _forward(self) -> Any:
        network, real = self.training.network, self.training.params.dtype.name
        for layer, (d, m) in enumerate(network.shapes):
            tile = choose_tile(self.batch_rows, m)
            rows, storage = self._rows_of(layer)
            activation = "identity" if layer == len(network.shapes) - 1 else network.activation
            options = layer_options(tile, real, storage=storage, gather=layer == 0, activation=activation)
            kernel = step_kernel("dense_forward", LAYER_HEADERS, options, self.device)
            W, b = self.layers[layer]
            sizes = np.int32(d), np.int32(m)
            yield kernel, (tile.blocks(self.batch_rows, m),), (*rows, *self._batch(), W, b, self.outputs[layer], *sizes)

    def _losses(self) -> Any:
        z, y, s = self.outputs[-1], self.cupy.ascontiguousarray(self.rows.y), self.rows.sample_weight
        y = y.view(LABELS_AS.get(y.dtype.name, y.dtype))
        s = None if s is None else self.cupy.ascontiguousarray(s)
        K = z.shape[1]
        weight = None if s is None else s.dtype.name
        options = loss_options(z.dtype.name, y.dtype.name, weight, K, not _classes(self.training, y))
        kernel = step_kernel("row_losses", LOSS_HEADERS, options, self.device)
        grid = grid_of(self.batch_rows * min(32, 1 << (K.bit_length() - 1)))
        self.losses = self.cupy.zeros(grid, dtype=np.float64)
        null = np.uintp(0)
        return kernel, grid, (z, y, null if s is None else s, self.order, *self._batch(), self.losses, np.int32(K))

    def _backward(self) -> Any:
        network, real = self.training.network, self.training.params.dtype.name
        w_at, b_at = network.n_weights, network.n_params
        for layer in range(len(network.shapes) - 1, -1, -1):
            d, m = network.shapes[layer]
            w_at, b_at = w_at - d * m, b_at - m
            dz = self.outputs[layer] if layer == len(network.shapes) - 1 else self.below[layer]
            tile = choose_tile(d + 1, m, self.parts)
            rows, storage = self._rows_of(layer)
            options = layer_options(tile, real, storage=storage, gather=layer == 0)
            kernel = step_kernel("dense_gradient", PRODUCT_HEADERS, options, self.device)
            places = map(np.int64, (network.n_params, w_at, b_at))
            sizes = map(np.int32, (d, m, -(-self.batch_rows // self.parts)))
            grid = (self.parts * tile.blocks(d + 1, m),)
            yield kernel, grid, (*rows, *self._batch(), dz, self.partial, *places, *sizes)
            if layer > 0:
                tile = choose_tile(self.batch_rows, d)
                options = layer_options(tile, real, activation=network.activation)
                kernel = step_kernel("dense_backward", LAYER_HEADERS, options, self.device)
                W, a, below = self.layers[layer].W, self.outputs[layer - 1], self.below[layer - 1]
                grid = (tile.blocks(self.batch_rows, d),)
                yield kernel, grid, (*self._batch(), dz, W, a, below, np.int32(d), np.int32(m))
