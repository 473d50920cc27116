"""The results of passes: sums over rows, on the host. Those of two blocks of rows, added, are the sums of all."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.whitening import Whitening

__all__ = ["Groups", "LabelledMoments", "ManySums", "Moments", "ProductsOfRows", "Sums", "add_in_place"]


class Sums(NamedTuple):
    """Sums over the rows of a pass, on the host in float64: not divided by the weights, and without penalty.

    Attributes
    ----------
    loss_sum : float
        ``sum_i s_i row_loss(z_i, y_i)``, in nats.
    dw_sum : ndarray of shape (d,)
        ``X.T @ dz`` with ``dz = s (p - y)``; for K logits ``dZ.T @ X``, of shape (K, d).
    db_sum : float
        ``sum_i dz_i``; for K logits an ndarray of shape (K,).

    Examples
    --------
    >>> import numpy as np
    >>> Sums(1.0, np.array([2.0]), 3.0) + Sums(0.5, np.array([1.0]), -1.0)
    Sums(loss_sum=1.5, dw_sum=array([3.]), db_sum=2.0)
    """

    loss_sum: float
    dw_sum: Float64Vector
    db_sum: Any

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]
        """The sums over the rows of both."""
        return Sums(self.loss_sum + other.loss_sum, self.dw_sum + other.dw_sum, self.db_sum + other.db_sum)


class Models(NamedTuple):
    """Models of one logit.

    Attributes
    ----------
    W, b : ndarray of shape (M, d) and (M,)
    left_out : integer ndarray of shape (M,) or None
        The fold that each model leaves out; None where sums are taken of all folds.
    """

    W: Float64Matrix
    b: Float64Vector
    left_out: IntVector | None = None


class RowFolds(NamedTuple):
    """Which fold every row is of.

    Attributes
    ----------
    of_rows : array of shape (n,), whole numbers
        Fold of every row, where the rows are; ``n`` for none.
    n : int
        Number of folds.
    """

    of_rows: Array
    n: int


class Groups(NamedTuple):
    """Groups of rows, and where their sums go.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Number of the group of every row.
    grad_sums : ndarray of shape (G, P)
        ``sum_i s_i c_i r_i kron u_i`` over the rows of every group.
    weights : ndarray of shape (G,)
        Their ``sum_i s_i``.
    """

    codes: HostArray
    grad_sums: Float64Matrix
    weights: Float64Vector


class RowsAtPoint(NamedTuple):
    """What `ProductsOfRows.at_point` finds of the rows of two classes.

    Attributes
    ----------
    loss : float
        ``sum_i a_i loss_i``.
    kept : ndarray of shape (3, m)
        Residual, curvature and size of every row.
    grad : ndarray of shape (p,)
        ``sum_i a_i r_i u_i``.
    matrices : list of ndarray of shape (p, p)
        ``sum_i a_i V_i u_i u_i.T``, and ``sum_i a_i c_i r_i**2 u_i u_i.T`` if it was asked for; their lower triangles.
    """

    loss: float
    kept: Float64Matrix
    grad: Float64Vector
    matrices: list[Float64Matrix]


class ProductsOfRows(Protocol):
    """What multiplies the rows of a block for their information; ``u`` is a row, and a 1 for the intercept."""

    def grams(self, X: Array, factors: list[Array], ones: bool) -> list[Array]:
        """``sum_i f_i u_i u_i.T`` for each array of factors ``f``, none of them negative; its lower triangle."""

    def at_point(
        self,
        X: Array,
        y: Array,
        weights: tuple[Float64Vector, Float64Vector],
        phi: Float64Vector,
        ones: bool,
        with_outer: bool,
    ) -> RowsAtPoint | None:
        """All sums of the rows of two classes in one read; None where there is no code for it."""

    def squares(self, X: Array, root: Float64Matrix, ones: bool) -> Array | None:
        """``|root.T u|**2`` of every row, with a lower triangle ``root``; None where there is no code for it."""

    whitens: bool

    def in_single(self, scale: Float64Vector) -> ProductsOfRows:
        """These with products in float32, of columns times ``scale``, in `grams`."""

    def sizes(self, X: Array, ones: bool) -> Array:
        """``|scale u|**2`` of every row where products are in float32, else zeros."""

    def whitened_gram(
        self, X: Array, white: Whitening, curvature: Array, factors: Array, is_half: bool, ones: bool
    ) -> tuple[Float64Matrix, IntVector]:
        """``sum_i f_i / (1 - h_i)**(2 a) t_i t_i.T`` by the `Whitening`; the lower triangle.

        Rows of a large leverage ``h`` are left out; their numbers are returned.
        """

    def by_group(self, codes: HostArray, X: HostArray, residuals: HostArray, s: HostArray, ones: bool) -> Any:
        """What `add_to_groups` needs of the rows of a block."""

    def add_to_groups(self, groups: Groups, part: Any) -> None:
        """Add what `by_group` has returned; one block after another."""


class ManySums(NamedTuple):
    """`Sums` of many models, each over rows of its own: with a first dimension, or two, for them.

    Attributes
    ----------
    loss_sum, dw_sum, db_sum : ndarray
    """

    loss_sum: Float64Vector
    dw_sum: Float64Vector
    db_sum: Float64Vector


class Moments(NamedTuple):
    """Sums of every column of ``X`` and of its squares, on the host in float64.

    Attributes
    ----------
    x_sum : ndarray of shape (d,)
        ``sum_i s_i x_ij``.
    xx_sum : ndarray of shape (d,)
        ``sum_i s_i x_ij**2``.
    """

    x_sum: Float64Vector
    xx_sum: Float64Vector

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        """The moments of the rows of both."""
        return Moments(self.x_sum + other.x_sum, self.xx_sum + other.xx_sum)


class LabelledMoments(NamedTuple):
    """`Moments`, and what else the gradient of two classes without weights is made of.

    There every row has the same probability ``p``, so that ``dw_sum = p x_sum - yx_sum``.

    Attributes
    ----------
    x_sum, xx_sum : ndarray of shape (d,)
        As of `Moments`.
    yx_sum : ndarray of shape (d,)
        ``sum_i s_i y_i x_ij``.
    y_sum : float
        ``sum_i s_i y_i``.
    """

    x_sum: Float64Vector
    xx_sum: Float64Vector
    yx_sum: Float64Vector
    y_sum: float


def add_in_place(total: Sums, part: Sums) -> Sums:
    """The sum of both, in the memory of the first, whose ``dw_sum`` is overwritten."""
    loss_sum, dw_sum, db_sum = total
    dw_sum += part.dw_sum
    return Sums(loss_sum + part.loss_sum, dw_sum, db_sum + part.db_sum)
