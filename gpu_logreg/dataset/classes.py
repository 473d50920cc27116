"""Labels of any number of classes to the numbers of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from gpu_logreg.backend import to_numpy
from gpu_logreg.dataset.labels import refuse_missing_labels
from gpu_logreg.errors import DataError

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
    labels = to_numpy(labels)
    refuse_missing_labels(labels)
    check_classification_targets(labels)
    classes = np.unique(labels)
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
    y = to_numpy(y)
    refuse_missing_labels(y)
    check_classification_targets(y)
    strange = np.setdiff1d(y, classes)
    if len(strange):
        raise DataError(
            f"y holds {_some(strange)}, which is not among the classes {_some(classes)}; "
            "give all classes to the first call: partial_fit(X, y, classes=...)"
        )
    return np.searchsorted(classes, y).astype(np.uint8 if len(classes) == 2 else np.int32)


def _some(labels: Any) -> str:
    shown = [repr(label.item() if hasattr(label, "item") else label) for label in labels[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(labels) > _SHOWN else "")
