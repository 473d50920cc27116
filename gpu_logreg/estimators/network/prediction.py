"""A network as scikit-learn sees it: it predicts where the rows live."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import NETWORK
from gpu_logreg.arrays.blocks import blas_on_one_thread, map_row_blocks
from gpu_logreg.arrays.csr import all_finite, elements_in_a_row
from gpu_logreg.arrays.device import array_namespace, device_of, using
from gpu_logreg.estimators.predictor import Predictor
from gpu_logreg.estimators.target import Target, known_target
from gpu_logreg.mathematics.network import Layer, forward

__all__ = ["NetworkPredictor"]


class NetworkPredictor(Predictor):
    """Prediction from ``coefs_``, ``intercepts_``, ``activation``, ``out_activation_`` and ``classes_`` of shape (K,).

    A network of several labels decides each by its own logit, and is right about a row where it is about all of them.
    """

    coefs_: list[Any]
    intercepts_: list[Any]
    classes_: Any
    n_features_in_: int
    activation: str
    _learns_labels = True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _logits_of_rows(self, X: Any) -> Any:
        """Logits of shape (n,) for two classes, (n, K) for more, where ``X`` lives; a few rows at a time."""
        xp, dtype = array_namespace(X), self.coefs_[0].dtype
        with using(device_of(X)), blas_on_one_thread():
            layers = [Layer(xp.asarray(W), xp.asarray(b)) for W, b in zip(self.coefs_, self.intercepts_, strict=True)]
            z = xp.empty((X.shape[0], layers[-1].W.shape[1]), dtype=dtype)

            def of_block(part: slice) -> None:
                block = X[part]
                with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dealt with below
                    logits = forward(layers, block.astype(dtype, copy=False), self.activation)[1]
                # Activations hide an infinity; a GPU is not waited for to see it.
                z[part] = logits if block.dtype.kind in "iub" else xp.where(all_finite(block), logits, np.nan)

            widest = max(elements_in_a_row(X), *(len(layer.b) for layer in layers)) * dtype.itemsize
            map_row_blocks(of_block, X, NETWORK, row_bytes=widest)
            finite = xp.isfinite(z).all(axis=1)
            if not bool(finite.all()):
                self._refuse_not_finite(X)
                self._refuse_overflow(X, int(finite.argmin()))
        return z[:, 0] if z.shape[1] == 1 else z

    def _target(self) -> Target:
        return known_target(self)
