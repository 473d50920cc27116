"""Networks on columns in any units: trained on standardised columns, with weights for the raw ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.checkpoint import Checkpoint
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.extremes import too_large
from gpu_logreg.rows.scaled_rows import centre_and_scale_of_blocks
from gpu_logreg.rows.scaling import centre_scale_and_width, scale_columns

__all__ = ["fit_on_standardised", "fit_on_standardised_stream", "fold_into_weights", "scale_to_use"]


def fit_on_standardised(
    model: MLPClassifier,
    X: Any,
    y: NDArray[Any],
    sample_weight: NDArray[np.float64] | None = None,
    checkpoint: Checkpoint | None = None,
    validation: tuple[Any, NDArray[Any]] | None = None,
) -> MLPClassifier:
    """Fit a network on ``u = (x - centre) / scale`` and fold that map into its first layer, so that it takes ``x``.

    A learning rate is one number for all weights, which suits columns of one scale: with a column in dollars beside
    one in years, no rate trains both weights. As ``z_1 = u @ W + b`` in the first layer,
    ``z_1 = x @ (W / scale) + (b - (centre / scale) @ W)``.

    A column that every row stores, as all columns of dense rows are, is centred at its mean, and ``scale`` is its
    standard deviation. Another column of sparse rows is not centred, since that would fill its zeros: ``centre = 0``
    and ``scale**2 = sum_i x_i**2 / n``, the mean square. Divided by its standard deviation instead, a column whose
    elements are almost constant would become huge.

    Parameters
    ----------
    model : MLPClassifier
    X : ndarray or csr_array of shape (n, d)
        Stays as it is; the standardised rows are a copy.
    y : array of shape (n,)
    sample_weight : array of shape (n,) or None
        Weights in the loss. The means and scales of the columns are those of the rows without weights.
    checkpoint : Checkpoint or None
    validation : (X, y) or None
        Rows to stop by.

    Returns
    -------
    MLPClassifier
        ``model``, fitted.

    Raises
    ------
    DataError
        From the fit; or a column that varies by so little that ``W / scale`` would overflow.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        centre, scale, width = centre_scale_and_width(X)
    usable = scale_to_use(centre, scale, width, compute_dtype(X.dtype))
    if usable is None:
        model.fit(X, y, sample_weight)  # raises an error that names the value that is not finite, or too large
        return model
    scale = usable
    more: dict[str, Any] = {"checkpoint": checkpoint}
    if validation is not None:
        more |= {"X_val": scale_columns(validation[0], centre, scale), "y_val": validation[1]}
    model.fit(scale_columns(X, centre, scale), y, sample_weight, **more)
    fold_into_weights(model, centre, scale)
    return model


def fit_on_standardised_stream(
    model: MLPClassifier,
    stream: Stream,
    checkpoint: Checkpoint | None = None,
    validation: tuple[Any, NDArray[Any]] | None = None,
) -> MLPClassifier:
    """As `fit_on_standardised`, of rows that are streamed; two reads find the means and the deviations."""
    with np.errstate(invalid="ignore", over="ignore"):
        centre, scale, width = centre_and_scale_of_blocks(stream.opened.store)
    usable = scale_to_use(centre, scale, width, compute_dtype(stream.dtype))
    if usable is None:
        model.fit(stream)  # raises an error that names the value that is not finite, or too large
        return model
    more: dict[str, Any] = {"checkpoint": checkpoint}
    if validation is not None:
        more |= {"X_val": scale_columns(validation[0], centre, usable), "y_val": validation[1]}
    scaled = stream.scaled(centre, usable)
    model.fit(scaled, **more)
    stream.opened.store.bytes_read += scaled.bytes_read_
    fold_into_weights(model, centre, usable)
    return model


def scale_to_use(
    centre: NDArray[np.float64], scale: NDArray[np.float64], width: NDArray[np.float64], dtype: np.dtype[Any]
) -> NDArray[np.float64] | None:
    """The scale with 1 for columns that are constant; None where values are not finite, or too large.

    Raises
    ------
    DataError
        A column that varies by so little that ``W / scale`` would overflow.
    """
    limit = too_large(dtype)
    if not (np.isfinite(centre).all() and (scale <= limit).all()):
        return None
    narrow = np.flatnonzero((width > 0.0) & (scale < 1.0 / limit))
    if len(narrow):
        raise DataError(f"column {narrow[0]} of X varies by {width[narrow[0]]:.1g} only; give it in smaller units")
    # The mean of a constant column is rounded, so its deviation may be tiny and not 0.
    return np.where(width == 0.0, 1.0, scale)


def fold_into_weights(model: Any, centre: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
    """Fold ``u = (x - centre) / scale`` into the first layer of a network that was fitted on ``u``."""
    W = model.coefs_[0].astype(np.float64) / scale[:, None]
    b = model.intercepts_[0] - centre @ W
    model.coefs_[0], model.intercepts_[0] = W.astype(model.coefs_[0].dtype), b.astype(model.intercepts_[0].dtype)
