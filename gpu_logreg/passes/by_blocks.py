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
    engine = choose(impl, data.template(), device, loss, by_columns=True)
    if isinstance(data, PartedDataset):
        return PartedEngine(loss, f"{engine.reason}; the rows are in {len(data.shapes)} parts", engine)
    return BlockwiseEngine(loss, f"{engine.reason}; {len(data.store.parts)} blocks of rows are streamed", engine)


class BlockwiseEngine(EngineApart):
    """Sums over streamed rows, by another engine for each block."""

    def _of_each(self, data: StreamedDataset, function: Callable[..., Any], *arguments: Any) -> Iterable[Any]:
        return (function(self._other, block, *arguments) for block in data.blocks())

    def _some_columns(self, data: StreamedDataset) -> Callable[[IntVector], StreamedDataset]:
        """They are copied from every block that is read."""
        return lambda columns: data.with_columns(columns, lambda block: self._columns_of(block, columns))

    def _columns_of(self, block: ResidentDataset, columns: IntVector) -> ResidentDataset:
        some = self._other.columns(block)(columns)
        return replace(some, column_names=None)
