"""Training on the columns that rows store something of, where these are few of millions; the others weigh nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.csr import columns_at
from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.command.scaling import fit_on_standardised
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier

__all__ = ["fit_on_used_columns"]

_MANY_COLUMNS = 2**16
"""Columns from which those without an element are left out of the fit, where they are half of all or more."""


def fit_on_used_columns(
    model: LogisticRegression | MLPClassifier, X: Any, y: Any, sample_weight: Any = None
) -> LogisticRegression | MLPClassifier:
    """Fit a model from a file, as if the columns of sparse rows that hold no element were not there.

    In the objective of a linear model such a column occurs in the penalty alone, and its weight begins at zero: there
    it stays with every solver, so that the model is the same. A network draws the weights of such a column at random
    and learns nothing of them; here they are zero, and what the column holds in new rows is ignored.

    Hashed features have 2^24 columns, of which a solver otherwise keeps dozens of vectors.

    Parameters
    ----------
    model : LogisticRegression or MLPClassifier
    X : ndarray or csr_array of shape (n, d)
    y : array of shape (n,)
    sample_weight : array of shape (n,) or None

    Returns
    -------
    LogisticRegression or MLPClassifier
        ``model``, fitted, with d columns.
    """
    used = _used(X) if is_sparse(X) and X.shape[1] >= _MANY_COLUMNS else None
    if used is None or not 0 < 2 * len(used) <= X.shape[1]:
        _fit(model, X, y, sample_weight)
        return model
    d = X.shape[1]
    _fit(model, columns_at(X, used), y, sample_weight)
    if isinstance(model, MLPClassifier):
        W = model.coefs_[0]
        model.coefs_[0] = np.zeros((d, W.shape[1]), dtype=W.dtype)
        model.coefs_[0][used] = W
    else:
        coef = model.coef_
        model.coef_ = np.zeros((len(coef), d), dtype=coef.dtype)
        model.coef_[:, used] = coef
    model.n_features_in_ = d
    return model


def _fit(model: LogisticRegression | MLPClassifier, X: Any, y: Any, sample_weight: Any) -> None:
    if isinstance(model, MLPClassifier):
        fit_on_standardised(model, X, y, sample_weight)
    else:
        model.fit(X, y, sample_weight)


def _used(X: Any) -> Any:
    """Numbers of the columns that have an element."""
    is_used = np.zeros(X.shape[1], dtype=bool)
    is_used[X.indices] = True
    return np.flatnonzero(is_used)
