"""The few rows that carry the curvature along some direction, apart from all others.

A sample tells the curvature of rows that are many and alike. Of outliers it holds none, or one that stands for many;
and their losses bend so fast that no quadratic model is worth much beyond a short step. Therefore the objective is
taken apart, in standardised columns: the loss of the few *heavy* rows is known exactly, at every point and at next to
no cost, and only that of the *light* rows is modelled by a matrix from a sample of them:

``J(phi) = sum_{i heavy} s_i row_loss_i(phi) / S + [the rest]``, ``S = sum_i s_i``.

A row is heavy by its leverage ``u_i.T H^-1 u_i``, with ``H`` the Hessian of a sample: how far its logit moves, squared,
along a step that lowers the value by a half. It is estimated as ``|G L^-1 u_i|**2 / k`` with ``H = L L.T`` and a normal
random matrix ``G`` of k rows, for one read of all rows. By a sample that holds few of the heavy rows it is an upper
estimate, and adds up to a bounded number: M. Cohen, Y. Lee, C. Musco, C. Musco, R. Peng and A. Sidford, "Uniform
sampling for matrix approximation" (2015). The projections are those of D. Spielman and N. Srivastava, "Graph
sparsification by effective resistances" (2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector
from gpu_logreg.objectives.classes_curvature import curve_free_directions
from gpu_logreg.rows.sampling import inclusion

__all__ = ["HeavyRows", "heavy_of", "projections", "relative_leverage"]

N_PROJECTIONS = 8
"""Random projections of a row: its leverage is then known to within a factor of two as a rule, which is all that a
probability of being drawn needs."""

LEAST_EIGENVALUE = 1e-12
"""Least eigenvalue of the Hessian, relative to the largest, in columns of unit curvature: below it is rounding."""

HEAVY = 10.0
"""Leverage of a heavy row, over that of the median row: more than the spread of random projections, of which the
largest of a million equal ones is about five times the median. A choice."""

HEAVY_SHARE, HEAVY_ELEMENTS = 0.05, 2**24
"""Largest share of the rows that are heavy, and largest number of elements of all of them: 128 MiB. Choices."""

LARGEST_RATIO = 1e100
"""Leverage that larger ones count as, over that of the median row, so that sums of them do not overflow."""


def projections(H: Float64Matrix, generator: np.random.Generator) -> Float64Matrix:
    """``V`` of shape (k, p) such that ``|V u|**2`` is about ``u.T H^-1 u``; exactly, where columns are few.

    Parameters
    ----------
    H : ndarray of shape (p, p)
        Positive semidefinite; with a diagonal that is positive.
    generator : Generator

    Examples
    --------
    >>> V = projections(np.diag([4.0, 1.0]), np.random.default_rng(0))
    >>> (V @ np.array([2.0, 3.0])) @ (V @ np.array([2.0, 3.0]))
    10.0
    """
    p = len(H)
    unit = 1.0 / np.sqrt(H.diagonal())
    R = H * unit * unit[:, None]
    eigenvalues, e = np.linalg.eigh(R)
    root = e / np.sqrt(np.maximum(eigenvalues, LEAST_EIGENVALUE * eigenvalues[-1]))
    if p > 2 * N_PROJECTIONS:
        root = root @ generator.standard_normal((p, N_PROJECTIONS)) / np.sqrt(N_PROJECTIONS)
    return np.asarray((root * unit[:, None]).T)


def relative_leverage(leverage: Float64Vector) -> Float64Vector:
    """What light rows are drawn in proportion to: 1, for an even share, and the leverage over its median.

    Parameters
    ----------
    leverage : ndarray of shape (n,)
        Not negative, or NaN or infinite where it has overflowed; rows without any do not count in the median.

    Examples
    --------
    >>> relative_leverage(np.array([0.0, 2.0, 2.0, 20.0]))
    array([ 1.,  2.,  2., 11.])
    """
    median = float(np.median(leverage[leverage > 0.0])) if (leverage > 0.0).any() else 1.0
    ratio = np.nan_to_num(leverage / median, nan=LARGEST_RATIO, posinf=LARGEST_RATIO)
    return np.asarray(1.0 + np.minimum(ratio, LARGEST_RATIO))


def heavy_of(weight: Float64Vector, size: int, n_columns: int) -> IntVector:
    """The heavy rows, in order: those that a sample of ``size`` rows, drawn in proportion to ``weight``, must hold.

    Parameters
    ----------
    weight : ndarray of shape (n,)
        Row weight times `relative_leverage`.
    size : int
    n_columns : int

    Examples
    --------
    >>> heavy_of(np.where(np.arange(1000) == 7, 900.0, 1.0), 50, 3)
    array([7])
    """
    present = weight > 0.0
    if not present.any():
        return np.flatnonzero(present)
    large = weight > HEAVY * float(np.median(weight[present]))
    heavy = np.flatnonzero(large & (inclusion(weight, float(size)) >= 1.0))
    most = int(min(HEAVY_SHARE * len(weight), HEAVY_ELEMENTS / max(1, n_columns)))
    if len(heavy) > most:
        heavy = np.sort(heavy[np.argsort(-weight[heavy], kind="stable")[:most]])
    return heavy


@dataclass(frozen=True)
class HeavyRows:
    """The loss of the heavy rows, as their part of the mean loss of all rows, and the curvature of the light ones.

    Attributes
    ----------
    sample : Sample
        The heavy rows, without a penalty.
    share : float
        Their part of the weight of all rows.
    coordinates : Coordinates
        Of packed vectors.
    light_hessian : function (size, phi) -> ndarray
        The curvature at ``phi`` of everything but the heavy rows, from a sample of about ``size`` of the light ones.
    """

    sample: Any
    share: float
    coordinates: Any
    light_hessian: Callable[[int, Float64Vector], Float64Matrix]

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Their part of the value and of the gradient."""
        value, grad = self.sample(phi)
        return self.share * value, self.share * grad

    def light(self, size: int, phi: Float64Vector) -> Float64Matrix:
        """The curvature at ``phi`` of everything but the heavy rows, from a sample of about ``size`` light rows."""
        return self.light_hessian(size, phi)

    def hessian(self, phi: Float64Vector) -> Float64Matrix:
        """Their part of the Hessian."""
        H: Float64Matrix = self.share * self.sample.plain_hessian(phi)
        return H

    def curved(self, H: Float64Matrix) -> Float64Matrix:
        """A copy of ``H`` with curvature along what all classes share, where a loss of several classes has none."""
        return curve_free_directions(H.copy(), self.sample.engine.loss.n_logits)
