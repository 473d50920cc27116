"""A network as scikit-learn sees it: it validates arrays and predicts where they live."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from gpu_logreg import logistic, softmax
from gpu_logreg.backend import Device, array_namespace, as_array, like, resolve_device, to_numpy, using
from gpu_logreg.dataset.labels import refuse_missing_labels
from gpu_logreg.dataset.resident import check_sample_weight, first_not_finite
from gpu_logreg.errors import DataError
from gpu_logreg.network import Layer, forward
from gpu_logreg.passes.threads import blas_on_one_thread, map_in_order, row_blocks

__all__ = ["NetworkPredictor"]

_HOST_BLOCK_BYTES = 2**22
_CUDA_BLOCK_BYTES = 2**28


class NetworkPredictor(ClassifierMixin):  # type: ignore[misc]
    """Prediction from ``coefs_``, ``intercepts_``, ``activation`` and ``classes_`` of shape (K,)."""

    coefs_: list[Any]
    intercepts_: list[Any]
    classes_: Any
    n_features_in_: int
    activation: str

    def _validated_pair(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Rows and labels to train on."""
        if y is None:
            raise DataError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        return self._validated(X, y, reset=reset)

    def _validated(self, X: Any, y: Any = None, *, reset: bool = False) -> tuple[Any, Any]:
        """Arrays of the right shape, in the library they came in."""
        X, y = as_array(X), as_array(y)
        if array_namespace(X) is np:
            if y is not None:
                y = to_numpy(y)
                refuse_missing_labels(y)
                X, y = validate_data(self, X, y, reset=reset, ensure_all_finite=False)
            else:
                X = validate_data(self, X, reset=reset, ensure_all_finite=False)
        else:
            self._check_device_array(X, reset)
            if y is not None:
                y = y if hasattr(y, "shape") else np.asarray(y)
                if y.shape != (X.shape[0],):
                    raise DataError(f"y has shape {y.shape}, and X has {X.shape[0]} rows")
        if X.dtype.kind not in "fiub":
            raise DataError(f"X has dtype {X.dtype}; a network reads real numbers")
        return X, y

    def _check_device_array(self, X: Any, reset: bool) -> None:
        if X.ndim != 2:
            raise DataError(f"Expected 2D array, got {X.ndim}D array instead; X must have shape (n, d)")
        if 0 in X.shape:
            raise DataError(f"X has shape {X.shape}; at least one row and one column are required")
        if reset:
            self.n_features_in_ = int(X.shape[1])
        elif X.shape[1] != self.n_features_in_:
            raise DataError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )

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

    def _logits(self, X: Any) -> Any:
        """Logits of shape (n, 1) for two classes, (n, K) for more, where ``X`` lives; a few rows at a time."""
        check_is_fitted(self)
        X, _ = self._validated(X)
        xp, dtype = array_namespace(X), self.coefs_[0].dtype
        with using(resolve_device("auto", X) if xp is not np else Device("cpu")), blas_on_one_thread():
            layers = [Layer(xp.asarray(W), xp.asarray(b)) for W, b in zip(self.coefs_, self.intercepts_, strict=True)]
            z = xp.empty((X.shape[0], layers[-1].W.shape[1]), dtype=dtype)

            def of_block(part: slice) -> None:
                block = X[part]
                logits = forward(layers, block.astype(dtype, copy=False), self.activation)[1]
                # Activations hide an infinity; a GPU is not waited for to see it.
                z[part] = logits if block.dtype.kind != "f" else xp.where(xp.isfinite(block).all(), logits, xp.nan)

            widest = max(X.shape[1], *(len(layer.b) for layer in layers)) * dtype.itemsize
            blocks = row_blocks(X.shape[0], widest, _HOST_BLOCK_BYTES if xp is np else _CUDA_BLOCK_BYTES)
            if xp is np:
                map_in_order(of_block, blocks)
            else:
                for part in blocks:
                    of_block(part)
            if not bool(xp.isfinite(z).all()):
                self._refuse_not_finite(X)
        return z

    def decision_function(self, X: Any) -> Any:
        """Logits.

        Parameters
        ----------
        X : array or table of shape (n, d)

        Returns
        -------
        array of the library of ``X``
            Shape (n,), positive for the second class, for two classes; (n, K) for more.
        """
        z = self._logits(X)
        return like(z[:, 0] if z.shape[1] == 1 else z, X)

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
        if z.shape[1] > 1:
            return like(softmax.softmax(z), X)
        z = z[:, 0]
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
        return like(softmax.log_proba(z) if z.shape[1] > 1 else logistic.log_proba(z[:, 0]), X)

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
        number = z.argmax(axis=1) if z.shape[1] > 1 else z[:, 0] > 0
        return like(self.classes_[to_numpy(number).astype(np.intp)], X)

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
