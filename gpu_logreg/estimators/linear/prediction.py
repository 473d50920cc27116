"""A linear model as scikit-learn sees it: it predicts where the rows live."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import array_namespace, device_of, to_numpy, using
from gpu_logreg.arrays.interchange import as_array
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.offset import logits_with_offset
from gpu_logreg.estimators.predictor import Predictor
from gpu_logreg.estimators.soft_labels import given_probabilities
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.rows.block import compute_dtype

__all__ = ["LinearPredictor"]


class LinearPredictor(Predictor):
    """Prediction from ``coef_`` of shape (1, d) or (K, d), ``intercept_`` and ``classes_`` of shape (K,)."""

    coef_: Any
    intercept_: Any
    classes_: Any
    n_features_in_: int

    def decision_function(self, X: Any, *, offset: Any = None) -> Any:
        """Logits: of two classes one, positive for the second.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream
        offset : as of `LogisticRegression.fit`, optional
            Needed where the fit had one; 0.0 for none.

        Returns
        -------
        array of shape (n,), or (n, K) for K >= 3 classes, of the library of ``X``; for tables as of `predict`
        """
        return self._answer(X, lambda z: z, offset)

    def predict_proba(self, X: Any, *, offset: Any = None) -> Any:
        """Probabilities of the classes, of shape (n, K); parameters as of `decision_function`."""
        return self._answer(X, lambda z: self._target().loss.probabilities(z), offset)

    def predict_log_proba(self, X: Any, *, offset: Any = None) -> Any:
        """Logarithms of the probabilities, finite for every finite logit; parameters as of `decision_function`."""
        return self._answer(X, lambda z: self._target().loss.log_probabilities(z), offset)

    def predict(self, X: Any, *, offset: Any = None) -> Any:
        """The most probable class of each row.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream
        offset : as of `decision_function`, optional

        Returns
        -------
        array of shape (n,)
            Of the library of ``X`` where that can hold the labels; strings come back as a NumPy array. Lists and
            tables get NumPy arrays, cuDF's tables CuPy arrays. JAX has 64 bits only where it is told to.
        """
        return self._answer(X, lambda z: self._target().decide(z), offset)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Weighted share of the rows whose class is predicted rightly.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream
        y : array of shape (n,); None for a stream, which brings labels and weights
        sample_weight : array of shape (n,), optional
        offset : as of `decision_function`, optional

        Returns
        -------
        float
        """
        if getattr(self, "soft_labels", False) and y is not None:
            return self._score_of_probabilities(X, given_probabilities(y), sample_weight, offset)
        if offset is None:
            return super().score(X, y, sample_weight)
        return self._score(X, y, sample_weight, offset=offset)

    def _score_of_probabilities(self, X: Any, P: Any, sample_weight: Any, offset: Any) -> float:
        """The probability of the predicted classes, in the weighted mean over the rows."""
        predicted = to_numpy(as_array(self.predict(X, offset=offset)))
        if P.shape != (len(predicted), len(self.classes_)):
            raise DataError(f"y has shape {P.shape}, and X {len(predicted)} rows and {len(self.classes_)} classes")
        weights = given_column(sample_weight, "sample_weight")
        weights = None if weights is None else check_sample_weight(to_numpy(weights), len(predicted))
        return float(np.average(P[np.arange(len(P)), predicted], weights=weights))

    def _with_offset(self, z: Any, offset: Any) -> Any:
        """Logits with the offset of their rows; refused where the fit had one and none is given.

        Scorers give none: theirs is on the model while they score.
        """
        return logits_with_offset(self, z, self.__dict__.get("_offset_of_scores") if offset is None else offset)

    def _logits_of_rows(self, X: Any) -> Any:
        """``z = X @ w + b`` where ``X`` lives, in the dtype its rows are computed in; a few rows at a time."""
        with using(device_of(X)), blas_on_one_thread():
            W, b = np.asarray(dense_coef(self.coef_)), np.asarray(self.intercept_)
            z = row_logits(X, W, b, compute_dtype(X.dtype))
            self._refuse_no_logits(X, z)
        return z

    def _refuse_no_logits(self, X: Any, z: Any) -> None:
        """Raise a `DataError` where logits tell of no class: of two an infinite one does."""
        xp = array_namespace(z)
        if bool(xp.isfinite(z).all()):
            return
        self._refuse_not_finite(X)
        bad = xp.isnan(z) if z.ndim == 1 else ~xp.isfinite(z).all(axis=1)
        if bool(bad.any()):
            self._refuse_overflow(X, int(bad.argmax()))
