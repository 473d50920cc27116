"""A network as scikit-learn sees it: it validates arrays and predicts where they live."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from gpu_logreg.backend import Device, array_namespace, as_array, resolve_device, to_numpy, using
from gpu_logreg.dataset.labels import refuse_missing_labels
from gpu_logreg.errors import DataError
from gpu_logreg.network import Layer, forward
from gpu_logreg.passes.threads import blas_on_one_thread, map_in_order, row_blocks
from gpu_logreg.predictor import Predictor

__all__ = ["NetworkPredictor"]

_HOST_BLOCK_BYTES = 2**22
_CUDA_BLOCK_BYTES = 2**28


class NetworkPredictor(Predictor):
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

    def _logits(self, X: Any) -> Any:
        """Logits of shape (n,) for two classes, (n, K) for more, where ``X`` lives; a few rows at a time."""
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
        return z[:, 0] if z.shape[1] == 1 else z
