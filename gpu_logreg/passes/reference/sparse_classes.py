"""The Hessian of K classes over sparse rows by products of SciPy: see `gpu_logreg.passes.class_pairs`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.passes.class_pairs import CurvatureSums, MeanFactors, mean_factors_of, weights_of_pairs
from gpu_logreg.passes.reference.sparse import sparse_curvature_sums, sparse_logits
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["sparse_mean_factors", "sparse_pair_sums"]


def sparse_pair_sums(
    data: ResidentDataset, W: Float64Matrix, b: Float64Vector, more: int = 0
) -> Iterator[CurvatureSums]:
    """`CurvatureSums` with the weights ``s_i p_ik p_il`` of every pair of classes, in the order of `pairs_of_classes`.

    Parameters
    ----------
    data : ResidentDataset
        Sparse rows in canonical format, with weights.
    W, b : ndarrays of shape (K, d) and (K,)
    more : int
        Number of rows and columns of zeros that are appended to the matrices.
    """
    for h in weights_of_pairs(np.asarray(data.rows.sample_weight), _probabilities(data, W, b)).T:
        yield *sparse_curvature_sums(data.rows.X, h, more), float(h.sum())


def sparse_mean_factors(data: ResidentDataset, W: Float64Matrix, b: Float64Vector, more: int = 0) -> MeanFactors:
    """`MeanFactors` of sparse rows in canonical format, with weights."""
    P, s = _probabilities(data, W, b), np.asarray(data.rows.sample_weight)
    return mean_factors_of(s, P, lambda t: sparse_curvature_sums(data.rows.X, t, more))


def _probabilities(data: ResidentDataset, W: Float64Matrix, b: Float64Vector) -> Float64Matrix:
    return np.asarray(softmax.softmax(sparse_logits(data.rows.X, W.T, b)))
