"""Prediction from logits, the same for every model: classes, probabilities, score."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import column_or_1d

from gpu_logreg import logistic, softmax
from gpu_logreg.backend import array_namespace, as_array, like, to_numpy
from gpu_logreg.dataset.resident import check_sample_weight, first_not_finite
from gpu_logreg.errors import DataError

__all__ = ["Predictor"]


class Predictor(ClassifierMixin):  # type: ignore[misc]
    """What follows from ``_logits(X)`` and ``classes_`` of shape (K,)."""

    classes_: Any

    def _logits(self, X: Any) -> Any:
        """Logits where ``X`` lives: of shape (n,), positive for the second, for two classes; (n, K) for more."""
        raise NotImplementedError

    def _refuse_not_finite(self, X: Any) -> None:
        """Raise a `DataError` that names the first NaN or infinity of ``X``; nothing if there is none."""
        found = first_not_finite(X)
        if found is None:
            return
        row, column, value = found
        names = getattr(self, "feature_names_in_", None)
        name = "" if names is None else f" ({names[column]!r})"
        kind = "NaN" if np.isnan(value) else "infinity"
        raise DataError(f"Input X contains {kind} at row {row}, column {column}{name}; remove or impute it")

    def decision_function(self, X: Any) -> Any:
        """Logits: of two classes one, positive for the second.

        Parameters
        ----------
        X : array or table of shape (n, d)

        Returns
        -------
        array of shape (n,), or (n, K) for K >= 3 classes, of the library of ``X``
        """
        return like(self._logits(X), X)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array or table of shape (n, d)

        Returns
        -------
        array of shape (n, K), of the library of ``X``
        """
        z = self._logits(X)
        if z.ndim == 2:
            return like(softmax.softmax(z), X)
        return like(array_namespace(z).stack([logistic.sigmoid(-z), logistic.sigmoid(z)], axis=1), X)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the classes, finite for every finite logit.

        Parameters
        ----------
        X : array or table of shape (n, d)

        Returns
        -------
        array of shape (n, K), of the library of ``X``
        """
        z = self._logits(X)
        return like(softmax.log_proba(z) if z.ndim == 2 else logistic.log_proba(z), X)

    def predict(self, X: Any) -> Any:
        """The most probable class of each row.

        Parameters
        ----------
        X : array or table of shape (n, d)

        Returns
        -------
        array of shape (n,)
            Of the library of ``X`` where that can hold the labels; strings come back as a NumPy array.
        """
        z = self._logits(X)
        number = to_numpy(z.argmax(axis=1) if z.ndim == 2 else z > 0)
        return like(self.classes_[number.astype(np.intp)], X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Weighted share of the rows whose class is predicted rightly.

        Parameters
        ----------
        X : array or table of shape (n, d)
        y : array of shape (n,)
        sample_weight : array of shape (n,), optional

        Returns
        -------
        float
        """
        right = to_numpy(as_array(self.predict(X))) == column_or_1d(to_numpy(as_array(y)))
        return float(np.average(right, weights=check_sample_weight(as_array(sample_weight), len(right))))
