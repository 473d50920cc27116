"""Scores of the models of a grid on the rows that their folds are tested on."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, make_scorer
from sklearn.utils.validation import _check_method_params

from gpu_logreg.arrays.vector import HostArray, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.folds import Folds
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.passes.engine import Engine
from gpu_logreg.passes.reference.many_models import multiplies, weight_of_right_answers
from gpu_logreg.passes.sums import Models, RowFolds
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["FoldScorer", "of_scorer", "rows_of_classes", "scored_with", "scores_in_a_read"]

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
    offset : array of shape (n, n_logits), optional
        Of the rows.
    soft : array of shape (n, K), optional
        Soft labels: a row stands for a row of each class, with its probability as its weight.
    """

    def __init__(
        self,
        scoring: Any,
        classes: HostArray,
        X: Any,
        y: HostArray,
        sample_weight: Any,
        params: dict[str, Any],
        offset: HostArray | None = None,
        soft: HostArray | None = None,
    ) -> None:
        self._scoring, self._scorer = scoring, _with_labels(get_scorer(scoring), classes)
        self._classes = classes
        self._X, self._y, self._sample_weight, self._params = X, y, sample_weight, params
        self._offset, self._soft = offset, soft

    def of_fold(self, test: IntVector) -> Callable[[Any], float]:
        """The score of a model on the rows ``test``."""
        params = {} if self._scorer is None else _check_method_params(X=self._X, params=self._params, indices=test)
        s = self._sample_weight if self._scorer is None else self._params.get("sample_weight")
        s = None if s is None else np.asarray(s)[test]
        if self._soft is not None:
            at, labels, s = rows_of_classes(self._soft[test], s)
            test, params = test[at], params | {"sample_weight": s}
            y = self._classes[labels]
        else:
            y = self._y[test]
        X, offset = self._X[test], None if self._offset is None else self._offset[test]

        def score(model: Any) -> float:
            with scored_with(model, offset):
                if self._scorer is None:
                    return float(model.score(X, y, sample_weight=s))
                return float(of_scorer(self._scorer, self._scoring, model, X, y, params, self._soft is not None))

        return score


def rows_of_classes(P: HostArray, sample_weight: HostArray | None) -> tuple[IntVector, IntVector, HostArray]:
    """The rows that rows with soft labels stand for: their numbers, their classes and their weights.

    Examples
    --------
    >>> rows_of_classes(np.array([[0.25, 0.75], [1.0, 0.0]]), np.array([2.0, 1.0]))
    (array([0, 0, 1]), array([0, 1, 0]), array([0.5, 1.5, 1. ]))
    """
    row, label = np.nonzero(P)
    weights = P[row, label]
    return row, label, weights if sample_weight is None else weights * sample_weight[row]


@contextlib.contextmanager
def scored_with(model: Any, offset: HostArray | None) -> Iterator[None]:
    """Have a model predict the next rows with an offset that no scorer can give it."""
    if offset is None:
        yield
        return
    model._offset_of_scores = offset
    try:
        yield
    finally:
        del model._offset_of_scores


def of_scorer(scorer: Any, scoring: Any, model: Any, X: Any, y: Any, params: dict[str, Any], is_soft: bool) -> Any:
    """The score, with a word where a scorer cannot weigh the rows that soft labels stand for."""
    if is_soft and hasattr(scorer, "_score_func"):
        asks_for = inspect.signature(scorer._score_func).parameters
        if "sample_weight" not in asks_for and not any(p.kind is p.VAR_KEYWORD for p in asks_for.values()):
            raise DataError(f"soft_labels=True: scoring={scoring!r} takes no sample_weight; use 'neg_log_loss' or None")
    return scorer(model, X, y, **params)


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
