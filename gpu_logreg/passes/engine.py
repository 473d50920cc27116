"""What a hardware computes of rows: one object for each, with the same methods, whatever the rows and the loss are.

All methods return sums, so that the engine of a cluster, of several GPUs or of rows on a disk can ask another engine
for the sums of its parts and add them in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.mathematics.losses import Loss
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["DelegatingEngine", "Engine"]


class Engine(Protocol):
    """The passes of one hardware for one loss.

    Attributes
    ----------
    name : str
        ``"reference"``, ``"cpu"``, ``"cuda"`` or ``"cublas"``.
    reason : str
        How the choice came about.
    loss : Loss
    """

    name: str
    reason: str
    loss: Loss

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums over all rows at weights of shape (d,) or (K, d) and their intercepts; one read."""

    def moments(self, data: ResidentDataset) -> Moments:
        """Weighted sums of the columns and of their squares; one read."""

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: float) -> tuple[float, Moments]:
        """``sum_i h_i`` and `moments` with the weights ``h_i = s_i p_i (1 - p_i)``, of two classes; one read."""

    def scores(
        self, data: ResidentDataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Squared length of every row in standardised columns, on the host; one read.

        ``score_i = sum_j (x_ij - mean_j)**2 inverse_variance_j``; where that is NaN, ``unseen`` for each row that
        differs from the mean.
        """

    def curvature(self, data: ResidentDataset, phi: Float64Vector, dtype: Any = None) -> Any:
        """Second derivative of the loss sum over the dense rows of a sample by ``phi``, whose logits are ``u @ phi``.

        Parameters
        ----------
        data : ResidentDataset
        phi : ndarray of shape (p,), or (K p,), packed by class
        dtype : float32 or float64, optional
            To compute in, if it is not that of the rows.

        Returns
        -------
        array of shape (p, p) or (K p, K p), float64
            On the host, or where the rows live if it is to be factored there.
        """

    def mean_factors(self, data: ResidentDataset, phi: Float64Vector) -> tuple[Any, Float64Matrix, float]:
        """Factors ``A``, of shape (p, p), and ``B`` summed, of shape (K, K), of the curvature as a Kronecker product.

        With the trace of ``diag(p_i) - p_i p_i.T`` as the weight of ``u_i u_i.T`` in ``A``; and the sum of the traces.
        """

    def sparse_curvature(
        self, data: ResidentDataset, w: Float64Vector, b: float, fit_intercept: bool
    ) -> tuple[Float64Matrix, Float64Vector, float]:
        """Sums over sparse rows of two classes with ``h_i = s_i p_i (1 - p_i) / sum(s)``.

        Returns
        -------
        ``sum_i h_i x_i x_i.T`` with a last row and column of zeros for an intercept, ``sum_i h_i x_i``, ``sum_i h_i``
        """

    def keeps_samples_sparse(self, data: ResidentDataset) -> bool:
        """Whether samples of the rows are not copied as dense rows, as `sparse_curvature` takes them as they are."""

    def columns(self, data: ResidentDataset) -> Callable[[Any], ResidentDataset]:
        """A function from numbers of columns, which rise, to the same rows with these columns alone, copied."""


class DelegatingEngine:
    """An engine that asks another for the sums that it has no faster way to.

    Parameters
    ----------
    loss : Loss
    reason : str
        How the choice came about.
    other : Engine
        Of the same loss, for rows at the same place.
    """

    name = ""

    def __init__(self, loss: Loss, reason: str, other: Engine) -> None:
        self.loss = loss
        self.reason = reason
        self._other = other

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """See `Engine`, as of all methods."""
        return self._other.gradient(data, w, b)

    def moments(self, data: ResidentDataset) -> Moments:
        """Sums of the columns and of their squares."""
        return self._other.moments(data)

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: float) -> tuple[float, Moments]:
        """Moments with the curvature of every row as its weight."""
        return self._other.moments_by_curvature(data, w, b)

    def scores(
        self, data: ResidentDataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Scores of all rows."""
        return self._other.scores(data, mean, inverse_variance, unseen)

    def curvature(self, data: ResidentDataset, phi: Float64Vector, dtype: Any = None) -> Any:
        """Second derivative of the loss sum of a sample."""
        return self._other.curvature(data, phi, dtype)

    def mean_factors(self, data: ResidentDataset, phi: Float64Vector) -> tuple[Any, Float64Matrix, float]:
        """Factors of the curvature of a sample."""
        return self._other.mean_factors(data, phi)

    def sparse_curvature(
        self, data: ResidentDataset, w: Float64Vector, b: float, fit_intercept: bool
    ) -> tuple[Float64Matrix, Float64Vector, float]:
        """Sums of the curvature of sparse rows."""
        return self._other.sparse_curvature(data, w, b, fit_intercept)

    def keeps_samples_sparse(self, data: ResidentDataset) -> bool:
        """Whether samples of the rows stay sparse."""
        return self._other.keeps_samples_sparse(data)

    def columns(self, data: ResidentDataset) -> Callable[[Any], ResidentDataset]:
        """Copies of some columns."""
        return self._other.columns(data)
