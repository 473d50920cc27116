"""Passes over rows of several widths and storages, by every engine that takes them, beside a plain read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.command.benchmark.measurements import LeftOut, PassTime
from gpu_logreg.command.benchmark.plain_read import bytes_of, plain_read
from gpu_logreg.command.benchmark.timing import Deadline, interleaved, spread
from gpu_logreg.errors import ImplementationError
from gpu_logreg.passes.choice import NAMES, choose
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["N_BYTES", "ROUNDS", "WIDTHS", "pass_times"]

N_BYTES = 2**27
"""Bytes of the rows of a pass: far more than the caches of a core, and walked in some ten milliseconds."""

WIDTHS = {
    "float32": (10, 30, 100, 300, 1000),
    "float64": (10, 30, 100, 300, 1000),
    "uint8": (10, 100, 1000),
    "float16": (10, 100, 1000),
}
"""Columns of the dense rows by the dtype that they are stored in."""

SPARSE_WIDTH, STORED_IN_A_ROW = 10_000, 50
"""Columns of the sparse rows, and elements that a row stores, as in a bag of words."""

MOST_ROWS = 2**22
"""Most rows of a pass: of a few narrow elements each, they take the passes far longer than their bytes."""

ROUNDS = 9
"""Most rounds of one shape: quartiles need a handful, and the time of a round is small beside that of the set-up."""

_MEMORY_SHARE = 16
"""The rows take at most one part in so many of the free memory."""


def n_bytes() -> int:
    """Bytes of the rows of a pass on this machine."""
    return max(2**20, min(N_BYTES, free_memory() // _MEMORY_SHARE))


def pass_times(device: Device, deadline: Deadline) -> Iterator[PassTime | LeftOut]:
    """The times of every width and storage, the sparse rows last."""
    shapes: list[tuple[str, int]] = [(storage, width) for storage, widths in WIDTHS.items() for width in widths]
    if device.kind == "cpu":
        shapes.append(("sparse float64", SPARSE_WIDTH))
    values: dict[str, NDArray[Any]] = {}  # one array for all widths of a storage
    for number, (storage, width) in enumerate(shapes):
        part = deadline.part(len(shapes) - number)
        if not deadline.left:
            yield LeftOut(f"passes on {device.name}: {storage} x {width}")
            continue
        if storage not in values:
            values = {storage: _elements(storage, n_bytes())}
        yield _pass_time(device, storage, width, values[storage], part)


def _pass_time(device: Device, storage: str, width: int, values: NDArray[Any], deadline: Deadline) -> PassTime:
    """Time every engine on rows of some columns, with two classes and weights near those of a fit."""
    with on_device(device), blas_on_one_thread():
        X: Any = _sparse_rows(values) if storage.startswith("sparse") else _dense_rows(values, width)
        random, n = np.random.default_rng(0), X.shape[0]
        y = random.integers(0, 2, n).astype(np.uint8)
        how = "auto" if device.kind == "cpu" else storage
        data = ResidentDataset.from_arrays(X, y, None, device, storage=how)
        w = random.standard_normal(width) / np.sqrt(width * max(1.0, float(values[:1000].astype(np.float64).var())))
        stored = _arrays_of(data.rows.X)
        functions: dict[str, Callable[[], object]] = {"plain read": functools.partial(plain_read, *stored)}
        functions |= {name: functools.partial(run, w, 0.1) for name, run in _engines(data, device)}
        seconds = interleaved(functions, ROUNDS, deadline)
    read = seconds.pop("plain read")
    shares = {name: spread(r / s for r, s in zip(read, took, strict=True)) for name, took in seconds.items()}
    engines = {name: spread(took) for name, took in seconds.items()}
    return PassTime(device.name, storage, n, width, bytes_of(*stored), spread(read), engines, shares)


def _engines(data: ResidentDataset, device: Device) -> Iterator[tuple[str, Callable[..., object]]]:
    """The gradient pass of every engine that takes these rows, by its name."""
    for name in NAMES:
        try:
            engine = choose(name, data.rows, device)
        except ImplementationError:
            continue
        yield name, engine.gradient_pass(data)


def _arrays_of(X: Any) -> tuple[Any, ...]:
    """The arrays that hold the rows."""
    return (X.data, X.indices, X.indptr) if hasattr(X, "indptr") else (X,)


def _elements(storage: str, nbytes: int) -> NDArray[Any]:
    """Random elements of one dtype: of a normal distribution, or whole numbers from 0 to 255."""
    random = np.random.default_rng(0)
    if storage == "uint8":
        return random.integers(0, 256, nbytes, dtype=np.uint8)
    if storage == "float64" or storage.startswith("sparse"):
        return random.standard_normal(nbytes // 8)
    dtype = np.dtype(storage)
    return random.standard_normal(nbytes // dtype.itemsize, dtype=np.float32).astype(dtype, copy=False)


def _dense_rows(values: NDArray[Any], width: int) -> NDArray[Any]:
    """As many rows as the elements make, without a copy."""
    n = min(MOST_ROWS, len(values) // width)
    return values[: n * width].reshape(n, width)


def _sparse_rows(values: NDArray[Any]) -> Any:
    """Rows with a few stored elements, whose columns are drawn so that the first ones are frequent, as words are."""
    n = len(values) // (2 * STORED_IN_A_ROW)  # indices take half as much as float64 elements
    frequencies = np.random.default_rng(1).random(n * STORED_IN_A_ROW)
    columns = (SPARSE_WIDTH**frequencies - 1.0).astype(np.int32)
    starts = np.arange(0, len(columns) + 1, STORED_IN_A_ROW)
    X = sparse.csr_array((values[: len(columns)], columns, starts), shape=(n, SPARSE_WIDTH))
    X.sum_duplicates()
    return csr_rows(X)
