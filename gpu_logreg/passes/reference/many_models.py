"""Sums of many models of one logit in one read, each over the rows that it learns from.

``Z = X @ W.T + b`` of shape (n, M) and ``R = s (P - y)``, then ``R.T @ X``: two products for a block of rows, however
many models there are. The rows of a block are brought into the order of their folds, so that those of a fold lie
together: the rows that a model leaves out are a rectangle of ``R``, and the sums of a fold a product of rows in a row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.block_sizes import GRADIENT, MANY_MODELS
from gpu_logreg.arrays.blocks import row_blocks, sum_in_order
from gpu_logreg.arrays.csr import block_of_rows, stored_in_a_row
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics import logistic
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.passes.sums import ManySums, Models, RowFolds
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = [
    "multiplies",
    "rows_in_order",
    "scores_on_folds",
    "sums_by_fold",
    "sums_without_fold",
    "weight_of_right_answers",
]

MODELS = 64
"""Models of one product: the logits of a block of rows for so many lie in the cache beside the rows."""

LOGITS_AT_ONCE = 2**20
"""Logits of several classes of all models that are kept at a time."""

LEAST_BLOCKS = 16
"""Blocks that rows are cut into at least before blocks are larger than those of one gradient."""

LARGEST_LOSS = -math.log(float(np.finfo(np.float64).eps))
"""Loss of a row, in a score, at most: scikit-learn's ``log_loss`` takes no probability for less than that."""


def multiplies(data: Dataset, loss: object) -> bool:
    """Whether the functions below take the rows: those in memory, and two classes."""
    return type(loss) is Binary and isinstance(data, ResidentDataset)


class _Block(NamedTuple):
    """Rows in the order of their folds.

    Attributes
    ----------
    X : array of shape (m, d)
        In the dtype of the pass; dense or CSR.
    y, s : array of shape (m,)
        ``s`` may be None.
    edges : list of int
        Where the rows of each fold begin, and where the last ends.
    """

    X: Array
    y: Array
    s: Array | None
    edges: list[int]

    def rows_of(self, fold: int) -> slice:
        return slice(self.edges[fold], self.edges[fold + 1])

    def ones(self) -> Array:
        """A column of ones: a product with it is a sum of rows, and faster."""
        return array_namespace(self.X).ones(len(self.y), dtype=self.X.dtype)

    def logits(self, W: Float64Matrix, b: Float64Vector, part: slice = slice(None)) -> Array:
        z = self.X[part] @ _like(self.X, W).T
        z += _like(self.X, b)
        return z


def sums_by_fold(loss: Binary, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
    """Loss and gradient sums at F points, apart for the rows of every fold and for those of none.

    Parameters
    ----------
    loss : Binary
    data : ResidentDataset
        Dense rows, or sparse ones, whose products are SciPy's.
    models : Models
        F of them.
    folds : RowFolds

    Returns
    -------
    ManySums
        Of shapes (n_folds + 1, F), (n_folds + 1, F, d) and (n_folds + 1, F).
    """

    W, b, n_folds = models.W, models.b, folds.n

    def of_block(part: slice) -> ManySums:
        block = rows_in_order(data, folds, part)
        ones = block.ones()
        F, d = W.shape
        total = ManySums(np.zeros((n_folds + 1, F)), np.zeros((n_folds + 1, F, d)), np.zeros((n_folds + 1, F)))
        for first in range(0, F, MODELS):
            some = slice(first, first + MODELS)
            row_loss, dz = loss.loss_and_dz(block.logits(W[some], b[some]), block.y[:, None])
            if block.s is not None:
                s = block.s[:, None].astype(dz.dtype, copy=False)
                row_loss, dz = row_loss * s, dz * s
            for at in range(n_folds + 1):
                rows = block.rows_of(at)
                if rows.stop > rows.start:
                    total.loss_sum[at, some] = to_numpy(ones[rows] @ row_loss[rows])
                    total.dw_sum[at, some] = to_numpy(dz[rows].T @ block.X[rows])
                    total.db_sum[at, some] = to_numpy(ones[rows] @ dz[rows])
        return total

    return _over_blocks(of_block, data)


def sums_without_fold(loss: Binary, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
    """Gradient sums of M models, each over all rows but those of the fold that it leaves out.

    Parameters
    ----------
    loss, data, folds
        As of `sums_by_fold`.
    models : Models
        Each with the fold that it leaves out.

    Returns
    -------
    ManySums
        Of shapes (M,), (M, d) and (M,). The loss is not computed, and is 0.
    """

    W, b, n_folds = models.W, models.b, folds.n
    left_out = models.left_out
    assert left_out is not None

    def of_block(part: slice) -> ManySums:
        block = rows_in_order(data, folds, part)
        M = len(W)
        dw_sum, db_sum = np.empty(W.shape), np.empty(M)
        for first in range(0, M, MODELS):
            some = slice(first, first + MODELS)
            dz = _dz(loss, block, block.logits(W[some], b[some]))
            for at in range(n_folds):
                rows, columns = block.rows_of(at), np.flatnonzero(left_out[some] == at)
                if rows.stop > rows.start and len(columns):
                    dz[rows, columns] = 0
            dw_sum[some] = to_numpy(dz.T @ block.X)
            db_sum[some] = to_numpy(block.ones() @ dz)
        return ManySums(np.zeros(M), dw_sum, db_sum)

    return _over_blocks(of_block, data)


def scores_on_folds(loss: Binary, data: ResidentDataset, models: Models, folds: RowFolds, with_loss: bool) -> ManySums:
    """What M models come to on the rows of the fold that each leaves out: loss, weight of right answers, and of all.

    Parameters
    ----------
    loss, data, models, folds
        As of `sums_without_fold`.
    with_loss : bool
        Whether the loss is computed; else it is 0.

    Returns
    -------
    ManySums
        ``loss_sum``, of a row at most `LARGEST_LOSS`; ``dw_sum``, the weight of the rows whose class is the more
        probable; ``db_sum``, that of all rows. Each of shape (M,).
    """

    W, b, n_folds = models.W, models.b, folds.n
    left_out = models.left_out
    assert left_out is not None

    def of_block(part: slice) -> ManySums:
        block = rows_in_order(data, folds, part)
        sums = ManySums(*np.zeros((3, len(W))))
        for at in range(n_folds):
            rows, some = block.rows_of(at), np.flatnonzero(left_out == at)
            if rows.stop > rows.start and len(some):
                z, y = block.logits(W[some], b[some], rows), block.y[rows, None]
                s = block.ones()[rows] if block.s is None else block.s[rows].astype(z.dtype, copy=False)
                if with_loss:
                    row_loss = data.xp.minimum(loss.loss_and_dz(z, y)[0], z.dtype.type(LARGEST_LOSS))
                    sums.loss_sum[some] = to_numpy(s @ row_loss)
                sums.dw_sum[some] = to_numpy(s @ ((z > 0) == (y > 0)).astype(z.dtype))
                sums.db_sum[some] = float(s.sum(dtype=np.float64))
        return sums

    return _over_blocks(of_block, data)


def weight_of_right_answers(data: ResidentDataset, models: HostArray, at: IntVector, s: Float64Vector) -> Float64Vector:
    """Weight of the rows whose class has the largest logit, for F models of K classes at once, on the host.

    Parameters
    ----------
    data : ResidentDataset
    models : ndarray of shape (F, K, d) or (F, K, d + 1)
        The last column holds intercepts.
    at : ndarray of shape (m,)
        Numbers of the rows.
    s : ndarray of shape (m,)

    Returns
    -------
    ndarray of shape (F,)
    """
    F, K, d = len(models), models.shape[1], data.n_columns
    W = models.reshape(F * K, -1)
    b = W[:, d] if W.shape[1] > d else np.zeros(F * K)
    right, step = np.zeros(F), max(1, LOGITS_AT_ONCE // (F * K))
    for first in range(0, len(at), step):
        part = at[first : first + step]
        Z = row_logits(data.rows.X[part], W[:, :d], b, data.compute_dtype).reshape(len(part), F, K)
        right += s[first : first + step] @ (Z.argmax(axis=2) == np.asarray(data.rows.y[part])[:, None])
    return right


def _dz(loss: Binary, block: _Block, z: Array) -> Array:
    """``s (p - y)``; in the memory of the logits where the loss is the logistic one itself."""
    dz = logistic.dz_in_place(z, block.y) if type(loss) is Binary else loss.loss_and_dz(z, block.y[:, None])[1]
    if block.s is not None:
        dz *= block.s[:, None].astype(dz.dtype, copy=False)
    return dz


def rows_in_order(data: ResidentDataset, folds: RowFolds, part: slice) -> _Block:
    """The rows of a block in the order of their folds, and in it as they came."""
    xp = data.xp
    y, s = data.rows.y[part], data.rows.sample_weight
    X = block_of_rows(data.rows.X, part) if data.is_sparse else data.rows.X[part]
    s = None if s is None else s[part]
    of_rows = folds.of_rows[part]
    if bool((of_rows[1:] < of_rows[:-1]).any()):
        order = xp.argsort(of_rows, kind="stable")
        X, y, of_rows = X[order], y[order], of_rows[order]
        s = None if s is None else s[order]
    edges = to_numpy(xp.searchsorted(of_rows, xp.arange(folds.n + 2))).tolist()
    return _Block(X.astype(data.compute_dtype, copy=False), y, s, edges)


def _over_blocks(of_block: Callable[[slice], ManySums], data: ResidentDataset) -> ManySums:
    """The sums of all blocks, added in their order."""
    elements = max(stored_in_a_row(data.rows.X), MODELS) if data.is_sparse else max(1, data.n_columns)
    row_bytes = int(elements * data.compute_dtype.itemsize)
    size = max(data.block_bytes(GRADIENT), min(data.block_bytes(MANY_MODELS), data.n_rows * row_bytes // LEAST_BLOCKS))
    parts = row_blocks(data.n_rows, row_bytes, size)
    if data.on_host:
        return sum_in_order(_add, of_block, parts)
    return functools.reduce(_add, map(of_block, parts))


def _add(total: ManySums, part: ManySums) -> ManySums:
    for mine, other in zip(total, part, strict=True):
        mine += other
    return total


def _like(X: Array, values: HostArray) -> Array:
    return array_namespace(X).asarray(values, dtype=X.dtype)
