"""Networks on the columns of a table, whatever their units: trained on standardised columns, kept for the raw ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.neural_network import MLPClassifier

__all__ = ["fit_on_standardised"]


def fit_on_standardised(model: MLPClassifier, X: Any, y: Any) -> MLPClassifier:
    """Fit a network on ``u = (x - mean) / scale`` and fold that into its first layer, so that it takes ``x``.

    Steps of one size for all weights suit columns of one scale: dollars beside years leave a network where it began.
    With ``z_1 = u @ W + b`` of the first layer, ``z_1 = x @ (W / scale) + (b - (mean / scale) @ W)``.

    Parameters
    ----------
    model : MLPClassifier
    X : ndarray of shape (n, d)
        Not changed; copied once.
    y : array of shape (n,)

    Returns
    -------
    MLPClassifier
        ``model``, fitted.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        model.fit(X, y)  # which names the value that is not finite
        return model
    scale[scale == 0.0] = 1.0
    model.fit(((X - mean) / scale).astype(X.dtype, copy=False), y)
    W = model.coefs_[0].astype(np.float64) / scale[:, None]
    b = model.intercepts_[0] - mean @ W
    model.coefs_[0], model.intercepts_[0] = W.astype(model.coefs_[0].dtype), b.astype(model.intercepts_[0].dtype)
    return model
