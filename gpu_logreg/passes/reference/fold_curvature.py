"""The Hessian of the loss over the rows of every fold, at one point, in one read of all rows.

``sum_i s_i p_i (1 - p_i) u_i u_i.T`` in standardised columns, apart for the rows of each fold and for those of none:
the Hessian of the rows that a model of a fold learns from is the sum of all less that of the fold.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.block_sizes import FOLD_HESSIANS
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, HostArray
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.reference.curvature import curvature_sums
from gpu_logreg.passes.reference.many_models import rows_in_order
from gpu_logreg.passes.sums import RowFolds
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["curvature_by_fold", "has_curvature_by_fold"]


def has_curvature_by_fold(data: ResidentDataset) -> bool:
    """Whether the Hessians of all folds cost about a read: those of sparse rows may cost many."""
    return not data.is_sparse


def curvature_by_fold(
    loss: Binary, data: ResidentDataset, columns: Coordinates, phi: HostArray, folds: RowFolds
) -> HostArray:
    """Second derivative of the loss by ``phi``, summed over the rows of each fold and over those of none.

    Parameters
    ----------
    loss : Binary
    data : ResidentDataset
        Dense rows. Products are in the dtype of the pass, and sums of blocks in float64.
    columns : Coordinates
    phi : ndarray of shape (p,)
    folds : RowFolds

    Returns
    -------
    ndarray of shape (n_folds + 1, p, p)
    """
    xp, p = data.xp, len(phi)
    weights = xp.asarray(phi, dtype=data.compute_dtype)

    def of_block(part: slice) -> list[tuple[int, Array]]:
        block = rows_in_order(data, folds, part)
        U = columns.rows(block.X)
        h = loss.curvature(U @ weights, block.y)
        s = xp.ones(len(h), dtype=h.dtype) if block.s is None else block.s
        some = [at for at in range(folds.n + 1) if block.edges[at + 1] > block.edges[at]]
        slices = [block.rows_of(at) for at in some]
        return [(at, to_numpy(curvature_sums(U[m], h[m], s[m], xp))) for at, m in zip(some, slices, strict=True)]

    total = np.zeros((folds.n + 1, p, p))
    row_bytes = p * data.compute_dtype.itemsize
    for sums in map_row_blocks(of_block, data.rows.X, FOLD_HESSIANS, row_bytes=row_bytes, least_rows=2 * p):
        for at, of_fold in sums:
            total[at] += of_fold
    return total
