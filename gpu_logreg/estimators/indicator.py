"""Rows of several labels: a matrix of zeros and ones, a column for every label."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.errors import DataError

__all__ = ["holds_labels", "label_indicator"]


def holds_labels(y: Any) -> bool:
    """Whether ``y`` has a column for every label. One column alone means a vector of labels, as in scikit-learn."""
    return bool(y.ndim == 2 and y.shape[1] > 1)


def label_indicator(y: Any) -> Any:
    """Zeros and ones of any type as ``uint8`` in C order, in the memory that holds ``y``.

    Parameters
    ----------
    y : array of shape (n, L)
        Numbers, booleans, or Python objects that are numbers or booleans.

    Raises
    ------
    DataError
        One line that names the first value that is neither 0 nor 1.
    """
    xp = array_namespace(y)
    if y.dtype.kind not in "biufO":
        raise DataError(f"y of shape {y.shape} holds {y.dtype} values; an indicator of labels holds zeros and ones")
    original = y
    if y.dtype.kind == "O":
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"y of shape {y.shape} holds what is no number ({error}); an indicator of labels holds zeros and ones"
            ) from error
    is_one = y == 1
    is_wrong = ~(is_one | (y == 0))
    if bool(is_wrong.any()):
        row, label = divmod(int(is_wrong.argmax()), y.shape[1])
        raise DataError(
            f"y of shape {y.shape} holds {original[row, label]} at row {row}, column {label}; "
            "an indicator of labels holds zeros and ones"
        )
    return xp.ascontiguousarray(is_one).view(np.uint8)
