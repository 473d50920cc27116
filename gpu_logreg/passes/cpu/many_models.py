"""Gradient sums of many models of two classes over sparse rows, compiled.

The formulas are those of `gpu_logreg.passes.reference.many_models`. The products of SciPy there write the logits of a
block and read them again, and do not use the widest registers.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.passes.cpu.loops.sizes import REGISTER_BYTES
from gpu_logreg.passes.cpu.sparse import chunks_of_rows, sum_chunks
from gpu_logreg.passes.sums import ManySums, Models, RowFolds
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["sparse_sums_without_fold"]

_sum_without_folds = Loop("gpu_logreg.passes.cpu.loops.many_models", "sum_without_folds")


def sparse_sums_without_fold(data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
    """Gradient sums of M models, each over all rows but those of the fold that it leaves out; one read.

    Its parameters and its result are those of `gpu_logreg.passes.reference.many_models.sums_without_fold`.
    """
    (X, y, s), dtype, M = data.rows, data.compute_dtype, len(models.b)
    assert models.left_out is not None
    lane = REGISTER_BYTES // dtype.itemsize
    width = -(-M // lane) * lane  # models of zeros behind the last one fill a register
    W, b = np.zeros((X.shape[1], width), dtype), np.zeros(width, dtype)
    W[:, :M], b[:M] = models.W.T, models.b
    learns = np.zeros((folds.n + 1, width), dtype)
    learns[:-1, :M] = np.arange(folds.n)[:, None] != models.left_out
    learns[-1, :M] = 1.0  # rows of no fold are left out by none
    weights = np.empty(0) if s is None else s
    of_rows = X.data, X.indices, X.indptr, np.ascontiguousarray(y), weights, np.asarray(folds.of_rows)

    def of_chunk(first: int, last: int) -> ManySums:
        dw, db, z = np.zeros_like(W), np.zeros_like(b), np.empty_like(b)
        _sum_without_folds(*of_rows, W, b, learns, first, last, z, dw, db)
        return ManySums(np.zeros(M), dw[:, :M].T.astype(np.float64), db[:M].astype(np.float64))

    total = sum_chunks(_add, of_chunk, chunks_of_rows(X, width))
    return total._replace(dw_sum=np.ascontiguousarray(total.dw_sum))


def _add(total: ManySums, part: ManySums) -> ManySums:
    for mine, other in zip(total, part, strict=True):
        mine += other
    return total
