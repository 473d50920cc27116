"""A linear model as scikit-learn sees it: it validates arrays and predicts where they live."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from gpu_logreg import softmax
from gpu_logreg.backend import Device, array_namespace, as_array, like, resolve_device, to_numpy, using
from gpu_logreg.dataset.labels import refuse_missing_labels
from gpu_logreg.dataset.resident import check_sample_weight, first_not_finite
from gpu_logreg.errors import DataError
from gpu_logreg.logistic import log_proba, sigmoid
from gpu_logreg.passes import compute_dtype
from gpu_logreg.passes.threads import map_in_order, row_blocks
from gpu_logreg.sparse_coef import dense_coef

__all__ = ["LinearPredictor"]

_HOST_BLOCK_BYTES = 2**20
_CUDA_BLOCK_BYTES = 2**28


class LinearPredictor(ClassifierMixin):  # type: ignore[misc]
    """Prediction from ``coef_`` of shape (1, d) or (K, d), ``intercept_`` and ``classes_`` of shape (K,)."""

    coef_: Any
    intercept_: Any
    classes_: Any
    n_features_in_: int

    def _validated(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Arrays of the right shape, in the library they came in; finiteness is seen by the first read."""
        X, y = as_array(X), as_array(y)
        if array_namespace(X) is np:
            y = to_numpy(y) if y is not None else y
            refuse_missing_labels(y)
            return validate_data(self, X, y, ensure_all_finite=False)  # type: ignore[no-any-return]
        self._check_shape(X)
        self.n_features_in_ = int(X.shape[1])
        y = y if hasattr(y, "shape") else np.asarray(y)
        if y.shape != (X.shape[0],):
            raise DataError(f"y has shape {y.shape}, and X has {X.shape[0]} rows")
        return X, y

    @staticmethod
    def _check_shape(X: Any) -> None:
        if X.ndim != 2:
            raise DataError(f"Expected 2D array, got {X.ndim}D array instead; X must have shape (n, d)")
        if 0 in X.shape:
            raise DataError(f"X has shape {X.shape}; at least one row and one column are required")

    def _logits(self, X: Any) -> Any:
        """``z = X @ w + b`` where ``X`` lives, in the dtype its rows are computed in; a few rows at a time."""
        check_is_fitted(self)
        X = as_array(X)
        if array_namespace(X) is np:
            X = validate_data(self, X, reset=False, ensure_all_finite=False)
        else:
            self._check_shape(X)
            if X.shape[1] != self.n_features_in_:
                raise DataError(
                    f"X has {X.shape[1]} features, but LogisticRegression is expecting {self.n_features_in_} features"
                )
        xp, dtype = array_namespace(X), compute_dtype(X.dtype)
        with using(resolve_device("auto", X) if xp is not np else Device("cpu")):
            # In float64, block by block: in float32 columns far from zero would cost digits of the logits.
            W, b = xp.asarray(np.ascontiguousarray(dense_coef(self.coef_).T)), xp.asarray(self.intercept_)
            if W.shape[1] == 1:
                W, b = W[:, 0], float(self.intercept_[0])
            z = xp.empty((X.shape[0], *W.shape[1:]), dtype=dtype)

            def of_block(part: slice) -> None:
                z[part] = X[part].astype(xp.float64, copy=False) @ W + b

            blocks = row_blocks(X.shape[0], 8 * X.shape[1], _HOST_BLOCK_BYTES if xp is np else _CUDA_BLOCK_BYTES)
            if xp is np:
                map_in_order(of_block, blocks)
            else:
                for part in blocks:
                    of_block(part)
            if not bool(xp.isfinite(z).all()):
                self._refuse_not_finite(X)
        return z

    @staticmethod
    def _refuse_not_finite(X: Any) -> None:
        found = first_not_finite(X)
        if found is not None:
            row, column, value = found
            kind = "NaN" if np.isnan(value) else "infinity"
            raise DataError(f"Input X contains {kind} at row {row}, column {column}; remove or impute it")

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
        return like(array_namespace(z).stack([sigmoid(-z), sigmoid(z)], axis=1), X)

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
        return like(softmax.log_proba(z) if z.ndim == 2 else log_proba(z), X)

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
