"""The models of all folds for all strengths of the ridge penalty, of rows that are few enough for Hessians of all.

For more than two classes, and folds that leave each row out once at most. The models of all folds go from C to C
together, the strongest penalty first, by one product for all of them a round. Each begins at the extrapolation of its
ends for smaller C, and takes L-BFGS steps whose first metric is the Hessian of its own rows, with the penalty of this
C. A Hessian serves the next C too, until steps by it become many: then it is taken anew. While the penalty is strong
the folds are alike, and the Hessian of all rows serves every one of them. A model that is done leaves the rounds.

What does not come to its end is left to fits of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order
from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.estimators.cross_validation.fold_path import FoldPath
from gpu_logreg.estimators.cross_validation.folds import Folds
from gpu_logreg.estimators.cross_validation.many_models import alike
from gpu_logreg.estimators.cross_validation.penalty_path import How
from gpu_logreg.estimators.linear.fit import objective_of
from gpu_logreg.estimators.linear.parameters import Asked
from gpu_logreg.estimators.linear.starts import start_without_weights
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.mathematics.penalty import ridge_strength
from gpu_logreg.objectives.certificate import certificate
from gpu_logreg.objectives.classes_curvature import curve_free_directions
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.reference.models_of_few_rows import (
    FewRows,
    curvature_without_fold,
    gradients_without_fold,
    in_order_of_folds,
    loss_sum,
)
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import SolverResult

__all__ = ["fit_few_rows", "rows_are_few"]

DENSE_BYTES, HESSIAN_BYTES = 2**28, 2**28
"""Bytes of the rows as dense ones in float64, and of the Hessians of all folds, at most."""

HESSIAN_WORK = 2e9
"""Rows times the square of the parameters, at most: what a Hessian of all rows costs."""

ROUNDS = 60
"""Rounds for a C after which the models that are not done are left to fits of their own."""

OLD_STEPS = 20
"""Steps for a C after which the Hessian of a fold is taken anew, at the point where they led."""

ALIKE_STEPS, FEW_STEPS = 12, 4
"""Mean steps for a C up to which one Hessian serves all folds, and steps up to which a Hessian serves the next C too: a
Hessian and its factor take as long as about ten steps."""

FLOAT32_SHARE = 1e-5
"""Share of the largest curvature that the ridge has at least where products in float32 serve: above their rounding."""


def rows_are_few(prepared: Prepared, folds: Folds, Cs: Float64Vector, l1_ratio: float, how: How) -> bool:
    """Whether the models can be fitted so: more than two classes, and Hessians of all rows cost little."""
    data, loss = prepared.data, prepared.target.loss
    if type(loss) is not Classes or not data.on_host or not alike(prepared, folds, Cs, l1_ratio, how):
        return False
    p = data.n_columns + int(how.fit_intercept)
    n_params = p * loss.n_logits
    return bool(
        8 * data.n_rows * p <= DENSE_BYTES
        and 8 * n_params**2 * len(folds) <= HESSIAN_BYTES
        and data.n_rows * n_params**2 <= HESSIAN_WORK
    )


def fit_few_rows(
    prepared: Prepared, shares: Float64Vector, folds: Folds, Cs: Float64Vector, how: How
) -> tuple[dict[tuple[int, int], SolverResult], Objective]:
    """Fit every fold for every finite C.

    Parameters and returns are those of `gpu_logreg.estimators.cross_validation.many_models.fit_in_common_reads`.
    """
    asked = Asked(float(Cs[0]), 0.0, how.solver, how.solver_reason)
    objective = objective_of(prepared, asked, how.impl, how.fit_intercept)
    few = _FewRows(objective, folds, how)
    few.begin(start_without_weights(objective, shares))
    found = {}
    for at in np.flatnonzero(np.isfinite(Cs)):
        C = Cs[at]
        found.update({(fold, int(at)): result for fold, result in few.minima(float(C))})
    return found, objective


class _FewRows:
    """See the module."""

    def __init__(self, objective: Objective, folds: Folds, how: How) -> None:
        data, by = objective.dataset, folds.left_out_by
        assert isinstance(data, ResidentDataset)
        assert by is not None
        self._objective, self._how, self._loss = objective, how, objective.engine.loss
        X, y, s, edges = in_order_of_folds(data, by, len(folds))
        mean = s @ X / s.sum()
        objective.centre_on(mean, np.sqrt(np.maximum(s @ (X - mean) ** 2 / s.sum(), 0.0)))
        self._columns = objective.standard_columns
        self._packed = objective.packed_coordinates(self._columns)
        self._rows = FewRows(self._columns.rows(X), y, s, edges)
        self._weight = np.array([s.sum() - s[a:b].sum() for a, b in itertools.pairwise(edges[:-1])])
        self._paths: list[FoldPath] = []
        self._alike = True
        self._common: Float64Matrix | None = None

    def begin(self, start: Float64Vector) -> None:
        """Begin every fold's path."""
        phi = self._packed.from_params(start)
        self._paths = [FoldPath(fold, float(weight), phi) for fold, weight in enumerate(self._weight)]

    def minima(self, C: float) -> Iterator[tuple[int, SolverResult]]:
        """The models of the next C, by the numbers of their folds; those that are not done leave for good."""
        self._next(C)
        active, n_rounds = self._paths, 0
        while active and n_rounds < min(ROUNDS, self._how.max_iter):
            n_rounds += 1
            old = [path for path in active if path.n_steps and path.n_steps % OLD_STEPS == 0]
            map_in_order(self._anew, old)
            points, left_out = np.array([path.phi for path in active]), np.array([path.fold for path in active])
            sums = gradients_without_fold(self._loss, self._rows, points, left_out)
            self._objective.reads.total += len(active) / len(self._paths)
            go_on = []
            for path, end in zip(active, map_in_order(self._advance, active, list(sums)), strict=True):
                if end is None:
                    go_on.append(path)
                else:
                    path.keep_end(C)
                    yield path.fold, end
            active = go_on
        if active:
            self._paths = [path for path in self._paths if path not in active]

    def _next(self, C: float) -> None:
        """Begin the next C, with a Hessian for it."""
        steps = float(np.mean([path.n_steps for path in self._paths])) if self._paths else 0.0
        was = [path.n_steps for path in self._paths]
        for path in self._paths:
            l2 = ridge_strength(C, path.weight)
            path.go_on(C, l2, self._ridge(l2))
        self._alike = self._alike and steps <= ALIKE_STEPS
        if self._alike and self._paths:
            self._share_factor(self._common is None or steps > FEW_STEPS)
        else:
            map_in_order(self._own_factor, self._paths, was)

    def _share_factor(self, anew: bool) -> None:
        """One factor for all folds, of the Hessian of all rows amid the points of the folds."""
        if anew:
            middle = np.mean([path.phi for path in self._paths], axis=0)
            self._common = self._hessian(middle, -1, float(self._rows.s.sum()), self._paths[0].ridge)
            for path in self._paths:
                path.forget()
        assert self._common is not None
        factor = _factor(self._common, np.mean([path.ridge for path in self._paths], axis=0))
        for path in self._paths:
            path.factor = factor

    def _own_factor(self, path: FoldPath, was: int) -> None:
        """A factor of the Hessian of the rows of a fold, which is taken anew after many steps."""
        if was > FEW_STEPS or path.H is None:
            self._anew(path)
        else:
            path.factor = _factor(path.H, path.ridge)

    def _anew(self, path: FoldPath) -> None:
        """Take the Hessian at the point where the path is."""
        path.H = self._hessian(path.phi, path.fold, path.weight, path.ridge)
        path.forget()
        path.factor = _factor(path.H, path.ridge)

    def _hessian(self, phi: Float64Vector, fold: int, weight: float, ridge: Float64Vector) -> Float64Matrix:
        """Of the mean loss outside of a fold; products are in float32 where the ridge is above their errors."""
        n_logits, of_weights = self._loss.n_logits, ridge[ridge > 0.0].min(initial=np.inf)
        H = curvature_without_fold(self._loss, self._rows, phi, fold, np.float32) / weight
        if not of_weights > FLOAT32_SHARE * float(H.diagonal().max()):
            H = curvature_without_fold(self._loss, self._rows, phi, fold) / weight
        return curve_free_directions(H, n_logits)

    def _ridge(self, l2: float) -> Float64Vector:
        ridge = l2 / self._columns.scale / self._columns.scale
        one = np.append(ridge, 0.0) if self._columns.fit_intercept else ridge
        return np.tile(one, self._loss.n_logits)

    def _advance(self, path: FoldPath, grad_sum: Float64Vector) -> SolverResult | None:
        """Choose a step by a gradient and take it; the end, where it is one."""
        grad = grad_sum / path.weight + path.ridge * path.phi
        return self._end(path, grad) if path.choose_step(grad) else None

    def _end(self, path: FoldPath, grad: Float64Vector) -> SolverResult | None:
        """Take the step; where that is the last, and the gradient before it certifies the end, the end."""
        at = path.phi
        if not path.take_step():
            return None
        one, params = self._objective.penalised(0.0, path.l2), self._packed.to_params(at)
        by_params = self._packed.grad_to_params(grad)
        if not certificate(one, params, path.value, by_params, self._how.tol).holds:
            return None  # nor is it where the value is less
        value = loss_sum(self._loss, self._rows, at, path.fold) / path.weight + 0.5 * float(at @ (path.ridge * at))
        if not certificate(one, params, value, by_params, self._how.tol).holds:
            return None
        path.value = value
        message = f"in common reads: the last step was at most {path.length:.2g} by standardised columns"
        return SolverResult(self._packed.to_params(path.phi), value, by_params, path.n_steps, True, message)


def _factor(H: Float64Matrix, ridge: Float64Vector) -> Factor:
    H = H.copy()
    H.flat[:: len(H) + 1] += ridge
    return Factor(H)
