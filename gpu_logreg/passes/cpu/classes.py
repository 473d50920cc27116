"""The CPU pass for K logits: one read of ``X``, compiled by Numba, run by a pool of threads over ranges of rows.

Equation: ``Z = X @ W.T + b``; ``dZ = s (P - Y)``; sums of ``s row_loss``, ``dZ.T @ X`` and ``dZ``.

Order of the sums: rows are cut into chunks, whose number depends on the sizes alone, and the float64 sums of the chunks
are added in order. So the result has the same bits for any number of threads.
"""

from __future__ import annotations

import itertools

import numpy as np

from gpu_logreg.arrays.block_sizes import PARTIALS_CLASSES as PARTIAL_BYTES
from gpu_logreg.arrays.block_sizes import STAGED_CLASSES as STAGE_BYTES
from gpu_logreg.arrays.blocks import calls_are_alone, map_in_order
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import DType, DTypeLike, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows, compute_dtype

__all__ = ["ClassesPass", "cpu_multinomial_pass", "in_vectors"]

_sum_rows = Loop("gpu_logreg.passes.cpu.loops.classes", "sum_rows_of_classes")

CHUNKS, LEAST_CHUNK_ROWS = 16, 512
"""Most chunks, and least rows of one. They decide the order of additions, and so the last bits of sums."""


def cpu_multinomial_pass(rows: Rows, W: Float64Matrix, b: Float64Vector, dtype: DTypeLike | None = None) -> Sums:
    """Loss and gradient sums over ``rows`` for K logits at one point, in one read; see `ClassesPass`."""
    return ClassesPass(rows, len(b), dtype)(W, b)


class ClassesPass:
    """Loss and gradient sums for K logits, in one read for each point, on the host: what rows decide is decided once.

    Parameters
    ----------
    rows : Rows
        ``X`` of shape (n, d): it is read in place where it is C-contiguous and Numba has its dtype, and else converted
        a few rows at a time. ``y``: the number of each row's class.
    n_logits : int
        K.
    dtype : float32 or float64, optional
        Dtype to compute in; `gpu_logreg.rows.block.compute_dtype` of that of ``X`` if None.
    """

    def __init__(self, rows: Rows, n_logits: int, dtype: DTypeLike | None = None) -> None:
        X, y, sample_weight = rows
        self._sample_weight = np.empty(0) if sample_weight is None else sample_weight
        self._X, self._y = X, np.ascontiguousarray(y)
        self._dtype = np.dtype(dtype or compute_dtype(X.dtype))
        # The loops convert dtypes that Numba has in registers; float16, bfloat16 and strided rows are copied first.
        known = X.dtype.kind in "iub" or X.dtype in (np.float32, np.float64)
        self._in_place = known and X.dtype.isnative and X.flags.c_contiguous and X.flags.aligned
        n, d, length = len(X), X.shape[1], vector_length(n_logits)
        partial_bytes = 8 * d * length * -(-n_logits // length)
        count = max(1, min(CHUNKS, n // LEAST_CHUNK_ROWS, PARTIAL_BYTES // max(1, partial_bytes)))
        self._edges = [n * k // count for k in range(count + 1)]
        self._alone = self._in_place and calls_are_alone(count)

    def __call__(self, W: Float64Matrix, b: Float64Vector) -> Sums:
        """The sums at weights of shape (K, d) and intercepts of shape (K,)."""
        vector, weights, intercepts = in_vectors(W, b, self._dtype)
        X, y, s = self._X, self._y, self._sample_weight

        def of_chunk(first: int, last: int) -> tuple[float, Float64Matrix, Float64Vector]:
            dw, db, loss = np.zeros(weights.shape), np.zeros(len(intercepts)), 0.0
            if self._in_place:
                loss = _sum_rows(vector, X, y, s, weights, intercepts, first, last, dw, db)
                return loss, dw, db
            step = max(64, STAGE_BYTES // max(1, X.shape[1] * self._dtype.itemsize))
            for a in range(first, last, step):
                part = slice(a, min(last, a + step))
                staged = X[part].astype(self._dtype, order="C")
                of_part = staged, y[part], s[part], weights, intercepts
                loss += _sum_rows(vector, *of_part, 0, len(staged), dw, db)
            return loss, dw, db

        parts: list[tuple[float, Float64Matrix, Float64Vector]] = []
        if self._alone:  # in place
            for ends in itertools.pairwise(self._edges):
                dw, db = np.zeros(weights.shape), np.zeros(len(intercepts))
                parts.append((_sum_rows(vector, X, y, s, weights, intercepts, *ends, dw, db), dw, db))
        else:
            parts = map_in_order(of_chunk, self._edges[:-1], self._edges[1:])
        losses, dws, dbs = zip(*parts, strict=True)
        K, d = W.shape
        dw_sum = sum(dws[1:], start=dws[0]).transpose(0, 2, 1).reshape(-1, d)[:K]
        return Sums(float(sum(losses)), np.ascontiguousarray(dw_sum), sum(dbs[1:], start=dbs[0])[:K])


def vector_length(K: int) -> int:
    """Classes in a vector of the compiled loops."""
    return 4 if K <= 4 else 8 if K <= 8 else 16


def in_vectors(W: Float64Matrix, b: Float64Vector, dtype: DType) -> tuple[tuple[int, ...], HostArray, Float64Vector]:
    """Weights and intercepts of K classes padded to whole vectors of 4, 8 or 16 classes, for the compiled loops.

    Returns
    -------
    vector : tuple
        Its length is that of a vector, which Numba must know at compile time.
    weights : ndarray of shape (number of vectors, d, length)
    intercepts : ndarray of shape (number of vectors * length,)
        ``-inf`` for the classes that are padding, so that their probabilities are 0.
    """
    K, d = W.shape
    length = vector_length(K)
    padded = -(-K // length) * length
    weights = np.zeros((padded, d), dtype)
    weights[:K] = W
    intercepts = np.full(padded, -np.inf)
    intercepts[:K] = b
    return (0,) * length, np.ascontiguousarray(weights.reshape(-1, length, d).transpose(0, 2, 1)), intercepts
