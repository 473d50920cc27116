"""Coordinates of standardised columns, estimated from a sample of the rows; the rows themselves are never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpu_logreg.arrays.block_sizes import GATHERED
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, ArrayNamespace, Float64Vector, IntVector
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "ClasswiseCoordinates",
    "Coordinates",
    "ParamsMetric",
    "StandardisedRows",
    "scores_of_zeros",
    "standardised",
]

_MOMENT_ROWS = 2048
"""Most rows of a sample, to within a factor of two, that means and variances of columns are estimated from."""


@dataclass(frozen=True)
class Coordinates:
    """Standardised columns: ``phi = [w scale, b + mean @ w]``, or ``phi = w scale`` without an intercept.

    Attributes
    ----------
    mean, scale : ndarray of shape (d,)
        ``mean`` is zero without an intercept.
    fit_intercept : bool
    constant : ndarray of shape (d,), bool, or None
        Columns that are constant in the sample and far from zero: beside an intercept their weights change no logit,
        and the gradient by them is the rounding error of large sums.

    Examples
    --------
    >>> columns = Coordinates(mean=np.array([10.0]), scale=np.array([2.0]), fit_intercept=True)
    >>> columns.rows(np.array([[12.0], [10.0]]))  # (x - mean) / scale, and 1 for the intercept
    array([[1., 1.],
           [0., 1.]])
    >>> columns.to_params(np.array([1.0, 0.0]))  # the same logits by [w, b] on the rows themselves
    array([ 0.5, -5. ])
    """

    mean: Float64Vector
    scale: Float64Vector
    fit_intercept: bool
    constant: npt.NDArray[np.bool_] | None = None

    def rows(self, X: Array) -> Array:
        """``u`` of every row of ``X``, in its dtype; an array of shape (m, d + 1), or (m, d) without an intercept."""
        xp = array_namespace(X)
        m, d = X.shape
        U = xp.empty((m, d + int(self.fit_intercept)), dtype=X.dtype)
        mean, inverse = xp.asarray(self.mean, dtype=X.dtype), xp.asarray(1.0 / self.scale, dtype=X.dtype)

        def fill(part: slice) -> None:
            xp.subtract(X[part], mean, out=U[part, :d])
            U[part, :d] *= inverse
            U[part, d:] = 1

        map_row_blocks(fill, U, GATHERED)
        return U

    def to_params(self, phi: Float64Vector) -> Float64Vector:
        """``[w, b]`` of ``phi``: of one vector, or of every row of a matrix."""
        if not self.fit_intercept:
            return np.asarray(phi / self.scale)
        w = phi[..., :-1] / self.scale
        return np.concatenate([w, phi[..., -1:] - (w @ self.mean)[..., None]], axis=-1)

    def from_params(self, params: Float64Vector) -> Float64Vector:
        """``phi`` of ``[w, b]``."""
        if not self.fit_intercept:
            return np.asarray(params * self.scale)
        b = params[..., -1:] + (params[..., :-1] @ self.mean)[..., None]
        return np.concatenate([params[..., :-1] * self.scale, b], axis=-1)

    def grad_to_params(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by ``[w, b]`` of a gradient by ``phi``."""
        if not self.fit_intercept:
            return np.asarray(grad * self.scale)
        db = grad[..., -1:]
        return np.concatenate([grad[..., :-1] * self.scale + self.mean * db, db], axis=-1)

    def grad_to_phi(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by ``phi`` of a gradient by ``[w, b]``."""
        if not self.fit_intercept:
            return np.asarray(grad / self.scale)
        db = grad[..., -1:]
        return np.concatenate([(grad[..., :-1] - self.mean * db) / self.scale, db], axis=-1)


@dataclass(frozen=True)
class ClasswiseCoordinates:
    """`Coordinates` applied to the parameters of every class, which are packed one class after another."""

    one: Coordinates
    n_logits: int

    @property
    def fit_intercept(self) -> bool:
        """Whether the last parameter of every class is an intercept."""
        return self.one.fit_intercept

    def _each(self, function: Callable[[Float64Vector], Float64Vector], packed: Float64Vector) -> Float64Vector:
        return np.asarray(function(packed.reshape(self.n_logits, -1)).ravel())

    def to_params(self, phi: Float64Vector) -> Float64Vector:
        """Packed ``[w_k, b_k]`` of packed ``phi``."""
        return self._each(self.one.to_params, phi)

    def from_params(self, params: Float64Vector) -> Float64Vector:
        """Packed ``phi`` of packed ``[w_k, b_k]``."""
        return self._each(self.one.from_params, params)

    def grad_to_params(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by the parameters of a gradient by ``phi``."""
        return self._each(self.one.grad_to_params, grad)

    def grad_to_phi(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by ``phi`` of a gradient by the parameters."""
        return self._each(self.one.grad_to_phi, grad)


class Solves(Protocol):
    """A metric: ``solve(v)`` is ``H^-1 v``."""

    def solve(self, v: Float64Vector, /) -> Float64Vector:
        """``H^-1 v``."""


@dataclass(frozen=True)
class ParamsMetric:
    """A metric by ``[w, b]`` from a factored Hessian by ``phi``: ``H^-1 = T Hphi^-1 T.T``, where ``[w, b] = T phi``."""

    coordinates: Coordinates | ClasswiseCoordinates
    factor: Solves

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``."""
        return self.coordinates.to_params(self.factor.solve(self.coordinates.grad_to_phi(v)))


@dataclass(frozen=True)
class StandardisedRows:
    """Rows of a sample in their own standardised columns.

    Attributes
    ----------
    dataset : ResidentDataset
    at : array of shape (m,)
        Numbers of the rows of the sample, where the data live.
    shift, inverse : arrays of shape (d,)
        ``u = (x - shift) inverse``, in the dtype of the pass, where the data live.
    coordinates : Coordinates
    variance : ndarray of shape (d,)
        0 for a column that is constant in the sample.
    effective : ndarray of shape (d,)
        Effective number of rows behind the variance of each column: ``sum(a)**2 / sum(a**2)``, ``a_i = s_i u_ij**2``.
    """

    dataset: ResidentDataset
    at: Array
    shift: Array
    inverse: Array
    coordinates: Coordinates
    variance: Float64Vector
    effective: Float64Vector

    @cached_attribute
    def U(self) -> Array:  # noqa: N802 - the letter of the formula
        """The rows in standardised columns, copied on first access, in blocks that fit the cache.

        Of shape (m, d + 1), or (m, d) without an intercept, where the data live, in the dtype of the pass.
        """
        X, dtype, d = self.dataset.rows.X, self.dataset.compute_dtype, self.dataset.n_columns
        fit_intercept = self.coordinates.fit_intercept
        xp, m = self.dataset.xp, len(self.at)
        U = xp.empty((m, d + int(fit_intercept)), dtype=dtype)

        def gather(part: slice) -> None:
            block = rows_at(X, self.at[part], dtype)
            if fit_intercept:
                block -= self.shift
            xp.multiply(block, self.inverse, out=U[part, :d])

        map_row_blocks(gather, U, GATHERED, row_bytes=max(1, d) * dtype.itemsize)
        if fit_intercept:
            U[:, d] = 1
        return U


def standardised(dataset: ResidentDataset, indices: IntVector, share: Array, fit_intercept: bool) -> StandardisedRows:
    """The rows ``indices`` in columns that their own means and variances standardise.

    Means, variances and effective numbers are estimated from at most about `_MOMENT_ROWS` of the rows: coordinates need
    not be exact, only the same in all sums that are combined.

    Parameters
    ----------
    dataset : ResidentDataset
    indices : ndarray of shape (m,)
    share : array of shape (m,)
        Weights of the rows, where the data live.
    fit_intercept : bool
        Without it columns are scaled by their root mean square and not centred.

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> X, y = np.array([[1.0, 10.0], [3.0, 30.0]]), np.array([0, 1])
    >>> data = ResidentDataset.from_arrays(X, y, None, Device("cpu"))
    >>> sample = standardised(data, np.arange(2), np.ones(2), fit_intercept=True)
    >>> sample.coordinates.mean, sample.U
    (array([ 2., 20.]), array([[-1., -1.,  1.],
           [ 1.,  1.,  1.]]))
    """
    X, dtype = dataset.rows.X, dataset.compute_dtype
    xp, m = dataset.xp, len(indices)
    at = xp.asarray(indices)
    thinning = max(1, m // _MOMENT_ROWS)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the caller checks that the mean is finite
        thinned = rows_at(X, at[::thinning], dtype)
        mean, second, effective = _moments(thinned, share[::thinning], fit_intercept, xp)
        # A column whose standard deviation is within the rounding error of its mean is taken for constant.
        eps = float(np.finfo(dtype).eps)
        constant = np.isfinite(second) & (second <= (4.0 * eps * np.abs(mean)) ** 2)
        # With scale 1 the gradient by a constant far from zero, a difference of large sums, would be rounding error.
        second = np.where(constant, np.maximum(1.0, eps * mean**2), second)
    shift = xp.asarray(mean, dtype=dtype)
    inverse = xp.asarray(1.0 / np.sqrt(second), dtype=dtype)

    # The values in the dtype of the pass, to the last bit: logits by phi and by [w, b] must agree.
    with np.errstate(divide="ignore"):
        scale = 1.0 / to_numpy(inverse).astype(np.float64)
    used = Coordinates(to_numpy(shift).astype(np.float64), scale, fit_intercept, constant & (np.abs(mean) > 1.0))
    variance, rows_behind = np.where(constant, 0.0, second), np.where(constant, 0.0, effective * thinning)
    return StandardisedRows(dataset, at, shift, inverse, used, variance, rows_behind)


def _moments(
    X: Array, share: Array, fit_intercept: bool, xp: ArrayNamespace
) -> tuple[Float64Vector, Float64Vector, Float64Vector]:
    """Mean, second moment about it, and effective number of rows of every column; ``X`` is overwritten.

    One of the rows is subtracted first, so that columns far from zero lose no digits to cancellation. Without an
    intercept the mean is taken as zero.
    """
    s = (share / share.sum()).astype(X.dtype)
    mean = np.zeros(X.shape[1])
    if fit_intercept:
        pivot = X[len(X) // 2].copy()
        X -= pivot
        first = s @ X
        X -= first
        mean = to_numpy(pivot).astype(np.float64) + to_numpy(first)
    X *= X
    second = s @ X
    X *= s[:, None]
    X /= xp.where(second > 0, second, 1)  # normalised, because the squares of small squares would underflow below
    X *= X
    fourth = to_numpy(X.sum(axis=0, dtype=np.float64))
    second = to_numpy(second).astype(np.float64)
    known = (second > 0.0) & (fourth > 0.0)
    effective = np.where(known, 1.0 / np.where(known, fourth, 1.0), 0.0)
    return mean, second, effective


def scores_of_zeros(mean: Float64Vector, inverse_variance: Float64Vector, unseen: float) -> Float64Vector:
    """What a zero adds to the score of its row, for every column: see `gpu_logreg.passes.reference.scores`."""
    known = inverse_variance == inverse_variance
    # In a column that is constant in the sample (NaN), a zero counts as unseen unless the constant is zero.
    return np.where(known, np.where(known, inverse_variance, 0.0) * mean * mean, unseen * (mean != 0.0))
