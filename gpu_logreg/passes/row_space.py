"""Sums over few rows of many columns, all less one row, of dense rows and of sparse ones.

See `gpu_logreg.passes.reference.row_space` for the equations; sparse rows are those of the ``cpu`` engine.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.passes.reference import row_space as dense
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["has_gram", "image", "mean_square", "multiplies", "products_with_rows", "sums_of_rows"]


def multiplies(data: Dataset, engine: str) -> bool:
    """Whether there are these sums of the rows: one array on the host, and if sparse for the ``cpu`` engine."""
    return isinstance(data, ResidentDataset) and data.on_host and (engine == "cpu" or not data.is_sparse)


def has_gram(data: ResidentDataset) -> bool:
    """Whether the Gram matrix of the rows may be computed: of dense rows."""
    return not data.is_sparse


def mean_square(data: ResidentDataset) -> float:
    """Mean squared length of the rows, without weights and not less another row."""
    values = np.ravel(data.rows.X.data if data.is_sparse else data.rows.X)
    return float(np.vdot(values, values)) / max(1, data.n_rows)


def image(data: ResidentDataset, V: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``G V`` with the Gram matrix, of shape (n, K); two walks over the rows."""
    if data.is_sparse:
        from gpu_logreg.passes.cpu.row_space import image_of_sparse_rows

        return image_of_sparse_rows(data, V, centre)
    return dense.products_with_rows(data, dense.sums_of_rows(data, V, centre), centre)


def sums_of_rows(data: ResidentDataset, V: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``sum_i v_i (x_i - m).T``, of shape (K, d); one walk."""
    if data.is_sparse:
        from gpu_logreg.passes.cpu.row_space import sums_of_sparse_rows

        return sums_of_sparse_rows(data, V, centre)
    return dense.sums_of_rows(data, V, centre)


def products_with_rows(data: ResidentDataset, W: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``W (x_i - m)`` of every row, of shape (n, K); one walk."""
    if data.is_sparse:
        from gpu_logreg.passes.cpu.row_space import products_with_sparse_rows

        return products_with_sparse_rows(data, W, centre)
    return dense.products_with_rows(data, W, centre)
