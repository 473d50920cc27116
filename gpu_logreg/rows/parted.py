"""Rows in parts that live apart, on the devices of one machine or on the workers of a cluster, and are walked there.

What travels is the point of a read and, from every part, its sums; of a sample, its rows. Results are taken in the
order of the parts, whatever the order in which they come, so that no bit depends on where a part is, on how fast its
worker is, or on whether it had to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.block_sizes import BlockSize
from gpu_logreg.arrays.checks import first_not_finite, not_finite_error
from gpu_logreg.arrays.csr import all_finite
from gpu_logreg.arrays.device import is_sparse, to_numpy
from gpu_logreg.arrays.vector import ArrayNamespace, ArrayOfRows, DType, DTypeLike, Float64Vector, HostArray, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.rows.block import Rows, compute_dtype
from gpu_logreg.rows.drawing import Drawing
from gpu_logreg.rows.resident import PAIR_COST, STORED_ELEMENT_COST, ResidentDataset
from gpu_logreg.rows.streamed import largest_sample

__all__ = ["DrawingByParts", "Part", "PartedDataset", "Parts", "ShapeOfPart", "View", "shape_of"]


class View(NamedTuple):
    """How rows are seen by a pass.

    Attributes
    ----------
    in_float64 : bool
    columns : integer ndarray or None
        Numbers of the columns that are left; None for all.
    """

    in_float64: bool = False
    columns: IntVector | None = None


class Scoring(NamedTuple):
    """By what rows are scored; see `gpu_logreg.passes.engine.Engine.scores`."""

    mean: Float64Vector
    inverse_variance: Float64Vector
    unseen: float


class Part:
    """Some of the rows, where they live, with what walks them there.

    Parameters
    ----------
    data : ResidentDataset
    engine : Engine
    place : str
        For the beginning of a message, with a colon.
    """

    def __init__(self, data: ResidentDataset, engine: Any, place: str) -> None:
        self.data, self.engine, self.place = data, engine, place
        self._columns: tuple[IntVector, ResidentDataset] | None = None
        self._drawing: tuple[Scoring | None, Drawing] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_columns": None, "_drawing": None}

    def seen(self, view: View) -> ResidentDataset:
        """The rows as they are seen; copies of columns are kept until others are asked for."""
        data = self.data
        if view.columns is not None:
            if self._columns is None or not np.array_equal(self._columns[0], view.columns):
                self._columns = view.columns, self.engine.columns(data)(view.columns)
            data = self._columns[1]
        return data.in_float64() if view.in_float64 else data

    def drawing(self, scoring: Scoring | None, n_classes: int, view: View) -> Drawing:
        """What samples of these rows are drawn by."""
        if self._drawing is None or not _is_same(self._drawing[0], scoring):
            data = self.seen(view)
            drawing = Drawing(data.rows.y, data.rows.sample_weight, n_classes)
            if scoring is not None:
                scores = self.engine.scores(data, *scoring)
                if not np.isfinite(scores).all():
                    refuse_not_finite(self)
                drawing.by_scores([scores], data.n_columns)
            self._drawing = scoring, drawing
        return self._drawing[1]


def _is_same(a: Scoring | None, b: Scoring | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


class Parts(Protocol):
    """All parts, wherever they live."""

    def each(self, function: Callable[..., Any], /, *shared: Any, own: Sequence[Sequence[Any]] | None = None) -> Any:
        """``function(part, *shared, *own[k])`` of every part, where it lives; results in the order of the parts.

        Parameters
        ----------
        function : function of a module
            It can be sent by name.
        *shared
            Arguments for all parts.
        own : sequence of argument tuples, optional
            Those of each; a part with None is passed over, and its result is None.
        """


class ShapeOfPart(NamedTuple):
    """What is asked of a part once.

    Attributes
    ----------
    n_rows, n_columns : int
    dtype : dtype
        Of the elements as they are stored.
    is_sparse, on_host : bool
    n_stored, n_pairs
        Of sparse rows: see `gpu_logreg.rows.streamed.StreamedDataset`.
    sums_of_weights : ndarray of shape (K,)
        Of the rows of every class.
    least_weight : float
        The least positive one.
    """

    n_rows: int
    n_columns: int
    dtype: DType
    is_sparse: bool
    on_host: bool
    n_stored: int
    n_pairs: float
    sums_of_weights: Float64Vector
    least_weight: float


def shape_of(part: Part) -> ShapeOfPart:
    """What is asked of a part once; a function for `Parts.each`."""
    data = part.data
    X, y, s = data.rows
    pairs = 0.0
    if data.is_sparse:
        lengths = np.diff(X.indptr).astype(np.float64)
        pairs = float(lengths @ lengths)
    sums = part.engine.loss.weights_of_classes(y, s, data.weight_total)
    stored = int(X.nnz) if data.is_sparse else 0
    ends = stored, pairs, np.asarray(sums, np.float64), float(data.least_weight)
    return ShapeOfPart(data.n_rows, data.n_columns, np.dtype(X.dtype), data.is_sparse, data.on_host, *ends)


def refuse_not_finite(part: Part) -> None:
    """Raise a `DataError` that names the first NaN or infinity of a part; a function for `Parts.each`."""
    found = first_not_finite(part.data.rows.X)
    if found is not None:
        raise DataError(f"{part.place}{not_finite_error(*found, part.data.column_name(found[1]))}")


def _of_data(part: Part, view: View, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(part.seen(view), *arguments)


def _all_finite(part: Part) -> bool:
    X = part.data.rows.X
    return X.dtype.kind != "f" or bool(all_finite(X))


def _total_to_draw_by(part: Part, *how: Any) -> tuple[float, int]:
    drawing = part.drawing(*how)
    return drawing.total, drawing.n_present


def _draw(part: Part, scoring: Scoring | None, K: int, view: View, size: int, seed: int) -> Any:
    return part.drawing(scoring, K, view).draw(size, np.random.default_rng(seed))


def _labels_and_weights(part: Part, at: IntVector) -> tuple[HostArray, HostArray]:
    y, s = part.data.labels_and_weights(at, np.ones(len(at)))
    return to_numpy(y), to_numpy(s)


def _rows_at(part: Part, view: View, at: IntVector) -> ArrayOfRows:
    data = part.seen(view)
    return data.rows.X[at] if data.is_sparse else to_numpy(data.rows.X[data.xp.asarray(at)])


class DrawingByParts:
    """Draws from every part, in proportion to the sum of what its rows are drawn by.

    Parameters
    ----------
    data : PartedDataset
    n_classes : int
    """

    def __init__(self, data: PartedDataset, n_classes: int) -> None:
        self._data, self._n_classes = data, n_classes
        self._scoring: Scoring | None = None
        self._totals: list[float] | None = None
        self._n_present = 0

    @property
    def _how(self) -> tuple[Scoring | None, int, View]:
        return self._scoring, self._n_classes, self._data.view

    def _count(self) -> list[float]:
        if self._totals is None:
            found = self._data.parts.each(_total_to_draw_by, *self._how)
            self._totals, self._n_present = [total for total, _ in found], sum(n for _, n in found)
        return self._totals

    @property
    def n_present(self) -> int:
        """Number of rows of positive weight."""
        self._count()
        return self._n_present

    def draw(self, size: int, generator: np.random.Generator) -> tuple[IntVector, Float64Vector]:
        """About ``size`` rows in ascending order, and their inverse-probability weights."""
        totals, data = self._count(), self._data
        seeds = generator.integers(2**63, size=len(totals))
        if size >= data.n_rows:
            sizes = data.sizes
        else:
            edges = np.rint(size * np.cumsum(np.append(0.0, totals)) / max(float(np.sum(totals)), 1e-300))
            sizes = [max(1, int(wanted)) for wanted in np.diff(edges)]  # so that no row has the probability 0
        own = [(wanted, int(seed)) for wanted, seed in zip(sizes, seeds, strict=True)]
        drawn = data.parts.each(_draw, *self._how, own=own)
        rows = [at + first for (at, _), first in zip(drawn, data.firsts, strict=True)]
        return np.concatenate(rows), np.concatenate([weight for _, weight in drawn])

    def by_scores_of(self, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> None:
        """From now on draw in proportion to ``1 + score / n_columns`` too, which every part works out itself."""
        self._scoring, self._totals = Scoring(mean, inverse_variance, unseen), None


@dataclass(frozen=True)
class PartedDataset:
    """As `gpu_logreg.rows.resident.ResidentDataset`, of rows that live apart.

    Attributes
    ----------
    parts : Parts
        None of them is empty.
    shapes : sequence of ShapeOfPart
    column_names : sequence of str or None
    view : View
    """

    parts: Parts
    shapes: Sequence[ShapeOfPart]
    column_names: Sequence[str] | None = None
    view: View = field(default_factory=View)
    xp: ArrayNamespace = np
    on_host: bool = True

    @property
    def is_resident(self) -> bool:
        """False: the rows are not in the memory of this process."""
        return False

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
    def is_sparse(self) -> bool:
        """Whether the parts are CSR arrays."""
        return self.shapes[0].is_sparse

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
    def read_cost(self) -> float:
        """Time of a read, relative to one of as many dense rows."""
        if not self.is_sparse:
            return 1.0
        return min(1.0, STORED_ELEMENT_COST * max(self.n_rows, self.n_stored) / max(1, self.n_rows * self.n_columns))

    @property
    def curvature_cost(self) -> float:
        """Time of a Hessian of two classes, relative to one of as many dense rows."""
        if not self.is_sparse:
            return 1.0
        pairs = sum(shape.n_pairs for shape in self.shapes)
        return min(1.0, PAIR_COST * pairs / max(1, self.n_rows * self.n_columns**2))

    def map_blocks(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function``, which can be sent by name, of every part and the arguments, in the order of the parts."""
        found: list[Any] = self.parts.each(_of_data, self.view, function, *arguments)
        return found

    def block_bytes(self, size: BlockSize) -> int:
        """Bytes of a block of that size on the host, where samples are worked on."""
        return size.host

    def template(self) -> Rows:
        """Rows of this shape and dtype without memory of their own, for the choice of an engine."""
        if self.is_sparse:
            X: ArrayOfRows = sparse.csr_array((1, self.n_columns), dtype=self.stored_dtype)
        else:
            X = np.broadcast_to(np.zeros((1, 1), self.stored_dtype), (self.n_rows, self.n_columns))
        return Rows(X, np.zeros(1, np.uint8), None)

    def drawing(self, n_classes: int) -> DrawingByParts:
        """What samples of the rows are drawn by."""
        return DrawingByParts(self, n_classes)

    @property
    def largest_sample(self) -> int:
        """Most rows of a sample, which comes into the memory of this process."""
        return largest_sample(self.n_columns)

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
        found = [two for two in self.parts.each(_labels_and_weights, own=self._of_parts(indices)) if two is not None]
        y, s = (np.concatenate(list(arrays)) for arrays in zip(*found, strict=True))
        return y, weight * s

    def gather(self, indices: IntVector) -> tuple[ResidentDataset, IntVector]:
        """A data set in this process of the rows ``indices``, which ascend, and their numbers in it."""
        X = self._rows(indices)
        y, s = self.labels_and_weights(indices, np.ones(len(indices)))
        data = ResidentDataset(Rows(X, y, s), float(s.sum()), self.column_names, self.compute_dtype)
        return data, np.arange(len(indices))

    def _rows(self, indices: IntVector) -> ArrayOfRows:
        found = self.parts.each(_rows_at, self.view, own=self._of_parts(indices))
        arrays = [X for X in found if X is not None]
        if len(arrays) == 1:
            return arrays[0]
        return sparse.vstack(arrays, format="csr") if self.is_sparse else np.concatenate(arrays)

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

    def column_name(self, column: int) -> str:
        """The name of a column, for a message that has named its number."""
        return "" if self.column_names is None else f" ({self.column_names[column]!r})"
