"""Scores of the models of a grid on the rows that their folds are tested on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, make_scorer
from sklearn.utils.validation import _check_method_params

from gpu_logreg.arrays.vector import HostArray, IntVector
from gpu_logreg.estimators.cross_validation.folds import Folds
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.passes.engine import Engine
from gpu_logreg.passes.reference.many_models import multiplies, weight_of_right_answers
from gpu_logreg.passes.sums import Models, RowFolds
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["FoldScorer", "scores_in_a_read"]

IN_A_READ = (None, "accuracy", "neg_log_loss")
"""Values of ``scoring`` that are sums over rows."""


def scores_in_a_read(
    scoring: Any, prepared: Prepared, engine: Engine, folds: Folds, coefs: HostArray, sample_weight: HostArray | None
) -> HostArray | None:
    """Scores of all models on the rows of their folds, by one read for all; None where that is not to be had.

    Parameters
    ----------
    scoring : str, callable or None
    prepared : Prepared
    engine : Engine
    folds : Folds
    coefs : ndarray of shape (n_folds, n_l1_ratios, n_cs, n_logits, n_dof)
    sample_weight : ndarray of shape (n,) or None
        Of the scores.

    Returns
    -------
    ndarray of shape (n_folds, n_l1_ratios, n_cs), or None
    """
    data, loss = prepared.data, prepared.target.loss
    if type(loss) is Classes and scoring in (None, "accuracy") and isinstance(data, ResidentDataset) and data.on_host:
        return _accuracy_of_classes(data, folds, coefs, sample_weight)
    sums_over_rows = isinstance(scoring, str | None) and scoring in IN_A_READ
    if not (sums_over_rows and multiplies(data, loss)):
        return None
    fold = folds.left_out_by
    if fold is None:
        return None
    s = None if sample_weight is None else data.xp.asarray(sample_weight)
    data = replace(data, rows=data.rows._replace(sample_weight=s))
    models = coefs.reshape(-1, coefs.shape[-1])
    d = data.n_columns
    b = models[:, d] if models.shape[1] > d else np.zeros(len(models))
    left_out = np.repeat(np.arange(len(folds)), len(models) // len(folds))
    by_loss, of_rows = scoring == "neg_log_loss", RowFolds(data.xp.asarray(fold), len(folds))
    sums = engine.scores_on_folds(data, Models(models[:, :d], b, left_out), of_rows, by_loss)
    found = -sums.loss_sum if by_loss else sums.dw_sum
    with np.errstate(invalid="ignore"):  # of a fold whose rows have no weight
        return np.asarray((found / sums.db_sum).reshape(coefs.shape[:3]))


def _accuracy_of_classes(
    data: ResidentDataset, folds: Folds, coefs: HostArray, sample_weight: HostArray | None
) -> HostArray:
    """Share of the rows of each fold whose class has the largest logit, by one product for all its models."""
    scores = np.empty(coefs.shape[:3])
    for fold, test in enumerate(folds.test):
        models = coefs[fold].reshape(-1, *coefs.shape[3:])
        s = np.ones(len(test)) if sample_weight is None else sample_weight[test]
        with np.errstate(invalid="ignore"):  # of a fold whose rows have no weight
            scores[fold] = (weight_of_right_answers(data, models, test, s) / s.sum()).reshape(scores.shape[1:])
    return scores


class FoldScorer:
    """A scorer on the rows that a fold is tested on.

    Parameters
    ----------
    scoring : str, callable or None
        None for the share of the rows whose class is predicted rightly, by ``sample_weight``.
    classes : ndarray of shape (K,)
    X, y : arrays of n rows
    sample_weight : array of shape (n,) or None
    params : dict
        What a scorer takes besides; those of n rows are cut to the fold.
    """

    def __init__(
        self, scoring: Any, classes: HostArray, X: Any, y: HostArray, sample_weight: Any, params: dict[str, Any]
    ) -> None:
        self._scorer = _with_labels(get_scorer(scoring), classes)
        self._classes = classes
        self._X, self._y, self._sample_weight, self._params = X, y, sample_weight, params

    def of_fold(self, test: IntVector) -> Callable[[Any], float]:
        """The score of a model on the rows ``test``."""
        X, y = self._X[test], self._y[test]
        if self._scorer is None:
            s = None if self._sample_weight is None else self._sample_weight[test]
            return lambda model: model.score(X, y, sample_weight=s)
        params = _check_method_params(X=self._X, params=self._params, indices=test)
        return lambda model: self._scorer(model, X, y, **params)


def _with_labels(scorer: Any, classes: HostArray) -> Any:
    """The scorer, told of all classes where it asks for them: the rows of a fold need not hold every one."""
    if scorer is None or not hasattr(scorer, "_score_func"):
        return scorer
    asks_for = inspect.signature(scorer._score_func).parameters
    if "labels" not in asks_for:
        return scorer
    given = dict(getattr(scorer, "_kwargs", {}))
    if len(np.atleast_1d(classes)) == 2 and "pos_label" in asks_for:
        given.setdefault("pos_label", classes[-1])
    return make_scorer(
        scorer._score_func,
        greater_is_better=scorer._sign == 1,
        response_method=scorer._response_method,
        labels=classes,
        **given,
    )
