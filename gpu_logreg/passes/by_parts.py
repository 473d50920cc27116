"""Sums over rows that live in parts: an engine of its own computes each part where it is, and the sums are added."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gpu_logreg.arrays.vector import IntVector
from gpu_logreg.passes.apart import EngineApart
from gpu_logreg.rows.part import Part, View
from gpu_logreg.rows.parted import PartedDataset

__all__ = ["PartedEngine"]


class PartedEngine(EngineApart):
    """Sums over the parts of a `PartedDataset`, by the engine of each."""

    def _of_each(self, data: PartedDataset, function: Callable[..., Any], *arguments: Any) -> Iterable[Any]:
        found: list[Any] = data.parts.each(_of_part, data.view, function, *arguments)
        return found

    def _some_columns(self, data: PartedDataset) -> Callable[[IntVector], PartedDataset]:
        return data.with_columns


def _of_part(part: Part, view: View, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(part.engine, part.seen(view), *arguments)
