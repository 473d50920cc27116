"""The ``cuda`` pass for many classes: against the pure read of its rows, and against the ``reference`` pass on them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gpu.data import CHUNK, columns_of, filled, normal, widened
from gpu.launch import LARGEST_ERROR, SLICE_ROWS, error_of
from gpu.timing import Budget, call_ms, device_ms, one_line, say

from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.passes.cuda.tuning.softmax_layout import SoftmaxFamily
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows, compute_dtype
from gpu_logreg.rows.resident import ResidentDataset


class Launches:
    """Both stages of one read, ready to be launched: what `cuda_multinomial_pass` does between its copies."""

    def __init__(self, cupy: Any, rows: Rows, W: Any, b: Any, family: SoftmaxFamily) -> None:
        (n, d), K, storage = rows.X.shape, len(b), rows.X.dtype.name
        real = compute_dtype(rows.X.dtype)
        options = cuda_multinomial.kernel_options(family, d, K, storage, real.name, None)
        self.kernels = cuda_multinomial._kernels(options, family.shared, int(cupy.cuda.Device().id))
        self._family, self._K, self._d, self._width = family, K, d, K * (d + 1) + 1
        self._blocks = min(-(-n // family.rows), family.resident * self.kernels.multiprocessors)
        there = cupy.asarray(cuda_multinomial.parameters(family, W, b, storage, real))
        parameters = there[8 * (K + K % 2) :].view(real), there[: 8 * K].view(np.float64)
        self._partial = cupy.empty((self._blocks, self._width), dtype=np.float64)
        self._sums = cupy.empty(self._width, dtype=np.float64)
        self._first = rows.X, np.int64(d), rows.y, np.uintp(0), *parameters, self._partial, np.int64(n)
        self._second = self._partial, self._sums, np.int32(self._blocks), np.int32(self._width)

    def __call__(self) -> None:
        """Queue both launches."""
        block, shared = self._family.block, self._family.shared
        self.kernels.first((self._blocks,), (block,), self._first, shared_mem=shared)
        self.kernels.second((-(-self._width // 32),), (cuda.SUM_BLOCK,), self._second)

    def sums(self) -> Sums:
        """The sums of one run, every output poisoned before it."""
        self._partial[...] = np.nan
        self._sums[...] = np.nan
        self()
        host, size = self._sums.get(), self._K * self._d
        return Sums(float(host[-1]), host[:size].reshape(self._K, self._d), host[size:-1])


def multinomial(
    cupy: Any,
    elements: int,
    read_gb_per_s: float | None,
    budget: Budget,
    shapes: Sequence[tuple[int, int, str]],
    rounds: int = 30,
) -> Iterator[dict[str, Any]]:
    """A row for every shape, of so many elements of ``X``, as soon as it is known; those not measured say why."""
    for d, K, storage in shapes:
        row: dict[str, Any] = {"d": d, "classes": K, "storage": storage}
        if budget.left() < 5:
            yield row | {"problem": "not measured: no time left"}
            continue
        try:
            row |= _measure(cupy, *class_rows(cupy, d, K, storage, elements * STORAGES[storage]), read_gb_per_s, rounds)
        except Exception as error:
            row |= {"problem": one_line(error)}
        shown = (
            row.get("problem")
            or f"{row['ms']:.3f} ms, {row['gb_per_s']:.0f} GB/s, reference {row['reference_ms']:.3f} ms"
        )
        say(f"  {storage} d = {d}, {K} classes: {shown}")
        yield row


def class_rows(cupy: Any, d: int, K: int, storage: str, nbytes: int) -> tuple[Rows, Any, Any]:
    """Random rows and classes on the device, and a point at which logits are of the order of 1."""
    n = columns_of(storage, nbytes) // d
    X = filled(cupy, storage, n * d, seed=K).reshape(n, d)
    y = cupy.empty(n, dtype=np.int32)
    for first in range(0, n, CHUNK):
        numbers = cupy.abs(normal(cupy, min(CHUNK, n - first), K + 1, first) * np.float32(1000))
        y[first : first + CHUNK] = numbers.astype(np.int32) % np.int32(K)
    W = np.random.default_rng([d, K]).standard_normal((K, d)) / np.sqrt(d)
    b = np.zeros(K)
    if storage == "uint8":
        W /= 42.0
        b = -128.0 * W.sum(axis=1)
    return Rows(X, y, None), W, b


def true_sums(rows: Rows, W: Any, b: Any) -> Sums:
    """Sums in float64 by the reference pass, a few rows at a time, on the device."""
    (n, d), total = rows.X.shape, Sums(0.0, np.zeros(W.shape), np.zeros(len(b)))
    step = max(1, CHUNK // (d + len(b)))
    for first in range(0, n, step):
        part = slice(first, first + step)
        X = widened(rows.X.dtype.name, rows.X[part])
        total = total + reference_multinomial_pass(Rows(X, rows.y[part], None), W, b)
    return total


def _measure(cupy: Any, rows: Rows, W: Any, b: Any, read_gb_per_s: float | None, rounds: int) -> dict[str, Any]:
    n, real = len(rows.y), compute_dtype(rows.X.dtype)
    nbytes = int(rows.X.nbytes + rows.y.nbytes)
    row: dict[str, Any] = {"n": n, "nbytes": nbytes}
    family = cuda_multinomial.family_of(rows.X, len(b), real)
    if not isinstance(family, SoftmaxFamily):
        return row | {"problem": family}
    row["family"] = family._asdict()
    few = Rows(rows.X[:SLICE_ROWS], rows.y[:SLICE_ROWS], None)
    for part in (few, rows):
        launches = Launches(cupy, part, W, b, family)
        sums = launches.sums()
        row["error"] = error_of(sums, true_sums(part, W, b))
        if not row["error"] <= LARGEST_ERROR[real.name]:
            return row | {"problem": f"wrong on {len(part.y):,} rows: relative error {row['error']:.1e}"}
    again = launches.sums()
    if (again.loss_sum, again.dw_sum.tobytes(), again.db_sum.tobytes()) != (
        sums.loss_sum,
        sums.dw_sum.tobytes(),
        sums.db_sum.tobytes(),
    ):
        return row | {"problem": "a second run gave other bits"}
    row["ms"] = device_ms(cupy, [launches], rounds)
    row["gb_per_s"] = nbytes / row["ms"] / 1e6
    row["read_ms"] = None if not read_gb_per_s else nbytes / read_gb_per_s / 1e6
    row["share"] = None if not read_gb_per_s else row["gb_per_s"] / read_gb_per_s
    for name, theirs in (("registers", "num_regs"), ("local_bytes", "local_size_bytes")):
        row[name] = getattr(launches.kernels.first, theirs, None)
    return row | _calls(rows, W, b, min(rounds, 15))


def _calls(rows: Rows, W: Any, b: Any, rounds: int) -> dict[str, Any]:
    """Milliseconds of a read as a fit calls it, by our pass and by the reference pass, and their ratio."""
    dataset, found = ResidentDataset(rows, float(len(rows.y))), {}
    device = Device("cuda", int(rows.X.device.id))
    for name, key in (("cuda", "call_ms"), ("reference", "reference_ms")):
        implementation = choose(name, rows, device, Classes(len(b)))
        found[key] = call_ms(functools.partial(implementation.gradient, dataset, W, b), rounds)
    return found | {"ratio": found["reference_ms"] / found["call_ms"]}
