"""Sums over rows that live in parts: an engine of its own computes each part where it is, and the sums are added."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.engine import DelegatingEngine, Engine, GradientPass
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.part import Part, View
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["PartedEngine"]

S = TypeVar("S", Sums, Product, Moments)


class PartedEngine(DelegatingEngine):
    """Sums over the parts of a `PartedDataset`, by the engine of each; sums over samples are another engine's.

    Nothing is kept from one read to the next but copies of columns: products with a Hessian compute the probabilities
    of every part again, so that a part can be made anew at any time.
    """

    def __init__(self, loss: Loss, reason: str, other: Engine) -> None:
        super().__init__(loss, reason, other)
        self.name = other.name

    def gradient(self, data: Any, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient(data, w, b)
        return _total(data, _gradient, w, b)

    def gradient_pass(self, data: Any) -> GradientPass:
        """`gradient` over these rows."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient_pass(data)
        return lambda w, b: self.gradient(data, w, b)

    def gradient_and_curvature(self, data: Any, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums, and the point: nothing of the rows is kept."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient_and_curvature(data, w, b)
        return self.gradient(data, w, b), RowCurvature(w, b, None)

    def row_curvature(self, data: Any, w: Float64Vector, b: Any) -> RowCurvature:
        """The point."""
        if isinstance(data, ResidentDataset):
            return self._other.row_curvature(data, w, b)
        return RowCurvature(w, b, None)

    def product(self, data: Any, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.product(data, at, v, c)
        return _total(data, _product, at.w, at.b, v, c)

    def diagonal(self, data: Any, at: RowCurvature) -> Product:
        """Diagonal of the Hessian; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.diagonal(data, at)
        return _total(data, _diagonal, at.w, at.b)

    def moments(self, data: Any) -> Moments:
        """Sums of the columns and of their squares; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.moments(data)
        return _total(data, _moments)

    def moments_by_curvature(self, data: Any, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.moments_by_curvature(data, w, b)
        found: list[tuple[Any, Moments]] = data.parts.each(_moments_by_curvature, data.view, w, b)
        return sum(h_sum for h_sum, _ in found), _sum(moments for _, moments in found)

    def columns(self, data: Any) -> Callable[[IntVector], Any]:
        """The same rows with some of their columns, which every part copies."""
        return data.with_columns if isinstance(data, PartedDataset) else self._other.columns(data)

    def by_columns(self, data: Any, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """None for parts."""
        return self._other.by_columns(data, fit_intercept, count) if isinstance(data, ResidentDataset) else None

    def bytes_by_columns(self, data: Any) -> int | None:
        """None for parts."""
        return self._other.bytes_by_columns(data) if isinstance(data, ResidentDataset) else None


def _gradient(part: Part, view: View, w: Float64Vector, b: Any) -> Sums:
    sums: Sums = part.engine.gradient(part.seen(view), w, b)
    return sums


def _product(part: Part, view: View, w: Float64Vector, b: Any, v: Float64Vector, c: Any) -> Product:
    data = part.seen(view)
    sums: Product = part.engine.product(data, part.engine.row_curvature(data, w, b), v, c)
    return sums


def _diagonal(part: Part, view: View, w: Float64Vector, b: Any) -> Product:
    data = part.seen(view)
    sums: Product = part.engine.diagonal(data, part.engine.row_curvature(data, w, b))
    return sums


def _moments(part: Part, view: View) -> Moments:
    sums: Moments = part.engine.moments(part.seen(view))
    return sums


def _moments_by_curvature(part: Part, view: View, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
    sums: tuple[Any, Moments] = part.engine.moments_by_curvature(part.seen(view), w, b)
    return sums


def _total(data: Any, function: Callable[..., S], *arguments: Any) -> S:
    """The sum of what a function gives for every part."""
    found: list[S] = data.parts.each(function, data.view, *arguments)
    return _sum(found)


def _sum(parts: Iterable[S]) -> S:
    """The sum in the order of the parts; NumPy's warnings are off, as callers check that sums are finite."""
    with np.errstate(all="ignore"):
        return functools.reduce(operator.add, parts)
