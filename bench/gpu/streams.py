"""Rows of three times a device budget: how fast they are streamed, beside copies from page-locked memory alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from gpu.goals import GOAL_STREAM
from gpu.timing import Budget, say

from gpu_logreg.arrays.block_sizes import UPLOADED
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.device_streams import prepare_array_by_blocks
from gpu_logreg.passes.by_blocks import choose_for
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows import block_store
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.upload import page_locked, stream_after

TIMES_THE_BUDGET = 3
TILE_ROWS = 2**14


def copy_gb_per_s(cupy: Any, nbytes: int, rounds: int) -> float:
    """The rate of copies to the device from two page-locked buffers, one after the other on one stream."""
    size = min(UPLOADED, nbytes)
    buffers = [page_locked(cupy, size, 1, np.dtype(np.uint8)).reshape(-1) for _ in range(2)]
    there = [cupy.empty(size, dtype=np.uint8) for _ in range(2)]
    stream, count, seconds = stream_after(cupy), max(2, nbytes // size), []
    for _ in range(rounds + 1):  # the first is to warm up
        begin = time.perf_counter()
        for k in range(count):
            there[k % 2].set(buffers[k % 2], stream=stream)
        stream.synchronize()
        seconds.append(time.perf_counter() - begin)
    return count * size / statistics.median(seconds[1:]) / 1e9


def streams(
    cupy: Any, budget: Budget, nbytes: int, d: int, rounds: int = 5, block_elements: int | None = None
) -> Iterator[dict[str, Any]]:
    """A row about reads of float32 rows of ``nbytes`` within a third of it: their rate, right or wrong.

    Parameters
    ----------
    block_elements : int or None
        Of a block, in place of what fits take, for a rehearsal.
    """
    if block_elements is not None:
        block_store.STREAMED_ELEMENTS, block_store.STREAMED_ROWS = block_elements, 1
    row: dict[str, Any] = {"d": d, "nbytes": nbytes, "budget": nbytes // TIMES_THE_BUDGET}
    copied = copy_gb_per_s(cupy, min(nbytes, 2**30), rounds)
    say(f"copies to the device: {copied:.1f} GB/s")
    cupy.get_default_memory_pool().free_all_blocks()
    n = nbytes // (4 * d)
    rng = np.random.default_rng(0)
    tile = rng.standard_normal((min(n, TILE_ROWS), d), dtype=np.float32)
    X, y = np.empty((n, d), np.float32), np.arange(n) % 2
    for first in range(0, n, len(tile)):
        X[first : first + len(tile)] = tile[: n - first]
    device = Device("cuda")
    prepared = prepare_array_by_blocks(X, y, None, device, class_weight=None, storage="float32", budget=row["budget"])
    assert prepared is not None
    data, w = prepared.data, rng.standard_normal(d) / d**0.5
    engine = choose_for("auto", data, device, prepared.target.loss)
    sums = engine.gradient(data, w, 0.1)  # the blocks that stay are sent
    sent, seconds = data.on_device.bytes_sent, []
    for _ in range(rounds):
        if seconds and budget.left() < 2 * seconds[-1] + 2:
            break
        begin = time.perf_counter()
        engine.gradient(data, w, 0.1)
        seconds.append(time.perf_counter() - begin)
    sent = (data.on_device.bytes_sent - sent) // len(seconds)
    row |= {"blocks": len(data.store.parts), "stay": len(data.on_device.kept), "impl": engine.name}
    row |= {"copy_gb_per_s": copied, "read_s": statistics.median(seconds), "sent": sent}
    row |= {"gb_per_s": sent / row["read_s"] / 1e9, "pool_bytes": int(cupy.get_default_memory_pool().total_bytes())}
    row |= {"share": row["gb_per_s"] / copied, "goal": GOAL_STREAM, "error": _error(sums, tile, y, n, w)}
    if row["error"] > 1e-4:
        row["problem"] = "wrong: the sums are not those of the rows"
    say(f"  {row['gb_per_s']:.1f} GB/s of rows, {row['share']:.0%} of that")
    yield row


def _error(sums: Any, tile: Any, y: Any, n: int, w: Any) -> float:
    """Relative distance of the sums from those of the rows, which repeat a tile, in float64."""
    whole, rest = divmod(n, len(tile))
    labels = y[: len(tile)].astype(np.uint8)  # the tile has an even number of rows, or is all
    true = reference_pass(Rows(tile, labels, None), w, 0.1, np.dtype(np.float64))
    left = reference_pass(Rows(tile[:rest], labels[:rest], None), w, 0.1, np.dtype(np.float64))
    expected = whole * true.dw_sum + left.dw_sum
    return float(np.abs(sums.dw_sum - expected).max() / np.abs(expected).max())
