"""Labels of any number of classes to the numbers of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import label_array, numbers_among, of_one_type, shown
from gpu_logreg.estimators.labels import refuse_continuous

__all__ = ["encode_classes", "sorted_classes"]

_SHOWN = 4


def sorted_classes(labels: Any, name: str = "y") -> Any:
    """The classes among ``labels``, sorted, on the host; at least two.

    Raises
    ------
    DataError
        If there is one class only, or a label is missing.
    ValueError
        From scikit-learn, if ``labels`` is no set of labels (a continuous target, for one).
    """
    labels = to_numpy(label_array(labels, name))
    typed = of_one_type(labels)
    refuse_continuous(typed)
    classes = np.unique(typed).astype(labels.dtype)
    if len(classes) < 2:
        raise DataError(f"{name} holds only one class: {_some(classes)}; at least 2 classes are needed")
    return classes


def encode_classes(y: Any, classes: Any) -> Any:
    """Number of the class of every row: ``uint8`` zeros and ones for two classes, ``int32`` for more.

    Parameters
    ----------
    y : array of shape (n,)
    classes : ndarray of shape (K,)
        Sorted.

    Returns
    -------
    ndarray of shape (n,), on the host

    Raises
    ------
    DataError
        If ``y`` holds a label that is not among the classes.
    """
    y = of_one_type(to_numpy(label_array(y)))
    refuse_continuous(y)
    numbers, strange = numbers_among(y, of_one_type(classes))
    if strange.any():
        raise DataError(
            f"y holds {_some(np.unique(y[strange]))}, which is not among the classes {_some(classes)}; "
            "give all classes to the first call: partial_fit(X, y, classes=...)"
        )
    return numbers.astype(np.uint8 if len(classes) == 2 else np.int32)


def _some(labels: Any) -> str:
    return ", ".join(map(shown, labels[:_SHOWN])) + (", ..." if len(labels) > _SHOWN else "")
