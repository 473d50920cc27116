"""Networks on the columns of a table, whatever their units: trained on standardised columns, kept for the raw ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.extremes import too_large

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

    Raises
    ------
    DataError
        As of the fit, and a column that varies by so little that its weights would be beyond the arithmetic.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        centre, scale, width = _centre_scale_and_width(X)
    limit = too_large(compute_dtype(X.dtype))
    if not (np.isfinite(centre).all() and (scale <= limit).all()):
        model.fit(X, y, sample_weight)  # which names the value that is not finite, or too large
        return model
    narrow = np.flatnonzero((width > 0.0) & (scale < 1.0 / limit))
    if len(narrow):
        raise DataError(f"column {narrow[0]} of X varies by {width[narrow[0]]:.1g} only; give it in smaller units")
    scale[width == 0.0] = 1.0  # of a constant column the deviation may be that of its rounded mean
    model.fit(_standardised(X, centre, scale), y, sample_weight)
    W = model.coefs_[0].astype(np.float64) / scale[:, None]
    b = model.intercepts_[0] - centre @ W
    model.coefs_[0], model.intercepts_[0] = W.astype(model.coefs_[0].dtype), b.astype(model.intercepts_[0].dtype)
    return model


def _centre_scale_and_width(X: Any) -> tuple[Any, Any, Any]:
    """Of every column; ``width`` is 0 exactly where it is constant, of sparse columns where they hold nothing."""
    if not is_sparse(X):
        width = X.max(axis=0).astype(np.float64) - X.min(axis=0)
        return X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64), width
    n, d = X.shape
    full = np.bincount(X.indices, minlength=d) == n  # rows name no column twice
    centre = np.where(full, np.bincount(X.indices, X.data, d) / n, 0.0)
    off = X.data - centre[X.indices]
    squares, width = np.bincount(X.indices, off**2, d), np.zeros(d)
    np.maximum.at(width, X.indices, np.abs(off))
    return centre, np.sqrt(squares / n), width


def _standardised(X: Any, centre: Any, scale: Any) -> Any:
    if not is_sparse(X):
        return ((X - centre) / scale).astype(X.dtype, copy=False)
    data = ((X.data - centre[X.indices]) / scale[X.indices]).astype(X.dtype, copy=False)
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
