"""Least and largest value of every column among the rows of every class; one read."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import INFORMATION
from gpu_logreg.arrays.blocks import row_blocks
from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Float64Matrix
from gpu_logreg.rows.streamed import Dataset

__all__ = ["column_extremes"]


def column_extremes(data: Dataset, n_classes: int) -> tuple[Float64Matrix, Float64Matrix]:
    """Of the rows of positive weight; ``inf`` and ``-inf`` of a class without rows.

    Parameters
    ----------
    data : Dataset
    n_classes : int

    Returns
    -------
    least, largest : ndarrays of shape (K, d)

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> from gpu_logreg.rows.resident import ResidentDataset
    >>> X, y = np.array([[1.0], [4.0], [2.0], [9.0]]), np.array([0, 0, 1, 1])
    >>> least, largest = column_extremes(ResidentDataset.from_arrays(X, y, None, Device("cpu")), 2)
    >>> least.ravel(), largest.ravel()
    (array([1., 2.]), array([4., 9.]))
    """
    d = data.n_columns
    least, largest = np.full((n_classes, d), np.inf), np.full((n_classes, d), -np.inf)
    for block in data.blocks():
        X, y, s = block.rows
        y = y if y.ndim == 1 else y[:, 0]  # without the offsets beside them
        for part in row_blocks(block.n_rows, 8 * max(1, d), block.block_bytes(INFORMATION)):
            rows, labels = rows_at(X, part, np.float64), y[part]
            xp = array_namespace(rows)
            for k in range(n_classes):
                chosen = labels == k if s is None else (labels == k) & (s[part] > 0)
                of_class = rows[xp.asarray(chosen)]
                if len(of_class):
                    least[k] = np.minimum(least[k], to_numpy(of_class.min(axis=0)))
                    largest[k] = np.maximum(largest[k], to_numpy(of_class.max(axis=0)))
    return least, largest
