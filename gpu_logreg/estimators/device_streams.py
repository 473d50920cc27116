"""Rows that a GPU does not hold at once: they stay on the host, and blocks of them are sent to it in every read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.device import ROOM, Device, cupy_to_device, free_bytes, in_host_memory, to_numpy
from gpu_logreg.arrays.memory import memory_budget
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import encode_labels
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.streamed_labels import narrow_codes, table_of_class_weights
from gpu_logreg.estimators.target import Target
from gpu_logreg.rows.array_rows import blocks_of_array
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.block_store import BlockStore
from gpu_logreg.rows.device_blocks import BUFFERS, DeviceBlocks, blocks_that_stay, bytes_on_device, bytes_to_walk
from gpu_logreg.rows.row_labels import RowLabels
from gpu_logreg.rows.storage import STORAGES, dtypes_on_device
from gpu_logreg.rows.streamed import StreamedDataset

__all__ = ["FREE_DEVICE_SHARE", "blocks_on", "prepare_array_by_blocks", "stored_dtype_on_device"]

FREE_DEVICE_SHARE = 0.9
"""Share of the free memory of a GPU that blocks take where no budget is given. A guess: not measured on a GPU."""


def blocks_on(
    device: Device, store: BlockStore, labels: RowLabels, n_logits: int, dtype: Any, budget: Any
) -> DeviceBlocks:
    """Where the blocks of a store lie on a GPU: as many as its budget holds stay there.

    Parameters
    ----------
    device : Device
    store : BlockStore
        Of dense rows.
    labels : RowLabels
    n_logits : int
    dtype : dtype
        That rows are to be stored in there.
    budget : int, float, str or None
        The parameter ``device_memory_budget``.

    Raises
    ------
    DataError
        A budget that does not hold what a walk over the blocks takes.
    """
    n = max(part.stop - part.start for part in store.parts)
    shape = n, store.source.n_columns
    block = bytes_on_device(shape, np.dtype(dtype), labels.dtype, labels.weight_dtype)
    walk = bytes_to_walk(shape, n_logits)
    least = min(BUFFERS, len(store.parts)) * block + walk
    limit = _limit(device, budget, least)
    stay = blocks_that_stay(len(store.parts), block, walk, limit)
    if stay is None:
        raise DataError(
            f"{limit / 1e6:,.0f} MB of {device.name} do not hold two blocks of the rows and what a walk over them "
            f"takes; give device_memory_budget='{-(-least // 10**6)}MB' or more, or use device='cpu'"
        )
    return DeviceBlocks(device, np.dtype(dtype), stay)


def _limit(device: Device, budget: Any, least: int) -> int:
    """Bytes of a budget. Of a share of memory that cannot be known they are the least that will do."""
    free, given = free_bytes(device), FREE_DEVICE_SHARE if budget is None else budget
    if free is None:
        return memory_budget(given, "device_memory_budget", lambda: 0) or least
    return min(free, memory_budget(given, "device_memory_budget", lambda: free))


def stored_dtype_on_device(dtype: Any) -> Any:
    """The dtype of streamed rows on a GPU: their own where the kernels read it, else that they are computed in."""
    return dtype if dtype.name in STORAGES else compute_dtype(dtype)


def _bytes_of_element(dtype: Any, storage: str) -> int:
    """Most bytes that an element is stored in on a GPU: of rows that hold small numbers they are fewer."""
    if storage == "auto":
        return int(stored_dtype_on_device(dtype).itemsize)
    return 2 if storage == "bfloat16" else int(np.dtype(storage).itemsize)


def prepare_array_by_blocks(
    X: Any,
    y: Any,
    sample_weight: Any,
    device: Device,
    *,
    class_weight: Any,
    storage: str,
    budget: Any,
    column_names: Any = None,
) -> Prepared | None:
    """Rows of the host for a GPU that does not hold them, or may not by its budget; None where they are to be copied.

    Parameters
    ----------
    X, y, sample_weight, device, class_weight, storage, column_names
        As of `gpu_logreg.estimators.prepare.prepare`.
    budget : int, float, str or None
        As of `blocks_on`, with its errors.
    """
    if not in_host_memory(X):
        return None
    n, d = X.shape
    free = free_bytes(device)
    if budget is None and (free is None or ROOM * n * d * _bytes_of_element(X.dtype, storage) <= free):
        return None
    dtype, computed_in = dtypes_on_device(X, storage)
    if budget is None and ROOM * n * d * dtype.itemsize <= (free or 0):
        return None
    store = blocks_of_array(X)
    classes, codes = encode_labels(cupy_to_device(y, Device("cpu")))
    codes = narrow_codes(to_numpy(codes), len(classes))
    weights = cupy_to_device(given_column(sample_weight, "sample_weight"), Device("cpu"))
    weights = None if weights is None else check_sample_weight(weights, n)
    target = Target(classes)
    by_class = table_of_class_weights(class_weight, classes, codes, weights, list(store.parts))
    labels = RowLabels(codes, np.dtype(target.loss.label_dtype), weights, by_class)
    try:
        blocks = blocks_on(device, store, labels, target.loss.n_logits, dtype, budget)
    except DataError:
        if budget is None:
            return None  # too little is free for blocks too: the copy is refused, with what would fit
        raise
    data = StreamedDataset(store, labels, len(classes), column_names, computed_in=computed_in, on_device=blocks)
    said = f"{device.reason}, streamed from host memory: the rows take {n * d * dtype.itemsize / 2**30:.1f} GiB there"
    if free is not None:
        said += f", {free / 2**30:.1f} GiB are free"
    said += f", and {len(blocks.kept)} of {len(store.parts)} blocks stay"
    return Prepared(data, target, replace(device, reason=said))
