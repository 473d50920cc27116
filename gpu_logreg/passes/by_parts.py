"""Sums over rows that live in parts: an engine of its own computes each part where it is, and the sums are added."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.passes.apart import EngineApart, total
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.part import Part, View
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["PartedEngine"]


class PartedEngine(EngineApart):
    """Sums over the parts of a `PartedDataset`, by the engine of each.

    A part keeps the curvature of its rows at one point, which comes with the gradient there, so that a product is one
    walk over its rows. A part that was made anew walks once more, by the same function and so to the same bits.
    """

    def _of_each(self, data: PartedDataset, function: Callable[..., Any], *arguments: Any) -> Iterable[Any]:
        found: list[Any] = data.parts.each(_of_part, data.view, function, *arguments)
        return found

    def _some_columns(self, data: PartedDataset) -> Callable[[IntVector], PartedDataset]:
        return data.with_columns

    def gradient_and_curvature(self, data: Any, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums, and the point, at which parts keep the curvature of their rows."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient_and_curvature(data, w, b)
        return total(data.parts.each(_gradient_at, data.view, w, b)), RowCurvature(w, b, None)

    def product(self, data: Any, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.product(data, at, v, c)
        sums: Product = total(data.parts.each(_product, data.view, at.w, at.b, v, c))
        return sums

    def diagonal(self, data: Any, at: RowCurvature) -> Product:
        """Diagonal of the Hessian; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.diagonal(data, at)
        sums: Product = total(data.parts.each(_diagonal, data.view, at.w, at.b))
        return sums


def _of_part(part: Part, view: View, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(part.engine, part.seen(view), *arguments)


def _key(view: View, w: Float64Vector, b: Any) -> tuple[Any, ...]:
    columns = None if view.columns is None else view.columns.tobytes()
    return view.in_float64, columns, np.asarray(w).tobytes(), np.asarray(b).tobytes()


def _gradient_at(part: Part, view: View, w: Float64Vector, b: Any) -> Sums:
    """Gradient sums of a part at a point, at which it keeps the curvature of its rows."""
    sums, at = part.engine.gradient_and_curvature(part.seen(view), w, b)
    part.kept("row curvature", _key(view, w, b), lambda: at)
    found: Sums = sums
    return found


def _at(part: Part, view: View, w: Float64Vector, b: Any) -> RowCurvature:
    def make() -> RowCurvature:
        at: RowCurvature = part.engine.gradient_and_curvature(part.seen(view), w, b)[1]
        return at

    found: RowCurvature = part.kept("row curvature", _key(view, w, b), make)
    return found


def _product(part: Part, view: View, w: Float64Vector, b: Any, v: Float64Vector, c: Any) -> Product:
    sums: Product = part.engine.product(part.seen(view), _at(part, view, w, b), v, c)
    return sums


def _diagonal(part: Part, view: View, w: Float64Vector, b: Any) -> Product:
    sums: Product = part.engine.diagonal(part.seen(view), _at(part, view, w, b))
    return sums
