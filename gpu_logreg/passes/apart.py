"""What engines have in common whose rows are not all in the memory of this process: each piece is summed where it is.

Nothing of the length of the rows is kept here from one read to the next: products with a Hessian compute the
probabilities of every piece again, so that a piece can be read, or made, anew at any time.
"""

from __future__ import annotations

import functools
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.engine import DelegatingEngine, Engine, GradientPass
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import LabelledMoments, Moments, Sums
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["EngineApart", "total"]

S = TypeVar("S", Sums, Product, Moments)


class EngineApart(DelegatingEngine):
    """Sums over rows apart, piece by piece; sums over samples, which are in memory, are another engine's."""

    def __init__(self, loss: Loss, reason: str, other: Engine) -> None:
        super().__init__(loss, reason, other)
        self.name = other.name

    @abstractmethod
    def _of_each(self, data: Any, function: Callable[..., Any], *arguments: Any) -> Iterable[Any]:
        """``function`` of an engine, a piece of the rows and the arguments, for every piece in its order.

        The function can be sent by name.
        """

    @abstractmethod
    def _some_columns(self, data: Any) -> Callable[[IntVector], Any]:
        """`columns` of rows apart."""

    def gradient(self, data: Dataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.gradient(data, w, b)
        sums: Sums = total(self._of_each(data, _gradient, w, b))
        return sums

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
        sums: Product = total(self._of_each(data, _product, at.w, at.b, v, c))
        return sums

    def diagonal(self, data: Dataset, at: RowCurvature) -> Product:
        """Diagonal of the Hessian; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.diagonal(data, at)
        sums: Product = total(self._of_each(data, _diagonal, at.w, at.b))
        return sums

    def moments(self, data: Dataset) -> Moments:
        """Sums of the columns and of their squares; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.moments(data)
        sums: Moments = total(self._of_each(data, _moments))
        return sums

    def moments_by_label(self, data: Dataset) -> LabelledMoments | None:
        """None for rows apart."""
        return self._other.moments_by_label(data) if isinstance(data, ResidentDataset) else None

    def moments_by_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight; one read."""
        if isinstance(data, ResidentDataset):
            return self._other.moments_by_curvature(data, w, b)
        with np.errstate(all="ignore"):
            found: list[tuple[Any, Moments]] = list(self._of_each(data, _moments_by_curvature, w, b))
        return sum(h_sum for h_sum, _ in found), total(moments for _, moments in found)

    def columns(self, data: Dataset) -> Callable[[IntVector], Any]:
        """The same rows with some of their columns, which are copied where the rows are."""
        return self._other.columns(data) if isinstance(data, ResidentDataset) else self._some_columns(data)

    def by_columns(self, data: Dataset, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """None for rows apart."""
        return self._other.by_columns(data, fit_intercept, count) if isinstance(data, ResidentDataset) else None

    def bytes_by_columns(self, data: Dataset) -> int | None:
        """None for rows apart."""
        return self._other.bytes_by_columns(data) if isinstance(data, ResidentDataset) else None


def _gradient(engine: Engine, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
    return engine.gradient(data, w, b)


def _product(engine: Engine, data: ResidentDataset, w: Float64Vector, b: Any, v: Float64Vector, c: Any) -> Product:
    return engine.product(data, _curvature_of_piece(engine, data, w, b), v, c)


def _diagonal(engine: Engine, data: ResidentDataset, w: Float64Vector, b: Any) -> Product:
    return engine.diagonal(data, _curvature_of_piece(engine, data, w, b))


def _curvature_of_piece(engine: Engine, data: ResidentDataset, w: Float64Vector, b: Any) -> RowCurvature:
    """The point alone for dense rows of the host, whose curvature is then computed a few rows at a time.

    So they come from memory once, and not once for the curvature and once for the product.
    """
    return RowCurvature(w, b, None) if data.on_host and not data.is_sparse else engine.row_curvature(data, w, b)


def _moments(engine: Engine, data: ResidentDataset) -> Moments:
    return engine.moments(data)


def _moments_by_curvature(engine: Engine, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
    return engine.moments_by_curvature(data, w, b)


def total(pieces: Iterable[S]) -> S:
    """The sum of the pieces in their order; NumPy's warnings are off, as callers check that sums are finite."""
    with np.errstate(all="ignore"):
        return functools.reduce(operator.add, pieces)
