"""The models of all folds for all strengths of the ridge penalty, by reads that serve every one of them.

For two classes and folds that leave each row out once at most. With the sums of the loss over a fold k
and ``S_k``, the weight of all other rows, the model of fold k and C minimises

    J_kC(w, b) = (sum of all rows - sum of fold k) / S_k + |w|**2 / (2 C S_k).

1. One fit of all rows for a middle C.
2. The models of all rows for every C start at its end less a Newton step for the change of the penalty, and take steps
   by the gradients of one read for all of them, until less remains than a fold differs from all rows.
3. That read gives the sums of each fold too, and with them the gradient of every ``J_kC`` there. Each model begins with
   a Newton step from it, and takes more by reads of all models together. A model that is done leaves them. Models of a
   fold whose points are nearly the same share one: their objectives differ by the penalty alone.

Hessians are those of a sample at the points of step 2, one for all C whose logits are nearly the same, or corrected by
`gpu_logreg.estimators.cross_validation.fold_curvature`. Every model is held to the certificate of a fit. What does not
contract is left to fits of its own, and sooner where these can use Hessians of the fold's own rows.
"""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector
from gpu_logreg.estimators.cross_validation.fold_model import CONTRACTS, FoldModel, Metric, are_near
from gpu_logreg.estimators.cross_validation.folds import Folds
from gpu_logreg.estimators.cross_validation.many_points import SLOW, ManyPoints, no_sums, without_fold
from gpu_logreg.estimators.cross_validation.own_rows import own_rows_are_cheap
from gpu_logreg.estimators.cross_validation.penalty_path import How, penalty_path
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.penalty import ridge_strength
from gpu_logreg.objectives.certificate import certificate
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.reference.many_models import multiplies
from gpu_logreg.passes.sums import ManySums
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import SolverResult

__all__ = ["alike", "fit_in_common_reads", "in_common_reads"]

LARGEST_P, LEAST_ITERATIONS = 2000, 20
"""Parameters up to which Hessians of samples take less than the reads they save; iterations below which fits of their
own show where they end."""

ROUNDS = 12
"""Reads of many models after which those left are for fits of their own."""

FALLS = 0.9
"""Share of the remaining decrease that a step leaves at most on the way to the minima of all rows, which may be far."""

LEFT = 1e-9
"""Remaining decrease over ``tol`` and the value at the end: weights then have as many digits as the decrease twice."""

SLOWEST = 0.1
"""Share that a step leaves at most where Hessians of the own rows of a fold are cheap."""

SHARED = 1.0
"""Distance of a model from the point that it shares, as a share of what is expected to remain at its own."""


def in_common_reads(prepared: Prepared, folds: Folds, Cs: Float64Vector, l1_ratio: float, how: How) -> bool:
    """Whether the models can be fitted by common reads: see the module."""
    data, loss = prepared.data, prepared.target.loss
    return bool(
        multiplies(data, loss)
        and data.n_columns + int(how.fit_intercept) <= LARGEST_P
        and alike(prepared, folds, Cs, l1_ratio, how)
    )


def alike(prepared: Prepared, folds: Folds, Cs: Float64Vector, l1_ratio: float, how: How) -> bool:
    """Whether the models are near to each other, and fits that may end together: of plain rows and ridge penalties."""
    data = prepared.data
    return bool(
        isinstance(data, ResidentDataset)
        and prepared.offset_loss is None
        and how.restrictions is None
        and l1_ratio == 0.0
        and how.solver in ("auto", "subsampled-newton")
        and how.max_iter >= LEAST_ITERATIONS
        and np.isfinite(Cs).any()
        and len(folds) > 1
        and folds.left_out_by is not None
        and _has_all_classes(prepared, data, folds)
    )


def _has_all_classes(prepared: Prepared, data: ResidentDataset, folds: Folds) -> bool:
    """Whether the rows outside of every fold have weight in every class."""
    y, s, K = data.rows.y, data.rows.sample_weight, len(prepared.target.classes)
    cells = K * data.xp.asarray(folds.left_out_by).astype(np.int64) + y
    weight = to_numpy(data.xp.bincount(cells, s, K * (len(folds) + 1))).reshape(-1, K)
    return bool((weight.sum(axis=0) - weight[:-1] > 0.0).all())


def fit_in_common_reads(
    prepared: Prepared, shares: Float64Vector, folds: Folds, Cs: Float64Vector, how: How
) -> tuple[dict[tuple[int, int], SolverResult], Objective]:
    """Fit every fold for every finite C.

    Parameters
    ----------
    prepared, folds, how
        As of `in_common_reads`.
    shares : ndarray of shape (2,)
        Of the classes.
    Cs : ndarray of shape (n_cs,)
        Ascending.

    Returns
    -------
    results : dict
        By the numbers of fold and C, of the models that came to their end.
    objective : Objective
        With the count of the reads.
    """
    finite = np.flatnonzero(np.isfinite(Cs))
    middle = float(Cs[finite[len(finite) // 2]])
    path = penalty_path(prepared, shares, np.array([middle]), 0.0, how)
    base, objective = path.results[0], path.objective
    if not base.converged or path.solver != "subsampled-newton":
        return {}, objective
    many = _Many(objective, folds, Cs[finite], how)
    whole = many.models_of_all_rows(base)
    found = many.models_of_folds(*whole) if whole is not None else {}
    return {(fold, int(finite[at])): result for (fold, at), result in found.items()}, objective


class _Many(ManyPoints):
    """See the module."""

    def models_of_all_rows(self, base: SolverResult) -> tuple[IntVector, Float64Matrix, Float64Matrix, ManySums] | None:
        """Points near the minima of all rows for every C, and the sums of each fold there.

        Returns
        -------
        at : ndarray of shape (F,)
            The values of C whose models contracted.
        params, phi : ndarray of shape (F, p)
            The points, as the passes take them, and in the coordinates.
        sums : ManySums
            At these points.
        """
        total = float(self._weight.sum())
        phi0 = self._columns.from_params(base.params)
        first = Metric(phi0, self._sample.plain_hessian(phi0))
        self._metrics.append(first)
        l2 = self._ridge_of(self._objective.l2)
        self._narrow_reads(Factor(first.H + np.diag(l2)), base.value)
        of_a_fold = base.value * len(phi0) / (2.0 * self._objective.dataset.n_rows)
        self._begin_curvature(first)
        # With curvature known points are so exact that penalties are to be as strong as those of the folds.
        weight = total if self._curvature is None else total - float(self._weight[:-1].mean())
        ridge = np.array([self._ridge(C, weight) for C in self._Cs])
        phi = np.array([phi0 - Factor(first.H + np.diag(r)).solve((r - l2) * phi0) for r in ridge])
        if self._curvature is not None:
            phi = self._curvature.minima_of_all_rows(l2, ridge, phi, self._factor)
        F = len(phi)
        params, sums = np.empty_like(phi), no_sums(self._folds.n + 1, F, self._objective.dataset.n_columns)
        active, last = np.arange(F), np.full(F, np.inf)
        kept: list[int] = []
        for _ in range(ROUNDS):
            phi[active], params[active], found = self._read_by_fold(phi[active], of_a_fold)
            for part, mine in zip(found, sums, strict=True):
                mine[:, active] = part
            go_on = []
            for at in active:
                of_C = ManySums(*(part[:, at] for part in sums))
                grad = self._grad(ManySums(*(part.sum(axis=0) for part in of_C)), total, ridge[at], phi[at])
                factor = self._factor(phi[at], ridge[at])
                step = factor.solve(grad)
                left = 0.5 * float(grad @ step)
                if left <= self._left_of_a_fold(of_C, ridge[at] * weight, phi[at], factor):
                    kept.append(int(at))
                elif left <= FALLS * last[at] or not math.isfinite(last[at]):
                    last[at] = left
                    phi[at] -= step
                    go_on.append(int(at))
            active = np.array(go_on, dtype=np.int64)
            if not go_on:
                break
        done = np.array(sorted(kept), dtype=np.int64)
        return (done, params[done], phi[done], ManySums(*(part[:, done] for part in sums))) if kept else None

    def models_of_folds(
        self, at: IntVector, params: Float64Matrix, phi: Float64Matrix, sums: ManySums
    ) -> dict[tuple[int, int], SolverResult]:
        """The minima of all folds for the values of C ``at``, by their numbers."""
        models: list[FoldModel] = []
        for f, C in enumerate(self._Cs[at]):
            of_C = ManySums(*(part[:, f] for part in sums))
            metric = self._metric(phi[f])
            factors: dict[int, Factor] = {}
            for fold in range(self._folds.n):
                weight = float(self._weight.sum() - self._weight[fold])
                ridge = self._ridge(C, weight)
                mine, factor = self._of_fold(metric, fold, ridge, weight, factors)
                without = without_fold(of_C, fold)
                l2 = ridge_strength(float(C), weight)
                w = params[f, : self._objective.dataset.n_columns]
                value = float(without.loss_sum) / weight + 0.5 * l2 * float(w @ w)
                model = FoldModel(fold, int(at[f]), weight, l2, ridge, mine, factor, value, phi[f].copy())
                model.step(self._grad(without, weight, ridge, model.phi))
                models.append(model)
        self._correct(models)
        return self._rounds(models)

    def _rounds(self, models: list[FoldModel]) -> dict[tuple[int, int], SolverResult]:
        found: dict[tuple[int, int], SolverResult] = {}
        slowest = SLOWEST if own_rows_are_cheap(self._objective) else CONTRACTS
        for _ in range(ROUNDS):
            if not models:
                break
            groups = [group for fold in range(self._folds.n) for group in self._groups(models, fold)]
            phi, params, sums = self._read_without_fold([group[0] for group in groups])
            before = {id(model): model.left for model in models}
            for m, group in enumerate(groups):
                of_leader = ManySums(*(part[m] for part in sums))
                for model in group:
                    model.phi = phi[m]
                    model.step(self._grad(of_leader, model.weight, model.ridge, model.phi))
            self._correct(models)
            models = []
            for m, group in enumerate(groups):
                for model in group:
                    end = self._end(model, params[m], before[id(model)])
                    if end is not None:
                        found[model.fold, model.at] = end
                    elif model.contracts and model.rate <= slowest:
                        models.append(model)
            if models and not self._sampler.complete and np.median([model.rate for model in models]) > SLOW:
                self._enlarge(models, len(groups))
        return found

    def _enlarge(self, models: list[FoldModel], n_points: int) -> None:
        """Hessians from a larger sample for the steps just taken, where they take no longer than three reads."""
        n, p = self._objective.dataset.n_rows, self._objective.n_params
        in_three_reads = 6 * n * n_points // (p * len({id(model.metric) for model in models}))
        rows, self._larger = min(n, self._larger, in_three_reads), 0
        if rows < 2 * self._sample.n_rows:
            return
        of_base = np.diag(self._ridge_of(self._objective.l2))
        known: dict[int, Metric] = {}
        for model in models:
            old = model.metric
            if id(old) not in known:
                known[id(old)] = Metric(old.phi, self._sampler.hessian(rows, old.phi, self._hessian_dtype()) - of_base)
            model.step_by(known[id(old)])
        rate = float(np.median([model.rate for model in models]))
        self._rate = max(1e-4, rate * self._sample.n_rows / rows)

    def _groups(self, models: list[FoldModel], fold: int) -> list[list[FoldModel]]:
        """The models of a fold in groups that one point serves, that of the first.

        The gradient of every objective of the fold is known there, as they differ by the penalty alone. It serves those
        whose own points are much nearer to it than to their minima, as far as that can be told.
        """
        waiting = [model for model in models if model.fold == fold]
        groups = []
        while waiting:
            leader = waiting[-1]
            moves = np.array([model.phi - leader.phi for model in waiting])
            apart = 0.5 * np.einsum("ij,ij->i", moves @ leader.metric.H, moves)
            near = [part <= SHARED * self._rate * model.left for part, model in zip(apart, waiting, strict=True)]
            near[-1] = True
            groups.append([model for model, is_near in zip(waiting, near, strict=True) if is_near][::-1])
            waiting = [model for model, is_near in zip(waiting, near, strict=True) if not is_near]
        return groups

    def _end(self, model: FoldModel, params: Float64Vector, before: float) -> SolverResult | None:
        """The end, certified by the gradient at ``params`` before the last step; ``before`` remained a step earlier."""
        assert model.last is not None
        goal = LEFT * max(self._how.tol, 1e-10) * abs(model.value)
        end, d = self._columns.to_params(model.phi), self._objective.dataset.n_columns
        rate = max(model.left / before, self._rate) if before > 0.0 else 0.0
        costly = not own_rows_are_cheap(self._objective)
        done = rate * model.left <= goal and (costly or are_near(params[:d], end[:d], rate, self._how.tol))
        rounded = model.left > CONTRACTS * before and model.left <= max(1e-3 * self._how.tol, 1e-12) * model.value
        if not (done or rounded):
            return None
        one = self._objective.penalised(0.0, model.l2)
        by_params = self._columns.grad_to_params(model.last[1])
        proof = certificate(one, params, model.value, by_params, self._how.tol)
        if not proof.holds:
            return None
        message = f"in common reads: the remaining decrease was {model.left:.2g} before the last step"
        return SolverResult(end, model.value, by_params, model.n_iter, True, message)
