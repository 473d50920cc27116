"""The engine: all sums over rows that one hardware computes, with the same methods for all kinds of rows and losses.

The methods return undivided sums, so that an engine for several devices, or for rows on disk, can call another engine
for each part of the rows and add the results in order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.class_pairs import CurvatureSums, MeanFactors
from gpu_logreg.passes.row_curvature import Product, RowCurvature
from gpu_logreg.passes.sums import LabelledMoments, ManySums, Models, Moments, RowFolds, Sums
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["DelegatingEngine", "Engine", "GradientPass"]

GradientPass = Callable[[Any, Any], Sums]
"""From weights of shape (d,) or (K, d) and their intercepts to loss and gradient sums over all rows; one read."""


class Engine(Protocol):
    """The passes of one hardware for one loss.

    Attributes
    ----------
    name : str
        ``"reference"``, ``"cpu"``, ``"cuda"`` or ``"cublas"``.
    reason : str
        Why this engine was chosen.
    loss : Loss
    """

    name: str
    reason: str
    loss: Loss

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums over all rows at weights of shape (d,) or (K, d) and their intercepts; one read."""

    def gradient_pass(self, data: ResidentDataset) -> GradientPass:
        """`gradient` over these rows as a function of the point: what rows alone decide is decided once for a fit."""

    def gradient_and_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """`gradient`, and what products at the same point need; one read."""

    def row_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> RowCurvature:
        """What products at a point need; one read, of which only logits are computed."""

    def product(self, data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian of the loss sum with a direction of weights and intercepts; one read.

        With ``t = V x + c`` and the curvature ``C_i`` of a row by its logits: the sums of ``C_i t_i x_i.T`` and of
        ``C_i t_i``; see `gpu_logreg.passes.row_curvature`.

        Parameters
        ----------
        data : ResidentDataset
        at : RowCurvature
            Of this engine and the same rows.
        v, c : ndarray of shape (d,) and float, or (K, d) and (K,)
        """

    def diagonal(self, data: ResidentDataset, at: RowCurvature) -> Product:
        """Diagonal of the Hessian of the loss sum, ``sum_i s_i p_ik (1 - p_ik) x_ij**2``; one read."""

    def moments(self, data: ResidentDataset) -> Moments:
        """Weighted sums of the columns and of their squares; one read."""

    def moments_by_label(self, data: ResidentDataset) -> LabelledMoments | None:
        """`moments`, and the gradient sums of two classes without weights; one read. None without code for it."""

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """``sum_i h_i``, and `moments` with the weights ``h_i = s_i p_i (1 - p_i)``, of sparse rows; one read.

        Of K classes ``h_ik = s_i p_ik (1 - p_ik)``, and the sums are of shapes (K,) and (K, d).
        """

    def scores(
        self, data: ResidentDataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Squared length of every row in standardised columns, on the host; one read.

        ``score_i = sum_j (x_ij - mean_j)**2 inverse_variance_j``. For a column that is constant in the sample, whose
        ``inverse_variance_j`` is NaN, the term is ``unseen`` where ``x_ij`` differs from ``mean_j``, and else 0.
        """

    def curvature(self, data: ResidentDataset, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the loss sum over the dense rows of a sample by ``phi``, whose logits are ``u @ phi``.

        Parameters
        ----------
        data : ResidentDataset
        phi : ndarray of shape (p,), or (K p,), packed by class
        dtype : float32 or float64, optional
            Dtype to compute in; that of the rows if None.

        Returns
        -------
        array of shape (p, p) or (K p, K p), float64
            On the host, or on the device of the rows where it is large enough to be factored there.
        """

    def mean_factors(self, data: ResidentDataset, phi: Float64Vector) -> tuple[Array, Float64Matrix, float]:
        """Sums behind the Kronecker product ``B kron A`` that approximates the curvature of K classes.

        Returns
        -------
        A : array of shape (p, p)
            ``sum_i t_i u_i u_i.T`` with the traces ``t_i`` of ``s_i (diag(p_i) - p_i p_i.T)``.
        B : ndarray of shape (K, K)
            ``sum_i s_i (diag(p_i) - p_i p_i.T)``.
        trace : float
            ``sum_i t_i``.
        """

    def has_mean_factors(self, data: ResidentDataset) -> bool:
        """Whether `mean_factors` of samples of the rows are worth their cost."""

    def sparse_curvature(
        self, data: ResidentDataset, w: Float64Vector, b: float, fit_intercept: bool
    ) -> tuple[Float64Matrix, Float64Vector, float]:
        """Sums over sparse rows of two classes with ``h_i = s_i p_i (1 - p_i) / sum(s)``.

        Returns
        -------
        H : ndarray of shape (d, d) or (d + 1, d + 1)
            ``sum_i h_i x_i x_i.T``, with a last row and column of zeros for an intercept.
        v : ndarray of shape (d,)
            ``sum_i h_i x_i``.
        h_sum : float
            ``sum_i h_i``.
        """

    def sparse_pair_sums(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> Iterator[CurvatureSums]:
        """Undivided sums as `sparse_curvature`, with ``s_i p_ik p_il`` of each pair of K classes instead of ``h_i``."""

    def sparse_mean_factors(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> MeanFactors:
        """`mean_factors` over sparse rows of K classes, as undivided sums by the columns as they are."""

    def sums_by_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Sums of F models of one logit, for the rows of each fold apart; one read.

        See `gpu_logreg.passes.reference.many_models`, for this and the two methods below it.
        """

    def sums_without_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Gradient sums of M models of one logit, each without the rows of one fold; one read."""

    def scores_on_folds(self, data: ResidentDataset, models: Models, folds: RowFolds, with_loss: bool) -> ManySums:
        """Loss and right answers of M models of one logit on the rows of the fold that each leaves out; one read."""

    def keeps_samples_sparse(self, data: ResidentDataset) -> bool:
        """Whether sums over samples of the rows are taken over sparse rows, and none is copied as dense rows."""

    def columns(self, data: ResidentDataset) -> Callable[[IntVector], ResidentDataset]:
        """A function from ascending numbers of columns to the same rows with copies of these columns alone."""

    def by_columns(self, data: ResidentDataset, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """The loss and its model by columns: see `gpu_logreg.passes.cpu.columns.CpuColumns`. None without code for it.

        Parameters
        ----------
        data : ResidentDataset
        fit_intercept : bool
        count : function float -> None
            Told of every walk over elements, as a share of all.
        """

    def bytes_by_columns(self, data: ResidentDataset) -> int | None:
        """Bytes that `by_columns` takes beside the rows; None without code for it."""


class DelegatingEngine:
    """An engine that calls another for the sums that it has no code for.

    Parameters
    ----------
    loss : Loss
    reason : str
        Why this engine was chosen.
    other : Engine
        For the same loss, and rows in the same place.
    """

    name = ""

    def __init__(self, loss: Loss, reason: str, other: Engine) -> None:
        self.loss = loss
        self.reason = reason
        self._other = other

    def gradient(self, data: ResidentDataset, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums; for this and all methods see `Engine`."""
        return self._other.gradient(data, w, b)

    def gradient_pass(self, data: ResidentDataset) -> GradientPass:
        """`gradient` over these rows."""
        return functools.partial(self.gradient, data)

    def gradient_and_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
        """Gradient sums and what products at the same point need."""
        return self._other.gradient_and_curvature(data, w, b)

    def row_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> RowCurvature:
        """What products at a point need."""
        return self._other.row_curvature(data, w, b)

    def product(self, data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
        """Product of the Hessian with a direction."""
        return self._other.product(data, at, v, c)

    def diagonal(self, data: ResidentDataset, at: RowCurvature) -> Product:
        """Diagonal of the Hessian."""
        return self._other.diagonal(data, at)

    def moments(self, data: ResidentDataset) -> Moments:
        """Sums of the columns and of their squares."""
        return self._other.moments(data)

    def moments_by_label(self, data: ResidentDataset) -> LabelledMoments | None:
        """None: the other engine is for sums that have no code here, and this one saves a read only where it has."""
        return None

    def moments_by_curvature(self, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Any, Moments]:
        """Moments with the curvature of every row as its weight."""
        return self._other.moments_by_curvature(data, w, b)

    def scores(
        self, data: ResidentDataset, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float
    ) -> Float64Vector:
        """Scores of all rows."""
        return self._other.scores(data, mean, inverse_variance, unseen)

    def curvature(self, data: ResidentDataset, phi: Float64Vector, dtype: DTypeLike | None = None) -> Array:
        """Second derivative of the loss sum of a sample."""
        return self._other.curvature(data, phi, dtype)

    def mean_factors(self, data: ResidentDataset, phi: Float64Vector) -> tuple[Array, Float64Matrix, float]:
        """Factors of the curvature of a sample."""
        return self._other.mean_factors(data, phi)

    def has_mean_factors(self, data: ResidentDataset) -> bool:
        """Whether factors of samples of the rows are worth their cost."""
        return self._other.has_mean_factors(data)

    def sparse_curvature(
        self, data: ResidentDataset, w: Float64Vector, b: float, fit_intercept: bool
    ) -> tuple[Float64Matrix, Float64Vector, float]:
        """Sums of the curvature of sparse rows."""
        return self._other.sparse_curvature(data, w, b, fit_intercept)

    def sparse_pair_sums(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> Iterator[CurvatureSums]:
        """Sums of the curvature of sparse rows for each pair of classes."""
        return self._other.sparse_pair_sums(data, w, b, fit_intercept)

    def sparse_mean_factors(
        self, data: ResidentDataset, w: Float64Matrix, b: Float64Vector, fit_intercept: bool
    ) -> MeanFactors:
        """Factors of the curvature of sparse rows."""
        return self._other.sparse_mean_factors(data, w, b, fit_intercept)

    def sums_by_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Sums of many models, by fold."""
        return self._other.sums_by_fold(data, models, folds)

    def sums_without_fold(self, data: ResidentDataset, models: Models, folds: RowFolds) -> ManySums:
        """Gradient sums of many models, each without a fold."""
        return self._other.sums_without_fold(data, models, folds)

    def scores_on_folds(self, data: ResidentDataset, models: Models, folds: RowFolds, with_loss: bool) -> ManySums:
        """Scores of many models on a fold each."""
        return self._other.scores_on_folds(data, models, folds, with_loss)

    def keeps_samples_sparse(self, data: ResidentDataset) -> bool:
        """Whether samples of the rows stay sparse."""
        return self._other.keeps_samples_sparse(data)

    def columns(self, data: ResidentDataset) -> Callable[[IntVector], ResidentDataset]:
        """Copies of some columns."""
        return self._other.columns(data)

    def by_columns(self, data: ResidentDataset, fit_intercept: bool, count: Callable[[float], None]) -> Any:
        """The loss by columns, or None."""
        return self._other.by_columns(data, fit_intercept, count)

    def bytes_by_columns(self, data: ResidentDataset) -> int | None:
        """Bytes that it takes, or None."""
        return self._other.bytes_by_columns(data)
