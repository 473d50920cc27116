"""The number of the class of each row, among classes that are known beforehand, as in ``partial_fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import label_array, label_text, numbers_among, of_one_type
from gpu_logreg.estimators.labels import refuse_continuous
from gpu_logreg.files.column_names import list_first
from gpu_logreg.mathematics.losses import loss_of_classes

__all__ = ["encode_classes", "sorted_classes"]

_SHOWN_LABELS = 4
"""Labels that a message lists, so that it stays one line."""


def sorted_classes(labels: Any, name: str = "y") -> NDArray[Any]:
    """The classes among ``labels``, sorted, in host memory; at least two.

    Raises
    ------
    DataError
        If there is one class only, or a label is missing.
    ValueError
        From scikit-learn, if the values cannot be classes, such as numbers that are not whole.
    """
    labels = to_numpy(label_array(labels, name))
    typed = of_one_type(labels)
    refuse_continuous(typed)
    classes = np.unique(typed).astype(labels.dtype)
    if len(classes) < 2:
        raise DataError(f"{name} holds only one class: {_list_labels(classes)}; at least 2 classes are needed")
    return classes


def encode_classes(y: Any, classes: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """Number of the class of every row: ``uint8`` zeros and ones for two classes, ``int32`` for more.

    Parameters
    ----------
    y : array of shape (n,)
    classes : ndarray of shape (K,)
        Sorted.

    Returns
    -------
    ndarray of shape (n,), in host memory

    Raises
    ------
    DataError
        If ``y`` holds a label that is not among the classes.
    """
    y = of_one_type(to_numpy(label_array(y)))
    refuse_continuous(y)
    numbers, is_unknown = numbers_among(y, of_one_type(classes))
    if is_unknown.any():
        raise DataError(
            f"y holds {_list_labels(np.unique(y[is_unknown]))}, which is not among the classes "
            f"{_list_labels(classes)}; give all classes to the first call: partial_fit(X, y, classes=...)"
        )
    return numbers.astype(loss_of_classes(len(classes)).label_dtype)


def _list_labels(labels: NDArray[Any]) -> str:
    """The first `_SHOWN_LABELS` labels, as messages list them."""
    return list_first(labels, _SHOWN_LABELS, label_text)
