"""Sums over rows that are read block by block: an engine computes each block, and the sums are added in order."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.by_parts import PartedEngine
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.engine import DelegatingEngine, Engine, GradientPass
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["BlockwiseEngine", "choose_for"]

S = TypeVar("S", Sums, Product, Moments)


def choose_for(impl: str, data: Dataset, device: Device, loss: Loss, *, by_columns: bool = False) -> Engine:
    """`gpu_logreg.passes.choice.choose` for a data set, in memory or streamed."""
    if isinstance(data, ResidentDataset):
        return choose(impl, data.rows, device, loss, by_columns=by_columns)
    engine = choose(impl, data.template(), device, loss, by_columns=True)
    if isinstance(data, PartedDataset):
        return PartedEngine(loss, f"{engine.reason}; the rows are in {len(data.shapes)} parts", engine)
    return BlockwiseEngine(loss, f"{engine.reason}; {len(data.store.parts)} blocks of rows are streamed", engine)


class BlockwiseEngine(DelegatingEngine):
    """Sums over streamed rows, by another engine for each block; sums over samples, which are in memory, are its own.

    Nothing of the length of the rows is kept from one read to the next: products with a Hessian compute the
    probabilities of every block again.
    """

    def __init__(self, loss: Loss, reason: str, other: Engine) -> None:
        super().__init__(loss, reason, other)
        self.name = other.name

    def gradient(self, data: Dataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        return _total(self._other.gradient(block, w, b) for block in data.blocks())

    def gradient_pass(self, data: Dataset) -> GradientPass:
        """`gradient` over these rows."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient_pass(data)
        return lambda w, b: self.gradient(data, w, b)

    def gradient_and_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums, and the point: nothing of the rows is kept."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient_and_curvature(data, w, b)
        return self.gradient(data, w, b), RowCurvature(w, b, None)

    def row_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> RowCurvature:
        """The point."""
        if isinstance(data, ResidentDataset):
            return self._other.row_curvature(data, w, b)
        return RowCurvature(w, b, None)

    def product(self, data: Dataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.product(data, at, v, c)
        other = self._other
        return _total(other.product(block, other.row_curvature(block, at.w, at.b), v, c) for block in data.blocks())

    def diagonal(self, data: Dataset, at: RowCurvature) -> Product:
        """Diagonal of the Hessian; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.diagonal(data, at)
        other = self._other
        return _total(other.diagonal(block, other.row_curvature(block, at.w, at.b)) for block in data.blocks())

    def moments(self, data: Dataset) -> Moments:
        """Sums of the columns and of their squares; one read."""
        return _total(self._other.moments(block) for block in data.blocks())

    def moments_by_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight; one read."""
        h_sums: list[Any] = []

        def of_block(block: ResidentDataset) -> Moments:
            h_sum, moments = self._other.moments_by_curvature(block, w, b)
            h_sums.append(h_sum)
            return moments

        total = _total(of_block(block) for block in data.blocks())
        return sum(h_sums), total

    def columns(self, data: Dataset) -> Callable[[IntVector], Any]:
        """The same rows with some of their columns, which are copied from every block that is read."""
        if isinstance(data, ResidentDataset):
            return self._other.columns(data)
        return lambda columns: data.with_columns(columns, lambda block: self._columns_of(block, columns))

    def _columns_of(self, block: ResidentDataset, columns: IntVector) -> ResidentDataset:
        some = self._other.columns(block)(columns)
        return replace(some, column_names=None)

    def by_columns(self, data: Dataset, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """None for streamed rows."""
        return self._other.by_columns(data, fit_intercept, count) if isinstance(data, ResidentDataset) else None

    def bytes_by_columns(self, data: Dataset) -> int | None:
        """None for streamed rows."""
        return self._other.bytes_by_columns(data) if isinstance(data, ResidentDataset) else None


def _total(parts: Iterable[S]) -> S:
    """The sum of the parts in their order; NumPy's warnings are off, as callers check that sums are finite."""
    with np.errstate(all="ignore"):
        return functools.reduce(operator.add, parts)
