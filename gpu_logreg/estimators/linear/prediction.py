"""A linear model as scikit-learn sees it: it predicts where the rows live."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import array_namespace, device_of, using
from gpu_logreg.estimators.predictor import Predictor
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.rows.block import compute_dtype

__all__ = ["LinearPredictor"]


class LinearPredictor(Predictor):
    """Prediction from ``coef_`` of shape (1, d) or (K, d), ``intercept_`` and ``classes_`` of shape (K,)."""

    coef_: Any
    intercept_: Any
    classes_: Any
    n_features_in_: int

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
