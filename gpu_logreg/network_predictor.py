"""A network as scikit-learn sees it: it predicts where the rows live."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpu_logreg.backend import Device, array_namespace, resolve_device, using
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

    def _logits(self, X: Any) -> Any:
        """Logits of shape (n,) for two classes, (n, K) for more, where ``X`` lives; a few rows at a time."""
        check_is_fitted(self)
        X = self._validated_rows(X)
        xp, dtype = array_namespace(X), self.coefs_[0].dtype
        with using(resolve_device("auto", X) if xp is not np else Device("cpu")), blas_on_one_thread():
            layers = [Layer(xp.asarray(W), xp.asarray(b)) for W, b in zip(self.coefs_, self.intercepts_, strict=True)]
            z = xp.empty((X.shape[0], layers[-1].W.shape[1]), dtype=dtype)

            def of_block(part: slice) -> None:
                block = X[part]
                logits = forward(layers, block.astype(dtype, copy=False), self.activation)[1]
                # Activations hide an infinity; a GPU is not waited for to see it.
                z[part] = logits if block.dtype.kind in "iub" else xp.where(xp.isfinite(block).all(), logits, np.nan)

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
