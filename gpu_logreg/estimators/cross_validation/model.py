"""Logistic regression whose penalty is chosen by cross-validation, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import _raise_for_params

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.conversion import CrossValidationConversion
from gpu_logreg.estimators.cross_validation.parameters import CV_CONSTRAINTS, read_grid
from gpu_logreg.estimators.cross_validation.routed_scores import RoutedScores
from gpu_logreg.estimators.cross_validation.training import GridTraining
from gpu_logreg.estimators.linear.sparse_coef import SparseCoef
from gpu_logreg.estimators.linear.state import LinearState
from gpu_logreg.estimators.offset import refuse_beside_labels
from gpu_logreg.estimators.soft_labels import given_probabilities
from gpu_logreg.estimators.streamed import stream_of

__all__ = ["LogisticRegressionCV"]


class LogisticRegressionCV(
    CrossValidationConversion,
    LinearState,
    SparseCoef,
    GridTraining,
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
    penalty_factor, penalty_groups, lower_bounds, upper_bounds, positive, soft_labels
        As of `gpu_logreg.LogisticRegression`, for every fit; fits share no reads then.
    prior, sampling_rates : default=None
        As of `gpu_logreg.LogisticRegression`, of ``intercept_`` alone: scores are those of the rows as they were drawn.

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
        prior: Any = None,
        sampling_rates: Any = None,
        penalty_factor: Any = None,
        penalty_groups: Any = None,
        soft_labels: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        positive: bool = False,
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
        self.prior = prior
        self.sampling_rates = sampling_rates
        self.penalty_factor = penalty_factor
        self.penalty_groups = penalty_groups
        self.soft_labels = soft_labels
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.positive = positive

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, **params: Any
    ) -> LogisticRegressionCV:
        """Fit every model of the grid, and the best on all rows.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d)
            As for `gpu_logreg.LogisticRegression.fit`, in memory.
        y : array of shape (n,)
        sample_weight : array of shape (n,), optional
            Weight of each row in fits, and in the scores by accuracy; in others as scikit-learn routes it.
        offset : as of `gpu_logreg.LogisticRegression.fit`, optional
            Of each row, in fits and in scores.
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
            soft = given_probabilities(y) if self.soft_labels else None
            X, y = self._validated(X, y if soft is None else soft.argmax(axis=1), reset=True)
            device = resolve_device(self.device, X)
            for name, is_given in (("offset", offset is not None), ("soft_labels=True", self.soft_labels)):
                if is_given:
                    refuse_beside_labels(name, grid.solver, firth=False, streamed=False, several=False)
            with on_device(device), blas_on_one_thread(), numpy_defaults():
                self._fit(X, y, sample_weight, device, grid, params, offset, soft)
            return self
        except BaseException:
            self._forget()  # a fit that failed half way must not look fitted
            raise
