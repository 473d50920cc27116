"""What random samples of a data set are drawn by: labels as strata, row weights, and scores of rows.

`Drawing` is for labels and weights that are whole in memory. `DrawingByStretches` is for rows so many that no second
vector of their length may be allocated: from `STRETCH_ROWS` rows on, each stretch of consecutive rows is a stratum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector, IntVector
from gpu_logreg.rows.sampling import class_counts, draw, draws_evenly, evenly

__all__ = ["STRETCH_ROWS", "Drawing", "DrawingByStretches", "DrawsRows", "RowWeights"]

STRETCH_ROWS = 2**21
"""Rows of a stretch. To draw from one takes about 40 bytes for each of its rows. It decides which rows are drawn."""

_STEPS_PER_DOUBLING = 8

RowWeights = Callable[[slice], Float64Vector]
"""From a slice of the rows to their weights, as a new vector."""


class DrawsRows(Protocol):
    """Draws rows of one data set, as `gpu_logreg.objectives.sampler.Sampler` uses it."""

    @property
    def n_present(self) -> int:
        """Number of rows of positive weight."""

    def draw(self, size: int, generator: np.random.Generator) -> tuple[IntVector, Float64Vector]:
        """About ``size`` rows in ascending order, and their inverse-probability weights."""

    def by_scores(self, scores: Iterable[Float64Vector], n_columns: int) -> None:
        """From now on draw in proportion to ``1 + score / n_columns`` too; scores come block by block."""


class Drawing:
    """Draws from labels and weights in the memory of one device.

    Parameters
    ----------
    labels : integer array of shape (n,)
    weights : array of shape (n,) or None
    n_classes : int
    """

    def __init__(self, labels: Array, weights: Array | None, n_classes: int) -> None:
        self._labels, self._weights, self._n_classes = labels, weights, n_classes
        if weights is None:  # known without a look at them
            self.__dict__.update(_size=None, n_present=len(labels))

    @cached_attribute
    def _size(self) -> Float64Vector | None:
        """What rows are drawn in proportion to; None for evenly. From a GPU weights are copied when they are needed."""
        weights: Float64Vector = to_numpy(self._weights).astype(np.float64)
        return weights

    @cached_attribute
    def n_present(self) -> int:
        """Number of rows of positive weight."""
        assert self._size is not None
        return int(np.count_nonzero(self._size))

    @property
    def total(self) -> float:
        """Sum of what rows are drawn in proportion to."""
        return float(len(self._labels)) if self._size is None else float(self._size.sum())

    def draw(self, size: int, generator: np.random.Generator) -> tuple[IntVector, Float64Vector]:
        """See `gpu_logreg.rows.sampling.draw`."""
        return draw(self._labels, size, generator, self._size, self._n_classes)

    def by_scores(self, scores: Iterable[Float64Vector], n_columns: int) -> None:
        """Draw in proportion to scores too."""
        (of_all,) = scores
        self.draw_by(self.times_weights(1.0 + of_all.astype(np.float64) / n_columns))

    def times_weights(self, factor: Float64Vector) -> Float64Vector:
        """A factor of each row times what rows are drawn in proportion to until now."""
        return factor if self._size is None else self._size * factor

    def draw_by(self, weight: Float64Vector) -> None:
        """Draw in proportion to a weight of each row from now on; not at all where it is 0."""
        self._size = weight


class DrawingByStretches:
    """Draws from stretches of consecutive rows, one after the other.

    A stretch gets its share of the sample by its rows, or by the sum of what its rows are drawn in proportion to.
    Scores are kept as one byte a row, the nearest of `_STEPS_PER_DOUBLING` powers in every doubling: any probability
    gives an unbiased sample if the row has the weight ``1 / p_i``.

    Parameters
    ----------
    labels : integer array of shape (n,)
    weights : function of a slice, or None
    n_classes : int

    Examples
    --------
    >>> drawing = DrawingByStretches(np.arange(1000) % 2, None, 2)
    >>> rows, weight = drawing.draw(4, np.random.default_rng(0))
    >>> rows, weight
    (array([159, 317, 510, 754]), array([250., 250., 250., 250.]))
    """

    def __init__(self, labels: npt.NDArray[np.integer], weights: RowWeights | None, n_classes: int) -> None:
        self._labels, self._weights, self._n_classes = labels, weights, n_classes
        self._exponents: npt.NDArray[np.uint8] | None = None

    @property
    def _stretches(self) -> list[slice]:
        n = len(self._labels)
        return [slice(a, min(n, a + STRETCH_ROWS)) for a in range(0, n, STRETCH_ROWS)]

    def _size(self, part: slice) -> Float64Vector | None:
        size = None if self._weights is None else self._weights(part)
        if self._exponents is None:
            return size
        by_score = np.exp2(self._exponents[part] / _STEPS_PER_DOUBLING)
        return by_score if size is None else size * by_score

    @cached_attribute
    def n_present(self) -> int:
        """Number of rows of positive weight."""
        if self._weights is None:
            return len(self._labels)
        return sum(int(np.count_nonzero(self._weights(part))) for part in self._stretches)

    def draw(self, size: int, generator: np.random.Generator) -> tuple[IntVector, Float64Vector]:
        """As `gpu_logreg.rows.sampling.draw` where there is one stretch, or where rows are drawn evenly."""
        n, K, stretches = len(self._labels), self._n_classes, self._stretches
        if self._weights is None and self._exponents is None and size < n:
            counts = np.sum([class_counts(self._labels[part], K) for part in stretches], axis=0)
            if draws_evenly(counts.tolist()):
                rows = evenly(n, max(1, size), generator)
                return rows, np.full(len(rows), n / len(rows))
        drawn = []
        for part, wanted in zip(stretches, self._shares(size, stretches), strict=True):
            m = part.stop - part.start if size >= n else wanted
            rows, weight = draw(self._labels[part], m, generator, self._size(part), K)
            drawn.append((rows + part.start, weight))
        return np.concatenate([rows for rows, _ in drawn]), np.concatenate([weight for _, weight in drawn])

    def _shares(self, size: int, stretches: list[slice]) -> list[int]:
        """How many rows every stretch gives; at least one, so that no row has the probability 0."""
        if len(stretches) == 1:
            return [size]
        totals = [self._total(part) for part in stretches]
        edges = np.rint(size * np.cumsum(np.append(0.0, totals)) / max(np.sum(totals), 1e-300))
        return [max(1, int(wanted)) for wanted in np.diff(edges)]

    def _total(self, part: slice) -> float:
        size = self._size(part)
        return float(part.stop - part.start) if size is None else float(size.sum())

    def by_scores(self, scores: Iterable[Float64Vector], n_columns: int) -> None:
        """Draw in proportion to scores too."""
        exponents, first = np.empty(len(self._labels), np.uint8), 0
        for of_block in scores:
            steps = _STEPS_PER_DOUBLING * np.log2(1.0 + of_block.astype(np.float64) / n_columns)
            exponents[first : first + len(steps)] = np.clip(np.rint(steps), 0, 255)
            first += len(steps)
        self._exponents = exponents
