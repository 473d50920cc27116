"""Scores of the models of a grid on the rows that their folds are tested on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, make_scorer
from sklearn.utils.validation import _check_method_params

from gpu_logreg.arrays.vector import HostArray, IntVector

__all__ = ["FoldScorer"]


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
