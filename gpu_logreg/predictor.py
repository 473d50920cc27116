"""What is the same for every model: what it takes for rows and labels, and its answers from logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import column_or_1d, validate_data

from gpu_logreg import logistic, softmax
from gpu_logreg.backend import array_namespace, to_numpy
from gpu_logreg.dataset.inputs import GivenRows, given_column, given_rows, refuse_text
from gpu_logreg.dataset.labels import refuse_missing_labels
from gpu_logreg.dataset.resident import check_sample_weight, first_not_finite
from gpu_logreg.errors import DataError
from gpu_logreg.interchange import as_array, is_bfloat16, like

__all__ = ["Predictor"]


class Predictor(ClassifierMixin):  # type: ignore[misc]
    """What follows from ``_logits(X)`` and ``classes_`` of shape (K,)."""

    classes_: Any

    def _logits(self, X: Any) -> Any:
        """Logits where ``X`` lives: of shape (n,), positive for the second, for two classes; (n, K) for more."""
        raise NotImplementedError

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Rows and labels to learn from, in the memory they are in; finiteness of ``X`` is seen by the first read.

        Parameters
        ----------
        X, y : as for `fit`
        reset : bool
            Whether names and number of the columns are noted, or compared with those noted before.
        """
        if y is None:
            raise DataError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        given = given_rows(X)
        y = given_column(y, "y")
        if array_namespace(y) is np or given.scikit_learn_knows:
            y = to_numpy(y)
            refuse_missing_labels(y)
        if given.scikit_learn_knows:
            return self._by_scikit_learn(given.X, reset, y=y)  # type: ignore[no-any-return]
        self._check_rows(given, reset)
        y = column_or_1d(y, warn=True) if isinstance(y, np.ndarray) else y
        if y.shape != (given.X.shape[0],):
            raise DataError(f"y has shape {y.shape}, and X has {given.X.shape[0]} rows")
        return given.X, y

    def _validated_rows(self, X: Any) -> Any:
        """Rows to predict, in the memory they are in, with the columns of the fit."""
        given = given_rows(X)
        if given.scikit_learn_knows:
            return self._by_scikit_learn(given.X, reset=False)
        self._check_rows(given, reset=False)
        return given.X

    def _by_scikit_learn(self, X: Any, reset: bool, **labels: Any) -> Any:
        try:
            valid = validate_data(self, X, **labels, reset=reset, ensure_all_finite=False)
        except ValueError:
            refuse_text(X)  # what scikit-learn says does not name the column
            raise
        rows = valid[0] if labels else valid
        if rows.dtype.kind != "O":
            return valid
        refuse_text(X)
        rows = rows.astype(np.float64)  # decimals, or categories that are numbers
        return (rows, valid[1]) if labels else rows

    def _check_rows(self, given: GivenRows, reset: bool) -> None:
        """What `validate_data` checks, for rows that it cannot look at."""
        X = given.X
        if X.ndim != 2:
            raise DataError(f"Expected 2D array, got {X.ndim}D array instead; X must have shape (n, d)")
        if 0 in X.shape:
            raise DataError(f"X has shape {X.shape}; at least one row and one column are required")
        if X.dtype.kind not in "fiub" and not is_bfloat16(X):
            raise DataError(f"X has dtype {X.dtype}; give real numbers")
        named = X if given.header is None else given.header
        validate_data(self, named, skip_check_array=True, reset=reset)  # names and number of the columns alone

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
        array of shape (n,), or (n, K) for K >= 3 classes, of the library of ``X``; for tables as of `predict`
        """
        return like(self._logits(X), X)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array or table of shape (n, d)

        Returns
        -------
        array of shape (n, K), of the library of ``X``; for tables as of `predict`
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
        array of shape (n, K), of the library of ``X``; for tables as of `predict`
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
            Of the library of ``X`` where that can hold the labels; strings come back as a NumPy array. Lists and
            tables get NumPy arrays, cuDF's tables CuPy arrays. JAX has 64 bits only where it is told to.
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
        predicted, y = to_numpy(as_array(self.predict(X))), column_or_1d(to_numpy(given_column(y, "y")))
        weights = check_sample_weight(given_column(sample_weight, "sample_weight"), len(predicted))
        return float(np.average(predicted == y, weights=None if weights is None else to_numpy(weights)))
