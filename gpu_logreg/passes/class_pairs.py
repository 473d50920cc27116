"""What the Hessian of K classes over sparse rows is made of, for every hardware.

With ``q_kl = s p_k p_l`` of a row, the block of the classes ``k != l`` is ``-sum_i q_kl,i x_i x_i.T``, and one on the
diagonal is minus the sum of the others in its row, as probabilities add up to one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector

__all__ = ["CurvatureSums", "MeanFactors", "mean_factors_of", "pairs_of_classes", "weights_of_pairs"]

CurvatureSums = tuple[Float64Matrix, Float64Vector, float]
"""``sum_i h_i x_i x_i.T``, ``sum_i h_i x_i`` and ``sum_i h_i`` for some weights ``h`` of the rows."""

MeanFactors = tuple[CurvatureSums, Float64Matrix]
"""Sums with the weights ``t_i = s_i (1 - |p_i|**2)``, and ``sum_i s_i (diag(p_i) - p_i p_i.T)``."""


def pairs_of_classes(n_classes: int) -> tuple[IntVector, IntVector]:
    """The classes ``k < l`` of all pairs, in order.

    Examples
    --------
    >>> pairs_of_classes(3)
    (array([0, 0, 1]), array([1, 2, 2]))
    """
    return np.triu_indices(n_classes, 1)


def weights_of_pairs(s: Float64Vector, P: Float64Matrix) -> Float64Matrix:
    """``s_i p_ik p_il`` of rows with probabilities ``P``, for all pairs of classes; of shape (m, K (K - 1) / 2)."""
    k, other = pairs_of_classes(P.shape[1])
    q = P[:, k]
    q *= P[:, other]
    q *= s[:, None]
    return q


def mean_factors_of(
    s: Float64Vector, P: Float64Matrix, curvature_sums: Callable[[Float64Vector], tuple[Float64Matrix, Float64Vector]]
) -> MeanFactors:
    """The sums of `MeanFactors` from the probabilities, and from a function of the weights ``t``."""
    t = s * np.maximum(1.0 - (P * P).sum(axis=1), 0.0)  # rounding may make it negative
    weighted = s[:, None] * P
    B = np.diag(weighted.sum(axis=0)) - weighted.T @ P
    return (*curvature_sums(t), float(t.sum())), B
