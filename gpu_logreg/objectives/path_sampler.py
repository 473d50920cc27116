"""Samples of a path: fits of the same rows for several strengths of the penalty share the first."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.rows.coordinates import ClasswiseCoordinates, Coordinates, StandardisedRows

__all__ = ["FirstSample", "PathSampler"]


class FirstSample:
    """What the first sample of a path drew, and what its sampler knew then; empty until there is one."""

    def __init__(self) -> None:
        self.size = 0
        self.drawn: Any = None
        self.drawing: Any = None
        self.in_float64 = self.irregular = self.complete = False


class PathSampler(Sampler):
    """A sampler whose samples of the size of the first of its path are that one: only the penalty is another.

    Parameters
    ----------
    objective, generator
        As of `Sampler`.
    first : FirstSample
        That of the path, the same for all of its samplers.
    """

    def __init__(self, objective: Objective, generator: np.random.Generator, first: FirstSample) -> None:
        super().__init__(objective, generator)
        self._first = first

    def coordinates_and_ridge(self) -> tuple[Coordinates | ClasswiseCoordinates, Float64Vector]:
        """Those of the first sample, which is not copied, for Hessians of other rows: packed, for every parameter."""
        coordinates = self._rows_drawn(self._first.size)[0].coordinates
        self._coordinates = coordinates
        self._objective.centre_on(coordinates.mean, coordinates.scale)
        return self._packed(coordinates), np.resize(self._penalty(coordinates), self.n_params)

    def _rows_drawn(self, size: int) -> tuple[StandardisedRows, Array, Array]:
        first, objective = self._first, self._objective
        if first.size == size:
            if first.in_float64:
                objective.widen()
            self._drawing, self.irregular, self.complete = copy.copy(first.drawing), first.irregular, first.complete
            rows, y, s = first.drawn
            return rows, y, s
        drawn = super()._rows_drawn(size)
        if first.size == 0:
            first.size, first.drawn, first.drawing = size, drawn, copy.copy(self._drawing)  # which later samples change
            first.in_float64 = objective.dataset.compute_dtype == np.float64
            first.irregular, first.complete = self.irregular, self.complete
        return drawn
