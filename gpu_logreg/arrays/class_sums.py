"""Sums of weights by class, the same bits in every run on any hardware."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import array_namespace, to_numpy

__all__ = ["sums_by_class", "sums_of_two_classes"]

_NO_DIGITS = 1e-9
"""Share of the total below which the difference of two sums of weights has lost most of its digits to rounding."""


def sums_by_class(labels: Any, weights: Any, n_classes: int) -> NDArray[np.float64]:
    """Sum of the weights of every class, float64 of shape (n_classes,) in host memory.

    CuPy's ``bincount`` adds by atomics in an order that differs from run to run. That does not change counts, but would
    change the last bits of sums of weights, so these take one pass over the labels for every class.

    Parameters
    ----------
    labels : integer array of shape (n,)
        Number of the class of every row.
    weights : array of shape (n,) or None
        Where ``labels`` live.
    n_classes : int

    Examples
    --------
    >>> sums_by_class(np.array([0, 2, 2]), np.array([0.5, 1.0, 2.0]), 3)
    array([0.5, 0. , 3. ])
    """
    xp = array_namespace(labels)
    if xp is np or weights is None:
        return np.asarray(to_numpy(xp.bincount(labels, weights, minlength=n_classes)), dtype=np.float64)
    sums = [xp.where(labels == k, weights, 0).sum(dtype=np.float64) for k in range(n_classes)]
    return np.asarray(to_numpy(xp.stack(sums)))


def sums_of_two_classes(labels: Any, weights: Any, total: float) -> NDArray[np.float64]:
    """As `sums_by_class`, of ``uint8`` zeros and ones: from the sum of one class and the total.

    The difference of the two may be rounding where the other class has no weight: it is added by itself then.

    Parameters
    ----------
    labels : uint8 array of shape (n,)
    weights : array of shape (n,) or None
    total : float
        Sum of the weights of all rows.

    Examples
    --------
    >>> sums_of_two_classes(np.array([0, 1, 1], np.uint8), np.array([0.5, 1.0, 2.0]), 3.5)
    array([0.5, 3. ])
    """
    if weights is None:
        second = float(labels.sum(dtype=np.int64))
        return np.array([total - second, second])
    second = float(weights[labels.view(np.bool_)].sum(dtype=np.float64))
    first = total - second
    if first < _NO_DIGITS * total:
        first = float(weights[labels == 0].sum(dtype=np.float64))
    return np.array([first, second])
