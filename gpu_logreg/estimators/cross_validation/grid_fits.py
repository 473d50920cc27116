"""The fits of cross-validation: of every fold for every C and share of L1, and the refit on all rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.arrays.blocks import map_in_order
from gpu_logreg.arrays.vector import Float64Vector, HostArray
from gpu_logreg.estimators.cross_validation.few_rows import fit_few_rows, rows_are_few
from gpu_logreg.estimators.cross_validation.folds import Folds, rows_of_fold
from gpu_logreg.estimators.cross_validation.many_models import fit_in_common_reads, in_common_reads
from gpu_logreg.estimators.cross_validation.own_rows import fit_by_own_rows, own_rows_are_cheap
from gpu_logreg.estimators.cross_validation.penalty_path import How, Path, one_class_result, penalty_path, shares_of
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.engine import Engine
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import SolverResult

__all__ = ["GridFits", "fit_grid", "packed_by_logit"]


@dataclass
class GridFits:
    """The end of every fit of a grid.

    Attributes
    ----------
    coefs : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_logits, n_dof)
    n_iter : ndarray of shape (n_folds, n_l1_ratios, n_cs)
    reads : float
        Of all fits, in walks over all rows.
    engine : Engine
        Of one of the fits.
    missed : list of str
        A line for every fit that did not converge.
    """

    coefs: HostArray
    n_iter: HostArray
    engine: Engine
    reads: float = 0.0
    missed: list[str] = field(default_factory=list)

    def keep(self, fold: int, at_ratio: int, at_C: int, C: float, params: HostArray, result: SolverResult) -> None:
        """Keep the end of a fit."""
        self.coefs[fold, at_ratio, at_C] = params
        self.n_iter[fold, at_ratio, at_C] = result.n_iter
        if not result.converged:
            self.missed.append(f"fold {fold}, C={C:g}: {result.message}")

    def warn_of_missed(self) -> None:
        """Warn once of all fits that did not converge."""
        if self.missed:
            warnings.warn(
                f"{len(self.missed)} of {self.n_iter.size} fits did not converge; the first is that of "
                f"{self.missed[0]}. Increase max_iter, raise tol, or leave out large values of Cs.",
                ConvergenceWarning,
                stacklevel=4,
            )


def fit_grid(
    prepared: Prepared,
    folds: Folds,
    Cs: Float64Vector,
    l1_ratios: list[float],
    how: How,
    told: Callable[[str], None] | None = None,
) -> GridFits:
    """Fit every fold for every C and ``l1_ratio``, in the order of the values of C, the smallest first.

    Parameters
    ----------
    prepared : Prepared
        All rows.
    folds : Folds
    Cs : ndarray of shape (n_cs,)
        In any order; a repeated one is fitted once.
    l1_ratios : list of float
    how : How
    told : function str -> None, optional
        Called with a line after every fold.
    """
    grid = _Grid(prepared, folds, np.unique(Cs), how)
    fits: GridFits | None = None
    at_Cs = np.searchsorted(grid.Cs, Cs)
    for at_ratio, l1_ratio in enumerate(l1_ratios):
        for fold, (objective, results) in enumerate(grid.paths(l1_ratio)):
            if fits is None:
                shape = len(folds), len(l1_ratios), len(Cs)
                n_logits, n_dof = packed_by_logit(objective, results[0].params, how.has_bounds).shape
                n_iter = np.zeros(shape, dtype=np.int32)
                fits = GridFits(np.zeros((*shape, n_logits, n_dof)), n_iter, objective.engine)
            for at_C, found in enumerate(at_Cs):
                params = packed_by_logit(objective, results[found].params, how.has_bounds)
                fits.keep(fold, at_ratio, at_C, float(Cs[at_C]), params, results[found])
            if told is not None:
                told(f"l1_ratio {l1_ratio:g}, fold {fold + 1} of {len(folds)}: {grid.reads:.1f} reads so far")
    assert fits is not None
    fits.reads = grid.reads
    return fits


class _Grid:
    """The models of all folds for ascending values of C."""

    def __init__(self, prepared: Prepared, folds: Folds, Cs: Float64Vector, how: How) -> None:
        self._prepared, self._folds, self._how = prepared, folds, how
        self.Cs = Cs
        self.reads = 0.0

    def paths(self, l1_ratio: float) -> Iterator[tuple[Objective, list[SolverResult]]]:
        """The ends of the fits of each fold: in common reads where they can be, and else by fits of their own."""
        known: dict[tuple[int, int], SolverResult] = {}
        objective: Objective | None = None
        for can_fit, fit in ((in_common_reads, fit_in_common_reads), (rows_are_few, fit_few_rows)):
            if can_fit(self._prepared, self._folds, self.Cs, l1_ratio, self._how):
                known, objective = fit(self._prepared, self._prepared.shares, self._folds, self.Cs, self._how)
                self.reads += objective.reads.total
        by_fold = range(len(self._folds))
        cheap = objective is not None and own_rows_are_cheap(objective)
        more = map_in_order(lambda fold: self._by_own_rows(fold, known), by_fold) if known and cheap else []
        for fold, (found, reads) in enumerate(more):
            known |= {(fold, at): result for at, result in found.items()}
            self.reads += reads
        for fold in by_fold:
            results = {at: known[fold, at] for at in range(len(self.Cs)) if (fold, at) in known}
            left = [at for at in range(len(self.Cs)) if at not in results]
            if left:
                start = results.get(left[0] - 1)  # the nearest of those that are known
                path = self._path(fold, left, l1_ratio, None if start is None else start.params)
                self.reads += path.objective.reads.total
                objective, results = path.objective, results | dict(zip(left, path.results, strict=True))
            assert objective is not None
            yield objective, [results[at] for at in range(len(self.Cs))]

    def _by_own_rows(
        self, fold: int, known: dict[tuple[int, int], SolverResult]
    ) -> tuple[dict[int, SolverResult], float]:
        """Models that common reads did not find, from the ends of those for smaller C, where they can be; and reads."""
        left = [at for at in range(len(self.Cs)) if (fold, at) not in known]
        if not left:
            return {}, 0.0
        ends = [(float(self.Cs[at]), known[fold, at].params) for at in range(left[0])]
        found, objective = fit_by_own_rows(self._of_fold(fold), fold, self.Cs[left], ends, self._how)
        return dict(zip(left, found, strict=False)), objective.reads.total

    def _of_fold(self, fold: int) -> Prepared:
        data = self._prepared.data
        assert isinstance(data, ResidentDataset)
        return replace(self._prepared, data=rows_of_fold(data, self._folds.train[fold]))

    def _path(self, fold: int, left: list[int], l1_ratio: float, start: Float64Vector | None) -> Path:
        of_fold = self._of_fold(fold)
        shares = shares_of(of_fold)
        _warn_of_absent(of_fold, shares, fold)
        return _path(of_fold, shares, self.Cs[left], l1_ratio, self._how, start)


def _path(
    prepared: Prepared,
    shares: Float64Vector,
    Cs: Float64Vector,
    l1_ratio: float,
    how: How,
    start: Float64Vector | None,
) -> Path:
    if (shares > 0.0).sum() > 1:
        return penalty_path(prepared, shares, Cs, l1_ratio, how, start)
    none = penalty_path(prepared, shares, Cs[:0], l1_ratio, how)
    return replace(none, results=[one_class_result(none.objective, shares)] * len(Cs))


def packed_by_logit(objective: Objective, params: Float64Vector, has_bounds: bool = False) -> HostArray:
    """Parameters of shape (n_logits, n_dof), which of several classes add up to 0, as in scikit-learn.

    With an L1 penalty, or bounds, the intercepts alone do: a constant that is added to all weights of a column changes
    it, or leads beyond them.
    """
    by_class = params.reshape(objective.n_logits, -1)
    if objective.n_logits == 1:
        return by_class
    common = by_class.mean(axis=0)
    if objective.l1 > 0.0 or has_bounds:
        common[: objective.dataset.n_columns] = 0.0
    return np.asarray(by_class - common)


def _warn_of_absent(prepared: Prepared, shares: Float64Vector, fold: int) -> None:
    absent = np.flatnonzero(shares == 0.0)
    if len(absent):
        label = prepared.target.classes[absent[0]]
        warnings.warn(
            f"fold {fold} has no rows of class {label!s} to train on; its models cannot predict it. Use a splitter "
            "that keeps the classes together in every fold, as StratifiedKFold does",
            UserWarning,
            stacklevel=5,
        )
