"""Logistic regression whose penalty is chosen by cross-validation, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import _raise_for_params

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.device import Device, in_host_memory, numpy_defaults, to_numpy
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.attributes import Chosen, GridOfModels
from gpu_logreg.estimators.cross_validation.conversion import CrossValidationConversion
from gpu_logreg.estimators.cross_validation.fold_scores import FoldScorer, scores_in_a_read
from gpu_logreg.estimators.cross_validation.folds import Folds, folds_of
from gpu_logreg.estimators.cross_validation.grid_fits import GridFits, fit_grid, packed_by_logit
from gpu_logreg.estimators.cross_validation.parameters import CV_CONSTRAINTS, Grid, read_grid
from gpu_logreg.estimators.cross_validation.penalty_path import How, penalty_path
from gpu_logreg.estimators.cross_validation.routed_scores import RoutedScores
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.linear.parameters import refuse_for_liblinear
from gpu_logreg.estimators.linear.sparse_coef import SparseCoef
from gpu_logreg.estimators.linear.state import LinearState
from gpu_logreg.estimators.prepare import Prepared, prepare
from gpu_logreg.estimators.streamed import stream_of

__all__ = ["LogisticRegressionCV"]


class LogisticRegressionCV(
    CrossValidationConversion,
    LinearState,
    SparseCoef,
    RoutedScores,
    BaseEstimator,  # type: ignore[misc]
):
    """Logistic regression whose ``C``, and share of L1, are those with the best score in cross-validation.

    Every model of the grid minimises the objective of `gpu_logreg.LogisticRegression` on the rows that its fold trains
    on. Parameters, attributes, defaults and warnings are those of scikit-learn 1.9, and ours are beside them.

    Parameters
    ----------
    Cs : int or list of float, default=10
        Inverse strengths of the penalty, in any order; a number of them is spread from 1e-4 to 1e4.
    l1_ratios : list of float from 0 to 1, default=None
        Shares of L1 in the penalty. None, which is deprecated, is ``(0,)`` but for the shapes of old attributes.
    fit_intercept : bool, default=True
    cv : int, splitter or iterable, default=None
        5 stratified folds for None, or as many as the number says; any splitter of scikit-learn's; or pairs of rows to
        train and to test on.
    dual : bool, default=False
        As of `gpu_logreg.LogisticRegression`.
    penalty : {"l1", "l2", "elasticnet"}, deprecated
        Leave it out and use ``l1_ratios``.
    scoring : str, callable or None, default=None
        Accuracy for None, by the row weights.
    solver : str, default="auto"
        As of `gpu_logreg.LogisticRegression`.
    tol : float, default=1e-6
    max_iter : int, default=1000
        Both of every fit, as of `gpu_logreg.LogisticRegression`.
    class_weight : dict, "balanced" or None, default=None
        ``"balanced"`` is by the classes of all rows.
    n_jobs : int or None, default=None
        Accepted and without effect: the rows are walked by all processors, one walk for many models.
    verbose : int, default=0
        Positive: a line after every fold.
    refit : bool, default=True
        Whether the model of the best mean score is fitted on all rows. Else coefficients, C and share of L1 are means
        over the best of every fold.
    intercept_scaling : float, default=1
        Accepted and without effect.
    random_state : int, RandomState or None, default=None
        Draws samples of rows; the folds are ``cv``'s.
    use_legacy_attributes : bool, default=True
        Whether attributes have the shapes of scikit-learn before 1.10.
    device, impl, storage : str, default="auto"
        As of `gpu_logreg.LogisticRegression`.

    Attributes
    ----------
    coef_ : ndarray of shape (1, d), or (K, d) for K >= 3 classes, float64
    intercept_ : ndarray of shape (1,) or (K,), float64
    classes_ : ndarray of shape (K,)
    n_features_in_ : int
    Cs_ : ndarray of shape (n_cs,)
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
    C_, l1_ratio_ : float
        Those of the best mean score; arrays with legacy attributes.
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        With legacy attributes a dictionary by class of arrays (n_folds, n_cs, n_l1_ratios), without the last dimension
        where ``l1_ratios`` is None.
    coefs_paths_ : ndarray of shape (n_folds, n_l1_ratios, n_cs, K, n_dof)
        Weights, and the intercept last if there is one; 1 for K of two classes. With legacy attributes a dictionary as
        that of ``scores_``.
    n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_cs)
        With legacy attributes (1, n_folds, n_cs, n_l1_ratios), or without the last.
    n_reads_ : float
        Walks over all rows that all fits took together.
    converged_ : bool
        Whether every fit did.
    device_, device_reason_, impl_, impl_reason_, solver_, solver_reason_, storage_ : str
        What was chosen, and why; of the last fit.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from gpu_logreg import LogisticRegressionCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegressionCV(l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False).fit(X, y)
    >>> model.scores_.shape, bool(model.C_ in model.Cs_)
    ((5, 1, 10), True)
    """

    __module__ = "gpu_logreg"  # the path that a pickle holds: one that stays, wherever this file moves to

    _parameter_constraints = CV_CONSTRAINTS

    def __init__(
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = "warn",
        fit_intercept: bool = True,
        cv: Any = None,
        dual: bool = False,
        penalty: str = "deprecated",
        scoring: Any = "warn",
        solver: str = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        class_weight: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        refit: bool = True,
        intercept_scaling: float = 1.0,
        random_state: Any = None,
        use_legacy_attributes: Any = "warn",
        device: str = "auto",
        impl: str = "auto",
        storage: str = "auto",
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes
        self.device = device
        self.impl = impl
        self.storage = storage

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **params: Any) -> LogisticRegressionCV:
        """Fit every model of the grid, and the best on all rows.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d)
            As for `gpu_logreg.LogisticRegression.fit`, in memory.
        y : array of shape (n,)
        sample_weight : array of shape (n,), optional
            Weight of each row in fits, and in the scores by accuracy; in others as scikit-learn routes it.
        **params
            What the splitter and the scorer take besides, as ``groups``, with scikit-learn's metadata routing.

        Returns
        -------
        self : LogisticRegressionCV

        Raises
        ------
        DataError
            Data or parameters that cannot be used; a `ValueError`.
        """
        self._validate_params()
        _raise_for_params(params, self, "fit")
        grid = read_grid(self)
        try:
            if stream_of(X, y, sample_weight) is not None:
                raise DataError("LogisticRegressionCV takes rows in memory; choose C by LogisticRegression on a stream")
            X, y = self._validated(X, y, reset=True)
            device = resolve_device(self.device, X)
            with on_device(device), blas_on_one_thread(), numpy_defaults():
                self._fit(X, y, sample_weight, device, grid, params)
            return self
        except BaseException:
            self._forget()  # a fit that failed half way must not look fitted
            raise

    def _fit(self, X: Any, y: Any, sample_weight: Any, device: Device, grid: Grid, params: dict[str, Any]) -> None:
        prepared = prepare(
            X,
            y,
            sample_weight,
            device,
            class_weight=self.class_weight,
            storage=self.storage,
            column_names=getattr(self, "feature_names_in_", None),
        )
        self.classes_ = prepared.target.classes
        _ = prepared.shares  # which refuses rows of a single class
        refuse_for_liblinear(self.solver, X, len(self.classes_))
        labels = to_numpy(y)
        weights = check_sample_weight(given_column(sample_weight, "sample_weight"), len(labels))
        weights = None if weights is None else to_numpy(weights)
        split, score = self._routed(sample_weight, params)
        rows = X if in_host_memory(X) else np.zeros((len(labels), 1))
        splitter = check_cv(self.cv, labels, classifier=True)
        folds = folds_of(splitter.split(rows, labels, **split), len(labels))
        how = How(
            grid.solver, grid.solver_reason, self.impl, self.fit_intercept, self.tol, self.max_iter, self.random_state
        )
        fits = fit_grid(prepared, folds, grid.Cs, grid.l1_ratios, how, print if self.verbose else None)
        scores = None
        if not set(score) - {"sample_weight"}:
            of_scores = weights if grid.scoring is None else score.get("sample_weight")
            of_scores = check_sample_weight(given_column(of_scores, "sample_weight"), len(labels))
            scores = scores_in_a_read(grid.scoring, prepared, fits.engine, folds, fits.coefs, of_scores)
        if scores is None:
            scorer = FoldScorer(grid.scoring, self.classes_, X, labels, weights, score)
            scores = self._scores(grid, fits, folds, scorer)
        models = GridOfModels(grid, fits.coefs, scores, fits.n_iter)
        if self.refit:
            chosen = models.best()
            self._refit(prepared, chosen, grid, fits, how)
        else:
            chosen = models.best_of_each_fold(any(0.0 < ratio < 1.0 for ratio in grid.l1_ratios))
            self._keep_params(chosen.params)
        for name, value in models.attributes(self.classes_, chosen).items():
            setattr(self, name, value)
        self.n_reads_, self.converged_ = fits.reads, not fits.missed
        fits.warn_of_missed()

    def _scores(self, grid: Grid, fits: GridFits, folds: Folds, scorer: FoldScorer) -> Any:
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

    def _refit(self, prepared: Prepared, chosen: Chosen, grid: Grid, fits: GridFits, how: How) -> None:
        """Fit the best model on all rows, from the mean of its coefficients over the folds."""
        assert chosen.at is not None
        l1_ratio = grid.l1_ratios[chosen.at[0]]
        path = penalty_path(prepared, prepared.shares, np.array([chosen.C]), l1_ratio, how, chosen.params.ravel())
        result, objective = path.results[0], path.objective
        fits.reads += objective.reads.total
        if not result.converged:
            fits.missed.append(f"all rows, C={chosen.C:g}: {result.message}")
        self._keep_params(packed_by_logit(objective, result.params))
        self.objective_, self.stop_reason_ = result.value, result.message
        self.device_, self.device_reason_ = prepared.device.name, prepared.device.reason
        self.impl_, self.impl_reason_ = objective.engine.name, objective.engine.reason
        self.solver_, self.solver_reason_ = path.solver, path.solver_reason
        self.storage_ = objective.dataset.storage_name

    def _keep_params(self, by_logit: Any) -> None:
        self.coef_, self.intercept_ = self._unpacked(by_logit)

    def _unpacked(self, by_logit: Any) -> tuple[Any, Any]:
        """``coef_`` and ``intercept_`` of parameters of shape (n_logits, n_dof)."""
        if not self.fit_intercept:
            return by_logit.copy(), np.zeros(len(by_logit))
        return by_logit[:, :-1].copy(), by_logit[:, -1].copy()
