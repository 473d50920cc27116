"""What an engine keeps of every row at one point, so that products with the Hessian there need no logits again.

With the logits ``z = W x + b`` of a row and a direction ``V, c`` of the parameters, the logits change by
``t = V x + c``, and the derivatives ``dz`` of the loss by the logits by ``e = C t`` with the curvature ``C`` of the
row: ``s p (1 - p)`` for two classes and ``s (diag(p) - p p.T)`` for more. So the product of the Hessian with the
direction is ``dW = E.T @ X`` and ``db = sum_i e_i``, one more sum of the form of a gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gpu_logreg.arrays.block_sizes import KEPT_PROBABILITIES
from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["Product", "RowCurvature", "keeps_probabilities"]

KEPT_SHARE = 0.5
"""Most bytes of the probabilities of all rows over those of ``X``; up to `KEPT_PROBABILITIES` bytes are kept anyway."""


class RowCurvature(NamedTuple):
    """The curvature of every row at one point, as the engine that made it keeps it for its products.

    Attributes
    ----------
    w, b : ndarray of shape (d,) and float, or (K, d) and (K,)
        The point.
    kept : array or None
        Where the rows live. Of two classes ``h_i = s_i p_i (1 - p_i)``, of shape (n,); of K classes the probabilities,
        of shape (n, K) or, padded with zeros, more columns. None where they would be large beside the rows: every
        product computes them again, in the same read.
    """

    w: Float64Vector
    b: Any
    kept: Array | None


class Product(NamedTuple):
    """Sums over the rows, on the host in float64, of the shapes of weights and intercepts: not divided by the weights.

    Attributes
    ----------
    dw_sum : ndarray of shape (d,), or (K, d)
    db_sum : float, or ndarray of shape (K,)
    """

    dw_sum: Float64Vector
    db_sum: Any

    def __add__(self, other: Product) -> Product:  # type: ignore[override]
        """The sums over the rows of both."""
        return Product(self.dw_sum + other.dw_sum, self.db_sum + other.db_sum)


def keeps_probabilities(data: ResidentDataset, n_logits: int, itemsize: int) -> bool:
    """Whether the probabilities of K classes are few enough beside the rows to be kept for all of them."""
    X, needed = data.rows.X, data.n_rows * n_logits * itemsize
    stored = data.n_stored * (X.dtype.itemsize + (X.indices.dtype.itemsize if data.is_sparse else 0))
    return bool(needed <= max(KEPT_PROBABILITIES, KEPT_SHARE * stored))
