"""An engine whose sums over all rows are recorded as they come, and recalled when the same fit is begun again.

A solver is a function of the sums that it has been given: from the same sums it asks for the same next ones, to the
last bit. So a fit that is begun again with the sums of the last time recalled goes the same way, without a read, up to
where it was killed, and then goes on. No solver knows of it, and whatever is its own (a metric, a memory of steps, the
state of a random generator) is there again.

Sums over a sample are computed anew: it is drawn with the same random numbers, and is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.passes.engine import DelegatingEngine, Engine, GradientPass
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import LabelledMoments, Moments, Sums
from gpu_logreg.rows.streamed import Dataset

__all__ = ["Recall", "RecordedEngine"]


class Recall(Protocol):
    """Where results are recorded."""

    def __call__(self, name: str, arguments: Sequence[Any], compute: Callable[[], Sequence[Any]], /) -> Sequence[Any]:
        """The numbers and arrays that ``compute`` gave for the same arguments, at the same place of the same fit.

        Where there are none, those that it gives now.
        """


class _CurvatureOnce:
    """The curvature of the rows at a point, which is computed where a product asks for it and is not recalled."""

    def __init__(self, w: Float64Vector, b: Any, compute: Callable[[], RowCurvature]) -> None:
        self.w, self.b = w, b
        self._compute = compute
        self.known: RowCurvature | None = None

    def __call__(self) -> RowCurvature:
        if self.known is None:
            self.known = self._compute()
        return self.known


class RecordedEngine(DelegatingEngine):
    """See the module.

    Parameters
    ----------
    other : Engine
        What computes.
    data : ResidentDataset or StreamedDataset
        All rows: sums over them, also of some columns or in another dtype, are recorded.
    recall : Recall

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_logreg.arrays.device import Device
    >>> from gpu_logreg.passes.choice import choose
    >>> from gpu_logreg.rows.resident import ResidentDataset
    >>> data = ResidentDataset.from_arrays(np.eye(2), np.array([0, 1]), None, Device("cpu"))
    >>> recorded = [(2.0, np.ones(2), 0.5)]  # what another pass has given
    >>> engine = RecordedEngine(
    ...     choose("reference", data.rows, Device("cpu")), data, lambda name, arguments, compute: recorded.pop(0)
    ... )
    >>> engine.gradient(data, np.zeros(2), 0.0)
    Sums(loss_sum=2.0, dw_sum=array([1., 1.]), db_sum=0.5)
    """

    def __init__(self, other: Engine, data: Dataset, recall: Recall) -> None:
        super().__init__(other.loss, other.reason, other)
        self.name = other.name
        self._labels = data.rows.y if data.is_resident else None
        self._recall = recall

    def _is_of_all(self, data: Dataset) -> bool:
        """Whether a data set holds all rows, be it in other columns or another dtype; a sample does not."""
        return not data.is_resident if self._labels is None else data.is_resident and data.rows.y is self._labels

    def _recorded(
        self, name: str, data: Dataset, arguments: Sequence[Any], compute: Callable[[], Sequence[Any]]
    ) -> Sequence[Any]:
        """The result of a sum over all rows; of others, without a record."""
        if not self._is_of_all(data):
            return compute()
        return self._recall(f"{name} {data.n_columns} {data.compute_dtype}", arguments, compute)

    def gradient(self, data: Dataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums."""
        return Sums(*self._recorded("gradient", data, (w, b), lambda: self._other.gradient(data, w, b)))

    def gradient_pass(self, data: Dataset) -> GradientPass:
        """`gradient` over these rows."""
        run = self._other.gradient_pass(data)
        if not self._is_of_all(data):
            return run
        return lambda w, b: Sums(*self._recorded("gradient", data, (w, b), lambda: run(w, b)))

    def gradient_and_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums and what products at the same point need, which is not recalled."""
        if not self._is_of_all(data):
            return self._other.gradient_and_curvature(data, w, b)
        at = _CurvatureOnce(w, b, lambda: self._other.row_curvature(data, w, b))

        def compute() -> Sums:
            sums, at.known = self._other.gradient_and_curvature(data, w, b)
            return sums

        return Sums(*self._recorded("gradient", data, (w, b), compute)), at  # type: ignore[return-value]

    def row_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> RowCurvature:
        """What products at a point need, once one asks for it."""
        if not self._is_of_all(data):
            return self._other.row_curvature(data, w, b)
        return _CurvatureOnce(w, b, lambda: self._other.row_curvature(data, w, b))  # type: ignore[return-value]

    def product(self, data: Dataset, at: Any, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction."""
        if not isinstance(at, _CurvatureOnce):
            return self._other.product(data, at, v, c)
        arguments = at.w, at.b, v, c
        return Product(*self._recorded("product", data, arguments, lambda: self._other.product(data, at(), v, c)))

    def diagonal(self, data: Dataset, at: Any) -> Product:
        """Diagonal of the Hessian."""
        if not isinstance(at, _CurvatureOnce):
            return self._other.diagonal(data, at)
        return Product(*self._recorded("diagonal", data, (at.w, at.b), lambda: self._other.diagonal(data, at())))

    def moments(self, data: Dataset) -> Moments:
        """Sums of the columns and of their squares."""
        return Moments(*self._recorded("moments", data, (), lambda: self._other.moments(data)))

    def moments_by_label(self, data: Dataset) -> LabelledMoments | None:
        """The same, and the sums of the gradient without weights; nothing is recorded where the engine has none."""
        found = self._recorded("moments by label", data, (), lambda: self._other.moments_by_label(data) or ())
        return LabelledMoments(*found) if len(found) else None

    def moments_by_curvature(self, data: Dataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight."""

        def compute() -> Sequence[Any]:
            total, moments = self._other.moments_by_curvature(data, w, b)
            return total, *moments

        total, *moments = self._recorded("moments by curvature", data, (w, b), compute)
        return total, Moments(*moments)

    def scores(
        self, data: Dataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Scores of all rows."""
        arguments = mean, inverse_variance, unseen
        found = self._recorded("scores", data, arguments, lambda: (self._other.scores(data, *arguments),))
        scores: Float64Vector = found[0]
        return scores
