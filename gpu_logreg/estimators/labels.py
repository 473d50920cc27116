"""Labels to what an estimator learns: numbers of classes or zeros and ones of labels; and weights by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.class_sums import sums_by_class
from gpu_logreg.arrays.device import array_namespace, in_host_memory, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.label_types import holds_text, is_whole, label_array, label_text, numbers_among, of_one_type
from gpu_logreg.files.column_names import list_first
from gpu_logreg.mathematics.losses import loss_of_classes

__all__ = [
    "class_weighted",
    "encode_classes",
    "encode_labels",
    "holds_labels",
    "label_indicator",
    "refuse_continuous",
    "sorted_classes",
    "two_classes",
    "weights_by_class",
]


_INT64 = 2.0**63
"""Size from which a whole number does not fit into int64."""

_SHOWN_LABELS = 4
"""Labels that a message lists, so that it stays one line."""


def encode_labels(y: Any) -> tuple[NDArray[Any], Any]:
    """The classes, sorted, and for each row the number of its class.

    Parameters
    ----------
    y : array of shape (n,)
        Numbers, booleans, strings or Python objects, in host memory or on a GPU.

    Returns
    -------
    classes : ndarray of shape (K,)
        In host memory, with the dtype of ``y``.
    labels : array of shape (n,)
        In the memory that holds ``y``: ``uint8`` zeros and ones for two classes, ``int32`` for more.

    Raises
    ------
    DataError
        If there is one class only, a label is missing, or labels are of several types.
    ValueError
        From scikit-learn, if the values cannot be classes, such as numbers that are not whole.
    """
    y = label_array(y)
    typed = of_one_type(y)
    two = two_classes(typed)
    if two is not None:
        return two[0].astype(y.dtype), two[1]
    xp = array_namespace(typed)
    on_host, are_classes = in_host_memory(typed), typed.dtype.kind in "iubU"
    if on_host and not are_classes:
        refuse_continuous(typed)
    device_classes = xp.unique(typed)  # labels on a GPU stay there; only the classes are copied to the host
    classes = to_numpy(device_classes)
    if on_host and are_classes and 2 * len(classes) >= len(typed):
        refuse_continuous(typed)  # scikit-learn warns where most labels occur once; of others it would look in vain
    if not on_host:
        # Each class twice: scikit-learn warns where most labels occur once.
        refuse_continuous(np.repeat(classes, 2))
    if len(classes) == 1:
        raise DataError(
            "This solver needs samples of at least 2 classes in the data, "
            f"but the data contains only one class: {label_text(classes[0])}"
        )
    labels = xp.searchsorted(device_classes, typed).astype(loss_of_classes(len(classes)).label_dtype)
    return classes.astype(y.dtype), labels


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
    y, known = of_one_type(to_numpy(label_array(y))), of_one_type(classes)
    two = two_classes(y) if len(known) == 2 and y.dtype == known.dtype else None
    if two is not None and bool((two[0] == known).all()):
        return np.asarray(two[1])
    refuse_continuous(y)
    numbers, is_unknown = numbers_among(y, known)
    if is_unknown.any():
        raise DataError(
            f"y holds {_list_labels(np.unique(y[is_unknown]))}, which is not among the classes "
            f"{_list_labels(classes)}; give all classes to the first call: partial_fit(X, y, classes=...)"
        )
    return numbers.astype(loss_of_classes(len(classes)).label_dtype)


def _list_labels(labels: NDArray[Any]) -> str:
    """The first `_SHOWN_LABELS` labels, as messages list them."""
    return list_first(labels, _SHOWN_LABELS, label_text)


def refuse_continuous(y: Any) -> None:
    """Raise scikit-learn's error for a continuous target; ``y`` is from `of_one_type`."""
    exceeds_int64 = y.dtype.kind == "f" and bool((np.abs(y.astype(np.float64)) >= _INT64).any())
    if (exceeds_int64 and is_whole(y)) or (y.dtype.kind == "O" and not holds_text(y)):
        return  # scikit-learn's check fails on whole numbers beyond 64 bits, which are classes here
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)


def two_classes(y: Any) -> tuple[NDArray[Any], Any] | None:
    """Classes and class numbers of labels with two values, without sorting them; None for other labels.

    Three comparisons of all labels take less time than `numpy.unique`, which sorts.
    """
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

    ``"balanced"`` gives class k of K the weight ``sum(s) / (K sum(s of class k))``, so that a row of weight 2 still
    equals a row written twice.

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
    sums = sums_by_class(labels, sample_weight, len(classes)) if isinstance(class_weight, str) else None
    weights = weights_by_class(class_weight, classes, sums)
    if weights is None:
        return sample_weight
    by_row = array_namespace(labels).asarray(weights)[labels]
    return by_row if sample_weight is None else by_row * sample_weight


def weights_by_class(class_weight: Any, classes: Any, sums: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """The weights of the classes that `class_weighted` multiplies those of the rows by; None where all are 1.

    Parameters
    ----------
    class_weight : dict or "balanced"
    classes : ndarray of shape (K,)
    sums : ndarray of shape (K,) or None
        Weights of the rows by class, for ``"balanced"``.
    """
    if isinstance(class_weight, str):  # "balanced"
        assert sums is not None
        if np.count_nonzero(sums) < 2:
            return None  # one class has all the weight; the estimator refuses that with its own message
        return np.asarray(sums.sum() / (len(classes) * np.where(sums > 0.0, sums, np.inf)), dtype=np.float64)
    from sklearn.utils.class_weight import compute_class_weight

    weights = compute_class_weight(class_weight, classes=classes, y=classes)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise DataError(f"class_weight={class_weight!r} holds a weight that is negative or not finite")
    return np.asarray(weights, dtype=np.float64)


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
