"""Curvature of the rows that every fold learns from: their own Hessians at one point, and its change, of a sample.

With the loss ``L_s`` of a sample and the Hessian ``H_k`` of the rows that fold k learns from, both at ``phi_0``, the
change of the gradient of the fold's mean loss from ``phi`` to ``phi + t`` is nearly

    grad L_s(phi + t) - grad L_s(phi) + (H_k - hess L_s(phi_0)) t.

It is exact for small steps near ``phi_0``. The sample is asked for what is left: how the Hessian changes between
points. From a gradient of all rows at ``phi``, a step to where the gradient so found is 0 leaves far less of the
remaining decrease than one by the Hessian of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.objectives.curvature import BinarySample
from gpu_logreg.passes.reference.change_of_gradients import change_of_gradients
from gpu_logreg.passes.reference.fold_curvature import curvature_by_fold
from gpu_logreg.passes.sums import RowFolds
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["EXACT", "FoldCurvature"]

EXACT = 1e-5
"""Share of the remaining decrease that a step is taken to leave before any is known, and at best later on."""

STARTS, CORRECTIONS = 3, 2
"""Steps to the minima of all rows that the sample is asked for, and to the end of a step."""


class Stepped(Protocol):
    """A model after a step: see `gpu_logreg.estimators.cross_validation.many_points.FoldModel`."""

    fold: int
    ridge: Float64Vector
    factor: Factor
    phi: Float64Vector
    last: tuple[Float64Vector, Float64Vector] | None


class FoldCurvature:
    """See the module.

    Parameters
    ----------
    data : ResidentDataset
        All rows, dense; one read is taken of them.
    folds : RowFolds
    weight : ndarray of shape (n_folds + 1,)
        Of the rows of each fold, and of those of none.
    sample : BinarySample
        Without a penalty.
    phi0 : ndarray of shape (p,)
    H0 : ndarray of shape (p, p)
        Hessian of the sample there.

    Attributes
    ----------
    of_folds : ndarray of shape (n_folds, p, p)
        What the Hessian of the rows that each fold learns from has more than that of the sample.
    of_all_rows : ndarray of shape (p, p)
    """

    def __init__(
        self,
        data: ResidentDataset,
        folds: RowFolds,
        weight: Float64Vector,
        sample: BinarySample,
        phi0: Float64Vector,
        H0: Float64Matrix,
    ) -> None:
        loss, columns = sample.engine.loss, sample.coordinates
        assert isinstance(loss, Binary)
        assert isinstance(columns, Coordinates)
        sums = curvature_by_fold(loss, data, columns, phi0, folds)
        total, all_weight = sums.sum(axis=0), weight.sum()
        self.of_folds: HostArray = np.array([(total - sums[k]) / (all_weight - weight[k]) for k in range(folds.n)]) - H0
        self.of_all_rows: Float64Matrix = total / all_weight - H0
        U, y, s = sample.rows.data.rows
        self._phi0, self._rows, self._weight = phi0, Rows(U.astype(np.float32, copy=False), y, s), sample.weight_total

    def _change(self, starts: Float64Matrix, begins: IntVector, moves: Float64Matrix) -> Float64Matrix:
        return change_of_gradients(self._rows, starts, begins, moves) / self._weight

    def minima_of_all_rows(
        self,
        l2: Float64Vector,
        ridge: Float64Matrix,
        phi: Float64Matrix,
        factor: Callable[[Float64Vector, Float64Vector], Factor],
    ) -> Float64Matrix:
        """Better points than ``phi`` for the penalties ``ridge``, where ``phi0`` is the minimum for ``l2``.

        A step that leads away from the minimum, as far as the sample can tell, is not taken, and none after it.
        """
        best, least, none = phi, np.full(len(phi), np.inf), np.zeros(len(phi), dtype=np.int64)
        for _ in range(STARTS):
            moves = phi - self._phi0
            rest = self._change(self._phi0[None], none, moves) + moves @ self.of_all_rows
            rest += ridge * phi - l2 * self._phi0
            steps = np.array([factor(one, r).solve(g) for one, r, g in zip(phi, ridge, rest, strict=True)])
            left = (rest * steps).sum(axis=1)
            better = left < least
            best, least = np.where(better[:, None], phi, best), np.where(better, left, least)
            phi = np.where(better[:, None], best - steps, best)
        return best

    def correct(self, models: Sequence[Stepped]) -> None:
        """Take the last steps of models on to where the gradient is 0 by the change of it over the step."""
        lasts = [model.last for model in models if model.last is not None]
        assert len(lasts) == len(models)
        at, grad = np.array([phi for phi, _ in lasts]), np.array([grad for _, grad in lasts])
        starts, begins = np.unique(at, axis=0, return_inverse=True)
        ridge, more = np.array([model.ridge for model in models]), self.of_folds[[model.fold for model in models]]
        for _ in range(CORRECTIONS):
            moves = np.array([model.phi for model in models]) - at
            rest = grad + self._change(starts, begins.ravel(), moves) + ridge * moves
            rest += np.einsum("mij,mj->mi", more, moves)
            for model, one in zip(models, rest, strict=True):
                model.phi = model.phi - model.factor.solve(one)
