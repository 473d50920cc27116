"""Sums of weights by class, the same bits in every run on any hardware."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.device import array_namespace, to_numpy

__all__ = ["sums_by_class"]


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
