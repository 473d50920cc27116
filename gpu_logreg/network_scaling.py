"""Networks on the columns of a table, whatever their units: trained on standardised columns, kept for the raw ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.backend import is_sparse
from gpu_logreg.neural_network import MLPClassifier

__all__ = ["fit_on_standardised"]


def fit_on_standardised(model: MLPClassifier, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
    """Fit a network on ``u = (x - centre) / scale`` and fold that into its first layer, so that it takes ``x``.

    Steps of one size for all weights suit columns of one scale: dollars beside years leave a network where it began.
    With ``z_1 = u @ W + b`` of the first layer, ``z_1 = x @ (W / scale) + (b - (centre / scale) @ W)``.

    Columns that every row stores, as all dense ones are, are centred at their mean, and ``scale`` is their standard
    deviation. Other columns of sparse rows are not centred, as that would leave no zeros: ``centre = 0``, and
    ``scale**2 = sum_i x_i**2 / n``, the deviation from there. Over that from the mean, a column that hardly varies
    would become huge.

    Parameters
    ----------
    model : MLPClassifier
    X : ndarray or csr_array of shape (n, d)
        Not changed; copied once.
    y : array of shape (n,)
    sample_weight : array of shape (n,) or None
        Of the fit; the columns are standardised without it.

    Returns
    -------
    MLPClassifier
        ``model``, fitted.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        centre, scale = _centre_and_scale(X)
    if not (np.isfinite(centre).all() and np.isfinite(scale).all()):
        model.fit(X, y, sample_weight)  # which names the value that is not finite
        return model
    scale[scale == 0.0] = 1.0
    model.fit(_standardised(X, centre, scale), y, sample_weight)
    W = model.coefs_[0].astype(np.float64) / scale[:, None]
    b = model.intercepts_[0] - centre @ W
    model.coefs_[0], model.intercepts_[0] = W.astype(model.coefs_[0].dtype), b.astype(model.intercepts_[0].dtype)
    return model


def _centre_and_scale(X: Any) -> tuple[Any, Any]:
    if not is_sparse(X):
        return X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    n, d = X.shape
    full = np.bincount(X.indices, minlength=d) == n  # rows name no column twice
    centre = np.where(full, np.bincount(X.indices, X.data, d) / n, 0.0)
    squares = np.bincount(X.indices, (X.data - centre[X.indices]) ** 2, d)
    return centre, np.sqrt(squares / n)


def _standardised(X: Any, centre: Any, scale: Any) -> Any:
    if not is_sparse(X):
        return ((X - centre) / scale).astype(X.dtype, copy=False)
    data = ((X.data - centre[X.indices]) / scale[X.indices]).astype(X.dtype, copy=False)
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
