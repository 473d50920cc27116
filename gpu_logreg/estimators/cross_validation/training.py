"""The fits of a grid of models, their scores, and the fit of the best on all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import check_cv

from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.device import Device, in_host_memory, to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, HostArray
from gpu_logreg.estimators.cross_validation.attributes import Chosen, GridOfModels
from gpu_logreg.estimators.cross_validation.fold_scores import FoldScorer, scores_in_a_read
from gpu_logreg.estimators.cross_validation.folds import Folds, folds_of
from gpu_logreg.estimators.cross_validation.grid_fits import GridFits, fit_grid, packed_by_logit
from gpu_logreg.estimators.cross_validation.parameters import Grid
from gpu_logreg.estimators.cross_validation.penalty_path import How, Restrictions, penalty_path
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.linear.liblinear import refuse_for_liblinear
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.offset import given_offset
from gpu_logreg.estimators.prepare import Prepared, prepare
from gpu_logreg.estimators.target import Target

__all__ = ["GridTraining"]


class GridTraining:
    """What `fit` does once its rows are validated."""

    def _fit(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        device: Device,
        grid: Grid,
        params: dict[str, Any],
        offset: Any,
        soft: Float64Matrix | None,
    ) -> None:
        how: dict[str, Any] = {"class_weight": self.class_weight, "storage": self.storage, "offset": offset}
        how["column_names"] = getattr(self, "feature_names_in_", None)
        if soft is not None:
            how |= {"soft": soft, "target": Target(np.arange(soft.shape[1]))}
        prepared = prepare(X, y, sample_weight, device, **how)
        self.classes_ = prepared.target.classes
        _ = prepared.shares  # which refuses rows of a single class
        self.__dict__.pop("has_offset_", None)
        if offset is not None:
            self.has_offset_ = True
            offset = to_numpy(given_offset(offset, X.shape[0], prepared.target.loss.n_logits, device))
        refuse_for_liblinear(self.solver, X, len(self.classes_))
        labels = to_numpy(y)
        split, score = self._routed(sample_weight, params)
        rows = X if in_host_memory(X) else np.zeros((len(labels), 1))
        splitter = check_cv(self.cv, labels, classifier=True)
        folds = folds_of(splitter.split(rows, labels, **split), len(labels))
        how_to_fit = How(
            *(grid.solver, grid.solver_reason, self.impl, self.fit_intercept, self.tol, self.max_iter),
            random_state=self.random_state,
            restrictions=Restrictions.of(self),
        )
        fits = fit_grid(prepared, folds, grid.Cs, grid.l1_ratios, how_to_fit, print if self.verbose else None)
        weights = _checked(sample_weight, len(labels))
        scores = None
        if not set(score) - {"sample_weight"} and offset is None and soft is None:
            of_scores = weights if grid.scoring is None else _checked(score.get("sample_weight"), len(labels))
            scores = scores_in_a_read(grid.scoring, prepared, fits.engine, folds, fits.coefs, of_scores)
        if scores is None:
            scorer = FoldScorer(grid.scoring, self.classes_, X, labels, weights, score, offset, soft)
            scores = self._scores(grid, fits, folds, scorer)
        models = GridOfModels(grid, fits.coefs, scores, fits.n_iter)
        if self.refit:
            chosen = models.best()
            self._refit(prepared, chosen, grid, fits, how_to_fit)
        else:
            chosen = models.best_of_each_fold(any(0.0 < ratio < 1.0 for ratio in grid.l1_ratios))
            self._keep_params(chosen.params)
        self._move_to_prior(prepared.shares)
        for name, value in models.attributes(self.classes_, chosen).items():
            setattr(self, name, value)
        self.n_reads_, self.converged_ = fits.reads, not fits.missed
        fits.warn_of_missed()

    def _scores(self: Any, grid: Grid, fits: GridFits, folds: Folds, scorer: FoldScorer) -> Any:
        scores = np.empty(fits.n_iter.shape)
        model = LogisticRegression(fit_intercept=self.fit_intercept)
        model.classes_, model.n_features_in_ = self.classes_, self.n_features_in_
        for fold, test in enumerate(folds.test):
            score = scorer.of_fold(test)
            for at in np.ndindex(*scores.shape[1:]):
                model.C, model.l1_ratio = float(grid.Cs[at[1]]), grid.l1_ratios[at[0]]
                model.coef_, model.intercept_ = self._unpacked(fits.coefs[(fold, *at)])
                scores[(fold, *at)] = score(model)
        return scores

    def _refit(self: Any, prepared: Prepared, chosen: Chosen, grid: Grid, fits: GridFits, how: How) -> None:
        """Fit the best model on all rows, from the mean of its coefficients over the folds."""
        assert chosen.at is not None
        l1_ratio = grid.l1_ratios[chosen.at[0]]
        path = penalty_path(prepared, prepared.shares, np.array([chosen.C]), l1_ratio, how, chosen.params.ravel())
        result, objective = path.results[0], path.objective
        fits.reads += objective.reads.total
        if not result.converged:
            fits.missed.append(f"all rows, C={chosen.C:g}: {result.message}")
        self._keep_params(packed_by_logit(objective, result.params, how.has_bounds))
        self.objective_, self.stop_reason_ = result.value, result.message
        self.device_, self.device_reason_ = prepared.device.name, prepared.device.reason
        self.impl_, self.impl_reason_ = objective.engine.name, objective.engine.reason
        self.solver_, self.solver_reason_ = path.solver, path.solver_reason
        self.storage_ = objective.dataset.storage_name

    def _keep_params(self: Any, by_logit: Any) -> None:
        self.coef_, self.intercept_ = self._unpacked(by_logit)

    def _unpacked(self: Any, by_logit: Any) -> tuple[Any, Any]:
        """``coef_`` and ``intercept_`` of parameters of shape (n_logits, n_dof)."""
        if not self.fit_intercept:
            return by_logit.copy(), np.zeros(len(by_logit))
        return by_logit[:, :-1].copy(), by_logit[:, -1].copy()


def _checked(sample_weight: Any, n: int) -> HostArray | None:
    """Weights on the host."""
    weights = check_sample_weight(given_column(sample_weight, "sample_weight"), n)
    return None if weights is None else to_numpy(weights)
