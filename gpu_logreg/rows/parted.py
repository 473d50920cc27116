"""Rows in parts that live apart, on the devices of one machine or on the workers of a cluster, and are walked there.

What travels is the point of a read and, from every part, its sums; of a sample, its rows. Results are taken in the
order of the parts, whatever the order in which they come, so that no bit depends on where a part is, on how fast its
worker is, or on whether it had to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from gpu_logreg.arrays.csr import all_finite
from gpu_logreg.arrays.device import is_sparse, to_numpy
from gpu_logreg.arrays.kinds import DENSE_ROWS, SPARSE_ROWS, KindOfRows
from gpu_logreg.arrays.vector import ArrayNamespace, ArrayOfRows, DType, DTypeLike, Float64Vector, HostArray, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.rows.apart import RowsApart
from gpu_logreg.rows.block import Rows, compute_dtype
from gpu_logreg.rows.drawing_by_parts import DrawingByParts, draw
from gpu_logreg.rows.part import Part, Parts, ShapeOfPart, View, refuse_not_finite

__all__ = ["PartedDataset"]


@dataclass(frozen=True)
class PartedDataset(RowsApart):
    """As `gpu_logreg.rows.resident.ResidentDataset`, of rows that live apart.

    Attributes
    ----------
    parts : Parts
        None of them is empty.
    shapes : sequence of ShapeOfPart
    column_names : sequence of str or None
    view : View
    last_sample : dict
        Numbers, labels and weights of the rows that were fetched last: all of a sample comes in one call of the parts.
    last_draw : list
        Numbers, rows, labels and weights from every part, where a sample came with its draw and was not asked for yet.
    """

    parts: Parts
    shapes: Sequence[ShapeOfPart]
    column_names: Sequence[str] | None = None
    view: View = field(default_factory=View)
    last_sample: dict[str, HostArray] = field(default_factory=dict, repr=False)
    last_draw: list[Any] = field(default_factory=list, repr=False)
    xp: ArrayNamespace = np
    on_host: bool = True

    @property
    def sizes(self) -> list[int]:
        """Rows of every part."""
        return [shape.n_rows for shape in self.shapes]

    @property
    def firsts(self) -> list[int]:
        """Number of the first row of every part."""
        return [0, *np.cumsum(self.sizes)[:-1].tolist()]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(self.sizes)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.shapes[0].n_columns if self.view.columns is None else len(self.view.columns)

    @property
    def kind(self) -> KindOfRows:
        """How the parts are stored."""
        return SPARSE_ROWS if self.shapes[0].is_sparse else DENSE_ROWS

    @property
    def stored_dtype(self) -> DType:
        """The dtype that holds the elements of all parts."""
        return np.result_type(*[shape.dtype for shape in self.shapes])

    @property
    def compute_dtype(self) -> DType:
        """The most precise dtype in which the passes over the parts compute."""
        if self.view.in_float64 or self.is_sparse:
            return np.dtype(np.float64)
        return np.result_type(*[compute_dtype(shape.dtype) for shape in self.shapes])

    @property
    def storage_name(self) -> str:
        """Names of the dtypes of the parts."""
        return ", ".join(sorted({shape.dtype.name for shape in self.shapes}))

    @property
    def weight_total(self) -> float:
        """Sum of the weights."""
        return float(self.sums_of_weights.sum())

    @property
    def sums_of_weights(self) -> Float64Vector:
        """Sum of the weights of the rows of every class."""
        sums: Float64Vector = np.sum([shape.sums_of_weights for shape in self.shapes], axis=0)
        return sums

    @property
    def least_weight(self) -> float:
        """The least positive weight of a row."""
        return min(shape.least_weight for shape in self.shapes)

    def weights_of_classes(self, loss: Any) -> Float64Vector:
        """Sum of the row weights of every class."""
        return self.sums_of_weights

    @property
    def widest_dtype(self) -> DType:
        """The most precise dtype of the arithmetic."""
        return np.dtype(np.float64)

    @property
    def n_stored(self) -> int:
        """Stored elements."""
        return sum(shape.n_stored for shape in self.shapes) if self.is_sparse else self.n_rows * self.n_columns

    @property
    def n_pairs(self) -> float:
        """Sum of the squares of the numbers of stored elements of sparse rows."""
        return sum(shape.n_pairs for shape in self.shapes)

    def map_blocks(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function``, which can be sent by name, of every part and the arguments, in the order of the parts."""
        found: list[Any] = self.parts.each(_of_data, self.view, function, *arguments)
        return found

    def template(self) -> Rows:
        """Rows of this shape and dtype without memory of their own, for the choice of an engine."""
        X = self.kind.template(self.n_rows, self.n_columns, self.stored_dtype)
        return Rows(X, np.zeros(1, np.uint8), None)

    def drawing(self, n_classes: int) -> DrawingByParts:
        """What samples of the rows are drawn by."""
        return DrawingByParts(self, n_classes)

    def reads_of_sample(self, size: int) -> float:
        """Share of a read that a sample of so many rows takes."""
        return size / self.n_rows

    def _of_parts(self, indices: IntVector) -> list[tuple[IntVector] | None]:
        """The numbers within every part of rows that ascend; None for a part that has none of them."""
        edges = np.searchsorted(indices, [*self.firsts, self.n_rows])
        found: list[tuple[IntVector] | None] = []
        for k, first in enumerate(self.firsts):
            at = indices[edges[k] : edges[k + 1]] - first
            found.append((at,) if len(at) else None)
        return found

    def labels_and_weights(self, indices: IntVector, weight: Float64Vector) -> tuple[HostArray, HostArray]:
        """Labels of rows that ascend, and their weights times ``weight``."""
        if not self.last_sample or not np.array_equal(self.last_sample["indices"], indices):
            self._keep(indices, self.parts.each(_labels_and_weights, own=self._of_parts(indices)))
        return self.last_sample["y"], weight * self.last_sample["s"]

    def _keep(self, indices: IntVector, found: Sequence[tuple[HostArray, HostArray] | None]) -> None:
        y, s = (np.concatenate(list(arrays)) for arrays in zip(*filter(None, found), strict=True))
        self.last_sample.update(indices=indices, y=y, s=s)

    def _rows(self, indices: IntVector) -> ArrayOfRows:
        found, drawn = [], list(self.last_draw)
        self.last_draw.clear()
        if drawn:
            at = [at + first for (at, *_), first in zip(drawn, self.firsts, strict=True)]
            found = [three for _, *three in drawn] if np.array_equal(np.concatenate(at), indices) else []
        if not found:
            of_parts = self.parts.each(_sample_at, self.view, own=self._of_parts(indices), large=True)
            found = [three for three in of_parts if three]
        self._keep(indices, [(y, s) for _, y, s in found])
        return self.kind.joined([X for X, _, _ in found])

    def drawn(self, how: Sequence[Any], own: Sequence[Any], with_rows: bool) -> Sequence[Any]:
        """Numbers of the rows that every part draws, and their weights; with the rows, they are kept for `gather`."""
        self.last_draw.clear()
        if not with_rows:
            found: list[Any] = self.parts.each(draw, *how, own=own)
            return found
        drawn = self.parts.each(_draw_rows, self.view, *how, own=own, large=True)
        self.last_draw.extend((at, *three) for (at, _), three in drawn)
        return [numbers for numbers, _ in drawn]

    def take_parts(self, several: Iterable[IntVector], dtype: DTypeLike) -> Iterator[Rows]:
        """Copies of the rows of each of several vectors, which ascend, dense and in a dtype, without their labels."""
        for indices in several:
            X = self._rows(indices)
            X = np.ascontiguousarray((X.toarray() if is_sparse(X) else X).astype(dtype, copy=False))
            yield Rows(X, np.zeros(0, np.uint8), None)

    def in_float64(self) -> PartedDataset:
        """The same rows for passes that compute in float64."""
        return replace(self, view=self.view._replace(in_float64=True))

    def with_columns(self, columns: IntVector) -> PartedDataset:
        """The same rows with some of their columns."""
        names = None if self.column_names is None else [self.column_names[column] for column in columns]
        return replace(self, column_names=names, view=self.view._replace(columns=columns))

    def all_finite(self) -> bool:
        """Whether every stored value is finite."""
        return all(self.parts.each(_all_finite))

    def refuse_not_finite(self) -> NoReturn:
        """Raise a `DataError` that names the first NaN or infinity and its part."""
        self.parts.each(refuse_not_finite)
        raise DataError("the sums over X overflow; scale its columns to smaller numbers")


def _of_data(part: Part, view: View, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(part.seen(view), *arguments)


def _all_finite(part: Part) -> bool:
    X = part.data.rows.X
    return X.dtype.kind != "f" or bool(all_finite(X))


def _labels_and_weights(part: Part, at: IntVector) -> tuple[HostArray, HostArray]:
    y, s = part.data.labels_and_weights(at, np.ones(len(at)))
    return to_numpy(y), to_numpy(s)


def _draw_rows(part: Part, view: View, *how: Any) -> Any:
    at, weight = draw(part, *how)
    return (at, weight), _sample_at(part, view, at)


def _sample_at(part: Part, view: View, at: IntVector) -> tuple[ArrayOfRows, HostArray, HostArray]:
    data = part.seen(view)
    X = data.rows.X[at] if data.is_sparse else to_numpy(data.rows.X[data.xp.asarray(at)])
    return X, *_labels_and_weights(part, at)
