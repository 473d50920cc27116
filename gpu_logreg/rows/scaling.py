"""Columns brought to mean 0 and deviation 1 for a network that is trained on a file; a sparse matrix stays sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.rows.block import compute_dtype

__all__ = ["centre_scale_and_width", "scale_columns"]


def centre_scale_and_width(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Three vectors of shape (d,): ``centre``, ``scale``, and ``width``, 0 exactly where ``u`` is to be 0 or constant.

    ``width`` is the largest minus the smallest value of a dense column, and the largest distance of an element of a
    sparse column from ``centre``.
    """
    if not is_sparse(X):
        width = X.max(axis=0).astype(np.float64) - X.min(axis=0)
        return X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64), width
    n, d = X.shape
    is_full = np.bincount(X.indices, minlength=d) == n  # a canonical CSR row has no column twice
    centre = np.where(is_full, np.bincount(X.indices, X.data, d) / n, 0.0)
    deviation = X.data - centre[X.indices]
    squares, width = np.bincount(X.indices, deviation**2, d), np.zeros(d)
    np.maximum.at(width, X.indices, np.abs(deviation))
    return centre, np.sqrt(squares / n), width


def scale_columns(X: Any, centre: NDArray[np.float64], scale: NDArray[np.float64]) -> Any:
    """``(x - centre) / scale`` of every element that is stored, in the dtype of ``X``; whole numbers become floats."""
    dtype = compute_dtype(X.dtype) if X.dtype.kind in "iub" else X.dtype
    if not is_sparse(X):
        return ((X - centre) / scale).astype(dtype, copy=False)
    data = ((X.data - centre[X.indices]) / scale[X.indices]).astype(dtype, copy=False)
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
