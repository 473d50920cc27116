"""A linear model as scikit-learn sees it: it validates arrays and predicts where they live."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from gpu_logreg.backend import Device, array_namespace, as_array, resolve_device, to_numpy, using
from gpu_logreg.dataset.labels import refuse_missing_labels
from gpu_logreg.errors import DataError
from gpu_logreg.passes import compute_dtype
from gpu_logreg.passes.threads import map_in_order, row_blocks
from gpu_logreg.predictor import Predictor
from gpu_logreg.sparse_coef import dense_coef

__all__ = ["LinearPredictor"]

_HOST_BLOCK_BYTES = 2**20
_CUDA_BLOCK_BYTES = 2**28


class LinearPredictor(Predictor):
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
