"""Labels of any type to zeros and ones, and class weights to row weights, without arrays wider than they need be."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import holds_text, is_whole, label_array, of_one_type, shown

__all__ = ["class_weighted", "encode_labels", "refuse_continuous", "sums_by_class"]


_INT64 = 2.0**63


def encode_labels(y: Any) -> tuple[Any, Any]:
    """The classes in sorted order, and for each row the number of its class.

    Parameters
    ----------
    y : array of shape (n,)
        Numbers, booleans, strings or objects, in host memory or on a GPU.

    Returns
    -------
    classes : ndarray of shape (K,)
        On the host, dtype of ``y``.
    labels : array of shape (n,)
        Where ``y`` lives: ``uint8`` zeros and ones for two classes, ``int32`` for more.

    Raises
    ------
    DataError
        If there is one class only, a label is missing, or labels are of several types.
    ValueError
        From scikit-learn, if ``y`` is no set of labels (a continuous target, for one).
    """
    y = label_array(y)
    typed = of_one_type(y)
    found = _two_values(typed)
    if found is not None:
        return found[0].astype(y.dtype), found[1]
    xp = array_namespace(typed)
    if xp is np:
        refuse_continuous(typed)
    there = xp.unique(typed)  # labels on a GPU stay there; only the classes come to the host
    classes = to_numpy(there)
    if xp is not np:
        refuse_continuous(np.repeat(classes, 2))  # twice: many classes of one row each are remarked on
    if len(classes) == 1:
        raise DataError(
            "This solver needs samples of at least 2 classes in the data, "
            f"but the data contains only one class: {shown(classes[0])}"
        )
    labels = xp.searchsorted(there, typed).astype(np.uint8 if len(classes) == 2 else np.int32)
    return classes.astype(y.dtype), labels


def refuse_continuous(y: Any) -> None:
    """Raise scikit-learn's error of a target that is no set of labels; ``y`` is from `of_one_type`."""
    beyond = y.dtype.kind == "f" and bool((np.abs(y.astype(np.float64)) >= _INT64).any())
    if (beyond and is_whole(y)) or (y.dtype.kind == "O" and not holds_text(y)):
        return  # whole numbers beyond 64 bits, which scikit-learn does not know
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)


def _two_values(y: Any) -> tuple[Any, Any] | None:
    """The common case in three light walks over ``y``; None where the general way must decide."""
    if y.shape[0] == 0 or y.dtype.kind not in "biufSU":
        return None
    differs = y != y[0]
    if not bool(differs.any()):
        return None
    first, other = y[:1], y[int(differs.argmax()) :][:1]
    is_other = y == other[0]
    if not bool((is_other == differs).all()):
        return None
    values = np.concatenate([to_numpy(first), to_numpy(other)])
    if not is_whole(values):
        return None
    order = np.argsort(values)
    is_second = is_other if order[1] == 1 else ~is_other
    return values[order], is_second.view(np.uint8)


def class_weighted(class_weight: Any, classes: Any, labels: Any, sample_weight: Any) -> Any:
    """Row weights times the weights of their classes.

    ``"balanced"`` gives class k of K the weight ``sum(s) / (K sum(s of class k))``, so that row weights still count as
    repetitions.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    classes : ndarray of shape (K,)
    labels : integer array of shape (n,)
        From `encode_labels`.
    sample_weight : array of shape (n,) or None

    Returns
    -------
    array of shape (n,) or None
        None where every row weighs 1.
    """
    if class_weight is None:
        return sample_weight
    xp = array_namespace(labels)
    if isinstance(class_weight, str):  # "balanced"
        sums = sums_by_class(labels, sample_weight, len(classes))
        if np.count_nonzero(sums) < 2:
            return sample_weight  # one class only, which is refused elsewhere
        weights = sums.sum() / (len(classes) * np.where(sums > 0.0, sums, np.inf))
    else:
        from sklearn.utils.class_weight import compute_class_weight

        weights = compute_class_weight(class_weight, classes=classes, y=classes)
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise DataError(f"class_weight={class_weight!r} holds a weight that is negative or not finite")
    by_row = xp.asarray(np.asarray(weights, dtype=np.float64))[labels]
    return by_row if sample_weight is None else by_row * sample_weight


def sums_by_class(labels: Any, weights: Any, n_classes: int) -> Any:
    """Sum of the weights of every class, on the host, from one copy of ``n_classes`` numbers.

    CuPy's own sums by class are by atomics, in an order of its own, which for whole numbers makes no difference. Those
    of weights take a walk for every class.
    """
    xp = array_namespace(labels)
    if xp is np or weights is None:
        return to_numpy(xp.bincount(labels, weights, minlength=n_classes)).astype(np.float64)
    return to_numpy(xp.stack([xp.where(labels == k, weights, 0).sum(dtype=np.float64) for k in range(n_classes)]))
