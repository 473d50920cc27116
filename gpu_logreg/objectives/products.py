"""The Hessian of an objective at one point, as products with vectors: of the mean loss, with the ridge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.engine import Engine
from gpu_logreg.passes.row_curvature import RowCurvature
from gpu_logreg.rows.streamed import Dataset

__all__ = ["HessianAt"]


class HessianAt:
    """``H v`` for packed vectors ``v``, at one point of an objective; a symmetric, positive semidefinite operator.

    Parameters
    ----------
    dataset : Dataset
        As of the objective when the point was visited: the products compute in its dtype, also after
        `gpu_logreg.objectives.linear.Objective.widen`.
    engine : Engine
    at : RowCurvature
        Of the dataset, by the engine.
    l2 : float
    fit_intercept : bool
    centre : ndarray of shape (d,) or None
        For directions as for weights: see `gpu_logreg.objectives.linear.Objective`.
    count_read : function
        Called once for each read.

    Attributes
    ----------
    shape : tuple of int
        ``(p, p)``.

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> from gpu_logreg.objectives.linear import Objective
    >>> from gpu_logreg.passes.choice import choose
    >>> from gpu_logreg.rows.resident import ResidentDataset
    >>> X, y = np.array([[1.0], [-1.0]]), np.array([1, 0])
    >>> rows = ResidentDataset.from_arrays(X, y, None, Device("cpu"))
    >>> objective = Objective(rows, choose("reference", rows.rows, Device("cpu")), l2=0.5, fit_intercept=True)
    >>> H = objective.curvature_at(np.zeros(2))
    >>> H @ np.array([2.0, 1.0]), H.diagonal(), objective.reads.total  # p (1 - p) = 1/4 in both rows
    (array([1.5 , 0.25]), array([0.75, 0.25]), 3.0)
    """

    def __init__(
        self,
        dataset: Dataset,
        engine: Engine,
        at: RowCurvature,
        l2: float,
        fit_intercept: bool,
        centre: Float64Vector | None,
        count_read: Callable[[], None],
    ) -> None:
        self._dataset = dataset
        self._engine = engine
        self._loss: Loss = engine.loss
        self._at = at
        self._l2 = l2
        self._fit_intercept = fit_intercept
        self._centre = centre
        self._count_read = count_read
        p = engine.loss.n_logits * (dataset.n_columns + int(fit_intercept))
        self.shape = p, p

    def __matmul__(self, v: Float64Vector) -> Float64Vector:
        """``H v`` for packed ``v`` of shape (p,), of a new array; one read."""
        dataset, d = self._dataset, self._dataset.n_columns
        w, c = self._loss.unpack(v, d)
        if self._centre is not None:
            c = c + (w - w.astype(dataset.compute_dtype)) @ self._centre
        sums = self._engine.product(dataset, self._at, w, c)
        self._count_read()
        product = self._loss.packed_gradient(sums.dw_sum, sums.db_sum, self._fit_intercept)
        product /= dataset.weight_total
        product.reshape(self._loss.n_logits, -1)[:, :d] += self._l2 * w
        return product

    def diagonal(self) -> Float64Vector:
        """The diagonal of ``H``, packed; one read."""
        dataset, d = self._dataset, self._dataset.n_columns
        sums = self._engine.diagonal(dataset, self._at)
        self._count_read()
        by_class = np.empty((self._loss.n_logits, d + int(self._fit_intercept)))
        by_class[:, :d] = sums.dw_sum / dataset.weight_total + self._l2
        if self._fit_intercept:
            by_class[:, d] = np.asarray(sums.db_sum) / dataset.weight_total
        return by_class.ravel()
