"""Samples of rows that live in parts, each of which draws its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.rows.part import Part, Parts, Scoring, ShapeOfPart, View

__all__ = ["DrawingByParts", "draw"]


class _InParts(Protocol):
    """What is asked of a `gpu_logreg.rows.parted.PartedDataset`."""

    @property
    def parts(self) -> Parts: ...

    @property
    def view(self) -> View: ...

    @property
    def shapes(self) -> Sequence[ShapeOfPart]: ...

    @property
    def sizes(self) -> Sequence[int]: ...

    @property
    def firsts(self) -> Sequence[int]: ...

    @property
    def n_rows(self) -> int: ...

    def drawn(self, how: Sequence[Any], own: Sequence[Any], with_rows: bool) -> Sequence[Any]: ...


class DrawingByParts:
    """Draws from every part, in proportion to the sum of what its rows are drawn by.

    Parameters
    ----------
    data : PartedDataset
    n_classes : int
    """

    def __init__(self, data: _InParts, n_classes: int) -> None:
        self._data, self._n_classes = data, n_classes
        self._scoring: Scoring | None = None
        self._totals: list[float] | None = None
        self._n_present = 0

    @property
    def _how(self) -> tuple[Scoring | None, int, View]:
        return self._scoring, self._n_classes, self._data.view

    def _count(self) -> list[float]:
        if self._totals is None:
            if self._scoring is None:  # told with the shapes
                found = [(shape.total_to_draw_by, shape.n_present) for shape in self._data.shapes]
            else:
                found = self._data.parts.each(_total_to_draw_by, *self._how)
            self._totals, self._n_present = [total for total, _ in found], sum(n for _, n in found)
        return self._totals

    @property
    def n_present(self) -> int:
        """Number of rows of positive weight."""
        self._count()
        return self._n_present

    def draw(
        self, size: int, generator: np.random.Generator, with_rows: bool = False
    ) -> tuple[IntVector, Float64Vector]:
        """About ``size`` rows in ascending order, and their inverse-probability weights.

        The rows themselves are fetched too, ``with_rows``: the data set has them where it is asked for these next.
        """
        totals, data = self._count(), self._data
        seeds = generator.integers(2**63, size=len(totals))
        if size >= data.n_rows:
            sizes = data.sizes
        else:
            edges = np.rint(size * np.cumsum(np.append(0.0, totals)) / max(float(np.sum(totals)), 1e-300))
            sizes = [max(1, int(wanted)) for wanted in np.diff(edges)]  # so that no row has the probability 0
        own = [(wanted, int(seed)) for wanted, seed in zip(sizes, seeds, strict=True)]
        drawn = data.drawn(self._how, own, with_rows)
        rows = [at + first for (at, _), first in zip(drawn, data.firsts, strict=True)]
        return np.concatenate(rows), np.concatenate([weight for _, weight in drawn])

    def by_scores_of(self, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> None:
        """From now on draw in proportion to ``1 + score / n_columns`` too, which every part works out itself."""
        self._scoring, self._totals = Scoring(mean, inverse_variance, unseen), None


def _total_to_draw_by(part: Part, *how: Any) -> tuple[float, int]:
    drawing = part.drawing(*how)
    return drawing.total, drawing.n_present


def draw(part: Part, scoring: Scoring | None, K: int, view: View, size: int, seed: int) -> Any:
    """Rows of a part and their weights; a function for `Parts.each`."""
    return part.drawing(scoring, K, view).draw(size, np.random.default_rng(seed))
