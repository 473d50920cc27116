"""Sums over rows that are read block by block: an engine computes each block, and the sums are added in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.vector import IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.apart import EngineApart
from gpu_logreg.passes.by_parts import PartedEngine
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.engine import Engine
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset, StreamedDataset

__all__ = ["BlockwiseEngine", "choose_for"]


def choose_for(impl: str, data: Dataset, device: Device, loss: Loss, *, by_columns: bool = False) -> Engine:
    """`gpu_logreg.passes.choice.choose` for a data set, in memory or streamed."""
    if isinstance(data, ResidentDataset):
        return choose(impl, data.rows, device, loss, by_columns=by_columns)
    if isinstance(data, PartedDataset) and device.kind == "cpu" and impl in ("cuda", "cublas"):
        impl = "auto"  # of the parts, which have their engines; this one is for samples
    if isinstance(data, StreamedDataset) and data.on_device is not None:
        return _on_device(impl, data, device, loss)
    engine = choose(impl, data.template(), device, loss, by_columns=True)
    if isinstance(data, PartedDataset):
        return PartedEngine(loss, f"{engine.reason}; the rows are in {len(data.shapes)} parts", engine)
    return BlockwiseEngine(loss, f"{engine.reason}; {len(data.store.parts)} blocks of rows are streamed", engine)


def _on_device(impl: str, data: StreamedDataset, device: Device, loss: Loss) -> BlockwiseEngine:
    """The engines of blocks that are walked on a GPU, and of samples, which are of the host."""
    assert data.on_device is not None
    n, stay = len(data.store.parts), len(data.on_device.kept)
    there = choose(impl, data.template_there(), device, loss)
    here = choose("auto", data.template(), Device("cpu"), loss, by_columns=True)
    reason = f"{there.reason}; {n} blocks of rows are streamed, of which {stay} stay on {device.name}"
    return BlockwiseEngine(loss, reason, here, there)


class BlockwiseEngine(EngineApart):
    """Sums over streamed rows, by another engine for each block.

    Parameters
    ----------
    loss : Loss
    reason : str
    other : Engine
        Of samples, and of the blocks if they are walked on the host.
    on_device : Engine or None
        Of the blocks if they are walked on a GPU.
    """

    def __init__(self, loss: Loss, reason: str, other: Engine, on_device: Engine | None = None) -> None:
        super().__init__(loss, reason, other)
        self._on_device = on_device
        self.name = other.name if on_device is None else on_device.name

    def _of_each(self, data: StreamedDataset, function: Callable[..., Any], *arguments: Any) -> Iterable[Any]:
        if self._on_device is None:
            return (function(self._other, block, *arguments) for block in data.blocks())
        return (function(self._on_device, block, *arguments) for block in data.blocks_on_device())

    def _some_columns(self, data: StreamedDataset) -> Callable[[IntVector], StreamedDataset]:
        """They are copied from every block that is read."""
        return lambda columns: data.with_columns(columns, lambda block: self._columns_of(block, columns))

    def _columns_of(self, block: ResidentDataset, columns: IntVector) -> ResidentDataset:
        engine = self._other if self._on_device is None or block.on_host else self._on_device
        some = engine.columns(block)(columns)
        return replace(some, column_names=None)
