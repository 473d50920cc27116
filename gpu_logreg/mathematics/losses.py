"""The losses: of two classes by one logit, of K classes by K logits, and of L labels by a logit each.

A loss is the one place that knows how many logits a row has, and all that depends on it: probabilities and predicted
classes, how the weights and intercepts of a linear model are packed into one vector, the start of a fit, how its
Hessian is kept, the bound of the curvature, and the free directions, along which the curvature is zero.

Equations: `gpu_logreg.mathematics.logistic` and `gpu_logreg.mathematics.softmax`. What is asked of a loss:
`gpu_logreg.mathematics.loss_protocols`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from gpu_logreg.arrays import wide_vectors
from gpu_logreg.arrays.class_sums import sums_by_class, sums_of_two_classes
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import logistic, softmax
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.mathematics.loss_protocols import Loss, PackedPass, Pass

__all__ = ["Binary", "Classes", "Labels", "loss_of_classes"]

WHOLE_P = 2000
"""Parameters of several classes up to which their Hessian is kept whole: 32 MB, factored in a fraction of a second."""


@dataclass(frozen=True)
class Binary:
    """Two classes: ``row_loss = softplus(z) - y z`` with one logit ``z = x @ w + b``, and labels ``y`` from 0 to 1.

    Packed parameters are ``[w, b]``, or ``w`` without an intercept.

    Examples
    --------
    >>> Binary().start(np.array([0.25, 0.75]), 0.0).round(3)  # log(0.75 / 0.25)
    array([1.099])
    """

    n_logits: int = 1
    largest_curvature: float = 0.25
    has_free_directions: bool = False
    soft: bool = field(default=False, repr=False)  # whether labels may lie between 0 and 1
    label_dtype: ClassVar[type] = np.uint8
    link: ClassVar[str] = "logistic"
    needs_every_class: ClassVar[bool] = True
    has_offset: ClassVar[bool] = False

    @property
    def n_classes(self) -> int:
        """2."""
        return 2

    @property
    def value_tells_separation(self) -> bool:
        """True, but for soft labels, which lose little where they are near 0 and 1."""
        return not self.soft

    def unpack(self, params: Float64Vector, n_columns: int) -> tuple[Float64Vector, float]:
        """Weights of shape (d,), and the intercept."""
        return params[:n_columns], float(params[n_columns]) if len(params) > n_columns else 0.0

    def packed_gradient(self, dw_sum: Float64Vector, db_sum: float, fit_intercept: bool) -> Float64Vector:
        """``[dw_sum, db_sum]``, or ``dw_sum`` without an intercept."""
        d = len(dw_sum)
        grad = np.empty(d + fit_intercept)
        grad[:d] = dw_sum
        if fit_intercept:
            grad[d] = db_sum
        return grad

    def packed_pass(self, run: Pass, n_columns: int, fit_intercept: bool) -> PackedPass:
        """``run`` as a function of packed parameters."""
        return _packed_pass(self, run, n_columns, fit_intercept)

    def penalty_value(self, phi: Float64Vector, penalised: Float64Vector) -> float:
        """``phi @ penalised / 2``."""
        return 0.5 * float(phi @ penalised)

    def start(self, shares: Float64Vector, least_share: float) -> Float64Vector:
        """``log(share_1 / share_0)``, of shape (1,)."""
        return np.array([math.log(shares[1] / shares[0])])

    def curvature_at_start(self, shares: Float64Vector, fit_intercept: bool) -> list[float]:
        """``p (1 - p)`` with the share ``p`` of the second class, or a half without an intercept."""
        return [float(shares[0] * shares[1]) if fit_intercept else 0.25]

    def logits_and_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Both as they are: rows have no offset."""
        return z, y

    def loss_and_dz(self, z: Array, y: Array) -> tuple[Array, Array]:
        """``softplus(z) - y z`` and ``p - y`` of every row; ``z`` of shape (n,)."""
        return logistic.loss_and_dz(z, y)

    def hessian_form(self, n_params: int) -> HessianForm:
        """The matrix, whatever its size."""
        p = n_params
        return HessianForm(p, p, True, False, float(p * p), p**3 / 3.0)

    def curvature(self, z: Array, y: Array) -> Array:
        """``p (1 - p)`` of every row, the second derivative of its loss by the logit."""
        return logistic.curvature(z)

    def loss_dz_and_curvature(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """`loss_and_dz` and `curvature` of every row."""
        return logistic.loss_dz_and_curvature(z, y)

    def row_loss(self, z: Array, y: Array) -> Array:
        """The loss of every row; ``z`` of shape (n, 1)."""
        return self.loss_and_dz(z[:, 0], y)[0]

    def weights_of_classes(self, y: Array, s: Array | None, total: float) -> Float64Vector:
        """Sums over the rows of the label 0, and over those of the label 1; of soft labels by their shares."""
        if self.soft:
            s = 1.0 if s is None else s
            return np.array([float((s * (1.0 - y)).sum()), float((1.0 * s * y).sum())])
        return sums_of_two_classes(y, s, total)

    def probabilities(self, z: Array) -> Array:
        """``[1 - p, p]`` of every row, of shape (n, 2); ``z`` of shape (n,)."""
        return array_namespace(z).stack([logistic.sigmoid(-z), logistic.sigmoid(z)], axis=1)

    def log_probabilities(self, z: Array) -> Array:
        """Logarithms of the probabilities, of shape (n, 2)."""
        return logistic.log_proba(z)

    def decide(self, z: Array) -> Array:
        """1 where the logit is positive; of shape (n,)."""
        return to_numpy(z > 0).astype(np.intp)


@dataclass(frozen=True)
class Classes:
    """K classes: ``row_loss = logsumexp(z) - z_y`` with K logits ``z = W x + b``, and ``y`` the number of the class.

    Packed parameters are ``[w_1, b_1, ..., w_K, b_K]``. The parametrisation is symmetric, as in scikit-learn: a
    constant added to all ``b_k``, and without a penalty to all ``w_kj``, changes no probability.

    Parameters
    ----------
    n_logits : int
        K, at least 3.

    Examples
    --------
    >>> W, b = Classes(3).unpack(np.arange(9.0), 2)
    >>> W.shape, b
    ((3, 2), array([2., 5., 8.]))
    """

    n_logits: int
    largest_curvature: float = 0.5
    has_free_directions: bool = True
    label_dtype: ClassVar[type] = np.int32
    link: ClassVar[str] = "softmax"
    needs_every_class: ClassVar[bool] = False
    has_offset: ClassVar[bool] = False

    @property
    def n_classes(self) -> int:
        """K, as there is a logit for each class."""
        return self.n_logits

    @property
    def value_tells_separation(self) -> bool:
        """True."""
        return True

    def unpack(self, params: Float64Vector, n_columns: int) -> tuple[Float64Matrix, Float64Vector]:
        """Weights of shape (K, d) and intercepts of shape (K,)."""
        by_class = params.reshape(self.n_logits, -1)
        has_intercept = by_class.shape[1] > n_columns
        return by_class[:, :n_columns], by_class[:, n_columns] if has_intercept else np.zeros(self.n_logits)

    def packed_gradient(self, dw_sum: Float64Matrix, db_sum: Float64Vector, fit_intercept: bool) -> Float64Vector:
        """``[dw_1, db_1, ..., dw_K, db_K]``, less their means over the classes, which are zero but for rounding."""
        K, d = dw_sum.shape
        grad = np.empty((K, d + fit_intercept))

        def of_columns(part: slice) -> None:
            np.subtract(dw_sum[:, part], dw_sum[:, part].mean(axis=0), out=grad[:, part])

        if dw_sum.size < wide_vectors.LEAST_WIDE:
            of_columns(slice(d))
        else:
            wide_vectors.each_piece(of_columns, d, wide_vectors.columns_of_a_piece(K))
        if fit_intercept:
            grad[:, d] = db_sum - db_sum.mean()
        return grad.ravel()

    def packed_pass(self, run: Pass, n_columns: int, fit_intercept: bool) -> PackedPass:
        """``run`` as a function of packed parameters."""
        return _packed_pass(self, run, n_columns, fit_intercept)

    def penalty_value(self, phi: Float64Vector, penalised: Float64Vector) -> float:
        """``phi @ penalised / 2``."""
        return 0.5 * float((phi * penalised).sum())

    def start(self, shares: Float64Vector, least_share: float) -> Float64Vector:
        """Logarithms of the shares, of shape (K,), with the mean 0; a class without weight gets ``least_share``."""
        logs = np.log(np.maximum(shares, least_share))
        return np.asarray(logs - logs.mean())

    def curvature_at_start(self, shares: Float64Vector, fit_intercept: bool) -> list[float]:
        """``p_k (1 - p_k)`` with the shares ``p_k``, or ``1 / K`` without an intercept."""
        K = self.n_logits
        return [float(c) for c in np.maximum(shares * (1.0 - shares), 1e-6)] if fit_intercept else [(K - 1) / K**2] * K

    def logits_and_labels(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Both as they are: rows have no offset."""
        return z, y

    def loss_and_dz(self, z: Array, y: Array) -> tuple[Array, Array]:
        """``logsumexp(z) - z_y`` and ``p - e_y`` of every row; ``z`` of shape (n, K)."""
        return softmax.loss_and_dz(z, y)

    def hessian_form(self, n_params: int) -> HessianForm:
        """The matrix up to `WHOLE_P` parameters, and mean factors beyond."""
        K, p, width = self.n_logits, n_params, n_params // self.n_logits
        if p <= WHOLE_P:
            return HessianForm(p, width, True, True, float((K + 1) * p * width), p**3 / 3.0)
        return HessianForm(p, width, False, True, 2.0 * width**2, K * width**3 / 3.0)

    def row_loss(self, z: Array, y: Array) -> Array:
        """The loss of every row; ``z`` of shape (n, K)."""
        return softmax.loss_and_dz(z, y)[0]

    def weights_of_classes(self, y: Array, s: Array | None, total: float) -> Float64Vector:
        """Sums by the numbers of the classes."""
        return sums_by_class(y, s, self.n_logits)

    def probabilities(self, z: Array) -> Array:
        """Softmax of the logits, of shape (n, K)."""
        return softmax.softmax(z)

    def log_probabilities(self, z: Array) -> Array:
        """Logarithms of the softmax, of shape (n, K)."""
        return softmax.log_proba(z)

    def decide(self, z: Array) -> Array:
        """Number of the largest logit; of shape (n,)."""
        return to_numpy(z.argmax(axis=1)).astype(np.intp)


@dataclass(frozen=True)
class Labels:
    """L labels, of which a row has any number: ``row_loss = sum_l softplus(z_l) - y_l z_l``. For networks.

    Parameters
    ----------
    n_logits : int
        L, at least 2.

    Examples
    --------
    >>> Labels(3).decide(np.array([[2.0, -1.0, 0.5]]))
    array([[1, 0, 1]])
    """

    n_logits: int
    label_dtype: ClassVar[type] = np.uint8
    link: ClassVar[str] = "logistic"
    needs_every_class: ClassVar[bool] = False

    def probabilities(self, z: Array) -> Array:
        """Probability of each label, of shape (n, L)."""
        return logistic.sigmoid(z)

    def log_probabilities(self, z: Array) -> Array:
        """Logarithms of the probabilities, of shape (n, L)."""
        return logistic.log_sigmoid(z)

    def decide(self, z: Array) -> Array:
        """1 for every label whose logit is positive, else 0; of shape (n, L)."""
        return to_numpy(z > 0).astype(int)


def _packed_pass(loss: Loss, run: Pass, n_columns: int, fit_intercept: bool) -> PackedPass:
    def run_packed(params: Float64Vector) -> tuple[float, Float64Vector]:
        loss_sum, dw_sum, db_sum = run(*loss.unpack(params, n_columns))
        return loss_sum, loss.packed_gradient(dw_sum, db_sum, fit_intercept)

    return run_packed


def loss_of_classes(n_classes: int) -> Binary | Classes:
    """The loss of a linear model for a number of classes.

    Examples
    --------
    >>> loss_of_classes(2), loss_of_classes(5).n_logits
    (Binary(n_logits=1, largest_curvature=0.25, has_free_directions=False), 5)
    """
    return Binary() if n_classes == 2 else Classes(n_classes)
