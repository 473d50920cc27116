"""A linear model as scikit-learn sees it: it predicts where the rows live."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpu_logreg.arrays.blocks import blas_on_one_thread, map_in_order, row_blocks
from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import Device, array_namespace, is_sparse, resolve_device, using
from gpu_logreg.estimators.predictor import Predictor
from gpu_logreg.passes.cpu.sparse import sparse_logits
from gpu_logreg.rows.block import compute_dtype

__all__ = ["LinearPredictor"]

_HOST_BLOCK_BYTES = 2**20
_CUDA_BLOCK_BYTES = 2**28


class LinearPredictor(Predictor):
    """Prediction from ``coef_`` of shape (1, d) or (K, d), ``intercept_`` and ``classes_`` of shape (K,)."""

    coef_: Any
    intercept_: Any
    classes_: Any
    n_features_in_: int

    def _logits(self, X: Any) -> Any:
        """``z = X @ w + b`` where ``X`` lives, in the dtype its rows are computed in; a few rows at a time."""
        check_is_fitted(self)
        X = self._validated_rows(X)
        xp, dtype = array_namespace(X), compute_dtype(X.dtype)
        with using(resolve_device("auto", X) if xp is not np else Device("cpu")), blas_on_one_thread():
            # In float64, block by block: in float32 columns far from zero would cost digits of the logits.
            W, b = xp.asarray(np.ascontiguousarray(dense_coef(self.coef_).T)), xp.asarray(self.intercept_)
            if W.shape[1] == 1:
                W, b = W[:, 0], float(self.intercept_[0])
            if is_sparse(X):
                z = sparse_logits(X, W, b, compiled=False).astype(dtype, copy=False)
                self._refuse_no_logits(X, z)
                return z
            z = xp.empty((X.shape[0], *W.shape[1:]), dtype=dtype)

            def of_block(part: slice) -> None:
                z[part] = X[part].astype(xp.float64, copy=False) @ W + b

            blocks = row_blocks(X.shape[0], 8 * X.shape[1], _HOST_BLOCK_BYTES if xp is np else _CUDA_BLOCK_BYTES)
            if xp is np:
                map_in_order(of_block, blocks)
            else:
                for part in blocks:
                    of_block(part)
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
