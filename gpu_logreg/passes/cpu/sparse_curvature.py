"""The Hessian of K classes over sparse rows: compiled, in float64, from pairs of stored elements.

Order of the sums: chunks of rows, whose number depends on the sizes alone, are added in order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_logreg.arrays.block_sizes import PAIR_WEIGHTS
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import CsrArray, Float64Matrix, Float64Vector
from gpu_logreg.passes.class_pairs import (
    CurvatureSums,
    MeanFactors,
    mean_factors_of,
    pairs_of_classes,
    weights_of_pairs,
)
from gpu_logreg.passes.cpu.sparse import chunks_of_pairs, sparse_curvature_sums, sum_chunks
from gpu_logreg.passes.cpu.sparse_products import sparse_probabilities
from gpu_logreg.passes.sums import Sums, add_in_place
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["sparse_mean_factors", "sparse_pair_sums"]

_sum_curvature_of_pairs = Loop("gpu_logreg.passes.cpu.loops.sparse_curvature", "sum_curvature_of_pairs")


def sparse_pair_sums(
    data: ResidentDataset, W: Float64Matrix, b: Float64Vector, more: int = 0
) -> Iterator[CurvatureSums]:
    """As `gpu_logreg.passes.reference.sparse_classes.sparse_pair_sums`, all pairs in one walk over the rows."""
    X, _, s = data.rows
    assert s is not None
    d, n_pairs = X.shape[1], len(pairs_of_classes(len(b))[0])
    step = max(1, PAIR_WEIGHTS // (8 * n_pairs))
    P = sparse_probabilities(X, W, b)

    def of_chunk(first: int, last: int) -> Sums:
        H, v, total = np.zeros((d, d, n_pairs)), np.zeros((d, n_pairs)), np.zeros(n_pairs)
        for begin in range(first, last, step):
            part = slice(begin, min(last, begin + step))
            q, start = weights_of_pairs(s[part], P(part)), X.indptr[part.start : part.stop + 1]
            _sum_curvature_of_pairs(X.data, X.indices, start, q, H, v)
            total += q.sum(axis=0)
        return Sums(0.0, H, np.vstack([v, total]))

    _, H, v = sum_chunks(add_in_place, of_chunk, chunks_of_pairs(X, n_pairs))
    for c in range(n_pairs):
        M = np.zeros((d + more, d + more))
        M[:d, :d] = H[:, :, c]
        M += np.tril(M, -1).T
        yield M, v[:-1, c], float(v[-1, c])


def sparse_mean_factors(data: ResidentDataset, W: Float64Matrix, b: Float64Vector, more: int = 0) -> MeanFactors:
    """As `gpu_logreg.passes.reference.sparse_classes.sparse_mean_factors`, compiled."""
    X: CsrArray = data.rows.X
    assert data.rows.sample_weight is not None
    P = sparse_probabilities(X, W, b)(slice(0, X.shape[0]))
    return mean_factors_of(data.rows.sample_weight, P, lambda t: sparse_curvature_sums(X, t, more))
