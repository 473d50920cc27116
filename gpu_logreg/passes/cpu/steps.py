"""Steps on the CPU, compiled by Numba: an epoch is a few calls of a loop that several threads run together."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import STAGED_STEPS as STAGE_BYTES
from gpu_logreg.arrays.blocks import n_threads
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.vector import ArrayOfRows, DType, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.network import Network
from gpu_logreg.mathematics.optimizers import Adam, Optimizer, Sgd
from gpu_logreg.passes.cpu.loops import steps as kernels
from gpu_logreg.passes.cpu.loops.lane import ACTIVATION_CODES, rounded
from gpu_logreg.passes.cpu.loops.sizes import REGISTER_BYTES
from gpu_logreg.passes.cpu.loops.zeros import MARGIN_BYTES, TILE, bits_length
from gpu_logreg.passes.training import Training, take_batch
from gpu_logreg.rows.block import Rows

__all__ = ["cpu_epoch", "n_lanes", "supports"]

_run_steps = Loop("gpu_logreg.passes.cpu.loops.steps", "run_steps")

CALL_FLOPS = 2e10
"""Floating-point operations of one call: few enough that Ctrl-C takes effect within a fraction of a second."""

ZEROS_WORK = 0.45
"""Most multiplications of products that skip zeros, in units of those that do not, for which they take less time.

They are counted with those for the units that fill up the last tile. Measured with AVX-512 on one thread, with zeros at
random places: the times become equal at 0.5 to 0.7.
"""

ZEROS_UNITS = 32
"""Units of the first hidden layer from which products may skip zeros. Fewer were not measured."""

WIDEST_SPARSE = 4096
"""Most columns of sparse rows, whose batches are made dense for the steps: with more, zeros take most of the time.

A guess, not measured."""

CACHE_LINE = 64
"""Bytes of a cache line, and alignment of the arrays."""

_ZEROS_SAMPLE_ROWS = 256
"""Rows in which zeros are counted, to decide whether to skip them."""

_CLASSES_IN_A_BYTE = 256
_LANE_ROWS = 64
_LONG_LANE_ROWS = 256
_MOST_LANES = 8
"""Rows of a lane for the second lane, and for more of them: see `n_lanes`. They decide the order of additions."""


def supports(rows: Rows, training: Training) -> str | None:
    """Why these steps cannot be made; None if they can."""
    X = rows.X
    if is_sparse(X):
        if X.shape[1] > WIDEST_SPARSE:
            return f"the cpu steps make sparse rows dense, a batch at a time, and X has {X.shape[1]:,} columns"
    elif not isinstance(X, np.ndarray):
        return f"the cpu steps read rows in host memory, and X is a {type(X).__module__} array"
    if not isinstance(training.optimizer, Adam | Sgd):
        return f"the cpu steps know no {type(training.optimizer).__name__}"
    return None


def n_lanes(batch_size: int) -> int:
    """Parts of a batch for threads, by its size alone: two from 64 rows each, more from 256 rows each."""
    return max(1, min(2, batch_size // _LANE_ROWS), min(_MOST_LANES, batch_size // _LONG_LANE_ROWS))


def cpu_epoch(training: Training, rows: Rows, order: IntVector, batch_size: int, rate: float) -> np.float64:
    """One epoch of steps; see `gpu_logreg.passes.reference.steps.reference_epoch`.

    A C-ordered ``X`` of float32, float64 or uint8 is read in place, a row at a time in the order of the batches. Of any
    other ``X`` the rows of a few batches at a time are copied and converted first.
    """
    network, params, optimizer = training.network, training.params, training.optimizer
    work = _Workspace(training, batch_size, _skips_zeros(rows.X, network, params.dtype))
    rule, numbers, n_updates, decay = _rule(optimizer, rate)
    order = np.ascontiguousarray(order, dtype=np.int64)
    in_place = _is_read_in_place(rows.X)
    step = batch_size * max(1, int(CALL_FLOPS / (6.0 * network.n_params * batch_size)))
    if not in_place:
        step = min(step, batch_size * max(1, STAGE_BYTES // (batch_size * network.sizes[0] * params.itemsize)))
    for first in range(0, len(order), step):
        part = order[first : first + step]
        batches = rows if in_place else take_batch(rows, part, params.dtype)
        if is_sparse(batches.X):
            batches = batches._replace(X=batches.X.toarray())
        s = np.empty(0) if batches.sample_weight is None else batches.sample_weight.astype(np.float64)
        y = _narrow(batches.y, network.sizes[-1])
        _together(
            work.threads,
            (
                *(
                    work.vector,
                    batches.X,
                    y if y.ndim == 2 else y[:, None],
                    s,
                    part if in_place else np.arange(len(part)),
                ),
                *(batch_size, work.sizes),
                *(ACTIVATION_CODES[network.activation], work.params, training.n_trained, work.m, work.v),
                *(rule, numbers, n_updates, float(training.fixed_l2), float(training.alpha), decay),
                *(work.grads, work.work, work.bits, work.sums, work.out),
            ),
        )
        n_updates += -(-len(part) // batch_size)
    work.copy_back(training)
    if isinstance(optimizer, Adam):
        optimizer.n_updates = n_updates
    return np.float64(work.out[0] / work.out[1])


class _Workspace:
    """Arrays of an epoch, aligned to cache lines, where vector instructions load and store fastest.

    ``params``, and ``m`` and ``v`` of the optimiser, are copies, which `copy_back` writes to their originals.
    """

    def __init__(self, training: Training, batch_size: int, skips_zeros: bool) -> None:
        network, dtype, optimizer = training.network, training.params.dtype, training.optimizer
        self.sizes = np.array(network.sizes, dtype=np.int64)
        self.lanes = n_lanes(batch_size)
        self.threads = min(n_threads(), self.lanes)
        lane_rows = -(-batch_size // self.lanes)
        self.params = _aligned(network.n_params, dtype)
        self.params[...] = training.params
        self.m, self.v = (self._copy(array, dtype) for array in _state(optimizer, training))
        self.grads = _aligned((self.lanes, rounded(network.n_params)), dtype)
        wanted = sum(rounded(lane_rows * m) for m in (*network.sizes, *network.sizes[1:-1]))
        self.work = _aligned((self.threads, wanted), dtype)
        length = bits_length(lane_rows, network.sizes[0]) if skips_zeros else 0
        self.bits = _aligned((self.threads, length), np.dtype(np.int64))
        self.vector = (0,) * _vector_length(dtype)
        self.sums, self.out = np.zeros((self.lanes + kernels.PIECES, 2)), np.zeros(2)

    @staticmethod
    def _copy(array: HostArray | None, dtype: DType) -> HostArray:
        copy = _aligned(0 if array is None else array.shape, dtype)
        if array is not None:
            copy[...] = array
        return copy

    def copy_back(self, training: Training) -> None:
        """Write the parameters and the state of the optimiser to the arrays that they were copied from."""
        training.params[...] = self.params
        for array, copy in zip(_state(training.optimizer, training), (self.m, self.v), strict=True):
            if array is not None:
                array[...] = copy


def _aligned(shape: int | tuple[int, ...], dtype: DType) -> HostArray:
    """An uninitialised C-ordered array that begins at a multiple of `CACHE_LINE` bytes; behind it is a margin."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + CACHE_LINE + MARGIN_BYTES, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def _state(optimizer: Optimizer, training: Training) -> tuple[HostArray | None, HostArray | None]:
    """The two arrays of the optimiser's state, allocated where there are none yet; None for those it does not have."""
    if isinstance(optimizer, Sgd) and optimizer.momentum == 0.0:
        return None, None
    assert isinstance(optimizer, Adam | Sgd)
    optimizer.allocate(training.params[: training.n_trained])
    return (optimizer.m, optimizer.v) if isinstance(optimizer, Adam) else (optimizer.velocity, None)


def _narrow(y: HostArray, n_outputs: int) -> HostArray:
    """Labels as ``uint8`` where their numbers fit: the loops would be compiled anew for each dtype of labels."""
    fits = y.dtype.kind in "iu" and n_outputs <= _CLASSES_IN_A_BYTE
    return np.ascontiguousarray(y, dtype=np.uint8 if fits else None)


def _is_read_in_place(X: ArrayOfRows) -> bool:
    """Whether the compiled steps have a version for such an array: each version takes seconds to compile."""
    if is_sparse(X):
        return False
    kinds = (np.float32, np.float64, np.uint8)
    return X.dtype in kinds and X.dtype.isnative and X.flags.c_contiguous and X.flags.writeable


def _skips_zeros(X: ArrayOfRows, network: Network, dtype: DType) -> bool:
    """Whether the products with the rows skip zeros, by the share of zeros in a few of the rows.

    By a model of the work and not by its time, on which no bit may depend.
    """
    units, tile = network.sizes[1], TILE * _vector_length(dtype)
    if units < ZEROS_UNITS:
        return False
    some = X if is_sparse(X) else X[:: max(1, X.shape[0] // _ZEROS_SAMPLE_ROWS)]
    n_nonzero = some.nnz if is_sparse(X) else np.count_nonzero(some)
    padded = -(-units // tile) * tile
    return bool(n_nonzero * padded <= ZEROS_WORK * some.shape[0] * some.shape[1] * units)


def _vector_length(dtype: DType) -> int:
    """Elements of a vector register."""
    return REGISTER_BYTES // dtype.itemsize


def _rule(optimizer: Optimizer, rate: float) -> tuple[int, Float64Vector, int, float]:
    """Code, constants, number of updates and weight decay of an optimiser, as the compiled update takes them."""
    if isinstance(optimizer, Adam):
        numbers = np.array([rate, 0.0, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon])
        return kernels.RULE_CODES["adam"], numbers, optimizer.n_updates, float(optimizer.decay)
    assert isinstance(optimizer, Sgd)
    name = "sgd" if optimizer.momentum == 0.0 else "nesterov" if optimizer.nesterov else "momentum"
    return kernels.RULE_CODES[name], np.array([rate, optimizer.momentum, 0.0, 0.0, 0.0]), 0, 0.0


def _together(count: int, arguments: tuple[Any, ...]) -> None:
    """Run the steps on ``count`` threads, of which the caller is one. They meet at barriers, so that all must run."""
    arrived = np.zeros(1, np.int64)
    vector, X, y, s, order, *rest = arguments
    _run_steps(0, 1, arrived, vector, X, y, s, order[:0], *rest)  # compile it before a thread waits at a barrier
    all_started = False
    go = threading.Event()

    def join_in(thread: int) -> None:
        go.wait()
        if all_started:
            _run_steps(thread, count, arrived, *arguments)

    others = [threading.Thread(target=join_in, args=(k,), daemon=True) for k in range(1, count)]
    try:
        for other in others:
            other.start()
        all_started = True
    finally:
        go.set()  # if a thread cannot be started, the others must end and not wait for it
    _run_steps(0, count, arrived, *arguments)
    for other in others:
        other.join()
