"""A part of the rows, where it lives, and what is asked of it there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.checks import first_not_finite, not_finite_error
from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.vector import DType, Float64Vector, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.drawing import Drawing
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "Part",
    "Parts",
    "Scoring",
    "ShapeOfPart",
    "View",
    "call",
    "refuse_mixed_kinds",
    "refuse_not_finite",
    "shape_of",
]


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
    first_row : int
        Number of the first row, where messages count the rows of all parts.

    Notes
    -----
    A method reads what is kept once: a call on a cluster that nobody waits for any more, as another worker has died
    meanwhile, may go on in another thread.
    """

    def __init__(self, data: ResidentDataset, engine: Any, place: str, first_row: int = 0) -> None:
        self.data, self.engine, self.place = replace(data, rows=_aligned(data.rows)), engine, place
        self.first_row = first_row
        self._columns: tuple[IntVector, ResidentDataset] | None = None
        self._drawing: tuple[tuple[Any, ...], Drawing] | None = None
        self._kept: dict[str, tuple[Any, Any]] = {}

    def __reduce__(self) -> Any:
        data = self.data
        known = data.rows, data.weight_total, data.column_names, data.computed_in
        return _part_of, (known, self.engine, self.place, self.first_row)

    def seen(self, view: View) -> ResidentDataset:
        """The rows as they are seen; copies of columns are kept until others are asked for."""
        data = self.data
        if view.columns is not None:
            known = self._columns
            if known is None or not np.array_equal(known[0], view.columns):
                self._columns = known = view.columns, self.engine.columns(data)(view.columns)
            data = known[1]
        return data.in_float64() if view.in_float64 else data

    def kept(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make()`` gives, kept under a name until it is asked for with another key."""
        known = self._kept.get(name)
        if known is None or known[0] != key:
            self._kept[name] = known = key, make()
        return known[1]

    def drawing(self, scoring: Scoring | None, n_classes: int, view: View) -> Drawing:
        """What samples of these rows are drawn by."""
        how = *(scoring or ()), n_classes, *view
        known = self._drawing
        if known is None or not _are_same(known[0], how):
            data = self.seen(view)
            drawing = Drawing(data.rows.y, data.rows.sample_weight, n_classes)
            if scoring is not None:
                scores = self.engine.scores(data, *scoring)
                if not np.isfinite(scores).all():
                    refuse_not_finite(self)
                drawing.by_scores([scores], data.n_columns)
            self._drawing = known = how, drawing
        return known[1]


def _are_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether numbers, arrays and None are the same."""
    if len(some) != len(others):
        return False
    pairs = list(zip(some, others, strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    return all(
        a is None or np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True) for a, b in pairs
    )


def _part_of(known: Sequence[Any], engine: Any, place: str, first_row: int) -> Part:
    """A part that was sent or written to disk; what it kept for later calls is made anew."""
    return Part(ResidentDataset(*known), engine, place, first_row)


def _aligned(rows: Rows) -> Rows:
    """The same rows, dense ones in C order, with elements at multiples of their size.

    Passes over others add in another order. What was sent, or read from disk, may lie anywhere, and of an array whose
    rows lay apart a copy is sent: without this, bits would tell where a part has been.
    """
    X, y, s = rows
    if is_sparse(X):
        arrays = X.data, X.indices, X.indptr
        if not all(array.flags.aligned for array in arrays):
            X = sparse.csr_array(tuple(np.require(array, requirements="A") for array in arrays), shape=X.shape)
    X, y, s = (np.require(a, requirements=("A", "C")) if isinstance(a, np.ndarray) else a for a in (X, y, s))
    return Rows(X, y, s)


class Parts(Protocol):
    """All parts, wherever they live."""

    def each(
        self,
        function: Callable[..., Any],
        /,
        *shared: Any,
        own: Sequence[Sequence[Any] | None] | None = None,
        large: bool = False,
    ) -> Any:
        """``function(part, *shared, *own[k])`` of every part, where it lives; results in the order of the parts.

        Parameters
        ----------
        function : function of a module
            It can be sent by name.
        *shared
            Arguments for all parts.
        own : sequence of argument tuples, optional
            Those of each; a part with None is passed over, and its result is None.
        large : bool
            Whether the results are rows and not sums.
        """


def call(part: Part, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """``function(part, *arguments)``, for every kind of `Parts`, with the same bits wherever the part is.

    Arrays among the arguments are brought into C order: products with others round otherwise, and an array that was
    sent twice may come in another order than one that was sent once.
    """
    return function(part, *map(_in_c_order, arguments))


def _in_c_order(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.require(value, requirements=("A", "C"))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_in_c_order, value))
    return value


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
    total_to_draw_by : float
        Sum of what rows are drawn in proportion to where they are not scored.
    n_present : int
        Rows of positive weight.
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
    total_to_draw_by: float
    n_present: int


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
    drawing = part.drawing(None, part.engine.loss.n_classes, View())
    drawn = drawing.total, drawing.n_present
    ends = stored, pairs, np.asarray(sums, np.float64), float(data.least_weight), *drawn
    return ShapeOfPart(data.n_rows, data.n_columns, np.dtype(X.dtype), data.is_sparse, data.on_host, *ends)


def refuse_not_finite(part: Part) -> None:
    """Raise a `DataError` that names the first NaN or infinity of a part; a function for `Parts.each`."""
    found = first_not_finite(part.data.rows.X)
    if found is not None:
        row, column, value = found
        error = not_finite_error(row + part.first_row, column, value, part.data.column_name(column))
        raise DataError(f"{part.place}{error}")


def refuse_mixed_kinds(numbers: Sequence[int], shapes: Sequence[ShapeOfPart]) -> None:
    """Raise a `DataError` that names two partitions, by their numbers, of which one is sparse and one dense."""
    for k, shape in zip(numbers, shapes, strict=True):
        if shape.is_sparse != shapes[0].is_sparse:
            names = {True: "sparse rows", False: "dense ones"}
            raise DataError(
                f"partition {k} holds {names[shape.is_sparse]}, and partition {numbers[0]} "
                f"{names[shapes[0].is_sparse]}; give all in one form"
            )
