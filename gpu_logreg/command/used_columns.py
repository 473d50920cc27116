"""Training on the columns of sparse rows that hold an element, where millions of others hold none and get weight 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.csr import columns_at, columns_with_elements
from gpu_logreg.command.report import Estimator
from gpu_logreg.command.scaling import fit_on_standardised
from gpu_logreg.estimators.checkpoint import Checkpoint
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.estimators.network.model import MLPClassifier

__all__ = ["fit_on_used_columns"]

_MANY_COLUMNS = 2**16
"""Least number of columns for which empty columns are left out of the fit, provided that half of all or more are empty.

Below, a vector of a solver takes less than 0.5 MiB, and a copy of the rows without these columns would save little. The
number is a round one, not a measurement.
"""


def fit_on_used_columns(
    model: Estimator,
    X: Any,
    y: NDArray[Any],
    sample_weight: NDArray[np.float64] | None = None,
    checkpoint: Checkpoint | None = None,
    validation: tuple[Any, NDArray[Any]] | None = None,
) -> Estimator:
    """Fit a model from a file, as if the columns of sparse rows that hold no element were not there.

    In the objective of a linear model such a column occurs in the penalty alone and its weight starts at zero, so the
    weight stays zero with every solver and the model is the same. A network draws the weights of such a column at
    random and no step changes them but the penalty; here they are zero, and new rows with an element there are treated
    as if they had none.

    Hashed features have 2^24 columns, and a solver keeps dozens of vectors of that length.

    Parameters
    ----------
    model : LogisticRegression, LogisticRegressionCV or MLPClassifier
    X : ndarray or csr_array of shape (n, d)
    y : array of shape (n,)
    sample_weight : array of shape (n,) or None
    checkpoint : Checkpoint or None
    validation : (X, y) or None
        Rows that a network stops by.

    Returns
    -------
    LogisticRegression, LogisticRegressionCV or MLPClassifier
        ``model``, fitted, with d columns; without ``coefs_paths_``, which would hold as many zeros for every fit.
    """
    columns = columns_with_elements(X) if X.shape[1] >= _MANY_COLUMNS else None
    if columns is None or not 0 < 2 * len(columns) <= X.shape[1]:
        _fit(model, X, y, sample_weight, checkpoint, validation)
        return model
    d = X.shape[1]
    if validation is not None:
        validation = columns_at(validation[0], columns), validation[1]
    _fit(model, columns_at(X, columns), y, sample_weight, checkpoint, validation)
    if isinstance(model, MLPClassifier):
        W = model.coefs_[0]
        model.coefs_[0] = np.zeros((d, W.shape[1]), dtype=W.dtype)
        model.coefs_[0][columns] = W
    else:
        coef = model.coef_
        model.coef_ = np.zeros((len(coef), d), dtype=coef.dtype)
        model.coef_[:, columns] = coef
        model.__dict__.pop("coefs_paths_", None)
    model.n_features_in_ = d
    return model


def _fit(
    model: Estimator,
    X: Any,
    y: NDArray[Any],
    sample_weight: NDArray[np.float64] | None,
    checkpoint: Checkpoint | None,
    validation: tuple[Any, NDArray[Any]] | None,
) -> None:
    if isinstance(model, MLPClassifier):
        fit_on_standardised(model, X, y, sample_weight, checkpoint, validation)
    elif isinstance(model, LogisticRegressionCV):
        model.fit(X, y, sample_weight)
    else:
        model.fit(X, y, sample_weight, checkpoint=checkpoint)
